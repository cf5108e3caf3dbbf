// A disk: synced batches in virtual time, with the store's rule of starting. A batch counts as a
// whole or not at all; what a crash finds on its way may have arrived, or a part of it may, like
// the last record of a write-ahead log that was cut: who starts there sees by its length that it
// is no whole batch, and drops it. The number of batches stands beside them and is behind by one
// at the most. Values are packed as the real store packs them, so what cannot be stored fails here.

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

/** What lies at the end of the log: so many records were to be there. */
interface Tail {
  readonly sequence: number
  readonly length: number
  readonly writes: readonly Packed[]
}

export interface DiskOptions {
  readonly time: VirtualTime
  readonly chance: Random
  readonly commitMsMax: number
  /** Whether a batch that is on its way at a crash is torn, and where. */
  readonly tearing: Random
  /** How often, in a thousand. */
  readonly torn: () => number
}

export function openDisk({ time, chance, commitMsMax, tearing, torn }: DiskOptions): Disk {
  let tail: Tail | undefined
  let [sequence, counted] = [0, 0]
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

  /** The store's rule: what is no whole batch never was. */
  const settle = (): void => {
    if (tail?.writes.length === tail?.length) {
      apply(tail?.writes ?? [])
      sequence = tail?.sequence ?? sequence
    }
    tail = undefined
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
        if (!failed || chance.chance(500)) {
          apply(batch.writes)
          sequence++
        }
        if (!failed) counted = sequence
        done(failed ? new Error('the disk is full') : undefined)
      })
      underWay = { writes: packed(writes), callOff }
    },
    crash() {
      if (underWay) {
        const { writes, callOff } = underWay
        const arrives = chance.chance(500)
        const cut = tearing.chance(torn()) ? tearing.int(writes.length) : undefined
        const there = cut !== undefined ? writes.slice(0, cut) : arrives ? writes : []
        tail = { sequence: sequence + 1, length: writes.length, writes: there }
        callOff()
      }
      underWay = undefined
    },
    install(writes) {
      settle()
      apply(packed(writes))
    },
    failNext() {
      failing = true
    },
    load() {
      settle()
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
    damage() {
      settle()
      return damaged ?? (sequence < counted
        ? `it has ${sequence} batches, ${counted} were counted` : undefined)
    },
    putBack(copy) {
      damaged = undefined
      tail = undefined
      sequence = counted
      tables.clear()
      for (const [table, records] of copy) tables.set(table, new Map(records))
    },
  }
}
