// Verification of exported ledgers without node, network or trust: each log by itself, then all of
// them against one another. What it cannot see it says: logs that were not given, statements under
// way.

import { toHex } from '../../protocol/base/crypto.ts'
import type { Sid, SiteName } from '../../protocol/base/ids.ts'
import { compareBytes } from '../../protocol/base/ids.ts'
import type { Finding, LogSummary } from '../../protocol/rules/audit.ts'
import type { PairReport } from '../../protocol/rules/audit-pairs.ts'
import { crossCheck, lookupsFor, reportPairs } from '../../protocol/rules/audit-pairs.ts'
import type { HoldRecord } from '../../protocol/rules/ledger-book.ts'
import { plural } from '../output.ts'
import { openKnownNotes } from './known-notes.ts'
import type { LogFiles } from './log-files.ts'
import type { LogHead } from './log-head.ts'
import { readHead } from './log-head.ts'
import { openSignatureDesk } from './signature-desk.ts'
import { openSignaturePool, threadsFor } from './signature-pool.ts'
import type { LogResult } from './verify-log.ts'
import { headFinding, lookupKey, sidsIn, verifyLog } from './verify-log.ts'

export type Verdict = 'holds' | 'broken' | 'unusable'

export interface LogReport {
  readonly path: string
  readonly site: SiteName
  readonly origin: string
  readonly entries: number
  readonly root: string
  readonly findings: number
  /** The newest time that its entries name, by their authors' clocks. */
  readonly newestEpochMs: number
}

export interface ReportedFinding extends Finding {
  readonly path: string
}

export interface OpenHold extends HoldRecord {
  /** In the log of that site. */
  readonly seenBy: SiteName
}

export interface VerifyReport {
  readonly verdict: Verdict
  readonly federation: string
  readonly logs: readonly LogReport[]
  readonly pairs: readonly PairReport[]
  readonly openHolds: readonly OpenHold[]
  readonly findings: readonly ReportedFinding[]
  /** Findings that were only counted. */
  readonly findingsMore: number
  readonly unusable: readonly { readonly path: string, readonly detail: string }[]
  /** What could not be checked, and why; no fault of anybody. */
  readonly notes: readonly string[]
}

export interface VerifyOptions {
  /** Threads for signatures; by the size of the logs unless told. 0 for none. */
  readonly threads?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (at: {
    readonly path: string, readonly entries: number, readonly of: number
  }) => void
}

/** 0: all holds, 1: something does not, 2: an input is no ledger. */
export function verifyExitCode({ verdict }: Pick<VerifyReport, 'verdict'>): 0 | 1 | 2 {
  return verdict === 'holds' ? 0 : verdict === 'broken' ? 1 : 2
}

export async function verifyLogs(
  inputs: readonly LogFiles[], options: VerifyOptions = {},
): Promise<VerifyReport> {
  const findings: ReportedFinding[] = []
  const unusable: { path: string, detail: string }[] = []
  const heads: OpenLog[] = []
  for (const files of inputs) {
    const result = await readHead(files)
    if (result.kind === 'head') heads.push({ files, head: result.head })
    else if (result.kind === 'unusable') unusable.push({ path: files.name, detail: result.detail })
    else findings.push({ path: files.name, ...headFinding(result.detail) })
  }
  const results = await verifyEach(heads, options)
  for (const result of results) {
    findings.push(...result.findings.map((one) => ({ path: result.files.name, ...one })))
  }
  const newest = newestOfEach(results)
  findings.push(...await crossFindings(newest))
  const summaries = newest.map(({ summary }) => summary)
  return {
    verdict: findings.length > 0 ? 'broken' : unusable.length > 0 || results.length === 0
      ? 'unusable' : 'holds',
    federation: summaries[0]?.federationName ?? '',
    logs: results.map(reportLog),
    pairs: reportPairs(summaries),
    openHolds: openHolds(summaries),
    findings,
    findingsMore: results.reduce((sum, { findingsMore }) => sum + findingsMore, 0),
    unusable,
    notes: notesOn(summaries),
  }
}

interface OpenLog {
  readonly files: LogFiles
  readonly head: LogHead
}

