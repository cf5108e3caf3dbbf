// Into a task that runs: its files, a command, a shell on a terminal; from a third node, with the
// host's sandbox and without, by the owner alone.
// time limit: 240 s

import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { assert, eventually, suite } from '../harness.ts'
import type { As, Ran } from './command.ts'
import { gridnodeAs } from './command.ts'
import type { Federation } from './federation.ts'
import { ended, openFederation, untilJob } from './federation.ts'
import type { Site } from './site.ts'

const t = suite('inside')
const canSandbox = spawnSync('bwrap', ['--ro-bind', '/', '/', 'true']).status === 0
let federation: Federation
let folder = ''

t.before(async (ctx) => {
  folder = ctx.tmp()
  federation = await openFederation(ctx, {
    sites: [
      { name: 'a.example', cores: 1 }, { name: 'b.example', cores: 2 },
      { name: 'c.example', cores: 2, set: {
        'scheduler.sandbox': canSandbox ? '"bubblewrap"' : '"none"',
      } },
    ],
  })
}, { timeoutSeconds: 90 })

const site = (letter: string): Site => federation.site(`${letter}.example`)

const gridnode = (at: Site, words: readonly string[], as: Partial<As> = {}): Promise<Ran> =>
  gridnodeAs(at, words, { user: 'ada', folder, ...as })

async function done(at: Site, ...words: string[]): Promise<string> {
  const { code, out, err } = await gridnode(at, words)
  assert.equal([words[0], code, err], [words[0], 0, ''])
  return out
}

/** One that waits until it is told to end. */
async function running(where: string): Promise<string> {
  const path = join(folder, `wait-${where}.sh`)
  writeFileSync(path, '#!/bin/sh\nmkdir -p deep; echo one >deep/file; export MINE=yes\n' +
    'ln -s /etc/passwd link\nwhile [ ! -e go ]; do sleep 0.1; done\n')
  const terms = ['--budget', '9000', '--walltime', '2m', '--sites', where]
  const words = ['submit', '--quiet', ...terms, path]
  const ran = await gridnode(site('a'), words)
  assert.equal([ran.code, ran.err], [0, ''])
  const job = /[0-9a-f]{12}/.exec(ran.out)?.[0] ?? ran.out
  await untilJob(site('a'), job, ({ tasks }) => tasks.running === 1)
  return job
}

for (const host of ['b.example', 'c.example']) {
  t(`files, a command and a shell at ${host}, from a third node`, async () => {
    const job = await running(host)
    const third = site(host.startsWith('b') ? 'c' : 'b')
    await eventually(async () => (await done(third, 'peek', job)).includes('link'))
    assert.match(await done(third, 'peek', job), 'deep/')
    assert.equal(await done(third, 'peek', job, 'deep/file'), 'one\n')
    const link = await gridnode(third, ['peek', job, 'link'])
    assert.equal(link.code, 1)
    assert.match(link.err, /link/)
    for (const path of ['../../..', 'deep/../../x', '/etc/passwd']) {
      assert.notEqual((await gridnode(third, ['peek', job, path])).code, 0, path)
    }
    const inside = await done(third, 'exec', job, '--', 'sh', '-c',
      'cat deep/file; echo $GRIDNODE_JOB_ID; echo to the error >&2')
    assert.equal(inside.split('\n').toSorted(), ['', 'one', 'to the error', job].toSorted())
    const failing = await gridnode(third, ['exec', job, '--', 'sh', '-c', 'exit 7'])
    assert.equal(failing.code, 7)
    const big = 'x'.repeat(300_000)
    const echoed = await gridnode(third, ['exec', '--input', job, '--', 'cat'], { input: big })
    assert.equal([echoed.code, echoed.out.length, echoed.err], [0, big.length, ''])
    const shell = await gridnode(third, ['shell', job], { input: 'tty; touch go; exit 3\n' })
    assert.match(shell.out, '/dev/pts/')
    assert.equal(shell.code, 3)
    assert.equal((await ended(site('a'), job)).state, 'done')
  })
}

t('nobody but the owner is let in, and told no more than that there is no such job', async () => {
  const job = await running('b.example')
  for (const words of [['peek', job], ['exec', job, '--', 'true'], ['shell', job]]) {
    const at = words[0] === 'peek' ? site('a') : site('c')
    const ran = await gridnode(at, words, { user: 'eve' })
    assert.notEqual(ran.code, 0)
    assert.match(ran.err, /no job/)
  }
  assert.equal((await gridnode(site('c'), ['exec', job, '--', 'touch', 'go'])).code, 0)
  await ended(site('a'), job)
  const late = await gridnode(site('c'), ['exec', job, '--', 'true'])
  assert.notEqual(late.code, 0)
  assert.match(late.err, /does not run now/)
})

t('a process that is let in ends with the task', async () => {
  const job = await running(canSandbox ? 'c.example' : 'b.example')
  const stays = gridnode(site('a'), ['exec', job, '--', 'sleep', '4322'])
  await eventually(() => spawnSync('pgrep', ['-f', 'sleep 4322']).status === 0)
  await done(site('a'), 'exec', job, '--', 'touch', 'go')
  await ended(site('a'), job)
  assert.notEqual((await stays).code, 0)
  await eventually(() => spawnSync('pgrep', ['-fx', 'sleep 4322']).status !== 0)
})
