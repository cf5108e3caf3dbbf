// Dropping the first entries of the log: what must be so before, and the dropping itself. The hash
// tiles stay for ever, so every proof and every head can still be checked. Invariants: only whole
// bundles go; before, two mirrors were read and hold exactly these entries (by our own hash tiles),
// the youngest of them is old enough, and the text of a snapshot above them is here; a crash in
// between drops the rest later.

import { lstatSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { sameBytes } from '../../protocol/base/crypto.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { compareBytes } from '../../protocol/base/ids.ts'
import { limits } from '../../protocol/base/limits.ts'
import { leafHash } from '../../protocol/base/merkle.ts'
import { decodeBundle, tilePath, tileWidth } from '../../protocol/base/tiles.ts'
import type { PrunedRecord, SaidSnapshot } from '../../protocol/machine/log-records.ts'
import { snapshotKey } from '../../protocol/machine/log-records.ts'
import type { LedgerHead } from '../../protocol/rules/ledger-book.ts'
import { entryKey } from '../../protocol/rules/ledger-book.ts'
import { stateOf } from '../../protocol/rules/ledger-state.ts'
import { everybody, parseStatement } from '../../protocol/rules/statement.ts'
import { Problem } from '../problem.ts'
import type { Store } from '../store/level.ts'
import { readTile } from '../store/log-tiles.ts'
import type { SnapshotFiles } from './snapshot-files.ts'

export interface PruneWish {
  /** Rounded down to whole bundles. */
  readonly below: number
  /** Directories with exports of this log. */
  readonly mirrors: readonly string[]
  readonly retentionMs: number
  readonly nowEpochMs: number
}

/** What the core is asked for then. */
export interface Prunable {
  readonly below: number
  readonly snapshot: number
  readonly sites: readonly SiteName[]
}

const bundleBytesMax = tileWidth * (2 + limits.statementBytes)
const mirrorsMin = 2
const dropAtOnce = 1_024

type Reading = Pick<Store, 'get' | 'range'>

/** @throws Problem `prune`: why these entries must stay, and what to do about it */
export async function examinePrune(
  store: Reading, snapshots: SnapshotFiles, wish: PruneWish,
): Promise<Prunable> {
  const below = wish.below - (wish.below % tileWidth)
  const head = await store.get('ledgerHead', 'head') as LedgerHead | undefined
  if (!head || below === 0 || below > head.frontier.size) {
    throw problem(`expected an index from ${tileWidth} on, as whole bundles of ${tileWidth} `
      + `entries are dropped, and at most ${head?.frontier.size ?? 0}, which are here; got `
      + String(wish.below))
  }
  const snapshot = await snapshotAbove(store, snapshots, below)
  const mirrors = mirrorPaths(wish.mirrors)
  const pruned = await store.get('pruned', 'own') as PrunedRecord | undefined
  const sites = new Set<SiteName>()
  let newestEpochMs = 0
  for (let first = pruned?.below ?? 0; first < below; first += tileWidth) {
    const entries = await mirrored(store, mirrors, first / tileWidth)
    for (const entry of entries) {
      const parsed = parseStatement(Buffer.from(entry).toString('utf8'))
      if (!parsed.ok) continue
      const { statement } = parsed.value
      newestEpochMs = Math.max(newestEpochMs, statement.at)
      if (statement.kind === 'federation' || statement.to === everybody) continue
      sites.add(statement.from === head.site ? statement.to : statement.from)
    }
  }
  const ageMs = wish.nowEpochMs - newestEpochMs
  if (ageMs < wish.retentionMs) {
    throw problem(`the youngest entry below ${below} is ${days(ageMs)} days old, and entries are `
      + `kept for ${days(wish.retentionMs)} days (ledger.retention)`)
  }
  sites.delete(head.site)
  return { below, snapshot, sites: [...sites].sort(compareBytes) }
}

/** The lowest snapshot at or above `below` whose text is here. */
async function snapshotAbove(
  store: Reading, snapshots: SnapshotFiles, below: number,
): Promise<number> {
  for (const size of snapshots.sizes().filter((one) => one >= below)) {
    const said = await store.get('snapshots', snapshotKey(size)) as SaidSnapshot | undefined
    const text = snapshots.read(size)
    if (said && text && stateOf(text.slice(0, -1).split('\n')) === said.state) return size
  }
  throw problem(`there is no snapshot at or above entry ${below}; make one: gridnode ledger `
    + 'snapshot')
}

function mirrorPaths(directories: readonly string[]): string[] {
  const paths = new Set(directories.map((directory) => {
    try {
      return realpathSync(directory)
    } catch (cause) {
      throw problem(`the mirror ${directory} cannot be read`, cause)
    }
  }))
  if (paths.size >= mirrorsMin) return [...paths]
  throw problem(`expected ${mirrorsMin} mirrors in different directories, got ${paths.size}; `
    + 'write them with: gridnode ledger export DIR')
}

/** The entries of a bundle, as every mirror has them and our own hash tile says. */
async function mirrored(
  store: Reading, mirrors: readonly string[], index: number,
): Promise<Uint8Array[]> {
  const own = await readTile(store, { level: 0, index, width: tileWidth })
  const path = tilePath({ level: 'entries', index, width: tileWidth })
  let entries: Uint8Array[] = []
  for (const mirror of mirrors) {
    const bundle = decodeBundle(readMirror(mirror, path), tileWidth)
    if (!bundle.ok) throw problem(`${join(mirror, path)}: ${bundle.refusal.detail}`)
    const hashes = Buffer.concat(bundle.value.map(leafHash))
    if (!own || !sameBytes(hashes, own)) {
      throw problem(`${join(mirror, path)} has other entries than this ledger`)
    }
    entries = bundle.value
  }
  return entries
}

function readMirror(mirror: string, path: string): Uint8Array {
  const file = join(mirror, path)
  try {
    if (!lstatSync(file).isFile() || statSync(file).size > bundleBytesMax) {
      throw new Error('it is no bundle of entries')
    }
    return readFileSync(file)
  } catch (cause) {
    throw problem(`the mirror has no ${file}; export the ledger there again, before it is pruned`,
      cause)
  }
}

/** Removes the entries below from the database, in commits of bounded size. */
export async function dropEntries(
  store: Pick<Store, 'range' | 'commit'>, below: number,
): Promise<void> {
  for (;;) {
    const keys: string[] = []
    for await (const [key] of store.range('ledgerEntries', entryKey(0), entryKey(below))) {
      keys.push(key)
      if (keys.length === dropAtOnce) break
    }
    if (keys.length === 0) return
    await store.commit(keys.map((key) => ({ table: 'ledgerEntries', key, value: undefined })))
  }
}

function days(ms: number): number {
  return Math.floor(ms / 86_400_000)
}

function problem(message: string, cause?: unknown): Problem {
  return new Problem('prune', message, cause)
}
