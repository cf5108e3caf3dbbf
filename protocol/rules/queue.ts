// The queues of a home, as its administrator set them up: who may use one, how much of it, when,
// and in which order jobs go out to the market. They bind the home's own users; other sites do not
// see them.
//
// Refusals at submission, in order of precedence: queue_unknown [QUEUE-1], queue_access [QUEUE-2],
// queue_size [QUEUE-3], queue_full [QUEUE-4].
//
// [QUEUE-5] A job is placed only while its queue is open, and only as many of its tasks as the
//   queue's limits leave room for.
// [QUEUE-6] Jobs go out by points: those of the queue, of the owner, of their age, of the job, less
//   those of what the owner has used lately; then by submission.
// [QUEUE-7] While a job whose queue and owner have `urgent` points or more waits, and its own queue
//   has room, no job with fewer is placed; at most for `urgentSeconds` from when it last got
//   anywhere.
// [QUEUE-8] Without an urgent one, a job may go ahead of a better one that was tried and found
//   nothing (backfill).

import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'

/** A part of the week, in minutes from Monday 00:00; `until` may lie in the next week. */
export interface Span {
  readonly from: number
  readonly until: number
}

export interface QueueRule {
  readonly name: string
  /** Users, `project:NAME`, or `*`; with `-` in front: not those. The first that matches counts. */
  readonly access: readonly string[]
  readonly priority: number
  /** 0 = no limit, in all that follow. Jobs that are open, in all and of one user. */
  readonly jobs: number
  readonly jobsPerUser: number
  /** Tasks that hosts have, in all and of one user. */
  readonly tasks: number
  readonly tasksPerUser: number
  /** What one job may ask for. */
  readonly tasksPerJob: number
  readonly coresPerTask: number
  readonly walltimeSeconds: number
  /** When tasks are placed; empty = always. */
  readonly hours: readonly Span[]
}

export interface QueueRules {
  /** Of jobs that name none. */
  readonly byDefault: string
  readonly queues: readonly QueueRule[]
  /** Points of single owners. */
  readonly owners: ReadonlyMap<string, number>
  /** Points for each hour that a job waits, for at most a week. */
  readonly agePoints: number
  /** Points that an owner loses who alone has used everything lately. */
  readonly fairPoints: number
  readonly fairHalfLifeSeconds: number
  /** 0 = no job is urgent. */
  readonly urgent: number
  readonly urgentSeconds: number
  /** Of the hours, east of Greenwich. */
  readonly offsetMinutes: number
}

export interface QueueAsk {
  readonly queue?: string
  readonly user: string
  readonly project?: string
  readonly cores: number
  readonly walltime_seconds: number
}

/** What is in a queue now. */
export interface QueueUse {
  readonly jobs: number
  /** Of them, tasks that a host has and that have not ended. */
  readonly tasks: number
}

export const noUse: QueueUse = { jobs: 0, tasks: 0 }

export interface QueueRefusal {
  readonly reason: 'queue_unknown' | 'queue_access' | 'queue_size' | 'queue_full'
  readonly detail: string
}

export function queueOf(
  rules: QueueRules, { queue }: { readonly queue?: string | undefined },
): QueueRule | undefined {
  const name = queue ?? rules.byDefault
  return rules.queues.find((one) => one.name === name)
}

/** Whether the home takes the job into its queue. */
export function admitted(
  rules: QueueRules,
  job: QueueAsk,
  size: { readonly tasks: number; readonly all: QueueUse; readonly user: QueueUse },
): Outcome<QueueRule, QueueRefusal> {
  const no = (reason: QueueRefusal['reason'], detail: string): Outcome<never, QueueRefusal> =>
    refuse({ reason, detail })
  const queue = queueOf(rules, job)
  if (!queue) {
    const names = rules.queues.map(({ name }) => name).join(', ')
    return no('queue_unknown', `this site has no queue ${job.queue ?? rules.byDefault}; ` +
      `it has ${names}`)
  }
  if (!mayUse(queue, job)) return no('queue_access', `${job.user} may not use queue ${queue.name}`)
  const asked: readonly (readonly [string, number, number])[] = [
    ['tasks', size.tasks, queue.tasksPerJob], ['cores a task', job.cores, queue.coresPerTask],
    ['seconds', job.walltime_seconds, queue.walltimeSeconds],
  ]
  for (const [what, came, most] of asked) {
    if (most === 0 || came <= most) continue
    return no('queue_size', `a job of queue ${queue.name} has at most ${most} ${what}, got ${came}`)
  }
  if (queue.jobs > 0 && size.all.jobs >= queue.jobs) {
    return no('queue_full', `queue ${queue.name} has ${size.all.jobs} open jobs, its most`)
  }
  if (queue.jobsPerUser > 0 && size.user.jobs >= queue.jobsPerUser) {
    const has = `${job.user} has ${size.user.jobs} open jobs in queue ${queue.name}`
    return no('queue_full', `${has}, the most that one user may have`)
  }
  return ok(queue)
}

function mayUse(queue: QueueRule, { user, project = '' }: QueueAsk): boolean {
  for (const entry of queue.access) {
    const denies = entry.startsWith('-')
    const who = denies ? entry.slice(1) : entry
    const is = who === '*' || who === user || (project !== '' && who === `project:${project}`)
    if (is) return !denies
  }
  return false
}

export interface QueueRoom {
  readonly tasks: number
  /** Why there is none, and until when at least if that is known. */
  readonly why: string
  readonly untilEpochMs?: number
}

