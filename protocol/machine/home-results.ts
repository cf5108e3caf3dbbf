// Results on their way home: fetched from the host as soon as a task has ended, tried again at
// growing distances.
//
// [TRANCHE-4] Results that a connected host cannot hand over in `resultTriesMax` tries are not
//   there: the task is placed again; if it is we who cannot keep them, it has failed; if the job is
//   being cancelled, it is over.

import { clip } from '../base/clip.ts'
import type { TrancheId } from '../base/ids.ts'
import { addRanges } from '../base/ranges.ts'
import { verdictOf } from '../rules/run.ts'
import type { EventOf } from './events.ts'
import { changeJob, documentOf, placeAgain, withoutTree } from './home-book.ts'
import { noteUsed } from './home-queue.ts'
import { acceptIfDue, allIn } from './home-claims.ts'
import { settled } from './home-tranches.ts'
import type { HomeTask } from './state.ts'
import { taskKey } from './state.ts'
import type { Turn } from './turn.ts'
import { count, isUp, setTimer } from './turn.ts'

const resultTriesMax = 12
const resultRetryMsMin = 1_000
const resultRetryMsMax = 60_000

export function askResult(turn: Turn, { job, task, tranche, host, report }: HomeTask): void {
  if (!report) return
  turn.effects.push({ kind: 'takeResult', job, task, tranche, host, tree: report.tree })
}

/** The task's last state, once its results are here (or there are none). */
export function finish(turn: Turn, task: HomeTask, verdict = verdictOf(task.report!)): void {
  if (verdict.kind === 'again') return
  const detail = verdict.kind === 'failed' ? verdict.detail : ''
  const key = taskKey(task.job, task.task)
  turn.view.put('homeTasks', key, { ...task, state: verdict.kind, detail })
  setTimer(turn, `result/${key}`, undefined)
  const tranche = turn.view.get('homeTranches', task.tranche)
  const job = turn.view.get('jobs', task.job)
  if (!tranche || !job) return
  const taken = addRanges(tranche.taken, [[task.task, task.task]])
  turn.view.put('homeTranches', tranche.id, { ...tranche, taken })
  // No host's word makes more of it than the task may have taken.
  const { cores, walltime_seconds: most } = documentOf(turn, job.id)
  noteUsed(turn, job.user, Math.min(task.report?.core_s ?? 0, cores * most))
  changeJob(turn, job.id, { [verdict.kind]: job[verdict.kind] + 1 })
  if (tranche.state.kind === 'live') turn.toAck.add(tranche.id)
  closeLocal(turn, tranche.id)
  acceptIfDue(turn, tranche.id)
  turn.toPlace.add(job.id)
}

/**
 * At home nothing is claimed: the tranche is over with its last task, and its host may clear up.
 */
export function closeLocal(turn: Turn, id: TrancheId): void {
  const tranche = turn.view.get('homeTranches', id)
  if (!tranche || tranche.hold !== '' || tranche.state.kind === 'settled') return
  if (allIn(turn, tranche)) settled(turn, tranche, 'local', 0n)
}

export function onResultTaken(turn: Turn, event: EventOf<'resultTaken'>): void {
  const known = turn.view.get('homeTasks', taskKey(event.job, event.task))
  if (known?.state !== 'returning' || known.tranche !== event.tranche) return
  finish(turn, known)
}

export function onResultFailed(turn: Turn, event: EventOf<'resultFailed'>): void {
  const key = taskKey(event.job, event.task)
  const known = turn.view.get('homeTasks', key)
  if (known?.state !== 'returning' || known.tranche !== event.tranche) return
  // A host that is away does not count: the lease decides about that.
  const tries = known.tries + (isUp(turn, known.host) ? 1 : 0)
  count(turn, 'result_failed')
  const detail = clip(event.detail, 500)
  const isOpen = turn.view.get('jobs', event.job)?.state.kind === 'open'
  if (tries >= resultTriesMax && event.here === true) {
    // No other host could help.
    const verdict = { kind: 'failed', detail: `results not kept: ${detail}` } as const
    return finish(turn, withoutTree(known), verdict)
  }
  if (tries >= resultTriesMax || !isOpen) return giveUpResult(turn, { ...known, detail })
  turn.view.put('homeTasks', key, { ...known, tries, detail })
  const wait = Math.min(resultRetryMsMax, resultRetryMsMin * 2 ** Math.min(10, tries))
  setTimer(turn, `result/${key}`, turn.now + wait)
}

/** [TRANCHE-4] */
function giveUpResult(turn: Turn, { job, task, tranche, host, detail }: HomeTask): void {
  count(turn, 'results_given_up')
  setTimer(turn, `result/${taskKey(job, task)}`, undefined)
  placeAgain(turn, job, [[task, task]], `the results could not be fetched from ${host}: ${detail}`)
  closeLocal(turn, tranche)
  acceptIfDue(turn, tranche)
  turn.toPlace.add(job)
}

export function onResultRetry(turn: Turn, key: string): void {
  const known = turn.view.get('homeTasks', key)
  if (known?.state === 'returning') askResult(turn, known)
}
