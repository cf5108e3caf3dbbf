// The options that a job's script carries in its comments: `#GRID` lines, and the `#SBATCH` lines
// that can be honoured at any site. Read with Slurm's rules: from the first column, up to the
// first command; words are split with quotes and backslashes; an unquoted # starts a comment.
// `#GRID` wins over `#SBATCH`.
//
// A script is refused with all its faults at once: empty, carriage_returns, no_shebang, dialect,
// quote, stray_word, unknown_option, missing_value, unsupported, bad_value, each with the line it
// is in. What is only advice (mail, nice) is reported as ignored. Pure: the same script reads the
// same at every node.

import { nearest } from '../base/nearest.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import type { JobOptions } from './job-options.ts'
import {
  isJobOptionName, jobOptionNames, joinJobOptions, overrideJobOptions, readJobOption,
} from './job-options.ts'
import type { SbatchOption } from './sbatch.ts'
import {
  findLongOption, findShortOption, sbatchOptionNames, treatSbatchOption,
} from './sbatch.ts'

export interface Directives {
  readonly options: JobOptions
  /** The line, counted from 1, from which each option has its (last) value. */
  readonly lines: Readonly<Partial<Record<keyof JobOptions, number>>>
  readonly ignored: readonly IgnoredDirective[]
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
  readonly line: number
  /** As written: `#SBATCH --partition`; empty when the fault is not an option's. */
  readonly option: string
  readonly detail: string
}

export interface DirectivesRefusal {
  readonly reason: 'bad_script'
  /** At least one, in the order of their lines. */
  readonly faults: readonly DirectiveFault[]
}

/** `line 3: #SBATCH --mem: expected …` */
export function describeFault(fault: DirectiveFault): string {
  return `line ${fault.line}: ${fault.option === '' ? '' : `${fault.option}: `}${fault.detail}`
}

export function readDirectives(script: string): Outcome<Directives, DirectivesRefusal> {
  const whole = wholeFault(script)
  if (whole) return refuse({ reason: 'bad_script', faults: [whole] })
  const found = scan(script)
  const grid = readGrid(found.grid)
  const sbatch = readSbatch(found.sbatch)
  const faults = [...found.faults, ...grid.faults, ...sbatch.faults]
  if (faults.length > 0) {
    return refuse({ reason: 'bad_script', faults: faults.toSorted((a, b) => a.line - b.line) })
  }
  return ok({
    options: overrideJobOptions(joinJobOptions(sbatch.options), joinJobOptions(grid.options)),
    lines: { ...sbatch.lines, ...grid.lines },
    ignored: [...found.ignored, ...sbatch.ignored].toSorted((a, b) => a.line - b.line),
  })
}

function fault(
  reason: DirectiveFault['reason'],
  line: number,
  detail: string,
  option = '',
): DirectiveFault {
  return { reason, line, option, detail }
}

function wholeFault(script: string): DirectiveFault | undefined {
  if (script.trim() === '') return fault('empty', 1, 'the script is empty')
  const carriageReturn = script.indexOf('\r')
  if (carriageReturn >= 0) {
    const line = script.slice(0, carriageReturn).split('\n').length
    const detail = 'a DOS line break (CR LF), which shells do not understand; ' +
      "convert the script: sed -i 's/\\r$//' SCRIPT"
    return fault('carriage_returns', line, detail)
  }
  if (!script.startsWith('#!')) {
    const first = (script.split('\n', 1)[0] ?? '').slice(0, 40)
    const detail = `expected #! and the path of an interpreter such as #!/bin/sh, got '${first}'`
    return fault('no_shebang', 1, detail)
  }
  return undefined
}

interface Word {
  readonly text: string
  readonly line: number
}

interface Found {
  readonly grid: Word[]
  readonly sbatch: Word[]
  readonly faults: DirectiveFault[]
  readonly ignored: IgnoredDirective[]
}

interface Foreign {
  readonly line: number
  readonly dialect: string
}

