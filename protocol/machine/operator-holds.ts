// An operator's words about one hold: accepted, disputed, resolved, forgiven.
// Invariant: whatever is said here a machine might have said; the ledger's rules decide.

import type { Sid } from '../base/ids.ts'
import { trancheIdOf } from '../base/ids.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok } from '../base/outcome.ts'
import type { Microcredits } from '../base/units.ts'
import { formatCredits, microcredits } from '../base/units.ts'
import type { HoldRecord, OpenClaim } from '../rules/ledger-book.ts'
import { clauseMax } from '../rules/ledger-holds.ts'
import { readRuling } from '../rules/ruling.ts'
import { say } from './delivery.ts'
import { allIn, closeDone } from './home-claims.ts'
import { closeResolved } from './host-claims.ts'
import type { OperatorWord, Spoke } from './operator-word.ts'
import { conflict, ledgerWord, notFound, spoken } from './operator-word.ts'
import type { Turn } from './turn.ts'

type Word<V> = Extract<OperatorWord, { readonly verb: V }>
type Found = Outcome<HoldRecord, { readonly code: string; readonly detail: string }>
type FinalClaim = Outcome<
  { readonly hold: HoldRecord; readonly claim: OpenClaim; readonly other: HoldRecord['home'] },
  { readonly code: string; readonly detail: string }
>

const short = (sid: string): string => sid.slice(0, 16)

function findHold(turn: Turn, prefix: string): Found {
  const found: HoldRecord[] = []
  for (const [sid, hold] of turn.view.entries('ledgerHolds')) {
    if (sid.startsWith(prefix)) found.push(hold)
  }
  const [only] = found
  if (found.length > 1) {
    return refused('ambiguous', `${found.length} holds begin with ${prefix}; add digits`)
  }
  if (only) return ok(only)
  return refused('not_found', `no hold ${prefix} is remembered here; see gridnode ledger open`)
}

function refused(code: string, detail: string): Found & { readonly ok: false } {
  return { ok: false, refusal: { code, detail } }
}

/** A hold with a final claim that is not over; `as` is which of the two we have to be. */
function findFinal(turn: Turn, prefix: string, as: 'home' | 'host' | 'either'): FinalClaim {
  const found = findHold(turn, prefix)
  if (!found.ok) return found
  const hold = found.value
  const { site } = turn.self
  if (as !== 'either' && hold[as] !== site) {
    return refused('conflict', `hold ${short(hold.sid)} is for ${hold[as]} to speak about: it is ` +
      `its ${as}, this site its ${as === 'home' ? 'host' : 'home'}`)
  }
  const claim = hold.claims.find(({ final }) => final === 1)
  if (!claim) {
    return refused('conflict', hold.endedIndex > 0
      ? `hold ${short(hold.sid)} has ended: ${hold.state}`
      : `${hold.host} has not made its final claim on hold ${short(hold.sid)} yet`)
  }
  return ok({ hold, claim, other: hold.home === site ? hold.host : hold.home })
}

/** Results are still on their way; then it is too early for the last word. */
function tooEarly(turn: Turn, hold: HoldRecord): Spoke | undefined {
  const tranche = turn.view.get('homeTranches', trancheIdOf(hold.sid))
  if (tranche?.state.kind !== 'live' || allIn(turn, tranche)) return undefined
  return conflict('results of it are still on their way; say it when they are here, or when the ' +
    'lease has ended')
}

/** What a word has changed for the tranche behind the hold. */
function after(turn: Turn, hold: HoldRecord, spoke: Spoke): Spoke {
  if (!spoke.ok) return spoke
  if (hold.home === turn.self.site) closeDone(turn, trancheIdOf(hold.sid))
  else closeResolved(turn, hold.home)
  return spoke
}

