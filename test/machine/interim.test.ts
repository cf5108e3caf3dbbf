// Claims while tasks run, between two machines: what is claimed when, what the home pays of it, and
// what the host does about a home that pays nothing.

import { jobWith } from '../sim/users.ts'
import { assert, suite } from '../harness.ts'
import type { Sid, TrancheId } from '../../protocol/base/ids.ts'
import { rangesValues } from '../../protocol/base/ranges.ts'
import { account } from '../../protocol/rules/ledger-book.ts'
import type { HoldRecord } from '../../protocol/rules/ledger-book.ts'
import type { Message } from '../../protocol/machine/messages.ts'
import type { Self } from '../../protocol/machine/state.ts'
import { openInterimMax } from '../../protocol/machine/host-meter.ts'
import type { SignedJob } from '../../protocol/rules/job.ts'
import { parseStatement } from '../../protocol/rules/statement.ts'
import type { Site, World } from './pair.ts'
import {
  capacity, carry, federation, happen, homeTranches, hostTranches, pass, selfOf, submitJob, takeAll,
  view,
} from './pair.ts'

const t = suite('claims while tasks run')

const interimSeconds = 100

/** Two sites whose contracts are claimed for every 100 s; a lease outlasts that. */
function two(change: Partial<Self['market']> = {}): [World, Site, Site] {
  const { market } = selfOf({} as never, '' as never)
  const terms = { market: { ...market, interimSeconds, leaseSeconds: 600, ...change } }
  const [world, home, host] = federation(2, [terms, terms])
  return [world, home!, host!]
}

const hours = (change: Parameters<typeof jobWith>[0] = {}): SignedJob => jobWith({
  place: 'remote', inputs: '', inputs_bytes: 0, walltime_seconds: 1_000, tasks: '1-2', array: 1,
  ...change,
})

/** The host's only tranche runs: all its tasks have started now. */
function startAll(world: World, host: Site): TrancheId {
  const [tranche] = hostTranches(host)
  const id = tranche!.id
  happen(world, host, { kind: 'trancheStaged', tranche: id })
  happen(world, host, { kind: 'trancheSubmitted', tranche: id, localId: '1' })
  for (const task of rangesValues(tranche!.tasks)) {
    const status = { kind: 'running', startedEpochMs: world.nowMs } as const
    happen(world, host, { kind: 'tasksObserved', tasks: [{ tranche: id, task, status }] })
  }
  carry(world)
  return id
}

type How = 'exited' | 'cancelled' | 'lost'

function end(world: World, host: Site, tranche: TrancheId, task: number, how: How): void {
  const startedEpochMs = view(host).get('hostTasks', `${tranche}/${String(task).padStart(9, '0')}`)!
    .started_ms
  const status = {
    kind: 'ended', how, exitCode: 0, startedEpochMs, endedEpochMs: world.nowMs,
  } as const
  happen(world, host, { kind: 'tasksObserved', tasks: [{ tranche, task, status }] })
  if (how === 'exited') {
    const tree = 'ab'.repeat(32) as Sid
    happen(world, host, {
      kind: 'taskCollected', tranche, task, tree, treeBytes: 1, missing: [],
    })
  }
  carry(world)
}

function holdOf(site: Site): HoldRecord {
  return [...view(site).entries('ledgerHolds')].map(([, hold]) => hold)[0]!
}

const statementsOf = (of: Site) => (message: Message, from: Site): boolean =>
  message.kind === 'statements' && from === of

/** What `site` has said, from its log. */
function said(site: Site, kind: string): { amount: bigint; final: number }[] {
  return [...view(site).entries('outbox')].map(([, note]) => note)
    .flatMap((note) => {
      const parsed = parseStatement(note)
      const statement = parsed.ok ? parsed.value.statement : undefined
      return statement?.kind === kind ? [statement as never] : []
    })
}

t('[METER-1] what runs is claimed at each step and accepted at once; the end is the whole', () => {
  const [world, home, host] = two()
  submitJob(world, home, hours())
  const id = startAll(world, host)
  pass(world, 99_000)
  assert.equal(holdOf(host).claimed, 0n)
  pass(world, 2_000)
  // Two tasks of 100 s less 5 at 1,000 microcredits a second, and 1,000 for each start.
  assert.equal([holdOf(home).claimed, holdOf(home).accepted], [192_000n, 192_000n])
  assert.equal(holdOf(host).accepted, 192_000n)
  pass(world, 49_000)
  end(world, host, id, 1, 'exited')
  takeAll(world, home)
  pass(world, 50_000)
  assert.equal(holdOf(home).accepted, 347_000n)
  end(world, host, id, 2, 'exited')
  takeAll(world, home)
  const hold = holdOf(home)
  assert.equal([hold.state, hold.accepted, hold.claimed], ['done', 352_000n, 352_000n])
  assert.equal(homeTranches(home)[0]!.state, { kind: 'settled', how: 'accepted' })
  assert.equal([...view(home).entries('jobs')].map(([, job]) => job.spent), [352_000n])
  assert.equal(account(view(host), host.name, home.name).held, 0n)
  assert.equal(view(host).get('counters', 'interim_claims'), 2)
})

t('[METER-1] nothing is said when nothing has risen', () => {
  const [world, home, host] = two()
  submitJob(world, home, hours())
  const [tranche] = hostTranches(host)
  happen(world, host, { kind: 'trancheStaged', tranche: tranche!.id })
  happen(world, host, { kind: 'trancheSubmitted', tranche: tranche!.id, localId: '1' })
  pass(world, 350_000)
  assert.equal(holdOf(host).claims, [])
})

