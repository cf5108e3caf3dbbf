// What every driver must do, whatever scheduler stands behind it. Run on the fake, the embedded
// executor and a real Slurm: a rig says how to open one of them and how to look at what it does
// from outside.

import type { Driver } from '../../node/scheduler/driver.ts'
import { run } from '../../node/scheduler/exec.ts'
import { assert, suite } from '../harness.ts'
import type { Context, Suite } from '../harness.ts'
import type { DriverRig } from './driver-rig.ts'
import { all, allEnded, make, makeTag, mine, never, settled, statuses } from './driver-rig.ts'

/**
 * Registers the suite under `name`; `prepare` is called for each test and skips it when there is no
 * scheduler.
 */
export function driverSuite(
  name: string,
  prepare: (ctx: Context) => Promise<DriverRig>,
  { outages }: { readonly outages: boolean },
): Suite {
  const t = suite(name)
  const limits = { timeoutSeconds: 180 }
  const test = (what: string, body: (rig: DriverRig, driver: Driver) => Promise<void>): void => {
    t(what, async (ctx) => {
      const rig = await prepare(ctx)
      const driver = await rig.open()
      ctx.after(() => driver.stop())
      await body(rig, driver)
    }, limits)
  }

  test('runs a task and tells how it ended', async (rig, driver) => {
    const submission = make(rig, 'echo to the output; echo to the error >&2; exit 0')
    const { localId } = assert.accepted(await driver.submit(submission, never))
    assert.ok(localId.length > 0)
    const [ended] = await allEnded(rig, driver, submission)
    assert.equal([ended?.how, ended?.exitCode], ['exited', 0])
    assert.ok(ended)
    assert.ok(ended.startedEpochMs <= ended.endedEpochMs)
    assert.equal(rig.output(submission, 0), {
      stdout: 'to the output\n', stderr: 'to the error\n',
    })
    if (driver.abilities.accounting) assert.ok(ended.cpuMs !== undefined)
  })

  test('keeps an exit code other than 0', async (rig, driver) => {
    const submission = make(rig, 'echo no; exit 7')
    assert.accepted(await driver.submit(submission, never))
    const [ended] = await allEnded(rig, driver, submission)
    assert.equal([ended?.how, ended?.exitCode], ['exited', 7])
  })

  test('gives each task its environment, directory and number', async (rig, driver) => {
    const script = 'echo $GRIDNODE_TRANCHE $GRIDNODE_TASK_ID "$COLOUR"'
    const submission = {
      ...make(rig, script, { taskIndexes: [3, 4, 17] }),
      environment: { COLOUR: 'deep  "blue" $HOME \'' },
    }
    const plain = { ...submission, environment: { COLOUR: 'blue' } }
    assert.accepted(await driver.submit(driver.kind === 'fake' ? plain : submission, never))
    await allEnded(rig, driver, submission)
    for (const taskIndex of [3, 4, 17]) {
      const colour = driver.kind === 'fake' ? 'blue' : submission.environment.COLOUR
      const { stdout } = rig.output(submission, taskIndex)
      assert.equal(stdout, `${submission.tag} ${taskIndex} ${colour}\n`)
    }
  })

  test('runs an array of which some tasks fail', async (rig, driver) => {
    const indexes = [0, 1, 2, 3, 4, 5]
    const submission = make(rig, 'exit $GRIDNODE_TASK_ID', { taskIndexes: indexes })
    const fake = { ...submission, command: ['sh', '-c', 'exit 5'] }
    assert.accepted(await driver.submit(driver.kind === 'fake' ? fake : submission, never))
    const ended = await allEnded(rig, driver, submission)
    const expected = indexes.map((index) => driver.kind === 'fake' ? 5 : index)
    assert.equal(ended.map((task) => task.exitCode), expected)
    assert.equal(new Set(ended.map((task) => task.how)), new Set(['exited']))
  })

  test('ends a task at its walltime', async (rig, driver) => {
    const submission = make(rig, 'echo begun; sleep 500', { walltimeSeconds: 2 })
    assert.accepted(await driver.submit(submission, never))
    const [ended] = await allEnded(rig, driver, submission)
    assert.ok(ended)
    assert.equal(ended.how, 'walltime')
    assert.ok(ended.exitCode > 128)
    assert.ok(ended.endedEpochMs - ended.startedEpochMs >= 2_000)
    assert.equal(rig.output(submission, 0).stdout, 'begun\n')
  })

  test('cancels a running task and leaves its neighbour alone', async (rig, driver) => {
    const submission = make(rig, 'sleep 500', { taskIndexes: [1, 2] })
    assert.accepted(await driver.submit(submission, never))
    await all(rig, driver, submission, (status) => status.kind === 'running')
    await driver.cancel(submission.tag, [1], never)
    await driver.cancel(submission.tag, [1], never)
    const status = await settled(rig, async () => {
      const [first] = await statuses(driver, submission)
      return first?.kind === 'ended' ? first : undefined
    })
    assert.equal(status.how, 'cancelled')
    assert.equal((await statuses(driver, submission))[1]?.kind, 'running')
    await driver.cancel(submission.tag, 'all', never)
    const ended = await allEnded(rig, driver, submission)
    assert.equal(ended.map((task) => task.how), ['cancelled', 'cancelled'])
    await driver.cancel(submission.tag, 'all', never)
    await driver.cancel('00000000000000ff', 'all', never)
  })

  test('cancels a queued task, which then never starts', async (rig, driver) => {
    const running = make(rig, 'sleep 500', { cores: rig.coresTotal })
    const waiting = make(rig, 'echo started', { cores: rig.coresTotal })
    assert.accepted(await driver.submit(running, never))
    await all(rig, driver, running, (status) => status.kind === 'running')
    assert.accepted(await driver.submit(waiting, never))
    await all(rig, driver, waiting, (status) => status.kind === 'queued')
    await driver.cancel(waiting.tag, [0], never)
    const [ended] = await allEnded(rig, driver, waiting)
    assert.equal([ended?.how, ended?.exitCode], ['cancelled', -1])
    assert.equal(ended?.startedEpochMs, ended?.endedEpochMs)
    await driver.cancel(running.tag, 'all', never)
    await allEnded(rig, driver, running)
    assert.equal(rig.output(waiting, 0).stdout, '')
  })

  test('cancels one of the tasks that wait and leaves the others waiting', async (rig, driver) => {
    const running = make(rig, 'sleep 500', { cores: rig.coresTotal })
    const taskIndexes = [5, 6, 7, 8]
    const waiting = make(rig, 'echo started', { cores: rig.coresTotal, taskIndexes })
    assert.accepted(await driver.submit(running, never))
    await all(rig, driver, running, (status) => status.kind === 'running')
    assert.accepted(await driver.submit(waiting, never))
    await driver.cancel(waiting.tag, [6, 8], never)
    await settled(rig, async () => {
      const kinds = (await statuses(driver, waiting)).map((status) => status?.kind)
      return kinds.join() === 'queued,ended,queued,ended'
    })
    await driver.cancel(running.tag, 'all', never)
    const ended = await allEnded(rig, driver, waiting)
    assert.equal(ended.map((task) => task.how), ['exited', 'cancelled', 'exited', 'cancelled'])
    assert.equal(ended.map((task) => task.exitCode), [0, -1, 0, -1])
  })

  test('submits once however often it is asked, and finds by tag', async (rig, driver) => {
    const submission = make(rig, 'echo once')
    assert.equal(await driver.find(submission.tag, never), undefined)
    const answers = [
      await driver.submit(submission, never),
      ...await Promise.all([driver.submit(submission, never), driver.submit(submission, never)]),
    ]
    const ids = new Set(answers.map((answer) => assert.accepted(answer).localId))
    assert.equal(ids.size, 1)
    assert.equal(await driver.find(submission.tag, never), [...ids][0])
    await allEnded(rig, driver, submission)
    assert.equal(assert.accepted(await driver.submit(submission, never)).localId, [...ids][0])
    const seen = await statuses(driver, submission)
    assert.equal(seen.map((status) => status?.kind), ['ended'])
    assert.equal(rig.output(submission, 0).stdout, 'once\n')
  })

  test('submits two tranches at once, in any order', async (rig, driver) => {
    const both = [make(rig, 'echo a'), make(rig, 'echo b')]
    await Promise.all(both.map(async (one) => assert.accepted(await driver.submit(one, never))))
    for (const one of both) await allEnded(rig, driver, one)
  })

  test('holds what waits, lets what runs run, and releases', async (rig, driver) => {
    if (!driver.abilities.hold || rig.holdsOnlyWhole) return
    const running = make(rig, 'sleep 500', { cores: rig.coresTotal })
    const waiting = make(rig, 'echo started', { cores: rig.coresTotal, taskIndexes: [5, 6] })
    assert.accepted(await driver.submit(running, never))
    await all(rig, driver, running, (status) => status.kind === 'running')
    assert.accepted(await driver.submit(waiting, never))
    for (const _ of [1, 2]) {
      assert.accepted(await driver.control(waiting.tag, [6], { kind: 'hold' }, never))
    }
    await settled(rig, async () => {
      const [first, second] = await statuses(driver, waiting)
      return second?.kind === 'queued' && second.held === true
        && first?.kind === 'queued' && first.held !== true
    })
    await driver.cancel(running.tag, 'all', never)
    await settled(rig, async () => (await statuses(driver, waiting))[0]?.kind === 'ended')
    await driver.stop()
    const again = await rig.open()
    const [, held] = await statuses(again, waiting)
    assert.ok(held?.kind === 'queued' && held.held === true, JSON.stringify(held))
    for (const _ of [1, 2]) {
      assert.accepted(await again.control(waiting.tag, 'all', { kind: 'release' }, never))
    }
    const ended = await allEnded(rig, again, waiting)
    assert.equal(ended.map(({ exitCode }) => exitCode), [0, 0])
    await again.stop()
  })

  test('suspends a running task and lets it go on', async (rig, driver) => {
    if (!driver.abilities.suspend) return
    const submission = make(rig, 'sleep 2; exit 7')
    assert.accepted(await driver.submit(submission, never))
    await all(rig, driver, submission, (status) => status.kind === 'running')
    for (const _ of [1, 2]) {
      assert.accepted(await driver.control(submission.tag, 'all', { kind: 'suspend' }, never))
    }
    await settled(rig, async () => {
      const [status] = await statuses(driver, submission)
      return status?.kind === 'running' && status.suspended === true
    })
    for (const _ of [1, 2]) {
      assert.accepted(await driver.control(submission.tag, 'all', { kind: 'resume' }, never))
    }
    const [ended] = await allEnded(rig, driver, submission)
    assert.equal([ended?.how, ended?.exitCode], ['exited', 7])
  })

  test('cancels a suspended task', async (rig, driver) => {
    if (!driver.abilities.suspend) return
    const submission = make(rig, 'sleep 500')
    assert.accepted(await driver.submit(submission, never))
    await all(rig, driver, submission, (status) => status.kind === 'running')
    assert.accepted(await driver.control(submission.tag, 'all', { kind: 'suspend' }, never))
    await driver.cancel(submission.tag, 'all', never)
    const [ended] = await allEnded(rig, driver, submission)
    assert.equal(ended?.how, 'cancelled')
  })

  test('signals the processes of a running task, and refuses in words what cannot be', async (
    rig, driver,
  ) => {
    if (!driver.abilities.signal) return
    const submission = make(rig, 'sleep 500')
    assert.accepted(await driver.submit(submission, never))
    await all(rig, driver, submission, (status) => status.kind === 'running')
    const kill = { kind: 'signal', name: 'KILL' } as const
    assert.accepted(await driver.control(submission.tag, 'all', kill, never))
    const [ended] = await allEnded(rig, driver, submission)
    assert.equal([ended?.how, ended?.exitCode], ['exited', 137])
    assert.accepted(await driver.control(submission.tag, 'all', kill, never))
    assert.accepted(await driver.control(makeTag(), 'all', { kind: 'hold' }, never))
    if (driver.abilities.requeue) return
    const again = await driver.control(submission.tag, 'all', { kind: 'requeue' }, never)
    assert.ok(assert.refused(again, 'unable').words.length > 5)
  })

  test('puts a running task back, which then runs once more', async (rig, driver) => {
    if (!driver.abilities.requeue || driver.kind === 'fake') return
    const script = 'echo run; [ "$(grep -c run .gridnode/stdout)" -ge 2 ] || sleep 500; exit 8'
    const submission = make(rig, script)
    assert.accepted(await driver.submit(submission, never))
    await settled(rig, async () => rig.output(submission, 0).stdout === 'run\n')
    await all(rig, driver, submission, (status) => status.kind === 'running')
    assert.accepted(await driver.control(submission.tag, 'all', { kind: 'requeue' }, never))
    const [ended] = await allEnded(rig, driver, submission)
    assert.equal([ended?.how, ended?.exitCode], ['exited', 8])
    assert.equal(rig.output(submission, 0).stdout, 'run\nrun\n')
  })

  test('lets a process in beside a running task, or says that it cannot', async (rig, driver) => {
    if (!driver.enter) return
    const submission = make(rig, 'echo here >mine; sleep 500', { taskIndexes: [3, 7] })
    assert.accepted(await driver.submit(submission, never))
    await all(rig, driver, submission, (status) => status.kind === 'running')
    const [, second] = submission.tasks
    const entered = await driver.enter(submission.tag, second!.taskIndex, never)
    if (!entered.ok) {
      assert.refused(entered, 'unable')
    } else {
      const { words, environment, cwd } = entered.value
      const script = 'until [ -s mine ]; do sleep 0.1; done; cat mine; echo $GRIDNODE_TASK_ID; ' +
        'cat; exit 6'
      const ran = await run([...words, 'sh', '-c', script], {
        env: environment, cwd, input: 'fed\n', timeoutMs: rig.timeoutSeconds * 1_000,
      })
      assert.equal([ran.code, ran.stdout], [6, `here\n${second!.taskIndex}\nfed\n`], ran.stderr)
    }
    await driver.cancel(submission.tag, 'all', never)
    await allEnded(rig, driver, submission)
    if (!entered.ok) return
    assert.refused(await driver.enter(submission.tag, second!.taskIndex, never), 'state')
  })

  test('finds running, queued and ended tasks again after a restart', async (rig, driver) => {
    const whole = rig.coresTotal
    const ended = make(rig, 'exit 3')
    assert.accepted(await driver.submit(ended, never))
    const [before] = await allEnded(rig, driver, ended)
    const running = make(rig, 'echo alive; sleep 3; exit 4', { cores: whole })
    const queued = make(rig, 'exit 5', { cores: whole })
    assert.accepted(await driver.submit(running, never))
    await all(rig, driver, running, (status) => status.kind === 'running')
    assert.accepted(await driver.submit(queued, never))
    await driver.stop()

    const again = await rig.open()
    const [after] = await allEnded(rig, again, ended)
    assert.equal(after?.endedEpochMs, before?.endedEpochMs)
    for (const one of [ended, running, queued]) {
      assert.ok(await again.find(one.tag, never))
      assert.accepted(await again.submit(one, never))
    }
    const codes: number[] = []
    for (const one of [ended, running, queued]) {
      codes.push((await allEnded(rig, again, one))[0]?.exitCode ?? -2)
    }
    assert.equal(codes, [3, 4, 5])
    assert.equal(rig.output(running, 0).stdout, 'alive\n')
    await again.stop()
  })

  test('reports an ended task until it is forgotten', async (rig, driver) => {
    const submission = make(rig, 'exit 0')
    assert.accepted(await driver.submit(submission, never))
    const first = await allEnded(rig, driver, submission)
    assert.equal(await statuses(driver, submission), first)
    await driver.forget(submission.tag)
    await driver.forget(submission.tag)
    assert.equal(mine(await driver.query(never), submission), [])
    await driver.stop()
    const again = await rig.open()
    assert.equal(mine(await again.query(never), submission), [])
    await again.stop()
  })

  test('refuses what can never run, in words', async (rig, driver) => {
    const large = make(rig, 'true', { cores: rig.coresTooMany })
    const refusal = assert.refused(await driver.submit(large, never), 'tooLarge')
    assert.ok(refusal.words.length > 10, refusal.words)
    assert.equal(await driver.find(large.tag, never), undefined)
    const elsewhere = { ...make(rig, 'true'), queue: 'nosuchqueue' }
    assert.match(
      assert.refused(await driver.submit(elsewhere, never), 'queueUnknown').words, /\w+/,
    )
    const eternal = make(rig, 'true', { walltimeSeconds: 10 * 366 * 86_400 })
    assert.refused(await driver.submit(eternal, never), 'tooLarge')
    assert.refused(await driver.submit({ ...make(rig, 'true'), command: [] }, never), 'refused')
    assert.equal(mine(await driver.query(never), large), [])
  })

  test('shows what is free, and that it changes', async (rig, driver) => {
    const idle = await settled(rig, async () => {
      const now = await driver.capacity(never)
      return now.coresFree === rig.coresTotal ? now : undefined
    })
    assert.equal([idle.coresTotal, idle.tasksRunning], [rig.coresTotal, 0])
    assert.equal(idle.queues.length, 1)
    assert.ok((idle.queues[0]?.walltimeSecondsMax ?? 0) > 0)
    const submission = make(rig, 'sleep 500', { taskIndexes: [0, 1] })
    assert.accepted(await driver.submit(submission, never))
    await settled(rig, async () => {
      const busy = await driver.capacity(never)
      return busy.coresFree === rig.coresTotal - 2 && busy.tasksRunning === 2
    })
    await driver.cancel(submission.tag, 'all', never)
    await allEnded(rig, driver, submission)
    await settled(rig, async () => (await driver.capacity(never)).coresFree === rig.coresTotal)
  })

  test('asks the scheduler once for all tasks', async (rig, driver) => {
    const array = make(rig, 'exit 0', { taskIndexes: [0, 1, 2] })
    const many = [array, make(rig, 'exit 1'), make(rig, 'exit 2')]
    for (const one of many) assert.accepted(await driver.submit(one, never))
    const before = rig.queriesAsked()
    assert.equal((await driver.query(never)).length, 5)
    assert.ok(rig.queriesAsked() - before <= 1)
    for (const one of many) await allEnded(rig, driver, one)
  })

  test('hints that something changed', async (rig, driver) => {
    let hints = 0
    driver.onHint(() => hints++)
    const submission = make(rig, 'exit 0')
    assert.accepted(await driver.submit(submission, never))
    await allEnded(rig, driver, submission)
    assert.ok(hints > 0)
  })

  if (outages) test('fails while the scheduler is away and ends no task', async (rig, driver) => {
    assert.ok(rig.outage, 'the rig can make an outage')
    const submission = make(rig, 'sleep 2; exit 6')
    assert.accepted(await driver.submit(submission, never))
    await all(rig, driver, submission, (status) => status.kind === 'running')
    await rig.outage.begin()
    // Together, for a real scheduler's commands try for seconds before they give up.
    await Promise.all([
      failed(driver.query(never)),
      failed(driver.capacity(never)),
      failed(driver.submit(make(rig, 'true'), never)),
    ])
    await rig.outage.end()
    const [ended] = await allEnded(rig, driver, submission)
    assert.equal([ended?.how, ended?.exitCode], ['exited', 6])
  })

  test('gives up when the caller does', async (rig, driver) => {
    const gone = AbortSignal.abort(new Error('no longer wanted'))
    for (const call of [
      () => driver.query(gone), () => driver.submit(make(rig, 'true'), gone),
      () => driver.capacity(gone), () => driver.find('0123456789abcdef', gone),
    ]) {
      const error = await assert.rejects(call, /./)
      assert.equal((error as { code?: string }).code, 'aborted')
    }
  })
  return t
}

async function failed(promise: Promise<unknown>): Promise<void> {
  const error = await assert.rejects(promise, /./)
  const { code = '' } = error as { code?: string }
  assert.ok(['unreachable', 'timeout'].includes(code), String(error))
}
