// The book as one text: the same for who lived it and who replays it, in memory or spilled to the
// disk, and nothing but that text is read back.

import { openSpill } from '../../cli/verify/spilled-records.ts'
import { applyWrites, draft } from '../../protocol/base/tables.ts'
import type { Tables } from '../../protocol/base/tables.ts'
import { openReplay } from '../../protocol/rules/audit.ts'
import type { Finding, ReplayOptions } from '../../protocol/rules/audit.ts'
import { entryKey, openHead } from '../../protocol/rules/ledger-book.ts'
import type { LedgerTables } from '../../protocol/rules/ledger-book.ts'
import { checkNow } from '../../protocol/rules/ledger-entry.ts'
import { pairState, directionOf } from '../../protocol/rules/ledger-pairs.ts'
import {
  bookLines, bookState, bookText, loadBook, stateOf,
} from '../../protocol/rules/ledger-state.ts'
import { ledgerExamples } from '../ledger-examples.ts'
import { assert, suite } from '../harness.ts'
import type { Deal, TestSite } from './ledger-sites.ts'
import {
  acceptInput, agreedDeal, credits, federation, hashOf, heldInput, holdInput, say, start, tell,
  trySay, usageInput, view,
} from './ledger-sites.ts'

const t = suite('ledger state')

/** A hold from its beginning to its end. */
function paid(deal: Deal, hundredths: number): void {
  const { home, host } = deal
  const amount = hundredths * 10_000
  const hold = tell(home, host, holdInput(deal, amount)).sid
  tell(host, home, heldInput(deal, hold))
  const used = { amount, core_s: hundredths * 36, final: 1 } as const
  const usage = tell(host, home, usageInput(deal, hold, used)).sid
  tell(home, host, acceptInput(deal, hold, { usage, amount, final: 1 }))
}

function reconcile(left: TestSite, right: TestSite, at = start): void {
  const { e, n, sid } = directionOf(view(left), left.name, right.name)
  const direction = `${left.name}>${right.name}`
  const state = pairState(view(left), left.name, right.name, { direction, counted: { e, n, sid } })
  const offer = tell(left, right, {
    kind: 'reconcile', side: 'offer', to: right.name, at, issued: n,
    received: directionOf(view(left), right.name, left.name).n, state,
  })
  tell(right, left, { kind: 'reconcile', side: 'agree', to: left.name, at, reconcile: offer.sid })
}

function leaves(at: TestSite): Uint8Array[] {
  const { size } = openHead(view(at)).frontier
  const entries = at.tables.get('ledgerEntries')!
  return Array.from({ length: size }, (_, index) =>
    Buffer.from(entries.get(entryKey(index)) as string))
}

function replayed(at: TestSite, options: ReplayOptions = {}): Finding[] {
  const replay = openReplay(at.name, checkNow, options)
  const first = options.from ? replay.head().size : 0
  return leaves(at).slice(first).flatMap((leaf) => replay.leaf(leaf))
}

function snapshot(at: TestSite): string {
  const text = bookText(view(at))
  const { size } = openHead(view(at)).frontier
  say(at, { kind: 'snapshot', to: '*', at: start, size, state: bookState(view(at)) })
  return text
}

