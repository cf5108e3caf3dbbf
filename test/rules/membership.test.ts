// The token, the request and the answer of a join, as they travel.

import { assert, suite } from '../harness.ts'
import { limits } from '../../protocol/base/limits.ts'
import type { Hash, SiteName } from '../../protocol/base/ids.ts'
import {
  encodeJoinAnswer, encodeJoinRequest, formatJoinToken, joinTokenBytesMax, joinTokenPrefix,
  parseJoinToken, readJoinAnswer, readJoinRequest, secretHashOf,
} from '../../protocol/rules/membership.ts'
import type { JoinToken } from '../../protocol/rules/membership.ts'

const token: JoinToken = {
  federation: 'ab'.repeat(32) as Hash,
  name: 'fed',
  sponsor: 'site-a.example' as SiteName,
  key: 'cd'.repeat(32),
  addresses: ['/ip4/192.0.2.7/tcp/7700', '/dns/site-a.example/tcp/7700'],
  secret: 'ef'.repeat(16),
  expires: 1_800_000_000_000,
}
const request = { secret: token.secret, genesis: 'a note', addresses: [] }
const answer = {
  federation: 'a note', members: [{ genesis: 'g', policy: '', addresses: [], renewals: [] }],
}

const t = suite('membership')

t('a token reads back, whatever its length leaves over', () => {
  for (let length = 1; length <= 20; length++) {
    const one = { ...token, name: 'x'.repeat(length) }
    const text = formatJoinToken(one)
    assert.match(text, /^gridnode-join-v1\.[A-Za-z0-9_-]+$/)
    assert.equal(assert.accepted(parseJoinToken(text)), one)
  }
})

t('[MEMBER-1] a token that was changed, cut or recoded is refused', () => {
  const text = formatJoinToken(token)
  const body = text.slice(joinTokenPrefix.length)
  const said = (changed: string): string =>
    assert.refused(parseJoinToken(changed), 'malformed').detail
  assert.equal(said('hello'), 'expected a text that starts with gridnode-join-v1.')
  assert.match(said(`gridnode-join-v2.${body}`), 'starts with gridnode-join-v1.')
  const broken = 'it is cut short or changed; copy it whole, on one line'
  for (const changed of [`${text}=`, `${text}\n`, `${text} `, `${text}A`, joinTokenPrefix,
    text.slice(0, -1), `${joinTokenPrefix}${body.slice(4)}`]) {
    assert.match(said(changed), broken)
  }
  const recode = (value: unknown): string => joinTokenPrefix +
    Buffer.from(JSON.stringify(value)).toString('base64url')
  const sorted = Object.fromEntries(Object.entries(token).sort(([a], [b]) => (a < b ? -1 : 1)))
  assert.ok(parseJoinToken(recode(sorted)).ok)
  assert.match(said(recode(token)), broken)
  assert.match(said(recode({ ...sorted, more: 1 })), broken)
  const { secret: _, ...less } = sorted
  assert.match(said(recode(less)), broken)
  for (const [key, value] of [['secret', 'EF'.repeat(16)], ['secret', 'ef'], ['expires', -1],
    ['federation', 'ab'], ['sponsor', 'A'], ['addresses', ['/ip4/1.2.3.4/tcp/1/p2p/x']],
    ['addresses', ['tcp://x']]] as const) {
    assert.match(said(recode({ ...sorted, [key]: value })), key)
  }
  const long = said(joinTokenPrefix + 'A'.repeat(joinTokenBytesMax))
  assert.match(long, `at most ${joinTokenBytesMax} characters`)
})

t('every single changed character is noticed or changes the meaning, never the form', () => {
  const text = formatJoinToken(token)
  for (let at = joinTokenPrefix.length; at < text.length; at++) {
    const changed = text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1)
    const parsed = parseJoinToken(changed)
    if (parsed.ok) assert.equal(formatJoinToken(parsed.value), changed)
  }
})

t('[MEMBER-2] requests and answers read back, and are bounded', () => {
  assert.equal(assert.accepted(readJoinRequest(encodeJoinRequest(request))), request)
  assert.equal(assert.accepted(readJoinAnswer(encodeJoinAnswer(answer))), answer)
  assert.refused(readJoinRequest(`${encodeJoinRequest(request)} `), 'malformed')
  assert.refused(readJoinRequest('{}'), 'malformed')
  assert.refused(readJoinRequest(encodeJoinAnswer(answer)), 'malformed')
  const long = { ...request, genesis: 'x'.repeat(limits.statementBytes + 1) }
  assert.refused(readJoinRequest(encodeJoinRequest(long)), 'malformed')
  const member = { genesis: 'g', policy: '', addresses: [], renewals: [] }
  const members = Array.from({ length: limits.sitesMax + 1 }, () => member)
  const many = { federation: 'f', members }
  assert.refused(readJoinAnswer(encodeJoinAnswer(many)), 'malformed')
  assert.match(secretHashOf(token.secret), /^[0-9a-f]{64}$/)
})
