// What this node answers: the protocols, each behind the check that the peer is a member. Only the
// join protocol is open to strangers, at a bounded rate.

import type { Connection, Stream } from '@libp2p/interface'
import { limits } from '../../protocol/base/limits.ts'
import type { Node } from './assemble.ts'
import type { NetBounds } from './bounds.ts'
import { serveBulk } from './bulk.ts'
import type { Counters } from './counters.ts'
import { answer } from './exchange.ts'
import { codeOf, failure, messageOf } from './failure.ts'
import { joinProtocol } from './join.ts'
import type { Links } from './links.ts'
import type { Known, Members } from './members.ts'
import type { NetworkOptions } from './door.ts'
import { openRate } from './rate.ts'

export interface Protocols {
  readonly message: string
  readonly request: string
  readonly fetch: string
  readonly join: string
}

export function protocolsOf(federation: string): Protocols {
  return {
    message: `/gridnode/${federation}/message/1`,
    request: `/gridnode/${federation}/request/1`,
    fetch: `/gridnode/${federation}/fetch/1`,
    join: joinProtocol(federation),
  }
}

export interface ServeParts {
  readonly options: NetworkOptions
  readonly bounds: NetBounds
  readonly counters: Counters
  readonly members: Members
  readonly links: Links
  log: NonNullable<NetworkOptions['log']>
}

export async function serveProtocols(libp2p: Node, parts: ServeParts): Promise<void> {
  const { bounds, counters, links, members, options } = parts
  const protocols = protocolsOf(options.federation)

  /** What goes wrong on one stream concerns its peer; it is counted. */
  function owned(work: Promise<void>, kind: string): void {
    work.catch((error: unknown) => {
      counters.add(codeOf(error) === 'malformed' ? 'framesMalformed' : `${kind}Broken`)
      parts.log('debug', `a ${kind} stream broke`, { reason: messageOf(error) })
    })
  }
  const onFault = (kind: string) => (error: unknown) => {
    counters.add(`${kind}Faults`)
    parts.log('error', `could not answer a ${kind}`, { reason: messageOf(error) })
  }
  const forMembers =
    (serve: (stream: Stream, from: Known, connection: Connection) => void) =>
    (stream: Stream, connection: Connection): void => {
      const from = members.byId(connection.remotePeer.toString())
      if (from) {
        serve(stream, from, connection)
        return
      }
      counters.add('streamsRefused')
      stream.abort(failure('refused', 'not a member'))
    }

  await libp2p.handle(
    protocols.message,
    forMembers((stream, _from, connection) => void links.accept(stream, connection)),
    { maxInboundStreams: 4, maxOutboundStreams: 4 },
  )
  await libp2p.handle(
    protocols.request,
    forMembers((stream, from) => {
      counters.add('requestsReceived')
      const served = answer(stream, {
        bounds,
        questionBytesMax: bounds.requestBytes,
        answerBytesMax: bounds.requestBytes,
        handle: (question, signal) => options.onRequest(from.site, question, signal),
        onFault: onFault('request'),
      })
      owned(served, 'request')
    }),
    {
      // Streams that are just closing still count, so the receiver allows for twice what is opened.
      maxInboundStreams: 2 * bounds.requestStreamsPerPeer,
      maxOutboundStreams: bounds.requestStreamsPerPeer,
    },
  )
  await libp2p.handle(
    protocols.fetch,
    forMembers((stream, from) => {
      counters.add('fetchesReceived')
      const served = serveBulk(stream, {
        bounds,
        counters,
        open: (header, signal) => options.onFetch(from.site, header, signal),
        onFault: onFault('fetch'),
      })
      owned(served, 'fetch')
    }),
    {
      maxInboundStreams: 2 * bounds.fetchStreamsPerPeer,
      maxOutboundStreams: bounds.fetchStreamsPerPeer,
    },
  )
  const { onJoin } = options
  if (!onJoin) return
  const joins = openRate(bounds.joinsPerMinute, limits.sitesMax)
  await libp2p.handle(
    protocols.join,
    (stream, connection) => {
      if (!joins.allow('everybody')) {
        counters.add('joinsRateLimited')
        stream.abort(failure('busy', 'too many requests to join'))
        return
      }
      counters.add('joinsReceived')
      const address = connection.remoteAddr.toString()
      const served = answer(stream, {
        bounds,
        questionBytesMax: bounds.joinRequestBytes,
        answerBytesMax: limits.messageBytes,
        handle: (question) => onJoin.call(options, question, address),
        onFault: onFault('join'),
      })
      owned(served, 'join')
    },
    { maxInboundStreams: 2, maxOutboundStreams: 2 },
  )
}
