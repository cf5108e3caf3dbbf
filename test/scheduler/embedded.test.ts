// The embedded executor: the suite of all drivers, then what only it promises.

import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { EmbeddedDriver } from '../../node/scheduler/embedded.ts'
import type { EmbeddedConfig } from '../../node/scheduler/embedded.ts'
import type { EndedTask, Submission } from '../../node/scheduler/driver.ts'
import { bootId, readProcess } from '../../node/scheduler/process-table.ts'
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
  const task = submission.tasks.find((one) => one.taskIndex === taskIndex)
  const directory = task?.directory ?? ''
  const read = (stream: string): string => {
    try {
      return readFileSync(join(directory, '.gridnode', stream), 'utf8')
    } catch {
      return ''
    }
  }
  return { stdout: read('stdout'), stderr: read('stderr') }
}

const t = suite('embedded executor')
const never = new AbortController().signal
const tag = 'feedfacefeedface'

interface Bench {
  readonly root: string
  readonly config: EmbeddedConfig
  readonly records: string
  open(): Promise<EmbeddedDriver>
  submission(script: string, options?: {
    readonly tasks?: number
    readonly walltimeSeconds?: number
    readonly memoryBytes?: number
  }): Submission
}

function bench(ctx: Context, changes: Partial<EmbeddedConfig> = {}): Bench {
  const root = ctx.tmp()
  const config: EmbeddedConfig = {
    stateDirectory: join(root, 'state'), cores: 4, memoryBytes: 2 ** 32,
    walltimeSecondsMax: 86_400, speedPermille: 1_000, graceSeconds: 1, sampleMs: 20, ...changes,
  }
  return {
    root, config, records: join(root, 'state/records'),
    async open() {
      const driver = new EmbeddedDriver(config)
      await driver.start()
      ctx.after(async () => {
        await driver.cancel(tag, 'all', never).catch(() => {})
        await driver.stop()
      })
      return driver
    },
    submission(script, { tasks = 1, walltimeSeconds = 600, memoryBytes = 2 ** 26 } = {}) {
      return {
        tag, jobName: 'test', command: ['sh', '-c', script], environment: {},
        tasks: Array.from({ length: tasks }, (_, taskIndex) =>
          ({ taskIndex, directory: join(root, `t${taskIndex}`) })),
        resources: { coresPerTask: 1, memoryBytesPerTask: memoryBytes, walltimeSeconds },
      }
    },
  }
}

async function ended(driver: EmbeddedDriver, count = 1): Promise<EndedTask[]> {
  return await eventually(async () => {
    const all = (await driver.query(never)).map(({ status }) => status)
    const over = all.filter((status) => status.kind === 'ended')
    return over.length === count ? over : undefined
  }, { timeoutSeconds: 60 })
}

async function numberIn(path: string): Promise<number> {
  return Number(await eventually(() => existsSync(path) && readFileSync(path, 'utf8').trim()))
}

t('goes on with its tasks when the node is killed', async (ctx) => {
  const { root, config, open, submission } = bench(ctx, { cores: 1 })
  const script = 'echo run >>runs; while [ ! -e ../go ]; do sleep 0.05; done; exit 6'
  writeFileSync(join(root, 'config.json'), JSON.stringify(config))
  writeFileSync(join(root, 'submission.json'), JSON.stringify(submission(script, { tasks: 2 })))
  const owner = spawn(process.execPath, [
    join(import.meta.dirname, 'embedded-owner.ts'),
    join(root, 'config.json'), join(root, 'submission.json'),
  ], { env: { PATH: process.env['PATH'] ?? '' }, cwd: '/', detached: true, stdio: 'ignore' })
  const pid = owner.pid ?? 0
  assert.ok(pid > 0)
  await eventually(() => existsSync(join(root, 't0/runs')))
  process.kill(pid, 'SIGKILL')
  await eventually(() => readProcess(pid) === undefined)

  const driver = await open()
  const kinds = (await driver.query(never)).map(({ status }) => status.kind)
  assert.equal(kinds, ['running', 'queued'])
  assert.equal((await driver.capacity(never)).coresFree, 0)
  writeFileSync(join(root, 'go'), '')
  assert.equal((await ended(driver, 2)).map(({ exitCode }) => exitCode), [6, 6])
  assert.equal(readFileSync(join(root, 't0/runs'), 'utf8'), 'run\n')
  assert.equal(readFileSync(join(root, 't1/runs'), 'utf8'), 'run\n')
})

