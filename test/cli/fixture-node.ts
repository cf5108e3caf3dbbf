// A small real HTTP server on a unix socket that answers with fixtures of the API's types, and a
// terminal that keeps what is written: what the tests of the commands run against.

import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { runGridnode } from '../../cli/main.ts'
import type { Sink, Terminal } from '../../cli/terminal.ts'
import type { Context } from '../harness.ts'

export interface Asked {
  readonly method: string
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly body: Buffer
  readonly text: string
}

export type Answer =
  | { readonly status?: number; readonly json: unknown }
  | { readonly status?: number; readonly bytes: Uint8Array | string }
  /** Writes by hand; must end the response, or cut it. */
  | { readonly write: (response: ServerResponse) => void }

export type Routes = Readonly<Record<string, Answer | ((asked: Asked) => Answer)>>

export interface FixtureNode {
  readonly directory: string
  readonly asked: Asked[]
  readonly chunks: Map<string, Buffer>
  stop(): Promise<void>
}

/** Routes are named `GET /v1/jobs`; chunks and what is not there are answered without one. */
export async function fixtureNode(
  ctx: Context,
  routes: Routes,
  where?: string,
): Promise<FixtureNode> {
  const directory = where ?? ctx.tmp()
  const asked: Asked[] = []
  const chunks = new Map<string, Buffer>()
  const server = createServer((request, response) => {
    void answer(request, response, { routes, asked, chunks })
  })
  await new Promise<void>((resolve) => server.listen(join(directory, 'node.sock'), resolve))
  const stop = async (): Promise<void> => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  ctx.after(stop)
  return { directory, asked, chunks, stop }
}

interface Serving {
  readonly routes: Routes
  readonly asked: Asked[]
  readonly chunks: Map<string, Buffer>
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  serving: Serving,
): Promise<void> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  const url = new URL(request.url ?? '/', 'http://node')
  const body = Buffer.concat(parts)
  const asked: Asked = {
    method: request.method ?? '',
    path: url.pathname,
    query: Object.fromEntries(url.searchParams),
    body,
    text: body.toString(),
  }
  serving.asked.push(asked)
  const route = serving.routes[`${asked.method} ${asked.path}`]
  const found = route ?? chunkAnswer(asked, serving.chunks)
  const given = typeof found === 'function' ? found(asked) : found
  if ('write' in given) return given.write(response)
  const bytes = 'json' in given ? JSON.stringify(given.json) : given.bytes
  response.writeHead(given.status ?? 200)
  response.end(bytes)
}

/** Chunks are kept as the real node keeps them: only under their own hash. */
function chunkAnswer(asked: Asked, chunks: Map<string, Buffer>): Answer {
  if (asked.method === 'POST' && asked.path === '/v1/chunks/missing') {
    const { hashes } = JSON.parse(asked.text) as { hashes: string[] }
    return { json: { missing: hashes.filter((hash) => !chunks.has(hash)) } }
  }
  const hash = /^\/v1\/chunks\/([0-9a-f]{64})$/.exec(asked.path)?.[1]
  if (asked.method === 'PUT' && hash !== undefined) {
    const real = createHash('sha256').update(asked.body).digest('hex')
    if (real !== hash) return refused(400, 'malformed', `expected ${hash}, got bytes of ${real}`)
    chunks.set(hash, asked.body)
    return { status: 204, bytes: '' }
  }
  return refused(404, 'not_found', `nothing is at ${asked.method} ${asked.path}`)
}

export function refused(status: number, code: string, message: string): Answer {
  return { status, json: { error: { code, message } } }
}

/** Lines of JSON, then the end. */
export function lines(...values: readonly unknown[]): Answer {
  return { bytes: values.map((value) => `${JSON.stringify(value)}\n`).join('') }
}

export interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

export interface RunOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Columns of a terminal; without, output goes to a pipe. */
  readonly columns?: number
  readonly colours?: boolean
  readonly nowEpochMs?: number
  /** Called with the interrupt of the running command, when it takes one. */
  readonly interrupt?: (press: () => void) => void
}

/** A moment all fixtures are relative to: 2026-03-01 12:00:00 UTC. */
export const fixtureEpochMs = Date.UTC(2026, 2, 1, 12, 0, 0)

/** Runs a command line in this process. Colours are stripped unless asked for. */
export async function run(
  ctx: Context,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Ran> {
  const out: string[] = []
  const err: string[] = []
  const columns = options.columns
  const sink = (into: string[]): Sink => ({
    write(data) {
      into.push(typeof data === 'string' ? data : Buffer.from(data).toString())
      return Promise.resolve()
    },
    tty: columns !== undefined,
    columns: () => columns ?? Infinity,
    colours: options.colours ?? false,
  })
  const home = ctx.tmp()
  const terminal: Terminal = {
    out: sink(out),
    err: sink(err),
    env: { HOME: home, GRIDNODE_USER: 'alice', ...options.env },
    cwd: options.cwd ?? home,
    nowEpochMs: () => options.nowEpochMs ?? fixtureEpochMs,
    sleep: (_, signal) => new Promise((resolve, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason as Error))
      setImmediate(resolve)
    }),
    onInterrupt(listener) {
      options.interrupt?.(listener)
      return () => undefined
    },
    onStop: () => () => undefined,
  }
  const code = await runGridnode(args, terminal)
  const clean = (parts: string[]): string =>
    options.colours ? parts.join('') : stripVTControlCharacters(parts.join(''))
  return { code, out: clean(out), err: clean(err) }
}
