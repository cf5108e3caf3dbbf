// Allocations between machines: how long a home goes on asking for the proof of a hold.

import { microcredits } from '../../protocol/base/units.ts'
import { jobWith } from '../sim/users.ts'
import { assert, suite } from '../harness.ts'
import type { Site, World } from './pair.ts'
import { carry, federation, happen, homeTranches, pass, submitJob, view } from './pair.ts'

const t = suite('allocations')
const yearMs = 365 * 86_400_000

/** A home with an allocation that pays anywhere, and a witness who never cosigns anything. */
function funded(): [World, Site, Site] {
  const [world, home, host, third] = federation(3)
  happen(world, home!, {
    kind: 'policyRequested',
    request: 'p',
    policy: { witnesses: [third!.name], quorum: 1, authorities: [third!.name] },
  })
  carry(world)
  happen(world, third!, {
    kind: 'grantRequested',
    request: 'g',
    grant: {
      grantee: home!.name, name: 'sky', amount: microcredits(1_000_000_000n),
      starts: world.nowMs - yearMs, until: world.nowMs + yearMs,
    },
  })
  carry(world)
  return [world, home!, host!]
}

const proofTimers = (site: Site): string[] =>
  [...view(site).entries('timers')].map(([name]) => name).filter((name) =>
    name.startsWith('proof/'))

const asked = (site: Site): number =>
  site.effects.splice(0).filter(({ kind }) => kind === 'showHeads').length

t('[GRANT-1] the proof of a hold is sought while its award waits, and no longer', () => {
  const [world, home, host] = funded()
  submitJob(world, home, jobWith({
    place: 'remote', inputs: '', inputs_bytes: 0, sites: [host.name], allocation: 'sky',
  }))
  pass(world, 2_000)
  const { hold } = homeTranches(home)[0]!
  const stateOf = (site: Site): string | undefined =>
    hold === '' ? undefined : view(site).get('ledgerHolds', hold)?.state
  asked(home)
  pass(world, 12_000)
  assert.equal([asked(home), proofTimers(home).length, stateOf(home)], [4, 1, 'asked'])
  // The host never comes back: the award lapses, the hold stays as it is.
  const isGone = (_: unknown, from: Site): boolean => from === host
  pass(world, 16_000, isGone)
  assert.equal(stateOf(home), 'asked')
  assert.ok(!proofTimers(home).includes(`proof/${hold}`), 'nothing is asked for it any more')
  assert.equal(view(home).get('proofsOwed', hold as never), undefined)
})
