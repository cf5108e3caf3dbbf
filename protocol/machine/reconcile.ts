// Two sites that have nothing under way say to each other that their books are the same; what has
// ended then leaves memory.
//
// [RECONCILE-1] When a pair has been quiet and everything is acknowledged, something was said since
//   the last time, and that is an hour ago or very much has ended, the site whose name sorts first
//   offers.
// [RECONCILE-2] The other agrees by itself exactly when its own log stands where the offer says.
// [RECONCILE-3] An offer that came to nothing is made again when the pair is quiet again, at
//   growing distances up to an hour.
// [RECONCILE-4] At the same time holds that nothing stands behind any more are answered.

import type { Sid, SiteName } from '../base/ids.ts'
import { compareBytes, trancheIdOf } from '../base/ids.ts'
import { directionKey } from '../rules/ledger-book.ts'
import { agrees, directionOf, pairState } from '../rules/ledger-pairs.ts'
import type { StatementOf } from '../rules/statement.ts'
import { say } from './delivery.ts'
import { keepEnds } from './home-claims.ts'
import { leave } from './host-claims.ts'
import { lookAgain, positionOf, quietMs, reconcileRecord, stir } from './quiet.ts'
import { apartFrom } from './speech.ts'
import type { Turn } from './turn.ts'
import { count, setTimer } from './turn.ts'

const atLeastMs = 3_600_000
/** So many ended holds in memory do not wait for the hour, nor for quiet. */
const endedMax = 1_000

export function onPeerUp(turn: Turn, peer: SiteName): void {
  if (turn.view.get('links', peer)) stir(turn, peer)
}

export function onReconcileDue(turn: Turn, peer: SiteName): void {
  const { view, now, self } = turn
  // Away: its return begins this anew.
  if (!view.get('links', peer) || apartFrom(turn, peer) !== undefined) return
  answerLeft(turn, peer)
  keepEnds(turn, peer)
  const record = reconcileRecord(turn, peer)
  const { issued, received } = positionOf(turn, peer)
  if (issued === record.issued && received === record.received) return
  const isFull = endedHolds(turn, peer) > endedMax
  const isQuiet = issued === record.seenIssued && received === record.seenReceived
  const isKnown = (view.get('delivery', peer)?.acked ?? 0) === issued
  if (!isKnown || (!isQuiet && !isFull)) return lookAgain(turn, peer, quietMs)
  if (compareBytes(self.site, peer) > 0) return
  const waitMs = Math.min(atLeastMs, quietMs * 2 ** Math.min(10, record.tries))
  const earliest = Math.max(
    record.epochMs > 0 && !isFull ? record.epochMs + atLeastMs : 0,
    record.offeredEpochMs > 0 ? record.offeredEpochMs + waitMs : 0,
  )
  if (now < earliest) return lookAgain(turn, peer, earliest - now)
  offer(turn, peer)
}

function offer(turn: Turn, peer: SiteName): void {
  const { view, self } = turn
  const counted = directionOf(view, self.site, peer)
  const direction = directionKey(self.site, peer)
  const said = say(turn, {
    kind: 'reconcile',
    to: peer,
    side: 'offer',
    ...positionOf(turn, peer),
    state: pairState(view, self.site, peer, { direction, counted }),
  })
  count(turn, said.ok ? 'reconcile_offered' : `reconcile_refused_${said.refusal.reason}`)
  const record = reconcileRecord(turn, peer)
  const tries = record.tries + 1
  view.put('reconciles', peer, { ...record, tries, offeredEpochMs: turn.now })
  lookAgain(turn, peer, quietMs)
}

/** [RECONCILE-2] */
export function onOffer(turn: Turn, from: SiteName, sid: Sid): void {
  const { view } = turn
  const proposal = view.get('ledgerProposals', sid)
  if (proposal?.kind !== 'reconcile') return
  if (!agrees(view, sid, proposal)) return count(turn, 'reconcile_differs')
  keepEnds(turn, from)
  const said = say(turn, { kind: 'reconcile', to: from, side: 'agree', reconcile: sid })
  if (said.ok) agreed(turn, from)
  else count(turn, `reconcile_refused_${said.refusal.reason}`)
}

export function onReconciled(
  turn: Turn, from: SiteName, sid: Sid, { side }: StatementOf<'reconcile'>,
): void {
  if (side === 'offer') onOffer(turn, from, sid)
  if (side === 'agree') agreed(turn, from)
}

function agreed(turn: Turn, peer: SiteName): void {
  count(turn, 'reconciled')
  const position = positionOf(turn, peer)
  turn.view.put('reconciles', peer, {
    epochMs: turn.now,
    ...position,
    tries: 0,
    offeredEpochMs: 0,
    seenIssued: position.issued,
    seenReceived: position.received,
  })
  setTimer(turn, `reconcile/${peer}`, undefined)
}

function endedHolds(turn: Turn, peer: SiteName): number {
  let ended = 0
  for (const [, { home, host, endedIndex }] of turn.view.entries('ledgerHolds')) {
    if (endedIndex > 0 && (home === peer || host === peer)) ended++
  }
  return ended
}

/** [RECONCILE-4] */
function answerLeft(turn: Turn, peer: SiteName): void {
  const { view, self } = turn
  for (const [, hold] of Array.from(view.entries('ledgerHolds'))) {
    if (hold.host !== self.site || hold.home !== peer || hold.endedIndex > 0) continue
    const tranche = view.get('hostTranches', trancheIdOf(hold.sid))
    const isFollowed = (tranche?.hold === hold.sid && tranche.phase !== 'settled')
      || view.get('holdChecks', hold.sid) !== undefined
    if (!isFollowed && leave(turn, hold.sid, 'nothing stands behind it')) {
      count(turn, 'holds_left_answered')
    }
  }
}
