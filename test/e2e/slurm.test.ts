// A federation whose second site hands its jobs to a real Slurm: a job walks there and back, the
// node goes away and comes back while Slurm goes on, the controller goes away while the node goes
// on.
// time limit: 300 s

import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { OfferRow } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { suite, assert, eventually } from '../harness.ts'
import type { SlurmCluster } from '../real/slurm-cluster.ts'
import { slurmMissing, startSlurmCluster } from '../real/slurm-cluster.ts'
import type { Federation } from './federation.ts'
import {
  booksHold, ended, everybodyMeets, jobOf, openFederation, untilJob, whyOf,
} from './federation.ts'
import { cancel, logOf, resultBytes, submit } from './jobs.ts'

const t = suite('a site with Slurm')
let federation: Federation
let cluster: SlurmCluster
let folder = ''

t.before(async (ctx) => {
  const missing = slurmMissing()
  if (missing.length > 0) ctx.skip(`needs ${missing.join(', ')}: apt install slurm-wlm munge`)
  cluster = await startSlurmCluster(ctx.tmp())
  ctx.after(() => cluster.stop())
  folder = ctx.tmp()
  federation = await openFederation(ctx, {
    sites: [
      { name: 'a.example', cores: 1 },
      {
        name: 's.example', scheduler: 'slurm',
        set: { 'scheduler.conf': JSON.stringify(cluster.confPath) },
      },
    ],
    // A short lease would only measure how patient the test is.
    set: { 'market.lease': '"2m"' },
  })
}, { timeoutSeconds: 150 })

const home = () => federation.site('a.example')
const host = () => federation.site('s.example')
const there = { options: { sites: ['s.example'] as SiteName[] } }

async function spooled(): Promise<string[]> {
  const lines = await cluster.command(['squeue', '-h', '-o', '%i'])
  return lines.split('\n').filter((line) => line !== '')
}

t('an array runs through Slurm and comes back, paid and verified', async () => {
  mkdirSync(join(folder, 'texts'))
  for (const task of [1, 2, 3, 4, 5, 6]) {
    writeFileSync(join(folder, 'texts', String(task)), 'word '.repeat(task))
  }
  const job = await submit(home(), {
    tasks: '1-6',
    inputs: [{ path: join(folder, 'texts'), name: 'texts' }],
    outputs: ['count'],
    script: `#!/bin/sh
wc -w <texts/$GRIDNODE_TASK_ID >count
echo "$SLURM_JOB_ID" ; echo "in Slurm as $SLURM_JOB_NAME" >&2
test -n "$SLURM_JOB_ID"
sleep 1
`,
    ...there,
  })
  const detail = await ended(home(), job, 90)
  assert.equal([detail.state, detail.tasks.done, detail.sites], ['done', 6, ['s.example']])
  for (let task = 1; task <= 6; task++) {
    assert.equal(String(await resultBytes(home(), job, `${task}/count`)).trim(), String(task))
    assert.match(await logOf(home(), job, { task }), /^\d+\n$/)
  }
  // Tagged: Slurm's own record of completed jobs carries what the node found them by.
  const [contract] = detail.contracts
  assert.equal(contract?.tasks, 6)
  await booksHold(federation)
  assert.ok(BigInt((await jobOf(home(), job)).spent) >= 5_000_000n, 'a second of each task is paid')
}, { timeoutSeconds: 120 })

t('a task that fails under Slurm brings its exit code home', async () => {
  const job = await submit(home(), { script: '#!/bin/sh\nexit 42\n', ...there })
  const detail = await ended(home(), job, 60)
  assert.equal([detail.state, detail.taskRows[0]?.exitCode], ['failed', 42])
})

t('a cancelled job is gone from Slurm', async () => {
  const job = await submit(home(), {
    tasks: '0-5', script: '#!/bin/sh\nwhile :; do sleep 1; done\n', ...there,
  })
  await untilJob(home(), job, ({ tasks }) => tasks.running === 4)
  const offers = await host().client.get<OfferRow[]>(apiPaths.offers)
  assert.equal(offers.find(({ own }) => own)?.scheduler, 'slurm')
  await cancel(home(), job)
  const detail = await ended(home(), job, 60)
  assert.equal([detail.state, detail.tasks.cancelled], ['cancelled', 6])
  await eventually(async () => (await spooled()).length === 0)
}, { timeoutSeconds: 120 })

t('Slurm goes on while the node is away, and nothing runs twice', async () => {
  const side = join(folder, 'side')
  const job = await submit(home(), {
    tasks: '0-7', script: `#!/bin/sh\necho "$GRIDNODE_TASK_ID" >>${side}\nsleep 2\n`, ...there,
  })
  await untilJob(home(), job, ({ tasks }) => tasks.running > 0)
  await host().kill()
  await eventually(() => readFileSync(side, 'utf8').split('\n').length > 4, { timeoutSeconds: 60 })
  await host().start()
  await everybodyMeets(federation)
  const detail = await ended(home(), job, 90)
  assert.equal([detail.state, detail.tasks.done], ['done', 8])
  const ran = readFileSync(side, 'utf8').trim().split('\n').toSorted()
  assert.equal(ran, ['0', '1', '2', '3', '4', '5', '6', '7'])
}, { timeoutSeconds: 180 })

t('a node that is killed while it submits finds what it submitted', async () => {
  const side = join(folder, 'submits')
  for (const moment of ['contracts', 'queue'] as const) {
    writeFileSync(side, '')
    const job = await submit(home(), {
      tasks: '0-2', script: `#!/bin/sh\necho "$GRIDNODE_TASK_ID" >>${side}\n`, ...there,
    })
    if (moment === 'contracts') await untilJob(home(), job, ({ contracts }) => contracts.length > 0)
    else await eventually(async () => (await spooled()).length > 0 || readFileSync(side).length > 0)
    await host().kill()
    await host().start()
    await everybodyMeets(federation)
    assert.equal((await ended(home(), job, 90)).state, 'done')
    assert.equal(readFileSync(side, 'utf8').trim().split('\n').toSorted(), ['0', '1', '2'])
  }
}, { timeoutSeconds: 240 })

t('a controller that is away for a while ends no job and takes no new one', async () => {
  const gate = join(folder, 'gate')
  const job = await submit(home(), {
    script: `#!/bin/sh\nuntil [ -e ${gate} ]; do sleep 0.2; done\necho through\n`, ...there,
  })
  await untilJob(home(), job, ({ tasks }) => tasks.running === 1)
  await cluster.stopController()
  await eventually(() => host().log().includes('the scheduler does not answer'))
  assert.equal((await jobOf(home(), job)).state, 'active')
  const other = await submit(home(), { script: '#!/bin/sh\ntrue\n', ...there })
  await untilJob(home(), other, ({ note }) => note.includes('no site can run it now'))
  const { rounds } = await whyOf(home(), other)
  const row = rounds.at(-1)?.rows.find(({ site }) => site === 's.example')
  assert.equal([row?.verdict, row?.reason], ['refused', 'scheduler_unknown'])
  writeFileSync(gate, '')
  await cluster.startController()
  assert.equal((await ended(home(), job, 90)).state, 'done')
  assert.equal(await logOf(home(), job), 'through\n')
  assert.equal((await ended(home(), other, 90)).state, 'done')
}, { timeoutSeconds: 240 })

t('all books hold in the end and nothing is left in the spool', async () => {
  await booksHold(federation)
  const spool = join(host().directory, 'spool')
  await eventually(() => !existsSync(spool) || readdirSync(spool).length === 0)
})
