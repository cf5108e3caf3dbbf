// Receipts: proven in groups, checked before they are kept, asked for again, and believed of no
// other statement, log or key.

import { toHex } from '../../protocol/base/crypto.ts'
import { formatCheckpoint } from '../../protocol/base/checkpoint.ts'
import { signNote } from '../../protocol/base/note.ts'
import { parseTlogProof, verifyTlogProof } from '../../protocol/base/tlog-proof.ts'
import type { KeptReceipt } from '../../protocol/machine/log-records.ts'
import type { MessageOf } from '../../protocol/machine/messages.ts'
import { openHead } from '../../protocol/rules/ledger-book.ts'
import { logOrigin, parseStatement } from '../../protocol/rules/statement.ts'
import { assert, suite } from '../harness.ts'
import { receiptsShown } from '../sim/show-head.ts'
import { jobWith } from '../sim/users.ts'
import type { Site, World } from './pair.ts'
import { carry, federation, happen, pass, runAll, submitJob, takeAll, tell, view } from './pair.ts'

const t = suite('receipts')

type Receipts = MessageOf<'receipts'>

/** What the site's shell would send of what its core asked for. */
function proven(site: Site): Receipts[] {
  const at = site.effects.filter((effect) => effect.kind === 'giveReceipts')
  for (const effect of at) site.effects.splice(site.effects.indexOf(effect), 1)
  return at.map((effect) => receiptsShown(
    (table, key) => view(site).get(table as 'jobs', key) ?? site.cold.get(`${table}/${key}`),
    site.identity.log, effect,
  )!)
}

function kept(site: Site): KeptReceipt[] {
  return [...site.cold].filter(([key]) => key.startsWith('receipts/'))
    .map(([, value]) => value as KeptReceipt)
}

function wanted(site: Site): number {
  return [...view(site).entries('receiptsWanted')].length
}

/** A job from call to payment: hold, held, usage, accept. */
function walked(): [World, Site, Site] {
  const [world, home, host] = federation(2) as [World, Site, Site]
  submitJob(world, home, jobWith({ place: 'remote', inputs: '', inputs_bytes: 0 }))
  pass(world, 2_000)
  runAll(world, host)
  takeAll(world, home)
  return [world, home, host]
}

/** Both give what they owe. */
function exchange(world: World, left: Site, right: Site): void {
  for (const _ of [1, 2]) {
    pass(world, 3_000)
    for (const message of proven(left)) tell(world, left, right, message)
    for (const message of proven(right)) tell(world, right, left, message)
    carry(world)
  }
}

t('[RECEIPT-1] whatever matters is proven by the log of its addressee', () => {
  const [world, home, host] = walked()
  pass(world, 70_000)
  exchange(world, home, host)
  for (const [author, other] of [[home, host], [host, home]] as const) {
    assert.equal(wanted(author), 0)
    assert.equal(view(author).get('receiptsMissing', other.name), undefined)
    assert.equal(view(author).get('timers', `wanted/${other.name}`), undefined)
    const { federation: fed, epoch } = openHead(view(other))
    const log = {
      name: logOrigin(other.name, fed, epoch), publicKey: other.identity.log.publicKey,
    }
    const entries = [...author.cold].filter(([key]) => key.startsWith('ledgerEntries/'))
      .map(([, note]) => parseStatement(note as string)).filter((one) => one.ok)
    const kinds = new Set<string>()
    for (const [key] of [...author.cold].filter(([name]) => name.startsWith('receipts/'))) {
      const receipt = author.cold.get(key) as KeptReceipt
      const said = entries.find(({ value }) => value.sid === key.slice('receipts/'.length))!.value
      kinds.add(said.statement.kind)
      const proof = assert.accepted(parseTlogProof(receipt.proof))
      const at = assert.accepted(verifyTlogProof(proof, { leaf: Buffer.from(said.note), log }))
      assert.equal(at.index, receipt.index)
    }
    for (const kind of author === home ? ['hold', 'accept'] : ['held', 'usage']) {
      assert.ok(kinds.has(kind), `${author.name} has receipts of: ${[...kinds].join(' ')}`)
    }
  }
})

t('one head proves a whole group', () => {
  const [world, , host] = walked()
  pass(world, 3_000)
  const heads = (messages: Receipts[]): Set<string> =>
    new Set(messages.flatMap(({ proofs }) => proofs)
      .map(({ proof }) => proof.slice(proof.indexOf('\n\n'))))
  assert.ok(heads(proven(host)).size <= 2, 'statements seconds apart share a head')
})

