// One request and its answer: reads a body within its bound, writes an answer in its form, and
// turns every failure into an `ApiError`.
//
// Invariants: no more than the bound of a body is ever kept, and all bodies together stay within
// one budget; a stream is written as fast as its reader takes it, ends its source when the reader
// has gone, and is cut (never ended properly) when its source fails, so that half an answer cannot
// pass for a whole one.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Outcome } from '../../protocol/base/outcome.ts'
import { ok, refuse } from '../../protocol/base/outcome.ts'
import type { ApiError } from './api.ts'
import type { Answer } from './handlers.ts'
import type { ApiReason, ApiRefusal } from './local-node.ts'
import { apiStatus } from './local-node.ts'
import { clock } from '../clock.ts'

/** Bytes of bodies that are being read now. */
export interface BodyBudget {
  bytesLeft: number
}

export function errorText(refusal: ApiRefusal): string {
  const error: ApiError = { error: { code: refusal.reason, message: refusal.detail } }
  return `${JSON.stringify(error)}\n`
}

/**
 * The whole body. Refusals: `too_large` beyond `bytesMax`, `busy` when the budget is used up. What
 * is refused is not read on. @throws when the client goes away
 */
export async function readBody(
  request: IncomingMessage,
  bytesMax: number,
  budget: BodyBudget,
): Promise<Outcome<Uint8Array, ApiRefusal>> {
  const stated = Number(request.headers['content-length'] ?? 0)
  if (stated > bytesMax) return tooLarge(bytesMax, `${stated}`)
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      const piece = chunk as Buffer
      if (bytes + piece.length > bytesMax) return tooLarge(bytesMax, 'more')
      if (piece.length > budget.bytesLeft) {
        return refuse({ reason: 'busy', detail: 'too many requests are being read; try again' })
      }
      budget.bytesLeft -= piece.length
      bytes += piece.length
      chunks.push(piece)
    }
    return ok(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, bytes))
  } finally {
    budget.bytesLeft += bytes
  }
}

function tooLarge(bytesMax: number, came: string): Outcome<never, ApiRefusal> {
  const detail = bytesMax === 0
    ? 'expected no body with this request'
    : `expected a body of at most ${bytesMax} bytes, got ${came}`
  return refuse({ reason: 'too_large', detail })
}

export function writeRefusal(response: ServerResponse, refusal: ApiRefusal): void {
  const body = Buffer.from(errorText(refusal))
  response.writeHead(apiStatus[refusal.reason], {
    'content-type': 'application/json',
    'content-length': body.length,
  })
  response.end(body)
}

export interface WriteOptions {
  /** Fires when the reader has gone or the server stops. */
  readonly signal: AbortSignal
  /** How long a reader may take nothing while there is something to take. */
  readonly stallMs: number
}

/** @throws what the source threw, or the reason of `signal`; the response is then destroyed. */
export async function writeAnswer(
  response: ServerResponse, answer: Answer, options: WriteOptions,
): Promise<void> {
  switch (answer.kind) {
    case 'nothing':
      response.writeHead(204).end()
      return
    case 'json': {
      const body = Buffer.from(`${JSON.stringify(answer.value)}\n`)
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length })
      response.end(body)
      return
    }
    case 'lines': {
      const line = (item: unknown): Uint8Array => Buffer.from(`${JSON.stringify(item)}\n`)
      response.writeHead(200, { 'content-type': 'application/x-ndjson' })
      await pour(response, answer.items, line, options)
      return
    }
    case 'bytes': {
      // Fewer or more bytes than were promised cut the connection.
      response.strictContentLength = true
      const length = answer.sizeBytes === undefined ? {} : { 'content-length': answer.sizeBytes }
      response.writeHead(200, { 'content-type': 'application/octet-stream', ...length })
      await pour(response, answer.bytes, (bytes) => bytes, options)
    }
  }
}

async function pour<Item>(
  response: ServerResponse,
  items: AsyncIterable<Item>,
  encode: (item: Item) => Uint8Array,
  { signal, stallMs }: WriteOptions,
): Promise<void> {
  // The client is to know that it was granted before the first byte is there.
  response.flushHeaders()
  const source = items[Symbol.asyncIterator]()
  const waiting = interruptible(signal)
  try {
    for (;;) {
      const next = await waiting.until(source.next())
      if (next.done) break
      if (!response.write(encode(next.value))) await waiting.until(drained(response, stallMs))
    }
    // A source that ended because it was told to has not come to its end.
    signal.throwIfAborted()
    response.end()
  } catch (error) {
    if (signal.aborted || error instanceof StalledReader) response.destroy()
    // What was written goes out, the mark of a proper end does not.
    else response.socket?.destroySoon()
    // A source that hangs must not hold us; one that heard the signal ends by itself.
    const ended = source.return?.()
    if (ended) void Promise.resolve(ended).catch(() => {})
    throw error
  } finally {
    waiting.close()
  }
}

/**
 * One wait after another, each cut short by the signal; a long stream leaves nothing behind in
 * between.
 */
function interruptible(signal: AbortSignal): {
  until<T>(promise: Promise<T>): Promise<T>
  close(): void
} {
  let interrupt: (() => void) | undefined
  const onAbort = (): void => interrupt?.()
  signal.addEventListener('abort', onAbort, { once: true })
  return {
    until: (promise) => new Promise((resolve, reject) => {
      interrupt = () => reject(signal.reason as Error)
      if (signal.aborted) interrupt()
      promise.then(resolve, reject)
    }),
    close: () => signal.removeEventListener('abort', onAbort),
  }
}

/** Resolves when there is room again, or when nobody will ever read: the signal says that. */
function drained(response: ServerResponse, stallMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(stallMs, () => {
      release()
      reject(new StalledReader(stallMs))
    })
    const go = (): void => {
      release()
      resolve()
    }
    const release = (): void => {
      timer.stop()
      response.off('drain', go).off('close', go)
    }
    response.once('drain', go).once('close', go)
  })
}

export class StalledReader extends Error {
  override readonly name = 'StalledReader'
  constructor(stallMs: number) {
    super(`the reader took nothing for ${stallMs} ms`)
  }
}

/** For requests that node:http could not read: the answer goes to the bare socket. */
export function rawRefusal(reason: ApiReason, detail: string): string {
  const body = errorText({ reason, detail })
  return `HTTP/1.1 ${apiStatus[reason]} Refused\r\ncontent-type: application/json\r\n` +
    `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`
}
