// What waits on the ledger for somebody's word: claims, disputes, proposals, payments; how long,
// past due or not, and what this site's operator can do about it.

import type { SiteName } from '../../protocol/base/ids.ts'
import { trancheIdOf } from '../../protocol/base/ids.ts'
import type { Tables } from '../../protocol/base/tables.ts'
import type { HoldRecord, Proposal } from '../../protocol/rules/ledger-book.ts'
import { clauseMax } from '../../protocol/rules/ledger-holds.ts'
import type { OpenRow } from '../http/api.ts'
import { get, sorted, viewOf } from './tables.ts'

/** For the answer to a proposal nothing was agreed. */
const proposalMs = 7 * 86_400_000

interface Seen {
  readonly tables: Tables
  readonly own: SiteName
  readonly now: number
}

export function openRows(tables: Tables, own: SiteName, now: number): OpenRow[] {
  const seen = { tables, own, now }
  const holds = sorted(tables, 'ledgerHolds').map(([, hold]) => hold)
    .filter(({ home, host, endedIndex }) => endedIndex === 0 && (home === own || host === own))
    .map((hold) => holdRow(seen, hold))
  const proposals = sorted(tables, 'ledgerProposals')
    .filter(([, { kind }]) => kind !== 'reconcile')
    .map(([sid, proposal]) => proposalRow(seen, sid, proposal))
  return [...holds, ...proposals]
    .toSorted((a, b) => Number(b.pastDue) - Number(a.pastDue) || a.sinceEpochMs - b.sinceEpochMs)
}

function holdRow(seen: Seen, hold: HoldRecord): OpenRow {
  const { tables, own, now } = seen
  const isHome = hold.home === own
  const accept_s = get(tables, 'ledgerContracts', hold.contract)?.terms.accept_s ?? 0
  const isFinal = hold.claimedFinal === 1
  const isFollowed = get(tables, isHome ? 'homeTranches' : 'hostTranches', trancheIdOf(hold.sid))
  const sinceEpochMs = isFinal ? hold.claimedEpochMs : hold.askedEpochMs
  const dueEpochMs = isFinal ? hold.claimedEpochMs + accept_s * 1000
    : hold.state === 'asked' ? hold.validUntilEpochMs : undefined
  const trouble = isHome ? get(tables, 'homeTranches', trancheIdOf(hold.sid))?.trouble ?? '' : ''
  return {
    kind: hold.disputed !== '' ? 'dispute' : hold.claims.length > 0 ? 'claim' : 'hold',
    sid: hold.sid,
    site: isHome ? hold.host : hold.home,
    role: isHome ? 'home' : 'host',
    amount: String(hold.amount),
    claimed: String(hold.claimed),
    accepted: String(hold.accepted),
    asks: String(isFinal ? hold.asks : hold.claimed),
    sinceEpochMs,
    ...(dueEpochMs !== undefined && { dueEpochMs }),
    pastDue: dueEpochMs === undefined ? isFollowed === undefined : now >= dueEpochMs,
    detail: trouble || detailOf(hold),
    todo: todoFor(seen, hold),
  }
}

function detailOf({ state, disputed, claims, claimedFinal }: HoldRecord): string {
  if (disputed !== '') return `disputed: ${disputed}`
  if (state === 'asked') return 'asked, not answered'
  if (claims.length === 0) return 'held, nothing claimed'
  return claimedFinal === 1 ? 'final claim, waits for the home' : 'claimed while it runs'
}

/** Commands without `gridnode ledger`, the likeliest first. */
function todoFor({ tables, own, now }: Seen, hold: HoldRecord): string[] {
  const id = hold.sid.slice(0, 16)
  const isHome = hold.home === own
  const offers = sorted(tables, 'ledgerProposals').some(([, proposal]) =>
    proposal.kind === 'resolve' && proposal.hold === hold.sid && proposal.from !== own)
  const todo: string[] = offers ? [`resolve ${id} --agree`] : []
  if (hold.claimedFinal === 0) return todo
  if (isHome) todo.push(`accept ${id}`)
  if (isHome && hold.disputed === '') todo.push(`dispute ${id} --contest AMOUNT --reason TEXT`)
  todo.push(`resolve ${id} --offer AMOUNT`)
  const contract = get(tables, 'ledgerContracts', hold.contract)
  const most = clauseMax(viewOf(tables), hold)
  const isDue = now >= hold.claimedEpochMs + (contract?.terms.accept_s ?? 0) * 1000
  if (!isHome && isDue && hold.disputed === '' && most > hold.accepted) {
    todo.unshift(`resolve ${id} --clause`)
  }
  if ((contract?.terms.arbiter ?? '') !== '') todo.push(`resolve ${id} --ruling FILE`)
  if (!isHome) todo.push(`forgive ${id} AMOUNT`)
  return todo
}

function proposalRow({ own, now }: Seen, sid: string, proposal: Proposal): OpenRow {
  const isOurs = proposal.from === own
  const id = sid.slice(0, 16)
  const amount = proposal.kind === 'reconcile' ? '0' : String(proposal.amount)
  const isPayment = proposal.kind === 'settle'
  const dueEpochMs = proposal.atEpochMs + proposalMs
  const hold = proposal.kind === 'resolve' ? proposal.hold.slice(0, 16) : ''
  return {
    kind: isPayment ? 'payment' : 'proposal',
    sid,
    site: isOurs ? proposal.to : proposal.from,
    role: isOurs ? 'author' : 'addressee',
    amount,
    claimed: '0',
    accepted: '0',
    asks: '0',
    sinceEpochMs: proposal.atEpochMs,
    dueEpochMs,
    pastDue: now >= dueEpochMs,
    detail: isPayment ? `${proposal.debtor} paid: ${proposal.reference}` : `to end hold ${hold}`,
    todo: isOurs ? [] : [isPayment ? `settle --agree ${id}` : `resolve ${hold} --agree`],
  }
}
