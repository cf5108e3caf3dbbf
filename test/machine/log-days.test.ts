// What the log says by the clock: heads, local work, snapshots; and when entries may be dropped.

import { toHex } from '../../protocol/base/crypto.ts'
import { emptyFrontier, append, root } from '../../protocol/base/merkle.ts'
import type { Effect } from '../../protocol/machine/effects.ts'
import { historyFor, readNow } from '../../protocol/machine/history.ts'
import { dayKey, snapshotKey } from '../../protocol/machine/log-records.ts'
import { digestDaysKept } from '../../protocol/machine/log-days.ts'
import { dayMs, dayOf, digestSalt, readDigestRecord } from '../../protocol/rules/digest.ts'
import { openHead } from '../../protocol/rules/ledger-book.ts'
import { loadBook } from '../../protocol/rules/ledger-state.ts'
import type { Statement } from '../../protocol/rules/statement.ts'
import { parseStatement } from '../../protocol/rules/statement.ts'
import { assert, suite } from '../harness.ts'
import { jobWith } from '../sim/users.ts'
import type { Site, World } from './pair.ts'
import {
  carry, federation, happen, hostTranches, pass, runAll, submitJob, takeAll, view,
} from './pair.ts'

const t = suite('log days')

function said<K extends Statement['kind']>(
  site: Site, kind: K,
): Extract<Statement, { readonly kind: K }>[] {
  return [...site.cold].filter(([key]) => key.startsWith('ledgerEntries/'))
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([, note]) => {
      const parsed = parseStatement(note as string)
      const { statement } = parsed.ok ? parsed.value : { statement: undefined }
      const isIt = statement?.kind === kind && 'from' in statement && statement.from === site.name
      return isIt ? [statement as Extract<Statement, { readonly kind: K }>] : []
    })
}

/** Somewhat after the next midnight, whatever the site's own minute is. */
function nextDay(world: World, site: Site): void {
  world.nowMs = (dayOf(world.nowMs) + 1) * dayMs + 1_800_000
  happen(world, site, { kind: 'woken' })
  site.out.length = 0
}

function runHere(world: World, home: Site, name: string): void {
  submitJob(world, home, jobWith({ place: 'home', inputs: '', inputs_bytes: 0, name }))
  pass(world, 2_000)
  assert.ok(hostTranches(home).length > 0, 'it runs here')
  runAll(world, home)
  takeAll(world, home)
}

function records(site: Site): string[] {
  return [...site.cold].filter(([key]) => key.startsWith('digestRecords/'))
    .filter(([, line]) => line !== undefined).toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([, line]) => line as string)
}

t('local work of a day is said as one root over salted records', () => {
  const [world, home] = federation(2) as [World, Site]
  const today = dayOf(world.nowMs)
  runHere(world, home, 'local')
  const lines = records(home)
  assert.equal(lines.length, 1)
  const one = assert.accepted(readDigestRecord(lines[0]!))
  const [tranche] = hostTranches(home)
  assert.equal([one.user, one.task], ['ada', 0])
  assert.ok(one.ended_ms > one.started_ms)
  if (tranche) assert.equal(one.salt, digestSalt(tranche.salt, 0))
  assert.equal(said(home, 'digest'), [])
  nextDay(world, home)
  const [digest] = said(home, 'digest')
  let frontier = emptyFrontier
  for (const line of lines) frontier = append(frontier, Buffer.from(line)).frontier
  assert.equal([digest?.day, digest?.count, digest?.root], [today, 1, toHex(root(frontier))])
  assert.equal(view(home).get('digestDay', dayKey(today)), undefined)
  nextDay(world, home)
  assert.equal(said(home, 'digest').length, 1, 'a day without local work needs none')
})

t('what was run for others stands in usages, not in the digest', () => {
  const [world, home, host] = federation(2) as [World, Site, Site]
  submitJob(world, home, jobWith({ place: 'remote', inputs: '', inputs_bytes: 0 }))
  pass(world, 2_000)
  runAll(world, host)
  takeAll(world, home)
  assert.equal([records(home), records(host)], [[], []])
})

t('records are kept for their time and then go', () => {
  const [world, home] = federation(2) as [World, Site]
  runHere(world, home, 'local')
  nextDay(world, home)
  world.nowMs += (digestDaysKept - 3) * dayMs
  nextDay(world, home)
  assert.equal(records(home).length, 1)
  world.nowMs += 4 * dayMs
  nextDay(world, home)
  assert.equal([records(home), [...view(home).entries('digests')]], [[], []])
})

t('heads that are held are said once a day', () => {
  const [world, a, b] = federation(2) as [World, Site, Site]
  const origin = `${b.name}/gridnode/${a.self.federation.slice(0, 16)}/e1`
  const head = { origin, size: 3, root: 'ab'.repeat(32) as never }
  a.tables.set('heads', new Map([[origin, {
    ...head, site: b.name, note: '', seenEpochMs: world.nowMs,
  }]]))
  nextDay(world, a)
  assert.equal(said(a, 'heads').map(({ heads }) => heads), [[head]])
  happen(world, a, { kind: 'started', addresses: [] })
  pass(world, 180_000, () => true)
  assert.equal(said(a, 'heads').length, 1)
})

