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

export interface Terminal {
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

export function processTerminal(): Terminal {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      // The reader has had enough (`| head`): that is its right and no failure of ours.
      if (error.code === 'EPIPE') process.exit(0)
      throw error
    })
  }
  return {
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
