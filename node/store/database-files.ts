// The files of a database before LevelDB sees them. Opening one rewrites it: LevelDB turns the
// write-ahead log into tables and deletes it, also what it could not read of it, and makes a new
// database where it finds no CURRENT. So the files are kept beside it until what was opened has
// been found whole; if it was not, they are put back.
//
// Invariants: no commit is made while files are kept, so putting them back loses nothing; a crash
// at any point leaves the database or the kept files, and the next opening takes what there is.

import {
  existsSync, linkSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { StoreError } from './store-error.ts'
import { syncDirectory } from './synced-file.ts'

export interface KeptFiles {
  /** What was opened is whole: the files are not needed any more. */
  drop(): void
  /** The database is as it was found, or will be when it is opened next; it must be closed. */
  putBack(): void
  /** Leaves everything as it is: somebody else has the database open. */
  leave(): void
}

const firstManifest = 'MANIFEST-000001'

/** Whether a database is there already. Throws CORRUPT when files are gone that every one has. */
export function findDatabase(directory: string): boolean {
  const kept = keptPath(directory)
  if (!existsSync(directory) && existsSync(kept)) rename(kept, directory)
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const names = readdirSync(directory)
  const gone = (name: string): StoreError => new StoreError('CORRUPT', `the database ${directory} `
    + `has lost ${name}; check the disk, keep a copy of the directory, and put the missing files `
    + 'back if they can still be had')
  if (!names.includes('CURRENT')) {
    // A first start that was cut short leaves neither tables nor commits.
    if (names.some(isOfLaterStart)) throw gone('its file CURRENT')
    return false
  }
  const manifest = readFileSync(join(directory, 'CURRENT'), 'utf8').trimEnd()
  if (!names.includes(manifest)) throw gone(`the file ${manifest.slice(0, 40)} that CURRENT names`)
  if (manifest !== firstManifest && !names.some(isLog)) throw gone('its write-ahead log')
  return true
}

/** Where the file system has no links, nothing is kept. */
export function keepFiles(directory: string): KeptFiles {
  const kept = keptPath(directory)
  const isOlder = existsSync(kept)
  if (!isOlder) linkAll(directory, kept)
  const remove = (): void => {
    if (!existsSync(kept)) return
    rename(kept, `${kept}.old`)
    rmSync(`${kept}.old`, { recursive: true, force: true })
  }
  return {
    drop: remove,
    putBack() {
      if (!existsSync(kept)) return
      try {
        rmSync(`${kept}.old`, { recursive: true, force: true })
        rename(directory, `${kept}.old`)
        rename(kept, directory)
        rmSync(`${kept}.old`, { recursive: true, force: true })
      } catch {
        // Why it could not be opened is told; the kept files stay for the next opening.
      }
    },
    leave() {
      if (!isOlder) remove()
    },
  }
}

/** LevelDB changes none of these files once another start has begun; it only deletes them. */
function linkAll(directory: string, kept: string): void {
  const partial = `${kept}.partial`
  for (const left of [partial, `${kept}.old`]) rmSync(left, { recursive: true, force: true })
  mkdirSync(partial, { mode: 0o700 })
  try {
    for (const name of readdirSync(directory)) {
      if (ownNames.has(name)) continue
      linkSync(join(directory, name), join(partial, name))
    }
  } catch (error) {
    rmSync(partial, { recursive: true, force: true })
    if (error instanceof Error && 'code' in error && noLinks.has(String(error.code))) return
    throw error
  }
  syncDirectory(partial)
  rename(partial, kept)
}

/** Files that are not the database: its lock, and what LevelDB logs for people. */
const ownNames: ReadonlySet<string> = new Set(['LOCK', 'LOG', 'LOG.old'])
const noLinks: ReadonlySet<string> = new Set(['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'])

function rename(from: string, to: string): void {
  renameSync(from, to)
  syncDirectory(dirname(to))
}

function keptPath(directory: string): string {
  return `${directory}.opening`
}

function isLog(name: string): boolean {
  return /^\d+\.log$/.test(name)
}

function isOfLaterStart(name: string): boolean {
  return isLog(name) || /^\d+\.(ldb|sst)$/.test(name)
    || (/^MANIFEST-\d+$/.test(name) && name !== firstManifest)
}
