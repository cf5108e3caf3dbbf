// Contracts, and the life of a hold under one: asked, held, claimed, accepted, disputed, resolved.
// Invariants: each function checks everything and then writes; a hold ends once. After the final
// usage the two sites' words may cross, so what follows is a lattice: `accepted` only rises, `asks`
// only falls, and the hold is done when they meet. In whatever order and however often such words
// arrive, both logs come to the same end.

import { verifySealed } from '../base/envelope.ts'
import type { Sid, SiteName } from '../base/ids.ts'
import { refuse } from '../base/outcome.ts'
import type { View } from '../base/tables.ts'
import type { Microcredits } from '../base/units.ts'
import {
  clampMicrocredits, microcredits, microcreditsMax, zeroMicrocredits,
} from '../base/units.ts'
import type { Done, Entry } from './ledger-accounts.ts'
import {
  creditLimit, done, exposure, fell, post, proposalFor, propose, tooMuch, unknownReference,
  wrongState,
} from './ledger-accounts.ts'
import type { GrantRecord, HoldRecord, LedgerTables } from './ledger-book.ts'
import { account, openHead } from './ledger-book.ts'
import { erasOf, statementVerifiers } from './ledger-keys.ts'
import { readRuling } from './ruling.ts'
import type { StatementOf } from './statement.ts'
import { price } from './tariff.ts'

/** Usages of one hold that wait for the home's word; a host that has more must wait for it. */
export const openClaimsMax = 64
/** Holds are asked within this time of their contract's offer, by the home's own dates. */
export const contractLifeMs = 30 * 86_400_000

export function offerContract(
  view: View<LedgerTables>,
  said: Extract<StatementOf<'contract'>, { readonly side: 'offer' }>,
  { sid, index }: Entry,
): Done {
  const tariff = view.get('ledgerTariffs', said.tariff)
  if (tariff?.site !== said.to) return unknownReference(`tariff of ${said.to}`, said.tariff)
  if (said.factor_permille > tariff.factor_permille_max) {
    return tooMuch('factor_permille', tariff.factor_permille_max, said.factor_permille)
  }
  const { kind: _kind, e: _e, fed: _fed, from, to, n: _n, prev: _prev, at, ...terms } = said
  view.put('ledgerContracts', sid, {
    sid, home: from, host: to, terms, agreed: '', offeredEpochMs: at, index,
  })
  return done
}

export function agreeContract(
  view: View<LedgerTables>,
  said: Extract<StatementOf<'contract'>, { readonly side: 'agree' }>,
  { sid }: Entry,
): Done {
  const contract = view.get('ledgerContracts', said.contract)
  if (contract?.host !== said.from || contract.home !== said.to) {
    return unknownReference(`offer of ${said.to} to ${said.from}`, said.contract)
  }
  if (contract.agreed !== '') return wrongState('the contract is agreed already')
  // The home may have forgotten an older one, with a reconciliation that crosses this.
  if (said.at > contract.offeredEpochMs + contractLifeMs) {
    return wrongState('the contract was offered more than 30 days ago')
  }
  view.put('ledgerContracts', contract.sid, { ...contract, agreed: sid })
  return done
}

export function askHold(
  view: View<LedgerTables>, said: StatementOf<'hold'>, { sid, index, self }: Entry,
): Done {
  const { from: home, to: host } = said
  const contract = view.get('ledgerContracts', said.contract)
  if (contract?.home !== home || contract.host !== host) {
    return unknownReference(`contract of ${home} with ${host}`, said.contract)
  }
  if (said.at > contract.offeredEpochMs + contractLifeMs) {
    return wrongState('the contract was offered more than 30 days ago')
  }
  if (said.tasks > contract.terms.tasks_max) {
    return tooMuch('tasks', contract.terms.tasks_max, said.tasks)
  }
  const books = account(view, host, home)
  const room = microcreditsMax - books.posted - books.held - books.asked
  if (said.amount > room) return tooMuch('amount', room, said.amount)
  const grant = said.grant === '' ? undefined : view.get('ledgerGrants', said.grant)
  if (said.grant !== '') {
    if (grant?.grantee !== home) return unknownReference(`allocation of ${home}`, said.grant)
    // What is taken back of an epoch before was covered when it was said, with what others had
    // answered by then and this log may lack.
    const isNew = home === self && said.e === openHead(view).epoch
    const raised = isNew ? mayBeRaised(view, home, grant.sid) : 0n
    const free = clampMicrocredits(grant.amount - grant.held - grant.spent - raised)
    // Only the grantee's own log knows all that was asked of it [LEDGER-11].
    const over = isNew ? said.amount > free : said.amount > grant.amount
    if (over) return refuse({ reason: 'over_grant', free, amount: said.amount })
    const sums = microcreditsMax - grant.held - grant.spent
    if (said.amount > sums) return tooMuch('amount', sums, said.amount)
  }
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
    endedIndex: 0,
    used: { tasks: 0, core_s: 0, gib_s: 0 },
    claimed: zeroMicrocredits,
    claimedFinal: 0,
    claimedEpochMs: 0,
    accepted: zeroMicrocredits,
    claims: [],
    grant: said.grant,
    asks: zeroMicrocredits,
    disputed: '',
    clause: zeroMicrocredits,
  })
  if (grant) useGrant(view, grant, { held: said.amount })
  else post(view, books, { asked: said.amount })
  return done
}

