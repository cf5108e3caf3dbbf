// The records of a site that begins a new epoch, after its database was put back from a backup or
// its keys were lost to somebody: the ledger goes on, everything that only this database knew of
// work under way is ended. The node does not run meanwhile. Invariant: nothing here says anything
// to a peer; what is open between two ledgers stays open until the peers have been heard
// (recovery.ts).

import type { JobId, SiteName } from '../base/ids.ts'
import { compareBytes } from '../base/ids.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok } from '../base/outcome.ts'
import { emptyRanges, rangesSize } from '../base/ranges.ts'
import type { View } from '../base/tables.ts'
import { zeroMicrocredits } from '../base/units.ts'
import type { Signer } from '../base/note.ts'
import { openHead, publicKey } from '../rules/ledger-book.ts'
import type { LedgerRefusal } from '../rules/ledger.ts'
import {
  changeKeys, directionOf, logPublic, openEpoch, sealGenesis, sealKeys,
} from '../rules/ledger.ts'
import type { EpochClose, LastNumber, SiteKeys } from '../rules/statement.ts'
import { everybody, parseStatement } from '../rules/statement.ts'
import type { CoreTables } from './state.ts'
import { taskKey } from './state.ts'

/** More would not fit into a statement. What is left out only says less. */
const closesMax = 96

type Sealed = Outcome<{ readonly note: string }, LedgerRefusal>

/** The genesis of the next epoch, signed by the root key, with what this log knows of its peers. */
export function sealEpoch(
  view: View<CoreTables>, root: Signer, said: { readonly keys: SiteKeys; readonly at: number },
): Sealed {
  const { site, epoch, federation } = openHead(view)
  const genesis = view.get('ledgerMembers', site)!.genesis
  const closes = peersOf(view).map((peer): EpochClose => ({
    site: peer,
    issued: directionOf(view, site, peer).n,
    received: directionOf(view, peer, site).n,
  })).filter(({ issued, received }) => issued + received > 0).slice(0, closesMax)
  // A clock that was set back must not make the sequence fall.
  const at = Math.max(said.at, directionOf(view, site, everybody).at)
  const after = { epoch, genesis, closes }
  return sealGenesis(root, { keys: said.keys, at, fed: federation, site, after })
}

/** A `key` statement for new statement and witness keys: the old ones count for what was said. */
export function sealRotation(
  view: View<CoreTables>,
  root: Signer,
  said: { readonly statement: string; readonly witness: string; readonly at: number },
): Sealed {
  const { site, epoch } = openHead(view)
  const last = peersOf(view).flatMap((peer): LastNumber[] => {
    const { e, n } = directionOf(view, site, peer)
    return e === epoch && n > 0 ? [{ site: peer, n }] : []
  })
  return sealKeys(view, root, { ...said, last })
}

function peersOf(view: View<CoreTables>): SiteName[] {
  const { site } = openHead(view)
  return [...view.entries('members')].map(([name]) => name as SiteName)
    .filter((name) => name !== site).sort(compareBytes)
}

/**
 * Logs a genesis or a change of keys of our own: the next one, or one that this database has lost.
 * What is there already is passed over.
 */
export function takeRenewal(
  view: View<CoreTables>, note: string,
): Outcome<{ readonly epoch: number }, LedgerRefusal> {
  const { site, epoch } = openHead(view)
  const parsed = parseStatement(note)
  if (!parsed.ok) return parsed
  const { statement } = parsed.value
  const isKey = statement.kind === 'key'
  if (isKey || statement.kind === 'genesis') {
    const known = view.get('ledgerPublics', publicKey(site, statement.e, statement.n))
    if (known?.sid === parsed.value.sid) return ok({ epoch: statement.e })
  }
  const logged = !isKey ? openEpoch(view, site, note)
    : statement.e < epoch ? logPublic(view, site, note) : changeKeys(view, site, note)
  if (!logged.ok) return logged
  const own = view.get('members', site)
  if (own) view.put('members', site, { ...own, renewals: [...own.renewals, note] })
  return ok({ epoch: openHead(view).epoch })
}

