// What a log's statements come to, a second time and in the plainest way: from the texts alone,
// without the rules. Ended holds are forgotten in memory, never in the log.

import type { Sid } from '../../protocol/base/ids.ts'
import type { PairStatement } from '../../protocol/rules/statement.ts'
import { parseStatement } from '../../protocol/rules/statement.ts'

export interface HoldSum {
  readonly home: string
  readonly host: string
  /** What pays: an allocation, or '' for credit. */
  readonly grant: string
  /** Tasks of its newest usage. */
  tasks: number
  coreSeconds: number
  accepted: bigint
}

/** Every hold of a log by its sid, with the most that was ever accepted of it. */
export function holdSums(notes: Iterable<string>): Map<Sid, HoldSum> {
  const sums = new Map<Sid, HoldSum>()
  const usages = new Map<Sid, bigint>()
  const offers = new Map<Sid, { readonly hold: Sid; readonly amount: bigint }>()
  const raise = (hold: Sid, amount: bigint): void => {
    const sum = sums.get(hold)
    if (sum && amount > sum.accepted) sum.accepted = amount
  }
  for (const note of notes) {
    const parsed = parseStatement(note)
    if (!parsed.ok) continue
    const { sid } = parsed.value
    const said = parsed.value.statement as PairStatement
    if (said.kind === 'hold') {
      const { from: home, to: host, grant } = said
      sums.set(sid, { home, host, grant, tasks: 0, coreSeconds: 0, accepted: 0n })
    } else if (said.kind === 'usage') {
      usages.set(sid, said.amount)
      const sum = sums.get(said.hold)
      if (!sum) continue
      sum.tasks = Math.max(sum.tasks, said.tasks)
      sum.coreSeconds = Math.max(sum.coreSeconds, said.core_s)
    } else if (said.kind === 'accept') raise(said.hold, said.amount)
    else if (said.kind === 'dispute') raise(said.hold, usages.get(said.usage)! - said.contested)
    else if (said.kind === 'resolve') {
      if (said.side === 'offer') offers.set(sid, said)
      if (said.side === 'ruling') raise(said.hold, said.amount)
      const agreed = said.side === 'agree' ? offers.get(said.resolve) : undefined
      if (agreed) raise(agreed.hold, agreed.amount)
    }
  }
  return sums
}
