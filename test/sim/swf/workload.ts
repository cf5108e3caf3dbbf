// A window of a log as a site's workload: every job with when it comes, how long it runs, and how
// long it says that it will.

import type { SwfLog } from './swf.ts'

export interface TraceJob {
  readonly site: number
  /** From the beginning of the window. */
  readonly submitMs: number
  readonly cores: number
  readonly runMs: number
  /** What it asks for: never less than what it takes. */
  readonly walltimeSeconds: number
  /** Of an array: so many tasks, each of them as above; one when left out. */
  readonly tasks?: number
}

export interface Workload {
  readonly name: string
  readonly processors: number
  readonly fromSeconds: number
  readonly jobs: readonly TraceJob[]
  /** Of its cores; the jobs' times are for 1,000, which it is when left out. */
  readonly speedPermille?: number
}

export interface Window {
  readonly fromSeconds: number
  readonly hours: number
}

/**
 * The jobs of `log` in the window, at the site number `site`. One that asked for less time than it
 * took is taken to have asked for what it took, for it was not killed; so is one that asked for
 * none. Wider ones than the machine are left out.
 */
export function workload(
  log: SwfLog, { name, site, window }: { name: string; site: number; window: Window },
): Workload {
  const { fromSeconds, hours } = window
  const jobs: TraceJob[] = []
  for (const job of inside(log, window)) {
    if (job.cores > log.processors) continue
    jobs.push({
      site,
      submitMs: Math.round((job.submitSeconds - fromSeconds) * 1_000),
      cores: job.cores,
      runMs: Math.round(job.runSeconds * 1_000),
      walltimeSeconds:
        Math.max(1, Math.ceil(job.runSeconds), Math.ceil(job.requestedSeconds ?? 0)),
    })
  }
  if (jobs.length === 0) {
    throw new Error(`${name} has no jobs in the ${hours} hours from second ${fromSeconds}; ` +
      `its jobs come from ${log.jobs[0]?.submitSeconds} to ${log.jobs.at(-1)?.submitSeconds}`)
  }
  return { name, processors: log.processors, fromSeconds, jobs }
}

function inside(log: SwfLog, { fromSeconds, hours }: Window): SwfLog['jobs'] {
  return log.jobs.filter(({ submitSeconds }) =>
    submitSeconds >= fromSeconds && submitSeconds < fromSeconds + hours * 3_600)
}

/** Core seconds that the jobs of a window bring, by the core seconds that the machine has. */
export function offeredLoad(log: SwfLog, window: Window): number {
  const work = inside(log, window).reduce((sum, job) => sum + job.cores * job.runSeconds, 0)
  return work / (log.processors * window.hours * 3_600)
}

/**
 * Where a window begins that brings the site at `rank` of its busiest: 0 the peak, 0.5 the median.
 */
export function windowAt(log: SwfLog, hours: number, rank: number): number {
  const step = Math.max(3_600, hours * 900)
  const first = log.jobs[0]?.submitSeconds ?? 0
  const last = log.jobs.at(-1)?.submitSeconds ?? 0
  const starts: { readonly at: number; readonly load: number }[] = []
  const { jobs } = log
  let [from, to, work] = [0, 0, 0]
  for (let at = first; at === first || at + hours * 3_600 <= last; at += step) {
    for (; to < jobs.length && jobs[to]!.submitSeconds < at + hours * 3_600; to++) {
      work += jobs[to]!.cores * jobs[to]!.runSeconds
    }
    for (; from < to && jobs[from]!.submitSeconds < at; from++) {
      work -= jobs[from]!.cores * jobs[from]!.runSeconds
    }
    starts.push({ at, load: work })
  }
  starts.sort((a, b) => b.load - a.load || a.at - b.at)
  return starts[Math.floor(rank * (starts.length - 1))]?.at ?? first
}
