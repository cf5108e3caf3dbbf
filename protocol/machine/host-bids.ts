// The host while it is courted: it answers calls with firm bids or reasons, agrees to what it bid,
// and takes the holds that its slots and the home's credit have room for.

import { sha256Hex } from '../base/crypto.ts'
import type { Sid, SiteName } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import { formatCredits } from '../base/units.ts'
import type { Announcement } from '../rules/announce.ts'
import { readAnnouncement } from '../rules/announce.ts'
import type { BidAnswer, BidRefusalReason, HostStanding } from '../rules/bid.ts'
import { considerAnnouncement, sealBidAnswer } from '../rules/bid.ts'
import { creditLimit, exposure } from '../rules/ledger.ts'
import { capFor } from '../rules/tariff.ts'
import { isFrozen } from './evidence.ts'
import { accountOf } from './host-accounts.ts'
import {
  committed, gpusLeft, holdingsOf, isDraining, loadFactor, othersLeave,
} from './host-capacity.ts'
import { exposedTo } from './host-exposure.ts'
import { queueSeconds } from './host-queue.ts'
import type { MessageOf } from './messages.ts'
import { verifierOf } from './offers.ts'
import { apartFrom } from './speech.ts'
import { openBidKey } from './state.ts'
import { freeOf, policyOf } from './home-grants.ts'
import type { Turn } from './turn.ts'
import { count, send, setTimer } from './turn.ts'

export function onAnnounce(turn: Turn, from: SiteName, message: MessageOf<'announce'>): void {
  const verifier = verifierOf(turn.view, from)
  const { federation } = turn.self
  const read = verifier && readAnnouncement(message.note, { federation, from, verifier })
  if (!read?.ok) return count(turn, 'announce_malformed')
  const call = read.value
  // Homes choose the names of their auctions: one must not stand in for another's.
  const key = openBidKey(from, call.auction)
  const asked = turn.view.get('openBids', key)
  // The same call again: the same bid again, nothing is reserved twice.
  if (asked) return answerCall(turn, from, asked.note, asked.bid.tariff)
  const apart = apartFrom(turn, from)
  if (apart !== undefined) return refuseCall(turn, call, { reason: 'draining', detail: apart })
  const tariff = turn.view.get('ownTariff', 'own')
  const account = accountOf(turn, from, call.owner)
  const standing = tariff && standingFor(turn, from, call)
  const noAccount = account.ok ? {} : { noAccount: account.refusal.detail }
  const room = standing ? considerAnnouncement(call, { ...standing, ...noAccount })
    : { ok: false as const, refusal: noScheduler }
  if (!room.ok || !tariff) return refuseCall(turn, call, room.ok ? noScheduler : room.refusal)
  const { self, now } = turn
  const answer: BidAnswer = {
    kind: 'bid',
    fed: self.federation,
    auction: call.auction,
    host: self.site,
    slots: room.value.slots,
    queue_slots: room.value.queueSlots,
    tariff,
    factor_permille: loadFactor(turn),
    speed_permille: self.tariff.speedPermille,
    queue_seconds: room.value.queueSeconds,
    valid_seconds: self.market.bidValidSeconds,
  }
  const note = sealBidAnswer(answer, self.signer.statement)
  const expiresEpochMs = now + self.market.bidValidSeconds * 1000
  turn.view.put('openBids', key, {
    auction: call.auction,
    home: from,
    noteHash: sha256Hex(note),
    bid: answer,
    slots: room.value.slots,
    note,
    cores: call.cores,
    memoryMib: call.memory_mib,
    walltimeSeconds: call.walltime_seconds,
    ...(call.needs && call.needs.gpus > 0 && { gpus: call.needs.gpus }),
    ...(account.ok && account.value && { account: account.value }),
    expiresEpochMs,
  })
  setTimer(turn, `bid/${key}`, expiresEpochMs)
  count(turn, 'bids_made')
  answerCall(turn, from, note, tariff)
}

function answerCall(turn: Turn, to: SiteName, note: string, tariff: Sid): void {
  const tariffNote = turn.view.get('tariffNotes', tariff) ?? ''
  send(turn, to, { kind: 'answer', note, tariff: tariffNote })
}

const noScheduler = {
  reason: 'scheduler_unknown', detail: 'the local scheduler does not answer',
} as const

