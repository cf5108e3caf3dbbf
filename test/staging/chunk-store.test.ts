// Chunks on disk: true or absent, within the quota, kept as long as somebody needs them.

import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ChunkStore, ChunkStoreOptions } from '../../node/staging/chunk-store.ts'
import { openChunkStore } from '../../node/staging/chunk-store.ts'
import { systemCode, writeError } from '../../node/staging/staging-error.ts'
import { sha256Hex } from '../../protocol/base/crypto.ts'
import type { Hash } from '../../protocol/base/ids.ts'
import { limits } from '../../protocol/base/limits.ts'
import { assert, suite } from '../harness.ts'
import type { Context } from '../harness.ts'
import { MiB, randomBytes } from './sites.ts'

const t = suite('staging/chunk-store')

function open(directory: string, options: Partial<ChunkStoreOptions> = {}): Promise<ChunkStore> {
  return openChunkStore({ directory, bytesMax: 64 * MiB, ...options })
}

async function put(store: ChunkStore, bytes: Uint8Array | string): Promise<Hash> {
  const content = Buffer.from(bytes)
  await store.put(sha256Hex(content), content)
  return sha256Hex(content)
}

function chunkFile(directory: string, hash: Hash): string {
  return join(directory, 'chunks', hash.slice(0, 2), hash)
}

/** Every file below the store, but for owners. */
function filesIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name)
}

t('keeps chunks over a restart and sweeps what a crash left', async (ctx) => {
  const directory = ctx.tmp()
  const store = await open(directory)
  const hash = await put(store, 'hello')
  await put(store, 'hello')
  assert.equal(store.usage(), { bytes: 5, bytesMax: 64 * MiB, chunks: 1, corrupt: 0 })
  writeFileSync(join(directory, 'partial', '7'), 'half a chu')
  const again = await open(directory)
  assert.equal(again.usage(), { bytes: 5, bytesMax: 64 * MiB, chunks: 1, corrupt: 0 })
  assert.equal(filesIn(join(directory, 'partial')), [])
  assert.equal((await again.read(hash))?.toString(), 'hello')
  const buffer = Buffer.alloc(limits.chunkBytes)
  assert.equal(await again.readInto(hash, buffer), 5)
  assert.equal(await again.has(sha256Hex('none')), false)
  assert.equal(await again.read(sha256Hex('none')), undefined)
})

t('takes only bytes of the hash, of at most a chunk', async (ctx) => {
  const store = await open(ctx.tmp())
  const tooLong = randomBytes(limits.chunkBytes + 1)
  const wrong: [Hash, Uint8Array][] = [
    [sha256Hex('a'), Buffer.from('b')],
    [sha256Hex(''), new Uint8Array(0)],
    [sha256Hex(tooLong), tooLong],
  ]
  for (const [hash, bytes] of wrong) {
    const error = await assert.rejects(store.put(hash, bytes), /expected 1 to/)
    assert.equal(systemCode(error), 'CHUNK_MISMATCH')
  }
  assert.equal(store.usage().chunks, 0)
})

t('finds, removes and replaces what is corrupt', async (ctx) => {
  const directory = ctx.tmp()
  const store = await open(directory)
  const flipped = await put(store, 'flipped')
  const torn = await put(store, 'torn')
  const sound = await put(store, 'sound')
  writeFileSync(chunkFile(directory, flipped), 'flopped')
  truncateSync(chunkFile(directory, torn), 0)
  const lengths = new Map([[flipped, 7], [torn, 4], [sound, 5]])
  assert.equal([...(await store.missing(lengths)).keys()], [torn], 'lengths alone show this much')
  assert.equal(await store.read(flipped), undefined)
  assert.equal([...(await store.missing(lengths)).keys()].toSorted(), [flipped, torn].toSorted())
  await put(store, 'torn')
  await put(store, 'flipped')
  assert.equal((await store.read(torn))?.toString(), 'torn')
  assert.equal((await store.read(flipped))?.toString(), 'flipped')
  assert.equal((await store.missing(lengths)).size, 0)
  assert.equal(store.usage().corrupt, 2)
})

