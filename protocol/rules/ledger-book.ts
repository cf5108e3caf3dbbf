// The book that the ledger's rules read and write: the log's head and tree, the members it knows,
// where each sequence stands, terms, holds and accounts.
// Invariants: a table listed in `coldLedgerTables` is written and never read here; an entry, its
// tree nodes, its index and the new head are written together; nothing is written when a rule
// refuses.

import type { FederationId, Hash, Sid, SiteName } from '../base/ids.ts'
import { compareBytes } from '../base/ids.ts'
import type { Frontier } from '../base/merkle.ts'
import { append, root } from '../base/merkle.ts'
import { formatCheckpoint } from '../base/checkpoint.ts'
import { assert } from '../base/assert.ts'
import type { View } from '../base/tables.ts'
import type { Microcredits } from '../base/units.ts'
import { zeroMicrocredits } from '../base/units.ts'
import type { ContractOffer, LastNumber, SiteKeys, TariffFields, Usage } from './statement.ts'
import { logOrigin } from './statement.ts'

/** The log of one site in one epoch, up to its newest entry. */
export interface LedgerHead {
  readonly site: SiteName
  readonly epoch: number
  readonly federation: FederationId
  readonly federationName: string
  readonly founder: SiteName
  readonly founderRoot: string
  readonly frontier: Frontier
}

/** The newest statement of one sequence, and the author's epoch in which it stands. */
export interface Direction {
  readonly e: number
  readonly n: number
  /** '' before the first of an epoch. */
  readonly sid: Sid | ''
  /** What the author claimed, epoch ms; never falls within a sequence. */
  readonly at: number
}

/** A site whose genesis is in this log: its newest epoch, and the keys of before. */
export interface MemberKeys {
  readonly genesis: Sid
  readonly epoch: number
  readonly root: string
  readonly keys: SiteKeys
  /** Oldest first. */
  readonly retired: readonly RetiredKeys[]
}

/** Keys that were replaced, and what they still count for. */
export interface RetiredKeys {
  readonly epoch: number
  readonly keys: SiteKeys
  /** Ended within its epoch by a `key` statement of this public number; 0: with the epoch. */
  readonly endedBy: number
  /** With `endedBy`: the last number of each sequence between sites; none for others. */
  readonly last: readonly LastNumber[]
}

/** Who may be a member, by whose word. The founder's comes from the federation statement itself. */
export interface Admission {
  readonly site: SiteName
  readonly root: string
  /** '' for the founder, whose root key says which genesis is its own. */
  readonly genesis: Sid | ''
  readonly sponsor: SiteName
  readonly policy: Sid | ''
}

export interface KnownTariff extends TariffFields {
  readonly site: SiteName
  readonly sid: Sid
  /** Of its entry in this log. */
  readonly index: number
}

/** A contract: `agreed` once the host has said so. */
export interface ContractRecord {
  readonly sid: Sid
  readonly home: SiteName
  readonly host: SiteName
  readonly terms: ContractOffer
  readonly agreed: Sid | ''
  /** The home's own claim of when it offered: holds follow within `contractLifeMs`. */
  readonly offeredEpochMs: number
  /** Index of the offer in this log. */
  readonly index: number
}

/** A usage that the home has not yet accepted. */
export interface OpenClaim {
  readonly sid: Sid
  /** Its number in the host's sequence. */
  readonly n: number
  readonly amount: Microcredits
  readonly final: 0 | 1
}

/**
 * asked → held → ended (`void` by the host, or `done`); asked → ended (`declined`). After the final
 * usage a hold is two numbers that only approach one another, `accepted` and `asks`: it is done
 * when they meet, in whatever order the two sites' words arrive.
 */
