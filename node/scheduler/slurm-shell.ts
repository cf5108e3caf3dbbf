// How Slurm's commands are run: with which environment, and what their failures mean to us.

import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { SchedulerFailure } from './driver.ts'
import { run } from './exec.ts'
import type { RunResult } from './exec.ts'
import { failureOf } from './slurm-output.ts'

export interface ShellConfig {
  readonly binDirectory?: string
  readonly confPath?: string
  readonly commandTimeoutMs?: number
}

export interface SlurmShell {
  /** The answer, whatever the exit code. */
  run(
    program: string,
    words: readonly string[],
    signal: AbortSignal,
    input?: string,
  ): Promise<RunResult>
  /** sbatch: tasks get the variables that it gets, so it gets the inherited ones and no more. */
  submit(words: readonly string[], signal: AbortSignal, input: string): Promise<RunResult>
  /** The output of a command that only looks; a SchedulerFailure when it fails. */
  ask(program: string, words: readonly string[], signal: AbortSignal): Promise<string>
}

const inheritedVariables = ['PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'TZ']
const commandTimeoutMsDefault = 30_000
/** Of the job completion log's end. */
const completionBytesMax = 16 * 1024 * 1024

export function slurmShell(config: ShellConfig): SlurmShell {
  const { binDirectory, confPath } = config
  const inherited: Record<string, string> = {}
  for (const name of inheritedVariables) {
    const value = process.env[name]
    if (value !== undefined) inherited[name] = value
  }
  // Nothing else of ours: an SBATCH_… variable of the node would change every submission.
  const submitEnv = { ...inherited, ...(confPath === undefined ? {} : { SLURM_CONF: confPath }) }
  const lookEnv = {
    ...submitEnv, LC_ALL: 'C', SLURM_TIME_FORMAT: '%s', SLURM_BITSTR_LEN: '0',
  }
  const runWith = async (
    env: Readonly<Record<string, string>>, argv: readonly string[], signal: AbortSignal,
    input: string,
  ): Promise<RunResult> => {
    const [program = '', ...words] = argv
    const path = binDirectory === undefined ? program : join(binDirectory, program)
    const timeoutMs = config.commandTimeoutMs ?? commandTimeoutMsDefault
    return await run([path, ...words], { timeoutMs, signal, env, input, cwd: '/' })
  }
  const runCommand: SlurmShell['run'] = (program, words, signal, input = '') =>
    runWith(lookEnv, [program, ...words], signal, input)
  return {
    run: runCommand,
    submit: (words, signal, input) => runWith(submitEnv, ['sbatch', ...words], signal, input),
    async ask(program, words, signal) {
      const { code, stdout, stderr } = await runCommand(program, words, signal)
      if (code === 0) return stdout
      const said = stderr.trim() || `exit code ${code}`
      throw new SchedulerFailure(failureOf(stderr), `${program} failed: ${said}`)
    },
  }
}

/** The end of the log that `JobCompType=jobcomp/filetxt` writes; empty when we can read none. */
export async function completionLog(shell: SlurmShell, signal: AbortSignal): Promise<string> {
  const settings = await shell.ask('scontrol', ['show', 'config'], signal)
  const path = /^JobCompLoc\s*=\s*(\/.*)$/m.exec(settings)?.[1]
  if (!/^JobCompType\s*=\s*jobcomp\/filetxt/m.test(settings) || path === undefined) return ''
  try {
    await using file = await open(path.trim(), 'r')
    const { size } = await file.stat()
    const start = Math.max(0, size - completionBytesMax)
    const buffer = Buffer.alloc(size - start)
    const { bytesRead } = await file.read(buffer, 0, buffer.length, start)
    return buffer.toString('utf8', 0, bytesRead)
  } catch {
    return ''
  }
}

export function unreadable(program: string, text: string): SchedulerFailure {
  const words = `cannot read what ${program} says: ${text.slice(0, 200)}`
  return new SchedulerFailure('malformed', words)
}
