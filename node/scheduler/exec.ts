// The one door to child processes. `run` asks a command and reads its whole answer; a starter does
// the same, and starts supervisors that outlive us, by a small process of its own.
//
// Invariants: never a shell on our side (argv goes to the kernel as it is); every run has a time
// limit and an output limit; a run that passes a limit is ended with its whole process group before
// the promise settles.

import { fork, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { constants } from 'node:os'
import { join } from 'node:path'
import { clock } from '../clock.ts'
import { SchedulerFailure } from './driver.ts'
import type { SchedulerFailureCode } from './driver.ts'

export interface RunOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
  /** Written to the command's standard input, which is empty otherwise. */
  readonly input?: string
  /** The whole environment; ours when left out. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Of each stream; 16 MiB when left out. */
  readonly outputBytesMax?: number
  /** Its process id, which is its group's too. */
  readonly onStarted?: (pid: number) => void
}

export interface RunResult {
  /** 128 + signal when a signal ended it. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const outputBytesMaxDefault = 16 * 1024 * 1024
/** How long a command that was asked to end may take before it is killed. */
const graceMs = 1_000

/**
 * Runs `argv` and resolves with its answer, whatever its exit code.
 *
 * @throws SchedulerFailure `missing` (no such program, or it cannot be started), `timeout`,
 *   `aborted`,
 *   `malformed` (more output than allowed)
 */
export async function run(argv: readonly string[], options: RunOptions): Promise<RunResult> {
  const [program = '', ...rest] = argv
  if (options.signal?.aborted) {
    throw new SchedulerFailure('aborted', `${program} was not started`, options.signal.reason)
  }
  return await new Promise<RunResult>((resolve, reject) => {
    // A process group of its own: Ctrl-C at the node's terminal must not cut a submission in half.
    const child = spawn(program, rest, {
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.env === undefined ? {} : { env: options.env }),
    })
    if (child.pid !== undefined) options.onStarted?.(child.pid)
    const outputBytesMax = options.outputBytesMax ?? outputBytesMaxDefault
    let failure: SchedulerFailure | undefined
    let killTimer: { stop(): void } | undefined
    const end = (reason: SchedulerFailure): void => {
      if (failure) return
      failure = reason
      killGroup(child, 'SIGTERM')
      killTimer = clock.after(graceMs, () => {
        killGroup(child, 'SIGKILL')
        // A grandchild outside the group may hold the pipes open; its output no longer matters.
        child.stdout.destroy()
        child.stderr.destroy()
      })
    }
    const timer = clock.after(options.timeoutMs, () =>
      end(new SchedulerFailure('timeout', `${program} gave no answer in ${options.timeoutMs} ms`)),
    )
    const abort = (): void =>
      end(new SchedulerFailure('aborted', `${program} was stopped`, options.signal?.reason))
    options.signal?.addEventListener('abort', abort, { once: true })
    const tooMuch = (): void =>
      end(new SchedulerFailure('malformed', `${program} printed over ${outputBytesMax} bytes`))
    const stdout = collect(child.stdout, outputBytesMax, tooMuch)
    const stderr = collect(child.stderr, outputBytesMax, tooMuch)
    // A command may end without reading its input; its exit code says what it thought of it.
    child.stdin.on('error', () => {})
    child.stdin.end(options.input ?? '')

    const settle = (): void => {
      timer.stop()
      killTimer?.stop()
      options.signal?.removeEventListener('abort', abort)
    }
    child.on('error', (cause) => {
      settle()
      const words = `cannot start ${program}: ${cause.message}; is it installed and in the PATH?`
      reject(failure ?? new SchedulerFailure('missing', words, cause))
    })
    child.on('close', (code, signal) => {
      settle()
      if (failure) reject(failure)
      else resolve({ code: exitCode(code, signal), stdout: stdout(), stderr: stderr() })
    })
  })
}

/** What a starter is asked, and what it answers: see starter-process.ts. */
export type StartOrder =
  | ({ readonly id: number; readonly kind: 'start' } & Start)
  | ({ readonly id: number; readonly kind: 'run' } & Start & RunLimits)
  /** Of a run. */
  | { readonly id: number; readonly kind: 'abort' }

interface Start {
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
}

interface RunLimits {
  readonly timeoutMs: number
  readonly outputBytesMax: number
  readonly input: string
}

