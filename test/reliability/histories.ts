// A ledger that a program of its own writes into a real database, and what must be true of it after
// whatever happened to that program or its files: everything that was told is there, the log
// verifies, and it goes on as one history.

import { join } from 'node:path'
import { directoryFiles } from '../../cli/verify/log-files.ts'
import { verifyLogs } from '../../cli/verify/verify.ts'
import { exportLedger } from '../../node/store/ledger-export.ts'
import type { Store } from '../../node/store/level.ts'
import { openStore } from '../../node/store/level.ts'
import type { Mark } from '../../node/store/mark.ts'
import { checkMark, markOf, raiseMark } from '../../node/store/mark.ts'
import { toHex } from '../../protocol/base/crypto.ts'
import type { Tables } from '../../protocol/base/tables.ts'
import { applyWrites, draft } from '../../protocol/base/tables.ts'
import { append, emptyFrontier, root } from '../../protocol/base/merkle.ts'
import type { LedgerHead, LedgerTables } from '../../protocol/rules/ledger-book.ts'
import { coldLedgerTables, entryKey } from '../../protocol/rules/ledger-book.ts'
import { issueStatement } from '../../protocol/rules/ledger.ts'
import { assert } from '../harness.ts'
import type { TestSite } from '../rules/ledger-sites.ts'
import { credits, federation, must, site, start } from '../rules/ledger-sites.ts'

/** A commit or a mark that somebody was told of. */
export interface Told {
  readonly kind: 'committed' | 'marked'
  readonly size: number
  readonly root: string
}

export interface Writer {
  readonly store: Store
  readonly tables: Tables
  head(): Mark
  /** One more entry, in a commit of its own with `fillerBytes` of other records. */
  say(limit: number, fillerBytes?: number): Promise<void>
  mark(): void
  close(): Promise<void>
}

/** Opens as a node does when it starts; founds a ledger where there is none. */
export async function openWriter(directory: string): Promise<Writer> {
  const store = await openStore(join(directory, 'db'))
  try {
    return await writerOn(directory, store)
  } catch (error) {
    await store.close()
    throw error
  }
}

async function writerOn(directory: string, store: Store): Promise<Writer> {
  const markPath = join(directory, 'ledger.mark')
  const tables = await store.loadAll()
  const headOf = (): LedgerHead | undefined =>
    tables.get('ledgerHead')?.get('head') as LedgerHead | undefined
  await checkMark(markPath, store, headOf())
  const [home] = founders()
  if (!headOf()) {
    const writes = [...home.tables].flatMap(([table, records]) =>
      [...records].map(([key, value]) => ({ table, key, value })))
    await store.commit(writes)
    applyWrites(tables, writes, coldLedgerTables)
  }
  return {
    store,
    tables,
    head: () => markOf(headOf() as LedgerHead),
    async say(limit, fillerBytes = 0) {
      const view = draft<LedgerTables>(tables)
      const to = site('host.example')
      const granted = { kind: 'credit', to, at: start, limit: credits(limit) } as const
      must(issueStatement(view, home.signer, granted))
      const writes = view.writes()
      const filler = { table: 'jobs', key: String(limit), value: noise(limit, fillerBytes) }
      await store.commit(fillerBytes > 0 ? [...writes, filler] : writes)
      applyWrites(tables, writes, coldLedgerTables)
    },
    mark: () => raiseMark(markPath, markOf(headOf() as LedgerHead)),
    close: () => store.close(),
  }
}

let made: TestSite[] | undefined

/** The same two sites whenever they are asked for. */
function founders(): [home: TestSite, host: TestSite] {
  made ??= federation('home.example', 'host.example')
  return made as [TestSite, TestSite]
}

/** Text that does not compress away. */
function noise(seed: number, bytes: number): string {
  const words = new Uint32Array(Math.ceil(bytes / 8))
  let state = seed >>> 0
  for (let at = 0; at < words.length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    words[at] = state
  }
  return Buffer.from(words.buffer).toString('hex').slice(0, bytes)
}

export function toldLine({ kind, size, root: rootHash }: Told): string {
  return `${kind} ${size} ${rootHash}\n`
}

/** The lines of a program's output that it had finished. */
export function toldIn(output: string): Told[] {
  return [...output.matchAll(/^(committed|marked) (\d+) ([0-9a-f]{64})\n/gm)].map((line) =>
    ({ kind: line[1] as Told['kind'], size: Number(line[2]), root: line[3] as string }))
}

/**
 * Opens the directory again and fails unless it goes on from all that was told. Gives the size that
 * was found. Throws a StoreError when the store refuses.
 */
export async function goesOn(
  directory: string, told: readonly Told[], scratch: string,
): Promise<number> {
  const writer = await openWriter(directory)
  try {
    return await goesOnFrom(writer, told, scratch)
  } finally {
    await writer.close()
  }
}

/**
 * Fails unless all that was told is there with the very bytes, the log goes on, and a stranger who
 * has nothing but its export finds nothing wrong with it. Throws a StoreError when something cannot
 * be read.
 */
export async function goesOnFrom(
  writer: Writer, told: readonly Told[], scratch: string,
): Promise<number> {
  await verifies(writer.store, scratch)
  const roots = await rootsOf(writer.store)
  const found = writer.head()
  assert.equal(roots.length - 1, found.size, 'the head counts the entries')
  assert.equal(roots[found.size], found.root, 'the head commits to the entries')
  for (const { kind, size, root: rootHash } of told) {
    assert.equal(roots[size], rootHash, `${kind} ${size} is there as it was told`)
  }
  // Another run says other things: a second history could not pass for the first.
  await writer.say(999_999_000 + found.size)
  await writer.say(999_999_500 + found.size)
  writer.mark()
  await verifies(writer.store, scratch)
  return found.size
}

let exports = 0

async function verifies(store: Store, scratch: string): Promise<void> {
  const target = join(scratch, `export-${exports++}`)
  await exportLedger(store, founders()[0].log, target)
  const report = await verifyLogs([directoryFiles(target)])
  assert.equal(report.findings, [])
  assert.equal(report.verdict, 'holds')
}

/** The root at each size from 0 on, from the stored entries alone. */
async function rootsOf(store: Store): Promise<string[]> {
  let frontier = emptyFrontier
  const roots = [toHex(root(frontier))]
  for await (const [, note] of store.range('ledgerEntries', entryKey(0), entryKey(1_000_000))) {
    frontier = append(frontier, Buffer.from(note as string)).frontier
    roots.push(toHex(root(frontier)))
  }
  return roots
}
