// What a member that means harm can make of the core: each test is a lie, and what it must not do.

import { genesisOf, identityOf, must } from '../sim/identity.ts'
import { jobWith } from '../sim/users.ts'
import { assert, suite } from '../harness.ts'
import { sha256Hex } from '../../protocol/base/crypto.ts'
import type { ContractId, Sid, TrancheId } from '../../protocol/base/ids.ts'
import { peerRows } from '../../node/local/site-view.ts'
import { applyWrites } from '../../protocol/base/tables.ts'
import { limits } from '../../protocol/base/limits.ts'
import { microcredits } from '../../protocol/base/units.ts'
import { coldTables } from '../../protocol/machine/state.ts'
import type { Ack, Message, MessageOf } from '../../protocol/machine/messages.ts'
import { decodeMessage, encodeMessage } from '../../protocol/machine/messages.ts'
import type { Bid } from '../../protocol/rules/bid.ts'
import {
  encodeJoinRequest, readJoinAnswer, secretHashOf,
} from '../../protocol/rules/membership.ts'
import { sealOffer } from '../../protocol/rules/offer.ts'
import { sealAnnouncement } from '../../protocol/rules/announce.ts'
import { termsFor, trancheCommitment } from '../../protocol/rules/contract.ts'
import { chargeFor } from '../../protocol/rules/ledger-holds.ts'
import { account } from '../../protocol/rules/ledger-book.ts'
import { receiveStatement } from '../../protocol/rules/ledger.ts'
import type { SignedJob } from '../../protocol/rules/job.ts'
import type { Site, World } from './pair.ts'
import {
  carry, federation, happen, homeTranches, hostTranches, pass, runAll, state, submitJob, takeAll,
  tell, view,
} from './pair.ts'

const t = suite('hostile members')

const remote = (change: Parameters<typeof jobWith>[0] = {}): SignedJob =>
  jobWith({ place: 'remote', inputs: '', inputs_bytes: 0, ...change })

const auction = 'ab'.repeat(8)

interface Call {
  readonly auction?: string
  readonly tasks?: number
  readonly cores?: number
}

function announce(world: World, home: Site, host: Site, change: Call): void {
  const note = sealAnnouncement({
    fed: home.self.federation, auction, home: home.name, tasks: 1, cores: 1, memory_mib: 256,
    walltime_seconds: 60, inputs_bytes: 0, window_ms: 1_000, ...change,
  }, home.identity.signer.statement)
  tell(world, home, host, { kind: 'announce', note })
}

/** A call by hand; gives the bid that it got. */
function call(
  world: World, home: Site, host: Site, change: Call = {},
): { bid: Bid; note: string } {
  announce(world, home, host, change)
  const key = `${home.name}/${change.auction ?? auction}`
  const open = view(host).get('openBids', key)
  assert.ok(open, 'it bids')
  return { bid: open!.bid, note: open!.note }
}

function contract(
  world: World, home: Site, host: Site, job: SignedJob, of: { bid: Bid; note: string },
): Sid {
  return state(world, home, host, {
    kind: 'contract',
    to: host.name,
    ...termsFor({
      job: job.document, jobSid: job.sid, bid: of.bid, bidNote: of.note, tasksMax: 100_000,
      leaseSeconds: 60, acceptSeconds: 60,
      interimSeconds: 900, exposurePermille: 500, autoPermille: 0, arbiter: '',
    }),
  })
}

function hold(
  world: World, home: Site, host: Site, of: Sid, change: { amount?: bigint; tasks?: number } = {},
): Sid {
  const { amount = 62_000n, tasks = 1 } = change
  const doc = trancheCommitment({ salt: '00'.repeat(16), tasks: '0' })
  return state(world, home, host, {
    kind: 'hold', to: host.name, contract: of, amount: microcredits(amount), tasks, doc,
    valid_until: world.nowMs + 60_000,
    grant: '',
  })
}

t('an honest job walks', () => {
  const [world, home, host] = federation(2)
  submitJob(world, home!, remote())
  assert.equal(homeTranches(home!).map(({ state: { kind } }) => kind), ['live'])
  assert.equal(hostTranches(host!).map(({ phase }) => phase), ['staging'])
})

t('a hold that does not cover its tasks is declined', () => {
  const [world, home, host] = federation(2)
  const job = remote()
  const of = contract(world, home!, host!, job, call(world, home!, host!))
  hold(world, home!, host!, of, { amount: 60_999n })
  assert.equal(hostTranches(host!).length, 0)
  assert.equal(view(host!).get('counters', 'hold_declined_amount'), 1)
  hold(world, home!, host!, of, { amount: 61_000n })
  assert.equal(hostTranches(host!).length, 1)
})

