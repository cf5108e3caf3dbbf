// The home while others work for it: it commits tasks in tranches, each paid from one hold; answers
// reports with leases; takes the results; accepts what was rightly claimed.
//
// [TRANCHE-1] A hold is on the ledger before its tasks are committed to anybody.
// [TRANCHE-2] Only when the lease has run out are open tasks placed again; a word in time renews it.
// [TRANCHE-4] Results that a connected host cannot hand over in `resultTriesMax` tries are not there: the task
//   is placed again; if it is we who cannot keep them, it has failed; if the job is being cancelled, it is over.

import { clip } from '../base/clip.ts'
import { sha256Hex } from '../base/crypto.ts'
import { trancheIdOf } from '../base/ids.ts'
import type { ContractId, JobId, Sid, SiteName, TrancheId } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { Ranges } from '../base/ranges.ts'
import {
  addRanges, emptyRanges, formatRanges, rangesHave, rangesSize, rangesValues, subtractRanges,
  takeRanges,
} from '../base/ranges.ts'
import { microcredits, zeroMicrocredits } from '../base/units.ts'
import type { TrancheDocument } from '../rules/contract.ts'
import { trancheCommitment } from '../rules/contract.ts'
import type { TaskReport } from '../rules/run.ts'
import { verdictOf } from '../rules/run.ts'
import { say } from './delivery.ts'
import type { EventOf } from './events.ts'
import { acceptIfDue, allIn, nothingReported, noteUsage } from './home-claims.ts'
import { awardNext, creditLeft, tellLosers } from './home-auction.ts'
import {
  budgetLeft, changeJob, closeContract, documentOf, isOver, placeAgain,
  withoutTree,
} from './home-jobs.ts'
import { movedBy, standsStill } from './home-patience.ts'
import type { Ack, MessageOf, Report } from './messages.ts'
import type { HomeContract, HomeTask, HomeTranche, Job } from './state.ts'
import { taskKey } from './state.ts'
import type { Turn } from './turn.ts'
import { count, isUp, send, sendBehind, setTimer } from './turn.ts'

const startGraceSeconds = 30
const resultTriesMax = 12
const resultRetryMsMin = 1_000
const resultRetryMsMax = 60_000
const holdValidMs = 3_600_000

/** What is counted by its name; the words of a host that says others are kept, not counted. */
const declineReasons: ReadonlySet<string> = new Set([
  'bid_expired', 'contract_closed', 'draining', 'no_room', 'credit', 'amount', 'id_taken',
])

/** Commits up to `wanted` waiting tasks under a contract; returns how many money allowed. */
export function commitTasks(turn: Turn, id: ContractId, wanted: number): number {
  const { view, self, now } = turn
  const contract = view.get('homeContracts', id)
  const job = contract && view.get('jobs', contract.job)
  if (!contract || !job) return 0
  const size = Math.min(wanted, affordable(turn, contract, job), limits.tasksPerTranche)
  const { taken: tasks, rest } = takeRanges(job.waiting, size)
  if (rangesSize(tasks) === 0) return 0
  const cap = microcredits(contract.taskCap * BigInt(rangesSize(tasks)))
  const turns = `${id} ${contract.committed} ${formatRanges(tasks)}`
  const { nonce } = documentOf(turn, job.id)
  const salt = sha256Hex('gridnode/v1/salt\n', `${nonce} ${turns}`).slice(0, 32)
  const document: TrancheDocument = { salt, tasks: formatRanges(tasks) }
  let hold: Sid | '' = ''
  if (contract.sid !== '') {
    const said = say(turn, {
      kind: 'hold',
      to: contract.host,
      contract: contract.sid,
      amount: cap,
      tasks: rangesSize(tasks),
      valid_until: now + holdValidMs,
      doc: trancheCommitment(document),
    })
    if (!said.ok) {
      count(turn, `hold_refused_${said.refusal.reason}`)
      return 0
    }
    hold = said.value.sid
  }
  // Nothing below can fail.
  const named = hold === '' ? sha256Hex('gridnode/v1/own\n', turns) : hold
  const tranche: HomeTranche = {
    id: trancheIdOf(named),
    contract: id,
    job: job.id,
    host: contract.host,
    hold,
    tasks,
    salt,
    cap,
    open: tasks,
    taken: emptyRanges,
    reported: nothingReported,
    trouble: '',
    revision: 0,
    stop: false,
    movedEpochMs: now,
    state: { kind: 'awarded' },
  }
  view.put('homeTranches', tranche.id, tranche)
  view.put('homeContracts', id, {
    ...contract,
    outstanding: contract.outstanding + rangesSize(tasks),
    committed: contract.committed + rangesSize(tasks),
    tranches: [...contract.tranches, tranche.id],
  })
  for (const task of rangesValues(tasks)) commitTask(turn, tranche, task)
  const reserved = microcredits(job.reserved + cap)
  changeJob(turn, job.id, { waiting: rest, reserved })
  setTimer(turn, `lease/${tranche.id}`, now + self.market.awardSeconds * 1000)
  sendDocuments(turn, tranche.id)
  return rangesSize(tasks)
}