t('many heads are said in four statements at most, in turns', () => {
  const [world, a] = federation(2) as [World, Site]
  const heads = new Map(Array.from({ length: 300 }, (_, at) => {
    const origin = `s${String(at).padStart(3, '0')}.example/gridnode/${'0'.repeat(16)}/e1`
    return [origin, {
      origin, site: a.name, size: at + 1, root: 'ab'.repeat(32), note: '', seenEpochMs: 0,
    }]
  }))
  const seen = new Set<string>()
  for (const days of [1, 2]) {
    a.tables.set('heads', new Map(heads))
    nextDay(world, a)
    const all = said(a, 'heads')
    assert.equal(all.length, 4 * days)
    for (const { heads: some } of all) for (const { origin } of some) seen.add(origin)
  }
  assert.equal(seen.size, 300)
})

t('[DAY-1] an unheard site says nothing of it, and says it later', () => {
  const [world, a, b] = federation(2) as [World, Site, Site]
  runHere(world, a, 'local')
  for (const table of ['heardPeers', 'links']) a.tables.delete(table)
  nextDay(world, a)
  assert.equal(said(a, 'digest'), [])
  happen(world, a, { kind: 'snapshotRequested', request: 'r' })
  assert.ok(a.effects.some((one) => one.kind === 'answer' && one.answer.kind === 'refused'))
  for (const [site, other] of [[a, b], [b, a]] as const) {
    happen(world, site, { kind: 'peerCameUp', site: other.name })
  }
  carry(world)
  pass(world, 61_000)
  assert.equal(said(a, 'digest').length, 1)
})

t('whoever asks for dropped entries is told that they were dropped', () => {
  const [world, a, b] = federation(2) as [World, Site, Site]
  const asked = {
    kind: 'tellHistory', to: b.name, issued: { e: 1, n: 0 }, received: { e: 1, n: 0 }, cursor: '',
  } as const
  const told = () => readNow(historyFor(view(a), asked), ({ table, key }) =>
    a.cold.get(`${table}/${key}`))
  const before = told()
  assert.equal([before.pruned, before.issued_end, before.received_end], [0, 1, 1])
  assert.ok(before.received.length > 0)
  for (const key of a.cold.keys()) if (key.startsWith('ledgerEntries/')) a.cold.delete(key)
  const after = told()
  assert.equal([after.pruned, after.issued, after.received, after.publics], [1, [], [], []])
  assert.equal([after.issued_end, after.received_end], [0, 0])
  assert.ok(world)
})

function snapshotted(world: World, site: Site): { size: number, text: string } {
  const effects = happen(world, site, { kind: 'snapshotRequested', request: 's' })
  const stored = effects.find((one) => one.kind === 'storeSnapshot')
  assert.ok(stored)
  return stored as Extract<Effect, { kind: 'storeSnapshot' }>
}

t('[LEDGER-15] a snapshot says the state of the book right before it', () => {
  const [world, a] = federation(2) as [World, Site]
  const { frontier } = openHead(view(a))
  const { size, text } = snapshotted(world, a)
  assert.equal(size, frontier.size)
  const [statement] = said(a, 'snapshot')
  assert.equal([statement?.size, statement?.state], [size, assert.accepted(loadBook(text)).state])
  assert.equal(view(a).get('snapshots', snapshotKey(size))?.state, statement?.state)
})

t('[DAY-2] entries go only below a snapshot and a reconciliation', () => {
  const [world, a, b] = federation(2) as [World, Site, Site]
  const ask = (below: number, snapshot: number): Effect | undefined => happen(world, a, {
    kind: 'pruneRequested', request: 'p', below, snapshot, sites: [b.name],
  }).find((one) => one.kind === 'answer')
  const detail = (effect: Effect | undefined): string =>
    effect?.kind === 'answer' && 'detail' in effect.answer ? effect.answer.detail : ''
  assert.match(detail(ask(2, 5)), /no snapshot/)
  const { size } = snapshotted(world, a)
  assert.match(detail(ask(size + 1, size)), /no snapshot/)
  assert.match(detail(ask(2, size)), /never reconciled/)
  const key = [a.name, b.name].sort().join('+')
  const reconciled = { sid: 'ab'.repeat(32), index: 1, state: 'cd'.repeat(32), atEpochMs: 1 }
  a.tables.set('ledgerReconciled', new Map([[key, reconciled]]))
  assert.match(detail(ask(2, size)), /reconciled last at entry 1/)
  a.tables.set('ledgerReconciled', new Map([[key, { ...reconciled, index: 2 }]]))
  assert.equal(detail(ask(2, size)), '2')
  assert.equal(view(a).get('pruned', 'own')?.isDone, false)
  // A crash before the entries were gone: they go at the next start.
  const effects = happen(world, a, { kind: 'started', addresses: [] })
  assert.ok(effects.some((one) => one.kind === 'dropEntries' && one.below === 2))
  happen(world, a, { kind: 'entriesDropped', below: 2 })
  assert.equal(view(a).get('pruned', 'own')?.isDone, true)
  assert.ok(!happen(world, a, { kind: 'started', addresses: [] })
    .some((one) => one.kind === 'dropEntries'))
})
