// What a log tells a site that has lost a part of its own: the statements between the two, in the
// order of their numbers, and public statements that those refer to. The log is not in memory, so
// this says what it wants to read and is given it: at once in the simulator, later in a node.
// Invariant: an answer has at most `statementsPerMessage` of each kind, and says what was left.

import type { SiteName } from '../base/ids.ts'
import { compareBytes } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { View } from '../base/tables.ts'
import { entryKey, numberKey, openHead } from '../rules/ledger-book.ts'
import { directionOf } from '../rules/ledger-pairs.ts'
import type { Effect } from './effects.ts'
import type { MessageOf } from './messages.ts'
import type { CoreTables } from './state.ts'

type Asked = Extract<Effect, { readonly kind: 'tellHistory' }>

export interface Wanted {
  readonly table: 'ledgerNumbers' | 'ledgerEntries'
  readonly key: string
}

export type Reading<T> = Generator<Wanted, T, unknown>

/** Yields what is to be read of the log; undefined stands for what is not there. */
export function* historyFor(
  view: View<CoreTables>, { to, issued, received, cursor }: Asked,
): Reading<MessageOf<'history'>> {
  const { site } = openHead(view)
  const own = issued ? yield* sequenceAfter(view, to, site, issued) : untold
  const ours = yield* sequenceAfter(view, site, to, received)
  const keys = publicKeys(view, to).filter((key) => compareBytes(key, cursor) > 0)
  const page = keys.slice(0, limits.statementsPerMessage)
  const publics: string[] = []
  for (const key of page) {
    const note = yield* noteAt(key)
    if (note !== undefined && note !== 'pruned') publics.push(note)
  }
  return {
    kind: 'history',
    issued: own.notes,
    issued_end: own.isEnd ? 1 : 0,
    received: ours.notes,
    received_end: ours.isEnd ? 1 : 0,
    publics,
    publics_end: page.length === keys.length ? 1 : 0,
    pruned: own.isPruned || ours.isPruned ? 1 : 0,
    cursor: page.at(-1) ?? cursor,
  }
}

const untold = { notes: [], isEnd: false, isPruned: false }

function* sequenceAfter(
  view: View<CoreTables>,
  from: SiteName,
  to: SiteName,
  after: { readonly e: number; readonly n: number },
): Reading<{ readonly notes: string[]; readonly isEnd: boolean; readonly isPruned: boolean }> {
  const last = directionOf(view, from, to)
  const notes: string[] = []
  let { e, n } = after
  while (e < last.e || (e === last.e && n < last.n)) {
    if (notes.length === limits.statementsPerMessage) {
      return { notes, isEnd: false, isPruned: false }
    }
    const note = yield* noteAt(numberKey(from, to, { e, n: n + 1 }))
    if (note === 'pruned') return { notes, isEnd: false, isPruned: true }
    // An epoch may have ended without a word to this site.
    if (note === undefined) [e, n] = [e + 1, 0]
    else {
      notes.push(note)
      n++
    }
  }
  return { notes, isEnd: true, isPruned: false }
}

/** `pruned`: it was there once, and was dropped. */
function* noteAt(key: string): Reading<string | undefined> {
  const index = yield { table: 'ledgerNumbers', key }
  if (typeof index !== 'number') return undefined
  const note = yield { table: 'ledgerEntries', key: entryKey(index) }
  return typeof note === 'string' ? note : 'pruned'
}

/** All that `to` said to everybody, and everybody's tariffs: contracts name them. */
function publicKeys(view: View<CoreTables>, to: SiteName): string[] {
  const keys: string[] = []
  for (const [key, { sid }] of view.entries('ledgerPublics')) {
    if (key.startsWith(`${to}>*#`) || view.get('ledgerTariffs', sid)) keys.push(key)
  }
  return keys.sort(compareBytes)
}

/** Reads at once. */
export function readNow<T>(reading: Reading<T>, get: (wanted: Wanted) => unknown): T {
  let next = reading.next()
  while (next.done !== true) next = reading.next(get(next.value))
  return next.value
}
