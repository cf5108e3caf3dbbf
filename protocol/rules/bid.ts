// A firm bid, or a refusal with its reason: how a host answers a call for proposals. For a bid the
// host reserves what it offers until the bid expires; the rates are those of its tariff times one
// factor.
//
// Reasons to refuse, in order of precedence: scheduler_unknown [BID-1], cores [BID-2], memory
// [BID-3], ability, nodes, gpus and licences (needs.ts), walltime [BID-4], account
// [ACCOUNT-1], credit [BID-5], draining [BID-6], too_many_bids [BID-7], spool [BID-8], busy
// [BID-9].

import { parseSealed, seal, verifySealed } from '../base/envelope.ts'
import type { FederationId, SiteName } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { Signer, Verifier } from '../base/note.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import type { Shaped } from '../base/shape.ts'
import {
  hash, hex, integer, literal, oneOf, record, shaped, siteName, text, union, unshape,
} from '../base/shape.ts'
import { formatBytes, formatDuration } from '../base/units.ts'
import type { Announcement } from './announce.ts'
import type { Holdings } from './needs.ts'
import { lackOf } from './needs.ts'

const refusalReasons = [
  'cores', 'memory', 'ability', 'nodes', 'gpus', 'licences', 'walltime', 'credit',
  'draining', 'too_many_bids', 'spool', 'account',
  'busy', 'scheduler_unknown',
] as const

export type BidRefusalReason = (typeof refusalReasons)[number]

const head = { fed: hash(), auction: hex({ bytes: 8 }), host: siteName() }
const answerShape = union('kind', {
  bid: record({
    kind: literal('bid'),
    ...head,
    /** Tasks that can start at once; reserved until the bid expires. */
    slots: integer({ min: 0, max: limits.tasksPerJob }),
    /** Further tasks that the host would take to wait in its queue. */
    queue_slots: integer({ min: 0, max: limits.tasksPerJob }),
    tariff: hash(),
    factor_permille: integer({ min: 1, max: 1_000_000 }),
    speed_permille: integer({ min: 1, max: 1_000_000 }),
    /** Estimated wait of a task that takes a queue slot. */
    queue_seconds: integer({ min: 0, max: 10 ** 9 }),
    valid_seconds: integer({ min: 1, max: 86_400 }),
  }),
  refusal: record({
    kind: literal('refusal'),
    ...head,
    reason: oneOf(...refusalReasons),
    detail: text({ bytesMax: 512 }),
  }),
})

export type BidAnswer = Shaped<typeof answerShape>
export type Bid = Extract<BidAnswer, { kind: 'bid' }>

export function sealBidAnswer(answer: BidAnswer, signer: Signer): string {
  return seal(answer.kind, unshape(answer), signer).note
}

/** [BID-10] An answer counts only from the site that signed it. */
export function readBidAnswer(
  note: string,
  expected: { federation: FederationId; from: SiteName; verifier: Verifier },
): Outcome<BidAnswer, { reason: 'malformed'; detail: string }> {
  const sealed = parseSealed(note, { bytesMax: limits.statementBytes })
  if (!sealed.ok) return sealed
  const decoded = shaped(answerShape, sealed.value.body)
  if (!decoded.ok) return decoded
  const answer = decoded.value
  const wrong = sealed.value.kind !== answer.kind || answer.fed !== expected.federation ||
    answer.host !== expected.from || !verifySealed(sealed.value, expected.verifier)
  return wrong
    ? refuse({ reason: 'malformed', detail: `not a bid of ${expected.from}` })
    : ok(answer)
}

