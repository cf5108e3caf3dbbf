// The root of the machine: routes an event to its role and sends what the roles have marked. It
// decides nothing itself. `step` is a function: the same tables and the same event give the same
// writes and effects on every machine.

import { unreachable } from '../base/assert.ts'
import type { ContractId, JobId, Sid, SiteName, TrancheId } from '../base/ids.ts'
import type { Tables, View, Write } from '../base/tables.ts'
import { draft } from '../base/tables.ts'
import type { Logged } from '../rules/ledger.ts'
import { directionOf } from '../rules/ledger.ts'
import type { PairStatement } from '../rules/statement.ts'
import { everybody } from '../rules/statement.ts'
import { deliver, resend } from './delivery.ts'
import { onCharter, onGrantRequested, onPolicyRequested } from './charter.ts'
import type { Effect } from './effects.ts'
import type { Event } from './events.ts'
import * as evidence from './evidence.ts'
import { onEntriesRead } from './evidence-search.ts'
import type { Message } from './messages.ts'
import { decodeMessage } from './messages.ts'
import {
  onChallengeDue, onCosigned, onHead, onHeadDenied, onHeadWanted, onHeads,
} from './heads.ts'
import { keepJudged, keepOffer, refreshOffer } from './offers.ts'
import * as peers from './peers.ts'
import * as receipts from './receipts.ts'
import * as days from './log-days.ts'
import { onConfigured, onDrainRequested, onStarted } from './recover.ts'
import * as recovery from './recovery.ts'
import type { CoreTables, Self } from './state.ts'
import type { Turn } from './turn.ts'
import { count, dueTimers } from './turn.ts'
import { closeAuction, onAnswer } from './home-auction.ts'
import { onUsage, settleResolved } from './home-claims.ts'
import { onHeadShown, onProofDue, proveMarked } from './home-grants.ts'
import { answerClause, onClause } from './home-clause.ts'
import { onCancelRequested, onForget, onJobSubmitted } from './home-jobs.ts'
import { onControlled, tellOrders } from './home-control.ts'
import { onHostUp, onRoundDue, placeMarked, roundsSoon } from './home-placing.ts'
import { onDeclined, onHeld, onLeaseEnd, onReports, onVoid } from './home-reports.ts'
import { onResultFailed, onResultRetry, onResultTaken } from './home-results.ts'
import { onVerbRequested } from './home-verbs.ts'
import { onWaitDue } from './home-waiting.ts'
import { ackMarked, onDocumentsWanted } from './home-tranches.ts'
import { onAnnounce, onAuctionClosed, onBidExpiry } from './host-bids.ts'
import {
  closeResolved, onAccept, onKeepEnded, onTrancheRemoved, settle,
} from './host-claims.ts'
import { doOrders, onControl, onOrderDone, onOrderFailed } from './host-control.ts'
import { onContractClosed, onContractOffer, onIdle } from './host-contracts.ts'
import { noteTimes } from './host-clause.ts'
import { onCheckDue, onHold, onHoldProof, onPayerReplayed } from './host-grants.ts'
import { onMeter } from './host-meter.ts'
import { onWord } from './operator.ts'
import { onPeerUp as quietOnUp, onReconcileDue, onReconciled } from './reconcile.ts'
import { onHomeUp, onReportDue, reportMarked } from './host-reports.ts'
import { onTaskCollectFailed, onTaskCollected, onTasksObserved } from './host-tasks.ts'
import {
  onAck, onDocuments, onRetry, onStaged, onStagingFailed, onStopRetry, onSubmitFailed,
  onSubmitRefused, onSubmitted,
} from './host-tranches.ts'

export { wakeAt } from './turn.ts'

export interface Stepped {
  /** To be durable before the first effect. */
  readonly writes: readonly Write[]
  readonly effects: readonly Effect[]
}

export function step(self: Self, tables: Tables, event: Event): Stepped {
  const view = draft<CoreTables>(tables)
  const turn: Turn = {
    self, view, now: event.at, effects: [], trailing: [], toDeliver: new Set(),
    toReport: new Set(), toAck: new Set(), toPlace: new Set(), freedQueues: new Set(),
    cosigned: new Set(),
  }
  const before = saidToAll(self, view)
  route(turn, event)
  placeMarked(turn)
  proveMarked(turn)
  noteTimes(turn)
  ackMarked(turn)
  reportMarked(turn)
  deliver(turn)
  const effects = [...turn.effects, ...turn.trailing]
  // [DELIVER-7] What we say to everybody nobody counts for us: the mark does.
  if (saidToAll(self, view) > before) effects.unshift({ kind: 'raiseMark' })
  return { writes: view.writes(), effects }
}

function saidToAll(self: Self, view: View<CoreTables>): number {
  return directionOf(view, self.site, everybody).n
}

