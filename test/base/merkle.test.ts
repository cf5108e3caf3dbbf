// The fast tree against known vectors and against RFC 6962 written down literally (MTH, PATH, PROOF
// over lists of leaves), for every size, every leaf and every pair of sizes up to a bound.

import { readFileSync } from 'node:fs'
import { fromHex, sha256, toHex } from '../../protocol/base/crypto.ts'
import {
  append, consistencyProof, emptyFrontier, frontierAt, inclusionProof, leafHash, nodeHash, root,
  verifyConsistency, verifyInclusion,
} from '../../protocol/base/merkle.ts'
import type { Frontier, NodeAt } from '../../protocol/base/merkle.ts'
import { assert, suite } from '../harness.ts'

const sizeMax = 130

interface Tree {
  readonly nodeAt: NodeAt
  /** By size, from 0. */
  readonly frontiers: readonly Frontier[]
}

function grow(leaves: readonly Uint8Array[]): Tree {
  const nodes = new Map<string, Uint8Array>()
  const frontiers: Frontier[] = [emptyFrontier]
  for (const leaf of leaves) {
    const grown = append(frontiers.at(-1) as Frontier, leaf)
    for (const { level, index, hash } of grown.nodes) nodes.set(`${level}/${index}`, hash)
    frontiers.push(grown.frontier)
  }
  const nodeAt: NodeAt = (level, index) => {
    const found = nodes.get(`${level}/${index}`)
    assert.ok(found, `the node ${level}/${index} is complete`)
    return found
  }
  return { nodeAt, frontiers }
}

/** RFC 6962, 2.1 as it stands there, with the hashes of ranges remembered. */
function literal(leaves: readonly Uint8Array[]) {
  const known = new Map<string, Uint8Array>()
  const k = (n: number): number => {
    let power = 1
    while (power * 2 < n) power *= 2
    return power
  }
  const mth = (low: number, high: number): Uint8Array => {
    const name = `${low}:${high}`
    const remembered = known.get(name)
    if (remembered) return remembered
    const n = high - low
    let hash: Uint8Array
    if (n === 0) hash = sha256('')
    else if (n === 1) hash = sha256(Uint8Array.of(0), leaves[low] as Uint8Array)
    else hash = sha256(Uint8Array.of(1), mth(low, low + k(n)), mth(low + k(n), high))
    known.set(name, hash)
    return hash
  }
  const path = (m: number, low: number, high: number): Uint8Array[] => {
    const n = high - low
    if (n === 1) return []
    const middle = low + k(n)
    if (m < k(n)) return [...path(m, low, middle), mth(middle, high)]
    return [...path(m - k(n), middle, high), mth(low, middle)]
  }
  const subproof = (m: number, low: number, high: number, whole: boolean): Uint8Array[] => {
    const n = high - low
    if (m === n) return whole ? [] : [mth(low, high)]
    const middle = low + k(n)
    if (m <= k(n)) return [...subproof(m, low, middle, whole), mth(middle, high)]
    return [...subproof(m - k(n), middle, high, false), mth(low, middle)]
  }
  return {
    root: (size: number) => mth(0, size),
    path: (m: number, size: number) => path(m, 0, size),
    proof: (m: number, size: number) => subproof(m, 0, size, true),
  }
}

const leaves = Array.from({ length: sizeMax }, (_, at) => Buffer.from(`leaf ${at}`))
const tree = grow(leaves)
const slow = literal(leaves)
const rootOf = (size: number): Uint8Array => root(tree.frontiers[size] as Frontier)

const t = suite('merkle')

interface Vectors {
  readonly leaves: readonly string[]
  readonly roots: readonly string[]
  readonly inclusion: readonly { index: number, size: number, proof: string[] }[]
  readonly consistency: readonly { from: number, to: number, proof: string[] }[]
}

t('agrees with the Certificate Transparency vectors', () => {
  const file = new URL('../vectors/base/merkle.json', import.meta.url)
  const vectors = JSON.parse(readFileSync(file, 'utf8')) as Vectors
  const { nodeAt, frontiers } = grow(vectors.leaves.map((leaf) => fromHex(leaf) as Uint8Array))
  assert.equal(frontiers.map((frontier) => toHex(root(frontier))), vectors.roots)
  for (const { index, size, proof } of vectors.inclusion) {
    assert.equal(inclusionProof(index, size, nodeAt).map(toHex), proof)
  }
  for (const { from, to, proof } of vectors.consistency) {
    assert.equal(consistencyProof(from, to, nodeAt).map(toHex), proof)
  }
})

t('a frontier holds one peak for each bit, and can be read back from the stored nodes', () => {
  for (const [size, frontier] of tree.frontiers.entries()) {
    assert.equal(frontier.size, size)
    assert.equal(frontier.peaks.length, size.toString(2).replaceAll('0', '').length)
    assert.equal(root(frontier), slow.root(size))
    assert.equal(frontierAt(size, tree.nodeAt), frontier)
  }
})

t('appending leaves the older frontier as it was', () => {
  const before = tree.frontiers[7] as Frontier
  const copy = structuredClone(before)
  append(before, Buffer.from('other'))
  assert.equal(before, copy)
})

