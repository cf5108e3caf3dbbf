// What two sites agree on about their books as a whole: reconciliations, after which both may
// forget what has ended, and the close of an epoch's sequence, after which a restored site may
// speak again. Invariant: two logs that hold the same statements of a pair give the same
// `pairState`.

import { encode } from '../base/encoding.ts'
import type { Value } from '../base/encoding.ts'
import { sha256Hex } from '../base/crypto.ts'
import { compareBytes } from '../base/ids.ts'
import type { Hash, Sid, SiteName } from '../base/ids.ts'
import type { View } from '../base/tables.ts'
import { zeroMicrocredits } from '../base/units.ts'
import type { Done, Entry } from './ledger-accounts.ts'
import { done, proposalFor, propose, unknownReference, wrongState } from './ledger-accounts.ts'
import type { Direction, LedgerTables, Proposal } from './ledger-book.ts'
import { account, directionKey, openHead, pairKey } from './ledger-book.ts'
import { contractLifeMs } from './ledger-holds.ts'
import type { StatementOf } from './statement.ts'

/** A sequence's newest statement; number 0 of epoch 1 before the first. */
export function directionOf(
  view: View<LedgerTables>, from: SiteName, to: string,
): Direction {
  return view.get('ledgerDirections', directionKey(from, to)) ?? { e: 1, n: 0, sid: '', at: 0 }
}

type Counted = Pick<Direction, 'e' | 'n' | 'sid'>

/**
 * The hash of everything that is open between two sites; `as` stands in for where the sequence of
 * its key stands now.
 */
export function pairState(
  view: View<LedgerTables>,
  left: SiteName,
  right: SiteName,
  as: { readonly direction: string, readonly counted: Counted },
): Hash {
  const [one, two] = compareBytes(left, right) < 0 ? [left, right] : [right, left]
  const sequence = (from: SiteName, to: SiteName): Value => {
    const key = directionKey(from, to)
    const { e, n, sid } = key === as.direction ? as.counted : directionOf(view, from, to)
    return [e, n, sid]
  }
  const books = (creditor: SiteName, debtor: SiteName): Value => {
    const { posted, asked, held, claimed, settled } = account(view, creditor, debtor)
    const limit = view.get('ledgerCredits', directionKey(creditor, debtor))?.limit
    return [posted, asked, held, claimed, settled, limit ?? zeroMicrocredits].map(String)
  }
  const holds = openHolds(view, one, two).map((hold): Value => [
    hold.sid, hold.state, String(hold.claimed), hold.claimedFinal, String(hold.accepted),
    String(hold.asks), String(hold.clause),
  ])
  return sha256Hex('gridnode/v1/pair\n', encode([
    one, two, sequence(one, two), sequence(two, one), books(one, two), books(two, one), holds,
  ]))
}

function openHolds(view: View<LedgerTables>, one: SiteName, two: SiteName) {
  return [...view.entries('ledgerHolds')].map(([, hold]) => hold)
    .filter(({ home, host, endedIndex }) => endedIndex === 0
      && ((home === one && host === two) || (home === two && host === one)))
    .toSorted((a, b) => compareBytes(a.sid, b.sid))
}

export function reconcilePair(
  view: View<LedgerTables>, said: StatementOf<'reconcile'>, entry: Entry,
): Done {
  switch (said.side) {
    case 'offer': return offer(view, said, entry)
    case 'agree': return agree(view, said, entry)
    case 'close': return close(view, said)
  }
}

type Reconcile<Side> = Extract<StatementOf<'reconcile'>, { readonly side: Side }>

function offer(
  view: View<LedgerTables>, said: Reconcile<'offer'>, entry: Entry,
): Done {
  const { from, to } = said
  const { index, self } = entry
  // Only the author's own log stands where the offer says; not when it takes it back.
  if (from === self && said.e === openHead(view).epoch) {
    const counted = { e: said.e, n: said.n - 1, sid: said.prev }
    const state = pairState(view, from, to, { direction: directionKey(from, to), counted })
    const received = directionOf(view, to, from).n
    const same = said.issued === said.n - 1 && said.received === received && said.state === state
    if (!same) return wrongState('the offer is not what this log says of the pair')
  }
  return propose(view, entry, said.n, {
    kind: 'reconcile', from, to, e: said.e, prev: said.prev, state: said.state, index,
    atEpochMs: said.at,
  })
}

