// Two sites that say everything their own logs let them say, while their words cross: each
// direction delivers in order, but as late as it likes. Whatever one's own log allows the other's
// must take, and when all has arrived both have the same books.

import fc from 'fast-check'
import { assert, suite } from '../harness.ts'
import type { Sid } from '../../protocol/base/ids.ts'
import { compareBytes } from '../../protocol/base/ids.ts'
import { microcreditsMax } from '../../protocol/base/units.ts'
import { openReplay } from '../../protocol/rules/audit.ts'
import { crossCheck } from '../../protocol/rules/audit-pairs.ts'
import type { HoldRecord, Proposal } from '../../protocol/rules/ledger-book.ts'
import { directionKey } from '../../protocol/rules/ledger-book.ts'
import { checkNow } from '../../protocol/rules/ledger-entry.ts'
import { chargeFor, clauseMax } from '../../protocol/rules/ledger-holds.ts'
import { creditLimit, directionOf, exposure } from '../../protocol/rules/ledger.ts'
import { pairState } from '../../protocol/rules/ledger-pairs.ts'
import { sealRuling } from '../../protocol/rules/ruling.ts'
import type { StatementInput } from '../../protocol/rules/statement.ts'
import type { TestSite } from './ledger-sites.ts'
import {
  credits, federation, hashOf, hear, offerInput, start, tariffInput, tell, trySay, view,
} from './ledger-sites.ts'

const t = suite('crossing words')

interface Pair {
  readonly a: TestSite
  readonly b: TestSite
  readonly arbiter: TestSite
  readonly tariffs: ReadonlyMap<string, Sid>
  readonly grants: ReadonlyMap<string, Sid>
  /** On its way, by author. */
  readonly queues: ReadonlyMap<string, string[]>
  /** The clock of each, which may be set back. */
  readonly clocks: Map<string, number>
  readonly below: (bound: number) => number
  /** What is said how often. */
  readonly kinds: readonly string[]
  /** Amounts up to the largest that there are. */
  readonly isHuge: boolean
  readonly said: Map<string, number>
}

/** Evenly spread numbers; the seed replays them. */
function numbersFrom(seed: number): (bound: number) => number {
  let state = seed >>> 0
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound
  }
}

function begin(seed: number): Pair {
  const below = numbersFrom(seed)
  const [a, b, arbiter] = federation('a.example', 'b.example', 'c.example') as
    [TestSite, TestSite, TestSite]
  const policy = tell(a, b, {
    kind: 'policy', to: '*', at: start, about: 'federation', version: 1, witnesses: [], quorum: 0,
    authorities: [b.name],
  })
  assert.equal(policy.index > 0, true)
  const tariffs = new Map<string, Sid>()
  const grants = new Map<string, Sid>()
  for (const [one, other] of [[a, b], [b, a]] as const) {
    tariffs.set(one.name, tell(one, other, tariffInput({ task: 1, core: 3_600, gib: 0 })).sid)
    grants.set(one.name, tell(b, a, {
      kind: 'grant', to: '*', at: start, grantee: one.name, name: `for-${one.name[0]}`,
      amount: credits(3_000), starts: start, until: start + 1e12,
    }).sid)
    tell(one, other, { kind: 'credit', to: other.name, at: start, limit: credits(3_000) })
  }
  return {
    a, b, arbiter, tariffs, grants,
    queues: new Map([[a.name, []], [b.name, []]]),
    clocks: new Map([[a.name, start], [b.name, start + 7_200_000]]),
    below,
    kinds: favourites(below),
    isHuge: below(4) === 0,
    said: new Map(),
  }
}

type Choice = (pair: Pair, from: TestSite, to: TestSite) => StatementInput | undefined

function pick<T>({ below }: Pair, all: readonly T[]): T | undefined {
  return all[below(Math.max(1, all.length))]
}

function holdsOf(
  pair: Pair, at: TestSite, fits: (hold: HoldRecord) => boolean,
): HoldRecord | undefined {
  const all = [...view(at).entries('ledgerHolds')].map(([, hold]) => hold).filter(fits)
  return pick(pair, all.toSorted((x, y) => compareBytes(x.sid, y.sid)))
}

