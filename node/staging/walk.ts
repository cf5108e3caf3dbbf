// Walks a tree that may be hostile and hands out its regular files. Links are followed only to
// where they stay inside the root; fifos, sockets and devices are never opened; whatever cannot be
// taken is listed as a problem and the walk goes on.
//
// Bounds: entries looked at, and depth (by the length of a path). Loops of links end at the
// directory that is its own ancestor.

import type { Dir, Stats } from 'node:fs'
import { type FileHandle, opendir } from 'node:fs/promises'
import { limits } from '../../protocol/base/limits.ts'
import { pathFault } from '../../protocol/rules/stage.ts'
import { faultTexts } from '../../protocol/rules/stage.ts'
import { isWithin, openAny, openFollowing, pathOf, realPathOf } from './confined.ts'
import { inParallel } from './parallel.ts'
import { quoted, StagingError, systemCode } from './staging-error.ts'

export interface Problem {
  readonly path: string
  /** A phrase that follows the path: "is a fifo". */
  readonly problem: string
}

export interface Walk {
  /** Where the walk begins; links must stay below it. */
  readonly root: FileHandle
  /** The root's place in the paths: '' or a path without a trailing '/'. */
  readonly prefix: string
  /** Asked before anything is opened; false leaves out the entry and all below it. */
  enters(path: string): boolean
  takes(path: string, kind: 'file' | 'directory'): boolean
  /** A regular file to read; `handle` only names it (reopenForReading) and is closed afterwards. */
  file(path: string, handle: FileHandle, stats: Stats): Promise<void>
  emptyDirectory(path: string): void
  problem(problem: Problem): void
  readonly signal?: AbortSignal | undefined
}

/**
 * Entries that a walk looks at before it gives up; a job may have filled its directory with
 * millions.
 */
export const walkEntriesMax = 4 * limits.filesPerManifest
const filesAtOnce = 4

/** @throws TREE_TOO_LARGE when there are more than walkEntriesMax entries; what `file` throws */
export async function walkTree(walk: Walk): Promise<void> {
  const rootPath = await realPathOf(walk.root)
  const state = { walk, rootPath, entries: 0 }
  await walkDirectory(state, walk.root, walk.prefix, [])
}

interface State {
  readonly walk: Walk
  readonly rootPath: string
  entries: number
}

/** An ancestor on the way down, by device and inode. */
type Ancestors = readonly string[]

async function walkDirectory(
  state: State, directory: FileHandle, path: string, ancestors: Ancestors,
): Promise<void> {
  const { walk } = state
  const stats = await directory.stat()
  const identity = `${stats.dev}:${stats.ino}`
  if (ancestors.includes(identity)) {
    walk.problem({ path, problem: 'is a link to a directory above it (a loop)' })
    return
  }
  let listing: Dir
  try {
    // Latin-1 keeps the bytes of names that are not UTF-8.
    listing = await opendir(pathOf(directory), { encoding: 'latin1', bufferSize: 256 })
  } catch (error) {
    walk.problem({ path, problem: `cannot be listed (${systemCode(error)})` })
    return
  }
  let isEmpty = true
  const below: { path: string; name: Buffer }[] = []
  await inParallel(listing, filesAtOnce, async (entry) => {
    isEmpty = false
    countEntry(state)
    const name = Buffer.from(entry.name, 'latin1')
    const child = childPath(walk, path, name)
    if (child === undefined) return
    if (await visit(state, directory, name, child)) below.push({ path: child, name })
  })
  if (isEmpty && path !== '' && walk.takes(path, 'directory')) walk.emptyDirectory(path)
  for (const { path: child, name } of below) {
    await descend(state, directory, name, child, [...ancestors, identity])
  }
}

/** The entry's path, when the walk is to look at it. */
function childPath(walk: Walk, path: string, name: Buffer): string | undefined {
  const before = path === '' ? '' : `${path}/`
  const text = name.toString('utf8')
  const child = before + text
  if (!walk.enters(child)) return undefined
  if (!Buffer.from(text).equals(name)) {
    walk.problem({ path: child, problem: 'has a name that is not UTF-8; rename it' })
    return undefined
  }
  const fault = pathFault(child)
  if (fault === undefined) return child
  walk.problem({ path: child, problem: `${faultTexts[fault]}; rename it` })
  return undefined
}

/** Hands out a file; true when the entry is a directory to descend into. */
async function visit(
  state: State, directory: FileHandle, name: Buffer, path: string,
): Promise<boolean> {
  const resolved = await resolve(state, directory, name, path)
  if (!resolved) return false
  const { found, stats } = resolved
  try {
    if (stats.isDirectory()) return true
    if (!state.walk.takes(path, 'file')) return false
    if (stats.isFile()) await state.walk.file(path, found, stats)
    else state.walk.problem({ path, problem: `is a ${kindOf(stats)}; only files can be staged` })
    return false
  } finally {
    await found.close()
  }
}

async function descend(
  state: State, directory: FileHandle, name: Buffer, path: string, ancestors: Ancestors,
): Promise<void> {
  const resolved = await resolve(state, directory, name, path)
  if (!resolved) return
  const { found, stats } = resolved
  try {
    // It may have been swapped since: only a directory can be listed.
    if (stats.isDirectory()) await walkDirectory(state, found, path, ancestors)
  } finally {
    await found.close()
  }
}

/** Names what the entry is or, when it is a link, what it leads to inside the root. */
async function resolve(
  state: State, directory: FileHandle, name: Buffer, path: string,
): Promise<{ readonly found: FileHandle; readonly stats: Stats } | undefined> {
  const { walk, rootPath } = state
  let found: FileHandle | undefined
  try {
    found = await openAny(directory, name)
    const stats = await found.stat()
    if (!stats.isSymbolicLink()) return { found, stats }
    await found.close()
    found = undefined
    found = await openFollowing(directory, name)
    const real = await realPathOf(found)
    if (isWithin(real, rootPath)) return { found, stats: await found.stat() }
    const problem = `is a symbolic link that leaves the directory (to ${quoted(real)})`
    if (walk.takes(path, 'file') || walk.takes(path, 'directory')) walk.problem({ path, problem })
  } catch (error) {
    const code = systemCode(error)
    if (code === '' || code === 'EMFILE' || code === 'ENFILE') throw error
    const problem = found ? `cannot be opened (${code})` : `leads nowhere (${code})`
    if (walk.takes(path, 'file')) walk.problem({ path, problem })
  }
  await found?.close()
  return undefined
}

function countEntry(state: State): void {
  state.walk.signal?.throwIfAborted()
  state.entries++
  if (state.entries <= walkEntriesMax) return
  const what = `more than ${walkEntriesMax} files and directories`
  throw new StagingError('TREE_TOO_LARGE', `${what}; pack them into an archive`)
}

function kindOf(stats: Stats): string {
  if (stats.isFIFO()) return 'fifo'
  if (stats.isSocket()) return 'socket'
  return 'device'
}
