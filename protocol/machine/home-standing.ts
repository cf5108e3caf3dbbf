// How far a site kept its word towards this home, as this home's own ledger shows it, for
// expressions that ask for it: what was accepted counts for it, what a ruling took from its claims
// against it. `gridnode reputation` weighs more than that (rules/reputation.ts).

import type { SiteName } from '../base/ids.ts'
import { microcredits } from '../base/units.ts'
import { holdWeightMax, scoreOf, weighByAge } from '../rules/reputation.ts'
import { isFrozen } from './evidence.ts'
import type { Turn } from './turn.ts'

/** 0 to 1,000; 500 for a stranger, 0 for a proven liar, 1,000 for ourselves. */
export function standingOf(turn: Turn, site: SiteName): number {
  const { view, self, now } = turn
  if (site === self.site) return 1_000
  if (isFrozen(view, site)) return 0
  let [kept, failed] = [0n, 0n]
  for (const [, hold] of view.entries('ledgerHolds')) {
    if (hold.host !== site || hold.home !== self.site || hold.state !== 'done') continue
    const age = Math.max(0, now - hold.claimedEpochMs)
    const less = hold.claimed > hold.accepted ? hold.claimed - hold.accepted : 0n
    kept += weighByAge(bounded(hold.accepted), age)
    failed += weighByAge(bounded(less), age)
  }
  return scoreOf({ kept: microcredits(kept), failed: microcredits(failed) })
}

function bounded(value: bigint): bigint {
  return value < holdWeightMax ? value : holdWeightMax
}
