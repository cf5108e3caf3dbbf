// `invoice`, `balance` and `reputation` over real exports and over a node's stream of its log: what
// they print, and what they refuse.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from '../../harness.ts'
import { assert, suite } from '../../harness.ts'
import { entryKey } from '../../../protocol/rules/ledger-book.ts'
import type { TestSite } from '../../rules/ledger-sites.ts'
import { credits, start, tell, view } from '../../rules/ledger-sites.ts'
import type { Ran } from '../fixture-node.ts'
import { fixtureNode, lines, run } from '../fixture-node.ts'
import { dayMs, exported, later, paid, ran, threeSites } from './three-sites.ts'

const t = suite('books')
const wide = { columns: 110 }

/** The three sites' exports in one folder. */
async function ledgers(ctx: Context): Promise<string> {
  const { a, b, c } = threeSites()
  const folder = ctx.tmp()
  await exported(folder, a, b, c)
  return folder
}

/** A node with that site's log, to whose questions the named one has no answer. */
async function nodeOf(
  ctx: Context, { name, tables }: TestSite, challenged?: string,
): Promise<string> {
  const notes = [...(tables.get('ledgerEntries') ?? new Map())].map(([key, note]) =>
    ({ index: Number(key), note: note as string }))
  const { directory } = await fixtureNode(ctx, {
    'GET /v1/ledger': {
      json: { site: name, federation: '', entries: notes.length, rootHash: '', pairs: [] },
    },
    'GET /v1/peers': {
      json: challenged === undefined ? [] : [{ site: challenged, challenged: true }],
    },
    'GET /v1/ledger/notes': lines(...notes.toSorted((one, two) => one.index - two.index)),
  })
  return directory
}

function parsed<T>({ out, code, err }: Ran): T {
  assert.equal([code, err], [0, ''])
  return JSON.parse(out) as T
}

t('balance: with each site and in all', async (ctx) => {
  const folder = await ledgers(ctx)
  const args = ['balance', '--as', 'a.example', '--from', folder]
  const { code, out } = await run(ctx, args, wide)
  assert.equal({ code, out }, { code: 0, out: `\
a.example WITH              AGREED  CLAIMED  DISPUTED  SETTLED  BALANCE
b.example       owed to us    0.00     0.00      0.00     0.00    -0.35
                owed by us    0.35     0.00      0.00     0.15
c.example       owed to us    0.20     0.00      0.00     0.00     0.20
                owed by us    0.00     0.00      0.00     0.00
in all          owed to us    0.20     0.00      0.00     0.00    -0.15
                owed by us    0.35     0.00      0.00     0.15

agreed is accepted and not settled; a positive balance is owed to this site
` })
  const one = parsed<{ balances: { site: string, net: string }[], total: { net: string } }>(
    await run(ctx, [...args, 'c.example', '--json']))
  assert.equal([one.balances.map(({ site, net }) => [site, net]), one.total.net],
    [[['c.example', '200000']], '200000'])
})

t('balance: what is claimed and disputed, from the node', async (ctx) => {
  const { a, b, deal } = threeSites()
  ran(deal, 100_000, dayMs)
  const { hold, usage } = ran(deal, 300_000, 2 * dayMs)
  tell(a, b, later({
    kind: 'dispute', to: b.name, at: start, hold, usage, contested: credits(50_000),
    reason: 'too slow', doc: '',
  }, 3 * dayMs))
  const directory = await nodeOf(ctx, a)
  const { out } = await run(ctx, ['balance', 'b.example', '--dir', directory], wide)
  assert.match(out, /owed by us {4}0\.60 {5}0\.10 {6}0\.05 {5}0\.15/)
})

t('balance: nothing owed', async (ctx) => {
  const { c } = threeSites()
  const lonely = { ...c, tables: new Map([...c.tables].map(([table, records]) =>
    [table, table === 'ledgerEntries' ? new Map([...records].slice(0, 5)) : records])) }
  const { out } = await run(ctx, ['balance', '--dir', await nodeOf(ctx, lonely)])
  assert.equal(out, 'c.example owes nobody and is owed by nobody.\n')
})

