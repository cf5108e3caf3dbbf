// What the network offers and what it asks of its owner: types alone, so that every part of this
// folder can name them and none needs the whole.

import type { SiteName } from '../../protocol/base/ids.ts'
import type { NetBounds } from './bounds.ts'

/** A site of the federation, as its policy names it. */
export interface Member {
  readonly site: SiteName
  /** Ed25519 public key, 32 bytes: the libp2p identity. */
  readonly networkKey: Uint8Array
  /** Multiaddrs without `/p2p`, such as `/ip4/192.0.2.7/tcp/7700`. */
  readonly addresses: readonly string[]
}

export type GossipTopic = 'offers' | 'announcements'

/** accept: relayed; ignore: dropped without blame; reject: dropped and held against the relay. */
export type GossipVerdict = 'accept' | 'ignore' | 'reject'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface NetworkOptions {
  readonly site: SiteName
  /** Ed25519 seed, 32 bytes. */
  readonly networkSecret: Uint8Array
  /** Multiaddrs, such as `/ip4/0.0.0.0/tcp/7700`; port 0 takes a free one. */
  readonly listen: readonly string[]
  readonly announce?: readonly string[]
  readonly members: readonly Member[]
  /** The federation's id in hexadecimal: part of every protocol and topic name. */
  readonly federation: string
  onMessage(from: SiteName, text: string): void
  onPeer(site: SiteName, state: 'up' | 'down'): void
  /** `from` is the author, as proven by the message's own signature, never the relay. */
  onGossip(topic: GossipTopic, from: SiteName, text: string): GossipVerdict
  /** Answers a request to join, from who need not be a member; a thrown `code` is told. */
  onJoin?(request: string, remoteAddress: string): Promise<string>
  /** Answers a small request (both ways at most 1 MiB); a thrown `code` is told to the asker. */
  onRequest(from: SiteName, request: string, signal: AbortSignal): Promise<string>
  /** Serves a bulk stream; `signal` fires when the reader has gone. */
  onFetch(from: SiteName, header: string, signal: AbortSignal): AsyncIterable<Uint8Array>
  readonly log?: (level: LogLevel, text: string, fields: Record<string, unknown>) => void
  /** Other bounds than bounds.ts has, for links that are unlike others. */
  readonly bounds?: Partial<NetBounds>
}

export interface Network {
  readonly peerId: string
  /** Where this node can be reached, as multiaddrs without `/p2p`. */
  addresses(): readonly string[]
  /** Replaces the member list; who is gone or has another key is disconnected. */
  setMembers(members: readonly Member[]): void
  isUp(site: SiteName): boolean
  peersUp(): SiteName[]
  /** In order while a connection lives, lost when it breaks; `full` at the queue's bound. */
  send(to: SiteName, text: string): 'queued' | 'down' | 'full'
  publish(topic: GossipTopic, text: string): void
  request(
    to: SiteName,
    text: string,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<string>
  /** A bulk stream on a connection of its own; it ends after the server's end frame or throws. */
  fetch(to: SiteName, header: string, signal: AbortSignal): AsyncIterable<Uint8Array>
  counters(): Record<string, number>
  stop(): Promise<void>
}

export interface JoinOptions {
  readonly networkSecret: Uint8Array
  /** Multiaddrs of the sponsor, tried in turn. */
  readonly addresses: readonly string[]
  /** Ed25519 public key of the sponsor, 32 bytes: whoever answers must prove it. */
  readonly sponsorKey: Uint8Array
  readonly federation: string
  readonly request: string
  readonly timeoutMs: number
}
