// The network between simulated sites: connections that come and go, seen at different times at
// their two ends; messages that are late, lost, doubled and out of order; partitions. A connection
// is between two processes, so it ends with either of them.

import type { GossipTopic } from '../../protocol/machine/gossip.ts'
import type { Random } from './random.ts'
import type { VirtualTime } from './virtual-time.ts'

export interface Gossip {
  readonly topic: GossipTopic
  readonly note: string
}

/** What the network needs of a process. */
export interface Endpoint {
  readonly name: string
  /** Whether it would talk to that site: both have to. */
  knows(name: string): boolean
  cameUp(peer: string): void
  wentDown(peer: string): void
  received(from: string, encoded: string): void
  /** Gossip of `from`. */
  heard(from: string, gossip: Gossip): void
}

export interface NetworkOptions {
  readonly time: VirtualTime
  readonly chance: Random
  readonly delayMsMax: number
  /** In a thousand. */
  loss: number
  doubled: number
  /** Messages that overtake others; the rest of a direction stays in order, as in a stream. */
  readonly overtaking: number
}

export interface Network {
  attach(endpoint: Endpoint): void
  detach(endpoint: Endpoint): void
  connected(left: string, right: string): boolean
  send(from: string, to: string, encoded: string): void
  /** Gossip: to everybody connected. */
  publish(from: string, gossip: Gossip): void
  /** Connections between these two are cut and refused until `mend`. */
  cut(left: string, right: string): void
  mend(left: string, right: string): void
  /** From here on nothing is lost or doubled. */
  calm(): void
  /** The connection breaks once. */
  breakOff(left: string, right: string): void
  /** What one says to the other vanishes until `hear`; nobody is told, until pings are missed. */
  deafen(from: string, to: string): void
  hear(from: string, to: string): void
  /** Bytes in a millisecond and direction between these two; undefined: as many as there are. */
  narrow(left: string, right: string, bytesPerMs: number | undefined): void
}

interface Message {
  readonly from: string
  readonly to: string
  readonly encoded: string
}

interface Pair {
  readonly names: readonly [string, string]
  cut: boolean
  /** Grows with every connection; undefined while there is none. */
  session: number | undefined
  sessions: number
  /** Which connection each end was told of. */
  readonly told: [number | undefined, number | undefined]
  /** When the newest message in order arrives, by direction. */
  readonly arrives: Map<string, number>
  /** A try to connect is under way. */
  trying: boolean
  /** Who hears nothing of the other. */
  readonly deaf: Set<string>
  bytesPerMs: number | undefined
  /** Until when the line to each end is taken by what was sent before. */
  readonly taken: Map<string, number>
}

const retryMs = 700
const pingsMissedMs = [5_000, 20_000] as const

