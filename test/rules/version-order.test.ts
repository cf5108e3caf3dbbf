// The order of versions: a total order in which numbers count as numbers.

import fc from 'fast-check'
import { compareVersions } from '../../protocol/rules/version-order.ts'
import { assert, suite } from '../harness.ts'

const t = suite('version order')

t('versions of the world stand in their order', () => {
  for (const row of [
    ['2.6.4', '2.6.5', '2.6.32', '2.10', '3.0', '4.18.0-477.el8', '5.4', '5.10.0-23-amd64', '6.1'],
    ['1.0~rc1', '1.0~rc2', '1.0', '1.0.1', '1.1'],
    ['9', '9.1', '10', '12.2', '12.2.0'],
    ['', 'alpha', 'beta', 'beta2', 'beta10'],
    ['debian-9', 'debian-11', 'debian-12', 'ubuntu-8', 'ubuntu-22'],
  ]) {
    for (let i = 0; i < row.length; i++) {
      for (let j = 0; j < row.length; j++) {
        const order = Math.sign(compareVersions(row[i]!, row[j]!))
        assert.equal([row[i], row[j], order], [row[i], row[j], Math.sign(i - j)])
      }
    }
  }
  assert.equal(compareVersions('1.02', '1.2'), 0)
})

t('it is a total order', () => {
  const text = fc.stringMatching(/^[0-9a.~-]{0,8}$/)
  fc.assert(fc.property(text, text, text, (a, b, c) => {
    assert.equal(Math.sign(compareVersions(a, b)), -Math.sign(compareVersions(b, a)) + 0)
    if (compareVersions(a, b) <= 0 && compareVersions(b, c) <= 0) {
      assert.ok(compareVersions(a, c) <= 0, `${a} ${b} ${c}`)
    }
  }), { numRuns: 2_000 })
})
