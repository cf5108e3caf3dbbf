// `gridnode ledger receipt`, `digest`, `documents`, `snapshot` and `prune`: what is asked of the
// node, what is printed and written, and what is wrong usage.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseTlogProof } from '../../protocol/base/tlog-proof.ts'
import { openLiveLog } from '../../node/ledger/live-log.ts'
import { readDocument } from '../../protocol/rules/audit-documents.ts'
import { formatDigestRecord } from '../../protocol/rules/digest.ts'
import { leafHash } from '../../protocol/base/merkle.ts'
import { toHex } from '../../protocol/base/crypto.ts'
import type { JobId } from '../../protocol/base/ids.ts'
import { openHead } from '../../protocol/rules/ledger-book.ts'
import { exportLedger } from '../../node/store/ledger-export.ts'
import { assert, suite } from '../harness.ts'
import { readingStore } from '../rules/ledger-exports.ts'
import type { TestSite } from '../rules/ledger-sites.ts'
import { credits, federation, start, tell, view } from '../rules/ledger-sites.ts'
import { fixtureNode, run } from './fixture-node.ts'

const t = suite('what a site keeps, on the command line')

const sid = 'ab'.repeat(32)

t('a receipt is shown, written once, and checked by exported ledgers alone', async (ctx) => {
  const [home, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  const said = tell(home, host, { kind: 'credit', to: host.name, at: start, limit: credits(3) })
  const live = await openLiveLog({
    store: readingStore(host), logKey: host.log, markPath: join(ctx.tmp(), 'mark'),
    quarantined: () => undefined,
  })
  const siteIndex = openHead(view(host)).frontier.size - 1
  const proof = (await live.receipt(siteIndex))!
  const { directory, asked } = await fixtureNode(ctx, {
    'GET /v1/ledger/receipt': {
      json: { sid, index: 7, kind: 'credit', site: host.name, siteIndex, note: said.note, proof },
    },
  })
  const cwd = ctx.tmp()
  const base = ['ledger', '--dir', directory, 'receipt']
  const shown = await run(ctx, [...base, '7'], { cwd })
  assert.equal([shown.code, asked.at(-1)?.query], [0, { entry: '7' }])
  assert.ok(assert.accepted(parseTlogProof(shown.out.slice(shown.out.indexOf('c2sp.org')))))
  const written = await run(ctx, [...base, sid, '--out', 'one.proof'], { cwd })
  assert.equal(written.code, 0)
  assert.equal(readFileSync(join(cwd, 'one.proof'), 'utf8'), proof)
  assert.equal(readFileSync(join(cwd, 'one.proof.entry'), 'utf8'), said.note)
  assert.equal((await run(ctx, [...base, sid, '--out', 'one.proof'], { cwd })).code, 1)

  await exportLedger(readingStore(home), home.log, join(cwd, 'home'))
  await exportLedger(readingStore(host), host.log, join(cwd, 'host'))
  const check = ['ledger', 'receipt', 'check', 'one.proof', '--ledger']
  for (const ledgers of [['home'], ['host'], ['.']]) {
    const ran = await run(ctx, [...check, ...ledgers], { cwd })
    assert.equal([ran.code, ran.err], [0, ''])
    assert.match(ran.out, new RegExp(`entry ${siteIndex} of host\\.example`))
    assert.equal(/one of its ledger/.test(ran.out), ledgers[0] !== 'home')
  }
  const [stranger] = federation('stranger.example') as [TestSite]
  await exportLedger(readingStore(stranger), stranger.log, join(cwd, 'stranger'))
  const foreign = await run(ctx, [...check, 'stranger'], { cwd })
  assert.equal(foreign.code, 1)
  assert.match(foreign.out, /do not know the log of host\.example/)
  writeFileSync(join(cwd, 'one.proof'), proof.replace(`index ${siteIndex}`, 'index 0'))
  const moved = await run(ctx, [...check, 'home', '--json'], { cwd })
  assert.equal([moved.code, (JSON.parse(moved.out) as { holds: boolean }).holds], [1, false])
})

t('a digest is a table, or documents that open it', async (ctx) => {
  const record = formatDigestRecord({
    job: '0123456789ab' as JobId, user: 'ada', task: 4, cores: 2, core_s: 60, gib_s: 30,
    started_ms: start, ended_ms: start + 30_000, how: 'exited', exit_code: 0, salt: '00'.repeat(16),
  })
  const root = toHex(leafHash(Buffer.from(record)))
  const { directory, asked } = await fixtureNode(ctx, {
    'GET /v1/ledger/digest': {
      json: { day: 20_254, sid, count: 1, root, records: [{ record, proof: [] }] },
    },
  })
  const base = ['ledger', '--dir', directory, 'digest']
  const shown = await run(ctx, [...base, '2025-06-15'])
  assert.equal([shown.code, asked.at(-1)?.query], [0, { day: '20254' }])
  assert.match(shown.out, /1 local task on 2025-06-15/)
  assert.match(shown.out, /0123456789ab +ada +4 +2 +60 +exited 0/)
  const lines = await run(ctx, [...base, '20254', '--json'])
  assert.equal(assert.accepted(readDocument(lines.out.trimEnd())).hash, root)
  for (const word of ['yesterday', '2025-13-01', '-1']) {
    assert.equal((await run(ctx, [...base, '--', word])).code, 2, word)
  }
})

t('documents go into a file of their own, and what is gone is said beside', async (ctx) => {
  const { directory } = await fixtureNode(ctx, {
    'GET /v1/ledger/documents': {
      json: { lines: ['{"a":1}', '{"b":2}'], missing: ['it is gone'] },
    },
  })
  const cwd = ctx.tmp()
  const base = ['ledger', '--dir', directory, 'documents', '0123']
  const shown = await run(ctx, base, { cwd })
  assert.equal([shown.out, shown.err], ['{"a":1}\n{"b":2}\n', 'it is gone\n'])
  const written = await run(ctx, [...base, '--out', 'private'], { cwd })
  assert.match(written.out, /2 documents written to private/)
  assert.equal(readFileSync(join(cwd, 'private'), 'utf8'), '{"a":1}\n{"b":2}\n')
  assert.equal((await run(ctx, [...base, '--out', 'private'], { cwd })).code, 1)
  assert.ok(existsSync(join(cwd, 'private')))
})

t('snapshot and prune ask the node for what they say', async (ctx) => {
  const { directory, asked } = await fixtureNode(ctx, {
    'POST /v1/ledger/snapshot': { json: { sid, size: 12, state: 'cd'.repeat(32) } },
    'POST /v1/ledger/prune': { json: { below: 256 } },
  })
  const cwd = ctx.tmp()
  const base = ['ledger', '--dir', directory]
  const snapshot = await run(ctx, [...base, 'snapshot'])
  assert.match(snapshot.out, /the state after 12 entries is\n {2}cdcd/)
  const prune = [...base, 'prune', '--below', '300', '--mirror', 'one', '--mirror', '/two']
  const pruned = await run(ctx, [...prune, '--retention', '4000d'], { cwd })
  assert.match(pruned.out, /entries below 256 are dropped/)
  assert.equal(JSON.parse(asked.at(-1)!.text), {
    below: 300, mirrors: [join(cwd, 'one'), '/two'], retention_seconds: 4_000 * 86_400,
  })
  for (const wrong of [
    ['prune'], ['prune', '--below', '300', '--mirror', 'one'], ['prune', '--below', 'all'],
    ['prune', '--below', '3', '--mirror', 'a', '--mirror', 'b', '--retention', 'long'],
    ['receipt'], ['receipt', 'x'], ['receipt', 'check', 'file'], ['digest'], ['documents', 'zz'],
  ]) assert.equal((await run(ctx, [...base, ...wrong])).code, 2, wrong.join(' '))
})
