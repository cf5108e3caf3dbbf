// What goes wrong at a scheduler, drilled on the fake commands of PBS, Torque, LSF and HTCondor: an
// answer that is lost, ids that wrap and are used again, ends that only the scheduler knows of,
// jobs that it has forgotten, answers that nobody can read.
// time limit: 900 s

import { chmodSync, chownSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { BatchDriver } from '../../node/scheduler/batch-driver.ts'
import type { Tongue } from '../../node/scheduler/batch-tongue.ts'
import type { BatchConfig } from '../../node/scheduler/batch-driver.ts'
import type { EndedTask, Submission, TaskStatus } from '../../node/scheduler/driver.ts'
import { htcondorTongue } from '../../node/scheduler/htcondor.ts'
import { lsfTongue } from '../../node/scheduler/lsf.ts'
import { pbsTongue } from '../../node/scheduler/pbs.ts'
import { torqueTongue } from '../../node/scheduler/torque.ts'
import type { FakeMachine, FakeTask, MachineOptions } from '../fakes/batch-commands/machine.ts'
import { fakeRig, readOutput } from '../fakes/batch-commands/rig.ts'
import type { FakeRig } from '../fakes/batch-commands/rig.ts'
import type { Dialect } from '../fakes/batch-commands/service.ts'
import { condor } from '../fakes/condor-commands/condor.ts'
import { lsf } from '../fakes/lsf-commands/lsf.ts'
import { openPbs } from '../fakes/pbs-commands/openpbs.ts'
import { torque } from '../fakes/pbs-commands/torque.ts'
import { assert, eventually, suite } from '../harness.ts'
import type { Context } from '../harness.ts'

const never = new AbortController().signal
const timeoutSeconds = 90

interface Scheduler {
  readonly name: string
  readonly dialect: (machine: FakeMachine) => Dialect
  readonly tongue: (config: BatchConfig) => Tongue
  readonly submit: string
  readonly query: string
  /** An option that its submit command does not know. */
  readonly wrong: (config: BatchConfig) => Tongue
}

const extraArguments = ['--nosuch']
const schedulers: readonly Scheduler[] = [
  {
    name: 'openpbs', submit: 'qsub', query: 'qstat',
    dialect: (machine) => openPbs(machine, { history: true, operator: true }),
    tongue: (config) => pbsTongue({ ...config, operator: true }),
    wrong: (config) => pbsTongue({ ...config, extraArguments }),
  },
  {
    name: 'torque', submit: 'qsub', query: 'qstat',
    dialect: (machine) => torque(machine, { operator: true }),
    tongue: (config) => torqueTongue({ ...config, operator: true }),
    wrong: (config) => torqueTongue({ ...config, extraArguments }),
  },
  {
    name: 'lsf', submit: 'bsub', query: 'bjobs', dialect: lsf, tongue: lsfTongue,
    wrong: (config) => lsfTongue({ ...config, extraArguments }),
  },
  {
    name: 'htcondor', submit: 'condor_submit', query: 'condor_q',
    dialect: condor, tongue: htcondorTongue,
    wrong: (config) => htcondorTongue({ ...config, extraLines: ['no_such_command = 1'] }),
  },
]

interface Bench {
  readonly rig: FakeRig
  readonly driver: BatchDriver
}

async function open(
  ctx: Context, scheduler: Scheduler, machine: Omit<MachineOptions, 'directory'> = {},
): Promise<Bench> {
  const rig = await fakeRig(ctx, { ...scheduler, machine })
  const driver = await rig.open()
  ctx.after(() => driver.stop())
  return { rig, driver }
}

let tags = 0

function make(rig: FakeRig, script: string, tasks = 1): Submission {
  return {
    tag: (++tags).toString(16).padStart(16, 'd'), jobName: 'drill', environment: {},
    command: ['sh', '-c', script],
    tasks: Array.from({ length: tasks }, (_, taskIndex) =>
      ({ taskIndex, directory: rig.taskDirectory() })),
    resources: { coresPerTask: 1, memoryBytesPerTask: 2 ** 20, walltimeSeconds: 600 },
  }
}

async function statusOf(driver: BatchDriver, { tag }: Submission): Promise<TaskStatus | undefined> {
  return (await driver.query(never)).find((seen) => seen.tag === tag)?.status
}

async function until(
  driver: BatchDriver, submission: Submission, holds: (status: TaskStatus) => boolean,
): Promise<TaskStatus> {
  return await eventually(async () => {
    const status = await statusOf(driver, submission)
    return status && holds(status) ? status : undefined
  }, { timeoutSeconds })
}

async function endOf(driver: BatchDriver, submission: Submission): Promise<EndedTask> {
  const ended = await until(driver, submission, (status) => status.kind === 'ended')
  assert.ok(ended.kind === 'ended')
  return ended
}

async function begun({ rig, driver }: Bench, submission: Submission): Promise<FakeTask> {
  assert.accepted(await driver.submit(submission, never))
  await eventually(() => readOutput(submission, 0).stdout.startsWith('begun'), { timeoutSeconds })
  await until(driver, submission, (status) => status.kind === 'running')
  const task = rig.machine.tasks().findLast((one) => one.state === 'running')
  assert.ok(task)
  return task
}

async function code(promise: Promise<unknown>): Promise<string | undefined> {
  return (await assert.rejects(promise, /./) as { code?: string }).code
}

for (const scheduler of schedulers) {
  const t = suite(`drills: ${scheduler.name}`)
  const test = (name: string, body: (ctx: Context) => Promise<void>): void =>
    t(name, body, { timeoutSeconds: 240 })

  test('finds the job whose submission had no answer, instead of repeating it', async (ctx) => {
    const { rig, driver } = await open(ctx, scheduler)
    const submission = make(rig, 'echo once; exit 4')
    rig.service.faults.lost = true
    assert.equal(await code(driver.submit(submission, never)), 'unreachable')
    rig.service.faults.lost = false
    assert.equal(await driver.query(never), [], 'nothing is said of what may not exist')
    await driver.stop()
    const again = await rig.open()
    assert.accepted(await again.submit(submission, never))
    assert.equal(rig.service.asked(scheduler.submit), 1)
    assert.equal((await endOf(again, submission)).exitCode, 4)
    assert.equal(readOutput(submission, 0).stdout, 'once\n')
    await again.stop()
  })

  test('leaves a job alone that has our id and is not ours', async (ctx) => {
    const { rig, driver } = await open(ctx, scheduler)
    const submission = make(rig, 'echo begun; sleep 500')
    const task = await begun({ rig, driver }, submission)
    const { job } = task
    await rig.machine.clear()
    rig.machine.nextId = job.id
    const other = rig.machine.submit({
      ...job, name: 'somebodys', attributes: { own: '{}' },
      command: ['/bin/sleep', '500'],
    }, '')
    assert.equal(other.id, job.id)
    await driver.cancel(submission.tag, 'all', never)
    assert.equal(other.tasks[0]?.state, 'running')
    // Killed without a record, and its job unknown: not running by the other's state.
    const status = await statusOf(driver, submission)
    assert.ok(status?.kind !== 'queued')
    assert.equal(other.tasks[0]?.ending, undefined)
  })

  test('tells what the scheduler ended: walltime, memory, an operator', async (ctx) => {
    const bench = await open(ctx, scheduler)
    for (const [ending, how] of [
      ['walltime', 'walltime'], ['memory', 'memory'], ['deleted', 'cancelled'],
    ] as const) {
      const submission = make(bench.rig, 'echo begun; sleep 500')
      const task = await begun(bench, submission)
      if (scheduler.name === 'htcondor' && ending === 'walltime') {
        // It ends no task for time by itself: the submission's own policy does.
        task.startedMs -= 700_000
      } else if (scheduler.name === 'htcondor' && ending === 'deleted') {
        const words = [`${task.job.id}.${task.index}`]
        await command(bench.rig, 'condor_rm', words)
      } else {
        const signal = ending === 'memory' ? 'SIGKILL' : 'SIGTERM'
        bench.rig.machine.end(task, ending, { signal })
      }
      const ended = await endOf(bench.driver, submission)
      assert.equal([ended.how, ended.exitCode > 128], [how, true], ending)
    }
  })

  test('calls a task lost whose node went away', async (ctx) => {
    const bench = await open(ctx, scheduler)
    const submission = make(bench.rig, 'echo begun; sleep 500')
    const task = await begun(bench, submission)
    // HTCondor puts such a job back into the queue.
    if (scheduler.name === 'htcondor') {
      task.requeue = true
      bench.rig.machine.signal(task, 'SIGKILL')
    } else bench.rig.machine.lose(task)
    const ended = await endOf(bench.driver, submission)
    assert.equal([ended.how, ended.exitCode], ['lost', -1])
    assert.equal(readOutput(submission, 0).stdout, 'begun\n')
  })

  test('knows how a task ended that the scheduler has forgotten', async (ctx) => {
    const { rig, driver } = await open(ctx, scheduler)
    const submission = make(rig, 'exit $((GRIDNODE_TASK_ID + 5))', 2)
    assert.accepted(await driver.submit(submission, never))
    await driver.stop()
    await eventually(() => rig.machine.tasks().every((task) => task.state === 'ended'), {
      timeoutSeconds,
    })
    rig.machine.forgetEnded()
    const again = await rig.open()
    const seen = await eventually(async () => {
      const all = await again.query(never)
      const over = all.length === 2 && all.every(({ status }) => status.kind === 'ended')
      return over ? all : undefined
    }, { timeoutSeconds })
    assert.equal(seen.map(({ status }) => status.kind === 'ended' && status.exitCode), [5, 6])
    await again.stop()
  })

  test('asks the accounting for what was ended while it waited and is forgotten', async (ctx) => {
    // PBS and Torque have none that a user may ask.
    if (scheduler.query.startsWith('q')) return
    const bench = await open(ctx, scheduler, {
      nodes: [{ name: 'n1', cores: 1, memoryBytes: 2 ** 33 }],
    })
    const { rig, driver } = bench
    await begun(bench, make(rig, 'echo begun; sleep 500'))
    const waiting = make(rig, 'echo ran')
    const { localId } = assert.accepted(await driver.submit(waiting, never))
    await until(driver, waiting, (status) => status.kind === 'queued')
    await command(rig, scheduler.name === 'lsf' ? 'bkill' : 'condor_rm', [localId])
    rig.machine.forgetEnded()
    const ended = await endOf(driver, waiting)
    assert.equal([ended.how, ended.exitCode], ['cancelled', -1])
  })

  test('counts on when ids wrap', async (ctx) => {
    const { rig, driver } = await open(ctx, scheduler, { idMax: 2 })
    const ids: string[] = []
    for (const wanted of [3, 4, 5]) {
      const submission = make(rig, `exit ${wanted}`)
      ids.push(assert.accepted(await driver.submit(submission, never)).localId)
      assert.equal((await endOf(driver, submission)).exitCode, wanted)
      rig.machine.forgetEnded()
    }
    assert.equal(ids, ['1', '2', '1'])
  })

  test('ends nothing by an answer that it cannot read', async (ctx) => {
    const bench = await open(ctx, scheduler)
    const { rig, driver } = bench
    const submission = make(rig, 'echo begun; sleep 500')
    await begun(bench, submission)
    rig.service.faults.change = ({ program }, answer) => program === scheduler.query
      ? { stdout: 'The scheduler is being upgraded.\n', code: 0 }
      : answer
    assert.equal(await code(driver.query(never)), 'malformed')
    rig.service.faults.change = undefined
    assert.equal((await statusOf(driver, submission))?.kind, 'running')
  })

  test('says when it is full, and when an option is wrong', async (ctx) => {
    const queues = [{ name: 'work', walltimeSecondsMax: 86_400, tasksMax: 2 }]
    const { rig, driver } = await open(ctx, scheduler, { queues })
    assert.refused(await driver.submit(make(rig, 'true', 3), never), 'full')
    const wrong = await fakeRig(ctx, { ...scheduler, tongue: scheduler.wrong })
    const other = await wrong.open()
    const refusal = assert.refused(await other.submit(make(wrong, 'true'), never), 'refused')
    assert.ok(/nosuch|invalid option|no_such|option/i.test(refusal.words), refusal.words)
    await other.stop()
  })

  test('runs a task again that is requeued, and counts its end once', async (ctx) => {
    const bench = await open(ctx, scheduler)
    const { rig, driver } = bench
    const script = 'echo begun; if [ -e again ]; then exit 6; fi; touch again; sleep 500'
    const submission = make(rig, script)
    await begun(bench, submission)
    await eventually(() => rig.machine.tasks()[0]?.state === 'running', { timeoutSeconds })
    assert.accepted(await driver.control(submission.tag, 'all', { kind: 'requeue' }, never))
    const ended = await endOf(driver, submission)
    assert.equal([ended.how, ended.exitCode], ['exited', 6])
    assert.equal(readOutput(submission, 0).stdout, 'begun\nbegun\n')
  })

  test('asks once for five hundred jobs', async (ctx) => {
    const { rig, driver } = await open(ctx, scheduler, {
      nodes: [{ name: 'n1', cores: 4, memoryBytes: 2 ** 33 }],
    })
    const blocker = { ...make(rig, 'echo begun; sleep 500') }
    const whole = { ...blocker.resources, coresPerTask: 4 }
    assert.accepted(await driver.submit({ ...blocker, resources: whole }, never))
    const submission = make(rig, 'true', 500)
    assert.accepted(await driver.submit(submission, never))
    const before = rig.service.asked(scheduler.query)
    const seen = await driver.query(never)
    assert.equal([seen.length, rig.service.asked(scheduler.query) - before], [501, 1])
    await driver.cancel(submission.tag, 'all', never)
    await eventually(async () => (await driver.query(never))
      .every(({ tag, status }) => tag !== submission.tag || status.kind === 'ended'), {
      timeoutSeconds,
    })
  })

  test('submits as another account', async (ctx) => {
    if (process.getuid?.() !== 0) ctx.skip('only root may run commands as others')
    const { rig, driver } = await open(ctx, scheduler)
    const account = {
      name: 'nobody', uid: 65_534, gid: 65_534, groups: [65_534], home: '/',
    }
    openUp(rig)
    const submission = { ...make(rig, 'exit 3'), account }
    for (const { directory } of submission.tasks) chownSync(directory, account.uid, account.gid)
    assert.accepted(await driver.submit(submission, never))
    assert.equal([...rig.machine.jobs.values()].map(({ owner }) => owner), ['nobody'])
    const ended = await endOf(driver, submission)
    assert.equal([ended.how, ended.exitCode], ['exited', 3])
  })
}

/** The commands' directory and the tasks' must be within another account's reach. */
function openUp(rig: FakeRig): void {
  const root = join(rig.machine.directory, '..')
  chmodSync(root, 0o755)
  chmodSync(rig.machine.directory, 0o755)
  chmodSync(join(rig.machine.directory, 'calls'), 0o1777)
  mkdirSync(join(root, 'state'), { recursive: true })
  chmodSync(join(root, 'state'), 0o755)
}

async function command(rig: FakeRig, program: string, words: readonly string[]): Promise<void> {
  const { run } = await import('../../node/scheduler/exec.ts')
  await run([join(rig.service.binDirectory, program), ...words], { timeoutMs: 60_000 })
}
