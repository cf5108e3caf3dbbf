// The simulator over a hundred seeds, and what it must show besides: that a seed replays
// exactly, that a site alone goes on working, that old messages change nothing, that a home which
// never returns or a host that lost its results keeps nobody waiting.
// time limit: 400 s

import type { JobId } from '../../protocol/base/ids.ts'
import { pack } from '../../protocol/base/record.ts'
import type { CoreTables } from '../../protocol/machine/state.ts'
import { assert, suite } from '../harness.ts'
import { cutBetween } from './faults.ts'
import { replayEverything } from './hostile.ts'
import type { Machine } from './machine.ts'
import { crash } from './machine.ts'
import type { Profile } from './profile.ts'
import { profileOf } from './profile.ts'
import { startMachine } from './process.ts'
import { enrolledMs, jobAt, rest, run } from './run.ts'
import { jobWith } from './users.ts'
import type { World } from './world.ts'
import { createWorld, startEpochMs } from './world.ts'

const seeds = 120
/** Seeds that have found something once, other than those among the first. */
const regressions: readonly number[] = [481, 202_400_729, 202_400_736]
const t = suite('the simulator')

for (let first = 1; first <= seeds; first += 40) {
  const last = Math.min(seeds, first + 39)
  t(`seeds ${first} to ${last} keep the seven laws`, () => {
    for (let seed = first; seed <= last; seed++) run(profileOf(seed))
  }, { timeoutSeconds: 120 })
}

t('seeds that have found something once keep the seven laws', () => {
  for (const seed of regressions) run(profileOf(seed))
  run(profileOf(4, { kind: 'liars', liar: 'overcharges', sites: 3, jobs: 6 }))
})

/** Of disks that were put back: each has found a pair that did not come together, or worse. */
const restoredSeeds = [
  5, 6, 10, 13, 16, 20, 22, 27, 30, 45, 46, 56, 65, 66, 68, 69, 75, 86, 91, 134, 178, 185, 367,
]

t('whatever disks are put back, no number is used twice and every pair comes together', () => {
  for (const seed of restoredSeeds) run(profileOf(seed, { kind: 'restores' }))
  for (let seed = 1; seed <= 40; seed++) run(profileOf(seed, { kind: 'restores' }))
}, { timeoutSeconds: 180 })

t('the same seed gives the same transcript to the last byte', () => {
  for (const kind of ['all', 'crashes']) {
    const [once, twice] = [1, 2].map(() => run(profileOf(11, { kind }), { keep: true }))
    assert.equal(once!.world.lines, twice!.world.lines)
    assert.equal(once!.hash, twice!.hash)
    const other = run(profileOf(12, { kind }))
    assert.ok(other.hash !== once!.hash, 'another seed has another transcript')
  }
})

/** A calm federation of three, enrolled. */
function calmWorld(change: Partial<Profile> = {}): World {
  const drawn = profileOf(3, { kind: 'calm', sites: 3 })
  const sites = drawn.sites.map((site) => ({
    ...site, size: { cores: 4, memoryMib: 8_192, walltimeSecondsMax: 3_600 }, skewMs: 0,
  }))
  const outcome = { durationMs: 20_000, exitCode: 0, missing: [], lostAfterMs: undefined }
  const world = createWorld({ ...drawn, sites, leaseSeconds: 60, outcome, late: false, ...change })
  world.enrol()
  world.time.runUntil(startEpochMs + enrolledMs)
  return world
}

function passMs(world: World, milliseconds: number): void {
  world.time.runUntil(world.time.now() + milliseconds)
}

function noteOf(machine: Machine, id: JobId): string {
  const job = jobAt(machine, id)
  return job?.state.kind === 'ended' ? job.state.how : `${job?.state.kind}: ${job?.note}`
}

t('law 6: with every peer gone, jobs at home run to their end', () => {
  const world = calmWorld()
  const { machines, network } = world
  for (const machine of machines) cutBetween(network, machines, new Set([machine]))
  passMs(world, 10_000)
  const jobs = machines.map((machine, at) => {
    const place = at === 0 ? 'home' as const : 'anywhere' as const
    const signed = jobWith({ nonce: `${at}`.repeat(32), tasks: '1-6', array: 1, place })
    world.submit(machine, signed)
    return signed.id
  })
  passMs(world, 180_000)
  jobs.forEach((id, at) => assert.equal(noteOf(machines[at]!, id), 'done'))
})

