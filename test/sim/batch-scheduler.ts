// The batch scheduler beside a simulated node: cores, memory, first come first served, walltime.
// It outlives crashes of the node. What a task does is drawn from the seed by the task's name
// alone. Invariants: it counts every start of every task of every tag for ever, so that a second
// one is seen; it takes no order after a later one of its tag, and no signal twice.

import type { ObservedTask } from '../../protocol/machine/events.ts'
import { parseRanges, rangesHave } from '../../protocol/base/ranges.ts'
import type { Order } from '../../protocol/machine/job-orders.ts'
import type { TrancheId } from '../../protocol/base/ids.ts'
import type { CapacityRecord } from '../../protocol/machine/state.ts'
import { random } from './random.ts'
import type { VirtualTime } from './virtual-time.ts'

export interface Size {
  readonly cores: number
  readonly memoryMib: number
  readonly walltimeSecondsMax: number
}

export interface Submission {
  readonly tag: TrancheId
  readonly tasks: readonly number[]
  readonly cores: number
  readonly memoryMib: number
  readonly walltimeSeconds: number
}

export interface Outcome {
  readonly durationMs: number
  readonly exitCode: number
  readonly missing: readonly string[]
  /** The machine is restarted under it after so long, or never. */
  readonly lostAfterMs: number | undefined
}

export interface BatchScheduler {
  /** False while it does not answer. */
  reachable: boolean
  submit(submission: Submission): 'submitted' | 'known' | 'refused'
  cancel(tag: TrancheId): void
  /** '' when it is done, else why not. */
  control?(tag: TrancheId, order: Order): string
  forget(tag: TrancheId): void
  observe(): ObservedTask[]
  capacity(nowEpochMs: number): CapacityRecord
  /** How often each task was started: key tag/task. */
  readonly starts: ReadonlyMap<string, number>
  readonly submitted: ReadonlySet<TrancheId>
  /** Nothing queued or running. */
  idle(): boolean
  /** Grows with every change, where it is counted: who has seen this number has seen all. */
  readonly changes?: number
}

type Status = ObservedTask['status']
type Ended = Extract<Status, { kind: 'ended' }>

interface Task {
  readonly submission: Submission
  readonly task: number
  status: Status
  callOff?: () => void
  /** While it is suspended: how much longer it would run, and to what end. */
  left?: { readonly ms: number; readonly fate: () => void }
  due?: { readonly atMs: number; readonly fate: () => void }
}

/** Where the outcomes of tasks come from. */
export interface Fates {
  readonly seed: number
  /** Every task ends so. */
  readonly outcome?: Outcome
}

export function outcomeOf(
  fates: Fates, name: { readonly tag: string; readonly task: number }, lostPermille = 0,
): Outcome {
  if (fates.outcome) return fates.outcome
  const chance = random(fates.seed, `task ${name.tag}/${name.task}`)
  const durationMs = chance.chance(100) ? chance.between(0, 900) : chance.between(1_000, 45_000)
  const exitCode = chance.chance(60) ? chance.between(1, 255) : 0
  const missing = chance.chance(40) ? ['out.txt'] : []
  const lost = chance.chance(lostPermille)
  const lostAfterMs = lost ? chance.between(1, durationMs + 1) : undefined
  return { durationMs, exitCode, missing, lostAfterMs }
}

