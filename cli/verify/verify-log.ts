// Checks one exported ledger from its files alone: every tile re-derived, every entry opened under
// the key valid there and replayed through the ledger's rules, the root compared with the signed
// checkpoint.
// Invariant: memory is that of a few bundles of entries and of the accounts, whatever the size of
// the log.

import { fromHex, sameBytes, toHex } from '../../protocol/base/crypto.ts'
import { verifyNote } from '../../protocol/base/note.ts'
import { tileWidth } from '../../protocol/base/tiles.ts'
import type { Sid, SiteName } from '../../protocol/base/ids.ts'
import type { Documents } from '../../protocol/rules/audit-documents.ts'
import type { Finding, Invariant, LogSummary, Replay } from '../../protocol/rules/audit.ts'
import { openReplay } from '../../protocol/rules/audit.ts'
import type { Lookup } from '../../protocol/rules/audit-pairs.ts'
import { directionKey } from '../../protocol/rules/ledger-book.ts'
import { checkNow } from '../../protocol/rules/ledger-entry.ts'
import { logOrigin, parseStatement } from '../../protocol/rules/statement.ts'
import type { Bundle } from './bundles.ts'
import { bundlesOf } from './bundles.ts'
import type { LogFiles } from './log-files.ts'
import type { LogHead } from './log-head.ts'
import { findStart } from './pruned-log.ts'
import type { ReadEntry, SignatureDesk } from './signature-desk.ts'
import { openSpill } from './spilled-records.ts'
import { openTileCheck } from './tile-check.ts'

export interface LogResult {
  readonly files: LogFiles
  readonly head: LogHead
  readonly findings: readonly Finding[]
  /** Found beyond `findingsMax` and only counted. */
  readonly findingsMore: number
  /** Undefined when the first entries do not open a log. */
  readonly summary: LogSummary | undefined
}

export interface LogOptions {
  readonly desk: SignatureDesk
  /** How many bundles may wait for their signatures. */
  readonly bundlesAhead: number
  /** Findings beyond these are only counted. */
  readonly findingsMax?: number
  readonly documents?: Documents
  readonly onProgress?: (entries: number) => void
  readonly signal?: AbortSignal
}

const defaultFindingsMax = 1_000

export async function verifyLog(
  files: LogFiles, head: LogHead, options: LogOptions,
): Promise<LogResult> {
  const { site, checkpoint } = head
  const { findingsMax = defaultFindingsMax } = options
  const findings: Finding[] = []
  let more = 0
  /** The first entry that is not the one its tile has: what lies above it only follows. */
  let changed: number | undefined
  const found = (...faults: readonly Finding[]): void => {
    for (const fault of faults) {
      if (findings.length < findingsMax) findings.push(fault)
      else more += 1
    }
  }
  const fault: Fault = (rule, index, detail) => {
    const cause = index === undefined ? changed : undefined
    found({ site, index, rule, detail, ...(cause !== undefined && { cause }) })
  }
  const compareTiles = async (at: { readonly end: boolean }): Promise<void> => {
    for (const { index, detail } of await tiles.compare(at)) {
      changed ??= index
      fault('I1', index, detail)
    }
  }
  const start = await findStart(files, site, checkpoint.size, options.signal)
  const tiles = openTileCheck(files, start.kind === 'snapshot' ? start.open : [])
  if (start.kind === 'snapshot') {
    for (const { rule, index, detail } of start.faults) fault(rule, index, detail)
    if (start.book.records.length === 0) {
      return { files, head, findings, findingsMore: more, summary: undefined }
    }
    options.desk.learn(start.book)
  }
  const spill = openSpill()
  try {
    let entry: ReadEntry | undefined
    let done = start.bundle
    const replay = openReplay(site, (sealed, verifier) =>
      (entry?.check ?? checkNow)(sealed, verifier), {
      onNode: (node) => tiles.node(node),
      recordsOf: (table, isDead) => spill.recordsOf(table, isDead),
      ...(options.documents && { documents: options.documents }),
      ...(start.kind === 'snapshot' && { from: start.book }),
    })
    for await (const bundle of readAhead(files, checkpoint.size, start.bundle, options)) {
      if (!('entries' in bundle)) {
        fault('I1', bundle.index, bundle.detail)
        break
      }
      for (entry of bundle.entries) {
        if (done++ >= start.index) found(...replay.take(entry.bytes, entry.read))
      }
      await compareTiles({ end: false })
      options.onProgress?.(done)
    }
    await compareTiles({ end: true })
    const summary = replay.summary()
    checkHead(head, replay, summary, fault)
    return { files, head, findings, findingsMore: more, summary }
  } finally {
    spill.close()
  }
}

