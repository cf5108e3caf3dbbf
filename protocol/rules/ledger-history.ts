// What happened between a site and each other, as its log tells it: a walk over the statements in
// order, for invoices, scores and balances. The log is one whose statements the ledger's rules let
// in (a node's own, or an export that verified); nothing is judged here again.
// Invariants: amounts only grow, as in the ledger: of a hold after its final usage, what counts as
// accepted is the largest of what the home accepted, an agreed proposal and a ruling, and what is
// asked the smallest of claim, forgiveness, agreed proposal and ruling; it is done when the former
// reaches the latter. Memory is that of terms, open holds and accounts, not of the log.

import { compareBytes } from '../base/ids.ts'
import type { Sid, SiteName } from '../base/ids.ts'
import type { Microcredits } from '../base/units.ts'
import { clampMicrocredits, microcredits, zeroMicrocredits } from '../base/units.ts'
import { directionKey } from './ledger-book.ts'
import { contractLifeMs } from './ledger-holds.ts'
import type {
  ContractOffer, PairStatement, Statement, StatementKind, StatementOf, Usage,
} from './statement.ts'
import { everybody } from './statement.ts'

/** A statement at its index in the log. */
export interface LoggedStatement {
  readonly index: number
  readonly sid: Sid
  readonly statement: Statement
}

/** Where something was said; `at` is the author's own time, epoch ms. */
export interface SaidAt {
  readonly index: number
  readonly sid: Sid
  readonly kind: StatementKind
  readonly by: SiteName
  readonly at: number
}

/** A usage: cumulative for its hold. */
export interface Claim {
  readonly said: SaidAt
  readonly amount: Microcredits
  readonly final: 0 | 1
  readonly usage: Usage
}

/** A hold, from the entry that asked for it to where the log has come. */
export interface HoldStory {
  readonly sid: Sid
  readonly asked: SaidAt
  readonly contract: Sid
  readonly terms: ContractOffer
  readonly home: SiteName
  readonly host: SiteName
  readonly amount: Microcredits
  readonly tasks: number
  /** The allocation that pays; '' for the home's credit at the host. */
  readonly grant: Sid | ''
  /** When the host held it; undefined before. */
  readonly heldEpochMs: number | undefined
  /** Claims at or after the last accepted one. */
  readonly claims: readonly Claim[]
  readonly final: Claim | undefined
  /** Accepted in all, by whatever way. */
  readonly accepted: Microcredits
  /** The part of it that the home accepted by its own word. */
  readonly acceptedByHome: Microcredits
  /** Resources of the usages of which something was accepted. */
  readonly billed: Usage
  /** What the host asks for; undefined before the final usage. */
  readonly asks: Microcredits | undefined
  readonly disputed: boolean
  /** When the home first answered all of the final usage (accepted or contested it), epoch ms. */
  readonly answeredEpochMs: number | undefined
  /** The arbiter's newest ruling. */
  readonly ruled: { readonly amount: Microcredits, readonly said: SaidAt } | undefined
  readonly state: 'asked' | 'held' | 'done' | 'void' | 'declined'
}

export type HistoryEvent =
  /** A final usage was said. */
  | { readonly kind: 'claimed', readonly hold: HoldStory, readonly claim: Claim }
  /** Money moved from the home to the host (or, for a grant, was spent). */
  | {
    readonly kind: 'accepted'
    readonly said: SaidAt
    readonly hold: HoldStory
    readonly claim: Claim
    readonly moved: Microcredits
    /** Resources of that claim that no earlier acceptance was for. */
    readonly used: Usage
  }
  | { readonly kind: 'ended', readonly said: SaidAt, readonly hold: HoldStory }
  | ({ readonly kind: 'settled' } & Settled)
  | {
    readonly kind: 'accused'
    readonly said: SaidAt
    readonly accused: SiteName
    readonly epoch: number
    readonly proof: string
  }

/** What was paid outside, or given up: the debtor owes so much less. */
export interface Settled {
  readonly said: SaidAt
  readonly creditor: SiteName
  readonly debtor: SiteName
  readonly amount: Microcredits
  readonly how: 'paid' | 'forgiven'
  readonly reference: string
}

/** What two sites owe and have open; everything from the debtor to the creditor. */
export interface PairSums {
  readonly creditor: SiteName
  readonly debtor: SiteName
  readonly accepted: Microcredits
  readonly settled: Microcredits
  /** Claimed, not accepted and not contested. */
  readonly claimed: Microcredits
  /** Contested and open. */
  readonly disputed: Microcredits
  /** Held and neither accepted nor claimed. */
  readonly held: Microcredits
}

