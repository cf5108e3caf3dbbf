// A disk: synced batches in virtual time. A batch is on it as a whole or not at all; what a crash
// finds on its way may have arrived. Values are packed as the real store packs them, so what
// cannot be stored fails here too.

import { pack, unpack } from '../../protocol/base/record.ts'
import type { Tables, Write } from '../../protocol/base/tables.ts'
import { coldTables } from '../../protocol/machine/state.ts'
import type { Random } from './random.ts'
import type { VirtualTime } from './virtual-time.ts'

export interface Disk {
  commit(writes: readonly Write[], done: (failure?: Error) => void): void
  /** The machine stops: what is on its way arrives or does not. */
  crash(): void
  /** The next commit fails, and may have arrived all the same. */
  failNext(): void
  /** Written at once, before any process runs. */
  install(writes: readonly Write[]): void
  /** What a start finds, without the cold tables. */
  load(): Tables
  has(table: string, key: string): boolean
  get(table: string, key: string): unknown
  /** Records of a table by key, cold tables included. */
  records(table: string): ReadonlyMap<string, string>
  /** All that lies there now. */
  copy(): DiskCopy
  /** A record has rotted: the checks of the store refuse a start, whatever it was. */
  rot(): void
  /** What the checks of the store find. */
  damage(): string | undefined
  /** Nothing else lies there from now on; no process runs. */
  putBack(copy: DiskCopy): void
}

export type DiskCopy = ReadonlyMap<string, ReadonlyMap<string, string>>

/** Without a text the record goes. */
interface Packed {
  readonly table: string
  readonly key: string
  readonly text?: string
}

interface Batch {
  readonly writes: readonly Packed[]
  readonly callOff: () => void
}

export function openDisk(time: VirtualTime, chance: Random, commitMsMax: number): Disk {
  const tables = new Map<string, Map<string, string>>()
  let underWay: Batch | undefined
  let failing = false
  let damaged: string | undefined

  const recordsOf = (table: string): Map<string, string> => {
    let records = tables.get(table)
    if (!records) tables.set(table, (records = new Map()))
    return records
  }
  const apply = (writes: readonly Packed[]): void => {
    for (const { table, key, text } of writes) {
      if (text === undefined) recordsOf(table).delete(key)
      else recordsOf(table).set(key, text)
    }
  }

  const packed = (writes: readonly Write[]): Packed[] => writes.map(({ table, key, value }) =>
    value === undefined ? { table, key } : { table, key, text: pack(value) })

  return {
    commit(writes, done) {
      if (underWay) throw new Error('one commit at a time')
      const callOff = time.after(chance.between(0, commitMsMax), () => {
        const batch = underWay!
        underWay = undefined
        const failed = failing
        failing = false
        if (!failed || chance.chance(500)) apply(batch.writes)
        done(failed ? new Error('the disk is full') : undefined)
      })
      underWay = { writes: packed(writes), callOff }
    },
    crash() {
      if (underWay && chance.chance(500)) apply(underWay.writes)
      underWay?.callOff()
      underWay = undefined
    },
    install: (writes) => apply(packed(writes)),
    failNext() {
      failing = true
    },
    load() {
      const loaded: Tables = new Map()
      for (const [table, records] of tables) {
        if (coldTables.has(table)) continue
        loaded.set(table, new Map([...records].map(([key, text]) => [key, unpack(text)])))
      }
      return loaded
    },
    has: (table, key) => tables.get(table)?.has(key) === true,
    get(table, key) {
      const text = tables.get(table)?.get(key)
      return text === undefined ? undefined : unpack(text)
    },
    records: recordsOf,
    copy: () => new Map([...tables].map(([table, records]) => [table, new Map(records)])),
    rot() {
      const full = [...tables].filter(([, records]) => records.size > 0)
      if (full.length === 0) return
      const [table, records] = chance.pick(full)
      const key = chance.pick([...records.keys()])
      const text = records.get(key)!
      records.set(key, text.slice(0, chance.int(text.length)))
      damaged = `${table} ${key} is not what was written`
    },
    damage: () => damaged,
    putBack(copy) {
      damaged = undefined
      tables.clear()
      for (const [table, records] of copy) tables.set(table, new Map(records))
    },
  }
}
