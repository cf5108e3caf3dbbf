// Who belongs to the federation, by site and by libp2p identity, with addresses that can be
// dialled. A member whose key or address makes no sense is left out with a warning; it never stops
// the others.

import { multiaddr } from '@multiformats/multiaddr'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { PeerId } from '@libp2p/interface'
import type { SiteName } from '../../protocol/base/ids.ts'
import { messageOf } from './failure.ts'
import { peerIdOfKey } from './keys.ts'
import type { LogLevel, Member } from './door.ts'

export interface Known {
  readonly site: SiteName
  readonly peerId: PeerId
  /** The peer id as text, the key of every table here. */
  readonly id: string
  /** Multiaddrs that end in this member's `/p2p`, so that a dial proves who answers. */
  readonly addresses: readonly Multiaddr[]
}

export interface Members {
  bySite(site: SiteName): Known | undefined
  byId(id: string): Known | undefined
  all(): Iterable<Known>
  /** Replaces the list; answers who is gone (or has another key now). */
  replace(members: readonly Member[]): { readonly gone: Known[] }
}

type Log = (level: LogLevel, text: string, fields: Record<string, unknown>) => void

/** A multiaddr that names the peer it leads to; throws when the text is no multiaddr. */
export function addressOf(text: string, peerId: PeerId): Multiaddr {
  const plain = text.replace(/\/p2p\/[^/]+$/, '')
  return multiaddr(plain).encapsulate(`/p2p/${peerId.toString()}`)
}

function knownOf(member: Member, log: Log): Known | undefined {
  try {
    const peerId = peerIdOfKey(member.networkKey)
    const addresses: Multiaddr[] = []
    for (const text of member.addresses) {
      try {
        addresses.push(addressOf(text, peerId))
      } catch (error) {
        const reason = messageOf(error)
        log('warn', 'left out an address that is no multiaddr', { site: member.site, text, reason })
      }
    }
    return { site: member.site, peerId, id: peerId.toString(), addresses }
  } catch (error) {
    const reason = messageOf(error)
    log('warn', 'left out a member whose network key is not usable', { site: member.site, reason })
    return undefined
  }
}

export function openMembers(self: { site: SiteName; id: string }, log: Log): Members {
  let sites = new Map<SiteName, Known>()
  let ids = new Map<string, Known>()
  return {
    bySite: (site) => sites.get(site),
    byId: (id) => ids.get(id),
    all: () => sites.values(),
    replace(members) {
      const before = sites
      sites = new Map()
      ids = new Map()
      for (const member of members) {
        const known = knownOf(member, log)
        if (!known || known.site === self.site || known.id === self.id) continue
        if (sites.has(known.site) || ids.has(known.id)) {
          log('warn', 'left out a second member of the same name or key', { site: known.site })
          continue
        }
        sites.set(known.site, known)
        ids.set(known.id, known)
      }
      return { gone: [...before.values()].filter((old) => sites.get(old.site)?.id !== old.id) }
    },
  }
}
