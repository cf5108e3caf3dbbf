// The sending side of a transfer: chunks that the store has and the scope may have.

import type { Hash } from '../../protocol/base/ids.ts'
import type { ChunkStore } from './chunk-store.ts'
import { decodeRequest, encodeFrameHead } from './frames.ts'

export interface ServeOptions {
  /** The request as it came. */
  readonly header: string
  readonly store: ChunkStore
  /**
   * Whether this peer may have this chunk in this scope; a "no" does not tell whether it is here.
   */
  allowed(scope: string, hash: Hash): boolean
  readonly signal?: AbortSignal
}

/** Up to this size head and chunk leave as one piece. */
const joinedBytesMax = 64 * 1024

/**
 * The answer to a request, one chunk read ahead of what is being sent; at most two chunks in
 * memory. Throws REQUEST_REFUSED before the first byte; a chunk that is corrupt here is absent.
 */
export async function* serve(options: ServeOptions): AsyncGenerator<Uint8Array, void, undefined> {
  const { store, signal } = options
  const { scope, hashes } = decodeRequest(options.header)
  const begin = (hash: Hash | undefined): Promise<Buffer | 'absent' | 'refused'> => {
    if (!hash || !options.allowed(scope, hash)) return Promise.resolve('refused')
    const reading = store.read(hash).then((bytes) => bytes ?? 'absent')
    // The reader may leave before this one's turn; then nobody asks how it went.
    reading.catch(() => undefined)
    return reading
  }
  let ahead = begin(hashes[0])
  for (const [index, hash] of hashes.entries()) {
    signal?.throwIfAborted()
    const chunk = await ahead
    if (index + 1 < hashes.length) ahead = begin(hashes[index + 1])
    if (typeof chunk === 'string') {
      yield encodeFrameHead(hash, chunk)
    } else if (chunk.length <= joinedBytesMax) {
      yield Buffer.concat([encodeFrameHead(hash, chunk.length), chunk])
    } else {
      yield encodeFrameHead(hash, chunk.length)
      yield chunk
    }
  }
}
