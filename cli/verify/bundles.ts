// The entries of an exported log in their order, a bundle at a time, read ahead by one.

import { limits } from '../../protocol/base/limits.ts'
import { decodeBundle, tilePath, tileWidth } from '../../protocol/base/tiles.ts'
import type { LogFiles } from './log-files.ts'

export type Bundle =
  | {
    readonly kind: 'entries'
    /** Of the first entry. */
    readonly index: number
    /** The whole bundle, of which the entries are parts. */
    readonly bytes: Uint8Array
    readonly entries: readonly Uint8Array[]
  }
  /** The entries from `index` on cannot be read. */
  | { readonly kind: 'unreadable', readonly index: number, readonly detail: string }

const bundleBytesMax = tileWidth * (2 + limits.statementBytes)

/** The entries of a log of `size`, up to the first bundle that cannot be read. */
export async function* bundlesOf(
  files: LogFiles, size: number, from = 0,
): AsyncGenerator<Bundle, undefined> {
  let next = from < size ? readBundle(files, size, from) : undefined
  for (let index = from; next; index += tileWidth) {
    const bundle = await next
    next = index + tileWidth < size && bundle.kind === 'entries'
      ? readBundle(files, size, index + tileWidth)
      : undefined
    // Whoever stops early does not wait for it.
    next?.catch(() => undefined)
    yield bundle
  }
}

async function readBundle(files: LogFiles, size: number, index: number): Promise<Bundle> {
  const width = Math.min(tileWidth, size - index)
  const path = tilePath({ level: 'entries', index: index / tileWidth, width })
  const bytes = await files.read(path, bundleBytesMax)
  if (!bytes) return { kind: 'unreadable', index, detail: `the file ${path} is missing` }
  const bundle = decodeBundle(bytes, width)
  if (!bundle.ok) {
    return { kind: 'unreadable', index, detail: `${path}: ${bundle.refusal.detail}` }
  }
  return { kind: 'entries', index, bytes, entries: bundle.value }
}
