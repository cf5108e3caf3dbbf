// What each kind of statement does to members, terms, holds and accounts: rules 5 to 9 of the
// ledger.
// Invariants: each function checks everything and then writes, so a refusal changes nothing; every
// sum is at most 2^63 - 1 because no hold is let in that could carry one beyond; a hold ends once.

import { unreachable } from '../base/assert.ts'
import type { Sid, SiteName } from '../base/ids.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import type { View } from '../base/tables.ts'
import type { Microcredits } from '../base/units.ts'
import { microcredits, microcreditsMax, zeroMicrocredits } from '../base/units.ts'
import type { Account, HoldRecord, LedgerTables } from './ledger-book.ts'
import { account, directionKey } from './ledger-book.ts'
import type { LedgerRefusal } from './ledger-refusal.ts'
import type { PairStatement, PublicStatement, StatementOf } from './statement.ts'
import { price } from './tariff.ts'

/** Usages of one hold that wait for the home's word; a host that has more must wait for it. */
export const openClaimsMax = 64

/** Where the statement stands in the log that is written. */
export interface Entry {
  readonly sid: Sid
  readonly index: number
  /** Whose log it is: only a creditor's own log enforces its limits [LEDGER-8]. */
  readonly self: SiteName
}

type Done = Outcome<undefined, LedgerRefusal>
const done: Done = ok(undefined)

/** Checks `statement` against the state of the book and carries it out. */
export function carryOut(
  view: View<LedgerTables>, statement: PublicStatement | PairStatement, entry: Entry,
): Done {
  switch (statement.kind) {
    case 'policy': return admitSite(view, statement, entry)
    case 'tariff': return publishTariff(view, statement, entry)
    case 'credit': return grantCredit(view, statement)
    case 'contract': return statement.side === 'offer'
      ? offerContract(view, statement, entry)
      : agreeContract(view, statement, entry)
    case 'hold': return askHold(view, statement, entry)
    case 'held': return answerHold(view, statement, entry)
    case 'declined': return answerHold(view, statement, entry)
    case 'usage': return claimUsage(view, statement, entry)
    case 'accept': return acceptUsage(view, statement)
    case 'void': return voidHold(view, statement)
    default: return unreachable(statement)
  }
}

/** Balance owed plus all that is held; below zero when the creditor owes the debtor more. */
export function exposure(
  view: View<LedgerTables>, creditor: SiteName, debtor: SiteName,
): Microcredits {
  return microcredits(
    balanceOf(view, creditor, debtor) + account(view, creditor, debtor).held,
  )
}

/** Net: what `other` owes `site`; negative when `site` owes. */
export function balanceOf(
  view: View<LedgerTables>, site: SiteName, other: SiteName,
): Microcredits {
  return microcredits(account(view, site, other).posted - account(view, other, site).posted)
}

/** The limit that `creditor` grants `debtor`, 0 until granted. */
export function creditLimit(
  view: View<LedgerTables>, creditor: SiteName, debtor: SiteName,
): Microcredits {
  return view.get('ledgerCredits', directionKey(creditor, debtor))?.limit ?? zeroMicrocredits
}

function admitSite(
  view: View<LedgerTables>, said: StatementOf<'policy'>, { sid }: Entry,
): Done {
  const { admit: site, root, genesis, from: sponsor } = said
  const known = view.get('ledgerAdmissions', site)
  const member = view.get('ledgerMembers', site)
  const genesisKnown = member?.genesis ?? known?.genesis ?? ''
  const rootKnown = member?.root ?? known?.root ?? root
  if (rootKnown !== root || (genesisKnown !== '' && genesisKnown !== genesis)) {
    return wrongState(`${site} is known by another root key or genesis`)
  }
  if (!known) view.put('ledgerAdmissions', site, { site, root, genesis, sponsor, policy: sid })
  return done
}

function publishTariff(
  view: View<LedgerTables>, said: StatementOf<'tariff'>, { sid }: Entry,
): Done {
  const { task, core_hour, gib_hour, speed_permille, factor_permille_max, rounding } = said
  view.put('ledgerTariffs', sid, {
    site: said.from, sid, task, core_hour, gib_hour, speed_permille, factor_permille_max, rounding,
  })
  return done
}

function grantCredit(view: View<LedgerTables>, said: StatementOf<'credit'>): Done {
  view.put('ledgerCredits', directionKey(said.from, said.to), { limit: said.limit })
  return done
}

