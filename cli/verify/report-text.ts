// What a verification found, for a person: ledgers, pairs, faults with their first causes, what is
// open, and the verdict.

import { formatCredits, formatDuration } from '../../protocol/base/units.ts'
import type { PairReport } from '../../protocol/rules/audit-pairs.ts'
import type { Context } from '../command.ts'
import { wrap } from '../command.ts'
import { instant, plural, printable, table } from '../output.ts'
import type { ReportedFinding, VerifyReport } from './verify.ts'

const shownMax = 50

/** `all`: every fault and hold; else first causes, and the first of many. */
export function reportText(context: Context, report: VerifyReport, all: boolean): string {
  const { style, terminal } = context
  const layout = { width: terminal.out.columns(), style }
  const width = Math.min(layout.width, 100)
  const parts: string[] = []
  if (report.logs.length > 0) parts.push(logsText(report, layout))
  if (report.pairs.length > 0) parts.push(pairsText(report, layout))
  const lines = [
    ...report.unusable.map(({ path, detail }) => `${path} is no ledger: ${detail}`),
    ...findingLines(report, all),
    ...holdLines(report, all),
    ...report.grants.map((grant) => {
      const free = grant.amount - grant.spent - grant.held
      const rest = report.asOfEpochMs > grant.untilEpochMs ? 'expired' : 'free'
      return `allocation ${grant.name} of ${grant.grantee} by ${grant.authority}: ` +
        `${formatCredits(grant.amount)}, spent ${formatCredits(grant.spent)}, held ` +
        `${formatCredits(grant.held)}, ${rest} ${formatCredits(free)}`
    }),
    ...(report.documents.given === 0 ? [] : [
      `${plural(report.documents.given, 'document')} given, ` +
        `${plural(report.documents.opened, 'commitment')} opened`,
    ]),
    ...report.notes.map((note) => `note: ${note}`),
  ]
  if (lines.length > 0) {
    parts.push(lines.map((text) => hanging(printable(text), width)).join(''))
  }
  parts.push(verdictText(context, report))
  return parts.join('\n')
}

function logsText(report: VerifyReport, layout: Parameters<typeof table>[2]): string {
  return table(
    [
      { title: 'LEDGER OF', shrinkTo: 10 },
      { title: 'ENTRIES', align: 'right' },
      { title: 'FAULTS', align: 'right' },
      { title: 'NEWEST ENTRY' },
      { title: 'ROOT HASH', shrinkTo: 12 },
    ],
    report.logs.map((log) => [
      log.site,
      String(log.entries),
      String(log.findings),
      log.newestEpochMs === 0 ? '' : instant(log.newestEpochMs),
      log.root,
    ]),
    layout,
  )
}

/** First causes, each with how many faults only follow from it; or all of them. */
function findingLines({ findings, findingsMore }: VerifyReport, all: boolean): string[] {
  const followers = new Map<string, number>()
  const shown: ReportedFinding[] = []
  for (const finding of findings) {
    const key = `${finding.path} ${finding.cause ?? finding.index}`
    const known = followers.get(key)
    const isFirst = known === undefined && finding.cause === undefined
    if (all || isFirst || (finding.cause === undefined && finding.index === undefined)) {
      shown.push(finding)
    }
    followers.set(key, known === undefined ? 0 : known + 1)
  }
  const max = all ? shown.length : shownMax
  const lines = shown.slice(0, max).map((finding) => {
    const where = finding.index === undefined ? '' : ` entry ${finding.index}`
    const place = `${finding.site}${where}`.trim()
    const text = `${place === '' ? '' : `${place} `}[${finding.rule}] ${finding.detail} ` +
      `(${finding.path})`
    if (all) return finding.cause === undefined ? text : `${text}; follows from ${finding.cause}`
    const more = finding.index === undefined
      ? 0 : followers.get(`${finding.path} ${finding.index}`) ?? 0
    if (more === 0) return text
    return `${text}; ${more === 1 ? 'one more fault follows' : `${more} more faults follow`}`
  })
  const left = shown.length - lines.length + findingsMore
  if (left > 0) lines.push(`and ${plural(left, 'more fault')}: see them with --all`)
  return lines
}

