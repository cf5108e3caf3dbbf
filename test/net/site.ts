// Sites for the network's tests: real sockets on loopback, and all that happens is written down.

import { createServer, connect } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { keyPairFromSeed } from '../../protocol/base/crypto.ts'
import { parseSiteName } from '../../protocol/base/ids.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { startNetwork } from '../../node/net/network.ts'
import type { Member, Network, NetworkOptions } from '../../node/net/door.ts'
import { eventually } from '../harness.ts'
import type { Context } from '../harness.ts'

export const federation = 'f0'.repeat(32)

export function siteName(text: string): SiteName {
  const name = parseSiteName(text)
  if (!name) throw new Error(`no site name: ${text}`)
  return name
}

/** A seed that is the same in every run, so that a failing order of peer ids can be repeated. */
export function seedOf(name: string): Uint8Array {
  const seed = new Uint8Array(32)
  new TextEncoder().encodeInto(name, seed)
  return seed
}

export function networkKeyOf(name: string): Uint8Array {
  return keyPairFromSeed(seedOf(name)).publicKey
}

export interface Site {
  readonly name: SiteName
  readonly network: Network
  readonly messages: { from: SiteName; text: string }[]
  readonly peerEvents: string[]
  readonly gossip: { topic: string; from: SiteName; text: string }[]
  member(): Member
  stop(): Promise<void>
}

export async function startSite(
  ctx: Context,
  name: string,
  more: Partial<NetworkOptions> = {},
): Promise<Site> {
  const messages: Site['messages'] = []
  const peerEvents: Site['peerEvents'] = []
  const gossip: Site['gossip'] = []
  const network = await startNetwork({
    site: siteName(name),
    networkSecret: seedOf(name),
    listen: ['/ip4/127.0.0.1/tcp/0'],
    members: [],
    federation,
    onMessage: (from, text) => void messages.push({ from, text }),
    onPeer: (site, state) => void peerEvents.push(`${site} ${state}`),
    onGossip: (topic, from, text) => {
      gossip.push({ topic, from, text })
      return 'accept'
    },
    onRequest: async (from, request) => `${from} asked ${request}`,
    onFetch: async function* (_from, header) {
      yield new TextEncoder().encode(header)
    },
    ...more,
  })
  let stopped: Promise<void> | undefined
  const stop = (): Promise<void> => (stopped ??= network.stop())
  ctx.after(stop)
  const addresses = network.addresses()
  return {
    name: siteName(name),
    network,
    messages,
    peerEvents,
    gossip,
    member: () => ({ site: siteName(name), networkKey: networkKeyOf(name), addresses }),
    stop,
  }
}

/** Makes all of them members of each other and waits until every pair is linked. */
export async function federate(sites: readonly Site[]): Promise<void> {
  const members = sites.map((site) => site.member())
  for (const site of sites) site.network.setMembers(members)
  const others = sites.length - 1
  await eventually(() => sites.every((site) => site.network.peersUp().length === others), {
    what: 'all sites are linked',
  })
}

export interface Proxy {
  /** The address that leads through the proxy. */
  readonly address: string
  /** Bytes stop flowing, no connection ends: a cut cable. */
  freeze(): void
  thaw(): void
  /** All connections end: a killed peer. */
  cut(): void
}

/** A TCP proxy in front of `target` (a multiaddr `/ip4/127.0.0.1/tcp/N`). */
export async function openProxy(ctx: Context, target: string): Promise<Proxy> {
  const port = Number(target.split('/').pop())
  const sockets = new Set<Socket>()
  let frozen = false
  const join = (from: Socket, to: Socket): void => {
    sockets.add(from)
    from.on('data', (data) => {
      if (!to.write(data)) from.pause()
    })
    to.on('drain', () => {
      if (!frozen) from.resume()
    })
    from.on('error', () => to.destroy())
    from.on('close', () => {
      sockets.delete(from)
      to.destroy()
    })
    if (frozen) from.pause()
  }
  const server = createServer((inbound) => {
    const outbound = connect(port, '127.0.0.1')
    join(inbound, outbound)
    join(outbound, inbound)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const cut = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  ctx.after(() => {
    cut()
    server.close()
  })
  return {
    address: `/ip4/127.0.0.1/tcp/${(server.address() as AddressInfo).port}`,
    freeze() {
      frozen = true
      for (const socket of sockets) socket.pause()
    },
    thaw() {
      frozen = false
      for (const socket of sockets) socket.resume()
    },
    cut,
  }
}

/** The code of the error that `promise` rejects with. */
export async function codeOfRejection(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
  } catch (error) {
    const code = (error as { code?: unknown }).code
    return typeof code === 'string' ? code : `no code: ${String(error)}`
  }
  return 'no error'
}
