// A node that is killed while it submits, as far as the driver goes: submits what its argument
// says, and is ended by the submission command itself.

import { readFileSync } from 'node:fs'
import type { Submission } from '../../node/scheduler/driver.ts'
import { gridEngineDriver } from '../../node/scheduler/grid-engine.ts'
import type { GridEngineConfig } from '../../node/scheduler/grid-engine.ts'
import { slurmDriver } from '../../node/scheduler/slurm.ts'
import type { SlurmConfig } from '../../node/scheduler/slurm.ts'

export type Order = { readonly submission: Submission } & (
  | { readonly kind: 'slurm'; readonly config: SlurmConfig }
  | { readonly kind: 'grid-engine'; readonly config: GridEngineConfig }
)

if (process.argv[2] !== undefined) {
  const order = JSON.parse(readFileSync(process.argv[2], 'utf8')) as Order
  const driver = order.kind === 'slurm'
    ? slurmDriver(order.config) : gridEngineDriver(order.config)
  await driver.start()
  await driver.submit(order.submission, new AbortController().signal)
  await driver.stop()
}
