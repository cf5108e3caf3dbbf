// Statements between two logs: said once, delivered until acknowledged.
//
// [DELIVER-1] The counter of each direction is the retransmission state, so loss, doubling and
//   reordering do no harm.
// [DELIVER-3] On each connection nothing is delivered before the peer has said how far its copy of
//   our log goes. A copy that goes further than our log means that our database is an old one:
//   whatever we said now would contradict it, so nothing is said to that peer before it is clear.

import type { SiteName } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { Outcome } from '../base/outcome.ts'
import { refuse } from '../base/outcome.ts'
import type { Microcredits } from '../base/units.ts'
import { zeroMicrocredits } from '../base/units.ts'
import type { LedgerRefusal, Logged } from '../rules/ledger.ts'
import { directionOf, issueStatement, lastIssued, receiveStatement } from '../rules/ledger.ts'
import type { PairStatement, StatementInput } from '../rules/statement.ts'
import { isFrozen } from './evidence.ts'
import { onOldStatement, onStatementRefused } from './evidence-search.ts'
import type { MessageOf } from './messages.ts'
import { stir } from './quiet.ts'
import { wantReceipt } from './receipts.ts'
import type { Silence } from './speech.ts'
import { isRecovering, silence } from './speech.ts'
import type { Turn } from './turn.ts'
import { count, send, setTimer } from './turn.ts'
import { outboxKey } from './state.ts'

const retryMs = 3_000
/** Who takes nothing in gets so many again and again, not all that there is to say. */
const unansweredMax = 512

type Said = Extract<StatementInput, { readonly to: SiteName }>

/** Without the time, which is the turn's. */
type Unstamped<T> = T extends unknown ? Omit<T, 'at'> : never

/** Says something to one peer: logged now, delivered from here on [DELIVER-5]. */
export function say(turn: Turn, said: Unstamped<Said>): Outcome<Logged, LedgerRefusal | Silence> {
  const silent = silence(turn, said.to)
  return silent ? refuse(silent) : sayUnheard(turn, said)
}

/** As `say`, where a peer need not be heard: its copy of what we said is known otherwise. */
export function sayUnheard(turn: Turn, said: Unstamped<Said>): Outcome<Logged, LedgerRefusal> {
  const { view, self } = turn
  const issued = issueStatement(view, self.signer, { ...said, at: turn.now } as StatementInput)
  if (!issued.ok) return issued
  view.put('outbox', outboxKey(said.to, lastIssued(view, self.site, said.to)), issued.value.note)
  turn.toDeliver.add(said.to)
  stir(turn, said.to)
  wantReceipt(turn, issued.value as Logged<PairStatement>)
  return issued
}

/** [DELIVER-4] So much waits for this peer that nothing new is begun with it. */
export function outboxFull({ view, self }: Turn, peer: SiteName): boolean {
  const waiting = lastIssued(view, self.site, peer) - (view.get('delivery', peer)?.acked ?? 0)
  return waiting >= limits.outboxStatementsPerPeer
}

/** What a peer's counter says of our own log. */
export type Standing =
  /** It holds no more of what we said than we do. */
  | 'level'
  /** It says that it holds more. */
  | 'ahead'
  /** It counts statements of an epoch of ours that is over for both. */
  | 'behind'

type React = (logged: Logged<PairStatement>) => void

/**
 * Statements of a peer: each new one is logged and handed to `react`, in order. While the peer
 * holds more of what we said than we do, its own words wait: they may answer what we lack.
 */
export function onStatements(
  turn: Turn, from: SiteName, message: MessageOf<'statements'>, react: React,
): Standing {
  const isClosed = hasClosed(turn, from, message)
  const standing = acknowledge(turn, from, message)
  if (message.heard === 0) turn.toDeliver.add(from)
  if (standing !== 'ahead' || isClosed) {
    for (const note of message.notes) if (!takeStatement(turn, from, note, react)) break
  }
  if (message.notes.length > 0) turn.toDeliver.add(from)
  return standing
}

