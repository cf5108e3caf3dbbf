// Shares of waiting tasks: compared with giving out one task after the other to the slot that would
// have done it first.

import fc from 'fast-check'
import type { Lanes } from '../../protocol/rules/late-binding.ts'
import { lanesOf, sharesOf } from '../../protocol/rules/late-binding.ts'
import { assert, suite } from '../harness.ts'

const t = suite('late binding')

/** One task after the other where it ends first; when the last of them ends. */
function lastEnd(waiting: number, hosts: readonly Lanes[]): number {
  const slots = hosts.flatMap(({ taskMs, freeMs }) => freeMs.map((free) => ({ taskMs, free })))
  let last = 0
  for (let task = 0; task < waiting; task++) {
    const best = slots.reduce((a, b) => (a.free + a.taskMs <= b.free + b.taskMs ? a : b))
    best.free += best.taskMs
    last = Math.max(last, best.free)
  }
  return last
}

const lanes = fc.record({
  taskMs: fc.integer({ min: 1, max: 50 }),
  freeMs: fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 1, maxLength: 5 }),
})

t('AWARD-5: what would end by the time at which all could have ended, for each host', () => {
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 40 }), fc.array(lanes, { minLength: 1, maxLength: 4 }),
    (waiting, hosts) => {
      const end = lastEnd(waiting, hosts)
      const by = (timeMs: number): number[] => hosts.map(({ taskMs, freeMs }) => freeMs.reduce(
        (sum, free) => sum + Math.max(0, Math.floor((timeMs - free) / taskMs)), 0))
      assert.equal(sharesOf(waiting, hosts), by(end).map((count) => Math.min(waiting, count)))
      const before = by(end - 1).reduce((sum, count) => sum + count, 0)
      assert.ok(before < waiting, 'a moment earlier it would not be all')
    },
  ))
})

t('a slow host gets nothing that a fast one ends before it', () => {
  const fast = { taskMs: 600, freeMs: Array<number>(64).fill(0) }
  const slow = { taskMs: 800, freeMs: Array<number>(36).fill(0) }
  assert.equal(sharesOf(44, [fast, slow]), [44, 0])
  assert.equal(sharesOf(80, [fast, slow]), [64, 36])
  assert.equal(sharesOf(1_500, [fast, slow]), [1_088, 432])
})

t('without hosts or tasks there are no shares, and no number is too large', () => {
  assert.equal(sharesOf(5, []), [])
  assert.equal(sharesOf(0, [{ taskMs: 1, freeMs: [0] }]), [0])
  const far = { taskMs: Number.MAX_SAFE_INTEGER, freeMs: [Number.MAX_SAFE_INTEGER] }
  assert.equal(sharesOf(100_000, [far, { taskMs: 1_000, freeMs: [0] }]), [0, 100_000])
})

t('a slot is free when what runs and what waits there is done', () => {
  const taskMs = 100
  assert.equal(lanesOf({ slots: 2, ranMs: [30], queued: 0, taskMs }).freeMs, [0, 70])
  assert.equal(lanesOf({ slots: 2, ranMs: [30], queued: 3, taskMs }).freeMs, [200, 170])
  assert.equal(lanesOf({ slots: 0, ranMs: [], queued: 1, taskMs }).freeMs, [100])
})

t('more may run than was promised; what is overdue is no slot more', () => {
  const taskMs = 100
  const three = lanesOf({ slots: 1, ranMs: [10, 20, 30], queued: 0, taskMs })
  assert.equal(three.freeMs, [70, 80, 90])
  const ending = lanesOf({ slots: 2, ranMs: [101, 102, 5, 6], queued: 0, taskMs })
  assert.equal(ending.freeMs, [94, 95])
  assert.equal(lanesOf({ slots: 1, ranMs: [250], queued: 0, taskMs }).freeMs, [150])
})