t('a full quota refuses with the way out, and leaves nothing half-done', async (ctx) => {
  const directory = ctx.tmp()
  const store = await open(directory, { bytesMax: 10 * MiB })
  const source = join(ctx.tmp(), 'big')
  writeFileSync(source, randomBytes(11 * MiB))
  const error = await assert.rejects(
    store.addFile(source, 'big'),
    /is full: .* do not fit in its 10 MiB \(.* are taken\); fetch or cancel/)
  assert.equal(systemCode(error), 'SPOOL_FULL')
  assert.ok(store.usage().bytes <= 10 * MiB)
  assert.equal(filesIn(join(directory, 'partial')), [])
  assert.equal((await open(directory)).usage().bytes, store.usage().bytes)
})

t('what nobody needs makes room, what somebody retains does not', async (ctx) => {
  let now = Date.now()
  const store = await open(ctx.tmp(), { bytesMax: 8 * MiB, graceMs: 60_000, now: () => now })
  const kept = await put(store, randomBytes(3 * MiB))
  const loose = await put(store, randomBytes(3 * MiB))
  await store.retain('job-1', [kept])
  await assert.rejects(put(store, randomBytes(3 * MiB)), /is full/)
  now += 3_600_000
  await put(store, randomBytes(3 * MiB))
  assert.equal(await store.has(loose), false)
  assert.ok(await store.read(kept))
})

t('writes together stay within the quota', async (ctx) => {
  const store = await open(ctx.tmp(), { bytesMax: 5 * MiB })
  const puts = Array.from({ length: 12 }, () => put(store, randomBytes(MiB)))
  const results = await Promise.allSettled(puts)
  assert.equal(results.filter((result) => result.status === 'fulfilled').length, 5)
  assert.equal(store.usage().bytes, 5 * MiB)
})

t('garbage is what no owner retains and nobody asked about lately', async (ctx) => {
  const directory = ctx.tmp()
  let now = Date.now()
  const store = await open(directory, { graceMs: 60_000, now: () => now })
  const [a, b, c] = [await put(store, 'a'), await put(store, 'b'), await put(store, 'c')]
  await store.retain('one', [a])
  await store.retain('one', [b])
  await store.retain('two', [b])
  assert.equal(await store.gc(), { chunks: 0, bytes: 0 })
  now += 120_000
  await store.has(c)
  assert.equal(await store.gc(), { chunks: 0, bytes: 0 })
  now += 120_000
  assert.equal(await store.gc(), { chunks: 1, bytes: 1 })
  const again = await open(directory, { graceMs: 60_000, now: () => now })
  assert.equal((await again.owners()).toSorted(), ['one', 'two'])
  await again.release('one')
  await again.release('one')
  assert.equal(await again.gc(), { chunks: 1, bytes: 1 })
  assert.equal([await again.has(a), await again.has(b)], [false, true])
  await again.release('two')
  now += 120_000
  assert.equal(await again.gc(), { chunks: 1, bytes: 1 })
  assert.equal(again.usage().bytes, 0)
})

t('garbage collection spares what is used while it runs', async (ctx) => {
  let now = Date.now()
  const store = await open(ctx.tmp(), { graceMs: 1_000, now: () => now })
  const hashes: Hash[] = []
  for (let i = 0; i < 60; i++) hashes.push(await put(store, `chunk ${i}`))
  now += 10_000
  for (let round = 0; round < 20; round++) {
    const used = hashes.filter((_, index) => index % 20 !== round)
    now += 10_000
    const [, ...found] = await Promise.all([store.gc(), ...used.map((hash) => store.has(hash))])
    const present = used.filter((_, index) => found[index])
    now += 1
    for (const hash of present) assert.ok(await store.read(hash), 'said to be here, then removed')
    for (const index of hashes.keys()) await put(store, `chunk ${index}`)
  }
})

t('an owner that comes while garbage is collected keeps its chunks', async (ctx) => {
  let now = Date.now()
  const store = await open(ctx.tmp(), { graceMs: 1_000, now: () => now })
  const hashes: Hash[] = []
  for (let i = 0; i < 30; i++) hashes.push(await put(store, `chunk ${i}`))
  now += 10_000
  const early = store.retain('early', hashes.slice(0, 10))
  const collecting = store.gc()
  const late = store.retain('late', hashes.slice(10, 20))
  await Promise.all([early, late, collecting])
  assert.equal(await collecting, { chunks: 10, bytes: 80 })
  for (const [index, hash] of hashes.entries()) assert.equal(await store.has(hash), index < 20)
})

