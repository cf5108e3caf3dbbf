// One scheduler over some processors that knows every job as soon as it comes: first come first
// served with EASY backfill, by the same function as the embedded executor. With all processors of
// a federation it is the omniscient scheduler that a market is measured against; with those of one
// site it is that site alone.

import type { RunningTask } from '../../../node/scheduler/backfill.ts'
import { startable } from '../../../node/scheduler/backfill.ts'
import type { TraceJob } from './workload.ts'

/** What became of a job: times from the beginning of the window. */
export interface Ran {
  readonly job: TraceJob
  readonly startMs: number
  readonly endMs: number
  /** The site where it ran; undefined when the processors belong to no site. */
  readonly at?: number
}

interface Running extends RunningTask {
  readonly endMs: number
}

/** Runs the jobs, in order of submission, on that many processors. */
export function runQueue(processors: number, jobs: readonly TraceJob[]): Ran[] {
  const ran: Ran[] = []
  const coming = jobs.toSorted((a, b) => a.submitMs - b.submitMs)
  const queue: TraceJob[] = []
  let running: Running[] = []
  let [free, next, nowMs] = [processors, 0, 0]
  const startMore = (): void => {
    const starts = startable({
      free: { cores: free, memoryBytes: 0 },
      running: () => running,
      queue: queue.map(({ cores, walltimeSeconds }) =>
        ({ cores, memoryBytes: 0, count: 1, walltimeMs: walltimeSeconds * 1_000 })),
      nowEpochMs: nowMs,
    })
    for (let at = starts.length - 1; at >= 0; at--) {
      if (starts[at] !== 1) continue
      const [job] = queue.splice(at, 1) as [TraceJob]
      const endMs = nowMs + job.runMs
      free -= job.cores
      const endsEpochMs = nowMs + job.walltimeSeconds * 1_000
      running.push({ cores: job.cores, memoryBytes: 0, endsEpochMs, endMs })
      ran.push({ job, startMs: nowMs, endMs })
    }
  }
  while (next < coming.length || running.length > 0) {
    const ends = running.reduce((least, { endMs }) => Math.min(least, endMs), Infinity)
    nowMs = Math.min(coming[next]?.submitMs ?? Infinity, ends)
    for (const done of running) if (done.endMs <= nowMs) free += done.cores
    running = running.filter(({ endMs }) => endMs > nowMs)
    for (; next < coming.length && coming[next]!.submitMs <= nowMs; next++) {
      queue.push(coming[next]!)
    }
    startMore()
  }
  return ran
}
