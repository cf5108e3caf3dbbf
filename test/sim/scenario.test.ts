// One normal walk of three sites, from submit to settle, as the core really does it: compared with
// the transcript in test/scenarios. After a change that is meant, write it anew and read the
// difference:
//
//   GRIDNODE_WRITE_SCENARIOS=1 node test/sim/scenario.test.ts

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { draft } from '../../protocol/base/tables.ts'
import { formatCredits, microcredits } from '../../protocol/base/units.ts'
import type { CoreTables } from '../../protocol/machine/state.ts'
import { balanceOf } from '../../protocol/rules/ledger.ts'
import { assert, suite } from '../harness.ts'
import { checkBooks } from './books.ts'
import type { Profile, SiteProfile } from './profile.ts'
import { noFaults } from './profile.ts'
import { enrolledMs, jobAt, rest } from './run.ts'
import { renamed } from './transcript.ts'
import { jobWith } from './users.ts'
import type { World } from './world.ts'
import { createWorld, startEpochMs } from './world.ts'

const file = join(import.meta.dirname, '..', 'scenarios', 'walk-of-three.txt')

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
const chatter = /tells \S+ (summary|members|offers)$/

function transcript(): string {
  const world = createWorld(profile, { keep: true })
  world.enrol()
  world.time.runUntil(startEpochMs + enrolledMs)
  const from = world.lines.length
  const signed = jobWith({ tasks: '1-7', array: 1, policy: 'soonest', walltime_seconds: 30 })
  world.submit(world.machines[0]!, signed)
  rest(world)
  checkBooks(world)
  const walk = world.lines.slice(from).filter((line) => !chatter.test(line))
  return [
    'Three sites: a has 1 core, b 2 fast ones at a higher price, c 4. At a somebody submits an',
    'array of 7 tasks of 9 s, to end as soon as possible. Seconds since the founding; ids by order',
    'of appearance.',
    '',
    ...renamed(walk),
    '',
    `the job: ${jobAt(world.machines[0]!, signed.id)?.note}`,
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

const t = suite('a scenario')

t('the walk of three sites goes as written', () => {
  const now = transcript()
  if (process.env['GRIDNODE_WRITE_SCENARIOS'] === '1') {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, now)
  }
  assert.equal(now.split('\n'), readFileSync(file, 'utf8').split('\n'))
})
