// What follows a final claim: disputes, proposals, gifts, rulings, the clause, and holds on
// allocations. Each refusal leaves the state untouched (`step` of ledger-sites.ts sees to that),
// and words that cross come to one end.

import fc from 'fast-check'
import { assert, suite } from '../harness.ts'
import type { Sid, SiteName } from '../../protocol/base/ids.ts'
import { account } from '../../protocol/rules/ledger-book.ts'
import { clauseMax } from '../../protocol/rules/ledger-holds.ts'
import { clauseDue } from '../../protocol/rules/clause.ts'
import { sealRuling } from '../../protocol/rules/ruling.ts'
import type { StatementInput } from '../../protocol/rules/statement.ts'
import type { Deal, TestSite } from './ledger-sites.ts'
import {
  acceptInput, credits, federation, hashOf, hear, heldInput, holdInput, must, offerInput, start,
  tariffInput, tell, trySay, usageInput, view,
} from './ledger-sites.ts'

const t = suite('the end of holds')

interface Claimed {
  readonly deal: Deal
  readonly third: TestSite
  readonly hold: Sid
  readonly usage: Sid
}

/** A hold of 1,000,000 of which 500,000 are claimed finally; a third site is the arbiter. */
function claimed(terms: object = {}): Claimed {
  const [home, host, third] = federation('home.example', 'host.example', 'third.example')
  const deal = dealOf(home!, host!, { arbiter: third!.name, auto_permille: 400, ...terms })
  const hold = tell(home!, host!, holdInput(deal, 1_000_000)).sid
  tell(host!, home!, heldInput(deal, hold))
  const said = { amount: 500_000, core_s: 1_800, final: 1 } as const
  const usage = tell(host!, home!, usageInput(deal, hold, said)).sid
  return { deal, third: third!, hold, usage }
}

function dealOf(home: TestSite, host: TestSite, terms: object): Deal {
  const tariff = tell(host, home, tariffInput({ task: 0, core: 1_000_000, gib: 0 })).sid
  tell(host, home, { kind: 'credit', to: home.name, at: start, limit: credits(10_000_000) })
  const contract = tell(home, host, offerInput(host, tariff, terms)).sid
  tell(host, home, { kind: 'contract', to: home.name, at: start, side: 'agree', contract })
  return { home, host, tariff, contract }
}

const disputed = ({ deal, hold, usage }: Claimed, contested: number): StatementInput => ({
  kind: 'dispute', to: deal.host.name, at: start, hold, usage, contested: credits(contested),
  reason: 'too much', doc: '',
})

type Side = 'offer' | 'forgive'

const resolved = ({ hold }: Claimed, to: SiteName, side: Side, amount: number): StatementInput =>
  ({ kind: 'resolve', to, at: start, side, hold, amount: credits(amount) })

const agreed = (to: SiteName, resolve: Sid): StatementInput =>
  ({ kind: 'resolve', to, at: start, side: 'agree', resolve })

function clause({ deal, hold, usage }: Claimed, amount: number, change: object = {}) {
  return {
    kind: 'resolve', to: deal.home.name, at: start, side: 'clause', hold, usage,
    amount: credits(amount), proof: '', ...change,
  } as StatementInput
}

function ruling(
  { deal, third, hold }: Claimed, to: SiteName, amount: number, change: object = {},
): StatementInput {
  const fed = view(deal.home).get('ledgerHead', 'head')!.federation
  const said = { fed, hold, amount: credits(amount), at: start, ...change }
  const note = sealRuling(said, third.signer.statement)
  return { kind: 'resolve', to, at: start, side: 'ruling', hold, amount: credits(amount), note }
}

/** State, accepted and asks in both logs, which must be the same. */
function end({ deal, hold }: Claimed): unknown[] {
  const [here, there] = [deal.home, deal.host].map((at) => {
    const { state, accepted, asks } = view(at).get('ledgerHolds', hold)!
    const { posted, held, claimed: open } = account(view(at), deal.host.name, deal.home.name)
    return [state, accepted, asks, posted, held, open]
  })
  assert.equal(here, there)
  return here!.slice(0, 3)
}

t('a dispute accepts what it does not contest', () => {
  const all = claimed()
  const { home, host } = all.deal
  tell(home, host, disputed(all, 200_000))
  assert.equal(end(all), ['held', 300_000n, 500_000n])
  assert.equal(view(host).get('ledgerHolds', all.hold)!.disputed, 'too much')
  tell(home, host, disputed(all, 0))
  assert.equal(end(all), ['done', 500_000n, 500_000n])
})

t('a dispute is the home\'s, about a final usage, for no more than was claimed', () => {
  const all = claimed()
  const { home, host } = all.deal
  assert.refused(trySay(home, disputed(all, 500_001)), 'too_much')
  assert.refused(trySay(home, disputed({ ...all, usage: hashOf('-') }, 1)), 'unknown_reference')
  assert.refused(trySay(home, disputed({ ...all, hold: hashOf('-') }, 1)), 'unknown_reference')
  const turned = { ...disputed(all, 1), to: home.name } as StatementInput
  assert.refused(trySay(host, turned), 'unknown_reference')
  tell(host, home, resolved(all, home.name, 'forgive', 0))
  assert.refused(trySay(home, disputed(all, 1)), 'wrong_state')
})

