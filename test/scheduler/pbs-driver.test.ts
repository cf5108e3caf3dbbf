// The driver of OpenPBS, held to the suite of all drivers on fake commands, with the server's
// history and without.
// time limit: 900 s

import type { Submission } from '../../node/scheduler/driver.ts'
import { pbsTongue } from '../../node/scheduler/pbs.ts'
import { fakeRig } from '../fakes/batch-commands/rig.ts'
import type { FakeRig } from '../fakes/batch-commands/rig.ts'
import { openPbs } from '../fakes/pbs-commands/openpbs.ts'
import { assert, eventually, suite } from '../harness.ts'
import type { Context } from '../harness.ts'
import { pointedAt } from '../real/pointed.ts'
import { driverSuite } from '../suites/driver.ts'

const never = new AbortController().signal
const oneNode = { nodes: [{ name: 'n1', cores: 4, memoryBytes: 4 * 2 ** 30 }] }

async function prepare(ctx: Context, history: boolean): Promise<FakeRig> {
  return await fakeRig(ctx, {
    dialect: (machine) => openPbs(machine, { history, operator: true }),
    tongue: (config) => pbsTongue({ ...config, operator: true }),
    query: 'qstat', machine: oneNode, holdsOnlyWhole: true,
  })
}

const t = suite('openpbs driver')

t('holds an array as a whole, and says so when only a part is meant', async (ctx) => {
  const rig = await prepare(ctx, true)
  const driver = await rig.open()
  ctx.after(() => driver.stop())
  const submission: Submission = {
    tag: 'ab'.repeat(8), jobName: 'whole', environment: {}, command: ['sleep', '500'],
    tasks: [0, 1, 2].map((taskIndex) => ({ taskIndex, directory: rig.taskDirectory() })),
    resources: { coresPerTask: 2, memoryBytesPerTask: 0, walltimeSeconds: 600 },
  }
  const states = async (): Promise<string> => (await driver.query(never)).map(({ status }) =>
    status.kind === 'queued' && status.held ? 'held' : status.kind).join()
  assert.accepted(await driver.submit(submission, never))
  await eventually(async () => await states() === 'running,running,queued', { timeoutSeconds: 60 })
  // Two run: all that waits is the whole of what can be held.
  assert.accepted(await driver.control(submission.tag, 'all', { kind: 'hold' }, never))
  assert.equal(await states(), 'running,running,held')
  assert.accepted(await driver.control(submission.tag, 'all', { kind: 'release' }, never))
  await driver.cancel(submission.tag, 'all', never)
  const blocker = { ...submission, tag: 'cd'.repeat(8), tasks: submission.tasks.slice(0, 1) }
  const whole = { ...blocker.resources, coresPerTask: 4 }
  assert.accepted(await driver.submit({ ...blocker, resources: whole }, never))
  const waiting = { ...submission, tag: 'ef'.repeat(8) }
  assert.accepted(await driver.submit(waiting, never))
  const part = await driver.control(waiting.tag, [1], { kind: 'hold' }, never)
  assert.match(assert.refused(part, 'unable').words, /only as a whole/)
}, { timeoutSeconds: 120 })

driverSuite('driver: openpbs', (ctx) => prepare(ctx, true), { outages: true })
driverSuite('driver: openpbs without history', (ctx) => prepare(ctx, false), { outages: true })

pointedAt('GRIDNODE_TEST_PBS', pbsTongue, { holdsOnlyWhole: true })
