// `gridnode evidence`: what the node knows, the document for an auditor, and its check without a
// node.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { EvidenceRow } from '../../node/http/api.ts'
import { sha256Hex } from '../../protocol/base/crypto.ts'
import { encodeEvidence } from '../../protocol/rules/evidence.ts'
import { exportLedger } from '../../node/store/ledger-export.ts'
import type { Context } from '../harness.ts'
import { assert, suite } from '../harness.ts'
import { another } from '../attacks/liar.ts'
import { readingStore } from '../rules/ledger-exports.ts'
import { credits, federation, start, tell } from '../rules/ledger-sites.ts'
import { fixtureEpochMs, fixtureNode, run } from './fixture-node.ts'
import { offerRow, peerRows } from './fixtures.ts'

const t = suite('evidence')
const wide = { columns: 100 }

const row: EvidenceRow = {
  id: 'ab'.repeat(32), accused: 'b.example', epoch: 1, kind: 'double_number',
  what: 'signed two statements number 5 to a.example', from: '', epochMs: fixtureEpochMs,
  sid: 'cd'.repeat(32), frozen: true,
}
const other: EvidenceRow = {
  ...row, id: 'ef'.repeat(32), accused: 'c.example', kind: 'fork_head', from: 'b.example',
  what: 'signed two heads of its log with 7 entries', frozen: false,
}

function node(ctx: Context): ReturnType<typeof fixtureNode> {
  return fixtureNode(ctx, {
    'GET /v1/evidence': { json: [row, other] },
    [`GET /v1/evidence/${row.id}`]: { json: { id: row.id, document: '{"a":1}' } },
  })
}

t('lists what is known, and one site or document of it', async (ctx) => {
  const { directory } = await node(ctx)
  const all = await run(ctx, ['evidence', '--dir', directory], wide)
  assert.equal([all.code, all.err], [0, ''])
  assert.match(all.out, /abababababab +b\.example +1 +double_number .+ this site +frozen\n/)
  assert.match(all.out, /efefefefefef +c\.example +1 +fork_head .+ b\.example +granted\n/)
  assert.match(all.out, /b\.example signed two statements number 5 to a\.example\n/)
  for (const word of ['c.example', 'efef']) {
    const one = await run(ctx, ['evidence', word, '--json', '--dir', directory])
    assert.equal(JSON.parse(one.out), [other])
  }
  const none = await run(ctx, ['evidence', 'z.example', '--dir', directory])
  assert.equal(none.code, 1)
  assert.match(none.err, /no evidence of 'z\.example' is known here/)
})

t('writes one document, never over another file', async (ctx) => {
  const { directory } = await node(ctx)
  const file = join(ctx.tmp(), 'lie.json')
  const args = ['evidence', '--dir', directory, '--export', file]
  assert.equal((await run(ctx, args)).code, 2)
  assert.equal((await run(ctx, [...args, 'b.example'])).code, 0)
  assert.equal(readFileSync(file, 'utf8'), '{"a":1}')
  const again = await run(ctx, [...args, 'b.example'])
  assert.equal(again.code, 1)
  assert.match(again.err, /cannot be written/)
})

t('checks a document by exported ledgers alone', async (ctx) => {
  const [home, host] = federation('home.example', 'host.example')
  const first = tell(host!, home!, {
    kind: 'credit', to: home!.name, at: start, limit: credits(5),
  }).note
  const second = another(host!.signer.statement, first, { limit: credits(6) })
  const folder = ctx.tmp()
  for (const site of [home!, host!]) {
    await exportLedger(readingStore(site), site.log, join(folder, site.name))
  }
  const document = encodeEvidence({ kind: 'double_number', first, second })
  const file = (text: string): string => {
    const path = join(ctx.tmp(), 'document')
    writeFileSync(path, text)
    return path
  }
  const check = (path: string, ledger = folder): ReturnType<typeof run> =>
    run(ctx, ['evidence', 'check', path, '--ledger', ledger], wide)
  for (const text of [document, `${document}\n`]) {
    assert.equal(await check(file(text)), { code: 0, err: '', out:
      'host.example lied in epoch 1: it signed two statements number 1 to home.example\n' +
      `  proof double_number, document ${sha256Hex(document)}\n` })
  }
  const same = encodeEvidence({ kind: 'double_number', first, second: first })
  const nothing = await check(file(same))
  assert.equal(nothing.code, 1)
  assert.match(nothing.err.replaceAll('\n', ' '),
    /proves nothing by the ledgers of .*the same statement twice/)
  assert.equal((await check(file('{}'))).code, 1)
  assert.equal((await check(join(folder, 'no such file'))).code, 1)
  const damaged = join(folder, 'host.example', 'checkpoint')
  writeFileSync(damaged, readFileSync(damaged, 'utf8').replace('\n— ', '\n— x'))
  const unusable = await check(file(document))
  assert.equal(unusable.code, 1)
  assert.match(unusable.err, /host\.example/)
})

t('peers and offers show whose credit is frozen', async (ctx) => {
  const { directory } = await fixtureNode(ctx, {
    'GET /v1/peers': { json: peerRows.map((peer) => ({ ...peer, frozen: true })) },
    'GET /v1/offers': { json: [{ ...offerRow, own: false, frozen: true }] },
  })
  const peers = await run(ctx, ['peers', '--dir', directory], wide)
  assert.match(peers.out, /b\.example: there is proof that it lied \('gridnode evidence b\.exam/)
  const offers = await run(ctx, ['offers', '--dir', directory], wide)
  assert.match(offers.out, /a\.example +frozen/)
  const one = await run(ctx, ['offers', 'a.example', '--dir', directory], wide)
  assert.match(one.out, /evidence +there is proof that it lied; it is not asked/)
})
