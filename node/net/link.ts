// An established message stream to one peer: frames in order, a bounded queue, and proof of life.
//
// Invariants: a link that ended stays ended; `onEnd` is called once; what is queued when it ends is
// lost (the sender's core sends again). A peer is dead when it neither spoke nor took any bytes for
// `heartbeatsMissedMax` rounds in a row, each of which gave the event loop a chance to read.

import type { Connection } from '@libp2p/interface'
import { assert } from '../../protocol/base/assert.ts'
import { limits } from '../../protocol/base/limits.ts'
import type { NetBounds } from './bounds.ts'
import type { Counters } from './counters.ts'
import { codeOf, crash, failure } from './failure.ts'
import { frameHeaderBytes, frameKind, frameOf, readBody, readHeader, textOf } from './frames.ts'
import type { Pipe } from './pipe.ts'

/** What one side says first. `opens` counts the streams it has opened; see links.ts. */
export interface Hello {
  readonly incarnation: string
  readonly opens: number
}

export interface Link {
  readonly connection: Connection
  /** What the peer said when this link was made. */
  readonly remote: Hello
  send(text: string): 'queued' | 'full'
  /** One round of the dead-peer detection. */
  beat(): void
  end(reason: Error): void
}

export interface LinkOptions {
  readonly connection: Connection
  readonly pipe: Pipe
  readonly remote: Hello
  readonly bounds: NetBounds
  readonly counters: Counters
  onText(text: string): void
  onEnd(reason: Error): void
}

const batchBytes = 64 * 1024
const empty = new Uint8Array(0)

export function openLink(options: LinkOptions): Link {
  const { bounds, counters, pipe } = options
  const queue: Uint8Array[] = []
  let queuedBytes = 0
  let pumping = false
  let over = false
  let progressSeen = 0
  let missed = 0

  function end(reason: Error): void {
    if (over) return
    over = true
    queue.length = 0
    queuedBytes = 0
    pipe.abort(reason)
    // The connection was made for this stream; whoever redials makes a fresh one.
    options.connection.abort(reason)
    options.onEnd(reason)
  }

  function nextBatch(): Uint8Array {
    const first = queue.shift() ?? empty
    let bytes = first.byteLength
    let count = 0
    while (count < queue.length && bytes + queue[count]!.byteLength <= batchBytes) {
      bytes += queue[count]!.byteLength
      count += 1
    }
    queuedBytes -= bytes
    return count === 0 ? first : Buffer.concat([first, ...queue.splice(0, count)], bytes)
  }

  async function pump(): Promise<void> {
    if (pumping || over) return
    pumping = true
    try {
      while (queue.length > 0 && !over) {
        // The batch is taken only when it can leave, so that the queue's bound counts what waits.
        await pipe.room()
        if (queue.length > 0) await pipe.write(nextBatch())
      }
    } catch (error) {
      end(failure('broken', 'could not send to the peer', error))
    } finally {
      pumping = false
    }
  }

  function enqueue(frame: Uint8Array): void {
    queue.push(frame)
    queuedBytes += frame.byteLength
    if (!pumping && queue.length === 1) queueMicrotask(() => void pump())
  }

  async function read(): Promise<void> {
    for (;;) {
      const header = await readHeader(pipe, limits.messageBytes)
      if (!header) throw failure('broken', 'the peer closed its message stream')
      const body = await readBody(pipe, header.bytes)
      if (header.kind === frameKind.text) {
        counters.add('messagesReceived')
        counters.add('messageBytesReceived', header.bytes)
        const text = textOf(body)
        if (over) return
        try {
          options.onText(text)
        } catch (error) {
          crash(error)
        }
      } else if (header.kind === frameKind.ping) {
        if (queue.length < bounds.sendQueueFrames) enqueue(frameOf(frameKind.pong, empty))
      } else if (header.kind !== frameKind.pong) {
        throw failure('malformed', `a frame of kind ${header.kind} on a message stream`)
      }
    }
  }

  read().catch((error: Error) => {
    if (codeOf(error) === 'malformed') counters.add('framesMalformed')
    end(error)
  })

  return {
    connection: options.connection,
    remote: options.remote,
    send(text) {
      const bytes = Buffer.byteLength(text)
      assert(bytes <= limits.messageBytes, 'a message is at most limits.messageBytes long')
      const total = queuedBytes + bytes + frameHeaderBytes
      if (queue.length >= bounds.sendQueueFrames || total > bounds.sendQueueBytes) {
        counters.add('messagesRefusedFull')
        return 'full'
      }
      counters.add('messagesSent')
      counters.add('messageBytesSent', bytes)
      enqueue(frameOf(frameKind.text, text))
      return 'queued'
    },
    beat() {
      if (over) return
      const progress = pipe.progress()
      if (progress !== progressSeen) {
        progressSeen = progress
        missed = 0
        return
      }
      missed += 1
      if (missed >= bounds.heartbeatsMissedMax) {
        counters.add('peersFoundDead')
        end(failure('timeout', `the peer was silent for ${missed} heartbeats`))
      } else if (queue.length === 0) {
        counters.add('heartbeatsSent')
        enqueue(frameOf(frameKind.ping, empty))
      }
    },
    end,
  }
}
