// This site's log over HTTP, read-only, for whoever may reach the port: a C2SP tlog-tiles log under
// the root path (`/checkpoint`, `/tile/…`, `/tile/entries/…`), and nothing else.
//
// Invariants: only GET and HEAD, without a body; connections, headers, the time of a request and
// what is read at once are bounded; what a tile says never changes, so it may be kept for ever, a
// head may not be kept at all; after `stop` nothing is open.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { clock } from '../clock.ts'
import { messageOf, Problem } from '../problem.ts'
import type { Report } from '../report.ts'
import { StoreError } from '../store/store-error.ts'
import type { LiveLog, LogFile } from './live-log.ts'

export interface LogServerBounds {
  readonly connectionsMax: number
  /** Requests whose file is being read or sent; more are told to come again. */
  readonly inWorkMax: number
  readonly headerBytes: number
  readonly headersMs: number
  /** From the first byte of a request to the last of its answer. */
  readonly answerMs: number
  readonly idleMs: number
  readonly checkMs: number
  readonly stopMs: number
}

export const logServerBounds: LogServerBounds = {
  connectionsMax: 128,
  inWorkMax: 16,
  headerBytes: 8 * 1024,
  headersMs: 10_000,
  answerMs: 60_000,
  idleMs: 15_000,
  checkMs: 1_000,
  stopMs: 2_000,
}

export interface LogServerOptions {
  /** Port 0 takes a free one. */
  readonly listen: { readonly host: string, readonly port: number }
  readonly log: Pick<LiveLog, 'file'>
  readonly report: Report
  readonly bounds?: Partial<LogServerBounds>
}

export interface LogServer {
  readonly port: number
  /** `log_http_requests`, `log_http_<status>`, `log_http_bytes`, `log_http_dropped` */
  counters(): Readonly<Record<string, number>>
  /** Idempotent. */
  stop(): Promise<void>
}

interface Shared {
  readonly log: Pick<LiveLog, 'file'>
  readonly report: Report
  readonly bounds: LogServerBounds
  readonly counts: Map<string, number>
  inWork: number
}

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

const zipped = promisify(gzip)
const forEver = 'public, max-age=31536000, immutable'
/** The longest that a tile can have, with room. */
const pathMax = 64
const textType = 'text/plain; charset=utf-8'

/** @throws Problem `system` */
export async function startLogServer(options: LogServerOptions): Promise<LogServer> {
  const { report, listen } = options
  const bounds = { ...logServerBounds, ...options.bounds }
  const shared: Shared = { log: options.log, report, bounds, counts: new Map(), inWork: 0 }
  const server = createServer({
    requestTimeout: bounds.answerMs,
    headersTimeout: bounds.headersMs,
    keepAliveTimeout: bounds.idleMs,
    connectionsCheckingInterval: bounds.checkMs,
    maxHeaderSize: bounds.headerBytes,
  })
  server.maxConnections = bounds.connectionsMax
  server.on('drop', () => count(shared, 'log_http_dropped'))
  // node:http answers what it cannot read with 400, 408 or 431 and closes.
  server.on('request', (request, response) => void serveOne(shared, request, response))
  server.on('checkContinue', (request, response) => void serveOne(shared, request, response))
  server.on('checkExpectation', (request, response) => void serveOne(shared, request, response))
  try {
    server.listen(listen.port, listen.host)
    await once(server, 'listening')
  } catch (cause) {
    throw new Problem('system', `cannot serve the ledger on ${listen.host} port ${listen.port}: `
      + `${messageOf(cause)}; choose another address for ledger.listen, or leave it out`, cause)
  }
  server.on('error', (error) => report.error('the ledger cannot be served', { error }))
  let stopped: Promise<void> | undefined
  return {
    port: (server.address() as AddressInfo).port,
    counters: () => Object.fromEntries(shared.counts),
    stop: () => (stopped ??= stop(server, bounds)),
  }
}

