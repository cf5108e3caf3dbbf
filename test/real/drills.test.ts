// What goes wrong at a scheduler, drilled on a real Slurm and a real Grid Engine: it is killed and
// restarted, slow, forgets, counts its ids round, holds a thousand jobs; the node dies between the
// submission and its record; a job ends while nobody looks.
// time limit: 900 s

import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../../node/scheduler/exec.ts'
import type { Driver, EndedTask, Submission, TaskStatus } from '../../node/scheduler/driver.ts'
import { gridEngineDriver } from '../../node/scheduler/grid-engine.ts'
import type { GridEngineConfig } from '../../node/scheduler/grid-engine.ts'
import { slurmDriver } from '../../node/scheduler/slurm.ts'
import type { SlurmConfig } from '../../node/scheduler/slurm.ts'
import { assert, eventually, suite } from '../harness.ts'
import type { Context } from '../harness.ts'
import { openBench, readOutput } from './batch-rig.ts'
import type { Bench } from './batch-rig.ts'
import type { Order } from './drill-submitter.ts'
import { gridEngineMissing, startGridEngine } from './grid-engine-cluster.ts'
import type { GridEngineCluster } from './grid-engine-cluster.ts'
import { slurmMissing, startSlurmCluster } from './slurm-cluster.ts'
import type { SlurmCluster } from './slurm-cluster.ts'

const never = new AbortController().signal
const timeoutSeconds = 120

interface Drill {
  readonly bench: Bench
  readonly submitProgram: string
  readonly queryProgram: string
  order(submission: Submission): Order
  driver(changes?: { readonly commandTimeoutMs?: number }): Driver
  killScheduler(): Promise<void>
  startScheduler(): Promise<void>
  readonly tasksMany: number
}

let slurm: SlurmCluster | undefined
let gridEngine: GridEngineCluster | undefined

function slurmDrill(ctx: Context, memoryEnforced = false): Drill {
  assert.ok(slurm)
  const cluster = slurm
  const programs = ['sbatch', 'squeue', 'scancel', 'sinfo', 'scontrol']
  const bench = openBench(ctx.tmp(), '/usr/bin', programs)
  const config: SlurmConfig = {
    stateDirectory: join(bench.root, 'state'), binDirectory: bench.binDirectory,
    confPath: cluster.confPath, graceSeconds: 1, memoryEnforced,
  }
  return {
    bench, submitProgram: 'sbatch', queryProgram: 'squeue', tasksMany: 1_000,
    order: (submission) => ({ kind: 'slurm', config, submission }),
    driver: (changes = {}) => slurmDriver({ ...config, ...changes }),
    killScheduler: () => cluster.stopController(),
    startScheduler: () => cluster.startController(),
  }
}

function gridEngineDrill(ctx: Context): Drill {
  assert.ok(gridEngine)
  const cluster = gridEngine
  const programs = ['qsub', 'qstat', 'qacct', 'qdel', 'qhold', 'qrls', 'qmod']
  const bench = openBench(ctx.tmp(), cluster.programs, programs)
  const config: GridEngineConfig = {
    ...cluster.config, stateDirectory: join(bench.root, 'state'), graceSeconds: 1,
    binDirectory: bench.binDirectory,
  }
  return {
    bench, submitProgram: 'qsub', queryProgram: 'qstat', tasksMany: 200,
    order: (submission) => ({ kind: 'grid-engine', config, submission }),
    driver: (changes = {}) => gridEngineDriver({ ...config, ...changes }),
    killScheduler: () => cluster.stopMaster(),
    startScheduler: () => cluster.startMaster(),
  }
}

let tags = 0
function submissionOf(drill: Drill, script: string, tasks = 1): Submission {
  return {
    tag: (++tags).toString(16).padStart(16, '0'),
    jobName: 'drill', command: ['sh', '-c', script], environment: {},
    tasks: Array.from({ length: tasks }, (_, taskIndex) =>
      ({ taskIndex, directory: drill.bench.taskDirectory() })),
    resources: { coresPerTask: 1, memoryBytesPerTask: 0, walltimeSeconds: 300 },
  }
}

