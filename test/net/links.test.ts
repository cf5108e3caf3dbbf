// Message links on real sockets: order, one stream a pair, broken and silent peers, hostile frames.

import { limits } from '../../protocol/base/limits.ts'
import { frameKind, frameOf, headerOf } from '../../node/net/frames.ts'
import { protocolsOf } from '../../node/net/serve.ts'
import { assert, eventually, suite } from '../harness.ts'
import { startRaw, streamOver } from './raw.ts'
import {
  federate, federation, networkKeyOf, openProxy, seedOf, siteName, startSite,
} from './site.ts'
import type { Site } from './site.ts'

const t = suite('net: message links')
const nowhere = { site: siteName('nowhere.example'), networkKey: networkKeyOf('nowhere') }

t('two sites link and exchange messages in order', async (ctx) => {
  const a = await startSite(ctx, 'a.example')
  const b = await startSite(ctx, 'b.example')
  await federate([a, b])
  const texts = Array.from({ length: 2_000 }, (_, index) => `message ${index} äöü`)
  for (const text of texts) {
    assert.equal(a.network.send(b.name, text), 'queued')
    assert.equal(b.network.send(a.name, text), 'queued')
  }
  await eventually(() => a.messages.length === texts.length && b.messages.length === texts.length)
  assert.equal(b.messages.map((message) => message.text), texts)
  assert.equal(a.messages.map((message) => message.text), texts)
  assert.ok(b.messages.every((message) => message.from === a.name))
})

t('a message of the greatest allowed size arrives whole', async (ctx) => {
  const a = await startSite(ctx, 'a.example')
  const b = await startSite(ctx, 'b.example')
  await federate([a, b])
  const text = 'x'.repeat(limits.messageBytes)
  assert.equal(a.network.send(b.name, text), 'queued')
  await eventually(() => b.messages.length === 1)
  assert.ok(b.messages[0]?.text === text)
  assert.throws(() => a.network.send(b.name, `${text}x`), /messageBytes/)
})

t('three sites have one link for each pair, whoever dialled', async (ctx) => {
  const sites: Site[] = []
  for (const name of ['a.example', 'b.example', 'c.example']) sites.push(await startSite(ctx, name))
  await federate(sites)
  for (const site of sites) {
    for (const other of sites) {
      if (other !== site) assert.equal(site.network.send(other.name, 'hello'), 'queued')
    }
  }
  await eventually(() => sites.every((site) => site.messages.length === 2))
})

t('both dial at once: exactly one stream stays and no message is lost', async (ctx) => {
  const atOnce = { redialFirstMs: 1, redialSecondMs: 1, redialBaseMs: 50 }
  for (let round = 0; round < 8; round += 1) {
    const a = await startSite(ctx, `a${round}.example`, { bounds: atOnce })
    const b = await startSite(ctx, `b${round}.example`, { bounds: atOnce })
    await federate([a, b])
    await eventually(() => {
      const { connections } = a.network.counters()
      return connections === 1 && b.network.counters()['connections'] === 1
    }, { what: 'one connection is left' })
    assert.ok(a.network.isUp(b.name) && b.network.isUp(a.name), 'the link that is left is up')
    a.network.send(b.name, 'one')
    b.network.send(a.name, 'two')
    await eventually(() => a.messages.length === 1 && b.messages.length === 1)
    await Promise.all([a.stop(), b.stop()])
  }
}, { timeoutSeconds: 120 })

t('a peer that restarts is linked again, and both ends are told', async (ctx) => {
  const a = await startSite(ctx, 'a.example')
  const first = await startSite(ctx, 'b.example')
  await federate([a, first])
  await first.stop()
  await eventually(() => !a.network.isUp(first.name))
  assert.equal(a.network.send(first.name, 'lost'), 'down')
  const [address = ''] = first.member().addresses
  const second = await startSite(ctx, 'b.example', { listen: [address], members: [] })
  second.network.setMembers([{ ...a.member(), addresses: [] }])
  await eventually(() => a.network.isUp(first.name) && second.network.isUp(a.name))
  assert.equal(a.peerEvents, ['b.example up', 'b.example down', 'b.example up'])
  a.network.send(second.name, 'after')
  await eventually(() => second.messages.length === 1)
  assert.equal(second.messages[0]?.text, 'after')
})

