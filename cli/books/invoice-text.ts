// An invoice as text and as JSON.

import type { Invoice, InvoiceLine, InvoiceSums } from '../../protocol/rules/invoice.ts'
import type { Style } from '../output.ts'
import { credits, instant, plural, table } from '../output.ts'
import type { NamedPeriod } from './period.ts'
import { periodText } from './period.ts'

/** One document; amounts are decimal strings of microcredits, times epoch ms. */
export function invoiceJson(invoice: Invoice, period: NamedPeriod): string {
  const { runs: _, ...rest } = invoice
  const plain = (__: string, value: unknown): unknown =>
    typeof value === 'bigint' ? String(value) : value
  return `${JSON.stringify({ ...rest, period }, plain, 2)}\n`
}

export interface TextLayout {
  readonly width: number
  readonly style: Style
}

export function invoiceText(invoice: Invoice, period: NamedPeriod, layout: TextLayout): string {
  const { us, them, lines, settlements } = invoice
  const parts = [
    `account of ${layout.style.bold(us)} with ${layout.style.bold(them)}, ` +
      `${periodText(period)} (UTC)\n`,
  ]
  for (const [host, home] of [[us, them], [them, us]] as const) {
    const part = lines.filter(({ creditor }) => creditor === host)
    if (part.length === 0) continue
    parts.push(`what ${host} ran for ${home}\n${linesText(part, layout)}`)
  }
  if (settlements.length > 0) parts.push(`settlements\n${settlementsText(invoice, layout)}`)
  parts.push(summaryText(invoice))
  return parts.join('\n')
}

/** `0.025` without its unit. */
export function amountText(amount: bigint): string {
  return credits(String(amount))
}

function linesText(lines: readonly InvoiceLine[], layout: TextLayout): string {
  return table(
    [
      { title: 'ENTRY', align: 'right' },
      { title: 'ACCEPTED', shrinkTo: 11 },
      { title: 'CONTRACT', shrinkTo: 6 },
      { title: 'HOLD', shrinkTo: 6 },
      { title: 'TASKS', align: 'right' },
      { title: 'CORE-S', align: 'right' },
      { title: 'GIB-S', align: 'right' },
      { title: 'CREDITS', align: 'right' },
      { title: 'USAGE', align: 'right' },
      { title: 'STATEMENT', shrinkTo: 6 },
    ],
    lines.map((line) => [
      String(line.accepted.index),
      instant(line.accepted.at),
      line.contract.slice(0, 12),
      line.hold.slice(0, 12),
      String(line.used.tasks),
      String(line.used.core_s),
      String(line.used.gib_s),
      amountText(line.amount) + (line.grant === '' ? '' : '*'),
      String(line.usage.index),
      line.usage.sid.slice(0, 12),
    ]),
    layout,
  ) + (lines.some(({ grant }) => grant !== '') ? '* paid by an allocation, owed by nobody\n' : '')
}

function settlementsText({ settlements }: Invoice, layout: TextLayout): string {
  return table(
    [
      { title: 'ENTRY', align: 'right' },
      { title: 'AGREED' },
      { title: 'DEBTOR', shrinkTo: 8 },
      { title: 'HOW' },
      { title: 'CREDITS', align: 'right' },
      { title: 'REFERENCE', shrinkTo: 8 },
    ],
    settlements.map(({ said, debtor, how, amount, reference }) => [
      String(said.index), instant(said.at), debtor, how, amountText(amount), reference,
    ]),
    layout,
  )
}

function summaryText(invoice: Invoice): string {
  const { us, them, owedToUs, owedByUs, openingBalance, closingBalance, open } = invoice
  const rows: (readonly [string, string])[] = [
    ['opening balance', amountText(openingBalance)],
    ...sumRows(`${us} ran for ${them}`, owedToUs, `${them} settled`),
    ...sumRows(`${them} ran for ${us}`, owedByUs, `${us} settled`),
    ['closing balance', amountText(closingBalance)],
  ]
  for (const { creditor, claimed, disputed } of open) {
    if (claimed > 0n) rows.push([`claimed by ${creditor}, not accepted`, amountText(claimed)])
    if (disputed > 0n) rows.push([`claimed by ${creditor}, disputed`, amountText(disputed)])
  }
  const label = Math.max(...rows.map(([left]) => left.length))
  const value = Math.max(...rows.map(([, right]) => right.length))
  const lines = rows.map(([left, right]) =>
    `${left.padEnd(label)}  ${right.padStart(value)} cr\n`)
  return `${lines.join('')}a positive balance is owed to ${us}\n`
}

function sumRows(
  ran: string, { lines, amount, granted, settled }: InvoiceSums, settledBy: string,
): (readonly [string, string])[] {
  const rows: (readonly [string, string])[] = []
  if (lines > 0) rows.push([`${ran}, ${plural(lines, 'item')}`, amountText(amount)])
  if (granted > 0n) rows.push(['  of it paid by allocations', amountText(granted)])
  if (settled > 0n) rows.push([settledBy, amountText(settled)])
  return rows
}