/** Goes through the lines once: directives up to the first command, then what only looks so. */
function scan(script: string): Found {
  const found: Found = { grid: [], sbatch: [], faults: [], ignored: [] }
  const foreign: Foreign[] = []
  let commandLine = 0
  let sawSbatch = false
  script.split('\n').forEach((text, index) => {
    const line = index + 1
    const prefix = directivePrefix(text)
    const dialect = foreignDialect(text, commandLine > 0)
    if (dialect !== undefined) foreign.push({ line, dialect })
    if (commandLine > 0) {
      if (prefix) {
        const why = `it comes after the first command (line ${commandLine}), where directives end`
        found.ignored.push({ line, option: prefix, why })
      }
    } else if (prefix) {
      sawSbatch ||= prefix === '#SBATCH'
      const rest = text.slice(prefix.length)
      const words = splitWords(rest)
      if (words === undefined) {
        found.faults.push(fault('quote', line, 'a quote that is not closed', prefix))
      } else {
        const into = prefix === '#SBATCH' ? found.sbatch : found.grid
        for (const word of words) into.push({ text: word, line })
      }
    } else if (/^\s*[^\s#]/.test(text)) {
      commandLine = line
    }
  })
  judgeForeign(found, foreign, sawSbatch && found.grid.length === 0)
  return found
}

/** Slurm's prefix counts whatever follows it; ours stands alone, as `#GRIDLOCK` is a comment. */
function directivePrefix(text: string): '#SBATCH' | '#GRID' | undefined {
  if (text.startsWith('#SBATCH')) return '#SBATCH'
  return /^#GRID(?![A-Za-z0-9_])/.test(text) ? '#GRID' : undefined
}

/** LSF and Grid Engine look for theirs in the whole script. */
function foreignDialect(text: string, afterCommand: boolean): string | undefined {
  if (/^\s*#\s?BSUB\s+-/.test(text)) return 'BSUB'
  if (/^#\$\s*-[A-Za-z]/.test(text)) return '$'
  return !afterCommand && /^\s*#PBS\s*-/.test(text) ? 'PBS' : undefined
}

/** A script with `#SBATCH` lines may say the same again for other schedulers. */
function judgeForeign(found: Found, foreign: readonly Foreign[], spare: boolean): void {
  const seen = new Set<string>()
  for (const { line, dialect } of foreign) {
    const option = `#${dialect}`
    if (spare) {
      found.ignored.push({ line, option, why: 'the #SBATCH lines of the script are read instead' })
    } else if (!seen.has(dialect)) {
      const detail = `options of ${dialectNames[dialect]} are not read yet; ` +
        'write them as #GRID (or #SBATCH) lines, or give them to gridnode submit'
      found.faults.push(fault('dialect', line, detail, option))
    }
    seen.add(dialect)
  }
}

const dialectNames: Readonly<Record<string, string>> = {
  PBS: 'PBS and Torque', BSUB: 'LSF', $: 'Grid Engine',
}

/** Words as sbatch splits them; undefined when a quote is not closed. */
function splitWords(text: string): string[] | undefined {
  const words: string[] = []
  let word: string | undefined
  let quote = ''
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!
    if (character === '\\') {
      word = (word ?? '') + (text[++at] ?? '')
    } else if (quote !== '') {
      if (character === quote) quote = ''
      else word += character
    } else if (character === '"' || character === "'") {
      quote = character
      word ??= ''
    } else if (character === '#') {
      break
    } else if (/\s/.test(character)) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else {
      word = (word ?? '') + character
    }
  }
  if (quote !== '') return undefined
  if (word !== undefined) words.push(word)
  return words
}

interface Reading {
  readonly options: JobOptions[]
  readonly lines: Partial<Record<keyof JobOptions, number>>
  readonly faults: DirectiveFault[]
  readonly ignored: IgnoredDirective[]
}

function take(reading: Reading, options: JobOptions, line: number): void {
  reading.options.push(options)
  for (const key of Object.keys(options)) reading.lines[key as keyof JobOptions] = line
}

function readGrid(words: readonly Word[]): Reading {
  const reading: Reading = { options: [], lines: {}, faults: [], ignored: [] }
  for (let at = 0; at < words.length; at++) {
    const { text, line } = words[at]!
    const match = /^--([a-z-]+)(?:=([^]*))?$/.exec(text)
    if (!match) {
      const detail = `expected an option such as --cores=4, got '${text}'`
      reading.faults.push(fault('stray_word', line, detail, '#GRID'))
      continue
    }
    const [, name = '', joined] = match
    const option = `#GRID --${name}`
    const next = words[at + 1]
    const separate = joined === undefined && next?.line === line && !next.text.startsWith('--')
    if (separate) at++
    if (!isJobOptionName(name)) {
      reading.faults.push(unknownOption(reading, line, { option, name, known: jobOptionNames }))
      continue
    }
    const value = separate ? next.text : joined
    if (value === undefined) {
      reading.faults.push(fault('missing_value', line, 'a value is missing', option))
      continue
    }
    const read = readJobOption(name, value)
    if (read.ok) take(reading, read.value, line)
    else reading.faults.push(fault('bad_value', line, read.refusal.detail, option))
  }
  return reading
}

/** So many faults say what was meant: to look for it takes longer than all the rest. */
const hintsMax = 100

function unknownOption(
  reading: Reading,
  line: number,
  { option, name, known }: { option: string; name: string; known: readonly string[] },
): DirectiveFault {
  const near = reading.faults.length < hintsMax ? nearest(name, known) : undefined
  const hint = near === undefined ? '' : `; did you mean --${near}?`
  return fault('unknown_option', line, `there is no such option${hint}`, option)
}

/** All lines make one argument list, as they do for sbatch. */
function readSbatch(words: readonly Word[]): Reading {
  const reading: Reading = { options: [], lines: {}, faults: [], ignored: [] }
  for (let at = 0; at < words.length; at++) {
    const { text, line } = words[at]!
    const found = text.startsWith('--') && text !== '--'
      ? longOption(text, line, reading)
      : shortOption(text, line, reading)
    if (!found) continue
    let value = found.value
    if (value === undefined && found.option.takes === '=') {
      const next = words[++at]
      if (!next) {
        const detail = 'a value is missing'
        reading.faults.push(fault('missing_value', line, detail, found.written))
        continue
      }
      value = next.text
    }
    takeSbatch(reading, found, value ?? '', line)
  }
  return reading
}

interface FoundOption {
  readonly option: SbatchOption
  readonly written: string
  readonly value: string | undefined
}

function longOption(text: string, line: number, reading: Reading): FoundOption | undefined {
  const equals = text.indexOf('=')
  const name = equals < 0 ? text.slice(2) : text.slice(2, equals)
  const value = equals < 0 ? undefined : text.slice(equals + 1)
  const written = `#SBATCH --${name}`
  const option = findLongOption(name)
  if (option === 'unknown') {
    const unknown = { option: written, name, known: sbatchOptionNames }
    reading.faults.push(unknownOption(reading, line, unknown))
    return undefined
  }
  if (!('takes' in option)) {
    const detail = `may mean ${option.map((one) => `--${one}`).join(', ')}; write it out`
    reading.faults.push(fault('unknown_option', line, detail, written))
    return undefined
  }
  if (option.takes === ' ' && value !== undefined) {
    reading.faults.push(fault('bad_value', line, `takes no value, got '${value}'`, written))
    return undefined
  }
  return { option, written, value }
}

/** `-c 4`, `-c4`, and flags in one word: `-Hv`. */
function shortOption(text: string, line: number, reading: Reading): FoundOption | undefined {
  if (/^(hetjob|packjob)$/.test(text)) {
    const detail = 'a job of several kinds of nodes is not honoured yet; submit a job for each'
    reading.faults.push(fault('unsupported', line, detail, `#SBATCH ${text}`))
    return undefined
  }
  if (!/^-[^-]/.test(text)) {
    const detail = `expected an option such as --cpus-per-task=4, got '${text}'`
    reading.faults.push(fault('stray_word', line, detail, '#SBATCH'))
    return undefined
  }
  for (let at = 1; at < text.length; at++) {
    const letter = text[at]!
    const written = `#SBATCH -${letter}`
    const option = findShortOption(letter)
    if (!option) {
      reading.faults.push(fault('unknown_option', line, 'there is no such option', written))
      return undefined
    }
    const rest = text.slice(at + 1)
    if (option.takes !== ' ') return { option, written, value: rest === '' ? undefined : rest }
    takeSbatch(reading, { option, written, value: undefined }, '', line)
  }
  return undefined
}

function takeSbatch(reading: Reading, found: FoundOption, value: string, line: number): void {
  const { written: option } = found
  const treated = treatSbatchOption(found.option.name, value)
  if (!treated.ok) {
    reading.faults.push(fault('bad_value', line, treated.refusal.detail, option))
    return
  }
  const treatment = treated.value
  switch (treatment.kind) {
    case 'honoured':
      return take(reading, treatment.options, line)
    case 'ignored':
      return void reading.ignored.push({ line, option, why: treatment.why })
    case 'refused':
      return void reading.faults.push(fault('unsupported', line, treatment.why, option))
  }
}
