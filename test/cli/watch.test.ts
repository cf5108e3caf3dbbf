// `submit --wait`: what is said while a job runs, the exit code, Ctrl-C, a node that restarts.

import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { JobEvent, JobSummary } from '../../node/http/api.ts'
import type { Context } from '../harness.ts'
import { assert, eventually, suite } from '../harness.ts'
import type { Answer, FixtureNode, Routes } from './fixture-node.ts'
import { fixtureNode, lines, run } from './fixture-node.ts'
import { activeJob, counts, failedDetail, failedJob, whyAnswer } from './fixtures.ts'

const watch = suite('submit --wait')

const job = activeJob.job
const ended: JobSummary = {
  ...activeJob, state: 'done', note: 'all tasks are done and paid for', held: '0', spent: '640000',
  tasks: counts({ total: 16, done: 16 }),
}
const story: readonly JobEvent[] = [
  { kind: 'state', summary: { ...activeJob, state: 'auctioning', note: 'asked 5 sites' } },
  { kind: 'award', site: 'b.example', contract: 'aaaabbbbccccdddd', tasks: '0-6' },
  { kind: 'award', site: 'c.example', contract: '1111222233334444', tasks: '7' },
  { kind: 'transfer', direction: 'in', site: 'b.example', bytesDone: 1_000, bytesTotal: 4_000 },
  { kind: 'transfer', direction: 'in', site: 'b.example', bytesDone: 4_000, bytesTotal: 4_000 },
  { kind: 'state', summary: activeJob },
  { kind: 'state', summary: activeJob },
  { kind: 'end', summary: ended },
]

function node(
  ctx: Context,
  events: Answer | (() => Answer),
  more: Routes = {},
): Promise<FixtureNode> {
  return fixtureNode(ctx, {
    'POST /v1/jobs': { json: { job, already: false } },
    [`GET /v1/jobs/${job}/events`]: events,
    [`GET /v1/jobs/${job}/why`]: { json: whyAnswer },
    [`GET /v1/jobs/${job}`]: { json: failedDetail },
    ...more,
  })
}

watch('tells the story in plain lines, each thing once, and ends with 0', async (ctx) => {
  const { directory } = await node(ctx, lines(...story))
  const ran = await run(ctx, ['submit', '--dir', directory, '--wait', '--', 'true'])
  assert.equal(ran.code, 0)
  assert.equal(ran.out, `job ${job} submitted: true, at most 100.00 cr
job ${job} done: 16 of 16 tasks done at b.example, c.example, 0.64 cr
`)
  assert.equal(ran.err, `\
    0s  auctioning, 3/16 done: asked 5 sites
    0s  b.example bids 4 slots, 0.04 cr a task, start now, done in 6m40s
    0s  c.example bids 1 slot, 0.12 cr a task, start in 30s, done in 10m
    0s  a.example does not fit (too_large): a task asks for 2 cores of 512 MiB; the largest task \
here has 1 core
    0s  d.example refuses (credit): a.example would owe 12.00 cr, the limit is 10.00 cr
    0s  e.example did not answer
    0s  awarded: tasks 0-6 to b.example
    0s  awarded: task 7 to c.example
    0s  inputs to b.example: 3.9 KiB
    0s  active, 3/16 done: 5 tasks run at b.example and c.example, 8 wait for a slot
results: gridnode fetch --dir ${directory} ${job}
`)
})

watch('prints each event as a line of JSON', async (ctx) => {
  const { directory } = await node(ctx, lines(...story))
  const ran = await run(ctx, ['submit', '--json', '--dir', directory, '--wait', '--', 'true'])
  const printed = ran.out.trimEnd().split('\n').map((line) => JSON.parse(line) as unknown)
  assert.equal(printed, [{ kind: 'submitted', job }, ...story])
  assert.equal([ran.code, ran.err], [0, ''])
})