t('a lost receipt is asked for, also after a restart of either side', () => {
  const [world, home, host] = walked()
  pass(world, 3_000)
  proven(home)
  proven(host)
  assert.ok(wanted(home) > 0)
  // What is owed is not stored: the receiver has forgotten it.
  host.tables.delete('receiptsOwed')
  pass(world, 70_000)
  exchange(world, home, host)
  assert.equal([wanted(home), wanted(host)], [0, 0])
})

t('and on the next connection, when the peer was away', () => {
  const [world, home, host] = walked()
  for (const [site, other] of [[home, host], [host, home]] as const) {
    happen(world, site, { kind: 'peerWentDown', site: other.name })
    proven(site)
  }
  pass(world, 120_000)
  assert.equal([proven(home), proven(host)], [[], []])
  for (const [site, other] of [[home, host], [host, home]] as const) {
    happen(world, site, { kind: 'peerCameUp', site: other.name })
  }
  carry(world)
  exchange(world, home, host)
  assert.equal([wanted(home), wanted(host)], [0, 0])
})

t('what nobody proves in a month is given up', () => {
  const [world, home] = walked()
  const before = wanted(home)
  assert.ok(before > 0)
  world.nowMs += 31 * 86_400_000
  happen(world, home, { kind: 'woken' })
  assert.equal(wanted(home), 0)
  assert.equal(view(home).get('counters', 'receipts_given_up'), before)
})

t('[RECEIPT-1] no proof of another statement, index, log or key is kept', () => {
  const [world, home, host] = walked()
  pass(world, 3_000)
  const [first] = proven(host)
  const { proofs } = first!
  const before = wanted(home)
  const foreign = (change: (proof: string) => string): Receipts =>
    ({ kind: 'receipts', proofs: proofs.map((one) => ({ ...one, proof: change(one.proof) })) })
  const other = proofs.length > 1 ? proofs.map(({ proof }, at) =>
    ({ ...proofs[at]!, proof: proofs[(at + 1) % proofs.length]!.proof === proof ? ''
      : proofs[(at + 1) % proofs.length]!.proof })) : []
  tell(world, host, home, { kind: 'receipts', proofs: other })
  tell(world, host, home, foreign((proof) => proof.replace(/index (\d+)/, (_, at: string) =>
    `index ${Number(at) + 1}`)))
  tell(world, host, home, foreign(() => 'c2sp.org/tlog-proof@v1\n'))
  // Signed by a key that is not the log's.
  const { federation: fed, frontier } = openHead(view(host))
  const name = logOrigin(host.name, fed, 1)
  const text = formatCheckpoint({ origin: name, size: frontier.size, rootHash: new Uint8Array(32) })
  const forged = signNote(text, { name, key: home.identity.log })
  tell(world, host, home, foreign((proof) => proof.replace(/\n\n[^]*/, `\n\n${forged}`)))
  assert.equal([wanted(home), kept(home)], [before, []])
  assert.equal(view(home).get('counters', 'receipts_refused'), other.length + 3 * proofs.length)
})

t('[RECEIPT-2] a receipt under a second root of one size is a proof', () => {
  const [world, home, host] = walked()
  exchange(world, home, host)
  submitJob(world, home, jobWith({ place: 'remote', inputs: '', inputs_bytes: 0, name: 'again' }))
  pass(world, 4_000)
  const { federation: fed, frontier } = openHead(view(host))
  const name = logOrigin(host.name, fed, 1)
  const sign = (rootHash: Uint8Array): string => signNote(
    formatCheckpoint({ origin: name, size: frontier.size, rootHash }),
    { name, key: host.identity.log })
  const shown = proven(host).flatMap(({ proofs }) => proofs)
  assert.ok(shown.length > 0)
  // The home has cosigned another head of this very size.
  const note = sign(new Uint8Array(32).fill(7))
  home.tables.get('heads')?.clear()
  home.tables.set('heads', new Map([[name, {
    site: host.name, origin: name, size: frontier.size, root: toHex(new Uint8Array(32).fill(7)),
    note, seenEpochMs: world.nowMs,
  }]]))
  tell(world, host, home, { kind: 'receipts', proofs: shown })
  const [evidence] = [...view(home).entries('evidence')].map(([, one]) => one)
  assert.equal([evidence?.accused, evidence?.proof], [host.name, 'fork_head'])
})
