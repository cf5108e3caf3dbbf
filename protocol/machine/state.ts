// Everything a node remembers: keyed records in named tables. Stored tables survive a crash;
// volatile ones are what was last seen of the world and are empty after a start; cold ones are
// stored but not in memory.
//
// Invariant: each record that waits for something has a timer in `timers`, so no state can wait for
// ever.

import type {
  ContractId, FederationId, Hash, JobId, Sid, SiteName, TrancheId,
} from '../base/ids.ts'
import type { Ranges } from '../base/ranges.ts'
import type { Signer } from '../base/note.ts'
import type { Microcredits } from '../base/units.ts'
import type { UnfitReason } from '../rules/announce.ts'
import type { Bid, BidRefusalReason } from '../rules/bid.ts'
import type { OpenBid } from '../rules/contract.ts'
import type { JobDocument } from '../rules/job.ts'
import type { LedgerSigner, LedgerTables } from '../rules/ledger.ts'
import { coldLedgerTables } from '../rules/ledger.ts'
import type { AccountRules } from '../rules/account-map.ts'
import type { QueueRules, QueueUse, Used } from '../rules/queue.ts'
import type { ChosenAccount } from '../rules/contract.ts'
import type { Ability, Licence } from '../rules/needs.ts'
import type { KeptOffer } from '../rules/offer.ts'
import type { TaskReport, UsageTotal } from '../rules/run.ts'
import type { Pace } from './offers.ts'
import type { TrustTables } from './trust-records.ts'
import { volatileTrustTables } from './trust-records.ts'
import type { LogTables } from './log-records.ts'
import type { OrderTables } from './job-orders.ts'
import { coldLogTables, volatileLogTables } from './log-records.ts'

/** Who this node is and what its administrator has set: constant between a start and the next. */
export interface Self {
  readonly site: SiteName
  readonly federation: FederationId
  readonly signer: LedgerSigner
  /** Cosigns the heads of other logs. */
  readonly witness: Signer
  readonly scheduler: string
  readonly tariff: {
    readonly task: Microcredits
    readonly coreHour: Microcredits
    readonly gibHour: Microcredits
    readonly speedPermille: number
    readonly loadFactorMaxPermille: number
  }
  readonly market: {
    readonly windowMs: number
    readonly bidValidSeconds: number
    readonly leaseSeconds: number
    readonly acceptSeconds: number
    /** How often a running tranche is claimed for; what may be claimed and not yet accepted. */
    readonly interimSeconds: number
    readonly exposurePermille: number
    /** Of a hold: what our silence may cost us; 0: nothing. */
    readonly autoPermille: number
    readonly arbiter: SiteName | ''
    readonly awardSeconds: number
    readonly shortlistSites: number
    /** Cores' worth of tasks taken beyond free cores, in thousandths of all cores. */
    readonly queueAheadPermille: number
    readonly roundRetryMsMin: number
    readonly roundRetryMsMax: number
  }
  readonly credit: {
    readonly defaultLimit: Microcredits
    readonly limits: ReadonlyMap<SiteName, Microcredits>
  }
  readonly offers: { readonly validSeconds: number; readonly heartbeatMs: number }
  readonly attributes: readonly { readonly name: string; readonly value: string | number }[]
  readonly keepResultsSeconds: number
  /** Undefined: everything runs under the node's own account. */
  readonly accounts?: AccountRules | undefined
  /** Undefined: all jobs are equal, and the oldest goes first. */
  readonly queues?: QueueRules | undefined
  readonly jobsOpenMax: number
  readonly draining: boolean
}

export interface MemberRecord {
  readonly site: SiteName
  readonly genesis: string
  /** '' for the founder. */
  readonly policy: string
  readonly addresses: readonly string[]
  /** The geneses of its later epochs and its changes of keys, in order. */
  readonly renewals: readonly string[]
}

