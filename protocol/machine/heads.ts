// Heads of logs: every site is a witness of its peers'. It asks each for its newest head, checks
// that it continues the one it has stored, stores the whole checkpoint and only then cosigns it
// (C2SP tlog-witness). Witnesses show one another what they hold, so a log with two stories is
// found by whoever hears both.
//
// [HEAD-1] A head is stored and cosigned only if it is signed by the log key of its epoch and
//   proven to continue the stored one.
// [HEAD-2] The cosignature leaves after the commit that stores the head.
// [HEAD-3] Two roots for one size prove a lie; two sizes prove nothing, and their log is asked to
//   link them.
// [HEAD-4] An exchange shows at most four heads of other logs, in turn.

import { cosign, openCosignatures } from '../base/cosignature.ts'
import type { Checkpoint } from '../base/checkpoint.ts'
import { formatCheckpoint, parseCheckpoint } from '../base/checkpoint.ts'
import { fromHex, toHex } from '../base/crypto.ts'
import type { Hash, SiteName } from '../base/ids.ts'
import { compareBytes, parseSiteName } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import { emptyFrontier, root as rootOf, verifyConsistency } from '../base/merkle.ts'
import type { OpenNote, Verifier } from '../base/note.ts'
import { parseNote, verifyNote } from '../base/note.ts'
import type { View } from '../base/tables.ts'
import { openHead } from '../rules/ledger-book.ts'
import { erasOf, logVerifier } from '../rules/ledger-keys.ts'
import { logOrigin, witnessSignerName } from '../rules/statement.ts'
import type { EventOf } from './events.ts'
import { noteHeads } from './evidence.ts'
import type { MessageOf } from './messages.ts'
import { headNoteBytesMax } from './messages.ts'
import { isQuarantined, quarantine } from './quarantine.ts'
import type { CoreTables } from './state.ts'
import type { Cosigned, HeldHead } from './trust-records.ts'
import type { Turn } from './turn.ts'
import { count, send, setTimer } from './turn.ts'

const cosignedPerWitness = 4
/** So long a log that is up may leave two of its heads unlinked before that is shown. */
const challengeMs = 3_600_000

/** Asks a peer for its head, with what we hold of it and what others say of it. */
export function askHead(turn: Turn, peer: SiteName): void {
  const { view } = turn
  if (view.get('ledgerFrozen', peer)) return
  const origin = originOf(turn, peer)
  if (origin === undefined) return
  const known = view.get('heads', origin)?.note ?? ''
  const also = view.get('challenges', origin)?.note ?? ''
  send(turn, peer, { kind: 'head_wanted', known, also })
}

/** The log that a peer writes now, by the newest epoch that we know of it. */
export function originOf({ view, self }: Turn, peer: SiteName): string | undefined {
  const member = view.get('ledgerMembers', peer)
  return member && logOrigin(peer, self.federation, member.epoch)
}

/** A witness asks; whoever holds more of our log than we do proves that our database is old. */
export function onHeadWanted(
  turn: Turn, from: SiteName, message: MessageOf<'head_wanted'>,
): void {
  const { site, frontier } = openHead(turn.view)
  const roots: { size: number, root: string }[] = []
  const sizes = [message.known, message.also].map((note) => {
    const held = note === '' ? undefined : openedHead(turn.view, note)
    if (held?.site !== site || held.checkpoint.origin !== originOf(turn, site)) return 0
    roots.push({ size: held.checkpoint.size, root: toHex(held.checkpoint.rootHash) })
    if (held.checkpoint.size > frontier.size) {
      quarantine(turn, from, `it holds a signed head of ours with ${held.checkpoint.size} entries, `
        + `our ledger has ${frontier.size}`)
    }
    return held.checkpoint.size
  })
  const [known = 0, also = 0] = sizes
  if (Math.max(known, also) > frontier.size) return
  turn.effects.push({ kind: 'showHead', to: from, known, also, roots })
}

/** Our key has signed a head that our tree never had: what we have grown since is another story. */
export function onHeadDenied(turn: Turn, { from, size }: EventOf<'headDenied'>): void {
  quarantine(turn, from, `it holds a signed head of ours with ${size} entries that are not those `
    + 'of our ledger')
}

