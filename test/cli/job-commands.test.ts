// `status`, `why`, `logs`, `fetch` and `cancel` against a node's answers: text for an 80-column
// terminal, JSON for programs, exit codes for scripts.

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseSealed, verifySealed } from '../../protocol/base/envelope.ts'
import { fromHex, keyPairFromSeed } from '../../protocol/base/crypto.ts'
import type { Context } from '../harness.ts'
import { assert, eventually, suite } from '../harness.ts'
import type { Ran, Routes, RunOptions } from './fixture-node.ts'
import { fixtureNode, refused, run } from './fixture-node.ts'
import {
  activeDetail, activeJob, counts, doneJob, failedDetail, whyAnswer,
} from './fixtures.ts'

async function ask(
  ctx: Context,
  routes: Routes,
  args: readonly string[],
  options: RunOptions = { columns: 80 },
): Promise<Ran> {
  const { directory } = await fixtureNode(ctx, routes)
  const [name = '', ...rest] = args
  return run(ctx, [name, '--dir', directory, ...rest], options)
}

const status = suite('status')

status('lists jobs within 80 columns', async (ctx) => {
  const ran = await ask(ctx, { 'GET /v1/jobs': { json: [activeJob, doneJob] } }, ['status'])
  assert.equal(ran, { code: 0, err: '', out: `\
JOB           NAME             STATE   DONE  RUN   COST   TIME  SITES
3f2a91c0b7d4  count-words      active  3/16    5   0.12  1m35s  b.example,c.exa…
3f2b000000aa  a name that is…  done     1/1    0  12.00  3m20s  cluster-with-a-…
` })
})

status('cuts nothing in a pipe, and says when there is nothing', async (ctx) => {
  const piped = await ask(ctx, { 'GET /v1/jobs': { json: [doneJob] } }, ['status'], {})
  assert.match(piped.out, doneJob.name)
  assert.match(piped.out, doneJob.sites[0]!)
  const none = await ask(ctx, { 'GET /v1/jobs': { json: [] } }, ['status'])
  assert.equal(none.out, "no jobs. Hand one in with 'gridnode submit SCRIPT'.\n")
})

status('asks for what was asked for', async (ctx) => {
  const { directory, asked } = await fixtureNode(ctx, { 'GET /v1/jobs': { json: [activeJob] } })
  const args = ['status', '--dir', directory, '--open', '--user', 'bob', '-n', '3', '--json']
  const ran = await run(ctx, args)
  assert.equal(JSON.parse(ran.out), [activeJob])
  const jobs = asked.filter(({ path }) => path === '/v1/jobs')
  assert.equal(jobs.map((one) => one.query), [{ state: 'open', user: 'bob', limit: '3' }])
})

status('shows one job in full', async (ctx) => {
  const ran = await ask(ctx, { 'GET /v1/jobs/3f2a': { json: activeDetail } }, ['status', '3f2a'])
  assert.equal(ran, { code: 0, err: '', out: `\
job 3f2a91c0b7d4 count-words, of alice: active
  5 tasks run at b.example and c.example, 8 wait for a slot
  tasks      3 of 16 tasks done, 5 running, 8 waiting
  each       2 cores, 512 MiB, at most 10m
  submitted  2026-03-01 11:58:25Z, 1m35s ago
  money      0.12 cr spent, 0.40 cr held, budget 5.00 cr; soonest
  requires   os == "linux" && cores_total >= 4
  inputs     3.3 MiB
  outputs    counts/*.txt log

CONTRACT          SITE       STATE  SLOTS  TASKS  HELD  CLAIMED  PAID
aaaabbbbccccdddd  b.example  open       4      7  0.28     0.12  0.12
1111222233334444  c.example  open       1      1  0.12     0.00  0.00

TASKS  STATE    SITE       EXIT  RAN  DETAIL
0-2    done     b.example     0  10s
3-6    running  b.example        12s
7      running  c.example         3s
` })
})

