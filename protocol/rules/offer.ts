// A ClusterOffer: what a site has, what it costs and where it is, signed by the site's statement
// key and gossiped. Each node keeps the newest of each site; together they are the federation's
// directory.
//
// Refusals in order of precedence: malformed [OFFER-1], wrong_federation [OFFER-2], not_newer
// [OFFER-3], wrong_author [OFFER-4], bad_signature [OFFER-5], expired [OFFER-6]. What is known
// already is dropped before its signature costs anything.

import type { Sealed } from '../base/envelope.ts'
import { parseSealed, seal, verifySealed } from '../base/envelope.ts'
import type { FederationId, SiteName } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { Signer, Verifier } from '../base/note.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import type { Shaped } from '../base/shape.ts'
import type { Holdings } from './needs.ts'
import { abilityWords, licenceShape } from './needs.ts'
import type { Attributes } from './requirements.ts'
import {
  amount, hash, integer, list, oneOf, optional, record, shaped, siteName, text, union,
  literal, unshape,
} from '../base/shape.ts'

const count = (): ReturnType<typeof integer> => integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const attributeName = text({ bytesMax: 64, pattern: /^[a-z][a-z0-9_]*$/ })

export const offerShape = record({
  fed: hash(),
  site: siteName(),
  /** Grows with every offer of the site, over restarts too. */
  sequence: integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  at: count(),
  valid_seconds: integer({ min: 1, max: 86_400 }),
  addresses: list(text({ bytesMax: 256 }), { max: 16 }),
  scheduler: text({ bytesMax: 32 }),
  cores_total: count(),
  cores_free: count(),
  memory_mib_total: count(),
  memory_mib_free: count(),
  tasks_queued: count(),
  tasks_running: count(),
  /** The largest single task: what fits one node of the site. */
  cores_per_task_max: count(),
  memory_mib_per_task_max: count(),
  walltime_seconds_max: count(),
  /** 1000 = the reference core. */
  speed_permille: integer({ min: 1, max: 1_000_000 }),
  tariff: hash(),
  rate_task: amount(),
  rate_core_hour: amount(),
  rate_gib_hour: amount(),
  /** What the site would ask now, times its posted rates. */
  factor_permille: integer({ min: 1, max: 1_000_000 }),
  attributes: list(
    union('kind', {
      text: record({ kind: literal('text'), name: attributeName, value: text({ bytesMax: 256 }) }),
      number: record({ kind: literal('number'), name: attributeName, value: count() }),
    }),
    { max: limits.attributesPerOffer },
  ),
  /** What its scheduler can do for a task beyond the usual; absent: nothing. */
  abilities: optional(list(oneOf(...abilityWords), { max: abilityWords.length })),
  nodes_total: optional(count()),
  gpus_total: optional(count()),
  gpus_free: optional(count()),
  licences: optional(list(licenceShape, { max: 64 })),
  queues: optional(list(text({ bytesMax: 64 }), { max: 64 })),
})

export type ClusterOffer = Shaped<typeof offerShape>

/** What a task that needs more than cores, memory and time finds at the site. */
export function offerHoldings(offer: ClusterOffer): Holdings {
  return {
    coresTotal: offer.cores_total,
    coresPerTaskMax: offer.cores_per_task_max,
    memoryMibPerTaskMax: offer.memory_mib_per_task_max,
    nodesTotal: offer.nodes_total ?? 1,
    gpusTotal: offer.gpus_total ?? 0,
    abilities: offer.abilities ?? [],
    licences: offer.licences ?? [],
  }
}

/**
 * An offer with its note, as the directory keeps it; `expiresEpochMs` is on the keeper's own clock.
 */
export interface KeptOffer {
  readonly offer: ClusterOffer
  readonly note: string
  readonly receivedEpochMs: number
  readonly expiresEpochMs: number
}

export interface OfferRefusal {
  readonly reason:
    | 'malformed' | 'wrong_federation' | 'wrong_author' | 'bad_signature' | 'expired' | 'not_newer'
  readonly detail: string
}

