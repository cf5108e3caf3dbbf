// Signatures to check, many at once, laid out so that they travel between threads in few objects:
// the texts lie where they were read, in the bundle of entries.

import { verify } from '../../protocol/base/crypto.ts'

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

/** 1 for each signature that is good, 0 for each that is not. */
export function checkBatch({ bytes, parts, signatures, keys }: SignatureBatch): Uint8Array {
  const verdicts = new Uint8Array(parts.length / partsPerSignature)
  for (let at = 0; at < verdicts.length; at++) {
    const part = at * partsPerSignature
    const key = keys[parts[part + 2] as number]
    const text = bytes.subarray(parts[part], parts[part + 1])
    const signature = signatures.subarray(at * signatureBytes, (at + 1) * signatureBytes)
    verdicts[at] = key && verify(key, text, signature) ? 1 : 0
  }
  return verdicts
}
