// The driver of Grid Engine, held to the suite of all drivers on a real one, then to what only a
// real one shows.
// time limit: 600 s

import { chownSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Driver, Submission, TaskStatus } from '../../node/scheduler/driver.ts'
import { detectSchedulers } from '../../node/scheduler/detect.ts'
import { gridEngineDriver, gridEngineTongue } from '../../node/scheduler/grid-engine.ts'
import type { GridEngineConfig } from '../../node/scheduler/grid-engine.ts'
import { assert, eventually, suite } from '../harness.ts'
import type { Context } from '../harness.ts'
import { driverSuite } from '../suites/driver.ts'
import type { DriverRig } from '../suites/driver-rig.ts'
import { openBench, readOutput } from './batch-rig.ts'
import type { Bench } from './batch-rig.ts'
import { pointedAt } from './pointed.ts'
import { gridEngineMissing, startGridEngine } from './grid-engine-cluster.ts'
import type { GridEngineCluster, GridEngineOptions } from './grid-engine-cluster.ts'

const never = new AbortController().signal
const commands = ['qsub', 'qstat', 'qacct', 'qdel', 'qhold', 'qrls', 'qmod']

interface Rig extends DriverRig {
  readonly cluster: GridEngineCluster
  readonly bench: Bench
  readonly config: GridEngineConfig
}

let shared: GridEngineCluster | undefined

async function openCluster(
  ctx: Context,
  options: GridEngineOptions = {},
): Promise<GridEngineCluster> {
  const missing = gridEngineMissing()
  if (missing.length > 0) {
    const packages = 'gridengine-master gridengine-exec gridengine-client'
    ctx.skip(`needs ${missing.join(', ')}: apt install ${packages}`)
  }
  if (process.getuid?.() !== 0) ctx.skip('Grid Engine starts jobs only as root')
  const cluster = await startGridEngine(ctx.tmp(), options)
  ctx.after(() => cluster.stop())
  return cluster
}

async function prepare(ctx: Context, cluster = shared): Promise<Rig> {
  assert.ok(cluster)
  const bench = openBench(ctx.tmp(), cluster.programs, commands)
  const config: GridEngineConfig = {
    ...cluster.config, stateDirectory: join(bench.root, 'state'), graceSeconds: 1,
    binDirectory: bench.binDirectory,
  }
  return {
    cluster, bench, config, coresTotal: cluster.coresTotal, coresTooMany: 64, timeoutSeconds: 90,
    async open() {
      const driver = gridEngineDriver(config)
      await driver.start()
      return driver
    },
    taskDirectory: () => bench.taskDirectory(),
    output: readOutput,
    queriesAsked: () => bench.asked('qstat'),
    outage: {
      begin: () => cluster.stopMaster(),
      end: () => cluster.startMaster(),
    },
  }
}

const common = driverSuite('driver: grid engine', (ctx) => prepare(ctx), { outages: true })
common.before(async (ctx) => { shared = await openCluster(ctx) }, { timeoutSeconds: 120 })
common.after.each(async () => { await shared?.clear() }, { timeoutSeconds: 90 })

pointedAt('GRIDNODE_TEST_GRID_ENGINE', (config) => gridEngineTongue({
  ...config, parallelEnvironment: process.env['GRIDNODE_TEST_PARALLEL_ENVIRONMENT'] ?? 'smp',
}))

const t = suite('grid engine driver on a real one')
let own: GridEngineCluster | undefined
t.before(async (ctx) => {
  own = await openCluster(ctx, {
    complexes: [
      'gpu gpu INT <= YES YES 0 0', 'solver solver INT <= YES JOB 0 0',
    ],
    complexValues: 'gpu=4,solver=1',
  })
}, { timeoutSeconds: 120 })
t.after.each(async () => { await own?.clear() }, { timeoutSeconds: 90 })

function submissionOf(rig: Rig, tag: string, script: string): Submission {
  return {
    tag, jobName: 'real', command: ['sh', '-c', script], environment: {},
    tasks: [{ taskIndex: 0, directory: rig.taskDirectory() }],
    resources: { coresPerTask: 1, memoryBytesPerTask: 0, walltimeSeconds: 300 },
  }
}

async function open(
  ctx: Context,
  rig: Rig,
  changes: Partial<GridEngineConfig> = {},
): Promise<Driver> {
  const driver = gridEngineDriver({ ...rig.config, ...changes })
  await driver.start()
  ctx.after(() => driver.stop())
  return driver
}

async function until(driver: Driver, kind: TaskStatus['kind']): Promise<TaskStatus> {
  return await eventually(async () => {
    const [seen] = await driver.query(never)
    return seen?.status.kind === kind ? seen.status : undefined
  }, { timeoutSeconds: 90 })
}