t('netting: a circle, and the statements that would settle it', async (ctx) => {
  const folder = await ledgers(ctx)
  const shown = await run(ctx, ['balance', '--netting', '--from', folder], wide)
  assert.equal(shown.code, 0)
  assert.match(shown.out, '0.20 cr  a.example owes b.example owes c.example owes a.example\n')
  assert.match(shown.out, /a\.example: settle, offer, to b\.example: 0\.20 cr, payer author, ref/)
  assert.match(shown.out, '1 circle, 0.60 cr of 3 debts would go')
  const two = [join(folder, 'a.example'), join(folder, 'b.example')]
  const less = await run(ctx, ['balance', '--netting', '--from', two[0]!, two[1]!])
  assert.match(less.out, 'no circle among 1 debt: nothing to settle together')
})

t('invoice: text, from any of the two ledgers', async (ctx) => {
  const folder = await ledgers(ctx)
  const args = ['invoice', 'b.example', '--from', join(folder, 'a.example')]
  const { out, code } = await run(ctx, args, wide)
  assert.equal(code, 0)
  assert.match(out, 'account of a.example with b.example, all of the ledger (UTC)\n')
  assert.match(out, /^ +13 {2}2025-06-15 17:06:40Z .* 3 +1800 +0 +0\.50 +12 {2}[0-9a-f]{12}$/m)
  assert.match(out, /23 {2}2025-06-15 19:06:40Z {2}a\.example {2}paid +0\.15 {2}bank <7> & "co"/)
  assert.match(out, /closing balance +-0\.35 cr\n/)
  const back = await run(ctx, ['invoice', 'a.example', '--from', join(folder, 'b.example')], wide)
  assert.match(back.out, /closing balance +0\.35 cr\n/)
})

t('invoice: a period, and JSON that cites the statements', async (ctx) => {
  const { a, b, deal } = threeSites()
  paid(deal, 70_000, 20 * dayMs)
  const directory = await nodeOf(ctx, a)
  interface Doc {
    readonly openingBalance: string
    readonly closingBalance: string
    readonly lines: readonly {
      readonly usage: { readonly index: number, readonly sid: string }
      readonly amount: string
    }[]
    readonly period: { readonly name: string }
  }
  const july = parsed<Doc>(await run(ctx,
    ['invoice', b.name, '-p', '2025-07', '--json', '--dir', directory]))
  assert.equal([july.openingBalance, july.closingBalance, july.lines.length, july.period.name],
    ['-350000', '-420000', 1, '2025-07'])
  const { index, sid } = july.lines[0]!.usage
  const note = view(a).get('ledgerEntries', entryKey(index)) ?? ''
  assert.match(note, /^gridnode\/v1\/usage\n.*"amount":"70000"/)
  assert.match(sid, /^[0-9a-f]{64}$/)
  const may = parsed<Doc>(await run(ctx,
    ['invoice', b.name, '-p', '2025-05-01..2025-05-31', '-f', 'json', '--dir', directory]))
  assert.equal([may.openingBalance, may.closingBalance, may.lines], ['0', '0', []])
})

