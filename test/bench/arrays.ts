// Arrays of tasks that do nothing: through gridnode to one Slurm against the same array given to
// that Slurm itself, how often Slurm is asked meanwhile, and the embedded executor by itself.
//
//   GRIDNODE_BENCH_TASKS=10000   so many tasks of an array instead of 1,000

import { spawnSync } from 'node:child_process'
import {
  chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { JobSummary } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { EmbeddedDriver } from '../../node/scheduler/embedded.ts'
import { openFederation } from '../e2e/federation.ts'
import { submit } from '../e2e/jobs.ts'
import type { Site } from '../e2e/site.ts'
import { eventually } from '../harness.ts'
import { slurmMissing, startSlurmCluster } from '../real/slurm-cluster.ts'
import type { Figure } from './figures.ts'
import { paired, rateFigure, seconds } from './figures.ts'
import { benchContext } from './submit.ts'

const tasks = Number(process.env['GRIDNODE_BENCH_TASKS'] ?? 1_000)
const slots = 64
const never = new AbortController().signal

/** The commands, each of which notes that it was called. */
function countedCommands(directory: string, log: string): string {
  mkdirSync(directory)
  for (const name of ['sbatch', 'squeue', 'scancel', 'sinfo', 'scontrol']) {
    const path = join(directory, name)
    const noted = `echo "$(date +%s) ${name}" >>${log}`
    writeFileSync(path, `#!/bin/sh\n${noted}\nexec /usr/bin/${name} "$@"\n`)
    chmodSync(path, 0o755)
  }
  return directory
}

/** The most queries of one minute, and of how many minutes. */
function queriesPerMinute(log: string): { most: number; minutes: number } {
  if (!existsSync(log)) return { most: 0, minutes: 0 }
  const minutes = new Map<number, number>()
  for (const line of readFileSync(log, 'utf8').trim().split('\n')) {
    const [at = '0', name] = line.split(' ')
    if (name !== 'squeue') continue
    const minute = Math.floor(Number(at) / 60)
    minutes.set(minute, (minutes.get(minute) ?? 0) + 1)
  }
  return { most: Math.max(0, ...minutes.values()), minutes: minutes.size }
}

/** Asked by its summary: all tasks listed each time is work that nobody has with sbatch. */
async function over(site: Site, job: string): Promise<JobSummary> {
  return await eventually(async () => {
    const jobs = await site.client.get<JobSummary[]>(apiPaths.jobs, { state: 'ended' })
    return jobs.find((one) => one.job === job)
  }, { timeoutSeconds: 3_600, what: 'the array has ended' })
}

export async function arrayFigures(): Promise<Figure[]> {
  const alone = await embeddedFigure()
  if (slurmMissing().length > 0) {
    console.log(`arrays: left out, Slurm is not installed (${slurmMissing().join(', ')})`)
    return [alone]
  }
  const ctx = benchContext()
  try {
    const nodes = [{ name: 'n1', cpus: slots }]
    const cluster = await startSlurmCluster(ctx.tmp(), { nodes })
    ctx.after(() => cluster.stop())
    const directory = ctx.tmp()
    const log = join(directory, 'queries')
    const bin = countedCommands(join(directory, 'bin'), log)
    const { sites: [home] } = await openFederation(ctx, {
      sites: [{
        name: 'slurm.example',
        scheduler: 'slurm',
        set: {
          'scheduler.conf': `"${cluster.confPath}"`, 'scheduler.bin': `"${bin}"`,
          'market.queue_ahead': '1.0', 'log.level': '"warn"',
        },
      }],
    })
    const script = '#!/bin/sh\nexit 0\n'
    const through = async (): Promise<number> => tasks / await seconds(async () => {
      const job = await submit(home!, {
        script, tasks: `0-${tasks - 1}`, memoryMib: 16, walltimeSeconds: 60, budgetCredits: 10 ** 6,
      })
      const { state, note } = await over(home!, job)
      if (state !== 'done') throw new Error(`the array has ended as ${state}: ${note}`)
    })
    let round = 0
    const direct = async (): Promise<number> => {
      const stamps = join(directory, `stamps-${round++}`)
      mkdirSync(stamps)
      const path = join(stamps, '..', 'direct.sh')
      writeFileSync(path, `#!/bin/sh\n: >${stamps}/$SLURM_ARRAY_TASK_ID\n`)
      return tasks / await seconds(async () => {
        const asked = spawnSync('sbatch', [
          '--output=/dev/null', '--error=/dev/null', '--mem=16M', '--time=1',
          `--array=0-${tasks - 1}`, path,
        ], { env: { ...process.env, ...cluster.env }, encoding: 'utf8' })
        if (asked.status !== 0) throw new Error(`sbatch failed: ${asked.stderr}`)
        await eventually(() => readdirSync(stamps).length === tasks, {
          timeoutSeconds: 3_600, what: 'all tasks of the array have run',
        })
      })
    }
    const pairs = await paired(tasks > 2_000 ? 1 : 2, through, direct)
    const { most, minutes } = queriesPerMinute(log)
    return [
      alone,
      rateFigure(`array of ${tasks} to one Slurm`, 'sbatch --array, the same', 'tasks/s', pairs),
      {
        name: 'queries of that Slurm meanwhile, in one minute', ours: `${most} at most`,
        peerName: 'one for each task', peer: String(tasks), ratio: `over ${minutes} minutes`,
      },
    ]
  } finally {
    await ctx.end()
  }
}

/** Against as many starts of `true` one after the other as one shell manages. */
async function embeddedFigure(): Promise<Figure> {
  const ctx = benchContext()
  try {
    const count = 2_000
    let made = 0
    const ours = async (): Promise<number> => {
      const root = ctx.tmp()
      const driver = new EmbeddedDriver({
        stateDirectory: join(root, 'state'), cores: 8, memoryBytes: 2 ** 34,
        walltimeSecondsMax: 3_600, speedPermille: 1_000,
      })
      await driver.start()
      const submission = {
        tag: (++made).toString(16).padStart(16, '0'), jobName: 'bench', command: ['true'],
        environment: {}, tasks: Array.from({ length: count }, (_, taskIndex) => {
          const directory = join(root, String(taskIndex))
          mkdirSync(directory)
          return { taskIndex, directory }
        }),
        resources: { coresPerTask: 1, memoryBytesPerTask: 0, walltimeSeconds: 60 },
      }
      const took = await seconds(async () => {
        await driver.submit(submission, never)
        await eventually(async () => {
          const seen = await driver.query(never)
          return seen.every(({ status }) => status.kind === 'ended')
        }, { timeoutSeconds: 600, what: 'all tasks have ended' })
      })
      await driver.stop()
      return count / took
    }
    const peer = async (): Promise<number> => count / await seconds(() => {
      const script = `i=0; while [ $i -lt ${count} ]; do /bin/true; i=$((i + 1)); done`
      spawnSync('sh', ['-c', script])
    })
    return rateFigure('tasks of the embedded executor', 'one shell that runs true in a loop',
      'tasks/s', await paired(3, ours, peer))
  } finally {
    await ctx.end()
  }
}
