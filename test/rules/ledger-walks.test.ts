// Random walks of three sites that say valid and invalid things to each other over links that
// delay, repeat and reorder: what must hold at every step, and what must hold once everything has
// arrived.

import fc from 'fast-check'
import { assert, suite } from '../harness.ts'
import type { Sid, SiteName } from '../../protocol/base/ids.ts'
import type { HoldRecord } from '../../protocol/rules/ledger-book.ts'
import { numberKey } from '../../protocol/rules/ledger-book.ts'
import type { StatementInput } from '../../protocol/rules/statement.ts'
import { parseStatement } from '../../protocol/rules/statement.ts'
import { checkNow } from '../../protocol/rules/ledger-entry.ts'
import type { LogSummary } from '../../protocol/rules/audit.ts'
import { openReplay } from '../../protocol/rules/audit.ts'
import { crossCheck, lookupsFor, reportPairs } from '../../protocol/rules/audit-pairs.ts'
import { chargeFor } from '../../protocol/rules/ledger-holds.ts'
import { balanceOf, creditLimit, exposure } from '../../protocol/rules/ledger.ts'
import type { Deal, TestSite } from './ledger-sites.ts'
import {
  acceptInput, agreedDeal, credits, federation, hear, heldInput, holdInput, must, start, trySay,
  usageInput, view,
} from './ledger-sites.ts'

const t = suite('ledger walks')

interface Walk {
  readonly sites: readonly TestSite[]
  readonly deals: readonly Deal[]
  /** What is on its way, by direction, oldest first. */
  readonly links: Map<string, string[]>
  refused: number
  said: number
}

interface Step {
  readonly what: number
  readonly deal: number
  readonly pick: number
  readonly amount: number
}

/** Evenly spread steps (fast-check prefers small and repeated values); the seed replays them. */
function stepsFrom(seed: number): Step[] {
  let state = seed
  const below = (bound: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return (state >>> 8) % bound
  }
  return Array.from({ length: 150 }, () =>
    ({ what: below(20), deal: below(6), pick: below(51), amount: below(700) }))
}

function begin(): Walk {
  const sites = federation('a.example', 'b.example', 'c.example')
  const [a, b, c] = sites as [TestSite, TestSite, TestSite]
  const deals = [
    agreedDeal(a, b, 2_000), agreedDeal(b, a, 1_000), agreedDeal(a, c, 500),
    agreedDeal(c, b, 3_000),
  ]
  return { sites, deals, links: new Map(), refused: 0, said: 0 }
}

function holdsAt(at: TestSite, deal: Deal): HoldRecord[] {
  return [...view(at).entries('ledgerHolds')].map(([, hold]) => hold)
    .filter(({ contract }) => contract === deal.contract)
    .toSorted((x, y) => x.index - y.index)
}

/** Something that `deal`'s sites might say, sensible or not. */
function inputFor(
  { what, pick, amount }: Step, deal: Deal,
): { readonly from: TestSite, readonly input: StatementInput } {
  const { home, host } = deal
  const fit: Readonly<Record<number, string>> = { 2: 'asked', 3: 'asked', 6: 'asked' }
  const all = holdsAt(what === 5 || what === 11 ? home : host, deal)
  const known = pick % 4 === 0 ? all : all.filter(({ state }) => state === (fit[what] ?? 'held'))
  const hold = known[pick % Math.max(1, known.length)]
  const sid = (hold?.sid ?? '0'.repeat(64)) as Sid
  const end = { to: home.name, at: start + pick, hold: sid, reason: 'test' } as const
  switch (what) {
    case 0:
    case 1: return { from: home, input: holdInput(deal, amount, { at: start + pick }) }
    case 2:
    case 3: return { from: host, input: heldInput(deal, sid) }
    case 4:
    case 9:
    case 10: {
      const sensible = hold !== undefined && amount % 7 !== 0
      const before = hold?.used ?? { tasks: 0, core_s: 0, gib_s: 0 }
      const used = {
        tasks: sensible ? Math.min(hold.tasks, before.tasks + 1) : pick,
        core_s: before.core_s + pick,
        gib_s: 0,
      }
      const charge = sensible ? Number(chargeFor(view(host), hold, used)) : amount
      const final = amount % 2 === 0 ? 1 : 0
      return { from: host, input: usageInput(deal, sid, { ...used, amount: charge, final }) }
    }
    case 5:
    case 11: {
      const claim = hold?.claims.at(-1 - (pick % 2))
      const full = claim !== undefined && amount % 5 !== 0
      const said = { usage: claim?.sid ?? sid, amount: full ? Number(claim.amount) : amount }
      const final = full && claim.final === 1 ? 1 : 0
      return { from: home, input: acceptInput(deal, sid, { ...said, final }) }
    }
    case 6: return { from: host, input: { kind: 'declined', ...end } }
    case 7: return { from: host, input: { kind: 'void', ...end } }
    default: {
      const limit = credits(amount * 2)
      return { from: host, input: { kind: 'credit', to: home.name, at: start + pick, limit } }
    }
  }
}

function link(walk: Walk, from: TestSite, to: TestSite): string[] {
  const key = `${from.name}>${to.name}`
  let queue = walk.links.get(key)
  if (!queue) walk.links.set(key, queue = [])
  return queue
}

