// The audit of one log: its entries replayed through the very rules of the live ledger, from the
// leaves alone. What is wrong becomes a finding that names the entry; the replay goes on behind it,
// so that one fault does not hide the next.
// Invariants: memory is that of the accounts, members, terms and open holds, not of the log; the
// tree grows by every leaf, also by those that no rule lets in.

import { unreachable } from '../base/assert.ts'
import { compareBytes } from '../base/ids.ts'
import type { FederationId, Sid, SiteName } from '../base/ids.ts'
import type { TreeNode } from '../base/merkle.ts'
import { emptyFrontier, root } from '../base/merkle.ts'
import type { Tables, View } from '../base/tables.ts'
import type { Account, Direction, HoldRecord, LedgerTables, MemberKeys } from './ledger-book.ts'
import {
  appendLeaf, coldLedgerTables, directionKey, ledgerHead, openHead, putHead,
} from './ledger-book.ts'
import type { SignatureCheck } from './ledger-entry.ts'
import { logFederation, logPlaced } from './ledger-entry.ts'
import type { LedgerRefusal } from './ledger-refusal.ts'
import { describeLedgerRefusal } from './ledger-refusal.ts'
import type { ParsedStatement, PlacedStatement } from './statement.ts'
import { everybody, parseStatement } from './statement.ts'

/** The invariants of docs/LEDGER.md that a checker asserts. */
export type Invariant =
  | 'I1' | 'I2' | 'I3' | 'I4' | 'I5' | 'I6' | 'I8' | 'I9' | 'I11' | 'I12'

/**
 * Something that does not hold. `index` is the entry's; undefined when it concerns the whole log.
 */
export interface Finding {
  readonly site: SiteName
  readonly index: number | undefined
  readonly rule: Invariant
  readonly detail: string
}

/** One log after its replay: what other logs of the federation must agree with. */
export interface LogSummary {
  readonly site: SiteName
  readonly federation: FederationId
  readonly federationName: string
  readonly epoch: number
  readonly size: number
  readonly root: Uint8Array
  /** The key under which its checkpoints must be signed, hexadecimal. */
  readonly logKey: string
  readonly members: ReadonlyMap<SiteName, MemberKeys>
  /** Key `from>to`. */
  readonly directions: ReadonlyMap<string, Direction>
  readonly publics: readonly { readonly site: SiteName, readonly n: number, readonly sid: Sid }[]
  readonly accounts: readonly Account[]
  /** Key `creditor>debtor`. */
  readonly limits: ReadonlyMap<string, bigint>
  readonly openHolds: readonly HoldRecord[]
  /** The newest time that any author claimed, epoch ms. */
  readonly newestEpochMs: number
}

export interface Replay {
  /** Takes the next leaf; gives what is wrong with it, most important first. */
  leaf(bytes: Uint8Array): Finding[]
  /** Leaves so far, and the root over them. */
  head(): { readonly size: number, readonly root: Uint8Array }
  /** Undefined when the first two entries were not what opens a log. */
  summary(): LogSummary | undefined
}

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

/** Replays the log of `self`; `onNode` sees each node that the tree completes. */
export function openReplay(
  self: SiteName, check: SignatureCheck, onNode: (node: TreeNode) => void = () => undefined,
): Replay {
  const view = openBook(onNode)
  let newestEpochMs = 0
  const note = (index: number, refusal: LedgerRefusal): Finding =>
    ({ site: self, index, rule: invariantOf(refusal), detail: describeLedgerRefusal(refusal) })
  const leaf = (bytes: Uint8Array): Finding[] => {
    const index = ledgerHead(view)?.frontier.size ?? 0
    const parsed = parseLeaf(bytes)
    if ('reason' in parsed) {
      refuseLeaf(view, self, bytes)
      return [note(index, parsed)]
    }
    newestEpochMs = Math.max(newestEpochMs, parsed.statement.at)
    const refusals = index === 0
      ? first(view, self, parsed, check)
      : later(view, self, parsed, { check, index })
    if ((ledgerHead(view)?.frontier.size ?? 0) === index) refuseLeaf(view, self, bytes)
    return refusals.map((refusal) => note(index, refusal))
  }
  return {
    leaf,
    head() {
      const frontier = ledgerHead(view)?.frontier ?? emptyFrontier
      return { size: frontier.size, root: root(frontier) }
    },
    summary: () => summarise(view, self, newestEpochMs),
  }
}

/** The leaf's statement; only the one encoding of a text is read. */
function parseLeaf(bytes: Uint8Array): ParsedStatement | LedgerRefusal {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
  if (Buffer.byteLength(text) !== bytes.length || !text.isWellFormed() || text.includes('\ufffd')) {
    return { reason: 'malformed', detail: 'the entry is not UTF-8' }
  }
  const parsed = parseStatement(text)
  return parsed.ok ? parsed.value : parsed.refusal
}

function first(
  view: View<LedgerTables>, self: SiteName, parsed: ParsedStatement, check: SignatureCheck,
): LedgerRefusal[] {
  const logged = logFederation(view, self, parsed, check)
  return logged.ok ? [] : [logged.refusal]
}