export interface Job {
  readonly id: JobId
  readonly sid: Sid
  readonly name: string
  readonly user: string
  readonly submittedEpochMs: number
  readonly total: number
  /** Not committed to any host. */
  readonly waiting: Ranges
  /** Nor may it be yet: see job-orders.ts. */
  readonly parked: Ranges
  readonly done: number
  readonly failed: number
  readonly cancelled: number
  readonly spent: Microcredits
  /** Caps of the holds that are not resolved yet. */
  readonly reserved: Microcredits
  readonly round: number
  /** Rounds in a row that placed nothing. */
  readonly idleRounds: number
  readonly lastProgressEpochMs: number
  readonly contracts: readonly ContractId[]
  readonly state: JobState
  /** One sentence for people. */
  readonly note: string
}

export type JobState =
  | { readonly kind: 'open' }
  | { readonly kind: 'cancelling' }
  | {
      readonly kind: 'ended'
      readonly how: 'done' | 'failed' | 'cancelled' | 'expired'
      readonly epochMs: number
    }

export type AuctionEntry =
  | { readonly kind: 'asked' }
  | { readonly kind: 'unfit'; readonly reason: UnfitReason; readonly detail: string }
  | { readonly kind: 'refused'; readonly reason: BidRefusalReason; readonly detail: string }
  | { readonly kind: 'silent' }
  | { readonly kind: 'late' }
  /** It won, and then declined or never answered. */
  | { readonly kind: 'withdrew'; readonly reason: string }
  | {
      readonly kind: 'bid'
      readonly bid: Bid
      readonly note: string
      readonly taskCap: Microcredits
      readonly completionSeconds: number
      readonly expiresEpochMs: number
      readonly rank: number
      readonly awarded: number
    }

export interface Auction {
  /** 16 hex digits. */
  readonly id: string
  readonly job: JobId
  readonly round: number
  readonly openedEpochMs: number
  readonly closesEpochMs: number
  readonly closedEpochMs: number
  /** Nobody who was asked could answer, so the call went out to everybody. */
  readonly gossiped: boolean
  /** The losers were told; until then they are the next best if a winner withdraws. */
  readonly told: boolean
  readonly entries: Readonly<Record<string, AuctionEntry>>
  /** Of many sites that cannot win only some are in `entries`; the others by their reasons. */
  readonly unnamed?: Unnamed
}

/** How many sites, by reason. */
export type Unnamed = { readonly [reason in UnfitReason]?: number }

export interface HomeContract {
  readonly id: ContractId
  /** '' at home: nothing is owed to oneself. */
  readonly sid: Sid | ''
  readonly job: JobId
  readonly host: SiteName
  readonly auction: string
  readonly slots: number
  readonly queueSlots: number
  readonly speedPermille: number
  readonly taskCap: Microcredits
  /** Its tasks that are done, and how long they ran in all, by the host's reports. */
  readonly ran: { readonly tasks: number; readonly ms: number }
  /** Committed to the host and not ended. */
  readonly outstanding: number
  readonly open: boolean
  /** Tasks ever committed, and the tranches that are not settled. */
  readonly committed: number
  readonly tranches: readonly TrancheId[]
  readonly accepted: Microcredits
}

export interface HomeTranche {
  readonly id: TrancheId
  readonly contract: ContractId
  readonly job: JobId
  readonly host: SiteName
  readonly hold: Sid | ''
  readonly tasks: Ranges
  readonly salt: string
  readonly cap: Microcredits
  /** Not ended yet at the host, as far as we know. */
  readonly open: Ranges
  readonly taken: Ranges
  /** What the host has said of tasks that ended, each once: the most that it may claim. */
  readonly reported: ReportedUsage
  /** What was accepted of claims while tasks ran: a later claim may say as much again. */
  readonly accepted: UsageTotal
  /** When its final claim came here, by our clock; 0 before. */
  readonly claimedEpochMs: number
  /** How its hold ended, once the ledger forgets it. */
  readonly ended?: { readonly how: SettledHow; readonly paid: Microcredits }
  readonly revision: number
  readonly stop: boolean
  /** When a task of it last started or ended, or it was told to stop. */
  readonly movedEpochMs: number
  /** Why its claim is not accepted, for both operators; '' when nothing is wrong. */
  readonly trouble: string
  readonly state: HomeTrancheState
}

