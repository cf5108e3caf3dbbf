// A site whose database is older than the truth, and one that begins anew because of it. What it
// has lost lies in its peers' logs: it takes back what it said itself and what it was told, in the
// order of its own words, and when both logs agree the peer closes the old sequence.
//
// [RECOVER-1] A peer that holds more of what we said has to show it. One statement of ours that is
//   not in our log, under our signature, puts this site in quarantine; a claim alone is only shown.
// [RECOVER-2] In a new epoch a site takes back what a peer holds: statements of its own first,
//   those of the peer as far as they are needed for the next of its own. So its own checks see them
//   in an order in which they once held.
// [RECOVER-3] A close is said only when both logs hold the same of the sequence that it ends.
// [RECOVER-4] What is open between two sites and stands behind no work here is ended by the host
//   once it may speak again: declined, given up, or claimed as far as it was claimed before.

import type { SiteName } from '../base/ids.ts'
import { trancheIdOf } from '../base/ids.ts'
import { everybody, parseStatement } from '../rules/statement.ts'
import type { PairStatement } from '../rules/statement.ts'
import type { LedgerRefusal, Logged } from '../rules/ledger.ts'
import { directionOf, isOwnWord, logPublic, restoreStatement } from '../rules/ledger.ts'
import { openHead } from '../rules/ledger-book.ts'
import { describeLedgerRefusal } from '../rules/ledger-refusal.ts'
import type { Standing } from './delivery.ts'
import {
  acknowledge, askCounter, grantCredit, onStatements, say, sayUnheard, takeStatement,
} from './delivery.ts'
import { acceptIfDue } from './home-claims.ts'
import { leave, settle } from './host-claims.ts'
import type { MessageOf } from './messages.ts'
import { sendOwnMember } from './peers.ts'
import { isQuarantined, quarantine } from './quarantine.ts'
import { isRecovering } from './speech.ts'
import type { Turn } from './turn.ts'
import { count, isUp, send, setTimer } from './turn.ts'

const askAgainMs = 3_000
/** Of one site, from the logs of others. */
const tariffsTakenMax = 1_024

type React = (logged: Logged<PairStatement>) => void

/** A peer's statements and its counter, which says what is to be done about the two logs. */
export function onPeerStatements(
  turn: Turn, from: SiteName, message: MessageOf<'statements'>, react: React,
): void {
  const before = turn.view.get('heardPeers', from)
  onStanding(turn, from, onStatements(turn, from, message, react))
  if (!before && turn.view.get('heardPeers', from)) catchUp(turn, from)
}

function onStanding(turn: Turn, peer: SiteName, standing: Standing): void {
  const { view } = turn
  if (standing === 'ahead') {
    const cursor = view.get('histories', peer)?.cursor ?? ''
    view.put('histories', peer, { cursor, isRead: false, isAhead: true })
  }
  // What is under way is answered, or asked for again by its timer.
  if (view.get('timers', `recover/${peer}`) === undefined) pursue(turn, peer)
}

export function onPeerUp(turn: Turn, peer: SiteName): void {
  const { view } = turn
  const known = view.get('histories', peer)
  if (known) view.put('histories', peer, { ...known, isRead: false })
  pursue(turn, peer)
}

/** What lies between two logs is asked for until they agree, and then for the close. */
export function pursue(turn: Turn, peer: SiteName): void {
  const { view, self } = turn
  const history = view.get('histories', peer) ?? { cursor: '', isRead: false, isAhead: false }
  const isOpen = !isRecovering(view, peer) && !history.isAhead
  if (isOpen || isQuarantined(turn) || !isUp(turn, peer)) {
    return setTimer(turn, `recover/${peer}`, undefined)
  }
  setTimer(turn, `recover/${peer}`, turn.now + askAgainMs)
  const [ours, theirs] = [directionOf(view, self.site, peer), directionOf(view, peer, self.site)]
  if (!history.isRead) {
    return send(turn, peer, {
      kind: 'history_wanted', issued_e: ours.e, issued: ours.n, received_e: theirs.e,
      received: theirs.n, cursor: history.cursor,
    })
  }
  // The peer closes only for a genesis that it knows.
  sendOwnMember(turn, peer)
  send(turn, peer, {
    kind: 'close_wanted', epoch: openHead(view).epoch, ends: ours.e, issued: ours.n,
    last: ours.sid, have: theirs.n, have_e: theirs.e,
  })
}

/** Nothing has come for a while. */
export function onRetry(turn: Turn, peer: SiteName): void {
  pursue(turn, peer)
  // Whoever claimed to hold more, and had nothing to show, is asked for its counter again.
  if (!isQuarantined(turn) && !turn.view.get('heardPeers', peer)) askCounter(turn, peer)
}

