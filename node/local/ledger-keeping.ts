// What the local API says of the log beside its entries: receipts, days of local work, private
// documents, snapshots and pruning, and where a light audit begins.

import { toHex } from '../../protocol/base/crypto.ts'
import { parseHash } from '../../protocol/base/ids.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { append, emptyFrontier, inclusionProof, root } from '../../protocol/base/merkle.ts'
import type { Outcome } from '../../protocol/base/outcome.ts'
import { ok, refuse } from '../../protocol/base/outcome.ts'
import type { Tables } from '../../protocol/base/tables.ts'
import type { KeptReceipt } from '../../protocol/machine/log-records.ts'
import { dayKey, digestKey } from '../../protocol/machine/log-records.ts'
import { entryKey, numberKey, openHead, pairKey } from '../../protocol/rules/ledger-book.ts'
import { logOrigin, parseStatement } from '../../protocol/rules/statement.ts'
import { clock } from '../clock.ts'
import type { DigestAnswer, ReceiptAnswer } from '../http/api.ts'
import type { ApiReason, ApiRefusal, LocalNode } from '../http/local-node.ts'
import { examinePrune } from '../ledger/prune.ts'
import type { SnapshotFiles } from '../ledger/snapshot-files.ts'
import type { Loop } from '../loop.ts'
import { messageOf, Problem } from '../problem.ts'
import type { Store } from '../store/level.ts'
import { jobDocuments } from './job-documents.ts'
import { get, viewOf } from './tables.ts'
import type { Watchers } from './watchers.ts'

export interface KeepingParts {
  readonly self: { readonly site: SiteName }
  readonly loop: Pick<Loop, 'push' | 'tables'>
  readonly store: Pick<Store, 'get' | 'range'>
  readonly watchers: Watchers
  readonly snapshots: SnapshotFiles
  /** The config's; nobody prunes younger entries. */
  readonly retentionSeconds: number
}

type Keeping = Pick<LocalNode,
  'ledgerReceipt' | 'ledgerDigest' | 'ledgerDocuments' | 'ledgerSnapshot' | 'ledgerPrune'
  | 'ledgerPair'>

function no(reason: ApiReason, detail: string): { ok: false, refusal: ApiRefusal } {
  return refuse({ reason, detail })
}

export function ledgerKeeping(parts: KeepingParts): Keeping {
  const { loop: { tables } } = parts
  return {
    ledgerReceipt: (entry) => receiptOf(parts, entry),
    ledgerDigest: (day) => digestOf(parts, day),
    ledgerDocuments: (job) => jobDocuments(tables, parts.store, job),
    ledgerSnapshot: () => snapshot(parts),
    ledgerPrune: (wish) => prune(parts, wish),
    ledgerPair: (site) => Promise.resolve(pairOf(tables, parts.self.site, site)),
  }
}

async function receiptOf(
  { store, loop, self }: KeepingParts, entry: string,
): Promise<Outcome<ReceiptAnswer, ApiRefusal>> {
  const named = await entryNamed(store, entry)
  if (!named) {
    return no('not_found', parseHash(entry)
      ? `no receipt for statement ${entry.slice(0, 16)} is here; name the index of its entry to `
        + 'see whether it is wanted'
      : `there is no entry ${entry} here; see gridnode ledger entries`)
  }
  const { note, receipt } = named
  const parsed = parseStatement(note)
  if (!parsed.ok || parsed.value.statement.kind === 'federation') {
    return no('not_found', `entry ${entry} is no statement to another site`)
  }
  const { statement, sid } = parsed.value
  const kept = receipt ?? await store.get('receipts', sid) as KeptReceipt | undefined
  if (!kept) {
    const isOurs = statement.from === self.site && statement.to !== '*'
    const isWanted = [...loop.tables.get('receiptsWanted')?.values() ?? []]
      .some((one) => (one as { readonly sid: string }).sid === sid)
    return no('not_found', !isOurs ? 'receipts are kept of what this site said to another one'
      : isWanted ? `${statement.to} has not given its receipt yet; it is asked for again`
        : `a ${statement.kind} moves nothing: no receipt is asked for it`)
  }
  const { from, to, e, n } = statement
  const index = await store.get('ledgerNumbers', numberKey(from, to, { e, n }))
  return ok({
    sid, index: Number(index), kind: statement.kind, site: kept.peer, siteIndex: kept.index, note,
    proof: kept.proof,
  })
}

