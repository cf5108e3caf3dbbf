// A light audit: one counterparty, from the last reconciliation on. Both had the same books then,
// so what has to be compared is what the two have said to each other since; the rest of its log is
// held to the head that it has shown before by a proof of a few hashes.
//
// Invariants: every entry that counts is proven to stand under the head that the site shows now;
// that head is proven to continue the one that this site has cosigned. Work grows with the entries
// since the reconciliation, not with the log.

import { fromHex } from '../../protocol/base/crypto.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import {
  appendHash, consistencyProof, emptyFrontier, inclusionProof, leafHash, verifyConsistency,
  verifyInclusion,
} from '../../protocol/base/merkle.ts'
import { verifyNote } from '../../protocol/base/note.ts'
import { tileWidth } from '../../protocol/base/tiles.ts'
import { parseTlogProof, verifyTlogProof } from '../../protocol/base/tlog-proof.ts'
import { directionKey } from '../../protocol/rules/ledger-book.ts'
import type { PlacedStatement } from '../../protocol/rules/statement.ts'
import { parseStatement } from '../../protocol/rules/statement.ts'
import { bundlesOf } from './bundles.ts'
import type { LogFiles } from './log-files.ts'
import { readHead } from './log-head.ts'
import type { LogHead } from './log-head.ts'
import type { TreeFiles } from './tree-files.ts'
import { nodeName, openTreeFiles } from './tree-files.ts'

/** What this site knows of the other. */
export interface KnownPair {
  readonly own: SiteName
  readonly site: SiteName
  readonly origin: string
  /** Hexadecimal. */
  readonly logKey: string
  readonly head?: { readonly size: number, readonly root: string }
  readonly reconciled?: { readonly sid: string, readonly index: number }
}

export interface LightParts {
  readonly pair: KnownPair
  /** Entries of our own log from an index on. */
  own(from: number): AsyncIterable<{ readonly index: number, readonly note: string }>
  readonly files: LogFiles
  /** The tlog-proof of a statement of ours, if we have one. */
  receipt(sid: string): Promise<string | undefined>
}

export interface LightReport {
  readonly verdict: 'holds' | 'broken' | 'unusable'
  readonly site: SiteName
  /** Of its log, and how many of its entries were read. */
  readonly size: number
  readonly read: number
  /** Statements between the two since then that stand in both logs. */
  readonly compared: number
  /** In one of the two logs only. */
  readonly underWay: number
  readonly receipts: number
  /** Whether its head was proven to continue the one that we have cosigned. */
  readonly linked: boolean
  /** Our own entry of the reconciliation; undefined: from the beginning. */
  readonly since: number | undefined
  readonly findings: readonly string[]
}

interface Placed {
  readonly sid: string
  readonly index: number
  readonly note: string
  readonly statement: PlacedStatement
}

type Findings = string[]

export async function lightAudit(parts: LightParts): Promise<LightReport> {
  const { pair, files } = parts
  const findings: Findings = []
  const report = (more: Partial<LightReport>): LightReport => ({
    verdict: findings.length > 0 ? 'broken' : 'holds', site: pair.site, size: 0, read: 0,
    compared: 0, underWay: 0, receipts: 0, linked: false, since: pair.reconciled?.index, findings,
    ...more,
  })
  const ours = await ownSince(parts)
  const result = await readHead(files)
  if (result.kind !== 'head') {
    findings.push(result.detail)
    return report(result.kind === 'unusable' ? { verdict: 'unusable' } : {})
  }
  const { head } = result
  const { size } = head.checkpoint
  const tree = openTreeFiles(files, size)
  const linked = await checkShown(pair, head, tree, findings)
  if (findings.length > 0) return report({ size })
  const theirs = await peerSince(parts, { head, tree, offer: ours.offer }, findings)
  if (findings.length > 0) return report({ size, read: theirs.read, linked })
  // What was said here while its log was read.
  const newer = await placedOf(parts, ours.next)
  const compared = compare(pair, { ours, newer, theirs: theirs.since }, findings)
  const receipts = await checkReceipts(parts, ours.since, theirs.since, findings)
  return report({ size, read: theirs.read, linked, receipts, ...compared })
}

