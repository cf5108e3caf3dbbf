// The disk of one of very many sites: commits take time, nothing fails, and it keeps by reference
// what the node does not keep in memory: the log and its tree. No process starts on it twice.

import { applyWrites } from '../../../protocol/base/tables.ts'
import type { Tables } from '../../../protocol/base/tables.ts'
import { coldTables } from '../../../protocol/machine/state.ts'
import type { Disk } from '../disk.ts'
import type { VirtualTime } from '../virtual-time.ts'

const commitMs = 5
/** Read back by whoever shows the head of the log. */
const keptTables: ReadonlySet<string> = new Set([...coldTables, 'ledgerHead'])

export interface ThinDisk extends Disk {
  /** Batches that were synced. */
  commits(): number
}

/** `stored` is all that lies there; `load` hands out the rest of it. */
export function thinDisk(time: VirtualTime, stored: Tables): ThinDisk {
  const kept: Tables = new Map()
  for (const table of keptTables) kept.set(table, stored.get(table) ?? new Map())
  let commits = 0
  const never = (): never => {
    throw new Error('the disk of a site among very many does not fail')
  }
  return {
    commit(writes, done) {
      commits++
      applyWrites(kept, writes.filter(({ table }) => keptTables.has(table)), new Set())
      time.after(commitMs, done)
    },
    commits: () => commits,
    load: () => new Map([...stored].filter(([table]) => !coldTables.has(table))),
    has: (table, key) => kept.get(table)?.has(key) === true,
    get: (table, key) => kept.get(table)?.get(key),
    records: (table) => new Map([...kept.get(table) ?? []].map(([key]) => [key, ''])),
    damage: () => undefined,
    crash: never, failNext: never, install: never, copy: never, rot: never, putBack: never,
  }
}
