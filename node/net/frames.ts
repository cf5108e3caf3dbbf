// Frames on a stream: one byte of kind, four bytes of length (big endian), then the body. A length
// is checked against its bound before the body is read, so a peer cannot make us reserve memory.

import { failure } from './failure.ts'
import type { Pipe } from './pipe.ts'

export const frameHeaderBytes = 5

/** Kinds on every protocol of this folder; their numbers never change meaning. */
export const frameKind = {
  hello: 1,
  text: 2,
  ping: 3,
  pong: 4,
  answer: 5,
  error: 6,
  data: 7,
  end: 8,
  idle: 9,
} as const

export interface FrameHeader {
  readonly kind: number
  readonly bytes: number
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

export function headerOf(kind: number, bytes: number): Uint8Array {
  const header = new Uint8Array(frameHeaderBytes)
  header[0] = kind
  new DataView(header.buffer).setUint32(1, bytes)
  return header
}

/** A whole frame in one piece, for small bodies. */
export function frameOf(kind: number, body: Uint8Array | string): Uint8Array {
  const bytes = typeof body === 'string' ? Buffer.byteLength(body) : body.byteLength
  const frame = new Uint8Array(frameHeaderBytes + bytes)
  frame[0] = kind
  new DataView(frame.buffer).setUint32(1, bytes)
  if (typeof body === 'string') encoder.encodeInto(body, frame.subarray(frameHeaderBytes))
  else frame.set(body, frameHeaderBytes)
  return frame
}

/** The next frame's header; undefined when the stream ended between two frames. */
export async function readHeader(pipe: Pipe, bytesMax: number): Promise<FrameHeader | undefined> {
  const header = await pipe.readExactly(frameHeaderBytes)
  if (!header) return undefined
  const bytes = new DataView(header.buffer, header.byteOffset).getUint32(1)
  const kind = header[0] ?? 0
  if (bytes > bytesMax) {
    throw failure('malformed', `a frame of ${bytes} bytes where at most ${bytesMax} may come`)
  }
  return { kind, bytes }
}

export async function readBody(pipe: Pipe, bytes: number): Promise<Uint8Array> {
  const body = await pipe.readExactly(bytes)
  if (!body) throw failure('broken', `the stream ended before a body of ${bytes} bytes`)
  return body
}

export function textOf(body: Uint8Array): string {
  try {
    return decoder.decode(body)
  } catch (cause) {
    throw failure('malformed', 'a frame that is not UTF-8', cause)
  }
}

/** One frame of the kind that must come now. */
export async function readText(pipe: Pipe, kind: number, bytesMax: number): Promise<string> {
  const header = await readHeader(pipe, bytesMax)
  if (!header) throw failure('broken', 'the stream ended before the first frame')
  if (header.kind !== kind) {
    throw failure('malformed', `a frame of kind ${header.kind} where ${kind} must come`)
  }
  return textOf(await readBody(pipe, header.bytes))
}
