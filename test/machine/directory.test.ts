// The pages of the directory: together they are all sites, and none is longer than a bound.

import type { SiteName } from '../../protocol/base/ids.ts'
import { limits } from '../../protocol/base/limits.ts'
import { draft } from '../../protocol/base/tables.ts'
import { everySite, isOn, membersDigest, pageOf } from '../../protocol/machine/directory.ts'
import type { CoreTables } from '../../protocol/machine/state.ts'
import { assert, suite } from '../harness.ts'

const t = suite('the pages of the directory')

function withMembers(count: number): ReturnType<typeof draft<CoreTables>> {
  const view = draft<CoreTables>(new Map())
  for (let at = 0; at < count; at++) {
    const site = `site-${(at * 7_919) % 10_007}.example` as SiteName
    view.put('members', site, { site, genesis: '', policy: '', addresses: [], renewals: [] })
  }
  return view
}

t('[DIRECTORY-4] few members are one page, whatever its number', () => {
  for (const count of [0, 1, 2, limits.sitesPerPage]) {
    for (const number of [0, 1, 77]) assert.equal(pageOf(withMembers(count), number), everySite)
  }
})

t('[DIRECTORY-4] of many, every name is on one page of each round, and pages are bounded', () => {
  for (const count of [limits.sitesPerPage + 1, 2 * limits.sitesPerPage, 150, 1_000]) {
    const view = withMembers(count)
    const pages = Math.ceil(count / limits.sitesPerPage)
    const names = [...view.entries('members')].map(([site]) => site)
    for (const first of [0, 1, 5 * pages + 1]) {
      const round = Array.from({ length: pages }, (_, at) => pageOf(view, first + at))
      for (const name of [...names, 'a', 'site-5000.exampl', 'zz.example']) {
        assert.equal(round.filter((page) => isOn(page, name)).length, 1, name)
      }
      for (const page of round) {
        assert.ok(names.filter((name) => isOn(page, name)).length <= limits.sitesPerPage)
      }
    }
  }
})

t('the digest of a page is of its members alone', () => {
  const view = withMembers(0)
  const member = (site: string, statement: string): void => view.put('ledgerMembers', site, {
    genesis: 'g', epoch: 1, root: 'r', keys: { statement }, retired: [],
  } as unknown as CoreTables['ledgerMembers'])
  for (const site of ['a.example', 'b.example', 'c.example']) member(site, 'k')
  const page = { after: 'a.example', until: 'b.example' }
  const [before, all] = [membersDigest(view, page), membersDigest(view, everySite)]
  member('c.example', 'other')
  assert.equal(membersDigest(view, page), before)
  assert.ok(membersDigest(view, everySite) !== all)
  member('b.example', 'other')
  assert.ok(membersDigest(view, page) !== before)
})