t('a hold for more tasks than one tranche can have is declined', () => {
  const [world, home, host] = federation(2)
  const large = {
    coresTotal: 4_000, coresFree: 4_000, memoryMibTotal: 2 ** 30, memoryMibFree: 2 ** 30,
  }
  const before = view(host!).get('capacity', 'own')!
  happen(world, host!, { kind: 'capacityObserved', capacity: { ...before, ...large } })
  happen(world, host!, {
    kind: 'creditRequested', request: 'r', site: home!.name, limit: microcredits(10n ** 12n),
  })
  carry(world)
  const of = contract(world, home!, host!, remote(), call(world, home!, host!, { tasks: 2_000 }))
  hold(world, home!, host!, of, { tasks: 1_001, amount: 10n ** 9n })
  assert.equal(hostTranches(host!).length, 0)
})

t('an open bid is not replaced by the call of another home under the same auction', () => {
  const [world, home, host, thief] = federation(3)
  const mine = call(world, home!, host!)
  call(world, thief!, host!, { cores: 2 })
  const of = contract(world, home!, host!, remote(), mine)
  assert.ok(view(host!).get('hostContracts', of.slice(0, 16)), 'the host agrees to what it bid')
  tell(world, thief!, host!, { kind: 'auction_closed', auction })
  hold(world, home!, host!, of)
  assert.equal(hostTranches(host!).length, 1)
})

t('records of one home are not replaced by statements that share their short id', () => {
  const [world, home, host, thief] = federation(3)
  const mine = contract(world, home!, host!, remote(), call(world, home!, host!))
  const held = hold(world, home!, host!, mine)
  const kept = view(host!).get('hostContracts', mine.slice(0, 16))!
  const tranche = view(host!).get('hostTranches', held.slice(0, 16))!
  const theirs = call(world, thief!, host!)
  // What 2^64 tries would find: the thief's next statements have the ids of records that are here.
  const next = contract(world, clone(thief!), clone(host!), remote(), theirs)
  host!.tables.get('hostContracts')!.set(next.slice(0, 16), { ...kept, sid: next })
  assert.equal(contract(world, thief!, host!, remote(), theirs), next)
  assert.equal(view(host!).get('hostContracts', next.slice(0, 16))?.home, home!.name)

  const other = call(world, thief!, host!, { auction: 'cd'.repeat(8) })
  const of = contract(world, thief!, host!, remote(), other)
  const nextHold = hold(world, clone(thief!), clone(host!), of)
  const id = nextHold.slice(0, 16)
  host!.tables.get('hostTranches')!.set(id, { ...tranche, id })
  assert.equal(hold(world, thief!, host!, of), nextHold)
  assert.equal(view(host!).get('hostTranches', nextHold.slice(0, 16))?.home, home!.name)
})

/** A copy to try something on. */
function clone(site: Site): Site {
  const tables = new Map([...site.tables].map(([name, all]) => [name, new Map(all)]))
  return { ...site, tables, out: [], effects: [] }
}

t('reasons of others name no counters', () => {
  const [world, home, host] = federation(2)
  const toHost = (message: Message, from: Site): boolean =>
    message.kind === 'statements' && from === home
  const held: string[] = []
  happen(world, home!, { kind: 'jobSubmitted', request: 'r', job: remote() })
  carry(world, (message, from) => {
    if (!toHost(message, from)) return false
    held.push(...(message as MessageOf<'statements'>).notes)
    return true
  })
  hear(host!, home!, held)
  const [tranche] = homeTranches(home!)
  const hold = tranche!.hold as Sid
  state(world, host!, home!, { kind: 'declined', to: home!.name, hold, reason: 'x'.repeat(200) })
  assert.equal(homeTranches(home!)[0]!.state, { kind: 'settled', how: 'declined' })
  const names = [...view(home!).entries('counters')].map(([name]) => name)
  assert.equal(names.filter((name) => name.includes('xx')), [])
  assert.equal(view(home!).get('counters', 'declined_other'), 1)
})

/** Logs statements without doing anything about them. */
function hear(at: Site, from: Site, notes: readonly string[]): void {
  const trial = view(at)
  for (const note of notes) must(receiveStatement(trial, at.name, from.name, note))
  applyWrites(at.tables, trial.writes(), coldTables)
}