t('finds the job whose submission had no answer, instead of submitting it again', async (ctx) => {
  const rig = await prepare(ctx, own)
  const driver = await open(ctx, rig)
  rig.bench.replace('qsub', '"$real" "$@" >/dev/null; echo "got send error" >&2; exit 1')
  const submission = submissionOf(rig, '00000000000001aa', 'echo once; sleep 1; exit 4')
  const error = await assert.rejects(driver.submit(submission, never), /send error/)
  assert.equal((error as { code?: string }).code, 'unreachable')
  assert.equal(await driver.query(never), [], 'nothing is said of a task that may not exist')
  await driver.stop()
  const again = await open(ctx, rig)
  assert.accepted(await again.submit(submission, never))
  assert.equal(rig.bench.asked('qsub'), 1)
  const ended = await until(again, 'ended')
  assert.equal(ended.kind === 'ended' && ended.exitCode, 4)
  assert.equal(readOutput(submission, 0).stdout, 'once\n')
})

t('runs a task once even if it was submitted twice', async (ctx) => {
  const rig = await prepare(ctx, own)
  const driver = await open(ctx, rig)
  const script = join(rig.bench.root, 'script')
  rig.bench.replace('qsub', `cat >'${script}'
"$real" "$@" <'${script}'
"$real" "$@" <'${script}' >/dev/null`)
  const submission = submissionOf(rig, '00000000000002aa', 'echo once; sleep 2; exit 3')
  assert.accepted(await driver.submit(submission, never))
  const ended = await until(driver, 'ended')
  assert.equal(ended.kind === 'ended' && [ended.how, ended.exitCode], ['exited', 3])
  await eventually(async () => (await rig.cluster.command(['qstat'])).trim() === '')
  assert.equal(readOutput(submission, 0).stdout, 'once\n')
})

t("takes no line of a task's command for a directive", async (ctx) => {
  const rig = await prepare(ctx, own)
  const driver = await open(ctx, rig)
  const command = 'echo ran\n#$ -q nosuchqueue\n#$ -h\nexit 0'
  assert.accepted(await driver.submit(submissionOf(rig, '00000000000003aa', command), never))
  const ended = await until(driver, 'ended')
  assert.equal(ended.kind === 'ended' && [ended.how, ended.exitCode], ['exited', 0])
})

t('passes exit codes on that mean something else to Grid Engine', async (ctx) => {
  const rig = await prepare(ctx, own)
  const driver = await open(ctx, rig)
  const tasks = [0, 1].map((taskIndex) => ({ taskIndex, directory: rig.taskDirectory() }))
  const script = 'exit $((99 + GRIDNODE_TASK_ID))'
  const submission = { ...submissionOf(rig, '00000000000004aa', script), tasks }
  assert.accepted(await driver.submit(submission, never))
  const codes = await eventually(async () => {
    const seen = (await driver.query(never)).map(({ status }) => status)
    const ended = seen.filter((status) => status.kind === 'ended')
    return ended.length === 2 ? ended.map(({ exitCode }) => exitCode) : undefined
  }, { timeoutSeconds: 90 })
  assert.equal(codes, [99, 100])
})

t("tells an operator's qdel, and what it left nothing of", async (ctx) => {
  const rig = await prepare(ctx, own)
  const driver = await open(ctx, rig)
  const script = 'echo begun; sleep 4444; echo "never"'
  const submission = submissionOf(rig, '00000000000005aa', script)
  const { localId } = assert.accepted(await driver.submit(submission, never))
  await eventually(() => readOutput(submission, 0).stdout === 'begun\n')
  await rig.cluster.command(['qdel', localId])
  const ended = await until(driver, 'ended')
  assert.equal(ended.kind === 'ended' && [ended.how, ended.exitCode], ['cancelled', 143])
})

t('gives up a job that Grid Engine holds in an error, and says why', async (ctx) => {
  const rig = await prepare(ctx, own)
  const driver = await open(ctx, rig)
  const prolog = join(rig.bench.root, 'prolog')
  writeFileSync(prolog, '#!/bin/sh\nexit 100\n', { mode: 0o755 })
  await rig.cluster.command(['qconf', '-mattr', 'queue', 'prolog', prolog, 'main'])
  ctx.after(() => rig.cluster.command(['qconf', '-mattr', 'queue', 'prolog', 'NONE', 'main']))
  assert.accepted(await driver.submit(submissionOf(rig, '00000000000006aa', 'echo ran'), never))
  const ended = await until(driver, 'ended')
  assert.ok(ended.kind === 'ended')
  assert.equal([ended.how, ended.exitCode], ['lost', -1])
  assert.match(ended.words ?? '', /prolog/)
  assert.equal((await rig.cluster.command(['qstat'])).trim(), '', 'it cannot start any more')
})

