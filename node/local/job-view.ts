// A job as people see it: summaries, one job in full, and why its tasks went where they went.

import type { JobId } from '../../protocol/base/ids.ts'
import { formatRanges, rangesSize, subtractRanges } from '../../protocol/base/ranges.ts'
import type { Tables } from '../../protocol/base/tables.ts'
import type {
  Auction, AuctionEntry, HomeContract, HomeTask, Job,
} from '../../protocol/machine/state.ts'
import type { Heard } from '../../protocol/machine/job-orders.ts'
import { documentNow } from '../../protocol/machine/job-orders.ts'
import { auctionKey } from '../../protocol/machine/state.ts'
import type { JobDocument } from '../../protocol/rules/job.ts'
import type {
  ContractRow, JobDetail, JobStateName, JobSummary, TaskRow, WhyAnswer, WhyRow,
} from '../http/api.ts'
import type { AskedRow } from '../http/verb-api.ts'
import { get, sorted, viewOf } from './tables.ts'

const taskRowsMax = 200


/** A job's task records, in order of their numbers. */
export function tasksOf(tables: Tables, id: JobId): HomeTask[] {
  const found: HomeTask[] = []
  for (const task of (tables.get('homeTasks') ?? new Map()).values() as Iterable<HomeTask>) {
    if (task.job === id) found.push(task)
  }
  return found.sort((a, b) => a.task - b.task)
}

export function jobSummary(
  tables: Tables, job: Job, tasks: readonly HomeTask[] = tasksOf(tables, job.id),
): JobSummary {
  const contracts = contractsOf(tables, job)
  const running = tasks.filter((task) => task.state === 'running' || task.state === 'returning')
  const queued = tasks.filter((task) => task.state === 'queued')
  const queue = documentNow(viewOf(tables), job.id)?.queue
  const ended = job.state.kind === 'ended' ? { endedEpochMs: job.state.epochMs } : {}
  return {
    job: job.id,
    name: job.name,
    user: job.user,
    state: stateName(tables, job),
    note: noteOf(job, {
      running: running.length, queued: queued.length, tasks, waitsFor: waitsFor(tables, job),
      parkedFor: get(tables, 'jobOrders', job.id)?.words ?? '',
    }),
    submittedEpochMs: job.submittedEpochMs,
    ...ended,
    tasks: {
      total: job.total,
      waiting: rangesSize(job.waiting) + rangesSize(job.parked),
      queued: queued.length,
      running: running.length,
      done: job.done,
      failed: job.failed,
      cancelled: job.cancelled,
    },
    spent: String(job.spent),
    held: String(job.reserved),
    sites: [...new Set(contracts.filter(hasWork).map((contract) => contract.host))],
    ...(queue !== undefined && { queue }),
  }
}

function hasWork(contract: HomeContract): boolean {
  return contract.committed > 0
}

function stateName(tables: Tables, job: Job): JobStateName {
  if (job.state.kind === 'ended') return job.state.how
  if (job.total > rangesSize(job.waiting) + rangesSize(job.parked)) return 'active'
  if (isAllHeld(tables, job)) return 'held'
  const auction = get(tables, 'auctions', auctionKey(job.id, job.round))
  return auction && auction.closedEpochMs === 0 ? 'auctioning' : 'waiting'
}

/** Nothing of it may be placed before its owner says so. */
function isAllHeld(tables: Tables, job: Job): boolean {
  const held = get(tables, 'jobOrders', job.id)?.held ?? []
  return rangesSize(job.parked) > 0 && rangesSize(subtractRanges(job.parked, held)) === 0
    && rangesSize(job.waiting) === 0
}

/** What keeps waiting tasks from the open contracts: no free slot, or no money left to hold. */
function waitsFor(tables: Tables, job: Job): string {
  const budget = documentNow(viewOf(tables), job.id)?.budget ?? 0n
  const left = budget - job.spent - job.reserved
  const caps = contractsOf(tables, job).filter((contract) => contract.open)
    .map((contract) => contract.taskCap)
  const tooDear = caps.length > 0 && caps.every((cap) => cap > left)
  return tooDear ? 'budget that running tasks hold' : 'a slot'
}

/** One sentence: what happens now, or why nothing does. */
function noteOf(
  job: Job,
  now: {
    readonly running: number
    readonly queued: number
    readonly tasks: readonly HomeTask[]
    readonly waitsFor: string
    readonly parkedFor: string
  },
): string {
  if (job.state.kind === 'ended') {
    const failed = now.tasks.find((task) => task.state === 'failed')
    return failed && job.state.how === 'failed' ? `${job.note}: ${failed.detail}` : job.note
  }
  if (job.state.kind === 'cancelling') return job.note
  if (now.running + now.queued === 0) return job.note
  const waiting = rangesSize(job.waiting)
  const parts = [`${now.running} running`, `${now.queued} queued at their hosts`]
  if (waiting > 0) parts.push(`${waiting} waiting for ${now.waitsFor}`)
  const parked = rangesSize(job.parked)
  if (parked > 0) parts.push(`${parked} not yet: ${now.parkedFor}`)
  return parts.join(', ')
}

function contractsOf(tables: Tables, job: Job): HomeContract[] {
  return job.contracts.flatMap((id) => get(tables, 'homeContracts', id) ?? [])
}