/** Nothing was under way when both had the same state: what had ended then may be forgotten. */
function agree(
  view: View<LedgerTables>, said: Reconcile<'agree'>, { sid, index, self }: Entry,
): Done {
  const proposal = proposalFor(view, said.reconcile, said)
  const isNew = said.from === self && said.e === openHead(view).epoch
  if (proposal?.kind !== 'reconcile') {
    // Newer offers of ours may have crossed it. What the other forgets by it neither can use.
    return isNew ? unknownReference('reconciliation', said.reconcile) : done
  }
  if (isNew && !agrees(view, said.reconcile, proposal)) {
    return wrongState('this log says something else of the pair')
  }
  const key = pairKey(said.from, said.to)
  view.put('ledgerReconciled', key, {
    sid, index, state: proposal.state, atEpochMs: proposal.atEpochMs,
  })
  for (const [other, { kind, from, to, n }] of Array.from(view.entries('ledgerProposals'))) {
    const older = from === proposal.from && to === proposal.to && n <= proposal.n
    if (kind === 'reconcile' && older) view.remove('ledgerProposals', other)
  }
  forget(view, proposal, said.at)
  return done
}

/** Whether this log stands where the other's offer, its newest statement, says. */
export function agrees(
  view: View<LedgerTables>,
  sid: Sid,
  { from, to, e, n, prev, state }: Extract<Proposal, { kind: 'reconcile' }>,
): boolean {
  const last = directionOf(view, from, to)
  if (last.n !== n || last.sid !== sid) return false
  const counted = { e, n: n - 1, sid: prev }
  return pairState(view, from, to, { direction: directionKey(from, to), counted }) === state
}

function forget(
  view: View<LedgerTables>, proposal: Extract<Proposal, { kind: 'reconcile' }>, at: number,
): void {
  const { from, to, index, atEpochMs } = proposal
  const used = new Set<Sid>()
  const isOurs = ({ home, host }: { readonly home: SiteName, readonly host: SiteName }): boolean =>
    (home === from && host === to) || (home === to && host === from)
  for (const [sid, one] of Array.from(view.entries('ledgerProposals'))) {
    const hold = one.kind === 'resolve' ? view.get('ledgerHolds', one.hold) : undefined
    if (!hold || !isOurs(hold)) continue
    if (hold.endedIndex > 0 && hold.endedIndex < index) view.remove('ledgerProposals', sid)
  }
  for (const [sid, hold] of Array.from(view.entries('ledgerHolds'))) {
    if (!isOurs(hold)) continue
    if (hold.endedIndex > 0 && hold.endedIndex < index) view.remove('ledgerHolds', sid)
    else used.add(hold.contract)
  }
  const earliest = contractsForgotten(atEpochMs, at)
  for (const [sid, contract] of Array.from(view.entries('ledgerContracts'))) {
    if (!isOurs(contract) || used.has(contract.sid) || contract.offeredEpochMs >= earliest) continue
    view.remove('ledgerContracts', sid)
  }
}

/**
 * Neither side can date a hold under a contract of before then early enough any more, once they
 * have agreed at these times.
 */
export function contractsForgotten(offeredEpochMs: number, agreedEpochMs: number): number {
  return Math.min(offeredEpochMs, agreedEpochMs) - contractLifeMs
}

/** [LEDGER-13] From here on the addressee speaks in its new epoch, from number 1. */
function close(view: View<LedgerTables>, said: Reconcile<'close'>): Done {
  const { from, to } = said
  const last = directionOf(view, to, from)
  // Both may have begun anew, and each closes for the other.
  if (said.epoch <= last.e) return done
  if ((view.get('ledgerMembers', to)?.epoch ?? 1) < said.epoch) {
    return wrongState(`${to} has not opened epoch ${said.epoch}`)
  }
  if (said.ends !== last.e || said.received !== last.n || said.last !== last.sid) {
    return wrongState(`${to} has issued up to ${last.n} of epoch ${last.e}, the other holds `
      + `${said.received} of epoch ${said.ends}`)
  }
  view.put('ledgerDirections', directionKey(to, from), {
    e: said.epoch, n: 0, sid: '', at: last.at,
  })
  return done
}
