// The host while it works: documents and go → staging → submitting → running → settling → claimed →
// settled. What the scheduler and the staging area did comes in as events; the home hears of every
// change by reports, and answers with a lease.
//
// Invariants: nothing is submitted without a go; a tranche is submitted under its own name, so
// asking twice starts it once; only an observed end ends a task.

import { unreachable } from '../base/assert.ts'
import { clip } from '../base/clip.ts'
import type { SiteName, TrancheId } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { Ranges } from '../base/ranges.ts'
import { parseRanges, rangesSize, rangesValues } from '../base/ranges.ts'
import { readJob } from '../rules/job.ts'
import { trancheTasks } from '../rules/contract.ts'
import { meteredUsage, unstartedTask } from '../rules/run.ts'
import type { TaskReport } from '../rules/run.ts'
import { onAuctionClosed, openContract, takeTranche } from './host-bids.ts'
import { jobFits } from './host-capacity.ts'
import { askRemoval, settle } from './host-claims.ts'
import type { Ack, MessageOf, Report } from './messages.ts'
import type { EventOf, ObservedTask } from './events.ts'
import type { HostContract, HostTask, HostTranche } from './state.ts'
import { taskKey } from './state.ts'
import type { Turn } from './turn.ts'
import { count, isUp, send, setTimer } from './turn.ts'

const reportMsMax = 15_000
const retryMsMin = 2_000
const retryMsMax = 60_000
const stagingTriesMax = 10
/** Of the promised outputs that a task did not leave, so many are named. */
const missingMax = 8
const missingBytesMax = 256

/** What the hold pays for; from ourselves it also opens the contract, since nothing is owed. */
export function onDocuments(turn: Turn, from: SiteName, message: MessageOf<'documents'>): void {
  const { view } = turn
  const job = readJob(message.job)
  if (!job.ok) return count(turn, 'documents_malformed')
  if (from === turn.self.site) takeOwn(turn, message, job.value.document)
  const tranche = view.get('hostTranches', message.tranche)
  const contract = tranche && view.get('hostContracts', tranche.contract)
  if (!tranche || !contract || tranche.home !== from || tranche.phase !== 'waiting') return
  if (rangesSize(tranche.tasks) > 0) return
  const promised = contract.sid === '' ? undefined : view.get('ledgerContracts', contract.sid)
  if (promised && promised.terms.job !== job.value.sid) return count(turn, 'documents_wrong_job')
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
    const fresh: HostTask = { ...unstartedTask, task, tranche: tranche.id, revision: 1 }
    view.put('hostTasks', taskKey(tranche.id, task), fresh)
  }
  changeTranche(turn, { ...tranche, tasks, salt: message.document.salt })
  proceed(turn, tranche.id)
}

function ownTasks(message: MessageOf<'documents'>): Ranges | undefined {
  return parseRanges(message.document.tasks, { last: 999_999_999 })
}

function takeOwn(
  turn: Turn, message: MessageOf<'documents'>,
  job: { cores: number; memory_mib: number; walltime_seconds: number },
): void {
  const { view, self } = turn
  if (view.get('hostTranches', message.tranche)) return
  const home = view.get('homeContracts', message.contract)
  const paying = view.get('homeTranches', message.tranche)
  if (!home || !paying || paying.state.kind === 'settled') return
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
  })
  const tasks = rangesSize(ownTasks(message) ?? [])
  takeTranche(turn, contract, { hold: '', id: message.tranche, committed: { doc: '', tasks } })
}

