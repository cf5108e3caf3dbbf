// The door to the other sites: a handful of libp2p connections between members of one federation,
// with messages in order, requests with one answer, bulk streams and gossip. Only this folder knows
// libp2p.
//
// Invariants: a peer that is not a member can speak the join protocol and nothing else; every
// queue, frame and wait has a bound; what is lost with a connection is lost, the core above sends
// it again.

import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import type { Connection } from '@libp2p/interface'
import type { SiteName } from '../../protocol/base/ids.ts'
import { clock } from '../clock.ts'
import type { Timer } from '../clock.ts'
import { asking } from './asking.ts'
import { assemble, openDialer } from './assemble.ts'
import type { Node } from './assemble.ts'
import { netBounds } from './bounds.ts'
import type { NetBounds } from './bounds.ts'
import { openBulkPool } from './bulk.ts'
import type { BulkPool } from './bulk.ts'
import { openCounters } from './counters.ts'
import type { Counters } from './counters.ts'
import { openDoorkeeper } from './doorkeeper.ts'
import { failure, messageOf } from './failure.ts'
import { gossipService, openGossip } from './gossip.ts'
import type { Gossip } from './gossip.ts'
import { privateKeyOfSeed } from './keys.ts'
import { openLinks } from './links.ts'
import type { Links } from './links.ts'
import { openMembers } from './members.ts'
import type { Known, Members } from './members.ts'
import { protocolsOf, serveProtocols } from './serve.ts'
import type { Protocols } from './serve.ts'

export { joinVia } from './join.ts'

/** A site of the federation, as its policy names it. */
export interface Member {
  readonly site: SiteName
  /** Ed25519 public key, 32 bytes: the libp2p identity. */
  readonly networkKey: Uint8Array
  /** Multiaddrs without `/p2p`, such as `/ip4/192.0.2.7/tcp/7700`. */
  readonly addresses: readonly string[]
}

export type GossipTopic = 'offers' | 'announcements'

/** accept: relayed; ignore: dropped without blame; reject: dropped and held against the relay. */
export type GossipVerdict = 'accept' | 'ignore' | 'reject'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface NetworkOptions {
  readonly site: SiteName
  /** Ed25519 seed, 32 bytes. */
  readonly networkSecret: Uint8Array
  /** Multiaddrs, such as `/ip4/0.0.0.0/tcp/7700`; port 0 takes a free one. */
  readonly listen: readonly string[]
  readonly announce?: readonly string[]
  readonly members: readonly Member[]
  /** The federation's id in hexadecimal: part of every protocol and topic name. */
  readonly federation: string
  onMessage(from: SiteName, text: string): void
  onPeer(site: SiteName, state: 'up' | 'down'): void
  /** `from` is the author, as proven by the message's own signature, never the relay. */
  onGossip(topic: GossipTopic, from: SiteName, text: string): GossipVerdict
  /** Answers a request to join, from who need not be a member; a thrown `code` is told. */
  onJoin?(request: string, remoteAddress: string): Promise<string>
  /** Answers a small request (both ways at most 1 MiB); a thrown `code` is told to the asker. */
  onRequest(from: SiteName, request: string, signal: AbortSignal): Promise<string>
  /** Serves a bulk stream; `signal` fires when the reader has gone. */
  onFetch(from: SiteName, header: string, signal: AbortSignal): AsyncIterable<Uint8Array>
  readonly log?: (level: LogLevel, text: string, fields: Record<string, unknown>) => void
  /** Other bounds than bounds.ts has, for links that are unlike others. */
  readonly bounds?: Partial<NetBounds>
}

