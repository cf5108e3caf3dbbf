// The work of a simulated node: staging, submitting, collecting, fetching, clearing up. Each takes
// virtual time, may fail, is done once for each name at a time, and tells the core by one event,
// if there is still a process to be told. What a scheduler was asked, it does, also when the asker
// is gone.

import type { SiteName, TrancheId } from '../../protocol/base/ids.ts'
import { rangesValues } from '../../protocol/base/ranges.ts'
import type { Effect } from '../../protocol/machine/effects.ts'
import type { HostOrders } from '../../protocol/machine/job-orders.ts'
import type { CoreTables } from '../../protocol/machine/state.ts'
import { outcomeOf } from './batch-scheduler.ts'
import type { Machine, Process } from './machine.ts'
import { result } from './machine.ts'
import { demand } from './oracle.ts'
import { hasResult, keepResult, removeTranche, treeOf } from './spool.ts'

type Work = Extract<Effect, { kind:
  | 'stageTranche' | 'submitTranche' | 'cancelTranche' | 'controlTranche' | 'collectTask'
  | 'removeTranche' | 'takeResult' | 'releaseInputs' }>

export function performWork(machine: Machine, process: Process, effect: Work): void {
  const name = workName(effect)
  if (process.busy.has(name)) return
  process.busy.add(name)
  const over = (): void => void process.busy.delete(name)
  switch (effect.kind) {
    case 'stageTranche': return stage(machine, process, { id: effect.tranche, over })
    case 'submitTranche': return submit(machine, process, { id: effect.tranche, over })
    case 'cancelTranche': return cancel(machine, process, { id: effect.tranche, over })
    case 'controlTranche': return control(machine, process, { ...effect, over })
    case 'collectTask': return collect(machine, process, { ...effect, over })
    case 'removeTranche': return remove(machine, process, { id: effect.tranche, over })
    case 'takeResult': return take(machine, process, { ...effect, over })
    case 'releaseInputs':
      machine.spool.inputs.delete(effect.job)
      return over()
  }
}

function workName(effect: Work): string {
  switch (effect.kind) {
    case 'collectTask': return `${effect.kind} ${effect.tranche}/${effect.task}`
    case 'controlTranche': return `${effect.kind} ${effect.tranche} ${effect.n}`
    case 'takeResult': return `${effect.kind} ${effect.job}/${effect.task}`
    case 'releaseInputs': return `${effect.kind} ${effect.job}`
    default: return `${effect.kind} ${effect.tranche}`
  }
}

interface Named {
  readonly id: TrancheId
  readonly over: () => void
}

function read<K extends keyof CoreTables>(
  process: Process, table: K, key: string,
): CoreTables[K] | undefined {
  return process.loop.tables.get(table)?.get(key) as CoreTables[K] | undefined
}

function reaches(machine: Machine, other: SiteName): boolean {
  const { site } = machine.identity
  if (other === site) return true
  return machine.world.network.connected(site, other) &&
    machine.world.machine(other)?.process !== undefined
}

function stage(machine: Machine, process: Process, { id, over }: Named): void {
  const { world, chance, spool } = machine
  const tranche = read(process, 'hostTranches', id)
  const job = tranche && read(process, 'hostJobs', tranche.contract)
  if (!tranche || !job) return over()
  world.time.after(chance.between(5, 3_000), () => {
    over()
    if (!process.alive) return
    const home = world.machine(tranche.home)
    const failed = (permanent: boolean, detail: string): void =>
      result(machine, process, { kind: 'trancheStagingFailed', tranche: id, permanent, detail })
    if (!reaches(machine, tranche.home)) return failed(false, 'the home cannot be reached')
    if (chance.chance(world.faults().stagingFails)) {
      return failed(chance.chance(150), 'the spool is full')
    }
    if (home?.spool.inputs.has(job.job) !== true) return failed(true, 'the inputs are gone')
    spool.workspaces.add(id)
    result(machine, process, { kind: 'trancheStaged', tranche: id })
  })
}