export interface ReportedUsage extends UsageTotal {
  readonly ended: Ranges
}

export type HomeTrancheState =
  /** The hold is on its way; the host answers held or declined before the deadline. */
  | { readonly kind: 'awarded' }
  | { readonly kind: 'live'; readonly leaseUntilEpochMs: number }
  /** The lease ran out or the award was never answered; its open tasks were placed again. */
  | { readonly kind: 'lapsed' }
  /** Accepted, declined or voided: nothing is owed any more. */
  | { readonly kind: 'settled'; readonly how: SettledHow }

/** closed: given up with its host; what is claimed later is for the operators. */
export type SettledHow = 'accepted' | 'declined' | 'void' | 'local' | 'closed'

export interface HomeTask {
  readonly job: JobId
  readonly task: number
  readonly tranche: TrancheId
  readonly contract: ContractId
  readonly host: SiteName
  readonly attempts: number
  readonly state: 'queued' | 'running' | 'returning' | 'done' | 'failed' | 'cancelled' | 'waiting'
  readonly detail: string
  readonly report?: TaskReport
  /** When it was first reported to run. */
  readonly runsSinceEpochMs?: number
  /** Tries to fetch the results so far. */
  readonly tries: number
}

export interface HostContract {
  readonly id: ContractId
  readonly home: SiteName
  readonly sid: Sid | ''
  readonly cores: number
  readonly memoryMib: number
  readonly walltimeSeconds: number
  /** Of a task; absent: none. */
  readonly gpus?: number
  /** Under which local account its tasks run; absent: the node's own. */
  readonly account?: ChosenAccount
  readonly leaseSeconds: number
  readonly slots: number
  readonly queueSlots: number
  /** Of the slots, those that are kept free for it: it loses what it does not use. */
  readonly kept: number
  readonly tasksMax: number
  /** Tasks of its tranches that have not ended; those of them that run. */
  readonly outstanding: number
  readonly running: number
  /** Tranches that are not settled: the contract is remembered as long as there are any. */
  readonly tranches: number
  /** Idle slots are kept for it until then. */
  readonly reservedUntilEpochMs: number
  readonly open: boolean
}

export interface HostTranche {
  readonly id: TrancheId
  readonly contract: ContractId
  readonly home: SiteName
  readonly hold: Sid | ''
  readonly committed: { readonly doc: Hash | ''; readonly tasks: number }
  /** Its place among what waits here. */
  readonly takenEpochMs: number
  readonly tasks: Ranges
  /** Of the tranche's document: hides what we commit to about it. */
  readonly salt: string
  readonly phase: HostPhase
  readonly directive: 'none' | 'go' | 'stop' | 'lapsed'
  readonly leaseUntilEpochMs: number
  readonly revision: number
  readonly ackedRevision: number
  /**
   * When the oldest unanswered report was sent, 0 when all are answered: the lease counts from
   * there.
   */
  readonly sentEpochMs: number
  readonly sentRevision: number
  readonly taken: Ranges
  /** Tasks that have not ended. */
  readonly open: number
  readonly endedEpochMs: number
  readonly tries: number
  readonly detail: string
  /** Why we have stopped it ourselves; '' when we have not. */
  readonly notice: string
}

export type HostPhase =
  /** Held; waits for its documents and for the home's go. */
  | 'waiting'
  | 'staging'
  | 'submitting'
  | 'running'
  /** Every task has ended; waits until it may claim, or for the acceptance. */
  | 'settling'
  | 'claimed'
  /** Over; kept until the workspace is gone. */
  | 'settled'

export interface HostTask extends TaskReport {
  readonly tranche: TrancheId
  readonly revision: number
  /** When it was first seen to run, by the node's clock; the scheduler's may be another. */
  readonly seenEpochMs: number
}

/** The newest look at the local scheduler and the spool. */
export interface CapacityMore {
  readonly abilities: readonly Ability[]
  readonly nodesTotal: number
  readonly gpusTotal: number
  readonly gpusFree: number
  readonly licences: readonly Licence[]
  /** Names of its queues. */
  readonly queues: readonly string[]
}