export type StartNews =
  | { readonly id: number; readonly kind: 'started'; readonly pid: number }
  /** The system would not start it: out of processes or memory. */
  | { readonly id: number; readonly kind: 'failed' }
  | {
      readonly id: number
      readonly kind: 'ended'
      readonly code: number | null
      readonly signal: NodeJS.Signals | null
    }
  | { readonly id: number; readonly kind: 'answer'; readonly result: RunResult }
  | {
      readonly id: number
      readonly kind: 'noAnswer'
      readonly code: SchedulerFailureCode
      readonly words: string
    }

export interface Piped {
  write(bytes: Uint8Array): void
  /** What was written and it has not read. */
  unreadBytes(): number
  closeInput(): void
  /** Stops and goes on with reading what it writes. */
  pause(): void
  resume(): void
  /** With all of its process group. */
  kill(): void
}

/** Starts `argv` and hands on what it writes, both streams as one, as it comes. */
export function spawnPiped(
  argv: readonly string[],
  options: {
    readonly env: Readonly<Record<string, string>>
    readonly cwd: string
    readonly onOutput: (bytes: Uint8Array) => void
    /** Once; 127 when it could not be started. */
    readonly onExit: (code: number) => void
  },
): Piped {
  const [program = '', ...rest] = argv
  const { env, cwd, onOutput, onExit } = options
  const child = spawn(program, rest, { detached: true, stdio: ['pipe', 'pipe', 'pipe'], env, cwd })
  let over = false
  const end = (code: number): void => {
    if (over) return
    over = true
    onExit(code)
  }
  const both = [child.stdout, child.stderr]
  for (const stream of both) stream.on('data', onOutput)
  child.stdin.on('error', () => {})
  child.on('error', () => end(127))
  child.on('close', (code, signal) => end(exitCode(code, signal)))
  return {
    write(bytes) {
      if (!over && child.stdin.writable) child.stdin.write(bytes)
    },
    unreadBytes: () => child.stdin.writableLength,
    closeInput: () => void child.stdin.end(),
    pause: () => both.forEach((stream) => stream.pause()),
    resume: () => both.forEach((stream) => stream.resume()),
    kill: () => killGroup(child, 'SIGKILL'),
  }
}

export interface Detached {
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  readonly onStarted: (pid: number) => void
  /**
   * Once, if we live to see it: it has ended (with its exit code), could not be started, or the
   * starter is gone and nobody will tell (undefined).
   */
  readonly onExit: (code: number | undefined) => void
}

export interface Starter {
  /** In a session of its own, with no standard streams, to go on when we end. */
  start(detached: Detached): void
  /**
   * As `run` above does it. When we end, the command goes on to its own end or its time limit.
   *
   * @throws SchedulerFailure also `unreachable` when the starter is gone, and the command with it:
   *   what it has done is not known
   */
  readonly run: typeof run
  /** What was started goes on, and is not told about any more; runs are `aborted` for us. */
  close(): void
}

interface Asked {
  hear(news: StartNews): void
  gone(failure: SchedulerFailure): void
}

/** How much later than a command's time limit its starter has to say that it has passed. */
const starterSlackMs = 10_000

