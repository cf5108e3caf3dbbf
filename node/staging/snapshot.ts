// What a user gives a job: files and directories become a tree in the chunk store, at one moment.
//
// A path that the user names may itself be a symbolic link; inside a named directory links are
// taken as what they lead to, provided that it lies in that directory.

import { basename, relative, resolve } from 'node:path'
import type { Hash } from '../../protocol/base/ids.ts'
import type { Manifest } from '../../protocol/rules/stage.ts'
import { faultTexts, pathFault } from '../../protocol/rules/stage.ts'
import type { ChunkStore } from './chunk-store.ts'
import { openNamed } from './confined.ts'
import { quoted, StagingError, systemCode } from './staging-error.ts'
import { storeTree } from './stored-tree.ts'
import type { GatherProgress, TreeBuilder } from './tree-builder.ts'
import { openTreeBuilder } from './tree-builder.ts'
import { walkTree } from './walk.ts'

export interface SnapshotInput {
  /** Absolute, or relative to `base`. */
  readonly from: string
  /**
   * Where it goes in the job's directory; by default where it lies in `base`, else its own name.
   */
  readonly to?: string
}

export interface SnapshotOptions {
  readonly store: ChunkStore
  /** Retains the tree's chunks. */
  readonly owner: string
  /** The directory that the user submits from. */
  readonly base: string
  readonly inputs: readonly SnapshotInput[]
  readonly bytesMax: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: GatherProgress) => void
}

export interface StoredTree {
  readonly treeHash: Hash
  readonly manifest: Manifest
}

/** @throws PATH_REFUSED naming every path at fault, TREE_TOO_LARGE, SPOOL_FULL */
export async function snapshot(options: SnapshotOptions): Promise<StoredTree> {
  const { store, bytesMax, onProgress } = options
  const builder = openTreeBuilder({ store, bytesMax, onProgress })
  for (const input of options.inputs) await addInput(builder, input, options)
  demandNoProblems(builder)
  const manifest = builder.finish()
  demandNoProblems(builder)
  return { manifest, treeHash: await storeTree(store, manifest, options.owner) }
}

async function addInput(
  builder: TreeBuilder, input: SnapshotInput, options: SnapshotOptions,
): Promise<void> {
  const source = resolve(options.base, input.from)
  const to = input.to ?? placeOf(source, options.base)
  const fault = to === '' ? undefined : pathFault(to)
  if (fault) return builder.problem({ path: to, problem: faultTexts[fault] })
  try {
    await using named = await openNamed(source)
    const stats = await named.stat()
    if (stats.isDirectory()) {
      await walkTree({
        root: named,
        prefix: to,
        enters: () => true,
        takes: () => true,
        file: (path, handle, found) => builder.file(path, handle, found),
        emptyDirectory: (path) => builder.emptyDirectory(path),
        problem: (problem) => builder.problem(problem),
        signal: options.signal,
      })
    } else if (stats.isFile() && to !== '') {
      await builder.file(to, named, stats)
    } else {
      builder.problem({ path: input.from, problem: 'is neither a file nor a directory' })
    }
  } catch (error) {
    const problem = inputProblems[systemCode(error)]
    if (problem === undefined) throw error
    builder.problem({ path: input.from, problem })
  }
}

const inputProblems: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  ENOTDIR: 'does not exist',
  ELOOP: 'is a loop of symbolic links',
  EACCES: 'cannot be read (EACCES)',
}

function placeOf(source: string, base: string): string {
  const inside = relative(resolve(base), source)
  return inside.startsWith('..') ? basename(source) : inside
}

function demandNoProblems(builder: TreeBuilder): void {
  const { problems } = builder
  if (problems.length === 0) return
  const lines = problems.slice(0, 10).map(({ path, problem }) => `${quoted(path)} ${problem}`)
  if (problems.length > lines.length) lines.push(`and ${problems.length - lines.length} more`)
  throw new StagingError('PATH_REFUSED', `cannot stage in: ${lines.join('; ')}`)
}
