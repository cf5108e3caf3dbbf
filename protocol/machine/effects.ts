// What the shell is told to do, in the imperative, after the step's writes are durable. Each effect
// can be asked for again after a crash (recover.ts derives the open ones from the records), so each
// is idempotent under its name: the tranche, the task, the request.

import type { ContractId, JobId, Sid, SiteName, TrancheId } from '../base/ids.ts'
import type { ReceiptNumber } from './log-records.ts'
import type { Message } from './messages.ts'
import type { Spoken } from './operator-word.ts'

/** An entry of our own log, by its place or by the number of its statement. */
export type EntryName = { readonly index: number } | { readonly number: string }

/** An entry of another log, with the receipt that proves it there. */
export interface Included {
  /** A signed note. */
  readonly leaf: string
  /** A tlog-proof. */
  readonly proof: string
}

/** A statement that may prove a lie together with entries of our log. */
export interface EvidenceSearch {
  readonly proof: 'double_number' | 'overcharge' | 'fell'
  readonly note: string
}

export type Effect =
  | { readonly kind: 'send'; readonly to: SiteName; readonly message: Message }
  /** Sign the newest head and prove to a peer that it continues what the peer holds. */
  | {
      readonly kind: 'showHead'
      readonly to: SiteName
      /** Sizes of heads that it holds, 0 for none; at most the ledger's. */
      readonly known: number
      readonly also: number
      /** Roots that we have signed for these sizes, hexadecimal; our tree must have them. */
      readonly roots: readonly { readonly size: number; readonly root: string }[]
    }
  /** The newest head, one and the same to several witnesses; `known` as in `showHead`. */
  | {
      readonly kind: 'showHeads'
      readonly to: readonly { readonly site: SiteName; readonly known: number }[]
    }
  /** Prove a hold under a head of ours, whose note has the witnesses' lines. */
  | {
      readonly kind: 'proveHold'
      readonly to: SiteName
      readonly hold: Sid
      readonly index: number
      readonly note: string
    }
  /** Replay a home's log up to a cosigned head: does it cover its hold on an allocation? */
  | {
      readonly kind: 'replayPayer'
      readonly home: SiteName
      readonly hold: Sid
      readonly size: number
      /** Hexadecimal. */
      readonly root: string
      /** The home's; all of `closedBy` must have closed for it: nobody in the first. */
      readonly epoch: number
      readonly closedBy: readonly SiteName[]
    }
  /**
   * From our log, by a message `history`: what was said between us and `to` after these places, and
   * public statements after the cursor. `issued` is what `to` said; unasked, nothing of it is told,
   * and it is not said that this is all.
   */
  | {
      readonly kind: 'tellHistory'
      readonly to: SiteName
      readonly issued?: { readonly e: number; readonly n: number }
      readonly received: { readonly e: number; readonly n: number }
      readonly cursor: string
    }
  /** Before anything else of the step leaves: the mark is raised to the newest head. */
  | { readonly kind: 'raiseMark' }
  /** Something that an operator must see at once. */
  | { readonly kind: 'alarm'; readonly detail: string }
  /** Read entries of our log; `entriesRead` brings them. */
  | {
      readonly kind: 'readEntries'
      readonly search: EvidenceSearch
      readonly entries: readonly EntryName[]
    }
  /** Under one head, by messages `receipts`: statements of `to` to us, as far as we have them. */
  | {
      readonly kind: 'giveReceipts'
      readonly to: SiteName
      readonly numbers: readonly ReceiptNumber[]
    }
  /** The book's text, beside the log. */
  | { readonly kind: 'storeSnapshot'; readonly size: number; readonly text: string }
  /** Entries below are removed from the database; `entriesDropped` when they are gone. */
  | { readonly kind: 'dropEntries'; readonly below: number }
  /**
   * Look whether receipts prove two statements of `site` (us) at one place; `placeTaken` says so.
   */
  | {
      readonly kind: 'readPlaces'
      readonly site: SiteName
      readonly places: readonly string[]
    }
  | { readonly kind: 'publishOffer'; readonly note: string }
  /** A call for proposals to whoever hears it. */
  | { readonly kind: 'publishCall'; readonly note: string }
  /** The member list or an address has changed. */
  | { readonly kind: 'connectMembers' }
  /** Fetch a tranche's inputs from its home and lay out its tasks' directories. */
  | { readonly kind: 'stageTranche'; readonly tranche: TrancheId }
  | { readonly kind: 'submitTranche'; readonly tranche: TrancheId }
  | { readonly kind: 'cancelTranche'; readonly tranche: TrancheId }
  /** Do the first open order of the tranche (`hostOrders`); `orderDone` or `orderFailed` follow. */
  | { readonly kind: 'controlTranche'; readonly tranche: TrancheId; readonly n: number }
  /** Turn what a task left behind into a tree in the store. */
  | { readonly kind: 'collectTask'; readonly tranche: TrancheId; readonly task: number }
  /** Everything of the tranche is over: forget it in the scheduler, remove its directories. */
  | { readonly kind: 'removeTranche'; readonly tranche: TrancheId; readonly contract: ContractId }
  | {
      readonly kind: 'takeResult'
      readonly job: JobId
      readonly task: number
      readonly tranche: TrancheId
      readonly host: SiteName
      readonly tree: string
    }
  /** The job has ended: its inputs need not be kept; or it was forgotten: nothing of it need be. */
  | { readonly kind: 'releaseInputs'; readonly job: JobId }
  | { readonly kind: 'answer'; readonly request: string; readonly answer: Answer }
  /** Something of this job changed that a watcher wants to see. */
  | { readonly kind: 'jobChanged'; readonly job: JobId }

/** What a caller of the local API, or a site that joins, is told. */
export type Answer =
  | { readonly kind: 'submitted'; readonly job: JobId; readonly already: boolean }
  | { readonly kind: 'done'; readonly detail: string }
  | ({ readonly kind: 'spoken' } & Spoken)
  | { readonly kind: 'joined'; readonly encoded: string }
  | { readonly kind: 'refused'; readonly code: string; readonly detail: string }