function proposalOf(
  pair: Pair, at: TestSite, kind: Proposal['kind'],
): readonly [Sid, Proposal] | undefined {
  const all = [...view(at).entries('ledgerProposals')]
    .filter(([, one]) => one.kind === kind && one.to === at.name)
  return pick(pair, all.toSorted(([x], [y]) => compareBytes(x, y))) as [Sid, Proposal] | undefined
}

/** Mostly small, sometimes all there is. */
function someAmount({ below }: Pair, most: bigint): bigint {
  const kind = below(10)
  if (kind === 0) return most
  if (kind === 1) return 0n
  return most === 0n ? 0n : BigInt(below(1_000_000)) * most / 1_000_000n
}

const choices: Readonly<Record<string, Choice>> = {
  credit: ({ below }, _, to) =>
    ({ kind: 'credit', to: to.name, at: 0, limit: credits(below(6_000)) }),
  offer: (pair, from, to) => offerInput(to, pair.tariffs.get(to.name) as Sid, {
    auto_permille: pair.below(2) * 800,
    arbiter: pick(pair, [pair.arbiter.name, from.name, '']) ?? '',
    auction: `auction-${pair.below(1_000_000)}`,
  }),
  agree: (pair, from, to) => {
    const open = [...view(from).entries('ledgerContracts')].map(([, one]) => one)
      .filter(({ host, agreed }) => host === from.name && (agreed === '' || pair.below(8) === 0))
    const contract = pick(pair, open.toSorted((x, y) => compareBytes(x.sid, y.sid)))
    return contract && {
      kind: 'contract', to: to.name, at: 0, side: 'agree', contract: contract.sid,
    }
  },
  hold: (pair, from, to) => {
    const mine = [...view(from).entries('ledgerContracts')].map(([, one]) => one)
      .filter(({ home }) => home === from.name)
    const contract = pick(pair, mine.toSorted((x, y) => compareBytes(x.sid, y.sid)))
    const huge = pair.isHuge && pair.below(40) === 0
    return contract && {
      kind: 'hold', to: to.name, at: 0, contract: contract.sid, tasks: 5,
      amount: credits(huge ? microcreditsMax - BigInt(pair.below(1_000)) : pair.below(700)),
      valid_until: start, doc: hashOf('doc'),
      grant: pair.below(3) === 0 ? pair.grants.get(from.name) as Sid : '',
    }
  },
  held: (pair, from, to) => {
    const hold = holdsOf(pair, from, ({ host, state }) => host === from.name && state === 'asked')
    return hold && { kind: 'held', to: to.name, at: 0, hold: hold.sid }
  },
  declined: (pair, from, to) => {
    const hold = holdsOf(pair, from, ({ host, state }) => host === from.name && state === 'asked')
    return hold && { kind: 'declined', to: to.name, at: 0, hold: hold.sid, reason: 'no' }
  },
  void: (pair, from, to) => {
    const hold = holdsOf(pair, from, ({ host }) => host === from.name)
    return hold && { kind: 'void', to: to.name, at: 0, hold: hold.sid, reason: 'no' }
  },
  usage: (pair, from, to) => {
    const hold = holdsOf(pair, from, ({ host, state }) => host === from.name && state === 'held')
    if (!hold) return undefined
    const { below } = pair
    const used = {
      tasks: Math.min(hold.tasks, hold.used.tasks + below(2)),
      core_s: hold.used.core_s + below(300),
      gib_s: hold.used.gib_s + below(2),
    }
    return {
      kind: 'usage', to: to.name, at: 0, hold: hold.sid, ...used, final: below(3) === 0 ? 1 : 0,
      amount: chargeFor(view(from), hold, used), meter: hashOf('meter'),
    }
  },
  accept: (pair, from, to) => {
    const hold = holdsOf(pair, from, ({ home, claims }) =>
      home === from.name && claims.length > 0)
    const claim = hold && pick(pair, hold.claims)
    if (!claim) return undefined
    const full = pair.below(2) === 0
    const amount = full ? claim.amount : credits(someAmount(pair, claim.amount))
    return {
      kind: 'accept', to: to.name, at: 0, hold: hold.sid, usage: claim.sid, amount,
      final: claim.final === 1 && amount === claim.amount ? 1 : 0,
    }
  },
  dispute: (pair, from, to) => {
    const hold = holdsOf(pair, from, ({ home, claimedFinal }) =>
      home === from.name && claimedFinal === 1)
    const claim = hold?.claims.at(-1)
    return claim && hold && {
      kind: 'dispute', to: to.name, at: 0, hold: hold.sid, usage: claim.sid, doc: '',
      contested: credits(someAmount(pair, claim.amount)), reason: 'no',
    }
  },
  propose: (pair, from, to) => {
    const hold = holdsOf(pair, from, ({ claimedFinal }) => claimedFinal === 1)
    return hold && {
      kind: 'resolve', to: to.name, at: 0, side: 'offer', hold: hold.sid,
      amount: credits(someAmount(pair, hold.claimed)),
    }
  },
  resolve: (pair, from, to) => {
    const [sid] = proposalOf(pair, from, 'resolve') ?? []
    return sid && { kind: 'resolve', to: to.name, at: 0, side: 'agree', resolve: sid }
  },
  forgiveClaim: (pair, from, to) => {
    const hold = holdsOf(pair, from, ({ host, claimedFinal }) =>
      host === from.name && claimedFinal === 1)
    return hold && {
      kind: 'resolve', to: to.name, at: 0, side: 'forgive', hold: hold.sid,
      amount: credits(someAmount(pair, hold.claimed)),
    }
  },
  ruling: (pair, from, to) => {
    const { arbiter } = pair
    const hold = holdsOf(pair, from, ({ claimedFinal, contract }) => claimedFinal === 1
      && view(from).get('ledgerContracts', contract)?.terms.arbiter === arbiter.name)
    const fed = hold && view(from).get('ledgerHead', 'head')?.federation
    if (!fed) return undefined
    const amount = credits(someAmount(pair, hold.claimed))
    const note = sealRuling({ fed, hold: hold.sid, amount, at: start }, arbiter.signer.statement)
    return { kind: 'resolve', to: to.name, at: 0, side: 'ruling', hold: hold.sid, amount, note }
  },
  clause: (pair, from, to) => {
    const hold = holdsOf(pair, from, ({ host, claimedFinal }) =>
      host === from.name && claimedFinal === 1)
    const claim = hold?.claims.at(-1)
    return claim && hold && {
      kind: 'resolve', to: to.name, at: 0, side: 'clause', hold: hold.sid, usage: claim.sid,
      amount: credits(someAmount(pair, clauseMax(view(from), hold))), proof: '',
    }
  },
  pay: (pair, _, to) => ({
    kind: 'settle', to: to.name, at: 0, side: 'offer', reference: 'ref',
    payer: pair.below(2) === 0 ? 'author' : 'addressee',
    amount: credits(pair.isHuge && pair.below(20) === 0 ? microcreditsMax : pair.below(900)),
  }),
  paid: (pair, from, to) => {
    const [sid] = proposalOf(pair, from, 'settle') ?? []
    return sid && { kind: 'settle', to: to.name, at: 0, side: 'agree', settle: sid }
  },
  forgive: (pair, _, to) => ({
    kind: 'settle', to: to.name, at: 0, side: 'forgive', reference: 'ref',
    amount: credits(pair.isHuge && pair.below(20) === 0 ? microcreditsMax : pair.below(300)),
  }),
  reconcile: (_, from, to) => {
    const v = view(from)
    const counted = directionOf(v, from.name, to.name)
    const direction = directionKey(from.name, to.name)
    return {
      kind: 'reconcile', to: to.name, at: 0, side: 'offer', issued: counted.n,
      received: directionOf(v, to.name, from.name).n,
      state: pairState(v, from.name, to.name, { direction, counted }),
    }
  },
  reconciled: (pair, from, to) => {
    const [sid] = proposalOf(pair, from, 'reconcile') ?? []
    return sid && { kind: 'reconcile', to: to.name, at: 0, side: 'agree', reconcile: sid }
  },
}

