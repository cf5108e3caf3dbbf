// Strict decoding: what each shape takes, what it refuses and where it says the fault is; and the
// way back for every value that was taken.

import fc from 'fast-check'
import { decode, encode } from '../../protocol/base/encoding.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import {
  amount, contractId, hash, hex, integer, jobId, list, literal, mapOf, oneOf, optional, record,
  shaped, siteName, text, trancheId, union, unshape,
} from '../../protocol/base/shape.ts'
import type { Shape, Shaped } from '../../protocol/base/shape.ts'
import type { Microcredits } from '../../protocol/base/units.ts'
import { assert, suite } from '../harness.ts'

const order = record({
  site: siteName(),
  price: amount(),
  count: integer({ min: 1, max: 10 }),
  note: optional(text({ bytesMax: 8 })),
  lines: list(record({ kind: oneOf('cpu', 'gpu'), tags: mapOf(text(), { max: 2 }) }), { max: 2 }),
})
type Order = Shaped<typeof order>

const ended = union('kind', {
  done: record({ exit_code: integer({ min: 0, max: 255 }) }),
  lost: record({ kind: literal('lost'), why: text({ bytesMax: 20 }) }),
})
type Ended = Shaped<typeof ended>

const good = {
  site: 'site-a.example', price: '1250', count: 3, lines: [{ kind: 'gpu', tags: { a: 'b' } }],
}

const t = suite('shape')

t('gives typed values: ids, bigints, optional members absent', () => {
  const value: Order = assert.accepted(shaped(order, good))
  const price: Microcredits = value.price
  const site: SiteName = value.site
  const kind: 'cpu' | 'gpu' | undefined = value.lines[0]?.kind
  const note: string | undefined = value.note
  assert.equal([price, site as string, kind, note], [1250n, 'site-a.example', 'gpu', undefined])
  assert.equal(Object.hasOwn(value, 'note'), false)
  assert.equal(assert.accepted(shaped(order, { ...good, note: 'x' })).note, 'x')
})

t('narrows unions by their tag, whether the variant lists it or not', () => {
  const say = (value: Ended): string =>
    value.kind === 'done' ? `exit ${value.exit_code}` : value.why
  assert.equal(say(assert.accepted(shaped(ended, { kind: 'done', exit_code: 2 }))), 'exit 2')
  assert.equal(say(assert.accepted(shaped(ended, { kind: 'lost', why: 'power' }))), 'power')
})

t('names the place of the fault and what was expected there', () => {
  const faults: readonly (readonly [Shape<unknown>, unknown, string])[] = [
    [order, 1, 'document: expected a record, got 1'],
    [order, [], 'document: expected a record, got a list'],
    [order, null, 'document: expected a record, got null'],
    [order, { ...good, extra: 1 }, 'extra: expected no such key, got one'],
    [order, { ...good, site: undefined }, 'site: expected a site name, got undefined'],
    [order, omit('price'), 'price: expected a value, got nothing'],
    [order, { ...good, price: '01' }, 'price: expected an amount'],
    [order, { ...good, price: 5 }, 'price: expected an amount'],
    [order, { ...good, count: 11 }, 'count: expected an integer from 1 to 10, got 11'],
    [order, { ...good, count: 1.5 }, 'count: expected an integer from 1 to 10, got 1.5'],
    [order, { ...good, count: '3' }, 'count: expected an integer'],
    [order, { ...good, note: 'éééééé' }, 'note: expected at most 8 bytes, got 12 bytes'],
    [order, { ...good, lines: {} }, 'lines: expected a list, got a record'],
    [order, { ...good, lines: [1, 2, 3] }, 'lines: expected at most 2 items, got 3 items'],
    [order, lines({ kind: 'tpu', tags: {} }), 'lines[0].kind: expected one of cpu, gpu, got tpu'],
    [order, lines({ kind: 'cpu', tags: { a: 1 } }), 'lines[0].tags.a: expected a text, got 1'],
    [order, lines({ kind: 'cpu', tags: { 'a.b': '' } }), 'lines[0].tags: expected keys of a-z'],
    [order, lines({ kind: 'cpu', tags: { a: '', b: '', c: '' } }), 'at most 2 keys, got 3 keys'],
    [ended, { exit_code: 1 }, 'kind: expected one of done, lost, got nothing'],
    [ended, { kind: 'toString' }, 'kind: expected one of done, lost, got toString'],
    [ended, { kind: 'done' }, 'exit_code: expected a value, got nothing'],
    [ended, { kind: 'done', exit_code: 1, why: '' }, 'why: expected no such key'],
    [list(literal(7), { min: 1, max: 2 }), [], 'document: expected at least 1 items'],
    [literal('x'), 'y', 'document: expected "x", got y'],
    [text({ pattern: /^[a-z]+$/ }), 'A', 'expected /^[a-z]+$/, got A'],
    [text(), 'x'.repeat(2 << 20), 'bytes'],
  ]
  for (const [shape, value, detail] of faults) {
    const refusal = assert.refused(shaped(shape, value), 'malformed')
    assert.ok(refusal.detail.includes(detail), `${refusal.detail} (expected: ${detail})`)
  }
})

