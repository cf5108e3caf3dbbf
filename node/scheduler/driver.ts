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
}

export type TaskStatus =
  | { readonly kind: 'queued' }
  | { readonly kind: 'running'; readonly startedEpochMs: number }
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
}

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

export interface Driver {
  readonly kind: 'embedded' | 'slurm' | 'fake'
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
  /**
   * The caller has recorded the results; the tag is not reported again. Running tasks are not
   * ended.
   */
  forget(tag: string): Promise<void>
  /** Something changed, query soon. Hints may be missing or too many. */
  onHint(listener: () => void): void
}