/** [QUEUE-5] How many more tasks of a job may be placed now; `most` where nothing limits them. */
export function roomIn(
  rules: QueueRules,
  queue: QueueRule,
  use: { readonly user: string; readonly all: QueueUse; readonly own: QueueUse },
  { most, nowMs }: { readonly most: number; readonly nowMs: number },
): QueueRoom {
  const opens = opensAt(queue.hours, nowMs, rules.offsetMinutes)
  if (opens > nowMs) {
    return { tasks: 0, why: `queue ${queue.name} is closed at this hour`, untilEpochMs: opens }
  }
  const left = queue.tasks === 0 ? most : queue.tasks - use.all.tasks
  const own = queue.tasksPerUser === 0 ? most : queue.tasksPerUser - use.own.tasks
  const tasks = Math.max(0, Math.min(most, left, own))
  if (tasks > 0) return { tasks, why: '' }
  const why = left <= 0 ? `queue ${queue.name} has ${use.all.tasks} tasks under way, its most`
    : `${use.user} has ${use.own.tasks} tasks of queue ${queue.name} under way, a user's most`
  return { tasks: 0, why }
}

const minuteMs = 60_000
const weekMinutes = 7 * 24 * 60
/** 1970 began on a Thursday. */
const firstMonday = 4 * 24 * 60

/** `nowMs` when it is open, else when it opens. */
export function opensAt(hours: readonly Span[], nowMs: number, offsetMinutes: number): number {
  if (hours.length === 0) return nowMs
  const minute = Math.floor(nowMs / minuteMs) + offsetMinutes
  const ofWeek = ((minute - firstMonday) % weekMinutes + weekMinutes) % weekMinutes
  let wait = weekMinutes
  for (const { from, until } of hours) {
    for (const at of [ofWeek, ofWeek + weekMinutes]) {
      if (at >= from && at < until) return nowMs
    }
    const ahead = (from - ofWeek + weekMinutes) % weekMinutes
    wait = Math.min(wait, ahead)
  }
  return (Math.floor(nowMs / minuteMs) + wait) * minuteMs
}

const days = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']

/** Such as `mon-fri 18:00-08:00`, `sat-sun` or `12:00-13:00`; one span a day. */
export function parseHours(text: string): Outcome<readonly Span[], { readonly detail: string }> {
  const form = 'expected days and hours such as "mon-fri 18:00-08:00", "sat-sun" or "12:00-13:00"'
  const bad = refuse({ detail: `${form}, got ${JSON.stringify(text)}` })
  const match = /^(?:([a-z]{3})(?:-([a-z]{3}))?)?\s*(?:(\d\d):(\d\d)-(\d\d):(\d\d))?$/
    .exec(text.trim().toLowerCase())
  if (!match || text.trim() === '') return bad
  const [, firstDay, lastDay, h1 = '00', m1 = '00', h2 = '24', m2 = '00'] = match
  const first = firstDay === undefined ? 0 : days.indexOf(firstDay)
  const last = lastDay !== undefined ? days.indexOf(lastDay) : firstDay === undefined ? 6 : first
  const [from, until] = [Number(h1) * 60 + Number(m1), Number(h2) * 60 + Number(m2)]
  if (first < 0 || last < 0 || Number(m1) > 59 || Number(m2) > 59) return bad
  if (from >= 24 * 60 || until > 24 * 60) return bad
  const spans: Span[] = []
  for (let day = first; ; day = (day + 1) % 7) {
    const start = day * 24 * 60
    // Over midnight into the next day.
    const end = until > from ? until : until + 24 * 60
    spans.push({ from: start + from, until: start + end })
    if (day === last) return ok(spans)
  }
}

export interface Ranking {
  readonly user: string
  readonly submittedEpochMs: number
  /** The owner's own word, 1,024 when nothing is said. */
  readonly priority: number
  /** Thousandths of everything that was used lately. */
  readonly usedPermille: number
}

const hourMs = 3_600_000
const ageHoursMax = 7 * 24

/** What the queue and the owner count for; the rest never makes a job urgent. */
export function basePoints(rules: QueueRules, queue: QueueRule, user: string): number {
  return queue.priority + (rules.owners.get(user) ?? 0)
}

/** [QUEUE-6] */
export function points(
  rules: QueueRules, queue: QueueRule, job: Ranking, nowMs: number,
): number {
  const waitedMs = Math.max(0, Math.min(ageHoursMax * hourMs, nowMs - job.submittedEpochMs))
  const age = Math.floor((rules.agePoints * waitedMs) / hourMs)
  const fair = Math.floor((rules.fairPoints * job.usedPermille) / 1_000)
  return basePoints(rules, queue, job.user) + age + (job.priority - 1_024) - fair
}

export interface Used {
  /** Core-seconds, as they count at `atEpochMs`. */
  readonly coreSeconds: number
  readonly atEpochMs: number
}

/** What was used counts half after each half-life. */
export function faded(used: Used, nowMs: number, halfLifeSeconds: number): number {
  const halfLives = Math.max(0, nowMs - used.atEpochMs) / (halfLifeSeconds * 1_000)
  if (halfLives > 60) return 0
  const whole = Math.floor(halfLives)
  const halved = used.coreSeconds / 2 ** whole
  // Between two half-lives in a straight line: the same on every machine.
  return Math.floor(halved * (1 - (halfLives - whole) / 2))
}