export interface HoldRecord {
  readonly sid: Sid
  readonly contract: Sid
  readonly home: SiteName
  readonly host: SiteName
  readonly amount: Microcredits
  readonly tasks: number
  /** The home's own claim of when it asked. */
  readonly askedEpochMs: number
  readonly validUntilEpochMs: number
  readonly state: 'asked' | 'held' | 'done' | 'declined' | 'void'
  /** Index in this log of the entry that asked, and of the one that ended it (0 while open). */
  readonly index: number
  readonly endedIndex: number
  /** What was claimed for, cumulative. */
  readonly used: Usage
  readonly claimed: Microcredits
  readonly claimedFinal: 0 | 1
  /** When the host says it claimed last; 0 before. */
  readonly claimedEpochMs: number
  readonly accepted: Microcredits
  /** Claims at or after the last accepted one, oldest first; bounded by `openClaimsMax`. */
  readonly claims: readonly OpenClaim[]
  /** The allocation that pays; '' when the home's own credit does. */
  readonly grant: Sid | ''
  /** After the final usage: what the host asks for in the end, at most the claim. */
  readonly asks: Microcredits
  /** The newest word of a dispute, as it was said; '' when nothing is disputed. */
  readonly disputed: string
  /** What counts as accepted by the contract's clause; moves nothing by itself. */
  readonly clause: Microcredits
}

/**
 * A proposal that waits for the other's agreement; `n` is its number in its sequence, the date its
 * author's.
 */
export type Proposal = { readonly n: number, readonly atEpochMs: number } & (
  | {
    readonly kind: 'resolve'
    readonly from: SiteName
    readonly to: SiteName
    readonly hold: Sid
    readonly amount: Microcredits
  }
  | {
    readonly kind: 'settle'
    readonly from: SiteName
    readonly to: SiteName
    readonly creditor: SiteName
    readonly debtor: SiteName
    readonly amount: Microcredits
    readonly reference: string
  }
  | {
    readonly kind: 'reconcile'
    readonly from: SiteName
    readonly to: SiteName
    /** Where the author's sequence stood before the offer. */
    readonly e: number
    readonly prev: Sid | ''
    readonly state: Hash
    /** Index in this log: what had ended before it may be forgotten once it is agreed. */
    readonly index: number
  }
)

/** An allocation, and what this log has seen of it: all of it in the log of its grantee. */
export interface GrantRecord {
  readonly sid: Sid
  readonly authority: SiteName
  readonly grantee: SiteName
  readonly name: string
  readonly amount: Microcredits
  readonly startsEpochMs: number
  readonly untilEpochMs: number
  /** Asked or held, and not spent. */
  readonly held: Microcredits
  readonly spent: Microcredits
}

/** The newest bilateral checkpoint of a pair. */
export interface Reconciled {
  readonly sid: Sid
  /** Index of the agreement in this log. */
  readonly index: number
  readonly state: Hash
  readonly atEpochMs: number
}

/** What was agreed for the whole federation. */
export interface PolicyRecord {
  readonly sid: Sid
  readonly version: number
  readonly witnesses: readonly SiteName[]
  readonly quorum: number
  readonly authorities: readonly SiteName[]
}

/** What `debtor` owes and has reserved at `creditor`. All sums, never negative. */
export interface Account {
  readonly creditor: SiteName
  readonly debtor: SiteName
  /** Accepted in all; the balance of two sites is the difference of their two accounts. */
  readonly posted: Microcredits
  /** Asked and not yet answered. */
  readonly asked: Microcredits
  /** Held and not yet accepted. */
  readonly held: Microcredits
  /** Claimed and not yet accepted, a part of `held`. */
  readonly claimed: Microcredits
  /** Paid outside, or given up by the creditor. */
  readonly settled: Microcredits
}

