// Signed notes: text and the signatures over it, as C2SP signed-note has them (Go: sumdb/note).
//
//     <text, ending in a newline>
//     <empty line>
//     — <key name> base64(key id ‖ signature)
//
// Invariants of a parsed note: the text ends in a newline, holds no control character but newlines
// and no broken Unicode; one to sixteen signatures, each with a name without spaces or plus and
// strict base64. A parsed note proves nothing until `verifyNote` says so.

import { assert } from './assert.ts'
import { fromBase64, sha256, sign, toBase64, verify } from './crypto.ts'
import type { KeyPair } from './crypto.ts'
import { exceedsBytes, malformed } from './encoding.ts'
import type { Malformed } from './encoding.ts'
import { ok } from './outcome.ts'
import type { Outcome } from './outcome.ts'

export interface Signer {
  /** The key's name, such as `site-a.example/gridnode/s1`. */
  readonly name: string
  readonly key: KeyPair
}

export interface Verifier {
  readonly name: string
  readonly publicKey: Uint8Array
}

export interface NoteSignature {
  readonly name: string
  /** The first four bytes, big-endian: with the name it tells which key is meant, and no more. */
  readonly keyId: number
  /** What follows the key id; 64 bytes for Ed25519, 8 more before them in a cosignature. */
  readonly signature: Uint8Array
}

export interface OpenNote {
  readonly text: string
  readonly signatures: readonly NoteSignature[]
}

/** Signature types of C2SP signed-note: a plain note, and a witness's timestamped cosignature. */
export const noteAlgorithm = { ed25519: 0x01, cosignature: 0x04 } as const

/** Every verifier has to take 16; more is a peer trying its luck. */
const signaturesMax = 16

/** SHA-256(name ‖ newline ‖ algorithm ‖ key), its first four bytes as a number. */
export function keyId(
  name: string,
  publicKey: Uint8Array,
  algorithm: number = noteAlgorithm.ed25519,
): number {
  return readKeyId(sha256(`${name}\n`, Uint8Array.of(algorithm), publicKey))
}

/** `text` followed by one signature; our own text that breaks the form is a bug. */
export function signNote(text: string, signer: Signer): string {
  assert(isNoteText(text), 'a note text ends in a newline and has no other control characters')
  const id = keyId(signer.name, signer.key.publicKey)
  const signature = sign(signer.key, Buffer.from(text))
  return `${text}\n${signatureLine({ name: signer.name, keyId: id, signature })}`
}

/** One signature line with its newline, to append to a note that is signed already. */
export function signatureLine(signed: NoteSignature): string {
  assert(isKeyName(signed.name), 'a key name has no spaces and no plus')
  const bytes = new Uint8Array(4 + signed.signature.length)
  new DataView(bytes.buffer).setUint32(0, signed.keyId)
  bytes.set(signed.signature, 4)
  return `— ${signed.name} ${toBase64(bytes)}\n`
}

/** The note whose text is `open.text`, with its signatures in their order. */
export function formatNote(open: OpenNote): string {
  return `${open.text}\n${open.signatures.map(signatureLine).join('')}`
}

export function parseNote(
  note: string,
  bound: { readonly bytesMax: number },
): Outcome<OpenNote, Malformed> {
  if (exceedsBytes(note, bound.bytesMax)) return malformed(`more than ${bound.bytesMax} bytes`)
  const split = note.lastIndexOf('\n\n')
  if (split < 0) return malformed('no empty line between text and signatures')
  const text = noteText(note.slice(0, split + 1))
  if (text === undefined) return malformed('control characters or broken Unicode in the text')
  if (!note.endsWith('\n')) return malformed('the note does not end in a newline')
  const lines = note.slice(split + 2, -1).split('\n', signaturesMax + 1)
  if (lines.length > signaturesMax) return malformed(`more than ${signaturesMax} signatures`)
  const signatures: NoteSignature[] = []
  for (const line of lines) {
    const signature = parseSignatureLine(line)
    if (!signature) return malformed('a signature line is not "— <key name> <base64>"')
    signatures.push(signature)
  }
  return ok({ text, signatures })
}

/**
 * Whether the verifier's key has signed the text. As in Go, the first signature under the
 * verifier's name and key id decides; signatures of other keys are ignored.
 */
export function verifyNote(note: OpenNote, verifier: Verifier): boolean {
  const id = keyId(verifier.name, verifier.publicKey)
  for (const { name, keyId: signedId, signature } of note.signatures) {
    if (name !== verifier.name || signedId !== id) continue
    return verify(verifier.publicKey, Buffer.from(note.text), signature)
  }
  return false
}

/** Whether `name` may name a key: not empty, no Unicode space, plus or ASCII control character. */
export function isKeyName(name: string): boolean {
  return /^[^\p{White_Space}+\x00-\x1f]+$/u.test(name) && name.isWellFormed()
}

/** `text` if it is a note's; the dash below it made its characters wide, and they need not be. */
function noteText(text: string): string | undefined {
  if (!text.endsWith('\n')) return undefined
  if (plainPattern.test(text)) return Buffer.from(text, 'latin1').toString('latin1')
  return isNoteText(text) ? text : undefined
}

/** ASCII without control characters but newlines. */
const plainPattern = /^[\n\x20-\x7e]*$/

function isNoteText(text: string): boolean {
  return text.endsWith('\n') && !/[\x00-\x09\x0b-\x1f]/.test(text) && text.isWellFormed()
}

function parseSignatureLine(line: string): NoteSignature | undefined {
  if (!line.startsWith('— ')) return undefined
  const space = line.indexOf(' ', 2)
  if (space < 0) return undefined
  const name = line.slice(2, space)
  const bytes = fromBase64(line.slice(space + 1))
  if (!knownNames.has(name) && !learnName(name)) return undefined
  if (!bytes || bytes.length < 5) return undefined
  return { name, keyId: readKeyId(bytes), signature: bytes.subarray(4) }
}

/** Names that were found good: the same few sign most notes. */
const knownNames = new Set<string>()
const knownNamesMax = 4_096

function learnName(name: string): boolean {
  if (!isKeyName(name)) return false
  if (knownNames.size >= knownNamesMax) knownNames.clear()
  // A copy: a piece of a note would keep the whole note in memory.
  knownNames.add(Buffer.from(name).toString())
  return true
}

function readKeyId(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0)
}
