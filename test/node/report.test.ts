// The structured log: shape of its lines, secrets, bounds and rate.

import { assert, suite } from '../harness.ts'
import type { ReportOptions } from '../../node/report.ts'
import { createReport, isoTime } from '../../node/report.ts'

function open(options: Partial<ReportOptions> = {}) {
  const lines: string[] = []
  const time = { epochMs: Date.UTC(2026, 10, 20, 12, 4, 31, 123) }
  const report = createReport({
    sink: { write: (line) => lines.push(line) },
    level: 'info',
    readable: false,
    linesPerSecondMax: 100,
    now: () => time.epochMs,
    ...options,
  })
  return { lines, time, report }
}

const t = suite('report')

t('writes one JSON line an event', () => {
  const { lines, report } = open()
  report.with({ part: 'net' }).info('a peer\nis up', {
    site: 'site-b', level: 'mine', amount: 12n, bytes: new Uint8Array(3), of: new Map([['a', 1]]),
  })
  report.debug('not shown')
  assert.equal(lines.length, 1)
  assert.ok(lines[0]?.endsWith('\n'))
  assert.equal(JSON.parse(lines[0] ?? ''), {
    at: '2026-11-20T12:04:31.123Z', level: 'info', text: 'a peer\nis up', part: 'net',
    site: 'site-b', level_: 'mine', amount: '12', bytes: '[3 bytes]', of: { a: 1 },
  })
})

t('writes readable lines without control characters', () => {
  const { lines, report } = open({ readable: true })
  report.warn('hello\u001b[31m\nthere', { site: 'site-b', note: 'two words\r\n', count: 3 })
  assert.equal(lines, ['12:04:31.123 warn: hello [31m there site=site-b ' +
    'note="two words\\r\\n" count=3\n'])
})

t('keeps secrets', () => {
  const { lines, report } = open()
  const seed = 'ab'.repeat(32)
  report.conceal(seed)
  report.info(`the seed ${seed}`, {
    networkSecret: 'x', token: 'y', nested: { password: 'z', text: `in ${seed}` },
    line: 'use gridnode-join-v1.eyJhIjoxfQ now', error: new Error(`bad ${seed}`),
  })
  const text = lines.join('')
  for (const secret of [seed, 'eyJhIjoxfQ', '"x"', '"y"', '"z"']) assert.notMatch(text, secret)
  assert.match(text, 'the seed [secret]')
})

t('bounds lines, fields and depth', () => {
  const { lines, report } = open()
  const loop: Record<string, unknown> = {}
  loop['loop'] = loop
  const many = Array.from({ length: 1_000 }, () => 'y'.repeat(5_000))
  report.info('x'.repeat(100_000), { loop, many })
  report.info('fine', { fn: () => 1, not: Number.NaN })
  assert.ok((lines[0]?.length ?? 0) < 20_000)
  assert.equal(JSON.parse(lines[0] ?? '').fields, 'too long')
  assert.equal(JSON.parse(lines[1] ?? '').not, 'NaN')
})

t('leaves out what is too much, and says how much that was', () => {
  const { lines, time, report } = open({ linesPerSecondMax: 10 })
  for (let i = 0; i < 50; i++) report.info(`line ${i}`)
  assert.equal(lines.length, 10)
  time.epochMs += 1_000
  report.info('again')
  assert.equal(lines.slice(10).map((line) => JSON.parse(line).text),
    ['log lines were left out', 'again'])
  assert.equal(JSON.parse(lines[10] ?? '').lines, 40)
  assert.equal(report.counters(), { debug: 0, info: 51, warn: 0, error: 0, left_out: 40 })
})

t('never waits for the reader and never throws', () => {
  const stuck = open({ sink: { write: () => true, writableLength: 2 ** 30 } })
  stuck.report.error('x')
  assert.equal(stuck.report.counters()['left_out'], 1)
  const broken = open({ sink: { write: () => { throw new Error('EPIPE') } } })
  broken.report.error('x')
  assert.equal(broken.report.counters()['left_out'], 1)
})

t('tells the time as the platform does', () => {
  for (let day = 0; day < 200_000; day += 37) {
    const epochMs = day * 86_400_000 + ((day * 7_919_131) % 86_400_000)
    assert.equal(isoTime(epochMs), new Date(epochMs).toISOString())
  }
})
