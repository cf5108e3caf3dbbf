// The live log: proofs and receipts that verify at every size, heads that are signed only behind a
// raised mark and never in quarantine, and nothing handed out beyond them.

import { join } from 'node:path'
import type { LiveLog, LiveLogParts } from '../../node/ledger/live-log.ts'
import { openLiveLog } from '../../node/ledger/live-log.ts'
import { markOf, raiseMark, readMark } from '../../node/store/mark.ts'
import { parseCheckpoint } from '../../protocol/base/checkpoint.ts'
import { cosign, openCosignatures } from '../../protocol/base/cosignature.ts'
import { toHex } from '../../protocol/base/crypto.ts'
import { leafHash, root, verifyConsistency, verifyInclusion } from '../../protocol/base/merkle.ts'
import { parseNote, verifyNote } from '../../protocol/base/note.ts'
import { decodeBundle, decodeTile, tilePath, tilesFor } from '../../protocol/base/tiles.ts'
import { parseTlogProof, verifyTlogProof } from '../../protocol/base/tlog-proof.ts'
import type { LedgerHead } from '../../protocol/rules/ledger-book.ts'
import { assert, suite } from '../harness.ts'
import { readingStore } from '../rules/ledger-exports.ts'
import type { TestSite } from '../rules/ledger-sites.ts'
import { credits, federation, keyFor, say, start } from '../rules/ledger-sites.ts'

const t = suite('live log')

function founder(entries: number): TestSite {
  const [at] = federation('home.example') as [TestSite]
  grow(at, entries - sizeOf(at))
  return at
}

function grow(at: TestSite, count: number): void {
  for (let limit = 0; limit < count; limit++) {
    say(at, { kind: 'credit', to: at.name, at: start, limit: credits(limit) })
  }
}

function headOf(at: TestSite): LedgerHead {
  return at.tables.get('ledgerHead')?.get('head') as LedgerHead
}

function sizeOf(at: TestSite): number {
  return headOf(at).frontier.size
}

function open(
  at: TestSite, folder: string, more: Partial<LiveLogParts> = {},
): Promise<LiveLog> {
  return openLiveLog({
    store: readingStore(at), logKey: at.log, markPath: join(folder, 'ledger.mark'),
    quarantined: () => undefined, ...more,
  })
}

function logKeyOf(at: TestSite, { origin }: LiveLog): { name: string, publicKey: Uint8Array } {
  return { name: origin, publicKey: at.log.publicKey }
}

t('inclusion, consistency and receipts hold for every entry and size', async (ctx) => {
  const at = founder(3)
  const live = await open(at, ctx.tmp())
  const roots = new Map<number, Uint8Array>()
  for (; sizeOf(at) < 12; grow(at, 1)) roots.set(sizeOf(at), root(headOf(at).frontier))
  roots.set(12, root(headOf(at).frontier))
  const log = logKeyOf(at, live)
  for (const [to, toRoot] of roots) {
    assert.equal(await live.rootAt(to), toRoot)
    for (const [from, fromRoot] of roots) {
      if (from > to) continue
      const proof = await live.consistencyProof({ from, to })
      assert.ok(verifyConsistency({ from, to, fromRoot, toRoot, proof }), `${from} in ${to}`)
    }
    for (let index = 0; index < to; index++) {
      const leaf = Buffer.from((await live.entry(index))!)
      const proof = await live.inclusionProof({ index, size: to })
      const claim = { leafHash: leafHash(leaf), index, size: to, root: toRoot, proof }
      assert.ok(verifyInclusion(claim), `${index} in ${to}`)
    }
  }
  for (let index = 0; index < 12; index++) {
    const receipt = assert.accepted(parseTlogProof((await live.receipt(index))!))
    const leaf = Buffer.from((await live.entry(index))!)
    assert.equal(assert.accepted(verifyTlogProof(receipt, { leaf, log })).checkpoint.size, 12)
  }
  for (const index of [-1, 12, 1.5]) assert.equal(await live.receipt(index), undefined)
  assert.equal(await live.entry(12), undefined)
})

t('a receipt under an older head of this log, and under none of another', async (ctx) => {
  const at = founder(5)
  const live = await open(at, ctx.tmp())
  const { note } = await live.checkpoint()
  grow(at, 4)
  await live.checkpoint()
  const older = assert.accepted(parseTlogProof((await live.receipt(4, note))!))
  const leaf = Buffer.from((await live.entry(4))!)
  const proven = assert.accepted(verifyTlogProof(older, { leaf, log: logKeyOf(at, live) }))
  assert.equal(proven.checkpoint.size, 5)
  assert.equal(await live.receipt(5, note), undefined)
  const [other] = federation('other.example') as [TestSite]
  const { note: foreign } = await (await open(other, ctx.tmp())).checkpoint()
  await assert.rejects(live.receipt(0, foreign), /a head that home\.example\/gridnode.* signed/)
  await assert.rejects(live.receipt(0, note.replace('\n5\n', '\n6\n')), /a head that/)
})

