// The one door to child processes. `run` asks a command and reads its whole answer; a starter
// starts supervisors that outlive us, by a small process of its own.
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
export interface StartOrder {
  readonly id: number
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
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

export interface Piped {
  /** False when it reads no more. */
  write(bytes: Uint8Array): boolean
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
    write: (bytes) => !over && child.stdin.writable && (child.stdin.write(bytes) || true),
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
  /** What was started goes on, and is not told about any more. */
  close(): void
}

/** A small process that starts others; it is started when it is needed, and again if it ends. */
export function openStarter(): Starter {
  const pending = new Map<number, Detached>()
  let child: ChildProcess | undefined
  let last = 0
  const finish = (id: number, code: number | undefined): void => {
    const detached = pending.get(id)
    pending.delete(id)
    detached?.onExit(code)
  }
  const hear = (news: StartNews): void => {
    if (news.kind === 'started') pending.get(news.id)?.onStarted(news.pid)
    else finish(news.id, news.kind === 'ended' ? exitCode(news.code, news.signal) : undefined)
  }
  const open = (): ChildProcess => {
    const opened = fork(join(import.meta.dirname, 'starter-process.ts'), [], {
      detached: true, stdio: ['ignore', 'ignore', 'ignore', 'ipc'], env: {}, cwd: '/',
    })
    const isGone = (): void => {
      if (child !== opened) return
      child = undefined
      for (const id of Array.from(pending.keys())) finish(id, undefined)
    }
    opened.on('message', hear)
    opened.on('error', isGone)
    opened.on('exit', isGone)
    opened.unref()
    opened.channel?.unref()
    return opened
  }
  return {
    start(detached) {
      const id = ++last
      pending.set(id, detached)
      const { argv, env, cwd } = detached
      try {
        child ??= open()
        child.send({ id, argv, env, cwd } satisfies StartOrder, (error) => {
          if (error) finish(id, undefined)
        })
      } catch {
        queueMicrotask(() => finish(id, undefined))
      }
    },
    close() {
      pending.clear()
      const closing = child
      child = undefined
      if (closing?.connected) closing.disconnect()
    },
  }
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
  try {
    process.kill(-child.pid, signal)
  } catch {
    child.kill(signal)
  }
}

function exitCode(code: number | null, signal: NodeJS.Signals | null): number {
  if (code !== null) return code
  return signal === null ? 255 : 128 + constants.signals[signal]
}
