// The job directories: `<spool>/<tranche>/<task>/`, with our own `.gridnode/` inside. A task that
// is placed again, also under the same contract, gets a directory of its own. Every path is walked
// from the spool's handle, name by name; nothing outside the spool is written or removed.

import type { FileHandle } from 'node:fs/promises'
import { chmod, chown, lchown, mkdir, readdir, rmdir, statfs } from 'node:fs/promises'
import { isAbsolute, join, relative, resolve } from 'node:path'
import { assert } from '../../protocol/base/assert.ts'
import type { TrancheId } from '../../protocol/base/ids.ts'
import { formatBytes } from '../../protocol/base/units.ts'
import type { Manifest } from '../../protocol/rules/stage.ts'
import { reservedName, sizeOf } from '../../protocol/rules/stage.ts'
import type { OutputPattern } from '../../protocol/rules/stage-outputs.ts'
import type { ChunkStore } from './chunk-store.ts'
import type { Collected, CollectOptions } from './collect.ts'
import { collectTree } from './collect.ts'
import { below, makeDirectory, openAny, openDirectories, openDirectory } from './confined.ts'
import { openRoot, pathOf, readAll, reopenForReading } from './confined.ts'
import { lookAt } from './look.ts'
import type { Looked } from './look.ts'
import { placeTree } from './place.ts'
import { removeTree } from './removal.ts'
import { spoolFull, StagingError, systemCode, writeError } from './staging-error.ts'

export interface Peeked {
  readonly bytes: Uint8Array
  /** Where the next peek goes on. */
  readonly offset: number
  readonly sizeBytes: number
}

export interface Workspace {
  directory(trancheId: TrancheId, taskIndex: number): string
  /**
   * Makes the directory, its `.gridnode/` and the tree's files. May be repeated after a crash.
   * @throws CHUNK_MISSING, PLACE_REFUSED, SPOOL_FULL
   */
  place(manifest: Manifest, directory: string, signal?: AbortSignal): Promise<void>
  /** @throws TREE_TOO_LARGE, SPOOL_FULL */
  collect(
    directory: string, patterns: readonly OutputPattern[], options: CollectOptions,
  ): Promise<Collected>
  /** At most `bytesMax` bytes of the job's output so far; none while there is no output file. */
  peek(
    directory: string, stream: 'stdout' | 'stderr', range: { offset: number; bytesMax: number },
  ): Promise<Peeked>
  /**
   * What lies at `path` in a job's directory: the beginning of a list, or a piece of a file. Links
   * are not followed.
   * @throws PATH_REFUSED
   */
  look(
    directory: string, path: string, range: { offset: number; bytesMax: number },
  ): Promise<Looked>
  /** Makes a job's directory, with all that is in it, another account's; for root only. */
  give(directory: string, account: { readonly uid: number; readonly gid: number }): Promise<void>
  /** Removes a job's directory, and its tranche's when that was the last. Repeating it is fine. */
  remove(directory: string): Promise<void>
  close(): Promise<void>
}

export interface WorkspaceOptions {
  /** Whether accounts that get a job's directory find their way to it; not what else lies there. */
  readonly shared?: boolean
  /** Made when it is not there. */
  readonly spool: string
  readonly store: ChunkStore
  /** Placing leaves at least this much of the disk free. Default 64 MiB. */
  readonly freeBytesMin?: number
}

/** What placing files leaves of the disk, for the database and for others. */
export const freeBytesMinDefault = 64 * 1024 * 1024
const peekBytesMax = 4 * 1024 * 1024

