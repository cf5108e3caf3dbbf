// The room in the spool: how much there is for new files, and that it comes back. Chunks that no
// job and no tranche keeps any more are a cache; when the spool is half full, those that nobody
// asked about for a while go.

import { statfs } from 'node:fs/promises'
import type { Tables } from '../protocol/base/tables.ts'
import { clock } from './clock.ts'
import { get } from './local/tables.ts'
import type { ChunkStore } from './staging/chunk-store.ts'
import { freeBytesMinDefault } from './staging/workspace.ts'

/** So long a chunk that nobody keeps can be counted on, as between its upload and the submit. */
export const chunkGraceMs = 10 * 60_000
const collectEveryMs = 60_000

export interface SpoolRoom {
  /** What new files may take, by the spool's bound and by the disk. */
  bytesFree(): Promise<number>
}

export function spoolRoom(
  options: { readonly directory: string; readonly bytesMax: number; readonly chunks: ChunkStore },
): SpoolRoom {
  const { directory, bytesMax, chunks } = options
  let collectedMs = -collectEveryMs
  return {
    async bytesFree() {
      const now = clock.monotonicMs()
      if (chunks.usage().bytes * 2 > bytesMax && now - collectedMs >= collectEveryMs) {
        collectedMs = now
        await chunks.gc()
      }
      const { bavail, bsize } = await statfs(directory)
      const onDisk = bavail * bsize - freeBytesMinDefault
      return Math.max(0, Math.min(onDisk, bytesMax - chunks.usage().bytes))
    },
  }
}

/** Lets go of chunks whose job or tranche is not on record: what a crash has left. */
export async function releaseOrphans(tables: Tables, chunks: ChunkStore): Promise<void> {
  for (const owner of await chunks.owners()) {
    const [kind, id = ''] = owner.split('-')
    const job = get(tables, 'jobs', id)
    const isKept = kind === 'job' ? job !== undefined && job.state.kind !== 'ended'
      : kind === 'result' ? job !== undefined
      : kind === 'stage' || kind === 'out' ? get(tables, 'hostTranches', id) !== undefined : true
    if (!isKept) await chunks.release(owner)
  }
}
