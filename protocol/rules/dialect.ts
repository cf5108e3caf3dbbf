// What the readers of all dialects share: an option as it was found, where it was found, and the
// account of what became of it. Nothing is dropped in silence: an option is honoured, ignored with
// a reason, or a fault.

import { nearest } from '../base/nearest.ts'
import type { Outcome } from '../base/outcome.ts'
import type { BadValue, JobOptions } from './job-options.ts'

export const dialects = ['slurm', 'pbs', 'torque', 'lsf', 'grid_engine'] as const
export type Dialect = (typeof dialects)[number]

/** PBS Pro with OpenPBS, and Torque. */
export type PbsFlavour = 'pbs' | 'torque'

/** A word of an argument list; line 0 = the command line. */
export interface OptionWord {
  readonly text: string
  readonly line: number
}

/** An option as it was found. */
export interface Ask {
  /** As the dialect's own manual names it. */
  readonly name: string
  readonly value: string
  readonly line: number
  /** As a person finds it again: `#SBATCH --mem`, or `--mem` of the command line. */
  readonly written: string
}

export interface IgnoredDirective {
  readonly line: number
  readonly option: string
  readonly why: string
}

export interface DirectiveFault {
  readonly reason:
    | 'empty' | 'carriage_returns' | 'no_shebang' | 'dialect' | 'quote' | 'stray_word'
    | 'unknown_option' | 'missing_value' | 'unsupported' | 'bad_value'
  /** 0 = the command line. */
  readonly line: number
  /** As written: `#SBATCH --partition`; empty when the fault is not an option's. */
  readonly option: string
  readonly detail: string
}

/** What is meant for the command that submits, not for the job. */
export interface SubmitSwitches {
  /** The script is this text (Slurm's --wrap). */
  readonly wrap?: string
  /** The words after the options are a command, not a script (`-b y`). */
  readonly command?: boolean
  readonly parsable?: boolean
  readonly quiet?: boolean
  readonly testOnly?: boolean
  readonly wait?: boolean
  /** Arguments of the script that an option carries (Torque's -F). */
  readonly scriptArguments?: string
}

export interface Setting {
  readonly line: number
  readonly option: string
  readonly value: string
}

/** Grows while a dialect is read. */
export interface Reading {
  /** In the order in which they count: the last wins. */
  readonly options: JobOptions[]
  readonly lines: Partial<Record<keyof JobOptions, number>>
  /** The option from which each has its value, as it was written. */
  readonly written: Partial<Record<keyof JobOptions, string>>
  /** The options that count, as they were written. */
  readonly settings: Setting[]
  readonly faults: DirectiveFault[]
  readonly ignored: IgnoredDirective[]
  switches: SubmitSwitches
  /** The words of the command line after its options: a script and its arguments, or a command. */
  operands: readonly string[]
}

export interface DialectInput {
  /** The words after the submitting command's name; undefined when there is none. */
  readonly args?: readonly string[]
  readonly script?: string
}

export function newReading(): Reading {
  return {
    options: [], lines: {}, written: {}, settings: [], faults: [], ignored: [], switches: {},
    operands: [],
  }
}

export function honour(reading: Reading, ask: Ask, options: JobOptions): void {
  reading.options.push(options)
  for (const key of Object.keys(options)) cameFrom(reading, key as keyof JobOptions, ask)
  reading.settings.push({ line: ask.line, option: ask.written, value: ask.value })
}

export function cameFrom(reading: Reading, key: keyof JobOptions, ask: Ask): void {
  reading.lines[key] = ask.line
  reading.written[key] = ask.written
}

/** Something that is not an option's fault, and yet to be known. */
export function note(reading: Reading, line: number, why: string): void {
  reading.ignored.push({ line, option: 'note', why })
}

/** Of several queues any would do: the first is taken. */
export function noteQueues(reading: Reading, ask: Ask): void {
  const [first, ...others] = ask.value.trim().split(/[\s,]+/)
  if (others.length > 0) note(reading, ask.line, `of the queues ${ask.value} the first, ${first}`)
}

/** Honours what was read, or says what is wrong with it. */
export function take(reading: Reading, ask: Ask, read: Outcome<JobOptions, BadValue>): void {
  if (read.ok) honour(reading, ask, read.value)
  else faultOf(reading, ask, 'bad_value', read.refusal.detail)
}

export function ignore(reading: Reading, ask: Ask, why: string): void {
  reading.ignored.push({ line: ask.line, option: ask.written, why })
}

export function unsupported(reading: Reading, ask: Ask, why: string): void {
  faultOf(reading, ask, 'unsupported', why)
}

export function faultOf(
  reading: Reading,
  ask: Pick<Ask, 'line' | 'written'>,
  reason: DirectiveFault['reason'],
  detail: string,
): void {
  reading.faults.push({ reason, line: ask.line, option: ask.written, detail })
}

/** So many faults say what was meant: to look for it takes longer than all the rest. */
const hintsMax = 100

export function unknownOption(
  reading: Reading,
  ask: Pick<Ask, 'line' | 'written'>,
  name: string,
  known: readonly string[],
): void {
  // Any letter is near any other.
  const tells = name.length > 2 && reading.faults.length < hintsMax
  const near = tells ? nearest(name, known) : undefined
  const hint = near === undefined ? '' : `; did you mean ${near}?`
  faultOf(reading, ask, 'unknown_option', `there is no such option${hint}`)
}

/** The last of each name; an earlier one is reported, as it does not count. */
export function lastWins(
  reading: Reading,
  asks: readonly Ask[],
  accumulates: (name: string) => boolean = () => false,
): Ask[] {
  return decided(reading, asks, accumulates, true)
}

export function firstWins(
  reading: Reading,
  asks: readonly Ask[],
  accumulates: (name: string) => boolean = () => false,
): Ask[] {
  return decided(reading, asks, accumulates, false)
}

function decided(
  reading: Reading,
  asks: readonly Ask[],
  accumulates: (name: string) => boolean,
  last: boolean,
): Ask[] {
  const winners = new Map<string, Ask>()
  for (const ask of asks) {
    if (last || !winners.has(ask.name)) winners.set(ask.name, ask)
  }
  return asks.filter((ask) => {
    const winner = winners.get(ask.name)!
    if (winner === ask || accumulates(ask.name)) return true
    if (winner.value !== ask.value || winner.written !== ask.written) {
      ignore(reading, ask, `${place(winner)} says otherwise, and counts`)
    }
    return false
  })
}

export function place({ line }: { readonly line: number }): string {
  return line === 0 ? 'the command line' : `line ${line}`
}

/** `name` of the words of a command line, or of a directive with its prefix. */
export function writtenAs(prefix: string, line: number, option: string): string {
  return line === 0 ? option : `${prefix} ${option}`
}

/** `line 3: #SBATCH --mem: expected …` */
export function describeFault(fault: DirectiveFault): string {
  const option = fault.option === '' ? '' : `${fault.option}: `
  return `${fault.line === 0 ? '' : `line ${fault.line}: `}${option}${fault.detail}`
}

const nothing: Readonly<Record<string, string>> = {}

/** A table's own entry, never what every object inherits. */
export function entry<T>(table: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(table ?? nothing, key) ? table[key] : undefined
}
