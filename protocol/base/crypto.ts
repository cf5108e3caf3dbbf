// The one door to hashing and signatures (node:crypto and @noble/ed25519): whoever verifies
// anything verifies it here, so two nodes cannot disagree about a signature.
//
// The rules for Ed25519 (RFC 8032, pure), on which OpenSSL, Go and this file agree:
//   1. The key A is 32 bytes, canonical (y < p, no sign bit where x = 0), not the identity and of
//      prime order (no torsion part). Checked once for each key, by `checkPublicKey`.
//   2. The signature is 64 bytes R ‖ S, with S < L as a little-endian integer.
//   3. Cofactorless: the encoding of [S]B − [k]A is R byte for byte, k = SHA-512(R ‖ A ‖ M) mod L.
//      R is therefore canonical, and by rule 1 free of torsion.
//   4. R is not the identity (nor, by rule 3, any other point of small order).
// Rules 1 and 4 are stricter than OpenSSL and Go. @noble alone multiplies by the cofactor and takes
// signatures whose R has a torsion part; it agrees with rule 3 once R is checked to be free of it.

import { createHash, createPrivateKey, createPublicKey, hash as hashOnce } from 'node:crypto'
import { sign as nodeSign, verify as nodeVerify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import * as ed from '@noble/ed25519'
import { sha512 } from '@noble/hashes/sha2.js'
import { assert } from './assert.ts'
import type { Hash } from './ids.ts'
import { ok, refuse } from './outcome.ts'
import type { Outcome } from './outcome.ts'

ed.hashes.sha512 = sha512

type Part = Uint8Array | string

export interface KeyPair {
  /** 32 bytes. */
  readonly publicKey: Uint8Array
  /** The 32-byte seed of RFC 8032. */
  readonly secretKey: Uint8Array
}

/** A public key that may not sign anything here. */
export interface BadKey {
  readonly reason: 'bad_key'
  readonly detail: string
}

/** SHA-256 of the parts one after another; strings count as UTF-8. */
export function sha256(...parts: readonly Part[]): Uint8Array {
  if (parts.length === 1) return plain(hashOnce('sha256', parts[0] as Part, 'buffer'))
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return plain(hash.digest())
}

export function sha256Hex(...parts: readonly Part[]): Hash {
  if (parts.length === 1) return hashOnce('sha256', parts[0] as Part, 'hex') as Hash
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest('hex') as Hash
}

export function keyPairFromSeed(seed: Uint8Array): KeyPair {
  assert(seed.length === 32, 'an Ed25519 seed has 32 bytes')
  const secretKey = Uint8Array.from(seed)
  return { publicKey: ed.getPublicKey(secretKey), secretKey }
}

/** 64 bytes; the same for the same key and message. */
export function sign(key: KeyPair, message: Uint8Array): Uint8Array {
  return plain(nodeSign(null, message, privateKeyOf(key)))
}

/** Whether `signature` over `message` holds under the rules above. Any bytes are safe to pass. */
export function verify(
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (publicKey.length !== 32 || signature.length !== 64 || isIdentity(signature)) return false
  const key = publicKeyOf(publicKey)
  return key !== undefined && nodeVerify(null, message, key, signature)
}

/** Rule 1, for enrolment: hands the key back or says what is wrong with it. */
export function checkPublicKey(publicKey: Uint8Array): Outcome<Uint8Array, BadKey> {
  const bad = (detail: string) => refuse<BadKey>({ reason: 'bad_key', detail })
  if (publicKey.length !== 32) return bad(`expected 32 bytes, got ${publicKey.length}`)
  const name = toHex(publicKey)
  if (soundKeys.has(name)) return ok(publicKey)
  let point: ed.Point
  try {
    point = ed.Point.fromBytes(publicKey)
  } catch {
    return bad('not the canonical encoding of a point on the curve')
  }
  if (!sameBytes(point.toBytes(), publicKey)) return bad('not the canonical encoding of a point')
  if (point.is0()) return bad('the identity point')
  if (!point.isTorsionFree()) return bad('not of prime order')
  if (soundKeys.size >= publicKeysCachedMax) soundKeys.clear()
  soundKeys.add(name)
  return ok(publicKey)
}

/**
 * Keys that passed before: the check takes a millisecond, and an audit meets the same keys in
 * every log.
 */
const soundKeys = new Set<string>()

export function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && Buffer.compare(left, right) === 0
}

export function toHex(bytes: Uint8Array): string {
  return view(bytes).toString('hex')
}

/** Lower-case digits only, an even number of them. */
export function fromHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/.test(text)) return undefined
  return new Uint8Array(Buffer.from(text, 'hex'))
}

export function toBase64(bytes: Uint8Array): string {
  return view(bytes).toString('base64')
}

/** Standard alphabet with padding (RFC 4648, section 4), in the one form that encodes to itself. */
export function fromBase64(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text ? new Uint8Array(bytes) : undefined
}

/** The same bytes without Buffer's methods: values compare equal whoever made them. */
function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
}

function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** R = (0, 1), the one point of small order that rule 3 leaves. */
function isIdentity(signature: Uint8Array): boolean {
  if (signature[0] !== 1) return false
  for (let at = 1; at < 32; at++) if (signature[at] !== 0) return false
  return true
}

const privateKeys = new WeakMap<KeyPair, KeyObject>()

function privateKeyOf(key: KeyPair): KeyObject {
  let found = privateKeys.get(key)
  if (!found) {
    const d = view(key.secretKey).toString('base64url')
    const x = view(key.publicKey).toString('base64url')
    const jwk = { kty: 'OKP', crv: 'Ed25519', d, x }
    found = createPrivateKey({ key: jwk, format: 'jwk' })
    privateKeys.set(key, found)
  }
  return found
}

/** Several keys for each of limits.sitesMax sites; a miss costs a millisecond. */
const publicKeysCachedMax = 4_096
/** Imported keys, least recently used first; undefined marks one that `checkPublicKey` refuses. */
const publicKeys = new Map<string, KeyObject | undefined>()

function publicKeyOf(publicKey: Uint8Array): KeyObject | undefined {
  const x = view(publicKey).toString('base64url')
  const known = publicKeys.has(x)
  const found = known ? publicKeys.get(x) : importPublicKey(publicKey, x)
  publicKeys.delete(x)
  publicKeys.set(x, found)
  if (publicKeys.size > publicKeysCachedMax) {
    for (const oldest of publicKeys.keys()) {
      publicKeys.delete(oldest)
      break
    }
  }
  return found
}

/** As a JWK: importing SPKI costs several times as much. */
function importPublicKey(publicKey: Uint8Array, x: string): KeyObject | undefined {
  if (!checkPublicKey(publicKey).ok) return undefined
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
}
