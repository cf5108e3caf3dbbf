// Cases of signed texts: raw signatures, checkpoints, cosignatures.

import { cosign, cosignatureSecondsMax } from '../../../protocol/base/cosignature.ts'
import { formatCheckpoint, parseCheckpoint } from '../../../protocol/base/checkpoint.ts'
import { sign, toBase64, toHex } from '../../../protocol/base/crypto.ts'
import { keyId, noteAlgorithm, signNote, signatureLine } from '../../../protocol/base/note.ts'
import type { Signer } from '../../../protocol/base/note.ts'
import { badKeys, badSignatures } from './crafted-signatures.ts'
import { invalid, seededKey, textOrBase64, valid, vkeyOf } from './vector-case.ts'
import type { VectorCase, VectorFile } from './vector-case.ts'

export function signatureVectors(): VectorFile {
  const key = seededKey('a key')
  const message = Buffer.from('a message')
  const inputs = (publicKey: Uint8Array, signature: Uint8Array) => ({
    public_key: toHex(publicKey), message: toHex(message), signature: toHex(signature),
  })
  const other = seededKey('another key')
  return {
    check: 'signature',
    about: 'Ed25519 as docs/LEDGER.md has it: public_key, message and signature in hexadecimal',
    cases: [
      valid('honest', 'a signature of RFC 8032', inputs(key.publicKey, sign(key, message))),
      invalid('another key', 'somebody else has signed',
        inputs(other.publicKey, sign(key, message))),
      ...badSignatures(key, message).map(({ name, why, signature }) =>
        invalid(name, why, inputs(key.publicKey, signature))),
      ...badKeys(message).map(({ name, why, publicKey, signature }) =>
        invalid(name, why, inputs(publicKey, signature))),
    ],
  }
}

/** A note of `text` whose one signature line holds `signature`, whatever it is. */
export function noteWith(text: string, { name, key }: Signer, signature: Uint8Array): string {
  const line = signatureLine({ name, keyId: keyId(name, key.publicKey), signature })
  return `${text}\n${line}`
}

/** What is no signed note, or not by that key; the text itself is a good one. */
export function spoiledNotes(text: string, signer: Signer): VectorCase[] {
  const note = signNote(text, signer)
  const vkey = vkeyOf(signer)
  const line = note.slice(text.length + 1)
  const stranger = { name: signer.name, key: seededKey('a stranger') }
  const bad = (name: string, why: string, spoiled: string) =>
    invalid(name, why, { note: spoiled, vkey })
  return [
    ...badSignatures(signer.key, Buffer.from(text)).map(({ name, why, signature }) =>
      bad(name, why, noteWith(text, signer, signature))),
    bad('another key', 'another key has signed, under this key\'s name', signNote(text, stranger)),
    bad('another key with this id', 'the key id is this key\'s, the signature is not',
      noteWith(text, signer, sign(stranger.key, Buffer.from(text)))),
    invalid('another name', 'the verifier key has another name', {
      note, vkey: vkeyOf({ ...signer, name: `other-${signer.name}` }),
    }),
    bad('no signature', 'a note has at least one', `${text}\n`),
    bad('no empty line', 'text and signatures are apart', `${text}${line}`),
    bad('no last newline', 'a note ends in a newline', note.slice(0, -1)),
    bad('CRLF', 'lines end in a newline alone', note.replaceAll('\n', '\r\n')),
    bad('a tab after the text', 'it is not the text that was signed',
      note.replace('\n\n', '\t\n\n')),
    bad('a hyphen', 'a signature line begins with an em dash', note.replace('— ', '- ')),
    bad('base64 without padding', 'base64 has one form', note.replace(/=*\n$/, '\n')),
    bad('base64 with a space', 'base64 has one form', note.replace(/\n$/, ' \n')),
    bad('four bytes', 'a key id alone is no signature',
      `${text}\n— ${signer.name} ${toBase64(new Uint8Array(4))}\n`),
  ]
}

