// Trees between two stores: complete, resumed, shared, falsified and refused.

import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeRequest, encodeFrameHead, encodeRequest } from '../../node/staging/frames.ts'
import { serve } from '../../node/staging/serve.ts'
import { snapshot } from '../../node/staging/snapshot.ts'
import type { StoredTree } from '../../node/staging/snapshot.ts'
import { systemCode } from '../../node/staging/staging-error.ts'
import { fetchManifest, fetchTree } from '../../node/staging/transfer.ts'
import type { FetchOptions, TransferProgress } from '../../node/staging/transfer.ts'
import { sha256Hex } from '../../protocol/base/crypto.ts'
import type { Hash } from '../../protocol/base/ids.ts'
import { limits } from '../../protocol/base/limits.ts'
import { chunksOf } from '../../protocol/rules/stage.ts'
import { assert, suite } from '../harness.ts'
import type { Context } from '../harness.ts'
import type { Site, Wire } from './sites.ts'
import { MiB, openSite, plant, randomBytes, tranche, wireTo } from './sites.ts'

const t = suite('staging/transfer')

async function snapshotOf(
  ctx: Context, site: Site, files: Readonly<Record<string, string | Uint8Array | null>>,
): Promise<StoredTree> {
  const base = ctx.tmp()
  plant(base, files)
  const inputs = [{ from: '.' }]
  return snapshot({ store: site.store, owner: 'job', base, inputs, bytesMax: 1024 * MiB })
}

function into(site: Site, tree: { treeHash: Hash }, source: Wire): FetchOptions {
  const signal = new AbortController().signal
  const { treeHash } = tree
  return { source, scope: tranche, treeHash, store: site.store, owner: tranche, signal }
}

function chunkFile(site: Site, hash: Hash): string {
  return join(site.directory, 'chunks', hash.slice(0, 2), hash)
}

t('brings a tree over, byte for byte, and can hand it on', async (ctx) => {
  const [home, host, third] = [await openSite(ctx), await openSite(ctx), await openSite(ctx)]
  const big = randomBytes(9 * MiB + 5)
  const tree = await snapshotOf(ctx, home,
    { 'in/big': big, 'in/empty': '', 'in/none': null, a: 'a' })
  const progress: TransferProgress[] = []
  const wire = wireTo(home.store)
  const onProgress = (p: TransferProgress): unknown => progress.push(p)
  const options = { ...into(host, tree, wire), onProgress }
  const manifest = await fetchTree(options)
  assert.equal(manifest, tree.manifest)
  const total = 9 * MiB + 6
  assert.equal(progress[0], { bytesDone: 0, bytesTotal: total, mismatches: 0 })
  assert.equal(progress.at(-1), { bytesDone: total, bytesTotal: total, mismatches: 0 })
  await fetchTree(into(third, tree, wireTo(host.store)))
  const directory = third.workspace.directory(tranche, 3)
  await third.workspace.place(manifest, directory)
  assert.ok(readFileSync(join(directory, 'in/big')).equals(big))
  assert.equal(statSync(join(directory, 'in/empty')).size, 0)
  assert.ok(statSync(join(directory, 'in/none')).isDirectory())
})

t('asks for nothing that is here, and once for what is there twice', async (ctx) => {
  const [home, host] = [await openSite(ctx), await openSite(ctx)]
  const block = randomBytes(4 * MiB)
  const tree = await snapshotOf(ctx, home, { a: block, b: block, c: Buffer.concat([block, block]) })
  const first = wireTo(home.store)
  await fetchTree(into(host, tree, first))
  assert.equal(first.asked.length, 3, 'root, manifest and one chunk')
  const second = wireTo(home.store)
  await fetchTree(into(host, tree, second))
  assert.equal(second.bytes, 0)
  const other = await snapshotOf(ctx, home, { z: block, fresh: 'fresh' })
  const third = wireTo(home.store)
  await fetchTree(into(host, other, third))
  assert.ok(!third.asked.includes(sha256Hex(block)))
})

t('resumes after interruptions, and no chunk crosses the wire twice', async (ctx) => {
  const home = await openSite(ctx)
  const files: Record<string, Buffer> = { big: randomBytes(10 * MiB) }
  for (let i = 0; i < 40; i++) files[`small/${i}`] = randomBytes(1_000 + i)
  const tree = await snapshotOf(ctx, home, files)
  const host = await openSite(ctx)
  let wireBytes = 0
  let lost = 0
  const asked: Hash[] = []
  for (let run = 0; ; run++) {
    const wire = wireTo(home.store, { cutAfterBytes: 3_000 + run * 600_000, pieceBytes: 777 })
    const before = new Set(await heldBy(host, tree))
    let done = false
    try {
      await fetchTree(into(host, tree, wire))
      done = true
    } catch (error) {
      assert.equal(systemCode(error), 'TRANSFER_INTERRUPTED')
    }
    for (const hash of wire.asked) assert.ok(!before.has(hash), 'asked for a chunk it had')
    asked.push(...wire.asked)
    wireBytes += wire.bytes
    if (done) break
    lost++
    assert.ok(run < 60, 'makes progress')
  }
  assert.ok(lost > 3, `was interrupted ${lost} times`)
  assert.equal((await heldBy(host, tree)).length, chunksOf(tree.manifest).size)
  // What was lost is at most the chunk that each cut went through.
  const all = 10 * MiB + 40 * 1_100
  assert.ok(wireBytes < all + lost * (limits.chunkBytes + 40_000), `${wireBytes} on the wire`)
})

