// A home's queues at work: what is in them, whether a job of ours may be placed now, and which goes
// first. Without queues in the config everything here says yes.
//
// Invariant: `queueUse` counts open jobs and the tasks of them that hosts have, by queue and by
// user; it is kept with every change of a job and counted anew after a start.

import type { JobId } from '../base/ids.ts'
import { compareBytes } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import { rangesSize } from '../base/ranges.ts'
import type { JobDocument } from '../rules/job.ts'
import type { QueueRefusal, QueueRoom, QueueRule, QueueRules, QueueUse } from '../rules/queue.ts'
import { admitted, basePoints, faded, noUse, points, queueOf, roomIn } from '../rules/queue.ts'
import { documentNow } from './job-orders.ts'
import type { Job } from './state.ts'
import type { Turn } from './turn.ts'

const everything: QueueRoom = { tasks: limits.tasksPerJob, why: '' }

function allKey(queue: string): string {
  return `${queue}/`
}

function userKey(queue: string, user: string): string {
  return `${queue}/${user}`
}

/** Why the home does not take the job into its queue; undefined when it does. */
export function queueRefusal(turn: Turn, document: JobDocument, tasks: number):
QueueRefusal | undefined {
  const rules = turn.self.queues
  if (!rules) return undefined
  const name = document.queue ?? rules.byDefault
  const taken = admitted(rules, document, {
    tasks, all: useOf(turn, allKey(name)), user: useOf(turn, userKey(name, document.user)),
  })
  return taken.ok ? undefined : taken.refusal
}

function useOf({ view }: Turn, key: string): QueueUse {
  return view.get('queueUse', key) ?? noUse
}

/** Called with every change of a job; undefined for one that was not there or is gone. */
export function countJob(turn: Turn, before: Job | undefined, after: Job | undefined): void {
  const { view, self } = turn
  const job = after ?? before
  if (!self.queues || !job) return
  const name = documentNow(view, job.id)?.queue ?? self.queues.byDefault
  const [was, is] = [weightOf(before), weightOf(after)]
  if (was.jobs === is.jobs && was.tasks === is.tasks) return
  if (is.tasks < was.tasks) turn.freedQueues.add(name)
  for (const key of [allKey(name), userKey(name, job.user)]) {
    const known = useOf(turn, key)
    const jobs = known.jobs + is.jobs - was.jobs
    view.put('queueUse', key, { jobs, tasks: known.tasks + is.tasks - was.tasks })
    if (jobs === 0) view.remove('queueUse', key)
  }
}

function weightOf(job: Job | undefined): QueueUse {
  if (!job || job.state.kind === 'ended') return noUse
  const idle = rangesSize(job.waiting) + rangesSize(job.parked)
  return { jobs: 1, tasks: job.total - job.done - job.failed - job.cancelled - idle }
}

/** After a start, and when the queues are others or a job has changed its own. */
export function countQueues(turn: Turn): void {
  const { view } = turn
  for (const [key] of Array.from(view.entries('queueUse'))) view.remove('queueUse', key)
  for (const [, job] of view.entries('jobs')) countJob(turn, undefined, job)
}

/** [QUEUE-5] [QUEUE-7] How many more tasks of a job may be placed now, and why not. */
export function queueRoom(
  turn: Turn, job: Job, urgent: Job | undefined = urgentJob(turn),
): QueueRoom {
  const rules = turn.self.queues
  if (!rules) return everything
  const document = documentNow(turn.view, job.id)
  const queue = queueOf(rules, { queue: document?.queue })
  if (!queue) return { tasks: 0, why: `queue ${document?.queue} is not there any more` }
  const base = basePoints(rules, queue, job.user)
  if (urgent && urgent.id !== job.id && base < rules.urgent) {
    return { tasks: 0, why: `job ${urgent.id} is urgent and goes first` }
  }
  return ownRoom(turn, rules, queue, job.user)
}

function ownRoom(turn: Turn, rules: QueueRules, queue: QueueRule, user: string): QueueRoom {
  return roomIn(rules, queue, {
    user,
    all: useOf(turn, allKey(queue.name)),
    own: useOf(turn, userKey(queue.name, user)),
  }, { most: limits.tasksPerJob, nowMs: turn.now })
}

