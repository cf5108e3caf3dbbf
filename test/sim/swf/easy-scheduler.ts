// The batch scheduler of a simulated site that runs a workload: first come first served with EASY
// backfill over its processors, by the very function of the embedded executor. A task runs as long
// as its job did in the log, and it tells when each started and ended.
//
// Invariant: no more cores are in use than there are, and no task of a tag is started twice.

import type { ObservedTask } from '../../../protocol/machine/events.ts'
import type { TrancheId } from '../../../protocol/base/ids.ts'
import { startable } from '../../../node/scheduler/backfill.ts'
import type { BatchScheduler, Size, Submission } from '../batch-scheduler.ts'
import type { VirtualTime } from '../virtual-time.ts'

export interface EasyOptions {
  readonly time: VirtualTime
  readonly size: Size
  /** How long the task would run if nobody ended it. */
  readonly runMs: (submission: Submission) => number
  readonly started: (submission: Submission, nowMs: number, task: number) => void
  readonly ended: (submission: Submission, nowMs: number, task: number) => void
}

interface Task {
  readonly submission: Submission
  readonly task: number
  status: ObservedTask['status']
  callOff?: () => void
}

export function easyScheduler(options: EasyOptions): BatchScheduler {
  const { time, size } = options
  const tags = new Map<TrancheId, Task[]>()
  const queue: Task[] = []
  const running = new Set<Task>()
  const starts = new Map<string, number>()
  const submitted = new Set<TrancheId>()
  let [coresFree, memoryFree, changes] = [size.cores, size.memoryMib, 0]

  const end = (task: Task, how: 'exited' | 'walltime' | 'cancelled'): void => {
    const { status, submission } = task
    if (status.kind === 'ended') return
    const endedEpochMs = time.now()
    const startedEpochMs = status.kind === 'running' ? status.startedEpochMs : endedEpochMs
    task.callOff?.()
    if (running.delete(task)) {
      coresFree += submission.cores
      memoryFree += submission.memoryMib
      options.ended(submission, endedEpochMs, task.task)
    } else queue.splice(queue.indexOf(task), 1)
    const exitCode = how === 'exited' ? 0 : 143
    task.status = { kind: 'ended', how, exitCode, startedEpochMs, endedEpochMs }
    changes++
    startMore()
  }

  const startMore = (): void => {
    const count = startable({
      free: { cores: coresFree, memoryBytes: memoryFree },
      running: () => [...running].map(({ submission, status }) => ({
        cores: submission.cores,
        memoryBytes: submission.memoryMib,
        endsEpochMs: (status.kind === 'running' ? status.startedEpochMs : time.now()) +
          submission.walltimeSeconds * 1_000,
      })),
      queue: queue.map(({ submission: { cores, memoryMib, walltimeSeconds } }) =>
        ({ cores, memoryBytes: memoryMib, count: 1, walltimeMs: walltimeSeconds * 1_000 })),
      nowEpochMs: time.now(),
    })
    for (const task of queue.filter((_, at) => count[at] === 1)) start(task)
  }

  const start = (task: Task): void => {
    const { submission } = task
    const { tag, cores, memoryMib, walltimeSeconds } = submission
    const key = `${tag}/${task.task}`
    if (starts.has(key)) throw new Error(`law 2: ${key} is started a second time`)
    starts.set(key, 1)
    queue.splice(queue.indexOf(task), 1)
    running.add(task)
    coresFree -= cores
    memoryFree -= memoryMib
    if (coresFree < 0) throw new Error(`${key} starts on cores that are in use`)
    task.status = { kind: 'running', startedEpochMs: time.now() }
    options.started(submission, time.now(), task.task)
    const [runMs, walltimeMs] = [options.runMs(submission), walltimeSeconds * 1_000]
    task.callOff = time.after(Math.min(runMs, walltimeMs), () =>
      end(task, runMs > walltimeMs ? 'walltime' : 'exited'))
  }

  return {
    reachable: true,
    starts,
    submitted,
    get changes() {
      return changes
    },
    submit(submission) {
      const { tag, walltimeSeconds } = submission
      if (tags.has(tag)) return 'known'
      if (submitted.has(tag)) {
        throw new Error(`law 2: ${tag} is submitted again after it was forgotten`)
      }
      if (submission.cores > size.cores || walltimeSeconds > size.walltimeSecondsMax) {
        return 'refused'
      }
      submitted.add(tag)
      const tasks = submission.tasks.map((task): Task =>
        ({ submission, task, status: { kind: 'queued' } }))
      tags.set(tag, tasks)
      queue.push(...tasks)
      changes++
      startMore()
      return 'submitted'
    },
    cancel(tag) {
      for (const task of tags.get(tag) ?? []) end(task, 'cancelled')
    },
    forget(tag) {
      for (const task of tags.get(tag) ?? []) end(task, 'cancelled')
      tags.delete(tag)
      changes++
    },
    observe: () => [...tags].flatMap(([tranche, tasks]) =>
      tasks.map(({ task, status }) => ({ tranche, task, status }))),
    capacity: (nowEpochMs) => ({
      observedEpochMs: nowEpochMs,
      coresTotal: size.cores,
      coresFree,
      memoryMibTotal: size.memoryMib,
      memoryMibFree: memoryFree,
      tasksQueued: queue.length,
      tasksRunning: running.size,
      coresPerTaskMax: size.cores,
      memoryMibPerTaskMax: size.memoryMib,
      walltimeSecondsMax: size.walltimeSecondsMax,
      spoolBytesFree: 10 ** 12,
      reachable: true,
    }),
    idle: () => running.size === 0 && queue.length === 0,
  }
}
