// The embedded executor: a small scheduler for a machine that has none. Cores and memory are
// counted, tasks start in order with safe backfill, and each runs under a supervisor that outlives
// the node.
//
// Invariants: state is only what lies in the state directory (tranches/ and records/), so a node
// that was killed finds every task again; a task is started by whoever makes its start record,
// once; walltime is kept by the supervisor and needs no node; a task is `lost` only when its
// supervisor provably is.

import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { clock } from '../clock.ts'
import type { Timer } from '../clock.ts'
import { ok, refuse } from '../../protocol/base/outcome.ts'
import type { Outcome } from '../../protocol/base/outcome.ts'
import { SchedulerFailure } from './driver.ts'
import type {
  Abilities, Capacity, ControlRefusal, ControlVerb, Driver, Entered, Observation, Submission,
  SubmitRefusal,
} from './driver.ts'
import {
  addTranche, capacityOf, emptyBook, enqueue, halted, hold, nextStarts, observations, setEnded,
  setRunning, setSuspended,
} from './embedded-book.ts'
import type { Book, Task, Tranche } from './embedded-book.ts'
import { control, startedBy, stopOrGo } from './embedded-control.ts'
import { inspect } from './embedded-inspect.ts'
import { boundOutput, markCutOutput, sampleMemory } from './embedded-sample.ts'
import { adoptedWatch } from './embedded-watch.ts'
import type { AdoptedWatch } from './embedded-watch.ts'
import { openStarter, run } from './exec.ts'
import type { Starter } from './exec.ts'
import { bootId, sendSignal } from './process-table.ts'
import type { SandboxOptions } from './sandbox.ts'
import {
  openSandbox, sandboxWords, seenAtFault, streamWords, temporaryName,
} from './sandbox.ts'
import { claimCancelled, supervisorArgv } from './supervisor.ts'
import { carriedIntoSandbox } from './task-variables.ts'
import { enterTask, ownEnvironment } from './embedded-enter.ts'
import { faultOf, taskEnvironment, trancheStore } from './tranche-store.ts'
import type { TrancheStore } from './tranche-store.ts'

export interface EmbeddedConfig {
  /** Absolute; belongs to this executor alone. */
  readonly stateDirectory: string
  readonly cores: number
  readonly memoryBytes: number
  readonly walltimeSecondsMax: number
  /** Declared to others, not measured: 1000 is the federation's reference core. */
  readonly speedPermille: number
  /** `default` when left out. */
  readonly queue?: string
  /** Between SIGTERM and SIGKILL; 10 when left out. */
  readonly graceSeconds?: number
  /** Of each output stream of a task, the rest is dropped; 64 MiB when left out. */
  readonly outputBytesMax?: number
  /** Tasks that may wait; 100,000 when left out. */
  readonly tasksQueuedMax?: number
  /** How often memory and output are looked at; 1,000 when left out. */
  readonly sampleMs?: number
  /** `auto`: where bubblewrap works; none when left out. */
  readonly sandbox?: { readonly kind: 'auto' | 'bubblewrap' } & SandboxOptions
}

interface Note {
  readonly forgotten: boolean
  readonly held?: readonly number[]
  readonly suspended?: readonly number[]
}

/** Everything that exists between `start` and `stop`. */
interface Session {
  readonly book: Book
  readonly store: TrancheStore<Note>
  readonly watch: AdoptedWatch
  readonly starter: Starter
  readonly boot: string
  readonly environment: Readonly<Record<string, string>>
  sequence: number
  sampler: Timer | undefined
  /** Set while a dispatch is due; so that many events cause one. */
  dispatch: Timer | undefined
  hint: Timer | undefined
}

/** Until the next try after the system would not start a process. */
const retryMs = 1_000
/** Starting a process takes milliseconds; between batches the node gets to do other things. */
const startsPerBatch = 8
const graceSecondsDefault = 10
const outputBytesMaxDefault = 64 * 1024 * 1024
const tasksQueuedMaxDefault = 100_000
const sampleMsDefault = 1_000
const sampleMsMax = 10_000
const samplePart = 50
const secondSignalSamples = 3