function affordable(turn: Turn, contract: HomeContract, job: Job): number {
  if (contract.taskCap === 0n) return limits.tasksPerTranche
  const credit = contract.sid === '' ? budgetLeft(turn, job) : creditLeft(turn, contract.host)
  const budget = budgetLeft(turn, job)
  const least = credit < budget ? credit : budget
  const tasks = least / contract.taskCap
  return tasks > BigInt(limits.tasksPerTranche) ? limits.tasksPerTranche : Number(tasks)
}

function commitTask(turn: Turn, tranche: HomeTranche, task: number): void {
  const key = taskKey(tranche.job, task)
  const known = turn.view.get('homeTasks', key)
  const fresh: HomeTask = {
    job: tranche.job,
    task,
    tranche: tranche.id,
    contract: tranche.contract,
    host: tranche.host,
    attempts: known?.attempts ?? 0,
    state: 'queued',
    detail: '',
    tries: 0,
  }
  turn.view.put('homeTasks', key, fresh)
}

function sendDocuments(turn: Turn, id: TrancheId): void {
  const tranche = turn.view.get('homeTranches', id)
  const notes = tranche && turn.view.get('jobNotes', tranche.job)
  if (!tranche || !notes) return
  const document = { salt: tranche.salt, tasks: formatRanges(tranche.tasks) }
  const { contract } = tranche
  sendBehind(turn, tranche.host, {
    kind: 'documents', contract, tranche: id, job: notes.note, document,
  })
}

/**
 * [TRANCHE-5] After a start: to ourselves nothing is retransmitted, so an award that was lost is made again.
 * A lease that ran out while we were away is not held against a host before it could report.
 */
export function resumeOwn(turn: Turn, { id, hold, state }: HomeTranche): void {
  const { awardSeconds, leaseSeconds } = turn.self.market
  const own = hold === ''
  if (state.kind === 'awarded' && own) {
    setTimer(turn, `lease/${id}`, turn.now + awardSeconds * 1000)
    sendDocuments(turn, id)
  }
  if (state.kind !== 'live') return
  const grace = turn.now + (own ? leaseSeconds : Math.min(leaseSeconds, startGraceSeconds)) * 1000
  if (state.leaseUntilEpochMs >= grace) return
  const tranche = turn.view.get('homeTranches', id)!
  turn.view.put('homeTranches', id, {
    ...tranche, state: { kind: 'live', leaseUntilEpochMs: grace },
  })
  setTimer(turn, `lease/${id}`, grace)
}

export function onDocumentsWanted(turn: Turn, from: SiteName, id: TrancheId): void {
  if (turn.view.get('homeTranches', id)?.host === from) sendDocuments(turn, id)
}

/** The host has taken the hold: the lease begins, and with our go it may start. */
export function onHeld(turn: Turn, from: SiteName, hold: Sid): void {
  const tranche = turn.view.get('homeTranches', trancheIdOf(hold))
  if (tranche?.host !== from || tranche.state.kind !== 'awarded') return
  begin(turn, tranche)
}

