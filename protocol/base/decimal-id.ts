// A job's id in base ten: what the batch commands print and read, and what a task finds in the
// variables of its dialect. Both ways by arithmetic, so that every site, every user and every task
// knows the same number without a table, and no number is ever given out twice.
//
// Invariant: at most 15 digits, an exact integer everywhere; 0 to 2^48 - 1.

import type { JobId } from './ids.ts'

const idDigits = 12

/** @param id a whole id, 12 hexadecimal digits */
export function decimalOf(id: JobId | string): string {
  return String(Number.parseInt(id, 16))
}

/** Undefined when it is no number that a job can have. */
export function jobOfDecimal(text: string): JobId | undefined {
  if (!/^(0|[1-9][0-9]{0,14})$/.test(text)) return undefined
  const number = Number(text)
  if (number >= 2 ** 48) return undefined
  return number.toString(16).padStart(idDigits, '0') as string as JobId
}
