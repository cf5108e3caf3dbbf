// `offers`, `peers`, `ledger` and `invite`: text for an 80-column terminal, JSON, what is asked.

import { join } from 'node:path'
import type { LedgerEntryRow, LedgerSummary } from '../../node/http/api.ts'
import { assert, suite } from '../harness.ts'
import { fixtureEpochMs, fixtureNode, refused, run } from './fixture-node.ts'
import { offerRow, offerRows, peerRows } from './fixtures.ts'

const wide = { columns: 80 }

const offers = suite('offers')

offers('lists the sites, its own first, within 80 columns', async (ctx) => {
  const { directory } = await fixtureNode(ctx, { 'GET /v1/offers': { json: offerRows } })
  const ran = await run(ctx, ['offers', '--dir', directory], wide)
  assert.equal(ran, { code: 0, err: '', out: `\
SITE          FREE  CORES   MEMORY  WAITING  SPEED  CORE-HOUR  LONGEST  BY
a.example*       2      4    8 GiB        3   1.0x       0.05       1d  embedded
b.example       96    128  512 GiB        3   1.5x       0.08       1d  slurm
cluster-wit…  down      4    8 GiB        3  0.85x       0.05       1d  embedded
` })
})

offers('says which site is drained', async (ctx) => {
  const drained = offerRows.map((row) => ({ ...row, coresPerTaskMax: 0 }))
  const { directory } = await fixtureNode(ctx, { 'GET /v1/offers': { json: drained } })
  const ran = await run(ctx, ['offers', '--dir', directory], wide)
  assert.match(ran.out, /a\.example\* +drained +4 /)
})

offers('shows one site in full, and names the known ones for an unknown one', async (ctx) => {
  const { directory } = await fixtureNode(ctx, { 'GET /v1/offers': { json: offerRows } })
  const ran = await run(ctx, ['offers', '--dir', directory, 'a.example'], wide)
  assert.equal(ran, { code: 0, err: '', out: `\
a.example (this site)
  cores         2 free of 4, at most 4 a task
  memory        4 GiB free of 8 GiB, at most 8 GiB a task
  tasks         2 running, 3 waiting
  walltime      at most 1d
  speed         1.0x the reference core
  prices        0.001 cr a task, 0.05 cr a core-hour, 0.005 cr a GiB-hour
  scheduler     embedded
  offer         number 17, ends in 4m
  os            linux
  arch          x86_64
  software_gcc  12.2
` })
  const unknown = await run(ctx, ['offers', '--dir', directory, 'z.example'], wide)
  assert.equal(unknown.code, 1)
  assert.match(unknown.err, "no offer of 'z.example' is known; known are: b.example, a.example")
})

offers('passes the expression on and its refusal back', async (ctx) => {
  const { directory, asked } = await fixtureNode(ctx, {
    'GET /v1/offers': ({ query }) => query['where'] === 'cores_free > 50'
      ? { json: [offerRow] }
      : refused(400, 'bad_expression', "unknown name 'cors' at 0"),
  })
  const args = ['offers', '--json', '--dir', directory, '--where']
  const good = await run(ctx, [...args, 'cores_free > 50'])
  assert.equal(JSON.parse(good.out), [offerRow])
  const bad = await run(ctx, [...args, 'cors > 1'])
  assert.equal([bad.code, JSON.parse(bad.err)], [1, {
    error: { code: 'bad_expression', message: "unknown name 'cors' at 0" },
  }])
  assert.equal(asked.length, 2)
})

offers('lists the names for expressions without a node', async (ctx) => {
  const ran = await run(ctx, ['offers', '--attributes'], wide)
  assert.equal([ran.code, ran.err], [0, ''])
  assert.match(ran.out, /^cores_free +integer +cores free when the offer was made$/m)
  assert.ok(ran.out.split('\n').every((line) => line.length <= 80 && !line.includes('…')))
})

const peers = suite('peers')

peers('lists the others with what each may owe, and their trouble', async (ctx) => {
  const { directory } = await fixtureNode(ctx, { 'GET /v1/peers': { json: peerRows } })
  const ran = await run(ctx, ['peers', '--dir', directory, '-a'], wide)
  assert.equal(ran, { code: 0, err: '', out: `\
SITE       STATE  OFFER AGE  BALANCE  MAY OWE US  WE MAY OWE  UNSENT
b.example  up           12s    -0.12       10.00       20.00       0
c.example  down        none     0.00        0.00        5.00       3
b.example: admitted by a.example
  /ip4/127.0.0.1/tcp/4001
c.example: connection refused since 2m
c.example: admitted by b.example
  /ip4/127.0.0.1/tcp/4002
` })
})

