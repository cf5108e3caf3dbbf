// Single cases of words that cross, and of sums at their bound: each once stopped a sequence, let
// two books differ or stopped a node.

import { assert, suite } from '../harness.ts'
import { toHex } from '../../protocol/base/crypto.ts'
import type { Sid } from '../../protocol/base/ids.ts'
import { microcreditsMax } from '../../protocol/base/units.ts'
import { contractLifeMs } from '../../protocol/rules/ledger-holds.ts'
import { ownProposalsMax } from '../../protocol/rules/ledger-accounts.ts'
import { directionKey, ledgerHead } from '../../protocol/rules/ledger-book.ts'
import {
  balanceOf, directionOf, exposure, holdState, logPublic, openEpoch, restoreStatement, sealGenesis,
} from '../../protocol/rules/ledger.ts'
import { pairState } from '../../protocol/rules/ledger-pairs.ts'
import type { StatementInput } from '../../protocol/rules/statement.ts'
import { rootSigner } from '../../protocol/rules/statement.ts'
import type { Deal, TestSite } from './ledger-sites.ts'
import {
  acceptInput, agreedDeal, credits, federation, hear, heldInput, holdInput, keyFor, must,
  offerInput, say, start, step, tariffInput, tell, trySay, usageInput, view,
} from './ledger-sites.ts'

const t = suite('crossing words, one by one')

