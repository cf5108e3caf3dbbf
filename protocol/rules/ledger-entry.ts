// How a statement gets into a log: addressing, federation, membership, epoch, signature and
// sequence in this order of precedence, then what it does (ledger-accounts.ts), then the entry
// itself.
// Invariants: nothing is written on a refusal; own statements and those of a counterparty have no
// gaps; public statements of others may have them, but never two for one number.

import type { Sid, SiteName } from '../base/ids.ts'
import { checkPublicKey, fromHex } from '../base/crypto.ts'
import type { Sealed } from '../base/envelope.ts'
import { verifySealed } from '../base/envelope.ts'
import { emptyFrontier } from '../base/merkle.ts'
import type { Verifier } from '../base/note.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import type { View } from '../base/tables.ts'
import { carryOut } from './ledger-accounts.ts'
import type { Direction, LedgerTables } from './ledger-book.ts'
import {
  appendEntry, directionKey, ledgerHead, openHead, publicKey, putHead,
} from './ledger-book.ts'
import type { LedgerRefusal } from './ledger-refusal.ts'
import type { ParsedStatement, PlacedStatement, SiteKeys, StatementOf } from './statement.ts'
import { everybody, signerNameOf } from './statement.ts'

/** Decides on a signature; the audit replaces it to check many at once. */
export type SignatureCheck = (sealed: Sealed, verifier: Verifier) => boolean

export const checkNow: SignatureCheck = verifySealed

export type LoggedEntry =
  | { readonly kind: 'logged', readonly index: number }
  /** Nothing was written. `compared`: the bytes are known to be the same. */
  | { readonly kind: 'duplicate', readonly compared: boolean }

/** The first epoch is the only one until a later one can be opened by its close counts. */
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
  return ok({ index: appendEntry(view, { note, sid }) })
}

/** Any entry after the first. */
export function logPlaced(
  view: View<LedgerTables>, parsed: ParsedStatement, check: SignatureCheck,
): Outcome<LoggedEntry, LedgerRefusal> {
  const head = openHead(view)
  const { statement, sid, note } = parsed
  if (statement.kind === 'federation') return misdirected('a federation statement is entry 0')
  const self = head.site
  if (statement.from !== self && statement.to !== self && statement.to !== everybody) {
    return misdirected(`from ${statement.from} to ${statement.to} in the log of ${self}`)
  }
  const authentic = authenticate(view, parsed, statement, check)
  if (!authentic.ok) return authentic
  const place = statement.to === everybody && statement.from !== self
    ? placeAmongPublics(view, statement, sid)
    : placeInSequence(view, statement, sid)
  if (!place.ok) return place
  if (place.value !== 'next') {
    return ok({ kind: 'duplicate', compared: place.value === 'same' })
  }
  if (statement.kind !== 'genesis') {
    const index = head.frontier.size
    const carried = carryOut(view, statement, { sid, index, self })
    if (!carried.ok) return carried
  }
  // Nothing below can fail.
  if (statement.kind === 'genesis') enrol(view, statement, sid)
  if (statement.to === everybody) {
    view.put('ledgerPublics', publicKey(statement.from, statement.n), { sid, prev: statement.prev })
  }
  if (statement.to !== everybody || statement.from === self) {
    const { n, at } = statement
    view.put('ledgerDirections', directionKey(statement.from, statement.to), { n, sid, at })
  }
  return ok({ kind: 'logged', index: appendEntry(view, { note, sid }) })
}

/** A member: admitted by a chain that starts at the founder, and its genesis is in this log. */
export function isMember(view: View<LedgerTables>, site: SiteName): boolean {
  return view.get('ledgerAdmissions', site) !== undefined
    && view.get('ledgerMembers', site) !== undefined
}

