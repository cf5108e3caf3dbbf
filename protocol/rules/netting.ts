// Netting: where debts run in a circle (A owes B, B owes C, C owes A), each is lessened by the
// smallest of them, and nobody's sum changes. What comes out are proposals: each step of a circle
// is a `settle` between two sites, offered by the one that owes and agreed to by the other.
// Invariants: what a site owes in all minus what it is owed stays what it was; no debt grows, none
// is new, so no limit of credit is touched; the same debts give the same proposals in any order.

import { assert } from '../base/assert.ts'
import { sha256Hex } from '../base/crypto.ts'
import { encode } from '../base/encoding.ts'
import { compareBytes } from '../base/ids.ts'
import type { SiteName } from '../base/ids.ts'
import type { Microcredits } from '../base/units.ts'
import { microcredits } from '../base/units.ts'

/** What `debtor` owes `creditor` net; above 0. */
export interface Debt {
  readonly debtor: SiteName
  readonly creditor: SiteName
  readonly amount: Microcredits
}

/** A circle of debts: each site owes `amount` or more to the next, and the last to the first. */
export interface Circle {
  /** Begins with the least name. */
  readonly sites: readonly SiteName[]
  readonly amount: Microcredits
  /** Stands in all statements of the circle, so that they are found together. */
  readonly reference: string
  /** One for each pair: `debtor` offers to settle `amount` as payer, `creditor` agrees. */
  readonly settlements: readonly Debt[]
}

export interface Netting {
  readonly circles: readonly Circle[]
  /** What is owed when all circles are settled, in order of names. */
  readonly rest: readonly Debt[]
  /** The sum of all debts that go. */
  readonly cleared: bigint
}

type Debts = Map<SiteName, Map<SiteName, bigint>>

/** Finds circles until there are none. Each takes one debt away, so there are at most as many. */
export function findNetting(debts: readonly Debt[]): Netting {
  const owed = index(debts)
  const circles: Circle[] = []
  for (let sites = findCircle(owed); sites; sites = findCircle(owed)) {
    assert(circles.length < debts.length, 'each circle takes a debt away')
    const steps = sites.map((debtor, at) =>
      ({ debtor, creditor: sites?.[(at + 1) % sites.length] as SiteName }))
    const amount = steps.map(({ debtor, creditor }) => owed.get(debtor)?.get(creditor) ?? 0n)
      .reduce((least, one) => (one < least ? one : least))
    for (const { debtor, creditor } of steps) lessen(owed, debtor, creditor, amount)
    circles.push(circleOf(sites, microcredits(amount)))
  }
  const rest = debtsIn(owed)
  return { circles, rest, cleared: sum(debts) - sum(rest) }
}

/** What the site is owed less what it owes. */
export function positionOf(site: SiteName, debts: readonly Debt[]): bigint {
  return sum(debts.filter(({ creditor }) => creditor === site))
    - sum(debts.filter(({ debtor }) => debtor === site))
}

function index(debts: readonly Debt[]): Debts {
  const owed: Debts = new Map()
  for (const { debtor, creditor, amount } of debts) {
    assert(amount > 0n && debtor !== creditor, 'a debt is above 0, to another')
    assert(!owed.get(creditor)?.has(debtor), 'debts of two sites are net')
    const to = owed.get(debtor) ?? new Map<SiteName, bigint>()
    to.set(creditor, (to.get(creditor) ?? 0n) + amount)
    owed.set(debtor, to)
  }
  return owed
}

function inOrder(sites: Iterable<SiteName>): SiteName[] {
  return [...sites].toSorted(compareBytes)
}

/** The first circle on a walk in order of names; what leads nowhere is not walked twice. */
function findCircle(owed: Debts): SiteName[] | undefined {
  const dead = new Set<SiteName>()
  for (const first of inOrder(owed.keys())) {
    const path: { readonly site: SiteName, readonly next: SiteName[] }[] = []
    const enter = (site: SiteName): void => {
      path.push({ site, next: inOrder(owed.get(site)?.keys() ?? []).toReversed() })
    }
    if (!dead.has(first)) enter(first)
    for (let top = path.at(-1); top; top = path.at(-1)) {
      const next = top.next.pop()
      if (next === undefined) {
        dead.add(top.site)
        path.pop()
        continue
      }
      const at = path.findIndex(({ site }) => site === next)
      if (at >= 0) return path.slice(at).map(({ site }) => site)
      if (!dead.has(next)) enter(next)
    }
  }
  return undefined
}

function lessen(owed: Debts, debtor: SiteName, creditor: SiteName, amount: bigint): void {
  const to = owed.get(debtor)
  const left = (to?.get(creditor) ?? 0n) - amount
  if (left > 0n) to?.set(creditor, left)
  else to?.delete(creditor)
}

function circleOf(found: readonly SiteName[], amount: Microcredits): Circle {
  const least = inOrder(found)[0] as SiteName
  const start = found.indexOf(least)
  const sites = [...found.slice(start), ...found.slice(0, start)]
  const named = sha256Hex(`gridnode netting\n${encode([String(amount), ...sites])}`)
  return {
    sites,
    amount,
    reference: `netting ${named.slice(0, 16)}`,
    settlements: sites.map((debtor, at) =>
      ({ debtor, creditor: sites[(at + 1) % sites.length] as SiteName, amount })),
  }
}

function debtsIn(owed: Debts): Debt[] {
  return inOrder(owed.keys()).flatMap((debtor) =>
    inOrder(owed.get(debtor)?.keys() ?? []).map((creditor) =>
      ({ debtor, creditor, amount: microcredits(owed.get(debtor)?.get(creditor) ?? 0n) })))
}

function sum(debts: readonly Debt[]): bigint {
  return debts.reduce((total, { amount }) => total + amount, 0n)
}
