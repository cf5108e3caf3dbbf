// Sealed documents: one text for one statement, a domain line that no other signed text has, and a
// statement written by other software from the format alone.

import { readFileSync } from 'node:fs'
import { formatCheckpoint } from '../../protocol/base/checkpoint.ts'
import { fromHex, keyPairFromSeed, sha256, sha256Hex } from '../../protocol/base/crypto.ts'
import type { Value } from '../../protocol/base/encoding.ts'
import { parseSealed, seal, verifySealed } from '../../protocol/base/envelope.ts'
import { limits } from '../../protocol/base/limits.ts'
import { signNote } from '../../protocol/base/note.ts'
import type { Signer } from '../../protocol/base/note.ts'
import { assert, suite } from '../harness.ts'

interface Vectors {
  readonly seed: string
  readonly statement: {
    readonly name: string
    readonly kind: string
    readonly body: Value
    readonly sid: string
    readonly note: string
  }
}
const file = new URL('../vectors/base/notes.json', import.meta.url)
const { seed, statement } = JSON.parse(readFileSync(file, 'utf8')) as Vectors

const bound = { bytesMax: limits.statementBytes }
const signer: Signer = { name: 'site-a.example/gridnode/s1', key: keyPairFromSeed(sha256('a')) }
const other: Signer = { name: 'site-a.example/gridnode/s1', key: keyPairFromSeed(sha256('b')) }

const t = suite('envelope')

t('agrees with a statement that other software wrote', () => {
  const key = keyPairFromSeed(fromHex(seed) as Uint8Array)
  const { name, kind, body, sid, note } = statement
  assert.equal(seal(kind, body, { name, key }), { note, sid })
  const sealed = assert.accepted(parseSealed(note, bound))
  assert.equal([sealed.kind, sealed.body, sealed.sid, sealed.signerName], [kind, body, sid, name])
  assert.ok(verifySealed(sealed, { name, publicKey: key.publicKey }))
})

t('holds under its author alone', () => {
  const { note } = seal('usage', { a: 1 }, signer)
  const sealed = assert.accepted(parseSealed(note, bound))
  assert.ok(verifySealed(sealed, { name: signer.name, publicKey: signer.key.publicKey }))
  assert.ok(!verifySealed(sealed, { name: signer.name, publicKey: other.key.publicKey }))
  assert.ok(!verifySealed(sealed, { name: 'someone', publicKey: signer.key.publicKey }))
  const changed = assert.accepted(parseSealed(note.replace('{"a":1}', '{"a":2}'), bound))
  assert.ok(!verifySealed(changed, { name: signer.name, publicKey: signer.key.publicKey }))
})

t('the sid names the text, whoever signed it; kind and body are both in it', () => {
  const one = seal('usage', { a: 1 }, signer)
  assert.equal(one.sid, seal('usage', { a: 1 }, other).sid)
  assert.equal(one.sid, sha256Hex('gridnode/v1/usage\n{"a":1}\n'))
  assert.notEqual(one.sid, seal('accept', { a: 1 }, signer).sid)
  assert.notEqual(one.sid, seal('usage', { a: 2 }, signer).sid)
})

t('refuses what is not exactly a statement', () => {
  const { note } = seal('usage', { a: 1 }, signer)
  const line = note.slice(note.indexOf('— '))
  const checkpoint = formatCheckpoint({ origin: 'a', size: 0, rootHash: sha256('') })
  const wrong: readonly (readonly [string, string])[] = [
    ['no note', 'no empty line'],
    [`${note}${line}`, 'expected one signature, got 2'],
    [signNote('gridnode/v2/usage\n{}\n', signer), 'first line'],
    [signNote('gridnode/v1/\n{}\n', signer), 'first line'],
    [signNote('gridnode/v1/Usage\n{}\n', signer), 'first line'],
    [signNote('gridnode/v1/usage \n{}\n', signer), 'first line'],
    [signNote('xgridnode/v1/usage\n{}\n', signer), 'first line'],
    [signNote('cosignature/v1\n{}\n', signer), 'first line'],
    [signNote('gridnode/v1/usage\n', signer), 'not two lines'],
    [signNote('gridnode/v1/usage\n\n', signer), 'not JSON'],
    [signNote('gridnode/v1/usage\n{}\n{}\n', signer), 'not two lines'],
    [signNote('gridnode/v1/usage\n{}\n\n', signer), 'not two lines'],
    [signNote('gridnode/v1/usage\n{"b":1,"a":1}\n', signer), 'not canonical'],
    [signNote('gridnode/v1/usage\n{"a":null}\n', signer), 'null'],
    [signNote(checkpoint, signer), 'first line'],
  ]
  for (const [text, detail] of wrong) {
    const refusal = assert.refused(parseSealed(text, bound), 'malformed')
    assert.ok(refusal.detail.includes(detail), `${JSON.stringify(text)}: ${refusal.detail}`)
  }
})

t('the bound counts the whole note', () => {
  const { note } = seal('usage', { a: 'é'.repeat(100) }, signer)
  const bytes = Buffer.byteLength(note)
  assert.accepted(parseSealed(note, { bytesMax: bytes }))
  assert.refused(parseSealed(note, { bytesMax: bytes - 1 }), 'malformed')
})

t('sealing what has no form is our own mistake', () => {
  assert.throws(() => seal('Usage', {}, signer), /a kind is/)
  assert.throws(() => seal('usage', { a: 0.5 }, signer), /safe integer/)
})
