// A PBS script (`#PBS`) and the words of a qsub command line, read as qsub reads them: the prefix
// after blanks, up to the first command, lines joined by a backslash at their end, each line a list
// of words of its own. Two dialects: PBS Pro (OpenPBS) and Torque. They differ in options, in
// whether stray words are an error, and in which of two equal resources counts (the first in PBS
// Pro, the last in Torque); of other options the last counts.

import type { Ask, DialectInput, PbsFlavour, Reading } from './dialect.ts'
import { faultOf, ignore, lastWins, newReading, unknownOption, writtenAs } from './dialect.ts'
import { treatPbsOption } from './pbs-options.ts'
import { resolvePbsResources, splitPbsResources } from './pbs-resources.ts'
import { continued, firstPbsCommandLine, isPbsCommand } from './script-lines.ts'

/** Options that take a value have a colon after them, as for getopt. */
const letters: Readonly<Record<PbsFlavour, string>> = {
  pbs: 'a:A:c:C:e:fhIj:J:k:l:m:M:N:o:p:q:r:R:S:u:v:VW:XzP:G',
  torque: 'a:A:b:c:C:d:D:e:EfF:hi:Ij:J:k:K:l:L:m:M:nN:o:p:P:q:r:S:t:T:u:v:Vw:W:Xxz',
}

const torqueResources =
  /(^|[\s,])(procs|pmem|pvmem|gres|naccesspolicy|gpus|feature|qos|advres|tpn|trl)=/

/**
 * Which of the two a script was written for: Torque, when it says what only Torque knows. What both
 * know reads the same, but for repeats and stray words, where PBS Pro is assumed.
 */
