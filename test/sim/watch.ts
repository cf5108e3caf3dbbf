// The look at the scheduler, as the node's own watch does it: only what changed becomes an event,
// and a scheduler that does not answer changes no task.

import type { CapacityRecord } from '../../protocol/machine/state.ts'
import type { ObservedTask } from '../../protocol/machine/events.ts'
import type { Machine, Process } from './machine.ts'

const busyMs = 1_000
const idleMs = 6_000

/** Starts looking; returns how to ask for a look soon. */
export function startWatch(machine: Machine, process: Process): () => void {
  const { world, scheduler } = machine
  const seen = new Map<string, string>()
  let last: CapacityRecord | undefined
  let lastChange: number | undefined
  let callOff: () => void = () => undefined

  const pushChanged = (): void => {
    const changed: ObservedTask[] = []
    for (const one of scheduler.observe()) {
      const key = `${one.tranche}/${one.task}`
      if (seen.get(key) === one.status.kind) continue
      seen.set(key, one.status.kind)
      changed.push(one)
    }
    if (changed.length > 0) process.loop.push({ kind: 'tasksObserved', tasks: changed })
  }

  const pushCapacity = (capacity: CapacityRecord): void => {
    const same = last && JSON.stringify({ ...last, observedEpochMs: 0 }) ===
      JSON.stringify({ ...capacity, observedEpochMs: 0 })
    last = capacity
    if (!same && process.alive) process.loop.push({ kind: 'capacityObserved', capacity })
  }

  const look = (): void => {
    callOff()
    if (!process.alive) return
    const nothingNew = lastChange !== undefined && lastChange === scheduler.changes
    if (scheduler.reachable && !(nothingNew && last?.reachable === true)) {
      lastChange = scheduler.changes
      pushChanged()
      pushCapacity(scheduler.capacity(world.time.now() + machine.skewMs))
    } else if (!scheduler.reachable && last?.reachable) pushCapacity({ ...last, reachable: false })
    if (!process.alive) return
    callOff = world.time.after(scheduler.idle() ? idleMs : busyMs, look)
  }

  callOff = world.time.after(machine.chance.int(200), look)
  return () => {
    callOff()
    callOff = world.time.after(50, look)
  }
}
