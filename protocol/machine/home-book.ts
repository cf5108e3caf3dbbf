// The home's records and the small changes that everything at the home makes of them: a job, its
// contracts, its tasks. Nothing here decides where work goes.
//
// [JOB-10] A task that has started, of a job with `rerun` 0, is not started again.

import type { JobId, SiteName } from '../base/ids.ts'
import { compareBytes } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { Ranges } from '../base/ranges.ts'
import {
  addRanges, commonRanges, emptyRanges, rangesHave, rangesSize, rangesValues, subtractRanges,
} from '../base/ranges.ts'
import type { Microcredits } from '../base/units.ts'
import { clampMicrocredits, microcredits, zeroMicrocredits } from '../base/units.ts'
import type { JobDocument } from '../rules/job.ts'
import type { GrantRecord } from '../rules/ledger-book.ts'
import { account } from '../rules/ledger-book.ts'
import { creditLimit, exposure } from '../rules/ledger.ts'
import { freeOf, grantNamed, openPair } from './home-grants.ts'
import { countJob, queueRoom } from './home-queue.ts'
import { documentNow, sortOut } from './job-orders.ts'
import type { HomeContract, HomeTask, Job, ReportedUsage } from './state.ts'
import { auctionKey, taskKey } from './state.ts'
import type { Turn } from './turn.ts'
import { sendBehind } from './turn.ts'

/** What we may still owe a site, with our unanswered holds counted too. */
export function creditLeft(turn: Turn, host: SiteName): Microcredits {
  const { view, self } = turn
  const asked = account(view, host, self.site).asked
  // What its host makes of limit and balance may be more than an amount can say.
  const left = creditLimit(view, host, self.site) - exposure(view, host, self.site) - asked
  return clampMicrocredits(left > 0n ? left : 0n)
}

/** The allocation that pays for a job elsewhere; undefined when the home's own credit does. */
export function allocationOf(turn: Turn, id: JobId): GrantRecord | undefined {
  const { allocation } = documentOf(turn, id)
  return allocation === undefined ? undefined : grantNamed(turn, allocation)
}

/** What a job can still pay at a host: from its allocation, else on our credit there. */
export function payableAt(turn: Turn, id: JobId, host: SiteName): Microcredits {
  if (documentOf(turn, id).allocation === undefined) return creditLeft(turn, host)
  const grant = openPair(turn) === undefined ? allocationOf(turn, id) : undefined
  return grant ? freeOf(grant) : zeroMicrocredits
}

export const nothingReported: ReportedUsage = { ended: emptyRanges, tasks: 0, core_s: 0, gib_s: 0 }

/** As its owner wants it now: signed, and altered since. */
export function documentOf(turn: Turn, job: JobId): JobDocument {
  return documentNow(turn.view, job)!
}

export function changeJob(turn: Turn, id: JobId, change: Partial<Job>): Job | undefined {
  const job = turn.view.get('jobs', id)
  if (!job) return undefined
  const changed = { ...job, ...change }
  turn.view.put('jobs', id, changed)
  countJob(turn, job, changed)
  if (!turn.effects.some((effect) => effect.kind === 'jobChanged' && effect.job === id)) {
    turn.effects.push({ kind: 'jobChanged', job: id })
  }
  return changed
}

export function budgetLeft(turn: Turn, job: Job): Microcredits {
  const left = documentOf(turn, job.id).budget - job.spent - job.reserved
  return microcredits(left > 0n ? left : 0n)
}

/** Contracts of a job that still take tasks, by site. */
export function openContracts(turn: Turn, job: Job): HomeContract[] {
  return job.contracts
    .map((id) => turn.view.get('homeContracts', id))
    .filter((contract): contract is HomeContract => contract?.open === true)
    .sort((a, b) => compareBytes(a.host, b.host))
}

/** How many more tasks may run at once by the job's own limit and those of its queue. */
export function atOnceLeft(turn: Turn, job: Job): number {
  const room = queueRoom(turn, job).tasks
  const limit = documentOf(turn, job.id).tasks_at_once
  if (limit === 0) return room
  const over = job.done + job.failed + job.cancelled + rangesSize(unplaced(job))
  return Math.max(0, Math.min(room, limit - (job.total - over)))
}

