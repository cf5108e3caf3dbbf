// Which outputs a job's patterns take. Matching goes down name by name, so a walk can leave out the
// directories in which nothing can match; the work for a name is bounded, there is no backtracking
// over names.
//
// [STAGE-8] An output pattern is a path [STAGE-3] that may hold '*', '?' and '**' and may end in
//           '/'; at most outputPatternsMax of them, outputPatternBytesMax characters together.

import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import type { StageRefusal } from './stage.ts'
import { pathFault } from './stage.ts'

export const outputPatternsMax = 256
export const outputPatternBytesMax = 16 * 1024

/** A checked output pattern [STAGE-8]; `names` without the trailing '/'. */
export interface OutputPattern {
  readonly text: string
  readonly names: readonly string[]
  /** The pattern ended in '/': it takes a directory's content, never a file of that name. */
  readonly directoryOnly: boolean
}

/**
 * Patterns are anchored at the job's directory. Within a name '*' takes any characters and '?'
 * one; a name '**' takes any number of names, none included. What matches a directory takes all
 * that is below it.
 * There are no classes and no escapes; a leading dot is a character like others.
 */
export function parseOutputPatterns(
  texts: readonly string[],
): Outcome<readonly OutputPattern[], StageRefusal> {
  const length = texts.reduce((sum, one) => sum + one.length, 0)
  const over =
    texts.length > outputPatternsMax
      ? { what: 'output patterns', count: texts.length, countMax: outputPatternsMax }
      : { what: 'characters of patterns', count: length, countMax: outputPatternBytesMax }
  if (over.count > over.countMax) return refuse({ reason: 'too_many', ...over })
  const patterns: OutputPattern[] = []
  for (const one of texts) {
    const directoryOnly = one.endsWith('/') && one !== '/'
    const path = directoryOnly ? one.slice(0, -1) : one
    const fault = pathFault(path)
    if (fault) return refuse({ reason: 'bad_path', path: one, fault })
    patterns.push({ text: one, names: path.split('/'), directoryOnly })
  }
  return ok(patterns)
}

/**
 * How far each pattern has come on the way down to a directory: a set of positions in its names.
 * Position n of n names: this very directory matched; n + 1: one above it did.
 */
export type Standing = readonly (readonly number[])[]

export function standingAtRoot(patterns: readonly OutputPattern[]): Standing {
  return patterns.map((pattern) => closure(pattern.names, [0]))
}

/** The standing one name further down: at most |name| × |pattern| steps a pattern. */
export function enterName(
  patterns: readonly OutputPattern[], standing: Standing, name: string,
): Standing {
  return patterns.map(({ names }, index) => {
    const next: number[] = []
    for (const position of standing[index] ?? []) {
      if (position >= names.length) return [names.length + 1]
      const wanted = names[position] ?? ''
      if (wanted === '**') next.push(position)
      else if (matchName(wanted, name)) next.push(position + 1)
    }
    return closure(names, next)
  })
}

/** Whether anything at or below this standing can still match. */
export function isHopeless(standing: Standing): boolean {
  return standing.every((positions) => positions.length === 0)
}

/** Indices of the patterns that take what stands here. */
export function takenBy(
  patterns: readonly OutputPattern[], standing: Standing, kind: 'file' | 'directory',
): number[] {
  const taken: number[] = []
  patterns.forEach(({ names, directoryOnly }, index) => {
    const least = kind === 'file' && directoryOnly ? names.length + 1 : names.length
    if (standing[index]?.some((position) => position >= least)) taken.push(index)
  })
  return taken
}

/** Which of the paths the patterns take, in the order given, and which patterns took nothing. */
export function matchOutputs(
  patterns: readonly OutputPattern[],
  tree: { readonly files: readonly string[]; readonly directories: readonly string[] },
): { files: string[]; directories: string[]; missing: string[] } {
  const used = new Set<number>()
  const taken = (kind: 'file' | 'directory') => (path: string): boolean => {
    let standing = standingAtRoot(patterns)
    for (const name of path.split('/')) standing = enterName(patterns, standing, name)
    const by = takenBy(patterns, standing, kind)
    for (const index of by) used.add(index)
    return by.length > 0
  }
  const files = tree.files.filter(taken('file'))
  const directories = tree.directories.filter(taken('directory'))
  const missing = patterns.filter((_, index) => !used.has(index)).map((pattern) => pattern.text)
  return { files, directories, missing }
}

/**
 * Whether `pattern` ('*' and '?') takes the whole of `name`. On failure only the last '*' grows,
 * hence at most |name| × |pattern| steps.
 */
export function matchName(pattern: string, name: string): boolean {
  let at = 0
  let to = 0
  let star = -1
  let starTook = 0
  while (to < name.length) {
    const wanted = pattern[at]
    if (wanted === '*') {
      star = at++
      starTook = to
    } else if (wanted === '?') {
      to += (name.codePointAt(to) ?? 0) > 0xffff ? 2 : 1
      at++
    } else if (wanted !== undefined && wanted === name[to]) {
      to++
      at++
    } else if (star >= 0) {
      at = star + 1
      to = ++starTook
    } else {
      return false
    }
  }
  while (pattern[at] === '*') at++
  return at === pattern.length
}

/** Adds the positions that a '**' may skip to, each once, ascending. */
function closure(names: readonly string[], positions: readonly number[]): number[] {
  const all = new Set<number>()
  for (const start of positions) {
    let position = start
    all.add(position)
    while (names[position] === '**' && !all.has(position + 1)) all.add(++position)
  }
  return [...all].toSorted((a, b) => a - b)
}
