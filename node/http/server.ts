// The local API on a unix socket in the data directory. It finds the route, keeps every bound, and
// never lets one client's failure reach another; what a route does is in handlers.ts.
//
// Invariants: the socket appears in one step, with its mode set, and only where nobody serves; a
// request ends in an answer or in a closed connection within its time; after `stop` nothing is open
// and the socket is gone.

import { once } from 'node:events'
import { chmodSync, renameSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import type { Outcome } from '../../protocol/base/outcome.ts'
import { ok, refuse } from '../../protocol/base/outcome.ts'
import { clock } from '../clock.ts'
import { nearestFew } from '../../protocol/base/nearest.ts'
import { messageOf, Problem, systemCode } from '../problem.ts'
import type { Report } from '../report.ts'
import type { BodyBudget } from './exchange.ts'
import { rawRefusal, readBody, StalledReader, writeAnswer, writeRefusal } from './exchange.ts'
import type { Route } from './handlers.ts'
import { routes } from './handlers.ts'
import type { ApiReason, ApiRefusal, LocalNode } from './local-node.ts'

export const socketName = 'node.sock'
/** Of the administrator alone, where the other one is open to a group. */
export const adminSocketName = 'admin.sock'

export interface ApiBounds {
  readonly connectionsMax: number
  /** From the first byte of a request to its last. */
  readonly requestMs: number
  readonly headersMs: number
  readonly idleMs: number
  readonly stallMs: number
  /** How long the node may take for an answer; a stream has begun by then. */
  readonly answerMs: number
  /** How often the times above are looked at. */
  readonly checkMs: number
  readonly bodyBytesInAll: number
  /** How much of a refused body is read and thrown away, so that its sender gets to read why. */
  readonly wastedBytes: number
  /** How long requests in progress may go on after `stop`. */
  readonly stopMs: number
}

export const apiBounds: ApiBounds = {
  connectionsMax: 256,
  requestMs: 60_000,
  headersMs: 10_000,
  idleMs: 15_000,
  stallMs: 120_000,
  answerMs: 600_000,
  checkMs: 1_000,
  bodyBytesInAll: 128 * 1024 * 1024,
  wastedBytes: 32 * 1024 * 1024,
  stopMs: 5_000,
}

export interface ApiServerOptions {
  readonly socketPath: string
  readonly socketMode: number
  /** Whether what speaks for the whole site is taken here; yes when left out. */
  readonly admin?: boolean
  readonly node: LocalNode
  readonly report: Report
  readonly bounds?: Partial<ApiBounds>
}

export interface ApiServer {
  /** `api_requests`, `api_streams_open`, `api_refused_<code>`, `api_aborted`, … */
  counters(): Readonly<Record<string, number>>
  /** Streams are cut, other requests get their time. Idempotent. */
  stop(): Promise<void>
}

/** What one server's requests share. */
interface Shared {
  readonly admin: boolean
  readonly node: LocalNode
  readonly report: Report
  readonly bounds: ApiBounds
  readonly budget: BodyBudget
  readonly counts: Map<string, number>
  readonly stopping: AbortController
}

/** @throws Problem `socket` */
export async function startServer(options: ApiServerOptions): Promise<ApiServer> {
  const bounds = { ...apiBounds, ...options.bounds }
  const shared: Shared = {
    admin: options.admin ?? true,
    node: options.node,
    report: options.report,
    bounds,
    budget: { bytesLeft: bounds.bodyBytesInAll },
    counts: new Map(),
    stopping: new AbortController(),
  }
  const server = createServer({
    requestTimeout: bounds.requestMs,
    headersTimeout: Math.min(bounds.headersMs, bounds.requestMs),
    keepAliveTimeout: bounds.idleMs,
    connectionsCheckingInterval: bounds.checkMs,
    maxHeaderSize: 16 * 1024,
  })
  server.maxConnections = bounds.connectionsMax
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    void serveOne(shared, request, response)
  }
  server.on('request', serve)
  // With this a client that asks first learns that its body is too large before it sends it.
  server.on('checkContinue', serve)
  server.on('drop', () => refused(shared, 'busy'))
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) =>
    onClientError(shared, error, socket))
  await listen(server, options.socketPath, options.socketMode)
  server.on('error', (error) => shared.report.error('the API cannot take connections', { error }))
  let stopped: Promise<void> | undefined
  return {
    counters: () => Object.fromEntries(shared.counts),
    stop: () => (stopped ??= stop(shared, server, options.socketPath)),
  }
}