export class EmbeddedDriver implements Driver {
  readonly kind = 'embedded'
  /** What the sandbox adds is known after `start`. */
  abilities: Abilities = {
    arrays: true, hold: true, signal: true, suspend: true, startEstimate: false,
    accounting: true, memoryEnforced: true, walltimeEnforced: true,
    requeue: false, reservations: false, gpus: false, licences: false, nodes: false,
    chunks: false, accounts: false, seenAt: false,
  }
  readonly config: EmbeddedConfig
  readonly #listeners: (() => void)[] = []
  #session: Session | undefined
  #sandbox: SandboxOptions | undefined

  constructor(config: EmbeddedConfig) {
    this.config = config
  }

  async start(): Promise<void> {
    if (this.#session) return
    await run(['timeout', '--version'], { timeoutMs: 10_000 })
    this.#sandbox = await openSandbox(this.config.sandbox)
    const sandboxed = this.#sandbox !== undefined
    const accounts = sandboxed && process.getuid?.() === 0
    this.abilities = { ...this.abilities, seenAt: sandboxed, accounts }
    mkdirSync(this.#recordsDirectory, { recursive: true, mode: 0o700 })
    const session: Session = {
      book: emptyBook(this.config.cores, this.config.memoryBytes),
      store: trancheStore<Note>(join(this.config.stateDirectory, 'tranches')),
      watch: adoptedWatch(this.#recordsDirectory, (base) => this.#settleByBase(session, base)),
      starter: openStarter(),
      boot: bootId(),
      environment: ownEnvironment(),
      sequence: 0, sampler: undefined, dispatch: undefined, hint: undefined,
    }
    this.#session = session
    this.#recover(session)
    this.#dispatchSoon(session)
  }

  async stop(): Promise<void> {
    const session = this.#session
    this.#session = undefined
    session?.watch.close()
    session?.starter.close()
    session?.sampler?.stop()
    session?.dispatch?.stop()
    session?.hint?.stop()
  }

  async capacity(signal: AbortSignal): Promise<Capacity> {
    return capacityOf(this.#ready(signal).book, this.#queue, this.config.walltimeSecondsMax)
  }

  async submit(
    submission: Submission,
    signal: AbortSignal,
  ): Promise<Outcome<{ readonly localId: string }, SubmitRefusal>> {
    const session = this.#ready(signal)
    const { tag } = submission
    if (session.book.tranches.has(tag)) return ok({ localId: tag })
    const refusal = this.#refusal(session.book, submission)
    if (refusal) return refuse(refusal)
    const sequence = ++session.sequence
    session.store.save({ sequence, submission, note: { forgotten: false } })
    const tranche = this.#add(session, { sequence, submission, forgotten: false })
    for (const task of tranche.tasks.values()) enqueue(session.book, task)
    this.#dispatchSoon(session)
    return ok({ localId: tag })
  }

  async find(tag: string, signal: AbortSignal): Promise<string | undefined> {
    return this.#ready(signal).book.tranches.has(tag) ? tag : undefined
  }

  async query(signal: AbortSignal): Promise<readonly Observation[]> {
    return observations(this.#ready(signal).book)
  }

  async cancel(
    tag: string,
    taskIndexes: readonly number[] | 'all',
    signal: AbortSignal,
  ): Promise<void> {
    const session = this.#ready(signal)
    const tranche = session.book.tranches.get(tag)
    if (!tranche) return
    for (const taskIndex of taskIndexes === 'all' ? tranche.tasks.keys() : taskIndexes) {
      const task = tranche.tasks.get(taskIndex)
      if (!task || task.status.kind === 'ended') continue
      // Whoever makes the start record decides. If we do, the task never starts; if its supervisor
      // did, it is ready to take the signal.
      const claimed = claimCancelled(task.base)
      if (!claimed || task.status.kind === 'queued') this.#settle(session, task)
      if (!claimed && task.pid !== undefined) {
        sendSignal(task.pid, 'SIGTERM')
        task.cancelledSamples = 0
      }
    }
  }

  async control(
    tag: string,
    taskIndexes: readonly number[] | 'all',
    verb: ControlVerb,
    signal: AbortSignal,
  ): Promise<Outcome<undefined, ControlRefusal>> {
    const session = this.#ready(signal)
    const tranche = session.book.tranches.get(tag)
    if (!tranche) return ok(undefined)
    const indexes = taskIndexes === 'all' ? [...tranche.tasks.keys()] : taskIndexes
    const done = control(session.book, indexes.flatMap((one) => tranche.tasks.get(one) ?? []), verb)
    if (!done.ok) return done
    this.#save(session, tranche)
    await done.value.afterwards()
    this.#dispatchSoon(session)
    this.#hintSoon(session)
    return ok(undefined)
  }

  async enter(
    tag: string, taskIndex: number, signal: AbortSignal,
  ): Promise<Outcome<Entered, ControlRefusal>> {
    const { book, environment } = this.#ready(signal)
    const task = book.tranches.get(tag)?.tasks.get(taskIndex)
    if (!task) return refuse({ reason: 'state', words: 'no such task is here' })
    await startedBy(task)
    return enterTask(task, environment, this.#sandbox)
  }

  async forget(tag: string): Promise<void> {
    const session = this.#session
    const tranche = session?.book.tranches.get(tag)
    if (!session || !tranche) return
    tranche.forgotten = true
    if (tranche.unfinished === 0) this.#erase(session, tranche)
    else this.#save(session, tranche)
  }

  #save(session: Session, tranche: Tranche): void {
    const { sequence, submission, forgotten } = tranche
    session.store.save({ sequence, submission, note: { forgotten, ...halted(tranche) } })
  }

  onHint(listener: () => void): void {
    this.#listeners.push(listener)
  }

  get #queue(): string {
    return this.config.queue ?? 'default'
  }

  get #outputBytesMax(): number {
    return this.config.outputBytesMax ?? outputBytesMaxDefault
  }

  get #recordsDirectory(): string {
    return join(this.config.stateDirectory, 'records')
  }

  #ready(signal: AbortSignal): Session {
    if (signal.aborted) throw new SchedulerFailure('aborted', 'the caller gave up', signal.reason)
    if (!this.#session) throw new SchedulerFailure('stopped', 'the executor is not started')
    return this.#session
  }

  #refusal(book: Book, submission: Submission): SubmitRefusal | undefined {
    const { coresPerTask, memoryBytesPerTask, walltimeSeconds } = submission.resources
    const fault = faultOf(submission)
    if (fault) return { reason: 'refused', words: fault }
    if (submission.queue !== undefined && submission.queue !== this.#queue) {
      const words = `expected queue ${this.#queue}, the only one here, got ${submission.queue}`
      return { reason: 'queueUnknown', words }
    }
    const unable = this.#unable(submission)
    if (unable !== undefined) return { reason: 'refused', words: unable }
    const asked: readonly [what: string, most: number, came: number][] = [
      ['cores', this.config.cores, coresPerTask],
      ['bytes of memory', this.config.memoryBytes, memoryBytesPerTask],
      ['seconds of walltime', this.config.walltimeSecondsMax, walltimeSeconds],
    ]
    for (const [what, most, came] of asked) {
      if (came <= most) continue
      const words = `expected at most ${most} ${what} for a task, got ${came}; ask for less`
      return { reason: 'tooLarge', words }
    }
    const most = this.config.tasksQueuedMax ?? tasksQueuedMaxDefault
    if (book.tasksQueued + submission.tasks.length <= most) return undefined
    const words = `${book.tasksQueued} tasks wait and at most ${most} may; submit again later`
    return { reason: 'full', words }
  }

  #unable({ seenAt, account }: Submission): string | undefined {
    if (account !== undefined && !this.abilities.accounts) {
      return `expected no other account, got ${account.name}: the node is not root or unsandboxed`
    }
    if (seenAt === undefined) return undefined
    return this.abilities.seenAt ? seenAtFault(seenAt)
      : 'expected no path to show the directory under: there is no sandbox'
  }

