// `gridnode explain`: what a script asks for, as it would be submitted, from which line. Needs no
// node and changes nothing.

import type { Dialect, DirectiveFault, IgnoredDirective } from '../../protocol/rules/dialect.ts'
import { describeFault } from '../../protocol/rules/dialect.ts'
import type { Command, Context } from '../command.ts'
import { wrap } from '../command.ts'
import type { Explained, ExplainRow } from '../explain-rows.ts'
import { explainRows } from '../explain-rows.ts'
import { exitCodes } from '../failure.ts'
import { sizeOf } from '../job-request.ts'
import type { Work } from '../job-script.ts'
import {
  checkExpressions, interpreterOf, readWork, ScriptRefused, siteDefaultsFile, wholeOptions,
} from '../job-script.ts'
import { jsonText, table } from '../output.ts'
import { jobOptionTable } from './submit.ts'

export const explain: Command = {
  usage: ['[options] SCRIPT'],
  about:
    'Shows what a script asks for, and from which line: as it would be submitted with these ' +
    'options. Defaults are marked, advice that is ignored is listed with the reason, and what ' +
    "cannot be honoured with what to do instead. Needs no node. '-' reads the script from stdin.",
  options: jobOptionTable,
  examples: [
    ['gridnode explain job.sh', 'the script as it is'],
    ['gridnode explain --dialect torque --walltime 2h job.pbs', 'read as Torque does, and longer'],
    ['gridnode explain --json job.sh', 'for programs'],
  ],
  notes: 'Exit codes: 0 it could be submitted, 1 something in it cannot be honoured.',
  run: runExplain,
}

const dialectWords: Readonly<Record<Dialect, string>> = {
  slurm: 'Slurm (#SBATCH)', pbs: 'PBS Pro or OpenPBS (#PBS)', torque: 'Torque (#PBS)',
  lsf: 'LSF (#BSUB)', grid_engine: 'Grid Engine (#$)',
}

async function runExplain(context: Context): Promise<number> {
  const { args, terminal, json } = context
  const [file = '', ...rest] = args.words
  let work: Work
  try {
    work = readWork({ ...args, words: [file, ...rest].filter((one) => one !== '') }, terminal.cwd)
  } catch (error) {
    if (!(error instanceof ScriptRefused)) throw error
    const { faults } = error
    await terminal.out.write(json ? jsonText({ script: file, refused: faults.map(shownFault) })
      : refusedText(context, file, faults))
    return exitCodes.failed
  }
  const { directives } = work
  const options = wholeOptions(context, directives)
  await checkExpressions(options.merged)
  const interpreter = interpreterOf(work.script, directives)
  const explained: Explained = { directives, options, fallbackName: work.fallbackName, interpreter }
  const rows = explainRows(explained)
  await terminal.out.write(json ? jsonText(jsonOf(file, explained, rows))
    : understoodText(context, file, explained, rows))
  return exitCodes.done
}

function jsonOf(file: string, { directives, options }: Explained, rows: readonly ExplainRow[]) {
  const { merged } = options
  const plain = Object.fromEntries(Object.entries(merged).map(([key, value]) =>
    [key, typeof value === 'bigint' ? String(value) : value]))
  return {
    script: file,
    dialect: directives.dialect ?? 'none',
    understood: rows,
    options: plain,
    size: sizeOf(merged),
    settings: directives.settings,
    ignored: directives.ignored,
    refused: [],
  }
}

function shownFault({ reason, line, option, detail }: DirectiveFault) {
  return { reason, line, option, detail }
}

function understoodText(
  { terminal, style }: Context, file: string, { directives }: Explained,
  rows: readonly ExplainRow[],
): string {
  const width = terminal.out.columns()
  const read = directives.dialect === undefined ? 'no directives of a scheduler'
    : `read as a script of ${dialectWords[directives.dialect]}`
  const shown = table(
    [{ title: 'ASKS FOR' }, { title: 'VALUE', shrinkTo: 20 }, { title: 'FROM', shrinkTo: 12 }],
    rows.map((row) => [row.what, row.value, fromText(row)]),
    { width, style, indent: 2 },
  )
  return `${style.bold(file)}: ${read}\n\n${shown}${ignoredText(directives.ignored, width)}`
}

function fromText(row: ExplainRow): string {
  switch (row.from) {
    case 'line': return `line ${row.line}: ${row.option}`
    case 'site': return `the site's ${siteDefaultsFile}`
    default: return row.from
  }
}

function ignoredText(ignored: readonly IgnoredDirective[], width: number): string {
  if (ignored.length === 0) return ''
  const lines = ignored.map(({ line, option, why }) => {
    const about = option === 'note' ? '' : ` ${option}:`
    return wrap(`line ${line}:${about} ${why}`, width - 4).join('\n    ')
  })
  return `\nignored, or to note\n  ${lines.join('\n  ')}\n`
}

function refusedText(
  { terminal, style }: Context, file: string, faults: readonly DirectiveFault[],
): string {
  const width = terminal.out.columns()
  const lines = faults.slice(0, 100).map((fault) =>
    wrap(describeFault(fault), width - 4).join('\n    '))
  if (faults.length > lines.length) lines.push(`and ${faults.length - lines.length} more`)
  return `${style.bold(file)} cannot be submitted as it is\n  ${lines.join('\n  ')}\n`
}
