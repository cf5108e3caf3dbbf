// What can happen to a node, in the past tense. Time and chance come in with the event; results and
// failures of effects come back as events too. `request` names a caller that waits for one answer.

import type { Hash, JobId, SiteName, TrancheId } from '../base/ids.ts'
import type { Microcredits } from '../base/units.ts'
import type { SignedJob } from '../rules/job.ts'
import type { JobRequest } from '../rules/request.ts'
import type { KeptOffer } from '../rules/offer.ts'
import type { FederationPolicy, GrantFields } from '../rules/statement.ts'
import type { EvidenceSearch, Included } from './effects.ts'
import type { Message } from './messages.ts'
import type { OperatorWord } from './operator-word.ts'
import type { CapacityRecord } from './state.ts'

/** What an operator of the founder sets. */
export type PolicyWish = Omit<FederationPolicy, 'about' | 'version'>

/** What the scheduler says of one task. */
export interface ObservedTask {
  readonly tranche: TrancheId
  readonly task: number
  readonly status:
    | { readonly kind: 'queued'; readonly held?: true }
    | {
        readonly kind: 'running'
        readonly startedEpochMs: number
        readonly suspended?: true
      }
    | {
        readonly kind: 'ended'
        readonly how: 'exited' | 'walltime' | 'memory' | 'cancelled' | 'lost'
        readonly exitCode: number
        readonly startedEpochMs: number
        readonly endedEpochMs: number
      }
}

export type Event = { readonly at: number } & (
  | { readonly kind: 'started'; readonly addresses: readonly string[] }
  /** The administrator's settings are others from this step on. */
  | { readonly kind: 'configured' }
  /** Take the site out of work, or back into it. */
  | {
      readonly kind: 'drainRequested'
      readonly request: string
      readonly drain: boolean
      readonly reason: string
    }
  /** A deadline of `wakeAt` has passed. */
  | { readonly kind: 'woken' }
  | { readonly kind: 'messageReceived'; readonly from: SiteName; readonly encoded: string }
  /** What we sent to ourselves: home and host of one site speak as two sites do. */
  | { readonly kind: 'messageDelivered'; readonly message: Message }
  | { readonly kind: 'peerCameUp'; readonly site: SiteName }
  | { readonly kind: 'peerWentDown'; readonly site: SiteName }
  /** Gossip that the topic's validator has let pass. */
  | { readonly kind: 'offerHeard'; readonly kept: KeptOffer }
  /** A call for proposals of `from`, by gossip; the topic's validator has let it pass. */
  | { readonly kind: 'callHeard'; readonly from: SiteName; readonly note: string }
  | { readonly kind: 'capacityObserved'; readonly capacity: CapacityRecord }
  | { readonly kind: 'jobSubmitted'; readonly request: string; readonly job: SignedJob }
  | { readonly kind: 'cancelRequested'; readonly request: string; readonly job: JobId }
  /** Its signature was checked: by the job's owner, or an operator of this site. */
  | {
      readonly kind: 'verbRequested'
      readonly request: string
      readonly job: JobId
      readonly asked: JobRequest
    }
  | {
      readonly kind: 'inviteRequested'
      readonly request: string
      readonly secretHash: Hash
      readonly expiresEpochMs: number
    }
  | { readonly kind: 'policyRequested'; readonly request: string; readonly policy: PolicyWish }
  | { readonly kind: 'grantRequested'; readonly request: string; readonly grant: GrantFields }
  /** A peer holds a head that our key signed and that is no head of our ledger. */
  | { readonly kind: 'headDenied'; readonly from: SiteName; readonly size: number }
  /** Our head of that size was signed and shown. */
  | { readonly kind: 'headShown'; readonly size: number; readonly note: string }
  /** A home's log was replayed: whether it covers the hold, and if not, why. */
  | {
      readonly kind: 'payerReplayed'
      readonly hold: Hash
      readonly holds: boolean
      readonly detail: string
    }
  /** What `readEntries` asked for, in its order; '' for what is not there. */
  | {
      readonly kind: 'entriesRead'
      readonly search: EvidenceSearch
      readonly notes: readonly string[]
    }
  | { readonly kind: 'snapshotRequested'; readonly request: string }
  /**
   * Entries below `below` may go: two mirrors have them and they are old enough. `snapshot` is the
   * size of one whose text is here; `sites` are those with statements between us and them there.
   */
  | {
      readonly kind: 'pruneRequested'
      readonly request: string
      readonly below: number
      readonly snapshot: number
      readonly sites: readonly SiteName[]
    }
  | { readonly kind: 'entriesDropped'; readonly below: number }
  /** Two receipts for one place of one log. */
  | { readonly kind: 'placeTaken'; readonly first: Included; readonly second: Included }
  | { readonly kind: 'joinRequested'; readonly request: string; readonly encoded: string }
  | {
      readonly kind: 'creditRequested'
      readonly request: string
      readonly site: SiteName
      readonly limit: Microcredits
    }
  | { readonly kind: 'wordRequested'; readonly request: string; readonly word: OperatorWord }
  | { readonly kind: 'trancheStaged'; readonly tranche: TrancheId }
  | {
      readonly kind: 'trancheStagingFailed'
      readonly tranche: TrancheId
      /** permanent: this site can never stage it (a full spool, a bad manifest). */
      readonly permanent: boolean
      readonly detail: string
    }
  | { readonly kind: 'trancheSubmitted'; readonly tranche: TrancheId; readonly localId: string }
  | { readonly kind: 'trancheSubmitRefused'; readonly tranche: TrancheId; readonly detail: string }
  | { readonly kind: 'trancheSubmitFailed'; readonly tranche: TrancheId; readonly detail: string }
  /** `words` '' when it was done; else why the scheduler does not. */
  | {
      readonly kind: 'orderDone'
      readonly tranche: TrancheId
      readonly n: number
      readonly words: string
    }
  /** Unknown whether it was done. */
  | {
      readonly kind: 'orderFailed'
      readonly tranche: TrancheId
      readonly n: number
      readonly detail: string
    }
  | { readonly kind: 'tasksObserved'; readonly tasks: readonly ObservedTask[] }
  | {
      readonly kind: 'taskCollected'
      readonly tranche: TrancheId
      readonly task: number
      readonly tree: Hash
      readonly treeBytes: number
      readonly missing: readonly string[]
    }
  | {
      readonly kind: 'taskCollectFailed'
      readonly tranche: TrancheId
      readonly task: number
      readonly detail: string
    }
  | { readonly kind: 'trancheRemoved'; readonly tranche: TrancheId }
  | {
      readonly kind: 'resultTaken'
      readonly job: JobId
      readonly task: number
      readonly tranche: TrancheId
    }
  | {
      readonly kind: 'resultFailed'
      readonly job: JobId
      readonly task: number
      readonly tranche: TrancheId
      /** It is we who cannot take them: our spool is full. */
      readonly here?: boolean
      readonly detail: string
    }
)

export type EventKind = Event['kind']
export type EventOf<K extends EventKind> = Extract<Event, { kind: K }>
