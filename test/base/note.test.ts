// Signed notes: the example that Go's package gives, notes written from the specification by other
// software, and everything the specification says a note must not be.

import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { fromHex, keyPairFromSeed, sha256, toBase64 } from '../../protocol/base/crypto.ts'
import {
  formatNote, isKeyName, keyId, noteAlgorithm, parseNote, signatureLine, signNote, verifyNote,
} from '../../protocol/base/note.ts'
import type { OpenNote, Signer, Verifier } from '../../protocol/base/note.ts'
import { assert, suite } from '../harness.ts'

interface Vectors {
  readonly seed: string
  readonly statement: { readonly name: string, readonly note: string }
  readonly checkpoint: { readonly origin: string, readonly note: string }
  readonly note: {
    readonly name: string
    readonly key_id: number
    readonly public: string
    readonly text: string
    readonly signature_line: string
  }
}
const file = new URL('../vectors/base/notes.json', import.meta.url)
const vectors = JSON.parse(readFileSync(file, 'utf8')) as Vectors

const bound = { bytesMax: 16_384 }
const alice = signerOf('alice.example/k1')
const bob = signerOf('bob.example/k1')
const text = 'first line\n\nthird line\n'

const t = suite('note')

t('agrees with the example of Go', () => {
  const { name, text: said, key_id, signature_line, public: key } = vectors.note
  const verifier = { name, publicKey: fromHex(key) as Uint8Array }
  assert.equal(keyId(name, verifier.publicKey), key_id)
  const open = opened(`${said}\n${signature_line}`)
  assert.equal(open.text, said)
  assert.ok(verifyNote(open, verifier))
  assert.ok(!verifyNote(opened(`${said.replace('your', 'my')}\n${signature_line}`), verifier))
})

t('agrees with notes that other software wrote', () => {
  const key = keyPairFromSeed(fromHex(vectors.seed) as Uint8Array)
  const { statement, checkpoint } = vectors
  for (const [name, note] of [
    [statement.name, statement.note], [checkpoint.origin, checkpoint.note],
  ] as const) {
    const open = opened(note)
    assert.ok(verifyNote(open, { name, publicKey: key.publicKey }))
    assert.equal(signNote(open.text, { name, key }), note)
  }
})

t('what is signed is read back and holds under its key alone', () => {
  const open = opened(signNote(text, alice))
  assert.equal(open.text, text)
  assert.equal(open.signatures.length, 1)
  assert.ok(verifyNote(open, verifierOf(alice)))
  assert.ok(!verifyNote(open, verifierOf(bob)))
  assert.ok(!verifyNote(open, { ...verifierOf(alice), name: bob.name }))
  assert.ok(!verifyNote(open, { ...verifierOf(bob), name: alice.name }))
  assert.ok(!verifyNote({ ...open, text: `${text}\n` }, verifierOf(alice)))
})

t('signatures of unknown keys are ignored, in any number up to sixteen', () => {
  const lineOf = (signer: Signer): string => signNote(text, signer).slice(text.length + 1)
  const strangers = Array.from({ length: 15 }, (_, at) => lineOf(signerOf(`stranger-${at}`)))
  const note = `${text}\n${strangers.join('')}${lineOf(alice)}`
  const open = opened(note)
  assert.equal(open.signatures.length, 16)
  assert.ok(verifyNote(open, verifierOf(alice)))
  assert.ok(!verifyNote(open, verifierOf(bob)))
  assert.equal(formatNote(open), note)
  assert.match(refusalOf(`${note}${lineOf(bob)}`), 'more than 16 signatures')
})

t('of two signatures under one name and key id the first decides', () => {
  const signed = opened(signNote(text, alice)).signatures[0]
  assert.ok(signed)
  const wrong = { ...signed, signature: new Uint8Array(64).fill(1) }
  assert.ok(verifyNote({ text, signatures: [signed, wrong] }, verifierOf(alice)))
  assert.ok(!verifyNote({ text, signatures: [wrong, signed] }, verifierOf(alice)))
})

t('a cosignature has a key id of its own, so it is no signature of the note', () => {
  const { name, publicKey } = verifierOf(alice)
  const own = keyId(name, publicKey, noteAlgorithm.cosignature)
  assert.notEqual(own, keyId(name, publicKey))
  const signature = opened(signNote(text, alice)).signatures[0]?.signature ?? new Uint8Array()
  const note = `${text}\n${signatureLine({ name, keyId: own, signature })}`
  assert.ok(!verifyNote(opened(note), verifierOf(alice)))
})

