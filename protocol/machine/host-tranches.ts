// The host while it works: documents and go → staging → submitting → running → settling →
// claimed → settled. What the scheduler and the staging area did comes in as events; the home
// hears of every change by reports, and answers with a lease.
//
// Invariants: nothing is submitted without a go; a tranche is submitted under its own name, so
// asking twice starts it once; only an observed end ends a task.

import { unreachable } from '../base/assert.ts'
import { clip } from '../base/clip.ts'
import type { SiteName, TrancheId } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { Ranges } from '../base/ranges.ts'
import { parseRanges, rangesSize, rangesValues, subtractRanges } from '../base/ranges.ts'
import { trancheTasks } from '../rules/contract.ts'
import type { JobDocument } from '../rules/job.ts'
import { readJob } from '../rules/job.ts'
import { unstartedTask } from '../rules/run.ts'
import type { EventOf } from './events.ts'
import { onAuctionClosed } from './host-bids.ts'
import { accountOf, isOwners } from './host-accounts.ts'
import { changeTranche, endTask, leaseLives, releaseSlots, retryMsMin } from './host-book.ts'
import { jobFits } from './host-capacity.ts'
import { askRemoval, closeEnded, settle } from './host-claims.ts'
import { openContract, takeTranche } from './host-contracts.ts'
import { doOrders, resumeOrders } from './host-control.ts'
import { startMeter } from './host-meter.ts'
import { checkEnd } from './host-tasks.ts'
import { documentNow } from './job-orders.ts'
import type { Ack, MessageOf } from './messages.ts'
import type { HostContract, HostTask, HostTranche } from './state.ts'
import { taskKey } from './state.ts'
import type { Turn } from './turn.ts'
import { count, send, setTimer } from './turn.ts'

const retryMsMax = 60_000
const stagingTriesMax = 10

/** What the hold pays for; from ourselves it also opens the contract, since nothing is owed. */
export function onDocuments(turn: Turn, from: SiteName, message: MessageOf<'documents'>): void {
  const { view } = turn
  // Looked up before a long note is checked: who sends what nobody waits for costs us nothing.
  const awaited = view.get('hostTranches', message.tranche)
  const isAwaited = awaited?.home === from && awaited.phase === 'waiting'
    && rangesSize(awaited.tasks) === 0
  if (from !== turn.self.site && !isAwaited) return
  const job = readJob(message.job)
  if (!job.ok) return count(turn, 'documents_malformed')
  if (from === turn.self.site) takeOwn(turn, message)
  const tranche = view.get('hostTranches', message.tranche)
  const contract = tranche && view.get('hostContracts', tranche.contract)
  if (!tranche || !contract || tranche.home !== from || tranche.phase !== 'waiting') return
  if (rangesSize(tranche.tasks) > 0) return
  const promised = contract.sid === '' ? undefined : view.get('ledgerContracts', contract.sid)
  const wrong = promised !== undefined && promised.terms.job !== job.value.sid
  if (wrong || !isAsBid(contract, job.value.document)) return count(turn, 'documents_wrong_job')
  const { doc, tasks: size } = tranche.committed
  const tasks = doc === '' ? ownTasks(message)
    : trancheTasks(message.document, { doc, tasks: size })
  if (!tasks) return count(turn, 'documents_wrong_tranche')
  if (!jobFits(turn, contract, message.job)) return count(turn, 'documents_too_many')
  // Nothing below can fail.
  if (!view.get('hostJobs', contract.id)) {
    const { document, id } = job.value
    view.put('hostJobs', contract.id, { note: message.job, document, job: id })
  }
  for (const task of rangesValues(tasks)) {
    const fresh: HostTask = {
      ...unstartedTask, task, tranche: tranche.id, revision: 1, seenEpochMs: 0,
    }
    view.put('hostTasks', taskKey(tranche.id, task), fresh)
  }
  changeTranche(turn, { ...tranche, tasks, salt: message.document.salt })
  proceed(turn, tranche.id)
}

