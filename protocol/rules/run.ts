// What a host reports of a task, and what that means for the job: the end of a task is either the
// user's (it ran, whatever its exit code) or the site's (it never ran to an end here, and goes
// elsewhere).
//
// [RUN-1] "Cannot see the task" is no report: only an observed end is.
// [RUN-2] A task that the site lost or refused is placed again, at most `limits.taskAttempts`
//   times.
// [RUN-3] A task that ran to its end is done if it exited 0 and left every output it promised.
// [RUN-8] What its owner has placed again is `requeued`: what it ran is charged, and it is no
//   failed attempt.
// [RUN-6] What a host stops by its own right is `stopped`: what it ran is charged, and it goes
//   elsewhere.

import { sha256Hex } from '../base/crypto.ts'
import { encode } from '../base/encoding.ts'
import type { Hash } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { Shaped } from '../base/shape.ts'
import { integer, list, oneOf, optional, record, text, unshape } from '../base/shape.ts'
import { mulDivDown } from '../base/units.ts'

const count = integer({ min: 0, max: Number.MAX_SAFE_INTEGER })

export const taskReportShape = record({
  task: count,
  state: oneOf('queued', 'running', 'collecting', 'ended'),
  /**
   * Meaningful once ended. refused: it was never started here; stopped: by the host itself;
   * requeued: by its owner, to be placed again.
   */
  how: oneOf('', 'exited', 'walltime', 'memory', 'cancelled', 'lost', 'refused', 'stopped',
    'requeued'),
  exit_code: integer({ min: -1, max: 255 }),
  detail: text({ bytesMax: 512 }),
  started_ms: count,
  ended_ms: count,
  core_s: count,
  gib_s: count,
  /** The tree of its results (outputs, stdout, stderr); '' when there is none. */
  tree: text({ bytesMax: 64, pattern: /^([0-9a-f]{64})?$/ }),
  tree_bytes: count,
  /** Before its end: held in the queue, or suspended while it runs. */
  halt: optional(oneOf('held', 'suspended')),
  /** Outputs that were promised and are not there. */
  missing: list(text({ bytesMax: limits.pathBytes }), { max: 256 }),
})

export type TaskReport = Shaped<typeof taskReportShape>

export const unstartedTask: Omit<TaskReport, 'task'> = {
  state: 'queued', how: '', exit_code: -1, detail: '', started_ms: 0, ended_ms: 0, core_s: 0,
  gib_s: 0, tree: '', tree_bytes: 0, missing: [],
}

export type Verdict =
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly detail: string }
  | { readonly kind: 'cancelled' }
  /** The site's end, not the user's: place it again. */
  | { readonly kind: 'again'; readonly detail: string }

/** What the end of a task means; only for a report in state `ended`. */
export function verdictOf(report: TaskReport): Verdict {
  switch (report.how) {
    case 'lost': return { kind: 'again', detail: report.detail || 'the site lost the task' }
    case 'refused': return { kind: 'again', detail: report.detail || 'the site could not start it' }
    case 'stopped': return { kind: 'again', detail: report.detail || 'the site stopped it' }
    case 'requeued': return { kind: 'again', detail: 'its owner had it placed again' }
    case 'cancelled': return { kind: 'cancelled' }
    case 'walltime': return { kind: 'failed', detail: 'killed at its walltime' }
    case 'memory':
      return { kind: 'failed', detail: 'killed for using more memory than it asked for' }
    default:
      if (report.tree === '') return { kind: 'again', detail: 'nothing came of its output' }
      if (report.exit_code !== 0) {
        return { kind: 'failed', detail: `exit code ${report.exit_code}` }
      }
      if (report.missing.length > 0) {
        const list = report.missing.slice(0, 5).join(', ')
        return { kind: 'failed', detail: `promised outputs are not there: ${list}` }
      }
      return { kind: 'done' }
  }
}

