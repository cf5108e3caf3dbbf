// What goes wrong: crashes at random times and at random points, broken and cut connections,
// schedulers that do not answer, disks that fail. Each kind comes at exponential-like distances,
// drawn from its own stream.

import type { Machine } from './machine.ts'
import { crash } from './machine.ts'
import type { Network } from './network.ts'
import type { Profile } from './profile.ts'
import { random } from './random.ts'
import type { Random } from './random.ts'
import { planRestores } from './restoring.ts'
import type { VirtualTime } from './virtual-time.ts'

export interface FaultWorld {
  readonly time: VirtualTime
  readonly network: Network
  readonly profile: Profile
  readonly machines: readonly Machine[]
  readonly log: (text: string) => void
}

export interface FaultPlan {
  /** True: this machine crashes at this point. */
  point(machine: Machine, what: string): boolean
  /** No new faults from here on, and the present ones end. */
  heal(): void
}

export function planFaults(world: FaultWorld): FaultPlan {
  const { time, network, profile, machines } = world
  const { faults, seed } = profile
  const fuses = new Map<Machine, number>()
  const traps = new Map<Machine, string>()
  const cuts = new Set<() => void>()
  let healed = false

  const every = (name: string, meanMs: number, act: (chance: Random) => void): void => {
    if (meanMs === 0) return
    const chance = random(seed, `fault ${name}`)
    const next = (): void => {
      time.after(chance.between(Math.floor(meanMs / 4), Math.floor((meanMs * 7) / 4)), () => {
        if (healed) return
        act(chance)
        next()
      })
    }
    next()
  }

  const running = (): Machine[] => machines.filter(({ process }) => process !== undefined)

  every('crash', faults.crashEveryMs, (chance) => {
    const up = running()
    if (up.length === 0) return
    const machine = chance.pick(up)
    // Most crashes come at a point between two writes or effects, which is where they hurt.
    if (chance.chance(550)) traps.set(machine, chance.pick(painful))
    else if (chance.chance(600)) fuses.set(machine, chance.int(12))
    else crash(machine, 'power')
  })
  every('break', faults.breakEveryMs, (chance) => {
    if (machines.length < 2) return
    const [left, right] = [chance.pick(machines), chance.pick(machines)]
    if (left !== right) network.breakOff(left.identity.site, right.identity.site)
  })
  every('partition', faults.partitionEveryMs, (chance) => {
    const side = new Set(machines.filter(() => chance.chance(500)))
    const mend = cutBetween(network, machines, side)
    cuts.add(mend)
    world.log(`partition: ${[...side].map(({ identity }) => identity.site).join(', ') || 'none'}`)
    const long = chance.chance(300)
    time.after(chance.between(1_000, long ? 150_000 : 20_000), () => {
      cuts.delete(mend)
      mend()
    })
  })
  every('outage', faults.outageEveryMs, (chance) => {
    const { scheduler, identity } = chance.pick(machines)
    scheduler.reachable = false
    world.log(`the scheduler of ${identity.site} does not answer`)
    time.after(chance.between(1_000, 40_000), () => {
      scheduler.reachable = true
    })
  })
  planSlowerFaults(world, every)
  const restores = planRestores(world)
  every('restore', faults.restoreEveryMs, (chance) => restores.restore(chance))
  every('rot', faults.rotEveryMs, (chance) => restores.rot(chance))
  every('disk', faults.diskFailureEveryMs, (chance) => {
    const up = running()
    if (up.length > 0) chance.pick(up).disk.failNext()
  })

  return {
    point(machine, what) {
      if (healed) return false
      if (traps.get(machine) === what) {
        traps.delete(machine)
        return true
      }
      const left = fuses.get(machine)
      if (left === undefined) return false
      if (left > 0) fuses.set(machine, left - 1)
      else fuses.delete(machine)
      return left === 0
    },
    heal() {
      healed = true
      for (const mend of cuts) mend()
      for (const { scheduler } of machines) scheduler.reachable = true
      eachLink(machines, (left, right) => {
        network.hear(left, right)
        network.narrow(left, right, undefined)
      })
    },
  }
}

type Every = (name: string, meanMs: number, act: (chance: Random) => void) => void

/** Links that are slow or dead in one direction, clocks that are set, sites that are drained. */
function planSlowerFaults(
  { time, network, profile, machines, log }: FaultWorld, every: Every,
): void {
  const { faults } = profile
  const link = (chance: Random): [string, string] | undefined => {
    const [left, right] = [chance.pick(machines), chance.pick(machines)]
    return left === right ? undefined : [left.identity.site, right.identity.site]
  }
  every('deaf', faults.deafEveryMs, (chance) => {
    const ends = link(chance)
    if (!ends) return
    log(`${ends[1]} hears nothing of ${ends[0]}`)
    network.deafen(...ends)
    time.after(chance.between(1_000, 60_000), () => network.hear(...ends))
  })
  every('slow', faults.slowEveryMs, (chance) => {
    const ends = link(chance)
    if (!ends) return
    const bytesPerMs = chance.pick([1, 4, 20])
    log(`${ends.join(' and ')} have ${bytesPerMs} bytes a millisecond`)
    network.narrow(...ends, bytesPerMs)
    time.after(chance.between(5_000, 60_000), () => network.narrow(...ends, undefined))
  })
  every('clock', faults.clockEveryMs, (chance) => {
    const machine = chance.pick(machines)
    const byMs = chance.between(-150_000, 150_000)
    machine.skewMs += byMs
    log(`the clock of ${machine.identity.site} is set by ${byMs} ms`)
  })
  every('drain', faults.drainEveryMs, (chance) => {
    const machine = chance.pick(machines)
    machine.draining = !machine.draining
    log(`${machine.identity.site} ${machine.draining ? 'takes no new work' : 'takes work again'}`)
    // It is read at a start.
    if (machine.process) crash(machine, 'restarted by its operator')
  })
}

function eachLink(
  machines: readonly Machine[], act: (left: string, right: string) => void,
): void {
  for (const left of machines) {
    for (const right of machines) {
      if (left !== right) act(left.identity.site, right.identity.site)
    }
  }
}

/** Points at which a crash leaves something half done. */
const painful: readonly string[] = [
  'stageTranche', 'submitTranche', 'collectTask', 'takeResult', 'removeTranche', 'cancelTranche',
  'send statements', 'send documents', 'send reports', 'send acks', 'send answer', 'send announce',
  'answer', 'releaseInputs', 'send contract_closed',
].flatMap((effect) => [`before ${effect}`, `after ${effect}`]).concat([
  'trancheStaged', 'trancheSubmitted', 'trancheSubmitFailed', 'taskCollected', 'resultTaken',
  'resultFailed', 'trancheRemoved', 'trancheStagingFailed',
].map((event) => `result ${event}`))

/** Cuts every connection between `side` and the others; returns how to mend them. */
export function cutBetween(
  network: Network, machines: readonly Machine[], side: ReadonlySet<Machine>,
): () => void {
  const pairs = machines.flatMap((left) => machines
    .filter((right) => side.has(left) && !side.has(right))
    .map((right): [string, string] => [left.identity.site, right.identity.site]))
  for (const [left, right] of pairs) network.cut(left, right)
  return () => {
    for (const [left, right] of pairs) network.mend(left, right)
  }
}