/**
 * By how much words that are on their way may still raise what holds that are done have cost an
 * allocation: the home's own proposals and an arbiter's word. A reconciliation ends that.
 */
function mayBeRaised(view: View<LedgerTables>, home: SiteName, grant: Sid): bigint {
  const proposed = new Map<Sid, bigint>()
  for (const [, one] of view.entries('ledgerProposals')) {
    if (one.kind !== 'resolve' || one.from !== home) continue
    proposed.set(one.hold, largest(one.amount, proposed.get(one.hold) ?? 0n))
  }
  let sum = 0n
  for (const [, hold] of view.entries('ledgerHolds')) {
    if (hold.grant !== grant || hold.state !== 'done') continue
    const arbiter = view.get('ledgerContracts', hold.contract)?.terms.arbiter ?? ''
    const most = arbiter === '' ? proposed.get(hold.sid) ?? 0n : hold.claimed
    if (most > hold.accepted) sum += most - hold.accepted
  }
  return sum
}

export function answerHold(
  view: View<LedgerTables>, said: StatementOf<'held' | 'declined'>, { self, index }: Entry,
): Done {
  const { from: host, to: home } = said
  const hold = holdBetween(view, said.hold, { home, host })
  if (!hold) return unknownReference(`hold of ${home} at ${host}`, said.hold)
  if (hold.state !== 'asked') return wrongState(`the hold is ${hold.state}, not asked`)
  const grant = grantOf(view, hold)
  if (said.kind === 'declined') {
    view.put('ledgerHolds', hold.sid, { ...hold, state: 'declined', endedIndex: index })
    if (grant) useGrant(view, grant, { held: -hold.amount })
    else post(view, account(view, host, home), { asked: -hold.amount })
    return done
  }
  // A hold may travel with the offer of its contract; it counts only once the host has agreed.
  if (view.get('ledgerContracts', hold.contract)?.agreed === '') {
    return wrongState('the contract is not agreed by the host')
  }
  if (host === self && host !== home) {
    if (view.get('ledgerFrozen', home)) return refuse({ reason: 'frozen', site: home })
    const limit = creditLimit(view, host, home)
    const exposed = exposure(view, host, home)
    if (!grant && exposed + hold.amount > limit) {
      return refuse({ reason: 'over_limit', limit, exposure: exposed, amount: hold.amount })
    }
  }
  view.put('ledgerHolds', hold.sid, { ...hold, state: 'held' })
  if (!grant) post(view, account(view, host, home), { asked: -hold.amount, held: hold.amount })
  return done
}

