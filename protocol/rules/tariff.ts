// Prices: the one function that turns usage into an amount, and the one that bounds it beforehand.
// Invariants: a charge is rounded down (the payer gains the fraction), a cap is rounded up, and the
// price of any usage within the resources of a cap is at most that cap.

import type { Microcredits } from '../base/units.ts'
import { microcredits, microcreditsMax, mulDivDown, mulDivUp } from '../base/units.ts'
import type { TariffFields, Usage } from './statement.ts'

export type Rates = Pick<TariffFields, 'task' | 'core_hour' | 'gib_hour'>

/** What tasks may use at the most: cores and memory are of each task. */
export interface Resources {
  readonly tasks: number
  readonly cores: number
  readonly memoryMib: number
  readonly walltimeSeconds: number
}

const secondsPerHour = 3_600n
const mibPerGib = 1_024n
const permille = 1_000n

/** The amount for what was used: (rates × usage) × factor, rounded down once; at most 2^63 - 1. */
export function price(rates: Rates, factorPermille: number, usage: Usage): Microcredits {
  const hourly = rates.task * BigInt(usage.tasks) * secondsPerHour
    + rates.core_hour * BigInt(usage.core_s)
    + rates.gib_hour * BigInt(usage.gib_s)
  return bounded(mulDivDown(hourly, BigInt(factorPermille), secondsPerHour * permille))
}

/** The most that tasks within `resources` can cost, rounded up; at most 2^63 - 1. */
export function capFor(rates: Rates, factorPermille: number, resources: Resources): Microcredits {
  const tasks = BigInt(resources.tasks)
  const walltime = BigInt(resources.walltimeSeconds)
  const hourly = rates.task * tasks * secondsPerHour * mibPerGib
    + rates.core_hour * tasks * BigInt(resources.cores) * walltime * mibPerGib
    + rates.gib_hour * tasks * BigInt(resources.memoryMib) * walltime
  const divisor = secondsPerHour * mibPerGib * permille
  return bounded(mulDivUp(hourly, BigInt(factorPermille), divisor))
}

function bounded(value: bigint): Microcredits {
  return microcredits(value > microcreditsMax ? microcreditsMax : value)
}
