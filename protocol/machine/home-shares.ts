// What a home knows of the pace of its hosts, and how it shares out waiting tasks by it: for each
// task that runs there since when, for each host how long its tasks took so far.
//
// [AWARD-5] No host gets more of the waiting tasks than would end there by the earliest time at
//   which all could have ended; `cheapest` jobs wait for no faster host.

import type { ContractId } from '../base/ids.ts'
import { compareBytes } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import { rangesSize, rangesValues } from '../base/ranges.ts'
import type { Lanes } from '../rules/late-binding.ts'
import { lanesOf, sharesOf } from '../rules/late-binding.ts'
import type { TaskReport } from '../rules/run.ts'
import { outboxFull } from './delivery.ts'
import { atOnceLeft, documentOf } from './home-book.ts'
import { affordable } from './home-tranches.ts'
import { apartFrom } from './speech.ts'
import type { HomeContract, Job } from './state.ts'
import { taskKey } from './state.ts'
import type { Turn } from './turn.ts'
import { isUp } from './turn.ts'

/** So many tasks are looked at one by one; what is beyond counts as waiting there. */
const lookedAtMax = 2_000
const briefMsMax = 60_000

/** A task is done: how long it ran counts for those that come. */
export function noteRan(turn: Turn, id: ContractId, { started_ms, ended_ms }: TaskReport): void {
  const contract = turn.view.get('homeContracts', id)
  const job = contract && turn.view.get('jobNotes', contract.job)
  if (!contract || !job) return
  const most = job.document.walltime_seconds * 1000
  const ms = Math.min(most, Math.max(1, ended_ms - started_ms))
  const { ran } = contract
  turn.view.put('homeContracts', id, {
    ...contract, ran: { tasks: ran.tasks + 1, ms: ran.ms + ms },
  })
}

export interface Shared {
  readonly contract: HomeContract
  /** At most so many of the waiting tasks. */
  readonly share: number
}

/** The contracts that can be given tasks now, by the job's policy the best first. */
export function sharedOut(
  turn: Turn, job: Job, contracts: readonly HomeContract[],
): Shared[] {
  const { policy } = documentOf(turn, job.id)
  const able = contracts.filter((contract) => canTake(turn, contract, job))
  const paces = new Map(able.map((one) => [one.id, paceOf(turn, job, one)]))
  const pace = ({ id }: HomeContract): number => paces.get(id)!
  const price = ({ taskCap: left }: HomeContract, { taskCap: right }: HomeContract): number =>
    left < right ? -1 : left > right ? 1 : 0
  const cost = (one: HomeContract): bigint => (one.taskCap + 1n) * BigInt(pace(one))
  const byPolicy = (a: HomeContract, b: HomeContract): number => {
    const [time, money] = [pace(a) - pace(b), price(a, b)]
    if (policy === 'cheapest') return money || time
    const both = cost(a) < cost(b) ? -1 : cost(a) > cost(b) ? 1 : 0
    return policy === 'soonest' ? time || money : both || time
  }
  able.sort((a, b) => byPolicy(a, b) || compareBytes(a.host, b.host))
  const waiting = Math.min(rangesSize(job.waiting), atOnceLeft(turn, job))
  if (policy === 'cheapest') return able.map((contract) => ({ contract, share: waiting }))
  const shares = sharesOf(waiting, able.map((one) => lanesOfContract(turn, one, pace(one))))
  return able.map((contract, at) => ({ contract, share: shares[at]! }))
}

/** Who can take nothing must not have tasks kept for it. */
function canTake(turn: Turn, contract: HomeContract, job: Job): boolean {
  const { host, sid } = contract
  if (!isUp(turn, host) || outboxFull(turn, host)) return false
  if (sid !== '' && apartFrom(turn, host) !== undefined) return false
  return affordable(turn, contract, job) > 0
}

/** By those that are done, its tasks take little longer than a round trip and staging. */
export function isBrief(turn: Turn, job: Job): boolean {
  const { tasks, referenceMs } = ranSoFar(turn, job)
  return tasks > 0n && referenceMs <= tasks * BigInt(briefMsMax) * 1000n
}

function ranSoFar(turn: Turn, job: Job): { tasks: bigint; referenceMs: bigint } {
  let [tasks, referenceMs] = [0n, 0n]
  for (const id of job.contracts) {
    const contract = turn.view.get('homeContracts', id)
    if (!contract) continue
    tasks += BigInt(contract.ran.tasks)
    referenceMs += BigInt(contract.ran.ms) * BigInt(contract.speedPermille)
  }
  return { tasks, referenceMs }
}

/**
 * How long a task takes at a host: the mean of those that it has done; else that of all hosts, at
 * its speed; else the walltime, which is for the reference core.
 */
export function paceOf(
  turn: Turn, job: Job, { ran, speedPermille }: Pick<HomeContract, 'ran' | 'speedPermille'>,
): number {
  if (ran.tasks > 0) return Math.max(1, Math.floor(ran.ms / ran.tasks))
  const { tasks, referenceMs } = ranSoFar(turn, job)
  const walltimeMs = documentOf(turn, job.id).walltime_seconds * 1000
  const ms = tasks > 0n ? Number(referenceMs / tasks) : walltimeMs * 1000
  return Math.max(1, Math.floor(ms / speedPermille))
}

function lanesOfContract(turn: Turn, contract: HomeContract, taskMs: number): Lanes {
  const { view, now } = turn
  const ranMs: number[] = []
  let lookedAt = 0
  for (const id of contract.tranches) {
    const tranche = view.get('homeTranches', id)
    if (!tranche || lookedAt > lookedAtMax) continue
    lookedAt += rangesSize(tranche.open)
    for (const task of rangesValues(tranche.open)) {
      const known = view.get('homeTasks', taskKey(tranche.job, task))
      if (known?.tranche !== id || known.state !== 'running') continue
      ranMs.push(now - (known.runsSinceEpochMs ?? now))
    }
  }
  const queued = Math.max(0, contract.outstanding - ranMs.length)
  const slots = Math.min(contract.slots, limits.tasksPerTranche)
  return lanesOf({ slots, ranMs, queued, taskMs })
}
