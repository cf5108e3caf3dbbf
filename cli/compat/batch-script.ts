// What a submitting command was given, as each dialect reads it: options on the command line over
// those in the script, and the script itself from a file, from stdin, or made of a command.

import { existsSync, readFileSync, statSync } from 'node:fs'
import { basename, isAbsolute, join, resolve } from 'node:path'
import { limits } from '../../protocol/base/limits.ts'
import type { Directives } from '../../protocol/rules/directives.ts'
import { describeFault, readArguments, readDirectives } from '../../protocol/rules/directives.ts'
import type { JobOptions } from '../../protocol/rules/job-options.ts'
import type { Context } from '../command.ts'
import { CommandFailure } from '../failure.ts'
import type { Dialect } from './records.ts'
import { sequence } from './stream-files.ts'
import type { BatchJob } from './submission.ts'

export interface BatchScript {
  readonly job: BatchJob
  readonly directives: Directives
}

interface Manner {
  readonly command: string
  /** For a script without `#!`; undefined: there must be one. */
  readonly shell: string | undefined
  /** Words after the options are a command line, always. */
  readonly commandLine: boolean
  /** A job without a name that came by stdin. */
  readonly stdinName: string
  /** '' = nowhere. */
  defaultStreams(name: string, array: boolean): { readonly out: string; readonly error: string }
}

const manners: Readonly<Record<Dialect, Manner>> = {
  slurm: {
    command: 'sbatch', shell: undefined, commandLine: false, stdinName: 'sbatch',
    defaultStreams(_, array) {
      const out = array ? 'slurm-%A_%a.out' : 'slurm-%j.out'
      return { out, error: out }
    },
  },
  pbs: {
    command: 'qsub', shell: '/bin/bash', commandLine: false, stdinName: 'STDIN',
    defaultStreams(name, array) {
      const tail = array ? '.^array_index^' : ''
      return { out: `${name}.o${sequence}${tail}`, error: `${name}.e${sequence}${tail}` }
    },
  },
  torque: {
    command: 'qsub', shell: '/bin/bash', commandLine: false, stdinName: 'STDIN',
    defaultStreams(name, array) {
      const tail = array ? '-^array_index^' : ''
      return { out: `${name}.o${sequence}${tail}`, error: `${name}.e${sequence}${tail}` }
    },
  },
  grid_engine: {
    command: 'qsub', shell: '/bin/bash', commandLine: false, stdinName: 'STDIN',
    defaultStreams(_, array) {
      const tail = array ? '.$TASK_ID' : ''
      return { out: `$JOB_NAME.o$JOB_ID${tail}`, error: `$JOB_NAME.e$JOB_ID${tail}` }
    },
  },
  lsf: {
    command: 'bsub', shell: '/bin/sh', commandLine: true, stdinName: '',
    defaultStreams: () => ({ out: '', error: '' }),
  },
}

/** @throws CommandFailure with all faults, in the submitting command's own form */
export function readBatchScript(
  context: Context, dialect: Dialect, args: readonly string[],
): BatchScript {
  const { terminal } = context
  const manner = manners[dialect]
  const line = readArguments(dialect, args)
  if (!line.ok) throw refused(manner.command, line.refusal.faults.map(describeFault))
  const found = scriptOf(context, manner, line.value)
  const faults = faultsOfScript(manner, found)
  if (faults.length > 0) throw refused(manner.command, faults)
  const read = readDirectives(found.directives, { dialect, args })
  if (!read.ok) throw refused(manner.command, read.refusal.faults.map(describeFault))
  const { options } = read.value
  const name = options.name ?? found.name
  const place = options.workDirectory ?? '.'
  const directory = resolve(terminal.cwd, place)
  if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory()) {
    throw refused(manner.command, [`there is no directory ${directory}`])
  }
  return {
    directives: read.value,
    job: {
      dialect,
      options: { ...options, name },
      script: withShell(found.script, options.shell, manner.shell),
      args: found.args,
      fallbackName: name,
      directory,
      wholeEnvironment: options.wholeEnvironment ?? takesAll(dialect, read.value),
      streams: streamsOf(manner, options, { name, directory }),
      command: found.path,
    },
  }
}

/** sbatch and bsub send the whole environment unless it is said which. */
function takesAll(dialect: Dialect, { settings }: Directives): boolean {
  if (dialect === 'slurm') return !settings.some(({ option }) => /--export\b/.test(option))
  return dialect === 'lsf' && !settings.some(({ option }) => /-env\b/.test(option))
}

export function refused(command: string, faults: readonly string[]): CommandFailure {
  const text = faults.map((fault) => `${command}: error: ${fault}`).join('\n')
  return new CommandFailure(1, 'usage', text)
}

