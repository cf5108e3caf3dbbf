// Walks of three sites as the core really does them: compared with the transcripts in
// test/scenarios. After a change that is meant, write them anew and read the difference:
//
//   GRIDNODE_WRITE_SCENARIOS=1 node test/sim/scenario.test.ts

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { SignedJob } from '../../protocol/rules/job.ts'
import { draft } from '../../protocol/base/tables.ts'
import { formatCredits, microcredits } from '../../protocol/base/units.ts'
import type { CoreTables } from '../../protocol/machine/state.ts'
import { balanceOf } from '../../protocol/rules/ledger.ts'
import { assert, suite } from '../harness.ts'
import { checkBooks } from './books.ts'
import { cutBetween } from './faults.ts'
import { crash } from './machine.ts'
import type { Profile, SiteProfile } from './profile.ts'
import { noFaults } from './profile.ts'
import { startMachine } from './process.ts'
import { recoverMachine } from './restoring.ts'
import { enrolledMs, jobAt, rest } from './run.ts'
import { renamed } from './transcript.ts'
import { jobWith } from './users.ts'
import type { World } from './world.ts'
import { createWorld, startEpochMs } from './world.ts'

const folder = join(import.meta.dirname, '..', 'scenarios')

function site(cores: number, speedPermille: number, creditsPerHour: bigint): SiteProfile {
  return {
    size: { cores, memoryMib: cores * 1_024, walltimeSecondsMax: 3_600 },
    coreHour: microcredits(creditsPerHour * 1_000_000n),
    task: microcredits(0n),
    speedPermille,
    creditLimit: microcredits(100_000_000n),
    skewMs: 0,
    attributes: [],
  }
}

const profile: Profile = {
  seed: 3,
  name: 'walk of three',
  sites: [site(1, 1_000, 1n), site(2, 2_000, 4n), site(4, 1_000, 2n)],
  late: false,
  jobs: 0,
  tasksMax: 0,
  minutes: 0,
  commitMsMax: 0,
  windowMs: 500,
  leaseSeconds: 120,
  interimSeconds: 900,
  exposurePermille: 500,
  keepResultsSeconds: 86_400,
  outcome: { durationMs: 9_000, exitCode: 0, missing: [], lostAfterMs: undefined },
  faults: { ...noFaults, delayMsMax: 4 },
}

/** The chatter that goes on without any job. */
const chatter = new RegExp('tells \\S+ (summary|members|offers|evidence_known|head_wanted|head|' +
  'heads|cosigned|receipts|receipts_wanted)$')

interface Scene {
  /** Lines of at most 100 characters. */
  readonly intro: readonly string[]
  readonly profile?: Partial<Profile>
  /** What happens; its jobs are told of at the end. */
  readonly play: (world: World) => readonly SignedJob[]
}

const legend = 'Seconds since the founding; ids by order of appearance.'

function transcript(scene: Scene): string {
  const world = createWorld({ ...profile, ...scene.profile }, { keep: true })
  world.enrol()
  world.time.runUntil(startEpochMs + enrolledMs)
  const from = world.lines.length
  const jobs = scene.play(world)
  rest(world)
  checkBooks(world)
  const walk = world.lines.slice(from).filter((line) => !chatter.test(line))
  return [
    ...scene.intro, legend, '',
    ...renamed(walk), '',
    ...jobs.map(({ id, document }) =>
      `${document.name}: ${jobAt(world.machines[0]!, id)?.note ?? 'is not known any more'}`),
    ...balances(world),
    '',
  ].join('\n')
}

function balances(world: World): string[] {
  return world.machines.flatMap(({ identity, process }) => {
    const view = draft<CoreTables>(process!.loop.tables)
    return world.machines.map((other) => other.identity.site)
      .filter((other) => balanceOf(view, identity.site, other) > 0n)
      .map((other) => `${other} owes ${identity.site} ` +
        formatCredits(balanceOf(view, identity.site, other)))
  })
}

function submit(world: World, change: Parameters<typeof jobWith>[0]): SignedJob {
  const signed = jobWith({ walltime_seconds: 30, ...change })
  world.submit(world.machines[0]!, signed)
  return signed
}

function passMs(world: World, milliseconds: number): void {
  world.time.runUntil(world.time.now() + milliseconds)
}

const poor = { ...site(1, 1_000, 1n), creditLimit: microcredits(0n) }