/** A small process that starts others; it is started when it is needed, and again if it ends. */
export function openStarter(): Starter {
  const pending = new Map<number, Asked>()
  let child: ChildProcess | undefined
  let last = 0
  let runs = 0
  const lose = (failure: SchedulerFailure): void => {
    child = undefined
    const lost = Array.from(pending.values())
    pending.clear()
    for (const asked of lost) asked.gone(failure)
  }
  const open = (): ChildProcess => {
    const opened = fork(join(import.meta.dirname, 'starter-process.ts'), [], {
      detached: true, stdio: ['ignore', 'ignore', 'ignore', 'ipc'], env: {}, cwd: '/', execArgv: [],
    })
    const isGone = (): void => {
      if (child === opened) lose(starterGone('the process that starts commands has ended'))
    }
    opened.on('message', (news: StartNews) => {
      if (child === opened) pending.get(news.id)?.hear(news)
    })
    opened.on('error', isGone)
    opened.on('exit', isGone)
    opened.unref()
    if (runs === 0) opened.channel?.unref()
    return opened
  }
  const send = (order: StartOrder): void => {
    const fail = (cause: unknown): void =>
      pending.get(order.id)?.gone(starterGone('the process that starts commands is deaf', cause))
    try {
      child ??= open()
      child.send(order, (error) => {
        if (error) fail(error)
      })
    } catch (cause) {
      queueMicrotask(() => fail(cause))
    }
  }
  const isStuck = (): void => {
    const stuck = child
    lose(starterGone('the process that starts commands is stuck'))
    stuck?.kill('SIGKILL')
  }
  /** A run that waits for its answer keeps us alive, as a child of our own would. */
  const waiting = (by: 1 | -1): void => {
    runs += by
    if (runs > 0) child?.channel?.ref()
    else child?.channel?.unref()
  }
  return {
    start(detached) {
      const id = ++last
      pending.set(id, startAsked(detached, () => pending.delete(id)))
      const { argv, env, cwd } = detached
      send({ id, kind: 'start', argv, env, cwd })
    },
    async run(argv, options) {
      const program = argv[0] ?? ''
      const { timeoutMs, signal, input = '', cwd = process.cwd() } = options
      if (signal?.aborted) {
        throw new SchedulerFailure('aborted', `${program} was not started`, signal.reason)
      }
      const id = ++last
      const abort = (): void => send({ id, kind: 'abort' })
      signal?.addEventListener('abort', abort, { once: true })
      const timer = clock.after(timeoutMs + starterSlackMs, isStuck)
      waiting(1)
      try {
        return await new Promise<RunResult>((resolve, reject) => {
          pending.set(id, runAsked(resolve, reject, signal))
          const env = options.env ?? definedOf(process.env)
          const outputBytesMax = options.outputBytesMax ?? outputBytesMaxDefault
          send({ id, kind: 'run', argv, env, cwd, timeoutMs, outputBytesMax, input })
        })
      } finally {
        pending.delete(id)
        timer.stop()
        signal?.removeEventListener('abort', abort)
        waiting(-1)
      }
    },
    close() {
      const closing = child
      child = undefined
      for (const [id, asked] of pending) {
        pending.delete(id)
        asked.gone(new SchedulerFailure('aborted', 'no answer is waited for any more'))
      }
      if (closing?.connected) closing.disconnect()
    },
  }
}

function starterGone(words: string, cause?: unknown): SchedulerFailure {
  return new SchedulerFailure('unreachable', words, cause)
}

function startAsked(detached: Detached, over: () => void): Asked {
  const end = (code: number | undefined): void => {
    over()
    detached.onExit(code)
  }
  return {
    hear(news) {
      if (news.kind === 'started') detached.onStarted(news.pid)
      else end(news.kind === 'ended' ? exitCode(news.code, news.signal) : undefined)
    },
    // Nobody waits for what was started when we let go of it ourselves.
    gone: ({ code }) => (code === 'aborted' ? over() : end(undefined)),
  }
}

function runAsked(
  resolve: (result: RunResult) => void,
  reject: (failure: SchedulerFailure) => void,
  signal: AbortSignal | undefined,
): Asked {
  let group: number | undefined
  return {
    hear(news) {
      if (news.kind === 'started') group = news.pid
      else if (news.kind === 'answer') resolve(news.result)
      else if (news.kind === 'noAnswer') {
        const cause: unknown = news.code === 'aborted' ? signal?.reason : undefined
        reject(new SchedulerFailure(news.code, news.words, cause))
      }
    },
    gone(failure) {
      // Nobody is left who would hold it to its limits.
      if (group !== undefined && failure.code !== 'aborted') signalGroup(group, 'SIGKILL')
      reject(failure)
    },
  }
}

function definedOf(variables: NodeJS.ProcessEnv): Record<string, string> {
  const defined: Record<string, string> = {}
  for (const [name, value] of Object.entries(variables)) {
    if (value !== undefined) defined[name] = value
  }
  return defined
}

function collect(
  stream: NodeJS.ReadableStream,
  bytesMax: number,
  tooMuch: () => void,
): () => string {
  const chunks: Buffer[] = []
  let bytes = 0
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > bytesMax) tooMuch()
    else chunks.push(chunk)
  })
  return () => Buffer.concat(chunks).toString('utf8')
}

function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  if (!signalGroup(child.pid, signal)) child.kill(signal)
}

/** False when there is none. */
function signalGroup(group: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(-group, signal)
  } catch {
    return false
  }
}

function exitCode(code: number | null, signal: NodeJS.Signals | null): number {
  if (code !== null) return code
  return signal === null ? 255 : 128 + constants.signals[signal]
}
