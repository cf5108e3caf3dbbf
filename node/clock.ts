// The one door to time. Everything that waits, waits here, where a test can see what it waits for.

import { setTimeout as delay } from 'node:timers/promises'

export interface Timer {
  stop(): void
}

export const clock = {
  /** Milliseconds since 1970, as the machine believes; may jump. */
  now(): number {
    return Date.now()
  },

  /** Milliseconds that only ever grow; for durations, meaningless across processes. */
  monotonicMs(): number {
    return performance.now()
  },

  /** Resolves after `milliseconds`; rejects with the signal's reason as soon as it fires. */
  async sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    try {
      await delay(milliseconds, undefined, signal ? { signal } : {})
    } catch (cause) {
      throw signal?.reason ?? cause
    }
  },

  /** A signal that fires with a TimeoutError after `milliseconds`; it keeps no process alive. */
  deadline(milliseconds: number): AbortSignal {
    return AbortSignal.timeout(milliseconds)
  },

  /** Calls `fn` once, after `milliseconds`. */
  after(milliseconds: number, fn: () => void): Timer {
    const handle = setTimeout(fn, milliseconds)
    return { stop: () => clearTimeout(handle) }
  },

  /** Calls `fn` every `milliseconds` until stopped. */
  every(milliseconds: number, fn: () => void): Timer {
    const handle = setInterval(fn, milliseconds)
    return { stop: () => clearInterval(handle) }
  },
}
