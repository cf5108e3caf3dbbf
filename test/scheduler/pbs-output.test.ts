// Parsers of what OpenPBS and Torque print (test/fixtures/openpbs, test/fixtures/torque), and what
// we say to them.

import { pbsTongue, submitArguments as pbsArguments } from '../../node/scheduler/pbs.ts'
import {
  exitOf, parseBytes, parseDate, parseId, parseIndexes, parsePbsJson, parseSeconds, pbsNodes,
  pbsQueues, pbsRefusal, pbsRows, queueCapacity,
} from '../../node/scheduler/pbs-output.ts'
import { submitArguments as torqueArguments } from '../../node/scheduler/torque.ts'
import {
  parseData, torqueNodes, torqueQueues, torqueRows,
} from '../../node/scheduler/torque-output.ts'
import type { BatchRow } from '../../node/scheduler/batch-tongue.ts'
import type { Submission } from '../../node/scheduler/driver.ts'
import { fixture, messages } from '../fixtures/said.ts'
import { assert, suite } from '../harness.ts'

const t = suite('pbs and torque output')
const tagOf = (digits: string): string => digits.padStart(16, '0')

function short(rows: readonly BatchRow[] | undefined): unknown[] {
  return (rows ?? []).map(({ jobId, positions, phase, exitCode }) =>
    [jobId, positions?.join() ?? 'all', phase, exitCode])
}

t('reads jobs, arrays and subjobs of OpenPBS, and leaves out what is not ours', () => {
  const jobs = parsePbsJson(fixture('openpbs', 'qstat-23.06.json'), 'Jobs')
  const rows = jobs && pbsRows(jobs)
  assert.equal(short(rows), [
    ['20', 'all', 'running', undefined], ['21', '4,5,6', 'queued', undefined],
    ['21', '0', 'exited', 7], ['21', '1', 'cancelled', undefined],
    ['21', '2', 'exited', undefined], ['21', '3', 'suspended', undefined],
    ['22', 'all', 'held', undefined],
  ])
  assert.equal(rows?.[0]?.startEpochMs, Date.UTC(2026, 10, 20, 18, 1, 5))
  assert.equal([rows?.[2]?.tag, rows?.[2]?.endEpochMs], [
    tagOf('21'), Date.UTC(2026, 10, 20, 18, 0, 30),
  ])
})

t("reads the server's history: how each job ended", () => {
  const jobs = parsePbsJson(fixture('openpbs', 'qstat-x-23.06.json'), 'Jobs')
  const rows = jobs && pbsRows(jobs)
  assert.equal(short(rows), [
    ['30', 'all', 'exited', 0], ['31', '0', 'exited', 137], ['32', 'all', 'walltime', undefined],
    ['33', 'all', 'memory', undefined], ['34', 'all', 'cancelled', 143],
    ['35', 'all', 'lost', undefined],
  ])
  assert.equal([rows?.[0]?.cpuMs, rows?.[0]?.memoryBytesPeak], [3_000, 3084 * 1024])
})

t('concludes nothing from what it cannot read', () => {
  for (const text of ['', 'upgrade', '{', '[]', '{"Jobs":{}}', '{"pbs_version":"1","Jobs":[]}']) {
    assert.equal(parsePbsJson(text, 'Jobs'), undefined, text)
  }
  assert.equal(parsePbsJson('{"pbs_version":"1"}', 'Jobs'), [])
  const odd = `{"pbs_version":"1","Jobs":{"1.h":{"Job_Name":"gn-${tagOf('1')}","job_state":"?"}}}`
  assert.equal(pbsRows(parsePbsJson(odd, 'Jobs') ?? []), undefined)
})

