// A federation of very many sites in a steady state: the production core and loop at each, on
// virtual time, with nothing that fails. Users submit jobs that have to leave home.
//
// What is left out, and said in docs/SIMULATOR.md: sites begin as members that are connected and
// have heard one another, each gives credit to some of the others, and an offer that gossip brings
// is read and its signature checked once, not once at each site that it reaches.

import type { JobId, SiteName } from '../../../protocol/base/ids.ts'
import { draft } from '../../../protocol/base/tables.ts'
import { microcredits } from '../../../protocol/base/units.ts'
import type { GossipTopic } from '../../../protocol/machine/gossip.ts'
import { judgeGossip } from '../../../protocol/machine/gossip.ts'
import type { CoreTables } from '../../../protocol/machine/state.ts'
import type { KeptOffer } from '../../../protocol/rules/offer.ts'
import type { BatchScheduler } from '../batch-scheduler.ts'
import { identityOf } from '../identity.ts'
import type { Machine, Surroundings } from '../machine.ts'
import { openMachine, selfOf } from '../machine.ts'
import { startMachine } from '../process.ts'
import type { Profile } from '../profile.ts'
import { noFaults } from '../profile.ts'
import { random } from '../random.ts'
import { jobWith } from '../users.ts'
import type { VirtualTime } from '../virtual-time.ts'
import { virtualTime } from '../virtual-time.ts'
import { Layered } from './layered.ts'
import { admitAll, recordsOf } from './members.ts'
import type { MeshNetwork } from './mesh-network.ts'
import { meshNetwork } from './mesh-network.ts'
import type { ThinDisk } from './thin-disk.ts'
import { thinDisk } from './thin-disk.ts'

export const startEpochMs = 1_750_000_000_000
/** Sites that give one another credit: the nearest of a ring, as many on either side. */
export const partnersEach = 24
const startWithinMs = 20_000
const coresEach = 8
const runMs = 120_000

/** A job's way, in virtual time since its submission. */
export interface Journey {
  readonly submittedMs: number
  awardedMs: number | undefined
  submittedAtHostMs: number | undefined
}

export interface ScaleFederation {
  readonly time: VirtualTime
  readonly network: MeshNetwork
  readonly machines: readonly Machine[]
  readonly journeys: ReadonlyMap<JobId, Journey>
  /** A job of the site with that number. */
  submit(at: number): void
  /** Jobs that have not ended at their homes. */
  open(): number
  /** Batches that disks have synced. */
  commits(): number
}

export function openFederation(sites: number, seed: number): ScaleFederation {
  const time = virtualTime(startEpochMs)
  const identities = Array.from({ length: sites }, (_, at) => identityOf(at))
  const names = identities.map(({ site }) => site)
  const members = admitAll(identities, startEpochMs)
  const machines: Machine[] = []
  const disks: ThinDisk[] = []
  const journeys = new Map<JobId, Journey>()
  const network = meshNetwork({
    time, chance: random(seed, 'network'), names, heard: hearing(machines, time),
  })
  const surroundings = surroundingsOf({ time, network, machines, names, seed })
  const tranches = new Map<string, Journey>()
  surroundings.sent = (machine, _, message) => {
    if (message.kind !== 'documents') return
    const { job } = machine.process!.loop.tables.get('homeContracts')!
      .get(message.contract) as CoreTables['homeContracts']
    const journey = journeys.get(job)!
    journey.awardedMs ??= time.now() - journey.submittedMs
    tranches.set(message.tranche, journey)
  }
  const told = linksOf(names)
  for (const [at, { site }] of identities.entries()) {
    const stored = recordsOf(members, site, startEpochMs)
    for (const [table, records] of told) stored.set(table, new Layered(records, [site]))
    const disk = thinDisk(time, stored)
    disks.push(disk)
    const opened = openMachine(surroundings, at)
    const scheduler = noticing(opened.scheduler, (tranche) => {
      const journey = tranches.get(tranche)
      if (journey) journey.submittedAtHostMs ??= time.now() - journey.submittedMs
    })
    const machine: Machine = { ...opened, disk, scheduler, federation: members.federation }
    machines.push(machine)
  }
  const chance = random(seed, 'starts')
  for (const machine of machines) time.after(chance.int(startWithinMs), () => startMachine(machine))
  return {
    time,
    network,
    machines,
    journeys,
    submit(at) {
      const machine = machines[at]!
      const signed = jobWith({
        name: `job-${journeys.size}`,
        nonce: journeys.size.toString(16).padStart(32, '0'),
        walltime_seconds: 2 * runMs / 1_000,
        place: 'remote',
      })
      machine.spool.inputs.add(signed.id)
      journeys.set(signed.id, {
        submittedMs: time.now(), awardedMs: undefined, submittedAtHostMs: undefined,
      })
      machine.process?.loop.push({ kind: 'jobSubmitted', request: signed.id, job: signed })
    },
    open: () => machines.reduce((sum, machine) => sum + openJobs(machine), 0),
    commits: () => disks.reduce((sum, disk) => sum + disk.commits(), 0),
  }
}

