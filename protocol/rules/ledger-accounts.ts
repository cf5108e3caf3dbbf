// Accounts of pairs of sites, the credit between them and what settles it outside.
// Invariants: each function checks everything and then writes, so a refusal changes nothing; every
// sum is at most 2^63 - 1; sums only grow, but for what is asked, held and claimed.

import type { Sid, SiteName } from '../base/ids.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import type { View } from '../base/tables.ts'
import type { Microcredits } from '../base/units.ts'
import { microcredits, microcreditsMax, zeroMicrocredits } from '../base/units.ts'
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
  return microcredits(
    balanceOf(view, creditor, debtor) + account(view, creditor, debtor).held,
  )
}

/** Net: what `other` owes `site`; negative when `site` owes. */
export function balanceOf(
  view: View<LedgerTables>, site: SiteName, other: SiteName,
): Microcredits {
  return netOf(account(view, site, other), account(view, other, site))
}

/** What the debtor of `owed` owes net of what it is owed itself. */
export function netOf(
  owed: Pick<Account, 'posted' | 'settled'>, back: Pick<Account, 'posted' | 'settled'>,
): Microcredits {
  return microcredits((owed.posted - owed.settled) - (back.posted - back.settled))
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
      propose(view, entry.sid, said.n, {
        kind: 'settle',
        from: said.from,
        to: said.to,
        creditor,
        debtor,
        amount: said.amount,
        reference: said.reference,
        atEpochMs: said.at,
      })
      return done
    }
    case 'agree': {
      const proposal = proposalFor(view, said.settle, said)
      if (proposal?.kind !== 'settle') return unknownReference('settlement', said.settle)
      const settled = addSettled(view, proposal.creditor, proposal.debtor, proposal.amount)
      if (settled.ok) view.remove('ledgerProposals', said.settle)
      return settled
    }
    case 'forgive': return addSettled(view, said.from, said.to, said.amount)
  }
}

function addSettled(
  view: View<LedgerTables>, creditor: SiteName, debtor: SiteName, amount: Microcredits,
): Done {
  const books = account(view, creditor, debtor)
  const room = microcreditsMax - books.settled
  if (amount > room) return tooMuch('amount', room, amount)
  post(view, books, { settled: amount })
  return done
}

/** Proposals of one author and kind that stay open; a newer one replaces the oldest. */
export const proposalsMax = 16

/**
 * Keeps a proposal. An honest author has few open ones and makes no new one before the last was
 * received, so what is replaced here is never agreed to.
 */
export function propose(
  view: View<LedgerTables>, sid: Sid, n: number, proposal: ProposalInput,
): void {
  const mine = [...view.entries('ledgerProposals')].filter(([, { kind, from, to }]) =>
    kind === proposal.kind && from === proposal.from && to === proposal.to)
  const oldest = mine.toSorted(([, a], [, b]) => a.n - b.n)[0]
  if (mine.length >= proposalsMax && oldest) view.remove('ledgerProposals', oldest[0])
  view.put('ledgerProposals', sid, { ...proposal, n })
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
    posted: microcredits(books.posted + (change.posted ?? 0n)),
    asked: microcredits(books.asked + (change.asked ?? 0n)),
    held: microcredits(books.held + (change.held ?? 0n)),
    claimed: microcredits(books.claimed + (change.claimed ?? 0n)),
    settled: microcredits(books.settled + (change.settled ?? 0n)),
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
