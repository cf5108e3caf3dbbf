// The contract's clause at the host, by evidence alone: when witnesses of the federation's policy
// have seen the final claim on our log for the agreed time, the node calls for the clause by
// itself. No clock of ours or of the home's decides; without a policy only the operator can call
// for it.
//
// [CLAUSE-4] A witness has seen the claim from its first cosignature of a head that includes it.
//   With at most f liars among the witnesses, the claim existed by the (f + 1)-th smallest of these
//   times, and now is not before the (f + 1)-th largest of their newest ones.

import type { Sid, SiteName } from '../base/ids.ts'
import { clauseDue } from '../rules/clause.ts'
import { clauseMax } from '../rules/ledger-holds.ts'
import { policyOf } from './home-grants.ts'
import { say } from './delivery.ts'
import type { Turn } from './turn.ts'
import { count } from './turn.ts'

/** Claims that are watched at once; what is more the operator calls for. */
const watchedMax = 10_000

/** A final claim was said, as that entry of our log, under a contract that has a clause. */
export function watchClaim(turn: Turn, hold: Sid, index: number): void {
  const { view } = turn
  const record = view.get('ledgerHolds', hold)
  if (!record || clauseMax(view, record) === 0n) return
  if ([...view.entries('clauseWatch')].length >= watchedMax) return count(turn, 'clauses_unwatched')
  view.put('clauseWatch', hold, { index, first: {}, newest: {} })
}

/** At the end of a step: what the witnesses whose word has come in have seen, and when. */
export function noteTimes(turn: Turn): void {
  for (const witness of turn.cosigned) {
    const newest = turn.view.get('cosigned', witness)?.at(-1)
    if (newest) noteTime(turn, witness, newest)
  }
}

function noteTime(
  turn: Turn, witness: SiteName, { size, seconds }: { size: number; seconds: number },
): void {
  const { view } = turn
  const { witnesses } = policyOf(view)
  if (!witnesses.includes(witness)) return
  for (const [hold, watch] of Array.from(view.entries('clauseWatch'))) {
    if (size <= watch.index) continue
    const first = { [witness]: seconds, ...watch.first }
    const newest = { ...watch.newest, [witness]: Math.max(seconds, watch.newest[witness] ?? 0) }
    view.put('clauseWatch', hold, { ...watch, first, newest })
    callIfDue(turn, hold as Sid)
  }
}

function callIfDue(turn: Turn, sid: Sid): void {
  const { view } = turn
  const watch = view.get('clauseWatch', sid)
  const hold = view.get('ledgerHolds', sid)
  const terms = hold && view.get('ledgerContracts', hold.contract)?.terms
  const claim = hold?.claims.find(({ final }) => final === 1)
  const isOver = !hold || !terms || !claim || hold.endedIndex > 0 || hold.disputed !== ''
  if (!watch || isOver) return view.remove('clauseWatch', sid)
  const { witnesses } = policyOf(view)
  const liars = Math.max(0, Math.floor((witnesses.length - 1) / 3))
  const times = (of: Readonly<Record<string, number>>): number[] =>
    witnesses.flatMap((site) => of[site] ?? []).toSorted((a, b) => a - b)
  const due = clauseDue({
    existsBySeconds: times(watch.first)[liars],
    notBeforeSeconds: times(watch.newest).at(-1 - liars),
    acceptSeconds: terms.accept_s,
  })
  if (!due) return
  const most = clauseMax(view, hold)
  const amount = most < hold.asks ? most : hold.asks
  if (amount <= hold.accepted) return view.remove('clauseWatch', sid)
  const said = say(turn, {
    kind: 'resolve', to: hold.home, side: 'clause', hold: sid, usage: claim.sid, amount, proof: '',
  })
  // What cannot be said now is said when the next witness has signed.
  if (!said.ok) return count(turn, `clause_refused_${said.refusal.reason}`)
  count(turn, 'clauses_called')
  view.remove('clauseWatch', sid)
}