/** Whether the job is what was bid for: no larger, and of the owner whose account was chosen. */
function isAsBid(contract: HostContract, job: JobDocument): boolean {
  return contract.cores === job.cores && contract.memoryMib === job.memory_mib &&
    (contract.gpus ?? 0) === (job.gpus ?? 0) && isOwners(contract.account, job)
}

function ownTasks(message: MessageOf<'documents'>): Ranges | undefined {
  return parseRanges(message.document.tasks, { last: limits.taskNumberMax })
}

function takeOwn(turn: Turn, message: MessageOf<'documents'>): void {
  const { view, self } = turn
  if (view.get('hostTranches', message.tranche)) return
  const home = view.get('homeContracts', message.contract)
  const paying = view.get('homeTranches', message.tranche)
  const job = home && documentNow(view, home.job)
  if (!home || !job || !paying || paying.state.kind === 'settled') return
  // Before the bid goes, which keeps an account of the pool for its owner.
  const account = accountOf(turn, self.site, { user: job.user, project: job.project ?? '' })
  if (!account.ok) return count(turn, 'contract_not_agreed')
  onAuctionClosed(turn, self.site, home.auction)
  const contract = view.get('hostContracts', message.contract) ?? openContract(turn, {
    home: self.site,
    sid: '',
    id: message.contract,
    cores: job.cores,
    memoryMib: job.memory_mib,
    walltimeSeconds: job.walltime_seconds,
    leaseSeconds: self.market.leaseSeconds,
    slots: home.slots,
    queueSlots: home.queueSlots,
    tasksMax: limits.tasksPerJob,
    ...(job.gpus !== undefined && { gpus: job.gpus }),
    ...(account.value && { account: account.value }),
  })
  const tasks = rangesSize(ownTasks(message) ?? [])
  takeTranche(turn, contract, { hold: '', id: message.tranche, committed: { doc: '', tasks } })
}

/** The home's word on a report: it renews the lease, or ends the tranche. */
export function onAck(turn: Turn, from: SiteName, ack: Ack): void {
  const { view } = turn
  const tranche = view.get('hostTranches', ack.tranche)
  if (!tranche || tranche.home !== from || tranche.phase === 'settled') return
  const taken = parseRanges(ack.taken, { last: limits.taskNumberMax })
  if (!taken) return count(turn, 'ack_malformed')
  // Only ever stricter: a go that was sent before a stop and comes after it changes nothing.
  const directive = stricter(tranche.directive, heardDirective(turn, tranche, ack))
  // The oldest report that may not have been answered before: counting from it errs on the safe
  // side.
  const answered = tranche.sentEpochMs > 0 && ack.revision >= tranche.sentRevision
  const leaseUntilEpochMs = directive === 'go' && answered
    ? Math.max(tranche.leaseUntilEpochMs, tranche.sentEpochMs + ack.lease_seconds * 1000)
    : tranche.leaseUntilEpochMs
  const ackedRevision = Math.max(tranche.ackedRevision, Math.min(ack.revision, tranche.revision))
  const sentEpochMs = answered ? 0 : tranche.sentEpochMs
  const heard = {
    ...tranche, directive, leaseUntilEpochMs, ackedRevision, sentEpochMs,
    taken: takenNow(tranche, taken),
  }
  view.put('hostTranches', tranche.id, heard)
  if (directive !== 'go' && tranche.directive !== directive) stopTranche(turn, heard)
  proceed(turn, tranche.id)
  closeEnded(turn, tranche.id, ack.directive === 'lapsed')
  keepFor(turn, tranche.id)
}

/** What was taken once is taken: an older word may come behind a newer one. */
function takenNow({ tasks, taken }: HostTranche, more: Ranges): Ranges {
  return subtractRanges(tasks, subtractRanges(subtractRanges(tasks, taken), more))
}

/**
 * How long we wait for another word. No word prolongs it for what has not begun, nor for what has
 * ended: else a home could keep slots and results here for nothing but words.
 */
