// Proof that a site lied: one text that convinces whoever has the site's keys, with nothing else to
// look up. The node that finds it, those that hear of it and an auditor without a node all decide
// by the one function here.
//
// [EVIDENCE-1] A proof is what the accused's own signatures make impossible together; it counts
//   only if each is valid by the keys that the accused had at that very place of its log.
// [EVIDENCE-2] The contents must differ: the same bytes twice, one statement with two encodings,
//   heads of two sizes, numbers of two epochs or directions prove nothing. Nor does silence.

import type { Checkpoint } from '../base/checkpoint.ts'
import { parseCheckpoint } from '../base/checkpoint.ts'
import { fromHex, sameBytes, sha256Hex } from '../base/crypto.ts'
import type { Malformed } from '../base/encoding.ts'
import { decode, encode } from '../base/encoding.ts'
import { verifySealed } from '../base/envelope.ts'
import type { FederationId, Hash, SiteName } from '../base/ids.ts'
import { parseSiteName } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { OpenNote, Verifier } from '../base/note.ts'
import { formatNote, parseNote, verifyNote } from '../base/note.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import type { Shaped } from '../base/shape.ts'
import { record, shaped, text, union, unshape } from '../base/shape.ts'
import type { View } from '../base/tables.ts'
import { parseTlogProof, tlogProofBytesMax, verifyTlogProof } from '../base/tlog-proof.ts'
import type { LedgerTables, MemberKeys } from './ledger-book.ts'
import { openHead } from './ledger-book.ts'
import { keysAt, logVerifier, withKeys } from './ledger-keys.ts'
import type { EvidenceKind, PlacedStatement, StatementOf } from './statement.ts'
import {
  everybody, isStatementKind, parseStatement, signerNameOf, statementSignerName,
} from './statement.ts'
import { price } from './tariff.ts'

/** Four notes, each of them with every quotation mark escaped, and the names. */
export const evidenceBytesMax = 144 * 1024
const headBytesMax = 16 * 1024

const note = text({ bytesMax: limits.statementBytes })
const head = text({ bytesMax: headBytesMax })
const included = record({ leaf: note, proof: text({ bytesMax: tlogProofBytesMax }) })

const evidenceShape = union('kind', {
  /** Two checkpoints of one log and one size. */
  fork_head: record({ first: head, second: head }),
  /** Two entries at one place of one log, each with its receipt. */
  fork_leaf: record({ first: included, second: included }),
  /** Two statements with one number. */
  double_number: record({ first: note, second: note }),
  /** One text that its author must not have signed. */
  malformed: record({ note }),
  /** A claim that is not the price of what it says was used, or for more tasks than were asked. */
  overcharge: record({ usage: note, hold: note, contract: note, tariff: note }),
  /** Two claims on one hold, the later of which says less. */
  fell: record({ first: note, second: note }),
})

export type Evidence = Shaped<typeof evidenceShape>
type EvidenceOf<K extends EvidenceKind> = Extract<Evidence, { readonly kind: K }>

/** What a proof is held against. */
export interface EvidenceContext {
  readonly federation: FederationId
  readonly founder: SiteName
  /** All keys that a member has had, as far as they are known; undefined for a stranger. */
  keysOf(site: SiteName): MemberKeys | undefined
}

export interface ProvenLie {
  readonly accused: SiteName
  /** Of the accused. */
  readonly epoch: number
  readonly kind: EvidenceKind
  /** One sentence for people. */
  readonly what: string
  /** Hash of the document: what an `evidence` statement names. */
  readonly doc: Hash
}

/** Why a document proves nothing, in the order of the checks. */
export type EvidenceRefusal =
  | Malformed
  /** Its admission, or the genesis of its epoch, has not been seen: it may still come. */
  | { readonly reason: 'unknown_site', readonly detail: string }
  | { readonly reason: 'other_federation', readonly detail: string }
  /** Not signed by the key that is valid for that place. */
  | { readonly reason: 'bad_signature', readonly detail: string }
  /** All is genuine, and no two things contradict each other. */
  | { readonly reason: 'proves_nothing', readonly detail: string }

type Refused = { readonly ok: false, readonly refusal: EvidenceRefusal }
type Checked<T> = Outcome<T, EvidenceRefusal>
type Lie = Omit<ProvenLie, 'kind' | 'doc'>

/** What the log behind `view` knows. */
export function evidenceContext(view: View<LedgerTables>): EvidenceContext {
  const { federation, founder } = openHead(view)
  return { federation, founder, keysOf: (site) => view.get('ledgerMembers', site) }
}

/** The one text of a document. */
export function encodeEvidence(evidence: Evidence): string {
  return encode(unshape(evidence))
}