export function accept(turn: Turn, { hold: prefix, amount }: Word<'accept'>): Spoke {
  const found = findHold(turn, prefix)
  if (!found.ok) return found
  const hold = found.value
  if (hold.home !== turn.self.site) {
    return conflict(`this site is the host of hold ${short(hold.sid)}; ${hold.home} accepts`)
  }
  const claim = hold.claims.at(-1)
  if (hold.state === 'done') {
    return spoken(`hold ${short(hold.sid)} is done: ${formatCredits(hold.accepted)} were accepted`)
  }
  if (!claim || hold.endedIndex > 0) {
    return conflict(`nothing is claimed of hold ${short(hold.sid)}, which is ${hold.state}`)
  }
  const early = claim.final === 1 ? tooEarly(turn, hold) : undefined
  if (early) return early
  const wanted = amount ?? (claim.final === 1 ? hold.asks : claim.amount)
  if (wanted > claim.amount) {
    return conflict(`${formatCredits(claim.amount)} are claimed, no more can be accepted`)
  }
  if (wanted < hold.accepted || (wanted === hold.accepted && wanted < hold.asks)) {
    const detail = `${formatCredits(hold.accepted)} are accepted already`
    return wanted === hold.accepted ? spoken(detail) : conflict(detail)
  }
  const final = claim.final === 1 && wanted === claim.amount ? 1 : 0
  const said = say(turn, {
    kind: 'accept', to: hold.host, hold: hold.sid, usage: claim.sid, amount: wanted, final,
  })
  return after(turn, hold, ledgerWord(said, hold.host, `accepted ${formatCredits(wanted)}`))
}

export function dispute(turn: Turn, word: Word<'dispute'>): Spoke {
  const found = findFinal(turn, word.hold, 'home')
  if (!found.ok) return found
  const { hold, claim } = found.value
  if (hold.endedIndex > 0) return conflict(`hold ${short(hold.sid)} is ${hold.state}`)
  const early = tooEarly(turn, hold)
  if (early) return early
  const most = microcredits(claim.amount - hold.accepted)
  if (word.contested === 0n || word.contested > most) {
    return conflict(`${formatCredits(claim.amount)} are claimed and ` +
      `${formatCredits(hold.accepted)} accepted: contest more than nothing, at most ` +
      formatCredits(most))
  }
  const rest = microcredits(claim.amount - word.contested)
  const detail = `contested ${formatCredits(word.contested)}, accepted ${formatCredits(rest)}`
  if (hold.disputed === word.reason && hold.accepted === rest) return spoken(`${detail} already`)
  const said = say(turn, {
    kind: 'dispute', to: hold.host, hold: hold.sid, usage: claim.sid, contested: word.contested,
    reason: word.reason, doc: word.doc,
  })
  return after(turn, hold, ledgerWord(said, hold.host, detail))
}

export function offer(turn: Turn, { hold: prefix, amount }: Word<'offer'>): Spoke {
  const found = findFinal(turn, prefix, 'either')
  if (!found.ok) return found
  const { hold, other } = found.value
  if (hold.endedIndex > 0) return conflict(`hold ${short(hold.sid)} is ${hold.state}`)
  if (amount < hold.accepted || amount > hold.asks) {
    return conflict(`${formatCredits(hold.accepted)} are accepted and ` +
      `${formatCredits(hold.asks)} asked for: offer something between`)
  }
  const detail = `proposed to ${other} to end it at ${formatCredits(amount)}`
  for (const [sid, proposal] of turn.view.entries('ledgerProposals')) {
    const same = proposal.kind === 'resolve' && proposal.hold === hold.sid
      && proposal.from === turn.self.site && proposal.amount === amount
    if (same) return spoken(`${detail} already: ${short(sid)} waits`)
  }
  const said = say(turn, { kind: 'resolve', to: other, side: 'offer', hold: hold.sid, amount })
  return ledgerWord(said, other, detail)
}