t('the mark is raised before a head is handed out, and never falls', async (ctx) => {
  const folder = ctx.tmp()
  const path = join(folder, 'ledger.mark')
  const at = founder(4)
  const live = await open(at, folder)
  assert.equal(readMark(path), undefined)
  assert.equal(live.sizeShown(), 0)
  const asked = [live.checkpoint(), live.checkpoint()]
  grow(at, 3)
  asked.push(live.checkpoint())
  const sizes = (await Promise.all(asked)).map(({ head }) => head.frontier.size)
  assert.equal(sizes.toSorted((a, b) => a - b), sizes)
  assert.equal(readMark(path), markOf(headOf(at)))
  assert.equal(live.sizeShown(), 7)
  const { note, head } = await live.checkpoint()
  assert.equal(head, headOf(at))
  const parsed = assert.accepted(parseNote(note, { bytesMax: 4_096 }))
  assert.ok(verifyNote(parsed, logKeyOf(at, live)))
  const checkpoint = assert.accepted(parseCheckpoint(parsed.text))
  assert.equal([checkpoint.origin, checkpoint.size], [live.origin, 7])
  assert.equal((await live.checkpoint()).note, note)
  // Somebody else has shown more than this database has: it was restored behind our back.
  raiseMark(path, { ...markOf(headOf(at)), size: 9 })
  grow(at, 1)
  await assert.rejects(live.checkpoint(), /9 entries of .* the database has 8/)
  assert.equal(readMark(path)?.size, 9)
  raiseMark(path, { ...markOf(headOf(at)), root: toHex(leafHash(Buffer.from('fork'))) })
  await assert.rejects(live.checkpoint(), /8 entries of .* the database has 8/)
})

t('nothing is signed in quarantine, not even what was signed before', async (ctx) => {
  const folder = ctx.tmp()
  const at = founder(4)
  let why: string | undefined
  const live = await open(at, folder, { quarantined: () => why })
  await live.checkpoint()
  why = 'a peer holds more of it'
  grow(at, 1)
  for (const refused of [live.checkpoint(), live.receipt(0), live.file('checkpoint')]) {
    await assert.rejects(refused, /signs no checkpoint: a peer holds more of it/)
  }
  assert.equal(readMark(join(folder, 'ledger.mark'))?.size, 4)
  why = undefined
  assert.equal((await live.checkpoint()).head.frontier.size, 5)
})

t('a signature that failed does not stop the next', async (ctx) => {
  const folder = join(ctx.tmp(), 'absent')
  const live = await open(founder(4), folder)
  await assert.rejects(live.checkpoint(), /writing the high-water mark/)
  assert.equal(live.sizeShown(), 0)
  await assert.rejects(live.checkpoint(), /writing the high-water mark/)
})

t('cosignatures are put under the head that they are of', async (ctx) => {
  const at = founder(4)
  const witness = { name: 'w.example/gridnode/w1', key: keyFor('w.example', 'witness') }
  const live = await open(at, ctx.tmp(), {
    cosignatures: ({ size, text }) => (size === 4 ? [cosign(text, witness, 7)] : []),
  })
  const count = async (): Promise<number> => {
    const note = assert.accepted(parseNote((await live.checkpoint()).note, { bytesMax: 4_096 }))
    assert.ok(verifyNote(note, logKeyOf(at, live)))
    const known = { name: witness.name, publicKey: witness.key.publicKey }
    return openCosignatures(note, [known]).length
  }
  assert.equal(await count(), 1)
  grow(at, 1)
  assert.equal(await count(), 0)
})

t('tiles are those of the newest signed head, in any width, and nothing beyond it', async (ctx) => {
  const folder = ctx.tmp()
  const at = founder(300)
  const live = await open(at, folder)
  assert.equal(await live.file('tile/entries/000.p/1'), undefined)
  await live.checkpoint()
  grow(at, 1)
  for (const tile of tilesFor({ from: 0, size: 300 })) {
    const file = await live.file(tilePath(tile))
    assert.equal(file?.kind, tile.level === 'entries' ? 'entries' : 'tile')
    if (tile.level === 'entries') assert.accepted(decodeBundle(file!.bytes, tile.width))
    else assert.accepted(decodeTile(file!.bytes, tile.width))
  }
  const [first] = assert.accepted(decodeBundle((await live.file('tile/entries/001.p/1'))!.bytes, 1))
  assert.equal(Buffer.from(first!).toString(), await live.entry(256))
  for (const path of [
    'tile/entries/001.p/45', 'tile/0/001.p/45', 'tile/0/001', 'tile/0/002.p/1', 'tile/1/000.p/2',
    'tile/1/000', 'tile/2/000.p/1', 'tile/0/000.p/256', 'tile/0/1', 'tile/0/x000/000',
    'checkpoint/', '', 'tile', '../checkpoint', 'tile/entries/x999/x999/x999/x999/x999/999',
  ]) assert.equal(await live.file(path), undefined, path)
  // After a restart what was shown before is shown again.
  const again = await open(at, folder)
  assert.equal(again.sizeShown(), 300)
  assert.ok(await again.file('tile/entries/001.p/44'))
})
