// What an auction costs must not depend on how many sites there are, nor what a site says while
// there is nothing to do.

import { applyWrites } from '../../protocol/base/tables.ts'
import { encodeJoinAnswer } from '../../protocol/rules/membership.ts'
import { assert, suite } from '../harness.ts'
import { genesisOf, identityOf, join } from './identity.ts'
import { Layered } from './scale/layered.ts'
import { measureScale } from './scale/measure.ts'
import { admitAll, recordsOf } from './scale/members.ts'
import { tableOf } from './scale/table.ts'

const t = suite('scale')
const at = 1_750_000_000_000

t('a layered map is a map', () => {
  const shared = new Map([['a', 1], ['b', 2], ['c', 3]])
  const map = new Layered(shared, ['b', 'nobody'])
  assert.equal([...map], [['a', 1], ['c', 3]])
  map.set('b', 20).set('d', 4).set('a', 10)
  assert.equal([...map.keys()].toSorted(), ['a', 'b', 'c', 'd'])
  assert.equal([map.get('a'), map.get('b'), map.get('c'), map.size], [10, 20, 3, 4])
  assert.equal([map.delete('c'), map.delete('d'), map.delete('e')], [true, true, false])
  assert.equal([map.has('c'), map.has('d'), map.size], [false, false, 2])
  assert.equal([...map.values()].toSorted((a, b) => a - b), [10, 20])
  assert.equal(shared.size, 3)
})

t('members that are made together have the records of those who join', () => {
  const identities = [0, 1, 2, 3].map(identityOf)
  const made = admitAll(identities, at)
  const newcomer = identities[2]!
  const told = [...made.tables.get('members')!.values()].map((member) => {
    const { genesis, policy, addresses } = member as
      { readonly genesis: string; readonly policy: string; readonly addresses: readonly string[] }
    return { genesis, policy, addresses, renewals: [] }
  })
  const federation = made.tables.get('federationNote')!.get('own') as string
  const encoded = encodeJoinAnswer({ federation, members: told })
  const joined = new Map<string, Map<string, unknown>>()
  const genesis = genesisOf(newcomer, made.federation, at)
  applyWrites(joined, join(newcomer, genesis, encoded), new Set())
  const records = recordsOf(made, newcomer.site, at)
  const ordered = ['ledgerEntries', 'ledgerNumbers', 'ledgerNodes', 'ledgerHead']
  for (const [table, rows] of joined) {
    if (ordered.includes(table)) continue
    const sorted = (map: Iterable<readonly [string, unknown]>): unknown =>
      [...map].toSorted(([a], [b]) => a < b ? -1 : 1)
    assert.equal(sorted(records.get(table)!), sorted(rows), table)
  }
  assert.equal([...records.keys()].toSorted(), [...joined.keys()].toSorted())
})

t('an auction costs as much among 100 sites as among 10', () => {
  const options = { seed: 1, jobs: 12, busyMs: 0 }
  const [ten, hundred] = [measureScale(10, options), measureScale(100, options)]
  for (const group of ['auction', 'award', 'run', 'receipts'] as const) {
    const [few, many] = [ten.perJob[group], hundred.perJob[group]]
    const told = `${group}: ${JSON.stringify(few)} and ${JSON.stringify(many)}`
    assert.ok(many.messages < 1.2 * few.messages + 2, told)
    assert.ok(many.bytes < 1.3 * few.bytes + 500, told)
  }
  assert.ok(hundred.awardMs.mean < 2 * ten.awardMs.mean, `${hundred.awardMs.mean} ms to an award`)
  assert.ok(hundred.idle.directory.bytes < 400, 'a summary speaks of a page')
  assert.ok(hundred.busy.heads.messages < 2, 'few heads are shown')
  assert.ok(hundred.idle.gossip.bytes < 12_000, 'at most two offers a second are published')
  assert.ok(hundred.known > 98.9, 'every site knows the offer of every other')
  assert.equal(tableOf([ten, hundred]).length, 19)
}, { timeoutSeconds: 300 })