function refuseCall(
  turn: Turn, call: Announcement, refusal: { reason: BidRefusalReason; detail: string },
): void {
  const { self } = turn
  const { auction } = call
  const head = { fed: self.federation, auction, host: self.site }
  const note = sealBidAnswer({ kind: 'refusal', ...head, ...refusal }, self.signer.statement)
  count(turn, `call_refused_${refusal.reason}`)
  send(turn, call.home, { kind: 'answer', note, tariff: '' })
}

function standingFor(
  turn: Turn, home: SiteName, call: Announcement,
): HostStanding | undefined {
  const { view, self } = turn
  const capacity = view.get('capacity', 'own')
  if (!capacity?.reachable) return undefined
  const ours = committed(turn)
  const free = othersLeave(turn)
  const rates = {
    task: self.tariff.task, core_hour: self.tariff.coreHour, gib_hour: self.tariff.gibHour,
  }
  const { cores, memory_mib: memoryMib, walltime_seconds: walltimeSeconds } = call
  const task = { tasks: 1, cores, memoryMib, walltimeSeconds }
  const cap = capFor(rates, loadFactor(turn), task)
  const bids = bidsTo(turn, home)
  const frozen = isFrozen(turn.view, home)
    ? `there is proof that ${home} lied: gridnode evidence` : undefined
  const exposed = frozen ?? exposedTo(turn, home)
  const paid = payable(turn, home, call)
  const left = paid - bids.worth
  return {
    coresFree: free.cores,
    coresReserved: ours.cores,
    memoryMibTotal: capacity.memoryMibTotal,
    memoryMibFree: free.memoryMib,
    memoryMibReserved: ours.memoryMib,
    ...holdingsOf(capacity),
    gpusLeft: gpusLeft(turn),
    walltimeSecondsMax: capacity.walltimeSecondsMax,
    queueCores: Math.floor((capacity.coresTotal * self.market.queueAheadPermille) / 1000),
    bidsOpen: ours.bids,
    bidsOpenToHome: bids.count,
    draining: isDraining(turn),
    spoolBytesFree: capacity.spoolBytesFree,
    tasksAffordable: home === self.site ? limits.tasksPerJob
      : exposed === undefined ? affordable(left, cap) : 0,
    creditDetail: exposed ?? `one task may cost ${formatCredits(cap)}, ` +
      `${home} may ${call.grant === undefined ? 'owe' : 'pay'} us ` +
      `${formatCredits(left > 0n ? left : 0n)} more`,
    secondsUntilStart: queueSeconds(turn, call),
  }
}

/** What the home can still pay us: from the allocation that it names, else on its credit. */
function payable({ view, self, now }: Turn, home: SiteName, { grant: sid }: Announcement): bigint {
  const grant = sid === undefined ? undefined : view.get('ledgerGrants', sid)
  if (sid === undefined) {
    return creditLimit(view, self.site, home) - exposure(view, self.site, home)
  }
  const counts = grant?.grantee === home && grant.untilEpochMs > now && policyOf(view).quorum > 0
  return counts ? freeOf(grant) : 0n
}

function affordable(left: bigint, cap: bigint): number {
  if (cap === 0n) return limits.tasksPerJob
  const tasks = left > 0n ? left / cap : 0n
  return tasks > BigInt(limits.tasksPerJob) ? limits.tasksPerJob : Number(tasks)
}

/** What a home would owe us if it took every bid that is open to it. */
function bidsTo(turn: Turn, home: SiteName): { readonly count: number; readonly worth: bigint } {
  const { view, now } = turn
  let [count, worth] = [0, 0n]
  for (const [, open] of view.entries('openBids')) {
    if (open.home !== home || open.expiresEpochMs <= now) continue
    const { bid, cores, memoryMib, walltimeSeconds } = open
    const tariff = view.get('ledgerTariffs', bid.tariff)
    const tasks = bid.slots + bid.queue_slots
    count++
    if (!tariff) continue
    worth += capFor(tariff, bid.factor_permille, { tasks, cores, memoryMib, walltimeSeconds })
  }
  return { count, worth }
}

export function onBidExpiry(turn: Turn, key: string): void {
  turn.view.remove('openBids', key)
}

export function onAuctionClosed(turn: Turn, from: SiteName, auction: string): void {
  const key = openBidKey(from, auction)
  if (!turn.view.get('openBids', key)) return
  turn.view.remove('openBids', key)
  setTimer(turn, `bid/${key}`, undefined)
}
