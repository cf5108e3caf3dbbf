// The standing of one site in the eyes of another, from what signed statements show and nothing
// else, in whole numbers, so that everybody who has the logs computes the same. A counterparty of
// the subject counts for no more than the credit that the observer itself gives it: scores that are
// the same for all cannot withstand invented identities (Cheng and Friedman 2005), and an invented
// one has no credit. The score is the expectation of a beta distribution (Jøsang and Ismail 2002)
// weighted by value: (R + m) / (R + S + 2m).
// Invariants: without evidence the score is 500; every counterparty moves R and S by at most the
// observer's credit to it; time only makes things count less.

import { assert } from '../base/assert.ts'
import { compareBytes } from '../base/ids.ts'
import type { SiteName } from '../base/ids.ts'
import type { Microcredits } from '../base/units.ts'
import { microcredits, mulDivDown } from '../base/units.ts'
import type { HoldOutcome } from './hold-outcomes.ts'
import { countsAs } from './hold-outcomes.ts'
import type { SaidAt } from './ledger-history.ts'

/** m: what a stranger is taken to have kept, and to have failed. */
export const priorMicrocredits = 10_000_000n
/** The most that one hold counts: it moves a stranger to 666 or 333 at the most. */
export const holdWeightMax = 10_000_000n
export const halfLifeMs = 90 * 86_400_000
/** Entries told with a score, the newest; the others are counted. */
export const entriesToldMax = 1_000

export interface ReputationTerms {
  readonly observer: SiteName
  readonly subject: SiteName
  /** Ages are counted up to here; what is dated later is of age 0. */
  readonly asOfEpochMs: number
  /** The limit that the observer gives a site; 0 for none. */
  readonly credit: (site: SiteName) => Microcredits
}

/** Value kept and failed, in microcredits. */
export interface Weights {
  readonly kept: Microcredits
  readonly failed: Microcredits
}

export interface CounterpartyWeights {
  readonly site: SiteName
  /** Undefined for the observer: what it saw itself has no bound but that of each hold. */
  readonly credit: Microcredits | undefined
  /** By age, before the bound. */
  readonly weighed: Weights
  /** What goes into R and S. */
  readonly counted: Weights
}

/** An outcome, and what it weighs with its age. */
export interface WeighedOutcome extends HoldOutcome {
  readonly weight: Microcredits
}

export interface Reputation {
  readonly observer: SiteName
  readonly subject: SiteName
  readonly asOfEpochMs: number
  /** 0 to 1,000; 500 for a stranger. */
  readonly scorePermille: number
  /** R and S. */
  readonly total: Weights
  /** In order of names. */
  readonly counterparties: readonly CounterpartyWeights[]
  /** Newest first. */
  readonly entries: readonly WeighedOutcome[]
  readonly entriesMore: number
  /** The observer's own evidence against the subject; any makes the score 0. */
  readonly evidence: readonly SaidAt[]
  /** A question to the subject is open that an honest site answers; halves the score. */
  readonly challenged: boolean
}

export interface Score {
  /** Outcomes of other sites are passed over. Each hold is to be given from one log only. */
  add(outcome: HoldOutcome): void
  /** A proof that the observer has checked and put on its own log. */
  accuse(said: SaidAt): void
  result(options?: { readonly challenged?: boolean }): Reputation
}

/**
 * `value` after `ageMs`: halved for each whole half-life, and on a straight line between, so that
 * it is value × (2H - rest) / (2H × 2^halvings), rounded down once.
 */
export function weighByAge(value: bigint, ageMs: number): Microcredits {
  assert(value >= 0n && Number.isSafeInteger(ageMs) && ageMs >= 0, 'a value and an age')
  const half = BigInt(halfLifeMs)
  const [halvings, rest] = [BigInt(ageMs) / half, BigInt(ageMs) % half]
  // No amount has 64 bits left after so many halvings.
  if (halvings > 63n) return microcredits(0n)
  return microcredits(mulDivDown(value, 2n * half - rest, (2n * half) << halvings))
}

