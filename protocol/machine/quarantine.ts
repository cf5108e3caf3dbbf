// A database that is older than what this site has said: from here on it says nothing, or it would
// contradict itself under its own signature. Reading goes on; only an operator can end it, with a
// new epoch (docs/OPERATING.md, Backups).

import type { SiteName } from '../base/ids.ts'
import type { Turn } from './turn.ts'
import { count } from './turn.ts'

/** Stops all that this site says; `peer` has shown why. The first reason stays. */
export function quarantine(turn: Turn, peer: SiteName, detail: string): void {
  if (isQuarantined(turn)) return
  count(turn, 'quarantined')
  turn.view.put('quarantine', 'own', { peer, detail, epochMs: turn.now })
  turn.effects.push({ kind: 'alarm', detail: alarmText(peer, detail) })
}

/** For the log, and for everybody who asks. */
export function alarmText(peer: SiteName, detail: string): string {
  return `QUARANTINE: ${peer} has shown that this database is older than what this site has said: `
    + `${detail}. Nothing is said to anybody any more. Stop the node; if the newest copy of db/ `
    + 'can be had, put it back, otherwise: gridnode ledger recover'
}

export function isQuarantined({ view }: Turn): boolean {
  return view.get('quarantine', 'own') !== undefined
}
