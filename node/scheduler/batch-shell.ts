// How a scheduler's commands are run: with which environment, as whom, and what it means when they
// fail.

import { join } from 'node:path'
import type { BatchShell } from './batch-tongue.ts'
import { SchedulerFailure } from './driver.ts'
import type { SchedulerFailureCode } from './driver.ts'
import { run as runByItself } from './exec.ts'
import type { RunResult } from './exec.ts'
import { accountWords } from './sandbox.ts'

export interface ShellConfig {
  /** Where the commands are; found in the PATH when left out. */
  readonly binDirectory?: string
  /** 30,000 when left out. */
  readonly commandTimeoutMs?: number
}

const inheritedVariables = ['PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'TZ']
const commandTimeoutMsDefault = 30_000
/** A hundred thousand jobs in XML. */
const outputBytesMax = 64 * 1024 * 1024

/**
 * Commands see the inherited variables and those of the tongue, nothing else of ours: a variable
 * like SBATCH_ACCOUNT in the node's environment would change every submission.
 */
export function batchShell(
  config: ShellConfig,
  environment: Readonly<Record<string, string>>,
  run: typeof runByItself = runByItself,
): BatchShell {
  const inherited: Record<string, string> = {}
  for (const name of inheritedVariables) {
    const value = process.env[name]
    if (value !== undefined) inherited[name] = value
  }
  const shell: BatchShell = {
    environment: { ...inherited, ...environment },
    path(program) {
      const { binDirectory } = config
      return binDirectory === undefined || program.startsWith('/') ? program
        : join(binDirectory, program)
    },
    async run(command, signal) {
      const [program = '', ...words] = command.argv
      const account = command.asNode ? undefined : command.account
      const whose = account
        ? { HOME: account.home, USER: account.name, LOGNAME: account.name, SHELL: '/bin/sh' }
        : {}
      const argv = [shell.path(program), ...words]
      return await run([...accountWords(account), ...argv], {
        timeoutMs: config.commandTimeoutMs ?? commandTimeoutMsDefault,
        signal,
        env: { ...inherited, ...whose, ...(command.environment ?? environment) },
        input: command.input ?? '',
        cwd: '/',
        outputBytesMax,
      })
    },
    async ask(argv, signal) {
      return demandSuccess(argv[0] ?? '', await shell.run({ argv }, signal))
    },
  }
  return shell
}

const unreachableWords = new RegExp([
  'unable to contact', 'connection refused', 'timed out', 'connect failure', 'zero bytes',
  'standby', 'authentication', 'munge', 'unexpected message', 'connection failure', 'resolve',
  'fetch config', 'host unreachable', 'no route to host', 'temporarily unable', 'cannot connect',
  "can't connect", 'unable to connect', 'communication failure', 'unable to send message',
  'not responding', 'failed to connect', 'connection reset', "can't find address",
].join('|'), 'i')

/** Why a command that failed gave no answer. */
export function failureOf(words: string): SchedulerFailureCode {
  return unreachableWords.test(words) ? 'unreachable' : 'malformed'
}

/** What the command printed; a SchedulerFailure with its own words when it failed. */
export function demandSuccess(program: string, result: RunResult): string {
  if (result.code === 0) return result.stdout
  throw failed(program, result)
}

export function failed(program: string, { code, stdout, stderr }: RunResult): SchedulerFailure {
  const said = stderr.trim() || stdout.trim().slice(0, 500) || `exit code ${code}`
  return new SchedulerFailure(failureOf(said), `${program} failed: ${said}`)
}

export function unreadable(program: string, text: string): SchedulerFailure {
  const words = `cannot read what ${program} says: ${text.slice(0, 200)}`
  return new SchedulerFailure('malformed', words)
}
