// A whole run: the sites join, the users submit, faults come; then everything is healed, the
// federation gets a bounded time to come to rest, and the books are checked.

import type { JobId, Sid } from '../../protocol/base/ids.ts'
import { trancheIdOf } from '../../protocol/base/ids.ts'
import { draft } from '../../protocol/base/tables.ts'
import type { HoldRecord } from '../../protocol/rules/ledger-book.ts'
import type { CoreTables } from '../../protocol/machine/state.ts'
import { startArchivists } from './archive.ts'
import { startAuthorities } from './authorities.ts'
import { checkBooks } from './books.ts'
import { planFaults } from './faults.ts'
import { startHostility } from './hostile.ts'
import { checkInvariants } from './invariants.ts'
import { remaining, startLying } from './liars.ts'
import { startLeaving } from './leaving.ts'
import type { Machine } from './machine.ts'
import { checkSite, demand } from './oracle.ts'
import type { Profile } from './profile.ts'
import { commandFor } from './profile.ts'
import { random } from './random.ts'
import { startOperators } from './operators.ts'
import { startMachine } from './process.ts'
import { drawJob } from './users.ts'
import { letGo, startVerbs, withWait } from './verbs.ts'
import type { World, WorldOptions } from './world.ts'
import { createWorld, startEpochMs } from './world.ts'

/** After the enrolment, before the first fault. */
export const enrolledMs = 10_000
const restMsMax = 4 * 3_600_000
const stepMs = 5_000

export interface Run {
  readonly world: World
  readonly hash: string
  readonly virtualMs: number
}

/** Runs a profile to its end; throws what does not hold, with the end of the transcript. */
export function run(profile: Profile, options: WorldOptions = {}): Run {
  const world = createWorld(profile, options)
  try {
    world.enrol()
    world.time.runUntil(startEpochMs + enrolledMs)
    const end = startEpochMs + enrolledMs + profile.minutes * 60_000
    startLying(world)
    startUsers(world)
    startOperators(world)
    startAuthorities(world)
    startArchivists(world)
    startLeaving(world)
    startVerbs(world)
    const plan = planFaults({ ...world, log: (text) => world.log(text) })
    world.point = (machine, what) => plan.point(machine, what)
    startHostility(world)
    world.time.runUntil(end)
    plan.heal()
    heal(world)
    letGo(world)
    rest(world)
    checkBooks(world)
    checkInvariants(remaining(world.machines))
  } catch (error) {
    throw explained(world, error)
  }
  return { world, hash: world.hash(), virtualMs: world.time.now() - startEpochMs }
}

function explained(world: World, error: unknown): Error {
  const { profile } = world
  const text = error instanceof Error ? error.stack ?? error.message : String(error)
  const message = `seed ${profile.seed} (${profile.name}, ${profile.sites.length} sites) failed: ` +
    `${text}\n  the end of its transcript:\n${world.lines.slice(-40).join('\n')}\n` +
    `replay it with: ${profile.command ?? commandFor(profile.seed)} --trace`
  return new Error(message, { cause: error })
}

function startUsers(world: World): void {
  const { profile, time, machines } = world
  for (let index = 0; index < profile.jobs; index++) {
    const chance = random(profile.seed, `user ${index}`)
    const machine = chance.pick(machines)
    const signed = drawJob(profile, index)
    const at = chance.int(chance.chance(500) ? 15_000 : profile.minutes * 40_000)
    let id = signed.id
    time.after(at, () => {
      const waits = withWait(world, machine, signed, index)
      id = waits.id
      world.submit(machine, waits)
    })
    if (chance.chance(200)) {
      time.after(at + chance.between(50, 60_000), () => world.cancel(machine, id))
    }
  }
}

/** Nothing goes wrong from here on; whoever is down starts again. */
export function heal(world: World): void {
  world.healed = true
  world.log('everything is healed')
  world.network.calm()
  for (const machine of world.machines) {
    world.time.after(100, () => startMachine(machine))
  }
}

/** Lets virtual time pass until nothing is left to do; law 5 bounds it. */
export function rest(world: World): void {
  const restMs = world.profile.liar === undefined ? restMsMax : 3 * restMsMax
  const end = world.time.now() + restMs
  for (let busy = whatIsOpen(world); busy.length > 0; busy = whatIsOpen(world)) {
    demand(world.time.now() < end, 'laws 1 and 5', () =>
      `still open after ${restMs / 60_000} healed minutes: ${busy.slice(0, 10).join('; ')}`)
    world.time.runUntil(world.time.now() + stepMs)
  }
  world.log('everything is at rest')
  for (const machine of world.machines) checkSite(machine)
}

