// The driver of Slurm, by its commands: sbatch once a tranche, one squeue for all tasks, scancel,
// sinfo.
//
// Invariants: a tranche is written down before sbatch is called and looked up in Slurm before it is
// called again; a job is ours only by name *and* id; an answer that did not come, or that we cannot
// read, is a SchedulerFailure and changes no task.

import { mkdirSync, watch } from 'node:fs'
import type { FSWatcher } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { ok, refuse } from '../../protocol/base/outcome.ts'
import type { Outcome } from '../../protocol/base/outcome.ts'
import { SchedulerFailure } from './driver.ts'
import type {
  Abilities, Capacity, ControlRefusal, ControlVerb, Driver, Observation, Submission, SubmitRefusal,
} from './driver.ts'
import {
  batchScript, cancelArguments, countsArguments, findArguments, nodesArguments, queryArguments,
  submitArguments,
} from './slurm-commands.ts'
import { judge, judgeByCompletion, slurmTasks } from './slurm-judge.ts'
import type { SlurmTask } from './slurm-judge.ts'
import {
  failureOf, parseCompletions, parseCounts, parseJobs, parseNodes, parseSubmitted, placeRows,
  refusalOf,
} from './slurm-output.ts'
import type { JobRow, NodesSeen } from './slurm-output.ts'
import { completionLog, slurmShell, unreadable } from './slurm-shell.ts'
import type { SlurmShell } from './slurm-shell.ts'
import { readStart } from './supervisor.ts'
import { faultOf, trancheStore } from './tranche-store.ts'
import type { TrancheStore } from './tranche-store.ts'

export interface SlurmConfig {
  /** Absolute; belongs to this driver alone. */
  readonly stateDirectory: string
  /** Where sbatch, squeue, scancel and sinfo are; found in the PATH when left out. */
  readonly binDirectory?: string
  /** slurm.conf; Slurm's own default when left out. */
  readonly confPath?: string
  /** Where tasks go that name no queue; Slurm's default partition when left out. */
  readonly partition?: string
  /** Given to every sbatch as they are, for example `--account=grid`. */
  readonly extraArguments?: readonly string[]
  /** 30,000 when left out. */
  readonly commandTimeoutMs?: number
  /** Between SIGTERM and SIGKILL at the end of a walltime; 10 when left out. */
  readonly graceSeconds?: number
  /**
   * Whether Slurm is configured to end jobs that use too much memory (cgroups); false when left
   * out.
   */
  readonly memoryEnforced?: boolean
}

interface Note {
  /** Undefined from before sbatch until its answer is known. */
  readonly jobId: string | undefined
  /** Array indexes that we have cancelled. */
  readonly cancelled: readonly number[]
}

interface Tranche {
  readonly sequence: number
  readonly submission: Submission
  readonly tasks: readonly SlurmTask[]
  jobId: string | undefined
}

interface Session {
  readonly store: TrancheStore<Note>
  readonly tranches: Map<string, Tranche>
  readonly submitting: Map<string, Promise<Outcome<{ readonly localId: string }, SubmitRefusal>>>
  sequence: number
  /** As last seen by `capacity`. */
  nodes: NodesSeen | undefined
  hints: FSWatcher | undefined
}

export class SlurmDriver implements Driver {
  readonly kind = 'slurm'
  readonly abilities: Abilities
  readonly config: SlurmConfig
  readonly #user = userInfo().username
  readonly #shell: SlurmShell
  readonly #listeners: (() => void)[] = []
  #session: Session | undefined

  constructor(config: SlurmConfig) {
    this.config = config
    this.#shell = slurmShell(config)
    this.abilities = {
      arrays: true, hold: false, signal: false, suspend: false, startEstimate: false,
      accounting: true, memoryEnforced: config.memoryEnforced ?? false, walltimeEnforced: true,
      requeue: false, reservations: false, gpus: false, licences: false, nodes: false,
      chunks: false, accounts: false, seenAt: false,
    }
  }

