// bjobs and its like as their callers read them.

import { assert, suite } from '../../harness.ts'
import { call } from './batch-rows.ts'

const t = suite('LSF commands')

t('bjobs prints what Toil asks for', async (ctx) => {
  const ran = await call(ctx, 'lsf/bjobs', [
    '-json', '-o', 'jobid user exit_code stat exit_reason pend_reason', '1001', '1003', '1004',
    '1006', '4711',
  ])
  const { COMMAND, JOBS, RECORDS } = JSON.parse(ran.out) as {
    COMMAND: string; JOBS: number; RECORDS: Record<string, string>[]
  }
  assert.equal([ran.code, COMMAND, JOBS], [0, 'bjobs', 4])
  assert.equal(RECORDS.map(({ JOBID, STAT, EXIT_CODE }) => [JOBID, STAT, EXIT_CODE]), [
    ['1001', 'PEND', ''], ['1003', 'DONE', ''], ['1004', 'EXIT', '7'], ['1006', 'EXIT', '140'],
    ['4711', undefined, undefined],
  ])
  assert.match(RECORDS[3]?.['EXIT_REASON'] ?? '', 'TERM_RUNLIMIT')
  assert.equal(RECORDS[4]?.['ERROR'], 'Job <4711> is not found')
})

t('bjobs prints its own format, and one with a delimiter', async (ctx) => {
  const usual = await call(ctx, 'lsf/bjobs', ['1001', '1002'])
  assert.equal(usual.out, `\
JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME
1001    alice   PEND  gridnode   a.example               waits      Mar  1 11:58
1002    alice   RUN   gridnode   a.example   b.example   runs       Mar  1 11:58
`)
  const words = ['-noheader', '-o', "jobid stat exec_host delimiter='|'"]
  const own = await call(ctx, 'lsf/bjobs', words)
  assert.match(own.out, /^1001\|PEND\|-\n1002\|RUN\|b\.example\n/)
})

t('bjobs tells of a job in sentences', async (ctx) => {
  const ran = await call(ctx, 'lsf/bjobs', ['-l', '1004'])
  assert.match(ran.out, 'Job <1004>, Job Name <bad>, User <alice>, Project <default>, Status <EXIT')
  assert.match(ran.out, 'Exited with exit code 7.')
  const good = await call(ctx, 'lsf/bhist', ['-l', '1003'])
  assert.match(good.out, 'Done successfully.')
})

t('a job that is not there ends with 255', async (ctx) => {
  const ran = await call(ctx, 'lsf/bjobs', ['4711'])
  assert.equal(ran, { code: 255, out: '', err: 'Job <4711> is not found\n' })
})

t('what is asked before a submission is answered', async (ctx) => {
  assert.match((await call(ctx, 'lsf/bparams', ['-a'])).out, '    RESOURCE_RESERVE_PER_SLOT = N\n')
  assert.match((await call(ctx, 'lsf/lsid', [])).out, /^IBM Spectrum LSF Standard 10\.1\.0\.12,/)
  assert.match((await call(ctx, 'lsf/bqueues', [])).out, /\ngridnode +30 +Open:Active /)
})