export function readEvidence(document: string): Outcome<Evidence, Malformed> {
  const value = decode(document, { bytesMax: evidenceBytesMax })
  return value.ok ? shaped(evidenceShape, value.value) : value
}

/** Whether the document proves a lie, and whose. Pure: everybody comes to the same answer. */
export function checkEvidence(document: string, context: EvidenceContext): Checked<ProvenLie> {
  const read = readEvidence(document)
  if (!read.ok) return read
  const lie = lieIn(read.value, context)
  if (!lie.ok) return lie
  return ok({ ...lie.value, kind: read.value.kind, doc: sha256Hex(document) })
}

function lieIn(evidence: Evidence, context: EvidenceContext): Checked<Lie> {
  switch (evidence.kind) {
    case 'fork_head': return forkedHead(evidence, context)
    case 'fork_leaf': return forkedLeaf(evidence, context)
    case 'double_number': return doubleNumber(evidence, context)
    case 'malformed': return malformedText(evidence, context)
    case 'overcharge': return overcharge(evidence, context)
    case 'fell': return fallingUsage(evidence, context)
  }
}

function forkedHead(
  { first, second }: EvidenceOf<'fork_head'>, context: EvidenceContext,
): Checked<Lie> {
  const one = openedHead(first, context)
  if (!one.ok) return one
  const two = openedHead(second, context)
  if (!two.ok) return two
  const [left, right] = [one.value.checkpoint, two.value.checkpoint]
  if (left.origin !== right.origin) return nothing('the heads are of two logs')
  if (left.size !== right.size) return nothing('the heads are of two sizes')
  if (sameBytes(left.rootHash, right.rootHash)) return nothing('it is the same head twice')
  const { site: accused, epoch } = one.value.log
  return ok({ accused, epoch, what: `signed two heads of its log with ${left.size} entries` })
}

function forkedLeaf(
  { first, second }: EvidenceOf<'fork_leaf'>, context: EvidenceContext,
): Checked<Lie> {
  const one = openedReceipt(first, context)
  if (!one.ok) return one
  const two = openedReceipt(second, context)
  if (!two.ok) return two
  if (one.value.log.origin !== two.value.log.origin) return nothing('the entries are of two logs')
  if (one.value.index !== two.value.index) return nothing('the entries have two places')
  if (first.leaf === second.leaf) return nothing('it is the same entry twice')
  const { site: accused, epoch } = one.value.log
  const what = `signed heads of its log with two different entries number ${one.value.index}`
  return ok({ accused, epoch, what })
}

interface NamedLog {
  readonly origin: string
  readonly site: SiteName
  readonly epoch: number
  readonly verifier: Verifier
}

/** The log that an origin names, with the key that signs its heads. */
function logOf(origin: string, context: EvidenceContext): Checked<NamedLog> {
  const [name = '', , fed = ''] = origin.split('/')
  const site = parseSiteName(name)
  const epoch = Number(/\/e([1-9][0-9]{0,9})$/.exec(origin)?.[1])
  if (!site || !Number.isSafeInteger(epoch)) {
    return refuse({ reason: 'malformed', detail: 'the head is not of a log of gridnode' })
  }
  if (fed !== context.federation.slice(0, 16)) return otherFederation(fed)
  const member = context.keysOf(site)
  const at = { fed: context.federation, epoch }
  const verifier = member && logVerifier(member, site, at)
  if (!verifier) return unknownSite(site, epoch)
  return verifier.name === origin
    ? ok({ origin, site, epoch, verifier })
    : refuse({ reason: 'malformed', detail: 'the head is not of a log of gridnode' })
}

function openedHead(
  signed: string, context: EvidenceContext,
): Checked<{ readonly log: NamedLog, readonly checkpoint: Checkpoint }> {
  const open = parseNote(signed, { bytesMax: headBytesMax })
  if (!open.ok) return open
  const checkpoint = parseCheckpoint(open.value.text)
  if (!checkpoint.ok) return checkpoint
  const log = logOf(checkpoint.value.origin, context)
  if (!log.ok) return log
  return verifyNote(open.value, log.value.verifier)
    ? ok({ log: log.value, checkpoint: checkpoint.value })
    : unsigned(log.value.origin)
}

function openedReceipt(
  { leaf, proof: receipt }: Shaped<typeof included>, context: EvidenceContext,
): Checked<{ readonly log: NamedLog, readonly index: number }> {
  const proof = parseTlogProof(receipt)
  if (!proof.ok) return proof
  const checkpoint = parseCheckpoint(proof.value.note.text)
  if (!checkpoint.ok) return checkpoint
  const log = logOf(checkpoint.value.origin, context)
  if (!log.ok) return log
  const claim = { leaf: Buffer.from(leaf), log: log.value.verifier }
  const proven = verifyTlogProof(proof.value, claim)
  if (proven.ok) return ok({ log: log.value, index: proven.value.index })
  const { refusal } = proven
  return refusal.reason === 'bad_signature' ? unsigned(log.value.origin) : nothing(refusal.detail)
}

