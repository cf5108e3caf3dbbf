// Logs of one federation held against one another: what one site received another must have issued,
// two logs with the same statements of a pair have the same account of it, and what the two owe
// each other follows.
// Invariant: a statement that is under way, in one log and not yet in the other, is no fault.

import { compareBytes } from '../base/ids.ts'
import type { Sid, SiteName } from '../base/ids.ts'
import type { Finding, LogSummary } from './audit.ts'
import { directionKey } from './ledger-book.ts'

/** A statement of one sequence, looked up in the log of `site`. */
export interface Lookup {
  readonly site: SiteName
  readonly direction: string
  readonly n: number
}

/** What two sites owe each other, by the logs that were given. */
export interface PairReport {
  readonly creditor: SiteName
  readonly debtor: SiteName
  /** Accepted by the debtor and not set off against what the creditor owes it. */
  readonly agreed: bigint
  /** Claimed by the creditor, not (yet) accepted. */
  readonly claimed: bigint
  readonly held: bigint
  readonly asked: bigint
  readonly limit: bigint
  /** Whose logs were there to say so. */
  readonly seen: 'both' | 'creditor' | 'debtor'
  /** Statements that one has issued and the other's log does not hold yet, both ways. */
  readonly underWay: number
}

/**
 * The statements that `crossCheck` will ask for: where one log of a pair is longer than the other.
 */
export function lookupsFor(logs: readonly LogSummary[]): Lookup[] {
  const lookups: Lookup[] = []
  for (const { direction, author, receiver } of mirrored(logs)) {
    const [issued, received] = [lastOf(author, direction), lastOf(receiver, direction)]
    const n = Math.min(issued.n, received.n)
    if (issued.n === received.n || n === 0) continue
    lookups.push({ site: issued.n > n ? author.site : receiver.site, direction, n })
  }
  return lookups
}

/**
 * What logs of one federation must agree on: each pair's statements in both logs (I3), nobody with
 * two statements for one number (I2), the two sides of an account (I4). `sidAt` answers
 * `lookupsFor`.
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
  findings.push(...checkAccounts(logs))
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

function lastOf(log: LogSummary, direction: string): { readonly n: number, readonly sid: string } {
  return log.directions.get(direction) ?? { n: 0, sid: '' }
}

function checkSequence(
  { direction, author, receiver }: Mirrored, sidAt: (lookup: Lookup) => Sid | undefined,
): Finding[] {
  const findings: Finding[] = []
  const [issued, received] = [lastOf(author, direction), lastOf(receiver, direction)]
  const n = Math.min(issued.n, received.n)
  const at = (log: LogSummary, last: { readonly n: number, readonly sid: string }) =>
    last.n === n ? last.sid : sidAt({ site: log.site, direction, n })
  if (n > 0 && at(author, issued) !== at(receiver, received)) {
    const detail = `statement ${n} to ${receiver.site} is another one in the log of the latter`
    findings.push({ site: author.site, index: undefined, rule: 'I2', detail })
  }
  if (received.n > issued.n) {
    const detail = `${receiver.site} holds ${received.n} statements of it, its own log has only `
      + `${issued.n}: export it again, newer; if they are still missing it hides them`
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
    for (const field of ['posted', 'claimed', 'held', 'asked'] as const) {
      if (here[field] === there[field]) continue
      const detail = `${field} at ${creditor.site}: ${here[field]} microcredits, in the log of `
        + `${creditor.site} ${there[field]}`
      findings.push({ site: debtor.site, index: undefined, rule: 'I4', detail })
    }
  }
  return findings
}

type Sums = Record<'posted' | 'claimed' | 'held' | 'asked', bigint>

function accountIn(
  log: LogSummary, creditor: { readonly site: SiteName }, debtor: { readonly site: SiteName },
): Sums {
  return log.accounts.find((one) => one.creditor === creditor.site && one.debtor === debtor.site)
    ?? { posted: 0n, claimed: 0n, held: 0n, asked: 0n }
}

/** Statements that lie in one of the two logs only, both ways. */
function underWay(left: LogSummary, right: LogSummary): number {
  let missing = 0
  for (const [from, to] of [[left, right], [right, left]] as const) {
    const direction = directionKey(from.site, to.site)
    missing += Math.abs(lastOf(left, direction).n - lastOf(right, direction).n)
  }
  return missing
}

/** Every account that some log knows, in order of the two names; agreed sums are net. */
export function reportPairs(logs: readonly LogSummary[]): PairReport[] {
  const bySite = new Map(logs.map((log) => [log.site, log]))
  const known = new Map<string, { readonly creditor: SiteName, readonly debtor: SiteName }>()
  for (const { accounts } of logs) {
    for (const { creditor, debtor } of accounts) {
      if (creditor !== debtor) known.set(directionKey(creditor, debtor), { creditor, debtor })
    }
  }
  const reports = [...known].map(([key, { creditor, debtor }]): PairReport => {
    const [lender, borrower] = [bySite.get(creditor), bySite.get(debtor)]
    // Money moves by the debtor's word, a claim and a limit by the creditor's.
    const accepted = (borrower ?? lender) as LogSummary
    const claiming = (lender ?? borrower) as LogSummary
    const [to, from] = [{ site: creditor }, { site: debtor }]
    const net = accountIn(accepted, to, from).posted - accountIn(accepted, from, to).posted
    const { claimed, held, asked } = accountIn(claiming, to, from)
    return {
      creditor,
      debtor,
      agreed: net > 0n ? net : 0n,
      claimed,
      held,
      asked,
      limit: claiming.limits.get(key) ?? 0n,
      seen: lender && borrower ? 'both' : lender ? 'creditor' : 'debtor',
      underWay: lender && borrower ? underWay(lender, borrower) : 0,
    }
  })
  return reports.toSorted((a, b) =>
    compareBytes(a.creditor, b.creditor) || compareBytes(a.debtor, b.debtor))
}
