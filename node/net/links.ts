// The message links to all members: who dials, which of two simultaneous streams stays, when to
// dial again.
//
// One stream carries the messages of both directions. Either side may open it, on a connection that
// it dialled for the purpose, by a hello that names its incarnation (random, one for each start)
// and how many streams it has opened so far; the other side answers with its own. Both sides judge
// a new stream alike:
//  - it is stale when the peer, in the same incarnation, had already opened it when it agreed to
//    the link that stands (its count is not above the one in that hello);
//  - while our own hello to that peer is on the way, the stream of the smaller peer id stays;
//  - otherwise it replaces the link: the peer restarted, or noticed before us that the old one is
//    broken.

import type { Connection, Stream } from '@libp2p/interface'
import type { SiteName } from '../../protocol/base/ids.ts'
import { compareBytes } from '../../protocol/base/ids.ts'
import { clock } from '../clock.ts'
import type { Timer } from '../clock.ts'
import { entropy } from '../entropy.ts'
import type { NetBounds } from './bounds.ts'
import type { Counters } from './counters.ts'
import { codeOf, failure, messageOf } from './failure.ts'
import { frameKind, frameOf, readText } from './frames.ts'
import { openLink } from './link.ts'
import type { Hello, Link } from './link.ts'
import type { Known, Members } from './members.ts'
import type { LogLevel } from './door.ts'
import { openPipe } from './pipe.ts'
import type { Pipe } from './pipe.ts'

export interface LinksOptions {
  /** Our own peer id. */
  readonly selfId: string
  readonly protocol: string
  readonly members: Members
  readonly bounds: NetBounds
  readonly counters: Counters
  dial(peer: Known, signal: AbortSignal): Promise<Connection>
  onText(from: SiteName, text: string): void
  onUp(peer: Known, connection: Connection): void
  onDown(peer: Known): void
  log(level: LogLevel, text: string, fields: Record<string, unknown>): void
}

export interface Links {
  /** Looks at the member list again: dials who is new, drops who is gone. */
  refresh(gone: readonly Known[]): void
  get(id: string): Link | undefined
  up(): SiteName[]
  accept(stream: Stream, connection: Connection): Promise<void>
  stop(): void
}

/** A stream of our own that is not a link yet; `said` once our hello is on the way. */
interface Opening {
  readonly giveUp: AbortController
  said: boolean
}

interface Peer {
  known: Known
  link: Link | undefined
  linkedMs: number
  opening: Opening | undefined
  redial: Timer | undefined
  failures: number
}

interface Proposal {
  readonly connection: Connection
  readonly pipe: Pipe
  readonly remote: Hello
}

const counterMax = 2 ** 48

function parseHello(text: string): Hello {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw failure('malformed', 'a hello that is not JSON', cause)
  }
  const { incarnation, opens } = (value ?? {}) as { incarnation?: unknown; opens?: unknown }
  if (typeof incarnation !== 'string' || !/^[0-9a-f]{16}$/.test(incarnation)) {
    throw failure('malformed', 'a hello without an incarnation of 16 hexadecimal digits')
  }
  if (!Number.isSafeInteger(opens) || (opens as number) < 0 || (opens as number) > counterMax) {
    throw failure('malformed', 'a hello without a count of opened streams')
  }
  return { incarnation, opens: opens as number }
}

