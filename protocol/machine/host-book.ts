// The host's records and the small changes that everything at the host makes of them.

import type { TrancheId } from '../base/ids.ts'
import { rangesValues, subtractRanges } from '../base/ranges.ts'
import type { TaskReport } from '../rules/run.ts'
import type { HostContract, HostTask, HostTranche } from './state.ts'
import { taskKey } from './state.ts'
import type { Turn } from './turn.ts'
import { setTimer } from './turn.ts'

export const retryMsMin = 2_000

/** What the home is told of a task. */
export function toldOf(task: HostTask): TaskReport {
  const { tranche: _, revision: __, seenEpochMs: ___, ...report } = task
  return report
}

export function leaseLives(turn: Turn, tranche: HostTranche): boolean {
  return tranche.directive === 'go' && turn.now < tranche.leaseUntilEpochMs
}

/** Every change gets a revision and is reported. */
export function changeTranche(turn: Turn, tranche: HostTranche): void {
  turn.view.put('hostTranches', tranche.id, { ...tranche, revision: tranche.revision + 1 })
  turn.toReport.add(tranche.id)
}

export function endTask(
  turn: Turn, tranche: TrancheId, task: number, change: Partial<TaskReport>,
): void {
  const known = turn.view.get('hostTasks', taskKey(tranche, task))
  const revision = (turn.view.get('hostTranches', tranche)?.revision ?? 0) + 1
  if (!known || known.state === 'ended') return
  turn.view.put('hostTasks', taskKey(tranche, task), { ...known, ...change, revision })
}

/** The home has heard how every task ended, and has what it left. */
export function resultsTaken(turn: Turn, tranche: HostTranche): boolean {
  for (const task of rangesValues(subtractRanges(tranche.tasks, tranche.taken))) {
    const known = turn.view.get('hostTasks', taskKey(tranche.id, task))
    if (known && (known.tree !== '' || known.revision > tranche.ackedRevision)) return false
  }
  return true
}

export function releaseSlots(
  turn: Turn, id: HostContract['id'], ended: number, ran: number,
): void {
  const contract = turn.view.get('hostContracts', id)
  if (!contract) return
  turn.view.put('hostContracts', id, {
    ...contract,
    outstanding: contract.outstanding - ended,
    running: contract.running - ran,
  })
}

export function forgetContract(turn: Turn, id: HostContract['id']): void {
  turn.view.remove('hostContracts', id)
  turn.view.remove('hostJobs', id)
  setTimer(turn, `idle/${id}`, undefined)
}
