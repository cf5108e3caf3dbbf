// The answer to a witness: our newest head, signed behind the mark, with proofs that it continues
// the heads that the witness holds.

import { toHex } from '../../protocol/base/crypto.ts'
import type { MessageOf } from '../../protocol/machine/messages.ts'
import type { LiveLog, SignedHead } from './live-log.ts'

/**
 * Of `signed`, or of the newest head. Throws what the log throws; sizes are at most that of the
 * newest head, 0 for none.
 */
export async function headMessage(
  log: LiveLog,
  held: { readonly known: number, readonly also: number },
  signed?: SignedHead,
): Promise<MessageOf<'head'>> {
  const { head, note } = signed ?? await log.checkpoint()
  const to = head.frontier.size
  const proofFrom = async (from: number): Promise<string[]> =>
    (await log.consistencyProof({ from, to })).map(toHex)
  return {
    kind: 'head',
    note,
    from: held.known,
    proof: await proofFrom(held.known),
    also: held.also,
    also_proof: await proofFrom(held.also),
  }
}

/** The size of a head that we signed and whose root our tree does not have; undefined if none. */
export async function deniedHead(
  log: Pick<LiveLog, 'rootAt'>, roots: readonly { readonly size: number, readonly root: string }[],
): Promise<number | undefined> {
  for (const { size, root } of roots) {
    if (toHex(await log.rootAt(size)) !== root) return size
  }
  return undefined
}
