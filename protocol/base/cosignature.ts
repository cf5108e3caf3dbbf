// Cosignatures (C2SP tlog-cosignature, Ed25519): a witness saw the head of a log at a time, and all
// that it had seen of that log before was the beginning of it.
//
//     cosignature/v1
//     time <seconds since 1970>
//     <the text of the checkpoint>
//
// is what it signs. Its signature line has key type 0x04, and the time (eight bytes, big-endian)
// before the 64 bytes of the signature.
//
// Invariants: only the text of a checkpoint is cosigned or counted; one key counts once, whatever
// its names, because what is signed does not hold the name.

import { assert } from './assert.ts'
import { parseCheckpoint } from './checkpoint.ts'
import { sign, toHex, verify } from './crypto.ts'
import { malformed } from './encoding.ts'
import type { Malformed } from './encoding.ts'
import type { OpenNote, Signer, Verifier } from './note.ts'
import { formatNote, keyId, noteAlgorithm, parseNote, signatureLine } from './note.ts'
import { ok } from './outcome.ts'
import type { Outcome } from './outcome.ts'

export interface Cosignature {
  /** The witness key's name. */
  readonly name: string
  readonly publicKey: Uint8Array
  /** Seconds since 1970 by the witness's clock, at least 1. */
  readonly seconds: number
}

export interface QuorumRule {
  /** All witnesses of the policy, n of them. */
  readonly witnesses: readonly Verifier[]
  /** How many of them must have cosigned. */
  readonly quorum: number
}

export interface QuorumTime {
  /** Whether as many witnesses as the rule asks for have cosigned. */
  readonly met: boolean
  /** Witnesses of the rule that have cosigned, each counted once. */
  readonly cosigned: number
  /**
   * Seconds: with at most f = ⌊(n − 1) ∕ 3⌋ liars the head was there by then (the (f + 1)-th
   * smallest time), and was looked at no earlier than this (the (f + 1)-th largest). Undefined
   * when f or fewer have cosigned.
   */
  readonly existedBySeconds: number | undefined
  readonly notBeforeSeconds: number | undefined
}

const timeBytes = 8
const signatureBytes = 64
/** The largest time in milliseconds that a date can have, in seconds. */
export const cosignatureSecondsMax = 8_640_000_000_000
const checkpointBytesMax = 16 * 1024

/** The signature line, with its newline, that `signer` adds to a note with this text. */
export function cosign(checkpointText: string, signer: Signer, seconds: number): string {
  assert(parseCheckpoint(checkpointText).ok, 'only a checkpoint is cosigned')
  assert(isTime(seconds), 'a cosignature has a time in whole seconds')
  const bytes = new Uint8Array(timeBytes + signatureBytes)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(seconds))
  bytes.set(sign(signer.key, signedMessage(checkpointText, seconds)), timeBytes)
  const id = keyId(signer.name, signer.key.publicKey, noteAlgorithm.cosignature)
  return signatureLine({ name: signer.name, keyId: id, signature: bytes })
}

/**
 * The cosignatures of the given witnesses that hold, in the order of the note; the first line under
 * a name and key id decides. A line that does not hold counts for nothing. (C2SP signed-note would
 * drop the whole note for it; here nobody may spoil a head by adding a line to it.)
 */
export function openCosignatures(note: OpenNote, witnesses: readonly Verifier[]): Cosignature[] {
  if (!parseCheckpoint(note.text).ok) return []
  const known = new Map(witnesses.map((witness) => [lineKey(witness.name,
    keyId(witness.name, witness.publicKey, noteAlgorithm.cosignature)), witness]))
  const found: Cosignature[] = []
  const keys = new Set<string>()
  for (const { name, keyId: id, signature } of note.signatures) {
    const witness = known.get(lineKey(name, id))
    if (!witness) continue
    known.delete(lineKey(name, id))
    const seconds = timeOf(note.text, signature, witness)
    const key = toHex(witness.publicKey)
    if (seconds === undefined || keys.has(key)) continue
    keys.add(key)
    found.push({ name, publicKey: witness.publicKey, seconds })
  }
  return found
}

/** What cosignatures that were opened prove under a policy of n witnesses, f of which may lie. */
export function quorumTime(cosignatures: readonly Cosignature[], rule: QuorumRule): QuorumTime {
  const { quorum } = rule
  const keys = new Set(rule.witnesses.map(({ publicKey }) => toHex(publicKey)))
  const n = keys.size
  assert(Number.isSafeInteger(quorum) && quorum >= 1, 'a quorum is at least one')
  const times: number[] = []
  for (const { publicKey, seconds } of cosignatures) {
    if (keys.delete(toHex(publicKey))) times.push(seconds)
  }
  times.sort((left, right) => left - right)
  const liars = Math.max(0, Math.floor((n - 1) / 3))
  return {
    met: times.length >= quorum,
    cosigned: times.length,
    existedBySeconds: times[liars],
    notBeforeSeconds: times[times.length - 1 - liars],
  }
}

/**
 * A checkpoint's note with further signature lines: those whose name and key id it has already are
 * left out, and so is what goes beyond the sixteen lines that a note may have.
 */
export function withSignatureLines(
  note: string, lines: readonly string[],
): Outcome<string, Malformed> {
  const open = parseNote(note, { bytesMax: checkpointBytesMax })
  if (!open.ok) return open
  const { text } = open.value
  const signatures = [...open.value.signatures]
  const names = new Set(signatures.map((one) => lineKey(one.name, one.keyId)))
  for (const line of lines) {
    const one = parseNote(`${text}\n${line}`, { bytesMax: checkpointBytesMax })
    const [signature, ...more] = one.ok ? one.value.signatures : []
    if (!signature || more.length > 0 || (one.ok && one.value.text !== text)) {
      return malformed('expected one signature line')
    }
    const key = lineKey(signature.name, signature.keyId)
    if (names.has(key) || signatures.length === signaturesMax) continue
    names.add(key)
    signatures.push(signature)
  }
  return ok(formatNote({ text, signatures }))
}

/** What every reader of a note has to take (C2SP signed-note). */
const signaturesMax = 16

function timeOf(text: string, signature: Uint8Array, witness: Verifier): number | undefined {
  if (signature.length !== timeBytes + signatureBytes) return undefined
  const view = new DataView(signature.buffer, signature.byteOffset, timeBytes)
  const time = view.getBigUint64(0)
  if (time > BigInt(cosignatureSecondsMax) || time < 1n) return undefined
  const seconds = Number(time)
  const holds = verify(witness.publicKey, signedMessage(text, seconds),
    signature.subarray(timeBytes))
  return holds ? seconds : undefined
}

function signedMessage(checkpointText: string, seconds: number): Uint8Array {
  return Buffer.from(`cosignature/v1\ntime ${seconds}\n${checkpointText}`)
}

function isTime(seconds: number): boolean {
  return Number.isSafeInteger(seconds) && seconds >= 1 && seconds <= cosignatureSecondsMax
}

/** A key name has no spaces. */
function lineKey(name: string, id: number): string {
  return `${id} ${name}`
}
