// Command-line arguments against a table of options. Nothing is guessed: an unknown option is an
// error that names the nearest known one, a missing or superfluous value is an error that shows
// the right form.

import { parseArgs } from 'node:util'
import { nearest } from '../protocol/base/nearest.ts'
import { usageFailure } from './failure.ts'

export interface OptionSpec {
  readonly kind: 'flag' | 'value' | 'list'
  readonly short?: string
  /** What stands for the value in the help. */
  readonly value?: string
  readonly help: string
}

export type OptionTable = Readonly<Record<string, OptionSpec>>

export interface Arguments {
  flag(name: string): boolean
  value(name: string): string | undefined
  list(name: string): readonly string[]
  readonly words: readonly string[]
  /** What came after `--`; undefined when there was none. */
  readonly rest: readonly string[] | undefined
}

export interface ParseRules {
  readonly options: OptionTable
  /** The first word and all after it are taken as they are: `submit job.sh --its-own`. */
  readonly stopAtWord: boolean
  /** How the error names the command: `gridnode submit`. */
  readonly command: string
}

/** Throws a usage failure. */
export function parseArguments(args: readonly string[], rules: ParseRules): Arguments {
  const found = new Map<string, string[]>()
  const words: string[] = []
  let rest: string[] | undefined
  for (const token of tokensOf(args, rules.options)) {
    if (token.kind === 'option-terminator') {
      rest = args.slice(token.index + 1)
      break
    }
    if (token.kind === 'positional') {
      words.push(token.value)
      if (!rules.stopAtWord) continue
      words.push(...args.slice(token.index + 1))
      break
    }
    const spec = Object.hasOwn(rules.options, token.name) ? rules.options[token.name] : undefined
    if (!spec) throw unknownOption(token.rawName, rules)
    if (spec.kind === 'flag' && token.value !== undefined) {
      throw usageFailure(`${token.rawName} takes no value, got '${token.value}'`)
    }
    if (spec.kind !== 'flag') checkValue(token, spec)
    const values = found.get(token.name) ?? []
    if (spec.kind === 'value' && values.length > 0 && values[0] !== token.value) {
      throw usageFailure(
        `--${token.name} is given twice: '${values[0]}' and '${token.value}'; keep one of them`,
      )
    }
    found.set(token.name, [...values, token.value ?? ''])
  }
  return {
    flag: (name) => found.has(name),
    value: (name) => found.get(name)?.[0],
    list: (name) => found.get(name) ?? [],
    words,
    rest,
  }
}

interface OptionToken {
  readonly rawName: string
  readonly name: string
  readonly value?: string | undefined
  readonly inlineValue?: boolean | undefined
}

function tokensOf(args: readonly string[], table: OptionTable) {
  const options: Record<string, { type: 'string' | 'boolean'; short?: string; multiple: true }> = {}
  for (const [name, spec] of Object.entries(table)) {
    options[name] = {
      type: spec.kind === 'flag' ? 'boolean' : 'string',
      multiple: true,
      ...(spec.short === undefined ? {} : { short: spec.short }),
    }
  }
  return parseArgs({
    args: [...args], options, strict: false, allowPositionals: true, tokens: true,
  }).tokens
}

function checkValue(token: OptionToken, spec: OptionSpec): void {
  const joint = token.rawName.startsWith('--') ? '=' : ' '
  const form = `${token.rawName}${joint}${spec.value ?? 'VALUE'}`
  if (token.value === undefined) throw usageFailure(`${token.rawName} needs a value: ${form}`)
  if (!token.inlineValue && /^-./.test(token.value)) {
    throw usageFailure(
      `${token.rawName} needs a value, got the option-like '${token.value}'; ` +
        `if that is the value, write ${token.rawName}=${token.value}`,
    )
  }
}

function unknownOption(rawName: string, rules: ParseRules): Error {
  const near = nearest(rawName.replace(/^-+/, ''), Object.keys(rules.options))
  const hint = near === undefined ? '' : ` Did you mean --${near}?`
  return usageFailure(
    `unknown option ${rawName}.${hint} 'gridnode help ${rules.command}' lists the options.`,
  )
}
