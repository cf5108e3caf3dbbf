// Three or four sites that do all there is to do with one another: jobs and arrays, claims on the
// way, allocations, disputes, settlements, heads, receipts, proofs, cancellations, lost links. What
// is said passes through one function, which may listen or put something else in its place.

import { rangesValues } from '../../protocol/base/ranges.ts'
import type { SiteName, TrancheId } from '../../protocol/base/ids.ts'
import { microcredits } from '../../protocol/base/units.ts'
import { parseCheckpoint } from '../../protocol/base/checkpoint.ts'
import { parseNote } from '../../protocol/base/note.ts'
import type { Effect } from '../../protocol/machine/effects.ts'
import type { Event, ObservedTask } from '../../protocol/machine/events.ts'
import type { Message } from '../../protocol/machine/messages.ts'
import { encodeMessage } from '../../protocol/machine/messages.ts'
import type { OperatorWord } from '../../protocol/machine/operator-word.ts'
import { judgeGossip } from '../../protocol/machine/gossip.ts'
import type { Self } from '../../protocol/machine/state.ts'
import type { JobDocument } from '../../protocol/rules/job.ts'
import { encodeJoinRequest, secretHashOf } from '../../protocol/rules/membership.ts'
import type { Site, World } from '../machine/pair.ts'
import { federation, happen, selfOf, startMs, view } from '../machine/pair.ts'
import { genesisOf, identityOf } from '../sim/identity.ts'
import { headShown, proofShown, receiptsShown, replayed } from '../sim/show-head.ts'
import type { Random } from '../sim/random.ts'
import { jobWith } from '../sim/users.ts'

export type Happening = Event extends infer E ? (E extends Event ? Omit<E, 'at'> : never) : never

export interface Hooks {
  /** What comes to `to` in place of what `from` said. */
  readonly said?: (from: Site, to: Site, encoded: string, nowMs: number) => readonly string[]
  /** What happens at the site in place of what would, other than messages. */
  readonly happens?: (site: Site, happening: Happening) => readonly Happening[]
  /** After everything that was done at a site. */
  readonly after?: (site: Site, nowMs: number) => void
}

export interface Traffic {
  readonly world: World
  readonly sites: readonly Site[]
}

interface Running {
  readonly site: Site
  readonly tranche: TrancheId
  readonly task: number
  readonly startedEpochMs: number
  endsEpochMs: number
  how: 'exited' | 'walltime' | 'cancelled'
}

const secret = '5e'.repeat(16)

/** A walk of so many turns; chance decides what is done in each. */
export function walk(count: number, turns: number, chance: Random, hooks: Hooks = {}): Traffic {
  const market: Partial<Self['market']> = {
    interimSeconds: 6, autoPermille: 300, arbiter: identityOf(2).site, acceptSeconds: 300,
  }
  const base = selfOf(identityOf(0), '' as never)
  const terms = { market: { ...base.market, ...market } }
  const [world, ...sites] = federation(count, Array.from({ length: count }, () => terms))
  const running: Running[] = []
  const happens = (site: Site, happening: Happening): readonly Effect[] => {
    const instead = hooks.happens?.(site, happening) ?? [happening]
    const effects = instead.flatMap((one) => happen(world, site, one))
    hooks.after?.(site, world.nowMs)
    return effects
  }
  const doings: Doings = { world, sites, chance, running, happens, hooks }
  begin(doings)
  for (let turn = 0; turn < turns; turn++) {
    act(doings, turn)
    pump(doings)
    time(doings, chance.pick([200, 1_000, 3_000, 12_000]))
  }
  for (let left = 0; left < 8; left++) time(doings, 20_000)
  return { world, sites }
}

interface Doings extends Traffic {
  readonly chance: Random
  readonly running: Running[]
  readonly happens: (site: Site, happening: Happening) => readonly Effect[]
  readonly hooks: Hooks
}

function begin({ sites, happens }: Doings): void {
  const [founder, grantee] = sites as [Site, Site]
  happens(founder, {
    kind: 'policyRequested', request: 'p',
    policy: {
      witnesses: sites.map(({ name }) => name), quorum: 3, authorities: [founder.name],
    },
  })
  happens(founder, {
    kind: 'grantRequested', request: 'g',
    grant: {
      grantee: grantee.name, name: 'physics', amount: microcredits(5_000_000n), starts: startMs,
      until: startMs + 86_400_000,
    },
  })
}

