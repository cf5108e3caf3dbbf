// Messages that nobody should have sent: garbage, cut and changed ones, old ones again, and those
// of one site in the mouth of another. Law 7: what is not authentic changes nothing but counters.

import type { SiteName } from '../../protocol/base/ids.ts'
import type { Event } from '../../protocol/machine/events.ts'
import type { Write } from '../../protocol/base/tables.ts'
import type { Message } from '../../protocol/machine/messages.ts'
import { decodeMessage, encodeMessage } from '../../protocol/machine/messages.ts'
import { step } from '../../protocol/machine/step.ts'
import type { Machine } from './machine.ts'
import { selfOf } from './machine.ts'
import { demand } from './oracle.ts'
import type { Random } from './random.ts'
import { random } from './random.ts'
import type { Overheard, World } from './world.ts'

/** What may change by the word of a site that is not the author: what it says of itself. */
const harmless = new Set([
  'counters', 'troubles', 'links', 'timers', 'delivery', 'outbox', 'receiptsOwed', 'heardPeers',
  'histories',
])

/** Signed by their authors and passed on by anybody. */
const passedOn: ReadonlySet<Message['kind']> = new Set([
  'offers', 'members', 'heads', 'evidence', 'charter',
])

export function startHostility(world: World): void {
  const { garbageEveryMs } = world.profile.faults
  if (garbageEveryMs === 0) return
  const chance = random(world.profile.seed, 'hostile')
  const next = (): void => {
    world.time.after(chance.between(1, 2 * garbageEveryMs), () => {
      if (world.healed) return
      misbehave(world, chance)
      next()
    })
  }
  next()
}

export function misbehave(world: World, chance: Random): void {
  const victim = chance.pick(world.machines)
  const from = chance.pick(world.machines).identity.site
  const heard = world.overheard.length > 0 ? chance.pick(world.overheard) : undefined
  if (!victim.process || from === victim.identity.site || !heard) return
  switch (chance.int(4)) {
    case 0: return garbage(victim, from, noise(chance))
    case 1: return garbage(victim, from, changed(chance, heard.encoded))
    case 2: return borrowed(victim, from, heard)
    default: return again(world, heard)
  }
}

function noise(chance: Random): string {
  const length = chance.int(200)
  return Array.from({ length }, () => String.fromCharCode(chance.int(256))).join('')
}

/** Cut short, or one character is another one. */
function changed(chance: Random, encoded: string): string {
  const at = chance.int(encoded.length)
  if (chance.chance(300)) return encoded.slice(0, at)
  const other = chance.pick(['0', '1', '9', 'a', '"', '{', '-'])
  return encoded.slice(0, at) + other + encoded.slice(at + 1)
}

/** A counter is the word of who says it; the statements of others are not. */
function notTaken(victim: Machine, from: SiteName, notes: readonly string[]): void {
  const message = { kind: 'statements', notes, have: 0, have_e: 1, heard: 0 } as const
  const entries = stepped(victim, from, encodeMessage(message))
    .filter(({ table, value }) => table === 'ledgerEntries' && notes.includes(value as string))
  demand(entries.length === 0, 'law 7', () =>
    `statements of others, said by ${from}, were logged at ${victim.identity.site}: ` +
    entries.map(({ value }) => String(value)).join(''))
}

function stepped(victim: Machine, from: SiteName, encoded: string): readonly Write[] {
  const at = victim.world.time.now() + victim.skewMs
  const event: Event = { kind: 'messageReceived', from, encoded, at }
  return step(selfOf(victim, victim.federation!), victim.process!.loop.tables, event).writes
}

function garbage(victim: Machine, from: SiteName, encoded: string): void {
  const tables = stepped(victim, from, encoded).map(({ table }) => table)
  const decoded = decodeMessage(encoded)
  if (decoded.ok && isSelfHarm(decoded.value)) return
  if (!decoded.ok) {
    demand(tables.every((table) => table === 'counters'), 'law 7', () =>
      `garbage changed ${tables.join(', ')} at ${victim.identity.site}: ${encoded.slice(0, 200)}`)
  }
  victim.process!.loop.push({ kind: 'messageReceived', from, encoded })
}

/** A message of one site, to another or to this one, said by a third. */
function borrowed(victim: Machine, from: SiteName, heard: Overheard): void {
  const decoded = decodeMessage(heard.encoded)
  if (!decoded.ok || heard.from === from) return
  const { kind } = decoded.value
  if (passedOn.has(kind)) return
  if (decoded.value.kind === 'statements') return notTaken(victim, from, decoded.value.notes)
  const tables = stepped(victim, from, heard.encoded).map(({ table }) => table)
  demand(tables.every((table) => harmless.has(table)), 'law 7', () =>
    `a ${kind} of ${heard.from} (${heard.encoded.slice(0, 200)}), said by ${from}, ` +
    `changed ${tables.join(', ')} at ${victim.identity.site}`)
  victim.process!.loop.push({ kind: 'messageReceived', from, encoded: heard.encoded })
}

/** Who claims to have statements that it lacks never gets them: it harms itself alone. */
function isSelfHarm({ kind }: Message): boolean {
  return kind === 'statements'
}

/** Says every message that was overheard once more, to whom it was said. */
export function replayEverything(world: World): void {
  for (const heard of world.overheard.slice()) again(world, heard)
}

function again(world: World, { from, to, encoded, atMs }: Overheard): void {
  const victim = world.machines.find(({ identity }) => identity.site === to)
  // Counters of an earlier process of its own come on no connection.
  const isOld = (victim?.process?.startedMs ?? 0) > atMs && world.profile.faults.restoreEveryMs > 0
  if (!isOld) victim?.process?.loop.push({ kind: 'messageReceived', from, encoded })
}
