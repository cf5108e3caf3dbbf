// A log whose first bundles of entries were dropped: its tree is whole, and its replay begins at a
// snapshot, whose book lies beside the tiles as `snapshot/<size>` (protocol/rules/ledger-state.ts)
// and whose statement is entry <size>. The replay itself compares the two.
// Invariants: every hash below the snapshot is re-derived from those under it, and the book's
// frontier from them; what is believed of the entries that are gone is the author's signed word.

import { sameBytes } from '../../protocol/base/crypto.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { leafHash, nodeHash } from '../../protocol/base/merkle.ts'
import { decodeTile, tilePath, tileWidth } from '../../protocol/base/tiles.ts'
import { readLeaf } from '../../protocol/rules/audit.ts'
import type { LedgerHead } from '../../protocol/rules/ledger-book.ts'
import type { LoadedBook } from '../../protocol/rules/ledger-state.ts'
import { loadBook } from '../../protocol/rules/ledger-state.ts'
import { bundlesOf } from './bundles.ts'
import type { LogFiles } from './log-files.ts'
import { openTreeFiles } from './tree-files.ts'

export type LogStart =
  /** Nothing was dropped, or nothing is there to begin from. */
  | { readonly kind: 'first', readonly index: 0, readonly bundle: 0 }
  | {
    readonly kind: 'snapshot'
    /** The first entry that is replayed. */
    readonly index: number
    /** The first one that is there. */
    readonly bundle: number
    readonly book: LoadedBook
    /** Of each level of tiles: the tile that the snapshot ends in, as far as it reaches. */
    readonly open: readonly OpenTile[]
    readonly faults: readonly StartFault[]
  }

export interface OpenTile {
  readonly index: number
  readonly hashes: readonly Uint8Array[]
}

export interface StartFault {
  readonly rule: 'I1' | 'I10'
  readonly index: number | undefined
  readonly detail: string
}

const bookBytesMax = 512 * 1024 * 1024
const hashBytes = 32
const whole: LogStart = { kind: 'first', index: 0, bundle: 0 }

/** Where the replay of a log of `size` can begin. */
export async function findStart(
  files: LogFiles, site: SiteName, size: number, signal?: AbortSignal,
): Promise<LogStart> {
  const bundle = await firstBundle(files, size)
  if (bundle === undefined || bundle === 0) return whole
  for await (const read of bundlesOf(files, size, bundle)) {
    signal?.throwIfAborted()
    if (read.kind === 'unreadable') return whole
    for (const [at, entry] of read.entries.entries()) {
      const index = read.index + at
      if (!isSnapshotAt(entry, site, index)) continue
      const bytes = await files.read(`snapshot/${index}`, bookBytesMax)
      if (!bytes) continue
      return snapshotStart(files, { bytes, site, size, index, bundle, signal })
    }
  }
  return whole
}

/** The first entry that is there; entries are dropped from the front and nowhere else. */
async function firstBundle(files: LogFiles, size: number): Promise<number | undefined> {
  const has = async (index: number): Promise<boolean> => {
    const width = Math.min(tileWidth, size - index * tileWidth)
    return await files.read(tilePath({ level: 'entries', index, width }), 0) !== undefined
  }
  let [low, high] = [0, Math.ceil(size / tileWidth) - 1]
  if (await has(0)) return 0
  if (!await has(high)) return undefined
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (await has(middle)) high = middle
    else low = middle
  }
  return high * tileWidth
}

function isSnapshotAt(entry: Uint8Array, site: SiteName, index: number): boolean {
  const read = readLeaf(entry)
  return !('reason' in read) && read.statement.kind === 'snapshot'
    && read.statement.from === site && read.statement.size === index
}

