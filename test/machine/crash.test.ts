// A crash at every point of a small walk: before and after each commit, before and after each
// effect, before each result, at home and at the host. Wherever it comes, the job ends well, each
// task runs once and is paid once; and where the crashed site stays away for longer than the
// lease, the job ends and nobody is cheated.
// time limit: 300 s

import { microcredits } from '../../protocol/base/units.ts'
import { assert, suite } from '../harness.ts'
import { checkBooks, leavesOf } from '../sim/books.ts'
import { holdSums } from '../sim/sums.ts'
import type { Profile } from '../sim/profile.ts'
import { noFaults } from '../sim/profile.ts'
import { jobAt, rest } from '../sim/run.ts'
import { jobWith } from '../sim/users.ts'
import type { World } from '../sim/world.ts'
import { createWorld, startEpochMs } from '../sim/world.ts'

const leaseSeconds = 40
const size = { cores: 4, memoryMib: 8_192, walltimeSecondsMax: 3_600 }
const site = {
  size,
  coreHour: microcredits(3_600_000n),
  task: microcredits(500n),
  speedPermille: 1_000,
  creditLimit: microcredits(1_000_000_000n),
  skewMs: 0,
  attributes: [],
}
const profile: Profile = {
  seed: 7,
  name: 'walk',
  sites: [site, { ...site, skewMs: 5_000 }],
  late: false,
  jobs: 0,
  tasksMax: 0,
  minutes: 0,
  commitMsMax: 5,
  windowMs: 500,
  leaseSeconds,
  interimSeconds: 6,
  exposurePermille: 1_000,
  keepResultsSeconds: 6 * 3_600,
  outcome: { durationMs: 4_000, exitCode: 0, missing: [], lostAfterMs: undefined },
  faults: noFaults,
}

interface Walk {
  readonly world: World
  readonly points: readonly string[]
}

/** Walks an array of two tasks from one site to the other; crashes at point `at`, for so long. */
function walk(at: number | undefined, downMs: number): Walk {
  const world = createWorld(profile)
  world.enrol()
  world.time.runUntil(startEpochMs + 5_000)
  const points: string[] = []
  world.downMs = () => downMs
  world.point = (machine, what) => {
    points.push(`${machine.identity.site} ${what}`)
    return points.length - 1 === at
  }
  const signed = jobWith({ tasks: '1-2', array: 1, place: 'remote', walltime_seconds: 30 })
  world.submit(world.machines[0]!, signed)
  rest(world)
  checkBooks(world)
  return { world, points }
}

function started(world: World): number {
  return world.machines.reduce((sum, { scheduler }) => sum + scheduler.starts.size, 0)
}

/** Tasks that were paid for, by the ledger of either side, and the core seconds of them. */
function paid(world: World): { readonly tasks: number; readonly coreSeconds: number } {
  const [left, right] = world.machines.map((machine) => {
    let [tasks, coreSeconds] = [0, 0]
    for (const hold of holdSums(leavesOf(machine)).values()) {
      if (hold.accepted === 0n) continue
      tasks += hold.tasks
      coreSeconds += hold.coreSeconds
    }
    return { tasks, coreSeconds }
  })
  assert.equal(left, right, 'both ledgers say the same')
  return left!
}

function endOf(world: World): string {
  const [id] = world.jobs.keys()
  const job = jobAt(world.machines[0]!, id!)!
  return `${job.state.kind === 'ended' ? job.state.how : job.state.kind}, ${job.done} done`
}

const t = suite('a crash')
const { world: whole, points } = walk(undefined, 0)

t('is planned at points that cover the walk', () => {
  const kinds = new Set(points.map((point) => point.slice(point.indexOf(' ') + 1)))
  for (const kind of [
    'commit', 'committed', 'before send statements', 'after send statements',
    'before stageTranche', 'after stageTranche', 'result trancheStaged', 'before submitTranche',
    'after submitTranche', 'result trancheSubmitted', 'before collectTask', 'after collectTask',
    'result taskCollected', 'before takeResult', 'after takeResult', 'result resultTaken',
    'before removeTranche', 'after removeTranche', 'result trancheRemoved', 'before answer',
    'before releaseInputs', 'before send documents', 'before send reports', 'before send acks',
  ]) assert.ok(kinds.has(kind), `the walk passes '${kind}'`)
  assert.equal(endOf(whole), 'done, 2 done')
  assert.equal(started(whole), 2)
  assert.equal(paid(whole), { tasks: 2, coreSeconds: 8 })
})

t('at any point of the walk, and a quick restart: every task runs once and is paid once', () => {
  points.forEach((point, at) => {
    const { world } = walk(at, 2_000)
    const where = `crash ${at}: ${point}`
    assert.equal(endOf(world), 'done, 2 done', where)
    assert.equal(started(world), 2, where)
    assert.equal(paid(world), { tasks: 2, coreSeconds: 8 }, where)
  })
}, { timeoutSeconds: 200 })

t('at any point, and a restart long after the lease: the job ends, only what ran is paid', () => {
  points.forEach((point, at) => {
    const { world } = walk(at, leaseSeconds * 3_000)
    const where = `crash ${at}: ${point}`
    assert.equal(endOf(world), 'done, 2 done', where)
    const runs = started(world)
    assert.ok(runs >= 2 && runs <= 6, `${where}: ${runs} starts`)
    assert.ok(paid(world).tasks <= runs, where)
  })
}, { timeoutSeconds: 200 })