/** Binds under a name of its own, sets the mode, and puts the socket in place in one step. */
async function listen(server: Server, path: string, mode: number): Promise<void> {
  const draft = `${path}.new`
  const bytesMax = 107
  if (Buffer.byteLength(draft) > bytesMax) {
    throw new Problem('socket', `the path of the socket is too long: expected at most ` +
      `${bytesMax - 4} bytes, got ${Buffer.byteLength(path)} (${path}); ` +
      'use a data directory with a shorter path')
  }
  if (await answers(path)) {
    throw new Problem('socket', `another process serves ${path}; stop it, or use another directory`)
  }
  try {
    rmSync(draft, { force: true })
    server.listen(draft)
    // Rejects when the server says `error` instead.
    await once(server, 'listening')
    chmodSync(draft, mode)
    renameSync(draft, path)
  } catch (cause) {
    server.close()
    throw new Problem('socket', `cannot serve on ${path}: ${messageOf(cause)}`, cause)
  }
}

/** Whether somebody takes connections there; a socket left by a crash does not. */
async function answers(path: string): Promise<boolean> {
  const socket = connect(path)
  try {
    await once(socket, 'connect', { signal: clock.deadline(2_000) })
    return true
  } catch (error) {
    // Somebody is there and too busy to answer.
    return !['ENOENT', 'ECONNREFUSED', 'ENOTSOCK'].includes(systemCode(error))
  } finally {
    socket.destroy()
  }
}

async function serveOne(
  shared: Shared, request: IncomingMessage, response: ServerResponse,
): Promise<void> {
  count(shared, 'api_requests')
  const gone = new AbortController()
  response.on('close', () => {
    if (!response.writableFinished) gone.abort(new Error('the client has gone'))
  })
  // A client that goes away is told by `close`; nothing is to be made of it here.
  request.on('error', () => {})
  response.on('error', () => {})
  try {
    const answer = await answerTo(shared, request, response, gone.signal)
    if (!answer.ok) {
      refused(shared, answer.refusal.reason)
      await finishRefused(shared, request, response, answer.refusal)
    }
  } catch (error) {
    const expected = gone.signal.aborted || shared.stopping.signal.aborted
    await onFailure(shared, { request, response, error, gone: expected || response.destroyed })
  }
}

async function answerTo(
  shared: Shared, request: IncomingMessage, response: ServerResponse, gone: AbortSignal,
): Promise<Outcome<void, ApiRefusal>> {
  if (shared.stopping.signal.aborted) {
    return refuse({ reason: 'stopping', detail: 'the node is stopping; start it again first' })
  }
  const [path, search] = split(request.url ?? '', '?')
  const found = findRoute(request.method ?? '', path)
  if (!found.ok) return found
  const { route, name } = found.value
  if (route.admin && !shared.admin) {
    const detail = `this is for the site's administrator: only who may open ${adminSocketName} ` +
      'may ask for it'
    return refuse({ reason: 'not_admin', detail })
  }
  const query = new URLSearchParams(search)
  const wrong = wrongQuery(query, route.query)
  if (wrong) return refuse(wrong)
  if (request.headers.expect === '100-continue') {
    const stated = Number(request.headers['content-length'] ?? 0)
    if (stated <= route.bodyBytesMax) response.writeContinue()
  }
  const body = await readBody(request, route.bodyBytesMax, shared.budget)
  if (!body.ok) return body
  // A stop cuts streams, which might go on for ever; anything else gets its time.
  const signal = AbortSignal.any([gone, shared.stopping.signal])
  const { node, admin: isAdmin } = shared
  const call = { node, name, query, body: body.value, isAdmin, signal }
  const answer = await inTime(route.handle(call), gone, shared.bounds.answerMs)
  if (!answer.ok) return answer
  const streams = answer.value.kind === 'lines' || answer.value.kind === 'bytes'
  if (streams) count(shared, 'api_streams_open')
  try {
    await writeAnswer(response, answer.value, { signal, stallMs: shared.bounds.stallMs })
  } finally {
    if (streams) count(shared, 'api_streams_open', -1)
  }
  return ok(undefined)
}

/** What the node answers, unless the client goes away or the node takes too long. */
async function inTime<T>(
  asked: Promise<Outcome<T, ApiRefusal>>, gone: AbortSignal, answerMs: number,
): Promise<Outcome<T, ApiRefusal>> {
  const ended = Promise.withResolvers<Outcome<T, ApiRefusal>>()
  const detail = `the node gave no answer in ${answerMs} ms; ask again`
  const timer = clock.after(answerMs, () => ended.resolve(refuse({ reason: 'timeout', detail })))
  const onAbort = (): void => ended.reject(gone.reason)
  gone.addEventListener('abort', onAbort, { once: true })
  if (gone.aborted) onAbort()
  try {
    return await Promise.race([asked, ended.promise])
  } finally {
    timer.stop()
    gone.removeEventListener('abort', onAbort)
  }
}