function holdLines({ openHolds, asOfEpochMs }: VerifyReport, all: boolean): string[] {
  const max = all ? openHolds.length : shownMax
  const lines = openHolds.slice(0, max).map((hold) => {
    const what = hold.state === 'asked' ? 'was asked to hold' : 'holds'
    const due = hold.pastDue ? 'past due since' : 'until'
    const claimed = hold.claimed > hold.accepted
      ? `, ${formatCredits(hold.claimed - hold.accepted)} claimed` : ''
    const disputed = hold.disputed === '' ? '' : ' and disputed'
    return `open for ${formatDuration(hold.ageSeconds)}: ${hold.host} ${what} ` +
      `${formatCredits(hold.amount)} for ${hold.home} ${due} ${instant(hold.validUntilEpochMs)}` +
      `${claimed}${disputed}`
  })
  const left = openHolds.length - lines.length
  if (left > 0) lines.push(`and ${plural(left, 'more open hold')}: see them with --all`)
  if (openHolds.length > 0) lines.push(`ages are as of ${instant(asOfEpochMs)}, the newest entry`)
  return lines
}

function hanging(text: string, width: number): string {
  const [first = '', ...more] = wrap(text, width - 2)
  return [first, ...more.map((line) => `  ${line}`)].map((line) => `${line}\n`).join('')
}

function pairsText(report: VerifyReport, layout: Parameters<typeof table>[2]): string {
  const amount = (value: bigint): string => formatCredits(value).replace(' cr', '')
  const { pairs } = report
  // Columns that are zero everywhere say nothing.
  const sums = ([
    ['DISPUTED', (pair) => pair.disputed], ['BY CLAUSE', (pair) => pair.byClause],
    ['SETTLED', (pair) => pair.settled],
  ] as const satisfies readonly (readonly [string, (pair: PairReport) => bigint])[])
    .filter(([, of]) => pairs.some((pair) => of(pair) !== 0n))
  return table(
    [
      { title: 'DEBTOR', shrinkTo: 8 },
      { title: 'OWES', shrinkTo: 8 },
      { title: 'AGREED', align: 'right' },
      { title: 'CLAIMED', align: 'right' },
      ...sums.map(([title]) => ({ title, align: 'right' as const })),
      { title: 'HELD', align: 'right' },
      { title: 'LIMIT', align: 'right' },
      { title: 'SEEN BY', shrinkTo: 4 },
      { title: 'COMPLETE UP TO', shrinkTo: 11 },
    ],
    pairs.map((pair) => [
      pair.debtor, pair.creditor, amount(pair.agreed), amount(pair.claimed),
      ...sums.map(([, of]) => amount(of(pair))), amount(pair.held), amount(pair.limit), pair.seen,
      pair.completeUntilEpochMs === 0 ? '' : instant(pair.completeUntilEpochMs),
    ]),
    layout,
  )
}

function verdictText(context: Context, report: VerifyReport): string {
  const { style } = context
  const entries = report.logs.reduce((sum, log) => sum + log.entries, 0)
  switch (report.verdict) {
    case 'holds':
      return `${style.green('all holds')}: ${plural(report.logs.length, 'ledger')}, ` +
        `${plural(entries, 'entry', 'entries')}, federation ${report.federation}\n` +
        `${report.completeUntilEpochMs === 0 ? '' :
          `complete up to ${instant(report.completeUntilEpochMs)} by the sites' own clocks\n`}`
    case 'broken':
      return `${style.red('something does not hold')}: ` +
        `${plural(report.findings.length + report.findingsMore, 'fault')}, listed above\n`
    case 'unusable':
      return `${style.red('nothing can be said')}: an input is no ledger\n`
  }
}
