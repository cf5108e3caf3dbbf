// A contract is the frame for one job at one host; tasks run under it in tranches, each paid from
// one hold. Late binding: the home commits only what keeps the host's slots busy, the rest stays
// free to go wherever a slot opens first.
//
// [CONTRACT-1] A host agrees only to terms that it bid, while the bid is valid.
// [CONTRACT-2] A tranche's document fits its hold: same contract, same number of tasks, hash as
//   committed.
// [CONTRACT-3] The lease is renewed by run reports; each side counts it from its own last word, the
//   host from when it *sent* the report that was answered, so that it never outlives the home's.
// [CONTRACT-4] A host claims only under a live lease. A tranche that lapsed unclaimed is voided.

import { encode } from '../base/encoding.ts'
import { sha256Hex } from '../base/crypto.ts'
import type { Hash, SiteName } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { Ranges } from '../base/ranges.ts'
import { parseRanges, rangesSize } from '../base/ranges.ts'
import type { Shaped } from '../base/shape.ts'
import { hex, record, text, unshape } from '../base/shape.ts'
import type { Owner } from './account-map.ts'
import type { Bid } from './bid.ts'
import type { JobDocument } from './job.ts'
import type { ContractOffer } from './statement.ts'

/** What a hold pays for; its hash, salted, is in the hold. */
export const trancheDocumentShape = record({
  salt: hex({ bytes: 16 }),
  tasks: text({ bytesMax: 65_536 }),
})
export type TrancheDocument = Shaped<typeof trancheDocumentShape>

export function trancheCommitment(document: TrancheDocument): Hash {
  return sha256Hex('gridnode/v1/tranche\n', encode(unshape(document)))
}

/** The tasks of a tranche's document, or undefined when it is not what the hold committed to. */
export function trancheTasks(
  document: TrancheDocument,
  committed: { readonly doc: Hash; readonly tasks: number },
): Ranges | undefined {
  if (trancheCommitment(document) !== committed.doc) return undefined
  const tasks = parseRanges(document.tasks, { last: limits.taskNumberMax })
  if (!tasks || rangesSize(tasks) !== committed.tasks) return undefined
  return rangesSize(tasks) <= limits.tasksPerTranche ? tasks : undefined
}

/** Terms as the home writes them into its side of the contract. */
export function termsFor(options: {
  readonly job: JobDocument
  readonly jobSid: Hash
  readonly bid: Bid
  readonly bidNote: string
  readonly tasksMax: number
  readonly leaseSeconds: number
  readonly acceptSeconds: number
  readonly interimSeconds: number
  readonly exposurePermille: number
  readonly autoPermille: number
  readonly arbiter: SiteName | ''
}): ContractOffer {
  const { job, bid } = options
  return {
    side: 'offer',
    job: options.jobSid,
    auction: bid.auction,
    bid: sha256Hex(options.bidNote),
    tariff: bid.tariff,
    factor_permille: bid.factor_permille,
    cores: job.cores,
    memory_mib: job.memory_mib,
    walltime_s: job.walltime_seconds,
    lease_s: options.leaseSeconds,
    accept_s: options.acceptSeconds,
    tasks_max: options.tasksMax,
    interim_s: options.interimSeconds,
    exposure_permille: options.exposurePermille,
    auto_permille: options.autoPermille,
    arbiter: options.arbiter,
  }
}

export interface ChosenAccount {
  readonly name: string
  readonly owner: Owner
}

/** What the host remembers of a bid until it expires or becomes a contract. */
export interface OpenBid {
  readonly auction: string
  readonly home: SiteName
  readonly noteHash: Hash
  readonly bid: Bid
  readonly cores: number
  readonly memoryMib: number
  readonly walltimeSeconds: number
  /** Of a task; absent: none. */
  readonly gpus?: number
  /** The local account that was chosen, and for whom. */
  readonly account?: ChosenAccount
  readonly expiresEpochMs: number
}

/** [CONTRACT-1] Why a host does not agree to an offered contract, or undefined when it must. */
export function disagreement(
  terms: ContractOffer,
  openBid: OpenBid | undefined,
  nowEpochMs: number,
): string | undefined {
  if (!openBid || openBid.noteHash !== terms.bid) return 'no such bid is open'
  if (openBid.expiresEpochMs <= nowEpochMs) return 'the bid has expired'
  const same = terms.tariff === openBid.bid.tariff && terms.cores === openBid.cores &&
    terms.factor_permille === openBid.bid.factor_permille &&
    terms.memory_mib === openBid.memoryMib && terms.walltime_s === openBid.walltimeSeconds
  return same ? undefined : 'the terms are not those of the bid'
}

export interface ContractRoom {
  readonly slots: number
  readonly queueSlots: number
}

/**
 * [CONTRACT-5] The most tasks that a contract may have committed and not ended: what was bid, and a
 * stub.
 */
export function tasksCommittedMax({ slots, queueSlots }: ContractRoom): number {
  const room = slots + queueSlots
  return room + Math.ceil(room / 2)
}

/**
 * How many more tasks to commit to a host now. `outstanding` are committed and not ended. A small
 * stub beyond the slots hides the round trip when there is plenty of work; when work runs short it
 * would only keep tasks from slots elsewhere, so then there is none, unless tasks are so `brief`
 * that the round trip would cost more.
 */
export function tasksToCommit(options: {
  readonly waiting: number
  readonly outstanding: number
  readonly room: ContractRoom
  readonly slotsElsewhere: number
  readonly brief?: boolean
}): number {
  const { waiting, outstanding, room, slotsElsewhere, brief = false } = options
  const slots = room.slots + room.queueSlots
  const plenty = waiting > 2 * (slots + slotsElsewhere)
  const stub = plenty || brief
  const target = stub ? tasksCommittedMax(room) : slots
  const missing = target - outstanding
  // Top up in batches: a hold costs four statements however many tasks it covers.
  const batch = stub ? Math.min(waiting, Math.max(1, Math.floor(slots / 4))) : 1
  return missing >= batch ? Math.min(waiting, missing, limits.tasksPerTranche) : 0
}
