// Where a task's output goes: the pattern that the user gave, in the words of the scheduler.

import { expandPattern } from '../../protocol/rules/output-paths.ts'
import type { BatchRow } from '../../node/http/batch-api.ts'
import type { JobRecord } from './records.ts'

/** The number of a job in a pattern of PBS, without its server and its task. */
export const sequence = '$GN_ID'

/** Paths as they were meant; '' = nowhere. Equal when both streams go to one file. */
export function streamFiles(
  record: JobRecord, row: BatchRow, task: number,
): { readonly out: string; readonly error: string } {
  const { dialect, name } = record
  const site = row.taskRows.find((one) => one.task === task)?.site ?? ''
  const facts = { dialect, job: row.job, name, user: row.user, array: row.array }
  // Of `host:/path` the host does not count.
  const expand = (pattern: string): string =>
    expandPattern(facts, { task, site }, pattern.replace(/^[A-Za-z0-9.-]*:(?=\/)/, ''))
  const { out, error, join } = record.streams
  const first = expand(out)
  return { out: first, error: join || error === out ? first : expand(error) }
}
