// Logs of one federation held against one another: what one site received another must have issued,
// two logs with the same statements of a pair have the same account of it, and what the two owe
// each other follows.
// Invariant: a statement that is under way, in one log and not yet in the other, is no fault.

import { compareBytes } from '../base/ids.ts'
import type { Sid, SiteName } from '../base/ids.ts'
import { formatCredits, zeroMicrocredits } from '../base/units.ts'
import type { Finding, LogSummary } from './audit.ts'
import { netOf } from './ledger-accounts.ts'
import type { Account, Direction, HoldRecord } from './ledger-book.ts'
import { directionKey } from './ledger-book.ts'

/** A statement of one sequence, looked up in the log of `site`. */
export interface Lookup {
  readonly site: SiteName
  readonly direction: string
  readonly e: number
  readonly n: number
}

/** What two sites owe each other, by the logs that were given. */
export interface PairReport {
  readonly creditor: SiteName
  readonly debtor: SiteName
  /** Accepted by the debtor and neither settled nor set off against what the creditor owes it. */
  readonly agreed: bigint
  /** Claimed by the creditor and not (yet) accepted, with what is disputed. */
  readonly claimed: bigint
  /** The part of `claimed` that the debtor contests. */
  readonly disputed: bigint
  /** The part of `claimed` that the contract's clause lets count as accepted. */
  readonly byClause: bigint
  /** Paid outside or given up, in all. */
  readonly settled: bigint
  readonly held: bigint
  readonly asked: bigint
  readonly limit: bigint
  /** Whose logs were there to say so. */
  readonly seen: 'both' | 'creditor' | 'debtor'
  /** Statements that one has issued and the other's log does not hold yet, both ways. */
  readonly underWay: number
  /**
   * With both logs: everything that either dated up to here is in both, epoch ms; else 0. See
   * `completeUntil`.
   */
  readonly completeUntilEpochMs: number
}

/**
 * The statements that `crossCheck` will ask for: where one log of a pair is longer than the other.
 */
export function lookupsFor(logs: readonly LogSummary[]): Lookup[] {
  const lookups: Lookup[] = []
  for (const { direction, author, receiver } of mirrored(logs)) {
    const [issued, received] = [lastOf(author, direction), lastOf(receiver, direction)]
    const order = comparePlaces(issued, received)
    const { e, n } = order < 0 ? issued : received
    if (order === 0 || n === 0) continue
    lookups.push({ site: order > 0 ? author.site : receiver.site, direction, e, n })
  }
  return lookups
}

/**
 * What logs of one federation must agree on: each pair's statements in both logs (I3), nobody with
 * two statements for one number (I2), the two sides of an account (I4), allocations that are not
 * spent twice (I7). `sidAt` answers `lookupsFor`.
 */
export function crossCheck(
  logs: readonly LogSummary[], sidAt: (lookup: Lookup) => Sid | undefined,
): Finding[] {
  const findings: Finding[] = []
  for (const log of logs) {
    const { federation } = logs[0] ?? log
    if (log.federation === federation) continue
    const detail = `its federation is ${log.federation.slice(0, 16)}, that of `
      + `${logs[0]?.site ?? ''} is ${federation.slice(0, 16)}`
    findings.push({ site: log.site, index: undefined, rule: 'I9', detail })
  }
  for (const pair of mirrored(logs)) findings.push(...checkSequence(pair, sidAt))
  for (const log of logs) findings.push(...checkPublics(log, logs))
  findings.push(...checkAccounts(logs), ...checkGrants(logs))
  return findings
}

interface Mirrored {
  readonly direction: string
  readonly author: LogSummary
  readonly receiver: LogSummary
}

/** Each sequence between two sites whose logs are both there. */
function mirrored(logs: readonly LogSummary[]): Mirrored[] {
  return logs.flatMap((author) => logs.filter((other) => other !== author).map((receiver) =>
    ({ direction: directionKey(author.site, receiver.site), author, receiver })))
}

const nothingSaid: Direction = { e: 1, n: 0, sid: '', at: 0 }

function lastOf(log: LogSummary, direction: string): Direction {
  return log.directions.get(direction) ?? nothingSaid
}

/** Below zero when `left` is the earlier place in the sequence. */
function comparePlaces(
  left: Pick<Direction, 'e' | 'n'>, right: Pick<Direction, 'e' | 'n'>,
): number {
  return left.e - right.e || left.n - right.n
}

