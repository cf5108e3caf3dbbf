// What is found of schedulers on a machine, from commands of our own in a PATH of our own.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  detectModules, detectSchedulers, parseComplexes, parseModules,
} from '../../node/scheduler/detect.ts'
import { assert, suite } from '../harness.ts'
import type { Context } from '../harness.ts'

const t = suite('detection of schedulers')

function machineWith(ctx: Context, programs: Readonly<Record<string, string>>): { PATH: string } {
  const directory = join(ctx.tmp(), 'programs')
  mkdirSync(directory)
  for (const [name, lines] of Object.entries(programs)) {
    writeFileSync(join(directory, name), `#!/bin/sh\n${lines}\n`, { mode: 0o755 })
  }
  return { PATH: directory }
}

t('finds nothing where nothing is, and where what is there is something else', async (ctx) => {
  assert.equal(await detectSchedulers({ PATH: ctx.tmp() }), [])
  const odd = machineWith(ctx, { sinfo: 'echo sinfo of the weather', qstat: 'exit 3' })
  assert.equal(await detectSchedulers(odd), [])
})

t('finds Slurm, what it has, and where its commands and its configuration are', async (ctx) => {
  const environment = machineWith(ctx, {
    sinfo: `case $1 in --version) echo slurm-wlm 22.05.8; exit ;; esac
[ "$SLURM_CONF" = /etc/elsewhere.conf ] || exit 1
echo 'n1|main*|idle|0/8/0/8|16384|0|1-00:00:00|gpu:2|gpu:0|'
echo 'n2|main*|idle|0/8/0/8|16384|0|1-00:00:00|(null)|gpu:0|'`,
    squeue: 'true', scontrol: 'true',
  })
  const [slurm, ...others] = await detectSchedulers({
    ...environment, SLURM_CONF: '/etc/elsewhere.conf',
  })
  assert.ok(slurm)
  assert.equal([slurm.kind, slurm.version, others.length], ['slurm', '22.05.8', 0])
  const { coresTotal, nodesTotal, gpusTotal } = slurm.capacity ?? assert.fail(slurm.why)
  assert.equal([coresTotal, nodesTotal, gpusTotal], [16, 2, 2])
  assert.equal(slurm.keys, {
    bin: JSON.stringify(environment.PATH), conf: '"/etc/elsewhere.conf"',
  })
})

t('puts what answers before what does not, and tells three qstat apart', async (ctx) => {
  const environment = machineWith(ctx, {
    sinfo: 'case $1 in --version) echo slurm 23.11.1; exit ;; esac\n'
      + 'echo "slurm_load_partitions: Unable to contact slurm controller" >&2; exit 1',
    squeue: 'sleep 1', scontrol: 'sleep 1',
    qstat: `case $1 in -help) echo 'SGE 8.1.9'; exit ;; --version) exit 2 ;; esac
echo '<?xml version="1.0"?><job_info><queue_info><Queue-List><name>all.q@n1</name>'
echo '<slots_used>0</slots_used><slots_resv>0</slots_resv><slots_total>16</slots_total>'
echo '<resource name="mem_total" type="hl">64G</resource></Queue-List></queue_info></job_info>'`,
    qconf: `case $1 in
-spl) echo mpi; echo smp ;;
-sp) [ "$2" = smp ] && echo 'allocation_rule    $pe_slots' ;;
-sc) echo 'gpu gpu INT <= YES JOB 0 0'; echo 'h_vmem h_vmem MEMORY <= YES YES 0 0' ;;
esac`,
  })
  const found = await detectSchedulers({ ...environment, SGE_ROOT: '/opt/sge', SGE_CELL: 'c' })
  assert.equal(found.map(({ kind, version }) => [kind, version]), [
    ['grid-engine', '8.1.9'], ['slurm', '23.11.1'],
  ])
  assert.equal(found[0]?.keys, {
    bin: JSON.stringify(environment.PATH), root: '"/opt/sge"', cell: '"c"',
    parallel_environment: '"smp"', memory_complex: '"h_vmem"', gpu_complex: '"gpu"',
    per_job_complexes: '["gpu"]',
  })
  assert.match(found[1]?.why ?? '', /Unable to contact/)
  const only = await detectSchedulers(environment, 'slurm')
  assert.equal(only.map(({ kind }) => kind), ['slurm'])
})

t('reads complexes and software modules', async (ctx) => {
  assert.equal(parseComplexes('#name shortcut\nh_vmem h_vmem MEMORY <= NO YES 0 0\n'
    + 'mem_free mf MEMORY <= YES NO 0 0\n'), [{ name: 'mem_free', counted: false, perJob: false }])
  const modules = parseModules('/opt/modules:\ngcc/9.3.0\ngcc/12.2.0(default)\nR/4.2\nnull\n'
    + 'openmpi/v4.1\nuse.own\n')
  assert.equal([...modules], [['gcc', '12.2.0'], ['R', '4.2'], ['openmpi', '4.1']])
  assert.equal((await detectModules({ PATH: ctx.tmp() })).size, 0)
})
