// What concerns everybody: the federation's policy, allocations, new keys, evidence, snapshots.
// Each refusal leaves the state untouched (`step` of ledger-sites.ts sees to that).

import { assert, suite } from '../harness.ts'
import { toHex } from '../../protocol/base/crypto.ts'
import {
  changeKeys, issueStatement, logPublic, sealKeys,
} from '../../protocol/rules/ledger.ts'
import type { StatementInput } from '../../protocol/rules/statement.ts'
import { rootSigner, statementSigner } from '../../protocol/rules/statement.ts'
import type { TestSite } from './ledger-sites.ts'
import {
  agreedDeal, credits, federation, hashOf, hear, heldInput, holdInput, keyFor, must, say, start,
  step, tell, trySay, view,
} from './ledger-sites.ts'

const t = suite('what concerns everybody')

function three(): [TestSite, TestSite, TestSite] {
  return federation('a.example', 'b.example', 'c.example') as [TestSite, TestSite, TestSite]
}

const policy = (change: object = {}): StatementInput => ({
  kind: 'policy', about: 'federation', to: '*', at: start, version: 1, witnesses: [], quorum: 0,
  authorities: [], ...change,
}) as StatementInput

t('[LEDGER-10] only the founder sets the policy, and no version twice', () => {
  const [a, b] = three()
  assert.refused(trySay(b, policy()), 'wrong_state')
  const first = say(a, policy({ version: 2 }))
  assert.refused(trySay(a, policy({ version: 2, authorities: [b.name] })), 'wrong_state')
  must(step(b, (v) => logPublic(v, b.name, first.note)))
  // An older one that comes late changes nothing.
  say(a, policy({ version: 1, authorities: [b.name] }))
  assert.equal(view(a).get('ledgerPolicy', 'federation')!.authorities, [])
})

t('[LEDGER-10] a quorum is more than two thirds of witnesses who are named once', () => {
  const [a, b, c] = three()
  const names = [a.name, b.name, c.name]
  for (const [witnesses, quorum] of [
    [names, 2], [names, 4], [names, 0], [[], 1], [[a.name, a.name, b.name], 3],
  ] as const) assert.refused(trySay(a, policy({ witnesses, quorum })), 'wrong_state')
  assert.ok(trySay(a, policy({ witnesses: names, quorum: 3 })).ok)
})

t('[LEDGER-11] an allocation is the word of an authority, and ends after it starts', () => {
  const [a, b, c] = three()
  const grant = (change: object = {}): StatementInput => ({
    kind: 'grant', to: '*', at: start, grantee: c.name, name: 'year', amount: credits(1_000),
    starts: start, until: start + 1, ...change,
  }) as StatementInput
  assert.refused(trySay(b, grant()), 'wrong_state')
  tell(a, b, policy({ authorities: [b.name] }))
  assert.refused(trySay(a, grant()), 'wrong_state')
  assert.refused(trySay(b, grant({ until: start })), 'wrong_state')
  const { sid } = say(b, grant())
  const { amount, held, spent, authority } = view(b).get('ledgerGrants', sid)!
  assert.equal([amount, held, spent, authority], [1_000n, 0n, 0n, b.name])
})

t('[LEDGER-14] who has said that a site lied holds nothing for it until it gives credit', () => {
  const [home, host, third] = three()
  const deal = agreedDeal(home, host)
  const accuse = (accused: TestSite): StatementInput => ({
    kind: 'evidence', to: '*', at: start, accused: accused.name, epoch: 1, proof: 'double_number',
    doc: hashOf('doc'),
  })
  assert.refused(trySay(host, accuse(host)), 'wrong_state')
  // The word of others freezes nothing here.
  tell(third, host, accuse(home))
  const before = tell(home, host, holdInput(deal, 5)).sid
  tell(host, home, heldInput(deal, before))
  tell(host, home, accuse(home))
  const asked = tell(home, host, holdInput(deal, 5)).sid
  assert.refused(trySay(host, heldInput(deal, asked)), 'frozen')
  assert.equal(view(host).get('ledgerHolds', before)!.state, 'held')
  tell(host, home, { kind: 'credit', to: home.name, at: start, limit: credits(10_000_000) })
  assert.ok(trySay(host, heldInput(deal, asked)).ok)
})

t('[LEDGER-15] a snapshot is of all that stands before it', () => {
  const [a] = three()
  const { size } = view(a).get('ledgerHead', 'head')!.frontier
  const snapshot = (of: number): StatementInput =>
    ({ kind: 'snapshot', to: '*', at: start, size: of, state: hashOf('state') })
  assert.refused(trySay(a, snapshot(size - 1)), 'wrong_state')
  assert.refused(trySay(a, snapshot(size + 1)), 'wrong_state')
  assert.ok(trySay(a, snapshot(size)).ok)
})

t('new keys are the root key\'s word; the old one counts as far as they say', () => {
  const [a, b] = three()
  const fresh = keyFor(a.name, 'statement anew')
  const said = {
    statement: toHex(fresh.publicKey), witness: toHex(keyFor(a.name, 'witness anew').publicKey),
    last: [], at: start,
  }
  const seal = (key: TestSite['root'], change: object = {}): string =>
    must(sealKeys(view(a), rootSigner(a.name, key), { ...said, ...change })).note
  const change = (note: string) => step(a, (v) => changeKeys(v, a.name, note))
  assert.refused(change(seal(b.root)), 'bad_signature')
  assert.refused(change('x'), 'malformed')
  const credit: StatementInput = { kind: 'credit', to: b.name, at: start, limit: credits(1) }
  const old = say(a, credit)
  const note = seal(a.root, { last: [{ site: b.name, n: 1 }] })
  must(change(note))
  must(step(b, (v) => logPublic(v, b.name, note)))
  assert.ok(hear(b, a, old.note).ok, 'number 1 was still the old key\'s')
  const signer = { site: a.name, epoch: 1, statement: statementSigner(a.name, 1, fresh) }
  const next = must(step(a, (v) => issueStatement(v, signer, { ...credit, limit: credits(2) })))
  assert.ok(hear(b, a, next.note).ok)
  assert.equal(view(b).get('ledgerMembers', a.name)!.keys.statement, said.statement)
})
