// The embedded executor with bubblewrap around its tasks: the suite of all drivers, then what a
// task sees and cannot do. Needs bubblewrap, and root for tasks of other accounts.

import { spawnSync } from 'node:child_process'
import {
  chownSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import type { EndedTask, LocalAccount, Submission } from '../../node/scheduler/driver.ts'
import { EmbeddedDriver } from '../../node/scheduler/embedded.ts'
import { temporaryName } from '../../node/scheduler/sandbox.ts'
import type { Context } from '../harness.ts'
import { assert, eventually, suite } from '../harness.ts'
import { driverSuite } from '../suites/driver.ts'

const never = new AbortController().signal
const nobody: LocalAccount = {
  name: 'nobody', uid: 65_534, gid: 65_534, groups: [65_534], home: '/nonexistent',
}

interface Bench {
  readonly root: string
  readonly state: string
  open(): Promise<EmbeddedDriver>
  taskDirectory(): string
}

function bench(ctx: Context): Bench {
  const works = spawnSync('bwrap', ['--ro-bind', '/', '/', 'true']).status === 0
  if (!works && process.env['CI'] === undefined) ctx.skip('bubblewrap does not work here')
  assert.ok(works, 'bubblewrap works here')
  const root = ctx.tmp()
  const state = join(root, 'state')
  let made = 0
  return {
    root, state,
    async open() {
      const driver = new EmbeddedDriver({
        stateDirectory: state, cores: 4, memoryBytes: 2 ** 30, walltimeSecondsMax: 86_400,
        speedPermille: 1_000, graceSeconds: 1, sampleMs: 20,
        sandbox: { kind: 'bubblewrap', hide: [state], show: [], network: true },
      })
      await driver.start()
      return driver
    },
    taskDirectory() {
      const directory = join(root, `task ${made++}`)
      mkdirSync(directory)
      return directory
    },
  }
}

function outputOf(directory: string): { stdout: string; stderr: string } {
  const read = (stream: string): string => {
    const path = join(directory, '.gridnode', stream)
    return existsSync(path) ? readFileSync(path, 'utf8') : ''
  }
  return { stdout: read('stdout'), stderr: read('stderr') }
}

driverSuite('driver: embedded, sandboxed', async (ctx) => {
  const { open, taskDirectory } = bench(ctx)
  let queries = 0
  return {
    coresTotal: 4, coresTooMany: 5, timeoutSeconds: 60, open, taskDirectory,
    output: (submission, taskIndex) =>
      outputOf(submission.tasks.find((one) => one.taskIndex === taskIndex)?.directory ?? ''),
    queriesAsked: () => queries++,
  }
}, { outages: false })

const t = suite('sandbox')

/** Runs a script to its end as one task. */
async function ran(
  ctx: Context, { open, taskDirectory }: Bench, script: string, more: Partial<Submission> = {},
): Promise<{ ended: EndedTask; stdout: string; directory: string }> {
  const driver = await open()
  ctx.after(() => driver.stop())
  const directory = more.tasks?.[0]?.directory ?? taskDirectory()
  const submission: Submission = {
    tag: 'feedfacefeedface', jobName: 'sandboxed', tasks: [{ taskIndex: 0, directory }],
    command: ['sh', '-c', script], environment: {},
    resources: { coresPerTask: 1, memoryBytesPerTask: 2 ** 28, walltimeSeconds: 60 }, ...more,
  }
  assert.accepted(await driver.submit(submission, never))
  const ended = await eventually(async () => {
    const [seen] = await driver.query(never)
    return seen?.status.kind === 'ended' ? seen.status : undefined
  }, { timeoutSeconds: 30 })
  const { stdout, stderr } = outputOf(directory)
  return { ended, stdout: stdout + stderr, directory }
}

t('a task sees its own directory and nothing of the node or of other tasks', async (ctx) => {
  const here = bench(ctx)
  const other = here.taskDirectory()
  writeFileSync(join(other, 'secret'), 'not for others')
  mkdirSync(here.state, { recursive: true })
  writeFileSync(join(here.state, 'key'), 'not for tasks')
  const { stdout, ended } = await ran(ctx, here, `
    echo mine >mine; cat mine
    ls -A ${JSON.stringify(here.root)}
    cat ${JSON.stringify(join(other, 'secret'))} ${JSON.stringify(join(here.state, 'key'))}
    touch /usr/x /etc/x
    ls -A /home /root | grep -v :; echo tmp >/tmp/t; ls /tmp; ps ax | wc -l`)
  assert.equal(ended.how, 'exited')
  const lines = stdout.split('\n')
  assert.equal(lines[0], 'mine')
  assert.equal(lines[1], 'task 1')
  assert.equal(stdout.includes('not for'), false)
  assert.match(stdout, '/usr/x')
  assert.ok(Number(lines.findLast((line) => /^\s*\d+$/.test(line))) < 10, 'no other process')
  assert.ok(!existsSync('/tmp/t'), 'its /tmp is its own')
})

t('a task sees its directory where it was submitted from', async (ctx) => {
  const here = bench(ctx)
  const elsewhere = join(here.root, 'no', 'such', 'place')
  const { stdout, directory } = await ran(ctx, here, 'pwd; echo x >result', { seenAt: elsewhere })
  assert.equal(stdout, `${elsewhere}\n`)
  assert.equal(readFileSync(join(directory, 'result'), 'utf8'), 'x\n')
  assert.ok(!existsSync(dirname(elsewhere)), 'nothing of it is outside')
})

t('it covers what is there, and is made where nothing like it is', async (ctx) => {
  for (const seenAt of ['/opt', '/no-such-place/of/ours', '/srv/gridnode-test/w', '/var/tmp/w']) {
    const { stdout } = await ran(ctx, bench(ctx), 'pwd; ls', { seenAt })
    assert.equal(stdout, `${seenAt}\n`)
  }
})

t('no task sees its directory over the system', async (ctx) => {
  const here = bench(ctx)
  const driver = await here.open()
  ctx.after(() => driver.stop())
  for (const seenAt of ['/', '/etc', '/usr/local/x', '/etc/../usr', '/proc']) {
    const outcome = await driver.submit({
      tag: 'feedfacefeedface', jobName: 'x', command: ['true'], environment: {}, seenAt,
      tasks: [{ taskIndex: 0, directory: here.taskDirectory() }],
      resources: { coresPerTask: 1, memoryBytesPerTask: 0, walltimeSeconds: 60 },
    }, never)
    assert.refused(outcome, 'refused')
  }
})

t('a task that is cancelled has its time to clean up, and leaves no process', async (ctx) => {
  const here = bench(ctx)
  const driver = await here.open()
  ctx.after(() => driver.stop())
  const directory = here.taskDirectory()
  const tag = 'feedfacefeedface'
  const script = 'trap "echo saved; exit 3" TERM; setsid sleep 4321 & echo up; ' +
    'while :; do sleep 0.05; done'
  assert.accepted(await driver.submit({
    tag, jobName: 'x', tasks: [{ taskIndex: 0, directory }], command: ['sh', '-c', script],
    environment: {}, resources: { coresPerTask: 1, memoryBytesPerTask: 0, walltimeSeconds: 60 },
  }, never))
  await eventually(() => outputOf(directory).stdout === 'up\n')
  await driver.cancel(tag, 'all', never)
  await eventually(async () => (await driver.query(never))[0]?.status.kind === 'ended')
  assert.equal(outputOf(directory).stdout, 'up\nsaved\n')
  await eventually(() => spawnSync('pgrep', ['-f', 'sleep 4321']).status !== 0)
})

/** As the node lays it out: what is the account's, and a /tmp for it. */
function ownedDirectory({ taskDirectory }: Bench): string {
  const directory = taskDirectory()
  mkdirSync(join(directory, temporaryName), { recursive: true })
  for (const path of ['', '.gridnode', temporaryName]) {
    chownSync(join(directory, path), nobody.uid, nobody.gid)
  }
  return directory
}

function demandRoot(ctx: Context): void {
  if (process.getuid?.() !== 0) ctx.skip('needs root')
}

t('a task runs under its account, with no way back', async (ctx) => {
  demandRoot(ctx)
  const here = bench(ctx)
  const directory = ownedDirectory(here)
  const { stdout } = await ran(ctx, here, 'id -u; id -G; grep -E "CapEff|NoNewPrivs" ' +
    '/proc/self/status; echo x >out; echo t >/tmp/t && echo $HOME', {
    account: nobody, tasks: [{ taskIndex: 0, directory }],
  })
  assert.equal(stdout, '65534\n65534\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n/tmp\n')
  assert.equal(statSync(join(directory, 'out')).uid, nobody.uid)
  assert.equal(statSync(join(directory, '.gridnode/stdout')).uid, nobody.uid)
})

/** Programs that say that they ran where they should not: as those of ours, found by PATH. */
function lures(here: Bench, directory: string): { readonly mark: string; readonly PATH: string } {
  const mark = join(here.root, 'escaped')
  for (const name of ['timeout', 'env', 'bwrap', 'setpriv', 'nsenter', 'sh', 'cd', 'script']) {
    const text = `#!/bin/sh\necho ${name} $(/usr/bin/id -u) >>"${mark}"\n`
    writeFileSync(join(directory, name), text, { mode: 0o755 })
  }
  return { mark, PATH: `.:${directory}:${process.env['PATH']}` }
}

for (const account of [undefined, nobody]) {
  const whose = account ? 'another account' : 'no other account'
  t(`a job's variables choose nothing that runs before it, with ${whose}`, async (ctx) => {
    if (account) demandRoot(ctx)
    const here = bench(ctx)
    const directory = account ? ownedDirectory(here) : here.taskDirectory()
    const { mark, PATH } = lures(here, directory)
    const environment = {
      PATH, LD_PRELOAD: './no-such.so', HOME: '/elsewhere', ODD: `a 'b' "$c" \\\n\`d\``, IFS: 'x',
      n: '7',
    }
    const driver = await here.open()
    ctx.after(() => driver.stop())
    const tag = 'feedfacefeedface'
    assert.accepted(await driver.submit({
      tag, jobName: 'x', environment, tasks: [{ taskIndex: 0, directory }],
      command: ['/bin/sh', '-c', 'unset LD_PRELOAD; echo "$PATH|$HOME|$ODD|$n"; ' +
        '/usr/bin/env | /bin/grep -c CARRIED; while [ ! -e go ]; do /bin/sleep 0.05; done'],
      resources: { coresPerTask: 1, memoryBytesPerTask: 0, walltimeSeconds: 60 },
      ...(account && { account }),
    }, never))
    const wanted = `${PATH}|/tmp|${environment.ODD}|7\n0\n`
    await eventually(() => outputOf(directory).stdout === wanted, { timeoutSeconds: 30 })
    const entered = assert.accepted(await driver.enter(tag, 0, never))
    const [first = '', ...words] = entered.words
    const inside = spawnSync(first, [...words, '/bin/sh', '-c', 'unset LD_PRELOAD; ' +
      'echo "$PATH|$HOME|$ODD|$n"; /usr/bin/id -u; /bin/grep CapEff /proc/self/status; >go'], {
      env: { ...entered.environment }, cwd: entered.cwd, encoding: 'utf8',
    })
    assert.equal(existsSync(mark) ? readFileSync(mark, 'utf8') : '', '')
    const uid = account?.uid ?? process.getuid?.()
    assert.equal(inside.stdout, `${wanted.slice(0, -2)}${uid}\nCapEff:\t0000000000000000\n`)
    await eventually(async () => (await driver.query(never))[0]?.status.kind === 'ended')
    assert.equal(existsSync(mark), false)
  })
}

t('a task that stays root finds none of the sockets that obey root', async (ctx) => {
  demandRoot(ctx)
  const here = bench(ctx)
  const path = `/run/gridnode-test-${process.pid}`
  const server = createServer().listen(path)
  ctx.after(() => void server.close())
  await eventually(() => existsSync(path))
  const look = `[ -e ${path} ] && echo there || echo hidden; [ -d /run ] && echo run`
  assert.equal((await ran(ctx, here, look)).stdout, 'hidden\nrun\n')
})

t('an account that puts links where its output goes reaches nothing of root', async (ctx) => {
  demandRoot(ctx)
  const here = bench(ctx)
  const directory = ownedDirectory(here)
  const target = join(here.root, 'of-root')
  writeFileSync(target, 'safe', { mode: 0o600 })
  symlinkSync(target, join(directory, '.gridnode/stdout'))
  const { ended } = await ran(ctx, here, 'echo owned', {
    account: nobody, tasks: [{ taskIndex: 0, directory }],
  })
  assert.notEqual(ended.exitCode, 0)
  assert.equal(readFileSync(target, 'utf8'), 'safe')
  rmSync(target)
})
