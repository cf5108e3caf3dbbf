// The demo's own count of the words, against which the results of the job are held.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { compareBytes } from '../../protocol/base/ids.ts'

export type Counts = ReadonlyMap<string, number>

/** What the job does, in one line: runs of the letters a to z, whatever their case. */
export function countWords(text: string): Counts {
  const counts = new Map<string, number>()
  for (const [word] of text.toLowerCase().matchAll(/[a-z]+/g)) {
    counts.set(word, (counts.get(word) ?? 0) + 1)
  }
  return counts
}

/** The lines `N WORD` of a task's `counts.txt`. @throws when a line is none */
export function readCounts(text: string, path: string): Counts {
  const counts = new Map<string, number>()
  for (const line of text.trimEnd().split('\n')) {
    const [, count, word = ''] = /^([1-9][0-9]{0,8}) ([a-z]+)$/.exec(line) ?? []
    if (count === undefined) throw new Error(`${path}: '${line}' is no count of a word`)
    counts.set(word, Number(count))
  }
  return counts
}

export function merge(all: readonly Counts[]): Counts {
  const counts = new Map<string, number>()
  for (const [word, count] of all.flatMap((one) => [...one])) {
    counts.set(word, (counts.get(word) ?? 0) + count)
  }
  return counts
}

/** The most frequent first, then by the alphabet. */
export function ranked(counts: Counts): (readonly [word: string, count: number])[] {
  return [...counts].sort(([a, some], [b, others]) => others - some || compareBytes(a, b))
}

export function total(counts: Counts): number {
  return [...counts.values()].reduce((sum, count) => sum + count, 0)
}

export interface TextCount {
  readonly name: string
  readonly counts: Counts
}

/** Holds the result of each task against the text that it was given. @throws at a difference */
export function checkResults(textsDirectory: string, resultsDirectory: string): TextCount[] {
  const names = readdirSync(textsDirectory).toSorted(compareBytes)
  return names.map((name, task) => {
    const own = countWords(readFileSync(join(textsDirectory, name), 'utf8'))
    const path = join(resultsDirectory, String(task), 'counts.txt')
    const counts = readCounts(readFileSync(path, 'utf8'), path)
    const words = new Set([...own.keys(), ...counts.keys()])
    for (const word of words) {
      const [expected, came] = [own.get(word) ?? 0, counts.get(word) ?? 0]
      if (expected === came) continue
      throw new Error(`${name} has '${word}' ${expected} times, task ${task} counted ${came}`)
    }
    return { name, counts }
  })
}
