// The engine under every driver of a command-line scheduler; what differs from one scheduler to
// the next is its tongue.
//
// Invariants: a tranche is written down before it is submitted and looked up before it is submitted
// again; a job is ours only by name *and* id; an answer that did not come, or that we cannot read,
// is a SchedulerFailure and changes no task; the state of all tasks costs one query.

import { mkdirSync, watch } from 'node:fs'
import type { FSWatcher } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { ok, refuse } from '../../protocol/base/outcome.ts'
import type { Outcome } from '../../protocol/base/outcome.ts'
import { clock } from '../clock.ts'
import {
  controlCan, isSuited, leaveWord, takeWordBack, wordOf, suiting,
} from './batch-control.ts'
import { enterBatchTask } from './batch-enter.ts'
import { batchTasks, isAlive, judge, judgeByLastWords } from './batch-judge.ts'
import type { BatchTask } from './batch-judge.ts'
import { placeRows } from './batch-rows.ts'
import { batchScript } from './batch-script.ts'
import { batchShell } from './batch-shell.ts'
import type { ShellConfig } from './batch-shell.ts'
import type { BatchRow, BatchShell, JobScript, KnownJob, Target, Tongue } from './batch-tongue.ts'
import { SchedulerFailure } from './driver.ts'
import type {
  Abilities, Capacity, ControlRefusal, ControlVerb, Driver, DriverKind, Entered, Observation,
  Submission, SubmitRefusal,
} from './driver.ts'
import { openStarter } from './exec.ts'
import { readStart } from './supervisor.ts'
import { faultOf, trancheStore } from './tranche-store.ts'
import type { TrancheStore } from './tranche-store.ts'

export interface BatchConfig extends ShellConfig {
  /** Absolute; belongs to this driver alone. */
  readonly stateDirectory: string
  /** Between SIGTERM and SIGKILL at the end of a walltime; 10 when left out. */
  readonly graceSeconds?: number
}

interface Note {
  /** Undefined from before the submission until its answer is known. */
  readonly jobId: string | undefined
  /** Positions that we have cancelled. */
  readonly cancelled: readonly number[]
  readonly stuck?: readonly { readonly position: number; readonly words: string }[]
}

interface Tranche {
  readonly sequence: number
  readonly submission: Submission
  readonly tasks: readonly BatchTask[]
  jobId: string | undefined
}

interface Session {
  readonly store: TrancheStore<Note>
  readonly tranches: Map<string, Tranche>
  readonly submitting: Map<string, Promise<Outcome<{ readonly localId: string }, SubmitRefusal>>>
  sequence: number
  /** As last seen. */
  capacity: Capacity | undefined
  hints: FSWatcher | undefined
  /** The accounting is not asked sooner, and ever less often while it has nothing to say. */
  accountingNotBeforeEpochMs: number
  accountingPauseMs: number
}

const accountingPauseMsMin = 2_000
const accountingPauseMsMax = 60_000

export class BatchDriver implements Driver {
  readonly kind: DriverKind
  readonly abilities: Abilities
  readonly #tongue: Tongue
  readonly #config: BatchConfig
  readonly #user = userInfo().username
  readonly #starter = openStarter()
  readonly #shell: BatchShell
  readonly #listeners: (() => void)[] = []
  #session: Session | undefined

  constructor(tongue: Tongue, config: BatchConfig) {
    this.kind = tongue.kind
    this.abilities = tongue.abilities
    this.#tongue = tongue
    this.#config = config
    this.#shell = batchShell(config, tongue.environment, this.#starter.run)
  }