function findRoute(
  method: string, path: string,
): Outcome<{ readonly route: Route; readonly name: string }, ApiRefusal> {
  const methods: string[] = []
  for (const route of routes) {
    const name = match(route.path, path)
    if (name === undefined) continue
    if (route.method === method) return ok({ route, name })
    methods.push(route.method)
  }
  if (methods.length > 0) {
    const detail = `expected ${methods.join(' or ')} for ${shorten(path)}, got ${shorten(method)}`
    return refuse({ reason: 'method_not_allowed', detail })
  }
  const known = [...new Set(routes.map((route) => route.path))]
  const near = nearestFew(path, known, 3)
  const hint = near.length > 0 ? `; did you mean ${near.join(' or ')}?` : '; see /v1/info'
  return refuse({ reason: 'not_found', detail: `there is no path ${shorten(path)}${hint}` })
}

/**
 * What stands in the variable place of `pattern`; '' when it has none; undefined when it does not
 * fit.
 */
function match(pattern: string, path: string): string | undefined {
  const wanted = pattern.split('/')
  const came = path.split('/')
  if (wanted.length !== came.length) return undefined
  let name = ''
  for (const [index, part] of wanted.entries()) {
    const other = came[index] ?? ''
    if (part.startsWith(':') && other !== '') name = other
    else if (part !== other) return undefined
  }
  return name
}

function wrongQuery(query: URLSearchParams, known: readonly string[]): ApiRefusal | undefined {
  for (const key of query.keys()) {
    if (!known.includes(key)) {
      const expected = known.length === 0 ? 'no parameters' : known.join(', ')
      return { reason: 'malformed', detail: `expected ${expected}, got ${shorten(key)}` }
    }
    if (query.getAll(key).length > 1) {
      return { reason: 'malformed', detail: `expected ${key} once, got it more often` }
    }
  }
  return undefined
}

/**
 * Answers, and takes what the client still sends for a while, so that it gets to read the answer.
 */
async function finishRefused(
  shared: Shared, request: IncomingMessage, response: ServerResponse, refusal: ApiRefusal,
): Promise<void> {
  if (response.headersSent || response.destroyed) return
  if (request.complete) {
    writeRefusal(response, refusal)
    return
  }
  response.setHeader('connection', 'close')
  writeRefusal(response, refusal)
  let bytesLeft = shared.bounds.wastedBytes
  request.on('data', (chunk: Buffer) => {
    bytesLeft -= chunk.length
    if (bytesLeft < 0) request.destroy()
  })
  try {
    await once(request, 'end', { signal: clock.deadline(Math.min(5_000, shared.bounds.requestMs)) })
  } catch {
    request.destroy()
  }
}

interface Failed {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly error: unknown
  readonly gone: boolean
}

async function onFailure(shared: Shared, failed: Failed): Promise<void> {
  const { request, response, error } = failed
  const path = shorten(split(request.url ?? '', '?')[0])
  if (error instanceof StalledReader) {
    refused(shared, 'too_slow')
    shared.report.warn('a client of the API reads nothing and was cut off', { path })
    return
  }
  if (failed.gone) {
    count(shared, 'api_aborted')
    response.destroy()
    return
  }
  refused(shared, 'internal')
  shared.report.error('a request to the API failed', { path, error })
  if (response.headersSent) {
    response.destroy()
    return
  }
  const detail = 'something failed inside the node; its log says what'
  await finishRefused(shared, request, response, { reason: 'internal', detail })
}

/** What node:http itself refuses: it hands over the bare socket. */
function onClientError(shared: Shared, error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const [reason, detail] = faultOf(error)
  refused(shared, reason)
  socket.end(rawRefusal(reason, detail))
  // Whoever does not read the answer is not waited for.
  const timer = clock.after(shared.bounds.checkMs, () => socket.destroy())
  socket.once('close', () => timer.stop())
}

function faultOf(error: NodeJS.ErrnoException): readonly [ApiReason, string] {
  switch (error.code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return ['too_slow', 'the request took too long to arrive']
    case 'HPE_HEADER_OVERFLOW':
      return ['headers_too_large', 'expected headers of at most 16384 bytes']
    default:
      return ['malformed', `expected an HTTP/1.1 request: ${error.code ?? 'it cannot be read'}`]
  }
}

async function stop(shared: Shared, server: Server, path: string): Promise<void> {
  // First, so that nobody finds a socket that takes no more requests.
  if (statSync(path, { throwIfNoEntry: false })?.isSocket()) rmSync(path, { force: true })
  const closed = once(server, 'close')
  server.close()
  shared.stopping.abort(new Error('the node is stopping'))
  server.closeIdleConnections()
  const timer = clock.after(shared.bounds.stopMs, () => server.closeAllConnections())
  await closed
  timer.stop()
}

function count(shared: Shared, name: string, by = 1): void {
  shared.counts.set(name, (shared.counts.get(name) ?? 0) + by)
}

function refused(shared: Shared, reason: ApiReason): void {
  count(shared, `api_refused_${reason}`)
}

function split(text: string, mark: string): [string, string] {
  const at = text.indexOf(mark)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}

function shorten(text: string): string {
  return text.length > 100 ? `${text.slice(0, 97)}...` : text
}
