// The directory: our own offer goes out when something material changed and at a slow heartbeat; of
// each other site the newest is kept until it expires. Gossip is a hint; the exchange of summaries
// on every connection, and in turn with one peer after another, carries correctness [DIRECTORY-1].

import { fromHex, sha256Hex } from '../base/crypto.ts'
import type { Hash, SiteName } from '../base/ids.ts'
import { compareBytes } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { Verifier } from '../base/note.ts'
import type { View } from '../base/tables.ts'
import { readAddresses } from '../rules/membership.ts'
import type { ClusterOffer, OfferContext } from '../rules/offer.ts'
import { considerOffer, sealOffer } from '../rules/offer.ts'
import { statementSignerName } from '../rules/statement.ts'
import type { MessageOf } from './messages.ts'
import { isQuarantined } from './quarantine.ts'
import type { CoreTables, Self } from './state.ts'
import type { Turn } from './turn.ts'
import { count, send, setTimer } from './turn.ts'
import { coresLeft, loadFactor, memoryLeft } from './host-capacity.ts'

const offerGapMs = 500
const offersPerMessageBytes = limits.messageBytes / 2

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
  const offer = draftOffer(turn)
  if (!offer) return false
  const last = view.get('offerState', 'own')
  const digest = sha256Hex(JSON.stringify({ ...offer, ...amounts(offer), sequence: 0, at: 0 }))
  const due = (last?.publishedEpochMs ?? 0) + self.offers.heartbeatMs
  if (last && last.digest === digest && now < due) {
    setTimer(turn, 'offer/own', due)
    return false
  }
  // Changes are gathered, so that a busy site does not flood the federation.
  if (last && now < last.publishedEpochMs + offerGapMs) {
    setTimer(turn, 'offer/own', last.publishedEpochMs + offerGapMs)
    return false
  }
  const sequence = Math.max((view.get('offerSequence', 'own') ?? 0) + 1, now)
  const note = sealOffer({ ...offer, sequence, at: now }, self.signer.statement)
  view.put('offerSequence', 'own', sequence)
  view.put('offerState', 'own', { publishedEpochMs: now, digest })
  const moreRoom = keepOffer(turn, note)
  turn.effects.push({ kind: 'publishOffer', note })
  setTimer(turn, 'offer/own', now + self.offers.heartbeatMs)
  return moreRoom
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
    cores_per_task_max: self.draining ? 0 : capacity.coresPerTaskMax,
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
  }
}

/**
 * Takes an offer in if it is newer and genuine; otherwise only a counter moves. True if it has more
 * room.
 */
export function keepOffer(turn: Turn, note: string): boolean {
  const considered = considerOffer(note, offerContext(turn.view, turn.self, turn.now))
  if (!considered.ok) {
    count(turn, `offer_${considered.refusal.reason}`)
    return false
  }
  const { offer, expiresEpochMs } = considered.value
  const known = turn.view.get('offers', offer.site)
  turn.view.put('offers', offer.site, considered.value)
  setTimer(turn, `expire/${offer.site}`, expiresEpochMs)
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

export function onOfferExpiry(turn: Turn, site: SiteName): void {
  const kept = turn.view.get('offers', site)
  if (!kept) return
  if (kept.expiresEpochMs <= turn.now) turn.view.remove('offers', site)
  else setTimer(turn, `expire/${site}`, kept.expiresEpochMs)
}

/** Newest sequences that we hold, sorted by site. */
export function offerSummary(view: View<CoreTables>): { site: SiteName; sequence: number }[] {
  const rows: { site: SiteName; sequence: number }[] = []
  for (const [, kept] of view.entries('offers')) {
    rows.push({ site: kept.offer.site, sequence: kept.offer.sequence })
  }
  return rows.sort((a, b) => compareBytes(a.site, b.site))
}

/** Sends `to` the offers that it lacks, in messages of bounded size. */
export function answerSummary(turn: Turn, to: SiteName, message: MessageOf<'summary'>): void {
  const theirs = new Map(message.offers.map(({ site, sequence }) => [site, sequence]))
  let notes: string[] = []
  let bytes = 0
  const flush = (): void => {
    if (notes.length > 0) send(turn, to, { kind: 'offers', notes })
    notes = []
    bytes = 0
  }
  for (const [site, kept] of turn.view.entries('offers')) {
    if ((theirs.get(site as SiteName) ?? 0) >= kept.offer.sequence) continue
    if (bytes + kept.note.length > offersPerMessageBytes) flush()
    notes.push(kept.note)
    bytes += kept.note.length
  }
  flush()
}

/** One hash over who belongs to the federation, as we know it. */
export function membersDigest(view: View<CoreTables>): Hash {
  const rows: string[] = []
  for (const [site, member] of view.entries('ledgerMembers')) {
    rows.push(`${site} ${member.genesis} ${member.keys.statement}`)
  }
  return sha256Hex(rows.sort(compareBytes).join('\n'))
}
