// What the home hears of its tranches: held, declined, voided, reported, or nothing any more.
//
// [TRANCHE-2] Only when the lease has run out are open tasks placed again; a word in time renews
//   it.

import type { JobId, Sid, SiteName, TrancheId } from '../base/ids.ts'
import { trancheIdOf } from '../base/ids.ts'
import type { Ranges } from '../base/ranges.ts'
import { rangesHave, rangesValues } from '../base/ranges.ts'
import { zeroMicrocredits } from '../base/units.ts'
import type { TaskReport } from '../rules/run.ts'
import { verdictOf } from '../rules/run.ts'
import { awardNext, tellLosers } from './home-auction.ts'
import { changeJob, closeContract, isOver, placeAgain } from './home-book.ts'
import { acceptIfDue, noteUsage } from './home-claims.ts'
import { movedBy, standsStill } from './home-patience.ts'
import { askResult, closeLocal, finish } from './home-results.ts'
import { noteRan } from './home-shares.ts'
import { ended, release, renew, settled } from './home-tranches.ts'
import type { Ack, MessageOf, Report } from './messages.ts'
import type { HomeTask, HomeTranche } from './state.ts'
import { taskKey } from './state.ts'
import type { Turn } from './turn.ts'
import { count, send, setTimer } from './turn.ts'

/** What is counted by its name; the words of a host that says others are kept, not counted. */
const declineReasons: ReadonlySet<string> = new Set([
  'bid_expired', 'contract_closed', 'draining', 'no_room', 'credit', 'amount', 'id_taken',
  'exposure', 'frozen', 'unanswered', 'closed',
])

/** The host has taken the hold: the lease begins, and with our go it may start. */
export function onHeld(turn: Turn, from: SiteName, hold: Sid): void {
  const tranche = turn.view.get('homeTranches', trancheIdOf(hold))
  if (tranche?.host !== from || tranche.state.kind !== 'awarded') return
  begin(turn, tranche)
}

/** [TRANCHE-6] An attempt counts from here: who declines, or never answers, has tried nothing. */
function begin(turn: Turn, tranche: HomeTranche): void {
  renew(turn, tranche)
  for (const task of rangesValues(tranche.tasks)) {
    const key = taskKey(tranche.job, task)
    const known = turn.view.get('homeTasks', key)
    if (known?.tranche !== tranche.id) continue
    turn.view.put('homeTasks', key, { ...known, attempts: known.attempts + 1 })
  }
  changeJob(turn, tranche.job, { lastProgressEpochMs: turn.now, idleRounds: 0 })
  winnersHeld(turn, tranche)
}

/** When every winner has answered, the losers of the auction are told. */
function winnersHeld(turn: Turn, { contract: id, job: jobId }: HomeTranche): void {
  const job = turn.view.get('jobs', jobId)
  const contract = turn.view.get('homeContracts', id)
  const pending = job?.contracts.some((other) =>
    turn.view.get('homeContracts', other)?.tranches.some((tranche) =>
      turn.view.get('homeTranches', tranche)?.state.kind === 'awarded'))
  const key = contract && turn.view.get('auctionKeys', contract.auction)
  if (!pending && key !== undefined) tellLosers(turn, key)
}

export function onDeclined(turn: Turn, from: SiteName, hold: Sid, reason: string): void {
  const tranche = turn.view.get('homeTranches', trancheIdOf(hold))
  if (tranche?.host !== from || tranche.state.kind === 'settled') return
  settled(turn, tranche, 'declined', zeroMicrocredits)
  count(turn, `declined_${declineReasons.has(reason) ? reason : 'other'}`)
  withdrew(turn, tranche, `declined: ${reason}`)
}

