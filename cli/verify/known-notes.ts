// Signatures that were found good, so that a note which several logs hold is checked once.
// Invariants: memory is fixed when it is opened; what does not fit is checked again. A fingerprint
// is the SHA-256 of key, text and signature, so nothing else can pass for what was checked.

import { sha256 } from '../../protocol/base/crypto.ts'
import type { Sid } from '../../protocol/base/ids.ts'

export interface KnownNotes {
  fingerprint(of: {
    readonly publicKey: Uint8Array, readonly sid: Sid, readonly signature: Uint8Array
  }): Uint8Array
  has(fingerprint: Uint8Array): boolean
  add(fingerprint: Uint8Array): void
}

const hashBytes = 32
const sidDigits = 64
const slotsMax = 1 << 20

/** Room for about so many; at most 32 MiB. */
export function openKnownNotes(expected: number): KnownNotes {
  let slots = 1_024
  while (slots < slotsMax && slots < expected * 2) slots *= 2
  const table = Buffer.alloc(slots * hashBytes)
  const used = new Uint8Array(slots)
  const full = slots - slots / 4
  let size = 0
  /** Where it is, or where it would be. */
  const slotOf = (fingerprint: Uint8Array): number => {
    let slot = Buffer.from(fingerprint.buffer, fingerprint.byteOffset, 4).readUInt32LE() % slots
    while (used[slot] === 1) {
      const at = slot * hashBytes
      if (table.compare(fingerprint, 0, hashBytes, at, at + hashBytes) === 0) return slot
      slot = (slot + 1) % slots
    }
    return slot
  }
  return {
    fingerprint({ publicKey, sid, signature }) {
      const bytes = Buffer.allocUnsafe(publicKey.length + sidDigits + signature.length)
      bytes.set(publicKey)
      bytes.write(sid, publicKey.length, 'latin1')
      bytes.set(signature, publicKey.length + sidDigits)
      return sha256(bytes)
    },
    has: (fingerprint) => used[slotOf(fingerprint)] === 1,
    add(fingerprint) {
      if (size >= full) return
      const slot = slotOf(fingerprint)
      if (used[slot] === 1) return
      table.set(fingerprint, slot * hashBytes)
      used[slot] = 1
      size += 1
    },
  }
}