/** The home's word on a report: it renews the lease, or ends the tranche. */
export function onAck(turn: Turn, from: SiteName, ack: Ack): void {
  const { view } = turn
  const tranche = view.get('hostTranches', ack.tranche)
  if (!tranche || tranche.home !== from || tranche.phase === 'settled') return
  const taken = parseRanges(ack.taken, { last: 999_999_999 })
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
  const heard = { ...tranche, directive, leaseUntilEpochMs, ackedRevision, taken, sentEpochMs }
  view.put('hostTranches', tranche.id, heard)
  if (directive !== 'go' && tranche.directive !== directive) stopTranche(turn, heard)
  proceed(turn, tranche.id)
  keepFor(turn, tranche.id)
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

export function leaseLives(turn: Turn, tranche: HostTranche): boolean {
  return tranche.directive === 'go' && turn.now < tranche.leaseUntilEpochMs
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

/** Every change gets a revision and is reported. */
export function changeTranche(turn: Turn, tranche: HostTranche): void {
  turn.view.put('hostTranches', tranche.id, { ...tranche, revision: tranche.revision + 1 })
  turn.toReport.add(tranche.id)
}

function endTask(
  turn: Turn, tranche: TrancheId, task: number, change: Partial<TaskReport>,
): void {
  const known = turn.view.get('hostTasks', taskKey(tranche, task))
  const revision = (turn.view.get('hostTranches', tranche)?.revision ?? 0) + 1
  if (!known || known.state === 'ended') return
  turn.view.put('hostTasks', taskKey(tranche, task), { ...known, ...change, revision })
}

function releaseSlots(
  turn: Turn, id: HostContract['id'], ended: number, ran: number,
): void {
  const contract = turn.view.get('hostContracts', id)
  if (!contract) return
  turn.view.put('hostContracts', id, {
    ...contract,
    outstanding: contract.outstanding - ended,
    running: contract.running - ran,
  })
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
  if (tranche.directive !== 'go') stopTranche(turn, { ...tranche, phase: 'running' })
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
    case 'running': return resumeTasks(turn, tranche)
    case 'settling': return settle(turn, id)
    case 'claimed': return undefined
    case 'settled': return askRemoval(turn, tranche)
    default: return unreachable(tranche.phase)
  }
}

function resumeTasks(turn: Turn, tranche: HostTranche): void {
  const { id } = tranche
  for (const task of rangesValues(tranche.tasks)) {
    if (turn.view.get('hostTasks', taskKey(id, task))?.state !== 'collecting') continue
    turn.effects.push({ kind: 'collectTask', tranche: id, task })
  }
  if (tranche.directive !== 'go') stopTranche(turn, tranche)
}

export function onStopRetry(turn: Turn, id: TrancheId): void {
  const tranche = turn.view.get('hostTranches', id)
  if (tranche && (tranche.phase === 'submitting' || tranche.phase === 'running')) {
    stopTranche(turn, tranche)
  }
}

export function onTasksObserved(turn: Turn, event: EventOf<'tasksObserved'>): void {
  for (const seen of event.tasks) observe(turn, seen)
}

function observe(turn: Turn, seen: ObservedTask): void {
  const { view } = turn
  const tranche = view.get('hostTranches', seen.tranche)
  const task = view.get('hostTasks', taskKey(seen.tranche, seen.task))
  if (!tranche || !task || (tranche.phase !== 'submitting' && tranche.phase !== 'running')) return
  const before = task.state
  if (before === 'collecting' || before === 'ended' || seen.status.kind === 'queued') return
  const key = taskKey(seen.tranche, seen.task)
  const revision = tranche.revision + 1
  if (seen.status.kind === 'running') {
    if (before === 'running') return
    const started_ms = seen.status.startedEpochMs
    view.put('hostTasks', key, { ...task, state: 'running', started_ms, revision })
    releaseSlots(turn, tranche.contract, 0, -1)
    return changeTranche(turn, tranche)
  }
  const { how, exitCode, startedEpochMs, endedEpochMs } = seen.status
  const ran = endedEpochMs > startedEpochMs || how === 'exited'
  const contract = view.get('hostContracts', tranche.contract)
  const meter = contract && ran
    ? meteredUsage({ ...contract, startedMs: startedEpochMs, endedMs: endedEpochMs })
    : { core_s: 0, gib_s: 0 }
  const collect = ran && how !== 'lost'
  view.put('hostTasks', key, {
    ...task,
    ...meter,
    state: collect ? 'collecting' : 'ended',
    how,
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
    checkEnd(turn, tranche.id)
  }
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
  checkEnd(turn, id)
}

/**
 * When the last task has ended the tranche is ready to be settled; not before its submission was
 * answered, or one that is still under way could start it again after it was cleared up.
 */
function checkEnd(turn: Turn, id: TrancheId): void {
  const tranche = turn.view.get('hostTranches', id)
  if (tranche?.phase !== 'running' || tranche.open > 0) return
  for (const task of rangesValues(tranche.tasks)) {
    if (turn.view.get('hostTasks', taskKey(id, task))?.state !== 'ended') return
  }
  setTimer(turn, `stop/${id}`, undefined)
  changeTranche(turn, { ...tranche, phase: 'settling', endedEpochMs: turn.now })
  settle(turn, id)
}

/** Tasks that changed since the home last took note. */
export function reportOf(turn: Turn, tranche: HostTranche): Report {
  const tasks: TaskReport[] = []
  for (const task of rangesValues(tranche.tasks)) {
    const known = turn.view.get('hostTasks', taskKey(tranche.id, task))
    if (!known || known.revision <= tranche.ackedRevision || known.state === 'queued') continue
    const { tranche: _, revision: __, ...report } = known
    tasks.push(report)
  }
  const phase = tranche.phase === 'submitting' ? 'running'
    : tranche.phase === 'claimed' || tranche.phase === 'settled' ? 'settling' : tranche.phase
  return { tranche: tranche.id, revision: tranche.revision, phase, tasks }
}

/** At the end of a step: one message of reports a home. */
export function report(turn: Turn): void {
  const byHome = new Map<SiteName, Report[]>()
  for (const id of turn.toReport) {
    const tranche = turn.view.get('hostTranches', id)
    if (!tranche || tranche.phase === 'settled') continue
    const contract = turn.view.get('hostContracts', tranche.contract)
    const lease = contract?.leaseSeconds ?? turn.self.market.leaseSeconds
    const beat = Math.min(reportMsMax, Math.max(1_000, Math.floor((lease * 1000) / 4)))
    setTimer(turn, `report/${id}`, turn.now + (tranche.directive === 'none' ? retryMsMin : beat))
    if (!isUp(turn, tranche.home)) continue
    const sent = stampReport(turn, tranche)
    const reports = byHome.get(tranche.home) ?? []
    reports.push(reportOf(turn, sent))
    byHome.set(tranche.home, reports)
  }
  for (const [home, reports] of byHome) sendReports(turn, home, reports)
}

/** No message has more tasks than the largest tranche: their words, too, have to fit into one. */
function sendReports(turn: Turn, home: SiteName, reports: readonly Report[]): void {
  let [group, tasks]: [Report[], number] = [[], 0]
  for (const one of reports) {
    if (group.length === 256 || tasks + one.tasks.length > limits.tasksPerTranche) {
      send(turn, home, { kind: 'reports', reports: group })
      ;[group, tasks] = [[], 0]
    }
    group.push(one)
    tasks += one.tasks.length
  }
  if (group.length > 0) send(turn, home, { kind: 'reports', reports: group })
}

/**
 * [CONTRACT-3] A report after an answered one has a revision of its own, so old answers cannot pass
 * for new.
 */
function stampReport(turn: Turn, tranche: HostTranche): HostTranche {
  if (tranche.sentEpochMs > 0) return tranche
  const revision = tranche.revision + 1
  const sent = { ...tranche, revision, sentEpochMs: turn.now, sentRevision: revision }
  turn.view.put('hostTranches', tranche.id, sent)
  return sent
}

export function onHomeUp(turn: Turn, site: SiteName): void {
  for (const [, tranche] of turn.view.entries('hostTranches')) {
    if (tranche.home === site && tranche.phase !== 'settled') turn.toReport.add(tranche.id)
  }
}

/** [CONTRACT-6] Idle slots are kept for a contract only until its reservation ends. */
export function onContractClosed(
  turn: Turn, from: SiteName, id: HostContract['id'],
): void {
  const contract = turn.view.get('hostContracts', id)
  if (contract?.home !== from) return
  if (contract.tranches > 0) turn.view.put('hostContracts', id, { ...contract, open: false })
  else forgetContract(turn, id)
}

export function onIdle(turn: Turn, id: HostContract['id']): void {
  const contract = turn.view.get('hostContracts', id)
  if (!contract) return
  if (contract.outstanding > 0) {
    const reservedUntilEpochMs = turn.now + turn.self.market.bidValidSeconds * 1000
    const kept = Math.min(contract.kept, contract.outstanding)
    turn.view.put('hostContracts', id, { ...contract, kept, reservedUntilEpochMs })
    return setTimer(turn, `idle/${id}`, reservedUntilEpochMs)
  }
  if (contract.tranches > 0) turn.view.put('hostContracts', id, { ...contract, open: false })
  else forgetContract(turn, id)
}

export function forgetContract(turn: Turn, id: HostContract['id']): void {
  turn.view.remove('hostContracts', id)
  turn.view.remove('hostJobs', id)
  setTimer(turn, `idle/${id}`, undefined)
}