t('invoice: HTML is escaped, without scripts or anything loaded', async (ctx) => {
  const folder = await ledgers(ctx)
  const args = ['invoice', 'b.example', '-f', 'html', '--from', join(folder, 'a.example')]
  const { out } = await run(ctx, args)
  assert.match(out, /^<!DOCTYPE html>\n<html lang="en">\n/)
  assert.match(out, 'bank &lt;7&gt; &amp; &quot;co&quot;')
  assert.match(out, 'After: a.example owes b.example')
  assert.ok(!/<script|<link|<img|src=|href=|url\(|@import|https?:/.test(out), 'nothing is loaded')
  assert.equal(unclosed(out.slice(out.indexOf('<html'))), [])
  const css = /<style>(.*)<\/style>/.exec(out)?.[1] ?? ''
  assert.ok(css.includes('@page { size: A4') && !css.includes('&'), css)
})

t('invoice: a usage record for each final usage', async (ctx) => {
  const { a, b, deal } = threeSites()
  ran(deal, 100_000, dayMs)
  const { out } = await run(ctx,
    ['invoice', b.name, '--format', 'ur', '--dir', await nodeOf(ctx, a)])
  assert.match(out, /^<\?xml version="1\.0" encoding="UTF-8"\?>\n<urf:UsageRecords xmlns:urf="/)
  assert.equal(unclosed(out.slice(out.indexOf('\n'))), [])
  assert.equal(out.match(/<urf:UsageRecord>/g)?.length, 2)
  assert.match(out, '<urf:CpuDuration urf:usageType="all">PT1800S</urf:CpuDuration>')
  assert.match(out, '<urf:Charge urf:unit="credit">0.500000</urf:Charge>')
  assert.match(out, '<urf:EndTime>2025-06-15T16:06:40.000Z</urf:EndTime>')
  assert.match(out, '<urf:Charge urf:unit="credit">0.100000</urf:Charge>')
})

/** Tags that do not pair up: a second look at what the writer promises. */
function unclosed(markup: string): string[] {
  const open: string[] = []
  const wrong: string[] = []
  for (const [, end = '', name = '', self = ''] of markup.matchAll(
    /<(\/?)([A-Za-z0-9:]+)(?: [A-Za-z:-]+="[^"<>]*")*(\/?)>/g)) {
    if (end === '/') {
      if (open.pop() !== name) wrong.push(name)
    } else if (self === '') open.push(name)
  }
  const stray = markup.replaceAll(/<\/?[A-Za-z0-9:]+(?: [A-Za-z:-]+="[^"<>]*")*\/?>/g, '')
  return [...wrong, ...open, ...(/[<>]/.test(stray) ? ['stray'] : [])]
}

t('reputation: each given ledger in turn, with the entries that made it', async (ctx) => {
  const folder = await ledgers(ctx)
  const { out, code } = await run(ctx,
    ['reputation', 'b.example', '--from', folder, '--at', '2025-06-16'], wide)
  assert.equal(code, 0)
  assert.match(out, /^b\.example as a\.example sees it, 2025-06-16 00:00:00Z\n {2}score {3}521 of/)
  assert.match(out, /b\.example as c\.example sees it/)
  assert.match(out, /^a\.example +13 {2}[0-9a-f]{12} {2}[0-9a-f]{12} {2}host {2}delivered +0\.50 /m)
})

t('reputation: from the node, an unpaid claim, and a proof', async (ctx) => {
  const { a, b, deal } = threeSites()
  ran(deal, 100_000, dayMs)
  const args = ['reputation', a.name, '--at', '2025-06-15', '--json', '--dir']
  interface Doc {
    readonly scorePermille: number
    readonly total: { readonly kept: string, readonly failed: string }
    readonly entries: readonly { readonly how: string, readonly index: number }[]
    readonly evidence: readonly { readonly index: number }[]
  }
  const ask = async (): Promise<Doc | undefined> =>
    parsed<readonly Doc[]>(await run(ctx, [...args, await nodeOf(ctx, b)]))[0]
  assert.equal((await ask())?.total, { kept: '500000', failed: '0' })
  tell(a, b, later({ kind: 'credit', to: b.name, at: start, limit: credits(1) }, 9 * dayMs))
  const late = await ask()
  assert.equal([late?.total, late?.entries.map(({ how }) => how)],
    [{ kept: '500000', failed: '100000' }, ['unpaid', 'paid']])
  tell(b, a, later({
    kind: 'evidence', to: '*', at: start, accused: a.name, epoch: 1, proof: 'double_number',
    doc: '0'.repeat(64),
  } as never, 10 * dayMs))
  const proven = await ask()
  assert.equal([proven?.scorePermille, proven?.evidence.length], [0, 1])
})

t('reputation: an open challenge halves what the node says', async (ctx) => {
  const { a, b } = threeSites()
  const args = ['reputation', a.name, '--at', '2025-06-15', '--dir']
  const before = await run(ctx, [...args, await nodeOf(ctx, b)])
  const { out } = await run(ctx, [...args, await nodeOf(ctx, b, a.name)])
  assert.match(before.out, /score {3}512 of/)
  assert.match(out, /score {3}256 of/)
  assert.match(out, 'halved: others were shown a head')
})

t('what is wrong is refused, and says what was expected', async (ctx) => {
  const folder = await ledgers(ctx)
  const [a, b] = [join(folder, 'a.example'), join(folder, 'b.example')]
  const node = await nodeOf(ctx, threeSites().a)
  const cases: readonly (readonly [args: readonly string[], code: number, words: string])[] = [
    [['invoice'], 2, "expected a site's name such as b.example, got nothing"],
    [['invoice', 'B_'], 2, "expected a site's name such as b.example, got 'B_'"],
    [['invoice', 'b.example', '-p', '2025'], 2, '--period: expected a month such as 2026-03'],
    [['invoice', 'b.example', '-f', 'pdf'], 2, "expected text, json, html, ur, got 'pdf'"],
    [['invoice', 'b.example', '-f', 'ur', '--json'], 2, 'exclude each other'],
    [['invoice', 'b.example', 'c.example'], 2, 'expected one site, got b.example c.example'],
    [['invoice', 'b.example', '--from', b], 2, 'only the ledger of b.example itself was given'],
    [['invoice', 'b.example', '--from', folder], 2, 'say with --as SITE whose account it is'],
    [['invoice', 'b.example', '--as', 'b.example', '--from', folder], 2, 'no account with itself'],
    [['invoice', 'z.example', '--from', a], 1, 'known are a.example, b.example, c.example'],
    [['invoice', 'b.example', '--as', 'z.example', '--from', a], 2, 'its ledger was not given'],
    [['balance', '--netting'], 2, '--netting needs the ledgers of the sites'],
    [['balance', 'z.example', '--from', a], 1, 'knows no site z.example'],
    [['balance', 'a.example', 'b.example'], 2, 'expected one site'],
    [['reputation', 'a.example', '--from', a], 2, 'expected that of another site, too'],
    [['reputation', 'a.example', '--dir', node], 2, 'a.example is this site itself'],
    [['invoice', 'a.example', '--dir', node], 2, 'a.example is this site itself'],
    [['balance', '--as', 'b.example', '--dir', node], 2, 'give its export with --from DIR'],
    [['reputation', 'a.example', '--as', 'a.example', '--from', a], 2, 'does not judge itself'],
    [['reputation', 'z.example', '--from', a], 1, 'knows no site z.example'],
    [['reputation', 'b.example', '--at', 'soon'], 2, '--at: expected a day such as 2026-03-01'],
    [['reputation', 'b.example', '-n', 'x'], 2, '--limit: expected a number up to 9999'],
    [['invoice', 'b.example', '--from', join(folder, 'none')], 1, 'is no ledger'],
  ]
  for (const [args, code, words] of cases) {
    const found = await run(ctx, args)
    assert.equal([args, found.code, found.out], [args, code, ''])
    assert.match(found.err, words)
  }
})

t('nothing is computed from an export that does not verify', async (ctx) => {
  const folder = await ledgers(ctx)
  const path = join(folder, 'a.example', 'tile', 'entries', '000.p')
  const file = join(path, readdirSync(path)[0]!)
  const bytes = readFileSync(file)
  bytes[bytes.indexOf('"amount":"500000"') + 10] = '9'.charCodeAt(0)
  writeFileSync(file, bytes)
  for (const args of [['invoice', 'b.example', '--as', 'a.example'], ['balance', '--netting'],
    ['reputation', 'b.example']]) {
    const found = await run(ctx, [...args, '--from', folder])
    assert.equal([found.code, found.out], [1, ''])
    assert.match(found.err, /nothing is computed from ledgers that do not verify: a\.example entry/)
  }
  const json = await run(ctx, ['balance', '--json', '--netting', '--from', folder])
  assert.equal((JSON.parse(json.err) as { error: { code: string } }).error.code, 'unverified')
})
