// The home and what its hosts claim: a claim is held against the host's own reports before it is
// paid.
//
// [TRANCHE-3] A claim is accepted when no result of the tranche is still on its way, and it is no
//   more than the host reported. If the tranche lapsed before, what the host ran by its reports is
//   paid all the same, at most the hold: the claim may have been made in time. What is more stays
//   open, as trouble for both operators.

import type { Sid, SiteName, TrancheId } from '../base/ids.ts'
import { trancheIdOf } from '../base/ids.ts'
import { addRanges, rangesHave, rangesSize, rangesValues } from '../base/ranges.ts'
import type { HoldRecord } from '../rules/ledger-book.ts'
import type { UsageTotal } from '../rules/run.ts'
import { chargeable } from '../rules/run.ts'
import { say } from './delivery.ts'
import { isOver } from './home-book.ts'
import { settled } from './home-tranches.ts'
import type { Report } from './messages.ts'
import type { HomeTranche } from './state.ts'
import { taskKey } from './state.ts'
import type { Turn } from './turn.ts'
import { count } from './turn.ts'

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
  const reported = { ...sumOf(before, used), ended: addRanges(before.ended, ended) }
  turn.view.put('homeTranches', id, { ...tranche, reported })
}

/** Sums stay numbers that travel, whatever a host makes up. */
function sumOf(left: UsageTotal, right: UsageTotal): UsageTotal {
  const sum = (field: keyof UsageTotal): number =>
    Math.min(Number.MAX_SAFE_INTEGER, left[field] + right[field])
  return { tasks: sum('tasks'), core_s: sum('core_s'), gib_s: sum('gib_s') }
}

export function onUsage(turn: Turn, from: SiteName, hold: Sid): void {
  const tranche = turn.view.get('homeTranches', trancheIdOf(hold))
  if (tranche?.host === from) acceptIfDue(turn, tranche.id)
}

/** [TRANCHE-3] */
export function acceptIfDue(turn: Turn, id: TrancheId): void {
  const { view } = turn
  const tranche = view.get('homeTranches', id)
  if (!tranche || tranche.state.kind === 'settled' || tranche.hold === '') return
  const hold = view.get('ledgerHolds', tranche.hold)
  const claim = hold?.claims.find((open) => open.final === 1)
  if (!hold || !claim) return
  if (tranche.state.kind === 'live' && !allIn(turn, tranche)) return
  const trouble = overclaimed(tranche, hold)
  if (trouble !== tranche.trouble) {
    if (trouble !== '') count(turn, 'claims_beyond_reports')
    view.put('homeTranches', id, { ...tranche, trouble })
  }
  if (trouble !== '') return
  const said = say(turn, {
    kind: 'accept',
    to: tranche.host,
    hold: hold.sid,
    usage: claim.sid,
    amount: claim.amount,
    final: 1,
  })
  if (!said.ok) return count(turn, `accept_refused_${said.refusal.reason}`)
  settled(turn, tranche, 'accepted', claim.amount)
  turn.toPlace.add(tranche.job)
}

/** What is wrong with a claim; '' when the host has reported that much. */
function overclaimed({ id, reported }: HomeTranche, { used }: HoldRecord): string {
  const within = used.tasks <= reported.tasks && used.core_s <= reported.core_s &&
    used.gib_s <= reported.gib_s
  if (within) return ''
  const words = (of: UsageTotal): string =>
    `${of.tasks} tasks, ${of.core_s} core-seconds, ${of.gib_s} GiB-seconds`
  return `tranche ${id}: it claims ${words(used)}, but has reported ${words(reported)}`
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