  #add(session: Session, entry: {
    readonly sequence: number
    readonly submission: Submission
    readonly forgotten: boolean
  }): Tranche {
    const { tag } = entry.submission
    const baseOf = (taskIndex: number): string =>
      join(this.#recordsDirectory, `${tag}.${taskIndex}`)
    return addTranche(session.book, { ...entry, baseOf })
  }

  #recover(session: Session): void {
    const { book, store } = session
    for (const { sequence, submission, note } of store.load()) {
      session.sequence = Math.max(session.sequence, sequence)
      const { forgotten } = note
      const tranche = this.#add(session, { sequence, submission, forgotten })
      for (const task of tranche.tasks.values()) {
        enqueue(book, task)
        this.#settle(session, task)
        if (note.held?.includes(task.taskIndex)) hold(book, task)
        if (note.suspended?.includes(task.taskIndex)) setSuspended(task, true)
      }
      // What was to be suspended may not have been told.
      void stopOrGo([...tranche.tasks.values()].filter(({ status }) =>
        status.kind === 'running' && status.suspended), true)
    }
    // Records of tranches that a crash kept us from erasing as a whole.
    for (const name of readdirSync(this.#recordsDirectory)) {
      if (book.tranches.has(name.split('.')[0] ?? '')) continue
      rmSync(join(this.#recordsDirectory, name), { force: true })
    }
  }

  #settleByBase(session: Session, base: string): void {
    const [tag = '', index] = base.slice(this.#recordsDirectory.length + 1).split('.')
    const task = session.book.tranches.get(tag)?.tasks.get(Number(index))
    if (task) this.#settle(session, task)
  }

  /** Brings what we think of a task in line with its records. */
  #settle(session: Session, task: Task): void {
    if (this.#session !== session || task.status.kind === 'ended') return
    const found = inspect(task.base, task.directory, session.boot)
    if (found.kind === 'absent') return
    if (found.kind === 'running') {
      if (task.pid === found.pid) return
      // Started by an earlier node, so its end will not reach us as that of a child.
      setRunning(session.book, task, found.pid, found.startedEpochMs)
      session.watch.add(task.base)
      this.#sampleRegularly(session)
    } else {
      boundOutput(task.directory, this.#outputBytesMax, task.cut)
      markCutOutput(task.directory, this.#outputBytesMax, task.cut)
      const { memoryBytesPeak } = task
      setEnded(session.book, task, memoryBytesPeak ? { ...found, memoryBytesPeak } : found)
      session.watch.remove(task.base)
      if (task.tranche.forgotten && task.tranche.unfinished === 0) {
        this.#erase(session, task.tranche)
      }
      this.#dispatchSoon(session)
    }
    this.#hintSoon(session)
  }

  #erase(session: Session, tranche: Tranche): void {
    const { tag } = tranche.submission
    session.book.tranches.delete(tag)
    session.store.remove(tag)
    for (const { base } of tranche.tasks.values()) {
      rmSync(`${base}.start`, { force: true })
      rmSync(`${base}.end`, { force: true })
    }
  }

  #dispatchSoon(session: Session, delayMs = 0): void {
    if (this.#session !== session) return
    session.dispatch ??= clock.after(delayMs, () => {
      session.dispatch = undefined
      this.#dispatch(session)
    })
  }

  #dispatch(session: Session): void {
    const tasks = nextStarts(session.book, clock.now(), this.#graceSeconds)
    for (const task of tasks.slice(0, startsPerBatch)) this.#launch(session, task)
    if (tasks.length === 0) return
    if (tasks.length > startsPerBatch) this.#dispatchSoon(session)
    this.#sampleRegularly(session)
    this.#hintSoon(session)
  }

  get #graceSeconds(): number {
    return this.config.graceSeconds ?? graceSecondsDefault
  }

  #launch(session: Session, task: Task): void {
    const { submission } = task.tranche
    // What is another account's is made before it is: its owner may put links into it.
    if (submission.account === undefined) this.#makeOwn(task.directory)
    const own = taskEnvironment(submission, task.taskIndex)
    const { variables, words } = this.#sandbox ? carriedIntoSandbox(own)
      : { variables: own, words: [] }
    const argv = supervisorArgv({
      base: task.base,
      directory: task.directory,
      walltimeSeconds: submission.resources.walltimeSeconds,
      graceSeconds: this.#graceSeconds,
      streams: submission.account === undefined ? '.gridnode' : '',
      command: this.#commandOf(task, words),
    })
    setRunning(session.book, task, undefined, clock.now())
    session.starter.start({
      argv,
      env: { ...session.environment, ...variables },
      cwd: '/',
      onStarted: (pid) => {
        if (task.status.kind === 'running') task.pid ??= pid
      },
      onExit: () => this.#supervisorExited(session, task),
    })
  }

  #makeOwn(directory: string): void {
    try {
      mkdirSync(join(directory, '.gridnode'), { recursive: true })
      if (this.#sandbox) mkdirSync(join(directory, temporaryName), { recursive: true })
    } catch {
      // The supervisor will find the same and record that the task could not run in its directory.
    }
  }

  #commandOf({ tranche: { submission }, directory }: Task, own: readonly string[]): string[] {
    const { command, seenAt, account } = submission
    if (!this.#sandbox) return [...command]
    const task = { directory, seenAt, account }
    return [...sandboxWords(this.#sandbox, task), ...streamWords(task), ...own, ...command]
  }

  #supervisorExited(session: Session, task: Task): void {
    if (this.#session !== session) return
    task.pid = undefined
    this.#settle(session, task)
    if (task.status.kind !== 'running' || task.pid !== undefined) return
    // It was not started, or ended before it had claimed the task (killed, or the disk is full):
    // nothing has run. If one is on its way all the same, only one of the two can claim the task.
    enqueue(session.book, task)
    this.#dispatchSoon(session, retryMs)
  }

  #sampleRegularly(session: Session): void {
    session.sampler ??= clock.after(this.config.sampleMs ?? sampleMsDefault, () => {
      this.#sampleInTurn(session)
    })
  }

  /** A look at all processes of a busy machine takes long: it gets a small part of the time. */
  #sampleInTurn(session: Session): void {
    const begin = clock.now()
    this.#sample(session)
    session.sampler = undefined
    if (this.#session !== session || session.book.running.size === 0) return
    const pauseMs = Math.min(sampleMsMax, (clock.now() - begin) * samplePart)
    const sampleMs = Math.max(this.config.sampleMs ?? sampleMsDefault, pauseMs)
    session.sampler = clock.after(sampleMs, () => {
      this.#sampleInTurn(session)
    })
  }

  #sample(session: Session): void {
    const { running } = session.book
    const known = [...running].filter(({ pid }) => pid !== undefined)
    const sampled = sampleMemory(new Map(known.map((task) => [task, {
      session: task.pid ?? 0,
      memoryBytesMax: task.tranche.submission.resources.memoryBytesPerTask,
    }])))
    for (const task of running) {
      boundOutput(task.directory, this.#outputBytesMax, task.cut)
      if (task.cancelledSamples === undefined || task.pid === undefined) continue
      task.cancelledSamples += 1
      // Once more, not more often: a task may be using its grace to save what it has.
      if (task.cancelledSamples === secondSignalSamples) sendSignal(task.pid, 'SIGTERM')
    }
    for (const [task, { bytes, exceeded }] of sampled) {
      task.memoryBytesPeak = Math.max(task.memoryBytesPeak ?? 0, bytes)
      if (exceeded && task.pid !== undefined) sendSignal(task.pid, 'SIGUSR1')
    }
  }

  #hintSoon(session: Session): void {
    session.hint ??= clock.after(0, () => {
      session.hint = undefined
      for (const listener of this.#listeners) listener()
    })
  }
}
