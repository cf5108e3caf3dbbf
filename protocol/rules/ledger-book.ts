// The book that the ledger's rules read and write: the log's head and tree, the members it knows,
// where each sequence stands, terms, holds and accounts.
// Invariants: a table listed in `coldLedgerTables` is written and never read here; an entry, its
// tree nodes, its index and the new head are written together; nothing is written when a rule
// refuses.

import type { FederationId, Sid, SiteName } from '../base/ids.ts'
import type { Frontier } from '../base/merkle.ts'
import { append, root } from '../base/merkle.ts'
import { formatCheckpoint } from '../base/checkpoint.ts'
import { assert } from '../base/assert.ts'
import type { View } from '../base/tables.ts'
import type { Microcredits } from '../base/units.ts'
import { zeroMicrocredits } from '../base/units.ts'
import type { ContractOffer, SiteKeys, TariffFields, Usage } from './statement.ts'
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

/** The newest statement of one sequence. */
export interface Direction {
  readonly n: number
  readonly sid: Sid
  /** What the author claimed, epoch ms; never falls within a sequence. */
  readonly at: number
}

/** A site whose genesis is in this log. */
export interface MemberKeys {
  readonly genesis: Sid
  readonly epoch: number
  readonly root: string
  readonly keys: SiteKeys
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
}

/** A contract: `agreed` once the host has said so. */
export interface ContractRecord {
  readonly sid: Sid
  readonly home: SiteName
  readonly host: SiteName
  readonly terms: ContractOffer
  readonly agreed: Sid | ''
}

/** A usage that the home has not yet accepted. */
export interface OpenClaim {
  readonly sid: Sid
  readonly amount: Microcredits
  readonly final: 0 | 1
}

/**
 * asked → held → ended (`done` by a final accept, `void` by the host); asked → ended (`declined`).
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
  /** Index in this log of the entry that asked. */
  readonly index: number
  /** What was claimed for, cumulative. */
  readonly used: Usage
  readonly claimed: Microcredits
  readonly claimedFinal: 0 | 1
  readonly accepted: Microcredits
  /** Claims at or after the last accepted one, oldest first; bounded by `openClaimsMax`. */
  readonly claims: readonly OpenClaim[]
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
  /** COLD, key entryKey(index): the leaf, a signed note */
  ledgerEntries: string
  /** COLD, key nodeKey(level, index): the hash of a complete subtree of 2^level leaves */
  ledgerNodes: Uint8Array
  /** COLD, key sid: the index of its entry */
  ledgerSids: number
}

/** Written, never read by rules: too large for memory. */
export const coldLedgerTables: ReadonlySet<string> =
  new Set<keyof LedgerTables>(['ledgerEntries', 'ledgerNodes', 'ledgerSids'])

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

export function publicKey(site: SiteName, n: number): string {
  return `${site}>*#${entryKey(n)}`
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

/** Appends one entry; gives its index. */
export function appendEntry(
  view: View<LedgerTables>, entry: { readonly note: string, readonly sid: Sid },
): number {
  const index = openHead(view).frontier.size
  view.put('ledgerEntries', entryKey(index), entry.note)
  view.put('ledgerSids', entry.sid, index)
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
  }
}

/** The text that the log key signs for the newest head. */
export function checkpointText(view: View<LedgerTables>): string {
  const { site, federation, epoch, frontier } = openHead(view)
  const origin = logOrigin(site, federation, epoch)
  return formatCheckpoint({ origin, size: frontier.size, rootHash: root(frontier) })
}