export interface CapacityRecord {
  readonly observedEpochMs: number
  readonly coresTotal: number
  readonly coresFree: number
  readonly memoryMibTotal: number
  readonly memoryMibFree: number
  readonly tasksQueued: number
  readonly tasksRunning: number
  readonly coresPerTaskMax: number
  readonly memoryMibPerTaskMax: number
  readonly walltimeSecondsMax: number
  readonly spoolBytesFree: number
  readonly reachable: boolean
  /** What the scheduler has beyond cores and memory; undefined: nothing. */
  readonly more?: CapacityMore
}

export interface CoreTables extends LedgerTables, LogTables, OrderTables, TrustTables {
  federationNote: string
  members: MemberRecord
  invites: { readonly expiresEpochMs: number; readonly usedBy: string }
  /** key peer */
  delivery: { readonly acked: number }
  /** key peer/number: statements not acknowledged yet */
  outbox: string
  /** key peer: why its statements cannot be taken in */
  troubles: { readonly detail: string; readonly epochMs: number }
  /** key 'own' */
  offerSequence: number
  /** key sid: notes of tariffs, to pass on with bids */
  tariffNotes: string
  ownTariff: Sid
  jobs: Job
  /** key job: written once */
  jobNotes: { readonly note: string; readonly document: JobDocument }
  /** key job/round */
  auctions: Auction
  /** key auction id → its key in `auctions` */
  auctionKeys: string
  homeContracts: HomeContract
  homeTranches: HomeTranche
  /** key job/task */
  homeTasks: HomeTask
  /** key home/auction */
  openBids: OpenBid & { readonly slots: number; readonly note: string }
  hostContracts: HostContract
  /** key contract: written once */
  hostJobs: { readonly note: string; readonly document: JobDocument; readonly job: JobId }
  hostTranches: HostTranche
  /** key tranche/task */
  hostTasks: HostTask
  /** key kind/id: epoch ms */
  timers: number

  /** volatile: key site */
  links: {
    readonly up: true
    readonly sentThrough: number
    /** Its counter fits our log: statements are delivered. */
    readonly heard: boolean
    /** Its counter has come, whatever it says. */
    readonly told: boolean
  }
  /** volatile: key site: its counter has come since the process started [DELIVER-5] */
  heardPeers: { readonly epochMs: number }
  /** volatile: key site: how far its copy of what lies between us was read */
  histories: { readonly cursor: string; readonly isRead: boolean; readonly isAhead: boolean }
  /** volatile: key site */
  offers: KeptOffer
  /** volatile: key 'own' */
  capacity: CapacityRecord
  /** key queue/, or queue/user */
  queueUse: QueueUse
  /** key user: what they have used lately */
  used: Used
  /** key own: an operator has taken the site out of work */
  drained: { readonly sinceEpochMs: number; readonly reason: string }
  /** volatile: key 'own' */
  offerState: {
    readonly publishedEpochMs: number
    readonly digest: string
    readonly pace: Pace
  }
  /** volatile: key 'own' */
  addresses: readonly string[]
  /** volatile: key name */
  counters: number
}

export const coldTables: ReadonlySet<string> =
  new Set([...coldLedgerTables, ...coldLogTables])
export const volatileTables: ReadonlySet<string> = new Set<keyof CoreTables>([
  'links', 'offers', 'capacity', 'offerState', 'addresses', 'counters', 'heardPeers', 'histories',
  'queueUse',
  ...volatileLogTables, ...volatileTrustTables,
])

const taskDigits = 9

export function taskKey(owner: JobId | TrancheId, task: number): string {
  return `${owner}/${String(task).padStart(taskDigits, '0')}`
}

export function auctionKey(job: JobId, round: number): string {
  return `${job}/${String(round).padStart(6, '0')}`
}

export function openBidKey(home: SiteName, auction: string): string {
  return `${home}/${auction}`
}

export function outboxKey(peer: SiteName, number: number): string {
  return `${peer}/${String(number).padStart(12, '0')}`
}
