// Quantities: the texts that people and statements write them as, the way back from each, what is
// malformed, and who gains by every rounding.

import {
  divUp, formatBytes, formatCredits, formatDuration, microcredits, microcreditsMax,
  microcreditsPerCredit, mulDivDown, mulDivUp, parseAmount, parseBytes, parseCredits,
  parseDurationSeconds, zeroMicrocredits,
} from '../../protocol/base/units.ts'
import { assert, suite } from '../harness.ts'
import { random } from '../sim/random.ts'

const t = suite('units')

const chance = random(1, 'units')
const large = Number.MAX_SAFE_INTEGER

/** Of any magnitude, 0 to 2^`bits` - 1. */
function bigUpTo(bits: number): bigint {
  let value = 0n
  for (let bit = chance.int(bits + 1); bit > 0; bit--) value = value * 2n + BigInt(chance.int(2))
  return value
}

function refusesAll(parse: (text: string) => unknown, wrong: readonly string[]): void {
  for (const text of wrong) assert.equal(parse(text), undefined, JSON.stringify(text))
}

t('amounts travel as one text each, from 0 to below 2^63', () => {
  assert.equal(microcreditsMax, 9_223_372_036_854_775_807n)
  for (const value of [0n, 1n, 9n, 10n, microcreditsMax]) {
    assert.equal(parseAmount(String(value)), value)
  }
  for (let round = 0; round < 2_000; round++) {
    const value = bigUpTo(63)
    assert.equal(parseAmount(String(value)), value)
  }
  refusesAll(parseAmount, [
    '', '-1', '-0', '+1', '00', '01', '1.0', '1e3', '1_000', '1,000', '0x1', ' 1', '1 ', '1\n',
    '１', 'NaN', String(microcreditsMax + 1n), '99999999999999999999', '1'.repeat(10_000),
  ])
})

t('microcredits beyond 2^63 either way are our own mistake', () => {
  for (const value of [microcreditsMax, -microcreditsMax, 0n]) {
    assert.equal(microcredits(value), value)
  }
  assert.throws(() => microcredits(microcreditsMax + 1n), /within 2\^63/)
  assert.throws(() => microcredits(-microcreditsMax - 1n), /within 2\^63/)
  assert.equal(zeroMicrocredits, 0n)
})

t('credits as people write them', () => {
  const written: readonly (readonly [string, bigint])[] = [
    ['0', 0n], ['12', 12_000_000n], ['0.5', 500_000n], ['12.000001 cr', 12_000_001n],
    ['1cr', 1_000_000n], ['1 credit', 1_000_000n], ['2 credits', 2_000_000n], [' 3 ', 3_000_000n],
    ['007', 7_000_000n], ['0.000001', 1n], ['999999999999.999999', 999_999_999_999_999_999n],
  ]
  for (const [text, value] of written) assert.equal(parseCredits(text), value, text)
  refusesAll(parseCredits, [
    '', ' ', 'cr', '.5', '1.', '1.0000001', '-1', '+1', '1,5', '1e3', '1 000', '1 CR', '1 euro',
    '1 cr cr', '1 . 5', '1000000000000', '１', '0x1', 'Infinity',
  ])
})

t('credits are shown to the last microcredit, with two to six decimals', () => {
  const shown: readonly (readonly [bigint, string])[] = [
    [0n, '0.00 cr'], [1n, '0.000001 cr'], [10n, '0.00001 cr'], [100n, '0.0001 cr'],
    [1_000n, '0.001 cr'], [10_000n, '0.01 cr'], [100_000n, '0.10 cr'], [1_000_000n, '1.00 cr'],
    [1_230_000n, '1.23 cr'], [10_000_000n, '10.00 cr'], [-1_500_000n, '-1.50 cr'],
    [-1n, '-0.000001 cr'], [microcreditsMax, '9223372036854.775807 cr'],
  ]
  for (const [value, text] of shown) assert.equal(formatCredits(value), text)
  for (let round = 0; round < 2_000; round++) {
    const value = bigUpTo(59)
    const text = formatCredits(value)
    assert.match(text, /^[0-9]+\.[0-9]{2,6} cr$/)
    assert.notMatch(text, /\.[0-9]{2,}0 cr$/, 'no zeros beyond the second decimal')
    assert.equal(parseCredits(text), value, text)
    if (value > 0n) assert.equal(formatCredits(-value), `-${text}`)
  }
  assert.equal(microcreditsPerCredit, 1_000_000n)
})

