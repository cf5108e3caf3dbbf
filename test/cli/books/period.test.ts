// Periods: months and days that exist, the last day included.

import { assert, suite } from '../../harness.ts'
import { allTime, parseDay, parsePeriod, periodText } from '../../../cli/books/period.ts'

const t = suite('period')

t('months and days', () => {
  const day = 86_400_000
  const march = parsePeriod('2026-03')
  const { fromEpochMs, untilEpochMs } = march
  assert.equal([fromEpochMs, untilEpochMs], [Date.UTC(2026, 2, 1), Date.UTC(2026, 3, 1)])
  assert.equal(parsePeriod('2025-12').untilEpochMs, Date.UTC(2026, 0, 1))
  const leap = parsePeriod('2024-02-28..2024-02-29')
  assert.equal(leap.untilEpochMs - leap.fromEpochMs, 2 * day)
  assert.equal(periodText(leap), '2024-02-28 to 2024-02-29')
  assert.equal(periodText(march), '2026-03-01 to 2026-03-31')
  assert.equal([parsePeriod(undefined), periodText(allTime)], [allTime, 'all of the ledger'])
  assert.equal(parseDay('1970-01-01'), 0)
})

t('what is no period says what was expected', () => {
  for (const text of [
    '', '2026', '2026-13', '2026-00', '1969-12', '2026-3', '2026-02-29..2026-03-01', 'march',
    '2026-03-01', '2026-03-01..', '2026-03-01..2026-03-02..2026-03-03', '2026-03-01...2026-03-02',
  ]) {
    assert.throws(() => parsePeriod(text), /expected a month such as 2026-03 or days/)
  }
  assert.throws(() => parsePeriod('2026-03-02..2026-03-01'), /2026-03-01 is before 2026-03-02/)
  assert.equal([parseDay('2025-02-29'), parseDay(undefined), parseDay('x')],
    [undefined, undefined, undefined])
})
