// The script or command that a person hands in, with the options it carries and those of the
// command line: what `submit` and `explain` have in common.

import { readFileSync } from 'node:fs'
import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import { limits } from '../protocol/base/limits.ts'
import { formatBytes } from '../protocol/base/units.ts'
import { readSlurmBegin } from '../protocol/rules/begin-time.ts'
import { readLicences, readSlurmDependency } from '../protocol/rules/dependency-words.ts'
import type { Dialect, DirectiveFault } from '../protocol/rules/dialect.ts'
import { dialects } from '../protocol/rules/dialect.ts'
import type { Directives } from '../protocol/rules/directives.ts'
import {
  describeFault, noDirectives, readDirectives,
} from '../protocol/rules/directives.ts'
import type { JobOptions } from '../protocol/rules/job-options.ts'
import {
  jobOptionNames, joinJobOptions, overrideJobOptions, readJobOption,
} from '../protocol/rules/job-options.ts'
import type { Arguments, OptionTable } from './arguments.ts'
import type { Context } from './command.ts'
import { failure, usageFailure } from './failure.ts'

export interface Work {
  readonly script: string
  readonly args: readonly string[]
  readonly fallbackName: string
  /** Where relative inputs named in the script are meant from. */
  readonly scriptDirectory: string
  readonly directives: Directives
}

/** Weakest first: the site's own, the script's, the command line's. */
export interface WholeOptions {
  readonly site: JobOptions
  readonly commandLine: JobOptions
  readonly merged: JobOptions
}

/** Of `submit` and `explain`; their words are read by readers of their own. */
export const whenOptions: OptionTable = {
  after: {
    kind: 'value', value: 'LIST',
    help: 'wait for jobs: afterok:3f2a:41bb,afterany:77c0 (? for any of them)',
  },
  begin: { kind: 'value', value: 'WHEN', help: 'not before now+2hours, 16:00, 2030-01-20T12:00' },
  hold: { kind: 'flag', help: "wait for 'gridnode release'" },
  licences: { kind: 'value', value: 'LIST', help: 'of each task: matlab:2,ansys' },
  dialect: {
    kind: 'value', value: 'NAME',
    help: 'read the script as slurm, pbs, torque, lsf or grid_engine does',
  },
}

/** What a script refuses; the submitter's words are around it. */
export class ScriptRefused extends Error {
  override name = 'ScriptRefused'
  readonly file: string
  readonly faults: readonly DirectiveFault[]

  constructor(file: string, faults: readonly DirectiveFault[]) {
    super(`${file} has ${faults.length} faults`)
    this.file = file
    this.faults = faults
  }
}

/** @throws ScriptRefused, and usage failures */
export function readWork(args: Arguments, cwd: string): Work {
  const [file, ...scriptArgs] = args.words
  if (args.rest !== undefined) {
    const [command] = args.rest
    if (command === undefined) throw usageFailure('expected a command after --')
    return {
      script: '#!/bin/sh\nexec "$@"\n',
      args: args.rest,
      fallbackName: basename(command),
      scriptDirectory: cwd,
      directives: noDirectives,
    }
  }
  if (file === undefined) {
    throw usageFailure(
      "expected a script, or a command after --. 'gridnode help submit' shows both.",
    )
  }
  const fromStdin = file === '-'
  const script = readScript(file, fromStdin ? 0 : resolve(cwd, file))
  const directives = readDirectives(script, { dialect: dialectWord(args.value('dialect')) })
  if (!directives.ok) throw new ScriptRefused(file, directives.refusal.faults)
  const own = directives.value.switches.scriptArguments?.split(/\s+/).filter((one) => one !== '')
  return {
    script: withInterpreter(script, directives.value),
    args: [...own ?? [], ...scriptArgs],
    fallbackName: fromStdin ? 'stdin' : basename(file),
    scriptDirectory: fromStdin ? cwd : dirname(resolve(cwd, file)),
    directives: directives.value,
  }
}

/** The faults as a person reads them, the first few. */
export function refusedWords({ file, faults: all }: ScriptRefused): string {
  const faults = all.slice(0, 20).map((fault) => `  ${describeFault(fault)}`)
  const more = all.length - faults.length
  if (more > 0) faults.push(`  and ${more} more`)
  return `${file} was not submitted:\n${faults.join('\n')}`
}

export function dialectWord(word: string | undefined): Dialect | undefined {
  if (word === undefined) return undefined
  const dialect = dialects.find((one) => one === word)
  if (dialect) return dialect
  throw usageFailure(`--dialect: expected one of ${dialects.join(', ')}, got '${word}'`)
}