/**
 * One that waits, could go by its own queue, and has not waited in vain for too long: one whose own
 * queue is closed or full would keep all others back until it opens.
 */
function urgentJob(turn: Turn): Job | undefined {
  const rules = turn.self.queues
  if (!rules || rules.urgent === 0) return undefined
  for (const [, job] of turn.view.entries('jobs')) {
    if (job.state.kind !== 'open' || rangesSize(job.waiting) === 0) continue
    if (turn.now - job.lastProgressEpochMs >= rules.urgentSeconds * 1_000) continue
    const queue = queueOf(rules, { queue: documentNow(turn.view, job.id)?.queue })
    if (!queue || basePoints(rules, queue, job.user) < rules.urgent) continue
    if (ownRoom(turn, rules, queue, job.user).tasks > 0) return job
  }
  return undefined
}

/** [QUEUE-8] A better one that waits for the same room and was not tried in vain. */
export function goesFirst(turn: Turn, job: Job): Job | undefined {
  const rules = turn.self.queues
  const queue = rules && queueOf(rules, { queue: documentNow(turn.view, job.id)?.queue })
  if (!queue || queue.tasks === 0) return undefined
  const waiting: Job[] = []
  const urgent = urgentJob(turn)
  for (const [, other] of turn.view.entries('jobs')) {
    if (other.state.kind !== 'open' || rangesSize(other.waiting) === 0) continue
    if (other.idleRounds > 0 || other.id === job.id) continue
    const name = documentNow(turn.view, other.id)?.queue ?? rules!.byDefault
    if (name === queue.name && queueRoom(turn, other, urgent).tasks > 0) waiting.push(other)
  }
  const [first] = inOrder(turn, [job, ...waiting])
  return first && first.id !== job.id ? first : undefined
}

/** [QUEUE-6] The best first; by submission where there are no queues. */
export function inOrder(turn: Turn, jobs: readonly Job[]): Job[] {
  const rules = turn.self.queues
  const worth = new Map<JobId, number>()
  if (rules) {
    const used = usedPermilleOf(turn, rules)
    for (const job of jobs) {
      const document = documentNow(turn.view, job.id)
      const queue = queueOf(rules, { queue: document?.queue })
      const { user, submittedEpochMs } = job
      const priority = document?.priority ?? 1_024
      const ranking = { user, submittedEpochMs, priority, usedPermille: used(user) }
      worth.set(job.id, queue ? points(rules, queue, ranking, turn.now) : 0)
    }
  }
  const worthOf = (job: Job): number => worth.get(job.id) ?? 0
  return [...jobs].sort((a, b) => worthOf(b) - worthOf(a) ||
    a.submittedEpochMs - b.submittedEpochMs || compareBytes(a.id, b.id))
}

function usedPermilleOf({ view, now }: Turn, rules: QueueRules): (user: string) => number {
  const shares = new Map<string, number>()
  let all = 0
  for (const [user, used] of view.entries('used')) {
    const share = faded(used, now, rules.fairHalfLifeSeconds)
    shares.set(user, share)
    all += share
  }
  return (user) => all === 0 ? 0 : Math.floor(((shares.get(user) ?? 0) * 1_000) / all)
}

const usersRemembered = 10_000

/** A task of this user has ended, wherever it ran. */
export function noteUsed(turn: Turn, user: string, coreSeconds: number): void {
  const rules = turn.self.queues
  if (!rules || coreSeconds <= 0) return
  const known = turn.view.get('used', user)
  if (!known && [...turn.view.entries('used')].length >= usersRemembered) forgetFaded(turn, rules)
  const before = known ? faded(known, turn.now, rules.fairHalfLifeSeconds) : 0
  turn.view.put('used', user, { coreSeconds: before + coreSeconds, atEpochMs: turn.now })
}

function forgetFaded({ view, now }: Turn, rules: QueueRules): void {
  let least: { user: string; left: number } | undefined
  for (const [user, used] of view.entries('used')) {
    const left = faded(used, now, rules.fairHalfLifeSeconds)
    if (!least || left < least.left) least = { user, left }
  }
  if (least) view.remove('used', least.user)
}
