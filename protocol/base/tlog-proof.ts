// A receipt (C2SP tlog-proof): proof that an entry is in a log, to be checked offline by whoever
// has the entry and the log's key.
//
//     c2sp.org/tlog-proof@v1
//     index <decimal>
//     <hash, base64>          from the leaf's sibling upwards; as many as there are
//
//     <a checkpoint of the log, with its signatures>
//
// Invariants: one text for one proof, and only that text is parsed. The optional line `extra` of
// C2SP is refused: nothing here needs it, and no signature covers it.

import { assert } from './assert.ts'
import type { Checkpoint } from './checkpoint.ts'
import { parseCheckpoint } from './checkpoint.ts'
import { fromBase64, toBase64 } from './crypto.ts'
import { exceedsBytes, malformed } from './encoding.ts'
import type { Malformed } from './encoding.ts'
import { leafHash, verifyInclusion } from './merkle.ts'
import type { OpenNote, Verifier } from './note.ts'
import { formatNote, parseNote, verifyNote } from './note.ts'
import { ok, refuse } from './outcome.ts'
import type { Outcome } from './outcome.ts'

export interface TlogProof {
  /** Of the entry, from 0. */
  readonly index: number
  /** The inclusion proof of RFC 6962, 32 bytes each. */
  readonly hashes: readonly Uint8Array[]
  /** The signed checkpoint. */
  readonly note: OpenNote
}

/** Why a proof convinces nobody, in the order of the checks. */
export type ProofRefusal =
  | Malformed
  /** The checkpoint names another log. */
  | { readonly reason: 'other_log', readonly detail: string }
  | { readonly reason: 'bad_signature', readonly detail: string }
  /** The entry is not at that place of the tree. */
  | { readonly reason: 'not_included', readonly detail: string }

export interface ProvenInclusion {
  readonly index: number
  readonly checkpoint: Checkpoint
  /** For the cosignatures: the log's own signature holds. */
  readonly note: OpenNote
}

/** More than a proof of this form needs: 53 hashes and a checkpoint with sixteen signatures. */
export const tlogProofBytesMax = 16 * 1024
const header = 'c2sp.org/tlog-proof@v1'
/** A tree of 2^53 leaves is 53 levels high. */
const hashesMax = 53

export function formatTlogProof({ index, hashes, note }: TlogProof): string {
  assert(Number.isSafeInteger(index) && index >= 0, 'an index is a safe integer')
  assert(hashes.length <= hashesMax && hashes.every((one) => one.length === 32), 'hashes of a path')
  assert(parseCheckpoint(note.text).ok, 'a receipt holds a checkpoint')
  const lines = [header, `index ${index}`, ...hashes.map(toBase64), '']
  return `${lines.join('\n')}\n${formatNote(note)}`
}

export function parseTlogProof(text: string): Outcome<TlogProof, Malformed> {
  if (exceedsBytes(text, tlogProofBytesMax)) {
    return malformed(`more than ${tlogProofBytesMax} bytes`)
  }
  const split = text.indexOf('\n\n')
  if (split < 0) return malformed('no empty line between proof and checkpoint')
  const [first, indexLine = '', ...hashLines] = text.slice(0, split).split('\n')
  if (first !== header) return malformed(`the first line is not ${header}`)
  const digits = /^index (0|[1-9][0-9]{0,15})$/.exec(indexLine)?.[1]
  const index = Number(digits)
  if (digits === undefined || !Number.isSafeInteger(index)) {
    return malformed('the second line is not "index" and a decimal integer below 2^53')
  }
  if (hashLines.length > hashesMax) return malformed(`more than ${hashesMax} hashes`)
  const hashes: Uint8Array[] = []
  for (const line of hashLines) {
    const hash = fromBase64(line)
    if (hash?.length !== 32) return malformed('a line of the proof is not 32 bytes in base64')
    hashes.push(hash)
  }
  const note = parseNote(text.slice(split + 2), { bytesMax: tlogProofBytesMax })
  if (!note.ok) return note
  const checkpoint = parseCheckpoint(note.value.text)
  return checkpoint.ok ? ok({ index, hashes, note: note.value }) : checkpoint
}

/** Whether `leaf` is an entry of the log whose key and origin `log` has. */
export function verifyTlogProof(
  proof: TlogProof,
  claim: { readonly leaf: Uint8Array, readonly log: Verifier },
): Outcome<ProvenInclusion, ProofRefusal> {
  const { index, hashes, note } = proof
  const { leaf, log } = claim
  const checkpoint = parseCheckpoint(note.text)
  if (!checkpoint.ok) return checkpoint
  const { origin, size, rootHash } = checkpoint.value
  if (origin !== log.name) {
    return refuse({ reason: 'other_log', detail: `expected a head of ${log.name}, got ${origin}` })
  }
  if (!verifyNote(note, log)) {
    return refuse({ reason: 'bad_signature', detail: `the head is not signed by ${log.name}` })
  }
  const claimed = { leafHash: leafHash(leaf), index, size, root: rootHash, proof: hashes }
  if (!verifyInclusion(claimed)) {
    const detail = `the entry is not number ${index} of the ${size} that the head commits to`
    return refuse({ reason: 'not_included', detail })
  }
  return ok({ index, checkpoint: checkpoint.value, note })
}
