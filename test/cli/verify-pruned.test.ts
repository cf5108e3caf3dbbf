// A log without its first entries verifies from a snapshot on, under a whole tree: what is changed
// in the tiles, in the book or behind it is found.

import { assert, suite } from '../harness.ts'
import type { VerifyReport } from '../../cli/verify/verify.ts'
import { verifyLogs } from '../../cli/verify/verify.ts'
import { parseTilePath } from '../../protocol/base/tiles.ts'
import { bookState, bookText } from '../../protocol/rules/ledger-state.ts'
import { exportOf, memoryFiles } from '../rules/ledger-exports.ts'
import type { Files } from '../rules/ledger-exports.ts'
import type { TestSite } from '../rules/ledger-sites.ts'
import {
  acceptInput, agreedDeal, credits, federation, heldInput, holdInput, say, start, tell, usageInput,
  view,
} from '../rules/ledger-sites.ts'

const t = suite('pruned ledgers')

interface World {
  readonly home: TestSite
  readonly whole: Files
  readonly pruned: Files
  readonly other: Files
  readonly from: number
}

/** A log whose first bundles are gone: 600 entries, a snapshot with a hold open, and more. */
async function world(folder: string): Promise<World> {
  const [home, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  const deal = agreedDeal(home, host)
  for (let at = 0; at < 590; at++) {
    tell(host, home, { kind: 'credit', to: home.name, at: start + at, limit: credits(10_000 + at) })
  }
  const later = start + 1_000
  const hold = tell(home, host, holdInput(deal, 1_000, { at: later })).sid
  tell(host, home, { ...heldInput(deal, hold), at: later })
  const from = view(home).get('ledgerHead', 'head')!.frontier.size
  const book = bookText(view(home))
  say(home, {
    kind: 'snapshot', to: '*', at: later, size: from, state: bookState(view(home)),
  })
  const usage = tell(host, home, {
    ...usageInput(deal, hold, { amount: 277, core_s: 1, final: 1 }), at: later,
  }).sid
  tell(home, host, { ...acceptInput(deal, hold, { usage, amount: 277, final: 1 }), at: later })
  const whole = await exportOf(home, folder)
  const pruned: Files = new Map(whole)
  for (const path of whole.keys()) {
    const tile = parseTilePath(path)
    if (tile?.level === 'entries' && tile.index < 2) pruned.delete(path)
  }
  pruned.set(`snapshot/${from}`, Buffer.from(book))
  return { home, whole, pruned, other: await exportOf(host, folder), from }
}

async function verify(...all: readonly Files[]): Promise<VerifyReport> {
  return verifyLogs(all.map((files, at) => memoryFiles(`log-${at}`, files)))
}

function brief({ findings }: VerifyReport): (readonly [number | undefined, string])[] {
  return findings.map(({ index, rule }) => [index, rule] as const)
}

t('it verifies, says from where, and owes what the whole log owes', async (ctx) => {
  const { whole, pruned, other, from } = await world(ctx.tmp())
  const [all, part] = [await verify(whole, other), await verify(pruned, other)]
  assert.equal(all.findings, [])
  assert.equal(part.findings, [])
  assert.equal(part.verdict, 'holds')
  assert.equal(part.pairs, all.pairs)
  assert.equal(part.logs, all.logs)
  assert.match(part.notes.join('\n'),
    new RegExp(`home\\.example verifies from entry ${from} on`))
})

t('without its snapshot it does not verify', async (ctx) => {
  const { pruned, from } = await world(ctx.tmp())
  pruned.delete(`snapshot/${from}`)
  const report = await verify(pruned)
  assert.equal(report.verdict, 'broken')
  assert.match(report.findings[0]?.detail ?? '', /tile\/entries\/000 is missing/)
})

t('a book that says something else is not what the snapshot says', async (ctx) => {
  const { pruned, from } = await world(ctx.tmp())
  const path = `snapshot/${from}`
  const book = Buffer.from(pruned.get(path) as Uint8Array).toString()
  const change = (to: string): Files => new Map(pruned).set(path, Buffer.from(to))
  const richer = await verify(change(book.replace('"limit":"10589"', '"limit":"99999"')))
  assert.equal(brief(richer), [[from, 'I10']])
  assert.equal(brief(await verify(change(book.slice(0, -1)))), [[from, 'I10']])
  assert.equal(brief(await verify(change(book.replaceAll('home.example', 'else.example'))))[0],
    [from, 'I10'])
})

t('every hash below the snapshot, and every entry that is there, matters', async (ctx) => {
  const { pruned } = await world(ctx.tmp())
  for (const [path, bytes] of pruned) {
    if (path.startsWith('snapshot/')) continue
    for (let at = 3; at < bytes.length; at += 1_511) {
      const damaged = Uint8Array.from(bytes)
      damaged[at] = (damaged[at] as number) ^ 4
      const report = await verify(new Map(pruned).set(path, damaged))
      assert.equal(report.verdict, 'broken', `byte ${at} of ${path}`)
    }
  }
}, { timeoutSeconds: 120 })