t('an honest claim is paid', () => {
  const [world, home, host] = federation(2)
  submitJob(world, home!, remote())
  runAll(world, host!)
  takeAll(world, home!)
  const [tranche] = homeTranches(home!)
  assert.equal(tranche?.state, { kind: 'settled', how: 'accepted' })
  assert.equal([...view(home!).entries('jobs')].map(([, job]) => job.spent), [2_000n])
})

/** The host claims by hand; its own machine is left out of it. */
function claim(world: World, host: Site, home: Site, used: { core_s: number }): void {
  const of = homeTranches(home)[0]!.hold as Sid
  const record = view(host).get('ledgerHolds', of)!
  const usage = { tasks: 1, gib_s: 0, ...used }
  const amount = chargeFor(view(host), record, usage)
  const meter = sha256Hex('made up')
  state(world, host, home, {
    kind: 'usage', to: home.name, hold: of, amount, final: 1, ...usage, meter,
  })
}

t('a claim for more than was reported is not paid, and shown', () => {
  const [world, home, host] = federation(2)
  submitJob(world, home!, remote())
  const liar = clone(host!)
  const notClaims = (message: Message, from: Site): boolean =>
    message.kind === 'statements' && from === host
  runAll(world, host!, 1_000, notClaims)
  claim(world, liar, home!, { core_s: 60 })
  takeAll(world, home!, notClaims)
  const [tranche] = homeTranches(home!)
  assert.equal(tranche?.state.kind, 'live')
  assert.match(tranche!.trouble, /claims 1 tasks, 60 core-seconds/)
  const [peer] = peerRows(home!.tables, home!.name, world.nowMs)
  assert.match(peer!.trouble!, /but has reported 1 tasks, 1 core-seconds/)
  assert.equal([...view(home!).entries('jobs')].map(([, job]) => job.state.kind), ['ended'])
})

t('a tranche that lapsed is not paid for what was never reported', () => {
  const [world, home, host] = federation(2)
  submitJob(world, home!, remote({ sites: [host!.name] }))
  const liar = clone(host!)
  pass(world, 120_000, (_, from) => from === host)
  assert.equal(homeTranches(home!)[0]!.state.kind, 'lapsed')
  claim(world, liar, home!, { core_s: 60 })
  assert.equal(homeTranches(home!)[0]!.state.kind, 'lapsed')
  assert.equal(account(view(home!), host!.name, home!.name).posted, 0n)
})

/** The home says how it stands with a tranche, whatever its own machine thinks. */
function ack(
  world: World, home: Site, host: Site,
  said: { directive: Ack['directive']; taken?: string; lease_seconds?: number },
): void {
  for (const { id: tranche, revision, home: owner } of hostTranches(host)) {
    if (owner !== home.name) continue
    const acks = [{ tranche, revision: revision + 9, lease_seconds: 60, taken: '', ...said }]
    tell(world, home, host, { kind: 'acks', acks })
  }
}

/** Time at the host alone, with the home's word every ten seconds. */
function wait(world: World, host: Site, seconds: number, say: () => void): void {
  for (let passed = 0; passed < seconds; passed += 10) {
    world.nowMs += 10_000
    happen(world, host, { kind: 'woken' })
    host.out.length = 0
    say()
  }
}

/** A held tranche of one task, with a contract for `tasks`. */
function take(world: World, home: Site, host: Site, tasks = 1): void {
  const job = remote()
  const of = contract(world, home, host, job, call(world, home, host, { tasks }))
  const held = hold(world, home, host, of)
  tell(world, home, host, {
    kind: 'documents', job: job.note, contract: of.slice(0, 16) as ContractId,
    tranche: held.slice(0, 16) as TrancheId, document: { salt: '00'.repeat(16), tasks: '0' },
  })
}

t('slots do not wait for a home that says go and never says what', () => {
  const [world, home, host] = federation(2)
  const of = contract(world, home!, host!, remote(), call(world, home!, host!))
  hold(world, home!, host!, of)
  wait(world, host!, 700, () => ack(world, home!, host!, { directive: 'go' }))
  assert.equal(hostTranches(host!).filter(({ phase }) => phase !== 'settled'), [])
})

t('a contract that uses one slot does not keep eight', () => {
  const [world, home, host, other] = federation(3)
  take(world, home!, host!, 8)
  ack(world, home!, host!, { directive: 'go' })
  const [tranche] = hostTranches(host!)
  happen(world, host!, { kind: 'trancheStaged', tranche: tranche!.id })
  wait(world, host!, 200, () => ack(world, home!, host!, { directive: 'go' }))
  assert.equal(hostTranches(host!).map(({ phase }) => phase), ['submitting'])
  const { bid } = call(world, other!, host!, { tasks: 8 })
  assert.equal(bid.slots, 7)
})

