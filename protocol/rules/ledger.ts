// The ledger's rules: what may be said, by whom, in which order, and what it does to the accounts.
// The live node and the offline audit go through the same functions.
// Invariants: a refusal writes nothing; what a site issues passes every rule that a receiver
// applies; two logs that hold the same statements of a pair agree on its accounts.

import { assert } from '../base/assert.ts'
import { toHex } from '../base/crypto.ts'
import type { FederationId, Sid, SiteName } from '../base/ids.ts'
import type { Signer } from '../base/note.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import type { View } from '../base/tables.ts'
import { tentative } from '../base/tables.ts'
import type { ContractRecord, HoldRecord, LedgerTables } from './ledger-book.ts'
import { openHead } from './ledger-book.ts'
import {
  checkNow, isAuthentic, logFederation, logPlaced, type LoggedEntry, type SignatureCheck,
} from './ledger-entry.ts'
import { directionOf } from './ledger-pairs.ts'
import type { LedgerRefusal } from './ledger-refusal.ts'
import type {
  Addressee, EpochClose, FederationStatement, GenesisStatement, KeyStatement, LastNumber,
  PairStatement, ParsedStatement, PublicStatement, SiteKeys, Statement, StatementInput,
} from './statement.ts'
import { everybody, parseStatement, sealStatement } from './statement.ts'

export { balanceOf, creditLimit, exposure } from './ledger-accounts.ts'
export { directionOf } from './ledger-pairs.ts'
export type { LedgerRefusal } from './ledger-refusal.ts'
export type { LedgerTables } from './ledger-book.ts'
export { checkpointText, coldLedgerTables } from './ledger-book.ts'
export { isMember } from './ledger-entry.ts'

export interface LedgerSigner {
  readonly site: SiteName
  readonly epoch: number
  readonly statement: Signer
}

/** An entry that was just appended. */
export interface Logged<S extends Statement = Statement> {
  readonly sid: Sid
  readonly note: string
  readonly statement: S
  readonly index: number
}

export type Received =
  | ({ readonly kind: 'received' } & Logged<PairStatement>)
  /**
   * Already logged, nothing changed. `compared` is false when it lies too far back to compare
   * bytes.
   */
  | {
    readonly kind: 'duplicate'
    readonly sid: Sid
    readonly n: number
    readonly compared: boolean
  }

export interface OpenedLedger {
  readonly federation: FederationId
  readonly genesis: Sid
}

type Sealed<Id> = Outcome<{ readonly note: string, readonly sid: Id }, LedgerRefusal>

/** Founder: signs the federation's statement; its sid is the federation's id. */
export function sealFederation(
  root: Signer,
  said: {
    readonly name: string, readonly founder: SiteName, readonly nonce: string, readonly at: number
  },
): Sealed<FederationId> {
  return sealed({ kind: 'federation', ...said, root: toHex(root.key.publicKey) }, root)
}

/** Signs the genesis of an epoch with the site's root key; epoch 1 has nothing before it. */
export function sealGenesis(
  root: Signer,
  said: {
    readonly fed: FederationId
    readonly site: SiteName
    readonly keys: SiteKeys
    readonly at: number
    readonly after?: {
      readonly epoch: number, readonly genesis: Sid, readonly closes: readonly EpochClose[]
    }
  },
): Sealed<Sid> {
  return sealed({
    kind: 'genesis',
    e: (said.after?.epoch ?? 0) + 1,
    fed: said.fed,
    from: said.site,
    to: everybody,
    n: 1,
    prev: '',
    at: said.at,
    root: toHex(root.key.publicKey),
    keys: said.keys,
    previous: said.after?.genesis ?? '',
    closes: said.after?.closes ?? [],
  }, root)
}

