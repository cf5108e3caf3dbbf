// A member's log over the network between nodes: the whole of it verifies, its reader is kept to a
// rate, and what is no log is not taken for one.

import { verifyLogs } from '../../cli/verify/verify.ts'
import type { LiveLog, LogFile } from '../../node/ledger/live-log.ts'
import { openLiveLog } from '../../node/ledger/live-log.ts'
import type { PeerLogBounds } from '../../node/ledger/peer-log.ts'
import { logHeader, openPeerLog } from '../../node/ledger/peer-log.ts'
import type { RemoteLogOptions } from '../../node/ledger/remote-log.ts'
import { remoteLog } from '../../node/ledger/remote-log.ts'
import { codeOf } from '../../node/net/failure.ts'
import { encodeRequest } from '../../node/staging/frames.ts'
import { StoreError } from '../../node/store/store-error.ts'
import { assert, suite } from '../harness.ts'
import type { Context } from '../harness.ts'
import { federate, siteName, startSite } from '../net/site.ts'
import type { Site } from '../net/site.ts'
import { readingStore } from '../rules/ledger-exports.ts'
import type { TestSite } from '../rules/ledger-sites.ts'
import { credits, federation, hashOf, say, start } from '../rules/ledger-sites.ts'

const t = suite('a member\'s log')

async function liveLog(ctx: Context, entries: number): Promise<LiveLog> {
  const [at] = federation('b.example') as [TestSite]
  for (let limit = 2; limit < entries; limit++) {
    say(at, { kind: 'credit', to: at.name, at: start, limit: credits(limit) })
  }
  return openLiveLog({
    store: readingStore(at), logKey: at.log, markPath: `${ctx.tmp()}/ledger.mark`,
    quarantined: () => undefined,
  })
}

/** a, which reads, and b, which serves what `file` gives. */
async function two(
  ctx: Context,
  file: (path: string) => Promise<LogFile | undefined>,
  bounds: Partial<PeerLogBounds> = {},
): Promise<readonly [Site, Site]> {
  const peerLog = openPeerLog({ file }, bounds)
  const a = await startSite(ctx, 'a.example')
  const onFetch = peerLog.serve
  const b = await startSite(ctx, 'b.example', { onFetch })
  await federate([a, b])
  return [a, b]
}

function filled(size: number): () => Promise<LogFile> {
  return () => Promise.resolve({ kind: 'tile', bytes: new Uint8Array(size).fill(7) })
}

async function codeFrom(
  a: Site, b: Site, path = 'checkpoint', options: RemoteLogOptions = {},
): Promise<string> {
  const read = remoteLog(a.network, b.name, options).read(path, 100)
  return read.then(() => 'read', (error: unknown) => codeOf(error))
}

t('the whole of it is read and verifies', async (ctx) => {
  const live = await liveLog(ctx, 300)
  const [a, b] = await two(ctx, live.file)
  const report = await verifyLogs([remoteLog(a.network, b.name)])
  assert.equal(report.findings, [])
  assert.equal([report.verdict, report.logs[0]?.entries], ['holds', 300])
  assert.equal(report.logs[0]?.path, 'b.example')
})

t('absent, empty and long files are told apart', async (ctx) => {
  const [a, b] = await two(ctx, async (path) =>
    path === 'tile/0/000' ? filled(9)() : path === 'tile/0/001' ? filled(0)() : undefined)
  const log = remoteLog(a.network, b.name)
  assert.equal(await log.read('checkpoint', 100), undefined)
  assert.equal((await log.read('tile/0/001', 100))?.length, 0)
  assert.equal((await log.read('tile/0/000', 9))?.length, 9)
  assert.equal((await log.read('tile/0/000', 8))?.length, 9, 'one more, so that it is noticed')
  assert.equal((await log.read('tile/0/000', 3))?.length, 4)
  assert.equal(await log.read('../ledger.mark', 9), undefined)
})

t('a reader waits when it was too fast, and gives up in its time', async (ctx) => {
  const [a, b] = await two(ctx, filled(1), { filesPerMinute: 120 })
  for (let count = 0; count < 120; count++) await remoteLog(a.network, b.name).read('checkpoint', 9)
  // The bucket fills by two a second; more are had by waiting.
  const patient = remoteLog(a.network, b.name, { busyMs: 20 })
  for (let count = 0; count < 3; count++) assert.ok(await patient.read('checkpoint', 9))
  const [c, d] = await two(ctx, filled(10), { bytesPerMinute: 9 })
  assert.equal(await codeFrom(c, d, 'checkpoint', { fileMs: 300, busyMs: 20 }), 'busy')
}, { timeoutSeconds: 120 })

t('files at once are bounded over all members, and one that was left makes room', async () => {
  const log = openPeerLog({ file: filled(5) }, { inWorkMax: 2 })
  const begin = (from: string): AsyncGenerator<Uint8Array, void, undefined> =>
    log.serve(siteName(from), logHeader('checkpoint'))
  const [first, second, third] = [begin('a.example'), begin('b.example'), begin('c.example')]
  await first.next()
  await second.next()
  assert.equal(await third.next().then(() => 'served', codeOf), 'busy')
  await first.return()
  const fourth = begin('c.example')
  await fourth.next()
  assert.equal((await fourth.next()).value?.length, 5)
  assert.ok((await fourth.next()).done)
  assert.ok(!(await begin('d.example').next()).done)
})

t('why there is no answer', async (ctx) => {
  const [a, b] = await two(ctx, (path) => path === 'checkpoint'
    ? Promise.reject(new StoreError('QUARANTINE', 'secret: the database is behind'))
    : new Promise(() => {}))
  assert.equal(await codeFrom(a, b), 'refused:quarantined')
  assert.equal(await codeFrom(a, b, 'tile/0/000', { fileMs: 300 }), 'timeout')
  const stop = AbortSignal.abort(new Error('no more'))
  assert.equal(await codeFrom(a, b, 'tile/0/000', { signal: stop }), 'aborted')
  const stranger = remoteLog(a.network, siteName('c.example'))
  assert.equal(await stranger.read('checkpoint', 9).catch(codeOf), 'unknown-site')
  await b.stop()
  assert.ok(['down', 'broken', 'timeout'].includes(await codeFrom(a, b)), 'it is gone')
})

t('what is no file of a log is not taken for one', async (ctx) => {
  const a = await startSite(ctx, 'a.example')
  const answers: Uint8Array[] = [Uint8Array.of(), Uint8Array.of(2, 1), Uint8Array.of(0, 1)]
  const b = await startSite(ctx, 'b.example', {
    onFetch: async function* () { yield answers.shift() ?? Uint8Array.of(0) },
  })
  await federate([a, b])
  for (let turn = 0; turn < 3; turn++) assert.equal(await codeFrom(a, b), 'malformed')
  assert.equal(await codeFrom(a, b), 'read')
})

t('a header asks for a file of the log, or for something else', async () => {
  const log = openPeerLog({ file: filled(1) })
  assert.ok(log.isAsked(logHeader('checkpoint')))
  assert.ok(!log.isAsked(encodeRequest({ scope: 'in/1', hashes: [hashOf('x')] })))
  for (const header of [
    '{"kind":"gridnode/v1/log","path":7}', '{"kind":"gridnode/v1/log","path":"a","x":1}',
    `{"kind":"gridnode/v1/log","path":"${'x'.repeat(300)}"}`, '{"kind":"gridnode/v1/log",',
  ]) {
    assert.ok(log.isAsked(header))
    const served = log.serve(siteName('a.example'), header).next()
    assert.equal(await served.then(() => 'served', codeOf), 'malformed', header)
  }
})
