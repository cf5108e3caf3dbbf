// Two sites for staging tests: each a chunk store and job directories of its own, joined by the
// real code of both ends without a network between them. The wire is counted and can be cut or
// falsified.

import { randomFillSync } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { ChunkStore, ChunkStoreOptions } from '../../node/staging/chunk-store.ts'
import { openChunkStore } from '../../node/staging/chunk-store.ts'
import { decodeRequest } from '../../node/staging/frames.ts'
import { serve } from '../../node/staging/serve.ts'
import type { ChunkSource } from '../../node/staging/transfer.ts'
import type { Workspace } from '../../node/staging/workspace.ts'
import { openWorkspace } from '../../node/staging/workspace.ts'
import type { Hash, TrancheId } from '../../protocol/base/ids.ts'
import type { Context } from '../harness.ts'

export const MiB = 1024 * 1024
export const tranche = '0123456789abcdef' as TrancheId

export interface Site {
  readonly directory: string
  readonly store: ChunkStore
  readonly workspace: Workspace
}

export async function openSite(
  ctx: Context, options: Partial<ChunkStoreOptions> = {},
): Promise<Site> {
  const directory = ctx.tmp()
  const store = await openChunkStore({ directory, bytesMax: 1024 * MiB, ...options })
  const workspace = await openWorkspace({ spool: join(directory, 'jobs'), store, freeBytesMin: 0 })
  ctx.after(() => workspace.close())
  return { directory, store, workspace }
}

/** Writes files (path → content) below `root`; a content of `null` makes a directory. */
export function plant(
  root: string, files: Readonly<Record<string, string | Uint8Array | null>>,
): void {
  for (const [path, content] of Object.entries(files)) {
    const full = join(root, path)
    mkdirSync(content === null ? full : dirname(full), { recursive: true })
    if (content !== null) writeFileSync(full, content)
  }
}

export function randomBytes(count: number): Buffer {
  return randomFillSync(Buffer.allocUnsafe(count))
}

export interface Wire extends ChunkSource {
  bytes: number
  /** Each chunk asked for, in order. */
  readonly asked: Hash[]
}

export interface Mischief {
  /** Breaks every stream after so many bytes in all. */
  readonly cutAfterBytes?: number
  /** Changes a piece on its way. */
  readonly falsify?: (piece: Uint8Array) => Uint8Array
  /** Pieces are cut to this length. */
  readonly pieceBytes?: number
  readonly allowed?: (scope: string, hash: Hash) => boolean
  readonly before?: () => Promise<void>
}

export function wireTo(store: ChunkStore, mischief: Mischief = {}): Wire {
  const { cutAfterBytes = Infinity, falsify, pieceBytes = 64 * 1024, before } = mischief
  const allowed = mischief.allowed ?? (() => true)
  const wire: Wire = {
    bytes: 0,
    asked: [],
    async *fetch(header, signal) {
      await before?.()
      wire.asked.push(...decodeRequest(header).hashes)
      for await (const part of serve({ header, store, allowed, signal })) {
        const sent = falsify ? falsify(part) : part
        for (let at = 0; at < sent.length; at += pieceBytes) {
          const piece = sent.subarray(at, at + pieceBytes)
          if (wire.bytes + piece.length > cutAfterBytes) throw new Error('the line went dead')
          wire.bytes += piece.length
          yield piece
        }
      }
    },
  }
  return wire
}
