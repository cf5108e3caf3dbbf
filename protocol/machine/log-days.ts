// What a node says in its own log by the clock: once a day the heads that it holds of other logs
// and the digest of its local work, once a month a snapshot. And what follows from a snapshot:
// entries before it may be dropped.
//
// [DAY-1] Nothing of it is said before a peer was heard since the start: a database that was put
//   back from a backup must not use a number twice.
// [DAY-2] Entries are dropped only below a snapshot, and below the newest reconciliation with each
//   site that has said or heard something there.

import { sha256Hex, toHex } from '../base/crypto.ts'
import type { Hash, Sid, SiteName } from '../base/ids.ts'
import { compareBytes } from '../base/ids.ts'
import { append, emptyFrontier, root } from '../base/merkle.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import { dayMs, dayOf, digestSalt, formatDigestRecord } from '../rules/digest.ts'
import { openHead, pairKey } from '../rules/ledger-book.ts'
import { issueStatement } from '../rules/ledger.ts'
import { bookText, stateOf } from '../rules/ledger-state.ts'
import type { TaskReport } from '../rules/run.ts'
import { everybody, headsMax } from '../rules/statement.ts'
import type { EventOf } from './events.ts'
import { dayKey, digestKey, snapshotKey } from './log-records.ts'
import type { SaidSnapshot } from './log-records.ts'
import { forgetDocuments } from './kept-documents.ts'
import { isQuarantined } from './quarantine.ts'
import type { HostTranche } from './state.ts'
import type { Turn } from './turn.ts'
import { answer, count, setTimer } from './turn.ts'

const soonMs = 60_000
const headStatementsMax = 4
const snapshotEveryMs = 30 * dayMs
const snapshotsKept = 24
/** So long a record of local work can be shown. */
export const digestDaysKept = 400
/** Of one day; later tasks count for the next. */
const digestRecordsMax = 1_000_000
const forgottenAtOnce = 10_000

export function onStarted(turn: Turn): void {
  const { view, now } = turn
  const due = view.get('timers', 'day/own')
  if (due === undefined) setTimer(turn, 'day/own', nextDay(turn))
  else if (due < now + soonMs) setTimer(turn, 'day/own', now + soonMs)
  const pruned = view.get('pruned', 'own')
  if (pruned && !pruned.isDone) turn.effects.push({ kind: 'dropEntries', below: pruned.below })
}

/** Midnight in UTC and up to half an hour, which differs from site to site. */
function nextDay({ self, now }: Turn): number {
  const offset = Number.parseInt(sha256Hex(self.site).slice(0, 6), 16) % 1_800_000
  return (dayOf(now) + 1) * dayMs + offset
}

export function onDay(turn: Turn): void {
  const { view, now } = turn
  if (!maySpeak(turn)) return setTimer(turn, 'day/own', now + soonMs)
  setTimer(turn, 'day/own', nextDay(turn))
  sayDigests(turn)
  sayHeads(turn)
  const newest = newestSnapshot(turn)
  if (newest ? now - newest.epochMs >= snapshotEveryMs : openHead(view).frontier.size > 256) {
    const said = saySnapshot(turn)
    if (!said.ok) count(turn, `snapshot_refused_${said.refusal.reason}`)
  }
  forgetDigests(turn)
  forgetDocuments(turn)
}

/** [DAY-1] Whoever has no peers has shown nobody what it said. */
function maySpeak(turn: Turn): boolean {
  const { view, self } = turn
  if (isQuarantined(turn)) return false
  const others = [...view.entries('members')].some(([site]) => site !== self.site)
  return !others || [...view.entries('heardPeers')].length > 0
}

/** A local task has ended: its record goes into the tree of today. */
export function gatherLocal(turn: Turn, tranche: HostTranche, task: TaskReport): void {
  const { view, now } = turn
  if (tranche.hold !== '' || task.started_ms === 0) return
  const contract = view.get('hostContracts', tranche.contract)
  const known = view.get('hostJobs', tranche.contract)
  if (!contract || !known) return
  const day = dayOf(now)
  const { frontier } = view.get('digestDay', dayKey(day)) ?? { frontier: emptyFrontier }
  if (frontier.size >= digestRecordsMax) return count(turn, 'digest_full')
  const line = formatDigestRecord({
    job: known.job,
    user: known.document.user,
    task: task.task,
    cores: contract.cores,
    core_s: task.core_s,
    gib_s: task.gib_s,
    started_ms: task.started_ms,
    ended_ms: task.ended_ms,
    how: task.how,
    exit_code: task.exit_code,
    salt: digestSalt(tranche.salt, task.task),
  })
  view.put('digestRecords', digestKey(day, frontier.size), line)
  const { frontier: grown } = append(frontier, Buffer.from(line))
  view.put('digestDay', dayKey(day), { day, frontier: grown })
}

function sayDigests(turn: Turn): void {
  const { view, self, now } = turn
  const over = [...view.entries('digestDay')].map(([, one]) => one)
    .filter(({ day }) => day < dayOf(now)).toSorted((a, b) => a.day - b.day)
  for (const { day, frontier } of over) {
    const said = { day, count: frontier.size, root: toHex(root(frontier)) as Hash }
    const issued = issueStatement(view, self.signer, {
      kind: 'digest', to: everybody, at: now, ...said,
    })
    if (!issued.ok) return count(turn, `digest_refused_${issued.refusal.reason}`)
    view.remove('digestDay', dayKey(day))
    view.put('digests', dayKey(day), { sid: issued.value.sid, count: said.count, root: said.root })
  }
}

