// What every scheduler looks like to the node: submit, find, query, cancel, forget. One driver
// stands for one local scheduler. The node is the only caller; nothing here is seen by another
// site.
//
// Invariants: a tranche is submitted at most once however often `submit` is called with its tag; an
// answer that is not known is a thrown SchedulerFailure, never an 'ended' task; an ended task is
// reported until `forget`; `stop` ends no running task.

import type { Outcome } from '../../protocol/base/outcome.ts'

/** What one task asks for. */
export interface Resources {
  readonly coresPerTask: number
  readonly memoryBytesPerTask: number
  readonly walltimeSeconds: number
  /** Graphics processors in all; undefined = none. */
  readonly gpusPerTask?: number
  /**
   * How the task lies on nodes; the sums are the three numbers above. Undefined = all in one node.
   */
  readonly chunks?: readonly Chunk[]
  readonly licences?: readonly { readonly name: string; readonly count: number }[]
}

/** So many nodes that each give the task so much. */
export interface Chunk {
  readonly nodes: number
  readonly coresPerNode: number
  readonly memoryBytesPerNode: number
  readonly gpusPerNode: number
}

/** The local account that a task runs under; the node must be root to use another than its own. */
export interface LocalAccount {
  readonly name: string
  readonly uid: number
  readonly gid: number
  /** All of its groups, `gid` among them. */
  readonly groups: readonly number[]
  readonly home: string
}

export interface TaskRun {
  readonly taskIndex: number
  /**
   * Absolute; the task's own working directory, which must exist. Its standard output and error go
   * to the files `stdout` and `stderr` of `<directory>/.gridnode/`, which the driver makes.
   */
  readonly directory: string
}

export interface Submission {
  /** The tranche's id, 16 hexadecimal digits; the submission is found again by it. */
  readonly tag: string
  readonly jobName: string
  readonly tasks: readonly TaskRun[]
  /** argv, run in the task's directory without a shell. */
  readonly command: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly resources: Resources
  readonly queue?: string
  /** Undefined: the node's own. */
  readonly account?: LocalAccount
  /**
   * Absolute: the path under which a task sees its own directory, beside its real one, for scripts
   * that name the directory they were submitted from. Only where `abilities.seenAt`.
   */
  readonly seenAt?: string
}

/**
 * `exited`: the command ended by itself, by a signal of its own or of an operator. `walltime`,
 * `memory`: the scheduler killed it for passing a limit. `cancelled`: by `cancel` or an operator.
 * `lost`: there is proof that it neither runs nor will ever report (its machine was restarted, its
 * supervisor is gone).
 */
export type EndedHow = 'exited' | 'walltime' | 'memory' | 'cancelled' | 'lost'

export interface EndedTask {
  readonly kind: 'ended'
  readonly how: EndedHow
  /** 0-255; 128 + signal when it was killed. -1 when there is none: never started, or lost. */
  readonly exitCode: number
  /** Equal to `endedEpochMs` when it never started. */
  readonly startedEpochMs: number
  readonly endedEpochMs: number
  readonly cpuMs?: number
  readonly memoryBytesPeak?: number
  /** What the scheduler says of an end that was not the command's own. */
  readonly words?: string
}

export interface QueuedTask {
  readonly kind: 'queued'
  readonly held?: true
  /** When the scheduler expects to start it; only where `abilities.startEstimate`. */
  readonly startsEpochMs?: number
  /** Why it waits, in the scheduler's own words. */
  readonly words?: string
}

export type TaskStatus =
  | QueuedTask
  | { readonly kind: 'running'; readonly startedEpochMs: number; readonly suspended?: true }
  | EndedTask

export interface Observation {
  readonly tag: string
  readonly taskIndex: number
  readonly status: TaskStatus
}

export interface QueueCapacity {
  readonly name: string
  readonly coresTotal: number
  readonly coresFree: number
  readonly walltimeSecondsMax: number
  readonly memoryBytesPerNodeMax: number
  readonly coresPerNodeMax: number
}

export interface Capacity {
  readonly coresTotal: number
  readonly coresFree: number
  readonly memoryBytesTotal: number
  readonly memoryBytesFree: number
  /** Of all users of the scheduler, as far as it shows them. */
  readonly tasksQueued: number
  readonly tasksRunning: number
  readonly queues: readonly QueueCapacity[]
  /** 1 when left out. */
  readonly nodesTotal?: number
  /** Graphics processors; none when left out. */
  readonly gpusTotal?: number
  readonly gpusFree?: number
  /** That the scheduler counts, as many as there are in all. */
  readonly licences?: readonly { readonly name: string; readonly count: number }[]
}

