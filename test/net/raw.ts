// A peer that need not keep the rules: a bare libp2p node, of any key, that says what a test says.

import { createLibp2p } from 'libp2p'
import type { Connection, Stream } from '@libp2p/interface'
import { stackOf } from '../../node/net/assemble.ts'
import { netBounds } from '../../node/net/bounds.ts'
import { peerIdOfKey, privateKeyOfSeed } from '../../node/net/keys.ts'
import { addressOf } from '../../node/net/members.ts'
import { openPipe } from '../../node/net/pipe.ts'
import type { Pipe } from '../../node/net/pipe.ts'
import type { Member } from '../../node/net/door.ts'
import type { Context } from '../harness.ts'
import { networkKeyOf, seedOf } from './site.ts'

export interface Raw {
  dial(target: Member): Promise<Connection>
  open(target: Member, protocol: string): Promise<{ stream: Stream; pipe: Pipe }>
  /** Answers every stream of `protocol` with these frames, whatever is asked. */
  serve(protocol: string, frames: readonly Uint8Array[]): Promise<Omit<Member, 'site'>>
}

export async function startRaw(ctx: Context, keyName: string): Promise<Raw> {
  const privateKey = await privateKeyOfSeed(seedOf(keyName))
  const listen = ['/ip4/127.0.0.1/tcp/0']
  const libp2p = await createLibp2p({ ...stackOf(netBounds), privateKey, addresses: { listen } })
  ctx.after(() => libp2p.stop())
  const dial = (target: Member): Promise<Connection> => {
    const peerId = peerIdOfKey(target.networkKey)
    return libp2p.dial(target.addresses.map((address) => addressOf(address, peerId)))
  }
  return {
    dial,
    async open(target, protocol) {
      const connection = await dial(target)
      const stream = await connection.newStream(protocol)
      return { stream, pipe: openPipe(stream, netBounds) }
    },
    async serve(protocol, frames) {
      const serveOne = (stream: Stream): void => {
        const pipe = openPipe(stream, netBounds)
        void (async () => {
          for (const frame of frames) await pipe.write(frame)
        })().catch(() => undefined)
      }
      await libp2p.handle(protocol, serveOne, { force: true })
      const addresses = libp2p.getMultiaddrs().map((address) => address.toString())
      return { networkKey: networkKeyOf(keyName), addresses }
    },
  }
}

/** Resolves when the other side has ended the stream. */
export function streamOver(pipe: Pipe): Promise<void> {
  return new Promise((resolve) => {
    if (pipe.closed.aborted) resolve()
    else pipe.closed.addEventListener('abort', () => resolve(), { once: true })
  })
}
