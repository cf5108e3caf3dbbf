// The embedded executor's books in memory: which tasks wait, run and have ended, and what is free.
// No I/O: the driver keeps the books in line with the records on disk.

import { startable } from './backfill.ts'
import type { Capacity, Observation, Submission, TaskStatus } from './driver.ts'

export interface Task {
  readonly tranche: Tranche
  readonly taskIndex: number
  readonly directory: string
  /** Path of its records without their extensions. */
  readonly base: string
  status: TaskStatus
  /** The supervisor's, while it runs. */
  pid: number | undefined
  memoryBytesPeak: number | undefined
  /**
   * Samples since a cancel's signal was sent; a signal can be lost as a process becomes another.
   */
  cancelledSamples: number | undefined
  /** Streams of output that were too long. */
  readonly cut: Set<string>
}

export interface Tranche {
  readonly sequence: number
  readonly submission: Submission
  readonly tasks: ReadonlyMap<number, Task>
  /** In order. */
  readonly queued: Set<Task>
  /**
   * Its results are recorded elsewhere: not reported any more, erased when the last task has ended.
   */
  forgotten: boolean
  unfinished: number
}

export interface Book {
  readonly coresTotal: number
  readonly memoryBytesTotal: number
  coresFree: number
  memoryBytesFree: number
  tasksQueued: number
  readonly tranches: Map<string, Tranche>
  readonly running: Set<Task>
  /** Tranches with queued tasks, in order of submission. */
  waiting: Set<Tranche>
}

export function emptyBook(coresTotal: number, memoryBytesTotal: number): Book {
  return {
    coresTotal, memoryBytesTotal, coresFree: coresTotal, memoryBytesFree: memoryBytesTotal,
    tasksQueued: 0, tranches: new Map(), running: new Set(), waiting: new Set(),
  }
}

/** A tranche whose tasks are neither queued nor running yet. */
export function addTranche(book: Book, entry: {
  readonly sequence: number
  readonly submission: Submission
  readonly forgotten: boolean
  readonly baseOf: (taskIndex: number) => string
}): Tranche {
  const { sequence, submission, forgotten } = entry
  const tasks = new Map<number, Task>()
  const unfinished = submission.tasks.length
  const tranche: Tranche =
    { sequence, submission, tasks, queued: new Set(), forgotten, unfinished }
  for (const { taskIndex, directory } of submission.tasks) {
    tasks.set(taskIndex, {
      tranche, taskIndex, directory, base: entry.baseOf(taskIndex),
      status: { kind: 'queued' }, pid: undefined, memoryBytesPeak: undefined,
      cancelledSamples: undefined, cut: new Set(),
    })
  }
  book.tranches.set(submission.tag, tranche)
  return tranche
}

export function enqueue(book: Book, task: Task): void {
  task.status = { kind: 'queued' }
  task.pid = undefined
  leave(book, task)
  const { tranche } = task
  tranche.queued.add(task)
  book.tasksQueued++
  if (book.waiting.has(tranche)) return
  const waiting = [...book.waiting, tranche]
  const last = waiting.at(-2)
  if (last && last.sequence > tranche.sequence) waiting.sort((a, b) => a.sequence - b.sequence)
  book.waiting = new Set(waiting)
}

/** `pid` is undefined as long as its starter has not told it. */
export function setRunning(
  book: Book, task: Task, pid: number | undefined, startedEpochMs: number,
): void {
  const { coresPerTask, memoryBytesPerTask } = task.tranche.submission.resources
  leave(book, task)
  task.status = { kind: 'running', startedEpochMs }
  task.pid = pid
  book.running.add(task)
  book.coresFree -= coresPerTask
  book.memoryBytesFree -= memoryBytesPerTask
}

export function setEnded(book: Book, task: Task, status: TaskStatus): void {
  leave(book, task)
  task.status = status
  task.pid = undefined
  task.tranche.unfinished--
}

