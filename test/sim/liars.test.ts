// Sites that lie, one strategy after the other: the others keep every law among themselves, their
// jobs end, and whoever signed two things is proven to have.

import type { CoreTables } from '../../protocol/machine/state.ts'
import { assert, suite } from '../harness.ts'
import { honest } from './liars.ts'
import { lieNames, profileOf } from './profile.ts'
import { run } from './run.ts'
import type { World } from './world.ts'

const t = suite('liars')

function counted(world: World, name: string): number {
  return honest(world.machines).reduce((sum, { process }) =>
    sum + ((process!.loop.tables.get('counters')?.get(name) as number | undefined) ?? 0), 0)
}

/** Every strategy with a seed in which it shows. */
function lying(liar: string, seed: number): World {
  const { world } = run(profileOf(seed, { kind: 'liars', liar, sites: 3, jobs: 6 }))
  assert.equal(world.machines.filter(({ lie }) => lie).length, 1)
  return world
}

for (const [at, liar] of lieNames.entries()) {
  t(`a site that ${liar} keeps nobody else from the laws`, () => {
    lying(liar, 20 + at)
  })
}

t('whoever says two things under one number is proven to, and nobody else is', () => {
  const world = lying('equivocates', 2)
  const [liar] = world.machines.filter(({ lie }) => lie)
  const accused = honest(world.machines).flatMap(({ process }) =>
    [...process!.loop.tables.get('evidence')?.values() ?? []]
      .map((kept) => (kept as CoreTables['evidence']).accused))
  assert.ok(accused.length > 0, 'somebody has proof')
  assert.ok(accused.every((site) => site === liar!.identity.site))
})

t('a claim beyond the reports stays open', () => {
  assert.ok(counted(lying('overcharges', 3), 'claims_beyond_reports') > 0)
})
