// Sites in memory, driven step by step: messages travel only when a test lets them, so that it can
// put its own in their place. What a scheduler or a staging area does is pushed as events.

import type { Sid, SiteName } from '../../protocol/base/ids.ts'
import type { Draft, Tables } from '../../protocol/base/tables.ts'
import { sha256Hex } from '../../protocol/base/crypto.ts'
import { rangesValues } from '../../protocol/base/ranges.ts'
import { applyWrites, draft } from '../../protocol/base/tables.ts'
import { microcredits } from '../../protocol/base/units.ts'
import type { Effect } from '../../protocol/machine/effects.ts'
import type { Event } from '../../protocol/machine/events.ts'
import type { Message } from '../../protocol/machine/messages.ts'
import { historyFor, readNow } from '../../protocol/machine/history.ts'
import { encodeMessage } from '../../protocol/machine/messages.ts'
import type {
  CapacityRecord, CoreTables, HomeTranche, HostTranche, Self,
} from '../../protocol/machine/state.ts'
import { coldTables } from '../../protocol/machine/state.ts'
import { step } from '../../protocol/machine/step.ts'
import type { SignedJob } from '../../protocol/rules/job.ts'
import { encodeJoinAnswer } from '../../protocol/rules/membership.ts'
import { admitMember, issueStatement, logPublic } from '../../protocol/rules/ledger.ts'
import { parseStatement } from '../../protocol/rules/statement.ts'
import type { StatementInput } from '../../protocol/rules/statement.ts'
import { entriesRead, placesTaken } from '../sim/show-head.ts'
import type { Identity } from '../sim/identity.ts'
import { found, genesisOf, identityOf, join, must } from '../sim/identity.ts'

export const startMs = 1_750_000_000_000

type Happening = Event extends infer E ? (E extends Event ? Omit<E, 'at'> : never) : never
/** A statement without what its place gives it. */
type Said = StatementInput extends infer S
  ? (S extends StatementInput ? Omit<S, 'at'> : never) : never

export interface Site {
  readonly name: SiteName
  identity: Identity
  self: Self
  readonly tables: Tables
  /** Everything that was asked of the world, but messages. */
  readonly effects: Effect[]
  /** What lies on the disk and not in memory, by table and key. */
  readonly cold: Map<string, unknown>
  /** Messages that have not been carried yet. */
  readonly out: { readonly to: SiteName; readonly message: Message }[]
}

export interface World {
  nowMs: number
  readonly sites: Map<SiteName, Site>
}

export function view(site: Site): Draft<CoreTables> {
  return draft<CoreTables>(site.tables)
}

/** Applies and stores what a step has written. */
export function commit(site: Site, writes: Parameters<typeof applyWrites>[1]): void {
  applyWrites(site.tables, writes, coldTables)
  for (const { table, key, value } of writes) {
    if (coldTables.has(table)) site.cold.set(`${table}/${key}`, value)
  }
}

export function happen(world: World, site: Site, happening: Happening): Effect[] {
  const event = { ...happening, at: world.nowMs } as Event
  const { writes, effects } = step(site.self, site.tables, event)
  commit(site, writes)
  for (const effect of effects) {
    if (effect.kind === 'send') site.out.push(effect)
    else if (effect.kind === 'tellHistory') {
      const message = readNow(historyFor(view(site), effect), ({ table, key }) =>
        site.cold.get(`${table}/${key}`))
      site.out.push({ to: effect.to, message })
    } else if (effect.kind === 'readEntries') {
      const read = entriesRead((table, key) => site.cold.get(`${table}/${key}`), effect)
      if (read) happen(world, site, read)
    } else if (effect.kind === 'readPlaces') {
      const prefix = 'receiptPlaces/'
      const keys = [...site.cold.keys()].filter((key) => key.startsWith(prefix))
        .map((key) => key.slice(prefix.length))
      const read = (table: string, key: string): unknown => site.cold.get(`${table}/${key}`)
      for (const taken of placesTaken(read, keys, site.name, effect.places)) {
        happen(world, site, taken)
      }
    } else site.effects.push(effect)
  }
  return [...effects]
}

