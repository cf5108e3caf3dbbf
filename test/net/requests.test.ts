// Requests on real sockets: one question, one answer, or an error that says why not.

import { netBounds } from '../../node/net/bounds.ts'
import { headerOf, frameKind } from '../../node/net/frames.ts'
import { protocolsOf } from '../../node/net/serve.ts'
import { assert, eventually, suite } from '../harness.ts'
import { startRaw, streamOver } from './raw.ts'
import {
  codeOfRejection, federate, federation, networkKeyOf, openProxy, siteName, startSite,
} from './site.ts'

const t = suite('net: requests')

t('a request is answered with what the handler says to that site', async (ctx) => {
  const a = await startSite(ctx, 'a.example')
  const b = await startSite(ctx, 'b.example')
  await federate([a, b])
  const answer = await a.network.request(b.name, 'what', { timeoutMs: 20_000 })
  assert.equal(answer, 'a.example asked what')
  assert.equal(await a.network.request(b.name, '', { timeoutMs: 20_000 }), 'a.example asked ')
})

t('many requests at once are all answered; streams beyond the bound are busy', async (ctx) => {
  const bounds = { requestStreamsPerPeer: 16 }
  const held: (() => void)[] = []
  const a = await startSite(ctx, 'a.example', { bounds })
  const b = await startSite(ctx, 'b.example', {
    bounds,
    onRequest: async (_from, request) => {
      await new Promise<void>((resolve) => held.push(resolve))
      return request
    },
  })
  await federate([a, b])
  const asked = Array.from({ length: 16 }, (_, index) =>
    a.network.request(b.name, `${index}`, { timeoutMs: 30_000 }),
  )
  await eventually(() => held.length === 16)
  assert.equal(await codeOfRejection(a.network.request(b.name, 'x', { timeoutMs: 30_000 })), 'busy')
  for (const release of held) release()
  assert.equal(await Promise.all(asked), Array.from({ length: 16 }, (_, index) => `${index}`))
})

t('an answer of a megabyte arrives, one above the bound is refused', async (ctx) => {
  const a = await startSite(ctx, 'a.example')
  const b = await startSite(ctx, 'b.example', {
    onRequest: async (_from, request) => 'x'.repeat(Number(request)),
  })
  await federate([a, b])
  const most = netBounds.requestBytes
  const answer = await a.network.request(b.name, `${most}`, { timeoutMs: 30_000 })
  assert.equal(answer.length, most)
  const over = a.network.request(b.name, `${most + 1}`, { timeoutMs: 30_000 })
  assert.equal(await codeOfRejection(over), 'refused:refused')
})

t('a request without an answer times out, and the handler is told', async (ctx) => {
  let told = ''
  const a = await startSite(ctx, 'a.example')
  const b = await startSite(ctx, 'b.example', {
    onRequest: (_from, _request, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          told = 'gone'
          reject(signal.reason as Error)
        })
      }),
  })
  await federate([a, b])
  assert.equal(await codeOfRejection(a.network.request(b.name, 'x', { timeoutMs: 300 })), 'timeout')
  await eventually(() => told === 'gone')
  assert.ok(a.network.isUp(b.name), 'the link stays')
})

t('a request can be given up, before and while it runs', async (ctx) => {
  const started: AbortSignal[] = []
  const a = await startSite(ctx, 'a.example')
  const b = await startSite(ctx, 'b.example', {
    onRequest: (_from, _request, signal) => {
      started.push(signal)
      return new Promise<string>(() => {})
    },
  })
  await federate([a, b])
  const early = a.network.request(b.name, 'x', { timeoutMs: 30_000, signal: AbortSignal.abort() })
  assert.equal(await codeOfRejection(early), 'aborted')
  const giveUp = new AbortController()
  const running = a.network.request(b.name, 'x', { timeoutMs: 30_000, signal: giveUp.signal })
  await eventually(() => started.length === 1)
  giveUp.abort()
  assert.equal(await codeOfRejection(running), 'aborted')
  await eventually(() => started[0]?.aborted)
})

t('what the handler throws: a code travels, our own fault does not', async (ctx) => {
  const faults: unknown[] = []
  const a = await startSite(ctx, 'a.example')
  const b = await startSite(ctx, 'b.example', {
    onRequest: async (_from, request) => {
      if (request === 'code') throw Object.assign(new Error('no such log'), { code: 'not-found' })
      throw new TypeError('a private detail')
    },
    log: (level, _text, fields) => {
      if (level === 'error') faults.push(fields['reason'])
    },
  })
  await federate([a, b])
  const coded = a.network.request(b.name, 'code', { timeoutMs: 20_000 })
  assert.equal(await codeOfRejection(coded), 'refused:not-found')
  const fault = a.network.request(b.name, 'fault', { timeoutMs: 20_000 })
  await assert.rejects(fault, /^Error: internal error|internal error/)
  assert.equal(faults, ['a private detail'])
})

t('a request to nobody, to who is down, and one cut in the middle', async (ctx) => {
  const started: string[] = []
  const a = await startSite(ctx, 'a.example')
  const b = await startSite(ctx, 'b.example', {
    onRequest: (_from, request) => {
      started.push(request)
      return new Promise<string>(() => {})
    },
  })
  const ask = (site: string): Promise<string> =>
    a.network.request(siteName(site), 'x', { timeoutMs: 30_000 })
  assert.equal(await codeOfRejection(ask('b.example')), 'unknown-site')
  const proxy = await openProxy(ctx, b.member().addresses[0] ?? '')
  b.network.setMembers([{ ...a.member(), addresses: [] }])
  a.network.setMembers([
    { ...b.member(), addresses: [proxy.address] },
    { site: siteName('c.example'), networkKey: networkKeyOf('c'), addresses: [] },
  ])
  assert.equal(await codeOfRejection(ask('c.example')), 'down')
  await eventually(() => a.network.isUp(b.name))
  const cut = codeOfRejection(ask('b.example'))
  await eventually(() => started.length === 1)
  proxy.cut()
  assert.equal(await cut, 'broken')
})

t('an oversize request is counted and not handled', async (ctx) => {
  const handled: string[] = []
  const a = await startSite(ctx, 'a.example', {
    onRequest: async (_from, request) => {
      handled.push(request)
      return ''
    },
  })
  const raw = await startRaw(ctx, 'raw')
  const site = siteName('raw.example')
  a.network.setMembers([{ site, networkKey: networkKeyOf('raw'), addresses: [] }])
  const { pipe } = await raw.open(a.member(), protocolsOf(federation).request)
  await pipe.write(headerOf(frameKind.text, netBounds.requestBytes + 1))
  await streamOver(pipe)
  assert.equal(a.network.counters()['framesMalformed'], 1)
  assert.equal(handled, [])
})
