// An invoice as one HTML page that prints well on A4: no scripts, nothing loaded from anywhere. It
// is well-formed XML, too.

import type { Invoice, InvoiceLine } from '../../protocol/rules/invoice.ts'
import type { Markup, MarkupElement } from '../markup.ts'
import { element, render } from '../markup.ts'
import { instant, plural } from '../output.ts'
import { amountText } from './invoice-text.ts'
import type { NamedPeriod } from './period.ts'
import { periodText } from './period.ts'

/** Where the amounts come from: the end of the log that was read. */
export interface Provenance {
  readonly book: string
  readonly entries: number
  readonly madeEpochMs: number
}

// A style element is not unescaped by browsers, so nothing here may need escaping: no quotes, no <.
const style = [
  '@page { size: A4; margin: 18mm 15mm 20mm 15mm }',
  '* { box-sizing: border-box }',
  'html { font: 10pt/1.4 Liberation Sans, Arial, Helvetica, sans-serif; color: #111 }',
  'body { margin: 0 auto; max-width: 180mm; padding: 8mm 0 }',
  'h1 { font-size: 18pt; font-weight: 600; margin: 0 0 1mm 0 }',
  'h2 { font-size: 11.5pt; font-weight: 600; margin: 8mm 0 2mm 0; break-after: avoid }',
  'p { margin: 0 0 2mm 0 }',
  'table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }',
  'th { text-align: left; font-size: 8pt; font-weight: 600; color: #444 }',
  'th { border-bottom: 0.4mm solid #111 }',
  'th, td { padding: 1mm 2mm 1mm 0; vertical-align: top }',
  'td { border-bottom: 0.1mm solid #bbb }',
  'tr { break-inside: avoid }',
  'thead { display: table-header-group }',
  '.number { text-align: right; white-space: nowrap; padding-left: 2mm }',
  '.sid { font: 7pt/1.5 Liberation Mono, DejaVu Sans Mono, monospace; color: #444 }',
  '.sid { overflow-wrap: anywhere }',
  '.summary { width: auto; min-width: 95mm; break-inside: avoid }',
  '.total td { font-weight: 600; border-top: 0.4mm solid #111 }',
  '.small { font-size: 8pt; color: #444 }',
  '@media print { body { padding: 0; max-width: none } }',
].join(' ')

export function invoiceHtml(
  invoice: Invoice, period: NamedPeriod, provenance: Provenance,
): string {
  const { us, them, lines, settlements } = invoice
  const title = `Account of ${us} with ${them}, ${periodText(period)}`
  const sections: MarkupElement[] = []
  for (const [host, home] of [[us, them], [them, us]] as const) {
    const part = lines.filter(({ creditor }) => creditor === host)
    if (part.length > 0) sections.push(...linesHtml(`What ${host} ran for ${home}`, part))
  }
  if (settlements.length > 0) sections.push(...settlementsHtml(invoice))
  const page = element('html', { lang: 'en' },
    element('head', {},
      element('meta', { charset: 'utf-8' }),
      element('meta', { name: 'viewport', content: 'width=device-width' }),
      element('title', {}, title),
      element('style', {}, style)),
    element('body', {},
      element('h1', {}, 'Statement of account'),
      element('p', {}, `${us} with ${them}, ${periodText(period)} (UTC)`),
      element('h2', {}, 'Summary'),
      summaryHtml(invoice),
      ...sections,
      element('h2', {}, 'Where this comes from'),
      element('p', { class: 'small' },
        `Computed ${instant(provenance.madeEpochMs)} from the first ` +
          `${plural(provenance.entries, 'entry', 'entries')} of the ledger of ${us} ` +
          `(${provenance.book}). Each amount was accepted by a signed statement at the entry ` +
          'that its line names, for the usage whose hash stands below it. Whoever has an export ' +
          'of either ledger finds both with gridnode verify and gridnode invoice.')))
  return `<!DOCTYPE html>\n${render(page)}`
}

function summaryHtml(invoice: Invoice): MarkupElement {
  const { us, them, owedToUs, owedByUs, openingBalance, closingBalance, open } = invoice
  const row = (label: string, amount: bigint, kind?: string): MarkupElement =>
    element('tr', { class: kind }, element('td', {}, label), number(amountText(amount)))
  const balance = (when: string, amount: bigint, kind?: string): MarkupElement => {
    const [debtor, creditor] = amount > 0n ? [them, us] : [us, them]
    const owed = amount === 0n ? 'nothing is owed' : `${debtor} owes ${creditor}`
    return row(`${when}: ${owed}`, amount < 0n ? -amount : amount, kind)
  }
  const rows = [balance('Before', openingBalance)]
  for (const [host, home, sums] of [[us, them, owedToUs], [them, us, owedByUs]] as const) {
    if (sums.lines > 0) {
      rows.push(row(`${host} ran for ${home}: ${plural(sums.lines, 'item')}`, sums.amount))
    }
    if (sums.granted > 0n) rows.push(row('of it paid by allocations', sums.granted))
    if (sums.settled > 0n) rows.push(row(`Settled by ${home}`, sums.settled))
  }
  rows.push(balance('After', closingBalance, 'total'))
  for (const { creditor, claimed, disputed } of open) {
    if (claimed > 0n) rows.push(row(`Claimed by ${creditor}, not accepted yet`, claimed))
    if (disputed > 0n) rows.push(row(`Claimed by ${creditor}, disputed`, disputed))
  }
  return element('table', { class: 'summary' },
    headHtml([['', false], ['Credits', true]]), element('tbody', {}, ...rows))
}

function linesHtml(title: string, lines: readonly InvoiceLine[]): MarkupElement[] {
  const rows = lines.map((line) => element('tr', {},
    number(String(line.accepted.index)),
    element('td', {},
      element('span', {}, instant(line.accepted.at)),
      element('br', {}),
      element('span', { class: 'sid' },
        `usage ${line.usage.index}: ${line.usage.sid} hold ${line.hold}` +
          (line.grant === '' ? '' : ` paid by the allocation ${line.grant}`))),
    number(String(line.used.tasks)),
    number(String(line.used.core_s)),
    number(String(line.used.gib_s)),
    number(amountText(line.amount))))
  const head = headHtml([
    ['Entry', true], ['Accepted, and for what', false], ['Tasks', true], ['Core s', true],
    ['GiB s', true], ['Credits', true],
  ])
  return [
    element('h2', {}, title),
    element('table', {}, head, element('tbody', {}, ...rows)),
  ]
}

function settlementsHtml({ settlements }: Invoice): MarkupElement[] {
  const rows = settlements.map(({ said, debtor, how, amount, reference }) => element('tr', {},
    number(String(said.index)),
    element('td', {},
      element('span', {}, instant(said.at)),
      element('br', {}),
      element('span', { class: 'sid' }, said.sid)),
    element('td', {}, how === 'paid' ? `paid by ${debtor}` : `forgiven to ${debtor}`),
    element('td', {}, reference),
    number(amountText(amount))))
  const head = headHtml([
    ['Entry', true], ['Agreed', false], ['How', false], ['Reference', false], ['Credits', true],
  ])
  return [
    element('h2', {}, 'Settlements'),
    element('table', {}, head, element('tbody', {}, ...rows)),
  ]
}

function headHtml(columns: readonly (readonly [string, boolean])[]): MarkupElement {
  return element('thead', {}, element('tr', {}, ...columns.map(([title, isNumber]) =>
    element('th', { class: isNumber ? 'number' : undefined }, title))))
}

function number(text: Markup): MarkupElement {
  return element('td', { class: 'number' }, text)
}
