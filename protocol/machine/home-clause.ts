// The home and the clause that it signed: what it owes when it stays silent.
//
// [CLAUSE-2] A home answers a clause that is true by its own log and clock: the final claim has
//   been here for the agreed time, nothing is disputed. It accepts what the clause says, no more.

import type { Sid, SiteName, TrancheId } from '../base/ids.ts'
import { trancheIdOf } from '../base/ids.ts'
import { say } from './delivery.ts'
import { allIn, closeDone } from './home-claims.ts'
import type { Turn } from './turn.ts'
import { count, setTimer } from './turn.ts'

const againMs = 60_000

export function onClause(turn: Turn, from: SiteName, hold: Sid): void {
  const tranche = turn.view.get('homeTranches', trancheIdOf(hold))
  if (tranche?.host === from) answerClause(turn, tranche.id)
}

export function answerClause(turn: Turn, id: TrancheId): void {
  const { view, now } = turn
  const tranche = view.get('homeTranches', id)
  const hold = tranche && tranche.hold !== '' ? view.get('ledgerHolds', tranche.hold) : undefined
  const claim = hold?.claims.find(({ final }) => final === 1)
  const terms = hold && view.get('ledgerContracts', hold.contract)?.terms
  if (!tranche || !hold || !claim || !terms || hold.endedIndex > 0) return
  if (hold.clause <= hold.accepted || hold.disputed !== '' || tranche.claimedEpochMs === 0) return
  const dueMs = tranche.claimedEpochMs + terms.accept_s * 1000
  if (now < dueMs) return setTimer(turn, `clause/${id}`, dueMs)
  // Paid in full the host would clear up what is still to be fetched.
  if (tranche.state.kind === 'live' && !allIn(turn, tranche)) {
    return setTimer(turn, `clause/${id}`, now + againMs)
  }
  const amount = hold.clause < hold.asks ? hold.clause : hold.asks
  const said = say(turn, {
    kind: 'accept', to: tranche.host, hold: hold.sid, usage: claim.sid, amount,
    final: amount === claim.amount ? 1 : 0,
  })
  if (!said.ok) return setTimer(turn, `clause/${id}`, now + againMs)
  count(turn, 'clauses_answered')
  closeDone(turn, id)
}
