// qstat, qacct and qselect of PBS, Torque and Grid Engine as their callers read them.

import { assert, suite } from '../../harness.ts'
import { call } from './batch-rows.ts'

const pbs = suite('PBS and Torque commands')

pbs('qstat of Torque shows jobs that are named, ended ones as C', async (ctx) => {
  const ran = await call(ctx, 'torque/qstat', ['1001', '1002', '1003'])
  assert.equal(ran, { code: 0, err: '', out: `\
Job ID                    Name             User            Time Use S Queue
------------------------- ---------------- --------------- -------- - -----
1001.a.example            waits            alice                  0 Q gridnode
1002.a.example            runs             alice           00:01:15 R gridnode
1003.a.example            good             alice           00:01:10 C gridnode
` })
})

pbs('qstat -f has the exit status as each of them calls it', async (ctx) => {
  const torque = await call(ctx, 'torque/qstat', ['-f', '1004'])
  assert.match(torque.out, /^Job Id: 1004\.a\.example\n {4}Job_Name = bad\n/)
  assert.match(torque.out, '\n    job_state = C\n')
  assert.match(torque.out, '\n    exit_status = 7\n')
  const pro = await call(ctx, 'posix/qstat', ['-x', '-f', '1005.a.example'])
  assert.match(pro.out, '\n    job_state = F\n')
  assert.match(pro.out, '\n    Exit_status = 271\n')
  const running = await call(ctx, 'torque/qstat', ['-f', '1002'])
  assert.ok(!running.out.includes('exit_status'))
})

pbs('an array is one line, or with -t a line for each of its jobs', async (ctx) => {
  const one = await call(ctx, 'posix/qstat', ['1007[]'])
  assert.match(one.out, /\n1007\[\]\.a\.example +many +alice +00:01:15 B gridnode\n$/)
  const each = await call(ctx, 'posix/qstat', ['-t', '1007[]'])
  assert.match(each.out, '\n1007[2].a.example')
})

pbs('an id that no job has ends with 153', async (ctx) => {
  const ran = await call(ctx, 'torque/qstat', ['4711'])
  assert.equal(ran, { code: 153, out: '', err: 'qstat: Unknown Job Id Error 4711.a.example\n' })
})

pbs('qstat prints JSON and XML', async (ctx) => {
  const json = await call(ctx, 'posix/qstat', ['-x', '-f', '-F', 'json', '1003'])
  const { Jobs } = JSON.parse(json.out) as { Jobs: Record<string, Record<string, unknown>> }
  assert.equal(Jobs['1003.a.example']?.['job_state'], 'F')
  assert.equal(Jobs['1003.a.example']?.['Resource_List'], {
    mem: '512mb', ncpus: '2', nodect: '1', select: '1:ncpus=2:mem=512mb', walltime: '01:30:00',
  })
  const xml = await call(ctx, 'torque/qstat', ['-x', '1003'])
  assert.match(xml.out, /^<Data><Job><Job_Id>1003\.a\.example<\/Job_Id><Job_Name>good</)
})

pbs('qselect prints ids, pbsnodes its version', async (ctx) => {
  const ran = await call(ctx, 'posix/qselect', ['-s', 'R'])
  assert.equal(ran.out, '1002.a.example\n')
  assert.equal((await call(ctx, 'torque/pbsnodes', ['--version'])).out, 'Version: 6.1.3-gridnode\n')
})

pbs('qmsg is refused in words', async (ctx) => {
  const ran = await call(ctx, 'posix/qmsg', ['-O', 'hello', '1001'])
  assert.equal(ran.code, 1)
  assert.match(ran.err, 'qmsg: a message cannot be written')
})

const ge = suite('Grid Engine commands')

ge('qstat: the id in column one, the state in five, then date and time', async (ctx) => {
  const ran = await call(ctx, 'grid_engine/qstat', [])
  const [head, rule, ...rows] = ran.out.trimEnd().split('\n')
  assert.match(head ?? '', /^job-ID +prior +name +user +state +submit\/start at +queue +slots/)
  assert.match(rule ?? '', /^-+$/)
  const cells = rows.map((row) => row.trim().split(/\s+/))
  assert.equal(cells.map(([id, , , , state]) => [id, state]), [
    ['1001', 'qw'], ['1002', 'r'], ['1007', 'qw'], ['1007', 'hqw'], ['1007', 'r'], ['1007', 'r'],
  ])
  assert.equal(cells[1]?.slice(5, 8), ['03/01/2026', '11:58:45', 'gridnode@b.example'])
})

ge('qstat -j says what does not exist, or exists no more', async (ctx) => {
  const open = await call(ctx, 'grid_engine/qstat', ['-j', '1002'])
  assert.match(open.out, /^=+\njob_number: +1002\n/)
  const over = await call(ctx, 'grid_engine/qstat', ['-j', '1003'])
  assert.equal([over.code, over.err], [1, 'Following jobs do not exist: \n1003\n'])
})

ge('qstat -xml has what runs apart from what waits', async (ctx) => {
  const { out } = await call(ctx, 'grid_engine/qstat', ['-xml', '-u', '*'])
  const [runs = '', waits = ''] = out.split('</queue_info>')
  const ids = (text: string): string[] =>
    [...text.matchAll(/<JB_job_number>(\d+)</g)].map(([, id]) => id!)
  assert.equal([ids(runs), ids(waits)], [['1002', '1007', '1007'], ['1001', '1007', '1007']])
  assert.match(runs, '<state>r</state>\n      <JAT_start_time>2026-03-01T11:58:45</JAT_start_time>')
})

ge('qacct has failed and exit_status', async (ctx) => {
  const bad = await call(ctx, 'grid_engine/qacct', ['-j', '1004'])
  assert.match(bad.out, '\nfailed       0\nexit_status  7\n')
  const killed = await call(ctx, 'grid_engine/qacct', ['-j', '1005'])
  assert.match(killed.out, '\nfailed       100 : assumedly after job\nexit_status  137\n')
  const running = await call(ctx, 'grid_engine/qacct', ['-j', '1002'])
  assert.equal(running.code, 1)
  assert.match(running.err, /^error: job id 1002 not found/)
})

ge('qconf answers what is asked before a submission', async (ctx) => {
  assert.equal((await call(ctx, 'grid_engine/qconf', ['-spl'])).out, 'smp\n')
  assert.equal((await call(ctx, 'grid_engine/qconf', ['-mq', 'x'])).code, 1)
})
