// How a statement gets into a log: addressing, federation, membership, epoch, signature and
// sequence in this order of precedence, then what it does (ledger-accounts.ts), then the entry
// itself.
// Invariants: nothing is written on a refusal; own statements and those of a counterparty have no
// gaps; public statements of others may have them, but never two for one number.

import type { Sid, SiteName } from '../base/ids.ts'
import type { Sealed } from '../base/envelope.ts'
import { verifySealed } from '../base/envelope.ts'
import { emptyFrontier } from '../base/merkle.ts'
import type { Verifier } from '../base/note.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import type { View } from '../base/tables.ts'
import type { Direction, LedgerTables, MemberKeys, RetiredKeys } from './ledger-book.ts'
import {
  appendEntry, directionKey, ledgerHead, numberKey, openHead, publicKey, putHead,
} from './ledger-book.ts'
import { checkKeys, erasOf, keyOf, keysAt, withKeys } from './ledger-keys.ts'
import { directionOf } from './ledger-pairs.ts'
import { carryOut } from './ledger-publics.ts'
import type { LedgerRefusal } from './ledger-refusal.ts'
import { renewalsMax } from './membership.ts'
import type { ParsedStatement, PlacedStatement, StatementOf } from './statement.ts'
import { everybody, signerNameOf } from './statement.ts'

/** Decides on a signature; the audit replaces it to check many at once. */
export type SignatureCheck = (sealed: Sealed, verifier: Verifier) => boolean

export const checkNow: SignatureCheck = verifySealed

export type LoggedEntry =
  | { readonly kind: 'logged', readonly index: number }
  /** Nothing was written. `compared`: the bytes are known to be the same. */
  | { readonly kind: 'duplicate', readonly compared: boolean }

const firstEpoch = 1

/** Entry 0: names the federation and starts the log of `self`. */
export function logFederation(
  view: View<LedgerTables>, self: SiteName, parsed: ParsedStatement, check: SignatureCheck,
): Outcome<{ readonly index: number }, LedgerRefusal> {
  const { statement, sealed, sid, note } = parsed
  if (ledgerHead(view)) return refuse({ reason: 'wrong_state', detail: 'the log is open already' })
  if (statement.kind !== 'federation') {
    return misdirected(`entry 0 is a federation statement, not ${statement.kind}`)
  }
  const key = keyOf(statement.root)
  if (!key.ok) return key
  if (!signed(sealed, signerNameOf(statement), key.value, check)) return badSignature(parsed)
  // Nothing below can fail.
  const { name, founder, root } = statement
  putHead(view, {
    site: self,
    epoch: firstEpoch,
    federation: sid,
    federationName: name,
    founder,
    founderRoot: root,
    frontier: emptyFrontier,
  })
  view.put('ledgerAdmissions', founder, {
    site: founder, root, genesis: '', sponsor: founder, policy: '',
  })
  return ok({ index: appendEntry(view, { note, number: 'federation' }) })
}

/** Any entry after the first. */
export function logPlaced(
  view: View<LedgerTables>, parsed: ParsedStatement, check: SignatureCheck,
): Outcome<LoggedEntry, LedgerRefusal> {
  const head = openHead(view)
  const { statement, sid, note } = parsed
  if (statement.kind === 'federation') return misdirected('a federation statement is entry 0')
  const self = head.site
  const { from, to, e, n, at } = statement
  if (from !== self && to !== self && to !== everybody) {
    return misdirected(`from ${from} to ${to} in the log of ${self}`)
  }
  if (to === everybody && view.get('ledgerPublics', publicKey(from, e, n))?.sid === sid) {
    return ok({ kind: 'duplicate', compared: true })
  }
  const authentic = authenticate(view, parsed, statement, check)
  if (!authentic.ok) return authentic
  const place = isLoose(view, statement)
    ? placeAmongPublics(view, statement, sid)
    : placeInSequence(view, statement, sid)
  if (!place.ok) return place
  if (place.value !== 'next') {
    return ok({ kind: 'duplicate', compared: place.value === 'same' })
  }
  if (statement.kind !== 'genesis' && statement.kind !== 'key') {
    const carried = carryOut(view, statement, { sid, index: head.frontier.size, self })
    if (!carried.ok) return carried
  }
  // Nothing below can fail.
  if (statement.kind === 'genesis') enrol(view, statement, sid)
  if (statement.kind === 'key') replaceKeys(view, statement)
  if (to === everybody) {
    view.put('ledgerPublics', publicKey(from, e, n), { sid, prev: statement.prev })
  }
  if (!isLoose(view, statement)) {
    view.put('ledgerDirections', directionKey(from, to), { e, n, sid, at })
  }
  const number = numberKey(from, to, { e, n })
  return ok({ kind: 'logged', index: appendEntry(view, { note, number }) })
}

/**
 * Public statements of others come in any order. So do the site's own of an epoch before: a
 * restored site gets them back from its peers.
 */
