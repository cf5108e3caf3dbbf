// One stored record: a checksum, then its text. The checksum covers the key as well, so a record
// that turns up under another key is as damaged as one with a flipped byte.

import { crc32 } from 'node:zlib'
import { pack, unpack } from '../../protocol/base/record.ts'
import { StoreError } from './store-error.ts'

const checksumDigits = 8

export function sealRecord(storedKey: string, value: unknown): string {
  const text = pack(value)
  return checksum(storedKey, text) + text
}

/** The value; throws CORRUPT when the bytes are not those that were written under this key. */
export function openRecord(storedKey: string, stored: string): unknown {
  const text = stored.slice(checksumDigits)
  if (stored.slice(0, checksumDigits) !== checksum(storedKey, text)) {
    throw new StoreError('CORRUPT', `the stored record ${printable(storedKey)} is damaged: its `
      + 'checksum does not fit; check the disk, keep a copy of the directory, and do not go on '
      + 'with it')
  }
  return unpack(text)
}

/** The checksum of a sealed record, as a number. */
export function checksumOf(stored: string): number {
  return Number.parseInt(stored.slice(0, checksumDigits), 16)
}

function checksum(storedKey: string, text: string): string {
  return crc32(text, crc32(`${storedKey}\n`)).toString(16).padStart(checksumDigits, '0')
}

function printable(key: string): string {
  return JSON.stringify(key.slice(0, 100))
}