interface OpenedStatement {
  readonly statement: PlacedStatement
  readonly sid: Hash
}

/** A statement that is valid for its place; `member` replaces the author's keys as known. */
function opened(
  signed: string, context: EvidenceContext, member?: MemberKeys,
): Checked<OpenedStatement> {
  const parsed = parseStatement(signed)
  if (!parsed.ok) {
    const { refusal } = parsed
    return refuse(refusal.reason === 'malformed' ? refusal
      : { reason: 'malformed', detail: `a statement of unknown kind ${refusal.kind}` })
  }
  const { statement, sid, sealed } = parsed.value
  if (statement.kind === 'federation') return nothing('a federation statement has no number')
  const { from, fed } = statement
  if (fed !== context.federation) return otherFederation(fed)
  const keys = member ?? context.keysOf(from)
  const key = keys && keyFor(keys, statement)
  if (!key) return unknownSite(from, statement.e)
  const name = signerNameOf(statement)
  const isSigned = sealed.signerName === name
    && verifySealed(sealed, { name, publicKey: fromHex(key) ?? new Uint8Array() })
  return isSigned ? ok({ statement, sid }) : unsigned(name)
}

function keyFor(member: MemberKeys, said: PlacedStatement): string | undefined {
  const isByRoot = said.kind === 'genesis' || said.kind === 'key'
  return isByRoot ? member.root : keysAt(member, said)?.statement
}

function doubleNumber(
  { first, second }: EvidenceOf<'double_number'>, context: EvidenceContext,
): Checked<Lie> {
  const one = opened(first, context)
  if (!one.ok) return one
  const two = opened(second, context)
  if (!two.ok) return two
  const [left, right] = [one.value, two.value]
  const { from: accused, to, e: epoch, n } = left.statement
  if (left.sid === right.sid) return nothing('it is the same statement twice')
  if (right.statement.from !== accused) return nothing('the statements are of two sites')
  if (right.statement.to !== to) return nothing('the statements are of two sequences')
  if (right.statement.e !== epoch) return nothing('the statements are of two epochs')
  if (right.statement.n !== n) return nothing('the statements have two numbers')
  for (const { statement } of [left, right]) {
    // A member is admitted with one genesis; what else its root key signed before nobody has taken.
    if (statement.kind === 'genesis' && epoch === 1 && accused !== context.founder) {
      return nothing('nobody was admitted with the other genesis')
    }
    const revoked = statement.kind === 'key' ? revokedBy(statement, context) : undefined
    if (!revoked) continue
    // Whoever has stolen the key may have said something under this very number.
    const other = opened(statement === left.statement ? second : first, context, revoked)
    if (!other.ok) return other
  }
  const where = to === everybody ? 'to everybody' : `to ${to}`
  return ok({ accused, epoch, what: `signed two statements number ${n} ${where}` })
}

/** The author's keys once `said` counts; undefined when it is known already. */
function revokedBy(
  said: StatementOf<'key'>, context: EvidenceContext,
): MemberKeys | undefined {
  const member = context.keysOf(said.from)
  if (!member || member.epoch !== said.e) return undefined
  const isKnown = member.retired.some(({ epoch, endedBy }) =>
    epoch === said.e && endedBy === said.n)
  return isKnown ? undefined : withKeys(member, said)
}

/** Only the text and its one valid signature count: whatever stands around it others can change. */
function malformedText(
  { note: signed }: EvidenceOf<'malformed'>, context: EvidenceContext,
): Checked<Lie> {
  const open = parseNote(signed, { bytesMax: limits.statementBytes })
  if (!open.ok) return open
  const kind = /^gridnode\/v1\/([a-z][a-z0-9_-]*)\n/.exec(open.value.text)?.[1] ?? ''
  if (!isStatementKind(kind) || isRootSigned(kind)) {
    return nothing('a text of this kind may be anything')
  }
  const author = authorOf(open.value, context)
  if (!author.ok) return author
  const { signature, site: accused, epoch } = author.value
  const alone = formatNote({ text: open.value.text, signatures: [signature] })
  const parsed = parseStatement(alone)
  if (parsed.ok) return nothing('the statement is well formed')
  if (parsed.refusal.reason !== 'malformed') return nothing('a text of this kind may be anything')
  const what = `signed a ${kind} that is none: ${parsed.refusal.detail}`
  return ok({ accused, epoch, what })
}

function isRootSigned(kind: string): boolean {
  return kind === 'federation' || kind === 'genesis' || kind === 'key'
}