status('paints on a colour terminal only, and lets no job steer it', async (ctx) => {
  const nasty = { ...activeDetail, name: '\u001b[2Jred', note: 'a\u0007b' }
  const routes = { 'GET /v1/jobs/3f2a': { json: nasty } }
  const plain = await ask(ctx, routes, ['status', '3f2a'], { columns: 80 })
  assert.match(plain.out, 'job 3f2a91c0b7d4 ?[2Jred, of alice: active\n  a?b\n')
  const painted = await ask(ctx, routes, ['status', '3f2a'], { columns: 80, colours: true })
  assert.match(painted.out, '\u001b[36mactive\u001b[39m')
  assert.notMatch(painted.out, '\u001b[2J')
})

status('says which id is meant, and what the node answers to one it does not know', async (ctx) => {
  const bad = await ask(ctx, {}, ['status', 'count-words'])
  assert.equal(bad.code, 2)
  assert.match(bad.err, /expected a job's id \(12 hexadecimal digits, or at least its first 4\)/)
  const many = refused(409, 'ambiguous', '3f2a is the start of 2 jobs: 3f2a91.., 3f2abb..')
  const ambiguous = await ask(ctx, { 'GET /v1/jobs/3f2a': many }, ['status', '3f2a'])
  assert.equal(ambiguous, {
    code: 1, out: '', err: 'gridnode: 3f2a is the start of 2 jobs: 3f2a91.., 3f2abb..\n',
  })
})

status('shows what a peer has said, and lets it steer nothing', async (ctx) => {
  const said = 'b.example says \u001b]0;owned\u0007\u001b[2Jgone\u2028and back'
  const ran = await ask(ctx, { 'GET /v1/jobs/3f2a': refused(409, 'conflict', said) },
    ['status', '3f2a'])
  assert.equal(ran.err, 'gridnode: b.example says ?]0;owned??[2Jgone?and back\n')
})

const why = suite('why')

why('tells each site\'s bid or reason, best first', async (ctx) => {
  const routes = { 'GET /v1/jobs/3f2a/why': { json: whyAnswer } }
  const ran = await ask(ctx, routes, ['why', '3f2a'])
  assert.equal(ran, { code: 0, err: '', out: `\
job 3f2a91c0b7d4: 5 tasks run at b.example and c.example, 8 wait for a slot

round 1, soonest, open for 1s
  #  BID OF     SLOTS  TASK PRICE  START  DONE IN  AWARDED
  1  b.example      4        0.04    now    6m40s        7
  2  c.example      1        0.12    30s      10m        1
  - a.example does not fit (too_large): a task asks for 2 cores of 512 MiB;
      the largest task here has 1 core
  - d.example refuses (credit): a.example would owe 12.00 cr, the limit is
      10.00 cr
  - e.example did not answer
` })
  const json = await ask(ctx, routes, ['why', '3f2a', '--json'])
  assert.equal(JSON.parse(json.out), whyAnswer)
})

why('shows the last three rounds, or the one that is named', async (ctx) => {
  const rounds = [1, 2, 3, 4, 5].map((round) => ({ ...whyAnswer.rounds[0]!, round, rows: [] }))
  const routes = { 'GET /v1/jobs/3f2a/why': { json: { ...whyAnswer, rounds } } }
  const last = await ask(ctx, routes, ['why', '3f2a'])
  assert.equal(last.out.match(/round \d/g), ['round 3', 'round 4', 'round 5'])
  assert.match(last.out, '2 earlier rounds not shown')
  const one = await ask(ctx, routes, ['why', '3f2a', '--round', '2'])
  assert.equal(one.out.match(/round \d/g), ['round 2'])
})

const logs = suite('logs')

const logRoutes: Routes = {
  'GET /v1/jobs/3f2a': { json: { ...activeDetail, taskRows: activeDetail.taskRows.slice(1, 3) } },
  'GET /v1/jobs/3f2a/log': (asked) => ({ bytes: `${Object.values(asked.query).join(' ')}\n` }),
}

logs('prints one task byte for byte, or all of an array with headings', async (ctx) => {
  const one = await ask(ctx, logRoutes, ['logs', '3f2a', '--task', '2', '-s', 'stderr'])
  assert.equal(one, { code: 0, out: '2 stderr 0\n', err: '' })
  const all = await ask(ctx, logRoutes, ['logs', '3f2a'])
  assert.equal(all.out, '==> task 1 <==\n1 stdout 0\n\n==> task 2 <==\n2 stdout 0\n')
  const follow = await ask(ctx, logRoutes, ['logs', '3f2a', '--follow'])
  assert.equal(follow.code, 2)
  assert.match(follow.err, 'job 3f2a91c0b7d4 has 16 tasks; say which to follow: --task N')
})

logs('as JSON never cuts a character in two', async (ctx) => {
  const bytes = Buffer.from('grüße €\n')
  const routes: Routes = {
    'GET /v1/jobs/3f2a/log': {
      write(response) {
        const next = (at: number): void => {
          if (at >= bytes.length) response.end()
          else response.write(bytes.subarray(at, at + 1), () => setImmediate(next, at + 1))
        }
        next(0)
      },
    },
  }
  const ran = await ask(ctx, routes, ['logs', '3f2a', '--task', '0', '--json'])
  const pieces = ran.out.trimEnd().split('\n').map((line) => JSON.parse(line) as { text: string })
  assert.equal(pieces.map((piece) => piece.text).join(''), 'grüße €\n')
  assert.ok(pieces.every((piece) => !piece.text.includes('\ufffd')))
})

logs('says when nothing has started', async (ctx) => {
  const detail = { ...activeDetail, taskRows: [], tasks: counts({ waiting: 1 }), note: 'no bids' }
  const ran = await ask(ctx, { 'GET /v1/jobs/3f2a': { json: detail } }, ['logs', '3f2a'])
  assert.equal([ran.code, ran.err],
    [1, 'gridnode: no task of 3f2a91c0b7d4 has started: no bids\n'])
})

const cancel = suite('cancel')

cancel('signs the request with the owner\'s key', async (ctx) => {
  const key = join(ctx.tmp(), 'user.key')
  const { directory, asked } = await fixtureNode(ctx, {
    'GET /v1/jobs/3f2a': { json: activeDetail },
    'POST /v1/jobs/3f2a91c0b7d4/cancel': { json: { ...activeDetail, state: 'cancelled' } },
  })
  const env = { GRIDNODE_USER_KEY: key }
  const ran = await run(ctx, ['cancel', '--dir', directory, '3f2a'], { env })
  assert.equal(ran.code, 0)
  assert.match(ran.out, 'job 3f2a91c0b7d4 cancelled: 3 of 16 tasks done')
  const sealed = assert.accepted(parseSealed(asked.at(-1)!.text, { bytesMax: 4_096 }))
  const { publicKey } = keyPairFromSeed(fromHex(readFileSync(key, 'utf8').trim())!)
  assert.ok(verifySealed(sealed, { name: 'alice/gridnode/user', publicKey }))
  assert.equal([sealed.kind, sealed.body], ['request', {
    verb: 'cancel', job: '3f2a91c0b7d4', at: Date.UTC(2026, 2, 1, 12),
  }])
})

cancel('goes on after a job that cannot be cancelled', async (ctx) => {
  const routes: Routes = {
    'GET /v1/jobs/77aa': { json: failedDetail },
    [`POST /v1/jobs/${failedDetail.job}/cancel`]: refused(403, 'not_owner', 'it is of bob'),
    'GET /v1/jobs/3f2a': { json: activeDetail },
    'POST /v1/jobs/3f2a91c0b7d4/cancel': { json: activeDetail },
  }
  const ran = await ask(ctx, routes, ['cancel', '77aa', '3f2a'])
  assert.equal([ran.code, ran.err], [1, 'job 77aa: it is of bob\n'])
  assert.match(ran.out, 'job 3f2a91c0b7d4 is being cancelled')
})

const fetching = suite('fetch')

const results = [
  { path: 'stdout', sizeBytes: 3, executable: false },
  { path: 'deep/er/file', sizeBytes: 5_000_000, executable: true },
]
const large = Buffer.alloc(5_000_000, 'y')
const fetchRoutes: Routes = {
  'GET /v1/jobs/3f2a': { json: activeDetail },
  'GET /v1/jobs/3f2a91c0b7d4/results': { json: results },
  'GET /v1/jobs/3f2a91c0b7d4/results/file': (asked) =>
    ({ bytes: asked.query['path'] === 'stdout' ? 'out' : large }),
}

fetching('lists, and writes whole files with their executable bits', async (ctx) => {
  const list = await ask(ctx, fetchRoutes, ['fetch', '--list', '3f2a'])
  assert.equal(list.out, '   SIZE  FILE\n    3 B  stdout\n4.8 MiB  deep/er/file*\n')
  const cwd = ctx.tmp()
  const ran = await ask(ctx, fetchRoutes, ['fetch', '3f2a'], { cwd })
  assert.equal(ran, { code: 0, err: '', out: '2 files, 4.8 MiB, in 3f2a91c0b7d4\n' })
  assert.ok(readFileSync(join(cwd, '3f2a91c0b7d4/deep/er/file')).equals(large))
  assert.equal(readdirSync(join(cwd, '3f2a91c0b7d4/deep/er')), ['file'])
})

fetching('puts the streams where the script says, both in one file', async (ctx) => {
  const streams = { dialect: 'slurm', array: true, out: 'logs/%x_%a', error: '', join: false }
  const routes: Routes = {
    'GET /v1/jobs/3f2a': { json: { ...activeDetail, name: 'count', streams } },
    'GET /v1/jobs/3f2a91c0b7d4/results': {
      json: ['7/stderr', '7/stdout', '8/stderr', '8/data'].map((path) =>
        ({ path, sizeBytes: path.length, executable: false })),
    },
    'GET /v1/jobs/3f2a91c0b7d4/results/file': (asked) => ({ bytes: asked.query['path'] ?? '' }),
  }
  const cwd = ctx.tmp()
  assert.equal((await ask(ctx, routes, ['fetch', '3f2a', 'out'], { cwd })).code, 0)
  const written = (path: string): string => readFileSync(join(cwd, 'out', path), 'utf8')
  assert.equal([written('logs/count_7'), written('logs/count_8'), written('8/data')],
    ['7/stdout7/stderr', '8/stderr', '8/data'])
})

fetching('overwrites nothing unless told to', async (ctx) => {
  const cwd = ctx.tmp()
  writeFileSync(join(cwd, 'stdout'), 'mine')
  const kept = await ask(ctx, fetchRoutes, ['fetch', '3f2a', '.'], { cwd })
  assert.equal(kept.code, 1)
  assert.match(kept.err, /stdout exists; nothing was written\. .*--force/)
  assert.equal([readFileSync(join(cwd, 'stdout'), 'utf8'), existsSync(join(cwd, 'deep'))],
    ['mine', false])
  const forced = await ask(ctx, fetchRoutes, ['fetch', '--force', '3f2a', '.'], { cwd })
  assert.equal([forced.code, readFileSync(join(cwd, 'stdout'), 'utf8')], [0, 'out'])
})

fetching('refuses names that leave the directory, and files that come short', async (ctx) => {
  for (const path of ['../evil', '/etc/evil', 'a/../../evil']) {
    const cwd = ctx.tmp()
    const ran = await ask(ctx, {
      ...fetchRoutes,
      'GET /v1/jobs/3f2a91c0b7d4/results': {
        json: [...results, { path, sizeBytes: 1, executable: false }],
      },
    }, ['fetch', '3f2a', 'into'], { cwd })
    assert.equal([ran.code, readdirSync(cwd)], [1, []])
    assert.match(ran.err, 'nothing was written')
  }
  const cwd = ctx.tmp()
  const short = await ask(ctx, {
    ...fetchRoutes, 'GET /v1/jobs/3f2a91c0b7d4/results/file': { bytes: 'ou' },
  }, ['fetch', '3f2a', 'into'], { cwd })
  assert.match(short.err, 'stdout came with 2 of 3 bytes; run the command again')
  assert.equal([short.code, readdirSync(join(cwd, 'into'))], [1, []])
})

fetching('stops on Ctrl-C and leaves no half file', async (ctx) => {
  const cwd = ctx.tmp()
  let press: (() => void) | undefined
  const { directory, asked } = await fixtureNode(ctx, {
    ...fetchRoutes,
    'GET /v1/jobs/3f2a91c0b7d4/results/file': {
      write: (response) => void response.write('o'),
    },
  })
  const running = run(ctx, ['fetch', '--dir', directory, '3f2a', 'into'], {
    cwd, interrupt: (given) => (press = given),
  })
  await eventually(() => asked.some((one) => one.path.endsWith('/file')))
  press!()
  const ran = await running
  assert.equal([ran.code, readdirSync(join(cwd, 'into'))], [130, []])
})
