// What this node asks of a member: the answer to a request, and a bulk stream.

import type { Connection, Stream } from '@libp2p/interface'
import { assert } from '../../protocol/base/assert.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { clock } from '../clock.ts'
import type { NetBounds } from './bounds.ts'
import { readBulk } from './bulk.ts'
import type { BulkPool } from './bulk.ts'
import type { Counters } from './counters.ts'
import { ask } from './exchange.ts'
import { codeOf, failure, messageOf } from './failure.ts'
import type { Links } from './links.ts'
import type { Known, Members } from './members.ts'
import type { Network } from './door.ts'
import type { Protocols } from './serve.ts'

export interface AskingParts {
  readonly protocols: Protocols
  readonly members: Members
  readonly links: Links
  readonly bulk: BulkPool
  readonly bounds: NetBounds
  readonly counters: Counters
}

async function openStream(
  connection: Connection,
  protocol: string,
  signal: AbortSignal,
): Promise<Stream> {
  try {
    return await connection.newStream(protocol, { signal })
  } catch (cause) {
    if (signal.aborted) throw failure('aborted', 'given up while opening a stream', cause)
    const name = cause instanceof Error ? cause.name : ''
    if (name === 'TooManyOutboundProtocolStreamsError') {
      throw failure('busy', 'too many streams to this peer at once; try again later', cause)
    }
    if (name === 'UnsupportedProtocolError') {
      throw failure('refused', 'the peer does not serve this federation', cause)
    }
    throw failure('broken', `could not open a stream: ${messageOf(cause)}`, cause)
  }
}

/** The two ways to get something from a peer: a request's answer, and a bulk stream. */
export function asking(parts: AskingParts): Pick<Network, 'request' | 'fetch'> {
  const { bounds, bulk, counters, links, members, protocols } = parts

  function known(site: SiteName): Known {
    const found = members.bySite(site)
    if (!found) throw failure('unknown-site', `${site} is no member of the federation`)
    return found
  }

  return {
    async request(to, text, { timeoutMs, signal: caller }) {
      assert(Buffer.byteLength(text) <= bounds.requestBytes, 'a request is at most 1 MiB long')
      const link = links.get(known(to).id)
      if (!link) throw failure('down', `no connection to ${to}`)
      const late = clock.deadline(timeoutMs)
      const signal = caller ? AbortSignal.any([late, caller]) : late
      counters.add('requestsSent')
      try {
        const stream = await openStream(link.connection, protocols.request, signal)
        return await ask(stream, text, { bounds, answerBytesMax: bounds.requestBytes, signal })
      } catch (error) {
        counters.add('requestsFailed')
        if (caller?.aborted) throw failure('aborted', `the request to ${to} was given up`, error)
        if (late.aborted) throw failure('timeout', `${to} gave no answer in ${timeoutMs} ms`, error)
        if (codeOf(error) !== '') throw error
        throw failure('broken', `the request to ${to} broke: ${messageOf(error)}`, error)
      }
    },
    async *fetch(to, header, signal) {
      const bytes = Buffer.byteLength(header)
      assert(bytes <= bounds.fetchHeaderBytes, 'a fetch header is at most 1 MiB long')
      const peer = known(to)
      if (signal.aborted) throw failure('aborted', 'the bulk stream was given up', signal.reason)
      counters.add('fetchesSent')
      const lane = await bulk.acquire(peer, signal)
      try {
        const stream = await openStream(lane.connection, protocols.fetch, signal)
        for await (const part of readBulk(stream, header, { bounds, signal })) {
          counters.add('fetchBytesReceived', part.byteLength)
          yield part
        }
      } finally {
        lane.release()
      }
    },
  }
}
