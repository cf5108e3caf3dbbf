// A scheduler in memory on a clock that is passed in: deterministic, and able to fail as real ones
// do. The cluster is what outlives the node; a FakeDriver is one node's door to it, so a crash of
// the node is a new FakeDriver on the same cluster.
//
// Invariants: nothing happens between calls, `advance` catches up with the clock and every call
// does it first; at one instant tasks end before tasks start, both in order of submission.

import { ok, refuse } from '../../protocol/base/outcome.ts'
import type { Outcome } from '../../protocol/base/outcome.ts'
import { SchedulerFailure } from '../../node/scheduler/driver.ts'
import type {
  Abilities, Capacity, ControlRefusal, ControlVerb, Driver, EndedHow, Observation, Submission,
  SubmitRefusal,
} from '../../node/scheduler/driver.ts'
import {
  addTranche, capacityOf, emptyBook, enqueue, hold, nextStarts, observations, release, setEnded,
  setRunning, setSuspended,
} from '../../node/scheduler/embedded-book.ts'
import type { Book, Task } from '../../node/scheduler/embedded-book.ts'
import { faultOf, taskEnvironment } from '../../node/scheduler/tranche-store.ts'
import { runProgram } from './fake-program.ts'
import type { ProgramRun } from './fake-program.ts'

/** Decides what a task would do if it were left alone. */
export type Program = (
  command: readonly string[],
  environment: Readonly<Record<string, string>>,
  submission: Submission,
) => ProgramRun

export interface FakeClusterConfig {
  /** Virtual time; must not go back. */
  readonly clock: { now(): number }
  readonly cores: number
  readonly memoryBytes: number
  readonly walltimeSecondsMax: number
  readonly queue?: string
  readonly tasksQueuedMax?: number
  /** A small shell when left out: see fake-program.ts. */
  readonly program?: Program
}

/** What goes wrong; a test or the simulator changes it at any time. */
export interface FakeFaults {
  /** Nothing reaches the scheduler: each call fails with `unreachable`. */
  unreachable: boolean
  /** The scheduler does what it is asked, but its answer is lost: the call fails with `timeout`. */
  answersLost: boolean
  /** Refuses a submission that would otherwise be taken. */
  refuse: ((submission: Submission) => SubmitRefusal | undefined) | undefined
  /** Awaited before each answer; the simulator delays answers with it. */
  delay: (() => Promise<void>) | undefined
}

interface Execution {
  readonly run: ProgramRun
  readonly endsEpochMs: number
  readonly how: EndedHow
  readonly exitCode: number
}

export class FakeCluster {
  readonly config: FakeClusterConfig
  readonly faults: FakeFaults =
    { unreachable: false, answersLost: false, refuse: undefined, delay: undefined }
  /** How often the scheduler was asked, by verb. */
  readonly asked = { capacity: 0, submit: 0, find: 0, query: 0, cancel: 0, control: 0 }
  /** Every start of a task that ever happened, as `tag.index`: a double run shows here. */
  readonly starts: string[] = []
  readonly #book: Book
  /** Every signal that came, as `tag.index NAME`. */
  readonly signals: string[] = []
  readonly #executions = new Map<Task, Execution>()
  /** With the time that was left in `endsEpochMs`. */
  readonly #stopped = new Map<Task, Execution>()
  readonly #output = new Map<string, { readonly stdout: string; readonly stderr: string }>()
  #sequence = 0

  constructor(config: FakeClusterConfig) {
    this.config = config
    this.#book = emptyBook(config.cores, config.memoryBytes)
  }

  get queue(): string {
    return this.config.queue ?? 'default'
  }

  /** When the next running task ends by itself; undefined when none runs. */
  wakeAt(): number | undefined {
    let earliest: number | undefined
    for (const { endsEpochMs } of this.#executions.values()) {
      if (earliest === undefined || endsEpochMs < earliest) earliest = endsEpochMs
    }
    return earliest
  }

