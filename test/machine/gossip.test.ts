// The validator of gossip: for every kind of note on both topics whether it goes on to others, is
// dropped, or is held against who passed it on; and judging changes nothing.

import { assert, suite } from '../harness.ts'
import { applyWrites } from '../../protocol/base/tables.ts'
import type { GossipTopic } from '../../protocol/machine/gossip.ts'
import { judgeGossip } from '../../protocol/machine/gossip.ts'
import { coldTables } from '../../protocol/machine/state.ts'
import { sealAnnouncement } from '../../protocol/rules/announce.ts'
import type { Announcement } from '../../protocol/rules/announce.ts'
import type { ClusterOffer } from '../../protocol/rules/offer.ts'
import { sealOffer } from '../../protocol/rules/offer.ts'
import type { Identity } from '../sim/identity.ts'
import { identityOf } from '../sim/identity.ts'
import { goodCall, goodOffer, otherFed } from '../rules/market-notes.ts'
import type { Site, World } from './pair.ts'
import { federation, happen, startMs, view } from './pair.ts'

const t = suite('gossip')

const [world, hearer, author, passer] = federation(3) as [World, Site, Site, Site]
const outsider = identityOf(5)
const fed = hearer.self.federation

function offer(of: Identity, change: Partial<ClusterOffer> = {}, by: Identity = of): string {
  const fresh = goodOffer({ fed, site: of.site, at: startMs, sequence: startMs + 1_000, ...change })
  return sealOffer(fresh, by.signer.statement)
}

function call(of: Identity, change: Partial<Announcement> = {}, by: Identity = of): string {
  return sealAnnouncement(goodCall({ fed, home: of.site, ...change }), by.signer.statement)
}

function verdict(
  topic: GossipTopic, from: Identity, note: string, nowEpochMs = startMs,
): string {
  const judged = view(hearer)
  const heard = { topic, from: from.site, note, nowEpochMs }
  const judgement = judgeGossip(judged, hearer.self, heard)
  assert.equal(judged.writes(), [], 'judging changes nothing')
  assert.equal('event' in judgement, judgement.verdict === 'accept')
  return judgement.verdict
}

const { identity: writer } = author
const { identity: other } = passer

t('[GOSSIP-1] an offer counts only from the site that signed it', () => {
  const good = offer(writer)
  assert.equal(verdict('offers', writer, good), 'accept')
  assert.equal(verdict('offers', other, good), 'reject', 'another says it is its own')
  assert.equal(verdict('offers', outsider, good), 'reject')
  assert.equal(verdict('offers', writer, offer(writer, {}, other)), 'reject')
  assert.equal(verdict('offers', other, offer(writer, {}, other)), 'reject')
  assert.equal(verdict('offers', writer, good.replace('"cores_free":4', '"cores_free":5')),
    'reject')
})

t('[GOSSIP-1] a call counts only from the site that signed it', () => {
  const good = call(writer)
  assert.equal(verdict('announcements', writer, good), 'accept')
  assert.equal(verdict('announcements', other, good), 'reject')
  assert.equal(verdict('announcements', writer, call(writer, {}, other)), 'reject')
  assert.equal(verdict('announcements', other, call(writer, {}, other)), 'reject')
  assert.equal(verdict('announcements', writer, good.replace('"tasks":3', '"tasks":4')), 'reject')
})

t('[GOSSIP-2] what is old, or of a site that is not known yet, is ignored without blame', () => {
  const known = view(hearer).get('offers', author.name)!
  const { sequence } = known.offer
  assert.equal(verdict('offers', writer, known.note), 'ignore', 'the same again')
  assert.equal(verdict('offers', writer, offer(writer, { sequence: sequence - 1 })), 'ignore')
  const lasts = (600 + 600) * 1_000
  assert.equal(verdict('offers', writer, offer(writer), startMs + lasts), 'accept')
  assert.equal(verdict('offers', writer, offer(writer), startMs + lasts + 1), 'ignore')
  assert.equal(verdict('offers', outsider, offer(outsider)), 'ignore')
  assert.equal(verdict('announcements', outsider, call(outsider)), 'ignore')
  assert.equal(verdict('announcements', outsider, 'junk'), 'ignore')
})

t('[GOSSIP-2] what is false is held against the peer that passed it on', () => {
  const wrong: readonly (readonly [GossipTopic, string])[] = [
    ['offers', 'junk'], ['offers', ''], ['offers', `${offer(writer)}\n`],
    ['offers', offer(writer, { fed: otherFed })], ['offers', call(writer)],
    ['announcements', 'junk'], ['announcements', ''], ['announcements', `${call(writer)}\n`],
    ['announcements', call(writer, { fed: otherFed })], ['announcements', offer(writer)],
  ]
  for (const [topic, note] of wrong) assert.equal(verdict(topic, writer, note), 'reject', note)
})

t('what is accepted becomes the event that its topic stands for', () => {
  const nowEpochMs = startMs + 5_000
  const [fresh, called] = [offer(writer), call(writer)]
  const heard = { from: author.name, nowEpochMs }
  const known = judgeGossip(view(hearer), hearer.self, { ...heard, topic: 'offers', note: fresh })
  if (known.verdict !== 'accept' || known.event.kind !== 'offerHeard') {
    return assert.fail('expected an offer')
  }
  const { kept } = known.event
  assert.equal([kept.note, kept.receivedEpochMs, kept.expiresEpochMs],
    [fresh, nowEpochMs, nowEpochMs + 600_000])
  const asked = judgeGossip(view(hearer), hearer.self,
    { ...heard, topic: 'announcements', note: called })
  assert.equal(asked, {
    verdict: 'accept', event: { kind: 'callHeard', from: author.name, note: called },
  })
  happen(world, hearer, known.event)
  assert.equal(view(hearer).get('offers', author.name)?.note, fresh)
  assert.equal(verdict('offers', writer, fresh), 'ignore', 'it is known now')
})

t('[GOSSIP-2] a site whose admission arrives later is heard then', () => {
  const trial = view(hearer)
  const admitted = trial.get('ledgerMembers', passer.name)!
  trial.remove('ledgerMembers', passer.name)
  applyWrites(hearer.tables, trial.writes(), coldTables)
  const notes = [['offers', offer(other)], ['announcements', call(other)]] as const
  for (const [topic, note] of notes) assert.equal(verdict(topic, other, note), 'ignore')
  const again = view(hearer)
  again.put('ledgerMembers', passer.name, admitted)
  applyWrites(hearer.tables, again.writes(), coldTables)
  for (const [topic, note] of notes) assert.equal(verdict(topic, other, note), 'accept')
})
