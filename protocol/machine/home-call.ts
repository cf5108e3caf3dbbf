// Whom the home asks: the shortlist of a round with a reason for everybody who is not on it, and
// the call that goes out.

import { sha256Hex } from '../base/crypto.ts'
import type { SiteName } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import { rangesSize } from '../base/ranges.ts'
import type { Microcredits } from '../base/units.ts'
import { zeroMicrocredits } from '../base/units.ts'
import type { Candidate, Unfit, UnfitReason } from '../rules/announce.ts'
import { compareCandidates, sealAnnouncement, unfit } from '../rules/announce.ts'
import { mayGo } from '../rules/account-map.ts'
import { needsOf } from '../rules/needs.ts'
import type { ClusterOffer, KeptOffer } from '../rules/offer.ts'
import { offerAttributes } from '../rules/offer.ts'
import type { Attributes } from '../rules/requirements.ts'
import { compileRank, compileRequirement } from '../rules/requirements.ts'
import type { Rates } from '../rules/tariff.ts'
import { capFor } from '../rules/tariff.ts'
import { isFrozen } from './evidence.ts'
import { allocationOf, budgetLeft, documentOf, openContracts, payableAt } from './home-book.ts'
import type { Auction, AuctionEntry, Job, Unnamed } from './state.ts'
import type { Turn } from './turn.ts'
import { isUp } from './turn.ts'
import { apartFrom } from './speech.ts'
import { standingOf } from './home-standing.ts'

export type Entries = Record<string, AuctionEntry>

export function callFor(turn: Turn, job: Job, auction: Auction): string {
  const document = documentOf(turn, job.id)
  const grant = allocationOf(turn, job.id)?.sid
  const needs = needsOf(document)
  return sealAnnouncement({
    fed: turn.self.federation,
    auction: auction.id,
    home: turn.self.site,
    tasks: rangesSize(job.waiting),
    cores: document.cores,
    memory_mib: document.memory_mib,
    walltime_seconds: document.walltime_seconds,
    inputs_bytes: document.inputs_bytes,
    ...(needs && { needs }),
    ...(asksAccounts(turn, auction) && {
      owner: { user: document.user, project: document.project ?? '' },
    }),
    ...(grant !== undefined && { grant }),
    window_ms: turn.self.market.windowMs,
  }, turn.self.signer.statement)
}

export interface Shortlist {
  readonly asked: readonly SiteName[]
  /** Those that are asked, and the reasons of others, of many of them not all [ANNOUNCE-15]. */
  readonly entries: Entries
  readonly unnamed: Unnamed
}

/** [ANNOUNCE-14] Whom to ask, with a reason for everybody else. */
export function shortlist(turn: Turn, job: Job): Shortlist {
  const entries: Entries = {}
  const unnamed: { [reason in UnfitReason]?: number } = {}
  let named = 0
  const leaveOut = (site: SiteName, why: Unfit): void => {
    if (named++ < limits.unfitSitesNamed) entries[site] = { kind: 'unfit', ...why }
    else unnamed[why.reason] = (unnamed[why.reason] ?? 0) + 1
  }
  const document = documentOf(turn, job.id)
  const compiled = document.requirements === '' ? undefined
    : compileRequirement(document.requirements)
  const requirement = compiled?.ok ? compiled.value : undefined
  const taken = new Set(openContracts(turn, job).map((contract) => contract.host))
  const fit: Candidate[] = []
  for (const [, kept] of turn.view.entries('offers')) {
    if (taken.has(kept.offer.site) || kept.expiresEpochMs <= turn.now) continue
    if (isFrozen(turn.view, kept.offer.site)) {
      const detail = 'there is proof that it lied: gridnode evidence'
      leaveOut(kept.offer.site, { reason: 'frozen', detail })
      continue
    }
    if (turn.view.get('jobOrders', job.id)?.avoid.includes(kept.offer.site)) {
      const detail = 'its owner had it moved away from there'
      leaveOut(kept.offer.site, { reason: 'placement', detail })
      continue
    }
    const candidate = candidateOf(turn, job, kept)
    const why = compiled && !compiled.ok
      ? { reason: 'requirements' as const, detail: compiled.refusal.detail }
      : unfit(document, requirement, budgetLeft(turn, job), candidate)
    if (why) leaveOut(kept.offer.site, why)
    else fit.push(candidate)
  }
  const most = turn.self.market.shortlistSites
  const ranked = fit.length <= most ? fit.sort(compareCandidates)
    : fit.map((one) => ({ ...one, lot: lotOf(job, one.offer.site) })).sort(compareCandidates)
  for (const { offer } of ranked.slice(most)) {
    const detail = `the ${most} most promising sites were asked`
    leaveOut(offer.site, { reason: 'not_shortlisted', detail })
  }
  const asked = ranked.slice(0, most).map(({ offer }) => offer.site)
  for (const site of asked) entries[site] = { kind: 'asked' }
  return { asked, entries, unnamed }
}

