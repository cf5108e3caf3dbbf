// The node's local API: paths and types, no behaviour. The command line and the pages are its
// clients; it is served on a unix socket in the data directory (mode 0600, or group-readable by
// config). Amounts are decimal strings of microcredits, times epoch milliseconds, sizes bytes.
//
// Errors: any non-2xx answer carries an `ApiError`. Streams are newline-delimited JSON or raw
// bytes.

import type { AskedRow } from './verb-api.ts'

export const apiPaths = {
  /** GET → NodeInfo */
  info: '/v1/info',
  /** POST {hashes: string[]} → {missing: string[]}: which chunks the node lacks */
  chunksMissing: '/v1/chunks/missing',
  /** PUT raw bytes of at most one chunk → 204; refused unless the bytes have this hash */
  chunk: (hash: string) => `/v1/chunks/${hash}`,
  /**
   * POST text/plain: the signed job note → SubmitAnswer; the same note again gives the same answer
   */
  jobs: '/v1/jobs',
  /** GET ?state=open|ended|all&user=NAME&limit=N → JobSummary[] on the same path, newest first */
  /** GET → JobDetail; ID may be an unambiguous prefix of at least 4 digits */
  job: (id: string) => `/v1/jobs/${id}`,
  /** GET → WhyAnswer */
  why: (id: string) => `/v1/jobs/${id}/why`,
  /** POST text/plain: a signed request note of kind `request` (SignedRequest) → JobDetail */
  cancel: (id: string) => `/v1/jobs/${id}/cancel`,
  /** GET → ndjson stream of JobEvent until the job has ended and its results are here */
  events: (id: string) => `/v1/jobs/${id}/events`,
  /** GET ?task=N&stream=stdout|stderr&follow=0|1 → raw bytes as they appear */
  log: (id: string) => `/v1/jobs/${id}/log`,
  /** GET → ResultFile[] */
  results: (id: string) => `/v1/jobs/${id}/results`,
  /** GET ?path=… → raw bytes of one result file */
  resultFile: (id: string) => `/v1/jobs/${id}/results/file`,
  /** GET ?where=EXPR → OfferRow[]; a bad expression is a 400 with its position */
  offers: '/v1/offers',
  /** GET → PeerRow[] */
  peers: '/v1/peers',
  /** GET → LedgerSummary */
  ledger: '/v1/ledger',
  /** GET ?from=INDEX&limit=N → LedgerEntryRow[] */
  ledgerEntries: '/v1/ledger/entries',
  /** GET ?from=INDEX → ndjson stream of LedgerNote, up to the newest entry of that moment */
  ledgerNotes: '/v1/ledger/notes',
  /** GET ?entry=SID|INDEX → ReceiptAnswer: a statement of ours stands in its addressee's log */
  ledgerReceipt: '/v1/ledger/receipt',
  /** GET ?day=DAYS-SINCE-1970 → DigestAnswer: our local work of a day that was said */
  ledgerDigest: '/v1/ledger/digest',
  /** GET ?job=ID → DocumentsAnswer: private documents of a job, as far as they are here */
  ledgerDocuments: '/v1/ledger/documents',
  /** POST {} → SnapshotAnswer */
  ledgerSnapshot: '/v1/ledger/snapshot',
  /** POST {below, mirrors: absolute directories, retention_seconds?} → PruneAnswer */
  ledgerPrune: '/v1/ledger/prune',
  /** GET → PairAnswer: what a light audit of that site begins with */
  ledgerPair: (site: string) => `/v1/sites/${site}/pair`,
  /** POST {directory} absolute, new or an older export of this ledger → ExportAnswer */
  ledgerExport: '/v1/ledger/export',
  /**
   * GET ?path=… → raw bytes of one file of that site's log, read live from its node: `checkpoint`,
   * `tile/…` or `tile/entries/…` as tlog-tiles names them
   */
  siteLogFile: (site: string) => `/v1/sites/${site}/log`,
  /** GET → FederationAnswer */
  federation: '/v1/federation',
  /** POST {witnesses, quorum, authorities} → {sid}; at the founder only */
  policy: '/v1/federation/policy',
  /** POST {grantee, name, amount, starts, until} → {sid}; at an authority of the policy only */
  grants: '/v1/federation/grants',
  /** GET → EvidenceRow[] */
  evidence: '/v1/evidence',
  /** GET → EvidenceDocument; ID is the whole hash */
  evidenceDocument: (id: string) => `/v1/evidence/${id}`,
  /** GET → OpenRow[]: what waits for a word, past due first */
  ledgerOpen: '/v1/ledger/open',
  /** POST an operator's word (`word-shape.ts`) → SpokenAnswer; the same again says nothing new */
  ledgerWord: '/v1/ledger/word',
  /** POST {creditor-side limit: site, limit} → {sid} */
  credit: '/v1/credit',
  /** POST {valid_seconds} → InviteAnswer */
  invites: '/v1/invites',
} as const

