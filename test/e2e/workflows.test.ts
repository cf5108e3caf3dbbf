// Workflow managers of Debian, unmodified, run real workflows over a federation by the batch
// commands that they already call. Every task works in its own copy of the directory, under the
// directory's own path, at more than one site.
// time limit: 700 s

import { spawn, spawnSync } from 'node:child_process'
import {
  chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { BatchRow } from '../../node/http/batch-api.ts'
import { batchPaths } from '../../node/http/batch-api.ts'
import type { Context } from '../harness.ts'
import { suite, assert, eventually } from '../harness.ts'
import type { Federation } from './federation.ts'
import { booksHold, openFederation } from './federation.ts'
import { program } from './site.ts'

const t = suite('workflow managers')
let federation: Federation
let folder = ''

function missing(...programs: readonly string[]): string[] {
  return programs.filter((one) => spawnSync('sh', ['-c', `command -v ${one}`]).status !== 0)
}

function need(ctx: Context, ...programs: readonly string[]): void {
  const absent = missing(...programs)
  if (absent.length === 0) return
  const what = `needs ${absent.join(', ')}: apt install snakemake toil bubblewrap`
  if (process.env['CI']) throw new Error(what)
  ctx.skip(what)
}

t.before(async (ctx) => {
  need(ctx, 'bwrap')
  folder = ctx.tmp()
  federation = await openFederation(ctx, {
    sites: [
      { name: 'a.example', cores: 1 }, { name: 'b.example', cores: 2 },
      { name: 'c.example', cores: 2 },
    ],
    set: {
      'scheduler.sandbox': '"bubblewrap"', 'market.lease': '"1m"', 'market.window': '"200ms"',
      'tariff.core_hour': '"1 cr"',
    },
  })
}, { timeoutSeconds: 120 })

const home = () => federation.sites[0]!

interface Place {
  readonly directory: string
  readonly env: Readonly<Record<string, string>>
}

/** A directory of its own, with the commands of a flavour first in the path. */
function place(name: string, flavour: string): Place {
  const bin = join(folder, `${flavour}-bin`)
  if (!existsSync(bin)) {
    const words = ['compat', '--dir', home().directory, '--flavour', flavour, bin]
    run({ directory: folder, env: environment('') }, [program, ...words])
  }
  const directory = join(folder, name)
  mkdirSync(directory)
  return { directory, env: environment(bin) }
}

function environment(bin: string): Record<string, string> {
  return {
    PATH: `${bin}:/usr/local/bin:/usr/bin:/bin`,
    HOME: join(folder, 'home'),
    GRIDNODE_USER: 'tester',
    GRIDNODE_BATCH_OPTIONS: '--memory=256MiB --walltime=5m --budget=1000',
    LC_ALL: 'C.UTF-8',
  }
}

interface Ran {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

function run({ directory, env }: Place, words: readonly string[], input = ''): string {
  const ran = attempt({ directory, env }, words, input)
  if (ran.code === 0) return ran.out
  throw new Error(`${words.join(' ')} ended with ${ran.code}: ${ran.err}${ran.out}`)
}

function attempt({ directory, env }: Place, words: readonly string[], input = ''): Ran {
  const [command = '', ...args] = words
  const ran = spawnSync(command, args, {
    cwd: directory, env, input, encoding: 'utf8', timeout: 120_000,
  })
  return { code: ran.status, out: ran.stdout, err: ran.stderr }
}

/** Of a long run; the node goes on meanwhile. */
async function follow({ directory, env }: Place, words: readonly string[]): Promise<Ran> {
  const [command = '', ...args] = words
  const child = spawn(command, args, { cwd: directory, env, stdio: ['ignore', 'pipe', 'pipe'] })
  let [out, err] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text))
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve))
  return { code, out, err }
}

/** Prints where each task of a directory's jobs ran; gives the sites. */
async function sitesOf(what: string, directory: string): Promise<Set<string>> {
  const rows = (await home().client.get<readonly BatchRow[]>(batchPaths.batch, { state: 'all' }))
    .filter(({ seenAt }) => seenAt === directory).toReversed()
  const ran = rows.flatMap((row) => row.taskRows.map(({ site, state }) =>
    `${row.name} ${state} at ${site}`))
  process.stderr.write(`${what}: ${ran.length} tasks\n${ran.map((one) => `  ${one}\n`).join('')}`)
  return new Set(rows.flatMap((row) => row.taskRows.map(({ site }) => site)))
}