function later(
  view: View<LedgerTables>,
  self: SiteName,
  parsed: ParsedStatement,
  { check, index }: { readonly check: SignatureCheck, readonly index: number },
): LedgerRefusal[] {
  const { statement, sid } = parsed
  const opens = statement.kind === 'genesis' && statement.from === self
  if (opens !== (index === 1)) {
    return [{ reason: 'misdirected', detail: `entry 1, and no other, is the genesis of ${self}` }]
  }
  const logged = logPlaced(view, parsed, check)
  if (logged.ok) {
    if (logged.value.kind === 'logged') return []
    const detail = 'this statement, or one with its number, is in the log already'
    return [{ reason: 'wrong_state', detail }]
  }
  const { refusal } = logged
  if (statement.kind === 'federation') return [refusal]
  if (isOutOfSequence(refusal)) {
    // The fault is told once; the sequence goes on from what is there.
    const { n, prev, at } = statement
    resume(view, self, statement, { n: n - 1, sid: prev as Sid, at })
    const again = logPlaced(view, parsed, check)
    if (again.ok) return [refusal]
    resume(view, self, statement, { n, sid, at })
    return [refusal, again.refusal]
  }
  if (isAuthentic(refusal)) resume(view, self, statement, { n: statement.n, sid, at: statement.at })
  return [refusal]
}

/** Sets where a sequence stands, behind an entry that was not let in. */
function resume(
  view: View<LedgerTables>, self: SiteName, { from, to }: PlacedStatement, at: Direction,
): void {
  if (to !== everybody || from === self) view.put('ledgerDirections', directionKey(from, to), at)
}

function isOutOfSequence({ reason }: LedgerRefusal): boolean {
  return reason === 'gap' || reason === 'wrong_prev' || reason === 'time_fell'
}

/** Refused for what it says: signature and number were in order. */
function isAuthentic({ reason }: LedgerRefusal): boolean {
  return reason === 'unknown_reference' || reason === 'wrong_state' || reason === 'fell'
    || reason === 'too_much' || reason === 'over_limit' || reason === 'wrong_amount'
}

/** The tree has the leaf, whatever it is. */
function refuseLeaf(view: View<LedgerTables>, self: SiteName, bytes: Uint8Array): void {
  if (!ledgerHead(view)) putHead(view, { ...unopened, site: self })
  appendLeaf(view, bytes)
}

/** Stands in for the head of a log whose first entry is not a federation statement. */
const unopened = {
  epoch: 1,
  federation: '' as FederationId,
  federationName: '',
  founder: '' as SiteName,
  founderRoot: '',
  frontier: emptyFrontier,
}

function invariantOf(refusal: LedgerRefusal): Invariant {
  switch (refusal.reason) {
    case 'malformed':
    case 'unknown_kind': return 'I11'
    case 'misdirected':
    case 'wrong_federation':
    case 'not_member':
    case 'wrong_epoch':
    case 'bad_key':
    case 'bad_signature': return 'I1'
    case 'gap':
    case 'fork':
    case 'wrong_prev': return 'I2'
    case 'time_fell': return 'I8'
    case 'unknown_reference':
    case 'wrong_state':
    case 'fell':
    case 'too_much': return 'I5'
    case 'over_limit': return 'I6'
    case 'wrong_amount': return 'I12'
    default: return unreachable(refusal)
  }
}

/** A book in memory: no entries, no tree, and only the holds that are open. */
function openBook(onNode: (node: TreeNode) => void): View<LedgerTables> {
  const tables: Tables = new Map()
  const recordsOf = (table: string): Map<string, unknown> => {
    let records = tables.get(table)
    if (!records) tables.set(table, records = new Map<string, unknown>())
    return records
  }
  return {
    get: (table, key) => tables.get(table)?.get(key) as never,
    put(table, key, value) {
      if (table === 'ledgerNodes') onNode(nodeOf(key, value as Uint8Array))
      if (coldLedgerTables.has(table)) return
      if (table === 'ledgerHolds' && isEnded(value as HoldRecord)) recordsOf(table).delete(key)
      else recordsOf(table).set(key, value)
    },
    remove: (table, key) => void tables.get(table)?.delete(key),
    entries: (table) => recordsOf(table).entries() as never,
  }
}

function nodeOf(key: string, hash: Uint8Array): TreeNode {
  const [level = '', index = ''] = key.split('/')
  return { level: Number(level), index: Number(index), hash }
}

function isEnded({ state }: HoldRecord): boolean {
  return state !== 'asked' && state !== 'held'
}

function summarise(
  view: View<LedgerTables>, self: SiteName, newestEpochMs: number,
): LogSummary | undefined {
  const own = view.get('ledgerMembers', self)
  if (!own) return undefined
  const { federation, federationName, epoch, frontier } = openHead(view)
  const publics = [...view.entries('ledgerPublics')].map(([key, { sid }]) => {
    const [site = '', number = ''] = key.split('>*#')
    return { site: site as SiteName, n: Number(number), sid }
  })
  return {
    site: self,
    federation,
    federationName,
    epoch,
    size: frontier.size,
    root: root(frontier),
    logKey: own.keys.log,
    members: new Map(view.entries('ledgerMembers')) as Map<SiteName, MemberKeys>,
    directions: new Map(view.entries('ledgerDirections')),
    publics: publics.toSorted((a, b) => compareBytes(a.site, b.site) || a.n - b.n),
    accounts: [...view.entries('ledgerAccounts')].map(([, account]) => account),
    limits: new Map([...view.entries('ledgerCredits')].map(([key, { limit }]) => [key, limit])),
    openHolds: [...view.entries('ledgerHolds')].map(([, hold]) => hold)
      .toSorted((a, b) => a.index - b.index),
    newestEpochMs,
  }
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
      .map(({ n, sid }) => [n, sid]))
    for (const { site, n, sid } of log.publics) {
      if (site !== author.site || own.get(n) === sid) continue
      const hidden = !own.has(n)
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
