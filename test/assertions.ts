// What a test may claim, and how a broken claim reads. Equality is deep and strict over Map, Set,
// bigint, typed arrays and prototypes; a difference is shown line by line. A claim that something
// throws always names the message it expects, so that a misspelt call cannot pass for the refusal
// under test.
// Tests import `assert` from harness.ts.

import { inspect, isDeepStrictEqual } from 'node:util'
import type { Outcome } from '../protocol/base/outcome.ts'

/** A claim that did not hold. `details` is shown under the message. */
export class BrokenClaim extends Error {
  override readonly name = 'BrokenClaim'
  readonly details: string
  constructor(message: string, details = '') {
    super(message)
    this.details = details
  }
}

type Reasoned = { readonly reason: string }

export interface Assert {
  /** Deep, strict: Map, Set, bigint, typed arrays, prototypes; NaN equals NaN, 0 is not -0. */
  equal(actual: unknown, expected: unknown, message?: string): void
  notEqual(actual: unknown, unexpected: unknown, message?: string): void
  ok(value: unknown, message?: string): asserts value
  match(text: string, pattern: RegExp | string, message?: string): void
  notMatch(text: string, pattern: RegExp | string, message?: string): void
  /** The pattern is held against the error's message. Gives the error back. */
  throws(fn: () => unknown, pattern: RegExp): Error
  /** Takes a promise, or a function that gives one. Gives the error back. */
  rejects(promise: PromiseLike<unknown> | (() => unknown), pattern: RegExp): Promise<Error>
  /** The outcome is a refusal with this reason; gives the refusal back. */
  refused<Refusal extends Reasoned, Reason extends Refusal['reason']>(
    outcome: Outcome<unknown, Refusal>,
    reason: Reason,
  ): Extract<Refusal, { readonly reason: Reason }>
  /** The outcome is not a refusal; gives its value back. */
  accepted<Value>(outcome: Outcome<Value, unknown>): Value
  fail(message: string): never
}

export const assert: Assert = {
  equal(actual, expected, message) {
    if (isDeepStrictEqual(actual, expected)) return
    throw new BrokenClaim(message ?? 'values differ', difference(actual, expected))
  },
  notEqual(actual, unexpected, message) {
    if (!isDeepStrictEqual(actual, unexpected)) return
    throw new BrokenClaim(message ?? 'values are equal', show(actual))
  },
  ok(value, message) {
    if (value) return
    throw new BrokenClaim(message ?? `expected something true, got ${inspect(value)}`)
  },
  match(text, pattern, message) {
    if (matches(text, pattern)) return
    throw new BrokenClaim(message ?? `text does not match ${String(pattern)}`, String(text))
  },
  notMatch(text, pattern, message) {
    if (!matches(text, pattern)) return
    throw new BrokenClaim(message ?? `text matches ${String(pattern)}`, String(text))
  },
  throws(fn, pattern) {
    demandPattern(pattern)
    let result: unknown
    try {
      result = fn()
    } catch (error) {
      return matching(error, pattern)
    }
    if (result instanceof Promise) {
      result.catch(() => undefined)
      throw new BrokenClaim('assert.throws was given an async function; use assert.rejects')
    }
    throw new BrokenClaim(`no error matching ${String(pattern)} was thrown`, show(result))
  },
  async rejects(promise, pattern) {
    demandPattern(pattern)
    let result: unknown
    try {
      result = await (typeof promise === 'function' ? promise() : promise)
    } catch (error) {
      return matching(error, pattern)
    }
    throw new BrokenClaim(`resolved, no error matching ${String(pattern)}`, show(result))
  },
  refused<Refusal extends Reasoned, Reason extends Refusal['reason']>(
    outcome: Outcome<unknown, Refusal>,
    reason: Reason,
  ) {
    if (outcome.ok) {
      const got = show(outcome.value)
      throw new BrokenClaim(`expected the refusal '${reason}', it was accepted`, got)
    }
    if (outcome.refusal.reason !== reason) {
      const got = outcome.refusal.reason
      throw new BrokenClaim(`expected the refusal '${reason}', got '${got}'`, show(outcome.refusal))
    }
    return outcome.refusal as Extract<Refusal, { readonly reason: Reason }>
  },
  accepted(outcome) {
    if (outcome.ok) return outcome.value
    throw new BrokenClaim('expected an acceptance, it was refused', show(outcome.refusal))
  },
  fail(message) {
    throw new BrokenClaim(message)
  },
}

