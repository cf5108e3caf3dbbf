// Receipts for a peer: its statements in our log, all under one signed head, as many to a message
// as fit. Invariant: memory is that of one message, however many were asked for.

import type { SiteName } from '../../protocol/base/ids.ts'
import type { ReceiptNumber } from '../../protocol/machine/log-records.ts'
import type { MessageOf } from '../../protocol/machine/messages.ts'
import { receiptsPerMessage } from '../../protocol/machine/messages.ts'
import { numberKey } from '../../protocol/rules/ledger-book.ts'
import type { LiveLog } from './live-log.ts'

/** What is not in our log is left out. Throws what the log throws. */
export async function* receiptMessages(
  log: Pick<LiveLog, 'self' | 'checkpoint' | 'indexOf' | 'receipt'>,
  asked: { readonly to: SiteName, readonly numbers: readonly ReceiptNumber[] },
): AsyncGenerator<MessageOf<'receipts'>, undefined> {
  const { note } = await log.checkpoint()
  let proofs: MessageOf<'receipts'>['proofs'][number][] = []
  for (const { e, n } of asked.numbers) {
    const index = await log.indexOf(numberKey(asked.to, log.self, { e, n }))
    const proof = index === undefined ? undefined : await log.receipt(index, note)
    if (proof !== undefined) proofs.push({ e, n, proof })
    if (proofs.length < receiptsPerMessage) continue
    yield { kind: 'receipts', proofs }
    proofs = []
  }
  if (proofs.length > 0) yield { kind: 'receipts', proofs }
}
