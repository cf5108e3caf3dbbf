// Receipts: those that other software wrote, one text for each proof, and no byte that may change.

import { readFileSync } from 'node:fs'
import { formatCheckpoint } from '../../protocol/base/checkpoint.ts'
import { openCosignatures } from '../../protocol/base/cosignature.ts'
import { fromHex, keyPairFromSeed, sha256, toBase64 } from '../../protocol/base/crypto.ts'
import type { Frontier } from '../../protocol/base/merkle.ts'
import { append, emptyFrontier, inclusionProof, root } from '../../protocol/base/merkle.ts'
import { parseNote, signNote } from '../../protocol/base/note.ts'
import type { ProofRefusal } from '../../protocol/base/tlog-proof.ts'
import { formatTlogProof, parseTlogProof, verifyTlogProof } from '../../protocol/base/tlog-proof.ts'
import { assert, suite } from '../harness.ts'

interface Vectors {
  readonly log: { readonly origin: string, readonly seed: string, readonly public: string }
  readonly witnesses: readonly { readonly name: string, readonly public: string }[]
  readonly proofs: readonly {
    readonly index: number
    readonly leaf: string
    readonly receipt: string
  }[]
  readonly invalid_receipts: readonly {
    readonly reason: ProofRefusal['reason']
    readonly what: string
    readonly index: number
    readonly receipt: string
  }[]
}
const file = new URL('../vectors/base/receipts.json', import.meta.url)
const vectors = JSON.parse(readFileSync(file, 'utf8')) as Vectors
const log = { name: vectors.log.origin, publicKey: fromHex(vectors.log.public) as Uint8Array }

const t = suite('tlog-proof')

t('agrees with receipts that other software wrote', () => {
  for (const { index, leaf, receipt } of vectors.proofs) {
    const proof = assert.accepted(parseTlogProof(receipt))
    assert.equal(formatTlogProof(proof), receipt)
    const proven = assert.accepted(verifyTlogProof(proof, { leaf: Buffer.from(leaf), log }))
    assert.equal([proven.index, proven.checkpoint.size], [index, vectors.proofs.length])
    const witnesses = vectors.witnesses.map((one) =>
      ({ name: one.name, publicKey: fromHex(one.public) as Uint8Array }))
    assert.equal(openCosignatures(proven.note, witnesses).length, witnesses.length)
    for (const other of vectors.proofs) {
      if (other.index === index) continue
      const claim = { leaf: Buffer.from(other.leaf), log }
      assert.refused(verifyTlogProof(proof, claim), 'not_included')
    }
  }
})

t('refuses what other software wrote amiss, each for its reason', () => {
  for (const { reason, what, index, receipt } of vectors.invalid_receipts) {
    const leaf = Buffer.from(vectors.proofs[index]!.leaf)
    const proof = parseTlogProof(receipt)
    const verified = proof.ok ? verifyTlogProof(proof.value, { leaf, log }) : proof
    assert.equal(verified.ok ? 'holds' : verified.refusal.reason, reason, what)
  }
})

/** A receipt for entry `index` of a log of `size`, with the log's signature alone. */
function receiptOf(size: number, index: number): { leaf: Uint8Array, text: string } {
  let frontier: Frontier = emptyFrontier
  const nodes = new Map<string, Uint8Array>()
  for (let at = 0; at < size; at++) {
    const grown = append(frontier, Buffer.from(`leaf ${at}`))
    frontier = grown.frontier
    for (const node of grown.nodes) nodes.set(`${node.level}/${node.index}`, node.hash)
  }
  const text = formatCheckpoint({ origin: log.name, size, rootHash: root(frontier) })
  const key = keyPairFromSeed(fromHex(vectors.log.seed) as Uint8Array)
  const note = assert.accepted(parseNote(signNote(text, { name: log.name, key }), {
    bytesMax: 4_096,
  }))
  const hashes = inclusionProof(index, size, (level, at) => nodes.get(`${level}/${at}`)!)
  return { leaf: Buffer.from(`leaf ${index}`), text: formatTlogProof({ index, hashes, note }) }
}