export interface Ended {
  readonly jobs: number
  readonly tranches: number
}

/** Ends all work that this database knows of, and forgets what is not true any more. */
export function endWork(
  view: View<CoreTables>, { now, keepResultsMs }: { now: number; keepResultsMs: number },
): Ended {
  const jobs = endJobs(view, { now, keepResultsMs })
  endChecks(view)
  const tranches = endHosting(view)
  for (const table of lost) clear(view, table)
  for (const [name] of Array.from(view.entries('timers'))) {
    if (!/^(forget|invite)\//.test(name)) view.remove('timers', name)
  }
  return { jobs, tranches }
}

const lost = [
  'homeContracts', 'homeTranches', 'auctions', 'auctionKeys', 'openBids', 'troubles', 'quarantine',
  'proofsOwed', 'holdChecks', 'exposed', 'reconciles', 'trancheOrders', 'hostOrders', 'children',
] as const

function clear(view: View<CoreTables>, table: typeof lost[number]): void {
  for (const [key] of Array.from(view.entries(table))) view.remove(table, key)
}

const restored = 'the site was put back to an earlier state while this job was under way; results '
  + 'that had arrived are kept: submit the rest again'

function endJobs(
  view: View<CoreTables>, { now, keepResultsMs }: { now: number; keepResultsMs: number },
): number {
  let count = 0
  for (const [id, job] of Array.from(view.entries('jobs'))) {
    if (job.state.kind === 'ended') {
      view.put('jobs', id, { ...job, contracts: [], reserved: zeroMicrocredits })
      continue
    }
    count++
    const failed = failTasks(view, job.id)
    const cancelled = job.total - job.done - failed.before - failed.now - job.cancelled
    view.put('jobs', id, {
      ...job,
      waiting: emptyRanges,
      parked: emptyRanges,
      failed: failed.before + failed.now,
      cancelled: job.cancelled + cancelled,
      reserved: zeroMicrocredits,
      contracts: [],
      state: { kind: 'ended', how: 'failed', epochMs: now },
      note: restored,
    })
    view.put('timers', `forget/${id}`, now + keepResultsMs)
  }
  return count
}

/** Tasks that were placed and are not over; those that never were have no record. */
function failTasks(
  view: View<CoreTables>, job: JobId,
): { readonly before: number; readonly now: number } {
  let [before, now] = [0, 0]
  for (const [, task] of Array.from(view.entries('homeTasks'))) {
    if (task.job !== job) continue
    if (task.state === 'failed') before++
    if (['done', 'failed', 'cancelled'].includes(task.state)) continue
    now++
    const { report, ...rest } = task
    view.put('homeTasks', taskKey(job, task.task), {
      ...rest,
      ...(report && { report: { ...report, tree: '' } }),
      state: 'failed',
      detail: restored,
    })
  }
  return { before, now }
}

/** Holds that wait for a proof count under their contracts; they are asked for anew, or not. */
function endChecks(view: View<CoreTables>): void {
  for (const [, { contract: id }] of view.entries('holdChecks')) {
    const contract = view.get('hostContracts', id)
    if (!contract) continue
    view.put('hostContracts', id, { ...contract, tranches: contract.tranches - 1 })
  }
}

/** Hosted work is stopped and cleared up at the next start; its holds end with their homes. */
function endHosting(view: View<CoreTables>): number {
  let count = 0
  for (const [id, tranche] of Array.from(view.entries('hostTranches'))) {
    if (tranche.phase === 'settled') continue
    count += rangesSize(tranche.tasks) > 0 || tranche.open > 0 ? 1 : 0
    view.put('hostTranches', id, { ...tranche, phase: 'settled', directive: 'lapsed' })
  }
  for (const [id, contract] of Array.from(view.entries('hostContracts'))) {
    if (contract.tranches > 0) view.put('hostContracts', id, { ...contract, open: false })
    else {
      view.remove('hostContracts', id)
      view.remove('hostJobs', id)
    }
  }
  return count
}
