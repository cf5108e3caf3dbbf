// Which tasks start: by hand for the rules, then against the promise itself on random queues.

import { startable } from '../../node/scheduler/backfill.ts'
import type { QueueEntry, RunningTask } from '../../node/scheduler/backfill.ts'
import fc from 'fast-check'
import { assert, suite } from '../harness.ts'

const t = suite('backfill')

const entry = (cores: number, walltimeMs: number, count = 1): QueueEntry =>
  ({ cores, memoryBytes: cores, walltimeMs, count })
const busy = (cores: number, endsEpochMs: number): RunningTask =>
  ({ cores, memoryBytes: cores, endsEpochMs })

function starts(
  total: number,
  running: readonly RunningTask[],
  queue: readonly QueueEntry[],
): number[] {
  const used = running.reduce((sum, task) => sum + task.cores, 0)
  const free = { cores: total - used, memoryBytes: total - used }
  return startable({ free, running: () => running, queue, nowEpochMs: 0 })
}

t('starts in order what fits', () => {
  assert.equal(starts(8, [], [entry(1, 10, 3), entry(2, 10, 2), entry(1, 10)]), [3, 2, 1])
  assert.equal(starts(4, [], [entry(1, 10, 9)]), [4])
})

t('lets a short task pass one that waits', () => {
  assert.equal(starts(8, [busy(6, 100)], [entry(8, 50), entry(2, 100)]), [0, 1])
})

t('lets no long task pass into the cores that the first one waits for', () => {
  assert.equal(starts(8, [busy(6, 100)], [entry(8, 50), entry(2, 101)]), [0, 0])
})

t('lets a long task pass on cores that the first one will not need', () => {
  assert.equal(starts(8, [busy(5, 100)], [entry(4, 50), entry(1, 9_999, 9)]), [0, 3])
  assert.equal(starts(8, [busy(5, 100)], [entry(6, 50), entry(1, 9_999, 9)]), [0, 2])
})

t('counts memory as it counts cores', () => {
  const free = { cores: 8, memoryBytes: 10 }
  const queue = [{ cores: 1, memoryBytes: 4, walltimeMs: 1, count: 9 }]
  assert.equal(startable({ free, running: () => [], queue, nowEpochMs: 0 }), [2])
})

/** When the first entry could start if nothing else ever did. */
function promised(total: number, running: readonly RunningTask[], first: QueueEntry): number {
  let free = total - running.reduce((sum, task) => sum + task.cores, 0)
  if (free >= first.cores) return 0
  for (const task of running.toSorted((a, b) => a.endsEpochMs - b.endsEpochMs)) {
    free += task.cores
    if (free >= first.cores) return task.endsEpochMs
  }
  return Infinity
}

t('never puts off the first one that waits, and never takes more than there is', () => {
  const total = 8
  const cores = fc.integer({ min: 1, max: total })
  const time = fc.integer({ min: 1, max: 100 })
  const entries = fc.array(fc.tuple(cores, time, fc.integer({ min: 1, max: 3 })), {
    minLength: 1, maxLength: 6,
  })
  const holdings = fc.array(fc.tuple(cores, time), { maxLength: 6 })
  fc.assert(fc.property(holdings, entries, (held, asked) => {
    const running: RunningTask[] = []
    let used = 0
    for (const [count, ends] of held) {
      if (used + count > total) continue
      used += count
      running.push(busy(count, ends))
    }
    const queue = asked.map(([count, walltimeMs, tasks]) => entry(count, walltimeMs, tasks))
    const counts = starts(total, running, queue)
    const begun = (from: number, to: number): RunningTask[] =>
      queue.slice(from, to).flatMap((one, i) =>
        Array.from({ length: counts[from + i] ?? 0 }, () => busy(one.cores, one.walltimeMs)))
    const all = [...running, ...begun(0, queue.length)]
    assert.ok(all.reduce((sum, task) => sum + task.cores, 0) <= total, 'within what there is')
    const waits = queue.findIndex((one, i) => (counts[i] ?? 0) < one.count)
    const first = queue[waits]
    if (!first) return
    const before = promised(total, [...running, ...begun(0, waits + 1)], first)
    assert.ok(promised(total, all, first) <= before, 'the first that waits starts no later')
  }))
})
