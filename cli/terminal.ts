// The command line's one door to its process: output, environment, time and Ctrl-C. Commands get a
// `Terminal`, so that tests can be one. Results go to `out`, progress and notes to `err`.

import { setTimeout as delay } from 'node:timers/promises'

export interface Sink {
  /** Resolves when more may be written. */
  write(data: string | Uint8Array): Promise<void>
  readonly tty: boolean
  /** Infinity when the reader is no terminal: what is piped is never cut. */
  readonly columns: () => number
  readonly colours: boolean
}

/** Where a person types, or what is piped in. */
export interface Keyboard {
  readonly tty: boolean
  readonly rows: () => number
  readonly columns: () => number
  /** Each key as it is pressed, Ctrl-C too; undone at the end of the process. */
  raw(on: boolean): void
  onBytes(listener: (bytes: Uint8Array) => void, onEnd: () => void): () => void
}

export interface Terminal {
  /** Absent in tests. */
  readonly keyboard?: Keyboard
  readonly out: Sink
  readonly err: Sink
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  nowEpochMs(): number
  /** Rejects with the signal's reason. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>
  /** Calls `listener` on Ctrl-C instead of ending the process; gives the undo. */
  onInterrupt(listener: () => void): () => void
  /** Calls `listener` on the first SIGTERM or Ctrl-C; a second one ends the process at once. */
  onStop(listener: () => void): () => void
}

function sinkOf(stream: NodeJS.WriteStream): Sink {
  const tty = stream.isTTY === true
  return {
    write(data) {
      if (stream.write(data)) return Promise.resolve()
      return new Promise((resolve) => stream.once('drain', resolve))
    },
    tty,
    columns: () => (tty ? Math.max(40, stream.columns) : Infinity),
    colours: tty && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb',
  }
}

// The stream is made when it is first asked for: made at the start it would put a pipe into the
// mode in which a plain read of what has not come yet fails (`gridnode invite | gridnode join -`).
function keyboardOf(standardInput: () => NodeJS.ReadStream): Keyboard {
  return {
    get tty() { return standardInput().isTTY === true },
    rows: () => process.stdout.rows ?? 0,
    columns: () => process.stdout.columns ?? 0,
    raw(on) {
      const stream = standardInput()
      if (stream.isTTY === true) stream.setRawMode(on)
    },
    onBytes(listener, onEnd) {
      const stream = standardInput()
      const onData = (bytes: Buffer): void => listener(bytes)
      stream.on('data', onData)
      stream.on('end', onEnd)
      return () => {
        stream.off('data', onData)
        stream.off('end', onEnd)
        stream.pause()
        stream.unref?.()
      }
    },
  }
}

export function processTerminal(): Terminal {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      // The reader has had enough (`| head`): that is its right and no failure of ours.
      if (error.code === 'EPIPE') process.exit(0)
      throw error
    })
  }
  return {
    keyboard: keyboardOf(() => process.stdin),
    out: sinkOf(process.stdout),
    err: sinkOf(process.stderr),
    env: process.env,
    cwd: process.cwd(),
    nowEpochMs: () => Date.now(),
    async sleep(milliseconds, signal) {
      signal?.throwIfAborted()
      try {
        await delay(milliseconds, undefined, signal ? { signal } : {})
      } catch (cause) {
        throw signal?.reason ?? cause
      }
    },
    onInterrupt(listener) {
      process.on('SIGINT', listener)
      return () => void process.off('SIGINT', listener)
    },
    onStop(listener) {
      const undo = (): void => {
        process.off('SIGINT', once)
        process.off('SIGTERM', once)
      }
      const once = (): void => {
        undo()
        listener()
      }
      process.on('SIGINT', once)
      process.on('SIGTERM', once)
      return undo
    },
  }
}
