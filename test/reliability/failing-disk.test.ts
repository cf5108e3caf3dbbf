// The disk of a real node fails under it: every sync of its database is refused from one moment on.
// It stops, has told nobody anything that is not on the disk, and starts again as one history.
// time limit: 240 s

import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import type { LedgerEntryRow } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import type { Federation } from '../e2e/federation.ts'
import { booksHold, entriesOf, everybodyMeets, openFederation } from '../e2e/federation.ts'
import type { Site } from '../e2e/site.ts'
import type { Context } from '../harness.ts'
import { assert, eventually, suite } from '../harness.ts'
import { demandStrace, filesUnder } from './strace.ts'

const t = suite('failing disk')

let federation: Federation
t.before(async (ctx) => {
  demandStrace(ctx)
  federation = await openFederation(ctx, { sites: [{ name: 'a.example' }, { name: 'b.example' }] })
}, { timeoutSeconds: 90 })

/** From now on `call` fails on the files of the site's database. */
async function failFromNow(ctx: Context, site: Site, call: string, error: string): Promise<void> {
  const strace: ChildProcess = spawn('strace', [
    '-f', '-o', '/dev/null', '-e', `trace=${call}`, '-e', `inject=${call}:error=${error}`,
    ...filesUnder(site.directory).flatMap((path) => ['-P', path]), '-p', String(site.pid()),
  ], { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  strace.stderr?.setEncoding('utf8').on('data', (text: string) => void (said += text))
  const over = new Promise((resolve) => strace.once('close', resolve))
  ctx.after(async () => {
    strace.kill('SIGTERM')
    await over
  })
  await eventually(() => {
    if (strace.exitCode !== null) throw new Error(said)
    return /attached/.test(said)
  }, { timeoutSeconds: 30, what: 'strace is attached' })
}

function grant(limit: number): { site: string, limit: string } {
  return { site: 'b.example', limit: String(limit) }
}

/** The statements of one site in the log of another, in the order of their numbers. */
async function saidBy(name: string, at: Site): Promise<LedgerEntryRow[]> {
  return (await entriesOf(at)).filter(({ from, to }) => from === name && to === at.name)
}

const faults = [
  { call: 'fdatasync', error: 'EIO', told: /writing to the database .*Input\/output error/ },
  { call: 'write', error: 'ENOSPC', told: /the disk is full; make room and start again/ },
] as const

for (const { call, error, told } of faults) {
  t(`${call} fails with ${error}`, async (ctx) => {
    const [a, b] = federation.sites as [Site, Site]
    for (let limit = 1; limit <= 5; limit++) await a.client.post(apiPaths.credit, grant(limit))
    await everybodyMeets(federation)
    const before = await saidBy(a.name, b)
    assert.equal(before.at(-1)?.body['limit'], '5')

    await failFromNow(ctx, a, call, error)
    const answers = await Promise.allSettled([6, 7, 8].map((limit) =>
      a.client.post(apiPaths.credit, grant(limit))))
    assert.equal(answers.map(({ status }) => status), ['rejected', 'rejected', 'rejected'])
    await eventually(() => !a.running(), { timeoutSeconds: 30, what: 'the node has stopped' })
    assert.match(a.log(), /the node cannot go on; start it again when this is mended/)
    assert.match(a.log(), told)
    assert.equal(await saidBy(a.name, b), before, 'the other site was told nothing')

    await a.start()
    await everybodyMeets(federation)
    await a.client.post(apiPaths.credit, grant(100))
    await everybodyMeets(federation)
    const after = await saidBy(a.name, b)
    assert.equal(after.slice(0, before.length), before)
    assert.equal(after.map(({ number }) => number), after.map((_, at) => at + 1))
    assert.equal(after.at(-1)?.body['limit'], '100')
    const own = (await entriesOf(a)).filter(({ from, to }) => from === a.name && to === b.name)
    assert.equal(own.map(({ sid }) => sid), after.map(({ sid }) => sid), 'both have the same')
    await booksHold(federation)
  }, { timeoutSeconds: 100 })
}
