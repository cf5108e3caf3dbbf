// The driver of Slurm, held to the suite of all drivers on a real cluster, then to what only a real
// one shows.

import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { slurmDriver } from '../../node/scheduler/slurm.ts'
import type { SlurmConfig } from '../../node/scheduler/slurm.ts'
import type { Driver, Submission, TaskStatus } from '../../node/scheduler/driver.ts'
import { assert, eventually, suite } from '../harness.ts'
import type { Context } from '../harness.ts'
import { driverSuite } from '../suites/driver.ts'
import type { DriverRig } from '../suites/driver.ts'
import { slurmMissing, startSlurmCluster } from './slurm-cluster.ts'
import type { SlurmCluster, SlurmClusterOptions } from './slurm-cluster.ts'

const never = new AbortController().signal

interface Rig extends DriverRig {
  readonly cluster: SlurmCluster
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
  const root = ctx.tmp()
  chmodSync(root, 0o755)
  // Counts what Slurm is really asked: each command is run through a script that writes a line.
  const binDirectory = join(root, 'bin')
  mkdirSync(binDirectory)
  for (const program of ['sbatch', 'squeue', 'scancel', 'sinfo', 'scontrol']) {
    const script = `#!/bin/sh\necho ${program} >>'${root}/asked'\nexec /usr/bin/${program} "$@"\n`
    writeFileSync(join(binDirectory, program), script, { mode: 0o755 })
  }
  let made = 0
  const config: SlurmConfig = {
    stateDirectory: join(root, 'state'), binDirectory, confPath: cluster.confPath, graceSeconds: 1,
  }
  return {
    cluster, root, config, coresTotal: cluster.coresTotal, coresTooMany: 64, timeoutSeconds: 90,
    async open() {
      const driver = slurmDriver(config)
      await driver.start()
      return driver
    },
    taskDirectory() {
      const directory = join(root, `task ${made++}'s`)
      mkdirSync(directory)
      return directory
    },
    output: readOutput,
    queriesAsked: () => asked(root, 'squeue'),
    outage: {
      begin: () => cluster.stopController(),
      end: () => cluster.startController(),
    },
  }
}

const common = driverSuite('driver: slurm', (ctx) => prepare(ctx), { outages: true })
common.before(async (ctx) => { shared = await openCluster(ctx) }, { timeoutSeconds: 120 })
common.after.each(async () => { await shared?.clear() }, { timeoutSeconds: 60 })

function asked(root: string, program: string): number {
  if (!existsSync(join(root, 'asked'))) return 0
  const lines = readFileSync(join(root, 'asked'), 'utf8').split('\n')
  return lines.filter((line) => line === program).length
}

function readOutput(submission: Submission, taskIndex: number): { stdout: string; stderr: string } {
  const task = submission.tasks.find((one) => one.taskIndex === taskIndex)
  const directory = task?.directory ?? ''
  const read = (stream: string): string => {
    const path = join(directory, '.gridnode', stream)
    return existsSync(path) ? readFileSync(path, 'utf8') : ''
  }
  return { stdout: read('stdout'), stderr: read('stderr') }
}

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

/** Puts a script in the place of sbatch; `$real` in it is the real one. */
function replaceSbatch(rig: Rig, lines: string): void {
  const script = `#!/bin/sh\nreal=/usr/bin/sbatch\necho sbatch >>'${rig.root}/asked'\n${lines}\n`
  writeFileSync(join(rig.root, 'bin/sbatch'), script, { mode: 0o755 })
}

t('finds the job whose submission had no answer, instead of submitting it again', async (ctx) => {
  const rig = await prepare(ctx, forgetful)
  const driver = await open(ctx, rig)
  replaceSbatch(rig, '$real "$@" >/dev/null; echo "sbatch: error: Socket timed out" >&2; exit 1')
  const submission = submissionOf(rig, '00000000000001aa', 'echo once; sleep 1; exit 4')
  const error = await assert.rejects(driver.submit(submission, never), /timed out/)
  assert.equal((error as { code?: string }).code, 'unreachable')
  assert.equal(await driver.query(never), [], 'nothing is said of a task that may not exist')
  await driver.stop()
  const again = await open(ctx, rig)
  assert.accepted(await again.submit(submission, never))
  assert.equal(asked(rig.root, 'sbatch'), 1)
  const ended = await until(again, 'ended')
  assert.equal(ended.kind === 'ended' && ended.exitCode, 4)
  assert.equal(readOutput(submission, 0).stdout, 'once\n')
})

t('runs a task once even if it was submitted twice', async (ctx) => {
  const rig = await prepare(ctx, forgetful)
  const driver = await open(ctx, rig)
  replaceSbatch(rig, `cat >'${rig.root}/script'; $real "$@" <'${rig.root}/script'
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