t('reads numbers, times, sizes and ids of PBS', () => {
  assert.equal(['12.h', '12[].h', '12[3].h', '12', 'x.h', ''].map(parseId), [
    { number: '12', index: undefined, array: false },
    { number: '12', index: undefined, array: true },
    { number: '12', index: 3, array: true },
    { number: '12', index: undefined, array: false },
    undefined, undefined,
  ])
  assert.equal(['0-3,7', '1-7:3', '-', 'a', '1-'].map(parseIndexes), [
    [0, 1, 2, 3, 7], [1, 4, 7], [], null, null,
  ])
  assert.equal(['5', '01:05', '1:00:00', 'x'].map(parseSeconds), [5, 65, 3_600, undefined])
  assert.equal(['3kb', '2mb', '1gb', '8', '2w', 'x'].map(parseBytes), [
    3_072, 2 ** 21, 2 ** 30, 8, 16, undefined,
  ])
  assert.equal(parseDate('Sun Nov  1 01:02:03 2026'), Date.UTC(2026, 10, 1, 1, 2, 3))
  assert.equal([0, 255, 271, 265, -29, -27, -1, -11].map((status) => exitOf(status).phase), [
    'exited', 'exited', 'exited', 'exited', 'walltime', 'memory', 'lost', 'lost',
  ])
})

t('adds up the nodes of a queue, and none that is down', () => {
  const nodes = pbsNodes(parsePbsJson(fixture('openpbs', 'pbsnodes-23.06.json'), 'nodes') ?? [])
  assert.equal(nodes.map((node) => [node.name, node.usable, node.cores, node.coresBusy]), [
    ['n1', true, 16, 3], ['n2', true, 32, 32], ['n3', false, 16, 0],
  ])
  const text = fixture('openpbs', 'qstat-queues-23.06.json')
  const queues = pbsQueues(parsePbsJson(text, 'Queue') ?? [])
  assert.equal(queues.map(({ name, usable, queued }) => [name, usable, queued]), [
    ['workq', true, 5], ['big', true, 0], ['route', false, 0], ['closed', false, 2],
  ])
  const seen = queues.slice(0, 2).map((queue) => queueCapacity(queue, nodes))
  assert.equal(seen.map(({ coresTotal, coresFree, coresPerNodeMax, walltimeSecondsMax }) =>
    [coresTotal, coresFree, coresPerNodeMax, walltimeSecondsMax]), [
    [16, 13, 8, 86_400], [48, 13, 32, 366 * 86_400],
  ])
})

t('tells a refusal of qsub from a server that does not answer', () => {
  const reasons = (scheduler: string, name: string): unknown[] =>
    [...messages(scheduler, name)].filter(([command]) => command.startsWith('qsub'))
      .map(([, words]) => pbsRefusal(words)?.reason)
  assert.equal(reasons('openpbs', 'errors-23.06.txt'), [
    'queueUnknown', 'tooLarge', 'tooLarge', 'full', 'full', 'refused', 'refused', undefined,
    undefined,
  ])
  assert.equal(reasons('torque', 'errors-6.1.txt'), [
    'queueUnknown', 'tooLarge', 'full', 'refused', undefined,
  ])
})

t('reads the XML of Torque', () => {
  const rows = torqueRows(fixture('torque', 'qstat-6.1.xml'))
  assert.equal(short(rows), [
    ['40', 'all', 'running', undefined], ['41', '0', 'exited', 3], ['41', '1', 'queued', undefined],
    ['41', '2', 'held', undefined], ['42', 'all', 'walltime', undefined],
    ['43', 'all', 'memory', undefined], ['44', 'all', 'cancelled', 143],
    ['45', 'all', 'cancelled', undefined], ['46', 'all', 'exited', 137],
    ['47', 'all', 'lost', undefined],
  ])
  assert.equal([rows?.[1]?.startEpochMs, rows?.[1]?.endEpochMs, rows?.[1]?.cpuMs], [
    1_795_197_600_000, 1_795_197_609_000, 7_000,
  ])
  assert.equal([parseData('', 'Job'), parseData('<Data></Data>', 'Job')], [[], []])
  for (const text of ['qstat: error', '<Data>', '<Data><Job></Data>', '<Data>x</Data>']) {
    assert.equal(parseData(text, 'Job'), undefined, text)
  }
})

