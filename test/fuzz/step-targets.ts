// Every handler of the machine: changed messages and events meet sites at many moments. A step
// never breaks; what cannot be read changes nothing but a counter; what is written can be stored,
// what is said can be read by the other side, both in proportion to what came; the records keep
// what the simulator's oracle demands, also when time goes on.

import { encode } from '../../protocol/base/encoding.ts'
import { limits } from '../../protocol/base/limits.ts'
import { pack, unpack } from '../../protocol/base/record.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import type { Tables } from '../../protocol/base/tables.ts'
import { applyWrites, draft } from '../../protocol/base/tables.ts'
import type { Event } from '../../protocol/machine/events.ts'
import { judgeGossip } from '../../protocol/machine/gossip.ts'
import { decodeMessage, encodeMessage } from '../../protocol/machine/messages.ts'
import type { CoreTables } from '../../protocol/machine/state.ts'
import { coldTables, volatileTables } from '../../protocol/machine/state.ts'
import type { Stepped } from '../../protocol/machine/step.ts'
import { step } from '../../protocol/machine/step.ts'
import { checkRecords } from '../sim/oracle.ts'
import type { Random } from '../sim/random.ts'
import { random, spread } from '../sim/random.ts'
import type { Corpus, Moment } from './corpus.ts'
import { demand } from './demand.ts'
import { mutateDocument } from './mutate-value.ts'
import type { Pool } from './pool.ts'
import type { Target } from './target.ts'

const sites = ['a', 'b', 'c', 'd', 'z'].map((letter) => `site-${letter}.example` as SiteName)

/** Records and effects of one step: some for its turn, and so many for each hundred characters. */
const perStepMax = 400
const perHundredMax = 3

export function stepTargets(corpus: Corpus): Target[] {
  return [messages(corpus), gossip(corpus), events(corpus)]
}

const messages = (corpus: Corpus): Target => ({
  name: 'messages to a site',
  cost: 25,
  seeds: () => corpus.messages.slice(0, 60).map((encoded, at) => `${at} 1 ${encoded}`),
  draw(chance, _seeds, pool) {
    if (chance.chance(700)) {
      const at = chance.int(corpus.occasions.length)
      const { from, encoded } = corpus.occasions[at]!
      return `${at} ${sites.indexOf(from)} ${drawMessage(encoded, chance, corpus, pool)}`
    }
    const encoded = chance.pick(corpus.messages)
    const author = sites.indexOf(corpus.authors.get(encoded) ?? sites[0]!)
    const from = chance.chance(800) ? author : chance.int(sites.length)
    const drawn = drawMessage(encoded, chance, corpus, pool)
    return `${chance.int(corpus.moments.length)} ${from} ${drawn}`
  },
  check(input) {
    const [, at, by, encoded = ''] = /^(\d{1,6}) (\d) ([^]*)$/.exec(input) ?? []
    if (at === undefined) return
    const moment = corpus.moments[Number(at) % corpus.moments.length]!
    const from = sites[Number(by) % sites.length]!
    if (from === moment.site) return
    const stepped = checkStep(moment, { kind: 'messageReceived', from, encoded, at: moment.nowMs })
    if (decodeMessage(encoded).ok) return
    const tables = stepped.writes.map(({ table }) => table)
    demand(tables.every((table) => table === 'counters') && stepped.effects.length === 0,
      `what cannot be read changed ${tables.join(', ')}`)
  },
})

function drawMessage(encoded: string, chance: Random, corpus: Corpus, pool: Pool): string {
  // As it is at another moment, to another site, or by another one; else changed.
  if (chance.chance(100)) return encoded
  return chance.chance(700)
    ? mutateDocument(encoded, chance, pool) : corpus.mutated(encoded, chance, pool)
}

const gossip = (corpus: Corpus): Target => ({
  name: 'gossip to a site',
  cost: 15,
  seeds: () => corpus.notes.filter((note) => /^gridnode\/v1\/(offer|announce)\n/.test(note)),
  check(input) {
    const moment = corpus.moments[Math.abs(spread(input.slice(0, 300))) % corpus.moments.length]!
    const view = draft<CoreTables>(moment.tables)
    for (const topic of ['offers', 'announcements'] as const) {
      const from = /"(?:site|home)":"([a-z0-9.-]+)"/.exec(input)?.[1] ?? sites[1]!
      const heard = { topic, from: from as SiteName, note: input, nowEpochMs: moment.nowMs }
      const judged = judgeGossip(view, moment.self, heard)
      if (judged.verdict !== 'accept') continue
      checkStep(moment, { ...judged.event, at: moment.nowMs } as Event)
    }
    demand(view.writes().length === 0, 'judging changes nothing')
  },
})