export interface ApiError {
  readonly error: {
    /** A closed, stable word such as `not_found`, `malformed`, `spool_full`, `not_owner`. */
    readonly code: string
    /** What was expected, what came, what to do next. */
    readonly message: string
  }
}

export interface NodeInfo {
  readonly site: string
  readonly version: string
  readonly federation: string
  readonly federationName: string
  readonly pid: number
  readonly startedEpochMs: number
  readonly scheduler: string
  readonly peersUp: number
  readonly peersKnown: number
  /** Why this node says nothing any more, and what its operator does. */
  readonly quarantine?: string
  /** An operator has taken the site out of work. */
  readonly drained?: { readonly sinceEpochMs: number; readonly reason: string }
  readonly counters: Readonly<Record<string, number>>
}

export interface SubmitAnswer {
  readonly job: string
  readonly already: boolean
}

export type JobStateName =
  | 'waiting' | 'held' | 'auctioning' | 'active' | 'done' | 'failed' | 'cancelled' | 'expired'

export interface JobSummary {
  readonly job: string
  readonly name: string
  readonly user: string
  readonly state: JobStateName
  /** One sentence: why it is in this state and, if it waits, for what. */
  readonly note: string
  readonly submittedEpochMs: number
  readonly endedEpochMs?: number
  readonly tasks: TaskCounts
  /** What was accepted and what is still held, in microcredits. */
  readonly spent: string
  readonly held: string
  readonly sites: readonly string[]
  /** Of the home; absent when the job names none. */
  readonly queue?: string
}

export interface TaskCounts {
  readonly total: number
  readonly waiting: number
  readonly queued: number
  readonly running: number
  readonly done: number
  readonly failed: number
  readonly cancelled: number
}

export interface TaskRow {
  readonly task: number
  readonly state:
    | 'waiting' | 'held' | 'queued' | 'running' | 'suspended' | 'returning' | 'done' | 'failed'
    | 'cancelled'
  readonly site: string
  readonly contract: string
  readonly exitCode?: number
  readonly detail?: string
  readonly startedEpochMs?: number
  readonly endedEpochMs?: number
}

export interface ContractRow {
  readonly contract: string
  readonly site: string
  readonly slots: number
  readonly tasks: number
  readonly held: string
  readonly claimed: string
  readonly accepted: string
  readonly leaseUntilEpochMs?: number
  readonly state: string
}

export interface JobDetail extends JobSummary {
  readonly script: string
  readonly cores: number
  readonly memoryMib: number
  readonly walltimeSeconds: number
  readonly policy: string
  readonly budget: string
  readonly inputsBytes: number
  readonly outputs: readonly string[]
  readonly requirements: string
  /** The 200 most recent tasks that left the waiting state. */
  readonly taskRows: readonly TaskRow[]
  readonly contracts: readonly ContractRow[]
  /** Held by its owner, as ranges; absent: none. */
  readonly heldTasks?: string
  /** Where its script wants standard output and error; absent without a dialect. */
  readonly streams?: {
    readonly dialect: 'slurm' | 'pbs' | 'torque' | 'lsf' | 'grid_engine'
    readonly array: boolean
    /** Patterns of the dialect; '' = by default. */
    readonly out: string
    readonly error: string
    readonly join: boolean
  }
  /** What its owner asked for lately, oldest first. */
  readonly asked?: readonly AskedRow[]
}