export function batchScheduler(options: {
  readonly time: VirtualTime
  readonly fates: Fates
  readonly size: Size
  /** In a thousand: tasks lost, submissions refused. */
  readonly mischief: { readonly lost: number; readonly refused: number }
  readonly log: (text: string) => void
}): BatchScheduler {
  const { time, size, fates, mischief } = options
  const tags = new Map<TrancheId, Task[]>()
  const waiting: Task[] = []
  const starts = new Map<string, number>()
  const submitted = new Set<TrancheId>()
  const refusals = new Map<TrancheId, boolean>()
  const orders = new Map<TrancheId, number>()
  let [coresFree, memoryFree, running] = [size.cores, size.memoryMib, 0]

  const end = (task: Task, how: Ended['how'], exitCode: number): void => {
    const { status, submission } = task
    if (status.kind === 'ended') return
    const endedEpochMs = time.now()
    const startedEpochMs = status.kind === 'running' ? status.startedEpochMs : endedEpochMs
    task.callOff?.()
    if (status.kind === 'running') {
      coresFree += submission.cores
      memoryFree += submission.memoryMib
      running--
    } else {
      waiting.splice(waiting.indexOf(task), 1)
    }
    task.status = { kind: 'ended', how, exitCode, startedEpochMs, endedEpochMs }
    options.log(`task ${submission.tag}/${task.task} ended: ${how} ${exitCode}`)
    startMore()
  }

  const startMore = (): void => {
    for (const task of waiting.slice()) {
      const { submission, status } = task
      if (status.kind === 'queued' && status.held) continue
      if (submission.cores > coresFree || submission.memoryMib > memoryFree) continue
      waiting.splice(waiting.indexOf(task), 1)
      start(task)
    }
  }

  const start = (task: Task): void => {
    const { submission } = task
    const key = `${submission.tag}/${task.task}`
    starts.set(key, (starts.get(key) ?? 0) + 1)
    coresFree -= submission.cores
    memoryFree -= submission.memoryMib
    running++
    task.status = { kind: 'running', startedEpochMs: time.now() }
    options.log(`task ${key} starts`)
    const fate = outcomeOf(fates, { tag: submission.tag, task: task.task }, mischief.lost)
    const walltimeMs = submission.walltimeSeconds * 1_000
    const after = Math.min(fate.durationMs, walltimeMs)
    const lost = fate.lostAfterMs
    if (lost !== undefined && lost < after) plan(task, lost, () => end(task, 'lost', -1))
    else plan(task, after, () => fate.durationMs > walltimeMs
      ? end(task, 'walltime', 143) : end(task, 'exited', fate.exitCode))
  }

  const plan = (task: Task, ms: number, then: () => void): void => {
    task.due = { atMs: time.now() + ms, fate: then }
    task.callOff = time.after(ms, then)
  }

  /** Suspended, a task makes no progress, but its walltime runs on. */
  const suspend = (task: Task): void => {
    const { status, due } = task
    if (status.kind !== 'running' || status.suspended || !due) return
    task.callOff?.()
    task.left = { ms: Math.max(0, due.atMs - time.now()), fate: due.fate }
    const walltimeMs = status.startedEpochMs + task.submission.walltimeSeconds * 1_000
    task.callOff = time.after(Math.max(0, walltimeMs - time.now()), () =>
      end(task, 'walltime', 143))
    task.status = { ...status, suspended: true }
    options.log(`task ${task.submission.tag}/${task.task} is suspended`)
  }

  const resume = (task: Task): void => {
    const { status, left } = task
    if (status.kind !== 'running' || !status.suspended || !left) return
    task.callOff?.()
    const { suspended: _, ...running } = status
    task.status = running
    const walltimeMs = status.startedEpochMs + task.submission.walltimeSeconds * 1_000
    const byWalltime = time.now() + left.ms > walltimeMs
    plan(task, byWalltime ? Math.max(0, walltimeMs - time.now()) : left.ms, byWalltime
      ? () => end(task, 'walltime', 143) : left.fate)
    options.log(`task ${task.submission.tag}/${task.task} is resumed`)
  }

  const controlOne = (task: Task, verb: Order['verb']): void => {
    const { status } = task
    if (verb === 'cancel' || verb === 'requeue') end(task, 'cancelled', 143)
    else if (verb === 'suspend') suspend(task)
    else if (verb === 'resume') resume(task)
    else if (verb === 'hold' && status.kind === 'queued') task.status = { ...status, held: true }
    else if (verb === 'release' && status.kind === 'queued') task.status = { kind: 'queued' }
  }

  return {
    reachable: true,
    starts,
    submitted,
    submit(submission) {
      const { tag } = submission
      if (tags.has(tag)) return 'known'
      if (submitted.has(tag)) {
        throw new Error(`law 2: ${tag} is submitted again after it was forgotten`)
      }
      const refused = refusals.get(tag) ??
        random(fates.seed, `refuse ${tag}`).chance(mischief.refused)
      refusals.set(tag, refused)
      if (refused || submission.walltimeSeconds > size.walltimeSecondsMax) return 'refused'
      submitted.add(tag)
      const tasks = submission.tasks.map((task): Task =>
        ({ submission, task, status: { kind: 'queued' } }))
      tags.set(tag, tasks)
      waiting.push(...tasks)
      options.log(`tranche ${tag} submitted: ${tasks.length} tasks`)
      startMore()
      return 'submitted'
    },
    cancel(tag) {
      for (const task of tags.get(tag) ?? []) end(task, 'cancelled', 143)
    },
    control(tag, { n, verb, signal, tasks }) {
      const newest = orders.get(tag) ?? 0
      if (n < newest || (n === newest && verb === 'signal')) {
        throw new Error(`CONTROL-1: order ${n} of ${tag}, ${verb}, comes after order ${newest}`)
      }
      orders.set(tag, n)
      const ranges = parseRanges(tasks, { last: 1_000_000_000 }) ?? []
      for (const task of tags.get(tag) ?? []) {
        if (rangesHave(ranges, task.task)) controlOne(task, verb)
      }
      if (verb === 'signal') options.log(`${tag}: signal ${signal} to ${tasks}`)
      startMore()
      return ''
    },
    forget(tag) {
      for (const task of tags.get(tag) ?? []) end(task, 'cancelled', 143)
      tags.delete(tag)
    },
    observe: () => [...tags].flatMap(([tranche, tasks]) =>
      tasks.map(({ task, status }) => ({ tranche, task, status }))),
    capacity: (nowEpochMs) => ({
      observedEpochMs: nowEpochMs,
      coresTotal: size.cores,
      coresFree,
      memoryMibTotal: size.memoryMib,
      memoryMibFree: memoryFree,
      tasksQueued: waiting.length,
      tasksRunning: running,
      coresPerTaskMax: size.cores,
      memoryMibPerTaskMax: size.memoryMib,
      walltimeSecondsMax: size.walltimeSecondsMax,
      spoolBytesFree: 10 ** 12,
      reachable: true,
    }),
    idle: () => running === 0 && waiting.length === 0,
  }
}
