// One real site of a test: its data directory, its process, its API. It can be killed at any moment
// and started again on the same directory.
//
// Invariant: every process that was started is ended by its own id when the test is over, and so
// are the tasks of its embedded executor, which would otherwise go on without it.

import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { Client } from '../../cli/client.ts'
import { openClient } from '../../cli/client.ts'
import { configFileName } from '../../node/config.ts'
import type { NodeInfo } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import type { Context } from '../harness.ts'
import { eventually } from '../harness.ts'

export interface Site {
  readonly name: string
  readonly directory: string
  readonly client: Client
  /** Everything that the site's processes have logged so far. */
  log(): string
  running(): boolean
  /** Resolves when the API answers. */
  start(): Promise<void>
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>
  /** The process that runs now. */
  pid(): number
  /** Gives keys of the config another value from the next start on, such as `market.window`. */
  configure(set: Readonly<Record<string, string>>): void
  /** Starts a process on the directory without waiting for anything. */
  launch(): Launched
}

export interface Launched {
  readonly child: ChildProcess
  output(): string
  readonly ended: Promise<number | null>
}

/** Becomes the node by exec, so that its pid is the node's. */
export const program = join(import.meta.dirname, '..', '..', 'cli', 'gridnode')

/** Where the search begins differs from process to process. */
let portsTried = process.pid * 17

/** Not one that the system gives to outgoing connections, so that a restart finds it free. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + (portsTried++ % 20_000)
    const server = createServer()
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => resolve(true))
    })
    await new Promise((resolve) => server.close(resolve))
    if (free) return port
  }
}

/** @param within words before the command that starts the node; they become it by exec */
export function siteAt(
  ctx: Context, name: string, directory: string, within: readonly string[] = [],
): Site {
  const [command, ...words] = [...within, program, 'start', '--dir', directory]
  const client = openClient(directory)
  let current: Launched | undefined
  let log = ''
  const launch = (): Launched => {
    const child = spawn(command, words, { stdio: ['ignore', 'ignore', 'pipe'] })
    let own = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      own += text
      log += text
    })
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
    return { child, output: () => own, ended }
  }
  const end = async (signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> => {
    const { child, ended } = current ?? {}
    if (!child || !ended) return null
    child.kill(signal)
    const code = await ended
    current = undefined
    return code
  }
  ctx.after(async () => {
    await end('SIGKILL')
    endTasks(directory)
  })
  return {
    name,
    directory,
    client,
    log: () => log,
    running: () => current?.child.exitCode === null && current.child.signalCode === null,
    pid: () => current?.child.pid ?? 0,
    configure(set) {
      for (const [path, value] of Object.entries(set)) setKey(directory, path, value)
    },
    launch,
    async start() {
      const launched = (current = launch())
      let code: number | null | undefined
      void launched.ended.then((value) => (code = value ?? -1))
      await eventually(async () => {
        if (code !== undefined) return true
        const info = await client.get<NodeInfo>(apiPaths.info)
        return info.pid === launched.child.pid
      }, { timeoutSeconds: 40, what: `${name} answers` })
      if (code !== undefined) throw new Error(`${name} ended with ${code}: ${launched.output()}`)
    },
    kill: async () => void (await end('SIGKILL')),
    stop: () => end('SIGTERM'),
  }
}

function setKey(directory: string, path: string, value: string): void {
  const file = join(directory, configFileName)
  const [section = '', key = ''] = path.split('.')
  const lines = readFileSync(file, 'utf8').split('\n')
  const start = lines.indexOf(`[${section}]`)
  const at = lines.findIndex((line, index) => index > start && line.replace(/^#/, '')
    .startsWith(`${key} = `))
  if (start < 0 || at < 0) throw new Error(`${file} has no ${path}`)
  lines[at] = `${key} = ${value}`
  writeFileSync(file, lines.join('\n'))
}

/** Ends what the embedded executor of a site that is gone has left running. */
export function endTasks(directory: string): void {
  const records = join(directory, 'embedded', 'records')
  if (!existsSync(records)) return
  for (const name of readdirSync(records)) {
    const isOver = existsSync(join(records, name.replace(/start$/, 'end')))
    if (!name.endsWith('.start') || isOver) continue
    const pid = Number(/^start (\d+) /.exec(readFileSync(join(records, name), 'utf8'))?.[1])
    const sameTask = pid > 1 && commandLine(pid).includes(join(records, name.slice(0, -6)))
    if (sameTask) process.kill(pid, 'SIGTERM')
  }
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}