/** What a scheduler can do; a driver declares, it never pretends. */
export interface Abilities {
  readonly arrays: boolean
  readonly hold: boolean
  readonly signal: boolean
  readonly suspend: boolean
  readonly startEstimate: boolean
  /** Ended tasks carry `cpuMs` (and `memoryBytesPeak` where it is measured). */
  readonly accounting: boolean
  /** A task that uses more memory than it asked for is ended with `memory`. */
  readonly memoryEnforced: boolean
  readonly walltimeEnforced: boolean
  readonly requeue: boolean
  /** The scheduler knows advance reservations. */
  readonly reservations: boolean
  readonly gpus: boolean
  readonly licences: boolean
  /** A task may take several nodes of one kind. */
  readonly nodes: boolean
  /** A task may take chunks of several kinds. */
  readonly chunks: boolean
  /** Tasks can run under another account than the node's. */
  readonly accounts: boolean
  readonly seenAt: boolean
}

/** What may be done to tasks besides cancelling; each is idempotent but `signal` and `requeue`. */
export type ControlVerb =
  | { readonly kind: 'hold' | 'release' | 'suspend' | 'resume' | 'requeue' }
  /** A name without SIG, such as USR1; to all processes of the task. */
  | { readonly kind: 'signal'; readonly name: string }

/** `unable`: this scheduler cannot. `state`: not in the state that the tasks are in. */
export type ControlRefusal =
  | { readonly reason: 'unable'; readonly words: string }
  | { readonly reason: 'state'; readonly words: string }
  | { readonly reason: 'refused'; readonly words: string }

/**
 * In order of precedence; `words` are the scheduler's own, or say what was expected and what came.
 */
export type SubmitRefusal =
  | { readonly reason: 'queueUnknown'; readonly words: string }
  | { readonly reason: 'tooLarge'; readonly words: string }
  | { readonly reason: 'full'; readonly words: string }
  | { readonly reason: 'refused'; readonly words: string }

/**
 * `unreachable`: the scheduler does not answer. `timeout`: it did not answer in time. `aborted`:
 * the caller's signal. `malformed`: it answered what we cannot read. `missing`: its commands are
 * not installed. `stopped`: the driver is not started. After any of these the outcome of the call
 * is unknown.
 */
export type SchedulerFailureCode =
  | 'unreachable'
  | 'timeout'
  | 'aborted'
  | 'malformed'
  | 'missing'
  | 'stopped'

export class SchedulerFailure extends Error {
  override name = 'SchedulerFailure'
  readonly code: SchedulerFailureCode

  constructor(code: SchedulerFailureCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}

export type DriverKind =
  | 'embedded' | 'slurm' | 'grid-engine' | 'pbs' | 'torque' | 'lsf' | 'htcondor' | 'fake'

/** How a process is started beside a running task, where the task is and with what it has. */
export interface Entered {
  /** Before the command's own words. */
  readonly words: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly cwd: string
}

export interface Driver {
  readonly kind: DriverKind
  readonly abilities: Abilities
  start(): Promise<void>
  /** Ends no running task. */
  stop(): Promise<void>
  capacity(signal: AbortSignal): Promise<Capacity>
  /** Idempotent by tag. `localId` is what the scheduler's own commands call it. */
  submit(
    submission: Submission,
    signal: AbortSignal,
  ): Promise<Outcome<{ readonly localId: string }, SubmitRefusal>>
  find(tag: string, signal: AbortSignal): Promise<string | undefined>
  /** All tasks of ours in a single query of the scheduler; ended ones stay until `forget`. */
  query(signal: AbortSignal): Promise<readonly Observation[]>
  /** Idempotent; an unknown tag or a task that has ended is no error. */
  cancel(
    tag: string,
    taskIndexes: readonly number[] | 'all',
    signal: AbortSignal,
  ): Promise<void>
  /** Tasks that have ended, and tags that are not known, are passed over. */
  control(
    tag: string,
    taskIndexes: readonly number[] | 'all',
    verb: ControlVerb,
    signal: AbortSignal,
  ): Promise<Outcome<undefined, ControlRefusal>>
  /** Absent where nobody can be let into a running task. */
  enter?(
    tag: string, taskIndex: number, signal: AbortSignal,
  ): Promise<Outcome<Entered, ControlRefusal>>
  /**
   * The caller has recorded the results; the tag is not reported again. Running tasks are not
   * ended.
   */
  forget(tag: string): Promise<void>
  /** Something changed, query soon. Hints may be missing or too many. */
  onHint(listener: () => void): void
}