function take(walk: Walk, step: Step): void {
  // Two of the four deals get most of the traffic, so that walks go deep.
  const deal = walk.deals[step.deal < 4 ? step.deal % 2 : step.deal - 2] as Deal
  if (step.what < 12) {
    const { from, input } = inputFor(step, deal)
    const to = from === deal.home ? deal.host : deal.home
    const said = trySay(from, input)
    if (said.ok) {
      link(walk, from, to).push(said.value.note)
      walk.said += 1
      if (input.kind === 'held') checkLimit(deal)
    } else {
      walk.refused += 1
    }
    return
  }
  const [from, to] = step.pick % 2 === 0 ? [deal.home, deal.host] : [deal.host, deal.home]
  const queue = link(walk, from, to)
  const note = queue[step.what > 12 ? 0 : step.pick % Math.max(1, queue.length)]
  if (note === undefined) return
  const heard = hear(to, from, note)
  if (heard.ok) queue.splice(0, queue.indexOf(note) + 1)
  else assert.equal(heard.refusal.reason, 'gap')
}

function checkLimit({ home, host }: Deal): void {
  const v = view(host)
  assert.ok(exposure(v, host.name, home.name) <= creditLimit(v, host.name, home.name))
}

function drain(walk: Walk): void {
  for (const from of walk.sites) {
    for (const to of walk.sites) {
      if (from === to) continue
      for (const note of link(walk, from, to).splice(0)) must(hear(to, from, note))
    }
  }
}

/** The account of each pair is the sum of its holds; every hold keeps its order of sums. */
function checkSums(at: TestSite): void {
  const v = view(at)
  const sums = new Map<string, { posted: bigint, asked: bigint, held: bigint, claimed: bigint }>()
  for (const [, hold] of v.entries('ledgerHolds')) {
    const { amount, accepted, claimed, state } = hold
    assert.ok(accepted >= 0n && accepted <= claimed && claimed <= amount)
    const key = `${hold.host}>${hold.home}`
    const sum = sums.get(key) ?? { posted: 0n, asked: 0n, held: 0n, claimed: 0n }
    sum.posted += accepted
    if (state === 'asked') sum.asked += amount
    if (state === 'held') {
      sum.held += amount - accepted
      sum.claimed += claimed - accepted
    }
    sums.set(key, sum)
  }
  for (const [key, { posted, asked, held, claimed }] of v.entries('ledgerAccounts')) {
    assert.equal({ posted, asked, held, claimed }, sums.get(key))
  }
}

function audit(at: TestSite): LogSummary {
  const replay = openReplay(at.name, checkNow)
  const entries = [...view(at).entries('ledgerEntries')].map(([, note]) => note)
  for (const note of entries) assert.equal(replay.leaf(Buffer.from(note)), [])
  const summary = replay.summary()
  if (!summary) throw new Error('an honest log opens')
  return summary
}

t('whatever is said, sums hold, logs agree in the end, and the audit finds nothing', () => {
  fc.assert(fc.property(fc.nat(), (seed) => void walkThrough(stepsFrom(seed))), { numRuns: 15 })
}, { timeoutSeconds: 120 })

t('the walks go to the end of holds, and are refused as often as not', () => {
  const counts = [1, 2, 3, 4, 5].map((seed) => walkThrough(stepsFrom(seed)))
  const sum = (what: 'said' | 'refused' | 'done') =>
    counts.reduce((total, count) => total + count[what], 0)
  assert.ok(sum('said') > 100 && sum('refused') > 100 && sum('done') > 2, JSON.stringify(counts))
})

function walkThrough(all: readonly Step[]): Record<'said' | 'refused' | 'done', number> {
  const walk = begin()
  for (const step of all) take(walk, step)
  for (const each of walk.sites) checkSums(each)
  assert.equal(crossCheck(walk.sites.map(audit), sidAtIn(walk)), [])
  drain(walk)
  const summaries = walk.sites.map(audit)
  assert.equal(lookupsFor(summaries), [])
  assert.equal(crossCheck(summaries, () => undefined), [])
  for (const pair of reportPairs(summaries)) assert.equal([pair.seen, pair.underWay], ['both', 0])
  for (const { home, host } of walk.deals) {
    const [there, here] = [view(host), view(home)]
    const owed = balanceOf(there, host.name, home.name)
    assert.equal(owed, balanceOf(here, host.name, home.name))
    assert.equal(owed + balanceOf(here, home.name, host.name), 0n)
  }
  const holds = walk.sites.flatMap((at) => [...view(at).entries('ledgerHolds')])
  const done = holds.filter(([, { state }]) => state === 'done').length
  return { said: walk.said, refused: walk.refused, done }
}

/** Looks statements up in the logs themselves. */
function sidAtIn(walk: Walk): Parameters<typeof crossCheck>[1] {
  return ({ site, direction, n }) => {
    const at = walk.sites.find(({ name }) => name === site) as TestSite
    const [from, to] = direction.split('>')
    const number = numberKey(from as SiteName, to ?? '', { e: 1, n })
    const index = view(at).get('ledgerNumbers', number) ?? -1
    const note = view(at).get('ledgerEntries', String(index).padStart(12, '0')) ?? ''
    const parsed = parseStatement(note)
    return parsed.ok ? parsed.value.sid : undefined
  }
}
