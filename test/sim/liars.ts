// A site that lies, as a strategy and not in single messages: its core is the production one, and
// what it says and does is changed on its way out. What lies draw from is a stream of its own. The
// others must keep every law among themselves; what one of them has open with the liar may stay
// open, but no job of an honest home may wait for it for ever.

import type { SiteName } from '../../protocol/base/ids.ts'
import type { Effect } from '../../protocol/machine/effects.ts'
import type { Message } from '../../protocol/machine/messages.ts'
import { encodeMessage } from '../../protocol/machine/messages.ts'
import type { CoreTables } from '../../protocol/machine/state.ts'
import { parseStatement, sealStatement } from '../../protocol/rules/statement.ts'
import type { Statement } from '../../protocol/rules/statement.ts'
import type { Machine } from './machine.ts'
import { lieNames } from './profile.ts'
import type { Random } from './random.ts'
import { random } from './random.ts'
import type { World } from './world.ts'

type Send = Extract<Effect, { readonly kind: 'send' }>
type Statements = Extract<Message, { readonly kind: 'statements' }>

/** What becomes of an effect of the core: it, another, several or none. */
export type Lie = (effect: Effect) => readonly Effect[]

interface Liar {
  readonly machine: Machine
  readonly chance: Random
}

const strategies: { readonly [name in (typeof lieNames)[number]]: (liar: Liar) => Lie } = {
  /** Two statements under one number, to the same or to different ears. */
  equivocates: ({ machine, chance }) => statementsBy((note) => {
    if (!chance.chance(150)) return [note]
    const second = signedAgain(machine, note, ({ at }) => ({ at: at + 1 }))
    return chance.pick([[second], [note, second], [second, note]])
  }),
  /** Old words of its own, again and again. */
  replays: ({ chance }) => {
    const old: Send[] = []
    return (effect) => {
      if (effect.kind !== 'send') return [effect]
      old.push(effect)
      if (old.length > 200) old.shift()
      return chance.chance(300) ? [effect, chance.pick(old)] : [effect]
    }
  },
  /** Says only how far it has read, to whom it likes less, from some day on. */
  withholds: ({ machine, chance }) => {
    const victim = chance.pick(othersOf(machine))
    let left = chance.int(40)
    return statementsBy((note, to) => to === victim && left-- <= 0 ? [] : [note])
  },
  /** Claims as much as every hold has. */
  overcharges: ({ machine }) => statementsBy((note) => [signedAgain(machine, note, (said) =>
    said.kind === 'usage' ? { core_s: 10 ** 9, amount: heldFor(machine, said.hold) } : {})]),
  /** Takes tasks on and never runs them. */
  idles: () => (effect) => effect.kind === 'submitTranche' ? [] : [effect],
  /** Takes what was run for it and never accepts a claim. */
  'never-pays': () => {
    const silent = new Set<string>()
    return statementsBy((note, to) => {
      if (note.startsWith('gridnode/v1/accept\n')) silent.add(to)
      return silent.has(to) ? [] : [note]
    })
  },
  /** Loses the results of what it ran. */
  'loses-results': ({ machine, chance }) => (effect) => {
    if (chance.chance(100)) machine.spool.results.clear()
    return [effect]
  },
  /** Every word twenty times, and questions nobody can answer. */
  floods: ({ machine, chance }) => (effect) => {
    if (effect.kind !== 'send' || !chance.chance(200)) return [effect]
    const { to } = effect
    const tranche = 'f'.repeat(16) as CoreTables['hostTranches']['id']
    const nonsense: Message = { kind: 'documents_wanted', tranche }
    const known = machine.process?.loop.tables.get('heads')?.size ?? 0
    return Array.from({ length: 20 + known }, (_, at): Effect =>
      at % 2 === 0 ? effect : { kind: 'send', to, message: nonsense })
  },
}

/** The last site lies from here on, if the profile says so. */
export function startLying({ machines, profile, log }: World): void {
  const machine = machines.at(-1)
  const name = lieNames.find((one) => one === profile.liar)
  if (!machine || !name) return
  const strategy = strategies[name]
  log(`${machine.identity.site} ${profile.liar}`)
  machine.lie = strategy({ machine, chance: random(profile.seed, 'liar') })
}

/** Those that the laws protect. */
export function honest(machines: readonly Machine[]): readonly Machine[] {
  return machines.filter(({ lie }) => lie === undefined)
}

/** Those of whom the laws are asked at the end. */
export function remaining(machines: readonly Machine[]): readonly Machine[] {
  return honest(machines).filter(({ isGone }) => !isGone)
}

function othersOf(machine: Machine): readonly SiteName[] {
  return machine.world.sites().filter((site) => site !== machine.identity.site)
}

/** Changes the statements of each message; the rest stays as it is. */
function statementsBy(change: (note: string, to: SiteName) => readonly string[]): Lie {
  return (effect) => {
    if (effect.kind !== 'send' || effect.message.kind !== 'statements') return [effect]
    const { message, to } = effect
    const notes = message.notes.flatMap((note) => change(note, to)).slice(0, 64)
    const said: Statements = { ...message, notes }
    return encodeMessage(said).length > 0 ? [{ ...effect, message: said }] : []
  }
}

/** The same statement with something else in it, under the same key. */
function signedAgain(
  machine: Machine, note: string,
  change: (said: Exclude<Statement, { kind: 'federation' }>) =>
  { readonly [field: string]: unknown },
): string {
  const parsed = parseStatement(note)
  if (!parsed.ok || parsed.value.statement.kind === 'federation') return note
  const { statement } = parsed.value
  if (statement.from !== machine.identity.site) return note
  const changed = { ...statement, ...change(statement) } as Statement
  const sealed = sealStatement(changed, machine.identity.signer.statement)
  return sealed.ok ? sealed.value.note : note
}

function heldFor(machine: Machine, sid: string): bigint {
  const hold = machine.process?.loop.tables.get('ledgerHolds')?.get(sid)
  return (hold as CoreTables['ledgerHolds'] | undefined)?.amount ?? 0n
}
