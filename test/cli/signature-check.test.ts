// The audit's quicker way to check signatures: it says yes exactly where `verify` does, and leaves
// the rest to it.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import * as ed from '@noble/ed25519'
import { assert, suite } from '../harness.ts'
import type { Signed } from '../../cli/verify/signature-check.ts'
import { isQuickYes, isSigned } from '../../cli/verify/signature-check.ts'
import { fromHex, keyPairFromSeed, sha256, sign, verify } from '../../protocol/base/crypto.ts'

const t = suite('the check of signatures')

const { n: order } = ed.Point.CURVE()

function checked(all: readonly Signed[]): void {
  const expected = all.map((one) => verify(one.publicKey, one.message, one.signature))
  assert.equal(all.map(isSigned), expected)
  assert.equal(all.map(isQuickYes), expected)
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
  checked(all)
  assert.equal(all.map(isSigned), [true, false, false, false])
})

t('keys that are none are no', () => {
  const strange = [new Uint8Array(32), new Uint8Array(5), new Uint8Array(0)].map((publicKey) =>
    ({ ...signedBy('key', 'text'), publicKey }))
  checked(strange)
  checked([{ ...signedBy('key', 'text'), signature: new Uint8Array(63) }])
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
