// The node's own log as a stream of its entries, exactly as they were signed: what commands read
// that go through all of it.
// Invariants: it ends at the head of the moment when it was asked for; memory is that of a page,
// whatever the size of the log and the pace of the reader.

import { entryKey } from '../../protocol/rules/ledger-book.ts'
import type { LedgerNote } from '../http/api.ts'
import type { Store } from '../store/level.ts'

const pageEntries = 256

/** Entries `from` ≤ index < `size`; throws when one is missing or the signal fires. */
export async function* ledgerNotes(
  store: Pick<Store, 'range'>,
  { from, size }: { readonly from: number; readonly size: number },
  signal: AbortSignal,
): AsyncIterable<LedgerNote> {
  for (let first = from; first < size; first += pageEntries) {
    signal.throwIfAborted()
    const end = Math.min(first + pageEntries, size)
    const page: LedgerNote[] = []
    for await (const [key, note] of store.range('ledgerEntries', entryKey(first), entryKey(end))) {
      if (typeof note === 'string') page.push({ index: Number(key), note })
    }
    if (page.length < end - first) {
      throw new Error(`the database lacks an entry of the ledger between ${first} and ${end}`)
    }
    yield* page
  }
}