export const logSigner: Signer = {
  name: 'site-a.example/gridnode/0123456789abcdef/e1', key: seededKey('log'),
}
const head = {
  origin: logSigner.name, size: 1_234, rootHash: Uint8Array.from({ length: 32 }, (_, at) => at),
}

export function checkpointVectors(): VectorFile {
  const text = formatCheckpoint(head)
  const vkey = vkeyOf(logSigner)
  const origin = logSigner.name
  const signed = (changed: string) => ({ note: signNote(changed, logSigner), vkey, origin })
  const gives = (changed: string) => {
    const parsed = parseCheckpoint(changed)
    if (!parsed.ok) throw new Error(parsed.refusal.detail)
    return { size: parsed.value.size, root: toHex(parsed.value.rootHash) }
  }
  const good = (name: string, why: string, changed = text, more = {}) =>
    valid(name, why, { ...signed(changed), ...more, gives: gives(changed) })
  const bad = (name: string, why: string, changed: string) => invalid(name, why, signed(changed))
  const witness = { name: 'w.example/gridnode/w1', key: seededKey('witness') }
  const cosigned = `${signNote(text, logSigner)}${cosign(text, witness, 1_750_000_000)}`
  const unknown = signNote(text, { name: 'other.example', key: seededKey('other') })
    .slice(text.length + 1)
  const line = signNote(text, logSigner).slice(text.length + 1)
  const wrong = noteWith(text, logSigner, new Uint8Array(64)).slice(text.length + 1)
  const [, sizeText = '', rootText = ''] = text.split('\n')
  return {
    check: 'checkpoint',
    about: 'C2SP tlog-checkpoint: a note signed by the key vkey, of the log origin; gives size and '
      + 'root (hexadecimal). Extension lines are refused',
    cases: [
      good('plain', 'origin, size and root, signed by the log'),
      good('empty tree', 'a tree of no entries has a head too', formatCheckpoint({
        ...head, size: 0,
      })),
      good('largest size', 'sizes are below 2^53', formatCheckpoint({
        ...head, size: Number.MAX_SAFE_INTEGER,
      })),
      good('cosigned', 'lines of other keys are ignored', text, { note: cosigned }),
      good('unknown signature first', 'lines of other keys are ignored', text, {
        note: `${text}\n${unknown}${line}`,
      }),
      ...spoiledNotes(text, logSigner).map((one) => ({ ...one, origin })),
      invalid('another origin', 'the log is not the one that is asked for', {
        ...signed(text), origin: origin.replace('e1', 'e2'),
      }),
      invalid('tampered size', 'the text is not what was signed', {
        ...signed(text), note: signNote(text, logSigner).replace(sizeText, '1235'),
      }),
      invalid('tampered root', 'the text is not what was signed', {
        ...signed(text),
        note: signNote(text, logSigner).replace(rootText, toBase64(new Uint8Array(32))),
      }),
      invalid('the first line of the key decides', 'an invalid signature before a valid one', {
        ...signed(text), note: `${text}\n${wrong}${line}`,
      }),
      invalid('seventeen signatures', 'a note has at most sixteen', {
        ...signed(text), note: `${text}\n${unknown.repeat(16)}${line}`,
      }),
      invalid('not UTF-8', 'a note is UTF-8', {
        ...textOrBase64('note', Buffer.concat([
          Buffer.from(`${text}\n`), Buffer.from('— \xff', 'latin1'), Buffer.from(line.slice(2)),
        ])), vkey, origin,
      }),
      bad('an extension line', 'a head is three lines', `${text}extension\n`),
      bad('two lines', 'a head is three lines', `${origin}\n${sizeText}\n`),
      bad('leading zero', 'a size has one form', text.replace(sizeText, `0${sizeText}`)),
      bad('negative size', 'a size is not negative', text.replace(sizeText, '-1')),
      bad('size 2^53', 'a size is below 2^53', text.replace(sizeText, '9007199254740992')),
      bad('a root of 31 bytes', 'a root has 32 bytes',
        text.replace(rootText, toBase64(new Uint8Array(31)))),
      bad('a root with loose bits', 'base64 has one form', text.replace(/8=\n$/, '9=\n')),
      bad('origin with a plus', 'an origin is a key name',
        text.replace('site-a.example', 'site+a.example')),
    ],
  }
}