function checkSequence(
  { direction, author, receiver }: Mirrored, sidAt: (lookup: Lookup) => Sid | undefined,
): Finding[] {
  const findings: Finding[] = []
  const [issued, received] = [lastOf(author, direction), lastOf(receiver, direction)]
  const order = comparePlaces(issued, received)
  const earlier = order < 0 ? issued : received
  const at = (log: LogSummary, last: Direction) => last === earlier || order === 0
    ? last.sid
    : sidAt({ site: log.site, direction, e: earlier.e, n: earlier.n })
  const [said, heard] = [at(author, issued), at(receiver, received)]
  // What a snapshot stands for was not read; the sequences behind it were.
  const isUnread = (said === undefined && author.from > 0)
    || (heard === undefined && receiver.from > 0)
  if (earlier.n > 0 && !isUnread && said !== heard) {
    const detail = `statement ${earlier.n} to ${receiver.site} is another one in the log of the `
      + 'latter'
    findings.push({ site: author.site, index: undefined, rule: 'I2', detail })
  }
  // A sequence that the receiver has closed begins anew before its author knows.
  if (order < 0 && received.n > 0) {
    const epoch = received.e === issued.e ? '' : ` in epoch ${received.e}`
    const detail = `${receiver.site} holds ${received.n} statements of it${epoch}, its own log has `
      + `only ${received.e === issued.e ? issued.n : 0}: export it again, newer; if they are still `
      + 'missing it hides them'
    findings.push({ site: author.site, index: undefined, rule: 'I3', detail })
  }
  return findings
}

/** What `log` holds of the others' public statements must be in their logs. */
function checkPublics(log: LogSummary, logs: readonly LogSummary[]): Finding[] {
  const findings: Finding[] = []
  for (const author of logs) {
    if (author === log) continue
    const own = new Map(author.publics.filter(({ site }) => site === author.site)
      .map(({ e, n, sid }) => [`${e}/${n}`, sid]))
    for (const { site, e, n, sid } of log.publics) {
      if (site !== author.site || own.get(`${e}/${n}`) === sid) continue
      const hidden = !own.has(`${e}/${n}`)
      const detail = hidden
        ? `${log.site} holds its public statement ${n}, which its own log lacks: export it again`
        : `its public statement ${n} is another one in the log of ${log.site}`
      findings.push({ site: author.site, index: undefined, rule: hidden ? 'I3' : 'I2', detail })
    }
  }
  return findings
}

/** Two logs that hold the same statements of a pair have the same account of it. */
function checkAccounts(logs: readonly LogSummary[]): Finding[] {
  const findings: Finding[] = []
  for (const { author: debtor, receiver: creditor } of mirrored(logs)) {
    if (underWay(debtor, creditor) !== 0) continue
    const here = accountIn(debtor, creditor, debtor)
    const there = accountIn(creditor, creditor, debtor)
    for (const field of ['posted', 'settled', 'claimed', 'held', 'asked'] as const) {
      if (here[field] === there[field]) continue
      const detail = `${field} at ${creditor.site}: ${here[field]} microcredits, in the log of `
        + `${creditor.site} ${there[field]}`
      findings.push({ site: debtor.site, index: undefined, rule: 'I4', detail })
    }
  }
  return findings
}

type Sums = Pick<Account, 'posted' | 'settled' | 'claimed' | 'held' | 'asked'>

const none = zeroMicrocredits
const nothingOwed: Sums = { posted: none, settled: none, claimed: none, held: none, asked: none }

function accountIn(
  log: LogSummary, creditor: { readonly site: SiteName }, debtor: { readonly site: SiteName },
): Sums {
  return log.accounts.find((one) => one.creditor === creditor.site && one.debtor === debtor.site)
    ?? nothingOwed
}

/** No site's holds on an allocation are more than it: the others' logs against the grantee's. */
function checkGrants(logs: readonly LogSummary[]): Finding[] {
  const findings: Finding[] = []
  const bySid = new Map(logs.flatMap(({ grants }) => grants.map((grant) => [grant.sid, grant])))
  for (const { sid, grantee, name, amount } of bySid.values()) {
    let used = 0n
    for (const { site, grants } of logs) {
      const seen = site === grantee ? undefined : grants.find((grant) => grant.sid === sid)
      used += seen ? seen.held + seen.spent : 0n
    }
    if (used <= amount) continue
    const detail = `the allocation ${name} is of ${formatCredits(amount)}, the logs of its hosts `
      + `have ${formatCredits(used)} of it in use`
    findings.push({ site: grantee, index: undefined, rule: 'I7', detail })
  }
  return findings
}

