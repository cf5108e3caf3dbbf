// What goes wrong on the way, among real sites: peers that fall silent, refuse, fill up or die for
// good; outputs that are not there; requests and frames that make no sense.
// time limit: 300 s

import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { JobSummary, NodeInfo, SubmitAnswer, WhyRow } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { suite, assert, eventually } from '../harness.ts'
import type { Federation } from './federation.ts'
import {
  booksHold, ended, everybodyMeets, jobOf, ledgerOf, openFederation, untilJob, whyOf,
} from './federation.ts'
import { cancel, prepare, resultBytes, resultsOf, submit } from './jobs.ts'
import type { Site } from './site.ts'

const t = suite('failures')
let federation: Federation
let folder = ''

t.before(async (ctx) => {
  folder = ctx.tmp()
  federation = await openFederation(ctx, {
    sites: [
      { name: 'a.example', cores: 1, set: { 'staging.spool_max': '"16MiB"' } },
      { name: 'b.example', cores: 2 },
      { name: 'c.example', cores: 2, set: { 'tariff.core_hour': '"360 cr"' } },
      {
        name: 'd.example', cores: 1,
        set: { 'tariff.core_hour': '"36 cr"', 'staging.spool_max': '"1MiB"' },
      },
    ],
  })
}, { timeoutSeconds: 90 })

const site = (letter: string): Site => federation.site(`${letter}.example`)
const home = (): Site => site('a')
const on = (...letters: string[]) =>
  ({ options: { sites: letters.map((letter) => `${letter}.example` as SiteName) } })
const trivial = '#!/bin/sh\necho "$GRIDNODE_SITE" >site\n'

function inputOf(mebibytes: number): { path: string; name: string } {
  const path = join(folder, randomBytes(6).toString('hex'))
  writeFileSync(path, randomBytes(mebibytes * 2 ** 20))
  return { path, name: 'input' }
}

async function rowsOf(job: string, round = 1): Promise<Map<string, WhyRow>> {
  const found = (await whyOf(home(), job)).rounds.find((one) => one.round === round)
  return new Map(found?.rows.map((row) => [row.site.slice(0, 1), row]))
}

t('two submits at once: the same note is one job, two notes are two', async () => {
  const same = await prepare({ script: trivial })
  const other = await prepare({ script: trivial })
  const post = (note: string) => home().client.post<SubmitAnswer>(apiPaths.jobs, note)
  const [one, two, three] =
    await Promise.all([post(same.note), post(same.note), post(other.note)])
  assert.equal(one!.job, two!.job)
  assert.equal(one!.already, !two!.already)
  assert.ok(three!.job !== one!.job)
  for (const { job } of [one!, three!]) assert.equal((await ended(home(), job)).state, 'done')
})

t('two homes want one slot at once: both jobs are done, one after the other', async () => {
  const work = { script: '#!/bin/sh\nsleep 0.5\n', ...on('d') }
  const jobs = await Promise.all([submit(home(), work), submit(site('b'), work)])
  const [first, second] = await Promise.all([ended(home(), jobs[0]!), ended(site('b'), jobs[1]!)])
  const spans = [first, second].map(({ taskRows: [row] }) =>
    [row?.startedEpochMs ?? 0, row?.endedEpochMs ?? 0] as const).toSorted((x, y) => x[0] - y[0])
  assert.ok(spans[0]![1] <= spans[1]![0], 'never two tasks on the one core')
})

t('a peer silent in the auction is silent there, then late, and keeps no slot', async (ctx) => {
  const pid = site('c').pid()
  ctx.after(() => process.kill(pid, 'SIGCONT'))
  process.kill(pid, 'SIGSTOP')
  const job = await submit(home(), { script: trivial, ...on('b', 'c') })
  const detail = await ended(home(), job)
  assert.equal([detail.state, detail.sites], ['done', ['b.example']])
  assert.equal((await rowsOf(job)).get('c')?.verdict, 'silent')
  process.kill(pid, 'SIGCONT')
  await eventually(async () => (await rowsOf(job)).get('c')?.verdict === 'late')
  await everybodyMeets(federation)
})

t('a peer that dies in the auction does not keep the job from the others', async () => {
  const job = await submit(home(), { script: trivial, ...on('b', 'd') })
  await site('d').kill()
  const detail = await ended(home(), job)
  assert.equal(detail.state, 'done')
  await site('d').start()
  await everybodyMeets(federation)
})

