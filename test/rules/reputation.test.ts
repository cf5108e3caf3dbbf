// Reputation: what counts for whom, by how much, and that invented sites change nothing.

import { assert, suite } from '../harness.ts'
import type { Sid, SiteName } from '../../protocol/base/ids.ts'
import type { HoldOutcome, How } from '../../protocol/rules/hold-outcomes.ts'
import { countsAs, outcomesOf, unpaidOutcomes } from '../../protocol/rules/hold-outcomes.ts'
import type { Reputation } from '../../protocol/rules/reputation.ts'
import {
  entriesToldMax, halfLifeMs, holdWeightMax, openScore, priorMicrocredits, scoreOf, weighByAge,
} from '../../protocol/rules/reputation.ts'
import { credits, hashOf, site, start } from './ledger-sites.ts'
import type { Walk } from './history-walk.ts'
import { walkOf } from './history-walk.ts'

const t = suite('reputation')
const [home, host] = [site('home.example'), site('host.example')]
const day = 86_400_000

/** Who, how and how much, of all that the walk shows. */
function outcomes(walk: Walk): string[] {
  const found = [
    ...walk.events.flatMap((event) => outcomesOf(walk.history.log, event)),
    ...unpaidOutcomes(walk.history),
  ]
  return found.map(({ role, how, value }) => `${role} ${how} ${value}`)
}

function finalUsage(walk: Walk): { hold: Sid, usage: Sid } {
  const hold = walk.hold(home, host, 1_000, { terms: { accept_s: 3_600 } })
  walk.held(hold)
  return { hold, usage: walk.usage(hold, 600, { final: 1 }) }
}

const onTime = start + 3_600_000
const late = onTime + 1

t('paid in time: both have kept their word; paid late: only the host', () => {
  for (const [at, expected] of [
    [onTime, ['host delivered 600', 'home paid 600']],
    [late, ['host delivered 600', 'home paid_late 600']],
  ] as const) {
    const walk = walkOf(home)
    const { hold, usage } = finalUsage(walk)
    walk.accept(hold, usage, 600, { final: 1, at })
    assert.equal(outcomes(walk), expected)
  }
})

t('unpaid: only when the home spoke after the deadline; its silence shows nothing', () => {
  const walk = walkOf(host)
  const { hold, usage } = finalUsage(walk)
  walk.say(host, home, { kind: 'credit', limit: credits(1) }, late + day)
  assert.equal(outcomes(walk), [], 'the host alone has spoken')
  walk.say(home, host, { kind: 'credit', limit: credits(1) }, onTime)
  assert.equal(outcomes(walk), [], 'the home has spoken before the deadline')
  walk.say(home, host, { kind: 'credit', limit: credits(1) }, late)
  assert.equal(outcomes(walk), ['home unpaid 600'])
  const [unpaid] = unpaidOutcomes(walk.history)
  assert.equal([unpaid?.sid, unpaid?.endedEpochMs, unpaid?.site], [usage, onTime, home])
  walk.accept(hold, usage, 600, { final: 1, at: late })
  assert.equal(outcomes(walk), ['host delivered 600', 'home paid_late 600'], 'made good')
})

t('a part accepted in time does not answer for the rest', () => {
  const walk = walkOf(host)
  const { hold, usage } = finalUsage(walk)
  walk.accept(hold, usage, 1, { at: start })
  walk.say(home, host, { kind: 'credit', limit: credits(1) }, late)
  assert.equal(outcomes(walk), ['home unpaid 599'])
})

t('an open dispute is held against nobody; a ruling is, for what it moves', () => {
  for (const [ruling, expected] of [
    [undefined, []],
    [400, ['host delivered 400', 'home paid 350', 'host overruled 200', 'home overruled 50']],
    [600, ['host delivered 600', 'home paid 350', 'home overruled 250']],
    [350, ['host delivered 350', 'home paid 350', 'host overruled 250']],
  ] as const) {
    const walk = walkOf(home)
    const { hold, usage } = finalUsage(walk)
    const contested = credits(250)
    walk.say(home, host, { kind: 'dispute', hold, usage, contested, reason: '', doc: '' })
    walk.say(home, host, { kind: 'credit', limit: credits(1) }, late)
    if (ruling !== undefined) {
      walk.say(host, home, {
        kind: 'resolve', side: 'ruling', hold, amount: credits(ruling), note: '',
      }, late)
    }
    assert.equal(outcomes(walk), expected)
  }
})

