// A file of a member's log for the local API: its own, another's, and each way of not getting it.

import { siteLogFile } from '../../../node/local/site-log.ts'
import { failure } from '../../../node/net/failure.ts'
import type { FailureCode } from '../../../node/net/failure.ts'
import { assert, suite } from '../../harness.ts'
import { siteName } from '../../net/site.ts'

const t = suite('a file of a site\'s log')

const self = { site: siteName('a.example') }
const peer = siteName('b.example')
const liveLog = {
  file: async (path: string) =>
    path === 'checkpoint' ? { kind: 'checkpoint', bytes: Buffer.from('own') } as const : undefined,
}

function parts(answer: () => AsyncIterable<Uint8Array>): Parameters<typeof siteLogFile>[0] {
  return { self, liveLog, network: { fetch: answer } }
}

async function* sends(...pieces: readonly Uint8Array[]): AsyncIterable<Uint8Array> {
  yield* pieces
}

function ask(
  from: Parameters<typeof siteLogFile>[0], { site = peer, path = 'checkpoint' } = {},
): ReturnType<typeof siteLogFile> {
  return siteLogFile(from, { site, path, signal: new AbortController().signal })
}

async function textOf(answer: ReturnType<typeof siteLogFile>): Promise<string> {
  const { bytes, sizeBytes } = assert.accepted(await answer)
  const pieces: Uint8Array[] = []
  for await (const piece of bytes) pieces.push(piece)
  const whole = Buffer.concat(pieces)
  assert.equal(whole.length, sizeBytes)
  return whole.toString()
}

t('its own without the network, another\'s through it', async () => {
  const from = parts(() => sends(Uint8Array.of(1), Buffer.from('an'), Buffer.from('other')))
  assert.equal(await textOf(ask(from, { site: self.site })), 'own')
  assert.equal(await textOf(ask(from)), 'another')
})

t('what is not there', async () => {
  const from = parts(() => sends(Uint8Array.of(0)))
  assert.refused(await ask(from), 'not_found')
  assert.refused(await ask(from, { site: self.site, path: 'tile/0/000' }), 'not_found')
  assert.refused(await ask(from, { path: '../keys' }), 'not_found')
})

t('each failure has its word', async () => {
  const words: readonly (readonly [FailureCode, string])[] = [
    ['down', 'peer_down'], ['broken', 'peer_down'], ['timeout', 'peer_down'],
    ['unknown-site', 'not_found'], ['busy', 'busy'], ['malformed', 'conflict'],
    ['refused', 'conflict'],
  ]
  for (const [code, word] of words) {
    const answer = await ask(parts(() => { throw failure(code, 'why') }))
    assert.ok(!answer.ok)
    assert.equal([answer.refusal.reason, answer.refusal.detail],
      [word, 'the log of b.example: why'], code)
  }
})

t('who has gone is told nothing', async () => {
  const signal = AbortSignal.abort(new Error('the client has gone'))
  const from = parts(() => { throw failure('aborted', 'given up') })
  await assert.rejects(siteLogFile(from, { site: peer, path: 'checkpoint', signal }), /given up/)
})
