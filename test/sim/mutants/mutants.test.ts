// The simulator can fail: planted bugs are found. A few of them here, by seeds that are known to
// find them, or by the first ones; all of them by `node test/sim/mutants/main.ts`. Every change
// still fits the sources.
// time limit: 300 s

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { assert, suite } from '../../harness.ts'
import { hunt } from './hunt.ts'
import { edited, mutants } from './planted.ts'

const t = suite('planted bugs')

const root = join(import.meta.dirname, '..', '..', '..')
/** Found by one short run each. */
const quick = [
  'send-before-sync', 'pay-twice', 'renew-a-lapsed-lease', 'lease-from-the-answer',
  'an-old-go-counts', 'keep-the-rest',
]

t('there are at least twelve, each with a name of its own', () => {
  assert.ok(mutants.length >= 12)
  assert.equal(new Set(mutants.map(({ name }) => name)).size, mutants.length)
  for (const name of quick) assert.ok(mutants.some((mutant) => mutant.name === name), name)
})

for (const { name, edits } of mutants) {
  t(`${name} fits the sources`, () => {
    for (const edit of edits) {
      const source = readFileSync(join(root, edit.file), 'utf8')
      assert.ok(edited(source, edit) !== source)
    }
  })
}

t('a change that does not fit is an error', () => {
  const edit = { file: 'a.ts', find: 'here', replace: 'there' }
  assert.throws(() => edited('here and here', edit), /a\.ts has 2 times, not once: here/)
  assert.throws(() => edited('gone', edit), /a\.ts has 0 times, not once: here/)
})

for (const mutant of mutants.filter(({ name }) => quick.includes(name))) {
  t(`${mutant.name} is found`, async () => {
    const first = Array.from({ length: mutant.within }, (_, at) => at + 1)
    const { found } = await hunt(mutant, [...new Set([mutant.seed, ...first])])
    assert.ok(found, `${mutant.says}: no seed to ${mutant.within} has noticed`)
  }, { timeoutSeconds: 200 })
}
