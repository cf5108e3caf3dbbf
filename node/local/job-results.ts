// The files that a job left, as its owner may have them.
//
// Invariant: what the owner gets are the job's promised outputs and what it printed, and nothing
// else, whatever a host put into the tree: no result becomes somebody's .profile.

import type { Tables } from '../../protocol/base/tables.ts'
import { parseHash } from '../../protocol/base/ids.ts'
import type { Job } from '../../protocol/machine/state.ts'
import type { JobDocument } from '../../protocol/rules/job.ts'
import type { ManifestFile } from '../../protocol/rules/stage.ts'
import { matchOutputs, parseOutputPatterns } from '../../protocol/rules/stage-outputs.ts'
import type { ChunkStore } from '../staging/chunk-store.ts'
import { loadTree } from '../staging/stored-tree.ts'
import { tasksOf } from './job-view.ts'
import { get } from './tables.ts'

export interface JobResult {
  /** With the task's number before it when the job is an array. */
  readonly path: string
  readonly file: ManifestFile
}

const streams: ReadonlySet<string> = new Set(['stdout', 'stderr'])

/** @throws CHUNK_MISSING, TREE_REFUSED */
export async function resultFiles(
  tables: Tables, store: ChunkStore, job: Job,
): Promise<JobResult[]> {
  const { document } = get(tables, 'jobNotes', job.id)!
  const results: JobResult[] = []
  for (const task of tasksOf(tables, job.id)) {
    const over = task.state === 'done' || task.state === 'failed' || task.state === 'cancelled'
    const tree = over ? parseHash(task.report?.tree ?? '') : undefined
    if (!tree) continue
    const { manifest } = await loadTree(store, tree)
    const prefix = document.array === 1 ? `${task.task}/` : ''
    for (const file of promised(document, manifest.files)) {
      results.push({ path: prefix + file.path, file })
    }
  }
  return results
}

function promised(document: JobDocument, files: readonly ManifestFile[]): ManifestFile[] {
  const patterns = parseOutputPatterns(document.outputs)
  const paths = files.map(({ path }) => path)
  const taken = new Set(patterns.ok
    ? matchOutputs(patterns.value, { files: paths, directories: [] }).files : [])
  return files.filter(({ path }) => streams.has(path) || taken.has(path))
}
