// Which row speaks for which task. Pure.

import type { BatchRow } from './batch-tongue.ts'

/**
 * The row of each of a submission's `tasks` positions, as far as job `jobId` is mentioned. A row
 * that names no position stands for all that no other row names: a job by itself, or an array that
 * no longer says which indexes it had.
 */
export function placeRows(
  rows: readonly BatchRow[],
  jobId: string,
  tasks: number,
): Map<number, BatchRow> {
  const places = new Map<number, BatchRow>()
  const own = rows.filter((row) => row.jobId === jobId)
  for (const row of own) {
    for (const position of row.positions ?? []) {
      if (position < tasks) places.set(position, row)
    }
  }
  for (const row of own.filter(({ positions }) => positions === undefined)) {
    for (let position = 0; position < tasks; position++) {
      if (!places.has(position)) places.set(position, row)
    }
  }
  return places
}
