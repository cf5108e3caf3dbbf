// One rule set for signatures: RFC 8032's vectors, and every way in which verifiers are known to
// differ (torsion in the key, in R or in both; small orders; encodings that are not canonical;
// S ≥ L), made here with point arithmetic and held against OpenSSL and @noble with the R check.

import { createHash, createPublicKey, verify as opensslVerify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import * as ed from '@noble/ed25519'
import fc from 'fast-check'
import {
  checkPublicKey, fromBase64, fromHex, keyPairFromSeed, sameBytes, sha256, sha256Hex, sign,
  toBase64, toHex, verify,
} from '../../protocol/base/crypto.ts'
import { assert, suite } from '../harness.ts'

const { n: order, p: prime } = ed.Point.CURVE()
const base = ed.Point.BASE

const t = suite('crypto')

interface Vector { secret: string, public: string, message: string, signature: string }
const file = new URL('../vectors/base/ed25519.json', import.meta.url)
const { vectors } = JSON.parse(readFileSync(file, 'utf8')) as { vectors: readonly Vector[] }

t('signs and verifies as RFC 8032 does', () => {
  for (const vector of vectors) {
    const key = keyPairFromSeed(bytesOf(vector.secret))
    assert.equal(toHex(key.publicKey), vector.public)
    const message = bytesOf(vector.message)
    assert.equal(toHex(sign(key, message)), vector.signature)
    assert.ok(verify(key.publicKey, message, bytesOf(vector.signature)))
    assert.equal(checkPublicKey(key.publicKey), { ok: true, value: key.publicKey })
  }
})

t('any changed bit of key, message or signature breaks it', () => {
  const key = keyPairFromSeed(sha256('a key'))
  const message = Buffer.from('a message')
  const signature = sign(key, message)
  for (let bit = 0; bit < 512; bit++) {
    assert.ok(!verify(key.publicKey, message, flipped(signature, bit)))
    if (bit < 256) assert.ok(!verify(flipped(key.publicKey, bit), message, signature))
    if (bit < 72) assert.ok(!verify(key.publicKey, flipped(message, bit), signature))
  }
})

t('wrong lengths are refused, not thrown', () => {
  const key = keyPairFromSeed(sha256('a key'))
  const signature = sign(key, new Uint8Array())
  for (const length of [0, 1, 31, 33, 63, 65, 128]) {
    const other = new Uint8Array(length)
    other.set(signature.subarray(0, length))
    assert.ok(!verify(key.publicKey, new Uint8Array(), other))
    assert.ok(!verify(other, new Uint8Array(), signature))
    const { detail } = assert.refused(checkPublicKey(other.subarray(0, 31)), 'bad_key')
    assert.match(detail, /32 bytes/)
  }
})

t('agrees with noble on honest signatures', () => {
  fc.assert(fc.property(bytes(32, 32), bytes(0, 200), (seed, message) => {
    const key = keyPairFromSeed(seed)
    const signature = sign(key, message)
    assert.ok(sameBytes(signature, ed.sign(message, seed)))
    assert.ok(oracle(key.publicKey, message, signature))
    assert.ok(verify(key.publicKey, message, signature))
  }), { seed: 1, numRuns: 40 })
})

t('torsion in the key or in R: only the pair without any is a signature', () => {
  const secret = scalar('secret')
  for (const [inKey, inR, round] of triples(8, 8, 2)) {
    const { publicKey, message, signature } = crafted({ secret, inKey, inR, round })
    const expected = inKey === 0 && inR === 0
    const name = `torsion ${inKey} in the key, ${inR} in R`
    assert.equal(verify(publicKey, message, signature), expected, name)
    assert.equal(oracle(publicKey, message, signature), expected, name)
    assert.equal(checkPublicKey(publicKey).ok, inKey === 0, name)
    // The equation with the cofactor holds for each; the one without when the torsion parts cancel.
    assert.ok(ed.verify(signature, message, publicKey, { zip215: true }), name)
    const k = challenge(signature.subarray(0, 32), publicKey, message)
    const cancels = (inR + Number(k % 8n) * inKey) % 8 === 0
    assert.equal(openssl(publicKey, message, signature), cancels, name)
  }
})

t('keys of small order, in every encoding, sign nothing', () => {
  const zero = Buffer.alloc(32)
  const message = Buffer.from('anything at all')
  const known = smallOrderEncodings()
  assert.equal(known.length, 14)
  for (const publicKey of known) {
    assert.refused(checkPublicKey(publicKey), 'bad_key')
    for (const r of known) {
      const signature = Buffer.concat([r, zero])
      assert.ok(!verify(publicKey, message, signature))
      assert.ok(!oracle(publicKey, message, signature))
    }
  }
})

t('R of small order is refused, the identity above all', () => {
  const secret = scalar('secret')
  const publicKey = base.multiply(secret).toBytes()
  const message = Buffer.from('a message')
  for (const r of smallOrderEncodings()) {
    const s = littleEndian(modulo(challenge(r, publicKey, message) * secret))
    const signature = Buffer.concat([r, s])
    assert.ok(!verify(publicKey, message, signature), toHex(r))
    assert.ok(!oracle(publicKey, message, signature), toHex(r))
  }
  const identity = Buffer.from(ed.Point.ZERO.toBytes())
  const s = littleEndian(modulo(challenge(identity, publicKey, message) * secret))
  const signature = Buffer.concat([identity, s])
  // The equation holds, so OpenSSL and Go accept it; only rule 4 stands against it (and in some
  // versions of Node a check of its own).
  assert.ok(ed.verify(signature, message, publicKey, { zip215: false }))
  assert.ok(!verify(publicKey, message, signature))
})

t('S has one value: S + L and anything above is refused', () => {
  const secret = scalar('secret')
  for (let round = 0; round < 4; round++) {
    const { publicKey, message, signature } = crafted({ secret, inKey: 0, inR: 0, round })
    assert.ok(verify(publicKey, message, signature))
    const s = bigOf(signature.subarray(32))
    for (let times = 1n; s + times * order < 1n << 256n; times++) {
      const other = Buffer.concat([signature.subarray(0, 32), littleEndian(s + times * order)])
      assert.ok(!verify(publicKey, message, other), `S + ${times}·L`)
      assert.ok(!oracle(publicKey, message, other), `S + ${times}·L`)
    }
  }
})

t('every y that is not canonical is refused, as a key and as R', () => {
  const good = keyPairFromSeed(sha256('a key'))
  const message = Buffer.from('a message')
  const signature = sign(good, message)
  for (let y = prime; y < 1n << 255n; y++) {
    for (const signBit of [0n, 1n]) {
      const encoding = littleEndian(y + (signBit << 255n))
      assert.refused(checkPublicKey(encoding), 'bad_key')
      assert.ok(!verify(encoding, message, signature))
      assert.ok(!verify(good.publicKey, message, Buffer.concat([encoding, signature.subarray(32)])))
    }
  }
})

t('says why a key is refused', () => {
  const detail = (key: Uint8Array): string => assert.refused(checkPublicKey(key), 'bad_key').detail
  assert.match(detail(littleEndian(1n)), /identity/)
  assert.match(detail(littleEndian(1n + (1n << 255n))), /not the canonical/)
  assert.match(detail(littleEndian(0n)), /prime order/)
  assert.match(detail(littleEndian(prime)), /not the canonical/)
  assert.match(detail(littleEndian(2n)), /not the canonical/)
  assert.match(detail(base.add(torsion(1)).toBytes()), /prime order/)
})

t('random changes to crafted signatures never part us from noble', () => {
  const secret = scalar('secret')
  const cases = fc.record({
    inKey: fc.nat(1), inR: fc.nat(7), round: fc.nat(9), bit: fc.nat(1023), flip: fc.boolean(),
  })
  fc.assert(fc.property(cases, ({ bit, flip, ...how }) => {
    const made = crafted({ secret, ...how })
    const signature = flip && bit < 512 ? flipped(made.signature, bit) : made.signature
    const key = flip && bit >= 768 ? flipped(made.publicKey, bit - 768) : made.publicKey
    assert.equal(verify(key, made.message, signature), oracle(key, made.message, signature))
  }), { seed: 2, numRuns: 60 })
})

t('more keys than the cache holds change no answer', () => {
  const key = keyPairFromSeed(sha256('a key'))
  const message = Buffer.from('a message')
  const signature = sign(key, message)
  for (let y = 2n; y < 4_200n; y++) assert.ok(!verify(littleEndian(y), message, signature))
  assert.ok(verify(key.publicKey, message, signature))
})

t('hashes strings as UTF-8 and parts as their concatenation', () => {
  const abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
  assert.equal(sha256Hex('abc') as string, abc)
  assert.equal(toHex(sha256('a', Buffer.from('b'), 'c')), abc)
  assert.equal(sha256Hex('a', 'bc') as string, abc)
  assert.equal(sha256('é'), sha256(Uint8Array.of(0xc3, 0xa9)))
  assert.ok(!Buffer.isBuffer(sha256('a')) && !Buffer.isBuffer(sha256('a', 'b')))
})

t('hexadecimal and base64 have one text for one value', () => {
  fc.assert(fc.property(bytes(0, 40), (value) => {
    assert.equal(fromHex(toHex(value)), value)
    assert.equal(fromBase64(toBase64(value)), value)
  }), { seed: 3, numRuns: 200 })
  const hexes = ['a', 'AB', '0x', 'zz', 'ab ', ' ab', 'ab\n']
  for (const bad of hexes) assert.equal(fromHex(bad), undefined, bad)
  const strict = ['YQ', 'YQ=', 'YR==', 'YQ==\n', ' YQ==', 'YQ==YQ==', 'Y-_=', 'YQ==A', '====', '=']
  for (const bad of strict) assert.equal(fromBase64(bad), undefined, bad)
})

function bytes(minLength: number, maxLength: number) {
  return fc.uint8Array({ minLength, maxLength }).map((value) => new Uint8Array(value))
}

function bytesOf(hexText: string): Uint8Array {
  const value = fromHex(hexText)
  assert.ok(value)
  return value
}

/** The rules by another road: noble's equation with the cofactor, and R free of torsion. */
function oracle(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    const r = ed.Point.fromBytes(signature.subarray(0, 32))
    const a = ed.Point.fromBytes(publicKey)
    if (r.is0() || a.is0() || !r.isTorsionFree() || !a.isTorsionFree()) return false
    return ed.verify(signature, message, publicKey, { zip215: false })
  } catch {
    return false
  }
}

