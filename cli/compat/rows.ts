// Jobs as all batch commands see them: a line for a job, or for each task of an array that has one.
// Tasks of an array that wait share a line.

import { decimalOf, jobOfDecimal } from '../../protocol/base/decimal-id.ts'
import { parseRanges, rangesSize } from '../../protocol/base/ranges.ts'
import type { BatchRow } from '../../node/http/batch-api.ts'
import { batchPaths } from '../../node/http/batch-api.ts'
import type { Context } from '../command.ts'
import { bringBack, isBack } from './bring-back.ts'
import type { JobRecord, Records } from './records.ts'
import { openRecords } from './records.ts'

/**
 * `parked`: waits for other jobs or for a time. `returning`: it has ended, and what it left is not
 * back yet. `walltime`, `memory`: ended for passing a limit. `lost`: given up, as no site could run
 * it.
 */
export type LineState =
  | 'waiting' | 'parked' | 'held' | 'running' | 'suspended' | 'returning' | 'done' | 'failed'
  | 'cancelled' | 'walltime' | 'memory' | 'lost'

export interface Line {
  readonly row: BatchRow
  readonly record: JobRecord | undefined
  readonly id: string
  /** Undefined for a single job, and for tasks that wait together. */
  readonly task: number | undefined
  /** Of an array, the tasks that wait, as ranges. */
  readonly waiting: string
  readonly state: LineState
  /** 0-255; 0 while there is none. */
  readonly exitCode: number
  readonly site: string
  readonly detail: string
  readonly startedEpochMs: number | undefined
  readonly endedEpochMs: number | undefined
}

export interface Asked {
  /** Ids in base ten, perhaps with a task: `12`, `12_3`, `12[3]`, `12.3`, `12.site`. */
  readonly ids?: readonly string[]
  readonly state: 'open' | 'all'
  readonly user?: string | undefined
}

export interface Found {
  readonly lines: readonly Line[]
  /** Ids that no job has. */
  readonly unknown: readonly string[]
}

const idsMax = 1_000
/** Younger than that a job may still be on its way to the node. */
const forgottenMs = 3_600_000

export interface NamedJob {
  readonly job: string
  readonly task: number | undefined
}

const idPattern =
  /^(\d{1,15})(?:_(\d{1,9})|\[(\d{0,9})\]|\.(\d{1,9}))?(?:[.@][A-Za-z][^\s]*)?$/

/** Undefined for what is no id. */
export function readId(text: string): NamedJob | undefined {
  const match = idPattern.exec(text)
  const job = match && jobOfDecimal(match[1]!)
  if (!job) return undefined
  const task = match[2] ?? match[3] ?? match[4]
  return { job, task: task === undefined || task === '' ? undefined : Number(task) }
}

/** Asks the node once, brings back what has ended, and gives what there is to show. */
export async function findLines(context: Context, asked: Asked): Promise<Found> {
  const records = openRecords(context.terminal)
  const named = asked.ids?.map((text) => ({ text, named: readId(text) }))
  const rows: BatchRow[] = []
  const jobs = named && [...new Set(named.flatMap(({ named: one }) => one?.job ?? []))]
  const pieces = jobs ? pieced(jobs) : [undefined]
  for (const piece of pieces) {
    rows.push(...await context.client().get<readonly BatchRow[]>(batchPaths.batch, {
      ...(piece && { jobs: piece.join(',') }), state: jobs ? 'all' : asked.state, user: asked.user,
      limit: 10_000,
    }))
  }
  await bringBack(context, records, jobs ? rows : await withOpen(context, records, rows))
  const known = new Map(rows.map((row) => [row.job, row]))
  const lines = rows.flatMap((row) => linesOf(row, records.get(row.job)))
  if (!named) return { lines, unknown: [] }
  const isMeant = (line: Line): boolean => named.some(({ named: one }) =>
    one?.job === line.row.job && (one.task === undefined || one.task === line.task ||
      (line.task === undefined && line.row.array === false)))
  const unknown = named.flatMap(({ text, named: one }) => (one && known.has(one.job) ? [] : text))
  return { lines: lines.filter(isMeant), unknown }
}

