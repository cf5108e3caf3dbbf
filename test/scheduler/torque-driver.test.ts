// The driver of Torque, held to the suite of all drivers on fake commands.
// time limit: 900 s

import { torqueTongue } from '../../node/scheduler/torque.ts'
import { fakeRig } from '../fakes/batch-commands/rig.ts'
import { torque } from '../fakes/pbs-commands/torque.ts'
import { pointedAt } from '../real/pointed.ts'
import { driverSuite } from '../suites/driver.ts'

driverSuite('driver: torque', (ctx) => fakeRig(ctx, {
  dialect: (machine) => torque(machine, { operator: true }),
  tongue: (config) => torqueTongue({ ...config, operator: true }),
  query: 'qstat', machine: { nodes: [{ name: 'n1', cores: 4, memoryBytes: 4 * 2 ** 30 }] },
}), { outages: true })

pointedAt('GRIDNODE_TEST_TORQUE', torqueTongue)