/** Two sites with paid, open and declined holds, reconciled in between. */
function lived(): { home: TestSite, host: TestSite, deal: Deal } {
  const [home, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  const deal = agreedDeal(home, host)
  paid(deal, 3)
  tell(host, home, {
    kind: 'declined', to: home.name, at: start, reason: 'no_room',
    hold: tell(home, host, holdInput(deal, 50)).sid,
  })
  reconcile(home, host)
  tell(host, home, heldInput(deal, tell(home, host, holdInput(deal, 70)).sid))
  paid(deal, 2)
  return { home, host, deal }
}

t('[LEDGER-15] who replays the log comes to the same state, spilled or not', () => {
  const { home, host } = lived()
  for (const at of [home, host]) {
    snapshot(at)
    assert.equal(replayed(at), [])
    const spill = openSpill({ recordsMax: 2 })
    assert.equal(replayed(at, { recordsOf: (table, isDead) => spill.recordsOf(table, isDead) }), [])
    spill.close()
  }
})

t('contracts that both have forgotten are in no state', () => {
  const { home, host, deal } = lived()
  const later = start + 40 * 365 * 86_400_000
  agreedDeal(home, host)
  assert.equal([...view(home).entries('ledgerContracts')].length, 2)
  reconcile(home, host, later)
  assert.equal([...view(home).entries('ledgerContracts')].map(([sid]) => sid), [deal.contract])
  for (const at of [home, host]) {
    const state = bookState(view(at))
    const { size } = openHead(view(at)).frontier
    say(at, { kind: 'snapshot', to: '*', at: later, size, state })
    const spill = openSpill({ recordsMax: 2 })
    assert.equal(replayed(at, { recordsOf: (table, isDead) => spill.recordsOf(table, isDead) }), [])
    spill.close()
  }
})

t('[LEDGER-15] a snapshot of something else is found, one of another size is not taken', () => {
  const { home } = lived()
  const { size } = openHead(view(home)).frontier
  for (const other of [size - 1, size + 1]) {
    const said = { kind: 'snapshot', to: '*', at: start, size: other, state: hashOf('s') } as const
    assert.refused(trySay(home, said), 'wrong_state')
  }
  say(home, { kind: 'snapshot', to: '*', at: start, size, state: hashOf('something else') })
  assert.equal(replayed(home).map(({ rule, index }) => [rule, index]), [['I10', size]])
})

t('a replay goes on from the text of a snapshot', () => {
  const { home, host, deal } = lived()
  const text = snapshot(home)
  paid(deal, 1)
  const from = assert.accepted(loadBook(text))
  assert.equal(replayed(home, { from }), [])
  const whole = openReplay(home.name, checkNow)
  for (const leaf of leaves(home)) whole.leaf(leaf)
  const part = openReplay(home.name, checkNow, { from })
  for (const leaf of leaves(home).slice(part.head().size)) part.leaf(leaf)
  assert.equal(part.head(), whole.head())
  const [all, rest] = [whole.summary()!, part.summary()!]
  assert.equal(rest.accounts, all.accounts)
  assert.equal(rest.openHolds, all.openHolds)
  assert.equal(rest.publics, all.publics)
  assert.ok(rest.from > 0)
  assert.ok(host)
})

t('the text is read back as it is, whatever stands in the book', () => {
  const { home, deal } = lived()
  tell(home, deal.host, { kind: 'settle', side: 'offer', to: deal.host.name, at: start,
    amount: credits(5), payer: 'author', reference: 'é ✓ "quoted"' })
  const lines = [...bookLines(view(home))]
  const text = bookText(view(home))
  assert.equal(`${lines.join('\n')}\n`, text)
  const { state, records } = assert.accepted(loadBook(text))
  assert.equal(state, bookState(view(home)))
  assert.equal(state, stateOf(lines))
  const tables: Tables = new Map()
  applyWrites(tables, records, new Set())
  const again = draft<LedgerTables>(tables)
  assert.equal(bookText(again), text)
  for (const table of ['ledgerHolds', 'ledgerHead', 'ledgerAccounts', 'ledgerContracts'] as const) {
    assert.equal(new Map(again.entries(table)), new Map(view(home).entries(table)))
  }
})

t('no other text is read', () => {
  const { home } = lived()
  const text = bookText(view(home))
  const lines = text.slice(0, -1).split('\n')
  const joined = (change: readonly string[]): string => `${change.join('\n')}\n`
  const cases: [string, string, RegExp][] = [
    ['no newline', text.slice(0, -1), /newline/],
    ['no header', joined(lines.slice(1)), /first line/],
    ['a line twice', joined([...lines, lines.at(-1)!]), /follow/],
    ['out of order', joined([lines[0]!, ...lines.slice(1).reverse()]), /follow/],
    ['no head', joined(lines.filter((line) => !line.startsWith('["head"'))), /one head/],
    ['another table', joined([...lines, '["zzz","a",{}]']), /table/],
    ['a space', joined([lines[0]!, lines[1]!.replace(',', ', '), ...lines.slice(2)]), /line 2/],
    ['a field more', joined(lines.map((line) =>
      line.startsWith('["head"') ? line.replace('{', '{"a":1,') : line)), /no such key/],
    ['a carriage return', text.replace('\n', '\r\n'), /first line/],
  ]
  for (const [name, changed, why] of cases) {
    const read = loadBook(changed)
    assert.ok(!read.ok && why.test(read.refusal.detail), `${name}: ${JSON.stringify(read)}`)
  }
  // Any changed byte gives another state or no book.
  const { state } = assert.accepted(loadBook(text))
  for (let at = 0; at < text.length; at += 7) {
    const changed = `${text.slice(0, at)}${text[at] === '0' ? '1' : '0'}${text.slice(at + 1)}`
    const read = loadBook(changed)
    assert.ok(!read.ok || read.value.state !== state, `byte ${at}`)
  }
})

t('the examples of the ledger have a state', () => {
  assert.ok(ledgerExamples().some(({ kind }) => kind === 'snapshot'))
})
