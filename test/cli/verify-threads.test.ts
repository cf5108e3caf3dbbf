// The audit on several threads and with what has ended on the disk says exactly what it says on one
// thread with everything in memory; it ends when it is told to.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { assert, suite } from '../harness.ts'
import { writeLogs } from '../bench/ledger-log.ts'
import { openKnownNotes } from '../../cli/verify/known-notes.ts'
import { directoryFiles } from '../../cli/verify/log-files.ts'
import { openSignaturePool } from '../../cli/verify/signature-pool.ts'
import { openSpill } from '../../cli/verify/spilled-records.ts'
import { verifyLogs } from '../../cli/verify/verify.ts'
import type { VerifyReport } from '../../cli/verify/verify.ts'
import { keyPairFromSeed, sha256, sha256Hex, sign } from '../../protocol/base/crypto.ts'
import type { Sid } from '../../protocol/base/ids.ts'

const t = suite('verify on threads')

async function onThreads(threads: number, ...directories: string[]): Promise<VerifyReport> {
  return verifyLogs(directories.map(directoryFiles), { threads })
}

/** Changes the bytes at the first `from` behind `after` in one bundle. */
function tamper(directory: string, bundle: string, from: string, to: string, after = 0): void {
  const path = join(directory, 'tile', 'entries', bundle)
  const bytes = readFileSync(path)
  const at = bytes.indexOf(from, after)
  assert.ok(at >= 0 && from.length === to.length, `${from} is in ${path}`)
  bytes.write(to, at)
  writeFileSync(path, bytes)
}

t('tampered logs give one report, on no thread and on two', async (ctx) => {
  const { host, home } = writeLogs(ctx.tmp(), 1_500)
  const clean = await onThreads(2, host, home)
  assert.equal(clean.findings, [])
  assert.equal(await onThreads(0, host, home), clean)
  tamper(host, '001', '"amount":"277"', '"amount":"278"', 20_000)
  tamper(host, '003', 'home.example/gridnode/s1 ', 'host.example/gridnode/s1 ', 60_000)
  tamper(home, '002', '"tasks":10', '"tasks":11')
  // A signature in the one form that its text has, of another statement.
  const path = join(home, 'tile', 'entries', '004')
  const text = readFileSync(path, 'latin1')
  const [first = '', second = ''] = [...text.matchAll(/s1 [A-Za-z0-9+/=]{92}\n/g)]
    .map(([one]) => one)
  writeFileSync(path, Buffer.from(text.replace(second, first), 'latin1'))
  const found = await onThreads(0, host, home)
  assert.ok(found.findings.length > 4)
  assert.equal(found.findings.filter(({ cause }) => cause === undefined)
    .filter(({ rule }) => rule === 'I1').map(({ site, index }) => [site, Math.floor(index! / 256)])
    .filter((one, at, all) => at === 0 || String(all[at - 1]) !== String(one)), [
    [host.slice(-12), 1], [host.slice(-12), 3], [home.slice(-12), 2], [home.slice(-12), 4],
  ])
  assert.equal(await onThreads(2, host, home), found)
}, { timeoutSeconds: 240 })

t('it ends when it is told to, and leaves no thread', async (ctx) => {
  const { host } = writeLogs(ctx.tmp(), 1_500)
  const stop = new AbortController()
  const ended = verifyLogs([directoryFiles(host)], {
    threads: 2,
    signal: stop.signal,
    onProgress: () => stop.abort(new Error('told to')),
  })
  await assert.rejects(ended, /told to/)
})

t('a pool that was closed takes nothing more', async () => {
  const pool = openSignaturePool(1)
  const key = keyPairFromSeed(sha256('key'))
  const bytes = Buffer.from('a text')
  const batch = {
    bytes, parts: Int32Array.of(0, 6, 0), signatures: sign(key, bytes), keys: [key.publicKey],
  }
  assert.equal([...await pool.check(batch)], [1])
  assert.equal([...await pool.check({ ...batch, parts: Int32Array.of(0, 5, 0) })], [0])
  assert.equal([...await pool.check({ ...batch, keys: [] })], [0])
  const unanswered = pool.check(batch)
  await Promise.all([assert.rejects(unanswered, /has ended/), pool.close()])
  await assert.rejects(pool.check(batch), /has ended/)
})

t('records on the disk are those of a map, whatever the order', () => {
  const spill = openSpill({ recordsMax: 16 })
  const isDead = (value: unknown): boolean => (value as { dead: boolean }).dead
  const records = spill.recordsOf('ledgerHolds', isDead)
  const model = new Map<string, { dead: boolean, value: bigint, text: string }>()
  let state = 7
  const random = (below: number): number =>
    ((state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) >>> 8) % below
  for (let round = 0; round < 20_000; round++) {
    const key = sha256Hex(`key ${random(300)}`)
    const known = model.get(key)
    assert.equal(records.get(key), known)
    if (random(3) === 0) continue
    const value = {
      dead: known?.dead === true || random(2) === 0, value: BigInt(round),
      text: 'é'.repeat(random(8) === 0 ? 3_000 : 3),
    }
    model.set(key, value)
    records.set(key, value)
  }
  assert.ok(spill.spilledBytes() > 100_000)
  assert.ok([...model.values()].some(({ dead }) => dead))
  const live = [...model].filter(([, { dead }]) => !dead)
  assert.equal(new Map(records.entries()), new Map(live))
  for (const [key] of live) records.delete(key)
  assert.equal([...records.entries()], [])
  spill.close()
})

t('known notes are those that were added, while there is room', () => {
  const known = openKnownNotes(100)
  const of = (at: number): Uint8Array => known.fingerprint({
    publicKey: sha256('key'), sid: sha256Hex(`${at}`) as Sid, signature: new Uint8Array(64),
  })
  for (let at = 0; at < 2_000; at += 2) known.add(of(at))
  const found = Array.from({ length: 2_000 }, (_, at) => known.has(of(at)))
  assert.ok(found.every((has, at) => !has || at % 2 === 0))
  assert.ok(found.filter((has) => has).length >= 768)
})
