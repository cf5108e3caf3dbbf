// Parsers of what LSF prints (test/fixtures/lsf), and what we say to it.

import { submitArguments, lsfTongue } from '../../node/scheduler/lsf.ts'
import {
  endOf, parseAccounting, parseBytes, parseHosts, parseJobs, parseMemory, parseQueues,
  parseRecords, parseSeconds, parseSubmitted, queueCapacity, refusalOf,
} from '../../node/scheduler/lsf-output.ts'
import type { BatchRow } from '../../node/scheduler/batch-tongue.ts'
import type { Submission } from '../../node/scheduler/driver.ts'
import { fixture, messages } from '../fixtures/said.ts'
import { assert, suite } from '../harness.ts'

const t = suite('lsf output')
const tagOf = (digits: string): string => digits.padStart(16, '0')

function short(rows: readonly BatchRow[] | undefined): unknown[] {
  return (rows ?? []).map(({ jobId, positions, phase, exitCode }) =>
    [jobId, positions?.join() ?? 'all', phase, exitCode])
}

t('reads jobs and elements of arrays', () => {
  const rows = parseJobs(fixture('lsf', 'bjobs-10.1.json'))
  assert.equal(short(rows), [
    ['50', 'all', 'running', undefined], ['51', '0', 'exited', 0], ['51', '1', 'exited', 7],
    ['51', '2', 'queued', undefined], ['51', '3', 'held', undefined],
    ['52', 'all', 'walltime', 140], ['53', 'all', 'memory', 137], ['54', 'all', 'cancelled', 130],
    ['55', 'all', 'cancelled', undefined], ['56', 'all', 'suspended', undefined],
    ['57', 'all', 'running', undefined], ['58', 'all', 'cancelled', undefined],
  ])
  assert.equal([rows?.[1]?.cpuMs, rows?.[1]?.memoryBytesPeak], [100, Math.round(5.2 * 2 ** 20)])
  assert.match(rows?.[3]?.reason ?? '', /Job slots/)
})

t('reads JSON after words on waiting, and concludes nothing from other text', () => {
  const words = 'LSF is processing your request. Please wait ...\n'
  assert.equal(parseRecords(`${words}{"COMMAND":"bjobs","JOBS":0,"RECORDS":[]}`), [])
  for (const text of ['', 'No job found', '{"COMMAND":"bjobs"}', '{"RECORDS":[3]}']) {
    assert.equal(parseRecords(text), undefined, text)
  }
  const odd = { JOBID: '1', JOB_NAME: `gn-${tagOf('1')}`, STAT: 'DREAMING' }
  assert.equal(parseJobs(JSON.stringify({ RECORDS: [odd] })), undefined)
  // Some versions name the element in JOBID itself.
  const element = { JOBID: '9[4]', JOB_NAME: `gn-${tagOf('1')}[4]`, STAT: 'RUN' }
  assert.equal(short(parseJobs(JSON.stringify({ RECORDS: [element] }))), [
    ['9', '3', 'running', undefined],
  ])
})

t('knows the termination reasons', () => {
  const ends = [
    'TERM_RUNLIMIT: x', 'TERM_MEMLIMIT: x', 'TERM_OWNER: x', 'TERM_PREEMPT: x', 'TERM_LOAD: x',
    'TERM_UNKNOWN: x', 'TERM_EXTERNAL_SIGNAL: x', 'TERM_ZOMBI: x',
  ].map((reason) => endOf(reason, '1'))
  assert.equal(ends, [
    'walltime', 'memory', 'cancelled', 'cancelled', 'cancelled', 'exited', 'exited', 'lost',
  ])
  assert.equal([endOf('', '7'), endOf('', '')], ['exited', 'cancelled'])
})

t('reads the accounting', () => {
  assert.equal(short(parseAccounting(fixture('lsf', 'bacct-10.1.txt'))), [
    ['60', 'all', 'exited', 0], ['61', '1', 'cancelled', undefined],
    ['62', 'all', 'walltime', undefined],
  ])
  assert.equal(parseAccounting('No matching job found'), [])
})

