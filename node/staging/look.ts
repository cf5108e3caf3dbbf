// Looks at what lies in a job's directory while the job runs: each name on the way is opened from
// the handle before it, and none of them may be a link.

import type { FileHandle } from 'node:fs/promises'
import { lstat, opendir } from 'node:fs/promises'
import { pathFault, faultTexts } from '../../protocol/rules/stage.ts'
import {
  below, openAny, openDirectories, openDirectory, pathOf, readAll, reopenForReading,
} from './confined.ts'
import { quoted, StagingError, systemCode } from './staging-error.ts'

export type Looked =
  | { readonly kind: 'file'; readonly bytes: Uint8Array; readonly sizeBytes: number }
  | { readonly kind: 'directory'; readonly entries: readonly LookedEntry[] }

export interface LookedEntry {
  readonly name: string
  readonly kind: 'file' | 'directory' | 'other'
  readonly sizeBytes: number
  readonly modifiedEpochMs: number
}

/** Entries of one list, in order of their names. */
const entriesMax = 1_000
/** A job can make more names than fit into our memory; of those beyond, any may be left out. */
const namesMax = 100_000

/** @throws PATH_REFUSED: there is no such file, or it is a link or a device */
export async function lookAt(
  directory: FileHandle, path: string, range: { offset: number; bytesMax: number },
): Promise<Looked> {
  const names = path === '' ? [] : path.split('/')
  const fault = path === '' ? undefined : pathFault(path)
  if (fault !== undefined) throw refused(path, faultTexts[fault])
  try {
    if (names.length === 0) return await listOf(directory)
    await using parent = await openDirectories(directory, names.slice(0, -1), openDirectory)
    await using found = await openAny(parent, names.at(-1)!)
    const stats = await found.stat()
    if (stats.isDirectory()) return await listOf(found)
    if (!stats.isFile()) throw refused(path, 'is no plain file')
    await using file = await reopenForReading(found)
    const length = Math.max(0, Math.min(range.bytesMax, stats.size - range.offset))
    const bytes = Buffer.allocUnsafe(length)
    const read = await readAll(file, bytes, range.offset)
    return { kind: 'file', bytes: bytes.subarray(0, read), sizeBytes: stats.size }
  } catch (error) {
    const code = systemCode(error)
    if (code === 'ENOENT') throw refused(path, 'is not there')
    if (code === 'ENOTDIR' || code === 'ELOOP') throw refused(path, 'goes through a link or a file')
    throw error
  }
}

async function listOf(directory: FileHandle): Promise<Looked> {
  const names: string[] = []
  for await (const { name } of await opendir(pathOf(directory), { bufferSize: 1_024 })) {
    if (names.push(name) === namesMax) break
  }
  names.sort((a, b) => (a < b ? -1 : 1))
  const entries: LookedEntry[] = []
  for (const name of names.slice(0, entriesMax)) {
    const stats = await lstat(below(directory, name)).catch(() => undefined)
    if (!stats) continue
    const kind = stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : 'other'
    entries.push({ name, kind, sizeBytes: stats.size, modifiedEpochMs: Math.floor(stats.mtimeMs) })
  }
  return { kind: 'directory', entries }
}

function refused(path: string, why: string): StagingError {
  return new StagingError('PATH_REFUSED', `${quoted(path)} ${why}`)
}
