// Waiting: sleeps, repeats and deadlines end when they should, and only once.

import { clock } from '../../node/clock.ts'
import { assert, eventually, suite } from '../harness.ts'

const t = suite('clock')

t('a sleep ends by itself, or by its signal with the reason given', async () => {
  const before = clock.monotonicMs()
  await clock.sleep(5)
  // A timer may fire within a millisecond of its time.
  assert.ok(clock.monotonicMs() - before >= 4)
  const stop = new AbortController()
  const sleeping = clock.sleep(3_600_000, stop.signal)
  stop.abort(new Error('woken'))
  await assert.rejects(sleeping, /woken/)
  await assert.rejects(clock.sleep(3_600_000, stop.signal), /woken/)
})

t('what repeats stops when told, and what was stopped never happens', async () => {
  let beats = 0
  let late = false
  const never = clock.after(20, () => (late = true))
  never.stop()
  const timer = clock.every(1, () => {
    beats += 1
    if (beats === 3) timer.stop()
  })
  await eventually(() => beats >= 3)
  await clock.sleep(40)
  assert.equal(beats, 3)
  assert.equal(late, false)
})

t('a deadline fires by itself', async () => {
  const deadline = clock.deadline(1)
  // The deadline keeps no process alive, so something else must.
  await eventually(() => deadline.aborted)
})