function keepFor(turn: Turn, id: TrancheId): void {
  const tranche = turn.view.get('hostTranches', id)
  if (!tranche || tranche.phase === 'settled' || tranche.phase === 'waiting') return
  const since = tranche.endedEpochMs > 0 ? tranche.endedEpochMs : turn.now
  setTimer(turn, `keep/${id}`, since + turn.self.keepResultsSeconds * 1000)
}

/**
 * The home's lease outlives ours, so while ours lives it cannot have lapsed: who says so to pay for
 * less has stopped the tranche.
 */
function heardDirective(
  turn: Turn, tranche: HostTranche, { directive }: Ack,
): Ack['directive'] {
  const early = directive === 'lapsed' && tranche.hold !== '' && leaseLives(turn, tranche)
  return early ? 'stop' : directive
}

const strictness = { none: 0, go: 1, stop: 2, lapsed: 3 } as const

function stricter(
  known: HostTranche['directive'], said: Ack['directive'],
): HostTranche['directive'] {
  return strictness[said] > strictness[known] ? said : known
}

/** The next thing to do for a tranche, whatever just happened; doing it again changes nothing. */
export function proceed(turn: Turn, id: TrancheId): void {
  const tranche = turn.view.get('hostTranches', id)
  if (!tranche) return
  if (tranche.phase === 'waiting') {
    if (rangesSize(tranche.tasks) === 0) {
      if (tranche.directive === 'go') wantDocuments(turn, tranche)
      else if (tranche.directive !== 'none') finishUnstarted(turn, tranche)
    } else if (tranche.directive === 'go' && leaseLives(turn, tranche)) {
      changeTranche(turn, { ...tranche, phase: 'staging' })
      turn.effects.push({ kind: 'stageTranche', tranche: id })
    } else if (tranche.directive === 'stop' || tranche.directive === 'lapsed') {
      finishUnstarted(turn, tranche)
    }
  }
  settle(turn, id)
}

function wantDocuments(turn: Turn, tranche: HostTranche): void {
  send(turn, tranche.home, { kind: 'documents_wanted', tranche: tranche.id })
}

function stopTranche(turn: Turn, tranche: HostTranche): void {
  switch (tranche.phase) {
    case 'staging': return finishUnstarted(turn, tranche)
    case 'submitting':
    case 'running':
      turn.effects.push({ kind: 'cancelTranche', tranche: tranche.id })
      setTimer(turn, `stop/${tranche.id}`, turn.now + retryMsMin)
      return undefined
    default: return undefined
  }
}

/** Nothing of it was ever given to the scheduler. */
function finishUnstarted(turn: Turn, tranche: HostTranche, detail = ''): void {
  const how = detail === '' ? 'cancelled' : 'refused'
  for (const task of rangesValues(tranche.tasks)) {
    endTask(turn, tranche.id, task, { how, detail, state: 'ended' })
  }
  const now = turn.view.get('hostTranches', tranche.id) ?? tranche
  releaseSlots(turn, now.contract, now.open, 0)
  changeTranche(turn, { ...now, open: 0, phase: 'settling', detail, endedEpochMs: turn.now })
  setTimer(turn, `retry/${tranche.id}`, undefined)
  settle(turn, tranche.id)
}

export function onStaged(turn: Turn, event: EventOf<'trancheStaged'>): void {
  const tranche = turn.view.get('hostTranches', event.tranche)
  if (tranche?.phase !== 'staging') return
  changeTranche(turn, { ...tranche, phase: 'submitting', tries: 0 })
  turn.effects.push({ kind: 'submitTranche', tranche: tranche.id })
}

export function onStagingFailed(turn: Turn, event: EventOf<'trancheStagingFailed'>): void {
  const tranche = turn.view.get('hostTranches', event.tranche)
  if (tranche?.phase !== 'staging') return
  const { detail } = event
  count(turn, 'staging_failed')
  if (event.permanent || tranche.tries >= stagingTriesMax) {
    return finishUnstarted(turn, tranche, clip(detail, 500))
  }
  retryLater(turn, tranche, detail)
}