t('mulDivDown and mulDivUp enclose the fraction and are one apart unless it is whole', () => {
  const check = (value: bigint, numerator: bigint, denominator: bigint): void => {
    const down = mulDivDown(value, numerator, denominator)
    const up = mulDivUp(value, numerator, denominator)
    const exact = value * numerator
    const at = `${value} * ${numerator} / ${denominator}`
    assert.ok(down * denominator <= exact && exact < (down + 1n) * denominator, `${at} down`)
    assert.ok(up * denominator >= exact && exact > (up - 1n) * denominator, `${at} up`)
    assert.equal(up - down!, exact % denominator === 0n ? 0n : 1n, at)
  }
  for (let value = 0n; value < 8n; value++) {
    for (let numerator = 0n; numerator < 8n; numerator++) {
      for (let denominator = 1n; denominator < 8n; denominator++) {
        check(value, numerator, denominator)
      }
    }
  }
  for (let round = 0; round < 2_000; round++) check(bigUpTo(63), bigUpTo(40), bigUpTo(40) + 1n)
})

t('the divisions take no negatives and nothing by zero', () => {
  for (const [divide, name] of [[mulDivDown, /mulDivDown/], [mulDivUp, /mulDivUp/]] as const) {
    for (const [value, numerator, denominator] of [
      [-1n, 1n, 1n], [1n, -1n, 1n], [1n, 1n, 0n], [1n, 1n, -1n],
    ] as const) assert.throws(() => divide(value, numerator, denominator), name)
  }
  const wrong = [[1, 0], [1, -1], [1.5, 1], [1, 1.5], [NaN, 1], [2 ** 53, 1], [1, 2 ** 53]] as const
  for (const [value, divisor] of wrong) assert.throws(() => divUp(value, divisor), /divUp/)
})

t('divUp rounds up over all safe integers', () => {
  const slow = (value: number, divisor: number): number => {
    const [a, b] = [BigInt(value), BigInt(divisor)]
    return Number(a / b + (a > 0n && a % b !== 0n ? 1n : 0n))
  }
  const check = (value: number, divisor: number): void =>
    assert.equal(divUp(value, divisor), slow(value, divisor), `${value} / ${divisor}`)
  for (let value = -20; value < 40; value++) {
    for (let divisor = 1; divisor < 20; divisor++) check(value, divisor)
  }
  for (let round = 0; round < 2_000; round++) {
    check(Number(bigUpTo(53)), Math.max(1, Number(bigUpTo(53))))
    check(large - chance.int(10), chance.between(1, 1_000))
    check(large - chance.int(10), large - chance.int(10))
  }
})

t('durations as people write them', () => {
  const written: readonly (readonly [string, number])[] = [
    ['0s', 0], ['90s', 90], ['90sec', 90], ['15m', 900], ['15 min', 900], ['1h30m', 5_400],
    ['1h 30m', 5_400], ['2d', 172_800], ['1w', 604_800], [' 2D ', 172_800], ['1m1m', 120],
    ['007s', 7], ['999999999s', 999_999_999], ['999999999w', 604_799_999_395_200],
  ]
  for (const [text, seconds] of written) assert.equal(parseDurationSeconds(text), seconds, text)
  refusesAll(parseDurationSeconds, [
    '', ' ', '90', 's', '-1s', '+1s', '1.5h', '1h30', '1h,30m', '1y', '1 month', '1hour', '1sm',
    '1000000000s', '1e3s', '1constructor', '1valueof', '1１s', '1h:30m', '1s'.repeat(9) + '!',
  ])
  assert.equal(parseDurationSeconds(`${'1s'.repeat(100_000)}!`), undefined)
})

