// One round of an auction at the home: shortlist, call, collect for the stated window, rank, award.
// All of it is kept for `why`. The window ends early only when everybody who was asked has
// answered.

import { sha256Hex } from '../base/crypto.ts'
import type { JobId, SiteName } from '../base/ids.ts'
import { contractIdOf } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import { rangesSize } from '../base/ranges.ts'
import type { Microcredits } from '../base/units.ts'
import { zeroMicrocredits } from '../base/units.ts'
import type { RankedBid } from '../rules/award.ts'
import { allot, completionSeconds, rankBids } from '../rules/award.ts'
import type { Bid } from '../rules/bid.ts'
import { readBidAnswer } from '../rules/bid.ts'
import { termsFor } from '../rules/contract.ts'
import { logPublic } from '../rules/ledger.ts'
import { outboxFull, say } from './delivery.ts'
import { isFrozen } from './evidence.ts'
import { onStatementRefused } from './evidence-search.ts'
import {
  atOnceLeft, budgetLeft, changeJob, documentOf, openContracts, payableAt,
} from './home-book.ts'
import type { Entries } from './home-call.ts'
import { callFor, isRuledOut, rankOf, shortlist, taskCapOf } from './home-call.ts'
import { commitTasks } from './home-tranches.ts'
import type { MessageOf } from './messages.ts'
import { verifierOf } from './offers.ts'
import type { Auction, AuctionEntry, HomeContract, Job } from './state.ts'
import { auctionKey } from './state.ts'
import type { Turn } from './turn.ts'
import { count, send, setTimer } from './turn.ts'

/** Rounds whose reasons are kept: the first, for the record, and the newest. */
const roundsKept = 4

export function openAuction(turn: Turn, id: JobId): void {
  const job = turn.view.get('jobs', id)
  if (!job) return
  const round = job.round + 1
  const { asked, entries, unnamed } = shortlist(turn, job)
  if (asked.length === 0 && openContracts(turn, job).length > 0) {
    // Nobody new can be asked while open contracts take the work as fast as they can.
    changeJob(turn, id, { idleRounds: job.idleRounds + 1 })
    return void turn.toPlace.add(id)
  }
  const auction: Auction = {
    id: sha256Hex('gridnode/v1/auction\n', `${job.sid} ${round}`).slice(0, 16),
    job: id,
    round,
    openedEpochMs: turn.now,
    closesEpochMs: turn.now + turn.self.market.windowMs,
    closedEpochMs: 0,
    gossiped: false,
    told: false,
    entries,
    unnamed,
  }
  dropOldRound(turn, job)
  turn.view.put('auctions', auctionKey(id, round), auction)
  turn.view.put('auctionKeys', auction.id, auctionKey(id, round))
  changeJob(turn, id, { round, note: `auction ${round}: ${asked.length} sites asked` })
  if (asked.length === 0) return closeAuction(turn, auction.id)
  setTimer(turn, `window/${auction.id}`, auction.closesEpochMs)
  const note = callFor(turn, job, auction)
  for (const site of asked) send(turn, site, { kind: 'announce', note })
}

function dropOldRound(turn: Turn, job: Job): void {
  const old = job.round + 1 - roundsKept
  if (old <= 1) return
  const key = auctionKey(job.id, old)
  const auction = turn.view.get('auctions', key)
  if (auction) turn.view.remove('auctionKeys', auction.id)
  turn.view.remove('auctions', key)
}

