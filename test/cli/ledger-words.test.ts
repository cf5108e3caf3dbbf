// `gridnode ledger open` and the operator's words: what is asked of the node, what is shown.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { assert, suite } from '../harness.ts'
import type { Context } from '../harness.ts'
import type { OpenRow } from '../../node/http/api.ts'
import { sha256Hex } from '../../protocol/base/crypto.ts'
import { fixtureNode, run } from './fixture-node.ts'

const t = suite('ledger words')
const sid = 'ab12cd34ef56ab78'.repeat(4)
const id = sid.slice(0, 16)

/** What a command asks of the node. */
async function asks(ctx: Context, ...words: readonly string[]): Promise<unknown> {
  let asked: unknown
  const { directory } = await fixtureNode(ctx, {
    'POST /v1/ledger/word': ({ text }) => {
      asked = JSON.parse(text)
      return { json: { sids: [sid], detail: 'said', note: '', left: ['one thing'] } }
    },
  })
  const ran = await run(ctx, ['ledger', '--dir', directory, ...words])
  assert.equal([ran.err, ran.code], ['', 0])
  assert.equal(ran.out, `said\n  statement ${sid}\nstill open:\n  one thing\n`)
  return asked
}

t('ask the node for what they say', async (ctx) => {
  const file = join(ctx.tmp(), 'file')
  writeFileSync(file, 'bytes\n')
  assert.equal(await asks(ctx, 'accept', id), { verb: 'accept', hold: id })
  assert.equal(await asks(ctx, 'accept', id, '0.5'),
    { verb: 'accept', hold: id, amount: '500000' })
  assert.equal(await asks(ctx, 'dispute', id, '--contest', '1', '--reason', 'no', '--doc', file), {
    verb: 'dispute', hold: id, contested: '1000000', reason: 'no', doc: sha256Hex('bytes\n'),
  })
  assert.equal(await asks(ctx, 'resolve', id, '--offer', '2'),
    { verb: 'offer', hold: id, amount: '2000000' })
  assert.equal(await asks(ctx, 'resolve', id, '--agree'), { verb: 'agree', hold: id })
  assert.equal(await asks(ctx, 'resolve', id, '2', '--agree'),
    { verb: 'agree', hold: id, amount: '2000000' })
  assert.equal(await asks(ctx, 'resolve', id, '--clause'), { verb: 'clause', hold: id })
  assert.equal(await asks(ctx, 'resolve', id, '--ruling', file),
    { verb: 'ruling', hold: id, note: 'bytes\n' })
  assert.equal(await asks(ctx, 'forgive', id, '1'),
    { verb: 'forgive_claim', hold: id, amount: '1000000' })
  assert.equal(await asks(ctx, 'forgive', 'b.example', '1', '--reference', 'gift'),
    { verb: 'forgive_balance', site: 'b.example', amount: '1000000', reference: 'gift' })
  assert.equal(await asks(ctx, 'rule', sid, '3'), { verb: 'rule', hold: sid, amount: '3000000' })
  const paid = ['settle', 'b.example', '20', '--paid-by', 'us', '--reference', 'bank 17']
  assert.equal(await asks(ctx, ...paid), {
    verb: 'settle', site: 'b.example', amount: '20000000', payer: 'us', reference: 'bank 17',
  })
  assert.equal(await asks(ctx, 'settle', '--agree', id), { verb: 'settle_agree', settle: id })
  assert.equal(await asks(ctx, 'close', 'b.example', '--forgive'),
    { verb: 'close', site: 'b.example', forgive: 1 })
})

t('say what is missing', async (ctx) => {
  const { directory } = await fixtureNode(ctx, {})
  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [['accept'], /expected HOLD and CREDITS, got nothing/],
    [['accept', 'b.example'], /expected at least 4 digits of a sid/],
    [['accept', id, 'much'], /expected credits such as 100 or 0.5, got 'much'/],
    [['dispute', id, '--reason', 'no'], /--contest is needed here/],
    [['resolve', id], /expected one of --offer CREDITS, --agree, --clause and --ruling FILE/],
    [['resolve', id, '--agree', '--clause'], /expected one of/],
    [['rule', id, '1'], /expected the whole sid of a hold/],
    [['settle', 'b.example', '1', '--paid-by', 'me', '--reference', 'x'], /expected us or them/],
  ]
  for (const [words, why] of wrong) {
    const ran = await run(ctx, ['ledger', '--dir', directory, ...words])
    assert.equal(ran.code, 2)
    assert.match(ran.err, why)
  }
})

t('print a ruling and nothing else, so that it can go to a file', async (ctx) => {
  const { directory } = await fixtureNode(ctx, {
    'POST /v1/ledger/word': { json: { sids: [], detail: 'ruled', note: 'a\n\nb\n', left: [] } },
  })
  const ran = await run(ctx, ['ledger', '--dir', directory, 'rule', sid, '3'])
  assert.equal(ran.out, 'a\n\nb\n')
})

t('list what is open, how long, and what to do', async (ctx) => {
  const row: OpenRow = {
    kind: 'claim', sid, site: 'b.example', role: 'home', amount: '5000000', claimed: '4000000',
    accepted: '0', asks: '4000000', sinceEpochMs: 0, dueEpochMs: 1, pastDue: true,
    detail: 'it claims 2 tasks, but has reported 1', todo: [`accept ${id}`],
  }
  const { directory } = await fixtureNode(ctx, { 'GET /v1/ledger/open': { json: [row] } })
  const ran = await run(ctx, ['ledger', '--dir', directory, 'open'])
  assert.match(ran.out, /^WHAT +ID +WITH +WE ARE +AMOUNT +CLAIMED +ACCEPTED +AGE +DUE\n/)
  assert.match(ran.out, /^claim +ab12cd34ef56ab78 +b.example +home +5.00 +4.00 +0.00 .*past due$/m)
  assert.match(ran.out, /^1 item past due$/m)
  assert.match(ran.out, `${id}: it claims 2 tasks, but has reported 1\n`)
  assert.match(ran.out, `    gridnode ledger accept ${id}\n`)
  const json = await run(ctx, ['ledger', '--dir', directory, 'open', '--json'])
  assert.equal(JSON.parse(json.out), [row])
})
