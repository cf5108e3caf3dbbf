// The Merkle tree of RFC 6962 (section 2.1) with SHA-256: roots, inclusion and consistency proofs.
//
// A node (level, index) stands for the complete subtree over leaves index·2^level …
// (index+1)·2^level − 1; it never changes once it is there. A tree of any size is a row of complete
// subtrees, its peaks, so a frontier of log2(size) hashes is enough to append, and complete nodes
// are enough for every proof.

import { assert } from './assert.ts'
import { sameBytes, sha256 } from './crypto.ts'

/** The frontier of a tree: one hash for each complete subtree, widest first. */
export interface Frontier {
  readonly size: number
  readonly peaks: readonly Uint8Array[]
}

export interface TreeNode {
  readonly level: number
  readonly index: number
  readonly hash: Uint8Array
}

/** The stored hash of a complete subtree; the caller has every one below the size it names. */
export type NodeAt = (level: number, index: number) => Uint8Array

export const emptyFrontier: Frontier = { size: 0, peaks: [] }

/** SHA-256(0x00 ‖ leaf). */
export function leafHash(leaf: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(1 + leaf.length)
  bytes.set(leaf, 1)
  return sha256(bytes)
}

/** SHA-256(0x01 ‖ left ‖ right): no node can be taken for a leaf. */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(1 + left.length + right.length)
  bytes[0] = 1
  bytes.set(left, 1)
  bytes.set(right, 1 + left.length)
  return sha256(bytes)
}

/** Adds one leaf; `nodes` are the subtrees it completes, from the leaf itself (level 0) upwards. */
export function append(
  frontier: Frontier,
  leaf: Uint8Array,
): { readonly frontier: Frontier; readonly nodes: readonly TreeNode[] } {
  return appendHash(frontier, leafHash(leaf))
}

/** As `append`, for a leaf whose hash is already known. */
export function appendHash(
  frontier: Frontier,
  hashOfLeaf: Uint8Array,
): { readonly frontier: Frontier; readonly nodes: readonly TreeNode[] } {
  const peaks = [...frontier.peaks]
  let node: TreeNode = { level: 0, index: frontier.size, hash: hashOfLeaf }
  const nodes = [node]
  while (node.index % 2 === 1) {
    const left = peaks.pop()
    assert(left, 'a frontier has a peak for each bit of its size')
    node = { level: node.level + 1, index: half(node.index), hash: nodeHash(left, node.hash) }
    nodes.push(node)
  }
  peaks.push(node.hash)
  return { frontier: { size: frontier.size + 1, peaks }, nodes }
}

/** MTH of the whole tree; the empty tree's root is the hash of nothing. */
export function root(frontier: Frontier): Uint8Array {
  return fold(frontier.peaks)
}

/** The frontier of the first `size` leaves of a stored tree. */
export function frontierAt(size: number, nodeAt: NodeAt): Frontier {
  return { size, peaks: subtrees(0, size).map(({ level, index }) => nodeAt(level, index)) }
}

/** PATH(index, D[size]): sibling hashes from the leaf upwards. */
export function inclusionProof(index: number, size: number, nodeAt: NodeAt): Uint8Array[] {
  assert(isCount(size) && isCount(index) && index < size, 'the leaf lies in the tree')
  const proof: Uint8Array[] = []
  let [low, high] = [0, size]
  while (high - low > 1) {
    const middle = low + splitOf(high - low)
    if (index < middle) {
      proof.push(rangeHash(middle, high, nodeAt))
      high = middle
    } else {
      proof.push(rangeHash(low, middle, nodeAt))
      low = middle
    }
  }
  return proof.reverse()
}

/** Whether the leaf with that hash is number `index` of the tree of that size and root. */
export function verifyInclusion(claim: {
  readonly leafHash: Uint8Array
  readonly index: number
  readonly size: number
  readonly root: Uint8Array
  readonly proof: readonly Uint8Array[]
}): boolean {
  const { index, size, proof } = claim
  if (!isCount(size) || !isCount(index) || index >= size || !areHashes(proof)) return false
  if (!areHashes([claim.leafHash, claim.root])) return false
  let hash = claim.leafHash
  let [node, last] = [index, size - 1]
  for (const sibling of proof) {
    if (last === 0) return false
    if (node % 2 === 1 || node === last) {
      hash = nodeHash(sibling, hash)
      while (node % 2 === 0 && node !== 0) [node, last] = [half(node), half(last)]
    } else {
      hash = nodeHash(hash, sibling)
    }
    node = half(node)
    last = half(last)
  }
  return last === 0 && sameBytes(hash, claim.root)
}