function offerContract(
  view: View<LedgerTables>,
  said: Extract<StatementOf<'contract'>, { readonly side: 'offer' }>,
  { sid }: Entry,
): Done {
  const tariff = view.get('ledgerTariffs', said.tariff)
  if (tariff?.site !== said.to) return unknownReference(`tariff of ${said.to}`, said.tariff)
  if (said.factor_permille > tariff.factor_permille_max) {
    return tooMuch('factor_permille', tariff.factor_permille_max, said.factor_permille)
  }
  const {
    side, job, auction, bid, factor_permille, cores, memory_mib, walltime_s, lease_s, accept_s,
    tasks_max,
  } = said
  view.put('ledgerContracts', sid, {
    sid,
    home: said.from,
    host: said.to,
    terms: {
      side, job, auction, bid, tariff: said.tariff, factor_permille, cores, memory_mib, walltime_s,
      lease_s, accept_s, tasks_max,
    },
    agreed: '',
  })
  return done
}

function agreeContract(
  view: View<LedgerTables>,
  said: Extract<StatementOf<'contract'>, { readonly side: 'agree' }>,
  { sid }: Entry,
): Done {
  const contract = view.get('ledgerContracts', said.contract)
  if (contract?.host !== said.from || contract.home !== said.to) {
    return unknownReference(`offer of ${said.to} to ${said.from}`, said.contract)
  }
  if (contract.agreed !== '') return wrongState('the contract is agreed already')
  view.put('ledgerContracts', contract.sid, { ...contract, agreed: sid })
  return done
}

function askHold(
  view: View<LedgerTables>, said: StatementOf<'hold'>, { sid, index }: Entry,
): Done {
  const { from: home, to: host } = said
  const contract = view.get('ledgerContracts', said.contract)
  if (contract?.home !== home || contract.host !== host) {
    return unknownReference(`contract of ${home} with ${host}`, said.contract)
  }
  if (said.tasks > contract.terms.tasks_max) {
    return tooMuch('tasks', contract.terms.tasks_max, said.tasks)
  }
  const books = account(view, host, home)
  const room = microcreditsMax - books.posted - books.held - books.asked
  if (said.amount > room) return tooMuch('amount', room, said.amount)
  view.put('ledgerHolds', sid, {
    sid,
    contract: contract.sid,
    home,
    host,
    amount: said.amount,
    tasks: said.tasks,
    askedEpochMs: said.at,
    validUntilEpochMs: said.valid_until,
    state: 'asked',
    index,
    used: { tasks: 0, core_s: 0, gib_s: 0 },
    claimed: zeroMicrocredits,
    claimedFinal: 0,
    accepted: zeroMicrocredits,
    claims: [],
  })
  post(view, books, { asked: said.amount })
  return done
}

function answerHold(
  view: View<LedgerTables>, said: StatementOf<'held' | 'declined'>, { self }: Entry,
): Done {
  const { from: host, to: home } = said
  const hold = holdBetween(view, said.hold, { home, host })
  if (!hold) return unknownReference(`hold of ${home} at ${host}`, said.hold)
  if (hold.state !== 'asked') return wrongState(`the hold is ${hold.state}, not asked`)
  const books = account(view, host, home)
  if (said.kind === 'declined') {
    view.put('ledgerHolds', hold.sid, { ...hold, state: 'declined' })
    post(view, books, { asked: -hold.amount })
    return done
  }
  // A hold may travel with the offer of its contract; it counts only once the host has agreed.
  if (view.get('ledgerContracts', hold.contract)?.agreed === '') {
    return wrongState('the contract is not agreed by the host')
  }
  if (host === self && host !== home) {
    const limit = creditLimit(view, host, home)
    const exposed = exposure(view, host, home)
    if (exposed + hold.amount > limit) {
      return refuse({ reason: 'over_limit', limit, exposure: exposed, amount: hold.amount })
    }
  }
  view.put('ledgerHolds', hold.sid, { ...hold, state: 'held' })
  post(view, books, { asked: -hold.amount, held: hold.amount })
  return done
}

function claimUsage(
  view: View<LedgerTables>, said: StatementOf<'usage'>, { sid }: Entry,
): Done {
  const { from: host, to: home } = said
  const hold = holdBetween(view, said.hold, { home, host })
  if (!hold) return unknownReference(`hold of ${home} at ${host}`, said.hold)
  if (hold.state !== 'held') return wrongState(`the hold is ${hold.state}, not held`)
  if (hold.claimedFinal === 1) return wrongState('the final usage is claimed already')
  for (const field of ['tasks', 'core_s', 'gib_s'] as const) {
    if (said[field] < hold.used[field]) return fell(field, hold.used[field], said[field])
  }
  if (said.amount < hold.claimed) return fell('amount', hold.claimed, said.amount)
  if (said.tasks > hold.tasks) return tooMuch('tasks', hold.tasks, said.tasks)
  if (hold.claims.length >= openClaimsMax) {
    return tooMuch('claims not yet accepted', openClaimsMax, hold.claims.length + 1)
  }
  const expected = chargeFor(view, hold, said)
  if (said.amount !== expected) {
    return refuse({ reason: 'wrong_amount', expected, found: said.amount })
  }
  view.put('ledgerHolds', hold.sid, {
    ...hold,
    used: { tasks: said.tasks, core_s: said.core_s, gib_s: said.gib_s },
    claimed: said.amount,
    claimedFinal: said.final,
    claims: [...hold.claims, { sid, amount: said.amount, final: said.final }],
  })
  post(view, account(view, host, home), { claimed: said.amount - hold.claimed })
  return done
}

