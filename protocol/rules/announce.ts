// The call for proposals: what the home tells each site of its shortlist, signed, and never more
// than a host needs in order to bid. The shortlist is bounded, so an auction's cost does not grow
// with the federation; the sites that cannot win are not asked, and each is told apart with its
// reason.
//
// Reasons a site is unfit, in order of precedence: placement [ANNOUNCE-1], unreachable
// [ANNOUNCE-2], cores [ANNOUNCE-3], memory [ANNOUNCE-4] and the others of needs.ts, walltime
// [ANNOUNCE-5], requirements
// [ANNOUNCE-6], credit [ANNOUNCE-7], budget [ANNOUNCE-8], not_shortlisted [ANNOUNCE-9].
// A proven liar is not considered at all: frozen [ANNOUNCE-14].

import { parseSealed, seal, verifySealed } from '../base/envelope.ts'
import { compareBytes } from '../base/ids.ts'
import type { FederationId, SiteName } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { Signer, Verifier } from '../base/note.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import type { Shaped } from '../base/shape.ts'
import {
  hash, hex, integer, optional, record, shaped, siteName, text, unshape,
} from '../base/shape.ts'
import { formatCredits, formatDuration } from '../base/units.ts'
import type { Microcredits } from '../base/units.ts'
import type { JobDocument } from './job.ts'
import type { Lack } from './needs.ts'
import { lackOf, needsOf, needsShape } from './needs.ts'
import type { ClusterOffer } from './offer.ts'
import { offerHoldings } from './offer.ts'
import type { Attributes, Requirement } from './requirements.ts'

export const announcementShape = record({
  fed: hash(),
  /** Names the auction: 16 hex digits, unique at the home. */
  auction: hex({ bytes: 8 }),
  home: siteName(),
  tasks: integer({ min: 1, max: limits.tasksPerJob }),
  cores: integer({ min: 1, max: 65_536 }),
  memory_mib: integer({ min: 1, max: 2 ** 32 }),
  walltime_seconds: integer({ min: 1, max: 366 * 86_400 }),
  inputs_bytes: integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  /** Beyond cores, memory and time; absent: nothing. */
  needs: optional(needsShape),
  /** Whose job it is: said when a site is asked that runs tasks under accounts of their owners. */
  owner: optional(record({
    user: text({ bytesMax: 64, pattern: /^[A-Za-z0-9._-]{1,64}$/ }),
    project: text({ bytesMax: 63, pattern: /^[A-Za-z0-9._-]{0,63}$/ }),
  })),
  /** The allocation that would pay; absent: the home's credit at the bidder. */
  grant: optional(hash()),
  /** How long the home collects bids, from when it sent this. */
  window_ms: integer({ min: 1, max: 600_000 }),
})

export type Announcement = Shaped<typeof announcementShape>

export function sealAnnouncement(announcement: Announcement, signer: Signer): string {
  return seal('announce', unshape(announcement), signer).note
}

/** [ANNOUNCE-10] A call is heard only from the member that signed it. */
export function readAnnouncement(
  note: string,
  expected: { federation: FederationId; from: SiteName; verifier: Verifier },
): Outcome<Announcement, { reason: 'malformed'; detail: string }> {
  const sealed = parseSealed(note, { bytesMax: limits.statementBytes })
  if (!sealed.ok) return sealed
  const decoded = shaped(announcementShape, sealed.value.body)
  if (!decoded.ok) return decoded
  const wrong = sealed.value.kind !== 'announce' || decoded.value.fed !== expected.federation ||
    decoded.value.home !== expected.from || !verifySealed(sealed.value, expected.verifier)
  if (wrong) {
    return refuse({ reason: 'malformed', detail: `not an announcement of ${expected.from}` })
  }
  return ok(decoded.value)
}

/** The order is the order of precedence: the first that applies is the one shown. */
export type UnfitReason =
  | 'placement' | 'unreachable' | Lack['reason'] | 'walltime' | 'requirements'
  | 'credit' | 'budget' | 'not_shortlisted' | 'frozen' | 'account'