export function onAnswer(turn: Turn, from: SiteName, message: MessageOf<'answer'>): void {
  const { view, self } = turn
  const verifier = verifierOf(view, from)
  const read = verifier &&
    readBidAnswer(message.note, { federation: self.federation, from, verifier })
  if (!read?.ok) return count(turn, 'answer_malformed')
  const said = read.value
  const key = view.get('auctionKeys', said.auction)
  const auction = key === undefined ? undefined : view.get('auctions', key)
  if (!key || !auction || !wasAsked(turn, auction, from) || isFrozen(turn.view, from)) {
    // Told all the same: what it has reserved for us must not wait for its bid to expire.
    if (said.kind === 'bid') tellClosed(turn, from, said.auction)
    return count(turn, 'answer_unasked')
  }
  if (auction.closedEpochMs > 0) {
    // [AWARD-2] Late: kept as such for `why`, and told, so that nothing stays reserved.
    if (auction.entries[from]?.kind === 'silent') setEntry(turn, key, from, { kind: 'late' })
    if (said.kind === 'bid') tellClosed(turn, from, auction.id)
    return undefined
  }
  const standing = auction.entries[from]?.kind
  if (standing !== 'asked' && !(auction.gossiped && standing !== 'bid')) return undefined
  if (said.kind === 'refusal') {
    const { reason, detail } = said
    setEntry(turn, key, from, { kind: 'refused', reason, detail })
  } else {
    const entry = bidEntry(turn, auction, said, message)
    if (!entry) return count(turn, 'answer_without_tariff')
    setEntry(turn, key, from, entry)
  }
  const now = view.get('auctions', key)
  // Who may still have heard a call by gossip nobody knows: its window is waited out.
  const answered = now && !now.gossiped &&
    Object.values(now.entries).every((entry) => entry.kind !== 'asked')
  if (answered) closeAuction(turn, auction.id)
}

/** [ANNOUNCE-12] A call by gossip asks every member that the job does not rule out. */
function wasAsked(turn: Turn, auction: Auction, site: SiteName): boolean {
  if (!auction.gossiped) return auction.entries[site] !== undefined
  const { place, sites } = documentOf(turn, auction.job)
  const job = turn.view.get('jobs', auction.job)
  const ruledOut = !job || isRuledOut(turn, job, site)
  const listed = sites.length === 0 || sites.includes(site)
  return !ruledOut && listed && place !== 'home' && site !== turn.self.site
}

function setEntry(turn: Turn, key: string, site: SiteName, entry: AuctionEntry): void {
  const auction = turn.view.get('auctions', key)
  if (!auction) return
  turn.view.put('auctions', key, { ...auction, entries: { ...auction.entries, [site]: entry } })
}

function bidEntry(
  turn: Turn, auction: Auction, bid: Bid, message: MessageOf<'answer'>,
): AuctionEntry | undefined {
  const { view, self } = turn
  const job = view.get('jobs', auction.job)
  const own = bid.host === self.site
  if (!own && !view.get('ledgerTariffs', bid.tariff)) {
    const logged = logPublic(view, self.site, message.tariff)
    if (!logged.ok) onStatementRefused(turn, message.tariff, logged.refusal)
    if (!logged.ok || logged.value.sid !== bid.tariff) return undefined
  }
  const tariff = view.get('ledgerTariffs', bid.tariff)
  if (!job || !tariff || tariff.site !== bid.host) return undefined
  if (bid.factor_permille > tariff.factor_permille_max) return undefined
  const walltime = documentOf(turn, job.id).walltime_seconds
  return {
    kind: 'bid',
    bid,
    note: message.note,
    taskCap: own ? zeroMicrocredits : taskCapOf(turn, job, tariff, bid.factor_permille),
    completionSeconds: completionSeconds(bid, walltime),
    expiresEpochMs: turn.now + bid.valid_seconds * 1000 - self.market.windowMs,
    rank: 0,
    awarded: 0,
  }
}

function tellClosed(turn: Turn, site: SiteName, auction: string): void {
  send(turn, site, { kind: 'auction_closed', auction })
}

