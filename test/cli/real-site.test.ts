// The commands against a real node of its own process: a site is made, started, given a job, asked
// about it, audited and stopped, as a person would.

import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { JobDetail, JobSummary, OfferRow } from '../../node/http/api.ts'
import type { Context } from '../harness.ts'
import { assert, eventually, suite } from '../harness.ts'

const main = join(import.meta.dirname, '../../cli/main.ts')

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

interface Begun {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
}

interface Person {
  readonly directory: string
  readonly cwd: string
  run(...args: readonly string[]): Promise<Ended>
  json<T>(...args: readonly string[]): Promise<T>
  begin(...args: readonly string[]): Begun
}

function person(ctx: Context): Person {
  const home = ctx.tmp()
  const directory = join(home, 'site')
  const cwd = ctx.tmp()
  const env = { ...process.env, HOME: home, GRIDNODE_DIR: directory, GRIDNODE_USER: 'alice' }
  const begin: Person['begin'] = (...args) => {
    const child = spawn(process.execPath, [main, ...args], { env, cwd, stdio: 'pipe' })
    ctx.after(() => child.kill('SIGKILL'))
    let [out, err] = ['', '']
    child.stdout.on('data', (data: Buffer) => (out += data.toString()))
    child.stderr.on('data', (data: Buffer) => (err += data.toString()))
    const ended = new Promise<Ended>((resolve) =>
      child.on('close', (code) => resolve({ code, out, err })))
    return { child, ended }
  }
  const run: Person['run'] = (...args) => begin(...args).ended
  return {
    directory,
    cwd,
    begin,
    run,
    async json<T>(...args: readonly string[]) {
      const ran = await run(...args, '--json')
      assert.equal([args, ran.code, ran.err], [args, 0, ''])
      return JSON.parse(ran.out) as T
    },
  }
}

interface Started {
  readonly alice: Person
  readonly node: Begun
}

async function startedSite(ctx: Context): Promise<Started> {
  const alice = person(ctx)
  const listen = ['--listen', '/ip4/127.0.0.1/tcp/0']
  const made = await alice.run('init', '--found', 'trial', ...listen, '--cores', '2', 'a.example')
  assert.equal([made.code, made.err], [0, ''])
  assert.match(made.out, /^site a\.example made in .*\nfederation [0-9a-f]{64}\n/)
  const node = alice.begin('start')
  await eventually(async () => (await alice.run('status')).code === 0, { timeoutSeconds: 60 })
  return { alice, node }
}

const site = suite('a real site')

site('runs a job from its files to its results, and its ledger verifies', async (ctx) => {
  const { alice, node } = await startedSite(ctx)
  mkdirSync(join(alice.cwd, 'texts'))
  writeFileSync(join(alice.cwd, 'texts/0'), 'one two three\n')
  writeFileSync(join(alice.cwd, 'texts/1'), 'four\n')
  writeFileSync(join(alice.cwd, 'count.sh'), `#!/bin/sh
#SBATCH -J count -t 5 --mem=64M
#GRID --array 0-1 --in texts --out counts
mkdir counts
echo "counts $GRIDNODE_TASK_ID"
wc -w < texts/$GRIDNODE_TASK_ID > counts/words
`)
  const done = await alice.run('submit', '--fetch', 'results', 'count.sh')
  assert.equal(done.code, 0, done.err)
  assert.match(done.out, /done: 2 of 2 tasks done at a\.example/)
  const words = [0, 1].map((task) =>
    readFileSync(join(alice.cwd, `results/${task}/counts/words`), 'utf8').trim())
  assert.equal(words, ['3', '1'])
  const [job] = await alice.json<JobSummary[]>('status', '--user', 'alice')
  const detail = await alice.json<JobDetail>('status', job!.job.slice(0, 6))
  assert.equal([detail.name, detail.state, detail.memoryMib], ['count', 'done', 64])
  const log = await alice.run('logs', job!.job, '--task', '1')
  assert.equal(log, { code: 0, out: 'counts 1\n', err: '' })
  assert.match((await alice.run('why', job!.job)).out, /^ {2}1 +a\.example /m)
  const [offer] = await alice.json<OfferRow[]>('offers', '--where', 'cores_total == 2')
  assert.equal([offer?.site, offer?.own], ['a.example', true])
  assert.equal((await alice.run('ledger', 'export', 'books')).code, 0)
  const verified = await alice.run('verify', 'books')
  assert.equal(verified.code, 0, verified.out)
  assert.match(verified.out, 'all holds: 1 ledger')
  node.child.kill('SIGTERM')
  const ended = await node.ended
  assert.equal(ended.code, 0)
  assert.match(ended.out, /^site a\.example is up at \/ip4\/127\.0\.0\.1\/tcp\/[0-9]+\n$/)
  assert.equal((await alice.run('status')).code, 3)
}, { timeoutSeconds: 120 })

site('passes on how jobs fail, cancels them, and refuses a second start', async (ctx) => {
  const { alice, node } = await startedSite(ctx)
  const [failed, second, again] = await Promise.all([
    alice.run('submit', '--wait', '--', 'sh', '-c', 'echo no >&2; exit 9'),
    alice.run('start'),
    alice.run('init', 'b.example'),
  ])
  assert.equal([failed.code, second.code, again.code], [9, 1, 1])
  assert.match(failed.err, 'task 0 failed at a.example, exit code 9')
  assert.match(again.err, 'is the data directory of a site already')
  assert.match(second.err, alice.directory)
  const long = await alice.run('submit', '--quiet', '--', 'sleep', '600')
  const job = long.out.trim()
  await eventually(async () => {
    const { tasks } = await alice.json<JobSummary>('status', job)
    return tasks.running === 1
  })
  const cancelled = await alice.run('cancel', job)
  assert.equal([cancelled.code, cancelled.err], [0, ''])
  await eventually(async () =>
    (await alice.json<JobSummary>('status', job)).state === 'cancelled')
  node.child.kill('SIGTERM')
  assert.equal((await node.ended).code, 0)
}, { timeoutSeconds: 120 })

site('keeps its keys to itself', async (ctx) => {
  const alice = person(ctx)
  assert.equal((await alice.run('init', '--found', 'trial', 'a.example')).code, 0)
  const mode = (path: string): number => statSync(join(alice.directory, path)).mode & 0o777
  assert.equal([mode('.'), mode('keys/root.key'), mode('keys/log.key')], [0o700, 0o600, 0o600])
})
