// What a home does for a job: take in what was submitted, fetch each task's results from its host,
// let go of the inputs at the end.

import type { Hash, JobId } from '../protocol/base/ids.ts'
import { parseHash } from '../protocol/base/ids.ts'
import type { Effect } from '../protocol/machine/effects.ts'
import { chunksOf } from '../protocol/rules/stage.ts'
import type { Loop } from './loop.ts'
import type { Network } from './net/door.ts'
import { messageOf } from './problem.ts'
import type { Report } from './report.ts'
import type { ChunkStore } from './staging/chunk-store.ts'
import { StagingError } from './staging/staging-error.ts'
import { loadTree } from './staging/stored-tree.ts'
import { fetchTree } from './staging/transfer.ts'
import type { TransferProgress } from './staging/transfer.ts'

export interface HomeParts {
  readonly site: string
  readonly loop: Loop
  readonly network: Network
  readonly store: ChunkStore
  readonly report: Report
  onProgress(job: JobId, site: string, progress: TransferProgress): void
}

type TakeResult = Extract<Effect, { kind: 'takeResult' }>

export function inputsOwner(job: string): string {
  return `job-${job}`
}

export function resultOwner(job: string, task: number): string {
  return `result-${job}-${task}`
}

/** How many chunks of the inputs are not here; with none missing they are kept for the job. */
export async function keepInputs(store: ChunkStore, job: string, inputs: Hash): Promise<number> {
  const { manifest, packing } = await loadTree(store, inputs)
  const chunks = chunksOf(manifest)
  const missing = await store.missing(chunks)
  if (missing.size === 0) await store.retain(inputsOwner(job), [...chunks.keys(), ...packing])
  return missing.size
}

export async function takeResult(
  parts: HomeParts, effect: TakeResult, signal: AbortSignal,
): Promise<void> {
  const { job, task, tranche, host } = effect
  const named = { job, task, tranche }
  const treeHash = parseHash(effect.tree)
  if (!treeHash) return
  const owner = resultOwner(job, task)
  try {
    if (host === parts.site) {
      const { manifest, packing } = await loadTree(parts.store, treeHash)
      await parts.store.retain(owner, [...chunksOf(manifest).keys(), ...packing])
    } else {
      await fetchTree({
        source: { fetch: (header, stop) => parts.network.fetch(host, header, stop) },
        scope: `out/${tranche}/${task}`,
        treeHash,
        store: parts.store,
        owner,
        signal,
        onProgress: (progress) => parts.onProgress(job, host, progress),
      })
    }
    parts.loop.push({ kind: 'resultTaken', ...named })
  } catch (error) {
    if (signal.aborted) return
    const detail = messageOf(error)
    parts.report.warn('fetching results failed', { ...named, host, error: detail })
    const here = error instanceof StagingError && error.code === 'SPOOL_FULL'
    parts.loop.push({ kind: 'resultFailed', ...named, here, detail })
  }
}

/** With the job's end its inputs, with the end of its record its results too. */
export async function releaseInputs(parts: HomeParts, job: JobId): Promise<void> {
  await parts.store.release(inputsOwner(job))
  if (parts.loop.tables.get('jobs')?.has(job)) return
  for (const owner of await parts.store.owners()) {
    if (owner.startsWith(`result-${job}-`)) await parts.store.release(owner)
  }
}