/** It waits, and is not started until it is released. */
export function hold(book: Book, task: Task): void {
  if (task.status.kind !== 'queued' || task.status.held) return
  leave(book, task)
  task.status = { kind: 'queued', held: true }
}

export function release(book: Book, task: Task): void {
  if (task.status.kind === 'queued' && task.status.held) enqueue(book, task)
}

export function setSuspended(task: Task, isSuspended: boolean): void {
  if (task.status.kind !== 'running') return
  const { startedEpochMs } = task.status
  task.status = isSuspended ? { kind: 'running', startedEpochMs, suspended: true }
    : { kind: 'running', startedEpochMs }
}

/** Tasks that are held or suspended, to be found so again. */
export function halted({ tasks }: Tranche): {
  readonly held: readonly number[]
  readonly suspended: readonly number[]
} {
  const all = [...tasks.values()]
  return {
    held: all.filter(({ status }) => status.kind === 'queued' && status.held)
      .map(({ taskIndex }) => taskIndex),
    suspended: all.filter(({ status }) => status.kind === 'running' && status.suspended)
      .map(({ taskIndex }) => taskIndex),
  }
}

/** Out of the queue or off its slot. */
function leave(book: Book, task: Task): void {
  const { tranche } = task
  if (tranche.queued.delete(task)) {
    book.tasksQueued--
    if (tranche.queued.size === 0) book.waiting.delete(tranche)
  }
  if (book.running.delete(task)) {
    book.coresFree += tranche.submission.resources.coresPerTask
    book.memoryBytesFree += tranche.submission.resources.memoryBytesPerTask
  }
}

/** The tasks to start now, in order; the books are not changed. */
export function nextStarts(book: Book, nowEpochMs: number, graceSeconds: number): Task[] {
  if (book.coresFree <= 0 || book.waiting.size === 0) return []
  const queue: Tranche[] = []
  for (const tranche of book.waiting) {
    if (queue.push(tranche) === 100) break
  }
  const needOf = ({ submission: { resources } }: Tranche): {
    cores: number; memoryBytes: number; walltimeMs: number
  } => ({
    cores: resources.coresPerTask,
    memoryBytes: resources.memoryBytesPerTask,
    walltimeMs: (resources.walltimeSeconds + graceSeconds) * 1_000,
  })
  const counts = startable({
    free: { cores: book.coresFree, memoryBytes: book.memoryBytesFree },
    queue: queue.map((tranche) => ({ ...needOf(tranche), count: tranche.queued.size })),
    running: () => [...book.running].map((task) => {
      const need = needOf(task.tranche)
      const started = task.status.kind === 'running' ? task.status.startedEpochMs : nowEpochMs
      return { ...need, endsEpochMs: started + need.walltimeMs }
    }),
    nowEpochMs,
  })
  return queue.flatMap((tranche, i) => take(tranche.queued, counts[i] ?? 0))
}

export function observations(book: Book): Observation[] {
  const seen: Observation[] = []
  for (const [tag, tranche] of book.tranches) {
    if (tranche.forgotten) continue
    for (const { taskIndex, status } of tranche.tasks.values()) {
      seen.push({ tag, taskIndex, status })
    }
  }
  return seen
}

export function capacityOf(book: Book, queue: string, walltimeSecondsMax: number): Capacity {
  const coresFree = Math.max(0, book.coresFree)
  return {
    coresTotal: book.coresTotal,
    coresFree,
    memoryBytesTotal: book.memoryBytesTotal,
    memoryBytesFree: Math.max(0, book.memoryBytesFree),
    tasksQueued: book.tasksQueued,
    tasksRunning: book.running.size,
    queues: [{
      name: queue, coresTotal: book.coresTotal, coresFree, walltimeSecondsMax,
      memoryBytesPerNodeMax: book.memoryBytesTotal, coresPerNodeMax: book.coresTotal,
    }],
  }
}

function take(tasks: Iterable<Task>, count: number): Task[] {
  const taken: Task[] = []
  for (const task of tasks) {
    if (taken.length === count) break
    taken.push(task)
  }
  return taken
}