/** The window is over: rank what came, award, tell the losers. */
export function closeAuction(turn: Turn, id: string): void {
  const key = turn.view.get('auctionKeys', id)
  const auction = key === undefined ? undefined : turn.view.get('auctions', key)
  if (!key || !auction || auction.closedEpochMs > 0) return
  if (callEverybody(turn, key, auction)) return
  setTimer(turn, `window/${id}`, undefined)
  const entries: Entries = {}
  for (const [site, entry] of Object.entries(auction.entries)) {
    entries[site] = entry.kind === 'asked' ? { kind: 'silent' } : entry
  }
  turn.view.put('auctions', key, { ...auction, entries, closedEpochMs: turn.now })
  const job = turn.view.get('jobs', auction.job)
  if (!job) return
  const awarded = job.state.kind === 'open' ? award(turn, key, job) : 0
  if (awarded === 0) tellLosers(turn, key)
  const open = turn.view.get('auctions', key)!
  const idleRounds = awarded > 0 ? job.idleRounds : job.idleRounds + 1
  const note = awarded > 0 ? `${awarded} tasks awarded in round ${auction.round}`
    : whyNothing(open)
  const working = openContracts(turn, job).length > 0 && awarded === 0
  if (job.state.kind === 'open') {
    changeJob(turn, job.id, working ? { idleRounds } : { idleRounds, note })
  }
  turn.toPlace.add(job.id)
}

/**
 * [ANNOUNCE-13] No other site's offer is known, or nobody who was asked has answered: the directory
 * may be wrong, so the call goes out once more, by gossip, for one more window.
 */
function callEverybody(turn: Turn, key: string, auction: Auction): boolean {
  const { view, self, now } = turn
  const job = view.get('jobs', auction.job)
  if (auction.gossiped || job?.state.kind !== 'open') return false
  if (documentOf(turn, job.id).place === 'home') return false
  const others = [...view.entries('offers')].some(([site]) => site !== self.site)
  const standings = Object.values(auction.entries).map((entry) => entry.kind)
  const unanswered = standings.includes('asked') &&
    standings.every((kind) => kind === 'asked' || kind === 'unfit')
  const alone = !others && !standings.includes('bid')
  if (!(alone || unanswered) || [...view.entries('links')].length === 0) return false
  const closesEpochMs = now + self.market.windowMs
  view.put('auctions', key, { ...auction, gossiped: true, closesEpochMs })
  setTimer(turn, `window/${auction.id}`, closesEpochMs)
  turn.effects.push({ kind: 'publishCall', note: callFor(turn, job, auction) })
  return true
}

/** Nobody else is needed: what the losers reserved is free again. */
export function tellLosers(turn: Turn, key: string): void {
  const auction = turn.view.get('auctions', key)
  if (!auction || auction.told || auction.closedEpochMs === 0) return
  turn.view.put('auctions', key, { ...auction, told: true })
  for (const [site, entry] of Object.entries(auction.entries)) {
    if (entry.kind === 'bid' && entry.awarded === 0) tellClosed(turn, site as SiteName, auction.id)
  }
}

/** [AWARD-4] A winner withdrew: the next best of the same auction, if its bid still stands. */
export function awardNext(turn: Turn, contract: HomeContract, reason: string): void {
  const key = turn.view.get('auctionKeys', contract.auction)
  const auction = key === undefined ? undefined : turn.view.get('auctions', key)
  const job = turn.view.get('jobs', contract.job)
  if (!key || !auction || !job) return
  setEntry(turn, key, contract.host, { kind: 'withdrew', reason })
  if (job.state.kind === 'open' && !auction.told) award(turn, key, job)
}

/** One sentence from the reasons of a round that placed nothing. */
function whyNothing(auction: Auction): string {
  const reasons = new Map<string, number>(Object.entries(auction.unnamed ?? {}))
  for (const entry of Object.values(auction.entries)) {
    const word = entry.kind === 'unfit' || entry.kind === 'refused' ? entry.reason : entry.kind
    reasons.set(word, (reasons.get(word) ?? 0) + 1)
  }
  if (reasons.size === 0) return 'no site can be seen; waiting for offers'
  const parts = [...reasons].map(([word, sites]) => `${word} (${sites})`)
  return `no site can run it now: ${parts.join(', ')}; it will be tried again`
}