t('two who agree end a hold at what they agree on', () => {
  const all = claimed()
  const { home, host } = all.deal
  assert.refused(trySay(host, resolved(all, home.name, 'offer', 500_001)), 'too_much')
  assert.refused(trySay(host, agreed(home.name, hashOf('-'))), 'unknown_reference')
  const offer = tell(host, home, resolved(all, home.name, 'offer', 450_000)).sid
  assert.refused(trySay(host, agreed(home.name, offer)), 'unknown_reference')
  tell(home, host, agreed(host.name, offer))
  assert.equal(end(all), ['done', 450_000n, 450_000n])
  assert.refused(trySay(home, agreed(host.name, offer)), 'unknown_reference')
})

t('there is nothing to resolve before the final usage, after the end, or for others', () => {
  const [home, host, third] = federation('home.example', 'host.example', 'third.example')
  const deal = dealOf(home!, host!, {})
  const hold = tell(home!, host!, holdInput(deal, 1_000_000)).sid
  const none: Claimed = { deal, third: third!, hold, usage: hashOf('-') }
  tell(host!, home!, heldInput(deal, hold))
  assert.refused(trySay(host!, resolved(none, home!.name, 'offer', 1)), 'wrong_state')
  const all = claimed()
  const other = resolved({ ...all, hold: hashOf('-') }, all.deal.host.name, 'offer', 1)
  assert.refused(trySay(all.deal.home, other), 'unknown_reference')
  assert.refused(trySay(all.deal.home, resolved(all, all.third.name, 'offer', 1)),
    'unknown_reference')
  const { home: payer, host: payee } = all.deal
  const accept = { usage: all.usage, amount: 500_000, final: 1 } as const
  tell(payer, payee, acceptInput(all.deal, all.hold, accept))
  assert.refused(trySay(payer, resolved(all, payee.name, 'offer', 1)), 'wrong_state')
})

t('only the host asks for less', () => {
  const all = claimed()
  const { home, host } = all.deal
  assert.refused(trySay(home, resolved(all, host.name, 'forgive', 1)), 'wrong_state')
  assert.refused(trySay(host, resolved(all, home.name, 'forgive', 500_001)), 'too_much')
  tell(host, home, resolved(all, home.name, 'forgive', 100_000))
  assert.equal(end(all), ['held', 0n, 100_000n])
  // The home need not accept the whole claim any more.
  const accept = { usage: all.usage, amount: 100_000 }
  tell(home, host, acceptInput(all.deal, all.hold, accept))
  assert.equal(end(all), ['done', 100_000n, 100_000n])
})

t('a ruling counts from the arbiter of the contract alone, for its hold and amount', () => {
  const all = claimed()
  const { home, host } = all.deal
  const said = ruling(all, host.name, 250_000)
  assert.refused(trySay(home, { ...said, amount: credits(250_001) } as never), 'wrong_state')
  assert.refused(trySay(home, { ...said, note: 'x' } as never), 'malformed')
  assert.refused(trySay(home, ruling(all, host.name, 250_000, { hold: hashOf('-') })),
    'wrong_state')
  assert.refused(trySay(home, ruling(all, host.name, 250_000, { fed: hashOf('-') })),
    'wrong_state')
  assert.refused(trySay(home, ruling({ ...all, third: home }, host.name, 1)), 'bad_signature')
  tell(home, host, said)
  assert.equal(end(all), ['done', 250_000n, 250_000n])
  const nobody = claimed({ arbiter: '' })
  assert.refused(trySay(nobody.deal.home, ruling(nobody, host.name, 1)), 'wrong_state')
})

t('[LEDGER-12] the clause is the host\'s word, for the agreed part; it moves nothing', () => {
  const all = claimed()
  const { home, host } = all.deal
  assert.equal(clauseMax(view(host), view(host).get('ledgerHolds', all.hold)!), 400_000n)
  assert.refused(trySay(host, clause(all, 400_001)), 'too_much')
  assert.refused(trySay(host, clause(all, 1, { usage: hashOf('-') })), 'unknown_reference')
  assert.refused(trySay(home, clause(all, 1, { to: host.name })), 'wrong_state')
  tell(host, home, clause(all, 400_000))
  assert.equal(end(all), ['held', 0n, 500_000n])
  assert.equal(view(home).get('ledgerHolds', all.hold)!.clause, 400_000n)
  const without = claimed({ auto_permille: 0 })
  assert.refused(trySay(without.deal.host, clause(without, 1)), 'too_much')
})

t('[CLAUSE-1] by evidence the clause is due only when both times are known', () => {
  const due = (existsBySeconds?: number, notBeforeSeconds?: number): boolean =>
    clauseDue({ existsBySeconds, notBeforeSeconds, acceptSeconds: 100 })
  assert.equal([due(), due(1), due(undefined, 1_000)], [false, false, false])
  assert.equal([due(1_000, 1_099), due(1_000, 1_100), due(1_000, 900)], [false, true, false])
})

