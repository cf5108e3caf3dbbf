// Invoices: opening + invoiced - settled = closing for every period, and each direction by itself.

import { assert, suite } from '../harness.ts'
import type { Invoice, Period } from '../../protocol/rules/invoice.ts'
import { openInvoice } from '../../protocol/rules/invoice.ts'
import { credits, hashOf, must, site, start } from './ledger-sites.ts'
import type { Walk } from './history-walk.ts'
import { walkOf } from './history-walk.ts'

const t = suite('invoice')
const [us, them, third] = [site('us.example'), site('them.example'), site('third.example')]
const all: Period = { fromEpochMs: 0, untilEpochMs: Number.MAX_SAFE_INTEGER }

function invoiceOf(walk: Walk, period: Period, pair = { us, them }): Invoice {
  const writer = openInvoice({ ...pair, period })
  for (const event of walk.events) writer.take(event)
  return must(writer.result(walk.history))
}

/** At 1: they pay 100 in a part, at 2 the rest of 300; at 3 we pay 50; at 4 they settle 120. */
function world(): Walk {
  const walk = walkOf(us)
  const theirs = walk.hold(them, us, 1_000)
  walk.held(theirs)
  const first = walk.usage(theirs, 200, { at: start + 1 })
  walk.accept(theirs, first, 100, { at: start + 1 })
  const last = walk.usage(theirs, 300, { final: 1, at: start + 2, tasks: 4 })
  walk.accept(theirs, last, 300, { final: 1, at: start + 2 })
  const ours = walk.hold(us, them, 1_000)
  walk.held(ours)
  const usage = walk.usage(ours, 50, { final: 1, at: start + 3 })
  walk.accept(ours, usage, 50, { final: 1, at: start + 3 })
  const settle = walk.say(us, them, {
    kind: 'settle', side: 'offer', amount: credits(120), payer: 'addressee', reference: 'bank',
  }, start + 3)
  walk.say(them, us, { kind: 'settle', side: 'agree', settle }, start + 4)
  const others = walk.hold(third, us, 1_000)
  walk.held(others)
  walk.accept(others, walk.usage(others, 7, { final: 1 }), 7, { final: 1 })
  return walk
}

t('each acceptance is a line with the usage it is for', () => {
  const { lines, settlements, runs, owedToUs, owedByUs, ...rest } = invoiceOf(world(), all)
  assert.equal(lines.map(({ creditor, amount, used, final, accepted, usage }) =>
    [creditor, amount, used.tasks, used.core_s, final, accepted.kind, usage.kind]), [
    [us, 100n, 1, 400, 0, 'accept', 'usage'],
    [us, 200n, 3, 200, 1, 'accept', 'usage'],
    [them, 50n, 1, 100, 1, 'accept', 'usage'],
  ])
  assert.equal([owedToUs.lines, owedToUs.amount, owedToUs.settled, owedToUs.used.tasks],
    [2, 300n, 120n, 4])
  assert.equal([owedByUs.lines, owedByUs.amount, owedByUs.settled], [1, 50n, 0n])
  assert.equal(settlements.map(({ debtor, reference }) => [debtor, reference]), [[them, 'bank']])
  assert.equal(runs.map(({ claim }) => claim.amount), [300n, 50n])
  assert.equal([rest.openingBalance, rest.closingBalance], [0n, 130n])
})

t('for every pair of borders the balances meet', () => {
  const walk = world()
  for (let from = 0; from <= 6; from++) {
    for (let until = from; until <= 6; until++) {
      const period = { fromEpochMs: start + from, untilEpochMs: start + until }
      const { openingBalance, closingBalance, owedToUs, owedByUs } = invoiceOf(walk, period)
      const moved = owedToUs.amount - owedToUs.settled - (owedByUs.amount - owedByUs.settled)
      assert.equal(openingBalance + moved, closingBalance)
      const next = invoiceOf(walk, { fromEpochMs: start + until, untilEpochMs: start + 9 })
      assert.equal(next.openingBalance, closingBalance, `${from} to ${until}`)
    }
  }
})

t('the other side has the same account with the signs turned', () => {
  const walk = world()
  const [here, there] = [invoiceOf(walk, all), invoiceOf(walk, all, { us: them, them: us })]
  assert.equal(there.closingBalance, -here.closingBalance)
  assert.equal([there.owedToUs, there.owedByUs], [here.owedByUs, here.owedToUs])
})

t('what an allocation paid is in the lines and not in the balance', () => {
  const walk = walkOf(us)
  const hold = walk.hold(them, us, 1_000, { grant: hashOf('grant') })
  walk.held(hold)
  walk.accept(hold, walk.usage(hold, 300, { final: 1 }), 300, { final: 1 })
  const { owedToUs, closingBalance, lines } = invoiceOf(walk, all)
  assert.equal([lines.length, owedToUs.amount, owedToUs.granted, closingBalance],
    [1, 300n, 300n, 0n])
})

t('what is open is told beside the balance', () => {
  const walk = walkOf(us)
  const hold = walk.hold(them, us, 1_000)
  walk.held(hold)
  walk.usage(hold, 300, { final: 1 })
  const { open, closingBalance } = invoiceOf(walk, all)
  assert.equal([open.map(({ claimed }) => claimed), closingBalance], [[300n], 0n])
})
