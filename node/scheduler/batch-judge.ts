// What is true of a task at a command-line scheduler, from three witnesses: the scheduler's row,
// the records that the job script left in the task's directory, and, for tasks that the scheduler
// has already let go, the last words of its accounting.
//
// Invariant: an ended task needs a witness that says so. A task that nobody mentions is what it
// last was, until it can no longer be running by its own walltime or, if it never started, the
// scheduler has not known it for a while; only then it is lost.

import { join } from 'node:path'
import { clock } from '../clock.ts'
import { claimedElsewhereCode } from './batch-script.ts'
import type { BatchPhase, BatchRow } from './batch-tongue.ts'
import type { EndedHow, EndedTask, Submission, TaskStatus } from './driver.ts'
import { readEnd, readStart } from './supervisor.ts'
import type { EndRecord } from './supervisor.ts'

export interface BatchTask {
  readonly taskIndex: number
  /** Its place in the submission, from which its array index comes. */
  readonly position: number
  /** Path of its records without their extensions. */
  readonly base: string
  status: TaskStatus
  /**
   * We have asked the scheduler to end it. One that still waited in an array then may vanish
   * without a trace.
   */
  cancelled: boolean
  /** Why the scheduler will never start it; it is cancelled for that. */
  stuck: string | undefined
  /** Since when the scheduler answers and does not mention it, or not how it ended. */
  missingSinceEpochMs: number | undefined
}

/**
 * How long a record may take to become visible on a shared file system, and a node to be given up.
 */
const patienceMs = 120_000

export function batchTasks(submission: Submission): BatchTask[] {
  return submission.tasks.map(({ taskIndex, directory }, position) => ({
    taskIndex, position, base: join(directory, '.gridnode', submission.tag),
    status: { kind: 'queued' }, cancelled: false, stuck: undefined, missingSinceEpochMs: undefined,
  }))
}

export function isAlive(phase: BatchPhase): boolean {
  return phase === 'queued' || phase === 'held' || phase === 'stuck'
    || phase === 'running' || phase === 'suspended'
}

/** Brings `task.status` up to what `row` and the records say. */
export function judge(task: BatchTask, row: BatchRow | undefined, walltimeSeconds: number): void {
  if (task.status.kind === 'ended') return
  if (row && isAlive(row.phase)) {
    task.missingSinceEpochMs = undefined
    task.status = row.phase === 'running' || row.phase === 'suspended'
      ? running(task, row.startEpochMs, row.phase === 'suspended')
      : waiting(row)
    return
  }
  task.status = (row && endedByRow(task, row)) ?? unmentioned(task, walltimeSeconds)
}

/** The last words on a task that the query does not show. */
export function judgeByLastWords(task: BatchTask, row: BatchRow): void {
  if (task.status.kind === 'ended' || isAlive(row.phase)) return
  task.status = endedByRow(task, row) ?? task.status
}

function waiting({ phase, startEpochMs, reason }: BatchRow): TaskStatus {
  return {
    kind: 'queued',
    ...(phase === 'held' ? { held: true } : {}),
    ...(startEpochMs > 0 ? { startsEpochMs: startEpochMs } : {}),
    ...(reason === '' ? {} : { words: reason }),
  }
}

function running(task: BatchTask, startEpochMs: number, suspended: boolean): TaskStatus {
  // Said once, kept: the start may not move while a task runs.
  const startedEpochMs = task.status.kind === 'running'
    ? task.status.startedEpochMs
    : startEpochMs || startOf(task) || clock.now()
  return { kind: 'running', startedEpochMs, ...(suspended ? { suspended } : {}) }
}

/** When a job script claimed the task; undefined when none did. */
function startOf(task: BatchTask): number | undefined {
  const start = readStart(task.base)
  return start.kind === 'absent' ? undefined : start.epochMs
}

