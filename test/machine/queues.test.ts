// The queues of a home at work, between a home and a host: who is kept back, by whom, how long.

import { rangesSize } from '../../protocol/base/ranges.ts'
import type { Self } from '../../protocol/machine/state.ts'
import type { SignedJob } from '../../protocol/rules/job.ts'
import type { QueueRule, QueueRules } from '../../protocol/rules/queue.ts'
import { assert, suite } from '../harness.ts'
import { jobWith } from '../sim/users.ts'
import type { Site } from './pair.ts'
import { federation, homeTranches, pass, runAll, submitJob, takeAll, view } from './pair.ts'

const t = suite('queues at work')

const open: QueueRule = {
  name: 'normal', access: ['*'], priority: 0, jobs: 0, jobsPerUser: 0, tasks: 0, tasksPerUser: 0,
  tasksPerJob: 0, coresPerTask: 0, walltimeSeconds: 0, hours: [],
}

function withQueues(...queues: readonly Partial<QueueRule>[]): readonly Partial<Self>[] {
  const rules: QueueRules = {
    byDefault: 'normal', queues: [open, ...queues.map((one) => ({ ...open, ...one }))],
    owners: new Map(), agePoints: 0, fairPoints: 0, fairHalfLifeSeconds: 3_600, urgent: 9_000,
    urgentSeconds: 60, offsetMinutes: 0,
  }
  return [{ queues: rules }]
}

const away = (change: Parameters<typeof jobWith>[0] = {}): SignedJob =>
  jobWith({ place: 'remote', inputs: '', inputs_bytes: 0, ...change })

/** One that no site can run. */
const hopeless = { queue: 'emergency', cores: 1_000 }

const placed = (home: Site, { id }: SignedJob): number => homeTranches(home)
  .filter(({ job }) => job === id).reduce((sum, { tasks }) => sum + rangesSize(tasks), 0)
const noteOf = (home: Site, { id }: SignedJob): string => view(home).get('jobs', id)!.note

t('[QUEUE-7] an urgent job that waits keeps others back, for a bounded time', () => {
  const [world, home] = federation(2, withQueues({ name: 'emergency', priority: 9_000 }))
  const [urgent, other] = [away(hopeless), away({ name: 'other' })]
  submitJob(world, home!, urgent)
  submitJob(world, home!, other)
  assert.equal(placed(home!, other), 0)
  assert.match(noteOf(home!, other), `job ${urgent.id} is urgent`)
  pass(world, 200_000)
  assert.equal(placed(home!, other), 1)
})

t('[QUEUE-7] one whose own queue is closed or full keeps nobody back', () => {
  const aWeek = 7 * 24 * 60
  for (const closed of [{ hours: [{ from: aWeek - 1, until: aWeek }] }, { tasks: 1 }]) {
    const [world, home] = federation(2, withQueues({
      name: 'emergency', priority: 9_000, ...closed,
    }))
    // Fills the queue that takes one task.
    if ('tasks' in closed) submitJob(world, home!, away({ queue: 'emergency', name: 'first' }))
    const [urgent, other] = [away(hopeless), away({ name: 'other' })]
    submitJob(world, home!, urgent)
    submitJob(world, home!, other)
    assert.equal(placed(home!, other), 1)
    pass(world, 10_000)
    assert.match(noteOf(home!, urgent), 'queue emergency')
  }
})

t('[QUEUE-5] no more tasks are placed than the queue has room for, and all in the end', () => {
  const [world, home, host] = federation(2, withQueues({ name: 'narrow', tasks: 1 }))
  const job = away({ queue: 'narrow', tasks: '1-2', array: 1 })
  submitJob(world, home!, job)
  assert.equal(placed(home!, job), 1)
  pass(world, 5_000)
  assert.equal(placed(home!, job), 1)
  runAll(world, host!)
  takeAll(world, home!)
  pass(world, 5_000)
  assert.equal(placed(home!, job), 2)
})
