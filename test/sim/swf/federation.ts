// Workloads on a federation: each site has the production core and the production loop, on virtual
// time, beside a scheduler of its real size; its users submit what the log says when the log says
// it. Nothing fails here: what is measured is where the market puts the work, and what it says.

import type { JobId } from '../../../protocol/base/ids.ts'
import { sha256Hex } from '../../../protocol/base/crypto.ts'
import { microcredits } from '../../../protocol/base/units.ts'
import type { Answer } from '../../../protocol/machine/effects.ts'
import type { Message } from '../../../protocol/machine/messages.ts'
import type { CoreTables } from '../../../protocol/machine/state.ts'
import { encodeJoinRequest } from '../../../protocol/rules/membership.ts'
import type { Account } from '../../../protocol/rules/ledger-book.ts'
import type { Happening } from '../../../node/loop.ts'
import type { Submission } from '../batch-scheduler.ts'
import { found, genesisOf, join } from '../identity.ts'
import type { Machine, Surroundings } from '../machine.ts'
import { openMachine } from '../machine.ts'
import type { Network } from '../network.ts'
import { createNetwork } from '../network.ts'
import { startMachine } from '../process.ts'
import type { Profile, SiteProfile } from '../profile.ts'
import { noFaults } from '../profile.ts'
import { random } from '../random.ts'
import { jobWith } from '../users.ts'
import type { VirtualTime } from '../virtual-time.ts'
import { virtualTime } from '../virtual-time.ts'
import type { Ran } from './central.ts'
import { easyScheduler } from './easy-scheduler.ts'
import type { TraceJob, Workload } from './workload.ts'

export interface FederationOptions {
  readonly seed: number
  readonly queueAheadPermille: number
  /** Called now and then, with the share of the jobs that have ended. */
  readonly progress?: (ended: number, of: number) => void
}

interface Count {
  messages: number
  bytes: number
}

/** What a site said to others, each note of gossip once for every site that it goes to. */
export interface Traffic {
  /** About jobs. */
  readonly about: Readonly<Count>
  /** That sites say whether there are jobs or not: offers, heads of logs, who belongs. */
  readonly beside: Readonly<Count>
  readonly kinds: ReadonlyMap<string, number>
}

export interface FederationRun {
  readonly ran: readonly Ran[]
  /** Of each site: what it said. */
  readonly traffic: readonly Traffic[]
  /** Of each site, in credits: earned from the others, and owed to them. */
  readonly credits: readonly { readonly earned: number; readonly spent: number }[]
  /** Virtual time from the first submission to the end of everything. */
  readonly hours: number
}

const startEpochMs = 1_750_000_000_000
/** Before the first submission: the sites join and hear one another's offers. */
const enrolMs = 30_000
const restMsMax = 400 * 86_400_000
const stepMs = 60_000
const walltimeSecondsMax = 365 * 86_400
const plenty = microcredits(1_000_000_000_000_000n)

interface Counted {
  readonly about: Count
  readonly beside: Count
  readonly kinds: Map<string, number>
}

/** Said whether there are jobs or not. */
const standing: ReadonlySet<string> = new Set([
  'summary', 'members', 'offers', 'charter', 'head', 'head_wanted', 'heads', 'cosigned', 'evidence',
  'evidence_known',
])

