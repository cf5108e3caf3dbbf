// Prices and caps against a slow second version in exact fractions, and the promise between them.

import fc from 'fast-check'
import { assert, suite } from '../harness.ts'
import { microcreditsMax } from '../../protocol/base/units.ts'
import { capFor, price } from '../../protocol/rules/tariff.ts'
import { credits } from './ledger-sites.ts'

const t = suite('tariff')

const rate = fc.bigInt({ min: 0n, max: 10_000_000_000n }).map(credits)
const rates = fc.record({ task: rate, core_hour: rate, gib_hour: rate })
const factor = fc.integer({ min: 1, max: 1_000_000 })
const count = fc.integer({ min: 1, max: 2_000 })

t('a price is one division, rounded down', () => {
  const hourly = { task: credits(5), core_hour: credits(3_600), gib_hour: credits(7) }
  assert.equal(price(hourly, 1_000, { tasks: 2, core_s: 10, gib_s: 0 }), credits(20))
  assert.equal(price(hourly, 1_500, { tasks: 1, core_s: 0, gib_s: 0 }), credits(7))
  assert.equal(price(hourly, 1_000, { tasks: 0, core_s: 0, gib_s: 3_599 }), credits(6))
  assert.equal(price(hourly, 1_000, { tasks: 0, core_s: 0, gib_s: 0 }), credits(0))
})

t('a cap is rounded up and covers every usage within its resources', () => {
  fc.assert(fc.property(rates, factor, count, count, count, count, fc.integer({ min: 0, max: 100 }),
    (hourly, permille, tasks, cores, memoryMib, walltimeSeconds, percent) => {
      const cap = capFor(hourly, permille, { tasks, cores, memoryMib, walltimeSeconds })
      const part = (value: number) => Math.floor((value * percent) / 100)
      const usage = {
        tasks: part(tasks),
        core_s: part(tasks * cores * walltimeSeconds),
        gib_s: Math.floor((part(tasks * walltimeSeconds) * memoryMib) / 1_024),
      }
      return price(hourly, permille, usage) <= cap
    }))
})

t('a price never falls when usage grows, and never exceeds the exact fraction', () => {
  fc.assert(fc.property(rates, factor, count, count, count, fc.nat(1_000),
    (hourly, permille, tasks, core_s, gib_s, more) => {
      const usage = { tasks, core_s, gib_s }
      const amount = price(hourly, permille, usage)
      const grown = price(hourly, permille, { tasks: tasks + more, core_s: core_s + more, gib_s })
      const exact = (hourly.task * BigInt(tasks) * 3_600n + hourly.core_hour * BigInt(core_s)
        + hourly.gib_hour * BigInt(gib_s)) * BigInt(permille)
      return grown >= amount && amount * 3_600_000n <= exact && exact < (amount + 1n) * 3_600_000n
    }))
})

t('what no amount could carry is cut to the largest amount', () => {
  const dear = {
    task: credits(microcreditsMax), core_hour: credits(microcreditsMax), gib_hour: credits(0),
  }
  assert.equal(price(dear, 1_000_000, { tasks: 9, core_s: 9, gib_s: 9 }), credits(microcreditsMax))
  const all = { tasks: 9, cores: 9, memoryMib: 9, walltimeSeconds: 9 }
  assert.equal(capFor(dear, 1_000_000, all), credits(microcreditsMax))
})
