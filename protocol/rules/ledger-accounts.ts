// Accounts of pairs of sites, the credit between them and what settles it outside.
// Invariants: each function checks everything and then writes, so a refusal changes nothing; every
// sum is at most 2^63 - 1, and no sum that a peer can cause stops a node; sums only grow, but for
// what is asked, held and claimed.

import type { Sid, SiteName } from '../base/ids.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import type { View } from '../base/tables.ts'
import type { Microcredits } from '../base/units.ts'
import {
  clampMicrocredits, microcredits, microcreditsMax, zeroMicrocredits,
} from '../base/units.ts'
import type { Account, LedgerTables, Proposal } from './ledger-book.ts'
import { account, directionKey } from './ledger-book.ts'
import type { LedgerRefusal } from './ledger-refusal.ts'
import type { StatementOf } from './statement.ts'

/** Where the statement stands in the log that is written. */
export interface Entry {
  readonly sid: Sid
  readonly index: number
  /** Whose log it is: only a creditor's own log enforces its limits [LEDGER-8]. */
  readonly self: SiteName
}

export type Done = Outcome<undefined, LedgerRefusal>
export const done: Done = ok(undefined)

/** Balance owed plus all that is held; below zero when the creditor owes the debtor more. */
export function exposure(
  view: View<LedgerTables>, creditor: SiteName, debtor: SiteName,
): Microcredits {
  const [owed, back] = [account(view, creditor, debtor), account(view, debtor, creditor)]
  return clampMicrocredits(unboundedNet(owed, back) + owed.held)
}

/** Net: what `other` owes `site`; negative when `site` owes. */
export function balanceOf(
  view: View<LedgerTables>, site: SiteName, other: SiteName,
): Microcredits {
  return netOf(account(view, site, other), account(view, other, site))
}

/** What the debtor of `owed` owes net of what it is owed itself. */
export function netOf(owed: Sums, back: Sums): Microcredits {
  return clampMicrocredits(unboundedNet(owed, back))
}

type Sums = Pick<Account, 'posted' | 'settled'>

/** Of four sums of less than 2^63 each: less than 2^64 either way. */
function unboundedNet(owed: Sums, back: Sums): bigint {
  return (owed.posted - owed.settled) - (back.posted - back.settled)
}

/** The limit that `creditor` grants `debtor`, 0 until granted. */
export function creditLimit(
  view: View<LedgerTables>, creditor: SiteName, debtor: SiteName,
): Microcredits {
  return view.get('ledgerCredits', directionKey(creditor, debtor))?.limit ?? zeroMicrocredits
}

/** Whoever grants credit to a proven liar again has decided so. */
export function grantCredit(
  view: View<LedgerTables>, said: StatementOf<'credit'>, { self }: Entry,
): Done {
  view.put('ledgerCredits', directionKey(said.from, said.to), { limit: said.limit })
  if (said.from === self && view.get('ledgerFrozen', said.to)) view.remove('ledgerFrozen', said.to)
  return done
}

/**
 * Sums of payments commute, so nothing here depends on the order in which the two sites' words
 * arrive.
 */
export function settlePair(
  view: View<LedgerTables>, said: StatementOf<'settle'>, entry: Entry,
): Done {
  switch (said.side) {
    case 'offer': {
      const [debtor, creditor] = said.payer === 'author'
        ? [said.from, said.to] : [said.to, said.from]
      return propose(view, entry, said.n, {
        kind: 'settle',
        from: said.from,
        to: said.to,
        creditor,
        debtor,
        amount: said.amount,
        reference: said.reference,
        atEpochMs: said.at,
      })
    }
    case 'agree': {
      const proposal = proposalFor(view, said.settle, said)
      if (proposal?.kind !== 'settle') return unknownReference('settlement', said.settle)
      const settled = addSettled(view, proposal, said.from === entry.self)
      if (settled.ok) view.remove('ledgerProposals', said.settle)
      return settled
    }
    case 'forgive': {
      const gift = { creditor: said.from, debtor: said.to, amount: said.amount }
      return addSettled(view, gift, said.from === entry.self)
    }
  }
}

interface Settling {
  readonly creditor: SiteName
  readonly debtor: SiteName
  readonly amount: Microcredits
}

/** Nobody says what goes beyond the bound; words that cross there are taken, up to the bound. */
function addSettled(
  view: View<LedgerTables>, { creditor, debtor, amount }: Settling, own: boolean,
): Done {
  const books = account(view, creditor, debtor)
  const room = microcreditsMax - books.settled
  if (own && amount > room) return tooMuch('amount', room, amount)
  post(view, books, { settled: amount })
  return done
}

/** Proposals of one author and kind that its addressee can agree to: the newest. */
export const proposalsMax = 16
/** Proposals of its own, of a kind and to one site, that may wait for an answer. */
export const ownProposalsMax = 1_024

/**
 * Keeps a proposal. The addressee's log forgets the oldest for a newer one; the author's does not,
 * because the addressee may have agreed before the newer one arrived.
 */
export function propose(
  view: View<LedgerTables>, { sid, self }: Entry, n: number, proposal: ProposalInput,
): Done {
  const mine = [...view.entries('ledgerProposals')].filter(([, { kind, from, to }]) =>
    kind === proposal.kind && from === proposal.from && to === proposal.to)
  // Only the newest reconciliation can be agreed to; that an older one was changes nothing.
  const keepsAll = proposal.from === self && proposal.kind !== 'reconcile'
  if (keepsAll && mine.length >= ownProposalsMax) {
    return tooMuch('proposals without an answer', ownProposalsMax, mine.length + 1)
  }
  // Numbers begin anew with an epoch, times do not.
  const oldest = mine.toSorted(([, a], [, b]) => a.atEpochMs - b.atEpochMs || a.n - b.n)[0]
  if (!keepsAll && mine.length >= proposalsMax && oldest) view.remove('ledgerProposals', oldest[0])
  view.put('ledgerProposals', sid, { ...proposal, n })
  return done
}

type ProposalInput = Proposal extends infer P ? P extends Proposal ? Omit<P, 'n'> : never : never

/** The other's proposal that `said` agrees to. */
export function proposalFor(
  view: View<LedgerTables>,
  sid: Sid,
  said: { readonly from: SiteName, readonly to: SiteName },
): Proposal | undefined {
  const proposal = view.get('ledgerProposals', sid)
  return proposal?.from === said.to && proposal.to === said.from ? proposal : undefined
}

export type Change = Partial<Record<'posted' | 'asked' | 'held' | 'claimed' | 'settled', bigint>>

export function post(view: View<LedgerTables>, books: Account, change: Change): void {
  view.put('ledgerAccounts', directionKey(books.creditor, books.debtor), {
    ...books,
    posted: clampMicrocredits(books.posted + (change.posted ?? 0n)),
    asked: microcredits(books.asked + (change.asked ?? 0n)),
    held: microcredits(books.held + (change.held ?? 0n)),
    claimed: microcredits(books.claimed + (change.claimed ?? 0n)),
    settled: clampMicrocredits(books.settled + (change.settled ?? 0n)),
  })
}

export function unknownReference(to: string, sid: Sid): Done {
  return refuse({ reason: 'unknown_reference', to, sid })
}

export function wrongState(detail: string): Done {
  return refuse({ reason: 'wrong_state', detail })
}

export function fell(field: string, before: bigint | number, found: bigint | number): Done {
  return refuse({ reason: 'fell', field, before: String(before), found: String(found) })
}

export function tooMuch(field: string, max: bigint | number, found: bigint | number): Done {
  return refuse({ reason: 'too_much', field, max: String(max), found: String(found) })
}
