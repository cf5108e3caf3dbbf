// Tranches at the home: tasks committed to a host and paid from one hold, the leases that answer
// its reports, and what becomes free again when a tranche is over.
//
// [TRANCHE-1] A hold is on the ledger before its tasks are committed to anybody.

import { sha256Hex } from '../base/crypto.ts'
import type { ContractId, Sid, SiteName, TrancheId } from '../base/ids.ts'
import { trancheIdOf } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { Ranges } from '../base/ranges.ts'
import {
  emptyRanges, formatRanges, rangesSize, rangesValues, subtractRanges, takeRanges,
} from '../base/ranges.ts'
import { clampMicrocredits } from '../base/units.ts'
import type { TrancheDocument } from '../rules/contract.ts'
import { trancheCommitment } from '../rules/contract.ts'
import { noUsage } from '../rules/run.ts'
import { outboxFull, say } from './delivery.ts'
import {
  allocationOf, budgetLeft, changeJob, documentOf, nothingReported, payableAt, placeAgain,
} from './home-book.ts'
import { oweProof } from './home-grants.ts'
import type { Ack } from './messages.ts'
import { apartFrom } from './speech.ts'
import type { HomeContract, HomeTask, HomeTranche, Job, SettledHow } from './state.ts'
import { taskKey } from './state.ts'
import type { Turn } from './turn.ts'
import { count, isUp, send, sendBehind, setTimer } from './turn.ts'

const startGraceSeconds = 30
const holdValidMs = 3_600_000

/** Commits up to `wanted` waiting tasks under a contract; returns how many money allowed. */
export function commitTasks(turn: Turn, id: ContractId, wanted: number): number {
  const { view, self, now } = turn
  const contract = view.get('homeContracts', id)
  const job = contract && view.get('jobs', contract.job)
  if (!contract || !job || outboxFull(turn, contract.host)) return 0
  if (contract.sid !== '' && apartFrom(turn, contract.host) !== undefined) return 0
  const size = Math.min(wanted, affordable(turn, contract, job), limits.tasksPerTranche)
  const { taken: tasks, rest } = takeRanges(job.waiting, size)
  if (rangesSize(tasks) === 0) return 0
  const cap = clampMicrocredits(contract.taskCap * BigInt(rangesSize(tasks)))
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
      grant: allocationOf(turn, job.id)?.sid ?? '',
    })
    if (!said.ok) {
      count(turn, `hold_refused_${said.refusal.reason}`)
      return 0
    }
    hold = said.value.sid
    if (allocationOf(turn, job.id)) oweProof(turn, { sid: hold, host: contract.host })
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
    accepted: noUsage,
    claimedEpochMs: 0,
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
  const reserved = clampMicrocredits(job.reserved + cap)
  changeJob(turn, job.id, { waiting: rest, reserved })
  setTimer(turn, `lease/${tranche.id}`, now + self.market.awardSeconds * 1000)
  sendDocuments(turn, tranche.id)
  return rangesSize(tasks)
}

export function affordable(turn: Turn, contract: HomeContract, job: Job): number {
  if (contract.taskCap === 0n) return limits.tasksPerTranche
  const credit = contract.sid === '' ? budgetLeft(turn, job)
    : payableAt(turn, job.id, contract.host)
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
 * [TRANCHE-5] After a start: to ourselves nothing is retransmitted, so an award that was lost is
 * made again.
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

export function renew(turn: Turn, tranche: HomeTranche): void {
  const leaseUntilEpochMs = turn.now + turn.self.market.leaseSeconds * 1000
  turn.view.put('homeTranches', tranche.id, {
    ...tranche, state: { kind: 'live', leaseUntilEpochMs },
  })
  setTimer(turn, `lease/${tranche.id}`, leaseUntilEpochMs)
  turn.toAck.add(tranche.id)
}

/** Takes tasks back from a tranche. */
export function release(turn: Turn, tranche: HomeTranche, tasks: Ranges, detail: string): void {
  if (rangesSize(tasks) === 0) return
  ended(turn, tranche.id, tasks)
  placeAgain(turn, tranche.job, tasks, detail)
}

/** Tasks that the host no longer works on. */
export function ended(turn: Turn, id: TrancheId, tasks: Ranges): void {
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
  turn: Turn, tranche: HomeTranche, how: SettledHow, paid: bigint,
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
      accepted: clampMicrocredits(contract.accepted + paid),
    })
  }
  const job = view.get('jobs', tranche.job)
  if (!job) return
  changeJob(turn, job.id, {
    reserved: clampMicrocredits(job.reserved - tranche.cap),
    spent: clampMicrocredits(job.spent + paid),
  })
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
export function ackMarked(turn: Turn): void {
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