async function started(ctx: Context, driver: Driver): Promise<Driver> {
  await driver.start()
  ctx.after(() => driver.stop())
  return driver
}

async function all(
  driver: Driver, tag: string, kind: TaskStatus['kind'], seconds = timeoutSeconds,
): Promise<TaskStatus[]> {
  return await eventually(async () => {
    const seen = (await driver.query(never)).filter((one) => one.tag === tag)
    const fits = seen.length > 0 && seen.every(({ status }) => status.kind === kind)
    return fits ? seen.map(({ status }) => status) : undefined
  }, { timeoutSeconds: seconds })
}

async function allEnded(driver: Driver, tag: string): Promise<EndedTask[]> {
  return (await all(driver, tag, 'ended')).filter((status) => status.kind === 'ended')
}

function drills(name: string, open: (ctx: Context) => Drill): void {
  const t = suite(`drills: ${name}`)
  if (name === 'slurm') {
    t.before(async (ctx) => {
      const missing = slurmMissing()
      if (missing.length > 0) ctx.skip(`needs ${missing.join(', ')}: apt install slurm-wlm munge`)
      slurm = await startSlurmCluster(ctx.tmp(), {
        nodes: [{ name: 'n1', cpus: 32 }], minJobAgeSeconds: 2,
      })
      ctx.after(() => slurm?.stop())
    }, { timeoutSeconds: 120 })
  } else {
    t.before(async (ctx) => {
      const missing = gridEngineMissing()
      if (missing.length > 0) ctx.skip(`needs ${missing.join(', ')}: apt install gridengine-exec …`)
      if (process.getuid?.() !== 0) ctx.skip('Grid Engine starts jobs only as root')
      gridEngine = await startGridEngine(ctx.tmp(), { slots: 32 })
      ctx.after(() => gridEngine?.stop())
    }, { timeoutSeconds: 120 })
  }
  const limits = { timeoutSeconds: 300 }

  t('it is killed and restarted while jobs run and end', async (ctx) => {
    const drill = open(ctx)
    const driver = await started(ctx, drill.driver())
    const submission = submissionOf(drill, 'sleep $((GRIDNODE_TASK_ID * 3 + 1)); exit 5', 3)
    assert.accepted(await driver.submit(submission, never))
    await all(driver, submission.tag, 'running')
    await drill.killScheduler()
    const error = await assert.rejects(driver.query(never), /./)
    const { code = '' } = error as { code?: string }
    assert.ok(['unreachable', 'timeout'].includes(code), String(error))
    await drill.startScheduler()
    const ended = await allEnded(driver, submission.tag)
    assert.equal(ended.map(({ how, exitCode }) => [how, exitCode]), [
      ['exited', 5], ['exited', 5], ['exited', 5],
    ])
  }, limits)

  t('its answers take longer than we wait', async (ctx) => {
    const drill = open(ctx)
    const { bench, submitProgram, queryProgram } = drill
    const driver = await started(ctx, drill.driver({ commandTimeoutMs: 5_000 }))
    const submission = submissionOf(drill, 'echo once; sleep 1; exit 6')
    // It heard us, we did not hear it.
    bench.replace(submitProgram, '"$real" "$@"; sleep 30')
    const lost = await assert.rejects(driver.submit(submission, never), /no answer/)
    assert.equal((lost as { code?: string }).code, 'timeout')
    bench.restore(submitProgram)
    bench.replace(queryProgram, 'sleep 30')
    const slow = await assert.rejects(driver.submit(submission, never), /no answer/)
    assert.equal((slow as { code?: string }).code, 'timeout')
    bench.restore(queryProgram)
    assert.accepted(await driver.submit(submission, never))
    bench.replace(queryProgram, 'sleep 30')
    await assert.rejects(driver.query(never), /no answer/)
    bench.restore(queryProgram)
    const [ended] = await allEnded(driver, submission.tag)
    assert.equal([ended?.how, ended?.exitCode], ['exited', 6])
    assert.equal(bench.asked(submitProgram), 1)
    assert.equal(readOutput(submission, 0).stdout, 'once\n')
  }, limits)

  t('the node is killed between the submission and its record', async (ctx) => {
    const drill = open(ctx)
    const { bench, submitProgram } = drill
    const submission = submissionOf(drill, 'echo once; exit 7', 2)
    const path = join(bench.root, 'order.json')
    writeFileSync(path, JSON.stringify(drill.order(submission)))
    // The wrapper's parent is the process that starts commands, and its parent the node, which
    // hears nothing of what was submitted.
    bench.replace(submitProgram,
      'node=$(ps -o ppid= -p $PPID); "$real" "$@" >/dev/null; kill -9 $node $PPID')
    const submitter = join(import.meta.dirname, 'drill-submitter.ts')
    const { code } = await run([process.execPath, submitter, path], { timeoutMs: 60_000 })
    assert.equal(code, 137)
    bench.restore(submitProgram)
    const driver = await started(ctx, drill.driver())
    assert.equal(await driver.query(never), [], 'nothing is said of what may not exist')
    assert.accepted(await driver.submit(submission, never))
    assert.equal(bench.asked(submitProgram), 1)
    const ended = await allEnded(driver, submission.tag)
    assert.equal(ended.map(({ how, exitCode }) => [how, exitCode]), [['exited', 7], ['exited', 7]])
    assert.equal([0, 1].map((task) => readOutput(submission, task).stdout), ['once\n', 'once\n'])
  }, limits)

  t('a job ends while nobody looks, and leaves no record', async (ctx) => {
    const drill = open(ctx)
    const first = drill.driver()
    await first.start()
    const submission = submissionOf(drill, 'sleep 2; exit 8')
    assert.accepted(await first.submit(submission, never))
    await all(first, submission.tag, 'running')
    await first.stop()
    const other = await started(ctx, drill.driver())
    const record = join(submission.tasks[0]?.directory ?? '', '.gridnode', submission.tag)
    await eventually(async () => {
      const { code } = await run(['test', '-e', `${record}.end`], { timeoutMs: 5_000 })
      return code === 0
    }, { timeoutSeconds })
    rmSync(`${record}.end`)
    const [ended] = await allEnded(other, submission.tag)
    assert.equal([ended?.how, ended?.exitCode], ['exited', 8])
  }, limits)

  t('many jobs at once cost one query a round', async (ctx) => {
    const drill = open(ctx)
    const driver = await started(ctx, drill.driver())
    const each = drill.tasksMany / 20
    const submissions = Array.from({ length: 20 }, () => submissionOf(drill, 'exit 3', each))
    for (const one of submissions) assert.accepted(await driver.submit(one, never))
    const { bench, queryProgram } = drill
    let rounds = 0
    const before = bench.asked(queryProgram)
    await eventually(async () => {
      rounds++
      const seen = await driver.query(never)
      assert.equal(seen.length, drill.tasksMany)
      return seen.every(({ status }) => status.kind === 'ended')
    }, { timeoutSeconds: 240 })
    assert.ok(bench.asked(queryProgram) - before <= rounds, 'one query a round')
    const codes = (await driver.query(never)).map(({ status }) =>
      status.kind === 'ended' ? `${status.how} ${status.exitCode}` : status.kind)
    assert.equal(new Set(codes), new Set(['exited 3']))
  }, limits)
}

