// What a host agrees to, what a tranche's document has to be, and how many tasks are committed
// when: enumerated over small rooms, and run to the end with slots that come free one by one.

import { sha256Hex } from '../../protocol/base/crypto.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { limits } from '../../protocol/base/limits.ts'
import type { Message } from '../../protocol/machine/messages.ts'
import { parseRanges, rangesSize } from '../../protocol/base/ranges.ts'
import { shaped } from '../../protocol/base/shape.ts'
import type { Bid } from '../../protocol/rules/bid.ts'
import type { ContractRoom, OpenBid } from '../../protocol/rules/contract.ts'
import {
  disagreement, tasksCommittedMax, tasksToCommit, termsFor, trancheCommitment, trancheDocumentShape,
  trancheTasks,
} from '../../protocol/rules/contract.ts'
import type { JobDocument } from '../../protocol/rules/job.ts'
import { account } from '../../protocol/rules/ledger-book.ts'
import type { ContractOffer } from '../../protocol/rules/statement.ts'
import { assert, suite } from '../harness.ts'
import type { Site } from '../machine/pair.ts'
import {
  federation, homeTranches, hostTranches, pass, runAll, submitJob, tell, view,
} from '../machine/pair.ts'
import { random } from '../sim/random.ts'
import { jobWith } from '../sim/users.ts'

const t = suite('contract')

const now = 1_750_000_000_000
const bid: Bid = {
  kind: 'bid', fed: sha256Hex('fed'), auction: '0'.repeat(16), host: 'host.example' as SiteName,
  slots: 4, queue_slots: 2, tariff: sha256Hex('tariff'), factor_permille: 1_200,
  speed_permille: 1_000, queue_seconds: 60, valid_seconds: 30,
}
const bidNote = 'the note of the bid'
const job = { cores: 2, memory_mib: 512, walltime_seconds: 600 } as JobDocument
const terms: ContractOffer = termsFor({
  job, jobSid: sha256Hex('job'), bid, bidNote, tasksMax: 10, leaseSeconds: 60, acceptSeconds: 120,
  interimSeconds: 900, exposurePermille: 500, autoPermille: 0, arbiter: '',
})
const openBid: OpenBid = {
  auction: bid.auction, home: 'home.example' as SiteName, noteHash: sha256Hex(bidNote), bid,
  cores: 2, memoryMib: 512, walltimeSeconds: 600, expiresEpochMs: now + 1,
}

t('terms are those of the bid and of the job', () => {
  assert.equal(terms, {
    side: 'offer', job: sha256Hex('job'), auction: bid.auction, bid: sha256Hex(bidNote),
    tariff: bid.tariff, factor_permille: 1_200, cores: 2, memory_mib: 512, walltime_s: 600,
    lease_s: 60, accept_s: 120, tasks_max: 10,
    interim_s: 900, exposure_permille: 500, auto_permille: 0, arbiter: '',
  })
  assert.equal(disagreement(terms, openBid, now), undefined)
})

/** Changes that part the terms from the bid. */
const otherTerms: readonly Partial<ContractOffer>[] = [
  { tariff: sha256Hex('other') }, { factor_permille: 1_199 }, { factor_permille: 1_201 },
  { cores: 1 }, { cores: 3 }, { memory_mib: 511 }, { memory_mib: 513 }, { walltime_s: 599 },
  { walltime_s: 601 },
]

t('[CONTRACT-1] a host agrees only to the very terms of its bid', () => {
  for (const change of otherTerms) {
    const why = disagreement({ ...terms, ...change }, openBid, now)
    assert.equal(why, 'the terms are not those of the bid', JSON.stringify(change))
  }
})

t('[CONTRACT-1] what the home decides is no reason to disagree', () => {
  const free: readonly Partial<ContractOffer>[] = [
    { job: sha256Hex('another') }, { lease_s: 1 }, { accept_s: 1 }, { tasks_max: 1 },
  ]
  for (const change of free) {
    assert.equal(disagreement({ ...terms, ...change }, openBid, now), undefined)
  }
})

t('[CONTRACT-1] only while the bid is valid', () => {
  const expires = openBid.expiresEpochMs
  assert.equal(disagreement(terms, openBid, expires - 1), undefined)
  for (const at of [expires, expires + 1]) {
    assert.equal(disagreement(terms, openBid, at), 'the bid has expired')
  }
})

t('[CONTRACT-1] of several reasons the first in order is given', () => {
  const reasons = [
    'no such bid is open', 'the bid has expired', 'the terms are not those of the bid',
  ]
  for (const absent of ['not', 'unknown', 'other note']) {
    for (const expired of [false, true]) {
      for (const change of [{}, ...otherTerms]) {
        const known = absent === 'unknown' ? undefined
          : absent === 'not' ? openBid : { ...openBid, noteHash: sha256Hex('other bid') }
        const first = [absent !== 'not', expired, Object.keys(change).length > 0].indexOf(true)
        const at = expired ? now + 2 : now
        assert.equal(disagreement({ ...terms, ...change }, known, at), reasons[first])
      }
    }
  }
})

const salt = 'ab'.repeat(16)

