// Writes a ledger as static files, a C2SP tlog-tiles directory: `checkpoint` (signed by the log
// key), `tile/<level>/…` and `tile/entries/…`. Whoever has it needs nothing else to check it.
// Invariants: a new directory appears as a whole or not at all; one that holds an older export of
// this log is continued, and is a whole export at every moment, because its checkpoint is replaced
// last; memory is that of one tile, whatever the size of the log; the head is read once, and
// entries below its size never change.

import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { KeyPair } from '../../protocol/base/crypto.ts'
import { sameBytes } from '../../protocol/base/crypto.ts'
import { formatCheckpoint, parseCheckpoint } from '../../protocol/base/checkpoint.ts'
import { frontierAt, root } from '../../protocol/base/merkle.ts'
import { parseNote, signNote, verifyNote } from '../../protocol/base/note.ts'
import { tilePath, tilesFor, tileWidth } from '../../protocol/base/tiles.ts'
import type { LedgerHead } from '../../protocol/rules/ledger-book.ts'
import { logOrigin } from '../../protocol/rules/statement.ts'
import type { Store } from './level.ts'
import { prunedBelow, readTile, withNodes } from './log-tiles.ts'
import type { SnapshotFiles } from '../ledger/snapshot-files.ts'
import { StoreError, storeError } from './store-error.ts'
import { syncDirectory, writeSynced } from './synced-file.ts'

export interface Exported {
  readonly origin: string
  readonly size: number
  /** Written now: all of a new export, the new ones of one that was continued. */
  readonly files: number
}

export interface ExportOptions {
  /** The head to write and its signed checkpoint; by default the newest, signed with the key. */
  readonly signed?: { readonly head: LedgerHead, readonly note: string }
  readonly signal?: AbortSignal
  /** Texts of snapshots of this log. */
  readonly snapshots?: Pick<SnapshotFiles, 'sizes' | 'read'>
  /** Called after each file. */
  readonly onFile?: (done: { readonly files: number, readonly of: number }) => void
}

interface Job {
  readonly store: Pick<Store, 'get' | 'range'>
  readonly origin: string
  readonly head: LedgerHead
  readonly note: string
  readonly options: ExportOptions
}

const checkpointName = 'checkpoint'
/** The index of the first entry that is there, in a line. */
export const prunedName = 'pruned'
/** Texts of books, by their number of entries. */
export const snapshotsName = 'snapshot'
const checkpointBytesMax = 16 * 1024

/**
 * Exports the ledger in `store` into `directory`, which does not exist yet or is an older export of
 * the same log. Throws a StoreError: EXPORT_REFUSED, CORRUPT, DISK_FULL, STORE_FAILED; or the
 * signal's reason.
 */
export async function exportLedger(
  store: Pick<Store, 'get' | 'range'>,
  logKey: KeyPair,
  directory: string,
  options: ExportOptions = {},
): Promise<Exported> {
  const target = resolve(directory)
  const head = options.signed?.head
    ?? await store.get('ledgerHead', 'head') as LedgerHead | undefined
  if (!head) throw new StoreError('EXPORT_REFUSED', 'there is no ledger yet: nothing to export')
  const origin = logOrigin(head.site, head.federation, head.epoch)
  const note = options.signed?.note ?? signHead(head, { origin, logKey })
  const job: Job = { store, origin, head, note, options }
  try {
    if (existsSync(target)) return await goOn(job, directory, logKey.publicKey)
    return await writeNew(job, target)
  } catch (error) {
    options.signal?.throwIfAborted()
    throw storeError(error, `exporting the ledger to ${directory}`)
  }
}

function signHead(
  { frontier }: LedgerHead,
  { origin, logKey }: { readonly origin: string, readonly logKey: KeyPair },
): string {
  const text = formatCheckpoint({ origin, size: frontier.size, rootHash: root(frontier) })
  return signNote(text, { name: origin, key: logKey })
}

async function writeNew(job: Job, target: string): Promise<Exported> {
  const partial = `${target}.partial`
  try {
    rmSync(partial, { recursive: true, force: true })
    mkdirSync(partial, { recursive: true })
    const exported = await writeFiles(job, partial, 0)
    renameSync(partial, target)
    syncDirectory(dirname(target))
    return exported
  } catch (error) {
    rmSync(partial, { recursive: true, force: true })
    throw error
  }
}

