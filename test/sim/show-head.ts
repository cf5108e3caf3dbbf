// What a simulated site shows of its log: heads that are on its disk with the proofs that a witness
// asked for, receipts, and the replay of another site's log.

import { formatCheckpoint, parseCheckpoint } from '../../protocol/base/checkpoint.ts'
import { toHex } from '../../protocol/base/crypto.ts'
import type { KeyPair } from '../../protocol/base/crypto.ts'
import { consistencyProof, frontierAt, inclusionProof, root } from '../../protocol/base/merkle.ts'
import { parseNote, signNote } from '../../protocol/base/note.ts'
import { formatTlogProof } from '../../protocol/base/tlog-proof.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import type { Effect, Included } from '../../protocol/machine/effects.ts'
import type { EventOf } from '../../protocol/machine/events.ts'
import type { KeptReceipt } from '../../protocol/machine/log-records.ts'
import type { MessageOf } from '../../protocol/machine/messages.ts'
import { receiptsPerMessage } from '../../protocol/machine/messages.ts'
import type { LedgerHead } from '../../protocol/rules/ledger-book.ts'
import { entryKey, nodeKey, numberKey } from '../../protocol/rules/ledger-book.ts'
import { openReplay } from '../../protocol/rules/audit.ts'
import { unclosed } from '../../protocol/rules/audit-pairs.ts'
import { logOrigin } from '../../protocol/rules/statement.ts'

type Read = (table: string, key: string) => unknown

/** Undefined when the disk is behind what was asked for. */
export function headShown(
  read: Read,
  logKey: KeyPair,
  { known, also }: Pick<Extract<Effect, { kind: 'showHead' }>, 'known' | 'also'>,
): MessageOf<'head'> | undefined {
  const head = read('ledgerHead', 'head') as LedgerHead | undefined
  const size = head?.frontier.size ?? 0
  if (!head || Math.max(known, also) > size) return undefined
  const name = logOrigin(head.site, head.federation, head.epoch)
  const text = formatCheckpoint({ origin: name, size, rootHash: root(head.frontier) })
  const nodeAt = (level: number, index: number): Uint8Array =>
    read('ledgerNodes', nodeKey(level, index)) as Uint8Array
  const proofFrom = (from: number): string[] => consistencyProof(from, size, nodeAt).map(toHex)
  return {
    kind: 'head',
    note: signNote(text, { name, key: logKey }),
    from: known,
    proof: proofFrom(known),
    also,
    also_proof: proofFrom(also),
  }
}

/** A receipt for the entry under a head that this site signed. */
export function proofShown(
  read: Read, { hold, index, note }: Extract<Effect, { kind: 'proveHold' }>,
): MessageOf<'hold_proof'> | undefined {
  const open = parseNote(note, { bytesMax: 16_384 })
  const checkpoint = open.ok ? parseCheckpoint(open.value.text) : open
  if (!open.ok || !checkpoint.ok) return undefined
  const { size } = checkpoint.value
  const nodeAt = (level: number, at: number): Uint8Array =>
    read('ledgerNodes', nodeKey(level, at)) as Uint8Array
  const hashes = inclusionProof(index, size, nodeAt)
  return {
    kind: 'hold_proof', hold, proof: formatTlogProof({ index, hashes, note: open.value }),
  }
}

/** Receipts for what is on the disk of what was asked for. */
export function receiptsShown(
  read: Read, logKey: KeyPair, { to, numbers }: Extract<Effect, { kind: 'giveReceipts' }>,
): MessageOf<'receipts'> | undefined {
  const head = read('ledgerHead', 'head') as LedgerHead | undefined
  const shown = headShown(read, logKey, { known: 0, also: 0 })
  const note = shown && parseNote(shown.note, { bytesMax: 16_384 })
  if (!head || !note?.ok) return undefined
  const nodeAt = (level: number, at: number): Uint8Array =>
    read('ledgerNodes', nodeKey(level, at)) as Uint8Array
  const { size } = head.frontier
  const proofs = numbers.slice(0, receiptsPerMessage).flatMap(({ e, n }) => {
    const index = read('ledgerNumbers', numberKey(to, head.site, { e, n }))
    if (typeof index !== 'number' || index >= size) return []
    const hashes = inclusionProof(index, size, nodeAt)
    return [{ e, n, proof: formatTlogProof({ index, hashes, note: note.value }) }]
  })
  return { kind: 'receipts', proofs }
}

/** Whether the first `size` entries on a payer's disk keep all rules and have that root. */
export function replayed(
  read: Read,
  { home, size, root: expected, epoch, closedBy }: Extract<Effect, { kind: 'replayPayer' }>,
): { readonly holds: boolean, readonly detail: string } {
  const replay = openReplay(home, () => true)
  for (let index = 0; index < size; index++) {
    const note = read('ledgerEntries', entryKey(index)) as string | undefined
    if (note === undefined) return { holds: false, detail: `${home} has dropped its first entries` }
    const [fault] = replay.leaf(Buffer.from(note))
    if (fault) return { holds: false, detail: fault.detail }
  }
  const summary = replay.summary()
  const open = summary && unclosed(summary, { epoch, sites: closedBy })
  if (open !== undefined) return { holds: false, detail: `${open} has not closed` }
  const holds = toHex(replay.head().root) === expected
  return { holds, detail: holds ? '' : 'another log was cosigned' }
}

/** Entries of the own log; undefined when a peer has only said again what is there. */
export function entriesRead(
  read: Read, { search, entries }: Extract<Effect, { kind: 'readEntries' }>,
): Omit<EventOf<'entriesRead'>, 'at'> | undefined {
  const notes = entries.map((name) => {
    const index = 'index' in name ? name.index : read('ledgerNumbers', name.number)
    return (typeof index === 'number' ? read('ledgerEntries', entryKey(index)) : '') as string
  }).map((note) => note ?? '')
  return notes[0] === search.note ? undefined : { kind: 'entriesRead', search, notes }
}

/** As the node's `readPlaces`, over all keys of the places that are on the disk. */
export function placesTaken(
  read: Read, keys: Iterable<string>, site: SiteName, places: readonly string[],
): Omit<EventOf<'placeTaken'>, 'at'>[] {
  const all = [...keys]
  return places.flatMap((place) => {
    const there = all.filter((key) => key.startsWith(`${place}/`))
    const [first, second] = there.map((key): Included => {
      const kept = read('receipts', key.slice(place.length + 1)) as KeptReceipt
      const index = read('ledgerNumbers', numberKey(site, kept.peer, kept)) as number
      return { leaf: read('ledgerEntries', entryKey(index)) as string, proof: kept.proof }
    })
    return first && second ? [{ kind: 'placeTaken', first, second }] : []
  })
}

/** The size of a head that we signed and whose root the tree on the disk does not have. */
export function deniedIn(
  read: Read, { roots }: Pick<Extract<Effect, { kind: 'showHead' }>, 'roots'>,
): number | undefined {
  const nodeAt = (level: number, at: number): Uint8Array =>
    read('ledgerNodes', nodeKey(level, at)) as Uint8Array
  const size = (read('ledgerHead', 'head') as LedgerHead | undefined)?.frontier.size ?? 0
  const known = roots.filter((one) => one.size <= size)
  return known.find((one) => toHex(root(frontierAt(one.size, nodeAt))) !== one.root)?.size
}
