// Sets of task numbers as sorted, disjoint, inclusive ranges: `1-16,20,30-31`. A job of 100,000
// tasks is one short string here. Arrays are treated as immutable; every function returns canonical
// ranges.

/** Inclusive `[first, last]` pairs, ascending, with a gap of at least one between them. */
export type Ranges = readonly (readonly [number, number])[]

export const emptyRanges: Ranges = []

/** Canonical text only: `formatRanges(parseRanges(text)) === text`, else undefined. */
export function parseRanges(text: string, bounds: { readonly last: number }): Ranges | undefined {
  if (text === '') return emptyRanges
  const ranges: [number, number][] = []
  for (const part of text.split(',')) {
    const match = /^(0|[1-9][0-9]{0,8})(?:-([1-9][0-9]{0,8}))?$/.exec(part)
    if (!match) return undefined
    const first = Number(match[1])
    const last = match[2] === undefined ? first : Number(match[2])
    const previous = ranges.at(-1)
    if (match[2] !== undefined && last <= first) return undefined
    if (last > bounds.last || (previous && first <= previous[1] + 1)) return undefined
    ranges.push([first, last])
  }
  return ranges
}

export function formatRanges(ranges: Ranges): string {
  return ranges.map(([a, b]) => (a === b ? String(a) : `${a}-${b}`)).join(',')
}

export function rangesSize(ranges: Ranges): number {
  return ranges.reduce((sum, [a, b]) => sum + b - a + 1, 0)
}

export function rangesHave(ranges: Ranges, value: number): boolean {
  let low = 0
  let high = ranges.length - 1
  while (low <= high) {
    const middle = (low + high) >> 1
    const [a, b] = ranges[middle]!
    if (value < a) high = middle - 1
    else if (value > b) low = middle + 1
    else return true
  }
  return false
}

export function* rangesValues(ranges: Ranges): Iterable<number> {
  for (const [a, b] of ranges) for (let value = a; value <= b; value++) yield value
}

/** The union of two sets. */
export function addRanges(left: Ranges, right: Ranges): Ranges {
  const sorted = [...left, ...right].sort((x, y) => x[0] - y[0])
  const merged: [number, number][] = []
  for (const [a, b] of sorted) {
    const previous = merged.at(-1)
    if (previous && a <= previous[1] + 1) previous[1] = Math.max(previous[1], b)
    else merged.push([a, b])
  }
  return merged
}

/** What is in `left` and not in `right`. */
export function subtractRanges(left: Ranges, right: Ranges): Ranges {
  const rest: [number, number][] = []
  let next = 0
  for (const [first, last] of left) {
    let from = first
    while (next < right.length && right[next]![1] < from) next++
    for (let i = next; i < right.length && right[i]![0] <= last; i++) {
      const [a, b] = right[i]!
      if (a > from) rest.push([from, a - 1])
      from = Math.max(from, b + 1)
    }
    if (from <= last) rest.push([from, last])
  }
  return rest
}

/** What is in both. */
export function commonRanges(left: Ranges, right: Ranges): Ranges {
  return subtractRanges(left, subtractRanges(left, right))
}

/** The `count` smallest members, and the rest. */
export function takeRanges(ranges: Ranges, count: number): { taken: Ranges; rest: Ranges } {
  const taken: [number, number][] = []
  let wanted = count
  for (const [a, b] of ranges) {
    if (wanted <= 0) break
    const last = Math.min(b, a + wanted - 1)
    taken.push([a, last])
    wanted -= last - a + 1
  }
  return { taken, rest: subtractRanges(ranges, taken) }
}

/** The set of the given numbers (any order, repeats allowed). */
export function rangesOf(values: Iterable<number>): Ranges {
  return addRanges([...values].map((value) => [value, value] as const), emptyRanges)
}
