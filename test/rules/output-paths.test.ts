// Where standard output and error go, in the words of each scheduler.

import type { StreamFacts, StreamPaths } from '../../protocol/rules/output-paths.ts'
import { streamPaths } from '../../protocol/rules/output-paths.ts'
import { assert, suite } from '../harness.ts'

const t = suite('output files')
const id = '69452066502612'

function paths(
  dialect: StreamFacts['dialect'], more: Partial<StreamFacts> = {}, directories: string[] = [],
): StreamPaths {
  const facts = {
    dialect, job: '3f2a91c0b7d4', name: 'count', user: 'alice', array: true, out: '', error: '',
    join: false, ...more,
  }
  return streamPaths(facts, { task: 7, site: 'b.example' }, (path) => directories.includes(path))
}

t('by default, as the scheduler names them', () => {
  assert.equal(paths('slurm'), { out: `slurm-${id}_7.out`, error: `slurm-${id}_7.out` })
  assert.equal(paths('slurm', { array: false }).out, `slurm-${id}.out`)
  assert.equal(paths('pbs'), { out: `count.o${id}.7`, error: `count.e${id}.7` })
  assert.equal(paths('torque'), { out: `count.o${id}-7`, error: `count.e${id}-7` })
  assert.equal(paths('grid_engine', { array: false }),
    { out: `count.o${id}`, error: `count.e${id}` })
  assert.equal(paths('lsf'), { out: '7/stdout', error: '7/stderr' })
})

t('patterns of Slurm, with a width; both in one file unless there are two', () => {
  assert.equal(paths('slurm', { out: 'logs/%x-%4a-%A.%u.%N.%%' }).out,
    `logs/count-0007-${id}.alice.b.example.%`)
  assert.equal(paths('slurm', { out: 'o%j', error: 'e%j' }), { out: `o${id}`, error: `e${id}` })
  assert.equal(paths('slurm', { out: 'a', error: 'a' }).error, 'a')
  assert.equal(paths('slurm', { out: '/dev/null', error: 'e' }), { out: undefined, error: 'e' })
})

t('patterns of the others', () => {
  assert.equal(paths('lsf', { out: 'o.%J.%I' }), { out: `o.${id}.7`, error: `o.${id}.7` })
  assert.equal(paths('grid_engine', { out: '$JOB_NAME.$JOB_ID.$TASK_ID', join: true }),
    { out: `count.${id}.7`, error: `count.${id}.7` })
  assert.equal(paths('pbs', { out: 'out.^array_index^' }).out, 'out.7')
  assert.equal(paths('torque', { error: '${PBS_JOBNAME}-$PBS_ARRAYID.err' }).error, 'count-7.err')
  assert.equal(paths('pbs', { out: 'a$PBS_JOBIDx', array: false }).out, `a${id}x`)
})

t('a directory gets the name by default; nothing leaves the directory', () => {
  assert.equal(paths('grid_engine', { out: 'logs/', array: false }).out, `logs/count.o${id}`)
  assert.equal(paths('grid_engine', { out: 'logs', array: false }, ['logs']).out,
    `logs/count.o${id}`)
  for (const out of ['/etc/passwd', '../../passwd', '~/passwd', 'a/../../passwd', '$HOME/passwd']) {
    assert.equal([out, paths('grid_engine', { out }).out], [out, 'passwd'])
  }
  assert.equal(paths('slurm', { out: './/logs//x' }).out, 'logs/x')
  assert.equal(paths('slurm', { out: '..' }).out, `slurm-${id}_7.out`)
})