function granted(): { readonly deal: Deal, readonly grant: Sid } {
  const [home, host] = federation('home.example', 'host.example')
  const deal = dealOf(home!, host!, {})
  tell(home!, host!, {
    kind: 'policy', about: 'federation', to: '*', at: start, version: 1, witnesses: [], quorum: 0,
    authorities: [home!.name],
  })
  const grant = tell(home!, host!, {
    kind: 'grant', to: '*', at: start, grantee: home!.name, name: 'year', amount: credits(1_000),
    starts: start, until: start + 1_000,
  }).sid
  return { deal, grant }
}

t('[LEDGER-11] a hold on an allocation uses it and not the account', () => {
  const { deal, grant } = granted()
  const { home, host } = deal
  const asks = (amount: number, of: Sid = grant): StatementInput =>
    holdInput(deal, amount, { grant: of })
  assert.refused(trySay(home, asks(1_001)), 'over_grant')
  assert.refused(trySay(home, asks(1, hashOf('-'))), 'unknown_reference')
  const hold = tell(home, host, asks(900)).sid
  assert.refused(trySay(home, asks(101)), 'over_grant')
  tell(host, home, heldInput(deal, hold))
  const claim = { amount: 556, core_s: 2, final: 1 } as const
  const usage = tell(host, home, usageInput(deal, hold, { ...claim, amount: 555 })).sid
  tell(home, host, acceptInput(deal, hold, { usage, amount: 555, final: 1 }))
  for (const at of [home, host]) {
    const { held, spent } = view(at).get('ledgerGrants', grant)!
    assert.equal([held, spent], [0n, 555n])
    const { posted, asked, claimed: open } = account(view(at), host.name, home.name)
    assert.equal([posted, asked, open], [0n, 0n, 0n])
  }
  assert.ok(trySay(home, asks(445)).ok, 'what was not spent is free again')
})

/** One word of either side after the final usage, by a number from chance. */
function wordFor(
  all: Claimed, offers: readonly Sid[], what: number, amount: number,
): [TestSite, StatementInput] {
  const { home, host } = all.deal
  const proposal = offers[amount % Math.max(1, offers.length)] ?? hashOf('-')
  switch (what) {
    case 0: return [home, acceptInput(all.deal, all.hold, { usage: all.usage, amount,
      final: amount === 500_000 ? 1 : 0 })]
    case 1: return [home, disputed(all, amount)]
    case 2: return [host, resolved(all, home.name, 'forgive', amount)]
    case 3: return [home, resolved(all, host.name, 'offer', amount)]
    case 4: return [host, resolved(all, home.name, 'offer', amount)]
    case 5: return [home, agreed(host.name, proposal)]
    case 6: return [host, agreed(home.name, proposal)]
    case 7: return [home, ruling(all, host.name, amount)]
    case 8: return [host, ruling(all, home.name, amount)]
    default: return [host, clause(all, amount)]
  }
}

t('words that cross after the final usage come to the same end in both logs', () => {
  let done = 0
  const step = fc.record({
    what: fc.integer({ min: 0, max: 11 }),
    amount: fc.oneof(fc.constantFrom(0, 100_000, 500_000), fc.integer({ min: 0, max: 500_000 })),
  })
  fc.assert(fc.property(fc.array(step, { minLength: 4, maxLength: 24 }), (steps) => {
    const all = claimed()
    const { home, host } = all.deal
    const links = new Map<TestSite, string[]>([[home, []], [host, []]])
    const offers: Sid[] = []
    const deliver = (to: TestSite): void => {
      const from = to === home ? host : home
      const note = links.get(from)!.shift()
      // What one log has taken from its own author the other must take, too.
      if (note !== undefined) must(hear(to, from, note))
    }
    for (const { what, amount } of steps) {
      if (what > 9) {
        deliver(what === 10 ? home : host)
        continue
      }
      const [from, input] = wordFor(all, offers, what, amount)
      const said = trySay(from, input)
      if (!said.ok) continue
      links.get(from)!.push(said.value.note)
      if (input.kind === 'resolve' && input.side === 'offer') offers.push(said.value.sid)
    }
    for (const to of [home, host]) for (let left = 30; left > 0; left--) deliver(to)
    if (end(all)[0] === 'done') done++
    for (const at of [home, host]) {
      const { accepted, claimed: most, state } = view(at).get('ledgerHolds', all.hold)!
      const { posted, held, claimed: open } = account(view(at), host.name, home.name)
      assert.ok(accepted >= 0n && accepted <= most)
      assert.equal(posted, accepted)
      assert.equal([held, open], state === 'done' ? [0n, 0n]
        : [1_000_000n - accepted, 500_000n - accepted])
    }
  }), { numRuns: 60 })
  assert.ok(done > 10, `${done} of 60 came to an end`)
}, { timeoutSeconds: 120 })
