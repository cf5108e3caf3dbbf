// Chance: as many bytes as asked for, and jitter within its spread.

import { entropy } from '../../node/entropy.ts'
import { assert, suite } from '../harness.ts'

const t = suite('entropy')

t('random bytes are as many as asked for, and not the same twice', () => {
  assert.equal(entropy.randomBytes(0).byteLength, 0)
  assert.equal(entropy.randomBytes(32).byteLength, 32)
  const [one, two] = [entropy.randomBytes(32), entropy.randomBytes(32)]
  assert.ok(Buffer.compare(one, two) !== 0)
})

t('jitter stays within its spread and does spread', () => {
  const seen = new Set<number>()
  for (let index = 0; index < 1_000; index += 1) {
    const waitMs = entropy.jitter(1_000, 250)
    assert.ok(Number.isSafeInteger(waitMs) && waitMs >= 750 && waitMs <= 1_250, `${waitMs}`)
    seen.add(waitMs)
  }
  assert.ok(seen.size > 50)
  assert.equal(entropy.jitter(0), 0)
  assert.equal(entropy.jitter(1), 1)
})
