// Receipts: for each statement that matters its author keeps the proof that it stands in the
// addressee's log (C2SP tlog-proof), so that what was received cannot be unsaid. The receiver
// proves in groups, one signed head for all of a group; the author checks each proof before it
// keeps it, and asks again for what is missing.
//
// [RECEIPT-1] A receipt is kept only if its head is signed by the log key of its epoch and the very
//   statement stands in it.
// [RECEIPT-2] A head of a receipt is compared like every other head of that log: two roots for one
//   size are a proof, another size is to be linked.

import { fromHex, toHex } from '../base/crypto.ts'
import type { SiteName } from '../base/ids.ts'
import { leafHash, verifyInclusion } from '../base/merkle.ts'
import { formatNote } from '../base/note.ts'
import { parseTlogProof } from '../base/tlog-proof.ts'
import type { Logged } from '../rules/ledger.ts'
import type { PairStatement } from '../rules/statement.ts'
import { askHead, compareHead, openedHead } from './heads.ts'
import type { ReceiptNumber } from './log-records.ts'
import { placeKey, receiptKey } from './log-records.ts'
import type { MessageOf } from './messages.ts'
import { receiptNumbersMax } from './messages.ts'
import { isQuarantined } from './quarantine.ts'
import type { Turn } from './turn.ts'
import { count, isUp, send, setTimer } from './turn.ts'

/** So long statements of one peer are gathered under one head. */
const groupMs = 2_000
/** Owed to one peer at once; who misses more asks again. */
const owedMax = 1_024
/** Missing receipts of one peer that are remembered. */
const wantedMax = 20_000
const askMs = 60_000
const askAgainMs = 600_000
/** Then a receipt is given up: the statement itself still stands in both logs. */
const patienceMs = 30 * 86_400_000

/** What moves money, or ends or begins a promise of it. */
export function matters(said: PairStatement): boolean {
  switch (said.kind) {
    case 'hold':
    case 'held':
    case 'accept':
    case 'dispute':
    case 'resolve':
    case 'settle': return true
    case 'usage': return said.final === 1
    case 'reconcile': return said.side === 'agree'
    case 'credit':
    case 'contract':
    case 'declined':
    case 'void': return false
  }
}

/** This site has said something: it wants proof that it was logged. */
export function wantReceipt(turn: Turn, { statement, sid, note }: Logged<PairStatement>): void {
  if (!matters(statement)) return
  const { view, now } = turn
  const { to, e, n } = statement
  const wanted = view.get('receiptsMissing', to) ?? 0
  if (wanted >= wantedMax) return count(turn, 'receipts_not_wanted')
  view.put('receiptsMissing', to, wanted + 1)
  view.put('receiptsWanted', receiptKey(to, { e, n }), {
    sid, leaf: toHex(leafHash(Buffer.from(note))), saidEpochMs: now,
  })
  if (view.get('timers', `wanted/${to}`) === undefined) setTimer(turn, `wanted/${to}`, now + askMs)
}

/** A peer's statement was logged here: its author is owed the proof, with the next group. */
export function oweReceipt(turn: Turn, { statement }: Logged<PairStatement>): void {
  if (matters(statement)) owe(turn, statement.from, [{ e: statement.e, n: statement.n }])
}

function owe(turn: Turn, to: SiteName, numbers: readonly ReceiptNumber[]): void {
  const { view, now } = turn
  const owed = view.get('receiptsOwed', to) ?? []
  const known = new Set(owed.map(({ e, n }) => `${e}/${n}`))
  const fresh = numbers.filter(({ e, n }) => !known.has(`${e}/${n}`))
  view.put('receiptsOwed', to, [...owed, ...fresh].slice(0, owedMax))
  if (view.get('timers', `receipts/${to}`) !== undefined) return
  setTimer(turn, `receipts/${to}`, now + groupMs)
}

