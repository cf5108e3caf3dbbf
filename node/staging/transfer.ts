// The receiving side of a transfer: a tree is brought here by its hash, first root and manifest,
// then the chunks that are missing. Each is checked and stored as it arrives, so after an
// interruption a new fetch asks only for the rest; chunks that another fetch has asked for are
// waited for, not asked for twice.
//
// Memory: three chunks a fetch. Time: the caller's signal ends everything; the source has the
// deadline for a peer that has stopped sending; a request has one by its bytes.

import type { Hash } from '../../protocol/base/ids.ts'
import { limits } from '../../protocol/base/limits.ts'
import type { Manifest } from '../../protocol/rules/stage.ts'
import { chunkLength, chunksOf, sizeOf } from '../../protocol/rules/stage.ts'
import { describeStageRefusal, unpackRoot } from '../../protocol/rules/stage.ts'
import { clock } from '../clock.ts'
import type { ChunkStore } from './chunk-store.ts'
import type { FrameReader } from './frames.ts'
import { chunksPerRequest, encodeRequest, openFrameReader } from './frames.ts'
import { StagingError, systemCode } from './staging-error.ts'
import { loadTree, treeRefused } from './stored-tree.ts'

/** One peer. Its stream ends only when the peer has sent all; an interruption is thrown. */
export interface ChunkSource {
  fetch(header: string, signal: AbortSignal): AsyncIterable<Uint8Array>
}

export interface TransferProgress {
  /** Of the distinct chunks of the tree's files, with what was here from the start. */
  readonly bytesDone: number
  readonly bytesTotal: number
  /** Chunks dropped because their bytes were not what was asked for. */
  readonly mismatches: number
}

export interface FetchOptions {
  readonly source: ChunkSource
  /** What the peer knows these chunks under, such as the contract id. */
  readonly scope: string
  readonly treeHash: Hash
  readonly store: ChunkStore
  /** Retains the tree's chunks from the moment its manifest is known, also when the fetch fails. */
  readonly owner: string
  readonly signal: AbortSignal
  readonly onProgress?: (progress: TransferProgress) => void
  /** The most that the tree's files may have in all, as its owner has said before. */
  readonly bytesMax?: number
}

const requestBytes = 256 * 1024 * 1024
const triesMax = 3
/** What is slower (32 KB/s) is interrupted after a while; what has come by then is kept. */
const leastBytesPerMs = 32
const slackMs = 60_000
const buffersPerFetch = 3

/**
 * Brings a tree's manifest here.
 * @throws TREE_REFUSED and what `fetchTree` throws
 */
export async function fetchManifest(
  options: Omit<FetchOptions, 'onProgress' | 'owner'>,
): Promise<{ readonly manifest: Manifest; readonly packing: readonly Hash[] }> {
  const { store, treeHash } = options
  for (let tries = 1; ; tries++) {
    await bring(options, new Map([[treeHash, undefined]]), () => undefined)
    try {
      const root = await store.read(treeHash)
      if (root) await bring(options, piecesOf(treeHash, root), () => undefined)
      return await loadTree(store, treeHash)
    } catch (error) {
      // A piece that was here but corrupt is gone now: ask for it.
      if (systemCode(error) !== 'CHUNK_MISSING' || tries >= triesMax) throw error
    }
  }
}

/**
 * Brings a whole tree here.
 * @throws CHUNK_MISMATCH, CHUNK_ABSENT, CHUNK_REFUSED, TREE_REFUSED, TREE_TOO_LARGE, FRAME_BROKEN,
 *   SPOOL_FULL, TRANSFER_INTERRUPTED (fetch again: what came is kept), the signal's reason
 */
export async function fetchTree(options: FetchOptions): Promise<Manifest> {
  const { store, owner, onProgress } = options
  const { manifest, packing } = await fetchManifest(options)
  const { bytesMax = Infinity } = options
  if (sizeOf(manifest) > bytesMax) {
    // In bytes: rounded for people the two may look alike.
    const sizes = `expected at most ${bytesMax} bytes, got ${sizeOf(manifest)}`
    throw new StagingError('TREE_TOO_LARGE', `tree ${options.treeHash} is too large: ${sizes}`)
  }
  const chunks = chunksOf(manifest)
  await store.retain(owner, [...chunks.keys(), ...packing])
  let bytesTotal = 0
  for (const length of chunks.values()) bytesTotal += length
  await bring(options, chunks, ({ bytesLeft, mismatches }) => {
    onProgress?.({ bytesDone: bytesTotal - bytesLeft, bytesTotal, mismatches })
  })
  return manifest
}