/** The shell reads it from our log: that is not in memory. */
export function onHistoryWanted(
  turn: Turn, from: SiteName, message: MessageOf<'history_wanted'>,
): void {
  const { issued_e, issued, received_e, received, cursor } = message
  turn.effects.push({
    kind: 'tellHistory',
    to: from,
    issued: { e: issued_e, n: issued },
    received: { e: received_e, n: received },
    cursor,
  })
}

export function onHistory(
  turn: Turn, from: SiteName, message: MessageOf<'history'>, react: React,
): void {
  const { view } = turn
  if (isQuarantined(turn)) return
  // Of an epoch that we have opened ourselves nothing is taken back: it was not to be lost again.
  if (isProof(turn, from, message.issued)) return
  if (!isRecovering(view, from)) return onOthers(turn, from, message, react)
  const before = openHead(view).frontier.size
  const needed = message.publics.filter((note) => isNeeded(turn, note))
  for (const note of needed) logPublic(view, turn.self.site, note)
  const refusal = takeBack(turn, from, message)
  const hasMoved = openHead(view).frontier.size > before || message.publics.length > 0
  const { issued_end, received_end, publics_end } = message
  const isRead = issued_end + received_end + publics_end === 3 && refusal === undefined
  view.put('histories', from, { cursor: message.cursor, isRead, isAhead: false })
  if (hasMoved) turn.toDeliver.add(from)
  if (!isRecovering(view, from)) return openPair(turn, from)
  if (hasMoved || isRead) return pursue(turn, from)
  if (message.pruned === 1) {
    const detail = 'its ledger no longer has what ours lacks: its first entries were dropped; '
      + 'stop the node and begin from an export that has them: gridnode ledger recover --from DIR'
    view.put('troubles', from, { detail, epochMs: turn.now })
  }
  if (!refusal) return
  count(turn, `history_refused_${refusal.reason}`)
  const why = describeLedgerRefusal(refusal)
  const detail = `what it holds of our ledger cannot be taken back: ${why}`
  view.put('troubles', from, { detail, epochMs: turn.now })
}

/** Own words to everybody, and prices, which contracts name; nothing else fills our log. */
function isNeeded({ view, self }: Turn, note: string): boolean {
  const parsed = parseStatement(note)
  const said = parsed.ok ? parsed.value.statement : undefined
  if (!said || said.kind === 'federation' || said.to !== everybody) return false
  if (said.from === self.site) return true
  if (said.kind !== 'tariff') return false
  let known = 0
  for (const [, { site }] of view.entries('ledgerTariffs')) if (site === said.from) known++
  return known < tariffsTakenMax
}

/** [RECOVER-2] Gives why the next statement cannot be taken, if there is one. */
function takeBack(
  turn: Turn, peer: SiteName, { issued, issued_end, received }: MessageOf<'history'>,
): LedgerRefusal | undefined {
  const { view, self } = turn
  let [own, theirs] = [0, 0]
  for (;;) {
    let why: LedgerRefusal | undefined
    const mine = issued[own]
    if (mine !== undefined) {
      const taken = restoreStatement(view, self.site, peer, mine)
      if (taken.ok) {
        own++
        continue
      }
      why = taken.refusal
    } else if (issued_end === 0) return undefined
    const next = received[theirs]
    if (next === undefined) return why
    const taken = restoreStatement(view, self.site, peer, next)
    if (!taken.ok) return why ?? taken.refusal
    theirs++
  }
}

/** [RECOVER-1] Whether one of these is a word of ours, of this epoch, that our log lacks. */
function isProof(turn: Turn, from: SiteName, issued: readonly string[]): boolean {
  const { view, self } = turn
  const last = directionOf(view, self.site, from)
  const { epoch } = openHead(view)
  for (const note of issued) {
    const parsed = parseStatement(note)
    const said = parsed.ok ? parsed.value.statement : undefined
    if (!said || said.kind === 'federation' || said.from !== self.site || said.to !== from) continue
    if (said.e < epoch || (said.e === last.e && said.n <= last.n)) continue
    if (!isOwnWord(view, self.site, note)) continue
    quarantine(turn, from, `it has shown statement ${said.n} of epoch ${said.e} of ours under our `
      + `own signature, and our ledger ends at ${last.n} of epoch ${last.e}`)
    return true
  }
  return false
}

