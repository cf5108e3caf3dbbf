// The door into running tasks, with a driver that starts plain processes: sessions belong to who
// signed them, are begun once, and hold a bounded amount.

import type { Tables } from '../../protocol/base/tables.ts'
import { keyPairFromSeed, toHex } from '../../protocol/base/crypto.ts'
import { decode, encode } from '../../protocol/base/encoding.ts'
import type { SiteName, TrancheId } from '../../protocol/base/ids.ts'
import { ok } from '../../protocol/base/outcome.ts'
import { taskKey } from '../../protocol/machine/state.ts'
import { userSignerName } from '../../protocol/rules/job.ts'
import type { Exec, JobRequest } from '../../protocol/rules/request.ts'
import { signRequest } from '../../protocol/rules/request.ts'
import { clock } from '../../node/clock.ts'
import type { Loop } from '../../node/loop.ts'
import type { Workspace } from '../../node/staging/workspace.ts'
import { openTaskDoor, taskMark } from '../../node/task-door.ts'
import type { Context } from '../harness.ts'
import { assert, eventually, suite } from '../harness.ts'

const t = suite('the door into tasks')
const home = 'a.example' as SiteName
const ada = { user: 'ada', key: keyPairFromSeed(new Uint8Array(32).fill(7)) }
const eve = { user: 'eve', key: keyPairFromSeed(new Uint8Array(32).fill(8)) }
const tasks = {
  ada: { tranche: '1111111111111111' as TrancheId, job: 'aaaaaaaaaaaa', who: ada },
  eve: { tranche: '2222222222222222' as TrancheId, job: 'eeeeeeeeeeee', who: eve },
  other: { tranche: '3333333333333333' as TrancheId, job: 'bbbbbbbbbbbb', who: ada },
}

function open(ctx: Context) {
  const rows = Object.values(tasks)
  const table = (of: (one: typeof rows[number]) => [string, unknown]) => new Map(rows.map(of))
  const tables: Tables = new Map([
    ['hostTranches', table(({ tranche }) => [tranche, { home, contract: tranche }])],
    ['hostJobs', table(({ tranche, job, who }) =>
      [tranche, { job, document: { key: toHex(who.key.publicKey) } }])],
    ['hostTasks', table(({ tranche }) => [taskKey(tranche, 0), { state: 'running' }])],
  ])
  const door = openTaskDoor({
    loop: { tables } as Loop, workspace: {} as Workspace,
    driver: { enter: async () =>
      ok({ words: [], environment: { PATH: process.env['PATH'] ?? '' }, cwd: ctx.tmp() }) },
  })
  ctx.after(() => door.stop())
  return door
}

let nonce = 0
const session = 'ab'.repeat(16)

function noteOf(
  { job, who }: typeof tasks.ada, exec: Partial<Exec>, change: Partial<JobRequest> = {},
): string {
  const whole: Exec = {
    session, task: 0, command: [], terminal: 0, rows: 0, columns: 0, input: '', before: 0, end: 0,
    ...exec,
  }
  return signRequest({
    verb: 'exec', job, user: who.user, key: toHex(who.key.publicKey), home, via: home,
    at: clock.now(), nonce: (++nonce).toString(16).padStart(32, '0'), exec: whole, ...change,
  }, { name: userSignerName(who.user), key: who.key })
}

async function ask(
  door: ReturnType<typeof open>, { tranche }: typeof tasks.ada, note: string, offset = 0,
): Promise<Readonly<Record<string, unknown>>> {
  const text = taskMark + encode({ kind: 'exec', tranche, task: 0, note, offset })
  const answer = decode(await door.answer(home, text), { bytesMax: 2 ** 20 })
  return assert.accepted(answer) as Readonly<Record<string, unknown>>
}

t('who has heard the name of a session does not get into it', async (ctx) => {
  const door = open(ctx)
  const begun = await ask(door, tasks.ada, noteOf(tasks.ada, { command: ['cat'] }))
  assert.equal(begun['kind'], 'session')
  const spied = await ask(door, tasks.eve, noteOf(tasks.eve, { input: 'cm0gLXJmCg==' }))
  assert.equal(spied['kind'], 'refused')
  const again = await ask(door, tasks.ada, noteOf(tasks.ada, {}))
  assert.equal([again['kind'], again['bytes'], again['taken']], ['session', '', 0])
  const elsewhere = await ask(door, tasks.other, noteOf(tasks.other, { command: ['cat'] }))
  assert.equal(elsewhere['kind'], 'refused')
  const anyJob = noteOf(tasks.ada, { command: ['cat'], session: 'cd'.repeat(16) }, { job: '' })
  assert.equal((await ask(door, tasks.ada, anyJob))['kind'], 'refused')
})

t('a process is begun once, also by a host that has started anew', async (ctx) => {
  const door = open(ctx)
  const note = noteOf(tasks.ada, { command: ['true'] }, { at: clock.now() - 1_000 })
  assert.match(String((await ask(door, tasks.ada, note))['detail']), 'ask again')
  const now = noteOf(tasks.ada, { command: ['true'] })
  const first = await eventually(async () => {
    const answer = await ask(door, tasks.ada, now)
    return answer['over'] === 1 ? answer : undefined
  })
  assert.equal(first['code'], 0)
  assert.match(String((await ask(door, tasks.ada, now))['detail']), 'over')
})

t('what a process does not read is not taken without end', async (ctx) => {
  const door = open(ctx)
  const piece = Buffer.alloc(64 * 1024)
  let before = 0
  for (let tries = 0; tries < 40; tries++) {
    const answer = await ask(door, tasks.ada, noteOf(tasks.ada, {
      ...(tries === 0 && { command: ['sh', '-c', 'while :; do echo x; sleep 0.01; done'] }),
      input: piece.toString('base64'), before,
    }), tries * 1_000)
    before = Number(answer['taken'])
  }
  assert.ok(before >= 2 ** 20 && before < 2 ** 20 + 4 * piece.length, `${before} bytes were taken`)
})

t('a task has a few sessions and no more', async (ctx) => {
  const door = open(ctx)
  const kinds: unknown[] = []
  for (let n = 0; n < 5; n++) {
    const note = noteOf(tasks.ada, { command: ['cat'], session: String(n).repeat(32) })
    kinds.push((await ask(door, tasks.ada, note))['kind'])
  }
  assert.equal(kinds, ['session', 'session', 'session', 'session', 'refused'])
})