/**
 * It holds nothing of an epoch in which we have said nothing to it: its close is on the way, or
 * here. All of the sequence before has been read.
 */
function hasClosed({ view, self }: Turn, peer: SiteName, { have, have_e }: Counter): boolean {
  return have === 0 && have_e === self.signer.epoch && isRecovering(view, peer)
    && view.get('histories', peer)?.isRead === true
}

/** False when it was refused, and what follows it would be, too. */
export function takeStatement(turn: Turn, from: SiteName, note: string, react: React): boolean {
  const { view, self } = turn
  const received = receiveStatement(view, self.site, from, note)
  if (!received.ok) {
    onStatementRefused(turn, note, received.refusal)
    return noteTrouble(turn, from, received.refusal)
  }
  if (received.value.kind === 'duplicate') {
    if (!received.value.compared) onOldStatement(turn, note)
    return true
  }
  if (view.get('troubles', from)) view.remove('troubles', from)
  stir(turn, from)
  react(received.value)
  return true
}

/** [DELIVER-2] A gap is answered by our counter; any other refusal is trouble, shown to people. */
function noteTrouble(turn: Turn, from: SiteName, refusal: LedgerRefusal): boolean {
  count(turn, `statement_refused_${refusal.reason}`)
  if (refusal.reason === 'gap') return false
  // What was said in an epoch that we have closed comes late; it is part of the past.
  if (refusal.reason === 'wrong_epoch' && refusal.found < refusal.expected) return true
  const detail = `its statement was refused: ${refusal.reason}`
  turn.view.put('troubles', from, { detail, epochMs: turn.now })
  return false
}

type Counter = Pick<MessageOf<'statements'>, 'have' | 'have_e'>

/** What a peer says of how much it holds of our own words. */
export function acknowledge(
  turn: Turn, peer: SiteName, { have, have_e: e }: Counter,
): Standing {
  const { view, self } = turn
  const last = directionOf(view, self.site, peer)
  const up = view.get('links', peer)
  if (up && !up.told) view.put('links', peer, { ...up, told: true })
  if (e > last.e || (e === last.e && have > last.n)) return ahead(turn, peer, { e, have })
  if (e < last.e) return 'behind'
  hear(turn, peer, { have, last: last.n })
  const acked = view.get('delivery', peer)?.acked ?? 0
  if (have <= acked) return 'level'
  for (let number = acked + 1; number <= have; number++) {
    view.remove('outbox', outboxKey(peer, number))
  }
  view.put('delivery', peer, { acked: have })
  const link = view.get('links', peer)
  if (link && link.sentThrough < have) view.put('links', peer, { ...link, sentThrough: have })
  if (have === last.n) setTimer(turn, `deliver/${peer}`, undefined)
  else if (link && link.sentThrough < last.n) turn.toDeliver.add(peer)
  return 'level'
}

/** The peer's counter is known on this connection: from here on statements are delivered. */
function hear(
  turn: Turn, peer: SiteName, { have, last }: { readonly have: number, readonly last: number },
): void {
  const { view } = turn
  if (!view.get('heardPeers', peer)) view.put('heardPeers', peer, { epochMs: turn.now })
  const link = view.get('links', peer)
  if (!link || link.heard) return
  // On a connection of its own it says less than it once had: it has lost what it had.
  const acked = Math.min(have, view.get('delivery', peer)?.acked ?? 0)
  view.put('delivery', peer, { acked })
  view.put('links', peer, { ...link, heard: true, sentThrough: acked })
  if (last > have) turn.toDeliver.add(peer)
}

