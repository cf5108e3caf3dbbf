// Delivery of statements: a connection begins with both counters, and a database that is older than
// what its peers hold says nothing more to them, so that it cannot contradict itself.

import type { Tables } from '../../protocol/base/tables.ts'
import { microcredits } from '../../protocol/base/units.ts'
import { creditLimit, lastIssued, nextExpected } from '../../protocol/rules/ledger.ts'
import { assert, suite } from '../harness.ts'
import type { Site, World } from './pair.ts'
import { carry, federation, happen, pass, view } from './pair.ts'

const t = suite('delivery')

function reconnect(world: World, left: Site, right: Site): void {
  for (const [site, other] of [[left, right], [right, left]] as const) {
    happen(world, site, { kind: 'peerWentDown', site: other.name })
    site.out.length = 0
  }
  for (const [site, other] of [[left, right], [right, left]] as const) {
    happen(world, site, { kind: 'peerCameUp', site: other.name })
  }
}

function grant(world: World, site: Site, to: Site, limit: bigint): void {
  happen(world, site, {
    kind: 'creditRequested', request: `r${limit}`, site: to.name, limit: microcredits(limit),
  })
}

function copyOf(tables: Tables): Map<string, Map<string, unknown>> {
  return new Map([...tables].map(([name, records]) => [name, new Map(records)]))
}

function restore(site: Site, copy: Tables): void {
  site.tables.clear()
  for (const [name, records] of copy) site.tables.set(name, new Map(records))
}

t('[DELIVER-1] what was said while the connection was down arrives once it is up', () => {
  const [world, a, b] = federation(2) as [World, Site, Site]
  happen(world, a, { kind: 'peerWentDown', site: b.name })
  grant(world, a, b, 7n)
  grant(world, a, b, 8n)
  a.out.length = 0
  reconnect(world, a, b)
  carry(world)
  assert.equal(creditLimit(view(b), a.name, b.name), microcredits(8n))
  assert.equal(view(a).get('delivery', b.name)?.acked, lastIssued(view(a), a.name, b.name))
})

t('[DELIVER-3] nothing goes out before the peer has said what it has', () => {
  const [world, a, b] = federation(2) as [World, Site, Site]
  reconnect(world, a, b)
  grant(world, a, b, 9n)
  const said = a.out.flatMap(({ message }) => message.kind === 'statements' ? message.notes : [])
  assert.equal(said, [])
  carry(world)
  assert.equal(creditLimit(view(b), a.name, b.name), microcredits(9n))
})

t('[DELIVER-3] a lost first word is asked for again', () => {
  const [world, a, b] = federation(2) as [World, Site, Site]
  reconnect(world, a, b)
  grant(world, a, b, 9n)
  a.out.length = 0
  b.out.length = 0
  pass(world, 10_000)
  assert.equal(creditLimit(view(b), a.name, b.name), microcredits(9n))
})

t('[DELIVER-3] a lost first word is asked for again though there is nothing to say', () => {
  const [world, a, b] = federation(2) as [World, Site, Site]
  a.tables.get('heardPeers')?.clear()
  reconnect(world, a, b)
  a.out.length = 0
  b.out.length = 0
  pass(world, 60_000)
  assert.ok(view(a).get('heardPeers', b.name))
})

t('[DELIVER-3] a database from before what the peer holds contradicts nothing', () => {
  const [world, a, b] = federation(2) as [World, Site, Site]
  const backup = copyOf(a.tables)
  grant(world, a, b, 11n)
  carry(world)
  const held = nextExpected(view(b), a.name, b.name)
  restore(a, backup)
  reconnect(world, a, b)
  carry(world)
  // Another statement under a number that the peer holds already: the lie that must not leave.
  grant(world, a, b, 12n)
  pass(world, 60_000)
  assert.equal(nextExpected(view(b), a.name, b.name), held)
  assert.equal(creditLimit(view(b), a.name, b.name), microcredits(11n))
  assert.equal(view(b).get('troubles', a.name), undefined, 'the peer sees no lie')
  assert.match(view(a).get('troubles', b.name)?.detail ?? '', /this database is older/)
})
