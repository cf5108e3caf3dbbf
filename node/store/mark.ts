// The high-water mark: what this site has told others its log is, in a file outside the database. A
// database that comes back older than its mark (a restored backup, a lost disk write) would make an
// honest site contradict itself, so it must not go on: QUARANTINE.
// Invariant: the mark is on the disk before the checkpoint that it names leaves the site.

import { readFileSync, renameSync } from 'node:fs'
import { dirname } from 'node:path'
import { fromHex, sameBytes, sha256Hex, toHex } from '../../protocol/base/crypto.ts'
import { decode, encode } from '../../protocol/base/encoding.ts'
import { frontierAt, root } from '../../protocol/base/merkle.ts'
import { hash, hex, integer, record, shaped, text } from '../../protocol/base/shape.ts'
import type { LedgerHead } from '../../protocol/rules/ledger-book.ts'
import { nodeKey } from '../../protocol/rules/ledger-book.ts'
import { logOrigin } from '../../protocol/rules/statement.ts'
import type { Store } from './level.ts'
import { StoreError, storeError } from './store-error.ts'
import { syncDirectory, writeSynced } from './synced-file.ts'

/** In the data directory, beside the database. */
export const markName = 'ledger.mark'

/** A head that was shown to somebody. */
export interface Mark {
  readonly origin: string
  readonly size: number
  /** 64 hexadecimal digits. */
  readonly root: string
}

const markShape = record({
  origin: text({ bytesMax: 255 }),
  size: integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  root: hex({ bytes: 32 }),
  check: hash(),
})
const markBytesMax = 1_024

export function markOf(head: LedgerHead): Mark {
  const { site, federation, epoch, frontier } = head
  return {
    origin: logOrigin(site, federation, epoch),
    size: frontier.size,
    root: toHex(root(frontier)),
  }
}

/** Makes the mark durable; call it after the commit and before the checkpoint leaves. */
export function raiseMark(path: string, mark: Mark): void {
  const { origin, size, root: rootHash } = mark
  const text = encode({ origin, size, root: rootHash, check: checkOf(mark) })
  const fresh = `${path}.new`
  try {
    writeSynced(fresh, Buffer.from(text), { flag: 'w', mode: 0o600 })
    renameSync(fresh, path)
    syncDirectory(dirname(path))
  } catch (error) {
    throw storeError(error, `writing the high-water mark ${path}`)
  }
}

/** Raises the mark, unless it stands at this very head. It is never lowered. */
export function raiseMarkTo(path: string, mark: Mark): void {
  const before = readMark(path)
  if (before?.origin === mark.origin && before.size >= mark.size) {
    if (before.size === mark.size && before.root === mark.root) return
    throw new StoreError('QUARANTINE', `the mark ${path} says that ${before.size} entries of `
      + `${mark.origin} with root ${before.root} were shown to others, the database has `
      + `${mark.size} with root ${mark.root}`)
  }
  raiseMark(path, mark)
}

/** The mark; undefined when none was ever raised. Throws CORRUPT when the file is damaged. */
export function readMark(path: string): Mark | undefined {
  let content: string
  try {
    content = readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw storeError(error, `reading the high-water mark ${path}`)
  }
  const value = decode(content, { bytesMax: markBytesMax })
  const found = value.ok ? shaped(markShape, value.value) : value
  if (!found.ok || found.value.check !== checkOf(found.value)) {
    throw new StoreError('CORRUPT', `the high-water mark ${path} is damaged; ask the peers how far `
      + 'they have seen this log before going on')
  }
  const { origin, size, root: rootHash } = found.value
  return { origin, size, root: rootHash }
}

/**
 * Compares the database with its mark. Throws QUARANTINE when it has lost or changed what was
 * shown.
 */
export async function checkMark(
  path: string, store: Pick<Store, 'get'>, head: LedgerHead | undefined,
): Promise<void> {
  const mark = readMark(path)
  if (!mark) return
  const quarantine = (what: string): StoreError => new StoreError('QUARANTINE', `${what}. The `
    + 'database was restored from a backup or has lost writes. Going on would contradict what '
    + 'peers have seen, so this log stays closed. Keep a copy of the directory as it is. If the '
    + 'newest copy of db/ can still be had, put that back; otherwise begin a new epoch with what '
    + 'there is: gridnode ledger recover')
  const shown = `the mark ${path} says that ${mark.size} entries of ${mark.origin} were shown to `
    + 'others'
  if (!head) throw quarantine(`${shown}, but the database has no ledger`)
  if (markOf(head).origin !== mark.origin) {
    throw quarantine(`${shown}, but the database holds ${markOf(head).origin}`)
  }
  if (head.frontier.size < mark.size) {
    throw quarantine(`${shown}, but the database has only ${head.frontier.size}`)
  }
  const marked = fromHex(mark.root)
  if (!marked || !sameBytes(await rootAt(store, mark.size), marked)) {
    throw quarantine(`${shown}, but the first ${mark.size} entries of the database are others`)
  }
}

/** The root of the first `size` entries, from stored tree nodes. */
async function rootAt(store: Pick<Store, 'get'>, size: number): Promise<Uint8Array> {
  const wanted: string[] = []
  frontierAt(size, (level, index) => {
    wanted.push(nodeKey(level, index))
    return new Uint8Array(32)
  })
  const nodes = new Map<string, Uint8Array>()
  for (const key of wanted) {
    const node = await store.get('ledgerNodes', key)
    if (!(node instanceof Uint8Array)) {
      throw new StoreError('CORRUPT', `the tree node ${key} is missing in the database`)
    }
    nodes.set(key, node)
  }
  return root(frontierAt(size, (level, index) => nodes.get(nodeKey(level, index)) as Uint8Array))
}

function checkOf({ origin, size, root: rootHash }: Mark): string {
  return sha256Hex(`${origin}\n${size}\n${rootHash}\n`)
}
