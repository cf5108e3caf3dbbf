// `gridnode audit`: a live log through the node's API, a site that lies, one that hides, one that
// is merely newer, and one that is away.

import { openLiveLog } from '../../node/ledger/live-log.ts'
import { assert, suite } from '../harness.ts'
import type { Context } from '../harness.ts'
import { exportOf, readingStore } from '../rules/ledger-exports.ts'
import type { Files } from '../rules/ledger-exports.ts'
import type { TestSite } from '../rules/ledger-sites.ts'
import { credits, federation, start, tariffInput, tell } from '../rules/ledger-sites.ts'
import type { Answer, Routes } from './fixture-node.ts'
import { fixtureNode, refused, run } from './fixture-node.ts'
import { peerRows } from './fixtures.ts'

const t = suite('audit')

const [peerRow] = peerRows

type Read = (path: string) => Promise<Uint8Array | undefined>

interface World {
  readonly home: TestSite
  readonly host: TestSite
}

function world(): World {
  const [home, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  tell(host, home, { kind: 'credit', to: home.name, at: start, limit: credits(7) })
  tell(home, host, { kind: 'credit', to: host.name, at: start, limit: credits(8) })
  return { home, host }
}

async function liveFiles(ctx: Context, at: TestSite): Promise<Read> {
  const live = await openLiveLog({
    store: readingStore(at), logKey: at.log, markPath: `${ctx.tmp()}/ledger.mark`,
    quarantined: () => undefined,
  })
  return async (path) => (await live.file(path))?.bytes
}

function served(read: Read): (asked: { query: Readonly<Record<string, string>> }) => Answer {
  return ({ query }) => ({
    write: (response) => void read(query['path'] ?? '').then((bytes) => {
      response.writeHead(bytes ? 200 : 404)
      const error = { code: 'not_found', message: 'no such file' }
      response.end(bytes ?? JSON.stringify({ error }))
    }),
  })
}

function routes({ home, host }: World, logs: { readonly home: Read, readonly host: Read }): Routes {
  return {
    'GET /v1/info': { json: { site: home.name } },
    'GET /v1/peers': { json: [{ ...peerRow, site: host.name }] },
    [`GET /v1/sites/${home.name}/log`]: served(logs.home),
    [`GET /v1/sites/${host.name}/log`]: served(logs.host),
  }
}

function fromFiles(files: Files): Read {
  return async (path) => files.get(path)
}

t('two honest sites', async (ctx) => {
  const both = world()
  const logs = { home: await liveFiles(ctx, both.home), host: await liveFiles(ctx, both.host) }
  const { directory, asked } = await fixtureNode(ctx, routes(both, logs))
  const ran = await run(ctx, ['audit', '--dir', directory, 'host.example'], { columns: 100 })
  assert.equal(ran.code, 0, ran.err)
  assert.match(ran.out, /home\.example +\d+ +0/)
  assert.match(ran.out, /host\.example +\d+ +0/)
  assert.match(ran.out, /all holds: 2 ledgers/)
  const order = asked.filter(({ query }) => query['path'] === 'checkpoint').map(({ path }) => path)
  assert.equal(order, ['/v1/sites/home.example/log', '/v1/sites/host.example/log'])
  const alone = await run(ctx, ['audit', '--alone', '--json', '--dir', directory, 'host.example'])
  const report = JSON.parse(alone.out) as { verdict: string, logs: { site: string }[] }
  assert.equal([alone.code, report.verdict], [0, 'holds'])
  assert.equal(report.logs.map(({ site }) => site), ['host.example'])
})

t('a site that has newer statements of ours is no fault, ours that it lacks is', async (ctx) => {
  const both = world()
  const { home, host } = both
  const older = { home: await exportOf(home, ctx.tmp()), host: await exportOf(host, ctx.tmp()) }
  tell(home, host, { kind: 'credit', to: host.name, at: start, limit: credits(9) })
  tell(home, host, tariffInput({ task: 0, core: 1, gib: 0 }))
  tell(host, home, { kind: 'credit', to: home.name, at: start, limit: credits(10) })
  const newer = { home: await exportOf(home, ctx.tmp()), host: await exportOf(host, ctx.tmp()) }
  const audited = async (files: { readonly home: Files, readonly host: Files }) => {
    const logs = { home: fromFiles(files.home), host: fromFiles(files.host) }
    const { directory } = await fixtureNode(ctx, routes(both, logs))
    const ran = await run(ctx, ['audit', '--json', '--dir', directory, 'host.example'])
    const { verdict, findings, notes } = JSON.parse(ran.out) as {
      verdict: string, findings: { site: string, rule: string }[], notes: string[]
    }
    return { code: ran.code, verdict, findings, notes: notes.join('\n') }
  }
  const later = await audited({ home: older.home, host: newer.host })
  assert.equal([later.code, later.verdict, later.findings], [0, 'holds', []])
  assert.match(later.notes, /comparisons? left out: the other ledger was read a moment later/)
  const hiding = await audited({ home: newer.home, host: older.host })
  assert.equal([hiding.code, hiding.verdict], [1, 'broken'])
  assert.ok(hiding.findings.length > 0)
  for (const { site, rule } of hiding.findings) assert.equal([site, rule], ['host.example', 'I3'])
})

t('a changed byte is found', async (ctx) => {
  const both = world()
  const files = await exportOf(both.host, ctx.tmp())
  const [path, bytes] = [...files].find(([name]) => name.startsWith('tile/entries/'))!
  const changed = Uint8Array.from(bytes)
  changed[bytes.length - 40] = changed[bytes.length - 40]! ^ 1
  const logs = {
    home: await liveFiles(ctx, both.home), host: fromFiles(new Map(files).set(path, changed)),
  }
  const { directory } = await fixtureNode(ctx, routes(both, logs))
  const ran = await run(ctx, ['audit', '--dir', directory, 'host.example'])
  assert.equal(ran.code, 1)
  assert.match(ran.out, /something does not hold/)
})

t('a site that is away, one that is none, and none at all', async (ctx) => {
  const both = world()
  const logs = { home: await liveFiles(ctx, both.home), host: await liveFiles(ctx, both.host) }
  const { directory } = await fixtureNode(ctx, {
    ...routes(both, logs),
    'GET /v1/sites/host.example/log': refused(502, 'peer_down', 'no connection to host.example'),
  })
  const away = await run(ctx, ['audit', '--dir', directory, 'host.example'])
  assert.equal(away.code, 1)
  assert.match(away.err, 'no connection to host.example')
  const unknown = await run(ctx, ['audit', '--dir', directory, 'hots.example'])
  assert.equal(unknown.code, 1)
  assert.match(unknown.err, "'hots.example' is no site of this federation; its sites are: home")
  for (const words of [[], ['a', 'b']]) {
    const ran = await run(ctx, ['audit', '--dir', directory, ...words])
    assert.equal(ran.code, 2)
    assert.match(ran.err, 'expected the name of one site')
  }
})
