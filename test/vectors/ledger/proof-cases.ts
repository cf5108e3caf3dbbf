// Cases of proofs: inclusion and consistency in the tree of RFC 6962, and receipts, which carry one
// with the head it leads to.

import { formatCheckpoint } from '../../../protocol/base/checkpoint.ts'
import { toBase64, toHex } from '../../../protocol/base/crypto.ts'
import {
  append, consistencyProof, emptyFrontier, frontierAt, inclusionProof, leafHash, root,
} from '../../../protocol/base/merkle.ts'
import type { NodeAt } from '../../../protocol/base/merkle.ts'
import { parseNote, signNote } from '../../../protocol/base/note.ts'
import { formatTlogProof } from '../../../protocol/base/tlog-proof.ts'
import { logSigner, spoiledNotes } from './note-cases.ts'
import { hexes, invalid, seededKey, valid, vkeyOf } from './vector-case.ts'
import type { VectorCase, VectorFile } from './vector-case.ts'

const sizeMax = 300
const leafOf = (index: number): string => `leaf ${index}\n`
const nodeAt = plantTree()

function plantTree(): NodeAt {
  const nodes = new Map<string, Uint8Array>()
  let frontier = emptyFrontier
  for (let index = 0; index < sizeMax; index++) {
    const grown = append(frontier, Buffer.from(leafOf(index)))
    frontier = grown.frontier
    for (const node of grown.nodes) nodes.set(`${node.level}/${node.index}`, node.hash)
  }
  return (level, index) => nodes.get(`${level}/${index}`) ?? new Uint8Array()
}

function rootOf(size: number): Uint8Array {
  return root(frontierAt(size, nodeAt))
}

const zero = new Uint8Array(32)

/** A proof that is too short, too long or in disorder; by what it was, named. */
function spoiledProofs(proof: readonly Uint8Array[]): [name: string, proof: Uint8Array[]][] {
  const [first = zero] = proof
  return [
    ['first hash missing', proof.slice(1)],
    ['last hash missing', proof.slice(0, -1)],
    ['empty', []],
    ['one hash more in front', [zero, ...proof]],
    ['one hash more at the end', [...proof, zero]],
    ['last hash twice', [...proof, proof.at(-1) ?? zero]],
    ['in reverse', proof.toReversed()],
    ['first hash changed', [first.map((byte, at) => byte ^ (at === 0 ? 1 : 0)), ...proof.slice(1)]],
    ['a hash of 31 bytes', [first.subarray(1), ...proof.slice(1)]],
    ['a hash of 33 bytes', [Buffer.concat([first, Buffer.of(0)]), ...proof.slice(1)]],
  ]
}

export function inclusionVectors(): VectorFile {
  const claim = (index: number, size: number, proof = inclusionProof(index, size, nodeAt)) => ({
    leaf_hash: toHex(leafHash(Buffer.from(leafOf(index)))),
    index,
    size,
    root: toHex(rootOf(size)),
    proof: hexes(proof),
  })
  const places = [
    [0, 1], [0, 2], [1, 2], [0, 3], [2, 3], [4, 5], [3, 8], [7, 8], [5, 11], [10, 11], [255, 257],
    [256, 257], [100, 257], [299, 300],
  ] as const
  const bad = (name: string, why: string, change: object) =>
    invalid(name, why, { ...claim(5, 11), ...change })
  return {
    check: 'inclusion',
    about: 'RFC 6962: the leaf with leaf_hash is number index of the tree of that size and root; '
      + 'proof from the leaf\'s sibling upwards, all hashes in hexadecimal',
    cases: [
      ...places.map(([index, size]) =>
        valid(`${index} of ${size}`, 'an honest proof', claim(index, size))),
      ...spoiledProofs(inclusionProof(5, 11, nodeAt)).map(([name, proof]) =>
        bad(`proof: ${name}`, 'the path does not lead to the root', { proof: hexes(proof) })),
      bad('another leaf', 'the leaf is not at that place', {
        leaf_hash: toHex(leafHash(Buffer.from('another leaf\n'))),
      }),
      bad('another index', 'the leaf is not at that place', { index: 4 }),
      bad('index beyond the tree', 'an index is below the size', { index: 11 }),
      bad('negative index', 'an index is not negative', { index: -1 }),
      bad('empty tree', 'it has no leaves', { size: 0 }),
      bad('another size', 'the tree of that size has another form', { size: 6 }),
      bad('another root', 'the path leads to another root', { root: toHex(rootOf(12)) }),
      invalid('a node for a leaf', 'leaves and nodes are hashed apart', {
        ...claim(0, 2),
        leaf_hash: toHex(leafHash(Buffer.concat([nodeAt(0, 0), nodeAt(0, 1)]))),
        size: 1,
        proof: [],
      }),
      invalid('the tree of one with a proof', 'there is nothing to prove', {
        ...claim(0, 1), proof: [toHex(zero)],
      }),
    ],
  }
}

