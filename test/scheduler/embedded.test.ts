// The embedded executor: the suite of all drivers, then what only it promises.

import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { EmbeddedDriver } from '../../node/scheduler/embedded.ts'
import type { EmbeddedConfig } from '../../node/scheduler/embedded.ts'
import type { Submission } from '../../node/scheduler/driver.ts'
import { assert, eventually, suite } from '../harness.ts'
import type { Context } from '../harness.ts'
import { driverSuite } from '../suites/driver.ts'

driverSuite('driver: embedded', async (ctx) => {
  const root = ctx.tmp()
  let made = 0
  let queries = 0
  return {
    coresTotal: 4, coresTooMany: 5, timeoutSeconds: 60,
    async open() {
      const driver = new EmbeddedDriver({
        stateDirectory: join(root, 'state'), cores: 4, memoryBytes: 2 ** 30,
        walltimeSecondsMax: 86_400, speedPermille: 1_000, graceSeconds: 1,
      })
      await driver.start()
      return driver
    },
    taskDirectory() {
      const directory = join(root, `task ${made++}`)
      mkdirSync(directory)
      return directory
    },
    output: readOutput,
    queriesAsked: () => queries++,
  }
}, { outages: false })

function readOutput(submission: Submission, taskIndex: number): { stdout: string; stderr: string } {
  const { directory } = submission.tasks.find((task) => task.taskIndex === taskIndex) ?? { directory: '' }
  const read = (stream: string): string => {
    try {
      return readFileSync(join(directory, '.gridnode', stream), 'utf8')
    } catch {
      return ''
    }
  }
  return { stdout: read('stdout'), stderr: read('stderr') }
}
