// Verification of exported ledgers without node, network or trust: each log by itself, then all of
// them against one another. What it cannot see it says: logs that were not given, statements under
// way.

import { toHex } from '../../protocol/base/crypto.ts'
import type { Sid, SiteName } from '../../protocol/base/ids.ts'
import { compareBytes } from '../../protocol/base/ids.ts'
import type { Finding, LogSummary } from '../../protocol/rules/audit.ts'
import type { PairReport } from '../../protocol/rules/audit-pairs.ts'
import { crossCheck, lookupsFor, reportPairs } from '../../protocol/rules/audit-pairs.ts'
import type { GrantRecord, HoldRecord } from '../../protocol/rules/ledger-book.ts'
import { plural } from '../output.ts'
import { openKnownNotes } from './known-notes.ts'
import { checkKnownHeads } from './known-heads.ts'
import type { DocumentFiles } from './document-files.ts'
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
  /** Since it was asked, to the newest time that any of the ledgers names. */
  readonly ageSeconds: number
  /** That time is behind its `validUntilEpochMs`. */
  readonly pastDue: boolean
}

export interface VerifyReport {
  readonly verdict: Verdict
  readonly federation: string
  readonly logs: readonly LogReport[]
  readonly pairs: readonly PairReport[]
  /** Everything that two of these sites said to one another up to here is in both ledgers. */
  readonly completeUntilEpochMs: number
  /** The newest time that any author names; ages are counted to here. */
  readonly asOfEpochMs: number
  readonly openHolds: readonly OpenHold[]
  readonly grants: readonly GrantRecord[]
  readonly findings: readonly ReportedFinding[]
  /** Findings that were only counted. */
  readonly findingsMore: number
  /** Signed or noted heads that were compared with the trees. */
  readonly headsCompared: number
  /** Private documents that were given, and commitments that they opened. */
  readonly documents: { readonly given: number, readonly opened: number }
  readonly unusable: readonly { readonly path: string, readonly detail: string }[]
  /** What could not be checked, and why; no fault of anybody. */
  readonly notes: readonly string[]
}

export interface Progress {
  readonly path: string
  /** Of all ledgers together. */
  readonly entries: number
  readonly of: number
}

export interface VerifyOptions {
  /** Threads for signatures; by the size of the logs unless told. 0 for none. */
  readonly threads?: number
  /** Of one ledger; those beyond are only counted. */
  readonly findingsMax?: number
  /** Private documents that the ledgers' commitments are opened with. */
  readonly documents?: DocumentFiles
  readonly signal?: AbortSignal
  readonly onProgress?: (at: Progress) => void
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
  const logs: OpenLog[] = []
  for (const files of inputs) {
    const result = await readHead(files)
    if (result.kind === 'head') logs.push({ files, head: result.head })
    else if (result.kind === 'unusable') unusable.push({ path: files.name, detail: result.detail })
    else findings.push({ path: files.name, ...headFinding(result.detail) })
  }
  const results = await verifyEach(logs, options)
  for (const result of results) {
    findings.push(...result.findings.map((one) => ({ path: result.files.name, ...one })))
  }
  const newest = newestOfEach(results)
  const heads = await checkKnownHeads(newest, logs.map(({ head }) => head), options.signal)
  const found = [...heads.findings, ...await crossFindings(newest)]
  findings.push(...found.map((finding) => placed(finding, newest, results)))
  const opened = new Set(results.flatMap(({ summary }) => [...summary?.opened ?? []]))
  findings.push(...options.documents?.findings(opened) ?? [])
  const summaries = newest.map(({ summary }) => summary)
  const pairs = reportPairs(summaries)
  const asOfEpochMs = Math.max(0, ...summaries.map(({ newestEpochMs }) => newestEpochMs))
  const both = pairs.filter(({ seen }) => seen === 'both')
  return {
    verdict: findings.length > 0 ? 'broken' : unusable.length > 0 || results.length === 0
      ? 'unusable' : 'holds',
    federation: summaries[0]?.federationName ?? '',
    logs: results.map(reportLog),
    pairs,
    completeUntilEpochMs: both.length === 0
      ? 0 : Math.min(...both.map(({ completeUntilEpochMs }) => completeUntilEpochMs)),
    asOfEpochMs,
    openHolds: openHolds(summaries, asOfEpochMs),
    grants: grantsIn(summaries),
    findings,
    findingsMore: results.reduce((sum, { findingsMore }) => sum + findingsMore, 0),
    headsCompared: heads.compared,
    documents: { given: options.documents?.count ?? 0, opened: opened.size },
    unusable,
    notes: [...notesOn(summaries), ...heads.notes],
  }
}

interface OpenLog {
  readonly files: LogFiles
  readonly head: LogHead
}