t('keeps the walltime, and the result, while no node is there', async (ctx) => {
  const { open, submission, records } = bench(ctx)
  const first = await open()
  const script = 'trap "" TERM; while :; do sleep 0.1; done'
  await first.submit(submission(script, { walltimeSeconds: 1 }), never)
  await eventually(async () => (await first.query(never))[0]?.status.kind === 'running')
  await eventually(() => existsSync(join(records, `${tag}.0.start`)))
  await first.stop()
  await eventually(() => existsSync(join(records, `${tag}.0.end`)))
  const [task] = await ended(await open())
  assert.ok(task)
  assert.equal([task.how, task.exitCode], ['walltime', 137])
  assert.ok(task.endedEpochMs - task.startedEpochMs >= 2_000, 'walltime and grace')
})

t('cancels a task that an earlier node started', async (ctx) => {
  const { open, submission, records } = bench(ctx)
  const first = await open()
  await first.submit(submission('sleep 600'), never)
  await eventually(() => existsSync(join(records, `${tag}.0.start`)))
  await first.stop()
  const second = await open()
  await second.cancel(tag, 'all', never)
  assert.equal((await ended(second))[0]?.how, 'cancelled')
})

t('ends the whole process group of a task', async (ctx) => {
  const { root, open, submission } = bench(ctx)
  const driver = await open()
  await driver.submit(submission('sleep 600 & echo $! >child; wait'), never)
  const child = await numberIn(join(root, 't0/child'))
  await driver.cancel(tag, 'all', never)
  await ended(driver)
  await eventually(() => readProcess(child) === undefined)
})

t('leaves no supervisor behind whose records are gone', async (ctx) => {
  const { open, submission, records } = bench(ctx)
  const driver = await open()
  await driver.submit(submission('sleep 600'), never)
  const path = join(records, `${tag}.0.start`)
  const text = await eventually(() => existsSync(path) && readFileSync(path, 'utf8'))
  const pid = Number(/^start (\d+) /.exec(String(text))?.[1])
  assert.ok(pid > 1, String(text))
  await driver.stop()
  rmSync(records, { recursive: true })
  // As often as it takes: a signal may come before the supervisor is ready for it.
  await eventually(() => {
    if (readProcess(pid) === undefined) return true
    process.kill(pid, 'SIGTERM')
    return false
  })
})

t('ends what a task leaves in the background', async (ctx) => {
  const { root, open, submission } = bench(ctx)
  const driver = await open()
  await driver.submit(submission('sleep 600 & echo $! >child'), never)
  assert.equal((await ended(driver))[0]?.how, 'exited')
  const child = await numberIn(join(root, 't0/child'))
  await eventually(() => readProcess(child) === undefined)
})

t('reports a task as lost when its supervisor was killed, and first ends the task', async (ctx) => {
  const { root, open, submission, records } = bench(ctx)
  const driver = await open()
  await driver.submit(submission('echo $$ >pid; exec sleep 600'), never)
  const command = await numberIn(join(root, 't0/pid'))
  const start = readFileSync(join(records, `${tag}.0.start`), 'utf8')
  process.kill(Number(start.split(' ')[1]), 'SIGKILL')
  const [task] = await ended(driver)
  assert.equal([task?.how, task?.exitCode], ['lost', -1])
  await eventually(() => readProcess(command) === undefined)
  assert.equal((await driver.capacity(never)).coresFree, 4)
  await driver.stop()
  const [again] = await ended(await open())
  assert.equal([again?.how, again?.endedEpochMs], ['lost', task?.endedEpochMs])
})

t('takes no other process for a supervisor', async (ctx) => {
  const own = readProcess(process.pid)
  assert.ok(own)
  const cases = [
    { record: `start ${process.pid} ${own.born + 1} ${bootId()}\n`, what: 'a pid used again' },
    { record: `start ${process.pid} ${own.born} 01234567-89ab-cdef\n`, what: 'another boot' },
    { record: 'start 12', what: 'a torn record' },
  ]
  for (const { record, what } of cases) {
    const { open, submission, records } = bench(ctx, { cores: 1 })
    const first = await open()
    await first.stop()
    writeFileSync(join(records, '..', 'tranches', `${tag}.json`), JSON.stringify({
      sequence: 1, submission: submission('echo again >>runs'), note: { forgotten: false },
    }))
    writeFileSync(join(records, `${tag}.0.start`), record)
    const driver = await open()
    assert.equal((await ended(driver)).map(({ how }) => how), ['lost'], what)
    await driver.stop()
  }
})

