// The command line: finds the command, parses its arguments, runs it, and turns what goes wrong
// into a message and an exit code. Loads the called command and nothing else; never libp2p, unless
// that command starts a node.

import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { nearest } from '../protocol/base/nearest.ts'
import { parseArguments } from './arguments.ts'
import { openClient } from './client.ts'
import type { Client } from './client.ts'
import { helpText, sharedOptions, wrap } from './command.ts'
import { commandTable } from './command-table.ts'
import { CommandFailure, exitCodes, usageFailure } from './failure.ts'
import { printable, styleFor } from './output.ts'
import { processTerminal } from './terminal.ts'
import type { Terminal } from './terminal.ts'

/** Runs one command line (without `gridnode` itself); gives the exit code. */
export async function runGridnode(args: readonly string[], terminal: Terminal): Promise<number> {
  try {
    const [first, ...rest] = args
    if (first === undefined || first === '--help' || first === '-h') {
      return await runCommand('help', first === undefined ? [] : rest, terminal)
    }
    if (first === '--version' || first === '-V') return await runCommand('version', rest, terminal)
    if (first === 'demo') {
      return await (await import('./demo.ts')).runDemo(rest, terminal, runGridnode)
    }
    return await runCommand(first, rest, terminal)
  } catch (error) {
    return await report(error, args, terminal)
  }
}

async function runCommand(
  name: string,
  args: readonly string[],
  terminal: Terminal,
): Promise<number> {
  const entry = Object.hasOwn(commandTable, name) ? commandTable[name] : undefined
  if (!entry) throw unknownCommand(name)
  const command = await entry.load()
  const parsed = parseArguments(args, {
    options: { ...command.options, ...sharedOptions },
    stopAtWord: command.stopAtWord ?? false,
    command: name,
  })
  if (parsed.flag('help')) {
    await terminal.out.write(helpText(name, command))
    return exitCodes.done
  }
  const directory = dataDirectory(parsed.value('dir'), terminal)
  let opened: Client | undefined
  return command.run({
    terminal,
    args: parsed,
    json: parsed.flag('json'),
    directory,
    style: styleFor(terminal.out.colours),
    suggest: (verb, ...words) => suggestion(verb, words, parsed.value('dir')),
    client: () => (opened ??= openClient(directory)),
  })
}

function dataDirectory(chosen: string | undefined, terminal: Terminal): string {
  const named = chosen ?? terminal.env['GRIDNODE_DIR']
  if (named === '') throw usageFailure('the data directory is empty; write --dir DIR')
  if (named !== undefined) return resolve(terminal.cwd, named)
  return join(terminal.env['HOME'] ?? homedir(), '.gridnode')
}

function suggestion(verb: string, words: readonly string[], chosen: string | undefined): string {
  const dir = chosen === undefined ? [] : ['--dir', shellWord(chosen)]
  return ['gridnode', verb, ...dir, ...words].join(' ')
}

/** As it can be pasted into a shell. */
function shellWord(text: string): string {
  return /^[A-Za-z0-9_./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

function unknownCommand(name: string): CommandFailure {
  if (name.startsWith('-')) {
    return usageFailure(
      `expected a command before ${name}, as in 'gridnode status ${name}'. ` +
        "'gridnode help' lists the commands.",
    )
  }
  const near = nearest(name, [...Object.keys(commandTable), 'demo'])
  const hint = near === undefined ? '' : ` Did you mean '${near}'?`
  return usageFailure(`unknown command '${name}'.${hint} 'gridnode help' lists the commands.`)
}

/** One message on stderr, as JSON when JSON was asked for. */
async function report(
  error: unknown,
  args: readonly string[],
  terminal: Terminal,
): Promise<number> {
  const known = error instanceof CommandFailure
  const { code: word } = error as { code?: unknown }
  const own = args.includes('--') ? args.slice(0, args.indexOf('--')) : args
  const message = error instanceof Error ? error.message : String(error)
  // A refusal may quote what a peer has said.
  const shown = message.split('\n').map(printable).join('\n')
  if (own.includes('--json')) {
    const code = typeof word === 'string' ? word : 'internal'
    await terminal.err.write(`${JSON.stringify({ error: { code, message } })}\n`)
  } else {
    const text = fitted(`gridnode: ${shown}`, terminal.err.columns()).slice('gridnode:'.length)
    await terminal.err.write(`${styleFor(terminal.err.colours).red('gridnode:')}${text}\n`)
  }
  if (known) return error.exitCode
  // Not foreseen: the whole of it helps whoever mends it.
  if (terminal.env['GRIDNODE_DEBUG']) await terminal.err.write(`${inspectError(error)}\n`)
  return exitCodes.failed
}

/** Broken at blanks where a terminal would break it within a word. */
function fitted(message: string, width: number): string {
  return message.split('\n').map((line) => {
    if (line.length <= width) return line
    const indent = /^ */.exec(line)?.[0] ?? ''
    return wrap(line, width - indent.length).map((one) => indent + one).join('\n')
  }).join('\n')
}

function inspectError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : `\ncaused by ${inspectError(error.cause)}`
  return `${error.stack ?? error.message}${cause}`
}

if (import.meta.main) {
  process.exitCode = await runGridnode(process.argv.slice(2), processTerminal())
}
