// The ledger on a real database: exported as files that verify, and the high-water mark that keeps
// a database that went back in time from speaking.

import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { assert, suite } from '../harness.ts'
import { directoryFiles } from '../../cli/verify/log-files.ts'
import { verifyLogs } from '../../cli/verify/verify.ts'
import { exportLedger } from '../../node/store/ledger-export.ts'
import { openStore } from '../../node/store/level.ts'
import type { Store } from '../../node/store/level.ts'
import { checkMark, markOf, raiseMark, readMark } from '../../node/store/mark.ts'
import { StoreError } from '../../node/store/store-error.ts'
import { formatCheckpoint } from '../../protocol/base/checkpoint.ts'
import { cosign } from '../../protocol/base/cosignature.ts'
import { root } from '../../protocol/base/merkle.ts'
import { signNote } from '../../protocol/base/note.ts'
import { applyWrites, draft } from '../../protocol/base/tables.ts'
import type { LedgerHead } from '../../protocol/rules/ledger-book.ts'
import { coldLedgerTables } from '../../protocol/rules/ledger.ts'
import { readingStore } from '../rules/ledger-exports.ts'
import type { TestSite } from '../rules/ledger-sites.ts'
import { credits, federation, must, say, start, tariffInput } from '../rules/ledger-sites.ts'
import { issueStatement } from '../../protocol/rules/ledger.ts'

const t = suite('ledger on the disk')

/** A founder whose ledger lies in a real database, with `count` more entries in commits of ten. */
async function stored(directory: string, count: number): Promise<{ at: TestSite, store: Store }> {
  const [at] = federation('home.example') as [TestSite]
  const store = await openStore(directory)
  const first = [...at.tables].flatMap(([table, records]) =>
    [...records].map(([key, value]) => ({ table, key, value })))
  await store.commit(first)
  for (let done = 0; done < count; done += 10) await grow(at, store, Math.min(10, count - done))
  return { at, store }
}

async function grow(at: TestSite, store: Store, count: number): Promise<void> {
  const trial = draft<never>(at.tables)
  for (let limit = 0; limit < count; limit++) {
    const input = { kind: 'credit', to: at.name, at: start, limit: credits(limit) } as const
    must(issueStatement(trial as never, at.signer, input))
  }
  const writes = trial.writes()
  await store.commit(writes)
  applyWrites(at.tables, writes, new Set())
}

async function headOf(store: Store): Promise<LedgerHead> {
  return await store.get('ledgerHead', 'head') as LedgerHead
}

async function failureOf(work: Promise<unknown>): Promise<StoreError> {
  try {
    await work
  } catch (error) {
    if (error instanceof StoreError) return error
    throw error
  }
  throw new Error('expected a failure')
}

t('entries from a database restart, export and verify', async (ctx) => {
  const folder = ctx.tmp()
  const { at, store } = await stored(join(folder, 'store'), 300)
  await store.close()
  const again = await openStore(join(folder, 'store'))
  ctx.after(() => again.close())
  const tables = await again.loadAll()
  for (const table of coldLedgerTables) assert.equal(tables.get(table), undefined)
  assert.equal(tables.get('ledgerAccounts'), at.tables.get('ledgerAccounts'))
  assert.equal(tables.get('ledgerHead'), at.tables.get('ledgerHead'))
  const files: number[] = []
  const target = join(folder, 'deeper', 'export')
  const exported = await exportLedger(again, at.log, target, {
    onFile: (done) => void files.push(done.files),
  })
  assert.equal(exported.size, 302)
  assert.equal(files, [1, 2, 3, 4, 5, 6])
  assert.equal(readdirSync(target).toSorted((a, b) => (a < b ? -1 : 1)), ['checkpoint', 'tile'])
  const report = await verifyLogs([directoryFiles(target)])
  assert.equal(report.findings, [])
  assert.equal(report.verdict, 'holds')
  assert.equal(report.logs.map(({ entries }) => entries), [302])
})