function retryLater(turn: Turn, tranche: HostTranche, detail: string): void {
  const wait = Math.min(retryMsMax, retryMsMin * 2 ** Math.min(10, tranche.tries))
  const tries = tranche.tries + 1
  turn.view.put('hostTranches', tranche.id, { ...tranche, tries, detail: clip(detail, 500) })
  setTimer(turn, `retry/${tranche.id}`, turn.now + wait)
}

export function onRetry(turn: Turn, id: TrancheId): void {
  const tranche = turn.view.get('hostTranches', id)
  const phase = tranche?.phase
  if (phase === 'staging') turn.effects.push({ kind: 'stageTranche', tranche: id })
  if (phase === 'submitting') turn.effects.push({ kind: 'submitTranche', tranche: id })
  if (tranche && phase === 'settled') askRemoval(turn, tranche)
}

export function onSubmitted(turn: Turn, event: EventOf<'trancheSubmitted'>): void {
  const tranche = turn.view.get('hostTranches', event.tranche)
  if (tranche?.phase !== 'submitting') return
  changeTranche(turn, { ...tranche, phase: 'running', tries: 0, detail: event.localId })
  startMeter(turn, tranche)
  doOrders(turn, tranche.id)
  if (tranche.directive !== 'go' || tranche.notice !== '') {
    stopTranche(turn, { ...tranche, phase: 'running' })
  }
  checkEnd(turn, tranche.id)
}

export function onSubmitRefused(turn: Turn, event: EventOf<'trancheSubmitRefused'>): void {
  const tranche = turn.view.get('hostTranches', event.tranche)
  if (tranche?.phase !== 'submitting') return
  finishUnstarted(turn, tranche, clip(event.detail, 500) || 'the scheduler refused')
}

/**
 * [RUN-5] Unknown whether it was submitted: asked again under the same name, never counted as
 * failed.
 */
export function onSubmitFailed(turn: Turn, event: EventOf<'trancheSubmitFailed'>): void {
  const tranche = turn.view.get('hostTranches', event.tranche)
  if (tranche?.phase === 'submitting') retryLater(turn, tranche, event.detail)
}

/** After a start: whatever was asked of the world and not answered is asked again. */
export function resumeTranche(turn: Turn, tranche: HostTranche): void {
  const { id } = tranche
  switch (tranche.phase) {
    case 'waiting': return proceed(turn, id)
    case 'staging': return void turn.effects.push({ kind: 'stageTranche', tranche: id })
    case 'submitting':
      // Its tasks may have ended before the scheduler's answer came.
      turn.effects.push({ kind: 'submitTranche', tranche: id })
      return resumeTasks(turn, tranche)
    case 'running':
      resumeOrders(turn, id)
      return resumeTasks(turn, tranche)
    case 'settling': return settle(turn, id)
    case 'claimed': return undefined
    case 'settled':
      if (tranche.open > 0) turn.effects.push({ kind: 'cancelTranche', tranche: id })
      return askRemoval(turn, tranche)
    default: return unreachable(tranche.phase)
  }
}

function resumeTasks(turn: Turn, tranche: HostTranche): void {
  const { id } = tranche
  for (const task of rangesValues(tranche.tasks)) {
    if (turn.view.get('hostTasks', taskKey(id, task))?.state !== 'collecting') continue
    turn.effects.push({ kind: 'collectTask', tranche: id, task })
  }
  if (tranche.directive !== 'go' || tranche.notice !== '') stopTranche(turn, tranche)
}

export function onStopRetry(turn: Turn, id: TrancheId): void {
  const tranche = turn.view.get('hostTranches', id)
  if (tranche && (tranche.phase === 'submitting' || tranche.phase === 'running')) {
    stopTranche(turn, tranche)
  }
}
