// What each kind of statement says, beside its place: the names that are signed (docs/LEDGER.md)
// and what they mean. The shapes that hold these to the bytes are in statement.ts.

import type { Hash, Sid, SiteName } from '../base/ids.ts'
import type { Microcredits } from '../base/units.ts'

/** The addressee of what concerns everybody. */
export const everybody = '*'
export type Addressee = SiteName | typeof everybody

/** A site's public keys, 64 hexadecimal digits each; a key signs for one purpose only. */
export interface SiteKeys {
  readonly log: string
  readonly statement: string
  readonly witness: string
  readonly network: string
}

/**
 * How far the sequences with a counterparty went, as far as the site itself knew when it opened the
 * epoch: never more than the counterparty's own `close` says.
 */
export interface EpochClose {
  readonly site: SiteName
  readonly issued: number
  readonly received: number
}

/** The last number of one sequence between sites that the old key may have signed. */
export interface LastNumber {
  readonly site: SiteName
  readonly n: number
}

/** Names a federation and its founder's root key; entry 0 of every log, signed by that root. */
export interface FederationFields {
  readonly name: string
  readonly founder: SiteName
  readonly root: string
  /** 32 hexadecimal digits of chance, so that two federations of one name differ. */
  readonly nonce: string
}

/** Opens an epoch of the author's log; signed by its root key, number 1 of its public sequence. */
export interface GenesisFields {
  readonly root: string
  readonly keys: SiteKeys
  /** The genesis of the epoch before; '' in the first. */
  readonly previous: Sid | ''
  readonly closes: readonly EpochClose[]
}

/**
 * New keys within an epoch; signed by the root key. The old statement key counts in each sequence
 * up to the number in `last` (0 where none is named), and in the public one before this statement.
 */
export interface KeyFields {
  readonly statement: string
  readonly witness: string
  readonly last: readonly LastNumber[]
}

/** Admits a site under the root key and the genesis named here; the author is its sponsor. */
export interface AdmitPolicy {
  readonly about: 'admit'
  readonly admit: SiteName
  readonly root: string
  readonly genesis: Sid
}

/** The federation's own policy; only its founder says it, each version after the one before. */
export interface FederationPolicy {
  readonly about: 'federation'
  readonly version: number
  /** Whose cosignatures count, and how many of them are enough: more than two thirds. */
  readonly witnesses: readonly SiteName[]
  readonly quorum: number
  /** Who may grant allocations. */
  readonly authorities: readonly SiteName[]
}

export type PolicyFields = AdmitPolicy | FederationPolicy

/** Prices before normalisation, and the largest factor a contract may apply to them. */
export interface TariffFields {
  /** For each task started. */
  readonly task: Microcredits
  readonly core_hour: Microcredits
  readonly gib_hour: Microcredits
  readonly speed_permille: number
  readonly factor_permille_max: number
  readonly rounding: 'down'
}

/** Heads of other logs that the author has checked: a lower bound in time for what they hold. */
export interface HeadsFields {
  readonly heads: readonly { readonly origin: string, readonly size: number, readonly root: Hash }[]
}

/** The root of a day's salted local records: what they were can be shown later, one by one. */
export interface DigestFields {
  /** Days since the beginning of 1970, UTC. */
  readonly day: number
  readonly count: number
  readonly root: Hash
}

/** What the first `size` entries of the author's log add up to. */
export interface SnapshotFields {
  readonly size: number
  /** Hash of the canonical state (`bookState`). */
  readonly state: Hash
}

/** The author has seen a proof that a site lied in one of its epochs. */
export interface EvidenceFields {
  readonly accused: SiteName
  readonly epoch: number
  readonly proof: EvidenceKind
  /** Hash of the evidence document. */
  readonly doc: Hash
}

export const evidenceKinds = [
  'fork_head', 'fork_leaf', 'double_number', 'malformed', 'overcharge', 'fell',
] as const
export type EvidenceKind = typeof evidenceKinds[number]

/** An allocation: the grantee may spend so much with holds that name it. */
export interface GrantFields {
  readonly grantee: SiteName
  readonly name: string
  readonly amount: Microcredits
  /** Epoch ms; tell an auditor which holds were asked in time. */
  readonly starts: number
  readonly until: number
}

/** The most that the addressee may owe the author, from now on. */
export interface CreditFields {
  readonly limit: Microcredits
}

/** The home's side of a contract: the terms. */
export interface ContractOffer {
  readonly side: 'offer'
  /** Salted commitment to the job. */
  readonly job: Hash
  readonly auction: string
  /** SHA-256 of the host's bid, the whole note. */
  readonly bid: Hash
  /** The host's tariff that the charges follow. */
  readonly tariff: Sid
  readonly factor_permille: number
  readonly cores: number
  readonly memory_mib: number
  readonly walltime_s: number
  readonly lease_s: number
  /** How long a final usage may wait for the home's word before the clause below is due. */
  readonly accept_s: number
  readonly tasks_max: number
  /** How often the host claims while it runs. */
  readonly interim_s: number
  /** Of a hold's amount: what may be claimed and not accepted before the host stops. */
  readonly exposure_permille: number
  /** Of a hold's amount: at most this counts as accepted when the home stays silent; 0: nothing. */
  readonly auto_permille: number
  /** Who decides a dispute; '' for nobody. */
  readonly arbiter: SiteName | ''
}