export interface Unfit {
  readonly reason: UnfitReason
  readonly detail: string
}

/** What the home knows of one candidate when it draws up the shortlist. */
export interface Candidate {
  readonly offer: ClusterOffer
  readonly own: boolean
  readonly up: boolean
  /** Why nothing can be agreed with it at present, although it is there. */
  readonly apart?: string | undefined
  /** The cap of one task at the site's present prices; 0 at home. */
  readonly taskCap: Microcredits
  /** What expressions see of it. */
  readonly attributes: Attributes
  /** What the job's own expression makes of it: the larger, the sooner; 0 without one. */
  readonly rank: bigint
  /** Whether our own rules let a job of its owner go there [ACCOUNT-2]. */
  readonly mayGo: boolean
  /** How much more we may owe the site; undefined at home, where nothing is owed. */
  readonly creditLeft: Microcredits | undefined
  /** Decides among equals where not all can be asked; drawn anew for each round of each job. */
  readonly lot?: string
}

/** Why this site cannot win this job, or undefined when it may be asked. */
export function unfit(
  job: JobDocument,
  requirement: Requirement | undefined,
  budgetLeft: Microcredits,
  candidate: Candidate,
): Unfit | undefined {
  const { offer, own } = candidate
  const listed = job.sites.length === 0 || job.sites.includes(offer.site)
  if (!listed) return { reason: 'placement', detail: `the job asks for ${job.sites.join(', ')}` }
  if (job.place === 'home' && !own) return { reason: 'placement', detail: 'the job stays at home' }
  if (job.place === 'remote' && own) return { reason: 'placement', detail: 'the job leaves home' }
  if (!candidate.mayGo) {
    return { reason: 'account', detail: 'the home does not let jobs of this user go there' }
  }
  if (!candidate.up) return { reason: 'unreachable', detail: 'no connection to the site' }
  if (candidate.apart !== undefined) return { reason: 'unreachable', detail: candidate.apart }
  const { cores, memory_mib } = job
  const lack = lackOf({ cores, memory_mib, needs: needsOf(job) }, offerHoldings(offer))
  if (!lack.ok) return lack.refusal
  if (job.walltime_seconds > offer.walltime_seconds_max) {
    const wanted = formatDuration(job.walltime_seconds)
    const most = formatDuration(offer.walltime_seconds_max)
    return { reason: 'walltime', detail: `a task wants ${wanted}, the site allows at most ${most}` }
  }
  const met = requirement === undefined ? ok(true) : requirement(candidate.attributes)
  if (!met.ok) return { reason: 'requirements', detail: met.refusal.detail }
  if (!met.value) return { reason: 'requirements', detail: `not true here: ${job.requirements}` }
  return unaffordable(budgetLeft, candidate)
}

function unaffordable(budgetLeft: Microcredits, candidate: Candidate): Unfit | undefined {
  const { taskCap, creditLeft } = candidate
  if (creditLeft !== undefined && creditLeft < taskCap) {
    const detail = `one task may cost ${formatCredits(taskCap)}, ` +
      `the site lets us owe ${formatCredits(creditLeft)} more`
    return { reason: 'credit', detail }
  }
  if (taskCap > budgetLeft) {
    const detail = `one task may cost ${formatCredits(taskCap)}, ` +
      `the budget has ${formatCredits(budgetLeft)} left`
    return { reason: 'budget', detail }
  }
  return undefined
}

/**
 * [ANNOUNCE-11] The most promising sites first: free slots, then price, then the lot, then name (a
 * total order).
 */
export function compareCandidates(left: Candidate, right: Candidate): number {
  if (left.rank !== right.rank) return left.rank > right.rank ? -1 : 1
  const free = Number(right.offer.cores_free > 0) - Number(left.offer.cores_free > 0)
  if (free !== 0) return free
  if (left.taskCap !== right.taskCap) return left.taskCap < right.taskCap ? -1 : 1
  return compareBytes(left.lot ?? '', right.lot ?? '')
    || compareBytes(left.offer.site, right.offer.site)
}
