// What keeps tasks at the home: their owner's hold, other jobs, a time. Looked at when the job is
// handed in, when a parent begins or ends (a `wait` timer that is due at once), and at the times
// that were promised.
//
// [JOB-11] A job that waits for its owner, for other jobs or for a time is not announced, and its
//   patience for a start counts from when it waits for nothing any more. After a year it ends.
// [JOB-12] A parent is remembered as long as an open job waits for it, and must be known when it is
//   named; so nothing waits in a circle.

import type { JobId } from '../base/ids.ts'
import {
  addRanges, emptyRanges, parseRanges, rangesSize, rangesValues, subtractRanges,
} from '../base/ranges.ts'
import { limits } from '../base/limits.ts'
import type { Parent, Standing } from '../rules/dependency.ts'
import { standingOf } from '../rules/dependency.ts'
import type { JobDocument } from '../rules/job.ts'
import { changeJob, documentOf, dropWaiting, isOver, unplaced } from './home-book.ts'
import type { JobOrders } from './job-orders.ts'
import { documentNow, noOrders, sortOut } from './job-orders.ts'
import type { Job } from './state.ts'
import { taskKey } from './state.ts'
import type { Turn } from './turn.ts'
import { setTimer } from './turn.ts'

export const waitMsMax = 366 * 86_400_000

/** Why a job cannot wait for what it names; undefined when it can. */
export function wrongWait(
  turn: Turn, document: Pick<JobDocument, 'after' | 'begin_ms' | 'tasks'>,
): string | undefined {
  if ((document.begin_ms ?? 0) > turn.now + waitMsMax) {
    return 'a job begins within a year of its submission; choose an earlier time'
  }
  for (const { kind, job } of document.after ?? []) {
    if (kind === 'singleton') continue
    const parent = turn.view.get('jobs', job)
    const notes = turn.view.get('jobNotes', job)
    if (!parent || !notes) {
      return `${kind}: no job ${job || '(none named)'} is known at this site; ` +
        'a job waits for jobs of the same site that are still remembered'
    }
    if (kind !== 'aftercorr') continue
    const rest = subtractRanges(tasksIn(document), tasksIn(notes.document))
    if (rest.length > 0) {
      return `aftercorr: job ${job} has no task ${rest[0]![0]}; both jobs need the same tasks`
    }
  }
  return undefined
}

function tasksIn({ tasks }: Pick<JobDocument, 'tasks'>) {
  return parseRanges(tasks, { last: limits.taskNumberMax }) ?? emptyRanges
}

/** A job that was just handed in: what it waits for, if anything. */
export function beginWaiting(turn: Turn, id: JobId): void {
  const document = documentOf(turn, id)
  register(turn, id, document)
  const waits = document.hold === 1 || (document.after?.length ?? 0) > 0
    || (document.begin_ms ?? 0) > turn.now
  const job = turn.view.get('jobs', id)
  if (!waits || !job) return
  const held = document.hold === 1 ? job.waiting : emptyRanges
  turn.view.put('jobOrders', id, { ...noOrders, held })
  settleWaits(turn, id)
}

/** So that whoever it waits for wakes it. */
export function register(turn: Turn, id: JobId, document: JobDocument): void {
  for (const { kind, job } of document.after ?? []) {
    const key = kind === 'singleton' ? lineOf(document) : job
    const known = turn.view.get('children', key) ?? { jobs: [], eager: false, begunEpochMs: 0 }
    const eager = known.eager || kind === 'after' || kind === 'aftercorr'
    const jobs = known.jobs.includes(id) ? known.jobs : [...known.jobs, id]
    turn.view.put('children', key, { ...known, jobs, eager })
    if (kind === 'after') noteBegun(turn, job as JobId)
  }
}

/** Jobs of one owner and name that run one at a time. */
function lineOf({ key, name }: Pick<JobDocument, 'key' | 'name'>): string {
  return `${key}/${name}`
}

/**
 * Brings what may be placed in line with what the job waits for; doing it again changes nothing.
 * The first auction, or the next, is due at once for what became free.
 */
