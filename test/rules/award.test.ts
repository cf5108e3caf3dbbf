// The ranking and the sharing out, each against a slow and obvious second version over many small
// cases; what a late bid and a winner that stays silent come to, between sites in memory.

import { assert, suite } from '../harness.ts'
import { jobWith } from '../sim/users.ts'
import { microcredits } from '../../protocol/base/units.ts'
import type { RankedBid } from '../../protocol/rules/award.ts'
import { allot, completionSeconds, rankBids } from '../../protocol/rules/award.ts'
import type { Policy } from '../../protocol/rules/job.ts'
import type { Message } from '../../protocol/machine/messages.ts'
import type { Site, World } from '../machine/pair.ts'
import {
  carry, federation, happen, homeTranches, hostTranches, pass, tell, view,
} from '../machine/pair.ts'
import type { Random } from '../sim/random.ts'
import { random } from '../sim/random.ts'
import { goodBid, shuffled, siteNamed } from './market-notes.ts'

const t = suite('award')
const policies = ['cheapest', 'soonest', 'balanced'] as const satisfies readonly Policy[]

interface Terms {
  readonly cap: number
  readonly seconds?: number
  readonly slots?: number
  readonly queue?: number
  readonly affordable?: number
}

function entry(name: string, terms: Terms): RankedBid {
  const { cap, seconds = 1, slots = 1, queue = 0, affordable = 100 } = terms
  const bid = goodBid({ host: siteNamed(`${name}.example`), slots, queue_slots: queue })
  const taskCap = microcredits(BigInt(cap))
  return { bid, rank: 0n, note: name, taskCap, completionSeconds: seconds, affordable }
}

function names(ranked: readonly RankedBid[]): string {
  return ranked.map(({ note }) => note).join(' ')
}

t('[AWARD-1] the rank of the job itself comes before its policy', () => {
  const bids = [
    { ...entry('a', { cap: 1 }), rank: 5n }, { ...entry('b', { cap: 9 }), rank: 7n },
    { ...entry('c', { cap: 0 }), rank: -(2n ** 63n) }, { ...entry('d', { cap: 8 }), rank: 7n },
  ]
  assert.equal(names(rankBids('cheapest', bids)), 'd b a c')
})

t('[AWARD-1] each policy has its criterion, then the other, then the name', () => {
  const bids = [
    entry('d', { cap: 2, seconds: 20 }), entry('c', { cap: 3, seconds: 10 }),
    entry('b', { cap: 3, seconds: 10 }), entry('a', { cap: 2, seconds: 30 }),
    entry('e', { cap: 0, seconds: 1_000 }),
  ]
  assert.equal(names(rankBids('cheapest', bids)), 'e d a b c')
  assert.equal(names(rankBids('soonest', bids)), 'b c d a e')
  // (cap + 1) * (seconds + 1): 44 44 63 93 1001.
  assert.equal(names(rankBids('balanced', bids)), 'b c d a e')
  const even = [entry('x', { cap: 5, seconds: 1 }), entry('y', { cap: 1, seconds: 5 })]
  assert.equal(names(rankBids('balanced', even)), 'x y')
})

/** The best of those left, again and again: no earlier criterion says otherwise. */
function slowRank(policy: Policy, bids: readonly RankedBid[]): RankedBid[] {
  const criteria = ({ taskCap, completionSeconds: seconds }: RankedBid): bigint[] => {
    const time = BigInt(seconds)
    if (policy === 'cheapest') return [taskCap, time]
    if (policy === 'soonest') return [time, taskCap]
    return [(taskCap + 1n) * (time + 1n), time, taskCap]
  }
  const better = (left: RankedBid, right: RankedBid): boolean => {
    const [mine, theirs] = [criteria(left), criteria(right)]
    const at = mine.findIndex((value, index) => value !== theirs[index])
    return at < 0 ? left.bid.host < right.bid.host : mine[at]! < theirs[at]!
  }
  const left = [...bids]
  const ranked: RankedBid[] = []
  while (left.length > 0) {
    const best = left.findIndex((one) =>
      left.every((other) => other === one || better(one, other)))
    assert.ok(best >= 0, 'one is better than all others')
    ranked.push(...left.splice(best, 1))
  }
  return ranked
}

