// Work that the core asked for and that takes time: at most so many pieces at once, each name once.
// The same name asked again while it waits or runs is the same piece. Work that waits for a peer
// names it: however slow that peer is, half of the lanes are left to others.

import type { Report } from './report.ts'
import { messageOf } from './problem.ts'

export interface Lanes {
  /** `work` reports its result itself; what it throws is our own fault and is logged. */
  run(name: string, work: (signal: AbortSignal) => Promise<void>, peer?: string): void
  /** The piece of that name is not wanted any more; resolves when nothing of it runs. */
  end(name: string): Promise<void>
  /** No new work; what runs is told to end, and waited for. */
  stop(): Promise<void>
}

interface Piece {
  readonly name: string
  readonly work: (signal: AbortSignal) => Promise<void>
  readonly peer: string | undefined
  readonly giveUp: AbortController
  /** While it runs. */
  done: Promise<void> | undefined
}

export function openLanes(width: number, report: Report): Lanes {
  let stopping = false
  const known = new Map<string, Piece>()
  const waiting: Piece[] = []
  const running = new Set<Promise<void>>()
  const byPeer = new Map<string, number>()
  const perPeer = Math.max(1, Math.floor(width / 2))
  const isFree = ({ peer }: Piece): boolean =>
    peer === undefined || (byPeer.get(peer) ?? 0) < perPeer
  const account = ({ peer }: Piece, change: number): void => {
    if (peer === undefined) return
    const now = (byPeer.get(peer) ?? 0) + change
    if (now > 0) byPeer.set(peer, now)
    else byPeer.delete(peer)
  }

  const next = (): void => {
    while (running.size < width && !stopping) {
      const at = waiting.findIndex(isFree)
      const piece = waiting[at]
      if (!piece) return
      waiting.splice(at, 1)
      account(piece, 1)
      const { signal } = piece.giveUp
      const done = piece.work(signal)
        .catch((error: unknown) => {
          if (signal.aborted) return
          report.error(`${piece.name} failed unexpectedly`, { error: messageOf(error) })
        })
        .finally(() => {
          known.delete(piece.name)
          account(piece, -1)
          running.delete(done)
          next()
        })
      piece.done = done
      running.add(done)
    }
  }

  return {
    run(name, work, peer) {
      if (known.has(name) || stopping) return
      const piece = { name, work, peer, giveUp: new AbortController(), done: undefined }
      known.set(name, piece)
      waiting.push(piece)
      next()
    },
    async end(name) {
      const piece = known.get(name)
      if (!piece) return
      piece.giveUp.abort(new Error(`${name} is not wanted any more`))
      const at = waiting.indexOf(piece)
      if (at >= 0) {
        waiting.splice(at, 1)
        known.delete(name)
      }
      await piece.done
    },
    async stop() {
      stopping = true
      waiting.length = 0
      for (const { giveUp } of known.values()) giveUp.abort(new Error('the node is stopping'))
      await Promise.all(running)
    },
  }
}
