// Proofs that a site lied, as this node keeps them: checked by the pure rules, said once in the own
// log, shown once to every peer, and with the effect that the liar gets no new credit. What runs
// goes on, what is owed stays owed.
//
// [EVIDENCE-3] A document is believed only after our own check; one that proves nothing changes
//   nothing but counters.
// [EVIDENCE-4] The first proof for a site and epoch is kept; the own log says it once, each
//   connection carries it once.

import { encodeEvidence, checkEvidence, evidenceContext } from '../rules/evidence.ts'
import type { Evidence, EvidenceRefusal } from '../rules/evidence.ts'
import type { SiteName } from '../base/ids.ts'
import { compareBytes } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { View } from '../base/tables.ts'
import { issueStatement } from '../rules/ledger.ts'
import { everybody } from '../rules/statement.ts'
import type { Included } from './effects.ts'
import { closeContract } from './home-book.ts'
import type { MessageOf } from './messages.ts'
import { isQuarantined } from './quarantine.ts'
import type { CoreTables } from './state.ts'
import type { Turn } from './turn.ts'
import { count, isUp, send, setTimer } from './turn.ts'

/** Epochs of one site for which a proof is kept: a site that lied in so many has no standing. */
export const evidencePerSite = 8
const sayMs = 60_000
/** Documents that answer one list; the next exchange brings more. */
const sentAtOnce = 16
/** A document that a connection may have lost goes out again. */
const againMs = 60_000

export function evidenceKey(accused: SiteName, epoch: number): string {
  return `${accused}/${epoch}`
}

/** Whether this site has seen a proof that `site` lied, and has given it no credit since. */
export function isFrozen(view: View<CoreTables>, site: SiteName): boolean {
  if (view.get('ledgerFrozen', site)) return true
  return [...view.entries('evidence')].some(([, { accused, sid }]) =>
    accused === site && sid === '')
}

/** What this node has found itself: kept if it proves something. */
export function accuse(turn: Turn, evidence: Evidence): void {
  take(turn, encodeEvidence(evidence), '')
}

/** Two heads of one log and one size with two roots, as the log signed them. */
export function noteHeads(turn: Turn, first: string, second: string): void {
  accuse(turn, { kind: 'fork_head', first, second })
}

/** [EVIDENCE-7] Two receipts for one place of one log with different entries. */
export function noteInclusions(turn: Turn, first: Included, second: Included): void {
  accuse(turn, { kind: 'fork_leaf', first, second })
}

export function onEvidence(turn: Turn, from: SiteName, message: MessageOf<'evidence'>): void {
  const refusal = take(turn, message.document, from)
  if (!refusal) return
  count(turn, `evidence_refused_${refusal.reason}`)
  // Keys that have not reached us yet are nobody's fault.
  if (refusal.reason !== 'unknown_site') count(turn, `evidence_false_from_${from}`)
}

/** What we have, so that the peer sends what we lack. */
export function sayEvidenceKnown(turn: Turn, to: SiteName): void {
  const known = sortedKeys(turn).map((key) => {
    const { accused, epoch } = turn.view.get('evidence', key)!
    return { accused, epoch }
  })
  send(turn, to, { kind: 'evidence_known', known })
}

export function onEvidenceKnown(
  turn: Turn, from: SiteName, message: MessageOf<'evidence_known'>,
): void {
  const theirs = new Set(message.known.map(({ accused, epoch }) => evidenceKey(accused, epoch)))
  const lacking = sortedKeys(turn).filter((key) => !theirs.has(key) && isDue(turn, from, key))
  for (const key of lacking.slice(0, sentAtOnce)) show(turn, from, key)
}

/**
 * [EVIDENCE-6] Said in the own log a minute after it was found, and once a peer is heard: a site
 * whose database was put back from a backup gets its old evidence again before it knows, and must
 * not use a number twice.
 */
export function onSayDue(turn: Turn, key: string): void {
  const { view } = turn
  const kept = view.get('evidence', key)
  if (!kept || kept.sid !== '' || kept.accused === turn.self.site) return
  const isHeard = [...view.entries('links')].some(([, { heard }]) => heard)
  if (isHeard) sayEvidence(turn, key)
  if (view.get('evidence', key)?.sid === '') setTimer(turn, `evidence/${key}`, turn.now + sayMs)
}

