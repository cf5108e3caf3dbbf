// A database that was put back from a backup: found by what peers hold, stopped before it says
// anything, begun anew in a new epoch, and brought together with every peer.

import type { Hash } from '../../protocol/base/ids.ts'
import type { Tables } from '../../protocol/base/tables.ts'
import { microcredits } from '../../protocol/base/units.ts'
import {
  endWork, sealEpoch, sealRotation, takeRenewal,
} from '../../protocol/machine/restore.ts'
import {
  balanceOf, creditLimit, directionOf, isOwnWord, issueStatement,
} from '../../protocol/rules/ledger.ts'
import { account, openHead } from '../../protocol/rules/ledger-book.ts'
import { rootSigner, sealStatement, statementSigner } from '../../protocol/rules/statement.ts'
import { toHex } from '../../protocol/base/crypto.ts'
import { assert, suite } from '../harness.ts'
import { keyFor, must } from '../sim/identity.ts'
import { jobWith } from '../sim/users.ts'
import type { Site, World } from './pair.ts'
import {
  capacity, carry, commit, federation, happen, hostTranches, pass, runAll, submitJob, takeAll, tell,
  view,
} from './pair.ts'

const t = suite('restored sites')

interface Backup {
  readonly tables: Tables
  readonly cold: ReadonlyMap<string, unknown>
}

function backup({ tables, cold }: Site): Backup {
  const copy = new Map([...tables].map(([name, records]) => [name, new Map(records)]))
  return { tables: copy, cold: new Map(cold) }
}

function restore(site: Site, { tables, cold }: Backup): void {
  site.tables.clear()
  for (const [name, records] of tables) {
    if (volatile.has(name)) continue
    site.tables.set(name, new Map(records))
  }
  site.cold.clear()
  for (const [key, value] of cold) site.cold.set(key, value)
}

const volatile = new Set(['links', 'offers', 'capacity', 'heardPeers', 'histories', 'offerState'])

/** The process ends and another one starts; nothing is connected yet. */
function start(world: World, site: Site): void {
  for (const other of world.sites.values()) {
    if (other === site) continue
    happen(world, other, { kind: 'peerWentDown', site: site.name })
    const left = other.out.filter(({ to }) => to !== site.name)
    other.out.splice(0, other.out.length, ...left)
  }
  for (const name of volatile) site.tables.delete(name)
  site.out.length = 0
  happen(world, site, { kind: 'started', addresses: site.identity.addresses })
  happen(world, site, { kind: 'capacityObserved', capacity: capacity() })
}

function meet(world: World, left: Site, right: Site): void {
  happen(world, left, { kind: 'peerCameUp', site: right.name })
  happen(world, right, { kind: 'peerCameUp', site: left.name })
  carry(world)
}

function grant(world: World, site: Site, to: Site, limit: bigint): void {
  happen(world, site, {
    kind: 'creditRequested', request: `r${limit}`, site: to.name, limit: microcredits(limit),
  })
}

/** What lies beside the keys: the root key's notes. */
const renewals = new Map<string, string[]>()
t.before.each(() => renewals.clear())

function takeLost(site: Site, note: string): void {
  const trial = view(site)
  must(takeRenewal(trial, note))
  commit(site, trial.writes())
}

/** What `gridnode ledger recover` does. */
function recover(world: World, site: Site): void {
  const { identity } = site
  const trial = view(site)
  const epoch = openHead(trial).epoch + 1
  const made = (use: string) => keyFor(`${site.name} e${epoch}`, use)
  const keys = {
    ...identity.keys,
    ...Object.fromEntries(['statement', 'log', 'witness'].map((use) =>
      [use, toHex(made(use).publicKey)])),
  }
  const root = rootSigner(site.name, identity.root)
  const { note } = must(sealEpoch(trial, root, { keys, at: world.nowMs }))
  must(takeRenewal(trial, note))
  renewals.set(site.name, [...renewals.get(site.name) ?? [], note])
  endWork(trial, { now: world.nowMs, keepResultsMs: 86_400_000 })
  commit(site, trial.writes())
  const statement = statementSigner(site.name, epoch, made('statement'))
  const signer = { site: site.name, epoch, statement }
  site.identity = { ...identity, keys, log: made('log'), signer }
  site.self = { ...site.self, signer }
}

