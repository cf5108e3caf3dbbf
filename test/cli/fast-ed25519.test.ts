// The audit's fast way to check signatures: it says yes exactly where `verify` does, and leaves the
// rest to it. Its field arithmetic is held against integers, also at the bounds of its limbs.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import * as ed from '@noble/ed25519'
import { assert, suite } from '../harness.ts'
import { openFastVerifier } from '../../cli/verify/fast-ed25519.ts'
import type { Signed } from '../../cli/verify/fast-ed25519.ts'
import { elementBytes, openFieldCode } from '../../cli/verify/field-code.ts'
import { fromHex, keyPairFromSeed, sha256, sign, verify } from '../../protocol/base/crypto.ts'

const t = suite('fast Ed25519')

const { n: order, p: prime } = ed.Point.CURVE()

/** What the fast way says by itself, and what it says in the end. */
function judged(all: readonly Signed[]): { readonly alone: boolean[], readonly all: boolean[] } {
  const left = new Set<Signed>()
  const fast = openFastVerifier({
    worthTable: 1,
    otherwise(one) {
      left.add(one)
      return verify(one.publicKey, one.message, one.signature)
    },
  })
  const verdicts = fast.verifyAll(all)
  return {
    alone: all.map((one) => !left.has(one)),
    all: Array.from(verdicts, (verdict) => verdict === 1),
  }
}

function checked(all: readonly Signed[]): void {
  const expected = all.map((one) => verify(one.publicKey, one.message, one.signature))
  const said = judged(all)
  assert.equal(said.all, expected)
  assert.equal(said.alone, expected)
}

function signedBy(name: string, text: string): Signed {
  const key = keyPairFromSeed(sha256(name))
  const message = Buffer.from(text)
  return { publicKey: key.publicKey, message, signature: sign(key, message) }
}

t('says yes to good signatures by itself, of any length and key', () => {
  const all: Signed[] = []
  for (let at = 0; at < 600; at++) all.push(signedBy(`key ${at % 5}`, 'x'.repeat(at * 3)))
  checked(all)
})

t('says yes to the vectors of RFC 8032', () => {
  const file = new URL('../vectors/base/ed25519.json', import.meta.url)
  const { vectors } = JSON.parse(readFileSync(file, 'utf8')) as {
    vectors: readonly { public: string, message: string, signature: string }[]
  }
  const bytes = (text: string): Uint8Array => fromHex(text) as Uint8Array
  checked(vectors.map((one) => ({
    publicKey: bytes(one.public), message: bytes(one.message), signature: bytes(one.signature),
  })))
})

t('says yes to no signature of which a bit was changed', () => {
  const one = signedBy('key', 'a message')
  const all: Signed[] = [one]
  for (let bit = 0; bit < 512; bit++) {
    all.push({ ...one, signature: flipped(one.signature, bit) })
    if (bit < 72) all.push({ ...one, message: flipped(one.message, bit) })
  }
  checked(all)
})

t('says yes to nothing outside the rules: S + L, torsion in R, R the identity', () => {
  const key = keyPairFromSeed(sha256('key'))
  const one = signedBy('key', 'a message')
  const plusOrder = numberOf(one.signature.subarray(32)) + order
  const all: Signed[] = [one, { ...one, signature: joined(one.signature, plusOrder) }]
  const scalar = ed.utils.getExtendedPublicKey(key.secretKey).scalar
  const torsion = ed.Point.fromHex(
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05')
  const r = 12_345n
  for (const point of [ed.Point.BASE.multiply(r).add(torsion), ed.Point.ZERO]) {
    const encoded = point.toBytes()
    const k = challenge(encoded, key.publicKey, one.message)
    const s = ((point.is0() ? 0n : r) + k * scalar) % order
    all.push({ ...one, signature: joined(encoded, s) })
  }
  const said = judged(all)
  assert.equal(said.alone, [true, false, false, false])
  assert.equal(said.all, [true, false, false, false])
})

t('more keys than it has tables for, and keys that are none, are left to verify', () => {
  const all: Signed[] = []
  for (let at = 0; at < 40; at++) all.push(signedBy(`key ${at}`, 'text'))
  const strange = [new Uint8Array(32), new Uint8Array(5)].map((publicKey) =>
    ({ ...signedBy('key', 'text'), publicKey }))
  const expected = [...all.map(() => true), false, false]
  assert.equal(judged([...all, ...strange]).all, expected)
})

t('products, sums and the smallest form are those of integers modulo p', () => {
  const field = openFieldCode(65_536)
  const words = new Int32Array(field.memory.buffer)
  const [a, b, out] = [1_024, 2_048, 4_096]
  const read = (at: number): bigint => {
    let [value, bits] = [0n, 0n]
    for (let limb = 0; limb < 10; limb++) {
      value += BigInt(words[at / 4 + limb] as number) << bits
      bits += limb % 2 === 0 ? 26n : 25n
    }
    return value
  }
  const mod = (value: bigint): bigint => ((value % prime) + prime) % prime
  // Three reduced elements added up: the most that a product is given.
  const bounds = Array.from({ length: 10 }, (_, limb) => Math.floor(3.03 * 2 ** (25 - limb % 2)))
  let state = 1
  const random = (): number => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) / 2 ** 32
  const limbsOf: ((bound: number) => number)[] = [
    () => 0, (bound) => bound, (bound) => -bound, (bound) => (random() < 0.5 ? bound : -bound),
    (bound) => Math.floor((2 * random() - 1) * bound),
  ]
  for (let round = 0; round < 2_000; round++) {
    const pick = (): ((bound: number) => number) =>
      limbsOf[round < 25 ? Math.floor(random() * 5) : 4] as (bound: number) => number
    const [left, right] = [pick(), pick()]
    for (const [limb, bound] of bounds.entries()) {
      words[a / 4 + limb] = left(bound)
      words[b / 4 + limb] = right(bound)
    }
    field.mul(out, a, b)
    assert.equal(mod(read(out)), mod(read(a) * read(b)))
    field.mul(out, out, out)
    field.freeze(out, out)
    assert.equal(read(out), mod((read(a) * read(b)) ** 2n))
    field.add(out, a, b)
    assert.equal(read(out), read(a) + read(b))
    field.sub(out, a, b)
    assert.equal(read(out), read(a) - read(b))
  }
  // The values around p have one smallest form each.
  for (const value of [0n, 1n, prime - 1n, prime, prime + 1n, 2n ** 255n - 1n]) {
    for (let limb = 0, rest = value; limb < 10; limb++) {
      const width = limb % 2 === 0 ? 26n : 25n
      words[a / 4 + limb] = Number(rest & (2n ** width - 1n))
      rest >>= width
    }
    field.freeze(out, a)
    assert.equal(read(out), mod(value))
  }
  assert.equal(elementBytes, 40)
})

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const changed = Uint8Array.from(bytes)
  changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7))
  return changed
}

function numberOf(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`)
}

function joined(r: Uint8Array, s: bigint): Uint8Array {
  const bytes = Buffer.alloc(64)
  bytes.set(r.subarray(0, 32))
  bytes.set(Buffer.from(s.toString(16).padStart(64, '0'), 'hex').reverse(), 32)
  return Uint8Array.from(bytes)
}

function challenge(r: Uint8Array, publicKey: Uint8Array, message: Uint8Array): bigint {
  const hash = createHash('sha512').update(r).update(publicKey).update(message).digest()
  return numberOf(hash) % order
}