t('an export never replaces what is there, and leaves nothing half done', async (ctx) => {
  const folder = ctx.tmp()
  const [at] = federation('home.example') as [TestSite]
  say(at, tariffInput({ task: 0, core: 1, gib: 0 }))
  const target = join(folder, 'export')
  mkdirSync(target)
  const there = await failureOf(exportLedger(readingStore(at), at.log, target))
  assert.equal(there.code, 'EXPORT_REFUSED')
  const empty = { ...at, tables: new Map() }
  const nothing = await failureOf(exportLedger(readingStore(empty), at.log, join(folder, 'new')))
  assert.equal(nothing.code, 'EXPORT_REFUSED')
  at.tables.get('ledgerEntries')?.delete('000000000001')
  const torn = await failureOf(exportLedger(readingStore(at), at.log, join(folder, 'new')))
  assert.equal(torn.code, 'CORRUPT')
  assert.match(torn.message, /entry 1 is missing/)
  const stop = AbortSignal.abort(new Error('stopped by the user'))
  await assert.rejects(
    exportLedger(readingStore(at), at.log, join(folder, 'new'), { signal: stop }), /stopped by/)
  assert.equal(readdirSync(folder), ['export'])
})

t('an older export of the same log is continued, and is whole at every moment', async (ctx) => {
  const folder = ctx.tmp()
  const target = join(folder, 'export')
  const { at, store } = await stored(join(folder, 'store'), 280)
  ctx.after(() => store.close())
  await exportLedger(store, at.log, target)
  const before = readFileSync(join(target, 'checkpoint'))
  await grow(at, store, 240)
  // Interrupted after any number of files, it is still the older one, and goes on from there.
  const stop = new AbortController()
  const onFile = ({ files }: { readonly files: number }): void => {
    if (files === 2) stop.abort(new Error('stopped by the user'))
  }
  const options = { signal: stop.signal, onFile }
  await assert.rejects(exportLedger(store, at.log, target, options), /stopped by/)
  assert.equal(readFileSync(join(target, 'checkpoint')), before)
  assert.equal((await verifyLogs([directoryFiles(target)])).logs[0]?.entries, 282)
  const more = await exportLedger(store, at.log, target)
  assert.equal([more.size, more.files], [522, 6])
  const report = await verifyLogs([directoryFiles(target)])
  assert.equal([report.verdict, report.logs[0]?.entries], ['holds', 522])
  const fresh = join(folder, 'fresh')
  await exportLedger(store, at.log, fresh)
  assert.equal(filesIn(target), filesIn(fresh))
  // Once more without news: the checkpoint alone is written.
  assert.equal((await exportLedger(store, at.log, target)).files, 1)
})

/** Paths and contents. */
function filesIn(directory: string): readonly (readonly [string, string])[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
    .toSorted((a, b) => (a < b ? -1 : 1))
    .map((path) => [relative(directory, path), readFileSync(path, 'base64')])
}

t('what is no older export of this log is refused and left as it is', async (ctx) => {
  const folder = ctx.tmp()
  const target = join(folder, 'export')
  const [at, other] = federation('home.example', 'other.example') as [TestSite, TestSite]
  const small = structuredClone(at.tables)
  say(at, tariffInput({ task: 0, core: 1, gib: 0 }))
  const refusal = async (site: TestSite, key = site.log): Promise<string> => {
    const before = filesIn(target)
    const failure = await failureOf(exportLedger(readingStore(site), key, target))
    assert.equal(failure.code, 'EXPORT_REFUSED')
    assert.equal(filesIn(target), before)
    return failure.message
  }
  await exportLedger(readingStore(at), at.log, target)
  assert.match(await refusal(other), /is an export of home\.example/)
  assert.match(await refusal(at, other.log), /is not signed by the key of this log/)
  assert.match(await refusal({ ...at, tables: small }), /more than the \d+ of this ledger/)
  const branch = { ...at, tables: small }
  say(branch, tariffInput({ task: 0, core: 2, gib: 0 }))
  assert.match(await refusal(branch), /has other entries than the first/)
  writeFileSync(join(target, 'checkpoint'), 'no checkpoint')
  assert.match(await refusal(at), /its checkpoint cannot be read/)
})

