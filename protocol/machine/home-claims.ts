// The home and what its hosts claim: a claim is held against the host's own reports before it is
// paid.
//
// [TRANCHE-3] A final claim is accepted when no result of the tranche is still on its way, and it
//   is no more than the host reported. If the tranche lapsed before, what the host ran by its
//   reports is paid all the same, at most the hold: the claim may have been made in time. What is
//   more stays open, as trouble for both operators.
// [TRANCHE-8] A claim for tasks that still run is accepted at once, as far as the reports carry it:
//   what ended by its reports, what runs by the time since its start, by the host's own date and at
//   most the walltime. The rest waits, as trouble, for the reports that carry it.
// [TRANCHE-9] A final claim may say as much, field by field, as was reported or was accepted while
//   tasks ran: a task may be lost after it was claimed for. Of a larger one that the host itself
//   has lowered the home accepts what the reports carry.

import type { Sid, SiteName, TrancheId } from '../base/ids.ts'
import { trancheIdOf } from '../base/ids.ts'
import { addRanges, rangesHave, rangesSize, rangesValues } from '../base/ranges.ts'
import type { Microcredits } from '../base/units.ts'
import { zeroMicrocredits } from '../base/units.ts'
import type { HoldRecord, OpenClaim } from '../rules/ledger-book.ts'
import { chargeFor } from '../rules/ledger-holds.ts'
import { directionOf } from '../rules/ledger-pairs.ts'
import type { TaskReport, UsageTotal } from '../rules/run.ts'
import { addUsage, chargeable, isWithin, leastUsage, mostUsage, usageSoFar } from '../rules/run.ts'
import { say } from './delivery.ts'
import { isOver } from './home-book.ts'
import { settled } from './home-tranches.ts'
import type { Report } from './messages.ts'
import type { HomeTranche } from './state.ts'
import { taskKey } from './state.ts'
import type { Turn } from './turn.ts'
import { count, setTimer } from './turn.ts'

/** Adds up what tasks used, each by the first report of its end. */
export function noteUsage(turn: Turn, id: TrancheId, report: Report): void {
  const tranche = turn.view.get('homeTranches', id)
  if (!tranche || tranche.hold === '' || tranche.state.kind === 'settled') return
  const before = tranche.reported
  const seen = new Set<number>()
  const fresh = report.tasks.filter(({ task, state }) => {
    if (state !== 'ended' || seen.has(task) || rangesHave(before.ended, task)) return false
    seen.add(task)
    return rangesHave(tranche.tasks, task)
  })
  if (fresh.length === 0) return
  const ended = fresh.map(({ task }) => [task, task] as const)
  const used = chargeable(fresh)
  const reported = { ...addUsage(before, used), ended: addRanges(before.ended, ended) }
  turn.view.put('homeTranches', id, { ...tranche, reported })
}

export function onUsage(turn: Turn, from: SiteName, hold: Sid, final: 0 | 1): void {
  const tranche = turn.view.get('homeTranches', trancheIdOf(hold))
  if (tranche?.host !== from) return
  if (final === 1 && tranche.claimedEpochMs === 0) {
    turn.view.put('homeTranches', tranche.id, { ...tranche, claimedEpochMs: turn.now })
  }
  acceptIfDue(turn, tranche.id)
}

/** Says what can be said now about the claims of a tranche; doing it again changes nothing. */
export function acceptIfDue(turn: Turn, id: TrancheId): void {
  const { view } = turn
  const tranche = view.get('homeTranches', id)
  if (!tranche || tranche.state.kind === 'settled' || tranche.hold === '') return
  const hold = view.get('ledgerHolds', tranche.hold)
  if (!hold || hold.endedIndex > 0) return closeDone(turn, id)
  const claim = hold.claims.at(-1)
  if (!claim) return
  if (claim.final === 0) return acceptInterim(turn, tranche, { hold, claim })
  if (tranche.state.kind === 'live' && !allIn(turn, tranche)) return
  acceptFinal(turn, tranche, { hold, claim })
  closeDone(turn, id)
}

interface Claimed {
  readonly hold: HoldRecord
  readonly claim: OpenClaim
}

/** [TRANCHE-8] */
function acceptInterim(turn: Turn, tranche: HomeTranche, { hold, claim }: Claimed): void {
  if (claim.amount <= hold.accepted) return noteTrouble(turn, tranche, '')
  const carried = reportedSoFar(turn, tranche, hold)
  const worth = chargeFor(turn.view, hold, carried)
  const isCarried = isWithin(hold.used, carried) || worth >= claim.amount
  noteTrouble(turn, tranche, isCarried ? '' : beyond(tranche, hold.used, carried))
  const amount = isCarried ? claim.amount : worth
  if (amount <= hold.accepted) return
  const said = say(turn, {
    kind: 'accept', to: tranche.host, hold: hold.sid, usage: claim.sid, amount, final: 0,
  })
  if (!said.ok) return count(turn, `accept_refused_${said.refusal.reason}`)
  count(turn, 'interim_accepted')
  const now = turn.view.get('homeTranches', tranche.id) ?? tranche
  const paid = isCarried ? hold.used : leastUsage(hold.used, carried)
  const accepted = mostUsage(now.accepted, paid)
  turn.view.put('homeTranches', tranche.id, { ...now, accepted })
}

