// Parsers of what HTCondor prints (test/fixtures/htcondor), and what we say to it.

import { htcondorTongue, submitFile } from '../../node/scheduler/htcondor.ts'
import {
  parseAds, parseCapacity, parseJobs, parseSubmitted, refusalOf,
} from '../../node/scheduler/htcondor-output.ts'
import type { Submission } from '../../node/scheduler/driver.ts'
import { readSubmitFile } from '../fakes/condor-commands/submit-file.ts'
import { evaluate } from '../fakes/condor-commands/class-ads.ts'
import type { Ad } from '../fakes/condor-commands/class-ads.ts'
import { fixture, messages } from '../fixtures/said.ts'
import { assert, suite } from '../harness.ts'

const t = suite('htcondor output')
const tagOf = (digits: string): string => digits.padStart(16, '0')

t('reads jobs, and how each ended', () => {
  const rows = parseJobs(fixture('htcondor', 'condor_q-23.json'))
  const seen = rows?.map(({ jobId, positions, phase, exitCode }) =>
    [jobId, positions?.join(), phase, exitCode])
  assert.equal(seen, [
    ['70', '0', 'running', undefined], ['71', '0', 'exited', 7], ['71', '1', 'exited', 137],
    ['71', '2', 'queued', undefined], ['71', '3', 'held', undefined],
    ['71', '4', 'stuck', undefined], ['71', '5', 'memory', undefined],
    ['71', '6', 'suspended', undefined], ['72', '0', 'walltime', undefined],
    ['73', '0', 'memory', undefined], ['74', '0', 'lost', undefined],
    ['75', '0', 'cancelled', undefined],
    // Marked for removal, and its machine is not rid of it yet.
    ['76', '0', 'running', undefined],
  ])
  assert.equal([rows?.[1]?.cpuMs, rows?.[1]?.memoryBytesPeak, rows?.[1]?.endEpochMs], [
    1_500, 3084 * 1024, 1_795_197_609_000,
  ])
})

t('takes nothing printed for an empty list, and other text for none', () => {
  assert.equal([parseAds(''), parseAds('[\n]\n')], [[], []])
  for (const text of ['-- Failed to fetch ads', '{}', '[3]', '[{']) {
    assert.equal(parseAds(text), undefined, text)
  }
  const odd = { ClusterId: 1, ProcId: 0, JobStatus: 99, GridnodeTranche: tagOf('1') }
  assert.equal(parseJobs(JSON.stringify([odd])), undefined)
})

t('adds up slots once, whether divided or not', () => {
  const capacity = parseCapacity(
    fixture('htcondor', 'condor_status-23.json'), fixture('htcondor', 'condor_schedd-23.json'),
    'condor',
  )
  assert.ok(capacity)
  const { coresTotal, coresFree, tasksQueued, tasksRunning, queues } = capacity
  assert.equal([coresTotal, coresFree, tasksQueued, tasksRunning], [18, 14, 5, 3])
  assert.equal(queues.map(({ name, coresPerNodeMax }) => [name, coresPerNodeMax]), [['condor', 16]])
})

t('reads ids, and tells a refusal from a scheduler that does not answer', () => {
  assert.equal(['12.0 - 12.3\n', '12.0 - 13.3', '1 job(s) submitted'].map(parseSubmitted), [
    '12', undefined, undefined,
  ])
  const reasons = [...messages('htcondor', 'errors-23.txt')]
    .map(([, words]) => refusalOf(words)?.reason)
  assert.equal(reasons, ['full', 'refused', undefined, undefined])
})

const config = { stateDirectory: '/s' }

function submission(changes: Partial<Submission> = {}): Submission {
  return {
    tag: tagOf('ab'), jobName: 'x', command: ['true'], environment: {},
    tasks: [{ taskIndex: 0, directory: '/data/0' }],
    resources: { coresPerTask: 2, memoryBytesPerTask: 1_500_000, walltimeSeconds: 100 },
    ...changes,
  }
}

t('writes a submit description that carries any path, and its own policy', () => {
  const path = `/data/it's "0" $(HOME)/x.sh`
  const text = submitFile(submission({
    resources: {
      coresPerTask: 2, memoryBytesPerTask: 1_500_000, walltimeSeconds: 100, gpusPerTask: 1,
      licences: [{ name: 'matlab', count: 2 }, { name: 'abaqus', count: 1 }],
    },
    tasks: [0, 1, 2].map((taskIndex) => ({ taskIndex, directory: '/data/0' })),
  }), { text: '', path }, { ...config, extraLines: ['accounting_group = grid'] })
  const file = readSubmitFile(text)
  assert.ok(!('fault' in file), text)
  assert.equal([file.count, file.argumentsOf(7, 2)], [3, [path, '2', '7']])
  assert.equal(['request_cpus', 'request_memory', 'request_gpus', 'concurrency_limits']
    .map((name) => file.commands.get(name)), ['2', '2', '1', 'matlab:2,abaqus:1'])
  const removes = (ad: Ad): unknown =>
    evaluate(file.commands.get('periodic_remove') ?? '', { GridnodeStarts: 1, ...ad })
  const now = Math.floor(Date.now() / 1000)
  assert.equal(removes({ JobStatus: 2, JobCurrentStartDate: now, NumJobStarts: 1 }), false)
  assert.equal(removes({ JobStatus: 2, JobCurrentStartDate: now - 200, NumJobStarts: 1 }), true)
  assert.equal(removes({ JobStatus: 1, NumJobStarts: 0 }), false)
  assert.equal(removes({ JobStatus: 1 }), false)
  assert.equal(removes({ JobStatus: 1, NumJobStarts: 1 }), true)
  assert.equal(removes({ JobStatus: 1, NumJobStarts: 1, GridnodeStarts: 1_000_000 }), false)
  assert.equal(removes({ JobStatus: 5, HoldReasonCode: 34 }), true)
  assert.equal(removes({ JobStatus: 5, HoldReasonCode: 1 }), false)
})

t('asks for the jobs of its users alone, and gives leave before it requeues', () => {
  const tongue = htcondorTongue(config)
  const { argv } = tongue.query({ users: ['ann', 'bob'], jobs: [], onlyTag: tagOf('1') })
  assert.ok(argv.includes(
    `GridnodeTranche == "${tagOf('1')}" && (Owner == "ann" || Owner == "bob")`,
  ))
  const { resources } = submission()
  const target = { tag: tagOf('1'), jobId: '12', tasks: 9, resources, positions: [2, 3] }
  assert.equal(tongue.cancel(target)[0]?.argv, ['condor_rm', '12.2', '12.3'])
  assert.equal(tongue.control({ kind: 'requeue' }, target).map(({ argv: words }) => words[0]), [
    'condor_qedit', 'condor_qedit', 'condor_vacate_job',
  ])
})
