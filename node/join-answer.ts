// What a sponsor answers to a site that joins, checked: the federation that the token names, and
// every member by the chain of admissions from its founder.

import { fromHex, sameBytes } from '../protocol/base/crypto.ts'
import type { FederationId, SiteName } from '../protocol/base/ids.ts'
import type { Draft } from '../protocol/base/tables.ts'
import { draft } from '../protocol/base/tables.ts'
import type { CoreTables, MemberRecord } from '../protocol/machine/state.ts'
import { admitMember, isMember, logPublic, openLedger } from '../protocol/rules/ledger.ts'
import type { JoinAnswer, JoinToken } from '../protocol/rules/membership.ts'
import { parseStatement } from '../protocol/rules/statement.ts'
import { Problem } from './problem.ts'

export interface Joined {
  readonly site: SiteName
  readonly federation: FederationId
  readonly federationName: string
  readonly sponsor: SiteName
  readonly members: readonly SiteName[]
}

/**
 * Checks the whole answer in a ledger of our own; what it gives is what we believe. `genesis` is
 * the one that was sent. @throws Problem `untrue`
 */
export function verifiedAnswer(
  answer: JoinAnswer,
  asked: { readonly token: JoinToken; readonly self: SiteName; readonly genesis: string },
): { readonly view: Draft<CoreTables>; readonly joined: Joined } {
  const { token, self, genesis } = asked
  const untrue = (what: string): Problem =>
    new Problem('untrue', `the answer of ${token.sponsor} does not verify: ${what}`)
  const federation = parseStatement(answer.federation)
  if (!federation.ok || federation.value.statement.kind !== 'federation') {
    throw untrue('it holds no statement of the federation')
  }
  if (federation.value.sid !== token.federation) {
    throw untrue(`it is about another federation (${federation.value.sid.slice(0, 16)})`)
  }
  const view = draft<CoreTables>(new Map())
  const opened = openLedger(view, self, { federation: answer.federation, genesis })
  if (!opened.ok) throw untrue(wordsOf(opened.refusal))
  const members = admitAll(view, self, answer, untrue)
  if (members.get(self)?.genesis !== genesis) throw untrue('it does not admit this site')
  for (const site of members.keys()) {
    // Also of ourselves: our genesis is in our log whether anybody admitted us or not.
    if (!isMember(view, site)) throw untrue(`nobody in it admits ${site}`)
  }
  const sponsorKeys = view.get('ledgerMembers', token.sponsor)?.keys
  const sponsorKey = sponsorKeys && fromHex(sponsorKeys.network)
  if (!sponsorKey || !sameBytes(sponsorKey, fromHex(token.key)!)) {
    throw untrue(`${token.sponsor} is no member with the key that the token names`)
  }
  view.put('federationNote', 'own', answer.federation)
  for (const [site, member] of members) view.put('members', site, member)
  const joined = {
    site: self,
    federation: token.federation,
    federationName: federation.value.statement.name,
    sponsor: token.sponsor,
    members: [...members.keys()],
  }
  return { view, joined }
}

/** Admits one after the other; a site may stand in the list before the one that admitted it. */
function admitAll(
  view: Draft<CoreTables>,
  self: SiteName,
  answer: JoinAnswer,
  untrue: (what: string) => Problem,
): Map<SiteName, MemberRecord> {
  const members = new Map<SiteName, MemberRecord>()
  let waiting = answer.members
  while (waiting.length > 0) {
    const left: typeof waiting[number][] = []
    let why = ''
    for (const member of waiting) {
      const { genesis, policy } = member
      const admitted = admitMember(view, self, { genesis, ...(policy === '' ? {} : { policy }) })
      if (admitted.ok) {
        const { site } = admitted.value
        if (members.has(site)) throw untrue(`it names ${site} twice`)
        members.set(site, { site, ...member })
        // Its later keys may have admitted those behind it.
        for (const note of member.renewals) {
          const logged = logPublic(view, self, note)
          if (!logged.ok) throw untrue(`an epoch or a key of ${site}: ${wordsOf(logged.refusal)}`)
        }
      } else {
        left.push(member)
        why ||= wordsOf(admitted.refusal)
      }
    }
    if (left.length === waiting.length) throw untrue(`${left.length} of its members: ${why}`)
    waiting = left
  }
  return members
}

/** A refusal of the ledger's, in words. */
export function wordsOf(refusal: { readonly reason: string; readonly detail?: unknown }): string {
  const { reason, detail } = refusal
  return typeof detail === 'string' ? `${reason}: ${detail}` : reason
}
