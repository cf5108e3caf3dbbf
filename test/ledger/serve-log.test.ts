// The log over HTTP: what tlog-tiles demands of types and caching, nothing but reading, and clients
// that misbehave.

import { Agent, request as open } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import type { LogFiles } from '../../cli/verify/log-files.ts'
import { verifyLogs } from '../../cli/verify/verify.ts'
import type { LiveLog } from '../../node/ledger/live-log.ts'
import { openLiveLog } from '../../node/ledger/live-log.ts'
import type { LogServer, LogServerBounds } from '../../node/ledger/serve-log.ts'
import { startLogServer } from '../../node/ledger/serve-log.ts'
import { createReport } from '../../node/report.ts'
import { tilePath, tilesFor } from '../../protocol/base/tiles.ts'
import { assert, eventually, suite } from '../harness.ts'
import type { Context } from '../harness.ts'
import { readingStore } from '../rules/ledger-exports.ts'
import type { TestSite } from '../rules/ledger-sites.ts'
import { credits, federation, say, start } from '../rules/ledger-sites.ts'

const t = suite('the served log')

interface Got {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

interface Running {
  readonly server: LogServer
  readonly live: LiveLog
  readonly log: string[]
  ask(path: string, options?: { method?: string, headers?: Record<string, string> }): Promise<Got>
}

async function liveLog(ctx: Context, quarantined = (): string | undefined => undefined,
): Promise<LiveLog> {
  const [at] = federation('home.example') as [TestSite]
  for (let limit = 0; limit < 298; limit++) {
    say(at, { kind: 'credit', to: at.name, at: start, limit: credits(limit) })
  }
  const markPath = join(ctx.tmp(), 'ledger.mark')
  return openLiveLog({ store: readingStore(at), logKey: at.log, markPath, quarantined })
}

async function run(
  ctx: Context,
  { bounds = {}, live, file }: {
    readonly bounds?: Partial<LogServerBounds>
    readonly live?: LiveLog
    readonly file?: LiveLog['file']
  } = {},
): Promise<Running> {
  const log: string[] = []
  const report = createReport({
    sink: { write: (line) => log.push(line) }, level: 'debug', readable: false,
    linesPerSecondMax: 1_000,
  })
  const served = live ?? await liveLog(ctx)
  const server = await startLogServer({
    listen: { host: '127.0.0.1', port: 0 }, log: file ? { file } : served, report,
    bounds: { checkMs: 50, ...bounds },
  })
  ctx.after(() => server.stop())
  const ask: Running['ask'] = async (path, { method = 'GET', headers = {} } = {}) => {
    const { port } = server
    const asked = open({ host: '127.0.0.1', port, path, method, headers, agent: false })
    asked.end()
    return new Promise((resolve, reject) => {
      asked.on('error', reject)
      asked.on('response', (incoming) => {
        const parts: Buffer[] = []
        incoming.on('data', (part: Buffer) => parts.push(part))
        incoming.on('error', reject)
        incoming.on('end', () => resolve({
          status: incoming.statusCode ?? 0, headers: incoming.headers, body: Buffer.concat(parts),
        }))
      })
    })
  }
  return { server, live: served, log, ask }
}

t('a whole log is read and verified over HTTP', async (ctx) => {
  const { ask, live } = await run(ctx)
  const files: LogFiles = {
    name: 'http',
    async read(path, bytesMax) {
      const { status, body } = await ask(`/${path}`)
      return status === 200 ? body.subarray(0, bytesMax + 1) : undefined
    },
  }
  const report = await verifyLogs([files])
  assert.equal(report.findings, [])
  assert.equal([report.verdict, report.logs[0]?.entries], ['holds', 300])
  assert.equal(report.logs[0]?.origin, live.origin)
})

t('types and caching are those of tlog-tiles', async (ctx) => {
  const { ask, live } = await run(ctx)
  const checkpoint = await ask('/checkpoint')
  assert.equal(checkpoint.status, 200)
  assert.equal(checkpoint.headers['content-type'], 'text/plain; charset=utf-8')
  assert.equal(checkpoint.headers['cache-control'], 'no-cache')
  assert.equal(checkpoint.body.toString(), (await live.checkpoint()).note)
  for (const tile of tilesFor({ from: 0, size: 300 })) {
    const path = tilePath(tile)
    const got = await ask(`/${path}`)
    assert.equal(got.status, 200, path)
    assert.equal(got.headers['content-type'], 'application/octet-stream')
    assert.equal(got.headers['cache-control'], 'public, max-age=31536000, immutable')
    assert.equal(got.headers['content-length'], String(got.body.length))
    assert.equal(got.body, Buffer.from((await live.file(path))!.bytes))
    const head = await ask(`/${path}`, { method: 'HEAD' })
    assert.equal([head.status, head.body.length], [200, 0])
    assert.equal(head.headers['content-length'], got.headers['content-length'])
  }
})

t('entries are compressed for who takes it', async (ctx) => {
  const { ask, live } = await run(ctx)
  await ask('/checkpoint')
  const path = 'tile/entries/000'
  const whole = Buffer.from((await live.file(path))!.bytes)
  for (const [accepted, zipped] of [
    ['gzip', true], ['br, GZIP;q=0.5', true], ['deflate', false], ['gzip;q=0', false],
    ['gzip; q=0.00, identity', false], ['x-gzip', false],
  ] as const) {
    const got = await ask(`/${path}`, { headers: { 'accept-encoding': accepted } })
    assert.equal(got.headers['content-encoding'], zipped ? 'gzip' : undefined, accepted)
    assert.equal(zipped ? gunzipSync(got.body) : got.body, whole)
    assert.equal(got.headers['vary'], 'accept-encoding')
  }
  const tile = await ask('/tile/0/000', { headers: { 'accept-encoding': 'gzip' } })
  assert.equal(tile.headers['content-encoding'], undefined)
})

t('what is not there is not found, and not to be remembered', async (ctx) => {
  const { ask } = await run(ctx)
  assert.equal((await ask('/tile/entries/001.p/44')).status, 404, 'no head was signed yet')
  await ask('/checkpoint')
  assert.equal((await ask('/tile/entries/001.p/44')).status, 200)
  for (const path of [
    '/', '/checkpoint?', '/checkpoint/', '//checkpoint', '/tile/0/001', '/tile/entries/001.p/45',
    '/tile/0/000.p/0', '/tile/0/000.p/256', '/tile/00/000', '/tile/7/000', '/tile/0/%300',
    '/tile/0/../../checkpoint', `/${'x'.repeat(5_000)}`, '/.well-known/x',
  ]) {
    const got = await ask(path)
    assert.equal([got.status, got.headers['cache-control']], [404, 'no-store'], path)
  }
})

t('only GET and HEAD without a body', async (ctx) => {
  const { ask, server } = await run(ctx)
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE', 'PROPFIND']) {
    const got = await ask('/checkpoint', { method })
    assert.equal([got.status, got.headers['allow']], [405, 'GET, HEAD'], method)
  }
  for (const headers of [
    { 'content-length': '5' }, { 'transfer-encoding': 'chunked' }, { expect: 'x' },
  ]) {
    const asked = open({ port: server.port, path: '/checkpoint', method: 'GET', headers })
    const status = await new Promise((resolve, reject) => {
      asked.on('response', (incoming) => resolve(incoming.resume().statusCode))
      asked.on('error', reject)
      asked.flushHeaders()
    })
    assert.equal(status, 413, JSON.stringify(headers))
    asked.destroy()
  }
})