export interface WhyRow {
  readonly site: string
  readonly verdict: 'bid' | 'refused' | 'unfit' | 'silent' | 'not_asked' | 'late'
  /** For all but a bid: the reason's closed word and a sentence. */
  readonly reason?: string
  readonly detail?: string
  readonly slots?: number
  readonly queueSlots?: number
  readonly startInSeconds?: number
  readonly completionInSeconds?: number
  /** Estimated price of one task running its whole walltime, and the cap. */
  readonly taskPrice?: string
  readonly awardedTasks?: number
  readonly rank?: number
}

export interface WhyAnswer {
  readonly job: string
  readonly note: string
  readonly rounds: readonly {
    readonly round: number
    readonly openedEpochMs: number
    readonly closedEpochMs?: number
    readonly policy: string
    readonly rows: readonly WhyRow[]
    /** Of very many sites: those that cannot win and are not in `rows`, by their reasons. */
    readonly unnamed?: readonly { readonly reason: string; readonly sites: number }[]
  }[]
}

/** What `--wait` shows; every event carries enough to print one plain line. */
export type JobEvent =
  | { readonly kind: 'state'; readonly summary: JobSummary }
  | {
      readonly kind: 'transfer'
      readonly direction: 'in' | 'out'
      readonly site: string
      readonly bytesDone: number
      readonly bytesTotal: number
    }
  | {
      readonly kind: 'award'
      readonly site: string
      readonly contract: string
      readonly tasks: string
    }
  | { readonly kind: 'end'; readonly summary: JobSummary }

export interface ResultFile {
  /** `TASK/path` for an array, `path` for a single job; stdout and stderr are among them. */
  readonly path: string
  readonly sizeBytes: number
  readonly executable: boolean
}

export interface OfferRow {
  readonly site: string
  readonly own: boolean
  readonly up: boolean
  /** There is proof that it lied: it is not asked for bids. */
  readonly frozen?: true
  readonly coresTotal: number
  readonly coresFree: number
  readonly memoryMibTotal: number
  readonly memoryMibFree: number
  readonly tasksQueued: number
  readonly tasksRunning: number
  readonly coresPerTaskMax: number
  readonly memoryMibPerTaskMax: number
  readonly walltimeSecondsMax: number
  readonly speedPermille: number
  /** Microcredits: posted rates. */
  readonly rateTask: string
  readonly rateCoreHour: string
  readonly rateGibHour: string
  readonly scheduler: string
  readonly attributes: Readonly<Record<string, string | number>>
  readonly sequence: number
  readonly expiresInSeconds: number
}

/** A proof that a site lied. */
export interface EvidenceRow {
  /** Hash of the document, 64 hexadecimal digits. */
  readonly id: string
  readonly accused: string
  /** Of the accused's log. */
  readonly epoch: number
  readonly kind: string
  /** One sentence. */
  readonly what: string
  /** The site that showed it; '' when this node found it itself. */
  readonly from: string
  readonly epochMs: number
  /** Our own statement about it; '' when there is none. */
  readonly sid: string
  /** The accused gets no new credit here. */
  readonly frozen: boolean
}

/** The document as it is signed for, checked and passed on. */
export interface EvidenceDocument {
  readonly id: string
  readonly document: string
}

export interface PeerRow {
  readonly site: string
  readonly state: 'up' | 'down'
  readonly addresses: readonly string[]
  readonly admittedBy: string
  readonly offerAgeSeconds?: number
  /** Microcredits: what it may owe us, and what we may owe it. */
  readonly creditGiven: string
  readonly creditReceived: string
  readonly balance: string
  /** Statements not yet acknowledged by the peer. */
  readonly undelivered: number
  /** Others were shown a head of its log that it has not linked with ours, in time enough. */
  readonly challenged?: true
  /** There is proof that it lied, and nobody here has given it credit since. */
  readonly frozen?: true
  readonly trouble?: string
}

