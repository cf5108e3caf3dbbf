// The home's view of a job from submit to its final state. A task is waiting, committed to one
// host, or over; a job ends when no task is waiting or committed, and says how.
//
// [JOB-6] The same signed note again is the same job. [JOB-7] A job that nobody can run waits, is tried
// again with growing pauses, and expires when nothing was placed for `start_within_seconds`.

import { clip } from '../base/clip.ts'
import { compareBytes } from '../base/ids.ts'
import type { ContractId, JobId, SiteName } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import { addRanges, emptyRanges, rangesSize, rangesValues } from '../base/ranges.ts'
import type { Ranges } from '../base/ranges.ts'
import { microcredits, zeroMicrocredits } from '../base/units.ts'
import type { Microcredits } from '../base/units.ts'
import { tasksToCommit } from '../rules/contract.ts'
import type { JobDocument } from '../rules/job.ts'
import type { EventOf } from './events.ts'
import { openAuction } from './home-auction.ts'
import { commitTasks, stopTranches } from './home-tranches.ts'
import { answer } from './peers.ts'
import type { HomeContract, HomeTask, Job } from './state.ts'
import { auctionKey, taskKey } from './state.ts'
import type { Turn } from './turn.ts'
import { isUp, sendBehind, setTimer } from './turn.ts'


export function onJobSubmitted(turn: Turn, event: EventOf<'jobSubmitted'>): void {
  const { view, now } = turn
  const { job: signed, request } = event
  const known = view.get('jobs', signed.id)
  if (known) {
    if (known.sid !== signed.sid) {
      const detail = `job ${signed.id} is another job; submit again`
      return answer(turn, request, { kind: 'refused', code: 'id_taken', detail })
    }
    return answer(turn, request, { kind: 'submitted', job: signed.id, already: true })
  }
  const most = turn.self.jobsOpenMax
  if (openJobs(turn) >= most) {
    const detail = `${most} jobs are open at this site; wait until some have ended`
    return answer(turn, request, { kind: 'refused', code: 'too_many_jobs', detail })
  }
  // Nothing below can fail.
  const { document, note } = signed
  view.put('jobNotes', signed.id, { note, document })
  view.put('jobs', signed.id, {
    id: signed.id,
    sid: signed.sid,
    name: document.name,
    user: document.user,
    submittedEpochMs: now,
    total: rangesSize(signed.tasks),
    waiting: signed.tasks,
    done: 0,
    failed: 0,
    cancelled: 0,
    spent: zeroMicrocredits,
    reserved: zeroMicrocredits,
    round: 0,
    idleRounds: 0,
    lastProgressEpochMs: now,
    contracts: [],
    state: { kind: 'open' },
    note: 'waiting for its first auction',
  })
  answer(turn, request, { kind: 'submitted', job: signed.id, already: false })
  openAuction(turn, signed.id)
}

function openJobs(turn: Turn): number {
  let open = 0
  for (const [, job] of turn.view.entries('jobs')) if (job.state.kind !== 'ended') open++
  return open
}

export function documentOf(turn: Turn, job: JobId): JobDocument {
  return turn.view.get('jobNotes', job)!.document
}