t('a directory goes along and what the tasks changed comes back', async (ctx) => {
  need(ctx, 'bwrap')
  const here = place('plain', 'slurm')
  const { directory } = here
  mkdirSync(join(directory, 'in'))
  writeFileSync(join(directory, 'in', 'text'), 'one\n')
  writeFileSync(join(directory, 'gone'), 'x')
  writeFileSync(join(directory, 'both'), 'before')
  writeFileSync(join(directory, '.gridnodeignore'), '*.big\n')
  writeFileSync(join(directory, 'a.big'), 'stays')
  writeFileSync(join(directory, 'job.sh'), `#!/bin/sh
#SBATCH --array=1-3 -o out/%A_%a.log
test "$(pwd)" = "${directory}" || exit 9
test ! -e a.big || exit 8
cat ${directory}/in/text
echo "task $SLURM_ARRAY_TASK_ID" >result.$SLURM_ARRAY_TASK_ID
stat -c %d:%i ${directory} >place.$SLURM_ARRAY_TASK_ID
test "$SLURM_SUBMIT_DIR" = "${directory}" || exit 7
echo "$SLURM_JOB_ID" >ids.$SLURM_ARRAY_TASK_ID
echo more >>${directory}/in/text
rm -f gone
echo "$1" >both
`)
  const said = attempt(here, ['sbatch', 'job.sh', 'after'])
  assert.equal([said.code, said.err], [0, ''])
  assert.match(said.out, /^Submitted batch job \d+\n$/)
  const id = said.out.trim().split(' ').at(-1)!
  writeFileSync(join(directory, 'both'), 'changed here')
  let state = ''
  await eventually(() => {
    state = run(here, ['sacct', '-n', '-P', '-j', id, '-o', 'JobID,State,ExitCode'])
    return !/PENDING|RUNNING|COMPLETING/.test(state)
  }, { timeoutSeconds: 60 })
  assert.equal(state, [1, 2, 3].map((n) => `${id}_${n}|COMPLETED|0:0\n`).join(''))
  const text = (name: string): string => readFileSync(join(directory, name), 'utf8')
  for (const n of [1, 2, 3]) {
    assert.equal([text(`result.${n}`), text(`out/${id}_${n}.log`)], [`task ${n}\n`, 'one\n'])
  }
  assert.equal(text('ids.2'), `${id}\n`)
  // Each had a copy of its own, and none the directory itself.
  const { dev, ino } = statSync(directory)
  assert.equal(new Set([1, 2, 3].map((n) => text(`place.${n}`)).concat(`${dev}:${ino}\n`)).size, 4)
  assert.equal([text('in/text'), existsSync(join(directory, 'gone'))], ['one\nmore\n', false])
  assert.equal([text('both'), text(`both.gridnode-${id}`)], ['changed here', 'after\n'])
  assert.equal(run(here, ['squeue', '-h', '--format', '%i %t %M']), '')
}, { timeoutSeconds: 120 })

t('what a job leaves comes back though nobody asks', async (ctx) => {
  need(ctx, 'bwrap')
  const here = place('unasked', 'slurm')
  run(here, ['sbatch', '--wrap', 'echo made >made'])
  const made = join(here.directory, 'made')
  await eventually(() => existsSync(made) && readFileSync(made, 'utf8') === 'made\n',
    { timeoutSeconds: 60 })
}, { timeoutSeconds: 90 })

t('what the batch standard asks of a job is done', async (ctx) => {
  need(ctx, 'bwrap')
  const here = place('posix', 'posix')
  writeFileSync(join(here.directory, 'gated'), `#!/bin/sh
#PBS -h -N gated -l select=1:ncpus=1:mem=64mb
trap 'echo usr1 >got; exit 3' USR1
echo >ready
while :; do sleep 0.2; done
`)
  const id = run(here, ['qsub', 'gated']).trim()
  assert.match(id, /^\d+\.a\.example$/)
  const fact = (name: string): string =>
    new RegExp(`    ${name} = (.*)`).exec(run(here, ['qstat', '-x', '-f', id]))?.[1] ?? ''
  assert.equal([fact('job_state'), fact('Hold_Types'), fact('Job_Name')], ['H', 'u', 'gated'])
  run(here, ['qalter', '-N', 'renamed', '-p', '5', id])
  assert.equal([fact('Job_Name'), fact('Priority')], ['renamed', '5'])
  assert.equal(run(here, ['qselect', '-s', 'H']), `${id}\n`)
  run(here, ['qrls', id])
  await eventually(() => fact('job_state') === 'R', { timeoutSeconds: 40 })
  run(here, ['qsig', '-s', 'USR1', id])
  await eventually(() => fact('job_state') === 'F', { timeoutSeconds: 40 })
  assert.equal(fact('Exit_status'), '3')
  assert.equal(readFileSync(join(here.directory, 'got'), 'utf8'), 'usr1\n')
  const after = run(here, ['qsub', '-W', `depend=afternotok:${id}`, '--', 'true']).trim()
  const waits = run(here, ['qsub', '-h', '--', 'sleep', '60']).trim()
  run(here, ['qdel', waits])
  await eventually(() => /Exit_status = 0/.test(run(here, ['qstat', '-x', '-f', after])),
    { timeoutSeconds: 40 })
  await eventually(() => /Exit_status = 271/.test(run(here, ['qstat', '-x', '-f', waits])),
    { timeoutSeconds: 40 })
}, { timeoutSeconds: 180 })

