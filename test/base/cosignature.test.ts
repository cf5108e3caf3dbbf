// Cosignatures: those that other software wrote, what does not count, and what a quorum proves.

import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import {
  cosign, cosignatureSecondsMax, openCosignatures, quorumTime, withSignatureLines,
} from '../../protocol/base/cosignature.ts'
import { fromHex, keyPairFromSeed, sha256 } from '../../protocol/base/crypto.ts'
import {
  keyId, noteAlgorithm, parseNote, signatureLine, signNote, verifyNote,
} from '../../protocol/base/note.ts'
import type { OpenNote, Signer, Verifier } from '../../protocol/base/note.ts'
import { assert, suite } from '../harness.ts'

interface Vectors {
  readonly log: { readonly origin: string, readonly public: string }
  readonly checkpoint: string
  readonly witnesses: readonly {
    readonly name: string
    readonly seed: string
    readonly public: string
    readonly seconds: number
    readonly line: string
  }[]
  readonly note: string
  readonly invalid_cosignatures: readonly { readonly what: string, readonly line: string }[]
}
const file = new URL('../vectors/base/receipts.json', import.meta.url)
const vectors = JSON.parse(readFileSync(file, 'utf8')) as Vectors
const { checkpoint } = vectors

const t = suite('cosignature')

function signerOf(name: string): Signer {
  return { name, key: keyPairFromSeed(sha256(name)) }
}

function verifierOf({ name, key }: Signer): Verifier {
  return { name, publicKey: key.publicKey }
}

function opened(lines: readonly string[], text = checkpoint): OpenNote {
  return assert.accepted(parseNote(`${text}\n${lines.join('')}`, { bytesMax: 16_384 }))
}

const signers = [0, 1, 2, 3].map((at) => signerOf(`w${at}.example/gridnode/w1`))
const witnesses = signers.map(verifierOf)

t('agrees with cosignatures that other software wrote', () => {
  const known = vectors.witnesses.map((one) =>
    ({ name: one.name, publicKey: fromHex(one.public) as Uint8Array }))
  const note = assert.accepted(parseNote(vectors.note, { bytesMax: 16_384 }))
  assert.equal(openCosignatures(note, known).map(({ name, seconds }) => ({ name, seconds })),
    vectors.witnesses.map(({ name, seconds }) => ({ name, seconds })))
  assert.ok(verifyNote(note, {
    name: vectors.log.origin, publicKey: fromHex(vectors.log.public) as Uint8Array,
  }))
  for (const { name, seed, seconds, line } of vectors.witnesses) {
    const key = keyPairFromSeed(fromHex(seed) as Uint8Array)
    assert.equal(cosign(note.text, { name, key }, seconds), line)
  }
})

t('refuses what other software signed amiss', () => {
  const known = vectors.witnesses.map((one) =>
    ({ name: one.name, publicKey: fromHex(one.public) as Uint8Array }))
  for (const { what, line } of vectors.invalid_cosignatures) {
    assert.equal(openCosignatures(opened([line]), known), [], what)
  }
})

t('every byte of a cosignature matters', () => {
  const [signer] = signers as [Signer]
  const line = Buffer.from(cosign(checkpoint, signer, 1_750_000_000))
  const counts = (bytes: Buffer): number => {
    const note = parseNote(`${checkpoint}\n${bytes.toString()}`, { bytesMax: 16_384 })
    return note.ok ? openCosignatures(note.value, witnesses).length : 0
  }
  assert.equal(counts(line), 1)
  for (let at = 0; at < line.length; at++) {
    for (const flip of [1, 0x20]) {
      const changed = Buffer.from(line)
      changed[at] = changed[at]! ^ flip
      assert.equal(counts(changed), 0, `byte ${at}`)
    }
  }
})

t('it is of this text alone, and only a checkpoint is cosigned', () => {
  const [signer] = signers as [Signer]
  const line = cosign(checkpoint, signer, 7)
  for (let at = 0; at < checkpoint.length - 1; at++) {
    const other = `${checkpoint.slice(0, at)}${checkpoint[at] === '1' ? '2' : '1'}${
      checkpoint.slice(at + 1)}`
    assert.equal(openCosignatures(opened([line], other), witnesses), [], `character ${at}`)
  }
  assert.throws(() => cosign('gridnode/v1/usage\n{}\n', signer, 7), /only a checkpoint/)
  const text = 'not a checkpoint\n'
  const note = signNote(`cosignature/v1\ntime 7\n${text}`, signer)
  const { signature } = assert.accepted(parseNote(note, { bytesMax: 4_096 })).signatures[0]!
  const stamped = Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 7, ...signature])
  const id = keyId(signer.name, signer.key.publicKey, noteAlgorithm.cosignature)
  const forged = signatureLine({ name: signer.name, keyId: id, signature: stamped })
  assert.equal(openCosignatures(opened([forged], text), witnesses), [])
})