  /** Lets everything happen that is due by the clock; true when something did. */
  advance(): boolean {
    const now = this.config.clock.now()
    let changed = false
    for (;;) {
      const next = this.wakeAt()
      if (next === undefined || next > now) break
      for (const [task, execution] of this.#executions) {
        if (execution.endsEpochMs === next) this.#end(task, execution, next)
      }
      this.#startTasks(next)
      changed = true
    }
    return this.#startTasks(now) || changed
  }

  submit(submission: Submission): Outcome<{ readonly localId: string }, SubmitRefusal> {
    this.advance()
    const { tag } = submission
    if (this.#book.tranches.has(tag)) return ok({ localId: `fake-${tag}` })
    const refusal = this.#refusal(submission)
    if (refusal) return refuse(refusal)
    const tranche = addTranche(this.#book, {
      sequence: ++this.#sequence, submission, forgotten: false,
      baseOf: (index) => `${tag}.${index}`,
    })
    for (const task of tranche.tasks.values()) enqueue(this.#book, task)
    this.advance()
    return ok({ localId: `fake-${tag}` })
  }

  find(tag: string): string | undefined {
    return this.#book.tranches.has(tag) ? `fake-${tag}` : undefined
  }

  query(): Observation[] {
    this.advance()
    return observations(this.#book)
  }

  capacity(): Capacity {
    this.advance()
    return capacityOf(this.#book, this.queue, this.config.walltimeSecondsMax)
  }

  cancel(tag: string, taskIndexes: readonly number[] | 'all'): void {
    this.advance()
    const tranche = this.#book.tranches.get(tag)
    if (!tranche) return
    for (const index of taskIndexes === 'all' ? tranche.tasks.keys() : taskIndexes) {
      this.#interrupt(tranche.tasks.get(index), 'cancelled')
    }
    this.advance()
  }

  /** Signals that end a process end the task; others are written down. */
  control(
    tag: string, taskIndexes: readonly number[] | 'all', verb: ControlVerb,
  ): Outcome<undefined, ControlRefusal> {
    this.advance()
    const tranche = this.#book.tranches.get(tag)
    if (!tranche) return ok(undefined)
    const indexes = taskIndexes === 'all' ? [...tranche.tasks.keys()] : taskIndexes
    const tasks = indexes.flatMap((one) => tranche.tasks.get(one) ?? [])
    const running = tasks.filter(({ status }) => status.kind === 'running')
    if (verb.kind === 'requeue') return refuse({ reason: 'unable', words: 'no requeue here' })
    const needsRunning = verb.kind !== 'hold' && verb.kind !== 'release'
    const isWaiting = running.length === 0 && tasks.some(({ status }) => status.kind !== 'ended')
    if (needsRunning && isWaiting) {
      return refuse({ reason: 'state', words: `${verb.kind}: expected running tasks, none runs` })
    }
    for (const task of tasks) {
      if (verb.kind === 'hold') hold(this.#book, task)
      else if (verb.kind === 'release') release(this.#book, task)
      else if (verb.kind === 'signal') this.#signal(task, verb.name)
      else this.#stopOrGo(task, verb.kind === 'suspend')
    }
    this.advance()
    return ok(undefined)
  }

  #signal(task: Task, name: string): void {
    const execution = this.#executions.get(task)
    if (!execution) return
    this.signals.push(`${task.base} ${name}`)
    const exitCode = { TERM: 143, KILL: 137, INT: 130, HUP: 129 }[name]
    if (exitCode === undefined) return
    this.#end(task, { ...execution, how: 'exited', exitCode }, this.config.clock.now())
  }

  /** A suspended task makes no progress, but its walltime runs on. */
  #stopOrGo(task: Task, isSuspended: boolean): void {
    const execution = this.#executions.get(task)
    const { status } = task
    if (!execution || status.kind !== 'running') return
    if ((status.suspended === true) === isSuspended) return
    const now = this.config.clock.now()
    const { walltimeSeconds } = task.tranche.submission.resources
    const walltimeEndMs = status.startedEpochMs + walltimeSeconds * 1_000
    setSuspended(task, isSuspended)
    if (isSuspended) {
      const left = { ...execution, endsEpochMs: execution.endsEpochMs - now }
      this.#stopped.set(task, left)
      const byWalltime = { ...execution, how: 'walltime', exitCode: 143 } as const
      this.#executions.set(task, { ...byWalltime, endsEpochMs: walltimeEndMs })
      return
    }
    const left = this.#stopped.get(task)
    if (!left) return
    const endsEpochMs = Math.min(walltimeEndMs, now + left.endsEpochMs)
    const isLate = now + left.endsEpochMs > walltimeEndMs
    this.#executions.set(task, {
      ...left, endsEpochMs, ...(isLate && { how: 'walltime' as const, exitCode: 143 }),
    })
  }

  /** The node under a running task dies: the task is lost. */
  loseTask(tag: string, taskIndex: number): void {
    this.advance()
    this.#interrupt(this.#book.tranches.get(tag)?.tasks.get(taskIndex), 'lost')
    this.advance()
  }

  forget(tag: string): void {
    const tranche = this.#book.tranches.get(tag)
    if (!tranche) return
    tranche.forgotten = true
    if (tranche.unfinished === 0) this.#book.tranches.delete(tag)
  }

  /** What a task printed, once it has ended. */
  output(tag: string, taskIndex: number): { readonly stdout: string; readonly stderr: string } {
    return this.#output.get(`${tag}.${taskIndex}`) ?? { stdout: '', stderr: '' }
  }

  #refusal(submission: Submission): SubmitRefusal | undefined {
    const { config } = this
    const { coresPerTask, memoryBytesPerTask, walltimeSeconds } = submission.resources
    const fault = faultOf(submission)
    if (fault) return { reason: 'refused', words: fault }
    if ((submission.queue ?? this.queue) !== this.queue) {
      return { reason: 'queueUnknown', words: `expected queue ${this.queue}` }
    }
    if (coresPerTask > config.cores) {
      return { reason: 'tooLarge', words: `expected at most ${config.cores} cores` }
    }
    if (memoryBytesPerTask > config.memoryBytes) {
      return { reason: 'tooLarge', words: `expected at most ${config.memoryBytes} bytes` }
    }
    if (walltimeSeconds > config.walltimeSecondsMax) {
      return { reason: 'tooLarge', words: `expected at most ${config.walltimeSecondsMax} s` }
    }
    if (this.#book.tasksQueued + submission.tasks.length > (config.tasksQueuedMax ?? 100_000)) {
      return { reason: 'full', words: 'too many tasks wait' }
    }
    return this.faults.refuse?.(submission)
  }