const scenes: { readonly [name: string]: Scene } = {
  'walk-of-three': {
    intro: [
      'Three sites: a has 1 core, b 2 fast ones at a higher price, c 4. At a somebody submits an',
      'array of 7 tasks of 9 s, to end as soon as possible.',
    ],
    play: (world) => [submit(world, { tasks: '1-7', array: 1, policy: 'soonest' })],
  },
  refusals: {
    intro: [
      'Two sites: a has 1 core, b 4 and gives nobody credit. At a somebody submits a job that is',
      'too wide for a and not for b, one that asks for what nobody has, one that must leave home',
      'and has no money, and one that may run at home.',
    ],
    profile: { sites: [site(1, 1_000, 1n), { ...poor, size: site(4, 1_000, 1n).size }] },
    play: (world) => [
      submit(world, { name: 'wide', nonce: '01'.repeat(16), cores: 2, start_within_seconds: 20 }),
      submit(world, {
        name: 'odd', nonce: '02'.repeat(16), requirements: 'cores_total > 1000',
        start_within_seconds: 20,
      }),
      submit(world, {
        name: 'penniless', nonce: '03'.repeat(16), place: 'remote', start_within_seconds: 20,
        budget: microcredits(1n),
      }),
      submit(world, { name: 'modest', nonce: '04'.repeat(16), place: 'home' }),
    ],
  },
  'partition-heals-in-time': {
    intro: [
      'Two sites. While b runs a task for a the line between them is cut, and mended before the',
      'lease of 60 s is over: nothing is run again.',
    ],
    profile: { sites: [site(1, 1_000, 1n), site(2, 1_000, 1n)], leaseSeconds: 60 },
    play: (world) => {
      const job = submit(world, { place: 'remote' })
      passMs(world, 5_000)
      const mend = cutBetween(world.network, world.machines, new Set([world.machines[1]!]))
      world.log('the line is cut')
      passMs(world, 20_000)
      world.log('the line is mended')
      mend()
      return [job]
    },
  },
  'partition-outlasts-the-lease': {
    intro: [
      'Three sites. While b runs a task for a it is cut off for longer than its lease of 20 s: the',
      'task is placed at c; what b has run it claims when it is heard again, and is paid by its',
      'reports or voids the hold.',
    ],
    profile: {
      sites: [site(1, 1_000, 1n), site(1, 1_000, 1n), site(1, 1_000, 2n)], leaseSeconds: 20,
      outcome: { durationMs: 15_000, exitCode: 0, missing: [], lostAfterMs: undefined },
    },
    play: (world) => {
      const job = submit(world, { place: 'remote' })
      passMs(world, 5_000)
      const mend = cutBetween(world.network, world.machines, new Set([world.machines[1]!]))
      world.log('b is cut off')
      passMs(world, 50_000)
      world.log('b is back')
      mend()
      return [job]
    },
  },
  'crash-of-the-host': {
    intro: [
      'Two sites. The node of b crashes between submitting a task to its scheduler and hearing of',
      'it, and starts again 5 s later: it asks for the same tranche by its name, and the task has',
      'run once.',
    ],
    profile: { sites: [site(1, 1_000, 1n), site(2, 1_000, 1n)] },
    play: (world) => {
      let armed = true
      world.downMs = () => 5_000
      world.point = (machine, what) => {
        const now = armed && machine === world.machines[1] && what === 'result trancheSubmitted'
        if (now) armed = false
        return now
      }
      return [submit(world, { place: 'remote' })]
    },
  },
  'recovery-from-a-backup': {
    intro: [
      'Two sites. The disk of a is put back to what it was before it submitted anything, and its',
      'operator recovers it into a new epoch: b closes the old one with it, the lost job is gone,',
      'and a new one runs.',
    ],
    profile: { sites: [site(1, 1_000, 1n), site(2, 1_000, 1n)] },
    play: (world) => {
      const [home] = world.machines
      const backup = home!.disk.copy()
      const lost = submit(world, { name: 'lost', place: 'remote' })
      passMs(world, 30_000)
      world.downMs = () => 10 ** 9
      crash(home!, 'its disk is put back')
      home!.disk.putBack(backup)
      home!.restores++
      recoverMachine(home!)
      startMachine(home!)
      passMs(world, 20_000)
      return [lost, submit(world, { name: 'next', nonce: '02'.repeat(16), place: 'remote' })]
    },
  },
}

const t = suite('scenarios')

for (const [name, scene] of Object.entries(scenes)) {
  t(`${name} goes as written`, () => {
    const file = join(folder, `${name}.txt`)
    const now = transcript(scene)
    if (process.env['GRIDNODE_WRITE_SCENARIOS'] === '1') {
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, now)
    }
    assert.equal(now.split('\n'), readFileSync(file, 'utf8').split('\n'))
  })
}
