// Keyed records: the shape of all state. A step reads through a `View`, its writes are collected in
// a `Draft` and applied (and stored) only when the step has succeeded as a whole.
//
// Invariants: values are treated as immutable (a change is a new value under the same key); a cold
// table is written but never kept in memory, so nothing in the core may read it.

/** Reads and writes of keyed records; `T` maps each table's name to the type of its records. */
export interface View<T> {
  get<K extends keyof T & string>(table: K, key: string): T[K] | undefined
  put<K extends keyof T & string>(table: K, key: string, value: T[K]): void
  remove<K extends keyof T & string>(table: K, key: string): void
  /** Records in no promised order; sort before the order can matter. */
  entries<K extends keyof T & string>(table: K): Iterable<readonly [string, T[K]]>
}

/** One record to store: `value` undefined means remove. */
export interface Write {
  readonly table: string
  readonly key: string
  readonly value: unknown
}

/** All records in memory, a map for each table. */
export type Tables = Map<string, Map<string, unknown>>

export interface Draft<T> extends View<T> {
  /** What this draft would change, table by table, each key once, in order of first writing. */
  writes(): Write[]
}

/** An overlay over `tables`: reads see the draft's own writes, `tables` stays untouched. */
export function draft<T>(tables: Tables): Draft<T> {
  const changed = new Map<string, Map<string, unknown>>()
  const overlay = (table: string): Map<string, unknown> => {
    let found = changed.get(table)
    if (!found) changed.set(table, (found = new Map<string, unknown>()))
    return found
  }
  function* entries(table: string): Iterable<readonly [string, unknown]> {
    const own = changed.get(table)
    for (const [key, value] of tables.get(table) ?? []) {
      if (!own?.has(key)) yield [key, value]
    }
    for (const [key, value] of own ?? []) {
      if (value !== undefined) yield [key, value]
    }
  }
  return {
    get(table, key) {
      const own = changed.get(table)
      if (own?.has(key)) return own.get(key) as never
      return tables.get(table)?.get(key) as never
    },
    put(table, key, value) {
      overlay(table).set(key, value)
    },
    remove(table, key) {
      overlay(table).set(key, undefined)
    },
    entries: entries as never,
    writes() {
      const all: Write[] = []
      for (const [table, records] of changed) {
        for (const [key, value] of records) all.push({ table, key, value })
      }
      return all
    },
  }
}

interface Pending {
  readonly value: unknown
  readonly write: () => void
}

/** Several writes or none: they stay in the overlay until `keep`. */
export function tentative<T>(view: View<T>): { readonly view: View<T>; readonly keep: () => void } {
  const written = new Map<string, Map<string, Pending>>()
  const own = (table: string): Map<string, Pending> => {
    let found = written.get(table)
    if (!found) written.set(table, (found = new Map<string, Pending>()))
    return found
  }
  return {
    view: {
      get(table, key) {
        const mine = written.get(table)?.get(key)
        return mine ? (mine.value as never) : view.get(table, key)
      },
      put(table, key, value) {
        own(table).set(key, { value, write: () => view.put(table, key, value) })
      },
      remove(table, key) {
        own(table).set(key, { value: undefined, write: () => view.remove(table, key) })
      },
      *entries(table) {
        const mine = written.get(table)
        for (const row of view.entries(table)) if (!mine?.has(row[0])) yield row
        for (const [key, { value }] of mine ?? []) {
          if (value !== undefined) yield [key, value as never] as const
        }
      },
    },
    keep() {
      for (const records of written.values()) for (const { write } of records.values()) write()
    },
  }
}

/** Applies `writes` to `tables` in place; records of `cold` tables are left out. */
export function applyWrites(
  tables: Tables,
  writes: readonly Write[],
  cold: ReadonlySet<string>,
): void {
  for (const { table, key, value } of writes) {
    if (cold.has(table)) continue
    let records = tables.get(table)
    if (!records) tables.set(table, (records = new Map<string, unknown>()))
    if (value === undefined) records.delete(key)
    else records.set(key, value)
  }
}
