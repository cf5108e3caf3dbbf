// Requests of an owner: read at the home that they name, from the site that they name, in time.

import { keyPairFromSeed, toHex } from '../../protocol/base/crypto.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { userSignerName } from '../../protocol/rules/job.ts'
import type { JobRequest } from '../../protocol/rules/request.ts'
import { readRequest, requestAgeMsMax, signRequest } from '../../protocol/rules/request.ts'
import { assert, suite } from '../harness.ts'

const t = suite('requests')
const key = keyPairFromSeed(new Uint8Array(32).fill(7))
const other = keyPairFromSeed(new Uint8Array(32).fill(8))
const [home, via, third] = ['a.example', 'c.example', 'b.example'] as SiteName[]
const nowMs = 1_750_000_000_000

function request(change: Partial<JobRequest> = {}): JobRequest {
  return {
    verb: 'hold', job: 'abcdef012345', user: 'ada', key: toHex(key.publicKey), home: home!,
    via: via!, at: nowMs, nonce: 'ab'.repeat(16), ...change,
  }
}

const sign = (body: JobRequest, by = key): string =>
  signRequest(body, { name: userSignerName(body.user), key: by })
const read = (note: string, change: Partial<Parameters<typeof readRequest>[1]> = {}) =>
  readRequest(note, { site: home!, from: via!, nowMs, ...change })

t('[ASK-1] is read where it belongs, and nowhere else', () => {
  const body = request({ tasks: '1-3', change: { walltime_seconds: 60 } })
  assert.equal(assert.accepted(read(sign(body))), body)
  assert.refused(read(sign(request()), { from: third! }), 'not_here')
  assert.refused(read(sign(request()), { site: third! }), 'not_here')
  assert.refused(read(sign(request({ home: '' }))), 'not_here')
  const search = sign(request({ verb: 'locate', home: '' }))
  assert.accepted(read(search, { site: third! }))
  assert.refused(read(search, { site: third!, from: home! }), 'not_here')
})

t('[ASK-1] is refused late, and under another key', () => {
  const note = sign(request())
  assert.accepted(read(note, { nowMs: nowMs + requestAgeMsMax }))
  assert.refused(read(note, { nowMs: nowMs + requestAgeMsMax + 1 }), 'too_old')
  assert.refused(read(note, { nowMs: nowMs - requestAgeMsMax - 1 }), 'too_old')
  assert.refused(read(sign(request(), other)), 'bad_signature')
  assert.refused(read(note.replace('hold', 'move')), 'bad_signature')
  assert.refused(read('nonsense'), 'malformed')
  assert.refused(read(sign({ ...request(), verb: 'eat' as 'hold' })), 'malformed')
})
