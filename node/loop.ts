// The loop: events in, steps, one synced batch, then the effects. It is the same in production and
// in the simulator, which gives it other ports.
//
// Invariants: no effect is performed before the writes of its step (and of all steps before it) are
// durable; steps that arrive while a batch is being written share the next one (group commit);
// after a failed commit nothing is performed any more, because memory is ahead of the disk.

import type { Write } from '../protocol/base/tables.ts'
import { applyWrites, draft } from '../protocol/base/tables.ts'
import type { Tables } from '../protocol/base/tables.ts'
import type { Effect } from '../protocol/machine/effects.ts'
import type { Event } from '../protocol/machine/events.ts'
import type { CoreTables, Self } from '../protocol/machine/state.ts'
import { coldTables, volatileTables } from '../protocol/machine/state.ts'
import type { Stepped } from '../protocol/machine/step.ts'
import { step, wakeAt } from '../protocol/machine/step.ts'

/** What the loop needs of the world. */
export interface LoopPorts {
  /** Epoch milliseconds. */
  now(): number
  /** Calls `fn` once after so many milliseconds; returns how to call it off. */
  after(milliseconds: number, fn: () => void): () => void
  /**
   * Writes one atomic, synced batch, then calls `done`; with an error when it is not certainly
   * durable.
   */
  commit(writes: readonly Write[], done: (failure?: Error) => void): void
  /** Starts an effect; its result comes back as an event. Never throws. */
  perform(effect: Effect): void
  /** A commit or a step of our own failed: the node must stop and recover from what is on disk. */
  failed(failure: Error): void
  /** A step broke, which is our bug. It changed nothing; a peer's words are left out. */
  broken(kind: string, failure: Error): void
}

/** An event as the world pushes it: the loop adds the time. */
export type Happening = Event extends infer E ? (E extends Event ? Omit<E, 'at'> : never) : never

export interface Loop {
  push(happening: Happening): void
  /** What the administrator has set anew counts from the next step on. */
  configure(next: Self): void
  /** For readers; never written from outside. */
  readonly tables: Tables
  /** True when nothing is queued or being written. */
  idle(): boolean
  stop(): void
}

/** Events that carry the words of others. */
const fromPeers: ReadonlySet<Happening['kind']> = new Set([
  'messageReceived', 'offerHeard', 'callHeard', 'joinRequested',
])

const batchEventsMax = 1_000
const wakeMsMax = 60_000

export function createLoop(first: Self, tables: Tables, ports: LoopPorts): Loop {
  let self = first
  let queue: Happening[] = []
  let writing = false
  let performing = false
  let stopped = false
  let last = 0
  let setBackMs = 0
  let callOff: (() => void) | undefined

  /** Grows at the clock's pace, also after the clock was set back: deadlines go on to come. */
  const at = (): number => {
    const now = ports.now()
    if (now + setBackMs < last) setBackMs = last - now
    return (last = now + setBackMs)
  }

  /** What a peer sent is left out when it breaks; then `undefined`. Anything else ends the node. */
  const stepped = (happening: Happening): Stepped | undefined => {
    try {
      return step(self, tables, { ...happening, at: at() } as Event)
    } catch (error) {
      const failure = error instanceof Error ? error : new Error(String(error))
      ports.broken(happening.kind, failure)
      if (!fromPeers.has(happening.kind)) throw failure
      return undefined
    }
  }

  const pump = (): void => {
    if (writing || performing || stopped || queue.length === 0) return
    const events = queue.splice(0, batchEventsMax)
    const writes = new Map<string, Write>()
    const effects: Effect[] = []
    try {
      for (const happening of events) {
        const done = stepped(happening)
        if (!done) continue
        applyWrites(tables, done.writes, coldTables)
        for (const write of done.writes) {
          if (!volatileTables.has(write.table)) writes.set(`${write.table}\n${write.key}`, write)
        }
        effects.push(...done.effects)
      }
    } catch (error) {
      // Nothing of this batch was said to anybody, and nothing of it is on the disk.
      stopped = true
      return ports.failed(error as Error)
    }
    if (writes.size === 0) return performAll(effects)
    writing = true
    ports.commit([...writes.values()], (failure) => {
      writing = false
      if (stopped) return
      if (failure) {
        stopped = true
        ports.failed(failure)
      } else performAll(effects)
    })
  }

  const performAll = (effects: readonly Effect[]): void => {
    // What an effect pushes at once waits until the others have been performed.
    performing = true
    for (const effect of effects) {
      if (stopped) break
      if (effect.kind === 'send' && effect.to === self.site) {
        queue.push({ kind: 'messageDelivered', message: effect.message })
      } else ports.perform(effect)
    }
    performing = false
    if (queue.length > 0) pump()
    else wait()
  }

  const wait = (): void => {
    callOff?.()
    callOff = undefined
    const next = stopped ? undefined : wakeAt(draft<CoreTables>(tables))
    if (next === undefined) return
    const delay = Math.min(wakeMsMax, Math.max(0, next - at()))
    callOff = ports.after(delay, () => {
      callOff = undefined
      push({ kind: 'woken' })
    })
  }

  const push = (happening: Happening): void => {
    if (stopped) return
    queue.push(happening)
    pump()
  }

  return {
    push,
    configure(next) {
      self = next
      push({ kind: 'configured' })
    },
    tables,
    idle: () => queue.length === 0 && !writing,
    stop() {
      stopped = true
      queue = []
      callOff?.()
    },
  }
}
