// Parsers of what Slurm prints, on output captured from Slurm 22.05 (test/fixtures/slurm).

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { placeRows } from '../../node/scheduler/batch-rows.ts'
import { failureOf } from '../../node/scheduler/batch-shell.ts'
import {
  parseCompletions, parseCounts, parseExit, parseIndexes, parseJobs, parseNodes, parseSubmitted,
  parseTimeLimit, phaseOf, refusalOf,
} from '../../node/scheduler/slurm-output.ts'
import { assert, suite } from '../harness.ts'

const t = suite('slurm output')
const fixture = (name: string): string =>
  readFileSync(join(import.meta.dirname, '../fixtures/slurm', name), 'utf8')
const tagOf = (digit: number): string => String(digit).padStart(16, '0')

t('reads jobs, arrays and what is not ours', () => {
  const rows = parseJobs(fixture('squeue-mixed.txt'))
  assert.ok(rows)
  const seen = (digit: number): unknown[] => rows.filter((row) => row.tag === tagOf(digit))
    .map(({ phase, exitCode, positions }) => [phase, exitCode, positions?.length])
  assert.equal(seen(1), [['running', 0, undefined]])
  assert.equal(seen(2), [['lost', 143, undefined]])
  assert.equal(seen(3), [
    ['exited', 0, 1], ['exited', 3, 1], ['exited', 137, 1], ['queued', 0, 35],
    ['running', 0, 1], ['running', 0, 1], ['running', 0, 1],
  ])
  assert.equal(seen(4), [['cancelled', 143, undefined]])
  assert.equal(seen(5), [['cancelled', 0, 10]])
  assert.equal(rows.some((row) => row.tag.includes('somebody')), false)
})

t('reads a job that Slurm ended at its walltime', () => {
  const rows = parseJobs(fixture('squeue-timeout.txt'))
  const job = rows?.find((row) => row.tag === tagOf(1))
  assert.equal([job?.phase, job && job.endEpochMs - job.startEpochMs >= 60_000], [
    'walltime', true,
  ])
  // Array tasks that were cancelled while they waited together are gone without a trace.
  const own = rows?.filter((row) => row.tag === tagOf(3)) ?? []
  const array = own.flatMap((row) => row.positions ?? [])
  assert.equal([6, 7, 10, 11, 12, 13].map((index) => array.includes(index)), [
    true, false, false, false, false, true,
  ])
})

t('gives each task its row, also where the row no longer says whose it is', () => {
  const line = (index: string, state: string): string =>
    `11|${index}|${state}|gn-${tagOf(9)}|5|6|0|None|\n`
  const rows = parseJobs(line('N/A', 'CANCELLED') + line('1', 'RUNNING'))
  assert.ok(rows)
  const places = placeRows(rows, '11', 3)
  assert.equal([0, 1, 2].map((place) => places.get(place)?.phase), [
    'cancelled', 'running', 'cancelled',
  ])
  assert.equal(placeRows(rows, '12', 3).size, 0, 'an id that was used again is not ours')
})

t('concludes nothing from a line that it cannot read', () => {
  const tag = tagOf(9)
  for (const line of [
    'slurm is being upgraded', `11|N/A|DREAMING|gn-${tag}|5|6|0|None|`,
    `x|1|RUNNING|gn-${tag}|5|6|0|None|`, `11|1-|RUNNING|gn-${tag}|5|6|0|None|`,
    `11|0-3,...|PENDING|gn-${tag}|5|6|0|None|`,
  ]) {
    assert.equal(parseJobs(line), undefined, line)
  }
})

t('knows every state that squeue documents', () => {
  const states = 'BOOT_FAIL CANCELLED COMPLETED CONFIGURING COMPLETING DEADLINE FAILED NODE_FAIL '
    + 'OUT_OF_MEMORY PENDING PREEMPTED RUNNING RESV_DEL_HOLD REQUEUE_FED REQUEUE_HOLD REQUEUED '
    + 'RESIZING REVOKED SIGNALING SPECIAL_EXIT STAGE_OUT STOPPED SUSPENDED TIMEOUT'
  for (const state of states.split(' ')) assert.ok(phaseOf(state), state)
  assert.equal(phaseOf('CANCELLED by 0'), 'cancelled')
  assert.equal(phaseOf('NOT_A_STATE'), undefined)
})