/** Without these nothing goes on; of the others each walk has its own favourites. */
const common: Readonly<Record<string, number>> = {
  hold: 5, held: 5, usage: 7, accept: 4, offer: 1, agree: 2,
}

function favourites(below: (bound: number) => number): string[] {
  return Object.keys(choices).flatMap((kind) => {
    const liking = below(4) === 0 ? 5 : below(3)
    return Array.from({ length: (common[kind] ?? 0) + liking }, () => kind)
  })
}

/** Something that `from` may say now; false when what was tried it may not. */
function sayOne(pair: Pair, from: TestSite, to: TestSite): boolean {
  const kind = pick(pair, pair.kinds) as string
  const input = choices[kind]?.(pair, from, to)
  if (!input) return false
  const clock = pair.clocks.get(from.name) ?? start
  const said = trySay(from, { ...input, at: clock })
  if (!said.ok) return false
  pair.said.set(kind, (pair.said.get(kind) ?? 0) + 1)
  pair.queues.get(from.name)?.push(said.value.note)
  if (input.kind === 'held') {
    const v = view(from)
    const hold = v.get('ledgerHolds', input.hold)
    const within = exposure(v, from.name, to.name) <= creditLimit(v, from.name, to.name)
    assert.ok(hold?.grant !== '' || within, 'the exposure is within the limit')
  }
  return true
}