export interface History {
  /** The site whose log it is. */
  readonly log: SiteName
  /** Takes the next statement; gives what it brought about. */
  take(next: LoggedStatement): readonly HistoryEvent[]
  /** Holds that may still change, oldest first. */
  openHolds(): readonly HoldStory[]
  /** Each pair of creditor and debtor with anything to say, in order of names. */
  sums(): readonly PairSums[]
  /** The limit of credit that `creditor` last gave `debtor`. */
  limit(creditor: SiteName, debtor: SiteName): Microcredits
  /** The newest time in what `from` said to `to`, epoch ms; 0 for nothing. */
  newestEpochMs(from: SiteName, to: SiteName): number
}

interface Proposal {
  readonly amount: Microcredits
  readonly hold: Sid
}

interface Books {
  /** Offers under which holds may still be asked, oldest first, for each `home>host`. */
  readonly terms: Map<string, Map<Sid, StatementOf<'contract'> & ContractOffer>>
  readonly holds: Map<Sid, HoldStory>
  readonly proposals: Map<Sid, Proposal>
  readonly settlements: Map<Sid, Omit<Settled, 'said'>>
  readonly accepted: Map<string, Microcredits>
  readonly settled: Map<string, Microcredits>
  readonly limits: Map<string, Microcredits>
  readonly newest: Map<string, number>
}

/** Opens the walk over the log of `log`, before its first entry. */
export function openHistory(log: SiteName): History {
  const books: Books = {
    terms: new Map(),
    holds: new Map(),
    proposals: new Map(),
    settlements: new Map(),
    accepted: new Map(),
    settled: new Map(),
    limits: new Map(),
    newest: new Map(),
  }
  return {
    log,
    take({ index, sid, statement }) {
      if (statement.kind === 'federation') return []
      const { kind, from: by, at } = statement
      const said: SaidAt = { index, sid, kind, by, at }
      if (statement.kind === 'evidence') {
        const { accused, epoch, proof } = statement
        return [{ kind: 'accused', said, accused, epoch, proof }]
      }
      return isBetweenSites(statement) ? takePair(books, statement, said) : []
    },
    openHolds: () => [...books.holds.values()],
    sums: () => sumsOf(books),
    limit: (creditor, debtor) =>
      books.limits.get(directionKey(creditor, debtor)) ?? zeroMicrocredits,
    newestEpochMs: (from, to) => books.newest.get(directionKey(from, to)) ?? 0,
  }
}

function isBetweenSites(statement: Statement): statement is PairStatement {
  return statement.kind !== 'federation' && statement.to !== everybody
}

function takePair(books: Books, statement: PairStatement, said: SaidAt): HistoryEvent[] {
  books.newest.set(directionKey(statement.from, statement.to), statement.at)
  switch (statement.kind) {
    case 'credit':
      books.limits.set(directionKey(statement.from, statement.to), statement.limit)
      return []
    case 'contract':
      if (statement.side === 'offer') offerTerms(books, statement, said)
      return []
    case 'hold': return askHold(books, statement, said)
    case 'held': return update(books, statement.hold, (hold) =>
      ({ ...hold, state: 'held', heldEpochMs: said.at }))
    case 'declined':
    case 'void': return giveUp(books, statement, said)
    case 'usage': return claim(books, statement, said)
    case 'accept': return accept(books, statement, said)
    case 'dispute': return dispute(books, statement, said)
    case 'resolve': return resolve(books, statement, said)
    case 'settle': return settle(books, statement, said)
    default: return []
  }
}

function offerTerms(
  books: Books, offer: StatementOf<'contract'> & ContractOffer, { sid, at }: SaidAt,
): void {
  const direction = directionKey(offer.from, offer.to)
  const offers = books.terms.get(direction) ?? new Map<Sid, typeof offer>()
  for (const [old, before] of offers) {
    if (before.at + contractLifeMs >= at) break
    offers.delete(old)
  }
  books.terms.set(direction, offers.set(sid, offer))
}

function update(
  books: Books, sid: Sid, change: (hold: HoldStory) => HoldStory,
): HistoryEvent[] {
  const hold = books.holds.get(sid)
  if (hold) books.holds.set(sid, change(hold))
  return []
}