export function jobDetail(tables: Tables, job: Job): JobDetail {
  const document = documentNow(viewOf(tables), job.id)!
  const orders = get(tables, 'jobOrders', job.id)
  const held = formatRanges(orders?.held ?? [])
  const tasks = tasksOf(tables, job.id)
  const rows = tasks.filter((task) => task.state !== 'waiting').map(taskRow)
  return {
    ...jobSummary(tables, job, tasks),
    script: document.script,
    cores: document.cores,
    memoryMib: document.memory_mib,
    walltimeSeconds: document.walltime_seconds,
    policy: document.policy,
    budget: String(document.budget),
    inputsBytes: document.inputs_bytes,
    outputs: document.outputs,
    requirements: document.requirements,
    taskRows: rows.slice(-taskRowsMax),
    contracts: contractsOf(tables, job).map((contract) => contractRow(tables, contract)),
    ...(document.dialect !== undefined && { streams: streamsOf(document, document.dialect) }),
    ...(held !== '' && job.state.kind === 'open' && { heldTasks: held }),
    ...(orders && orders.heard.length > 0 && { asked: orders.heard.map(askedRow) }),
  }
}

function streamsOf(
  { streams, array }: JobDocument, dialect: NonNullable<JobDocument['dialect']>,
): NonNullable<JobDetail['streams']> {
  const { out = '', error = '', join = 0 } = streams ?? {}
  return { dialect, array: array === 1, out, error, join: join === 1 }
}

function askedRow({ verb, nonce, tasks, epochMs, detail, told }: Heard): AskedRow {
  const sites = told.map(({ host: site, tasks: of, state, words }) =>
    ({ site, tasks: of, state, words }))
  return { verb, nonce, tasks, epochMs, detail, sites }
}

export function taskRow(task: HomeTask): TaskRow {
  const { report } = task
  return {
    task: task.task,
    state: shownState(task),
    site: task.host,
    contract: task.contract,
    ...(report?.state === 'ended' && { exitCode: report.exit_code }),
    ...(task.detail !== '' && { detail: task.detail }),
    ...(report && report.started_ms > 0 && { startedEpochMs: report.started_ms }),
    ...(report && report.ended_ms > 0 && { endedEpochMs: report.ended_ms }),
  }
}

function shownState({ state, report }: HomeTask): TaskRow['state'] {
  if (state === 'queued' && report?.halt === 'held') return 'held'
  if (state === 'running' && report?.halt === 'suspended') return 'suspended'
  return state
}

function contractRow(tables: Tables, contract: HomeContract): ContractRow {
  let [held, claimed] = [0n, 0n]
  let trouble = false
  let leaseUntilEpochMs = 0
  for (const id of contract.tranches) {
    const tranche = get(tables, 'homeTranches', id)
    if (!tranche) continue
    held += tranche.cap
    trouble ||= tranche.trouble !== ''
    const hold = tranche.hold === '' ? undefined : get(tables, 'ledgerHolds', tranche.hold)
    claimed += hold?.claimed ?? 0n
    if (tranche.state.kind === 'live') {
      leaseUntilEpochMs = Math.max(leaseUntilEpochMs, tranche.state.leaseUntilEpochMs)
    }
  }
  return {
    contract: contract.id,
    site: contract.host,
    slots: contract.slots + contract.queueSlots,
    tasks: contract.committed,
    held: String(held),
    claimed: String(claimed),
    accepted: String(contract.accepted),
    ...(leaseUntilEpochMs > 0 && { leaseUntilEpochMs }),
    state: trouble ? 'claim in doubt: gridnode ledger open'
      : contract.tranches.length > 0 ? 'working' : contract.open ? 'open' : 'settled',
  }
}

export function whyAnswer(tables: Tables, job: Job): WhyAnswer {
  const rounds = sorted(tables, 'auctions')
    .filter(([, auction]) => auction.job === job.id)
    .map(([, auction]) => whyRound(tables, job, auction))
  return { job: job.id, note: jobSummary(tables, job).note, rounds }
}

function whyRound(tables: Tables, job: Job, auction: Auction): WhyAnswer['rounds'][number] {
  const policy = get(tables, 'jobNotes', job.id)!.document.policy
  const rows = Object.entries(auction.entries).map(([site, entry]) => whyRow(site, entry))
  const unnamed = Object.entries(auction.unnamed ?? {})
    .map(([reason, sites]) => ({ reason, sites }))
  rows.sort((a, b) => (a.rank ?? 1e9) - (b.rank ?? 1e9) || (a.site < b.site ? -1 : 1))
  return {
    round: auction.round,
    openedEpochMs: auction.openedEpochMs,
    ...(auction.closedEpochMs > 0 && { closedEpochMs: auction.closedEpochMs }),
    policy,
    rows,
    ...(unnamed.length > 0 && { unnamed }),
  }
}

function whyRow(site: string, entry: AuctionEntry): WhyRow {
  switch (entry.kind) {
    case 'asked': return { site, verdict: 'silent', detail: 'asked; has not answered yet' }
    case 'silent':
      return { site, verdict: 'silent', detail: 'asked; did not answer within the window' }
    case 'late': return { site, verdict: 'late', detail: 'answered after the window had closed' }
    case 'withdrew':
      return { site, verdict: 'refused', reason: 'withdrew', detail: `won, then ${entry.reason}` }
    case 'unfit': {
      const verdict = entry.reason === 'not_shortlisted' ? 'not_asked' : 'unfit'
      return { site, verdict, reason: entry.reason, detail: entry.detail }
    }
    case 'refused':
      return { site, verdict: 'refused', reason: entry.reason, detail: entry.detail }
    case 'bid':
      return {
        site,
        verdict: 'bid',
        slots: entry.bid.slots,
        queueSlots: entry.bid.queue_slots,
        startInSeconds: entry.bid.slots > 0 ? 0 : entry.bid.queue_seconds,
        completionInSeconds: entry.completionSeconds,
        taskPrice: String(entry.taskCap),
        awardedTasks: entry.awarded,
        ...(entry.rank > 0 && { rank: entry.rank }),
      }
  }
}
