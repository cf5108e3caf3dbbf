// The federation as this node sees it: who belongs to it, who is connected, how a site is invited
// and admitted. There is no master: any member may sponsor, and everybody checks the chain from the
// founder.
//
// [PEER-1] A site is a member when its genesis and the chain of policies from the founder are in
//   our log.
// [PEER-2] A secret admits one site, once, before it expires; the same site may repeat its request.
// [PEER-3] Later epochs and keys of a site travel with its membership, in order; each is checked by
//   its root key.

import type { SiteName } from '../base/ids.ts'
import { compareBytes } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import { tentative } from '../base/tables.ts'
import type { LedgerTables } from '../rules/ledger.ts'
import { openHead, publicKey } from '../rules/ledger-book.ts'
import {
  admitMember, isMember, isOwnWord, issueStatement, logPublic,
} from '../rules/ledger.ts'
import type { JoinRequest } from '../rules/membership.ts'
import {
  encodeJoinAnswer, readAddresses, readJoinRequest, secretHashOf,
} from '../rules/membership.ts'
import { parseStatement } from '../rules/statement.ts'
import { charterDigest, sendCharter } from './charter.ts'
import { askCounter, grantCredit, onPeerUp as deliverOnUp } from './delivery.ts'
import type { Answer } from './effects.ts'
import { onPeerDown as forgetShown, sayAllAbout, sayEvidenceKnown } from './evidence.ts'
import type { EventOf } from './events.ts'
import { onOldStatement } from './evidence-search.ts'
import { askHead, passHeads } from './heads.ts'
import type { MessageOf } from './messages.ts'
import type { Page } from './directory.ts'
import {
  answerSummary, everySite, isOn, membersDigest, offerSummary, pageOf,
} from './directory.ts'
import { forgetOffers } from './offers.ts'
import { isQuarantined, quarantine } from './quarantine.ts'
import type { MemberRecord } from './state.ts'
import type { Turn } from './turn.ts'
import { answer, count, send, setTimer } from './turn.ts'

const exchangeMs = 15_000
/** The first connections after a start bring all that is known; the rest fills in page by page. */
const wholeUpTo = 3
/** Beside a message's other bytes, and in whatever alphabet. */
const membersCharactersMax = limits.messageBytes / 4

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
  turn.view.put('links', site, { up: true, sentThrough: 0, heard: false, told: false })
  const links = [...turn.view.entries('links')].length
  sendSummary(turn, site, links <= wholeUpTo ? everySite : pageOf(turn.view, links))
  sayEvidenceKnown(turn, site)
  deliverOnUp(turn, site)
}

export function onPeerDown(turn: Turn, site: SiteName): void {
  turn.view.remove('links', site)
  forgetShown(turn, site)
}

/** [DIRECTORY-2] Anti-entropy: one peer after the other, so that its cost does not grow. */
export function onExchange(turn: Turn): void {
  setTimer(turn, 'exchange/', turn.now + exchangeMs)
  forgetOffers(turn)
  const up = [...turn.view.entries('links')].map(([site]) => site as SiteName).sort(compareBytes)
  const round = Math.floor(turn.now / exchangeMs)
  const next = up[round % Math.max(1, up.length)]
  if (!next) return
  sendSummary(turn, next, pageOf(turn.view, round))
  sayEvidenceKnown(turn, next)
  askHead(turn, next)
  passHeads(turn, next)
  // [DELIVER-3] What it said of its counter may be lost, and without it nothing is begun with it.
  if (!turn.view.get('heardPeers', next)) askCounter(turn, next)
}

function sendSummary(turn: Turn, to: SiteName, page: Page): void {
  const { view } = turn
  const members = membersDigest(view, page)
  const offers = offerSummary(view, page)
  send(turn, to, { kind: 'summary', ...page, members, charter: charterDigest(view), offers })
}

export function onSummary(turn: Turn, from: SiteName, message: MessageOf<'summary'>): void {
  if (message.members !== membersDigest(turn.view, message)) sendMembers(turn, from, message)
  if (message.charter !== charterDigest(turn.view)) sendCharter(turn, from)
  answerSummary(turn, from, message)
}

function sendMembers(turn: Turn, to: SiteName, page: Page): void {
  let [group, characters]: [Told[], number] = [[], 0]
  for (const [site, member] of sortedMembers(turn)) {
    if (!isOn(page, site)) continue
    const told = toldOf(member)
    const size = [told.genesis, told.policy, ...told.addresses, ...told.renewals].join().length
    if (group.length === 200 || (group.length > 0 && characters + size > membersCharactersMax)) {
      send(turn, to, { kind: 'members', members: group })
      ;[group, characters] = [[], 0]
    }
    group.push(told)
    characters += size
  }
  if (group.length > 0) send(turn, to, { kind: 'members', members: group })
}

/** Ourselves, with every epoch that we have opened. */
export function sendOwnMember(turn: Turn, to: SiteName): void {
  const own = turn.view.get('members', turn.self.site)
  if (own) send(turn, to, { kind: 'members', members: [toldOf(own)] })
}

type Told = MessageOf<'members'>['members'][number]

