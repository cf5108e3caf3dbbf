// Every head of a log that anybody has seen must be one that the log has had (I9): the checkpoints
// of its other exports, and the heads that other sites wrote into their own logs.
// A later epoch's log continues the entries of the one before up to its genesis; heads of the
// earlier origin beyond that point were lost in a restore, which is said and is no fault.

import { sameBytes } from '../../protocol/base/crypto.ts'
import { fromHex } from '../../protocol/base/crypto.ts'
import type { Finding, LogSummary } from '../../protocol/rules/audit.ts'
import { logOrigin } from '../../protocol/rules/statement.ts'
import type { LogFiles } from './log-files.ts'
import type { LogHead } from './log-head.ts'
import { openTreeFiles } from './tree-files.ts'

export interface KnownHead {
  readonly origin: string
  readonly size: number
  readonly root: Uint8Array
  /** Whose word it is: the log's own signature, or entry `index` in another's log. */
  readonly by: { readonly log: LogSummary, readonly index: number } | undefined
}

export interface AuditedLog {
  readonly files: LogFiles
  readonly summary: LogSummary
}

export interface HeadsReport {
  readonly findings: readonly Finding[]
  readonly notes: readonly string[]
  /** Heads that were compared. */
  readonly compared: number
}

/** `logs` holds each site's newest export; `heads` are those of all exports given. */
export async function checkKnownHeads(
  logs: readonly AuditedLog[], heads: readonly LogHead[], signal?: AbortSignal,
): Promise<HeadsReport> {
  const known: KnownHead[] = heads.map(({ checkpoint }) => ({
    origin: checkpoint.origin, size: checkpoint.size, root: checkpoint.rootHash, by: undefined,
  }))
  for (const { summary: log } of logs) {
    for (const { origin, size, root, index } of log.headsSaid) {
      known.push({ origin, size, root: fromHex(root) ?? new Uint8Array(), by: { log, index } })
    }
  }
  const findings: Finding[] = []
  const notes = new Set<string>()
  let compared = 0
  for (const { files, summary } of logs) {
    const tree = openTreeFiles(files, summary.size)
    for (const head of known) {
      const bound = sizeUnder(head.origin, summary)
      if (bound === undefined || head.size === 0) continue
      signal?.throwIfAborted()
      if (head.size > bound) {
        notes.add(beyond(head, summary))
        continue
      }
      const root = await tree.rootAt(head.size)
      if (!root) continue
      compared += 1
      if (!sameBytes(root, head.root)) findings.push(fork(head, summary))
    }
  }
  return { findings, notes: [...notes], compared }
}

/** Up to which size the log under `origin` is a part of this log; undefined: it is another's. */
function sizeUnder(origin: string, log: LogSummary): number | undefined {
  for (let epoch = 1; epoch <= log.epoch; epoch++) {
    if (origin !== logOrigin(log.site, log.federation, epoch)) continue
    return epoch === log.epoch ? log.size : log.epochsFrom.get(epoch + 1)
  }
  return undefined
}

function beyond({ origin, size, by }: KnownHead, log: LogSummary): string {
  const whose = by ? `${by.log.site} has seen` : 'there is an export with'
  return origin === logOrigin(log.site, log.federation, log.epoch)
    ? `${whose} a newer head of ${log.site}, of ${size} entries: export that ledger again`
    : `${whose} a head of ${origin} of ${size} entries; what went beyond the next epoch's genesis `
      + 'was lost in a restore'
}

function fork({ origin, size, by }: KnownHead, log: LogSummary): Finding {
  if (!by) {
    const detail = `another signed checkpoint of ${size} entries has another root: a fork`
    return { site: log.site, index: undefined, rule: 'I9', detail }
  }
  const detail = `names a head of ${origin} of ${size} entries that this log has never had: one of `
    + 'the two sites is wrong, and the signed checkpoint shows which'
  return { site: by.log.site, index: by.index, rule: 'I9', detail }
}
