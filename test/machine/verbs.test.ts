// What an owner asks of a job after it was handed in, between a home and a host: what is placed,
// what the host is told, what is charged, and that nothing is done twice.

import type { TrancheId } from '../../protocol/base/ids.ts'
import { sha256Hex } from '../../protocol/base/crypto.ts'
import { formatRanges, rangesSize, rangesValues } from '../../protocol/base/ranges.ts'
import type { Answer, Effect } from '../../protocol/machine/effects.ts'
import type { Message } from '../../protocol/machine/messages.ts'
import type { Job } from '../../protocol/machine/state.ts'
import { taskKey } from '../../protocol/machine/state.ts'
import type { SignedJob } from '../../protocol/rules/job.ts'
import type { JobRequest } from '../../protocol/rules/request.ts'
import { jobWith } from '../sim/users.ts'
import { assert, suite } from '../harness.ts'
import type { Site, World } from './pair.ts'
import {
  carry, federation, happen, homeTranches, hostTranches, pass, runAll, submitJob, takeAll, view,
} from './pair.ts'

const t = suite('verbs')
let asked = 0

function request(change: Partial<JobRequest> & Pick<JobRequest, 'verb'>): JobRequest {
  const nonce = (++asked).toString(16).padStart(32, '0')
  return {
    job: '', user: 'ada', key: '00'.repeat(32), home: '', via: 'a.test' as never, at: 0, nonce,
    ...change,
  }
}

function ask(world: World, home: Site, job: SignedJob, wish: JobRequest): Answer {
  const effects = happen(world, home, {
    kind: 'verbRequested', request: 'r', job: job.id, asked: wish,
  })
  carry(world)
  const told = effects.find((effect): effect is Extract<Effect, { kind: 'answer' }> =>
    effect.kind === 'answer')
  return told!.answer
}

const away = (change: Parameters<typeof jobWith>[0] = {}): SignedJob => jobWith({
  place: 'remote', inputs: '', inputs_bytes: 0, tasks: '1-4', array: 1, ...change,
})

const jobOf = (home: Site, { id }: SignedJob): Job => view(home).get('jobs', id)!
const detail = (answer: Answer): string => answer.kind === 'done' || answer.kind === 'refused'
  ? answer.detail : ''

function start(world: World, host: Site, tasks: readonly number[]): TrancheId {
  const { id } = hostTranches(host)[0]!
  happen(world, host, { kind: 'trancheStaged', tranche: id })
  happen(world, host, { kind: 'trancheSubmitted', tranche: id, localId: '1' })
  for (const task of tasks) {
    const status = { kind: 'running', startedEpochMs: world.nowMs } as const
    happen(world, host, { kind: 'tasksObserved', tasks: [{ tranche: id, task, status }] })
  }
  carry(world)
  return id
}

function ordersAt(host: Site): Extract<Effect, { kind: 'controlTranche' }>[] {
  return host.effects.splice(0).filter((effect) => effect.kind === 'controlTranche')
}

function did(
  world: World, host: Site, { tranche, n }: { tranche: TrancheId; n: number }, words = '',
): void {
  happen(world, host, { kind: 'orderDone', tranche, n, words })
  carry(world)
}

t('[VERB-1] [JOB-11] a held job is not announced until it is released, and asks once', () => {
  const [world, home] = federation(2)
  const job = away({ hold: 1 })
  submitJob(world, home!, job)
  assert.equal([homeTranches(home!).length, jobOf(home!, job).round], [0, 0])
  assert.equal(formatRanges(jobOf(home!, job).parked), '1-4')
  assert.match(jobOf(home!, job).note, /held/)
  pass(world, 3_000_000)
  assert.equal(jobOf(home!, job).state.kind, 'open')
  const some = request({ verb: 'release', tasks: '2-3' })
  assert.equal(ask(world, home!, job, some).kind, 'done')
  pass(world, 5_000)
  assert.equal(homeTranches(home!).map(({ tasks }) => formatRanges(tasks)), ['2-3'])
  assert.equal(ask(world, home!, job, some).kind, 'done')
  assert.equal(view(home!).get('jobOrders', job.id)!.heard.length, 1)
  ask(world, home!, job, request({ verb: 'release' }))
  pass(world, 5_000)
  assert.equal(rangesSize(jobOf(home!, job).parked), 0)
})