t('results are not kept for ever for a home that does not pay', () => {
  const [world, home, host] = federation(2, [{}, { keepResultsSeconds: 3_600 }])
  take(world, home!, host!)
  ack(world, home!, host!, { directive: 'go' })
  runAll(world, host!, 1_000, () => true)
  assert.equal(hostTranches(host!).map(({ phase }) => phase), ['claimed'])
  wait(world, host!, 3_700, () => ack(world, home!, host!, { directive: 'go' }))
  assert.equal(hostTranches(host!).map(({ phase }) => phase), ['settled'])
})

t('a home that calls a living lease lapsed pays for what ran all the same', () => {
  const [world, home, host] = federation(2)
  take(world, home!, host!)
  ack(world, home!, host!, { directive: 'go' })
  happen(world, host!, { kind: 'trancheStaged', tranche: hostTranches(host!)[0]!.id })
  ack(world, home!, host!, { directive: 'lapsed' })
  runAll(world, host!, 1_000, () => true)
  assert.equal(hostTranches(host!).map(({ phase }) => phase), ['claimed'])
})

t('what a home has taken it has not given back by an older word', () => {
  const [world, home, host] = federation(2)
  take(world, home!, host!)
  ack(world, home!, host!, { directive: 'go', taken: '0' })
  ack(world, home!, host!, { directive: 'go', taken: '' })
  assert.equal(hostTranches(host!).map(({ taken }) => taken), [[[0, 0]]])
  ack(world, home!, host!, { directive: 'go', taken: '0-99' })
  assert.equal(hostTranches(host!).map(({ taken }) => taken), [[[0, 0]]])
})

t('what could not be cleared up is cleared up later', () => {
  const [world, home, host] = federation(2)
  take(world, home!, host!)
  ack(world, home!, host!, { directive: 'stop' })
  assert.equal(hostTranches(host!).map(({ phase }) => phase), ['settled'])
  const removals = (): number =>
    host!.effects.filter(({ kind }) => kind === 'removeTranche').length
  const before = removals()
  wait(world, host!, 600, () => undefined)
  assert.ok(removals() > before, 'it is asked for again')
  happen(world, host!, { kind: 'trancheRemoved', tranche: hostTranches(host!)[0]!.id })
  wait(world, host!, 60, () => undefined)
  assert.equal([...view(host!).entries('hostContracts')].length, 0)
})

t('a lease without end is no lease', () => {
  const acks = [{
    tranche: 'ab'.repeat(8) as TrancheId, revision: 1, directive: 'go' as const,
    lease_seconds: Number.MAX_SAFE_INTEGER, taken: '',
  }]
  assert.equal(decodeMessage(encodeMessage({ kind: 'acks', acks })).ok, false)
})

t('no member keeps newcomers out by the addresses that it gives', () => {
  const [world, sponsor, liar] = federation(2)
  const { offer } = view(sponsor!).get('offers', liar!.name)!
  const addresses = ['/ip4/192.0.2.9/tcp/1', 'nowhere\u001b[2J']
  const next = { ...offer, sequence: offer.sequence + 1, addresses }
  const notes = [sealOffer(next, liar!.identity.signer.statement)]
  tell(world, liar!, sponsor!, { kind: 'offers', notes })
  assert.equal(view(sponsor!).get('members', liar!.name)?.addresses, ['/ip4/192.0.2.9/tcp/1'])
  const secret = '00'.repeat(16)
  happen(world, sponsor!, {
    kind: 'inviteRequested', request: 'i', secretHash: secretHashOf(secret),
    expiresEpochMs: world.nowMs + 60_000,
  })
  const guest = identityOf(5)
  const encoded = encodeJoinRequest({
    secret, genesis: genesisOf(guest, sponsor!.self.federation, world.nowMs), addresses: [],
  })
  const told = happen(world, sponsor!, { kind: 'joinRequested', request: 'j', encoded })
    .flatMap((effect) => effect.kind === 'answer' ? [effect.answer] : [])
  assert.equal(told.map(({ kind }) => kind), ['joined'])
  assert.ok(readJoinAnswer((told[0] as { encoded: string }).encoded).ok, 'the guest can read it')
})

