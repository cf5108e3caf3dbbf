// The history of a log against the books that the ledger's rules keep: two sites say sensible and
// senseless things over links that delay, and at every step both tell the same sums.

import { assert, suite } from '../harness.ts'
import type { Sid } from '../../protocol/base/ids.ts'
import { account, entryKey } from '../../protocol/rules/ledger-book.ts'
import type { HoldRecord } from '../../protocol/rules/ledger-book.ts'
import { openHistory } from '../../protocol/rules/ledger-history.ts'
import type { StatementInput } from '../../protocol/rules/statement.ts'
import { parseStatement } from '../../protocol/rules/statement.ts'
import type { Deal, TestSite } from './ledger-sites.ts'
import {
  acceptInput, agreedDeal, credits, federation, hear, heldInput, holdInput, must, start, trySay,
  usageInput, view,
} from './ledger-sites.ts'

const t = suite('history and books')

/** Numbers that look random and are the same in each run. */
function chance(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return (state >>> 8) % below
  }
}

/** What the entries that `follow` has not seen yet add, and whether the sums are the book's. */
function follow(at: TestSite): () => void {
  const history = openHistory(at.name)
  let index = 0
  return () => {
    for (;;) {
      const note = view(at).get('ledgerEntries', entryKey(index))
      if (note === undefined) break
      const { statement, sid } = must(parseStatement(note))
      history.take({ index, sid, statement })
      index += 1
    }
    const told = new Map(history.sums().map((sums) => [`${sums.creditor}>${sums.debtor}`, sums]))
    for (const [key, { creditor, debtor }] of view(at).entries('ledgerAccounts')) {
      const { posted, settled, held, claimed } = account(view(at), creditor, debtor)
      const sums = told.get(key)
      assert.equal([sums?.accepted ?? 0n, sums?.settled ?? 0n], [posted, settled], key)
      // The book's `held` has all that is reserved; what a forgiving host gave up is in `claimed`
      // there until the hold ends.
      const open = (sums?.claimed ?? 0n) + (sums?.disputed ?? 0n)
      assert.ok(open <= claimed, `${key}: ${open} claimed, at most ${claimed}`)
      assert.ok((sums?.held ?? 0n) + open <= held, key)
    }
  }
}

function inputFor(deal: Deal, roll: (below: number) => number): [TestSite, StatementInput] {
  const { home, host } = deal
  const [from, to] = roll(2) === 0 ? [home, host] : [host, home]
  const holds: HoldRecord[] = [...view(from).entries('ledgerHolds')].map(([, hold]) => hold)
  const open = holds.filter(({ state }) => state === 'asked' || state === 'held')
  const some = roll(5) === 0 ? holds : open
  const hold = some[roll(Math.max(1, some.length))]
  const sid = hold?.sid ?? ('0'.repeat(64) as Sid)
  const claim = hold?.claims.at(-1)
  const part = credits(roll(Number(hold?.claimed ?? 0n) + 2))
  const place = { to: to.name, at: start }
  const proposals = [...view(from).entries('ledgerProposals')]
  const [proposal, proposed] = proposals[roll(Math.max(1, proposals.length))] ?? ['0'.repeat(64)]
  switch (roll(14)) {
    case 0:
    case 1: return [home, holdInput(deal, 1 + roll(900))]
    case 2:
    case 3: return [host, heldInput(deal, sid)]
    case 4:
    case 5: {
      const core_s = (hold?.used.core_s ?? 0) + roll(3)
      const most = Number(hold?.amount ?? 0n)
      const amount = Math.min(most, Math.floor(core_s * 1_000_000 / 3_600))
      return [host, usageInput(deal, sid, { core_s, amount, final: roll(2) as 0 | 1 })]
    }
    case 6:
    case 7: {
      const amount = roll(3) === 0 ? Number(part) : Number(claim?.amount ?? 0n)
      const final = claim?.final === 1 && amount === Number(claim.amount) ? 1 : 0
      return [home, acceptInput(deal, sid, { usage: claim?.sid ?? sid, amount, final })]
    }
    case 8: return [home, {
      kind: 'dispute', ...place, to: host.name, hold: sid, usage: claim?.sid ?? sid,
      contested: part, reason: 'test', doc: '',
    }]
    case 9: return [from, { kind: 'resolve', ...place, side: 'offer', hold: sid, amount: part }]
    case 10: return [host, {
      kind: 'resolve', to: home.name, at: start, side: 'forgive', hold: sid, amount: part,
    }]
    case 11: {
      const kind = proposed?.kind === 'settle' ? 'settle' : 'resolve'
      return [from, { kind, ...place, side: 'agree', [kind]: proposal } as StatementInput]
    }
    case 12: return [from, {
      kind: 'settle', ...place, side: 'offer', amount: credits(1 + roll(300)),
      payer: roll(2) === 0 ? 'author' : 'addressee', reference: 'test',
    }]
    default: return [from, {
      kind: 'settle', ...place, side: 'forgive', amount: credits(1 + roll(50)), reference: 'test',
    }]
  }
}

t('at every step of random walks the sums are those of the books', () => {
  const said = new Map<string, number>()
  for (let seed = 1; seed <= 16; seed++) {
    const roll = chance(seed)
    const [home, host] = federation('a.example', 'b.example') as [TestSite, TestSite]
    const deal = agreedDeal(home, host, 100_000)
    const check = [follow(home), follow(host)]
    const links = new Map<TestSite, string[]>([[home, []], [host, []]])
    for (let step = 0; step < 220; step++) {
      const [from, input] = inputFor(deal, roll)
      const to = from === home ? host : home
      const queue = links.get(from) as string[]
      const tried = trySay(from, input)
      if (tried.ok) {
        queue.push(tried.value.note)
        const what = 'side' in input ? `${input.kind} ${input.side}` : input.kind
        said.set(what, (said.get(what) ?? 0) + 1)
      }
      for (let many = roll(3); many > 0 && queue.length > 0; many--) {
        must(hear(to, from, queue.shift() as string))
      }
      for (const one of check) one()
    }
    for (const [from, queue] of links) {
      for (const note of queue) must(hear(from === home ? host : home, from, note))
    }
    for (const one of check) one()
  }
  for (const kind of [
    'hold', 'held', 'usage', 'accept', 'dispute', 'resolve offer', 'resolve agree',
    'resolve forgive', 'settle offer', 'settle agree', 'settle forgive',
  ]) assert.ok((said.get(kind) ?? 0) >= 5, `${kind} was said ${said.get(kind) ?? 0} times`)
}, { timeoutSeconds: 240 })