t('a checkpoint that was signed elsewhere is written as it is', async (ctx) => {
  const target = join(ctx.tmp(), 'export')
  const [at] = federation('home.example') as [TestSite]
  const head = at.tables.get('ledgerHead')?.get('head') as LedgerHead
  const { origin } = markOf(head)
  const text = formatCheckpoint({
    origin, size: head.frontier.size, rootHash: root(head.frontier),
  })
  const witness = { name: 'w.example/gridnode/w1', key: at.root }
  const note = signNote(text, { name: origin, key: at.log }) + cosign(text, witness, 7)
  say(at, tariffInput({ task: 0, core: 1, gib: 0 }))
  const exported = await exportLedger(readingStore(at), at.log, target, { signed: { head, note } })
  assert.equal(exported.size, head.frontier.size)
  assert.equal(readFileSync(join(target, 'checkpoint'), 'utf8'), note)
  assert.equal((await verifyLogs([directoryFiles(target)])).verdict, 'holds')
})

t('a leftover of an interrupted export is replaced', async (ctx) => {
  const folder = ctx.tmp()
  const [at] = federation('home.example') as [TestSite]
  mkdirSync(join(folder, 'export.partial', 'tile'), { recursive: true })
  writeFileSync(join(folder, 'export.partial', 'checkpoint'), 'half')
  await exportLedger(readingStore(at), at.log, join(folder, 'export'))
  assert.equal((await verifyLogs([directoryFiles(join(folder, 'export'))])).verdict, 'holds')
  assert.equal(readdirSync(folder), ['export'])
})

t('a database at or beyond its mark goes on; one behind it is quarantined', async (ctx) => {
  const folder = ctx.tmp()
  const [directory, backup, path] = ['store', 'backup', 'mark'].map((name) => join(folder, name)) as
    [string, string, string]
  const { at, store } = await stored(directory, 5)
  await checkMark(path, store, await headOf(store))
  raiseMark(path, markOf(await headOf(store)))
  await checkMark(path, store, await headOf(store))
  await store.close()
  cpSync(directory, backup, { recursive: true })
  const live = await openStore(directory)
  await grow(at, live, 3)
  await checkMark(path, live, await headOf(live))
  raiseMark(path, markOf(await headOf(live)))
  await live.close()

  const restored = await openStore(backup)
  ctx.after(() => restored.close())
  const behind = await failureOf(checkMark(path, restored, await headOf(restored)))
  assert.equal(behind.code, 'QUARANTINE')
  assert.match(behind.message, /10 entries of home\.example.* only 7/)
  const none = await failureOf(checkMark(path, restored, undefined))
  assert.equal(none.code, 'QUARANTINE')

  const [other] = federation('home.example') as [TestSite]
  const branch = await openStore(join(folder, 'branch'))
  ctx.after(() => branch.close())
  for (const [table, records] of other.tables) {
    await branch.commit([...records].map(([key, value]) => ({ table, key, value })))
  }
  const trial = { ...other }
  for (let turn = 0; turn < 12; turn++) say(trial, tariffInput({ task: turn, core: 0, gib: 0 }))
  await branch.commit([...other.tables].flatMap(([table, records]) =>
    [...records].map(([key, value]) => ({ table, key, value }))))
  const forked = await failureOf(checkMark(path, branch, await headOf(branch)))
  assert.equal(forked.code, 'QUARANTINE')
  assert.match(forked.message, /the first 10 entries of the database are others/)
})

t('every byte of the mark matters', async (ctx) => {
  const path = join(ctx.tmp(), 'mark')
  const [at] = federation('home.example') as [TestSite]
  const mark = markOf(at.tables.get('ledgerHead')?.get('head') as LedgerHead)
  assert.equal(readMark(path), undefined)
  raiseMark(path, mark)
  assert.equal(readMark(path), mark)
  assert.ok(!existsSync(`${path}.new`))
  const bytes = readFileSync(path)
  for (let index = 0; index < bytes.length; index++) {
    const damaged = Buffer.from(bytes)
    damaged[index] = (damaged[index] as number) ^ 1
    writeFileSync(path, damaged)
    assert.throws(() => readMark(path), /the high-water mark .* is damaged/)
  }
})
