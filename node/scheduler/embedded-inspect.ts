// What a task's records and the process table say about it: the one place where a task is declared
// lost.
//
// Invariant: `lost` needs proof. Either the machine was started anew since the supervisor claimed
// the task, or no process is the supervisor and there is still no end record when we look again
// afterwards. What such a supervisor left running is killed before the task is reported, so that it
// cannot run beside its successor.

import type { EndedTask } from './driver.ts'
import { findByArguments, isAlive, killSession } from './process-table.ts'
import { readEnd, readStart, recordLost, supervisorMark } from './supervisor.ts'

export type Found =
  | { readonly kind: 'absent' }
  | {
      readonly kind: 'running'
      /** The supervisor's. */
      readonly pid: number
      readonly born: number
      readonly startedEpochMs: number
    }
  | EndedTask

/** `base` names the task's records, `boot` is the machine's present boot id. */
export function inspect(base: string, directory: string, boot: string): Found {
  const start = readStart(base)
  if (start.kind === 'absent') return start
  if (start.kind === 'cancelled') return neverStarted(start.epochMs)
  const ended = endOf(base)
  if (ended) return ended
  if (start.kind === 'torn') {
    const supervisor = findByArguments(supervisorMark(base, directory))
    if (supervisor) {
      const { pid, born } = supervisor
      return { kind: 'running', pid, born, startedEpochMs: start.epochMs }
    }
  } else if (start.kind === 'started' && start.boot === boot) {
    const { pid, born, epochMs } = start
    if (isAlive(pid, born)) return { kind: 'running', pid, born, startedEpochMs: epochMs }
    killSession(pid, born)
  }
  // It may have written its record after we looked for it and before we looked for its process.
  const meanwhile = endOf(base)
  if (meanwhile) return meanwhile
  recordLost(base)
  const lost = readEnd(base)
  const endedEpochMs = lost?.epochMs ?? start.epochMs
  return { kind: 'ended', how: 'lost', exitCode: -1, startedEpochMs: start.epochMs, endedEpochMs }
}

function endOf(base: string): EndedTask | undefined {
  const end = readEnd(base)
  if (!end) return undefined
  const { how, exitCode, durationMs, cpuMs, epochMs } = end
  if (how === 'lost') {
    const start = readStart(base)
    const startedEpochMs = start.kind === 'absent' ? epochMs : Math.min(start.epochMs, epochMs)
    return { kind: 'ended', how, exitCode, startedEpochMs, endedEpochMs: epochMs }
  }
  const startedEpochMs = epochMs - durationMs
  return { kind: 'ended', how, exitCode, startedEpochMs, endedEpochMs: epochMs, cpuMs }
}

function neverStarted(epochMs: number): EndedTask {
  return {
    kind: 'ended', how: 'cancelled', exitCode: -1, startedEpochMs: epochMs, endedEpochMs: epochMs,
  }
}
