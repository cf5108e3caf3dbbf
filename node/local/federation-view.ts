// The federation as this site sees it: its policy, its allocations, and what the witnesses have
// said of this site's log.

import type { SiteName } from '../../protocol/base/ids.ts'
import { compareBytes } from '../../protocol/base/ids.ts'
import type { Tables } from '../../protocol/base/tables.ts'
import { freeOf } from '../../protocol/machine/home-grants.ts'
import { openHead } from '../../protocol/rules/ledger-book.ts'
import type { FederationAnswer } from '../http/api.ts'
import { get, viewOf } from './tables.ts'

export function federationView(tables: Tables, self: SiteName): FederationAnswer {
  const view = viewOf(tables)
  const { federation, federationName, founder, frontier } = openHead(view)
  const policy = get(tables, 'ledgerPolicy', 'federation')
  const grants = [...view.entries('ledgerGrants')].map(([sid, grant]) => ({
    sid,
    name: grant.name,
    grantee: grant.grantee,
    authority: grant.authority,
    amount: String(grant.amount),
    // Only the grantee's own log knows all that was spent.
    ...(grant.grantee === self && { held: String(grant.held), spent: String(grant.spent),
      free: String(freeOf(grant)) }),
    startsEpochMs: grant.startsEpochMs,
    untilEpochMs: grant.untilEpochMs,
  }))
  const cosigned = [...view.entries('cosigned')].flatMap(([site, known]) => {
    const newest = known.toSorted((a, b) => b.size - a.size)[0]
    return newest ? [{ site, size: newest.size, seconds: newest.seconds }] : []
  })
  const held = [...view.entries('heads')].map(([origin, { site, size, seenEpochMs }]) =>
    ({ site, origin, size, seenEpochMs }))
  return {
    federation,
    name: federationName,
    founder,
    entries: frontier.size,
    ...(policy && { policy: {
      version: policy.version,
      witnesses: policy.witnesses,
      quorum: policy.quorum,
      authorities: policy.authorities,
    } }),
    grants: grants.toSorted((a, b) => compareBytes(a.name, b.name) || compareBytes(a.sid, b.sid)),
    cosigned: cosigned.toSorted((a, b) => compareBytes(a.site, b.site)),
    held: held.toSorted((a, b) => compareBytes(a.origin, b.origin)),
  }
}
