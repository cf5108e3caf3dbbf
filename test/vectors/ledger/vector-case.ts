// The form of the cases in this folder, as its README describes it for other implementations.

import { keyPairFromSeed, sha256, toBase64, toHex } from '../../../protocol/base/crypto.ts'
import type { KeyPair } from '../../../protocol/base/crypto.ts'
import { keyId, noteAlgorithm } from '../../../protocol/base/note.ts'
import type { Signer } from '../../../protocol/base/note.ts'

/** Beside these: the inputs of the file's check, as text, hexadecimal, base64 or numbers. */
export interface VectorCase {
  /** Unique within its file. */
  readonly name: string
  readonly expect: 'valid' | 'invalid'
  /** One sentence. */
  readonly why: string
  /** What a check of a valid case gives. */
  readonly gives?: Readonly<Record<string, string | number>>
  readonly [input: string]: unknown
}

export interface VectorFile {
  readonly check: string
  readonly about: string
  readonly cases: readonly VectorCase[]
}

export function valid(name: string, why: string, inputs: object): VectorCase {
  return { name, expect: 'valid', why, ...inputs }
}

export function invalid(name: string, why: string, inputs: object): VectorCase {
  return { name, expect: 'invalid', why, ...inputs }
}

/** The key as Go writes verifier keys: name, key id, base64 of type and key. */
export function vkeyOf(
  { name, key }: Signer, algorithm: number = noteAlgorithm.ed25519,
): string {
  const id = keyId(name, key.publicKey, algorithm).toString(16).padStart(8, '0')
  return `${name}+${id}+${toBase64(Uint8Array.of(algorithm, ...key.publicKey))}`
}

export function seededKey(text: string): KeyPair {
  return keyPairFromSeed(sha256(`test vectors: ${text}`))
}

/** Text where it is UTF-8 (`note`), else base64 (`note_base64`). */
export function textOrBase64(name: string, bytes: Uint8Array): Record<string, string> {
  const text = Buffer.from(bytes).toString('utf8')
  return Buffer.from(text).equals(bytes)
    ? { [name]: text }
    : { [`${name}_base64`]: toBase64(bytes) }
}

export function hexes(hashes: readonly Uint8Array[]): string[] {
  return hashes.map(toHex)
}
