// The driver of Slurm, held to the suite of all drivers on a real cluster, then to what only a real
// one shows.

import { chownSync } from 'node:fs'
import { join } from 'node:path'
import { detectSchedulers } from '../../node/scheduler/detect.ts'
import { slurmDriver, slurmTongue } from '../../node/scheduler/slurm.ts'
import type { SlurmConfig } from '../../node/scheduler/slurm.ts'
import type { Driver, Submission, TaskStatus } from '../../node/scheduler/driver.ts'
import { assert, eventually, suite } from '../harness.ts'
import type { Context } from '../harness.ts'
import { driverSuite } from '../suites/driver.ts'
import type { DriverRig } from '../suites/driver-rig.ts'
import { openBench, readOutput } from './batch-rig.ts'
import type { Bench } from './batch-rig.ts'
import { pointedAt } from './pointed.ts'
import { slurmMissing, startSlurmCluster } from './slurm-cluster.ts'
import type { SlurmCluster, SlurmClusterOptions } from './slurm-cluster.ts'

const never = new AbortController().signal

interface Rig extends DriverRig {
  readonly cluster: SlurmCluster
  readonly bench: Bench
  readonly root: string
  readonly config: SlurmConfig
}

/** One cluster for the suite: to start and stop one takes longer than most tests. */
let shared: SlurmCluster | undefined

async function openCluster(ctx: Context, options: SlurmClusterOptions = {}): Promise<SlurmCluster> {
  const missing = slurmMissing()
  if (missing.length > 0) ctx.skip(`needs ${missing.join(', ')}: apt install slurm-wlm munge`)
  const cluster = await startSlurmCluster(ctx.tmp(), options)
  ctx.after(() => cluster.stop())
  return cluster
}

async function prepare(ctx: Context, own?: SlurmCluster): Promise<Rig> {
  const cluster = own ?? shared
  assert.ok(cluster)
  const commands = ['sbatch', 'squeue', 'scancel', 'sinfo', 'scontrol', 'srun']
  const bench = openBench(ctx.tmp(), '/usr/bin', commands)
  const { root, binDirectory } = bench
  const config: SlurmConfig = {
    stateDirectory: join(root, 'state'), binDirectory, confPath: cluster.confPath, graceSeconds: 1,
  }
  return {
    cluster, bench, root, config,
    coresTotal: cluster.coresTotal, coresTooMany: 64, timeoutSeconds: 90,
    async open() {
      const driver = slurmDriver(config)
      await driver.start()
      return driver
    },
    taskDirectory: () => bench.taskDirectory(),
    output: readOutput,
    queriesAsked: () => bench.asked('squeue'),
    outage: {
      begin: () => cluster.stopController(),
      end: () => cluster.startController(),
    },
  }
}

const common = driverSuite('driver: slurm', (ctx) => prepare(ctx), { outages: true })
common.before(async (ctx) => { shared = await openCluster(ctx) }, { timeoutSeconds: 120 })
common.after.each(async () => { await shared?.clear() }, { timeoutSeconds: 60 })

pointedAt('GRIDNODE_TEST_SLURM', slurmTongue)

const t = suite('slurm driver on a real cluster')
/** Slurm forgets an ended job after two seconds, which is the least it can be told. */
let forgetful: SlurmCluster | undefined
t.before(async (ctx) => {
  forgetful = await openCluster(ctx, {
    minJobAgeSeconds: 2, nodes: [{ name: 'n1', cpus: 2 }, { name: 'n2', cpus: 2 }],
  })
}, { timeoutSeconds: 120 })
t.after.each(async () => { await forgetful?.clear() }, { timeoutSeconds: 60 })

function submissionOf(rig: Rig, tag: string, script: string): Submission {
  return {
    tag, jobName: 'real', command: ['sh', '-c', script], environment: {},
    tasks: [{ taskIndex: 0, directory: rig.taskDirectory() }],
    resources: { coresPerTask: 1, memoryBytesPerTask: 0, walltimeSeconds: 300 },
  }
}

