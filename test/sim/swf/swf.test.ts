// The reader of the Standard Workload Format: everything that real files contain, on a few lines
// and on the logs themselves; which windows are found in them.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { assert, suite } from '../../harness.ts'
import { parseSwf, readSwf } from './swf.ts'
import { offeredLoad, windowAt, workload } from './workload.ts'

const t = suite('workload logs')

const text = `; Version: 2.2
;MaxNodes: 338 (batch partition; 512 total)
; Note: uses the EASY scheduler
; Note: there is more
;
;       a line that only goes on
     15   599850 192180   3477    4     -1    -1    4  53940    -1  1  12  12  -1 -1 -1 -1 -1
     16     0.50     -1  12.25  306 142.00    -1   -1     -1    -1  1  97  -1 307  3 -1 -1 -1
     17       20     -1      0    2     -1    -1    2     60    -1  5   1   1  -1 -1 -1 -1 -1
     18       30     -1     10   -1     -1    -1    8     60    -1  1   1   1  -1 -1 -1 -1 -1
     19       40     -1     -1    2     -1    -1    2     60    -1  5   1   1  -1 -1 -1 -1 -1
     20       50     -1     10   -1     -1    -1   -1     60    -1  1   1   1  -1 -1 -1 -1 -1
     21       -1     -1     10    1     -1    -1    1     60    -1  1   1   1  -1 -1 -1 -1 -1
     22 what is this
`

t('fields, blanks, fractions, what is unknown, and lines that are no jobs', () => {
  const { header, processors, jobs, skipped } = parseSwf(text)
  assert.equal(processors, 338)
  assert.equal(header.get('Note'), ['uses the EASY scheduler', 'there is more'])
  assert.equal(jobs.map(({ number }) => number), [16, 17, 18, 15])
  assert.equal(jobs[0], {
    number: 16, submitSeconds: 0.5, waitSeconds: undefined, runSeconds: 12.25, cores: 306,
    requestedSeconds: undefined, user: 97,
  })
  assert.equal([jobs[1]!.runSeconds, jobs[2]!.cores, jobs[3]!.waitSeconds], [0, 8, 192_180])
  assert.equal([...skipped].sort(([a], [b]) => (a < b ? -1 : 1)), [
    ['no_processors', 1], ['no_run_time', 1], ['no_submit_time', 1], ['not_numbers', 1],
  ])
})

t('no header, more columns than eighteen, other line ends: the largest job is the machine', () => {
  const row = '1 0 -1 10 4 -1 -1 4 20 -1 1 1 1 1 1 -1 -1 -1 77 some.text'
  const { processors, jobs } = parseSwf(`${row}\r\n${row.replace('10 4', '10 6')}\r\n`)
  assert.equal([processors, jobs.length], [6, 2])
  assert.equal(parseSwf('; MaxProcs: 100\n').processors, 100)
})

t('a file is read whether it is compressed or not; one without jobs says so', (ctx) => {
  const path = join(ctx.tmp(), 'log')
  for (const bytes of [Buffer.from(text), gzipSync(text)]) {
    writeFileSync(path, bytes)
    assert.equal(readSwf(path).jobs.length, 4)
  }
  writeFileSync(path, 'nothing of this\n')
  assert.throws(() => readSwf(path), /expected jobs in the Standard Workload Format in .*log/)
})

t('the three logs, as they are', () => {
  const logs = ['KTH-SP2-1996-2.1', 'NASA-iPSC-1993-3.1', 'CTC-SP2-1996-3.1'].map((name) =>
    readSwf(`test/fixtures/traces/${name}-cln.swf.gz`))
  assert.equal(logs.map(({ processors }) => processors), [100, 128, 338])
  assert.equal(logs.map(({ jobs }) => jobs.length), [28_475, 18_239, 77_222])
  assert.equal(logs.map(({ skipped }) => [...skipped]), [[['no_processors', 1]], [], []])
  const [kth, nasa, ctc] = logs.map((log) => {
    const peak = { fromSeconds: windowAt(log, 24, 0), hours: 24 }
    const median = { fromSeconds: windowAt(log, 24, 0.5), hours: 24 }
    assert.ok(offeredLoad(log, peak) > 1.2 * offeredLoad(log, median))
    return workload(log, { name: 'a log', site: 0, window: median })
  })
  // Nobody asks for less than it takes, also where no request is known.
  for (const { jobs } of [kth!, nasa!, ctc!]) {
    assert.ok(jobs.every(({ runMs, walltimeSeconds }) => runMs <= walltimeSeconds * 1_000))
    assert.ok(jobs.every(({ submitMs }) => submitMs >= 0 && submitMs < 86_400_000))
  }
  const window = { fromSeconds: 0, hours: 1 }
  assert.throws(() => workload(logs[0]!, { name: 'KTH', site: 0, window }),
    /KTH has no jobs in the 1 hours from second 0; its jobs come from 599850/)
})