/** Undefined when the row does not say how it ended: then the records or the accounting will. */
function endedByRow(task: BatchTask, row: BatchRow): EndedTask | undefined {
  const record = readEnd(task.base)
  const { how, exitCode } = verdict(row)
  if (how === undefined) return undefined
  // The script saw the end itself, whatever the scheduler made of it since.
  if (record && (how === 'exited' || how === 'cancelled')) {
    return { ...endedByRecord(record, how === 'cancelled'), ...measured(row, record) }
  }
  if (exitCode === undefined) return undefined
  // Another job of the same tag runs this task; its records will tell.
  if (how === 'exited' && exitCode === claimedElsewhereCode) return undefined
  const began = startOf(task)
  const now = clock.now()
  const endedEpochMs = row.endEpochMs || now
  const words = row.reason === '' ? {} : { words: row.reason }
  if (how === 'cancelled' && began === undefined) {
    return neverStarted(task, endedEpochMs, words)
  }
  const startedEpochMs = Math.min(row.startEpochMs || (began ?? endedEpochMs), endedEpochMs)
  const kept = record && record.exitCode > 128 && how !== 'lost' ? record.exitCode : exitCode
  return {
    kind: 'ended', how, exitCode: kept, startedEpochMs, endedEpochMs,
    ...measured(row, record), ...(how === 'exited' ? {} : words),
  }
}

/** The scheduler's own accounting where it has one, else what the script measured. */
function measured(row: BatchRow, record: EndRecord | undefined): Partial<EndedTask> {
  const cpuMs = row.cpuMs ?? record?.cpuMs
  return {
    ...(cpuMs === undefined ? {} : { cpuMs }),
    ...(row.memoryBytesPeak === undefined ? {} : { memoryBytesPeak: row.memoryBytesPeak }),
  }
}

/**
 * The command may have died of a cancel's signal before the script heard of it: then the record
 * knows of no cancel, and the scheduler or we do.
 */
function endedByRecord(record: EndRecord, cancelled: boolean): EndedTask {
  const { exitCode, durationMs, cpuMs, epochMs } = record
  const killed = exitCode === 143 || exitCode === 137
  const how = cancelled && killed && record.how === 'exited' ? 'cancelled' : record.how
  return {
    kind: 'ended', how, exitCode, cpuMs,
    startedEpochMs: epochMs - durationMs, endedEpochMs: epochMs,
  }
}

function unmentioned(task: BatchTask, walltimeSeconds: number): TaskStatus {
  const record = readEnd(task.base)
  if (record) return endedByRecord(record, task.cancelled)
  const now = clock.now()
  task.missingSinceEpochMs ??= now
  const startedEpochMs = startOf(task)
  // A task that got stuck does not run, even if an earlier attempt had claimed it.
  const waited = startedEpochMs === undefined || task.stuck !== undefined
  if (task.cancelled && waited) return neverStarted(task, now, {})
  const overEpochMs = startedEpochMs === undefined
    ? task.missingSinceEpochMs + patienceMs
    : Math.max(task.missingSinceEpochMs, startedEpochMs + walltimeSeconds * 1_000) + patienceMs
  if (now < overEpochMs) {
    return startedEpochMs === undefined ? task.status : running(task, startedEpochMs, false)
  }
  const lost = { kind: 'ended', how: 'lost', exitCode: -1, endedEpochMs: now } as const
  return { ...lost, startedEpochMs: startedEpochMs ?? now }
}

/** A task that got stuck was cancelled by us alone, so that it could not start after all. */
function neverStarted(task: BatchTask, endedEpochMs: number, words: object): EndedTask {
  const at = { exitCode: -1, startedEpochMs: endedEpochMs, endedEpochMs } as const
  if (task.stuck === undefined) return { kind: 'ended', how: 'cancelled', ...at, ...words }
  return { kind: 'ended', how: 'lost', ...at, words: task.stuck }
}

function verdict(
  { phase, exitCode }: BatchRow,
): { readonly how: EndedHow | undefined; readonly exitCode: number | undefined } {
  switch (phase) {
    case 'exited': return { how: 'exited', exitCode }
    case 'walltime': return { how: 'walltime', exitCode: 143 }
    case 'memory': return { how: 'memory', exitCode: 137 }
    case 'cancelled': return { how: 'cancelled', exitCode: 143 }
    case 'lost': return { how: 'lost', exitCode: -1 }
    default: return { how: undefined, exitCode }
  }
}