  /** Does not need Slurm to be there yet. */
  async start(): Promise<void> {
    if (this.#session) return
    const store = trancheStore<Note>(join(this.config.stateDirectory, 'tranches'))
    const session: Session = {
      store, tranches: new Map(), submitting: new Map(), sequence: 0,
      nodes: undefined, hints: undefined,
    }
    for (const { sequence, submission, note } of store.load()) {
      session.sequence = Math.max(session.sequence, sequence)
      const { jobId } = note
      const tasks = slurmTasks(submission)
      for (const task of tasks) task.cancelled = note.cancelled.includes(task.position)
      session.tranches.set(submission.tag, { sequence, submission, tasks, jobId })
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
  }

  async capacity(signal: AbortSignal): Promise<Capacity> {
    const session = this.#ready(signal)
    const { partition } = this.config
    const [nodes, counts] = await Promise.all([
      this.#nodes(session, signal),
      this.#shell.ask('squeue', countsArguments(partition), signal),
    ])
    const { queued, running } = parseCounts(counts)
    return { ...nodes, tasksQueued: queued, tasksRunning: running }
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
    const rows = this.#rows(await this.#shell.ask('squeue', findArguments(this.#user, tag), signal))
    // Had a lost answer led to two jobs, the script's claim lets each task run in one of them only;
    // the first one then is what we call the submission.
    const jobId = rows.map((row) => Number(row.jobId)).toSorted((a, b) => a - b)[0]?.toString()
      ?? claimedBy(tranche)
    if (tranche && jobId !== undefined) this.#remember(session, tranche, jobId)
    return jobId
  }

  async query(signal: AbortSignal): Promise<readonly Observation[]> {
    const session = this.#ready(signal)
    const unfinished = [...session.tranches.values()].some(isUnfinished)
    if (unfinished) {
      const rows = this.#rows(await this.#shell.ask('squeue', queryArguments(this.#user), signal))
      this.#judge(session, rows)
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
    const wanted = tranche.tasks
      .filter((task) => task.status.kind !== 'ended')
      .filter((task) => taskIndexes === 'all' || taskIndexes.includes(task.taskIndex))
    if (wanted.length === 0) return
    for (const task of wanted) task.cancelled = true
    this.#remember(session, tranche, jobId)
    // Only what is alive, and still ours by name: ids are used again some day.
    const rows = this.#rows(await this.#shell.ask('squeue', findArguments(this.#user, tag), signal))
    const places = placeRows(rows, jobId, tranche.tasks.length)
    const alive = [...places].filter(([, { phase }]) => phase === 'queued' || phase === 'running')
      .map(([position]) => position)
    const positions = wanted.map((task) => task.position).filter((place) => alive.includes(place))
    if (positions.length === 0) return
    const all = positions.length === alive.length
    const words = cancelArguments(jobId, all ? 'all' : positions)
    const { code, stderr } = await this.#shell.run('scancel', words, signal)
    // A job that has ended meanwhile needs no cancelling.
    if (code !== 0 && !/invalid job id|already compl/i.test(stderr)) {
      throw new SchedulerFailure(failureOf(stderr), `scancel failed: ${stderr.trim()}`)
    }
    this.#hint(session)
  }

  async control(
    _tag: string,
    _taskIndexes: readonly number[] | 'all',
    { kind }: ControlVerb,
  ): Promise<Outcome<undefined, ControlRefusal>> {
    return refuse({ reason: 'unable', words: `${kind} is not done here` })
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
    return join(this.config.stateDirectory, 'hints')
  }

  #ready(signal: AbortSignal): Session {
    if (signal.aborted) throw new SchedulerFailure('aborted', 'the caller gave up', signal.reason)
    if (!this.#session) throw new SchedulerFailure('stopped', 'the Slurm driver is not started')
    return this.#session
  }

  #hint(session: Session): void {
    if (this.#session !== session) return
    for (const listener of this.#listeners) listener()
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
    const tooLong = await this.#tooLong(session, submission, signal)
    if (tooLong) return refuse(tooLong)
    const tranche: Tranche = known ?? {
      sequence: ++session.sequence, submission, tasks: slurmTasks(submission), jobId: undefined,
    }
    const { sequence } = tranche
    session.store.save({ sequence, submission, note: { jobId: undefined, cancelled: [] } })
    session.tranches.set(tag, tranche)
    const words = submitArguments(submission, {
      partition: this.config.partition,
      extraArguments: this.config.extraArguments ?? [],
    })
    const script = batchScript(submission, {
      graceSeconds: this.config.graceSeconds ?? 10,
      hintPath: join(this.#hintDirectory, 'hint'),
    })
    const { code, stdout, stderr } = await this.#shell.submit(words, signal, script)
    if (code !== 0) {
      const refusal = refusalOf(stderr)
      if (!refusal) throw new SchedulerFailure(failureOf(stderr), `sbatch failed: ${stderr.trim()}`)
      await this.forget(tag)
      return refuse(refusal)
    }
    const jobId = parseSubmitted(stdout)
    if (jobId === undefined) {
      throw new SchedulerFailure('malformed', `expected a job id of sbatch, got ${stdout.trim()}`)
    }
    this.#remember(session, tranche, jobId)
    this.#hint(session)
    return ok({ localId: jobId })
  }

  /**
   * Unless EnforcePartLimits is set, Slurm takes a job over the limit and lets it wait for ever.
   */
  async #tooLong(
    session: Session,
    submission: Submission,
    signal: AbortSignal,
  ): Promise<SubmitRefusal | undefined> {
    const { queues } = session.nodes ?? await this.#nodes(session, signal)
    const name = submission.queue ?? this.config.partition
    const asked = queues.filter((queue) => name === undefined || queue.name === name)
    const most = Math.max(0, ...asked.map((queue) => queue.walltimeSecondsMax))
    const came = submission.resources.walltimeSeconds
    if (asked.length === 0 || came <= most) return undefined
    const words = `expected at most ${most} seconds of walltime, got ${came}; ask for less`
    return { reason: 'tooLarge', words }
  }

  #remember(session: Session, tranche: Tranche, jobId: string): void {
    const { sequence, submission } = tranche
    const cancelled = tranche.tasks.filter((task) => task.cancelled).map((task) => task.position)
    session.store.save({ sequence, submission, note: { jobId, cancelled } })
    tranche.jobId = jobId
  }

  async #nodes(session: Session, signal: AbortSignal): Promise<NodesSeen> {
    const text = await this.#shell.ask('sinfo', nodesArguments(), signal)
    const nodes = parseNodes(text, this.config.partition)
    if (!nodes) throw unreadable('sinfo', text)
    session.nodes = nodes
    return nodes
  }

  #rows(text: string): JobRow[] {
    const rows = parseJobs(text)
    if (!rows) throw unreadable('squeue', text)
    return rows
  }

  #judge(session: Session, rows: readonly JobRow[]): void {
    const byTag = Map.groupBy(rows, (row) => row.tag)
    for (const [tag, { submission, tasks, jobId }] of session.tranches) {
      if (jobId === undefined) continue
      const places = placeRows(byTag.get(tag) ?? [], jobId, tasks.length)
      const { walltimeSeconds } = submission.resources
      for (const task of tasks) judge(task, places.get(task.position), walltimeSeconds)
    }
  }

