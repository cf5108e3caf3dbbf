// The local API over a real unix socket: answers, refusals, bounds, streams, and clients that
// misbehave.

import { existsSync, statSync, writeFileSync } from 'node:fs'
import { Agent, request as open } from 'node:http'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { connect, createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { openClient } from '../../../cli/client.ts'
import { sha256Hex } from '../../../protocol/base/crypto.ts'
import { limits } from '../../../protocol/base/limits.ts'
import { apiPaths } from '../../../node/http/api.ts'
import { batchPaths } from '../../../node/http/batch-api.ts'
import type { ApiBounds, ApiServer } from '../../../node/http/server.ts'
import { startServer } from '../../../node/http/server.ts'
import { createReport } from '../../../node/report.ts'
import { assert, eventually, suite } from '../../harness.ts'
import type { Context } from '../../harness.ts'
import type { FakeNode } from './fake-node.ts'
import { fakeNode } from './fake-node.ts'

interface Running {
  readonly server: ApiServer
  readonly node: FakeNode
  readonly path: string
  readonly log: string[]
  ask(method: string, target: string, body?: string | Uint8Array, headers?: object): Promise<Got>
  begin(method: string, target: string, headers?: object): ClientRequest
}

interface Got {
  readonly status: number
  readonly text: string
  readonly json: () => Record<string, unknown>
  /** The refusal's `code: message`. */
  readonly error: string
  /** Whether the answer came to its proper end. */
  readonly whole: boolean
}

async function run(
  ctx: Context, bounds: Partial<ApiBounds> = {}, admin = true,
): Promise<Running> {
  const path = join(ctx.tmp(), 'node.sock')
  const node = fakeNode()
  const log: string[] = []
  const report = createReport({
    sink: { write: (line) => log.push(line) },
    level: 'debug',
    readable: false,
    linesPerSecondMax: 1_000,
  })
  const server = await startServer({
    socketPath: path, socketMode: 0o600, admin, node, report, bounds: { checkMs: 50, ...bounds },
  })
  ctx.after(() => server.stop())
  const begin = (method: string, target: string, headers: object = {}): ClientRequest =>
    open({ socketPath: path, method, path: target, headers: { ...headers }, agent: false })
  return {
    server,
    node,
    path,
    log,
    begin,
    ask: (method, target, body, headers) => {
      const sent = begin(method, target, headers)
      const got = answerTo(sent)
      sent.end(body)
      return got
    },
  }
}

function answerTo(sent: ClientRequest): Promise<Got> {
  return new Promise((resolve, reject) => {
    sent.on('error', reject)
    sent.on('response', (response) => { resolve(readAll(response)) })
  })
}

async function readAll(response: IncomingMessage): Promise<Got> {
  let text = ''
  let whole = true
  try {
    for await (const chunk of response) text += String(chunk)
  } catch {
    whole = false
  }
  const json = (): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>
  const status = response.statusCode ?? 0
  let error = ''
  if (status >= 400) {
    const { code, message } = json()['error'] as Record<string, string>
    error = `${code}: ${message}`
  }
  return { status, text, json, error, whole }
}

const t = suite('api server')

t('answers every path', async (ctx) => {
  const { ask, node } = await run(ctx)
  const hash = sha256Hex('chunk')
  const job = 'abcdef012345'
  assert.equal((await ask('GET', apiPaths.info)).json()['site'], 'site-a')
  const wanted = JSON.stringify({ hashes: [hash] })
  assert.equal((await ask('POST', apiPaths.chunksMissing, wanted)).json(), { missing: [hash] })
  assert.equal((await ask('PUT', apiPaths.chunk(hash), 'chunk')).status, 204)
  assert.equal(Buffer.from(node.chunks.get(hash) ?? []).toString(), 'chunk')
  assert.equal((await ask('POST', apiPaths.jobs, 'a note')).json(), { job, already: false })
  assert.equal((await ask('GET', `${apiPaths.jobs}?state=all&user=me&limit=7`)).status, 200)
  assert.equal((await ask('GET', apiPaths.job(job))).json()['job'], job)
  assert.equal((await ask('GET', apiPaths.why('abcd'))).json()['note'], 'because')
  assert.equal((await ask('POST', apiPaths.cancel(job), 'mine')).status, 200)
  const events = (await ask('GET', apiPaths.events(job))).text.trimEnd().split('\n')
  assert.equal(events.map((line) => (JSON.parse(line) as { kind: string }).kind),
    ['transfer', 'transfer', 'transfer', 'end'])
  assert.equal((await ask('GET', `${apiPaths.log(job)}?task=3&stream=stderr`)).text, 'line\nline\n')
  assert.equal((await ask('GET', apiPaths.results(job))).status, 200)
  assert.equal((await ask('GET', `${apiPaths.resultFile(job)}?path=out%2Fa+b`)).text, '1234512345')
  assert.equal((await ask('GET', `${batchPaths.batch}?jobs=abcdef012345&state=all`)).text, '[]\n')
  assert.equal((await ask('GET', `${batchPaths.tree(job)}?task=2`)).status, 200)
  assert.equal((await ask('GET', `${batchPaths.treeFile(job)}?task=2&path=a`)).status, 404)
  for (const path of [apiPaths.offers, apiPaths.peers, apiPaths.ledger, apiPaths.ledgerEntries]) {
    assert.equal((await ask('GET', path)).status, 200)
  }
  const notes = (await ask('GET', `${apiPaths.ledgerNotes}?from=7`)).text
  assert.equal(notes, '{"index":7,"note":"note 7"}\n{"index":8,"note":"note 8"}\n')
  assert.equal((await ask('POST', apiPaths.ledgerExport, '{"directory":"/new"}')).status, 200)
  const logFile = apiPaths.siteLogFile('site-b.example')
  assert.equal((await ask('GET', `${logFile}?path=checkpoint`)).text, '1234512345')
  assert.match((await ask('GET', `${logFile}?path=tile/0/000`)).error, /^not_found: /)
  assert.equal((await ask('GET', apiPaths.evidence)).status, 200)
  assert.equal((await ask('GET', apiPaths.evidenceDocument(hash))).json(), {
    id: hash, document: '{}',
  })
  assert.equal((await ask('POST', apiPaths.credit, '{"site":"site-b","limit":"7"}')).status, 200)
  assert.equal((await ask('POST', apiPaths.invites, '{"valid_seconds":3600}')).status, 200)
  assert.equal(node.asked, [
    'submit 6', 'jobs {"state":"all","user":"me","limit":7}', `cancel "${job}" "mine"`,
    `log "${job}" {"task":3,"stream":"stderr","follow":false}`, `resultFile "${job}" "out/a b"`,
    'batch {"jobs":["abcdef012345"],"state":"all","limit":1000}', `tree "${job}" 2`,
    `treeFile "${job}" {"task":2,"path":"a"}`,
    'entries {"from":0,"limit":100}', 'notes 7',
    'siteLogFile "site-b.example" "checkpoint"', 'siteLogFile "site-b.example" "tile/0/000"',
    'evidence', `evidenceDocument "${hash}"`, 'credit "site-b" "7n"', 'invite 3600',
  ])
})

t('takes what speaks for the site at the administrator\'s socket only', async (ctx) => {
  const { ask, node, path } = await run(ctx, {}, false)
  for (const [target, body] of [
    [apiPaths.credit, '{"site":"site-b","limit":"7"}'],
    [apiPaths.invites, '{"valid_seconds":3600}'],
    [apiPaths.ledgerExport, '{"directory":"/new"}'],
  ] as const) {
    const got = await ask('POST', target, body)
    assert.equal(got.status, 403)
    assert.match(got.error, /^not_admin: this is for the site's administrator/)
  }
  assert.equal(node.asked, [])
  assert.equal((await ask('GET', apiPaths.peers)).status, 200)
  // The command goes to the other socket by itself, if it may.
  const client = openClient(dirname(path))
  const limit = { site: 'site-b', limit: '7' }
  await assert.rejects(client.post(apiPaths.credit, limit), /administrator/)
  const report = createReport({
    sink: { write: () => undefined }, level: 'error', readable: false, linesPerSecondMax: 1,
  })
  const admin = await startServer({
    socketPath: join(dirname(path), 'admin.sock'), socketMode: 0o600, node, report,
  })
  ctx.after(() => admin.stop())
  await client.post(apiPaths.credit, limit)
  assert.equal(node.asked, ['credit "site-b" "7n"'])
})

t('refuses with a stable word and says what was expected', async (ctx) => {
  const { ask, server } = await run(ctx)
  const said = async (method: string, target: string, body?: string): Promise<string> => {
    const got = await ask(method, target, body)
    return `${got.status} ${got.error}`
  }
  assert.equal(await said('GET', '/v1/job/abcd'),
    '404 not_found: there is no path /v1/job/abcd; did you mean /v1/jobs/:id?')
  assert.equal(await said('GET', '/v1/offer'),
    '404 not_found: there is no path /v1/offer; did you mean /v1/offers?')
  assert.match(await said('GET', '/'), '404 not_found: there is no path /; see /v1/info')
  assert.equal(await said('DELETE', '/v1/jobs'),
    '405 method_not_allowed: expected POST or GET for /v1/jobs, got DELETE')
  assert.equal(await said('GET', '/v1/jobs/xyz1'),
    '400 malformed: expected a job\'s id, 4 to 12 of 0-9 and a-f, got "xyz1"')
  assert.equal(await said('GET', '/v1/jobs/0000'), '409 ambiguous: 0000 begins 2 jobs')
  assert.equal(await said('GET', '/v1/jobs/abcd'), '404 not_found: no job abcd')
  assert.equal(await said('POST', '/v1/jobs/abcdef012345/cancel', 'theirs'),
    '403 not_owner: not your job')
  assert.equal(await said('GET', '/v1/jobs?stat=all'),
    '400 malformed: expected state, user, limit, got stat')
  assert.equal(await said('GET', '/v1/jobs?limit=0'),
    '400 malformed: expected limit to be a whole number from 1 to 1000, got "0"')
  assert.match(await said('GET', '/v1/jobs?state=all&state=open'), '400 malformed: expected state')
  assert.equal(await said('GET', '/v1/jobs/abcd/log?follow=yes'),
    '400 malformed: expected follow to be 0 or 1, got "yes"')
  assert.match(await said('GET', '/v1/ledger/notes?from=-1'),
    '400 malformed: expected from to be a')
  assert.match(await said('POST', '/v1/credit', '{"site":'), '400 malformed: expected JSON: ')
  assert.match(await said('POST', '/v1/credit', '{"site":"A B","limit":"7"}'), '400 malformed: ')
  assert.match(await said('POST', '/v1/invites', '{"valid_seconds":1}'), '400 malformed: ')
  assert.match(await said('POST', '/v1/chunks/missing', '{"hashes":["x"]}'), '400 malformed: ')
  assert.match(await said('PUT', `/v1/chunks/${'ab'.repeat(32)}`, 'x'), '400 malformed: the bytes')
  assert.match(await said('PUT', '/v1/chunks/AB', 'x'), '400 malformed: expected a chunk\'s hash')
  assert.equal(await said('GET', '/v1/offers?where=1%20%2B'), '400 bad_expression: at 3: more')
  assert.match(await said('GET', '/v1/jobs/abcd/results/file'), '400 malformed: expected ?path=')
  assert.match(await said('GET', '/v1/jobs/abcd/tree/file'), '400 malformed: expected ?path=')
  assert.match(await said('GET', '/v1/jobs/abcd/tree?task=x'), '400 malformed: expected task')
  assert.match(await said('GET', '/v1/batch?jobs=abcd'), '400 malformed: expected ?jobs=')
  assert.equal(await said('POST', '/v1/ledger/export', '{"directory":"/there"}'),
    '409 conflict: /there is there already; choose another name')
  assert.equal(server.counters()['api_refused_not_found'], 4)
  assert.equal(server.counters()['api_refused_malformed'], 16)
})

t('refuses a body beyond its bound, whether its length is stated or not', async (ctx) => {
  const { ask, begin, server, node } = await run(ctx)
  const big = new Uint8Array(limits.chunkBytes + 1)
  const target = apiPaths.chunk(sha256Hex(big))
  const stated = await ask('PUT', target, big)
  assert.equal(stated.status, 413)
  assert.equal(stated.error, 'too_large: expected a body of at most 4194304 bytes, got 4194305')
  const chunked = begin('PUT', target, { 'transfer-encoding': 'chunked' })
  const answer = answerTo(chunked)
  chunked.end(big)
  assert.match((await answer).error, 'too_large: ')
  const polite = begin('PUT', target, { 'content-length': big.length, expect: '100-continue' })
  let continued = false
  polite.on('continue', () => { continued = true })
  polite.flushHeaders()
  assert.match((await answerTo(polite)).error, 'too_large: ')
  assert.equal(continued, false)
  polite.destroy()
  const useless = await ask('GET', apiPaths.info, 'a body', { 'content-length': 6 })
  assert.match(useless.error, 'too_large: expected no body')
  const most = new Uint8Array(limits.chunkBytes)
  assert.equal((await ask('PUT', apiPaths.chunk(sha256Hex(most)), most)).status, 204)
  const asking = { 'content-length': 1, expect: '100-continue' }
  const allowed = begin('PUT', apiPaths.chunk(sha256Hex('x')), asking)
  allowed.on('continue', () => allowed.end('x'))
  allowed.flushHeaders()
  assert.equal((await answerTo(allowed)).status, 204)
  assert.equal(node.chunks.size, 2)
  assert.equal(server.counters()['api_refused_too_large'], 4)
})

t('refuses bodies beyond the budget of all, and recovers', async (ctx) => {
  const { ask } = await run(ctx, { bodyBytesInAll: 1_000 })
  assert.match((await ask('POST', apiPaths.jobs, 'x'.repeat(5_000))).error, 'busy: ')
  assert.equal((await ask('POST', apiPaths.jobs, 'x'.repeat(900))).status, 200)
})

t('hides what failed inside and tells the log', async (ctx) => {
  const { ask, log } = await run(ctx, { answerMs: 200 })
  const got = await ask('POST', apiPaths.jobs, 'broken')
  assert.equal(got.status, 500)
  assert.match(got.error, 'internal: something failed inside the node')
  assert.notMatch(got.text, 'secret')
  assert.match(log.join(''), 'secret details of a bug')
  assert.match((await ask('POST', apiPaths.jobs, 'slow')).error, 'timeout: ')
  const latin = await ask('POST', apiPaths.jobs, Buffer.from([0xff]))
  assert.match(latin.error, 'malformed: expected UTF-8')
})

t('ends a stream when its client goes away', async (ctx) => {
  const { begin, node, server } = await run(ctx)
  for (const target of [`${apiPaths.log('beef')}?follow=1`, apiPaths.events('ffff')]) {
    const sent = begin('GET', target)
    sent.on('error', () => {})
    await new Promise<void>((resolve) => {
      sent.on('response', (response) => {
        response.on('error', () => {})
        response.once('data', () => resolve())
      })
      sent.end()
    })
    sent.destroy()
    await eventually(() => ['returned', 'aborted'].includes(node.streams.at(-1)?.ended ?? ''))
  }
  await eventually(() => server.counters()['api_aborted'] === 2)
  assert.equal(server.counters()['api_streams_open'], 0)
})

t('writes a stream no faster than it is read, and cuts off who never reads', async (ctx) => {
  const { begin, node, server } = await run(ctx, { stallMs: 300 })
  const sent = begin('GET', apiPaths.log('beef'))
  sent.on('error', () => {})
  const response = await new Promise<IncomingMessage>((resolve) => {
    sent.on('response', resolve)
    sent.end()
  })
  response.on('error', () => {})
  response.pause()
  const memoryBefore = process.memoryUsage().arrayBuffers
  await eventually(() => server.counters()['api_refused_too_slow'] === 1)
  assert.ok(process.memoryUsage().arrayBuffers - memoryBefore < 50 * 2 ** 20)
  await eventually(() => ['returned', 'aborted'].includes(node.streams[0]?.ended ?? ''))
})

t('cuts an answer that cannot be completed: half of it must not pass for all', async (ctx) => {
  const { ask, log } = await run(ctx)
  const dead = await ask('GET', apiPaths.log('dead'))
  assert.equal([dead.status, dead.text, dead.whole], [200, 'half', false])
  assert.match(log.join(''), 'the disk is gone')
  for (const path of ['short', 'long']) {
    const result = await ask('GET', `${apiPaths.resultFile('abcd')}?path=${path}`)
      .catch(() => ({ whole: false }))
    assert.equal(result.whole, false)
  }
  assert.equal((await ask('GET', `${apiPaths.resultFile('abcd')}?path=fine`)).whole, true)
})

t('serves two clients while a third is stuck', async (ctx) => {
  const { begin, ask } = await run(ctx)
  const stuck = begin('PUT', apiPaths.chunk('ab'.repeat(32)), { 'content-length': 100 })
  stuck.on('error', () => {})
  stuck.write('half')
  const follower = begin('GET', `${apiPaths.log('abcd')}?follow=1`)
  follower.on('error', () => {})
  const [first] = await new Promise<[IncomingMessage]>((resolve) => {
    follower.on('response', (response) => resolve([response]))
    follower.end()
  })
  let read = ''
  first.on('data', (chunk: Buffer) => { read += chunk.toString() })
  first.on('error', () => {})
  await eventually(() => read === 'line\nline\n')
  const many = await Promise.all(Array.from({ length: 20 }, () => ask('GET', apiPaths.info)))
  assert.equal(many.map((got) => got.status), Array.from({ length: 20 }, () => 200))
  stuck.destroy()
  follower.destroy()
})

t('gives a slow request its time and no more', async (ctx) => {
  const { path, begin, server } = await run(ctx, { requestMs: 300, headersMs: 200 })
  const slow = begin('PUT', apiPaths.chunk('ab'.repeat(32)), { 'content-length': 100 })
  slow.write('half')
  const got = await answerTo(slow)
  assert.equal(got.error, 'too_slow: the request took too long to arrive')
  const raw = connect(path)
  raw.on('error', () => {})
  raw.write('GET /v1/info HTTP/1.1\r\nhost: x\r\nx-slow: ')
  let said = ''
  raw.on('data', (chunk: Buffer) => { said += chunk.toString() })
  await eventually(() => raw.destroyed)
  assert.match(said, /^HTTP\/1\.1 408 .*"code":"too_slow"/s)
  assert.equal(server.counters()['api_refused_too_slow'], 2)
})

t('answers what is no HTTP, and headers without end', async (ctx) => {
  const { path, server } = await run(ctx)
  for (const [text, word] of [
    ['hello\r\n\r\n', 'malformed'],
    [`GET /v1/info HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, 'headers_too_large'],
  ] as const) {
    const raw = connect(path)
    raw.on('error', () => {})
    let said = ''
    raw.on('data', (chunk: Buffer) => { said += chunk.toString() })
    raw.write(text)
    await eventually(() => raw.destroyed)
    assert.match(said, `"code":"${word}"`)
    assert.equal(server.counters()[`api_refused_${word}`], 1)
  }
})

t('bounds the number of connections', async (ctx) => {
  const { path, server, ask } = await run(ctx, { connectionsMax: 4 })
  const held = Array.from({ length: 6 }, () => connect(path).on('error', () => {}))
  await eventually(() => server.counters()['api_refused_busy'] === 2)
  for (const socket of held) socket.destroy()
  await eventually(async () => (await ask('GET', apiPaths.info)).status === 200)
})

t('makes the socket over what a crash left, and not over a live one', async (ctx) => {
  const { path, server, node } = await run(ctx)
  assert.equal(statSync(path).mode & 0o777, 0o600)
  const sink = { write: () => {} }
  const report = createReport({ sink, level: 'error', readable: true, linesPerSecondMax: 1 })
  const again = { socketPath: path, socketMode: 0o660, node, report }
  await assert.rejects(startServer(again), /another process serves .*node.sock; stop it/)
  assert.ok(existsSync(path))
  await server.stop()
  await server.stop()
  assert.ok(!existsSync(path) && !existsSync(`${path}.new`))
  // A stale socket: bound, and nobody listens any more.
  const stale = createServer().listen(`${path}.other`)
  await eventually(() => existsSync(`${path}.other`))
  const { linkSync } = await import('node:fs')
  linkSync(`${path}.other`, path)
  await new Promise((resolve) => stale.close(resolve))
  assert.ok(existsSync(path))
  const second = await startServer(again)
  assert.equal(statSync(path).mode & 0o777, 0o660)
  await second.stop()
  const deep = join(ctx.tmp(), 'x'.repeat(100), 'node.sock')
  await assert.rejects(startServer({ ...again, socketPath: deep }), /expected at most 103 bytes/)
  writeFileSync(join(ctx.tmp(), 'file'), '')
  const nowhere = join(ctx.tmp(), 'no', 'node.sock')
  await assert.rejects(startServer({ ...again, socketPath: nowhere }), /cannot serve on .*no\/node/)
})

t('stops: streams are cut, requests are answered, kept connections end', async (ctx) => {
  const { server, begin, ask, node, path } = await run(ctx, { stopMs: 3_000 })
  const agent = new Agent({ keepAlive: true })
  ctx.after(() => agent.destroy())
  const kept = open({ socketPath: path, path: apiPaths.info, agent })
  const keptGot = answerTo(kept)
  kept.end()
  await keptGot
  const follower = begin('GET', `${apiPaths.log('abcd')}?follow=1`)
  const got = answerTo(follower)
  follower.end()
  const upload = begin('PUT', apiPaths.chunk(sha256Hex('x'.repeat(10))), { 'content-length': 10 })
  const uploaded = answerTo(upload)
  upload.write('x'.repeat(5))
  await eventually(() => node.streams.length === 1 && server.counters()['api_requests'] === 3)
  const stopping = server.stop()
  assert.equal((await got).whole, false)
  upload.end('x'.repeat(5))
  const result = await uploaded
  assert.ok(result.status === 204 || result.error.startsWith('stopping'), result.text)
  await stopping
  await assert.rejects(ask('GET', apiPaths.info), /ENOENT/)
})