export interface Network {
  readonly peerId: string
  /** Where this node can be reached, as multiaddrs without `/p2p`. */
  addresses(): readonly string[]
  /** Replaces the member list; who is gone or has another key is disconnected. */
  setMembers(members: readonly Member[]): void
  isUp(site: SiteName): boolean
  peersUp(): SiteName[]
  /** In order while a connection lives, lost when it breaks; `full` at the queue's bound. */
  send(to: SiteName, text: string): 'queued' | 'down' | 'full'
  publish(topic: GossipTopic, text: string): void
  request(
    to: SiteName,
    text: string,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<string>
  /** A bulk stream on a connection of its own; it ends after the server's end frame or throws. */
  fetch(to: SiteName, header: string, signal: AbortSignal): AsyncIterable<Uint8Array>
  counters(): Record<string, number>
  stop(): Promise<void>
}

export interface JoinOptions {
  readonly networkSecret: Uint8Array
  /** Multiaddrs of the sponsor, tried in turn. */
  readonly addresses: readonly string[]
  /** Ed25519 public key of the sponsor, 32 bytes: whoever answers must prove it. */
  readonly sponsorKey: Uint8Array
  readonly federation: string
  readonly request: string
  readonly timeoutMs: number
}

/** Starts listening and dialling. Throws an Error `listen` when an address is not to be had. */
export async function startNetwork(options: NetworkOptions): Promise<Network> {
  const bounds: NetBounds = { ...netBounds, ...options.bounds }
  const counters = openCounters()
  const log = options.log ?? ((): void => undefined)
  const privateKey = await privateKeyOfSeed(options.networkSecret)
  const selfId = peerIdFromPrivateKey(privateKey).toString()
  const members = openMembers({ site: options.site, id: selfId }, log)
  members.replace(options.members)

  const { federation } = options
  const onGossip = options.onGossip.bind(options)
  const gossipOptions = { federation, selfId, members, bounds, counters, onGossip, log }
  const strangersAllowed = options.onJoin !== undefined
  const doorkeeper = openDoorkeeper({ members, bounds, counters, strangersAllowed })
  const libp2p = await assemble({
    privateKey,
    listen: options.listen,
    announce: options.announce ?? [],
    gater: doorkeeper.gater,
    gossip: gossipService(gossipOptions),
    bounds,
  })
  const dial = openDialer(libp2p, bounds)
  const protocols = protocolsOf(federation)
  const links = openLinks({
    selfId,
    protocol: protocols.message,
    members,
    bounds,
    counters,
    dial,
    onText: (from, text) => options.onMessage(from, text),
    onUp: (peer, connection) => {
      void joinGossip(libp2p, connection, peer, log)
      options.onPeer(peer.site, 'up')
    },
    onDown: (peer) => options.onPeer(peer.site, 'down'),
    log,
  })
  const messageConnection = (peer: Known): Connection | undefined => links.get(peer.id)?.connection
  const bulk = openBulkPool({ bounds, counters, dial, messageConnection })
  const watch = doorkeeper.watch(libp2p)
  const parts: Parts = { libp2p, protocols, members, links, bulk, bounds, counters, watch }
  await serveProtocols(libp2p, { ...parts, options, log })
  try {
    await libp2p.start()
  } catch (cause) {
    await stopAll(parts)
    const wanted = options.listen.join(', ')
    const [code = 'unknown'] = /\bE[A-Z]{4,}\b/.exec(messageOf(cause)) ?? []
    const text = `could not listen on ${wanted} (${code}); is another program there, or is the ` +
      'address not one of this machine? See network.listen in the config'
    throw Object.assign(new Error(text, { cause }), { code: 'listen' })
  }
  const gossip = openGossip(libp2p.services.gossip, gossipOptions)
  links.refresh([])
  return networkOf(parts, gossip)
}

interface Parts {
  readonly libp2p: Node
  readonly protocols: Protocols
  readonly members: Members
  readonly links: Links
  readonly bulk: BulkPool
  readonly bounds: NetBounds
  readonly counters: Counters
  readonly watch: Timer
}

async function stopAll(parts: Parts): Promise<void> {
  parts.links.stop()
  parts.bulk.stop()
  parts.watch.stop()
  const late = new AbortController()
  const waited = clock.sleep(parts.bounds.stopMs, late.signal).catch(() => undefined)
  await Promise.race([parts.libp2p.stop(), waited])
  late.abort()
}

function networkOf(parts: Parts, gossip: Gossip): Network {
  const { counters, libp2p, links, members } = parts
  return {
    peerId: libp2p.peerId.toString(),
    addresses: () =>
      libp2p.getMultiaddrs().map((address) => address.toString().replace(/\/p2p\/.*$/, '')),
    setMembers(list) {
      const { gone } = members.replace(list)
      links.refresh(gone)
      for (const peer of gone) {
        for (const connection of libp2p.getConnections(peer.peerId)) {
          connection.abort(failure('refused', 'no longer a member'))
        }
      }
    },
    isUp: (site) => linkTo(members, links, site) !== undefined,
    peersUp: () => links.up(),
    send: (to, text) => linkTo(members, links, to)?.send(text) ?? 'down',
    publish: (topic, text) => gossip.publish(topic, text),
    ...asking(parts),
    counters: () => ({
      ...counters.all(),
      peersUp: links.up().length,
      connections: libp2p.getConnections().length,
    }),
    stop: () => stopAll(parts),
  }
}

function linkTo(members: Members, links: Links, site: SiteName): ReturnType<Links['get']> {
  const known = members.bySite(site)
  return known && links.get(known.id)
}

const identifyTries = 3

/** Gossip runs on the message stream's connection, and begins when the peer is identified there. */
async function joinGossip(
  libp2p: Node,
  connection: Connection,
  peer: Known,
  log: NonNullable<NetworkOptions['log']>,
): Promise<void> {
  for (let tried = 1; connection.status === 'open'; tried += 1) {
    try {
      await libp2p.services.identify.identify(connection)
      return
    } catch (error) {
      if (tried < identifyTries) continue
      log('warn', 'no gossip with a site: it did not identify itself', {
        site: peer.site,
        reason: messageOf(error),
      })
      return
    }
  }
}
