// The ledger's rules: the whole walk of a hold, and each refusal with the state untouched (`step`
// of ledger-sites.ts fails a refusal that wrote anything).

import { assert, suite } from '../harness.ts'
import { toHex } from '../../protocol/base/crypto.ts'
import type { Sid } from '../../protocol/base/ids.ts'
import {
  admitMember, balanceOf, checkpointText, contractTerms, creditLimit, exposure, holdState, isMember,
  lastIssued, logPublic, nextExpected, openLedger, receiveStatement, sealFederation, sealGenesis,
} from '../../protocol/rules/ledger.ts'
import { openClaimsMax } from '../../protocol/rules/ledger-holds.ts'
import { ledgerHead } from '../../protocol/rules/ledger-book.ts'
import type { Statement } from '../../protocol/rules/statement.ts'
import {
  parseStatement, rootSigner, sealStatement, statementSigner,
} from '../../protocol/rules/statement.ts'
import type { Deal, Said, TestSite } from './ledger-sites.ts'
import {
  acceptInput, agreedDeal, credits, federation, hashOf, hear, heldInput, holdInput, keyFor, must,
  offerInput, say, sidOf, site, start, step, tariffInput, tell, tried, trySay, usageInput, view,
} from './ledger-sites.ts'

const t = suite('ledger rules')

function three(): [TestSite, TestSite, TestSite] {
  return federation('a.example', 'b.example', 'c.example') as [TestSite, TestSite, TestSite]
}

