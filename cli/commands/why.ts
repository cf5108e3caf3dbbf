// `gridnode why`: each auction of a job, site by site: who bid what, who did not and for what
// reason.

import type { WhyAnswer, WhyRow } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { compareBytes } from '../../protocol/base/ids.ts'
import { formatDuration } from '../../protocol/base/units.ts'
import type { Command, Context } from '../command.ts'
import { wrap } from '../command.ts'
import { CommandFailure, exitCodes, usageFailure } from '../failure.ts'
import { homeOf, unlessUnknown } from '../job-home.ts'
import { jobName } from '../job-word.ts'
import { age, credits, jsonText, plural, printable, table } from '../output.ts'
import { reasonText, verdictText } from '../why-text.ts'

export const why: Command = {
  usage: ['[options] JOB'],
  about:
    'Explains where a job runs and why there: the bids of each auction in the order of the ' +
    "job's policy, the awards, and the reason of every site that did not bid.",
  options: {
    round: { kind: 'value', short: 'r', value: 'N', help: 'only this round (default: the last 3)' },
  },
  examples: [
    ['gridnode why 3f2a', 'who bid, who refused, who won'],
    ["gridnode why 3f2a --json | jq '.rounds[-1].rows'", 'the last round for a script'],
  ],
  run: runWhy,
}

const roundsShown = 3

async function runWhy(context: Context): Promise<number> {
  const { args, terminal, json } = context
  const [word, ...more] = args.words
  if (more.length > 0) throw usageFailure(`expected one job, got ${args.words.length}`)
  const chosen = args.value('round')
  if (chosen !== undefined && !/^[0-9]{1,9}$/.test(chosen)) {
    throw usageFailure(`--round: expected a number, got '${chosen}'`)
  }
  const answer = await whyOf(context, word)
  const rounds = chosen === undefined
    ? answer.rounds
    : answer.rounds.filter(({ round }) => round === Number(chosen))
  const shown = { ...answer, rounds }
  await terminal.out.write(json ? jsonText(shown) : whyText(context, shown))
  return exitCodes.done
}

/** At its home, wherever that is. */
async function whyOf(context: Context, word: string | undefined): Promise<WhyAnswer> {
  const { id, site } = jobName(word)
  if (site === undefined) {
    const here = await unlessUnknown(context.client().get<WhyAnswer>(apiPaths.why(id)))
    if (!(here instanceof CommandFailure)) return here
  }
  const home = await homeOf(context, word)
  return home.context.client().get<WhyAnswer>(apiPaths.why(home.job))
}

function whyText(context: Context, answer: WhyAnswer): string {
  const { style } = context
  const width = Math.min(context.terminal.out.columns(), 100)
  const head = wrap(`job ${answer.job}: ${printable(answer.note)}`, width)
  const parts = [`${head.join('\n')}\n`]
  const hidden = Math.max(0, answer.rounds.length - roundsShown)
  if (hidden > 0) parts.push(`${plural(hidden, 'earlier round')} not shown (--round N)\n`)
  if (answer.rounds.length === 0) parts.push('there was no auction\n')
  for (const round of answer.rounds.slice(-roundsShown)) {
    const length = round.closedEpochMs === undefined
      ? 'still open'
      : `open for ${age(round.openedEpochMs, round.closedEpochMs)}`
    const title = style.bold(`round ${round.round}`)
    parts.push(`${title}, ${round.policy}, ${length}\n${rowsText(context, round.rows)}` +
      unnamedText(context, round))
  }
  return parts.join('\n')
}

function rowsText(context: Context, rows: readonly WhyRow[]): string {
  const { style, terminal } = context
  const bids = rows
    .filter((row) => row.verdict === 'bid')
    .toSorted((a, b) => (a.rank ?? rows.length) - (b.rank ?? rows.length))
  const others = rows
    .filter((row) => row.verdict !== 'bid')
    .toSorted((a, b) => compareBytes(a.site, b.site))
  const layout = { width: terminal.out.columns(), style, indent: 2 }
  let text = ''
  if (bids.length > 0) {
    text += table(
      [
        { title: '#', align: 'right' },
        { title: 'BID OF', shrinkTo: 10 },
        { title: 'SLOTS', align: 'right' },
        { title: 'TASK PRICE', align: 'right' },
        { title: 'START', align: 'right' },
        { title: 'DONE IN', align: 'right' },
        { title: 'AWARDED', align: 'right' },
      ],
      bids.map((row) => [
        row.rank === undefined ? '' : String(row.rank),
        row.site,
        row.slots === undefined ? '' : String(row.slots),
        row.taskPrice === undefined ? '' : credits(row.taskPrice),
        startText(row.startInSeconds),
        row.completionInSeconds === undefined ? '' : formatDuration(row.completionInSeconds),
        row.awardedTasks === undefined ? '' : String(row.awardedTasks),
      ]),
      layout,
    )
  }
  for (const row of others) text += otherText(row, Math.min(layout.width, 100))
  if (rows.length === 0) text += '  no site was asked yet\n'
  return text
}

/** [ANNOUNCE-15] */
function unnamedText(context: Context, { unnamed = [] }: WhyAnswer['rounds'][number]): string {
  if (unnamed.length === 0) return ''
  const width = Math.min(context.terminal.out.columns(), 100)
  const sites = unnamed.reduce((sum, row) => sum + row.sites, 0)
  const reasons = unnamed.map((row) => `${printable(row.reason)} (${row.sites})`).join(', ')
  const [first = '', ...more] = wrap(`${plural(sites, 'more site')}: ${reasons}`, width - 6)
  return `${[`  - ${first}`, ...more.map((line) => `      ${line}`)].join('\n')}\n`
}

function startText(seconds: number | undefined): string {
  if (seconds === undefined) return ''
  return seconds <= 0 ? 'now' : formatDuration(seconds)
}

function otherText(row: WhyRow, width: number): string {
  const words = `${row.site} ${verdictText(row)}${reasonText(row)}`
  const [first = '', ...more] = wrap(printable(words), width - 6)
  return `${[`  - ${first}`, ...more.map((line) => `      ${line}`)].join('\n')}\n`
}
