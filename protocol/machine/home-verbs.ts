// What the owner of a job, or an operator, asks for it after it was handed in. Decided at the home
// alone; what concerns tasks that hosts have is told to them (home-control.ts).
//
// [VERB-1] A held task is not placed; what waits in a host's queue is held there; what runs, runs
//   on.
// [VERB-2] Requeue ends tasks at their hosts, what ran is charged, and places them again. Move is
//   that for tasks at sites that it rules out, and rules those sites out for the rest of the job.
// [VERB-3] What a tranche was awarded for does not change: alter concerns tasks that wait at home.

import type { JobId } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import type { Ranges } from '../base/ranges.ts'
import {
  addRanges, commonRanges, formatRanges, parseRanges, rangesSize, subtractRanges,
} from '../base/ranges.ts'
import type { JobRequest, Verb } from '../rules/request.ts'
import { isVerb } from '../rules/request.ts'
import type { EventOf } from './events.ts'
import { alter } from './home-alter.ts'
import {
  changeJob, closeContract, documentOf, dropWaiting, openContracts, unplaced,
} from './home-book.ts'
import { order, roomFor, tranchesWith } from './home-control.ts'
import { cancelJob } from './home-jobs.ts'
import { settleWaits } from './home-waiting.ts'
import type { HostVerb, JobOrders, Order, Told } from './job-orders.ts'
import { heardMax, noOrders, toldMax } from './job-orders.ts'
import type { Job } from './state.ts'
import type { Turn } from './turn.ts'
import { answer } from './turn.ts'

export interface Done {
  readonly detail: string
  readonly told: readonly Told[]
}

export interface VerbRefusal {
  readonly reason: 'not_found' | 'state' | 'busy' | 'malformed'
  readonly detail: string
}

type Answered = Outcome<Done, VerbRefusal>

interface Asked {
  readonly job: Job
  /** Of the job's tasks; all of them unless some were named. */
  readonly tasks: Ranges
  readonly isAll: boolean
  readonly request: JobRequest
}

/** [ASK-2] */
export function onVerbRequested(turn: Turn, event: EventOf<'verbRequested'>): void {
  const { request: caller, asked } = event
  const { view, now } = turn
  const job = view.get('jobs', event.job)
  const refused = (code: string, detail: string): void =>
    answer(turn, caller, { kind: 'refused', code, detail })
  if (!job) return refused('not_found', `no job ${event.job} at this site`)
  const before = view.get('jobOrders', job.id)
  const known = before?.heard.find(({ nonce }) => nonce === asked.nonce)
  if (known) return answer(turn, caller, { kind: 'done', detail: known.detail })
  const { verb } = asked
  if (!isVerb(verb)) return refused('malformed', `${verb} changes nothing`)
  if (job.state.kind !== 'open') {
    const how = job.state.kind === 'ended' ? `has ended ${job.state.how}` : 'is being cancelled'
    if (verb === 'cancel') return answer(turn, caller, { kind: 'done', detail: how })
    return refused('state', `job ${job.id} ${how}: nothing of it can be changed any more`)
  }
  const named = asked.tasks === undefined ? undefined
    : parseRanges(asked.tasks, { last: limits.taskNumberMax })
  const all = tasksOf(turn, job.id)
  const tasks = named ? commonRanges(all, named) : all
  if (asked.tasks !== undefined && (!named || rangesSize(tasks) < rangesSize(named))) {
    return refused('not_found', `job ${job.id} has the tasks ${formatRanges(all)}, not all of ` +
      `${asked.tasks}`)
  }
  // Every job that was asked something of has a record; before, nothing was parked.
  if (!before) view.put('jobOrders', job.id, { ...noOrders, ready: all })
  const done = act(turn, verb, { job, tasks, isAll: named === undefined, request: asked })
  if (!done.ok) {
    if (!before) view.remove('jobOrders', job.id)
    return refused(done.refusal.reason, done.refusal.detail)
  }
  const { detail, told } = done.value
  const heard = {
    nonce: asked.nonce, verb, tasks: named ? formatRanges(named) : '', epochMs: now, detail,
    told: told.slice(0, toldMax),
  }
  const orders = view.get('jobOrders', job.id)!
  const newest = [...orders.heard, heard].slice(-heardMax)
  view.put('jobOrders', job.id, { ...orders, heard: newest })
  settleWaits(turn, job.id)
  changeJob(turn, job.id, {})
  turn.toPlace.add(job.id)
  answer(turn, caller, { kind: 'done', detail })
}

