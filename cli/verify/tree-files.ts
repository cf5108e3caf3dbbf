// The tree of an exported log from its hash tiles alone: the frontier and root that it had at any
// size, without reading entries. What the tiles say is proven elsewhere, by the signed root.

import { nodeHash, frontierAt, root } from '../../protocol/base/merkle.ts'
import type { Frontier, NodeAt } from '../../protocol/base/merkle.ts'
import { decodeTile, tilePath, tileWidth } from '../../protocol/base/tiles.ts'
import type { LogFiles } from './log-files.ts'

export interface TreeFiles {
  /** Undefined when a tile is missing or no tile; `size` is at most that of the log. */
  frontierAt(size: number): Promise<Frontier | undefined>
  rootAt(size: number): Promise<Uint8Array | undefined>
  /**
   * What `work` makes of nodes, `known` ones before those of the tiles; it is called twice, first
   * with zeros, and asks for the same ones both times.
   */
  withNodes<T>(
    work: (nodeAt: NodeAt) => T, known?: ReadonlyMap<string, Uint8Array>,
  ): Promise<T | undefined>
}

/** Of a node among those that are known. */
export function nodeName(level: number, index: number): string {
  return `${level}/${index}`
}

const hashBytes = 32
const tilesCachedMax = 64

/** Of a log of `logSize` entries. */
export function openTreeFiles(files: LogFiles, logSize: number): TreeFiles {
  const cached = new Map<string, readonly Uint8Array[] | undefined>()
  const tileOf = async (
    level: number, index: number,
  ): Promise<readonly Uint8Array[] | undefined> => {
    const nodes = Math.floor(logSize / tileWidth ** level)
    const width = Math.min(tileWidth, nodes - index * tileWidth)
    const path = tilePath({ level, index, width })
    if (!cached.has(path)) {
      if (cached.size >= tilesCachedMax) cached.clear()
      const bytes = await files.read(path, width * hashBytes)
      const tile = bytes && decodeTile(bytes, width)
      cached.set(path, tile?.ok ? tile.value : undefined)
    }
    return cached.get(path)
  }
  const nodeOf = async (level: number, index: number): Promise<Uint8Array | undefined> => {
    const above = level % 8
    const count = 2 ** above
    const first = index * count
    const tile = await tileOf((level - above) / 8, Math.floor(first / tileWidth))
    let row = tile?.slice(first % tileWidth, (first % tileWidth) + count)
    if (row?.length !== count) return undefined
    while (row.length > 1) {
      const below: readonly Uint8Array[] = row
      row = below.filter((_, at) => at % 2 === 0)
        .map((left, at) => nodeHash(left, below[2 * at + 1] as Uint8Array))
    }
    return row[0]
  }
  const frontier = async (size: number): Promise<Frontier | undefined> => {
    const wanted: { level: number, index: number }[] = []
    frontierAt(size, (level, index) => {
      wanted.push({ level, index })
      return new Uint8Array()
    })
    const peaks: Uint8Array[] = []
    for (const { level, index } of wanted) {
      const hash = await nodeOf(level, index)
      if (!hash) return undefined
      peaks.push(hash)
    }
    return { size, peaks }
  }
  return {
    async withNodes(work, known = new Map()) {
      const wanted = new Map<string, readonly [number, number]>()
      work((level, index) => {
        wanted.set(nodeName(level, index), [level, index])
        return new Uint8Array(32)
      })
      const nodes = new Map<string, Uint8Array>()
      for (const [name, [level, index]] of wanted) {
        const hash = known.get(name) ?? await nodeOf(level, index)
        if (!hash) return undefined
        nodes.set(name, hash)
      }
      return work((level, index) => nodes.get(nodeName(level, index)) ?? new Uint8Array(32))
    },
    frontierAt: frontier,
    async rootAt(size) {
      const at = await frontier(size)
      return at && root(at)
    },
  }
}
