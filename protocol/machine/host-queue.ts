// The queue of a host as its own records have it: what of ours runs, since when and how long at the
// most; what waits, in the order in which it was taken; what is kept for others meanwhile. The
// scheduler is not asked: the answer to a call must not wait for it.

import { compareBytes } from '../base/ids.ts'
import { rangesSize, rangesValues } from '../base/ranges.ts'
import type { Announcement } from '../rules/announce.ts'
import type { HostQueue, TaskNeed } from '../rules/queue-wait.ts'
import { secondsUntilStart } from '../rules/queue-wait.ts'
import { othersLeave } from './host-capacity.ts'
import type { HostContract, HostTranche } from './state.ts'
import { taskKey } from './state.ts'
import type { Turn } from './turn.ts'

type Running = HostQueue['running'][number]
type Waiting = HostQueue['waiting'][number]

/** So many tasks are looked at one by one; what is beyond counts as waiting. */
const lookedAtMax = 2_000

/** When a task as the call has it would start here at the latest, if it were taken now. */
export function queueSeconds(turn: Turn, call: Announcement): number {
  const { view } = turn
  const { cores, memory_mib: memoryMib, walltime_seconds: walltimeSeconds } = call
  const running = kept(turn)
  const waiting: Waiting[] = []
  let lookedAt = 0
  for (const tranche of openTranches(turn)) {
    const contract = view.get('hostContracts', tranche.contract)
    if (!contract) continue
    lookedAt += rangesSize(tranche.tasks)
    const runs = lookedAt > lookedAtMax ? [] : runningOf(turn, tranche, contract)
    running.push(...runs)
    const count = tranche.open - runs.length
    const { walltimeSeconds: each } = contract
    if (count > 0) waiting.push({ ...needOf(contract), count, walltimeSeconds: each })
  }
  const free = { ...othersLeave(turn) }
  for (const used of running) {
    free.cores -= used.cores
    free.memoryMib -= used.memoryMib
  }
  const coresTotal = view.get('capacity', 'own')?.coresTotal ?? 0
  return secondsUntilStart(
    { free, running, waiting, coresTotal }, { cores, memoryMib, walltimeSeconds })
}

function openTranches({ view }: Turn): HostTranche[] {
  const open: HostTranche[] = []
  for (const [, tranche] of view.entries('hostTranches')) if (tranche.open > 0) open.push(tranche)
  return open.sort((a, b) => a.takenEpochMs - b.takenEpochMs || compareBytes(a.id, b.id))
}

function runningOf({ view, now }: Turn, tranche: HostTranche, contract: HostContract): Running[] {
  const running: Running[] = []
  for (const task of rangesValues(tranche.tasks)) {
    const known = view.get('hostTasks', taskKey(tranche.id, task))
    if (known?.state !== 'running') continue
    const ranSeconds = Math.floor((now - known.seenEpochMs) / 1000)
    const secondsLeft = Math.max(1, contract.walltimeSeconds - ranSeconds)
    running.push({ ...needOf(contract), secondsLeft })
  }
  return running
}

/** Slots that are bid or kept free: as if what they are for had begun. */
function kept({ view, now }: Turn): Running[] {
  const slots: Running[] = []
  const keep = (count: number, need: TaskNeed, secondsLeft: number): void => {
    if (count <= 0) return
    const [cores, memoryMib] = [count * need.cores, count * need.memoryMib]
    slots.push({ cores, memoryMib, secondsLeft })
  }
  for (const [, bid] of view.entries('openBids')) {
    if (bid.expiresEpochMs > now) keep(bid.slots, needOf(bid), bid.walltimeSeconds)
  }
  for (const [, contract] of view.entries('hostContracts')) {
    const idle = contract.open && contract.reservedUntilEpochMs > now
    if (!idle) continue
    keep(contract.kept - contract.outstanding, needOf(contract), contract.walltimeSeconds)
  }
  return slots
}

function needOf({ cores, memoryMib }: TaskNeed): TaskNeed {
  return { cores, memoryMib }
}