function mirrored(left: Site, right: Site): void {
  for (const [from, to] of [[left, right], [right, left]] as const) {
    const of = (site: Site) => directionOf(view(site), from.name, to.name)
    assert.equal(of(left), of(right), `${from.name} to ${to.name}`)
    assert.equal(account(view(left), from.name, to.name), account(view(right), from.name, to.name))
  }
  for (const [site, other] of [[left, right], [right, left]] as const) {
    const { epoch } = openHead(view(site))
    assert.equal(directionOf(view(site), site.name, other.name).e, epoch, 'speaks in its epoch')
    assert.equal([...view(site).entries('outbox')], [])
    assert.equal(view(site).get('troubles', other.name), undefined)
  }
}

/** A job of one task of `home` is run at `host` and paid. */
function work(world: World, home: Site, host: Site, nonce: string): void {
  submitJob(world, home, jobWith({
    place: 'remote', inputs: '', inputs_bytes: 0, nonce: nonce.repeat(32), sites: [host.name],
  }))
  pass(world, 3_000)
  assert.equal(hostTranches(host).length, 1, 'the host has taken it')
  runAll(world, host)
  takeAll(world, home)
  pass(world, 1_000)
  for (const effect of host.effects.splice(0)) {
    if (effect.kind !== 'removeTranche') continue
    happen(world, host, { kind: 'trancheRemoved', tranche: effect.tranche })
  }
}

t('[RECOVER-1] a statement of ours that we have lost puts us in quarantine', () => {
  const [world, a, b] = federation(2) as [World, Site, Site]
  const old = backup(a)
  grant(world, a, b, 11n)
  carry(world)
  restore(a, old)
  start(world, a)
  grant(world, a, b, 12n)
  assert.equal(directionOf(view(a), a.name, b.name).n, directionOf(view(b), a.name, b.name).n - 1)
  meet(world, a, b)
  assert.match(view(a).get('quarantine', 'own')?.detail ?? '', /of ours under our own signature/)
  grant(world, a, b, 12n)
  pass(world, 60_000)
  assert.equal(creditLimit(view(b), a.name, b.name), microcredits(11n))
  assert.equal(view(b).get('troubles', a.name), undefined, 'the peer sees no lie')
})

t('[RECOVER-1] a claim without a proof is shown and does nothing else', () => {
  const [world, a, b] = federation(2) as [World, Site, Site]
  const have = directionOf(view(a), a.name, b.name).n + 5
  tell(world, b, a, { kind: 'statements', notes: [], have, have_e: 1, heard: 1 })
  assert.match(view(a).get('troubles', b.name)?.detail ?? '', /it says that it holds/)
  carry(world)
  pass(world, 10_000)
  assert.equal(view(a).get('quarantine', 'own'), undefined)
  grant(world, a, b, 13n)
  carry(world)
  assert.equal(creditLimit(view(b), a.name, b.name), microcredits(13n))
})

t('[RECOVER-2] [RECOVER-3] a restored host gets its books back and is paid again', () => {
  const [world, home, host] = federation(2) as [World, Site, Site]
  work(world, home, host, '1')
  const old = backup(host)
  work(world, home, host, '2')
  const paid = balanceOf(view(home), host.name, home.name)
  assert.ok(paid > 0n)
  restore(host, old)
  assert.ok(balanceOf(view(host), host.name, home.name) < paid)
  recover(world, host)
  start(world, host)
  meet(world, home, host)
  pass(world, 20_000)
  assert.equal(balanceOf(view(host), host.name, home.name), paid)
  mirrored(home, host)
  work(world, home, host, '3')
  pass(world, 10_000)
  assert.ok(balanceOf(view(host), host.name, home.name) > paid)
  mirrored(home, host)
})

t('[RECOVER-3] both restored at once agree on what both hold', () => {
  const [world, home, host] = federation(2) as [World, Site, Site]
  const first = backup(home)
  work(world, home, host, '1')
  const second = backup(host)
  work(world, home, host, '2')
  restore(home, first)
  restore(host, second)
  recover(world, home)
  recover(world, host)
  start(world, home)
  start(world, host)
  meet(world, home, host)
  pass(world, 20_000)
  mirrored(home, host)
  work(world, home, host, '3')
  pass(world, 10_000)
  mirrored(home, host)
})

