// What comes of a proof, and of what is none: each test is one attack on the nodes that keep them,
// on their credit or on their memory, and what it must not move.

import { sha256Hex } from '../../protocol/base/crypto.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { microcredits, zeroMicrocredits } from '../../protocol/base/units.ts'
import type { Message } from '../../protocol/machine/messages.ts'
import type { Evidence } from '../../protocol/rules/evidence.ts'
import { encodeEvidence } from '../../protocol/rules/evidence.ts'
import { account, directionKey } from '../../protocol/rules/ledger-book.ts'
import { balanceOf, creditLimit, directionOf } from '../../protocol/rules/ledger.ts'
import { assert, suite } from '../harness.ts'
import type { Site } from '../machine/pair.ts'
import {
  carry, federation, happen, homeTranches, hostTranches, pass, runAll, submitJob, takeAll, tell,
  view,
} from '../machine/pair.ts'
import { jobWith } from '../sim/users.ts'
import { another, signedText } from './liar.ts'
import {
  accusations, allKnow, announce, crafted, credit, entriesOf, evidenceOf, nobodyKnows, prove,
  remote, running, show, sites, textOf, twoLeaves,
} from './sites.ts'

const t = suite('what comes of a proof')

t('a false accusation is refused, counted against who brought it, and changes nothing', () => {
  const all = sites()
  const { world, home, liar, third } = all
  const fork = twoLeaves(all) as Extract<Evidence, { kind: 'fork_leaf' }>
  const first = credit(world, liar, home, 5n)
  show(world, liar, home, first)
  carry(world)
  const before = { entries: entriesOf(home), tables: snapshot(home) }
  const false_: Evidence[] = [
    { ...fork, second: fork.first },
    { kind: 'double_number', first, second: first },
    { kind: 'malformed', note: first },
    { kind: 'fork_head', first: 'x', second: 'y' },
  ]
  for (const evidence of false_) {
    tell(world, third, home, { kind: 'evidence', document: encodeEvidence(evidence) })
  }
  tell(world, third, home, { kind: 'evidence', document: 'no document' })
  assert.equal({ entries: entriesOf(home), tables: snapshot(home) }, before)
  const counters = new Map(view(home).entries('counters'))
  assert.equal(counters.get(`evidence_false_from_${third.name}`), 5)
  assert.equal([counters.get('evidence_refused_proves_nothing'),
    counters.get('evidence_refused_malformed')], [3, 2])
  nobodyKnows(home, third)
})

