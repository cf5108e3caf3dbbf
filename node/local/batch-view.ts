// What the batch commands ask for: all jobs with all their tasks in one answer, and the tree that a
// task left, by which its changes are brought back to where the job was submitted from.
//
// Invariant: of a tree that a host made only what the job promised as outputs is shown, as with the
// results (job-results.ts).

import { sha256Hex } from '../../protocol/base/crypto.ts'
import type { JobId } from '../../protocol/base/ids.ts'
import { parseHash } from '../../protocol/base/ids.ts'
import type { Outcome } from '../../protocol/base/outcome.ts'
import { limits } from '../../protocol/base/limits.ts'
import { ok, refuse } from '../../protocol/base/outcome.ts'
import {
  commonRanges, formatRanges, parseRanges, rangesOf, subtractRanges,
} from '../../protocol/base/ranges.ts'
import type { Tables } from '../../protocol/base/tables.ts'
import { documentNow } from '../../protocol/machine/job-orders.ts'
import type { HomeTask, Job } from '../../protocol/machine/state.ts'
import { taskKey } from '../../protocol/machine/state.ts'
import type { JobDocument } from '../../protocol/rules/job.ts'
import type { Manifest, ManifestFile } from '../../protocol/rules/stage.ts'
import { matchOutputs, parseOutputPatterns } from '../../protocol/rules/stage-outputs.ts'
import type { BatchRow, ResultTree } from '../http/batch-api.ts'
import type { ApiRefusal, BatchQuery, FileStream } from '../http/local-node.ts'
import type { ChunkStore } from '../staging/chunk-store.ts'
import { loadTree } from '../staging/stored-tree.ts'
import { fileBytes } from './job-streams.ts'
import { jobSummary, taskRow } from './job-view.ts'
import { get, sorted, viewOf } from './tables.ts'

/** Jobs that are not known are left out; newest first. */
export function batchRows(tables: Tables, query: BatchQuery): BatchRow[] {
  const wanted = query.jobs && new Set<string>(query.jobs)
  const jobs = sorted(tables, 'jobs').map(([, job]) => job)
    .filter((job) => wanted?.has(job.id) ?? true)
    .filter((job) => query.state === 'all' || job.state.kind !== 'ended')
    .filter((job) => query.user === undefined || job.user === query.user)
    .sort((a, b) => b.submittedEpochMs - a.submittedEpochMs)
    .slice(0, query.limit)
  const all = sorted(tables, 'homeTasks').map(([, task]) => task)
  const tasks = Map.groupBy(all, ({ job }) => job)
  return jobs.map((job) => batchRow(tables, job, tasks.get(job.id) ?? []))
}

function batchRow(tables: Tables, job: Job, tasks: readonly HomeTask[]): BatchRow {
  const document = documentNow(viewOf(tables), job.id)!
  const placed = tasks.filter(({ state }) => state !== 'waiting')
  const all = parseRanges(document.tasks, { last: limits.taskNumberMax }) ?? []
  const unplaced = subtractRanges(all, rangesOf(placed.map(({ task }) => task)))
  const onHold = commonRanges(unplaced, get(tables, 'jobOrders', job.id)?.held ?? [])
  const parked = subtractRanges(commonRanges(unplaced, job.parked), onHold)
  return {
    ...jobSummary(tables, job, tasks),
    array: document.array === 1,
    waiting: formatRanges(subtractRanges(subtractRanges(unplaced, onHold), parked)),
    parked: formatRanges(parked),
    onHold: formatRanges(onHold),
    cores: document.cores,
    memoryMib: document.memory_mib,
    walltimeSeconds: document.walltime_seconds,
    gpus: document.gpus ?? 0,
    nodes: document.chunks?.reduce((sum, { nodes }) => sum + nodes, 0) ?? 1,
    priority: document.priority ?? 1_024,
    queue: document.queue ?? '',
    project: document.project ?? '',
    seenAt: document.seen_at ?? '',
    taskRows: placed.map(taskRow),
  }
}

/** Names a file's content: hashes of its chunks, hashed together. */
function digestOf(file: ManifestFile): string {
  return sha256Hex(file.chunks.join(','))
}

export interface TreeParts {
  readonly tables: Tables
  readonly chunks: ChunkStore
}

/** @throws CHUNK_MISSING, TREE_REFUSED */
export async function resultTree(
  parts: TreeParts, job: JobId, number: number,
): Promise<Outcome<ResultTree, ApiRefusal>> {
  const tree = await promisedTree(parts, job, number)
  if (!tree.ok) return tree
  const { files, directories } = tree.value
  return ok({
    files: files.map((file) => ({
      path: file.path,
      sizeBytes: file.sizeBytes,
      executable: file.executable === 1,
      digest: digestOf(file),
    })),
    directories,
  })
}

/** @throws CHUNK_MISSING, TREE_REFUSED */
export async function treeFile(
  parts: TreeParts, job: JobId, { task, path }: { readonly task: number; readonly path: string },
): Promise<Outcome<FileStream, ApiRefusal>> {
  const tree = await promisedTree(parts, job, task)
  if (!tree.ok) return tree
  const file = tree.value.files.find((one) => one.path === path)
  if (!file) return refuse({ reason: 'not_found', detail: `task ${task} left no file ${path}` })
  return ok({ sizeBytes: file.sizeBytes, bytes: fileBytes(parts.chunks, file) })
}

async function promisedTree(
  { tables, chunks }: TreeParts, job: JobId, number: number,
): Promise<Outcome<Manifest, ApiRefusal>> {
  const task = get(tables, 'homeTasks', taskKey(job, number))
  const { document } = get(tables, 'jobNotes', job)!
  const over = task && ['done', 'failed', 'cancelled'].includes(task.state)
  if (!over) {
    return refuse({ reason: 'conflict', detail: `task ${number} of job ${job} has not ended` })
  }
  const tree = parseHash(task.report?.tree ?? '')
  if (!tree) {
    return refuse({ reason: 'not_found', detail: `task ${number} of job ${job} left no results` })
  }
  return ok(promised(document, (await loadTree(chunks, tree)).manifest))
}

const streams: ReadonlySet<string> = new Set(['stdout', 'stderr'])

function promised(document: JobDocument, { files, directories }: Manifest): Manifest {
  const patterns = parseOutputPatterns(document.outputs)
  const taken = matchOutputs(patterns.ok ? patterns.value : [], {
    files: files.map(({ path }) => path), directories,
  })
  const kept = new Set(taken.files)
  return {
    files: files.filter(({ path }) => streams.has(path) || kept.has(path)),
    directories: taken.directories,
  }
}