t('a quarantined node serves no head', async (ctx) => {
  const reasons: string[] = []
  const { ask, log } = await run(ctx, { live: await liveLog(ctx, () => reasons[0]) })
  await ask('/checkpoint')
  reasons.push('the database is behind')
  const got = await ask('/checkpoint')
  assert.equal([got.status, got.headers['cache-control']], [503, 'no-store'])
  assert.ok(!got.body.toString().includes('behind'), 'why is nobody else\'s business')
  assert.equal((await ask('/tile/0/000')).status, 200)
  assert.equal(log, [])
})

t('a failure inside is told without what it is, and written to the log', async (ctx) => {
  const { ask, log } = await run(ctx, {
    file: () => Promise.reject(new Error('EIO in a secret path')),
  })
  const got = await ask('/checkpoint')
  assert.equal(got.status, 500)
  assert.ok(!got.body.toString().includes('secret'))
  assert.match(log.join('\n'), /could not be served.*EIO/)
})

t('work at once is bounded, and a client that has gone is still counted', async (ctx) => {
  const waiting: (() => void)[] = []
  const file = (): Promise<undefined> =>
    new Promise((resolve) => waiting.push(() => resolve(undefined)))
  const { ask, server } = await run(ctx, { bounds: { inWorkMax: 2 }, file })
  const first = ask('/checkpoint')
  const gone = connect(server.port, '127.0.0.1')
  gone.write('GET /checkpoint HTTP/1.1\r\nhost: x\r\n\r\n')
  await eventually(() => waiting.length === 2)
  gone.destroy()
  const third = await ask('/checkpoint')
  assert.equal([third.status, third.headers['retry-after']], [503, '1'])
  for (const go of waiting) go()
  assert.equal((await first).status, 404)
  const later = ask('/checkpoint')
  await eventually(() => waiting.length === 3)
  waiting[2]!()
  assert.equal((await later).status, 404)
})

