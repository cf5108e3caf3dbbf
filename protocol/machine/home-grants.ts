// Allocations at the home. A hold on an allocation spends what somebody else issued, so its host
// believes nothing: the home shows that the hold stands in a head of its log that a quorum of the
// federation's witnesses has cosigned. Jobs on the home's own credit need none of this and go on in
// any partition.
//
// [GRANT-1] The home proves a hold only under a head with the quorum's cosignatures.
// [GRANT-3] In a later epoch allocations rest until every member has closed the sequence of before:
//   what a lost database had spent stands in the logs of others alone.

import { withSignatureLines } from '../base/cosignature.ts'
import type { Sid, SiteName } from '../base/ids.ts'
import { trancheIdOf } from '../base/ids.ts'
import type { View } from '../base/tables.ts'
import type { Microcredits } from '../base/units.ts'
import { microcredits, zeroMicrocredits } from '../base/units.ts'
import type { GrantRecord } from '../rules/ledger-book.ts'
import type { EventOf } from './events.ts'
import { isRecovering } from './speech.ts'
import type { CoreTables } from './state.ts'
import type { Cosigned } from './trust-records.ts'
import type { Turn } from './turn.ts'
import { isUp, setTimer } from './turn.ts'

const proveAgainMs = 3_000

/** The allocation of that name that this site may spend now, the one with most left of several. */
export function grantNamed(
  { view, self, now }: Turn, name: string,
): GrantRecord | undefined {
  let best: GrantRecord | undefined
  for (const [, grant] of view.entries('ledgerGrants')) {
    const isOurs = grant.grantee === self.site && grant.name === name
      && grant.startsEpochMs <= now && now <= grant.untilEpochMs
    if (isOurs && (!best || freeOf(grant) > freeOf(best))) best = grant
  }
  return best
}

/** [GRANT-3] A member whose log may still have holds of ours that this one has lost. */
export function openPair({ view, self }: Turn): SiteName | undefined {
  for (const [site] of view.entries('ledgerMembers')) {
    if (site !== self.site && isRecovering(view, site as SiteName)) return site as SiteName
  }
  return undefined
}

export function freeOf({ amount, held, spent }: GrantRecord): Microcredits {
  const free = amount - held - spent
  return free > 0n ? microcredits(free) : zeroMicrocredits
}

/** [GRANT-1] The hold is on our log: its host is owed a proof of it. */
export function oweProof(turn: Turn, hold: { readonly sid: Sid, readonly host: SiteName }): void {
  const index = turn.view.get('ledgerHolds', hold.sid)?.index
  if (index === undefined) return
  turn.view.put('proofsOwed', hold.sid, { host: hold.host, index })
  seekProof(turn, hold.sid)
}

/**
 * Until the host answers, or the award is over: work that went elsewhere needs no proof, and a
 * host that is gone for good never answers. One that comes back declines without it.
 */
export function onProofDue(turn: Turn, hold: Sid): void {
  const { view } = turn
  if (!view.get('proofsOwed', hold)) return
  const waits = view.get('ledgerHolds', hold)?.state === 'asked'
    && view.get('homeTranches', trancheIdOf(hold))?.state.kind === 'awarded'
  return waits ? seekProof(turn, hold) : view.remove('proofsOwed', hold)
}

/** Asks the witnesses of the policy for their word on the newest head. */
function seekProof(turn: Turn, hold: Sid): void {
  const { view, now } = turn
  setTimer(turn, `proof/${hold}`, now + proveAgainMs)
  if (prove(turn, hold)) return
  const witnesses = policyOf(view).witnesses.filter((site) => isUp(turn, site))
  const asked = turn.effects.some(({ kind }) => kind === 'showHeads')
  if (asked || witnesses.length === 0) return
  turn.effects.push({
    kind: 'showHeads',
    to: witnesses.map((site) => ({ site, known: newest(view.get('cosigned', site))?.size ?? 0 })),
  })
}

/** At the end of a step: cosignatures have come in, and may be enough for what is owed. */
export function proveMarked(turn: Turn): void {
  if (turn.cosigned.size === 0) return
  for (const [hold] of Array.from(turn.view.entries('proofsOwed'))) prove(turn, hold as Sid)
}

/** Our head was signed: kept for the cosignatures that will come. */
export function onHeadShown(turn: Turn, { size, note }: EventOf<'headShown'>): void {
  turn.view.put('ownHeads', String(size), { size, note })
  const kept = [...turn.view.entries('ownHeads')].toSorted(([, a], [, b]) => b.size - a.size)
  for (const [key] of kept.slice(ownHeadsMax)) turn.view.remove('ownHeads', key)
}

const ownHeadsMax = 8

/** True when the host was sent what it needs. */
function prove(turn: Turn, hold: Sid): boolean {
  const { view } = turn
  const owed = view.get('proofsOwed', hold)
  const { witnesses, quorum } = policyOf(view)
  if (!owed || quorum === 0 || !isUp(turn, owed.host)) return false
  for (const [, { size, note }] of view.entries('ownHeads')) {
    if (size <= owed.index) continue
    const lines = witnesses.flatMap((site) => (view.get('cosigned', site) ?? [])
      .filter((one) => one.size === size).map(({ line }) => line))
    const whole = lines.length >= quorum ? withSignatureLines(note, lines) : undefined
    if (!whole?.ok) continue
    turn.effects.push({
      kind: 'proveHold', to: owed.host, hold, index: owed.index, note: whole.value,
    })
    return true
  }
  return false
}

function newest(cosigned: readonly Cosigned[] | undefined): Cosigned | undefined {
  return cosigned?.toSorted((a, b) => b.size - a.size)[0]
}

export interface WitnessPolicy {
  readonly witnesses: readonly SiteName[]
  readonly quorum: number
}

/** Whose cosignatures count, and how many are enough; nobody's while no policy says so. */
export function policyOf(view: View<CoreTables>): WitnessPolicy {
  return view.get('ledgerPolicy', 'federation') ?? { witnesses: [], quorum: 0 }
}

/** After a start: what was not proven is asked for again. */
export function resumeProofs(turn: Turn): void {
  for (const [hold] of Array.from(turn.view.entries('proofsOwed'))) onProofDue(turn, hold as Sid)
}
