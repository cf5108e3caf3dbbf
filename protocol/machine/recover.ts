// What a node does when it starts, from its records alone. A record whose effect has no result yet
// gets the same effect again, under the same name; the doors look it up before they do it twice.
// This is also the only list of what can be open after a crash.

import { alarmText, isQuarantined } from './quarantine.ts'
import { issueStatement } from '../rules/ledger.ts'
import { onStarted as startDays } from './log-days.ts'
import { onStarted as startPeers } from './peers.ts'
import type { SiteName } from '../base/ids.ts'
import { grantCredit } from './delivery.ts'
import type { EventOf } from './events.ts'
import { refreshOffer } from './offers.ts'
import type { Turn } from './turn.ts'
import { answer } from './turn.ts'
import { closeAuction } from './home-auction.ts'
import { roundsSoon } from './home-placing.ts'
import { countQueues } from './home-queue.ts'
import { resumeProofs } from './home-grants.ts'
import { askResult } from './home-results.ts'
import { resumeOwn } from './home-tranches.ts'
import { resumeChecks } from './host-grants.ts'
import { resumeTranche } from './host-tranches.ts'

export function onStarted(turn: Turn, event: EventOf<'started'>): void {
  const held = turn.view.get('quarantine', 'own')
  if (held) turn.effects.push({ kind: 'alarm', detail: alarmText(held.peer, held.detail) })
  postTariff(turn)
  startPeers(turn, event)
  startDays(turn)
  // Bids that were on their way are lost; their rounds end with what is here.
  for (const [, auction] of Array.from(turn.view.entries('auctions'))) {
    if (auction.closedEpochMs === 0) closeAuction(turn, auction.id)
  }
  for (const [, tranche] of Array.from(turn.view.entries('homeTranches'))) resumeOwn(turn, tranche)
  for (const [, task] of turn.view.entries('homeTasks')) {
    if (task.state === 'returning') askResult(turn, task)
  }
  for (const [, tranche] of Array.from(turn.view.entries('hostTranches'))) {
    resumeTranche(turn, tranche)
  }
  for (const [, job] of turn.view.entries('jobs')) {
    if (job.state.kind === 'ended') turn.effects.push({ kind: 'releaseInputs', job: job.id })
  }
  countQueues(turn)
  resumeProofs(turn)
  resumeChecks(turn)
  roundsSoon(turn)
  refreshOffer(turn)
}

/** What was set anew: other prices are posted, other queues counted, and everybody hears of it. */
export function onConfigured(turn: Turn): void {
  postTariff(turn)
  for (const [site] of turn.view.entries('links')) grantCredit(turn, site as SiteName)
  countQueues(turn)
  roundsSoon(turn)
  refreshOffer(turn)
}

export function onDrainRequested(turn: Turn, event: EventOf<'drainRequested'>): void {
  const { view, now } = turn
  const { drain, reason, request } = event
  if (drain) view.put('drained', 'own', { sinceEpochMs: now, reason })
  else if (view.get('drained', 'own')) view.remove('drained', 'own')
  refreshOffer(turn)
  const detail = drain ? 'the site takes no new work; what is here goes on'
    : turn.self.draining ? 'the config still says scheduler.draining = true' : 'the site takes work'
  answer(turn, request, { kind: 'done', detail })
}

/**
 * The posted prices go on the ledger when they are new; what was agreed before keeps its tariff.
 */
function postTariff(turn: Turn): void {
  const { view, self, now } = turn
  if (isQuarantined(turn)) return
  const wanted = {
    task: self.tariff.task,
    core_hour: self.tariff.coreHour,
    gib_hour: self.tariff.gibHour,
    speed_permille: self.tariff.speedPermille,
    factor_permille_max: self.tariff.loadFactorMaxPermille,
  }
  const sid = view.get('ownTariff', 'own')
  const posted = sid && view.get('ledgerTariffs', sid)
  const same = posted && posted.task === wanted.task && posted.core_hour === wanted.core_hour &&
    posted.gib_hour === wanted.gib_hour && posted.speed_permille === wanted.speed_permille &&
    posted.factor_permille_max === wanted.factor_permille_max
  if (same) return
  const said = issueStatement(view, self.signer, {
    kind: 'tariff', to: '*', at: now, ...wanted, rounding: 'down',
  })
  if (!said.ok) return
  view.put('ownTariff', 'own', said.value.sid)
  view.put('tariffNotes', said.value.sid, said.value.note)
}
