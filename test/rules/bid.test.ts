// How a host answers a call: each reason to refuse, in order, the room that it offers against a
// slow count, and which answers a home takes in.

import { assert, suite } from '../harness.ts'
import { seal } from '../../protocol/base/envelope.ts'
import { limits } from '../../protocol/base/limits.ts'
import { signNote } from '../../protocol/base/note.ts'
import type { Announcement } from '../../protocol/rules/announce.ts'
import { sealAnnouncement } from '../../protocol/rules/announce.ts'
import type { Bid, BidAnswer, HostStanding } from '../../protocol/rules/bid.ts'
import { considerAnnouncement, readBidAnswer, sealBidAnswer } from '../../protocol/rules/bid.ts'
import type { Asking, Needs } from '../../protocol/rules/needs.ts'
import { needsOf } from '../../protocol/rules/needs.ts'
import type { Message } from '../../protocol/machine/messages.ts'
import { must } from '../sim/identity.ts'
import { jobWith } from '../sim/users.ts'
import type { Site, World } from '../machine/pair.ts'
import {
  capacity, carry, federation, happen, hostTranches, pass, tell, view,
} from '../machine/pair.ts'
import {
  detailOf, everySubset, fed, goodBid, goodCall, home, host, members, otherFed,
  verifierFor,
} from './market-notes.ts'

const t = suite('bids')

function standing(change: Partial<HostStanding> = {}): HostStanding {
  return {
    coresTotal: 16,
    coresFree: 16,
    coresReserved: 0,
    memoryMibTotal: 8_192,
    memoryMibFree: 8_192,
    memoryMibReserved: 0,
    coresPerTaskMax: 8,
    memoryMibPerTaskMax: 4_096,
    nodesTotal: 2,
    gpusTotal: 4,
    gpusLeft: 3,
    abilities: ['gpus', 'licences', 'nodes'],
    licences: [{ name: 'matlab', count: 2 }],
    walltimeSecondsMax: 3_600,
    queueCores: 8,
    bidsOpen: 0,
    bidsOpenToHome: 0,
    draining: false,
    spoolBytesFree: 10_000,
    tasksAffordable: 100,
    creditDetail: 'one task may cost 5, 4 are left',
    secondsUntilStart: 90,
    ...change,
  }
}

function needing(more: Partial<Asking>): Needs {
  return needsOf({ cores: 1, memory_mib: 1, ...more })!
}

interface Case {
  call: Announcement
  host: HostStanding
}

type Fault = readonly [reason: string, call: Partial<Announcement>, host: Partial<HostStanding>]

const faults: readonly Fault[] = [
  ['cores', { cores: 9 }, {}],
  ['memory', { memory_mib: 4_097 }, {}],
  ['ability', { needs: needing({ seen_at: '/w' }) }, {}],
  ['walltime', { walltime_seconds: 3_601 }, {}],
  ['credit', {}, { tasksAffordable: 0 }],
  ['draining', {}, { draining: true }],
  ['too_many_bids', {}, { bidsOpenToHome: 250 }],
  ['spool', {}, { spoolBytesFree: 0 }],
  ['busy', {}, { coresFree: 0, queueCores: 0 }],
]

function spoilt(subset: readonly Fault[]): Case {
  return {
    call: subset.reduce((call, [, change]) => ({ ...call, ...change }), goodCall()),
    host: subset.reduce((at, [, , change]) => ({ ...at, ...change }), standing()),
  }
}

function reasonFor(change: Partial<Announcement>, at: Partial<HostStanding> = {}): string {
  const considered = considerAnnouncement(goodCall(change), standing(at))
  return considered.ok ? 'room' : considered.refusal.reason
}

t('of several reasons the earliest is the answer, in every combination', () => {
  assert.equal(reasonFor({}), 'room')
  for (const subset of everySubset(faults)) {
    const { call, host: at } = spoilt(subset)
    const considered = considerAnnouncement(call, at)
    const got = considered.ok ? 'room' : considered.refusal.reason
    assert.equal(got, subset[0]?.[0], subset.map(([reason]) => reason).join(' and '))
  }
})

t('[BID-2] [BID-3] [BID-4] what one task can have is enough, and no more', () => {
  assert.equal(reasonFor({ cores: 8 }), 'room')
  assert.equal(reasonFor({ cores: 9 }), 'cores')
  assert.equal(reasonFor({ memory_mib: 4_096 }), 'room')
  assert.equal(reasonFor({ memory_mib: 4_097 }), 'memory')
  assert.equal(reasonFor({ walltime_seconds: 3_600 }), 'room')
  assert.equal(reasonFor({ walltime_seconds: 3_601 }), 'walltime')
})

t('[BID-5] the home can owe one more task, or hears what it lacks; no slot beyond that', () => {
  const poor = considerAnnouncement(goodCall(), standing({ tasksAffordable: 0 }))
  assert.equal(detailOf(poor, 'credit'), 'one task may cost 5, 4 are left')
  for (const tasksAffordable of [1, 2]) {
    const { slots, queueSlots } = assert.accepted(
      considerAnnouncement(goodCall(), standing({ tasksAffordable })))
    assert.equal([slots, queueSlots], [tasksAffordable, 0])
  }
})