/** Entry 0 (federation) and entry 1 (own genesis) of `self`'s log; refused if the log is open. */
export function openLedger(
  view: View<LedgerTables>,
  self: SiteName,
  notes: { readonly federation: string, readonly genesis: string },
): Outcome<OpenedLedger, LedgerRefusal> {
  const federation = parseStatement(notes.federation)
  if (!federation.ok) return federation
  const genesis = parseStatement(notes.genesis)
  if (!genesis.ok) return genesis
  const { statement, sid } = genesis.value
  if (statement.kind !== 'genesis' || statement.from !== self) {
    return refuse({ reason: 'misdirected', detail: `entry 1 is the genesis of ${self}` })
  }
  const trial = tentative(view)
  const first = logFederation(trial.view, self, federation.value, checkNow)
  if (!first.ok) return first
  const second = logPlaced(trial.view, genesis.value, checkNow)
  if (!second.ok) return second
  trial.keep()
  return ok({ federation: federation.value.sid, genesis: sid })
}

/**
 * Logs the policy that admits a site (none for the founder) and the site's genesis. Whatever of the
 * two is in the log already is passed over; for `self` only the policy is new.
 */
export function admitMember(
  view: View<LedgerTables>,
  self: SiteName,
  notes: { readonly policy?: string, readonly genesis: string },
): Outcome<{ readonly site: SiteName, readonly logged: readonly Logged[] }, LedgerRefusal> {
  assert(openHead(view).site === self, 'a site writes its own log only')
  const genesis = parseStatement(notes.genesis)
  if (!genesis.ok) return genesis
  const member = genesis.value.statement
  if (member.kind !== 'genesis') return misdirected(`expected a genesis, got ${member.kind}`)
  const trial = tentative(view)
  const logged: Logged[] = []
  const steps: ParsedStatement[] = []
  if (notes.policy !== undefined) {
    const policy = parseStatement(notes.policy)
    if (!policy.ok) return policy
    const said = policy.value.statement
    if (said.kind !== 'policy' || said.about !== 'admit' || said.admit !== member.from) {
      return misdirected(`expected the policy that admits ${member.from}`)
    }
    steps.push(policy.value)
  }
  for (const parsed of [...steps, genesis.value]) {
    const entry = logPlaced(trial.view, parsed, checkNow)
    if (!entry.ok) return entry
    if (entry.value.kind === 'logged') logged.push(loggedAt(parsed, parsed.statement, entry.value))
  }
  trial.keep()
  return ok({ site: member.from, logged })
}

/**
 * Logs a statement to everybody, in any order and with gaps: of another member, or the site's own
 * of an epoch that is over.
 */
export function logPublic(
  view: View<LedgerTables>, self: SiteName, note: string,
): Outcome<
  { readonly sid: Sid, readonly duplicate: boolean, readonly statement: ToEverybody }, LedgerRefusal
> {
  const { site, epoch } = openHead(view)
  assert(site === self, 'a site writes its own log only')
  const parsed = parseStatement(note)
  if (!parsed.ok) return parsed
  const { statement, sid } = parsed.value
  // A first genesis comes with its admission, and what the site says now it issues.
  const isOther = isToEverybody(statement)
    && !(statement.from === self && statement.e >= epoch)
    && !(statement.kind === 'genesis' && statement.e === 1)
  if (!isOther) {
    return misdirected(`expected a public statement of another site, got ${statement.kind}`)
  }
  const entry = logPlaced(view, parsed.value, checkNow)
  return entry.ok ? ok({ sid, duplicate: entry.value.kind === 'duplicate', statement }) : entry
}

/** Opens the next epoch of `self`'s own log: a genesis that its root key signed. */
export function openEpoch(
  view: View<LedgerTables>, self: SiteName, note: string,
): Outcome<Logged<GenesisStatement>, LedgerRefusal> {
  const { site, epoch } = openHead(view)
  assert(site === self, 'a site writes its own log only')
  return logOwn(view, note, 'genesis', epoch + 1)
}

