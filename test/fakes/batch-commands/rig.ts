// The suite of all drivers on a cluster behind fake commands.

import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { BatchDriver } from '../../../node/scheduler/batch-driver.ts'
import type { BatchConfig } from '../../../node/scheduler/batch-driver.ts'
import type { Tongue } from '../../../node/scheduler/batch-tongue.ts'
import type { Submission } from '../../../node/scheduler/driver.ts'
import type { Context } from '../../harness.ts'
import type { DriverRig } from '../../suites/driver-rig.ts'
import { FakeMachine } from './machine.ts'
import type { MachineOptions } from './machine.ts'
import { startService } from './service.ts'
import type { Dialect, Service } from './service.ts'

export interface FakeRig extends DriverRig {
  readonly machine: FakeMachine
  readonly service: Service
  readonly config: BatchConfig
  open(): Promise<BatchDriver>
}

export async function fakeRig(ctx: Context, options: {
  readonly dialect: (machine: FakeMachine) => Dialect
  readonly tongue: (config: BatchConfig) => Tongue
  /** The program that the query runs. */
  readonly query: string
  readonly holdsOnlyWhole?: true
  readonly machine?: Omit<MachineOptions, 'directory'>
}): Promise<FakeRig> {
  const root = ctx.tmp()
  const directory = join(root, 'cluster')
  mkdirSync(directory)
  const machine = new FakeMachine({ directory, ...options.machine })
  ctx.after(() => machine.close())
  const service = await startService(directory, options.dialect(machine))
  ctx.after(() => service.close())
  const { binDirectory } = service
  const config: BatchConfig = {
    stateDirectory: join(root, 'state'), binDirectory, graceSeconds: 1,
  }
  let made = 0
  return {
    machine, service, config, coresTotal: machine.nodes[0]?.cores ?? 0, coresTooMany: 64,
    timeoutSeconds: 90, ...(options.holdsOnlyWhole ? { holdsOnlyWhole: true } : {}),
    async open() {
      const driver = new BatchDriver(options.tongue(config), config)
      await driver.start()
      return driver
    },
    taskDirectory() {
      const path = join(root, `task ${made++}'s`)
      mkdirSync(path)
      return path
    },
    output: readOutput,
    queriesAsked: () => service.asked(options.query),
    outage: { begin: () => service.stop(), end: () => service.start() },
  }
}

export function readOutput(
  submission: Submission, taskIndex: number,
): { stdout: string; stderr: string } {
  const task = submission.tasks.find((one) => one.taskIndex === taskIndex)
  const read = (stream: string): string => {
    const path = join(task?.directory ?? '', '.gridnode', stream)
    return existsSync(path) ? readFileSync(path, 'utf8') : ''
  }
  return { stdout: read('stdout'), stderr: read('stderr') }
}