t('[RECOVER-2] a peer fills the log of who begins anew with nothing but prices', () => {
  const [world, a, b] = federation(2) as [World, Site, Site]
  recover(world, a)
  start(world, a)
  happen(world, a, { kind: 'peerCameUp', site: b.name })
  const before = openHead(view(a)).frontier.size
  const trial = view(b)
  const publics = Array.from({ length: 20 }, (_, day) => must(issueStatement(trial, b.self.signer, {
    kind: 'digest', to: '*', at: world.nowMs, day, count: 0, root: '00'.repeat(32) as Hash,
  })).note)
  tell(world, b, a, {
    kind: 'history', issued: [], issued_end: 1, received: [], received_end: 1, publics,
    publics_end: 0, pruned: 0, cursor: 'b',
  })
  assert.equal(openHead(view(a)).frontier.size, before)
})

t('[RECOVER-2] what a peer tells unasked is no answer to words that we have lost', () => {
  const [world, home, host] = federation(2) as [World, Site, Site]
  const old = backup(host)
  work(world, home, host, '1')
  restore(host, old)
  recover(world, host)
  start(world, host)
  const { e, n } = directionOf(view(home), home.name, host.name)
  const received = [...home.cold].flatMap(([key, note]) =>
    key.startsWith('ledgerEntries/') && String(note).includes(`"from":"${home.name}"`)
      && String(note).includes(`"to":"${host.name}"`) ? [note as string] : [])
  assert.ok(received.length > 1 && n > 1 && e === 1)
  const before = directionOf(view(host), home.name, host.name)
  tell(world, home, host, {
    kind: 'history', issued: [], issued_end: 0, received, received_end: 1, publics: [],
    publics_end: 0, pruned: 0, cursor: '',
  })
  assert.equal(directionOf(view(host), home.name, host.name), before, 'nothing of it is taken')
  meet(world, home, host)
  pass(world, 20_000)
  mirrored(home, host)
})

t('[RECOVER-3] restored again in its new epoch, and its peer meanwhile, too', () => {
  const [world, home, host] = federation(2) as [World, Site, Site]
  const first = [backup(home), backup(host)] as const
  work(world, home, host, '1')
  for (const round of [1, 2, 3]) {
    restore(host, first[1])
    for (const note of renewals.get(host.name) ?? []) takeLost(host, note)
    recover(world, host)
    start(world, host)
    if (round === 2) {
      restore(home, first[0])
      recover(world, home)
      start(world, home)
    }
    meet(world, home, host)
    pass(world, 20_000)
    mirrored(home, host)
    grant(world, host, home, BigInt(10 ** 9 + round))
    pass(world, 5_000)
    const limit = creditLimit(view(home), host.name, home.name)
    assert.equal(limit, microcredits(BigInt(10 ** 9 + round)))
  }
  assert.equal(openHead(view(host)).epoch, 4)
})

t('[PEER-3] new keys: what the old one signs counts nowhere any more', () => {
  const [world, a, b] = federation(2) as [World, Site, Site]
  const last = directionOf(view(a), a.name, b.name)
  const stolen = a.identity.signer
  const made = keyFor(a.name, 'second statement')
  const trial = view(a)
  const witness = toHex(keyFor(a.name, 'second witness').publicKey)
  const { note } = must(sealRotation(trial, rootSigner(a.name, a.identity.root), {
    statement: toHex(made.publicKey), witness, at: world.nowMs,
  }))
  must(takeRenewal(trial, note))
  commit(a, trial.writes())
  const signer = { ...stolen, statement: statementSigner(a.name, 1, made) }
  a.identity = { ...a.identity, signer }
  a.self = { ...a.self, signer }
  start(world, a)
  meet(world, a, b)
  pass(world, 20_000)
  assert.equal(view(b).get('ledgerMembers', a.name)?.keys.statement, toHex(made.publicKey))
  const fed = a.self.federation
  const { note: forged } = must(sealStatement({
    kind: 'credit', to: b.name, limit: microcredits(1n), e: 1, fed, from: a.name, n: last.n + 1,
    prev: last.sid, at: world.nowMs,
  }, stolen.statement))
  tell(world, a, b, { kind: 'statements', notes: [forged], have: 0, have_e: 1, heard: 1 })
  assert.equal(directionOf(view(b), a.name, b.name).n, last.n, 'it opens nothing')
  assert.match(view(b).get('troubles', a.name)?.detail ?? '', /bad_signature/)
  assert.equal(isOwnWord(view(a), a.name, forged), false)
  grant(world, a, b, 77n)
  pass(world, 10_000)
  assert.equal(creditLimit(view(b), a.name, b.name), microcredits(77n))
  mirrored(a, b)
})
