// A simulated site's answer to a witness: the newest head that is on its disk, with the proofs that
// the witness asked for.

import { formatCheckpoint } from '../../protocol/base/checkpoint.ts'
import { toHex } from '../../protocol/base/crypto.ts'
import type { KeyPair } from '../../protocol/base/crypto.ts'
import { consistencyProof, root } from '../../protocol/base/merkle.ts'
import { signNote } from '../../protocol/base/note.ts'
import type { Effect } from '../../protocol/machine/effects.ts'
import type { MessageOf } from '../../protocol/machine/messages.ts'
import type { LedgerHead } from '../../protocol/rules/ledger-book.ts'
import { nodeKey } from '../../protocol/rules/ledger-book.ts'
import { logOrigin } from '../../protocol/rules/statement.ts'

/** Undefined when the disk is behind what was asked for. */
export function headShown(
  read: (table: string, key: string) => unknown,
  logKey: KeyPair,
  { known, also }: Extract<Effect, { kind: 'showHead' }>,
): MessageOf<'head'> | undefined {
  const head = read('ledgerHead', 'head') as LedgerHead | undefined
  const size = head?.frontier.size ?? 0
  if (!head || Math.max(known, also) > size) return undefined
  const name = logOrigin(head.site, head.federation, head.epoch)
  const text = formatCheckpoint({ origin: name, size, rootHash: root(head.frontier) })
  const nodeAt = (level: number, index: number): Uint8Array =>
    read('ledgerNodes', nodeKey(level, index)) as Uint8Array
  const proofFrom = (from: number): string[] => consistencyProof(from, size, nodeAt).map(toHex)
  return {
    kind: 'head',
    note: signNote(text, { name, key: logKey }),
    from: known,
    proof: proofFrom(known),
    also,
    also_proof: proofFrom(also),
  }
}