/** One head for everything that was logged meanwhile. */
export function onReceiptsDue(turn: Turn, peer: SiteName): void {
  const { view } = turn
  const owed = view.get('receiptsOwed', peer)
  if (!owed) return
  view.remove('receiptsOwed', peer)
  // Who is away asks when it is back.
  if (!isUp(turn, peer) || isQuarantined(turn)) return
  turn.effects.push({ kind: 'giveReceipts', to: peer, numbers: owed })
}

export function onReceiptsWanted(
  turn: Turn, from: SiteName, { numbers }: MessageOf<'receipts_wanted'>,
): void {
  if (numbers.length > 0) owe(turn, from, numbers)
}

/** What has been missing for some time is asked for; what nobody gave in a month is given up. */
export function onWantedDue(turn: Turn, peer: SiteName): void {
  const { view, now } = turn
  const left: (ReceiptNumber & { readonly saidEpochMs: number })[] = []
  for (const [key, { saidEpochMs }] of Array.from(view.entries('receiptsWanted'))) {
    if (!key.startsWith(`${peer}/`)) continue
    const [e = 0, n = 0] = key.slice(peer.length + 1).split('/').map(Number)
    if (now - saidEpochMs < patienceMs) left.push({ e, n, saidEpochMs })
    else {
      forgetWanted(turn, peer, { e, n })
      count(turn, 'receipts_given_up')
    }
  }
  if (left.length === 0) return
  const young = left.map(({ saidEpochMs }) => saidEpochMs + askMs).filter((due) => due > now)
  setTimer(turn, `wanted/${peer}`, Math.min(now + askAgainMs, ...young))
  const numbers = left.filter(({ saidEpochMs }) => now - saidEpochMs >= askMs)
    .toSorted((a, b) => a.e - b.e || a.n - b.n)
    .slice(0, receiptNumbersMax).map(({ e, n }) => ({ e, n }))
  if (numbers.length > 0) send(turn, peer, { kind: 'receipts_wanted', numbers })
}

export function onPeerUp(turn: Turn, peer: SiteName): void {
  if (turn.view.get('receiptsMissing', peer) !== undefined) onWantedDue(turn, peer)
}

/** [RECEIPT-1] [RECEIPT-2] */
export function onReceipts(turn: Turn, from: SiteName, { proofs }: MessageOf<'receipts'>): void {
  const { view } = turn
  let compared = ''
  const places: string[] = []
  for (const { e, n, proof: text } of proofs) {
    const wanted = view.get('receiptsWanted', receiptKey(from, { e, n }))
    if (!wanted) {
      count(turn, 'receipts_unknown')
      continue
    }
    const proof = parseTlogProof(text)
    const note = proof.ok ? formatNote(proof.value.note) : ''
    const head = openedHead(view, note)
    const isProven = proof.ok && head?.site === from && verifyInclusion({
      leafHash: fromHex(wanted.leaf) ?? new Uint8Array(),
      index: proof.value.index,
      size: head.checkpoint.size,
      root: head.checkpoint.rootHash,
      proof: proof.value.hashes,
    })
    if (!isProven) {
      count(turn, 'receipts_refused')
      continue
    }
    const shown = { note, checkpoint: head.checkpoint }
    if (note !== compared && compareHead(turn, from, shown)) askHead(turn, from)
    compared = note
    view.put('receipts', wanted.sid, { peer: from, e, n, index: proof.value.index, proof: text })
    // [EVIDENCE-7] Whether another statement was proven there is on the disk only.
    const place = placeKey(head.checkpoint.origin, proof.value.index)
    view.put('receiptPlaces', `${place}/${wanted.sid}`, 1)
    places.push(place)
    forgetWanted(turn, from, { e, n })
  }
  if (places.length > 0) {
    turn.effects.push({ kind: 'readPlaces', site: turn.self.site, places })
  }
}

function forgetWanted(turn: Turn, peer: SiteName, number: ReceiptNumber): void {
  const { view } = turn
  view.remove('receiptsWanted', receiptKey(peer, number))
  const left = (view.get('receiptsMissing', peer) ?? 1) - 1
  if (left > 0) return view.put('receiptsMissing', peer, left)
  view.remove('receiptsMissing', peer)
  setTimer(turn, `wanted/${peer}`, undefined)
}