t('a receipt for every entry of logs of many sizes', () => {
  for (let size = 1; size <= 33; size++) {
    for (let index = 0; index < size; index++) {
      const { leaf, text } = receiptOf(size, index)
      const proof = assert.accepted(parseTlogProof(text))
      assert.equal(formatTlogProof(proof), text)
      assert.accepted(verifyTlogProof(proof, { leaf, log }))
    }
  }
})

t('no byte of a receipt may change, and none be cut off or added', () => {
  const { leaf, text } = receiptOf(11, 6)
  const holds = (bytes: Uint8Array): boolean => {
    const proof = parseTlogProof(Buffer.from(bytes).toString())
    return proof.ok && verifyTlogProof(proof.value, { leaf, log }).ok
  }
  const whole = Buffer.from(text)
  assert.ok(holds(whole))
  for (let at = 0; at < whole.length; at++) {
    for (const flip of [0x01, 0x20, 0x80]) {
      const changed = Buffer.from(whole)
      changed[at] = changed[at]! ^ flip
      assert.ok(!holds(changed), `byte ${at} with ${flip}`)
    }
    assert.ok(!holds(whole.subarray(0, at)), `cut at ${at}`)
    assert.ok(!holds(Buffer.concat([whole.subarray(0, at), whole.subarray(at + 1)])), `less ${at}`)
  }
  for (const more of ['\n', ' ', 'x', '\0']) assert.ok(!holds(Buffer.from(`${text}${more}`)), more)
})

t('each refusal', () => {
  const { leaf, text } = receiptOf(11, 6)
  const proof = assert.accepted(parseTlogProof(text))
  const other = keyPairFromSeed(sha256('other')).publicKey
  assert.refused(verifyTlogProof(proof, { leaf, log: { ...log, name: 'b/log' } }), 'other_log')
  assert.refused(verifyTlogProof(proof, { leaf, log: { ...log, publicKey: other } }),
    'bad_signature')
  assert.refused(verifyTlogProof({ ...proof, index: 5 }, { leaf, log }), 'not_included')
  assert.refused(verifyTlogProof({ ...proof, index: 11 }, { leaf, log }), 'not_included')
  const longer = [...proof.hashes, proof.hashes[0]!]
  assert.refused(verifyTlogProof({ ...proof, hashes: longer }, { leaf, log }), 'not_included')
  const note = { ...proof.note, text: 'no head\n' }
  assert.refused(verifyTlogProof({ ...proof, note }, { leaf, log }), 'malformed')
  assert.throws(() => formatTlogProof({ ...proof, note }), /a receipt holds a checkpoint/)
  assert.throws(() => formatTlogProof({ ...proof, index: -1 }), /an index is a safe integer/)
})

t('only the one form is parsed', () => {
  const { text } = receiptOf(11, 6)
  const hash = toBase64(sha256('x'))
  const wrong: readonly (readonly [string, string])[] = [
    ['', 'no empty line'],
    [text.replace('@v1', '@v2'), 'the first line'],
    [text.replace('\nindex', '\r\nindex'), 'the first line'],
    [text.replace('index 6', 'extra AAAA\nindex 6'), 'the second line'],
    [text.replace('index 6', 'index 06'), 'the second line'],
    [text.replace('index 6', 'index  6'), 'the second line'],
    [text.replace('index 6', 'index 6 '), 'the second line'],
    [text.replace('index 6', 'index -6'), 'the second line'],
    [text.replace('index 6', 'index 9007199254740992'), 'the second line'],
    [text.replace('index 6\n', 'index 6\nAAAA\n'), 'is not 32 bytes'],
    [text.replace('=\n', '\n'), 'is not 32 bytes'],
    [text.replace('index 6\n', `index 6\n${`${hash}\n`.repeat(54)}`), 'more than 53 hashes'],
    [text.replace('\n11\n', '\n011\n'), 'the tree size'],
    [`${text}${'x'.repeat(20_000)}`, 'more than 16384 bytes'],
  ]
  for (const [each, detail] of wrong) {
    const parsed = parseTlogProof(each)
    assert.ok(!parsed.ok && parsed.refusal.detail.includes(detail),
      `${detail}: ${JSON.stringify(parsed)}`)
  }
})
