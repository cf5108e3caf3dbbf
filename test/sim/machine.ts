// One simulated site: what outlives a crash (disk, spool, scheduler, keys) and the process, while
// one runs. A crash can come at every point that the process passes: before and after a commit,
// before and after an effect, before the result of one.

import type { FederationId, SiteName } from '../../protocol/base/ids.ts'
import type { Microcredits } from '../../protocol/base/units.ts'
import { microcredits, zeroMicrocredits } from '../../protocol/base/units.ts'
import type { Message } from '../../protocol/machine/messages.ts'
import type { Effect } from '../../protocol/machine/effects.ts'
import type { Self } from '../../protocol/machine/state.ts'
import type { Happening, Loop } from '../../node/loop.ts'
import type { BatchScheduler } from './batch-scheduler.ts'
import { batchScheduler } from './batch-scheduler.ts'
import type { Disk } from './disk.ts'
import { openDisk } from './disk.ts'
import type { Identity } from './identity.ts'
import { identityOf } from './identity.ts'
import type { Endpoint, Network } from './network.ts'
import type { Faults, Profile, SiteProfile } from './profile.ts'
import type { Random } from './random.ts'
import { random } from './random.ts'
import type { Mark } from './restoring.ts'
import type { Spool } from './spool.ts'
import { emptySpool } from './spool.ts'
import type { VirtualTime } from './virtual-time.ts'

/** What a machine needs of the world around it. */
export interface Surroundings {
  readonly time: VirtualTime
  readonly network: Network
  readonly profile: Profile
  /** What goes wrong at present: all of it, or nothing once the world is healed. */
  faults(): Faults
  machine(site: SiteName): Machine | undefined
  sites(): readonly SiteName[]
  /** Where only some sites know one another well: whom this one gives credit. */
  partners?(site: SiteName): readonly SiteName[]
  /** True: the machine crashes here and now. */
  point(machine: Machine, what: string): boolean
  answered(request: string, answer: Extract<Effect, { kind: 'answer' }>['answer']): void
  sent(machine: Machine, to: SiteName, message: Message): void
  /** A message has come to its addressee: what it says is in the world. */
  received(encoded: string): void
  committed(machine: Machine): void
  crashed(machine: Machine, why: string): void
  log(machine: Machine, what: string): void
}

export interface Machine {
  /** Its keys change with an epoch. */
  identity: Identity
  readonly profile: SiteProfile
  readonly disk: Disk
  readonly spool: Spool
  readonly scheduler: BatchScheduler
  readonly chance: Random
  skewMs: number
  /** Its operator lets it take no new work. */
  draining: boolean
  /** It has left the federation and runs no more. */
  isGone: boolean
  /** Beside the database: the texts of its snapshots by size, and the entries that it dropped. */
  readonly snapshots: Map<number, string>
  readonly mirror: Map<string, string>
  coreHour: Microcredits
  creditLimit: Microcredits
  /** Beside the database: the high-water mark, and what the root key has signed of later epochs. */
  mark: Mark | undefined
  /**
   * The disk was put back: `known` to its operator, or to the count of commits that was kept beside
   * it, so that no process starts on it; `unnoticed`: that is lost, and nobody thinks of it.
   */
  restored: 'no' | 'known' | 'unnoticed'
  /** How often it was put back. */
  restores: number
  readonly renewals: string[]
  federation: FederationId | undefined
  /** What becomes of its effects; undefined for an honest site. */
  lie: ((effect: Effect) => readonly Effect[]) | undefined
  process: Process | undefined
  readonly world: Surroundings
}

export interface Process {
  readonly loop: Loop
  readonly endpoint: Endpoint
  alive: boolean
  /** Pieces of work under way, each name once. */
  readonly busy: Set<string>
  /** Virtual time of its start. */
  readonly startedMs: number
  /** Looks at the scheduler soon. */
  look(): void
}

