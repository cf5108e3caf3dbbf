// Parsers of what Grid Engine prints, on output captured from 8.1.9 (test/fixtures/grid-engine).

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  isUnreachable, parseAccounting, parseJobs, parseLimit, parseQueues, parseReasons, parseResident,
  parseSize, parseSubmitted, phaseOf, refusalOf,
} from '../../node/scheduler/grid-engine-output.ts'
import { assert, suite } from '../harness.ts'

const t = suite('grid engine output')
const fixture = (name: string): string =>
  readFileSync(join(import.meta.dirname, '../fixtures/grid-engine', name), 'utf8')
const tagOf = (number: number): string => String(number).padStart(16, '0')

t('reads jobs, array tasks and what is not ours', () => {
  const rows = parseJobs(fixture('qstat.xml'))
  assert.ok(rows)
  const seen = (number: number): unknown[] => rows.filter((row) => row.tag === tagOf(number))
    .map(({ jobId, phase, positions }) => [jobId, phase, positions])
  assert.equal(seen(11), [['6', 'suspended', undefined]])
  assert.equal(seen(12), [
    ['7', 'running', [0]], ['7', 'running', [1]], ['7', 'running', [2]],
    ['7', 'queued', [3, 4, 5, 7, 8]], ['7', 'held', [6]],
  ])
  assert.equal(seen(13), [['8', 'held', undefined]])
  assert.equal(rows.length, 8)
  assert.equal(rows[0]?.startEpochMs, Date.UTC(2026, 10, 20, 18, 46, 10))
})

t('concludes nothing from what is cut off or unknown', () => {
  const whole = fixture('qstat.xml')
  assert.equal(parseJobs(whole.slice(0, whole.length / 2)), undefined)
  assert.equal(parseJobs(''), undefined)
  assert.equal(parseJobs(whole.replace('<state>s</state>', '<state>!</state>')), undefined)
  assert.equal(parseJobs(whole.replace('<tasks>7</tasks>', '<tasks>7-</tasks>')), undefined)
})

t('reads states', () => {
  const states = { r: 'running', t: 'running', Rr: 'running', dr: 'running', qw: 'queued',
    hqw: 'held', Eqw: 'stuck', dEqw: 'stuck', s: 'suspended', S: 'suspended', T: 'suspended',
    Rq: 'queued', hRwq: 'held' }
  for (const [state, phase] of Object.entries(states)) assert.equal(phaseOf(state), phase, state)
  assert.equal(phaseOf('x'), undefined)
})

t('reads how tasks ended from the accounting', () => {
  const rows = parseAccounting(fixture('qacct.txt'))
  const seen = rows.map(({ tag, jobId, positions, phase, exitCode }) =>
    [Number(tag), jobId, positions, phase, exitCode])
  assert.equal(seen, [
    [1, '1', undefined, 'exited', 3],
    [2, '2', [0], 'exited', 1], [2, '2', [1], 'exited', 2], [2, '2', [2], 'exited', 3],
    [3, '3', undefined, 'cancelled', 137],
    // Put back by itself: no end, so it is left out. Then h_rt.
    [4, '4', undefined, 'walltime', 137],
  ])
  assert.match(rows.at(-1)?.reason ?? '', /enforced h_rt/)
  assert.ok(rows.every((row) => row.endEpochMs >= row.startEpochMs && row.startEpochMs > 1.7e12))
  const peaks = rows.map((row) => row.memoryBytesPeak ?? 0)
  assert.ok(peaks.some((bytes) => bytes > 1_000_000), 'a shell takes more than a megabyte')
  assert.equal(parseAccounting('error: no jobs running since startup'), [])
})

t('reads queues, hosts and what waits', () => {
  const seen = parseQueues(fixture('qstat-queues.xml'))
  assert.ok(seen)
  assert.equal([seen.coresTotal, seen.coresFree, seen.nodesTotal], [4, 0, 1])
  assert.equal([seen.tasksRunning, seen.tasksQueued], [4, 9])
  assert.equal(seen.queues.map(({ name, walltimeSecondsMax }) => [name, walltimeSecondsMax]), [
    ['main', 86_400],
  ])
  assert.ok(seen.memoryBytesTotal > 2 ** 30 && seen.memoryBytesFree <= seen.memoryBytesTotal)
  assert.equal(parseQueues(fixture('qstat-queues.xml'), 'other')?.coresTotal, 0)
  const silent = fixture('qstat-queues.xml').replace('<arch>', '<state>au</state><arch>')
  assert.equal(parseQueues(silent)?.coresTotal, 0)
})

t('reads ids, limits and sizes', () => {
  assert.equal(['12\n', 'warning\n12.1-8:1\n', '', 'Your job 12'].map(parseSubmitted), [
    '12', '12', undefined, undefined,
  ])
  assert.equal(['24:00:00', '3600', 'INFINITY', ':30:', 'x'].map(parseLimit), [
    86_400, 3_600, 366 * 86_400, undefined, undefined,
  ])
  assert.equal(['1.5G', '2K', '3k', '7', '4.762KB', '-'].map(parseSize), [
    1.5 * 2 ** 30, 2_048, 3_000, 7, 4_876, undefined,
  ])
  assert.equal(['4.762KB', '4876', '0'].map(parseResident), [4_993_024, 4_993_024, undefined])
})

t('says why a job is stuck', () => {
  assert.equal(parseReasons(fixture('qstat-reasons.txt')).size, 0)
  const text = 'job_number:                 11\nowner: root\n'
    + "error reason          1:      11/20/2026 18:13:17 [0:2]: error: can't chdir to /nosuch\n"
  assert.match(parseReasons(text).get('11') ?? '', /can't chdir to \/nosuch/)
})

t('tells a refusal from a master that does not answer', () => {
  const said = new Map(fixture('errors.txt').split(/^# /m).slice(1).map((part) => {
    const end = part.indexOf('\n')
    return [part.slice(0, end).replace(/ \(\d+\)$/, ''), part.slice(end + 1)]
  }))
  const reason = (name: string): string | undefined => refusalOf(said.get(name) ?? '')?.reason
  assert.equal(reason('unknown queue'), 'queueUnknown')
  assert.equal(reason('too many slots'), 'tooLarge')
  assert.equal(reason('too long'), 'tooLarge')
  assert.equal(reason('too many tasks'), 'tooLarge')
  assert.equal(reason('unknown complex'), 'refused')
  assert.equal(refusalOf(said.get('unknown complex') ?? '')?.words, 'unknown resource "nosuch"')
  for (const name of ['qstat, no master', 'qsub, no master', 'qdel, no master']) {
    const words = said.get(name) ?? ''
    assert.equal([refusalOf(words), isUnreachable(words)], [undefined, true], name)
  }
})
