// A network of very many sites that are all connected and lose nothing: messages arrive late and in
// order, gossip goes along a mesh as gossipsub passes it on. Everything that is sent is counted.
//
// How gossip is counted: every site has `meshDegree` neighbours in a random mesh, and passes each
// note that is new to it on to all of them but the one that it came from and the author; so a note
// is sent about (meshDegree - 1) times for each site. A copy costs its text and `gossipFrameBytes`.
// What the library says beside it to keep the mesh alive is not simulated.

import type { GossipTopic } from '../../../protocol/machine/gossip.ts'
import type { Endpoint, Network } from '../network.ts'
import type { Random } from '../random.ts'
import type { VirtualTime } from '../virtual-time.ts'

/** The library's D. */
const meshDegree = 6
/** Topic, author, number, signature and the lengths of a gossipsub message. */
const gossipFrameBytes = 260
const messageFrameBytes = 5
const delayMs = [1, 40] as const

export interface Sum {
  messages: number
  bytes: number
}

export interface Counting {
  /** By the kind of message, and `gossip` with its topic. */
  readonly sums: ReadonlyMap<string, Readonly<Sum>>
  /** Notes that were published, by topic: each is sent many times. */
  readonly published: ReadonlyMap<GossipTopic, number>
}

export interface MeshNetwork extends Network {
  readonly counted: Counting
}

export interface MeshOptions {
  readonly time: VirtualTime
  readonly chance: Random
  readonly names: readonly string[]
  /** A note that has come to a site for the first time. */
  readonly heard: (at: number, from: string, topic: GossipTopic, note: string) => void
  /** A message leaves. */
  readonly sent?: (from: string, to: string, kind: string) => void
}

export function meshNetwork(options: MeshOptions): MeshNetwork {
  const { time, chance, names } = options
  const endpoints = new Map<string, Endpoint>()
  const indexOf = new Map(names.map((name, at) => [name, at]))
  const neighbours = meshOf(names.length, chance)
  const sums = new Map<string, Sum>()
  const published = new Map<GossipTopic, number>()
  /** When the newest message of a direction arrives: a stream stays in order. */
  const arrives = new Map<string, number>()

  const count = (kind: string, bytes: number): void => {
    const sum = sums.get(kind) ?? { messages: 0, bytes: 0 }
    sum.messages++
    sum.bytes += bytes
    sums.set(kind, sum)
  }

  const never = (): never => {
    throw new Error('this network does not fail')
  }

  return {
    counted: { sums, published },
    attach: (endpoint) => void endpoints.set(endpoint.name, endpoint),
    detach: never,
    connected: () => true,
    send(from, to, encoded) {
      const { kind } = JSON.parse(encoded) as { readonly kind: string }
      count(kind, Buffer.byteLength(encoded) + messageFrameBytes)
      options.sent?.(from, to, kind)
      const key = `${from} ${to}`
      const at = Math.max(time.now() + chance.between(...delayMs), arrives.get(key) ?? 0)
      arrives.set(key, at)
      time.after(at - time.now(), () => endpoints.get(to)?.received(from, encoded))
    },
    publish(from, { topic, note }) {
      published.set(topic, (published.get(topic) ?? 0) + 1)
      const author = indexOf.get(from)!
      const bytes = Buffer.byteLength(note) + gossipFrameBytes
      const seen = new Uint8Array(names.length)
      const pass = (at: number, before: number): void => {
        seen[at] = 1
        if (at !== author) options.heard(at, from, topic, note)
        for (const next of neighbours[at]!) {
          if (next === before || next === author) continue
          count(`gossip ${topic}`, bytes)
          time.after(chance.between(...delayMs), () => {
            if (seen[next] === 0) pass(next, at)
          })
        }
      }
      pass(author, author)
    },
    cut: never, mend: never, calm: never, breakOff: never, deafen: never, hear: never,
    narrow: never,
  }
}

/** Rings in random order laid over one another: connected, and nearly regular. */
function meshOf(size: number, chance: Random): readonly (readonly number[])[] {
  const sets = Array.from({ length: size }, () => new Set<number>())
  for (let ring = 0; ring < meshDegree / 2; ring++) {
    const order = Array.from({ length: size }, (_, at) => at)
    for (let at = size - 1; at > 0; at--) {
      const other = chance.int(at + 1)
      ;[order[at], order[other]] = [order[other]!, order[at]!]
    }
    for (const [at, site] of order.entries()) {
      const next = order[(at + 1) % size]!
      if (next === site) continue
      sets[site]!.add(next)
      sets[next]!.add(site)
    }
  }
  return sets.map((set) => [...set])
}
