// What a seed stands for: how many sites, how large, what their users want, what goes wrong. Drawn
// once, so that it can be printed and overridden.

import { microcredits } from '../../protocol/base/units.ts'
import type { Microcredits } from '../../protocol/base/units.ts'
import { random } from './random.ts'
import type { Outcome, Size } from './batch-scheduler.ts'

export interface SiteProfile {
  readonly size: Size
  readonly coreHour: Microcredits
  readonly task: Microcredits
  readonly speedPermille: number
  /** What this site lets each other one owe. */
  readonly creditLimit: Microcredits
  readonly skewMs: number
  readonly attributes: readonly { readonly name: string; readonly value: string | number }[]
}

export interface Faults {
  /** Of messages, in a thousand. */
  readonly loss: number
  readonly doubled: number
  readonly overtaking: number
  readonly delayMsMax: number
  /** Mean time between such events, over all sites; 0 = never. */
  readonly crashEveryMs: number
  readonly breakEveryMs: number
  readonly partitionEveryMs: number
  readonly outageEveryMs: number
  readonly diskFailureEveryMs: number
  /** A disk is put back to an earlier state, at one site or at two. */
  readonly restoreEveryMs: number
  readonly garbageEveryMs: number
  /** One direction of a link is dead; a link is slow; a clock is set; a site takes no new work. */
  readonly deafEveryMs: number
  readonly slowEveryMs: number
  readonly clockEveryMs: number
  readonly drainEveryMs: number
  /** A record on a disk has rotted: no process starts on it. */
  readonly rotEveryMs: number
  /** Of batches that a crash finds on their way: a part of them is on the disk, and is dropped. */
  readonly torn: number
  /** An authority grants an allocation, and jobs name them; an operator makes a snapshot. */
  readonly grantEveryMs: number
  readonly snapshotEveryMs: number
  /** After so long one site leaves for good. */
  readonly leaveAfterMs: number
  /** Tasks lost and submissions refused by schedulers, collections that fail; in a thousand. */
  readonly lost: number
  readonly refused: number
  readonly collectFails: number
  readonly stagingFails: number
  /** Restarts after which the clock, the price or the credit is another one. */
  readonly changes: number
}

export interface Profile {
  readonly seed: number
  /** What runs it again. */
  readonly command?: string
  readonly name: string
  readonly sites: readonly SiteProfile[]
  /** The last site joins while all this goes on. */
  readonly late: boolean
  readonly jobs: number
  readonly tasksMax: number
  readonly minutes: number
  readonly commitMsMax: number
  readonly windowMs: number
  readonly leaseSeconds: number
  readonly interimSeconds: number
  readonly exposurePermille: number
  readonly keepResultsSeconds: number
  /** Where it is said: cores' worth of tasks taken beyond the free ones; in a thousand of all. */
  readonly queueAheadPermille?: number
  readonly jobsOpenMax?: number
  /** What every task comes to, instead of chance. */
  readonly outcome?: Outcome
  /** What users ask of their jobs in the course of a run. */
  readonly verbs?: number
  /** Of the jobs, in a thousand: those that wait for others, for a time or their owner. */
  readonly waitsPermille?: number
  readonly faults: Faults
  /** How the last site lies, a name of liars.ts; it does not without. */
  readonly liar?: string
}

export const noFaults: Faults = {
  loss: 0, doubled: 0, overtaking: 0, delayMsMax: 40,
  crashEveryMs: 0, breakEveryMs: 0, partitionEveryMs: 0,
  outageEveryMs: 0, diskFailureEveryMs: 0, restoreEveryMs: 0, garbageEveryMs: 0,
  deafEveryMs: 0, slowEveryMs: 0, clockEveryMs: 0, drainEveryMs: 0, rotEveryMs: 0,
  torn: 0, grantEveryMs: 0, snapshotEveryMs: 0, leaveAfterMs: 0,
  lost: 0, refused: 0, collectFails: 0,
  stagingFails: 0, changes: 0,
}

