// What an owner asks of a job after it was handed in, among real processes and by the command line:
// from the home and from a third node, two at once, and with the host killed in between.
// time limit: 300 s

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { JobDetail, TaskRow } from '../../node/http/api.ts'
import { assert, eventually, suite } from '../harness.ts'
import type { Ran } from './command.ts'
import { gridnodeAs } from './command.ts'
import type { Federation } from './federation.ts'
import { booksHold, ended, everybodyMeets, jobOf, openFederation, untilJob } from './federation.ts'
import type { Site } from './site.ts'

const t = suite('verbs')
let federation: Federation
let folder = ''
let scripts = 0

t.before(async (ctx) => {
  folder = ctx.tmp()
  federation = await openFederation(ctx, {
    sites: [
      { name: 'a.example', cores: 1 },
      { name: 'b.example', cores: 2, set: { 'market.queue_ahead': '2.0' } },
      { name: 'c.example', cores: 1 },
    ],
    set: { 'market.lease': '"60s"' },
  })
}, { timeoutSeconds: 90 })

const site = (letter: string): Site => federation.site(`${letter}.example`)
const home = (): Site => site('a')

const gridnode = (at: Site, words: readonly string[], user = 'ada'): Promise<Ran> =>
  gridnodeAs(at, words, { user, folder })

async function done(at: Site, ...words: string[]): Promise<string> {
  const { code, out, err } = await gridnode(at, words)
  assert.equal([words[0], code, err], [words[0], 0, ''])
  return out
}

async function submit(script: string, ...options: string[]): Promise<string> {
  const path = join(folder, `job-${++scripts}.sh`)
  writeFileSync(path, `#!/bin/sh\n${script}\n`)
  const money = ['--budget', '9000', '--walltime', '2m']
  const ran = await done(home(), 'submit', '--json', ...money, ...options, path)
  return (JSON.parse(ran) as { job: string }).job
}

const states = ({ taskRows }: JobDetail): TaskRow['state'][] => taskRows.map(({ state }) => state)

t('a job is held, seen, altered and released from a third node', async () => {
  const job = await submit('echo "$GRIDNODE_SITE"', '--hold', '--sites', 'b.example')
  assert.match(await done(site('c'), 'status', job.slice(0, 6)), 'held: its owner may release it')
  assert.match(await done(site('c'), 'why', `${job}@a.example`), 'there was no auction')
  await done(site('c'), 'alter', '--rename', 'other', '--walltime', '90s', job)
  assert.match(await done(site('c'), 'status', '--home', 'a.example'), 'other')
  await done(site('c'), 'release', job)
  assert.equal((await ended(home(), job)).state, 'done')
  assert.equal(await done(site('c'), 'logs', '--follow', job), 'b.example\n')
  await done(site('c'), 'fetch', job, 'fetched')
  assert.equal(readFileSync(join(folder, 'fetched', 'stdout'), 'utf8'), 'b.example\n')
})

t('others are not told whether there is such a job; an operator of the home is', async () => {
  const job = await submit('sleep 60', '--sites', 'b.example')
  for (const at of [site('c'), site('b')]) {
    const other = await gridnode(at, ['status', job], 'eve')
    const unknown = await gridnode(at, ['status', 'ffffffffffff'], 'eve')
    assert.equal([other.code, other.out, unknown.code], [1, '', 1])
    assert.equal(other.err.replaceAll(job, 'ID'), unknown.err.replaceAll('ffffffffffff', 'ID'))
    assert.equal((await gridnode(at, ['cancel', `${job}@a.example`], 'eve')).code, 1)
  }
  assert.equal((await gridnode(home(), ['hold', job], 'eve')).code, 1)
  assert.equal((await gridnode(home(), ['cancel', '--operator', job], 'eve')).code, 0)
  assert.equal((await ended(home(), job)).state, 'cancelled')
})