/** The tariff applied to the usage; what goes beyond the hold is the host's loss [LEDGER-9]. */
export function chargeFor(
  view: View<LedgerTables>,
  hold: HoldRecord,
  usage: { readonly tasks: number, readonly core_s: number, readonly gib_s: number },
): Microcredits {
  const contract = view.get('ledgerContracts', hold.contract)
  const tariff = contract && view.get('ledgerTariffs', contract.terms.tariff)
  if (!tariff) return zeroMicrocredits
  const charge = price(tariff, contract.terms.factor_permille, usage)
  return charge > hold.amount ? hold.amount : charge
}

function acceptUsage(view: View<LedgerTables>, said: StatementOf<'accept'>): Done {
  const { from: home, to: host } = said
  const hold = holdBetween(view, said.hold, { home, host })
  if (!hold) return unknownReference(`hold of ${home} at ${host}`, said.hold)
  if (hold.state !== 'held') return wrongState(`the hold is ${hold.state}, not held`)
  const at = hold.claims.findIndex(({ sid }) => sid === said.usage)
  const claim = hold.claims[at]
  if (!claim) return unknownReference('usage not older than the last accepted one', said.usage)
  if (said.amount < hold.accepted) return fell('amount', hold.accepted, said.amount)
  if (said.amount > claim.amount) return tooMuch('amount', claim.amount, said.amount)
  const settles = claim.final === 1 && said.amount === claim.amount
  if (said.final !== (settles ? 1 : 0)) {
    return wrongState('final means: a final usage, accepted in full')
  }
  const moved = said.amount - hold.accepted
  view.put('ledgerHolds', hold.sid, {
    ...hold,
    state: settles ? 'done' : 'held',
    accepted: said.amount,
    claims: settles ? [] : hold.claims.slice(at),
  })
  post(view, account(view, host, home), {
    posted: moved,
    claimed: -moved,
    held: settles ? hold.accepted - hold.amount : -moved,
  })
  return done
}

function voidHold(view: View<LedgerTables>, said: StatementOf<'void'>): Done {
  const { from: host, to: home } = said
  const hold = holdBetween(view, said.hold, { home, host })
  if (!hold) return unknownReference(`hold of ${home} at ${host}`, said.hold)
  if (hold.state !== 'held') return wrongState(`the hold is ${hold.state}, not held`)
  if (hold.claims.length > 0) return wrongState('usage is claimed already')
  view.put('ledgerHolds', hold.sid, { ...hold, state: 'void' })
  post(view, account(view, host, home), { held: -hold.amount })
  return done
}

function holdBetween(
  view: View<LedgerTables>,
  sid: Sid,
  sites: { readonly home: SiteName, readonly host: SiteName },
): HoldRecord | undefined {
  const hold = view.get('ledgerHolds', sid)
  return hold?.home === sites.home && hold.host === sites.host ? hold : undefined
}

type Change = Partial<Record<'posted' | 'asked' | 'held' | 'claimed', bigint>>

function post(view: View<LedgerTables>, books: Account, change: Change): void {
  view.put('ledgerAccounts', directionKey(books.creditor, books.debtor), {
    ...books,
    posted: microcredits(books.posted + (change.posted ?? 0n)),
    asked: microcredits(books.asked + (change.asked ?? 0n)),
    held: microcredits(books.held + (change.held ?? 0n)),
    claimed: microcredits(books.claimed + (change.claimed ?? 0n)),
  })
}

function unknownReference(to: string, sid: Sid): Done {
  return refuse({ reason: 'unknown_reference', to, sid })
}

function wrongState(detail: string): Done {
  return refuse({ reason: 'wrong_state', detail })
}

function fell(field: string, before: bigint | number, found: bigint | number): Done {
  return refuse({ reason: 'fell', field, before: String(before), found: String(found) })
}

function tooMuch(field: string, max: bigint | number, found: bigint | number): Done {
  return refuse({ reason: 'too_much', field, max: String(max), found: String(found) })
}