/** One log after another, each with all threads. */
async function verifyEach(
  logs: readonly OpenLog[], { signal, onProgress, threads }: VerifyOptions,
): Promise<LogResult[]> {
  const entries = logs.reduce((sum, { head }) => sum + head.checkpoint.size, 0)
  const pool = openSignaturePool(threads ?? threadsFor(entries))
  const desk = openSignatureDesk(pool, logs.length > 1 ? openKnownNotes(entries) : undefined)
  try {
    const results: LogResult[] = []
    for (const { files, head } of logs) {
      results.push(await verifyLog(files, head, {
        desk,
        bundlesAhead: 2 * pool.threads + 1,
        olderHeads: otherHeads(head, logs),
        ...(signal && { signal }),
        ...(onProgress && {
          onProgress: (done, of) => onProgress({ path: files.name, entries: done, of }),
        }),
      }))
    }
    return results
  } finally {
    await pool.close()
  }
}

/** What other exports of the same log have signed. */
function otherHeads(head: LogHead, all: readonly OpenLog[]): Map<number, Uint8Array> {
  const same = all.filter((other) => other.head !== head
    && other.head.checkpoint.origin === head.checkpoint.origin)
  return new Map(same.map((other) =>
    [other.head.checkpoint.size, other.head.checkpoint.rootHash]))
}

type Summarised = LogResult & { readonly summary: LogSummary }

/** The longest log of each site, in order of their names. */
function newestOfEach(results: readonly LogResult[]): Summarised[] {
  const longest = new Map<SiteName, Summarised>()
  for (const result of results) {
    const { summary } = result
    if (!summary) continue
    if (summary.size > (longest.get(summary.site)?.summary.size ?? 0)) {
      longest.set(summary.site, { ...result, summary })
    }
  }
  return [...longest.values()].toSorted((a, b) => compareBytes(a.summary.site, b.summary.site))
}

async function crossFindings(logs: readonly Summarised[]): Promise<ReportedFinding[]> {
  const summaries = logs.map(({ summary }) => summary)
  const lookups = lookupsFor(summaries)
  const sids = new Map<SiteName, Map<string, Sid>>()
  for (const { summary, files } of logs) {
    const wanted = lookups.filter(({ site }) => site === summary.site)
    if (wanted.length > 0) sids.set(summary.site, await sidsIn(files, summary.size, wanted))
  }
  const found = crossCheck(summaries, (lookup) => sids.get(lookup.site)?.get(lookupKey(lookup)))
  return found.map((finding) => ({
    path: logs.find(({ summary }) => summary.site === finding.site)?.files.name ?? '', ...finding,
  }))
}

function reportLog({ files, head, summary, findings, findingsMore }: LogResult): LogReport {
  return {
    path: files.name,
    site: head.site,
    origin: head.checkpoint.origin,
    entries: head.checkpoint.size,
    root: toHex(head.checkpoint.rootHash),
    findings: findings.length + findingsMore,
    newestEpochMs: summary?.newestEpochMs ?? 0,
  }
}

/** Each open hold once, as the host's log has it where that was given. */
function openHolds(logs: readonly LogSummary[]): OpenHold[] {
  const open = new Map<Sid, OpenHold>()
  for (const log of logs) {
    for (const hold of log.openHolds) {
      if (open.has(hold.sid) && hold.host !== log.site) continue
      open.set(hold.sid, { ...hold, seenBy: log.site })
    }
  }
  return [...open.values()]
}

function notesOn(logs: readonly LogSummary[]): string[] {
  const given = new Set(logs.map(({ site }) => site))
  const absent = new Set(logs.flatMap(({ members }) => [...members.keys()])
    .filter((site) => !given.has(site)))
  const notes = [...absent].toSorted(compareBytes).map((site) =>
    `the ledger of ${site} was not given: what it should mirror is taken from the other side alone`)
  const told = new Set<string>()
  for (const { creditor, debtor, underWay } of reportPairs(logs)) {
    const pair = [creditor, debtor].toSorted(compareBytes).join(' and ')
    if (underWay === 0 || told.has(pair)) continue
    told.add(pair)
    notes.push(`${plural(underWay, 'statement')} between ${pair} in one of the two ledgers only: `
      + 'issued and not yet received when they were exported')
  }
  return notes
}