t('a script traps a signal; it is suspended and resumed; two verbs at once', async () => {
  const mark = join(folder, 'trapped')
  const script = `trap 'echo trapped >>${mark}' USR1
    echo up >>${mark}
    i=0; while [ $i -lt 20 ]; do sleep 0.25; i=$((i+1)); done; exit 3`
  const job = await submit(script, '--sites', 'b.example')
  await untilJob(home(), job, (detail) => states(detail).includes('running'))
  await eventually(() => existsSync(mark), { timeoutSeconds: 20 })
  await Promise.all([
    done(site('c'), 'signal', 'SIGUSR1', job), done(home(), 'suspend', job),
  ])
  await untilJob(home(), job, (detail) => states(detail).includes('suspended'))
  await done(site('c'), 'resume', job)
  const last = await ended(home(), job)
  assert.equal([last.state, last.taskRows[0]?.exitCode], ['failed', 3])
  assert.equal(readFileSync(mark, 'utf8'), 'up\ntrapped\n')
  const asked = last.asked?.map(({ verb, sites }) => [verb, sites.map(({ state }) => state)]) ?? []
  assert.equal(new Set(asked.map(([verb]) => verb)), new Set(['resume', 'signal', 'suspend']))
  assert.ok(asked.every(([, sites]) => sites?.[0] === 'done'), JSON.stringify(asked))
})

t('tasks in the queue of a host are held there, others of the array cancelled', async () => {
  const job = await submit('sleep 3', '--array', '0-5', '--sites', 'b.example')
  await untilJob(home(), job, (detail) =>
    states(detail).filter((state) => state === 'running').length === 2
    && states(detail).length > 3)
  await done(site('c'), 'hold', job)
  const held = await untilJob(home(), job, (detail) => states(detail).includes('held'))
  const [first] = held.taskRows.filter(({ state }) => state === 'held')
  await done(site('c'), 'cancel', `${job}[${first!.task}]`)
  await untilJob(home(), job, ({ tasks }) => tasks.running === 0 && tasks.done === 2)
  await done(home(), 'release', job)
  const last = await ended(home(), job, 60)
  assert.equal([last.tasks.done, last.tasks.cancelled], [5, 1])
})

t('requeued, a task begins anew; moved, it begins elsewhere; what ran is paid', async () => {
  const mark = join(folder, 'begun')
  const job = await submit(`echo "$GRIDNODE_SITE" >>${mark}; sleep 60`, '--place', 'remote')
  const begun = (): string[] =>
    existsSync(mark) ? readFileSync(mark, 'utf8').trim().split('\n') : []
  await eventually(() => begun().length === 1, { timeoutSeconds: 30 })
  await untilJob(home(), job, (detail) => states(detail).includes('running'))
  await done(site('c'), 'requeue', job)
  await eventually(() => begun().length === 2, { timeoutSeconds: 30 })
  await untilJob(home(), job, (detail) => states(detail).includes('running'))
  await done(site('c'), 'move', job)
  await eventually(() => begun().length === 3, { timeoutSeconds: 30 })
  assert.ok(begun()[2] !== begun()[1], begun().join())
  await done(site('c'), 'cancel', job)
  const last = await ended(home(), job)
  assert.equal(last.state, 'cancelled')
  await booksHold(federation)
})

t('a host killed while it is asked does it once it is back', async () => {
  const job = await submit('sleep 2; exit 4', '--sites', 'b.example')
  await untilJob(home(), job, (detail) => states(detail).includes('running'))
  const asked = gridnode(site('c'), ['suspend', '--wait', '60', job])
  await site('b').kill()
  await site('b').start()
  await everybodyMeets(federation)
  const { out } = await asked
  const row = (await jobOf(home(), job)).asked?.find(({ verb }) => verb === 'suspend')
  if (row?.sites[0]?.state === 'done') await done(site('c'), 'resume', job)
  else assert.equal(row?.sites[0]?.state, 'void', out)
  const last = await ended(home(), job, 60)
  assert.equal([last.state, last.taskRows[0]?.exitCode], ['failed', 4])
})

t('a job waits for one that ran elsewhere, and ends when that can never be', async () => {
  const parent = await submit('exit 0', '--sites', 'b.example', '--hold')
  const bad = await submit('exit 9', '--sites', 'c.example', '--hold')
  const child = await submit('echo child', '--after', `afterok:${parent}`)
  const orphan = await submit('echo orphan', '--after', `afterok:${bad}`)
  assert.match((await jobOf(home(), child)).note, `waits for job ${parent} to be done`)
  await done(home(), 'release', parent, bad)
  assert.equal((await ended(home(), child)).state, 'done')
  const last = await ended(home(), orphan)
  assert.equal(last.state, 'cancelled')
  assert.match(last.note, `afterok job ${bad} can never be: it ended failed`)
})
