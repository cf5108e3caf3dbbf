// Attacks on running nodes by a member that signs what it likes with its own real keys: each test
// is one attack, what the honest nodes make of it, and what proves nothing.

import { sha256Hex, toHex } from '../../protocol/base/crypto.ts'
import { microcredits } from '../../protocol/base/units.ts'
import type { Message } from '../../protocol/machine/messages.ts'
import { encodeEvidence } from '../../protocol/rules/evidence.ts'
import { creditLimit, directionOf, logPublic, sealKeys } from '../../protocol/rules/ledger.ts'
import { parseStatement, rootSigner } from '../../protocol/rules/statement.ts'
import { assert, suite } from '../harness.ts'
import type { Site } from '../machine/pair.ts'
import { carry, happen, pass, submitJob, tell, view } from '../machine/pair.ts'
import { keyFor, must } from '../sim/identity.ts'
import { jobWith } from '../sim/users.ts'
import { another, shownLog, signedText } from './liar.ts'
import {
  accusations, allKnow, crafted, credit, entriesOf, evidenceOf, nobodyKnows, remote, running, show,
  sites,
  textOf, twoLeaves,
} from './sites.ts'

const t = suite('lies found by nodes')

t('E3: a second statement with the newest number is found, and everybody hears of it', () => {
  const all = sites()
  const { world, home, liar } = all
  const first = credit(world, liar, home, 5n)
  show(world, liar, home, first)
  const { signer } = liar.self
  show(world, liar, home, another(signer.statement, first, { limit: microcredits(6n) }))
  assert.equal(creditLimit(view(home), liar.name, home.name), 5n)
  allKnow(all, 'double_number')
})

t('E3: a rewritten entry far back is found in the log', () => {
  const all = sites()
  const { world, home, liar } = all
  const notes = [5n, 6n, 7n, 8n].map((limit) => credit(world, liar, home, limit))
  show(world, liar, home, ...notes)
  const { signer } = liar.self
  show(world, liar, home, another(signer.statement, notes[1]!, { limit: microcredits(60n) }))
  assert.equal(creditLimit(view(home), liar.name, home.name), 8n)
  allKnow(all, 'double_number')
})

t('statements that come again, in whatever order, prove nothing', () => {
  const { world, home, liar, third } = sites()
  const notes = [5n, 6n, 7n, 8n].map((limit) => credit(world, liar, home, limit))
  for (const some of [notes, notes, notes.toReversed(), [notes[0]!]]) {
    show(world, liar, home, ...some)
  }
  carry(world)
  const before = entriesOf(home)
  for (let turn = 0; turn < 100; turn++) show(world, liar, home, ...notes)
  assert.equal(entriesOf(home), before, 'spam of old statements does not grow the log')
  nobodyKnows(home, liar, third)
})

t('E3: two public statements with one number, shown as tariffs of two bids', () => {
  const all = sites()
  const { world, home, liar } = all
  const [sid, first] = [...view(liar).entries('tariffNotes')][0]!
  assert.ok(view(home).get('ledgerTariffs', sid), 'the home has heard the first')
  const second = another(liar.self.signer.statement, first, { core_hour: microcredits(1n) })
  submitJob(world, home, jobWith({ place: 'remote', inputs: '', inputs_bytes: 0 }))
  const job = jobWith({ place: 'remote', inputs: '', inputs_bytes: 0, name: 'second' })
  happen(world, home, { kind: 'jobSubmitted', request: 'r', job })
  const swapped = (message: Message, from: Site): boolean => {
    if (message.kind !== 'answer' || from !== liar) return false
    const { parsed, note } = bidNaming(message.note, sha256Hex(textOf(second)))
    if (parsed) tell(world, liar, home, { kind: 'answer', note, tariff: second })
    return true
  }
  carry(world, swapped)
  allKnow(all, 'double_number')

  function bidNaming(note: string, tariff: string): { parsed: boolean, note: string } {
    const [, line = ''] = note.split('\n')
    const said = { ...JSON.parse(line) as object, tariff }
    if (!note.startsWith('gridnode/v1/bid\n')) return { parsed: false, note }
    const signed = signedText(liar.self.signer.statement, 'bid', said as never)
    return { parsed: true, note: signed }
  }
})

t('E3: a malformed statement under the valid key', () => {
  const all = sites()
  const { world, home, liar } = all
  show(world, liar, home, signedText(liar.self.signer.statement, 'credit', '{"a": 1}'))
  allKnow(all, 'malformed')
})

t('a malformed text that nobody has signed proves nothing', () => {
  const { world, home, liar, third } = sites()
  const thief = { ...liar.self.signer.statement, key: third.self.signer.statement.key }
  show(world, liar, home, signedText(thief, 'credit', '{"a": 1}'), 'junk')
  show(world, liar, home, 'gridnode/v1/credit\n{}\n\n— x y\n')
  carry(world)
  nobodyKnows(home, liar, third)
})

t('a lied usage: an amount above the tariff is not logged and proves the lie', () => {
  const all = sites()
  const { world, home, liar } = all
  const { hold, usage } = running(all)
  show(world, liar, home, crafted(world, liar, home, { ...usage, amount: microcredits(12_000n) }))
  assert.equal(view(home).get('ledgerHolds', hold)?.claimed, 0n)
  allKnow(all, 'overcharge')
})

t('a lied usage: more tasks than the hold is for', () => {
  const all = sites()
  const { world, home, liar } = all
  const { hold, usage } = running(all)
  const amount = microcredits(2_000n + 10_000n)
  show(world, liar, home, crafted(world, liar, home, { ...usage, tasks: 2, amount }))
  assert.equal(view(home).get('ledgerHolds', hold)?.claimed, 0n)
  allKnow(all, 'overcharge')
})