/** OpenSSL without any check of ours. */
function openssl(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(publicKey).toString('base64url') }
  return opensslVerify(null, message, createPublicKey({ key: jwk, format: 'jwk' }), signature)
}

/** A signature made with torsion added to the key and to R; S is right but for the torsion. */
function crafted(how: { secret: bigint, inKey: number, inR: number, round: number }) {
  const publicKey = base.multiply(how.secret).add(torsion(how.inKey)).toBytes()
  const message = Buffer.from(`message ${how.round} ${how.inKey} ${how.inR}`)
  const nonce = scalar(`nonce ${how.round}`)
  const r = base.multiply(nonce).add(torsion(how.inR)).toBytes()
  const s = modulo(nonce + challenge(r, publicKey, message) * how.secret)
  return { publicKey, message, signature: Buffer.concat([r, littleEndian(s)]) }
}

/** `times` × a point of order 8. */
function torsion(times: number): ed.Point {
  let sum = ed.Point.ZERO
  for (let at = 0; at < times; at++) sum = sum.add(eighth())
  return sum
}

let eighthFound: ed.Point | undefined
function eighth(): ed.Point {
  for (let y = 2n; !eighthFound; y++) {
    try {
      const point = ed.Point.fromBytes(littleEndian(y))
      const small = point.multiplyUnsafe(order - 1n).add(point)
      if (!small.double().double().is0()) eighthFound = small
    } catch {
      // Half of all y are on no point of the curve.
    }
  }
  return eighthFound
}

