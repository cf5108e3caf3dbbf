// A libp2p stream with bounded memory in both directions: a reader that stops the sender when
// nobody reads, and a writer that waits for room.
//
// Invariants: at most `readBufferBytes` plus one window are held; bytes that arrived before an
// error are delivered before it. `pause` is called in a microtask (inside a message event it would
// be undone by the `resume` that dispatches it), and room is awaited by the `drain` event
// (`onDrain()` never re-arms).

import type { Stream } from '@libp2p/interface'
import { clock } from '../clock.ts'
import { failure } from './failure.ts'
import type { NetBounds } from './bounds.ts'

export interface Pipe {
  /** Fires when the stream is over, whoever ended it. */
  readonly closed: AbortSignal
  /** Exactly `count` bytes; undefined when the stream ended cleanly before the first of them. */
  readExactly(count: number): Promise<Uint8Array | undefined>
  /** Between 1 and `most` bytes, without copying; undefined at the end. */
  readSome(most: number): Promise<Uint8Array | undefined>
  /** True when a `write` now hands its bytes over at once, before anything else can be written. */
  hasRoom(): boolean
  /** Resolves when there is room to write. */
  room(): Promise<void>
  /** Waits for room, then hands the bytes over; the stream keeps them until they leave. */
  write(bytes: Uint8Array): Promise<void>
  /** Grows with every byte that came and every time that the peer made room for ours. */
  progress(): number
  /** Says that nothing follows and waits a bounded time for the other side to do the same. */
  finish(): Promise<void>
  abort(reason: Error): void
}

interface Inbox {
  readonly chunks: Uint8Array[]
  head: number
  bytes: number
}

function take(inbox: Inbox, most: number): Uint8Array {
  const chunk = inbox.chunks[inbox.head]!
  const part = chunk.byteLength <= most ? chunk : chunk.subarray(0, most)
  if (part === chunk) {
    inbox.head += 1
    if (inbox.head > 64 && inbox.head * 2 > inbox.chunks.length) {
      inbox.chunks.splice(0, inbox.head)
      inbox.head = 0
    }
  } else {
    inbox.chunks[inbox.head] = chunk.subarray(most)
  }
  inbox.bytes -= part.byteLength
  return part
}

export function openPipe(stream: Stream, bounds: NetBounds): Pipe {
  const closing = new AbortController()
  const reader = openReader(stream, bounds)
  let waiting: PromiseWithResolvers<void> | undefined
  let drains = 0

  stream.addEventListener('drain', () => {
    drains += 1
    waiting?.resolve()
    waiting = undefined
  })
  const onClose = (error: Error | undefined): void => {
    reader.end(error)
    waiting?.reject(failure('broken', 'the peer closed the stream', error))
    waiting = undefined
    closing.abort(failure('broken', 'the stream is closed', error))
  }
  stream.addEventListener('close', (event) => onClose(event.error))
  if (stream.status !== 'open' && stream.status !== 'closing') onClose(undefined)

  async function room(): Promise<void> {
    while (stream.writableNeedsDrain && !closing.signal.aborted) {
      waiting ??= Promise.withResolvers<void>()
      const stalled = clock.after(bounds.fetchWriteMs, () =>
        stream.abort(failure('timeout', `the peer read nothing for ${bounds.fetchWriteMs} ms`)),
      )
      await waiting.promise.finally(() => stalled.stop())
    }
    if (closing.signal.aborted) throw closing.signal.reason
  }

  return {
    closed: closing.signal,
    readExactly: reader.readExactly,
    readSome: reader.readSome,
    hasRoom: () => !stream.writableNeedsDrain && !closing.signal.aborted,
    room,
    async write(bytes) {
      if (stream.writableNeedsDrain || closing.signal.aborted) await room()
      try {
        stream.send(bytes)
      } catch (error) {
        throw failure('broken', 'the stream takes no more bytes', error)
      }
    },
    progress: () => drains + reader.received(),
    async finish() {
      try {
        await stream.close({ signal: clock.deadline(bounds.streamLingerMs) })
        if (closing.signal.aborted) return
        const over = Promise.withResolvers<void>()
        closing.signal.addEventListener('abort', () => over.resolve(), { once: true })
        const linger = clock.after(bounds.streamLingerMs, () => over.resolve())
        await over.promise
        linger.stop()
      } catch {
        // The other side was faster, or is gone; the abort below settles both.
      }
      stream.abort(failure('broken', 'the other side did not close its half in time'))
    },
    abort: (reason) => stream.abort(reason),
  }
}

interface Reader {
  readExactly(count: number): Promise<Uint8Array | undefined>
  readSome(most: number): Promise<Uint8Array | undefined>
  received(): number
  end(error: Error | undefined): void
}

function openReader(stream: Stream, bounds: NetBounds): Reader {
  const inbox: Inbox = { chunks: [], head: 0, bytes: 0 }
  let received = 0
  let paused = false
  let ended: { readonly error: Error | undefined } | undefined
  let waiting: PromiseWithResolvers<void> | undefined

  const wake = (): void => {
    waiting?.resolve()
    waiting = undefined
  }
  const resume = (): void => {
    paused = false
    try {
      if (stream.readStatus === 'paused') stream.resume()
    } catch {
      // The stream closed meanwhile; what it still held was dispatched before it said so.
    }
  }
  stream.addEventListener('message', (event) => {
    const data = event.data
    const parts = data instanceof Uint8Array ? [data] : data
    for (const part of parts) {
      if (part.byteLength === 0) continue
      inbox.chunks.push(part)
      inbox.bytes += part.byteLength
      received += part.byteLength
    }
    wake()
    if (inbox.bytes < bounds.readBufferBytes || paused) return
    paused = true
    queueMicrotask(() => {
      if (paused && stream.readStatus === 'readable') stream.pause()
    })
  })
  const end = (error: Error | undefined): void => {
    if (ended) return
    if (paused) resume()
    ended = { error }
    wake()
  }
  // `end` may come just before the `close` that carries the reason.
  stream.addEventListener('end', () => queueMicrotask(() => end(undefined)))
  if (stream.readableEnded) queueMicrotask(() => end(undefined))

  /** True when there is something to take, false at the clean end. */
  async function available(): Promise<boolean> {
    while (inbox.bytes === 0) {
      if (ended?.error) throw failure('broken', 'the connection broke', ended.error)
      if (ended) return false
      waiting ??= Promise.withResolvers<void>()
      await waiting.promise
    }
    return true
  }
  function taken(part: Uint8Array): Uint8Array {
    if (paused && inbox.bytes * 2 <= bounds.readBufferBytes) resume()
    return part
  }
  return {
    end,
    received: () => received,
    async readSome(most) {
      return (await available()) ? taken(take(inbox, most)) : undefined
    },
    async readExactly(count) {
      if (count === 0) return new Uint8Array(0)
      if (!(await available())) return undefined
      const first = taken(take(inbox, count))
      if (first.byteLength === count) return first
      const whole = new Uint8Array(count)
      whole.set(first)
      for (let filled = first.byteLength; filled < count; ) {
        if (!(await available())) {
          throw failure('broken', `the stream ended after ${filled} of ${count} bytes`)
        }
        const part = taken(take(inbox, count - filled))
        whole.set(part, filled)
        filled += part.byteLength
      }
      return whole
    },
  }
}