t('[BID-6] a site that drains takes nothing new', () => {
  assert.equal(reasonFor({}, { draining: true }), 'draining')
})

t('[BID-7] a thousand bids are open at most, and 250 to one home', () => {
  assert.equal([limits.bidsOpenPerHost, limits.bidsOpenPerHome], [1_000, 250])
  assert.equal(reasonFor({}, { bidsOpen: 999, bidsOpenToHome: 249 }), 'room')
  assert.equal(reasonFor({}, { bidsOpen: 1_000, bidsOpenToHome: 0 }), 'too_many_bids')
  assert.equal(reasonFor({}, { bidsOpen: 250, bidsOpenToHome: 250 }), 'too_many_bids')
})

t('[BID-8] the inputs fit with something to spare: a script and its output need room too', () => {
  for (const inputs_bytes of [0, 1, 500]) {
    assert.equal(reasonFor({ inputs_bytes }, { spoolBytesFree: inputs_bytes + 1 }), 'room')
    assert.equal(reasonFor({ inputs_bytes }, { spoolBytesFree: inputs_bytes }), 'spool')
  }
})

t('[BID-9] neither a free slot nor room in the queue; one of them is enough', () => {
  const none = { coresFree: 1, queueCores: 0 }
  const busy = considerAnnouncement(goodCall(), standing(none))
  assert.match(detailOf(busy, 'busy'), /1 of 16 cores free.*within 1m30s/)
  assert.equal(reasonFor({}, { ...none, coresFree: 2 }), 'room')
  assert.equal(reasonFor({}, { ...none, queueCores: 2 }), 'room')
  // One wider than the queue waits alone.
  assert.equal(reasonFor({}, { ...none, queueCores: 1 }), 'room')
  assert.equal(reasonFor({}, { ...none, queueCores: 1, coresReserved: 2 }), 'busy')
  assert.equal(reasonFor({}, { coresFree: 2, queueCores: 0, memoryMibFree: 511 }), 'busy')
  assert.equal(reasonFor({}, { coresFree: 4, coresReserved: 3, queueCores: 0 }), 'busy')
})

/** One task after the other takes what is free, then what may wait. */
function slowRoom(call: Announcement, at: HostStanding): readonly [number, number] {
  let cores = at.coresFree - at.coresReserved
  let memory = at.memoryMibFree - at.memoryMibReserved
  // Reserved beyond what is free: that much of the queue is taken already.
  let queue = cores < 0 ? at.queueCores + cores : at.queueCores
  let [slots, queued] = [0, 0]
  while (slots + queued < call.tasks && slots + queued < at.tasksAffordable) {
    if (cores >= call.cores && memory >= call.memory_mib) {
      slots++
      cores -= call.cores
      memory -= call.memory_mib
    } else if (queue >= call.cores) {
      queued++
      queue -= call.cores
    } else break
  }
  // Where nothing waits one task may, however wide.
  const room = at.queueCores > 0 && at.coresFree >= at.coresReserved
  if (room && slots + queued === 0 && call.tasks > 0 && at.tasksAffordable > 0) queued = 1
  return [slots, queued]
}

t('the room is what a slow count finds, over every small standing', () => {
  const upTo = (last: number, first = 0): number[] =>
    Array.from({ length: last - first + 1 }, (_, at) => first + at)
  const axes: readonly (readonly [string, readonly number[]])[] = [
    ['coresFree', upTo(4)], ['coresReserved', upTo(3)], ['memoryMibFree', upTo(3)],
    ['memoryMibReserved', upTo(1)], ['queueCores', upTo(3)], ['tasksAffordable', upTo(3, 1)],
    ['cores', upTo(2, 1)], ['memory_mib', upTo(2, 1)], ['tasks', upTo(3, 1)],
  ]
  const calls = new Set(['cores', 'memory_mib', 'tasks'])
  const walk = (at: number, call: Announcement, host: HostStanding): number => {
    const [name, values] = axes[at] ?? ['', []]
    if (name === '') {
      const [slots, queueSlots] = slowRoom(call, host)
      const considered = considerAnnouncement(call, host)
      if (slots + queueSlots === 0) assert.refused(considered, 'busy')
      else assert.equal(considered, { ok: true, value: { slots, queueSlots, queueSeconds: 90 } })
      return 1
    }
    return values.reduce((sum, value) => sum + (calls.has(name)
      ? walk(at + 1, { ...call, [name]: value }, host)
      : walk(at + 1, call, { ...host, [name]: value })), 0)
  }
  assert.equal(walk(0, goodCall(), standing()), 5 * 4 * 4 * 2 * 4 * 3 * 2 * 2 * 3)
})

const refusal: BidAnswer = {
  kind: 'refusal', fed, auction: goodCall().auction, host: host.site, reason: 'busy', detail: 'no',
}