export function onHead(turn: Turn, from: SiteName, message: MessageOf<'head'>): void {
  const { view, now } = turn
  const held = openedHead(view, message.note)
  const origin = originOf(turn, from)
  if (held?.site !== from || held.checkpoint.origin !== origin) return count(turn, 'head_refused')
  if (view.get('ledgerFrozen', from)) return
  const { checkpoint } = held
  const known = view.get('heads', origin)
  if (known && isFork(turn, known, { note: message.note, checkpoint })) return
  // An answer to what we asked before we stored the newest one.
  if (message.from !== (known?.size ?? 0) || checkpoint.size < message.from) {
    return count(turn, 'head_stale')
  }
  const continues = verifyConsistency({
    from: message.from,
    to: checkpoint.size,
    fromRoot: (known && fromHex(known.root)) ?? rootOf(emptyFrontier),
    toRoot: checkpoint.rootHash,
    proof: hashes(message.proof),
  })
  if (!continues) return count(turn, 'head_inconsistent')
  link(turn, { origin, checkpoint }, message)
  const head: HeldHead = {
    site: from,
    origin,
    size: checkpoint.size,
    root: toHex(checkpoint.rootHash) as Hash,
    note: message.note,
    seenEpochMs: now,
  }
  view.put('heads', origin, head)
  // An old database may have forgotten what it has cosigned.
  if (isQuarantined(turn)) return
  const line = cosign(formatCheckpoint(checkpoint), turn.self.witness, Math.floor(now / 1_000))
  send(turn, from, { kind: 'cosigned', size: head.size, root: head.root, line })
}

/** Whether the log has shown one size with two roots: then that is kept as evidence. */
function isFork(
  turn: Turn,
  known: Pick<HeldHead, 'size' | 'root' | 'note'>,
  shown: { readonly note: string, readonly checkpoint: Checkpoint },
): boolean {
  const { checkpoint } = shown
  if (checkpoint.size !== known.size || toHex(checkpoint.rootHash) === known.root) return false
  count(turn, 'head_fork')
  noteHeads(turn, known.note, shown.note)
  return true
}

/** The same answer must continue what somebody else was shown. */
function link(
  turn: Turn,
  { origin, checkpoint }: { readonly origin: string, readonly checkpoint: Checkpoint },
  { also, also_proof }: MessageOf<'head'>,
): void {
  const challenge = turn.view.get('challenges', origin)
  if (challenge?.size !== also) return
  const continues = verifyConsistency({
    from: challenge.size,
    to: checkpoint.size,
    fromRoot: fromHex(challenge.root) ?? new Uint8Array(),
    toRoot: checkpoint.rootHash,
    proof: hashes(also_proof),
  })
  if (!continues) return count(turn, 'head_unlinked')
  turn.view.remove('challenges', origin)
  setTimer(turn, `challenge/${origin}`, undefined)
}

/** A witness's word on our head: kept for receipts and for the exported checkpoint. */
export function onCosigned(turn: Turn, from: SiteName, message: MessageOf<'cosigned'>): void {
  const { view, self } = turn
  const rootHash = fromHex(message.root)
  const origin = originOf(turn, self.site)
  if (!rootHash || origin === undefined || message.size > openHead(view).frontier.size) return
  const text = formatCheckpoint({ origin, size: message.size, rootHash })
  const note = parseNote(`${text}\n${message.line}`, { bytesMax: headNoteBytesMax })
  const [cosigned] = note.ok ? openCosignatures(note.value, witnessVerifiers(view, from)) : []
  if (!cosigned) return count(turn, 'cosignature_refused')
  const before = view.get('cosigned', from) ?? []
  const fresh: Cosigned = {
    size: message.size, root: message.root, seconds: cosigned.seconds, line: message.line,
  }
  const others = before.filter(({ size }) => size !== fresh.size)
  view.put('cosigned', from, [...others, fresh].slice(-cosignedPerWitness))
  turn.cosigned.add(from)
}

/** The keys under which a site has cosigned, newest first. */
export function witnessVerifiers(view: View<CoreTables>, site: SiteName): Verifier[] {
  const member = view.get('ledgerMembers', site)
  return (member ? erasOf(member) : []).map(({ epoch, keys }) => ({
    name: witnessSignerName(site, epoch), publicKey: fromHex(keys.witness) ?? new Uint8Array(),
  }))
}

/**
 * What we hold of others, in turns: so that each hears of each log from several sides. However many
 * sites there are, each log is shown so many times in the time of an exchange [HEAD-4].
 */