/** What a host weighs when it is called. Reserved = open bids and open contracts. */
export interface HostStanding extends Holdings {
  readonly coresFree: number
  readonly coresReserved: number
  readonly memoryMibTotal: number
  readonly memoryMibFree: number
  readonly memoryMibReserved: number
  /** Graphics processors that nobody has and nobody was promised. */
  readonly gpusLeft: number
  readonly walltimeSecondsMax: number
  /** Cores' worth of tasks it takes beyond its free cores. */
  readonly queueCores: number
  /** Why the owner of the job has no account here [ACCOUNT-1]; undefined: it has, or needs none. */
  readonly noAccount?: string
  readonly bidsOpen: number
  /** Of them, those to this home. */
  readonly bidsOpenToHome: number
  readonly draining: boolean
  readonly spoolBytesFree: number
  /** How many such tasks the home may owe us beside what we have bid to it already. */
  readonly tasksAffordable: number
  readonly creditDetail: string
  /** When one such task would start at the latest, by the walltimes of what runs and waits. */
  readonly secondsUntilStart: number
}

export interface BidRoom {
  readonly slots: number
  readonly queueSlots: number
  readonly queueSeconds: number
}

/** The one decision of a host that is asked: room for some tasks, or the first reason why not. */
export function considerAnnouncement(
  call: Announcement,
  host: HostStanding,
): Outcome<BidRoom, { reason: BidRefusalReason; detail: string }> {
  const no = (
    reason: BidRefusalReason, detail: string,
  ): Outcome<never, { reason: BidRefusalReason; detail: string }> => refuse({ reason, detail })
  const lack = lackOf(call, host)
  if (!lack.ok) return lack
  if (call.walltime_seconds > host.walltimeSecondsMax) {
    const [wanted, most] = [call.walltime_seconds, host.walltimeSecondsMax].map(formatDuration)
    return no('walltime', `a task wants ${wanted}, at most ${most} here`)
  }
  if (host.noAccount !== undefined) return no('account', host.noAccount)
  if (host.tasksAffordable < 1) return no('credit', host.creditDetail)
  if (host.draining) return no('draining', 'the site takes no new work')
  const full = host.bidsOpen >= limits.bidsOpenPerHost ||
    host.bidsOpenToHome >= limits.bidsOpenPerHome
  if (full) return no('too_many_bids', `${host.bidsOpen} bids are open; ask again later`)
  // Also a job without inputs needs a little: a script, and what it prints.
  if (call.inputs_bytes >= host.spoolBytesFree) {
    const [wanted, left] = [call.inputs_bytes, host.spoolBytesFree].map(formatBytes)
    return no('spool', `the inputs take ${wanted}, the spool has ${left} left`)
  }
  const room = roomFor(call, host)
  if (room.slots === 0 && room.queueSlots === 0) {
    const wait = formatDuration(host.secondsUntilStart)
    return no('busy', `no room; ${host.coresFree} of ${host.coresTotal} cores free, ` +
      `one more would start within ${wait}`)
  }
  return ok(room)
}

function roomFor(call: Announcement, host: HostStanding): BidRoom {
  const coresLeft = host.coresFree - host.coresReserved
  const memoryLeft = host.memoryMibFree - host.memoryMibReserved
  const byCores = Math.floor(coresLeft / call.cores)
  const byMemory = Math.floor(memoryLeft / call.memory_mib)
  // Nobody reserves more than it could pay for.
  const tasks = Math.min(call.tasks, host.tasksAffordable)
  const gpus = call.needs?.gpus ?? 0
  const byGpus = gpus === 0 ? tasks : Math.floor(host.gpusLeft / gpus)
  const slots = Math.max(0, Math.min(byCores, byMemory, byGpus, tasks))
  // What is reserved beyond the free cores already waits; it uses up the queue's room.
  const queueLeft = host.queueCores + Math.min(0, coresLeft)
  // One that is wider than the whole queue waits alone, or it would never have its turn.
  const alone = slots === 0 && coresLeft >= 0 && host.queueCores > 0 ? 1 : 0
  const queued = Math.max(alone, Math.floor(queueLeft / call.cores))
  const queueSlots = Math.max(0, Math.min(queued, tasks - slots))
  return { slots, queueSlots, queueSeconds: host.secondsUntilStart }
}