export function consistencyVectors(): VectorFile {
  const claim = (from: number, to: number, proof = consistencyProof(from, to, nodeAt)) => ({
    from, to, from_root: toHex(rootOf(from)), to_root: toHex(rootOf(to)), proof: hexes(proof),
  })
  const places = [
    [0, 0], [0, 8], [1, 1], [1, 2], [2, 3], [3, 8], [4, 8], [6, 8], [8, 8], [5, 11], [7, 257],
    [128, 257], [256, 257], [257, 300],
  ] as const
  const bad = (name: string, why: string, change: object) =>
    invalid(name, why, { ...claim(5, 11), ...change })
  return {
    check: 'consistency',
    about: 'RFC 6962: the tree of size to begins with the tree of size from; roots and proof in '
      + 'hexadecimal. From 0 and between equal sizes the proof is empty',
    cases: [
      ...places.map(([from, to]) => valid(`${from} to ${to}`, 'an honest proof', claim(from, to))),
      ...spoiledProofs(consistencyProof(5, 11, nodeAt)).map(([name, proof]) =>
        bad(`proof: ${name}`, 'the proof does not lead to both roots', { proof: hexes(proof) })),
      bad('another older root', 'a fork: the older head is of another tree', {
        from_root: toHex(rootOf(6)),
      }),
      bad('another newer root', 'a fork: the newer head is of another tree', {
        to_root: toHex(rootOf(12)),
      }),
      bad('another older size', 'the tree of that size has another form', { from: 8 }),
      bad('another newer size', 'the tree of that size has another form', { to: 8 }),
      bad('backwards', 'a log only grows', {
        from: 11, to: 5, from_root: toHex(rootOf(11)), to_root: toHex(rootOf(5)),
      }),
      bad('negative', 'sizes are not negative', { from: -1 }),
      invalid('equal sizes, two roots', 'a fork', { ...claim(8, 8), to_root: toHex(rootOf(7)) }),
      invalid('equal sizes with a proof', 'there is nothing to prove', {
        ...claim(8, 8), proof: [toHex(zero)],
      }),
      invalid('from 0 with a proof', 'there is nothing to prove', {
        ...claim(0, 8), proof: [toHex(zero)],
      }),
      invalid('from 0 of another root', 'the empty tree has one root', {
        ...claim(0, 8), from_root: toHex(zero),
      }),
    ],
  }
}

const [index, size] = [5, 11]

const path = inclusionProof(index, size, nodeAt)

function receiptWith(note: string, at = index, proof = path): string {
  const parsed = parseNote(note, { bytesMax: 16_384 })
  if (!parsed.ok) throw new Error(parsed.refusal.detail)
  return formatTlogProof({ index: at, hashes: proof, note: parsed.value })
}

export function receiptVectors(): VectorFile {
  const text = formatCheckpoint({ origin: logSigner.name, size, rootHash: rootOf(size) })
  const note = signNote(text, logSigner)
  const vkey = vkeyOf(logSigner)
  const receipt = receiptWith(note)
  const leaf = leafOf(index)
  const gives = { index, size }
  const head = receipt.slice(0, receipt.indexOf('\n\n') + 2)
  const bad = (name: string, why: string, changed: string) =>
    invalid(name, why, { receipt: changed, leaf, vkey })
  const spoiled = (changed: readonly Uint8Array[]): string =>
    ['c2sp.org/tlog-proof@v1', `index ${index}`, ...changed.map(toBase64), '', note].join('\n')
  const onlyOne = signNote(formatCheckpoint({
    origin: logSigner.name, size: 1, rootHash: rootOf(1),
  }), logSigner)
  const unknown = signNote(text, { name: 'other.example', key: seededKey('other') })
    .slice(text.length + 1)
  const other = { name: logSigner.name.replace('e1', 'e2'), key: logSigner.key }
  return {
    check: 'receipt',
    about: 'C2SP tlog-proof: leaf (text, as it is in the log) is an entry of the log vkey; gives '
      + 'its index and the size of the tree. The line `extra` is refused',
    cases: [
      valid('plain', 'an honest receipt', { receipt, leaf, vkey, gives }),
      valid('of a log of one', 'there is nothing to prove', {
        receipt: receiptWith(onlyOne, 0, []), leaf: leafOf(0), vkey, gives: { index: 0, size: 1 },
      }),
      valid('with a line of another key', 'lines of other keys are ignored', {
        receipt: receiptWith(note + unknown), leaf, vkey, gives,
      }),
      ...spoiledNotes(text, logSigner).map((one): VectorCase => {
        const { note: changed, ...rest } = one as VectorCase & { note: string }
        return { ...rest, name: `head: ${one.name}`, receipt: head + changed, leaf }
      }),
      ...spoiledProofs(inclusionProof(index, size, nodeAt)).map(([name, proof]) =>
        bad(`proof: ${name}`, 'the path does not lead to the head', spoiled(proof))),
      invalid('another leaf', 'the receipt is of another entry', {
        receipt, leaf: leafOf(index + 1), vkey,
      }),
      invalid('a leaf without its newline', 'a leaf is hashed byte for byte', {
        receipt, leaf: leaf.trimEnd(), vkey,
      }),
      bad('another index', 'the entry is not at that place', receipt.replace('index 5', 'index 4')),
      bad('index beyond the tree', 'an index is below the size',
        receipt.replace('index 5', 'index 11')),
      bad('index with a leading zero', 'an index has one form',
        receipt.replace('index 5', 'index 05')),
      bad('no index', 'the second line is the index', receipt.replace('index 5\n', '')),
      bad('version 2', 'the first line names the format', receipt.replace('@v1', '@v2')),
      bad('an extra line', 'no signature covers it',
        receipt.replace('index 5', 'extra aGVsbG8=\nindex 5')),
      bad('a line in hexadecimal', 'hashes are in base64', receipt.replace(
        toBase64(inclusionProof(index, size, nodeAt)[0] ?? zero), toHex(zero))),
      bad('of another log', 'its head is that of another origin', receiptWith(signNote(
        text.replace(logSigner.name, other.name), other))),
      bad('another root', 'the path leads to another root', receiptWith(signNote(
        formatCheckpoint({ origin: logSigner.name, size, rootHash: rootOf(12) }), logSigner))),
    ],
  }
}