function deal(): Deal {
  const [home, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  return agreedDeal(home, host)
}

function heldOf(at: Deal, amount = 1_000): Sid {
  const hold = tell(at.home, at.host, holdInput(at, amount)).sid
  tell(at.host, at.home, heldInput(at, hold))
  return hold
}

/** What costs `amount`, by the tariff of a deal. */
function worth(amount: number): { readonly amount: number, readonly core_s: number } {
  return { amount, core_s: Math.ceil((amount * 3_600) / 1_000_000) }
}

function stateAt(at: TestSite, { home, host }: Deal): string {
  const counted = directionOf(view(at), home.name, host.name)
  const direction = directionKey(home.name, host.name)
  return pairState(view(at), home.name, host.name, { direction, counted })
}

function offered({ home, host }: Deal, from: TestSite): StatementInput {
  const to = from === home ? host : home
  const counted = directionOf(view(from), from.name, to.name)
  return {
    kind: 'reconcile', to: to.name, at: start, side: 'offer', issued: counted.n,
    received: directionOf(view(from), to.name, from.name).n,
    state: pairState(view(from), from.name, to.name, {
      direction: directionKey(from.name, to.name), counted,
    }),
  }
}

t('a final usage of what was accepted before ends the hold, whichever comes first', () => {
  const at = deal()
  const hold = heldOf(at)
  const part = tell(at.host, at.home, usageInput(at, hold, { amount: 555, core_s: 2 }))
  const accept = say(at.home, acceptInput(at, hold, { usage: part.sid, amount: 555 }))
  const final = say(at.host, usageInput(at, hold, { amount: 555, core_s: 2, final: 1 }))
  must(hear(at.host, at.home, accept.note))
  must(hear(at.home, at.host, final.note))
  assert.equal(stateAt(at.home, at), stateAt(at.host, at))
  for (const each of [at.home, at.host]) assert.equal(holdState(view(each), hold)?.state, 'done')
})

t('an author remembers a payment that the addressee may have agreed to', () => {
  const { home, host } = deal()
  const pay = (): StatementInput => ({
    kind: 'settle', to: host.name, at: start, side: 'offer', amount: credits(1), payer: 'author',
    reference: 'ref',
  })
  const first = tell(home, host, pay())
  const newer = Array.from({ length: 20 }, () => say(home, pay()))
  const agreed = say(host, {
    kind: 'settle', to: home.name, at: start, side: 'agree', settle: first.sid,
  })
  must(hear(home, host, agreed.note))
  for (const { note } of newer) must(hear(host, home, note))
  assert.equal(balanceOf(view(home), host.name, home.name), -1n)
  assert.equal(balanceOf(view(host), host.name, home.name), -1n)
  const [oldest] = newer
  assert.refused(trySay(host, {
    kind: 'settle', to: home.name, at: start, side: 'agree', settle: oldest?.sid as Sid,
  }), 'unknown_reference')
  for (let more = newer.length; more < ownProposalsMax; more++) say(home, pay())
  assert.refused(trySay(home, pay()), 'too_much')
})

t('sums that a peer drives to the bound stop no node and differ nowhere', () => {
  const at = deal()
  const { home, host } = at
  const hold = heldOf(at)
  const final = tell(host, home, usageInput(at, hold, { ...worth(833), core_s: 3, final: 1 }))
  tell(home, host, acceptInput(at, hold, { usage: final.sid, amount: 833, final: 1 }))
  const gift = (to: TestSite): StatementInput => ({
    kind: 'settle', to: to.name, at: start, side: 'forgive', amount: credits(microcreditsMax),
    reference: 'all',
  })
  tell(home, host, gift(host))
  assert.equal(exposure(view(host), host.name, home.name), microcreditsMax)
  assert.equal(balanceOf(view(home), home.name, host.name), -microcreditsMax)
  // Both ways at once, where each may say it by its own log.
  const offer = tell(home, host, {
    kind: 'settle', to: host.name, at: start, side: 'offer', amount: credits(microcreditsMax),
    payer: 'author', reference: 'all',
  })
  const agree = say(host, {
    kind: 'settle', to: home.name, at: start, side: 'agree', settle: offer.sid,
  })
  must(hear(home, host, agree.note))
  assert.refused(trySay(host, gift(home)), 'too_much')
  assert.equal(stateAt(home, at), stateAt(host, at))
})

t('what both had ended when they reconciled is not agreed to again', () => {
  const at = deal()
  const { home, host } = at
  const hold = heldOf(at)
  const final = tell(host, home, usageInput(at, hold, { ...worth(833), core_s: 3, final: 1 }))
  const resolve = (side: 'offer' | 'forgive', amount: number): Omit<StatementInput, 'to'> =>
    ({ kind: 'resolve', at: start, side, hold, amount: credits(amount) }) as StatementInput
  const proposal = tell(home, host, { ...resolve('offer', 800), to: host.name } as StatementInput)
  tell(host, home, { ...resolve('forgive', 500), to: home.name } as StatementInput)
  tell(home, host, acceptInput(at, hold, { usage: final.sid, amount: 500 }))
  const reconcile = tell(host, home, offered(at, host))
  tell(home, host, {
    kind: 'reconcile', to: host.name, at: start, side: 'agree', reconcile: reconcile.sid,
  })
  assert.equal([...view(home).entries('ledgerProposals')], [])
  assert.equal([...view(host).entries('ledgerProposals')], [])
  assert.refused(trySay(host, {
    kind: 'resolve', to: home.name, at: start, side: 'agree', resolve: proposal.sid,
  }), 'unknown_reference')
})

t('who has its hold done agrees to nothing more about it, also before a reconciliation', () => {
  const at = deal()
  const { home, host } = at
  const hold = heldOf(at)
  const final = tell(host, home, usageInput(at, hold, { ...worth(833), core_s: 3, final: 1 }))
  const proposal = tell(home, host, {
    kind: 'resolve', to: host.name, at: start, side: 'offer', hold, amount: credits(800),
  })
  tell(host, home, {
    kind: 'resolve', to: home.name, at: start, side: 'forgive', hold, amount: credits(500),
  })
  tell(home, host, acceptInput(at, hold, { usage: final.sid, amount: 500 }))
  say(host, offered(at, host))
  assert.refused(trySay(host, {
    kind: 'resolve', to: home.name, at: start, side: 'agree', resolve: proposal.sid,
  }), 'wrong_state')
})

t('an agreement to an offer that many newer ones have replaced changes nothing', () => {
  const at = deal()
  const { home, host } = at
  const first = tell(home, host, offered(at, home))
  const agreed = say(host, {
    kind: 'reconcile', to: home.name, at: start, side: 'agree', reconcile: first.sid,
  })
  const newer = Array.from({ length: 20 }, () => say(home, offered(at, home)))
  must(hear(home, host, agreed.note))
  for (const { note } of newer) must(hear(host, home, note))
  assert.equal(stateAt(home, at), stateAt(host, at))
})

t('a restored site takes back what it asked of an allocation before it hears who declined', () => {
  const sites = () => federation('home.example', 'one.example', 'two.example') as
    [TestSite, TestSite, TestSite]
  const all = sites()
  const restored = sites()
  // Both come to the same bytes, up to the backup.
  const [first, again] = [all, restored].map(([home, one, two]) => {
    const others = [home, one, two]
    const spread = (from: TestSite, input: StatementInput): Sid => {
      const { note, sid } = say(from, input)
      for (const at of others) if (at !== from) must(step(at, (v) => logPublic(v, at.name, note)))
      return sid
    }
    spread(home, {
      kind: 'policy', to: '*', at: start, about: 'federation', version: 1, witnesses: [],
      quorum: 0, authorities: [one.name],
    })
    const grant = spread(one, {
      kind: 'grant', to: '*', at: start, grantee: home.name, name: 'a', amount: credits(100),
      starts: start, until: start + 1,
    })
    return { grant, deals: [agreedDeal(home, one), agreedDeal(home, two)] as const }
  })
  const [one, two] = first?.deals ?? []
  if (!one || !two || !again) throw new Error('two deals each')
  const { home, host } = one
  const lost = say(home, holdInput(one, 80, { grant: first?.grant }))
  must(hear(host, home, lost.note))
  tell(host, home, { kind: 'declined', to: home.name, at: start, hold: lost.sid, reason: '-' })
  const next = say(home, holdInput(two, 80, { grant: first?.grant }))
  const [back] = restored
  const genesis = must(sealGenesis(rootSigner(back.name, back.root), {
    fed: ledgerHead(view(back))?.federation as never, site: back.name, at: start,
    keys: {
      ...back.keys, log: toHex(keyFor(back.name, 'log 2').publicKey),
      statement: toHex(keyFor(back.name, 'statement 2').publicKey),
    },
    after: { epoch: 1, genesis: view(back).get('ledgerMembers', back.name)?.genesis as Sid,
      closes: [] },
  })).note
  must(step(back, (v) => openEpoch(v, back.name, genesis)))
  for (const [{ note }, peer] of [[lost, one.host], [next, two.host]] as const) {
    must(step(back, (v) => restoreStatement(v, back.name, peer.name, note)))
  }
})

t('no contract is agreed to when its home may have forgotten it', () => {
  const [home, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  const tariff = tell(host, home, tariffInput({ task: 0, core: 1, gib: 0 })).sid
  const old = tell(home, host, offerInput(host, tariff)).sid
  const agree = (at: number): StatementInput =>
    ({ kind: 'contract', to: home.name, at, side: 'agree', contract: old })
  assert.refused(trySay(host, agree(start + contractLifeMs + 1)), 'wrong_state')
  tell(host, home, agree(start + contractLifeMs))
})
