// The whole walk among three real sites: inputs and results byte for byte, work at more than one
// site, the books equal at both ends and verified offline, and what a person is told on the way.
// time limit: 240 s

import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, assert, eventually } from '../harness.ts'
import type { Federation } from './federation.ts'
import {
  booksHold, ended, jobOf, ledgerOf, openFederation, untilJob, whyOf,
} from './federation.ts'
import { cancel, logOf, newUser, resultBytes, resultsOf, sha256, submit } from './jobs.ts'

const t = suite('walk')
let federation: Federation
let inputs = ''
let big = Buffer.alloc(0)

t.before(async (ctx) => {
  federation = await openFederation(ctx, {
    sites: [
      { name: 'a.example', cores: 1, memoryMib: 1_024 },
      { name: 'b.example', cores: 3, memoryMib: 2_048 },
      { name: 'c.example', cores: 2, memoryMib: 2_048 },
    ],
  })
  inputs = ctx.tmp()
  mkdirSync(join(inputs, 'tree/deep/empty'), { recursive: true })
  writeFileSync(join(inputs, 'tree/deep/text'), 'one two\nthree\n')
  writeFileSync(join(inputs, 'tree/tool'), '#!/bin/sh\necho tool "$@"\n')
  chmodSync(join(inputs, 'tree/tool'), 0o755)
  writeFileSync(join(inputs, 'tree/nothing'), '')
  big = randomBytes(40 * 2 ** 20 + 17)
  writeFileSync(join(inputs, 'big'), big)
}, { timeoutSeconds: 90 })

const a = () => federation.site('a.example')

t('an array with inputs: everything arrives and comes back byte for byte', async () => {
  const job = await submit(a(), {
    tasks: '0-9',
    inputs: [
      { path: join(inputs, 'tree'), name: 'tree' }, { path: join(inputs, 'big'), name: 'data/big' },
    ],
    outputs: ['out', 'copy-*'],
    script: `#!/bin/sh
set -e
mkdir -p out/sub
tree/tool "$GRIDNODE_TASK_ID" >out/tool
cp tree/tool out/sub/tool
test -d tree/deep/empty
test ! -x tree/deep/text
sha256sum <data/big >out/sum
echo "$GRIDNODE_SITE" >out/site
if [ "$GRIDNODE_TASK_ID" = 3 ]; then cp data/big copy-3; else echo small >copy-small; fi
echo "task $GRIDNODE_TASK_ID says hello"
echo "and complains" >&2
sleep 1
`,
  })
  const detail = await ended(a(), job, 90)
  assert.equal([detail.state, detail.tasks.done, detail.note], ['done', 10, '10 of 10 tasks done'])
  assert.ok(detail.sites.length > 1, `more than one site worked: ${detail.sites.join()}`)
  const files = new Map((await resultsOf(a(), job)).map((file) => [file.path, file]))
  const sites = new Set<string>()
  for (let task = 0; task < 10; task++) {
    assert.equal(String(await resultBytes(a(), job, `${task}/out/tool`)), `tool ${task}\n`)
    assert.equal(String(await resultBytes(a(), job, `${task}/out/sum`)), `${sha256(big)}  -\n`)
    assert.equal(files.get(`${task}/out/sub/tool`)?.executable, true)
    assert.equal(files.get(`${task}/out/tool`)?.executable, false)
    sites.add(String(await resultBytes(a(), job, `${task}/out/site`)).trim())
    assert.equal(await logOf(a(), job, { task }), `task ${task} says hello\n`)
    assert.equal(await logOf(a(), job, { task, stream: 'stderr' }), 'and complains\n')
  }
  assert.equal([...sites].toSorted(), [...detail.sites].toSorted())
  assert.equal(sha256(await resultBytes(a(), job, '3/copy-3')), sha256(big))
  await booksHold(federation)
  const settled = await jobOf(a(), job)
  const owed = (await ledgerOf(a())).pairs.reduce((sum, { balance }) => sum - BigInt(balance), 0n)
  assert.equal(BigInt(settled.spent), owed, 'what the job cost is what its home owes')
  assert.ok(owed > 0n)
  assert.equal(settled.held, '0')
}, { timeoutSeconds: 120 })

t('why: every site has its bid or its reason', async () => {
  const job = await submit(a(), { script: '#!/bin/sh\ntrue\n', cores: 2, memoryMib: 1_500 })
  await ended(a(), job)
  const [round] = (await whyOf(a(), job)).rounds
  const rows = new Map(round!.rows.map((row) => [row.site, row]))
  assert.equal([...rows.keys()].toSorted(), ['a.example', 'b.example', 'c.example'])
  const { verdict, reason, detail } = rows.get('a.example')!
  assert.equal([verdict, reason], ['unfit', 'cores'])
  assert.match(detail ?? '', /wants 2 cores, the site has at most 1/)
  const bids = ['b.example', 'c.example'].map((site) => rows.get(site)!)
  for (const bid of bids) assert.equal([bid.verdict, bid.slots], ['bid', 1])
  assert.equal(bids.reduce((sum, bid) => sum + (bid.awardedTasks ?? 0), 0), 1)
  assert.equal(bids.find((bid) => bid.awardedTasks === 1)?.rank, 1)
})

