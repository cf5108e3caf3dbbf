// What becomes of single tasks at the host: seen by the scheduler, collected, ended. Only an
// observed end ends a task.

import { clip } from '../base/clip.ts'
import type { TrancheId } from '../base/ids.ts'
import { rangesHave, rangesValues } from '../base/ranges.ts'
import type { TaskReport } from '../rules/run.ts'
import { meteredUsage } from '../rules/run.ts'
import type { EventOf, ObservedTask } from './events.ts'
import { changeTranche, releaseSlots } from './host-book.ts'
import { settle } from './host-claims.ts'
import { requeuedIn } from './host-control.ts'
import { gatherLocal } from './log-days.ts'
import { taskKey } from './state.ts'
import type { Turn } from './turn.ts'
import { count, setTimer } from './turn.ts'

/** Of the promised outputs that a task did not leave, so many are named. */
const missingMax = 8
const missingBytesMax = 256

export function onTasksObserved(turn: Turn, event: EventOf<'tasksObserved'>): void {
  for (const seen of event.tasks) observe(turn, seen)
}

function observe(turn: Turn, seen: ObservedTask): void {
  const { view } = turn
  const tranche = view.get('hostTranches', seen.tranche)
  if (!tranche && seen.status.kind === 'queued' && seen.status.held) return cancelLost(turn, seen)
  const found = view.get('hostTasks', taskKey(seen.tranche, seen.task))
  if (!tranche || !found || (tranche.phase !== 'submitting' && tranche.phase !== 'running')) return
  const before = found.state
  if (before === 'collecting' || before === 'ended') return
  const key = taskKey(seen.tranche, seen.task)
  const revision = tranche.revision + 1
  const { halt: was, ...task } = found
  if (seen.status.kind === 'queued') {
    const isHeld = seen.status.held === true
    if (before === 'running' || isHeld === (was === 'held')) return
    view.put('hostTasks', key, { ...task, ...(isHeld && { halt: 'held' as const }), revision })
    return changeTranche(turn, tranche)
  }
  if (seen.status.kind === 'running') {
    const isSuspended = seen.status.suspended === true
    if (before === 'running' && isSuspended === (was === 'suspended')) return
    const halt = isSuspended && { halt: 'suspended' as const }
    if (before === 'running') {
      view.put('hostTasks', key, { ...task, ...halt, revision })
      return changeTranche(turn, tranche)
    }
    const started_ms = seen.status.startedEpochMs
    const seenEpochMs = turn.now
    view.put('hostTasks', key, {
      ...task, ...halt, state: 'running', started_ms, revision, seenEpochMs,
    })
    releaseSlots(turn, tranche.contract, 0, -1)
    return changeTranche(turn, tranche)
  }
  const { exitCode, startedEpochMs, endedEpochMs } = seen.status
  // [RUN-6] What we cancelled by our own notice is not the user's end.
  const stopped = tranche.notice !== '' && seen.status.how === 'cancelled'
  const isAgain = seen.status.how === 'cancelled' && tranche.directive === 'go'
    && rangesHave(requeuedIn(turn, tranche.id), seen.task)
  const how = stopped ? 'stopped' : isAgain ? 'requeued' : seen.status.how
  const ran = endedEpochMs > startedEpochMs || how === 'exited'
  const contract = view.get('hostContracts', tranche.contract)
  const meter = contract && ran
    ? meteredUsage({ ...contract, startedMs: startedEpochMs, endedMs: endedEpochMs })
    : { core_s: 0, gib_s: 0 }
  const collect = ran && how !== 'lost' && how !== 'stopped' && how !== 'requeued'
  view.put('hostTasks', key, {
    ...task,
    ...meter,
    state: collect ? 'collecting' : 'ended',
    how,
    ...(stopped && { detail: tranche.notice }),
    exit_code: exitCode,
    started_ms: ran ? startedEpochMs : 0,
    ended_ms: ran ? endedEpochMs : 0,
    revision,
  })
  releaseSlots(turn, tranche.contract, 1, before === 'running' ? 1 : 0)
  changeTranche(turn, { ...tranche, open: tranche.open - 1 })
  if (collect) {
    turn.effects.push({ kind: 'collectTask', tranche: tranche.id, task: task.task })
  } else {
    gatherEnded(turn, tranche.id, task.task)
    checkEnd(turn, tranche.id)
  }
}

/**
 * [CONTROL-5] Our disk was put back to before it was submitted: held, it would wait for ever, and
 * nobody else can release it.
 */
function cancelLost(turn: Turn, { tranche }: ObservedTask): void {
  const isAsked = turn.effects.some((effect) =>
    effect.kind === 'cancelTranche' && effect.tranche === tranche)
  if (!isAsked) turn.effects.push({ kind: 'cancelTranche', tranche })
}

export function onTaskCollected(turn: Turn, event: EventOf<'taskCollected'>): void {
  const { tree, treeBytes: tree_bytes } = event
  const missing = event.missing.slice(0, missingMax).map((name) => clip(name, missingBytesMax))
  collected(turn, event, { tree, tree_bytes, missing })
}

/** The results cannot be read here: the task has run, but what it left is lost. */
export function onTaskCollectFailed(turn: Turn, event: EventOf<'taskCollectFailed'>): void {
  count(turn, 'collect_failed')
  const detail = clip(`its results could not be collected: ${event.detail}`, 500)
  collected(turn, event, { how: 'lost', detail })
}

function collected(
  turn: Turn,
  { tranche: id, task: index }: { tranche: TrancheId; task: number },
  change: Partial<TaskReport>,
): void {
  const tranche = turn.view.get('hostTranches', id)
  const task = turn.view.get('hostTasks', taskKey(id, index))
  if (!tranche || task?.state !== 'collecting') return
  const revision = tranche.revision + 1
  turn.view.put('hostTasks', taskKey(id, index), { ...task, ...change, state: 'ended', revision })
  changeTranche(turn, tranche)
  gatherEnded(turn, id, index)
  checkEnd(turn, id)
}

function gatherEnded(turn: Turn, id: TrancheId, index: number): void {
  const tranche = turn.view.get('hostTranches', id)
  const task = turn.view.get('hostTasks', taskKey(id, index))
  if (tranche && task) gatherLocal(turn, tranche, task)
}

/**
 * When the last task has ended the tranche is ready to be settled; not before its submission was
 * answered, or one that is still under way could start it again after it was cleared up.
 */
export function checkEnd(turn: Turn, id: TrancheId): void {
  const tranche = turn.view.get('hostTranches', id)
  if (tranche?.phase !== 'running' || tranche.open > 0) return
  for (const task of rangesValues(tranche.tasks)) {
    if (turn.view.get('hostTasks', taskKey(id, task))?.state !== 'ended') return
  }
  setTimer(turn, `stop/${id}`, undefined)
  changeTranche(turn, { ...tranche, phase: 'settling', endedEpochMs: turn.now })
  settle(turn, id)
}
