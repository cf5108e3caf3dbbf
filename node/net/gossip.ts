// Gossip: small signed texts that reach everybody soon or not at all. It is a hint; what must
// arrive travels as a message or is asked for.
//
// Invariants: an author is proven by the text's own signature (strict signing) and is a member;
// size and rate are bounded for each author; only members can open a gossip stream. Departures from
// the library's defaults are those of the stack's measurements: sites behind one address are not
// marked down, publishing before anybody listens is no error, own messages go to the mesh rather
// than to everybody.

import { gossipsub, StrictSign, TopicValidatorResult } from '@chainsafe/libp2p-gossipsub'
import type { GossipSub, Message } from '@chainsafe/libp2p-gossipsub'
import { assert } from '../../protocol/base/assert.ts'
import { sha256 } from '../../protocol/base/crypto.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { limits } from '../../protocol/base/limits.ts'
import { clock } from '../clock.ts'
import type { NetBounds } from './bounds.ts'
import type { Counters } from './counters.ts'
import { crash, failure, messageOf } from './failure.ts'
import { textOf } from './frames.ts'
import type { Members } from './members.ts'
import type { GossipTopic, GossipVerdict, LogLevel } from './door.ts'
import { openRate } from './rate.ts'
import type { Rate } from './rate.ts'

type Components = Parameters<ReturnType<typeof gossipsub>>[0]
type Handle = Components['registrar']['handle']
type Handler = Parameters<Handle>[1]

export const gossipTopics: readonly GossipTopic[] = ['offers', 'announcements']

const topicBytes: Readonly<Record<GossipTopic, number>> = {
  offers: limits.offerBytes,
  announcements: limits.offerBytes,
}

export interface GossipOptions {
  readonly federation: string
  readonly selfId: string
  readonly members: Members
  readonly bounds: NetBounds
  readonly counters: Counters
  onGossip(topic: GossipTopic, from: SiteName, text: string): GossipVerdict
  log(level: LogLevel, text: string, fields: Record<string, unknown>): void
}

export function topicName(federation: string, topic: GossipTopic): string {
  return `gridnode/${federation}/${topic}`
}

function messageId(message: Message): Uint8Array {
  // Peer ids have one length here and topics two names: no two messages run together to one.
  const author = message.type === 'signed' ? message.from.toMultihash().bytes : new Uint8Array(0)
  return sha256(message.topic, author, message.data).subarray(0, 20)
}

/** Only invalid messages count against a peer: the rest of the scoring presumes an open network. */
const topicScore = {
  topicWeight: 1,
  timeInMeshWeight: 0,
  firstMessageDeliveriesWeight: 0,
  meshMessageDeliveriesWeight: 0,
  meshFailurePenaltyWeight: 0,
  invalidMessageDeliveriesWeight: -1,
  invalidMessageDeliveriesDecay: 0.7,
}