  #startTasks(now: number): boolean {
    const tasks = nextStarts(this.#book, now, 0)
    for (const task of tasks) {
      const { submission } = task.tranche
      const environment = taskEnvironment(submission, task.taskIndex)
      const program = this.config.program ?? runProgram
      const run = program(submission.command, environment, submission)
      const walltimeMs = submission.resources.walltimeSeconds * 1_000
      const { memoryBytesPerTask } = submission.resources
      const limits: Execution[] = [
        { run, endsEpochMs: now + walltimeMs, how: 'walltime', exitCode: 143 },
        { run, endsEpochMs: now + run.durationMs, how: 'exited', exitCode: run.exitCode },
      ]
      if (memoryBytesPerTask > 0 && run.memoryBytesPeak > memoryBytesPerTask) {
        limits.push({ run, endsEpochMs: now, how: 'memory', exitCode: 137 })
      }
      const execution = limits.toSorted((a, b) => a.endsEpochMs - b.endsEpochMs)[0]
      if (execution) this.#executions.set(task, execution)
      setRunning(this.#book, task, 0, now)
      this.starts.push(task.base)
    }
    return tasks.length > 0
  }

  #interrupt(task: Task | undefined, how: 'cancelled' | 'lost'): void {
    if (!task || task.status.kind === 'ended') return
    const now = this.config.clock.now()
    const execution = this.#executions.get(task)
    if (execution) {
      this.#end(task, { ...execution, how, exitCode: how === 'lost' ? -1 : 143 }, now)
    } else {
      const ended = { kind: 'ended', how, exitCode: -1 } as const
      setEnded(this.#book, task, { ...ended, startedEpochMs: now, endedEpochMs: now })
    }
  }

  #end(task: Task, execution: Execution, endedEpochMs: number): void {
    const { run, how, exitCode } = execution
    const { status } = task
    const startedEpochMs = status.kind === 'running' ? status.startedEpochMs : endedEpochMs
    const { stdout, stderr, memoryBytesPeak } = run
    const cpuMs = Math.min(run.cpuMs, endedEpochMs - startedEpochMs)
    this.#executions.delete(task)
    this.#output.set(task.base, { stdout, stderr })
    const ended = { kind: 'ended', how, exitCode, startedEpochMs, endedEpochMs } as const
    setEnded(this.#book, task, how === 'lost' ? ended : { ...ended, cpuMs, memoryBytesPeak })
    const { tranche } = task
    if (tranche.forgotten && tranche.unfinished === 0) {
      this.#book.tranches.delete(tranche.submission.tag)
    }
  }
}

export class FakeDriver implements Driver {
  readonly kind = 'fake'
  readonly abilities: Abilities = {
    arrays: true, hold: true, signal: true, suspend: true, startEstimate: false,
    accounting: true, memoryEnforced: true, walltimeEnforced: true,
    requeue: false, reservations: false, gpus: false, licences: false, nodes: false,
    chunks: false, accounts: false, seenAt: false,
  }
  readonly cluster: FakeCluster
  readonly #listeners: (() => void)[] = []
  #started = false