/** Nothing of ours is lost: what the peer said, and we had acknowledged, may be. */
function onOthers(
  turn: Turn, from: SiteName, message: MessageOf<'history'>, react: React,
): void {
  const { view } = turn
  if (view.get('histories', from)) view.remove('histories', from)
  // What answers words of ours that we have lost must not come before them.
  if (!view.get('heardPeers', from)) return
  for (const note of message.received) if (!takeStatement(turn, from, note, react)) break
  if (message.received.length > 0) turn.toDeliver.add(from)
}

/** [RECOVER-3] A peer has begun anew: its old sequence ends, if both hold the same of it. */
export function onCloseWanted(
  turn: Turn, from: SiteName, message: MessageOf<'close_wanted'>,
): void {
  const { view, self } = turn
  const { epoch, ends, issued, last } = message
  const before = view.get('heardPeers', from)
  onStanding(turn, from, acknowledge(turn, from, message))
  if (!before && view.get('heardPeers', from)) catchUp(turn, from)
  // Our counter goes out in any case: it says what differs.
  turn.toDeliver.add(from)
  const [ours, theirs] = [directionOf(view, self.site, from), directionOf(view, from, self.site)]
  if (theirs.e >= epoch || view.get('ledgerMembers', from)?.epoch !== epoch) return
  const isSame = theirs.e === ends && theirs.n === issued && theirs.sid === last
  const close = {
    kind: 'reconcile', to: from, side: 'close', epoch, ends: theirs.e, received: theirs.n,
    last: theirs.sid, issued: ours.n, own: ours.sid,
  } as const
  if (!isSame) return
  if (!isRecovering(view, from)) {
    const said = say(turn, close)
    if (!said.ok) count(turn, `close_refused_${said.refusal.reason}`)
    return
  }
  // Both begin anew: the close is the first word of our own new sequence, so ours has to end, too.
  if (isQuarantined(turn) || ours.e !== message.have_e || ours.n !== message.have) return
  restartDelivery(turn, from, 0)
  const said = sayUnheard(turn, close)
  if (!said.ok) count(turn, `close_refused_${said.refusal.reason}`)
  else openPair(turn, from)
}

/** A `close` of the peer is on our log. */
export function onClose(turn: Turn, from: SiteName): void {
  const { view, self } = turn
  const { epoch } = openHead(view)
  const ours = directionOf(view, self.site, from)
  if (epoch > 1 && ours.e === epoch && ours.n === 0) openPair(turn, from)
}

function openPair(turn: Turn, peer: SiteName): void {
  const { view, self } = turn
  const { n } = directionOf(view, self.site, peer)
  // Of a sequence that has just begun nobody can hold more than we do.
  const isFresh = n <= 1
  if (n === 0 || !isFresh) restartDelivery(turn, peer, n)
  if (isFresh && !isQuarantined(turn)) {
    view.put('heardPeers', peer, { epochMs: turn.now })
    const link = view.get('links', peer)
    if (link) view.put('links', peer, { ...link, heard: true })
  } else askCounter(turn, peer)
  for (const table of ['histories', 'troubles'] as const) {
    if (view.get(table, peer)) view.remove(table, peer)
  }
  setTimer(turn, `recover/${peer}`, undefined)
  count(turn, 'pairs_recovered')
  catchUp(turn, peer)
}

/** What waited for an old sequence is over; `acked` of the new one are with the peer. */
function restartDelivery(turn: Turn, peer: SiteName, acked: number): void {
  const { view } = turn
  for (const [key] of Array.from(view.entries('outbox'))) {
    if (key.startsWith(`${peer}/`)) view.remove('outbox', key)
  }
  view.put('delivery', peer, { acked })
  setTimer(turn, `deliver/${peer}`, undefined)
  const link = view.get('links', peer)
  if (link) view.put('links', peer, { ...link, sentThrough: acked })
  turn.toDeliver.add(peer)
}

/** What could not be said before is said now: credit, acceptances, claims, the ends of holds. */
function catchUp(turn: Turn, peer: SiteName): void {
  const { view, self } = turn
  grantCredit(turn, peer)
  for (const [id, { host }] of Array.from(view.entries('homeTranches'))) {
    if (host === peer) acceptIfDue(turn, id as never)
  }
  for (const [id, { home }] of Array.from(view.entries('hostTranches'))) {
    if (home === peer) settle(turn, id as never)
  }
  // [RECOVER-4]
  for (const [, hold] of Array.from(view.entries('ledgerHolds'))) {
    if (hold.host !== self.site || hold.home !== peer || hold.endedIndex > 0) continue
    const tranche = view.get('hostTranches', trancheIdOf(hold.sid))
    const isWorking = tranche !== undefined && tranche.phase !== 'settled'
    if (isWorking || view.get('holdChecks', hold.sid)) continue
    leave(turn, hold.sid, 'no work of ours stands behind it')
  }
}