/** Where every site is busy, one may get all tasks by chance: then it is run once more. */
async function atSeveral(
  what: string, once: (directory: string) => Promise<ReadonlySet<string>>,
): Promise<void> {
  let sites: ReadonlySet<string> = new Set()
  for (let tries = 1; tries <= 3 && sites.size < 2; tries++) sites = await once(`${what}-${tries}`)
  assert.ok(sites.size > 1, `all tasks of ${what} ran at ${[...sites].join(', ')}`)
}

async function snakemake(name: string): Promise<ReadonlySet<string>> {
  const here = place(name, 'slurm')
  writeFileSync(join(here.directory, 'Snakefile'), `
PARTS = ["a", "b", "c", "d"]
rule all:
    input: "sum.txt"
rule part:
    output: "parts/{name}.txt"
    shell: "sleep 3; echo {wildcards.name} $GRIDNODE_SITE > {output}"
rule sum:
    input: expand("parts/{name}.txt", name=PARTS)
    output: "sum.txt"
    shell: "cat {input} > {output}"
`)
  const status = join(here.directory, 'status.sh')
  writeFileSync(status, `#!/bin/sh
case $(sacct -j "$1" -n -X -P -o State | head -n 1) in
  COMPLETED) echo success ;;
  PENDING|RUNNING|COMPLETING|SUSPENDED) echo running ;;
  *) echo failed ;;
esac
`)
  chmodSync(status, 0o755)
  const ran = await follow(here, [
    'snakemake', '--cluster', 'sbatch --parsable -J {rule} -o logs/{rule}.%j.log',
    '--cluster-status', './status.sh', '--cluster-cancel', 'scancel', '--jobs', '4',
    '--latency-wait', '5', '--max-status-checks-per-second', '2', '--nocolor',
  ])
  const sites = await sitesOf('Snakemake', here.directory)
  assert.equal(ran.code, 0, ran.err.slice(-4_000))
  const sum = readFileSync(join(here.directory, 'sum.txt'), 'utf8').trim().split('\n')
  assert.equal(sum.map((line) => line.split(' ')[0]), ['a', 'b', 'c', 'd'])
  assert.ok(sum.every((line) => sites.has(line.split(' ')[1] ?? '')))
  return sites
}

async function toil(batchSystem: string, name: string): Promise<ReadonlySet<string>> {
  const here = place(name, batchSystem)
  writeFileSync(join(here.directory, 'flow.py'), `
import os
import time
from toil.common import Toil
from toil.job import Job

small = {"cores": 1, "memory": "400M", "disk": "10M"}


def part(job, number):
    time.sleep(3)
    return "part %d %s" % (number, os.environ["GRIDNODE_SITE"])


def total(job, lines):
    return lines


def root(job):
    parts = [job.addChildJobFn(part, number, **small).rv() for number in range(3)]
    return job.addFollowOnJobFn(total, parts, **small).rv()


if __name__ == "__main__":
    options = Job.Runner.getDefaultArgumentParser().parse_args()
    with Toil(options) as toil:
        for line in toil.start(Job.wrapJobFn(root, **small)):
            print(line)
`)
  const ran = await follow(here, [
    '/usr/bin/python3', 'flow.py', `file:${join(here.directory, 'store')}`,
    '--batchSystem', batchSystem, '--statePollingWait', '1', '--retryCount', '0',
    '--disableCaching', '--disableProgress',
  ])
  const sites = await sitesOf(`Toil on ${batchSystem}`, here.directory)
  assert.equal(ran.code, 0, `Toil on ${batchSystem}: ${ran.err.slice(-6_000)}`)
  const lines = ran.out.split('\n').filter((line) => line.startsWith('part '))
  assert.equal(lines.map((line) => line.split(' ')[1]), ['0', '1', '2'])
  assert.ok(lines.every((line) => sites.has(line.split(' ')[2] ?? '')))
  return sites
}

// All at once: most of the time each of them waits.
t('Snakemake 7, and Toil on four batch systems, finish workflows at several sites', async (ctx) => {
  need(ctx, 'snakemake', 'toil')
  const ran = await Promise.allSettled([
    atSeveral('snakemake', snakemake),
    ...['slurm', 'grid_engine', 'torque', 'lsf'].map((batchSystem) =>
      atSeveral(`toil-${batchSystem}`, (name) => toil(batchSystem, name))),
  ])
  for (const one of ran) if (one.status === 'rejected') throw one.reason
}, { timeoutSeconds: 400 })

t('all books hold in the end', async () => {
  await booksHold(federation)
  rmSync(join(folder, 'home'), { recursive: true, force: true })
  assert.ok(readdirSync(folder).length > 0)
}, { timeoutSeconds: 90 })
