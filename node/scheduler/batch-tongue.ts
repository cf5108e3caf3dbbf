// What a command-line scheduler has to say of itself so that the engine of batch-driver.ts can
// drive it. A tongue turns wishes into argument lists and answers into rows; it holds no state and
// starts no process. The engine keeps the submissions, looks a submission up before it repeats it,
// asks one query for all, judges from rows and records, and remembers until `forget`.
//
// Invariants: a reader says what it was told or throws a SchedulerFailure, it never guesses;
// whatever a tongue is not sure of is a failure, because a failure ends no task.

import type { Outcome } from '../../protocol/base/outcome.ts'
import type { ScriptWords } from './batch-script.ts'
import type {
  Abilities, Capacity, ControlRefusal, ControlVerb, DriverKind, LocalAccount, Resources, Submission,
  SubmitRefusal,
} from './driver.ts'
import type { RunResult } from './exec.ts'

/** One command of the scheduler's. */
export interface BatchCommand {
  /** The program's name first, without a directory. */
  readonly argv: readonly string[]
  /** Its standard input; empty when left out. */
  readonly input?: string
  /** Instead of the tongue's `environment`; the inherited variables are always there. */
  readonly environment?: Readonly<Record<string, string>>
  /**
   * Run as this account instead of the node's own. The engine sets it to the submission's, for
   * commands that act on one.
   */
  readonly account?: LocalAccount | undefined
  /** Run as the node even for a submission of another account: it takes an operator. */
  readonly asNode?: true
}

/** Runs commands with the tongue's environment, the configured directory and time limit. */
export interface BatchShell {
  /** What commands see, and where they are. */
  readonly environment: Readonly<Record<string, string>>
  path(program: string): string

  /**
   * The answer, whatever the exit code.
   *
   * @throws SchedulerFailure `missing`, `timeout`, `aborted`, `malformed` (endless output)
   */
  run(command: BatchCommand, signal: AbortSignal): Promise<RunResult>
  /**
   * The output of a command that only looks.
   *
   * @throws SchedulerFailure also when it ends with another code than 0
   */
  ask(argv: readonly string[], signal: AbortSignal): Promise<string>
}

/**
 * Where a task stands. `held`: it waits until it is released. `stuck`: it waits in an error from
 * which only an operator would free it; the engine cancels it and calls it lost. `exited`: the
 * script ended, with whatever code. `cancelled`: by somebody. `lost`: its node failed.
 */
export type BatchPhase =
  | 'queued' | 'held' | 'stuck' | 'running' | 'suspended'
  | 'exited' | 'walltime' | 'memory' | 'cancelled' | 'lost'

/** What the scheduler says of a job, a task of an array, or some tasks of an array together. */
export interface BatchRow {
  readonly tag: string
  /**
   * Of the job or of the whole array, exactly as `readSubmitted` gave it, so that the two compare.
   */
  readonly jobId: string
  /**
   * Places in `Submission.tasks`, from 0, whatever the scheduler counts from. Undefined: all tasks
   * of the submission that no other row names (a job that is no array, or an array that no longer
   * says).
   */
  readonly positions: readonly number[] | undefined
  readonly phase: BatchPhase
  /** When it started or, while it waits, is expected to; 0 when the scheduler does not say. */
  readonly startEpochMs: number
  /** 0 when the scheduler does not say. */
  readonly endEpochMs: number
  /** 0-255, 128 + signal; undefined when the scheduler does not say. */
  readonly exitCode: number | undefined
  /** The scheduler's own words on why it waits or how it ended; may be empty. */
  readonly reason: string
  readonly cpuMs?: number
  readonly memoryBytesPeak?: number
}

/** A submission whose job id is known. */
export interface KnownJob {
  readonly tag: string
  readonly jobId: string
  /** The number of its tasks: an array if more than 1. */
  readonly tasks: number
}

export interface QueryAsk {
  /** Names of the users whose jobs are ours, the node's own among them; at least one. */
  readonly users: readonly string[]
  /** All jobs that have not ended as far as we know, for a scheduler that is asked by ids. */
  readonly jobs: readonly KnownJob[]
  /** Only this submission matters; others may be left out. */
  readonly onlyTag?: string
}

/** A submission of which the query says nothing (any more), and which we have not seen end. */
export interface MissingJob extends KnownJob {
  readonly positions: readonly number[]
  readonly user: string
}

