// What two sites say of their books as a whole: payments, reconciliations, and the end of a
// sequence. Each refusal leaves the state untouched (`step` of ledger-sites.ts sees to that).

import { assert, suite } from '../harness.ts'
import type { KeyPair } from '../../protocol/base/crypto.ts'
import { toHex } from '../../protocol/base/crypto.ts'
import type { Sid } from '../../protocol/base/ids.ts'
import { account, directionKey } from '../../protocol/rules/ledger-book.ts'
import {
  balanceOf, issueStatement, logPublic, openEpoch, sealGenesis,
} from '../../protocol/rules/ledger.ts'
import { ownProposalsMax, proposalsMax } from '../../protocol/rules/ledger-accounts.ts'
import { contractLifeMs } from '../../protocol/rules/ledger-holds.ts'
import { directionOf, pairState } from '../../protocol/rules/ledger-pairs.ts'
import type { StatementInput } from '../../protocol/rules/statement.ts'
import { rootSigner, statementSigner } from '../../protocol/rules/statement.ts'
import type { Deal, TestSite } from './ledger-sites.ts'
import {
  acceptInput, agreedDeal, credits, federation, hashOf, hear, heldInput, holdInput, keyFor, must,
  start, step, tell, trySay, usageInput, view,
} from './ledger-sites.ts'

const t = suite('pairs of sites')

function pair(): Deal {
  const [home, host] = federation('home.example', 'host.example')
  return agreedDeal(home!, host!)
}

/** A hold of 1,000,000 that was paid with 500,000. */
function paid(deal: Deal): Sid {
  const { home, host } = deal
  const hold = tell(home, host, holdInput(deal, 1_000_000)).sid
  tell(host, home, heldInput(deal, hold))
  const said = { amount: 500_000, core_s: 1_800, final: 1 } as const
  const usage = tell(host, home, usageInput(deal, hold, said)).sid
  tell(home, host, acceptInput(deal, hold, { usage, amount: 500_000, final: 1 }))
  return hold
}

const payment = (to: TestSite, amount: number, payer: 'author' | 'addressee'): StatementInput => ({
  kind: 'settle', to: to.name, at: start, side: 'offer', amount: credits(amount), payer,
  reference: 'bank 17',
})

function offer(from: TestSite, to: TestSite, change: object = {}): StatementInput {
  const counted = directionOf(view(from), from.name, to.name)
  const direction = directionKey(from.name, to.name)
  return {
    kind: 'reconcile', to: to.name, at: start, side: 'offer', issued: counted.n,
    received: directionOf(view(from), to.name, from.name).n,
    state: pairState(view(from), from.name, to.name, { direction, counted }),
    ...change,
  } as StatementInput
}

const agree = (to: TestSite, reconcile: Sid, at = start): StatementInput =>
  ({ kind: 'reconcile', to: to.name, at, side: 'agree', reconcile })

t('a payment counts when the other says so, whoever was the payer', () => {
  const deal = pair()
  const { home, host } = deal
  paid(deal)
  const owed = (): bigint[] => [home, host].map((at) => balanceOf(view(at), host.name, home.name))
  const mine = tell(home, host, payment(host, 200_000, 'author')).sid
  const theirs = tell(host, home, payment(home, 50_000, 'addressee')).sid
  assert.equal(owed(), [500_000n, 500_000n])
  const said = (to: TestSite, settle: Sid): StatementInput =>
    ({ kind: 'settle', to: to.name, at: start, side: 'agree', settle })
  assert.refused(trySay(home, said(host, mine)), 'unknown_reference')
  assert.refused(trySay(host, said(home, hashOf('-'))), 'unknown_reference')
  tell(host, home, said(home, mine))
  tell(home, host, said(host, theirs))
  assert.equal(owed(), [250_000n, 250_000n])
  assert.refused(trySay(host, said(home, mine)), 'unknown_reference')
  tell(host, home, {
    kind: 'settle', to: home.name, at: start, side: 'forgive', amount: credits(250_000),
    reference: 'a gift',
  })
  assert.equal(owed(), [0n, 0n])
})

t('sums of payments stay within what a sum can carry', () => {
  const { home, host } = pair()
  const most = 2n ** 63n - 1n
  const gift = (amount: bigint): StatementInput => ({
    kind: 'settle', to: home.name, at: start, side: 'forgive', amount: credits(amount),
    reference: '-',
  })
  tell(host, home, gift(most - 1n))
  assert.refused(trySay(host, gift(2n)), 'too_much')
  tell(host, home, gift(1n))
  assert.equal(account(view(home), host.name, home.name).settled, most)
})

t('of many proposals the addressee forgets the oldest, their author only so many', () => {
  const { home, host } = pair()
  const sids = Array.from({ length: proposalsMax + 1 }, (_, at) =>
    tell(home, host, payment(host, at + 1, 'author')).sid)
  const open = (at: TestSite): string[] =>
    [...view(at).entries('ledgerProposals')].map(([sid]) => sid).toSorted()
  assert.equal(open(host), sids.slice(1).toSorted())
  assert.equal(open(home), sids.toSorted())
  for (let left = ownProposalsMax - sids.length; left > 0; left--) {
    must(trySay(home, payment(host, 1, 'author')))
  }
  assert.refused(trySay(home, payment(host, 1, 'author')), 'too_much')
})

