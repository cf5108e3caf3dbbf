// What a job waits for: other jobs of the same home, and earlier ones of its own name. Decided from
// what the home knows of the parents; where they ran is all the same.
//
// [JOB-8] `after`: its parent has begun, each task of it. `afterany`: it has ended. `afterok`: it
//   ended done. `afternotok`: it ended otherwise. `aftercorr`: the task of the same number is done.
//   `singleton`: no earlier job of the same owner and name is open. A delay counts from then.
// [JOB-9] All of them, or with `after_any` one, must be fulfilled; what can never be fulfilled ends
//   the tasks that wait for it.

import type { Ranges } from '../base/ranges.ts'
import {
  addRanges, commonRanges, emptyRanges, rangesOf, rangesSize, rangesValues, subtractRanges,
} from '../base/ranges.ts'
import { formatDuration } from '../base/units.ts'
import type { JobDocument } from './job.ts'

export type Dependency = NonNullable<JobDocument['after']>[number]

/** What the home knows of a parent. */
export interface Parent {
  /** When each of its tasks had begun or was over; 0: not yet. */
  readonly begunEpochMs: number
  /** Undefined while it is open. */
  readonly end?: {
    readonly how: 'done' | 'failed' | 'cancelled' | 'expired'
    readonly epochMs: number
  }
  task(number: number): 'open' | 'done' | 'over'
}

export interface Family {
  readonly nowMs: number
  /** Undefined when it is not known (any more). */
  parent(job: string): Parent | undefined
  /** An earlier job of the same owner and name that is open, or ''. */
  readonly earlier: string
}

/** How the tasks of a job stand to what they wait for. */
export interface Standing {
  /** They wait for nothing any more. */
  readonly ready: Ranges
  /** They would wait for ever. */
  readonly dead: Ranges
  /** When something changes by itself, with the time. */
  readonly untilMs: number | undefined
  /** What the others wait for, or why those are dead; '' when all are ready. */
  readonly words: string
}

/** [JOB-9] */
export function standingOf(
  tasks: Ranges, { after = [], after_any: anyOne = 0 }: Pick<JobDocument, 'after' | 'after_any'>,
  family: Family,
): Standing {
  if (after.length === 0) return { ready: tasks, dead: emptyRanges, untilMs: undefined, words: '' }
  const each = after.map((dependency) => standingOfOne(tasks, dependency, family))
  const [union, common] = [addRanges, commonRanges]
  const [ofReady, ofDead] = anyOne === 1 ? [union, common] : [common, union]
  const both = {
    ready: each.map((one) => one.ready).reduce((left, right) => ofReady(left, right)),
    dead: each.map((one) => one.dead).reduce((left, right) => ofDead(left, right)),
  }
  const dead = subtractRanges(both.dead, both.ready)
  const times = each.flatMap(({ untilMs }) => untilMs ?? [])
  const isOpen = ({ ready }: Standing): boolean => rangesSize(subtractRanges(tasks, ready)) > 0
  const words = rangesSize(dead) > 0
    ? each.filter((one) => rangesSize(one.dead) > 0).map((one) => one.words)
    : each.filter(isOpen).map((one) => one.words)
  const more = words.length > 3 ? `, and ${words.length - 3} more` : ''
  const joined = words.slice(0, 3).join(anyOne === 1 ? ' or ' : ', ')
  return {
    ready: both.ready,
    dead,
    untilMs: times.length === 0 ? undefined : times.reduce((a, b) => Math.min(a, b)),
    words: `${joined}${more}`,
  }
}

/** [JOB-8] */
function standingOfOne(tasks: Ranges, dependency: Dependency, family: Family): Standing {
  const { kind, job, delay_seconds: delay } = dependency
  const all = { ready: tasks, dead: emptyRanges, untilMs: undefined, words: '' }
  const waits = (words: string): Standing => ({ ...all, ready: emptyRanges, words })
  const never = (words: string): Standing => ({ ...waits(words), dead: tasks })
  if (kind === 'singleton') {
    return family.earlier === '' ? all : waits(`for job ${family.earlier} of the same name to end`)
  }
  const parent = family.parent(job)
  if (!parent) return never(`${kind} job ${job} can never be: it is not known here any more`)
  const from = (sinceMs: number): Standing => {
    const untilMs = sinceMs + delay * 1000
    if (family.nowMs >= untilMs) return all
    return { ...waits(`for ${formatDuration(delay)} after job ${job}`), untilMs }
  }
  const { end } = parent
  const bad = end ? never(`${kind} job ${job} can never be: it ended ${end.how}`) : undefined
  switch (kind) {
    case 'after': {
      const since = parent.begunEpochMs > 0 ? parent.begunEpochMs : end?.epochMs
      return since === undefined ? waits(`for job ${job} to begin`) : from(since)
    }
    case 'afterany': return end ? from(end.epochMs) : waits(`for job ${job} to end`)
    case 'afterok':
      if (!end) return waits(`for job ${job} to be done`)
      return end.how === 'done' ? from(end.epochMs) : bad!
    case 'afternotok':
      if (!end) return waits(`for job ${job} to fail`)
      return end.how === 'done' ? bad! : from(end.epochMs)
    case 'aftercorr': return byTask(tasks, job, parent)
  }
}

function byTask(tasks: Ranges, job: string, parent: Parent): Standing {
  const [ready, dead]: [number[], number[]] = [[], []]
  for (const task of rangesValues(tasks)) {
    const state = parent.task(task)
    if (state === 'done') ready.push(task)
    else if (state === 'over' || parent.end) dead.push(task)
  }
  const words = dead.length > 0
    ? `aftercorr job ${job} can never be: its task ${dead[0]!} was not done`
    : `for the same task of job ${job} to be done`
  return { ready: rangesOf(ready), dead: rangesOf(dead), untilMs: undefined, words }
}