function route(turn: Turn, event: Event): void {
  const { self } = turn
  switch (event.kind) {
    case 'started': return onStarted(turn, event)
    case 'woken': return onWoken(turn)
    case 'messageReceived': return onMessage(turn, event.from, event.encoded)
    case 'messageDelivered': return dispatch(turn, self.site, event.message)
    case 'peerCameUp': return onPeerUp(turn, event.site)
    case 'peerWentDown': return peers.onPeerDown(turn, event.site)
    case 'offerHeard': return keepJudged(turn, event.kept) ? roundsSoon(turn) : undefined
    case 'callHeard':
      return onAnnounce(turn, event.from, { kind: 'announce', note: event.note })
    case 'capacityObserved':
      turn.view.put('capacity', 'own', event.capacity)
      return refresh(turn)
    case 'configured': return onConfigured(turn)
    case 'drainRequested': return onDrainRequested(turn, event)
    case 'jobSubmitted': return onJobSubmitted(turn, event)
    case 'cancelRequested': return onCancelRequested(turn, event)
    case 'verbRequested': return onVerbRequested(turn, event)
    case 'inviteRequested': return peers.onInviteRequested(turn, event)
    case 'policyRequested': return onPolicyRequested(turn, event)
    case 'grantRequested': return onGrantRequested(turn, event)
    case 'entriesRead': return onEntriesRead(turn, event)
    case 'placeTaken': return evidence.noteInclusions(turn, event.first, event.second)
    case 'snapshotRequested': return days.onSnapshotRequested(turn, event)
    case 'pruneRequested': return days.onPruneRequested(turn, event)
    case 'entriesDropped': return days.onEntriesDropped(turn, event)
    case 'joinRequested': return peers.onJoinRequested(turn, event)
    case 'creditRequested': return peers.onCreditRequested(turn, event)
    case 'wordRequested': return onWord(turn, event)
    case 'trancheStaged': return onStaged(turn, event)
    case 'trancheStagingFailed': return onStagingFailed(turn, event)
    case 'trancheSubmitted': return onSubmitted(turn, event)
    case 'trancheSubmitRefused': return onSubmitRefused(turn, event)
    case 'trancheSubmitFailed': return onSubmitFailed(turn, event)
    case 'orderDone': return onOrderDone(turn, event)
    case 'orderFailed': return onOrderFailed(turn, event)
    case 'tasksObserved':
      onTasksObserved(turn, event)
      return refresh(turn)
    case 'taskCollected': return onTaskCollected(turn, event)
    case 'taskCollectFailed': return onTaskCollectFailed(turn, event)
    case 'trancheRemoved':
      onTrancheRemoved(turn, event.tranche)
      return refresh(turn)
    case 'headShown': return onHeadShown(turn, event)
    case 'headDenied': return onHeadDenied(turn, event)
    case 'payerReplayed': return onPayerReplayed(turn, event)
    case 'resultTaken': return onResultTaken(turn, event)
    case 'resultFailed': return onResultFailed(turn, event)
    default: return unreachable(event)
  }
}

/** Our own room is as good as that of others: jobs that wait here hear of it. */
function refresh(turn: Turn): void {
  if (refreshOffer(turn)) roundsSoon(turn)
}

function onPeerUp(turn: Turn, site: SiteName): void {
  peers.onPeerUp(turn, site)
  if (turn.view.get('links', site)) {
    recovery.onPeerUp(turn, site)
    receipts.onPeerUp(turn, site)
  }
  quietOnUp(turn, site)
  onHomeUp(turn, site)
  onHostUp(turn, site)
}

function onOffer(turn: Turn, note: string): void {
  if (keepOffer(turn, note)) roundsSoon(turn)
}

function onMessage(turn: Turn, from: SiteName, encoded: string): void {
  const decoded = decodeMessage(encoded)
  // [LAW-7] What cannot be read changes nothing but a counter.
  if (!decoded.ok) return count(turn, 'message_malformed')
  return dispatch(turn, from, decoded.value)
}