interface FoundScript {
  readonly script: string
  /** What is read for directives: of a command there is nothing but its first line. */
  readonly directives: string
  readonly args: readonly string[]
  readonly name: string
  /** Where it lies; '(null)' for one that was made or piped. */
  readonly path: string
}

function scriptOf({ terminal }: Context, manner: Manner, line: Directives): FoundScript {
  const { operands, switches } = line
  const none = '(null)'
  if (switches.wrap !== undefined) {
    const made = `# This script was created by ${manner.command} --wrap.`
    const script = `#!/bin/sh\n${made}\n\n${switches.wrap}\n`
    return { script, directives: '#!/bin/sh\n', args: [], name: 'wrap', path: none }
  }
  const [first, ...rest] = operands
  if (first === undefined) {
    const script = readText(manner, 0, 'stdin')
    const name = manner.stdinName || script.trim().split('\n', 1)[0]!.slice(0, 120)
    return { script, directives: script, args: [], name, path: none }
  }
  if (manner.commandLine || (switches.command ?? false)) {
    const whole = manner.commandLine || rest.length === 0
    return {
      script: whole ? `#!/bin/sh\n${operands.join(' ')}\n` : '#!/bin/sh\nexec "$@"\n',
      directives: '#!/bin/sh\n',
      args: whole ? [] : operands,
      name: manner.commandLine ? operands.join(' ').slice(0, 120) : basename(first),
      path: operands.join(' '),
    }
  }
  const path = locate(first, terminal.cwd, terminal.env['PATH'])
  const script = readText(manner, path, first)
  const own = switches.scriptArguments?.split(/\s+/).filter((word) => word !== '') ?? []
  return { script, directives: script, args: [...own, ...rest], name: basename(first), path }
}

/** Beside the submitter, or on the path as a command is. */
function locate(word: string, cwd: string, path = ''): string {
  const here = resolve(cwd, word)
  if (existsSync(here) || isAbsolute(word) || word.includes('/')) return here
  return path.split(':').filter((one) => one !== '').map((one) => join(one, word))
    .find((one) => existsSync(one)) ?? here
}

function readText(manner: Manner, source: string | number, shown: string): string {
  let bytes: Buffer
  try {
    bytes = readFileSync(source)
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    const why = code === 'ENOENT' ? 'there is none' : message
    throw refused(manner.command, [`Unable to open file ${shown}: ${why}`])
  }
  if (bytes.length > limits.scriptBytes) {
    const most = `at most ${limits.scriptBytes} are taken`
    throw refused(manner.command, [`${shown} has ${bytes.length} bytes, ${most}`])
  }
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    if (!text.includes('\0')) return text
  } catch {
    // Said below.
  }
  throw refused(manner.command, [`${shown} is no text in UTF-8`])
}

function faultsOfScript(manner: Manner, { script, directives }: FoundScript): string[] {
  if (script.trim() === '') return ['Batch script is empty!']
  if (manner.command === 'sbatch' && directives.includes('\r\n')) {
    return [
      'Batch script contains DOS line breaks (\\r\\n)',
      'instead of expected UNIX line breaks (\\n).',
    ]
  }
  if (manner.shell === undefined && !script.startsWith('#!')) {
    return [
      'This does not look like a batch script.  The first',
      'line must start with #! followed by the path to an interpreter.',
      'For instance: #!/bin/sh',
    ]
  }
  return []
}

function withShell(script: string, asked: string | undefined, otherwise = '/bin/sh'): string {
  if (asked !== undefined) return `#!${asked}\n${script}`
  return script.startsWith('#!') ? script : `#!${otherwise}\n${script}`
}

function streamsOf(
  manner: Manner, options: JobOptions,
  { name, directory }: { readonly name: string; readonly directory: string },
): BatchJob['streams'] {
  const usual = manner.defaultStreams(name, options.array !== undefined)
  const placed = (path: string | undefined, fallback: string): string => {
    if (path === undefined || path === '') return fallback
    const at = resolve(directory, path.replace(/^[A-Za-z0-9.-]*:(?=\/)/, ''))
    const isDirectory = statSync(at, { throwIfNoEntry: false })?.isDirectory() ?? false
    return isDirectory ? join(at, basename(fallback)) : path
  }
  const out = placed(options.stdoutPath, usual.out)
  const joined = options.joinStreams ?? false
  const together = options.stderrPath === undefined &&
    (joined || usual.error === usual.out || options.stdoutPath !== undefined && usual.error === '')
  const error = together ? out : placed(options.stderrPath, usual.error)
  return { out, error, join: together || joined }
}
