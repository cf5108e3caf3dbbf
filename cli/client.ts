// Talks to the node of a data directory over its unix socket. One connection a request: a command
// ends when it is done; only for chunks, of which there may be thousands, are connections kept.
// Every request has a limit for silence; streams that may be quiet for long end when the node does,
// because then the socket closes.

import { statSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import type { ApiError } from '../node/http/api.ts'
import { CommandFailure, exitCodes, failure } from './failure.ts'

export type Query = Readonly<Record<string, string | number | undefined>>

export interface Client {
  get<Answer>(path: string, query?: Query): Promise<Answer>
  /** An object travels as JSON, a string as plain text. */
  post<Answer>(path: string, body: object | string): Promise<Answer>
  put(path: string, bytes: Uint8Array): Promise<void>
  /** The values of a stream of lines; ends when the node ends it. */
  lines<Line>(path: string, query?: Query, signal?: AbortSignal): AsyncIterable<Line>
  bytes(path: string, query?: Query, signal?: AbortSignal): AsyncIterable<Uint8Array>
}

/** A question is answered at once; what changes something may take the node its time. */
const silenceMsMax = { GET: 30_000, POST: 600_000, PUT: 600_000 } as const
const answerBytesMax = 256 * 1024 * 1024
const lineBytesMax = 16 * 1024 * 1024

export function openClient(directory: string): Client {
  const kept = new Agent({ keepAlive: true, maxFreeSockets: 16 })
  const send = async (call: Call): Promise<IncomingMessage> => {
    try {
      return await sendRequest(directory, 'node.sock', call)
    } catch (refusal) {
      if (!(refusal instanceof CommandFailure) || refusal.code !== 'not_admin') throw refusal
      // Who may open the administrator's socket is the administrator.
      return sendRequest(directory, 'admin.sock', call).catch((error: unknown) => {
        throw isUnreachable(error) ? refusal : error
      })
    }
  }
  return {
    async get(path, query) {
      return answerOf(await send({ method: 'GET', path: withQuery(path, query) }))
    },
    async post(path, body) {
      const plain = typeof body === 'string'
      return answerOf(await send({
        method: 'POST',
        path,
        body: Buffer.from(plain ? body : JSON.stringify(body)),
        type: plain ? 'text/plain; charset=utf-8' : 'application/json',
      }))
    },
    async put(path, bytes) {
      const call = { method: 'PUT', path, body: bytes, type: 'application/octet-stream' } as const
      try {
        await bodyOf(await send({ ...call, agent: kept }))
      } catch (error) {
        // A connection that is kept may be closed just as it is used again; a chunk may come twice.
        if (!isUnreachable(error)) throw error
        await bodyOf(await send(call))
      }
    },
    async *lines<Line>(path: string, query?: Query, signal?: AbortSignal) {
      const call = streamCall(path, query, signal)
      yield* linesOf<Line>(await send(call))
    },
    async *bytes(path, query, signal) {
      const call = streamCall(path, query, signal)
      yield* chunksOf(await send(call))
    },
  }
}

interface Call {
  readonly method: 'GET' | 'POST' | 'PUT'
  readonly path: string
  readonly body?: Uint8Array
  readonly type?: string
  readonly agent?: Agent
  readonly signal?: AbortSignal | undefined
  /** The answer may pause for as long as it likes once it has begun. */
  readonly quiet?: boolean
}

function streamCall(path: string, query: Query | undefined, signal: AbortSignal | undefined): Call {
  return { method: 'GET', path: withQuery(path, query), signal, quiet: true }
}

function withQuery(path: string, query: Query = {}): string {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${encodeURIComponent(String(value))}`])
  return pairs.length === 0 ? path : `${path}?${pairs.join('&')}`
}

/** Resolves with a 2xx answer whose body was not read yet; anything else throws. */
async function sendRequest(
  directory: string, socket: string, call: Call,
): Promise<IncomingMessage> {
  const silenceMs = silenceMsMax[call.method]
  try {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = request({
        socketPath: join(directory, socket),
        method: call.method,
        path: call.path,
        agent: call.agent ?? false,
        ...(call.signal ? { signal: call.signal } : {}),
        headers: {
          ...(call.agent ? {} : { connection: 'close' }),
          ...(call.type === undefined ? {} : { 'content-type': call.type }),
          ...(call.body ? { 'content-length': call.body.length } : {}),
        },
      })
      outgoing.on('error', reject)
      outgoing.setTimeout(silenceMs, () => {
        outgoing.destroy(failure(
          'timeout',
          `the node of ${directory} did not answer ${call.method} ${call.path} within ` +
            `${silenceMs / 1000} s. Is the machine overloaded? Try again; 'gridnode version' ` +
            'shows whether it answers at all.',
        ))
      })
      outgoing.on('response', (incoming) => {
        if (call.quiet) outgoing.setTimeout(0)
        resolve(incoming)
      })
      outgoing.end(call.body)
    })
    if (isSuccess(answer)) return answer
    throw await refusalOf(answer)
  } catch (cause) {
    if (call.signal?.aborted) throw call.signal.reason
    throw explained(cause, directory)
  }
}

function isSuccess(answer: IncomingMessage): boolean {
  const status = answer.statusCode ?? 0
  return status >= 200 && status < 300
}

async function refusalOf(answer: IncomingMessage): Promise<CommandFailure> {
  const status = answer.statusCode ?? 0
  const text = (await bodyOf(answer)).toString()
  try {
    const { error } = JSON.parse(text) as ApiError
    if (error.code === 'stopping') return unreachable(error.message)
    return failure(String(error.code), String(error.message))
  } catch {
    return failure('malformed', `the node answered ${status} with what is no error of its API: ` +
      `${text.slice(0, 200)}. Is it another version of gridnode? 'gridnode version' compares.`)
  }
}

function explained(cause: unknown, directory: string): unknown {
  if (cause instanceof CommandFailure) return cause
  const { code } = cause as NodeJS.ErrnoException
  if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTDIR') {
    if (!isDirectory(directory)) {
      return unreachable(
        `there is no site at ${directory}. Make one with 'gridnode init', or name the right ` +
          'directory with --dir DIR or GRIDNODE_DIR.',
      )
    }
    return unreachable(
      `the node of ${directory} is not running. Start it with ` +
        `'gridnode start --dir ${directory}' (it stays in the foreground), ` +
        'or name another site with --dir DIR or GRIDNODE_DIR.',
    )
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return unreachable(
      `you may not talk to the node of ${directory}: its socket belongs to another user. ` +
        'Ask its administrator for access.',
    )
  }
  return code === 'ECONNRESET' || code === 'EPIPE' ? cutOff() : cause
}

function unreachable(message: string): CommandFailure {
  return new CommandFailure(exitCodes.unreachable, 'unreachable', message)
}

function isUnreachable(error: unknown): boolean {
  return error instanceof CommandFailure && error.exitCode === exitCodes.unreachable
}

function cutOff(): CommandFailure {
  return unreachable(
    'the node ended the connection before its answer was whole; it may be stopping. What was ' +
      "submitted is kept: start the node again and look with 'gridnode status'.",
  )
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}

async function answerOf<Answer>(incoming: IncomingMessage): Promise<Answer> {
  const body = await bodyOf(incoming)
  if (body.length === 0) return undefined as Answer
  try {
    return JSON.parse(body.toString()) as Answer
  } catch (cause) {
    throw new Error('the node answered with what is no JSON', { cause })
  }
}

async function bodyOf(incoming: IncomingMessage): Promise<Buffer> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of chunksOf(incoming)) {
    size += part.length
    if (size > answerBytesMax) throw new Error(`the node's answer passes ${answerBytesMax} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts)
}

async function* chunksOf(incoming: IncomingMessage): AsyncIterable<Uint8Array> {
  try {
    for await (const part of incoming) yield part as Buffer
  } catch (cause) {
    throw (cause as NodeJS.ErrnoException).code === 'ECONNRESET' ? cutOff() : cause
  } finally {
    incoming.destroy()
  }
}

async function* linesOf<Line>(incoming: IncomingMessage): AsyncIterable<Line> {
  let rest = Buffer.alloc(0)
  for await (const part of chunksOf(incoming)) {
    rest = Buffer.concat([rest, part])
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      const line = rest.subarray(0, end).toString().trim()
      rest = rest.subarray(end + 1)
      if (line !== '') yield JSON.parse(line) as Line
    }
    if (rest.length > lineBytesMax) throw new Error('a line of the node has no end')
  }
}
