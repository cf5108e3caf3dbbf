// What is done to the tasks of the embedded executor besides starting and cancelling them: held in
// the queue, stopped and continued, signalled.
//
// Invariants: a signal reaches every process that a task has started and neither its supervisor nor
// what stands between them (timeout(1), the sandbox), which would die of it; a suspended task's
// walltime runs on, because timeout(1) is not stopped.

import { readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import type { Outcome } from '../../protocol/base/outcome.ts'
import { ok, refuse } from '../../protocol/base/outcome.ts'
import { clock } from '../clock.ts'
import type { ControlRefusal, ControlVerb } from './driver.ts'
import type { Book, Task } from './embedded-book.ts'
import { hold, release, setSuspended } from './embedded-book.ts'
import { readDescendants, readProcess, sendSignal } from './process-table.ts'

/** A process may be forked while the others are being stopped. */
const roundsMax = 8
const between: ReadonlySet<string> = new Set(['timeout', 'bwrap', 'setpriv', 'env'])
/** Between the start of a supervisor and that of the command. */
const startingMs = 20
const startingTries = 250

/** Changes the book; the caller then stores what is held and suspended, and calls `afterwards`. */
export function control(
  book: Book, tasks: readonly Task[], verb: ControlVerb,
): Outcome<{ afterwards(): Promise<void> }, ControlRefusal> {
  const nothing = { afterwards: () => Promise.resolve() }
  // Also those whose supervisor is only being started: what is done to them waits for it.
  const running = tasks.filter(({ status }) => status.kind === 'running')
  switch (verb.kind) {
    case 'hold':
      for (const task of tasks) hold(book, task)
      return ok(nothing)
    case 'release':
      for (const task of tasks) release(book, task)
      return ok(nothing)
    case 'requeue':
      return refuse({ reason: 'unable', words: 'a task is started once here; submit it again' })
    default: {
      if (running.length === 0 && tasks.some(({ status }) => status.kind !== 'ended')) {
        return refuse({ reason: 'state', words: `${verb.kind}: expected running tasks, none runs` })
      }
      if (verb.kind === 'signal') return ok({ afterwards: () => signalAll(running, verb.name) })
      const isSuspended = verb.kind === 'suspend'
      for (const task of running) setSuspended(task, isSuspended)
      return ok({ afterwards: () => stopOrGo(running, isSuspended) })
    }
  }
}

async function signalAll(tasks: readonly Task[], name: string): Promise<void> {
  for (const task of tasks) {
    for (const one of await startedBy(task)) sendSignal(one, `SIG${name}` as NodeJS.Signals)
  }
}

/** Also after a restart: doing it again changes nothing. */
export async function stopOrGo(tasks: readonly Task[], isSuspended: boolean): Promise<void> {
  for (const task of tasks) {
    const done = new Set<number>()
    await startedBy(task)
    const { pid } = task
    // Somebody may have asked for the contrary meanwhile.
    const { status } = task
    if (status.kind !== 'running' || (status.suspended === true) !== isSuspended) continue
    for (let round = 0; round < roundsMax; round++) {
      const fresh = processesOf(pid).filter((one) => !done.has(one))
      for (const one of fresh) {
        sendSignal(one, isSuspended ? 'SIGSTOP' : 'SIGCONT')
        done.add(one)
      }
      if (fresh.length === 0) break
    }
  }
}

/** The processes of a task once there are any; a supervisor that has just started has none. */
export async function startedBy(task: Task): Promise<readonly number[]> {
  for (let tries = 0; tries < startingTries; tries++) {
    const { pid, status } = task
    const found = processesOf(pid)
    const isOver = status.kind !== 'running' || (pid !== undefined && !readProcess(pid))
    if (found.length > 0 || isOver) return found
    await clock.sleep(startingMs)
  }
  return []
}

/** The processes of a task, without those between them and its supervisor `pid`. */
function processesOf(pid: number | undefined): number[] {
  if (pid === undefined) return []
  return readDescendants(pid).filter((one) => !between.has(programOf(one)))
}

function programOf(pid: number): string {
  try {
    return basename(readlinkSync(`/proc/${pid}/exe`))
  } catch {
    // It ended meanwhile, or is another user's, whom we may not signal either.
    return ''
  }
}