  /** Does not need the scheduler to be there yet. */
  async start(): Promise<void> {
    if (this.#session) return
    const store = trancheStore<Note>(join(this.#config.stateDirectory, 'tranches'))
    const session: Session = {
      store, tranches: new Map(), submitting: new Map(), sequence: 0, capacity: undefined,
      hints: undefined, accountingNotBeforeEpochMs: 0, accountingPauseMs: accountingPauseMsMin,
    }
    for (const { sequence, submission, note } of store.load()) {
      session.sequence = Math.max(session.sequence, sequence)
      const tasks = batchTasks(submission)
      for (const task of tasks) {
        task.cancelled = note.cancelled.includes(task.position)
        task.stuck = note.stuck?.find(({ position }) => position === task.position)?.words
      }
      session.tranches.set(submission.tag, { sequence, submission, tasks, jobId: note.jobId })
    }
    mkdirSync(this.#hintDirectory, { recursive: true })
    try {
      session.hints = watch(this.#hintDirectory, () => this.#hint(session))
      session.hints.on('error', () => session.hints?.close())
    } catch {
      // No watches left on this machine: the caller's own pace of queries must do.
    }
    this.#session = session
  }

  async stop(): Promise<void> {
    this.#session?.hints?.close()
    this.#session = undefined
    this.#starter.close()
  }

  async capacity(signal: AbortSignal): Promise<Capacity> {
    const session = this.#ready(signal)
    session.capacity = await this.#tongue.capacity(this.#shell, signal)
    return session.capacity
  }

  async submit(
    submission: Submission,
    signal: AbortSignal,
  ): Promise<Outcome<{ readonly localId: string }, SubmitRefusal>> {
    const session = this.#ready(signal)
    const { tag } = submission
    const already = session.submitting.get(tag)
    if (already) return await already
    const submitted = this.#submitOnce(session, submission, signal)
      .finally(() => session.submitting.delete(tag))
    session.submitting.set(tag, submitted)
    return await submitted
  }

  async find(tag: string, signal: AbortSignal): Promise<string | undefined> {
    const session = this.#ready(signal)
    const tranche = session.tranches.get(tag)
    if (tranche?.jobId !== undefined) return tranche.jobId
    // Had a lost answer led to two jobs, the script's claim lets each task run in one of them only;
    // the first one then is what we call the submission.
    const users = this.#users(session)
    const found = this.#tongue.find
      ? await this.#tongue.find(this.#shell, { tag, users }, signal)
      : (await this.#rows(session, signal, tag)).map((row) => row.jobId).toSorted(byNumber)
    const jobId = found[0] ?? claimedBy(tranche)
    if (tranche && jobId !== undefined) this.#remember(session, tranche, jobId)
    return jobId
  }

  async query(signal: AbortSignal): Promise<readonly Observation[]> {
    const session = this.#ready(signal)
    const unfinished = [...session.tranches.values()].some(isUnfinished)
    if (unfinished) {
      const rows = await this.#rows(session, signal)
      const byTag = Map.groupBy(rows, (row) => row.tag)
      const stuck = new Map<string, ReadonlyMap<number, BatchRow>>()
      for (const [tag, { submission, tasks, jobId }] of session.tranches) {
        if (jobId === undefined) continue
        const places = placeRows(byTag.get(tag) ?? [], jobId, tasks.length)
        const { walltimeSeconds } = submission.resources
        for (const task of tasks) judge(task, places.get(task.position), walltimeSeconds)
        if ([...places.values()].some(({ phase }) => phase === 'stuck')) stuck.set(tag, places)
      }
      for (const command of this.#tongue.mend?.(rows) ?? []) {
        await this.#shell.run(command, signal)
      }
      if (stuck.size > 0) await this.#giveUpStuck(session, stuck, signal)
      await this.#judgeMissing(session, signal)
    }
    const observations: Observation[] = []
    for (const [tag, { tasks, jobId }] of session.tranches) {
      if (jobId === undefined) continue
      for (const { taskIndex, status } of tasks) observations.push({ tag, taskIndex, status })
    }
    return observations
  }

  async cancel(
    tag: string,
    taskIndexes: readonly number[] | 'all',
    signal: AbortSignal,
  ): Promise<void> {
    const session = this.#ready(signal)
    const tranche = session.tranches.get(tag)
    if (!tranche) return
    const jobId = await this.find(tag, signal)
    if (jobId === undefined) return
    const wanted = unended(tranche, taskIndexes)
    if (wanted.length === 0) return
    for (const task of wanted) task.cancelled = true
    this.#remember(session, tranche, jobId)
    // Only what is alive, and still ours by name: ids are used again some day.
    const places = placeRows(await this.#rows(session, signal, tag), jobId, tranche.tasks.length)
    const alive = [...places].filter(([, { phase }]) => isAlive(phase)).map(([place]) => place)
    const positions = wanted.map((task) => task.position).filter((place) => alive.includes(place))
    if (positions.length === 0) return
    await this.#end(tranche, jobId, positions.length === alive.length ? 'all' : positions, signal)
    this.#hint(session)
  }

  async enter(
    tag: string, taskIndex: number, signal: AbortSignal,
  ): Promise<Outcome<Entered, ControlRefusal>> {
    const tranche = this.#ready(signal).tranches.get(tag)
    const jobId = tranche && await this.find(tag, signal)
    const task = tranche?.tasks.find((one) => one.taskIndex === taskIndex)
    if (!tranche || jobId === undefined || !task) {
      return refuse({ reason: 'state', words: 'no such task is here' })
    }
    const { submission } = tranche
    const at = { tongue: this.#tongue, shell: this.#shell }
    return enterBatchTask(at, { submission, task, jobId }, signal)
  }

  async control(
    tag: string,
    taskIndexes: readonly number[] | 'all',
    verb: ControlVerb,
    signal: AbortSignal,
  ): Promise<Outcome<undefined, ControlRefusal>> {
    const session = this.#ready(signal)
    const refusal = controlCan(this.#tongue, verb)
    if (refusal) return refuse(refusal)
    const tranche = session.tranches.get(tag)
    const jobId = tranche && await this.find(tag, signal)
    if (!tranche || jobId === undefined) return ok(undefined)
    const wanted = unended(tranche, taskIndexes)
    if (wanted.length === 0) return ok(undefined)
    const places = placeRows(await this.#rows(session, signal, tag), jobId, tranche.tasks.length)
    const suited = suiting(verb, wanted, places)
    if (!suited.ok) return suited
    const positions = suited.value
    if (positions.length === 0) return ok(undefined)
    const { account } = tranche.submission
    const bases = tranche.tasks.filter((task) => positions.includes(task.position))
      .map((task) => task.base)
    const word = wordOf(verb)
    if (word) await leaveWord(this.#shell, bases, word, account, signal)
    const all = [...places].every(([place, { phase }]) =>
      !isAlive(phase) || positions.includes(place))
    const target = this.#target(tranche, jobId, all ? 'all' : positions)
    const allSuited = [...places].every(([place, { phase }]) =>
      !isSuited(verb, phase) || positions.includes(place))
    const meant: Target = { ...target, ...(allSuited ? { allSuited } : {}) }
    for (const command of this.#tongue.control(verb, meant)) {
      const result = await this.#shell.run({ ...command, account }, signal)
      const said = this.#tongue.readControlled(verb, result)
      if (!said) continue
      if (word) await takeWordBack(this.#shell, bases, word, account, signal)
      return refuse(said)
    }
    this.#hint(session)
    return ok(undefined)
  }

  async forget(tag: string): Promise<void> {
    const session = this.#session
    session?.store.remove(tag)
    session?.tranches.delete(tag)
  }

  onHint(listener: () => void): void {
    this.#listeners.push(listener)
  }

  get #hintDirectory(): string {
    return join(this.#config.stateDirectory, 'hints')
  }

  #ready(signal: AbortSignal): Session {
    if (signal.aborted) throw new SchedulerFailure('aborted', 'the caller gave up', signal.reason)
    if (this.#session) return this.#session
    throw new SchedulerFailure('stopped', `the driver of ${this.#tongue.title} is not started`)
  }

  #hint(session: Session): void {
    if (this.#session !== session) return
    for (const listener of this.#listeners) listener()
  }

  #users(session: Session): string[] {
    const users = new Set([this.#user])
    for (const { submission } of session.tranches.values()) {
      if (submission.account) users.add(submission.account.name)
    }
    return [...users]
  }

  async #rows(
    session: Session,
    signal: AbortSignal,
    onlyTag?: string,
  ): Promise<readonly BatchRow[]> {
    const jobs: KnownJob[] = []
    for (const [tag, tranche] of session.tranches) {
      const meant = onlyTag === undefined ? isUnfinished(tranche) : tag === onlyTag
      const { jobId, tasks } = tranche
      if (meant && jobId !== undefined) jobs.push({ tag, jobId, tasks: tasks.length })
    }
    const only = onlyTag === undefined ? {} : { onlyTag }
    const command = this.#tongue.query({ users: this.#users(session), jobs, ...only })
    const rows = this.#tongue.readRows(await this.#shell.run(command, signal))
    return onlyTag === undefined ? rows : rows.filter((row) => row.tag === onlyTag)
  }

  async #submitOnce(
    session: Session,
    submission: Submission,
    signal: AbortSignal,
  ): Promise<Outcome<{ readonly localId: string }, SubmitRefusal>> {
    const { tag } = submission
    const fault = faultOf(submission)
    if (fault) return refuse({ reason: 'refused', words: fault })
    const known = session.tranches.get(tag)
    if (known) {
      const localId = await this.find(tag, signal)
      if (localId !== undefined) return ok({ localId })
    }
    const never = await this.#couldNeverRun(session, submission, signal)
    if (never) return refuse(never)
    const tranche: Tranche = known ?? {
      sequence: ++session.sequence, submission, tasks: batchTasks(submission), jobId: undefined,
    }
    const { sequence } = tranche
    session.store.save({ sequence, submission, note: { jobId: undefined, cancelled: [] } })
    session.tranches.set(tag, tranche)
    const script = await this.#script(submission, tranche, signal)
    const { account } = submission
    const environment = this.#tongue.submitEnvironment
    const command = { environment, ...this.#tongue.submit(submission, script), account }
    const answer = this.#tongue.readSubmitted(await this.#shell.run(command, signal))
    if (!answer.ok) {
      await this.forget(tag)
      return answer
    }
    this.#remember(session, tranche, answer.value.jobId)
    this.#hint(session)
    return ok({ localId: answer.value.jobId })
  }

  async #script(
    submission: Submission,
    { tasks }: Tranche,
    signal: AbortSignal,
  ): Promise<JobScript> {
    const text = batchScript(submission, this.#tongue.script, {
      graceSeconds: this.#config.graceSeconds ?? 10,
      hintPath: join(this.#hintDirectory, 'hint'),
    })
    const base = tasks[0]?.base ?? ''
    const path = `${base}.sh`
    if (this.#tongue.scriptFile) {
      const word = { ending: 'sh', text } as const
      await leaveWord(this.#shell, [base], word, submission.account, signal)
    }
    return { text, path }
  }

  /** Most schedulers take a job over the limits and let it wait for ever. */
  async #couldNeverRun(
    session: Session,
    submission: Submission,
    signal: AbortSignal,
  ): Promise<SubmitRefusal | undefined> {
    const capacity = session.capacity ?? await this.capacity(signal)
    const refusal = this.#tongue.refuse?.(submission, capacity)
    if (refusal) return refusal
    const name = submission.queue ?? this.#tongue.queue
    const asked = capacity.queues.filter((queue) => name === undefined || queue.name === name)
    const most = Math.max(0, ...asked.map((queue) => queue.walltimeSecondsMax))
    const came = submission.resources.walltimeSeconds
    if (asked.length === 0 || came <= most) return undefined
    const words = `expected at most ${most} seconds of walltime, got ${came}; ask for less`
    return { reason: 'tooLarge', words }
  }

  #remember(session: Session, tranche: Tranche, jobId: string): void {
    const { sequence, submission, tasks } = tranche
    const cancelled = tasks.filter((task) => task.cancelled).map((task) => task.position)
    const stuck = tasks.flatMap(({ position, stuck: words }) =>
      words === undefined ? [] : [{ position, words }])
    const note = { jobId, cancelled, ...(stuck.length === 0 ? {} : { stuck }) }
    session.store.save({ sequence, submission, note })
    tranche.jobId = jobId
  }

  #target(tranche: Tranche, jobId: string, positions: readonly number[] | 'all'): Target {
    const { tag, resources } = tranche.submission
    const sorted = positions === 'all' ? positions : positions.toSorted((a, b) => a - b)
    return { tag, jobId, tasks: tranche.tasks.length, resources, positions: sorted }
  }

  async #end(
    tranche: Tranche,
    jobId: string,
    positions: readonly number[] | 'all',
    signal: AbortSignal,
  ): Promise<void> {
    const { account } = tranche.submission
    for (const command of this.#tongue.cancel(this.#target(tranche, jobId, positions))) {
      this.#tongue.readCancelled(await this.#shell.run({ ...command, account }, signal))
    }
  }

  /** What would wait for ever is cancelled; once it is gone it is known to be lost. */
  async #giveUpStuck(
    session: Session,
    stuck: ReadonlyMap<string, ReadonlyMap<number, BatchRow>>,
    signal: AbortSignal,
  ): Promise<void> {
    const jobIds = [...stuck.keys()].map((tag) => session.tranches.get(tag)?.jobId ?? '')
    const reasons = await this.#tongue.reasons?.(this.#shell, jobIds, signal)
    for (const [tag, places] of stuck) {
      const tranche = session.tranches.get(tag)
      if (tranche?.jobId === undefined) continue
      const { jobId } = tranche
      const given = reasons?.get(jobId) ?? `${this.#tongue.title} cannot start it`
      const tasks = tranche.tasks.filter((task) => places.get(task.position)?.phase === 'stuck')
      for (const task of tasks) {
        task.cancelled = true
        task.stuck ??= places.get(task.position)?.reason || given
      }
      this.#remember(session, tranche, jobId)
      await this.#end(tranche, jobId, tasks.map((task) => task.position), signal)
    }
  }

  /** Tasks that ended while nobody looked, so that the query no longer shows them. */
  async #judgeMissing(session: Session, signal: AbortSignal): Promise<void> {
    if (!this.#tongue.gone || clock.now() < session.accountingNotBeforeEpochMs) return
    const missing = [...session.tranches.values()].filter((tranche) =>
      tranche.jobId !== undefined && tranche.tasks.some(isMissing))
    if (missing.length === 0) return
    const asked = missing.map(({ submission: { tag, account }, tasks, jobId = '' }) => ({
      tag, jobId, tasks: tasks.length, user: account?.name ?? this.#user,
      positions: tasks.filter(isMissing).map((task) => task.position),
    }))
    const rows = await this.#tongue.gone(this.#shell, asked, signal)
    const byTag = Map.groupBy(rows, (row) => row.tag)
    let found = 0
    for (const { submission, tasks, jobId = '' } of missing) {
      const places = placeRows(byTag.get(submission.tag) ?? [], jobId, tasks.length)
      for (const task of tasks.filter(isMissing)) {
        const row = places.get(task.position)
        if (row) judgeByLastWords(task, row)
        if (!isMissing(task)) found++
      }
    }
    const longer = Math.min(2 * session.accountingPauseMs, accountingPauseMsMax)
    session.accountingPauseMs = found > 0 ? accountingPauseMsMin : longer
    session.accountingNotBeforeEpochMs = clock.now() + session.accountingPauseMs
  }
}

function unended(tranche: Tranche, taskIndexes: readonly number[] | 'all'): BatchTask[] {
  return tranche.tasks
    .filter((task) => task.status.kind !== 'ended')
    .filter((task) => taskIndexes === 'all' || taskIndexes.includes(task.taskIndex))
}

function isUnfinished(tranche: Tranche): boolean {
  return tranche.jobId !== undefined && tranche.tasks.some((task) => task.status.kind !== 'ended')
}

function isMissing(task: BatchTask): boolean {
  return task.missingSinceEpochMs !== undefined && task.status.kind !== 'ended'
}

/** Ids that begin with a number, the oldest first. */
function byNumber(a: string, b: string): number {
  return Number.parseInt(a, 10) - Number.parseInt(b, 10)
}

/** The job whose script has claimed a task of this tranche. */
function claimedBy(tranche: Tranche | undefined): string | undefined {
  for (const { base } of tranche?.tasks ?? []) {
    const start = readStart(base)
    if (start.kind === 'claimed') return start.job
  }
  return undefined
}
