// The audit of one log: its entries replayed through the very rules of the live ledger, from the
// leaves alone. What is wrong becomes a finding that names the entry; the replay goes on behind it,
// so that one fault does not hide the next.
// Invariants: what must stay in memory is accounts, members, public statements and open holds; the
// records of what has ended go where the caller wants them. The tree grows by every leaf, also by
// those that no rule lets in.

import { unreachable } from '../base/assert.ts'
import { fromUtf8 } from '../base/encoding.ts'
import { compareBytes } from '../base/ids.ts'
import type { FederationId, Hash, Sid, SiteName } from '../base/ids.ts'
import type { TreeNode } from '../base/merkle.ts'
import { emptyFrontier, root } from '../base/merkle.ts'
import type { View } from '../base/tables.ts'
import { openCauses } from './audit-causes.ts'
import type { Documents } from './audit-documents.ts'
import type {
  Account, ContractRecord, Direction, GrantRecord, HoldRecord, LedgerTables, MemberKeys,
} from './ledger-book.ts'
import {
  appendLeaf, coldLedgerTables, directionKey, ledgerHead, openHead, pairKey, putHead,
} from './ledger-book.ts'
import type { SignatureCheck } from './ledger-entry.ts'
import { logFederation, logPlaced } from './ledger-entry.ts'
import { contractsForgotten } from './ledger-pairs.ts'
import type { LedgerRefusal } from './ledger-refusal.ts'
import { describeLedgerRefusal } from './ledger-refusal.ts'
import type { LoadedBook } from './ledger-state.ts'
import { bookState } from './ledger-state.ts'
import type { ParsedStatement, PlacedStatement, Statement, Usage } from './statement.ts'
import { everybody, parseStatement } from './statement.ts'

/** The invariants of docs/LEDGER.md that a checker asserts. */
export type Invariant =
  | 'I1' | 'I2' | 'I3' | 'I4' | 'I5' | 'I6' | 'I7' | 'I8' | 'I9' | 'I10' | 'I11' | 'I12' | 'I13'

/**
 * Something that does not hold. `index` is the entry's; undefined when it concerns the whole log.
 */
export interface Finding {
  readonly site: SiteName
  readonly index: number | undefined
  readonly rule: Invariant
  readonly detail: string
  /** The entry of the same log whose fault this one only follows from. */
  readonly cause?: number
}

/** A head of another log, as a `heads` statement in this one names it. */
export interface HeadSaid {
  readonly index: number
  readonly origin: string
  readonly size: number
  /** Hexadecimal. */
  readonly root: string
}

/** A statement to everybody that a log holds, of whichever site. */
export interface PublicNumber {
  readonly site: SiteName
  readonly e: number
  readonly n: number
  readonly sid: Sid
}

/** One log after its replay: what other logs of the federation must agree with. */
export interface LogSummary {
  readonly site: SiteName
  readonly federation: FederationId
  readonly federationName: string
  readonly epoch: number
  /** The first entry that was replayed: 0, or the size of the snapshot that came before it. */
  readonly from: number
  readonly size: number
  readonly root: Uint8Array
  /** The key under which its checkpoints must be signed, hexadecimal. */
  readonly logKey: string
  readonly members: ReadonlyMap<SiteName, MemberKeys>
  /** Key `from>to`. */
  readonly directions: ReadonlyMap<string, Direction>
  readonly publics: readonly PublicNumber[]
  readonly accounts: readonly Account[]
  /** Key `creditor>debtor`. */
  readonly limits: ReadonlyMap<string, bigint>
  readonly openHolds: readonly HoldRecord[]
  readonly grants: readonly GrantRecord[]
  /** Commitments that the auditor's documents opened. */
  readonly opened: ReadonlySet<Hash>
  /** The newest of them, at most `headsSaidMax`. */
  readonly headsSaid: readonly HeadSaid[]
  /** Index of each genesis of its own, by epoch: up to there an older log and this are the same. */
  readonly epochsFrom: ReadonlyMap<number, number>
  /** The newest time that any author claimed, epoch ms. */
  readonly newestEpochMs: number
  /** The newest time that the site itself claimed, epoch ms: until then it says what it said. */
  readonly saidUntilEpochMs: number
}

export const headsSaidMax = 4_096

/** A leaf that was read but not yet replayed: its statement, or why it is none. */
export type ReadLeaf = ParsedStatement | LedgerRefusal

