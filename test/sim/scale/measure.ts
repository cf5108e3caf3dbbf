// Measures a federation of so many sites: what is said while there is no work, what an auction
// costs beside that, and how old what sites know of one another is.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { CoreTables } from '../../../protocol/machine/state.ts'
import { random } from '../random.ts'
import type { ScaleFederation } from './federation.ts'
import { openFederation } from './federation.ts'
import type { Sum } from './mesh-network.ts'

export interface ScaleOptions {
  readonly seed: number
  /** Jobs at least, and virtual time at least: one job for each site in `jobEveryMs`. */
  readonly jobs: number
  readonly busyMs: number
}

/** At each site, on average. */
const jobEveryMs = 600_000
/** A heartbeat of everybody, at least. */
const warmMsMin = 180_000
const warmMsPerSite = 600
const idleMs = 180_000
const settleMs = 60_000
const drainMsMax = 3_600_000
const samples = 20

export type Group = 'auction' | 'award' | 'run' | 'receipts' | 'heads' | 'directory' | 'gossip'

const groups: Readonly<Record<string, Group>> = {
  announce: 'auction', answer: 'auction', auction_closed: 'auction',
  statements: 'award', documents: 'award', documents_wanted: 'award', contract_closed: 'award',
  reports: 'run', acks: 'run',
  receipts: 'receipts', receipts_wanted: 'receipts',
  head: 'heads', head_wanted: 'heads', heads: 'heads', cosigned: 'heads',
  summary: 'directory', members: 'directory', offers: 'directory', charter: 'directory',
  evidence_known: 'directory',
  'gossip offers': 'gossip', 'gossip announcements': 'gossip',
}

export interface Rates {
  readonly messages: number
  readonly bytes: number
}

export interface Measured {
  readonly sites: number
  readonly jobs: number
  readonly auctions: number
  /** All that was said while there was work, for each job. */
  readonly perJob: Readonly<Record<Group, Rates>>
  /** For each site and second, while there is no work. */
  readonly idle: Readonly<Record<Group, Rates>>
  /** While there is. */
  readonly busy: Readonly<Record<Group, Rates>>
  /** Offers that a site knows, of all. */
  readonly known: number
  /** Of the offers that are known: how long ago they were made. */
  readonly ageSeconds: { readonly mean: number; readonly high: number }
  /** Of the offers that are known, in a thousand: their site has said a newer one. */
  readonly outdatedPermille: number
  /** From submission to award, and to the scheduler of the host. */
  readonly awardMs: { readonly mean: number; readonly high: number }
  readonly hostMs: { readonly mean: number; readonly high: number }
  readonly heapBytesPerSite: number
  /** Of this process, for each job beyond what goes on anyway; for each site and second idle. */
  readonly cpuMsPerJob: number
  readonly cpuMsPerIdleSecond: number
  readonly commitsPerIdleSecond: number
}

interface Point {
  readonly sums: ReadonlyMap<string, Sum>
  readonly epochMs: number
  readonly cpuMs: number
  readonly commits: number
  readonly auctions: number
}

export function measureScale(sites: number, options: ScaleOptions): Measured {
  const federation = openFederation(sites, options.seed)
  const { time, journeys } = federation
  const run = (milliseconds: number): void => time.runUntil(time.now() + milliseconds)
  run(warmMsMin + sites * warmMsPerSite)
  const before = pointOf(federation)
  run(idleMs)
  const idle = pointOf(federation)
  const wanted = Math.max(options.jobs, Math.ceil(options.busyMs * sites / jobEveryMs))
  const chance = random(options.seed, 'jobs')
  const spanMs = wanted * jobEveryMs / sites
  for (let job = 0; job < wanted; job++) {
    time.after(chance.int(spanMs), () => federation.submit(chance.int(sites)))
  }
  const directory = lookingAt(federation, spanMs)
  run(spanMs)
  for (let waited = 0; federation.open() > 0; waited += 5_000) {
    if (waited > drainMsMax) throw new Error(`${federation.open()} jobs of ${wanted} do not end`)
    run(5_000)
  }
  run(settleMs)
  const end = pointOf(federation)
  const jobs = journeys.size
  const busySeconds = (end.epochMs - idle.epochMs) / 1_000
  const at = { before, idle, end }
  const idleRates = rates(at.before, at.idle, sites * idleMs / 1_000)
  const allBusy = rates(at.idle, at.end, 1)
  const share = sites * busySeconds
  const perJob = record((group) => ({
    messages: allBusy[group].messages / jobs, bytes: allBusy[group].bytes / jobs,
  }))
  const idleCpu = (idle.cpuMs - before.cpuMs) / (sites * idleMs / 1_000)
  const all = [...journeys.values()]
  return {
    sites,
    jobs,
    auctions: end.auctions - idle.auctions,
    perJob,
    idle: idleRates,
    busy: rates(at.idle, at.end, share),
    ...directory(),
    awardMs: spread(all.map(({ awardedMs }) => awardedMs ?? NaN)),
    hostMs: spread(all.map(({ submittedAtHostMs }) => submittedAtHostMs ?? NaN)),
    heapBytesPerSite: heapBytes() / sites,
    cpuMsPerJob: Math.max(0, end.cpuMs - idle.cpuMs - idleCpu * share) / jobs,
    cpuMsPerIdleSecond: idleCpu,
    commitsPerIdleSecond: (idle.commits - before.commits) / (sites * idleMs / 1_000),
  }
}

