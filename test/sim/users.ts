// The users of a simulated federation: they sign jobs of many kinds, submit them until they are
// answered, and change their minds about some.

import { toHex } from '../../protocol/base/crypto.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { microcredits } from '../../protocol/base/units.ts'
import type { JobDocument, SignedJob } from '../../protocol/rules/job.ts'
import { readJob, signJob, userSignerName } from '../../protocol/rules/job.ts'
import type { Answer } from '../../protocol/machine/effects.ts'
import type { Happening } from '../../node/loop.ts'
import { paidFrom } from './authorities.ts'
import { keyFor, must } from './identity.ts'
import type { Profile } from './profile.ts'
import type { Random } from './random.ts'
import { random } from './random.ts'

export interface SubmittedJob {
  readonly site: SiteName
  readonly signed: SignedJob
  /** The site has answered with the job's id: from here on it must not be lost. */
  answered: boolean
  cancelled: boolean
}

const user = 'ada'

export function jobWith(change: Partial<JobDocument>): SignedJob {
  const key = keyFor(user, 'user')
  const document: JobDocument = {
    name: 'words',
    user,
    key: toHex(key.publicKey),
    nonce: '00'.repeat(16),
    script: '#!/bin/sh\nsort words.txt > out.txt\n',
    args: [],
    environment: [],
    tasks: '0',
    array: 0,
    tasks_at_once: 0,
    cores: 1,
    memory_mib: 256,
    walltime_seconds: 60,
    inputs: 'ab'.repeat(32),
    inputs_bytes: 1_000,
    outputs: ['out.txt'],
    requirements: '',
    policy: 'cheapest',
    budget: microcredits(1_000_000_000n),
    place: 'anywhere',
    sites: [],
    start_within_seconds: 900,
    ...change,
  }
  const { note } = signJob(document, { name: userSignerName(user), key })
  return must(readJob(note))
}

/** The job number `index` of a seed. */
export function drawJob(profile: Profile, index: number): SignedJob {
  const chance = random(profile.seed, `job ${index}`)
  const nonce = Array.from({ length: 32 }, () => '0123456789abcdef'[chance.int(16)]).join('')
  const count = chance.chance(400) ? 1 : chance.between(2, Math.max(2, profile.tasksMax))
  const array = count > 1 ? 1 : 0
  return jobWith({
    name: `job-${index}`,
    nonce,
    tasks: count > 1 ? `1-${count}` : '0',
    array,
    tasks_at_once: array === 1 && chance.chance(200) ? chance.between(1, count) : 0,
    cores: chance.pick([1, 1, 1, 2, 4]),
    memory_mib: chance.pick([64, 256, 1_024]),
    walltime_seconds: chance.pick([20, 60, 60, 600]),
    policy: chance.pick(['cheapest', 'soonest', 'soonest', 'balanced']),
    start_within_seconds: chance.pick([60, 300, 900]),
    ...oddity(chance),
    ...paidFrom(profile, index),
  })
}

/** Jobs that nobody can run, that are poor, that stay at home or must leave it. */
function oddity(chance: Random): Partial<JobDocument> {
  switch (chance.int(10)) {
    case 0: return { cores: 1_000 }
    case 1: return { requirements: 'cores_total > 100000' }
    case 2: return { budget: microcredits(BigInt(chance.int(3)) * 1_000n) }
    case 3: return { budget: microcredits(BigInt(chance.between(10_000, 200_000))) }
    case 4: return { place: 'home' }
    case 5:
    case 6:
    case 7: return { place: 'remote' }
    default: return {}
  }
}

/** Puts a question to a site again and again until it is answered, or hope is lost. */
export interface Asking {
  readonly times: number
  readonly ask: (request: string) => Happening
  readonly answered: (answer: Answer) => void
  /** Before each try, such as putting the inputs there again. */
  readonly before?: () => void
}