function matches(text: string, pattern: RegExp | string): boolean {
  if (typeof pattern === 'string') return text.includes(pattern)
  pattern.lastIndex = 0
  return pattern.test(text)
}

function demandPattern(pattern: unknown): void {
  if (pattern instanceof RegExp) return
  throw new BrokenClaim('give the pattern that the error message must match')
}

function matching(error: unknown, pattern: RegExp): Error {
  if (error instanceof BrokenClaim) throw error
  if (!(error instanceof Error)) {
    throw new BrokenClaim('what was thrown is not an Error', show(error))
  }
  if (matches(error.message, pattern)) return error
  throw new BrokenClaim(`the error does not match ${String(pattern)}`, error.stack ?? error.message)
}

/** A value as text: sorted keys, full depth, one property a line, bounded in length. */
export function show(value: unknown): string {
  const text = inspect(value, {
    depth: 20,
    sorted: true,
    compact: false,
    breakLength: 80,
    maxArrayLength: 400,
    maxStringLength: 4_000,
  })
  return text.length > 20_000 ? `${text.slice(0, 20_000)}…` : text
}

const diffLinesMax = 400
const contextLines = 3

/** Lines only in `actual` start with -, lines only in `expected` with +. */
export function difference(actual: unknown, expected: unknown): string {
  const left = show(actual).split('\n')
  const right = show(expected).split('\n')
  const rows = lineDiff(left, right)
  const changed = rows.map((row) => !row.startsWith(' '))
  if (!changed.includes(true)) return `both read the same, yet differ within:\n${left.join('\n')}`
  const near = rows.map((_, index) =>
    changed.slice(Math.max(0, index - contextLines), index + contextLines + 1).includes(true))
  const kept: string[] = ['- actual', '+ expected', '']
  rows.forEach((row, index) => {
    if (near[index]) kept.push(row)
    else if (near[index - 1] !== false && index > 0) kept.push('  …')
  })
  return kept.slice(0, diffLinesMax).join('\n')
}

/** Head and tail are matched first; the middle by longest common subsequence while it is small. */
function lineDiff(left: readonly string[], right: readonly string[]): string[] {
  let head = 0
  while (head < left.length && head < right.length && left[head] === right[head]) head += 1
  let tail = 0
  while (tail < left.length - head && tail < right.length - head &&
    left[left.length - 1 - tail] === right[right.length - 1 - tail]) tail += 1
  const middle = middleDiff(
    left.slice(head, left.length - tail),
    right.slice(head, right.length - tail),
  )
  return [
    ...left.slice(0, head).map((line) => `  ${line}`),
    ...middle,
    ...left.slice(left.length - tail).map((line) => `  ${line}`),
  ]
}

function middleDiff(left: readonly string[], right: readonly string[]): string[] {
  if (left.length * right.length > 1_000_000) {
    return [...left.map((line) => `- ${line}`), ...right.map((line) => `+ ${line}`)]
  }
  const width = right.length + 1
  const best = new Uint32Array((left.length + 1) * width)
  const at = (row: number, column: number): number => best[row * width + column] ?? 0
  for (let row = left.length - 1; row >= 0; row -= 1) {
    for (let column = right.length - 1; column >= 0; column -= 1) {
      best[row * width + column] = left[row] === right[column]
        ? at(row + 1, column + 1) + 1
        : Math.max(at(row + 1, column), at(row, column + 1))
    }
  }
  const rows: string[] = []
  let row = 0
  let column = 0
  while (row < left.length || column < right.length) {
    const inLeft = row < left.length
    const inRight = column < right.length
    if (inLeft && inRight && left[row] === right[column]) {
      rows.push(`  ${left[row]}`)
      row += 1
      column += 1
    } else if (!inRight || (inLeft && at(row + 1, column) >= at(row, column + 1))) {
      rows.push(`- ${left[row]}`)
      row += 1
    } else {
      rows.push(`+ ${right[column]}`)
      column += 1
    }
  }
  return rows
}