/** PROOF(from, D[to]); empty when there is nothing to show (`from` is 0 or equals `to`). */
export function consistencyProof(from: number, to: number, nodeAt: NodeAt): Uint8Array[] {
  assert(isCount(from) && isCount(to) && from <= to, 'the older tree is no larger')
  if (from === 0 || from === to) return []
  const proof: Uint8Array[] = []
  let [low, high] = [0, to]
  while (from !== high) {
    const middle = low + splitOf(high - low)
    if (from <= middle) {
      proof.push(rangeHash(middle, high, nodeAt))
      high = middle
    } else {
      proof.push(rangeHash(low, middle, nodeAt))
      low = middle
    }
  }
  if (low > 0) proof.push(rangeHash(low, high, nodeAt))
  return proof.reverse()
}

/** Whether the tree (to, toRoot) has the tree (from, fromRoot) as its beginning. */
export function verifyConsistency(claim: {
  readonly from: number
  readonly to: number
  readonly fromRoot: Uint8Array
  readonly toRoot: Uint8Array
  readonly proof: readonly Uint8Array[]
}): boolean {
  const { from, to, fromRoot, toRoot, proof } = claim
  if (!isCount(from) || !isCount(to) || from > to || !areHashes(proof)) return false
  if (!areHashes([fromRoot, toRoot])) return false
  if (from === to) return proof.length === 0 && sameBytes(fromRoot, toRoot)
  if (from === 0) return proof.length === 0 && sameBytes(fromRoot, root(emptyFrontier))
  let [node, last] = [from - 1, to - 1]
  while (node % 2 === 1) [node, last] = [half(node), half(last)]
  // When `from` is a power of two its root is itself the first node and is left out of the proof.
  const path = node === 0 ? [fromRoot, ...proof] : proof
  const first = path[0]
  if (!first) return false
  let [older, newer] = [first, first]
  for (const sibling of path.slice(1)) {
    if (last === 0) return false
    if (node % 2 === 1 || node === last) {
      older = nodeHash(sibling, older)
      newer = nodeHash(sibling, newer)
      while (node % 2 === 0 && node !== 0) [node, last] = [half(node), half(last)]
    } else {
      newer = nodeHash(newer, sibling)
    }
    node = half(node)
    last = half(last)
  }
  return last === 0 && sameBytes(older, fromRoot) && sameBytes(newer, toRoot)
}

/** MTH(D[low:high]) from complete nodes; the range is one that the tree splits into. */
function rangeHash(low: number, high: number, nodeAt: NodeAt): Uint8Array {
  return fold(subtrees(low, high).map(({ level, index }) => nodeAt(level, index)))
}

/** The complete subtrees that make up leaves low … high − 1, widest first. */
function subtrees(low: number, high: number): { level: number; index: number }[] {
  const found: { level: number; index: number }[] = []
  for (let at = low; at < high; ) {
    let [level, width] = [0, 1]
    while (width * 2 <= high - at) [level, width] = [level + 1, width * 2]
    found.push({ level, index: (at - (at % width)) / width })
    at += width
  }
  return found
}

function fold(peaks: readonly Uint8Array[]): Uint8Array {
  const last = peaks.at(-1)
  if (!last) return sha256('')
  let hash = last
  for (let at = peaks.length - 2; at >= 0; at--) hash = nodeHash(peaks[at] as Uint8Array, hash)
  return hash
}

/** The largest power of two below `width`. */
function splitOf(width: number): number {
  let split = 1
  while (split * 2 < width) split *= 2
  return split
}

/** Integer half, rounded down; shifts would cut numbers above 2^31. */
function half(value: number): number {
  return (value - (value % 2)) / 2
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

function areHashes(hashes: readonly Uint8Array[]): boolean {
  return hashes.every((hash) => hash.length === 32)
}
