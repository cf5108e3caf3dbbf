// What a member may do to the memory, the log and the process of an honest site: all of it within
// the rules of the ledger, none of it without a bound.

import { keyPairFromSeed, sha256, sha256Hex, toHex } from '../../protocol/base/crypto.ts'
import { formatCheckpoint } from '../../protocol/base/checkpoint.ts'
import { signNote } from '../../protocol/base/note.ts'
import { microcredits, microcreditsMax } from '../../protocol/base/units.ts'
import { compareHead, onChallengeDue } from '../../protocol/machine/heads.ts'
import { creditLeft } from '../../protocol/machine/home-book.ts'
import type { MemberRecord } from '../../protocol/machine/state.ts'
import type { Turn } from '../../protocol/machine/turn.ts'
import { openHead } from '../../protocol/rules/ledger-book.ts'
import { directionOf } from '../../protocol/rules/ledger.ts'
import { readJoinAnswer, renewalsMax } from '../../protocol/rules/membership.ts'
import { logOrigin, rootSigner, sealStatement } from '../../protocol/rules/statement.ts'
import { assert, suite } from '../harness.ts'
import { genesisOf, identityOf, must } from '../sim/identity.ts'
import type { Site, World } from './pair.ts'
import { commit, federation, happen, startMs, state, tell, view } from './pair.ts'

const t = suite('floods')

/** A part of a step, for what is not asked for by a message alone. */
function within<T>(world: World, site: Site, work: (turn: Turn) => T): T {
  const draft = view(site)
  const turn: Turn = {
    self: site.self, now: world.nowMs, view: draft, effects: [], trailing: [], toPlace: new Set(),
    toDeliver: new Set(), toReport: new Set(), toAck: new Set(), cosigned: new Set(),
    freedQueues: new Set(),
  }
  const done = work(turn)
  commit(site, draft.writes())
  return done
}

/** Changes of keys without end, each rightly signed and in its place. */
function renewals(of: Site, count: number): string[] {
  const { federation: fed } = openHead(view(of))
  let { n, sid: prev } = directionOf(view(of), of.name, '*')
  return Array.from({ length: count }, () => {
    const made = (use: string) =>
      toHex(keyPairFromSeed(sha256(`${of.name} ${use} ${n}`)).publicKey)
    const parsed = must(sealStatement({
      kind: 'key', e: 1, fed, from: of.name, to: '*', n: ++n, prev, at: startMs,
      statement: made('statement'), witness: made('witness'), last: [],
    }, rootSigner(of.name, of.identity.root)))
    prev = parsed.sid
    return parsed.note
  })
}

t('keys that a member changes without end end up in no log', () => {
  const [world, a, b] = federation(2) as [World, Site, Site]
  const { genesis, policy, addresses } = view(a).get('members', b.name) as MemberRecord
  const all = renewals(b, renewalsMax + 72)
  const before = openHead(view(a)).frontier.size
  for (let at = 0; at < all.length; at += 50) {
    tell(world, b, a, {
      kind: 'members',
      members: [{ genesis, policy, addresses, renewals: all.slice(at, at + 50) }],
    })
  }
  assert.equal(openHead(view(a)).frontier.size - before, renewalsMax)
  assert.equal(view(a).get('ledgerMembers', b.name)?.retired.length, renewalsMax)
  assert.equal(view(a).get('members', b.name)?.renewals.length, renewalsMax)
}, { timeoutSeconds: 120 })

t('a newcomer gets an answer, however much two members have to be told of', () => {
  const [world, a, b, c] = federation(3) as [World, Site, Site, Site]
  const draft = view(a)
  for (const { name } of [b, c]) {
    const member = draft.get('members', name) as MemberRecord
    const long = Array.from({ length: renewalsMax }, () => '"'.repeat(16_000))
    draft.put('members', name, { ...member, renewals: long })
  }
  commit(a, draft.writes())
  const newcomer = identityOf(7)
  const secret = '11'.repeat(16)
  happen(world, a, {
    kind: 'inviteRequested', request: 'i', secretHash: sha256Hex(secret),
    expiresEpochMs: world.nowMs + 60_000,
  })
  const genesis = genesisOf(newcomer, openHead(view(a)).federation, world.nowMs)
  const encoded = JSON.stringify({ addresses: newcomer.addresses, genesis, secret })
  const effects = happen(world, a, { kind: 'joinRequested', request: 'j', encoded })
  const [answer] = effects.flatMap((one) => one.kind === 'answer' ? [one.answer] : [])
  if (answer?.kind !== 'joined') throw new Error(`not admitted: ${JSON.stringify(answer)}`)
  assert.equal(must(readJoinAnswer(answer.encoded)).members.length, 4)
})

t('a host that gives us all the credit there is, twice, stops no home', () => {
  const [world, a, b] = federation(2) as [World, Site, Site]
  state(world, b, a, { kind: 'credit', to: a.name, limit: microcredits(microcreditsMax) })
  for (const amount of [microcreditsMax - 5n, 5n]) {
    state(world, b, a, {
      kind: 'settle', to: a.name, side: 'forgive', amount: microcredits(amount), reference: '-',
    })
  }
  assert.equal(within(world, a, (turn) => creditLeft(turn, b.name)), microcreditsMax)
})

function headOf(of: Site, epoch: number, size: number) {
  const origin = logOrigin(of.name, openHead(view(of)).federation, epoch)
  const checkpoint = { origin, size, rootHash: sha256(`root of ${size}`) }
  const note = signNote(formatCheckpoint(checkpoint), { name: origin, key: of.identity.log })
  return { note, checkpoint }
}

t('no log is asked to go on with an epoch that is over', () => {
  const [world, a, b] = federation(2) as [World, Site, Site]
  const [known, other] = [headOf(b, 1, 9), headOf(b, 1, 5)]
  within(world, a, (turn) => turn.view.put('heads', known.checkpoint.origin, {
    site: b.name, origin: known.checkpoint.origin, size: 9, note: known.note, seenEpochMs: 0,
    root: toHex(known.checkpoint.rootHash) as never,
  }))
  assert.ok(within(world, a, (turn) => compareHead(turn, b.name, other)))
  assert.ok(view(a).get('challenges', other.checkpoint.origin))
  within(world, a, (turn) => {
    const member = turn.view.get('ledgerMembers', b.name)
    if (member) turn.view.put('ledgerMembers', b.name, { ...member, epoch: 2 })
    onChallengeDue(turn, other.checkpoint.origin)
  })
  assert.equal(view(a).get('challenges', other.checkpoint.origin), undefined)
  assert.ok(!within(world, a, (turn) => compareHead(turn, b.name, other)))
  assert.equal(view(a).get('challenges', other.checkpoint.origin), undefined)
})

t('who may have forgotten what it has cosigned cosigns nothing', () => {
  const [world, a, b] = federation(2) as [World, Site, Site]
  const show = (size: number) => {
    const { note } = headOf(b, 1, size)
    const shown = { kind: 'head', note, from: 0, proof: [], also: 0, also_proof: [] } as const
    return tell(world, b, a, shown)
  }
  const cosigned = (effects: ReturnType<typeof show>): boolean =>
    effects.some((one) => one.kind === 'send' && one.message.kind === 'cosigned')
  within(world, a, (turn) =>
    turn.view.put('quarantine', 'own', { peer: b.name, detail: '-', epochMs: 0 }))
  assert.ok(!cosigned(show(4)))
  within(world, a, (turn) => {
    turn.view.remove('quarantine', 'own')
    turn.view.remove('heads', headOf(b, 1, 4).checkpoint.origin)
  })
  assert.ok(cosigned(show(4)))
})
