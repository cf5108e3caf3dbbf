// The host when the work is over: it claims what was used, once, under a live lease or by the
// home's own word, or gives the hold up; then it waits for the acceptance and clears its desk.
//
// [CLAIM-1] A final usage is said once; a hold with nothing to claim is voided.
// [CLAIM-2] Under a directive `lapsed` only tasks whose results the home has taken are claimed.
// [CLAIM-3] A home that is never heard again: after `keepResultsSeconds` the results go and nothing
//   that was not claimed is claimed; an open claim stays on the ledger for both operators to close.
// [CLAIM-4] What the home has not let begin within one lease is given back.
// [CLAIM-5] Claims do not fall. What the final one says beyond what was run (a task that was lost
//   after it was claimed for) and is not accepted, the host gives up by the same step.

import { clip } from '../base/clip.ts'
import { sha256Hex } from '../base/crypto.ts'
import type { Hash, Sid, SiteName, TrancheId } from '../base/ids.ts'
import { trancheIdOf } from '../base/ids.ts'
import { rangesHave, rangesValues, subtractRanges } from '../base/ranges.ts'
import type { HoldRecord } from '../rules/ledger-book.ts'
import { chargeFor } from '../rules/ledger-holds.ts'
import type { TaskReport, UsageTotal } from '../rules/run.ts'
import { chargeable, meterCommitment, mostUsage } from '../rules/run.ts'
import { say } from './delivery.ts'
import { leaseLives, resultsTaken, toldOf } from './host-book.ts'
import { closeIfOver } from './host-contracts.ts'
import { forgetOrders } from './host-control.ts'
import { watchClaim } from './host-clause.ts'
import { keepDocuments } from './kept-documents.ts'
import type { HostTranche } from './state.ts'
import { taskKey } from './state.ts'
import type { Turn } from './turn.ts'
import { count, setTimer } from './turn.ts'

/** `say`, or `sayUnheard` about a peer that an operator has given up. */
type Speak = typeof say

const keepAgainMs = 60_000
const claimAgainMs = 30_000
const removalRetryMs = 300_000

/**
 * Claims, voids or closes, as far as the tranche's state allows; doing it again changes nothing.
 */
export function settle(turn: Turn, id: TrancheId): void {
  const tranche = turn.view.get('hostTranches', id)
  if (tranche?.phase !== 'settling') return
  if (tranche.hold === '') {
    // At home nothing is claimed; the home has heard of every end when it has taken or dismissed it
    // all.
    const allTaken = subtractRanges(tranche.tasks, tranche.taken).length === 0
    if (allTaken || tranche.directive === 'lapsed') close(turn, tranche)
    return
  }
  const mayClaim = leaseLives(turn, tranche) || tranche.directive === 'stop' ||
    tranche.directive === 'lapsed'
  if (mayClaim) claim(turn, tranche, tranche.hold)
}

function claim(turn: Turn, tranche: HostTranche, hold: Sid): void {
  const record = turn.view.get('ledgerHolds', hold)
  if (!record || record.state !== 'held') return close(turn, tranche)
  const tasks = claimed(turn, tranche)
  const ran = chargeable(tasks)
  if (record.claims.length === 0 && ran.tasks === 0) {
    const why = tasks.some(({ how }) => how === 'refused') ? tranche.detail : ''
    const said = giveUp(turn, tranche, hold, why || 'nothing was run')
    return said ? close(turn, tranche) : claimLater(turn, tranche)
  }
  const said = record.claimedFinal === 1
    || claimFinally(turn, tranche, { record, ran, meter: meterCommitment(tranche.salt, tasks) })
  if (!said) return claimLater(turn, tranche)
  keepDocuments(turn, tranche, tasks)
  setTimer(turn, `claim/${tranche.id}`, undefined)
  turn.view.put('hostTranches', tranche.id, { ...tranche, phase: 'claimed' })
  turn.toReport.add(tranche.id)
  closeEnded(turn, tranche.id)
}

/** Something keeps us from saying it now; nothing of it is lost. */
function claimLater(turn: Turn, { id }: HostTranche): void {
  setTimer(turn, `claim/${id}`, turn.now + claimAgainMs)
}

/** [CLAIM-1] [CLAIM-5] False when nothing can be said to the home now. */
function claimFinally(
  turn: Turn,
  { home }: { readonly home: SiteName },
  { record, ran, meter, speak = say }: {
    readonly record: HoldRecord
    readonly ran: UsageTotal
    readonly meter: Hash
    readonly speak?: Speak
  },
): boolean {
  const { view } = turn
  const usage = mostUsage(ran, record.used)
  const amount = chargeFor(view, record, usage)
  const said = speak(turn, {
    kind: 'usage', to: home, hold: record.sid, amount, final: 1, ...usage, meter,
  })
  if (!said.ok) {
    count(turn, `usage_refused_${said.refusal.reason}`)
    return false
  }
  watchClaim(turn, record.sid, said.value.index)
  const earned = chargeFor(view, record, ran)
  const asks = earned > record.accepted ? earned : record.accepted
  if (asks < amount) {
    const gift = speak(turn, {
      kind: 'resolve', to: home, side: 'forgive', hold: record.sid, amount: asks,
    })
    if (!gift.ok) count(turn, `resolve_refused_${gift.refusal.reason}`)
  }
  return true
}

function claimed(turn: Turn, tranche: HostTranche): TaskReport[] {
  const reports: TaskReport[] = []
  for (const task of rangesValues(tranche.tasks)) {
    const known = turn.view.get('hostTasks', taskKey(tranche.id, task))
    if (!known) continue
    if (tranche.directive === 'lapsed' && !rangesHave(tranche.taken, task)) continue
    reports.push(toldOf(known))
  }
  return reports
}