t('[TRANCHE-8] a claim beyond the reports is paid as far as they go, and shown', () => {
  const [world, home, host] = two({ exposurePermille: 1_000 })
  submitJob(world, home, hours())
  const id = startAll(world, host)
  // The host says to itself that a task began earlier than it has told.
  const key = `${id}/000000001`
  const told = host.tables.get('hostTasks')!.get(key) as { started_ms: number }
  const began = world.nowMs - 500_000
  host.tables.get('hostTasks')!.set(key, { ...told, started_ms: began, seenEpochMs: began })
  pass(world, 101_000)
  const hold = holdOf(home)
  assert.equal([hold.claimed, hold.accepted], [692_000n, 202_000n])
  const { trouble } = homeTranches(home)[0]!
  assert.match(trouble, /claims 2 tasks, 690 core-seconds.*reported 2 tasks, 200/)
})

t('[TRANCHE-8] no task is paid for longer than its walltime, whatever the clock says', () => {
  const [world, home, host] = two({ exposurePermille: 1_000 })
  submitJob(world, home, hours({ walltime_seconds: 120 }))
  startAll(world, host)
  pass(world, 450_000)
  assert.equal([holdOf(home).claimed, holdOf(home).accepted], [242_000n, 242_000n])
})

t('[TRANCHE-9] [CLAIM-5] what was accepted of a task that is lost then stays, no more', () => {
  const [world, home, host] = two()
  submitJob(world, home, hours())
  const id = startAll(world, host)
  pass(world, 101_000)
  end(world, host, id, 2, 'lost')
  end(world, host, id, 1, 'exited')
  takeAll(world, home)
  const hold = holdOf(home)
  // Task 1 ran 101 s alone: less than the 192,000 that both had come to.
  assert.equal([hold.state, hold.claimed, hold.accepted], ['done', 192_000n, 192_000n])
  const job = [...view(home).entries('jobs')][0]![1]
  assert.equal([job.state.kind, job.done], ['open', 1])
})

t('[CLAIM-5] a gift that crosses an acceptance ends the hold alike in both logs', () => {
  const [world, home, host] = two({ exposurePermille: 1_000 })
  submitJob(world, home, hours())
  const id = startAll(world, host)
  const deaf = statementsOf(home)
  pass(world, 101_000, deaf)
  assert.equal([holdOf(host).claimed, holdOf(host).accepted], [192_000n, 0n])
  // The home has its words ready, but the host hears none before its final claim.
  end(world, host, id, 2, 'lost')
  assert.equal(said(home, 'accept').length, 1)
  end(world, host, id, 1, 'exited')
  takeAll(world, home)
  pass(world, 10_000)
  for (const site of [home, host]) {
    const hold = holdOf(site)
    assert.equal([hold.state, hold.asks, hold.accepted], ['done', 102_000n, 192_000n])
  }
})

t('[EXPOSURE-1] a home that accepts nothing is stopped with notice after one more step', () => {
  const [world, home, host] = two({ exposurePermille: 90 })
  submitJob(world, home, hours())
  const id = startAll(world, host)
  const deaf = statementsOf(home)
  pass(world, 101_000, deaf)
  assert.equal(holdOf(host).claimed, 192_000n)
  assert.equal(hostTranches(host)[0]!.notice, '')
  pass(world, 50_000, deaf)
  host.effects.length = 0
  pass(world, 50_000, deaf)
  assert.ok(host.effects.some(({ kind }) => kind === 'cancelTranche'), 'it is cancelled')
  const notice = hostTranches(host)[0]!.notice
  assert.match(notice, /site-b.example stopped it: 0.192 cr are claimed and not accepted of 2.0/)
  assert.match(notice, /more than the agreed 90 in a thousand/)
  end(world, host, id, 1, 'cancelled')
  end(world, host, id, 2, 'cancelled')
  pass(world, 2_000, deaf)
  const hold = holdOf(host)
  assert.equal([hold.claimedFinal, hold.accepted], [1, 0n])
  assert.ok(hold.claimed >= 400_000n, 'what was run is claimed')
  const job = [...view(home).entries('jobs')][0]![1]
  assert.equal([job.state.kind, job.cancelled, job.failed], ['open', 0, 0])
  const tasks = [...view(home).entries('homeTasks')].map(([, task]) => task)
  for (const task of tasks) assert.match(task.detail, /stopped it: 0.192 cr are claimed and not/)
  // It bids no more to this home, and says why.
  const calls = (): number => view(host).get('counters', 'call_refused_credit') ?? 0
  const before = calls()
  pass(world, 100_000, deaf)
  assert.ok(calls() > before, 'it refuses the next call')
  assert.equal(hostTranches(host).filter(({ phase }) => phase === 'staging'), [])
  // The home's words come through: everything was accepted, and it bids again.
  pass(world, 100_000)
  assert.equal(account(view(host), host.name, home.name).posted, hold.claimed)
  assert.ok(hostTranches(host).some(({ phase }) => phase === 'staging'), 'the tasks are here again')
  assert.equal([...view(host).entries('exposed')], [])
})

t('[METER-2] unanswered claims do not go on for ever', () => {
  const [world, home, host] = two({ exposurePermille: 1_000, interimSeconds: 10 })
  happen(world, host, { kind: 'capacityObserved', capacity: capacity() })
  submitJob(world, home, hours())
  const id = startAll(world, host)
  pass(world, 10 * (openInterimMax + 10) * 1_000, statementsOf(home))
  assert.equal(holdOf(host).claims.length, openInterimMax)
  end(world, host, id, 1, 'exited')
  end(world, host, id, 2, 'exited')
  assert.equal(holdOf(host).claims.length, openInterimMax + 1)
  assert.equal(holdOf(host).claimedFinal, 1)
})
