// What a job waits for, held against a slow table of all small cases.

import { emptyRanges, formatRanges } from '../../protocol/base/ranges.ts'
import type { Dependency, Parent } from '../../protocol/rules/dependency.ts'
import { standingOf } from '../../protocol/rules/dependency.ts'
import { assert, suite } from '../harness.ts'

const t = suite('dependencies')
const id = 'abcdef012345'
const tasks = [[1, 3]] as const
const now = 1_000_000

function parent(change: Partial<Parent> = {}): Parent {
  return { begunEpochMs: 0, task: () => 'open', ...change }
}

function stand(
  after: readonly Dependency[], parents: Readonly<Record<string, Parent>>, isOneEnough: 0 | 1 = 0,
  earlier = '',
): string {
  const family = { nowMs: now, earlier, parent: (job: string) => parents[job] }
  const waits = { after: [...after], after_any: isOneEnough }
  const { ready, dead, untilMs } = standingOf(tasks, waits, family)
  return `${formatRanges(ready)}|${formatRanges(dead)}|${untilMs ?? ''}`
}

const on = (kind: Dependency['kind'], delay_seconds = 0, job = id): Dependency =>
  ({ kind, job, delay_seconds })
const ends = (how: 'done' | 'failed' | 'cancelled' | 'expired'): Parent =>
  parent({ end: { how, epochMs: now - 5_000 } })

t('[JOB-8] each kind by what its parent came to', () => {
  const [yes, never, waits] = ['1-3||', '|1-3|', '||']
  const table: Readonly<Record<string, readonly string[]>> = {
    //          open   done   failed cancelled expired unknown
    after: [waits, yes, yes, yes, yes, never],
    afterany: [waits, yes, yes, yes, yes, never],
    afterok: [waits, yes, never, never, never, never],
    afternotok: [waits, never, yes, yes, yes, never],
    aftercorr: [waits, never, never, never, never, never],
  }
  for (const [kind, row] of Object.entries(table)) {
    const parents = [
      parent(), ends('done'), ends('failed'), ends('cancelled'), ends('expired'), undefined,
    ]
    const found = parents.map((one) =>
      stand([on(kind as Dependency['kind'])], one ? { [id]: one } : {}))
    assert.equal(found, row, kind)
  }
  assert.equal(stand([on('after')], { [id]: parent({ begunEpochMs: now }) }), yes)
  assert.equal(stand([on('singleton', 0, '')], {}), yes)
  assert.equal(stand([on('singleton', 0, '')], {}, 0, id), waits)
})

t('[JOB-8] a delay counts from the end or the begin, and says until when', () => {
  assert.equal(stand([on('afterany', 4)], { [id]: ends('failed') }), '1-3||')
  assert.equal(stand([on('afterok', 6)], { [id]: ends('done') }), `||${now + 1_000}`)
  assert.equal(stand([on('after', 6)], { [id]: parent({ begunEpochMs: now }) }), `||${now + 6_000}`)
})

t('[JOB-8] aftercorr goes task by task', () => {
  const task = (number: number): 'done' | 'over' | 'open' =>
    number === 1 ? 'done' : number === 2 ? 'over' : 'open'
  assert.equal(stand([on('aftercorr')], { [id]: parent({ task }) }), '1|2|')
  assert.equal(stand([on('aftercorr')], { [id]: { ...ends('failed'), task } }), '1|2-3|')
})

t('[JOB-9] all of them, or any one', () => {
  const other = '012345abcdef'
  const parents = { [id]: ends('done'), [other]: ends('failed') }
  const both = [on('afterok'), on('afterok', 0, other)]
  assert.equal(stand(both, parents), '|1-3|')
  assert.equal(stand(both, parents, 1), '1-3||')
  assert.equal(stand(both, { ...parents, [id]: parent() }, 1), '||')
  assert.equal(stand([on('afternotok'), on('afterok', 0, other)], parents, 1), '|1-3|')
  assert.equal(stand([], parents), '1-3||')
  const none = standingOf(emptyRanges, { after: both }, {
    nowMs: now, earlier: '', parent: () => undefined,
  })
  assert.equal([none.ready, none.dead], [[], []])
})
