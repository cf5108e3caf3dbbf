// What the suite of drivers stands on: the rig of one scheduler, submissions made for it, and
// waiting for what becomes of them.

import type {
  Driver, EndedTask, Observation, Submission, TaskStatus,
} from '../../node/scheduler/driver.ts'
import { assert, eventually } from '../harness.ts'

interface Output {
  readonly stdout: string
  readonly stderr: string
}

export interface DriverRig {
  /**
   * A started driver on the rig's scheduler. Called again: a new one on the same state, as after a
   * crash.
   */
  open(): Promise<Driver>
  /** An absolute directory for a task, existing and empty. */
  taskDirectory(): string
  output(submission: Submission, taskIndex: number): Output
  /** How often the scheduler itself was asked for the state of tasks. */
  queriesAsked(): number
  /**
   * Makes the scheduler unreachable, and well again; there when the suite is run with `outages`.
   */
  readonly outage?: { begin(): Promise<void>; end(): Promise<void> }
  /** Lets virtual time pass. */
  readonly advance?: (ms: number) => void
  /** The scheduler holds an array only as a whole; said in words otherwise. */
  readonly holdsOnlyWhole?: true
  readonly coresTotal: number
  /** Beyond what a task may ask for. */
  readonly coresTooMany: number
  readonly timeoutSeconds: number
}

export const never = new AbortController().signal
const walltimeSeconds = 600
let tagsMade = 0

export function makeTag(): string {
  const text = `${process.pid.toString(16)}${(++tagsMade).toString(16).padStart(4, '0')}`
  return text.padStart(16, '0')
}

export function make(rig: DriverRig, script: string, options: {
  readonly taskIndexes?: readonly number[]
  readonly cores?: number
  readonly walltimeSeconds?: number
} = {}): Submission {
  return {
    tag: makeTag(),
    jobName: 'suite of drivers',
    tasks: (options.taskIndexes ?? [0])
      .map((taskIndex) => ({ taskIndex, directory: rig.taskDirectory() })),
    command: ['sh', '-c', script],
    environment: {},
    resources: {
      coresPerTask: options.cores ?? 1,
      memoryBytesPerTask: 64 * 1024 * 1024,
      walltimeSeconds: options.walltimeSeconds ?? walltimeSeconds,
    },
  }
}

export function mine(seen: readonly Observation[], submission: Submission): Observation[] {
  return seen.filter((observation) => observation.tag === submission.tag)
}

/** In the order of the submission's tasks; undefined for a task that the driver does not report. */
export async function statuses(
  driver: Driver,
  submission: Submission,
): Promise<(TaskStatus | undefined)[]> {
  const seen = mine(await driver.query(never), submission)
  assert.ok(seen.length <= submission.tasks.length, 'no task is reported twice')
  return submission.tasks.map(({ taskIndex }) =>
    seen.find((observation) => observation.taskIndex === taskIndex)?.status)
}

export async function all(
  rig: DriverRig,
  driver: Driver,
  submission: Submission,
  holds: (status: TaskStatus) => boolean,
): Promise<void> {
  await settled(rig, async () => {
    return (await statuses(driver, submission)).every((status) => status && holds(status))
  })
}

export async function allEnded(
  rig: DriverRig,
  driver: Driver,
  submission: Submission,
): Promise<EndedTask[]> {
  return await settled(rig, async () => {
    const ended = (await statuses(driver, submission)).filter((status) => status?.kind === 'ended')
    return ended.length === submission.tasks.length ? ended : undefined
  })
}

export async function settled<Answer>(
  rig: DriverRig,
  question: () => Promise<Answer>,
): Promise<NonNullable<Answer>> {
  return await eventually(async () => {
    const answer = await question()
    if (!answer) rig.advance?.(250)
    return answer
  }, { timeoutSeconds: rig.timeoutSeconds })
}