/** An operator decides about a site: what is known of it is said before. */
export function sayAllAbout(turn: Turn, accused: SiteName): void {
  for (const key of sortedKeys(turn)) {
    if (turn.view.get('evidence', key)?.accused === accused) sayEvidence(turn, key)
  }
}

export function onPeerDown(turn: Turn, site: SiteName): void {
  for (const [key] of Array.from(turn.view.entries('evidenceSent'))) {
    if (key.startsWith(`${site}/`)) turn.view.remove('evidenceSent', key)
  }
}

function sortedKeys({ view }: Turn): string[] {
  return [...view.entries('evidence')].map(([key]) => key).sort(compareBytes)
}

/** Checks a document and keeps what is new; `from` is the peer that showed it. */
function take(turn: Turn, document: string, from: SiteName | ''): EvidenceRefusal | undefined {
  const { view, self, now } = turn
  const checked = checkEvidence(document, evidenceContext(view))
  if (!checked.ok) return checked.refusal
  const { accused, epoch, kind: proof, doc, what } = checked.value
  const key = evidenceKey(accused, epoch)
  if (from !== '') view.put('evidenceSent', sentKey(from, key), now)
  if (view.get('evidence', key)) return undefined
  if (isFull(turn, accused)) {
    count(turn, 'evidence_full')
    return undefined
  }
  count(turn, accused === self.site ? 'evidence_against_us' : 'evidence_kept')
  view.put('evidence', key, {
    accused, epoch, proof, doc, what, document, from, sid: '', epochMs: now,
  })
  if (accused !== self.site) setTimer(turn, `evidence/${key}`, now + sayMs)
  endCourting(turn, accused)
  const links = [...view.entries('links')].map(([peer]) => peer as SiteName).sort(compareBytes)
  for (const peer of links) if (isDue(turn, peer, key)) show(turn, peer, key)
  return undefined
}

function isFull({ view }: Turn, accused: SiteName): boolean {
  const kept = [...view.entries('evidence')].map(([, one]) => one)
  return kept.length >= limits.sitesMax
    || kept.filter((one) => one.accused === accused).length >= evidencePerSite
}

/** [LEDGER-14] The own statement is what freezes the credit, here and for an auditor. */
function sayEvidence(turn: Turn, key: string): void {
  const { view, self, now } = turn
  const kept = view.get('evidence', key)
  // Nobody accuses itself; and an old database says nothing at all.
  if (!kept || kept.sid !== '' || kept.accused === self.site || isQuarantined(turn)) return
  const { accused, epoch, proof, doc } = kept
  const said = issueStatement(view, self.signer, {
    kind: 'evidence', to: everybody, at: now, accused, epoch, proof, doc,
  })
  if (!said.ok) return count(turn, `evidence_not_said_${said.refusal.reason}`)
  view.put('evidence', key, { ...kept, sid: said.value.sid })
  setTimer(turn, `evidence/${key}`, undefined)
}

/** Bids to the accused are taken back, and no task goes to it any more; what is there stays. */
function endCourting(turn: Turn, accused: SiteName): void {
  const { view } = turn
  for (const [key, bid] of Array.from(view.entries('openBids'))) {
    if (bid.home !== accused) continue
    view.remove('openBids', key)
    setTimer(turn, `bid/${key}`, undefined)
  }
  for (const [, contract] of Array.from(view.entries('homeContracts'))) {
    if (contract.host !== accused || !contract.open) continue
    closeContract(turn, contract)
    turn.toPlace.add(contract.job)
  }
}

function sentKey(peer: SiteName, key: string): string {
  return `${peer}/${key}`
}

function isDue({ view, now }: Turn, peer: SiteName, key: string): boolean {
  const sent = view.get('evidenceSent', sentKey(peer, key))
  return sent === undefined || now - sent >= againMs
}

function show(turn: Turn, peer: SiteName, key: string): void {
  const kept = turn.view.get('evidence', key)
  if (!kept || !isUp(turn, peer)) return
  turn.view.put('evidenceSent', sentKey(peer, key), turn.now)
  send(turn, peer, { kind: 'evidence', document: kept.document })
}