function tasksOf(turn: Turn, id: JobId): Ranges {
  return parseRanges(documentOf(turn, id).tasks, { last: limits.taskNumberMax }) ?? []
}

function act(turn: Turn, verb: Verb, asked: Asked): Answered {
  switch (verb) {
    case 'hold': return hold(turn, asked)
    case 'release': return release(turn, asked)
    case 'suspend':
    case 'resume': return running(turn, asked, { verb })
    case 'signal': {
      const signal = asked.request.signal
      if (signal === undefined) return no('malformed', 'signal: expected the name of a signal')
      return running(turn, asked, { verb, signal })
    }
    case 'requeue': return requeue(turn, asked, asked.tasks)
    case 'move': return move(turn, asked)
    case 'cancel': return cancel(turn, asked)
    case 'alter': return alter(turn, asked.job, asked.request.change ?? {})
  }
}

function no(reason: VerbRefusal['reason'], detail: string): Answered {
  return refuse({ reason, detail })
}

function changeOrders(turn: Turn, id: JobId, change: Partial<JobOrders>): void {
  turn.view.put('jobOrders', id, { ...turn.view.get('jobOrders', id)!, ...change })
}

interface Wish {
  readonly verb: HostVerb
  readonly signal?: Order['signal']
}

/** Tells the hosts that have these tasks in one of these states. */
function tell(
  turn: Turn, { job, tasks }: Pick<Asked, 'job' | 'tasks'>, states: readonly string[], wish: Wish,
): Outcome<readonly Told[], VerbRefusal> {
  const at = tranchesWith(turn, job, tasks, states)
  const full = roomFor(turn, at)
  if (full !== undefined) {
    const detail = `${full} has not answered what it was asked before; try again later`
    return refuse({ reason: 'busy', detail })
  }
  return ok(at.map((one) => order(turn, one.tranche, { ...wish, tasks: one.tasks })))
}

function toldText(told: readonly Told[]): string {
  const hosts = [...new Set(told.map(({ host }) => host))].sort((a, b) => a < b ? -1 : 1)
  return hosts.length === 0 ? '' : `; told ${hosts.join(', ')}`
}

/** [VERB-1] */
function hold(turn: Turn, { job, tasks }: Asked): Answered {
  const told = tell(turn, { job, tasks }, ['queued'], { verb: 'hold' })
  if (!told.ok) return told
  const { held } = turn.view.get('jobOrders', job.id)!
  changeOrders(turn, job.id, { held: addRanges(held, tasks) })
  const here = rangesSize(commonRanges(unplaced(job), tasks))
  const rest = rangesSize(tasks) - here - toldSize(told.value)
  const others = rest === 0 ? '' : `; ${rest} of them not waiting now`
  return ok({ detail: `held: ${sizeOf(tasks)}${others}${toldText(told.value)}`,
    told: told.value })
}

function toldSize(told: readonly Told[]): number {
  return told.reduce((sum, { tasks }) =>
    sum + rangesSize(parseRanges(tasks, { last: limits.taskNumberMax }) ?? []), 0)
}

function sizeOf(tasks: Ranges): string {
  const size = rangesSize(tasks)
  return size === 1 ? '1 task' : `${size} tasks`
}

function release(turn: Turn, { job, tasks }: Asked): Answered {
  const { held } = turn.view.get('jobOrders', job.id)!
  const told = tell(turn, { job, tasks: commonRanges(held, tasks) }, ['queued'],
    { verb: 'release' })
  if (!told.ok) return told
  changeOrders(turn, job.id, { held: subtractRanges(held, tasks) })
  const size = sizeOf(commonRanges(held, tasks))
  return ok({ detail: `released: ${size}${toldText(told.value)}`, told: told.value })
}

function running(turn: Turn, { job, tasks }: Asked, wish: Wish): Answered {
  const told = tell(turn, { job, tasks }, ['running'], wish)
  if (!told.ok) return told
  if (told.value.length === 0) {
    return no('state', `${wish.verb}: none of these tasks of job ${job.id} runs now; ` +
      `see gridnode status ${job.id}`)
  }
  const size = toldSize(told.value)
  const done = wish.verb === 'signal' ? `sent ${wish.signal}`
    : wish.verb === 'suspend' ? 'suspended' : 'resumed'
  const detail = `${done}: ${size === 1 ? '1 task' : `${size} tasks`}${toldText(told.value)}`
  return ok({ detail, told: told.value })
}

