// This site's own log as others may see it while the node runs: heads that are signed, tiles,
// entries and proofs, read from the database.
//
// Invariants: a head is signed only once it is on the disk and the mark (node/store/mark.ts) has
// been raised to it, one at a time, so that the mark never falls; one size is signed once; nothing
// beyond the newest head that was signed is handed out; a node in quarantine signs nothing.

import type { KeyPair } from '../../protocol/base/crypto.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { assert } from '../../protocol/base/assert.ts'
import { formatCheckpoint, parseCheckpoint } from '../../protocol/base/checkpoint.ts'
import { withSignatureLines } from '../../protocol/base/cosignature.ts'
import {
  consistencyProof, frontierAt, inclusionProof, root,
} from '../../protocol/base/merkle.ts'
import type { OpenNote } from '../../protocol/base/note.ts'
import { parseNote, signNote, verifyNote } from '../../protocol/base/note.ts'
import type { Tile } from '../../protocol/base/tiles.ts'
import { parseTilePath, tileWidth } from '../../protocol/base/tiles.ts'
import { formatTlogProof } from '../../protocol/base/tlog-proof.ts'
import type { LedgerHead } from '../../protocol/rules/ledger-book.ts'
import { entryKey } from '../../protocol/rules/ledger-book.ts'
import { logOrigin } from '../../protocol/rules/statement.ts'
import type { Store } from '../store/level.ts'
import { prunedName, snapshotsName } from '../store/ledger-export.ts'
import { prunedBelow, readTile, withNodes } from '../store/log-tiles.ts'
import { markOf, raiseMarkTo, readMark } from '../store/mark.ts'
import { StoreError } from '../store/store-error.ts'
import type { SnapshotFiles } from './snapshot-files.ts'

export interface LiveLogParts {
  readonly store: Pick<Store, 'get' | 'range'>
  readonly logKey: KeyPair
  readonly markPath: string
  /** Why this node must say nothing; undefined while it may. Asked before each signature. */
  quarantined(): string | undefined
  /** Signature lines of witnesses for a head of this size, whose text they are of. */
  cosignatures?(head: { readonly size: number, readonly text: string }): readonly string[]
  readonly snapshots?: Pick<SnapshotFiles, 'sizes' | 'read'>
}

/** A head that may leave this site. */
export interface SignedHead {
  readonly head: LedgerHead
  /** The checkpoint with the log's signature, and cosignatures as far as they are known. */
  readonly note: string
}

export interface LogFile {
  readonly kind: 'checkpoint' | 'text' | 'tile' | 'entries'
  readonly bytes: Uint8Array
}

/** Everything may throw a StoreError: CORRUPT, STORE_FAILED; signing also QUARANTINE, DISK_FULL. */
export interface LiveLog {
  readonly self: SiteName
  readonly origin: string
  /** The newest head that is on the disk. */
  headAt(): Promise<LedgerHead>
  /** The newest head, signed; the mark is raised before. */
  checkpoint(): Promise<SignedHead>
  /** Leaves below which others may know this log: the size of the newest head that was signed. */
  sizeShown(): number
  /** The leaf, a signed note; undefined beyond the end or when it was pruned. */
  entry(index: number): Promise<string | undefined>
  /** Of the statement with that number, by its key in the book. */
  indexOf(number: string): Promise<number | undefined>
  /** Sizes here and below are at most that of `headAt`: the caller has compared. */
  rootAt(size: number): Promise<Uint8Array>
  inclusionProof(at: { readonly index: number, readonly size: number }): Promise<Uint8Array[]>
  consistencyProof(at: { readonly from: number, readonly to: number }): Promise<Uint8Array[]>
  /** Undefined for what no signed head of this log has. */
  tile(tile: Tile): Promise<Uint8Array | undefined>
  /**
   * `checkpoint`, `tile/…` or `tile/entries/…`, as tlog-tiles names them; of a log whose first
   * entries were pruned also `pruned` and `snapshot/<size>`.
   */
  file(path: string): Promise<LogFile | undefined>
  /**
   * A tlog-proof of the entry, under the newest head or under an older one of this log (which may
   * have more cosignatures). Undefined when that head does not have the entry.
   */
  receipt(index: number, under?: string): Promise<string | undefined>
}

const checkpointBytesMax = 16 * 1024
/** What a peer takes of one file. */
const textBytesMax = 4 * 1024 * 1024

