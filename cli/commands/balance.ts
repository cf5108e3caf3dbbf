// `gridnode balance`: what this site owes and is owed, by how far it is agreed; and, from the
// ledgers of several sites, circles of debts that they could settle together.

import type { SiteName } from '../../protocol/base/ids.ts'
import { compareBytes } from '../../protocol/base/ids.ts'
import { microcredits } from '../../protocol/base/units.ts'
import type { PairSums } from '../../protocol/rules/ledger-history.ts'
import type { Debt, Netting } from '../../protocol/rules/netting.ts'
import { findNetting } from '../../protocol/rules/netting.ts'
import { amountText } from '../books/invoice-text.ts'
import type { Books } from '../books/open-books.ts'
import { chooseBook, expectMember, openBooks, siteWord, walkBook } from '../books/open-books.ts'
import type { Command, Context } from '../command.ts'
import { wrap } from '../command.ts'
import { exitCodes, usageFailure } from '../failure.ts'
import { plural, table } from '../output.ts'

export const balance: Command = {
  usage: ['[options] [SITE]', '[options] --from DIR... [SITE]', '--netting --from DIR...'],
  about:
    'What this site is owed and owes: agreed, claimed, disputed and settled, for each other site ' +
    'and in all. From the log of the local node, or from exported ledgers, which are verified ' +
    'first. With --netting: circles of debts among the sites whose ledgers were given, and the ' +
    'statements by which they could be settled; a proposal, nothing is signed.',
  options: {
    from: { kind: 'list', value: 'DIR', help: 'exported ledgers, or a directory of them' },
    as: { kind: 'value', value: 'SITE', help: 'whose balance, when several ledgers are given' },
    netting: { kind: 'flag', help: 'propose what several sites could settle together' },
  },
  examples: [
    ['gridnode balance', 'with everybody'],
    ['gridnode balance b.example', 'with one site'],
    ['gridnode balance --netting --from ledgers', 'circles of debts in exported ledgers'],
  ],
  notes: 'A positive amount is owed to this site, a negative one by it.',
  run: runBalance,
}

async function runBalance(context: Context): Promise<number> {
  const { args, terminal, json } = context
  const directories = args.list('from')
  const isNetting = args.flag('netting')
  if (isNetting && directories.length === 0) {
    throw usageFailure('--netting needs the ledgers of the sites: --netting --from DIR...')
  }
  const word = isNetting ? undefined : args.words[0]
  const more = isNetting ? args.words : args.words.slice(1)
  if (more.length > 0 && directories.length === 0) {
    throw usageFailure(`expected one site, got ${args.words.join(' ')}`)
  }
  const other = word === undefined ? undefined : siteWord(word)
  const books = await openBooks(context, [...directories, ...more])
  if (isNetting) {
    const debts = await debtsIn(context, books)
    const netting = findNetting(debts)
    await terminal.out.write(json ? plainJson(netting) : nettingText(context, netting, debts))
    return exitCodes.done
  }
  const book = chooseBook(books, { as: args.value('as'), other })
  const { history, members } = await walkBook(context, book, () => undefined)
  if (other !== undefined) expectMember(other, members, book)
  const rows = balancesOf(book.site, history.sums())
    .filter(({ site }) => other === undefined || site === other)
  await terminal.out.write(json
    ? plainJson({ site: book.site, balances: rows, total: totalOf(rows) })
    : balanceText(context, book.site, rows))
  return exitCodes.done
}

/** All signed: positive is owed to us. */
interface Amounts {
  /** Accepted and not settled, both ways. */
  readonly agreed: bigint
  readonly claimed: bigint
  readonly disputed: bigint
  readonly settled: bigint
}

/** What one site is owed by another and owes it. */
interface Balance {
  readonly site: SiteName
  readonly net: bigint
  readonly owedToUs: Amounts
  readonly owedByUs: Amounts
}

const nothing: Amounts = { agreed: 0n, claimed: 0n, disputed: 0n, settled: 0n }

function balancesOf(us: SiteName, sums: readonly PairSums[]): Balance[] {
  const rows = new Map<SiteName, { owedToUs: Amounts, owedByUs: Amounts }>()
  for (const { creditor, debtor, accepted, settled, claimed, disputed } of sums) {
    if (creditor === debtor) continue
    const site = creditor === us ? debtor : creditor
    const row = rows.get(site) ?? { owedToUs: nothing, owedByUs: nothing }
    const amounts = { agreed: accepted - settled, claimed, disputed, settled }
    rows.set(site, creditor === us ? { ...row, owedToUs: amounts } : { ...row, owedByUs: amounts })
  }
  return [...rows].toSorted(([a], [b]) => compareBytes(a, b)).map(([site, row]) =>
    ({ site, net: row.owedToUs.agreed - row.owedByUs.agreed, ...row }))
}

