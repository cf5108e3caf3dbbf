// Bulk streams: as fast as the link, in bounded memory, on a connection of their own so that a
// transfer does not delay messages.
//
// A stream is a header from the reader, then data frames from the server, then an end frame that
// carries the count of bytes. Whatever ends otherwise (an error frame, a broken connection, a short
// count) is an error to the reader. While the server's source is slow it sends idle frames, so
// silence means death.

import type { Connection, Stream } from '@libp2p/interface'
import { limits } from '../../protocol/base/limits.ts'
import { clock } from '../clock.ts'
import type { Timer } from '../clock.ts'
import type { NetBounds } from './bounds.ts'
import type { Counters } from './counters.ts'
import { errorFrameOf, orAborted, readError } from './exchange.ts'
import { failure, mayTravel } from './failure.ts'
import { frameKind, frameOf, headerOf, readBody, readHeader, readText } from './frames.ts'
import type { Known } from './members.ts'
import { openPipe } from './pipe.ts'
import type { Pipe } from './pipe.ts'

const countBytes = 8
const idleFrame = frameOf(frameKind.idle, new Uint8Array(0))

function endFrame(total: number): Uint8Array {
  const body = new Uint8Array(countBytes)
  new DataView(body.buffer).setBigUint64(0, BigInt(total))
  return frameOf(frameKind.end, body)
}

/** Reads what a server sends; throws a Failure unless the end frame came and its count is right. */
export async function* readBulk(
  stream: Stream,
  header: string,
  options: { readonly bounds: NetBounds; readonly signal: AbortSignal },
): AsyncGenerator<Uint8Array, void, undefined> {
  const { bounds, signal } = options
  const pipe = openPipe(stream, bounds)
  let complete = false
  const stop = (): void => pipe.abort(failure('aborted', 'the reader gave up', signal.reason))
  signal.addEventListener('abort', stop, { once: true })
  const watch = watchReads(pipe, bounds)
  try {
    signal.throwIfAborted()
    await pipe.write(frameOf(frameKind.text, header))
    let total = 0
    for (;;) {
      const frame = await watch.reading(readHeader(pipe, limits.messageBytes))
      if (!frame) throw failure('broken', `the stream ended without an end after ${total} bytes`)
      if (frame.kind === frameKind.error) await readError(pipe, frame.bytes)
      if (frame.kind === frameKind.end) {
        await checkCount(pipe, frame.bytes, total)
        complete = true
        return
      }
      if (frame.kind !== frameKind.data && frame.kind !== frameKind.idle) {
        throw failure('malformed', `a frame of kind ${frame.kind} in a bulk stream`)
      }
      for (let left = frame.bytes; left > 0; ) {
        const part = await watch.reading(pipe.readSome(left))
        if (!part) throw failure('broken', `the stream ended within a frame, at ${total} bytes`)
        left -= part.byteLength
        if (frame.kind === frameKind.idle) continue
        total += part.byteLength
        yield part
      }
    }
  } catch (error) {
    if (signal.aborted) throw failure('aborted', 'the bulk stream was given up', signal.reason)
    throw error
  } finally {
    watch.stop()
    signal.removeEventListener('abort', stop)
    if (complete) void pipe.finish()
    else pipe.abort(failure('aborted', 'the reader stopped before the end'))
  }
}

async function checkCount(pipe: Pipe, bytes: number, total: number): Promise<void> {
  if (bytes !== countBytes) throw failure('malformed', `an end frame of ${bytes} bytes`)
  const body = await readBody(pipe, bytes)
  const count = new DataView(body.buffer, body.byteOffset).getBigUint64(0)
  if (count !== BigInt(total)) {
    throw failure('broken', `the server sent ${count} bytes, ${total} arrived`)
  }
}

/** Aborts the pipe when a read waits and nothing arrives; a reader busy elsewhere may be slow. */
function watchReads(
  pipe: Pipe,
  bounds: NetBounds,
): { reading<T>(read: Promise<T>): Promise<T>; stop(): void } {
  let waiting = false
  let seen = -1
  const timer = clock.every(bounds.fetchReadMs / 2, () => {
    const progress = waiting ? pipe.progress() : -1
    if (progress >= 0 && progress === seen) {
      pipe.abort(failure('timeout', `no byte came for ${bounds.fetchReadMs / 2} ms or more`))
    }
    seen = progress
  })
  return {
    async reading(read) {
      waiting = true
      try {
        return await read
      } finally {
        waiting = false
      }
    },
    stop: () => timer.stop(),
  }
}

export interface ServeOptions {
  readonly bounds: NetBounds
  readonly counters: Counters
  open(header: string, signal: AbortSignal): AsyncIterable<Uint8Array>
  /** Told of what the source threw without a code: our own fault. */
  onFault(error: unknown): void
}

