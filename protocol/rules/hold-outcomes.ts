// How each hold ended for either side, as far as statements show it: what reputation is made of.
// Invariants: silence is never a failure. A home has failed to pay only when its own later words
// show that it was there after the deadline and did not answer; a host has failed only when an
// arbiter found that it claimed too much. A hold that is given up tells nothing: the ledger does
// not say who left whom waiting.

import { unreachable } from '../base/assert.ts'
import type { Sid, SiteName } from '../base/ids.ts'
import type { Microcredits } from '../base/units.ts'
import { microcredits } from '../base/units.ts'
import type { History, HistoryEvent, HoldStory, SaidAt } from './ledger-history.ts'
import { openPart } from './ledger-history.ts'

/**
 * A host's `delivered` (accepted in the end, by whatever way) and a home's `paid` (answered within
 * `accept_s`, and so much accepted) are kept promises. `overruled` (what a ruling took from the
 * host's claim, or added to what the home had accepted) and `unpaid` are failures. The others count
 * neither way: `paid_late` (answered after the deadline, or by others' words only), `given_up`
 * (held and then void).
 */
export type How = 'delivered' | 'paid' | 'overruled' | 'unpaid' | 'paid_late' | 'given_up'

export type Counts = 'kept' | 'failed' | 'neither'

export interface HoldOutcome {
  readonly hold: Sid
  /** The statement that shows it, and its index in the log of `log`. */
  readonly index: number
  readonly sid: Sid
  readonly log: SiteName
  /** Who is judged, and who dealt with it. */
  readonly site: SiteName
  readonly counterparty: SiteName
  readonly role: 'home' | 'host'
  readonly how: How
  readonly value: Microcredits
  readonly endedEpochMs: number
}

export function countsAs(how: How): Counts {
  switch (how) {
    case 'delivered':
    case 'paid': return 'kept'
    case 'overruled':
    case 'unpaid': return 'failed'
    case 'paid_late':
    case 'given_up': return 'neither'
    default: return unreachable(how)
  }
}

/** What an event of the history of `log` shows about either side. */
export function outcomesOf(log: SiteName, event: HistoryEvent): HoldOutcome[] {
  if (event.kind !== 'ended' || event.hold.home === event.hold.host) return []
  const { hold, said } = event
  switch (hold.state) {
    case 'asked':
    case 'held':
    case 'declined': return []
    case 'void': return [judged(log, hold, said, { role: 'host', how: 'given_up' }, hold.amount)]
    case 'done': return doneOutcomes(log, hold, said).filter(({ value }) => value > 0n)
    default: return unreachable(hold.state)
  }
}

function doneOutcomes(log: SiteName, hold: HoldStory, said: SaidAt): HoldOutcome[] {
  const how = isInTime(hold) ? 'paid' : 'paid_late'
  const outcomes = [
    judged(log, hold, said, { role: 'host', how: 'delivered' }, hold.accepted),
    judged(log, hold, said, { role: 'home', how }, hold.acceptedByHome),
  ]
  if (!hold.ruled || !hold.final) return outcomes
  const { amount, said: ruled } = hold.ruled
  return [
    ...outcomes,
    judged(log, hold, ruled, { role: 'host', how: 'overruled' }, hold.final.amount - amount),
    judged(log, hold, ruled, { role: 'home', how: 'overruled' }, amount - hold.acceptedByHome),
  ]
}

/** What a final usage claims beyond what was accepted or contested, once its deadline is past. */
export function unpaidOutcomes(history: History): HoldOutcome[] {
  return history.openHolds().flatMap((hold) => {
    const { final, home, host } = hold
    if (!final || hold.state !== 'held' || hold.disputed || home === host) return []
    const deadline = deadlineOf(hold)
    // Its own later word: it was there, it spoke with this host, and it did not answer.
    if (history.newestEpochMs(home, host) <= deadline) return []
    const unpaid = judged(
      history.log, hold, final.said, { role: 'home', how: 'unpaid' }, openPart(hold))
    return unpaid.value > 0n ? [{ ...unpaid, endedEpochMs: deadline }] : []
  })
}

/** When the home's answer to the final usage is due; the end of time before there is one. */
export function deadlineOf({ final, terms }: HoldStory): number {
  return final ? final.said.at + terms.accept_s * 1_000 : Number.MAX_SAFE_INTEGER
}

function isInTime(hold: HoldStory): boolean {
  return hold.answeredEpochMs !== undefined && hold.answeredEpochMs <= deadlineOf(hold)
}

function judged(
  log: SiteName,
  hold: HoldStory,
  said: SaidAt,
  { role, how }: { readonly role: 'home' | 'host', readonly how: How },
  value: bigint,
): HoldOutcome {
  const { home, host } = hold
  return {
    hold: hold.sid,
    index: said.index,
    sid: said.sid,
    log,
    site: role === 'home' ? home : host,
    counterparty: role === 'home' ? host : home,
    role,
    how,
    value: microcredits(value > 0n ? value : 0n),
    endedEpochMs: said.at,
  }
}
