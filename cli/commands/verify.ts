// `gridnode verify`: checks exported ledgers, without node or network. The checking is in
// cli/verify/.

import { resolve } from 'node:path'
import { formatCredits } from '../../protocol/base/units.ts'
import type { Command, Context } from '../command.ts'
import { wrap } from '../command.ts'
import { exitCodes, usageFailure } from '../failure.ts'
import { instant, plural, printable, table } from '../output.ts'
import { bar, liveLine } from '../progress.ts'
import type { LogFiles } from '../verify/log-files.ts'
import { findLogs } from '../verify/log-files.ts'
import type { VerifyReport } from '../verify/verify.ts'
import { verifyExitCode, verifyLogs } from '../verify/verify.ts'

export const verify: Command = {
  usage: ['[options] DIR...'],
  about:
    "Checks ledgers written by 'gridnode ledger export': every signature, number, sum and hash " +
    'of each, and all of them against one another. DIR is a ledger, or holds several.',
  options: {},
  examples: [
    ['gridnode verify a-ledger b-ledger', 'two sites against each other'],
    ['gridnode verify ledgers/', 'all ledgers in a directory'],
  ],
  notes: 'Exit codes: 0 all holds, 1 something does not hold, 2 an input is no ledger.',
  run: runVerify,
}

const findingsShown = 50

async function runVerify(context: Context): Promise<number> {
  const { args, terminal } = context
  if (args.words.length === 0) throw usageFailure('expected at least one directory with a ledger')
  return checkLogs(context, () =>
    findLogs(args.words.map((word) => resolve(terminal.cwd, word))))
}

/**
 * Verifies logs wherever they come from, tells what was found, and gives the exit code. `judge` has
 * the last word on what counts.
 */
export async function checkLogs(
  context: Context,
  find: (signal: AbortSignal) => Promise<readonly LogFiles[]>,
  judge: (report: VerifyReport) => VerifyReport = (report) => report,
): Promise<number> {
  const { terminal, json } = context
  const line = liveLine(terminal.err, () => terminal.nowEpochMs())
  const stop = new AbortController()
  const undo = terminal.onInterrupt(() => stop.abort(new Error('interrupted')))
  try {
    const inputs = await find(stop.signal)
    const report = judge(await verifyLogs(inputs, {
      signal: stop.signal,
      onProgress: ({ path, entries, of }) =>
        line.show(`${bar(entries, of, 26)} ${entries} of ${of} entries  ${path}`),
    }))
    line.clear()
    await terminal.out.write(json ? reportJson(report) : reportText(context, report))
    return verifyExitCode(report)
  } catch (error) {
    line.clear()
    if (stop.signal.aborted) return exitCodes.interrupted
    throw error
  } finally {
    undo()
  }
}

/** Amounts as decimal strings of microcredits, like everywhere in JSON. */
function reportJson(report: VerifyReport): string {
  const plain = (_: string, value: unknown): unknown =>
    typeof value === 'bigint' ? String(value) : value
  return `${JSON.stringify(report, plain, 2)}\n`
}

function reportText(context: Context, report: VerifyReport): string {
  const { style, terminal } = context
  const layout = { width: terminal.out.columns(), style }
  const width = Math.min(layout.width, 100)
  const parts: string[] = []
  if (report.logs.length > 0) {
    parts.push(table(
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
    ))
  }
  if (report.pairs.length > 0) parts.push(pairsText(report, layout))
  const lines = [
    ...report.unusable.map(({ path, detail }) => `${path} is no ledger: ${detail}`),
    ...report.findings.slice(0, findingsShown).map((finding) => {
      const where = finding.index === undefined ? '' : ` entry ${finding.index}`
      return `${finding.site}${where} [${finding.rule}] ${finding.detail} (${finding.path})`
    }),
    ...report.openHolds.slice(0, findingsShown).map((hold) =>
      `open: ${hold.host} holds ${formatCredits(hold.amount)} for ${hold.home} ` +
        `until ${instant(hold.validUntilEpochMs)}`),
    ...report.notes.map((note) => `note: ${note}`),
  ]
  const more = report.findings.length - findingsShown + report.findingsMore
  if (more > 0) lines.push(`and ${plural(more, 'more fault')}`)
  if (lines.length > 0) {
    parts.push(lines.map((text) => hanging(printable(text), width)).join(''))
  }
  parts.push(verdictText(context, report))
  return parts.join('\n')
}

function hanging(text: string, width: number): string {
  const [first = '', ...more] = wrap(text, width - 2)
  return [first, ...more.map((line) => `  ${line}`)].map((line) => `${line}\n`).join('')
}

function pairsText(report: VerifyReport, layout: Parameters<typeof table>[2]): string {
  const amount = (value: bigint): string => formatCredits(value).replace(' cr', '')
  return table(
    [
      { title: 'DEBTOR', shrinkTo: 8 },
      { title: 'OWES', shrinkTo: 8 },
      { title: 'AGREED', align: 'right' },
      { title: 'CLAIMED', align: 'right' },
      { title: 'HELD', align: 'right' },
      { title: 'LIMIT', align: 'right' },
      { title: 'SEEN BY' },
    ],
    report.pairs.map((pair) => [
      pair.debtor, pair.creditor, amount(pair.agreed), amount(pair.claimed), amount(pair.held),
      amount(pair.limit), pair.seen,
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
        `${plural(entries, 'entry', 'entries')}, federation ${report.federation}\n`
    case 'broken':
      return `${style.red('something does not hold')}: ` +
        `${plural(report.findings.length + report.findingsMore, 'fault')}, listed above\n`
    case 'unusable':
      return `${style.red('nothing can be said')}: an input is no ledger\n`
  }
}