t('[BID-10] an answer counts only from the site that signed it', () => {
  const { statement: signer } = host.signer
  const expected = { federation: fed, from: host.site, verifier: verifierFor(host) }
  for (const good of [goodBid(), refusal]) {
    const note = sealBidAnswer(good, signer)
    assert.equal(assert.accepted(readBidAnswer(note, expected)), good)
    const body = members(good)
    const json = note.split('\n')[1] as string
    const other = good.kind === 'bid' ? 'refusal' : 'bid'
    const lies = [
      '', `${note}\n`, sealBidAnswer({ ...good, fed: otherFed }, signer),
      sealBidAnswer({ ...good, host: home.site }, signer),
      sealBidAnswer(good, home.signer.statement),
      sealBidAnswer({ ...good, host: home.site }, home.signer.statement),
      sealBidAnswer(good, { name: signer.name, key: home.signer.statement.key }),
      note.replace('"auction":"ab', '"auction":"cd'), seal(other, body, signer).note,
      seal('announce', body, signer).note, seal(good.kind, { ...body, more: 1 }, signer).note,
      signNote(`gridnode/v1/${good.kind}\n${json.replace(':', ': ')}\n`, signer),
    ]
    for (const lie of lies) assert.refused(readBidAnswer(lie, expected), 'malformed')
    for (const name of Object.keys(body)) {
      const { [name]: _, ...rest } = body
      const short = seal(good.kind, rest, signer).note
      assert.refused(readBidAnswer(short, expected), 'malformed')
    }
  }
})

t('every reason to refuse is one that a home can read', () => {
  const expected = { federation: fed, from: host.site, verifier: verifierFor(host) }
  for (const reason of ['scheduler_unknown', ...faults.map(([name]) => name)] as const) {
    const { note } = seal('refusal', { ...members(refusal), reason }, host.signer.statement)
    assert.accepted(readBidAnswer(note, expected))
  }
  const { note } = seal('refusal', { ...members(refusal), reason: 'bored' }, host.signer.statement)
  assert.refused(readBidAnswer(note, expected), 'malformed')
})

function announce(world: World, from: Site, to: Site, change: Partial<Announcement>): void {
  const call = goodCall({ fed: from.self.federation, home: from.name, ...change })
  const note = sealAnnouncement(call, from.identity.signer.statement)
  tell(world, from, to, { kind: 'announce', note })
}

t('[BID-1] a scheduler that does not answer is the first reason, and nothing is reserved', () => {
  const [world, asker, asked] = federation(2, [{}, { draining: true }])
  const answer = (): BidAnswer => {
    const said = asked!.out.pop()?.message
    if (said?.kind !== 'answer') return assert.fail('expected an answer')
    return must(readBidAnswer(said.note, {
      federation: asker!.self.federation, from: asked!.name, verifier: verifierFor(asked!.identity),
    }))
  }
  for (const [reachable, reason] of [[false, 'scheduler_unknown'], [true, 'cores']] as const) {
    happen(world, asked!, { kind: 'capacityObserved', capacity: capacity({ reachable }) })
    asked!.out.length = 0
    announce(world, asker!, asked!, { cores: 99 })
    const said = answer()
    assert.equal(said.kind === 'refusal' && said.reason, reason)
    assert.equal([...view(asked!).entries('openBids')].length, 0)
  }
})

t('[BID-10] a bid of an auction that never asked, or with terms not its own, is no bid', () => {
  const [world, first, second, third] = federation(3)
  const heard: { from: Site; message: Message }[] = []
  const keep = (message: Message, from: Site): boolean =>
    message.kind === 'answer' && heard.push({ from, message }) > 0
  const job = jobWith({ place: 'remote', inputs: '', inputs_bytes: 0, sites: [second!.name] })
  happen(world, first!, { kind: 'jobSubmitted', request: 'r', job })
  carry(world, keep)
  const [good] = heard.map(({ message }) => message)
  if (good?.kind !== 'answer') return assert.fail('expected an answer')
  const read = must(readBidAnswer(good.note, {
    federation: first!.self.federation, from: second!.name,
    verifier: verifierFor(second!.identity),
  })) as Bid
  const theirs = view(third!).get('ownTariff', 'own')!
  const lie = (from: Site, change: Partial<Bid>): void => {
    const note = sealBidAnswer({ ...read, host: from.name, ...change },
      from.identity.signer.statement)
    tell(world, from, first!, { kind: 'answer', note, tariff: good.tariff })
  }
  const counted = (name: string): number => view(first!).get('counters', name) ?? 0
  const before = [...view(first!).entries('auctions')]
  lie(second!, { auction: 'cd'.repeat(8) })
  assert.equal(counted('answer_unasked'), 1)
  lie(second!, { tariff: theirs })
  lie(second!, { tariff: first!.self.federation })
  lie(second!, { factor_permille: 1_001 })
  assert.equal(counted('answer_without_tariff'), 3)
  tell(world, third!, first!, good)
  assert.equal(counted('answer_malformed'), 1)
  assert.equal([...view(first!).entries('auctions')], before, 'the auction is untouched')
  tell(world, second!, first!, good)
  pass(world, 1_000)
  assert.equal([hostTranches(second!).length, hostTranches(third!).length], [1, 0])
})
