// What is true of a task on Slurm, from three witnesses: squeue's row, the records that the batch
// script left in the task's directory, and, for tasks that Slurm has already let go, its job
// completion log.
//
// Invariant: an ended task needs a witness that says so. A task that nobody mentions is what it
// last was, until it can no longer be running by its own walltime or, if it never started, Slurm
// has not known it for a while; only then it is lost.

import { clock } from '../clock.ts'
import type { EndedHow, EndedTask, Submission, TaskStatus } from './driver.ts'
import { claimedElsewhereCode } from './slurm-commands.ts'
import type { JobPhase, JobRow } from './slurm-output.ts'
import { join } from 'node:path'
import { readEnd, readStart } from './supervisor.ts'
import type { EndRecord } from './supervisor.ts'

export interface SlurmTask {
  readonly taskIndex: number
  /** Its array index. */
  readonly position: number
  /** Path of its records without their extensions. */
  readonly base: string
  status: TaskStatus
  /**
   * We have asked Slurm to end it. One that still waited in an array then vanishes without a trace.
   */
  cancelled: boolean
  /** Since when Slurm answers and does not mention it. */
  missingSinceEpochMs: number | undefined
}

export type Completion = { readonly phase: JobPhase; readonly exitCode: number }

/**
 * How long a record may take to become visible on a shared file system, and a node to be given up.
 */
const patienceMs = 120_000

export function slurmTasks(submission: Submission): SlurmTask[] {
  return submission.tasks.map(({ taskIndex, directory }, position) => ({
    taskIndex, position, base: join(directory, '.gridnode', submission.tag),
    status: { kind: 'queued' }, cancelled: false, missingSinceEpochMs: undefined,
  }))
}

/** Brings `task.status` up to what `row` and the records say. True when it changed. */
export function judge(task: SlurmTask, row: JobRow | undefined, walltimeSeconds: number): boolean {
  const before = task.status
  if (before.kind === 'ended') return false
  if (row?.phase === 'queued') task.status = { kind: 'queued' }
  else if (row?.phase === 'running') task.status = running(task, row.startSeconds * 1_000)
  else if (row) task.status = endedBySlurm(task, row) ?? unmentioned(task, walltimeSeconds)
  else task.status = unmentioned(task, walltimeSeconds)
  if (row) task.missingSinceEpochMs = undefined
  return before.kind !== task.status.kind
}

/** A task that squeue does not show, and the completion log does. */
export function judgeByCompletion(task: SlurmTask, completion: Completion): void {
  if (task.status.kind === 'ended') return
  const { how, exitCode } = verdict(completion.phase, completion.exitCode)
  if (how === undefined) return
  const now = clock.now()
  // The log has times of day without a zone, so the end is when we learned of it.
  const start = readStart(task.base)
  const began = start.kind !== 'absent'
  task.status = {
    kind: 'ended', how, exitCode: began || how === 'exited' ? exitCode : -1,
    startedEpochMs: began ? Math.min(start.epochMs, now) : now, endedEpochMs: now,
  }
}

function running(task: SlurmTask, startedEpochMs: number): TaskStatus {
  // Said once, kept: the start may not move while a task runs.
  if (task.status.kind === 'running') return task.status
  return { kind: 'running', startedEpochMs }
}

function endedBySlurm(task: SlurmTask, row: JobRow): EndedTask | undefined {
  const record = readEnd(task.base)
  const { how, exitCode } = verdict(row.phase, row.exitCode)
  if (how === undefined) return undefined
  // The script saw the end itself, whatever Slurm made of it since.
  if (record && (how === 'exited' || how === 'cancelled')) {
    return endedByRecord(record, how === 'cancelled')
  }
  if (how === 'exited') {
    // Another job of the same tag runs this task; its records will tell.
    if (exitCode === claimedElsewhereCode) return undefined
  }
  const endedEpochMs = row.endSeconds * 1_000
  const began = readStart(task.base).kind !== 'absent'
  if (how === 'cancelled' && !began) {
    return { kind: 'ended', how, exitCode: -1, startedEpochMs: endedEpochMs, endedEpochMs }
  }
  const startedEpochMs = Math.min(row.startSeconds * 1_000 || endedEpochMs, endedEpochMs)
  const kept = record && record.exitCode > 128 && how !== 'lost' ? record.exitCode : exitCode
  return {
    kind: 'ended', how, exitCode: kept, startedEpochMs, endedEpochMs,
    ...(record ? { cpuMs: record.cpuMs } : {}),
  }
}

/**
 * The command may have died of a cancel's signal before the script heard of it: then the record
 * knows of no cancel, and Slurm or we do.
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

function unmentioned(task: SlurmTask, walltimeSeconds: number): TaskStatus {
  const record = readEnd(task.base)
  if (record) return endedByRecord(record, task.cancelled)
  const now = clock.now()
  task.missingSinceEpochMs ??= now
  const start = readStart(task.base)
  const startedEpochMs = start.kind === 'absent' ? undefined : start.epochMs
  if (task.cancelled && startedEpochMs === undefined) {
    const neverStarted = { kind: 'ended', how: 'cancelled', exitCode: -1 } as const
    return { ...neverStarted, startedEpochMs: now, endedEpochMs: now }
  }
  const overEpochMs = startedEpochMs === undefined
    ? task.missingSinceEpochMs + patienceMs
    : Math.max(task.missingSinceEpochMs, startedEpochMs + walltimeSeconds * 1_000) + patienceMs
  if (now < overEpochMs) {
    return startedEpochMs === undefined ? task.status : running(task, startedEpochMs)
  }
  const lost = { kind: 'ended', how: 'lost', exitCode: -1, endedEpochMs: now } as const
  return { ...lost, startedEpochMs: startedEpochMs ?? now }
}

function verdict(
  phase: JobPhase,
  exitCode: number,
): { readonly how: EndedHow | undefined; readonly exitCode: number } {
  switch (phase) {
    case 'completed': case 'failed': return { how: 'exited', exitCode }
    case 'timeout': return { how: 'walltime', exitCode: 143 }
    case 'memory': return { how: 'memory', exitCode: 137 }
    case 'cancelled': return { how: 'cancelled', exitCode: 143 }
    case 'lost': return { how: 'lost', exitCode: -1 }
    default: return { how: undefined, exitCode }
  }
}
