// What a log tells: amounts that move, holds that end, sums of pairs, in any order of words.

import { assert, suite } from '../harness.ts'
import type { Sid, SiteName } from '../../protocol/base/ids.ts'
import { credits, hashOf, site, start } from './ledger-sites.ts'
import type { Walk } from './history-walk.ts'
import { walkOf } from './history-walk.ts'

const t = suite('ledger history')
const [home, host] = [site('home.example'), site('host.example')]

function moved({ events }: Walk): bigint[] {
  return events.flatMap((event) => (event.kind === 'accepted' ? [event.moved] : []))
}

function kinds({ events }: Walk): string[] {
  return events.map((event) => (event.kind === 'ended' ? event.hold.state : event.kind))
}

function sums(walk: Walk): Record<string, bigint> {
  const [pair] = walk.history.sums()
  assert.equal([pair?.creditor, pair?.debtor], [host, home])
  const { creditor: _, debtor: __, ...rest } = pair!
  return rest
}

/** A hold of 1,000 with a final claim of 600. */
function claimed(walk: Walk): { hold: Sid, usage: Sid } {
  const hold = walk.hold(home, host, 1_000)
  walk.held(hold)
  return { hold, usage: walk.usage(hold, 600, { final: 1 }) }
}

t('a hold is asked, held, claimed twice and paid', () => {
  const walk = walkOf(home)
  const hold = walk.hold(home, host, 1_000)
  assert.equal(walk.history.sums(), [])
  walk.held(hold)
  assert.equal(sums(walk), { accepted: 0n, settled: 0n, claimed: 0n, disputed: 0n, held: 1_000n })
  const first = walk.usage(hold, 200)
  assert.equal(sums(walk), { accepted: 0n, settled: 0n, claimed: 200n, disputed: 0n, held: 800n })
  walk.accept(hold, first, 150)
  assert.equal(sums(walk), { accepted: 150n, settled: 0n, claimed: 50n, disputed: 0n, held: 800n })
  const last = walk.usage(hold, 600, { final: 1, tasks: 3 })
  assert.equal(sums(walk), { accepted: 150n, settled: 0n, claimed: 450n, disputed: 0n, held: 0n })
  walk.accept(hold, last, 600, { final: 1 })
  assert.equal(sums(walk), { accepted: 600n, settled: 0n, claimed: 0n, disputed: 0n, held: 0n })
  assert.equal(kinds(walk), ['accepted', 'claimed', 'accepted', 'done'])
  assert.equal(moved(walk), [150n, 450n])
  assert.equal(walk.events.flatMap((event) => (event.kind === 'accepted' ? [event.used] : [])), [
    { tasks: 1, core_s: 400, gib_s: 600 }, { tasks: 2, core_s: 800, gib_s: 1_200 },
  ])
  assert.equal(walk.history.openHolds(), [])
})

t('what is declined or void leaves nothing', () => {
  const walk = walkOf(host)
  const declined = walk.hold(home, host, 1_000)
  walk.say(host, home, { kind: 'declined', hold: declined, reason: 'full' })
  const given = walk.hold(home, host, 1_000)
  walk.held(given)
  walk.say(host, home, { kind: 'void', hold: given, reason: 'cancelled' })
  assert.equal(kinds(walk), ['declined', 'void'])
  assert.equal([walk.history.sums(), walk.history.openHolds()], [[], []])
})

t('a dispute accepts the rest at once; an agreed proposal or a ruling ends it', () => {
  for (const end of ['agree', 'ruling', 'forgive'] as const) {
    const walk = walkOf(home)
    const { hold, usage } = claimed(walk)
    walk.say(home, host, {
      kind: 'dispute', hold, usage, contested: credits(250), reason: 'too slow', doc: '',
    })
    assert.equal(sums(walk), {
      accepted: 350n, settled: 0n, claimed: 0n, disputed: 250n, held: 0n,
    })
    if (end === 'agree') {
      const offer = { kind: 'resolve', side: 'offer', hold, amount: credits(500) }
      const resolve = walk.say(host, home, offer)
      assert.equal(walk.history.openHolds()[0]?.asks, 600n, 'a proposal alone changes nothing')
      walk.say(home, host, { kind: 'resolve', side: 'agree', resolve })
      assert.equal(moved(walk), [350n, 150n])
    } else if (end === 'ruling') {
      const ruling = { kind: 'resolve', side: 'ruling', hold, amount: credits(400), note: '' }
      walk.say(home, host, ruling)
      assert.equal(moved(walk), [350n, 50n])
    } else {
      walk.say(host, home, { kind: 'resolve', side: 'forgive', hold, amount: credits(350) })
      assert.equal(moved(walk), [350n])
    }
    assert.equal(kinds(walk).at(-1), 'done')
    const { disputed, claimed: open, held } = sums(walk)
    assert.equal([disputed, open, held], [0n, 0n, 0n])
  }
})

