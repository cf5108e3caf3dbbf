// Statements between two logs: said once, delivered until acknowledged.
//
// [DELIVER-1] The counter of each direction is the retransmission state, so loss, doubling and
//   reordering do no harm.
// [DELIVER-3] On each connection nothing is delivered before the peer has said how far its copy of
//   our log goes. A copy that goes further than our log means that our database is an old one:
//   whatever we said now would contradict it, so nothing is said to that peer any more.

import type { SiteName } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { Outcome } from '../base/outcome.ts'
import type { Microcredits } from '../base/units.ts'
import { zeroMicrocredits } from '../base/units.ts'
import type { LedgerRefusal, Logged } from '../rules/ledger.ts'
import { issueStatement, lastIssued, nextExpected, receiveStatement } from '../rules/ledger.ts'
import type { PairStatement, StatementInput } from '../rules/statement.ts'
import type { MessageOf } from './messages.ts'
import type { Turn } from './turn.ts'
import { count, send, setTimer } from './turn.ts'
import { outboxKey } from './state.ts'

const retryMs = 3_000
/** Who takes nothing in gets so many again and again, not all that there is to say. */
const unansweredMax = 512

type Said = Extract<StatementInput, { readonly to: SiteName }>

/** Without the time, which is the turn's. */
type Unstamped<T> = T extends unknown ? Omit<T, 'at'> : never

/** Says something to one peer: logged now, delivered from here on. */
export function say(turn: Turn, said: Unstamped<Said>): Outcome<Logged, LedgerRefusal> {
  const { view, self } = turn
  const issued = issueStatement(view, self.signer, { ...said, at: turn.now } as StatementInput)
  if (!issued.ok) return issued
  view.put('outbox', outboxKey(said.to, lastIssued(view, self.site, said.to)), issued.value.note)
  turn.toDeliver.add(said.to)
  return issued
}

/** [DELIVER-4] So much waits for this peer that nothing new is begun with it. */
export function outboxFull({ view, self }: Turn, peer: SiteName): boolean {
  const waiting = lastIssued(view, self.site, peer) - (view.get('delivery', peer)?.acked ?? 0)
  return waiting >= limits.outboxStatementsPerPeer
}

/** Statements of a peer: each new one is logged and handed to `react`, in order. */
export function onStatements(
  turn: Turn,
  from: SiteName,
  message: MessageOf<'statements'>,
  react: (logged: Logged<PairStatement>) => void,
): void {
  acknowledge(turn, from, message.have)
  if (message.heard === 0) turn.toDeliver.add(from)
  for (const note of message.notes) {
    const received = receiveStatement(turn.view, turn.self.site, from, note)
    if (!received.ok) {
      noteTrouble(turn, from, received.refusal)
      break
    }
    if (received.value.kind === 'duplicate') continue
    if (turn.view.get('troubles', from)) turn.view.remove('troubles', from)
    react(received.value)
  }
  if (message.notes.length > 0) turn.toDeliver.add(from)
}

/** [DELIVER-2] A gap is answered by our counter; any other refusal is trouble, shown to people. */
function noteTrouble(turn: Turn, from: SiteName, refusal: LedgerRefusal): void {
  count(turn, `statement_refused_${refusal.reason}`)
  if (refusal.reason === 'gap') return
  const detail = `its statement was refused: ${refusal.reason}`
  turn.view.put('troubles', from, { detail, epochMs: turn.now })
}

function acknowledge(turn: Turn, peer: SiteName, have: number): void {
  const { view, self } = turn
  const acked = view.get('delivery', peer)?.acked ?? 0
  const last = lastIssued(view, self.site, peer)
  if (have > last) return behind(turn, peer, { have, last })
  hear(turn, peer, last > have)
  if (have <= acked) return
  for (let number = acked + 1; number <= have; number++) {
    view.remove('outbox', outboxKey(peer, number))
  }
  view.put('delivery', peer, { acked: have })
  const link = view.get('links', peer)
  if (link && link.sentThrough < have) view.put('links', peer, { ...link, sentThrough: have })
  if (have === last) setTimer(turn, `deliver/${peer}`, undefined)
  else if (link && link.sentThrough < last) turn.toDeliver.add(peer)
}

/** The peer's counter is known on this connection: from here on statements are delivered. */
function hear(turn: Turn, peer: SiteName, owed: boolean): void {
  const link = turn.view.get('links', peer)
  if (!link || link.heard) return
  turn.view.put('links', peer, { ...link, heard: true })
  if (owed) turn.toDeliver.add(peer)
}

function behind(turn: Turn, peer: SiteName, { have, last }: { have: number; last: number }): void {
  count(turn, 'ledger_behind_peer')
  const link = turn.view.get('links', peer)
  if (link?.heard) turn.view.put('links', peer, { ...link, heard: false })
  const detail = `it holds ${have} statements of ours and our ledger has ${last}: this ` +
    'database is older than what the peer has seen; nothing more is said to it'
  turn.view.put('troubles', peer, { detail, epochMs: turn.now })
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
    const have = nextExpected(view, peer, self.site) - 1
    const said = lastIssued(view, self.site, peer)
    const heard = link.heard ? 1 : 0
    // Until the peer is heard only our own counter goes out, and asks for its.
    const acked = view.get('delivery', peer)?.acked ?? 0
    const open = Math.max(link.sentThrough, Math.min(said, acked + unansweredMax))
    const last = link.heard ? open : link.sentThrough
    let next = link.sentThrough + 1
    do {
      const notes: string[] = []
      while (next <= last && notes.length < limits.statementsPerMessage) {
        const note = view.get('outbox', outboxKey(peer, next++))
        if (note !== undefined) notes.push(note)
      }
      send(turn, peer, { kind: 'statements', notes, have, heard })
    } while (next <= last)
    view.put('links', peer, { ...link, sentThrough: last })
    if (acked < said) setTimer(turn, `deliver/${peer}`, turn.now + retryMs)
  }
}

/**
 * Grants every member the credit that the administrator configured, where it differs from the log.
 */
export function grantCredit(turn: Turn, site: SiteName, force?: Microcredits): void {
  const { view, self } = turn
  if (site === self.site) return
  const granted = view.get('ledgerCredits', `${self.site}>${site}`)
  // The default is for strangers; what was granted by hand stays until somebody says otherwise.
  const limit = force ?? self.credit.limits.get(site) ?? granted?.limit ?? self.credit.defaultLimit
  if ((granted?.limit ?? zeroMicrocredits) !== limit) say(turn, { kind: 'credit', to: site, limit })
}
