// The demo's children: nodes, and the commands that need a process of their own. Each is recorded
// with its identity when it starts; in the end all are gone, with what runs under them, and
// nothing else was touched.

import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { closeSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import type { ProcessIdentity } from './process-identity.ts'
import { identify, isAlive, signalProcess, taskProcesses } from './process-identity.ts'
import { writeRecord } from './record.ts'
import { until, within } from './waiting.ts'

/** The program itself, as a person starts it. */
export const program = fileURLToPath(new URL('../gridnode', import.meta.url))

export interface Node {
  readonly site: string
  readonly logPath: string
  readonly identity: ProcessIdentity
  /** Undefined while it runs. */
  exit(): string | undefined
}

export interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

export interface Processes {
  readonly nodes: readonly Node[]
  /** Everything that was ever started, in its order. */
  started(): readonly ProcessIdentity[]
  startNode(site: string): void
  /** Runs one command to its end; `stdin` is all it gets to read. */
  run(args: readonly string[], options: {
    readonly stdin?: string; readonly signal: AbortSignal
  }): Promise<Ran>
  /** Asks the nodes to stop, and waits until they have. */
  stopNodes(): Promise<void>
  /** This program ends, and the nodes do not. */
  leaveRunning(): void
}

export interface ProcessOptions {
  readonly directory: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** A node has ended that was not asked to. */
  readonly onLost: (error: Error) => void
}

const commandSeconds = 60
const politeSeconds = 10
const killedSeconds = 10

export function openProcesses({ directory, env, onLost }: ProcessOptions): Processes {
  const started: ProcessIdentity[] = []
  const nodes: (Node & { readonly child: ChildProcess })[] = []
  const owner = identify(process.pid)!
  let expected = false
  const note = (kept: boolean): void =>
    writeRecord(directory, { demo: 'gridnode', owner, kept, processes: started })
  note(false)
  const launch = (args: readonly string[], stdio: ('pipe' | 'ignore' | number)[]): Started => {
    // In a session of its own, so that Ctrl-C reaches the demo alone and it ends things in order.
    const child = spawn(program, args, { cwd: directory, env, stdio, detached: true })
    let end: string | undefined
    const ended = new Promise<void>((resolve, reject) => {
      child.once('error', (cause) => {
        end = cause.message
        reject(new Error(`cannot run ${program}: ${cause.message}`, { cause }))
      })
      child.once('exit', (code, signal) => {
        end = signal === null ? `exit code ${code}` : `signal ${signal}`
      })
      child.once('close', () => resolve())
    })
    ended.catch(() => undefined)
    const identity = child.pid === undefined ? undefined : identify(child.pid)
    if (identity) {
      started.push(identity)
      note(false)
    }
    return { child, identity, ended, end: () => end }
  }
  return {
    nodes,
    started: () => started,
    startNode(site) {
      const logPath = join(directory, `${site}.log`)
      const log = openSync(logPath, 'a', 0o600)
      try {
        const { child, identity, end } = launch(
          ['start', '--dir', site], ['ignore', 'ignore', log])
        if (!identity) throw new Error(`the node of ${site} ended at once`)
        nodes.push({ site, logPath, identity, exit: end, child })
        child.once('exit', () => {
          if (!expected) onLost(new Error(`the node of ${site} has ended: ${end()}`))
        })
      } finally {
        closeSync(log)
      }
    },
    async run(args, { stdin, signal }) {
      const { child, ended } = launch(args, ['pipe', 'pipe', 'pipe'])
      child.stdin!.on('error', () => undefined)
      child.stdin!.end(stdin ?? '')
      const whole = Promise.all([text(child.stdout!), text(child.stderr!), ended])
      const what = `gridnode ${args[0] ?? ''}`
      const [out, err] = await within({ what, seconds: commandSeconds, signal }, whole)
      return { code: child.exitCode ?? 1, out, err }
    },
    async stopNodes() {
      expected = true
      for (const { identity } of nodes) signalProcess(identity, 'SIGTERM')
      await gone(nodes.map(({ identity }) => identity), politeSeconds)
    },
    leaveRunning() {
      expected = true
      note(true)
      for (const { child } of nodes) child.unref()
    },
  }
}

interface Started {
  readonly child: ChildProcess
  readonly identity: ProcessIdentity | undefined
  readonly ended: Promise<void>
  end(): string | undefined
}

/**
 * Ends these processes, then the tasks of the sites in `directory`, and removes it. What does not
 * stop when asked to is killed.
 */
export async function endEverything(
  directory: string, processes: readonly ProcessIdentity[],
): Promise<void> {
  for (const one of processes) signalProcess(one, 'SIGTERM')
  await endAtLast(() => processes)
  for (const one of taskProcesses(directory).supervisors) signalProcess(one, 'SIGTERM')
  const seen: ProcessIdentity[] = []
  await endAtLast(() => {
    // Sessions outlive their supervisors: who was seen once is remembered.
    seen.push(...taskProcesses(directory).all)
    return seen
  })
  rmSync(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
}

async function endAtLast(processes: () => readonly ProcessIdentity[]): Promise<void> {
  try {
    await until({ what: 'the end', seconds: politeSeconds }, () => allGone(processes()))
  } catch {
    for (const one of processes()) signalProcess(one, 'SIGKILL')
    await gone(processes(), killedSeconds)
  }
}

function gone(processes: readonly ProcessIdentity[], seconds: number): Promise<true> {
  const what = `the end of ${processes.map(({ pid }) => pid).join(', ')}`
  return until({ what, seconds }, () => allGone(processes))
}

function allGone(processes: readonly ProcessIdentity[]): true | undefined {
  return processes.some(isAlive) ? undefined : true
}

/** For a program that must end now: no asking, no waiting. */
export function killEverything(directory: string, processes: readonly ProcessIdentity[]): void {
  for (const one of processes) signalProcess(one, 'SIGKILL')
  for (const one of taskProcesses(directory).all) signalProcess(one, 'SIGKILL')
  rmSync(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
}
