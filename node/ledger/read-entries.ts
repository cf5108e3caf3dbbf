// Entries of our own log that may prove a lie together with what a peer has just said, and receipts
// that may contradict one another.

import { sha256Hex } from '../../protocol/base/crypto.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import type { Effect, Included } from '../../protocol/machine/effects.ts'
import type { EventOf } from '../../protocol/machine/events.ts'
import type { KeptReceipt } from '../../protocol/machine/log-records.ts'
import { entryKey, numberKey } from '../../protocol/rules/ledger-book.ts'
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

/** Two receipts that put two statements of `site` at one place of another log, if there are. */
export async function readPlaces(
  store: Pick<Store, 'get' | 'range'>, site: SiteName, places: readonly string[],
): Promise<Omit<EventOf<'placeTaken'>, 'at'>[]> {
  const found: Omit<EventOf<'placeTaken'>, 'at'>[] = []
  for (const place of new Set(places)) {
    const there: Included[] = []
    // '0' is the character after '/'.
    for await (const [key] of store.range('receiptPlaces', `${place}/`, `${place}0`)) {
      const sid = key.slice(place.length + 1)
      const kept = await store.get('receipts', sid) as KeptReceipt | undefined
      const number = kept && numberKey(site, kept.peer, kept)
      const index = number && await store.get('ledgerNumbers', number)
      const leaf = typeof index === 'number'
        ? await store.get('ledgerEntries', entryKey(index)) : undefined
      if (kept && typeof leaf === 'string') there.push({ leaf, proof: kept.proof })
      if (there.length === 2) break
    }
    const [first, second] = there
    if (first && second) found.push({ kind: 'placeTaken', first, second })
  }
  return found
}