t('an agreement is no failure of either; what is given up tells nothing', () => {
  const walk = walkOf(home)
  const { hold, usage } = finalUsage(walk)
  const contested = credits(600)
  walk.say(home, host, { kind: 'dispute', hold, usage, contested, reason: '', doc: '' })
  const offer = { kind: 'resolve', side: 'offer', hold, amount: credits(100) }
  const resolve = walk.say(home, host, offer)
  walk.say(host, home, { kind: 'resolve', side: 'agree', resolve })
  assert.equal(outcomes(walk), ['host delivered 100', 'home paid 100'])
  const other = walkOf(home)
  const given = other.hold(home, host, 1_000)
  other.held(given)
  other.say(host, home, { kind: 'void', hold: given, reason: 'lapsed' })
  assert.equal(outcomes(other), ['host given_up 1000'])
  assert.equal(countsAs('given_up'), 'neither')
})

t('forgiven without an answer: nothing speaks for the home', () => {
  const walk = walkOf(host)
  const { hold } = finalUsage(walk)
  walk.say(host, home, { kind: 'resolve', side: 'forgive', hold, amount: credits(0) }, late)
  assert.equal(outcomes(walk), [])
})

t('work for itself is no reference', () => {
  const walk = walkOf(home)
  const hold = walk.hold(home, home, 1_000)
  walk.held(hold)
  walk.accept(hold, walk.usage(hold, 600, { final: 1 }), 600, { final: 1 })
  assert.equal(outcomes(walk), [])
})

t('weight halves every 90 days, on straight lines between', () => {
  assert.equal(weighByAge(1_000n, 0), 1_000n)
  assert.equal(weighByAge(1_000n, halfLifeMs / 2), 750n)
  assert.equal(weighByAge(1_000n, halfLifeMs), 500n)
  assert.equal(weighByAge(1_000n, halfLifeMs * 1.5), 375n)
  assert.equal(weighByAge(1_000n, 2 * halfLifeMs), 250n)
  assert.equal(weighByAge(1_000n, halfLifeMs - 1), 500n)
  assert.equal(weighByAge((1n << 63n) - 1n, 63 * halfLifeMs), 0n)
  assert.equal(weighByAge((1n << 63n) - 1n, Number.MAX_SAFE_INTEGER), 0n)
  let before = weighByAge(123_456_789n, 0)
  for (let age = 0; age < 400 * day; age += 7 * day + 1_234_567) {
    const now = weighByAge(123_456_789n, age)
    assert.ok(now <= before && now >= 0n, `weight at ${age}`)
    before = now
  }
})

const subject = site('subject.example')
const observer = site('observer.example')

function outcome(
  counterparty: string, how: How, value: bigint, more: Partial<HoldOutcome> = {},
): HoldOutcome {
  const hold = hashOf(`${counterparty} ${how} ${value} ${more.index ?? 0}`)
  return {
    hold, index: 1, sid: hold, log: site(counterparty), site: subject, role: 'host',
    counterparty: site(counterparty), how, value: credits(value), endedEpochMs: start, ...more,
  }
}

function scored(
  found: readonly HoldOutcome[], limits: Readonly<Record<string, bigint>> = {},
  options: { challenged?: boolean, accused?: boolean } = {},
): Reputation {
  const score = openScore({
    observer, subject, asOfEpochMs: start, credit: (name: SiteName) => credits(limits[name] ?? 0n),
  })
  for (const one of found) score.add(one)
  if (options.accused) {
    score.accuse({ index: 9, sid: hashOf('evidence'), kind: 'evidence', by: observer, at: start })
  }
  return score.result({ challenged: options.challenged ?? false })
}

