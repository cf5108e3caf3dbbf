// What a home asks of its hosts for single tasks: orders of a tranche, numbered, told again until
// the host has answered, dropped when the tranche is over.
//
// [CONTROL-1] Orders of a tranche have numbers without gaps; a host does them in that order, each
//   once, and answers with the last number and with those that it refused, and why.
// [CONTROL-2] An order is told every five seconds until it is answered or the tranche is over.

import type { JobId, SiteName, TrancheId } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { Ranges } from '../base/ranges.ts'
import { commonRanges, formatRanges, parseRanges, rangesSize } from '../base/ranges.ts'
import { changeJob } from './home-book.ts'
import type { HostVerb, JobOrders, Order, Told } from './job-orders.ts'
import { ordersOpenMax, toldMax } from './job-orders.ts'
import type { MessageOf } from './messages.ts'
import type { HomeTranche, Job } from './state.ts'
import { taskKey } from './state.ts'
import type { Turn } from './turn.ts'
import { count, send, setTimer } from './turn.ts'

const againMs = 5_000

/** Tranches of a job that have tasks of these open, with those. */
export function tranchesWith(
  turn: Turn, job: Job, tasks: Ranges, states: readonly string[],
): { readonly tranche: HomeTranche; readonly tasks: Ranges }[] {
  const found: { tranche: HomeTranche; tasks: Ranges }[] = []
  for (const id of job.contracts) {
    for (const name of turn.view.get('homeContracts', id)?.tranches ?? []) {
      const tranche = turn.view.get('homeTranches', name)
      const kind = tranche?.state.kind
      if (!tranche || (kind !== 'awarded' && kind !== 'live') || tranche.stop) continue
      const here = inState(turn, tranche, commonRanges(tranche.open, tasks), states)
      if (rangesSize(here) > 0) found.push({ tranche, tasks: here })
    }
  }
  return found
}

function inState(
  turn: Turn, { id, job }: HomeTranche, tasks: Ranges, states: readonly string[],
): Ranges {
  const found: [number, number][] = []
  for (const [first, last] of tasks) {
    for (let task = first; task <= last; task++) {
      const known = turn.view.get('homeTasks', taskKey(job, task))
      if (known?.tranche !== id || !states.includes(known.state)) continue
      const before = found.at(-1)
      if (before && before[1] === task - 1) before[1] = task
      else found.push([task, task])
    }
  }
  return found
}

/** Whether one more order can be told to each of them. */
export function roomFor(
  turn: Turn, at: readonly { readonly tranche: HomeTranche }[],
): SiteName | undefined {
  return at.find(({ tranche: { id } }) =>
    (turn.view.get('trancheOrders', id)?.open.length ?? 0) >= ordersOpenMax)?.tranche.host
}

export function order(
  turn: Turn, tranche: HomeTranche,
  { verb, signal = '', tasks }: {
    readonly verb: HostVerb; readonly signal?: Order['signal']; readonly tasks: Ranges
  },
): Told {
  const { view } = turn
  const known = view.get('trancheOrders', tranche.id) ?? { last: 0, open: [] }
  const one: Order = { n: known.last + 1, verb, signal, tasks: formatRanges(tasks) }
  view.put('trancheOrders', tranche.id, { last: one.n, open: [...known.open, one] })
  tellOrders(turn, tranche.id)
  const { id, host } = tranche
  return { tranche: id, n: one.n, host, tasks: one.tasks, state: 'sent', words: '' }
}

/** [CONTROL-2] */
export function tellOrders(turn: Turn, id: TrancheId): void {
  const tranche = turn.view.get('homeTranches', id)
  const orders = turn.view.get('trancheOrders', id)
  if (!orders) return
  const kind = tranche?.state.kind
  const isOver = !tranche || kind === 'lapsed' || kind === 'settled'
    || rangesSize(tranche.open) === 0
  if (isOver) return dropOrders(turn, id)
  send(turn, tranche.host, { kind: 'control', tranche: id, orders: orders.open })
  setTimer(turn, `control/${id}`, turn.now + againMs)
}

function dropOrders(turn: Turn, id: TrancheId): void {
  const orders = turn.view.get('trancheOrders', id)
  const job = turn.view.get('homeTranches', id)?.job
  turn.view.remove('trancheOrders', id)
  setTimer(turn, `control/${id}`, undefined)
  if (!orders || job === undefined) return
  for (const { n } of orders.open) {
    noteTold(turn, job, { tranche: id, n, state: 'void', words: 'its tasks had ended before' })
  }
}

export function onControlled(
  turn: Turn, from: SiteName, { tranche: id, through, refused }: MessageOf<'controlled'>,
): void {
  const tranche = turn.view.get('homeTranches', id)
  const orders = turn.view.get('trancheOrders', id)
  if (tranche?.host !== from || !orders) return
  if (through > orders.last) return startAnew(turn, tranche, through)
  const words = new Map(refused.map((one) => [one.n, one.words]))
  const open = orders.open.filter(({ n }) => n > through)
  if (open.length === orders.open.length) return
  for (const { n, verb } of orders.open) {
    if (n > through) continue
    const why = words.get(n)
    if (why !== undefined) count(turn, 'orders_refused')
    if (why !== undefined && verb === 'requeue') forgetAgain(turn, tranche, orders.open, n)
    const state = why === undefined ? 'done' : 'refused'
    noteTold(turn, tranche.job, { tranche: id, n, state, words: why ?? '' })
  }
  turn.view.put('trancheOrders', id, { ...orders, open })
  if (open.length === 0) setTimer(turn, `control/${id}`, undefined)
}

/** Our disk was put back: the host has done more than we remember to have asked. */
function startAnew(turn: Turn, { id, job }: HomeTranche, through: number): void {
  const { open = [] } = turn.view.get('trancheOrders', id) ?? {}
  turn.view.put('trancheOrders', id, { last: through, open: [] })
  setTimer(turn, `control/${id}`, undefined)
  const words = 'not done: our records were put back to an earlier time; ask again'
  for (const { n } of open) noteTold(turn, job, { tranche: id, n, state: 'refused', words })
}

/** It was not stopped, so its end will be its own. */
function forgetAgain(
  turn: Turn, { job }: HomeTranche, open: readonly Order[], number: number,
): void {
  const orders = turn.view.get('jobOrders', job)
  const tasks = open.find(({ n }) => n === number)?.tasks ?? ''
  const ranges = parseRanges(tasks, { last: limits.taskNumberMax }) ?? []
  if (!orders) return
  const again = orders.again.filter(([first, last]) =>
    rangesSize(commonRanges([[first, last]], ranges)) === 0)
  turn.view.put('jobOrders', job, { ...orders, again })
}

function noteTold(
  turn: Turn, job: JobId, told: Pick<Told, 'tranche' | 'n' | 'state' | 'words'>,
): void {
  const orders = turn.view.get('jobOrders', job)
  if (!orders) return
  const { tranche, n, state, words } = told
  const heard: JobOrders['heard'] = orders.heard.map((one) => ({
    ...one,
    told: one.told.slice(0, toldMax).map((old) =>
      old.tranche === tranche && old.n === n ? { ...old, state, words } : old),
  }))
  turn.view.put('jobOrders', job, { ...orders, heard })
  changeJob(turn, job, {})
}
