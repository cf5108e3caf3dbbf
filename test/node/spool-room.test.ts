// The spool gives its room back: what nobody keeps goes, what a record stands for stays.

import type { Tables } from '../../protocol/base/tables.ts'
import { sha256Hex } from '../../protocol/base/crypto.ts'
import type { Hash } from '../../protocol/base/ids.ts'
import { releaseOrphans, spoolRoom } from '../../node/spool-room.ts'
import type { ChunkStore } from '../../node/staging/chunk-store.ts'
import { openChunkStore } from '../../node/staging/chunk-store.ts'
import { assert, suite } from '../harness.ts'

const t = suite('the room in the spool')
const bytesMax = 64 * 1024

async function put(store: ChunkStore, fill: number, sizeBytes: number): Promise<Hash> {
  const bytes = Buffer.alloc(sizeBytes, fill)
  const hash = sha256Hex(bytes)
  await store.put(hash, bytes)
  return hash
}

t('chunks that nobody keeps make room once the spool is half full', async (ctx) => {
  const directory = ctx.tmp()
  let now = Date.now()
  const chunks = await openChunkStore({ directory, bytesMax, graceMs: 1_000, now: () => now })
  const kept = await put(chunks, 1, 16 * 1024)
  await chunks.retain('job-0123456789ab', [kept])
  await put(chunks, 2, 30 * 1024)
  const busy = spoolRoom({ directory, bytesMax, chunks })
  assert.equal(await busy.bytesFree(), bytesMax - 46 * 1024, 'within the grace nothing goes')
  now += 10_000
  assert.equal(await busy.bytesFree(), bytesMax - 46 * 1024, 'not looked through at every question')
  const later = spoolRoom({ directory, bytesMax, chunks })
  assert.equal(await later.bytesFree(), bytesMax - 16 * 1024)
  assert.ok(await chunks.has(kept))
})

t('at a start, chunks are kept for what is on record only', async (ctx) => {
  const chunks = await openChunkStore({ directory: ctx.tmp(), bytesMax })
  const hash = await put(chunks, 1, 10)
  const [open, over, gone] = ['aaaaaaaaaaaa', 'bbbbbbbbbbbb', 'cccccccccccc']
  const [tranche, past] = ['1111111111111111', '2222222222222222']
  const tables: Tables = new Map([
    ['jobs', new Map<string, unknown>([
      [open!, { state: { kind: 'open' } }], [over!, { state: { kind: 'ended' } }],
    ])],
    ['hostTranches', new Map<string, unknown>([[tranche!, {}]])],
  ])
  const stay = [`job-${open}`, `result-${open}-0`, `result-${over}-7`, `stage-${tranche}`,
    `out-${tranche}-3`, 'somebody.else']
  const go = [`job-${over}`, `job-${gone}`, `result-${gone}-0`, `stage-${past}`, `out-${past}-3`]
  for (const owner of [...stay, ...go]) await chunks.retain(owner, [hash])
  await releaseOrphans(tables, chunks)
  assert.equal(new Set(await chunks.owners()), new Set(stay))
})