t('runs a task as another account, which the one query sees and which can be cancelled', async (
  ctx,
) => {
  if (process.getuid?.() !== 0) ctx.skip('only root can submit for others')
  const rig = await prepare(ctx, own)
  const driver = await open(ctx, rig)
  const nobody = { name: 'nobody', uid: 65_534, gid: 65_534, groups: [65_534], home: '/' }
  const asking = (tag: string, script: string): Submission => {
    const submission = { ...submissionOf(rig, tag, script), account: nobody }
    for (const { directory } of submission.tasks) chownSync(directory, nobody.uid, nobody.gid)
    return submission
  }
  const brief = asking('0000000000000aaa', 'id -u; id -G; echo "$USER"; exit 4')
  const long = asking('0000000000000aab', 'sleep 500')
  for (const one of [brief, long]) assert.accepted(await driver.submit(one, never))
  const statusOf = async (tag: string): Promise<TaskStatus | undefined> =>
    (await driver.query(never)).find((one) => one.tag === tag)?.status
  const ended = await eventually(async () => {
    const status = await statusOf(brief.tag)
    return status?.kind === 'ended' ? status : undefined
  }, { timeoutSeconds: 90 })
  assert.equal([ended.how, ended.exitCode], ['exited', 4])
  assert.match(readOutput(brief, 0).stdout, /^65534\n65534( 64\d\d\d)?\nnobody\n$/)
  await eventually(async () => (await statusOf(long.tag))?.kind === 'running', {
    timeoutSeconds: 90,
  })
  const kill = { kind: 'signal', name: 'KILL' } as const
  assert.accepted(await driver.control(long.tag, 'all', kill, never))
  const killed = await eventually(async () => {
    const status = await statusOf(long.tag)
    return status?.kind === 'ended' ? status : undefined
  }, { timeoutSeconds: 90 })
  assert.equal([killed.how, killed.exitCode], ['exited', 137])
}, { timeoutSeconds: 120 })

t('is found on this machine, with a config that works', async (ctx) => {
  const { cluster } = await prepare(ctx, own)
  const [found] = await detectSchedulers({ ...process.env, ...cluster.env }, 'grid-engine')
  assert.equal([found?.version, found?.capacity?.coresTotal], ['8.1.9', cluster.coresTotal])
  assert.equal(found?.keys, {
    bin: JSON.stringify(cluster.programs), root: JSON.stringify(cluster.root), cell: '"default"',
    qmaster_port: String(cluster.config.qmasterPort),
    execd_port: String(cluster.config.execdPort),
    parallel_environment: '"smp"', gpu_complex: '"gpu"',
  })
})

t('asks for complexes by the slot or by the job', async (ctx) => {
  const rig = await prepare(ctx, own)
  const driver = await open(ctx, rig, {
    gpuComplex: 'gpu', licenceComplexes: ['solver'], perJobComplexes: ['solver'],
  })
  const asking = (tag: string, gpusPerTask: number, count: number): Submission => ({
    ...submissionOf(rig, tag, 'exit 0'),
    resources: {
      coresPerTask: 2, memoryBytesPerTask: 0, walltimeSeconds: 60, gpusPerTask,
      licences: [{ name: 'solver', count }],
    },
  })
  assert.refused(await driver.submit(asking('00000000000007aa', 3, 1), never), 'tooLarge')
  assert.refused(await driver.submit(asking('00000000000007ab', 8, 1), never), 'tooLarge')
  assert.refused(await driver.submit(asking('00000000000007ac', 2, 2), never), 'tooLarge')
  const { localId } = assert.accepted(
    await driver.submit(asking('00000000000007ad', 4, 1), never))
  const told = await rig.cluster.command(['qstat', '-j', localId]).catch(() => '')
  if (told !== '') assert.match(told, /gpu=2,solver=1|solver=1.*gpu=2/)
  const ended = await until(driver, 'ended')
  assert.equal(ended.kind === 'ended' && [ended.how, ended.exitCode], ['exited', 0])
})

t('asks for memory by a load value, which Grid Engine cannot verify beforehand', async (ctx) => {
  const rig = await prepare(ctx, own)
  const driver = await open(ctx, rig, { memoryComplex: 'mem_free' })
  const asking = (tag: string, memoryBytesPerTask: number): Submission => ({
    ...submissionOf(rig, tag, 'exit 0'),
    resources: { coresPerTask: 2, memoryBytesPerTask, walltimeSeconds: 60 },
  })
  assert.refused(await driver.submit(asking('00000000000008aa', 2 ** 50), never), 'tooLarge')
  assert.accepted(await driver.submit(asking('00000000000008ab', 2 ** 20), never))
  const ended = await until(driver, 'ended')
  assert.equal(ended.kind === 'ended' && [ended.how, ended.exitCode], ['exited', 0])
})