function ahead(
  turn: Turn, peer: SiteName, { e, have }: { readonly e: number, readonly have: number },
): Standing {
  const { view, self } = turn
  const link = view.get('links', peer)
  if (link?.heard) view.put('links', peer, { ...link, heard: false })
  if (view.get('heardPeers', peer)) view.remove('heardPeers', peer)
  const last = directionOf(view, self.site, peer)
  count(turn, 'ledger_behind_peer')
  const detail = `it says that it holds ${have} statements of ours of epoch ${e}, our ledger has `
    + `${last.n} of epoch ${last.e}: if this database is older than what the peer has seen, it is `
    + 'asked for; nothing more is said to it until then'
  view.put('troubles', peer, { detail, epochMs: turn.now })
  return 'ahead'
}

/** Says our counter to a peer, and asks for its. */
export function askCounter(turn: Turn, peer: SiteName): void {
  const link = turn.view.get('links', peer)
  if (!link) return
  turn.view.put('links', peer, { ...link, told: false })
  turn.toDeliver.add(peer)
}

export function onPeerUp(turn: Turn, peer: SiteName): void {
  resend(turn, peer)
}

/** What was sent and not acknowledged goes out again. */
export function resend(turn: Turn, peer: SiteName): void {
  const link = turn.view.get('links', peer)
  if (!link) return
  const sentThrough = turn.view.get('delivery', peer)?.acked ?? 0
  turn.view.put('links', peer, { ...link, sentThrough })
  turn.toDeliver.add(peer)
}

/** At the end of a step: the outboxes of all peers that were marked. */
export function deliver(turn: Turn): void {
  const { view, self } = turn
  for (const peer of turn.toDeliver) {
    const link = view.get('links', peer)
    if (!link) continue
    const { n: have, e: have_e } = directionOf(view, peer, self.site)
    const said = lastIssued(view, self.site, peer)
    const heard = link.told ? 1 : 0
    // Until the peer is heard only our own counter goes out, and asks for its.
    const acked = view.get('delivery', peer)?.acked ?? 0
    const open = Math.max(link.sentThrough, Math.min(said, acked + unansweredMax))
    const last = link.heard ? open : link.sentThrough
    let next = link.sentThrough + 1
    let lost = false
    do {
      const notes: string[] = []
      while (next <= last && notes.length < limits.statementsPerMessage) {
        const note = view.get('outbox', outboxKey(peer, next++))
        if (note === undefined) lost = true
        else notes.push(note)
      }
      send(turn, peer, { kind: 'statements', notes, have, have_e, heard })
    } while (next <= last)
    if (lost) sayAgain(turn, peer, acked)
    view.put('links', peer, { ...link, sentThrough: last })
    if (acked < said) setTimer(turn, `deliver/${peer}`, turn.now + retryMs)
  }
}

/** The peer had acknowledged it once and has lost it since: it is read from our log. */
function sayAgain(turn: Turn, peer: SiteName, acked: number): void {
  const { view, self } = turn
  const { e } = directionOf(view, self.site, peer)
  turn.effects.push({ kind: 'tellHistory', to: peer, received: { e, n: acked }, cursor: '' })
}

/**
 * Grants every member the credit that the administrator configured, where it differs from the log.
 */
export function grantCredit(
  turn: Turn, site: SiteName, force?: Microcredits,
): LedgerRefusal | Silence | undefined {
  const { view, self } = turn
  if (site === self.site) return undefined
  const granted = view.get('ledgerCredits', `${self.site}>${site}`)
  // Only a person gives credit to a proven liar, and may give it what it had.
  if (force === undefined && isFrozen(turn.view, site)) return undefined
  // The default is for strangers; what was granted by hand stays until somebody says otherwise.
  const limit = force ?? self.credit.limits.get(site) ?? granted?.limit ?? self.credit.defaultLimit
  const isGranted = (granted?.limit ?? zeroMicrocredits) === limit && !isFrozen(turn.view, site)
  if (isGranted) return undefined
  const said = say(turn, { kind: 'credit', to: site, limit })
  return said.ok ? undefined : said.refusal
}
