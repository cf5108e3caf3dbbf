// A federation whose second site hands its jobs to a real Grid Engine: a job walks there and back,
// is held and cancelled there, the node goes away and comes back while Grid Engine goes on.
// time limit: 400 s

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { OfferRow } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { suite, assert, eventually } from '../harness.ts'
import type { GridEngineCluster } from '../real/grid-engine-cluster.ts'
import { gridEngineMissing, startGridEngine } from '../real/grid-engine-cluster.ts'
import type { Federation } from './federation.ts'
import { booksHold, ended, everybodyMeets, jobOf, openFederation, untilJob } from './federation.ts'
import { cancel, logOf, resultBytes, submit } from './jobs.ts'

const t = suite('a site with Grid Engine')
let federation: Federation
let cluster: GridEngineCluster
let folder = ''

t.before(async (ctx) => {
  const missing = gridEngineMissing()
  if (missing.length > 0) ctx.skip(`needs ${missing.join(', ')}: apt install gridengine-exec …`)
  if (process.getuid?.() !== 0) ctx.skip('Grid Engine starts jobs only as root')
  cluster = await startGridEngine(ctx.tmp())
  ctx.after(() => cluster.stop())
  folder = ctx.tmp()
  const { root, cell, qmasterPort, execdPort, parallelEnvironment } = cluster.config
  federation = await openFederation(ctx, {
    sites: [
      { name: 'a.example', cores: 1 },
      {
        name: 'g.example', scheduler: 'grid-engine',
        set: {
          'scheduler.bin': JSON.stringify(cluster.programs),
          'scheduler.root': JSON.stringify(root), 'scheduler.cell': JSON.stringify(cell),
          'scheduler.qmaster_port': String(qmasterPort),
          'scheduler.execd_port': String(execdPort),
          'scheduler.parallel_environment': JSON.stringify(parallelEnvironment),
        },
      },
    ],
    set: { 'market.lease': '"2m"' },
  })
}, { timeoutSeconds: 150 })

const home = () => federation.site('a.example')
const host = () => federation.site('g.example')
const there = { options: { sites: ['g.example'] as SiteName[] } }

t('an array runs through Grid Engine and comes back, paid and verified', async () => {
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
echo "$JOB_ID" ; echo "in Grid Engine as $JOB_NAME" >&2
test -n "$JOB_ID"
sleep 1
`,
    ...there,
  })
  const detail = await ended(home(), job, 120)
  assert.equal([detail.state, detail.tasks.done, detail.sites], ['done', 6, ['g.example']])
  for (let task = 1; task <= 6; task++) {
    assert.equal(String(await resultBytes(home(), job, `${task}/count`)).trim(), String(task))
    assert.match(await logOf(home(), job, { task }), /^\d+\n$/)
  }
  await booksHold(federation)
  assert.ok(BigInt((await jobOf(home(), job)).spent) >= 5_000_000n, 'a second of each task is paid')
}, { timeoutSeconds: 180 })

t('a task that fails under Grid Engine brings its exit code home', async () => {
  const job = await submit(home(), { script: '#!/bin/sh\nexit 99\n', ...there })
  const detail = await ended(home(), job, 90)
  assert.equal([detail.state, detail.taskRows[0]?.exitCode], ['failed', 99])
}, { timeoutSeconds: 120 })

t('a cancelled job is gone from Grid Engine', async () => {
  const job = await submit(home(), {
    tasks: '0-5', script: '#!/bin/sh\nwhile :; do sleep 1; done\n', ...there,
  })
  await untilJob(home(), job, ({ tasks }) => tasks.running === 4)
  const offers = await host().client.get<OfferRow[]>(apiPaths.offers)
  assert.equal(offers.find(({ own }) => own)?.scheduler, 'grid-engine')
  await cancel(home(), job)
  const detail = await ended(home(), job, 90)
  assert.equal([detail.state, detail.tasks.cancelled], ['cancelled', 6])
  await eventually(async () => (await cluster.command(['qstat', '-u', '*'])).trim() === '')
}, { timeoutSeconds: 150 })

t('Grid Engine goes on while the node is away, and nothing runs twice', async () => {
  const side = join(folder, 'side')
  writeFileSync(side, '')
  const job = await submit(home(), {
    tasks: '0-7', script: `#!/bin/sh\necho "$GRIDNODE_TASK_ID" >>${side}\nsleep 2\n`, ...there,
  })
  await untilJob(home(), job, ({ tasks }) => tasks.running > 0)
  await host().kill()
  await eventually(() => readFileSync(side, 'utf8').split('\n').length > 4, { timeoutSeconds: 60 })
  await host().start()
  await everybodyMeets(federation)
  const detail = await ended(home(), job, 120)
  assert.equal([detail.state, detail.tasks.done], ['done', 8])
  const ran = readFileSync(side, 'utf8').trim().split('\n').toSorted()
  assert.equal(ran, ['0', '1', '2', '3', '4', '5', '6', '7'])
}, { timeoutSeconds: 200 })
