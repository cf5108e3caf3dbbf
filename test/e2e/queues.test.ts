// Queues of a home, the config that is read again, and a site that is drained: with real processes.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { NodeInfo } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import type { ReloadAnswer } from '../../node/http/site-api.ts'
import { sitePaths } from '../../node/http/site-api.ts'
import { assert, eventually, suite } from '../harness.ts'
import type { Federation } from './federation.ts'
import { ended, jobOf, openFederation, untilJob, whyOf } from './federation.ts'
import { newUser, submit } from './jobs.ts'
import type { Site } from './site.ts'

const t = suite('queues')
let federation: Federation
const home = (): Site => federation.site('a.example')

t.before(async (ctx) => {
  federation = await openFederation(ctx, {
    sites: [{ name: 'a.example', cores: 4 }, { name: 'b.example', cores: 4 }],
  })
}, { timeoutSeconds: 90 })

const nap = '#!/bin/sh\nsleep 0.5\n'

function configPath(site: Site): string {
  return join(site.directory, 'gridnode.toml')
}

function reload(site: Site): Promise<ReloadAnswer> {
  return site.client.post<ReloadAnswer>(sitePaths.reload, {})
}

const queues = `
[queues]
default = "normal"
urgent = 9000
urgent_for = "30s"

[queue.normal]
tasks_per_user = 1

[queue.small]
access = ["ada"]
tasks_per_job = 2
jobs_per_user = 1
`

t('queues that are added while the node runs bind its users at once', async () => {
  const path = configPath(home())
  const before = readFileSync(path, 'utf8')
  const bare = before.replace('\n[queues]\n', '\n').replace('\n[queues.owners]\n', '\n')
  writeFileSync(path, bare + queues)
  const { live, restart } = await reload(home())
  assert.ok(live.includes('queue.normal') && live.includes('queues.default'), live.join())
  assert.equal(restart, [])
  await assert.rejects(
    submit(home(), { script: nap, options: { queue: 'lost' } as never }),
    /no queue lost; it has normal, small/)
  await assert.rejects(
    submit(home(), { script: nap, options: { queue: 'small' } as never }),
    /tester may not use queue small/)
  const ada = newUser('ada')
  await assert.rejects(
    submit(home(), { script: nap, tasks: '1-3', user: ada, options: { queue: 'small' } as never }),
    /at most 2 tasks/)
  const small = { script: nap, user: ada, options: { queue: 'small' } as never }
  const first = await submit(home(), small)
  await assert.rejects(
    submit(home(), small),
    /ada has 1 open jobs in queue small/)
  assert.equal((await ended(home(), first)).state, 'done')
})

t('a user has no more tasks under way than the queue allows, and all get done', async () => {
  const job = await submit(home(), { script: nap, tasks: '1-4' })
  let most = 0
  await untilJob(home(), job, ({ state, tasks }) => {
    most = Math.max(most, tasks.queued + tasks.running)
    return state === 'done'
  }, 60)
  assert.equal(most, 1)
})

t('a config with a fault is refused with its line, and nothing changes', async () => {
  const path = configPath(home())
  const good = readFileSync(path, 'utf8')
  writeFileSync(path, good.replace('tasks_per_user = 1', 'tasks_per_user = "many"'))
  await assert.rejects(reload(home()), /queue\.normal: tasks_per_user: expected a whole number/)
  writeFileSync(path, `${good}\n[queue.night]\nhours = ["someday"]\n`)
  await assert.rejects(reload(home()), /hours: expected days and hours/)
  writeFileSync(path, good.replace(/^listen = .*$/m, 'listen = ["/ip4/127.0.0.1/tcp/1"]'))
  assert.equal((await reload(home())).restart, ['network.listen'])
  writeFileSync(path, good)
  assert.equal(await reload(home()), { live: [], restart: [] })
})

t('a site that is drained takes nothing, over a restart, until it is taken back', async () => {
  const site = federation.site('b.example')
  await site.client.post(sitePaths.drain, { drain: 1, reason: 'new disks' })
  await site.stop()
  await site.start()
  const info = await site.client.get<NodeInfo>(apiPaths.info)
  assert.equal(info.drained?.reason, 'new disks')
  await eventually(async () => {
    const { peersUp } = await home().client.get<NodeInfo>(apiPaths.info)
    return peersUp === 1
  })
  const job = await submit(home(), { script: nap, options: { sites: ['b.example' as never] } })
  await eventually(async () => (await whyOf(home(), job)).rounds.length > 1, { timeoutSeconds: 30 })
  assert.equal((await jobOf(home(), job)).tasks.done, 0)
  await site.client.post(sitePaths.drain, { drain: 0, reason: '' })
  assert.equal((await ended(home(), job, 60)).state, 'done')
})
