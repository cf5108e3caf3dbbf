// Files below a directory without ever leaving it, even while a hostile job swaps directories for
// symbolic links: every step is taken from an open handle, by one name, following nothing. Node has
// no openat(2); `/proc/self/fd/<n>/<name>` is the same thing on Linux.
//
// Invariant: only `openRoot`, `openNamed` and `openFollowing` follow links; the latter's caller
// must ask `isWithin`.

import { constants, type FileHandle, mkdir, open, readlink, unlink } from 'node:fs/promises'
import { assert } from '../../protocol/base/assert.ts'
import { systemCode } from './staging-error.ts'

/** Linux, all architectures we ship for: a handle that names a file without opening it. */
const O_PATH = 0o10000000
const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOCTTY } = constants
const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants

/** The path of `name` seen from an open directory. */
export function below(directory: FileHandle, name: string): string
export function below(directory: FileHandle, name: string | Buffer): string | Buffer
export function below(directory: FileHandle, name: string | Buffer): string | Buffer {
  const text = typeof name === 'string' ? name : name.toString('latin1')
  assert(!/^\.{0,2}$|[/\0]/.test(text), 'one plain name is followed at a time')
  if (typeof name === 'string') return `${pathOf(directory)}/${name}`
  return Buffer.concat([Buffer.from(`${pathOf(directory)}/`), name])
}

/** A path to what is open under this handle, wherever it has been moved. */
export function pathOf(handle: FileHandle): string {
  return `/proc/self/fd/${handle.fd}`
}

/** A directory that the operator named; links on the way are followed. */
export function openRoot(path: string): Promise<FileHandle> {
  return open(path, O_PATH | O_DIRECTORY)
}

/** Whatever the user named, links followed; only a name for it, not opened. */
export function openNamed(path: string): Promise<FileHandle> {
  return open(path, O_PATH)
}

/** Whatever `name` is, a link included, without opening it (a fifo or device stays untouched). */
export function openAny(directory: FileHandle, name: string | Buffer): Promise<FileHandle> {
  return open(below(directory, name), O_PATH | O_NOFOLLOW)
}

/** What the link `name` leads to, anywhere; only a name for it, not opened. */
export function openFollowing(directory: FileHandle, name: string | Buffer): Promise<FileHandle> {
  return open(below(directory, name), O_PATH)
}

/** Opens for reading what a handle names. The caller has seen that it is a regular file. */
export function reopenForReading(handle: FileHandle): Promise<FileHandle> {
  return open(pathOf(handle), O_RDONLY | O_NONBLOCK | O_NOCTTY)
}

/** ENOTDIR when `name` is a link or a file, ENOENT when there is nothing. */
export function openDirectory(directory: FileHandle, name: string | Buffer): Promise<FileHandle> {
  return open(below(directory, name), O_PATH | O_DIRECTORY | O_NOFOLLOW)
}

/** As `openDirectory`, making it when there is nothing; `onMade` is called then. */
export async function makeDirectory(
  directory: FileHandle, name: string, onMade?: () => void,
): Promise<FileHandle> {
  try {
    return await openDirectory(directory, name)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
  }
  try {
    await mkdir(below(directory, name), 0o755)
    onMade?.()
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error
  }
  return openDirectory(directory, name)
}

/** Walks down `names` from `root`; the caller closes the handle that it gets and keeps `root`. */
export async function openDirectories(
  root: FileHandle,
  names: readonly string[],
  step: (directory: FileHandle, name: string) => Promise<FileHandle>,
): Promise<FileHandle> {
  const [first, ...others] = names
  if (first === undefined) return open(pathOf(root), O_PATH | O_DIRECTORY)
  let at = await step(root, first)
  for (const name of others) {
    try {
      const next = await step(at, name)
      await at.close()
      at = next
    } catch (error) {
      await at.close()
      throw error
    }
  }
  return at
}

/** A new file in the place of whatever file or link was there; EISDIR when it is a directory. */
export async function createFile(
  directory: FileHandle, name: string, mode: number,
): Promise<FileHandle> {
  const path = below(directory, name)
  const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW
  try {
    return await open(path, flags, mode)
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error
  }
  await unlink(path)
  return open(path, flags, mode)
}

/** The absolute path, free of links, of what a handle names. */
export function realPathOf(handle: FileHandle): Promise<string> {
  return readlink(pathOf(handle))
}

export function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === '/' ? '/' : `${directory}/`)
}

/** Writes all of `bytes` at `position`. */
export async function writeAll(
  file: FileHandle, bytes: Uint8Array, position: number,
): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done)
    done += bytesWritten
  }
}

/** Fills `bytes` from `position`; gives the number read, less only at the end of the file. */
export async function readAll(
  file: FileHandle, bytes: Uint8Array, position: number,
): Promise<number> {
  let done = 0
  while (done < bytes.length) {
    const { bytesRead } = await file.read(bytes, done, bytes.length - done, position + done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return done
}
