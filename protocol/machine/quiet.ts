// When a pair of sites has nothing more to say for a while: only then both can say that their books
// are the same.

import type { SiteName } from '../base/ids.ts'
import { lastIssued, nextExpected } from '../rules/ledger.ts'
import type { ReconcileRecord } from './trust-records.ts'
import type { Turn } from './turn.ts'
import { setTimer } from './turn.ts'

export const quietMs = 30_000

/** How far the two sequences go. */
export function positionOf({ view, self }: Turn, peer: SiteName) {
  return {
    issued: lastIssued(view, self.site, peer),
    received: nextExpected(view, peer, self.site) - 1,
  }
}

export function reconcileRecord(turn: Turn, peer: SiteName): ReconcileRecord {
  return turn.view.get('reconciles', peer) ?? {
    epochMs: 0, issued: 0, received: 0, tries: 0, offeredEpochMs: 0, seenIssued: 0, seenReceived: 0,
  }
}

/** Something was said between us: look in a while whether it has become quiet. */
export function stir(turn: Turn, peer: SiteName): void {
  if (turn.view.get('timers', `reconcile/${peer}`) === undefined) lookAgain(turn, peer, quietMs)
}

export function lookAgain(turn: Turn, peer: SiteName, inMs: number): void {
  const { issued, received } = positionOf(turn, peer)
  const record = reconcileRecord(turn, peer)
  turn.view.put('reconciles', peer, { ...record, seenIssued: issued, seenReceived: received })
  setTimer(turn, `reconcile/${peer}`, turn.now + inMs)
}