t('members inherited from a prototype are not members', () => {
  const inherited: unknown = Object.assign(Object.create({ site: 'a' }), omit('site'))
  assert.refused(shaped(order, inherited), 'malformed')
  const named = record({ constructor: optional(text()), to_string: optional(text()) })
  assert.equal(assert.accepted(shaped(named, {})), {})
})

t('ids and hexadecimal have one form', () => {
  const h = 'ab'.repeat(32)
  const cases: readonly (readonly [Shape<unknown>, string, readonly string[]])[] = [
    [hash(), h, [h.toUpperCase(), h.slice(1), `${h}0`, `${h}\n`]],
    [jobId(), 'ab'.repeat(6), ['ab'.repeat(7), 'xy'.repeat(6)]],
    [contractId(), 'ab'.repeat(8), ['ab'.repeat(7), '']],
    [trancheId(), 'ab'.repeat(8), ['AB'.repeat(8)]],
    [hex({ bytes: 2 }), '00ff', ['00f', '00FF', '00ff\n']],
    [siteName(), 'site-a.example', ['Site', 'a..b', '-a', 'a-', '', 'a'.repeat(64), 'a\n']],
    [amount(), '9223372036854775807', ['9223372036854775808', '-1', '+1', '1.0', '']],
  ]
  for (const [shape, right, wrong] of cases) {
    assert.accepted(shaped(shape, right))
    for (const other of [...wrong, 1, null, [right]]) {
      assert.refused(shaped(shape, other), 'malformed')
    }
  }
})

t('the result shares nothing with the input', () => {
  const input = structuredClone(good)
  const value = assert.accepted(shaped(order, input))
  input.lines[0]!.tags.a = 'changed'
  input.lines.pop()
  assert.equal(value.lines[0]?.tags, { a: 'b' })
})

t('unshape is the way back', () => {
  const line = fc.record({
    kind: fc.constantFrom('cpu', 'gpu'),
    tags: fc.dictionary(fc.stringMatching(/^[a-z]{1,3}$/), fc.string(), {
      maxKeys: 2, noNullPrototype: true,
    }),
  }, { noNullPrototype: true })
  const orders = fc.record({
    site: fc.constantFrom('a', 'site-b.example'),
    price: fc.bigInt({ min: 0n, max: (1n << 63n) - 1n }).map(String),
    count: fc.integer({ min: 1, max: 10 }),
    lines: fc.array(line, { maxLength: 2 }),
    note: fc.stringMatching(/^[a-z]{0,8}$/),
  }, { requiredKeys: ['site', 'price', 'count', 'lines'], noNullPrototype: true })
  fc.assert(fc.property(orders, (input) => {
    const value = assert.accepted(shaped(order, input))
    assert.equal(unshape(value), input)
    const sent = encode(unshape(value))
    const read = assert.accepted(decode(sent, { bytesMax: 1 << 20 }))
    assert.equal(assert.accepted(shaped(order, read)), value)
  }), { seed: 1, numRuns: 200 })
  assert.equal(unshape({ a: undefined, b: [1n, { c: undefined }] }), { b: ['1', {}] })
})

t('errors other than a mismatch are not swallowed', () => {
  const broken: Shape<string> = { decode: () => { throw new TypeError('a bug') } }
  assert.throws(() => shaped(record({ a: broken }), { a: 1 }), /a bug/)
})

function omit(key: string): unknown {
  return Object.fromEntries(Object.entries(good).filter(([name]) => name !== key))
}

function lines(line: unknown): unknown {
  return { ...good, lines: [line] }
}
