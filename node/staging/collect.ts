// What a job leaves behind: the files that its output patterns take become a tree in the chunk
// store. Nothing that a job plants leads out of its directory (walk.ts); our own `.gridnode` is not
// an output, but a link to a file in it may be.

import type { FileHandle } from 'node:fs/promises'
import type { Hash } from '../../protocol/base/ids.ts'
import type { Manifest } from '../../protocol/rules/stage.ts'
import { reservedName } from '../../protocol/rules/stage.ts'
import type { OutputPattern, Standing } from '../../protocol/rules/stage-outputs.ts'
import { enterName, isHopeless } from '../../protocol/rules/stage-outputs.ts'
import { standingAtRoot, takenBy } from '../../protocol/rules/stage-outputs.ts'
import type { ChunkStore } from './chunk-store.ts'
import { storeTree } from './stored-tree.ts'
import { openAny, openDirectory } from './confined.ts'
import { systemCode } from './staging-error.ts'
import type { TreeBuilder } from './tree-builder.ts'
import { openTreeBuilder } from './tree-builder.ts'
import type { Problem } from './walk.ts'
import { walkTree } from './walk.ts'

export interface CollectOptions {
  /** Retains the tree's chunks. */
  readonly owner: string
  readonly bytesMax: number
  readonly signal?: AbortSignal
  /**
   * Also takes what the job printed, as the files `stdout` and `stderr`; they win over the job's
   * own.
   */
  readonly streams?: boolean
}

export interface Collected {
  readonly treeHash: Hash
  readonly manifest: Manifest
  /** Patterns that took nothing, as they were given. */
  readonly missing: readonly string[]
  /** What the patterns took but could not be read: outside links, special files, unusable names. */
  readonly problems: readonly Problem[]
}

/** @throws TREE_TOO_LARGE, SPOOL_FULL */
export async function collectTree(
  root: FileHandle,
  patterns: readonly OutputPattern[],
  options: CollectOptions & { readonly store: ChunkStore },
): Promise<Collected> {
  const { store, bytesMax, owner, signal, streams = false } = options
  const builder = openTreeBuilder({ store, bytesMax })
  const standings = openStandings(patterns)
  const used = new Set<number>()
  const taken = (path: string, kind: 'file' | 'directory'): number[] =>
    takenBy(patterns, standings.of(path), kind)
  const use = (path: string, kind: 'file' | 'directory'): void => {
    for (const index of taken(path, kind)) used.add(index)
  }
  await walkTree({
    root,
    prefix: '',
    enters: (path) => path !== reservedName && !isHopeless(standings.of(path)),
    takes: (path, kind) =>
      !(streams && streamNames.includes(path)) && taken(path, kind).length > 0,
    async file(path, handle, stats) {
      await builder.file(path, handle, stats)
      use(path, 'file')
    },
    emptyDirectory(path) {
      builder.emptyDirectory(path)
      use(path, 'directory')
    },
    problem: (problem) => builder.problem(problem),
    signal,
  })
  if (streams) for (const name of await takeStreams(root, builder)) use(name, 'file')
  const manifest = builder.finish()
  const treeHash = await storeTree(store, manifest, owner)
  const missing = patterns.filter((_, index) => !used.has(index)).map((pattern) => pattern.text)
  return { treeHash, manifest, missing, problems: builder.problems }
}

const streamNames: readonly string[] = ['stdout', 'stderr']

/** What the scheduler captured: the names of those that are there. */
async function takeStreams(root: FileHandle, builder: TreeBuilder): Promise<string[]> {
  const taken: string[] = []
  await unlessReplaced(async () => {
    await using own = await openDirectory(root, reservedName)
    for (const name of streamNames) {
      await unlessReplaced(async () => {
        await using found = await openAny(own, name)
        const stats = await found.stat()
        if (!stats.isFile()) return
        await builder.file(name, found, stats)
        taken.push(name)
      })
    }
  })
  return taken
}

/** A job may have put a link or a file in the place of our directory, or of what is in it. */
async function unlessReplaced(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR', 'ELOOP'].includes(systemCode(error))) throw error
  }
}

/** Standings by path; a directory's is kept while the walk is in it, so a name is matched once. */
function openStandings(patterns: readonly OutputPattern[]): { of(path: string): Standing } {
  const kept: { path: string; standing: Standing }[] = [
    { path: '', standing: standingAtRoot(patterns) },
  ]
  return {
    of(path) {
      while (kept.length > 1 && !`${path}/`.startsWith(`${kept.at(-1)?.path}/`)) kept.pop()
      let top = kept.at(-1)
      while (top && top.path !== path) {
        const from = top.path === '' ? 0 : top.path.length + 1
        const end = path.indexOf('/', from)
        const next = end < 0 ? path : path.slice(0, end)
        const standing = enterName(patterns, top.standing, next.slice(from))
        kept.push((top = { path: next, standing }))
      }
      return top?.standing ?? []
    },
  }
}
