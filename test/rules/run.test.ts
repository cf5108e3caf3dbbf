// What the end of a task means, over every way it can end; what is metered, and what of it may be
// claimed.

import { assert, suite } from '../harness.ts'
import { shaped } from '../../protocol/base/shape.ts'
import { limits } from '../../protocol/base/limits.ts'
import type { TaskReport, Verdict } from '../../protocol/rules/run.ts'
import {
  chargeable, meteredUsage, taskReportShape, unstartedTask, verdictOf,
} from '../../protocol/rules/run.ts'
import { rangesValues } from '../../protocol/base/ranges.ts'
import type { Site, World } from '../machine/pair.ts'
import { carry, federation, happen, hostTranches, pass, submitJob, view } from '../machine/pair.ts'
import { random } from '../sim/random.ts'
import { jobWith } from '../sim/users.ts'

const t = suite('run')

const tree = 'ab'.repeat(32)
const states = ['queued', 'running', 'collecting', 'ended'] as const
const ways = ['', 'exited', 'walltime', 'memory', 'cancelled', 'lost', 'refused'] as const

/** A task that ran well, but for the changes. */
function report(change: Partial<TaskReport> = {}): TaskReport {
  return {
    ...unstartedTask, task: 0, state: 'ended', how: 'exited', exit_code: 0, started_ms: 1_000,
    ended_ms: 2_000, core_s: 4, gib_s: 2, tree, tree_bytes: 1, ...change,
  }
}

/** Every end of a task: how, with or without results, exit code, promised outputs. */
function* ends(): Iterable<TaskReport> {
  for (const how of ways) {
    for (const left of ['', tree]) {
      for (const exit_code of [-1, 0, 1, 255]) {
        for (const missing of [[], ['a'], ['a', 'b', 'c', 'd', 'e', 'f']]) {
          for (const detail of ['', 'said so']) {
            yield report({ how, tree: left, exit_code, missing, detail })
          }
        }
      }
    }
  }
}

t('[RUN-1] no report says that a task cannot be seen', () => {
  for (const state of states) {
    for (const how of ways) assert.accepted(shaped(taskReportShape, report({ state, how })))
  }
  for (const state of ['unknown', 'gone', '']) {
    assert.refused(shaped(taskReportShape, { ...report(), state }), 'malformed')
  }
  for (const how of ['unknown', 'gone', 'missing']) {
    assert.refused(shaped(taskReportShape, { ...report(), how }), 'malformed')
  }
  assert.accepted(shaped(taskReportShape, { ...unstartedTask, task: 7 }))
})

t('a report has its bounds', () => {
  const wrong: readonly Partial<Record<keyof TaskReport, unknown>>[] = [
    { task: -1 }, { task: 0.5 }, { task: '0' }, { exit_code: -2 }, { exit_code: 256 },
    { started_ms: -1 }, { ended_ms: 2 ** 53 }, { core_s: -1 }, { gib_s: -1 }, { tree_bytes: -1 },
    { detail: 'x'.repeat(513) }, { tree: tree.slice(1) }, { tree: tree.toUpperCase() },
    { tree: `${tree}\n` }, { missing: Array.from({ length: 257 }, () => 'a') },
    { missing: ['x'.repeat(limits.pathBytes + 1)] },
  ]
  for (const change of wrong) {
    const outcome = shaped(taskReportShape, { ...report(), ...change })
    assert.refused(outcome, 'malformed')
  }
  const missing = Array.from({ length: 256 }, () => 'x'.repeat(limits.pathBytes))
  const largest = report({ exit_code: 255, detail: 'x'.repeat(512), missing, tree: '' })
  assert.equal(assert.accepted(shaped(taskReportShape, largest)), largest)
})

t('[RUN-2] what the site lost or refused is placed again, whatever else is said of it', () => {
  for (const end of ends()) {
    const again = verdictOf(end).kind === 'again'
    const siteEnd = end.how === 'lost' || end.how === 'refused'
    const nothingCame = (end.how === 'exited' || end.how === '') && end.tree === ''
    assert.equal(again, siteEnd || nothingCame, JSON.stringify(end))
  }
  const words: readonly (readonly [Partial<TaskReport>, string])[] = [
    [{ how: 'lost' }, 'the site lost the task'],
    [{ how: 'refused' }, 'the site could not start it'],
    [{ how: 'lost', detail: 'node down' }, 'node down'],
    [{ how: 'refused', detail: 'no such partition' }, 'no such partition'],
    [{ tree: '', detail: 'not shown' }, 'nothing came of its output'],
  ]
  for (const [change, detail] of words) {
    assert.equal(verdictOf(report(change)), { kind: 'again', detail })
  }
})

/** The scheduler takes what was staged and loses it; gives how many tasks. */
function lose(world: World, host: Site): number {
  let lost = 0
  for (const { id: tranche, tasks, phase } of hostTranches(host)) {
    if (phase !== 'staging') continue
    happen(world, host, { kind: 'trancheStaged', tranche })
    happen(world, host, { kind: 'trancheSubmitted', tranche, localId: '1' })
    for (const task of rangesValues(tasks)) {
      const at = { startedEpochMs: world.nowMs, endedEpochMs: world.nowMs }
      const status = { kind: 'ended', how: 'lost', exitCode: -1, ...at } as const
      happen(world, host, { kind: 'tasksObserved', tasks: [{ tranche, task, status }] })
      lost++
    }
  }
  carry(world)
  return lost
}