/** What runs a script that does not say so itself, or says -S. */
export function interpreterOf(script: string, { options, dialect }: Directives): string {
  if (options.shell !== undefined) return options.shell
  if (script.startsWith('#!')) return (script.split('\n', 1)[0] ?? '').slice(2).trim()
  return dialect === 'pbs' || dialect === 'torque' ? '/bin/bash' : '/bin/sh'
}

function withInterpreter(script: string, directives: Directives): string {
  if (script.startsWith('#!') && directives.options.shell === undefined) return script
  return `#!${interpreterOf(script, directives)}\n${script}`
}

function readScript(shown: string, source: string | number): string {
  let bytes: Buffer
  try {
    bytes = readFileSync(source)
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT') {
      throw usageFailure(`there is no script ${shown}; to run a command write: submit -- ${shown}`)
    }
    if (code === 'EISDIR') throw usageFailure(`${shown} is a directory, expected a script`)
    throw failure('no_script', `the script ${shown} cannot be read: ${message}`)
  }
  if (bytes.length > limits.scriptBytes) {
    throw usageFailure(
      `the script ${shown} has ${formatBytes(bytes.length)}, at most ` +
        `${formatBytes(limits.scriptBytes)} are taken; bring data with --in`,
    )
  }
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    if (!text.includes('\0')) return text
  } catch {
    // Said below.
  }
  throw usageFailure(
    `${shown} is no text in UTF-8. To run a program: submit --in ${shown} -- ./${basename(shown)}`,
  )
}

/**
 * Where a task believes to be: undefined = wherever its host puts it. A script that asks for the
 * directory it was submitted from finds its files there; another absolute one is shown to it under
 * that name, where the host can.
 */
export function directorySeen(asked: string | undefined, cwd: string): string | undefined {
  if (asked === undefined) return undefined
  const named = asked.replace(/^\$\{?PWD\}?/, cwd)
  if (resolve(cwd, named) === resolve(cwd)) return undefined
  if (isAbsolute(named)) return resolve(named)
  throw usageFailure(`the working directory ${asked} is not honoured: a task starts in a ` +
    'directory of its own; bring files with --in, and change the directory in the script')
}

export function wholeOptions(context: Context, directives: Directives): WholeOptions {
  const commandLine = commandLineOptions(context.args)
  const site = siteDefaults(context.directory)
  const scripted = overrideJobOptions(site, directives.options)
  return { site, commandLine, merged: overrideJobOptions(scripted, commandLine) }
}

function commandLineOptions(args: Arguments): JobOptions {
  const found: JobOptions[] = []
  for (const name of jobOptionNames) {
    for (const text of args.list(name)) {
      const read = readJobOption(name, text)
      if (!read.ok) throw usageFailure(`--${name}: ${read.refusal.detail}`)
      found.push(read.value)
    }
  }
  const readers = { after: readSlurmDependency, begin: readSlurmBegin, licences: readLicences }
  for (const [name, reader] of Object.entries(readers)) {
    const text = args.value(name)
    if (text === undefined) continue
    const read = reader(text)
    if (!read.ok) throw usageFailure(`--${name}: ${read.refusal.detail}`)
    found.push(read.value)
  }
  if (args.flag('hold')) found.push({ hold: true })
  return joinJobOptions(found)
}

export const siteDefaultsFile = 'job-defaults'

/** Options in a file of the site's directory, lines as after `#GRID`. */
function siteDefaults(directory: string): JobOptions {
  let text: string
  try {
    text = readFileSync(join(directory, siteDefaultsFile), 'utf8')
  } catch {
    return {}
  }
  const lines = text.split('\n').map((line) => /^\s*(#|$)/.test(line) ? '#' : `#GRID ${line}`)
  const read = readDirectives(`#!/bin/sh\n${lines.join('\n')}\n`)
  if (read.ok) return read.value.options
  const words = read.refusal.faults.slice(0, 5)
    .map((fault) => describeFault({ ...fault, line: fault.line - 1 }))
  throw failure('bad_defaults', `${join(directory, siteDefaultsFile)}:\n  ${words.join('\n  ')}`)
}

/** Loaded only when there is an expression. The node checks again. */
export async function checkExpressions({ requirements, rank }: JobOptions): Promise<void> {
  if (requirements === undefined && rank === undefined) return
  const language = await import('../protocol/rules/requirements.ts')
  const check = (option: string, text: string, compile: typeof language.compileRank |
    typeof language.compileRequirement): void => {
    const compiled = compile(text)
    if (compiled.ok) return
    const { position, detail } = compiled.refusal
    const mark = `${' '.repeat(position)}^`
    throw usageFailure(`--${option}: ${detail}\n  ${text.replaceAll('\n', ' ')}\n  ${mark}`)
  }
  if (requirements !== undefined) check('require', requirements, language.compileRequirement)
  if (rank !== undefined) check('rank', rank, language.compileRank)
}