function pair(): { home: TestSite, host: TestSite, deal: Deal } {
  const [home, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  return { home, host, deal: agreedDeal(home, host) }
}

function heldHold(deal: Deal, amount = 1_000_000): Sid {
  const hold = tell(deal.home, deal.host, holdInput(deal, amount)).sid
  tell(deal.host, deal.home, heldInput(deal, hold))
  return hold
}

/** What `from` would have said next, changed, and signed with its own or another key. */
function forge(
  from: TestSite, genuine: Said, change: object, key = keyFor(from.name, 'statement'),
): string {
  const statement = { ...genuine.statement, ...change } as Statement
  return must(sealStatement(statement, statementSigner(from.name, 1, key))).note
}

function counters(at: TestSite, deal: Deal): unknown {
  const v = view(at)
  const [home, host] = [deal.home.name, deal.host.name]
  const books = v.get('ledgerAccounts', `${host}>${home}`)
  return { balance: balanceOf(v, host, home), exposure: exposure(v, host, home), ...books }
}

t('a hold is asked, held, claimed twice and accepted; both logs agree', () => {
  const { home, host, deal } = pair()
  const hold = heldHold(deal)
  assert.equal(exposure(view(host), host.name, home.name), credits(1_000_000))
  tell(host, home, usageInput(deal, hold, { amount: 277, core_s: 1 }))
  const claim = { amount: 500_000, core_s: 1_800, final: 1 } as const
  const last = tell(host, home, usageInput(deal, hold, claim))
  assert.equal(exposure(view(host), host.name, home.name), credits(1_000_000))
  tell(home, host, acceptInput(deal, hold, { usage: last.sid, amount: 500_000, final: 1 }))
  for (const at of [home, host]) {
    assert.equal(counters(at, deal), {
      creditor: host.name, debtor: home.name, balance: 500_000n, exposure: 500_000n,
      posted: 500_000n, asked: 0n, held: 0n, claimed: 0n, settled: 0n,
    })
    assert.equal(balanceOf(view(at), home.name, host.name), credits(-500_000))
    assert.equal(holdState(view(at), hold)?.state, 'done')
  }
  assert.equal(lastIssued(view(home), home.name, host.name), 3)
  assert.equal(nextExpected(view(host), home.name, host.name), 4)
})

t('a claim is accepted in part, then in full; the rest of the hold is released', () => {
  const { home, host, deal } = pair()
  const hold = heldHold(deal)
  const interim = tell(host, home, usageInput(deal, hold, { amount: 100_000, core_s: 360 }))
  tell(home, host, acceptInput(deal, hold, { usage: interim.sid, amount: 40_000 }))
  assert.equal(counters(host, deal), {
    creditor: host.name, debtor: home.name, balance: 40_000n, exposure: 1_000_000n,
    posted: 40_000n, asked: 0n, held: 960_000n, claimed: 60_000n, settled: 0n,
  })
  const last = tell(host, home, usageInput(deal, hold, { amount: 200_000, core_s: 720, final: 1 }))
  tell(home, host, acceptInput(deal, hold, { usage: last.sid, amount: 150_000 }))
  tell(home, host, acceptInput(deal, hold, { usage: last.sid, amount: 200_000, final: 1 }))
  assert.equal(exposure(view(host), host.name, home.name), credits(200_000))
  assert.equal(counters(home, deal), counters(host, deal))
})

t('a declined and a given-up hold leave nothing behind', () => {
  const { home, host, deal } = pair()
  const first = tell(home, host, holdInput(deal, 5)).sid
  assert.equal(view(host).get('ledgerAccounts', 'host.example>home.example')?.asked, credits(5))
  tell(host, home, { kind: 'declined', to: home.name, at: start, hold: first, reason: 'full' })
  const second = heldHold(deal)
  tell(host, home, { kind: 'void', to: home.name, at: start, hold: second, reason: 'node died' })
  assert.equal(exposure(view(host), host.name, home.name), credits(0))
  assert.equal(view(home).get('ledgerAccounts', 'host.example>home.example')?.asked, credits(0))
  assert.equal(holdState(view(home), first)?.state, 'declined')
  assert.equal(holdState(view(home), second)?.state, 'void')
})

t('a charge beyond the hold is cut to the hold', () => {
  const { home, host, deal } = pair()
  const hold = heldHold(deal, 1_000)
  const usage = usageInput(deal, hold, { amount: 1_000, core_s: 3_600, final: 1 })
  assert.equal(tell(host, home, usage).statement.kind, 'usage')
})

t('a site may deal with itself: logged once, no limit needed, nothing owed', () => {
  const [home] = federation('home.example') as [TestSite]
  const tariff = say(home, tariffInput({ task: 0, core: 1_000_000, gib: 0 })).sid
  const contract = say(home, offerInput(home, tariff)).sid
  say(home, { kind: 'contract', to: home.name, at: start, side: 'agree', contract })
  const deal: Deal = { home, host: home, tariff, contract }
  const hold = say(home, holdInput(deal, 1_000_000)).sid
  say(home, heldInput(deal, hold))
  const usage = say(home, usageInput(deal, hold, { amount: 277, core_s: 1, final: 1 })).sid
  say(home, acceptInput(deal, hold, { usage, amount: 277, final: 1 }))
  assert.equal(balanceOf(view(home), home.name, home.name), credits(0))
})

t('[LEDGER-1] malformed, unknown and oversized statements are refused', () => {
  const { home, host } = pair()
  const good = say(home, { kind: 'credit', to: host.name, at: start, limit: credits(1) }).note
  assert.refused(hear(host, home, 'nonsense'), 'malformed')
  assert.refused(hear(host, home, good.replace('"1"', '"01"')), 'malformed')
  assert.refused(hear(host, home, good.replace('{', '{ ')), 'malformed')
  assert.refused(hear(host, home, good + good), 'malformed')
  assert.refused(hear(host, home, good.replace('/credit', '/gift')), 'unknown_kind')
  assert.refused(hear(host, home, good.replace('/credit', '/held')), 'malformed')
  assert.refused(trySay(home, {
    kind: 'void', to: host.name, at: start, hold: hashOf('x'), reason: 'x'.repeat(257),
  }), 'malformed')
})

t('statements to or from somebody else are misdirected', () => {
  const [a, b, c] = three()
  const said = say(a, { kind: 'credit', to: b.name, at: start, limit: credits(1) })
  assert.refused(hear(c, a, said.note), 'misdirected')
  assert.refused(hear(b, c, said.note), 'misdirected')
  const tariff = say(a, tariffInput({ task: 1, core: 1, gib: 1 }))
  assert.refused(hear(b, a, tariff.note), 'misdirected')
  assert.refused(step(b, (v) => logPublic(v, b.name, said.note)), 'misdirected')
  assert.refused(step(b, (v) => logPublic(v, b.name, a.genesis)), 'misdirected')
  assert.refused(step(a, (v) => logPublic(v, a.name, tariff.note)), 'misdirected')
  assert.refused(step(b, (v) => admitMember(v, b.name, { genesis: tariff.note })), 'misdirected')
})

t('[LEDGER-2] only the key of that site, epoch and purpose opens a statement', () => {
  const { home, host } = pair()
  const said = say(home, { kind: 'credit', to: host.name, at: start, limit: credits(1) })
  const wrongKey = forge(home, said, {}, keyFor(home.name, 'log'))
  assert.refused(hear(host, home, wrongKey), 'bad_signature')
  assert.refused(hear(host, home, said.note.replace('"1"', '"2"')), 'bad_signature')
  const asHost = must(sealStatement(said.statement, host.signer.statement)).note
  assert.refused(hear(host, home, asHost), 'bad_signature')
  assert.refused(hear(host, home, forge(home, said, { e: 2 })), 'wrong_epoch')
  must(hear(host, home, said.note))
})

t('[LEDGER-3] another federation is refused', () => {
  const { home, host } = pair()
  const said = say(home, { kind: 'credit', to: host.name, at: start, limit: credits(1) })
  assert.refused(hear(host, home, forge(home, said, { fed: hashOf('other') })), 'wrong_federation')
})

t('[LEDGER-4] numbers have no gaps, no forks, and time does not fall', () => {
  const { home, host } = pair()
  const said = [1, 2, 3].map((limit) =>
    say(home, { kind: 'credit', to: host.name, at: start + limit, limit: credits(limit) }))
  const [first, second, third] = said as [Said, Said, Said]
  const expected = first.statement.n
  assert.equal(hear(host, home, second.note), {
    ok: false, refusal: { reason: 'gap', expected, found: expected + 1 },
  })
  assert.refused(hear(host, home, forge(home, first, { prev: hashOf('x') })), 'wrong_prev')
  assert.refused(hear(host, home, forge(home, first, { at: start - 1 })), 'time_fell')
  must(hear(host, home, first.note))
  assert.equal(must(hear(host, home, first.note)), {
    kind: 'duplicate', sid: first.sid, n: expected, compared: true,
  })
  assert.refused(hear(host, home, forge(home, first, { limit: credits(9) })), 'fork')
  must(hear(host, home, second.note))
  const late = must(hear(host, home, first.note))
  assert.equal(late, { kind: 'duplicate', sid: first.sid, n: expected, compared: false })
  must(hear(host, home, third.note))
  const [before, after] = [ledgerHead(view(host)), creditLimit(view(host), home.name, host.name)]
  assert.equal(before?.frontier.size, ledgerHead(view(host))?.frontier.size)
  assert.equal(after, credits(3))
})

t('a clock that was set back does not make the author look dishonest', () => {
  const { home, host } = pair()
  tell(home, host, { kind: 'credit', to: host.name, at: start + 1_000, limit: credits(1) })
  const later = tell(home, host, { kind: 'credit', to: host.name, at: start, limit: credits(2) })
  assert.equal(later.statement.at, start + 1_000)
})

t('public statements of others come in any order, but one for each number', () => {
  const [a, b] = federation('a.example', 'b.example') as [TestSite, TestSite]
  const said = [1, 2, 3].map((core) => say(a, tariffInput({ task: 0, core, gib: 0 })))
  const [first, second, third] = said as [Said, Said, Said]
  const log = (note: string) => step(b, (v) => logPublic(v, b.name, note))
  assert.equal(must(log(third.note)).duplicate, false)
  assert.equal(must(log(third.note)).duplicate, true)
  assert.refused(log(forge(a, third, { speed_permille: 7 })), 'fork')
  assert.refused(log(forge(a, second, { speed_permille: 7 })), 'wrong_prev')
  must(log(first.note))
  assert.refused(log(forge(a, second, { prev: hashOf('x') })), 'wrong_prev')
  must(log(second.note))
})

t('[LEDGER-5] references resolve to what is in the log and belongs to the pair', () => {
  const [a, b, c] = three()
  const deal = agreedDeal(a, b)
  const other = agreedDeal(a, c)
  assert.refused(trySay(a, offerInput(b, hashOf('no tariff'))), 'unknown_reference')
  assert.refused(trySay(a, offerInput(b, other.tariff)), 'unknown_reference')
  const agree = { kind: 'contract', to: a.name, at: start, side: 'agree' } as const
  assert.refused(trySay(b, { ...agree, contract: other.contract }), 'unknown_reference')
  assert.refused(trySay(a, { ...agree, to: b.name, contract: deal.contract }), 'unknown_reference')
  const elsewhere = { ...deal, contract: other.contract }
  assert.refused(trySay(a, holdInput(elsewhere, 1)), 'unknown_reference')
  const hold = tell(a, b, holdInput(deal, 1)).sid
  for (const refused of [
    trySay(b, heldInput(deal, hashOf('x'))),
    trySay(a, { ...heldInput(deal, hold), to: b.name } as Parameters<typeof trySay>[1]),
    trySay(c, heldInput(other, hold)),
    trySay(b, { kind: 'declined', to: a.name, at: start, hold: hashOf('x'), reason: '' }),
    trySay(b, usageInput(deal, hashOf('x'), { amount: 0, core_s: 0 })),
    trySay(a, acceptInput(deal, hashOf('x'), { usage: hashOf('y'), amount: 0 })),
    trySay(b, { kind: 'void', to: a.name, at: start, hold: hashOf('x'), reason: '' }),
  ]) assert.refused(refused, 'unknown_reference')
  tell(b, a, heldInput(deal, hold))
  const accept = acceptInput(deal, hold, { usage: hashOf('y'), amount: 0 })
  assert.refused(trySay(a, accept), 'unknown_reference')
})

t('an accept may not go back behind the last accepted usage', () => {
  const { home, host, deal } = pair()
  const hold = heldHold(deal)
  const first = tell(host, home, usageInput(deal, hold, { amount: 277, core_s: 1 }))
  const second = tell(host, home, usageInput(deal, hold, { amount: 555, core_s: 2 }))
  tell(home, host, acceptInput(deal, hold, { usage: second.sid, amount: 555 }))
  const back = acceptInput(deal, hold, { usage: first.sid, amount: 277 })
  assert.refused(trySay(home, back), 'unknown_reference')
})

t('an accept crosses a newer usage on its way', () => {
  const { home, host, deal } = pair()
  const hold = heldHold(deal)
  const first = tell(host, home, usageInput(deal, hold, { amount: 277, core_s: 1 }))
  const second = say(host, usageInput(deal, hold, { amount: 555, core_s: 2, final: 1 }))
  const accept = say(home, acceptInput(deal, hold, { usage: first.sid, amount: 277 }))
  must(hear(host, home, accept.note))
  must(hear(home, host, second.note))
  tell(home, host, acceptInput(deal, hold, { usage: second.sid, amount: 555, final: 1 }))
  assert.equal(counters(home, deal), counters(host, deal))
})

t('[LEDGER-6] a contract is agreed once, a hold is answered once and ends once', () => {
  const { home, host, deal } = pair()
  const agree = {
    kind: 'contract', to: home.name, at: start, side: 'agree', contract: deal.contract,
  } as const
  assert.refused(trySay(host, agree), 'wrong_state')
  const offer = tell(home, host, offerInput(host, deal.tariff)).sid
  const ahead = tell(home, host, holdInput({ ...deal, contract: offer }, 1)).sid
  assert.refused(trySay(host, heldInput(deal, ahead)), 'wrong_state')
  assert.equal(contractTerms(view(host), offer)?.agreed, '')
  const hold = tell(home, host, holdInput(deal, 1_000_000)).sid
  const usage = usageInput(deal, hold, { amount: 277, core_s: 1 })
  const giveUp = { kind: 'void', to: home.name, at: start, hold, reason: '' } as const
  const decline = { ...giveUp, kind: 'declined' } as const
  assert.refused(trySay(host, usage), 'wrong_state')
  assert.refused(trySay(host, giveUp), 'wrong_state')
  const nothing = acceptInput(deal, hold, { usage: hashOf('x'), amount: 0 })
  assert.refused(trySay(home, nothing), 'wrong_state')
  tell(host, home, heldInput(deal, hold))
  assert.refused(trySay(host, heldInput(deal, hold)), 'wrong_state')
  assert.refused(trySay(host, decline), 'wrong_state')
  const claim = tell(host, home, { ...usage, amount: credits(0), core_s: 0 } as typeof usage).sid
  assert.refused(trySay(host, giveUp), 'wrong_state')
  const early = acceptInput(deal, hold, { usage: claim, amount: 0, final: 1 })
  assert.refused(trySay(home, early), 'wrong_state')
  const last = tell(host, home, usageInput(deal, hold, { amount: 277, core_s: 1, final: 1 })).sid
  assert.refused(trySay(host, usageInput(deal, hold, { amount: 555, core_s: 2 })), 'wrong_state')
  const open = acceptInput(deal, hold, { usage: last, amount: 277, final: 0 })
  assert.refused(trySay(home, open), 'wrong_state')
  const close = acceptInput(deal, hold, { usage: last, amount: 277, final: 1 })
  tell(home, host, close)
  for (const refused of [trySay(home, close), trySay(host, usage), trySay(host, giveUp)]) {
    assert.refused(refused, 'wrong_state')
  }
})

t('[LEDGER-7] what is cumulative does not fall', () => {
  const { home, host, deal } = pair()
  const hold = heldHold(deal)
  tell(host, home, usageInput(deal, hold, { amount: 555, core_s: 2, tasks: 2 }))
  const fallen = [
    { amount: 277, core_s: 1, tasks: 2 },
    { amount: 555, core_s: 2, tasks: 1 },
    { amount: 554, core_s: 2, tasks: 2 },
  ]
  for (const said of fallen) assert.refused(trySay(host, usageInput(deal, hold, said)), 'fell')
  const usage = tell(host, home, usageInput(deal, hold, { amount: 833, core_s: 3, tasks: 2 })).sid
  tell(home, host, acceptInput(deal, hold, { usage, amount: 800 }))
  assert.refused(trySay(home, acceptInput(deal, hold, { usage, amount: 799 })), 'fell')
})

t('nothing goes beyond the terms: factor, tasks, claims, amounts, sums', () => {
  const { home, host, deal } = pair()
  const dear = offerInput(host, deal.tariff, { factor_permille: 4_001 })
  assert.refused(trySay(home, dear), 'too_much')
  assert.refused(trySay(home, holdInput(deal, 1, { tasks: 101 })), 'too_much')
  const most = { amount: credits((1n << 63n) - 1n) }
  const first = tell(home, host, holdInput(deal, 1)).sid
  assert.refused(trySay(home, holdInput(deal, 1, most)), 'too_much')
  tell(host, home, { kind: 'declined', to: home.name, at: start, hold: first, reason: '' })
  const hold = heldHold(deal)
  const tooMany = usageInput(deal, hold, { amount: 277, core_s: 1, tasks: 11 })
  assert.refused(trySay(host, tooMany), 'too_much')
  const claims = Array.from({ length: openClaimsMax }, () =>
    tell(host, home, usageInput(deal, hold, { amount: 277, core_s: 1 })).sid)
  const more = usageInput(deal, hold, { amount: 277, core_s: 1 })
  assert.refused(trySay(host, more), 'too_much')
  const usage = claims.at(-1) as Sid
  assert.refused(trySay(home, acceptInput(deal, hold, { usage, amount: 278 })), 'too_much')
  tell(home, host, acceptInput(deal, hold, { usage, amount: 277 }))
  tell(host, home, more)
})

t('[LEDGER-8] the creditor says held only within its limit; the debtor takes its word', () => {
  const [home, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  const deal = agreedDeal(home, host, 1_000)
  const first = tell(home, host, holdInput(deal, 600)).sid
  const second = tell(home, host, holdInput(deal, 401)).sid
  tell(host, home, heldInput(deal, first))
  assert.equal(trySay(host, heldInput(deal, second)), {
    ok: false,
    refusal: { reason: 'over_limit', limit: 1_000n, exposure: 600n, amount: 401n },
  })
  tell(host, home, { kind: 'credit', to: home.name, at: start, limit: credits(1_001) })
  const said = say(host, heldInput(deal, second))
  tell(home, host, holdInput(deal, 0))
  must(hear(home, host, said.note))
  tell(host, home, { kind: 'credit', to: home.name, at: start, limit: credits(0) })
  assert.equal(exposure(view(home), host.name, home.name), credits(1_001))
})

t('what the creditor owes makes room under its limit', () => {
  const [a, b] = federation('a.example', 'b.example') as [TestSite, TestSite]
  const back = agreedDeal(b, a)
  const paid = heldHold(back, 400)
  const usage = tell(a, b, usageInput(back, paid, { amount: 400, core_s: 3_600, final: 1 })).sid
  tell(b, a, acceptInput(back, paid, { usage, amount: 400, final: 1 }))
  const deal = agreedDeal(a, b, 0)
  assert.equal(exposure(view(b), b.name, a.name), credits(-400))
  heldHold(deal, 400)
  const more = tell(a, b, holdInput(deal, 1)).sid
  assert.refused(trySay(b, heldInput(deal, more)), 'over_limit')
})

t('[LEDGER-9] the amount is the tariff applied to the usage', () => {
  const { home, host, deal } = pair()
  const hold = heldHold(deal)
  const wrong = trySay(host, usageInput(deal, hold, { amount: 278, core_s: 1 }))
  assert.equal(wrong, {
    ok: false, refusal: { reason: 'wrong_amount', expected: 277n, found: 278n },
  })
  const said = say(host, usageInput(deal, hold, { amount: 277, core_s: 1 }))
  assert.refused(hear(home, host, forge(host, said, { amount: credits(278) })), 'wrong_amount')
  must(hear(home, host, said.note))
})

t('a log opens once, with its federation and its own genesis', () => {
  const [a] = federation('a.example') as [TestSite]
  const root = rootSigner(a.name, a.root)
  const named = must(sealFederation(root, {
    name: 'x', founder: a.name, nonce: '11'.repeat(16), at: start,
  }))
  const genesis = must(sealGenesis(root, { fed: named.sid, site: a.name, keys: a.keys, at: start }))
  const open = (self: string, notes: { federation: string, genesis: string }, at?: TestSite) => {
    const fresh = at ?? { ...a, tables: new Map() }
    return step(fresh, (v) => openLedger(v, site(self), notes))
  }
  const notes = { federation: named.note, genesis: genesis.note }
  assert.refused(open('a.example', notes, a), 'wrong_state')
  assert.refused(open('b.example', notes), 'misdirected')
  assert.refused(open('a.example', { ...notes, federation: genesis.note }), 'misdirected')
  assert.refused(open('a.example', { ...notes, genesis: named.note }), 'misdirected')
  assert.refused(open('a.example', { ...notes, federation: 'x' }), 'malformed')
  assert.refused(open('a.example', { ...notes, federation: named.note.replace('"x"', '"y"') }),
    'bad_signature')
  assert.refused(open('a.example', { ...notes, genesis: a.genesis }), 'wrong_federation')
  const twice = { ...a.keys, log: a.keys.witness }
  const shared = must(sealGenesis(root, { fed: named.sid, site: a.name, keys: twice, at: start }))
  assert.refused(open('a.example', { ...notes, genesis: shared.note }), 'bad_key')
  const small = { ...a.keys, log: `01${'00'.repeat(31)}` }
  const weak = must(sealGenesis(root, { fed: named.sid, site: a.name, keys: small, at: start }))
  assert.refused(open('a.example', { ...notes, genesis: weak.note }), 'bad_key')
  const otherRoot = rootSigner(a.name, keyFor('a.example', 'another root'))
  const claimed = { fed: named.sid, site: a.name, keys: a.keys, at: start }
  const usurped = must(sealGenesis(otherRoot, claimed))
  assert.refused(open('a.example', { ...notes, genesis: usurped.note }), 'wrong_state')
  must(open('a.example', notes))
})

t('membership is a chain from the founder; until then nobody listens', () => {
  const [a, b, c] = three()
  const lonely = { ...b, tables: new Map() }
  const fed = view(a).get('ledgerEntries', '000000000000') as string
  must(step(lonely, (v) => openLedger(v, b.name, { federation: fed, genesis: b.genesis })))
  assert.ok(!isMember(view(lonely), b.name))
  assert.refused(trySay(lonely, tariffInput({ task: 0, core: 0, gib: 0 })), 'not_member')
  const admit = (notes: { policy?: string, genesis: string }) =>
    step(lonely, (v) => admitMember(v, b.name, notes))
  assert.refused(admit({ genesis: c.genesis }), 'not_member')
  assert.refused(admit({ policy: b.policy as string, genesis: b.genesis }), 'not_member')
  must(admit({ genesis: a.genesis }))
  assert.refused(admit({ policy: b.policy as string, genesis: c.genesis }), 'misdirected')
  const joined = must(admit({ policy: b.policy as string, genesis: b.genesis }))
  assert.equal(joined.logged.map(({ statement }) => statement.kind), ['policy'])
  assert.ok(isMember(view(lonely), b.name))
  const credit = { kind: 'credit', to: c.name, at: start, limit: credits(1) } as const
  assert.refused(trySay(lonely, credit), 'not_member')
  const both = must(admit({ policy: c.policy as string, genesis: c.genesis }))
  assert.equal(both.logged.map(({ statement }) => statement.kind), ['policy', 'genesis'])
  assert.equal(must(admit({ policy: c.policy as string, genesis: c.genesis })).logged, [])
  must(trySay(lonely, credit))
})

t('nobody is admitted twice under different keys', () => {
  const [a, b] = federation('a.example', 'b.example') as [TestSite, TestSite]
  const policy = { kind: 'policy', to: '*', about: 'admit', at: start } as const
  const other = toHex(keyFor('b.example', 'another root').publicKey)
  const sid = sidOf(b.genesis)
  assert.refused(trySay(a, { ...policy, admit: b.name, root: other, genesis: sid }), 'wrong_state')
  const root = toHex(b.root.publicKey)
  const genesis = hashOf('x')
  assert.refused(trySay(a, { ...policy, admit: b.name, root, genesis }), 'wrong_state')
  must(trySay(b, { ...policy, admit: b.name, root, genesis: sid }))
  assert.refused(trySay(b, { ...policy, admit: a.name, root, genesis: sid }), 'wrong_state')
})

t('a member admitted by a member vouches for a third', () => {
  const [a, b] = federation('a.example', 'b.example') as [TestSite, TestSite]
  const [, c] = federation('a.example', 'c.example') as [TestSite, TestSite]
  const root = toHex(c.root.publicKey)
  const policy = say(b, {
    kind: 'policy', to: '*', about: 'admit', at: start, admit: c.name, root,
    genesis: sidOf(c.genesis),
  })
  const notes = { policy: policy.note, genesis: c.genesis }
  must(step(b, (v) => admitMember(v, b.name, notes)))
  must(step(a, (v) => admitMember(v, a.name, notes)))
  assert.equal(view(a).get('ledgerAdmissions', c.name)?.sponsor, b.name)
})

t('every entry grows the tree and the checkpoint says so', () => {
  const { home } = pair()
  const before = checkpointText(view(home)).split('\n')
  say(home, tariffInput({ task: 1, core: 1, gib: 1 }))
  const after = checkpointText(view(home)).split('\n')
  const head = ledgerHead(view(home))
  assert.equal(after[0], `home.example/gridnode/${head?.federation.slice(0, 16)}/e1`)
  assert.equal(Number(after[1]), Number(before[1]) + 1)
  assert.ok(after[2] !== before[2])
})

t('a statement reads back as what was said, and its bytes are the leaf', () => {
  const { home, host, deal } = pair()
  const { note, statement, sid, index } = tell(home, host, holdInput(deal, 7))
  const parsed = must(parseStatement(note))
  assert.equal(parsed.statement, statement)
  assert.equal(parsed.sid, sid)
  assert.match(note, /^gridnode\/v1\/hold\n\{"amount":"7",/)
  assert.match(note, /\n\n— home\.example\/gridnode\/s1 [A-Za-z0-9+/=]+\n$/)
  assert.equal(view(home).get('ledgerEntries', String(index).padStart(12, '0')), note)
})

t('a refused receive writes nothing at all', () => {
  const { home, host, deal } = pair()
  const said = say(home, holdInput(deal, 7))
  const { outcome, writes } = tried(host, (v) =>
    receiveStatement(v, host.name, home.name, forge(home, said, { tasks: 101 })))
  assert.refused(outcome, 'too_much')
  assert.equal(writes, [])
})
