// How many of a job's waiting tasks each of its hosts should have: no more than would end there by
// the time at which all of them could have ended. Until the end is near that is no bound at all;
// then it keeps tasks from a slow host or a long queue when a faster one would be done sooner.
//
// [AWARD-5] A home commits no more of its waiting tasks to a host than would end there by the
//   earliest time at which all could have ended.

/** The slots of one host, as its home sees them. */
export interface Lanes {
  readonly taskMs: number
  /** For each slot, when it has done what it runs and what waits for it: milliseconds from now. */
  readonly freeMs: readonly number[]
}

/** Longer than any walltime; as many of them as a job has tasks are still a safe integer. */
const taskMsMax = 4 * 10 ** 10
const freeMsMax = 10 ** 15

/**
 * For each host its share of `waiting` tasks, in the order of `hosts`. The shares together are at
 * least `waiting` (more when several slots would end at the same time), unless there is no host.
 */
export function sharesOf(waiting: number, hosts: readonly Lanes[]): number[] {
  const bounded = hosts.map(boundedLanes)
  const countBy = (timeMs: number): number[] => bounded.map(({ taskMs, freeMs }) =>
    freeMs.reduce((sum, free) => sum + Math.max(0, Math.floor((timeMs - free) / taskMs)), 0))
  const enough = (timeMs: number): boolean =>
    countBy(timeMs).reduce((sum, count) => sum + count, 0) >= waiting
  // By then a single slot would have done all of it.
  const latest = bounded.reduce((least, { taskMs, freeMs }) =>
    freeMs.reduce((found, free) => Math.min(found, free + waiting * taskMs), least), Infinity)
  if (waiting < 1 || latest === Infinity) return bounded.map(() => 0)
  let [tooEarly, inTime] = [0, latest]
  while (inTime - tooEarly > 1) {
    const middle = tooEarly + Math.floor((inTime - tooEarly) / 2)
    if (enough(middle)) inTime = middle
    else tooEarly = middle
  }
  return countBy(inTime).map((count) => Math.min(waiting, count))
}

function boundedLanes({ taskMs, freeMs }: Lanes): Lanes {
  const bound = (ms: number, { least, most }: { least: number; most: number }): number =>
    Math.min(most, Math.max(least, ms))
  return {
    taskMs: bound(taskMs, { least: 1, most: taskMsMax }),
    freeMs: freeMs.map((ms) => bound(ms, { least: 0, most: freeMsMax })),
  }
}

/**
 * When the slots of a host are free: each running task holds one for as long as it takes, `queued`
 * tasks come before whatever comes next. More tasks may run than the `slots` that were promised;
 * one that is overdue is no slot beyond these, for its end may be on its way to us.
 */
export function lanesOf(
  { slots, ranMs, queued, taskMs }: {
    readonly slots: number
    /** For each running task. */
    readonly ranMs: readonly number[]
    readonly queued: number
    readonly taskMs: number
  },
): Lanes {
  const left = ranMs.map((ms) => leftMs(ms, taskMs)).sort((a, b) => a - b)
  const inTime = ranMs.filter((ms) => ms < taskMs).length
  const count = Math.max(1, slots, inTime)
  const idle = Array<number>(Math.max(0, count - left.length)).fill(0)
  const free = [...idle, ...left].slice(-count)
  const [each, more] = [Math.floor(queued / count), queued % count]
  return {
    taskMs, freeMs: free.map((ms, at) => ms + taskMs * (each + (at < more ? 1 : 0))),
  }
}

/** One that is late takes as long again as it is late. */
function leftMs(ranMs: number, taskMs: number): number {
  return Math.abs(taskMs - ranMs)
}
