// The validator of both gossip topics: one table from what a note is to what becomes of it. Only
// what is accepted goes on to others, and becomes an event here.
//
// [GOSSIP-1] A note counts only from the site that signed it. [GOSSIP-2] What is old is ignored
// without blame; what is false is held against the peer that passed it on.

import type { SiteName } from '../base/ids.ts'
import type { View } from '../base/tables.ts'
import { readAnnouncement } from '../rules/announce.ts'
import { considerOffer } from '../rules/offer.ts'
import type { EventOf } from './events.ts'
import { offerContext, verifierOf } from './offers.ts'
import type { CoreTables, Self } from './state.ts'

export type GossipTopic = 'offers' | 'announcements'

type Unstamped<E> = Omit<E, 'at'>

export type GossipJudgement =
  | {
      readonly verdict: 'accept'
      readonly event: Unstamped<EventOf<'offerHeard'>> | Unstamped<EventOf<'callHeard'>>
    }
  | { readonly verdict: 'ignore' | 'reject' }

export interface Heard {
  readonly topic: GossipTopic
  /** Its author, by the message's own signature. */
  readonly from: SiteName
  readonly note: string
  readonly nowEpochMs: number
}

export function judgeGossip(view: View<CoreTables>, self: Self, heard: Heard): GossipJudgement {
  return heard.topic === 'offers' ? judgeOffer(view, self, heard) : judgeCall(view, self, heard)
}

function judgeOffer(view: View<CoreTables>, self: Self, heard: Heard): GossipJudgement {
  const considered = considerOffer(heard.note, offerContext(view, self, heard.nowEpochMs))
  if (considered.ok) {
    const kept = considered.value
    if (kept.offer.site !== heard.from) return { verdict: 'reject' }
    return { verdict: 'accept', event: { kind: 'offerHeard', kept } }
  }
  switch (considered.refusal.reason) {
    case 'not_newer': case 'expired': return { verdict: 'ignore' }
    // Whose admission has not reached us yet is no liar.
    case 'wrong_author': return { verdict: 'ignore' }
    default: return { verdict: 'reject' }
  }
}

function judgeCall(view: View<CoreTables>, self: Self, { from, note }: Heard): GossipJudgement {
  const verifier = verifierOf(view, from)
  if (!verifier) return { verdict: 'ignore' }
  const read = readAnnouncement(note, { federation: self.federation, from, verifier })
  return read.ok ? { verdict: 'accept', event: { kind: 'callHeard', from, note } }
    : { verdict: 'reject' }
}
