// The wait that a host states for a queue slot: small queues by hand, then many drawn ones against
// a second version that looks at every second.

import { assert, suite } from '../harness.ts'
import type { HostQueue } from '../../protocol/rules/queue-wait.ts'
import { secondsUntilStart } from '../../protocol/rules/queue-wait.ts'
import { random } from '../sim/random.ts'

const t = suite('the wait in a queue')

interface Task { readonly cores: number; readonly seconds: number }

function waitOf(
  free: number, { running, waiting }: { running: readonly Task[]; waiting: readonly Task[] },
  { cores, seconds }: Task,
): number {
  const queue: HostQueue = {
    free: { cores: free, memoryMib: 1_000 },
    running: running.map((one) => ({ cores: one.cores, memoryMib: 1, secondsLeft: one.seconds })),
    waiting: waiting.map((one) =>
      ({ cores: one.cores, memoryMib: 1, count: 1, walltimeSeconds: one.seconds })),
    coresTotal: free + running.reduce((sum, one) => sum + one.cores, 0),
  }
  return secondsUntilStart(queue, { cores, memoryMib: 1, walltimeSeconds: seconds })
}

t('[BID-11] what fits starts at once, what does not waits for as much as it needs', () => {
  const running = [{ cores: 2, seconds: 10 }, { cores: 2, seconds: 30 }]
  assert.equal(waitOf(1, { running, waiting: [] }, { cores: 1, seconds: 99 }), 0)
  assert.equal(waitOf(1, { running, waiting: [] }, { cores: 3, seconds: 99 }), 10)
  assert.equal(waitOf(1, { running, waiting: [] }, { cores: 4, seconds: 99 }), 30)
})

t('[BID-11] a short one slips in before a wide one that waits, a long one does not', () => {
  const state = { running: [{ cores: 3, seconds: 50 }], waiting: [{ cores: 4, seconds: 20 }] }
  assert.equal(waitOf(1, state, { cores: 1, seconds: 50 }), 0)
  assert.equal(waitOf(1, state, { cores: 1, seconds: 51 }), 70)
})

t('what never comes free as far as we know counts as late, and never breaks a bound', () => {
  const queue: HostQueue = {
    free: { cores: -3, memoryMib: 0 }, running: [{ cores: 2, memoryMib: 5, secondsLeft: 40 }],
    waiting: [], coresTotal: 8,
  }
  const task = { cores: 1, memoryMib: 1, walltimeSeconds: 60 }
  assert.equal(secondsUntilStart(queue, task), 100)
  const waiting = [{ cores: 8, memoryMib: 1, count: 100_000, walltimeSeconds: 31_622_400 }]
  assert.equal(secondsUntilStart({ ...queue, free: { cores: 8, memoryMib: 9 }, waiting }, task),
    10 ** 9)
})

/** Every second has its free cores; each task takes the first stretch that has enough. */
function slowWait(
  free: number, { running, waiting }: { running: readonly Task[]; waiting: readonly Task[] },
  task: Task,
): number {
  const seconds = Array.from({ length: 400 }, (_, at) => running.reduce(
    (sum, one) => sum + (one.seconds <= at ? one.cores : 0), free))
  const begin = ({ cores, seconds: length }: Task): number => {
    for (let at = 0; ; at++) {
      if (seconds.slice(at, at + length).every((left) => left >= cores)) return at
    }
  }
  for (const one of waiting) {
    const at = begin(one)
    for (let second = at; second < at + one.seconds; second++) seconds[second]! -= one.cores
  }
  return begin(task)
}

t('[BID-11] as a second version that looks at every second has it', () => {
  for (let seed = 0; seed < 300; seed++) {
    const chance = random(seed, 'queue')
    const draw = (most: number): Task[] => Array.from({ length: chance.int(most) }, () =>
      ({ cores: chance.between(1, 3), seconds: chance.between(1, 12) }))
    const [free, state] = [chance.int(3), { running: draw(6), waiting: draw(8) }]
    const total = free + state.running.reduce((sum, { cores }) => sum + cores, 0)
    if (total < 3) continue
    const task = { cores: chance.between(1, 3), seconds: chance.between(1, 12) }
    assert.equal(waitOf(free, state, task), slowWait(free, state, task), `seed ${seed}`)
  }
})
