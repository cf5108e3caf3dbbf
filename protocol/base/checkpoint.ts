// The text of a checkpoint (C2SP tlog-checkpoint): what a log's key and its witnesses sign.
//
//     <origin>
//     <tree size, decimal>
//     <root hash, base64>
//
// Invariants: one text for one head, and only that text is parsed. Extension lines are refused:
// they are optional in C2SP, nothing here needs them and no monitor could audit them.

import { assert } from './assert.ts'
import { fromBase64, toBase64 } from './crypto.ts'
import { malformed } from './encoding.ts'
import type { Malformed } from './encoding.ts'
import { isKeyName } from './note.ts'
import { ok } from './outcome.ts'
import type { Outcome } from './outcome.ts'

export interface Checkpoint {
  /** The log's identity and its key's name: `site-a.example/gridnode/0123456789abcdef/e1`. */
  readonly origin: string
  /** Leaves in the tree. */
  readonly size: number
  /** 32 bytes. */
  readonly rootHash: Uint8Array
}

export function formatCheckpoint(checkpoint: Checkpoint): string {
  const { origin, size, rootHash } = checkpoint
  assert(isOrigin(origin), 'an origin has no spaces and no plus')
  assert(Number.isSafeInteger(size) && size >= 0, 'a tree size is a safe integer')
  assert(rootHash.length === 32, 'a root hash has 32 bytes')
  return `${origin}\n${size}\n${toBase64(rootHash)}\n`
}

/** Parses the text of an open note; who signed it is for `verifyNote` to say. */
export function parseCheckpoint(text: string): Outcome<Checkpoint, Malformed> {
  const lines = text.split('\n', 5)
  const [origin = '', sizeText = '', rootText = '', end] = lines
  if (lines.length !== 4 || end !== '') return malformed('a checkpoint is three lines')
  if (!isOrigin(origin)) return malformed('the origin is empty, too long or holds spaces or plus')
  const size = Number(sizeText)
  if (!/^(0|[1-9][0-9]*)$/.test(sizeText) || !Number.isSafeInteger(size)) {
    return malformed('the tree size is not a decimal integer below 2^53')
  }
  const rootHash = fromBase64(rootText)
  if (rootHash?.length !== 32) return malformed('the root hash is not 32 bytes in base64')
  return ok({ origin, size, rootHash })
}

function isOrigin(origin: string): boolean {
  return origin.length <= 255 && isKeyName(origin)
}
