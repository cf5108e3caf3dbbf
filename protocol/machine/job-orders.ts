// What an owner has said of a job after it was handed in, and what is under way to its hosts:
// records at the home (`jobOrders`, `trancheOrders`, `children`) and at the host (`hostOrders`).
//
// Invariants: a task is in `jobs.waiting` only while nothing keeps it from being placed; what waits
// for its owner, for other jobs or for a time is in `jobs.parked`. A job without a record here has
// nothing parked.

import type { JobId, SiteName, TrancheId } from '../base/ids.ts'
import type { Ranges } from '../base/ranges.ts'
import { commonRanges, emptyRanges, subtractRanges } from '../base/ranges.ts'
import type { View } from '../base/tables.ts'
import type { JobDocument } from '../rules/job.ts'
import type { JobChange, JobRequest, Verb } from '../rules/request.ts'
import type { CoreTables } from './state.ts'

export interface JobOrders {
  /** They wait for no job and no time any more; once in here, always, unless it is altered. */
  readonly ready: Ranges
  /** By their owner. */
  readonly held: Ranges
  /** Asked to be placed again, and not ended yet at their hosts. */
  readonly again: Ranges
  /** To be cancelled one by one. */
  readonly dropped: Ranges
  readonly changed: JobChange
  readonly avoid: readonly SiteName[]
  /** When the first of what is parked now was parked. */
  readonly sinceEpochMs: number
  /** What the parked tasks wait for, or why some were ended; '' for nothing. */
  readonly words: string
  /** Newest last. */
  readonly heard: readonly Heard[]
}

/** One request that was done. */
export interface Heard {
  readonly nonce: string
  readonly verb: Verb
  readonly tasks: string
  readonly epochMs: number
  readonly detail: string
  readonly told: readonly Told[]
}

/** What of it a host was told. */
export interface Told {
  readonly tranche: TrancheId
  readonly n: number
  readonly host: SiteName
  readonly tasks: string
  readonly state: 'sent' | 'done' | 'refused' | 'void'
  readonly words: string
}

export type HostVerb =
  | 'hold' | 'release' | 'suspend' | 'resume' | 'signal' | 'requeue' | 'cancel'

export interface Order {
  readonly n: number
  readonly verb: HostVerb
  /** Without SIG; '' for other verbs. */
  readonly signal: '' | NonNullable<JobRequest['signal']>
  readonly tasks: string
}

/** At the home, of one tranche: what its host has not answered yet. */
export interface TrancheOrders {
  readonly last: number
  readonly open: readonly Order[]
}

/** At the host, of one tranche. */
export interface HostOrders {
  /** The newest that was taken in, and the newest that was done or refused. */
  readonly last: number
  readonly through: number
  /** The first is being done once `begun` says so. */
  readonly open: readonly Order[]
  readonly begun: boolean
  readonly tries: number
  readonly refused: readonly { readonly n: number; readonly words: string }[]
  /** Their end is their owner's wish. */
  readonly requeued: Ranges
}

/** Who waits for a job, or for a name. */
export interface Children {
  readonly jobs: readonly JobId[]
  /** One of them waits for its begin, or for single tasks. */
  readonly eager: boolean
  readonly begunEpochMs: number
}

export interface OrderTables {
  /** key job */
  jobOrders: JobOrders
  /** key tranche */
  trancheOrders: TrancheOrders
  /** key tranche */
  hostOrders: HostOrders
  /** key job, or key/name of those that run one at a time */
  children: Children
}

export const heardMax = 32
export const toldMax = 256
export const ordersOpenMax = 32

export const noOrders: JobOrders = {
  ready: emptyRanges, held: emptyRanges, again: emptyRanges, dropped: emptyRanges, changed: {},
  avoid: [], sinceEpochMs: 0, words: '', heard: [],
}

/** The document with what its owner has changed since. */
export function documentNow(
  view: Pick<View<CoreTables>, 'get'>, job: string,
): JobDocument | undefined {
  const signed = view.get('jobNotes', job)?.document
  const changed = view.get('jobOrders', job)?.changed
  if (!signed || !changed) return signed
  const { after, ...others } = changed
  const { after: _, ...rest } = signed
  const merged = { ...rest, ...others }
  const waitsFor = after ?? signed.after
  return waitsFor && waitsFor.length > 0 ? { ...merged, after: waitsFor } : merged
}

/** Splits tasks that nobody has by whether they may be placed. */
export function sortOut(
  orders: JobOrders | undefined, tasks: Ranges,
): { readonly free: Ranges; readonly parked: Ranges } {
  if (!orders) return { free: tasks, parked: emptyRanges }
  const free = subtractRanges(commonRanges(tasks, orders.ready), orders.held)
  return { free, parked: subtractRanges(tasks, free) }
}
