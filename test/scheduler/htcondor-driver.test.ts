// The driver of HTCondor, held to the suite of all drivers on fake commands.
// time limit: 900 s

import { htcondorTongue } from '../../node/scheduler/htcondor.ts'
import { fakeRig } from '../fakes/batch-commands/rig.ts'
import { condor } from '../fakes/condor-commands/condor.ts'
import { pointedAt } from '../real/pointed.ts'
import { driverSuite } from '../suites/driver.ts'

driverSuite('driver: htcondor', (ctx) => fakeRig(ctx, {
  dialect: condor, tongue: htcondorTongue, query: 'condor_q',
  machine: { nodes: [{ name: 'n1', cores: 4, memoryBytes: 4 * 2 ** 30 }] },
}), { outages: true })

pointedAt('GRIDNODE_TEST_HTCONDOR', htcondorTongue)
