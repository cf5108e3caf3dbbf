// Jobs of other sites' users under local accounts: real accounts that the test makes, a node that
// is root, the map of the host and the export list of the home. Needs root and bubblewrap.

import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from '../harness.ts'
import { assert, eventually, suite } from '../harness.ts'
import type { Federation } from './federation.ts'
import { booksHold, ended, openFederation, untilJob, whyOf } from './federation.ts'
import { logOf, newUser, submit } from './jobs.ts'

const t = suite('accounts')
const names = ['ada', 'g1', 'g2'].map((name) => `gn${process.pid % 100_000}${name}`)
const [ada = '', first = '', second = ''] = names

function demandAccounts(ctx: Context): void {
  const able = process.getuid?.() === 0 && spawnSync('useradd', ['--help']).status === 0 &&
    spawnSync('bwrap', ['--ro-bind', '/', '/', 'true']).status === 0
  if (!able && process.env['CI'] === undefined) ctx.skip('needs root, useradd and bubblewrap')
  assert.ok(able, 'root, with useradd and bubblewrap')
}

let federation: Federation | undefined
t.before(async (ctx) => {
  if (process.getuid?.() !== 0 || spawnSync('bwrap', ['--version']).status !== 0) return
  for (const name of names) {
    const made = spawnSync('useradd', ['--no-create-home', '--shell', '/usr/sbin/nologin', name])
    assert.equal(made.status, 0, String(made.stderr))
    ctx.after(() => { spawnSync('userdel', [name]) })
  }
  federation = await openFederation(ctx, {
    sites: [
      { name: 'a.example', cores: 1, set: {
        'accounts.export': '["mallory * = none", "* * = *"]',
      } },
      { name: 'b.example', cores: 8, set: {
        'scheduler.sandbox': '"bubblewrap"',
        'accounts.map': `["a.example ada * = ${ada}", "* eve * = none", "a.example * grid = pool"]`,
        'accounts.pool': `["${first}", "${second}"]`,
      } },
    ],
  })
}, { timeoutSeconds: 90 })

function at(ctx: Context): Federation {
  demandAccounts(ctx)
  return federation!
}

const who = `#!/bin/sh
id -un
echo private >result
umask
ls -ld .gridnode/script | cut -c1-10
`

t('a job runs under the account that the map gives to its owner', async (ctx) => {
  const here = at(ctx)
  const home = here.site('a.example')
  const job = await submit(home, {
    script: who, outputs: ['result'], user: newUser('ada'),
    options: { sites: ['b.example' as never] },
  })
  const detail = await ended(home, job)
  assert.equal(detail.state, 'done', detail.note)
  assert.match(await logOf(home, job), `${ada}\n`)
  assert.match(await logOf(home, job), '-rwx------')
  // Nothing of it stays at the host.
  const spool = join(here.site('b.example').directory, 'spool')
  await eventually(() => !existsSync(spool) || readdirSync(spool).length === 0)
})

t('an account of the pool has one owner at a time', async (ctx) => {
  const home = at(ctx).site('a.example')
  const slow = `#!/bin/sh
id -un; ls -A ..; sleep 3
`
  const submitAs = (user: string): Promise<string> => submit(home, {
    script: slow, user: newUser(user),
    options: { sites: ['b.example' as never], project: 'grid' } as never,
  })
  const jobs = await Promise.all(['bob', 'cat'].map(submitAs))
  for (const job of jobs) {
    await untilJob(home, job, ({ tasks }) => tasks.running + tasks.done > 0)
  }
  // Both accounts are in use, and nobody else gets one.
  const third = await submitAs('dan')
  await eventually(async () => {
    const { rounds } = await whyOf(home, third)
    return rounds.some((round) => round.rows.some((row) => row.reason === 'account'))
  }, { timeoutSeconds: 20 })
  const ran: string[] = []
  for (const job of [...jobs, third]) {
    assert.equal((await ended(home, job, 60)).state, 'done')
    ran.push((await logOf(home, job)).split('\n')[0] ?? '')
  }
  assert.equal(ran.slice(0, 2).toSorted(), [first, second].toSorted())
  assert.ok([first, second].includes(ran[2]!))
})

t('who has no account there, or may not go there, is told so', async (ctx) => {
  const home = at(ctx).site('a.example')
  for (const [user, detail] of [
    ['eve', 'eve of a.example has no account here'],
    ['nobody-known', 'nobody-known of a.example has no account here'],
    ['mallory', 'does not let jobs of this user go there'],
  ] as const) {
    const job = await submit(home, {
      script: who, user: newUser(user), startWithinSeconds: 2,
      options: { sites: ['b.example' as never] },
    })
    const over = await ended(home, job)
    assert.equal(over.state, 'expired')
    const rows = (await whyOf(home, job)).rounds.flatMap((round) => round.rows)
    const row = rows.find(({ site, reason }) => site === 'b.example' && reason === 'account')
    assert.match(row?.detail ?? '', detail)
  }
})

t('the books hold', async (ctx) => {
  const { findings } = await booksHold(at(ctx)) as unknown as { findings?: readonly unknown[] }
  assert.equal(findings ?? [], [])
})
