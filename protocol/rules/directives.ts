// The options that a job's script carries in its comments: `#GRID` lines, and those of the
// scheduler that it was written for, read with that scheduler's own rules.
//
// [SCRIPT-1] A script is read in the dialect that was asked for, else in that of its first
//   directive. Directives of other dialects are reported as ignored.
// [SCRIPT-2] `#GRID` lines stand in the first column before the first command; they count over
//   those of the scheduler, and the command line over both.
// [SCRIPT-3] A script is refused with all its faults at once: empty, carriage_returns, no_shebang,
//   dialect, quote, stray_word, unknown_option, missing_value, unsupported, bad_value, each with
//   the line it is in. What is only advice is reported as ignored, with the reason.
//
// Pure: the same script reads the same at every node.

import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import { readSlurmBegin } from './begin-time.ts'
import { readLsf } from './bsub.ts'
import { readLicences, readSlurmDependency } from './dependency-words.ts'
import type {
  Dialect, DialectInput, DirectiveFault, IgnoredDirective, Reading, Setting, SubmitSwitches,
} from './dialect.ts'
import { entry, faultOf, honour, newReading, unknownOption } from './dialect.ts'
import { readGridEngine } from './grid-engine.ts'
import type { BadValue, JobOptions } from './job-options.ts'
import {
  isJobOptionName, jobOptionNames, joinJobOptions, overrideJobOptions, readJobOption,
} from './job-options.ts'
import { pbsFlavour, readPbs } from './pbs.ts'
import { firstCommandLine, splitWords } from './script-lines.ts'
import { readSlurm } from './slurm-script.ts'

export { describeFault } from './dialect.ts'
export type { DirectiveFault, IgnoredDirective } from './dialect.ts'

export interface Directives {
  readonly options: JobOptions
  /** The line, counted from 1, from which each option has its value; 0 = the command line. */
  readonly lines: Readonly<Partial<Record<keyof JobOptions, number>>>
  /** The option from which each has its value, as it was written. */
  readonly written: Readonly<Partial<Record<keyof JobOptions, string>>>
  /** Every option that counts, as it was written. */
  readonly settings: readonly Setting[]
  readonly ignored: readonly IgnoredDirective[]
  /** Undefined when the script has no directives of a scheduler and none was asked for. */
  readonly dialect: Dialect | undefined
  readonly switches: SubmitSwitches
  /** Of the command line: the script and its arguments, or a command. */
  readonly operands: readonly string[]
}

export const noDirectives: Directives = {
  options: {}, lines: {}, written: {}, settings: [], ignored: [], dialect: undefined,
  switches: {}, operands: [],
}

export interface DirectivesRefusal {
  readonly reason: 'bad_script'
  /** At least one, in the order of their lines. */
  readonly faults: readonly DirectiveFault[]
}

export interface ReadOptions {
  readonly dialect?: Dialect | undefined
  /** The words after the name of the dialect's own submitting command; needs `dialect`. */
  readonly args?: readonly string[]
}

/** A script with the command line of its scheduler's submitting command, if there is one. */
export function readDirectives(
  script: string, asked: ReadOptions = {},
): Outcome<Directives, DirectivesRefusal> {
  const dialect = dialectOf(script, asked.dialect)
  const whole = wholeFault(script, dialect)
  if (whole) return refuse({ reason: 'bad_script', faults: [whole] })
  const input = { script, ...(asked.args !== undefined && { args: asked.args }) }
  const reading = dialect === undefined ? newReading() : readersOf[dialect](input)
  judgeForeign(reading, script, dialect)
  if (script.includes('\r\n')) {
    const why = 'the script has DOS line breaks (CR LF), which shells do not understand'
    reading.ignored.push({ line: 1, option: 'note', why })
  }
  return concluded(reading, readGrid(script), dialect)
}

/** A command line alone, without a script: as far as to know which script it names. */
export function readArguments(
  dialect: Dialect, args: readonly string[],
): Outcome<Directives, DirectivesRefusal> {
  return concluded(readersOf[dialect]({ args }), newReading(), dialect)
}

const readersOf: Readonly<Record<Dialect, (input: DialectInput) => Reading>> = {
  slurm: readSlurm,
  pbs: (input) => readPbs(input, 'pbs'),
  torque: (input) => readPbs(input, 'torque'),
  lsf: readLsf,
  grid_engine: readGridEngine,
}

function concluded(
  reading: Reading, grid: Reading, dialect: Dialect | undefined,
): Outcome<Directives, DirectivesRefusal> {
  const byLine = <T extends { readonly line: number }>(all: readonly T[]): T[] =>
    all.toSorted((a, b) => a.line - b.line)
  const faults = [...reading.faults, ...grid.faults]
  if (faults.length > 0) return refuse({ reason: 'bad_script', faults: byLine(faults) })
  return ok({
    options: overrideJobOptions(joinJobOptions(reading.options), joinJobOptions(grid.options)),
    lines: { ...reading.lines, ...grid.lines },
    written: { ...reading.written, ...grid.written },
    settings: byLine([...reading.settings, ...grid.settings]),
    ignored: byLine([...reading.ignored, ...grid.ignored]),
    dialect,
    switches: reading.switches,
    operands: reading.operands,
  })
}