export function createNetwork(options: NetworkOptions): Network {
  const { time, chance } = options
  const endpoints = new Map<string, Endpoint>()
  const pairs = new Map<string, Pair>()

  const pairOf = (left: string, right: string): Pair => {
    const names: [string, string] = left < right ? [left, right] : [right, left]
    const key = names.join(' ')
    let pair = pairs.get(key)
    if (!pair) {
      pair = {
        names, cut: false, session: undefined, sessions: 0, told: [undefined, undefined],
        arrives: new Map(), trying: false, deaf: new Set(), bytesPerMs: undefined,
        taken: new Map(),
      }
      pairs.set(key, pair)
    }
    return pair
  }

  const tryLater = (pair: Pair): void => {
    if (pair.trying) return
    pair.trying = true
    time.after(retryMs + chance.int(500), () => {
      pair.trying = false
      connect(pair)
    })
  }

  const connect = (pair: Pair): void => {
    const [left, right] = pair.names.map((name) => endpoints.get(name))
    if (!left || !right || pair.session !== undefined) return
    const isShut = pair.cut || pair.deaf.size > 0
    if (isShut || !left.knows(right.name) || !right.knows(left.name)) return tryLater(pair)
    pair.session = ++pair.sessions
    for (const end of [0, 1] as const) tellUp(pair, end, pair.session)
  }

  const tellUp = (pair: Pair, end: 0 | 1, session: number): void => {
    const endpoint = endpoints.get(pair.names[end])
    time.after(chance.int(options.delayMsMax), () => {
      if (pair.session !== session || endpoints.get(pair.names[end]) !== endpoint) return
      // An end that had not noticed the break sees a new connection in place of the old one.
      if (pair.told[end] !== undefined && chance.chance(500)) endpoint?.wentDown(other(pair, end))
      pair.told[end] = session
      endpoint?.cameUp(other(pair, end))
    })
  }

  const other = (pair: Pair, end: 0 | 1): string => pair.names[end === 0 ? 1 : 0]

  const disconnect = (pair: Pair): void => {
    const session = pair.session
    if (session === undefined) return
    pair.session = undefined
    for (const end of [0, 1] as const) {
      const endpoint = endpoints.get(pair.names[end])
      const slow = chance.chance(200) ? 8_000 : 500
      time.after(chance.int(slow), () => {
        if (pair.told[end] !== session || endpoints.get(pair.names[end]) !== endpoint) return
        pair.told[end] = undefined
        endpoint?.wentDown(other(pair, end))
      })
    }
    tryLater(pair)
  }

  const deliver = (pair: Pair, session: number, message: Message): void => {
    const slow = chance.chance(50) ? 5 : 1
    const earliest = throughAt(pair, message) + chance.int(options.delayMsMax * slow)
    const inOrder = !chance.chance(options.overtaking)
    const at = inOrder ? Math.max(earliest, pair.arrives.get(message.to) ?? 0) : earliest
    if (inOrder) pair.arrives.set(message.to, at)
    time.after(at - time.now(), () => {
      if (pair.session !== session || pair.deaf.has(message.to)) return
      endpoints.get(message.to)?.received(message.from, message.encoded)
    })
  }

  /** When the last byte has gone into the line. */
  const throughAt = ({ bytesPerMs, taken }: Pair, { to, encoded }: Message): number => {
    if (bytesPerMs === undefined) return time.now()
    const from = Math.max(time.now(), taken.get(to) ?? 0)
    const at = from + Math.ceil(encoded.length / bytesPerMs)
    taken.set(to, at)
    return at
  }

  return {
    attach(endpoint) {
      endpoints.set(endpoint.name, endpoint)
      for (const name of endpoints.keys()) {
        if (name !== endpoint.name) tryLater(pairOf(name, endpoint.name))
      }
    },
    detach(endpoint) {
      if (endpoints.get(endpoint.name) !== endpoint) return
      endpoints.delete(endpoint.name)
      for (const pair of pairs.values()) {
        const end = pair.names.indexOf(endpoint.name)
        if (end < 0) continue
        pair.told[end as 0 | 1] = undefined
        disconnect(pair)
      }
    },
    connected: (left, right) => pairOf(left, right).session !== undefined,
    send(from, to, encoded) {
      const pair = pairOf(from, to)
      const { session } = pair
      if (session === undefined || chance.chance(options.loss)) return
      deliver(pair, session, { from, to, encoded })
      if (chance.chance(options.doubled)) deliver(pair, session, { from, to, encoded })
    },
    publish(from, gossip) {
      for (const [to, endpoint] of endpoints) {
        const pair = pairOf(from, to)
        if (to === from || pair.session === undefined || chance.chance(options.loss)) continue
        time.after(chance.int(2 * options.delayMsMax), () => {
          if (endpoints.get(to) === endpoint && !pair.deaf.has(to)) endpoint.heard(from, gossip)
        })
      }
    },
    cut(left, right) {
      const pair = pairOf(left, right)
      pair.cut = true
      disconnect(pair)
    },
    mend(left, right) {
      const pair = pairOf(left, right)
      pair.cut = false
      tryLater(pair)
    },
    calm() {
      options.loss = 0
      options.doubled = 0
    },
    breakOff: (left, right) => disconnect(pairOf(left, right)),
    deafen(from, to) {
      const pair = pairOf(from, to)
      pair.deaf.add(to)
      const { session } = pair
      time.after(chance.between(...pingsMissedMs), () => {
        if (pair.deaf.size > 0 && pair.session === session) disconnect(pair)
      })
    },
    hear(from, to) {
      const pair = pairOf(from, to)
      pair.deaf.delete(to)
      tryLater(pair)
    },
    narrow(left, right, bytesPerMs) {
      const pair = pairOf(left, right)
      pair.bytesPerMs = bytesPerMs
      pair.taken.clear()
    },
  }
}
