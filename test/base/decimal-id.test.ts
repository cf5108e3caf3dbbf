// Ids of jobs in base ten: both ways, over the whole range.

import { decimalOf, jobOfDecimal } from '../../protocol/base/decimal-id.ts'
import { assert, suite } from '../harness.ts'

const t = suite('decimal ids')

t('go both ways, at the ends of the range too', () => {
  for (const id of ['000000000000', '000000000001', '3f2a91c0b7d4', 'ffffffffffff']) {
    const decimal = decimalOf(id)
    assert.match(decimal, /^(0|[1-9][0-9]{0,14})$/)
    assert.equal(jobOfDecimal(decimal), id)
  }
  assert.equal(decimalOf('ffffffffffff'), '281474976710655')
})

t('what no job can have is no id', () => {
  for (const text of ['', '-1', '1.0', '01', ' 1', '1e3', '281474976710656', '9'.repeat(16)]) {
    assert.equal(jobOfDecimal(text), undefined)
  }
})
