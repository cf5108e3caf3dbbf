// Scripts of Grid Engine, read here and by a real qsub: each is refused by both or means the same
// to both. What Grid Engine honours and a federation cannot is told apart.
// time limit: 300 s

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatRanges, rangesOf } from '../../protocol/base/ranges.ts'
import { readDirectives } from '../../protocol/rules/directives.ts'
import { gridEngineMib, readGridEngineTime } from '../../protocol/rules/quantities.ts'
import { assert, suite } from '../harness.ts'
import { gridEngineMissing, startGridEngine } from './grid-engine-cluster.ts'
import type { GridEngineCluster } from './grid-engine-cluster.ts'

const t = suite('scripts as a real qsub reads them')
let cluster: GridEngineCluster | undefined
let directory = ''

t.before(async (ctx) => {
  const missing = gridEngineMissing()
  if (missing.length > 0) {
    const packages = 'gridengine-master gridengine-exec gridengine-client'
    ctx.skip(`needs ${missing.join(', ')}: apt install ${packages}`)
  }
  if (process.getuid?.() !== 0) ctx.skip('Grid Engine is started only as root')
  directory = ctx.tmp()
  cluster = await startGridEngine(ctx.tmp(), {
    slots: 64,
    complexes: ['gpu gpu INT <= YES YES 0 0', 'lic lic INT <= YES YES 0 0'],
    complexValues: 'gpu=8,lic=10',
  })
  ctx.after(() => cluster?.stop())
}, { timeoutSeconds: 120 })

interface Meant {
  readonly name: string
  readonly slots: number
  readonly seconds: number
  /** Of all slots. */
  readonly memoryMib: number
  readonly tasks: string
  readonly joined: boolean
  readonly inPlace: boolean
  readonly priority: number
  readonly out: string
  readonly gpus: number
  readonly licences: number
}

function meantHere(script: string): Meant | undefined {
  const read = readDirectives(script, { dialect: 'grid_engine' })
  if (!read.ok) return undefined
  const { options } = read.value
  return {
    name: options.name ?? 'job.sh',
    slots: options.cores ?? 1,
    seconds: options.walltimeSeconds ?? 0,
    memoryMib: options.memoryMib ?? 0,
    tasks: options.array ? formatRanges(options.array.tasks) : '',
    joined: options.joinStreams ?? false,
    inPlace: options.workDirectory === '.',
    priority: (options.priority ?? 1_024) - 1_024,
    out: options.stdoutPath ?? '',
    gpus: options.gpus ?? 0,
    licences: options.licences?.[0]?.count ?? 0,
  }
}

async function meantThere(script: string): Promise<Meant | undefined> {
  const path = join(directory, 'job.sh')
  writeFileSync(path, script)
  let shown: string
  try {
    const said = await cluster!.command(['qsub', '-h', '-terse', path])
    const id = said.trim().split('\n').at(-1)!.split('.')[0]!
    shown = await cluster!.command(['qstat', '-j', id])
  } catch {
    return undefined
  }
  const of = (name: string): string =>
    new RegExp(`^${name}: +(.*)$`, 'm').exec(shown)?.[1]?.trim() ?? ''
  const slots = Number(/range: ([0-9]+)/.exec(of('parallel environment'))?.[1] ?? '1')
  const resources = new Map(of('hard resource_list').split(',').map((part) => {
    const [name = '', value = ''] = part.split('=')
    return [name, value] as const
  }))
  const memory = ['h_vmem', 'mem_free', 'virtual_free'].flatMap((name) => {
    const read = gridEngineMib(resources.get(name) ?? '')
    return read.ok ? [read.value] : []
  })
  const seconds = readGridEngineTime(resources.get('h_rt') ?? '')
  const [, from, to, step] = /([0-9]+)-([0-9]+):([0-9]+)/.exec(of('job-array tasks')) ?? []
  const numbers: number[] = []
  for (let at = Number(from); at <= Number(to); at += Number(step)) numbers.push(at)
  return {
    name: of('job_name'),
    slots,
    seconds: seconds.ok ? seconds.value.walltimeSeconds ?? 0 : 0,
    memoryMib: memory.reduce((a, b) => Math.max(a, b), 0) * slots,
    tasks: formatRanges(rangesOf(numbers)),
    joined: of('merge') === 'y',
    inPlace: of('cwd') === cluster!.root,
    priority: Number(of('priority')),
    out: of('stdout_path_list').split(':').at(-1) ?? '',
    gpus: Number(resources.get('gpu') ?? '0') * slots,
    licences: Number(resources.get('lic') ?? '0') * slots,
  }
}

const script = (lines: string): string => `#!/bin/bash\n${lines}\n`