t('a lied usage: a claim that falls', () => {
  const all = sites()
  const { world, home, liar } = all
  const { hold, usage } = running(all)
  const first = crafted(world, liar, home, usage)
  show(world, liar, home, first)
  assert.equal(view(home).get('ledgerHolds', hold)?.claimed, 11_000n)
  const { n } = directionOf(view(home), liar.name, home.name)
  show(world, liar, home, another(liar.self.signer.statement, first, {
    n: n + 1, prev: sha256Hex(textOf(first)), core_s: 9, amount: microcredits(10_000n),
  }))
  assert.equal(view(home).get('ledgerHolds', hold)?.claimed, 11_000n)
  allKnow(all, 'fell')
})

t('E1: two heads of one size, heard from two sides', () => {
  const all = sites()
  const { world, home, liar, third } = all
  const log = { name: liar.name, federation: liar.self.federation, log: liar.identity.log }
  const [one, two] = [shownLog(log, ['a', 'b']), shownLog(log, ['a', 'c'])]
  const head = { from: 0, proof: [], also: 0, also_proof: [] }
  for (const at of [home, third]) at.tables.get('heads')?.clear()
  tell(world, liar, home, { kind: 'head', note: one.head, ...head })
  tell(world, liar, third, { kind: 'head', note: two.head, ...head })
  nobodyKnows(home, third)
  tell(world, third, home, { kind: 'heads', notes: [two.head] })
  allKnow(all, 'fork_head')
})

t('a stale head, and a longer one that nobody has linked, prove nothing', () => {
  const { world, home, liar, third } = sites()
  const log = { name: liar.name, federation: liar.self.federation, log: liar.identity.log }
  const head = { from: 0, proof: [], also: 0, also_proof: [] }
  home.tables.get('heads')?.clear()
  tell(world, liar, home, { kind: 'head', note: shownLog(log, ['a', 'b']).head, ...head })
  const stored = [...view(home).entries('heads')].map(([, { note }]) => note)
  assert.equal(stored.length, 1)
  tell(world, liar, home, { kind: 'head', note: shownLog(log, ['a']).head, ...head })
  tell(world, liar, home, { kind: 'head', note: shownLog(log, ['x', 'y', 'z']).head, ...head })
  tell(world, third, home, { kind: 'heads', notes: [shownLog(log, ['x', 'y', 'z']).head] })
  assert.equal([...view(home).entries('heads')].map(([, { note }]) => note), stored)
  nobodyKnows(home, third)
})

t('E2: a document of two receipts is checked by each that hears of it, and passed on', () => {
  const all = sites()
  const { world, home, liar, third } = all
  tell(world, third, home, { kind: 'evidence', document: encodeEvidence(twoLeaves(all)) })
  carry(world)
  pass(world, 61_000)
  const [kept] = evidenceOf(home)
  assert.equal([kept?.proof, kept?.from, kept?.accused], ['fork_leaf', third.name, liar.name])
  assert.equal(evidenceOf(liar).map(({ from }) => from), [home.name])
  assert.equal(accusations(home).length, 1)
})

t('E2: receipts that put two statements at one place of a log', () => {
  const all = sites()
  const { world, home, liar } = all
  running(all)
  happen(world, home, {
    kind: 'jobSubmitted', request: 'r',
    job: jobWith({ ...remote.document, sites: [liar.name], name: 'second' }),
  })
  carry(world)
  pass(world, 3_000)
  const holds = [...home.cold].filter(([key]) => key.startsWith('ledgerEntries/'))
    .map(([, note]) => note as string)
    .filter((note) => note.startsWith('gridnode/v1/hold\n'))
  assert.equal(holds.length, 2)
  const log = { name: liar.name, federation: liar.self.federation, log: liar.identity.log }
  const proofs = holds.map((leaf, turn) => {
    const { statement } = must(parseStatement(leaf))
    assert.ok(statement.kind === 'hold')
    const leaves = ['a', 'b', leaf, ...Array.from({ length: turn }, () => 'more')]
    return { e: 1, n: statement.n, proof: shownLog(log, leaves).receipt(2) }
  })
  tell(world, liar, home, { kind: 'receipts', proofs: proofs.slice(0, 1) })
  nobodyKnows(home)
  tell(world, liar, home, { kind: 'receipts', proofs })
  allKnow(all, 'fork_leaf')
})

t('E3: two statements of new keys with one number; what a thief says there is no proof', () => {
  const all = sites()
  const { world, home, liar } = all
  const { site, root } = liar.identity
  const fresh = (use: string): string => toHex(keyFor(site, use).publicKey)
  const rekeyed = (turn: number): string => must(sealKeys(view(liar), rootSigner(site, root), {
    statement: fresh(`statement ${turn}`), witness: fresh(`witness ${turn}`), last: [],
    at: world.nowMs,
  })).note
  const [first, second] = [rekeyed(2), rekeyed(3)]
  const { genesis, policy } = view(home).get('members', site)!
  const told = (note: string): void => void tell(world, liar, home, {
    kind: 'members', members: [{ genesis, policy, addresses: [], renewals: [note] }],
  })
  const [, tariff] = [...view(liar).entries('tariffNotes')][0]!
  const { n, prev } = must(parseStatement(first)).statement as { n: number, prev: string }
  const stolen = another(liar.self.signer.statement, tariff, { n, prev })
  told(first)
  const trial = view(home)
  assert.refused(logPublic(trial, home.name, stolen), 'bad_signature')
  nobodyKnows(home)
  told(second)
  carry(world)
  assert.equal(evidenceOf(home).map(({ proof }) => proof), ['double_number'])
})
