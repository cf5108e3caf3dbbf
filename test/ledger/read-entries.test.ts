// Entries read for a search: by place and by number; what a peer says again is no event.

import { readEntries, searchName } from '../../node/ledger/read-entries.ts'
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
