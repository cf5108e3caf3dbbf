// Signatures that some verifiers take and others refuse, made with point arithmetic: torsion in R
// or in the key, the identity, S beyond the group's order. gridnode refuses all of them
// (protocol/base/crypto.ts).

import { createHash } from 'node:crypto'
import * as ed from '@noble/ed25519'
import type { KeyPair } from '../../../protocol/base/crypto.ts'
import { sign, toHex } from '../../../protocol/base/crypto.ts'

export interface CraftedSignature {
  readonly name: string
  readonly why: string
  readonly signature: Uint8Array
}

const { n: order, p: prime } = ed.Point.CURVE()
const base = ed.Point.BASE

/** Signatures over `message` that must not count under `key`. */
export function badSignatures(key: KeyPair, message: Uint8Array): CraftedSignature[] {
  const good = sign(key, message)
  const s = bigOf(good.subarray(32))
  const nonce = scalar('nonce')
  const forR = (r: Uint8Array, nonceOfR: bigint): Uint8Array => {
    const answer = nonceOfR + challenge(r, key.publicKey, message) * secretOf(key)
    return Buffer.concat([r, littleEndian(answer)])
  }
  const flipped = Uint8Array.from(good)
  flipped[0] = (flipped[0] ?? 0) ^ 1
  return [
    {
      name: 'a flipped bit', why: 'one bit of R differs from what was signed', signature: flipped,
    },
    {
      name: 'S + L',
      why: 'S is not below the order of the group, though the equation holds',
      signature: Buffer.concat([good.subarray(0, 32), plainLittleEndian(s + order)]),
    },
    {
      name: 'R of mixed order',
      why: 'R has a part of order 8: only the equation with the cofactor holds',
      signature: forR(base.multiply(nonce).add(eighth()).toBytes(), nonce),
    },
    {
      name: 'R is the identity',
      why: 'the equation holds, but R is of small order',
      signature: forR(ed.Point.ZERO.toBytes(), 0n),
    },
    {
      name: 'R is the identity, not canonical',
      why: 'the bytes of R are those of p + 1 instead of 1',
      signature: forR(plainLittleEndian(prime + 1n), 0n),
    },
    { name: 'cut short', why: 'a signature has 64 bytes', signature: good.subarray(0, 63) },
    {
      name: 'over another text',
      why: 'the signature is of the same key, over something else',
      signature: sign(key, Buffer.concat([message, Buffer.from('\n')])),
    },
  ]
}

/** Keys that must not sign, with a signature that holds for lenient verifiers. */
export function badKeys(message: Uint8Array): (CraftedSignature & { publicKey: Uint8Array })[] {
  const zero = new Uint8Array(32)
  const identity = ed.Point.ZERO.toBytes()
  const small = eighth().toBytes()
  const mixed = mixedOrderKey(message)
  return [
    {
      name: 'key is the identity', why: 'every text is signed by it', publicKey: identity,
      signature: Buffer.concat([identity, zero]),
    },
    {
      name: 'key is the identity, not canonical', why: 'its bytes are those of p + 1',
      publicKey: plainLittleEndian(prime + 1n), signature: Buffer.concat([identity, zero]),
    },
    {
      name: 'key of small order', why: 'a key has prime order', publicKey: small,
      signature: Buffer.concat([identity, zero]),
    },
    {
      ...mixed, name: 'key of mixed order',
      why: 'the equation holds here, but a key has prime order: for others R would decide',
    },
    {
      name: 'key is no point', why: 'no point of the curve has this y',
      publicKey: plainLittleEndian(2n), signature: Buffer.concat([identity, zero]),
    },
  ]
}

/** A key with torsion, and a nonce for which its part vanishes from the equation. */
function mixedOrderKey(message: Uint8Array) {
  const secret = scalar('mixed')
  const publicKey = base.multiply(secret).add(eighth()).toBytes()
  for (let round = 0; ; round++) {
    const nonce = scalar(`round ${round}`)
    const r = base.multiply(nonce).toBytes()
    const k = challenge(r, publicKey, message)
    if (k % 8n !== 0n) continue
    return { publicKey, signature: Buffer.concat([r, littleEndian(nonce + k * secret)]) }
  }
}

/** A point of order 8. */
function eighth(): ed.Point {
  for (let y = 2n; ; y++) {
    try {
      const point = ed.Point.fromBytes(plainLittleEndian(y))
      const small = point.multiplyUnsafe(order - 1n).add(point)
      if (!small.double().double().is0()) return small
    } catch {
      // Half of all y are on no point of the curve.
    }
  }
}

/** The secret scalar of RFC 8032 behind a seed. */
function secretOf({ secretKey }: KeyPair): bigint {
  const digest = createHash('sha512').update(secretKey).digest().subarray(0, 32)
  digest[0] = (digest[0] ?? 0) & 248
  digest[31] = ((digest[31] ?? 0) & 127) | 64
  return bigOf(digest)
}

function challenge(r: Uint8Array, publicKey: Uint8Array, message: Uint8Array): bigint {
  const digest = createHash('sha512').update(r).update(publicKey).update(message).digest()
  return bigOf(digest) % order
}

function scalar(seed: string): bigint {
  return bigOf(createHash('sha512').update(seed).digest()) % order
}

function bigOf(value: Uint8Array): bigint {
  return BigInt(`0x${toHex(Uint8Array.from(value).reverse())}`)
}

function littleEndian(value: bigint): Buffer {
  return plainLittleEndian(value % order)
}

function plainLittleEndian(value: bigint): Buffer {
  return Buffer.from(value.toString(16).padStart(64, '0'), 'hex').reverse()
}