function piecesOf(treeHash: Hash, bytes: Uint8Array): Map<Hash, number> {
  const root = unpackRoot(bytes)
  if (!root.ok) throw treeRefused(treeHash, describeStageRefusal(root.refusal))
  const { chunks, sizeBytes } = root.value
  return new Map(chunks.map((hash, index) => [hash, chunkLength(sizeBytes, index)]))
}

/** What the fetches into a store have claimed: resolves when it is here or given up. */
type Expected = Map<Hash, PromiseWithResolvers<void>>
const expectedByStore = new WeakMap<ChunkStore, Expected>()

function expectedOf(store: ChunkStore): Expected {
  let expected = expectedByStore.get(store)
  if (!expected) expectedByStore.set(store, (expected = new Map()))
  return expected
}

/** One fetch: `left` is what it still waits for (hash → length, undefined when not known). */
interface Bringing {
  readonly options: Omit<FetchOptions, 'onProgress' | 'owner'>
  readonly left: Map<Hash, number | undefined>
  readonly tries: Map<Hash, number>
  readonly slots: { buffer: Buffer; busy: Promise<void> }[]
  bytesLeft: number
  mismatches: number
  report(state: { readonly bytesLeft: number; readonly mismatches: number }): void
}

async function bring(
  options: Bringing['options'],
  chunks: ReadonlyMap<Hash, number | undefined>,
  report: Bringing['report'],
): Promise<void> {
  const { store, signal } = options
  const left = await missingOf(store, chunks)
  let bytesLeft = 0
  for (const length of left.values()) bytesLeft += length ?? 0
  const bringing: Bringing = {
    options, left, tries: new Map(), slots: [], bytesLeft, mismatches: 0, report,
  }
  report(bringing)
  if (bytesLeft > 0) await store.demandRoom(bytesLeft)
  const expected = expectedOf(store)
  while (left.size > 0) {
    signal.throwIfAborted()
    const batch = nextBatch(left, expected)
    if (batch.length > 0) await claimBatch(bringing, batch)
    else await awaitOthers(bringing, expected)
  }
}

async function missingOf(
  store: ChunkStore, chunks: ReadonlyMap<Hash, number | undefined>,
): Promise<Map<Hash, number | undefined>> {
  const known = new Map<Hash, number>()
  const missing = new Map<Hash, number | undefined>()
  for (const [hash, length] of chunks) {
    if (length !== undefined) known.set(hash, length)
    else if (!(await store.has(hash))) missing.set(hash, undefined)
  }
  for (const [hash, length] of await store.missing(known)) missing.set(hash, length)
  return missing
}

/** The next chunks that nobody has asked for, within the bounds of a request. */
function nextBatch(left: Bringing['left'], expected: Expected): Hash[] {
  const batch: Hash[] = []
  let bytes = 0
  for (const [hash, length = limits.chunkBytes] of left) {
    if (expected.has(hash)) continue
    if (batch.length === chunksPerRequest || bytes + length > requestBytes) break
    batch.push(hash)
    bytes += length
  }
  return batch
}

/** All that is left is on its way to other fetches: waits for the first, takes what has come. */
async function awaitOthers(bringing: Bringing, expected: Expected): Promise<void> {
  const { left, options } = bringing
  const [first] = left.keys()
  const pending = first && expected.get(first)?.promise
  if (pending) {
    await unlessAborted(options.signal, (aborted) => Promise.race([pending, aborted]))
  }
  await takeArrived(bringing, [...left.keys()].filter((hash) => !expected.has(hash)))
}

/** Strikes off what has come through other fetches; gives the rest. */
async function takeArrived(bringing: Bringing, hashes: readonly Hash[]): Promise<Hash[]> {
  const asked = new Map(hashes.map((hash) => [hash, bringing.left.get(hash)]))
  const missing = await missingOf(bringing.options.store, asked)
  for (const hash of hashes) if (!missing.has(hash)) arrived(bringing, hash)
  return hashes.filter((hash) => missing.has(hash))
}

function arrived(bringing: Bringing, hash: Hash): void {
  bringing.bytesLeft -= bringing.left.get(hash) ?? 0
  bringing.left.delete(hash)
  bringing.report(bringing)
}

/**
 * Runs `work` with a promise that rejects when the signal fires; nothing stays registered after.
 */
async function unlessAborted<T>(
  signal: AbortSignal, work: (aborted: Promise<never>) => Promise<T>,
): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  aborted.promise.catch(() => undefined)
  const abort = (): void => aborted.reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    signal.throwIfAborted()
    return await work(aborted.promise)
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