function act(doings: Doings, turn: number): void {
  const { sites, chance, happens, world } = doings
  const site = chance.pick(sites)
  const other = chance.pick(sites)
  if (turn < 3) return submit(doings, sites[turn % sites.length]!, turn)
  switch (chance.int(11)) {
    case 0:
    case 1: return submit(doings, site, turn)
    case 2: {
      const [job] = [...view(site).entries('jobs')].map(([id]) => id)
      if (job) happens(site, { kind: 'cancelRequested', request: 'c', job: job as never })
      return undefined
    }
    case 3:
      if (site === other) return undefined
      happens(site, { kind: 'peerWentDown', site: other.name })
      happens(other, { kind: 'peerWentDown', site: site.name })
      happens(site, { kind: 'peerCameUp', site: other.name })
      return void happens(other, { kind: 'peerCameUp', site: site.name })
    case 4: return void happens(site, {
      kind: 'creditRequested', request: 'k', site: other.name,
      limit: microcredits(BigInt(chance.int(1_000_000_000))),
    })
    case 5: {
      happens(site, {
        kind: 'inviteRequested', request: 'i', secretHash: secretHashOf(secret),
        expiresEpochMs: world.nowMs + 600_000,
      })
      const genesis = genesisOf(identityOf(4 + chance.int(3)), site.self.federation, startMs)
      const encoded = encodeJoinRequest({ secret, genesis, addresses: [] })
      return void happens(site, { kind: 'joinRequested', request: 'j', encoded })
    }
    case 6: return void happens(site, { kind: 'snapshotRequested', request: 's' })
    case 7:
    case 8:
    case 9: {
      const said = word(site, other, chance)
      return void happens(site, { kind: 'wordRequested', request: 'w', word: said })
    }
    default: {
      for (const { site: at, tranche, task } of doings.running) {
        if (at === site) happens(site, failedWork(tranche, task, chance))
      }
      return undefined
    }
  }
}

function failedWork(tranche: TrancheId, task: number, chance: Random): Happening {
  const detail = 'it did not work'
  switch (chance.int(4)) {
    case 0: return { kind: 'trancheStagingFailed', tranche, permanent: chance.chance(500), detail }
    case 1: return { kind: 'trancheSubmitFailed', tranche, detail }
    case 2: return { kind: 'trancheSubmitRefused', tranche, detail }
    default: return { kind: 'taskCollectFailed', tranche, task, detail }
  }
}

function submit({ sites, chance, happens }: Doings, site: Site, turn: number): void {
  const many = chance.chance(500)
  const change: Partial<JobDocument> = {
    nonce: turn.toString(16).padStart(32, '0'), inputs: '', inputs_bytes: 0,
    place: chance.pick(['remote', 'remote', 'anywhere', 'home']),
    walltime_seconds: chance.pick([20, 60, 600]), cores: chance.pick([1, 1, 2]),
    sites: chance.chance(300) ? [chance.pick(sites).name] : [],
    requirements: chance.chance(300) ? 'cores_total >= 2 && "gcc" in software || true' : '',
    ...(many && { tasks: '1-4,7', array: 1, tasks_at_once: chance.pick([0, 2]) }),
    ...(site === sites[1] && chance.chance(500) && { allocation: 'physics' }),
  }
  happens(site, { kind: 'jobSubmitted', request: 'r', job: jobWith(change) })
}

function word(site: Site, other: Site, chance: Random): OperatorWord {
  const holds = [...view(site).entries('ledgerHolds')].map(([sid]) => sid)
  const hold = holds.length === 0 ? 'ab'.repeat(32) : chance.pick(holds)
  const amount = microcredits(BigInt(chance.int(100_000)))
  const settle = [...view(site).entries('ledgerProposals')]
    .find(([, { kind }]) => kind === 'settle')?.[0] ?? hold
  return chance.pick<OperatorWord>([
    { verb: 'accept', hold },
    { verb: 'dispute', hold, contested: microcredits(1n), reason: 'too much', doc: '' },
    { verb: 'offer', hold, amount },
    { verb: 'agree', hold },
    { verb: 'clause', hold },
    { verb: 'forgive_claim', hold, amount },
    { verb: 'rule', hold: hold as never, amount },
    {
      verb: 'settle', site: other.name, amount, payer: chance.pick(['us', 'them']), reference: 'x',
    },
    { verb: 'settle_agree', settle },
    { verb: 'forgive_balance', site: other.name, amount, reference: 'y' },
    { verb: 'close', site: other.name, forgive: chance.chance(500) },
  ])
}

/** Carries messages and does what is asked for until nothing is left. */
function pump(doings: Doings): void {
  const { sites, world, happens, hooks } = doings
  for (let rounds = 0; rounds < 3_000; rounds++) {
    let moved = false
    for (const site of sites) {
      const next = site.out.shift()
      if (next) {
        moved = true
        carry(doings, site, next)
      }
      for (const effect of site.effects.splice(0)) {
        moved = true
        perform(doings, site, effect)
      }
    }
    if (!moved) return
  }
  for (const site of sites) hooks.after?.(site, world.nowMs)
  throw new Error(`messages without end at ${world.nowMs}: ${sites.map(({ out }) =>
    out[0]?.message.kind).join(' ')}`)

  function carry(
    { sites: all }: Doings, from: Site, { to, message }: { to: SiteName; message: Message },
  ): void {
    const target = all.find(({ name }) => name === to)
    if (!target) return
    if (target === from) return void happens(from, { kind: 'messageDelivered', message })
    const encoded = encodeMessage(message)
    for (const one of hooks.said?.(from, target, encoded, world.nowMs) ?? [encoded]) {
      happen(world, target, { kind: 'messageReceived', from: from.name, encoded: one })
      hooks.after?.(target, world.nowMs)
    }
  }
}

