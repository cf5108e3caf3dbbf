// What must hold at any time, said a second time in the slowest and plainest way: sums over all
// records instead of running totals. A breach is an error that names the law of
// docs/ARCHITECTURE.md.

import { rangesHave, rangesSize, rangesValues } from '../../protocol/base/ranges.ts'
import { draft } from '../../protocol/base/tables.ts'
import type { View } from '../../protocol/base/tables.ts'
import type { Message } from '../../protocol/machine/messages.ts'
import type { CoreTables, HomeTask, Job } from '../../protocol/machine/state.ts'
import type { Account, HoldRecord } from '../../protocol/rules/ledger-book.ts'
import { numberKey, pairKey } from '../../protocol/rules/ledger-book.ts'
import { parseStatement } from '../../protocol/rules/statement.ts'
import { documentNow } from '../../protocol/machine/job-orders.ts'
import type { Machine } from './machine.ts'
import { orderFaults } from './order.ts'

export function demand(condition: boolean, law: string, detail: () => string): void {
  if (!condition) throw new Error(`${law}: ${detail()}`)
}

/** Law 4: whatever statement leaves is in its author's durable log. */
export function checkSent(machine: Machine, message: Message): void {
  if (message.kind !== 'statements') return
  for (const note of message.notes) {
    const parsed = parseStatement(note)
    const said = parsed.ok && parsed.value.statement.kind !== 'federation'
      ? parsed.value.statement : undefined
    const isOnDisk = said !== undefined
      && machine.disk.has('ledgerNumbers', numberKey(said.from, said.to, said))
    demand(isOnDisk, 'law 4', () =>
      `${machine.identity.site} sent a statement that is not on its disk:\n${note}`)
  }
}

/**
 * Law 4: what has come to anybody is all that its author ever said under its number, whatever was
 * put back to an earlier state.
 */
export function checkHeard(said: Map<string, string>, encoded: string): void {
  for (const [note] of encoded.matchAll(/"gridnode\/v1\/(?:[^"\\]|\\.)*"/g)) {
    const parsed = parseStatement(JSON.parse(note) as string)
    if (!parsed.ok || parsed.value.statement.kind === 'federation') continue
    const { statement, sid } = parsed.value
    const key = numberKey(statement.from, statement.to, statement)
    const known = said.get(key) ?? sid
    demand(known === sid, 'law 4', () =>
      `${statement.from} has said two things under ${key}:\n${JSON.parse(note)}`)
    said.set(key, sid)
  }
}

/** Laws 2 and 3 at one site, from its tables. */
export function checkSite(machine: Machine): void {
  const tables = machine.process?.loop.tables
  if (!tables) return
  const view = draft<CoreTables>(tables)
  checkRecords(machine, view)
  checkHonest(machine, view)
}

/** Whose records they are. */
interface Owner {
  readonly identity: { readonly site: string }
  readonly world?: Machine['world']
}

/** What holds of a site's own records, whoever it has to do with. */
export function checkRecords(owner: Owner, view: View<CoreTables>): void {
  checkAccounts(owner, view)
  checkGrants(owner, view)
  checkJobs(owner, view)
  const [fault] = orderFaults(view)
  demand(fault === undefined, 'JOB-8', () => `${owner.identity.site}, ${fault}`)
  checkHosting(owner, view)
}

/** Law 4: no site here signs lies, whatever was lost or put back, so none is ever proven a liar. */
function checkHonest(machine: Machine, view: View<CoreTables>): void {
  for (const [, { accused, what }] of view.entries('evidence')) {
    if (machine.world.machine(accused)?.lie) continue
    demand(false, 'law 4', () =>
      `${machine.identity.site} has proof against ${accused}, which is honest: it ${what}`)
  }
}

