// Offers, calls and bids that nothing is wrong with, for the tests of the market's rules, and every
// combination of a list of faults: with two of them the earlier one is to be the reason.

import { assert } from '../harness.ts'
import type { Hash, SiteName } from '../../protocol/base/ids.ts'
import { parseHash, parseSiteName } from '../../protocol/base/ids.ts'
import type { Value } from '../../protocol/base/encoding.ts'
import type { Verifier } from '../../protocol/base/note.ts'
import type { Outcome } from '../../protocol/base/outcome.ts'
import { unshape } from '../../protocol/base/shape.ts'
import { microcredits } from '../../protocol/base/units.ts'
import type { Announcement } from '../../protocol/rules/announce.ts'
import type { Bid } from '../../protocol/rules/bid.ts'
import type { ClusterOffer } from '../../protocol/rules/offer.ts'
import type { Identity } from '../sim/identity.ts'
import { identityOf } from '../sim/identity.ts'

export const home = identityOf(0)
export const host = identityOf(1)
export const stranger = identityOf(2)
export const fed = hashNamed('fe')
export const otherFed = hashNamed('0f')
export const auction = 'ab'.repeat(8)
export const nowMs = 1_750_000_000_000

export function hashNamed(pair: string): Hash {
  return parseHash(pair.repeat(32)) as Hash
}

export function siteNamed(name: string): SiteName {
  return parseSiteName(name) as SiteName
}

export function verifierFor(of: Identity): Verifier {
  const { name, key } = of.signer.statement
  return { name, publicKey: key.publicKey }
}

export function goodOffer(change: Partial<ClusterOffer> = {}): ClusterOffer {
  return {
    fed,
    site: host.site,
    sequence: 7,
    at: nowMs,
    valid_seconds: 600,
    addresses: ['/ip4/192.0.2.2/tcp/7700'],
    scheduler: 'memory',
    cores_total: 16,
    cores_free: 4,
    memory_mib_total: 16_384,
    memory_mib_free: 4_096,
    tasks_queued: 1,
    tasks_running: 2,
    cores_per_task_max: 8,
    memory_mib_per_task_max: 8_192,
    walltime_seconds_max: 3_600,
    speed_permille: 1_000,
    tariff: hashNamed('aa'),
    rate_task: microcredits(1_000n),
    rate_core_hour: microcredits(3_600_000n),
    rate_gib_hour: microcredits(5n),
    factor_permille: 1_000,
    attributes: [],
    ...change,
  }
}

export function goodCall(change: Partial<Announcement> = {}): Announcement {
  return {
    fed,
    auction,
    home: home.site,
    tasks: 3,
    cores: 2,
    memory_mib: 512,
    walltime_seconds: 60,
    inputs_bytes: 1_000,
    window_ms: 1_000,
    ...change,
  }
}

export function goodBid(change: Partial<Bid> = {}): Bid {
  return {
    kind: 'bid',
    fed,
    auction,
    host: host.site,
    slots: 2,
    queue_slots: 1,
    tariff: hashNamed('aa'),
    factor_permille: 1_000,
    speed_permille: 1_000,
    queue_seconds: 30,
    valid_seconds: 30,
    ...change,
  }
}

/** The members of a document as they are signed, for a test to break. */
export function members(document: object): Record<string, Value> {
  return unshape(document) as Record<string, Value>
}

/** It is refused for this reason; gives what is said of it. */
export function detailOf<R extends { readonly reason: string, readonly detail: string }>(
  outcome: Outcome<unknown, R>, reason: R['reason'],
): string {
  assert.refused(outcome, reason)
  return outcome.ok ? '' : outcome.refusal.detail
}

/** All of them but the empty one, each in the order of `list`. */
export function everySubset<T>(list: readonly T[]): T[][] {
  const subsets: T[][] = [[]]
  for (const entry of list) subsets.push(...subsets.map((subset) => [...subset, entry]))
  return subsets.slice(1)
}

/** Puts `list` in another order, by numbers below the one that `below` gets. */
export function shuffled<T>(list: readonly T[], below: (bound: number) => number): T[] {
  const left = [...list]
  return list.map(() => left.splice(below(left.length), 1)[0] as T)
}
