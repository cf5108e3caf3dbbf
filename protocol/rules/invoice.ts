// The account of two sites over a period, from the log of one of them: each amount that was
// accepted, with the usage that it is for, what was settled, and the balance before and after.
// Invariants: opening balance + what is invoiced - what is settled = closing balance; a statement
// belongs to the period that holds the time its author gives; amounts of both directions are never
// mixed; what an allocation paid stands in the lines and moves no balance.

import type { Sid, SiteName } from '../base/ids.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import type { Microcredits } from '../base/units.ts'
import { microcredits } from '../base/units.ts'
import type {
  Claim, History, HistoryEvent, HoldStory, PairSums, SaidAt, Settled,
} from './ledger-history.ts'
import type { Usage } from './statement.ts'

/** More would be no document that anybody reads; a shorter period has fewer. */
export const invoiceLinesMax = 100_000

/** From `fromEpochMs` on and before `untilEpochMs`. */
export interface Period {
  readonly fromEpochMs: number
  readonly untilEpochMs: number
}

/** An amount that was accepted: the debtor (the home) owes it to the creditor (the host). */
export interface InvoiceLine {
  readonly creditor: SiteName
  readonly debtor: SiteName
  /** The statement that accepted it. */
  readonly accepted: SaidAt
  /** The usage that it is for. */
  readonly usage: SaidAt
  readonly final: 0 | 1
  readonly hold: Sid
  readonly holdIndex: number
  readonly contract: Sid
  /** The allocation that paid; '' when it is owed. */
  readonly grant: Sid | ''
  /** Of the usage, what no earlier line has; the first line of a usage has all of it. */
  readonly used: Usage
  readonly amount: Microcredits
}

/** A final usage: one run of a tranche, whether it is accepted yet or not. */
export interface InvoiceRun {
  readonly hold: HoldStory
  readonly claim: Claim
}

export interface InvoiceSums {
  readonly lines: number
  readonly used: Usage
  readonly amount: Microcredits
  /** The part of `amount` that allocations paid. */
  readonly granted: Microcredits
  /** Settled by the debtor of this direction. */
  readonly settled: Microcredits
}

export interface Invoice {
  readonly us: SiteName
  readonly them: SiteName
  readonly period: Period
  /** Positive: they owe us. */
  readonly openingBalance: Microcredits
  readonly closingBalance: Microcredits
  readonly lines: readonly InvoiceLine[]
  readonly settlements: readonly Settled[]
  readonly runs: readonly InvoiceRun[]
  readonly owedToUs: InvoiceSums
  readonly owedByUs: InvoiceSums
  /** As the log stands at its end, whatever the period: claimed, contested and held. */
  readonly open: readonly PairSums[]
}

export interface TooManyLines {
  readonly reason: 'too_many_lines'
  readonly max: number
}

export interface InvoiceWriter {
  take(event: HistoryEvent): void
  result(history: History): Outcome<Invoice, TooManyLines>
}

export function openInvoice(
  { us, them, period }: Pick<Invoice, 'us' | 'them' | 'period'>,
): InvoiceWriter {
  let openingBalance = 0n
  const lines: InvoiceLine[] = []
  const settlements: Settled[] = []
  const runs: InvoiceRun[] = []
  const isOurs = (creditor: SiteName, debtor: SiteName): boolean =>
    (creditor === us && debtor === them) || (creditor === them && debtor === us)
  const keep = <Item>(list: Item[], item: Item): void => {
    // One beyond the bound is enough to refuse.
    if (list.length <= invoiceLinesMax) list.push(item)
  }
  const when = (at: number): 'before' | 'in' | 'after' =>
    at < period.fromEpochMs ? 'before' : at < period.untilEpochMs ? 'in' : 'after'
  return {
    take(event) {
      switch (event.kind) {
        case 'claimed':
          if (isOurs(event.hold.host, event.hold.home) && when(event.claim.said.at) === 'in') {
            keep(runs, { hold: event.hold, claim: event.claim })
          }
          return
        case 'accepted': {
          const line = lineOf(event)
          if (!isOurs(line.creditor, line.debtor)) return
          const place = when(line.accepted.at)
          if (place === 'in') keep(lines, line)
          if (place === 'before') openingBalance += signed(us, line.creditor, owedOf(line))
          return
        }
        case 'settled': {
          const { kind: _, ...settled } = event
          if (!isOurs(settled.creditor, settled.debtor)) return
          const place = when(settled.said.at)
          if (place === 'in') keep(settlements, settled)
          if (place === 'before') openingBalance -= signed(us, settled.creditor, settled.amount)
          return
        }
        case 'ended':
        case 'accused': return
      }
    },
    result(history) {
      if ([lines, settlements, runs].some(({ length }) => length > invoiceLinesMax)) {
        return refuse({ reason: 'too_many_lines', max: invoiceLinesMax })
      }
      const moved = lines.reduce((sum, line) => sum + signed(us, line.creditor, owedOf(line)), 0n)
        - settlements.reduce((sum, one) => sum + signed(us, one.creditor, one.amount), 0n)
      return ok({
        us,
        them,
        period,
        openingBalance: microcredits(openingBalance),
        closingBalance: microcredits(openingBalance + moved),
        lines,
        settlements,
        runs,
        owedToUs: sumsFor(us, lines, settlements),
        owedByUs: sumsFor(them, lines, settlements),
        open: history.sums().filter(({ creditor, debtor }) => isOurs(creditor, debtor)),
      })
    },
  }
}

function lineOf(event: Extract<HistoryEvent, { readonly kind: 'accepted' }>): InvoiceLine {
  const { hold, claim, said, moved, used } = event
  return {
    creditor: hold.host,
    debtor: hold.home,
    accepted: said,
    usage: claim.said,
    final: claim.final,
    hold: hold.sid,
    holdIndex: hold.asked.index,
    contract: hold.contract,
    grant: hold.grant,
    used,
    amount: moved,
  }
}

/** What a line adds to the debt. */
function owedOf({ grant, amount }: InvoiceLine): bigint {
  return grant === '' ? amount : 0n
}

function signed(us: SiteName, creditor: SiteName, amount: bigint): bigint {
  return creditor === us ? amount : -amount
}

function sumsFor(
  creditor: SiteName, all: readonly InvoiceLine[], settlements: readonly Settled[],
): InvoiceSums {
  const lines = all.filter((line) => line.creditor === creditor)
  const total = (amounts: readonly bigint[]): Microcredits =>
    microcredits(amounts.reduce((sum, amount) => sum + amount, 0n))
  const count = (field: keyof Usage): number =>
    lines.reduce((sum, { used }) => sum + used[field], 0)
  return {
    lines: lines.length,
    used: { tasks: count('tasks'), core_s: count('core_s'), gib_s: count('gib_s') },
    amount: total(lines.map(({ amount }) => amount)),
    granted: total(lines.map((line) => line.amount - owedOf(line))),
    settled: total(settlements.filter((one) => one.creditor === creditor)
      .map(({ amount }) => amount)),
  }
}