t('[CONTROL-1] [CONTROL-2] holds what is queued at the host, whatever message is lost', () => {
  const [world, home, host] = federation(2)
  const job = away()
  submitJob(world, home!, job)
  const tranche = start(world, host!, [1])
  const lost = (message: Message): boolean =>
    message.kind === 'control' || message.kind === 'controlled'
  happen(world, home!, {
    kind: 'verbRequested', request: 'r', job: job.id, asked: request({ verb: 'hold' }),
  })
  carry(world, lost)
  assert.equal(ordersAt(host!), [])
  pass(world, 6_000)
  const [order, ...more] = ordersAt(host!)
  assert.equal([order?.n, more.length], [1, 0])
  assert.equal(view(host!).get('hostOrders', tranche)!.open[0]!.tasks, '2-4')
  happen(world, host!, { kind: 'orderDone', tranche, n: 1, words: '' })
  carry(world, lost)
  assert.equal(view(home!).get('trancheOrders', tranche)!.open.length, 1)
  pass(world, 6_000)
  assert.equal(ordersAt(host!), [])
  const told = view(home!).get('jobOrders', job.id)!.heard[0]!.told
  assert.equal(told.map(({ state }) => state), ['done'])
  const status = { kind: 'queued', held: true } as const
  happen(world, host!, { kind: 'tasksObserved', tasks: [{ tranche, task: 2, status }] })
  carry(world)
  assert.equal(view(home!).get('homeTasks', taskKey(job.id, 2))!.report!.halt, 'held')
})

t('[CONTROL-5] what a restored host holds unknowingly is cancelled', () => {
  const [world, , host] = federation(2)
  const tranche = 'ab'.repeat(8) as TrancheId
  const seen = (status: { kind: 'queued'; held?: true }): string[] =>
    happen(world, host!, { kind: 'tasksObserved', tasks: [{ tranche, task: 1, status }] })
      .map(({ kind }) => kind)
  assert.equal(seen({ kind: 'queued' }).includes('cancelTranche'), false)
  assert.equal(seen({ kind: 'queued', held: true }).includes('cancelTranche'), true)
})

t('tells the owner what a host cannot do, and why', () => {
  const [world, home, host] = federation(2)
  const job = away()
  submitJob(world, home!, job)
  assert.match(detail(ask(world, home!, job, request({ verb: 'suspend' }))), 'none of these tasks')
  start(world, host!, [1, 2])
  assert.equal(ask(world, home!, job, request({ verb: 'suspend' })).kind, 'done')
  did(world, host!, ordersAt(host!)[0]!, 'unable: not here')
  const told = view(home!).get('jobOrders', job.id)!.heard[0]!.told
  assert.equal(told.map(({ state, words, tasks }) => [state, words, tasks]),
    [['refused', 'unable: not here', '1-2']])
})

t('[CONTROL-3] [CONTROL-4] a signal is sent at most once, other orders until they are done', () => {
  const [world, home, host] = federation(2)
  const job = away()
  submitJob(world, home!, job)
  const tranche = start(world, host!, [1, 2, 3, 4])
  const sent = ask(world, home!, job, request({ verb: 'signal', signal: 'USR1' }))
  assert.match('detail' in sent ? sent.detail : '', /^sent USR1: 4 tasks; told /)
  ask(world, home!, job, request({ verb: 'suspend' }))
  assert.equal(ordersAt(host!).map(({ n }) => n), [1])
  // The node dies while the first is being done.
  happen(world, host!, { kind: 'started', addresses: [] })
  carry(world)
  assert.equal(ordersAt(host!).map(({ n }) => n), [2])
  happen(world, host!, { kind: 'started', addresses: [] })
  assert.equal(ordersAt(host!).map(({ n }) => n), [2])
  happen(world, host!, { kind: 'orderFailed', tranche, n: 2, detail: 'no answer' })
  assert.equal(ordersAt(host!), [])
  pass(world, 3_000)
  did(world, host!, ordersAt(host!)[0]!)
  const words = view(home!).get('jobOrders', job.id)!.heard.map(({ told }) => told[0]!)
  assert.equal(words.map(({ state }) => state), ['refused', 'done'])
  assert.match(words[0]!.words, /unknown whether the signal arrived/)
})

