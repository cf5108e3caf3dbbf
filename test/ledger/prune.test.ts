// Dropping the first entries: what keeps them, what is left, and that everything but the entries
// can still be checked.

import { cpSync, existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { directoryFiles } from '../../cli/verify/log-files.ts'
import { verifyLogs } from '../../cli/verify/verify.ts'
import { openLiveLog } from '../../node/ledger/live-log.ts'
import { dropEntries, examinePrune } from '../../node/ledger/prune.ts'
import type { PruneWish } from '../../node/ledger/prune.ts'
import { openSnapshotFiles } from '../../node/ledger/snapshot-files.ts'
import type { SnapshotFiles } from '../../node/ledger/snapshot-files.ts'
import { exportLedger } from '../../node/store/ledger-export.ts'
import { applyWrites } from '../../protocol/base/tables.ts'
import { tilePath, tilesFor } from '../../protocol/base/tiles.ts'
import { snapshotKey } from '../../protocol/machine/log-records.ts'
import { openHead } from '../../protocol/rules/ledger-book.ts'
import { bookState, bookText } from '../../protocol/rules/ledger-state.ts'
import { assert, suite } from '../harness.ts'
import type { Context } from '../harness.ts'
import { readingStore } from '../rules/ledger-exports.ts'
import type { TestSite } from '../rules/ledger-sites.ts'
import { credits, federation, say, start, tell, view } from '../rules/ledger-sites.ts'

const t = suite('pruning')

const day = 86_400_000

interface World {
  readonly own: TestSite
  readonly peer: TestSite
  readonly snapshots: SnapshotFiles
  readonly folder: string
  readonly mirrors: readonly string[]
  readonly wish: PruneWish
  exported(name: string): Promise<string>
}

/** A log of some 600 entries with a snapshot at its end, and two mirrors of it. */
async function world(ctx: Context): Promise<World> {
  const [own, peer] = federation('own.example', 'peer.example') as [TestSite, TestSite]
  for (let limit = 1; limit <= 300; limit++) {
    tell(own, peer, { kind: 'credit', to: peer.name, at: start, limit: credits(limit) })
    tell(peer, own, { kind: 'credit', to: own.name, at: start, limit: credits(limit) })
  }
  const folder = ctx.tmp()
  const snapshots = openSnapshotFiles(join(folder, 'snapshots'))
  snapshot(own, snapshots)
  say(own, { kind: 'credit', to: peer.name, at: start, limit: credits(9) })
  const exported = async (name: string): Promise<string> => {
    const directory = join(folder, name)
    await exportLedger(readingStore(own), own.log, directory, { snapshots })
    return directory
  }
  const mirrors = [await exported('one'), await exported('two')]
  const wish = { below: 400, mirrors, retentionMs: 10 * day, nowEpochMs: start + 20 * day }
  return { own, peer, snapshots, folder, mirrors, wish, exported }
}

function snapshot(at: TestSite, snapshots: SnapshotFiles): void {
  const { size } = openHead(view(at)).frontier
  const text = bookText(view(at))
  const state = bookState(view(at))
  const { sid, index } = say(at, { kind: 'snapshot', to: '*', at: start, size, state })
  snapshots.write(size, text)
  const said = { sid, index, state, epochMs: start }
  applyWrites(at.tables, [{ table: 'snapshots', key: snapshotKey(size), value: said }], new Set())
}

function drop(at: TestSite, below: number): Promise<void> {
  const none: ReadonlySet<string> = new Set()
  const pruned = { below, epochMs: start, isDone: false }
  applyWrites(at.tables, [{ table: 'pruned', key: 'own', value: pruned }], none)
  return dropEntries({
    ...readingStore(at),
    commit: async (writes) => applyWrites(at.tables, writes, none),
  }, below)
}

function entriesOf(at: TestSite): number {
  return at.tables.get('ledgerEntries')!.size
}

t('what may go is told with the sites that it concerns, in whole bundles', async (ctx) => {
  const { own, peer, snapshots, wish } = await world(ctx)
  const prunable = await examinePrune(readingStore(own), snapshots, wish)
  assert.equal(prunable, { below: 256, snapshot: snapshots.sizes()[0]!, sites: [peer.name] })
})

t('each thing that is missing keeps the entries', async (ctx) => {
  const { own, snapshots, folder, mirrors, wish } = await world(ctx)
  const store = readingStore(own)
  const refused = (change: Partial<PruneWish>, why: RegExp): Promise<unknown> =>
    assert.rejects(examinePrune(store, snapshots, { ...wish, ...change }), why)
  await refused({ below: 255 }, /bundles of 256/)
  await refused({ below: 1_000_000 }, /expected an index/)
  await refused({ nowEpochMs: start + 9 * day }, /9 days old, and entries are kept for 10 days/)
  await refused({ mirrors: [mirrors[0]!] }, /expected 2 mirrors/)
  symlinkSync(mirrors[0]!, join(folder, 'same'))
  await refused({ mirrors: [mirrors[0]!, join(folder, 'same')] }, /in different directories, got 1/)
  await refused({ mirrors: [mirrors[0]!, join(folder, 'nowhere')] }, /cannot be read/)
  const bundle = join(mirrors[1]!, 'tile/entries/000')
  const bytes = readFileSync(bundle)
  bytes[500] = bytes[500]! ^ 1
  writeFileSync(bundle, bytes)
  await refused({}, /has other entries than this ledger/)
  rmSync(bundle)
  await refused({}, /the mirror has no/)
  const none = openSnapshotFiles(join(folder, 'none'))
  await assert.rejects(examinePrune(store, none, wish), /no snapshot at or above entry 256/)
  none.write(snapshots.sizes()[0]!, 'gridnode/v1/book\n')
  await assert.rejects(examinePrune(store, none, wish), /no snapshot at or above/)
})

t('a pruned log verifies from its snapshot on, an older mirror from the beginning', async (ctx) => {
  const { own, peer, snapshots, mirrors, folder, exported } = await world(ctx)
  const before = entriesOf(own)
  await drop(own, 512)
  assert.equal(entriesOf(own), before - 512)
  say(own, { kind: 'credit', to: peer.name, at: start, limit: credits(5) })
  const fresh = await exported('fresh')
  assert.equal(readFileSync(join(fresh, 'pruned'), 'utf8'), '512\n')
  assert.ok(!existsSync(join(fresh, 'tile/entries/000')) && existsSync(join(fresh, 'tile/0/000')))
  assert.ok(existsSync(join(fresh, 'snapshot', String(snapshots.sizes()[0]))))
  const report = await verifyLogs([directoryFiles(fresh)])
  assert.equal([report.verdict, report.findings], ['holds', []])
  assert.match(report.notes.join(), new RegExp(`entry ${snapshots.sizes()[0]}`))
  // A mirror goes on with what is new, and keeps what it has.
  const kept = await exported('one')
  assert.ok(existsSync(join(kept, 'tile/entries/000')) && !existsSync(join(kept, 'pruned')))
  const whole = await verifyLogs([directoryFiles(kept)])
  assert.equal([whole.verdict, whole.findings], ['holds', []])
  assert.equal(whole.logs[0]?.root, report.logs[0]?.root)
  cpSync(fresh, join(folder, 'without'), { recursive: true })
  rmSync(join(folder, 'without/snapshot'), { recursive: true })
  const lost = await verifyLogs([directoryFiles(join(folder, 'without'))])
  assert.equal(lost.verdict, 'broken')
  assert.ok(mirrors.length === 2)
})

t('what is left has proofs of all entries, and no text of those that went', async (ctx) => {
  const { own, snapshots } = await world(ctx)
  const parts = {
    store: readingStore(own), logKey: own.log, markPath: join(ctx.tmp(), 'mark'),
    quarantined: () => undefined, snapshots,
  }
  const live = await openLiveLog(parts)
  await live.checkpoint()
  assert.equal(await live.file('pruned'), undefined)
  const receipt = await live.receipt(3)
  await drop(own, 512)
  for (const tile of tilesFor({ from: 0, size: live.sizeShown() })) {
    const file = await live.file(tilePath(tile))
    assert.equal(file === undefined, tile.level === 'entries' && tile.index < 2, tilePath(tile))
  }
  assert.equal(await live.receipt(3), receipt)
  assert.equal(await live.entry(3), undefined)
  assert.equal((await live.file('pruned'))?.bytes.toString(), '512\n')
  const size = snapshots.sizes()[0]!
  assert.equal((await live.file(`snapshot/${size}`))?.bytes.toString(), snapshots.read(size))
  for (const path of [`snapshot/${size + 1}`, 'snapshot/', 'snapshot/../x', 'snapshot/01']) {
    assert.equal(await live.file(path), undefined)
  }
  // What was not pruned and is not there is damage.
  own.tables.get('ledgerEntries')!.delete('000000000520')
  await assert.rejects(live.file(tilePath({ level: 'entries', index: 2, width: 50 })), /missing/)
})

t('texts of snapshots are bounded in number', (ctx) => {
  const files = openSnapshotFiles(join(ctx.tmp(), 'snapshots'))
  assert.equal([files.sizes(), files.read(3)], [[], undefined])
  for (const size of [3, 10, 200, 30, 4_000, 5]) files.write(size, `${size}\n`)
  assert.equal(files.sizes(), [10, 30, 200, 4_000])
  assert.equal(files.read(30), '30\n')
})