/** So that equal sites are asked equally often, whoever asks. */
function lotOf(job: Job, site: SiteName): string {
  return sha256Hex(`gridnode/v1/lot\n${job.sid} ${job.round + 1} ${site}`)
}

/** Whether the job itself rules a site out, as far as its offer is known here. */
export function isRuledOut(turn: Turn, job: Job, site: SiteName): boolean {
  const kept = turn.view.get('offers', site)
  if (!kept) return false
  const document = documentOf(turn, job.id)
  const compiled = document.requirements === '' ? undefined
    : compileRequirement(document.requirements)
  if (compiled && !compiled.ok) return true
  const why = unfit(document, compiled?.value, budgetLeft(turn, job), candidateOf(turn, job, kept))
  return why !== undefined && ruledOutByJob.has(why.reason)
}

/** What the job itself asks for; the rest may have changed since the offer that we know. */
const ruledOutByJob: ReadonlySet<UnfitReason> = new Set([
  'placement', 'cores', 'memory', 'walltime', 'requirements', 'budget',
])

/** Whether somebody who is asked gives tasks accounts of their own. */
function asksAccounts(turn: Turn, auction: Auction): boolean {
  return Object.entries(auction.entries).some(([site, { kind }]) => kind === 'asked' &&
    turn.view.get('offers', site)?.offer.abilities?.includes('accounts'))
}

/** Least of all where the site does not publish what the expression needs. */
const unranked = -(2n ** 63n)

/** [AWARD-1] What the job's own expression makes of a site; 0 without one. */
export function rankOf(turn: Turn, job: Job, offer: ClusterOffer): bigint {
  const { rank } = documentOf(turn, job.id)
  if (rank === undefined || rank === '') return 0n
  const compiled = compileRank(rank)
  if (!compiled.ok) return 0n
  const value = compiled.value(attributesOf(turn, offer, rank))
  return value.ok ? value.value : unranked
}

/** What an expression sees of a site; its standing only if it is asked for. */
function attributesOf(turn: Turn, offer: ClusterOffer, text: string): Attributes {
  const attributes = offerAttributes(offer)
  if (!text.includes('reputation')) return attributes
  return { ...attributes, reputation_permille: standingOf(turn, offer.site) }
}

function candidateOf(turn: Turn, job: Job, { offer }: KeptOffer): Candidate {
  const own = offer.site === turn.self.site
  const { rate_task: task, rate_core_hour: core_hour, rate_gib_hour: gib_hour } = offer
  const rates = { task, core_hour, gib_hour }
  return {
    offer,
    own,
    up: isUp(turn, offer.site),
    apart: apartFrom(turn, offer.site),
    rank: rankOf(turn, job, offer),
    attributes: attributesOf(turn, offer, documentOf(turn, job.id).requirements),
    mayGo: own || mayGo(turn.self.accounts, {
      user: job.user, project: documentOf(turn, job.id).project ?? '',
    }, offer.site),
    taskCap: own ? zeroMicrocredits : taskCapOf(turn, job, rates, offer.factor_permille),
    creditLeft: own ? undefined : payableAt(turn, job.id, offer.site),
  }
}

export function taskCapOf(turn: Turn, job: Job, rates: Rates, factor: number): Microcredits {
  const document = documentOf(turn, job.id)
  return capFor(rates, factor, {
    tasks: 1,
    cores: document.cores,
    memoryMib: document.memory_mib,
    walltimeSeconds: document.walltime_seconds,
  })
}