export function passHeads(turn: Turn, to: SiteName): void {
  const all = [...turn.view.entries('heads')].map(([, head]) => head)
    .filter(({ site }) => site !== to).toSorted((a, b) => compareBytes(a.origin, b.origin))
  if (all.length === 0) return
  const first = Math.floor(turn.now / 15_000) * limits.headsPerExchange % all.length
  const notes = [...all.slice(first), ...all.slice(0, first)].slice(0, limits.headsPerExchange)
    .map(({ note }) => note)
  send(turn, to, { kind: 'heads', notes })
}

/** [HEAD-3] Heads of third logs, as another site was shown them. */
export function onHeads(turn: Turn, from: SiteName, message: MessageOf<'heads'>): void {
  const { view, self } = turn
  for (const note of message.notes) {
    // What we hold of a log that has not grown since: its signature was checked then.
    const known = view.get('heads', note.slice(0, Math.max(0, note.indexOf('\n'))))
    if (known?.note === note && known.site !== from) continue
    const held = openedHead(view, note)
    if (!held || held.site === from) {
      count(turn, 'head_refused')
      continue
    }
    const { checkpoint, site } = held
    if (site === self.site) {
      onOwnHead(turn, from, checkpoint)
      continue
    }
    if (compareHead(turn, site, { note, checkpoint })) askHead(turn, site)
  }
}

/** [HEAD-3] A signed head against what is stored; true when it is now to be linked with it. */
export function compareHead(
  turn: Turn, site: SiteName, shown: { readonly note: string, readonly checkpoint: Checkpoint },
): boolean {
  const { view, now } = turn
  const { origin, size, rootHash } = shown.checkpoint
  const known = view.get('heads', origin)
  if (known && isFork(turn, known, shown)) return false
  const asked = view.get('challenges', origin)
  if (asked && isFork(turn, asked, shown)) return false
  // A log that is over grows no more: nothing can link its heads.
  if (origin !== originOf(turn, site)) return false
  // Nobody goes on with the log of an epoch that is over: nothing can link its heads any more.
  if (known?.size === size || asked || !known || origin !== originOf(turn, site)) return false
  view.put('challenges', origin, {
    site, size, root: toHex(rootHash) as Hash, note: shown.note, sinceEpochMs: now, overdue: false,
  })
  setTimer(turn, `challenge/${origin}`, now + challengeMs)
  return true
}

/** Not evidence: silence never is. It is shown, and weighs in what people think of the log. */
export function onChallengeDue(turn: Turn, origin: string): void {
  const open = turn.view.get('challenges', origin)
  if (!open) return
  if (origin !== originOf(turn, open.site)) return turn.view.remove('challenges', origin)
  turn.view.put('challenges', origin, { ...open, overdue: true })
  setTimer(turn, `challenge/${origin}`, turn.now + challengeMs)
  askHead(turn, open.site)
}

function onOwnHead(turn: Turn, from: SiteName, { origin, size }: Checkpoint): void {
  const { frontier } = openHead(turn.view)
  if (origin !== originOf(turn, turn.self.site) || size <= frontier.size) return
  quarantine(turn, from, `it holds a signed head of ours with ${size} entries, our ledger has `
    + `${frontier.size}`)
}

interface OpenedHead {
  readonly site: SiteName
  readonly checkpoint: Checkpoint
}

/** A checkpoint that is signed by the log key of a member, in whichever of its epochs. */
export function openedHead(view: View<CoreTables>, note: string): OpenedHead | undefined {
  const open = parseNote(note, { bytesMax: headNoteBytesMax })
  const checkpoint = open.ok ? parseCheckpoint(open.value.text) : open
  if (!open.ok || !checkpoint.ok) return undefined
  const [name = '', , , e = ''] = checkpoint.value.origin.split('/')
  const site = parseSiteName(name)
  const verifier = site && verifierFor(view, site, { open: open.value, epoch: Number(e.slice(1)) })
  if (!site || verifier?.name !== checkpoint.value.origin) return undefined
  return { site, checkpoint: checkpoint.value }
}

function verifierFor(
  view: View<CoreTables>,
  site: SiteName,
  { open, epoch }: { readonly open: OpenNote, readonly epoch: number },
): Verifier | undefined {
  const member = view.get('ledgerMembers', site)
  const fed = openHead(view).federation
  const verifier = member && logVerifier(member, site, { fed, epoch })
  return verifier && verifyNote(open, verifier) ? verifier : undefined
}

function hashes(proof: readonly string[]): Uint8Array[] {
  return proof.map((hash) => fromHex(hash) ?? new Uint8Array())
}
