// Brings a job's result files into a directory. A file appears under its name only when it is
// whole; what is there already is never overwritten unless that was asked for; no name can leave
// the directory. Standard output and error are put where the job's script says.

import { createReadStream, existsSync, statSync } from 'node:fs'
import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { JobDetail, ResultFile } from '../node/http/api.ts'
import { apiPaths } from '../node/http/api.ts'
import type { StreamPaths } from '../protocol/rules/output-paths.ts'
import { streamPaths } from '../protocol/rules/output-paths.ts'
import { pathFault } from '../protocol/rules/stage.ts'
import type { Context } from './command.ts'
import { CommandFailure, exitCodes, failure } from './failure.ts'
import { liveLine, transferText } from './progress.ts'

export interface Fetch {
  readonly detail: JobDetail
  readonly into: string
  readonly force: boolean
}

export interface Fetched {
  readonly directory: string
  readonly files: number
  readonly sizeBytes: number
}

export async function fetchResults(context: Context, fetch: Fetch): Promise<Fetched> {
  const { terminal } = context
  const directory = resolve(terminal.cwd, fetch.into)
  const found = await context.client()
    .get<readonly ResultFile[]>(apiPaths.results(fetch.detail.job))
  const files = placed(found, fetch.detail, directory)
  for (const file of files) checkTarget(file, directory, fetch)
  const line = liveLine(terminal.err, () => terminal.nowEpochMs())
  const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0)
  const stop = new AbortController()
  const undo = terminal.onInterrupt(() => stop.abort(new Error('interrupted')))
  let done = 0
  try {
    await mkdir(directory, { recursive: true })
    for (const file of files) {
      await fetchFile(context, fetch.detail.job, file, {
        target: join(directory, file.target),
        signal: stop.signal,
        onBytes(bytes) {
          done += bytes
          line.show(transferText('fetching', done, sizeBytes))
        },
      })
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error
    const detail = `interrupted; the files that are whole are in ${directory}`
    throw new CommandFailure(exitCodes.interrupted, 'interrupted', detail)
  } finally {
    undo()
    line.clear()
  }
  // Two streams that go to one file are one file.
  const written = new Set(files.map(({ target }) => target))
  return { directory, files: written.size, sizeBytes }
}

interface PlacedFile extends ResultFile {
  /** Relative to the directory. */
  readonly target: string
  /** It goes behind another that has the same target. */
  readonly behind: boolean
}

/** Streams under the names that the script gives them, everything else as it is called. */
function placed(
  files: readonly ResultFile[], detail: JobDetail, directory: string,
): PlacedFile[] {
  const taken = new Map<string, string>()
  const streams = new Map<string, StreamPaths>()
  const isDirectory = (path: string): boolean =>
    statSync(join(directory, path), { throwIfNoEntry: false })?.isDirectory() === true
  return files.toSorted(outFirst).flatMap((file): PlacedFile[] => {
    const plain = { ...file, target: file.path, behind: false }
    const match = /^(?:([0-9]+)\/)?std(out|err)$/.exec(file.path)
    if (!match || !detail.streams) return [plain]
    const key = match[1] ?? ''
    const task = Number(match[1] ?? '0')
    const site = detail.taskRows.find((row) => row.task === task)?.site ?? ''
    const paths = streams.get(key) ??
      streamPaths({ ...detail.streams, ...detail }, { task, site }, isDirectory)
    streams.set(key, paths)
    const target = match[2] === 'out' ? paths.out : paths.error
    if (target === undefined) return []
    const other = taken.get(target)
    if (pathFault(target) || (other !== undefined && other !== key)) return [plain]
    taken.set(target, key)
    return [{ ...file, target, behind: other === key }]
  })
}

/** Where both go to one file, errors follow. */
function outFirst(a: ResultFile, b: ResultFile): number {
  const rank = ({ path }: ResultFile): number => /(^|\/)stderr$/.test(path) ? 1 : 0
  return rank(a) - rank(b)
}

/** All are looked at before the first is written. */
function checkTarget(file: PlacedFile, directory: string, fetch: Fetch): void {
  const fault = pathFault(file.path) ?? pathFault(file.target)
  if (fault) {
    const detail = `the node names a result '${file.path}' (${fault}); nothing was written`
    throw failure('bad_path', detail)
  }
  if (!fetch.force && existsSync(join(directory, file.target))) {
    throw failure(
      'exists',
      `${join(directory, file.target)} exists; nothing was written. Choose another directory, or ` +
        'overwrite with --force.',
    )
  }
}

interface OneFile {
  readonly target: string
  readonly signal: AbortSignal
  onBytes(bytes: number): void
}

async function fetchFile(
  context: Context,
  job: string,
  file: PlacedFile,
  { target, signal, onBytes }: OneFile,
): Promise<void> {
  await mkdir(dirname(target), { recursive: true })
  const part = `${target}.part-${process.pid}`
  try {
    const handle = await open(part, 'wx', file.executable ? 0o777 : 0o666)
    let size = 0
    try {
      const bytes = context.client().bytes(apiPaths.resultFile(job), { path: file.path }, signal)
      for await (const piece of bytes) {
        await handle.writeFile(piece)
        size += piece.length
        onBytes(piece.length)
      }
    } finally {
      await handle.close()
    }
    if (size !== file.sizeBytes) {
      throw failure(
        'cut_short',
        `${file.path} came with ${size} of ${file.sizeBytes} bytes; run the command again`,
      )
    }
    if (file.behind) await writeFile(target, createReadStream(part), { flag: 'a' })
    else await rename(part, target)
  } finally {
    await rm(part, { force: true })
  }
}