/** Runs jobs until an id comes again, and then sees whose it is. */
async function idsComeAgain(ctx: Context, drill: Drill): Promise<void> {
  const driver = await started(ctx, drill.driver())
  const ids: string[] = []
  const ran: Submission[] = []
  const run1 = async (script: string): Promise<Submission> => {
    const submission = submissionOf(drill, script)
    const answer = await eventually(async () => {
      const one = await driver.submit(submission, never)
      return one.ok ? one : undefined
    }, { timeoutSeconds })
    ids.push(assert.accepted(answer).localId)
    ran.push(submission)
    return submission
  }
  for (const code of [1, 2, 3, 4, 5]) {
    const submission = await run1(`exit ${code}`)
    const [ended] = await allEnded(driver, submission.tag)
    assert.equal([ended?.how, ended?.exitCode], ['exited', code])
    if (new Set(ids).size < ids.length) break
  }
  assert.ok(ids.some((id, at) => at > 0 && Number(id) < Number(ids[at - 1])), `ids: ${ids.join()}`)
  const last = await run1('sleep 3; exit 9')
  await all(driver, last.tag, 'running')
  // Those that had the ids before are over: nothing done to them reaches the new one.
  for (const one of ran.slice(0, -1)) await driver.cancel(one.tag, 'all', never)
  const [ended] = await allEnded(driver, last.tag)
  assert.equal([ended?.how, ended?.exitCode], ['exited', 9])
  await driver.stop()
  const again = await started(ctx, drill.driver())
  const codes = (await again.query(never)).map(({ status }) =>
    status.kind === 'ended' && status.exitCode)
  assert.equal(codes, [...ran.slice(0, -1).map((_, at) => at + 1), 9])
}