async function claimBatch(bringing: Bringing, batch: readonly Hash[]): Promise<void> {
  const expected = expectedOf(bringing.options.store)
  for (const hash of batch) expected.set(hash, Promise.withResolvers())
  try {
    // Another fetch may have brought some between our looking and our claim.
    const missing = await takeArrived(bringing, batch)
    if (missing.length > 0) await fetchBatch(bringing, missing)
  } finally {
    for (const hash of batch) {
      expected.get(hash)?.resolve()
      expected.delete(hash)
    }
  }
}

async function fetchBatch(bringing: Bringing, batch: readonly Hash[]): Promise<void> {
  const { source, scope, signal } = bringing.options
  const stop = new AbortController()
  const bytes = batch.reduce((sum, hash) => sum + (bringing.left.get(hash) ?? limits.chunkBytes), 0)
  // A peer that sends a byte now and then is never silent, and never done.
  const inTime = clock.deadline(slackMs + Math.ceil(bytes / leastBytesPerMs))
  const ends = AbortSignal.any([signal, inTime])
  try {
    await unlessAborted(ends, async (aborted) => {
      const both = AbortSignal.any([ends, stop.signal])
      const header = encodeRequest({ scope, hashes: batch })
      const iterator = source.fetch(header, both)[Symbol.asyncIterator]()
      const reader = openFrameReader(async () => {
        const next = await Promise.race([iterator.next(), aborted])
        return next.done ? undefined : next.value
      })
      try {
        await receiveBatch(bringing, batch, reader)
      } finally {
        stop.abort()
        // Not awaited: a source that ignores its signal must not hold us.
        iterator.return?.().then(undefined, () => undefined)
      }
    })
  } catch (error) {
    throw error instanceof StagingError || signal.aborted ? error : interrupted(error)
  }
}

function interrupted(cause: unknown): StagingError {
  const why = cause instanceof Error ? cause.message : String(cause)
  const what = `the transfer was interrupted (${why}); fetching again goes on from here`
  return new StagingError('TRANSFER_INTERRUPTED', what, cause)
}

/**
 * Takes the frames in order while up to three chunks are being stored; ends with all of them
 * stored.
 */
async function receiveBatch(
  bringing: Bringing, batch: readonly Hash[], reader: FrameReader,
): Promise<void> {
  const { left, slots } = bringing
  const failures: unknown[] = []
  const lengths = batch.map((hash) => left.get(hash) ?? limits.chunkBytes)
  const lengthMax = Math.max(...lengths)
  let unmet: StagingError | undefined
  try {
    for (const [index, hash] of batch.entries()) {
      const content = await reader.head(hash)
      if (typeof content === 'string') {
        unmet ??= unmetError(hash, content)
        continue
      }
      const slot = (slots[index % buffersPerFetch] ??= {
        buffer: Buffer.alloc(0),
        busy: Promise.resolve(),
      })
      await slot.busy
      if (failures.length > 0) break
      const size = Math.max(content, lengthMax)
      if (slot.buffer.length < size) slot.buffer = Buffer.allocUnsafeSlow(size)
      const bytes = slot.buffer.subarray(0, content)
      await reader.fill(bytes)
      slot.busy = keep(bringing, hash, bytes).catch((error: unknown) => {
        failures.push(error)
      })
    }
    if (failures.length === 0) await reader.end()
  } finally {
    await Promise.all(slots.map((slot) => slot.busy))
  }
  if (failures.length > 0) throw failures[0]
  if (unmet) throw unmet
}

async function keep(bringing: Bringing, hash: Hash, bytes: Buffer): Promise<void> {
  const { options, left, tries } = bringing
  const length = left.get(hash)
  let isRight = length === undefined || length === bytes.length
  if (isRight) {
    try {
      await options.store.put(hash, bytes)
    } catch (error) {
      if (systemCode(error) !== 'CHUNK_MISMATCH') throw error
      isRight = false
    }
  }
  if (isRight) {
    arrived(bringing, hash)
    return
  }
  bringing.mismatches++
  const count = (tries.get(hash) ?? 0) + 1
  tries.set(hash, count)
  bringing.report(bringing)
  if (count < triesMax) return
  const what = `the peer sent wrong bytes for chunk ${hash} ${count} times`
  throw new StagingError('CHUNK_MISMATCH', `${what}; its spool may be damaged, try another time`)
}

function unmetError(hash: Hash, content: 'absent' | 'refused'): StagingError {
  return content === 'absent'
    ? new StagingError('CHUNK_ABSENT', `the peer does not have chunk ${hash} (any more)`)
    : new StagingError('CHUNK_REFUSED', `the peer does not let us have chunk ${hash}`)
}