async function serveOne(
  shared: Shared, request: IncomingMessage, response: ServerResponse,
): Promise<void> {
  count(shared, 'log_http_requests')
  request.on('error', () => {})
  response.on('error', () => {})
  // Whoever reads slowly is cut off, too.
  const late = clock.after(shared.bounds.answerMs, () => response.destroy())
  response.on('close', () => late.stop())
  const refusal = refusalOf(shared, request)
  if (refusal) {
    send(shared, request, response, refusal)
    return
  }
  shared.inWork += 1
  // A request counts until its file was read and its answer has gone, or nobody is there for it.
  const closed = new Promise<void>((resolve) => response.once('close', resolve))
  send(shared, request, response, await answerTo(shared, request))
  await closed
  shared.inWork -= 1
}

/** What is wrong with a request before anything is read for it. */
function refusalOf(shared: Shared, request: IncomingMessage): Answer | undefined {
  const { method, headers } = request
  if (method !== 'GET' && method !== 'HEAD') {
    return plain(405, 'expected GET or HEAD', { allow: 'GET, HEAD', connection: 'close' })
  }
  const length = headers['content-length'] ?? '0'
  if (length !== '0' || headers['transfer-encoding'] !== undefined || headers.expect) {
    return plain(413, 'expected no body', { connection: 'close' })
  }
  if (shared.inWork < shared.bounds.inWorkMax) return undefined
  return plain(503, 'too many requests at once; come again', { 'retry-after': '1' })
}

async function answerTo(shared: Shared, request: IncomingMessage): Promise<Answer> {
  const url = request.url ?? ''
  try {
    const file = url.startsWith('/') && url.length <= pathMax
      ? await shared.log.file(url.slice(1)) : undefined
    return file ? await answerWith(file, request) : plain(404, 'there is no such file')
  } catch (error) {
    if (error instanceof StoreError && error.code === 'QUARANTINE') {
      return plain(503, 'this log signs no checkpoint at present', { 'retry-after': '60' })
    }
    shared.report.error('a file of the ledger could not be served', { path: url, error })
    return plain(500, 'something failed inside the node; its log says what')
  }
}

async function answerWith({ kind, bytes }: LogFile, request: IncomingMessage): Promise<Answer> {
  if (kind === 'checkpoint' || kind === 'text') {
    const headers = { 'content-type': textType, 'cache-control': 'no-cache' }
    return { status: 200, headers, body: bytes }
  }
  const type = { 'content-type': 'application/octet-stream', 'cache-control': forEver }
  if (kind === 'tile') return { status: 200, headers: type, body: bytes }
  const headers = { ...type, vary: 'accept-encoding' }
  if (!takesGzip(request.headers['accept-encoding'])) return { status: 200, headers, body: bytes }
  const body = await zipped(bytes)
  return { status: 200, headers: { ...headers, 'content-encoding': 'gzip' }, body }
}

/** Whether `gzip` is named and not given the weight 0 (RFC 9110, section 12.5.3). */
function takesGzip(accepted: string | string[] | undefined): boolean {
  return String(accepted ?? '').toLowerCase().split(',').some((each) => {
    const [coding = '', ...rest] = each.split(';').map((part) => part.trim())
    return coding === 'gzip' && !rest.some((part) => /^q=0(\.0*)?$/.test(part))
  })
}

function plain(
  status: number, text: string, headers: Readonly<Record<string, string>> = {},
): Answer {
  const base = { 'content-type': textType, 'cache-control': 'no-store' }
  return { status, headers: { ...base, ...headers }, body: Buffer.from(`${text}\n`) }
}

function send(
  shared: Shared, request: IncomingMessage, response: ServerResponse, answer: Answer,
): void {
  const { status, headers, body } = answer
  count(shared, `log_http_${status}`)
  if (response.destroyed) return
  response.writeHead(status, {
    ...headers, 'content-length': body.length, 'x-content-type-options': 'nosniff',
  })
  if (request.method === 'HEAD') {
    response.end()
    return
  }
  count(shared, 'log_http_bytes', body.length)
  response.end(body)
}

async function stop(server: Server, { stopMs }: LogServerBounds): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  server.closeIdleConnections()
  const timer = clock.after(stopMs, () => server.closeAllConnections())
  await closed
  timer.stop()
}

function count(shared: Shared, name: string, by = 1): void {
  shared.counts.set(name, (shared.counts.get(name) ?? 0) + by)
}
