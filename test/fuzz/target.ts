// One thing that is fuzzed, and how: inputs are drawn, checked, and the first that breaks is cut
// down to what still breaks it. The same seed and count draw the same inputs.

import { random } from '../sim/random.ts'
import type { Random } from '../sim/random.ts'
import { mutateBytes, mutatedCharactersMax, mutateText } from './mutate.ts'
import { mutateDocument } from './mutate-value.ts'
import { poolOf } from './pool.ts'
import type { Pool } from './pool.ts'

export interface Target {
  readonly name: string
  /** Valid inputs that changed ones are made of; of bytes, texts of the characters 0-255. */
  readonly seeds: () => readonly string[]
  readonly bytes?: boolean
  /** In place of the general mutations. */
  readonly draw?: (chance: Random, seeds: readonly string[], pool: Pool) => string
  /** How much a case costs, beside that of a small decoder. */
  readonly cost: number
  /** Throws when the input breaks a promise; what the code under test throws counts as well. */
  readonly check: (input: string) => void | Promise<void>
}

export interface Failure {
  readonly target: string
  readonly input: string
  readonly error: Error
}

export interface Result {
  readonly target: string
  readonly cases: number
  readonly slowestMs: number
  /** Of the slowest case. */
  readonly slowestInput: string
  readonly failure: Failure | undefined
}

export interface Budget {
  readonly seed: number
  readonly cases: number
  /** Asked before each case. */
  readonly goOn?: () => boolean
}

/** A case that takes longer is a failure: work must be in proportion to what came. */
export const caseMsMax = 10_000

export async function fuzz(target: Target, budget: Budget): Promise<Result> {
  const chance = random(budget.seed, target.name)
  const seeds = target.seeds()
  const pool = poolOf(seeds)
  let [cases, slowestMs, slowestInput] = [0, 0, '']
  for (const input of seeds) {
    const failure = await tryOut(target, input)
    if (failure) return { target: target.name, cases, slowestMs, slowestInput, failure }
  }
  for (; cases < budget.cases && (budget.goOn?.() ?? true); cases++) {
    const input = (target.draw ?? drawGeneral(target))(chance, seeds, pool)
      .slice(0, mutatedCharactersMax)
    const before = performance.now()
    const failure = await tryOut(target, input)
      ?? tooSlow(target, input, performance.now() - before)
    const ms = performance.now() - before
    if (ms > slowestMs) [slowestMs, slowestInput] = [ms, input]
    if (!failure) continue
    return {
      target: target.name, cases: cases + 1, slowestMs, slowestInput,
      failure: await shrink(target, failure),
    }
  }
  return { target: target.name, cases, slowestMs, slowestInput, failure: undefined }
}

function drawGeneral(target: Target): NonNullable<Target['draw']> {
  return (chance, seeds, pool) => {
    const seed = chance.pick(seeds)
    if (target.bytes === true) return mutateBytes(seed, chance, [chance.pick(seeds)])
    if (chance.chance(600)) return mutateDocument(seed, chance, pool)
    return mutateText(seed, chance, [chance.pick(seeds)])
  }
}

export async function tryOut(target: Target, input: string): Promise<Failure | undefined> {
  try {
    const checked = target.check(input)
    if (checked) await checked
    return undefined
  } catch (cause) {
    const error = cause instanceof Error ? cause : new Error(`thrown, no Error: ${String(cause)}`)
    return { target: target.name, input, error }
  }
}

function tooSlow(target: Target, input: string, ms: number): Failure | undefined {
  if (ms <= caseMsMax) return undefined
  const error = new Error(`took ${Math.round(ms)} ms for ${input.length} characters`)
  return { target: target.name, input, error }
}

const shrinkTries = 2_000
const shrinkMs = 20_000

/** Leaves out pieces, large ones first, as long as something still breaks. */
async function shrink(target: Target, failure: Failure): Promise<Failure> {
  let smallest = failure
  const end = performance.now() + shrinkMs
  let tries = shrinkTries
  for (let piece = failure.input.length >> 1; piece >= 1; piece = piece >> 1) {
    for (let at = 0; at + piece <= smallest.input.length;) {
      if (tries-- <= 0 || performance.now() > end) return smallest
      const input = smallest.input.slice(0, at) + smallest.input.slice(at + piece)
      const still = await tryOut(target, input)
      if (still?.error.name === failure.error.name) smallest = still
      else at += piece
    }
  }
  return smallest
}

/** A saved input: UTF-16 in base64, so that half a pair survives. */
export function saved(input: string): string {
  return Buffer.from(input, 'utf16le').toString('base64')
}

export function opened(base64: string): string {
  return Buffer.from(base64, 'base64').toString('utf16le')
}