/** [TRANCHE-6] An attempt counts from here: who declines, or never answers, has tried nothing. */
function begin(turn: Turn, tranche: HomeTranche): void {
  renew(turn, tranche)
  for (const task of rangesValues(tranche.tasks)) {
    const key = taskKey(tranche.job, task)
    const known = turn.view.get('homeTasks', key)
    if (known?.tranche !== tranche.id) continue
    turn.view.put('homeTasks', key, { ...known, attempts: known.attempts + 1 })
  }
  changeJob(turn, tranche.job, { lastProgressEpochMs: turn.now, idleRounds: 0 })
  winnersHeld(turn, tranche)
}

function renew(turn: Turn, tranche: HomeTranche): void {
  const leaseUntilEpochMs = turn.now + turn.self.market.leaseSeconds * 1000
  turn.view.put('homeTranches', tranche.id, {
    ...tranche, state: { kind: 'live', leaseUntilEpochMs },
  })
  setTimer(turn, `lease/${tranche.id}`, leaseUntilEpochMs)
  turn.toAck.add(tranche.id)
}

/** When every winner has answered, the losers of the auction are told. */
function winnersHeld(turn: Turn, { contract: id, job: jobId }: HomeTranche): void {
  const job = turn.view.get('jobs', jobId)
  const contract = turn.view.get('homeContracts', id)
  const pending = job?.contracts.some((other) =>
    turn.view.get('homeContracts', other)?.tranches.some((tranche) =>
      turn.view.get('homeTranches', tranche)?.state.kind === 'awarded'))
  const key = contract && turn.view.get('auctionKeys', contract.auction)
  if (!pending && key !== undefined) tellLosers(turn, key)
}

export function onDeclined(turn: Turn, from: SiteName, hold: Sid, reason: string): void {
  const tranche = turn.view.get('homeTranches', trancheIdOf(hold))
  if (tranche?.host !== from || tranche.state.kind === 'settled') return
  settled(turn, tranche, 'declined', zeroMicrocredits)
  count(turn, `declined_${declineReasons.has(reason) ? reason : 'other'}`)
  withdrew(turn, tranche, `declined: ${reason}`)
}

/** Its open tasks go elsewhere: first to the next best of the same auction. */
function withdrew(turn: Turn, tranche: HomeTranche, reason: string): void {
  release(turn, tranche, tranche.open, `${tranche.host} ${reason}`)
  const job = turn.view.get('jobs', tranche.job)
  if (job) changeJob(turn, job.id, { idleRounds: job.idleRounds + 1 })
  const contract = turn.view.get('homeContracts', tranche.contract)
  if (contract) {
    closeContract(turn, contract)
    awardNext(turn, contract, reason)
  }
  winnersHeld(turn, tranche)
  turn.toPlace.add(tranche.job)
}

/** Takes tasks back from a tranche. */
function release(turn: Turn, tranche: HomeTranche, tasks: Ranges, detail: string): void {
  if (rangesSize(tasks) === 0) return
  ended(turn, tranche.id, tasks)
  placeAgain(turn, tranche.job, tasks, detail)
}

/** Tasks that the host no longer works on. */
function ended(turn: Turn, id: TrancheId, tasks: Ranges): void {
  const { view } = turn
  const tranche = view.get('homeTranches', id)
  const contract = tranche && view.get('homeContracts', tranche.contract)
  if (!tranche || !contract) return
  const open = subtractRanges(tranche.open, tasks)
  const gone = rangesSize(tranche.open) - rangesSize(open)
  view.put('homeTranches', id, { ...tranche, open })
  view.put('homeContracts', contract.id, {
    ...contract, outstanding: contract.outstanding - gone,
  })
}

/** The hold is resolved: what was reserved and not spent is free again. */
export function settled(
  turn: Turn, tranche: HomeTranche, how: 'accepted' | 'declined' | 'void' | 'local', paid: bigint,
): void {
  const { view } = turn
  const now = view.get('homeTranches', tranche.id) ?? tranche
  if (now.state.kind === 'settled') return
  view.put('homeTranches', tranche.id, { ...now, state: { kind: 'settled', how } })
  setTimer(turn, `lease/${tranche.id}`, undefined)
  const contract = view.get('homeContracts', tranche.contract)
  if (contract) {
    view.put('homeContracts', contract.id, {
      ...contract,
      tranches: contract.tranches.filter((id) => id !== tranche.id),
      accepted: microcredits(contract.accepted + paid),
    })
  }
  const job = view.get('jobs', tranche.job)
  if (!job) return
  changeJob(turn, job.id, {
    reserved: microcredits(job.reserved - tranche.cap),
    spent: microcredits(job.spent + paid),
  })
}

