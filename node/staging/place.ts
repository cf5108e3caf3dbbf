// Writes a tree into a job's directory. The directory may have been in a job's hands before: no
// link is followed, files are made anew in the place of whatever file or link was there, and every
// chunk is checked on its way from the store.

import { type FileHandle, unlink } from 'node:fs/promises'
import { limits } from '../../protocol/base/limits.ts'
import type { Manifest, ManifestFile } from '../../protocol/rules/stage.ts'
import { reservedName } from '../../protocol/rules/stage.ts'
import type { ChunkStore } from './chunk-store.ts'
import { below, createFile, makeDirectory, openDirectories, writeAll } from './confined.ts'
import { inParallel } from './parallel.ts'
import { quoted, StagingError, systemCode, writeError } from './staging-error.ts'

const filesAtOnce = 4
const chunksAtOnce = 2

/** @throws CHUNK_MISSING, PLACE_REFUSED, SPOOL_FULL */
export async function placeTree(options: {
  readonly store: ChunkStore
  readonly root: FileHandle
  /** For messages. */
  readonly where: string
  readonly manifest: Manifest
  readonly signal?: AbortSignal | undefined
}): Promise<void> {
  const { store, root, where, manifest, signal } = options
  await withDirectory(root, [reservedName], where, async () => undefined)
  const byParent = new Map<string, ManifestFile[]>()
  for (const file of manifest.files) {
    const parent = file.path.slice(0, Math.max(0, file.path.lastIndexOf('/')))
    const siblings = byParent.get(parent)
    if (siblings) siblings.push(file)
    else byParent.set(parent, [file])
  }
  for (const [parent, files] of byParent) {
    await withDirectory(root, namesOf(parent), where, (directory) =>
      inParallel(files, filesAtOnce, async (file) => {
        signal?.throwIfAborted()
        await placeFile(store, directory, file, where)
      }),
    )
  }
  for (const path of manifest.directories) {
    await withDirectory(root, namesOf(path), where, async () => undefined)
  }
}

function namesOf(path: string): string[] {
  return path === '' ? [] : path.split('/')
}

async function withDirectory(
  root: FileHandle,
  names: readonly string[],
  where: string,
  work: (directory: FileHandle) => Promise<void>,
): Promise<void> {
  let directory: FileHandle
  try {
    directory = await openDirectories(root, names, (at, name) => makeDirectory(at, name))
  } catch (error) {
    if (systemCode(error) !== 'ENOTDIR') throw writeError(error, where, 4096)
    throw inTheWay(names.join('/'), where, 'a link or a file stands where a directory goes')
  }
  try {
    await work(directory)
  } finally {
    await directory.close()
  }
}

async function placeFile(
  store: ChunkStore, directory: FileHandle, file: ManifestFile, where: string,
): Promise<void> {
  const name = file.path.slice(file.path.lastIndexOf('/') + 1)
  let made: FileHandle
  try {
    made = await createFile(directory, name, file.executable === 1 ? 0o755 : 0o644)
  } catch (error) {
    if (systemCode(error) !== 'EISDIR') throw writeError(error, where, file.sizeBytes)
    throw inTheWay(file.path, where, 'a directory stands where a file goes')
  }
  try {
    await inParallel(file.chunks.keys(), chunksAtOnce, (index) =>
      store.buffers.lend((buffer) => copyChunk(store, made, { file, index, buffer })),
    )
  } catch (error) {
    await unlink(below(directory, name)).catch(() => undefined)
    throw writeError(error, where, file.sizeBytes)
  } finally {
    await made.close()
  }
}

async function copyChunk(
  store: ChunkStore,
  to: FileHandle,
  chunk: { readonly file: ManifestFile; readonly index: number; readonly buffer: Buffer },
): Promise<void> {
  const { file, index, buffer } = chunk
  const hash = file.chunks[index]
  const length = hash && (await store.readInto(hash, buffer))
  if (length === undefined) {
    const what = `chunk ${hash} of ${quoted(file.path)} is not in the spool`
    throw new StagingError('CHUNK_MISSING', `${what}; fetch the tree again`)
  }
  await writeAll(to, buffer.subarray(0, Number(length)), index * limits.chunkBytes)
}

function inTheWay(path: string, where: string, what: string): StagingError {
  const message = `cannot place ${quoted(path)} in ${where}: ${what}`
  return new StagingError('PLACE_REFUSED', `${message}; remove the directory and retry`)
}