export function agree(turn: Turn, { hold: prefix, amount }: Word<'agree'>): Spoke {
  const found = findFinal(turn, prefix, 'either')
  if (!found.ok) return found
  const { hold, other } = found.value
  let newest: { readonly sid: Sid; readonly n: number; readonly amount: Microcredits } | undefined
  for (const [sid, proposal] of turn.view.entries('ledgerProposals')) {
    if (proposal.kind !== 'resolve' || proposal.hold !== hold.sid) continue
    if (proposal.from !== other || (newest && newest.n > proposal.n)) continue
    newest = { sid: sid as Sid, n: proposal.n, amount: proposal.amount }
  }
  if (!newest) {
    if (hold.state === 'done') return spoken(`hold ${short(hold.sid)} is done`)
    return notFound(`${other} has proposed nothing about hold ${short(hold.sid)}`)
  }
  if (amount !== undefined && amount !== newest.amount) {
    return conflict(`${other} has proposed ${formatCredits(newest.amount)}, not ` +
      formatCredits(amount))
  }
  const said = say(turn, { kind: 'resolve', to: other, side: 'agree', resolve: newest.sid })
  const detail = `agreed: it ends at ${formatCredits(newest.amount)}`
  return after(turn, hold, ledgerWord(said, other, detail))
}

/** [CLAUSE-3] By the operator's word only after the agreed time by our own clock. */
export function clause(turn: Turn, { hold: prefix }: Word<'clause'>): Spoke {
  const found = findFinal(turn, prefix, 'host')
  if (!found.ok) return found
  const { hold, claim } = found.value
  if (hold.endedIndex > 0) return conflict(`hold ${short(hold.sid)} is ${hold.state}`)
  const most = clauseMax(turn.view, hold)
  if (most === 0n) return conflict('the contract has no clause for a home that stays silent')
  if (hold.disputed !== '') return conflict(`${hold.home} has disputed it: ${hold.disputed}`)
  const accept_s = turn.view.get('ledgerContracts', hold.contract)?.terms.accept_s ?? 0
  const leftMs = hold.claimedEpochMs + accept_s * 1000 - turn.now
  if (leftMs > 0) {
    return conflict(`${hold.home} has ${Math.ceil(leftMs / 1000)} s more to answer the claim`)
  }
  const amount = most < hold.asks ? most : hold.asks
  const detail = `called for the clause: ${formatCredits(amount)} of ${formatCredits(claim.amount)}`
  if (hold.accepted >= amount) {
    return conflict(`${formatCredits(hold.accepted)} are accepted, the clause gives ` +
      formatCredits(amount))
  }
  if (hold.clause >= amount) return spoken(`${detail}, already`)
  const said = say(turn, {
    kind: 'resolve', to: hold.home, side: 'clause', hold: hold.sid, usage: claim.sid, amount,
    proof: '',
  })
  return ledgerWord(said, hold.home, detail)
}

export function ruling(turn: Turn, { hold: prefix, note }: Word<'ruling'>): Spoke {
  const found = findFinal(turn, prefix, 'either')
  if (!found.ok) return found
  const { hold, other } = found.value
  const read = readRuling(note)
  if (!read.ok) return conflict(`not a ruling: ${read.refusal.detail}`)
  if (hold.endedIndex > 0) return spoken(`hold ${short(hold.sid)} is ${hold.state} already`)
  const { amount } = read.value.ruling
  const said = say(turn, {
    kind: 'resolve', to: other, side: 'ruling', hold: hold.sid, amount, note,
  })
  return after(turn, hold, ledgerWord(said, other, `ruled: it ends at ${formatCredits(amount)}`))
}

/** So much less than was claimed; the same again is the same. */
export function forgive(turn: Turn, { hold: prefix, amount }: Word<'forgive_claim'>): Spoke {
  const found = findFinal(turn, prefix, 'host')
  if (!found.ok) return found
  const { hold } = found.value
  const most = microcredits(hold.claimed - hold.accepted)
  if (amount === 0n || amount > most) {
    return conflict(`${formatCredits(hold.claimed)} are claimed and ` +
      `${formatCredits(hold.accepted)} accepted: forgive more than nothing, at most ` +
      formatCredits(most))
  }
  const asks = microcredits(hold.claimed - amount)
  const detail = `of ${formatCredits(hold.claimed)} this site asks for ${formatCredits(asks)}`
  if (hold.endedIndex > 0 || hold.asks <= asks) return spoken(`${detail} or less already`)
  const said = say(turn, {
    kind: 'resolve', to: hold.home, side: 'forgive', hold: hold.sid, amount: asks,
  })
  return after(turn, hold, ledgerWord(said, hold.home, detail))
}
