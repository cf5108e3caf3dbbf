// A statement: what one site says about money or membership, in the exact bytes it signed. Field
// names are those that are signed (docs/LEDGER.md); amounts are decimal strings there and
// `Microcredits` here.
// Invariants: one author, one signature, one encoding; every statement but `federation` has a place
// in a gapless sequence of its author, one for each addressee and one for all (`to` is '*').

import type { FederationId, Sid, SiteName } from '../base/ids.ts'
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
  amount, hash, hex, integer, list, literal, oneOf, record, shaped, siteName, text, union, unshape,
} from '../base/shape.ts'
import type {
  AcceptFields, ContractAgree, ContractOffer, CreditFields, DeclinedFields, DigestFields,
  DisputeFields, EvidenceFields, FederationFields, GenesisFields, GrantFields, HeadsFields,
  HeldFields, HoldFields, KeyFields, PolicyFields, ReconcileFields, ResolveFields, SettleFields,
  SnapshotFields, TariffFields, UsageFields, VoidFields,
} from './statement-fields.ts'
import { everybody, evidenceKinds } from './statement-fields.ts'

export type * from './statement-fields.ts'
export { everybody, evidenceKinds }

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
  readonly dispute: DisputeFields
  readonly resolve: ResolveFields
  readonly settle: SettleFields
  readonly reconcile: ReconcileFields
}

/** The fields of each kind that concerns everybody and that the statement key signs. */
export interface PublicFields {
  readonly policy: PolicyFields
  readonly tariff: TariffFields
  readonly heads: HeadsFields
  readonly digest: DigestFields
  readonly snapshot: SnapshotFields
  readonly evidence: EvidenceFields
  readonly grant: GrantFields
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
/** New keys, signed by the root key. */
export type KeyStatement =
  { readonly kind: 'key', readonly to: typeof everybody } & Place & KeyFields
export type PublicStatement = { [K in keyof PublicFields]:
  { readonly kind: K, readonly to: typeof everybody } & Place & PublicFields[K]
}[keyof PublicFields]
export type PairStatement = { [K in keyof PairFields]:
  { readonly kind: K, readonly to: SiteName } & Place & PairFields[K]
}[keyof PairFields]
export type PlacedStatement = GenesisStatement | KeyStatement | PublicStatement | PairStatement
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
/** Of the federation's policy: a note carries sixteen signatures, the log's own among them. */
export const witnessesMax = 15
/** Heads in one statement: more would not fit into it. */
export const headsMax = 64
/** Of an arbiter's signed ruling. */
export const rulingBytesMax = 2_048
/** Names of allocations. */
export const grantNamePattern = /^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/
export const reasonBytesMax = 256
export const auctionPattern = /^[0-9a-z][0-9a-z.:-]{0,63}$/

const siteOrNobody = text({
  bytesMax: 63, pattern: /^$|^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/,
}) as Shape<SiteName | ''>
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
  key: record({
    ...toAll,
    statement: key,
    witness: key,
    last: list(record({ site: siteName(), n: count }), { max: limits.sitesMax }),
  }),
  policy: union('about', {
    admit: record({
      ...toAll, about: literal('admit'), admit: siteName(), root: key, genesis: hash(),
    }),
    federation: record({
      ...toAll,
      about: literal('federation'),
      version: count,
      witnesses: list(siteName(), { max: witnessesMax }),
      quorum: integer({ min: 0, max: witnessesMax }),
      authorities: list(siteName(), { max: witnessesMax }),
    }),
  }),
  heads: record({
    ...toAll,
    heads: list(record({ origin: text({ bytesMax: 255 }), size: count, root: hash() }), {
      max: headsMax,
    }),
  }),
  digest: record({ ...toAll, day: tally, count: tally, root: hash() }),
  snapshot: record({ ...toAll, size: count, state: hash() }),
  evidence: record({
    ...toAll, accused: siteName(), epoch: count, proof: oneOf(...evidenceKinds), doc: hash(),
  }),
  grant: record({
    ...toAll,
    grantee: siteName(),
    name: text({ bytesMax: 63, pattern: grantNamePattern }),
    amount: amount(),
    starts: epochMs,
    until: epochMs,
  }),
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
      interim_s: seconds,
      exposure_permille: integer({ min: 1, max: 1_000 }),
      auto_permille: integer({ min: 0, max: 1_000 }),
      arbiter: siteOrNobody,
    }),
    agree: record({ ...toOne, side: literal('agree'), contract: hash() }),
  }),
  hold: record({
    ...toOne,
    contract: hash(),
    amount: amount(),
    tasks: count,
    valid_until: epochMs,
    doc: hash(),
    grant: sidOrNothing,
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
  dispute: record({
    ...toOne, hold: hash(), usage: hash(), contested: amount(), reason, doc: sidOrNothing,
  }),
  resolve: union('side', {
    offer: record({ ...toOne, side: literal('offer'), hold: hash(), amount: amount() }),
    agree: record({ ...toOne, side: literal('agree'), resolve: hash() }),
    forgive: record({ ...toOne, side: literal('forgive'), hold: hash(), amount: amount() }),
    ruling: record({
      ...toOne,
      side: literal('ruling'),
      hold: hash(),
      amount: amount(),
      note: text({ bytesMax: rulingBytesMax }),
    }),
    clause: record({
      ...toOne,
      side: literal('clause'),
      hold: hash(),
      usage: hash(),
      amount: amount(),
      proof: sidOrNothing,
    }),
  }),
  settle: union('side', {
    offer: record({
      ...toOne,
      side: literal('offer'),
      amount: amount(),
      payer: oneOf('author', 'addressee'),
      reference: reason,
    }),
    agree: record({ ...toOne, side: literal('agree'), settle: hash() }),
    forgive: record({ ...toOne, side: literal('forgive'), amount: amount(), reference: reason }),
  }),
  reconcile: union('side', {
    offer: record({
      ...toOne, side: literal('offer'), issued: tally, received: tally, state: hash(),
    }),
    agree: record({ ...toOne, side: literal('agree'), reconcile: hash() }),
    close: record({
      ...toOne,
      side: literal('close'),
      epoch: integer({ min: 2, max: countMax }),
      ends: tally,
      received: tally,
      last: sidOrNothing,
      issued: tally,
      own: sidOrNothing,
    }),
  }),
}

/** The name under which a site's statement key signs in an epoch. */
export function statementSignerName(site: SiteName, epoch: number): string {
  return `${site}/gridnode/s${epoch}`
}

/** The name under which a site cosigns the heads of other logs. */
export function witnessSignerName(site: SiteName, epoch: number): string {
  return `${site}/gridnode/w${epoch}`
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
    case 'genesis':
    case 'key': return rootSignerName(statement.from)
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

/** A kind that this version knows. */
export function isStatementKind(kind: string): kind is StatementKind {
  return Object.hasOwn(bodies, kind)
}