watch('draws a bar on a terminal, within its width', async (ctx) => {
  const { directory } = await node(ctx, lines(...story))
  const args = ['submit', '--dir', directory, '--wait', '--', 'true']
  const ran = await run(ctx, args, { columns: 60 })
  const drawn = ran.err.split(/[\r\n]/).filter((line) => line.startsWith('['))
  assert.match(drawn.join('\n'), /^\[#{3}-{17}\] active, 3\/16 done, 5 running/m)
  assert.ok(drawn.every((line) => line.length < 60), 'no drawn line reaches the edge')
})

watch('ends with the exit code of the first failed task, and says why it failed', async (ctx) => {
  const { directory } = await node(ctx, lines({ kind: 'end', summary: { ...failedJob, job } }))
  const ran = await run(ctx, ['submit', '--dir', directory, '--wait', '-q', '--', 'false'])
  assert.equal([ran.code, ran.out], [7, `${job}\n`])
  assert.match(ran.err, 'task 1 failed at c.example, exit code 7: the output counts/*.txt is')
  const words = `--dir ${directory} ${failedDetail.job} --task 1 --stream stderr`
  assert.match(ran.err, `gridnode logs ${words}`)
})

for (const state of ['failed', 'cancelled', 'expired'] as const) {
  watch(`ends with 1 when a job is ${state} without a task's exit code`, async (ctx) => {
    const summary = { ...failedJob, job, state, note: 'nobody can run it' }
    const detail = { ...failedDetail, ...summary, taskRows: [] }
    const { directory } = await node(ctx, lines({ kind: 'end', summary }), {
      [`GET /v1/jobs/${job}`]: { json: detail },
    })
    const ran = await run(ctx, ['submit', '--dir', directory, '--wait', '--', 'false'])
    assert.equal(ran.code, 1)
    assert.match(ran.err, '  nobody can run it\n')
  })
}

watch('leaves the job running on Ctrl-C, says so, and ends with 130', async (ctx) => {
  let press: (() => void) | undefined
  const site = await node(ctx, {
    write(response) {
      response.write(`${JSON.stringify(story[0])}\n`)
    },
  })
  const running = run(ctx, ['submit', '--dir', site.directory, '--wait', '--', 'true'], {
    interrupt: (given) => (press = given),
  })
  await eventually(() => site.asked.some((one) => one.path.endsWith('/events')))
  press!()
  const ran = await running
  assert.equal(ran.code, 130)
  const next = `gridnode status --dir ${site.directory} ${job}`
  assert.match(ran.err, `job ${job} keeps running. Next:\n  ${next}`)
  assert.ok(!site.asked.some((one) => one.path.endsWith('/cancel')), 'nothing was cancelled')
})

watch('waits for a node that restarts, and goes on', async (ctx) => {
  let asked = 0
  const { directory } = await node(ctx, () => {
    asked += 1
    if (asked > 2) return lines(story.at(-1))
    return {
      write(response) {
        response.write(`${JSON.stringify(story[0])}\n`, () => response.destroy())
      },
    }
  })
  const ran = await run(ctx, ['submit', '--dir', directory, '--wait', '--', 'true'])
  assert.equal([ran.code, asked], [0, 3])
  assert.match(ran.err, /the node is gone; waiting for it to come back \(the job is kept\)/)
})

watch('brings the results with --fetch', async (ctx) => {
  const cwd = ctx.tmp()
  const { directory } = await node(ctx, lines(story.at(-1)), {
    [`GET /v1/jobs/${job}/results`]: {
      json: [
        { path: '0/stdout', sizeBytes: 3, executable: false },
        { path: '0/bin/tool', sizeBytes: 4, executable: true },
      ],
    },
    [`GET /v1/jobs/${job}`]: { json: { ...failedDetail, job } },
    [`GET /v1/jobs/${job}/results/file`]: (asked) =>
      ({ bytes: asked.query['path'] === '0/stdout' ? 'out' : 'tool' }),
  })
  const args = ['submit', '--dir', directory, '--fetch', 'results', '--', 'true']
  const ran = await run(ctx, args, { cwd })
  assert.equal(ran.code, 0)
  assert.match(ran.out, /2 files in results\n$/)
  assert.equal(readFileSync(join(cwd, 'results/0/stdout'), 'utf8'), 'out')
  assert.equal(statSync(join(cwd, 'results/0/bin/tool')).mode & 0o100, 0o100)
  const again = args.with(args.indexOf('results'), 'more').toSpliced(1, 0, '--json')
  const json = await run(ctx, again, { cwd })
  assert.equal(JSON.parse(json.out.trimEnd().split('\n').at(-1)!), {
    kind: 'fetched', directory: join(cwd, 'more'), files: 2, sizeBytes: 7,
  })
})