/** Replaces `self`'s own statement and witness keys from here on; signed by its root key. */
export function changeKeys(
  view: View<LedgerTables>, self: SiteName, note: string,
): Outcome<Logged<KeyStatement>, LedgerRefusal> {
  const { site, epoch } = openHead(view)
  assert(site === self, 'a site writes its own log only')
  return logOwn(view, note, 'key', epoch)
}

function logOwn<K extends 'genesis' | 'key'>(
  view: View<LedgerTables>, note: string, kind: K, epoch: number,
): Outcome<Logged<Extract<Statement, { readonly kind: K }>>, LedgerRefusal> {
  const { site } = openHead(view)
  const parsed = parseStatement(note)
  if (!parsed.ok) return parsed
  const { statement } = parsed.value
  if (!isToEverybody(statement) || statement.kind !== kind || statement.from !== site
    || statement.e !== epoch) {
    return misdirected(`expected a ${kind} of ${site} in epoch ${epoch}, got ${statement.kind}`)
  }
  const entry = logPlaced(view, parsed.value, checkNow)
  if (!entry.ok) return entry
  if (entry.value.kind !== 'logged') return misdirected(`this ${kind} is in the log already`)
  const own = statement as Extract<Statement, { readonly kind: K }>
  return ok(loggedAt(parsed.value, own, entry.value))
}

/** Signs a `key` statement, the next of the site's public sequence, with its root key. */
export function sealKeys(
  view: View<LedgerTables>,
  root: Signer,
  said: {
    readonly statement: string
    readonly witness: string
    readonly last: readonly LastNumber[]
    readonly at: number
  },
): Sealed<Sid> {
  const { site, epoch, federation } = openHead(view)
  const last = directionOf(view, site, everybody)
  return sealed({
    kind: 'key',
    ...said,
    e: epoch,
    fed: federation,
    from: site,
    to: everybody,
    n: last.n + 1,
    prev: last.sid,
    at: Math.max(said.at, last.at),
  }, root)
}

/** Says something: numbers, signs, checks as a receiver would, and appends. */
export function issueStatement(
  view: View<LedgerTables>, signer: LedgerSigner, input: StatementInput,
): Outcome<Logged<PublicStatement | PairStatement>, LedgerRefusal> {
  const { site, epoch, federation } = openHead(view)
  assert(signer.site === site && signer.epoch === epoch, 'a site writes its own log only')
  const keys = view.get('ledgerMembers', site)?.keys
  assert(keys?.statement === toHex(signer.statement.key.publicKey), 'the genesis names this key')
  const last = directionOf(view, site, input.to)
  const opens = last.e < epoch && input.kind === 'reconcile' && input.side === 'close'
  if (last.e !== epoch && !opens) {
    return refuse({ reason: 'wrong_epoch', expected: last.e, found: epoch })
  }
  const parsed = sealStatement({
    ...input,
    e: epoch,
    fed: federation,
    from: site,
    n: opens ? 1 : last.n + 1,
    prev: opens ? '' : last.sid,
    // A clock that was set back must not make an honest author look dishonest.
    at: Math.max(input.at, last.at),
  }, signer.statement)
  if (!parsed.ok) return parsed
  const entry = logPlaced(view, parsed.value, signedByUs)
  if (!entry.ok) return entry
  assert(entry.value.kind === 'logged', 'a new number is no duplicate')
  const { statement } = parsed.value
  assert(isPublic(statement) || isBetweenSites(statement), 'an issued kind')
  return ok(loggedAt(parsed.value, statement, entry.value))
}