export async function openWorkspace(options: WorkspaceOptions): Promise<Workspace> {
  const { store } = options
  const spool = resolve(options.spool)
  await mkdir(spool, { recursive: true, mode: 0o700 })
  if (options.shared) await chmod(spool, 0o711)
  const root = await openRoot(spool)
  const freeBytesMin = options.freeBytesMin ?? freeBytesMinDefault
  /** The two names of a job's directory. */
  const namesOf = (directory: string): readonly [string, string] => {
    const [tranche, task, ...more] = relative(spool, resolve(directory)).split('/')
    const isOne = tranche && task && more.length === 0 && tranche !== '..' && task !== '..'
    assert(isOne && isAbsolute(directory), `${directory} is a job's directory in ${spool}`)
    return [tranche, task]
  }
  const opened = async <T>(
    directory: string, work: (handle: FileHandle) => Promise<T>,
  ): Promise<T> => {
    await using handle = await openDirectories(root, namesOf(directory), openDirectory)
    return await work(handle)
  }
  const remove = async (directory: string): Promise<void> => {
    const [tranche, task] = namesOf(directory)
    let parent: FileHandle
    try {
      parent = await openDirectory(root, tranche)
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return
      throw error
    }
    try {
      await removeTree(parent, task)
    } finally {
      await parent.close()
    }
    await removeIfEmpty(root, tranche)
  }
  return {
    directory(trancheId, taskIndex) {
      assert(Number.isSafeInteger(taskIndex) && taskIndex >= 0, 'a task index is a count')
      return join(spool, trancheId, String(taskIndex))
    },
    async place(manifest, directory, signal) {
      await demandRoom(root, { spool, sizeBytes: sizeOf(manifest), freeBytesMin })
      const made: string[] = []
      try {
        await using handle = await makeDirectories(root, namesOf(directory), directory, made)
        await placeTree({ store, root: handle, where: directory, manifest, signal })
      } catch (error) {
        // Half a tree in a fresh directory is of no use to anybody.
        if (made.includes(namesOf(directory)[1])) await remove(directory)
        throw error
      }
    },
    collect: (directory, patterns, collectOptions) =>
      opened(directory, (handle) => collectTree(handle, patterns, { ...collectOptions, store })),
    peek: (directory, stream, { offset, bytesMax }) =>
      opened(directory, (handle) =>
        peekFile(handle, stream, { offset, bytesMax: Math.min(bytesMax, peekBytesMax) }),
      ),
    look: (directory, path, range) =>
      opened(directory, (handle) => lookAt(handle, path, range)),
    give: (directory, account) => opened(directory, (handle) => giveTree(handle, account)),
    remove,
    close: () => root.close(),
  }
}

/**
 * Root walks a tree that is still the node's own, so nobody can change it meanwhile. Links are
 * given themselves, not what they lead to.
 */
async function giveTree(
  directory: FileHandle, account: { readonly uid: number; readonly gid: number },
): Promise<void> {
  const { uid, gid } = account
  const give = async (path: string): Promise<void> => {
    const entries = await readdir(path, { withFileTypes: true })
    for (const entry of entries) {
      const inside = join(path, entry.name)
      if (entry.isDirectory()) await give(inside)
      await lchown(inside, uid, gid)
    }
  }
  await give(pathOf(directory))
  await chmod(pathOf(directory), 0o700)
  // The handle's own path is a link to the directory.
  await chown(pathOf(directory), uid, gid)
}

/** Adds to `made` the names of those that were not there. */
async function makeDirectories(
  root: FileHandle, names: readonly string[], where: string, made: string[],
): Promise<FileHandle> {
  for (let tries = 1; ; tries++) {
    try {
      return await openDirectories(root, names, (directory, name) =>
        makeDirectory(directory, name, () => made.push(name)))
    } catch (error) {
      // The tranche's directory may go with its last task just when another task comes.
      if (systemCode(error) !== 'ENOENT' || tries === 3) throw writeError(error, where, 4096)
    }
  }
}

async function demandRoom(
  root: FileHandle, need: { spool: string; sizeBytes: number; freeBytesMin: number },
): Promise<void> {
  const { bavail, bsize } = await statfs(pathOf(root))
  if (need.sizeBytes + need.freeBytesMin <= bavail * bsize) return
  const free = `${formatBytes(bavail * bsize)} free on the disk`
  const limit = `${free}, of which ${formatBytes(need.freeBytesMin)} are kept`
  throw spoolFull(need.spool, { sizeBytes: need.sizeBytes, limit })
}

async function peekFile(
  directory: FileHandle,
  stream: 'stdout' | 'stderr',
  range: { readonly offset: number; readonly bytesMax: number },
): Promise<Peeked> {
  const { offset, bytesMax } = range
  try {
    await using own = await openDirectory(directory, reservedName)
    await using found = await openAny(own, stream)
    const stats = await found.stat()
    if (!stats.isFile()) throw outputReplaced(stream)
    await using file = await reopenForReading(found)
    const length = Math.max(0, Math.min(bytesMax, stats.size - offset))
    const bytes = Buffer.allocUnsafe(length)
    const read = await readAll(file, bytes, offset)
    return { bytes: bytes.subarray(0, read), offset: offset + read, sizeBytes: stats.size }
  } catch (error) {
    if (systemCode(error) === 'ENOTDIR') throw outputReplaced(stream)
    if (systemCode(error) !== 'ENOENT') throw error
    return { bytes: new Uint8Array(0), offset, sizeBytes: 0 }
  }
}

function outputReplaced(stream: string): StagingError {
  const what = `${reservedName}/${stream} is no longer the file that the job's output goes to`
  return new StagingError('PATH_REFUSED', `${what}: the job has replaced it`)
}

async function removeIfEmpty(root: FileHandle, name: string): Promise<void> {
  try {
    await rmdir(below(root, name))
  } catch (error) {
    const code = systemCode(error)
    if (code !== 'ENOTEMPTY' && code !== 'ENOENT' && code !== 'EEXIST') throw error
  }
}
