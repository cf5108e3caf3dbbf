// What a command is, and its help. A command's table of options is the only place where they are
// named: parsing and help both come from it.

import type { Arguments, OptionTable } from './arguments.ts'
import type { Client } from './client.ts'
import type { Style } from './output.ts'
import type { Terminal } from './terminal.ts'

export interface Context {
  readonly terminal: Terminal
  readonly args: Arguments
  readonly json: boolean
  /** The site's data directory: --dir, else $GRIDNODE_DIR, else ~/.gridnode. */
  readonly directory: string
  /** Colours of stdout; all empty when it has none. */
  readonly style: Style
  /** A command to type next, such as `gridnode fetch 3f2a`, that finds the same site. */
  suggest(verb: string, ...words: readonly string[]): string
  /** Opened on first use; the node need not run. */
  client(): Client
}

export interface Command {
  /** Each line after `gridnode NAME`. */
  readonly usage: readonly string[]
  readonly about: string
  readonly options: OptionTable
  readonly stopAtWord?: boolean
  readonly examples: readonly (readonly [command: string, what: string])[]
  /** More for the end of the help. */
  readonly notes?: string
  /** Gives the exit code; throws a CommandFailure. */
  run(context: Context): Promise<number>
}

export const sharedOptions: OptionTable = {
  dir: { kind: 'value', value: 'DIR', help: 'data directory (or $GRIDNODE_DIR, ~/.gridnode)' },
  json: { kind: 'flag', help: 'print JSON for programs' },
  help: { kind: 'flag', short: 'h', help: 'this help' },
}

export function helpText(name: string, command: Command): string {
  const usage = command.usage
    .map((line, i) => `${i === 0 ? 'Usage:' : '      '} gridnode ${name} ${line}`.trimEnd())
    .join('\n')
  const options = { ...command.options, ...sharedOptions }
  const about = wrap(command.about, 80).join('\n')
  const parts = [usage, about, `Options:\n${optionLines(options)}`]
  if (command.examples.length > 0) parts.push(`Examples:\n${exampleLines(command.examples)}`)
  if (command.notes !== undefined) parts.push(wrap(command.notes, 80).join('\n'))
  return `${parts.join('\n\n')}\n`
}

function optionLines(options: OptionTable): string {
  const rows = Object.entries(options).map(([name, spec]) => {
    const short = spec.short === undefined ? '    ' : `-${spec.short}, `
    const value = spec.kind === 'flag' ? '' : ` ${spec.value ?? 'VALUE'}`
    return [`  ${short}--${name}${value}`, spec.help] as const
  })
  const width = Math.max(...rows.map(([left]) => left.length)) + 2
  return rows.map(([left, help]) => left.padEnd(width) + wrapAt(help, width)).join('\n')
}

function wrapAt(text: string, indent: number): string {
  return wrap(text, 80 - indent).join(`\n${' '.repeat(indent)}`)
}

function exampleLines(examples: Command['examples']): string {
  return examples.map(([command, what]) => `  ${command}\n      ${what}`).join('\n')
}

/** Words into lines of at most `width`; a word that is longer stands alone. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(/\s+/).filter((part) => part !== '')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else {
      line = line === '' ? word : `${line} ${word}`
    }
  }
  if (line !== '' || lines.length === 0) lines.push(line)
  return lines
}