/** Its head must be signed, and continue the one that we have cosigned. */
async function checkShown(
  pair: KnownPair, { checkpoint, note }: LogHead, tree: TreeFiles, findings: Findings,
): Promise<boolean> {
  const { origin, size, rootHash } = checkpoint
  if (origin !== pair.origin) {
    findings.push(`it shows a head of ${origin}, expected ${pair.origin}`)
    return false
  }
  if (!verifyNote(note, { name: origin, publicKey: fromHex(pair.logKey) ?? new Uint8Array() })) {
    findings.push('its head is not signed by its log key')
    return false
  }
  const { head } = pair
  if (!head) return false
  if (head.size > size) {
    findings.push(`it shows a head of ${size} entries and has shown one of ${head.size} before`)
    return false
  }
  const proof = await tree.withNodes((nodeAt) => consistencyProof(head.size, size, nodeAt))
  const fromRoot = fromHex(head.root) ?? new Uint8Array()
  const continues = proof && verifyConsistency({
    from: head.size, to: size, fromRoot, toRoot: rootHash, proof,
  })
  if (!continues) {
    findings.push(`its head of ${size} entries does not continue the one of ${head.size} that this `
      + 'site has cosigned')
  }
  return continues === true
}

interface OwnSince {
  /** After the offer of the reconciliation. */
  readonly since: readonly Placed[]
  /** The sid of that offer; '' to begin at the beginning. */
  readonly offer: string
  readonly next: number
}

const step = 1_024

async function ownSince(parts: LightParts): Promise<OwnSince> {
  const { reconciled } = parts.pair
  if (!reconciled) {
    const since = await placedOf(parts, 0)
    return { since, offer: '', next: (since.at(-1)?.index ?? -1) + 1 }
  }
  for (let back = step; ; back *= 2) {
    const from = Math.max(0, reconciled.index - back)
    const all = await placedOf(parts, from)
    const agree = all.find(({ sid }) => sid === reconciled.sid)?.statement
    const offer = agree?.kind === 'reconcile' && agree.side === 'agree' ? agree.reconcile : ''
    const at = all.findIndex(({ sid }) => sid === offer)
    if (at < 0 && from > 0) continue
    const next = (all.at(-1)?.index ?? reconciled.index) + 1
    return { since: all.slice(at + 1), offer: at < 0 ? '' : offer, next }
  }
}

/** Statements between the two in our own log, from an index on. */
async function placedOf(parts: LightParts, from: number): Promise<Placed[]> {
  const found: Placed[] = []
  for await (const { index, note } of parts.own(from)) {
    const placed = placedIn(parts.pair, index, note)
    if (placed) found.push(placed)
  }
  return found
}

function placedIn({ own, site }: KnownPair, index: number, note: string): Placed | undefined {
  const parsed = parseStatement(note)
  if (!parsed.ok || parsed.value.statement.kind === 'federation') return undefined
  const { statement, sid } = parsed.value
  const isOurs = (statement.from === own && statement.to === site)
    || (statement.from === site && statement.to === own)
  return isOurs ? { sid, index, note, statement } : undefined
}

/** Its entries from the newest backwards until the offer, each bundle proven to be in the tree. */
async function peerSince(
  { pair, files }: LightParts,
  { head, tree, offer }: {
    readonly head: LogHead, readonly tree: TreeFiles, readonly offer: string,
  },
  findings: Findings,
): Promise<{ readonly since: readonly Placed[], readonly read: number }> {
  const { size } = head.checkpoint
  const found: Placed[] = []
  let read = 0
  const last = size - 1 - ((size - 1) % tileWidth)
  for (let first = last; first >= 0; first -= tileWidth) {
    const { value: bundle } = await bundlesOf(files, size, first).next()
    if (bundle?.kind !== 'entries') {
      findings.push(`its entries from ${first} on cannot be read, and the reconciliation lies `
        + `before them${bundle ? `: ${bundle.detail}` : ''}`)
      break
    }
    if (!await isProven(tree, head, { first, entries: bundle.entries })) {
      const last = first + bundle.entries.length - 1
      findings.push(`its entries ${first} to ${last} are not those that its head commits to`)
      break
    }
    read += bundle.entries.length
    const placed = bundle.entries.flatMap((entry, at) => {
      const one = placedIn(pair, first + at, Buffer.from(entry).toString('utf8'))
      return one ? [one] : []
    })
    const at = offer === '' ? -1 : placed.findIndex(({ sid }) => sid === offer)
    found.unshift(...placed.slice(at + 1))
    if (at >= 0) return { since: found, read }
  }
  if (findings.length === 0 && offer !== '') {
    findings.push(`its log has no reconciliation ${offer.slice(0, 16)}, which stands in ours`)
  }
  return { since: found, read }
}