type ReadBundle =
  | { readonly entries: readonly ReadEntry[] }
  | Extract<Bundle, { readonly kind: 'unreadable' }>

/** Bundles in their order, while the signatures of the next ones are being checked. */
async function* readAhead(
  files: LogFiles, size: number, from: number, { desk, bundlesAhead, signal }: LogOptions,
): AsyncGenerator<ReadBundle, undefined> {
  const ahead: Promise<ReadBundle>[] = []
  for await (const bundle of bundlesOf(files, size, from)) {
    signal?.throwIfAborted()
    if (bundle.kind === 'unreadable') {
      ahead.push(Promise.resolve(bundle))
      break
    }
    const read = desk.read(bundle).then((entries) => ({ entries }))
    // Its failure is told when its turn comes, unless an earlier one ends everything before.
    read.catch(() => undefined)
    ahead.push(read)
    if (ahead.length > bundlesAhead) yield await (ahead.shift() as Promise<ReadBundle>)
  }
  for (const bundle of ahead) yield await bundle
}

type Fault = (rule: Invariant, index: number | undefined, detail: string) => void

/** The checkpoint must commit to these very entries, under the log key that they name. */
function checkHead(
  head: LogHead, replay: Replay, summary: LogSummary | undefined, fault: Fault,
): void {
  const { checkpoint, note } = head
  const { size, root } = replay.head()
  if (size === checkpoint.size && !sameBytes(root, checkpoint.rootHash)) {
    fault('I1', undefined, `the root of its entries is ${toHex(root)}, the checkpoint says `
      + toHex(checkpoint.rootHash))
  }
  if (!summary) return
  const origin = logOrigin(summary.site, summary.federation, summary.epoch)
  if (origin !== checkpoint.origin) {
    fault('I1', undefined, `its entries are those of ${origin}, its checkpoint names `
      + checkpoint.origin)
  }
  const publicKey = fromHex(summary.logKey) ?? new Uint8Array()
  if (!verifyNote(note, { name: origin, publicKey })) {
    fault('I1', undefined, 'the checkpoint is not signed by the log key that its genesis names')
  }
}

/**
 * Statements by their place in a sequence: a second look at a log that the first found in order.
 */
export async function sidsIn(
  files: LogFiles,
  { from, size }: Pick<LogSummary, 'from' | 'size'>,
  wanted: readonly Lookup[],
): Promise<Map<string, Sid>> {
  const open = new Set(wanted.map(lookupKey))
  const found = new Map<string, Sid>()
  const first = from - (from % tileWidth)
  for await (const bundle of bundlesOf(files, size, first)) {
    if (bundle.kind === 'unreadable' || found.size === open.size) break
    for (const entry of bundle.entries) {
      const parsed = parseStatement(Buffer.from(entry).toString('utf8'))
      if (!parsed.ok || parsed.value.statement.kind === 'federation') continue
      const { from, to, e, n } = parsed.value.statement
      const key = lookupKey({ direction: directionKey(from, to), e, n })
      if (open.has(key)) found.set(key, parsed.value.sid)
    }
  }
  return found
}

export function lookupKey({ direction, e, n }: Omit<Lookup, 'site'>): string {
  return `${direction} ${e} ${n}`
}

/** A finding about a log whose head could not be read. */
export function headFinding(detail: string): Finding {
  return { site: '' as SiteName, index: undefined, rule: 'I1', detail }
}