t('[AWARD-1] it is a total order whatever order bids came in, as a slow ranking has it', () => {
  const draw = random(1, 'ranking')
  for (let round = 0; round < 600; round++) {
    const count = draw.between(1, 6)
    const bids = Array.from({ length: count }, (_, at) =>
      entry('abcdef'[at]!, { cap: draw.int(4), seconds: draw.int(4) }))
    for (const policy of policies) {
      const mixed = shuffled(bids, draw.int)
      const before = names(mixed)
      assert.equal(names(rankBids(policy, mixed)), names(slowRank(policy, bids)))
      assert.equal(names(mixed), before, 'the input is untouched')
    }
  }
})

t('[AWARD-1] large prices and times are compared exactly', () => {
  const most = 2n ** 62n
  const close = [entry('a', { cap: 0, seconds: 10 ** 9 }), entry('b', { cap: 0, seconds: 10 ** 9 })]
  const [dear, cheap] = [microcredits(most), microcredits(most - 1n)]
  const bids = [{ ...close[0]!, taskCap: dear }, { ...close[1]!, taskCap: cheap }]
  for (const policy of policies) assert.equal(names(rankBids(policy, bids)), 'b a')
})

t('[AWARD-1] completion is the wait without a free slot, and the walltime at the speed', () => {
  const draw = random(2, 'completion')
  const cases = [[1, 1], [366 * 86_400, 1], [366 * 86_400, 999_999], [60, 1_000], [60, 1_500]]
  while (cases.length < 500) cases.push([draw.between(1, 10 ** 7), draw.between(1, 10 ** 6)])
  for (const [walltime, speed] of cases as [number, number][]) {
    const runs = Number((BigInt(walltime) * 1000n + BigInt(speed) - 1n) / BigInt(speed))
    const terms = { speed_permille: speed, queue_seconds: 77 }
    assert.equal(completionSeconds(goodBid({ ...terms, slots: 1 }), walltime), runs)
    assert.equal(completionSeconds(goodBid({ ...terms, slots: 0 }), walltime), runs + 77)
  }
})

t('[AWARD-3] free slots everywhere come before queue slots anywhere', () => {
  const ranked = [
    entry('a', { cap: 1, slots: 1, queue: 5 }), entry('b', { cap: 2, slots: 2, queue: 5 }),
  ]
  const given = (tasks: number, budget = 1_000n): string =>
    allot(ranked, tasks, microcredits(budget)).map((one) => `${one.host[0]}${one.tasks}`).join(' ')
  assert.equal(given(0), '')
  assert.equal(given(1), 'a1')
  assert.equal(given(3), 'a1 b2')
  assert.equal(given(5), 'a3 b2')
  assert.equal(given(9), 'a6 b3')
  assert.equal(given(99), 'a6 b7')
  assert.equal(given(9, 0n), '')
  assert.equal(given(9, 4n), 'a2 b1')
})

/** One task after the other: to the best with a free slot, else to the best with a queue slot. */
function slowAllot(ranked: readonly RankedBid[], tasks: number, budget: number): number[] {
  const given = ranked.map(() => 0)
  let spent = 0
  const takes = (at: number, room: number): boolean => {
    const { affordable, taskCap } = ranked[at]!
    return given[at]! < Math.min(room, affordable) && spent + Number(taskCap) <= budget
  }
  for (let task = 0; task < tasks; task++) {
    let at = ranked.findIndex(({ bid }, index) => takes(index, bid.slots))
    if (at < 0) at = ranked.findIndex(({ bid }, index) => takes(index, bid.slots + bid.queue_slots))
    if (at < 0) break
    given[at]! += 1
    spent += Number(ranked[at]!.taskCap)
  }
  return given
}

function drawBids(draw: Random): RankedBid[] {
  return Array.from({ length: draw.between(0, 4) }, (_, at) => entry('abcd'[at]!, {
    cap: draw.int(4), seconds: draw.int(3), slots: draw.int(4), queue: draw.int(4),
    affordable: draw.int(7),
  }))
}

