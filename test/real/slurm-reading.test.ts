// Scripts of Slurm, read here and by a real sbatch: each is refused by both or means the same to
// both. What Slurm honours and a federation cannot is told apart.
// time limit: 300 s

import { writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { sizeOf } from '../../cli/job-request.ts'
import { formatRanges, rangesOf } from '../../protocol/base/ranges.ts'
import { readDirectives } from '../../protocol/rules/directives.ts'
import { assert, suite } from '../harness.ts'
import { slurmMissing, startSlurmCluster } from './slurm-cluster.ts'
import type { SlurmCluster } from './slurm-cluster.ts'

const t = suite('scripts as a real sbatch reads them')
let cluster: SlurmCluster | undefined
let directory = ''

/** Nodes that nobody starts: jobs are held, and only looked at. */
const bigNodes = `NodeName=f[1-64] NodeHostname=${hostname()} NodeAddr=127.0.0.1 ` +
  'Port=[20001-20064] Sockets=4 CoresPerSocket=16 ThreadsPerCore=1 RealMemory=1024000 ' +
  'Gres=gpu:v100:4,gpu:a100:4 State=UNKNOWN'

t.before(async (ctx) => {
  const missing = slurmMissing()
  if (missing.length > 0) ctx.skip(`needs ${missing.join(', ')}: apt install slurm-wlm munge`)
  directory = ctx.tmp()
  cluster = await startSlurmCluster(ctx.tmp(), {
    configuration: ['GresTypes=gpu', 'Licenses=matlab:100,ansys:100', bigNodes],
    partitions: ['PartitionName=big Nodes=f[1-64] MaxTime=UNLIMITED State=UP'],
  })
  ctx.after(() => cluster?.stop())
}, { timeoutSeconds: 120 })

interface Meant {
  readonly name: string
  readonly cores: number
  /** 0 = nothing was said. */
  readonly nodes: number
  readonly memoryMib: number
  readonly seconds: number
  readonly tasks: string
  readonly requeue: boolean
  readonly account: string
  readonly licences: string
}

/** What was said: of the rest Slurm has defaults of its own. */
function meantHere(script: string): Meant | undefined {
  const read = readDirectives(script)
  if (!read.ok) return undefined
  const { options } = read.value
  const saysMemory = options.memoryMib !== undefined || options.memoryMibPerCore !== undefined ||
    options.chunks?.some((chunk) => chunk.memoryMib > 0)
  const size = sizeOf(options)
  return {
    name: options.name ?? 'job.sh',
    cores: size.cores,
    nodes: size.chunks?.reduce((sum, chunk) => sum + chunk.nodes, 0) ?? 0,
    memoryMib: saysMemory ? size.memory_mib : 0,
    seconds: options.walltimeSeconds ?? 0,
    tasks: options.array ? formatRanges(options.array.tasks) : '',
    requeue: options.rerun ?? true,
    account: options.project ?? '',
    licences: options.licences?.map(({ name, count }) => `${name}:${count}`).join() ?? '',
  }
}

async function meantThere(script: string, here: Meant | undefined): Promise<Meant | undefined> {
  const path = join(directory, 'job.sh')
  writeFileSync(path, script)
  let id: string
  try {
    id = (await cluster!.command(['sbatch', '-H', '-p', 'big', '--parsable', path])).trim()
  } catch {
    return undefined
  }
  const shown = await cluster!.command(['scontrol', 'show', 'job', '-o', id])
  const parts = shown.trim().split('\n')
  const of = (text: string, name: string): string =>
    new RegExp(`(?:^| )${name}=(\\S*)`).exec(text)?.[1] ?? ''
  const sum = (make: (text: string) => number): number =>
    parts.reduce((total, text) => total + make(text), 0)
  const [first = ''] = parts
  const nothing = (text: string): string => text === '(null)' ? '' : text
  return {
    name: /JobName=(.*?) [A-Za-z]+=/.exec(first)?.[1] ?? '',
    cores: sum((text) => Number(of(text, 'NumCPUs'))),
    nodes: here?.nodes === 0 ? 0 : sum((text) => Number(of(text, 'NumNodes').split('-')[0])),
    memoryMib: here?.memoryMib === 0 ? 0
      : sum((text) => mibOf(/mem=([0-9.]+[KMGT]?)/.exec(text)?.[1])),
    seconds: secondsOf(of(first, 'TimeLimit')),
    tasks: arrayOf(of(first, 'ArrayTaskId')),
    requeue: of(first, 'Requeue') === '1',
    account: nothing(of(first, 'Account')),
    licences: nothing(of(first, 'Licenses')).split(',').filter((one) => one !== '')
      .map((one) => one.includes(':') ? one : `${one}:1`).join(),
  }
}

function mibOf(text = '0'): number {
  const unit = { K: 2 ** -10, M: 1, G: 2 ** 10, T: 2 ** 20 }[text.at(-1) ?? ''] ?? 1
  return Number.parseFloat(text) * unit
}

function secondsOf(text: string): number {
  const match = /^(?:([0-9]+)-)?([0-9]+):([0-9]+):([0-9]+)$/.exec(text)
  if (!match) return 0
  const [, days = '0', hours, minutes, seconds] = match
  return Number(days) * 86_400 + Number(hours) * 3_600 + Number(minutes) * 60 + Number(seconds)
}

/** `1,4,7-9%2` and `1-9:3`, as ranges. */
function arrayOf(text: string): string {
  const numbers: number[] = []
  for (const part of text.replace(/%.*/, '').split(',').filter((one) => one !== '')) {
    const [range = '', step = '1'] = part.split(':')
    const [from = '0', to = from] = range.split('-')
    for (let at = Number(from); at <= Number(to); at += Number(step)) numbers.push(at)
  }
  return formatRanges(rangesOf(numbers))
}

const script = (lines: string): string => `#!/bin/bash\n${lines.trim()}\n`

/** Refused by both, or the same to both. */
const same: readonly string[] = [
  '#SBATCH -N 4 -n 10 -c 2 --mem=4G', '#SBATCH -N 8 -B 2:10', '#SBATCH -n 4 -N 8',
  '#SBATCH --ntasks=16 --ntasks-per-node=4 --mem-per-cpu=2G --nodes=4',
  '#SBATCH -N 2 --ntasks-per-node=4 -c 3 --time=1-12', '#SBATCH --mem=5 --mem-per-cpu=6',
  '#SBATCH --mem-per-cpu=6\n#SBATCH --mem=5G', '#SBATCH --gres=gpu:2 -n 8 -c 2 -t 10',
  '#SBATCH --gpus-per-node=v100:2 -N 2 --ntasks-per-gpu=1', '#SBATCH --gpus-per-task=1 -n 4',
  '#SBATCH -N 2-4 -n 8 --array=1-10:3%2', '#SBATCH -N 2', '#SBATCH --ntasks-per-node=8',
  '#SBATCH -n 1\n#SBATCH hetjob\n#SBATCH -N 2 --ntasks-per-node=4',
  '#SBATCH --mem=1G -n 1 -N1\n#SBATCH packjob\n#SBATCH -N 2 --mem-per-cpu=1G -c 2',
  '#SBATCH -n 8 --ntasks-per-socket=2', '#SBATCH --mem=1.5G', '#SBATCH --tasks=48',
  '#SBATCH --mem=1GB -J "a b" -t 90 --requeue -L matlab:2,ansys -A proj',
  '#SBATCH -N 2 --gpus=4 -n 2', '#SBATCH --begin=now+1hour --no-requeue',
  '#SBATCH -N 3 -n 9 --gpus=5', '#SBATCH --cores-per-socket=4 --sockets-per-node=2 -N 2',
  '#SBATCH --job-name = test', '#SBATCH -n2 -J a # comment\n#SBATCH --cpus-per-task=4',
  '#SBATCH\n#SBATCH -N1 -n4 foo\n#SBATCH -t 5', '#SBATCH --time=1:30 --nice -o x/%x-%A_%a.txt',
  '#SBATCH --job-name=a#b -t 1', '#SBATCH --job-name="a # b" -o \'x y\' \\\n#SBATCH -n 4',
  '#SBATCH -J ""\n#SBATCH -t5', '#SBATCH --export ALL,A=2 -n 2', '#SBATCH -t 1-0 -n 1k',
  '#SBATCH --cpus-per-task 4 --n 3', '#SBATCH --time=24:00', '#SBATCH --time=24:00:00:00',
  '#SBATCH --time=2d', '#SBATCH --mem=16gb --ntasks 4', '#SBATCH --mem=16000 MB',
  ' #SBATCH -n 7\n#SBATCH -n 3', '\n#SBATCH -n 3\nmodule load x\n#SBATCH -n 4',
  '#SBATCH --nodes=1\n#SBATCH --ntasks-per-node=4\n#SBATCH --ntasks=16',
  '#SBATCH --nodes=4\n#SBATCH --ntasks-per-node=4\n#SBATCH --ntasks=8',
  '#SBATCH -\u2013ntasks=4', '#SBATCH --array=0-5 --array=1-3', '#SBATCH --job-name=x;echo',
  '#SBATCH --ntasks-per-core=1 -n 4', '#SBATCH --workdir=/tmp', '#SBATCH --share', '#SBATCH -f x',
  '#SBATCH -t 0-0:0:61', '#SBATCH -t 100:100', '#SBATCH --array=[1-3]%2', '#SBATCH -a 1,3,5-9:2',
  '#SBATCH -a 5-1', '#SBATCH --mem=1T -c 64', '#SBATCH --mem=2K', '#SBATCH -c 0', '#SBATCH -n -1',
  'cat <<E\n#SBATCH -n 9\nE', '#SBATCH--ntasks=3', '#SBATCHntasks=3', '##SBATCH -n 3',
  '# SBATCH -n 3', '#sbatch -n 3', '#SBATCH -n3 -c2 -N1 -t1', '#SBATCH --mail-type=END,FAIL',
  '#SBATCH --ntas=3', '#SBATCH --time-mi=1 -t 5', '#SBATCH -Hv -n 2', '#SBATCH --hold=yes',
  '#SBATCH --gpus=2 -c 3', '#SBATCH --gres=gpu', '#SBATCH -N 1-1 -n 12 --mem-per-cpu=100M',
]

/** Slurm can, a federation cannot: refused here by what it names. */
const ours: readonly (readonly [lines: string, what: RegExp])[] = [
  ['#SBATCH --exclusive', /--exclusive/], ['#SBATCH --mem=0', /all the memory of a node/],
  ['#SBATCH --time=0', /expected a limit/], ['#SBATCH -q normal', /-q/],
  ['#SBATCH --overcommit -n 8 -N 2', /--overcommit/], ['#SBATCH --signal=B:USR1@60', /--signal/],
  ['#SBATCH --gres=gpu:v100:1,gpu:a100:1', /several kinds/], ['#SBATCH --tmp=1G', /--tmp/],
]

t('refused by both, or the same to both', async () => {
  const [all, there]: [unknown[], unknown[]] = [[], []]
  for (const lines of same) {
    const here = meantHere(script(lines))
    all.push([lines, here])
    there.push([lines, await meantThere(script(lines), here)])
  }
  assert.equal(all, there)
}, { timeoutSeconds: 200 })

t('what a federation cannot honour is refused here alone, and named', async () => {
  for (const [lines, what] of ours) {
    const refused = assert.refused(readDirectives(script(lines)), 'bad_script')
    assert.match(`${refused.faults[0]!.option} ${refused.faults[0]!.detail}`, what)
    assert.ok(await meantThere(script(lines), undefined), lines)
  }
})

t('DOS line breaks and a missing interpreter are refused by both', async () => {
  for (const text of ['#!/bin/sh\r\n#SBATCH -n 2\r\n', '#SBATCH -n 2\n', '']) {
    assert.equal([text, meantHere(text)], [text, undefined])
    assert.equal(await meantThere(text, undefined), undefined)
  }
})
