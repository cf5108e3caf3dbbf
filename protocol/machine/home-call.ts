// Whom the home asks: the shortlist of a round with a reason for everybody who is not on it, and
// the call that goes out.

import type { SiteName } from '../base/ids.ts'
import { rangesSize } from '../base/ranges.ts'
import type { Microcredits } from '../base/units.ts'
import { zeroMicrocredits } from '../base/units.ts'
import type { Candidate } from '../rules/announce.ts'
import { compareCandidates, sealAnnouncement, unfit } from '../rules/announce.ts'
import type { KeptOffer } from '../rules/offer.ts'
import { compileRequirement } from '../rules/requirements.ts'
import type { Rates } from '../rules/tariff.ts'
import { capFor } from '../rules/tariff.ts'
import { isFrozen } from './evidence.ts'
import { allocationOf, budgetLeft, documentOf, openContracts, payableAt } from './home-book.ts'
import type { Auction, AuctionEntry, Job } from './state.ts'
import type { Turn } from './turn.ts'
import { isUp } from './turn.ts'
import { apartFrom } from './speech.ts'

export type Entries = Record<string, AuctionEntry>

export function callFor(turn: Turn, job: Job, auction: Auction): string {
  const document = documentOf(turn, job.id)
  const grant = allocationOf(turn, job.id)?.sid
  return sealAnnouncement({
    fed: turn.self.federation,
    auction: auction.id,
    home: turn.self.site,
    tasks: rangesSize(job.waiting),
    cores: document.cores,
    memory_mib: document.memory_mib,
    walltime_seconds: document.walltime_seconds,
    inputs_bytes: document.inputs_bytes,
    ...(grant !== undefined && { grant }),
    window_ms: turn.self.market.windowMs,
  }, turn.self.signer.statement)
}

/**
 * [ANNOUNCE-14] Fills `entries` with a reason for every site that is not asked; returns those that
 * are.
 */
export function shortlist(turn: Turn, job: Job, entries: Entries): SiteName[] {
  const document = documentOf(turn, job.id)
  const compiled = document.requirements === '' ? undefined
    : compileRequirement(document.requirements)
  const requirement = compiled?.ok ? compiled.value : undefined
  const taken = new Set(openContracts(turn, job).map((contract) => contract.host))
  const fit: Candidate[] = []
  for (const [, kept] of turn.view.entries('offers')) {
    if (taken.has(kept.offer.site)) continue
    if (isFrozen(turn.view, kept.offer.site)) {
      const detail = 'there is proof that it lied: gridnode evidence'
      entries[kept.offer.site] = { kind: 'unfit', reason: 'frozen', detail }
      continue
    }
    const candidate = candidateOf(turn, job, kept)
    const why = compiled && !compiled.ok
      ? { reason: 'requirements' as const, detail: compiled.refusal.detail }
      : unfit(document, requirement, budgetLeft(turn, job), candidate)
    if (why) entries[kept.offer.site] = { kind: 'unfit', ...why }
    else fit.push(candidate)
  }
  fit.sort(compareCandidates)
  const most = turn.self.market.shortlistSites
  for (const { offer } of fit.slice(most)) {
    const detail = `the ${most} most promising sites were asked`
    entries[offer.site] = { kind: 'unfit', reason: 'not_shortlisted', detail }
  }
  const asked = fit.slice(0, most).map(({ offer }) => offer.site)
  for (const site of asked) entries[site] = { kind: 'asked' }
  return asked
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