/** All encodings, canonical or not, that lenient decoders take for one of the eight points. */
function smallOrderEncodings(): Buffer[] {
  const found = new Map<string, Buffer>()
  for (let times = 0; times < 8; times++) {
    const { x, y } = torsion(times).toAffine()
    for (const plusPrime of [y, y + prime]) {
      if (plusPrime >= 1n << 255n) continue
      for (const sign of x === 0n ? [0n, 1n] : [x & 1n]) {
        const encoding = littleEndian(plusPrime + (sign << 255n))
        found.set(toHex(encoding), encoding)
      }
    }
  }
  return [...found.values()]
}

function challenge(r: Uint8Array, publicKey: Uint8Array, message: Uint8Array): bigint {
  const digest = createHash('sha512').update(r).update(publicKey).update(message).digest()
  return modulo(bigOf(digest))
}

function scalar(seed: string): bigint {
  return modulo(bigOf(createHash('sha512').update(seed).digest()))
}

function modulo(value: bigint): bigint {
  return ((value % order) + order) % order
}

function bigOf(value: Uint8Array): bigint {
  return BigInt(`0x${toHex(Uint8Array.from(value).reverse())}`)
}

function littleEndian(value: bigint): Buffer {
  return Buffer.from(value.toString(16).padStart(64, '0'), 'hex').reverse()
}

function flipped(value: Uint8Array, bit: number): Uint8Array {
  const copy = Uint8Array.from(value)
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return copy
}

function triples(a: number, b: number, c: number): [number, number, number][] {
  const all: [number, number, number][] = []
  for (let x = 0; x < a; x++) {
    for (let y = 0; y < b; y++) {
      for (let z = 0; z < c; z++) all.push([x, y, z])
    }
  }
  return all
}
