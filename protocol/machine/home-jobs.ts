// A job at its home from outside: handed in, cancelled, and long after its end forgotten.
//
// [JOB-6] The same signed note again is the same job.

import type { ContractId, JobId } from '../base/ids.ts'
import { emptyRanges, rangesSize } from '../base/ranges.ts'
import { zeroMicrocredits } from '../base/units.ts'
import type { EventOf } from './events.ts'
import { openAuction } from './home-auction.ts'
import { changeJob, dropWaiting } from './home-book.ts'
import { grantNamed } from './home-grants.ts'
import { forgetAt, waitsForQueue } from './home-placing.ts'
import { countJob, queueRefusal } from './home-queue.ts'
import { stopTranches } from './home-tranches.ts'
import { beginWaiting, isWaitedFor, submittedAt, wrongWait } from './home-waiting.ts'
import type { Job } from './state.ts'
import type { Turn } from './turn.ts'
import { answer, setTimer } from './turn.ts'

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
  const { document, note } = signed
  const { allocation } = document
  if (allocation !== undefined && !grantNamed(turn, allocation)) {
    const detail = `this site has no allocation ${allocation} that runs now; ` +
      'see gridnode federation'
    return answer(turn, request, { kind: 'refused', code: 'no_allocation', detail })
  }
  const wait = wrongWait(turn, document)
  if (wait !== undefined) {
    return answer(turn, request, { kind: 'refused', code: 'bad_dependency', detail: wait })
  }
  const full = queueRefusal(turn, document, rangesSize(signed.tasks))
  if (full) {
    return answer(turn, request, { kind: 'refused', code: full.reason, detail: full.detail })
  }
  // Nothing below can fail.
  const submittedEpochMs = submittedAt(turn, document)
  view.put('jobNotes', signed.id, { note, document })
  view.put('jobs', signed.id, {
    id: signed.id,
    sid: signed.sid,
    name: document.name,
    user: document.user,
    submittedEpochMs,
    total: rangesSize(signed.tasks),
    waiting: signed.tasks,
    parked: emptyRanges,
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
  countJob(turn, undefined, view.get('jobs', signed.id))
  answer(turn, request, { kind: 'submitted', job: signed.id, already: false })
  beginWaiting(turn, signed.id)
  const job = view.get('jobs', signed.id)!
  if (rangesSize(job.waiting) > 0 && !waitsForQueue(turn, job)) openAuction(turn, signed.id)
}

function openJobs(turn: Turn): number {
  let open = 0
  for (const [, job] of turn.view.entries('jobs')) if (job.state.kind !== 'ended') open++
  return open
}

export function onCancelRequested(turn: Turn, event: EventOf<'cancelRequested'>): void {
  const job = turn.view.get('jobs', event.job)
  if (!job) {
    const detail = `no job ${event.job} at this site`
    return answer(turn, event.request, { kind: 'refused', code: 'not_found', detail })
  }
  if (job.state.kind === 'open') cancelJob(turn, job)
  answer(turn, event.request, { kind: 'done', detail: 'cancelled' })
}

export function cancelJob(turn: Turn, job: Job): void {
  const note = 'being cancelled: waiting for the hosts to stop'
  changeJob(turn, job.id, { state: { kind: 'cancelling' }, note })
  dropWaiting(turn, turn.view.get('jobs', job.id)!, 'cancelled before it was placed')
  stopTranches(turn, job)
  turn.toPlace.add(job.id)
}

/** Long after its end a job's records go, and its results; what it cost stays on the ledger. */
export function onForget(turn: Turn, id: JobId): void {
  const { view } = turn
  const job = view.get('jobs', id)
  if (job?.state.kind !== 'ended') return
  const unsettled = job.contracts.some((contract) =>
    (view.get('homeContracts', contract)?.tranches.length ?? 0) > 0)
  if (unsettled || isWaitedFor(turn, id)) return setTimer(turn, `forget/${id}`, forgetAt(turn))
  for (const [key, task] of view.entries('homeTasks')) {
    if (task.job === id) view.remove('homeTasks', key)
  }
  for (const [key, auction] of view.entries('auctions')) {
    if (auction.job !== id) continue
    view.remove('auctions', key)
    view.remove('auctionKeys', auction.id)
  }
  for (const contract of job.contracts) forgetContract(turn, contract)
  view.remove('jobOrders', id)
  view.remove('children', id)
  view.remove('jobNotes', id)
  view.remove('jobs', id)
  turn.effects.push({ kind: 'releaseInputs', job: id })
}

function forgetContract(turn: Turn, id: ContractId): void {
  for (const [key, tranche] of turn.view.entries('homeTranches')) {
    if (tranche.contract !== id) continue
    turn.view.remove('homeTranches', key)
    turn.view.remove('trancheOrders', key)
    setTimer(turn, `control/${key}`, undefined)
  }
  turn.view.remove('homeContracts', id)
}