export function runningAuction(turn: Turn, job: Job): boolean {
  const auction = turn.view.get('auctions', auctionKey(job.id, job.round))
  return auction !== undefined && auction.closedEpochMs === 0
}

/** Tasks that no host has. */
export function unplaced(job: Job): Ranges {
  return addRanges(job.waiting, job.parked)
}

/** Tasks that no host has are over without having been placed; all of them, or these. */
export function dropWaiting(turn: Turn, job: Job, detail: string, tasks = unplaced(job)): void {
  for (const task of rangesValues(tasks)) {
    const known = turn.view.get('homeTasks', taskKey(job.id, task))
    if (known) {
      const over: HomeTask = { ...known, state: 'cancelled', detail }
      turn.view.put('homeTasks', taskKey(job.id, task), over)
    }
  }
  changeJob(turn, job.id, {
    waiting: subtractRanges(job.waiting, tasks),
    parked: subtractRanges(job.parked, tasks),
    cancelled: job.cancelled + rangesSize(tasks),
  })
}

/**
 * Tasks that no host will finish: placed again, unless they were tried too often or the job is
 * over.
 */
export function placeAgain(turn: Turn, id: JobId, tasks: Ranges, detail: string): void {
  const again: [number, number][] = []
  let [failed, cancelled] = [0, 0]
  const job = turn.view.get('jobs', id)
  const orders = turn.view.get('jobOrders', id)
  if (!job) return
  for (const task of rangesValues(tasks)) {
    const known = turn.view.get('homeTasks', taskKey(id, task))
    if (!known || isOver(known)) continue
    // [RUN-8] What its owner asked for is no failed attempt.
    const isAsked = orders !== undefined && rangesHave(orders.again, task)
    const attempts = Math.max(0, known.attempts - (isAsked ? 1 : 0))
    const isDropped = orders !== undefined && rangesHave(orders.dropped, task)
    const over = job.state.kind !== 'open' || isDropped ? 'cancelled'
      : attempts >= limits.taskAttempts || mayNotRunAgain(turn, known) ? 'failed' : 'waiting'
    if (over === 'waiting') again.push([task, task])
    else if (over === 'failed') failed++
    else cancelled++
    const why = over !== 'failed' ? detail
      : mayNotRunAgain(turn, known) ? `it has run, and may not be run again: ${detail}`
      : `gave up after ${attempts} attempts: ${detail}`
    const left = { ...withoutTree(known), attempts }
    turn.view.put('homeTasks', taskKey(id, task), { ...left, state: over, detail: why })
  }
  if (orders && rangesSize(commonRanges(orders.again, tasks)) > 0) {
    const open = subtractRanges(orders.again, tasks)
    turn.view.put('jobOrders', id, { ...orders, again: open })
  }
  const { free, parked } = sortOut(orders, again)
  changeJob(turn, id, {
    waiting: addRanges(job.waiting, free),
    parked: addRanges(job.parked, parked),
    failed: job.failed + failed,
    cancelled: job.cancelled + cancelled,
  })
}

/** [JOB-10] */
function mayNotRunAgain(turn: Turn, { job, report }: HomeTask): boolean {
  return documentOf(turn, job).rerun === 0 && (report?.started_ms ?? 0) > 0
}

/** What it left is not here, and will not come: nobody may look for it. */
export function withoutTree(task: HomeTask): HomeTask {
  return task.report ? { ...task, report: { ...task.report, tree: '' } } : task
}

export function isOver(task: HomeTask): boolean {
  return task.state === 'done' || task.state === 'failed' || task.state === 'cancelled'
}

export function closeContract(turn: Turn, contract: HomeContract): void {
  if (!contract.open) return
  turn.view.put('homeContracts', contract.id, { ...contract, open: false })
  sendBehind(turn, contract.host, { kind: 'contract_closed', contract: contract.id })
}