/** Collects what there is about the subject; memory is that of its counterparties. */
export function openScore(terms: ReputationTerms): Score {
  const sums = new Map<SiteName, { kept: bigint, failed: bigint }>()
  const holds = openHoldBound()
  const evidence: SaidAt[] = []
  let entries: WeighedOutcome[] = []
  let count = 0
  return {
    add(outcome) {
      if (outcome.site !== terms.subject || outcome.counterparty === terms.subject) return
      const counts = countsAs(outcome.how)
      const age = Math.max(0, terms.asOfEpochMs - outcome.endedEpochMs)
      const value = counts === 'neither' ? 0n : holds.bound(outcome, counts)
      const weight = weighByAge(value, age)
      const sum = sums.get(outcome.counterparty) ?? { kept: 0n, failed: 0n }
      if (counts !== 'neither') sum[counts] += weight
      sums.set(outcome.counterparty, sum)
      count += 1
      entries.push({ ...outcome, weight })
      if (entries.length >= 2 * entriesToldMax) entries = newest(entries)
    },
    accuse: (said) => void evidence.push(said),
    result({ challenged = false } = {}) {
      const counterparties = [...sums].toSorted(([a], [b]) => compareBytes(a, b))
        .map(([site, sum]) => boundByCredit(terms, site, sum))
      const total = {
        kept: sumOf(counterparties.map(({ counted }) => counted.kept)),
        failed: sumOf(counterparties.map(({ counted }) => counted.failed)),
      }
      const told = newest(entries)
      return {
        observer: terms.observer,
        subject: terms.subject,
        asOfEpochMs: terms.asOfEpochMs,
        scorePermille: evidence.length > 0 ? 0 : scoreOf(total, challenged),
        total,
        counterparties,
        entries: told,
        entriesMore: count - told.length,
        evidence,
        challenged,
      }
    },
  }
}

/** (R + m) / (R + S + 2m) in permille, rounded down; half of it while a challenge is open. */
export function scoreOf({ kept, failed }: Weights, challenged = false): number {
  const score = mulDivDown(1_000n, kept + priorMicrocredits, kept + failed + 2n * priorMicrocredits)
  return Number(challenged ? score / 2n : score)
}

/** What of an outcome is within the bound for its hold, which may have several outcomes. */
function openHoldBound(): {
  bound(outcome: HoldOutcome, counts: 'kept' | 'failed'): bigint
} {
  // All outcomes of a hold come with its end, one after the other.
  let hold = ''
  let left = { kept: 0n, failed: 0n }
  return {
    bound(outcome, counts) {
      if (outcome.hold !== hold) {
        hold = outcome.hold
        left = { kept: holdWeightMax, failed: holdWeightMax }
      }
      const taken = smaller(outcome.value, left[counts])
      left[counts] -= taken
      return taken
    },
  }
}

function boundByCredit(
  { observer, credit }: ReputationTerms,
  site: SiteName,
  { kept, failed }: { readonly kept: bigint, readonly failed: bigint },
): CounterpartyWeights {
  const weighed = { kept: microcredits(kept), failed: microcredits(failed) }
  if (site === observer) return { site, credit: undefined, weighed, counted: weighed }
  const limit = credit(site)
  const counted = {
    kept: microcredits(smaller(kept, limit)), failed: microcredits(smaller(failed, limit)),
  }
  return { site, credit: limit, weighed, counted }
}

function newest(entries: readonly WeighedOutcome[]): WeighedOutcome[] {
  return entries.toSorted((a, b) => b.endedEpochMs - a.endedEpochMs
    || compareBytes(a.log, b.log) || b.index - a.index || compareBytes(a.how, b.how))
    .slice(0, entriesToldMax)
}

function smaller(left: bigint, right: bigint): bigint {
  return left < right ? left : right
}

function sumOf(amounts: readonly bigint[]): Microcredits {
  return microcredits(amounts.reduce((sum, amount) => sum + amount, 0n))
}