/** `from` says this to `to`, whatever it is. */
export function tell(world: World, from: Site, to: Site, message: Message): Effect[] {
  const encoded = encodeMessage(message)
  return happen(world, to, { kind: 'messageReceived', from: from.name, encoded })
}

/** A statement that the site's own machine would not make; it is logged and told. */
export function state(world: World, from: Site, to: Site, said: Said): Sid {
  const trial = view(from)
  const input = { ...said, at: world.nowMs } as StatementInput
  const issued = must(issueStatement(trial, from.identity.signer, input))
  commit(from, trial.writes())
  tell(world, from, to, { kind: 'statements', notes: [issued.note], have: 0, have_e: 1, heard: 1 })
  return issued.sid
}

/** Carries messages until none is left, except those that `keep` keeps back. */
export function carry(
  world: World, keep: (message: Message, from: Site) => boolean = () => false,
): void {
  for (let turns = 0; turns < 10_000; turns++) {
    let moved = false
    for (const site of world.sites.values()) {
      const next = site.out.shift()
      if (!next) continue
      moved = true
      const to = world.sites.get(next.to)
      if (!to || keep(next.message, site)) continue
      if (to === site) happen(world, site, { kind: 'messageDelivered', message: next.message })
      else tell(world, site, to, next.message)
    }
    if (!moved) return
  }
  throw new Error('messages without end')
}

/** Time goes on, with every deadline of every site on its way. */
export function pass(world: World, milliseconds: number, keep?: Parameters<typeof carry>[1]): void {
  const until = world.nowMs + milliseconds
  while (world.nowMs < until) {
    world.nowMs = Math.min(until, world.nowMs + 1_000)
    for (const site of world.sites.values()) happen(world, site, { kind: 'woken' })
    carry(world, keep)
  }
}

export function selfOf(
  identity: Identity, federation: Self['federation'], change: Partial<Self> = {},
): Self {
  return {
    site: identity.site,
    federation,
    signer: identity.signer,
    witness: identity.witness,
    scheduler: 'memory',
    tariff: {
      task: microcredits(1_000n), coreHour: microcredits(3_600_000n), gibHour: microcredits(0n),
      speedPermille: 1_000, loadFactorMaxPermille: 1_000,
    },
    market: {
      windowMs: 1_000, bidValidSeconds: 30, leaseSeconds: 60, acceptSeconds: 86_400,
      interimSeconds: 900, exposurePermille: 500, autoPermille: 0, arbiter: '',
      awardSeconds: 20, shortlistSites: 8, queueAheadPermille: 500, roundRetryMsMin: 2_000,
      roundRetryMsMax: 60_000,
    },
    credit: { defaultLimit: microcredits(100_000_000n), limits: new Map() },
    offers: { validSeconds: 600, heartbeatMs: 60_000 },
    attributes: [],
    keepResultsSeconds: 86_400,
    jobsOpenMax: 100,
    draining: false,
    ...change,
  }
}

export function capacity(change: Partial<CapacityRecord> = {}): CapacityRecord {
  return {
    observedEpochMs: startMs, coresTotal: 8, coresFree: 8, memoryMibTotal: 8_192,
    memoryMibFree: 8_192, tasksQueued: 0, tasksRunning: 0, coresPerTaskMax: 8,
    memoryMibPerTaskMax: 8_192,
    walltimeSecondsMax: 86_400, spoolBytesFree: 2 ** 40, reachable: true, ...change,
  }
}

/** A federation of `count` sites, all connected, with offers known to each. */
export function federation(
  count: number, changes: readonly Partial<Self>[] = [],
): [World, ...Site[]] {
  const identities = Array.from({ length: count }, (_, at) => identityOf(at))
  const founder = identities[0]!
  const founded = found(founder, '00'.repeat(16), startMs)
  const world: World = { nowMs: startMs, sites: new Map() }
  const first = siteWith(founder, selfOf(founder, founded.federation, changes[0]), founded.writes)
  world.sites.set(first.name, first)
  for (const [at, identity] of identities.entries()) {
    if (at > 0) admit(world, first, identity, changes[at])
  }
  const sites = [...world.sites.values()]
  for (const site of sites) {
    happen(world, site, { kind: 'started', addresses: site.identity.addresses })
    happen(world, site, { kind: 'capacityObserved', capacity: capacity() })
  }
  // Twice: who joined early hears of who joined later from the others.
  for (const turn of [1, 2]) {
    for (const site of sites) {
      for (const other of sites) {
        const linked = turn === 2 && view(site).get('links', other.name)
        if (other === site || linked) continue
        happen(world, site, { kind: 'peerCameUp', site: other.name })
      }
    }
    carry(world)
  }
  for (const site of sites) {
    for (const other of sites) if (other !== site) learnTariffs(site, other)
  }
  return [world, ...sites]
}

