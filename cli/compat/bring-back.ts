// What the tasks of a job changed in their copies of the directory is brought back into it, by the
// command that asks for the job and with the rights of who asks. Three sides are compared by
// content: the directory as it was sent, as the task left it, and as it is here now.
//
// Invariants: what a task did not change is not touched; what changed here meanwhile is not
// overwritten: the task's file then lies beside it, and the user is told; a file appears whole or
// not at all; nothing is written outside the directory but the output files that the user named.

import { mkdir, lstat, open, rename, rm, rmdir, utimes } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join } from 'node:path'
import { decimalOf } from '../../protocol/base/decimal-id.ts'
import { pathFault } from '../../protocol/rules/stage.ts'
import type { BatchRow, ResultTree } from '../../node/http/batch-api.ts'
import { batchPaths } from '../../node/http/batch-api.ts'
import type { Client } from '../client.ts'
import type { Context } from '../command.ts'
import { CommandFailure, failure } from '../failure.ts'
import { printable } from '../output.ts'
import type { JobRecord, Records, SentListing } from './records.ts'
import type { Share } from './share.ts'
import { digestNow, ignoreName, partPrefix, shareAt } from './share.ts'
import { streamFiles } from './stream-files.ts'

const overStates = ['done', 'failed', 'cancelled']

/**
 * Brings back all that has ended and is not back yet; gives the jobs that are whole now. What
 * cannot be brought back stays for the next command, and the user is told.
 */
export async function bringBack(
  context: Context, records: Records, rows: readonly BatchRow[],
): Promise<void> {
  const byRoot = Map.groupBy(
    rows.flatMap((row) => {
      const record = records.get(row.job)
      return record && !record.whole && hasNews(record, row) ? [{ row, record }] : []
    }),
    ({ record }) => record.root,
  )
  for (const [root, found] of byRoot) {
    const release = await records.lock(root)
    if (!release) continue
    try {
      const ordered = found.toSorted((a, b) =>
        (a.row.endedEpochMs ?? 0) - (b.row.endedEpochMs ?? 0))
      // Another process may have brought some while we waited.
      for (const { row } of ordered) await bringJob(context, records, row)
    } finally {
      release()
    }
  }
}

/** Whether all that a task left is back, so that it may be called finished. */
export function isBack(record: JobRecord | undefined, task: number): boolean {
  return record === undefined || record.whole || record.brought.includes(task)
}

function hasNews(record: JobRecord, row: BatchRow): boolean {
  return row.endedEpochMs !== undefined || row.taskRows.some(({ task, state }) =>
    overStates.includes(state) && !record.brought.includes(task))
}

async function bringJob(context: Context, records: Records, row: BatchRow): Promise<void> {
  let record = records.get(row.job)
  if (!record || record.whole) return
  const share = shareAt(record.root)
  const sent = records.listing(row.job)
  const ended = row.taskRows.filter(({ state }) => overStates.includes(state))
    .toSorted((a, b) => (a.endedEpochMs ?? 0) - (b.endedEpochMs ?? 0))
  try {
    for (const { task } of ended) {
      if (record.brought.includes(task)) continue
      await bringTask(context, { share, record, sent, row, task })
      record = { ...record, brought: [...record.brought, task] }
      records.put(record)
    }
    if (row.endedEpochMs === undefined) return
    records.put({ ...record, whole: true })
  } catch (error) {
    if (error instanceof CommandFailure && error.code === 'unreachable') throw error
    const message = error instanceof Error ? error.message : String(error)
    await tell(context, `job ${decimalOf(row.job)}: its results are not back yet: ${message}`)
  }
}

interface Task {
  readonly share: Share
  readonly record: JobRecord
  readonly sent: SentListing
  readonly row: BatchRow
  readonly task: number
}

async function bringTask(context: Context, one: Task): Promise<void> {
  const { row, task } = one
  const client = context.client()
  let tree: ResultTree
  try {
    tree = await client.get<ResultTree>(batchPaths.tree(row.job), { task })
  } catch (error) {
    // It never ran, or its results could not be had: there is nothing to bring.
    if (error instanceof CommandFailure && error.code === 'not_found') return
    throw error
  }
  const results = tree.files.filter(({ path }) => path !== 'stdout' && path !== 'stderr')
  for (const { path } of tree.files) demandPath(path)
  for (const path of tree.directories) demandPath(path)
  await writeStreams(client, one, tree)
  await mergeTree(context, one, { ...tree, files: results.toSorted(markersLast) })
}

/** What says that a task is done lies in hidden files: by then all else is there. */
function markersLast(a: { readonly path: string }, b: { readonly path: string }): number {
  const isHidden = ({ path }: { readonly path: string }): number => Number(/(^|\/)\./.test(path))
  return isHidden(a) - isHidden(b)
}

function demandPath(path: string): void {
  const fault = pathFault(path)
  if (fault) throw failure('bad_path', `the node names a result '${path}' (${fault})`)
}

async function mergeTree(context: Context, one: Task, tree: ResultTree): Promise<void> {
  const { share, row, task } = one
  const { root } = share
  const sent = new Map(one.sent.files.map(([path, digest, executable]) =>
    [path, { digest, executable }]))
  const left = new Map(tree.files.map((file) => [file.path, file]))
  // Of one moment: nothing that a task made is older than what it was made from.
  const written: string[] = []
  for (const file of tree.files) {
    const before = sent.get(file.path)
    const same = before?.digest === file.digest && (before.executable === 1) === file.executable
    if (same || staysHere(share, file.path)) continue
    const target = await placeFor(root, file.path)
    const now = target && await digestNow(target)
    if (now === file.digest && before?.digest !== file.digest) continue
    const free = target !== undefined && now === before?.digest && !(await isOther(target, now))
    const into = free ? target : await besidePath(root, file.path, row)
    if (!free) {
      await tell(context, `${join(root, file.path)} was changed here while job ` +
        `${decimalOf(row.job)} changed it too; the job's is ${into}`)
    }
    await fetchInto(context.client(), { job: row.job, task, file, into })
    written.push(into)
  }
  const moment = new Date(context.terminal.nowEpochMs())
  for (const path of written) await utimes(path, moment, moment)
  await removeGone(share, sent, left)
  await mergeDirectories(one, tree)
}