t('a damaged owner file stops the collection and names itself', async (ctx) => {
  const directory = ctx.tmp()
  const store = await open(directory, { graceMs: 0, now: () => Date.now() + 1e9 })
  const hash = await put(store, 'x')
  writeFileSync(join(directory, 'owners', 'job'), `${hash}\nabc`)
  const error = await assert.rejects(store.gc(), /owners\/job is damaged/)
  assert.equal(systemCode(error), 'SPOOL_BROKEN')
  assert.ok(await store.has(hash))
})

t('adds files of every size, with the executable bit', async (ctx) => {
  const directory = ctx.tmp()
  const store = await open(ctx.tmp())
  for (const size of [0, 1, 65_536, limits.chunkBytes - 1, limits.chunkBytes,
    limits.chunkBytes + 1]) {
    const bytes = randomBytes(size)
    const path = join(directory, String(size))
    writeFileSync(path, bytes)
    chmodSync(path, size % 2 === 0 ? 0o755 : 0o644)
    const file = await store.addFile(path, `in/${size}`)
    assert.equal([file.path, file.sizeBytes, file.executable],
      [`in/${size}`, size, size % 2 === 0 ? 1 : 0])
    const parts: Uint8Array[] = []
    for (const hash of file.chunks) parts.push((await store.read(hash)) ?? new Uint8Array(0))
    assert.ok(Buffer.concat(parts).equals(bytes))
  }
})

t('neither links, fifos nor directories are added', async (ctx) => {
  const directory = ctx.tmp()
  const store = await open(ctx.tmp())
  symlinkSync('/etc/passwd', join(directory, 'link'))
  execFileSync('mkfifo', [join(directory, 'fifo')])
  mkdirSync(join(directory, 'dir'))
  await assert.rejects(store.addFile(join(directory, 'link'), 'link'), /ELOOP/)
  await assert.rejects(store.addFile(join(directory, 'fifo'), 'fifo'), /not a regular file/)
  await assert.rejects(store.addFile(join(directory, 'dir'), 'dir'), /not a regular file/)
})

t('a full disk is a full spool', () => {
  const error = writeError(Object.assign(new Error('no space'), { code: 'ENOSPC' }), '/spool',
    5 * MiB)
  assert.equal(systemCode(error), 'SPOOL_FULL')
  assert.match(error instanceof Error ? error.message : '',
    /\/spool is full: 5 MiB .* disk has left/)
})

t('on a disk that is really full nothing half-written stays', async (ctx) => {
  const directory = mountSmallDisk(ctx)
  const store = await open(directory)
  const source = join(ctx.tmp(), 'big')
  writeFileSync(source, randomBytes(20 * MiB))
  const error = await assert.rejects(store.addFile(source, 'big'), /what the disk has left/)
  assert.equal(systemCode(error), 'SPOOL_FULL')
  assert.equal(filesIn(join(directory, 'partial')), [])
  for (const name of filesIn(join(directory, 'chunks'))) {
    assert.equal(sha256Hex(readFileSync(chunkFile(directory, name as Hash))), name)
  }
  assert.ok(existsSync(join(directory, 'owners')))
})

/** A tmpfs of 10 MiB, where the machine lets us mount one. */
function mountSmallDisk(ctx: Context): string {
  const directory = ctx.tmp()
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=10m', 'tmpfs', directory],
      { stdio: 'ignore' })
  } catch {
    ctx.skip('mounting a small tmpfs needs root')
  }
  ctx.after(() => execFileSync('umount', [directory]))
  return directory
}

t('300 MiB pass through in bounded memory', async (ctx) => {
  const directory = ctx.tmp()
  const store = await open(directory)
  const source = join(ctx.tmp(), 'sparse')
  writeFileSync(source, randomBytes(MiB))
  truncateSync(source, 300 * MiB)
  const before = process.memoryUsage().rss
  let peak = before
  const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 5)
  ctx.after(() => clearInterval(watch))
  const file = await store.addFile(source, 'sparse')
  assert.equal([file.sizeBytes, file.chunks.length, new Set(file.chunks).size], [300 * MiB, 75, 2])
  assert.equal(store.usage().chunks, 2)
  assert.ok(peak - before < 64 * MiB, `grew by ${Math.round((peak - before) / MiB)} MiB`)
})
