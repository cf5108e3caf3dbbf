// Which queued tasks may start now: first come first served, with EASY backfill (Lifka, "The
// ANL/IBM SP scheduling system", 1995): a later task may overtake only if it cannot delay the first
// one that waits.
//
// Invariants: pure; the first waiting task's earliest start, as the walltimes promise it, is never
// put off.

export interface Need {
  readonly cores: number
  readonly memoryBytes: number
}

export interface RunningTask extends Need {
  /** When its walltime ends it at the latest. */
  readonly endsEpochMs: number
}

/** Tasks with one need, in one place of the queue. */
export interface QueueEntry extends Need {
  readonly count: number
  readonly walltimeMs: number
}

/** How far down the queue backfill looks; keeps a decision cheap whatever waits. */
const entriesMax = 100

/** For each entry of `queue` (as far as it was looked at) how many of its tasks to start now. */
export function startable(state: {
  readonly free: Need
  readonly running: () => readonly RunningTask[]
  readonly queue: readonly QueueEntry[]
  readonly nowEpochMs: number
}): number[] {
  let { cores, memoryBytes } = state.free
  const starts: number[] = []
  const started: RunningTask[] = []
  let shadow: Shadow | undefined
  for (const entry of state.queue.slice(0, entriesMax)) {
    let count = Math.min(entry.count, fits({ cores, memoryBytes }, entry))
    const endsEpochMs = state.nowEpochMs + entry.walltimeMs
    if (shadow && endsEpochMs > shadow.epochMs) {
      count = Math.min(count, fits(shadow.spare, entry))
      shadow.spare.cores -= count * entry.cores
      shadow.spare.memoryBytes -= count * entry.memoryBytes
    }
    cores -= count * entry.cores
    memoryBytes -= count * entry.memoryBytes
    starts.push(count)
    if (shadow) continue
    for (let i = 0; i < count; i++) started.push({ ...need(entry), endsEpochMs })
    if (count === entry.count) continue
    // This entry is the first that waits. Whoever stands behind it may not delay its next task.
    if (state.queue.length === starts.length) break
    shadow = reserve({ cores, memoryBytes }, [...state.running(), ...started], entry)
  }
  return starts
}

interface Shadow {
  /** When the first waiting task can start at the latest. */
  readonly epochMs: number
  /** What is then free beside it. */
  readonly spare: { cores: number; memoryBytes: number }
}

function reserve(free: Need, running: readonly RunningTask[], first: Need): Shadow {
  const spare = { ...free }
  let epochMs = 0
  for (const task of running.toSorted((a, b) => a.endsEpochMs - b.endsEpochMs)) {
    if (fits(spare, first) > 0) break
    spare.cores += task.cores
    spare.memoryBytes += task.memoryBytes
    epochMs = task.endsEpochMs
  }
  spare.cores -= first.cores
  spare.memoryBytes -= first.memoryBytes
  return { epochMs, spare }
}

/** How many tasks of this need go into `free`. */
function fits(free: Need, each: Need): number {
  const byCores = Math.floor(free.cores / each.cores)
  const byMemory = each.memoryBytes > 0 ? Math.floor(free.memoryBytes / each.memoryBytes) : byCores
  return Math.max(0, Math.min(byCores, byMemory))
}

function need(entry: Need): Need {
  return { cores: entry.cores, memoryBytes: entry.memoryBytes }
}
