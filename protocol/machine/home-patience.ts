// How long a home lets a tranche stand still. Reports alone renew a lease, so a host that says
// "running" for ever would keep a job, and a cancelled one, from ever ending.
//
// [TRANCHE-7] A report renews the lease only while something happens: a task of the tranche has
//   started or ended within the job's patience for a start plus its walltime plus an hour; within a
//   quarter of an hour once it was told to stop. After that the lease runs out.

import { rangesHave } from '../base/ranges.ts'
import { documentNow } from './job-orders.ts'
import type { Report } from './messages.ts'
import type { HomeTranche } from './state.ts'
import { taskKey } from './state.ts'
import type { Turn } from './turn.ts'

const slackMs = 3_600_000
const stopMs = 900_000

/** When something last happened to the tranche, with this report's news. */
export function movedBy(turn: Turn, tranche: HomeTranche, report: Report): number {
  const moves = tranche.state.kind === 'awarded' || report.tasks.some(({ task, state }) => {
    if (!rangesHave(tranche.open, task)) return false
    const known = turn.view.get('homeTasks', taskKey(tranche.job, task))
    return state === 'ended' || (known?.state === 'queued' && state !== 'queued')
  })
  return moves ? turn.now : tranche.movedEpochMs
}

export function standsStill(turn: Turn, tranche: HomeTranche): boolean {
  // To ourselves we need not prove anything.
  const job = documentNow(turn.view, tranche.job)
  if (tranche.hold === '' || !job) return false
  const { start_within_seconds: start, walltime_seconds: walltime } = job
  const patienceMs = tranche.stop ? stopMs : (start + walltime) * 1000 + slackMs
  return turn.now - tranche.movedEpochMs > patienceMs
}
