// The libp2p node itself: transports, encryption, limits, and who may connect.
//
// Departures from libp2p's defaults, each because the default breaks a federation under load: its
// connection monitor drops healthy peers (link.ts finds the dead ones), its inbound rate forbids
// sites behind one address, its stream window exceeds its own read buffer, and identify runs on
// every connection (here only on the one that carries messages, so that gossip never binds to a
// transfer's connection).

import { identify } from '@libp2p/identify'
import type { Identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import type { Connection, ConnectionGater, Libp2p, PrivateKey } from '@libp2p/interface'
import type { gossipsub, GossipSub } from '@chainsafe/libp2p-gossipsub'
import { clock } from '../clock.ts'
import type { NetBounds } from './bounds.ts'
import type { Known } from './members.ts'

export type Node = Libp2p<{ identify: Identify; gossip: GossipSub }>

export interface AssembleOptions {
  readonly privateKey: PrivateKey
  readonly listen: readonly string[]
  readonly announce: readonly string[]
  readonly gater: ConnectionGater
  readonly gossip: ReturnType<typeof gossipsub>
  readonly bounds: NetBounds
}

const socketOptions = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 }

/** Everything but services: shared with the short-lived node that asks to join. */
export function stackOf(bounds: NetBounds) {
  return {
    transports: [tcp({ dialOpts: socketOptions, listenOpts: socketOptions })],
    connectionEncrypters: [tls(), noise()],
    streamMuxers: [
      yamux({
        streamOptions: {
          maxStreamWindowSize: bounds.streamWindowBytes,
          maxReadBufferLength: 2 * bounds.streamWindowBytes,
        },
      }),
    ],
    connectionMonitor: { enabled: false },
    connectionManager: {
      maxConnections: bounds.connectionsMax,
      maxIncomingPendingConnections: bounds.connectionsPending,
      inboundConnectionThreshold: bounds.connectionsPerSecondPerAddress,
      maxDialQueueLength: bounds.connectionsMax,
      maxParallelDials: 32,
      dialTimeout: bounds.dialMs,
      addressDialTimeout: Math.ceil(bounds.dialMs / 2),
      reconnectRetries: 0,
    },
  }
}

/** The node, not yet started. */
export async function assemble(options: AssembleOptions): Promise<Node> {
  const { announce, bounds } = options
  return createLibp2p({
    ...stackOf(bounds),
    start: false,
    privateKey: options.privateKey,
    addresses: {
      listen: [...options.listen],
      ...(announce.length > 0 ? { announce: [...announce] } : {}),
    },
    connectionGater: options.gater,
    services: {
      identify: identify({ runOnConnectionOpen: false }),
      gossip: options.gossip,
    },
  })
}

/**
 * A new connection to a member, proven by its key. Dials to one member take turns: libp2p joins a
 * dial with one that is under way, and two purposes would share a connection.
 */
export function openDialer(
  libp2p: Node,
  bounds: NetBounds,
): (peer: Known, signal: AbortSignal) => Promise<Connection> {
  const turns = new Map<string, Promise<unknown>>()
  return async (peer, signal) => {
    const before = turns.get(peer.id) ?? Promise.resolve()
    const dialled = before.then(() =>
      libp2p.dial([...peer.addresses], {
        force: true,
        signal: AbortSignal.any([signal, clock.deadline(bounds.dialMs)]),
      }),
    )
    const turn = dialled.catch(() => undefined)
    turns.set(peer.id, turn)
    try {
      return await dialled
    } finally {
      if (turns.get(peer.id) === turn) turns.delete(peer.id)
    }
  }
}