t('law 7: every message of a run, said again at its end, changes no record', () => {
  for (const seed of [5, 6, 7]) {
    const { world } = run(profileOf(seed, { kind: 'calm' }))
    const before = world.machines.map(recordsOf)
    replayEverything(world)
    passMs(world, 60_000)
    world.machines.forEach((machine, at) => {
      assert.equal(recordsOf(machine), before[at], machine.identity.site)
    })
  }
})

/** When a head was last seen says nothing of what it is. */
function timeless(value: unknown): unknown {
  return typeof value === 'object' && value !== null && 'seenEpochMs' in value && 'root' in value
    ? { ...value, seenEpochMs: 0 } : value
}

/** What lies on the disk, without the clockwork. */
function recordsOf(machine: Machine): string {
  const tables = [...machine.process!.loop.tables]
    .filter(([table]) => !clockwork.has(table))
    .map(([table, records]): [string, string[]] =>
      [table, [...records].map(([key, value]) => `${key} ${pack(timeless(value))}`).toSorted()])
    .filter(([, records]) => records.length > 0)
    .toSorted(([a], [b]) => a < b ? -1 : 1)
  return JSON.stringify(tables, undefined, 1)
}

const clockwork: ReadonlySet<string> = new Set<keyof CoreTables>([
  'counters', 'timers', 'offers', 'offerState', 'offerSequence', 'links', 'capacity', 'cosigned',
])

t('law 5: a home that never returns is given up by its hosts', () => {
  const world = calmWorld({ keepResultsSeconds: 1_800 })
  const [home, ...hosts] = world.machines
  world.submit(home!, jobWith({ tasks: '1-8', array: 1, place: 'remote' }))
  passMs(world, 15_000)
  const hosted = (): number => hosts.reduce((sum, { process }) =>
    sum + (process!.loop.tables.get('hostTranches')?.size ?? 0), 0)
  assert.ok(hosted() > 0, 'somebody works for it')
  world.downMs = () => 10 ** 9
  crash(home!, 'for good')
  passMs(world, 1_700_000)
  assert.ok(hosted() > 0, 'finished results wait for their owner')
  passMs(world, 1_900_000)
  assert.equal(hosted(), 0, 'and are cleared up in the end')
})

t('law 5: results that a host has lost are made again', () => {
  const world = calmWorld({ leaseSeconds: 3_600 })
  const [home, ...hosts] = world.machines
  const signed = jobWith({ tasks: '1-2', array: 1, place: 'remote' })
  world.submit(home!, signed)
  let losses = 2
  const lose = (): void => {
    for (const { spool } of hosts) {
      for (const trees of spool.results.values()) {
        if (losses-- > 0) trees.clear()
      }
    }
    if (losses > 0) world.time.after(1, lose)
  }
  lose()
  rest(world)
  assert.equal(noteOf(home!, signed.id), 'done')
  for (const { process } of world.machines) {
    assert.equal(process!.loop.tables.get('counters')?.get('message_malformed'), undefined)
  }
})

t('a thousand tasks that all have much to say get it through', () => {
  const missing = Array.from({ length: 256 }, (_, at) => `${'ü'.repeat(500)}${at}`)
  const outcome = { durationMs: 1_000, exitCode: 0, missing, lostAfterMs: undefined }
  const world = calmWorld({ outcome })
  const [home] = world.machines
  const signed = jobWith({ tasks: '1-1000', array: 1, place: 'remote', memory_mib: 8 })
  world.submit(home!, signed)
  rest(world)
  assert.equal(noteOf(home!, signed.id), 'failed')
  for (const { process } of world.machines) {
    assert.equal(process!.loop.tables.get('counters')?.get('message_malformed'), undefined)
  }
}, { timeoutSeconds: 120 })

t('a site that starts again and again without anything to do comes to rest', () => {
  const world = calmWorld()
  for (let times = 0; times < 20; times++) {
    world.downMs = () => 500
    for (const machine of world.machines) crash(machine, 'again')
    passMs(world, 3_000)
  }
  for (const machine of world.machines) startMachine(machine)
  rest(world)
})
