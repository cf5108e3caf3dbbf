// Records of our own store: whatever goes in comes out the same, and what could not is refused.

import fc from 'fast-check'
import { pack, unpack } from '../../protocol/base/record.ts'
import { assert, suite } from '../harness.ts'

const t = suite('record')

t('brings back what it was given', () => {
  const known: readonly unknown[] = [
    null, true, 0, -1.5, '', 'text', 0n, -(1n << 70n), new Uint8Array(), Uint8Array.of(0, 255), [],
    {}, { a: [1n, { b: Uint8Array.of(1) }], c: null },
    { $n: '1' }, { $b: 'AA==' }, { $: 1 }, { $$n: { $n: 2n } }, { $n: '1', $b: '2' },
    { constructor: 1, toString: 2 }, ['"$n"'], '{"$n":"1"}',
  ]
  for (const value of known) assert.equal(unpack(pack(value)), value)
})

t('brings back any value that a record may hold', () => {
  const keys = fc.oneof(fc.string({ maxLength: 4 }), fc.constantFrom('$', '$n', '$b', '$$n'))
    .filter((key) => key !== '__proto__')
  const values = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(null, true, false),
      fc.integer(), fc.string({ unit: 'binary' }), fc.bigInt(),
      fc.uint8Array({ maxLength: 8 }).map((bytes) => new Uint8Array(bytes)),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(keys, tie('value'), { maxKeys: 4, noNullPrototype: true }),
    ),
  })).value
  fc.assert(fc.property(values, (value) => {
    const text = pack(value)
    assert.equal(unpack(text), value)
    assert.equal(pack(unpack(text)), text)
  }), { seed: 1, numRuns: 1_000 })
})

t('bytes come back as plain byte arrays', () => {
  assert.equal(unpack(pack(Buffer.from('ab'))), Uint8Array.of(97, 98))
  assert.equal(unpack(pack(new Uint8Array([1, 2, 3, 4]).subarray(1, 3))), Uint8Array.of(2, 3))
})

t('refuses what would come back as something else', () => {
  const cycle: Record<string, unknown> = {}
  cycle.itself = cycle
  const wrong: readonly unknown[] = [
    undefined, { a: undefined }, [undefined], Array(2), Number.NaN, Number.POSITIVE_INFINITY, -0,
    () => 1, Symbol('s'), new Map(), new Set(), new Date(0), /x/, new Uint16Array(1),
    JSON.parse('{"__proto__":1}'), cycle,
  ]
  for (const value of wrong) {
    assert.throws(() => pack(value), /cannot store|a number JSON|only plain|__proto__|nest at most/)
  }
})

t('a text that was never packed is a damaged store', () => {
  for (const text of ['{"$x":1}', '{"$b":"A"}', '{"$n":"x"}', '{"$n":"1","a":2}', '[{"$":1}]']) {
    assert.throws(() => unpack(text), /a stored key|stored bytes|BigInt/)
  }
  assert.throws(() => unpack('{"a":'), /JSON/)
})