function checkAccounts({ identity: { site }, world }: Owner, view: View<CoreTables>): void {
  const sums = new Map<string, { asked: bigint; held: bigint; claimed: bigint; posted: bigint }>()
  for (const [, hold] of view.entries('ledgerHolds')) {
    if (hold.grant !== '') continue
    const key = `${hold.host}>${hold.home}`
    const sum = sums.get(key) ?? { asked: 0n, held: 0n, claimed: 0n, posted: 0n }
    sums.set(key, sum)
    addHold(sum, hold)
  }
  for (const [key, books] of view.entries('ledgerAccounts')) {
    const sum = sums.get(key) ?? { asked: 0n, held: 0n, claimed: 0n, posted: 0n }
    for (const field of ['asked', 'held', 'claimed', 'posted'] as const) {
      // What was posted for holds that both have forgotten is summed up at the end, from the logs.
      const forgotten = field === 'posted' && isReconciled(view, books)
      const isSum = forgotten ? books[field] >= sum[field] : books[field] === sum[field]
      demand(isSum, 'law 3', () =>
        `${site}, account ${key}: ${field} is ${books[field]}, its holds make ${sum[field]}`)
    }
    // The limit of who has left is 0, whatever it owes.
    if (world?.machine(books.debtor)?.isGone !== true) checkLimit(site, view, books)
  }
}

/** What an allocation has lent to holds and paid for them, as far as this log sees. */
function checkGrants({ identity: { site } }: Owner, view: View<CoreTables>): void {
  for (const [sid, grant] of view.entries('ledgerGrants')) {
    let [held, spent, forgotten] = [0n, 0n, false]
    for (const [, hold] of view.entries('ledgerHolds')) {
      if (hold.grant !== sid) continue
      if (hold.state === 'asked') held += hold.amount
      if (hold.state === 'held') held += hold.amount - hold.accepted
      spent += hold.accepted
    }
    for (const [pair] of view.entries('ledgerReconciled')) {
      forgotten ||= pair.includes(grant.grantee)
    }
    const isPaid = forgotten ? grant.spent >= spent : grant.spent === spent
    const isSum = grant.held === held && isPaid
    demand(isSum, 'law 3', () => `${site}, allocation ${grant.name}: ${grant.held} held and ` +
      `${grant.spent} spent, its holds make ${held} and ${spent}`)
    demand(grant.grantee !== site || held + grant.spent <= grant.amount, 'law 3', () =>
      `${site}, allocation ${grant.name} of ${grant.amount}: ${held} held, ${grant.spent} spent`)
  }
}

function isReconciled(view: View<CoreTables>, { creditor, debtor }: Account): boolean {
  return view.get('ledgerReconciled', pairKey(creditor, debtor)) !== undefined
}

function addHold(
  sum: { asked: bigint; held: bigint; claimed: bigint; posted: bigint }, hold: HoldRecord,
): void {
  if (hold.state === 'asked') sum.asked += hold.amount
  if (hold.state === 'held') {
    sum.held += hold.amount - hold.accepted
    sum.claimed += hold.claimed - hold.accepted
  }
  sum.posted += hold.accepted
}

function checkLimit(site: string, view: View<CoreTables>, books: Account): void {
  if (books.creditor !== site) return
  const limit = view.get('ledgerCredits', `${books.creditor}>${books.debtor}`)?.limit ?? 0n
  const back = view.get('ledgerAccounts', `${books.debtor}>${books.creditor}`)
  const balance = books.posted - books.settled - (back ? back.posted - back.settled : 0n)
  const exposed = balance + books.held
  demand(exposed <= limit || exposed <= 0n, 'law 3', () =>
    `${site} lets ${books.debtor} owe ${exposed}, its limit is ${limit}`)
}