t('adds up hosts that take jobs, with their memory, and knows the limits of queues', () => {
  const hosts = parseHosts(fixture('lsf', 'bhosts-10.1.json'))
  assert.equal(hosts?.map(({ usable, cores, coresBusy }) => [usable, cores, coresBusy]), [
    [true, 16, 3], [true, 8, 8], [false, 16, 0], [false, 0, 0],
  ])
  const memory = parseMemory(fixture('lsf', 'lshosts-10.1.txt'))
  assert.equal([...memory.values()], [64 * 2 ** 30, 2 ** 31, 0])
  const queues = parseQueues(fixture('lsf', 'bqueues-10.1.txt'))
  assert.equal(queues?.map(({ name, usable, walltimeSecondsMax, slotsWaiting, slotsRunning }) =>
    [name, usable, walltimeSecondsMax, slotsWaiting, slotsRunning]), [
    ['normal', true, 86_400, 4, 10], ['long', true, 366 * 86_400, 0, 2],
    ['night', false, 1_800, 0, 0],
  ])
  assert.equal(parseQueues('no queue'), undefined)
  assert.ok(queues?.[0])
  const { coresTotal, coresFree, coresPerNodeMax, memoryBytesPerNodeMax } =
    queueCapacity(queues[0], hosts ?? [], memory)
  assert.equal([coresTotal, coresFree, coresPerNodeMax, memoryBytesPerNodeMax], [
    24, 13, 16, 64 * 2 ** 30,
  ])
})

t('reads ids, times and sizes', () => {
  assert.equal([
    'Job <12> is submitted to default queue <normal>.', 'Using project x\nJob <7> is submitted to',
    'Job not submitted.',
  ].map(parseSubmitted), ['12', '7', undefined])
  assert.equal(['0.1 second(s)', '00:01:30', '', '-'].map(parseSeconds), [100, 90_000, 0, 0])
  assert.equal(['3 Mbytes', '64G', '2048M', '5 Kbytes', '-'].map(parseBytes), [
    3 * 2 ** 20, 64 * 2 ** 30, 2 ** 31, 5_120, 0,
  ])
})

t('tells a refusal of bsub from a daemon that does not answer', () => {
  const reasons = [...messages('lsf', 'errors-10.1.txt')]
    .filter(([command]) => command.startsWith('bsub'))
    .map(([, words]) => refusalOf(words)?.reason)
  assert.equal(reasons, [
    'queueUnknown', 'tooLarge', 'tooLarge', 'full', 'refused', 'refused', undefined,
  ])
})

function submission(changes: Partial<Submission> = {}): Submission {
  return {
    tag: tagOf('ab'), jobName: "o'brien", command: ['true'], environment: {},
    tasks: [{ taskIndex: 0, directory: '/data/0' }],
    resources: { coresPerTask: 2, memoryBytesPerTask: 1_500_000, walltimeSeconds: 61 },
    ...changes,
  }
}

const script = { text: '', path: "/data/it's 0/x.sh" }
const config = { stateDirectory: '/s' }

t('asks for minutes, slots on one host and memory with its unit', () => {
  const words = submitArguments(submission(), script, config)
  const at = (name: string): string | undefined => words[words.indexOf(name) + 1]
  assert.equal([at('-W'), at('-n'), at('-R'), at('-M'), at('-J')], [
    '2', '2', 'rusage[mem=2MB] span[hosts=1]', '2MB', `gn-${tagOf('ab')}`,
  ])
  assert.equal(words.slice(-2), ['/bin/sh', "'/data/it'\\''s 0/x.sh'"])
  const tasks = [3, 4, 9].map((taskIndex) => ({ taskIndex, directory: `/data/${taskIndex}` }))
  const array = submitArguments(submission({ tasks, queue: 'short' }), script, config)
  assert.ok(array.includes(`gn-${tagOf('ab')}[1-3]`) && array.includes('short'))
  const perSlot = submitArguments(submission(), script, { ...config, memoryPerSlot: true })
  assert.ok(perSlot.includes('rusage[mem=1MB] span[hosts=1]'))
})

t('asks for chunks, processors and licences', () => {
  const resources = {
    coresPerTask: 16, memoryBytesPerTask: 2 ** 32, walltimeSeconds: 60,
    chunks: [
      { nodes: 2, coresPerNode: 4, memoryBytesPerNode: 2 ** 30, gpusPerNode: 2 },
      { nodes: 1, coresPerNode: 8, memoryBytesPerNode: 2 ** 31, gpusPerNode: 0 },
    ],
    licences: [{ name: 'matlab', count: 2 }],
  }
  const words = submitArguments(submission({ resources }), script, config).join(' ')
  assert.match(words, /-n 16 -R 8\*\{rusage\[mem=1024MB\] span\[ptile=4\]\}\+8\*\{rusage/)
  assert.match(words, /-gpu num=2 -R rusage\[matlab=2\] -W 1/)
})

t('counts indexes from 1', () => {
  const tongue = lsfTongue(config)
  const target = { tag: tagOf('1'), jobId: '12', tasks: 9, resources: submission().resources }
  assert.equal(tongue.cancel({ ...target, positions: [0, 1, 2, 7] })[0]?.argv, [
    'bkill', '12[1-3,8]',
  ])
  assert.equal(tongue.control({ kind: 'suspend' }, { ...target, positions: 'all' })[0]?.argv, [
    'bstop', '12[1-9]',
  ])
})
