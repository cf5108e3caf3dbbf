// Virtual time: what is to happen, in order of when, ties in order of asking. Nothing here waits.
// Invariant: time never falls, and a world that turns in place without letting time pass is
// stopped.

export interface VirtualTime {
  /** Epoch milliseconds. */
  now(): number
  /** Calls `fn` once after so many milliseconds; returns how to call it off. */
  after(milliseconds: number, fn: () => void): () => void
  /** Everything that is due until then; afterwards it is then. */
  runUntil(epochMs: number): void
}

interface Due {
  readonly at: number
  readonly order: number
  fn: (() => void) | undefined
}

const sameInstantMax = 20_000

export function virtualTime(startEpochMs: number): VirtualTime {
  const heap: Due[] = []
  let [now, order, sameInstant] = [startEpochMs, 0, 0]

  const earlier = (left: Due, right: Due): boolean =>
    left.at < right.at || (left.at === right.at && left.order < right.order)

  const push = (due: Due): void => {
    let at = heap.push(due) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!earlier(heap[at]!, heap[parent]!)) return
      swap(at, parent)
      at = parent
    }
  }

  const swap = (a: number, b: number): void => {
    const kept = heap[a]!
    heap[a] = heap[b]!
    heap[b] = kept
  }

  const pop = (): Due => {
    const first = heap[0]!
    const last = heap.pop()!
    if (heap.length === 0) return first
    heap[0] = last
    for (let at = 0; ;) {
      let least = at
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && earlier(heap[child]!, heap[least]!)) least = child
      }
      if (least === at) return first
      swap(at, least)
      at = least
    }
  }

  return {
    now: () => now,
    after(milliseconds, fn) {
      const due: Due = { at: now + Math.max(0, Math.ceil(milliseconds)), order: order++, fn }
      push(due)
      return () => {
        due.fn = undefined
      }
    },
    runUntil(epochMs) {
      while (heap.length > 0 && heap[0]!.at <= epochMs) {
        const due = pop()
        sameInstant = due.at === now ? sameInstant + 1 : 0
        if (sameInstant > sameInstantMax) {
          throw new Error('time stands still: a loop without progress')
        }
        now = due.at
        due.fn?.()
      }
      now = Math.max(now, epochMs)
    },
  }
}
