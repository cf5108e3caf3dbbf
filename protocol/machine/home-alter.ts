// What an owner alters of a job: what of it is possible, and what follows for the tasks that wait.
//
// [VERB-4] A budget is no less than what is spent or held. What tasks need, where they may go and
//   how long they take is altered for those that wait: contracts made for the old wishes get no
//   more of them. A job waits for none that waits for it.

import type { JobId } from '../base/ids.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import { rangesSize, subtractRanges } from '../base/ranges.ts'
import { formatCredits } from '../base/units.ts'
import type { JobChange } from '../rules/request.ts'
import { compileRequirement } from '../rules/requirements.ts'
import { changeJob, closeContract, documentOf, openContracts, unplaced } from './home-book.ts'
import { countQueues, queueRefusal } from './home-queue.ts'
import { register, wakeLine, wrongWait } from './home-waiting.ts'
import { documentNow } from './job-orders.ts'
import type { Job } from './state.ts'
import type { Turn } from './turn.ts'
import { setTimer } from './turn.ts'

interface Refused {
  readonly reason: 'state' | 'malformed'
  readonly detail: string
}

export function alter(
  turn: Turn, job: Job, change: JobChange,
): Outcome<{ readonly detail: string; readonly told: [] }, Refused> {
  const names = Object.keys(change)
  const wrong = wrongWish(turn, job, change)
  if (names.length === 0) return refuse({ reason: 'malformed', detail: 'alter: nothing to alter' })
  if (wrong) return refuse(wrong)
  // Nothing below can fail.
  const { view } = turn
  const before = documentOf(turn, job.id)
  const orders = view.get('jobOrders', job.id)!
  const changed = { ...orders.changed, ...change }
  const waitsAnew = change.after !== undefined || change.begin_ms !== undefined
    || change.after_any !== undefined
  const ready = waitsAnew ? subtractRanges(orders.ready, unplaced(job)) : orders.ready
  const avoid = change.sites === undefined ? orders.avoid : []
  view.put('jobOrders', job.id, { ...orders, changed, ready, avoid })
  if (change.name !== undefined) changeJob(turn, job.id, { name: change.name })
  register(turn, job.id, documentOf(turn, job.id))
  if (change.name !== undefined) wakeLine(turn, before)
  if (change.queue !== undefined) countQueues(turn)
  const isOther = change.walltime_seconds !== undefined || change.requirements !== undefined
    || change.sites !== undefined
  if (isOther) for (const contract of openContracts(turn, job)) closeContract(turn, contract)
  const waits = rangesSize(unplaced(job)) > 0
  if (waits) setTimer(turn, `round/${job.id}`, turn.now)
  const left = job.total - rangesSize(unplaced(job))
  const rest = isOther && left > 0 ? `; what hosts have, or is over, stays as it was (${left})` : ''
  return ok({ detail: `altered: ${names.join(', ')}${rest}`, told: [] })
}

function wrongWish(turn: Turn, job: Job, change: JobChange): Refused | undefined {
  const { view, self } = turn
  const committed = job.spent + job.reserved
  if (change.budget !== undefined && change.budget < committed) {
    return { reason: 'state', detail: `budget: ${formatCredits(committed)} cr are spent or held ` +
      `already, got ${formatCredits(change.budget)} cr; give at least that` }
  }
  const forWaiting = (['walltime_seconds', 'requirements', 'sites', 'after', 'begin_ms'] as const)
    .find((name) => change[name] !== undefined)
  if (forWaiting && rangesSize(unplaced(job)) === 0) {
    return { reason: 'state', detail: `${forWaiting}: every task of job ${job.id} is placed ` +
      'already, and keeps what its host was awarded it for; gridnode requeue places it again' }
  }
  if (change.requirements !== undefined && change.requirements !== '') {
    const compiled = compileRequirement(change.requirements)
    if (!compiled.ok) {
      const { position, detail } = compiled.refusal
      return { reason: 'malformed', detail: `requirements, at character ${position}: ${detail}` }
    }
  }
  const { queue } = change
  const unfit = queue === undefined ? undefined
    : queueRefusal(turn, { ...documentOf(turn, job.id), ...change, queue }, job.total)
  if (unfit) return { reason: 'state', detail: unfit.detail }
  for (const site of change.sites ?? []) {
    if (site === self.site || view.get('members', site)) continue
    const detail = `${site} is not a site of this federation; see gridnode peers`
    return { reason: 'malformed', detail }
  }
  const { tasks } = documentOf(turn, job.id)
  const after = change.after ?? []
  const wait = wrongWait(turn, {
    tasks, after, ...(change.begin_ms !== undefined && { begin_ms: change.begin_ms }),
  })
  if (wait !== undefined) return { reason: 'malformed', detail: wait }
  const circle = after.find((one) => one.job !== '' && waitsFor(turn, one.job as JobId, job.id))
  if (!circle) return undefined
  return { reason: 'state', detail: `${circle.kind}: job ${circle.job} waits for job ${job.id}` }
}

/** Whether `job` is `other`, or waits for it, by whatever others. */
function waitsFor(turn: Turn, job: JobId, other: JobId): boolean {
  const seen = new Set<string>()
  const left: string[] = [job]
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    if (next === other) return true
    if (seen.has(next) || turn.view.get('jobs', next)?.state.kind !== 'open') continue
    seen.add(next)
    const parents = documentNow(turn.view, next)?.after ?? []
    for (const parent of parents) if (parent.job !== '') left.push(parent.job)
  }
  return false
}
