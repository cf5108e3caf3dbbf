// What a node keeps about its own log beside the log itself: receipts from others, the days of its
// local work, snapshots, and what was pruned.

import type { Hash, JobId, Sid, SiteName, TrancheId } from '../base/ids.ts'
import type { Frontier } from '../base/merkle.ts'

/** Of a statement in its author's sequence to one site. */
export interface ReceiptNumber {
  readonly e: number
  readonly n: number
}

/** A statement of ours whose receipt has not come yet. */
export interface WantedReceipt {
  readonly sid: Sid
  /** The hash of its leaf, hexadecimal. */
  readonly leaf: string
  readonly saidEpochMs: number
}

/** Proof that a statement of ours stands in its addressee's log. */
export interface KeptReceipt extends ReceiptNumber {
  readonly peer: SiteName
  /** In the log of `peer`. */
  readonly index: number
  /** A C2SP tlog-proof. */
  readonly proof: string
}

/** A day whose local tasks are being gathered: a tree over their records. */
export interface DigestDay {
  readonly day: number
  readonly frontier: Frontier
}

/** A day that was said. */
export interface SaidDigest {
  readonly sid: Sid
  readonly count: number
  readonly root: Hash
}

/** A snapshot that this log has said. */
export interface SaidSnapshot {
  readonly sid: Sid
  readonly index: number
  readonly state: Hash
  readonly epochMs: number
}

/** Entries below are gone from this database, or are on their way out. */
export interface PrunedRecord {
  readonly below: number
  readonly epochMs: number
  /** They are gone. */
  readonly isDone: boolean
}

export interface LogTables {
  /** key receiptKey */
  receiptsWanted: WantedReceipt
  /** key peer: how many receipts of it are wanted */
  receiptsMissing: number
  /** COLD, key sid of our statement */
  receipts: KeptReceipt
  /** COLD, key placeKey and the sid: where a receipt puts a statement of ours in another log */
  receiptPlaces: 1
  /** volatile: key peer: what is proven to it with the next group */
  receiptsOwed: readonly ReceiptNumber[]
  /** key dayKey: days that are not said yet */
  digestDay: DigestDay
  /** key dayKey */
  digests: SaidDigest
  /** COLD, key digestKey: the canonical record of a local task */
  digestRecords: string
  /** key snapshotKey */
  snapshots: SaidSnapshot
  /** key 'own' */
  pruned: PrunedRecord
  /** key what is said once a day: the last day of it */
  daysSaid: number
  /** key documentsKey: since when */
  documentsKept: number
  /** key 'own': how many of them */
  documentsCount: number
  /** COLD, key documentsKey: lines that open a final claim */
  documentLines: readonly string[]
}

export const coldLogTables =
  ['receipts', 'receiptPlaces', 'digestRecords', 'documentLines'] as const
export const volatileLogTables = ['receiptsOwed'] as const

/** Sorts by peer, then epoch, then number. */
export function receiptKey(peer: SiteName, { e, n }: ReceiptNumber): string {
  return `${peer}/${String(e).padStart(10, '0')}/${String(n).padStart(12, '0')}`
}

/** An entry of a log, by the log's origin; at most one statement can stand there. */
export function placeKey(origin: string, index: number): string {
  return `${origin}/${String(index).padStart(16, '0')}`
}

/** Key of the record number `at` of a day. */
export function digestKey(day: number, at: number): string {
  return `${String(day).padStart(8, '0')}/${String(at).padStart(9, '0')}`
}

export function documentsKey(job: JobId, tranche: TrancheId): string {
  return `${job}/${tranche}`
}

export function dayKey(day: number): string {
  return String(day).padStart(8, '0')
}

export function snapshotKey(size: number): string {
  return String(size).padStart(12, '0')
}