function isLoose(view: View<LedgerTables>, { from, to, e }: PlacedStatement): boolean {
  const { site: self, epoch } = openHead(view)
  return to === everybody && (from !== self || e < epoch)
}

/** Whether a statement that names a place was signed by the key that counts there. */
export function isAuthentic(view: View<LedgerTables>, parsed: ParsedStatement): boolean {
  const { statement } = parsed
  return statement.kind !== 'federation' && authenticate(view, parsed, statement, checkNow).ok
}

/** A member: admitted by a chain that starts at the founder, and its genesis is in this log. */
export function isMember(view: View<LedgerTables>, site: SiteName): boolean {
  return view.get('ledgerAdmissions', site) !== undefined
    && view.get('ledgerMembers', site) !== undefined
}

function authenticate(
  view: View<LedgerTables>,
  parsed: ParsedStatement,
  statement: PlacedStatement,
  check: SignatureCheck,
): Outcome<undefined, LedgerRefusal> {
  const { federation } = openHead(view)
  if (statement.fed !== federation) {
    return refuse({ reason: 'wrong_federation', expected: federation, found: statement.fed })
  }
  if (statement.kind === 'genesis') return authenticateGenesis(view, parsed, statement, check)
  if (!isMember(view, statement.from)) return refuse({ reason: 'not_member', site: statement.from })
  if (statement.to !== everybody && !isMember(view, statement.to)) {
    return refuse({ reason: 'not_member', site: statement.to })
  }
  const member = view.get('ledgerMembers', statement.from)
  if (!member) return refuse({ reason: 'not_member', site: statement.from })
  if (statement.kind === 'key') return authenticateKey(member, parsed, statement, check)
  const keys = keysAt(member, statement)
  if (!keys) {
    return refuse({ reason: 'wrong_epoch', expected: member.epoch, found: statement.e })
  }
  const key = keyOf(keys.statement)
  if (!key.ok) return key
  return signed(parsed.sealed, signerNameOf(statement), key.value, check)
    ? ok(undefined)
    : badSignature(parsed)
}

/** Root-signed; the root key is the one that the admission (or the federation) names. */
function authenticateGenesis(
  view: View<LedgerTables>,
  parsed: ParsedStatement,
  said: StatementOf<'genesis'>,
  check: SignatureCheck,
): Outcome<undefined, LedgerRefusal> {
  const { site: self, founder, founderRoot } = openHead(view)
  const admission = view.get('ledgerAdmissions', said.from)
  const member = view.get('ledgerMembers', said.from)
  // An own genesis opens the log before anybody has admitted the site.
  if (!admission && said.from !== self) return refuse({ reason: 'not_member', site: said.from })
  const wrongState = (detail: string) => refuse<LedgerRefusal>({ reason: 'wrong_state', detail })
  if (said.n !== 1 || said.prev !== '') return wrongState('a genesis is number 1 of its epoch')
  if (said.e === firstEpoch) {
    if (said.previous !== '' || said.closes.length > 0) {
      return wrongState('the first epoch closes nothing')
    }
    if (admission && (admission.root !== said.root
      || (admission.genesis !== '' && admission.genesis !== parsed.sid))) {
      return wrongState(`${said.from} was admitted with another genesis`)
    }
    if (said.from === founder && said.root !== founderRoot) {
      return wrongState(`${founder} founded with another root key`)
    }
  } else {
    const problem = successor(member, said)
    if (problem) return refuse(problem)
  }
  const keys = checkKeys(said.root, said.keys)
  if (!keys.ok) return keys
  return signed(parsed.sealed, signerNameOf(said), keys.value, check)
    ? ok(undefined)
    : badSignature(parsed)
}

/** What is wrong with the genesis of a later epoch: it follows the newest one that is known. */
function successor(
  member: MemberKeys | undefined, said: StatementOf<'genesis'>,
): LedgerRefusal | undefined {
  if (!member || said.e !== member.epoch + 1) {
    return { reason: 'wrong_epoch', expected: (member?.epoch ?? 0) + 1, found: said.e }
  }
  if (said.previous !== member.genesis || said.root !== member.root) {
    return { reason: 'wrong_state', detail: `${said.from} continues another genesis or root key` }
  }
  if (member.retired.length >= renewalsMax) return tooManyKeys(said.from)
  const known = erasOf(member).map(({ keys }) => keys)
  const used = new Set(known.flatMap(({ log, statement }) => [log, statement]))
  const again = [said.keys.log, said.keys.statement].some((key) => used.has(key))
  return again
    ? { reason: 'bad_key', detail: 'a new epoch has new log and statement keys' } : undefined
}

/** What all have to keep of one site is bounded, however many keys its root key signs. */
function tooManyKeys(site: SiteName): LedgerRefusal {
  return { reason: 'bad_key', detail: `${site} has had ${renewalsMax} changes of keys and epochs` }
}

/**
 * Root-signed, with keys that were never used. One of an epoch before comes late: a restored site
 * has lost it, and its peers have not.
 */