/** Serves one bulk stream to its end; throws when the reader broke the protocol or left. */
export async function serveBulk(stream: Stream, options: ServeOptions): Promise<void> {
  const { bounds, counters } = options
  const pipe = openPipe(stream, bounds)
  const late = clock.after(bounds.requestReadMs, () =>
    pipe.abort(failure('timeout', 'no header in time')),
  )
  try {
    const header = await readText(pipe, frameKind.text, bounds.fetchHeaderBytes)
    late.stop()
    try {
      const total = await pour(options.open(header, pipe.closed), pipe, options)
      await pipe.write(endFrame(total))
      counters.add('fetchesServed')
    } catch (error) {
      if (pipe.closed.aborted) throw error
      counters.add('fetchesFailed')
      if (!mayTravel(error)) options.onFault(error)
      await pipe.write(errorFrameOf(error, bounds))
    }
    await pipe.finish()
  } catch (error) {
    pipe.abort(failure('aborted', 'the bulk stream broke', error))
    throw error
  } finally {
    late.stop()
  }
}

async function pour(
  source: AsyncIterable<Uint8Array>,
  pipe: Pipe,
  options: ServeOptions,
): Promise<number> {
  const { bounds, counters } = options
  const iterator = source[Symbol.asyncIterator]()
  let waiting = false
  let exhausted = false
  let total = 0
  const keepAlive = clock.every(bounds.fetchKeepAliveMs, () => {
    // Without room the reader has bytes to read, which is proof enough. A failed write shows in the
    // pipe's `closed`, which ends the wait for the source.
    if (!waiting || !pipe.hasRoom()) return
    counters.add('fetchKeepAlives')
    pipe.write(idleFrame).catch(() => undefined)
  })
  try {
    for (;;) {
      waiting = true
      const next = await orAborted(iterator.next(), pipe.closed)
      waiting = false
      if (next.done) {
        exhausted = true
        return total
      }
      const chunk = next.value
      for (let at = 0; at < chunk.byteLength; at += bounds.fetchFrameBytes) {
        const part = chunk.subarray(at, at + bounds.fetchFrameBytes)
        await pipe.write(headerOf(frameKind.data, part.byteLength))
        await pipe.write(part)
      }
      total += chunk.byteLength
      counters.add('fetchBytesServed', chunk.byteLength)
    }
  } finally {
    keepAlive.stop()
    // The source may be in the middle of a read: it has its signal, and ends in its own time.
    if (!exhausted) iterator.return?.().catch(() => undefined)
  }
}

export interface BulkPool {
  /** A connection for transfers from `peer`; once released it stays open a while for the next. */
  acquire(peer: Known, signal: AbortSignal): Promise<{ connection: Connection; release(): void }>
  stop(): void
}

interface Lane {
  readonly dialled: Promise<Connection>
  users: number
  idle: Timer | undefined
}

/** `messageConnection` serves when the peer cannot be dialled (it may reach us, but not we it). */
export function openBulkPool(options: {
  readonly bounds: NetBounds
  readonly counters: Counters
  dial(peer: Known, signal: AbortSignal): Promise<Connection>
  messageConnection(peer: Known): Connection | undefined
}): BulkPool {
  const { bounds, counters } = options
  const lanes = new Map<string, Lane>()
  /** Peers that could not be dialled, and until when (monotonic) that is not tried again. */
  const unreachable = new Map<string, number>()
  const stopping = new AbortController()

  function laneTo(peer: Known): Lane {
    const standing = lanes.get(peer.id)
    if (standing) return standing
    const lane: Lane = { dialled: options.dial(peer, stopping.signal), users: 0, idle: undefined }
    const drop = (): void => {
      lane.idle?.stop()
      if (lanes.get(peer.id) === lane) lanes.delete(peer.id)
    }
    lanes.set(peer.id, lane)
    lane.dialled.then((connection) => {
      unreachable.delete(peer.id)
      connection.addEventListener('close', drop)
      if (connection.status !== 'open') drop()
    }, drop)
    return lane
  }

  return {
    async acquire(peer, signal) {
      const shared = options.messageConnection(peer)
      const untilMs = unreachable.get(peer.id) ?? 0
      if (shared && (peer.addresses.length === 0 || untilMs > clock.monotonicMs())) {
        counters.add('fetchesOnMessageConnection')
        return { connection: shared, release: () => undefined }
      }
      const lane = laneTo(peer)
      lane.users += 1
      lane.idle?.stop()
      let held = true
      const release = (): void => {
        if (!held) return
        held = false
        lane.users -= 1
        if (lane.users > 0 || lanes.get(peer.id) !== lane) return
        lane.idle?.stop()
        lane.idle = clock.after(bounds.bulkIdleMs, () => {
          if (lanes.get(peer.id) === lane) lanes.delete(peer.id)
          lane.dialled.then((connection) => void connection.close()).catch(() => undefined)
        })
      }
      try {
        return { connection: await orAborted(lane.dialled, signal), release }
      } catch (error) {
        release()
        if (signal.aborted) throw failure('aborted', 'the bulk stream was given up', signal.reason)
        unreachable.set(peer.id, clock.monotonicMs() + bounds.bulkRedialMs)
        const fallback = options.messageConnection(peer)
        if (!fallback) throw failure('down', `no connection to ${peer.site}`, error)
        counters.add('fetchesOnMessageConnection')
        return { connection: fallback, release: () => undefined }
      }
    },
    stop() {
      stopping.abort(failure('aborted', 'the network stops'))
      for (const lane of lanes.values()) lane.idle?.stop()
      lanes.clear()
    },
  }
}
