// The report of a verification as a person reads it: logs, accounts, what is open, what is wrong,
// and the verdict last.

import { unshape } from '../../protocol/base/shape.ts'
import { formatCredits, formatDuration } from '../../protocol/base/units.ts'
import type { Style } from '../output.ts'
import { instant, plural, printable, table } from '../output.ts'
import type { OpenHold, ReportedFinding, VerifyReport } from './verify.ts'

export interface ReportLayout {
  readonly width: number
  readonly style: Style
}

const openHoldsShown = 20

export function verifyText(report: VerifyReport, layout: ReportLayout): string {
  const parts = [
    logLines(report, layout),
    accountLines(report, layout),
    openLines(report, layout),
    findingLines(report, layout),
    report.notes.map((note) => `Note: ${note}.\n`).join(''),
    verdictLine(report, layout),
  ]
  return parts.filter((part) => part !== '').join('\n')
}

/** The report as JSON for programs: amounts are decimal strings of microcredits. */
export function verifyJson(report: VerifyReport): unknown {
  return unshape(report)
}

function logLines({ logs, federation }: VerifyReport, { width, style }: ReportLayout): string {
  if (logs.length === 0) return ''
  const rows = logs.map(({ site, entries, root, newestEpochMs, findings }) => [
    site, String(entries), root.slice(0, 16), newestEpochMs === 0 ? '-' : instant(newestEpochMs),
    findings === 0 ? 'ok' : 'BROKEN',
  ])
  return `Ledgers of federation ${federation || '(unknown)'}\n` + table([
    { title: 'site', shrinkTo: 12 },
    { title: 'entries', align: 'right' },
    { title: 'root' },
    { title: 'complete up to' },
    { title: 'by itself', paint: (text) => (text === 'ok' ? style.green(text) : style.red(text)) },
  ], rows, { width, style, indent: 2 })
}

function accountLines({ pairs }: VerifyReport, { width, style }: ReportLayout): string {
  if (pairs.length === 0) return ''
  const rows = pairs.map(({ creditor, debtor, agreed, claimed, held, limit, seen }) => [
    debtor, creditor, formatCredits(agreed), formatCredits(claimed), formatCredits(held),
    formatCredits(limit), seen === 'both' ? 'both' : `the ${seen} only`,
  ])
  return 'Accounts\n' + table([
    { title: 'debtor', shrinkTo: 12 },
    { title: 'owes', shrinkTo: 12 },
    { title: 'agreed', align: 'right' },
    { title: 'claimed', align: 'right' },
    { title: 'held', align: 'right' },
    { title: 'limit', align: 'right' },
    { title: 'seen from' },
  ], rows, { width, style, indent: 2 })
}

function openLines({ openHolds, logs }: VerifyReport, { width, style }: ReportLayout): string {
  if (openHolds.length === 0) return ''
  const now = Math.max(0, ...logs.map(({ newestEpochMs }) => newestEpochMs))
  const rows = openHolds.slice(0, openHoldsShown).map((hold) => [
    hold.sid.slice(0, 16), hold.home, hold.host, holdText(hold, now), formatCredits(hold.amount),
    formatCredits(hold.claimed), formatDuration(ageSeconds(hold.askedEpochMs, now)),
  ])
  const rest = openHolds.length - rows.length
  return 'Open holds\n' + table([
    { title: 'hold' },
    { title: 'home', shrinkTo: 10 },
    { title: 'host', shrinkTo: 10 },
    { title: 'state' },
    { title: 'amount', align: 'right' },
    { title: 'claimed', align: 'right' },
    { title: 'for', align: 'right' },
  ], rows, { width, style, indent: 2 }) + (rest > 0 ? `  and ${rest} more\n` : '')
}

function holdText({ state, claimedFinal, validUntilEpochMs }: OpenHold, now: number): string {
  if (state === 'asked') return validUntilEpochMs < now ? 'unanswered, past due' : 'asked'
  return claimedFinal === 1 ? 'claimed' : 'held'
}

function findingLines(
  { findings, findingsMore, unusable }: VerifyReport, { style }: ReportLayout,
): string {
  const line = (place: string, what: string) => `  ${style.red(place)}: ${printable(what)}\n`
  const lines = [
    ...findings.map((one) => line(placeOf(one), `${one.rule}: ${one.detail}`)),
    ...(findingsMore > 0 ? [`  and ${findingsMore} more\n`] : []),
    ...unusable.map(({ path, detail }) => line(path, `not a ledger: ${detail}`)),
  ]
  return lines.length === 0 ? '' : `Findings\n${lines.join('')}`
}

/** Site and entry; the path where the site is unknown. */
function placeOf({ site, index, path }: ReportedFinding): string {
  const log = site === '' ? path : site
  return index === undefined ? log : `${log} entry ${index}`
}

function verdictLine(report: VerifyReport, { style }: ReportLayout): string {
  const { verdict, logs, findings, findingsMore } = report
  const entries = logs.reduce((sum, log) => sum + log.entries, 0)
  const count = findings.length + findingsMore
  if (verdict === 'holds') {
    const all = `all ${entries} entries of ${plural(logs.length, 'ledger')} hold`
    return `${style.green('VERIFIED')}: ${all}\n`
  }
  if (verdict === 'broken') {
    return `${style.red('NOT VERIFIED')}: ${plural(count, 'finding')}; do not rely on `
      + 'these accounts\n'
  }
  return `${style.red('NOT VERIFIED')}: nothing could be checked in some of what was given\n`
}

function ageSeconds(fromEpochMs: number, toEpochMs: number): number {
  return Math.max(0, Math.floor((toEpochMs - fromEpochMs) / 1_000))
}
