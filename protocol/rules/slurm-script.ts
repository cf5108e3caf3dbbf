// A Slurm script and the words of an sbatch command line, read as sbatch reads them: `#SBATCH` in
// the first column up to the first command, all lines one list of words; the command line over the
// script, and of an option that is said twice the last.
//
// A job of several kinds of nodes (`#SBATCH hetjob`) has a component for each; what is not about
// nodes is taken from the first.

import type { Ask, DialectInput, OptionWord, Reading } from './dialect.ts'
import {
  faultOf, honour, ignore, lastWins, newReading, noteQueues, place, unknownOption, unsupported,
  writtenAs,
} from './dialect.ts'
import type { ChunkOption, JobOptions } from './job-options.ts'
import { joinChunks, layoutFault } from './layout.ts'
import { honourLayout, sbatchChunks } from './sbatch-layout.ts'
import {
  findLongOption, findShortOption, sbatchOptionNames, treatSbatchOption,
} from './sbatch.ts'
import { firstCommandLine, sbatchWords } from './script-lines.ts'

const prefix = '#SBATCH'

export function readSlurm(input: DialectInput): Reading {
  const reading = newReading()
  const script = scriptComponents(reading, input.script ?? '')
  const command = input.args === undefined ? [] : commandAsks(reading, input.args)
  const components = script.map((asks, i) =>
    lastWins(reading, i === 0 ? [...asks, ...command] : asks))
  const chunks: ChunkOption[] = []
  const layout = new Map<string, Ask>()
  const memories: (Ask | undefined)[] = []
  components.forEach((asks, i) => {
    const own = new Map<string, Ask>()
    for (const ask of asks) {
      const isLayout = treatAsk(reading, ask, i === 0)
      if (isLayout) own.set(ask.name, ask)
    }
    // Of all that is about nodes only --mem holds for the components after it too.
    const inherited = i === 0 ? undefined : memories.at(-1)
    if (inherited && !own.has('mem')) own.set('mem', inherited)
    memories.push(own.get('mem'))
    onlyOneMemory(reading, own)
    for (const [name, ask] of own) layout.set(i === 0 ? name : `${name} ${i}`, ask)
    if (own.size === 0) chunks.push({ nodes: 1, cores: 1, memoryMib: 0, gpus: 0 })
    else chunks.push(...sbatchChunks(reading, own) ?? [])
  })
  const joined = components.length > 1 ? joinChunks(chunks) : chunks
  const fault = components.length > 1 ? layoutFault(joined) : undefined
  const [first] = layout.values()
  if (fault !== undefined && first) faultOf(reading, first, 'bad_value', fault)
  if (first && reading.faults.length === 0) honourLayout(reading, layout, joined)
  return reading
}

/** One list of asks for each component. */
function scriptComponents(reading: Reading, script: string): Ask[][] {
  const components: OptionWord[][] = [[]]
  const stop = firstCommandLine(script)
  script.split('\n').forEach((text, index) => {
    const line = index + 1
    if (!text.startsWith(prefix)) return
    const ask = { line, written: prefix }
    if (stop > 0 && line > stop) {
      const why = `it comes after the first command (line ${stop}), where directives end`
      reading.ignored.push({ line, option: prefix, why })
      return
    }
    const words = sbatchWords(text.slice(prefix.length))
    if (words === undefined) faultOf(reading, ask, 'quote', 'a quote that is not closed')
    else if (/^(hetjob|packjob)$/.test(words[0] ?? '')) components.push([])
    else for (const word of words) components.at(-1)!.push({ text: word, line })
  })
  return components.map((words) => readWords(reading, words).asks)
}

function commandAsks(reading: Reading, args: readonly string[]): Ask[] {
  const words = args.map((text) => ({ text, line: 0 }))
  const { asks, rest } = readWords(reading, words)
  reading.operands = rest
  return asks
}

/** The words of one list; those of a command line end at the script's name. */
function readWords(
  reading: Reading, words: readonly OptionWord[],
): { asks: Ask[]; rest: readonly string[] } {
  const asks: Ask[] = []
  for (let at = 0; at < words.length; at++) {
    const { text, line } = words[at]!
    if (line === 0 && !/^-./.test(text)) return { asks, rest: restOf(words, at) }
    if (line === 0 && text === '--') return { asks, rest: restOf(words, at + 1) }
    const found = text.startsWith('--') && text !== '--'
      ? longOption(reading, text, line)
      : shortOption(reading, text, line, asks)
    if (!found) continue
    let { value } = found
    if (value === undefined && found.takes === '=') {
      const next = words[++at]
      if (!next) {
        faultOf(reading, found, 'missing_value', 'a value is missing')
        continue
      }
      value = next.text
    }
    asks.push({ name: found.name, value: value ?? '', line, written: found.written })
  }
  return { asks, rest: [] }
}

function restOf(words: readonly OptionWord[], from: number): string[] {
  return words.slice(from).map(({ text }) => text)
}

interface Found {
  readonly name: string
  readonly takes: '=' | ' ' | '?'
  readonly written: string
  readonly line: number
  readonly value: string | undefined
}