t('refuses what is not a note', () => {
  const line = `— a ${toBase64(sha256('x'))}\n`
  const wrong: readonly (readonly [string, string])[] = [
    ['', 'no empty line'],
    ['text\n', 'no empty line'],
    [`text\n${line}`, 'no empty line'],
    [`\n${line}`, 'no empty line'],
    ['text\n\n', 'a signature line is not'],
    [`text\n\n${line}\n`, 'a signature line is not'],
    [`text\n\n${line}x`, 'does not end in a newline'],
    [`text\n\n${line.slice(0, -1)}`, 'does not end in a newline'],
    [`te\txt\n\n${line}`, 'control characters'],
    [`te\0xt\n\n${line}`, 'control characters'],
    [`text\r\n\n${line}`, 'control characters'],
    [`te\ud800xt\n\n${line}`, 'broken Unicode'],
    [`text\n\n${line}${line.replace('— ', '- ')}`, 'a signature line is not'],
    [`text\n\n${line.replace('— ', '—')}`, 'a signature line is not'],
    [`text\n\n${line.replace('— ', '—  ')}`, 'a signature line is not'],
    [`text\n\n${line.replace('— a', '— a+b')}`, 'a signature line is not'],
    [`text\n\n${line.replace('— a', '— a\u00a0b')}`, 'a signature line is not'],
    [`text\n\n${line.replace('— a', '— a\tb')}`, 'a signature line is not'],
    [`text\n\n${line.replace('\n', ' \n')}`, 'a signature line is not'],
    [`text\n\n${line.replace('\n', '\r\n')}`, 'a signature line is not'],
    [`text\n\n${line.replace('=\n', '\n')}`, 'a signature line is not'],
    ['text\n\n— a\n', 'a signature line is not'],
    ['text\n\n— a \n', 'a signature line is not'],
    ['text\n\n— a AAAAAA==\n', 'a signature line is not'],
    ['text\n\n— a AAAAAB==\n', 'a signature line is not'],
  ]
  for (const [note, detail] of wrong) {
    assert.ok(refusalOf(note).includes(detail), `${JSON.stringify(note)}: ${refusalOf(note)}`)
  }
  assert.equal(opened('text\n\n— a AAAAAAA=\n').signatures[0]?.signature, Uint8Array.of(0))
  const note = signNote(text, alice)
  assert.accepted(parseNote(note, { bytesMax: Buffer.byteLength(note) }))
  assert.refused(parseNote(note, { bytesMax: Buffer.byteLength(note) - 1 }), 'malformed')
})

t('the last empty line divides; a signature in the text is text', () => {
  const inner = signNote('inner\n', alice)
  const open = opened(signNote(inner, bob))
  assert.equal(open.text, inner)
  assert.ok(verifyNote(open, verifierOf(bob)))
  assert.ok(!verifyNote(open, verifierOf(alice)))
})

t('names of keys', () => {
  for (const name of ['a', 'site-a.example/gridnode/s1', 'é', '—', 'a\u007f']) {
    assert.ok(isKeyName(name), name)
  }
  const wrong = ['', ' ', 'a b', 'a+', 'a\n', 'a\0', 'a\u0085', 'a\u2003', 'a\u3000', '\ud800']
  for (const name of wrong) assert.ok(!isKeyName(name), JSON.stringify(name))
})

t('signing what is no note text is our own mistake', () => {
  for (const bad of ['', 'no newline', 'tab\t\n', 'half \ud800\n']) {
    assert.throws(() => signNote(bad, alice), /a note text ends in a newline/)
  }
  assert.throws(() => signNote(text, { ...alice, name: 'a b' }), /a key name has no spaces/)
})

t('any text comes back as it was signed, and any bytes are parsed or refused', () => {
  const line = fc.string({ unit: 'grapheme', maxLength: 10 })
    .filter((part) => !/\p{Cc}/u.test(part))
  fc.assert(fc.property(fc.array(line, { minLength: 1, maxLength: 4 }), (parts) => {
    const said = `${parts.join('\n')}\n`
    assert.equal(opened(signNote(said, alice)).text, said)
  }), { seed: 1, numRuns: 100 })
  const note = signNote(text, alice)
  const change = fc.record({
    at: fc.nat(note.length), cut: fc.nat(2), insert: fc.string({ maxLength: 2 }),
  })
  fc.assert(fc.property(change, ({ at, cut, insert }) => {
    const changed = note.slice(0, at) + insert + note.slice(at + cut)
    const parsed = parseNote(changed, bound)
    if (!parsed.ok) return
    assert.equal(formatNote(parsed.value), changed)
    assert.equal(verifyNote(parsed.value, verifierOf(alice)), changed === note, changed)
  }), { seed: 2, numRuns: 1_000 })
})

function signerOf(name: string): Signer {
  return { name, key: keyPairFromSeed(sha256(name)) }
}

function verifierOf(signer: Signer): Verifier {
  return { name: signer.name, publicKey: signer.key.publicKey }
}

function opened(note: string): OpenNote {
  return assert.accepted(parseNote(note, bound))
}

function refusalOf(note: string): string {
  return assert.refused(parseNote(note, bound), 'malformed').detail
}
