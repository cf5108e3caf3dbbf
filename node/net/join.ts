// Asking to join, from outside the federation: a libp2p node that lives for one question to one
// sponsor.

import { createLibp2p } from 'libp2p'
import { assert } from '../../protocol/base/assert.ts'
import { limits } from '../../protocol/base/limits.ts'
import { clock } from '../clock.ts'
import { stackOf } from './assemble.ts'
import { netBounds } from './bounds.ts'
import { ask, orAborted } from './exchange.ts'
import { codeOf, failure, messageOf } from './failure.ts'
import { peerIdOfKey, privateKeyOfSeed } from './keys.ts'
import { addressOf } from './members.ts'
import type { JoinOptions } from './door.ts'

export function joinProtocol(federation: string): string {
  return `/gridnode/${federation}/join/1`
}

/**
 * Dials the sponsor, checks that it holds `sponsorKey`, asks once, closes everything. Throws a
 * Failure: `down` (no address answered), `timeout`, `refused:<code>` (the sponsor said no) or
 * `broken`.
 */
export async function joinVia(options: JoinOptions): Promise<string> {
  const { request, timeoutMs } = options
  assert(Buffer.byteLength(request) <= netBounds.joinRequestBytes, 'a join request is small')
  const sponsor = peerIdOfKey(options.sponsorKey)
  const addresses = options.addresses.map((address) => addressOf(address, sponsor))
  const privateKey = await privateKeyOfSeed(options.networkSecret)
  const signal = clock.deadline(timeoutMs)
  const libp2p = await createLibp2p({ ...stackOf(netBounds), privateKey })
  try {
    const connection = await dialled()
    const protocol = joinProtocol(options.federation)
    const stream = await connection.newStream(protocol, { signal })
    const bounds = { bounds: netBounds, answerBytesMax: limits.messageBytes, signal }
    return await orAborted(ask(stream, request, bounds), signal)
  } catch (error) {
    if (signal.aborted) {
      throw failure('timeout', `the sponsor did not answer within ${timeoutMs} ms`, error)
    }
    if (codeOf(error) !== '') throw error
    const hint = 'is it of this federation, and does it take requests to join?'
    throw failure('broken', `the sponsor was reached but not asked: ${hint}`, error)
  } finally {
    await libp2p.stop()
  }

  async function dialled() {
    try {
      return await libp2p.dial(addresses, { signal })
    } catch (error) {
      const tried = options.addresses.join(', ')
      throw failure('down', `the sponsor is not reachable at ${tried}: ${messageOf(error)}`, error)
    }
  }
}
