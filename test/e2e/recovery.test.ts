// kill -9 of a home or a host at many points of the walk, a restart each time, and then: the job
// has ended once, every task has run once, it is paid once, no hold is open, nothing is left
// behind.
// time limit: 600 s
//
//   GRIDNODE_E2E_SEED=N     the random moments of an earlier run again
//   GRIDNODE_E2E_ROUNDS=N   so many random moments instead of a few

import { randomBytes, randomInt } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { JobDetail, JobEvent, LedgerEntryRow } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { suite, assert, eventually } from '../harness.ts'
import type { Federation } from './federation.ts'
import {
  booksHold, ended, entriesOf, everybodyMeets, jobOf, openFederation, settled, untilJob,
} from './federation.ts'
import { logOf, resultBytes, sha256, submit } from './jobs.ts'
import type { Site } from './site.ts'

const t = suite('recovery')
const seed = Number(process.env['GRIDNODE_E2E_SEED'] ?? randomInt(2 ** 31))
const rounds = Number(process.env['GRIDNODE_E2E_ROUNDS'] ?? 2)
process.stdout.write(`seed of the random moments: GRIDNODE_E2E_SEED=${seed}\n`)

let federation: Federation
let folder = ''
t.before(async (ctx) => {
  folder = ctx.tmp()
  federation = await openFederation(ctx, {
    sites: [
      { name: 'a.example', cores: 1 }, { name: 'b.example', cores: 2 },
      { name: 'c.example', cores: 2 },
    ],
    set: { 'market.lease': '"2m"' },
  })
}, { timeoutSeconds: 90 })

const home = () => federation.site('a.example')
const taskCount = 5

interface Walk {
  readonly home: Site
  readonly job: string
  readonly input: Buffer
  readonly side: string
}

let walks = 0

/** Every task notes outside that it ran, and gives its input back. */
async function beginWalk(from: Site = home()): Promise<Walk> {
  const own = join(folder, String(walks++))
  const side = join(own, 'side')
  const input = randomBytes(12 * 2 ** 20)
  mkdirSync(own)
  writeFileSync(join(own, 'input'), input)
  const job = await submit(from, {
    tasks: `1-${taskCount}`,
    inputs: [{ path: join(own, 'input'), name: 'input' }],
    outputs: ['result'],
    script: `#!/bin/sh
echo "$GRIDNODE_TASK_ID $GRIDNODE_CONTRACT" >>${side}
sleep 0.$GRIDNODE_TASK_ID
cp input result
`,
    walltimeSeconds: 120,
  })
  return { home: from, job, input, side }
}

async function endWalk({ home: from, job, input, side }: Walk): Promise<JobDetail> {
  const detail = await ended(from, job, 60)
  assert.equal([detail.state, detail.tasks.done], ['done', taskCount], detail.note)
  const ran = readFileSync(side, 'utf8').trim().split('\n').map((line) => line.split(' ')[0])
  assert.equal(new Set(ran).size, taskCount, 'every task ran')
  assert.equal(ran.length, taskCount, `every task ran once: ${ran.join()}`)
  for (let task = 1; task <= taskCount; task++) {
    assert.equal(sha256(await resultBytes(from, job, `${task}/result`)), sha256(input))
  }
  await everybodyMeets(federation)
  await settled(federation)
  await paidOnce(from, job)
  await nothingLeft()
  return detail
}

/** All that was claimed for the job in the end: each remote task once, and paid as claimed. */
async function paidOnce(from: Site, job: string): Promise<void> {
  const detail = await jobOf(from, job)
  const remote = detail.contracts.filter(({ site }) => site !== from.name)
  const entries = await entriesOf(from)
  const of = (kind: string): LedgerEntryRow[] => entries.filter((entry) => entry.kind === kind)
  const contracts = of('contract').map(({ sid }) => sid)
    .filter((sid) => remote.some(({ contract }) => sid.startsWith(contract)))
  const holds = of('hold').filter(({ body }) => contracts.includes(String(body['contract'])))
  const ours = ({ body }: LedgerEntryRow): boolean => holds.some(({ sid }) => sid === body['hold'])
  const usages = of('usage').filter((entry) => entry.body['final'] === 1 && ours(entry))
  // What was accepted is cumulative; what came to nothing is done without a word.
  const paid = new Map(of('accept').filter(ours).map(({ body }) =>
    [String(body['hold']), BigInt(String(body['amount']))]))
  const tasks = usages.reduce((sum, { body }) => sum + Number(body['tasks']), 0)
  const atHome = detail.taskRows.filter(({ site }) => site === from.name).length
  assert.equal(tasks, taskCount - atHome, 'each remote task is paid once')
  const claimed = usages.reduce((sum, { body }) => sum + BigInt(String(body['amount'])), 0n)
  const amount = [...paid.values()].reduce((sum, one) => sum + one, 0n)
  assert.equal(amount, claimed, 'what was claimed is paid')
  assert.equal(BigInt(detail.spent), amount, 'the job says what the ledger says')
}