/** The gossipsub service, with streams from strangers (or from members that flood) refused. */
export function gossipService(options: GossipOptions): (components: Components) => GossipSub {
  const { bounds, counters, members } = options
  const names = gossipTopics.map((topic) => topicName(options.federation, topic))
  const flow = openRate(bounds.gossipBytesPerMinutePerPeer, limits.sitesMax)
  const guarded =
    (handler: Handler): Handler =>
    (stream, connection) => {
      const id = connection.remotePeer.toString()
      if (!members.byId(id)) {
        counters.add('streamsRefused')
        stream.abort(failure('refused', 'not a member'))
        return
      }
      const count = (bytes: number): void => {
        if (flow.allow(id, bytes)) return
        counters.add('gossipFloods')
        connection.abort(failure('refused', 'more gossip than a member may send'))
      }
      // A stream gives what it holds to its first listener, and that must be the handler.
      clock.after(0, () =>
        stream.addEventListener('message', (event) => count(event.data.byteLength)),
      )
      return handler(stream, connection)
    }
  const service = gossipsub({
    globalSignaturePolicy: StrictSign,
    fallbackToFloodsub: false,
    floodPublish: false,
    allowPublishToZeroTopicPeers: true,
    ignoreDuplicatePublishError: true,
    emitSelf: false,
    tagMeshPeers: false,
    doPX: false,
    // Names of messages go to six sites beside the mesh, not to a share of all that there are.
    gossipFactor: 0,
    msgIdFn: messageId,
    allowedTopics: names,
    maxInboundDataLength: bounds.gossipRpcBytes,
    maxOutboundBufferSize: bounds.gossipRpcBytes,
    decodeRpcLimits: {
      maxSubscriptions: 16,
      maxMessages: 1_024,
      maxIhaveMessageIDs: 5_000,
      maxIwantMessageIDs: 5_000,
      maxIdontwantMessageIDs: 512,
      maxControlMessages: 64,
      maxPeerInfos: 1,
    },
    scoreParams: {
      IPColocationFactorWeight: 0,
      behaviourPenaltyThreshold: 6,
      topics: Object.fromEntries(names.map((name) => [name, topicScore])) as never,
    },
  })
  return (components) => {
    const { privateKey, peerId, peerStore, registrar, connectionManager, logger } = components
    return service({
      privateKey,
      peerId,
      peerStore,
      connectionManager,
      logger,
      registrar: {
        getProtocols: () => registrar.getProtocols(),
        handle: (protocol, handler, opts) => registrar.handle(protocol, guarded(handler), opts),
        unhandle: (protocol, opts) => registrar.unhandle(protocol, opts),
        getHandler: (protocol) => registrar.getHandler(protocol),
        use: (protocol, middleware) => registrar.use(protocol, middleware),
        unuse: (protocol) => registrar.unuse(protocol),
        getMiddleware: (protocol) => registrar.getMiddleware(protocol),
        register: (protocol, topology, opts) => registrar.register(protocol, topology, opts),
        unregister: (id) => registrar.unregister(id),
        getTopologies: (protocol) => registrar.getTopologies(protocol),
      },
    })
  }
}

const results: Readonly<Record<GossipVerdict, TopicValidatorResult>> = {
  accept: TopicValidatorResult.Accept,
  ignore: TopicValidatorResult.Ignore,
  reject: TopicValidatorResult.Reject,
}

export interface Gossip {
  publish(topic: GossipTopic, text: string): void
}

/** Subscribes to the federation's topics and puts the verdicts before the relay. */
export function openGossip(pubsub: GossipSub, options: GossipOptions): Gossip {
  const { counters, log, members } = options
  const encoder = new TextEncoder()

  function judge(topic: GossipTopic, rate: Rate, message: Message): GossipVerdict {
    if (message.type !== 'signed') return 'reject'
    if (message.data.byteLength > topicBytes[topic]) {
      counters.add('gossipTooLarge')
      return 'reject'
    }
    const id = message.from.toString()
    // Our own words from before a restart, and authors whose admission has not reached us yet.
    const author = id === options.selfId ? undefined : members.byId(id)
    if (!author) {
      counters.add('gossipFromStrangers')
      return 'ignore'
    }
    if (!rate.allow(id)) {
      counters.add('gossipRateLimited')
      return 'ignore'
    }
    let text: string
    try {
      text = textOf(message.data)
    } catch {
      return 'reject'
    }
    try {
      return options.onGossip(topic, author.site, text)
    } catch (error) {
      crash(error)
      return 'ignore'
    }
  }

  for (const topic of gossipTopics) {
    const name = topicName(options.federation, topic)
    const rate = openRate(limits.offersPerMinutePerSite, limits.sitesMax)
    pubsub.topicValidators.set(name, (_relay, message) => {
      const verdict = judge(topic, rate, message)
      counters.add(`gossip.${verdict}`)
      return results[verdict]
    })
    pubsub.subscribe(name)
  }
  return {
    publish(topic, text) {
      const bytes = encoder.encode(text)
      assert(bytes.byteLength <= topicBytes[topic], 'gossip is at most limits.offerBytes long')
      pubsub.publish(topicName(options.federation, topic), bytes).then(
        ({ recipients }) => counters.add('gossipSent', recipients.length),
        (error: unknown) => {
          counters.add('gossipSendFailed')
          log('warn', 'could not publish', { topic, reason: messageOf(error) })
        },
      )
    },
  }
}