t('never starts a task that has been claimed', async (ctx) => {
  const { root, open, submission, records } = bench(ctx)
  const own = readProcess(process.pid)
  assert.ok(own)
  const driver = await open()
  // Another supervisor, started by a node that was killed, is quicker than ours.
  writeFileSync(join(records, `${tag}.0.start`), `start ${process.pid} ${own.born} ${bootId()}\n`)
  await driver.submit(submission('echo >ran'), never)
  await eventually(async () => (await driver.query(never))[0]?.status.kind === 'running')
  writeFileSync(join(records, `${tag}.0.end`), 'end exited 9 100\n\n0m0.5s 0m0.25s\ndone\n')
  const [task] = await ended(driver)
  assert.equal([task?.exitCode, task?.cpuMs], [9, 750])
  assert.ok(!existsSync(join(root, 't0/ran')))
})

t('ends a task that uses more memory than it asked for', async (ctx) => {
  const { open, submission } = bench(ctx)
  const driver = await open()
  const script = 'head -c 200000000 /dev/zero | tail -c 199999999 | { sleep 600; cat; }'
  await driver.submit(submission(script, { memoryBytes: 2 ** 26 }), never)
  const [task] = await ended(driver)
  assert.ok(task)
  assert.equal([task.how, task.exitCode], ['memory', 137])
  assert.ok((task.memoryBytesPeak ?? 0) > 2 ** 26)
})

t('bounds the output that it keeps', async (ctx) => {
  const { root, open, submission } = bench(ctx, { outputBytesMax: 10_000 })
  const driver = await open()
  await driver.submit(submission('yes | head -c 1000000; echo short >&2'), never)
  assert.equal((await ended(driver))[0]?.exitCode, 0)
  const text = readFileSync(join(root, 't0/.gridnode/stdout'), 'utf8')
  assert.equal(text.length, 10_000 + '\n[output beyond 10000 bytes was dropped]\n'.length)
  assert.equal(readFileSync(join(root, 't0/.gridnode/stderr'), 'utf8'), 'short\n')
})

t('gives a task none of the secrets of the node', async (ctx) => {
  process.env['GRIDNODE_TEST_SECRET'] = 'secret'
  ctx.after(() => { delete process.env['GRIDNODE_TEST_SECRET'] })
  const { root, open, submission } = bench(ctx)
  const driver = await open()
  await driver.submit(submission('env'), never)
  await ended(driver)
  const text = readFileSync(join(root, 't0/.gridnode/stdout'), 'utf8')
  assert.match(text, /^PATH=/m)
  assert.notMatch(text, /SECRET/)
})

t('tells apart a command that is missing and one that fails', async (ctx) => {
  const { open, submission } = bench(ctx)
  const driver = await open()
  await driver.submit({ ...submission(''), command: ['/no/such/command'] }, never)
  assert.equal((await ended(driver))[0]?.exitCode, 127)
})

t('takes no more than may wait', async (ctx) => {
  const { open, submission } = bench(ctx, { tasksQueuedMax: 3 })
  const driver = await open()
  assert.refused(await driver.submit(submission('true', { tasks: 4 }), never), 'full')
  assert.equal(await driver.find(tag, never), undefined)
})

t('runs hundreds of tasks and leaves nothing behind once they are forgotten', async (ctx) => {
  const { root, open, submission } = bench(ctx, { cores: 8 })
  const driver = await open()
  await driver.submit(submission('exit $((GRIDNODE_TASK_ID % 7))', { tasks: 300 }), never)
  const over = await ended(driver, 300)
  assert.equal(over.map(({ exitCode }) => exitCode), over.map((_, i) => i % 7))
  await driver.forget(tag)
  assert.equal(readdirSync(join(root, 'state/records')), [])
  assert.equal(readdirSync(join(root, 'state/tranches')), [])
})
