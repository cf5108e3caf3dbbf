// What two sites say to each other directly. The connection proves who speaks; what a third party
// must be able to check (offers, calls, bids, statements, jobs) travels inside as signed notes.
// Messages may be lost, doubled or late: each handler can take each message at any time, and each
// wait has a retry.

import { ordersOpenMax } from './job-orders.ts'
import type { Malformed } from '../base/encoding.ts'
import { decode, encode } from '../base/encoding.ts'
import { limits } from '../base/limits.ts'
import type { Outcome } from '../base/outcome.ts'
import type { Shaped } from '../base/shape.ts'
import {
  contractId, hash, hex, integer, list, oneOf, record, shaped, siteName, text, trancheId, union,
  unshape,
} from '../base/shape.ts'
import { tlogProofBytesMax } from '../base/tlog-proof.ts'
import { trancheDocumentShape } from '../rules/contract.ts'
import { evidenceBytesMax } from '../rules/evidence.ts'
import { jobNoteBytesMax } from '../rules/job.ts'
import { renewalsMax } from '../rules/membership.ts'
import { signalNames } from '../rules/request.ts'
import { taskReportShape } from '../rules/run.ts'

const note = text({ bytesMax: limits.statementBytes })
const count = integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const epoch = integer({ min: 1, max: 1_000_000_000 })
const ranges = text({ bytesMax: 65_536 })

/**
 * A member as it is passed on: its genesis, the policy that admits it ('' for the founder), and the
 * geneses of later epochs and changes of keys, in order.
 */
export const memberShape = record({
  genesis: note,
  policy: text({ bytesMax: limits.statementBytes }),
  addresses: list(text({ bytesMax: 256 }), { max: 16 }),
  renewals: list(note, { max: renewalsMax }),
})

export const reportShape = record({
  tranche: trancheId(),
  /** Grows with every change of the tranche at the host. */
  revision: count,
  phase: oneOf('waiting', 'staging', 'running', 'settling'),
  tasks: list(taskReportShape, { max: limits.tasksPerTranche }),
})

export const ackShape = record({
  tranche: trancheId(),
  /** The newest revision of the host's that the home has taken in. */
  revision: count,
  /**
   * go: run, the lease is renewed. stop: end what runs, claim what was used. lapsed: claim only
   * `taken`.
   */
  directive: oneOf('go', 'stop', 'lapsed'),
  lease_seconds: integer({ min: 0, max: 1_000_000_000 }),
  /** Tasks whose results are safe at the home. */
  taken: ranges,
})

/** Far more than a home tells for a tranche, and far less than what can be written. */
const orderNumberMax = 2 ** 48

export const orderShape = record({
  n: integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  verb: oneOf('hold', 'release', 'suspend', 'resume', 'signal', 'requeue', 'cancel'),
  /** Without SIG; '' for other verbs. */
  signal: oneOf('', ...signalNames),
  tasks: ranges,
})

/** Heads of third logs in one message; a checkpoint with its cosignatures has so many bytes. */
export const headsPerMessage = 64
export const headNoteBytesMax = 4_096
const headNote = text({ bytesMax: headNoteBytesMax })
const proof = list(hex({ bytes: 32 }), { max: 128 })
/** Receipts in one message, and statements whose receipts are asked for in one. */
export const receiptsPerMessage = 64
export const receiptNumbersMax = 256