t('slow and greedy clients are cut off', async (ctx) => {
  const impatient = await run(ctx, { bounds: { headersMs: 200, answerMs: 400 } })
  const { ask, server } = await run(ctx, { bounds: { connectionsMax: 4 } })
  const heard = (text: string, { port } = server): Promise<string> => new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text))
    let answer = ''
    socket.on('data', (part) => { answer += part.toString() })
    socket.on('error', () => {})
    socket.on('close', () => resolve(answer))
  })
  const slow = await heard('GET /checkpoint HTTP/1.1\r\nhost: x\r\nx-slow: ', impatient.server)
  assert.match(slow, /^HTTP\/1\.1 408 /)
  const long = `GET /checkpoint HTTP/1.1\r\nhost: x\r\nx-long: ${'x'.repeat(10_000)}\r\n\r\n`
  assert.match(await heard(long), /^HTTP\/1\.1 431 /)
  assert.match(await heard('HELLO\r\n\r\n'), /^HTTP\/1\.1 400 /)
  const sockets = Array.from({ length: 4 }, () => connect(server.port, '127.0.0.1'))
  for (const socket of sockets) socket.on('error', () => {})
  await eventually(async () => ask('/checkpoint').then(() => false, () => true))
  for (const socket of sockets) socket.destroy()
  await eventually(async () => ask('/checkpoint').then(({ status }) => status === 200, () => false))
  assert.ok((server.counters()['log_http_dropped'] ?? 0) > 0)
})

t('stopping closes everything, also what is kept open', async (ctx) => {
  const { server } = await run(ctx, { bounds: { stopMs: 100 } })
  const agent = new Agent({ keepAlive: true })
  ctx.after(() => agent.destroy())
  const asked = open({ port: server.port, path: '/checkpoint', agent })
  asked.end()
  await new Promise((resolve) => asked.on('response', (incoming) => incoming.resume()
    .on('end', resolve)))
  const idle = connect(server.port, '127.0.0.1')
  idle.on('error', () => {})
  await Promise.all([server.stop(), server.stop()])
  await eventually(() => idle.destroyed || idle.closed)
  assert.equal([server.counters()['log_http_requests'], server.counters()['log_http_200']], [1, 1])
})

t('an address that cannot be had is said so', async (ctx) => {
  const { server } = await run(ctx)
  const log = await liveLog(ctx)
  const report = createReport({
    sink: { write: () => true }, level: 'error', readable: false, linesPerSecondMax: 10,
  })
  const listen = { host: '127.0.0.1', port: server.port }
  await assert.rejects(startLogServer({ listen, log, report }),
    /cannot serve the ledger on 127\.0\.0\.1 port .* choose another address for ledger\.listen/)
})
