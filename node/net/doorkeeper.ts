// Who may be connected. Members may, a bounded number of times; strangers only where they may ask
// to join, few at a time and not for long. A connection that carries nothing is closed.

import type { Connection, ConnectionGater } from '@libp2p/interface'
import { clock } from '../clock.ts'
import type { Timer } from '../clock.ts'
import type { Node } from './assemble.ts'
import type { NetBounds } from './bounds.ts'
import type { Counters } from './counters.ts'
import { failure } from './failure.ts'
import type { Members } from './members.ts'

export interface Doorkeeper {
  readonly gater: ConnectionGater
  /** Begins to watch the node's connections, until the timer is stopped. */
  watch(libp2p: Node): Timer
}

export function openDoorkeeper(options: {
  readonly members: Members
  readonly bounds: NetBounds
  readonly counters: Counters
  readonly strangersAllowed: boolean
}): Doorkeeper {
  const { bounds, counters, members } = options
  let node: Node | undefined

  const isStranger = (connection: Connection): boolean =>
    members.byId(connection.remotePeer.toString()) === undefined

  function onOpen(event: CustomEvent<Connection>): void {
    const connection = event.detail
    if (connection.direction !== 'inbound' || !isStranger(connection)) return
    const timer = clock.after(bounds.strangerMs, () =>
      connection.abort(failure('timeout', 'who is no member may not stay')),
    )
    connection.addEventListener('close', () => timer.stop())
  }

  function sweep(libp2p: Node): void {
    const nowMs = clock.now()
    for (const connection of libp2p.getConnections()) {
      const ageMs = nowMs - connection.timeline.open
      if (connection.streams.length > 0 || ageMs < bounds.connectionIdleMs) continue
      counters.add('connectionsIdleClosed')
      connection.abort(failure('timeout', 'the connection carries nothing'))
    }
  }

  return {
    gater: {
      denyInboundEncryptedConnection(peerId) {
        if (!node) return true
        const stranger = members.byId(peerId.toString()) === undefined
        const open = stranger
          ? node.getConnections().filter(isStranger).length
          : node.getConnections(peerId).length
        const most = stranger ? bounds.strangersMax : bounds.connectionsPerMember
        const deny = open >= most || (stranger && !options.strangersAllowed)
        if (deny) counters.add(stranger ? 'strangersRefused' : 'connectionsRefused')
        return deny
      },
    },
    watch(libp2p) {
      node = libp2p
      libp2p.addEventListener('connection:open', onOpen)
      const sweeper = clock.every(bounds.sweepMs, () => sweep(libp2p))
      return {
        stop() {
          libp2p.removeEventListener('connection:open', onOpen)
          sweeper.stop()
        },
      }
    },
  }
}