const messageShape = union('kind', {
  /**
   * What I know of the federation; the other answers with what is newer. `members` and `offers` are
   * those of sites behind `after` up to and with `until`, by name; '' stands for no bound.
   */
  summary: record({
    after: text({ bytesMax: 63 }),
    until: text({ bytesMax: 63 }),
    members: hash(),
    charter: hash(),
    offers: list(record({ site: siteName(), sequence: count }), { max: limits.sitesMax }),
  }),
  members: record({ members: list(memberShape, { max: limits.sitesMax }) }),
  offers: record({ notes: list(text({ bytesMax: limits.offerBytes }), { max: limits.sitesMax }) }),
  announce: record({ note }),
  /** A bid or a refusal, with the tariff that a bid refers to ('' with a refusal). */
  answer: record({ note, tariff: text({ bytesMax: limits.statementBytes }) }),
  /** Told to every bidder that got nothing: its reservation is free again. */
  auction_closed: record({ auction: hex({ bytes: 8 }) }),
  /**
   * `have`: the last number of yours that I logged, of your epoch `have_e`; `heard`: whether I know
   * yours of mine.
   */
  statements: record({
    notes: list(note, { max: limits.statementsPerMessage }),
    have: count,
    have_e: epoch,
    heard: integer({ min: 0, max: 1 }),
  }),
  /**
   * What I have of the statements between us: say what comes after. `issued` are mine, `received`
   * yours; `cursor` is where your last answer left off among public statements, '' at first.
   */
  history_wanted: record({
    issued_e: epoch,
    issued: count,
    received_e: epoch,
    received: count,
    cursor: text({ bytesMax: 256 }),
  }),
  /** From my own log: what comes next of each kind, and whether that is all. */
  history: record({
    issued: list(note, { max: limits.statementsPerMessage }),
    issued_end: integer({ min: 0, max: 1 }),
    received: list(note, { max: limits.statementsPerMessage }),
    received_end: integer({ min: 0, max: 1 }),
    publics: list(note, { max: limits.statementsPerMessage }),
    publics_end: integer({ min: 0, max: 1 }),
    /** The next one was dropped from my log: mirrors have it. */
    pruned: integer({ min: 0, max: 1 }),
    cursor: text({ bytesMax: 256 }),
  }),
  /**
   * I have opened `epoch` and hold my statements to you up to `issued` of epoch `ends`, the last
   * one `last`, and yours up to `have` of `have_e`: if you do too, close my sequence.
   */
  close_wanted: record({
    epoch,
    ends: epoch,
    issued: count,
    last: text({ bytesMax: 64, pattern: /^([0-9a-f]{64})?$/ }),
    have: count,
    have_e: epoch,
  }),
  /** What a hold pays for; `job` is the owner's signed note. */
  documents: record({
    contract: contractId(),
    tranche: trancheId(),
    job: text({ bytesMax: jobNoteBytesMax }),
    document: trancheDocumentShape,
  }),
  documents_wanted: record({ tranche: trancheId() }),
  /** Policies and allocations that the other may lack. */
  charter: record({ notes: list(note, { max: limits.statementsPerMessage }) }),
  /** Show me your head: I hold this one of yours, and was shown that one ('' for none). */
  head_wanted: record({ known: headNote, also: headNote }),
  /** My head, and proofs that it continues the two of those sizes (0: nothing to prove). */
  head: record({ note: headNote, from: count, proof, also: count, also_proof: proof }),
  /** I have stored your head of this size: my signature line under its text. */
  cosigned: record({ size: count, root: hash(), line: text({ bytesMax: 512 }) }),
  /** A hold on an allocation, in a head that the witnesses have cosigned: a tlog-proof. */
  hold_proof: record({ hold: hash(), proof: text({ bytesMax: 16_384 }) }),
  /** Tlog-proofs that statements `n` of your epoch `e` to me stand in my log. */
  receipts: record({
    proofs: list(record({ e: epoch, n: count, proof: text({ bytesMax: tlogProofBytesMax }) }), {
      max: receiptsPerMessage,
    }),
  }),
  receipts_wanted: record({
    numbers: list(record({ e: epoch, n: count }), { max: receiptNumbersMax }),
  }),
  /** Heads that I hold of other logs. */
  heads: record({ notes: list(headNote, { max: headsPerMessage }) }),
  /** A proof that a site lied: a document that the receiver checks for itself. */
  evidence: record({ document: text({ bytesMax: evidenceBytesMax }) }),
  /** For which sites and epochs I have one. */
  evidence_known: record({
    known: list(record({ accused: siteName(), epoch: count }), { max: limits.sitesMax }),
  }),
  reports: record({ reports: list(reportShape, { max: 256 }) }),
  acks: record({ acks: list(ackShape, { max: 256 }) }),
  /** What the owner asks for tasks of a tranche, by number in order; again until it is answered. */
  control: record({ tranche: trancheId(), orders: list(orderShape, { max: ordersOpenMax }) }),
  /** All up to `through` was done, but those that were refused. */
  controlled: record({
    tranche: trancheId(),
    // A host that lost nothing says what we have told it; the next number must still be one.
    through: integer({ min: 0, max: orderNumberMax }),
    refused: list(record({ n: count, words: text({ bytesMax: 512 }) }), { max: ordersOpenMax }),
  }),
  /** No further tasks come under this contract: its idle slots are free again. */
  contract_closed: record({ contract: contractId() }),
})

export type Message = Shaped<typeof messageShape>
export type MessageOf<K extends Message['kind']> = Extract<Message, { kind: K }>
export type Report = Shaped<typeof reportShape>
export type Ack = Shaped<typeof ackShape>

export function encodeMessage(message: Message): string {
  return encode(unshape(message))
}

export function decodeMessage(encoded: string): Outcome<Message, Malformed> {
  const value = decode(encoded, { bytesMax: limits.messageBytes })
  return value.ok ? shaped(messageShape, value.value) : value
}
