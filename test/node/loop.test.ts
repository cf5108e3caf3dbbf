// The loop by itself: what it does when a step breaks, and when the clock is set back.

import type { SiteName } from '../../protocol/base/ids.ts'
import type { Tables } from '../../protocol/base/tables.ts'
import type { Effect } from '../../protocol/machine/effects.ts'
import { encodeMessage } from '../../protocol/machine/messages.ts'
import type { LoopPorts } from '../../node/loop.ts'
import { createLoop } from '../../node/loop.ts'
import { federation } from '../machine/pair.ts'
import { assert, suite } from '../harness.ts'

const t = suite('the loop')

interface World {
  nowMs: number
  readonly effects: Effect[]
  readonly failures: string[]
  readonly broken: string[]
  readonly delays: number[]
}

function portsOf(world: World): LoopPorts {
  return {
    now: () => world.nowMs,
    after: (milliseconds) => {
      world.delays.push(milliseconds)
      return () => undefined
    },
    commit: (_, done) => done(),
    perform: (effect) => world.effects.push(effect),
    failed: ({ message }) => world.failures.push(message),
    broken: (kind) => world.broken.push(kind),
  }
}

const newWorld = (): World =>
  ({ nowMs: 1_750_000_000_000, effects: [], failures: [], broken: [], delays: [] })

const unknown = 'site-z.example' as SiteName

t('a message that breaks a step is left out, and what comes with it is not', () => {
  const [, site] = federation(1)
  const world = newWorld()
  // Without a ledger a statement cannot be looked at: an assertion breaks.
  const tables: Tables = new Map(site!.tables)
  tables.delete('ledgerHead')
  const loop = createLoop(site!.self, tables, portsOf(world))
  const encoded = encodeMessage({ kind: 'statements', notes: ['x'], have: 0, have_e: 1, heard: 1 })
  loop.push({ kind: 'messageReceived', from: unknown, encoded })
  assert.equal(world.broken, ['messageReceived'])
  loop.push({
    kind: 'cancelRequested', request: 'r', job: '00'.repeat(6) as never,
  })
  assert.equal(world.effects.map(({ kind }) => kind), ['answer'])
  assert.equal(world.failures, [])
})

t('a step of our own that breaks stops the node before anything is half done', () => {
  const [, site] = federation(1)
  const world = newWorld()
  const tables: Tables = new Map(site!.tables)
  tables.delete('ledgerHead')
  const loop = createLoop({ ...site!.self, tariff: { ...site!.self.tariff, speedPermille: 7 } },
    tables, portsOf(world))
  loop.push({ kind: 'started', addresses: [] })
  assert.equal(world.failures.length, 1)
  assert.equal(world.effects, [])
})

t('time goes on when the clock is set back', () => {
  const [, site] = federation(1)
  const world = newWorld()
  const loop = createLoop(site!.self, site!.tables, portsOf(world))
  loop.push({ kind: 'woken' })
  world.nowMs -= 3_600_000
  loop.push({ kind: 'woken' })
  const before = world.delays.at(-1)!
  world.nowMs += 1_000
  loop.push({ kind: 'woken' })
  assert.equal(world.delays.at(-1), before - 1_000)
})