function learnTariffs(site: Site, of: Site): void {
  const trial = view(site)
  for (const [, note] of view(of).entries('tariffNotes')) must(logPublic(trial, site.name, note))
  commit(site, trial.writes())
}

function siteWith(
  identity: Identity, self: Self, writes: Parameters<typeof applyWrites>[1],
): Site {
  const site: Site = {
    name: identity.site, identity, self, tables: new Map(), effects: [], cold: new Map(), out: [],
  }
  commit(site, writes)
  return site
}

function admit(world: World, sponsor: Site, identity: Identity, change?: Partial<Self>): void {
  const { federation: fed } = sponsor.self
  const genesis = genesisOf(identity, fed, startMs)
  const trial = view(sponsor)
  const policy = must(issueStatement(trial, sponsor.identity.signer, {
    kind: 'policy', to: '*', about: 'admit', at: startMs, admit: identity.site,
    root: Buffer.from(identity.root.publicKey).toString('hex'),
    genesis: must(parseStatement(genesis)).sid,
  })).note
  must(admitMember(trial, sponsor.name, { policy, genesis }))
  const { site: name, addresses } = identity
  const member = { site: name, genesis, policy, addresses, renewals: [] }
  trial.put('members', identity.site, member)
  commit(sponsor, trial.writes())
  const members = [...view(sponsor).entries('members')].map(([, known]) =>
    ({ genesis: known.genesis, policy: known.policy, addresses: known.addresses,
      renewals: known.renewals }))
  const note = view(sponsor).get('federationNote', 'own')!
  const encoded = encodeJoinAnswer({ federation: note, members })
  const site = siteWith(identity, selfOf(identity, fed, change), join(identity, genesis, encoded))
  world.sites.set(site.name, site)
}

export function submitJob(world: World, home: Site, job: SignedJob): void {
  happen(world, home, { kind: 'jobSubmitted', request: 'r', job })
  carry(world)
}

export function hostTranches(site: Site): HostTranche[] {
  return [...view(site).entries('hostTranches')].map(([, tranche]) => tranche)
}

export function homeTranches(site: Site): HomeTranche[] {
  return [...view(site).entries('homeTranches')].map(([, tranche]) => tranche)
}


/** The host's scheduler and staging area do what they should for its only tranche. */
export function runAll(
  world: World, host: Site, ranMs = 1_000, keep?: Parameters<typeof carry>[1],
): void {
  const tranche = hostTranches(host)[0]!
  const { id } = tranche
  happen(world, host, { kind: 'trancheStaged', tranche: id })
  happen(world, host, { kind: 'trancheSubmitted', tranche: id, localId: '1' })
  for (const task of rangesValues(tranche.tasks)) {
    const startedEpochMs = world.nowMs
    const status = {
      kind: 'ended', how: 'exited', exitCode: 0, startedEpochMs, endedEpochMs: world.nowMs + ranMs,
    } as const
    happen(world, host, { kind: 'tasksObserved', tasks: [{ tranche: id, task, status }] })
    happen(world, host, {
      kind: 'taskCollected', tranche: id, task, tree: sha256Hex(`${id} ${task}`), treeBytes: 1,
      missing: [],
    })
  }
  carry(world, keep)
}

/** The home gets every result that it has asked for. */
export function takeAll(
  world: World, home: Site, keep?: Parameters<typeof carry>[1],
): void {
  for (const effect of home.effects.splice(0)) {
    if (effect.kind !== 'takeResult') continue
    const { job, task, tranche } = effect
    happen(world, home, { kind: 'resultTaken', job, task, tranche })
  }
  carry(world, keep)
}