function checkJobs({ identity: { site } }: Owner, view: View<CoreTables>): void {
  const tasks = new Map<string, HomeTask[]>()
  for (const [, task] of view.entries('homeTasks')) {
    const list = tasks.get(task.job) ?? []
    list.push(task)
    tasks.set(task.job, list)
  }
  const reserved = new Map<string, bigint>()
  for (const [, tranche] of view.entries('homeTranches')) {
    if (tranche.state.kind === 'settled') continue
    reserved.set(tranche.job, (reserved.get(tranche.job) ?? 0n) + tranche.cap)
  }
  for (const [id, job] of view.entries('jobs')) {
    const budget = documentNow(view, id)!.budget
    const sum = reserved.get(id) ?? 0n
    demand(job.reserved === sum, 'law 3', () =>
      `${site}, job ${id}: reserved is ${job.reserved}, its tranches make ${sum}`)
    demand(job.spent + job.reserved <= budget, 'law 3', () =>
      `${site}, job ${id}: ${job.spent} spent and ${job.reserved} reserved of ${budget}`)
    checkTasks(site, job, tasks.get(id) ?? [])
  }
  for (const [id, contract] of view.entries('homeContracts')) {
    const open = [...view.entries('homeTranches')]
      .filter(([, tranche]) => tranche.contract === id)
      .reduce((size, [, tranche]) => size + rangesSize(tranche.open), 0)
    demand(contract.outstanding === open, 'law 1', () =>
      `${site}, contract ${id}: ${contract.outstanding} outstanding, its tranches make ${open}`)
  }
}

/** Law 1: every task is in exactly one place, and the counters say so. */
function checkTasks(site: string, job: Job, tasks: readonly HomeTask[]): void {
  const count = (state: HomeTask['state']): number =>
    tasks.filter((task) => task.state === state).length
  const told = (what: string): string => `${site}, job ${job.id} (${job.note}): ${what}`
  for (const state of ['done', 'failed'] as const) {
    demand(count(state) === job[state], 'law 1', () =>
      told(`${job[state]} ${state}, its tasks make ${count(state)}`))
  }
  const neverPlaced = job.total - tasks.length
  const waiting = rangesSize(job.waiting) + rangesSize(job.parked)
  const isBoth = job.parked.some(([first, last]) =>
    [...rangesValues([[first, last]])].some((task) => rangesHave(job.waiting, task)))
  demand(!isBoth, 'law 1', () => told('a task may be placed, and may not'))
  const placedWaiting = count('waiting')
  for (const task of tasks) {
    const listed = rangesHave(job.waiting, task.task) || rangesHave(job.parked, task.task)
    demand(listed === (task.state === 'waiting'), 'law 1', () =>
      told(`task ${task.task} is ${task.state}${listed ? ', and waits' : ''}`))
  }
  const busy = count('queued') + count('running') + count('returning')
  const all = job.done + job.failed + job.cancelled + waiting + busy
  demand(all === job.total, 'law 1', () =>
    told(`${job.total} tasks, but ${job.done} done, ${job.failed} failed, ` +
      `${job.cancelled} cancelled, ${waiting} waiting, ${busy} placed`))
  const ended = job.state.kind === 'ended'
  demand(!ended || (busy === 0 && waiting === 0 && placedWaiting === 0), 'law 1', () =>
    told(`it has ended with ${busy} tasks placed and ${waiting} waiting`))
  demand(neverPlaced >= 0, 'law 1', () => told(`${tasks.length} tasks of ${job.total}`))
}

function checkHosting({ identity: { site } }: Owner, view: View<CoreTables>): void {
  for (const [id, contract] of view.entries('hostContracts')) {
    let [outstanding, running, tranches] = [0, 0, 0]
    for (const [name, tranche] of view.entries('hostTranches')) {
      if (tranche.contract !== id) continue
      tranches++
      outstanding += tranche.open
      for (const task of rangesValues(tranche.tasks)) {
        const key = `${name}/${String(task).padStart(9, '0')}`
        if (view.get('hostTasks', key)?.state === 'running') running++
      }
    }
    // Holds that wait for the proof of their allocation keep their contract.
    for (const [, check] of view.entries('holdChecks')) if (check.contract === id) tranches++
    const counted = { outstanding, running, tranches }
    for (const field of ['outstanding', 'running', 'tranches'] as const) {
      demand(contract[field] === counted[field], 'law 1', () =>
        `${site}, hosted contract ${id}: ${field} is ${contract[field]}, ` +
        `its tranches make ${counted[field]}`)
    }
  }
}
