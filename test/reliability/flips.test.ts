// Exported ledgers with one thing wrong: every byte of a small one changed, a sample of the bytes
// of one of several tiles, and files that are cut, extended, removed or exchanged. None may verify.
//
//   GRIDNODE_FLIPS_SEED=N   the bits and the sample of an earlier run again

import { randomInt } from 'node:crypto'
import { assert, suite } from '../harness.ts'
import { verifyLogs } from '../../cli/verify/verify.ts'
import { exportOf, memoryFiles } from '../rules/ledger-exports.ts'
import type { Files } from '../rules/ledger-exports.ts'
import type { TestSite } from '../rules/ledger-sites.ts'
import {
  acceptInput, agreedDeal, credits, federation, heldInput, holdInput, say, start, tell, usageInput,
} from '../rules/ledger-sites.ts'

const t = suite('flips')
const seed = Number(process.env['GRIDNODE_FLIPS_SEED'] ?? randomInt(2 ** 31))
process.stdout.write(`seed of the bits: GRIDNODE_FLIPS_SEED=${seed}\n`)
const largeEntries = 300
const largeSample = 60

/** Two sites; one hold is paid. */
function paid(): [home: TestSite, host: TestSite] {
  const [home, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  const deal = agreedDeal(home, host)
  const hold = tell(home, host, holdInput(deal, 1_000_000)).sid
  tell(host, home, heldInput(deal, hold))
  const claim = { amount: 500_000, core_s: 1_800, final: 1 } as const
  const usage = tell(host, home, usageInput(deal, hold, claim)).sid
  tell(home, host, acceptInput(deal, hold, { usage, amount: 500_000, final: 1 }))
  return [home, host]
}

/** A log of two tiles of entries and two levels of hashes. */
function large(): TestSite {
  const [home, host] = paid()
  for (let limit = 0; limit < largeEntries; limit++) {
    say(home, { kind: 'credit', to: host.name, at: start, limit: credits(limit) })
  }
  return home
}

/** Fails unless the changed log is found to be no longer what was exported. */
async function found(what: string, ...logs: readonly Files[]): Promise<void> {
  const report = await verifyLogs(logs.map((files, at) => memoryFiles(`log-${at}`, files)))
  const named = report.findings.length + report.unusable.length
  if (report.verdict !== 'holds' && named > 0) return
  assert.ok(false, `${what} was not noticed (GRIDNODE_FLIPS_SEED=${seed})`)
}

async function holds(...logs: readonly Files[]): Promise<void> {
  const report = await verifyLogs(logs.map((files, at) => memoryFiles(`log-${at}`, files)))
  assert.equal(report.findings, [])
  assert.equal(report.verdict, 'holds')
}

function flipped(files: Files, path: string, at: number, mask: number): Files {
  const bytes = Uint8Array.from(files.get(path) as Uint8Array)
  bytes[at] = (bytes[at] as number) ^ mask
  return new Map(files).set(path, bytes)
}

/** Changes every byte of every file once, by the bits that `masksOf` gives. */
async function flipAll(files: Files, masksOf: (at: number) => readonly number[]): Promise<number> {
  let count = 0
  for (const [path, { length }] of files) {
    for (let at = 0; at < length; at++) {
      for (const mask of masksOf(at)) {
        await found(`byte ${at} of ${path} with ${mask} flipped`, flipped(files, path, at, mask))
        count += 1
      }
    }
  }
  return count
}

t('one bit of every byte of a small ledger', async (ctx) => {
  const [home, host] = paid()
  const logs = [await exportOf(home, ctx.tmp()), await exportOf(host, ctx.tmp())] as const
  await holds(...logs)
  const chance = numbers(seed)
  const count = await flipAll(logs[0], () => [1 << chance(7)])
  process.stdout.write(`  ${count} bits flipped, each found\n`)
}, { timeoutSeconds: 120 })

t('the highest bit of every byte of a ledger that has just begun', async (ctx) => {
  const [, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  const files = await exportOf(host, ctx.tmp())
  await holds(files)
  const count = await flipAll(files, () => [0x80])
  process.stdout.write(`  ${count} bits flipped, each found\n`)
}, { timeoutSeconds: 120 })

t('a sample of the bytes of a ledger of several tiles', async (ctx) => {
  const files = await exportOf(large(), ctx.tmp())
  const names = [...files.keys()].toSorted((a, b) => (a < b ? -1 : 1))
  assert.equal(names.map((name) => name.replace(/\.p\/\d+$/, '.p')), [
    'checkpoint', 'tile/0/000', 'tile/0/001.p', 'tile/1/000.p', 'tile/entries/000',
    'tile/entries/001.p',
  ])
  await holds(files)
  const chance = numbers(seed)
  for (let turn = 0; turn < largeSample; turn++) {
    const path = names[turn % names.length] as string
    const at = chance((files.get(path) as Uint8Array).length)
    const mask = 1 << chance(8)
    await found(`byte ${at} of ${path} with ${mask} flipped`, flipped(files, path, at, mask))
  }
}, { timeoutSeconds: 120 })

t('files that are cut, extended or gone', async (ctx) => {
  const files = await exportOf(large(), ctx.tmp())
  const zeros = new Uint8Array(32)
  let count = 0
  for (const [path, bytes] of files) {
    const { length } = bytes
    const tried: readonly (readonly [string, Uint8Array | undefined])[] = [
      ...[0, 1, Math.floor(length / 2), length - 32, length - 1].map((kept) =>
        [`${path} cut to ${kept} bytes`, bytes.subarray(0, kept)] as const),
      [`${path} without its first byte`, bytes.subarray(1)],
      [`${path} with a line end more`, Buffer.concat([bytes, Buffer.from('\n')])],
      [`${path} with zeros more`, Buffer.concat([bytes, zeros])],
      [`${path} twice`, Buffer.concat([bytes, bytes])],
      [`${path} behind a byte order mark`, Buffer.concat([Buffer.from('\ufeff'), bytes])],
      [`${path} behind a space`, Buffer.concat([Buffer.from(' '), bytes])],
      [`${path} with zeros at its end`, Buffer.concat([bytes.subarray(0, -32), zeros])],
      [`${path} removed`, undefined],
    ]
    for (const [what, content] of tried) {
      const changed = new Map(files)
      if (content) changed.set(path, content)
      else changed.delete(path)
      await found(what, changed)
      count += 1
    }
  }
  process.stdout.write(`  ${count} files changed, each found\n`)
}, { timeoutSeconds: 120 })

t('two files of one ledger exchanged', async (ctx) => {
  const files = await exportOf(large(), ctx.tmp())
  const names = [...files.keys()]
  for (const [at, one] of names.entries()) {
    for (const other of names.slice(at + 1)) {
      const changed = new Map(files)
        .set(one, files.get(other) as Uint8Array).set(other, files.get(one) as Uint8Array)
      await found(`${one} and ${other} exchanged`, changed)
    }
  }
}, { timeoutSeconds: 120 })

t('a file of another ledger, or of an older export, in place of its own', async (ctx) => {
  const [home, host] = paid()
  const older = await exportOf(home, ctx.tmp())
  const mirror = await exportOf(host, ctx.tmp())
  await found('all but the checkpoint from another site',
    new Map(mirror).set('checkpoint', older.get('checkpoint') as Uint8Array))
  for (const [path, bytes] of older) {
    const other = mirror.get(path)
    if (other) await found(`${path} of another site`, new Map(older).set(path, other))
    const grown: TestSite = { ...home, tables: copyOf(home) }
    say(grown, { kind: 'credit', to: host.name, at: start, limit: credits(1) })
    const newer = await exportOf(grown, ctx.tmp())
    // A partial tile has its width in its name: an older one lies beside the newer and is harmless.
    const mixed = new Map(newer).set(path, bytes)
    if (newer.has(path)) await found(`an older ${path}`, mixed)
    else await holds(mixed)
  }
})

function copyOf(at: TestSite): TestSite['tables'] {
  return new Map([...at.tables].map(([table, records]) => [table, new Map(records)]))
}

/** Numbers from 0 up to a bound; a seed gives the same ones again. */
function numbers(first: number): (bound: number) => number {
  let value = first >>> 0
  return (bound) => {
    value = (Math.imul(value, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor(value / 2 ** 32 * bound)
  }
}
