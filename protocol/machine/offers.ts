// The directory: our own offer goes out when something material changed and at a slow heartbeat; of
// each other site the newest is kept until it expires. Gossip is a hint; the exchange of summaries
// on every connection, and in turn with one peer after another, carries correctness [DIRECTORY-1].

import { fromHex, sha256Hex } from '../base/crypto.ts'
import type { SiteName } from '../base/ids.ts'
import type { Verifier } from '../base/note.ts'
import type { View } from '../base/tables.ts'
import { readAddresses } from '../rules/membership.ts'
import type { ClusterOffer, KeptOffer, OfferContext, OfferRefusal } from '../rules/offer.ts'
import { considerOffer, sealOffer } from '../rules/offer.ts'
import { statementSignerName } from '../rules/statement.ts'
import { isQuarantined } from './quarantine.ts'
import type { CoreTables, Self } from './state.ts'
import type { Turn } from './turn.ts'
import { count, setTimer } from './turn.ts'
import { coresLeft, gpusLeft, isDraining, loadFactor, memoryLeft } from './host-capacity.ts'

/** [DIRECTORY-3] Between two offers of a site: at least, and of that for each member. */
const offerGapMs = 500
const offerGapMsPerMember = 20
const heartbeatMsPerMember = 500
const heartbeatMsMax = 3_600_000
/** So many heartbeats may be lost before others take the offer for an old one. */
const heartbeatsValid = 4

/** The key under which a member signs offers, calls, bids and statements. */
export function verifierOf(view: View<CoreTables>, site: SiteName): Verifier | undefined {
  const member = view.get('ledgerMembers', site)
  const publicKey = member && fromHex(member.keys.statement)
  if (!member || !publicKey) return undefined
  return { name: statementSignerName(site, member.epoch), publicKey }
}

export function offerContext(
  view: View<CoreTables>, self: Self, nowEpochMs: number,
): OfferContext {
  return {
    federation: self.federation,
    verifierOf: (site) => verifierOf(view, site),
    known: (site) => view.get('offers', site),
    nowEpochMs,
  }
}

/**
 * Looks whether our offer has to go out; called at the end of every step that may have changed it.
 * True when it has more room than the one before.
 */
export function refreshOffer(turn: Turn): boolean {
  const { view, self, now } = turn
  if (isQuarantined(turn)) return false
  const drafted = draftOffer(turn)
  if (!drafted) return false
  const last = view.get('offerState', 'own')
  const digest = sha256Hex(JSON.stringify({ ...drafted, ...amounts(drafted) }))
  const due = (last?.publishedEpochMs ?? 0) + (last?.pace.heartbeatMs ?? 0)
  if (last && last.digest === digest && now < due) {
    setTimer(turn, 'offer/own', due)
    return false
  }
  // Changes are gathered, so that a busy site does not flood the federation.
  if (last && now < last.publishedEpochMs + last.pace.gapMs) {
    setTimer(turn, 'offer/own', last.publishedEpochMs + last.pace.gapMs)
    return false
  }
  const pace = paceOf(turn)
  const sequence = Math.max((view.get('offerSequence', 'own') ?? 0) + 1, now)
  const valid_seconds = Math.max(drafted.valid_seconds, pace.validSeconds)
  const offer = { ...drafted, valid_seconds, sequence, at: now }
  const note = sealOffer(offer, self.signer.statement)
  view.put('offerSequence', 'own', sequence)
  view.put('offerState', 'own', { publishedEpochMs: now, digest, pace })
  const moreRoom = keepOffer(turn, note)
  turn.effects.push({ kind: 'publishOffer', note })
  setTimer(turn, 'offer/own', now + pace.heartbeatMs)
  return moreRoom
}

/** How often a site publishes. */
export interface Pace {
  readonly gapMs: number
  readonly heartbeatMs: number
  readonly validSeconds: number
}

/**
 * [DIRECTORY-3] The more members, the less often each: what all of them publish together, which
 * everybody hears, stays below a bound.
 */
function paceOf({ view, self }: Turn): Pace {
  let members = 0
  for (const _ of view.entries('members')) members++
  const { heartbeatMs: configured, validSeconds } = self.offers
  const shared = Math.min(members * heartbeatMsPerMember, heartbeatMsMax)
  const heartbeatMs = Math.max(configured, shared)
  return {
    gapMs: Math.max(offerGapMs, members * offerGapMsPerMember),
    heartbeatMs,
    validSeconds: heartbeatMs > configured
      ? Math.max(validSeconds, Math.ceil(heartbeatsValid * heartbeatMs / 1_000)) : validSeconds,
  }
}

