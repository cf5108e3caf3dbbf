// Canonical JSON: listed texts, an obvious second reader that knows only the canonical grammar, and
// texts that were changed a little, on which the two must agree.

import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { decode, encode, fromUtf8 } from '../../protocol/base/encoding.ts'
import type { Value } from '../../protocol/base/encoding.ts'
import { limits } from '../../protocol/base/limits.ts'
import { assert, suite } from '../harness.ts'

const bound = { bytesMax: 1 << 20 }

interface Vectors {
  readonly accepted: readonly string[]
  readonly refused: readonly (readonly [text: string, detail: string])[]
}
const file = new URL('../vectors/base/canonical-json.json', import.meta.url)
const vectors = JSON.parse(readFileSync(file, 'utf8')) as Vectors

const key = fc.stringMatching(/^[a-z0-9_]{1,6}$/)
const values: fc.Arbitrary<Value> = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 6 },
    fc.maxSafeInteger().map((value) => (Object.is(value, -0) ? 0 : value)),
    fc.string({ unit: 'binary', maxLength: 12 }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(key, tie('value'), { maxKeys: 5, noNullPrototype: true }),
  ),
})).value

const t = suite('encoding')

t('accepts the listed texts and gives them back', () => {
  for (const text of vectors.accepted) {
    assert.equal(encode(assert.accepted(decode(text, bound))), text)
    assert.ok(obvious(text), text)
  }
})

t('refuses the listed texts and says why', () => {
  for (const [text, detail] of vectors.refused) {
    const refusal = assert.refused(decode(text, bound), 'malformed')
    assert.ok(refusal.detail.includes(detail), `${text}: ${refusal.detail}`)
    assert.ok(!obvious(text), text)
  }
})

t('what is encoded decodes to the same value', () => {
  fc.assert(fc.property(values, (value) => {
    const text = encode(value)
    assert.equal(assert.accepted(decode(text, bound)), value)
    assert.ok(obvious(text), text)
  }), { seed: 1, numRuns: 500 })
})

t('the order of keys in memory does not matter', () => {
  fc.assert(fc.property(fc.uniqueArray(key, { maxLength: 8 }), (keys) => {
    const forwards = Object.fromEntries(keys.map((name) => [name, 1]))
    const backwards = Object.fromEntries(keys.map((name) => [name, 1] as const).toReversed())
    assert.equal(encode(forwards), encode(backwards))
  }), { seed: 2, numRuns: 200 })
})

t('a text changed a little is read as the second reader reads it', () => {
  const pieces = [
    '"', ',', ':', '[', ']', '{', '}', '0', '1', '-', '.', 'e', ' ', '\n', '\\', '\\u0061', 'a',
    'A', 'null', 'true', '"a":1,', '\u0000', 'é', '\ud800',
  ]
  const change = fc.record({
    value: values, at: fc.nat(60), cut: fc.nat(3), insert: fc.constantFrom('', ...pieces),
  })
  fc.assert(fc.property(change, ({ value, at, cut, insert }) => {
    const text = encode(value)
    const start = text.length === 0 ? 0 : at % text.length
    const changed = text.slice(0, start) + insert + text.slice(start + cut)
    assert.equal(decode(changed, bound).ok, obvious(changed), changed)
  }), { seed: 3, numRuns: 3_000 })
})

t('bounds: bytes of the text, depth, length of a string', () => {
  assert.accepted(decode('"éé"', { bytesMax: 6 }))
  const refusal = assert.refused(decode('"éé"', { bytesMax: 5 }), 'malformed')
  assert.match(refusal.detail, 'more than 5 bytes')
  assert.refused(decode('"aaaaaa"', { bytesMax: 5 }), 'malformed')

  const longest = 'x'.repeat(limits.jsonStringBytes)
  const room = { bytesMax: 4 * limits.jsonStringBytes }
  assert.equal(assert.accepted(decode(encode(longest), room)), longest)
  const longer = assert.refused(decode(`"${longest}x"`, room), 'malformed')
  assert.match(longer.detail, 'a string of more than')
  assert.throws(() => encode(`${longest}x`), /a string of more than/)

  const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
  assert.accepted(decode(nested(limits.jsonDepth), bound))
  assert.refused(decode(nested(limits.jsonDepth + 1), bound), 'malformed')
  const bomb = nested(2_000_000)
  const refused = assert.refused(decode(bomb, { bytesMax: bomb.length }), 'malformed')
  assert.match(refused.detail, /nesting deeper/)
})

t('bytes that are not UTF-8 are no text', () => {
  assert.equal(fromUtf8(Buffer.from('\ufeffé😀\0')), '\ufeffé😀\0')
  assert.equal(fromUtf8(new Uint8Array()), '')
  const wrong = [[0xff], [0xc3], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0x80]]
  for (const bytes of wrong) assert.equal(fromUtf8(Uint8Array.from(bytes)), undefined)
})

t('encoding what has no canonical text is our own mistake', () => {
  const cycle: Value[] = []
  cycle.push(cycle)
  const wrong: readonly (readonly [unknown, RegExp])[] = [
    [1.5, /safe integer/], [-0, /safe integer/], [Number.NaN, /safe integer/],
    [2 ** 53, /safe integer/], [null, /null/], [undefined, /undefined/], [true, /boolean/],
    [1n, /bigint/], [{ a: undefined }, /undefined/], [{ A: 1 }, /the key "A"/],
    ['\ud800', /surrogate/], [cycle, /nesting deeper/], [Array(2), /undefined/],
  ]
  for (const [value, pattern] of wrong) assert.throws(() => encode(value as Value), pattern)
})

/** Reads the canonical grammar letter by letter and nothing else. */
function obvious(text: string): boolean {
  let at = 0
  const take = (expected: string): boolean => {
    if (!text.startsWith(expected, at)) return false
    at += expected.length
    return true
  }
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const found = pattern.exec(text)?.[0]
    at += found?.length ?? 0
    return found
  }
  const string = (): boolean => {
    const found = match(/"(?:[^"\\\x00-\x1f\ud800-\udfff]|\\["\\bfnrt]|\\u00[01][0-9a-f])*"/uy)
    return found !== undefined && !/\\u00(?:0[89acd])/.test(found.replaceAll('\\\\', ''))
  }
  const value = (depth: number): boolean => {
    if (text[at] === '"') return string()
    if (take('[')) {
      if (depth === limits.jsonDepth) return false
      if (take(']')) return true
      do if (!value(depth + 1)) return false
      while (take(','))
      return take(']')
    }
    if (take('{')) {
      if (depth === limits.jsonDepth) return false
      if (take('}')) return true
      let last = ''
      do {
        const name = match(/"[a-z0-9_]{1,64}":/y)
        if (name === undefined || name === '"__proto__":' || name === '"constructor":') return false
        if (name.slice(1, -2) <= last || !value(depth + 1)) return false
        last = name.slice(1, -2)
      } while (take(','))
      return take('}')
    }
    const digits = match(/0|-?[1-9][0-9]{0,15}/y)
    return digits !== undefined && Math.abs(Number(digits)) <= Number.MAX_SAFE_INTEGER
  }
  return value(0) && at === text.length
}
