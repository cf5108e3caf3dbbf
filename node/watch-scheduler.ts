// Looks at the local scheduler: one query for all tasks and one for its capacity, soon after a
// hint, at a steady pace while tasks of ours are there, slowly otherwise. The capacity is asked no
// oftener than at that pace while they are there. Only what changed becomes an event.
//
// Invariant: a scheduler that does not answer changes no task; it only makes the site unreachable
// for bids.

import type { TrancheId } from '../protocol/base/ids.ts'
import type { ObservedTask } from '../protocol/machine/events.ts'
import type { CapacityMore, CapacityRecord } from '../protocol/machine/state.ts'
import type { Ability } from '../protocol/rules/needs.ts'
import { abilityWords } from '../protocol/rules/needs.ts'
import { clock } from './clock.ts'
import type { Loop } from './loop.ts'
import { messageOf } from './problem.ts'
import type { Report } from './report.ts'
import type {
  Abilities, Capacity, Driver, Observation, TaskStatus,
} from './scheduler/driver.ts'

export interface WatchOptions {
  readonly driver: Driver
  readonly loop: Loop
  readonly report: Report
  /** The largest walltime, where the scheduler sets none itself. */
  readonly walltimeSecondsMax: number
  spoolBytesFree(): Promise<number>
  /** While tasks of ours are queued or running. */
  readonly busyMs: number
  readonly idleMs: number
}

export interface Watch {
  /** Looks at once, and again if a look is under way. */
  look(): void
  stop(): Promise<void>
}

const timeoutMs = 60_000
const hintGapMs = 20
/** A look that takes long, because it starts commands, is followed by so many times its length. */
const pausePart = 2

/** What there is beyond cores and memory. */
function moreOf(abilities: Abilities, capacity: Capacity): { more: CapacityMore } {
  const able: Readonly<Record<Ability, boolean>> = {
    nodes: abilities.nodes, chunks: abilities.chunks, gpus: abilities.gpus,
    licences: abilities.licences, seen_at: abilities.seenAt,
    // Of the site's map, not of the scheduler.
    accounts: false,
  }
  const words = abilityWords.filter((word) => able[word])
  const { nodesTotal = 1, gpusTotal = 0, gpusFree = 0, licences = [] } = capacity
  const queues = capacity.queues.map(({ name }) => name.slice(0, 64)).slice(0, 64)
  return { more: {
    abilities: words, nodesTotal, gpusTotal, gpusFree, licences: licences.slice(0, 64), queues,
  } }
}

/** What of a status is news when it changes. */
function shownOf(status: TaskStatus): string {
  switch (status.kind) {
    case 'queued': return status.held ? 'held' : 'queued'
    case 'running': return status.suspended ? 'suspended' : 'running'
    default: return status.kind
  }
}

export function watchScheduler(options: WatchOptions): Watch {
  const { driver, loop, report } = options
  const stopping = new AbortController()
  const seen = new Map<string, string>()
  let looking: Promise<void> | undefined
  let again = false
  let timer: { stop(): void } | undefined
  let last: CapacityRecord | undefined
  let failing = false
  let restUntilMs = 0
  let capacityMs = 0

  /**
   * Tasks that come and go give hints all the time, and the capacity takes commands of its own:
   * while some are left, so that another look comes soon, it need not be asked at each.
   */
  const isRecent = (tasks: readonly Observation[]): boolean => {
    const agoMs = clock.now() - capacityMs
    return !failing && agoMs >= 0 && agoMs < options.busyMs
      && tasks.some(({ status }) => status.kind !== 'ended')
  }

  const lookOnce = async (): Promise<void> => {
    const signal = AbortSignal.any([stopping.signal, clock.deadline(timeoutMs)])
    try {
      const tasks = await driver.query(signal)
      if (isRecent(tasks)) pushChanged(tasks)
      else {
        const askedMs = clock.now()
        const capacity = await driver.capacity(signal)
        pushChanged(tasks)
        pushCapacity(capacityRecord(capacity, await options.spoolBytesFree()))
        capacityMs = askedMs
      }
      if (failing) report.info('the scheduler answers again')
      failing = false
    } catch (error) {
      if (stopping.signal.aborted) return
      if (!failing) report.warn('the scheduler does not answer', { error: messageOf(error) })
      failing = true
      if (last?.reachable) pushCapacity({ ...last, reachable: false })
    }
  }

  const pushChanged = (tasks: readonly Observation[]): void => {
    const changed: ObservedTask[] = []
    const present = new Set<string>()
    for (const { tag, taskIndex, status } of tasks) {
      const key = `${tag}/${taskIndex}`
      present.add(key)
      const shown = shownOf(status)
      if (seen.get(key) === shown) continue
      seen.set(key, shown)
      changed.push({ tranche: tag as TrancheId, task: taskIndex, status })
    }
    for (const key of seen.keys()) if (!present.has(key)) seen.delete(key)
    if (changed.length > 0) loop.push({ kind: 'tasksObserved', tasks: changed })
  }

  const capacityRecord = (capacity: Capacity, spoolBytesFree: number): CapacityRecord => {
    const { queues } = capacity
    const largest = (pick: (queue: Capacity['queues'][number]) => number): number =>
      queues.reduce((most, queue) => Math.max(most, pick(queue)), 0)
    return {
      observedEpochMs: clock.now(),
      coresTotal: capacity.coresTotal,
      coresFree: capacity.coresFree,
      memoryMibTotal: Math.floor(capacity.memoryBytesTotal / 2 ** 20),
      memoryMibFree: Math.floor(capacity.memoryBytesFree / 2 ** 20),
      tasksQueued: capacity.tasksQueued,
      tasksRunning: capacity.tasksRunning,
      coresPerTaskMax: largest((queue) => queue.coresPerNodeMax),
      memoryMibPerTaskMax: Math.floor(largest((queue) => queue.memoryBytesPerNodeMax) / 2 ** 20),
      walltimeSecondsMax:
        Math.min(options.walltimeSecondsMax, largest((queue) => queue.walltimeSecondsMax)),
      spoolBytesFree,
      reachable: true,
      ...moreOf(driver.abilities, capacity),
    }
  }

  const pushCapacity = (capacity: CapacityRecord): void => {
    const same = last && JSON.stringify({ ...last, observedEpochMs: 0 }) ===
      JSON.stringify({ ...capacity, observedEpochMs: 0 })
    last = capacity
    if (!same) loop.push({ kind: 'capacityObserved', capacity })
  }

  const schedule = (milliseconds: number): void => {
    timer?.stop()
    if (!stopping.signal.aborted) timer = clock.after(milliseconds, look)
  }

  // The clock may have been set back.
  const soonMs = (): number =>
    Math.max(hintGapMs, Math.min(options.busyMs, restUntilMs - clock.now()))

  const look = (): void => {
    if (stopping.signal.aborted) return
    if (looking) {
      again = true
      return
    }
    again = false
    const beganMs = clock.now()
    looking = lookOnce().finally(() => {
      looking = undefined
      const endedMs = clock.now()
      restUntilMs = endedMs + Math.min(options.busyMs, (endedMs - beganMs) * pausePart)
      const busy = [...seen.values()].some((kind) => kind !== 'ended')
      schedule(again ? soonMs() : busy ? options.busyMs : options.idleMs)
    })
  }

  driver.onHint(() => {
    if (looking) again = true
    else schedule(soonMs())
  })
  look()

  return {
    look,
    async stop() {
      stopping.abort(new Error('the node is stopping'))
      timer?.stop()
      await looking
    },
  }
}
