// The log as tiles and proofs, read from the database: what exports and servers are made of.
// Invariants: memory is that of one tile or of one proof, whatever the size of the log; what must
// be there and is not is CORRUPT, never an empty answer. Entries that were pruned need not be
// there.

import { assert } from '../../protocol/base/assert.ts'
import type { NodeAt } from '../../protocol/base/merkle.ts'
import type { Tile } from '../../protocol/base/tiles.ts'
import { encodeBundle, encodeTile, tileWidth } from '../../protocol/base/tiles.ts'
import { entryKey, nodeKey } from '../../protocol/rules/ledger-book.ts'
import type { PrunedRecord } from '../../protocol/machine/log-records.ts'
import type { Store } from './level.ts'
import { StoreError } from './store-error.ts'

type Reading = Pick<Store, 'get' | 'range'>

/**
 * The bytes of a tile that the log has; undefined for entries that were pruned. Throws CORRUPT when
 * a part of it is missing.
 */
export function readTile(store: Reading, tile: Tile): Promise<Uint8Array | undefined> {
  return tile.level === 'entries' ? readBundle(store, tile) : readHashTile(store, tile, tile.level)
}

/** Entries below are gone, or on their way out. */
export async function prunedBelow(store: Pick<Store, 'get'>): Promise<number> {
  const pruned = await store.get('pruned', 'own') as PrunedRecord | undefined
  return pruned?.below ?? 0
}

async function readBundle(store: Reading, tile: Tile): Promise<Uint8Array | undefined> {
  const first = tile.index * tileWidth
  const entries: Uint8Array[] = []
  const [from, to] = [entryKey(first), entryKey(first + tile.width)]
  for await (const [key, note] of store.range('ledgerEntries', from, to)) {
    if (key !== entryKey(first + entries.length) || typeof note !== 'string') break
    entries.push(Buffer.from(note))
  }
  if (entries.length < tile.width) {
    if (first + tile.width <= await prunedBelow(store)) return undefined
    throw missing(`entry ${first + entries.length}`)
  }
  return encodeBundle(entries)
}

async function readHashTile(
  store: Pick<Store, 'range'>, tile: Tile, tileLevel: number,
): Promise<Uint8Array> {
  const level = tileLevel * 8
  const first = tile.index * tileWidth
  const nodes: Uint8Array[] = []
  const [from, to] = [nodeKey(level, first), nodeKey(level, first + tile.width)]
  for await (const [key, hash] of store.range('ledgerNodes', from, to)) {
    if (key !== nodeKey(level, first + nodes.length) || !(hash instanceof Uint8Array)) break
    nodes.push(hash)
  }
  if (nodes.length < tile.width) throw missing(`tree node ${nodeKey(level, first + nodes.length)}`)
  return encodeTile(tile, (_, index) => nodes[index - first] as Uint8Array)
}

/**
 * What `work` makes of stored tree nodes. It is called twice, first with zeros, and asks for the
 * same nodes both times: a proof asks for some hundred at most.
 */
export async function withNodes<T>(
  store: Pick<Reading, 'get'>, work: (nodeAt: NodeAt) => T,
): Promise<T> {
  const wanted = new Set<string>()
  work((level, index) => {
    wanted.add(nodeKey(level, index))
    return new Uint8Array(32)
  })
  const nodes = new Map<string, Uint8Array>()
  for (const key of wanted) {
    const node = await store.get('ledgerNodes', key)
    if (!(node instanceof Uint8Array)) throw missing(`tree node ${key}`)
    nodes.set(key, node)
  }
  return work((level, index) => {
    const node = nodes.get(nodeKey(level, index))
    assert(node, 'the same nodes are asked for both times')
    return node
  })
}

function missing(what: string): StoreError {
  return new StoreError('CORRUPT', `${what} is missing in the database`)
}
