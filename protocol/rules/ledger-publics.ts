// What a statement that has its place does: the table of all kinds, and those that concern
// everybody. Members come in here, and what a whole federation goes by.
// Invariant: each function checks everything and then writes.

import { unreachable } from '../base/assert.ts'
import type { View } from '../base/tables.ts'
import { zeroMicrocredits } from '../base/units.ts'
import type { Done, Entry } from './ledger-accounts.ts'
import { done, grantCredit, settlePair, wrongState } from './ledger-accounts.ts'
import type { LedgerTables } from './ledger-book.ts'
import { openHead } from './ledger-book.ts'
import {
  acceptUsage, agreeContract, answerHold, askHold, claimUsage, disputeUsage, offerContract,
  resolveHold, voidHold,
} from './ledger-holds.ts'
import { reconcilePair } from './ledger-pairs.ts'
import type {
  AdmitPolicy, FederationPolicy, PairStatement, PublicStatement, StatementOf,
} from './statement.ts'

/** Checks `statement` against the state of the book and carries it out: rules 5 to 13. */
export function carryOut(
  view: View<LedgerTables>, statement: PublicStatement | PairStatement, entry: Entry,
): Done {
  switch (statement.kind) {
    case 'policy': return statement.about === 'admit'
      ? admitSite(view, statement, entry)
      : setPolicy(view, statement, entry)
    case 'tariff': return publishTariff(view, statement, entry)
    case 'grant': return grantAllocation(view, statement, entry)
    case 'evidence': return freeze(view, statement, entry)
    // These move nothing: an auditor holds them against the log itself.
    case 'heads':
    case 'digest': return done
    case 'snapshot': return takeSnapshot(view, statement, entry)
    case 'credit': return grantCredit(view, statement, entry)
    case 'contract': return statement.side === 'offer'
      ? offerContract(view, statement, entry)
      : agreeContract(view, statement, entry)
    case 'hold': return askHold(view, statement, entry)
    case 'held':
    case 'declined': return answerHold(view, statement, entry)
    case 'usage': return claimUsage(view, statement, entry)
    case 'accept': return acceptUsage(view, statement, entry)
    case 'void': return voidHold(view, statement, entry)
    case 'dispute': return disputeUsage(view, statement, entry)
    case 'resolve': return resolveHold(view, statement, entry)
    case 'settle': return settlePair(view, statement, entry)
    case 'reconcile': return reconcilePair(view, statement, entry)
    default: return unreachable(statement)
  }
}

function admitSite(
  view: View<LedgerTables>,
  { admit: site, root, genesis, from: sponsor }: AdmitPolicy & StatementOf<'policy'>,
  { sid }: Entry,
): Done {
  const known = view.get('ledgerAdmissions', site)
  const rootKnown = view.get('ledgerMembers', site)?.root ?? known?.root ?? root
  const first = firstGenesisOf(view, site) ?? known?.genesis ?? ''
  if (rootKnown !== root || (first !== '' && first !== genesis)) {
    return wrongState(`${site} is known by another root key or genesis`)
  }
  if (!known) view.put('ledgerAdmissions', site, { site, root, genesis, sponsor, policy: sid })
  return done
}

/** A site is admitted with the genesis of its first epoch, whatever it has opened since. */
function firstGenesisOf(view: View<LedgerTables>, site: string): string | undefined {
  const member = view.get('ledgerMembers', site)
  return member?.epoch === 1 ? member.genesis : undefined
}

/** [LEDGER-10] Only the founder's word, each version newer; a quorum is more than two thirds. */
function setPolicy(
  view: View<LedgerTables>, said: FederationPolicy & StatementOf<'policy'>, { sid }: Entry,
): Done {
  const { version, witnesses, quorum, authorities } = said
  const { founder } = openHead(view)
  if (said.from !== founder) return wrongState(`only ${founder} sets the federation's policy`)
  if (new Set(witnesses).size !== witnesses.length) return wrongState('a witness is named twice')
  const isQuorum = witnesses.length === 0
    ? quorum === 0
    : quorum <= witnesses.length && 3 * quorum > 2 * witnesses.length
  if (!isQuorum) return wrongState(`${quorum} of ${witnesses.length} witnesses are no quorum`)
  const known = view.get('ledgerPolicy', 'federation')
  if (known && version === known.version) return wrongState(`there is a version ${version} already`)
  // An older one may arrive late, when statements of others come in any order.
  if (known && version < known.version) return done
  view.put('ledgerPolicy', 'federation', { sid, version, witnesses, quorum, authorities })
  return done
}

function publishTariff(
  view: View<LedgerTables>, said: StatementOf<'tariff'>, { sid, index }: Entry,
): Done {
  const { task, core_hour, gib_hour, speed_permille, factor_permille_max, rounding } = said
  view.put('ledgerTariffs', sid, {
    site: said.from, sid, index, task, core_hour, gib_hour, speed_permille, factor_permille_max,
    rounding,
  })
  return done
}

/** [LEDGER-11] An allocation is the word of an authority that the federation's policy names. */
function grantAllocation(
  view: View<LedgerTables>, said: StatementOf<'grant'>, { sid }: Entry,
): Done {
  const authorities = view.get('ledgerPolicy', 'federation')?.authorities ?? []
  if (!authorities.includes(said.from)) return wrongState(`${said.from} may not grant allocations`)
  if (said.until <= said.starts) return wrongState('the allocation ends before it starts')
  view.put('ledgerGrants', sid, {
    sid,
    authority: said.from,
    grantee: said.grantee,
    name: said.name,
    amount: said.amount,
    startsEpochMs: said.starts,
    untilEpochMs: said.until,
    held: zeroMicrocredits,
    spent: zeroMicrocredits,
  })
  return done
}

/** [LEDGER-14] Who says that a site lied gives it no new credit; debts stay what they are. */
function freeze(
  view: View<LedgerTables>, said: StatementOf<'evidence'>, { sid, self }: Entry,
): Done {
  if (said.accused === said.from) return wrongState('nobody accuses itself')
  if (said.from === self) {
    view.put('ledgerFrozen', said.accused, { epoch: said.epoch, sid })
  }
  return done
}

/** [LEDGER-15] A site's snapshot is of everything that stands before it in its log. */
function takeSnapshot(
  view: View<LedgerTables>, said: StatementOf<'snapshot'>, { index, self }: Entry,
): Done {
  if (said.from !== self || said.e !== openHead(view).epoch || said.size === index) return done
  return wrongState(`a snapshot of ${said.size} entries at entry ${index}`)
}
