// Who is no member may ask to join, within bounds, and may do nothing else.

import { netBounds } from '../../node/net/bounds.ts'
import { frameKind, frameOf } from '../../node/net/frames.ts'
import { joinVia } from '../../node/net/network.ts'
import type { JoinOptions } from '../../node/net/door.ts'
import { protocolsOf } from '../../node/net/serve.ts'
import { assert, eventually, suite } from '../harness.ts'
import type { Context } from '../harness.ts'
import { startRaw, streamOver } from './raw.ts'
import {
  codeOfRejection, federate, federation, networkKeyOf, openProxy, seedOf, siteName, startSite,
} from './site.ts'
import type { Site } from './site.ts'

const t = suite('net: strangers and joining')
const open = async (ctx: Context): Promise<Site> =>
  startSite(ctx, 'a.example', { onJoin: async (request) => `welcome, ${request}` })
const joining = (sponsor: Site, more: Partial<JoinOptions> = {}): JoinOptions => ({
  networkSecret: seedOf('joiner'),
  addresses: sponsor.member().addresses,
  sponsorKey: networkKeyOf(sponsor.name),
  federation,
  request: 'token',
  timeoutMs: 20_000,
  ...more,
})

t('a stranger asks to join and gets the answer', async (ctx) => {
  const asked: string[] = []
  const a = await startSite(ctx, 'a.example', {
    onJoin: async (request, remoteAddress) => {
      asked.push(remoteAddress)
      return `welcome, ${request}`
    },
  })
  assert.equal(await joinVia(joining(a)), 'welcome, token')
  assert.match(asked[0] ?? '', /^\/ip4\/127\.0\.0\.1\/tcp\/[0-9]+/)
  await eventually(() => a.network.counters()['connections'] === 0)
})

t('the first address that answers is enough', async (ctx) => {
  const a = await open(ctx)
  const addresses = ['/ip4/127.0.0.1/tcp/1', ...a.member().addresses]
  assert.equal(await joinVia(joining(a, { addresses })), 'welcome, token')
})

t('a refusal to join carries its code and text', async (ctx) => {
  const a = await startSite(ctx, 'a.example', {
    onJoin: async () => {
      throw Object.assign(new Error('the token was used before'), { code: 'token-spent' })
    },
  })
  assert.equal(await codeOfRejection(joinVia(joining(a))), 'refused:token-spent')
  await assert.rejects(joinVia(joining(a)), /the token was used before/)
})

t('our own fault while answering is not told to a stranger', async (ctx) => {
  const faults: unknown[] = []
  const a = await startSite(ctx, 'a.example', {
    onJoin: async () => {
      throw new Error('secret detail')
    },
    log: (level, _text, fields) => {
      if (level === 'error') faults.push(fields['reason'])
    },
  })
  assert.equal(await codeOfRejection(joinVia(joining(a))), 'refused:internal')
  assert.equal(faults, ['secret detail'])
})

t('somebody else at the sponsor\'s address is not asked', async (ctx) => {
  const a = await open(ctx)
  const sponsorKey = networkKeyOf('somebody else')
  assert.equal(await codeOfRejection(joinVia(joining(a, { sponsorKey }))), 'down')
  assert.equal(a.network.counters()['joinsReceived'] ?? 0, 0)
})

t('a sponsor that cannot be reached, and one that never answers', async (ctx) => {
  const a = await startSite(ctx, 'a.example', { onJoin: () => new Promise<string>(() => {}) })
  const addresses = ['/ip4/127.0.0.1/tcp/1']
  assert.equal(await codeOfRejection(joinVia(joining(a, { addresses }))), 'down')
  assert.equal(await codeOfRejection(joinVia(joining(a, { timeoutMs: 1_000 }))), 'timeout')
  const proxy = await openProxy(ctx, a.member().addresses[0] ?? '')
  proxy.freeze()
  const frozen = joining(a, { addresses: [proxy.address], timeoutMs: 1_000 })
  assert.equal(await codeOfRejection(joinVia(frozen)), 'timeout')
})

