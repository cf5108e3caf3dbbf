// Allocations in a simulated federation: its founder sets a policy with witnesses and a quorum, and
// authorities grant allocations, large and small ones, now and then, to whoever comes. Jobs of some
// users name one. Everything is said by the operators' own verbs.

import type { SiteName } from '../../protocol/base/ids.ts'
import type { GrantFields } from '../../protocol/rules/statement.ts'
import { microcredits } from '../../protocol/base/units.ts'
import type { Machine } from './machine.ts'
import type { Profile } from './profile.ts'
import type { Random } from './random.ts'
import { random } from './random.ts'
import type { JobDocument } from '../../protocol/rules/job.ts'
import type { World } from './world.ts'

const allocation = 'sky'
const policyWithinMs = 3_000
const grantsMax = 12
const yearMs = 365 * 86_400_000

/** What a job asks to be paid from; nothing where nobody grants anything. */
export function paidFrom(profile: Profile, index: number): Partial<JobDocument> {
  if (profile.faults.grantEveryMs === 0) return {}
  return random(profile.seed, `paid from ${index}`).chance(600) ? { allocation } : {}
}

export function startAuthorities(world: World): void {
  const { profile, machines, time } = world
  const { grantEveryMs } = profile.faults
  const [founder] = machines
  if (grantEveryMs === 0 || !founder) return
  const chance = random(profile.seed, 'authorities')
  const founders = machines.slice(0, profile.late ? -1 : undefined)
  const sites = founders.map(({ identity }) => identity.site)
  // A home is no witness of its own: of three others all would have to be there.
  const witnesses = sites.length < 4 ? sites.slice(-1) : sites
  const quorum = Math.floor(witnesses.length * 2 / 3) + 1
  const grantees = sites.filter((site) => witnesses.length > 1 || !witnesses.includes(site))
  if (grantees.length === 0) return
  const authorities = machines.slice(0, chance.between(1, sites.length))
  time.after(chance.int(policyWithinMs), () => {
    world.log(`the founder sets a policy: ${quorum} of ${witnesses.length} witnesses`)
    world.ask(founder, {
      times: 1_000,
      ask: (request) => ({
        kind: 'policyRequested', request, policy: {
          witnesses, quorum, authorities: authorities.map(({ identity }) => identity.site),
        },
      }),
      answered: (answer) => world.log(`policy: ${answer.kind}`),
    })
  })
  let left = grantsMax
  const next = (): void => {
    const inMs = chance.between(Math.floor(grantEveryMs / 4), Math.floor(grantEveryMs * 7 / 4))
    time.after(left === grantsMax ? policyWithinMs + chance.int(5_000) : inMs, () => {
      if (world.healed || left-- === 0) return
      grant(world, chance.pick(authorities), drawn(world, chance, chance.pick(grantees)))
      next()
    })
  }
  next()
}

function drawn({ time }: World, chance: Random, grantee: SiteName): GrantFields {
  const now = time.now()
  const isShort = chance.chance(300)
  return {
    grantee,
    name: allocation,
    amount: microcredits(BigInt(chance.pick([5_000, 100_000, 2_000_000, 1_000_000_000]))),
    starts: now - yearMs,
    until: isShort ? now + chance.between(20_000, 120_000) : now + yearMs,
  }
}

function grant(world: World, authority: Machine, fields: GrantFields): void {
  const { site } = authority.identity
  world.log(`${site} grants ${fields.grantee} ${fields.amount}`)
  world.ask(authority, {
    times: 20,
    ask: (request) => ({ kind: 'grantRequested', request, grant: fields }),
    answered: (answer) => world.log(`grant of ${site}: ${answer.kind}`),
  })
}