function longOption(reading: Reading, text: string, line: number): Found | undefined {
  const equals = text.indexOf('=')
  const name = equals < 0 ? text.slice(2) : text.slice(2, equals)
  const value = equals < 0 ? undefined : text.slice(equals + 1)
  const written = writtenAs(prefix, line, `--${name}`)
  const ask = { line, written }
  const option = findLongOption(name)
  if (option === 'unknown') {
    unknownOption(reading, ask, `--${name}`, sbatchOptionNames.map((known) => `--${known}`))
    return undefined
  }
  if (!('takes' in option)) {
    const meant = option.map((one) => `--${one}`).join(', ')
    faultOf(reading, ask, 'unknown_option', `may mean ${meant}; write it out`)
    return undefined
  }
  if (option.takes === ' ' && value !== undefined) {
    faultOf(reading, ask, 'bad_value', `takes no value, got '${value}'`)
    return undefined
  }
  return { ...option, written, line, value }
}

/** `-c 4`, `-c4`, and flags in one word: `-Hv`. */
function shortOption(
  reading: Reading, text: string, line: number, asks: Ask[],
): Found | undefined {
  if (!/^-[^-]/.test(text)) {
    const detail = `expected an option such as --cpus-per-task=4, got '${text}'`
    faultOf(reading, { line, written: line === 0 ? '' : prefix }, 'stray_word', detail)
    return undefined
  }
  for (let at = 1; at < text.length; at++) {
    const letter = text[at]!
    const written = writtenAs(prefix, line, `-${letter}`)
    const option = findShortOption(letter)
    if (!option) {
      faultOf(reading, { line, written }, 'unknown_option', 'there is no such option')
      return undefined
    }
    const rest = text.slice(at + 1)
    if (option.takes !== ' ') {
      return { ...option, written, line, value: rest === '' ? undefined : rest }
    }
    asks.push({ name: option.name, value: '', line, written })
  }
  return undefined
}

/** True when it counts together with others. */
function treatAsk(reading: Reading, ask: Ask, isFirst: boolean): boolean {
  const treated = treatSbatchOption(ask.name, ask.value)
  if (!treated.ok) {
    faultOf(reading, ask, 'bad_value', treated.refusal.detail)
    return false
  }
  const treatment = treated.value
  switch (treatment.kind) {
    case 'honoured':
      if (ask.name === 'partition') noteQueues(reading, ask)
      if (isFirst || isLonger(reading, treatment.options)) honour(reading, ask, treatment.options)
      else ignore(reading, ask, 'it is taken from the first component')
      return false
    case 'layout': return true
    case 'ignored':
      ignore(reading, ask, treatment.why)
      if (ask.name === 'quiet') reading.switches = { ...reading.switches, quiet: true }
      return false
    case 'refused':
      unsupported(reading, ask, treatment.why)
      return false
    case 'switch':
      takeSwitch(reading, ask)
      return false
  }
}

/** The walltime of all components is that of the longest. */
function isLonger(reading: Reading, { walltimeSeconds }: JobOptions): boolean {
  const so = reading.options.findLast((one) => one.walltimeSeconds !== undefined)?.walltimeSeconds
  return walltimeSeconds !== undefined && walltimeSeconds > (so ?? 0)
}

function takeSwitch(reading: Reading, ask: Ask): void {
  if (ask.line > 0) {
    const refused = ask.name === 'wrap' || ask.name === 'test-only'
    if (refused) {
      const instead = ask.name === 'wrap' ? 'gridnode submit -- COMMAND'
        : 'gridnode submit --dry-run'
      unsupported(reading, ask, `it is for the command line: ${instead}`)
    } else {
      ignore(reading, ask, 'it is for the submitting command: gridnode submit --wait, --quiet')
    }
    return
  }
  const { switches } = reading
  switch (ask.name) {
    case 'wrap':
      reading.switches = { ...switches, wrap: ask.value }
      break
    case 'test-only':
      reading.switches = { ...switches, testOnly: true }
      break
    case 'wait':
      reading.switches = { ...switches, wait: true }
      break
    case 'parsable':
      reading.switches = { ...switches, parsable: true }
      break
    default:
      reading.switches = { ...switches, quiet: true }
  }
}

/** --mem, --mem-per-cpu and --mem-per-gpu exclude each other; the command line is asked first. */
function onlyOneMemory(reading: Reading, asks: Map<string, Ask>): void {
  const said = ['mem', 'mem-per-cpu', 'mem-per-gpu'].flatMap((name) => asks.get(name) ?? [])
  const winner = said.find(({ line }) => line === 0)
  for (const ask of said) {
    if (winner && ask.line > 0) {
      asks.delete(ask.name)
      ignore(reading, ask, `${place(winner)} says ${winner.written}, and counts`)
    } else if (ask !== (winner ?? said[0])) {
      const other = (winner ?? said[0])!
      unsupported(reading, ask, `it excludes ${other.written} (${place(other)}); keep one of them`)
    }
  }
}