async function open(ctx: Context, rig: Rig): Promise<Driver> {
  const driver = slurmDriver(rig.config)
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
  const rig = await prepare(ctx, forgetful)
  const driver = await open(ctx, rig)
  const lost = 'echo "sbatch: error: Socket timed out" >&2; exit 1'
  rig.bench.replace('sbatch', `"$real" "$@" >/dev/null; ${lost}`)
  const submission = submissionOf(rig, '00000000000001aa', 'echo once; sleep 1; exit 4')
  const error = await assert.rejects(driver.submit(submission, never), /timed out/)
  assert.equal((error as { code?: string }).code, 'unreachable')
  assert.equal(await driver.query(never), [], 'nothing is said of a task that may not exist')
  await driver.stop()
  const again = await open(ctx, rig)
  assert.accepted(await again.submit(submission, never))
  assert.equal(rig.bench.asked('sbatch'), 1)
  const ended = await until(again, 'ended')
  assert.equal(ended.kind === 'ended' && ended.exitCode, 4)
  assert.equal(readOutput(submission, 0).stdout, 'once\n')
})

t('runs a task once even if it was submitted twice', async (ctx) => {
  const rig = await prepare(ctx, forgetful)
  const driver = await open(ctx, rig)
  rig.bench.replace('sbatch', `cat >'${rig.root}/script'; $real "$@" <'${rig.root}/script'
$real "$@" <'${rig.root}/script' >'${rig.root}/second'`)
  const submission = submissionOf(rig, '00000000000002aa', 'echo once; sleep 2; exit 3')
  assert.accepted(await driver.submit(submission, never))
  const ended = await until(driver, 'ended')
  assert.equal(ended.kind === 'ended' && [ended.how, ended.exitCode], ['exited', 3])
  await eventually(async () => (await rig.cluster.command(['squeue', '-h'])).trim() === '')
  assert.equal(readOutput(submission, 0).stdout, 'once\n')
})

t('knows how a task ended that Slurm has already forgotten', async (ctx) => {
  const rig = await prepare(ctx, forgetful)
  const first = await open(ctx, rig)
  const done = submissionOf(rig, '00000000000003aa', 'exit 4')
  const blocked = { ...submissionOf(rig, '00000000000003bb', 'echo ran'), queue: 'main' }
  assert.accepted(await first.submit(done, never))
  await rig.cluster.command(['scontrol', 'update', 'nodename=n1,n2', 'state=drain', 'reason=test'])
  const { localId } = assert.accepted(await first.submit(blocked, never))
  await first.stop()
  await rig.cluster.command(['scancel', localId])
  await rig.cluster.command(['scontrol', 'update', 'nodename=n1,n2', 'state=resume'])
  const known = async (): Promise<string> =>
    (await rig.cluster.command(['squeue', '-h', '-t', 'all'])).trim()
  await eventually(async () => await known() === '', { timeoutSeconds: 120 })
  const driver = await open(ctx, rig)
  const seen = await eventually(async () => {
    const all = await driver.query(never)
    return all.every(({ status }) => status.kind === 'ended') ? all : undefined
  })
  assert.equal(seen.map(({ status }) => status.kind === 'ended' && [status.how, status.exitCode]), [
    ['exited', 4], ['cancelled', -1],
  ])
}, { timeoutSeconds: 180 })

t("tells an operator's scancel", async (ctx) => {
  const rig = await prepare(ctx, forgetful)
  const driver = await open(ctx, rig)
  const submission = submissionOf(rig, '00000000000004aa', 'echo begun; sleep 500')
  const { localId } = assert.accepted(await driver.submit(submission, never))
  await eventually(() => readOutput(submission, 0).stdout === 'begun\n')
  await rig.cluster.command(['scancel', localId])
  const ended = await until(driver, 'ended')
  assert.equal(ended.kind === 'ended' && [ended.how, ended.exitCode], ['cancelled', 143])
})

t('calls a task lost when its node is', async (ctx) => {
  const rig = await prepare(ctx, forgetful)
  const driver = await open(ctx, rig)
  assert.accepted(await driver.submit(submissionOf(rig, '00000000000005aa', 'sleep 500'), never))
  await until(driver, 'running')
  const node = (await rig.cluster.command(['squeue', '-h', '-o', '%N'])).trim()
  await rig.cluster.command(['scontrol', 'update', `nodename=${node}`, 'state=down', 'reason=test'])
  // It may have come back by itself: slurmd is alive.
  const resume = ['scontrol', 'update', `nodename=${node}`, 'state=resume']
  ctx.after(() => rig.cluster.command(resume).catch(() => {}))
  const ended = await until(driver, 'ended')
  assert.equal(ended.kind === 'ended' && [ended.how, ended.exitCode], ['lost', -1])
})