function deliverOne(pair: Pair, from: TestSite, to: TestSite): void {
  const queue = pair.queues.get(from.name)
  const note = queue?.shift()
  if (note === undefined) return
  const heard = hear(to, from, note)
  const refusal = heard.ok ? '' : JSON.stringify(heard.refusal, (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value)
  assert.ok(heard.ok, `${to.name} refuses what ${from.name} said: ${refusal}\n${note}`)
  checkSums(to)
}

function checkSums(at: TestSite): void {
  const v = view(at)
  for (const [key, books] of v.entries('ledgerAccounts')) {
    for (const field of ['posted', 'asked', 'held', 'claimed', 'settled'] as const) {
      assert.ok(books[field] >= 0n, `${field} of ${key} is ${books[field]}`)
    }
  }
  for (const [, { held, spent, amount, grantee }] of v.entries('ledgerGrants')) {
    assert.ok(held >= 0n && spent >= 0n)
    if (grantee === at.name) assert.ok(held + spent <= amount, 'no allocation is overspent')
  }
  for (const [, hold] of v.entries('ledgerHolds')) {
    assert.ok(hold.accepted >= 0n && hold.accepted <= hold.claimed && hold.claimed <= hold.amount)
  }
}

function stateOf(pair: Pair, at: TestSite): string {
  const direction = directionKey(pair.a.name, pair.b.name)
  const counted = directionOf(view(at), pair.a.name, pair.b.name)
  return pairState(view(at), pair.a.name, pair.b.name, { direction, counted })
}

function walk(seed: number, steps: number): Pair {
  const pair = begin(seed)
  const { a, b, below, clocks } = pair
  // Some walks are all talk, some hear at once.
  const talk = 2 + below(12)
  for (let step = 0; step < steps; step++) {
    const [from, to] = below(2) === 0 ? [a, b] : [b, a]
    if (below(16) >= talk) deliverOne(pair, from, to)
    else for (let tries = 0; tries < 8 && !sayOne(pair, from, to);) tries++
    const name = pick(pair, [a.name, b.name]) as string
    const leap = below(40) === 0 ? 11 * 86_400_000 : below(5) === 0 ? -3_600_000 : 60_000
    clocks.set(name, Math.max(start, (clocks.get(name) ?? start) + leap))
    if (below(100) === 0) drain(pair)
  }
  drain(pair)
  assert.equal(stateOf(pair, a), stateOf(pair, b))
  const summaries = [a, b].map((at) => {
    const replay = openReplay(at.name, checkNow)
    for (const [, note] of view(at).entries('ledgerEntries')) {
      assert.equal(replay.leaf(Buffer.from(note)), [])
    }
    const summary = replay.summary()
    if (!summary) throw new Error('an honest log opens')
    return summary
  })
  assert.equal(crossCheck(summaries, () => undefined), [])
  return pair
}

function drain(pair: Pair): void {
  const { a, b, queues } = pair
  for (const [from, to] of [[a, b], [b, a]] as const) {
    while ((queues.get(from.name)?.length ?? 0) > 0) deliverOne(pair, from, to)
  }
}

t('what one log lets its site say, the other takes; in the end both have the same books', () => {
  fc.assert(fc.property(fc.nat(), (seed) => void walk(seed, 500)), {
    numRuns: 40, endOnFailure: true,
  })
}, { timeoutSeconds: 300 })

t('every kind is said', () => {
  const said = new Map<string, number>()
  for (let seed = 1; seed <= 6; seed++) {
    for (const [kind, count] of walk(seed, 600).said) said.set(kind, (said.get(kind) ?? 0) + count)
  }
  for (const kind of Object.keys(choices)) assert.ok((said.get(kind) ?? 0) > 0, kind)
}, { timeoutSeconds: 120 })