/** The host's side: agrees to the terms of an offer. */
export interface ContractAgree {
  readonly side: 'agree'
  readonly contract: Sid
}

/** The home reserves credit for one tranche of tasks under a contract. */
export interface HoldFields {
  readonly contract: Sid
  readonly amount: Microcredits
  readonly tasks: number
  readonly valid_until: number
  /** Salted commitment to the tranche's document. */
  readonly doc: Hash
  /** The allocation that pays; '' for the home's own credit at the host. */
  readonly grant: Sid | ''
}

/** The host accepts a hold: from here the home's credit is in use. */
export interface HeldFields {
  readonly hold: Sid
}

/** The host turns a hold down; nothing is reserved any more. */
export interface DeclinedFields {
  readonly hold: Sid
  readonly reason: string
}

/** What was used, and the price of it by the tariff. */
export interface Usage {
  readonly tasks: number
  readonly core_s: number
  readonly gib_s: number
}

/** The host claims; everything is cumulative for the hold, and nothing follows a final one. */
export interface UsageFields extends Usage {
  readonly hold: Sid
  readonly amount: Microcredits
  readonly final: 0 | 1
  /** Salted commitment to the meter's record. */
  readonly meter: Hash
}

/**
 * The home accepts, cumulatively: this moves money. Final when it accepts a final usage in full.
 */
export interface AcceptFields {
  readonly hold: Sid
  readonly usage: Sid
  readonly amount: Microcredits
  readonly final: 0 | 1
}

/** The host gives a hold up before it has claimed anything. */
export interface VoidFields {
  readonly hold: Sid
  readonly reason: string
}

/** The home contests a part of a final usage; by the same word it accepts the rest. */
export interface DisputeFields {
  readonly hold: Sid
  readonly usage: Sid
  readonly contested: Microcredits
  readonly reason: string
  /** Salted commitment to what supports it; '' for nothing. */
  readonly doc: Hash | ''
}

/** Either proposes to end a hold at this amount. */
export interface ResolveOffer {
  readonly side: 'offer'
  readonly hold: Sid
  readonly amount: Microcredits
}

/** The other agrees to a proposal. */
export interface ResolveAgree {
  readonly side: 'agree'
  readonly resolve: Sid
}

/** The host asks for no more than this. */
export interface ResolveForgive {
  readonly side: 'forgive'
  readonly hold: Sid
  readonly amount: Microcredits
}

/** The word of the arbiter whom the contract names: a signed text (`ruling.ts`). */
export interface ResolveRuling {
  readonly side: 'ruling'
  readonly hold: Sid
  readonly amount: Microcredits
  readonly note: string
}

/** The host shows that the clause of the contract is due; the home's node then accepts. */
export interface ResolveClause {
  readonly side: 'clause'
  readonly hold: Sid
  readonly usage: Sid
  readonly amount: Microcredits
  /** Hash of what shows the times; '' when there is nothing but the author's word. */
  readonly proof: Hash | ''
}

export type ResolveFields =
  ResolveOffer | ResolveAgree | ResolveForgive | ResolveRuling | ResolveClause

/** Says that `amount` was paid outside, or set off; `payer` is the author or the addressee. */
export interface SettleOffer {
  readonly side: 'offer'
  readonly amount: Microcredits
  readonly payer: 'author' | 'addressee'
  /** Of the payment outside: a bank's, an invoice's. */
  readonly reference: string
}

export interface SettleAgree {
  readonly side: 'agree'
  readonly settle: Sid
}

/** A creditor alone gives up a part of what it is owed. */
export interface SettleForgive {
  readonly side: 'forgive'
  readonly amount: Microcredits
  readonly reference: string
}

export type SettleFields = SettleOffer | SettleAgree | SettleForgive

/** Where both sequences of a pair stand, and the hash of what they add up to. */
export interface ReconcileOffer {
  readonly side: 'offer'
  /** The author's own statements before this one, and those of the addressee that it holds. */
  readonly issued: number
  readonly received: number
  /** Hash of the canonical state of the pair (`pairState`). */
  readonly state: Hash
}

export interface ReconcileAgree {
  readonly side: 'agree'
  readonly reconcile: Sid
}

/**
 * The author takes no statement of the addressee from an epoch before `epoch` any more. A site that
 * has begun a new epoch itself may open its own sequence with one.
 */
export interface ReconcileClose {
  readonly side: 'close'
  readonly epoch: number
  /** The epoch that ends, and its last statement that the author holds; 0 and '' for none. */
  readonly ends: number
  readonly received: number
  readonly last: Sid | ''
  /** The author's own last statement before this one, in whatever epoch. */
  readonly issued: number
  readonly own: Sid | ''
}

export type ReconcileFields = ReconcileOffer | ReconcileAgree | ReconcileClose