export interface Replay {
  /** Takes the next leaf; gives what is wrong with it, most important first. */
  leaf(bytes: Uint8Array): Finding[]
  /** As `leaf`, for one that `readLeaf` has read. */
  take(bytes: Uint8Array, read: ReadLeaf): Finding[]
  /** Leaves so far, and the root over them. */
  head(): { readonly size: number, readonly root: Uint8Array }
  /** Undefined when the first two entries were not what opens a log. */
  summary(): LogSummary | undefined
}

/** The records of one table; a Map is one. */
export interface Records {
  get(key: string): unknown
  set(key: string, value: unknown): unknown
  delete(key: string): unknown
  /** Of a table that has dead records: those that are not. */
  entries(): Iterable<readonly [string, unknown]>
  /** The dead ones, too. */
  all?(): Iterable<readonly [string, unknown]>
}

export interface ReplayOptions {
  /** Sees each node that the tree completes. */
  readonly onNode?: (node: TreeNode) => void
  /**
   * Where a table keeps its records, a Map unless told. `isDead` tells the records that a later
   * entry may still name but that are no part of any sum: they need not stay in memory.
   */
  readonly recordsOf?: (
    table: string, isDead: ((value: unknown) => boolean) | undefined,
  ) => Records
  /** What was shown to the auditor beside the log. */
  readonly documents?: Documents
  /** Replays from a snapshot on, instead of from the first entry. */
  readonly from?: LoadedBook
}

/** Replays the log of `self`. */
export function openReplay(
  self: SiteName, check: SignatureCheck, options: ReplayOptions = {},
): Replay {
  const book = openBook(options)
  const { view } = book
  const from = ledgerHead(view)?.frontier.size ?? 0
  const causes = openCauses()
  const seen = openSeen(self)
  const opened = new Set<Hash>()
  const openAll = (said: Statement, index: number, before: Usage | undefined): Finding[] =>
    (options.documents?.open(said, before) ?? []).flatMap(({ hash, kind, mismatch }) => {
      opened.add(hash)
      const detail = `its ${kind} document does not fit: ${mismatch}`
      return mismatch === undefined ? [] : [{ site: self, index, rule: 'I13' as const, detail }]
    })
  const take = (bytes: Uint8Array, read: ReadLeaf): Finding[] => {
    const index = ledgerHead(view)?.frontier.size ?? 0
    const parsed = 'reason' in read ? undefined : read
    const before = options.documents && parsed?.statement.kind === 'usage'
      ? view.get('ledgerHolds', parsed.statement.hold)?.used : undefined
    const state = parsed && isSnapshotOf(self, parsed.statement, view) ? book.state() : undefined
    const refusals = 'reason' in read ? [read] : index === 0
      ? first(view, self, read, check)
      : later(book, self, read, { check, index })
    if ((ledgerHead(view)?.frontier.size ?? 0) === index) refuseLeaf(view, self, bytes)
    if (parsed) seen.entry(parsed.statement, { index, isSound: refusals.length === 0 })
    const findings = refusals.map((refusal): Finding => {
      const cause = causes.causeOf(parsed?.statement, refusal)
      const detail = describeLedgerRefusal(refusal)
      const finding = { site: self, index, rule: invariantOf(refusal), detail }
      return cause === undefined ? finding : { ...finding, cause }
    })
    if (findings.length > 0) {
      const isItself = parsed !== undefined && refusals[0]?.reason !== 'bad_signature'
      causes.missed(parsed, { index, cause: findings[0]?.cause, isItself })
    } else if (parsed) findings.push(...openAll(parsed.statement, index, before))
    if (parsed?.statement.kind === 'snapshot' && state !== undefined
      && parsed.statement.state !== state) {
      const detail = `its state is ${parsed.statement.state}, the entries before it give ${state}`
      findings.push({ site: self, index, rule: 'I10', detail })
    }
    return findings
  }
  return {
    leaf: (bytes) => take(bytes, readLeaf(bytes)),
    take,
    head() {
      const frontier = ledgerHead(view)?.frontier ?? emptyFrontier
      return { size: frontier.size, root: root(frontier) }
    },
    summary: () => summarise(view, self, { ...seen.summary(), opened, from }),
  }
}

/** A snapshot of what stands before it, by the log's own author. */
function isSnapshotOf(self: SiteName, said: Statement, view: View<LedgerTables>): boolean {
  const head = ledgerHead(view)
  return said.kind === 'snapshot' && said.from === self && head !== undefined
    && said.e === head.epoch && said.size === head.frontier.size
}

