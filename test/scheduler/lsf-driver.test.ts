// The driver of LSF, held to the suite of all drivers on fake commands.
// time limit: 900 s

import { lsfTongue } from '../../node/scheduler/lsf.ts'
import { fakeRig } from '../fakes/batch-commands/rig.ts'
import { lsf } from '../fakes/lsf-commands/lsf.ts'
import { pointedAt } from '../real/pointed.ts'
import { driverSuite } from '../suites/driver.ts'

driverSuite('driver: lsf', (ctx) => fakeRig(ctx, {
  dialect: lsf, tongue: lsfTongue, query: 'bjobs',
  machine: { nodes: [{ name: 'n1', cores: 4, memoryBytes: 4 * 2 ** 30 }] },
}), { outages: true })

pointedAt('GRIDNODE_TEST_LSF', lsfTongue)