t('runs a task as another account, which the one query sees and which can be cancelled', async (
  ctx,
) => {
  if (process.getuid?.() !== 0) ctx.skip('only root can submit for others')
  const rig = await prepare(ctx, forgetful)
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
  const rig = await prepare(ctx, forgetful)
  const environment = { ...process.env, SLURM_CONF: rig.cluster.confPath }
  const [found] = await detectSchedulers(environment, 'slurm')
  assert.equal([found?.kind, found?.capacity?.coresTotal, found?.keys['conf']], [
    'slurm', rig.cluster.coresTotal, JSON.stringify(rig.cluster.confPath),
  ])
})

const several = suite('slurm driver with nodes of several kinds')
let kinds: SlurmCluster | undefined
several.before(async (ctx) => {
  kinds = await openCluster(ctx, {
    nodes: [{ name: 'n1', cpus: 2, gpus: 2 }, { name: 'n2', cpus: 2 }, { name: 'n3', cpus: 2 }],
    configuration: ['Licenses=solver:3'],
  })
}, { timeoutSeconds: 120 })
several.after.each(async () => { await kinds?.clear() }, { timeoutSeconds: 60 })

several('places processors, nodes, chunks and licences, and shows what there is', async (ctx) => {
  const rig = await prepare(ctx, kinds)
  const driver = await open(ctx, rig)
  const { nodesTotal, gpusTotal, gpusFree, licences } = await driver.capacity(never)
  assert.equal([nodesTotal, gpusTotal, gpusFree, licences], [
    3, 2, 2, [{ name: 'solver', count: 3 }],
  ])
  const asking = (tag: string, changes: Partial<Submission['resources']>): Submission => ({
    ...submissionOf(rig, tag, 'sleep 500'),
    resources: { coresPerTask: 1, memoryBytesPerTask: 0, walltimeSeconds: 300, ...changes },
  })
  const two = { nodes: 2, coresPerNode: 2, memoryBytesPerNode: 0, gpusPerNode: 0 }
  const one = { nodes: 1, coresPerNode: 1, memoryBytesPerNode: 0, gpusPerNode: 2 }
  const wide = asking('00000000000006aa', {
    coresPerTask: 5, gpusPerTask: 2, chunks: [one, two],
    licences: [{ name: 'solver', count: 2 }],
  })
  const { localId } = assert.accepted(await driver.submit(wide, never))
  await until(driver, 'running')
  const shown = await rig.cluster.command(['squeue', '-h', '-o', '%N|%W|%D', '-S', 'i'])
  assert.equal(shown.trim().split('\n'), ['n1|solver:2|1', 'n[2-3]|(null)|2'])
  assert.equal((await driver.capacity(never)).gpusFree, 0)
  const more = asking('00000000000006ab', { gpusPerTask: 1 })
  assert.accepted(await driver.submit(more, never))
  await driver.cancel(wide.tag, 'all', never)
  await eventually(async () => {
    const seen = await driver.query(never)
    const kindOf = (tag: string): string | undefined =>
      seen.find((one) => one.tag === tag)?.status.kind
    return kindOf(wide.tag) === 'ended' && kindOf(more.tag) === 'running'
  }, { timeoutSeconds: 90 })
  await eventually(async () => (await driver.capacity(never)).gpusFree === 1)
  assert.ok(localId.length > 0)
  assert.refused(await driver.submit(asking('00000000000006ac', { gpusPerTask: 3 }), never),
    'tooLarge')
  const tasks = [0, 1].map((taskIndex) => ({ taskIndex, directory: rig.taskDirectory() }))
  const mixed = { ...asking('00000000000006ad', { coresPerTask: 5, chunks: [one, two] }), tasks }
  assert.match(assert.refused(await driver.submit(mixed, never), 'tooLarge').words, /one by one/)
})
