// The fake scheduler passes the suite of the real ones, on virtual time.

import { SchedulerFailure } from '../../node/scheduler/driver.ts'
import type { Submission } from '../../node/scheduler/driver.ts'
import { FakeCluster, FakeDriver } from '../fakes/fake-driver.ts'
import { assert, suite } from '../harness.ts'
import { driverSuite } from '../suites/driver.ts'

const never = new AbortController().signal
const makeCluster = (clock: { now(): number }): FakeCluster =>
  new FakeCluster({ clock, cores: 4, memoryBytes: 2 ** 30, walltimeSecondsMax: 86_400 })

driverSuite('driver: fake', async () => {
  let now = 1_700_000_000_000
  const cluster = makeCluster({ now: () => now })
  return {
    coresTotal: 4, coresTooMany: 5, timeoutSeconds: 30,
    advance: (ms) => { now += ms },
    async open() {
      const driver = new FakeDriver(cluster)
      await driver.start()
      return driver
    },
    taskDirectory: () => '/nowhere',
    output: ({ tag }, taskIndex) => cluster.output(tag, taskIndex),
    queriesAsked: () => cluster.asked.query,
    outage: {
      async begin() { cluster.faults.unreachable = true },
      async end() { cluster.faults.unreachable = false },
    },
  }
}, { outages: true })

const t = suite('fake driver: faults')

const submission: Submission = {
  tag: '00000000000000aa', jobName: 'x', command: ['sleep', '10'], environment: {},
  tasks: [{ taskIndex: 0, directory: '/nowhere' }, { taskIndex: 1, directory: '/nowhere' }],
  resources: { coresPerTask: 1, memoryBytesPerTask: 0, walltimeSeconds: 60 },
}

t('does what it was asked although the answer is lost, and does it once', async () => {
  const cluster = makeCluster({ now: () => 5_000 })
  const driver = new FakeDriver(cluster)
  await driver.start()
  cluster.faults.answersLost = true
  const error = await assert.rejects(driver.submit(submission, never), /lost its answer/)
  assert.ok(error instanceof SchedulerFailure)
  cluster.faults.answersLost = false
  assert.accepted(await driver.submit(submission, never))
  assert.equal(cluster.starts, ['00000000000000aa.0', '00000000000000aa.1'])
})

t('loses a task, ends the others at their own time', async () => {
  let now = 1_000
  const cluster = makeCluster({ now: () => now })
  assert.accepted(cluster.submit(submission))
  now = 3_000
  cluster.loseTask(submission.tag, 0)
  assert.equal(cluster.wakeAt(), 11_000)
  now = 50_000
  const ended = { kind: 'ended', startedEpochMs: 1_000 }
  assert.equal(cluster.query().map((seen) => seen.status), [
    { ...ended, how: 'lost', exitCode: -1, endedEpochMs: 3_000 },
    {
      ...ended, how: 'exited', exitCode: 0, endedEpochMs: 11_000,
      cpuMs: 1, memoryBytesPeak: 2 ** 20,
    },
  ])
})