function readerOf(site: Site): (table: string, key: string) => unknown {
  return (table, key) => view(site).get(table as 'jobs', key) ?? site.cold.get(`${table}/${key}`)
}

function perform(doings: Doings, site: Site, effect: Effect): void {
  const { sites, world, running, happens, chance } = doings
  const reader = readerOf(site)
  const tell = (to: SiteName, message: Message | undefined): void => {
    if (message) site.out.push({ to, message })
  }
  switch (effect.kind) {
    case 'showHead': return tell(effect.to, headShown(reader, site.identity.log, effect))
    case 'showHeads':
      for (const { site: to, known } of effect.to) {
        const shown = headShown(reader, site.identity.log, { known, also: 0 })
        tell(to, shown)
        const note = shown && parseNote(shown.note, { bytesMax: 16_384 })
        const head = note?.ok ? parseCheckpoint(note.value.text) : undefined
        if (!shown || !head?.ok) continue
        happens(site, { kind: 'headShown', size: head.value.size, note: shown.note })
      }
      return undefined
    case 'proveHold': return tell(effect.to, proofShown(reader, effect))
    case 'giveReceipts': return tell(effect.to, receiptsShown(reader, site.identity.log, effect))
    case 'replayPayer': {
      const payer = sites.find(({ name }) => name === effect.home)
      if (!payer) return undefined
      const found = replayed(readerOf(payer), effect)
      return void happens(site, { kind: 'payerReplayed', hold: effect.hold, ...found })
    }
    case 'publishOffer': return publish(doings, site, 'offers', effect.note)
    case 'publishCall': return publish(doings, site, 'announcements', effect.note)
    case 'stageTranche':
      return void happens(site, { kind: 'trancheStaged', tranche: effect.tranche })
    case 'submitTranche': {
      const { tranche } = effect
      happens(site, { kind: 'trancheSubmitted', tranche, localId: '7' })
      const record = view(site).get('hostTranches', tranche)
      if (!record || running.some((one) => one.tranche === tranche)) return undefined
      for (const task of rangesValues(record.tasks)) {
        running.push({
          site, tranche, task, startedEpochMs: world.nowMs, how: 'exited',
          endsEpochMs: world.nowMs + chance.pick([500, 4_000, 15_000]),
        })
      }
      return observe(doings)
    }
    case 'cancelTranche':
      for (const one of running) {
        if (one.tranche !== effect.tranche) continue
        one.endsEpochMs = world.nowMs
        one.how = 'cancelled'
      }
      return observe(doings)
    case 'collectTask': {
      const { tranche, task } = effect
      return void happens(site, {
        kind: 'taskCollected', tranche, task, tree: 'ab'.repeat(32) as never, treeBytes: 9,
        missing: chance.chance(100) ? ['out.txt'] : [],
      })
    }
    case 'takeResult': {
      const { job, task, tranche } = effect
      return void happens(site, chance.chance(100)
        ? { kind: 'resultFailed', job, task, tranche, detail: 'not there' }
        : { kind: 'resultTaken', job, task, tranche })
    }
    case 'removeTranche':
      return void happens(site, { kind: 'trancheRemoved', tranche: effect.tranche })
    default: return undefined
  }
}

/** Gossip, as the topic's validator lets it pass. */
function publish(
  { sites, world, happens, hooks }: Doings,
  from: Site, topic: 'offers' | 'announcements', note: string,
): void {
  for (const site of sites) {
    if (site === from) continue
    for (const one of hooks.said?.(from, site, note, world.nowMs) ?? [note]) {
      const heard = { topic, from: from.name, note: one, nowEpochMs: world.nowMs }
      const judged = judgeGossip(view(site), site.self, heard)
      if (judged.verdict === 'accept') happens(site, judged.event as Happening)
    }
  }
}

function time(doings: Doings, milliseconds: number): void {
  const { world, sites, happens } = doings
  const until = world.nowMs + milliseconds
  while (world.nowMs < until) {
    world.nowMs = Math.min(until, world.nowMs + 2_000)
    observe(doings)
    for (const site of sites) happens(site, { kind: 'woken' })
    pump(doings)
  }
}

function observe({ world, running, happens, sites }: Doings): void {
  for (const site of sites) {
    const tasks = running.filter((one) => one.site === site).map(observed)
    if (tasks.length > 0) happens(site, { kind: 'tasksObserved', tasks })
  }
  for (const one of running.splice(0)) if (one.endsEpochMs > world.nowMs) running.push(one)

  function observed({ tranche, task, startedEpochMs, endsEpochMs, how }: Running): ObservedTask {
    if (endsEpochMs > world.nowMs) {
      return { tranche, task, status: { kind: 'running', startedEpochMs } }
    }
    const times = { startedEpochMs, endedEpochMs: world.nowMs }
    const exitCode = how === 'exited' ? 0 : 143
    return { tranche, task, status: { kind: 'ended', how, exitCode, ...times } }
  }
}