function askHold(books: Books, asked: StatementOf<'hold'>, said: SaidAt): HistoryEvent[] {
  const terms = books.terms.get(directionKey(asked.from, asked.to))?.get(asked.contract)
  if (!terms) return []
  books.holds.set(said.sid, {
    sid: said.sid,
    asked: said,
    contract: asked.contract,
    terms,
    home: asked.from,
    host: asked.to,
    amount: asked.amount,
    tasks: asked.tasks,
    grant: asked.grant,
    heldEpochMs: undefined,
    claims: [],
    final: undefined,
    accepted: zeroMicrocredits,
    acceptedByHome: zeroMicrocredits,
    billed: { tasks: 0, core_s: 0, gib_s: 0 },
    asks: undefined,
    disputed: false,
    answeredEpochMs: undefined,
    ruled: undefined,
    state: 'asked',
  })
  return []
}

function giveUp(
  books: Books, { kind, hold: sid }: StatementOf<'declined' | 'void'>, said: SaidAt,
): HistoryEvent[] {
  const hold = books.holds.get(sid)
  books.holds.delete(sid)
  return hold ? [{ kind: 'ended', said, hold: { ...hold, state: kind } }] : []
}

function claim(books: Books, usage: StatementOf<'usage'>, said: SaidAt): HistoryEvent[] {
  const hold = books.holds.get(usage.hold)
  if (!hold) return []
  const { amount, final, tasks, core_s, gib_s } = usage
  const made: Claim = { said, amount, final, usage: { tasks, core_s, gib_s } }
  const claims = [...hold.claims, made]
  if (final === 0) {
    books.holds.set(hold.sid, { ...hold, claims })
    return []
  }
  const claimed = { ...hold, claims, final: made, asks: amount }
  const event: HistoryEvent = { kind: 'claimed', hold: claimed, claim: made }
  if (hold.accepted < amount) {
    books.holds.set(hold.sid, claimed)
    return [event]
  }
  // All of it was accepted before: there is nothing left for the home to answer.
  const answered = { ...claimed, answeredEpochMs: hold.answeredEpochMs ?? said.at }
  return [event, ...move(books, answered, said, made)]
}

function accept(books: Books, said: StatementOf<'accept'>, at: SaidAt): HistoryEvent[] {
  const hold = books.holds.get(said.hold)
  const from = hold?.claims.findIndex(({ said: { sid } }) => sid === said.usage) ?? -1
  const cited = hold?.claims[from]
  if (!hold || !cited) return []
  const kept = { ...hold, claims: hold.claims.slice(from) }
  const answers = kept.asks !== undefined && said.amount >= kept.asks
  return move(books, byHome(kept, said.amount, answers ? at : undefined), at, cited)
}

function dispute(books: Books, said: StatementOf<'dispute'>, at: SaidAt): HistoryEvent[] {
  const hold = books.holds.get(said.hold)
  if (!hold?.final) return []
  const uncontested = larger(zeroMicrocredits, hold.final.amount - said.contested)
  const answered = byHome(hold, uncontested, at)
  return move(books, { ...answered, disputed: true }, at, hold.final)
}

/** The home's own word; `answer` when it leaves nothing of the final usage unanswered. */
function byHome(hold: HoldStory, amount: bigint, answer: SaidAt | undefined): HoldStory {
  return {
    ...hold,
    acceptedByHome: larger(hold.acceptedByHome, amount),
    answeredEpochMs: hold.answeredEpochMs ?? answer?.at,
  }
}

function resolve(books: Books, said: StatementOf<'resolve'>, at: SaidAt): HistoryEvent[] {
  switch (said.side) {
    case 'offer':
      books.proposals.set(at.sid, { hold: said.hold, amount: said.amount })
      return []
    case 'agree': {
      const proposal = books.proposals.get(said.resolve)
      const hold = proposal && books.holds.get(proposal.hold)
      if (!proposal || !hold?.final) return []
      const { amount } = proposal
      // One of the two is the home, so it is the home's word, whoever spoke last.
      const agreed = byHome({ ...hold, asks: smaller(hold.asks, amount) }, amount, at)
      return move(books, agreed, at, hold.final)
    }
    case 'forgive': return asked(books, said.hold, said.amount, at)
    case 'ruling': {
      const hold = books.holds.get(said.hold)
      if (!hold?.final) return []
      const ruled = { amount: said.amount, said: at }
      const asks = smaller(hold.asks, said.amount)
      return move(books, { ...hold, ruled, asks }, at, hold.final)
    }
    case 'clause': return []
  }
}

/** The host asks for no more than `amount`. */
function asked(books: Books, sid: Sid, amount: Microcredits, at: SaidAt): HistoryEvent[] {
  const hold = books.holds.get(sid)
  if (!hold?.final) return []
  return move(books, { ...hold, asks: smaller(hold.asks, amount) }, at, hold.final)
}

