// A federation of many sites that belong together already: the founder has admitted them one after
// the other by the production rules, and every other site's records are made from the founder's,
// without a thousand times a thousand signatures checked. They are what joining gives, but for one
// thing: all logs begin with the entries in the founder's order, so that they share one tree (a
// site that joins has its own genesis first).

import type { FederationId, SiteName } from '../../../protocol/base/ids.ts'
import { sha256Hex, toHex } from '../../../protocol/base/crypto.ts'
import type { Tables } from '../../../protocol/base/tables.ts'
import { applyWrites, draft } from '../../../protocol/base/tables.ts'
import type { CoreTables } from '../../../protocol/machine/state.ts'
import { admitMember, issueStatement } from '../../../protocol/rules/ledger.ts'
import type { LedgerHead } from '../../../protocol/rules/ledger-book.ts'
import { directionKey } from '../../../protocol/rules/ledger-book.ts'
import { parseStatement } from '../../../protocol/rules/statement.ts'
import type { Identity } from '../identity.ts'
import { found, genesisOf, must } from '../identity.ts'
import { Layered } from './layered.ts'

export interface Members {
  readonly federation: FederationId
  /** The founder's records, cold ones too. */
  readonly tables: Tables
}

/** The first founds, and admits all others. */
export function admitAll(identities: readonly Identity[], at: number): Members {
  const [founder, ...others] = identities
  if (!founder) throw new Error('a federation has a founder')
  const tables: Tables = new Map()
  const founded = found(founder, sha256Hex('scale').slice(0, 32), at)
  applyWrites(tables, founded.writes, new Set())
  for (const identity of others) {
    const { site, root, addresses } = identity
    const genesis = genesisOf(identity, founded.federation, at)
    const view = draft<CoreTables>(tables)
    const policy = must(issueStatement(view, founder.signer, {
      kind: 'policy', to: '*', at, about: 'admit', admit: site, root: toHex(root.publicKey),
      genesis: must(parseStatement(genesis)).sid,
    })).note
    must(admitMember(view, founder.site, { policy, genesis }))
    view.put('members', site, { site, genesis, policy, addresses, renewals: [] })
    applyWrites(tables, view.writes(), new Set())
  }
  return { federation: founded.federation, tables }
}

/** The records of one of them, on top of what all share. */
export function recordsOf({ tables }: Members, site: SiteName, at: number): Tables {
  const own: Tables = new Map()
  for (const [table, records] of tables) own.set(table, new Layered(records))
  const head = tables.get('ledgerHead')?.get('head') as LedgerHead
  if (site === head.founder) return own
  const { genesis: sid } = tables.get('ledgerMembers')!.get(site) as CoreTables['ledgerMembers']
  own.set('ledgerDirections', new Map([[directionKey(site, '*'), { e: 1, n: 1, sid, at }]]))
  own.set('ledgerHead', new Map([['head', { ...head, site }]]))
  return own
}