/** Adds what is new to an older export. Whatever ends this early, the older one stays whole. */
async function goOn(job: Job, directory: string, publicKey: Uint8Array): Promise<Exported> {
  const target = resolve(directory)
  const from = await sizeThere(job, directory, publicKey)
  const exported = await writeFiles(job, target, from)
  // The partial tiles of the older head, now that no checkpoint needs them.
  const wanted = new Set(tilesFor({ from: 0, size: exported.size }).map(tilePath))
  for (const tile of tilesFor({ from: 0, size: from })) {
    const path = tilePath(tile)
    if (tile.width < tileWidth && !wanted.has(path)) rmSync(join(target, path), { force: true })
  }
  return exported
}

/** How many entries the export in `directory` has; refused unless it is one of this very log. */
async function sizeThere(
  { store, origin, head }: Job, directory: string, publicKey: Uint8Array,
): Promise<number> {
  const refused = (what: string): StoreError => new StoreError('EXPORT_REFUSED', `${directory} `
    + `exists already and ${what}; name a directory that does not exist, or that holds an export `
    + `of ${origin}`)
  const path = join(directory, checkpointName)
  if (!existsSync(path)) throw refused('holds no checkpoint')
  if (statSync(path).size > checkpointBytesMax) throw refused('its checkpoint cannot be read')
  const note = parseNote(readFileSync(path, 'utf8'), { bytesMax: checkpointBytesMax })
  const checkpoint = note.ok ? parseCheckpoint(note.value.text) : note
  if (!note.ok || !checkpoint.ok) throw refused('its checkpoint cannot be read')
  const { origin: there, size, rootHash } = checkpoint.value
  if (there !== origin) throw refused(`is an export of ${there}`)
  if (!verifyNote(note.value, { name: origin, publicKey })) {
    throw refused('its checkpoint is not signed by the key of this log')
  }
  if (size > head.frontier.size) {
    throw refused(`has ${size} entries, more than the ${head.frontier.size} of this ledger`)
  }
  const own = await withNodes(store, (nodeAt) => root(frontierAt(size, nodeAt)))
  if (!sameBytes(own, rootHash)) throw refused(`has other entries than the first ${size} here`)
  return size
}

/** What a log of `from` entries lacks, and the checkpoint after everything else. */
async function writeFiles(
  { store, origin, head, note, options }: Job, directory: string, from: number,
): Promise<Exported> {
  const { size } = head.frontier
  const tiles = tilesFor({ from, size })
  const of = tiles.length + 1
  const folders = new Set<string>()
  for (const [files, tile] of tiles.entries()) {
    options.signal?.throwIfAborted()
    const path = tilePath(tile)
    const bytes = await readTile(store, tile)
    // Pruned here; an older export may have it still, and keeps it.
    if (!bytes) continue
    writeWhole(join(directory, path), bytes)
    for (let at = dirname(path); at !== '.'; at = dirname(at)) folders.add(join(directory, at))
    options.onFile?.({ files: files + 1, of })
  }
  await writePruned(store, directory)
  writeSnapshots(options, directory, size)
  for (const folder of folders) syncDirectory(folder)
  syncDirectory(directory)
  writeWhole(join(directory, checkpointName), Buffer.from(note))
  syncDirectory(directory)
  options.onFile?.({ files: of, of })
  return { origin, size, files: of }
}

/** Says where the entries begin, when the first ones are not here. */
async function writePruned(store: Pick<Store, 'get'>, directory: string): Promise<void> {
  const below = await prunedBelow(store)
  const first = tilePath({ level: 'entries', index: 0, width: tileWidth })
  if (below === 0 || existsSync(join(directory, first))) return
  writeWhole(join(directory, prunedName), Buffer.from(`${below}\n`))
}

function writeSnapshots({ snapshots }: ExportOptions, directory: string, size: number): void {
  for (const each of snapshots?.sizes() ?? []) {
    const path = join(directory, snapshotsName, String(each))
    const text = each > size || existsSync(path) ? undefined : snapshots?.read(each)
    if (text !== undefined) writeWhole(path, Buffer.from(text))
  }
  if (existsSync(join(directory, snapshotsName))) syncDirectory(join(directory, snapshotsName))
}

/** A file under its name has all of its bytes; what an interrupted export left is replaced. */
function writeWhole(path: string, bytes: Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true })
  writeSynced(`${path}.new`, bytes, { flag: 'w', mode: 0o644 })
  renameSync(`${path}.new`, path)
}
