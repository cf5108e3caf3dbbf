// The spool's chunks, by content: `chunks/<2 hex>/<hash>`, one file a chunk, whole or absent.
//
// Invariants: a chunk appears by rename, after its hash was checked; it is checked again whenever
// it is read, and what is corrupt is removed and counts as missing (so a chunk torn by a power
// failure costs a transfer, never a wrong byte, and chunks need no sync). Bytes in chunks stay
// within bytesMax. The garbage collection takes no chunk that an owner retains, that is in use, or
// that was asked about less than the grace time ago. One process owns the directory.

import { constants, type FileHandle, mkdir, open } from 'node:fs/promises'
import { readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { statSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { assert } from '../../protocol/base/assert.ts'
import { sha256Hex } from '../../protocol/base/crypto.ts'
import type { Hash } from '../../protocol/base/ids.ts'
import { parseHash } from '../../protocol/base/ids.ts'
import { limits } from '../../protocol/base/limits.ts'
import { divUp, formatBytes } from '../../protocol/base/units.ts'
import type { ManifestFile } from '../../protocol/rules/stage.ts'
import { chunkLength, chunksPerTreeMax } from '../../protocol/rules/stage.ts'
import { clock } from '../clock.ts'
import { openChunkOwners } from './chunk-owners.ts'
import { readAll, writeAll } from './confined.ts'
import type { BufferPool } from './parallel.ts'
import { inParallel, openBufferPool } from './parallel.ts'
import { spoolFull, StagingError, systemCode, writeError } from './staging-error.ts'

export interface ChunkStoreOptions {
  readonly directory: string
  /** Most bytes in chunks. */
  readonly bytesMax: number
  /** How long a chunk that nobody retains stays after it was last asked about. Default one hour. */
  readonly graceMs?: number
  readonly now?: () => number
}

export interface ChunkStoreUsage {
  readonly bytes: number
  readonly bytesMax: number
  readonly chunks: number
  /** Chunks found corrupt, and removed, since the start. */
  readonly corrupt: number
}

export interface ChunkStore {
  /** Whether there is a chunk; that its bytes are right shows only when it is read. */
  has(hash: Hash): Promise<boolean>
  /** The part of `chunks` (hash → length) that is not here; a chunk of another length is not. */
  missing(chunks: ReadonlyMap<Hash, number>): Promise<Map<Hash, number>>
  /** The chunk's bytes, checked; undefined when missing or corrupt. */
  read(hash: Hash): Promise<Buffer | undefined>
  /** As `read`, into the beginning of `buffer` (limits.chunkBytes long); gives the length. */
  readInto(hash: Hash, buffer: Buffer): Promise<number | undefined>
  /** Frees what it may when so many bytes do not fit. @throws SPOOL_FULL when they still do not */
  demandRoom(sizeBytes: number): Promise<void>
  /** Stores a chunk. @throws CHUNK_MISMATCH, SPOOL_FULL */
  put(hash: Hash, bytes: Uint8Array): Promise<void>
  /** Stores a regular file's chunks. @throws FILE_CHANGED, SPOOL_FULL, PATH_REFUSED */
  addFile(source: string | FileHandle, path: string): Promise<ManifestFile>
  /** Keeps these chunks, beside those the owner has, until `release`. */
  retain(owner: string, hashes: Iterable<Hash>): Promise<void>
  release(owner: string): Promise<void>
  owners(): Promise<string[]>
  /** Removes what nobody retains and nobody asked about within the grace time. */
  gc(): Promise<{ readonly chunks: number; readonly bytes: number }>
  usage(): ChunkStoreUsage
  /** Chunk-sized buffers for all who stage files with this store. */
  readonly buffers: BufferPool
}

const graceMsDefault = 3_600_000
const buffersCount = 4
/** Below this a buffer of its own is cheaper than waiting for a lent one. */
const smallBytes = 64 * 1024
const noFollow = constants.O_RDONLY | constants.O_NOFOLLOW

export async function openChunkStore(options: ChunkStoreOptions): Promise<ChunkStore> {
  assert(options.bytesMax > 0, 'a chunk store has room')
  const store = new DirectoryChunkStore(options)
  await store.start()
  return store
}

class DirectoryChunkStore implements ChunkStore {
  readonly buffers = openBufferPool({ count: buffersCount, bytes: limits.chunkBytes })
  readonly #options: ChunkStoreOptions
  readonly #now: () => number
  readonly #chunks: string
  readonly #partial: string
  readonly #owners: ReturnType<typeof openChunkOwners>
  #bytes = 0
  #count = 0
  #corrupt = 0
  #partialNumber = 0
  readonly #writing = new Map<Hash, Promise<void>>()
  /** Chunks that some call is busy with. */
  readonly #busy = new Map<Hash, number>()
  /** While garbage is collected: what was asked about meanwhile. */
  #spared: Set<Hash> | undefined
  #collecting: Promise<{ chunks: number; bytes: number }> | undefined

  constructor(options: ChunkStoreOptions) {
    this.#options = options
    this.#now = options.now ?? (() => clock.now())
    this.#chunks = join(options.directory, 'chunks')
    this.#partial = join(options.directory, 'partial')
    const directory = join(options.directory, 'owners')
    this.#owners = openChunkOwners({ directory, partial: this.#partial })
  }

  /** Removes what a crash left half-done and counts what there is. */
  async start(): Promise<void> {
    await rm(this.#partial, { recursive: true, force: true })
    for (const name of ['chunks', 'partial', 'owners']) {
      await mkdir(join(this.#options.directory, name), { recursive: true, mode: 0o700 })
    }
    await this.#eachChunk(async (_, path) => {
      this.#bytes += (await stat(path)).size
      this.#count++
    })
  }

  async has(hash: Hash): Promise<boolean> {
    return (await this.#touch(hash)) !== undefined
  }

  async missing(chunks: ReadonlyMap<Hash, number>): Promise<Map<Hash, number>> {
    const missing = new Map<Hash, number>()
    await inParallel(chunks, 8, async ([hash, length]) => {
      if ((await this.#touch(hash))?.size !== length) missing.set(hash, length)
    })
    return missing
  }

  async read(hash: Hash): Promise<Buffer | undefined> {
    return this.#readChecked(hash, (sizeBytes) => Buffer.allocUnsafeSlow(sizeBytes))
  }

  async readInto(hash: Hash, buffer: Buffer): Promise<number | undefined> {
    const bytes = await this.#readChecked(hash, (sizeBytes) => buffer.subarray(0, sizeBytes))
    return bytes?.length
  }

  async demandRoom(sizeBytes: number): Promise<void> {
    if (!this.#fits(sizeBytes)) await this.gc()
    if (!this.#fits(sizeBytes)) throw this.#full(sizeBytes)
  }

  async put(hash: Hash, bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0 || bytes.length > limits.chunkBytes || sha256Hex(bytes) !== hash) {
      const expected = `1 to ${limits.chunkBytes} bytes of hash ${hash}`
      throw new StagingError('CHUNK_MISMATCH', `expected ${expected}, got ${bytes.length} others`)
    }
    await this.#putChecked(hash, bytes)
  }

  async addFile(source: string | FileHandle, path: string): Promise<ManifestFile> {
    if (typeof source !== 'string') return this.#addHandle(source, path)
    // Not blocking: opening a fifo must not wait for a writer.
    const file = await open(source, noFollow | constants.O_NONBLOCK | constants.O_NOCTTY)
    try {
      return await this.#addHandle(file, path)
    } finally {
      await file.close()
    }
  }

  async retain(owner: string, hashes: Iterable<Hash>): Promise<void> {
    const all = [...hashes]
    for (const hash of all) this.#spared?.add(hash)
    try {
      await this.#owners.retain(owner, all)
    } catch (error) {
      throw writeError(error, this.#options.directory, all.length * 65)
    }
  }

  release(owner: string): Promise<void> {
    return this.#owners.release(owner)
  }

  owners(): Promise<string[]> {
    return this.#owners.list()
  }

  gc(): Promise<{ readonly chunks: number; readonly bytes: number }> {
    if (this.#collecting) return this.#collecting
    // From this moment on whoever asks about a chunk, or retains one, spares it; an owner that came
    // before is read below.
    this.#spared = new Set()
    this.#collecting = this.#collect(this.#spared).finally(() => {
      this.#collecting = undefined
      this.#spared = undefined
    })
    return this.#collecting
  }

  usage(): ChunkStoreUsage {
    const bytesMax = this.#options.bytesMax
    return { bytes: this.#bytes, bytesMax, chunks: this.#count, corrupt: this.#corrupt }
  }

  #fits(sizeBytes: number): boolean {
    return this.#bytes + sizeBytes <= this.#options.bytesMax
  }

  #full(sizeBytes: number): StagingError {
    const { bytesMax, directory } = this.#options
    const limit = `its ${formatBytes(bytesMax)} (${formatBytes(this.#bytes)} are taken)`
    return spoolFull(directory, { sizeBytes, limit })
  }

  #pathOf(hash: Hash): string {
    return join(this.#chunks, hash.slice(0, 2), hash)
  }

  /** Keeps garbage collection off this chunk, at the latest from now on, until `work` is over. */
  async #using<T>(hash: Hash, work: () => Promise<T>): Promise<T> {
    this.#spared?.add(hash)
    this.#busy.set(hash, (this.#busy.get(hash) ?? 0) + 1)
    try {
      return await work()
    } finally {
      const left = (this.#busy.get(hash) ?? 1) - 1
      if (left > 0) this.#busy.set(hash, left)
      else this.#busy.delete(hash)
      this.#spared?.add(hash)
    }
  }

  /** The chunk's file, with its grace time begun anew; undefined when it is not here. */
  #touch(hash: Hash): Promise<{ size: number; ino: number } | undefined> {
    return this.#using(hash, async () => {
      const path = this.#pathOf(hash)
      try {
        const { size, ino } = await stat(path)
        await utimes(path, this.#now() / 1000, this.#now() / 1000)
        return { size, ino }
      } catch (error) {
        if (systemCode(error) === 'ENOENT') return undefined
        throw error
      }
    })
  }

  #readChecked(hash: Hash, room: (sizeBytes: number) => Buffer): Promise<Buffer | undefined> {
    return this.#using(hash, async () => {
      await this.#writing.get(hash)?.catch(() => undefined)
      let file: FileHandle
      try {
        file = await open(this.#pathOf(hash), noFollow)
      } catch (error) {
        if (systemCode(error) === 'ENOENT') return undefined
        throw error
      }
      try {
        const { size, ino } = await file.stat()
        if (size > 0 && size <= limits.chunkBytes) {
          const bytes = room(size)
          if ((await readAll(file, bytes, 0)) === size && sha256Hex(bytes) === hash) return bytes
        }
        this.#removeCorrupt(hash, ino)
        return undefined
      } finally {
        await file.close()
      }
    })
  }

  /** Synchronous, and of this very file only: a good copy may have taken its place meanwhile. */
  #removeCorrupt(hash: Hash, ino: number): void {
    const path = this.#pathOf(hash)
    const found = statSync(path, { throwIfNoEntry: false })
    if (found?.ino !== ino) return
    unlinkSync(path)
    this.#corrupt++
    this.#count--
    this.#bytes -= found.size
  }

  async #putChecked(hash: Hash, bytes: Uint8Array): Promise<void> {
    const begun = this.#writing.get(hash)
    if (begun) return begun
    const writing = this.#using(hash, () => this.#write(hash, bytes)).finally(() => {
      this.#writing.delete(hash)
    })
    this.#writing.set(hash, writing)
    return writing
  }

  async #write(hash: Hash, bytes: Uint8Array): Promise<void> {
    const found = await this.#touch(hash)
    if (found?.size === bytes.length) return
    if (found) this.#removeCorrupt(hash, found.ino)
    if (!this.#fits(bytes.length)) await this.demandRoom(bytes.length)
    if (!this.#fits(bytes.length)) throw this.#full(bytes.length)
    // Counted before they are written, so that chunks written together stay in the quota.
    this.#bytes += bytes.length
    this.#count++
    const partial = join(this.#partial, String(this.#partialNumber++))
    try {
      await writeFile(partial, bytes)
      await this.#moveIn(partial, hash)
    } catch (error) {
      this.#bytes -= bytes.length
      this.#count--
      await rm(partial, { force: true })
      throw writeError(error, this.#options.directory, bytes.length)
    }
  }

  async #moveIn(partial: string, hash: Hash): Promise<void> {
    const path = this.#pathOf(hash)
    try {
      await rename(partial, path)
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error
      await mkdir(join(this.#chunks, hash.slice(0, 2)), { recursive: true, mode: 0o700 })
      await rename(partial, path)
    }
  }

  async #addHandle(file: FileHandle, path: string): Promise<ManifestFile> {
    const before = await file.stat({ bigint: true })
    if (!before.isFile()) {
      throw new StagingError('PATH_REFUSED', `${path} is not a regular file; leave it out`)
    }
    const sizeBytes = Number(before.size)
    const sizeBytesMax = chunksPerTreeMax * limits.chunkBytes
    if (sizeBytes > sizeBytesMax) {
      const limit = `${formatBytes(sizeBytes)}, a tree takes ${formatBytes(sizeBytesMax)}`
      throw new StagingError('TREE_TOO_LARGE', `${path} has ${limit}`)
    }
    const chunks: Hash[] = []
    chunks.length = divUp(sizeBytes, limits.chunkBytes)
    const changed = new StagingError('FILE_CHANGED', `${path} changed while it was read; try again`)
    const add = async (index: number, buffer: Buffer): Promise<void> => {
      const bytes = buffer.subarray(0, chunkLength(sizeBytes, index))
      if ((await readAll(file, bytes, index * limits.chunkBytes)) < bytes.length) throw changed
      const hash = sha256Hex(bytes)
      await this.#putChecked(hash, bytes)
      chunks[index] = hash
    }
    await inParallel(chunks.keys(), 2, (index) =>
      sizeBytes <= smallBytes
        ? add(index, Buffer.allocUnsafe(sizeBytes))
        : this.buffers.lend((buffer) => add(index, buffer)),
    )
    const after = await file.stat({ bigint: true })
    if (after.size !== before.size || after.mtimeNs !== before.mtimeNs) throw changed
    return { path, executable: (before.mode & 0o100n) === 0n ? 0 : 1, sizeBytes, chunks }
  }

  async #collect(spared: Set<Hash>): Promise<{ chunks: number; bytes: number }> {
    const retained = await this.#owners.readAll()
    const removed = { chunks: 0, bytes: 0 }
    const untouchedSinceMs = this.#now() - (this.#options.graceMs ?? graceMsDefault)
    await this.#eachChunk(async (hash, path) => {
      if (retained.has(hash)) return
      const found = await stat(path).catch(ignoreAbsent)
      if (!found) return
      const { size, mtimeMs } = found
      if (mtimeMs > untouchedSinceMs || spared.has(hash) || this.#busy.has(hash)) return
      // Synchronous: nobody can begin to use the chunk between the check and the removal.
      unlinkSync(path)
      this.#bytes -= size
      this.#count--
      removed.bytes += size
      removed.chunks++
    })
    return removed
  }

  async #eachChunk(work: (hash: Hash, path: string) => Promise<void>): Promise<void> {
    for (const group of await readdir(this.#chunks)) {
      if (!/^[0-9a-f]{2}$/.test(group)) continue
      await inParallel(await readdir(join(this.#chunks, group)), 8, async (name) => {
        const hash = parseHash(name)
        if (hash && hash.startsWith(group)) await work(hash, join(this.#chunks, group, name))
      })
    }
  }
}

function ignoreAbsent(error: unknown): undefined {
  if (systemCode(error) !== 'ENOENT') throw error
}

async function writeFile(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'wx', 0o600)
  try {
    await writeAll(file, bytes, 0)
  } finally {
    await file.close()
  }
}
