// Streams over a job: its events while somebody waits, and the output of a task, live from its host
// or from the results once they are here.

import { decode, encode } from '../../protocol/base/encoding.ts'
import { fromBase64 } from '../../protocol/base/crypto.ts'
import type { Hash, JobId } from '../../protocol/base/ids.ts'
import { parseHash } from '../../protocol/base/ids.ts'
import type { Tables } from '../../protocol/base/tables.ts'
import type { HomeTask } from '../../protocol/machine/state.ts'
import { taskKey } from '../../protocol/machine/state.ts'
import type { ManifestFile } from '../../protocol/rules/stage.ts'
import { clock } from '../clock.ts'
import type { JobEvent } from '../http/api.ts'
import type { ChunkStore } from '../staging/chunk-store.ts'
import { loadTree } from '../staging/stored-tree.ts'
import { jobSummary } from './job-view.ts'
import { get } from './tables.ts'
import type { Watchers } from './watchers.ts'

const transferGapMs = 100
const queueMax = 1_000

/** State changes as they happen, transfers at a readable pace, then one `end`. */
export async function* jobEvents(
  tables: Tables, watchers: Watchers, id: JobId, signal: AbortSignal,
): AsyncGenerator<JobEvent, void, undefined> {
  const queue: JobEvent[] = []
  let wake: (() => void) | undefined
  let dirty = true
  const stop = watchers.watch(id, (event) => {
    if (event && queue.length < queueMax) queue.push(event)
    else dirty = true
    wake?.()
  })
  const aborted = (): void => wake?.()
  signal.addEventListener('abort', aborted)
  const seen = new Set<string>()
  let last = ''
  try {
    while (!signal.aborted) {
      while (queue.length > 0) yield queue.shift()!
      if (dirty) {
        dirty = false
        const job = get(tables, 'jobs', id)
        if (!job) return
        for (const event of awardsOf(tables, id, seen)) yield event
        const summary = jobSummary(tables, job)
        const text = JSON.stringify(summary)
        if (job.state.kind === 'ended') return yield { kind: 'end', summary }
        if (text !== last) yield { kind: 'state', summary }
        last = text
        continue
      }
      await new Promise<void>((resolve) => (wake = resolve))
      wake = undefined
    }
  } finally {
    stop()
    signal.removeEventListener('abort', aborted)
  }
}

function* awardsOf(tables: Tables, id: JobId, seen: Set<string>): Iterable<JobEvent> {
  for (const contract of get(tables, 'jobs', id)?.contracts ?? []) {
    const record = get(tables, 'homeContracts', contract)
    for (const tranche of record?.tranches ?? []) {
      const paid = get(tables, 'homeTranches', tranche)
      if (!paid || seen.has(tranche)) continue
      seen.add(tranche)
      const tasks = paid.tasks.map(([a, b]) => (a === b ? `${a}` : `${a}-${b}`)).join(',')
      yield { kind: 'award', site: paid.host, contract, tasks }
    }
  }
}

/** Passes progress on, but not more often than anybody can read; the last word always. */
export function paced(
  tell: (job: JobId, event: JobEvent) => void,
): (job: JobId, event: Extract<JobEvent, { kind: 'transfer' }>) => void {
  let last = 0
  return (job, event) => {
    const now = clock.monotonicMs()
    if (event.bytesDone < event.bytesTotal && now - last < transferGapMs) return
    last = now
    tell(job, event)
  }
}

export interface LogParts {
  readonly tables: Tables
  readonly site: string
  readonly store: ChunkStore
  peekLocal(task: HomeTask, request: string): Promise<string>
  peekRemote(task: HomeTask, request: string, signal: AbortSignal): Promise<string>
}

export interface LogAsked {
  readonly job: JobId
  readonly task: number
  readonly stream: 'stdout' | 'stderr'
  readonly follow: boolean
  /** From which byte on; from the beginning when left out. */
  readonly offset?: number
}

const followMs = 250

/** A task's output from its beginning; with `follow` until the task has ended. */
export async function* taskLog(
  parts: LogParts, asked: LogAsked, signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  let offset = asked.offset ?? 0
  let tranche = ''
  while (!signal.aborted) {
    const task = get(parts.tables, 'homeTasks', taskKey(asked.job, asked.task))
    const job = get(parts.tables, 'jobs', asked.job)
    if (!job) return
    if (task && isHere(task)) {
      yield* fromResults(parts.store, task, { stream: asked.stream, offset })
      return
    }
    // A task that is placed again prints from its beginning.
    if (task && task.tranche !== tranche) {
      if (tranche !== '') offset = 0
      tranche = task.tranche
    }
    const peeked = task && task.state !== 'waiting'
      ? await peek(parts, task, { stream: asked.stream, offset }, signal) : undefined
    if (peeked && peeked.length > 0) {
      offset += peeked.length
      yield peeked
      continue
    }
    const over = job.state.kind === 'ended' || (task !== undefined && isOver(task))
    if (!asked.follow || over) return
    await clock.sleep(followMs, signal).catch(() => undefined)
  }
}

function isHere(task: HomeTask): boolean {
  return isOver(task) && (task.report?.tree ?? '') !== ''
}

function isOver(task: HomeTask): boolean {
  return task.state === 'done' || task.state === 'failed' || task.state === 'cancelled'
}

async function peek(
  parts: LogParts,
  task: HomeTask,
  { stream, offset }: { stream: 'stdout' | 'stderr'; offset: number },
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  const request = encode({ tranche: task.tranche, task: task.task, stream, offset })
  try {
    const answer = task.host === parts.site
      ? await parts.peekLocal(task, request) : await parts.peekRemote(task, request, signal)
    const value = decode(answer, { bytesMax: 1024 * 1024 })
    const said = value.ok ? (value.value as { kind?: unknown; bytes?: unknown }) : {}
    return said.kind === 'peeked' && typeof said.bytes === 'string'
      ? fromBase64(said.bytes) : undefined
  } catch {
    // The host cannot be reached now: a follower waits, as for a job that prints nothing.
    return undefined
  }
}

async function* fromResults(
  store: ChunkStore, task: HomeTask, { stream, offset }: { stream: string; offset: number },
): AsyncGenerator<Uint8Array, void, undefined> {
  const tree = parseHash(task.report?.tree ?? '')
  const file = tree && (await loadTree(store, tree)).manifest.files
    .find(({ path }) => path === stream)
  if (file) yield* fileBytes(store, file, offset)
}

/** A file's bytes from `offset` on. */
export async function* fileBytes(
  store: ChunkStore, file: ManifestFile, offset = 0,
): AsyncGenerator<Uint8Array, void, undefined> {
  let at = 0
  for (const hash of file.chunks as readonly Hash[]) {
    const bytes = await store.read(hash)
    if (!bytes) throw new Error(`chunk ${hash} of ${file.path} is damaged or gone from the spool`)
    if (at + bytes.length > offset) yield bytes.subarray(Math.max(0, offset - at))
    at += bytes.length
  }
}