export interface LedgerTables {
  /** key 'head' */
  ledgerHead: LedgerHead
  /**
   * key directionKey: `from>to`, for what is sent to or by the log's own site, and its own `site>*`
   */
  ledgerDirections: Direction
  /** key publicKey: public statements of anybody; those of others may arrive with gaps */
  ledgerPublics: { readonly sid: Sid, readonly prev: Sid | '' }
  /** key site */
  ledgerMembers: MemberKeys
  /** key site */
  ledgerAdmissions: Admission
  /** key sid */
  ledgerTariffs: KnownTariff
  /** key `creditor>debtor` */
  ledgerCredits: { readonly limit: Microcredits }
  /** key `creditor>debtor` */
  ledgerAccounts: Account
  /** key sid of the offer */
  ledgerContracts: ContractRecord
  /** key sid */
  ledgerHolds: HoldRecord
  /** key sid of the proposal: open ones only */
  ledgerProposals: Proposal
  /** key sid */
  ledgerGrants: GrantRecord
  /** key 'federation' */
  ledgerPolicy: PolicyRecord
  /** key pairKey */
  ledgerReconciled: Reconciled
  /** key site: the author of this log has seen it proven a liar, and gave it no credit since */
  ledgerFrozen: { readonly epoch: number, readonly sid: Sid }
  /** COLD, key entryKey(index): the leaf, a signed note */
  ledgerEntries: string
  /** COLD, key nodeKey(level, index): the hash of a complete subtree of 2^level leaves */
  ledgerNodes: Uint8Array
  /** COLD, key numberKey: the index of the entry with that number */
  ledgerNumbers: number
}

/** Written, never read by rules: too large for memory. */
export const coldLedgerTables: ReadonlySet<string> =
  new Set<keyof LedgerTables>(['ledgerEntries', 'ledgerNodes', 'ledgerNumbers'])

const headKey = 'head'
const indexDigits = 12

export function entryKey(index: number): string {
  return String(index).padStart(indexDigits, '0')
}

export function nodeKey(level: number, index: number): string {
  return `${String(level).padStart(2, '0')}/${entryKey(index)}`
}

export function directionKey(from: SiteName, to: string): string {
  return `${from}>${to}`
}

/** Of the public statement `n` of `site` in its epoch `e`. */
export function publicKey(site: SiteName, e: number, n: number): string {
  return numberKey(site, '*', { e, n })
}

/** Of any statement: nobody has two of one key, or has lied. */
export function numberKey(
  from: SiteName, to: string, at: { readonly e: number, readonly n: number },
): string {
  return `${directionKey(from, to)}#${at.e}/${entryKey(at.n)}`
}

/** Of two sites, whoever is named first. */
export function pairKey(left: SiteName, right: SiteName): string {
  return compareBytes(left, right) < 0 ? `${left}+${right}` : `${right}+${left}`
}

/** The log's head; undefined before `openLedger`. */
export function ledgerHead(view: View<LedgerTables>): LedgerHead | undefined {
  return view.get('ledgerHead', headKey)
}

/** The log's head where there must be one. */
export function openHead(view: View<LedgerTables>): LedgerHead {
  const head = ledgerHead(view)
  assert(head, 'the ledger is open before it is used')
  return head
}

/** Sets up a log that has no entries yet. */
export function putHead(view: View<LedgerTables>, head: LedgerHead): void {
  view.put('ledgerHead', headKey, head)
}

/** Appends one entry under the key of its number; gives its index. */
export function appendEntry(
  view: View<LedgerTables>, entry: { readonly note: string, readonly number: string },
): number {
  const index = openHead(view).frontier.size
  view.put('ledgerEntries', entryKey(index), entry.note)
  view.put('ledgerNumbers', entry.number, index)
  appendLeaf(view, Buffer.from(entry.note))
  return index
}

/** Grows the tree by one leaf. */
export function appendLeaf(view: View<LedgerTables>, leaf: Uint8Array): void {
  const head = openHead(view)
  const { frontier, nodes } = append(head.frontier, leaf)
  for (const node of nodes) view.put('ledgerNodes', nodeKey(node.level, node.index), node.hash)
  putHead(view, { ...head, frontier })
}

export function account(
  view: View<LedgerTables>, creditor: SiteName, debtor: SiteName,
): Account {
  return view.get('ledgerAccounts', directionKey(creditor, debtor)) ?? {
    creditor,
    debtor,
    posted: zeroMicrocredits,
    asked: zeroMicrocredits,
    held: zeroMicrocredits,
    claimed: zeroMicrocredits,
    settled: zeroMicrocredits,
  }
}

/** The text that the log key signs for the newest head. */
export function checkpointText(view: View<LedgerTables>): string {
  const { site, federation, epoch, frontier } = openHead(view)
  const origin = logOrigin(site, federation, epoch)
  return formatCheckpoint({ origin, size: frontier.size, rootHash: root(frontier) })
}
