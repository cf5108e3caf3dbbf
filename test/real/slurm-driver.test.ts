// The driver of Slurm, held to the suite of all drivers on a real cluster, then to what only a real one shows.

import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SlurmDriver } from '../../node/scheduler/slurm.ts'
import type { SlurmConfig } from '../../node/scheduler/slurm.ts'
import type { Submission } from '../../node/scheduler/driver.ts'
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
      const driver = new SlurmDriver(config)
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
  return readFileSync(join(root, 'asked'), 'utf8').split('\n').filter((line) => line === program).length
}

function readOutput(submission: Submission, taskIndex: number): { stdout: string; stderr: string } {
  const { directory } = submission.tasks.find((task) => task.taskIndex === taskIndex) ?? { directory: '' }
  const read = (stream: string): string => {
    const path = join(directory, '.gridnode', stream)
    return existsSync(path) ? readFileSync(path, 'utf8') : ''
  }
  return { stdout: read('stdout'), stderr: read('stderr') }
}
