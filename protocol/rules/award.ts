// The award: the home ranks the bids by its job's policy, with a total order, and says how many
// tasks each winner gets. Free slots everywhere come before queue slots anywhere; within each, the
// best rank first.
//
// [AWARD-1] Ranking is a total order: the job's own rank expression if it has one, policy, then the
//   other criterion, then the site's name.
// [AWARD-2] A late bid is refused: it is recorded as late and never ranked.
// [AWARD-3] No bidder gets more tasks than it offered, than its credit covers, or than the budget
//   covers.

import { compareBytes } from '../base/ids.ts'
import type { SiteName } from '../base/ids.ts'
import type { Microcredits } from '../base/units.ts'
import type { Bid } from './bid.ts'
import type { Policy } from './job.ts'

export interface RankedBid {
  readonly bid: Bid
  /** What the job's own expression makes of the site: the larger, the better; 0 without one. */
  readonly rank: bigint
  readonly note: string
  /** The cap of one task on these terms; 0 at home. */
  readonly taskCap: Microcredits
  /** Until one task has ended, if it runs its whole walltime on a core of this speed. */
  readonly completionSeconds: number
  /** How many tasks the credit that is left covers. */
  readonly affordable: number
}

/** Walltime is stated for the reference core (1000 permille). */
export function completionSeconds(bid: Bid, walltimeSeconds: number): number {
  const wait = bid.slots > 0 ? 0 : bid.queue_seconds
  return wait + Math.ceil((walltimeSeconds * 1000) / bid.speed_permille)
}

function compareBy(policy: Policy, left: RankedBid, right: RankedBid): number {
  const price = left.taskCap < right.taskCap ? -1 : left.taskCap > right.taskCap ? 1 : 0
  const time = left.completionSeconds - right.completionSeconds
  switch (policy) {
    case 'cheapest': return price || time
    case 'soonest': return time || price
    case 'balanced': {
      // Price times time, each at least 1, so that a free but endless offer does not win.
      const cost = (ranked: RankedBid): bigint =>
        (ranked.taskCap + 1n) * BigInt(ranked.completionSeconds + 1)
      const [a, b] = [cost(left), cost(right)]
      return a < b ? -1 : a > b ? 1 : time || price
    }
  }
}

function compareRanks(left: bigint, right: bigint): number {
  return left > right ? -1 : left < right ? 1 : 0
}

/** Best first; the input is untouched. */
export function rankBids(policy: Policy, bids: readonly RankedBid[]): RankedBid[] {
  return [...bids].sort(
    (left, right) => compareRanks(left.rank, right.rank) ||
      compareBy(policy, left, right) || compareBytes(left.bid.host, right.bid.host),
  )
}

export interface Allotment {
  readonly host: SiteName
  readonly tasks: number
}

/** How many of `tasks` each bidder gets at once, in rank order; what is left over flows later. */
export function allot(
  ranked: readonly RankedBid[],
  tasks: number,
  budgetLeft: Microcredits,
): Allotment[] {
  const given = new Map<SiteName, number>()
  let left = tasks
  let budget: bigint = budgetLeft
  const give = (entry: RankedBid, room: number): void => {
    const host = entry.bid.host
    const had = given.get(host) ?? 0
    const byBudget = entry.taskCap === 0n ? left : Number(budget / entry.taskCap)
    const count = Math.max(0, Math.min(left, room, entry.affordable - had, byBudget))
    if (count === 0) return
    given.set(host, had + count)
    budget -= entry.taskCap * BigInt(count)
    left -= count
  }
  for (const entry of ranked) give(entry, entry.bid.slots)
  for (const entry of ranked) give(entry, entry.bid.queue_slots)
  return [...given].map(([host, count]) => ({ host, tasks: count }))
}