function openJobs({ process }: Machine): number {
  const jobs = (process?.loop.tables.get('jobs')?.values() ?? []) as Iterable<CoreTables['jobs']>
  let open = 0
  for (const { state } of jobs) if (state.kind !== 'ended') open++
  return open
}

type Writable = { -readonly [name in keyof Surroundings]: Surroundings[name] }

function surroundingsOf({ time, network, machines, names, seed }: {
  readonly time: VirtualTime; readonly network: MeshNetwork; readonly machines: readonly Machine[]
  readonly names: readonly SiteName[]; readonly seed: number
}): Writable {
  const places = new Map(names.map((name, at) => [name, at]))
  return {
    time,
    network,
    profile: profileFor(names.length, seed),
    faults: () => noFaults,
    machine: (site) => machines[places.get(site) ?? -1],
    sites: () => names,
    partners: (site) => partnersOf(names, places.get(site)!),
    point: () => false,
    answered: () => undefined,
    sent: () => undefined,
    received: () => undefined,
    committed: () => undefined,
    crashed(machine, why) {
      throw new Error(`${machine.identity.site} crashed: ${why}`)
    },
    log: () => undefined,
  }
}

function partnersOf(names: readonly SiteName[], at: number): SiteName[] {
  const partners = new Set<SiteName>()
  for (let step = 1; step <= partnersEach / 2; step++) {
    for (const other of [at + step, at - step]) {
      partners.add(names[(other + partnersEach * names.length) % names.length]!)
    }
  }
  partners.delete(names[at]!)
  return [...partners]
}

function profileFor(sites: number, seed: number): Profile {
  return {
    seed,
    name: 'scale',
    sites: Array.from({ length: sites }, (_, at) => ({
      size: { cores: coresEach, memoryMib: coresEach * 2_048, walltimeSecondsMax: 86_400 },
      coreHour: microcredits(BigInt(random(seed, `price ${at}`).between(5, 20)) * 100_000n),
      task: microcredits(0n),
      speedPermille: 1_000,
      creditLimit: microcredits(1_000_000_000n),
      skewMs: 0,
      attributes: [],
    })),
    late: false,
    jobs: 0,
    tasksMax: 1,
    minutes: 0,
    commitMsMax: 5,
    windowMs: 1_000,
    leaseSeconds: 300,
    interimSeconds: 900,
    exposurePermille: 1_000,
    keepResultsSeconds: 3_600,
    outcome: { durationMs: runMs, exitCode: 0, missing: [], lostAfterMs: undefined },
    faults: noFaults,
  }
}

/** What each site has seen of the others after a start, here before it: shared by all. */
function linksOf(names: readonly SiteName[]): Map<string, Map<string, unknown>> {
  const link: CoreTables['links'] = { up: true, sentThrough: 0, heard: true, told: true }
  const heard: CoreTables['heardPeers'] = { epochMs: startEpochMs }
  return new Map<string, Map<string, unknown>>([
    ['links', new Map(names.map((name) => [name, link]))],
    ['heardPeers', new Map(names.map((name) => [name, heard]))],
  ])
}

type Hearing = (at: number, from: string, topic: GossipTopic, note: string) => void

/** Judges a note at the first site that it reaches; each other one looks whether it is newer. */
function hearing(machines: readonly Machine[], time: VirtualTime): Hearing {
  const recent = new Map<string, KeptOffer>()
  return (at, from, topic, note) => {
    const machine = machines[at]!
    const { process, federation } = machine
    if (!process || !federation) return
    const known = topic === 'offers' ? recent.get(note) : undefined
    if (!known) {
      const heard = { topic, from: from as SiteName, note, nowEpochMs: time.now() }
      const self = selfOf(machine, federation)
      const judgement = judgeGossip(draft<CoreTables>(process.loop.tables), self, heard)
      if (judgement.verdict !== 'accept') return
      if (judgement.event.kind === 'offerHeard') remember(recent, judgement.event.kept)
      return process.loop.push(judgement.event)
    }
    const kept = process.loop.tables.get('offers')?.get(from) as KeptOffer | undefined
    if (kept && kept.offer.sequence >= known.offer.sequence) return
    const { offer } = known
    const expiresEpochMs = time.now() + offer.valid_seconds * 1_000
    const own: KeptOffer = { offer, note, receivedEpochMs: time.now(), expiresEpochMs }
    process.loop.push({ kind: 'offerHeard', kept: own })
  }
}

const rememberedMax = 10_000

function remember(recent: Map<string, KeptOffer>, kept: KeptOffer): void {
  recent.set(kept.note, kept)
  for (const oldest of recent.keys()) {
    if (recent.size <= rememberedMax) return
    recent.delete(oldest)
  }
}

function noticing(scheduler: BatchScheduler, submitted: (tag: string) => void): BatchScheduler {
  return {
    ...scheduler,
    submit(submission) {
      submitted(submission.tag)
      return scheduler.submit(submission)
    },
  }
}