function reportedSoFar(turn: Turn, tranche: HomeTranche, hold: HoldRecord): UsageTotal {
  const { view, self } = turn
  const terms = view.get('ledgerContracts', hold.contract)?.terms
  if (!terms) return tranche.reported
  const running: TaskReport[] = []
  for (const task of rangesValues(tranche.open)) {
    const known = view.get('homeTasks', taskKey(tranche.job, task))
    if (known?.tranche !== tranche.id || known.state !== 'running' || !known.report) continue
    running.push(known.report)
  }
  return addUsage(tranche.reported, usageSoFar(running, {
    atMs: directionOf(view, tranche.host, self.site).at,
    cores: terms.cores,
    memoryMib: terms.memory_mib,
    walltimeSeconds: terms.walltime_s,
  }))
}

/** [TRANCHE-3] [TRANCHE-9] What was disputed is for people. */
function acceptFinal(turn: Turn, tranche: HomeTranche, { hold, claim }: Claimed): void {
  if (hold.disputed !== '') return noteTrouble(turn, tranche, '')
  const most = mostUsage(tranche.reported, tranche.accepted)
  const worth = chargeFor(turn.view, hold, tranche.reported)
  const isLowered = hold.asks < claim.amount && hold.asks <= larger(worth, hold.accepted)
  const isCarried = isWithin(hold.used, most) || isLowered
  const trouble = isCarried ? '' : beyond(tranche, hold.used, most)
  if (trouble !== '' && trouble !== tranche.trouble) count(turn, 'claims_beyond_reports')
  noteTrouble(turn, tranche, trouble)
  if (!isCarried) return
  const amount = hold.asks < claim.amount ? hold.asks : claim.amount
  const said = say(turn, {
    kind: 'accept',
    to: tranche.host,
    hold: hold.sid,
    usage: claim.sid,
    amount,
    final: amount === claim.amount ? 1 : 0,
  })
  if (!said.ok) count(turn, `accept_refused_${said.refusal.reason}`)
}

function larger(left: Microcredits, right: Microcredits): Microcredits {
  return left > right ? left : right
}

function noteTrouble(turn: Turn, { id }: HomeTranche, trouble: string): void {
  const tranche = turn.view.get('homeTranches', id)
  if (tranche && tranche.trouble !== trouble) {
    turn.view.put('homeTranches', id, { ...tranche, trouble })
  }
}

/** The hold has ended, by whatever word: what it did not cost is free again. */
export function closeDone(turn: Turn, id: TrancheId): void {
  const tranche = turn.view.get('homeTranches', id)
  if (!tranche || tranche.hold === '') return
  const end = endOf(turn, tranche)
  // What is still to come from its host it does not lose by that.
  const isWaiting = tranche.state.kind === 'awarded'
    || (tranche.state.kind === 'live' && !allIn(turn, tranche))
  if (!end || isWaiting) return
  noteTrouble(turn, tranche, '')
  setTimer(turn, `clause/${id}`, undefined)
  settled(turn, turn.view.get('homeTranches', id) ?? tranche, end.how, end.paid)
  turn.toAck.add(id)
  turn.toPlace.add(tranche.job)
}

/** Undefined while its hold is open. */
function endOf(turn: Turn, tranche: HomeTranche): HomeTranche['ended'] {
  const hold = tranche.hold === '' ? undefined : turn.view.get('ledgerHolds', tranche.hold)
  if (!hold) return tranche.ended ?? { how: 'closed', paid: zeroMicrocredits }
  if (hold.endedIndex === 0) return undefined
  const how = hold.state === 'void' || hold.state === 'declined' ? hold.state : 'accepted'
  return { how, paid: hold.accepted }
}

/** Before the ledger forgets what has ended with a host: those who wait for results need it. */
export function keepEnds(turn: Turn, host: SiteName): void {
  for (const [id, tranche] of Array.from(turn.view.entries('homeTranches'))) {
    if (tranche.host !== host || tranche.state.kind === 'settled' || tranche.hold === '') continue
    const ended = endOf(turn, tranche)
    if (ended) turn.view.put('homeTranches', id, { ...tranche, ended })
  }
  settleResolved(turn, host)
}

/** Words of a host about disputes may have ended some of its holds. */
export function settleResolved(turn: Turn, host: SiteName): void {
  for (const [id, tranche] of Array.from(turn.view.entries('homeTranches'))) {
    const isOpen = tranche.host === host && tranche.state.kind !== 'settled'
    if (isOpen) acceptIfDue(turn, id as TrancheId)
  }
}

/** What is wrong with a claim. */
function beyond({ id }: HomeTranche, used: UsageTotal, most: UsageTotal): string {
  const words = (of: UsageTotal): string =>
    `${of.tasks} tasks, ${of.core_s} core-seconds, ${of.gib_s} GiB-seconds`
  return `tranche ${id}: it claims ${words(used)}, but has reported ${words(most)}`
}

/** Every task of the tranche is over, as far as this host is concerned. */
export function allIn(turn: Turn, tranche: HomeTranche): boolean {
  if (rangesSize(tranche.open) > 0) return false
  for (const task of rangesValues(tranche.tasks)) {
    const known = turn.view.get('homeTasks', taskKey(tranche.job, task))
    if (known?.tranche === tranche.id && !isOver(known) && known.state !== 'waiting') return false
  }
  return true
}