export function pbsFlavour(script: string): PbsFlavour {
  const stop = firstPbsCommandLine(script)
  const lines = script.split('\n').slice(0, stop === 0 ? undefined : stop - 1)
  const isTorque = lines.some((text) => {
    const match = /^\s*#PBS\s*(.*)$/.exec(text)
    if (!match) return false
    const words = match[1]!
    return /(^|\s)-[tdwFnTxKLbiED](\s|$|[0-9./"'])/.test(words) ||
      torqueResources.test(words) ||
      /nodes=[^\s,]*:gpus=/.test(words) || /walltime=[0-9]+(:[0-9]+){3}/.test(words)
  })
  return isTorque ? 'torque' : 'pbs'
}

export function readPbs(input: DialectInput, flavour: PbsFlavour): Reading {
  const reading = newReading()
  const command = input.args === undefined ? [] : commandAsks(reading, input.args, flavour)
  const script = scriptAsks(reading, input.script ?? '', { flavour, prefix: prefixOf(command) })
  const all = [...script, ...command]
  const isList = (name: string): boolean => name === 'l' || name === 'W'
  const resources = splitPbsResources(reading, all.filter(({ name }) => name === 'l'), flavour)
  for (const ask of lastWins(reading, all.filter(({ name }) => name !== 'l'), isList)) {
    treatPbsOption(reading, ask, flavour)
  }
  resolvePbsResources(reading, resources, flavour)
  return reading
}

/** -C of the command line changes it; an empty one turns directives off. */
function prefixOf(command: readonly Ask[]): string {
  return command.findLast(({ name }) => name === 'C')?.value ?? '#PBS'
}

function scriptAsks(
  reading: Reading, script: string, { flavour, prefix }: { flavour: PbsFlavour; prefix: string },
): Ask[] {
  const asks: Ask[] = []
  let stop = 0
  const lines = script.split('\n')
  for (let index = 0; index < lines.length; index++) {
    const line = index + 1
    const trimmed = lines[index]!.trimStart()
    if (prefix === '' || !trimmed.startsWith(prefix)) {
      // Lines that a directive goes on in are not looked at here.
      if (stop === 0 && isPbsCommand(lines[index]!)) stop = line
      continue
    }
    if (stop > 0 && line > stop) {
      if (!/^#PBS\s*-/.test(trimmed)) continue
      const why = `it comes after the first command (line ${stop}), where directives end`
      reading.ignored.push({ line, option: prefix, why })
      continue
    }
    const whole = continued(lines, index)
    index += whole.more
    const words = pbsWords(whole.text.trimStart().slice(prefix.length))
    const ask = { line, written: prefix }
    if (words === undefined) {
      faultOf(reading, ask, 'quote', 'a quote that is not closed')
      continue
    }
    const { rest } = readOptions(reading, words, { line, flavour, prefix, asks })
    strayWords(reading, rest, { line, flavour, prefix })
  }
  return asks
}

/** PBS Pro refuses a line with words that belong to no option; Torque passes over them. */
function strayWords(
  reading: Reading, rest: readonly string[],
  { line, flavour, prefix }: { line: number; flavour: PbsFlavour; prefix: string },
): void {
  const [first] = rest
  if (first === undefined) return
  const ask = { name: '', value: '', line, written: prefix }
  const shown = rest.join(' ').slice(0, 60)
  if (flavour === 'torque') ignore(reading, ask, `'${shown}' belongs to no option`)
  else if (first.startsWith('#')) {
    const detail = `a comment after options is an error for qsub: '${shown}'; remove it`
    faultOf(reading, ask, 'stray_word', detail)
  } else {
    faultOf(reading, ask, 'stray_word', `expected an option such as -l, got '${shown}'`)
  }
}

function commandAsks(reading: Reading, args: readonly string[], flavour: PbsFlavour): Ask[] {
  const asks: Ask[] = []
  const { rest, command } = readOptions(reading, args, { line: 0, flavour, prefix: '', asks })
  reading.operands = rest
  if (command) reading.switches = { ...reading.switches, command: true }
  return asks
}

interface Into {
  readonly line: number
  readonly flavour: PbsFlavour
  readonly prefix: string
  readonly asks: Ask[]
}

/** As GNU getopt: letters may stand together, and words between options are moved to the end. */
function readOptions(
  reading: Reading, words: readonly string[], { line, flavour, prefix, asks }: Into,
): { rest: string[]; command: boolean } {
  const rest: string[] = []
  const known = letters[flavour]
  for (let at = 0; at < words.length; at++) {
    const word = words[at]!
    if (word === '--') return { rest: [...rest, ...words.slice(at + 1)], command: line === 0 }
    if (!/^-./.test(word)) {
      rest.push(word)
      continue
    }
    for (let i = 1; i < word.length; i++) {
      const letter = word[i]!
      const written = writtenAs(prefix, line, `-${letter}`)
      const found = /[A-Za-z]/.test(letter) ? known.indexOf(letter) : -1
      if (found < 0) {
        const others = known.replaceAll(':', '').split('').map((one) => `-${one}`)
        unknownOption(reading, { line, written }, `-${letter}`, word.length > 2 ? [] : others)
        break
      }
      if (known[found + 1] !== ':') {
        asks.push({ name: letter, value: '', line, written })
        continue
      }
      const joined = word.slice(i + 1)
      const value = joined === '' ? words[++at] : joined
      if (value !== undefined) asks.push({ name: letter, value, line, written })
      else faultOf(reading, { line, written }, 'missing_value', 'a value is missing')
      break
    }
  }
  return { rest, command: false }
}

/** Quotes group and vanish, a backslash protects the next character; undefined: not closed. */
function pbsWords(text: string): string[] | undefined {
  const words: string[] = []
  let word: string | undefined
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!
    if (character === '"' || character === "'") {
      const end = text.indexOf(character, at + 1)
      if (end < 0) return undefined
      word = (word ?? '') + text.slice(at + 1, end)
      at = end
    } else if (character === '\\' && at + 1 < text.length) {
      word = (word ?? '') + text[++at]!
    } else if (/\s/.test(character)) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else {
      word = (word ?? '') + character
    }
  }
  if (word !== undefined) words.push(word)
  return words
}