function dispatch(turn: Turn, from: SiteName, message: Message): void {
  switch (message.kind) {
    case 'summary': return peers.onSummary(turn, from, message)
    case 'members': return peers.onMembers(turn, from, message)
    case 'offers': {
      for (const note of message.notes) onOffer(turn, note)
      return undefined
    }
    case 'announce': return onAnnounce(turn, from, message)
    case 'answer': return onAnswer(turn, from, message)
    case 'auction_closed': return onAuctionClosed(turn, from, message.auction)
    case 'statements':
      return recovery.onPeerStatements(turn, from, message, (logged) => onStatement(turn, logged))
    case 'history_wanted': return recovery.onHistoryWanted(turn, from, message)
    case 'history':
      return recovery.onHistory(turn, from, message, (logged) => onStatement(turn, logged))
    case 'close_wanted': return recovery.onCloseWanted(turn, from, message)
    case 'documents': return onDocuments(turn, from, message)
    case 'documents_wanted': return onDocumentsWanted(turn, from, message.tranche)
    case 'reports': return onReports(turn, from, message)
    case 'acks': {
      for (const ack of message.acks) onAck(turn, from, ack)
      return undefined
    }
    case 'charter': return onCharter(turn, message)
    case 'head_wanted': return onHeadWanted(turn, from, message)
    case 'head': return onHead(turn, from, message)
    case 'cosigned': return onCosigned(turn, from, message)
    case 'heads': return onHeads(turn, from, message)
    case 'hold_proof': return onHoldProof(turn, from, message)
    case 'receipts': return receipts.onReceipts(turn, from, message)
    case 'receipts_wanted': return receipts.onReceiptsWanted(turn, from, message)
    case 'evidence': return evidence.onEvidence(turn, from, message)
    case 'evidence_known': return evidence.onEvidenceKnown(turn, from, message)
    case 'control': return onControl(turn, from, message)
    case 'controlled': return onControlled(turn, from, message)
    case 'contract_closed': return onContractClosed(turn, from, message.contract)
    default: return unreachable(message)
  }
}

/** A statement that was just logged, given to the role it is addressed to. */
function onStatement(turn: Turn, logged: Logged<PairStatement>): void {
  const { statement } = logged
  const { from } = statement
  receipts.oweReceipt(turn, logged)
  switch (statement.kind) {
    case 'credit': return roundsSoon(turn)
    case 'contract':
      return statement.side === 'offer' ? onContractOffer(turn, logged, statement) : undefined
    case 'hold': return onHold(turn, logged, statement)
    case 'held': return onHeld(turn, from, statement.hold)
    case 'declined': return onDeclined(turn, from, statement.hold, statement.reason)
    case 'usage': return onUsage(turn, from, statement.hold, statement.final)
    case 'accept': return onAccept(turn, from, statement.hold, statement.final)
    case 'void': return onVoid(turn, from, statement.hold, statement.reason)
    case 'resolve':
      settleResolved(turn, from)
      closeResolved(turn, from)
      return statement.side === 'clause' ? onClause(turn, from, statement.hold) : undefined
    case 'dispute':
    case 'settle': return undefined
    case 'reconcile':
      return statement.side === 'close' ? recovery.onClose(turn, from)
        : onReconciled(turn, from, logged.sid, statement)
    default: return unreachable(statement)
  }
}

/** Every deadline that has passed, each handled once; a handler sets the next one itself. */
function onWoken(turn: Turn): void {
  for (const name of dueTimers(turn.view, turn.now)) {
    turn.view.remove('timers', name)
    const slash = name.indexOf('/')
    onTimer(turn, name.slice(0, slash), name.slice(slash + 1))
  }
}

function onTimer(turn: Turn, kind: string, name: string): void {
  switch (kind) {
    case 'deliver': return resend(turn, name as SiteName)
    case 'recover': return recovery.onRetry(turn, name as SiteName)
    case 'exchange': return peers.onExchange(turn)
    case 'challenge': return onChallengeDue(turn, name)
    case 'proof': return onProofDue(turn, name as Sid)
    case 'check': return onCheckDue(turn, name as Sid)
    case 'evidence': return evidence.onSayDue(turn, name)
    case 'day': return days.onDay(turn)
    case 'receipts': return receipts.onReceiptsDue(turn, name as SiteName)
    case 'wanted': return receipts.onWantedDue(turn, name as SiteName)
    case 'offer': return refresh(turn)
    case 'invite': return peers.onInviteExpiry(turn, name)
    case 'round': return onRoundDue(turn, name as JobId)
    case 'window': return closeAuction(turn, name)
    case 'wait': return onWaitDue(turn, name as JobId)
    case 'control': return tellOrders(turn, name as TrancheId)
    case 'order': return doOrders(turn, name as TrancheId)
    case 'lease': return onLeaseEnd(turn, name as TrancheId)
    case 'result': return onResultRetry(turn, name)
    case 'forget': return onForget(turn, name as JobId)
    case 'bid': return onBidExpiry(turn, name)
    case 'idle': return onIdle(turn, name as ContractId)
    case 'report': return onReportDue(turn, name as TrancheId)
    case 'keep': return onKeepEnded(turn, name as TrancheId)
    case 'meter': return onMeter(turn, name as TrancheId)
    case 'clause': return answerClause(turn, name as TrancheId)
    case 'reconcile': return onReconcileDue(turn, name as SiteName)
    case 'claim': return settle(turn, name as TrancheId)
    case 'retry': return onRetry(turn, name as TrancheId)
    case 'stop': return onStopRetry(turn, name as TrancheId)
    default: return count(turn, 'timer_unknown')
  }
}
