// The IMAGE experiment: on virtual time, so that no machine is too slow for it.
// time limit: 300 s

import { assert, suite } from '../harness.ts'
import { imageTasks, runImage } from './image.ts'

const t = suite('1,500 equal tasks on two sites')

t('are done within half a percent of the least time that is possible', () => {
  const run = runImage({ seed: 1, queueAheadPermille: 1_000, taskMs: 600_000 })
  assert.ok(run.ratio <= 1.005, `${run.ratio} of 17 task lengths`)
  assert.ok(run.ratio >= 1, 'nobody is faster than is possible')
  assert.equal(run.tasks.reduce((sum, count) => sum + count, 0), imageTasks)
  assert.ok(run.firstStartMs < 10_000)
}, { timeoutSeconds: 240 })