function amounts(offer: ClusterOffer): Record<string, string> {
  const { rate_task, rate_core_hour, rate_gib_hour } = offer
  return {
    rate_task: String(rate_task),
    rate_core_hour: String(rate_core_hour),
    rate_gib_hour: String(rate_gib_hour),
  }
}

function draftOffer(turn: Turn): ClusterOffer | undefined {
  const { view, self } = turn
  const capacity = view.get('capacity', 'own')
  const tariff = view.get('ownTariff', 'own')
  if (!capacity || !tariff || !capacity.reachable) return undefined
  return {
    fed: self.federation,
    site: self.site,
    sequence: 1,
    at: 0,
    valid_seconds: self.offers.validSeconds,
    addresses: view.get('addresses', 'own') ?? [],
    scheduler: self.scheduler,
    cores_total: capacity.coresTotal,
    cores_free: Math.max(0, coresLeft(turn)),
    memory_mib_total: capacity.memoryMibTotal,
    memory_mib_free: Math.max(0, memoryLeft(turn)),
    tasks_queued: capacity.tasksQueued,
    tasks_running: capacity.tasksRunning,
    cores_per_task_max: isDraining(turn) ? 0 : capacity.coresPerTaskMax,
    memory_mib_per_task_max: capacity.memoryMibPerTaskMax,
    walltime_seconds_max: capacity.walltimeSecondsMax,
    speed_permille: self.tariff.speedPermille,
    tariff,
    rate_task: self.tariff.task,
    rate_core_hour: self.tariff.coreHour,
    rate_gib_hour: self.tariff.gibHour,
    factor_permille: loadFactor(turn),
    attributes: self.attributes.map(({ name, value }) =>
      typeof value === 'string' ? { kind: 'text', name, value } : { kind: 'number', name, value },
    ),
    ...(self.accounts && self.accounts.map.length > 0 && { abilities: ['accounts' as const] }),
    ...(capacity.more && {
      abilities: [
        ...capacity.more.abilities,
        ...(self.accounts && self.accounts.map.length > 0 ? ['accounts' as const] : []),
      ],
      nodes_total: capacity.more.nodesTotal,
      gpus_total: capacity.more.gpusTotal,
      gpus_free: Math.max(0, gpusLeft(turn)),
      licences: capacity.more.licences,
      queues: capacity.more.queues,
    }),
  }
}

/**
 * Takes an offer in if it is newer and genuine; otherwise only a counter moves. True if it has more
 * room.
 */
export function keepOffer(turn: Turn, note: string): boolean {
  const considered = considerOffer(note, offerContext(turn.view, turn.self, turn.now))
  if (considered.ok) return keepJudged(turn, considered.value)
  count(turn, `offer_${considered.refusal.reason}`)
  return false
}

/**
 * As `keepOffer`, where the offer was read and its signature checked just now: gossip is judged
 * before it is passed on. Nothing of it goes to the disk.
 */
export function keepJudged(turn: Turn, kept: KeptOffer): boolean {
  const { offer } = kept
  const known = turn.view.get('offers', offer.site)
  if (known && known.offer.sequence >= offer.sequence) {
    const reason: OfferRefusal['reason'] = 'not_newer'
    count(turn, `offer_${reason}`)
    return false
  }
  turn.view.put('offers', offer.site, kept)
  const moved = !known || known.offer.addresses.join() !== offer.addresses.join()
  if (moved && offer.site !== turn.self.site) rememberAddresses(turn, offer)
  return offer.cores_free > (known?.offer.cores_free ?? 0)
}

function rememberAddresses(turn: Turn, offer: ClusterOffer): void {
  const member = turn.view.get('members', offer.site)
  // What is passed on to newcomers must be what they take for addresses.
  const addresses = readAddresses(offer.addresses)
  if (!member || member.addresses.join() === addresses.join()) return
  turn.view.put('members', offer.site, { ...member, addresses })
  turn.effects.push({ kind: 'connectMembers' })
}

/** Now and then: who looks at an offer looks at its end, too. */
export function forgetOffers({ view, now }: Turn): void {
  for (const [site, { expiresEpochMs }] of Array.from(view.entries('offers'))) {
    if (expiresEpochMs <= now) view.remove('offers', site)
  }
}
