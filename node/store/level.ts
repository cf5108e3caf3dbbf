// The one door to the database: keyed records in one directory, written in atomic, synced commits.
// Invariants: a commit is on the disk as a whole before `commit` returns, or counts for nothing;
// commits happen in the order of their calls, and after a failed one no other is taken (what the
// disk holds is then unknown until the next start).
//
// LevelDB drops damaged parts of its files without a word. So each commit leaves a mark with the
// sum of the checksums of all hot records: a missing mark between two others is a lost commit, a
// sum that does not fit is a lost record, and fewer marks than the count beside the database are a
// lost end. (Cold records are the ledger's, whose tree finds what is missing.)

import { Level } from 'level'
import type { Tables, Write } from '../../protocol/base/tables.ts'
import { integer, record, shaped } from '../../protocol/base/shape.ts'
import type { CommitCount } from './commit-count.ts'
import { commitCountPath, openCommitCount } from './commit-count.ts'
import type { KeptFiles } from './database-files.ts'
import { findDatabase, keepFiles } from './database-files.ts'
import {
  boundsOf, hotStoredTables, innerKey, isHot, isStored, namespaceOf, ownNamespace, storedKey,
} from './keyspace.ts'
import { checksumOf, openRecord, sealRecord } from './sealed-record.ts'
import { StoreError, storeError } from './store-error.ts'
import { syncDirectory } from './synced-file.ts'

export interface Store {
  /** Every stored record but those of the cold tables. */
  loadAll(): Promise<Tables>
  /** All or nothing, and on the disk when it returns. Records of volatile tables are left out. */
  commit(writes: readonly Write[]): Promise<void>
  get(table: string, key: string): Promise<unknown>
  /** Records with from ≤ key < to, in byte order of their keys. */
  range(table: string, from: string, to: string): AsyncIterable<readonly [string, unknown]>
  close(): Promise<void>
}

const layoutVersion = 1
const versionKey = storedKey(ownNamespace, 'version')
/** More commits than the write-ahead log, 4 MiB, can hold. */
const marksKept = 16_384

export interface OpenOptions {
  /** Opens a database that has lost its newest commits; only for who begins a new epoch. */
  readonly acceptLostCommits?: boolean
}

/**
 * Opens or creates. What cannot be opened whole is left as it was found. Throws a StoreError:
 * LOCKED, CORRUPT, QUARANTINE, VERSION, DISK_FULL, STORE_FAILED.
 */
export async function openStore(directory: string, options: OpenOptions = {}): Promise<Store> {
  let kept: KeptFiles | undefined
  let database: Level | undefined
  let commits: CommitCount | undefined
  try {
    const isThere = findDatabase(directory)
    kept = isThere ? keepFiles(directory) : undefined
    database = new Level(directory, {
      keyEncoding: 'utf8', valueEncoding: 'utf8', createIfMissing: !isThere,
    })
    await database.open()
    await checkVersion(database)
    const found = await survey(database, directory)
    commits = openCommitCount(directory)
    if (!options.acceptLostCommits) demandCommits(directory, found.mark.sequence, commits.last)
    syncDirectory(directory)
    kept?.drop()
    return storeOn(database, directory, { found, commits })
  } catch (cause) {
    const error = storeError(cause, `opening the database ${directory}`)
    commits?.close()
    await database?.close()
    if (error.code === 'LOCKED') kept?.leave()
    else kept?.putBack()
    throw error
  }
}

function demandCommits(directory: string, found: number, counted: number): void {
  if (found >= counted) return
  throw new StoreError('QUARANTINE', `${commitCountPath(directory)} says that ${counted} commits `
    + `were made, but the database has only ${found}. It was restored from a backup or has lost `
    + 'writes. Going on would contradict what peers have seen, so it stays closed. Keep a copy '
    + 'of the directory as it is. If the newest copy of db/ can still be had, put that back; '
    + 'otherwise begin a new epoch with what there is: gridnode ledger recover')
}

