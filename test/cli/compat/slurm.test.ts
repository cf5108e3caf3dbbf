// squeue, sacct, scontrol and sinfo as their callers read them.

import { assert, suite } from '../../harness.ts'
import { call } from './batch-rows.ts'

const t = suite('Slurm commands')

t('squeue prints what Toil asks for', async (ctx) => {
  const ran = await call(ctx, 'slurm/squeue', ['-h', '--format', '%i %t %M'])
  assert.equal(ran, { code: 0, err: '', out: `\
1001 PD 0:00
1002 R 1:15
1007_[4-9] PD 0:00
1007_[10] PD 0:00
1007_2 R 1:15
1007_3 CG 1:15
` })
})

t('squeue prints its own format', async (ctx) => {
  const ran = await call(ctx, 'slurm/squeue', ['-j', '1001,1002'])
  assert.equal(ran.out, `\
             JOBID PARTITION     NAME     USER ST       TIME  NODES NODELIST(REASON)
              1001  gridnode    waits    alice PD       0:00      1 (Resources)
              1002  gridnode     runs    alice  R       1:15      1 b.example
`)
})

t('squeue expands arrays, chooses by state, and takes long names', async (ctx) => {
  const each = await call(ctx, 'slurm/squeue', ['-hr', '-t', 'PD', '-o', '%i|%r', '-n', 'many'])
  const reasons = ['4', '5', '6', '7', '8', '9'].map((task) => `1007_${task}|Resources\n`).join('')
  assert.equal(each.out, `${reasons}1007_10|JobHeldUser\n`)
  const words = ['--noheader', '-t', 'all', '-o', '%i %t', '-u', 'alice']
  const all = await call(ctx, 'slurm/squeue', words)
  assert.match(all.out, '1003 CD\n1004 F\n1005 CA\n1006 TO\n')
  const long = await call(ctx, 'slurm/squeue', ['-h', '-O', 'jobid:6,state:.9,name', '-j', '1002'])
  assert.equal(long.out, `1002    RUNNING${'runs'.padEnd(20)}\n`)
})

t('squeue says when there is no such job, and refuses what it does not know', async (ctx) => {
  const none = await call(ctx, 'slurm/squeue', ['-j', '4711'])
  assert.equal([none.code, none.err], [1, 'slurm_load_jobs error: Invalid job id specified\n'])
  const bad = await call(ctx, 'slurm/squeue', ['-o', '%i %X'])
  assert.equal(bad.code, 1)
  assert.match(bad.err, 'squeue: error: Invalid job format specification: %X')
  const unknown = await call(ctx, 'slurm/squeue', ['--frobnicate'])
  assert.equal(unknown.code, 1)
  assert.match(unknown.err, "squeue: error: option '--frobnicate' is not known here")
})

t('sacct prints what Toil and Parsl ask for', async (ctx) => {
  const toil = await call(ctx, 'slurm/sacct', [
    '-n', '-j', '1001,1002,1003,1004,1005,1006', '--format', 'JobIDRaw,State,ExitCode', '-P',
    '-S', '1970-01-01',
  ])
  assert.equal(toil, { code: 0, err: '', out: `\
1001|PENDING|0:0
1002|RUNNING|0:0
1003|COMPLETED|0:0
1004|FAILED|7:0
1005|CANCELLED by ${process.getuid?.()}|0:15
1006|TIMEOUT|0:15
` })
  const parsl = await call(ctx, 'slurm/sacct', [
    '-X', '--noheader', '--format=jobid,state%20', '--job', '1003,1007',
  ])
  assert.match(parsl.out, / +1003 +COMPLETED \n/)
  assert.match(parsl.out, / +1007_1 +COMPLETED \n/)
})

t('sacct has a heading and rules, and cuts with a plus', async (ctx) => {
  const ran = await call(ctx, 'slurm/sacct', ['-j', '1004', '-o', 'JobID%-6,JobName%2,ExitCode'])
  assert.equal(ran.out, `\
JobID  J+ ExitCode \n------ -- -------- \n1004   b+      7:0 \n`)
  const tail = await call(ctx, 'slurm/sacct', ['-j', '1004', '-p', '-o', 'JobID,State'])
  assert.equal(tail.out, 'JobID|State|\n1004|FAILED|\n')
})

t('sacct prints what Snakemake 8 asks for', async (ctx) => {
  const ran = await call(ctx, 'slurm/sacct', [
    '-X', '--parsable2', '--clusters', 'all', '--noheader', '--format=JobIdRaw,State',
    '--starttime', '2026-02-27T00:00', '--endtime', 'now', '--name', 'bad',
  ])
  assert.equal(ran, { code: 0, err: '', out: '1004|FAILED\n' })
})

t('scontrol shows blocks of KEY=VALUE', async (ctx) => {
  const ran = await call(ctx, 'slurm/scontrol', ['show', 'job', '1004'])
  assert.match(ran.out, /^JobId=1004 JobName=bad\n {3}UserId=alice\(/)
  assert.match(ran.out, '   JobState=FAILED Reason=NonZeroExitCode Dependency=(null)\n')
  assert.match(ran.out, ' ExitCode=7:0\n')
  assert.match(ran.out, '   RunTime=00:01:10 TimeLimit=01:30:00 TimeMin=N/A\n')
  const line = await call(ctx, 'slurm/scontrol', ['-o', 'show', 'job', '1003'])
  assert.equal(line.out.split('\n').length, 2)
  const none = await call(ctx, 'slurm/scontrol', ['show', 'job', '4711'])
  assert.equal(none.code, 1)
  const config = await call(ctx, 'slurm/scontrol', ['show', 'config'])
  assert.match(config.out, 'SchedulerTimeSlice      = 1 sec\n')
})

t('a command that is not there is refused in words', async (ctx) => {
  const ran = await call(ctx, 'slurm/scontrol', ['update', 'JobId=1001'])
  assert.equal(ran.code, 1)
  assert.match(ran.err, "scontrol: error: 'update JobId=1001' is not done by gridnode")
})