const ledger = suite('ledger')

const summary: LedgerSummary = {
  site: 'a.example',
  federation: 'ab'.repeat(32),
  entries: 1_234,
  rootHash: 'cd'.repeat(32),
  pairs: [{
    site: 'b.example', balance: '-120000', weOweLimit: '20000000', theyOweLimit: '10000000',
    heldByUs: '400000', heldByThem: '0', claimedByThem: '120000', claimedByUs: '0',
  }],
}
const entry: LedgerEntryRow = {
  index: 1_233, sid: 'ef'.repeat(32), kind: 'hold', from: 'a.example', to: 'b.example', number: 2,
  body: { e: 1, amount: '400000', tasks: 4, valid_until: fixtureEpochMs },
}

ledger('shows balances', async (ctx) => {
  const { directory } = await fixtureNode(ctx, { 'GET /v1/ledger': { json: summary } })
  const ran = await run(ctx, ['ledger', '--dir', directory], wide)
  assert.equal(ran, { code: 0, err: '', out: `\
ledger of a.example: 1234 entries
  federation ${'ab'.repeat(32)}
  root hash  ${'cd'.repeat(32)}

WITH       BALANCE  WE HOLD  THEY HOLD  WE CLAIM  THEY CLAIM
b.example    -0.12     0.40       0.00      0.00        0.12

a positive balance is owed to this site; 'gridnode peers' has the limits
` })
})

ledger('shows the last entries, or those that are named', async (ctx) => {
  const { directory, asked } = await fixtureNode(ctx, {
    'GET /v1/ledger': { json: summary },
    'GET /v1/ledger/entries': { json: [entry] },
  })
  const base = ['ledger', '--dir', directory, 'entries']
  const last = await run(ctx, [...base, '-n', '5'], wide)
  assert.equal(last.out, `\
INDEX  KIND  FROM       TO         NO  STATEMENT     SAYS
 1233  hold  a.example  b.example   2  efefefefefef  amount=400000 tasks=4 vali…
`)
  const full = await run(ctx, [...base, '--from', '7', '--full'], wide)
  assert.equal(full.out, `\
1233  hold 2, a.example to b.example
     ${'ef'.repeat(32)}
     e 1
     amount 400000
     tasks 4
     valid_until ${fixtureEpochMs}
`)
  const queries = asked.filter((one) => one.path.endsWith('/entries')).map((one) => one.query)
  assert.equal(queries, [{ from: '1229', limit: '5' }, { from: '7', limit: '20' }])
})

ledger('exports to a directory of ours, and gives credit', async (ctx) => {
  const cwd = ctx.tmp()
  const { directory, asked } = await fixtureNode(ctx, {
    'POST /v1/ledger/export': ({ text }) => ({
      json: { ...(JSON.parse(text) as object), entries: 5, rootHash: 'cd'.repeat(32) },
    }),
    'POST /v1/credit': { json: { sid: 'ef'.repeat(32) } },
  })
  const exported = await run(ctx, ['ledger', '--dir', directory, 'export', 'out'], { cwd })
  assert.equal(exported.out, `\
5 entries written to ${join(cwd, 'out')}, root hash
  ${'cd'.repeat(32)}
check them with: gridnode verify out
`)
  const credit = ['ledger', '--dir', directory, 'credit', 'b.example', '2.5']
  const given = await run(ctx, credit)
  assert.equal(given.out, `\
b.example may owe this site up to 2.50 cr
  statement ${'ef'.repeat(32)}
`)
  assert.equal(asked.map((one) => JSON.parse(one.text) as unknown), [
    { directory: join(cwd, 'out') }, { site: 'b.example', limit: '2500000' },
  ])
})

const invite = suite('invite')

invite('prints the token alone on stdout', async (ctx) => {
  const { directory, asked } = await fixtureNode(ctx, {
    'POST /v1/invites': {
      json: { token: 'gridnode-join-v1.abc', expiresEpochMs: fixtureEpochMs + 7_200_000 },
    },
  })
  const ran = await run(ctx, ['invite', '--dir', directory, '--valid', '2h'])
  assert.equal(ran, {
    code: 0,
    out: 'gridnode-join-v1.abc\n',
    err: 'valid for 2h, until 2026-03-01 14:00:00Z; good for one site. ' +
      'There: gridnode join TOKEN\n',
  })
  assert.equal(JSON.parse(asked[0]!.text), { valid_seconds: 7_200 })
})