/**
 * Things that happen at the node itself: true, but late, twice, out of order, of other tranches.
 */
const events = (corpus: Corpus): Target => {
  const packed = corpus.events.map(({ at: _, ...event }) => pack(event))
  return {
    name: 'events at a site',
    cost: 25,
    seeds: () => packed.slice(0, 60).map((event, at) => `${at} 0 ${event}`),
    draw: (chance) =>
      `${chance.int(corpus.moments.length)} ${chance.int(1_000_000)} ${chance.pick(packed)}`,
    check(input) {
      const [, at, seed, text = ''] = /^(\d{1,6}) (\d{1,7}) ([^]*)$/.exec(input) ?? []
      if (at === undefined || !packed.includes(text)) return
      const moment = corpus.moments[Number(at) % corpus.moments.length]!
      const chance = random(Number(seed), 'events')
      const event = Number(seed) === 0 ? unpack(text) : exchanged(unpack(text), chance, moment)
      checkStep(moment, { ...event as Event, at: moment.nowMs + chance.pick([0, 0, 1, 1e9]) })
    },
  }
}

/** Ids become ids of the moment, times and sizes others of their type; the rest stays true. */
function exchanged(value: unknown, chance: Random, moment: Moment): unknown {
  if (Array.isArray(value)) return value.map((one) => exchanged(one, chance, moment))
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => {
    if (!chance.chance(500)) return [key, member]
    const known = idsOf(key, moment)
    if (known.length > 0 && typeof member === typeof known[0]) return [key, chance.pick(known)]
    if (/(Ms|Bytes|Total|Free|Queued|Running|Max|size)$/.test(key) && typeof member === 'number') {
      return [key, chance.pick([0, 1, member + 1, 1_750_000_000_000, Number.MAX_SAFE_INTEGER])]
    }
    if (key === 'exitCode') return [key, chance.pick([-1, 0, 1, 137, 255])]
    if (key === 'detail') return [key, 'x'.repeat(chance.pick([0, 300, 5_000]))]
    return [key, exchanged(member, chance, moment)]
  }))
}

function idsOf(key: string, { tables }: Moment): readonly unknown[] {
  const keys = (table: string): string[] => [...tables.get(table)?.keys() ?? []]
  switch (key) {
    case 'tranche': return [...keys('hostTranches'), ...keys('homeTranches')]
    case 'job': return keys('jobs')
    case 'task': return [0, 1, 2, 3, 4, 7, 8]
    case 'hold': return keys('ledgerHolds')
    case 'site': return keys('ledgerMembers')
    default: return []
  }
}

/** One step at a moment, and what becomes of it in a minute and in two days. */
export function checkStep(moment: Moment, event: Event): Stepped {
  const stepped = step(moment.self, moment.tables, event)
  checkSize(stepped, 'encoded' in event ? event.encoded.length : 20_000)
  if (stepped.writes.every(({ table }) => table === 'counters')) return stepped
  const tables: Tables = new Map([...moment.tables].map(([name, all]) => [name, new Map(all)]))
  take(moment, tables, stepped)
  for (const later of [90_000, 2 * 86_400_000]) {
    take(moment, tables, step(moment.self, tables, { kind: 'woken', at: event.at + later }))
  }
  return stepped
}

function checkSize({ writes, effects }: Stepped, characters: number): void {
  const most = perStepMax + perHundredMax * characters / 100
  demand(writes.length <= most, `${writes.length} records written for ${characters} characters`)
  demand(effects.length <= most, `${effects.length} effects for ${characters} characters`)
}

/** What a node does with a step: it stores, sends, and goes on. */
function take({ site, self }: Moment, tables: Tables, stepped: Stepped): void {
  for (const { table, value } of stepped.writes) {
    if (!volatileTables.has(table) && value !== undefined) pack(value)
  }
  applyWrites(tables, stepped.writes, coldTables)
  for (const effect of stepped.effects) {
    if (effect.kind === 'send') {
      const encoded = encodeMessage(effect.message)
      const read = decodeMessage(encoded)
      const why = read.ok ? '' : read.refusal.detail
      demand(read.ok, `${self.site} says what cannot be read: ${why}`)
      demand(encoded.length <= limits.messageBytes, 'a message within its bound')
    } else if (effect.kind === 'answer') JSON.stringify(effect.answer, bigints)
  }
  encode([...tables.get('counters')?.keys() ?? []])
  checkRecords({ identity: { site } }, draft<CoreTables>(tables))
}

function bigints(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value
}
