// Sites' network keys as libp2p identities: an Ed25519 key is its peer id.

import { generateKeyPairFromSeed, publicKeyFromRaw } from '@libp2p/crypto/keys'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import type { PeerId, PrivateKey } from '@libp2p/interface'

const keyBytes = 32

/** The peer id of an Ed25519 public key (32 bytes); throws a TypeError for anything else. */
export function peerIdOfKey(networkKey: Uint8Array): PeerId {
  if (networkKey.byteLength !== keyBytes) {
    throw new TypeError(`a network key has ${keyBytes} bytes, this one ${networkKey.byteLength}`)
  }
  return peerIdFromPublicKey(publicKeyFromRaw(networkKey))
}

/** The libp2p private key of an Ed25519 seed (32 bytes). */
export async function privateKeyOfSeed(networkSecret: Uint8Array): Promise<PrivateKey> {
  if (networkSecret.byteLength !== keyBytes) {
    throw new TypeError(`a network secret has ${keyBytes} bytes, not ${networkSecret.byteLength}`)
  }
  return generateKeyPairFromSeed('Ed25519', networkSecret)
}