/** Logs a statement that `from` made to `self`. A `gap` refusal carries the number to ask for. */
export function receiveStatement(
  view: View<LedgerTables>, self: SiteName, from: SiteName, note: string,
): Outcome<Received, LedgerRefusal> {
  assert(openHead(view).site === self, 'a site writes its own log only')
  const parsed = parseStatement(note)
  if (!parsed.ok) return parsed
  const { statement, sid } = parsed.value
  if (!isBetweenSites(statement) || statement.from !== from || statement.to !== self
    || from === self) {
    return misdirected(`expected a statement of ${from} to ${self}, got ${statement.kind}`)
  }
  const entry = logPlaced(view, parsed.value, checkNow)
  if (!entry.ok) return entry
  if (entry.value.kind === 'duplicate') {
    return ok({ kind: 'duplicate', sid, n: statement.n, compared: entry.value.compared })
  }
  return ok({ kind: 'received', ...loggedAt(parsed.value, statement, entry.value) })
}

/**
 * Logs a statement of the pair of `self` and `peer`, whichever of the two said it: how a restored
 * site gets back what its copy of the database did not have.
 */
export function restoreStatement(
  view: View<LedgerTables>, self: SiteName, peer: SiteName, note: string,
): Outcome<Received, LedgerRefusal> {
  assert(openHead(view).site === self, 'a site writes its own log only')
  const parsed = parseStatement(note)
  if (!parsed.ok) return parsed
  const { statement, sid } = parsed.value
  const isOurs = isBetweenSites(statement) && peer !== self
    && ((statement.from === peer && statement.to === self)
      || (statement.from === self && statement.to === peer))
  if (!isOurs) return misdirected(`expected a statement between ${peer} and ${self}`)
  const entry = logPlaced(view, parsed.value, checkNow)
  if (!entry.ok) return entry
  if (entry.value.kind === 'duplicate') {
    return ok({ kind: 'duplicate', sid, n: statement.n, compared: entry.value.compared })
  }
  return ok({ kind: 'received', ...loggedAt(parsed.value, statement, entry.value) })
}

/** Whether `self` has signed this itself, also when its log does not hold it (any more). */
export function isOwnWord(view: View<LedgerTables>, self: SiteName, note: string): boolean {
  const parsed = parseStatement(note)
  if (!parsed.ok || parsed.value.statement.kind === 'federation') return false
  return parsed.value.statement.from === self && isAuthentic(view, parsed.value)
}

/** The number of the next statement that this log expects from `from` to `to`. */
export function nextExpected(view: View<LedgerTables>, from: SiteName, to: SiteName): number {
  return directionOf(view, from, to).n + 1
}

/** The number of the last statement that `self` issued to `to`, 0 for none. */
export function lastIssued(view: View<LedgerTables>, self: SiteName, to: Addressee): number {
  return directionOf(view, self, to).n
}

export function holdState(view: View<LedgerTables>, sid: Sid): HoldRecord | undefined {
  return view.get('ledgerHolds', sid)
}

export function contractTerms(view: View<LedgerTables>, sid: Sid): ContractRecord | undefined {
  return view.get('ledgerContracts', sid)
}

const signedByUs: SignatureCheck = () => true

function loggedAt<S extends Statement>(
  { sid, note }: ParsedStatement,
  statement: S,
  entry: Extract<LoggedEntry, { readonly kind: 'logged' }>,
): Logged<S> {
  return { sid, note, statement, index: entry.index }
}

type ToEverybody = GenesisStatement | KeyStatement | PublicStatement

function isToEverybody(statement: Statement): statement is ToEverybody {
  return statement.kind !== 'federation' && statement.to === everybody
}

function isPublic(statement: Statement): statement is PublicStatement {
  return isToEverybody(statement) && statement.kind !== 'genesis' && statement.kind !== 'key'
}

function isBetweenSites(statement: Statement): statement is PairStatement {
  return statement.kind !== 'federation' && statement.to !== everybody
}

function sealed(
  statement: FederationStatement | GenesisStatement | KeyStatement, root: Signer,
): Sealed<Sid> {
  const parsed = sealStatement(statement, root)
  return parsed.ok ? ok({ note: parsed.value.note, sid: parsed.value.sid }) : parsed
}

function misdirected(detail: string): { readonly ok: false, readonly refusal: LedgerRefusal } {
  return refuse({ reason: 'misdirected', detail })
}
