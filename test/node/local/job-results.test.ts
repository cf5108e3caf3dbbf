// Which of the files that a host hands over reach the owner of a job.

import { sha256Hex } from '../../../protocol/base/crypto.ts'
import type { Hash } from '../../../protocol/base/ids.ts'
import type { Tables } from '../../../protocol/base/tables.ts'
import type { Job } from '../../../protocol/machine/state.ts'
import { resultFiles } from '../../../node/local/job-results.ts'
import { storeTree } from '../../../node/staging/stored-tree.ts'
import { assert, suite } from '../../harness.ts'
import { openSite } from '../../staging/sites.ts'

const t = suite('the results of a job')

t('a host cannot slip in what the job has not promised', async (ctx) => {
  const { store } = await openSite(ctx)
  const bytes = Buffer.from('ssh-ed25519 AAAA evil')
  const hash = sha256Hex(bytes)
  await store.put(hash, bytes)
  const file = (path: string): object =>
    ({ path, executable: 0, sizeBytes: bytes.length, chunks: [hash] })
  const paths = ['.profile', '.ssh/authorized_keys', 'out/a.txt', 'out/b.txt', 'stderr', 'stdout']
  const files = paths.map(file) as never
  const tree: Hash = await storeTree(store, { files, directories: [] }, 'result-x-0')
  const id = 'ab'.repeat(6)
  const task = { job: id, task: 0, state: 'done', report: { tree } }
  const document = { outputs: ['out/a*'], array: 0 }
  const tables = new Map<string, Map<string, unknown>>([
    ['jobNotes', new Map([[id, { document }]])],
    ['homeTasks', new Map([[`${id}/000000000`, task]])],
  ]) as Tables
  const found = await resultFiles(tables, store, { id } as unknown as Job)
  assert.equal(found.map(({ path }) => path), ['out/a.txt', 'stderr', 'stdout'])
})