t('times have bounds', () => {
  const [signer] = signers as [Signer]
  for (const seconds of [0, -1, 1.5, cosignatureSecondsMax + 1, Number.NaN]) {
    assert.throws(() => cosign(checkpoint, signer, seconds), /a time in whole seconds/)
  }
  for (const seconds of [1, cosignatureSecondsMax]) {
    const [found] = openCosignatures(opened([cosign(checkpoint, signer, seconds)]), witnesses)
    assert.equal(found?.seconds, seconds)
  }
})

t('strangers, plain signatures and short ones do not count', () => {
  const [signer, other] = signers as [Signer, Signer]
  const stranger = cosign(checkpoint, signerOf('stranger'), 7)
  const plain = signNote(checkpoint, signer).slice(checkpoint.length + 1)
  const id = keyId(signer.name, signer.key.publicKey, noteAlgorithm.cosignature)
  const short = signatureLine({ name: signer.name, keyId: id, signature: new Uint8Array(71) })
  const renamed = cosign(checkpoint, { ...signer, name: other.name }, 7)
  assert.equal(openCosignatures(opened([stranger, plain, short, renamed]), witnesses), [])
})

t('a witness counts once: its first line, and its key under whatever names', () => {
  const [signer] = signers as [Signer]
  const twice = opened([cosign(checkpoint, signer, 7), cosign(checkpoint, signer, 9)])
  assert.equal(openCosignatures(twice, witnesses).map(({ seconds }) => seconds), [7])
  const alias = { ...signer, name: 'alias.example/gridnode/w1' }
  const both = opened([cosign(checkpoint, signer, 7), cosign(checkpoint, alias, 9)])
  const known = [...witnesses, verifierOf(alias)]
  assert.equal(openCosignatures(both, known).map(({ name }) => name), [signer.name])
})

t('a quorum is met by so many different witnesses of the policy', () => {
  const rule = { witnesses, quorum: 3 }
  const times = [30, 10, 40, 20]
  const all = signers.map((signer, at) => cosign(checkpoint, signer, times[at]!))
  const after = (count: number, more: string[] = []) =>
    quorumTime(openCosignatures(opened([...all.slice(0, count), ...more]), witnesses), rule)
  assert.equal(after(4), { met: true, cosigned: 4, existedBySeconds: 20, notBeforeSeconds: 30 })
  assert.equal(after(3), { met: true, cosigned: 3, existedBySeconds: 30, notBeforeSeconds: 30 })
  assert.equal(after(2), { met: false, cosigned: 2, existedBySeconds: 30, notBeforeSeconds: 10 })
  assert.equal(after(1),
    { met: false, cosigned: 1, existedBySeconds: undefined, notBeforeSeconds: undefined })
  const outsider = signerOf('outsider')
  const cosignatures = openCosignatures(
    opened([...all.slice(0, 2), cosign(checkpoint, outsider, 5)]),
    [...witnesses, verifierOf(outsider)])
  assert.equal(cosignatures.length, 3)
  assert.equal(quorumTime(cosignatures, rule).met, false)
  assert.equal(quorumTime([...cosignatures, ...cosignatures], rule).cosigned, 2)
})

t('liars within the bound move neither time past the honest ones', () => {
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 13 }), fc.array(fc.nat(1_000), { minLength: 13, maxLength: 13 }),
    fc.array(fc.nat(1_000_000), { minLength: 4, maxLength: 4 }),
    (n, honest, lies) => {
      const f = Math.floor((n - 1) / 3)
      const rule = {
        witnesses: Array.from({ length: n }, (_, at) =>
          ({ name: `w${at}`, publicKey: sha256(String(at)) })),
        quorum: Math.floor((2 * n) / 3) + 1,
      }
      const seconds = rule.witnesses.map((_, at) => 1 + (at < f ? lies[at]! : 500 + honest[at]!))
      const told = seconds.slice(f)
      const found = quorumTime(
        rule.witnesses.map((one, at) => ({ ...one, seconds: seconds[at]! })), rule)
      assert.ok(found.met)
      assert.ok(found.existedBySeconds! >= Math.min(...told))
      assert.ok(found.notBeforeSeconds! <= Math.max(...told))
    }))
})

t('lines are added to a note once each, up to sixteen', () => {
  const log = signerOf(vectors.log.origin)
  const note = signNote(checkpoint, log)
  const lines = signers.map((signer) => cosign(checkpoint, signer, 7))
  const full = assert.accepted(withSignatureLines(note, lines))
  assert.equal(full, `${note}${lines.join('')}`)
  assert.equal(assert.accepted(withSignatureLines(full, lines)), full)
  const many = Array.from({ length: 30 }, (_, at) => cosign(checkpoint, signerOf(`m${at}`), 7))
  const capped = assert.accepted(withSignatureLines(note, many))
  assert.equal(capped, `${note}${many.slice(0, 15).join('')}`)
  for (const bad of ['', '\n', 'x\n', lines[0]! + lines[1]!, `x\n\n${lines[0]}`]) {
    assert.refused(withSignatureLines(note, [bad]), 'malformed')
  }
  assert.refused(withSignatureLines('no note', lines), 'malformed')
})
