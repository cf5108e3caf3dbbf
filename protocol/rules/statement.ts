// A statement: what one site says about money or membership, in the exact bytes it signed. Field
// names are those that are signed (docs/LEDGER.md); amounts are decimal strings there and
// `Microcredits` here.
// Invariants: one author, one signature, one encoding; every statement but `federation` has a place
// in a gapless sequence of its author, one for each addressee and one for all (`to` is '*').

import type { FederationId, Hash, Sid, SiteName } from '../base/ids.ts'
import type { KeyPair } from '../base/crypto.ts'
import type { Malformed } from '../base/encoding.ts'
import type { Sealed } from '../base/envelope.ts'
import { parseSealed, seal } from '../base/envelope.ts'
import { limits } from '../base/limits.ts'
import type { Signer } from '../base/note.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import type { Shape } from '../base/shape.ts'
import {
  amount, hash, hex, integer, list, literal, record, shaped, siteName, text, union, unshape,
} from '../base/shape.ts'
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

/** What a counterparty had issued and received when the previous epoch ended. */
export interface EpochClose {
  readonly site: SiteName
  readonly issued: number
  readonly received: number
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

/** Admits a site under the root key and the genesis named here; the author is its sponsor. */
export interface PolicyFields {
  readonly admit: SiteName
  readonly root: string
  readonly genesis: Sid
}

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
  readonly accept_s: number
  readonly tasks_max: number
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

/** The fields of each kind between two sites. */
export interface PairFields {
  readonly credit: CreditFields
  readonly contract: ContractOffer | ContractAgree
  readonly hold: HoldFields
  readonly held: HeldFields
  readonly declined: DeclinedFields
  readonly usage: UsageFields
  readonly accept: AcceptFields
  readonly void: VoidFields
}

/** The fields of each kind that concerns everybody and that the statement key signs. */
export interface PublicFields {
  readonly policy: PolicyFields
  readonly tariff: TariffFields
}

/** Where a statement stands. `at` is the author's own claim (epoch ms) and decides nothing. */
export interface Place {
  readonly e: number
  readonly fed: FederationId
  readonly from: SiteName
  readonly n: number
  readonly prev: Sid | ''
  readonly at: number
}

export type FederationStatement =
  { readonly kind: 'federation', readonly at: number } & FederationFields
export type GenesisStatement =
  { readonly kind: 'genesis', readonly to: typeof everybody } & Place & GenesisFields
export type PublicStatement = { [K in keyof PublicFields]:
  { readonly kind: K, readonly to: typeof everybody } & Place & PublicFields[K]
}[keyof PublicFields]
export type PairStatement = { [K in keyof PairFields]:
  { readonly kind: K, readonly to: SiteName } & Place & PairFields[K]
}[keyof PairFields]
export type PlacedStatement = GenesisStatement | PublicStatement | PairStatement
export type Statement = FederationStatement | PlacedStatement
export type StatementKind = Statement['kind']
export type StatementOf<K extends StatementKind> = Extract<Statement, { readonly kind: K }>

/** What an author wants to say; the ledger gives it its place. `at` in epoch ms. */
export type StatementInput =
  | { [K in keyof PublicFields]:
    { readonly kind: K, readonly to: typeof everybody, readonly at: number } & PublicFields[K]
  }[keyof PublicFields]
  | { [K in keyof PairFields]:
    { readonly kind: K, readonly to: SiteName, readonly at: number } & PairFields[K]
  }[keyof PairFields]

/** A statement with the bytes it came in, its syntax checked, its signature not yet. */
export interface ParsedStatement {
  readonly statement: Statement
  readonly sid: Sid
  readonly note: string
  readonly sealed: Sealed
}

export type StatementRefusal =
  Malformed | { readonly reason: 'unknown_kind', readonly kind: string }

const epochMsMax = 8_640_000_000_000_000
const secondsMax = 1_000_000_000
const countMax = 1_000_000_000
const usageMax = Number.MAX_SAFE_INTEGER
const closesMax = limits.sitesMax
export const reasonBytesMax = 256
export const auctionPattern = /^[0-9a-z][0-9a-z.:-]{0,63}$/

const sidOrNothing = text({ bytesMax: 64, pattern: /^([0-9a-f]{64})?$/ }) as Shape<Sid | ''>
const flag = integer({ min: 0, max: 1 }) as Shape<0 | 1>
const key = hex({ bytes: 32 })
const epochMs = integer({ min: 0, max: epochMsMax })
const seconds = integer({ min: 1, max: secondsMax })
const count = integer({ min: 1, max: countMax })
const tally = integer({ min: 0, max: usageMax })
const permille = integer({ min: 1, max: 1_000_000 })
const reason = text({ bytesMax: reasonBytesMax })

const place = {
  e: integer({ min: 1, max: countMax }),
  fed: hash(),
  from: siteName(),
  n: count,
  prev: sidOrNothing,
  at: epochMs,
}
const toAll = { ...place, to: literal(everybody) }
const toOne = { ...place, to: siteName() }

type Bodies = { readonly [K in StatementKind]: Shape<Omit<StatementOf<K>, 'kind'>> }
const bodies: Bodies = {
  federation: record({
    at: epochMs,
    name: text({ bytesMax: 63, pattern: /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/ }),
    founder: siteName(),
    root: key,
    nonce: hex({ bytes: 16 }),
  }),
  genesis: record({
    ...toAll,
    root: key,
    keys: record({ log: key, statement: key, witness: key, network: key }),
    previous: sidOrNothing,
    closes: list(record({ site: siteName(), issued: tally, received: tally }), { max: closesMax }),
  }),
  policy: record({ ...toAll, admit: siteName(), root: key, genesis: hash() }),
  tariff: record({
    ...toAll,
    task: amount(),
    core_hour: amount(),
    gib_hour: amount(),
    speed_permille: permille,
    factor_permille_max: permille,
    rounding: literal('down'),
  }),
  credit: record({ ...toOne, limit: amount() }),
  contract: union('side', {
    offer: record({
      ...toOne,
      side: literal('offer'),
      job: hash(),
      auction: text({ bytesMax: 64, pattern: auctionPattern }),
      bid: hash(),
      tariff: hash(),
      factor_permille: permille,
      cores: count,
      memory_mib: count,
      walltime_s: seconds,
      lease_s: seconds,
      accept_s: seconds,
      tasks_max: count,
    }),
    agree: record({ ...toOne, side: literal('agree'), contract: hash() }),
  }),
  hold: record({
    ...toOne, contract: hash(), amount: amount(), tasks: count, valid_until: epochMs, doc: hash(),
  }),
  held: record({ ...toOne, hold: hash() }),
  declined: record({ ...toOne, hold: hash(), reason }),
  usage: record({
    ...toOne,
    hold: hash(),
    amount: amount(),
    final: flag,
    tasks: tally,
    core_s: tally,
    gib_s: tally,
    meter: hash(),
  }),
  accept: record({ ...toOne, hold: hash(), usage: hash(), amount: amount(), final: flag }),
  void: record({ ...toOne, hold: hash(), reason }),
}

/** The name under which a site's statement key signs in an epoch. */
export function statementSignerName(site: SiteName, epoch: number): string {
  return `${site}/gridnode/s${epoch}`
}

/** The name under which a site's root key signs. */
export function rootSignerName(site: SiteName): string {
  return `${site}/gridnode/root`
}

/** The origin of a site's checkpoints: the name of its log, and of the key that signs them. */
export function logOrigin(site: SiteName, federation: FederationId, epoch: number): string {
  return `${site}/gridnode/${federation.slice(0, 16)}/e${epoch}`
}

export function statementSigner(site: SiteName, epoch: number, key: KeyPair): Signer {
  return { name: statementSignerName(site, epoch), key }
}

export function rootSigner(site: SiteName, key: KeyPair): Signer {
  return { name: rootSignerName(site), key }
}

/** The one name that may have signed `statement`. */
export function signerNameOf(statement: Statement): string {
  switch (statement.kind) {
    case 'federation': return rootSignerName(statement.founder)
    case 'genesis': return rootSignerName(statement.from)
    default: return statementSignerName(statement.from, statement.e)
  }
}

/** Syntax: canonical, bounded, of a known kind, with exactly the fields of its kind [LEDGER-1]. */
export function parseStatement(note: string): Outcome<ParsedStatement, StatementRefusal> {
  const parsed = parseSealed(note, { bytesMax: limits.statementBytes })
  if (!parsed.ok) return parsed
  const sealed = parsed.value
  if (!isStatementKind(sealed.kind)) return refuse({ reason: 'unknown_kind', kind: sealed.kind })
  const body = shaped<object>(bodies[sealed.kind], sealed.body)
  if (!body.ok) return body
  const statement = { kind: sealed.kind, ...body.value } as Statement
  return ok({ statement, sid: sealed.sid, note, sealed })
}

/** Signs a statement that has its place; refused when its own syntax would be refused elsewhere. */
export function sealStatement(
  statement: Statement, signer: Signer,
): Outcome<ParsedStatement, StatementRefusal> {
  const { kind, ...body } = statement
  return parseStatement(seal(kind, unshape(body), signer).note)
}

function isStatementKind(kind: string): kind is StatementKind {
  return Object.hasOwn(bodies, kind)
}
