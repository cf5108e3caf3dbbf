// The host's meter: while a tranche runs it claims what was used so far, at the contract's step, so
// that a home that never pays is found out early.
//
// [METER-1] A claim while tasks run is cumulative and not final; said under a live lease only, and
//   only when the amount has risen.
// [METER-2] At most `openInterimMax` claims wait for the home's word; the final one always has
//   room.
// [METER-3] Nothing is claimed that may not have been used: a scheduler that was not seen since the
//   start, or does not answer, is waited for; a task may have ended in the last `unseenMs`.

import type { TrancheId } from '../base/ids.ts'
import { clip } from '../base/clip.ts'
import { rangesValues } from '../base/ranges.ts'
import { chargeFor } from '../rules/ledger-holds.ts'
import type { TaskReport } from '../rules/run.ts'
import { meterCommitment, mostUsage, usageSoFar } from '../rules/run.ts'
import { say } from './delivery.ts'
import { leaseLives, retryMsMin, toldOf } from './host-book.ts'
import { checkExposure } from './host-exposure.ts'
import type { HostTranche } from './state.ts'
import { taskKey } from './state.ts'
import type { Turn } from './turn.ts'
import { count, setTimer } from './turn.ts'

/** Longer than between two looks at the scheduler. */
const unseenMs = 5_000
/** Far fewer than the ledger's bound for all claims of a hold. */
export const openInterimMax = 16

export function startMeter(turn: Turn, { id, hold }: HostTranche): void {
  const terms = termsOf(turn, id)
  if (hold !== '' && terms) setTimer(turn, `meter/${id}`, turn.now + terms.interim_s * 1000)
}

/** One step of the meter: is too much unaccepted? Else what runs is claimed for. */
export function onMeter(turn: Turn, id: TrancheId): void {
  const tranche = turn.view.get('hostTranches', id)
  const contract = tranche && turn.view.get('hostContracts', tranche.contract)
  if (!tranche || tranche.phase === 'settled' || contract === undefined) return
  if (tranche.hold === '' || contract.sid === '') return
  startMeter(turn, tranche)
  const exposed = checkExposure(turn, contract.sid)
  const runs = tranche.phase === 'submitting' || tranche.phase === 'running'
  if (!runs) return
  if (exposed !== undefined) stopWithNotice(turn, tranche, exposed)
  else if (leaseLives(turn, tranche) && isSeen(turn)) claimSoFar(turn, tranche)
}

function isSeen(turn: Turn): boolean {
  return turn.view.get('capacity', 'own')?.reachable === true
}

function termsOf(turn: Turn, id: TrancheId) {
  const hold = turn.view.get('hostTranches', id)?.hold ?? ''
  const record = hold === '' ? undefined : turn.view.get('ledgerHolds', hold)
  return record && turn.view.get('ledgerContracts', record.contract)?.terms
}

function claimSoFar(turn: Turn, tranche: HostTranche): void {
  const { view } = turn
  const hold = tranche.hold === '' ? undefined : view.get('ledgerHolds', tranche.hold)
  const contract = view.get('hostContracts', tranche.contract)
  if (!hold || !contract || hold.state !== 'held' || hold.claimedFinal === 1) return
  const open = hold.claims.filter(({ amount }) => amount > hold.accepted)
  if (open.length >= openInterimMax) return count(turn, 'interim_claims_waiting')
  const reports: TaskReport[] = []
  for (const task of rangesValues(tranche.tasks)) {
    const known = view.get('hostTasks', taskKey(tranche.id, task))
    if (!known) continue
    // By our own clock a running task is as old as we have seen it run: never older than it is.
    const unseen = known.state === 'running' ? unseenMs : 0
    const started_ms = known.state === 'ended' ? known.started_ms
      : known.seenEpochMs === 0 ? 0 : Math.max(known.started_ms, known.seenEpochMs) + unseen
    reports.push({ ...toldOf(known), started_ms })
  }
  // A task that was lost after it was claimed for: claims do not fall, see [CLAIM-5].
  const usage = mostUsage(usageSoFar(reports, { ...contract, atMs: turn.now }), hold.used)
  const amount = chargeFor(view, hold, usage)
  if (amount <= hold.claimed) return
  const said = say(turn, {
    kind: 'usage', to: tranche.home, hold: hold.sid, amount, final: 0, ...usage,
    meter: meterCommitment(tranche.salt, reports),
  })
  if (said.ok) count(turn, 'interim_claims')
  else count(turn, `usage_refused_${said.refusal.reason}`)
}

/** Its tasks go elsewhere, by the site's doing; the contract takes no more. */
function stopWithNotice(turn: Turn, tranche: HostTranche, detail: string): void {
  const { view } = turn
  if (tranche.notice !== '') return
  const notice = clip(`${turn.self.site} stopped it: ${detail}`, 500)
  view.put('hostTranches', tranche.id, { ...tranche, notice })
  const contract = view.get('hostContracts', tranche.contract)
  if (contract) view.put('hostContracts', contract.id, { ...contract, open: false })
  count(turn, 'tranches_stopped')
  turn.effects.push({ kind: 'cancelTranche', tranche: tranche.id })
  setTimer(turn, `stop/${tranche.id}`, turn.now + retryMsMin)
}
