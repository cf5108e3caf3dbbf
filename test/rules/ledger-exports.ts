// Exports of test sites' ledgers, made by the real exporter from tables in memory, and read back
// into memory so that tests can change them.

import { readFileSync, readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import type { LogFiles } from '../../cli/verify/log-files.ts'
import { exportLedger } from '../../node/store/ledger-export.ts'
import type { Store } from '../../node/store/level.ts'
import type { TestSite } from './ledger-sites.ts'

export type Files = Map<string, Uint8Array>

/** The reading half of a store, on a test site's tables. */
export function readingStore(at: TestSite): Pick<Store, 'get' | 'range'> {
  const records = (table: string) => at.tables.get(table) ?? new Map<string, unknown>()
  return {
    get: async (table, key) => records(table).get(key),
    async* range(table, from, to) {
      const keys = [...records(table).keys()].filter((key) => key >= from && key < to)
      for (const key of keys.toSorted((a, b) => (a < b ? -1 : 1))) {
        yield [key, records(table).get(key)] as const
      }
    },
  }
}

export async function exportOf(at: TestSite, folder: string): Promise<Files> {
  const directory = join(folder, `export-${at.name}-${readdirSync(folder).length}`)
  await exportLedger(readingStore(at), at.log, directory)
  const files: Files = new Map()
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    files.set(relative(directory, path), Uint8Array.from(readFileSync(path)))
  }
  return files
}

export function memoryFiles(name: string, files: Files): LogFiles {
  return { name, read: async (path, bytesMax) => files.get(path)?.subarray(0, bytesMax + 1) }
}