async function heldBy(site: Site, tree: StoredTree): Promise<Hash[]> {
  const chunks = chunksOf(tree.manifest)
  const missing = await site.store.missing(chunks)
  return [...chunks.keys()].filter((hash) => !missing.has(hash))
}

t('a tree that is larger than was said is not fetched', async (ctx) => {
  const [home, host] = [await openSite(ctx), await openSite(ctx)]
  const tree = await snapshotOf(ctx, home, { large: randomBytes(MiB) })
  const bytesMax = MiB - 1
  await assert.rejects(fetchTree({ ...into(host, tree, wireTo(home.store)), bytesMax }),
    /expected at most 1048575 bytes, got 1048576/)
  assert.equal(await heldBy(host, tree), [])
  await fetchTree({ ...into(host, tree, wireTo(home.store)), bytesMax: MiB })
})

t('two fetches at once share what is on its way', async (ctx) => {
  const [home, host] = [await openSite(ctx), await openSite(ctx)]
  const shared = randomBytes(6 * MiB)
  const one = await snapshotOf(ctx, home, { shared, one: 'one' })
  const two = await snapshotOf(ctx, home, { shared, two: 'two' })
  const wire = wireTo(home.store)
  await Promise.all([
    fetchTree(into(host, one, wire)),
    fetchTree(into(host, two, wire)),
    fetchTree(into(host, one, wire)),
  ])
  assert.equal(new Set(wire.asked).size, wire.asked.length, 'a chunk was asked for twice')
  assert.equal((await heldBy(host, two)).length, chunksOf(two.manifest).size)
})

