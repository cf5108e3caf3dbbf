// Trees in the chunk store: a manifest goes in with its root and comes out by its tree hash alone.

import type { Hash } from '../../protocol/base/ids.ts'
import type { Manifest } from '../../protocol/rules/stage.ts'
import { chunksOf, describeStageRefusal, packTree } from '../../protocol/rules/stage.ts'
import { unpackManifest, unpackRoot } from '../../protocol/rules/stage.ts'
import type { ChunkStore } from './chunk-store.ts'
import { StagingError } from './staging-error.ts'

/**
 * Stores a manifest and retains all of its tree for `owner`; the files' chunks are already there.
 * @throws TREE_TOO_LARGE, SPOOL_FULL
 */
export async function storeTree(
  store: ChunkStore, manifest: Manifest, owner: string,
): Promise<Hash> {
  const packed = packTree(manifest)
  if (!packed.ok) throw new StagingError('TREE_TOO_LARGE', describeStageRefusal(packed.refusal))
  const { treeHash, chunks } = packed.value
  await store.retain(owner, [...chunksOf(manifest).keys(), ...chunks.map((chunk) => chunk.hash)])
  for (const { hash, bytes } of chunks) await store.put(hash, bytes)
  return treeHash
}

/**
 * The manifest of a tree whose root and pieces are here, and the hashes of those.
 * @throws CHUNK_MISSING, TREE_REFUSED
 */
export async function loadTree(
  store: ChunkStore, treeHash: Hash,
): Promise<{ readonly manifest: Manifest; readonly packing: readonly Hash[] }> {
  const root = unpackRoot(await demandChunk(store, treeHash, treeHash))
  if (!root.ok) throw treeRefused(treeHash, describeStageRefusal(root.refusal))
  const pieces: Buffer[] = []
  for (const hash of root.value.chunks) pieces.push(await demandChunk(store, hash, treeHash))
  const [only] = pieces
  const bytes = only && pieces.length === 1 ? only : Buffer.concat(pieces)
  const manifest = unpackManifest(root.value, bytes)
  if (!manifest.ok) throw treeRefused(treeHash, describeStageRefusal(manifest.refusal))
  return { manifest: manifest.value, packing: [...root.value.chunks, treeHash] }
}

export function treeRefused(treeHash: Hash, why: string): StagingError {
  return new StagingError('TREE_REFUSED', `tree ${treeHash} is refused: ${why}`)
}

async function demandChunk(store: ChunkStore, hash: Hash, treeHash: Hash): Promise<Buffer> {
  const bytes = await store.read(hash)
  if (bytes) return bytes
  const what = `chunk ${hash} of tree ${treeHash} is not here`
  throw new StagingError('CHUNK_MISSING', `${what}; fetch the tree again`)
}