t('a new incarnation replaces a link that the other side still believes in', async (ctx) => {
  const a = await startSite(ctx, 'a.example')
  const first = await startSite(ctx, 'b.example')
  const proxy = await openProxy(ctx, a.member().addresses[0] ?? '')
  a.network.setMembers([{ ...first.member(), addresses: [] }])
  first.network.setMembers([{ ...a.member(), addresses: [proxy.address] }])
  await eventually(() => a.network.isUp(first.name) && first.network.isUp(a.name))
  // Nothing tells a that b is gone: the connection through the proxy just falls silent.
  proxy.freeze()
  const second = await startSite(ctx, 'b.example', { members: [a.member()] })
  await eventually(() => second.network.isUp(a.name))
  a.network.send(first.name, 'for the new one')
  await eventually(() => second.messages.length === 1)
  assert.equal(a.peerEvents, ['b.example up', 'b.example down', 'b.example up'])
})

t('a silent connection is found dead; the link comes back when bytes flow', async (ctx) => {
  const bounds = { heartbeatMs: 200, redialBaseMs: 100, handshakeMs: 1_000, dialMs: 1_000 }
  const a = await startSite(ctx, 'a.example', { bounds })
  const b = await startSite(ctx, 'b.example', { bounds })
  const proxy = await openProxy(ctx, b.member().addresses[0] ?? '')
  b.network.setMembers([{ ...a.member(), addresses: [] }])
  a.network.setMembers([{ ...b.member(), addresses: [proxy.address] }])
  await eventually(() => a.network.isUp(b.name) && b.network.isUp(a.name))
  proxy.freeze()
  await eventually(() => !a.network.isUp(b.name) && !b.network.isUp(a.name))
  // Whoever notices first ends the connection, which the other may hear of before it notices.
  const found = [a, b].map((site) => site.network.counters()['peersFoundDead'] ?? 0)
  assert.ok(found.some((count) => count >= 1))
  proxy.thaw()
  await eventually(() => a.network.isUp(b.name) && b.network.isUp(a.name))
})

t('a link that carries nothing is not taken for dead', async (ctx) => {
  const bounds = { heartbeatMs: 100, heartbeatsMissedMax: 50 }
  const a = await startSite(ctx, 'a.example', { bounds })
  const b = await startSite(ctx, 'b.example', { bounds: { heartbeatMs: 3_600_000 } })
  await federate([a, b])
  const before = a.network.counters()['linksMade']
  await eventually(() => (a.network.counters()['heartbeatsSent'] ?? 0) >= 5)
  assert.equal(a.network.counters()['linksMade'], before)
  assert.ok(a.network.isUp(b.name))
})

t('a queue that does not empty refuses at its bounds', async (ctx) => {
  const bounds = { sendQueueFrames: 100, sendQueueBytes: 4 * 1024 * 1024 }
  const a = await startSite(ctx, 'a.example', { bounds })
  const b = await startSite(ctx, 'b.example')
  const proxy = await openProxy(ctx, b.member().addresses[0] ?? '')
  b.network.setMembers([{ ...a.member(), addresses: [] }])
  a.network.setMembers([{ ...b.member(), addresses: [proxy.address] }])
  await eventually(() => a.network.isUp(b.name) && b.network.isUp(a.name))
  // Within one turn of the event loop nothing leaves, so the bound shows exactly.
  const answers = Array.from({ length: 101 }, () => a.network.send(b.name, 'small'))
  assert.equal(answers.filter((answer) => answer === 'queued').length, 100)
  assert.equal(answers.at(-1), 'full')
  await eventually(() => b.messages.length === 100)
  proxy.freeze()
  const text = 'x'.repeat(1024 * 1024)
  await eventually(() => {
    const answer = a.network.send(b.name, text)
    return answer === 'full'
  })
  assert.ok((a.network.counters()['messagesRefusedFull'] ?? 0) >= 2)
})