/** Its open tasks go elsewhere: first to the next best of the same auction. */
function withdrew(turn: Turn, tranche: HomeTranche, reason: string): void {
  release(turn, tranche, tranche.open, `${tranche.host} ${reason}`)
  const job = turn.view.get('jobs', tranche.job)
  if (job) changeJob(turn, job.id, { idleRounds: job.idleRounds + 1 })
  const contract = turn.view.get('homeContracts', tranche.contract)
  if (contract) {
    closeContract(turn, contract)
    awardNext(turn, contract, reason)
  }
  winnersHeld(turn, tranche)
  turn.toPlace.add(tranche.job)
}

/** The lease ran out, or the award was never answered: [TRANCHE-2]. */
export function onLeaseEnd(turn: Turn, id: TrancheId): void {
  const tranche = turn.view.get('homeTranches', id)
  if (!tranche) return
  const { kind } = tranche.state
  if (kind !== 'awarded' && kind !== 'live') return
  if (kind === 'live' && tranche.state.leaseUntilEpochMs > turn.now) {
    return setTimer(turn, `lease/${id}`, tranche.state.leaseUntilEpochMs)
  }
  count(turn, kind === 'awarded' ? 'awards_unanswered' : 'leases_lapsed')
  turn.view.put('homeTranches', id, { ...tranche, state: { kind: 'lapsed' } })
  returnUntaken(turn, tranche)
  const why = kind === 'awarded' ? 'did not answer the award' : 'was not heard within its lease'
  withdrew(turn, turn.view.get('homeTranches', id)!, why)
  turn.toAck.add(id)
  if (tranche.hold === '') settled(turn, tranche, 'local', 0n)
  // What was claimed in time waited for results only.
  else acceptIfDue(turn, id)
}

/** An operator has given a host up: whatever it has of ours goes elsewhere, or is over. */
export function giveUpHost(turn: Turn, host: SiteName): number {
  let given = 0
  for (const [id, tranche] of Array.from(turn.view.entries('homeTranches'))) {
    if (tranche.host !== host || tranche.state.kind === 'settled') continue
    given++
    turn.view.put('homeTranches', id, { ...tranche, state: { kind: 'lapsed' } })
    returnUntaken(turn, tranche)
    withdrew(turn, turn.view.get('homeTranches', id)!, 'was given up')
    const hold = tranche.hold === '' ? undefined : turn.view.get('ledgerHolds', tranche.hold)
    settled(turn, turn.view.get('homeTranches', id)!, 'closed', hold?.accepted ?? 0n)
  }
  return given
}

/** Results that ended there and never arrived count as not done. */
function returnUntaken(turn: Turn, tranche: HomeTranche): void {
  const untaken: [number, number][] = []
  for (const task of rangesValues(tranche.tasks)) {
    const known = turn.view.get('homeTasks', taskKey(tranche.job, task))
    if (known?.tranche === tranche.id && known.state === 'returning') untaken.push([task, task])
  }
  placeAgain(turn, tranche.job, untaken, `the results did not arrive from ${tranche.host}`)
}

export function onVoid(turn: Turn, from: SiteName, hold: Sid, reason: string): void {
  const tranche = turn.view.get('homeTranches', trancheIdOf(hold))
  if (tranche?.host !== from || tranche.state.kind === 'settled') return
  settled(turn, tranche, 'void', zeroMicrocredits)
  release(turn, tranche, tranche.open, `${from} gave it back: ${reason}`)
  returnUntaken(turn, tranche)
  turn.toPlace.add(tranche.job)
}

export function onReports(turn: Turn, from: SiteName, message: MessageOf<'reports'>): void {
  for (const report of message.reports) onReport(turn, from, report)
}