t('durations are shown in their two largest parts, never longer than they are', () => {
  const shown: readonly (readonly [number, string])[] = [
    [0, '0s'], [59, '59s'], [60, '1m'], [61, '1m1s'], [3_599, '59m59s'], [3_600, '1h'],
    [5_400, '1h30m'], [86_399, '23h59m'], [86_400, '1d'], [90_061, '1d1h'], [86_405, '1d5s'],
    [604_800, '7d'],
  ]
  for (const [seconds, text] of shown) assert.equal(formatDuration(seconds), text)
  for (let round = 0; round < 2_000; round++) {
    const seconds = Number(bigUpTo(40))
    const read = parseDurationSeconds(formatDuration(seconds)) ?? NaN
    const ended = seconds < 3_600 ? 0 : seconds < 86_400 ? 59 : 3_599
    assert.ok(read <= seconds && seconds - read <= ended, `${seconds}: ${formatDuration(seconds)}`)
  }
})

t('bytes as people and schedulers write them', () => {
  const written: readonly (readonly [string, number])[] = [
    ['0B', 0], ['512MiB', 512 * 2 ** 20], ['4GiB', 2 ** 32], ['4 gib', 2 ** 32], ['2GB', 2e9],
    ['4G', 2 ** 32], ['1k', 1_024], ['1kB', 1_000], ['1KiB', 1_024], ['1M', 2 ** 20],
    ['1T', 2 ** 40], ['1TiB', 2 ** 40], ['1tb', 1e12], [' 7 b ', 7], ['8191TiB', 8_191 * 2 ** 40],
    ['999999999999b', 999_999_999_999],
  ]
  for (const [text, bytes] of written) assert.equal(parseBytes(text), bytes, text)
  refusesAll(parseBytes, [
    '', '512', 'MiB', '-1B', '+1B', '1.5GiB', '1 G B', '1PiB', '1Mi', '1GiB2', '8192TiB', '1e3B',
    '1000000000000B', '1constructor', '1valueOf', '1,5G', '１B', '1\u212aB',
  ])
})

t('bytes are shown to a tenth of the largest unit that they reach', () => {
  const shown: readonly (readonly [number, string])[] = [
    [0, '0 B'], [1, '1 B'], [1_023, '1023 B'], [1_024, '1 KiB'], [1_536, '1.5 KiB'],
    [2 ** 20 - 1, '1 MiB'], [2 ** 20, '1 MiB'], [2 ** 30 - 1, '1 GiB'], [2.25 * 2 ** 20, '2.3 MiB'],
    [2 ** 40, '1 TiB'], [2 ** 50, '1024 TiB'], [1_023.9 * 2 ** 10, '1023.9 KiB'],
  ]
  for (const [bytes, text] of shown) assert.equal(formatBytes(bytes), text)
  const sizes = new Map(['B', 'KiB', 'MiB', 'GiB', 'TiB'].map((unit, at) => [unit, 1_024 ** at]))
  for (let round = 0; round < 2_000; round++) {
    const bytes = Number(bigUpTo(53))
    const [number = '', unit = ''] = formatBytes(bytes).split(' ')
    const size = sizes.get(unit) ?? NaN
    assert.match(number, /^(0|[1-9][0-9]*)(\.[1-9])?$/)
    const at = `${bytes}: ${number} ${unit}`
    assert.ok(Math.abs(Number(number) * size - bytes) <= size / 20 + 1, at)
    assert.ok(Number(number) < 1_024 || unit === 'TiB', at)
    if (!number.includes('.')) assert.equal(parseBytes(`${number}${unit}`), Number(number) * size)
  }
})
