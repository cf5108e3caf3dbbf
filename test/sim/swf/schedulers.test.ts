// The three ways to schedule a workload, on a few jobs: one queue by hand and against a scheduler
// that looks at every second, sites alone, and a federation of production nodes.

import { assert, suite } from '../../harness.ts'
import { random } from '../random.ts'
import { virtualTime } from '../virtual-time.ts'
import type { Ran } from './central.ts'
import { runQueue } from './central.ts'
import { easyScheduler } from './easy-scheduler.ts'
import {
  boundedSlowdown, busyCoreMs, figuresOf, quantile, spanMsOf, waitSeconds,
} from './figures.ts'
import { waitsPlot } from './plot.ts'
import { replayAll } from './replay.ts'
import type { TraceJob, Workload } from './workload.ts'

const t = suite('three ways to schedule a workload')

/** Submitted, cores, run, asked for; in seconds. */
type Row = readonly [submit: number, cores: number, run: number, walltime: number]

function job([submit, cores, run, walltimeSeconds]: Row, site = 0): TraceJob {
  const [submitMs, runMs] = [Math.round(submit * 1_000), Math.round(run * 1_000)]
  return { site, submitMs, cores, runMs, walltimeSeconds }
}

function starts(ran: readonly Ran[], jobs: readonly TraceJob[]): (number | undefined)[] {
  return jobs.map((one) => ran.find(({ job: other }) => other === one))
    .map((one) => one && one.startMs / 1_000)
}

t('first come first served: a later one overtakes only if it delays nobody before it', () => {
  const jobs = [[0, 3, 100, 100], [1, 4, 10, 10], [2, 1, 98, 98], [3, 1, 99, 99], [4, 1, 5, 5]]
    .map((row) => job(row as unknown as Row))
  assert.equal(starts(runQueue(4, jobs), jobs), [0, 100, 2, 110, 110])
  // It ended sooner than it had asked for: whoever waits starts then.
  const early = [job([0, 4, 10, 100]), job([1, 4, 1, 1])]
  assert.equal(starts(runQueue(4, early), early), [0, 10])
})

t('nothing is lost, no core is used twice, and the site scheduler does the same', () => {
  for (let seed = 0; seed < 40; seed++) {
    const chance = random(seed, 'queue')
    const jobs = Array.from({ length: 30 }, () => {
      // To the millisecond, so that hardly two things happen at once.
      const [submit, run] = [chance.int(200_000) / 1_000, chance.int(40_000) / 1_000]
      const walltime = Math.ceil(run) + chance.between(1, 30)
      return job([submit, chance.between(1, 8), run, walltime])
    }).sort((a, b) => a.submitMs - b.submitMs)
    const ran = runQueue(8, jobs)
    assert.equal(ran.length, jobs.length)
    for (const { startMs } of ran) {
      const used = ran.filter((one) => one.startMs <= startMs && startMs < one.endMs)
        .reduce((sum, { job: { cores } }) => sum + cores, 0)
      assert.ok(used <= 8, `seed ${seed}: ${used} cores in use`)
    }
    assert.equal(bySiteScheduler(8, jobs), starts(ran, jobs), `seed ${seed}`)
  }
})

function bySiteScheduler(cores: number, jobs: readonly TraceJob[]): (number | undefined)[] {
  const time = virtualTime(0)
  const started = new Map<string, number>()
  const scheduler = easyScheduler({
    time,
    size: { cores, memoryMib: cores, walltimeSecondsMax: 1_000 },
    runMs: ({ tag }) => jobs[Number(tag)]!.runMs,
    started: ({ tag }, nowMs) => void started.set(tag, nowMs / 1_000),
    ended: () => undefined,
  })
  for (const [at, one] of jobs.entries()) {
    time.after(one.submitMs, () => scheduler.submit({
      tag: String(at) as Parameters<typeof scheduler.cancel>[0],
      tasks: [0], cores: one.cores, memoryMib: one.cores, walltimeSeconds: one.walltimeSeconds,
    }))
  }
  time.runUntil(1_000_000)
  assert.ok(scheduler.idle())
  return jobs.map((_, at) => started.get(String(at)))
}

t('waits, bounded slowdowns, utilisation and makespan are those of the field', () => {
  const ran = [
    { job: job([0, 2, 100, 100]), startMs: 0, endMs: 100_000 },
    { job: job([10, 1, 1, 100]), startMs: 100_000, endMs: 101_000 },
  ]
  assert.equal(ran.map(waitSeconds), [0, 90])
  assert.equal(ran.map(boundedSlowdown), [1, 9.1])
  const busy = { processors: 2, busyCoreMs: busyCoreMs(ran), spanMs: spanMsOf(ran) }
  const { slowdownMean, utilisation, makespanSeconds } = figuresOf(ran, busy)
  assert.equal([slowdownMean, makespanSeconds, utilisation], [5.05, 101, 201 / 202])
  assert.equal([0.5, 0.95, 1].map((part) => quantile([3, 1, 2], part)), [2, 3, 3])
})

t('a crowded site is helped by an idle one, as the omniscient scheduler would have it', () => {
  const workloads: Workload[] = [
    {
      name: 'crowded', processors: 4, fromSeconds: 0,
      jobs: Array.from({ length: 6 }, (_, at) => job([at, 4, 600, 900])),
    },
    { name: 'idle', processors: 8, fromSeconds: 0, jobs: [job([0, 1, 60, 60], 1)] },
  ]
  const { isolated, federation, central } = replayAll(workloads, {
    seed: 1, queueAheadPermille: 8_000,
  })
  assert.equal([isolated, federation.ran, central].map(({ length }) => length), [7, 7, 7])
  assert.ok(federation.ran.every(({ job: { cores }, at }) => cores <= workloads[at!]!.processors))
  const meanWait = (ran: readonly Ran[]): number =>
    ran.reduce((sum, one) => sum + waitSeconds(one), 0) / ran.length
  assert.ok(meanWait(federation.ran) < meanWait(isolated) / 2)
  // Some seconds for each auction and for staging, and one job that does not fit beside another.
  assert.ok(meanWait(federation.ran) < meanWait(central) + 120,
    `${meanWait(federation.ran)} s, the omniscient ${meanWait(central)} s`)
  const [crowded, idle] = federation.credits
  assert.ok(crowded!.spent > 0)
  assert.equal([crowded!.spent, idle!.spent], [idle!.earned, 0])
  assert.ok(federation.traffic.every(({ about }) => about.messages > 0 && about.bytes > 0))
})

t('the picture has a panel for each site and one curve for each way', () => {
  const curves = ['a', 'b', 'c'].map((label) => ({ label, waitSeconds: [0, 5, 4_000] }))
  const svg = waitsPlot('R&D', [{ title: 'one <site>', curves }, { title: 'all', curves }])
  assert.match(svg, /^<svg .*<\/svg>\n$/s)
  assert.match(svg, /R&amp;D.*one &lt;site&gt;.*1 h/s)
  assert.equal([...svg.matchAll(/<g transform/g)].length, 2)
  assert.equal([...svg.matchAll(/stroke-width="1.6"/g)].length, 6)
})