/** Whose valid statement key has signed a text that has no number to go by. */
function authorOf(open: OpenNote, context: EvidenceContext): Checked<{
  readonly site: SiteName
  readonly epoch: number
  readonly signature: OpenNote['signatures'][number]
}> {
  for (const signature of open.signatures) {
    const [name = '', , last = ''] = signature.name.split('/')
    const site = parseSiteName(name)
    const epoch = Number(/^s([1-9][0-9]{0,9})$/.exec(last)?.[1])
    if (!site || signature.name !== statementSignerName(site, epoch)) continue
    const member = context.keysOf(site)
    const key = member && standingKey(member, epoch)
    if (!key) return unknownSite(site, epoch)
    const verifier = { name: signature.name, publicKey: fromHex(key) ?? new Uint8Array() }
    const alone = { text: open.text, signatures: [signature] }
    if (verifyNote(alone, verifier)) return ok({ site, epoch, signature })
  }
  return unsigned('the accused')
}

/** Of an epoch the newest key: one that was taken back may be in the hands of its thief. */
function standingKey(member: MemberKeys, epoch: number): string | undefined {
  if (epoch === member.epoch) return member.keys.statement
  return member.retired.find((era) => era.epoch === epoch && era.endedBy === 0)?.keys.statement
}

function overcharge(evidence: EvidenceOf<'overcharge'>, context: EvidenceContext): Checked<Lie> {
  const usage = openedAs('usage', evidence.usage, context)
  if (!usage.ok) return usage
  const hold = openedAs('hold', evidence.hold, context)
  if (!hold.ok) return hold
  const contract = openedAs('contract', evidence.contract, context)
  if (!contract.ok) return contract
  const tariff = openedAs('tariff', evidence.tariff, context)
  if (!tariff.ok) return tariff
  const [said, asked, terms, rates] = [
    usage.value.said, hold.value.said, contract.value.said, tariff.value.said,
  ]
  if (terms.side !== 'offer') return nothing('the contract is not an offer')
  const { from: host, to: home } = said
  const belongs = said.hold === hold.value.sid && asked.contract === contract.value.sid
    && terms.tariff === tariff.value.sid && rates.from === host
    && [asked, terms].every(({ from, to }) => from === home && to === host)
  if (!belongs) return nothing('usage, hold, contract and tariff do not belong together')
  const claim = { accused: host, epoch: said.e }
  if (said.tasks > asked.tasks) {
    const what = `claimed for ${said.tasks} tasks on a hold for ${asked.tasks}`
    return ok({ ...claim, what })
  }
  const charge = price(rates, terms.factor_permille, said)
  const due = charge > asked.amount ? asked.amount : charge
  if (said.amount === due) return nothing('the amount is the price of the usage')
  const what = `claimed ${said.amount} microcredits for what costs ${due} by its own tariff`
  return ok({ ...claim, what })
}

function fallingUsage(
  { first, second }: EvidenceOf<'fell'>, context: EvidenceContext,
): Checked<Lie> {
  const one = openedAs('usage', first, context)
  if (!one.ok) return one
  const two = openedAs('usage', second, context)
  if (!two.ok) return two
  const [before, after] = [one.value.said, two.value.said]
  const { from: accused, to, e: epoch } = before
  if (after.from !== accused || after.to !== to) return nothing('the claims are of two sequences')
  if (after.e !== epoch) return nothing('the claims are of two epochs')
  if (after.hold !== before.hold) return nothing('the claims are on two holds')
  if (after.n <= before.n) return nothing('the second claim is not the later one')
  const fields = ['tasks', 'core_s', 'gib_s', 'amount'] as const
  const field = fields.find((name) => after[name] < before[name])
  if (!field) return nothing('nothing fell')
  const what = `claimed ${field} ${before[field]} and later only ${after[field]} on one hold`
  return ok({ accused, epoch, what })
}

function openedAs<K extends 'usage' | 'hold' | 'contract' | 'tariff'>(
  kind: K, signed: string, context: EvidenceContext,
): Checked<{ readonly said: StatementOf<K>, readonly sid: Hash }> {
  const statement = opened(signed, context)
  if (!statement.ok) return statement
  const { statement: said, sid } = statement.value
  if (said.kind !== kind) return nothing(`expected a ${kind}, got a ${said.kind}`)
  return ok({ said: said as StatementOf<K>, sid })
}

function nothing(detail: string): Refused {
  return refuse({ reason: 'proves_nothing', detail })
}

function unsigned(name: string): Refused {
  return refuse({ reason: 'bad_signature', detail: `not signed by a valid key of ${name}` })
}

function otherFederation(fed: string): Refused {
  const detail = `of federation ${fed.slice(0, 16)}`
  return refuse({ reason: 'other_federation', detail })
}

function unknownSite(site: SiteName, epoch: number): Refused {
  const detail = `no keys of ${site} in epoch ${epoch} are known`
  return refuse({ reason: 'unknown_site', detail })
}