t('proves every leaf of every size, and the proof fits nothing else', () => {
  for (let size = 1; size <= sizeMax; size++) {
    for (let index = 0; index < size; index++) {
      const proof = inclusionProof(index, size, tree.nodeAt)
      assert.equal(proof, slow.path(index, size))
      const claim = {
        leafHash: leafHash(leaves[index] as Uint8Array), index, size, root: rootOf(size), proof,
      }
      assert.ok(verifyInclusion(claim), `${index} in ${size}`)
      assert.ok(!verifyInclusion({ ...claim, leafHash: leafHash(Buffer.from('x')) }))
      assert.ok(!verifyInclusion({ ...claim, root: rootOf(size - 1) }))
      assert.ok(!verifyInclusion({ ...claim, size: 2 * size }), 'a path that ends too early')
      assert.ok(!verifyInclusion({ ...claim, proof: [...proof, claim.root] }))
      if (size > 1) {
        assert.ok(!verifyInclusion({ ...claim, index: (index + 1) % size }), `${index} in ${size}`)
        assert.ok(!verifyInclusion({ ...claim, proof: proof.slice(1) }))
        assert.ok(!verifyInclusion({ ...claim, proof: proof.slice(0, -1) }))
        assert.ok(!verifyInclusion({ ...claim, proof: flipped(proof, index % proof.length) }))
      }
    }
  }
})

t('proves every pair of sizes consistent, and the proof fits nothing else', () => {
  for (let to = 0; to <= sizeMax; to++) {
    for (let from = 0; from <= to; from++) {
      const proof = consistencyProof(from, to, tree.nodeAt)
      if (from > 0) assert.equal(proof, slow.proof(from, to))
      const claim = { from, to, fromRoot: rootOf(from), toRoot: rootOf(to), proof }
      assert.ok(verifyConsistency(claim), `${from} to ${to}`)
      assert.ok(!verifyConsistency({ ...claim, proof: [...proof, claim.toRoot] }))
      assert.ok(!verifyConsistency({ ...claim, fromRoot: sha256('x') }), `${from} to ${to}`)
      if (from === to) continue
      assert.ok(!verifyConsistency({ ...claim, from: to, to: from }))
      if (from === 0) continue
      assert.ok(!verifyConsistency({ ...claim, toRoot: sha256('x') }))
      assert.ok(!verifyConsistency({ ...claim, to: 2 * to }), 'a proof that ends too early')
      assert.ok(!verifyConsistency({ ...claim, proof: proof.slice(1) }))
      assert.ok(!verifyConsistency({ ...claim, proof: proof.slice(0, -1) }))
      assert.ok(!verifyConsistency({ ...claim, proof: flipped(proof, from % proof.length) }))
    }
  }
})

t('a fork cannot be shown to be an extension', () => {
  const forked = grow(leaves.map((leaf, at) => (at === 40 ? Buffer.from('other') : leaf)))
  for (let from = 41; from < sizeMax; from++) {
    const proof = consistencyProof(from, sizeMax, forked.nodeAt)
    const toRoot = root(forked.frontiers[sizeMax] as Frontier)
    assert.ok(!verifyConsistency({ from, to: sizeMax, fromRoot: rootOf(from), toRoot, proof }))
  }
})

t('counts beyond 32 bits', () => {
  const levels = [leafHash(Buffer.from('the same leaf everywhere'))]
  for (let level = 1; level <= 53; level++) {
    const below = levels[level - 1] as Uint8Array
    levels.push(nodeHash(below, below))
  }
  const nodeAt: NodeAt = (level) => levels[level] as Uint8Array
  const hashOfLeaf = nodeAt(0, 0)
  const sizes = [2 ** 31, 2 ** 32 - 1, 2 ** 32 + 5, 2 ** 45 + 12_345, Number.MAX_SAFE_INTEGER]
  for (const size of sizes) {
    const top = root(frontierAt(size, nodeAt))
    for (const index of [0, 1, 2 ** 31 - 1, size - 2, size - 1]) {
      const proof = inclusionProof(index, size, nodeAt)
      assert.ok(verifyInclusion({ leafHash: hashOfLeaf, index, size, root: top, proof }))
    }
    for (const from of [1, 2 ** 30, 2 ** 31 - 1, size - 1]) {
      const fromRoot = root(frontierAt(from, nodeAt))
      const proof = consistencyProof(from, size, nodeAt)
      assert.ok(verifyConsistency({ from, to: size, fromRoot, toRoot: top, proof }))
    }
  }
})

t('claims that cannot be are refused, not thrown', () => {
  const hash = sha256('x')
  for (const [index, size] of [[0, 0], [1, 1], [-1, 2], [0.5, 2], [0, 2 ** 60], [Number.NaN, 2]]) {
    const claim = { leafHash: hash, root: hash, proof: [], index: index ?? 0, size: size ?? 0 }
    assert.ok(!verifyInclusion(claim))
    assert.ok(!verifyConsistency({
      from: claim.index + 1, to: claim.size, fromRoot: hash, toRoot: sha256('y'), proof: [],
    }))
  }
  const short = hash.subarray(1)
  assert.ok(!verifyInclusion({ leafHash: hash, root: hash, proof: [short], index: 0, size: 2 }))
  assert.ok(!verifyInclusion({ leafHash: short, root: short, proof: [], index: 0, size: 1 }))
  assert.ok(!verifyConsistency({ from: 1, to: 1, fromRoot: short, toRoot: short, proof: [] }))
})

t('asking for a proof that cannot be is our own mistake', () => {
  assert.throws(() => inclusionProof(3, 3, tree.nodeAt), /the leaf lies in the tree/)
  assert.throws(() => consistencyProof(4, 3, tree.nodeAt), /the older tree is no larger/)
})

function flipped(proof: readonly Uint8Array[], at: number): Uint8Array[] {
  return proof.map((hash, index) => {
    if (index !== at) return hash
    const copy = Uint8Array.from(hash)
    copy[31] = (copy[31] ?? 0) ^ 1
    return copy
  })
}