export interface FederationAnswer {
  readonly federation: string
  readonly name: string
  readonly founder: string
  /** Of this site's ledger. */
  readonly entries: number
  /** Absent while none was set. */
  readonly policy?: {
    readonly version: number
    readonly witnesses: readonly string[]
    readonly quorum: number
    readonly authorities: readonly string[]
  }
  readonly grants: readonly {
    readonly sid: string
    readonly name: string
    readonly grantee: string
    readonly authority: string
    readonly amount: string
    /** At the grantee only. */
    readonly held?: string
    readonly spent?: string
    readonly free?: string
    readonly startsEpochMs: number
    readonly untilEpochMs: number
  }[]
  /** The newest head of this ledger that each witness has signed. */
  readonly cosigned: readonly {
    readonly site: string; readonly size: number; readonly seconds: number
  }[]
  /** Heads of other ledgers that this site has signed. */
  readonly held: readonly {
    readonly site: string
    readonly origin: string
    readonly size: number
    readonly seenEpochMs: number
  }[]
}

export interface LedgerSummary {
  readonly site: string
  readonly federation: string
  readonly entries: number
  readonly rootHash: string
  readonly pairs: readonly {
    readonly site: string
    /** Signed: positive = the peer owes us. */
    readonly balance: string
    readonly weOweLimit: string
    readonly theyOweLimit: string
    readonly heldByUs: string
    readonly heldByThem: string
    readonly claimedByThem: string
    readonly claimedByUs: string
  }[]
}

export interface LedgerEntryRow {
  readonly index: number
  readonly sid: string
  readonly kind: string
  readonly from: string
  readonly to: string
  readonly number: number
  readonly body: Readonly<Record<string, unknown>>
}

/** An entry of the log in the very bytes that were signed. */
export interface LedgerNote {
  readonly index: number
  readonly note: string
}

/** Something on the ledger that waits for somebody's word. */
export interface OpenRow {
  readonly kind: 'hold' | 'claim' | 'dispute' | 'proposal' | 'payment'
  readonly sid: string
  /** The other site. */
  readonly site: string
  /** What this site is in it. */
  readonly role: 'home' | 'host' | 'author' | 'addressee'
  readonly amount: string
  readonly claimed: string
  readonly accepted: string
  /** What the host asks for in the end. */
  readonly asks: string
  /** By the author's own date. */
  readonly sinceEpochMs: number
  readonly dueEpochMs?: number
  readonly pastDue: boolean
  readonly detail: string
  /** Commands, to follow `gridnode ledger`. */
  readonly todo: readonly string[]
}

export interface SpokenAnswer {
  /** What was said just now; empty when it had been said before. */
  readonly sids: readonly string[]
  readonly detail: string
  /** A signed text to pass on by hand; '' when there is none. */
  readonly note: string
  /** What is still open, and why. */
  readonly left: readonly string[]
}

export interface ReceiptAnswer {
  readonly sid: string
  /** In our own log. */
  readonly index: number
  readonly kind: string
  /** In whose log it is proven to stand, and where. */
  readonly site: string
  readonly siteIndex: number
  /** The statement, as it was signed. */
  readonly note: string
  /** C2SP tlog-proof. */
  readonly proof: string
}

export interface DigestAnswer {
  readonly day: number
  readonly sid: string
  readonly count: number
  readonly root: string
  /** Canonical texts, in the order of the tree, each with its path of hexadecimal hashes. */
  readonly records: readonly { readonly record: string; readonly proof: readonly string[] }[]
}

export interface DocumentsAnswer {
  /** Lines of a file of documents. */
  readonly lines: readonly string[]
  /** What is gone, a sentence each. */
  readonly missing: readonly string[]
}

export interface SnapshotAnswer {
  readonly sid: string
  readonly size: number
  readonly state: string
}

export interface PruneAnswer {
  /** The first entry that stays. */
  readonly below: number
}

export interface PairAnswer {
  readonly site: string
  /** The log that it writes now, and the key of its heads, hexadecimal. */
  readonly origin: string
  readonly logKey: string
  /** The newest head of it that we have cosigned, if any. */
  readonly head?: { readonly size: number; readonly root: string }
  /** The newest reconciliation: its agreement's place in our own log. */
  readonly reconciled?: { readonly sid: string; readonly index: number }
  /** Our own newest entry's index, plus one. */
  readonly entries: number
}

export interface ExportAnswer {
  readonly directory: string
  readonly entries: number
  readonly rootHash: string
}

export interface InviteAnswer {
  readonly token: string
  readonly expiresEpochMs: number
}

/** The body of a signed request note (kind `request`, key of the job's owner). */
export interface SignedRequest {
  readonly verb: 'cancel'
  readonly job: string
  readonly at: number
}
