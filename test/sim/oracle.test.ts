// The oracle is worth what it notices: each law is broken on purpose, at the end of a run that
// kept it.

import type { CoreTables } from '../../protocol/machine/state.ts'
import { microcredits } from '../../protocol/base/units.ts'
import { assert, suite } from '../harness.ts'
import { checkBooks } from './books.ts'
import type { Machine } from './machine.ts'
import { checkSent, checkSite } from './oracle.ts'
import { profileOf } from './profile.ts'
import { run, whatIsOpen } from './run.ts'
import type { World } from './world.ts'

const t = suite('the oracle')

/** A run in which money moved. */
function ended(): World {
  return run(profileOf(4, { kind: 'calm', sites: 3, jobs: 6 })).world
}

function tableOf(machine: Machine, table: keyof CoreTables): Map<string, unknown> {
  return machine.process!.loop.tables.get(table)!
}

/** The first record of a table at any site; changed in place. */
function change<K extends keyof CoreTables>(
  world: World, table: K, by: (value: CoreTables[K]) => CoreTables[K],
): Machine {
  for (const machine of world.machines) {
    const [first] = machine.process!.loop.tables.get(table) ?? []
    if (!first) continue
    tableOf(machine, table).set(first[0], by(first[1] as CoreTables[K]))
    return machine
  }
  throw new Error(`no site has ${table}`)
}

t('sees an account that its holds do not make', () => {
  const held = change(ended(), 'ledgerAccounts', (books) =>
    ({ ...books, held: microcredits(books.held + 1n) }))
  assert.throws(() => checkSite(held), /law 3: .* held is/)
  const world = ended()
  change(world, 'ledgerAccounts', (books) =>
    ({ ...books, posted: microcredits(books.posted + 1n) }))
  assert.throws(() => checkBooks(world), /law 3: .* posted, its log makes/)
})

t('sees a job that counts a task too many', () => {
  const machine = change(ended(), 'jobs', (job) => ({ ...job, done: job.done + 1 }))
  assert.throws(() => checkSite(machine), /law 1: /)
})

t('sees a job that spends what it has not', () => {
  const machine = change(ended(), 'jobs', (job) =>
    ({ ...job, spent: microcredits(10n ** 15n) }))
  assert.throws(() => checkSite(machine), /law 3: .* spent/)
})

t('sees a task that was started twice', () => {
  const world = ended()
  const { scheduler } = world.machines.find((machine) => machine.scheduler.starts.size > 0)!
  const [key] = scheduler.starts.keys()
  ;(scheduler.starts as Map<string, number>).set(key!, 2)
  assert.throws(() => checkBooks(world), /law 2: .* started .* 2 times/)
})

t('sees a statement that was said and is not on the disk', () => {
  const world = ended()
  const [machine] = world.machines
  const note = 'gridnode/v1/held\n{}\n\n— site-a.example/gridnode/s1 AAAA\n'
  const message = { kind: 'statements' as const, notes: [note], have: 0, have_e: 1, heard: 0 }
  assert.throws(() => checkSent(machine!, message), /law 4/)
})

t('sees an entry that is missing in a log', () => {
  const world = ended()
  const entries = world.machines[0]!.disk.records('ledgerEntries') as Map<string, string>
  const [last] = [...entries.keys()].toSorted().slice(-1)
  entries.delete(last!)
  assert.throws(() => checkBooks(world), /law (3|4): /)
})

t('sees results that never came home', () => {
  const world = ended()
  for (const { spool } of world.machines) spool.taken.clear()
  assert.throws(() => checkBooks(world), /law 1: .* has no results at home/)
})

t('sees a job that is lost, and one that never ends', () => {
  const lost = ended()
  const [id, job] = [...lost.jobs][0]!
  const home = lost.machines.find(({ identity }) => identity.site === job.site)!
  tableOf(home, 'jobs').delete(id)
  assert.throws(() => checkBooks(lost), /law 1: .* is lost/)
  const endless = ended()
  change(endless, 'jobs', (one) => ({ ...one, state: { kind: 'open' } }))
  assert.match(whatIsOpen(endless).join('\n'), /is open/)
})