export function settleWaits(turn: Turn, id: JobId): void {
  const { view, now } = turn
  const before = view.get('jobOrders', id)
  const job = view.get('jobs', id)
  if (!before || job?.state.kind !== 'open') return
  const pending = subtractRanges(unplaced(job), before.ready)
  const standing = standingNow(turn, job, pending)
  const ready = addRanges(before.ready, standing.ready)
  if (rangesSize(standing.dead) > 0) dropWaiting(turn, job, standing.words, standing.dead)
  const left = view.get('jobs', id)!
  const { free, parked } = sortOut({ ...before, ready }, unplaced(left))
  const isFreed = rangesSize(subtractRanges(free, left.waiting)) > 0
  const waits = rangesSize(parked) > 0
  const sinceEpochMs = !waits ? 0 : before.sinceEpochMs > 0 ? before.sinceEpochMs : now
  // Why tasks were ended stays said.
  const words = wordsOf({ ...before, ready }, standing)
    || (left.cancelled > 0 ? before.words : '')
  const orders = { ...before, ready, sinceEpochMs, words }
  const same = rangesSize(ready) === rangesSize(before.ready) && words === before.words
    && sinceEpochMs === before.sinceEpochMs
  if (!same) view.put('jobOrders', id, orders)
  const isSame = !isFreed && rangesSize(left.waiting) === rangesSize(free)
  const says = rangesSize(free) === 0 && rangesSize(parked) === left.total && words !== ''
  if (!isSame || (says && left.note !== words)) {
    changeJob(turn, id, {
      waiting: free, parked,
      ...(isFreed && { lastProgressEpochMs: now, note: 'waiting for an auction' }),
      ...(says && { note: words }),
    })
  }
  if (isFreed) setTimer(turn, `round/${id}`, now)
  const giveUpMs = sinceEpochMs + waitMsMax
  const until = Math.min(standing.untilMs ?? giveUpMs, giveUpMs)
  setTimer(turn, `wait/${id}`, waits ? until : undefined)
  turn.toPlace.add(id)
}

/** [JOB-11] */
export function onWaitDue(turn: Turn, id: JobId): void {
  const job = turn.view.get('jobs', id)
  const orders = turn.view.get('jobOrders', id)
  if (job?.state.kind !== 'open' || !orders) return
  const since = orders.sinceEpochMs
  if (since > 0 && turn.now >= since + waitMsMax && rangesSize(job.parked) > 0) {
    const words = `waited for a year: ${orders.words}`
    turn.view.put('jobOrders', id, { ...orders, words })
    dropWaiting(turn, job, words, job.parked)
    return void turn.toPlace.add(id)
  }
  settleWaits(turn, id)
}

function standingNow(turn: Turn, job: Job, pending: Job['waiting']): Standing {
  if (rangesSize(pending) === 0) {
    return { ready: emptyRanges, dead: emptyRanges, untilMs: undefined, words: '' }
  }
  const document = documentOf(turn, job.id)
  const standing = standingOf(pending, document, {
    nowMs: turn.now,
    parent: (parent) => parentOf(turn, parent as JobId),
    earlier: earlierOf(turn, job, document),
  })
  const beginMs = document.begin_ms ?? 0
  if (beginMs <= turn.now) return standing
  const untilMs = Math.min(beginMs, standing.untilMs ?? beginMs)
  return { ...standing, ready: emptyRanges, untilMs, words: standing.words || 'for its begin' }
}

function wordsOf(orders: JobOrders, { dead, words }: Standing): string {
  if (rangesSize(dead) > 0) return words
  const isHeld = rangesSize(orders.held) > 0
  if (words === '') return isHeld ? 'held: its owner may release it' : ''
  return `${isHeld ? 'held, and waits' : 'waits'} ${words}`
}

