// The queues of a home: admission in its order, hours over midnight and weeks, room, points.

import type { QueueRule, QueueRules, Span } from '../../protocol/rules/queue.ts'
import {
  admitted, faded, noUse, opensAt, parseHours, points, roomIn,
} from '../../protocol/rules/queue.ts'
import { assert, suite } from '../harness.ts'

const t = suite('queues')

const open: QueueRule = {
  name: 'normal', access: ['*'], priority: 100, jobs: 0, jobsPerUser: 0, tasks: 0, tasksPerUser: 0,
  tasksPerJob: 0, coresPerTask: 0, walltimeSeconds: 0, hours: [],
}

function rules(...queues: readonly Partial<QueueRule>[]): QueueRules {
  return {
    byDefault: 'normal', queues: queues.map((one) => ({ ...open, ...one })), owners: new Map(),
    agePoints: 10, fairPoints: 500, fairHalfLifeSeconds: 3_600, urgent: 0, urgentSeconds: 600,
    offsetMinutes: 0,
  }
}

const ask = { user: 'ada', cores: 4, walltime_seconds: 600 }
const size = { tasks: 10, all: noUse, user: noUse }

function reason(of: QueueRules, job: object = {}, how: object = {}): string {
  const outcome = admitted(of, { ...ask, ...job }, { ...size, ...how })
  return outcome.ok ? outcome.value.name : outcome.refusal.reason
}

t('[QUEUE-1] a queue that is not there is named, with those that are', () => {
  assert.equal(reason(rules({})), 'normal')
  assert.equal(reason(rules({}, { name: 'night' }), { queue: 'night' }), 'night')
  const outcome = admitted(rules({}), { ...ask, queue: 'nihgt' }, size)
  assert.equal(outcome.ok ? '' : outcome.refusal.detail,
    'this site has no queue nihgt; it has normal')
})

t('[QUEUE-2] the first entry of the access list that matches counts', () => {
  const access = ['-eve', 'ada', 'project:physics']
  assert.equal(reason(rules({ access })), 'normal')
  assert.equal(reason(rules({ access }), { user: 'bob' }), 'queue_access')
  assert.equal(reason(rules({ access }), { user: 'bob', project: 'physics' }), 'normal')
  assert.equal(reason(rules({ access }), { user: 'eve', project: 'physics' }), 'queue_access')
})

t('[QUEUE-3] [QUEUE-4] no larger jobs and no more of them', () => {
  assert.equal(reason(rules({ tasksPerJob: 9 })), 'queue_size')
  assert.equal(reason(rules({ coresPerTask: 3 })), 'queue_size')
  assert.equal(reason(rules({ walltimeSeconds: 599 })), 'queue_size')
  assert.equal(reason(rules({ tasksPerJob: 10, coresPerTask: 4, walltimeSeconds: 600 })), 'normal')
  assert.equal(reason(rules({ jobs: 2 }), {}, { all: { jobs: 2, tasks: 0 } }), 'queue_full')
  assert.equal(reason(rules({ jobsPerUser: 2 }), {}, { user: { jobs: 2, tasks: 0 } }), 'queue_full')
  assert.equal(reason(rules({ jobsPerUser: 2 }), {}, { all: { jobs: 9, tasks: 0 } }), 'normal')
})

/** Of the week that began on Monday, 5 January 1970. */
function at(day: number, hour: number, minute = 0): number {
  return Date.UTC(1970, 0, 5 + day, hour, minute)
}

function hours(...texts: readonly string[]): readonly Span[] {
  return texts.flatMap((text) => {
    const read = parseHours(text)
    return read.ok ? read.value : assert.fail(read.refusal.detail)
  })
}

t('[QUEUE-5] hours: over midnight, over the weekend, in the site\'s own time', () => {
  const night = hours('mon-fri 18:00-08:00', 'sat-sun')
  const waits = (day: number, hour: number, offset = 0): number =>
    (opensAt(night, at(day, hour), offset) - at(day, hour)) / 3_600_000
  assert.equal(waits(0, 17), 1)
  assert.equal(waits(0, 18), 0)
  assert.equal(waits(1, 7), 0)
  assert.equal(waits(1, 8), 10)
  assert.equal(waits(4, 12), 6)
  assert.equal(waits(5, 12), 0)
  assert.equal(waits(6, 23), 0)
  assert.equal(waits(0, 0), 18, 'Sunday ends at midnight')
  assert.equal(waits(0, 17, 60), 0, 'it is six already where the site is')
  const late = hours('sun 22:00-06:00')
  assert.equal(opensAt(late, at(0, 5), 0), at(0, 5), 'the night of Sunday ends on Monday')
  assert.equal(opensAt(late, at(0, 6), 0), at(6, 22))
  assert.equal(opensAt(hours('12:00-13:00'), at(2, 13), 0), at(3, 12))
  for (const wrong of ['', 'mo', 'mon-xyz', '25:00-26:00', '10:00', 'mon 10:61-11:00']) {
    assert.ok(!parseHours(wrong).ok, wrong)
  }
})

t('[QUEUE-5] room is what the limits leave, with the reason when there is none', () => {
  const room = (queue: Partial<QueueRule>, all: number, own: number) =>
    roomIn(rules(), { ...open, ...queue }, {
      user: 'ada', all: { jobs: 1, tasks: all }, own: { jobs: 1, tasks: own },
    }, { most: 1_000, nowMs: at(0, 0) })
  assert.equal(room({}, 500, 500).tasks, 1_000)
  assert.equal(room({ tasks: 10 }, 7, 0).tasks, 3)
  assert.equal(room({ tasks: 10, tasksPerUser: 5 }, 7, 4).tasks, 1)
  assert.match(room({ tasks: 10 }, 12, 0).why, 'has 12 tasks under way')
  assert.match(room({ tasksPerUser: 5 }, 12, 5).why, 'ada has 5 tasks')
  const closed = room({ hours: hours('tue') }, 0, 0)
  assert.equal([closed.tasks, closed.untilEpochMs], [0, at(1, 0)])
})

t('[QUEUE-6] points: queue, owner, age, the job, less what was used', () => {
  const by = { ...rules({}), owners: new Map([['ada', 50]]) }
  const job = { user: 'ada', submittedEpochMs: 0, priority: 1_024, usedPermille: 0 }
  assert.equal(points(by, open, job, 0), 150)
  assert.equal(points(by, open, job, 2 * 3_600_000), 170)
  assert.equal(points(by, open, job, 10_000 * 3_600_000), 150 + 10 * 168, 'age has a bound')
  assert.equal(points(by, open, { ...job, priority: 1_000 }, 0), 126)
  assert.equal(points(by, open, { ...job, usedPermille: 500 }, 0), -100)
  assert.equal(points(by, open, { ...job, user: 'bob' }, 0), 100)
})

t('what was used fades by half', () => {
  const used = { coreSeconds: 1_000, atEpochMs: 0 }
  assert.equal(faded(used, 0, 10), 1_000)
  assert.equal(faded(used, 10_000, 10), 500)
  assert.equal(faded(used, 15_000, 10), 375)
  assert.equal(faded(used, 20_000, 10), 250)
  assert.equal(faded(used, 10 ** 9, 10), 0)
})
