// The host when the work is over: it claims what was used, once, under a live lease or by the
// home's own word, or gives the hold up; then it waits for the acceptance and clears its desk.
//
// [CLAIM-1] A final usage is said once; a hold with nothing to claim is voided.
// [CLAIM-2] Under a directive `lapsed` only tasks whose results the home has taken are claimed.
// [CLAIM-3] A home that is never heard again: after `keepResultsSeconds` the results go and nothing
//   that was not claimed is claimed; an open claim stays on the ledger for both operators to close.
// [CLAIM-4] What the home has not let begin within one lease is given back.

import { clip } from '../base/clip.ts'
import { sha256Hex } from '../base/crypto.ts'
import { encode } from '../base/encoding.ts'
import type { Sid, SiteName, TrancheId } from '../base/ids.ts'
import { trancheIdOf } from '../base/ids.ts'
import { rangesHave, rangesValues, subtractRanges } from '../base/ranges.ts'
import { unshape } from '../base/shape.ts'
import { chargeFor } from '../rules/ledger-holds.ts'
import type { TaskReport } from '../rules/run.ts'
import { chargeable } from '../rules/run.ts'
import { say } from './delivery.ts'
import { forgetContract, leaseLives } from './host-book.ts'
import type { HostTranche } from './state.ts'
import { taskKey } from './state.ts'
import type { Turn } from './turn.ts'
import { count, setTimer } from './turn.ts'

const keepAgainMs = 60_000
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
  const tasks = claimed(turn, tranche)
  const usage = chargeable(tasks)
  const record = turn.view.get('ledgerHolds', hold)
  if (!record || record.state !== 'held') return close(turn, tranche)
  if (usage.tasks === 0) return giveUp(turn, tranche, hold, tranche.detail || 'nothing was run')
  const amount = chargeFor(turn.view, record, usage)
  const meter = sha256Hex('gridnode/v1/meter\n', encode([tranche.salt, unshape(tasks)]))
  const said = say(turn, {
    kind: 'usage', to: tranche.home, hold, amount, final: 1, ...usage, meter,
  })
  if (!said.ok) return count(turn, `usage_refused_${said.refusal.reason}`)
  turn.view.put('hostTranches', tranche.id, { ...tranche, phase: 'claimed' })
  turn.toReport.add(tranche.id)
}

function claimed(turn: Turn, tranche: HostTranche): TaskReport[] {
  const reports: TaskReport[] = []
  for (const task of rangesValues(tranche.tasks)) {
    const known = turn.view.get('hostTasks', taskKey(tranche.id, task))
    if (!known) continue
    if (tranche.directive === 'lapsed' && !rangesHave(tranche.taken, task)) continue
    const { tranche: _, revision: __, ...report } = known
    reports.push(report)
  }
  return reports
}

function giveUp(turn: Turn, tranche: HostTranche, hold: Sid, reason: string): void {
  const text = clip(reason, 200)
  const said = say(turn, { kind: 'void', to: tranche.home, hold, reason: text })
  if (!said.ok) count(turn, `void_refused_${said.refusal.reason}`)
  close(turn, tranche)
}

/** The home has accepted: the last word on a hold. */
export function onAccept(turn: Turn, from: SiteName, hold: Sid, final: 0 | 1): void {
  const tranche = turn.view.get('hostTranches', trancheIdOf(hold))
  if (tranche?.home === from && final === 1) close(turn, tranche)
}

function close(turn: Turn, tranche: HostTranche): void {
  if (tranche.phase === 'settled') return
  turn.view.put('hostTranches', tranche.id, { ...tranche, phase: 'settled' })
  for (const name of ['report', 'keep', 'retry', 'stop']) {
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
  const contract = view.get('hostContracts', tranche.contract)
  if (!contract) return
  const left = {
    ...contract,
    tranches: contract.tranches - 1,
    outstanding: contract.outstanding - tranche.open,
    running: contract.running - running,
  }
  view.put('hostContracts', contract.id, left)
  if (!left.open && left.tranches === 0) forgetContract(turn, contract.id)
}

/** [CLAIM-3] */
export function onKeepEnded(turn: Turn, id: TrancheId): void {
  const tranche = turn.view.get('hostTranches', id)
  if (!tranche || tranche.phase === 'settled') return
  // What the scheduler may still be told to start cannot be cleared up yet.
  if (tranche.phase === 'submitting') return setTimer(turn, `keep/${id}`, turn.now + keepAgainMs)
  count(turn, 'tranches_abandoned')
  if (tranche.phase === 'running') turn.effects.push({ kind: 'cancelTranche', tranche: id })
  const record = tranche.hold === '' ? undefined : turn.view.get('ledgerHolds', tranche.hold)
  if (tranche.hold !== '' && record?.state === 'held' && record.claims.length === 0) {
    return giveUp(turn, tranche, tranche.hold, 'the home was not heard from')
  }
  close(turn, tranche)
}
