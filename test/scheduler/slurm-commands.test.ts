// What we say to Slurm, and that the batch script does to any word and directory what a shell must.

import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  batchScript, claimedElsewhereCode, formatIndexes, quote,
} from '../../node/scheduler/batch-script.ts'
import {
  cancelArguments, slurmScript, submitArguments,
} from '../../node/scheduler/slurm-commands.ts'
import type { Submission } from '../../node/scheduler/driver.ts'
import { run } from '../../node/scheduler/exec.ts'
import { readEnd } from '../../node/scheduler/supervisor.ts'
import { assert, suite } from '../harness.ts'

const t = suite('slurm commands')
const tag = '00000000000000ab'
const timeoutMs = 30_000

function submission(changes: Partial<Submission> = {}): Submission {
  return {
    tag, jobName: "o'brien; rm", command: ['true'], environment: {},
    tasks: [{ taskIndex: 0, directory: '/x/0' }],
    resources: { coresPerTask: 2, memoryBytesPerTask: 1_500_000, walltimeSeconds: 61 },
    ...changes,
  }
}

t('asks for what a task needs, rounded up to what Slurm counts', () => {
  const extraArguments = ['--account=grid']
  const options = { partition: 'main', extraArguments }
  const words = submitArguments(submission(), options)
  for (const word of [
    '--job-name=gn-00000000000000ab', '--cpus-per-task=2', '--mem=2M', '--time=2', '--no-requeue',
    '--export=ALL', '--partition=main', '--account=grid',
    '--comment=gridnode 00000000000000ab o_brien_ rm',
  ]) {
    assert.ok(words.includes(word), word)
  }
  assert.ok(!words.some((word) => word.startsWith('--array')))
  const tasks = [4, 7, 9].map((taskIndex) => ({ taskIndex, directory: `/x/${taskIndex}` }))
  const array = submitArguments(submission({ tasks, queue: 'short' }), options)
  assert.ok(array.includes('--array=0-2') && array.includes('--partition=short'))
})

t('names array indexes shortly', () => {
  assert.equal(formatIndexes([7, 0, 2, 1, 9, 10]), '0-2,7,9-10')
  assert.equal(cancelArguments('12', [3, 4]), ['12_[3-4]'])
  assert.equal(cancelArguments('12', 'all'), ['12'])
})

t('quotes any word for a shell', async () => {
  const words = ["it's", '$HOME `id` "x"', 'a\nb', '', '*', '-n', '~', '\\', "''"]
  const script = `printf '%s|' ${words.map(quote).join(' ')}`
  const { stdout } = await run(['sh', '-c', script], { timeoutMs })
  assert.equal(stdout, words.map((word) => `${word}|`).join(''))
})

t('runs the right task in the right place, once', async (ctx) => {
  const root = ctx.tmp()
  const tasks = [3, 8].map((taskIndex) =>
    ({ taskIndex, directory: join(root, `it's $${taskIndex}`) }))
  for (const { directory } of tasks) mkdirSync(directory)
  const environment = { COLOUR: "red 'and' $blue\nnext" }
  const print = 'printf "%s,%s,%s,%s" "$GRIDNODE_TASK_ID" "$GRIDNODE_TRANCHE" "$COLOUR" "$1"'
  const command = ['sh', '-c', `${print}; echo no >&2; exit 5`, 'name', "an 'argument'"]
  const script = batchScript(submission({ tasks, environment, command }), slurmScript, {
    graceSeconds: 1, hintPath: join(root, 'hint'),
  })
  const env = {
    PATH: process.env['PATH'] ?? '',
    SLURM_JOB_ID: '71', SLURM_ARRAY_JOB_ID: '70', SLURM_ARRAY_TASK_ID: '1',
  }
  const first = await run(['sh', '-s'], { timeoutMs, input: script, env })
  assert.equal(first, { code: 5, stdout: '', stderr: '' })
  const own = join(root, "it's $8", '.gridnode')
  const expected = `8,${tag},${environment.COLOUR},an 'argument'`
  assert.equal(readFileSync(join(own, 'stdout'), 'utf8'), expected)
  assert.equal(readFileSync(join(own, 'stderr'), 'utf8'), 'no\n')
  assert.equal(readFileSync(join(own, `${tag}.start`), 'utf8'), 'start 70\n')
  const end = readEnd(join(own, tag))
  assert.equal([end?.how, end?.exitCode], ['exited', 5])
  assert.equal(readFileSync(join(root, 'hint'), 'utf8'), '\n')
  const second = await run(['sh', '-s'], { timeoutMs, input: script, env })
  assert.equal(second.code, claimedElsewhereCode)
  assert.equal(readFileSync(join(own, 'stdout'), 'utf8'), expected)
})

t('keeps the walltime to the second and says so', async (ctx) => {
  const directory = ctx.tmp()
  const script = batchScript(submission({
    tasks: [{ taskIndex: 0, directory }], command: ['sleep', '100'],
    resources: { coresPerTask: 1, memoryBytesPerTask: 0, walltimeSeconds: 1 },
  }), slurmScript, { graceSeconds: 1, hintPath: '/no/such/directory/hint' })
  const env = { PATH: process.env['PATH'] ?? '', SLURM_JOB_ID: '71' }
  const { code, stderr } = await run(['sh', '-s'], { timeoutMs, input: script, env })
  assert.equal([code, stderr], [143, ''])
  const end = readEnd(join(directory, '.gridnode', tag))
  assert.equal([end?.how, end?.exitCode], ['walltime', 143])
  assert.ok((end?.durationMs ?? 0) >= 1_000)
})
