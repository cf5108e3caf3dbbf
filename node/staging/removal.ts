// Removes a directory that a hostile job may have filled: read-only or unlistable directories,
// links, names of any bytes, a million files, nesting deeper than any path. Links are removed,
// never followed.
//
// Directories nested deeper than depthMax are moved up to the top and emptied from there, so the
// number of open handles is bounded.

import { chmod, type FileHandle, opendir, rename, rmdir, unlink } from 'node:fs/promises'
import { toHex } from '../../protocol/base/crypto.ts'
import { entropy } from '../entropy.ts'
import { below, openDirectory, pathOf } from './confined.ts'
import { inParallel } from './parallel.ts'
import { systemCode } from './staging-error.ts'

const depthMax = 32
/** A directory that still is not empty after so many goes is being written to. */
const passesMax = 10_000

/** Removes `name` from `parent`, whatever it is; nothing happens when it is not there. */
export async function removeTree(parent: FileHandle, name: string): Promise<void> {
  if (await unlinked(parent, name)) return
  for (let pass = 1; ; pass++) {
    const top = await openToEmpty(parent, name)
    if (!top) return
    try {
      await empty(top, top, 0)
    } finally {
      await top.close()
    }
    try {
      return await rmdir(below(parent, name))
    } catch (error) {
      if (systemCode(error) !== 'ENOTEMPTY' || pass >= passesMax) throw error
    }
  }
}

async function empty(directory: FileHandle, top: FileHandle, depth: number): Promise<void> {
  const inner: Buffer[] = []
  const listing = await opendir(pathOf(directory), { encoding: 'latin1', bufferSize: 256 })
  await inParallel(listing, 4, async (entry) => {
    const name = Buffer.from(entry.name, 'latin1')
    if (!(await unlinked(directory, name))) inner.push(name)
  })
  for (const name of inner) {
    const child = await openToEmpty(directory, name)
    if (!child) continue
    try {
      if (depth < depthMax) await empty(child, top, depth + 1)
    } finally {
      await child.close()
    }
    if (depth < depthMax) await removed(rmdir(below(directory, name)))
    else await rename(below(directory, name), below(top, toHex(entropy.randomBytes(16))))
  }
}

/** True when `name` is gone; false when it is a directory. */
async function unlinked(directory: FileHandle, name: string | Buffer): Promise<boolean> {
  try {
    await unlink(below(directory, name))
    return true
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return true
    if (systemCode(error) === 'EISDIR') return false
    throw error
  }
}

/**
 * The directory, made writable and listable; undefined when it is gone or no directory any more.
 */
async function openToEmpty(
  directory: FileHandle, name: string | Buffer,
): Promise<FileHandle | undefined> {
  try {
    const child = await openDirectory(directory, name)
    // Not ours: emptying it shows whether we may.
    await chmod(pathOf(child), 0o700).catch(() => undefined)
    return child
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined
    throw error
  }
}

/** A directory into which something was put meanwhile is left for the next pass. */
async function removed(removal: Promise<void>): Promise<void> {
  try {
    await removal
  } catch (error) {
    const code = systemCode(error)
    if (code !== 'ENOTEMPTY' && code !== 'ENOENT' && code !== 'ENOTDIR') throw error
  }
}