const kinds: readonly { readonly name: string; readonly faults: Partial<Faults> }[] = [
  { name: 'calm', faults: {} },
  { name: 'lossy', faults: {
      loss: 150, doubled: 80, overtaking: 300, delayMsMax: 400, breakEveryMs: 30_000,
    } },
  { name: 'crashes', faults: {
      crashEveryMs: 8_000, diskFailureEveryMs: 120_000, changes: 150, clockEveryMs: 60_000,
      drainEveryMs: 90_000,
    } },
  {
    name: 'partitions',
    faults: {
      partitionEveryMs: 40_000, breakEveryMs: 30_000, deafEveryMs: 20_000, slowEveryMs: 25_000,
      loss: 20, delayMsMax: 150,
    },
  },
  {
    name: 'schedulers',
    faults: { outageEveryMs: 30_000, lost: 120, refused: 60, collectFails: 60, stagingFails: 150 },
  },
  {
    name: 'restores',
    faults: {
      restoreEveryMs: 40_000, rotEveryMs: 90_000, crashEveryMs: 40_000, breakEveryMs: 60_000,
      partitionEveryMs: 60_000, loss: 30, doubled: 30, overtaking: 100, delayMsMax: 150,
    },
  },
  {
    name: 'liars',
    faults: { loss: 20, doubled: 20, delayMsMax: 150, breakEveryMs: 60_000, crashEveryMs: 60_000 },
  },
  {
    name: 'all',
    faults: {
      restoreEveryMs: 120_000, rotEveryMs: 240_000,
      loss: 80, doubled: 60, overtaking: 200, delayMsMax: 300,
      crashEveryMs: 15_000, breakEveryMs: 30_000, partitionEveryMs: 40_000,
      outageEveryMs: 60_000, diskFailureEveryMs: 200_000,
      garbageEveryMs: 4_000, deafEveryMs: 60_000, slowEveryMs: 60_000, clockEveryMs: 90_000,
      drainEveryMs: 120_000, lost: 60, refused: 30, collectFails: 30, stagingFails: 80,
      changes: 250,
    },
  },
]

export const kindNames: readonly string[] = kinds.map(({ name }) => name)

/** What is said instead of the seed; the names are those of the command line. */
export interface Overrides {
  readonly kind?: string
  /** How the last site lies. */
  readonly liar?: string
  readonly sites?: number
  readonly jobs?: number
  readonly tasks?: number
  /** Virtual minutes before the healing. */
  readonly length?: number
  /** Names of faults that do not happen, and `late`, `skew`. */
  readonly without?: readonly string[]
}

/** A command that runs the same again. */
export function commandFor(seed: number, overrides: Overrides = {}): string {
  const words = Object.entries(overrides).map(([name, value]) => ` --${name} ${String(value)}`)
  return `npm run sim -- --seed ${seed}${words.join('')}`
}

/** What can be left out of a profile. */
export function leavable(
  { faults, late, sites, verbs, waitsPermille }: Profile,
): string[] {
  const names = (Object.keys(faults) as (keyof Faults)[])
    .filter((name) => faults[name] !== noFaults[name])
  const isSkewed = sites.some(({ skewMs }) => skewMs !== 0)
  const wishes = [...verbs ? ['verbs'] : [], ...waitsPermille ? ['waits'] : []]
  return [...names, ...wishes, ...late ? ['late'] : [], ...isSkewed ? ['skew'] : []]
}

function withoutFaults(faults: Faults, names: readonly string[]): Faults {
  const left: { -readonly [name in keyof Faults]: number } = { ...faults }
  for (const name of Object.keys(faults) as (keyof Faults)[]) {
    if (names.includes(name)) left[name] = noFaults[name]
  }
  return left
}