/** Directories of jobs and records of tasks are gone at every site. */
async function nothingLeft(): Promise<void> {
  for (const { name, directory } of federation.sites) {
    const left = (): string[] => ['spool', 'embedded/records'].flatMap((path) =>
      existsSync(join(directory, path)) ? readdirSync(join(directory, path)) : [])
    await eventually(() => left().length === 0, { what: `${name} cleared up`, timeoutSeconds: 20 })
  }
}

/** Resolves when the job has come to the point, or has ended without being seen there. */
type Point = (walk: Walk) => Promise<unknown>

const over = (detail: JobDetail): boolean => detail.endedEpochMs !== undefined
const state = (holds: (detail: JobDetail) => boolean): Point =>
  ({ job }) => untilJob(home(), job, (detail) => holds(detail) || over(detail))
const event = (holds: (event: JobEvent) => boolean): Point => async ({ job }) => {
  for await (const one of home().client.lines<JobEvent>(apiPaths.events(job))) {
    if (holds(one)) return
  }
}

const points: Record<string, Point> = {
  'the submit is answered': () => Promise.resolve(),
  'the auction is open': state((detail) => detail.state === 'auctioning'),
  'contracts are awarded': state((detail) => detail.contracts.length > 0),
  'inputs are on their way': event((one) => one.kind === 'transfer' && one.direction === 'in'),
  'tasks run': state((detail) => detail.tasks.running > 0),
  'results are on their way': event((one) => one.kind === 'transfer' && one.direction === 'out'),
  'a task is done': state((detail) => detail.tasks.done > 0),
  'the job has ended': event((one) => one.kind === 'end'),
}

async function killAndStart(sites: readonly Site[]): Promise<void> {
  await Promise.all(sites.map((site) => site.kill()))
  await Promise.all(sites.map((site) => site.start()))
}

const names = Object.keys(points)
for (const [index, first] of names.entries()) {
  const second = names[Math.min(index + 1, names.length - 1)]!
  t(`the home is killed when ${first}, a host when ${second}`, async () => {
    const walk = await beginWalk()
    await points[first]!(walk)
    await killAndStart([home()])
    await points[second]!(walk)
    await killAndStart([federation.site('b.example')])
    await endWalk(walk)
  }, { timeoutSeconds: 120 })
}

for (const where of ['contracts are awarded', 'tasks run', 'results are on their way']) {
  t(`everybody is killed when ${where}`, async () => {
    const walk = await beginWalk()
    await points[where]!(walk)
    await killAndStart(federation.sites)
    await endWalk(walk)
  }, { timeoutSeconds: 120 })
}

t('a stop in good order ends no running task, and the next start finds it again', async () => {
  const side = join(folder, 'going-on')
  const gate = join(folder, 'gate')
  const job = await submit(home(), {
    tasks: '1-3',
    script: `#!/bin/sh
echo "$$ begins" >>${side}
while ! [ -e ${gate} ]; do echo "$$ goes on" >>${side}; sleep 0.1; done
echo "$$ ends" >>${side}
`,
  })
  await untilJob(home(), job, ({ tasks }) => tasks.running === 3)
  assert.equal((await jobOf(home(), job)).sites.includes(home().name), true)
  // Somebody who follows a task's output or waits for the job does not keep the node from stopping.
  const cut = [logOf(home(), job, { task: 1, follow: 1 }), points['the job has ended']!(
    { home: home(), job, input: Buffer.alloc(0), side })].map((one) => one.catch(String))
  const codes = await Promise.all(federation.sites.map((site) => site.stop()))
  assert.equal(codes, [0, 0, 0])
  await Promise.all(cut)
  const beats = (): number => readFileSync(side, 'utf8').split('\n').length
  const before = beats()
  await eventually(() => beats() > before + 6)
  await Promise.all(federation.sites.map((site) => site.start()))
  await everybodyMeets(federation)
  assert.equal((await jobOf(home(), job)).tasks.running, 3)
  writeFileSync(gate, '')
  assert.equal((await ended(home(), job)).state, 'done')
  const lines = readFileSync(side, 'utf8').trim().split('\n')
  const begun = lines.filter((line) => line.endsWith('begins')).map((line) => line.split(' ')[0]!)
  const over = lines.filter((line) => line.endsWith('ends')).map((line) => line.split(' ')[0]!)
  assert.equal([begun.length, begun.toSorted()], [3, over.toSorted()])
  await settled(federation)
  await nothingLeft()
}, { timeoutSeconds: 120 })

t('killed at random moments, again and again', async () => {
  const chance = numbers(seed)
  for (let round = 0; round < rounds; round++) {
    const walks = [await beginWalk(), await beginWalk(federation.site('b.example'))]
    const kills = 1 + chance() % 4
    for (let kill = 0; kill < kills; kill++) {
      const first = chance() % 3
      const sites = federation.sites.filter((_, at) => at === first || chance() % 4 === 0)
      await pause(chance() % 2_500)
      await killAndStart(sites)
    }
    for (const walk of walks) await endWalk(walk)
  }
}, { timeoutSeconds: 60 + rounds * 60 })

t('all books hold in the end', async () => {
  await booksHold(federation)
})

/** A small generator, so that a seed gives the same moments again. */
function numbers(start: number): () => number {
  let value = start >>> 0
  return () => {
    value = (Math.imul(value, 1_664_525) + 1_013_904_223) >>> 0
    return value >>> 8
  }
}