function totalOf(rows: readonly Balance[]): Omit<Balance, 'site'> {
  const add = (left: Amounts, right: Amounts): Amounts => ({
    agreed: left.agreed + right.agreed,
    claimed: left.claimed + right.claimed,
    disputed: left.disputed + right.disputed,
    settled: left.settled + right.settled,
  })
  return rows.reduce<Omit<Balance, 'site'>>((sum, row) => ({
    net: sum.net + row.net,
    owedToUs: add(sum.owedToUs, row.owedToUs),
    owedByUs: add(sum.owedByUs, row.owedByUs),
  }), { net: 0n, owedToUs: nothing, owedByUs: nothing })
}

function balanceText(context: Context, us: SiteName, rows: readonly Balance[]): string {
  const { style, terminal } = context
  if (rows.length === 0) return `${us} owes nobody and is owed by nobody.\n`
  const cells = (name: string, row: Omit<Balance, 'site'>): string[][] => [
    [name, 'owed to us', ...amountCells(row.owedToUs), amountText(row.net)],
    ['', 'owed by us', ...amountCells(row.owedByUs), ''],
  ]
  const all = rows.flatMap((row) => cells(row.site, row))
  if (rows.length > 1) all.push(...cells('in all', totalOf(rows)))
  return table(
    [
      { title: `${us} WITH`, shrinkTo: 10 },
      { title: '' },
      { title: 'AGREED', align: 'right' },
      { title: 'CLAIMED', align: 'right' },
      { title: 'DISPUTED', align: 'right' },
      { title: 'SETTLED', align: 'right' },
      { title: 'BALANCE', align: 'right' },
    ],
    all,
    { width: terminal.out.columns(), style },
  ) + '\nagreed is accepted and not settled; a positive balance is owed to this site\n'
}

function amountCells({ agreed, claimed, disputed, settled }: Amounts): string[] {
  return [agreed, claimed, disputed, settled].map(amountText)
}

/**
 * Net debts of pairs whose two ledgers were both given, because both must sign: as much as both
 * ledgers say, so that what is on its way between them is left out.
 */
async function debtsIn(context: Context, { books }: Books): Promise<Debt[]> {
  const nets = new Map<SiteName, ReadonlyMap<SiteName, bigint>>()
  for (const book of books) {
    const { history } = await walkBook(context, book, () => undefined)
    const rows = balancesOf(book.site, history.sums())
    nets.set(book.site, new Map(rows.map(({ site, net }) => [site, net])))
  }
  return [...nets].flatMap(([debtor, owed]) => [...owed].flatMap(([creditor, net]): Debt[] => {
    const here = -net
    const there = nets.get(creditor)?.get(debtor) ?? 0n
    const amount = microcredits(here < there ? here : there)
    return amount > 0n ? [{ debtor, creditor, amount }] : []
  }))
}

function nettingText(context: Context, netting: Netting, debts: readonly Debt[]): string {
  const { style } = context
  if (netting.circles.length === 0) {
    return `no circle among ${plural(debts.length, 'debt')}: nothing to settle together\n`
  }
  const parts = netting.circles.map(({ sites, amount, reference, settlements }) =>
    `${style.bold(`${amountText(amount)} cr`)}  ${[...sites, sites[0]].join(' owes ')}\n` +
    settlements.map(({ debtor, creditor }) =>
      `  ${debtor}: settle, offer, to ${creditor}: ${amountText(amount)} cr, payer author, ` +
      `reference "${reference}"\n  ${creditor}: settle, agree\n`).join(''))
  const caution = 'A proposal: nothing is signed. Each pair is settled by itself, so agree among ' +
    'all sites of a circle before the first of them signs; then no balance in all changes.'
  return `${parts.join('\n')}\n${plural(netting.circles.length, 'circle')}, ` +
    `${amountText(netting.cleared)} cr of ${plural(debts.length, 'debt')} would go\n` +
    `${wrap(caution, 80).join('\n')}\n`
}

function plainJson(value: unknown): string {
  const plain = (_: string, one: unknown): unknown => (typeof one === 'bigint' ? String(one) : one)
  return `${JSON.stringify(value, plain, 2)}\n`
}
