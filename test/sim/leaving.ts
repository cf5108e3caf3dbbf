// A site leaves for good: with notice (it takes no new work, and goes when its own jobs have ended
// and nobody's work is left there, or when it has waited long enough), or from one moment to the
// next. The operators of the others close what they had with it, each in its own time. Whatever it
// had open may stay open in their books; no job of theirs may wait for it.

import type { CoreTables } from '../../protocol/machine/state.ts'
import type { Machine } from './machine.ts'
import { crash } from './machine.ts'
import { random } from './random.ts'
import type { World } from './world.ts'

const lookMs = 2_000
const patienceMs = 120_000

export function startLeaving(world: World): void {
  const { profile, time, machines } = world
  const { leaveAfterMs } = profile.faults
  // Who is left must still be two, and one that joins late may not be there yet.
  const most = profile.late ? machines.length - 1 : machines.length
  if (leaveAfterMs === 0 || most < 3) return
  const chance = random(profile.seed, 'leaving')
  const drawn = chance.int(most)
  // Who joins late is invited by the second: an invitation of a site that is gone admits nobody.
  const machine = machines[profile.late && drawn === 1 ? 0 : drawn]!
  const withNotice = chance.chance(600)
  time.after(chance.between(Math.floor(leaveAfterMs / 4), Math.floor(leaveAfterMs * 7 / 4)), () => {
    if (world.healed) return
    if (!withNotice) return leave(world, machine)
    world.log(`${machine.identity.site} takes no new work: it will leave`)
    machine.draining = true
    // It is read at a start.
    if (machine.process) crash(machine, 'restarted by its operator')
    const until = time.now() + patienceMs
    const look = (): void => {
      const isDone = machine.process !== undefined && !hasWork(machine)
      if (isDone || world.healed || time.now() > until) leave(world, machine)
      else time.after(lookMs, look)
    }
    time.after(lookMs, look)
  })
}

function hasWork({ process }: Machine): boolean {
  const jobs = (process?.loop.tables.get('jobs')?.values() ?? []) as Iterable<CoreTables['jobs']>
  for (const { state } of jobs) if (state.kind !== 'ended') return true
  return (process?.loop.tables.get('hostTranches')?.size ?? 0) > 0
}

function leave(world: World, machine: Machine): void {
  const { site } = machine.identity
  world.log(`${site} is gone for good`)
  machine.isGone = true
  if (machine.process) crash(machine, 'it is switched off')
  const chance = random(world.profile.seed, 'closing')
  for (const other of world.machines) {
    if (other === machine) continue
    const say = (): void => world.ask(other, {
      times: 1_000,
      ask: (request) => ({
        kind: 'wordRequested', request, word: { verb: 'close', site, forgive: true },
      }),
      answered(answer) {
        world.log(`operator of ${other.identity.site} closes with ${site}: ${answer.kind}`)
        // It may not have noticed yet that the other is away.
        const isMember = other.process?.loop.tables.get('members')?.has(site) === true
        if (answer.kind === 'refused' && isMember) world.time.after(10_000, say)
      },
    })
    world.time.after(chance.between(5_000, 200_000), say)
  }
}