/** Throws a StoreError: CORRUPT when there is no ledger or the mark is damaged. */
export async function openLiveLog(parts: LiveLogParts): Promise<LiveLog> {
  const { store } = parts
  const first = await readHead(store)
  const origin = originOf(first)
  const signing = openSigning(parts, origin)
  const live: LiveLog = {
    self: first.site,
    origin,
    headAt: () => readHead(store),
    checkpoint: () => signing.newest(),
    sizeShown: () => signing.sizeShown(),
    async entry(index) {
      const note = await store.get('ledgerEntries', entryKey(index))
      return typeof note === 'string' ? note : undefined
    },
    async indexOf(number) {
      const index = await store.get('ledgerNumbers', number)
      return typeof index === 'number' ? index : undefined
    },
    rootAt: (size) => withNodes(store, (nodeAt) => root(frontierAt(size, nodeAt))),
    inclusionProof: ({ index, size }) =>
      withNodes(store, (nodeAt) => inclusionProof(index, size, nodeAt)),
    consistencyProof: ({ from, to }) =>
      withNodes(store, (nodeAt) => consistencyProof(from, to, nodeAt)),
    async tile(tile) {
      return isWithin(tile, signing.sizeShown()) ? readTile(store, tile) : undefined
    },
    async file(path) {
      if (path === 'checkpoint') {
        const { note } = await signing.newest()
        return { kind: 'checkpoint', bytes: Buffer.from(note) }
      }
      const text = await textFile(parts, path)
      if (text !== undefined) return { kind: 'text', bytes: Buffer.from(text) }
      const tile = parseTilePath(path)
      const bytes = tile && await live.tile(tile)
      return bytes && { kind: tile.level === 'entries' ? 'entries' : 'tile', bytes }
    },
    async receipt(index, under) {
      const note = openOwn(parts, origin, under ?? (await signing.newest()).note)
      const { size } = note.checkpoint
      if (!Number.isSafeInteger(index) || index < 0 || index >= size) return undefined
      const hashes = await live.inclusionProof({ index, size })
      return formatTlogProof({ index, hashes, note: note.open })
    },
  }
  return live
}

/** What a reader of a pruned log begins with: texts that are no part of tlog-tiles. */
async function textFile(
  { store, snapshots }: LiveLogParts, path: string,
): Promise<string | undefined> {
  const below = path === prunedName || path.startsWith(`${snapshotsName}/`)
    ? await prunedBelow(store) : 0
  if (below === 0) return undefined
  if (path === prunedName) return `${below}\n`
  const size = Number(path.slice(snapshotsName.length + 1))
  const text = snapshots?.sizes().includes(size) ? snapshots.read(size) : undefined
  return text !== undefined && text.length <= textBytesMax ? text : undefined
}

interface Signing {
  newest(): Promise<SignedHead>
  sizeShown(): number
}

function openSigning(parts: LiveLogParts, origin: string): Signing {
  const { logKey, markPath } = parts
  const marked = readMark(markPath)
  let shown = marked?.origin === origin ? marked.size : 0
  let last: { readonly head: LedgerHead, readonly text: string, readonly note: string } | undefined
  let tail: Promise<unknown> = Promise.resolve()

  /** Public statements raise the mark themselves, perhaps while an older head was being read. */
  const newestHead = async (): Promise<LedgerHead> => {
    for (let head = await readHead(parts.store); ;) {
      const mark = readMark(markPath)
      if (mark?.origin !== origin || mark.size <= head.frontier.size) return head
      const again = await readHead(parts.store)
      if (again.frontier.size === head.frontier.size) return again
      head = again
    }
  }
  const sign = async (): Promise<SignedHead> => {
    refuseQuarantined(parts)
    const head = await newestHead()
    if (originOf(head) !== origin) {
      throw new StoreError('QUARANTINE', `the log is ${originOf(head)} and not ${origin} any more; `
        + 'start the node again')
    }
    const { size } = head.frontier
    if (last?.head.frontier.size !== size) {
      const text = formatCheckpoint({ origin, size, rootHash: root(head.frontier) })
      // Asked again, because reading took its time.
      refuseQuarantined(parts)
      raiseMarkTo(markPath, markOf(head))
      last = { head, text, note: signNote(text, { name: origin, key: logKey }) }
      shown = Math.max(shown, size)
    }
    refuseQuarantined(parts)
    const lines = parts.cosignatures?.({ size, text: last.text }) ?? []
    return { head: last.head, note: cosigned(last.note, lines) }
  }
  return {
    newest() {
      const turn = tail.then(sign)
      tail = turn.catch(() => undefined)
      return turn
    },
    sizeShown: () => shown,
  }
}

function cosigned(note: string, lines: readonly string[]): string {
  if (lines.length === 0) return note
  const whole = withSignatureLines(note, lines)
  assert(whole.ok, 'cosignatures that are kept are signature lines')
  return whole.value
}

function refuseQuarantined({ quarantined }: LiveLogParts): void {
  const why = quarantined()
  if (why !== undefined) {
    throw new StoreError('QUARANTINE', `this node signs no checkpoint: ${why}`)
  }
}

/** A checkpoint of this very log, as it or an earlier run signed it. */
function openOwn(
  { logKey }: LiveLogParts, origin: string, note: string,
): { readonly open: OpenNote, readonly checkpoint: { readonly size: number } } {
  const open = parseNote(note, { bytesMax: checkpointBytesMax })
  const checkpoint = open.ok ? parseCheckpoint(open.value.text) : open
  assert(open.ok && checkpoint.ok && verifyNote(open.value, {
    name: origin, publicKey: logKey.publicKey,
  }), `a receipt stands under a head that ${origin} signed`)
  return { open: open.value, checkpoint: checkpoint.value }
}

async function readHead(store: Pick<Store, 'get'>): Promise<LedgerHead> {
  const head = await store.get('ledgerHead', 'head') as LedgerHead | undefined
  if (!head) throw new StoreError('CORRUPT', 'the database has no ledger')
  return head
}

function originOf({ site, federation, epoch }: LedgerHead): string {
  return logOrigin(site, federation, epoch)
}

/** Whether a tree of `size` has every node or entry of the tile. */
function isWithin({ level, index, width }: Tile, size: number): boolean {
  let count = size
  for (let at = 0; level !== 'entries' && at < level; at++) {
    count = (count - (count % tileWidth)) / tileWidth
  }
  return index * tileWidth + width <= count
}
