// What a host risks with a home that takes its claims and accepts none of them.
//
// [EXPOSURE-1] Under a contract, what is claimed and not accepted is at most the agreed part of the
//   holds' amounts; looked at once in each interim step, so that the home has had a whole step to
//   answer. A final claim counts from when the home has every result, or its time is over.
// [EXPOSURE-2] Beyond that the host stops the tranche with notice, claims what was run, and neither
//   bids to that home nor takes its holds until the sums are within the bound again.

import type { Sid, SiteName } from '../base/ids.ts'
import { trancheIdOf } from '../base/ids.ts'
import { formatCredits, microcredits } from '../base/units.ts'
import type { ContractRecord, HoldRecord } from '../rules/ledger-book.ts'
import { resultsTaken } from './host-book.ts'
import type { Turn } from './turn.ts'
import { count } from './turn.ts'

/** Looks now: what is wrong, in words with the sums, or undefined; kept for later bids. */
export function checkExposure(turn: Turn, contract: Sid): string | undefined {
  const detail = exposedUnder(turn, contract)
  const known = turn.view.get('exposed', contract)
  if (detail === undefined) {
    if (known) turn.view.remove('exposed', contract)
    return undefined
  }
  const home = turn.view.get('ledgerContracts', contract)?.home
  if (!known && home !== undefined) {
    turn.view.put('exposed', contract, { home, epochMs: turn.now, detail })
    count(turn, 'exposure_passed')
  }
  return detail
}

/** Why nothing more is begun for this home; what has come back within its bound is forgotten. */
export function exposedTo(turn: Turn, home: SiteName): string | undefined {
  for (const [contract, exposed] of Array.from(turn.view.entries('exposed'))) {
    if (exposed.home !== home) continue
    const detail = checkExposure(turn, contract as Sid)
    if (detail !== undefined) return detail
  }
  return undefined
}

function exposedUnder(turn: Turn, sid: Sid): string | undefined {
  const contract = turn.view.get('ledgerContracts', sid)
  if (!contract) return undefined
  let [amount, unaccepted] = [0n, 0n]
  for (const [, hold] of turn.view.entries('ledgerHolds')) {
    if (hold.contract !== sid || hold.state !== 'held') continue
    amount += hold.amount
    if (mayBeAnswered(turn, contract, hold)) unaccepted += open(hold)
  }
  const { exposure_permille: permille } = contract.terms
  if (unaccepted * 1_000n <= amount * BigInt(permille)) return undefined
  return `${formatCredits(microcredits(unaccepted))} are claimed and not accepted of ` +
    `${formatCredits(microcredits(amount))} held under contract ${sid.slice(0, 16)}, more than ` +
    `the agreed ${permille} in a thousand`
}

function open({ claimed, claimedFinal, asks, accepted }: HoldRecord): bigint {
  return (claimedFinal === 1 ? asks : claimed) - accepted
}

/** A home waits with its word on a final claim until it has the results. */
function mayBeAnswered(turn: Turn, { terms }: ContractRecord, hold: HoldRecord): boolean {
  if (hold.claimedFinal === 0) return true
  const tranche = turn.view.get('hostTranches', trancheIdOf(hold.sid))
  if (!tranche || resultsTaken(turn, tranche)) return true
  return turn.now >= tranche.endedEpochMs + terms.accept_s * 1000
}
