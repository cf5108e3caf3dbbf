// The driver of OpenPBS, held to the suite of all drivers on fake commands, with the server's
// history and without.

import { pbsTongue } from '../../node/scheduler/pbs.ts'
import { fakeRig } from '../fakes/batch-commands/rig.ts'
import type { FakeRig } from '../fakes/batch-commands/rig.ts'
import { openPbs } from '../fakes/pbs-commands/openpbs.ts'
import type { Context } from '../harness.ts'
import { driverSuite } from '../suites/driver.ts'

const oneNode = { nodes: [{ name: 'n1', cores: 4, memoryBytes: 4 * 2 ** 30 }] }

async function prepare(ctx: Context, history: boolean): Promise<FakeRig> {
  return await fakeRig(ctx, {
    dialect: (machine) => openPbs(machine, { history, operator: true }),
    tongue: (config) => pbsTongue({ ...config, operator: true }),
    query: 'qstat', machine: oneNode, holdsOnlyWhole: true,
  })
}

driverSuite('driver: openpbs', (ctx) => prepare(ctx, true), { outages: true })
driverSuite('driver: openpbs without history', (ctx) => prepare(ctx, false), { outages: true })