/** False when nothing can be said to the home now. */
function giveUp(
  turn: Turn, { home }: { readonly home: SiteName }, hold: Sid, reason: string,
  speak: Speak = say,
): boolean {
  const said = speak(turn, { kind: 'void', to: home, hold, reason: clip(reason, 200) })
  if (!said.ok) count(turn, `void_refused_${said.refusal.reason}`)
  return said.ok
}

/** The home has accepted: finally, it is the last word on a hold. */
export function onAccept(turn: Turn, from: SiteName, hold: Sid, final: 0 | 1): void {
  const tranche = turn.view.get('hostTranches', trancheIdOf(hold))
  if (tranche?.home === from) closeEnded(turn, tranche.id, final === 1)
}

/**
 * Clears the desk of a tranche whose hold has ended. If that was not by the home's final word (an
 * earlier one may have crossed our claim) the results stay until the home has them, or says that it
 * is done.
 */
export function closeEnded(turn: Turn, id: TrancheId, heard = false): void {
  const tranche = turn.view.get('hostTranches', id)
  if (!tranche || tranche.phase !== 'claimed' || tranche.hold === '') return
  const hold = turn.view.get('ledgerHolds', tranche.hold)
  if (hold && hold.endedIndex === 0) return
  if (heard || resultsTaken(turn, tranche)) close(turn, tranche)
}

/** A hold that ended by a word about disputes, whoever said it. */
export function closeResolved(turn: Turn, peer: SiteName): void {
  for (const [, tranche] of Array.from(turn.view.entries('hostTranches'))) {
    if (tranche.home === peer) closeEnded(turn, tranche.id)
  }
}

function close(turn: Turn, tranche: HostTranche): void {
  if (tranche.phase === 'settled') return
  turn.view.put('hostTranches', tranche.id, { ...tranche, phase: 'settled' })
  for (const name of ['report', 'keep', 'retry', 'stop', 'meter', 'claim', 'order']) {
    setTimer(turn, `${name}/${tranche.id}`, undefined)
  }
  askRemoval(turn, tranche)
}

/** Asked again until it is done: a disk may be in the way for a while. */
export function askRemoval(turn: Turn, { id, contract }: HostTranche): void {
  setTimer(turn, `retry/${id}`, turn.now + removalRetryMs)
  turn.effects.push({ kind: 'removeTranche', tranche: id, contract })
}

/** Its directories are gone: the last trace goes too. */
export function onTrancheRemoved(turn: Turn, id: TrancheId): void {
  const { view } = turn
  const tranche = view.get('hostTranches', id)
  if (tranche?.phase !== 'settled') return
  setTimer(turn, `retry/${id}`, undefined)
  let running = 0
  for (const task of rangesValues(tranche.tasks)) {
    if (view.get('hostTasks', taskKey(id, task))?.state === 'running') running++
    view.remove('hostTasks', taskKey(id, task))
  }
  view.remove('hostTranches', id)
  forgetOrders(turn, id)
  const contract = view.get('hostContracts', tranche.contract)
  if (!contract) return
  view.put('hostContracts', contract.id, {
    ...contract,
    tranches: contract.tranches - 1,
    outstanding: contract.outstanding - tranche.open,
    running: contract.running - running,
  })
  closeIfOver(turn, contract.id)
}

/** [CLAIM-3] */
export function onKeepEnded(turn: Turn, id: TrancheId): void {
  const tranche = turn.view.get('hostTranches', id)
  if (!tranche || tranche.phase === 'settled') return
  // What the scheduler may still be told to start cannot be cleared up yet.
  if (tranche.phase === 'submitting') return setTimer(turn, `keep/${id}`, turn.now + keepAgainMs)
  abandon(turn, tranche, 'the home was not heard from')
}

/** Ends a tranche whose home is not there; its hold is left in a state that both can close. */
export function abandon(
  turn: Turn, tranche: HostTranche, reason: string, speak: Speak = say,
): void {
  count(turn, 'tranches_abandoned')
  const runs = tranche.phase === 'submitting' || tranche.phase === 'running'
  if (runs) turn.effects.push({ kind: 'cancelTranche', tranche: tranche.id })
  close(turn, tranche)
  if (tranche.hold !== '') leave(turn, tranche.hold, reason, speak)
}

/**
 * [CLAIM-6] The last word on a hold that no tranche stands behind: asked, it is declined;
 * unclaimed, given up; claimed while it ran, the final claim says just as much. True when something
 * was said.
 */
export function leave(turn: Turn, sid: Sid, reason: string, speak: Speak = say): boolean {
  const hold = turn.view.get('ledgerHolds', sid)
  if (!hold || hold.host !== turn.self.site || hold.endedIndex > 0) return false
  const to = hold.home
  if (hold.state === 'asked') {
    return speak(turn, { kind: 'declined', to, hold: sid, reason: 'unanswered' }).ok
  }
  if (hold.claimedFinal === 1) return false
  if (hold.claims.length === 0) return giveUp(turn, { home: to }, sid, reason, speak)
  const meter = sha256Hex('gridnode/v1/meter\n', sid)
  if (!claimFinally(turn, { home: to }, { record: hold, ran: hold.used, meter, speak })) {
    return false
  }
  // Nothing is open but the last word, and nobody is there to say it.
  if (hold.accepted >= hold.claimed) {
    speak(turn, { kind: 'resolve', to, side: 'forgive', hold: sid, amount: hold.accepted })
  }
  return true
}
