// The variables that a script of each scheduler finds, run by a real sh beside those of another
// scheduler.

import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Dialect } from '../../protocol/rules/dialect.ts'
import { dialectPreface } from '../../protocol/rules/dialect-variables.ts'
import type { JobDocument } from '../../protocol/rules/job.ts'
import { assert, suite } from '../harness.ts'
import type { Context } from '../harness.ts'

const t = suite('run-time variables')

type Variables = Readonly<Record<string, string | undefined>>

/** Of a host whose own scheduler is LSF, and which has leftovers of others. */
const hostVariables = {
  PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: '/home/x', SHELL: '/bin/bash',
  LSB_MCPU_HOSTS: 'n1 2 n2 2 n3 4', LSB_JOBID: '7', SLURM_ARRAY_TASK_ID: '9', SLURM_CONF: '/c',
  PBS_JOBID: '8', JOB_ID: '5', SGE_ROOT: '/opt/sge', SGE_TASK_ID: '4', KEPT: 'kept',
}

function run(
  ctx: Context, dialect: Dialect, more: Partial<JobDocument> = {}, env: Variables = hostVariables,
): { variables: Variables; directory: string } {
  const directory = ctx.tmp()
  mkdirSync(join(directory, '.gridnode'))
  const document = {
    dialect, name: "it's a $job", user: 'alice', queue: 'long',
    environment: [{ name: 'KEPT', value: 'kept' }, { name: 'PBS_OWN', value: '2' }], array: 1,
    cores: 8, memory_mib: 2_560, walltime_seconds: 60, chunks: [
      { nodes: 2, cores: 2, memory_mib: 1_024, gpus: 0 },
      { nodes: 1, cores: 4, memory_mib: 512, gpus: 0 },
    ],
    ...more,
  } as unknown as JobDocument
  const preface = dialectPreface({
    document, job: '3f2a91c0b7d4', tasks: [[1, 1], [3, 3], [5, 5]], task: 3, home: 'a.example',
    site: 'b.example',
  })
  const write = (name: string, text: string): void =>
    writeFileSync(join(directory, '.gridnode', name), text, { mode: 0o700 })
  write('start', preface ?? '')
  write('script', '#!/bin/sh\n[ "$1" = "an argument" ] && env -0\n')
  const out = execFileSync('./.gridnode/start', ['an argument'],
    { cwd: directory, encoding: 'utf8', env: { ...env, PBS_OWN: '2' } })
  const pairs = out.split('\0').filter((line) => line.includes('=')).map((line) => {
    const at = line.indexOf('=')
    return [line.slice(0, at), line.slice(at + 1)] as const
  })
  return { variables: Object.fromEntries(pairs), directory }
}

const id = '69452066502612'

t('[VAR-1] [VAR-2] Slurm: the array, the nodes of the host, nothing of others', (ctx) => {
  const { variables, directory } = run(ctx, 'slurm')
  const expected = {
    SLURM_JOB_ID: id, SLURM_JOB_NAME: "it's a $job", SLURM_ARRAY_JOB_ID: id,
    SLURM_ARRAY_TASK_ID: '3', SLURM_ARRAY_TASK_COUNT: '3', SLURM_ARRAY_TASK_MIN: '1',
    SLURM_ARRAY_TASK_MAX: '5', SLURM_ARRAY_TASK_STEP: '2', SLURM_JOB_NODELIST: 'n1,n2,n3',
    SLURM_JOB_CPUS_PER_NODE: '2(x2),4', SLURM_NNODES: '3', SLURM_SUBMIT_DIR: directory,
    SLURM_MEM_PER_NODE: '1024', SLURM_NTASKS: '1', SLURM_CONF: '/c', KEPT: 'kept', PBS_OWN: '2',
    LSB_JOBID: undefined, PBS_JOBID: undefined, JOB_ID: undefined, SGE_TASK_ID: undefined,
    SGE_ROOT: '/opt/sge',
  }
  for (const [name, value] of Object.entries(expected)) {
    assert.equal([name, variables[name]], [name, value])
  }
})

t('what the document sets stays: tasks of the command line', (ctx) => {
  const environment = [{ name: 'SLURM_NTASKS', value: '8' }]
  const { variables } = run(ctx, 'slurm', { environment, array: 0 },
    { ...hostVariables, SLURM_NTASKS: '8' })
  assert.equal([variables['SLURM_NTASKS'], variables['SLURM_NPROCS']], ['8', '8'])
  assert.equal(variables['SLURM_ARRAY_TASK_ID'], undefined)
})

t('[VAR-3] PBS Pro and Torque: a file of nodes, each as often as it gives cores', (ctx) => {
  const { variables, directory } = run(ctx, 'pbs')
  assert.equal([variables['PBS_JOBID'], variables['PBS_ARRAY_INDEX'], variables['PBS_O_WORKDIR']],
    [`${id}[3]`, '3', directory])
  assert.equal(variables['NCPUS'], '2')
  const nodes = readFileSync(variables['PBS_NODEFILE'] ?? '', 'utf8').trim().split('\n')
  assert.equal(nodes, ['n1', 'n1', 'n2', 'n2', 'n3', 'n3', 'n3', 'n3'])
  const own = run(ctx, 'torque', { environment: [{ name: 'GRIDNODE_SLOTS', value: '2x1 1x3' }] })
  assert.equal(own.variables['PBS_ARRAYID'], '3')
  assert.equal([own.variables['PBS_NP'], own.variables['PBS_NUM_NODES']], ['5', '3'])
})

t('LSF and Grid Engine: an index, or none', (ctx) => {
  const lsf = run(ctx, 'lsf').variables
  assert.equal([lsf['LSB_JOBID'], lsf['LSB_JOBINDEX'], lsf['LSB_JOBNAME'], lsf['LSB_HOSTS']],
    [id, '3', "it's a $job[3]", 'n1 n1 n2 n2 n3 n3 n3 n3'])
  assert.equal([lsf['LSB_DJOB_NUMPROC'], run(ctx, 'lsf', { array: 0 }).variables['LSB_JOBINDEX']],
    ['8', '0'])
  const ge = run(ctx, 'grid_engine').variables
  assert.equal([ge['JOB_ID'], ge['SGE_TASK_ID'], ge['SGE_TASK_STEPSIZE'], ge['NSLOTS']],
    [id, '3', '2', '8'])
  assert.match(readFileSync(ge['PE_HOSTFILE'] ?? '', 'utf8'), 'n3 4 long@n3 UNDEFINED')
  assert.equal(run(ctx, 'grid_engine', { array: 0 }).variables['SGE_TASK_ID'], 'undefined')
})
