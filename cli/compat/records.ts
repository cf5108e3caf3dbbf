// What the batch commands of one user remember: of each job the directory as it was sent, where its
// output goes and which tasks have been brought back. Kept in the user's own state directory, so
// that what is written back is written with the user's rights, whoever runs the node.
//
// Invariants: a record is written before the job is handed in; the listing is dropped when all is
// back; the oldest records go when there are too many; one process at a time brings back into one
// directory.

import {
  existsSync, linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync,
  writeFileSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { sha256Hex } from '../../protocol/base/crypto.ts'
import type { Terminal } from '../terminal.ts'

export type Dialect = 'slurm' | 'pbs' | 'torque' | 'lsf' | 'grid_engine'

export interface JobRecord {
  readonly job: string
  /** The data directory of the node that has it. */
  readonly node: string
  readonly dialect: Dialect
  readonly name: string
  /** Both absolute; the second lies in the first. */
  readonly root: string
  readonly directory: string
  readonly submittedEpochMs: number
  readonly command: string
  /** Patterns of the dialect; '' = nowhere. */
  readonly streams: { readonly out: string; readonly error: string; readonly join: boolean }
  readonly brought: readonly number[]
  /** Everything is back, or there will never be more. */
  readonly whole: boolean
}

/** A directory as it was sent. */
export interface SentListing {
  readonly files: readonly (readonly [path: string, digest: string, executable: 0 | 1])[]
  /** Only the empty ones. */
  readonly directories: readonly string[]
}

export interface Records {
  get(job: string): JobRecord | undefined
  /** With the first of a job its listing. */
  put(record: JobRecord, listing?: SentListing): void
  listing(job: string): SentListing
  remove(job: string): void
  /** Of jobs that are not whole. */
  open(): JobRecord[]
  /** Undefined when another process has it and keeps it. */
  lock(root: string): Promise<(() => void) | undefined>
  /** Of the one process that brings back from a node by itself; undefined when there is one. */
  helperLock(node: string): Promise<(() => void) | undefined>
  helperRuns(node: string): boolean
}

const recordsMax = 20_000
const lockWaitMs = 20_000
const lockLookMs = 40
const emptyMsMax = 60_000

export function openRecords(terminal: Terminal): Records {
  const { XDG_STATE_HOME: states, HOME: home } = terminal.env
  const folder = join(states || join(home || homedir(), '.local', 'state'), 'gridnode', 'batch')
  const [openFolder, wholeFolder, sentFolder] =
    ['open', 'whole', 'sent'].map((name) => join(folder, name)) as [string, string, string]
  for (const one of [openFolder, wholeFolder, sentFolder]) {
    mkdirSync(one, { recursive: true, mode: 0o700 })
  }
  const read = (path: string): JobRecord | undefined => {
    try {
      return JSON.parse(readFileSync(path, 'utf8')) as JobRecord
    } catch (error) {
      // One that is damaged must not stand in the way of all others.
      const isNone = error instanceof SyntaxError ||
        (error as NodeJS.ErrnoException).code === 'ENOENT'
      if (isNone) return undefined
      throw error
    }
  }
  const write = (path: string, content: string | Buffer): void => {
    const part = join(folder, `part-${process.pid}`)
    writeFileSync(part, content, { mode: 0o600 })
    renameSync(part, path)
  }
  const lockFile = (kind: string, path: string): string =>
    join(folder, `${kind}-${sha256Hex(path).slice(0, 16)}`)
  const remove = (job: string): void => {
    rmSync(join(openFolder, job), { force: true })
    rmSync(join(sentFolder, job), { force: true })
  }
  return {
    get: (job) => read(join(openFolder, job)) ?? read(join(wholeFolder, job)),
    put(record, listing) {
      const { job, whole } = record
      if (listing) write(join(sentFolder, job), gzipSync(JSON.stringify(listing)))
      write(join(whole ? wholeFolder : openFolder, job), JSON.stringify(record))
      if (!whole) return
      remove(job)
      prune(wholeFolder)
    },
    listing: (job) =>
      JSON.parse(gunzipSync(readFileSync(join(sentFolder, job))).toString()) as SentListing,
    remove,
    open: () => readdirSync(openFolder).flatMap((job) => read(join(openFolder, job)) ?? []),
    lock: (root) => lock(lockFile('lock', root), terminal, lockWaitMs),
    helperLock: (node) => lock(lockFile('helper', node), terminal, 0),
    helperRuns(node) {
      const file = lockFile('helper', node)
      return existsSync(file) && !isLeft(file)
    },
  }
}

function prune(folder: string): void {
  const names = readdirSync(folder)
  if (names.length <= recordsMax) return
  const aged = names.map((name) => ({ name, at: statSync(join(folder, name)).mtimeMs }))
  aged.sort((a, b) => a.at - b.at)
  for (const { name } of aged.slice(0, names.length - recordsMax * 0.9)) {
    rmSync(join(folder, name), { force: true })
  }
}

async function lock(
  file: string, terminal: Terminal, waitMs: number,
): Promise<(() => void) | undefined> {
  const until = terminal.nowEpochMs() + waitMs
  for (;;) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx', mode: 0o600 })
      return () => rmSync(file, { force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    if (isLeft(file)) {
      takeAway(file)
      continue
    }
    if (terminal.nowEpochMs() >= until) return undefined
    await terminal.sleep(lockLookMs)
  }
}

/** Its process is gone. */
function isLeft(file: string): boolean {
  try {
    const text = readFileSync(file, 'utf8')
    // Made, and not written yet; or its maker died just there.
    if (text === '') return Date.now() - statSync(file).mtimeMs > emptyMsMax
    process.kill(Number(text), 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

/** What another process has taken meanwhile is put back. */
function takeAway(file: string): void {
  const aside = `${file}.${process.pid}`
  try {
    renameSync(file, aside)
    if (!isLeft(aside)) linkSync(aside, file)
  } catch {
    // Another was quicker.
  }
  rmSync(aside, { force: true })
}
