// Typed, read-only looks at the loop's tables, for views and for the doors. The core alone writes
// them.

import { compareBytes } from '../../protocol/base/ids.ts'
import type { Tables } from '../../protocol/base/tables.ts'
import { draft } from '../../protocol/base/tables.ts'
import type { View } from '../../protocol/base/tables.ts'
import type { CoreTables } from '../../protocol/machine/state.ts'

export type TableName = keyof CoreTables

export function get<K extends TableName>(
  tables: Tables, table: K, key: string,
): CoreTables[K] | undefined {
  return tables.get(table)?.get(key) as CoreTables[K] | undefined
}

/** Records in byte order of their keys. */
export function sorted<K extends TableName>(
  tables: Tables, table: K,
): [string, CoreTables[K]][] {
  const records = (tables.get(table) ?? new Map<string, unknown>()) as Map<string, CoreTables[K]>
  return [...records].sort(([a], [b]) => compareBytes(a, b))
}

/** For rules that take a view; what they might write goes nowhere. */
export function viewOf(tables: Tables): View<CoreTables> {
  return draft<CoreTables>(tables)
}
