// The commands that change a job against a node's answers: what is signed and sent, and what people
// and scripts read.

import { parseSealed } from '../../protocol/base/envelope.ts'
import { assert, suite } from '../harness.ts'
import type { Context } from '../harness.ts'
import type { Ran, Routes } from './fixture-node.ts'
import { fixtureNode, refused, run } from './fixture-node.ts'
import { activeDetail, activeJob } from './fixtures.ts'

const t = suite('verbs')

interface Asked {
  readonly ran: Ran
  /** The bodies of the notes that were sent, with what came with them. */
  readonly notes: readonly { readonly site: string; readonly body: Record<string, unknown> }[]
}

async function ask(ctx: Context, routes: Routes, words: readonly string[]): Promise<Asked> {
  const { directory, asked } = await fixtureNode(ctx, {
    'GET /v1/info': { json: { site: 'c.example' } }, ...routes,
  })
  const [name = '', ...rest] = words
  const ran = await run(ctx, [name, '--dir', directory, ...rest], { columns: 80 })
  const notes = asked.filter(({ path }) => path === '/v1/ask').map(({ text }) => {
    const { site, note } = JSON.parse(text) as { site: string; note: string }
    const sealed = assert.accepted(parseSealed(note, { bytesMax: 100_000 }))
    return { site, body: sealed.body as Record<string, unknown> }
  })
  return { ran, notes }
}

const answer = (detail: string) =>
  ({ json: { kind: 'value', value: { detail, job: activeDetail } } })
const here: Routes = { 'GET /v1/jobs/3f2a': { json: activeDetail } }

t('hold signs for this home and says what was done', async (ctx) => {
  const routes = { ...here, 'POST /v1/ask': answer('held: 8 of 16 tasks here') }
  const { ran, notes } = await ask(ctx, routes, ['hold', '3f2a[7,3-4]'])
  assert.equal([ran.code, ran.err, ran.out],
    [0, '', 'job 3f2a91c0b7d4 held: 8 of 16 tasks here\n'])
  const [{ site, body } = { site: '', body: {} as Record<string, unknown> }] = notes
  assert.equal([site, body['home'], body['via']], ['c.example', 'c.example', 'c.example'])
  assert.equal([body['verb'], body['tasks'], body['job']], ['hold', '3-4,7', '3f2a91c0b7d4'])
})

t('a job of another home is found, and asked there', async (ctx) => {
  let turn = 0
  const found = [
    { json: { kind: 'value', value: { site: 'a.example', job: '3f2a91c0b7d4' } } },
    { json: { kind: 'value', value: activeDetail } },
    answer('suspend; told b.example'),
  ]
  const routes: Routes = {
    'GET /v1/jobs/3f2a': refused(404, 'not_found', 'no job 3f2a at this site'),
    'POST /v1/ask': () => found[turn++]!,
  }
  const { ran, notes } = await ask(ctx, routes, ['suspend', '3f2a'])
  assert.equal([ran.code, ran.err], [0, ''])
  assert.equal(notes.map(({ site, body }) => [site, body['verb'], body['home']]), [
    ['', 'locate', ''], ['a.example', 'status', 'a.example'], ['a.example', 'suspend', 'a.example'],
  ])
})

t('shows what sites refuse, and exits with 1', async (ctx) => {
  const routes: Routes = {
    ...here,
    'POST /v1/ask': (asked) => {
      const { note } = JSON.parse(asked.text) as { note: string }
      const sealed = assert.accepted(parseSealed(note, { bytesMax: 100_000 }))
      const { nonce } = sealed.body as { nonce: string }
      const sites = [{ site: 'b.example', tasks: '1', state: 'refused', words: 'unable: no' }]
      const row = { verb: 'signal', nonce, tasks: '', epochMs: 1, detail: 'signal', sites }
      const job = { ...activeDetail, asked: [row] }
      return { json: { kind: 'value', value: { detail: 'signal; told b.example', job } } }
    },
  }
  const { ran, notes } = await ask(ctx, routes, ['signal', 'sigusr1', '3f2a'])
  assert.equal(ran.code, 1)
  assert.match(ran.out, '  tasks 1 at b.example: refused: unable: no\n')
  assert.equal(notes[0]?.body['signal'], 'USR1')
  const bad = await ask(ctx, here, ['signal', 'USR9', '3f2a'])
  assert.equal([bad.ran.code, bad.notes.length], [2, 0])
})

t('alter says what is altered; filters choose one\'s own open jobs', async (ctx) => {
  const jobs = [activeJob, { ...activeJob, job: '41bb00000000', name: 'other' }]
  const routes: Routes = {
    'GET /v1/jobs': { json: jobs }, 'GET /v1/jobs/3f2a91c0b7d4': { json: activeDetail },
    'POST /v1/ask': answer('altered'),
  }
  const words = ['alter', '--name', activeJob.name, '--walltime', '2h', '--budget', '3.5']
  const { ran, notes } = await ask(ctx, routes, [...words, '--begin', 'now+1h', '--sites', ''])
  assert.equal([ran.code, ran.err], [0, ''])
  assert.equal(notes.map(({ body }) => body['change']), [{
    walltime_seconds: 7_200, budget: '3500000', begin_ms: Date.UTC(2026, 2, 1, 13), sites: [],
  }])
  const both = await ask(ctx, routes, ['hold', '--name', 'x', '3f2a'])
  assert.equal(both.ran.code, 2)
  const nothing = await ask(ctx, here, ['alter', '3f2a'])
  assert.match(nothing.ran.err, 'say what to alter')
})