function endTask(world: World, host: Site, tranche: TrancheId, task: number): void {
  const key = taskKey(tranche, task)
  const startedEpochMs = view(host).get('hostTasks', key)!.started_ms
  const status = {
    kind: 'ended', how: 'cancelled', exitCode: 143, startedEpochMs, endedEpochMs: world.nowMs,
  } as const
  happen(world, host, { kind: 'tasksObserved', tasks: [{ tranche, task, status }] })
  if (view(host).get('hostTasks', key)!.state === 'collecting') {
    happen(world, host, {
      kind: 'taskCollected', tranche, task, tree: sha256Hex(`${tranche} ${task}`), treeBytes: 1,
      missing: [],
    })
  }
  carry(world)
}

t('[VERB-2] [RUN-8] requeue charges what ran, is no attempt, and closes no contract', () => {
  const [world, home, host] = federation(2)
  const job = away({ tasks: '1-2' })
  submitJob(world, home!, job)
  const tranche = start(world, host!, [1, 2])
  pass(world, 10_000)
  assert.equal(ask(world, home!, job, request({ verb: 'requeue', tasks: '1' })).kind, 'done')
  did(world, host!, ordersAt(host!)[0]!)
  endTask(world, host!, tranche, 1)
  const reported = view(home!).get('homeTranches', tranche)!.reported
  assert.equal([reported.tasks, reported.core_s], [1, 10])
  const known = view(home!).get('homeTasks', taskKey(job.id, 1))!
  assert.ok(known.attempts <= 1, `${known.attempts}`)
  pass(world, 5_000)
  const again = view(home!).get('homeTasks', taskKey(job.id, 1))!
  assert.equal([again.state, again.attempts, again.tranche === tranche], ['queued', 1, false])
  // What a host stops by its own will under that name is not its owner's wish.
  assert.equal(formatRanges(view(home!).get('jobOrders', job.id)!.again), '')
})

t('[JOB-10] a job that runs once is not requeued, nor placed again after it has run', () => {
  const [world, home, host] = federation(2)
  const job = away({ tasks: '1-2', rerun: 0 })
  submitJob(world, home!, job)
  const tranche = start(world, host!, [1])
  assert.match(detail(ask(world, home!, job, request({ verb: 'requeue' }))), 'not started again')
  for (const task of [1, 2]) {
    const startedEpochMs = task === 1 ? world.nowMs : world.nowMs + 5
    const status = {
      kind: 'ended', how: 'lost', exitCode: -1, startedEpochMs, endedEpochMs: world.nowMs + 5,
    } as const
    happen(world, host!, { kind: 'tasksObserved', tasks: [{ tranche, task, status }] })
  }
  carry(world)
  const states = [1, 2].map((task) => view(home!).get('homeTasks', taskKey(job.id, task))!)
  assert.equal(states.map(({ state }) => state), ['failed', 'waiting'])
  assert.match(states[0]!.detail, /may not be run again/)
})

t('move takes tasks to other sites, and keeps the rest away', () => {
  const [world, home, first, second] = federation(3)
  const job = away({ tasks: '1-2', policy: 'cheapest' })
  submitJob(world, home!, job)
  const at = [first!, second!].find((site) => hostTranches(site).length > 0)!
  const other = at === first ? second! : first!
  const tranche = start(world, at, [1])
  assert.equal(ask(world, home!, job, request({ verb: 'move', sites: [] })).kind, 'done')
  did(world, at, ordersAt(at)[0]!)
  for (const task of [1, 2]) endTask(world, at, tranche, task)
  pass(world, 8_000)
  const hosts = [1, 2].map((task) => view(home!).get('homeTasks', taskKey(job.id, task))!.host)
  assert.equal(hosts, [other.name, other.name])
  const unknown = request({ verb: 'move', sites: ['nobody.example' as never] })
  assert.match(detail(ask(world, home!, job, unknown)), 'not a site of this federation')
})