/** [VERB-2] */
function requeue(turn: Turn, { job }: Pick<Asked, 'job'>, tasks: Ranges): Answered {
  const states = ['queued', 'running']
  const starts = tranchesWith(turn, job, tasks, ['running'])
  if (documentOf(turn, job.id).rerun === 0 && starts.length > 0) {
    return no('state', `job ${job.id} was handed in as one whose tasks are not started again; ` +
      'cancel it, or let it run')
  }
  const told = tell(turn, { job, tasks }, states, { verb: 'requeue' })
  if (!told.ok) return told
  if (told.value.length === 0) {
    return no('state', `no host has any of these tasks of job ${job.id}; ` +
      `see gridnode status ${job.id}`)
  }
  const again = told.value.reduce<Ranges>((sum, one) =>
    addRanges(sum, parseRanges(one.tasks, { last: limits.taskNumberMax }) ?? []),
  turn.view.get('jobOrders', job.id)!.again)
  changeOrders(turn, job.id, { again })
  return ok({ detail: `placed again${toldText(told.value)}`, told: told.value })
}

/** [VERB-2] */
function move(turn: Turn, { job, tasks, request }: Asked): Answered {
  const { view, self } = turn
  const to = request.sites ?? []
  const orders = view.get('jobOrders', job.id)!
  const at = tranchesWith(turn, job, tasks, ['queued', 'running'])
  for (const site of to) {
    if (site !== self.site && !view.get('members', site)) {
      return no('malformed', `${site} is not a site of this federation; see gridnode peers`)
    }
  }
  if (to.length === 0 && at.length === 0) {
    return no('state', `no host has any of these tasks of job ${job.id}: there is nothing to ` +
      'move; name the sites that it may go to')
  }
  const leaves = at.filter(({ tranche }) => to.length === 0 || !to.includes(tranche.host))
  const away = leaves.reduce<Ranges>((sum, one) => addRanges(sum, one.tasks), [])
  if (leaves.length > 0) {
    const asked = requeue(turn, { job }, away)
    if (!asked.ok) return asked
    ruleOut(turn, job, to, orders.avoid)
    return ok({ ...asked.value, detail: `moved: ${sizeOf(away)} ${asked.value.detail}` })
  }
  ruleOut(turn, job, to, orders.avoid)
  return ok({ detail: `nothing of it is elsewhere; from now on only ${to.join(', ')}`, told: [] })
}

function ruleOut(
  turn: Turn, job: Job, to: NonNullable<JobRequest['sites']>, before: JobOrders['avoid'],
): void {
  const { changed } = turn.view.get('jobOrders', job.id)!
  const contracts = openContracts(turn, job)
  if (to.length > 0) changeOrders(turn, job.id, { changed: { ...changed, sites: to }, avoid: [] })
  else {
    const hosts = tranchesWith(turn, job, tasksOf(turn, job.id), ['queued', 'running'])
      .map(({ tranche }) => tranche.host)
    changeOrders(turn, job.id, { avoid: [...new Set([...before, ...hosts])].slice(-64) })
  }
  const { avoid } = turn.view.get('jobOrders', job.id)!
  for (const contract of contracts) {
    const isOut = to.length > 0 ? !to.includes(contract.host) : avoid.includes(contract.host)
    if (isOut) closeContract(turn, contract)
  }
}

function cancel(turn: Turn, { job, tasks, isAll }: Asked): Answered {
  if (isAll) {
    cancelJob(turn, job)
    return ok({ detail: 'cancelled', told: [] })
  }
  const told = tell(turn, { job, tasks }, ['queued', 'running'], { verb: 'cancel' })
  if (!told.ok) return told
  const { dropped } = turn.view.get('jobOrders', job.id)!
  changeOrders(turn, job.id, { dropped: addRanges(dropped, tasks) })
  const here = commonRanges(unplaced(job), tasks)
  dropWaiting(turn, job, 'cancelled before it was placed', here)
  return ok({ detail: `cancelled: ${sizeOf(tasks)}${toldText(told.value)}`, told: told.value })
}
