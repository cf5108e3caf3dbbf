// What the host tells each home: every change of a tranche, and a sign of life in between.

import type { SiteName, TrancheId } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import { rangesValues } from '../base/ranges.ts'
import type { TaskReport } from '../rules/run.ts'
import { retryMsMin, toldOf } from './host-book.ts'
import type { Report } from './messages.ts'
import type { HostTranche } from './state.ts'
import { taskKey } from './state.ts'
import type { Turn } from './turn.ts'
import { isUp, send, setTimer } from './turn.ts'

const reportMsMax = 15_000
/** Of a task that nothing has happened to. */
const firstRevision = 1
/** Signs of life to one home that are due so close to one another go together. */
const togetherMs = reportMsMax / 2

/** Tasks that changed since the home last took note. */
export function reportOf(turn: Turn, tranche: HostTranche): Report {
  const tasks: TaskReport[] = []
  for (const task of rangesValues(tranche.tasks)) {
    const known = turn.view.get('hostTasks', taskKey(tranche.id, task))
    if (!known || known.revision <= tranche.ackedRevision) continue
    // What waits as it was handed over is no news; what was held, or released again, is.
    if (known.state === 'queued' && known.revision === firstRevision) continue
    tasks.push(toldOf(known))
  }
  const phase = tranche.phase === 'submitting' ? 'running'
    : tranche.phase === 'claimed' || tranche.phase === 'settled' ? 'settling' : tranche.phase
  return { tranche: tranche.id, revision: tranche.revision, phase, tasks }
}

/** At the end of a step: one message of reports a home. */
export function reportMarked(turn: Turn): void {
  const byHome = new Map<SiteName, Report[]>()
  for (const id of turn.toReport) {
    const tranche = turn.view.get('hostTranches', id)
    if (!tranche || tranche.phase === 'settled') continue
    const contract = turn.view.get('hostContracts', tranche.contract)
    const lease = contract?.leaseSeconds ?? turn.self.market.leaseSeconds
    const beat = Math.min(reportMsMax, Math.max(1_000, Math.floor((lease * 1000) / 4)))
    setTimer(turn, `report/${id}`, turn.now + (tranche.directive === 'none' ? retryMsMin : beat))
    if (!isUp(turn, tranche.home)) continue
    const sent = stampReport(turn, tranche)
    const reports = byHome.get(tranche.home) ?? []
    reports.push(reportOf(turn, sent))
    byHome.set(tranche.home, reports)
  }
  for (const [home, reports] of byHome) sendReports(turn, home, reports)
}

/** No message has more tasks than the largest tranche: their words, too, have to fit into one. */
function sendReports(turn: Turn, home: SiteName, reports: readonly Report[]): void {
  let [group, tasks]: [Report[], number] = [[], 0]
  for (const one of reports) {
    if (group.length === 256 || tasks + one.tasks.length > limits.tasksPerTranche) {
      send(turn, home, { kind: 'reports', reports: group })
      ;[group, tasks] = [[], 0]
    }
    group.push(one)
    tasks += one.tasks.length
  }
  if (group.length > 0) send(turn, home, { kind: 'reports', reports: group })
}

/**
 * [CONTRACT-3] A report after an answered one has a revision of its own, so old answers cannot pass
 * for new.
 */
function stampReport(turn: Turn, tranche: HostTranche): HostTranche {
  if (tranche.sentEpochMs > 0) return tranche
  const revision = tranche.revision + 1
  const sent = { ...tranche, revision, sentEpochMs: turn.now, sentRevision: revision }
  turn.view.put('hostTranches', tranche.id, sent)
  return sent
}

/** A sign of life is due: what else its home is to hear soon goes with it, and from then on. */
export function onReportDue(turn: Turn, id: TrancheId): void {
  const due = turn.view.get('hostTranches', id)
  turn.toReport.add(id)
  for (const [other, tranche] of turn.view.entries('hostTranches')) {
    if (tranche.home !== due?.home) continue
    const at = turn.view.get('timers', `report/${other}`)
    if (at !== undefined && at <= turn.now + togetherMs) turn.toReport.add(tranche.id)
  }
}

export function onHomeUp(turn: Turn, site: SiteName): void {
  for (const [, tranche] of turn.view.entries('hostTranches')) {
    if (tranche.home === site && tranche.phase !== 'settled') turn.toReport.add(tranche.id)
  }
}
