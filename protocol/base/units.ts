// Quantities with their units: money as branded bigint microcredits, everything else as safe
// integers. Division happens only in functions that name their rounding and who gains by it.

import { assert } from './assert.ts'

declare const brand: unique symbol
/** A millionth of a credit. Never negative unless a name says "net". */
export type Microcredits = bigint & { readonly [brand]: 'Microcredits' }

export const microcreditsPerCredit = 1_000_000n
/** Amounts that travel are below 2^63. */
export const microcreditsMax = (1n << 63n) - 1n
export const zeroMicrocredits = 0n as Microcredits

export function microcredits(value: bigint): Microcredits {
  assert(value >= -microcreditsMax && value <= microcreditsMax, 'microcredits within 2^63')
  return value as Microcredits
}

/** For sums of words that cross: beyond 2^63 it stays at the bound, in whatever order they came. */
export function clampMicrocredits(value: bigint): Microcredits {
  if (value > microcreditsMax) return microcreditsMax as Microcredits
  return (value < -microcreditsMax ? -microcreditsMax : value) as Microcredits
}

/** A decimal string of integer microcredits, as it travels; undefined when it is not canonical. */
export function parseAmount(text: string): Microcredits | undefined {
  if (!/^(0|[1-9][0-9]{0,18})$/.test(text)) return undefined
  const value = BigInt(text)
  return value <= microcreditsMax ? (value as Microcredits) : undefined
}

/** Credits as a person writes them: `12`, `0.5`, `12.000001 cr`. */
export function parseCredits(text: string): Microcredits | undefined {
  const match = /^([0-9]{1,12})(?:\.([0-9]{1,6}))?\s*(?:cr|credits?)?$/.exec(text.trim())
  if (!match) return undefined
  const whole = BigInt(match[1] ?? '0') * microcreditsPerCredit
  return (whole + BigInt((match[2] ?? '').padEnd(6, '0'))) as Microcredits
}

/** Credits as a person reads them: at least two decimals, no more than needed. */
export function formatCredits(amount: bigint): string {
  const sign = amount < 0n ? '-' : ''
  const value = amount < 0n ? -amount : amount
  const fraction = String(value % microcreditsPerCredit).padStart(6, '0')
  return `${sign}${value / microcreditsPerCredit}.${fraction.replace(/0{1,4}$/, '')} cr`
}

/** value × numerator ÷ denominator, rounded down: the payer gains the fraction. */
export function mulDivDown(value: bigint, numerator: bigint, denominator: bigint): bigint {
  assert(denominator > 0n && value >= 0n && numerator >= 0n, 'mulDivDown takes no negatives')
  return (value * numerator) / denominator
}

/**
 * value × numerator ÷ denominator, rounded up: for caps and estimates, so that nothing is cut
 * short.
 */
export function mulDivUp(value: bigint, numerator: bigint, denominator: bigint): bigint {
  assert(denominator > 0n && value >= 0n && numerator >= 0n, 'mulDivUp takes no negatives')
  return (value * numerator + denominator - 1n) / denominator
}

/** Integer division of safe integers, rounded up. */
export function divUp(value: number, divisor: number): number {
  assert(Number.isSafeInteger(value) && Number.isSafeInteger(divisor) && divisor > 0, 'divUp')
  // Not value + divisor - 1: that sum may be no safe integer.
  return Math.floor((value - 1) / divisor) + 1
}

const durationSeconds: Readonly<Record<string, number>> = {
  s: 1, sec: 1, m: 60, min: 60, h: 3_600, d: 86_400, w: 604_800,
}

/** Seconds from `90s`, `15m`, `1h30m`, `2d`; a bare number is refused (which unit?). */
export function parseDurationSeconds(text: string): number | undefined {
  const trimmed = text.trim().toLowerCase()
  if (!/^([0-9]{1,9}\s*[a-z]+\s*)+$/.test(trimmed)) return undefined
  let total = 0
  for (const [, count, unit] of trimmed.matchAll(/([0-9]+)\s*([a-z]+)/g)) {
    const seconds = durationSeconds[unit ?? '']
    if (seconds === undefined) return undefined
    total += Number(count) * seconds
  }
  return Number.isSafeInteger(total) ? total : undefined
}

export function formatDuration(seconds: number): string {
  if (seconds < 60) return `${seconds}s`
  const parts: string[] = []
  let rest = seconds
  for (const [unit, size] of [['d', 86_400], ['h', 3_600], ['m', 60], ['s', 1]] as const) {
    const count = Math.floor(rest / size)
    if (count > 0) parts.push(`${count}${unit}`)
    rest -= count * size
  }
  return parts.slice(0, 2).join('')
}

const byteUnits: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12,
  kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30, tib: 2 ** 40,
  k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40,
}

/** Bytes from `512MiB`, `4GiB`, `2GB` (decimal), `4G` (binary, as schedulers read it). */
export function parseBytes(text: string): number | undefined {
  const match = /^([0-9]{1,12})\s*([a-z]+)$/i.exec(text.trim())
  const unit = byteUnits[match?.[2]?.toLowerCase() ?? '']
  if (!match || unit === undefined) return undefined
  const value = Number(match[1]) * unit
  return Number.isSafeInteger(value) ? value : undefined
}

export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let [power, tenths] = [0, bytes * 10]
  // What rounds to 1024 of a unit is 1 of the next.
  while (power < units.length - 1 && tenths >= 10_240) {
    power++
    tenths = Math.round((bytes * 10) / 1024 ** power)
  }
  const text = tenths % 10 === 0 ? String(tenths / 10) : `${Math.floor(tenths / 10)}.${tenths % 10}`
  return `${text} ${units[power]}`
}