/** All that is stored, as text. */
function snapshot(at: Site): string {
  const volatile = new Set(['counters', 'evidenceSent', 'links'])
  const tables = [...at.tables].filter(([name]) => !volatile.has(name))
    .map(([name, records]) => [name, [...records]])
  return JSON.stringify(tables, (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value)
}

t('spam of true documents: one is kept for a site and epoch, the log says it once', () => {
  const all = sites()
  const { world, home, liar, third } = all
  const first = credit(world, liar, home, 5n)
  for (let limit = 10n; limit < 60n; limit++) {
    const second = another(liar.self.signer.statement, first, { limit: microcredits(limit) })
    const document = encodeEvidence({ kind: 'double_number', first, second })
    tell(world, third, home, { kind: 'evidence', document })
  }
  const sent = home.out.filter(({ message }) => message.kind === 'evidence')
  assert.equal(sent.map(({ to }) => to), [liar.name], 'who has shown one has one')
  carry(world)
  pass(world, 130_000)
  assert.equal(evidenceOf(home).length, 1)
  assert.equal(accusations(home).length, 1)
})

t('documents are shown once to each connection, and to who comes back without them', () => {
  const all = sites()
  const { world, home, liar, third } = all
  const shown: SiteName[] = []
  const watch = (message: Message, from: Site): boolean => {
    if (message.kind === 'evidence' && from === home) shown.push(third.name)
    return false
  }
  happen(world, home, { kind: 'peerWentDown', site: third.name })
  happen(world, third, { kind: 'peerWentDown', site: home.name })
  happen(world, third, { kind: 'peerWentDown', site: liar.name })
  happen(world, home, { kind: 'peerWentDown', site: liar.name })
  happen(world, liar, { kind: 'peerWentDown', site: third.name })
  show(world, liar, home, signedText(liar.self.signer.statement, 'credit', '{"a": 1}'))
  carry(world, watch)
  assert.equal(shown, [])
  for (let turn = 0; turn < 20; turn++) {
    tell(world, third, home, { kind: 'evidence_known', known: [] })
  }
  happen(world, home, { kind: 'peerCameUp', site: third.name })
  happen(world, third, { kind: 'peerCameUp', site: home.name })
  carry(world, watch)
  for (let turn = 0; turn < 20; turn++) {
    tell(world, third, home, { kind: 'evidence_known', known: [] })
  }
  carry(world, watch)
  assert.equal(shown, [third.name], 'asked again and again, it is shown once')
  assert.equal(evidenceOf(third).map(({ from }) => from), [home.name])
})

t('a proven liar gets no bid, an open one is taken back', () => {
  const all = sites()
  const { world, home, liar } = all
  announce(world, liar, home)
  assert.equal([...view(home).entries('openBids')].length, 1)
  prove(all)
  assert.equal([...view(home).entries('openBids')].length, 0)
  announce(world, liar, home)
  assert.equal([...view(home).entries('openBids')].length, 0)
  assert.equal(view(home).get('counters', 'call_refused_credit'), 1)
})

t('a proven liar is not asked and gets no award; others do the work', () => {
  const all = sites()
  const { world, home, liar, third } = all
  prove(all)
  carry(world)
  submitJob(world, home, jobWith({ ...remote.document, tasks: '1-3', array: 1 }))
  pass(world, 10_000)
  assert.equal([...new Set(homeTranches(home).map(({ host }) => host))], [third.name])
  const entries = [...view(home).entries('auctions')].map(([, auction]) =>
    auction.entries[liar.name])
  assert.equal(entries.map((entry) => entry?.kind === 'unfit' && entry.reason), ['frozen'])
})

t('what runs at a proven liar goes on, is claimed and paid; nothing new goes there', () => {
  const all = sites()
  const { world, home, liar, third } = all
  submitJob(world, home, jobWith({
    ...remote.document, sites: [liar.name], tasks: '1-20', array: 1,
  }))
  const before = homeTranches(home).length
  prove(all)
  carry(world)
  runAll(world, liar)
  takeAll(world, home)
  pass(world, 5_000)
  const [first] = homeTranches(home)
  assert.equal(first?.state, { kind: 'settled', how: 'accepted' })
  assert.ok(balanceOf(view(liar), liar.name, home.name) > 0n, 'the liar is owed its work')
  assert.equal(homeTranches(home).length, before, 'no other tranche was awarded')
  assert.equal(evidenceOf(third).length, 1)
})

t('a fork cancels no debt: what the liar owes it owes', () => {
  const all = sites()
  const { world, home, liar } = all
  // The liar is the home this time: it accepted a claim, and now denies it.
  submitJob(world, liar, jobWith({ ...remote.document, sites: [home.name] }))
  runAll(world, home)
  takeAll(world, liar)
  const owed = balanceOf(view(home), home.name, liar.name)
  assert.ok(owed > 0n, 'work was done and accepted')
  const accept = accepted(home)
  const { signer } = liar.self
  show(world, liar, home, another(signer.statement, accept, { amount: zeroMicrocredits, final: 0 }))
  allKnow(all, 'double_number')
  assert.equal(balanceOf(view(home), home.name, liar.name), owed)
  assert.equal(account(view(home), home.name, liar.name).posted, owed)
})

/** The newest acceptance in a log. */
function accepted(at: Site): string {
  return [...at.cold].filter(([key]) => key.startsWith('ledgerEntries/'))
    .map(([, note]) => note as string).findLast((note) =>
      note.startsWith('gridnode/v1/accept\n'))!
}

t('only a person gives credit to a proven liar again; a restart does not', () => {
  const all = sites()
  const { world, home, liar } = all
  prove(all)
  carry(world)
  pass(world, 61_000)
  const { addresses } = home.identity
  happen(world, home, { kind: 'started', addresses })
  carry(world)
  assert.ok(view(home).get('ledgerFrozen', liar.name))
  const limit = creditLimit(view(home), home.name, liar.name)
  happen(world, home, { kind: 'creditRequested', request: 'r', site: liar.name, limit })
  assert.equal(view(home).get('ledgerFrozen', liar.name), undefined)
  carry(world)
  pass(world, 130_000)
  assert.equal(view(home).get('ledgerFrozen', liar.name), undefined, 'the same proof says no more')
  announce(world, liar, home)
  assert.equal([...view(home).entries('openBids')].length, 1)
})

t('a person may decide before the own log has said it', () => {
  const all = sites()
  const { world, home, liar } = all
  prove(all)
  const limit = microcredits(7n)
  happen(world, home, { kind: 'creditRequested', request: 'r', site: liar.name, limit })
  assert.equal(accusations(home).length, 1)
  assert.equal(view(home).get('ledgerFrozen', liar.name), undefined)
  carry(world)
  pass(world, 130_000)
  assert.equal(view(home).get('ledgerFrozen', liar.name), undefined)
  assert.equal(accusations(home).length, 1)
})

t('withheld entries: what comes after a gap is not logged, the gap is asked for', () => {
  const { world, home, liar, third } = sites()
  const notes = [5n, 6n, 7n].map((limit) => credit(world, liar, home, limit))
  const before = entriesOf(home)
  const { n } = directionOf(view(home), liar.name, home.name)
  home.out.length = 0
  show(world, liar, home, notes[2]!)
  assert.equal(entriesOf(home), before)
  const asked = home.out.flatMap(({ message }) =>
    message.kind === 'statements' ? [message.have] : [])
  assert.equal(asked.at(-1), n)
  show(world, liar, home, ...notes)
  assert.equal(creditLimit(view(home), liar.name, home.name), 7n)
  nobodyKnows(home, third)
})

t('replay across federations and directions: not logged, and it proves nothing', () => {
  const { world, home, liar, third } = sites()
  const honest = credit(world, liar, home, 5n)
  const { statement } = liar.self.signer
  const before = entriesOf(home)
  show(world, liar, home, another(statement, honest, { fed: sha256Hex('another') }))
  show(world, liar, home, another(statement, honest, { to: third.name }))
  show(world, third, home, honest)
  show(world, liar, home, another(statement, honest, { e: 2 }))
  assert.equal(entriesOf(home), before)
  nobodyKnows(home, third)
})

t('an overdraft: holds beyond the limit are declined, the exposure stays within it', () => {
  const limits = new Map([[sites().liar.name, microcredits(150_000n)]])
  const [world, host, liar] = federation(2, [
    { credit: { defaultLimit: zeroMicrocredits, limits } },
  ])
  // The home believes that it may owe more, and sends holds for all of its tasks.
  liar!.tables.get('ledgerCredits')!.set(directionKey(host!.name, liar!.name), {
    limit: microcredits(10n ** 12n),
  })
  submitJob(world, liar!, jobWith({ ...remote.document, tasks: '1-8', array: 1 }))
  pass(world, 30_000)
  const books = account(view(host!), host!.name, liar!.name)
  assert.ok(books.held <= 150_000n, `held ${books.held}`)
  const said = [...host!.cold].filter(([key]) => key.startsWith('ledgerEntries/'))
    .filter(([, note]) => (note as string).startsWith('gridnode/v1/held\n'))
  const sums = [...view(host!).entries('ledgerHolds')].map(([, { state }]) => state)
  assert.ok(sums.every((state) => state !== 'asked'), `each hold is answered: ${sums.join()}`)
  assert.ok(BigInt(said.length) * 61_000n <= 150_000n)
})

t('a refused acceptance: the host ends in a defined state, and silence proves nothing', () => {
  const { world, home, liar, third } = sites()
  submitJob(world, liar, jobWith({ ...remote.document, sites: [home.name] }))
  runAll(world, home)
  // The home takes the results and never says a word again.
  takeAll(world, liar, (_, from) => from === liar)
  pass(world, 600_000, (_, from) => from === liar)
  const [tranche] = hostTranches(home)
  assert.ok(['claimed', 'settling'].includes(tranche?.phase ?? 'none'), tranche?.phase)
  world.nowMs += 2 * 86_400_000
  pass(world, 5_000, (_, from) => from === liar)
  const left = hostTranches(home).map(({ phase }) => phase)
  assert.ok(left.every((phase) => phase === 'settled'), `ended: ${left.join()}`)
  const open = [...view(home).entries('ledgerHolds')].map(([, { state, claimed }]) =>
    [state, claimed > 0n])
  assert.equal(open, [['held', true]], 'the claim stays open on the ledger')
  nobodyKnows(home, third)
})

t('spam of claims: a hold has at most 64 that wait', () => {
  const all = sites()
  const { world, home, liar, third } = all
  const { hold, usage } = running(all)
  home.tables.get('homeTranches')?.clear()
  let before = entriesOf(home)
  const note = crafted(world, liar, home, usage)
  let [n, prev] = [directionOf(view(home), liar.name, home.name).n, '']
  for (let turn = 0; turn < 100; turn++) {
    const next = turn === 0 ? note
      : another(liar.self.signer.statement, note, { n: n + 1, prev, at: world.nowMs + turn })
    show(world, liar, home, next)
    if (directionOf(view(home), liar.name, home.name).n === n) break
    n += 1
    prev = sha256Hex(textOf(next))
  }
  assert.equal(entriesOf(home) - before, 64)
  assert.equal(view(home).get('ledgerHolds', hold)?.claims.length, 64)
  before = entriesOf(home)
  for (let turn = 0; turn < 100; turn++) {
    show(world, liar, home, another(liar.self.signer.statement, note, { n: n + 1, prev }))
  }
  assert.equal(entriesOf(home), before)
  nobodyKnows(home, third)
})

t('proof against ourselves is kept for the operator; we do not freeze ourselves', () => {
  const all = sites()
  const { world, liar, third } = all
  const document = encodeEvidence({
    kind: 'malformed', note: signedText(liar.self.signer.statement, 'credit', '{"a": 1}'),
  })
  tell(world, third, liar, { kind: 'evidence', document })
  pass(world, 61_000)
  assert.equal(view(liar).get('counters', 'evidence_against_us'), 1)
  assert.equal(evidenceOf(liar).map(({ accused, sid }) => [accused, sid]), [[liar.name, '']])
  assert.equal([...view(liar).entries('ledgerFrozen')], [])
})
