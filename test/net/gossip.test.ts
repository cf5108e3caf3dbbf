// Gossip on real sockets: everybody hears a member, and nobody believes anything else.

import { gossipsub, StrictSign } from '@chainsafe/libp2p-gossipsub'
import { identify } from '@libp2p/identify'
import { createLibp2p } from 'libp2p'
import { limits } from '../../protocol/base/limits.ts'
import { stackOf } from '../../node/net/assemble.ts'
import { netBounds } from '../../node/net/bounds.ts'
import { topicName } from '../../node/net/gossip.ts'
import { peerIdOfKey, privateKeyOfSeed } from '../../node/net/keys.ts'
import { addressOf } from '../../node/net/members.ts'
import { assert, eventually, suite } from '../harness.ts'
import type { Context } from '../harness.ts'
import { federate, federation, networkKeyOf, seedOf, siteName, startSite } from './site.ts'
import type { Site } from './site.ts'

const t = suite('net: gossip')

const texts = (site: Site): string[] => site.gossip.map((entry) => entry.text)

/** Gossip is a hint: what one misses is published again, as offers are. */
async function reaches(author: Site, others: readonly Site[], topic: 'offers' | 'announcements') {
  let round = 0
  await eventually(() => {
    round += 1
    if (round % 5 === 1) author.network.publish(topic, `${author.name} says ${round}`)
    return others.every((site) =>
      site.gossip.some((entry) => entry.topic === topic && entry.from === author.name),
    )
  }, { timeoutSeconds: 60, what: `${topic} of ${author.name} reach everybody` })
}

t('gossip of each site reaches all others, on both topics, never its author', async (ctx) => {
  const sites: Site[] = []
  for (const name of ['a.example', 'b.example', 'c.example']) sites.push(await startSite(ctx, name))
  await federate(sites)
  for (const author of sites) {
    const others = sites.filter((site) => site !== author)
    await reaches(author, others, 'offers')
    await reaches(author, others, 'announcements')
  }
  for (const site of sites) assert.ok(site.gossip.every((entry) => entry.from !== site.name))
})

t('what is rejected or ignored is not relayed', async (ctx) => {
  // b is between a and c, which do not know how to reach each other.
  const seen: string[] = []
  const a = await startSite(ctx, 'a.example')
  const b = await startSite(ctx, 'b.example', {
    onGossip: (_topic, _from, text) => {
      seen.push(text)
      return text === 'bad' ? 'reject' : text === 'late' ? 'ignore' : 'accept'
    },
  })
  const c = await startSite(ctx, 'c.example')
  const cut = (site: Site) => ({ ...site.member(), addresses: [] })
  a.network.setMembers([b.member(), cut(c)])
  c.network.setMembers([b.member(), cut(a)])
  b.network.setMembers([cut(a), cut(c)])
  await eventually(() => b.network.peersUp().length === 2)
  // Not so often that it passes for a flood before the mesh has formed.
  let lastMs = -Infinity
  await eventually(() => {
    if (performance.now() - lastMs > 1_000) {
      lastMs = performance.now()
      a.network.publish('offers', `warm ${seen.length} ${lastMs}`)
    }
    return c.gossip.length > 0
  })
  a.network.publish('offers', 'bad')
  a.network.publish('offers', 'late')
  a.network.publish('offers', 'good')
  await eventually(() => texts(c).includes('good') && seen.includes('bad') && seen.includes('late'))
  assert.ok(!texts(c).includes('bad') && !texts(c).includes('late'))
  assert.ok(c.gossip.every((entry) => entry.from === a.name), 'the author, not the relay')
  assert.equal(b.network.counters()['gossip.reject'], 1)
})

t('a late joiner gets what is published after it came', async (ctx) => {
  const a = await startSite(ctx, 'a.example')
  const b = await startSite(ctx, 'b.example')
  await federate([a, b])
  await reaches(a, [b], 'offers')
  const late = await startSite(ctx, 'late.example')
  await federate([a, b, late])
  await reaches(a, [late], 'offers')
  await reaches(late, [a, b], 'offers')
})

t('gossip works again after a peer restarted', async (ctx) => {
  const a = await startSite(ctx, 'a.example')
  const first = await startSite(ctx, 'b.example')
  await federate([a, first])
  await reaches(a, [first], 'offers')
  await first.stop()
  const listen = first.member().addresses
  const second = await startSite(ctx, 'b.example', { listen, members: [a.member()] })
  await eventually(() => a.network.isUp(second.name))
  await reaches(a, [second], 'offers')
  await reaches(second, [a], 'offers')
})

t('an author above its rate is ignored and counted', async (ctx) => {
  const a = await startSite(ctx, 'a.example')
  const b = await startSite(ctx, 'b.example')
  await federate([a, b])
  await reaches(a, [b], 'offers')
  let count = 0
  await eventually(() => {
    for (let index = 0; index < 10; index += 1) {
      a.network.publish('offers', `text ${(count += 1)}`)
    }
    return (b.network.counters()['gossipRateLimited'] ?? 0) > 0
  })
  assert.ok(b.gossip.length <= limits.offersPerMinutePerSite * 2)
})