export interface Target extends KnownJob {
  readonly resources: Resources
  /** Places that are meant, ascending, not empty; `all`: every task that has not ended. */
  readonly positions: readonly number[] | 'all'
  /**
   * Of a verb: `positions` are all the tasks that it suits; what else is alive is in other states.
   */
  readonly allSuited?: true
}

export interface JobScript {
  readonly text: string
  /**
   * Where the text can also be had as a file, for a scheduler that cannot read it from its standard
   * input: visible to the compute nodes, executable, readable to the account. The engine writes it
   * when the tongue has `scriptFile`.
   */
  readonly path: string
}

export interface Tongue {
  readonly kind: Exclude<DriverKind, 'embedded' | 'fake'>
  /** What people call it: `Slurm`, `Grid Engine`. */
  readonly title: string
  /** Only what is true of this scheduler as it is configured. */
  readonly abilities: Abilities
  /**
   * For commands that look and control, beside PATH, HOME and the like: a fixed locale, formats of
   * times. A submission gets `submitEnvironment`, because jobs may inherit it.
   */
  readonly environment: Readonly<Record<string, string>>
  readonly submitEnvironment: Readonly<Record<string, string>>
  /**
   * How the job script learns which task it is and which job it belongs to. The script holds the
   * words of a stranger's command, in quotes but over several lines: the submission must make sure
   * that no line of it is read as a directive.
   */
  readonly script: ScriptWords
  /** The job script is wanted as a file. */
  readonly scriptFile?: true

  /** One command for all tasks of the submission. */
  submit(submission: Submission, script: JobScript): BatchCommand
  /** The job's id, or the scheduler's no. An answer that may hide a submission is a failure. */
  readSubmitted(result: RunResult): Outcome<{ readonly jobId: string }, SubmitRefusal>
  /**
   * What could never run here, for schedulers that accept it and let it wait for ever. The walltime
   * against the longest of the queues is the engine's own check.
   */
  refuse?(submission: Submission, capacity: Capacity): SubmitRefusal | undefined

  /** The one query: never one a job. */
  query(ask: QueryAsk): BatchCommand
  /** Rows of jobs that carry a tag of ours (others are left out). */
  readRows(result: RunResult): readonly BatchRow[]
  /**
   * Ids of the jobs that carry this tag, oldest first, for a scheduler whose `query` needs ids.
   * Left out: `query` with `onlyTag` finds them.
   */
  find?(
    shell: BatchShell,
    ask: { readonly tag: string; readonly users: readonly string[] },
    signal: AbortSignal,
  ): Promise<readonly string[]>
  /**
   * The last words on tasks that the query no longer knows, from the scheduler's accounting or log,
   * by one or a few commands for all of them. Called at a bounded rate. What is not found is left
   * out; an accounting that is not there or cannot be read is an empty list.
   */
  gone?(
    shell: BatchShell,
    missing: readonly MissingJob[],
    signal: AbortSignal,
  ): Promise<readonly BatchRow[]>

  /** Why jobs are stuck, by id, where their rows do not say; in one command. */
  reasons?(
    shell: BatchShell,
    jobIds: readonly string[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, string>>

  /** Ends tasks; they are alive and the job is still ours. As few commands as possible. */
  cancel(target: Target): readonly BatchCommand[]
  /** Returns when the command did its work or the tasks had ended already, else throws. */
  readCancelled(result: RunResult): void

  /** The commands of a verb that `abilities` declare; the tasks are in the right state. */
  control(verb: ControlVerb, target: Target): readonly BatchCommand[]
  /**
   * The words before a command that start it where a task of ours runs, and a terminal for it if
   * `script` is there; left out: the scheduler knows no way in.
   */
  enter?(
    shell: BatchShell,
    task: {
      readonly jobId: string
      /** Undefined when the job is no array. */
      readonly position: number | undefined
      readonly directory: string
    },
    signal: AbortSignal,
  ): Promise<readonly string[]>
  /** Undefined when done, or done already. */
  readControlled(verb: ControlVerb, result: RunResult): ControlRefusal | undefined
  /**
   * What the rows show to be in the way of tasks of ours and can be mended; failures of these
   * commands are passed over, and they come again with the next query.
   */
  mend?(rows: readonly BatchRow[]): readonly BatchCommand[]

  capacity(shell: BatchShell, signal: AbortSignal): Promise<Capacity>
  /** The queue of a submission that names none; undefined when the scheduler decides. */
  readonly queue: string | undefined
}