export function changeJob(turn: Turn, id: JobId, change: Partial<Job>): Job | undefined {
  const job = turn.view.get('jobs', id)
  if (!job) return undefined
  const changed = { ...job, ...change }
  turn.view.put('jobs', id, changed)
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

/**
 * At the end of a step, for each job that was marked: its waiting tasks flow to the slots that are
 * open now; contracts that are not needed are closed, the next round is planned, or the job ends.
 */
export function place(turn: Turn): void {
  for (const id of turn.toPlace) {
    refill(turn, id)
    afterCommit(turn, id)
  }
  turn.toPlace.clear()
}

/** Late binding: a task goes where a slot is open first. */
function refill(turn: Turn, id: JobId): void {
  const job = turn.view.get('jobs', id)
  if (job?.state.kind !== 'open') return
  const contracts = openContracts(turn, job)
  const slotsOf = (contract: HomeContract): number => contract.slots + contract.queueSlots
  const all = contracts.reduce((sum, contract) => sum + slotsOf(contract), 0)
  for (const contract of contracts) {
    if (!isUp(turn, contract.host)) continue
    const now = turn.view.get('jobs', id)!
    const count = Math.min(tasksToCommit({
      waiting: rangesSize(now.waiting),
      outstanding: contract.outstanding,
      room: contract,
      slotsElsewhere: all - slotsOf(contract),
    }), atOnceLeft(turn, now))
    if (count > 0) commitTasks(turn, contract.id, count)
  }
}

/** How many more tasks may run at once by the job's own limit. */
export function atOnceLeft(turn: Turn, job: Job): number {
  const limit = documentOf(turn, job.id).tasks_at_once
  if (limit === 0) return limits.tasksPerJob
  const over = job.done + job.failed + job.cancelled + rangesSize(job.waiting)
  return Math.max(0, limit - (job.total - over))
}

/** Whatever changed: close what is not needed, plan the next round, or end. */
function afterCommit(turn: Turn, id: JobId): void {
  const job = turn.view.get('jobs', id)
  if (!job || job.state.kind === 'ended') return
  if (rangesSize(job.waiting) === 0) {
    for (const contract of openContracts(turn, job)) closeContract(turn, contract)
    setTimer(turn, `round/${id}`, undefined)
  } else if (job.state.kind === 'open' && !runningAuction(turn, job)) {
    planRound(turn, job)
  }
  endIfOver(turn, id)
}

export function runningAuction(turn: Turn, job: Job): boolean {
  const auction = turn.view.get('auctions', auctionKey(job.id, job.round))
  return auction !== undefined && auction.closedEpochMs === 0
}

/** Rounds that place nothing come at growing distances; one is planned at any time. */
function planRound(turn: Turn, job: Job): void {
  const { roundRetryMsMin, roundRetryMsMax } = turn.self.market
  const growth = 2 ** Math.min(16, Math.max(0, job.idleRounds - 1))
  const wait = Math.min(roundRetryMsMax, roundRetryMsMin * growth)
  const planned = turn.view.get('timers', `round/${job.id}`)
  const at = turn.now + wait
  if (planned === undefined || planned > at) setTimer(turn, `round/${job.id}`, at)
}

/** A site has room, or came back: jobs that wait for one are tried again soon, a few at a time. */
export function roundsSoon(turn: Turn): void {
  const soon = turn.now + Math.min(200, turn.self.market.roundRetryMsMin)
  const waiting: Job[] = []
  for (const [, job] of turn.view.entries('jobs')) {
    if (job.state.kind === 'open' && rangesSize(job.waiting) > 0) waiting.push(job)
  }
  waiting.sort((a, b) => a.submittedEpochMs - b.submittedEpochMs || compareBytes(a.id, b.id))
  for (const job of waiting.slice(0, 16)) {
    const planned = turn.view.get('timers', `round/${job.id}`)
    if (planned !== undefined && planned > soon) setTimer(turn, `round/${job.id}`, soon)
  }
}

export function onRoundDue(turn: Turn, id: JobId): void {
  const job = turn.view.get('jobs', id)
  if (job?.state.kind !== 'open' || rangesSize(job.waiting) === 0) return
  if (runningAuction(turn, job)) return
  const patience = documentOf(turn, id).start_within_seconds * 1000
  // Also results that are still on their way are progress to wait for.
  const over = job.done + job.failed + job.cancelled
  const stuck = over + rangesSize(job.waiting) === job.total
  if (stuck && turn.now - job.lastProgressEpochMs >= patience) return expire(turn, job)
  if (openContracts(turn, job).length > 0) {
    // Money or slots may have come free since an open contract was last looked at.
    refill(turn, id)
    const now = turn.view.get('jobs', id)
    if (now?.state.kind !== 'open' || rangesSize(now.waiting) === 0) return
  }
  openAuction(turn, id)
}

function expire(turn: Turn, job: Job): void {
  const note = `nothing could be placed for ${documentOf(turn, job.id).start_within_seconds} s; ` +
    `the last round: ${job.note}`
  dropWaiting(turn, job, clip(`expired: ${job.note}`, 500))
  const left = changeJob(turn, job.id, { note })
  if (left) end(turn, left, 'expired')
}

/** Waiting tasks are over without having been placed. */
function dropWaiting(turn: Turn, job: Job, detail: string): void {
  for (const task of rangesValues(job.waiting)) {
    const known = turn.view.get('homeTasks', taskKey(job.id, task))
    if (known) {
      const over: HomeTask = { ...known, state: 'cancelled', detail }
      turn.view.put('homeTasks', taskKey(job.id, task), over)
    }
  }
  const cancelled = job.cancelled + rangesSize(job.waiting)
  changeJob(turn, job.id, { waiting: emptyRanges, cancelled })
}

export function onCancelRequested(turn: Turn, event: EventOf<'cancelRequested'>): void {
  const job = turn.view.get('jobs', event.job)
  if (!job) {
    const detail = `no job ${event.job} at this site`
    return answer(turn, event.request, { kind: 'refused', code: 'not_found', detail })
  }
  if (job.state.kind === 'open') {
    const note = 'being cancelled: waiting for the hosts to stop'
    changeJob(turn, job.id, { state: { kind: 'cancelling' }, note })
    dropWaiting(turn, turn.view.get('jobs', job.id)!, 'cancelled before it was placed')
    stopTranches(turn, job)
    turn.toPlace.add(job.id)
  }
  answer(turn, event.request, { kind: 'done', detail: 'cancelled' })
}

/**
 * Tasks that no host will finish: placed again, unless they were tried too often or the job is
 * over.
 */
export function placeAgain(turn: Turn, id: JobId, tasks: Ranges, detail: string): void {
  const again: [number, number][] = []
  let [failed, cancelled] = [0, 0]
  const job = turn.view.get('jobs', id)
  if (!job) return
  for (const task of rangesValues(tasks)) {
    const known = turn.view.get('homeTasks', taskKey(id, task))
    if (!known || isOver(known)) continue
    const attempts = known.attempts
    const over = job.state.kind !== 'open' ? 'cancelled'
      : attempts >= limits.taskAttempts ? 'failed' : 'waiting'
    if (over === 'waiting') again.push([task, task])
    else if (over === 'failed') failed++
    else cancelled++
    const why = over === 'failed' ? `gave up after ${attempts} attempts: ${detail}` : detail
    const left = withoutTree(known)
    turn.view.put('homeTasks', taskKey(id, task), { ...left, state: over, detail: why })
  }
  changeJob(turn, id, {
    waiting: addRanges(job.waiting, again),
    failed: job.failed + failed,
    cancelled: job.cancelled + cancelled,
  })
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

function endIfOver(turn: Turn, id: JobId): void {
  const job = turn.view.get('jobs', id)
  if (!job || job.state.kind === 'ended') return
  if (job.done + job.failed + job.cancelled < job.total) return
  end(turn, job, job.state.kind === 'cancelling' ? 'cancelled' : job.failed > 0 ? 'failed'
    : job.cancelled > 0 ? 'cancelled' : 'done')
}

function end(turn: Turn, job: Job, how: 'done' | 'failed' | 'cancelled' | 'expired'): void {
  for (const contract of openContracts(turn, job)) closeContract(turn, contract)
  const note = how === 'expired' ? job.note : summaryOf(job)
  changeJob(turn, job.id, { state: { kind: 'ended', how, epochMs: turn.now }, note })
  setTimer(turn, `round/${job.id}`, undefined)
  setTimer(turn, `forget/${job.id}`, forgetAt(turn))
  turn.effects.push({ kind: 'releaseInputs', job: job.id })
}

function summaryOf(job: Job): string {
  const parts = [`${job.done} of ${job.total} tasks done`]
  if (job.failed > 0) parts.push(`${job.failed} failed`)
  if (job.cancelled > 0) parts.push(`${job.cancelled} cancelled`)
  return parts.join(', ')
}

/** How long an ended job is remembered, and its results kept, is the administrator's to say. */
function forgetAt({ now, self }: Turn): number {
  return now + self.keepResultsSeconds * 1000
}

/** Long after its end a job's records go, and its results; what it cost stays on the ledger. */
export function onForget(turn: Turn, id: JobId): void {
  const { view } = turn
  const job = view.get('jobs', id)
  if (job?.state.kind !== 'ended') return
  const unsettled = job.contracts.some((contract) =>
    (view.get('homeContracts', contract)?.tranches.length ?? 0) > 0)
  if (unsettled) return setTimer(turn, `forget/${id}`, forgetAt(turn))
  for (const [key, task] of view.entries('homeTasks')) {
    if (task.job === id) view.remove('homeTasks', key)
  }
  for (const [key, auction] of view.entries('auctions')) {
    if (auction.job !== id) continue
    view.remove('auctions', key)
    view.remove('auctionKeys', auction.id)
  }
  for (const contract of job.contracts) forgetContract(turn, contract)
  view.remove('jobNotes', id)
  view.remove('jobs', id)
  turn.effects.push({ kind: 'releaseInputs', job: id })
}

function forgetContract(turn: Turn, id: ContractId): void {
  for (const [key, tranche] of turn.view.entries('homeTranches')) {
    if (tranche.contract === id) turn.view.remove('homeTranches', key)
  }
  turn.view.remove('homeContracts', id)
}

/** Every job with work at a host that is reachable again gets its tasks going. */
export function onHostUp(turn: Turn, host: SiteName): void {
  for (const [, contract] of turn.view.entries('homeContracts')) {
    if (contract.host === host && contract.open) turn.toPlace.add(contract.job)
  }
  roundsSoon(turn)
}