function record(of: (group: Group) => Rates): Record<Group, Rates> {
  return {
    auction: of('auction'), award: of('award'), run: of('run'), receipts: of('receipts'),
    heads: of('heads'), directory: of('directory'), gossip: of('gossip'),
  }
}

function pointOf(federation: ScaleFederation): Point {
  const { user, system } = process.cpuUsage()
  const { sums } = federation.network.counted
  const auctions = federation.machines.reduce((sum, { process: running }) =>
    sum + rounds(running?.loop.tables.get('jobs')?.values() as Iterable<CoreTables['jobs']>), 0)
  return {
    sums: new Map([...sums].map(([kind, sum]) => [kind, { ...sum }])),
    epochMs: federation.time.now(),
    cpuMs: (user + system) / 1_000,
    commits: federation.commits(),
    auctions,
  }
}

function rounds(jobs: Iterable<CoreTables['jobs']> | undefined): number {
  let sum = 0
  for (const { round } of jobs ?? []) sum += round
  return sum
}

function rates(from: Point, to: Point, share: number): Record<Group, Rates> {
  return record((group) => {
    let [messages, bytes] = [0, 0]
    for (const [kind, sum] of to.sums) {
      if ((groups[kind] ?? 'award') !== group) continue
      const earlier = from.sums.get(kind) ?? { messages: 0, bytes: 0 }
      messages += sum.messages - earlier.messages
      bytes += sum.bytes - earlier.bytes
    }
    return { messages: messages / share, bytes: bytes / share }
  })
}

type Directory = Pick<Measured, 'known' | 'ageSeconds' | 'outdatedPermille'>

/** Looks now and then at what some sites know. */
function lookingAt(federation: ScaleFederation, spanMs: number): () => Directory {
  const { machines, time } = federation
  const ages: number[] = []
  let [known, looks, outdated] = [0, 0, 0]
  const offersAt = (at: number): Map<string, CoreTables['offers']> =>
    machines[at]!.process!.loop.tables.get('offers') as Map<string, CoreTables['offers']>
  const look = (sample: number): void => {
    const of = (sample * 7_919) % machines.length
    looks++
    for (const [site, { offer }] of offersAt(of)) {
      if (site === machines[of]!.identity.site) continue
      known++
      ages.push((time.now() - offer.at) / 1_000)
      const newest = machines[of]!.world.machine(offer.site)!.process!.loop.tables
        .get('offerSequence')!.get('own') as number
      if (newest > offer.sequence) outdated++
    }
  }
  for (let sample = 0; sample < samples; sample++) {
    time.after((sample + 0.5) * spanMs / samples, () => look(sample))
  }
  return () => ({
    known: known / looks,
    ageSeconds: spread(ages),
    outdatedPermille: 1_000 * outdated / Math.max(1, known),
  })
}

function spread(values: readonly number[]): { readonly mean: number; readonly high: number } {
  const sorted = values.toSorted((a, b) => a - b)
  const mean = sorted.reduce((sum, value) => sum + value, 0) / Math.max(1, sorted.length)
  return { mean, high: sorted[Math.floor(0.95 * sorted.length)] ?? 0 }
}

/** After everything that nobody holds is gone. */
function heapBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  return process.memoryUsage().heapUsed
}
