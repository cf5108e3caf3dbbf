// Whom this site may say something to, now. A statement has a number that is used once; a database
// that is older than the truth would use one twice. So nothing is numbered for a peer before the
// peer has said how much it holds of what we said.
//
// [DELIVER-5] Nothing is numbered for a peer before that peer was heard since the process started.
// [DELIVER-6] In a new epoch nothing is said to a peer, and nothing begun with it, before its
//   `close` is on our log.

import type { SiteName } from '../base/ids.ts'
import type { View } from '../base/tables.ts'
import { openHead } from '../rules/ledger-book.ts'
import { directionOf } from '../rules/ledger.ts'
import { isQuarantined } from './quarantine.ts'
import type { CoreTables } from './state.ts'
import type { Turn } from './turn.ts'

/** Why nothing can be said to a peer now; it can be tried again later. */
export type Silence =
  | { readonly reason: 'quarantine' }
  | { readonly reason: 'not_heard' }

export function silence(turn: Turn, peer: SiteName): Silence | undefined {
  if (isQuarantined(turn)) return { reason: 'quarantine' }
  return turn.view.get('heardPeers', peer) ? undefined : { reason: 'not_heard' }
}

/** Our sequence to the peer is still that of an epoch before. */
export function isRecovering(view: View<CoreTables>, peer: SiteName): boolean {
  const { site, epoch } = openHead(view)
  return directionOf(view, site, peer).e < epoch
}

/** The peer's sequence to us is still that of an epoch before: it waits for our close. */
export function isAwaited(view: View<CoreTables>, peer: SiteName): boolean {
  const { site } = openHead(view)
  const epoch = view.get('ledgerMembers', peer)?.epoch ?? 1
  return directionOf(view, peer, site).e < epoch
}

/** Why no work is begun with a peer now; undefined when it may be. */
export function apartFrom(turn: Turn, peer: SiteName): string | undefined {
  const { view, self } = turn
  if (isQuarantined(turn)) return 'this site is in quarantine: gridnode ledger recover'
  if (peer === self.site) return undefined
  if (isRecovering(view, peer)) return 'our ledger begins anew, and the site has not agreed yet'
  if (isAwaited(view, peer)) return 'its ledger begins anew'
  return view.get('heardPeers', peer) ? undefined : 'it has not said how far its ledger goes'
}
