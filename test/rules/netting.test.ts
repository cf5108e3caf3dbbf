// Netting: circles go, positions stay, and the same debts give the same proposals.

import { assert, suite } from '../harness.ts'
import type { Debt } from '../../protocol/rules/netting.ts'
import { findNetting, positionOf } from '../../protocol/rules/netting.ts'
import { credits, site } from './ledger-sites.ts'

const t = suite('netting')

function debt(debtor: string, creditor: string, amount: number): Debt {
  return { debtor: site(debtor), creditor: site(creditor), amount: credits(amount) }
}

function text(debts: readonly Debt[]): string[] {
  return debts.map(({ debtor, creditor, amount }) => `${debtor}>${creditor} ${amount}`)
}

t('a circle of three is lessened by its smallest debt', () => {
  const { circles, rest, cleared } = findNetting([
    debt('c', 'a', 50), debt('a', 'b', 30), debt('b', 'c', 40),
  ])
  assert.equal(circles.map(({ sites, amount }) => [sites, amount]), [[['a', 'b', 'c'], 30n]])
  assert.equal(text(circles[0]!.settlements), ['a>b 30', 'b>c 30', 'c>a 30'])
  assert.match(circles[0]!.reference, /^netting [0-9a-f]{16}$/)
  assert.equal(text(rest), ['b>c 10', 'c>a 20'])
  assert.equal(cleared, 90n)
})

t('without a circle nothing is proposed', () => {
  const debts = [debt('a', 'b', 1), debt('a', 'c', 2), debt('b', 'c', 3), debt('d', 'b', 9)]
  assert.equal(findNetting(debts).circles, [])
  assert.equal(text(findNetting(debts).rest), text(debts))
  assert.equal(findNetting([]), { circles: [], rest: [], cleared: 0n })
})

t('circles that share a debt are found one after the other', () => {
  const debts = [
    debt('a', 'b', 10), debt('b', 'c', 4), debt('c', 'a', 4), debt('b', 'd', 5), debt('d', 'a', 9),
  ]
  const { circles, rest } = findNetting(debts)
  assert.equal(circles.map(({ sites, amount }) => `${sites.join('>')} ${amount}`), [
    'a>b>c 4', 'a>b>d 5',
  ])
  assert.equal(text(rest), ['a>b 1', 'd>a 4'])
})

t('a debt of nothing, to oneself, or both ways is a mistake of the caller', () => {
  assert.throws(() => findNetting([debt('a', 'b', 0)]), /above 0/)
  assert.throws(() => findNetting([debt('a', 'a', 1)]), /to another/)
  assert.throws(() => findNetting([debt('a', 'b', 1), debt('b', 'a', 1)]), /net/)
})

/** Numbers that look random and are the same in each run. */
function chance(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor(state / 65_536) % below
  }
}

t('in random webs positions stay, no debt grows, none is new, no circle is left', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const roll = chance(seed)
    const names = Array.from({ length: 2 + roll(9) }, (_, at) => `s${at}`)
    const debts: Debt[] = []
    for (const [at, left] of names.entries()) {
      for (const right of names.slice(at + 1)) {
        const amount = roll(5) * (1 + roll(1_000))
        const [debtor, creditor] = roll(2) === 0 ? [left, right] : [right, left]
        if (amount > 0) debts.push(debt(debtor, creditor, amount))
      }
    }
    const { circles, rest, cleared } = findNetting(debts)
    for (const name of names) {
      assert.equal(positionOf(site(name), rest), positionOf(site(name), debts), `seed ${seed}`)
    }
    for (const circle of circles) {
      for (const name of names) assert.equal(positionOf(site(name), circle.settlements), 0n)
    }
    const before = new Map(debts.map((one) => [`${one.debtor}>${one.creditor}`, one.amount]))
    for (const { debtor, creditor, amount } of rest) {
      assert.ok(amount <= (before.get(`${debtor}>${creditor}`) ?? -1n), `seed ${seed}`)
    }
    assert.equal(cleared, circles.reduce((sum, { sites, amount }) =>
      sum + amount * BigInt(sites.length), 0n))
    assert.equal(findNetting(rest).circles, [])
    assert.equal(findNetting(debts.toReversed()), { circles, rest, cleared }, 'order is all one')
  }
})