t('cancels single tasks, here and at their hosts', () => {
  const [world, home, host] = federation(2)
  const job = away({ hold: 1 })
  submitJob(world, home!, job)
  ask(world, home!, job, request({ verb: 'release', tasks: '1-2' }))
  pass(world, 5_000)
  const tranche = start(world, host!, [1])
  assert.equal(ask(world, home!, job, request({ verb: 'cancel', tasks: '2-3' })).kind, 'done')
  assert.equal([jobOf(home!, job).cancelled, formatRanges(jobOf(home!, job).parked)], [1, '4'])
  did(world, host!, ordersAt(host!)[0]!)
  endTask(world, host!, tranche, 2)
  takeAll(world, home!)
  assert.equal([jobOf(home!, job).cancelled, jobOf(home!, job).state.kind], [2, 'open'])
  const none = request({ verb: 'cancel', tasks: '9' })
  assert.equal(ask(world, home!, job, none).kind, 'refused')
  assert.equal(ask(world, home!, job, request({ verb: 'cancel' })).kind, 'done')
  assert.equal(jobOf(home!, job).state.kind, 'cancelling')
  assert.match(detail(ask(world, home!, job, request({ verb: 'hold' }))), 'being cancelled')
})

t('[VERB-3] [VERB-4] alters what waits, and refuses what cannot be', () => {
  const [world, home, host] = federation(2)
  const job = away({ hold: 1, tasks: '1-2' })
  submitJob(world, home!, job)
  const change = { walltime_seconds: 120, name: 'other', tasks_at_once: 1 }
  assert.equal(ask(world, home!, job, request({ verb: 'alter', change })).kind, 'done')
  ask(world, home!, job, request({ verb: 'release' }))
  pass(world, 5_000)
  assert.equal(jobOf(home!, job).name, 'other')
  const [contract] = [...view(host!).entries('hostContracts')].map(([, one]) => one)
  assert.equal(contract?.walltimeSeconds, 120)
  assert.equal(homeTranches(home!).map(({ tasks }) => rangesSize(tasks)), [1])
  const poor = request({ verb: 'alter', change: { budget: 1n as never } })
  assert.match(detail(ask(world, home!, job, poor)), /spent or held already/)
  const bad = request({ verb: 'alter', change: { requirements: 'cores_total >' } })
  assert.match(detail(ask(world, home!, job, bad)), 'at character')
  start(world, host!, [1])
  runAll(world, host!)
  takeAll(world, home!)
  pass(world, 5_000)
  const late = request({ verb: 'alter', change: { walltime_seconds: 60 } })
  assert.match(detail(ask(world, home!, job, late)), 'is placed already')
})

function runOut(world: World, home: Site, host: Site): void {
  for (const tranche of hostTranches(host)) {
    if (tranche.phase !== 'staging') continue
    happen(world, host, { kind: 'trancheStaged', tranche: tranche.id })
    happen(world, host, { kind: 'trancheSubmitted', tranche: tranche.id, localId: '1' })
    for (const task of rangesValues(tranche.tasks)) {
      const status = {
        kind: 'ended', how: 'exited', exitCode: 0, startedEpochMs: world.nowMs,
        endedEpochMs: world.nowMs + 1_000,
      } as const
      happen(world, host, { kind: 'tasksObserved', tasks: [{ tranche: tranche.id, task, status }] })
      happen(world, host, {
        kind: 'taskCollected', tranche: tranche.id, task, treeBytes: 1, missing: [],
        tree: sha256Hex(`${tranche.id} ${task}`),
      })
    }
  }
  carry(world)
  takeAll(world, home)
}