/** Refused by both, or the same to both. */
const same: readonly string[] = [
  '#$ -N job -cwd -V -pe smp 4 -l h_vmem=4G,h_rt=12:00:00\n#$ -t 1-10:2 -tc 3 -j y\necho\n' +
    '#$ -l lic=2 # foo',
  '#$ -N "a b" extra words -cwd', '#$ -N 1abc', '#$ -frob 1 -N x', '#$ -N abc extra',
  '#$ -pe smp 4-8\n#$ -l h_rt=3600 -l h_rt=7200 -l mem_free=1.5G', '#$ -l h_vmem=4g,h_rt=::30',
  '#$ -l h_rt=24:00', '#$ -l h_rt=1h', '#$-N joined\n#$ -S /bin/bash',
  ' #$ -N indented\n#$ -soft -l mem_free=2G -hard -l h_rt=10', '#$ -p -10 -m bea -M a@b -r y',
  '#$ -t 5 -N arr', '#$ -t 0-4', '#$ -t 1-10,12', '#$ -v A=1,B -v C=2 -e err -o out',
  '#$ -pe smp 4,8', '#$ -pe smp -8', '#$ -pe smp 4-', '#$ -pe smp 0', '#$ -pe smp',
  '#$ -N a -N b\n#$ -clear -cwd', '#$ -l gpu=1 -N g', '#$ -l gpu=2 -pe smp 3',
  '#$\n#$ # comment -N zz\n#$ -cwd#-N joined', '#$ -h -N held', '#$ -h u -N held',
  '#$ -l h_vmem=4GB', '#$ -l h_vmem=4096M,mem_free=0.5G,virtual_free=1k', '#$ -b y -N yy',
  '#$ -l h_rt=24:00:00,s_rt=23:00:00 -binding linear:4', '#$ -N "quoted#name"', '#$ -N \'a"b',
  '#$ -l "h_rt=1:0:0" -cwd', '#$ -l "h_rt=10"\n#$ -cwd', '#$ -t 1-100%5',
  '#$ -l h_rt=1:0:0, h_vmem=1G', '#$ -l h_cpu=1:0:0 -A acct -js 5 -S bash', '#$ -N x/y',
  '#$ --help', '#$ -N "ab" -cwd', '#$ -v A="x y"', '#$ -M "a@b" -m e -N q',
  '#$ -o "out dir/x" -N q', '#$ -a 203001011200.30 -N at', '#$ -a 2359', '#$ -l h_rt=:10:',
  '#$ -p 2000', '#$ -p 1000', '#$ -p -1023', '#$ -l h_rt=0:90:00 -l vf=1.5k', '#$ -N a:b',
  '#$ -N job.with-dots_1+2', '#$ -j', '#$ -tc 5', '#$ -t 10-1', '#$ -t 1-10:0', '#$ -t a-b',
  '#$ -j yes -R y -N j', '#$ -j n -cwd', '#$ -j maybe', '#$ is money\n#$ -cwd',
  '#$HOME\n#$ -cwd', '# $ -N x', '##$ -N x', 'cat <<E\n#$ -N here\nE', 'echo\n#$ -N late',
  '#$ -N crlf\r', '#$ -l h_vmem=1T', '#$ -l h_vmem=1024', '#$ -l h_vmem=100m',
  '#$ -o $HOME/x.$JOB_ID -e /dev/null', '#$ -now n -w n -N w', '#$ -cwd -cwd', '#$ -N',
  '#$ -l', '#$ -hold_jid 1,foo -N h', '#$ -pe nosuchpe', '#$ -ac a=b -sc c=d -N c', '#$ -V -V',
]

/** Grid Engine can, or knows that it cannot; a federation refuses it by what it names. */
const ours: readonly (readonly [lines: string, what: RegExp])[] = [
  ['#$ -notify', /-notify/], ['#$ -l h_rt=INFINITY', /expected a limit/],
  ['#$ -l arch=lx-amd64', /arch/], ['#$ -N x\n#$ -l hostname=*', /hostname/],
]

t('refused by both, or the same to both', async () => {
  const [here, there]: [unknown[], unknown[]] = [[], []]
  for (const lines of same) {
    here.push([lines, meantHere(script(lines))])
    there.push([lines, await meantThere(script(lines))])
  }
  assert.equal(here, there)
}, { timeoutSeconds: 200 })

t('what a federation cannot honour is refused here alone, and named', async () => {
  for (const [lines, what] of ours) {
    const refused = assert.refused(
      readDirectives(script(lines), { dialect: 'grid_engine' }), 'bad_script')
    assert.match(`${refused.faults[0]!.option} ${refused.faults[0]!.detail}`, what)
    assert.ok(await meantThere(script(lines)), lines)
  }
})