/** Timers that go on for ever, at a slow pace. */
const everlasting = new Set(['exchange', 'offer', 'forget', 'invite', 'reconcile', 'day'])

/** What keeps the federation from being at rest, a sentence each. */
export function whatIsOpen(world: World): string[] {
  const open: string[] = []
  for (const [id, job] of world.jobs) {
    const isLiars = world.machines.some(({ identity, lie, isGone }) =>
      (lie || isGone) && identity.site === job.site)
    if (!job.answered && !isLiars) open.push(`${id} was not answered`)
  }
  for (const machine of remaining(world.machines)) open.push(...openAt(world, machine))
  return open
}

function openAt(world: World, machine: Machine): string[] {
  const { site } = machine.identity
  const tables = machine.process?.loop.tables
  if (!tables || !machine.process?.loop.idle()) return [`${site} does not run idly`]
  const rows = <K extends keyof CoreTables>(table: K): [string, CoreTables[K]][] =>
    [...tables.get(table) ?? []] as [string, CoreTables[K]][]
  const open: string[] = []
  const left = leftToPeople(world, machine)
  const contracts = new Set<string>()
  for (const [id, job] of rows('jobs')) {
    const { kind } = job.state
    if (kind !== 'ended') open.push(`${site}: job ${id} is ${kind}: ${job.note}`)
  }
  for (const [id, { state, host }] of rows('homeTranches')) {
    if (left.has(id) || state.kind === 'settled') continue
    open.push(`${site}: tranche ${id} at ${host} is ${state.kind}`)
  }
  for (const [id, { phase, directive, home, contract }] of rows('hostTranches')) {
    if (left.has(id)) contracts.add(contract)
    else open.push(`${site}: hosted tranche ${id} of ${home} is ${phase} under ${directive}`)
  }
  for (const [key] of rows('outbox')) {
    if (!left.has(key.split('/')[0]!)) open.push(`${site}: statement ${key} is not acknowledged`)
  }
  for (const [name] of rows('timers')) {
    const [kind = '', of = ''] = name.split('/')
    if (!everlasting.has(kind) && !left.has(of)) open.push(`${site}: timer ${name}`)
  }
  for (const [id] of rows('hostContracts')) {
    if (!contracts.has(id) && !left.has(id)) open.push(`${site}: hosted contract ${id}`)
  }
  for (const [id, { home }] of rows('openBids')) {
    if (!left.has(home)) open.push(`${site}: open bid ${id}`)
  }
  const heard = tables.get('heardPeers')
  for (const { identity } of remaining(world.machines)) {
    const isHeard = identity.site === site || heard?.has(identity.site)
    if (!isHeard) open.push(`${site} has not heard ${identity.site}`)
  }
  if (!machine.scheduler.idle() && !world.profile.liar) open.push(`${site}: its scheduler is busy`)
  return open
}

/**
 * Tranches with a final claim that one of the two sites knows nothing of any more, because its disk
 * was put back: their operators close them.
 */
function leftToPeople(world: World, machine: Machine): ReadonlySet<string> {
  const { process } = machine
  const restored = new Set<string>(world.machines.filter(({ restores }) => restores > 0)
    .map(({ identity }) => identity.site))
  const holds = (process?.loop.tables.get('ledgerHolds') ?? new Map()) as Map<Sid, HoldRecord>
  const people = [...holds.values()].filter(({ home, host, claimedFinal, endedIndex }) =>
    claimedFinal === 1 && endedIndex === 0 && (restored.has(home) || restored.has(host)))
    .map(({ sid }) => trancheIdOf(sid))
  return new Set<string>([...people, ...withLiars(world, machine)])
}

/** Whatever is open with a liar, or who has left: its name, tranches and contracts. */
function withLiars(world: World, { process }: Machine): string[] {
  const liars = world.machines.filter(({ lie, isGone }) => lie || isGone)
    .map(({ identity }) => identity.site)
  const view = draft<CoreTables>(process?.loop.tables ?? new Map())
  const open: string[] = [...liars]
  for (const table of ['homeTranches', 'homeContracts'] as const) {
    for (const [id, { host }] of view.entries(table)) if (liars.includes(host)) open.push(id)
  }
  for (const table of ['hostTranches', 'hostContracts'] as const) {
    for (const [id, { home }] of view.entries(table)) if (liars.includes(home)) open.push(id)
  }
  return open
}

export function jobAt(machine: Machine, id: JobId): CoreTables['jobs'] | undefined {
  return machine.process?.loop.tables.get('jobs')?.get(id) as CoreTables['jobs'] | undefined
}