async function snapshotStart(
  files: LogFiles,
  { bytes, site, size, index, bundle, signal }: {
    readonly bytes: Uint8Array, readonly site: SiteName, readonly size: number,
    readonly index: number, readonly bundle: number, readonly signal: AbortSignal | undefined,
  },
): Promise<LogStart> {
  const faults: StartFault[] = []
  const fault = (rule: 'I1' | 'I10', at: number | undefined, detail: string): void =>
    void faults.push({ rule, index: at, detail })
  const loaded = loadBook(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString())
  const path = `snapshot/${index}`
  if (!loaded.ok) {
    fault('I10', index, `${path} is no book: ${loaded.refusal.detail}`)
    return { kind: 'snapshot', index, bundle, book: emptyBook, open: [], faults }
  }
  const book = loaded.value
  const head = book.records.find(({ table }) => table === 'ledgerHead')?.value as LedgerHead
  if (head.site !== site || head.frontier.size !== index) {
    fault('I10', index, `${path} is the book of ${head.site} at ${head.frontier.size} entries`)
    return { kind: 'snapshot', index, bundle, book: emptyBook, open: [], faults }
  }
  const { faults: below, open } = await checkBelow(files, { size, index, signal })
  for (const detail of below) fault('I1', undefined, detail)
  const frontier = await openTreeFiles(files, size).frontierAt(index)
  const same = frontier?.peaks.length === head.frontier.peaks.length
    && frontier.peaks.every((hash, at) => sameBytes(hash, head.frontier.peaks[at] ?? hash))
  if (!same) fault('I10', index, `the tree of ${path} is not that of the hash tiles`)
  for await (const read of bundlesOf(files, size, bundle)) {
    if (read.kind === 'unreadable' || read.index >= index) break
    const tile = await readTile(files, { level: 0, index: read.index / tileWidth, size })
    for (const [at, entry] of read.entries.entries()) {
      const expected = tile?.[at]
      if (read.index + at >= index || (expected && sameBytes(leafHash(entry), expected))) continue
      fault('I1', read.index + at, 'the entry is not the one that its hash tile commits to')
    }
  }
  return { kind: 'snapshot', index, bundle, book, open, faults }
}

const emptyBook: LoadedBook = { state: '' as LoadedBook['state'], records: [] }

/** Every tile that is full below entry `index` against the hash above it. */
async function checkBelow(
  files: LogFiles,
  { size, index, signal }: {
    readonly size: number, readonly index: number, readonly signal: AbortSignal | undefined,
  },
): Promise<{ readonly faults: string[], readonly open: OpenTile[] }> {
  const faults: string[] = []
  const open: OpenTile[] = []
  for (let [level, nodes] = [0, index]; nodes > 0; level++, nodes = Math.floor(nodes / tileWidth)) {
    let above: readonly Uint8Array[] | undefined
    const full = Math.floor(nodes / tileWidth)
    for (let at = 0; at < full; at++) {
      signal?.throwIfAborted()
      if (at % tileWidth === 0) {
        above = await readTile(files, { level: level + 1, index: at / tileWidth, size })
      }
      const tile = await readTile(files, { level, index: at, size })
      const hash = above?.[at % tileWidth]
      if (!tile || !hash || !sameBytes(rootOf(tile), hash)) {
        faults.push(`hash ${at} of level ${level + 1} is not that of the tile below it`)
      }
    }
    const rest = nodes % tileWidth
    const last = rest === 0 ? [] : await readTile(files, { level, index: full, size })
    if (!last) faults.push(`tile ${full} of level ${level} is missing or no tile`)
    open.push({ index: full, hashes: last?.slice(0, rest) ?? [] })
  }
  return { faults, open }
}

async function readTile(
  files: LogFiles,
  { level, index, size }: {
    readonly level: number, readonly index: number, readonly size: number,
  },
): Promise<readonly Uint8Array[] | undefined> {
  const nodes = Math.floor(size / tileWidth ** level)
  const width = Math.min(tileWidth, nodes - index * tileWidth)
  const bytes = await files.read(tilePath({ level, index, width }), width * hashBytes)
  const tile = bytes && decodeTile(bytes, width)
  return tile?.ok ? tile.value : undefined
}

function rootOf(tile: readonly Uint8Array[]): Uint8Array {
  let row = tile
  while (row.length > 1) {
    const below = row
    row = below.filter((_, at) => at % 2 === 0)
      .map((left, at) => nodeHash(left, below[2 * at + 1] as Uint8Array))
  }
  return row[0] as Uint8Array
}