/** One log after another, each with all threads. */
async function verifyEach(
  logs: readonly OpenLog[],
  { signal, onProgress, threads, findingsMax, documents }: VerifyOptions,
): Promise<LogResult[]> {
  const of = logs.reduce((sum, { head }) => sum + head.checkpoint.size, 0)
  const pool = openSignaturePool(threads ?? threadsFor(of))
  const desk = openSignatureDesk(pool, logs.length > 1 ? openKnownNotes(of) : undefined)
  try {
    const results: LogResult[] = []
    let before = 0
    for (const { files, head } of logs) {
      results.push(await verifyLog(files, head, {
        desk,
        bundlesAhead: 2 * pool.threads + 1,
        onProgress: (done) => onProgress?.({ path: files.name, entries: before + done, of }),
        ...(findingsMax !== undefined && { findingsMax }),
        ...(documents && { documents: documents.documents }),
        ...(signal && { signal }),
      }))
      before += head.checkpoint.size
    }
    return results
  } finally {
    await pool.close()
  }
}

type Summarised = LogResult & { readonly summary: LogSummary }

/** The newest log of each site, in order of their names. */
function newestOfEach(results: readonly LogResult[]): Summarised[] {
  const newest = new Map<SiteName, Summarised>()
  for (const result of results) {
    const { summary } = result
    if (!summary) continue
    const other = newest.get(summary.site)?.summary
    const isNewer = !other || summary.epoch > other.epoch
      || (summary.epoch === other.epoch && summary.size > other.size)
    if (isNewer) newest.set(summary.site, { ...result, summary })
  }
  return [...newest.values()].toSorted((a, b) => compareBytes(a.summary.site, b.summary.site))
}

async function crossFindings(logs: readonly Summarised[]): Promise<Finding[]> {
  const summaries = logs.map(({ summary }) => summary)
  const lookups = lookupsFor(summaries)
  const sids = new Map<SiteName, Map<string, Sid>>()
  for (const { summary, files } of logs) {
    const wanted = lookups.filter(({ site }) => site === summary.site)
    if (wanted.length > 0) sids.set(summary.site, await sidsIn(files, summary, wanted))
  }
  return crossCheck(summaries, (lookup) => sids.get(lookup.site)?.get(lookupKey(lookup)))
}

/** With its ledger's path; in a log with a fault of its own what concerns it as a whole follows. */
function placed(
  finding: Finding, logs: readonly Summarised[], results: readonly LogResult[],
): ReportedFinding {
  const path = logs.find(({ summary }) => summary.site === finding.site)?.files.name ?? ''
  const own = results.find(({ files }) => files.name === path)
  const first = own?.findings.find(({ index, cause }) => index !== undefined && cause === undefined)
  const follows = finding.index === undefined && first?.index !== undefined
  return { path, ...finding, ...(follows && { cause: first.index }) }
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

/** Each open hold once, as the host's log has it where that was given; the oldest first. */
function openHolds(logs: readonly LogSummary[], asOfEpochMs: number): OpenHold[] {
  const open = new Map<Sid, OpenHold>()
  for (const log of logs) {
    for (const hold of log.openHolds) {
      if (open.has(hold.sid) && hold.host !== log.site) continue
      open.set(hold.sid, {
        ...hold,
        seenBy: log.site,
        ageSeconds: Math.max(0, Math.floor((asOfEpochMs - hold.askedEpochMs) / 1_000)),
        pastDue: asOfEpochMs > hold.validUntilEpochMs,
      })
    }
  }
  return [...open.values()].toSorted((a, b) =>
    a.askedEpochMs - b.askedEpochMs || compareBytes(a.sid, b.sid))
}

/** Each allocation as its grantee's log has it, else as the log that has seen most of it. */
function grantsIn(logs: readonly LogSummary[]): GrantRecord[] {
  const known = new Map<Sid, GrantRecord>()
  const own = new Map<Sid, GrantRecord>()
  for (const { site, grants } of logs) {
    for (const grant of grants) {
      const other = known.get(grant.sid)
      if (site === grant.grantee) own.set(grant.sid, grant)
      if (!other || grant.held + grant.spent > other.held + other.spent) known.set(grant.sid, grant)
    }
  }
  for (const [sid, grant] of own) known.set(sid, grant)
  return [...known.values()].toSorted((a, b) => compareBytes(a.sid, b.sid))
}

function notesOn(logs: readonly LogSummary[]): string[] {
  const given = new Set(logs.map(({ site }) => site))
  const absent = new Set(logs.flatMap(({ members }) => [...members.keys()])
    .filter((site) => !given.has(site)))
  const pruned = logs.filter(({ from }) => from > 0).map(({ site, from }) =>
    `the ledger of ${site} verifies from entry ${from} on: what came before is the snapshot there, `
      + 'by its author\'s word, under a tree that is whole')
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
  return [...pruned, ...notes]
}