t('[JOB-8] [JOB-12] a job begins when its parents, which ran elsewhere, are done', () => {
  const [world, home, host] = federation(2)
  const parent = away({ name: 'parent' })
  const after = [{ kind: 'afterok', job: parent.id, delay_seconds: 60 }] as const
  const child = away({ name: 'child', after })
  const orphan = happen(world, home!, { kind: 'jobSubmitted', request: 'r', job: child })
  assert.match(JSON.stringify(orphan), 'bad_dependency')
  submitJob(world, home!, parent)
  submitJob(world, home!, child)
  assert.equal([jobOf(home!, child).round, rangesSize(jobOf(home!, child).waiting)], [0, 0])
  assert.match(jobOf(home!, child).note, `waits for job ${parent.id} to be done`)
  const circle = request({
    verb: 'alter', change: { after: [{ kind: 'afterany', job: child.id, delay_seconds: 0 }] },
  })
  const words = detail(ask(world, home!, child, circle))
  assert.match(words, `job ${child.id} waits for job ${child.id}`)
  runOut(world, home!, host!)
  assert.equal(jobOf(home!, parent).state.kind, 'ended')
  pass(world, 30_000)
  assert.equal(jobOf(home!, child).round, 0)
  pass(world, 40_000)
  assert.equal(jobOf(home!, child).round, 1)
})

t('[JOB-9] what can never be fulfilled ends, and says which', () => {
  const [world, home] = federation(2)
  const parent = away({ hold: 1 })
  submitJob(world, home!, parent)
  const wait = (kind: 'afterok' | 'afternotok' | 'aftercorr' | 'after', name: string): SignedJob =>
    away({ name, hold: 0, after: [{ kind, job: parent.id, delay_seconds: 0 }] })
  const children = [
    wait('afterok', 'a'), wait('afternotok', 'b'), wait('aftercorr', 'c'), wait('after', 'd'),
  ]
  for (const child of children) submitJob(world, home!, child)
  ask(world, home!, parent, request({ verb: 'cancel' }))
  pass(world, 5_000)
  const [ok, notOk, corr, begun] = children.map((child) => jobOf(home!, child))
  assert.equal([ok!.state.kind, corr!.state.kind], ['ended', 'ended'])
  assert.match(ok!.note, `4 cancelled: afterok job ${parent.id} can never be: it ended cancelled`)
  assert.match(corr!.note, 'its task 1 was not done')
  assert.equal([notOk!.round, begun!.round], [1, 1])
})

t('singleton: one of an owner and name at a time, in the order of submission', () => {
  const [world, home, host] = federation(2)
  const one = (nonce: string): SignedJob => away({
    name: 'line', nonce: nonce.repeat(32), tasks: '1', after: [
      { kind: 'singleton', job: '', delay_seconds: 0 },
    ],
  })
  const line = [one('1'), one('2'), one('3')]
  for (const job of line) submitJob(world, home!, job)
  const rounds = (): number[] => line.map((job) => jobOf(home!, job).round)
  assert.equal(rounds(), [1, 0, 0])
  ask(world, home!, line[1]!, request({ verb: 'cancel' }))
  pass(world, 3_000)
  assert.equal(rounds(), [1, 0, 0])
  runOut(world, home!, host!)
  pass(world, 3_000)
  assert.equal(rounds(), [1, 0, 1])
})

t('a job begins at its time, and a parent is remembered for it', () => {
  const [world, home] = federation(2)
  const later = world.nowMs + 100_000
  const parent = away({ name: 'parent', tasks: '1', hold: 1 })
  submitJob(world, home!, parent)
  const job = away({
    begin_ms: later, after: [{ kind: 'afterany', job: parent.id, delay_seconds: 300_000 }],
    after_any: 1,
  })
  const timed = away({ name: 'timed', begin_ms: later })
  submitJob(world, home!, job)
  submitJob(world, home!, timed)
  ask(world, home!, parent, request({ verb: 'cancel' }))
  pass(world, 99_000)
  assert.equal(jobOf(home!, timed).round, 0)
  pass(world, 4_000)
  assert.equal([jobOf(home!, timed).round, jobOf(home!, job).round], [1, 0])
  world.nowMs += 86_400_000 * 2
  pass(world, 2_000)
  assert.ok(view(home!).get('jobs', parent.id), 'it is not forgotten while one waits for it')
  const early = { begin_ms: world.nowMs + 367 * 86_400_000 }
  const bad = request({ verb: 'alter', change: early })
  assert.match(detail(ask(world, home!, job, bad)), 'within a year')
})
