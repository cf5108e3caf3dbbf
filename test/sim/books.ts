// The end of a run: every job's story is compared with what the schedulers really ran, and every
// ledger is audited from its leaves, alone and against the others.

import type { Sid } from '../../protocol/base/ids.ts'
import { rangesSize } from '../../protocol/base/ranges.ts'
import { draft } from '../../protocol/base/tables.ts'
import { unpack } from '../../protocol/base/record.ts'
import type { CoreTables } from '../../protocol/machine/state.ts'
import type { LogSummary } from '../../protocol/rules/audit.ts'
import { openReplay } from '../../protocol/rules/audit.ts'
import { crossCheck, lookupsFor } from '../../protocol/rules/audit-pairs.ts'
import { checkNow } from '../../protocol/rules/ledger-entry.ts'
import { outcomeOf } from './batch-scheduler.ts'
import { remaining } from './liars.ts'
import type { Machine } from './machine.ts'
import { demand } from './oracle.ts'
import { holdSums } from './sums.ts'
import type { World } from './world.ts'

export function checkBooks(world: World): void {
  const machines = remaining(world.machines)
  for (const machine of machines) {
    checkStarts(machine)
    checkPosted(machine)
  }
  for (const [id, job] of world.jobs) {
    const home = world.machines.find(({ identity }) => identity.site === job.site)!
    if (!home.lie && !home.isGone) checkStory(world, home, id)
  }
  if (world.profile.name === 'calm') checkCalm(world)
  const logs = machines.map(replayed)
  const findings = crossCheck(logs, ({ site, direction, n }) => {
    throw new Error(`law 3: after the healing, ${site} lacks statement ${n} of ${direction}`)
  })
  demand(findings.length === 0 && lookupsFor(logs).length === 0, 'law 3', () =>
    `the ledgers do not agree: ${findings.map(({ site, rule, detail }) =>
      `${site} ${rule}: ${detail}`).join('; ')}`)
}

/** Law 3: what is posted is the sum of what the log says was accepted, forgotten or not. */
function checkPosted(machine: Machine): void {
  const sums = new Map<string, bigint>()
  for (const { home, host, grant, accepted } of holdSums(leavesOf(machine)).values()) {
    // What an allocation pays is in no account.
    if (grant !== '') continue
    const key = `${host}>${home}`
    sums.set(key, (sums.get(key) ?? 0n) + accepted)
  }
  const view = draft<CoreTables>(machine.process!.loop.tables)
  for (const [key, { posted }] of view.entries('ledgerAccounts')) {
    demand(posted === (sums.get(key) ?? 0n), 'law 3', () =>
      `${machine.identity.site}, account ${key}: ${posted} posted, its log makes ${sums.get(key)}`)
  }
}

/** The statements of its log on the disk, with those that it has dropped from the mirror. */
export function leavesOf({ disk, mirror }: Machine): string[] {
  const here = [...disk.records('ledgerEntries')]
    .map(([key, text]): [string, string] => [key, unpack(text) as string])
  return [...mirror, ...here].toSorted(([a], [b]) => a < b ? -1 : 1).map(([, note]) => note)
}

/** Law 2: no task of a tranche was started twice. */
function checkStarts({ scheduler, identity }: Machine): void {
  for (const [key, starts] of scheduler.starts) {
    demand(starts === 1, 'law 2', () => `${identity.site} started ${key} ${starts} times`)
  }
}

/** Laws 1 and 2: what the home says of each task is what happened. */
function checkStory(world: World, home: Machine, id: string): void {
  const view = draft<CoreTables>(home.process!.loop.tables)
  const job = view.get('jobs', id)
  // What a disk has lost that was put back is lost; what it kept has ended.
  if (!job && home.restores > 0) return
  demand(job?.state.kind === 'ended', 'law 1', () => `job ${id} is lost`)
  for (const [, task] of view.entries('homeTasks')) {
    if (task.job !== id || task.state !== 'done') continue
    const name = `${task.tranche}/${task.task}`
    const host = world.machines.find(({ identity }) => identity.site === task.host)
    demand(host?.scheduler.starts.get(name) === 1, 'law 2', () => `${name} is done and never ran`)
    const { exitCode, missing } = outcomeOf(world.profile, { tag: task.tranche, task: task.task })
    demand(exitCode === 0 && missing.length === 0, 'law 1', () => `${name} is done, and failed`)
    demand(home.spool.taken.has(`${id}/${task.task}`), 'law 1', () =>
      `${name} has no results at home`)
  }
  if (home.restores === 0) checkCharges(world, { view, sums: holdSums(leavesOf(home)) }, id)
}

interface Books {
  readonly view: ReturnType<typeof draft<CoreTables>>
  readonly sums: ReturnType<typeof holdSums>
}

/** Law 3: the job has paid what was accepted for it, for no more than really ran. */
function checkCharges(world: World, { view, sums }: Books, id: string): void {
  let paid = 0n
  for (const [, tranche] of view.entries('homeTranches')) {
    if (tranche.job !== id || tranche.hold === '') continue
    // What is open with a liar, or left to people, is reserved and not spent.
    if (tranche.state.kind !== 'settled') continue
    const { accepted, tasks } = sums.get(tranche.hold as Sid)!
    paid += accepted
    const host = world.machines.find(({ identity }) => identity.site === tranche.host)!
    const started = [...host.scheduler.starts.keys()]
      .filter((key) => key.startsWith(`${tranche.id}/`)).length
    demand(accepted === 0n || tasks <= started, 'law 2', () =>
      `${tranche.id}: ${tasks} tasks charged, ${started} ran`)
    demand(tasks <= rangesSize(tranche.tasks), 'law 3', () => `${tranche.id}: too many`)
  }
  const { spent } = view.get('jobs', id)!
  demand(spent === paid, 'law 3', () => `job ${id}: spent is ${spent}, the ledger says ${paid}`)
}

const unheardOf = ['leases_lapsed', 'awards_unanswered', 'message_malformed', 'result_failed']

/** Where nothing went wrong, each task ran once and no lease ran out. */
function checkCalm(world: World): void {
  for (const { process, identity } of remaining(world.machines)) {
    const view = draft<CoreTables>(process!.loop.tables)
    for (const name of unheardOf) {
      demand(view.get('counters', name) === undefined, 'calm', () =>
        `${identity.site} counts ${name}: ${view.get('counters', name)}`)
    }
    for (const [key, task] of view.entries('homeTasks')) {
      const once = task.attempts === 1 || (task.attempts === 0 && task.state === 'cancelled')
      demand(once, 'calm', () => `${key} took ${task.attempts} attempts`)
    }
  }
}

/** The log on disk, replayed from its leaves. */
function replayed(machine: Machine): LogSummary {
  const { disk, identity } = machine
  const replay = openReplay(identity.site, checkNow)
  for (const note of leavesOf(machine)) {
    const findings = replay.leaf(Buffer.from(note))
    demand(findings.length === 0, 'law 3', () =>
      `the ledger of ${identity.site} has an invalid entry ` +
      findings.map(({ index, rule, detail }) => `${index} ${rule}: ${detail}`).join('; '))
  }
  const summary = replay.summary()
  const head = disk.get('ledgerHead', 'head') as CoreTables['ledgerHead']
  demand(summary?.size === head.frontier.size, 'law 4', () => `${identity.site} lacks entries`)
  return summary!
}