const wraps = suite('drills: ids begin anew')

wraps('slurm', async (ctx) => {
  const missing = slurmMissing()
  if (missing.length > 0) ctx.skip(`needs ${missing.join(', ')}: apt install slurm-wlm munge`)
  slurm = await startSlurmCluster(ctx.tmp(), {
    minJobAgeSeconds: 2, configuration: ['FirstJobId=1001', 'MaxJobId=1004'],
  })
  ctx.after(() => slurm?.stop())
  await idsComeAgain(ctx, slurmDrill(ctx))
}, { timeoutSeconds: 240 })

wraps('slurm ends a task that takes more memory than it asked for', async (ctx) => {
  const missing = slurmMissing()
  if (missing.length > 0) ctx.skip(`needs ${missing.join(', ')}: apt install slurm-wlm munge`)
  slurm = await startSlurmCluster(ctx.tmp(), {
    configuration: [
      'JobAcctGatherType=jobacct_gather/linux', 'JobAcctGatherFrequency=task=1',
      'JobAcctGatherParams=OverMemoryKill', 'SelectTypeParameters=CR_CPU_Memory',
    ],
  })
  ctx.after(() => slurm?.stop())
  const drill = slurmDrill(ctx, true)
  const driver = await started(ctx, drill.driver())
  const hungry = submissionOf(drill, "x=$(head -c 300000000 /dev/zero | tr '\\0' a); sleep 500")
  const { resources } = hungry
  const small = { ...hungry, resources: { ...resources, memoryBytesPerTask: 64 * 2 ** 20 } }
  assert.accepted(await driver.submit(small, never))
  const [ended] = await allEnded(driver, small.tag)
  assert.equal([ended?.how, ended?.exitCode], ['memory', 137])
}, { timeoutSeconds: 240 })

wraps('grid engine, and a task that is still there at its limit', async (ctx) => {
  const missing = gridEngineMissing()
  if (missing.length > 0) ctx.skip(`needs ${missing.join(', ')}: apt install gridengine-exec …`)
  if (process.getuid?.() !== 0) ctx.skip('Grid Engine starts jobs only as root')
  gridEngine = await startGridEngine(ctx.tmp())
  ctx.after(() => gridEngine?.stop())
  await gridEngine.stopMaster()
  writeFileSync(join(gridEngine.root, 'spool/qmaster/jobseqnum'), '9999998\n')
  await gridEngine.startMaster()
  const drill = gridEngineDrill(ctx)
  await idsComeAgain(ctx, drill)
  // What is stopped cannot keep its own walltime; Grid Engine's limit stands behind it.
  const driver = await started(ctx, drill.driver())
  const stopped = submissionOf(drill, 'sleep 500')
  const brief = { ...stopped, resources: { ...stopped.resources, walltimeSeconds: 5 } }
  assert.accepted(await driver.submit(brief, never))
  await eventually(async () => (await driver.query(never))
    .some(({ tag, status }) => tag === brief.tag && status.kind === 'running'), { timeoutSeconds })
  assert.accepted(await driver.control(brief.tag, 'all', { kind: 'suspend' }, never))
  const [ended] = await allEnded(driver, brief.tag)
  assert.equal([ended?.how, ended?.exitCode], ['walltime', 143])
}, { timeoutSeconds: 240 })

drills('slurm', (ctx) => slurmDrill(ctx))
drills('grid engine', gridEngineDrill)
