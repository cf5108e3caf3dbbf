// The command line in a process of its own, as a person runs it: what it wrote and how it ended.
// Bound: two minutes, after which the process is killed; its code is null then.

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import type { Site } from './site.ts'
import { program } from './site.ts'

const longestMs = 120_000

export interface Ran {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

interface Around {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** What it reads from its standard input, which then ends. */
  readonly input?: string
}

async function run(words: readonly string[], { env, cwd, input = '' }: Around): Promise<Ran> {
  const child = spawn(program, words, {
    env: { ...process.env, ...env }, timeout: longestMs, killSignal: 'SIGKILL',
    ...(cwd === undefined ? {} : { cwd }),
  })
  let [out, err] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text))
  child.stdin.on('error', () => { /* It ended before it read its input. */ })
  child.stdin.end(input)
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', resolve)
  })
  return { code, out, err }
}

/** `gridnode WORDS…`, as whoever runs the tests. */
export function gridnode(...words: readonly string[]): Promise<Ran> {
  return run(words, {})
}

export interface As {
  readonly user: string
  /** The keys of all users of a test are here, and their commands start here. */
  readonly folder: string
  readonly input?: string
}

/** The command at a site, as a user who has a key of their own. */
export function gridnodeAs(
  at: Site, [name = '', ...rest]: readonly string[], { user, folder, input = '' }: As,
): Promise<Ran> {
  const env = { GRIDNODE_USER: user, GRIDNODE_USER_KEY: join(folder, user) }
  return run([name, '--dir', at.directory, ...rest], { env, cwd: folder, input })
}