t('words that cross come to the same in either order', () => {
  const results = ['accept first', 'forgive first'].map((order) => {
    const walk = walkOf(host)
    const { hold, usage } = claimed(walk)
    const words = [
      () => walk.accept(hold, usage, 600, { final: 1 }),
      () => walk.say(host, home, { kind: 'resolve', side: 'forgive', hold, amount: credits(0) }),
    ]
    for (const word of order === 'accept first' ? words : words.toReversed()) word()
    return sums(walk)
  })
  assert.equal(results[0], results[1])
  assert.equal(results[0]?.['accepted'], 600n)
})

t('a clause and a proposal move nothing', () => {
  const walk = walkOf(host)
  const { hold, usage } = claimed(walk)
  walk.say(host, home, {
    kind: 'resolve', side: 'clause', hold, usage, amount: credits(300), proof: '',
  })
  walk.say(home, host, { kind: 'resolve', side: 'offer', hold, amount: credits(10) })
  assert.equal(moved(walk), [])
  assert.equal(sums(walk)['claimed'], 600n)
})

t('settlements count once they are agreed, and once only', () => {
  const walk = walkOf(home)
  const { hold, usage } = claimed(walk)
  walk.accept(hold, usage, 600, { final: 1 })
  const settle = walk.say(home, host, {
    kind: 'settle', side: 'offer', amount: credits(400), payer: 'author', reference: 'bank 1',
  })
  assert.equal(sums(walk)['settled'], 0n)
  walk.say(host, home, { kind: 'settle', side: 'agree', settle })
  walk.say(host, home, { kind: 'settle', side: 'agree', settle })
  assert.equal(sums(walk)['settled'], 400n)
  walk.say(host, home, { kind: 'settle', side: 'forgive', amount: credits(50), reference: '' })
  assert.equal(sums(walk)['settled'], 450n)
  const asked = walk.say(host, home, {
    kind: 'settle', side: 'offer', amount: credits(150), payer: 'addressee', reference: 'bank 2',
  })
  walk.say(home, host, { kind: 'settle', side: 'agree', settle: asked })
  assert.equal(sums(walk)['settled'], 600n)
  assert.equal(walk.events.flatMap((event) => (event.kind === 'settled'
    ? [[event.debtor, event.how, event.reference]] : [])), [
    [home, 'paid', 'bank 1'], [home, 'forgiven', ''], [home, 'paid', 'bank 2'],
  ])
})

t('what an allocation pays is accepted and owed by nobody', () => {
  const walk = walkOf(home)
  const hold = walk.hold(home, host, 1_000, { grant: hashOf('grant') })
  walk.held(hold)
  walk.accept(hold, walk.usage(hold, 600, { final: 1 }), 600, { final: 1 })
  assert.equal([moved(walk), walk.history.sums()], [[600n], []])
})

t('evidence, limits and the newest word are kept', () => {
  const walk = walkOf(home)
  walk.say(home, host, { kind: 'credit', limit: credits(5) }, start + 1)
  walk.say(home, host, { kind: 'credit', limit: credits(7) }, start + 2)
  walk.say(home, '*', {
    kind: 'evidence', accused: host, epoch: 1, proof: 'fork_head', doc: hashOf('doc'),
  })
  assert.equal(walk.history.limit(home, host), 7n)
  assert.equal(walk.history.limit(host, home), 0n)
  assert.equal(walk.history.newestEpochMs(home, host), start + 2)
  assert.equal(walk.history.newestEpochMs(host, home), 0)
  assert.equal(walk.events.map((event) => (event.kind === 'accused' ? event.accused : '')), [host])
})

t('what refers to nothing known changes nothing', () => {
  const walk = walkOf(home)
  const ghost = hashOf('ghost')
  const words: readonly (readonly [SiteName, SiteName, object])[] = [
    [home, host, { kind: 'hold', contract: ghost, amount: credits(1), tasks: 1, grant: '' }],
    [host, home, { kind: 'held', hold: ghost }],
    [host, home, { kind: 'void', hold: ghost }],
    [host, home, { kind: 'usage', hold: ghost, amount: credits(1), final: 1 }],
    [home, host, { kind: 'accept', hold: ghost, usage: ghost, amount: credits(1), final: 1 }],
    [home, host, { kind: 'dispute', hold: ghost, usage: ghost, contested: credits(1) }],
    [home, host, { kind: 'resolve', side: 'agree', resolve: ghost }],
    [host, home, { kind: 'resolve', side: 'forgive', hold: ghost, amount: credits(1) }],
    [host, home, { kind: 'resolve', side: 'ruling', hold: ghost, amount: credits(1), note: '' }],
    [home, host, { kind: 'settle', side: 'agree', settle: ghost }],
  ]
  for (const [from, to, fields] of words) walk.say(from, to, fields)
  assert.equal([walk.events, walk.history.sums(), walk.history.openHolds()], [[], [], []])
})