t('[AWARD-3] nobody gets more than it offered, its credit and the budget; no less either', () => {
  const draw = random(3, 'allotting')
  for (let round = 0; round < 3_000; round++) {
    const ranked = rankBids(draw.pick(policies), drawBids(draw))
    const [tasks, budget] = [draw.int(12), draw.int(16)]
    const allotments = allot(ranked, tasks, microcredits(BigInt(budget)))
    const byHost = new Map(allotments.map((one) => [one.host, one.tasks]))
    assert.equal(byHost.size, allotments.length, 'one allotment a host')
    const given = ranked.map(({ bid }) => byHost.get(bid.host) ?? 0)
    assert.equal(given, slowAllot(ranked, tasks, budget))
    let spent = 0
    ranked.forEach(({ bid, affordable, taskCap }, at) => {
      assert.ok(given[at]! <= Math.min(bid.slots + bid.queue_slots, affordable))
      spent += given[at]! * Number(taskCap)
    })
    assert.ok(spent <= budget)
    assert.ok(given.reduce((sum, count) => sum + count, 0) <= tasks)
    assert.ok(allotments.every((one) => one.tasks > 0), 'nobody is given nothing')
  }
})

function entriesOf(site: Site): Record<string, string> {
  const [auction] = [...view(site).entries('auctions')].map(([, one]) => one)
  return Object.fromEntries(Object.entries(auction!.entries).map(([name, one]) => [name, one.kind]))
}

const remote = (): ReturnType<typeof jobWith> =>
  jobWith({ place: 'remote', inputs: '', inputs_bytes: 0 })

t('[AWARD-2] a late bid is kept as late, never ranked, and its site is told', () => {
  const [world, home, slow, quick] = federation(3)
  const answers: Message[] = []
  const keep = (message: Message, from: Site): boolean => {
    if (message.kind !== 'answer' || from !== slow) return false
    answers.push(message)
    return true
  }
  const job = remote()
  submitJobKeeping(world, home!, job, keep)
  pass(world, 2_000, keep)
  assert.equal(answers.length, 1)
  const before = { [home!.name]: 'unfit', [slow!.name]: 'silent', [quick!.name]: 'bid' }
  assert.equal(entriesOf(home!), before)
  assert.equal([...view(slow!).entries('openBids')].length, 1, 'it keeps what it bid free')
  tell(world, slow!, home!, answers[0]!)
  const told = home!.out.filter(({ to }) => to === slow!.name).map(({ message }) => message.kind)
  assert.equal(told, ['auction_closed'])
  carry(world)
  assert.equal(entriesOf(home!), { ...before, [slow!.name]: 'late' })
  assert.equal([...view(slow!).entries('openBids')].length, 0, 'it is free again')
  assert.equal([hostTranches(slow!).length, hostTranches(quick!).length], [0, 1])
})

function submitJobKeeping(
  world: World, at: Site, job: ReturnType<typeof jobWith>,
  keep: (message: Message, from: Site) => boolean,
): void {
  happen(world, at, { kind: 'jobSubmitted', request: 'r', job })
  carry(world, keep)
}

t('[AWARD-4] the tasks of a winner that stays silent go to the next best of the auction', () => {
  const [world, home, first, second] = federation(3)
  const keep = (message: Message, from: Site): boolean =>
    from === first && message.kind !== 'answer'
  submitJobKeeping(world, home!, remote(), keep)
  assert.equal(entriesOf(home!)[first!.name], 'bid')
  assert.equal(homeTranches(home!).map(({ host }) => host), [first!.name])
  pass(world, 19_000, keep)
  assert.equal(hostTranches(second!).length, 0)
  pass(world, 2_000, keep)
  assert.equal(entriesOf(home!)[first!.name], 'withdrew')
  assert.equal(entriesOf(home!)[second!.name], 'bid')
  assert.equal(hostTranches(second!).length, 1)
  const rounds = [...view(home!).entries('auctions')].length
  assert.equal(rounds, 1, 'no other round was needed')
})