function forgetDigests(turn: Turn): void {
  const { view, now } = turn
  let left = forgottenAtOnce
  const keys = [...view.entries('digests')].map(([key]) => key).sort(compareBytes)
  for (const key of keys) {
    const known = view.get('digests', key)
    const day = Number(key)
    if (!known || day >= dayOf(now) - digestDaysKept || left <= 0) return
    const first = Math.max(0, known.count - left)
    for (let at = known.count - 1; at >= first; at--) {
      view.remove('digestRecords', digestKey(day, at))
    }
    left -= known.count - first
    if (first === 0) view.remove('digests', key)
    else view.put('digests', key, { ...known, count: first })
  }
}

/** What we have cosigned existed by now; in turns, where it is more than fits. */
function sayHeads(turn: Turn): void {
  const { view, self, now } = turn
  const today = dayOf(now)
  if (view.get('daysSaid', 'heads') === today) return
  const all = [...view.entries('heads')].map(([, { origin, size, root: hash }]) =>
    ({ origin, size, root: hash })).toSorted((a, b) => compareBytes(a.origin, b.origin))
  if (all.length === 0) return
  const room = headStatementsMax * headsMax
  const first = all.length > room ? (today * room) % all.length : 0
  const turned = [...all.slice(first), ...all.slice(0, first)].slice(0, room)
  for (let at = 0; at < turned.length; at += headsMax) {
    const issued = issueStatement(view, self.signer, {
      kind: 'heads', to: everybody, at: now, heads: turned.slice(at, at + headsMax),
    })
    if (!issued.ok) return count(turn, `heads_refused_${issued.refusal.reason}`)
  }
  view.put('daysSaid', 'heads', today)
}

interface NotSaid {
  readonly reason: string
  readonly detail: string
}

interface Snapshot {
  readonly sid: Sid
  readonly size: number
  readonly state: Hash
}

/** [LEDGER-15] The state of the book right before the statement; its text goes to the shell. */
function saySnapshot(turn: Turn): Outcome<Snapshot, NotSaid> {
  const { view, self, now } = turn
  if (!maySpeak(turn)) {
    const detail = 'nothing can be said yet: no other site was heard since this node has started'
    return refuse({ reason: 'not_heard', detail })
  }
  const { size } = openHead(view).frontier
  const text = bookText(view)
  const state = stateOf(text.slice(0, -1).split('\n'))
  const issued = issueStatement(view, self.signer, {
    kind: 'snapshot', to: everybody, at: now, size, state,
  })
  if (!issued.ok) {
    return refuse({ reason: issued.refusal.reason, detail: `refused: ${issued.refusal.reason}` })
  }
  const { sid, index } = issued.value
  view.put('snapshots', snapshotKey(size), { sid, index, state, epochMs: now })
  turn.effects.push({ kind: 'storeSnapshot', size, text })
  const keys = [...view.entries('snapshots')].map(([key]) => key).sort(compareBytes)
  for (const key of keys.slice(0, -snapshotsKept)) view.remove('snapshots', key)
  return ok({ sid, size, state })
}

function newestSnapshot({ view }: Turn): SaidSnapshot | undefined {
  return [...view.entries('snapshots')].map(([, one]) => one)
    .toSorted((a, b) => b.index - a.index)[0]
}

export function onSnapshotRequested(turn: Turn, { request }: EventOf<'snapshotRequested'>): void {
  const said = saySnapshot(turn)
  answer(turn, request, said.ok
    ? { kind: 'done', detail: `${said.value.sid} ${said.value.size} ${said.value.state}` }
    : { kind: 'refused', code: 'conflict', detail: said.refusal.detail })
}

/** What the shell has found out about the entries is believed: mirrors and their age. */
export function onPruneRequested(turn: Turn, event: EventOf<'pruneRequested'>): void {
  const { view, now } = turn
  const { request, below } = event
  const obstacle = pruneObstacle(turn, event)
  if (obstacle !== undefined) {
    return answer(turn, request, { kind: 'refused', code: 'conflict', detail: obstacle })
  }
  const before = view.get('pruned', 'own')?.below ?? 0
  if (below > before) {
    view.put('pruned', 'own', { below, epochMs: now, isDone: false })
    turn.effects.push({ kind: 'dropEntries', below })
  }
  answer(turn, request, { kind: 'done', detail: String(Math.max(below, before)) })
}

/** [DAY-2] */
function pruneObstacle(
  { view, self }: Turn,
  { below, snapshot, sites }: {
    readonly below: number, readonly snapshot: number, readonly sites: readonly SiteName[]
  },
): string | undefined {
  const said = view.get('snapshots', snapshotKey(snapshot))
  if (!said || snapshot < below) {
    return `no snapshot at or above entry ${below} is known; make one: gridnode ledger snapshot`
  }
  for (const site of sites) {
    const agreed = view.get('ledgerReconciled', pairKey(self.site, site))
    if (agreed && agreed.index >= below) continue
    return `entries below ${below} have statements between this site and ${site}, and the two have `
      + `${agreed ? `reconciled last at entry ${agreed.index}` : 'never reconciled'}`
  }
  return undefined
}

export function onEntriesDropped({ view }: Turn, { below }: EventOf<'entriesDropped'>): void {
  const pruned = view.get('pruned', 'own')
  if (pruned?.below === below) view.put('pruned', 'own', { ...pruned, isDone: true })
}