t('a reconciliation is agreed where both logs stand the same; what has ended is forgotten', () => {
  const deal = pair()
  const { home, host } = deal
  paid(deal)
  const open = tell(home, host, holdInput(deal, 7)).sid
  assert.refused(trySay(home, offer(home, host, { state: hashOf('-') })), 'wrong_state')
  assert.refused(trySay(home, offer(home, host, { issued: 1 })), 'wrong_state')
  assert.refused(trySay(home, offer(home, host, { received: 0 })), 'wrong_state')
  const before = balanceOf(view(home), host.name, home.name)
  const offered = tell(home, host, offer(home, host)).sid
  assert.refused(trySay(home, agree(host, offered)), 'unknown_reference')
  assert.refused(trySay(host, agree(home, hashOf('-'))), 'unknown_reference')
  tell(host, home, agree(home, offered))
  for (const at of [home, host]) {
    assert.equal([...view(at).entries('ledgerHolds')].map(([sid]) => sid), [open])
    assert.equal(balanceOf(view(at), host.name, home.name), before)
    const [record] = [...view(at).entries('ledgerReconciled')].map(([, one]) => one)
    assert.equal(record!.atEpochMs, start)
  }
  assert.refused(trySay(host, agree(home, offered)), 'unknown_reference')
})

t('who has said or logged more meanwhile does not agree', () => {
  const deal = pair()
  const { home, host } = deal
  const offered = tell(home, host, offer(home, host)).sid
  tell(host, home, { kind: 'credit', to: home.name, at: start, limit: credits(5) })
  assert.refused(trySay(host, agree(home, offered)), 'wrong_state')
  const again = tell(home, host, offer(home, host)).sid
  tell(home, host, holdInput(deal, 7))
  assert.refused(trySay(host, agree(home, again)), 'wrong_state')
})

t('an old contract without open holds is forgotten; one with an open hold stays', () => {
  for (const isUsed of [false, true]) {
    const deal = pair()
    const { home, host } = deal
    paid(deal)
    if (isUsed) tell(home, host, holdInput(deal, 7))
    const later = start + contractLifeMs + 1
    const offered = tell(home, host, offer(home, host, { at: later })).sid
    tell(host, home, agree(home, offered, later))
    for (const at of [home, host]) {
      assert.equal([...view(at).entries('ledgerContracts')].length, isUsed ? 1 : 0)
    }
    const reason = isUsed ? 'wrong_state' : 'unknown_reference'
    assert.refused(trySay(home, holdInput(deal, 7, { at: later })), reason)
  }
})

t('[LEDGER-13] a close fits the sequence that it ends, and the new epoch begins at 1', () => {
  const deal = pair()
  const { home, host } = deal
  const last = directionOf(view(home), home.name, host.name)
  const close = (change: object = {}): StatementInput => {
    const own = directionOf(view(host), host.name, home.name)
    return {
      kind: 'reconcile', to: home.name, at: start, side: 'close', epoch: 2, ends: 1,
      received: last.n, last: last.sid, issued: own.n, own: own.sid, ...change,
    } as StatementInput
  }
  assert.refused(trySay(host, close()), 'wrong_state')
  const { federation: fed } = view(home).get('ledgerHead', 'head')!
  const { genesis } = view(home).get('ledgerMembers', home.name)!
  const fresh = (use: string): KeyPair => keyFor(home.name, `${use} of epoch 2`)
  const keys = { ...home.keys }
  for (const use of ['statement', 'log', 'witness'] as const) {
    keys[use] = toHex(fresh(use).publicKey)
  }
  const note = must(sealGenesis(rootSigner(home.name, home.root), {
    fed, site: home.name, keys, at: start, after: { epoch: 1, genesis, closes: [] },
  })).note
  must(step(home, (v) => openEpoch(v, home.name, note)))
  must(step(host, (v) => logPublic(v, host.name, note)))
  const signer = {
    site: home.name, epoch: 2, statement: statementSigner(home.name, 2, fresh('statement')),
  }
  const limit: StatementInput =
    { kind: 'credit', to: host.name, at: start, limit: credits(3) }
  const says = () => step(home, (v) => issueStatement(v, signer, limit))
  assert.refused(says(), 'wrong_epoch')
  const wrong = [{ received: last.n - 1 }, { last: hashOf('-') }, { ends: 2 }, { epoch: 3 }]
  for (const change of wrong) {
    assert.refused(trySay(host, close(change)), 'wrong_state')
  }
  tell(host, home, close())
  const first = must(says())
  assert.equal(directionOf(view(home), home.name, host.name).n, 1)
  assert.ok(hear(host, home, first.note).ok)
  assert.equal(directionOf(view(host), home.name, host.name).e, 2)
  // Said again it changes nothing: both may have begun anew, and each closes for the other.
  tell(host, home, close())
  assert.equal(directionOf(view(host), home.name, host.name).n, 1)
})
