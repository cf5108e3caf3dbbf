// An allocation among real sites that give one another no credit at all: it is spent under a quorum
// of witnesses, at a host that replays the payer's log, and not while the quorum is away.
// time limit: 240 s

import type { FederationAnswer } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { suite, assert, eventually } from '../harness.ts'
import type { Federation } from './federation.ts'
import { booksHold, ended, jobOf, openFederation, whyOf } from './federation.ts'
import { logOf, submit } from './jobs.ts'
import type { Site } from './site.ts'

const t = suite('allocation')
let federation: Federation

const names = ['a.example', 'b.example', 'c.example', 'd.example'] as const
const founder = (): Site => federation.site('a.example')
const home = (): Site => federation.site('b.example')
const view = (site: Site): Promise<FederationAnswer> =>
  site.client.get<FederationAnswer>(apiPaths.federation)

t.before(async (ctx) => {
  federation = await openFederation(ctx, {
    sites: names.map((name) => ({ name, cores: 2, memoryMib: 1_024 })),
    set: { 'credit.default_limit': '"0 cr"', 'market.award_within': '"10s"' },
  })
}, { timeoutSeconds: 120 })

const job = {
  script: '#!/bin/sh\nsleep 1\necho "ran at $GRIDNODE_SITE"\n',
  walltimeSeconds: 10,
}

t('only the founder sets the policy, only an authority grants', async () => {
  const policy = { witnesses: [...names], quorum: 3, authorities: ['a.example'] }
  await assert.rejects(home().client.post(apiPaths.policy, policy), /only a\.example sets/)
  const grant = {
    grantee: 'b.example', name: 'physics', amount: '100000000', starts: Date.now() - 1_000,
    until: Date.now() + 3_600_000,
  }
  await assert.rejects(founder().client.post(apiPaths.grants, grant), /may not grant/)
  await founder().client.post(apiPaths.policy, policy)
  await assert.rejects(home().client.post(apiPaths.grants, grant), /may not grant/)
  await founder().client.post(apiPaths.grants, grant)
  for (const name of names) {
    await eventually(async () => {
      const { policy: known, grants } = await view(federation.site(name))
      return known?.quorum === 3 && grants.length === 1
    }, { timeoutSeconds: 40, what: `${name} has the policy and the allocation` })
  }
})

t('a job on an allocation runs where its home has no credit; the books hold', async () => {
  const options = { allocation: 'physics', place: 'remote' } as const
  const id = await submit(home(), { ...job, tasks: '1-4', options })
  const detail = await ended(home(), id, 120)
  assert.equal(detail.state, 'done', JSON.stringify(detail.note))
  assert.match(await logOf(home(), id, { task: 1 }), /^ran at [acd]\.example\n$/)
  await eventually(async () => (await view(home())).grants[0]?.held === '0', {
    timeoutSeconds: 40, what: 'nothing of the allocation is held any more',
  })
  const [grant] = (await view(home())).grants
  assert.equal(grant?.spent, (await jobOf(home(), id)).spent)
  assert.ok(BigInt(grant?.spent ?? 0) > 0n, 'the allocation has paid')
  const report = await booksHold(federation)
  assert.equal(report.pairs.filter(({ agreed }) => agreed > 0n), [], 'nobody owes anything')
}, { timeoutSeconds: 200 })

t('who has no such allocation is told so at once', async () => {
  const options = { allocation: 'chemistry' }
  await assert.rejects(submit(home(), { ...job, options }), /no allocation chemistry/)
})

t('without a quorum of witnesses no allocation is spent; with it the job goes on', async () => {
  const gone = federation.site('d.example')
  await gone.kill()
  const options = { allocation: 'physics', place: 'remote' } as const
  const id = await submit(home(), { ...job, options })
  await eventually(async () => {
    const { rounds } = await whyOf(home(), id)
    return JSON.stringify(rounds).includes('grant')
  }, { timeoutSeconds: 150, what: 'a host declines for want of a proof' })
  assert.equal((await jobOf(home(), id)).state, 'waiting')
  await gone.start()
  assert.equal((await ended(home(), id, 150)).state, 'done')
}, { timeoutSeconds: 340 })
