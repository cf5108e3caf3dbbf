// Signatures to check, many at once, laid out so that they travel between threads in few objects:
// the texts lie where they were read, in the bundle of entries.

import { verify } from '../../protocol/base/crypto.ts'
import type { Signed } from './signature-check.ts'

export interface SignatureBatch {
  /** What the texts are parts of. */
  readonly bytes: Uint8Array
  /** For each signature: where its text begins, where it ends, and its key's place in `keys`. */
  readonly parts: Int32Array
  /** 64 bytes for each signature. */
  readonly signatures: Uint8Array
  /** Public keys of 32 bytes. */
  readonly keys: readonly Uint8Array[]
}

export const partsPerSignature = 3
export const signatureBytes = 64

/** The signatures one by one. */
export function signedIn({ bytes, parts, signatures, keys }: SignatureBatch): Signed[] {
  return Array.from({ length: parts.length / partsPerSignature }, (_, at) => {
    const part = at * partsPerSignature
    return {
      publicKey: keys[parts[part + 2] as number] ?? new Uint8Array(),
      message: bytes.subarray(parts[part], parts[part + 1]),
      signature: signatures.subarray(at * signatureBytes, (at + 1) * signatureBytes),
    }
  })
}

/** 1 for each signature that is good, 0 for each that is not. */
export function checkBatch(batch: SignatureBatch): Uint8Array {
  return Uint8Array.from(signedIn(batch), ({ publicKey, message, signature }) =>
    verify(publicKey, message, signature) ? 1 : 0)
}