/** Runs every workload at a site of its own until all of it is done. */
export function runFederation(
  workloads: readonly Workload[], options: FederationOptions,
): FederationRun {
  const profile = profileFor(workloads, options)
  const time = virtualTime(startEpochMs)
  const traffic = workloads.map((): Counted => ({
    about: { messages: 0, bytes: 0 }, beside: { messages: 0, bytes: 0 }, kinds: new Map(),
  }))
  const asked = new Map<string, (answer: Answer) => void>()
  const network = counted(networkFor(time, options.seed), workloads.length - 1, (from) =>
    traffic[machines.findIndex(({ identity }) => identity.site === from)])
  const machines: Machine[] = []
  const surroundings: Surroundings = {
    time,
    network,
    profile,
    faults: () => noFaults,
    machine: (site) => machines.find(({ identity }) => identity.site === site),
    sites: () => machines.map(({ identity }) => identity.site),
    point: () => false,
    answered(request, answer) {
      asked.get(request)?.(answer)
      asked.delete(request)
    },
    sent: () => undefined,
    received: () => undefined,
    committed: () => undefined,
    crashed: (machine, why) => {
      throw new Error(`${machine.identity.site} crashed: ${why}`)
    },
    log: () => undefined,
  }
  const jobs = new Map<JobId, TraceJob>()
  const ran: Ran[] = []
  for (const at of workloads.keys()) {
    const { speedPermille = 1_000 } = workloads[at]!
    machines.push(machineWith(surroundings, at, { jobs, ran, speedPermille }))
  }
  const ask = (machine: Machine, happening: (request: string) => Happening): Promised => {
    const request = `r${asked.size} ${time.now()} ${machine.identity.site}`
    return (then) => {
      asked.set(request, then)
      machine.process?.loop.push(happening(request))
    }
  }
  enrol(machines, ask, time)
  time.runUntil(startEpochMs + enrolMs)
  const total = submitAll(workloads, { machines, ask, time, jobs })
  const end = time.now() + restMsMax
  while (!(ran.length === total && atRest(machines))) {
    if (time.now() > end) throw new Error(`after ${restMsMax / 86_400_000} days work is left`)
    time.runUntil(time.now() + stepMs)
    options.progress?.(ran.length, total)
  }
  const ranMs = time.now() - startEpochMs - enrolMs
  return { ran, traffic, credits: machines.map(creditsOf), hours: ranMs / 3_600_000 }
}

type Promised = (then: (answer: Answer) => void) => void
type Ask = (machine: Machine, happening: (request: string) => Happening) => Promised

function profileFor(workloads: readonly Workload[], options: FederationOptions): Profile {
  const sites = workloads.map(({ processors, speedPermille = 1_000 }): SiteProfile => ({
    size: { cores: processors, memoryMib: processors * 1_024, walltimeSecondsMax },
    coreHour: microcredits(1_000_000n),
    task: microcredits(0n),
    speedPermille,
    creditLimit: plenty,
    skewMs: 0,
    attributes: [],
  }))
  return {
    seed: options.seed,
    name: 'workload',
    sites,
    late: false,
    jobs: 0,
    tasksMax: 1,
    minutes: 0,
    commitMsMax: 5,
    windowMs: 1_000,
    leaseSeconds: 300,
    interimSeconds: 86_400,
    exposurePermille: 1_000,
    keepResultsSeconds: 3_600,
    queueAheadPermille: options.queueAheadPermille,
    jobsOpenMax: 100_000,
    outcome: { durationMs: 0, exitCode: 0, missing: [], lostAfterMs: undefined },
    faults: noFaults,
  }
}

function networkFor(time: VirtualTime, seed: number): Network {
  const { delayMsMax, loss, doubled, overtaking } = noFaults
  return createNetwork({
    time, chance: random(seed, 'network'), delayMsMax, loss, doubled, overtaking,
  })
}

function counted(
  network: Network, others: number, of: (from: string) => Counted | undefined,
): Network {
  const add = (from: string, kind: string, text: string, copies: number): void => {
    const said = of(from)
    if (!said) return
    const count = standing.has(kind) ? said.beside : said.about
    count.messages += copies
    count.bytes += copies * Buffer.byteLength(text)
    said.kinds.set(kind, (said.kinds.get(kind) ?? 0) + copies)
  }
  return {
    ...network,
    send(from, to, encoded) {
      const { kind } = JSON.parse(encoded) as Pick<Message, 'kind'>
      add(from, kind, encoded, 1)
      network.send(from, to, encoded)
    },
    publish(from, gossip) {
      add(from, gossip.topic, gossip.note, others)
      network.publish(from, gossip)
    },
  }
}

function machineWith(
  surroundings: Surroundings, at: number,
  { jobs, ran, speedPermille }: {
    readonly jobs: ReadonlyMap<JobId, TraceJob>; readonly ran: Ran[]
    readonly speedPermille: number
  },
): Machine {
  const { time } = surroundings
  const started = new Map<string, number>()
  const jobOf = ({ tag }: Submission): TraceJob => {
    const tables = machine.process?.loop.tables
    const tranche = tables?.get('hostTranches')?.get(tag) as CoreTables['hostTranches'] | undefined
    const known = tranche && tables?.get('hostJobs')?.get(tranche.contract) as
      CoreTables['hostJobs'] | undefined
    const job = known && jobs.get(known.job)
    if (!job) throw new Error(`${tag} runs a job that nobody submitted`)
    return job
  }
  const whose = new Map<string, TraceJob>()
  const zero = startEpochMs + enrolMs
  const machine: Machine = {
    ...openMachine(surroundings, at),
    scheduler: easyScheduler({
      time,
      size: surroundings.profile.sites[at]!.size,
      runMs: (submission) => Math.ceil((jobOf(submission).runMs * 1_000) / speedPermille),
      started(submission, nowMs, task) {
        whose.set(submission.tag, jobOf(submission))
        started.set(`${submission.tag}/${task}`, nowMs)
      },
      ended({ tag }, nowMs, task) {
        const job = whose.get(tag)
        if (!job) throw new Error(`${tag} ends without a start`)
        ran.push({ job, startMs: started.get(`${tag}/${task}`)! - zero, endMs: nowMs - zero, at })
      },
    }),
  }
  return machine
}