/**
 * One of `sites` that has not closed for the epoch of the log's author: what a lost database had
 * said to it may be missing.
 */
export function unclosed(
  { site, directions }: LogSummary,
  { epoch, sites }: { readonly epoch: number, readonly sites: readonly SiteName[] },
): SiteName | undefined {
  return sites.find((one) => (directions.get(directionKey(site, one))?.e ?? 1) < epoch)
}

/** Statements that lie in one of the two logs only, both ways. */
function underWay(left: LogSummary, right: LogSummary): number {
  let missing = 0
  for (const [from, to] of [[left, right], [right, left]] as const) {
    const direction = directionKey(from.site, to.site)
    const [issued, received] = [lastOf(from, direction), lastOf(to, direction)]
    // Of a new epoch only one of the two may know yet, by its close or the other's.
    missing += issued.e === received.e
      ? Math.abs(issued.n - received.n)
      : Math.max(1, (issued.e > received.e ? issued : received).n)
  }
  return missing
}

/**
 * Until when two logs cover one another, by the authors' own times. In each sequence both have
 * everything up to the receiver's last number: up to its time when the author has gone on, and when
 * it has not, up to the newest time of anything that the author says in its log. The earlier of the
 * two directions counts.
 */
function completeUntil(left: LogSummary, right: LogSummary): number {
  const ends = ([[left, right], [right, left]] as const).map(([from, to]) => {
    const direction = directionKey(from.site, to.site)
    const [issued, received] = [lastOf(from, direction), lastOf(to, direction)]
    return comparePlaces(issued, received) > 0 ? received.at : from.saidUntilEpochMs
  })
  return Math.min(...ends)
}

/**
 * Every account and every credit that some log knows, in order of the two names; agreed sums are
 * net.
 */
export function reportPairs(logs: readonly LogSummary[]): PairReport[] {
  const bySite = new Map(logs.map((log) => [log.site, log]))
  const known = new Map<string, { readonly creditor: SiteName, readonly debtor: SiteName }>()
  for (const { accounts, limits } of logs) {
    for (const { creditor, debtor } of accounts) {
      if (creditor !== debtor) known.set(directionKey(creditor, debtor), { creditor, debtor })
    }
    for (const [key, limit] of limits) {
      const [creditor, debtor] = key.split('>') as [SiteName, SiteName]
      if (limit > 0n && creditor !== debtor) known.set(key, { creditor, debtor })
    }
  }
  const reports = [...known].map(([key, { creditor, debtor }]): PairReport => {
    const [lender, borrower] = [bySite.get(creditor), bySite.get(debtor)]
    // Money moves by the debtor's word, a claim and a limit by the creditor's.
    const accepted = (borrower ?? lender) as LogSummary
    const claiming = (lender ?? borrower) as LogSummary
    const [to, from] = [{ site: creditor }, { site: debtor }]
    const net = netOf(accountIn(accepted, to, from), accountIn(accepted, from, to))
    const { claimed, held, asked, settled } = accountIn(claiming, to, from)
    const holds = claiming.openHolds.filter((hold) =>
      hold.host === creditor && hold.home === debtor && hold.grant === '')
    return {
      creditor,
      debtor,
      agreed: net > 0n ? net : 0n,
      claimed,
      disputed: sumOf(holds, ({ disputed, claimed: all, accepted: paid }) =>
        disputed === '' ? 0n : all - paid),
      byClause: sumOf(holds, ({ clause, accepted: paid }) => clause > paid ? clause - paid : 0n),
      settled,
      held,
      asked,
      limit: claiming.limits.get(key) ?? 0n,
      seen: lender && borrower ? 'both' : lender ? 'creditor' : 'debtor',
      underWay: lender && borrower ? underWay(lender, borrower) : 0,
      completeUntilEpochMs: lender && borrower ? completeUntil(lender, borrower) : 0,
    }
  })
  return reports.toSorted((a, b) =>
    compareBytes(a.creditor, b.creditor) || compareBytes(a.debtor, b.debtor))
}

function sumOf(holds: readonly HoldRecord[], part: (hold: HoldRecord) => bigint): bigint {
  return holds.reduce((sum, hold) => sum + part(hold), 0n)
}
