// What the local API asks of the node: one method a call, with input that was checked for shape.
// The rules (who may cancel, which id is meant, is there room) are decided behind it.
//
// A refusal is a value with one of the closed words below; a thrown error is our own fault and is
// answered with `internal`. A stream that was granted stops as soon as its signal fires.

import type { Hash, SiteName } from '../../protocol/base/ids.ts'
import type { Outcome } from '../../protocol/base/outcome.ts'
import type { Microcredits } from '../../protocol/base/units.ts'
import type { OperatorWord } from '../../protocol/machine/operator-word.ts'
import type { PolicyWish } from '../../protocol/machine/events.ts'
import type { GrantFields } from '../../protocol/rules/statement.ts'
import type {
  EvidenceDocument, EvidenceRow, ExportAnswer, FederationAnswer, InviteAnswer, JobDetail,
  JobEvent, JobSummary, LedgerEntryRow, LedgerNote, LedgerSummary, NodeInfo, OfferRow, OpenRow,
  PeerRow,
  ResultFile, SpokenAnswer, SubmitAnswer, WhyAnswer,
} from './api.ts'
import type {
  DigestAnswer, DocumentsAnswer, PairAnswer, PruneAnswer, ReceiptAnswer, SnapshotAnswer,
} from './api.ts'
import type { AskAnswer, AskBody } from './verb-api.ts'
import type { BatchRow, ResultTree } from './batch-api.ts'
import type { ReloadAnswer } from './site-api.ts'

/** The closed words of `ApiError`, each with its HTTP status. */
export const apiStatus = {
  malformed: 400,
  bad_expression: 400,
  bad_signature: 403,
  not_owner: 403,
  /** The administrator's, who has a socket of his own where others may use the node, too. */
  not_admin: 403,
  not_found: 404,
  method_not_allowed: 405,
  /** A prefix that several ids have. */
  ambiguous: 409,
  /** It is there already, or not in a state that allows it. */
  conflict: 409,
  too_slow: 408,
  too_large: 413,
  headers_too_large: 431,
  /** Jobs, connections or bodies in flight are at their bound; later may do. */
  busy: 503,
  stopping: 503,
  spool_full: 507,
  internal: 500,
  /** The other site is not connected, or did not answer. */
  peer_down: 502,
  /** The node did not answer in time; what was asked may still happen. */
  timeout: 504,
} as const

export type ApiReason = keyof typeof apiStatus

export interface ApiRefusal {
  readonly reason: ApiReason
  /** What was expected, what came, what to do next. */
  readonly detail: string
}

export type Reply<T> = Promise<Outcome<T, ApiRefusal>>

export interface JobsQuery {
  readonly state: 'open' | 'ended' | 'all'
  readonly user: string | undefined
  /** 1 to 1,000. */
  readonly limit: number
}

export interface BatchQuery {
  /** Whole ids; undefined = all. */
  readonly jobs: readonly string[] | undefined
  readonly state: 'open' | 'all'
  readonly user: string | undefined
  readonly limit: number
}

export interface LogQuery {
  /** Undefined for the one task of a single job. */
  readonly task: number | undefined
  readonly stream: 'stdout' | 'stderr'
  /** Go on until the task has ended. */
  readonly follow: boolean
}

export interface EntriesQuery {
  readonly from: number
  /** 1 to 1,000. */
  readonly limit: number
}

export interface PruneQuery {
  readonly below: number
  /** Absolute directories. */
  readonly mirrors: readonly string[]
  /** No less than the config's. */
  readonly retentionSeconds: number | undefined
}

export interface FileStream {
  /** When it is known: the stream then has exactly so many bytes. */
  readonly sizeBytes: number | undefined
  readonly bytes: AsyncIterable<Uint8Array>
}

/** Ids are 4 to 12 hexadecimal digits: an id or a prefix of one. */
export interface LocalNode {
  info(): Reply<NodeInfo>
  chunksMissing(hashes: readonly Hash[]): Reply<readonly Hash[]>
  /** Refused with `malformed` unless `bytes` have this hash. */
  putChunk(hash: Hash, bytes: Uint8Array): Reply<void>
  /** The same note again gives the same answer. */
  submit(note: string): Reply<SubmitAnswer>
  /** Newest first. */
  jobs(query: JobsQuery): Reply<readonly JobSummary[]>
  job(id: string): Reply<JobDetail>
  why(id: string): Reply<WhyAnswer>
  cancel(id: string, note: string): Reply<JobDetail>
  /** What an owner asks of a job here or elsewhere; `isOperator`: of any job that is here. */
  ask(body: AskBody, isOperator: boolean): Reply<AskAnswer>
  events(id: string, signal: AbortSignal): Reply<AsyncIterable<JobEvent>>
  log(id: string, query: LogQuery, signal: AbortSignal): Reply<AsyncIterable<Uint8Array>>
  results(id: string): Reply<readonly ResultFile[]>
  /** `path` as `results` gave it. */
  resultFile(id: string, path: string, signal: AbortSignal): Reply<FileStream>
  /** Newest first; jobs that are not known are left out. */
  batch(query: BatchQuery): Reply<readonly BatchRow[]>
  /** `conflict` while the task has not ended. */
  tree(id: string, task: number): Reply<ResultTree>
  treeFile(
    id: string, file: { readonly task: number; readonly path: string }, signal: AbortSignal,
  ): Reply<FileStream>
  /** All when `where` is undefined; `bad_expression` with the position. */
  offers(where: string | undefined): Reply<readonly OfferRow[]>
  peers(): Reply<readonly PeerRow[]>
  ledger(): Reply<LedgerSummary>
  ledgerEntries(query: EntriesQuery): Reply<readonly LedgerEntryRow[]>
  /** All entries from this index on, in order. */
  ledgerNotes(from: number, signal: AbortSignal): Reply<AsyncIterable<LedgerNote>>
  /** `entry` is a sid or an index of our own log. */
  ledgerReceipt(entry: string): Reply<ReceiptAnswer>
  ledgerDigest(day: number): Reply<DigestAnswer>
  ledgerDocuments(job: string): Reply<DocumentsAnswer>
  ledgerSnapshot(): Reply<SnapshotAnswer>
  ledgerPrune(wish: PruneQuery): Reply<PruneAnswer>
  ledgerPair(site: SiteName): Reply<PairAnswer>
  /** `directory` is absolute; `conflict` when there is something else of that name. */
  ledgerExport(directory: string): Reply<ExportAnswer>
  /** A file of a member's log, or of our own, as tlog-tiles names it: `checkpoint`, `tile/…`. */
  siteLogFile(site: SiteName, path: string, signal: AbortSignal): Reply<FileStream>
  federation(): Reply<FederationAnswer>
  setPolicy(policy: PolicyWish): Reply<{ readonly sid: Hash }>
  grantAllocation(grant: GrantFields): Reply<{ readonly sid: Hash }>
  /** Proofs of lies, oldest first. */
  evidence(): Reply<readonly EvidenceRow[]>
  evidenceDocument(doc: Hash): Reply<EvidenceDocument>
  ledgerOpen(): Reply<readonly OpenRow[]>
  /** The same word again says nothing new; `conflict` with what to do instead. */
  ledgerWord(word: OperatorWord): Reply<SpokenAnswer>
  /** The most that `site` may owe us, from now on. */
  reload(): Reply<ReloadAnswer>
  drain(drain: boolean, reason: string): Reply<{ readonly detail: string }>
  setCredit(site: SiteName, limit: Microcredits): Reply<{ readonly sid: Hash }>
  invite(validSeconds: number): Reply<InviteAnswer>
}