function wholeFault(script: string, dialect: Dialect | undefined): DirectiveFault | undefined {
  if (script.trim() === '') {
    return { reason: 'empty', line: 1, option: '', detail: 'the script is empty' }
  }
  const carriageReturn = script.indexOf('\r\n')
  if (carriageReturn >= 0 && dialect !== 'lsf' && dialect !== 'grid_engine') {
    const line = script.slice(0, carriageReturn).split('\n').length
    const detail = 'a DOS line break (CR LF), which shells do not understand; ' +
      "convert the script: sed -i 's/\\r$//' SCRIPT"
    return { reason: 'carriage_returns', line, option: '', detail }
  }
  if (!script.startsWith('#!') && (dialect === undefined || dialect === 'slurm')) {
    const first = (script.split('\n', 1)[0] ?? '').slice(0, 40)
    const detail = `expected #! and the path of an interpreter such as #!/bin/sh, got '${first}'`
    return { reason: 'no_shebang', line: 1, option: '', detail }
  }
  return undefined
}

interface Foreign {
  readonly line: number
  readonly family: Family
}

type Family = 'SBATCH' | 'PBS' | 'BSUB' | '$'

const familyOf: Readonly<Record<Dialect, Family>> =
  { slurm: 'SBATCH', pbs: 'PBS', torque: 'PBS', lsf: 'BSUB', grid_engine: '$' }

/** Lines that look like directives of a scheduler, where it would look for them. */
function directiveLines(script: string): Foreign[] {
  const stop = firstCommandLine(script)
  const found: Foreign[] = []
  script.split('\n').forEach((text, index) => {
    const line = index + 1
    const before = stop === 0 || line < stop
    if (before && text.startsWith('#SBATCH')) found.push({ line, family: 'SBATCH' })
    else if (before && /^\s*#PBS\s*-/.test(text)) found.push({ line, family: 'PBS' })
    else if (/^\s*#\s*BSUB\s*-/.test(text)) found.push({ line, family: 'BSUB' })
    else if (/^#\$\s*-[A-Za-z@]/.test(text)) found.push({ line, family: '$' })
  })
  return found
}

/** [SCRIPT-1] */
export function dialectOf(script: string, asked: Dialect | undefined): Dialect | undefined {
  if (asked !== undefined) return asked
  switch (directiveLines(script)[0]?.family) {
    case 'SBATCH': return 'slurm'
    case 'PBS': return pbsFlavour(script)
    case 'BSUB': return 'lsf'
    case '$': return 'grid_engine'
    default: return undefined
  }
}

function judgeForeign(reading: Reading, script: string, dialect: Dialect | undefined): void {
  const own = dialect === undefined ? undefined : familyOf[dialect]
  for (const { line, family } of directiveLines(script)) {
    if (family === own) continue
    const why = own === undefined ? 'no dialect was chosen'
      : `the script is read by its #${own} lines; --dialect chooses others`
    reading.ignored.push({ line, option: `#${family}`, why })
  }
}

/** [SCRIPT-2] */
function readGrid(script: string): Reading {
  const reading = newReading()
  const stop = firstCommandLine(script)
  script.split('\n').forEach((text, index) => {
    const line = index + 1
    // Ours stands alone, as `#GRIDLOCK` is a comment.
    if (!/^#GRID(?![A-Za-z0-9_])/.test(text)) return
    if (stop > 0 && line > stop) {
      const why = `it comes after the first command (line ${stop}), where directives end`
      reading.ignored.push({ line, option: '#GRID', why })
      return
    }
    const words = splitWords(text.slice('#GRID'.length))
    if (words) readGridWords(reading, words, line)
    else faultOf(reading, { line, written: '#GRID' }, 'quote', 'a quote that is not closed')
  })
  return reading
}

/** What a script of a scheduler says in words of its own. */
const gridReaders: Readonly<Record<string, (text: string) => Outcome<JobOptions, BadValue>>> = {
  after: readSlurmDependency,
  begin: readSlurmBegin,
  licences: readLicences,
}

function readGridWords(reading: Reading, words: readonly string[], line: number): void {
  for (let at = 0; at < words.length; at++) {
    const text = words[at]!
    const match = /^--([a-z-]+)(?:=([^]*))?$/.exec(text)
    if (!match) {
      const detail = `expected an option such as --cores=4, got '${text}'`
      faultOf(reading, { line, written: '#GRID' }, 'stray_word', detail)
      continue
    }
    const [, name = '', joined] = match
    const written = `#GRID --${name}`
    const next = words[at + 1]
    const separate = joined === undefined && next !== undefined && !next.startsWith('--')
    if (separate) at++
    const reader = entry(gridReaders, name)
    if (!isJobOptionName(name) && !reader) {
      const known = [...jobOptionNames, ...Object.keys(gridReaders)].map((one) => `--${one}`)
      unknownOption(reading, { line, written }, `--${name}`, known)
      continue
    }
    const value = separate ? next : joined
    if (value === undefined) {
      faultOf(reading, { line, written }, 'missing_value', 'a value is missing')
      continue
    }
    const read = isJobOptionName(name) ? readJobOption(name, value) : reader!(value)
    if (read.ok) honour(reading, { name, value, line, written }, read.value)
    else faultOf(reading, { line, written }, 'bad_value', read.refusal.detail)
  }
}
