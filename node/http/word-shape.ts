// What an operator may have the node say on its ledger, as it comes over the API.

import type { Hash } from '../../protocol/base/ids.ts'
import type { OperatorWord } from '../../protocol/machine/operator-word.ts'
import type { Shaped } from '../../protocol/base/shape.ts'
import {
  amount, hash, integer, oneOf, optional, record, siteName, text, union,
} from '../../protocol/base/shape.ts'

const holdPrefix = text({ bytesMax: 64, pattern: /^[0-9a-f]{4,64}$/ })
const reference = text({ bytesMax: 128, pattern: /^[^\u0000-\u001f\u007f]+$/ })

export const wordShape = union('verb', {
  accept: record({ hold: holdPrefix, amount: optional(amount()) }),
  dispute: record({
    hold: holdPrefix,
    contested: amount(),
    reason: text({ bytesMax: 256, pattern: /^[^\u0000-\u001f\u007f]+$/ }),
    /** Hash of what supports it; '' for nothing. */
    doc: text({ bytesMax: 64, pattern: /^([0-9a-f]{64})?$/ }),
  }),
  offer: record({ hold: holdPrefix, amount: amount() }),
  agree: record({ hold: holdPrefix, amount: optional(amount()) }),
  clause: record({ hold: holdPrefix }),
  ruling: record({ hold: holdPrefix, note: text({ bytesMax: 4_096 }) }),
  forgive_claim: record({ hold: holdPrefix, amount: amount() }),
  forgive_balance: record({ site: siteName(), amount: amount(), reference }),
  rule: record({ hold: hash(), amount: amount() }),
  settle: record({ site: siteName(), amount: amount(), payer: oneOf('us', 'them'), reference }),
  settle_agree: record({ settle: holdPrefix }),
  close: record({ site: siteName(), forgive: integer({ min: 0, max: 1 }) }),
})

export type AskedWord = Shaped<typeof wordShape>

export function operatorWord(asked: AskedWord): OperatorWord {
  if (asked.verb === 'close') return { ...asked, forgive: asked.forgive === 1 }
  if (asked.verb === 'dispute') return { ...asked, doc: asked.doc as Hash | '' }
  return asked
}