  /**
   * Tasks that ended while nobody looked, and so long ago that squeue has let them go (MinJobAge).
   */
  async #judgeMissing(session: Session, signal: AbortSignal): Promise<void> {
    const missing = [...session.tranches.values()].filter((tranche) =>
      tranche.jobId !== undefined && tranche.tasks.some(isMissing))
    if (missing.length === 0) return
    const tags = new Set(missing.map(({ submission }) => submission.tag))
    const completions = parseCompletions(await completionLog(this.#shell, signal), tags)
    for (const { submission, tasks, jobId } of missing) {
      for (const task of tasks.filter(isMissing)) {
        const completion = completions.get(`${submission.tag}.${task.position}`)
        if (completion && completion.jobId === jobId) judgeByCompletion(task, completion)
      }
    }
  }
}

function isUnfinished(tranche: Tranche): boolean {
  return tranche.jobId !== undefined && tranche.tasks.some((task) => task.status.kind !== 'ended')
}

function isMissing(task: SlurmTask): boolean {
  return task.missingSinceEpochMs !== undefined && task.status.kind !== 'ended'
}

/** The job whose script has claimed a task of this tranche. */
function claimedBy(tranche: Tranche | undefined): string | undefined {
  for (const { base } of tranche?.tasks ?? []) {
    const start = readStart(base)
    if (start.kind === 'claimed') return start.job
  }
  return undefined
}
