// What a whole federation goes by beside its members: the founder's policy and the allocations that
// its authorities grant. Peers compare one hash of it and pass on what the other lacks, whoever
// said it; each statement is checked like every other.
//
// [CHARTER-1] A statement counts by its own signature and place, never by who passed it on.

import type { Hash, SiteName } from '../base/ids.ts'
import { compareBytes } from '../base/ids.ts'
import { sha256Hex } from '../base/crypto.ts'
import { limits } from '../base/limits.ts'
import type { View } from '../base/tables.ts'
import { isMember, issueStatement, logPublic } from '../rules/ledger.ts'
import type { FederationPolicy, GrantFields } from '../rules/statement.ts'
import { everybody, parseStatement } from '../rules/statement.ts'
import { onStatementRefused } from './evidence-search.ts'
import type { EventOf } from './events.ts'
import type { MessageOf } from './messages.ts'
import type { CoreTables } from './state.ts'
import type { Turn } from './turn.ts'
import { answer, count, send } from './turn.ts'

/** One hash over all of it, for peers to compare. */
export function charterDigest(view: View<CoreTables>): Hash {
  const sids = [...view.entries('charter')].map(([sid]) => sid)
  return sha256Hex(sids.sort(compareBytes).join('\n'))
}

export function sendCharter(turn: Turn, to: SiteName): void {
  const notes = [...turn.view.entries('charter')]
    .toSorted(([, a], [, b]) => a.order - b.order).map(([, { note }]) => note)
  for (let at = 0; at < notes.length; at += limits.statementsPerMessage) {
    send(turn, to, { kind: 'charter', notes: notes.slice(at, at + limits.statementsPerMessage) })
  }
}

/** [CHARTER-1] An allocation may come before the policy that lets it: then it comes again. */
export function onCharter(turn: Turn, message: MessageOf<'charter'>): void {
  for (const note of message.notes) {
    const parsed = parseStatement(note)
    if (!parsed.ok || turn.view.get('charter', parsed.value.sid)) continue
    const { statement } = parsed.value
    const isCharter = statement.kind === 'grant'
      || (statement.kind === 'policy' && statement.about === 'federation')
    const logged = isCharter ? logPublic(turn.view, turn.self.site, note) : undefined
    if (logged && !logged.ok) onStatementRefused(turn, note, logged.refusal)
    if (!logged?.ok) count(turn, 'charter_refused')
    else keep(turn, logged.value.sid, note)
  }
}

function keep({ view }: Turn, sid: string, note: string): void {
  view.put('charter', sid, { note, order: [...view.entries('charter')].length })
}

/** The founder's operator sets what all go by from now on. */
export function onPolicyRequested(turn: Turn, event: EventOf<'policyRequested'>): void {
  const { view } = turn
  const stranger = [...event.policy.witnesses, ...event.policy.authorities]
    .find((site) => !isMember(view, site))
  if (stranger !== undefined) {
    return refused(turn, event.request, 'not_member', `${stranger} is not a member`)
  }
  const version = (view.get('ledgerPolicy', 'federation')?.version ?? 0) + 1
  issue(turn, event.request, { kind: 'policy', about: 'federation', version, ...event.policy })
}

/** The operator of an authority gives a member an allocation. */
export function onGrantRequested(turn: Turn, event: EventOf<'grantRequested'>): void {
  if (!isMember(turn.view, event.grant.grantee)) {
    const detail = `${event.grant.grantee} is not a member; see gridnode peers`
    return refused(turn, event.request, 'not_member', detail)
  }
  issue(turn, event.request, { kind: 'grant', ...event.grant })
}

function issue(
  turn: Turn,
  request: string,
  said: ({ readonly kind: 'policy' } & FederationPolicy)
    | ({ readonly kind: 'grant' } & GrantFields),
): void {
  const { view, self, now } = turn
  const issued = issueStatement(view, self.signer, { ...said, to: everybody, at: now })
  if (!issued.ok) {
    const detail = 'detail' in issued.refusal ? issued.refusal.detail : issued.refusal.reason
    return refused(turn, request, issued.refusal.reason, detail)
  }
  keep(turn, issued.value.sid, issued.value.note)
  for (const [peer] of view.entries('links')) sendCharter(turn, peer as SiteName)
  answer(turn, request, { kind: 'done', detail: issued.value.sid })
}

function refused(turn: Turn, request: string, code: string, detail: string): void {
  answer(turn, request, { kind: 'refused', code, detail })
}
