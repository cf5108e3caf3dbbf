// Reads for a site that has lost a part of its ledger what ours holds of it.

import type { Tables } from '../../protocol/base/tables.ts'
import type { Effect } from '../../protocol/machine/effects.ts'
import type { Reading } from '../../protocol/machine/history.ts'
import { historyFor } from '../../protocol/machine/history.ts'
import type { MessageOf } from '../../protocol/machine/messages.ts'
import { viewOf } from '../local/tables.ts'
import type { Store } from '../store/level.ts'

export async function historyMessage(
  store: Pick<Store, 'get'>, tables: Tables, asked: Extract<Effect, { kind: 'tellHistory' }>,
): Promise<MessageOf<'history'>> {
  return read(historyFor(viewOf(tables), asked), store)
}

async function read<T>(reading: Reading<T>, store: Pick<Store, 'get'>): Promise<T> {
  let next = reading.next()
  while (next.done !== true) next = reading.next(await store.get(next.value.table, next.value.key))
  return next.value
}