function authenticateKey(
  member: MemberKeys,
  parsed: ParsedStatement,
  said: StatementOf<'key'>,
  check: SignatureCheck,
): Outcome<undefined, LedgerRefusal> {
  if (said.e > member.epoch) {
    return refuse({ reason: 'wrong_epoch', expected: member.epoch, found: said.e })
  }
  if (member.retired.length >= renewalsMax) return refuse(tooManyKeys(said.from))
  const before = erasOf(member).map(({ keys }) => keys.statement)
  if (before.includes(said.statement)) {
    return refuse({ reason: 'bad_key', detail: 'a statement key that was used before' })
  }
  const { statement, witness } = said
  const keys = checkKeys(member.root, { ...member.keys, statement, witness })
  if (!keys.ok) return keys
  return signed(parsed.sealed, signerNameOf(said), keys.value, check)
    ? ok(undefined)
    : badSignature(parsed)
}

function signed(
  sealed: Sealed, name: string, publicKey: Uint8Array, check: SignatureCheck,
): boolean {
  return sealed.signerName === name && check(sealed, { name, publicKey })
}

function enrol(view: View<LedgerTables>, said: StatementOf<'genesis'>, sid: Sid): void {
  const { from: site, e: epoch, root, keys } = said
  const before = view.get('ledgerMembers', site)
  const retired: readonly RetiredKeys[] = before
    ? [...before.retired, { epoch: before.epoch, keys: before.keys, endedBy: 0, last: [] }] : []
  view.put('ledgerMembers', site, { genesis: sid, epoch, root, keys, retired })
  const head = openHead(view)
  if (site === head.site) putHead(view, { ...head, epoch })
}

function replaceKeys(view: View<LedgerTables>, said: StatementOf<'key'>): void {
  const member = view.get('ledgerMembers', said.from)
  if (!member) return
  view.put('ledgerMembers', said.from, withKeys(member, said))
}

type Position = 'next' | 'same' | 'older'

/** Own statements and those of a counterparty: gapless, each naming the one before [LEDGER-4]. */
function placeInSequence(
  view: View<LedgerTables>, statement: PlacedStatement, sid: Sid,
): Outcome<Position, LedgerRefusal> {
  const { e, n, prev, at } = statement
  const last = lastBefore(view, statement)
  if (e !== last.e) return refuse({ reason: 'wrong_epoch', expected: last.e, found: e })
  if (n > last.n + 1) return refuse({ reason: 'gap', expected: last.n + 1, found: n })
  if (n < last.n) return ok('older')
  if (n === last.n) {
    return sid === last.sid
      ? ok('same')
      : refuse({ reason: 'fork', n, known: last.sid as Sid, found: sid })
  }
  if (prev !== last.sid) return refuse({ reason: 'wrong_prev', expected: last.sid, found: prev })
  if (at < last.at) return refuse({ reason: 'time_fell', before: last.at, found: at })
  return ok('next')
}

/**
 * Where the sequence stands for `statement`. It begins anew with a genesis, and with a `close` of a
 * site that has begun anew itself and says truly how far its old sequence went.
 */
function lastBefore(view: View<LedgerTables>, statement: PlacedStatement): Direction {
  const { from, to, e, n } = statement
  const last = directionOf(view, from, to)
  if (e <= last.e || n !== 1) return last
  const fresh: Direction = { e, n: 0, sid: '', at: last.at }
  if (statement.kind === 'genesis') return fresh
  const opens = statement.kind === 'reconcile' && statement.side === 'close'
    && statement.issued === last.n && statement.own === last.sid
    && (view.get('ledgerMembers', from)?.epoch ?? 1) >= e
  return opens ? fresh : last
}

/** Public statements of others: any order, but one for each number, fitting those beside it. */
function placeAmongPublics(
  view: View<LedgerTables>, statement: PlacedStatement, sid: Sid,
): Outcome<Position, LedgerRefusal> {
  const { from, e, n, prev } = statement
  const known = view.get('ledgerPublics', publicKey(from, e, n))
  if (known) {
    return known.sid === sid
      ? ok('same')
      : refuse({ reason: 'fork', n, known: known.sid, found: sid })
  }
  const before = n === 1 ? '' : view.get('ledgerPublics', publicKey(from, e, n - 1))?.sid
  if (before !== undefined && before !== prev) {
    return refuse({ reason: 'wrong_prev', expected: before, found: prev })
  }
  const after = view.get('ledgerPublics', publicKey(from, e, n + 1))
  if (after && after.prev !== sid) {
    return refuse({ reason: 'wrong_prev', expected: after.prev, found: sid })
  }
  return ok('next')
}

function misdirected(detail: string): { readonly ok: false, readonly refusal: LedgerRefusal } {
  return refuse({ reason: 'misdirected', detail })
}

function badSignature(
  { statement, sealed }: ParsedStatement,
): { readonly ok: false, readonly refusal: LedgerRefusal } {
  const expected = signerNameOf(statement)
  return refuse({ reason: 'bad_signature', signer: sealed.signerName, expected })
}