t('a text above the bound is our own fault', async (ctx) => {
  const a = await startSite(ctx, 'a.example')
  const large = 'x'.repeat(limits.offerBytes + 1)
  assert.throws(() => a.network.publish('offers', large), /offerBytes/)
})

/** A member's machine with other software: it publishes what it likes. */
async function startRogue(ctx: Context, keyName: string, target: Site) {
  const libp2p = await createLibp2p({
    ...stackOf(netBounds),
    privateKey: await privateKeyOfSeed(seedOf(keyName)),
    services: {
      identify: identify(),
      pubsub: gossipsub({
        globalSignaturePolicy: StrictSign,
        fallbackToFloodsub: false,
        allowPublishToZeroTopicPeers: true,
      }),
    },
  })
  ctx.after(() => libp2p.stop())
  const topic = topicName(federation, 'offers')
  const { pubsub } = libp2p.services
  pubsub.subscribe(topic)
  const [address = ''] = target.member().addresses
  await libp2p.dial(addressOf(address, peerIdOfKey(target.member().networkKey)))
  return { pubsub, topic }
}

t('a member with other software: too large and malformed texts are rejected', async (ctx) => {
  const a = await startSite(ctx, 'a.example')
  const rogue = siteName('rogue.example')
  a.network.setMembers([{ site: rogue, networkKey: networkKeyOf('rogue'), addresses: [] }])
  const { pubsub, topic } = await startRogue(ctx, 'rogue', a)
  await eventually(() => pubsub.getSubscribers(topic).length === 1)
  await pubsub.publish(topic, new Uint8Array(limits.offerBytes + 1).fill(65))
  await pubsub.publish(topic, new Uint8Array([0xff, 0xfe]))
  await pubsub.publish(topic, new TextEncoder().encode('fine'))
  await eventually(() => texts(a).includes('fine'))
  await eventually(() => a.network.counters()['gossip.reject'] === 2)
  assert.equal(a.network.counters()['gossipTooLarge'], 1)
  assert.equal(a.gossip.map((entry) => entry.from), [rogue])
})

t('a member that floods is disconnected', async (ctx) => {
  const bounds = { gossipBytesPerMinutePerPeer: 200_000 }
  const a = await startSite(ctx, 'a.example', { bounds })
  const rogue = siteName('rogue.example')
  a.network.setMembers([{ site: rogue, networkKey: networkKeyOf('rogue'), addresses: [] }])
  const { pubsub, topic } = await startRogue(ctx, 'rogue', a)
  await eventually(() => pubsub.getSubscribers(topic).length === 1)
  for (let index = 0; index < 20; index += 1) {
    await pubsub.publish(topic, new Uint8Array(limits.offerBytes).fill(65 + index))
  }
  await eventually(() => (a.network.counters()['gossipFloods'] ?? 0) > 0)
  await eventually(() => a.network.counters()['connections'] === 0)
})

t('a text under another author\'s name is not believed', async (ctx) => {
  const a = await startSite(ctx, 'a.example')
  const rogue = siteName('rogue.example')
  const victim = siteName('victim.example')
  a.network.setMembers([
    { site: rogue, networkKey: networkKeyOf('rogue'), addresses: [] },
    { site: victim, networkKey: networkKeyOf('victim'), addresses: [] },
  ])
  const { pubsub, topic } = await startRogue(ctx, 'rogue', a)
  await eventually(() => pubsub.getSubscribers(topic).length === 1)
  await pubsub.publish(topic, new TextEncoder().encode('as myself'))
  await eventually(() => texts(a).includes('as myself'))
  // The library signs with the key it holds and names the author it is told.
  const config = (pubsub as unknown as { publishConfig: { author: unknown } }).publishConfig
  const author = config.author
  config.author = peerIdOfKey(networkKeyOf('victim'))
  await pubsub.publish(topic, new TextEncoder().encode('as the victim'))
  config.author = author
  await pubsub.publish(topic, new TextEncoder().encode('as myself again'))
  await eventually(() => texts(a).includes('as myself again'))
  assert.equal(texts(a), ['as myself', 'as myself again'])
})

t('an author that is no member is ignored, even through a member', async (ctx) => {
  const a = await startSite(ctx, 'a.example')
  const b = await startSite(ctx, 'b.example')
  const c = await startSite(ctx, 'c.example')
  const cut = (site: Site) => ({ ...site.member(), addresses: [] })
  a.network.setMembers([b.member()])
  b.network.setMembers([cut(a), cut(c)])
  c.network.setMembers([b.member()])
  await eventually(() => b.network.peersUp().length === 2)
  let count = 0
  await eventually(() => {
    a.network.publish('offers', `text ${(count += 1)}`)
    return (c.network.counters()['gossipFromStrangers'] ?? 0) > 0
  })
  assert.equal(c.gossip, [])
})

t('twelve sites behind one address gossip to all', async (ctx) => {
  const sites: Site[] = []
  for (let index = 0; index < 12; index += 1) sites.push(await startSite(ctx, `s${index}.example`))
  await federate(sites)
  for (const author of sites) {
    await reaches(author, sites.filter((site) => site !== author), 'offers')
  }
}, { timeoutSeconds: 180 })
