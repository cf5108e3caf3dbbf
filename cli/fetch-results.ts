// Brings a job's result files into a directory. A file appears under its name only when it is
// whole; what is there already is never overwritten unless that was asked for; no name can leave
// the directory.

import { existsSync } from 'node:fs'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { ResultFile } from '../node/http/api.ts'
import { apiPaths } from '../node/http/api.ts'
import { pathFault } from '../protocol/rules/stage.ts'
import type { Context } from './command.ts'
import { CommandFailure, exitCodes, failure } from './failure.ts'
import { liveLine, transferText } from './progress.ts'

export interface Fetch {
  readonly job: string
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
  const files = await context.client().get<readonly ResultFile[]>(apiPaths.results(fetch.job))
  for (const file of files) checkTarget(file, directory, fetch)
  const line = liveLine(terminal.err, () => terminal.nowEpochMs())
  const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0)
  const stop = new AbortController()
  const undo = terminal.onInterrupt(() => stop.abort(new Error('interrupted')))
  let done = 0
  try {
    await mkdir(directory, { recursive: true })
    for (const file of files) {
      await fetchFile(context, fetch.job, file, {
        target: join(directory, file.path),
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
  return { directory, files: files.length, sizeBytes }
}

/** All are looked at before the first is written. */
function checkTarget(file: ResultFile, directory: string, fetch: Fetch): void {
  const fault = pathFault(file.path)
  if (fault) {
    const detail = `the node names a result '${file.path}' (${fault}); nothing was written`
    throw failure('bad_path', detail)
  }
  if (!fetch.force && existsSync(join(directory, file.path))) {
    throw failure(
      'exists',
      `${join(directory, file.path)} exists; nothing was written. Choose another directory, or ` +
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
  file: ResultFile,
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
    await rename(part, target)
  } finally {
    await rm(part, { force: true })
  }
}