t('reads lists of array indexes', () => {
  assert.equal(parseIndexes('7'), [7])
  assert.equal(parseIndexes('0-2,9%3'), [0, 1, 2, 9])
  assert.equal(parseIndexes('1-7:3'), [1, 4, 7])
  for (const text of ['', 'a', '1-', '1,,2', '1-3...']) assert.equal(parseIndexes(text), null, text)
})

t('reads exit codes of all forms', () => {
  assert.equal(['0', '768', '9', '0:9', '3:0', '65280'].map(parseExit), [0, 3, 137, 137, 3, 255])
})

t('reads job ids of sbatch', () => {
  assert.equal(['17\n', '17;east\n', '', 'Submitted batch job 17'].map(parseSubmitted), [
    '17', '17', undefined, undefined,
  ])
})

t('reads time limits', () => {
  assert.equal(['30', '30:00', '1:00:00', '1-00:00:00', '2-12', 'infinite'].map(parseTimeLimit), [
    1_800, 1_800, 3_600, 86_400, 216_000, 366 * 86_400,
  ])
  assert.equal(parseTimeLimit('n/a'), undefined)
})

t('adds up nodes once, whatever partitions they are in', () => {
  const seen = parseNodes(fixture('sinfo.txt'))
  assert.ok(seen)
  assert.equal([seen.coresTotal, seen.coresFree], [14, 9])
  assert.equal(seen.memoryBytesTotal, 14 * 2 ** 30)
  assert.equal(seen.queues.map((queue) => [
    queue.name, queue.coresTotal, queue.coresPerNodeMax, queue.walltimeSecondsMax,
  ]), [
    ['short', 6, 4, 1_800], ['main', 14, 8, 86_400], ['endless', 8, 8, 366 * 86_400],
  ])
  const only = parseNodes(fixture('sinfo.txt'), 'endless')
  assert.equal([only?.coresTotal, only?.queues.length], [8, 1])
})

t('counts no node that is down, drained or silent', () => {
  const line = (state: string): string => `n1|main*|${state}|0/4/0/4|4096|0|1:00:00|\n`
  for (const state of ['down', 'drained', 'draining', 'idle*', 'unknown', 'fail']) {
    assert.equal(parseNodes(line(state))?.coresTotal, 0, state)
  }
  assert.equal(parseNodes(line('idle~'))?.coresTotal, 4, 'asleep to save power, Slurm wakes it')
  assert.equal(parseNodes('sinfo: error'), undefined)
})

t('counts what waits and runs', () => {
  assert.equal(parseCounts(fixture('squeue-counts.txt')), { queued: 35, running: 5 })
})

t('finds the last words on a task in the job completion log', () => {
  const tags = new Set([tagOf(1), tagOf(2), tagOf(3)])
  const found = parseCompletions(fixture('jobcomp.txt'), tags)
  const at = (digit: number, position?: number): unknown => {
    const row = found.findLast(({ tag, positions }) =>
      tag === tagOf(digit) && positions?.[0] === position)
    return [row?.phase, row?.exitCode]
  }
  assert.equal(at(1), ['walltime', 0])
  assert.equal((at(2) as unknown[])[0], 'lost')
  assert.equal(at(3, 1), ['exited', 3])
  assert.equal(at(3, 2), ['exited', 137])
  assert.equal(found.some(({ tag }) => tag === tagOf(4)), false, 'not asked for')
})

t('tells a refusal from a scheduler that does not answer', () => {
  const said = new Map(fixture('errors.txt').split(/^# /m).slice(1).map((part) => {
    const end = part.indexOf('\n')
    return [part.slice(0, end), part.slice(end + 1)]
  }))
  const reasons = [...said].map(([command, words]) => [command, refusalOf(words)?.reason])
  assert.equal(reasons.slice(0, 5), [
    ['sbatch -c 50', 'tooLarge'], ['sbatch -p nosuch', 'queueUnknown'],
    ['sbatch -t 20-0', 'tooLarge'],
    ['sbatch --mem=900G', 'tooLarge'], ['sbatch --array=0-200000', 'tooLarge'],
  ])
  const away = [...said].filter(([command]) => command.endsWith('no controller'))
  assert.equal(away.length, 4)
  for (const [command, words] of away) {
    assert.equal([refusalOf(words), failureOf(words)], [undefined, 'unreachable'], command)
  }
  const words = refusalOf(said.get('sbatch -p nosuch') ?? '')?.words ?? ''
  assert.match(words, /invalid partition specified: nosuch/)
  assert.notMatch(words, /sbatch: /)
})
