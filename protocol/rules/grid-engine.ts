// A Grid Engine script (`#$`) and the words of a qsub command line, read as qsub (8.1.9) reads
// them: `#$` in the first column of any line of the script, cut at its first `#`; each line a list
// of words of its own, each of which must belong to an option; names of options in full. Of an
// option that is said twice the last counts, of resources the last of each name.

import type { Ask, DialectInput, Reading } from './dialect.ts'
import { faultOf, ignore, lastWins, newReading, unknownOption, writtenAs } from './dialect.ts'
import { treatGridEngineOption } from './grid-engine-options.ts'
import { resolveGridEngine } from './grid-engine-resources.ts'

/** How many words follow each option. */
const words: Readonly<Record<string, number>> = Object.fromEntries([
  ...('@ a A ac ar b binding c ckpt C dc display dl e h hold_jid hold_jid_ad i j js jsv jc l m ' +
    'masterq M N now o p P q r R sc shell S sync t tc u v w wd pty').split(' ')
    .map((name) => [name, 1] as const),
  ...('clear cwd hard help notify soft terse V verify verbose inherit nostdin noshell')
    .split(' ').map((name) => [name, 0] as const),
  ['pe', 2] as const,
])

export function readGridEngine(input: DialectInput): Reading {
  const reading = newReading()
  const command = input.args === undefined ? [] : commandAsks(reading, input.args)
  const prefix = command.findLast(({ name }) => name === 'C')?.value ?? '#$'
  const script = scriptAsks(reading, input.script ?? '', prefix)
  const all = cleared(reading, [...script, ...command])
  const { hard, soft } = bySoftness(all)
  for (const ask of soft) ignore(reading, ask, 'a soft request is a wish')
  const isList = (name: string): boolean => /^(l|v|hold_jid|hold_jid_ad|ac|m|M)$/.test(name)
  const rest: Ask[] = []
  for (const ask of lastWins(reading, hard, isList)) {
    if (/^(l|pe|t|tc|binding)$/.test(ask.name)) rest.push(ask)
    else treatGridEngineOption(reading, ask)
  }
  resolveGridEngine(reading, rest)
  return reading
}

function scriptAsks(reading: Reading, script: string, prefix: string): Ask[] {
  if (prefix === '') return []
  return script.split('\n').flatMap((text, index) => {
    if (!text.startsWith(prefix)) return []
    const line = index + 1
    const found = lineWords(text.slice(prefix.length).split('#')[0]!)
    return readWords(reading, found, { line, prefix }).asks
  })
}

function commandAsks(reading: Reading, args: readonly string[]): Ask[] {
  const { asks, rest } = readWords(reading, args, { line: 0, prefix: '' })
  reading.operands = rest
  return asks
}

function readWords(
  reading: Reading, found: readonly string[], { line, prefix }: { line: number; prefix: string },
): { asks: Ask[]; rest: readonly string[] } {
  const asks: Ask[] = []
  for (let at = 0; at < found.length; at++) {
    const word = found[at]!
    if (line === 0 && (word === '--' || !word.startsWith('-') || word === '-')) {
      return { asks, rest: found.slice(word === '--' ? at + 1 : at) }
    }
    if (!word.startsWith('-') || word === '-' || word === '--') {
      const detail = `'${word.slice(0, 60)}' belongs to no option: qsub refuses the line`
      faultOf(reading, { line, written: prefix }, 'stray_word', detail)
      return { asks, rest: [] }
    }
    const name = word.slice(1)
    const written = writtenAs(prefix, line, word)
    const count = Object.hasOwn(words, name) ? words[name] : undefined
    if (count === undefined) {
      unknownOption(reading, { line, written }, word, Object.keys(words).map((one) => `-${one}`))
      // Whatever follows may be its value.
      while (at + 1 < found.length && !found[at + 1]!.startsWith('-')) at++
      continue
    }
    const values = found.slice(at + 1, at + 1 + count)
    if (name === 'h') asks.push({ name, value: 'u', line, written })
    else if (name === 'binding') at += takeBinding(asks, found.slice(at + 1), { line, written })
    else if (values.length < count) {
      faultOf(reading, { line, written }, 'missing_value', 'a value is missing')
      return { asks, rest: [] }
    } else {
      asks.push({ name, value: values.join(' '), line, written })
      at += count
    }
  }
  return { asks, rest: [] }
}

interface At {
  readonly line: number
  readonly written: string
}

/** `[env|pe|set] strategy`. */
function takeBinding(asks: Ask[], next: readonly string[], { line, written }: At): number {
  const many = /^(env|pe|set)$/.test(next[0] ?? '') ? 2 : 1
  asks.push({ name: 'binding', value: next.slice(0, many).join(' '), line, written })
  return many
}

/** -clear forgets what came before it. */
function cleared(reading: Reading, asks: readonly Ask[]): Ask[] {
  const last = asks.findLastIndex(({ name }) => name === 'clear')
  for (const ask of asks.slice(0, Math.max(0, last))) ignore(reading, ask, '-clear forgets it')
  return asks.slice(last + 1)
}

/** -soft and -hard hold for the -l and -q after them, until the other comes. */
function bySoftness(asks: readonly Ask[]): { hard: Ask[]; soft: Ask[] } {
  const [hard, soft]: [Ask[], Ask[]] = [[], []]
  let isSoft = false
  for (const ask of asks) {
    if (ask.name === 'soft') isSoft = true
    else if (ask.name === 'hard') isSoft = false
    else if (isSoft && /^[lq]$/.test(ask.name)) soft.push(ask)
    else hard.push(ask)
  }
  return { hard, soft }
}

/**
 * Words between blanks. From the first quote on, the rest of the line is one word (a quote that
 * ends one begins the next), and all quotes vanish: so qsub does it.
 */
function lineWords(text: string): string[] {
  const quote = text.search(/["']/)
  if (quote < 0) return text.split(/\s+/).filter((word) => word !== '')
  const begin = text.slice(0, quote).search(/\S*$/)
  const words = text.slice(0, begin).split(/\s+/).filter((word) => word !== '')
  return [...words, text.slice(begin).trimEnd().replaceAll(/["']/g, '')]
}
