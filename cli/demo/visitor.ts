// Whoever types the demo's commands: the command line itself, run in this process with the demo's
// screen as its terminal, its own user key, and a site's data directory in the environment.

import { join } from 'node:path'
import type { JobSummary } from '../../node/http/api.ts'
import type { Client } from '../client.ts'
import { openClient } from '../client.ts'
import type { Terminal } from '../terminal.ts'
import type { Screen } from './screen.ts'

/** The command line: `runGridnode` of cli/main.ts. */
export type CommandLine = (args: readonly string[], terminal: Terminal) => Promise<number>

export interface Visitor {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Shows the command and what it prints. @throws when it ends with another code than expected */
  type(site: string, args: readonly string[], expectedCode?: number): Promise<string>
  /** What a command answers to `--json`; it is not shown. */
  ask<Answer>(site: string, args: readonly string[]): Promise<Answer>
  /** The id of the job that was submitted last. */
  newestJob(site: string): Promise<string>
  /** For what goes on at a site while commands are typed. */
  client(site: string): Client
}

export function visitorOf(parts: {
  readonly commandLine: CommandLine
  readonly terminal: Terminal
  readonly screen: Screen
  readonly directory: string
  readonly signal: AbortSignal
}): Visitor {
  const { commandLine, terminal, screen, directory, signal } = parts
  const env = visitorEnv(terminal.env, directory)
  const run = async (site: string, args: readonly string[], expected: {
    readonly code: number; readonly shown: boolean
  }): Promise<string> => {
    signal.throwIfAborted()
    const written: string[] = []
    const sink = {
      tty: expected.shown && screen.sink.tty,
      colours: expected.shown && screen.sink.colours,
      columns: screen.sink.columns,
      async write(data: string | Uint8Array) {
        // What an interrupted command advises is not true here: its job ends with the demo.
        if (signal.aborted) return
        written.push(typeof data === 'string' ? data : Buffer.from(data).toString())
        if (expected.shown) await screen.sink.write(data)
      },
    }
    const code = await commandLine(args, {
      ...terminal,
      out: sink,
      err: sink,
      env: { ...env, GRIDNODE_DIR: join(directory, site) },
      cwd: directory,
      onInterrupt(listener) {
        signal.addEventListener('abort', listener)
        return () => signal.removeEventListener('abort', listener)
      },
    })
    signal.throwIfAborted()
    if (code === expected.code) return written.join('')
    const words = expected.shown ? '' : `:\n${written.join('').trim()}`
    throw new Error(`gridnode ${args.join(' ')} ended with ${code}, not ${expected.code}${words}`)
  }
  const ask = async <Answer>(site: string, args: readonly string[]): Promise<Answer> => {
    const [verb = '', ...rest] = args
    const text = await run(site, [verb, '--json', ...rest], { code: 0, shown: false })
    return JSON.parse(text) as Answer
  }
  return {
    env,
    ask,
    async type(site, args, code = 0) {
      await screen.command(args)
      return run(site, args, { code, shown: true })
    },
    async newestJob(site) {
      const [newest] = await ask<readonly JobSummary[]>(site, ['status', '--limit', '1'])
      if (!newest) throw new Error(`${site} knows of no job`)
      return newest.job
    },
    client: (site) => openClient(join(directory, site)),
  }
}

export function userKeyPath(directory: string): string {
  return join(directory, 'user.key')
}

/** Nothing of the person's own settings and keys is used or touched. */
function visitorEnv(
  env: Readonly<Record<string, string | undefined>>, directory: string,
): Record<string, string | undefined> {
  return { ...env, GRIDNODE_USER: 'visitor', GRIDNODE_USER_KEY: userKeyPath(directory) }
}