/** Whole seconds of cores and GiB that a task occupied; partial seconds are the host's loss. */
export function meteredUsage(options: {
  readonly startedMs: number
  readonly endedMs: number
  readonly cores: number
  readonly memoryMib: number
}): { core_s: number; gib_s: number } {
  const elapsedMs = Math.max(0, options.endedMs - options.startedMs)
  const core_s = Math.floor((elapsedMs * options.cores) / 1000)
  // A year of a machine with terabytes is beyond what a number holds exactly.
  const gib_s = Number(mulDivDown(BigInt(elapsedMs), BigInt(options.memoryMib), 1000n * 1024n))
  return { core_s, gib_s }
}

/** What a usage's `meter` commits to: the reports, hidden from who lacks the tranche's salt. */
export function meterCommitment(salt: string, reports: readonly TaskReport[]): Hash {
  return sha256Hex('gridnode/v1/meter\n', encode([salt, unshape(reports)]))
}

export interface UsageTotal {
  readonly tasks: number
  readonly core_s: number
  readonly gib_s: number
}

/** [RUN-4] What a host may claim: the tasks that ran, each once; never what it lost or refused. */
export function chargeable(reports: Iterable<TaskReport>): UsageTotal {
  let [tasks, core_s, gib_s] = [0, 0, 0]
  for (const report of reports) {
    const ran = report.state === 'ended' && report.started_ms > 0 &&
      report.how !== 'lost' && report.how !== 'refused'
    if (!ran) continue
    tasks += 1
    core_s += report.core_s
    gib_s += report.gib_s
  }
  return { tasks, core_s, gib_s }
}

/** What a contract says of each task. */
export interface TaskSize {
  readonly cores: number
  readonly memoryMib: number
  readonly walltimeSeconds: number
}

/**
 * [RUN-7] What may be claimed for tasks of which some still run: the ended ones as they ended, the
 * others for the time since their start, at most their walltime. `atMs` is the host's own date.
 */
export function usageSoFar(
  reports: Iterable<TaskReport>, { atMs, ...size }: TaskSize & { readonly atMs: number },
): UsageTotal {
  let sum = noUsage
  for (const report of reports) {
    if (report.state === 'ended') {
      sum = addUsage(sum, chargeable([report]))
      continue
    }
    const started = report.started_ms > 0
      && (report.state === 'running' || report.state === 'collecting')
    if (!started) continue
    const seenMs = report.ended_ms > 0 ? Math.min(report.ended_ms, atMs) : atMs
    const endedMs = Math.min(seenMs, report.started_ms + size.walltimeSeconds * 1000)
    sum = addUsage(sum, { tasks: 1, ...meteredUsage({
      ...size, startedMs: report.started_ms, endedMs,
    }) })
  }
  return sum
}

export const noUsage: UsageTotal = { tasks: 0, core_s: 0, gib_s: 0 }

/** Sums stay numbers that travel, whatever a host makes up. */
export function addUsage(left: UsageTotal, right: UsageTotal): UsageTotal {
  const sum = (field: keyof UsageTotal): number =>
    Math.min(Number.MAX_SAFE_INTEGER, left[field] + right[field])
  return { tasks: sum('tasks'), core_s: sum('core_s'), gib_s: sum('gib_s') }
}

/** Field by field the larger one. */
export function mostUsage(left: UsageTotal, right: UsageTotal): UsageTotal {
  const most = (field: keyof UsageTotal): number => Math.max(left[field], right[field])
  return { tasks: most('tasks'), core_s: most('core_s'), gib_s: most('gib_s') }
}

/** Field by field the smaller one. */
export function leastUsage(left: UsageTotal, right: UsageTotal): UsageTotal {
  const least = (field: keyof UsageTotal): number => Math.min(left[field], right[field])
  return { tasks: least('tasks'), core_s: least('core_s'), gib_s: least('gib_s') }
}

/** No field of `left` is more than that of `right`. */
export function isWithin(left: UsageTotal, right: UsageTotal): boolean {
  return left.tasks <= right.tasks && left.core_s <= right.core_s && left.gib_s <= right.gib_s
}
