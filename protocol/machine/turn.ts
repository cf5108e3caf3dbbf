// One turn of the machine: what a handler may read, write and ask for. All handlers share one
// draft, so a step succeeds as a whole or (when an assertion breaks) leaves nothing behind.
//
// Invariants: messages that can be grouped (statements, reports, acks) are only marked here and
// sent once, at the end of the step, by delivery.ts and the two roles; what makes sense only behind
// the statements of this step is sent behind them.

import type { JobId, SiteName, TrancheId } from '../base/ids.ts'
import { compareBytes } from '../base/ids.ts'
import type { Draft, View } from '../base/tables.ts'
import type { Answer, Effect } from './effects.ts'
import type { Message } from './messages.ts'
import type { CoreTables, Self } from './state.ts'

export interface Turn {
  readonly self: Self
  readonly now: number
  readonly view: Draft<CoreTables>
  readonly effects: Effect[]
  /** Messages that refer to statements of this step: sent after them. */
  readonly trailing: Effect[]
  /** Jobs of ours whose waiting tasks may have somewhere to go, or that may be over. */
  readonly toPlace: Set<JobId>
  /** Peers that are owed what is in their outbox, or an acknowledgement. */
  readonly toDeliver: Set<SiteName>
  /** Tranches at us whose home should hear how they are. */
  readonly toReport: Set<TrancheId>
  /** Tranches of ours whose host should hear that we took note. */
  readonly toAck: Set<TrancheId>
  /** Queues of this home that have more room than before. */
  readonly freedQueues: Set<string>
  /** Witnesses whose word on our head has come in. */
  readonly cosigned: Set<SiteName>
}

export function send(turn: Turn, to: SiteName, message: Message): void {
  if (isUp(turn, to)) turn.effects.push({ kind: 'send', to, message })
}

/** Sends behind the statements of this step. */
export function sendBehind(turn: Turn, to: SiteName, message: Message): void {
  if (isUp(turn, to)) turn.trailing.push({ kind: 'send', to, message })
}

export function isUp(turn: Turn, site: SiteName): boolean {
  return site === turn.self.site || turn.view.get('links', site) !== undefined
}

/** Sets, moves or (with undefined) clears the deadline `name`, such as `lease/7f3a…`. */
export function setTimer(turn: Turn, name: string, epochMs: number | undefined): void {
  if (epochMs !== undefined) turn.view.put('timers', name, epochMs)
  else if (turn.view.get('timers', name) !== undefined) turn.view.remove('timers', name)
}

export function count(turn: Turn, name: string): void {
  turn.view.put('counters', name, (turn.view.get('counters', name) ?? 0) + 1)
}

/** Tells the caller that waits for it. */
export function answer(turn: Turn, request: string, told: Answer): void {
  turn.effects.push({ kind: 'answer', request, answer: told })
}

/** The next deadline of all, or undefined when nothing waits. */
export function wakeAt(view: View<CoreTables>): number | undefined {
  let next: number | undefined
  for (const [, epochMs] of view.entries('timers')) {
    if (next === undefined || epochMs < next) next = epochMs
  }
  return next
}

/** Deadlines that have passed, earliest first, ties by name. */
export function dueTimers(view: View<CoreTables>, now: number): string[] {
  const due: [string, number][] = []
  for (const [name, epochMs] of view.entries('timers')) {
    if (epochMs <= now) due.push([name, epochMs])
  }
  return due.sort((a, b) => a[1] - b[1] || compareBytes(a[0], b[0])).map(([name]) => name)
}