/** An author's clock may be off by so much before its fresh offer is taken for an old one. */
export const offerClockSkewMsMax = 10 * 60_000

export function sealOffer(offer: ClusterOffer, signer: Signer): string {
  return seal('offer', unshape(offer), signer).note
}

export interface OfferContext {
  readonly federation: FederationId
  /** The author's statement key, if the author is a member. */
  readonly verifierOf: (site: SiteName) => Verifier | undefined
  readonly known: (site: SiteName) => KeptOffer | undefined
  readonly nowEpochMs: number
}

/** Decides whether `note` replaces what the directory holds. */
export function considerOffer(
  note: string,
  context: OfferContext,
): Outcome<KeptOffer, OfferRefusal> {
  const sealed = parseSealed(note, { bytesMax: limits.offerBytes })
  if (!sealed.ok) return refuse({ reason: 'malformed', detail: sealed.refusal.detail })
  const offer = readOffer(sealed.value)
  if (!offer.ok) return offer
  const { fed, site, sequence, at, valid_seconds } = offer.value
  if (fed !== context.federation) {
    return refuse({ reason: 'wrong_federation', detail: `an offer of federation ${fed}` })
  }
  const known = context.known(site)
  if (known && known.offer.sequence >= sequence) {
    return refuse({ reason: 'not_newer', detail: `${site} is known at ${known.offer.sequence}` })
  }
  const verifier = context.verifierOf(site)
  if (!verifier) return refuse({ reason: 'wrong_author', detail: `${site} is not a member` })
  if (!verifySealed(sealed.value, verifier)) {
    return refuse({ reason: 'bad_signature', detail: `not signed by ${site}` })
  }
  const now = context.nowEpochMs
  const expiresByAuthor = at + valid_seconds * 1000
  if (expiresByAuthor + offerClockSkewMsMax < now) {
    return refuse({ reason: 'expired', detail: `valid until ${expiresByAuthor}, now ${now}` })
  }
  const expiresEpochMs = now + valid_seconds * 1000
  return ok({ offer: offer.value, note, receivedEpochMs: now, expiresEpochMs })
}

function readOffer(sealed: Sealed): Outcome<ClusterOffer, OfferRefusal> {
  if (sealed.kind !== 'offer') {
    return refuse({ reason: 'malformed', detail: `expected an offer, got ${sealed.kind}` })
  }
  const decoded = shaped(offerShape, sealed.body)
  return decoded.ok ? decoded : refuse({ reason: 'malformed', detail: decoded.refusal.detail })
}

/** What a requirements expression sees of an offer: its numbers, and its attributes by name. */
export function offerAttributes(offer: ClusterOffer): Attributes {
  const attributes: Record<string, string | number> = {}
  for (const { name, value } of offer.attributes) attributes[name] = value
  return {
    ...attributes,
    site: offer.site,
    scheduler: offer.scheduler,
    cores_total: offer.cores_total,
    cores_free: offer.cores_free,
    memory_mib_total: offer.memory_mib_total,
    memory_mib_free: offer.memory_mib_free,
    tasks_queued: offer.tasks_queued,
    tasks_running: offer.tasks_running,
    cores_per_task_max: offer.cores_per_task_max,
    memory_mib_per_task_max: offer.memory_mib_per_task_max,
    walltime_seconds_max: offer.walltime_seconds_max,
    speed_permille: offer.speed_permille,
    rate_task: Number(offer.rate_task),
    rate_core_hour: Number(offer.rate_core_hour),
    rate_gib_hour: Number(offer.rate_gib_hour),
    factor_permille: offer.factor_permille,
    nodes_total: offer.nodes_total ?? 1,
    gpus_total: offer.gpus_total ?? 0,
    gpus_free: offer.gpus_free ?? 0,
    licences: Object.fromEntries((offer.licences ?? []).map(({ name, count: has }) => [name, has])),
    queues: offer.queues ?? [],
    abilities: offer.abilities ?? [],
  }
}