t('[CONTRACT-2] a tranche\'s document is what its hold committed to', () => {
  for (const text of ['0', '1-16,20', '999999999', '1-1000', '0-499,501-1000']) {
    const document = { salt, tasks: text }
    const tasks = parseRanges(text, { last: 999_999_999 })!
    const committed = { doc: trancheCommitment(document), tasks: rangesSize(tasks) }
    assert.equal(trancheTasks(document, committed), tasks)
    const others = [
      { ...document, salt: 'ac'.repeat(16) }, { ...document, tasks: '1' },
      { ...document, tasks: `${text} ` },
    ]
    for (const other of others) assert.equal(trancheTasks(other, committed), undefined)
    for (const off of [-1, 1]) {
      const wrong = { ...committed, tasks: committed.tasks + off }
      assert.equal(trancheTasks(document, wrong), undefined, 'as many tasks as the hold says')
    }
  }
})

t('[CONTRACT-2] what is committed to is canonical ranges of at most a thousand tasks', () => {
  const wrong: readonly (readonly [string, number])[] = [
    ['2,1', 2], ['1,2', 2], ['01', 1], ['1-1', 1], ['1000000000', 1], ['x', 0], ['1-1001', 1_001],
    ['0-999999998', 999_999_999],
  ]
  for (const [tasks, size] of wrong) {
    const document = { salt, tasks }
    const committed = { doc: trancheCommitment(document), tasks: size }
    assert.equal(trancheTasks(document, committed), undefined, tasks)
  }
  assert.equal(limits.tasksPerTranche, 1_000)
})

t('[CONTRACT-2] a commitment is of the whole document, and its salt hides it', () => {
  const document = assert.accepted(shaped(trancheDocumentShape, { salt, tasks: '0' }))
  const text = `gridnode/v1/tranche\n{"salt":"${salt}","tasks":"0"}`
  assert.equal(trancheCommitment(document), sha256Hex(text))
  assert.equal(trancheCommitment({ tasks: '0', salt }), sha256Hex(text), 'in one order of keys')
  for (const change of [{ salt: 'ab' }, { salt: 'AB'.repeat(16) }, { tasks: 0 }, { more: 1 }]) {
    assert.refused(shaped(trancheDocumentShape, { ...document, ...change }), 'malformed')
  }
})

function homeLease(home: Site): number {
  const state = homeTranches(home)[0]?.state
  return state?.kind === 'live' ? state.leaseUntilEpochMs : 0
}

t('[CONTRACT-3] the host\'s lease never outlives the home\'s, whatever is lost or late', () => {
  let renewed = 0
  for (let seed = 1; seed <= 20; seed++) {
    const chance = random(seed, 'leases')
    const [world, home, host] = federation(2)
    submitJob(world, home!, jobWith({ place: 'remote', inputs: '', inputs_bytes: 0 }))
    const first = homeLease(home!)
    const late: Message[] = []
    for (let turn = 0; turn < 60; turn++) {
      pass(world, 2_000, (message) => {
        const acks = message.kind === 'acks' && chance.chance(800)
        if (acks) late.push(message)
        return acks || chance.chance(200)
      })
      while (late.length > 0 && chance.chance(250)) tell(world, home!, host!, late.shift()!)
      const lives = hostTranches(host!)[0]!.leaseUntilEpochMs > world.nowMs
      const ends = hostTranches(host!)[0]!.leaseUntilEpochMs
      assert.ok(!lives || ends <= homeLease(home!), `seed ${seed}, turn ${turn}`)
    }
    if (homeLease(home!) > first) renewed++
  }
  assert.ok(renewed > 0, 'reports renew it')
})

t('[CONTRACT-4] under a live lease a host claims what ran', () => {
  const [world, home, host] = federation(2)
  submitJob(world, home!, jobWith({ place: 'remote', inputs: '', inputs_bytes: 0 }))
  runAll(world, host!, 1_000, () => true)
  assert.equal(hostTranches(host!).map(({ phase }) => phase), ['claimed'])
})

t('[CONTRACT-4] once its lease is over a host claims nothing by itself', () => {
  const [world, home, host] = federation(2)
  submitJob(world, home!, jobWith({ place: 'remote', inputs: '', inputs_bytes: 0 }))
  pass(world, 120_000, () => true)
  runAll(world, host!, 1_000, () => true)
  assert.equal(homeTranches(home!).map(({ state }) => state.kind), ['lapsed'])
  assert.ok(hostTranches(host!)[0]!.phase !== 'claimed', 'no claim')
  assert.ok(hostTranches(host!)[0]!.phase !== 'settled', 'nor is it over')
})

t('[CONTRACT-4] what lapsed with nothing to claim is voided once both have heard of it', () => {
  const [world, home, host] = federation(2)
  submitJob(world, home!, jobWith({ place: 'remote', inputs: '', inputs_bytes: 0 }))
  const [{ id } = { id: '' }] = homeTranches(home!)
  pass(world, 120_000, (_, from) => from === host)
  pass(world, 60_000)
  const settled = hostTranches(host!).find((tranche) => tranche.id === id)
  assert.ok(settled === undefined || settled.phase === 'settled')
  const known = homeTranches(home!).find((tranche) => tranche.id === id)
  assert.ok(known === undefined || known.state.kind === 'settled')
  assert.equal(account(view(home!), host!.name, home!.name).posted, 0n)
})

