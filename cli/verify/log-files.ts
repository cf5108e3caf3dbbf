// Where the bytes of an exported ledger come from: a directory, or memory in tests.

import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'

export interface LogFiles {
  /** How a person calls it. */
  readonly name: string
  /**
   * At most `bytesMax` + 1 bytes of a file, so that a longer one is noticed; undefined if absent.
   */
  read(path: string, bytesMax: number): Promise<Uint8Array | undefined>
}

export function directoryFiles(directory: string): LogFiles {
  return {
    name: directory,
    async read(path, bytesMax) {
      const file = await open(join(directory, path)).catch(nothingThere)
      if (!file) return undefined
      try {
        const bytes = Buffer.allocUnsafe(Math.min(bytesMax, (await file.stat()).size) + 1)
        let filled = 0
        for (;;) {
          const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, filled)
          if (bytesRead === 0) return bytes.subarray(0, filled)
          filled += bytesRead
        }
      } finally {
        await file.close()
      }
    },
  }
}

/**
 * The exported ledgers under the paths given: each path itself when it holds a checkpoint, else
 * those of its subdirectories that do. A path with none stands for itself.
 */
export async function findLogs(paths: readonly string[]): Promise<LogFiles[]> {
  const found: LogFiles[] = []
  for (const path of paths) {
    const names = await readdir(path, { withFileTypes: true }).catch(() => [])
    const inside: LogFiles[] = []
    if (!names.some(({ name }) => name === 'checkpoint')) {
      for (const each of names.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
        const files = directoryFiles(join(path, each.name))
        if (each.isDirectory() && await files.read('checkpoint', 0)) inside.push(files)
      }
    }
    found.push(...(inside.length > 0 ? inside : [directoryFiles(path)]))
  }
  return found
}

function nothingThere(error: unknown): undefined {
  const code = error instanceof Error && 'code' in error ? error.code : ''
  if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
  throw error
}
