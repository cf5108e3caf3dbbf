// One file of a member's log for the local API: of another site through the network, of this one
// from the database.

import type { SiteName } from '../../protocol/base/ids.ts'
import { limits } from '../../protocol/base/limits.ts'
import type { Outcome } from '../../protocol/base/outcome.ts'
import { ok, refuse } from '../../protocol/base/outcome.ts'
import { tileWidth } from '../../protocol/base/tiles.ts'
import type { ApiReason, ApiRefusal, FileStream } from '../http/local-node.ts'
import type { LiveLog } from '../ledger/live-log.ts'
import { remoteLog } from '../ledger/remote-log.ts'
import type { Network } from '../net/door.ts'
import { messageOf, systemCode } from '../problem.ts'

export interface SiteLogParts {
  readonly self: { readonly site: SiteName }
  readonly liveLog: Pick<LiveLog, 'file'>
  readonly network: Pick<Network, 'fetch'>
}

/** A full bundle of the largest statements. */
const fileBytesMax = tileWidth * (2 + limits.statementBytes)

/** What a failure means to whoever asked; `conflict` for what the other site refused. */
const reasons: Readonly<Record<string, ApiReason>> = {
  'unknown-site': 'not_found',
  'busy': 'busy',
  'refused:busy': 'busy',
  'down': 'peer_down',
  'broken': 'peer_down',
  'timeout': 'peer_down',
}

/** `path` as tlog-tiles names files: `checkpoint`, `tile/…` or `tile/entries/…`. */
export async function siteLogFile(
  { self, liveLog, network }: SiteLogParts,
  asked: { readonly site: SiteName, readonly path: string, readonly signal: AbortSignal },
): Promise<Outcome<FileStream, ApiRefusal>> {
  const { site, path, signal } = asked
  try {
    const bytes = site === self.site
      ? (await liveLog.file(path))?.bytes
      : await remoteLog(network, site, { signal }).read(path, fileBytesMax)
    if (!bytes) {
      return refuse({ reason: 'not_found', detail: `the log of ${site} has no file ${path}` })
    }
    return ok({ sizeBytes: bytes.length, bytes: onePiece(bytes) })
  } catch (error) {
    if (signal.aborted) throw error
    const reason = reasons[systemCode(error)] ?? 'conflict'
    return refuse({ reason, detail: `the log of ${site}: ${messageOf(error)}` })
  }
}

async function* onePiece(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes
}
