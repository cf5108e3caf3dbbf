// Compares the tree that the entries give with the hash tiles that were exported.
// Invariant: at most one unfinished tile of each level is in memory.

import { sameBytes } from '../../protocol/base/crypto.ts'
import type { TreeNode } from '../../protocol/base/merkle.ts'
import { decodeTile, tilePath, tileWidth } from '../../protocol/base/tiles.ts'
import type { LogFiles } from './log-files.ts'

export interface TileFault {
  /** The entry whose hash differs; undefined above the lowest level. */
  readonly index: number | undefined
  readonly detail: string
}

export interface TileCheck {
  /** Takes the nodes of the tree in the order in which it completes them. */
  node(node: TreeNode): void
  /** Compares the tiles that are full; with `end`, also the partial ones. */
  compare(at: { readonly end: boolean }): Promise<TileFault[]>
}

const hashBytes = 32

/** `open`: of each level the tile where the nodes to come begin, as far as it is known. */
export function openTileCheck(
  files: LogFiles,
  open: readonly { readonly index: number, readonly hashes: readonly Uint8Array[] }[] = [],
): TileCheck {
  const levels = open.map(({ index, hashes }) => ({ index, hashes: [...hashes] }))
  return {
    node({ level, index, hash }) {
      if (level % 8 !== 0) return
      const at = level / 8
      levels[at] ??= { index: 0, hashes: [] }
      if (levels[at].index * tileWidth + levels[at].hashes.length === index) {
        levels[at].hashes.push(hash)
      }
    },
    async compare({ end }) {
      const faults: TileFault[] = []
      for (const [level, tile] of levels.entries()) {
        const width = tile.hashes.length
        if (width === 0 || (width < tileWidth && !end)) continue
        faults.push(...await compareTile(files, { level, index: tile.index, hashes: tile.hashes }))
        levels[level] = { index: tile.index + 1, hashes: [] }
      }
      return faults
    },
  }
}

async function compareTile(
  files: LogFiles,
  { level, index, hashes }: {
    readonly level: number, readonly index: number, readonly hashes: readonly Uint8Array[]
  },
): Promise<TileFault[]> {
  const width = hashes.length
  const path = tilePath({ level, index, width })
  const bytes = await files.read(path, width * hashBytes)
  if (!bytes) return [{ index: undefined, detail: `the file ${path} is missing` }]
  const tile = decodeTile(bytes, width)
  if (!tile.ok) return [{ index: undefined, detail: `${path}: ${tile.refusal.detail}` }]
  const at = hashes.findIndex((hash, i) => !sameBytes(hash, tile.value[i] ?? new Uint8Array()))
  if (at < 0) return []
  if (level === 0) {
    const detail = `the entry is not the one that ${path} commits to`
    return [{ index: index * tileWidth + at, detail }]
  }
  return [{ index: undefined, detail: `hash ${at} of ${path} is not that of the entries below it` }]
}
