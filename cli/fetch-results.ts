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
import { failure } from './failure.ts'
import type { LiveLine } from './progress.ts'
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
  let done = 0
  await mkdir(directory, { recursive: true })
  try {
    for (const file of files) {
      await fetchFile(context, fetch.job, file, join(directory, file.path), (bytes) => {
        done += bytes
        showProgress(line, done, sizeBytes)
      })
    }
  } finally {
    line.clear()
  }
  return { directory, files: files.length, sizeBytes }
}

function showProgress(line: LiveLine, done: number, total: number): void {
  line.show(transferText('fetching', done, total))
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

async function fetchFile(
  context: Context,
  job: string,
  file: ResultFile,
  target: string,
  onBytes: (bytes: number) => void,
): Promise<void> {
  await mkdir(dirname(target), { recursive: true })
  const part = `${target}.part-${process.pid}`
  try {
    const handle = await open(part, 'wx', file.executable ? 0o777 : 0o666)
    let size = 0
    try {
      const bytes = context.client().bytes(apiPaths.resultFile(job), { path: file.path })
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
