// Bulk streams on real sockets: whole or an error, in bounded memory, beside the messages.

import { createHash } from 'node:crypto'
import { headerOf, frameKind, frameOf } from '../../node/net/frames.ts'
import { netBounds } from '../../node/net/bounds.ts'
import { protocolsOf } from '../../node/net/serve.ts'
import type { NetworkOptions } from '../../node/net/door.ts'
import { assert, eventually, suite } from '../harness.ts'
import type { Context } from '../harness.ts'
import { startRaw, streamOver } from './raw.ts'
import {
  codeOfRejection, federate, federation, networkKeyOf, openProxy, siteName, startSite,
} from './site.ts'
import type { Proxy, Site } from './site.ts'

const t = suite('net: bulk streams')
const mebibyte = 1024 * 1024
const never = new AbortController().signal

/** Bytes that differ from chunk to chunk, so that a lost, doubled or moved one shows. */
function chunkOf(index: number, bytes: number): Uint8Array {
  const chunk = new Uint8Array(bytes)
  const words = new Uint32Array(chunk.buffer, 0, bytes >> 2)
  const start = index * 65_537
  for (let at = 0; at < words.length; at += 1) words[at] = Math.imul(start + at, 2_654_435_761)
  return chunk
}

interface Source {
  readonly options: Pick<NetworkOptions, 'onFetch'>
  produced: number
  readonly hash: ReturnType<typeof createHash>
  ended: string
}

/** Serves `header` bytes; remembers how many it was asked for and how it ended. */
function sourceOf(chunkBytes = 100_000): Source {
  const source: Source = {
    produced: 0,
    hash: createHash('sha256'),
    ended: '',
    options: {
      async *onFetch(_from, header, signal) {
        try {
          for (let left = Number(header), index = 0; left > 0; index += 1) {
            const chunk = chunkOf(index, Math.min(left, chunkBytes))
            source.hash.update(chunk)
            source.produced += chunk.byteLength
            left -= chunk.byteLength
            yield chunk
          }
          source.ended = 'complete'
        } finally {
          if (source.ended === '') source.ended = signal.aborted ? 'aborted' : 'returned'
        }
      },
    },
  }
  return source
}

async function read(parts: AsyncIterable<Uint8Array>): Promise<{ bytes: number; hash: string }> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const part of parts) {
    hash.update(part)
    bytes += part.byteLength
  }
  return { bytes, hash: hash.digest('hex') }
}

async function pair(ctx: Context, source: Source, more: Partial<NetworkOptions> = {}) {
  const a = await startSite(ctx, 'a.example', more)
  const b = await startSite(ctx, 'b.example', { ...source.options, ...more })
  await federate([a, b])
  return { a, b }
}

/** a reaches b through a proxy, so that the test can cut or freeze what is under way. */
async function pairWithProxy(ctx: Context, source: Source, more: Partial<NetworkOptions> = {}) {
  const a = await startSite(ctx, 'a.example', more)
  const b = await startSite(ctx, 'b.example', source.options)
  const proxy = await openProxy(ctx, b.member().addresses[0] ?? '')
  b.network.setMembers([{ ...a.member(), addresses: [] }])
  a.network.setMembers([{ ...b.member(), addresses: [proxy.address] }])
  await eventually(() => a.network.isUp(b.name) && b.network.isUp(a.name))
  return { a, b, proxy }
}

t('64 MiB arrive intact, on a connection of their own', async (ctx) => {
  const source = sourceOf()
  const { a, b } = await pair(ctx, source)
  const got = await read(a.network.fetch(b.name, `${64 * mebibyte}`, never))
  assert.equal(got, { bytes: 64 * mebibyte, hash: source.hash.digest('hex') })
  assert.equal(a.network.counters()['connections'], 2)
  assert.equal(a.network.counters()['fetchesOnMessageConnection'] ?? 0, 0)
})

t('streams of any shape: empty, one byte, odd and huge chunks', async (ctx) => {
  for (const [bytes, chunkBytes] of [[0, 1], [1, 1], [3_333, 7], [9_000_001, 9_000_001]] as const) {
    const source = sourceOf(chunkBytes)
    const { a, b } = await pair(ctx, source)
    const got = await read(a.network.fetch(b.name, `${bytes}`, never))
    assert.equal(got, { bytes, hash: source.hash.digest('hex') })
    await Promise.all([a.stop(), b.stop()])
  }
})

