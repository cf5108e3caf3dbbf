// Ranges against plain sets: every operation over thousands of small random cases of a fixed seed,
// the canonical text enumerated, and the bounds where numbers are large.

import type { Ranges } from '../../protocol/base/ranges.ts'
import {
  addRanges, emptyRanges, formatRanges, parseRanges, rangesHave, rangesOf, rangesSize, rangesValues,
  subtractRanges, takeRanges,
} from '../../protocol/base/ranges.ts'
import { assert, suite } from '../harness.ts'
import { random } from '../sim/random.ts'

const seed = 1
const cases = 4_000
const all = { last: 999_999_999 }

const t = suite('ranges')

const ascending = (set: Iterable<number>): number[] => [...set].toSorted((a, b) => a - b)

/** The canonical ranges of a set, one number after the other. */
function slowRanges(set: ReadonlySet<number>): [number, number][] {
  const found: [number, number][] = []
  for (const value of ascending(set)) {
    if (set.has(value - 1)) found.at(-1)![1] = value
    else found.push([value, value])
  }
  return found
}

interface Drawn { readonly set: ReadonlySet<number>, readonly ranges: Ranges }

/** Sparse and dense, empty and full sets; frozen, so that no operation changes its arguments. */
function draws(name: string): () => Drawn {
  const chance = random(seed, name)
  return () => {
    const [from, below, permille] = [chance.int(4), chance.int(28), chance.int(1_001)]
    const set = new Set<number>()
    for (let value = from; value < below; value++) if (chance.chance(permille)) set.add(value)
    const ranges = slowRanges(set)
    for (const range of ranges) Object.freeze(range)
    return { set, ranges: Object.freeze(ranges) }
  }
}

function each(name: string, check: (draw: () => Drawn, at: string) => void): void {
  const draw = draws(name)
  for (let round = 0; round < cases; round++) check(draw, `${name}, seed ${seed}, round ${round}`)
}

t('size, members and values are those of the set', () => {
  each('read', (draw, at) => {
    const { set, ranges } = draw()
    assert.equal(rangesSize(ranges), set.size, at)
    assert.equal([...rangesValues(ranges)], ascending(set), at)
    for (let value = -1; value < 30; value++) {
      assert.equal(rangesHave(ranges, value), set.has(value), `${at}: ${value}`)
    }
  })
})

t('adding is the union', () => {
  each('add', (draw, at) => {
    const [left, right] = [draw(), draw()]
    const both = slowRanges(new Set([...left.set, ...right.set]))
    assert.equal(addRanges(left.ranges, right.ranges), both, at)
    assert.equal(addRanges(left.ranges, emptyRanges), left.ranges, at)
    assert.equal(addRanges(left.ranges, left.ranges), left.ranges, at)
  })
})

t('subtracting leaves what is only on the left', () => {
  each('subtract', (draw, at) => {
    const [left, right] = [draw(), draw()]
    const rest = new Set([...left.set].filter((value) => !right.set.has(value)))
    assert.equal(subtractRanges(left.ranges, right.ranges), slowRanges(rest), at)
    assert.equal(subtractRanges(left.ranges, emptyRanges), left.ranges, at)
    assert.equal(subtractRanges(left.ranges, left.ranges), emptyRanges, at)
  })
})

t('taking gives the smallest and the rest', () => {
  each('take', (draw, at) => {
    const { set, ranges } = draw()
    const values = ascending(set)
    for (const count of [-1, 0, 1, 2, 5, set.size, set.size + 1]) {
      const split = Math.max(0, count)
      const { taken, rest } = takeRanges(ranges, count)
      assert.equal(taken, slowRanges(new Set(values.slice(0, split))), `${at}: ${count}`)
      assert.equal(rest, slowRanges(new Set(values.slice(split))), `${at}: ${count}`)
    }
  })
})

t('any numbers in any order, repeated too, become canonical ranges', () => {
  const chance = random(seed, 'of')
  for (let round = 0; round < cases; round++) {
    const values = Array.from({ length: chance.int(20) }, () => chance.int(24))
    const expected = slowRanges(new Set(values))
    assert.equal(rangesOf(values), expected, `seed ${seed}, round ${round}`)
    assert.equal(rangesOf(new Set(values).values()), expected)
  }
})

t('format and parse are each other\'s way back', () => {
  each('text', (draw, at) => {
    const { set, ranges } = draw()
    const text = formatRanges(ranges)
    assert.equal(parseRanges(text, all), ranges, at)
    assert.equal(parseRanges(text, { last: Math.max(0, ...set) }), ranges, at)
    if (set.size > 0) assert.equal(parseRanges(text, { last: Math.max(...set) - 1 }), undefined, at)
  })
})

t('of all short texts exactly those that a set is written as are read', () => {
  const written = new Set<string>()
  for (let bits = 0; bits < 2 ** 10; bits++) {
    const members = Array.from({ length: 10 }, (_, value) => value)
    const set = new Set(members.filter((value) => (bits & (1 << value)) !== 0))
    written.add(slowRanges(set).map(([a, b]) => (a === b ? `${a}` : `${a}-${b}`)).join(','))
  }
  const letters = ['0', '1', '2', '4', '9', '-', ',']
  let texts = ['']
  let [read, expected] = [0, 0]
  for (const text of written) if (/^[01249,-]{0,5}$/.test(text)) expected++
  for (let length = 0; length <= 5; length++) {
    for (const text of texts) {
      const ranges = parseRanges(text, { last: 9 })
      assert.equal(ranges !== undefined, written.has(text), `'${text}' is read or not`)
      if (ranges) assert.equal(formatRanges(ranges), text)
      if (ranges) read++
    }
    texts = texts.flatMap((text) => letters.map((letter) => text + letter))
  }
  assert.equal(read, expected)
  assert.ok(read > 40, `${read} texts were read`)
})

t('what is not canonical is not read', () => {
  const wrong = [
    ' ', ' 1', '1 ', '1, 2', '01', '1-02', '00', '-1', '1-', '-', ',', '1,', ',1', '1,,3', '5-5',
    '5-4', '1-2-3', '1,2', '1-3,4', '1-3,3', '3,1', '1,1', '+1', '1.0', '1e3', '0x1', '１', '1\n',
    '1000000000', '0-1000000000', '0-0',
  ]
  for (const text of wrong) assert.equal(parseRanges(text, all), undefined, JSON.stringify(text))
})

t('large numbers cost no more than small ones', () => {
  const text = '0-499999999,500000001-999999999'
  const ranges = parseRanges(text, all)
  assert.ok(ranges)
  assert.equal(formatRanges(ranges), text)
  assert.equal(rangesSize(ranges), 999_999_999)
  assert.equal(rangesHave(ranges, 500_000_000), false)
  assert.equal(rangesHave(ranges, 999_999_999), true)
  assert.equal(addRanges(ranges, [[500_000_000, 500_000_000]]), [[0, 999_999_999]])
  assert.equal(subtractRanges([[0, 999_999_999]], ranges), [[500_000_000, 500_000_000]])
  const { taken, rest } = takeRanges(ranges, 500_000_001)
  assert.equal(formatRanges(taken), '0-499999999,500000001')
  assert.equal(formatRanges(rest), '500000002-999999999')
})
