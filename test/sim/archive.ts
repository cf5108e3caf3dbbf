// Snapshots of logs and what follows from them, as operators do it: the state is said in the log
// and its text kept, and entries below are dropped once they are covered. What is dropped goes to
// a mirror first, as the node demands it of its operator, so that the whole log can still be
// checked.

import { unpack } from '../../protocol/base/record.ts'
import type { Effect } from '../../protocol/machine/effects.ts'
import { entryKey } from '../../protocol/rules/ledger-book.ts'
import { parseStatement } from '../../protocol/rules/statement.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import type { Machine, Process } from './machine.ts'
import type { Random } from './random.ts'
import { random } from './random.ts'
import type { World } from './world.ts'

type Kept = Extract<Effect, { readonly kind: 'storeSnapshot' | 'dropEntries' }>

export function startArchivists(world: World): void {
  const { profile, time, machines } = world
  const { snapshotEveryMs, restoreEveryMs } = profile.faults
  if (snapshotEveryMs === 0) return
  const chance = random(profile.seed, 'archivists')
  const next = (): void => {
    const least = Math.floor(snapshotEveryMs / 4)
    time.after(chance.between(least, Math.floor(snapshotEveryMs * 7 / 4)), () => {
      if (world.healed) return
      // What a restored site needs of a peer must be there: people bring it from mirrors.
      act(world, chance.pick(machines), restoreEveryMs > 0 ? undefined : chance)
      next()
    })
  }
  next()
}

/** One of its snapshots is as good as another to drop something below. */
function act(world: World, machine: Machine, chance: Random | undefined): void {
  const { site } = machine.identity
  const sizes = [...machine.snapshots.keys()]
  if (chance?.chance(500) && sizes.length > 0) {
    const snapshot = chance.pick(sizes)
    const below = chance.between(1, snapshot)
    world.ask(machine, {
      times: 3,
      ask: (request) => ({
        kind: 'pruneRequested', request, below, snapshot, sites: partiesBelow(machine, below),
      }),
      answered: (answer) => world.log(`${site} drops what is below ${below}: ${answer.kind}`),
    })
    return
  }
  world.ask(machine, {
    times: 3,
    ask: (request) => ({ kind: 'snapshotRequested', request }),
    answered: (answer) => world.log(`${site} makes a snapshot: ${answer.kind}`),
  })
}

/** Sites that have said something to this one there, or heard something of it. */
function partiesBelow({ disk, identity }: Machine, below: number): SiteName[] {
  const found = new Set<SiteName>()
  for (let index = 0; index < below; index++) {
    const note = disk.get('ledgerEntries', entryKey(index))
    const parsed = typeof note === 'string' ? parseStatement(note) : undefined
    if (!parsed?.ok || parsed.value.statement.kind === 'federation') continue
    const { from, to } = parsed.value.statement
    if (to === '*') continue
    found.add(from === identity.site ? to : from)
  }
  return [...found]
}

/** What the node does beside its database and in it. */
export function performKept(machine: Machine, process: Process, effect: Kept): void {
  if (effect.kind === 'storeSnapshot') {
    machine.snapshots.set(effect.size, effect.text)
    return
  }
  const { below } = effect
  const gone = [...machine.disk.records('ledgerEntries')].filter(([key]) => key < entryKey(below))
  for (const [key, text] of gone) machine.mirror.set(key, unpack(text) as string)
  machine.disk.install(gone.map(([key]) => ({ table: 'ledgerEntries', key, value: undefined })))
  process.loop.push({ kind: 'entriesDropped', below })
}
