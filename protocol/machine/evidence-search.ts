// Looks for lies in what peers say: a statement that a rule refuses may be half of a proof, and the
// other half lies in our own log. Entries are not in memory, so they are read, and come back as an
// event.
//
// [EVIDENCE-5] A refused statement is looked at once more when its own bytes, with what our log
//   holds, can prove a lie; for a site and epoch that is proven already nothing is read.

import type { EvidenceKind } from '../rules/statement.ts'
import type { LedgerRefusal } from '../rules/ledger.ts'
import { numberKey } from '../rules/ledger-book.ts'
import type { PlacedStatement, StatementOf } from '../rules/statement.ts'
import { parseStatement } from '../rules/statement.ts'
import type { EntryName } from './effects.ts'
import type { EventOf } from './events.ts'
import { accuse, evidenceKey } from './evidence.ts'
import type { Turn } from './turn.ts'

/** A statement of another site was refused. */
export function onStatementRefused(turn: Turn, note: string, refusal: LedgerRefusal): void {
  if (refusal.reason === 'malformed') return accuse(turn, { kind: 'malformed', note })
  const said = placed(turn, note)
  if (!said) return undefined
  switch (refusal.reason) {
    case 'fork': return compareNumber(turn, note, said)
    case 'wrong_amount':
    case 'too_much': return said.kind === 'usage' ? searchPrice(turn, note, said) : undefined
    case 'fell': return said.kind === 'usage' ? searchClaim(turn, note, said) : undefined
    default: return undefined
  }
}

/** A statement with a number that lies too far back to compare: the same again, or another one. */
export function onOldStatement(turn: Turn, note: string): void {
  const said = placed(turn, note)
  if (said) compareNumber(turn, note, said)
}

/** Undefined also when its author is proven a liar in that epoch: nothing more is to be found. */
function placed({ view }: Turn, note: string): PlacedStatement | undefined {
  const parsed = parseStatement(note)
  const said = parsed.ok ? parsed.value.statement : undefined
  if (!said || said.kind === 'federation') return undefined
  return view.get('evidence', evidenceKey(said.from, said.e)) ? undefined : said
}

function compareNumber(turn: Turn, note: string, { from, to, e, n }: PlacedStatement): void {
  search(turn, 'double_number', note, [{ number: numberKey(from, to, { e, n }) }])
}

function searchPrice(turn: Turn, note: string, said: StatementOf<'usage'>): void {
  const { view } = turn
  const hold = view.get('ledgerHolds', said.hold)
  const contract = hold && view.get('ledgerContracts', hold.contract)
  const tariff = contract && view.get('ledgerTariffs', contract.terms.tariff)
  if (!tariff) return
  search(turn, 'overcharge', note, [hold, contract, tariff].map(({ index }) => ({ index })))
}

/** The newest claim is kept until the hold ends: it has the sums that must not fall. */
function searchClaim(turn: Turn, note: string, said: StatementOf<'usage'>): void {
  const last = turn.view.get('ledgerHolds', said.hold)?.claims.at(-1)
  if (!last) return
  const { from, to, e } = said
  search(turn, 'fell', note, [{ number: numberKey(from, to, { e, n: last.n }) }])
}

type Searched = Extract<EvidenceKind, 'double_number' | 'overcharge' | 'fell'>

function search(
  turn: Turn, proof: Searched, note: string, entries: readonly EntryName[],
): void {
  turn.effects.push({ kind: 'readEntries', search: { proof, note }, entries })
}

export function onEntriesRead(turn: Turn, event: EventOf<'entriesRead'>): void {
  const { search: { proof, note }, notes } = event
  const [first = '', second = '', third = ''] = notes
  if (notes.some((one) => one === '') || first === note) return
  switch (proof) {
    case 'double_number': return accuse(turn, { kind: proof, first, second: note })
    case 'fell': return accuse(turn, { kind: proof, first, second: note })
    case 'overcharge':
      return accuse(turn, {
        kind: proof, usage: note, hold: first, contract: second, tariff: third,
      })
  }
}