export function openMachine(world: Surroundings, at: number): Machine {
  const identity = identityOf(at)
  const { profile, time } = world
  const own = profile.sites[at]
  if (!own) throw new Error(`no profile for site ${at}`)
  const chance = random(profile.seed, `machine ${identity.site}`)
  const machine: Machine = {
    identity,
    profile: own,
    disk: openDisk({
      time,
      chance: random(profile.seed, `disk ${identity.site}`),
      commitMsMax: profile.commitMsMax,
      tearing: random(profile.seed, `torn ${identity.site}`),
      torn: () => world.faults().torn,
    }),
    spool: emptySpool(),
    scheduler: batchScheduler({
      time,
      fates: profile,
      size: own.size,
      mischief: profile.faults,
      log: (text) => world.log(machine, text),
    }),
    chance,
    skewMs: own.skewMs,
    draining: false,
    isGone: false,
    snapshots: new Map(),
    mirror: new Map(),
    coreHour: own.coreHour,
    creditLimit: own.creditLimit,
    mark: undefined,
    restored: 'no',
    restores: 0,
    renewals: [],
    federation: undefined,
    lie: undefined,
    process: undefined,
    world,
  }
  return machine
}

export function selfOf(machine: Machine, federation: FederationId): Self {
  const { identity, profile, world } = machine
  const partners = world.partners?.(identity.site)
  return {
    site: identity.site,
    federation,
    signer: identity.signer,
    witness: identity.witness,
    scheduler: 'simulated',
    tariff: {
      task: profile.task,
      coreHour: machine.coreHour,
      gibHour: microcredits(1_000n),
      speedPermille: profile.speedPermille,
      loadFactorMaxPermille: 2_000,
    },
    market: {
      windowMs: world.profile.windowMs,
      bidValidSeconds: 30,
      leaseSeconds: world.profile.leaseSeconds,
      acceptSeconds: 86_400,
      interimSeconds: world.profile.interimSeconds,
      exposurePermille: world.profile.exposurePermille,
      autoPermille: 0, arbiter: '',
      awardSeconds: 20,
      shortlistSites: 8,
      queueAheadPermille: world.profile.queueAheadPermille ?? 500,
      roundRetryMsMin: 1_000,
      roundRetryMsMax: 30_000,
    },
    credit: {
      defaultLimit: partners ? zeroMicrocredits : machine.creditLimit,
      limits: new Map((partners ?? world.sites()).map((site) => [site, machine.creditLimit])),
    },
    offers: { validSeconds: 120, heartbeatMs: 30_000 },
    attributes: profile.attributes,
    keepResultsSeconds: world.profile.keepResultsSeconds,
    jobsOpenMax: world.profile.jobsOpenMax ?? 1_000,
    draining: machine.draining,
  }
}

/** One point at which a crash may be planned; true if the process is gone. */
export function pass(machine: Machine, process: Process, what: string): boolean {
  if (!process.alive) return true
  if (!machine.world.point(machine, what)) return false
  crash(machine, `planned: ${what}`)
  return true
}

/** Something that was under way is over: its result, unless the process is gone. */
export function result(machine: Machine, process: Process, happening: Happening): void {
  if (!process.alive || pass(machine, process, `result ${happening.kind}`)) return
  machine.world.log(machine, `${happening.kind} ${idsOf(happening)}`)
  process.loop.push(happening)
}

function idsOf(happening: object): string {
  const { tranche, task, detail } =
    happening as { readonly tranche?: string; readonly task?: number; readonly detail?: string }
  return [tranche, task, detail].filter((part) => part !== undefined).join(' ')
}

export function crash(machine: Machine, why: string): void {
  const { process, world } = machine
  if (!process) return
  process.alive = false
  process.loop.stop()
  world.network.detach(process.endpoint)
  machine.disk.crash()
  machine.process = undefined
  world.log(machine, `crashes (${why})`)
  world.crashed(machine, why)
}

