// How many commits a database has taken, in a small file beside it. LevelDB drops a cut or damaged
// end of its write-ahead log without a word, and a copy of an older time opens like any other; who
// went on from either would say other things under the numbers that it has used.
//
// Invariants: the count is written after its commit is durable, so it is never ahead of a database
// that has lost nothing. It is not synced: after a power cut it may be behind, or unreadable, and
// then proves nothing.

import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { storeError } from './store-error.ts'

export interface CommitCount {
  /** What the file said when it was opened; 0 when it said nothing. */
  readonly last: number
  /** Throws what the file system says. */
  set(commits: number): void
  close(): void
}

export function commitCountPath(database: string): string {
  return `${database}.commits`
}

/** Creates the file when it is absent. Throws a StoreError: DISK_FULL, STORE_FAILED. */
export function openCommitCount(database: string): CommitCount {
  const path = commitCountPath(database)
  try {
    const descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600)
    return {
      last: parse(readFileSync(descriptor, 'latin1')),
      set(commits) {
        const line = Buffer.from(lineOf(commits))
        let written = 0
        while (written < line.length) {
          written += writeSync(descriptor, line, written, line.length - written, written)
        }
      },
      close: () => closeSync(descriptor),
    }
  } catch (error) {
    throw storeError(error, `opening ${path}`)
  }
}

const digits = 16

/** Always of one length, so that each overwrites the one before. */
function lineOf(commits: number): string {
  const text = String(commits).padStart(digits, '0')
  return `${text} ${crc32(text).toString(16).padStart(8, '0')}\n`
}

function parse(text: string): number {
  const commits = Number(text.slice(0, digits))
  return Number.isSafeInteger(commits) && text === lineOf(commits) ? commits : 0
}
