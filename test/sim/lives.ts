// How records may change, said a second time and without the core: what a batch writes is held
// against what lies on the disk. States go one way, what was accepted never falls, a log only
// grows, a late bid stays late, no lease outlives the one it was given by.

import { trancheIdOf } from '../../protocol/base/ids.ts'
import { rangesSize, subtractRanges } from '../../protocol/base/ranges.ts'
import type { Write } from '../../protocol/base/tables.ts'
import type { CoreTables } from '../../protocol/machine/state.ts'
import type { HoldRecord } from '../../protocol/rules/ledger-book.ts'
import type { Machine } from './machine.ts'
import { demand } from './oracle.ts'

type Law = (before: unknown, after: unknown) => string | undefined

const homeStates = ['awarded', 'live', 'lapsed', 'settled']
const hostPhases = ['waiting', 'staging', 'submitting', 'running', 'settling', 'claimed', 'settled']
const directives = ['none', 'go', 'stop', 'lapsed']
const holdEnds = new Set(['declined', 'done', 'void', 'voided'])

/** One way only: `found` stands before `before` in the list. */
function back(list: readonly string[], before: string, found: string): string | undefined {
  return list.indexOf(found) < list.indexOf(before) ? `${before} became ${found}` : undefined
}

const laws: { readonly [table: string]: { readonly law: string; readonly check: Law } } = {
  homeTranches: {
    law: 'law 2',
    check(before, after) {
      const [old, now] = [before, after] as CoreTables['homeTranches'][]
      return back(homeStates, old!.state.kind, now!.state.kind)
    },
  },
  hostTranches: {
    law: 'law 2',
    check(before, after) {
      const [old, now] = [before, after] as CoreTables['hostTranches'][]
      const forgot = rangesSize(subtractRanges(old!.taken, now!.taken))
      return back(hostPhases, old!.phase, now!.phase)
        ?? back(directives, old!.directive, now!.directive)
        ?? (forgot > 0 ? `${forgot} tasks are no longer taken` : undefined)
    },
  },
  ledgerHolds: {
    law: 'law 3',
    check(before, after) {
      const [old, now] = [before, after] as HoldRecord[]
      for (const field of ['accepted', 'claimed'] as const) {
        if (now![field] < old![field]) return `${field} falls from ${old![field]} to ${now![field]}`
      }
      if (holdEnds.has(old!.state) && now!.state !== old!.state) return `${old!.state} goes on`
      return old!.state === 'held' && now!.state === 'asked' ? 'held became asked' : undefined
    },
  },
  ledgerEntries: {
    law: 'law 4',
    check: (before, after) => before === after ? undefined : 'an entry is another one',
  },
  auctions: {
    law: 'AWARD-2',
    check(before, after) {
      const [old, now] = [before, after] as CoreTables['auctions'][]
      if (old!.closedEpochMs === 0) return undefined
      const late = Object.entries(now!.entries).find(([site, entry]) =>
        entry.kind === 'bid' && old!.entries[site]?.kind !== 'bid')
      return late && `the bid of ${late[0]} came when it was closed`
    },
  },
}

/** Before a batch goes to the disk: every record follows from the one that lies there. */
export function checkWrites(machine: Machine, writes: readonly Write[]): void {
  const { disk, identity } = machine
  for (const { table, key, value } of writes) {
    const rule = laws[table]
    if (!rule || value === undefined) continue
    if (table === 'ledgerHolds') {
      checkSums(identity.site, value as HoldRecord)
      checkLapsed(machine, value as HoldRecord)
    }
    if (!disk.has(table, key)) continue
    const wrong = rule.check(disk.get(table, key), value)
    demand(wrong === undefined, rule.law, () => `${identity.site}, ${table} ${key}: ${wrong}`)
  }
}

/**
 * [CLAIM-2] What is claimed finally under a lease that had run out before: as many tasks as were
 * taken, or claimed while they ran.
 */
function checkLapsed({ disk, identity }: Machine, hold: HoldRecord): void {
  const before = disk.get('ledgerHolds', hold.sid) as HoldRecord | undefined
  const tranche = disk.get('hostTranches', trancheIdOf(hold.sid)) as
    CoreTables['hostTranches'] | undefined
  const isClaimed = hold.claimedFinal === 1 && before?.claimedFinal === 0
  if (!isClaimed || !tranche || hold.host !== identity.site || tranche.hold !== hold.sid) return
  if (tranche.directive !== 'lapsed') return
  const most = Math.max(before.used.tasks, rangesSize(tranche.taken))
  demand(hold.used.tasks <= most, 'law 2', () =>
    `${identity.site} claims ${hold.used.tasks} tasks of ${tranche.id}, which has lapsed; ` +
    `${rangesSize(tranche.taken)} were taken`)
}

/** I5: 0 ≤ accepted ≤ claimed ≤ the hold. */
function checkSums(site: string, { sid, accepted, claimed, amount }: HoldRecord): void {
  demand(accepted >= 0n && accepted <= claimed && claimed <= amount, 'law 3', () =>
    `${site}, hold ${sid}: ${accepted} accepted of ${claimed} claimed of ${amount}`)
}

/**
 * [CONTRACT-3] While a host's lease lives, the home still counts on it: nothing of it is placed
 * elsewhere. Clocks that were set say nothing about durations; a disk that was put back has lost
 * its half.
 */
export function checkLeases(machine: Machine): void {
  const tables = machine.process?.loop.tables
  if (!tables || !isSteady(machine)) return
  const { site } = machine.identity
  const nowMs = machine.world.time.now()
  const tranches = (tables.get('hostTranches') ?? new Map()) as
    Map<string, CoreTables['hostTranches']>
  for (const [id, { home, hold, directive, phase, leaseUntilEpochMs }] of tranches) {
    const left = leaseUntilEpochMs - (nowMs + machine.skewMs)
    const other = machine.world.machine(home)
    const over = hold === '' || directive !== 'go' || left <= 0 || phase === 'settled'
    if (over || !other || !isSteady(other)) continue
    const known = other.disk.get('homeTranches', id) as CoreTables['homeTranches'] | undefined
    if (!known) continue
    const { state } = known
    demand(state.kind !== 'lapsed', 'law 2', () =>
      `${site} works on ${id} for ${left} ms more, ${home} has placed it again`)
    const trust = state.kind === 'live' ? state.leaseUntilEpochMs - (nowMs + other.skewMs) : left
    demand(trust >= left, 'law 2', () =>
      `${site} works on ${id} for ${left} ms more, ${home} counts on ${trust}`)
  }
}

function isSteady({ skewMs, profile, restores, disk }: Machine): boolean {
  return skewMs === profile.skewMs && restores === 0 && disk.damage() === undefined
}