/** Brings back of all jobs what is not back yet; true when there was something. */
export async function bringOpen(context: Context, records: Records): Promise<boolean> {
  const before = JSON.stringify(records.open())
  await bringBack(context, records, await withOpen(context, records, []))
  return JSON.stringify(records.open()) !== before
}

/** Jobs that have ended are asked for by name while something of them is not back. */
async function withOpen(
  context: Context, records: Records, rows: readonly BatchRow[],
): Promise<readonly BatchRow[]> {
  const known = new Set(rows.map(({ job }) => job))
  const others = records.open()
    .filter(({ job, node }) => node === context.directory && !known.has(job))
  const found: BatchRow[] = [...rows]
  for (const piece of pieced(others.map(({ job }) => job))) {
    found.push(...await context.client().get<readonly BatchRow[]>(batchPaths.batch, {
      jobs: piece.join(','), state: 'all', limit: idsMax,
    }))
  }
  const all = new Set(found.map(({ job }) => job))
  const longAgo = context.terminal.nowEpochMs() - forgottenMs
  for (const record of others) {
    // The node has forgotten it, and with it what could still have come back.
    const isGone = !all.has(record.job) && record.submittedEpochMs < longAgo
    if (isGone) records.put({ ...record, whole: true })
  }
  return found
}

function pieced(jobs: readonly string[]): string[][] {
  const pieces: string[][] = []
  for (let at = 0; at < jobs.length; at += idsMax) pieces.push(jobs.slice(at, at + idsMax))
  return pieces
}

function linesOf(row: BatchRow, record: JobRecord | undefined): Line[] {
  const base = { row, record, id: decimalOf(row.job) }
  const unplaced = (['waiting', 'parked', 'onHold'] as const).flatMap((kind): Line[] =>
    row[kind] === '' ? [] : [{
      ...base, task: undefined, waiting: row.array ? row[kind] : '',
      state: unplacedState(row, kind), exitCode: row.state === 'expired' ? 1 : 0, site: '',
      detail: row.note, startedEpochMs: undefined, endedEpochMs: row.endedEpochMs,
    }])
  const tasks = row.taskRows.map((task): Line => {
    const state = stateOf(task.state, task.detail ?? '', isBack(record, task.task))
    const failed = state === 'failed' || state === 'walltime' || state === 'memory'
    return {
      ...base,
      waiting: '',
      task: row.array ? task.task : undefined,
      state,
      exitCode: task.exitCode !== undefined && task.exitCode >= 0 ? task.exitCode : failed ? 1 : 0,
      site: task.site,
      detail: task.detail ?? '',
      startedEpochMs: task.startedEpochMs,
      endedEpochMs: task.endedEpochMs,
    }
  })
  return [...unplaced, ...tasks]
}

function unplacedState(row: BatchRow, kind: 'waiting' | 'parked' | 'onHold'): LineState {
  if (row.endedEpochMs === undefined) return kind === 'onHold' ? 'held' : kind
  return row.state === 'cancelled' ? 'cancelled' : 'lost'
}

function stateOf(state: string, detail: string, back: boolean): LineState {
  switch (state) {
    case 'queued': return 'waiting'
    case 'held': case 'running': case 'suspended': case 'returning': return state
  }
  if (!back) return 'returning'
  if (state === 'done') return 'done'
  if (state === 'cancelled') return 'cancelled'
  if (/walltime/.test(detail)) return 'walltime'
  return /memory/.test(detail) ? 'memory' : 'failed'
}

export const endedStates: ReadonlySet<LineState> =
  new Set<LineState>(['done', 'failed', 'cancelled', 'walltime', 'memory', 'lost'])

/** How many tasks a line stands for. */
export function tasksOf(line: Line): number {
  const ranges = line.waiting === '' ? undefined : parseRanges(line.waiting, { last: 999_999_999 })
  return ranges ? rangesSize(ranges) : 1
}

export function elapsedSeconds(line: Line, nowEpochMs: number): number {
  if (line.startedEpochMs === undefined) return 0
  const end = line.endedEpochMs ?? nowEpochMs
  return Math.max(0, Math.floor((end - line.startedEpochMs) / 1_000))
}
