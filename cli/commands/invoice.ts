// `gridnode invoice`: what two sites have accepted and settled over a period, citing statements.

import type { Invoice } from '../../protocol/rules/invoice.ts'
import { openInvoice } from '../../protocol/rules/invoice.ts'
import { invoiceHtml } from '../books/invoice-html.ts'
import { invoiceJson, invoiceText } from '../books/invoice-text.ts'
import type { Book } from '../books/open-books.ts'
import { chooseBook, expectMember, openBooks, siteWord, walkBook } from '../books/open-books.ts'
import type { NamedPeriod } from '../books/period.ts'
import { parsePeriod } from '../books/period.ts'
import { usageRecords } from '../books/usage-records.ts'
import type { Command, Context } from '../command.ts'
import { exitCodes, failure, usageFailure } from '../failure.ts'

export const invoice: Command = {
  usage: ['[options] SITE', '[options] SITE --from DIR...'],
  about:
    'The account between SITE and this site over a period: each amount that was accepted, with ' +
    'the usage it is for, what was settled, and the balance before and after. From the log of ' +
    'the local node, or from exported ledgers, which are verified first.',
  options: {
    period: {
      kind: 'value', short: 'p', value: 'PERIOD',
      help: 'a month (2026-03) or days (2026-03-01..2026-03-14), UTC; default: everything',
    },
    format: {
      kind: 'value', short: 'f', value: 'FORMAT',
      help: 'text, json, html (to print), or ur (OGF Usage Records 2.0); default text',
    },
    from: { kind: 'list', value: 'DIR', help: 'exported ledgers, or a directory of them' },
    as: { kind: 'value', value: 'SITE', help: 'whose account, when several ledgers are given' },
  },
  examples: [
    ['gridnode invoice b.example --period 2026-03', 'March, as text'],
    ['gridnode invoice b.example -p 2026-03 -f html > march.html', 'a page to print'],
    ['gridnode invoice b.example --from a-ledger', 'from an export, without a node'],
  ],
  notes:
    'A statement belongs to the period that holds the time its author gave it. With ur there is ' +
    'one record for each final usage, accepted or not.',
  run: runInvoice,
}

const formats = ['text', 'json', 'html', 'ur'] as const
type Format = (typeof formats)[number]

async function runInvoice(context: Context): Promise<number> {
  const { args, terminal } = context
  const them = siteWord(args.words[0])
  const period = parsePeriod(args.value('period'))
  const format = formatOf(context)
  const directories = args.list('from')
  const more = args.words.slice(1)
  if (more.length > 0 && directories.length === 0) {
    throw usageFailure(`expected one site, got ${args.words.join(' ')}`)
  }
  const books = await openBooks(context, [...directories, ...more])
  const book = chooseBook(books, { as: args.value('as'), other: them })
  if (book.site === them) {
    throw usageFailure(`${them} has no account with itself; expected another site`)
  }
  const writer = openInvoice({ us: book.site, them, period })
  const { history, members } = await walkBook(context, book, (event) => writer.take(event))
  expectMember(them, members, book)
  const written = writer.result(history)
  if (!written.ok) {
    throw failure('too_many_lines',
      `more than ${written.refusal.max} items in this period; choose a shorter one`)
  }
  await terminal.out.write(documentOf(context, { format, book, period }, written.value))
  return exitCodes.done
}

function formatOf({ args, json }: Context): Format {
  const named = args.value('format') ?? (json ? 'json' : 'text')
  const format = formats.find((one) => one === named)
  if (format === undefined) {
    throw usageFailure(`--format: expected ${formats.join(', ')}, got '${named}'`)
  }
  if (json && format !== 'json') {
    throw usageFailure(`--json and --format ${named} exclude each other`)
  }
  return format
}

function documentOf(
  { terminal, style }: Context,
  { format, book, period }: {
    readonly format: Format, readonly book: Book, readonly period: NamedPeriod,
  },
  found: Invoice,
): string {
  switch (format) {
    case 'text': return invoiceText(found, period, { width: terminal.out.columns(), style })
    case 'json': return invoiceJson(found, period)
    case 'html': return invoiceHtml(found, period, {
      book: book.name, entries: book.entries, madeEpochMs: terminal.nowEpochMs(),
    })
    case 'ur': return usageRecords(found.runs)
  }
}
