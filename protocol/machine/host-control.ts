// Orders of a home for tasks of a tranche, at its host: taken in by number, done one after the
// other once the scheduler has the tranche, answered with what was refused.
//
// [CONTROL-3] An order is recorded as begun before it is done. After a crash in between it is done
//   again, but a signal: whether that arrived is then unknown, and said so.
// [CONTROL-4] A scheduler that does not answer is asked again after 2 s to 60 s while tasks of the
//   tranche are open; a signal is not sent again.

import { clip } from '../base/clip.ts'
import type { SiteName, TrancheId } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { Ranges } from '../base/ranges.ts'
import { addRanges, emptyRanges, parseRanges } from '../base/ranges.ts'
import type { EventOf } from './events.ts'
import { retryMsMin } from './host-book.ts'
import type { HostOrders } from './job-orders.ts'
import { ordersOpenMax } from './job-orders.ts'
import type { MessageOf } from './messages.ts'
import type { HostTranche } from './state.ts'
import type { Turn } from './turn.ts'
import { count, send, setTimer } from './turn.ts'

const retryMsMax = 60_000

const noneYet: HostOrders = {
  last: 0, through: 0, open: [], begun: false, tries: 0, refused: [], requeued: emptyRanges,
}

/** [CONTROL-1] */
export function onControl(
  turn: Turn, from: SiteName, { tranche: id, orders }: MessageOf<'control'>,
): void {
  const tranche = turn.view.get('hostTranches', id)
  // Its hold may still be on its way; a tranche that is over the home drops by itself.
  if (!tranche || tranche.home !== from) return count(turn, 'control_unknown')
  const known = turn.view.get('hostOrders', id) ?? noneYet
  let [last, open] = [known.last, known.open]
  for (const one of orders) {
    const fits = parseRanges(one.tasks, { last: limits.taskNumberMax })
    // A gap is what was answered before a disk here was put back.
    if (one.n <= last || !fits || open.length >= ordersOpenMax) continue
    last = one.n
    open = [...open, one]
  }
  turn.view.put('hostOrders', id, { ...known, last, open })
  if (last === known.last) answerOrders(turn, tranche)
  doOrders(turn, id)
}

function answerOrders(turn: Turn, { id, home }: HostTranche): void {
  const { through, refused } = turn.view.get('hostOrders', id) ?? noneYet
  send(turn, home, { kind: 'controlled', tranche: id, through, refused })
}

/** The next thing to do for the orders of a tranche; doing it again changes nothing. */
export function doOrders(turn: Turn, id: TrancheId): void {
  const tranche = turn.view.get('hostTranches', id)
  const orders = turn.view.get('hostOrders', id)
  const next = orders?.open[0]
  // What failed waits for its time, whoever asks meanwhile.
  const isEarly = (turn.view.get('timers', `order/${id}`) ?? 0) > turn.now
  if (!tranche || !orders || !next || orders.begun || isEarly) return
  const { phase } = tranche
  if (phase === 'waiting' || phase === 'staging' || phase === 'submitting') return
  if (phase !== 'running') {
    // Whatever it is, the tasks have ended.
    turn.view.put('hostOrders', id, { ...orders, open: [], through: orders.last })
    setTimer(turn, `order/${id}`, undefined)
    return answerOrders(turn, tranche)
  }
  const tasks = parseRanges(next.tasks, { last: limits.taskNumberMax }) ?? emptyRanges
  const requeued = next.verb === 'requeue' ? addRanges(orders.requeued, tasks) : orders.requeued
  turn.view.put('hostOrders', id, { ...orders, begun: true, requeued })
  turn.effects.push({ kind: 'controlTranche', tranche: id, n: next.n })
}

export function onOrderDone(turn: Turn, event: EventOf<'orderDone'>): void {
  const { tranche: id, n, words } = event
  const orders = turn.view.get('hostOrders', id)
  const tranche = turn.view.get('hostTranches', id)
  if (!orders || !tranche || !orders.begun || orders.open[0]?.n !== n) return
  const refused = words === '' ? orders.refused
    : [...orders.refused, { n, words: clip(words, 500) }].slice(-ordersOpenMax)
  const open = orders.open.slice(1)
  turn.view.put('hostOrders', id, {
    ...orders, refused, open, through: n, begun: false, tries: 0,
  })
  setTimer(turn, `order/${id}`, undefined)
  answerOrders(turn, tranche)
  doOrders(turn, id)
}

/** [CONTROL-4] */
export function onOrderFailed(turn: Turn, event: EventOf<'orderFailed'>): void {
  const { tranche: id, n, detail } = event
  const orders = turn.view.get('hostOrders', id)
  const first = orders?.open[0]
  if (!orders || !orders.begun || first?.n !== n) return
  count(turn, 'orders_failed')
  if (first.verb === 'signal') return unknownSignal(turn, id, n, detail)
  const wait = Math.min(retryMsMax, retryMsMin * 2 ** Math.min(10, orders.tries))
  turn.view.put('hostOrders', id, { ...orders, begun: false, tries: orders.tries + 1 })
  setTimer(turn, `order/${id}`, turn.now + wait)
}

function unknownSignal(turn: Turn, tranche: TrancheId, n: number, why: string): void {
  const words = `unknown whether the signal arrived, and it is not sent twice: ${why}`
  onOrderDone(turn, { kind: 'orderDone', at: turn.now, tranche, n, words })
}

/** [CONTROL-3] */
export function resumeOrders(turn: Turn, id: TrancheId): void {
  const orders = turn.view.get('hostOrders', id)
  const first = orders?.open[0]
  if (!orders || !first || !orders.begun) return
  if (first.verb === 'signal') return unknownSignal(turn, id, first.n, 'the node was restarted')
  turn.view.put('hostOrders', id, { ...orders, begun: false })
  doOrders(turn, id)
}

export function forgetOrders(turn: Turn, id: TrancheId): void {
  if (turn.view.get('hostOrders', id)) turn.view.remove('hostOrders', id)
  setTimer(turn, `order/${id}`, undefined)
}

/** Tasks whose end, if it is ours, is their owner's wish to place them again. */
export function requeuedIn(turn: Turn, id: TrancheId): Ranges {
  return turn.view.get('hostOrders', id)?.requeued ?? emptyRanges
}
