// Which key counts for which statement: a site's keys change with an epoch, or within one by a
// `key` statement of its root key. The numbers of the statements decide, never a clock, so a key
// that was taken back signs nothing new, and what it signed before stays as true as it was.

import { checkPublicKey, fromHex } from '../base/crypto.ts'
import type { SiteName } from '../base/ids.ts'
import type { Verifier } from '../base/note.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import type { View } from '../base/tables.ts'
import type { LedgerTables, MemberKeys, RetiredKeys } from './ledger-book.ts'
import type { LedgerRefusal } from './ledger-refusal.ts'
import type { SiteKeys, StatementOf } from './statement.ts'
import { everybody, logOrigin, statementSignerName } from './statement.ts'
import type { FederationId } from '../base/ids.ts'

/** The place of a statement, as far as it decides about keys. */
export interface KeyPlace {
  readonly e: number
  readonly to: string
  readonly n: number
}

/** The keys of `member` for a statement at that place; undefined for an epoch it has not had. */
export function keysAt(member: MemberKeys, place: KeyPlace): SiteKeys | undefined {
  const covering = member.retired.find((one) => one.epoch === place.e && covers(one, place))
  if (covering) return covering.keys
  return place.e === member.epoch ? member.keys : undefined
}

function covers({ endedBy, last }: RetiredKeys, { to, n }: KeyPlace): boolean {
  if (endedBy === 0) return true
  if (to === everybody) return n < endedBy
  return n <= (last.find(({ site }) => site === to)?.n ?? 0)
}

/**
 * What `member` goes by from a `key` statement of its own on. It ends the keys that counted for its
 * own number: those of its epoch, or of a part of it when it comes late.
 */
export function withKeys(member: MemberKeys, said: StatementOf<'key'>): MemberKeys {
  const { statement, witness, last } = said
  const ended = (keys: SiteKeys): RetiredKeys => ({ epoch: said.e, keys, endedBy: said.n, last })
  const after = (keys: SiteKeys): SiteKeys => ({ ...keys, statement, witness })
  const at = member.retired.findIndex(({ epoch, endedBy }) =>
    epoch === said.e && (endedBy === 0 || endedBy > said.n))
  const era = member.retired[at]
  if (!era) {
    const retired = [...member.retired, ended(member.keys)]
    return { ...member, keys: after(member.keys), retired }
  }
  const split = [ended(era.keys), { ...era, keys: after(era.keys) }]
  return { ...member, retired: member.retired.toSpliced(at, 1, ...split) }
}

/** Every statement key that `site` has had in `epoch`, newest first: for texts without a number. */
export function statementVerifiers(
  view: View<LedgerTables>, site: SiteName, epoch: number,
): Verifier[] {
  const member = view.get('ledgerMembers', site)
  if (!member) return []
  const name = statementSignerName(site, epoch)
  return erasOf(member).filter((era) => era.epoch === epoch)
    .map(({ keys }) => ({ name, publicKey: bytesOf(keys.statement) }))
}

/** The key that signs the checkpoints of `site` in `epoch`. */
export function logVerifier(
  member: MemberKeys, site: SiteName, at: { readonly fed: FederationId, readonly epoch: number },
): Verifier | undefined {
  const era = erasOf(member).find(({ epoch }) => epoch === at.epoch)
  if (!era) return undefined
  return { name: logOrigin(site, at.fed, at.epoch), publicKey: bytesOf(era.keys.log) }
}

/** All keys that a site has had, newest first. */
export function erasOf(
  member: MemberKeys,
): { readonly epoch: number, readonly keys: SiteKeys }[] {
  return [{ epoch: member.epoch, keys: member.keys }, ...member.retired.toReversed()]
}

/** Each canonical and of prime order, no two the same: a key signs for one purpose. */
export function checkKeys(root: string, keys: SiteKeys): Outcome<Uint8Array, LedgerRefusal> {
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

export function keyOf(text: string): Outcome<Uint8Array, LedgerRefusal> {
  const key = checkPublicKey(bytesOf(text))
  return key.ok ? ok(key.value) : key
}

function bytesOf(text: string): Uint8Array {
  return fromHex(text) ?? new Uint8Array()
}
