// A simulated federation: sites on virtual time, users, faults. Everything follows from the
// profile, so the same seed gives the same transcript to the last byte. The phases of a run are in
// run.ts.

import type { JobId, SiteName } from '../../protocol/base/ids.ts'
import { sha256Hex } from '../../protocol/base/crypto.ts'
import { microcredits } from '../../protocol/base/units.ts'
import type { Answer } from '../../protocol/machine/effects.ts'
import { encodeMessage } from '../../protocol/machine/messages.ts'
import type { SignedJob } from '../../protocol/rules/job.ts'
import { encodeJoinRequest } from '../../protocol/rules/membership.ts'
import { found, genesisOf, join } from './identity.ts'
import { checkLeases } from './lives.ts'
import type { Machine, Surroundings } from './machine.ts'
import { openMachine } from './machine.ts'
import type { Network } from './network.ts'
import { createNetwork } from './network.ts'
import { checkHeard, checkSent, checkSite } from './oracle.ts'
import { startMachine } from './process.ts'
import type { Profile } from './profile.ts'
import { noFaults } from './profile.ts'
import type { Random } from './random.ts'
import { random, spread } from './random.ts'
import type { Asking, SubmittedJob } from './users.ts'
import type { VirtualTime } from './virtual-time.ts'
import { virtualTime } from './virtual-time.ts'

export const startEpochMs = 1_750_000_000_000

export interface Overheard {
  readonly from: SiteName
  readonly to: SiteName
  readonly encoded: string
  /** Virtual time. */
  readonly atMs: number
}

export interface World {
  readonly profile: Profile
  readonly time: VirtualTime
  readonly network: Network
  readonly machines: readonly Machine[]
  readonly jobs: Map<JobId, SubmittedJob>
  /** The newest messages that were sent, for those who replay them. */
  readonly overheard: Overheard[]
  /** Whether a machine crashes at a point; replaced by whoever plans the crashes. */
  point: (machine: Machine, what: string) => boolean
  healed: boolean
  /** How long a crashed machine stays down. */
  downMs: () => number
  ask(machine: Machine, asking: Asking): void
  submit(machine: Machine, signed: SignedJob): void
  cancel(machine: Machine, job: JobId): void
  /** Founds the federation and has the others join, one after the other. */
  enrol(): void
  log(text: string): void
  /** The transcript: all of it if traced, else its end. */
  readonly lines: string[]
  hash(): string
  counts(): {
    readonly lines: number; readonly commits: number; readonly crashes: number
    readonly messages: number
  }
}

export interface WorldOptions {
  /** Called with each line of the transcript. */
  readonly trace?: (line: string) => void
  /** Keep the whole transcript. */
  readonly keep?: boolean
}

const askAgainMs = 5_000
const poorMs = 10_000
const linesKept = 400
const overheardKept = 300
/** One commit in so many is checked. */
const checkEvery = 16

