// A job as a person writes it: an id whole, or as many of its first digits as tell it apart; with
// tasks behind it in brackets, and the site that is its home behind an @: `3f2a[3-5]@b.example`.

import { limits } from '../protocol/base/limits.ts'
import type { Ranges } from '../protocol/base/ranges.ts'
import { addRanges, formatRanges } from '../protocol/base/ranges.ts'
import { usageFailure } from './failure.ts'

export interface JobName {
  readonly id: string
  /** Canonical ranges; undefined: all of them. */
  readonly tasks: string | undefined
  /** Undefined: this node's, or wherever it is. */
  readonly site: string | undefined
}

/** The word itself when it can be an id; whether it names one job, the node says. */
export function jobWord(word: string | undefined): string {
  if (word !== undefined && /^[0-9a-f]{4,12}$/.test(word)) return word
  const got = word === undefined ? 'nothing' : `'${word}'`
  throw usageFailure(
    `expected a job's id (12 hexadecimal digits, or at least its first 4), got ${got}. ` +
      "'gridnode status' lists the jobs.",
  )
}

export function jobName(word: string | undefined): JobName {
  const match = /^([^[\]@]*)(?:\[([^[\]@]*)\])?(?:@([a-z0-9.-]{1,253}))?$/.exec(word ?? '')
  const id = jobWord(match?.[1] ?? word)
  return { id, tasks: match?.[2] === undefined ? undefined : taskWord(match[2]), site: match?.[3] }
}

/** `3`, `3-5`, `1,7-9` in any order. */
export function taskWord(word: string): string {
  let all: Ranges = []
  for (const part of word.split(',')) {
    const match = /^([0-9]{1,9})(?:-([0-9]{1,9}))?$/.exec(part)
    const first = Number(match?.[1])
    const last = Number(match?.[2] ?? match?.[1])
    if (!match || last < first || last > limits.taskNumberMax) {
      throw usageFailure(`expected numbers of tasks such as 3 or 3-5,9, got '${word}'`)
    }
    all = addRanges(all, [[first, last]])
  }
  return formatRanges(all)
}
