// Texts of snapshots beside the database: `snapshots/<size>` in the data directory, the newest few.
// Invariants: a file under its name is whole; what is read is compared with what the log says of
// it.

import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { syncDirectory, writeSynced } from '../store/synced-file.ts'

export interface SnapshotFiles {
  /** Ascending. */
  sizes(): number[]
  /** Undefined when there is none of that size. */
  read(size: number): string | undefined
  /** On the disk when it returns; older ones beyond the bound go. */
  write(size: number, text: string): void
}

export const snapshotsDirectory = 'snapshots'
const filesMax = 4

export function openSnapshotFiles(directory: string): SnapshotFiles {
  const sizes = (): number[] => {
    if (!existsSync(directory)) return []
    return readdirSync(directory).filter((name) => /^(0|[1-9][0-9]{0,15})$/.test(name)).map(Number)
      .sort((a, b) => a - b)
  }
  return {
    sizes,
    read(size) {
      const path = join(directory, String(size))
      return existsSync(path) ? readFileSync(path, 'utf8') : undefined
    },
    write(size, text) {
      mkdirSync(directory, { recursive: true, mode: 0o700 })
      const path = join(directory, String(size))
      writeSynced(`${path}.new`, Buffer.from(text), { flag: 'w', mode: 0o600 })
      renameSync(`${path}.new`, path)
      syncDirectory(directory)
      for (const old of sizes().slice(0, -filesMax)) rmSync(join(directory, String(old)))
    },
  }
}