export function createWorld(profile: Profile, options: WorldOptions = {}): World {
  const time = virtualTime(startEpochMs)
  const { faults } = profile
  const network = createNetwork({
    time,
    chance: random(profile.seed, 'network'),
    delayMsMax: faults.delayMsMax,
    loss: faults.loss,
    doubled: faults.doubled,
    overtaking: faults.overtaking,
  })
  const lines: string[] = []
  const requests = new Map<string, (answer: Answer) => void>()
  const said = new Map<string, string>()
  const downs = random(profile.seed, 'downs')
  let [rolling, lineCount, commits, crashes, asked, messages] = [0, 0, 0, 0, 0, 0]

  const log = (text: string): void => {
    const line = `${((time.now() - startEpochMs) / 1_000).toFixed(3).padStart(9)} ${text}`
    rolling = spread(`${rolling} ${line}`)
    lineCount++
    lines.push(line)
    if (options.keep !== true && lines.length > 2 * linesKept) lines.splice(0, linesKept)
    options.trace?.(line)
  }

  const surroundings: Surroundings = {
    time,
    network,
    profile,
    faults: () => world.healed ? noFaults : faults,
    machine: (site) => world.machines.find(({ identity }) => identity.site === site),
    sites: () => world.machines.map(({ identity }) => identity.site),
    point: (machine, what) => world.point(machine, what),
    answered(request, answer) {
      requests.get(request)?.(answer)
      requests.delete(request)
    },
    sent(machine, to, message) {
      messages++
      if (!machine.lie) checkSent(machine, message)
      const { site: from } = machine.identity
      world.overheard.push({ from, to, encoded: encodeMessage(message), atMs: time.now() })
      if (world.overheard.length > overheardKept) world.overheard.shift()
    },
    received(encoded) {
      if (faults.restoreEveryMs > 0) checkHeard(said, encoded)
    },
    committed(machine) {
      if (++commits % checkEvery !== 0) return
      checkSite(machine)
      checkLeases(machine)
    },
    crashed(machine) {
      crashes++
      if (!world.healed && downs.chance(faults.changes)) change(machine, downs)
      time.after(world.downMs(), () => startMachine(machine))
    },
    log: (machine, what) => log(`${machine.identity.site.split('.')[0]}: ${what}`),
  }

  /** Nobody has granted anything yet: its owner tries again, and gives up with the faults. */
  const poor = (machine: Machine, signed: SignedJob): void => {
    world.jobs.delete(signed.id)
    if (!world.healed) time.after(poorMs, () => world.submit(machine, signed))
  }

  const world: World = {
    profile,
    time,
    network,
    machines: profile.sites.map((_, at) => openMachine(surroundings, at)),
    jobs: new Map(),
    overheard: [],
    point: () => false,
    healed: false,
    downMs: () => downs.chance(150) ? downs.between(60_000, 200_000) : downs.between(1_000, 15_000),
    lines,
    log,
    hash: () => `${(rolling >>> 0).toString(16).padStart(8, '0')} ${lineCount}`,
    counts: () => ({ lines: lineCount, commits, crashes, messages }),
    ask(machine, asking) {
      let left = asking.times
      let over = false
      const attempt = (): void => {
        if (over || left-- === 0) return
        asking.before?.()
        const request = `r${++asked}`
        requests.set(request, (answer) => {
          if (over) return
          over = true
          asking.answered(answer)
        })
        machine.process?.loop.push(asking.ask(request))
        time.after(askAgainMs, attempt)
      }
      attempt()
    },
    submit(machine, signed) {
      const job: SubmittedJob = {
        site: machine.identity.site, signed, answered: false, cancelled: false,
      }
      world.jobs.set(signed.id, job)
      world.ask(machine, {
        times: 1_000,
        before: () => void machine.spool.inputs.add(signed.id),
        ask: (request) => ({ kind: 'jobSubmitted', request, job: signed }),
        answered(answer) {
          log(`user: ${signed.document.name} (${signed.id}) ${answer.kind}`)
          if (answer.kind === 'submitted') job.answered = true
          // The disk was put back to before its parent was handed in.
          else if (answer.kind === 'refused' && answer.code === 'bad_dependency') {
            world.jobs.delete(signed.id)
          } else if (answer.kind === 'refused' && answer.code === 'no_allocation') {
            poor(machine, signed)
          } else throw new Error(`a job was not taken: ${JSON.stringify(answer)}`)
        },
      })
    },
    cancel(machine, id) {
      const job = world.jobs.get(id)
      if (!job?.answered) return
      job.cancelled = true
      log(`user: cancels ${id}`)
      world.ask(machine, {
        times: 1_000,
        ask: (request) => ({ kind: 'cancelRequested', request, job: id }),
        answered: () => undefined,
      })
    },
    enrol: () => enrol(world),
  }
  return world
}

/**
 * What an administrator, or a clock, does to a site that is down; limits only rise, so the oracle
 * can tell.
 */
function change(machine: Machine, chance: Random): void {
  switch (chance.int(3)) {
    case 0:
      machine.skewMs += chance.between(-200_000, 200_000)
      break
    case 1:
      machine.coreHour = microcredits(BigInt(chance.between(0, 30)) * 100_000n)
      break
    default:
      machine.creditLimit = microcredits(machine.creditLimit * 2n + 100_000n)
  }
}

function enrol(world: World): void {
  const { machines, profile } = world
  const [founder, ...others] = machines
  if (!founder) return
  const nonce = sha256Hex(`seed ${profile.seed}`).slice(0, 32)
  const founded = found(founder.identity, nonce, startEpochMs)
  founder.disk.install(founded.writes)
  founder.federation = founded.federation
  startMachine(founder)
  const next = (at: number): void => {
    const newcomer = others[at]
    const late = profile.late && at > 0 && newcomer === others.at(-1)
    if (newcomer && late) {
      const sponsored = (): void =>
        admit(world, { newcomer, sponsor: machines[1]! }, () => undefined)
      world.time.after(random(profile.seed, 'late').int(profile.minutes * 60_000), sponsored)
    } else if (newcomer) {
      const sponsor = machines[Math.floor(at / 2)]!
      admit(world, { newcomer, sponsor }, () => next(at + 1))
    }
  }
  next(0)
}

function admit(
  world: World, { newcomer, sponsor }: { newcomer: Machine; sponsor: Machine }, then: () => void,
): void {
  const { federation } = sponsor
  if (!federation) throw new Error('the sponsor is a member')
  const secret = sha256Hex(`secret ${newcomer.identity.site}`).slice(0, 32)
  const genesis = genesisOf(newcomer.identity, federation, startEpochMs)
  const { addresses } = newcomer.identity
  const expiresEpochMs = startEpochMs + 86_400_000
  const encoded = encodeJoinRequest({ secret, genesis, addresses: [...addresses] })
  const request = (): void => world.ask(sponsor, {
    times: 100,
    ask: (name) => ({ kind: 'joinRequested', request: name, encoded }),
    answered(answer) {
      if (answer.kind !== 'joined') throw new Error(`not admitted: ${JSON.stringify(answer)}`)
      newcomer.disk.install(join(newcomer.identity, genesis, answer.encoded))
      newcomer.federation = federation
      startMachine(newcomer)
      then()
    },
  })
  world.ask(sponsor, {
    times: 100,
    ask: (name) => ({
      kind: 'inviteRequested', request: name, secretHash: sha256Hex(secret), expiresEpochMs,
    }),
    answered: request,
  })
}
