// Damage to the files of a database that is closed: cut, zeroed, flipped, removed, or all of them
// an older copy. What opens holds every entry that was told, or the store stays closed.
//
// The count of commits beside the database is not synced, so a power cut may leave it behind. All
// damage is therefore tried without it as well. Then LevelDB may lose the newest commits unseen,
// but never an entry that the mark names: nothing that a checkpoint has shown is ever said anew.
// The rest a peer finds, by its counter of our statements ([DELIVER-3]).
// time limit: 300 s
//
//   GRIDNODE_TORN_SEED=N   the places of an earlier run again

import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import {
  cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { StoreError } from '../../node/store/store-error.ts'
import { assert, suite } from '../harness.ts'
import type { Told } from './histories.ts'
import { goesOn, openWriter } from './histories.ts'
import type { Attempt, Outcome } from './programs/try-damage.ts'

const t = suite('torn files')
const seed = Number(process.env['GRIDNODE_TORN_SEED'] ?? randomInt(2 ** 31))
process.stdout.write(`seed of the places: GRIDNODE_TORN_SEED=${seed}\n`)
const flipsPerFile = 20
const blockBytes = 512
const program = join(import.meta.dirname, 'programs', 'try-damage.ts')
/** Serves one attempt after the other; another one follows when it was ended by one. */
const trials: { child: ChildProcess | undefined, ended: number } = { child: undefined, ended: 0 }

t.after(() => {
  trials.child?.stdin?.end()
})

interface History {
  readonly source: string
  /** The database as it was before the last start, and what was told by then. */
  readonly older: string
  readonly told: readonly Told[]
}

interface Damage {
  readonly what: string
  do(directory: string): void
}

type Ending =
  /** Found while opening. */
  | { readonly kind: 'closed', readonly error: Said }
  /** Found in the ledger's own entries when they were read; the head was right. */
  | { readonly kind: 'unreadable', readonly error: Said }
  | { readonly kind: 'went on', readonly size: number }
  /** LevelDB itself gave up, and the process with it: nothing was said. */
  | { readonly kind: 'gave up' }

type Said = Pick<StoreError, 'code' | 'message'>

/** Tables and a write-ahead log; a mark in its middle, and statements after it. */
async function history(scratch: string): Promise<History> {
  const source = join(scratch, 'source')
  const older = join(scratch, 'older')
  const told: Told[] = []
  mkdirSync(source)
  const session = async (first: number, marksAt: number): Promise<void> => {
    const writer = await openWriter(source)
    for (let turn = 0; turn < 6; turn++) {
      await writer.say(first + turn)
      told.push({ kind: 'committed', ...writer.head() })
      if (turn !== marksAt) continue
      writer.mark()
      told.push({ kind: 'marked', ...writer.head() })
    }
    await writer.close()
  }
  await session(100, 5)
  await session(200, 1)
  cpSync(join(source, 'db'), older, { recursive: true })
  await session(300, 2)
  return { source, older, told }
}

function lastOf(told: readonly Told[], kind?: Told['kind']): number {
  return Math.max(...told.filter((one) => !kind || one.kind === kind).map(({ size }) => size))
}

async function tryDamage(
  directory: string, told: readonly Told[], scratch: string,
): Promise<Ending> {
  // A new process begins to number its exports anew.
  const own = join(scratch, `trials-${trials.ended}`)
  mkdirSync(own, { recursive: true })
  const line = `${JSON.stringify({ directory, told, scratch: own } satisfies Attempt)}\n`
  trials.child ??= spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'ignore'] })
  const { child } = trials
  const outcome = await new Promise<Outcome | undefined>((resolve) => {
    const lines = createInterface({ input: child.stdout! })
    lines.once('line', (text) => {
      lines.close()
      resolve(JSON.parse(text) as Outcome)
    })
    child.once('exit', () => resolve(undefined))
    child.stdin!.write(line)
  })
  child.removeAllListeners('exit')
  if (!outcome) {
    trials.child = undefined
    trials.ended += 1
    assert.equal(child.signalCode, 'SIGABRT')
    return { kind: 'gave up' }
  }
  if (outcome.kind === 'failed') throw new Error(outcome.message)
  if (outcome.kind === 'went on') return outcome
  const { kind, code, message } = outcome
  return { kind, error: { code: code as StoreError['code'], message } }
}

function damagesTo(source: string): Damage[] {
  const chance = numbers(seed)
  const database = join(source, 'db')
  const files = ['ledger.mark', ...readdirSync(database).toSorted((a, b) => (a < b ? -1 : 1))
    .filter((name) => !['LOCK', 'LOG', 'LOG.old'].includes(name)).map((name) => `db/${name}`)]
  return files.flatMap((name) => {
    const { length } = readFileSync(join(source, name))
    const cuts = [0, 1, length >> 2, length >> 1, length - (length >> 2), length - 1]
    const blocks = [0, length >> 2, length >> 1, Math.max(0, length - blockBytes)]
    const flips = Array.from({ length: Math.min(flipsPerFile, length) }, () =>
      ({ at: chance(length), mask: 1 << chance(8) }))
    const change = (what: string, to: (bytes: Buffer) => Uint8Array): Damage => ({
      what: `${name} ${what}`,
      do: (directory) => {
        const path = join(directory, name)
        writeFileSync(path, to(readFileSync(path)))
      },
    })
    return [
      { what: `${name} removed`, do: (directory: string) => rmSync(join(directory, name)) },
      ...[...new Set(cuts)].map((kept) =>
        change(`cut to ${kept} of ${length} bytes`, (bytes) => bytes.subarray(0, kept))),
      ...[...new Set(blocks)].map((at) =>
        change(`with zeros from ${at} on`, (bytes) =>
          bytes.fill(0, at, Math.min(length, at + blockBytes)))),
      ...flips.map(({ at, mask }) => change(`with byte ${at} flipped by ${mask}`, (bytes) => {
        bytes[at] = (bytes[at] as number) ^ mask
        return bytes
      })),
    ]
  })
}