function parentOf(turn: Turn, id: JobId): Parent | undefined {
  const job = turn.view.get('jobs', id)
  if (!job) return undefined
  return {
    begunEpochMs: turn.view.get('children', id)?.begunEpochMs ?? 0,
    ...(job.state.kind === 'ended' && {
      end: { how: job.state.how, epochMs: job.state.epochMs },
    }),
    task(number) {
      const task = turn.view.get('homeTasks', taskKey(id, number))
      return task?.state === 'done' ? 'done' : task && isOver(task) ? 'over' : 'open'
    },
  }
}

/** Who was handed in earlier is first: submission times of one owner and name differ. */
function earlierOf(turn: Turn, job: Job, document: JobDocument): string {
  if (!document.after?.some(({ kind }) => kind === 'singleton')) return ''
  const line = lineOf(document)
  for (const [, other] of turn.view.entries('jobs')) {
    if (other.state.kind === 'ended' || other.name !== job.name || other.id === job.id) continue
    if (other.submittedEpochMs >= job.submittedEpochMs) continue
    if (lineOf(documentOf(turn, other.id)) === line) return other.id
  }
  return ''
}

/** When it counts as handed in: after every other of the same owner and name. */
export function submittedAt(turn: Turn, { name, key }: JobDocument): number {
  let at = turn.now
  for (const [, other] of turn.view.entries('jobs')) {
    if (other.name !== name || other.submittedEpochMs < at) continue
    if (documentNow(turn.view, other.id)?.key === key) at = other.submittedEpochMs + 1
  }
  return at
}

/** At the end of a step: whoever waits for this job looks again, if that can make a difference. */
export function wakeChildren(turn: Turn, id: JobId): void {
  const job = turn.view.get('jobs', id)
  const isOverNow = job?.state.kind === 'ended'
  const children = turn.view.get('children', id)
  if (children?.eager || (children && isOverNow)) {
    noteBegun(turn, id)
    for (const child of children.jobs) wake(turn, child)
  }
  if (job && isOverNow) wakeLine(turn, documentOf(turn, id))
}

function wake(turn: Turn, child: JobId): void {
  const job = turn.view.get('jobs', child)
  if (job?.state.kind === 'open' && rangesSize(job.parked) > 0) {
    setTimer(turn, `wait/${child}`, turn.now)
  }
}

/** Only the first in line can have come to its turn. */
export function wakeLine(turn: Turn, document: Pick<JobDocument, 'key' | 'name'>): void {
  const line = lineOf(document)
  const known = turn.view.get('children', line)
  if (!known) return
  const open = known.jobs.flatMap((child) => turn.view.get('jobs', child) ?? [])
    .filter(({ state }) => state.kind !== 'ended')
    .sort((a, b) => a.submittedEpochMs - b.submittedEpochMs)
  if (open.length === 0) return turn.view.remove('children', line)
  if (open.length < known.jobs.length) {
    turn.view.put('children', line, { ...known, jobs: open.map((job) => job.id) })
  }
  wake(turn, open[0]!.id)
}

/** Each of its tasks has been started by a host, or is over. */
function noteBegun(turn: Turn, id: JobId): void {
  const job = turn.view.get('jobs', id)
  const known = turn.view.get('children', id)
  if (!job || !known || known.begunEpochMs > 0 || rangesSize(unplaced(job)) > 0) return
  for (const contract of job.contracts) {
    for (const tranche of turn.view.get('homeContracts', contract)?.tranches ?? []) {
      const { open = emptyRanges } = turn.view.get('homeTranches', tranche) ?? {}
      for (const task of rangesValues(open)) {
        if (turn.view.get('homeTasks', taskKey(id, task))?.state === 'queued') return
      }
    }
  }
  turn.view.put('children', id, { ...known, begunEpochMs: turn.now })
}

/** [JOB-12] Whether an open job waits for it; those that do not any more are left out. */
export function isWaitedFor(turn: Turn, id: JobId): boolean {
  const children = turn.view.get('children', id)
  const waits = children?.jobs.some((child) => {
    const job = turn.view.get('jobs', child)
    return job?.state.kind === 'open' && rangesSize(job.parked) > 0
  }) ?? false
  if (children && !waits) turn.view.remove('children', id)
  return waits
}
