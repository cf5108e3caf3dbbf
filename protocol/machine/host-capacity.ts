// What a host has left to promise. The scheduler's free cores are an observation that lags; what we
// have committed is known at once, so free = what others leave us, minus all of ours that has not
// ended.

import { limits } from '../base/limits.ts'
import type { View } from '../base/tables.ts'
import type { Holdings } from '../rules/needs.ts'
import type { CapacityRecord, CoreTables, HostContract } from './state.ts'
import type { Turn } from './turn.ts'

export interface Committed {
  readonly cores: number
  readonly memoryMib: number
  readonly bids: number
}

interface Load {
  cores: number
  memoryMib: number
}

/** Ours by the scheduler's last look: what it counts as used although it is ours. */
function seenRunning(view: View<CoreTables>): Load {
  const seen: Load = { cores: 0, memoryMib: 0 }
  for (const [, contract] of view.entries('hostContracts')) {
    seen.cores += contract.running * contract.cores
    seen.memoryMib += contract.running * contract.memoryMib
  }
  return seen
}

/** Open bids, tasks that have not ended, and idle slots of open contracts. */
export function committed(turn: Turn): Committed {
  const { view, now } = turn
  let [cores, memoryMib, bids] = [0, 0, 0]
  for (const [, bid] of view.entries('openBids')) {
    if (bid.expiresEpochMs <= now) continue
    bids++
    cores += bid.slots * bid.cores
    memoryMib += bid.slots * bid.memoryMib
  }
  for (const [, contract] of view.entries('hostContracts')) {
    const idle = contract.open && contract.reservedUntilEpochMs > now ? contract.kept : 0
    const tasks = Math.max(contract.outstanding, idle)
    cores += tasks * contract.cores
    memoryMib += tasks * contract.memoryMib
  }
  return { cores, memoryMib, bids }
}

/** Cores that nobody uses and nobody was promised; negative when tasks already wait. */
export function coresLeft(turn: Turn): number {
  const capacity = turn.view.get('capacity', 'own')
  if (!capacity) return 0
  return othersLeave(turn).cores - committed(turn).cores
}

export function memoryLeft(turn: Turn): number {
  const capacity = turn.view.get('capacity', 'own')
  if (!capacity) return 0
  return othersLeave(turn).memoryMib - committed(turn).memoryMib
}

/** Free, plus what only our own tasks use. */
export function othersLeave(turn: Turn): Load {
  const capacity = turn.view.get('capacity', 'own')
  if (!capacity) return { cores: 0, memoryMib: 0 }
  const ours = seenRunning(turn.view)
  return {
    cores: Math.min(capacity.coresTotal, capacity.coresFree + ours.cores),
    memoryMib: Math.min(capacity.memoryMibTotal, capacity.memoryMibFree + ours.memoryMib),
  }
}

/** What the site has, as its own last look said. */
export function holdingsOf(capacity: CapacityRecord): Holdings {
  const { coresTotal, coresPerTaskMax, memoryMibPerTaskMax, more } = capacity
  return {
    coresTotal, coresPerTaskMax, memoryMibPerTaskMax,
    abilities: more?.abilities ?? [], nodesTotal: more?.nodesTotal ?? 1,
    gpusTotal: more?.gpusTotal ?? 0, licences: more?.licences ?? [],
  }
}

/**
 * As with cores: free, and ours that run, minus all of ours that are promised or have not ended.
 */
export function gpusLeft({ view, now }: Turn): number {
  const more = view.get('capacity', 'own')?.more
  if (!more) return 0
  let [running, promised] = [0, 0]
  for (const [, bid] of view.entries('openBids')) {
    if (bid.expiresEpochMs > now) promised += bid.slots * (bid.gpus ?? 0)
  }
  for (const [, contract] of view.entries('hostContracts')) {
    const { gpus = 0 } = contract
    const idle = contract.open && contract.reservedUntilEpochMs > now ? contract.kept : 0
    running += contract.running * gpus
    promised += Math.max(contract.outstanding, idle) * gpus
  }
  return Math.min(more.gpusTotal, more.gpusFree + running) - promised
}

/** By the config, or by an operator's word. */
export function isDraining({ view, self }: Turn): boolean {
  return self.draining || view.get('drained', 'own') !== undefined
}

/** Prices rise in proportion to the load, from 1000 when idle to the site's maximum when full. */
export function loadFactor(turn: Turn): number {
  const capacity = turn.view.get('capacity', 'own')
  const most = turn.self.tariff.loadFactorMaxPermille
  if (!capacity || capacity.coresTotal === 0) return 1_000
  const used = Math.min(capacity.coresTotal, Math.max(0, capacity.coresTotal - coresLeft(turn)))
  return 1_000 + Math.floor(((most - 1_000) * used) / capacity.coresTotal)
}

/** What one home can have us remember: who pays for one short task may bring a long script. */
export function jobFits(turn: Turn, contract: HostContract, note: string): boolean {
  const { view } = turn
  if (contract.home === turn.self.site || view.get('hostJobs', contract.id)) return true
  let size = note.length
  for (const [id, known] of view.entries('hostJobs')) {
    if (view.get('hostContracts', id)?.home === contract.home) size += known.note.length
  }
  return size <= limits.hostJobCharactersPerHome
}