function storeOn(
  database: Level,
  directory: string,
  { found, commits }: { readonly found: Survey, readonly commits: CommitCount },
): Store {
  const { checks } = found
  let { sequence, count, sum } = found.mark
  let tail: Promise<void> = Promise.resolve()
  const note = (key: string, check: number | undefined): void => {
    const before = checks.get(key)
    count += (check === undefined ? 0 : 1) - (before === undefined ? 0 : 1)
    sum = (sum + (check ?? 0) - (before ?? 0) + sumModulus) % sumModulus
    if (check === undefined) checks.delete(key)
    else checks.set(key, check)
  }
  const write = async (writes: readonly Write[]): Promise<void> => {
    const batch: Operation[] = []
    for (const { table, key, value } of writes) {
      if (!isStored(table)) continue
      const stored = storedKey(namespaceOf(table), key)
      const sealed = value === undefined ? undefined : sealRecord(stored, value)
      batch.push(sealed === undefined
        ? { type: 'del', key: stored }
        : { type: 'put', key: stored, value: sealed })
      if (isHot(table)) note(stored, sealed === undefined ? undefined : checksumOf(sealed))
    }
    sequence += 1
    const key = markKey(sequence)
    batch.push({ type: 'put', key, value: sealRecord(key, { sequence, count, sum }) })
    if (sequence > marksKept) batch.push({ type: 'del', key: markKey(sequence - marksKept) })
    await database.batch(batch, { sync: true })
    commits.set(sequence)
  }
  return {
    async loadAll() {
      const tables: Tables = new Map()
      for (const table of hotStoredTables) {
        const { first, end } = boundsOf(namespaceOf(table))
        const records = new Map<string, unknown>()
        for await (const [key, value] of recordsIn(database, first, end)) records.set(key, value)
        if (records.size > 0) tables.set(table, records)
      }
      return tables
    },
    commit(writes) {
      tail = tail.then(() => write(writes)).catch((error: unknown) => {
        throw storeError(error, `writing to the database ${directory}`)
      })
      return tail
    },
    async get(table, key) {
      const stored = storedKey(namespaceOf(table), key)
      try {
        const value = await database.get(stored)
        return value === undefined ? undefined : openRecord(stored, value)
      } catch (error) {
        throw storeError(error, `reading ${table} in ${directory}`)
      }
    },
    range(table, from, to) {
      const namespace = namespaceOf(table)
      return recordsIn(database, storedKey(namespace, from), storedKey(namespace, to))
    },
    async close() {
      await tail.catch(() => undefined)
      commits.close()
      await database.close()
    },
  }
}

type Operation =
  | { readonly type: 'put', readonly key: string, readonly value: string }
  | { readonly type: 'del', readonly key: string }

async function* recordsIn(
  database: Level, first: string, end: string,
): AsyncIterable<readonly [string, unknown]> {
  try {
    for await (const [key, value] of database.iterator({ gte: first, lt: end })) {
      yield [innerKey(key), openRecord(key, value)]
    }
  } catch (error) {
    throw storeError(error, 'reading the database')
  }
}

async function checkVersion(database: Level): Promise<void> {
  const stored = await database.get(versionKey)
  if (stored === undefined) {
    for await (const key of database.keys({ limit: 1 })) {
      throw new StoreError('CORRUPT', `it has records (${key.slice(0, 40)}) but no version: `
        + 'damaged, or not a database of gridnode')
    }
    await database.put(versionKey, sealRecord(versionKey, layoutVersion), { sync: true })
    return
  }
  const version = openRecord(versionKey, stored)
  if (version !== layoutVersion) {
    throw new StoreError('VERSION', `its layout has version ${String(version)}, this gridnode `
      + `reads version ${layoutVersion}; use the gridnode that wrote it`)
  }
}

interface Mark {
  readonly sequence: number
  /** Hot records, and the sum of their checksums. */
  readonly count: number
  readonly sum: number
}

interface Survey {
  readonly mark: Mark
  /** The checksum of each hot record, under its stored key. */
  readonly checks: Map<string, number>
}

const whole = integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const markShape = record({ sequence: whole, count: whole, sum: whole })
/** A million checksums of 32 bits stay below; more wrap around. */
const sumModulus = 2 ** 52

/** Looks at every mark and every hot record; throws CORRUPT when something is missing. */
async function survey(database: Level, directory: string): Promise<Survey> {
  const mark = await lastMark(database, directory)
  const checks = new Map<string, number>()
  let sum = 0
  for (const table of hotStoredTables) {
    const { first, end } = boundsOf(namespaceOf(table))
    for await (const [key, value] of database.iterator({ gte: first, lt: end })) {
      const check = checksumOf(value)
      checks.set(key, check)
      sum = (sum + check) % sumModulus
    }
  }
  if (checks.size !== mark.count || sum !== mark.sum) {
    throw lost(directory,
      `commit ${mark.sequence} left ${mark.count} records, ${checks.size} are there`)
  }
  return { mark, checks }
}

async function lastMark(database: Level, directory: string): Promise<Mark> {
  const { first, end } = boundsOf(ownNamespace)
  let last: Mark | undefined
  for await (const [key, value] of recordsIn(database, first, end)) {
    if (!key.startsWith(markPrefix)) continue
    const mark = shaped(markShape, value)
    if (!mark.ok) throw lost(directory, `the mark ${key} is ${mark.refusal.detail}`)
    if (last && mark.value.sequence !== last.sequence + 1) {
      throw lost(directory, `commit ${last.sequence + 1} is missing`)
    }
    last = mark.value
  }
  return last ?? { sequence: 0, count: 0, sum: 0 }
}

function lost(directory: string, what: string): StoreError {
  return new StoreError('CORRUPT', `the database ${directory} has lost records (${what}); check `
    + 'the disk, keep a copy of the directory, and do not go on with it')
}

const markPrefix = 'commit/'

function markKey(sequence: number): string {
  return storedKey(ownNamespace, `${markPrefix}${String(sequence).padStart(16, '0')}`)
}