function award(turn: Turn, key: string, job: Job): number {
  const auction = turn.view.get('auctions', key)!
  const bids: RankedBid[] = []
  for (const entry of Object.values(auction.entries)) {
    if (entry.kind !== 'bid' || entry.awarded > 0 || entry.expiresEpochMs <= turn.now) continue
    const { bid, note, taskCap, completionSeconds: seconds } = entry
    if (isFrozen(turn.view, bid.host)) continue
    const affordable = affordableTasks(turn, job.id, { host: bid.host, taskCap })
    const offer = turn.view.get('offers', bid.host)?.offer
    const rank = offer ? rankOf(turn, job, offer) : 0n
    bids.push({ bid, note, rank, taskCap, completionSeconds: seconds, affordable })
  }
  const ranked = rankBids(documentOf(turn, job.id).policy, bids)
  const tasks = Math.min(rangesSize(job.waiting), atOnceLeft(turn, job))
  const allotments = new Map(
    allot(ranked, tasks, budgetLeft(turn, job)).map((one) => [one.host, one.tasks]),
  )
  let placed = 0
  ranked.forEach((entry, at) => {
    const { host } = entry.bid
    const wanted = allotments.get(host) ?? 0
    const contract = wanted > 0 ? openContractWith(turn, job.id, entry) : undefined
    const awarded = contract ? commitTasks(turn, contract.id, wanted) : 0
    placed += awarded
    const old = turn.view.get('auctions', key)!.entries[host]
    if (old?.kind === 'bid') setEntry(turn, key, host, { ...old, rank: at + 1, awarded })
  })
  return placed
}

function affordableTasks(
  turn: Turn, id: JobId, { host, taskCap }: { host: SiteName; taskCap: Microcredits },
): number {
  if (host === turn.self.site || taskCap === 0n) return limits.tasksPerJob
  const tasks = payableAt(turn, id, host) / taskCap
  return tasks > BigInt(limits.tasksPerJob) ? limits.tasksPerJob : Number(tasks)
}

/**
 * Our side of the contract is said before the award leaves; at home there is nobody to say it to.
 */
function openContractWith(
  turn: Turn, id: JobId, { bid, note, taskCap }: RankedBid,
): HomeContract | undefined {
  const { view, self } = turn
  const job = view.get('jobs', id)!
  const local = bid.host === self.site
  if (outboxFull(turn, bid.host)) return undefined
  let sid: HomeContract['sid'] = ''
  if (!local) {
    const terms = termsFor({
      job: documentOf(turn, id),
      jobSid: job.sid,
      bid,
      bidNote: note,
      tasksMax: limits.tasksPerJob,
      leaseSeconds: self.market.leaseSeconds,
      acceptSeconds: self.market.acceptSeconds,
      interimSeconds: self.market.interimSeconds,
      exposurePermille: self.market.exposurePermille,
      autoPermille: self.market.autoPermille,
      arbiter: self.market.arbiter,
    })
    const said = say(turn, { kind: 'contract', to: bid.host, ...terms })
    if (!said.ok) {
      count(turn, `contract_refused_${said.refusal.reason}`)
      return undefined
    }
    sid = said.value.sid
  }
  const named = sid === '' ? sha256Hex('gridnode/v1/own\n', `${bid.auction} ${self.site}`) : sid
  const contract: HomeContract = {
    id: contractIdOf(named),
    sid,
    job: id,
    host: bid.host,
    auction: bid.auction,
    slots: bid.slots,
    queueSlots: bid.queue_slots,
    speedPermille: bid.speed_permille,
    taskCap,
    ran: { tasks: 0, ms: 0 },
    outstanding: 0,
    open: true,
    committed: 0,
    tranches: [],
    accepted: zeroMicrocredits,
  }
  view.put('homeContracts', contract.id, contract)
  changeJob(turn, id, { contracts: [...job.contracts, contract.id] })
  return contract
}
