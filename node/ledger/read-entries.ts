// Entries of our own log that may prove a lie together with what a peer has just said.

import { sha256Hex } from '../../protocol/base/crypto.ts'
import type { Effect } from '../../protocol/machine/effects.ts'
import type { EventOf } from '../../protocol/machine/events.ts'
import { entryKey } from '../../protocol/rules/ledger-book.ts'
import type { Store } from '../store/level.ts'

type ReadEntries = Extract<Effect, { readonly kind: 'readEntries' }>

/** One search at a time for the same thing: a peer that says it again waits for the first. */
export function searchName({ search, entries }: ReadEntries): string {
  return `search ${sha256Hex(JSON.stringify([search.proof, entries]))}`
}

/**
 * What the entries are, as the event that says so; undefined when the peer has only said again what
 * the log has. Throws a StoreError: CORRUPT, STORE_FAILED.
 */
export async function readEntries(
  store: Pick<Store, 'get'>, { search, entries }: ReadEntries,
): Promise<Omit<EventOf<'entriesRead'>, 'at'> | undefined> {
  const notes: string[] = []
  for (const name of entries) {
    const index = 'index' in name ? name.index : await store.get('ledgerNumbers', name.number)
    const note = typeof index === 'number'
      ? await store.get('ledgerEntries', entryKey(index)) : undefined
    notes.push(typeof note === 'string' ? note : '')
  }
  return notes[0] === search.note ? undefined : { kind: 'entriesRead', search, notes }
}
