// Writes a ledger as static files, a C2SP tlog-tiles directory: `checkpoint` (signed by the log
// key), `tile/<level>/…` and `tile/entries/…`. Whoever has it needs nothing else to check it.
// Invariants: the directory appears as a whole or not at all; memory is that of one tile, whatever
// the size of the log; the head is read once, and entries below its size never change.

import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { KeyPair } from '../../protocol/base/crypto.ts'
import { formatCheckpoint } from '../../protocol/base/checkpoint.ts'
import { root } from '../../protocol/base/merkle.ts'
import { signNote } from '../../protocol/base/note.ts'
import type { Tile } from '../../protocol/base/tiles.ts'
import {
  encodeBundle, encodeTile, tilePath, tilesFor, tileWidth,
} from '../../protocol/base/tiles.ts'
import type { LedgerHead } from '../../protocol/rules/ledger-book.ts'
import { entryKey, nodeKey } from '../../protocol/rules/ledger-book.ts'
import { logOrigin } from '../../protocol/rules/statement.ts'
import type { Store } from './level.ts'
import { StoreError, storeError } from './store-error.ts'
import { syncDirectory, writeSynced } from './synced-file.ts'

export interface Exported {
  readonly origin: string
  readonly size: number
  readonly files: number
}

export interface ExportOptions {
  readonly signal?: AbortSignal
  /** Called after each file. */
  readonly onFile?: (done: { readonly files: number, readonly of: number }) => void
}

/**
 * Exports the ledger in `store` up to its newest entry into `directory`, which must not exist yet.
 * Throws a StoreError: EXPORT_REFUSED, CORRUPT, DISK_FULL, STORE_FAILED; or the signal's reason.
 */
export async function exportLedger(
  store: Pick<Store, 'get' | 'range'>,
  logKey: KeyPair,
  directory: string,
  options: ExportOptions = {},
): Promise<Exported> {
  const target = resolve(directory)
  const head = await store.get('ledgerHead', 'head') as LedgerHead | undefined
  if (!head) throw new StoreError('EXPORT_REFUSED', 'there is no ledger yet: nothing to export')
  if (existsSync(target)) {
    throw new StoreError('EXPORT_REFUSED',
      `${directory} exists already; name a directory that does not`)
  }
  const partial = `${target}.partial`
  try {
    rmSync(partial, { recursive: true, force: true })
    mkdirSync(partial, { recursive: true })
    const exported = await writeAll(store, head, { logKey, partial, options })
    renameSync(partial, target)
    syncDirectory(dirname(target))
    return exported
  } catch (error) {
    rmSync(partial, { recursive: true, force: true })
    options.signal?.throwIfAborted()
    throw storeError(error, `exporting the ledger to ${directory}`)
  }
}

async function writeAll(
  store: Pick<Store, 'range'>,
  head: LedgerHead,
  { logKey, partial, options }: {
    readonly logKey: KeyPair, readonly partial: string, readonly options: ExportOptions
  },
): Promise<Exported> {
  const { frontier } = head
  const origin = logOrigin(head.site, head.federation, head.epoch)
  const tiles = tilesFor({ from: 0, size: frontier.size })
  const of = tiles.length + 1
  for (const [files, tile] of tiles.entries()) {
    options.signal?.throwIfAborted()
    const bytes = tile.level === 'entries' ? await bundle(store, tile) : await hashTile(store, tile)
    writeFile(join(partial, tilePath(tile)), bytes)
    options.onFile?.({ files: files + 1, of })
  }
  const text = formatCheckpoint({ origin, size: frontier.size, rootHash: root(frontier) })
  writeFile(join(partial, 'checkpoint'), Buffer.from(signNote(text, { name: origin, key: logKey })))
  syncDirectory(partial)
  options.onFile?.({ files: of, of })
  return { origin, size: frontier.size, files: of }
}

async function bundle(store: Pick<Store, 'range'>, tile: Tile): Promise<Uint8Array> {
  const first = tile.index * tileWidth
  const entries: Uint8Array[] = []
  const [from, to] = [entryKey(first), entryKey(first + tile.width)]
  for await (const [key, note] of store.range('ledgerEntries', from, to)) {
    if (key !== entryKey(first + entries.length) || typeof note !== 'string') break
    entries.push(Buffer.from(note))
  }
  if (entries.length < tile.width) throw missing(`entry ${first + entries.length}`)
  return encodeBundle(entries)
}

async function hashTile(store: Pick<Store, 'range'>, tile: Tile): Promise<Uint8Array> {
  const level = Number(tile.level) * 8
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

function missing(what: string): StoreError {
  return new StoreError('CORRUPT', `${what} is missing in the database`)
}

function writeFile(path: string, bytes: Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true })
  writeSynced(path, bytes, { flag: 'wx', mode: 0o644 })
}