type Seen = Pick<LogSummary, 'headsSaid' | 'epochsFrom' | 'newestEpochMs' | 'saidUntilEpochMs'>

/** What the statements say beside what they do. */
function openSeen(self: SiteName): {
  entry(said: Statement, at: { readonly index: number, readonly isSound: boolean }): void
  summary(): Seen
} {
  const epochsFrom = new Map<number, number>()
  let headsSaid: HeadSaid[] = []
  let newestEpochMs = 0
  let saidUntilEpochMs = 0
  return {
    entry(said, { index, isSound }) {
      newestEpochMs = Math.max(newestEpochMs, said.at)
      if (!isSound || said.kind === 'federation' || said.from !== self) return
      saidUntilEpochMs = Math.max(saidUntilEpochMs, said.at)
      if (said.kind === 'genesis') epochsFrom.set(said.e, index)
      if (said.kind !== 'heads') return
      for (const head of said.heads) headsSaid.push({ index, ...head })
      if (headsSaid.length > 2 * headsSaidMax) headsSaid = headsSaid.slice(-headsSaidMax)
    },
    summary: () => ({
      headsSaid: headsSaid.slice(-headsSaidMax), epochsFrom, newestEpochMs, saidUntilEpochMs,
    }),
  }
}

/** The leaf's statement; only the one encoding of a text is read. */
export function readLeaf(bytes: Uint8Array): ReadLeaf {
  // The quick decoder puts U+FFFD for what is no UTF-8: where there is one, the strict one decides.
  const quick = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
  const text = quick.includes('\ufffd') ? fromUtf8(bytes) : quick
  if (text === undefined) return { reason: 'malformed', detail: 'the entry is not UTF-8' }
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
  { view, forgetBefore }: Book,
  self: SiteName,
  parsed: ParsedStatement,
  { check, index }: { readonly check: SignatureCheck, readonly index: number },
): LedgerRefusal[] {
  const { statement, sid } = parsed
  const opens = statement.kind === 'genesis' && statement.from === self && statement.e === 1
  if (opens !== (index === 1)) {
    const detail = `entry 1, and no other, is the first genesis of ${self}`
    return [{ reason: 'misdirected', detail }]
  }
  const agreed = statement.kind === 'reconcile' && statement.side === 'agree'
    ? view.get('ledgerProposals', statement.reconcile) : undefined
  const logged = logPlaced(view, parsed, check)
  if (logged.ok) {
    if (agreed?.kind === 'reconcile') {
      forgetBefore(agreed, {
        index: agreed.index, contractsEpochMs: contractsForgotten(agreed.atEpochMs, statement.at),
      })
    }
    if (logged.value.kind === 'logged') return []
    const detail = 'this statement, or one with its number, is in the log already'
    return [{ reason: 'wrong_state', detail }]
  }
  const { refusal } = logged
  if (statement.kind === 'federation') return [refusal]
  if (isOutOfSequence(refusal)) {
    // The fault is told once; the sequence goes on from what is there.
    const { e, n, prev, at } = statement
    resume(view, self, statement, { e, n: n - 1, sid: prev, at })
    const again = logPlaced(view, parsed, check)
    if (again.ok) return [refusal]
    resume(view, self, statement, { e, n, sid, at })
    return [refusal, again.refusal]
  }
  if (isAuthentic(refusal)) {
    const { e, n, at } = statement
    resume(view, self, statement, { e, n, sid, at })
  }
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
    || reason === 'too_much' || reason === 'over_limit' || reason === 'over_grant'
    || reason === 'frozen' || reason === 'wrong_amount'
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
    case 'frozen':
    case 'over_limit': return 'I6'
    case 'over_grant': return 'I7'
    case 'wrong_amount': return 'I12'
    default: return unreachable(refusal)
  }
}

interface Book {
  readonly view: View<LedgerTables>
  /**
   * A reconciliation: holds of the pair that had ended before entry `index` are forgotten, and
   * contracts of before that time that no other hold stands under.
   */
  forgetBefore(pair: { readonly from: SiteName, readonly to: SiteName }, before: Forgotten): void
  /** What a snapshot of the book says. */
  state(): Hash
}

interface Forgotten {
  readonly index: number
  readonly contractsEpochMs: number
}

