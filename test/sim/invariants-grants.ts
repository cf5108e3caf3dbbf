// I7, from the bytes alone: of an allocation no more is asked for and spent than was granted, at
// every hold in its grantee's own log, and no more is spent than was granted by all logs together,
// over the epochs of a grantee that has lost its disk.

import type { Leaf, Log } from './log-bytes.ts'
import { demand } from './oracle.ts'

interface Spending {
  readonly grant: string
  readonly amount: bigint
  claimed: bigint
  isFinal: boolean
  accepted: bigint
  ended: boolean
}

interface Book {
  readonly holds: Map<string, Spending>
  readonly usages: Map<string, bigint>
  readonly offers: Map<string, { readonly hold: string; readonly amount: bigint }>
}

export function checkGrants(logs: readonly Log[]): void {
  const granted = new Map<string, bigint>()
  for (const { leaves } of logs) {
    for (const { kind, sid, body } of leaves) {
      if (kind === 'grant') granted.set(sid, BigInt(body['amount'] as string))
    }
  }
  const spent = new Map<string, Spending>()
  for (const log of logs) {
    const book = openBook()
    for (const leaf of log.leaves) {
      take(book, leaf)
      const isOurs = leaf.kind === 'hold' && leaf.body['from'] === log.site
      if (isOurs && log.machine.restores === 0) checkHold(log, { book, granted, leaf })
    }
    for (const [sid, hold] of book.holds) {
      const known = spent.get(sid)
      if (!known || known.accepted < hold.accepted) spent.set(sid, hold)
    }
  }
  for (const [grant, amount] of granted) {
    const sum = total(spent.values(), grant, ({ accepted }) => accepted)
    demand(sum <= amount, 'I7', () => `of allocation ${grant} of ${amount} ${sum} are spent`)
  }
}

function openBook(): Book {
  return { holds: new Map(), usages: new Map(), offers: new Map() }
}

function checkHold(
  { site }: Log,
  { book, granted, leaf }: {
    readonly book: Book; readonly granted: ReadonlyMap<string, bigint>; readonly leaf: Leaf
  },
): void {
  const grant = leaf.body['grant'] as string
  if (grant === '') return
  const amount = granted.get(grant) ?? 0n
  const sum = total(book.holds.values(), grant, (one) => one.ended ? one.accepted : one.amount)
  demand(sum <= amount, 'I7', () =>
    `${site} has asked for and spent ${sum} of allocation ${grant}, which has ${amount}`)
}

function total(
  holds: Iterable<Spending>, grant: string, of: (hold: Spending) => bigint,
): bigint {
  let sum = 0n
  for (const hold of holds) if (hold.grant === grant) sum += of(hold)
  return sum
}

function take({ holds, usages, offers }: Book, { kind, sid, body }: Leaf): void {
  const amount = BigInt((body['amount'] ?? '0') as string)
  if (kind === 'hold' && body['grant'] !== '') {
    holds.set(sid, {
      grant: body['grant'] as string, amount, claimed: 0n, isFinal: false, accepted: 0n,
      ended: false,
    })
  }
  const offer = offers.get(body['resolve'] as string)
  const hold = holds.get(offer?.hold ?? body['hold'] as string)
  if (!hold) return
  const accept = (value: bigint, ends: boolean): void => {
    if (value > hold.accepted) hold.accepted = value
    if (ends || (hold.isFinal && hold.accepted >= hold.claimed)) hold.ended = true
  }
  if (kind === 'declined' || kind === 'void') hold.ended = true
  if (kind === 'usage') {
    usages.set(sid, amount)
    hold.claimed = amount
    hold.isFinal ||= body['final'] === 1
    accept(0n, false)
  }
  if (kind === 'accept') accept(amount, body['final'] === 1)
  if (kind === 'dispute') {
    const claim = usages.get(body['usage'] as string) ?? 0n
    accept(claim - BigInt(body['contested'] as string), false)
  }
  if (kind !== 'resolve') return
  if (body['side'] === 'offer') offers.set(sid, { hold: body['hold'] as string, amount })
  if (body['side'] === 'agree' && offer) accept(offer.amount, true)
  if (body['side'] === 'ruling' || body['side'] === 'clause') accept(amount, true)
  if (body['side'] === 'forgive') {
    hold.claimed = amount
    accept(0n, false)
  }
}