function onReport(turn: Turn, from: SiteName, report: Report): void {
  const { view } = turn
  const tranche = view.get('homeTranches', report.tranche)
  if (!tranche || tranche.host !== from) return unknownTranche(turn, from, report)
  turn.toAck.add(tranche.id)
  if (tranche.state.kind === 'lapsed' || tranche.state.kind === 'settled') {
    const revision = Math.max(tranche.revision, report.revision)
    view.put('homeTranches', tranche.id, { ...tranche, revision })
    noteUsage(turn, tranche.id, report)
    return acceptIfDue(turn, tranche.id)
  }
  // A remote host has not taken the award before its `held` is on our log.
  const early = tranche.state.kind === 'awarded' && tranche.hold !== ''
  const movedEpochMs = movedBy(turn, tranche, report)
  const unanswered = early || standsStill(turn, { ...tranche, movedEpochMs })
  if (unanswered) return void turn.toAck.delete(tranche.id)
  const revision = Math.max(tranche.revision, report.revision)
  if (tranche.state.kind === 'awarded') begin(turn, { ...tranche, revision, movedEpochMs })
  else renew(turn, { ...tranche, revision, movedEpochMs })
  noteUsage(turn, tranche.id, report)
  const isNewest = report.revision >= tranche.revision
  for (const task of report.tasks) onTaskReport(turn, tranche, task, isNewest)
  changeJob(turn, tranche.job, {})
  closeLocal(turn, tranche.id)
  acceptIfDue(turn, tranche.id)
  turn.toPlace.add(tranche.job)
}

/** A tranche we do not know (any more) is nothing we will pay for: the host may stop. */
function unknownTranche(turn: Turn, to: SiteName, { tranche, revision }: Report): void {
  const ack: Ack = { tranche, revision, directive: 'lapsed', lease_seconds: 0, taken: '' }
  send(turn, to, { kind: 'acks', acks: [ack] })
}

function onTaskReport(
  turn: Turn, tranche: HomeTranche, report: TaskReport, isNewest: boolean,
): void {
  if (!rangesHave(tranche.tasks, report.task)) return count(turn, 'report_foreign_task')
  const key = taskKey(tranche.job, report.task)
  const known = turn.view.get('homeTasks', key)
  if (!known || known.tranche !== tranche.id || isOver(known)) return
  if (known.state === 'returning' || known.state === 'waiting') return
  if (report.state !== 'ended') {
    const isNews = isNewest && known.report?.halt !== report.halt
    if (known.state === report.state || known.state === 'running') {
      return isNews ? noteHalt(turn, key, { ...known, report }) : undefined
    }
    turn.view.put('homeTasks', key, {
      ...known, state: 'running', report, runsSinceEpochMs: turn.now,
    })
    return changeJobProgress(turn, tranche.job)
  }
  const one: Ranges = [[report.task, report.task]]
  ended(turn, tranche.id, one)
  changeJobProgress(turn, tranche.job)
  const verdict = verdictOf(report)
  if (verdict.kind === 'again') {
    turn.view.put('homeTasks', key, { ...known, report })
    // Who stops work by its own right takes no more of it under this contract.
    const contract = turn.view.get('homeContracts', tranche.contract)
    const isOurs = report.how === 'requeued' && wasRequeued(turn, tranche.job, report.task)
    const isTheirs = report.how === 'stopped' || (report.how === 'requeued' && !isOurs)
    if (isTheirs && contract) closeContract(turn, contract)
    return placeAgain(turn, tranche.job, one, `${tranche.host}: ${verdict.detail}`)
  }
  if (verdict.kind === 'done') noteRan(turn, tranche.contract, report)
  if (report.tree === '') return finish(turn, { ...known, report })
  turn.view.put('homeTasks', key, { ...known, state: 'returning', report })
  askResult(turn, { ...known, report })
}

/** In a queue there, and held or not; or it runs, suspended or not. */
function noteHalt(turn: Turn, key: string, task: HomeTask): void {
  turn.view.put('homeTasks', key, task)
  changeJob(turn, task.job, {})
}

/** Its owner asked for it. */
function wasRequeued(turn: Turn, job: JobId, task: number): boolean {
  return rangesHave(turn.view.get('jobOrders', job)?.again ?? [], task)
}

function changeJobProgress(turn: Turn, job: JobId): void {
  changeJob(turn, job, { lastProgressEpochMs: turn.now })
}