t('a slow reader holds the server back: memory stays bounded, nothing is lost', async (ctx) => {
  const source = sourceOf()
  const { a, b } = await pair(ctx, source)
  let consumed = 0
  let ahead = 0
  let parts = 0
  const hash = createHash('sha256')
  for await (const part of a.network.fetch(b.name, `${64 * mebibyte}`, never)) {
    ahead = Math.max(ahead, source.produced - consumed)
    consumed += part.byteLength
    hash.update(part)
    parts += 1
    if (parts % 16 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
  }
  assert.equal(consumed, 64 * mebibyte)
  assert.equal(hash.digest('hex'), source.hash.digest('hex'))
  assert.ok(ahead < 12 * mebibyte, `the server was ${ahead} bytes ahead`)
})

t('several streams from one peer share a connection', async (ctx) => {
  const source = sourceOf()
  const { a, b } = await pair(ctx, source)
  const sizes = [5 * mebibyte, 1, 2 * mebibyte, 0, 3 * mebibyte]
  const fetch = (size: number) => read(a.network.fetch(b.name, `${size}`, never))
  const got = await Promise.all(sizes.map(fetch))
  assert.equal(got.map((one) => one.bytes), sizes)
  assert.equal(a.network.counters()['connections'], 2)
})

t('messages and requests go on while a transfer runs', async (ctx) => {
  const source = sourceOf()
  const { a, b } = await pair(ctx, source)
  let done = false
  const transfer = read(a.network.fetch(b.name, `${64 * mebibyte}`, never)).then((got) => {
    done = true
    return got
  })
  let exchanged = 0
  while (!done) {
    await a.network.request(b.name, 'x', { timeoutMs: 30_000 })
    assert.equal(a.network.send(b.name, 'x'), 'queued')
    exchanged += 1
  }
  assert.ok(exchanged > 3, `${exchanged} requests during the transfer`)
  assert.equal((await transfer).bytes, 64 * mebibyte)
  await eventually(() => b.messages.length === exchanged)
})

t('who cannot be dialled is fetched from on the message connection', async (ctx) => {
  const source = sourceOf()
  const a = await startSite(ctx, 'a.example')
  const b = await startSite(ctx, 'b.example', source.options)
  a.network.setMembers([{ ...b.member(), addresses: [] }])
  b.network.setMembers([a.member()])
  await eventually(() => a.network.isUp(b.name))
  assert.equal((await read(a.network.fetch(b.name, `${mebibyte}`, never))).bytes, mebibyte)
  a.network.setMembers([{ ...b.member(), addresses: ['/ip4/127.0.0.1/tcp/1'] }])
  assert.equal((await read(a.network.fetch(b.name, `${mebibyte}`, never))).bytes, mebibyte)
  assert.equal(a.network.counters()['fetchesOnMessageConnection'], 2)
})

/** Reads until the source has begun, calls `then`, and gives the code that the rest ends with. */
async function interrupted(a: Site, b: Site, signal: AbortSignal, then: () => void) {
  let parts = 0
  return codeOfRejection((async () => {
    for await (const part of a.network.fetch(b.name, `${512 * mebibyte}`, signal)) {
      parts += part.byteLength
      if (parts === part.byteLength) then()
    }
  })())
}

t('a peer that dies in the middle is an error, not a short stream', async (ctx) => {
  const source = sourceOf()
  const { a, b, proxy } = await pairWithProxy(ctx, source)
  assert.equal(await interrupted(a, b, never, () => proxy.cut()), 'broken')
  await eventually(() => source.ended === 'aborted')
  assert.ok(source.produced < 64 * mebibyte)
})

t('a server that stops in the middle is an error too', async (ctx) => {
  const source = sourceOf()
  const { a, b } = await pair(ctx, source)
  assert.equal(await interrupted(a, b, never, () => void b.stop()), 'broken')
  await eventually(() => source.ended !== '')
})

t('a peer that falls silent in the middle is a timeout', async (ctx) => {
  const source = sourceOf()
  const { a, b, proxy } = await pairWithProxy(ctx, source, { bounds: { fetchReadMs: 1_000 } })
  const freeze = (proxied: Proxy) => () => proxied.freeze()
  // What had arrived is read first, then the wait is over.
  assert.match(await interrupted(a, b, never, freeze(proxy)), /^(timeout|broken)$/)
})

t('the reader gives up: by its signal, and by leaving the loop', async (ctx) => {
  for (const way of ['signal', 'break']) {
    const source = sourceOf()
    const { a, b } = await pair(ctx, source)
    if (way === 'signal') {
      const giveUp = new AbortController()
      const code = await interrupted(a, b, giveUp.signal, () => giveUp.abort())
      assert.equal(code, 'aborted')
    } else {
      for await (const part of a.network.fetch(b.name, `${512 * mebibyte}`, never)) {
        assert.ok(part.byteLength > 0)
        break
      }
    }
    await eventually(() => source.ended === 'aborted')
    assert.ok(source.produced < 64 * mebibyte)
    assert.ok(a.network.isUp(b.name), 'messages are not touched')
    assert.equal((await read(a.network.fetch(b.name, '5', never))).bytes, 5)
    await Promise.all([a.stop(), b.stop()])
  }
  const a = await startSite(ctx, 'c.example')
  const member = { site: siteName('d.example'), networkKey: networkKeyOf('d'), addresses: [] }
  a.network.setMembers([member])
  assert.equal(await codeOfRejection(read(a.network.fetch(member.site, '1', never))), 'down')
  const aborted = a.network.fetch(member.site, '1', AbortSignal.abort())
  assert.equal(await codeOfRejection(read(aborted)), 'aborted')
})

t('a source that waits is told when the reader leaves', async (ctx) => {
  let told = false
  const a = await startSite(ctx, 'a.example')
  const b = await startSite(ctx, 'b.example', {
    async *onFetch(_from, _header, signal) {
      yield new Uint8Array(1)
      await new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          told = true
          reject(signal.reason as Error)
        })
      })
    },
  })
  await federate([a, b])
  for await (const part of a.network.fetch(b.name, '', never)) {
    assert.equal(part.byteLength, 1)
    break
  }
  await eventually(() => told)
})

