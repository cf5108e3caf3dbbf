// The suite of all drivers on a scheduler that somebody has: an environment variable names a
// directory that its nodes share, and the scheduler's commands are in the PATH.
//
//   GRIDNODE_TEST_PBS=/shared/tmp node_modules/.bin/node test/scheduler/pbs-driver.test.ts
//
// The suite wants the cluster to itself: it takes all of it, and waits for it.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { BatchDriver } from '../../node/scheduler/batch-driver.ts'
import type { BatchConfig } from '../../node/scheduler/batch-driver.ts'
import type { Tongue } from '../../node/scheduler/batch-tongue.ts'
import { readOutput } from '../fakes/batch-commands/rig.ts'
import { driverSuite } from '../suites/driver.ts'

const never = new AbortController().signal

/** Registers the suite when the variable is set; `holdsOnlyWhole` as in the rig. */
export function pointedAt(
  variable: string,
  tongue: (config: BatchConfig) => Tongue,
  options: { readonly holdsOnlyWhole?: true } = {},
): void {
  const shared = process.env[variable]
  if (shared === undefined) return
  driverSuite(`driver: ${variable}`, async (ctx) => {
    const root = mkdtempSync(join(shared, 'gridnode-'))
    ctx.after(() => rmSync(root, { recursive: true, force: true }))
    const config: BatchConfig = { stateDirectory: join(root, 'state'), graceSeconds: 1 }
    const open = async (): Promise<BatchDriver> => {
      const driver = new BatchDriver(tongue(config), config)
      await driver.start()
      return driver
    }
    const looking = await open()
    const { coresTotal } = await looking.capacity(never)
    await looking.stop()
    let made = 0
    return {
      open, coresTotal, coresTooMany: 1_000_000, timeoutSeconds: 170, output: readOutput,
      ...options,
      taskDirectory() {
        const directory = join(root, `task ${made++}'s`)
        mkdirSync(directory)
        return directory
      },
      // What a real scheduler was asked is not counted.
      queriesAsked: () => 0,
    }
  }, { outages: false })
}
