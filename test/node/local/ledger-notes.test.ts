// The log as a stream: whole, in order, a page at a time, and never past its head.

import { assert, suite } from '../../harness.ts'
import { ledgerNotes } from '../../../node/local/ledger-notes.ts'
import type { Store } from '../../../node/store/level.ts'
import { entryKey } from '../../../protocol/rules/ledger-book.ts'

const t = suite('ledger notes')

/** A store with `size` entries; keeps what it was asked for. */
function storeOf(size: number): Pick<Store, 'range'> & { readonly asked: string[] } {
  const asked: string[] = []
  return {
    asked,
    async* range(table, from, to) {
      asked.push(`${table} ${Number(from)} ${Number(to)}`)
      for (let at = Number(from); at < Math.min(Number(to), size); at++) {
        yield [entryKey(at), `note ${at}`] as const
      }
    },
  }
}

async function indexes(
  store: Pick<Store, 'range'>, from: number, size: number, signal = new AbortController().signal,
): Promise<number[]> {
  const found: number[] = []
  for await (const { index, note } of ledgerNotes(store, { from, size }, signal)) {
    assert.equal(note, `note ${index}`)
    found.push(index)
  }
  return found
}

t('all entries come, in pages, up to the head and no further', async () => {
  const store = storeOf(1_000)
  assert.equal(await indexes(store, 0, 600), Array.from({ length: 600 }, (_, at) => at))
  const asked = ['0 256', '256 512', '512 600'].map((range) => `ledgerEntries ${range}`)
  assert.equal(store.asked, asked)
  assert.equal(await indexes(store, 598, 600), [598, 599])
  assert.equal(await indexes(store, 600, 600), [])
  assert.equal(await indexes(storeOf(0), 0, 0), [])
})

t('a page is read only when the one before is taken', async () => {
  const store = storeOf(1_000)
  for await (const { index } of ledgerNotes(store, { from: 0, size: 1_000 },
    new AbortController().signal)) {
    if (index === 255) break
  }
  assert.equal(store.asked.length, 1)
})

t('a missing entry is an error, and so is a reader that has gone', async () => {
  await assert.rejects(indexes(storeOf(300), 0, 400), /lacks an entry of the ledger between 256/)
  const stop = new AbortController()
  stop.abort(new Error('gone'))
  await assert.rejects(indexes(storeOf(300), 0, 300, stop.signal), /gone/)
})
