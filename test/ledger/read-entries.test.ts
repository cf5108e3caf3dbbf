// Entries read for a search: by place and by number; what a peer says again is no event.

import { readEntries, readPlaces, searchName } from '../../node/ledger/read-entries.ts'
import { placeKey } from '../../protocol/machine/log-records.ts'
import { numberKey } from '../../protocol/rules/ledger-book.ts'
import { assert, suite } from '../harness.ts'
import { readingStore } from '../rules/ledger-exports.ts'
import { credits, federation, start, tell } from '../rules/ledger-sites.ts'

const t = suite('entries read for a search')

t('reads entries by place and number, and says what is not there', async () => {
  const [home, host] = federation('home.example', 'host.example')
  const { note, index } = tell(host!, home!, {
    kind: 'credit', to: home!.name, at: start, limit: credits(5),
  })
  const number = numberKey(host!.name, home!.name, { e: 1, n: 1 })
  const none = numberKey(host!.name, home!.name, { e: 1, n: 2 })
  const search = { proof: 'double_number', note: 'another' } as const
  const effect = {
    kind: 'readEntries', search, entries: [{ number }, { index }, { number: none }],
  } as const
  assert.equal(await readEntries(readingStore(host!), effect), {
    kind: 'entriesRead', search, notes: [note, note, ''],
  })
  const again = { ...effect, search: { ...search, note } }
  assert.equal(await readEntries(readingStore(host!), again), undefined)
  assert.equal(searchName(effect), searchName(again))
  assert.ok(searchName(effect) !== searchName({ ...effect, entries: [{ index }] }))
})

t('finds two receipts for one place, and nothing where there is one', async () => {
  const [home, host] = federation('home.example', 'host.example')
  const notes = [5, 6].map((limit) => tell(home!, host!, {
    kind: 'credit', to: host!.name, at: start, limit: credits(limit),
  }))
  const keep = (table: string, key: string, value: unknown): void => {
    if (!home!.tables.has(table)) home!.tables.set(table, new Map())
    home!.tables.get(table)!.set(key, value)
  }
  const place = placeKey('origin/e1', 7)
  const find = (): ReturnType<typeof readPlaces> =>
    readPlaces(readingStore(home!), home!.name, [place, place])
  for (const [at, { sid }] of notes.entries()) {
    assert.equal(await find(), [])
    keep('receipts', sid, { peer: host!.name, e: 1, n: at + 1, index: 7, proof: `proof ${at}` })
    keep('receiptPlaces', `${placeKey('origin/e1', 70)}/${sid}`, 1)
    keep('receiptPlaces', `${place}/${sid}`, 1)
  }
  const found = (await find()).flatMap(({ first, second }) => [first, second])
  const expected = notes.map(({ note }, at) => ({ leaf: note, proof: `proof ${at}` }))
  assert.equal(new Set(found.map(({ leaf }) => leaf)), new Set(expected.map(({ leaf }) => leaf)))
  for (const one of expected) assert.ok(found.some(({ proof }) => proof === one.proof))
})