/** The lease ran out, or the award was never answered: [TRANCHE-2]. */
export function onLeaseEnd(turn: Turn, id: TrancheId): void {
  const tranche = turn.view.get('homeTranches', id)
  if (!tranche) return
  const { kind } = tranche.state
  if (kind !== 'awarded' && kind !== 'live') return
  if (kind === 'live' && tranche.state.leaseUntilEpochMs > turn.now) {
    return setTimer(turn, `lease/${id}`, tranche.state.leaseUntilEpochMs)
  }
  count(turn, kind === 'awarded' ? 'awards_unanswered' : 'leases_lapsed')
  turn.view.put('homeTranches', id, { ...tranche, state: { kind: 'lapsed' } })
  returnUntaken(turn, tranche)
  const why = kind === 'awarded' ? 'did not answer the award' : 'was not heard within its lease'
  withdrew(turn, turn.view.get('homeTranches', id)!, why)
  turn.toAck.add(id)
  if (tranche.hold === '') settled(turn, tranche, 'local', 0n)
  // What was claimed in time waited for results only.
  else acceptIfDue(turn, id)
}

/** Results that ended there and never arrived count as not done. */
function returnUntaken(turn: Turn, tranche: HomeTranche): void {
  const untaken: [number, number][] = []
  for (const task of rangesValues(tranche.tasks)) {
    const known = turn.view.get('homeTasks', taskKey(tranche.job, task))
    if (known?.tranche === tranche.id && known.state === 'returning') untaken.push([task, task])
  }
  placeAgain(turn, tranche.job, untaken, `the results did not arrive from ${tranche.host}`)
}

export function onVoid(turn: Turn, from: SiteName, hold: Sid, reason: string): void {
  const tranche = turn.view.get('homeTranches', trancheIdOf(hold))
  if (tranche?.host !== from || tranche.state.kind === 'settled') return
  settled(turn, tranche, 'void', zeroMicrocredits)
  release(turn, tranche, tranche.open, `${from} gave it back: ${reason}`)
  returnUntaken(turn, tranche)
  turn.toPlace.add(tranche.job)
}

export function onReports(turn: Turn, from: SiteName, message: MessageOf<'reports'>): void {
  for (const report of message.reports) onReport(turn, from, report)
}

function onReport(turn: Turn, from: SiteName, report: Report): void {
  const { view } = turn
  const tranche = view.get('homeTranches', report.tranche)
  if (!tranche || tranche.host !== from) return unknownTranche(turn, from, report)
  turn.toAck.add(tranche.id)
  if (tranche.state.kind === 'lapsed' || tranche.state.kind === 'settled') {
    const revision = Math.max(tranche.revision, report.revision)
    view.put('homeTranches', tranche.id, { ...tranche, revision })
    noteUsage(turn, tranche.id, report)
    return acceptIfDue(turn, tranche.id)
  }
  // A remote host has not taken the award before its `held` is on our log.
  const early = tranche.state.kind === 'awarded' && tranche.hold !== ''
  const movedEpochMs = movedBy(turn, tranche, report)
  const unanswered = early || standsStill(turn, { ...tranche, movedEpochMs })
  if (unanswered) return void turn.toAck.delete(tranche.id)
  const revision = Math.max(tranche.revision, report.revision)
  if (tranche.state.kind === 'awarded') begin(turn, { ...tranche, revision, movedEpochMs })
  else renew(turn, { ...tranche, revision, movedEpochMs })
  noteUsage(turn, tranche.id, report)
  for (const task of report.tasks) onTaskReport(turn, tranche, task)
  changeJob(turn, tranche.job, {})
  closeLocal(turn, tranche.id)
  acceptIfDue(turn, tranche.id)
  turn.toPlace.add(tranche.job)
}

