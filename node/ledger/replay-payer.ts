// Replays of homes whose allocations pay: the whole log of the home, read from its node, under the
// ledger's own rules. What was replayed is kept, so the next hold costs only what is new.
// Invariants: one replay of a home at a time; a fault that is found from the first entry on refuses
// the home until the node is started again; what is in memory is the homes' open books, not their
// logs, and is bounded whatever they write.

import { fromHex, sameBytes } from '../../protocol/base/crypto.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { limits } from '../../protocol/base/limits.ts'
import { decodeBundle, tilePath, tileWidth } from '../../protocol/base/tiles.ts'
import type { Replay } from '../../protocol/rules/audit.ts'
import { openReplay } from '../../protocol/rules/audit.ts'
import { unclosed } from '../../protocol/rules/audit-pairs.ts'
import { checkNow } from '../../protocol/rules/ledger-entry.ts'
import type { Network } from '../net/door.ts'
import { remoteLog } from './remote-log.ts'

export interface Replayed {
  readonly holds: boolean
  readonly detail: string
}

export interface PayerReplays {
  /** Up to a head that was proven to the caller. Throws when the home's log cannot be read now. */
  upTo(
    home: SiteName, head: PayerHead, signal: AbortSignal,
  ): Promise<Replayed>
}

export interface PayerHead {
  readonly size: number
  /** Hexadecimal. */
  readonly root: string
  /** The home's. */
  readonly epoch: number
  /** Who must have closed the home's sequence of before that epoch. */
  readonly closedBy: readonly SiteName[]
}

export interface PayerBounds {
  /** Records in the books of one home, and of all that are kept. */
  readonly recordsMax: number
  readonly allRecordsMax: number
}

export const payerBounds: PayerBounds = { recordsMax: 500_000, allRecordsMax: 1_000_000 }

const bundleBytesMax = tileWidth * (2 + limits.statementBytes)
/** Homes whose books are kept; the one that was asked for longest ago goes first. */
const homesMax = 64

interface Kept {
  readonly replay: Replay
  /** The tables of its book. */
  readonly tables: readonly { readonly size: number }[]
  /** Roots at sizes that were asked for, newest last. */
  roots: readonly { readonly size: number, readonly root: Uint8Array }[]
  fault: string
}

function fresh(home: SiteName): Kept {
  const tables: Map<string, unknown>[] = []
  const recordsOf = (): Map<string, unknown> => {
    const table = new Map<string, unknown>()
    tables.push(table)
    return table
  }
  return { replay: openReplay(home, checkNow, { recordsOf }), tables, roots: [], fault: '' }
}

function recordsIn({ tables }: Kept): number {
  return tables.reduce((sum, { size }) => sum + size, 0)
}

export function openPayerReplays(
  network: Pick<Network, 'fetch'>, bounds: PayerBounds = payerBounds,
): PayerReplays {
  const kept = new Map<SiteName, Kept>()
  const tails = new Map<SiteName, Promise<unknown>>()
  const keep = (home: SiteName, one: Kept): Kept => {
    kept.delete(home)
    kept.set(home, one)
    let all = [...kept.values()].reduce((sum, each) => sum + recordsIn(each), 0)
    for (const [oldest, each] of kept) {
      if (oldest === home || (kept.size <= homesMax && all <= bounds.allRecordsMax)) break
      kept.delete(oldest)
      all -= recordsIn(each)
    }
    return one
  }
  const replay = async (asked: Asked): Promise<Replayed> => {
    const { home } = asked
    const before = kept.get(home)
    const known = keep(home, before ?? fresh(home))
    const isContinued = known.replay.head().size > 0 && known.fault === ''
    const found = await replayed(network, known, asked)
    if (!isContinued || found.holds || !found.isOther) return found
    // What a home has lost in a restore stands in our replay, and not in its log: from the start.
    return replayed(network, keep(home, fresh(home)), asked)
  }
  return {
    upTo(home, head, signal) {
      const recordsMax = bounds.recordsMax
      const turn = (tails.get(home) ?? Promise.resolve()).catch(() => undefined)
        .then(() => replay({ home, head, signal, recordsMax }))
        .then(({ holds, detail }) => ({ holds, detail }))
      tails.set(home, turn)
      return turn
    },
  }
}

interface Asked {
  readonly home: SiteName
  readonly head: PayerHead
  readonly signal: AbortSignal
  readonly recordsMax: number
}

/** `isOther`: the log that was replayed before may be another than this one. */
type Found = Replayed & { readonly isOther: boolean }

async function replayed(
  network: Pick<Network, 'fetch'>, known: Kept, { home, head, signal, recordsMax }: Asked,
): Promise<Found> {
  const { replay } = known
  const log = remoteLog(network, home, { signal })
  while (known.fault === '' && replay.head().size < head.size) {
    const from = replay.head().size
    const index = (from - (from % tileWidth)) / tileWidth
    const width = Math.min(tileWidth, head.size - index * tileWidth)
    const path = tilePath({ level: 'entries', index, width })
    const bytes = await log.read(path, bundleBytesMax)
    const bundle = bytes && decodeBundle(bytes, width)
    if (!bundle?.ok) {
      const pruned = bytes ? undefined : await log.read('pruned', 32)
      const detail = pruned
        ? `${home} has dropped its entries below ${Buffer.from(pruned).toString().trim()}: what `
          + 'its allocations were spent on cannot be replayed any more'
        : `${home} does not give ${path} of its log`
      return refused(detail)
    }
    for (const entry of bundle.value.slice(from - index * tileWidth)) {
      const [fault] = replay.leaf(entry)
      if (fault && known.fault === '') known.fault = `entry ${fault.index}: ${fault.detail}`
    }
    if (recordsIn(known) > recordsMax && known.fault === '') {
      known.fault = `its open books have more than ${recordsMax} records`
    }
  }
  const { fault } = known
  if (fault !== '') return { ...refused(`the log of ${home}, ${fault}`), isOther: true }
  const { size, root } = replay.head()
  if (size === head.size) known.roots = [...known.roots, { size, root }].slice(-homesMax)
  const reached = known.roots.find((one) => one.size === head.size)
  const expected = fromHex(head.root)
  if (!reached || !expected || !sameBytes(reached.root, expected)) {
    return { ...refused(`the log of ${home} is not the one that was cosigned`), isOther: true }
  }
  const summary = head.epoch > 1 ? replay.summary() : undefined
  const open = summary && unclosed(summary, { epoch: head.epoch, sites: head.closedBy })
  return open === undefined ? { holds: true, detail: '', isOther: false }
    : refused(`${home} has begun anew, and ${open} has not closed what was before`)
}

function refused(detail: string): Found {
  return { holds: false, detail, isOther: false }
}
