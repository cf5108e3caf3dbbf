// A job's id as a person writes it: whole, or as many of its first digits as tell it apart.

import { usageFailure } from './failure.ts'

/** The word itself when it can be an id; whether it names one job, the node says. */
export function jobWord(word: string | undefined): string {
  if (word !== undefined && /^[0-9a-f]{4,12}$/.test(word)) return word
  const got = word === undefined ? 'nothing' : `'${word}'`
  throw usageFailure(
    `expected a job's id (12 hexadecimal digits, or at least its first 4), got ${got}. ` +
      "'gridnode status' lists the jobs.",
  )
}