/** By index, or by the sid of a statement whose receipt is here. */
async function entryNamed(
  store: Pick<Store, 'get'>, entry: string,
): Promise<{ readonly note: string, readonly receipt?: KeptReceipt } | undefined> {
  if (!parseHash(entry)) {
    const note = await store.get('ledgerEntries', entryKey(Number(entry)))
    return typeof note === 'string' ? { note } : undefined
  }
  const receipt = await store.get('receipts', entry) as KeptReceipt | undefined
  const site = await ownSite(store)
  if (!receipt || site === undefined) return undefined
  const { peer, e, n } = receipt
  const index = await store.get('ledgerNumbers', numberKey(site, peer, { e, n }))
  const note = await store.get('ledgerEntries', entryKey(Number(index)))
  return typeof note === 'string' ? { note, receipt } : undefined
}

async function ownSite(store: Pick<Store, 'get'>): Promise<SiteName | undefined> {
  const head = await store.get('ledgerHead', 'head') as { readonly site: SiteName } | undefined
  return head?.site
}

async function digestOf(
  { store, loop }: KeepingParts, day: number,
): Promise<Outcome<DigestAnswer, ApiRefusal>> {
  const said = get(loop.tables, 'digests', dayKey(day))
  if (!said) {
    const open = get(loop.tables, 'digestDay', dayKey(day))
    return no('not_found', open
      ? `the day is not over, or not said yet; ${open.frontier.size} local tasks have ended on it`
      : 'no local task has ended on that day, or its records are no longer kept')
  }
  const records: string[] = []
  let frontier = emptyFrontier
  const nodes = new Map<string, Uint8Array>()
  const [first, end] = [digestKey(day, 0), digestKey(day, said.count)]
  for await (const [, line] of store.range('digestRecords', first, end)) {
    const grown = append(frontier, Buffer.from(String(line)))
    for (const { level, index, hash } of grown.nodes) nodes.set(`${level}/${index}`, hash)
    frontier = grown.frontier
    records.push(String(line))
  }
  if (toHex(root(frontier)) !== said.root) {
    return no('conflict', 'the records of that day are not what was said: some are no longer kept')
  }
  const nodeAt = (level: number, index: number): Uint8Array => nodes.get(`${level}/${index}`)!
  return ok({
    day,
    sid: said.sid,
    count: said.count,
    root: said.root,
    records: records.map((record, index) => ({
      record, proof: inclusionProof(index, records.length, nodeAt).map(toHex),
    })),
  })
}

async function snapshot({ watchers, loop }: KeepingParts): ReturnType<Keeping['ledgerSnapshot']> {
  const answer = await watchers.ask((request) => loop.push({ kind: 'snapshotRequested', request }))
  if (answer.kind !== 'done') {
    return no('conflict', answer.kind === 'refused' ? answer.detail : 'the node gave no answer')
  }
  const [sid = '', size = '', state = ''] = answer.detail.split(' ')
  return ok({ sid, size: Number(size), state })
}

async function prune(
  parts: KeepingParts, wish: Parameters<Keeping['ledgerPrune']>[0],
): ReturnType<Keeping['ledgerPrune']> {
  const { store, snapshots, loop, watchers, retentionSeconds: least } = parts
  const { below, mirrors, retentionSeconds = least } = wish
  if (retentionSeconds < least) {
    return no('conflict', `the config keeps entries for ${least} s (ledger.retention); ask for no `
      + 'less, or change the config and start the node again')
  }
  try {
    const prunable = await examinePrune(store, snapshots, {
      below, mirrors, retentionMs: retentionSeconds * 1_000, nowEpochMs: clock.now(),
    })
    const answer = await watchers.ask((request) =>
      loop.push({ kind: 'pruneRequested', request, ...prunable }))
    if (answer.kind === 'done') return ok({ below: Number(answer.detail) })
    return no('conflict', answer.kind === 'refused' ? answer.detail : 'the node gave no answer')
  } catch (error) {
    if (error instanceof Problem) return no('conflict', messageOf(error))
    throw error
  }
}

function pairOf(
  tables: Tables, own: SiteName, site: SiteName,
): Awaited<ReturnType<Keeping['ledgerPair']>> {
  const view = viewOf(tables)
  const member = view.get('ledgerMembers', site)
  if (!member || site === own) {
    return no('not_found', `${site} is not another site of this federation`)
  }
  const { federation, frontier } = openHead(view)
  const origin = logOrigin(site, federation, member.epoch)
  const head = view.get('heads', origin)
  const agreed = view.get('ledgerReconciled', pairKey(own, site))
  return ok({
    site,
    origin,
    logKey: member.keys.log,
    ...(head && { head: { size: head.size, root: head.root } }),
    ...(agreed && { reconciled: { sid: agreed.sid, index: agreed.index } }),
    entries: frontier.size,
  })
}
