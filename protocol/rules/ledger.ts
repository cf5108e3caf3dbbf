// The ledger's rules: what may be said, by whom, in which order, and what it does to the accounts. The
// live node and the offline audit go through the same functions.
// Invariants: a refusal writes nothing; what a site issues passes every rule that a receiver applies; two
// logs that hold the same statements of a pair agree on its accounts.

import type { FederationId, Sid, SiteName } from '../base/ids.ts'
import type { Signer } from '../base/note.ts'
import type { Outcome } from '../base/outcome.ts'
import type { View } from '../base/tables.ts'
import type { Microcredits } from '../base/units.ts'
import type { HoldRecord, ContractRecord, LedgerTables } from './ledger-book.ts'
import type { LedgerRefusal } from './ledger-refusal.ts'
import type { PairStatement, SiteKeys, Statement, StatementInput } from './statement.ts'

export type { LedgerRefusal } from './ledger-refusal.ts'
export type { LedgerTables } from './ledger-book.ts'
export { checkpointText, coldLedgerTables } from './ledger-book.ts'

export interface LedgerSigner {
  readonly site: SiteName
  readonly epoch: number
  readonly statement: Signer
}

/** An entry that was just appended. */
export interface Logged<S extends Statement = Statement> {
  readonly sid: Sid
  readonly note: string
  readonly statement: S
  readonly index: number
}

export type Received =
  | ({ readonly kind: 'received' } & Logged<PairStatement>)
  /** Already logged, nothing changed. `compared` is false when it lies too far back to compare bytes. */
  | { readonly kind: 'duplicate', readonly sid: Sid, readonly n: number, readonly compared: boolean }

export interface OpenedLedger {
  readonly federation: FederationId
  readonly genesis: Sid
}

/** Founder: signs the federation's statement; its sid is the federation's id. */
export declare function sealFederation(
  root: Signer, said: { name: string, founder: SiteName, nonce: string, at: number },
): Outcome<{ readonly note: string, readonly sid: FederationId }, LedgerRefusal>

/** Signs a site's genesis for epoch 1 with its root key. */
export declare function sealGenesis(
  root: Signer, said: { fed: FederationId, site: SiteName, keys: SiteKeys, at: number },
): Outcome<{ readonly note: string, readonly sid: Sid }, LedgerRefusal>

/** Entry 0 (federation) and entry 1 (own genesis) of `self`'s log; refused if the log is open. */
export declare function openLedger(
  view: View<LedgerTables>,
  self: SiteName,
  notes: { readonly federation: string, readonly genesis: string },
): Outcome<OpenedLedger, LedgerRefusal>

/**
 * Logs the policy that admits a site (none for the founder) and the site's genesis. Whatever of the two is
 * in the log already is passed over; for `self` only the policy is new.
 */
export declare function admitMember(
  view: View<LedgerTables>,
  self: SiteName,
  notes: { readonly policy?: string, readonly genesis: string },
): Outcome<{ readonly site: SiteName, readonly logged: readonly Logged[] }, LedgerRefusal>

/** Logs a public statement of another member (tariff, policy), in any order and with gaps. */
export declare function logPublic(
  view: View<LedgerTables>, self: SiteName, note: string,
): Outcome<{ readonly sid: Sid, readonly duplicate: boolean }, LedgerRefusal>

/** Says something: numbers, signs, checks as a receiver would, and appends. */
export declare function issueStatement(
  view: View<LedgerTables>, signer: LedgerSigner, input: StatementInput,
): Outcome<Logged, LedgerRefusal>

/** Logs a statement that `from` made to `self`. A `gap` refusal carries the number to ask for. */
export declare function receiveStatement(
  view: View<LedgerTables>, self: SiteName, from: SiteName, note: string,
): Outcome<Received, LedgerRefusal>

/** A member: the founder, or admitted by a chain of members from it. */
export declare function isMember(view: View<LedgerTables>, site: SiteName): boolean

/** The number of the next statement that `to`'s log expects from `from`. */
export declare function nextExpected(
  view: View<LedgerTables>, from: SiteName, to: SiteName,
): number

/** The number of the last statement that `self` issued to `to`, 0 for none. */
export declare function lastIssued(
  view: View<LedgerTables>, self: SiteName, to: SiteName | '*',
): number

/** What counts against the limit: balance owed + held (claimed included). Below 0 when creditor owes. */
export declare function exposure(
  view: View<LedgerTables>, creditor: SiteName, debtor: SiteName,
): Microcredits

/** The limit that `creditor` grants `debtor`, 0 until granted. */
export declare function creditLimit(
  view: View<LedgerTables>, creditor: SiteName, debtor: SiteName,
): Microcredits

/** Net: what `other` owes `site`; negative when `site` owes. */
export declare function balanceOf(
  view: View<LedgerTables>, site: SiteName, other: SiteName,
): Microcredits

export declare function holdState(view: View<LedgerTables>, sid: Sid): HoldRecord | undefined

export declare function contractTerms(
  view: View<LedgerTables>, sid: Sid,
): ContractRecord | undefined