function submit(machine: Machine, process: Process, { id, over }: Named): void {
  const { world, chance, scheduler } = machine
  const tranche = read(process, 'hostTranches', id)
  const contract = tranche && read(process, 'hostContracts', tranche.contract)
  if (!tranche || !contract) return over()
  const failed = (detail: string): void => {
    over()
    result(machine, process, { kind: 'trancheSubmitFailed', tranche: id, detail })
  }
  world.time.after(chance.int(400), () => {
    if (!scheduler.reachable) return failed('the scheduler does not answer')
    const answer = scheduler.submit({
      tag: id,
      tasks: [...rangesValues(tranche.tasks)],
      cores: contract.cores,
      memoryMib: contract.memoryMib,
      walltimeSeconds: contract.walltimeSeconds,
    })
    world.time.after(chance.int(400), () => {
      process.look()
      if (!scheduler.reachable) return failed('no answer: unknown whether it was submitted')
      over()
      result(machine, process, answer === 'refused'
        ? { kind: 'trancheSubmitRefused', tranche: id, detail: 'refused: no such account' }
        : { kind: 'trancheSubmitted', tranche: id, localId: `local ${id.slice(0, 4)}` })
    })
  })
}

function cancel(machine: Machine, process: Process, { id, over }: Named): void {
  const { world, chance, scheduler } = machine
  world.time.after(chance.int(300), () => {
    over()
    if (scheduler.reachable) scheduler.cancel(id)
    process.look()
  })
}

function control(
  machine: Machine, process: Process,
  { tranche, n, over }: { tranche: TrancheId; n: number; over: () => void },
): void {
  const { world, chance, scheduler } = machine
  const order = read(process, 'hostOrders', tranche)?.open[0]
  if (order?.n !== n) return over()
  const through = (machine.disk.get('hostOrders', tranche) as HostOrders | undefined)?.through ?? 0
  demand(n > through, 'CONTROL-1', () =>
    `${machine.identity.site} does order ${n} of ${tranche} again, ${through} are done`)
  const failed = (detail: string): void => {
    over()
    result(machine, process, { kind: 'orderFailed', tranche, n, detail })
  }
  world.time.after(chance.int(300), () => {
    if (!scheduler.reachable) return failed('the scheduler does not answer')
    const words = scheduler.control?.(tranche, order) ?? 'unable: it controls no tasks'
    world.time.after(chance.int(300), () => {
      process.look()
      if (!scheduler.reachable) return failed('no answer: unknown whether it was done')
      over()
      result(machine, process, { kind: 'orderDone', tranche, n, words })
    })
  })
}

function collect(
  machine: Machine, process: Process,
  { tranche, task, over }: { tranche: TrancheId; task: number; over: () => void },
): void {
  const { world, chance, spool } = machine
  world.time.after(chance.between(1, 600), () => {
    over()
    if (!process.alive) return
    if (chance.chance(world.faults().collectFails)) {
      const detail = 'the file system is read-only'
      return result(machine, process, { kind: 'taskCollectFailed', tranche, task, detail })
    }
    if (!spool.workspaces.has(tranche)) {
      throw new Error(`${tranche} is collected without a workspace`)
    }
    const tree = treeOf(tranche, task)
    keepResult(spool, tranche, tree)
    const { missing } = outcomeOf(world.profile, { tag: tranche, task })
    result(machine, process, { kind: 'taskCollected', tranche, task, tree, treeBytes: 7, missing })
  })
}

function remove(machine: Machine, process: Process, { id, over }: Named): void {
  const { world, chance, scheduler, spool } = machine
  world.time.after(chance.int(200), () => {
    over()
    if (!process.alive) return
    scheduler.forget(id)
    removeTranche(spool, id)
    result(machine, process, { kind: 'trancheRemoved', tranche: id })
  })
}

function take(
  machine: Machine, process: Process,
  { job, task, tranche, host, tree, over }:
    Extract<Work, { kind: 'takeResult' }> & { readonly over: () => void },
): void {
  const { world, chance, spool } = machine
  world.time.after(chance.between(5, 2_000), () => {
    over()
    if (!process.alive) return
    const named = { job, task, tranche }
    const failed = (detail: string): void =>
      result(machine, process, { kind: 'resultFailed', ...named, detail })
    if (!reaches(machine, host)) return failed('the host cannot be reached')
    const there = world.machine(host)
    if (!there || !hasResult(there.spool, tranche, tree)) return failed('the host has no such tree')
    spool.taken.set(`${job}/${task}`, tree)
    result(machine, process, { kind: 'resultTaken', ...named })
  })
}