export function profileOf(seed: number, overrides: Overrides = {}): Profile {
  const chance = random(seed, 'profile')
  const drawn = chance.pick([...kinds, kinds.at(-1)!, kinds.at(-1)!])
  const kind = kinds.find(({ name }) => name === overrides.kind) ?? drawn
  const sites = chance.pick([2, 3, 3, 3, 4, 5])
  const terms = random(seed, 'terms')
  const wishes = random(seed, 'wishes')
  const jobs = chance.between(2, 8)
  const tasksMax = chance.pick([1, 6, 20, 40])
  const windowMs = chance.pick([300, 1_000, 2_000])
  const late = chance.chance(250)
  const minutes = chance.between(2, 5)
  const without = overrides.without ?? []
  const lies = random(seed, 'lies').pick(lieNames)
  const liar = overrides.liar ?? (kind.name === 'liars' ? lies : undefined)
  return {
    seed,
    command: commandFor(seed, overrides),
    name: kind.name,
    late: late && !without.includes('late'),
    sites: Array.from({ length: overrides.sites ?? sites }, (_, at) =>
      ({ ...siteProfile(seed, at), ...without.includes('skew') && { skewMs: 0 } })),
    jobs: overrides.jobs ?? jobs,
    tasksMax: overrides.tasks ?? tasksMax,
    minutes: overrides.length ?? minutes,
    commitMsMax: chance.pick([0, 5, 50, 300]),
    windowMs,
    leaseSeconds: chance.pick([40, 90, 300]),
    interimSeconds: terms.pick([8, 20, 60, 900]),
    exposurePermille: terms.pick([200, 500, 1_000]),
    keepResultsSeconds: 6 * 3_600,
    verbs: without.includes('verbs') ? 0 : wishes.pick([0, 6, 15, 40]),
    waitsPermille: without.includes('waits') ? 0 : wishes.pick([0, 300, 600]),
    ...liar !== undefined && { liar },
    faults: withoutFaults({ ...noFaults, ...kind.faults, ...sometimes(seed, kind.name) }, without),
  }
}

/** What happens in some runs of a kind, each by a stream of its own. */
function sometimes(seed: number, kind: string): Partial<Faults> {
  const drawn = (name: string, permille: number): boolean =>
    random(seed, `sometimes ${name}`).chance(permille)
  return {
    ...kind !== 'calm' && { torn: 400 },
    ...drawn('grants', 300) && { grantEveryMs: 15_000 },
    ...drawn('snapshots', 250) && { snapshotEveryMs: 12_000 },
    ...kindsOfLeaving.has(kind) && drawn('leaving', 250) && { leaveAfterMs: 60_000 },
  }
}

/** Where nobody's disk is put back: who is gone closes with nobody. */
const kindsOfLeaving: ReadonlySet<string> = new Set([
  'lossy', 'crashes', 'partitions', 'schedulers',
])

/** What a lying site does; each is written down in liars.ts. */
export const lieNames = [
  'equivocates', 'replays', 'withholds', 'overcharges', 'idles', 'never-pays', 'loses-results',
  'floods',
] as const

const plenty = 1_000_000_000n

function siteProfile(seed: number, at: number): SiteProfile {
  const chance = random(seed, `site ${at}`)
  const cores = chance.pick([1, 2, 4, 8, 16])
  return {
    size: { cores, memoryMib: cores * 2_048, walltimeSecondsMax: chance.pick([3_600, 86_400]) },
    coreHour: microcredits(BigInt(chance.between(0, 20)) * 100_000n),
    task: microcredits(BigInt(chance.pick([0, 0, 1_000, 50_000]))),
    speedPermille: chance.pick([500, 1_000, 2_000]),
    creditLimit: microcredits(chance.pick([0n, 200_000n, 2_000_000n, plenty, plenty])),
    skewMs: chance.between(-90_000, 90_000),
    attributes: [{ name: 'gpu', value: chance.pick(['none', 'a100']) }],
  }
}