t('when the fetch that asked first fails, the one that waited asks its own source', async (ctx) => {
  const [home, host] = [await openSite(ctx), await openSite(ctx)]
  const tree = await snapshotOf(ctx, home, { big: randomBytes(5 * MiB) })
  const [asked, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const before = (): Promise<void> => {
    asked.resolve()
    return gate.promise
  }
  const first = fetchTree(into(host, tree, wireTo(home.store, { cutAfterBytes: 0, before })))
  await asked.promise
  const second = fetchTree(into(host, tree, wireTo(home.store)))
  gate.resolve()
  await assert.rejects(first, /the line went dead.*goes on from here/)
  await second
  assert.equal((await heldBy(host, tree)).length, 2)
})

t('drops wrong bytes, keeps the right ones and gives up after three tries', async (ctx) => {
  const [home, host] = [await openSite(ctx), await openSite(ctx)]
  const tree = await snapshotOf(ctx, home,
    { bad: randomBytes(3 * MiB), good: randomBytes(2 * MiB) })
  const falsify = (piece: Uint8Array): Uint8Array => {
    if (piece.length !== 3 * MiB) return piece
    const changed = Uint8Array.from(piece)
    changed[1_000_000] = (changed[1_000_000] ?? 0) ^ 1
    return changed
  }
  const wire = wireTo(home.store, { falsify })
  let last: TransferProgress | undefined
  const options = { ...into(host, tree, wire), onProgress: (p: TransferProgress) => (last = p) }
  const error = await assert.rejects(fetchTree(options), /wrong bytes for chunk .* 3 times/)
  assert.equal(systemCode(error), 'CHUNK_MISMATCH')
  assert.equal(last?.mismatches, 3)
  assert.equal((await heldBy(host, tree)).length, 1)
  await fetchTree(into(host, tree, wireTo(home.store)))
})

t('a peer that lacks, refuses, reorders, overstates or overruns is told apart', async (ctx) => {
  const [home, host] = [await openSite(ctx), await openSite(ctx)]
  const tree = await snapshotOf(ctx, home, { f: 'content' })
  const code = async (wire: Wire): Promise<string> =>
    fetchTree(into(host, tree, wire)).then(() => '', systemCode)
  assert.equal(await code(wireTo(home.store, { allowed: () => false })), 'CHUNK_REFUSED')
  assert.equal(await code(wireTo(host.store)), 'CHUNK_ABSENT')
  const answer = (...pieces: Uint8Array[]): Wire => ({
    bytes: 0, asked: [], async *fetch() { yield* pieces },
  })
  const other = sha256Hex('other')
  assert.equal(await code(answer(encodeFrameHead(other, 5), Buffer.from('other'))), 'FRAME_BROKEN')
  assert.equal(await code(answer(encodeFrameHead(tree.treeHash, 2 ** 31))), 'FRAME_BROKEN')
  assert.equal(await code(answer(encodeFrameHead(tree.treeHash, 0))), 'FRAME_BROKEN')
  assert.equal(await code(answer(encodeFrameHead(tree.treeHash, 9))), 'TRANSFER_INTERRUPTED')
  assert.equal(await code(answer()), 'TRANSFER_INTERRUPTED')
  const root = await home.store.read(tree.treeHash)
  assert.ok(root)
  const whole = [encodeFrameHead(tree.treeHash, root.length), root]
  assert.equal(await code(answer(...whole, Buffer.from('x'))), 'FRAME_BROKEN')
  const usage = host.store.usage()
  assert.ok(usage.chunks <= 1, 'nothing but the true root was kept')
})

t('a tree hash that names something else is refused', async (ctx) => {
  const [home, host] = [await openSite(ctx), await openSite(ctx)]
  const tree = await snapshotOf(ctx, home, { f: 'not a root' })
  const [fileHash] = chunksOf(tree.manifest).keys()
  const root = `{"chunks":["${fileHash}"],"kind":"gridnode/v1/tree","size_bytes":10}`
  const bytes = Buffer.from(root)
  const fake = sha256Hex(bytes)
  await home.store.put(fake, bytes)
  for (const treeHash of [fileHash, fake]) {
    assert.ok(treeHash)
    const error = await assert.rejects(
      fetchTree(into(host, { treeHash }, wireTo(home.store))), /is refused: not a manifest/)
    assert.equal(systemCode(error), 'TREE_REFUSED')
  }
})

t('a corrupt chunk at the sender is absent, a corrupt root here is fetched anew', async (ctx) => {
  const [home, host] = [await openSite(ctx), await openSite(ctx)]
  const tree = await snapshotOf(ctx, home, { f: 'some content' })
  await fetchTree(into(host, tree, wireTo(home.store)))
  const bytes = readFileSync(chunkFile(host, tree.treeHash))
  writeFileSync(chunkFile(host, tree.treeHash),
    bytes.map((byte, i) => (i === 20 ? byte ^ 1 : byte)))
  const wire = wireTo(home.store)
  await fetchManifest(into(host, tree, wire))
  assert.equal(wire.asked, [tree.treeHash])
  const [hash] = chunksOf(tree.manifest).keys()
  assert.ok(hash)
  writeFileSync(chunkFile(home, hash), 'some c0ntent')
  const third = await openSite(ctx)
  await assert.rejects(fetchTree(into(third, tree, wireTo(home.store))), /does not have chunk/)
  assert.equal(home.store.usage().corrupt, 1)
})

t('the signal ends a fetch whose source hangs', async (ctx) => {
  const [home, host] = [await openSite(ctx), await openSite(ctx)]
  const tree = await snapshotOf(ctx, home, { f: 'x' })
  const abort = new AbortController()
  const hanging: Wire = {
    bytes: 0,
    asked: [],
    async *fetch() {
      queueMicrotask(() => abort.abort(new Error('the job was cancelled')))
      await new Promise(() => undefined)
      yield new Uint8Array(0)
    },
  }
  const options = { ...into(host, tree, hanging), signal: abort.signal }
  await assert.rejects(fetchTree(options), /the job was cancelled/)
  await fetchTree(into(host, tree, wireTo(home.store)))
})

t('a tree larger than the spool is refused before its first chunk', async (ctx) => {
  const [home, host] = [await openSite(ctx), await openSite(ctx, { bytesMax: 4 * MiB })]
  const tree = await snapshotOf(ctx, home, { f: randomBytes(5 * MiB) })
  const wire = wireTo(home.store)
  const error = await assert.rejects(fetchTree(into(host, tree, wire)),
    /the spool .* is full: 5 MiB/)
  assert.equal(systemCode(error), 'SPOOL_FULL')
  assert.equal(wire.asked.length, 2, 'root and manifest')
  await host.store.release(tranche)
  const small = await snapshotOf(ctx, home, { f: randomBytes(MiB) })
  await fetchTree(into(host, small, wireTo(home.store)))
})

t('requests that are not canonical, empty, too long or repeat a chunk are refused', async (ctx) => {
  const home = await openSite(ctx)
  const hash = sha256Hex('x')
  const one = encodeRequest({ scope: 's', hashes: [hash] })
  assert.equal(decodeRequest(one), { scope: 's', hashes: [hash] })
  const bad = [
    '', '{}', `${one} `, one.replace(hash, hash.toUpperCase()),
    encodeRequest({ scope: 's', hashes: [] }),
    encodeRequest({ scope: 's', hashes: [hash, hash] }),
    encodeRequest({ scope: 's', hashes: Array.from({ length: 513 }, (_, i) => sha256Hex(`${i}`)) }),
    encodeRequest({ scope: 'x'.repeat(300), hashes: [hash] }),
  ]
  for (const header of bad) {
    const stream = serve({ header, store: home.store, allowed: () => true })
    const error = await assert.rejects(stream.next(), /./)
    assert.equal(systemCode(error), 'REQUEST_REFUSED')
  }
})