export function cosignatureVectors(): VectorFile {
  const text = formatCheckpoint(head)
  const witness: Signer = { name: 'w.example/gridnode/w1', key: seededKey('witness') }
  const vkey = vkeyOf(witness, noteAlgorithm.cosignature)
  const seconds = 1_750_000_000
  const signed = signNote(text, logSigner)
  const message = (at: number | bigint, of = text) =>
    Buffer.from(`cosignature/v1\ntime ${at}\n${of}`)
  const lineOf = (at: bigint, signature: Uint8Array, id?: number): string => {
    const time = new Uint8Array(8)
    new DataView(time.buffer).setBigUint64(0, at)
    return signatureLine({
      name: witness.name,
      keyId: id ?? keyId(witness.name, witness.key.publicKey, noteAlgorithm.cosignature),
      signature: Buffer.concat([time, signature]),
    })
  }
  const honest = cosign(text, witness, seconds)
  const good = (name: string, why: string, time: number, note?: string) => valid(name, why, {
    note: note ?? signed + cosign(text, witness, time), vkey, gives: { time },
  })
  const bad = (name: string, why: string, line: string) =>
    invalid(name, why, { note: signed + line, vkey })
  const at = BigInt(seconds)
  const statement = 'gridnode/v1/held\n{}\n'
  return {
    check: 'cosignature',
    about: 'C2SP tlog-cosignature: a note of a checkpoint with a line of the witness vkey (type 4);'
      + ' gives the time, seconds since 1970. The log\'s own signature is not part of the check',
    cases: [
      good('plain', 'the witness has seen this head at that time', seconds),
      good('alone', 'the order and number of other lines do not matter', seconds,
        `${text}\n${honest}`),
      good('first second', 'times begin at 1', 1),
      good('last second', 'times end where dates end', cosignatureSecondsMax),
      ...badSignatures(witness.key, message(seconds)).map(({ name, why, signature }) =>
        bad(name, why, lineOf(at, signature))),
      bad('no cosignature', 'the witness has not signed', ''),
      bad('another time', 'the time is part of what is signed',
        lineOf(at + 1n, sign(witness.key, message(seconds)))),
      bad('time 0', 'times begin at 1', lineOf(0n, sign(witness.key, message(0)))),
      bad('time beyond dates', 'times end where dates end', lineOf(
        BigInt(cosignatureSecondsMax) + 1n,
        sign(witness.key, message(cosignatureSecondsMax + 1)))),
      bad('time above 2^63', 'times end where dates end', lineOf(
        (1n << 63n) + 5n, sign(witness.key, message((1n << 63n) + 5n)))),
      bad('no time', 'a cosignature has 72 bytes', signatureLine({
        name: witness.name,
        keyId: keyId(witness.name, witness.key.publicKey, noteAlgorithm.cosignature),
        signature: sign(witness.key, message(seconds)),
      })),
      bad('a plain signature', 'a signature over the text alone is no cosignature',
        lineOf(at, sign(witness.key, Buffer.from(text)))),
      bad('key id of type 1', 'the key id says what kind of signature it is', lineOf(
        at, sign(witness.key, message(seconds)), keyId(witness.name, witness.key.publicKey))),
      bad('another witness', 'another key has signed, under this key\'s name',
        cosign(text, { name: witness.name, key: seededKey('stranger') }, seconds)),
      bad('of another head', 'the head is part of what is signed',
        cosign(formatCheckpoint({ ...head, size: 1_235 }), witness, seconds)),
      invalid('of a statement', 'only heads are cosigned', {
        note: `${statement}\n${lineOf(at, sign(witness.key, message(seconds, statement)))}`, vkey,
      }),
      invalid('a plain verifier key', 'the verifier key of a witness has type 4', {
        note: signed + honest, vkey: vkeyOf(witness),
      }),
    ],
  }
}
