// The federation and the books as people see them: offers, peers, balances, entries.

import type { SiteName } from '../../protocol/base/ids.ts'
import { root } from '../../protocol/base/merkle.ts'
import { toHex } from '../../protocol/base/crypto.ts'
import type { Tables, View } from '../../protocol/base/tables.ts'
import { isFrozen } from '../../protocol/machine/evidence.ts'
import { isAwaited, isRecovering } from '../../protocol/machine/speech.ts'
import type { CoreTables } from '../../protocol/machine/state.ts'
import { account, ledgerHead } from '../../protocol/rules/ledger-book.ts'
import { balanceOf, creditLimit, lastIssued } from '../../protocol/rules/ledger.ts'
import type { KeptOffer } from '../../protocol/rules/offer.ts'
import { parseStatement } from '../../protocol/rules/statement.ts'
import { unshape } from '../../protocol/base/shape.ts'
import type {
  EvidenceRow, LedgerEntryRow, LedgerSummary, OfferRow, PeerRow,
} from '../http/api.ts'
import { get, sorted, viewOf } from './tables.ts'

export function offerRow(
  tables: Tables, own: SiteName, kept: KeptOffer, now: number,
): OfferRow {
  const { offer } = kept
  const attributes: Record<string, string | number> = {}
  for (const { name, value } of offer.attributes) attributes[name] = value
  return {
    site: offer.site,
    own: offer.site === own,
    up: offer.site === own || get(tables, 'links', offer.site) !== undefined,
    ...(isFrozen(viewOf(tables), offer.site) && { frozen: true }),
    coresTotal: offer.cores_total,
    coresFree: offer.cores_free,
    memoryMibTotal: offer.memory_mib_total,
    memoryMibFree: offer.memory_mib_free,
    tasksQueued: offer.tasks_queued,
    tasksRunning: offer.tasks_running,
    coresPerTaskMax: offer.cores_per_task_max,
    memoryMibPerTaskMax: offer.memory_mib_per_task_max,
    walltimeSecondsMax: offer.walltime_seconds_max,
    speedPermille: offer.speed_permille,
    rateTask: String(offer.rate_task),
    rateCoreHour: String(offer.rate_core_hour),
    rateGibHour: String(offer.rate_gib_hour),
    scheduler: offer.scheduler,
    attributes,
    sequence: offer.sequence,
    expiresInSeconds: Math.max(0, Math.floor((kept.expiresEpochMs - now) / 1000)),
  }
}

export function evidenceRows(tables: Tables): EvidenceRow[] {
  const view = viewOf(tables)
  return sorted(tables, 'evidence').map(([, kept]): EvidenceRow => {
    const { doc: id, accused, epoch, proof: kind, what, from, epochMs, sid } = kept
    const frozen = isFrozen(view, accused)
    return { id, accused, epoch, kind, what, from, epochMs, sid, frozen }
  }).sort((a, b) => a.epochMs - b.epochMs)
}

export function peerRows(tables: Tables, own: SiteName, now: number): PeerRow[] {
  const view = viewOf(tables)
  const claims = claimTroubles(tables)
  const challenged = new Set(sorted(tables, 'challenges').flatMap(([, { site, overdue }]) =>
    overdue ? [site] : []))
  return sorted(tables, 'members').filter(([site]) => site !== own).map(([name, member]) => {
    const site = name as SiteName
    const kept = get(tables, 'offers', site)
    const trouble = get(tables, 'troubles', site)?.detail ?? apart(view, site) ?? claims.get(site)
    const acked = get(tables, 'delivery', site)?.acked ?? 0
    return {
      site,
      state: get(tables, 'links', site) ? 'up' : 'down',
      addresses: member.addresses,
      admittedBy: get(tables, 'ledgerAdmissions', site)?.sponsor ?? '',
      ...(kept && { offerAgeSeconds: Math.floor((now - kept.receivedEpochMs) / 1000) }),
      creditGiven: String(creditLimit(view, own, site)),
      creditReceived: String(creditLimit(view, site, own)),
      balance: String(balanceOf(view, own, site)),
      undelivered: lastIssued(view, own, site) - acked,
      ...(challenged.has(site) && { challenged: true as const }),
      ...(isFrozen(view, site) && { frozen: true as const }),
      ...(trouble !== undefined && { trouble }),
    }
  })
}

/** Two ledgers of which one begins anew: until they agree nothing is begun between the sites. */
function apart(view: View<CoreTables>, site: SiteName): string | undefined {
  if (isRecovering(view, site)) {
    return 'our ledger has begun a new epoch: nothing is begun with this site until it has given '
      + 'back what it holds of ours and closed the old one'
  }
  return isAwaited(view, site)
    ? 'its ledger begins a new epoch: nothing is begun with it until both ledgers agree' : undefined
}

/** A claim of each site that is not accepted because its reports do not carry it. */
function claimTroubles(tables: Tables): Map<SiteName, string> {
  const troubles = new Map<SiteName, string>()
  for (const [, { host, trouble, state }] of viewOf(tables).entries('homeTranches')) {
    if (trouble === '' || state.kind === 'settled') continue
    troubles.set(host, `${trouble}; gridnode ledger open`)
  }
  return troubles
}

export function ledgerSummary(tables: Tables, own: SiteName): LedgerSummary {
  const view = viewOf(tables)
  const head = ledgerHead(view)
  const pairs = sorted(tables, 'members').filter(([site]) => site !== own).map(([name]) => {
    const site = name as SiteName
    const [ours, theirs] = [account(view, own, site), account(view, site, own)]
    return {
      site,
      balance: String(balanceOf(view, own, site)),
      weOweLimit: String(creditLimit(view, site, own)),
      theyOweLimit: String(creditLimit(view, own, site)),
      heldByUs: String(ours.held),
      heldByThem: String(theirs.held),
      claimedByThem: String(theirs.claimed),
      claimedByUs: String(ours.claimed),
    }
  })
  return {
    site: own,
    federation: head?.federation ?? '',
    entries: head?.frontier.size ?? 0,
    rootHash: head ? toHex(root(head.frontier)) : '',
    pairs,
  }
}

export function entryRow(index: number, note: string): LedgerEntryRow {
  const parsed = parseStatement(note)
  if (!parsed.ok) {
    return { index, sid: '', kind: 'unreadable', from: '', to: '', number: 0, body: {} }
  }
  const { statement, sid } = parsed.value
  const { kind, ...body } = statement
  const placed = statement.kind === 'federation'
    ? { from: statement.founder as string, to: '*', number: 0 }
    : { from: statement.from as string, to: statement.to as string, number: statement.n }
  return { index, sid, kind, ...placed, body: unshape(body) as Record<string, unknown> }
}
