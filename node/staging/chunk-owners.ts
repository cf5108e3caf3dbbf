// Who still needs which chunks: one small file per owner (a contract, a job), a hash on each line.
//
// Invariants: a file is replaced whole and synced before `retain` answers; changes happen one at a
// time; a file that cannot be read stops the collection of garbage, never widens it.

import { open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { assert } from '../../protocol/base/assert.ts'
import type { Hash } from '../../protocol/base/ids.ts'
import { parseHash } from '../../protocol/base/ids.ts'
import { StagingError, systemCode } from './staging-error.ts'

export interface ChunkOwners {
  retain(owner: string, hashes: Iterable<Hash>): Promise<void>
  release(owner: string): Promise<void>
  list(): Promise<string[]>
  /** What all owners retain whose `retain` was called before. */
  readAll(): Promise<Set<Hash>>
}

const ownerPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/

/** `partial` is a directory on the same file system for files that are not complete. */
export function openChunkOwners(place: { directory: string; partial: string }): ChunkOwners {
  let last: Promise<unknown> = Promise.resolve()
  const oneAtATime = <T>(work: () => Promise<T>): Promise<T> => {
    const result = last.then(work)
    last = result.catch(() => undefined)
    return result
  }
  const pathOf = (owner: string): string => {
    assert(ownerPattern.test(owner), `owner of chunks is a plain name: ${owner}`)
    return join(place.directory, owner)
  }
  const read = async (owner: string, into: Set<Hash>): Promise<void> => {
    let text: string
    try {
      text = await readFile(pathOf(owner), 'utf8')
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return
      throw error
    }
    for (const line of text.split('\n')) {
      if (line === '') continue
      const hash = parseHash(line)
      if (!hash) {
        const what = `${pathOf(owner)} is damaged: expected chunk hashes, a line each`
        throw new StagingError('SPOOL_BROKEN', `${what}; remove it if job ${owner} is over`)
      }
      into.add(hash)
    }
  }
  const list = (): Promise<string[]> => readdir(place.directory)
  return {
    retain: (owner, hashes) =>
      oneAtATime(async () => {
        const all = new Set<Hash>()
        await read(owner, all)
        const before = all.size
        for (const hash of hashes) all.add(hash)
        if (all.size === before) return
        await replaceFile(pathOf(owner), join(place.partial, `owner-${owner}`), all)
      }),
    release: (owner) => oneAtATime(() => rm(pathOf(owner), { force: true })),
    list,
    readAll: () =>
      oneAtATime(async () => {
        const retained = new Set<Hash>()
        for (const owner of await list()) await read(owner, retained)
        return retained
      }),
  }
}

async function replaceFile(path: string, partial: string, hashes: Set<Hash>): Promise<void> {
  const file = await open(partial, 'w', 0o600)
  try {
    await file.writeFile(`${[...hashes].join('\n')}\n`)
    await file.datasync()
  } finally {
    await file.close()
  }
  await rename(partial, path)
}