/** A tranche we do not know (any more) is nothing we will pay for: the host may stop. */
function unknownTranche(turn: Turn, to: SiteName, { tranche, revision }: Report): void {
  const ack: Ack = { tranche, revision, directive: 'lapsed', lease_seconds: 0, taken: '' }
  send(turn, to, { kind: 'acks', acks: [ack] })
}

function onTaskReport(turn: Turn, tranche: HomeTranche, report: TaskReport): void {
  if (!rangesHave(tranche.tasks, report.task)) return count(turn, 'report_foreign_task')
  const key = taskKey(tranche.job, report.task)
  const known = turn.view.get('homeTasks', key)
  if (!known || known.tranche !== tranche.id || isOver(known)) return
  if (known.state === 'returning' || known.state === 'waiting') return
  if (report.state !== 'ended') {
    if (known.state === 'running') return
    turn.view.put('homeTasks', key, { ...known, state: 'running', report })
    return changeJobProgress(turn, tranche.job)
  }
  const one: Ranges = [[report.task, report.task]]
  ended(turn, tranche.id, one)
  changeJobProgress(turn, tranche.job)
  const verdict = verdictOf(report)
  if (verdict.kind === 'again') {
    turn.view.put('homeTasks', key, { ...known, report })
    return placeAgain(turn, tranche.job, one, `${tranche.host}: ${verdict.detail}`)
  }
  if (report.tree === '') return finish(turn, { ...known, report })
  turn.view.put('homeTasks', key, { ...known, state: 'returning', report })
  askResult(turn, { ...known, report })
}

function changeJobProgress(turn: Turn, job: JobId): void {
  changeJob(turn, job, { lastProgressEpochMs: turn.now })
}

export function askResult(turn: Turn, { job, task, tranche, host, report }: HomeTask): void {
  if (!report) return
  turn.effects.push({ kind: 'takeResult', job, task, tranche, host, tree: report.tree })
}

/** The task's last state, once its results are here (or there are none). */
function finish(turn: Turn, task: HomeTask, verdict = verdictOf(task.report!)): void {
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
  changeJob(turn, job.id, { [verdict.kind]: job[verdict.kind] + 1 })
  if (tranche.state.kind === 'live') turn.toAck.add(tranche.id)
  closeLocal(turn, tranche.id)
  acceptIfDue(turn, tranche.id)
  turn.toPlace.add(job.id)
}

/**
 * At home nothing is claimed: the tranche is over with its last task, and its host may clear up.
 */
function closeLocal(turn: Turn, id: TrancheId): void {
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

/** The owner cancels: every host that works on the job is told to stop, until it has. */
export function stopTranches(turn: Turn, job: Job): void {
  for (const id of job.contracts) {
    for (const tranche of turn.view.get('homeContracts', id)?.tranches ?? []) {
      const known = turn.view.get('homeTranches', tranche)
      if (!known || known.state.kind === 'settled') continue
      turn.view.put('homeTranches', tranche, { ...known, stop: true, movedEpochMs: turn.now })
      turn.toAck.add(tranche)
    }
  }
}

/** At the end of a step: one message of acknowledgements a host. */
export function acknowledge(turn: Turn): void {
  const byHost = new Map<SiteName, Ack[]>()
  for (const id of turn.toAck) {
    const tranche = turn.view.get('homeTranches', id)
    if (!tranche || tranche.state.kind === 'awarded' || !isUp(turn, tranche.host)) continue
    const acks = byHost.get(tranche.host) ?? []
    acks.push(ackOf(turn, tranche))
    byHost.set(tranche.host, acks)
  }
  for (const [host, acks] of byHost) {
    for (let at = 0; at < acks.length; at += 256) {
      send(turn, host, { kind: 'acks', acks: acks.slice(at, at + 256) })
    }
  }
}

function ackOf(turn: Turn, tranche: HomeTranche): Ack {
  const lapsed = tranche.state.kind === 'lapsed' || tranche.state.kind === 'settled'
  return {
    tranche: tranche.id,
    revision: tranche.revision,
    directive: lapsed ? 'lapsed' : tranche.stop ? 'stop' : 'go',
    lease_seconds: turn.self.market.leaseSeconds,
    taken: formatRanges(tranche.taken),
  }
}
