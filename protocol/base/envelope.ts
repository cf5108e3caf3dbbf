// A signed document with its domain in front: a note whose text is
//
//     gridnode/v1/<kind>
//     <one line of canonical JSON>
//
// Invariants: one author, one signature, one encoding. The first line keeps kinds (and checkpoints
// and cosignatures, whose first lines differ) from being read as one another. `sid` is the hash of
// the text, so it names the statement whoever signed it; parsing says nothing about who did.

import { assert } from './assert.ts'
import { sha256Hex } from './crypto.ts'
import { decode, encode, malformed } from './encoding.ts'
import type { Malformed, Value } from './encoding.ts'
import type { Sid } from './ids.ts'
import { parseNote, signNote, verifyNote } from './note.ts'
import type { OpenNote, Signer, Verifier } from './note.ts'
import { ok } from './outcome.ts'
import type { Outcome } from './outcome.ts'

export interface Sealed {
  readonly kind: string
  readonly body: Value
  readonly sid: Sid
  readonly signerName: string
  readonly open: OpenNote
}

const domain = 'gridnode/v1/'
const kindPattern = /^[a-z][a-z0-9_-]{0,63}$/

/** Signs `body` as a document of `kind`. */
export function seal(
  kind: string,
  body: Value,
  signer: Signer,
): { readonly note: string; readonly sid: Sid } {
  assert(kindPattern.test(kind), 'a kind is 1-64 of [a-z0-9_-] and starts with a letter')
  const text = `${domain}${kind}\n${encode(body)}\n`
  return { note: signNote(text, signer), sid: sha256Hex(text) }
}

/** Syntax only: one signature, the domain line, one line of canonical JSON and nothing more. */
export function parseSealed(
  note: string,
  bound: { readonly bytesMax: number },
): Outcome<Sealed, Malformed> {
  const open = parseNote(note, bound)
  if (!open.ok) return open
  const { text, signatures } = open.value
  const signature = signatures[0]
  if (!signature || signatures.length > 1) {
    return malformed(`expected one signature, got ${signatures.length}`)
  }
  const firstLineEnd = text.indexOf('\n')
  const firstLine = text.slice(0, firstLineEnd)
  const kind = firstLine.slice(domain.length)
  if (!firstLine.startsWith(domain) || !kindPattern.test(kind)) {
    return malformed('the first line is not gridnode/v1/<kind>')
  }
  if (text.indexOf('\n', firstLineEnd + 1) !== text.length - 1) {
    return malformed('the text is not two lines')
  }
  const body = decode(text.slice(firstLineEnd + 1, -1), bound)
  if (!body.ok) return body
  const sid = sha256Hex(text)
  return ok({ kind, body: body.value, sid, signerName: signature.name, open: open.value })
}

/** Whether the document's one signature is the verifier's. */
export function verifySealed(sealed: Sealed, verifier: Verifier): boolean {
  return verifyNote(sealed.open, verifier)
}
