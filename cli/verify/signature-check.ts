// How the audit's threads check signatures: libsodium does it twice as fast as the OpenSSL of Node.
// Invariants: the key has passed `checkPublicKey`, so a yes of libsodium (cofactorless, S < L, R
// compared byte for byte, no R of small order) is a yes of protocol/base/crypto.ts; what is not a
// yes here is for `verify` to decide, so no ledger is refused for being checked elsewhere.

import sodium from 'sodium-native'
import { checkPublicKey, toHex, verify } from '../../protocol/base/crypto.ts'

export interface Signed {
  /** 32 bytes. */
  readonly publicKey: Uint8Array
  readonly message: Uint8Array
  /** 64 bytes. */
  readonly signature: Uint8Array
}

const keysMax = 4_096
/** Keys that may sign, by their hexadecimal digits. */
const soundKeys = new Map<string, boolean>()

/** What `verify` of protocol/base/crypto.ts says, faster where it is yes. */
export function isSigned({ publicKey, message, signature }: Signed): boolean {
  return isQuickYes({ publicKey, message, signature }) || verify(publicKey, message, signature)
}

/** A yes is a yes of `verify`; a no says nothing. */
export function isQuickYes({ publicKey, message, signature }: Signed): boolean {
  if (signature.length !== 64 || !isSound(publicKey)) return false
  return sodium.crypto_sign_verify_detached(asBuffer(signature), asBuffer(message),
    asBuffer(publicKey))
}

function isSound(publicKey: Uint8Array): boolean {
  const name = toHex(publicKey)
  let sound = soundKeys.get(name)
  if (sound === undefined) {
    sound = checkPublicKey(publicKey).ok
    if (soundKeys.size >= keysMax) soundKeys.clear()
    soundKeys.set(name, sound)
  }
  return sound
}

/** The same bytes; libsodium's binding takes nothing else. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
