// Two machines that have become quiet: who says what about the books, when, and what is forgotten.

import { jobWith } from '../sim/users.ts'
import { assert, suite } from '../harness.ts'
import type { Message } from '../../protocol/machine/messages.ts'
import { account } from '../../protocol/rules/ledger-book.ts'
import { balanceOf } from '../../protocol/rules/ledger.ts'
import type { Site, World } from './pair.ts'
import {
  capacity, carry, federation, happen, homeTranches, pass, runAll, submitJob, takeAll, view,
} from './pair.ts'

const t = suite('reconciliation')

function counted(site: Site, name: string): number {
  return view(site).get('counters', name) ?? 0
}

function holds(site: Site): number {
  return [...view(site).entries('ledgerHolds')].length
}

function oneJob(world: World, home: Site, host: Site): void {
  submitJob(world, home, jobWith({ place: 'remote', inputs: '', inputs_bytes: 0 }))
  runAll(world, host)
  takeAll(world, home)
}

t('[RECONCILE-1] a pair that is quiet reconciles once, and forgets what has ended', () => {
  const [world, home, host] = federation(2)
  oneJob(world, home!, host!)
  assert.equal([holds(home!), holds(host!)], [1, 1])
  const owed = balanceOf(view(host!), host!.name, home!.name)
  pass(world, 120_000)
  assert.equal([counted(home!, 'reconcile_offered'), counted(host!, 'reconcile_offered')], [1, 0])
  assert.equal([counted(home!, 'reconciled'), counted(host!, 'reconciled')], [1, 1])
  assert.equal([holds(home!), holds(host!)], [0, 0])
  assert.equal(balanceOf(view(host!), host!.name, home!.name), owed)
  assert.equal(account(view(home!), host!.name, home!.name).posted, owed)
  const [mine, theirs] = [home!, host!].map((site) =>
    [...view(site).entries('ledgerReconciled')].map(([, { sid, state }]) => [sid, state]))
  assert.equal(mine, theirs)
  // The tranche is remembered as long as its job; its hold is not needed for that.
  assert.equal(homeTranches(home!)[0]!.state, { kind: 'settled', how: 'accepted' })
  pass(world, 2 * 3_600_000)
  assert.equal(counted(home!, 'reconcile_offered'), 1)
})

t('[RECONCILE-1] not again within the hour, whatever is said', () => {
  const [world, home, host] = federation(2)
  pass(world, 60_000)
  assert.equal(counted(home!, 'reconciled'), 1)
  happen(world, host!, {
    kind: 'creditRequested', request: 'r', site: home!.name, limit: 7n as never,
  })
  carry(world)
  pass(world, 1_800_000)
  assert.equal(counted(home!, 'reconcile_offered'), 1)
  pass(world, 2_000_000)
  assert.equal([counted(home!, 'reconcile_offered'), counted(host!, 'reconciled')], [2, 2])
})

t('[RECONCILE-3] an offer that is not answered is made again, ever more rarely', () => {
  const [world, home, host] = federation(2)
  const deaf = (message: Message, from: Site): boolean =>
    from === host && message.kind === 'statements' && message.notes.length > 0
  pass(world, 3_600_000, deaf)
  // It was agreed at once, but nobody heard of it: nothing new is offered before that is known.
  assert.equal([counted(home!, 'reconciled'), counted(host!, 'reconciled')], [0, 1])
  const offers = counted(home!, 'reconcile_offered')
  assert.ok(offers >= 2 && offers <= 9, `${offers} offers in an hour`)
  pass(world, 2 * 3_600_000)
  assert.ok(counted(home!, 'reconciled') >= 1)
})

t('[RECONCILE-2] books that differ are not agreed to', () => {
  const [world, home, host] = federation(2)
  oneJob(world, home!, host!)
  const key = `${host!.name}>${home!.name}`
  const books = host!.tables.get('ledgerAccounts')!.get(key) as { posted: bigint }
  host!.tables.get('ledgerAccounts')!.set(key, { ...books, posted: books.posted + 1n })
  pass(world, 600_000)
  assert.equal([counted(home!, 'reconciled'), counted(host!, 'reconciled')], [0, 0])
  assert.ok(counted(host!, 'reconcile_differs') >= 1)
  assert.equal([holds(home!), holds(host!)], [1, 1])
})

t('[RECONCILE-4] a hold that nothing stands behind is given up', () => {
  const [world, home, host] = federation(2)
  happen(world, host!, { kind: 'capacityObserved', capacity: capacity() })
  submitJob(world, home!, jobWith({ place: 'remote', inputs: '', inputs_bytes: 0 }))
  const left = homeTranches(home!)[0]!.hold
  // What a machine that failed in its own way might leave behind.
  host!.tables.get('hostTranches')!.clear()
  pass(world, 120_000)
  assert.equal(counted(host!, 'holds_left_answered'), 1)
  const first = homeTranches(home!).find(({ hold }) => hold === left)
  assert.equal(first!.state, { kind: 'settled', how: 'void' })
})
