// init and join: whole directories or none, and a sponsor that is believed no further than it can
// prove.

import { spawn } from 'node:child_process'
import {
  chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { SiteName } from '../../protocol/base/ids.ts'
import { draft } from '../../protocol/base/tables.ts'
import type { CoreTables } from '../../protocol/machine/state.ts'
import { ledgerHead } from '../../protocol/rules/ledger-book.ts'
import { isMember } from '../../protocol/rules/ledger.ts'
import type { JoinAnswer } from '../../protocol/rules/membership.ts'
import { encodeJoinAnswer, readJoinAnswer } from '../../protocol/rules/membership.ts'
import { readConfig } from '../../node/config.ts'
import { init, join as joinFederation } from '../../node/enrol.ts'
import { keyUses, readKeys } from '../../node/identity.ts'
import { acquireLock } from '../../node/lock.ts'
import { openStore } from '../../node/store/level.ts'
import { assert, suite } from '../harness.ts'
import type { Context } from '../harness.ts'
import { listen, startSponsor } from './sponsor.ts'

async function tablesOf(directory: string): Promise<ReturnType<typeof draft<CoreTables>>> {
  const store = await openStore(join(directory, 'db'))
  try {
    return draft<CoreTables>(await store.loadAll())
  } finally {
    await store.close()
  }
}

async function newSite(ctx: Context, site: string): Promise<string> {
  const directory = join(ctx.tmp(), 'data')
  await init({ directory, site, listen })
  return directory
}

const join_ = (directory: string, token: string): ReturnType<typeof joinFederation> =>
  joinFederation({ directory, token, timeoutMs: 20_000 })

const t = suite('enrol')

t('init makes a private directory with config and keys', async (ctx) => {
  const directory = join(ctx.tmp(), 'deep', 'data')
  const site = 'site-a.example'
  const made = await init({ directory, site, listen, cores: 3, memoryBytes: 2 ** 30 })
  assert.equal(made.federation, undefined)
  assert.equal(readdirSync(directory).sort(), ['gridnode.toml', 'keys'])
  assert.equal(statSync(directory).mode & 0o777, 0o700)
  assert.equal(statSync(made.configPath).mode & 0o777, 0o600)
  assert.ok(readKeys(directory, keyUses).root)
  const config = readConfig(made.configPath)
  assert.equal(config.site.name, 'site-a.example')
  assert.ok(config.scheduler.kind === 'embedded')
  assert.equal([config.scheduler.cores, config.scheduler.memoryBytes], [3, 2 ** 30])
  assert.equal(readdirSync(join(directory, '..')), ['data'], 'nothing is left beside it')
})

t('init founds a federation: its ledger has two entries', async (ctx) => {
  const directory = join(ctx.tmp(), 'data')
  mkdirSync(directory)
  const set = { 'network.announce': '["/dns/site-a.example/tcp/7700"]' }
  const made = await init({ directory, site: 'site-a.example', found: 'our-grid', listen, set })
  assert.match(made.federation ?? '', /^[0-9a-f]{64}$/)
  const view = await tablesOf(directory)
  const head = ledgerHead(view)
  assert.equal([head?.frontier.size, head?.federation, head?.federationName, head?.founder],
    [2, made.federation, 'our-grid', 'site-a.example'])
  assert.ok(isMember(view, 'site-a.example' as SiteName))
  assert.equal(view.get('members', 'site-a.example')?.addresses, ['/dns/site-a.example/tcp/7700'])
  assert.match(view.get('federationNote', 'own') ?? '', /^gridnode\/v1\/federation\n/)
})

t('init touches nothing that is there, and leaves nothing when it fails', async (ctx) => {
  const parent = ctx.tmp()
  const directory = join(parent, 'data')
  await init({ directory, site: 'site-a', listen })
  const before = readFileSync(join(directory, 'gridnode.toml'), 'utf8')
  await assert.rejects(init({ directory, site: 'site-b', listen }),
    /is the data directory of a site already .* nothing was changed. Choose another --dir/)
  assert.equal(readFileSync(join(directory, 'gridnode.toml'), 'utf8'), before)
  const used = join(parent, 'used')
  mkdirSync(used)
  writeFileSync(join(used, 'thesis.tex'), '')
  const busy = { directory: used, site: 'site-b', listen }
  await assert.rejects(init(busy), /not empty \(it has thesis/)
  await assert.rejects(init({ directory: join(used, 'thesis.tex'), site: 'site-b', listen }),
    /expected a new directory, but .* is a file/)
  const fresh = join(parent, 'fresh')
  for (const [options, pattern] of [
    [{ site: 'Site B' }, /expected a site's name .* got "Site B"/],
    [{ site: 'b', found: 'Big Grid' }, /expected a federation's name .* got "Big Grid"/],
    [{ site: 'b', listen: ['nowhere'] }, /network.listen: expected a list of at most 16 addresses/],
    [{ site: 'b', set: { 'market.lease': '10' } }, /market.lease: expected a time/],
    [{ site: 'b', cores: 0 }, /scheduler.cores: expected a whole number/],
  ] as const) {
    await assert.rejects(init({ directory: fresh, listen, ...options }), pattern)
  }
  assert.equal(readdirSync(parent).sort(), ['data', 'used'])
})

t('init says whether the scheduler answers', async (ctx) => {
  const bin = ctx.tmp()
  const sinfo = join(bin, 'sinfo')
  const slurm = async (): Promise<string> => {
    const made = await init({
      directory: join(ctx.tmp(), 'data'), site: 'a', listen, scheduler: 'slurm',
      set: { 'scheduler.bin': JSON.stringify(bin), 'scheduler.conf': '"/some/slurm.conf"' },
    })
    return made.notes.join('\n')
  }
  assert.match(await slurm(), /Slurm does not answer yet \(cannot start .*sinfo/)
  writeFileSync(sinfo, '#!/bin/sh\necho "batch* 4 nodes, $SLURM_CONF"\n')
  chmodSync(sinfo, 0o755)
  assert.equal(await slurm(), 'Slurm answers: batch* 4 nodes, /some/slurm.conf.')
  writeFileSync(sinfo, '#!/bin/sh\necho "slurm_load_partitions: Unable to contact" >&2\nexit 1\n')
  assert.match(await slurm(), 'does not answer yet (slurm_load_partitions: Unable to contact)')
})

t('join makes a member, with the ledger that its sponsor has', async (ctx) => {
  const sponsor = await startSponsor(ctx, 'site-a.example')
  const directory = await newSite(ctx, 'site-b.example')
  const joined = await join_(directory, ` ${sponsor.invite()}\n`)
  assert.equal(joined, {
    site: 'site-b.example', federation: sponsor.federation, federationName: 'test',
    sponsor: 'site-a.example', members: ['site-a.example', 'site-b.example'],
  })
  const view = await tablesOf(directory)
  assert.ok(isMember(view, 'site-a.example' as SiteName))
  assert.ok(isMember(view, 'site-b.example' as SiteName))
  assert.ok(isMember(draft<CoreTables>(sponsor.tables), 'site-b.example' as SiteName))
  assert.equal(view.get('members', 'site-a.example')?.addresses, sponsor.addresses)
  assert.equal(ledgerHead(view)?.federation, sponsor.federation)
  assert.ok(!existsSync(join(directory, 'join.pending')))
  await assert.rejects(join_(directory, sponsor.invite()),
    /site-b.example is a member of test already .*gridnode start --dir/)
  const third = await newSite(ctx, 'site-0.example')
  assert.equal((await join_(third, sponsor.invite())).members.length, 3)
})

t('join can be repeated when the answer was lost, with the same token', async (ctx) => {
  const sponsor = await startSponsor(ctx, 'site-a.example')
  const directory = await newSite(ctx, 'site-b.example')
  const token = sponsor.invite()
  sponsor.meddle = () => '{}'
  await assert.rejects(join_(directory, token), /gave an answer that cannot be read/)
  await assert.rejects(join_(directory, token), /gave an answer that cannot be read/)
  sponsor.meddle = undefined
  assert.equal((await join_(directory, token)).members.length, 2)
  assert.equal(new Set(sponsor.requests).size, 1, 'the same request each time')
})

t('join says what is wrong with a token, before it asks anybody', async (ctx) => {
  const sponsor = await startSponsor(ctx, 'site-a.example')
  const directory = await newSite(ctx, 'site-b.example')
  await assert.rejects(join_(directory, 'hello'), /not a token to join with: expected a text that/)
  await assert.rejects(join_(directory, sponsor.invite().slice(0, -7)), /cut short or changed/)
  await assert.rejects(join_(directory, sponsor.invite({ expires: 1_000 })),
    /expired at 1970-01-01T00:00:01.000Z; ask site-a.example for a new one/)
  const nowhere = sponsor.invite({ addresses: [] })
  await assert.rejects(join_(directory, nowhere), /names no address of site-a/)
  const none = join(ctx.tmp(), 'none')
  await assert.rejects(join_(none, sponsor.invite()), /make one with `gridnode init`/)
  const same = await newSite(ctx, 'site-a.example')
  await assert.rejects(join_(same, sponsor.invite()), /made by site-a.example itself/)
  assert.equal(sponsor.requests, [])
})

t('join passes on why the sponsor refuses, and changes nothing', async (ctx) => {
  const sponsor = await startSponsor(ctx, 'site-a.example')
  const first = await newSite(ctx, 'site-b.example')
  const token = sponsor.invite()
  await join_(first, token)
  const second = await newSite(ctx, 'site-c.example')
  await assert.rejects(join_(second, token), /site-a.example refuses: the token was used by/)
  await assert.rejects(join_(second, sponsor.invite({ secret: '00'.repeat(16) })),
    /refuses: the token is unknown or has expired/)
  const impostor = await newSite(ctx, 'site-b.example')
  await assert.rejects(join_(impostor, sponsor.invite()), /site named site-b.example is a member/)
  assert.equal(ledgerHead(await tablesOf(second)), undefined)
  assert.equal((await join_(second, sponsor.invite())).members.length, 3)
})

t('join names the addresses of a sponsor that does not answer', async (ctx) => {
  const sponsor = await startSponsor(ctx, 'site-a.example')
  const directory = await newSite(ctx, 'site-b.example')
  const token = sponsor.invite()
  const stranger = sponsor.invite({ key: Buffer.from(readKeys(directory, ['network'])
    .network.publicKey).toString('hex') })
  await assert.rejects(join_(directory, stranger), /site-a.example gave no answer. Tried \/ip4/)
  await sponsor.stop()
  const error = await assert.rejects(join_(directory, token), /The token can be used again/)
  assert.match(error.message, sponsor.addresses[0] ?? 'none')
  assert.equal(ledgerHead(await tablesOf(directory)), undefined)
})

t('join believes nothing that does not verify', async (ctx) => {
  const sponsor = await startSponsor(ctx, 'site-a.example')
  const other = await startSponsor(ctx, 'site-x.example')
  const foreign = await newSite(ctx, 'site-y.example')
  let foreignAnswer: JoinAnswer | undefined
  other.meddle = (answer) => {
    foreignAnswer = assert.accepted(readJoinAnswer(answer))
    return answer
  }
  await join_(foreign, other.invite())
  const directory = await newSite(ctx, 'site-b.example')
  const lie = (change: (answer: JoinAnswer) => Partial<JoinAnswer>): void => {
    sponsor.meddle = (answer) => {
      const told = assert.accepted(readJoinAnswer(answer))
      return encodeJoinAnswer({ ...told, ...change(told) })
    }
  }
  const lies: readonly (readonly [(answer: JoinAnswer) => Partial<JoinAnswer>, RegExp])[] = [
    [() => ({ federation: foreignAnswer?.federation ?? '' }), /about another federation/],
    [() => ({ federation: 'nothing' }), /no statement of the federation/],
    [({ members }) => ({ members: members.slice(0, 1) }), /does not admit this site/],
    [({ members }) => ({ members: members.slice(1) }), /1 of its members: /],
    [({ members }) => ({ members: [...members, ...members.slice(0, 1)] }), /site-a.example twice/],
    [({ members }) => ({ members: [...members, ...(foreignAnswer?.members ?? []).slice(1)] }),
      /1 of its members: wrong_federation/],
    [({ members }) => ({ members: members.map((one) => ({ ...one, policy: '' })) }),
      /nobody in it admits site-b.example/],
    [({ members }) => ({ members: members.map((one) =>
      ({ ...one, policy: one.policy.replace(/"at":\d/, '"at":2') })) }),
    /1 of its members: bad_signature/],
  ]
  const token = sponsor.invite()
  for (const [change, pattern] of lies) {
    lie(change)
    const error = await assert.rejects(join_(directory, token), pattern)
    assert.match(error.message, 'the answer of site-a.example does not verify')
    assert.equal(ledgerHead(await tablesOf(directory)), undefined)
  }
  sponsor.meddle = undefined
  await join_(directory, token)
})

t('join does not work beside a running node', async (ctx) => {
  const sponsor = await startSponsor(ctx, 'site-a.example')
  const directory = await newSite(ctx, 'site-b.example')
  const lock = acquireLock(directory)
  await assert.rejects(join_(directory, sponsor.invite()), /a node runs on .* already/)
  lock.release()
  await join_(directory, sponsor.invite())
})

t('join that is killed at any moment can be repeated', async (ctx) => {
  const sponsor = await startSponsor(ctx, 'site-a.example')
  const program = new URL('programs/join.ts', import.meta.url).pathname
  const directory = await newSite(ctx, 'site-b.example')
  const token = sponsor.invite()
  // Killed when the request is on its way: the sponsor admits, and the joiner never hears of it.
  const child = spawn(process.execPath, [program, directory, token], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const gone = new Promise((resolve) => child.once('close', resolve))
  sponsor.meddle = (answer) => {
    child.kill('SIGKILL')
    return answer
  }
  await gone
  assert.equal(child.signalCode, 'SIGKILL')
  sponsor.meddle = undefined
  assert.ok(isMember(draft<CoreTables>(sponsor.tables), 'site-b.example' as SiteName))
  assert.equal((await join_(directory, token)).members, ['site-a.example', 'site-b.example'])
})