/** What no task changes: else a site could have the next job bring it what is kept from it. */
function staysHere(share: Share, path: string): boolean {
  return basename(path) === ignoreName || share.ignores(path)
}

/** What the task deleted, unless it was changed here. */
async function removeGone(
  share: Share,
  sent: ReadonlyMap<string, { readonly digest: string }>,
  left: ReadonlyMap<string, unknown>,
): Promise<void> {
  for (const [path, { digest }] of sent) {
    if (left.has(path) || path === 'stdout' || path === 'stderr') continue
    if (staysHere(share, path)) continue
    const target = await placeFor(share.root, path)
    if (target === undefined || await digestNow(target) !== digest) continue
    await rm(target, { force: true })
    await removeEmpty(share.root, dirname(path), left)
  }
}

/** Directories that the task has emptied, too, are gone. */
async function removeEmpty(
  root: string, directory: string, left: ReadonlyMap<string, unknown>,
): Promise<void> {
  for (let at = directory; at !== '.' && at !== ''; at = dirname(at)) {
    const stays = [...left.keys()].some((path) => path.startsWith(`${at}/`))
    if (stays) return
    try {
      await rmdir(join(root, at))
    } catch {
      return
    }
  }
}

async function mergeDirectories(one: Task, tree: ResultTree): Promise<void> {
  const { share: { root } } = one
  const sent = new Set(one.sent.directories)
  const left = new Set(tree.directories)
  for (const path of left) {
    if (sent.has(path)) continue
    const place = await placeFor(root, path)
    if (place !== undefined) await mkdir(place, { recursive: true }).catch(() => undefined)
  }
  const files = tree.files.map(({ path }) => path)
  for (const path of sent) {
    const stays = left.has(path) || files.some((file) => file.startsWith(`${path}/`)) ||
      [...left].some((other) => other.startsWith(`${path}/`))
    if (stays) continue
    const place = await placeFor(root, path)
    if (place !== undefined) await rmdir(place).catch(() => undefined)
  }
}

/** Its place below the root; undefined where a link or a file stands on the way. */
async function placeFor(root: string, path: string): Promise<string | undefined> {
  const names = path.split('/')
  let at = root
  for (const name of names.slice(0, -1)) {
    at = join(at, name)
    const status = await lstat(at).catch(() => undefined)
    if (status && !status.isDirectory()) return undefined
  }
  return join(root, path)
}

/** A directory, or something else that is no file, stands there. */
async function isOther(target: string, digest: string | undefined): Promise<boolean> {
  if (digest !== undefined) return false
  return (await lstat(target).catch(() => undefined)) !== undefined
}

async function besidePath(root: string, path: string, row: BatchRow): Promise<string> {
  const name = `${basename(path)}.gridnode-${decimalOf(row.job)}`
  const place = await placeFor(root, join(dirname(path), name))
  return place ?? join(root, `${path.replaceAll('/', '_')}.gridnode-${decimalOf(row.job)}`)
}

interface OneFile {
  readonly job: string
  readonly task: number
  readonly file: { readonly path: string; readonly sizeBytes: number; readonly executable: boolean }
  readonly into: string
}

async function fetchInto(client: Client, { job, task, file, into }: OneFile): Promise<void> {
  await mkdir(dirname(into), { recursive: true })
  const part = join(dirname(into), `${partPrefix}${process.pid}`)
  try {
    const handle = await open(part, 'w', file.executable ? 0o777 : 0o666)
    let size = 0
    try {
      for await (const piece of client.bytes(batchPaths.treeFile(job), { task, path: file.path })) {
        await handle.writeFile(piece)
        size += piece.length
      }
    } finally {
      await handle.close()
    }
    if (size !== file.sizeBytes) {
      throw failure('cut_short', `${file.path} came with ${size} of ${file.sizeBytes} bytes`)
    }
    await rename(part, into)
  } finally {
    await rm(part, { force: true })
  }
}

async function writeStreams(client: Client, one: Task, tree: ResultTree): Promise<void> {
  const { record, row, task } = one
  const { out, error } = streamFiles(record, row, task)
  for (const { names, into } of [
    { names: error === out ? ['stdout', 'stderr'] : ['stdout'], into: out },
    { names: error === out ? [] : ['stderr'], into: error },
  ]) {
    if (into === '' || into === '/dev/null' || names.length === 0) continue
    const target = isAbsolute(into) ? into : join(record.directory, into)
    await mkdir(dirname(target), { recursive: true })
    const handle = await open(target, 'w')
    try {
      for (const name of names) {
        if (!tree.files.some(({ path }) => path === name)) continue
        const bytes = client.bytes(batchPaths.treeFile(row.job), { task, path: name })
        for await (const piece of bytes) await handle.writeFile(piece)
      }
    } finally {
      await handle.close()
    }
  }
}

async function tell(context: Context, text: string): Promise<void> {
  await context.terminal.err.write(`gridnode: ${printable(text)}\n`)
}
