// Requests to the local API that no client makes, byte for byte over its socket: each gets an
// answer or is cut off, nothing fails inside, and afterwards a good request is answered.

import { connect } from 'node:net'
import { join } from 'node:path'
import { ok } from '../../protocol/base/outcome.ts'
import type { LocalNode } from '../../node/http/local-node.ts'
import { startServer } from '../../node/http/server.ts'
import type { Report } from '../../node/report.ts'
import { assert, suite } from '../harness.ts'
import { random } from '../sim/random.ts'
import { mutateBytes } from './mutate.ts'

const seed = 1
const requests = 250

const t = suite(`the local API, fuzzed with seed ${seed}`)

const body = '{"site":"site-a.example","limit":"5"}'
const seeds = [
  'GET /v1/info HTTP/1.1\r\nhost: x\r\n\r\n',
  'GET /v1/jobs?state=open&limit=5 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n',
  `POST /v1/credit HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  'POST /v1/jobs HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  'PUT /v1/chunks/abab HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n',
  'GET /v1/jobs/abcd/log?task=0&stream=stdout HTTP/1.0\r\n\r\n',
]

async function* pieces(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('piece')
}

/** What every question gets: a value, lines and bytes in one. */
const anything = (): object => ({
  fine: 1, sizeBytes: undefined, bytes: pieces(), [Symbol.asyncIterator]: pieces,
})

async function say(path: string, text: string): Promise<string> {
  const socket = connect(path)
  let heard = ''
  socket.on('error', () => undefined)
  socket.on('data', (piece) => {
    if (heard.length < 65_536) heard += piece.toString('latin1')
  })
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.end(Buffer.from(text, 'latin1'))
  await closed
  return heard
}

t(`takes ${requests} changed requests and goes on`, async (ctx) => {
  const failures: string[] = []
  const ignore = (): undefined => undefined
  const report = {
    debug: ignore, info: ignore, warn: ignore,
    error: (what: string, fields: unknown) => {
      failures.push(`${what} ${JSON.stringify(fields)}`)
    },
  } as unknown as Report
  const node = new Proxy({} as LocalNode, { get: () => () => Promise.resolve(ok(anything())) })
  const socketPath = join(ctx.tmp(), 'api.sock')
  const server = await startServer({ socketPath, socketMode: 0o600, node, report })
  ctx.after(() => server.stop())
  const chance = random(seed, 'http')
  for (let left = requests; left > 0; left--) {
    const request = mutateBytes(chance.pick(seeds), chance, seeds).slice(0, 200_000)
    const heard = await say(socketPath, request)
    if (heard !== '') assert.match(heard, /^HTTP\/1\.1 [1-5][0-9][0-9] /)
  }
  assert.match(await say(socketPath, seeds[0]!), /^HTTP\/1\.1 200 OK/)
  assert.equal(failures, [])
})
