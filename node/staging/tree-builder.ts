// Gathers files into a manifest, within bounds, and their chunks into the store. What cannot be
// taken is listed; only a bound or a full spool ends the gathering.

import type { Stats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { limits } from '../../protocol/base/limits.ts'
import { formatBytes } from '../../protocol/base/units.ts'
import type { Manifest, ManifestFile } from '../../protocol/rules/stage.ts'
import { describeStageRefusal, manifestOf } from '../../protocol/rules/stage.ts'
import type { ChunkStore } from './chunk-store.ts'
import { reopenForReading } from './confined.ts'
import { StagingError, systemCode } from './staging-error.ts'
import type { Problem } from './walk.ts'

export interface GatherProgress {
  readonly files: number
  readonly bytesDone: number
}

export interface TreeBuilder {
  readonly problems: Problem[]
  /** @throws TREE_TOO_LARGE, SPOOL_FULL */
  file(path: string, handle: FileHandle, stats: Stats): Promise<void>
  emptyDirectory(path: string): void
  problem(problem: Problem): void
  /** @throws TREE_TOO_LARGE, PATH_REFUSED */
  finish(): Manifest
}

const problemsMax = 1_000

export function openTreeBuilder(options: {
  readonly store: ChunkStore
  readonly bytesMax: number
  readonly onProgress?: ((progress: GatherProgress) => void) | undefined
}): TreeBuilder {
  const { store, bytesMax, onProgress } = options
  const files = new Map<string, ManifestFile>()
  const directories = new Set<string>()
  const problems: Problem[] = []
  let filesBegun = 0
  let bytesBegun = 0
  let bytesDone = 0
  const problem = (found: Problem): void => {
    if (problems.length < problemsMax) problems.push(found)
  }
  const admit = (sizeBytes: number): void => {
    filesBegun++
    bytesBegun += sizeBytes
    if (filesBegun > limits.filesPerManifest) {
      const what = `more than ${limits.filesPerManifest} files`
      throw new StagingError('TREE_TOO_LARGE', `${what}; pack them into an archive`)
    }
    if (bytesBegun > bytesMax) {
      throw new StagingError('TREE_TOO_LARGE', `the files have more than ${formatBytes(bytesMax)}`)
    }
  }
  const add = (file: ManifestFile): void => {
    const known = files.get(file.path)
    if (known && !isSameFile(known, file)) {
      problem({ path: file.path, problem: 'is given twice, with different content' })
    }
    files.set(file.path, file)
    bytesDone += file.sizeBytes
    onProgress?.({ files: files.size, bytesDone })
  }
  return {
    problems,
    problem,
    async file(path, handle, stats) {
      admit(stats.size)
      try {
        await using open = await reopenForReading(handle)
        add(await store.addFile(open, path))
      } catch (error) {
        const code = systemCode(error)
        if (code === 'EACCES' || code === 'EPERM') {
          problem({ path, problem: `cannot be read (${code})` })
        } else if (code === 'FILE_CHANGED') {
          problem({ path, problem: 'changed while it was read' })
        } else {
          throw error
        }
      }
    },
    emptyDirectory(path) {
      directories.add(path)
    },
    finish() {
      const inhabited = ancestorsOf([...files.keys(), ...directories])
      const empty = [...directories].filter((path) => !inhabited.has(path) && !files.has(path))
      const manifest = manifestOf({ files: [...files.values()], directories: empty })
      if (manifest.ok) return manifest.value
      const code = manifest.refusal.reason === 'too_many' ? 'TREE_TOO_LARGE' : 'PATH_REFUSED'
      throw new StagingError(code, describeStageRefusal(manifest.refusal))
    },
  }
}

function isSameFile(left: ManifestFile, right: ManifestFile): boolean {
  return left.executable === right.executable && left.chunks.join() === right.chunks.join()
}

/** Every directory that has one of `paths` below it. */
function ancestorsOf(paths: readonly string[]): Set<string> {
  const ancestors = new Set<string>()
  for (const path of paths) {
    let at = path.lastIndexOf('/')
    while (at > 0 && !ancestors.has(path.slice(0, at))) {
      ancestors.add(path.slice(0, at))
      at = path.lastIndexOf('/', at - 1)
    }
  }
  return ancestors
}
