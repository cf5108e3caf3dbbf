// Options as the batch commands read them: getopt's (`-j ID`, `-jID`, `-nP`, `--jobs=ID`, long ones
// by any clear abbreviation), and those of one dash and a word (`-terse`, `-o F`) that Grid Engine
// and LSF have.

import { CommandFailure } from '../failure.ts'

export interface Given {
  readonly name: string
  readonly value: string
}

export interface Parsed {
  readonly given: readonly Given[]
  readonly operands: readonly string[]
  has(name: string): boolean
  /** The last one. */
  value(name: string): string | undefined
  values(name: string): readonly string[]
}

export interface GetoptRules {
  readonly command: string
  /** `jobs j =`, `noheader h`, `long l ?`: name, letter or `-`, and whether it takes a value. */
  readonly options: readonly string[]
  /** What follows the first operand is left as it is. */
  readonly stopAtOperand?: boolean
  /** One dash stands before a whole word. */
  readonly words?: boolean
}

interface Spec {
  readonly name: string
  readonly letter: string
  readonly takes: '=' | '?' | ''
}

/** What the batch commands end with when they are called in a way that they do not know. */
export function badUsage(command: string, message: string): CommandFailure {
  return new CommandFailure(1, 'usage', `${command}: error: ${message}`)
}

export function getopt(args: readonly string[], rules: GetoptRules): Parsed {
  const specs = rules.options.map((line): Spec => {
    const [name = '', letter = '-', takes = ''] = line.split(' ')
    return { name, letter, takes: takes as Spec['takes'] }
  })
  const given: Given[] = []
  const operands: string[] = []
  let at = 0
  const valueAfter = (shown: string): string => {
    const value = args[++at]
    if (value === undefined) throw badUsage(rules.command, `option '${shown}' needs a value`)
    return value
  }
  for (; at < args.length; at++) {
    const word = args[at]!
    if (word === '--') {
      operands.push(...args.slice(at + 1))
      break
    }
    const isOption = /^-./.test(word)
    if (!isOption) {
      operands.push(word)
      if (!rules.stopAtOperand) continue
      operands.push(...args.slice(at + 1))
      break
    }
    if (rules.words) {
      const spec = specs.find(({ name }) => name === word.slice(1))
      if (!spec) throw unknown(rules, word)
      given.push({ name: spec.name, value: spec.takes === '=' ? valueAfter(word) : '' })
    } else if (word.startsWith('--')) {
      const equals = word.indexOf('=')
      const spec = longOption(specs, word.slice(2, equals < 0 ? undefined : equals), rules)
      const joined = equals < 0 ? undefined : word.slice(equals + 1)
      const value = joined ?? (spec.takes === '=' ? valueAfter(word) : '')
      given.push({ name: spec.name, value })
    } else {
      for (let letter = 1; letter < word.length; letter++) {
        const spec = specs.find((one) => one.letter === word[letter])
        if (!spec) throw unknown(rules, `-${word[letter]}`)
        const rest = word.slice(letter + 1)
        if (spec.takes === '') {
          given.push({ name: spec.name, value: '' })
          continue
        }
        const value = rest !== '' || spec.takes === '?' ? rest : valueAfter(`-${word[letter]}`)
        given.push({ name: spec.name, value })
        break
      }
    }
  }
  return {
    given,
    operands,
    has: (name) => given.some((one) => one.name === name),
    value: (name) => given.findLast((one) => one.name === name)?.value,
    values: (name) => given.flatMap((one) => (one.name === name ? [one.value] : [])),
  }
}

function longOption(specs: readonly Spec[], word: string, rules: GetoptRules): Spec {
  const exact = specs.find(({ name }) => name === word)
  if (exact) return exact
  const [only, ...others] = specs.filter(({ name }) => name.startsWith(word))
  if (!only || others.length > 0) throw unknown(rules, `--${word}`)
  return only
}

function unknown(rules: GetoptRules, shown: string): CommandFailure {
  return badUsage(rules.command, `option '${shown}' is not known here; ` +
    "see 'gridnode help compat'")
}

/** Of `1,2` and `3 4`, each once. */
export function idWords(texts: readonly string[]): string[] {
  return [...new Set(texts.flatMap((text) => text.split(/[\s,]+/)).filter((one) => one !== ''))]
}