t('[RUN-2] a task that is lost every time is tried five times in all', () => {
  const [world, home, ...hosts] = federation(3)
  submitJob(world, home!, jobWith({ place: 'remote', inputs: '', inputs_bytes: 0 }))
  let lost = 0
  for (let turn = 0; turn < 300; turn++) {
    for (const host of hosts) lost += lose(world, host)
    pass(world, 5_000)
  }
  assert.equal(lost, limits.taskAttempts)
  assert.equal(limits.taskAttempts, 5)
  const [[, task] = []] = [...view(home!).entries('homeTasks')]
  assert.equal(task?.state, 'failed')
  assert.match(task?.detail ?? '', 'gave up after 5 attempts')
})

t('[RUN-3] a task is done only if it exited 0 and left every output it promised', () => {
  for (const end of ends()) {
    const done = verdictOf(end).kind === 'done'
    const well = (end.how === 'exited' || end.how === '') && end.tree !== '' &&
      end.exit_code === 0 && end.missing.length === 0
    assert.equal(done, well, JSON.stringify(end))
  }
})

t('[RUN-3] why a task failed, the first reason of several', () => {
  const all: Partial<TaskReport> = { exit_code: 3, missing: ['a'] }
  const reasons: readonly (readonly [Partial<TaskReport>, Verdict])[] = [
    [{ ...all, how: 'cancelled' }, { kind: 'cancelled' }],
    [{ ...all, how: 'walltime' }, { kind: 'failed', detail: 'killed at its walltime' }],
    [{ ...all, how: 'memory' }, {
      kind: 'failed', detail: 'killed for using more memory than it asked for',
    }],
    [{ ...all, tree: '' }, { kind: 'again', detail: 'nothing came of its output' }],
    [all, { kind: 'failed', detail: 'exit code 3' }],
    [{ missing: ['a', 'b'] }, { kind: 'failed', detail: 'promised outputs are not there: a, b' }],
    [{ missing: ['a', 'b', 'c', 'd', 'e', 'f'] }, {
      kind: 'failed', detail: 'promised outputs are not there: a, b, c, d, e',
    }],
    [{}, { kind: 'done' }],
  ]
  for (const [change, verdict] of reasons) assert.equal(verdictOf(report(change)), verdict)
})

t('[RUN-4] core and GiB seconds are whole, rounded down for each task', () => {
  const chance = random(1, 'metered')
  const check = (elapsedMs: number, cores: number, memoryMib: number): void => {
    const startedMs = chance.int(2 ** 40)
    const usage = meteredUsage({ startedMs, endedMs: startedMs + elapsedMs, cores, memoryMib })
    const ms = BigInt(elapsedMs)
    assert.equal(usage, {
      core_s: Number((ms * BigInt(cores)) / 1_000n),
      gib_s: Number((ms * BigInt(memoryMib)) / (1_000n * 1_024n)),
    }, `${elapsedMs} ms of ${cores} cores and ${memoryMib} MiB`)
  }
  for (const elapsedMs of [0, 1, 499, 500, 999, 1_000, 1_001, 1_999, 2_000, 3_600_000]) {
    for (const cores of [1, 2, 3, 16]) {
      for (const memoryMib of [1, 512, 1_023, 1_024, 1_025]) check(elapsedMs, cores, memoryMib)
    }
  }
  const yearMs = 366 * 86_400_000
  for (let round = 0; round < 2_000; round++) {
    check(chance.int(10_000_000), chance.between(1, 256), chance.between(1, 2 ** 21))
    check(chance.int(yearMs), chance.between(1, 65_536), chance.between(1, 2 ** 32))
  }
  check(yearMs, 65_536, 2 ** 32)
})

t('[RUN-4] a clock that went back meters nothing', () => {
  const usage = meteredUsage({ startedMs: 5_000, endedMs: 4_000, cores: 8, memoryMib: 8_192 })
  assert.equal(usage, { core_s: 0, gib_s: 0 })
})

t('[RUN-4] a host claims what ran to an end, never what it lost or refused', () => {
  for (const state of states) {
    for (const how of ways) {
      for (const started_ms of [0, 1_000]) {
        const one = report({ state, how, started_ms })
        const ran = state === 'ended' && started_ms > 0 && !['lost', 'refused'].includes(how)
        const none = { tasks: 0, core_s: 0, gib_s: 0 }
        assert.equal(chargeable([one]), ran ? { tasks: 1, core_s: 4, gib_s: 2 } : none,
          JSON.stringify({ state, how, started_ms }))
      }
    }
  }
})

t('[RUN-4] the sum is that of the tasks that ran, in any order', () => {
  const mixed = [
    report({ task: 1, core_s: 1, gib_s: 10 }), report({ task: 2, how: 'lost', core_s: 999 }),
    report({ task: 3, how: 'walltime', core_s: 20, gib_s: 0 }), report({ task: 4, exit_code: 9 }),
    report({ task: 5, state: 'running', gib_s: 999 }), report({ task: 6, how: 'cancelled' }),
  ]
  const sum = { tasks: 4, core_s: 29, gib_s: 14 }
  assert.equal(chargeable(mixed), sum)
  assert.equal(chargeable(new Set(mixed.toReversed())), sum)
  assert.equal(chargeable([]), { tasks: 0, core_s: 0, gib_s: 0 })
})