/** The sequence's newest statement; number 0 before the first. */
export function directionOf(
  view: View<LedgerTables>, from: SiteName, to: string,
): Omit<Direction, 'sid'> & { readonly sid: Sid | '' } {
  return view.get('ledgerDirections', directionKey(from, to)) ?? { n: 0, sid: '', at: 0 }
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
  if (statement.e !== member.epoch) {
    return refuse({ reason: 'wrong_epoch', expected: member.epoch, found: statement.e })
  }
  const key = fromHex(member.keys.statement) ?? new Uint8Array()
  return signed(parsed.sealed, signerNameOf(statement), key, check)
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
  // An own genesis opens the log before anybody has admitted the site.
  if (!admission && said.from !== self) return refuse({ reason: 'not_member', site: said.from })
  if (said.e !== firstEpoch) {
    return refuse({ reason: 'wrong_epoch', expected: firstEpoch, found: said.e })
  }
  if (said.previous !== '' || said.closes.length > 0) {
    return refuse({ reason: 'wrong_state', detail: 'the first epoch closes nothing' })
  }
  if (said.from === founder && said.root !== founderRoot) {
    return refuse({ reason: 'wrong_state', detail: `${founder} founded with another root key` })
  }
  if (admission && (admission.root !== said.root
    || (admission.genesis !== '' && admission.genesis !== parsed.sid))) {
    const detail = `${said.from} was admitted with another genesis`
    return refuse({ reason: 'wrong_state', detail })
  }
  const keys = checkKeys(said.root, said.keys)
  if (!keys.ok) return keys
  return signed(parsed.sealed, signerNameOf(said), keys.value, check)
    ? ok(undefined)
    : badSignature(parsed)
}

/** Five keys, each canonical and of prime order, no two the same: a key signs for one purpose. */
function checkKeys(root: string, keys: SiteKeys): Outcome<Uint8Array, LedgerRefusal> {
  const all = [root, keys.log, keys.statement, keys.witness, keys.network]
  if (new Set(all).size !== all.length) {
    return refuse({ reason: 'bad_key', detail: 'one key stands for two purposes' })
  }
  for (const text of all.slice(1)) {
    const key = keyOf(text)
    if (!key.ok) return key
  }
  return keyOf(root)
}

function keyOf(text: string): Outcome<Uint8Array, LedgerRefusal> {
  return checkPublicKey(fromHex(text) ?? new Uint8Array())
}

function signed(
  sealed: Sealed, name: string, publicKey: Uint8Array, check: SignatureCheck,
): boolean {
  return sealed.signerName === name && check(sealed, { name, publicKey })
}

function enrol(view: View<LedgerTables>, said: StatementOf<'genesis'>, sid: Sid): void {
  const { from: site, e: epoch, root, keys } = said
  view.put('ledgerMembers', site, { genesis: sid, epoch, root, keys })
}

type Position = 'next' | 'same' | 'older'

/** Own statements and those of a counterparty: gapless, each naming the one before [LEDGER-4]. */
function placeInSequence(
  view: View<LedgerTables>, statement: PlacedStatement, sid: Sid,
): Outcome<Position, LedgerRefusal> {
  const { n, prev, at } = statement
  const last = directionOf(view, statement.from, statement.to)
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

/** Public statements of others: any order, but one for each number, fitting those beside it. */
function placeAmongPublics(
  view: View<LedgerTables>, statement: PlacedStatement, sid: Sid,
): Outcome<Position, LedgerRefusal> {
  const { from, n, prev } = statement
  const known = view.get('ledgerPublics', publicKey(from, n))
  if (known) {
    return known.sid === sid
      ? ok('same')
      : refuse({ reason: 'fork', n, known: known.sid, found: sid })
  }
  const before = n === 1 ? '' : view.get('ledgerPublics', publicKey(from, n - 1))?.sid
  if (before !== undefined && before !== prev) {
    return refuse({ reason: 'wrong_prev', expected: before, found: prev })
  }
  const after = view.get('ledgerPublics', publicKey(from, n + 1))
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