export function openLinks(options: LinksOptions): Links {
  const { bounds, counters, log, members, selfId } = options
  const incarnation = Buffer.from(entropy.randomBytes(8)).toString('hex')
  const peers = new Map<string, Peer>()
  let opens = 0
  let stopped = false
  const helloFrame = (): Uint8Array =>
    frameOf(frameKind.hello, JSON.stringify({ incarnation, opens }))
  const beats = clock.every(bounds.heartbeatMs, () => {
    for (const peer of peers.values()) peer.link?.beat()
  })

  function peerOf(known: Known): Peer {
    let peer = peers.get(known.id)
    if (!peer) {
      peer = {
        known,
        link: undefined,
        linkedMs: 0,
        opening: undefined,
        redial: undefined,
        failures: 0,
      }
      peers.set(known.id, peer)
    }
    return peer
  }

  function schedule(peer: Peer): void {
    peer.redial?.stop()
    peer.redial = undefined
    if (stopped || peer.link || peer.opening || peers.get(peer.known.id) !== peer) return
    const first =
      compareBytes(selfId, peer.known.id) < 0 ? bounds.redialFirstMs : bounds.redialSecondMs
    const backoff = bounds.redialBaseMs * 2 ** Math.min(peer.failures - 1, 20)
    const waitMs = peer.failures === 0 ? first : Math.min(bounds.redialMaxMs, backoff)
    peer.redial = clock.after(entropy.jitter(waitMs), () => void open(peer))
  }

  function activate(peer: Peer, connection: Connection, pipe: Pipe, remote: Hello): void {
    peer.link?.end(failure('broken', 'the peer opened a newer message stream'))
    peer.redial?.stop()
    peer.redial = undefined
    const site = peer.known.site
    peer.linkedMs = clock.monotonicMs()
    peer.link = openLink({
      connection,
      pipe,
      remote,
      bounds,
      counters,
      onText: (text) => options.onText(site, text),
      onEnd: (reason) => {
        peer.link = undefined
        const livedMs = clock.monotonicMs() - peer.linkedMs
        peer.failures = livedMs >= bounds.linkStableMs ? 0 : peer.failures + 1
        counters.add('linksEnded')
        const why = { code: codeOf(reason), reason: reason.message }
        log('info', 'the link to a site ended', { site, ...why })
        options.onDown(peer.known)
        schedule(peer)
      },
    })
    counters.add('linksMade')
    log('info', 'linked to a site', { site, address: connection.remoteAddr.toString() })
    options.onUp(peer.known, connection)
  }

  /** Dials, says hello and waits for the answer; resolves with what a link needs. */
  async function propose(known: Known, opening: Opening): Promise<Proposal> {
    let connection: Connection | undefined
    try {
      counters.add('dials')
      connection = await options.dial(known, opening.giveUp.signal)
      const signal = AbortSignal.any([opening.giveUp.signal, clock.deadline(bounds.handshakeMs)])
      const stream = await connection.newStream(options.protocol, { signal })
      const pipe = openPipe(stream, bounds)
      const stop = (): void => pipe.abort(failure('aborted', 'this message stream is not kept'))
      signal.addEventListener('abort', stop, { once: true })
      if (signal.aborted) stop()
      await pipe.room()
      opens += 1
      opening.said = true
      await pipe.write(helloFrame())
      const remote = parseHello(await readText(pipe, frameKind.hello, bounds.helloBytes))
      signal.removeEventListener('abort', stop)
      return { connection, pipe, remote }
    } catch (error) {
      connection?.abort(failure('aborted', 'the connection carries no message stream'))
      throw error
    }
  }

  async function open(peer: Peer): Promise<void> {
    peer.redial = undefined
    if (stopped || peer.link || peer.opening || peer.known.addresses.length === 0) return
    const opening: Opening = { giveUp: new AbortController(), said: false }
    peer.opening = opening
    try {
      const proposal = await propose(peer.known, opening)
      if (peer.opening !== opening) {
        // The peer's own stream was accepted meanwhile.
        proposal.connection.abort(failure('aborted', 'another message stream was kept'))
        return
      }
      peer.opening = undefined
      activate(peer, proposal.connection, proposal.pipe, proposal.remote)
    } catch (error) {
      if (peer.opening !== opening) return
      peer.opening = undefined
      peer.failures += 1
      counters.add('dialsFailed')
      const level = peer.failures === 1 ? 'info' : 'debug'
      const { site } = peer.known
      log(level, 'could not link to a site', { site, reason: messageOf(error) })
      schedule(peer)
    }
  }

  function giveUp(peer: Peer, reason: string): void {
    const opening = peer.opening
    peer.opening = undefined
    opening?.giveUp.abort(failure('aborted', reason))
  }

  function isStale(peer: Peer, hello: Hello): boolean {
    const standing = peer.link?.remote
    return standing?.incarnation === hello.incarnation && hello.opens <= standing.opens
  }

  return {
    async accept(stream, connection) {
      const id = connection.remotePeer.toString()
      const pipe = openPipe(stream, bounds)
      const late = clock.after(bounds.handshakeMs, () =>
        pipe.abort(failure('timeout', 'no hello in time')),
      )
      try {
        const hello = parseHello(await readText(pipe, frameKind.hello, bounds.helloBytes))
        await pipe.room()
        const known = members.byId(id)
        if (!known || stopped) throw failure('refused', 'not a member')
        const peer = peerOf(known)
        if (isStale(peer, hello)) throw failure('refused', 'a newer message stream stands')
        if (peer.opening?.said && compareBytes(selfId, id) < 0) {
          throw failure('refused', 'our own message stream is on the way')
        }
        giveUp(peer, "the peer's own message stream was kept")
        // Nothing below waits: the answer leaves before the link's first message.
        const said = pipe.write(helloFrame())
        activate(peer, connection, pipe, hello)
        await said
      } catch (error) {
        const code = codeOf(error)
        counters.add(code === 'malformed' ? 'framesMalformed' : 'messageStreamsRefused')
        pipe.abort(error instanceof Error ? error : new Error(String(error)))
      } finally {
        late.stop()
      }
    },
    get: (id) => peers.get(id)?.link,
    up: () => [...peers.values()].filter((peer) => peer.link).map((peer) => peer.known.site),
    refresh(gone) {
      for (const known of gone) {
        const peer = peers.get(known.id)
        if (!peer) continue
        peers.delete(known.id)
        peer.redial?.stop()
        giveUp(peer, 'no longer a member')
        peer.link?.end(failure('refused', 'no longer a member'))
      }
      for (const known of members.all()) {
        const peer = peerOf(known)
        const moved = peer.known.addresses.join() !== known.addresses.join()
        peer.known = known
        if (moved) peer.failures = 0
        if (moved || !peer.redial) schedule(peer)
      }
    },
    stop() {
      stopped = true
      beats.stop()
      for (const peer of peers.values()) {
        peer.redial?.stop()
        giveUp(peer, 'the network stops')
        peer.link?.end(failure('aborted', 'the network stops'))
      }
    },
  }
}