export function claimUsage(
  view: View<LedgerTables>, said: StatementOf<'usage'>, entry: Entry,
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
  const claim = { sid: entry.sid, n: said.n, amount: said.amount, final: said.final }
  const claimed: HoldRecord = {
    ...hold,
    used: { tasks: said.tasks, core_s: said.core_s, gib_s: said.gib_s },
    claimed: said.amount,
    claimedFinal: said.final,
    claimedEpochMs: said.at,
    asks: said.final === 1 ? said.amount : hold.asks,
    claims: [...hold.claims, claim],
  }
  view.put('ledgerHolds', hold.sid, claimed)
  if (hold.grant === '') {
    post(view, account(view, host, home), { claimed: said.amount - hold.claimed })
  }
  // All of it may be accepted already; in the other's log that word may come only now.
  if (said.final === 1) approach(view, claimed, {}, entry)
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

export function acceptUsage(
  view: View<LedgerTables>, said: StatementOf<'accept'>, entry: Entry,
): Done {
  const { from: home, to: host } = said
  const hold = holdBetween(view, said.hold, { home, host })
  if (!hold) return unknownReference(`hold of ${home} at ${host}`, said.hold)
  if (!mayBeAccepted(hold, said.from === entry.self)) {
    return wrongState(`the hold is ${hold.state}, not held`)
  }
  const at = hold.claims.findIndex(({ sid }) => sid === said.usage)
  const claim = hold.claims[at]
  if (!claim) return unknownReference('usage not older than the last accepted one', said.usage)
  // What the host has agreed to meanwhile may be more than the home's word, which crosses it.
  if (said.amount < hold.accepted && hold.claimedFinal === 0) {
    return fell('amount', hold.accepted, said.amount)
  }
  if (said.amount > claim.amount) return tooMuch('amount', claim.amount, said.amount)
  const settles = claim.final === 1 && said.amount === claim.amount
  if (said.final !== (settles ? 1 : 0)) {
    return wrongState('final means: a final usage, accepted in full')
  }
  // The final claim stays: other words about it may be on their way.
  approach(view, { ...hold, claims: hold.claims.slice(at) }, { accepted: said.amount }, entry)
  return done
}

/**
 * Ended by a word of the other side, a hold still takes the words that cross it; its own author
 * says nothing more.
 */
function mayBeAccepted({ state, claimedFinal }: HoldRecord, own: boolean): boolean {
  return state === 'held' || (!own && state === 'done' && claimedFinal === 1)
}

/** Moves the two numbers towards one another, and posts what that means. */
function approach(
  view: View<LedgerTables>,
  hold: HoldRecord,
  word: { readonly accepted?: bigint, readonly asks?: bigint, readonly disputed?: string },
  { index }: Entry,
): void {
  const before = view.get('ledgerHolds', hold.sid) ?? hold
  const accepted = microcredits(largest(before.accepted, word.accepted ?? 0n))
  const asks = microcredits(word.asks !== undefined && word.asks < hold.asks
    ? word.asks : hold.asks)
  const isOver = hold.claimedFinal === 1 && accepted >= asks
  view.put('ledgerHolds', hold.sid, {
    ...hold,
    accepted,
    asks,
    state: isOver ? 'done' : 'held',
    endedIndex: isOver && before.state !== 'done' ? index : before.endedIndex,
    disputed: isOver ? '' : word.disputed ?? hold.disputed,
  })
  const moved = accepted - before.accepted
  // What is left of the hold, and of the claim, is free from the moment the numbers meet.
  const heldBefore = before.state === 'done' ? 0n : before.amount - before.accepted
  const heldNow = isOver ? 0n : before.amount - accepted
  const claimedBefore = before.state === 'done' ? 0n : before.claimed - before.accepted
  const claimedNow = isOver ? 0n : before.claimed - accepted
  const grant = grantOf(view, hold)
  if (grant) useGrant(view, grant, { held: heldNow - heldBefore, spent: moved })
  else {
    post(view, account(view, hold.host, hold.home), {
      posted: moved, held: heldNow - heldBefore, claimed: claimedNow - claimedBefore,
    })
  }
}

/** By the same word the home accepts what it does not contest. */
export function disputeUsage(
  view: View<LedgerTables>, said: StatementOf<'dispute'>, entry: Entry,
): Done {
  const { from: home, to: host } = said
  const hold = holdBetween(view, said.hold, { home, host })
  if (!hold) return unknownReference(`hold of ${home} at ${host}`, said.hold)
  if (!mayBeAccepted(hold, home === entry.self)) return wrongState('the hold has ended')
  const claim = hold.claims.find(({ sid, final }) => sid === said.usage && final === 1)
  if (!claim) return unknownReference('final usage', said.usage)
  if (said.contested > claim.amount) return tooMuch('contested', claim.amount, said.contested)
  approach(view, hold, { accepted: claim.amount - said.contested, disputed: said.reason || '-' },
    entry)
  return done
}

export function resolveHold(
  view: View<LedgerTables>, said: StatementOf<'resolve'>, entry: Entry,
): Done {
  if (said.side === 'agree') {
    const proposal = proposalFor(view, said.resolve, said)
    if (proposal?.kind !== 'resolve') return unknownReference('proposal', said.resolve)
    const hold = view.get('ledgerHolds', proposal.hold)
    // What had ended on both sides when they reconciled stays as it was.
    if (said.from === entry.self && (!hold || !mayBeAccepted(hold, true))) {
      return wrongState('the hold has ended')
    }
    if (hold) approach(view, hold, { accepted: proposal.amount, asks: proposal.amount }, entry)
    view.remove('ledgerProposals', said.resolve)
    return done
  }
  const hold = view.get('ledgerHolds', said.hold)
  const parties = hold && (hold.home === said.from ? hold.host === said.to
    : hold.host === said.from && hold.home === said.to)
  if (!hold || !parties) return unknownReference(`hold of ${said.from} and ${said.to}`, said.hold)
  if (hold.claimedFinal === 0) return wrongState('there is no final usage yet')
  if (!mayBeAccepted(hold, said.from === entry.self)) return wrongState('the hold has ended')
  if (said.amount > hold.claimed) return tooMuch('amount', hold.claimed, said.amount)
  switch (said.side) {
    case 'offer':
      return propose(view, entry, said.n, {
        kind: 'resolve', from: said.from, to: said.to, hold: hold.sid, amount: said.amount,
        atEpochMs: said.at,
      })
    case 'forgive':
      if (said.from !== hold.host) return wrongState('only the host can ask for less')
      approach(view, hold, { asks: said.amount }, entry)
      return done
    case 'ruling': return ruled(view, hold, said, entry)
    case 'clause': return clauseDue(view, hold, said)
  }
}

type Resolve<Side> = Extract<StatementOf<'resolve'>, { readonly side: Side }>

/** The arbiter's word ends the hold, whoever of the two brings it. */
function ruled(
  view: View<LedgerTables>, hold: HoldRecord, said: Resolve<'ruling'>, entry: Entry,
): Done {
  const arbiter = view.get('ledgerContracts', hold.contract)?.terms.arbiter ?? ''
  if (arbiter === '') return wrongState('the contract names no arbiter')
  const read = readRuling(said.note)
  if (!read.ok) return read
  const { ruling, sealed } = read.value
  const same = ruling.fed === openHead(view).federation && ruling.hold === hold.sid
    && ruling.amount === said.amount
  if (!same) return wrongState('the ruling is about something else')
  const member = view.get('ledgerMembers', arbiter)
  const epochs = member ? new Set(erasOf(member).map(({ epoch }) => epoch)) : new Set<number>()
  const isSigned = [...epochs].some((epoch) => statementVerifiers(view, arbiter, epoch)
    .some((verifier) => sealed.signerName === verifier.name && verifySealed(sealed, verifier)))
  if (!isSigned) {
    return refuse({ reason: 'bad_signature', signer: sealed.signerName, expected: arbiter })
  }
  approach(view, hold, { accepted: said.amount, asks: said.amount }, entry)
  return done
}

/** [LEDGER-12] At most the agreed part of the hold; the home's own word is what moves money. */
function clauseDue(
  view: View<LedgerTables>, hold: HoldRecord, said: Resolve<'clause'>,
): Done {
  if (said.from !== hold.host) return wrongState('only the host can call for the clause')
  const claim = hold.claims.find(({ sid, final }) => sid === said.usage && final === 1)
  if (!claim) return unknownReference('final usage', said.usage)
  const most = clauseMax(view, hold)
  if (said.amount > most) return tooMuch('amount by the clause', most, said.amount)
  const clause = microcredits(largest(hold.clause, said.amount))
  view.put('ledgerHolds', hold.sid, { ...hold, clause })
  return done
}

/** What the contract's clause lets count as accepted, 0 without one. */
export function clauseMax(view: View<LedgerTables>, hold: HoldRecord): Microcredits {
  const part = view.get('ledgerContracts', hold.contract)?.terms.auto_permille ?? 0
  const most = (hold.amount * BigInt(part)) / 1_000n
  return microcredits(most < hold.claimed ? most : hold.claimed)
}

export function voidHold(
  view: View<LedgerTables>, said: StatementOf<'void'>, { index }: Entry,
): Done {
  const { from: host, to: home } = said
  const hold = holdBetween(view, said.hold, { home, host })
  if (!hold) return unknownReference(`hold of ${home} at ${host}`, said.hold)
  if (hold.state !== 'held') return wrongState(`the hold is ${hold.state}, not held`)
  if (hold.claims.length > 0) return wrongState('usage is claimed already')
  view.put('ledgerHolds', hold.sid, { ...hold, state: 'void', endedIndex: index })
  const grant = grantOf(view, hold)
  if (grant) useGrant(view, grant, { held: -hold.amount })
  else post(view, account(view, host, home), { held: -hold.amount })
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

function grantOf(view: View<LedgerTables>, { grant }: HoldRecord): GrantRecord | undefined {
  return grant === '' ? undefined : view.get('ledgerGrants', grant)
}

/** What a hold on an allocation uses of it, as far as this log sees. */
function useGrant(
  view: View<LedgerTables>, { sid }: GrantRecord, change: { held?: bigint, spent?: bigint },
): void {
  const grant = view.get('ledgerGrants', sid)
  if (!grant) return
  view.put('ledgerGrants', sid, {
    ...grant,
    held: microcredits(grant.held + (change.held ?? 0n)),
    spent: microcredits(grant.spent + (change.spent ?? 0n)),
  })
}

function largest(left: bigint, right: bigint): bigint {
  return left > right ? left : right
}