t('a stranger has 500, a proven liar 0, an open challenge halves', () => {
  assert.equal(scored([]).scorePermille, 500)
  const good = [outcome(observer, 'delivered', 10_000_000n)]
  assert.equal(scored(good).scorePermille, 666)
  assert.equal(scored(good, {}, { challenged: true }).scorePermille, 333)
  assert.equal(scored(good, {}, { accused: true }).scorePermille, 0)
  assert.equal(scored([outcome(observer, 'overruled', 10_000_000n)]).scorePermille, 333)
})

t('the score is the formula, for all small sums', () => {
  const m = priorMicrocredits
  for (let kept = 0n; kept <= 5n * m; kept += m / 2n) {
    for (let failed = 0n; failed <= 5n * m; failed += m / 2n) {
      const score = scoreOf({ kept: credits(kept), failed: credits(failed) })
      assert.equal(score, Number(1_000n * (kept + m) / (kept + failed + 2n * m)))
      assert.ok(score > 0 && score < 1_000)
    }
  }
})

t('one hold counts for no more than its bound, whatever it was for', () => {
  const huge = outcome(observer, 'delivered', 1_000_000_000_000n)
  assert.equal(scored([huge]).total, { kept: credits(holdWeightMax), failed: credits(0) })
  const { hold } = huge
  const parts = [huge, outcome(observer, 'overruled', 50n, { hold }),
    outcome(observer, 'delivered', 7n, { hold })]
  assert.equal(scored(parts).total, { kept: credits(holdWeightMax), failed: credits(50) })
})

t('a counterparty counts up to the credit that the observer gives it, both ways', () => {
  const found = [
    outcome('friend.example', 'delivered', 3_000_000n),
    outcome('friend.example', 'unpaid', 5_000_000n),
    outcome('other.example', 'delivered', 4_000_000n),
  ]
  assert.equal(scored(found).total, { kept: credits(0), failed: credits(0) })
  assert.equal(scored(found, { 'friend.example': 4_000_000n }).total, {
    kept: credits(3_000_000), failed: credits(4_000_000),
  })
  assert.equal(scored(found, { 'friend.example': 4_000_000n, 'other.example': 1n }).counterparties
    .map(({ site: name, credit, counted }) => [name, credit, counted.kept]), [
    ['friend.example', 4_000_000n, 3_000_000n], ['other.example', 1n, 1n],
  ])
})

t('a thousand sybils without credit from the observer change nothing', () => {
  const honest = [
    outcome(observer, 'delivered', 2_000_000n), outcome('friend.example', 'overruled', 900_000n),
  ]
  const limits = { 'friend.example': 10_000_000n }
  const before = scored(honest, limits)
  const sybils = Array.from({ length: 1_000 }, (_, at) =>
    outcome(`sybil-${at}.example`, at % 2 === 0 ? 'delivered' : 'unpaid', 10_000_000n))
  const after = scored([...sybils, ...honest], limits)
  assert.equal([after.scorePermille, after.total], [before.scorePermille, before.total])
})

t('many with little credit count for the sum of it, however much they claim', () => {
  const sybils = Array.from({ length: 100 }, (_, at) =>
    outcome(`sybil-${at}.example`, 'delivered', 10_000_000n))
  const limits = Object.fromEntries(sybils.map(({ counterparty }) => [counterparty, 1_000n]))
  assert.equal(scored(sybils, limits).total.kept, 100_000n)
})

t('what is about others, or by the subject about itself, is passed over', () => {
  const found = [
    outcome(observer, 'delivered', 1n, { site: observer }),
    outcome(subject, 'delivered', 1n),
  ]
  assert.equal([scored(found).entries, scored(found).counterparties], [[], []])
})

t('the newest entries are told, the others counted', () => {
  const many = Array.from({ length: 3 * entriesToldMax }, (_, index) =>
    outcome(observer, 'delivered', 1n, { index, endedEpochMs: start - index }))
  const { entries, entriesMore } = scored(many)
  assert.equal([entries.length, entriesMore], [entriesToldMax, 2 * entriesToldMax])
  assert.equal(entries.map(({ index }) => index), many.slice(0, entriesToldMax)
    .map(({ index }) => index))
})

t('a date in the future makes nothing weigh more', () => {
  const later = outcome(observer, 'delivered', 500n, { endedEpochMs: start + 1_000 * day })
  assert.equal(scored([later]).total.kept, 500n)
})
