// The federation as this node sees it: who belongs to it, who is connected, how a site is invited
// and admitted. There is no master: any member may sponsor, and everybody checks the chain from the
// founder.
//
// [PEER-1] A site is a member when its genesis and the chain of policies from the founder are in
//   our log.
// [PEER-2] A secret admits one site, once, before it expires; the same site may repeat its request.

import type { SiteName } from '../base/ids.ts'
import { compareBytes } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import { tentative } from '../base/tables.ts'
import type { LedgerTables } from '../rules/ledger.ts'
import { admitMember, isMember, issueStatement } from '../rules/ledger.ts'
import type { JoinRequest } from '../rules/membership.ts'
import {
  encodeJoinAnswer, readAddresses, readJoinRequest, secretHashOf,
} from '../rules/membership.ts'
import { parseStatement } from '../rules/statement.ts'
import { charterDigest, sendCharter } from './charter.ts'
import { grantCredit, onPeerUp as deliverOnUp } from './delivery.ts'
import type { Answer } from './effects.ts'
import type { EventOf } from './events.ts'
import { askHead, passHeads } from './heads.ts'
import type { MessageOf } from './messages.ts'
import { answerSummary, membersDigest, offerSummary } from './offers.ts'
import type { MemberRecord } from './state.ts'
import { onPeerDown as forgetShown, sayAllAbout, sayEvidenceKnown } from './evidence.ts'
import type { Turn } from './turn.ts'
import { answer, count, send, setTimer } from './turn.ts'

const exchangeMs = 15_000

export function onStarted(turn: Turn, event: EventOf<'started'>): void {
  turn.view.put('addresses', 'own', event.addresses)
  const { site } = turn.self
  const own = turn.view.get('members', site)
  if (own) turn.view.put('members', site, { ...own, addresses: event.addresses })
  for (const [member] of sortedMembers(turn)) grantCredit(turn, member)
  turn.effects.push({ kind: 'connectMembers' })
  setTimer(turn, 'exchange/', turn.now + exchangeMs)
}

export function sortedMembers(turn: Turn): [SiteName, MemberRecord][] {
  return [...turn.view.entries('members')]
    .map(([site, member]): [SiteName, MemberRecord] => [site as SiteName, member])
    .sort(([a], [b]) => compareBytes(a, b))
}

export function onPeerUp(turn: Turn, site: SiteName): void {
  if (!isMember(turn.view, site)) return
  turn.view.put('links', site, { up: true, sentThrough: 0, heard: false })
  sendSummary(turn, site)
  deliverOnUp(turn, site)
}

export function onPeerDown(turn: Turn, site: SiteName): void {
  turn.view.remove('links', site)
}

/** [DIRECTORY-2] Anti-entropy: one peer after the other, so that its cost does not grow. */
  sayEvidenceKnown(turn, site)
export function onExchange(turn: Turn): void {
  setTimer(turn, 'exchange/', turn.now + exchangeMs)
  const up = [...turn.view.entries('links')].map(([site]) => site as SiteName).sort(compareBytes)
  const next = up[Math.floor(turn.now / exchangeMs) % Math.max(1, up.length)]
  if (!next) return
  forgetShown(turn, site)
  sendSummary(turn, next)
  askHead(turn, next)
  passHeads(turn, next)
}

function sendSummary(turn: Turn, to: SiteName): void {
  const members = membersDigest(turn.view)
  const charter = charterDigest(turn.view)
  send(turn, to, { kind: 'summary', members, charter, offers: offerSummary(turn.view) })
  sayEvidenceKnown(turn, next)
}

export function onSummary(turn: Turn, from: SiteName, message: MessageOf<'summary'>): void {
  if (message.members !== membersDigest(turn.view)) sendMembers(turn, from)
  if (message.charter !== charterDigest(turn.view)) sendCharter(turn, from)
  answerSummary(turn, from, message)
}

function sendMembers(turn: Turn, to: SiteName): void {
  const members = sortedMembers(turn).map(([, { genesis, policy, addresses }]) =>
    ({ genesis, policy, addresses }))
  for (let at = 0; at < members.length; at += 200) {
    send(turn, to, { kind: 'members', members: members.slice(at, at + 200) })
  }
}

/** Members that another member passes on: each is checked like everything else. */
export function onMembers(turn: Turn, from: SiteName, message: MessageOf<'members'>): void {
  // A sponsor may stand behind its guest in the list, so go on while something is learnt; what is
  // left after some turns is learnt from the next list.
  let waiting = message.members
  for (let learnt = true, turns = 0; learnt && waiting.length > 0 && turns < 16; turns++) {
    const left = waiting.filter((member) => !learnMember(turn, member))
    learnt = left.length < waiting.length
    waiting = left
  }
  for (const _ of waiting) count(turn, 'member_refused')
  if (waiting.length < message.members.length) turn.effects.push({ kind: 'connectMembers' })
}