t('a winner that refuses: the next best of the same auction has the job', async (ctx) => {
  // The window stays open for d, who is asked and says nothing.
  home().configure({ 'market.window': '"8s"', 'market.bid_validity': '"60s"' })
  for (const one of [site('b'), site('c')]) one.configure({ 'market.bid_validity': '"60s"' })
  await Promise.all([home(), site('b'), site('c')].map((one) => one.kill()))
  await Promise.all([home(), site('b'), site('c')].map((one) => one.start()))
  await everybodyMeets(federation)
  const pid = site('d').pid()
  ctx.after(() => process.kill(pid, 'SIGCONT'))
  process.kill(pid, 'SIGSTOP')
  const policy = { options: { policy: 'cheapest', place: 'remote' } as const }
  const job = await submit(home(), { script: trivial, ...policy })
  await eventually(async () => {
    const rows = await rowsOf(job)
    return rows.get('b')?.verdict === 'bid' && rows.get('c')?.verdict === 'bid'
  })
  await site('c').kill()
  site('c').configure({ 'scheduler.draining': 'true' })
  await site('c').start()
  const detail = await ended(home(), job)
  assert.equal([detail.state, detail.sites.includes('b.example')], ['done', true])
  const rows = await rowsOf(job)
  const { verdict, reason, detail: words } = rows.get('c')!
  assert.equal([verdict, reason], ['refused', 'withdrew'])
  assert.match(words ?? '', /declined: draining/)
  assert.equal(rows.get('b')?.awardedTasks, 1)
  process.kill(pid, 'SIGCONT')
  home().configure({ 'market.window': '"400ms"' })
  site('c').configure({ 'scheduler.draining': 'false' })
  await Promise.all([home().kill(), site('c').kill()])
  await Promise.all([home().start(), site('c').start()])
  await everybodyMeets(federation)
}, { timeoutSeconds: 90 })

t('a promised output that is not there fails the task by name, the rest comes back', async () => {
  const job = await submit(home(), {
    script: '#!/bin/sh\nmkdir out; echo x >out/one\n', outputs: ['out/one', 'out/two', 'log/*'],
    ...on('b'),
  })
  const detail = await ended(home(), job)
  assert.equal(detail.state, 'failed')
  assert.match(detail.note, /promised outputs are not there: .*out\/two/)
  assert.match(detail.note, /log\/\*/)
  assert.equal(String(await resultBytes(home(), job, 'out/one')), 'x\n')
})

t('a host whose spool is full refuses with that reason, and the job goes elsewhere', async () => {
  const work = {
    script: trivial,
    inputs: [inputOf(3)],
    options: { policy: 'cheapest', place: 'remote' } as const,
  }
  const job = await submit(home(), work)
  const detail = await ended(home(), job)
  assert.equal([detail.state, detail.sites], ['done', ['c.example']])
  const row = (await rowsOf(job)).get('d')!
  assert.equal([row.verdict, row.reason], ['refused', 'spool'])
  assert.match(row.detail ?? '', /the inputs take 3/)
})

t('a host that finds its spool full only when it stages gives the task back', async () => {
  // Each fits, both do not: the second is refused after it was awarded, and then goes elsewhere.
  site('c').configure({ 'staging.spool_max': '"6MiB"' })
  await site('c').kill()
  await site('c').start()
  await everybodyMeets(federation)
  const work = () => ({
    script: '#!/bin/sh\nsleep 1\n', inputs: [inputOf(4)],
    options: { policy: 'cheapest', place: 'remote' } as const,
  })
  const jobs = await Promise.all([submit(home(), work()), submit(home(), work())])
  for (const job of jobs) assert.equal((await ended(home(), job)).state, 'done')
  site('c').configure({ 'staging.spool_max': '"1GiB"' })
  await site('c').kill()
  await site('c').start()
  await everybodyMeets(federation)
}, { timeoutSeconds: 90 })

t('a home whose spool is full takes no job and keeps nothing of it', async () => {
  const { note, upload } = await prepare({ script: trivial, inputs: [inputOf(30)] })
  await assert.rejects(upload(home()), /spool/)
  await assert.rejects(home().client.post(apiPaths.jobs, note), /not here|missing/)
  const jobs = await home().client.get<JobSummary[]>(apiPaths.jobs, { state: 'open' })
  assert.equal(jobs, [])
})

t('results that the home has no room for: the job ends and says so', async () => {
  const job = await submit(home(), {
    script: '#!/bin/sh\nhead -c 20000000 /dev/urandom >big\n', outputs: ['big'], ...on('b'),
  })
  await untilJob(home(), job, ({ taskRows: [row] }) => row?.state === 'returning')
  await eventually(() => home().log().includes('fetching results failed'))
  // Cancelling is the owner's way out; the host has done its part and is paid.
  await cancel(home(), job)
  const detail = await ended(home(), job)
  assert.equal(detail.state, 'cancelled')
  assert.equal(await resultsOf(home(), job), [])
})