/** Every small room. */
function* rooms(most: number): Iterable<ContractRoom> {
  for (let slots = 0; slots <= most; slots++) {
    for (let queueSlots = 0; queueSlots <= most; queueSlots++) yield { slots, queueSlots }
  }
}

t('[CONTRACT-5] what was bid and half of it, rounded up', () => {
  for (const room of rooms(40)) {
    const bidden = room.slots + room.queueSlots
    let half = 0
    while (2 * half < bidden) half++
    assert.equal(tasksCommittedMax(room), bidden + half)
  }
})

t('[CONTRACT-5] tasks are committed within what waits and what a contract may have', () => {
  for (const room of rooms(6)) {
    const slots = room.slots + room.queueSlots
    const most = tasksCommittedMax(room)
    for (let outstanding = 0; outstanding <= most + 2; outstanding++) {
      for (const slotsElsewhere of [0, 1, 5, 30]) {
        for (let waiting = 0; waiting <= 90; waiting++) {
          const options = { waiting, outstanding, room, slotsElsewhere }
          const count = tasksToCommit(options)
          const at = JSON.stringify({ ...options, count })
          const plenty = waiting > 2 * (slots + slotsElsewhere)
          assert.ok(count >= 0 && count <= waiting, `${at}: what waits`)
          if (count > 0) assert.ok(outstanding + count <= most, `${at}: what is allowed`)
          if (count > 0 && !plenty) assert.ok(outstanding + count <= slots, `${at}: no stub`)
          const open = Math.min(waiting, slots - outstanding)
          assert.ok(count >= open, `${at}: no slot stays open while work waits`)
        }
      }
    }
  }
})

t('a hold is for no more than a tranche can have, and more of them take the rest', () => {
  const room = { slots: 3_000, queueSlots: 0 }
  const taken: number[] = []
  for (let outstanding = 0, waiting = 100_000; ;) {
    const count = tasksToCommit({ waiting, outstanding, room, slotsElsewhere: 0 })
    if (count === 0) break
    taken.push(count)
    outstanding += count
    waiting -= count
  }
  // What is missing to 4,500 is less than a quarter of the slots.
  assert.equal(taken, [1_000, 1_000, 1_000, 1_000])
})

t('of brief tasks there is a stub to the end', () => {
  const room = { slots: 12, queueSlots: 4 }
  const some = { waiting: 5, outstanding: 16, room, slotsElsewhere: 0 }
  assert.equal(tasksToCommit(some), 0)
  assert.equal(tasksToCommit({ ...some, brief: true }), 5)
  assert.equal(tasksToCommit({ ...some, brief: true, outstanding: 20 }), 4)
  assert.equal(tasksToCommit({ ...some, brief: true, outstanding: 21 }), 0, 'not one by one')
  assert.equal(tasksToCommit({ ...some, brief: true, outstanding: 23, waiting: 1 }), 1)
})

t('with plenty of work the stub is topped up a quarter of the slots at a time', () => {
  const room = { slots: 12, queueSlots: 4 }
  const common = { waiting: 1_000, room, slotsElsewhere: 0 }
  const counts = [16, 20, 21, 22, 24].map((outstanding) =>
    tasksToCommit({ ...common, outstanding }))
  assert.equal(counts, [8, 4, 0, 0, 0])
})

t('tasks over several hosts all find their slot, one end at a time', () => {
  for (const room of rooms(4)) {
    for (const other of [{ slots: 1, queueSlots: 0 }, { slots: 3, queueSlots: 2 }]) {
      for (const total of [1, 5, 40]) walk([room, other], total)
    }
  }
})

/** Commits, ends one task, and so on; while work waits nobody has an open slot. */
function walk(hosts: readonly ContractRoom[], total: number): void {
  const slots = hosts.map((room) => room.slots + room.queueSlots)
  const outstanding = hosts.map(() => 0)
  let [waiting, ended] = [total, 0]
  for (let turn = 0; ended < total; turn++) {
    for (const [at, room] of hosts.entries()) {
      const slotsElsewhere = slots.reduce((sum, count) => sum + count, 0) - slots[at]!
      const options = { waiting, outstanding: outstanding[at]!, room, slotsElsewhere }
      const count = tasksToCommit(options)
      outstanding[at]! += count
      waiting -= count
      assert.ok(outstanding[at]! <= tasksCommittedMax(room) && waiting >= 0)
      const idle = waiting > 0 && outstanding[at]! < slots[at]!
      assert.ok(!idle, JSON.stringify({ hosts, total, turn, at }))
    }
    const [first, second] = turn % 2 === 0 ? [0, 1] : [1, 0]
    const who = outstanding[first]! > 0 ? first : second
    assert.ok(outstanding[who]! > 0, 'something is under way until all have ended')
    outstanding[who]! -= 1
    ended++
  }
}