/** A book without entries and tree. */
function openBook({ onNode, recordsOf = () => new Map(), from }: ReplayOptions): Book {
  const tables = new Map<string, Records>()
  const forgotten = new Map<string, Forgotten>()
  const table = (name: string): Records => {
    let records = tables.get(name)
    if (!records) tables.set(name, records = recordsOf(name, isDeadIn[name]))
    return records
  }
  // The rules remove what is forgotten one by one, as far as they see it: the dead they do not see.
  const isForgotten = ({ endedIndex, home, host }: HoldRecord): boolean =>
    endedIndex > 0 && endedIndex < (forgotten.get(pairKey(home, host))?.index ?? 0)
  const view: View<LedgerTables> = {
    get(name, key) {
      const value = tables.get(name)?.get(key)
      const isGone = name === 'ledgerHolds' && forgotten.size > 0 && value !== undefined
        && isForgotten(value as HoldRecord)
      return (isGone ? undefined : value) as never
    },
    put(name, key, value) {
      if (!coldLedgerTables.has(name)) table(name).set(key, value)
      else if (name === 'ledgerNodes') onNode?.(nodeOf(key, value as Uint8Array))
    },
    remove: (name, key) => void tables.get(name)?.delete(key),
    entries: (name) => table(name).entries() as never,
  }
  const allOf = (name: string): Iterable<readonly [string, unknown]> => {
    const records = table(name)
    return records.all?.() ?? records.entries()
  }
  for (const { table: name, key, value } of from?.records ?? []) table(name).set(key, value)
  return {
    view,
    forgetBefore({ from: one, to: other }, before) {
      const key = pairKey(one, other)
      const last = forgotten.get(key)
      forgotten.set(key, {
        index: Math.max(before.index, last?.index ?? 0),
        contractsEpochMs: Math.max(before.contractsEpochMs, last?.contractsEpochMs ?? 0),
      })
    },
    state() {
      const holds = Array.from(allOf('ledgerHolds')) as [string, HoldRecord][]
      const kept = holds.filter(([, hold]) => !isForgotten(hold))
      const used = new Set(kept.map(([, { contract }]) => contract))
      const contracts = (Array.from(allOf('ledgerContracts')) as [string, ContractRecord][])
        .filter(([, { sid, home, host, offeredEpochMs }]) => used.has(sid)
          || offeredEpochMs >= (forgotten.get(pairKey(home, host))?.contractsEpochMs ?? 0))
      return bookState({
        entries: (name) => (name === 'ledgerHolds' ? kept : name === 'ledgerContracts'
          ? contracts : table(name).entries()) as never,
      })
    },
  }
}

const isDeadIn: Readonly<Record<string, (value: unknown) => boolean>> = {
  ledgerHolds: (value) => isEnded(value as HoldRecord),
  // Nothing says that a contract is over, and nobody but its holds ever asks for it. One that was
  // forgotten is too old for another hold anyway.
  ledgerContracts: () => true,
}

function nodeOf(key: string, hash: Uint8Array): TreeNode {
  const [level = '', index = ''] = key.split('/')
  return { level: Number(level), index: Number(index), hash }
}

function isEnded({ endedIndex }: HoldRecord): boolean {
  return endedIndex > 0
}

function summarise(
  view: View<LedgerTables>, self: SiteName, seen: Seen & Pick<LogSummary, 'opened' | 'from'>,
): LogSummary | undefined {
  const own = view.get('ledgerMembers', self)
  if (!own) return undefined
  const { federation, federationName, epoch, frontier } = openHead(view)
  const publics = [...view.entries('ledgerPublics')].map(([key, { sid }]) => {
    const [site = '', number = ''] = key.split('>*#')
    const [e, n] = number.split('/').map(Number)
    return { site: site as SiteName, e: e ?? 0, n: n ?? 0, sid }
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
    publics: publics.toSorted((a, b) => compareBytes(a.site, b.site) || a.e - b.e || a.n - b.n),
    accounts: [...view.entries('ledgerAccounts')].map(([, account]) => account),
    limits: new Map([...view.entries('ledgerCredits')].map(([key, { limit }]) => [key, limit])),
    openHolds: [...view.entries('ledgerHolds')].map(([, hold]) => hold)
      .filter((hold) => !isEnded(hold))
      .toSorted((a, b) => a.index - b.index),
    grants: [...view.entries('ledgerGrants')].map(([, grant]) => grant),
    ...seen,
  }
}