t('another federation\'s joiner is refused', async (ctx) => {
  const a = await open(ctx)
  const other = joining(a, { federation: 'e1'.repeat(32) })
  assert.equal(await codeOfRejection(joinVia(other)), 'broken')
})

t('a stranger is refused every protocol but joining', async (ctx) => {
  const a = await open(ctx)
  const raw = await startRaw(ctx, 'raw')
  const protocols = protocolsOf(federation)
  const hello = JSON.stringify({ incarnation: '0123456789abcdef', opens: 1 })
  for (const [protocol, frame] of [
    [protocols.message, frameOf(frameKind.hello, hello)],
    [protocols.request, frameOf(frameKind.text, 'x')],
    [protocols.fetch, frameOf(frameKind.text, 'x')],
    ['/meshsub/1.2.0', frameOf(frameKind.text, 'x')],
  ] as const) {
    const { pipe } = await raw.open(a.member(), protocol)
    await pipe.write(frame).catch(() => undefined)
    await streamOver(pipe)
  }
  assert.equal(a.network.counters()['streamsRefused'], 4)
  assert.equal(a.peerEvents, [])
})

t('where nobody may ask to join, a stranger is not even connected', async (ctx) => {
  const a = await startSite(ctx, 'a.example')
  // The sponsor closes after the handshake, which the joiner may see during its dial or just after.
  assert.match(await codeOfRejection(joinVia(joining(a))), /^(down|broken)$/)
  await eventually(() => a.network.counters()['strangersRefused'] === 1)
})

t('strangers are few, may not stay, and do not keep members out', async (ctx) => {
  const bounds = { strangersMax: 2, strangerMs: 1_500 }
  const a = await startSite(ctx, 'a.example', { bounds, onJoin: async () => 'welcome' })
  for (const name of ['first', 'second', 'third']) {
    const raw = await startRaw(ctx, name)
    await raw.dial(a.member()).catch(() => undefined)
  }
  await eventually(() => a.network.counters()['strangersRefused'] === 1)
  const b = await startSite(ctx, 'b.example')
  await federate([a, b])
  await eventually(() => a.network.counters()['connections'] === 1)
  assert.ok(a.network.isUp(b.name))
})

t('requests to join are bounded in size and rate', async (ctx) => {
  const a = await startSite(ctx, 'a.example', {
    bounds: { joinsPerMinute: 3 },
    onJoin: async () => 'welcome',
  })
  const raw = await startRaw(ctx, 'raw')
  const { pipe } = await raw.open(a.member(), protocolsOf(federation).join)
  const large = frameOf(frameKind.text, 'x'.repeat(netBounds.joinRequestBytes + 1))
  await pipe.write(large).catch(() => undefined)
  await streamOver(pipe)
  assert.equal(a.network.counters()['framesMalformed'], 1)
  const codes: string[] = []
  for (let index = 0; index < 4; index += 1) codes.push(await codeOfRejection(joinVia(joining(a))))
  assert.equal(codes.slice(0, 2), ['no error', 'no error'])
  assert.equal(codes[3], 'broken')
  assert.ok((a.network.counters()['joinsRateLimited'] ?? 0) >= 1)
})

t('who joined is linked once it is a member', async (ctx) => {
  const a = await open(ctx)
  const b = await startSite(ctx, 'joiner.example', { networkSecret: seedOf('joiner') })
  assert.equal(await joinVia(joining(a)), 'welcome, token')
  b.network.setMembers([a.member()])
  await eventually(() => (b.network.counters()['dialsFailed'] ?? 0) >= 1)
  a.network.setMembers([{ ...b.member(), site: b.name, networkKey: networkKeyOf('joiner') }])
  await eventually(() => a.network.isUp(siteName('joiner.example')) && b.network.isUp(a.name))
})