function toldOf({ genesis, policy, addresses, renewals }: MemberRecord): Told {
  return { genesis, policy, addresses: readAddresses(addresses), renewals }
}

/** Members that another member passes on: each is checked like everything else. */
export function onMembers(turn: Turn, from: SiteName, message: MessageOf<'members'>): void {
  // A sponsor may stand behind its guest in the list, so go on while something is learnt; what is
  // left after some turns is learnt from the next list.
  let waiting = message.members
  for (let learnt = true, turns = 0; learnt && waiting.length > 0 && turns < 16; turns++) {
    // Its later keys may have admitted those behind it.
    const left = waiting.filter((member) => {
      const isKnown = learnMember(turn, member)
      if (isKnown) renew(turn, from, member)
      return !isKnown
    })
    learnt = left.length < waiting.length
    waiting = left
  }
  for (const _ of waiting) count(turn, 'member_refused')
  if (waiting.length < message.members.length) turn.effects.push({ kind: 'connectMembers' })
}

/** [PEER-3] A site's later epochs and keys, by its own root key, whoever passes them on. */
function renew(turn: Turn, from: SiteName, told: Told): void {
  const { view, self } = turn
  const parsed = parseStatement(told.genesis)
  const said = parsed.ok ? parsed.value.statement : undefined
  if (said?.kind !== 'genesis') return
  for (const note of told.renewals) {
    const member = view.get('members', said.from)
    const one = parseStatement(note)
    if (!member || !one.ok) return count(turn, 'member_refused')
    const { statement } = one.value
    const isRenewal = (statement.kind === 'genesis' || statement.kind === 'key')
      && statement.from === said.from
    if (!isRenewal) return count(turn, 'member_refused')
    const known = view.get('ledgerPublics', publicKey(said.from, statement.e, statement.n))
    // Its root key has signed something else under a number that it had used.
    if (known && known.sid !== one.value.sid && statement.kind === 'key') onOldStatement(turn, note)
    if (known) continue
    if (said.from === self.site && statement.e >= openHead(view).epoch) {
      if (!isOwnWord(view, self.site, note)) return count(turn, 'member_refused')
      return quarantine(turn, from, `it has shown a ${statement.kind} of ours of epoch `
        + `${statement.e} that our ledger lacks`)
    }
    const logged = logPublic(view, self.site, note)
    if (!logged.ok) return count(turn, 'member_refused')
    view.put('members', said.from, { ...member, renewals: [...member.renewals, note] })
    if (statement.kind === 'genesis') dropChallenges(turn, said.from)
  }
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
  const addresses = readAddresses(member.addresses)
  view.put('members', site, { site, ...member, addresses, renewals: [] })
  grantCredit(turn, site)
  return true
}

/** A log that is over links no heads any more. */
function dropChallenges(turn: Turn, site: SiteName): void {
  for (const [origin, challenge] of Array.from(turn.view.entries('challenges'))) {
    if (challenge.site !== site) continue
    turn.view.remove('challenges', origin)
    setTimer(turn, `challenge/${origin}`, undefined)
  }
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
  if (isQuarantined(turn)) {
    const detail = `${self.site} repairs its ledger; try again later, or ask another member`
    return refused('busy', detail)
  }
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
      kind: 'policy',
      to: '*',
      at: now,
      about: 'admit',
      admit: site,
      root: genesis.root,
      genesis: parsed.value.sid,
    })
    if (!policy.ok) return refused('malformed', `not admissible: ${policy.refusal.reason}`)
    const notes = { policy: policy.value.note, genesis: request.genesis }
    const admitted = admitMember(trial.view, self.site, notes)
    if (!admitted.ok) return refused('malformed', `not admissible: ${admitted.refusal.reason}`)
    trial.keep()
    const { genesis: note, addresses } = request
    const { policy: admission } = notes
    view.put('members', site, { site, genesis: note, policy: admission, addresses, renewals: [] })
    grantCredit(turn, site)
    turn.effects.push({ kind: 'connectMembers' })
    // [PEER-4] Of the others they have been told before.
    const told = [{ genesis: note, policy: admission, addresses, renewals: [] }]
    for (const [peer] of view.entries('links')) {
      send(turn, peer as SiteName, { kind: 'members', members: told })
    }
  }
  view.put('invites', secretHash, { ...invite, usedBy: site })
  const federation = view.get('federationNote', 'own') ?? ''
  return { kind: 'joined', encoded: encodeJoinAnswer({ federation, members: toldAtOnce(turn) }) }
}

/**
 * All members for a newcomer, in one answer: our own keys, and of those of others what has room;
 * the rest comes with the first exchange.
 */
function toldAtOnce(turn: Turn): Told[] {
  let room = membersCharactersMax
  const told = new Map<SiteName, Told>()
  const ownFirst = sortedMembers(turn).toSorted(([a], [b]) =>
    Number(b === turn.self.site) - Number(a === turn.self.site))
  for (const [site, member] of ownFirst) {
    const one = toldOf(member)
    const size = one.renewals.join().length
    told.set(site, size <= room ? one : { ...one, renewals: [] })
    if (size <= room) room -= size
  }
  return sortedMembers(turn).flatMap(([site]) => told.get(site) ?? [])
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