for (const counted of [true, false]) {
  const name = counted ? 'a damaged file is found, or has harmed nothing'
    : 'without the count of commits, nothing that was shown by a mark is lost'
  t(name, async (ctx) => {
    const scratch = ctx.tmp()
    const { source, told } = await history(scratch)
    const marked = lastOf(told, 'marked')
    const wanted = counted ? told : told.filter(({ size }) => size <= marked)
    const endings: Ending[] = []
    for (const { what, do: damage } of damagesTo(source)) {
      const directory = join(scratch, 'damaged')
      cpSync(source, directory, { recursive: true })
      if (!counted) rmSync(join(directory, 'db.commits'))
      damage(directory)
      const ending = await tryDamage(directory, wanted, scratch).catch((cause: unknown) => {
        throw new Error(`${what}: ${String(cause)} (GRIDNODE_TORN_SEED=${seed})`, { cause })
      })
      if ('error' in ending) demandClear(what, ending.error)
      if (ending.kind === 'closed') assert.ok(!existsSync(join(directory, 'db.opening')))
      endings.push(ending)
      rmSync(directory, { recursive: true })
    }
    const last = lastOf(told)
    const closed = endings.filter(({ kind }) => kind === 'closed').length
    const unreadable = endings.filter(({ kind }) => kind === 'unreadable').length
    const gaveUp = endings.filter(({ kind }) => kind === 'gave up').length
    const harmless = endings.filter(({ kind }) => kind === 'went on').length
    const shorter = endings.filter((one) => one.kind === 'went on' && one.size < last).length
    process.stdout.write(`  ${endings.length} damages: ${closed} kept it closed, ${unreadable} `
      + `were found when entries were read, ${gaveUp} made LevelDB give up, ${harmless} harmed `
      + `nothing that was told (${shorter} lost unmarked entries at the end)\n`)
    assert.ok(closed > 0)
    assert.equal(shorter > 0, !counted)
  }, { timeoutSeconds: 140 })
}

/** What a person is told names a file or directory and what to do. */
function demandClear(what: string, { code, message }: Said): void {
  assert.ok(code === 'QUARANTINE' || code === 'CORRUPT', `${what}: ${code}: ${message}`)
  assert.match(message, /damaged|missing|has lost|only \d+|others/)
}

t('an older copy of the database stays closed, by its mark or by its count', async (ctx) => {
  const scratch = ctx.tmp()
  const { source, older, told } = await history(scratch)
  for (const without of ['', 'db.commits', 'ledger.mark']) {
    const directory = join(scratch, `without-${without}`)
    cpSync(source, directory, { recursive: true })
    rmSync(join(directory, 'db'), { recursive: true })
    cpSync(older, join(directory, 'db'), { recursive: true })
    if (without !== '') rmSync(join(directory, without))
    const ending = await tryDamage(directory, told, scratch)
    assert.ok(ending.kind === 'closed' && ending.error.code === 'QUARANTINE')
    assert.match(ending.error.message, /put that back/)
    // Nothing was changed by the attempt: with the newest copy it goes on.
    rmSync(join(directory, 'db'), { recursive: true })
    cpSync(join(source, 'db'), join(directory, 'db'), { recursive: true })
    await goesOn(directory, told, scratch)
  }
})

t('a refused opening leaves every file as it was', async (ctx) => {
  const scratch = ctx.tmp()
  const { source, told } = await history(scratch)
  const log = readdirSync(join(source, 'db')).find((name) => name.endsWith('.log')) as string
  const path = join(source, 'db', log)
  const whole = readFileSync(path)
  writeFileSync(path, Buffer.from(whole).fill(0, whole.length >> 1))
  const before = contentsOf(join(source, 'db'))
  for (let turn = 0; turn < 2; turn++) {
    const ending = await tryDamage(source, told, scratch)
    assert.ok(ending.kind === 'closed')
    assert.equal(contentsOf(join(source, 'db')), before)
  }
  writeFileSync(path, whole)
  await goesOn(source, told, scratch)
})

t('the whole database gone is no new beginning', async (ctx) => {
  const scratch = ctx.tmp()
  const { source, told } = await history(scratch)
  rmSync(join(source, 'db'), { recursive: true })
  const ending = await tryDamage(source, told, scratch)
  assert.ok(ending.kind === 'closed' && ending.error.code === 'QUARANTINE')
})

t('an opening that was cut short is taken up again', async (ctx) => {
  const scratch = ctx.tmp()
  const { source, told } = await history(scratch)
  const database = join(source, 'db')
  // As when the process is killed between the two renamings that put the files back.
  cpSync(database, join(source, 'db.opening'), { recursive: true })
  rmSync(database, { recursive: true })
  assert.ok(await goesOn(source, told, scratch) >= lastOf(told))
  assert.ok(!existsSync(join(source, 'db.opening')))
})

function contentsOf(directory: string): Map<string, string> {
  return new Map(readdirSync(directory).filter((name) => !/^LO(CK|G|G\.old)$/.test(name))
    .toSorted((a, b) => (a < b ? -1 : 1))
    .map((name) => [name, readFileSync(join(directory, name)).toString('base64')]))
}

/** Numbers from 0 up to a bound; a seed gives the same ones again. */
function numbers(first: number): (bound: number) => number {
  let value = first >>> 0
  return (bound) => {
    value = (Math.imul(value, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor(value / 2 ** 32 * bound)
  }
}