  constructor(cluster: FakeCluster) {
    this.cluster = cluster
  }

  async start(): Promise<void> {
    this.#started = true
  }

  async stop(): Promise<void> {
    this.#started = false
  }

  async capacity(signal: AbortSignal): Promise<Capacity> {
    return await this.#ask('capacity', signal, () => this.cluster.capacity())
  }

  async submit(
    submission: Submission,
    signal: AbortSignal,
  ): Promise<Outcome<{ readonly localId: string }, SubmitRefusal>> {
    const outcome = await this.#ask('submit', signal, () => this.cluster.submit(submission))
    this.hint()
    return outcome
  }

  async find(tag: string, signal: AbortSignal): Promise<string | undefined> {
    return await this.#ask('find', signal, () => this.cluster.find(tag))
  }

  async query(signal: AbortSignal): Promise<readonly Observation[]> {
    return await this.#ask('query', signal, () => this.cluster.query())
  }

  async cancel(
    tag: string,
    taskIndexes: readonly number[] | 'all',
    signal: AbortSignal,
  ): Promise<void> {
    await this.#ask('cancel', signal, () => this.cluster.cancel(tag, taskIndexes))
    this.hint()
  }

  async control(
    tag: string,
    taskIndexes: readonly number[] | 'all',
    verb: ControlVerb,
    signal: AbortSignal,
  ): Promise<Outcome<undefined, ControlRefusal>> {
    const done = await this.#ask('control', signal, () =>
      this.cluster.control(tag, taskIndexes, verb))
    this.hint()
    return done
  }

  async forget(tag: string): Promise<void> {
    this.cluster.forget(tag)
  }

  onHint(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** Whoever moves the clock calls this when `cluster.advance()` says that something happened. */
  hint(): void {
    if (!this.#started) return
    for (const listener of this.#listeners) listener()
  }

  async #ask<Answer>(
    verb: keyof FakeCluster['asked'],
    signal: AbortSignal,
    act: () => Answer,
  ): Promise<Answer> {
    const { faults, asked } = this.cluster
    if (signal.aborted) throw new SchedulerFailure('aborted', 'the caller gave up', signal.reason)
    if (!this.#started) throw new SchedulerFailure('stopped', 'the driver is not started')
    if (faults.unreachable) throw new SchedulerFailure('unreachable', 'the fake is unreachable')
    asked[verb]++
    const answer = act()
    await faults.delay?.()
    if (faults.answersLost) throw new SchedulerFailure('timeout', 'the fake lost its answer')
    return answer
  }
}