t('reads the nodes and queues of Torque', () => {
  const nodes = torqueNodes(fixture('torque', 'pbsnodes-6.1.xml'))
  assert.equal(nodes?.map(({ usable, cores, coresBusy, jobs }) =>
    [usable, cores, coresBusy, jobs.length]), [
    [true, 8, 3, 2], [true, 4, 4, 3], [false, 8, 0, 0],
  ])
  const queues = pbsQueues(torqueQueues(fixture('torque', 'qstat-queues-6.1.txt')))
  assert.equal(queues.map(({ name, usable, walltimeSecondsMax, coresMax, queued }) =>
    [name, usable, walltimeSecondsMax, coresMax, queued]), [
    ['batch', true, 172_800, 8, 3], ['drain', false, 366 * 86_400, Infinity, 0],
  ])
})

const config = { stateDirectory: '/s' }
const script = { text: '', path: '/data/0/.gridnode/x.sh' }

function submission(changes: Partial<Submission> = {}): Submission {
  return {
    tag: tagOf('ab'), jobName: 'x', command: ['true'], environment: {},
    tasks: [{ taskIndex: 0, directory: '/data/0' }],
    resources: { coresPerTask: 2, memoryBytesPerTask: 1_500_000, walltimeSeconds: 61 },
    ...changes,
  }
}

const two = [3, 5].map((taskIndex) => ({ taskIndex, directory: `/data/${taskIndex}` }))
const chunks = [
  { nodes: 2, coresPerNode: 4, memoryBytesPerNode: 2 ** 30, gpusPerNode: 1 },
  { nodes: 1, coresPerNode: 8, memoryBytesPerNode: 2 ** 31, gpusPerNode: 0 },
]

t('asks OpenPBS for chunks, licences and arrays in its words', () => {
  const plain = pbsArguments(submission(), config).join(' ')
  assert.match(plain, /-r n -l select=1:ncpus=2:mem=2mb -l walltime=61$/)
  const resources = {
    coresPerTask: 16, memoryBytesPerTask: 2 ** 32, walltimeSeconds: 3_600, chunks,
    licences: [{ name: 'matlab', count: 2 }],
  }
  const large = pbsArguments(submission({ resources, tasks: two, queue: 'big' }), {
    ...config, extraArguments: ['-A', 'grid'],
  }).join(' ')
  assert.match(large, /select=2:ncpus=4:mem=1024mb:ngpus=1\+1:ncpus=8:mem=2048mb/)
  assert.match(large, /-l place=scatter -l walltime=3600 -l matlab=2 -q big -J 0-1 -A grid$/)
  // Of an array PBS demands that it may be run again.
  assert.match(large, / -r y /)
})

t('asks Torque for the same in its own', () => {
  const resources = {
    coresPerTask: 16, memoryBytesPerTask: 2 ** 32, walltimeSeconds: 3_600, chunks,
  }
  const words = torqueArguments(submission({ resources, tasks: two }), script, config).join(' ')
  assert.match(words, /-l nodes=2:ppn=4:gpus=1\+1:ppn=8 -l mem=4096mb -l walltime=3600 -t 0-1$/)
  assert.match(words, /-o \/data\/0\/\.gridnode\/torque /)
  assert.match(torqueArguments(submission(), script, config).join(' '), /-o \/dev\/null /)
})

t('names jobs, arrays and some subjobs', () => {
  const tongue = pbsTongue(config)
  const { resources } = submission()
  const target = { tag: tagOf('1'), jobId: '12', tasks: 9, resources }
  const words = (positions: readonly number[] | 'all'): unknown =>
    tongue.cancel({ ...target, positions })[0]?.argv
  assert.equal(words('all'), ['qdel', '12[]'])
  assert.equal(words([0, 1, 2, 7]), ['qdel', '12[0-2]', '12[7]'])
  assert.equal(tongue.cancel({ ...target, tasks: 1, positions: [0] })[0]?.argv, ['qdel', '12'])
  const hold = (allSuited: boolean): unknown => tongue.control({ kind: 'hold' }, {
    ...target, positions: [3], ...(allSuited ? { allSuited } : {}),
  })[0]?.argv
  assert.equal([hold(true), hold(false)], [
    ['qhold', '-h', 'u', '12[]'], ['qhold', '-h', 'u', '12[3]'],
  ])
})
