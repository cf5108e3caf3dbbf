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
import type { Network, NetworkOptions } from './door.ts'
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