/** One path proves a whole bundle: the hashes in it beside the path are made of the others. */
async function isProven(
  tree: TreeFiles,
  { checkpoint: { size, rootHash } }: LogHead,
  { first, entries }: { readonly first: number, readonly entries: readonly Uint8Array[] },
): Promise<boolean> {
  const hashes = entries.map(leafHash)
  const known = new Map<string, Uint8Array>()
  let frontier = emptyFrontier
  for (const hash of hashes) {
    const grown = appendHash(frontier, hash)
    for (const node of grown.nodes) {
      known.set(nodeName(node.level, first / 2 ** node.level + node.index), node.hash)
    }
    frontier = grown.frontier
  }
  const proof = await tree.withNodes((nodeAt) => inclusionProof(first, size, nodeAt), known)
  return proof !== undefined && hashes[0] !== undefined
    && verifyInclusion({ leafHash: hashes[0], index: first, size, root: rootHash, proof })
}

function numberOf({ from, to, e, n }: PlacedStatement): string {
  return `${directionKey(from, to)} ${e} ${n}`
}

function compare(
  { own, site }: KnownPair,
  { ours, newer, theirs }: {
    readonly ours: OwnSince, readonly newer: readonly Placed[], readonly theirs: readonly Placed[],
  },
  findings: Findings,
): Pick<LightReport, 'compared' | 'underWay'> {
  const there = new Map(theirs.map((one) => [numberOf(one.statement), one]))
  const here = new Map([...ours.since, ...newer].map((one) => [numberOf(one.statement), one]))
  let [compared, underWay] = [0, 0]
  for (const [number, { sid, statement }] of here) {
    const other = there.get(number)
    if (other?.sid === sid) compared += 1
    else if (other) {
      findings.push(`statement ${statement.n} of ${statement.from} is ${other.sid.slice(0, 16)} in `
        + `its log (entry ${other.index}), in ours ${sid.slice(0, 16)}`)
    } else if (statement.from === own || newer.some((one) => one.sid === sid)) underWay += 1
    else {
      findings.push(`its log lacks its own statement ${statement.n} to ${own}, ${statement.kind}`)
    }
  }
  for (const [number, { statement, index }] of there) {
    if (here.has(number)) continue
    if (statement.from === site) underWay += 1
    else {
      findings.push(`its log has at entry ${index} a statement ${statement.n} of ${own} that ours `
        + 'has not')
    }
  }
  return { compared, underWay }
}

/** Receipts that we have must be of the places where its log has the statements. */
async function checkReceipts(
  { pair, receipt }: LightParts,
  ours: readonly Placed[],
  theirs: readonly Placed[],
  findings: Findings,
): Promise<number> {
  const there = new Map(theirs.map((one) => [one.sid, one.index]))
  const log = { name: pair.origin, publicKey: fromHex(pair.logKey) ?? new Uint8Array() }
  let count = 0
  for (const { sid, note, statement } of ours) {
    const text = statement.from === pair.own ? await receipt(sid) : undefined
    const proof = text === undefined ? undefined : parseTlogProof(text)
    if (!proof?.ok) continue
    const proven = verifyTlogProof(proof.value, { leaf: Buffer.from(note), log })
    if (!proven.ok || there.get(sid) === proven.value.index) {
      count += proven.ok ? 1 : 0
      continue
    }
    const index = there.get(sid)
    findings.push(`it has given a receipt for statement ${statement.n} of ${pair.own} at entry `
      + `${proven.value.index}; its log has it ${index === undefined ? 'nowhere' : `at ${index}`}`)
  }
  return count
}