t('a host gone for good: after the lease its tasks run elsewhere, it is not paid', async () => {
  const side = join(folder, 'twice')
  const gate = join(folder, 'gate')
  const job = await submit(home(), {
    tasks: '1-2',
    script: `#!/bin/sh
echo "$GRIDNODE_TASK_ID $GRIDNODE_SITE" >>${side}
if [ "$GRIDNODE_SITE" = c.example ]; then until [ -e ${gate} ]; do sleep 0.1; done; fi
echo "$GRIDNODE_SITE" >site
`,
    outputs: ['site'],
    options: { policy: 'cheapest', sites: ['b.example', 'c.example'] as SiteName[] },
  })
  await untilJob(home(), job, ({ tasks }) => tasks.running === 2)
  assert.equal((await jobOf(home(), job)).sites, ['c.example'])
  await site('c').kill()
  const killed = Date.now()
  const detail = await ended(home(), job, 60)
  assert.ok(Date.now() - killed > 5_000, 'not before the lease is over')
  assert.equal([detail.state, detail.tasks.done], ['done', 2])
  assert.ok(detail.sites.includes('b.example'))
  assert.equal(String(await resultBytes(home(), job, '1/site')), 'b.example\n')
  const before = (await ledgerOf(home())).pairs.find((pair) => pair.site === 'c.example')!
  // It comes back with its tasks still running; they end there, and nobody pays for them.
  writeFileSync(gate, '')
  await site('c').start()
  await everybodyMeets(federation)
  await booksHold(federation)
  const after = (await ledgerOf(home())).pairs.find((pair) => pair.site === 'c.example')!
  assert.equal([after.balance, after.heldByThem], [before.balance, '0'])
  const ran = readFileSync(side, 'utf8').trim().split('\n').toSorted()
  assert.equal(ran, ['1 b.example', '1 c.example', '2 b.example', '2 c.example'])
  const { state, taskRows } = await jobOf(home(), job)
  assert.equal([state, taskRows], [detail.state, detail.taskRows], 'the job ended once')
}, { timeoutSeconds: 120 })

t('a home that was away for longer than the lease finds its tasks where they were', async () => {
  const side = join(folder, 'once')
  const gate = join(folder, 'gate-once')
  const job = await submit(home(), {
    tasks: '1-3',
    script: `#!/bin/sh
echo "$GRIDNODE_TASK_ID" >>${side}; until [ -e ${gate} ]; do sleep 0.1; done\n`,
    ...on('a', 'b'),
  })
  await untilJob(home(), job, ({ tasks }) => tasks.running === 3)
  await home().kill()
  const killed = Date.now()
  await eventually(() => Date.now() - killed > 14_000, { timeoutSeconds: 20 })
  await home().start()
  await everybodyMeets(federation)
  writeFileSync(gate, '')
  const detail = await ended(home(), job)
  assert.equal([detail.state, detail.tasks.done], ['done', 3])
  assert.equal(readFileSync(side, 'utf8').trim().split('\n').toSorted(), ['1', '2', '3'])
}, { timeoutSeconds: 90 })

t('a second start on the same directory is refused and changes nothing', async () => {
  const second = home().launch()
  assert.equal(await second.ended, 1)
  assert.match(second.output(), /a node runs on .*a\.example already: process \d+/)
  assert.equal((await home().client.get<NodeInfo>(apiPaths.info)).pid, home().pid())
})

t('requests that make no sense are refused and change nothing', async () => {
  const before = (await ledgerOf(home())).entries
  const { client } = home()
  await assert.rejects(client.post(apiPaths.jobs, 'not a note'), /malformed/i)
  const { note } = await prepare({ script: trivial })
  const forged = note.replace(/"name":"test-job"/, '"name":"evil-job"')
  assert.ok(forged !== note)
  await assert.rejects(client.post(apiPaths.jobs, forged), /not signed/)
  await assert.rejects(client.post(apiPaths.chunksMissing, { hashes: ['zz'] }), /./)
  await assert.rejects(client.post(apiPaths.credit, { site: 'a.example', limit: '-1' }), /./)
  await assert.rejects(client.post(apiPaths.credit, { site: 'nobody', limit: '1' }), /./)
  await assert.rejects(client.put(apiPaths.chunk('00'.repeat(32)), Buffer.from('x')), /./)
  await assert.rejects(client.get('/v1/jobs/../../etc/passwd'), /./)
  await assert.rejects(client.get(apiPaths.job('ffffffffffff')), /no job/)
  await assert.rejects(client.get(apiPaths.offers, { where: 'cores_total >' }), /character/)
  assert.equal((await ledgerOf(home())).entries, before)
  assert.equal(await client.get<JobSummary[]>(apiPaths.jobs, { state: 'open' }), [])
})

t('all books hold in the end', async () => {
  await booksHold(federation)
})