/** Keeps `hold` with all that counts as accepted of it now, and says what came of it. */
function move(books: Books, hold: HoldStory, said: SaidAt, cited: Claim): HistoryEvent[] {
  const accepted = larger(hold.accepted, larger(hold.acceptedByHome, hold.ruled?.amount ?? 0n))
  const moved = microcredits(accepted - hold.accepted)
  const isDone = hold.asks !== undefined && accepted >= hold.asks
  const events: HistoryEvent[] = []
  let next: HoldStory = { ...hold, accepted, state: isDone ? 'done' : hold.state }
  if (moved > 0n) {
    next = { ...next, billed: atLeast(hold.billed, cited.usage) }
    const used = minus(next.billed, hold.billed)
    events.push({ kind: 'accepted', said, hold: next, claim: cited, moved, used })
    if (hold.grant === '') add(books.accepted, directionKey(hold.host, hold.home), moved)
  }
  if (isDone && hold.state !== 'done') events.push({ kind: 'ended', said, hold: next })
  // A word that crossed the last one may still raise what was ended below its claim.
  if (isDone && accepted >= (hold.final?.amount ?? 0n)) books.holds.delete(hold.sid)
  else books.holds.set(hold.sid, next)
  return events
}

function settle(books: Books, said: StatementOf<'settle'>, at: SaidAt): HistoryEvent[] {
  if (said.side === 'offer') {
    const { amount, reference } = said
    const [debtor, creditor] = said.payer === 'author'
      ? [said.from, said.to]
      : [said.to, said.from]
    books.settlements.set(at.sid, { creditor, debtor, amount, how: 'paid', reference })
    return []
  }
  let settled: Settled
  if (said.side === 'forgive') {
    const { from: creditor, to: debtor, amount, reference } = said
    settled = { said: at, creditor, debtor, amount, how: 'forgiven', reference }
  } else {
    const offered = books.settlements.get(said.settle)
    if (!offered) return []
    books.settlements.delete(said.settle)
    settled = { said: at, ...offered }
  }
  add(books.settled, directionKey(settled.creditor, settled.debtor), settled.amount)
  return [{ kind: 'settled', ...settled }]
}

type Sums = { -readonly [K in keyof PairSums]: PairSums[K] }

function sumsOf(books: Books): PairSums[] {
  const pairs = new Map<string, Sums>()
  const pairOf = (key: string): Sums => {
    const [creditor = '', debtor = ''] = key.split('>')
    let pair = pairs.get(key)
    if (!pair) {
      pairs.set(key, pair = {
        creditor: creditor as SiteName,
        debtor: debtor as SiteName,
        accepted: zeroMicrocredits,
        settled: zeroMicrocredits,
        claimed: zeroMicrocredits,
        disputed: zeroMicrocredits,
        held: zeroMicrocredits,
      })
    }
    return pair
  }
  for (const [key, amount] of books.accepted) pairOf(key).accepted = amount
  for (const [key, amount] of books.settled) pairOf(key).settled = amount
  for (const hold of books.holds.values()) {
    if (hold.state !== 'held' || hold.grant !== '') continue
    const pair = pairOf(directionKey(hold.host, hold.home))
    const open = openPart(hold)
    if (hold.disputed) pair.disputed = microcredits(pair.disputed + open)
    else pair.claimed = microcredits(pair.claimed + open)
    const rest = hold.final ? 0n : hold.amount - hold.accepted - open
    pair.held = microcredits(pair.held + rest)
  }
  return [...pairs.values()].toSorted((a, b) =>
    compareBytes(a.creditor, b.creditor) || compareBytes(a.debtor, b.debtor))
}

/** Asked for and not accepted. */
export function openPart(hold: HoldStory): Microcredits {
  const newest = hold.asks ?? hold.claims.at(-1)?.amount ?? zeroMicrocredits
  return larger(zeroMicrocredits, newest - hold.accepted)
}

function add(sums: Map<string, Microcredits>, key: string, amount: bigint): void {
  sums.set(key, clampMicrocredits((sums.get(key) ?? 0n) + amount))
}

function larger(left: bigint, right: bigint): Microcredits {
  return microcredits(left > right ? left : right)
}

function smaller(left: Microcredits | undefined, right: Microcredits): Microcredits {
  return left !== undefined && left < right ? left : right
}

function atLeast(left: Usage, right: Usage): Usage {
  return {
    tasks: Math.max(left.tasks, right.tasks),
    core_s: Math.max(left.core_s, right.core_s),
    gib_s: Math.max(left.gib_s, right.gib_s),
  }
}

function minus(left: Usage, right: Usage): Usage {
  return {
    tasks: left.tasks - right.tasks,
    core_s: left.core_s - right.core_s,
    gib_s: left.gib_s - right.gib_s,
  }
}
