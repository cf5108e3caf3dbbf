// Work that the core asked for and that takes time: at most so many pieces at once, each name once.
// The same name asked again while it waits or runs is the same piece.

import type { Report } from './report.ts'
import { messageOf } from './problem.ts'

export interface Lanes {
  /** `work` reports its result itself; what it throws is our own fault and is logged. */
  run(name: string, work: (signal: AbortSignal) => Promise<void>): void
  /** No new work; what runs is told to end, and waited for. */
  stop(): Promise<void>
}

export function openLanes(width: number, report: Report): Lanes {
  const stopping = new AbortController()
  const known = new Set<string>()
  const waiting: { name: string; work: (signal: AbortSignal) => Promise<void> }[] = []
  const running = new Set<Promise<void>>()

  const next = (): void => {
    while (running.size < width && !stopping.signal.aborted) {
      const piece = waiting.shift()
      if (!piece) return
      const done = piece.work(stopping.signal)
        .catch((error: unknown) => {
          if (stopping.signal.aborted) return
          report.error(`${piece.name} failed unexpectedly`, { error: messageOf(error) })
        })
        .finally(() => {
          known.delete(piece.name)
          running.delete(done)
          next()
        })
      running.add(done)
    }
  }

  return {
    run(name, work) {
      if (known.has(name) || stopping.signal.aborted) return
      known.add(name)
      waiting.push({ name, work })
      next()
    },
    async stop() {
      stopping.abort(new Error('the node is stopping'))
      waiting.length = 0
      await Promise.all(running)
    },
  }
}