/** True when the member is known or was admitted now. */
function learnMember(turn: Turn, member: Omit<MemberRecord, 'site'>): boolean {
  const { view, self } = turn
  const parsed = parseStatement(member.genesis)
  if (!parsed.ok || parsed.value.statement.kind !== 'genesis') return false
  const site = parsed.value.statement.from
  if (view.get('members', site)) return true
  if ([...view.entries('members')].length >= limits.sitesMax) return false
  const notes = { genesis: member.genesis, ...(member.policy && { policy: member.policy }) }
  const admitted = admitMember(view, self.site, notes)
  if (!admitted.ok) return false
  view.put('members', site, { site, ...member, addresses: readAddresses(member.addresses) })
  grantCredit(turn, site)
  return true
}

export function onInviteRequested(turn: Turn, event: EventOf<'inviteRequested'>): void {
  const { secretHash, expiresEpochMs, request } = event
  turn.view.put('invites', secretHash, { expiresEpochMs, usedBy: '' })
  setTimer(turn, `invite/${secretHash}`, expiresEpochMs)
  answer(turn, request, { kind: 'done', detail: secretHash })
}

/** A used secret is kept until it expires, so that its site may repeat the request. */
export function onInviteExpiry(turn: Turn, secretHash: string): void {
  turn.view.remove('invites', secretHash)
}

export function onJoinRequested(turn: Turn, event: EventOf<'joinRequested'>): void {
  const read = readJoinRequest(event.encoded)
  const joined: Answer = read.ok ? admit(turn, read.value)
    : { kind: 'refused', code: 'malformed', detail: read.refusal.detail }
  if (joined.kind === 'refused') count(turn, `join_${joined.code}`)
  answer(turn, event.request, joined)
}

function admit(turn: Turn, request: JoinRequest): Answer {
  const { view, self, now } = turn
  const refused = (code: string, detail: string): Answer => ({ kind: 'refused', code, detail })
  const secretHash = secretHashOf(request.secret)
  const invite = view.get('invites', secretHash)
  if (!invite || invite.expiresEpochMs <= now) {
    return refused('bad_token', 'the token is unknown or has expired; ask for a new invitation')
  }
  const parsed = parseStatement(request.genesis)
  const genesis = parsed.ok ? parsed.value.statement : undefined
  if (!parsed.ok || genesis?.kind !== 'genesis') return refused('malformed', 'not a genesis')
  const site = genesis.from
  const known = view.get('members', site)
  if (known && known.genesis !== request.genesis) {
    return refused('name_taken', `a site named ${site} is a member already; choose another name`)
  }
  if (invite.usedBy !== '' && invite.usedBy !== site) {
    return refused('bad_token', 'the token was used by another site; ask for a new invitation')
  }
  if (!known) {
    // Both entries or none: a bad genesis must leave no policy behind.
    const trial = tentative<LedgerTables>(view)
    const policy = issueStatement(trial.view, self.signer, {
      kind: 'policy', to: '*', at: now, about: 'admit', admit: site, root: genesis.root, genesis: parsed.value.sid,
    })
    if (!policy.ok) return refused('malformed', `not admissible: ${policy.refusal.reason}`)
    const notes = { policy: policy.value.note, genesis: request.genesis }
    const admitted = admitMember(trial.view, self.site, notes)
    if (!admitted.ok) return refused('malformed', `not admissible: ${admitted.refusal.reason}`)
    trial.keep()
    const { genesis: note, addresses } = request
    view.put('members', site, { site, genesis: note, policy: notes.policy, addresses })
    grantCredit(turn, site)
    turn.effects.push({ kind: 'connectMembers' })
    for (const [peer] of view.entries('links')) sendMembers(turn, peer as SiteName)
  }
  view.put('invites', secretHash, { ...invite, usedBy: site })
  const federation = view.get('federationNote', 'own') ?? ''
  const members = sortedMembers(turn).map(([, { genesis: note, policy, addresses }]) =>
    ({ genesis: note, policy, addresses: readAddresses(addresses) }))
  return { kind: 'joined', encoded: encodeJoinAnswer({ federation, members }) }
}

export function onCreditRequested(turn: Turn, event: EventOf<'creditRequested'>): void {
  if (!isMember(turn.view, event.site) || event.site === turn.self.site) {
    const detail = `${event.site} is not another member; see gridnode peers`
    answer(turn, event.request, { kind: 'refused', code: 'not_member', detail })
    return
  }
  sayAllAbout(turn, event.site)
  const silent = grantCredit(turn, event.site, event.limit)
  if (silent) {
    const detail = silent.reason === 'not_heard'
      ? `${event.site} was not heard since this node has started; try again when it is up`
      : `nothing can be said to ${event.site} now: ${silent.reason}`
    answer(turn, event.request, { kind: 'refused', code: 'not_now', detail })
    return
  }
  answer(turn, event.request, { kind: 'done', detail: 'granted' })
}