/** A host that says every ten seconds that all goes well. */
function allIsWell(world: World, host: Site, home: Site, seconds: number): void {
  let [revision, sent] = [1_000, 0]
  for (; sent < seconds; sent += 10) {
    world.nowMs += 10_000
    for (const { id: tranche, state: { kind } } of homeTranches(home)) {
      if (kind !== 'live') continue
      const reports = [{ tranche, revision: ++revision, phase: 'running' as const, tasks: [] }]
      tell(world, host, home, { kind: 'reports', reports })
    }
    happen(world, home, { kind: 'woken' })
    home.out.length = 0
  }
}

t('a host that never comes to an end keeps no cancelled job', () => {
  const [world, home, host] = federation(2)
  const job = remote()
  submitJob(world, home!, job)
  happen(world, home!, { kind: 'cancelRequested', request: 'c', job: job.id })
  allIsWell(world, host!, home!, 1_200)
  assert.equal(view(home!).get('jobs', job.id)?.state.kind, 'ended')
})

t('a host that never comes to an end loses the job after its time', () => {
  const [world, home, host] = federation(2)
  submitJob(world, home!, remote({ start_within_seconds: 60, walltime_seconds: 60 }))
  allIsWell(world, host!, home!, 3_600)
  assert.equal(homeTranches(home!).map(({ state: { kind } }) => kind), ['live'])
  allIsWell(world, host!, home!, 300)
  assert.equal(homeTranches(home!).map(({ state: { kind } }) => kind), ['lapsed'])
})

t('a home reserves no more than it could pay for', () => {
  const allowed = new Map([[identityOf(0).site, microcredits(200_000n)]])
  const [world, home, host] = federation(2, [
    {}, { credit: { defaultLimit: microcredits(0n), limits: allowed } },
  ])
  // A task may cost 61,000.
  assert.equal(call(world, home!, host!, { tasks: 2 }).bid.slots, 2)
  assert.equal(call(world, home!, host!, { tasks: 8, auction: 'cd'.repeat(8) }).bid.slots, 1)
  announce(world, home!, host!, { auction: 'ef'.repeat(8) })
  assert.equal(view(host!).get('counters', 'call_refused_credit'), 1)
})

t('a peer that takes nothing in is not told everything again and again', () => {
  const [world, site, deaf] = federation(2)
  const statements = (): number => site!.out.splice(0).reduce((sum, { message }) =>
    sum + (message.kind === 'statements' ? message.notes.length : 0), 0)
  for (let limit = 1n; limit <= 1_000n; limit++) {
    happen(world, site!, {
      kind: 'creditRequested', request: 'r', site: deaf!.name, limit: microcredits(limit),
    })
  }
  statements()
  world.nowMs += 3_000
  happen(world, site!, { kind: 'woken' })
  assert.equal(statements(), 512)
  // Who listens hears it all.
  happen(world, site!, { kind: 'peerWentDown', site: deaf!.name })
  happen(world, site!, { kind: 'peerCameUp', site: deaf!.name })
  happen(world, deaf!, { kind: 'peerCameUp', site: site!.name })
  carry(world)
  assert.equal(view(deaf!).get('ledgerCredits', `${site!.name}>${deaf!.name}`)?.limit, 1_000n)
  assert.equal(view(site!).get('timers', `deliver/${deaf!.name}`), undefined)
})

t('a home has us remember no more than so much of its jobs', () => {
  const [world, home, host, other] = federation(3)
  take(world, home!, host!)
  const jobs = host!.tables.get('hostJobs')! as Map<string, { note: string }>
  const [[id, kept] = ['', { note: '' }]] = [...jobs]
  jobs.set(id, { ...kept, note: 'x'.repeat(limits.hostJobCharactersPerHome) })
  take(world, home!, host!)
  assert.equal(view(host!).get('counters', 'documents_too_many'), 1)
  take(world, other!, host!)
  assert.equal(jobs.size, 2)
})

t('no host drives the numbers of orders to where they cannot be written', () => {
  const tranche = 'ab'.repeat(8) as TrancheId
  const text = (through: number): string =>
    encodeMessage({ kind: 'controlled', tranche, through, refused: [] })
  assert.refused(decodeMessage(text(Number.MAX_SAFE_INTEGER)), 'malformed')
  const taken = assert.accepted(decodeMessage(text(2 ** 48))) as MessageOf<'controlled'>
  const next = { n: taken.through + 1, verb: 'hold', signal: '', tasks: '0' } as never
  encodeMessage({ kind: 'control', tranche: taken.tranche, orders: [next] })
})