function enrol(machines: readonly Machine[], ask: Ask, time: VirtualTime): void {
  const [founder, ...others] = machines
  if (!founder) return
  const nonce = sha256Hex('workload').slice(0, 32)
  const founded = found(founder.identity, nonce, startEpochMs)
  const { federation } = founded
  founder.disk.install(founded.writes)
  founder.federation = federation
  startMachine(founder)
  const admit = (at: number): void => {
    const newcomer = others[at]
    if (!newcomer) return
    const secret = sha256Hex(`secret ${newcomer.identity.site}`).slice(0, 32)
    const genesis = genesisOf(newcomer.identity, federation, startEpochMs)
    const addresses = [...newcomer.identity.addresses]
    const encoded = encodeJoinRequest({ secret, genesis, addresses })
    const expiresEpochMs = startEpochMs + 86_400_000
    ask(founder, (request) => ({
      kind: 'inviteRequested', request, secretHash: sha256Hex(secret), expiresEpochMs,
    }))(() => ask(founder, (request) => ({ kind: 'joinRequested', request, encoded }))((answer) => {
      if (answer.kind !== 'joined') throw new Error(`not admitted: ${JSON.stringify(answer)}`)
      newcomer.disk.install(join(newcomer.identity, genesis, answer.encoded))
      newcomer.federation = federation
      startMachine(newcomer)
      time.after(1, () => admit(at + 1))
    }))
  }
  admit(0)
}

function submitAll(
  workloads: readonly Workload[],
  { machines, ask, time, jobs }: {
    readonly machines: readonly Machine[]; readonly ask: Ask; readonly time: VirtualTime
    readonly jobs: Map<JobId, TraceJob>
  },
): number {
  const all = workloads.flatMap((one) => one.jobs)
  for (const [at, job] of all.entries()) {
    time.after(job.submitMs, () => {
      const machine = machines[job.site]!
      const signed = jobWith({
        name: `job-${at}`,
        ...(job.tasks !== undefined && { tasks: `0-${job.tasks - 1}`, array: 1 }),
        nonce: at.toString(16).padStart(32, '0'),
        cores: job.cores,
        memory_mib: job.cores * 1_024,
        walltime_seconds: job.walltimeSeconds,
        policy: 'soonest',
        budget: plenty,
        start_within_seconds: walltimeSecondsMax,
      })
      jobs.set(signed.id, job)
      machine.spool.inputs.add(signed.id)
      ask(machine, (request) => ({ kind: 'jobSubmitted', request, job: signed }))((answer) => {
        if (answer.kind !== 'submitted') throw new Error(`not taken: ${JSON.stringify(answer)}`)
      })
    })
  }
  return all.reduce((sum, { tasks = 1 }) => sum + tasks, 0)
}

/** Every job has ended at its home and every account is closed. */
function atRest(machines: readonly Machine[]): boolean {
  return machines.every(({ process }) => {
    const tables = process?.loop.tables
    const jobs = (tables?.get('jobs')?.values() ?? []) as Iterable<CoreTables['jobs']>
    for (const { state } of jobs) if (state.kind !== 'ended') return false
    return (tables?.get('hostTranches')?.size ?? 0) === 0
  })
}

/** Microcredits to credits, for people: nothing is decided by it. */
function creditsOf({ identity, process }: Machine): { earned: number; spent: number } {
  const accounts = (process?.loop.tables.get('ledgerAccounts')?.values() ?? []) as Iterable<Account>
  let [earned, spent] = [0n, 0n]
  for (const { creditor, debtor, posted } of accounts) {
    if (creditor === identity.site) earned += posted
    if (debtor === identity.site) spent += posted
  }
  return { earned: Number(earned) / 1e6, spent: Number(spent) / 1e6 }
}