t('who is no member any more is disconnected and stays out', async (ctx) => {
  const a = await startSite(ctx, 'a.example')
  const b = await startSite(ctx, 'b.example')
  const c = await startSite(ctx, 'c.example')
  await federate([a, b, c])
  a.network.setMembers([a.member(), c.member()])
  assert.ok(!a.network.isUp(b.name))
  assert.equal(a.network.send(b.name, 'x'), 'down')
  await eventually(() => !b.network.isUp(a.name))
  await eventually(() => (a.network.counters()['strangersRefused'] ?? 0) >= 1)
  assert.ok(!b.network.isUp(a.name) && a.network.isUp(c.name))
  const events = a.peerEvents.filter((event) => event.startsWith('b.'))
  assert.equal(events, ['b.example up', 'b.example down'])
})

t('a member with another key is disconnected; the new key is who links', async (ctx) => {
  const a = await startSite(ctx, 'a.example')
  const b = await startSite(ctx, 'b.example')
  await federate([a, b])
  const next = await startSite(ctx, 'b.example', { networkSecret: seedOf('b, second key') })
  const networkKey = networkKeyOf('b, second key')
  a.network.setMembers([{ ...next.member(), networkKey }])
  assert.ok(!a.network.isUp(b.name))
  next.network.setMembers([a.member()])
  await eventually(() => a.network.isUp(b.name) && next.network.isUp(a.name))
  a.network.send(b.name, 'to the new key')
  await eventually(() => next.messages.length === 1)
  assert.equal(b.messages, [])
})

t('a member whose key or address makes no sense does not stop the others', async (ctx) => {
  const warnings: string[] = []
  const log = (level: string, text: string): void => {
    if (level === 'warn') warnings.push(text)
  }
  const a = await startSite(ctx, 'a.example', { log })
  const b = await startSite(ctx, 'b.example')
  b.network.setMembers([a.member()])
  a.network.setMembers([
    { ...nowhere, networkKey: new Uint8Array(5), addresses: [] },
    { ...b.member(), addresses: ['not an address', ...b.member().addresses] },
  ])
  await eventually(() => a.network.isUp(b.name))
  assert.equal(warnings.length, 2)
})

for (const [what, frame] of [
  ['an oversize frame', headerOf(frameKind.text, limits.messageBytes + 1)],
  ['a frame of an unknown kind', frameOf(77, 'x')],
  ['a frame that is not UTF-8', frameOf(frameKind.text, new Uint8Array([0xff, 0xfe]))],
] as const) {
  t(`${what} is counted and ends the stream; nothing is delivered`, async (ctx) => {
    const a = await startSite(ctx, 'a.example')
    const raw = await startRaw(ctx, 'raw')
    a.network.setMembers([{ ...nowhere, networkKey: networkKeyOf('raw'), addresses: [] }])
    const { pipe } = await raw.open(a.member(), protocolsOf(federation).message)
    const hello = JSON.stringify({ incarnation: '0123456789abcdef', opens: 1 })
    await pipe.write(frameOf(frameKind.hello, hello))
    await eventually(() => a.network.isUp(nowhere.site))
    await pipe.write(frameOf(frameKind.text, 'good'))
    await pipe.write(frame)
    await streamOver(pipe)
    await eventually(() => !a.network.isUp(nowhere.site))
    assert.equal(a.messages.map((message) => message.text), ['good'])
    assert.equal(a.network.counters()['framesMalformed'], 1)
  })
}

t('a hello that is none is refused and counted', async (ctx) => {
  const a = await startSite(ctx, 'a.example')
  a.network.setMembers([{ ...nowhere, networkKey: networkKeyOf('raw'), addresses: [] }])
  const raw = await startRaw(ctx, 'raw')
  for (const hello of ['no json', '{}', '{"incarnation":"x","opens":1}', 'null', '{"opens":-1}']) {
    const { pipe } = await raw.open(a.member(), protocolsOf(federation).message)
    await pipe.write(frameOf(frameKind.hello, hello))
    await streamOver(pipe)
  }
  await eventually(() => a.network.counters()['framesMalformed'] === 5)
  assert.equal(a.peerEvents, [])
})

t('an address that is taken is an error that says so', async (ctx) => {
  const a = await startSite(ctx, 'a.example')
  const { addresses } = a.member()
  await assert.rejects(startSite(ctx, 'b.example', { listen: addresses }), /could not listen on/)
})
