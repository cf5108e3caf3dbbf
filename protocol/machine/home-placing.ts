// Where a job's waiting tasks go next, looked at once at the end of each step for every job that
// was marked (`turn.toPlace`): to open slots, to the next round, or nowhere because the job is
// over.
//
// [JOB-7] A job that nobody can run waits, is tried again with growing pauses, and expires when
//   nothing was placed for `start_within_seconds`.

import { clip } from '../base/clip.ts'
import type { JobId, SiteName } from '../base/ids.ts'
import { rangesSize } from '../base/ranges.ts'
import { tasksToCommit } from '../rules/contract.ts'
import { openAuction } from './home-auction.ts'
import {
  atOnceLeft, changeJob, closeContract, documentOf, dropWaiting, openContracts, runningAuction,
} from './home-book.ts'
import { goesFirst, inOrder, queueRoom } from './home-queue.ts'
import { isBrief, sharedOut } from './home-shares.ts'
import { commitTasks } from './home-tranches.ts'
import { settleWaits, wakeChildren } from './home-waiting.ts'
import type { HomeContract, Job } from './state.ts'
import type { Turn } from './turn.ts'
import { setTimer } from './turn.ts'

/**
 * At the end of a step, for each job that was marked: its waiting tasks flow to the slots that are
 * open now; contracts that are not needed are closed, the next round is planned, or the job ends.
 */
export function placeMarked(turn: Turn): void {
  for (const id of turn.toPlace) {
    settleWaits(turn, id)
    refill(turn, id)
    afterCommit(turn, id)
    wakeChildren(turn, id)
  }
  turn.toPlace.clear()
  // Room that one job leaves is for the best that waits.
  if (turn.freedQueues.size > 0) roundsSoon(turn)
}

/** Late binding: a task goes where a slot is open first, unless it would end sooner elsewhere. */
function refill(turn: Turn, id: JobId): void {
  const job = turn.view.get('jobs', id)
  if (job?.state.kind !== 'open' || rangesSize(job.waiting) === 0) return
  const contracts = openContracts(turn, job)
  const slotsOf = (contract: HomeContract): number => contract.slots + contract.queueSlots
  const all = contracts.reduce((sum, contract) => sum + slotsOf(contract), 0)
  const brief = isBrief(turn, job)
  const room = (contract: HomeContract, waiting: number): number => tasksToCommit({
    waiting,
    outstanding: contract.outstanding,
    room: contract,
    slotsElsewhere: all - slotsOf(contract),
    brief,
  })
  // Most reports leave room nowhere.
  if (contracts.every((contract) => room(contract, rangesSize(job.waiting)) === 0)) return
  for (const { contract, share } of sharedOut(turn, job, contracts)) {
    const now = turn.view.get('jobs', id)!
    const wanted = room(contract, rangesSize(now.waiting))
    const count = Math.min(wanted, atOnceLeft(turn, now), share)
    if (count > 0) commitTasks(turn, contract.id, count)
  }
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
  inOrder(turn, waiting).slice(0, 16).forEach((job, place) => {
    const planned = turn.view.get('timers', `round/${job.id}`)
    // One after the other: what the first takes the next does not find.
    const at = soon + place
    if (planned !== undefined && planned > at) setTimer(turn, `round/${job.id}`, at)
  })
}

export function onRoundDue(turn: Turn, id: JobId): void {
  const job = turn.view.get('jobs', id)
  if (job?.state.kind !== 'open' || rangesSize(job.waiting) === 0) return
  if (runningAuction(turn, job) || waitsForQueue(turn, job)) return
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

/**
 * [QUEUE-5] Its queue has no room, or a better job goes first: looked at again when there may be,
 * and its patience is not used up by it.
 */
export function waitsForQueue(turn: Turn, job: Job): boolean {
  const room = queueRoom(turn, job)
  const first = room.tasks > 0 ? goesFirst(turn, job) : undefined
  if (room.tasks > 0 && !first) return false
  const { roundRetryMsMin, roundRetryMsMax } = turn.self.market
  const note = first ? `job ${first.id} of the same queue goes first` : room.why
  changeJob(turn, job.id, {
    lastProgressEpochMs: turn.now, ...(openContracts(turn, job).length === 0 && { note }),
  })
  const until = room.untilEpochMs ?? turn.now + (first ? roundRetryMsMin : roundRetryMsMax)
  setTimer(turn, `round/${job.id}`, until)
  if (first) setTimer(turn, `round/${first.id}`, turn.now)
  return true
}

function expire(turn: Turn, job: Job): void {
  const note = `nothing could be placed for ${documentOf(turn, job.id).start_within_seconds} s; ` +
    `the last round: ${job.note}`
  dropWaiting(turn, job, clip(`expired: ${job.note}`, 500))
  const left = changeJob(turn, job.id, { note })
  if (left) end(turn, left, 'expired')
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
  const note = how === 'expired' ? job.note : summaryOf(turn, job)
  changeJob(turn, job.id, { state: { kind: 'ended', how, epochMs: turn.now }, note })
  setTimer(turn, `round/${job.id}`, undefined)
  setTimer(turn, `wait/${job.id}`, undefined)
  wakeChildren(turn, job.id)
  setTimer(turn, `forget/${job.id}`, forgetAt(turn))
  turn.effects.push({ kind: 'releaseInputs', job: job.id })
}

function summaryOf(turn: Turn, job: Job): string {
  const tasks = job.total === 1 ? 'task' : 'tasks'
  const parts = [`${job.done} of ${job.total} ${tasks} done`]
  if (job.failed > 0) parts.push(`${job.failed} failed`)
  if (job.cancelled > 0) parts.push(`${job.cancelled} cancelled`)
  const words = job.cancelled > 0 ? turn.view.get('jobOrders', job.id)?.words ?? '' : ''
  return words === '' ? parts.join(', ') : clip(`${parts.join(', ')}: ${words}`, 500)
}

/** How long an ended job is remembered, and its results kept, is the administrator's to say. */
export function forgetAt({ now, self }: Turn): number {
  return now + self.keepResultsSeconds * 1000
}

/** Every job with work at a host that is reachable again gets its tasks going. */
export function onHostUp(turn: Turn, host: SiteName): void {
  for (const [, contract] of turn.view.entries('homeContracts')) {
    if (contract.host === host && contract.open) turn.toPlace.add(contract.job)
  }
  roundsSoon(turn)
}