t('a job that is to stay at home runs at home and owes nothing', async () => {
  const before = (await ledgerOf(a())).entries
  const job = await submit(a(), {
    script: '#!/bin/sh\necho "$GRIDNODE_SITE" >site\n', outputs: ['site'], tasks: '1-2',
    options: { place: 'home' },
  })
  const detail = await ended(a(), job)
  assert.equal([detail.state, detail.sites, detail.spent], ['done', ['a.example'], '0'])
  assert.equal(String(await resultBytes(a(), job, '2/site')), 'a.example\n')
  assert.equal((await ledgerOf(a())).entries, before)
})

t('a job that nobody can run says why, waits, and can be cancelled', async () => {
  const job = await submit(a(), { script: '#!/bin/sh\ntrue\n', cores: 64 })
  const waiting = await untilJob(a(), job, ({ note }) => note.includes('no site can run it now'))
  assert.equal(waiting.state, 'waiting')
  assert.match(waiting.note, /no site can run it now: cores \(3\)/)
  const [round] = (await whyOf(a(), job)).rounds
  assert.equal(round!.rows.map(({ verdict, reason }) => [verdict, reason]),
    [['unfit', 'cores'], ['unfit', 'cores'], ['unfit', 'cores']])
  const cancelled = await cancel(a(), job)
  assert.equal(cancelled.state, 'cancelled')
  assert.equal((await ended(a(), job)).tasks.cancelled, 1)
})

t('a job that nobody can run expires when its patience is over', async () => {
  const job = await submit(a(), {
    script: '#!/bin/sh\ntrue\n',
    startWithinSeconds: 1,
    options: { requirements: 'cores_total > 99' },
  })
  const detail = await ended(a(), job)
  assert.equal(detail.state, 'expired')
  assert.match(detail.note, /nothing could be placed for 1 s.*requirements \(3\)/)
})

t('the output of a running task is seen as it appears', async (ctx) => {
  const gate = join(ctx.tmp(), 'go')
  const job = await submit(a(), {
    script: `#!/bin/sh
echo first; until [ -e ${gate} ]; do sleep 0.1; done; echo second; exit 3\n`,
    options: { place: 'remote' },
  })
  await eventually(async () => (await logOf(a(), job)) === 'first\n')
  const following = logOf(a(), job, { follow: 1 })
  writeFileSync(gate, '')
  assert.equal(await following, 'first\nsecond\n')
  const detail = await ended(a(), job)
  assert.equal([detail.state, detail.taskRows[0]?.exitCode], ['failed', 3])
  assert.equal(await logOf(a(), job), 'first\nsecond\n')
})

t('only the owner cancels; what ran until then is paid, the rest is free again', async (ctx) => {
  const beats = join(ctx.tmp(), 'beats')
  const job = await submit(a(), {
    tasks: '0-6',
    script: `#!/bin/sh
echo started
while :; do echo "$GRIDNODE_TASK_ID" >>${beats}; sleep 0.2; done
`,
    walltimeSeconds: 120,
    options: { sites: ['b.example'] } as never,
  })
  await untilJob(a(), job, ({ tasks }) => tasks.running === 3)
  await assert.rejects(cancel(a(), job, newUser()), /belongs to tester/)
  await assert.rejects(cancel(a(), job, newUser('other')), /belongs to tester/)
  assert.equal((await jobOf(a(), job)).state, 'active')
  // At least two seconds of the three cores, so that there is something to pay.
  await eventually(async () => (await jobOf(a(), job)).taskRows
    .every(({ startedEpochMs }) => Date.now() - (startedEpochMs ?? Infinity) > 2_000))
  await cancel(a(), job)
  const detail = await ended(a(), job)
  assert.equal([detail.state, detail.tasks.cancelled], ['cancelled', 7])
  const lines = () => sha256(Buffer.from(readFileSync(beats, 'utf8')))
  const atEnd = lines()
  const report = await booksHold(federation)
  assert.ok(report.pairs.length > 0)
  assert.equal(lines(), atEnd, 'nothing runs any more')
  const { spent, held } = await jobOf(a(), job)
  assert.equal(held, '0')
  // A credit is a core's second: more than two seconds of three cores, far less than the caps.
  assert.ok(BigInt(spent) >= 6_000_000n && BigInt(spent) < 100_000_000n, `spent ${spent}`)
}, { timeoutSeconds: 90 })
