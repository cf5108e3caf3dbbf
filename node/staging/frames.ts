// The bytes on a transfer stream. A request is one line of canonical JSON: for which scope (a
// contract, a job) which chunks, each once. The answer has one frame for each, in the order of the
// request: 32 bytes of hash, 4 bytes of length (big-endian), then so many bytes; two lengths that
// no chunk can have say that there are none.

import { fromHex, toHex } from '../../protocol/base/crypto.ts'
import { decode, encode } from '../../protocol/base/encoding.ts'
import type { Hash } from '../../protocol/base/ids.ts'
import { limits } from '../../protocol/base/limits.ts'
import { hash, list, literal, record, shaped, text } from '../../protocol/base/shape.ts'
import { StagingError } from './staging-error.ts'

export interface ChunkRequest {
  /** Whose chunks these are, as both sites call it; decides what may be had. */
  readonly scope: string
  readonly hashes: readonly Hash[]
}

export const chunksPerRequest = 512
const requestBytesMax = 64 * 1024
const requestKind = 'gridnode/v1/chunks'
const frameHeadBytes = 36
const absentLength = 0xffff_ffff
const refusedLength = 0xffff_fffe

const requestShape = record({
  hashes: list(hash(), { min: 1, max: chunksPerRequest }),
  kind: literal(requestKind),
  scope: text({ bytesMax: 256 }),
})

export function encodeRequest({ scope, hashes }: ChunkRequest): string {
  return encode({ hashes, kind: requestKind, scope })
}

/** @throws REQUEST_REFUSED */
export function decodeRequest(header: string): ChunkRequest {
  const decoded = decode(header, { bytesMax: requestBytesMax })
  const request = decoded.ok ? shaped(requestShape, decoded.value) : decoded
  if (!request.ok) throw new StagingError('REQUEST_REFUSED', request.refusal.detail)
  const { scope, hashes } = request.value
  if (new Set(hashes).size === hashes.length) return { scope, hashes }
  throw new StagingError('REQUEST_REFUSED', 'a chunk is asked for twice in one request')
}

export type FrameContent = number | 'absent' | 'refused'

export function encodeFrameHead(hash: Hash, content: FrameContent): Buffer {
  const head = Buffer.allocUnsafe(frameHeadBytes)
  head.write(hash, 0, 'hex')
  const length =
    content === 'absent' ? absentLength : content === 'refused' ? refusedLength : content
  head.writeUInt32BE(length, 32)
  return head
}

/** Reads frames from a stream cut anywhere; nothing after a refusal to read on is looked at. */
export interface FrameReader {
  /**
   * The head of the frame that must come next.
   * @throws FRAME_BROKEN, TRANSFER_INTERRUPTED
   */
  head(expected: Hash): Promise<FrameContent>
  /** Fills `bytes` from the frame. @throws TRANSFER_INTERRUPTED */
  fill(bytes: Uint8Array): Promise<void>
  /** Waits for the end. @throws FRAME_BROKEN when there is more */
  end(): Promise<void>
}

/** `next` gives the stream's next bytes, undefined at its end. */
export function openFrameReader(next: () => Promise<Uint8Array | undefined>): FrameReader {
  let rest = new Uint8Array(0)
  const fill = async (bytes: Uint8Array): Promise<void> => {
    for (let done = 0; done < bytes.length; ) {
      if (rest.length === 0) {
        const more = await next()
        if (!more) throw new StagingError('TRANSFER_INTERRUPTED', 'the stream ended inside a frame')
        rest = more as Uint8Array<ArrayBuffer>
      }
      const part = rest.subarray(0, bytes.length - done)
      bytes.set(part, done)
      rest = rest.subarray(part.length)
      done += part.length
    }
  }
  return {
    fill,
    async head(expected) {
      const head = Buffer.alloc(frameHeadBytes)
      await fill(head)
      const length = head.readUInt32BE(32)
      if (!head.subarray(0, 32).equals(fromHex(expected) ?? head)) {
        const came = toHex(head.subarray(0, 32))
        throw new StagingError('FRAME_BROKEN', `expected chunk ${expected}, the peer sent ${came}`)
      }
      if (length === absentLength) return 'absent'
      if (length === refusedLength) return 'refused'
      if (length > 0 && length <= limits.chunkBytes) return length
      const expectation = `expected 1 to ${limits.chunkBytes} bytes of chunk ${expected}`
      throw new StagingError('FRAME_BROKEN', `${expectation}, the peer announced ${length}`)
    },
    async end() {
      while (rest.length === 0) {
        const more = await next()
        if (!more) return
        rest = more as Uint8Array<ArrayBuffer>
      }
      throw new StagingError('FRAME_BROKEN', 'the peer sent more than was asked for')
    },
  }
}
