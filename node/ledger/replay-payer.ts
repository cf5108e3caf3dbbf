// Replays of homes whose allocations pay: the whole log of the home, read from its node, under the
// ledger's own rules. What was replayed is kept, so the next hold costs only what is new.
// Invariants: one replay of a home at a time; any fault that is found refuses the home until the
// node is started again; what is in memory is the home's open books, not its log.

import { fromHex, sameBytes } from '../../protocol/base/crypto.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { limits } from '../../protocol/base/limits.ts'
import { decodeBundle, tilePath, tileWidth } from '../../protocol/base/tiles.ts'
import type { Replay } from '../../protocol/rules/audit.ts'
import { openReplay } from '../../protocol/rules/audit.ts'
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
    home: SiteName, head: { readonly size: number, readonly root: string }, signal: AbortSignal,
  ): Promise<Replayed>
}

const bundleBytesMax = tileWidth * (2 + limits.statementBytes)
/** Homes whose books are kept; the one that was asked for longest ago goes first. */
const homesMax = 64

interface Kept {
  readonly replay: Replay
  /** Roots at sizes that were asked for, newest last. */
  roots: readonly { readonly size: number, readonly root: Uint8Array }[]
  fault: string
}

export function openPayerReplays(network: Pick<Network, 'fetch'>): PayerReplays {
  const kept = new Map<SiteName, Kept>()
  const tails = new Map<SiteName, Promise<unknown>>()
  const keep = (home: SiteName): Kept => {
    const known = kept.get(home) ?? { replay: openReplay(home, checkNow), roots: [], fault: '' }
    kept.delete(home)
    kept.set(home, known)
    const [oldest] = kept.keys()
    if (kept.size > homesMax && oldest !== undefined) kept.delete(oldest)
    return known
  }
  return {
    upTo(home, head, signal) {
      const turn = (tails.get(home) ?? Promise.resolve()).catch(() => undefined)
        .then(() => replayed(network, keep(home), { home, head, signal }))
      tails.set(home, turn)
      return turn
    },
  }
}

async function replayed(
  network: Pick<Network, 'fetch'>,
  known: Kept,
  { home, head, signal }: {
    readonly home: SiteName
    readonly head: { readonly size: number, readonly root: string }
    readonly signal: AbortSignal
  },
): Promise<Replayed> {
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
      return { holds: false, detail }
    }
    for (const entry of bundle.value.slice(from - index * tileWidth)) {
      const [fault] = replay.leaf(entry)
      if (fault && known.fault === '') known.fault = `entry ${fault.index}: ${fault.detail}`
    }
  }
  if (known.fault !== '') return { holds: false, detail: `the log of ${home}, ${known.fault}` }
  const { size, root } = replay.head()
  if (size === head.size) known.roots = [...known.roots, { size, root }].slice(-homesMax)
  const reached = known.roots.find((one) => one.size === head.size)
  const expected = fromHex(head.root)
  if (!reached || !expected || !sameBytes(reached.root, expected)) {
    return { holds: false, detail: `the log of ${home} is not the one that was cosigned` }
  }
  return { holds: true, detail: '' }
}