t('a slow source is no dead one', async (ctx) => {
  const bounds = { fetchKeepAliveMs: 20, fetchReadMs: 4_000 }
  const a = await startSite(ctx, 'a.example', { bounds })
  let release = (): void => {}
  const held = new Promise<void>((resolve) => (release = resolve))
  const b = await startSite(ctx, 'b.example', {
    bounds,
    async *onFetch() {
      await held
      yield new Uint8Array(7)
    },
  })
  await federate([a, b])
  const got = read(a.network.fetch(b.name, '', never))
  await eventually(() => (b.network.counters()['fetchKeepAlives'] ?? 0) >= 20)
  release()
  assert.equal((await got).bytes, 7)
})

t('what the source throws: early, in the middle, and as our own fault', async (ctx) => {
  const faults: unknown[] = []
  const a = await startSite(ctx, 'a.example')
  const b = await startSite(ctx, 'b.example', {
    async *onFetch(_from, header) {
      if (header === 'late') yield new Uint8Array(10)
      if (header === 'fault') throw Object.assign(new Error('/a/path'), { code: 'ENOENT' })
      throw Object.assign(new Error('no such chunk'), { code: 'not-found' })
    },
    log: (level, _text, fields) => {
      if (level === 'error') faults.push(fields['reason'])
    },
  })
  await federate([a, b])
  const fetch = (header: string) => read(a.network.fetch(b.name, header, never))
  assert.equal(await codeOfRejection(fetch('early')), 'refused:not-found')
  assert.equal(await codeOfRejection(fetch('late')), 'refused:not-found')
  assert.equal(await codeOfRejection(fetch('fault')), 'refused:internal')
  assert.equal(faults, ['/a/path'])
})

t('streams beyond the bound are busy', async (ctx) => {
  const bounds = { fetchStreamsPerPeer: 2 }
  const a = await startSite(ctx, 'a.example', { bounds })
  const b = await startSite(ctx, 'b.example', {
    bounds,
    async *onFetch(_from, _header, signal) {
      yield new Uint8Array(1)
      await new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error))
      })
    },
  })
  await federate([a, b])
  const giveUp = new AbortController()
  const open: Promise<string>[] = []
  let begun = 0
  for (let index = 0; index < 2; index += 1) {
    open.push(codeOfRejection((async () => {
      for await (const part of a.network.fetch(b.name, '', giveUp.signal)) begun += part.byteLength
    })()))
  }
  await eventually(() => begun === 2)
  assert.equal(await codeOfRejection(read(a.network.fetch(b.name, '', never))), 'busy')
  giveUp.abort()
  assert.equal(await Promise.all(open), ['aborted', 'aborted'])
})

t('a server that lies about the count, or speaks nonsense, is an error', async (ctx) => {
  const a = await startSite(ctx, 'a.example')
  const raw = siteName('raw.example')
  a.network.setMembers([{ site: raw, networkKey: networkKeyOf('raw'), addresses: [] }])
  const reader = await startRaw(ctx, 'raw')
  const { pipe } = await reader.open(a.member(), protocolsOf(federation).fetch)
  await pipe.write(headerOf(frameKind.text, netBounds.fetchHeaderBytes + 1))
  await streamOver(pipe)
  assert.equal(a.network.counters()['framesMalformed'], 1)
  for (const [frames, code] of [
    [[frameOf(frameKind.data, 'abc'), frameOf(frameKind.end, new Uint8Array(8))], 'broken'],
    [[frameOf(frameKind.data, 'abc'), frameOf(frameKind.end, 'x')], 'malformed'],
    [[frameOf(99, 'abc')], 'malformed'],
  ] as const) {
    const serving = await reader.serve(protocolsOf(federation).fetch, frames)
    a.network.setMembers([{ ...serving, site: raw }])
    assert.equal(await codeOfRejection(read(a.network.fetch(raw, '', never))), code)
  }
})
