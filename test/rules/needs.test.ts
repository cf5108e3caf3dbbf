// What a task needs beyond cores, memory and time: each reason, in order, at home and at the host.

import type { Asking, Holdings } from '../../protocol/rules/needs.ts'
import { chunkFault, lackOf, needsOf } from '../../protocol/rules/needs.ts'
import { assert, suite } from '../harness.ts'

const t = suite('needs')

const site: Holdings = {
  coresTotal: 64, coresPerTaskMax: 16, memoryMibPerTaskMax: 1_024, nodesTotal: 4, gpusTotal: 2,
  abilities: ['nodes', 'chunks', 'gpus', 'licences', 'seen_at'],
  licences: [{ name: 'matlab', count: 2 }],
}
const chunk = { nodes: 2, cores: 8, memory_mib: 512, gpus: 0 }
const small: Asking = { cores: 1, memory_mib: 64 }
const wide: Asking = { cores: 16, memory_mib: 1_024, chunks: [chunk] }

function lack(job: Asking, has: Holdings = site): string {
  const { cores, memory_mib } = job
  const outcome = lackOf({ cores, memory_mib, needs: needsOf(job) }, has)
  return outcome.ok ? 'fits' : outcome.refusal.reason
}

t('most jobs need nothing', () => {
  assert.equal(needsOf(small), undefined)
  assert.equal(needsOf({ ...small, chunks: [{ ...chunk, nodes: 1 }] }), undefined)
  assert.equal(lack(small), 'fits')
})

t('[NEED-1] [NEED-2] what lies in one node fits one node, and all of it the site', () => {
  assert.equal(lack({ ...small, cores: 17 }), 'cores')
  assert.equal(lack({ ...small, memory_mib: 1_025 }), 'memory')
  assert.equal(lack({ ...small, cores: 17, memory_mib: 1_025 }), 'cores')
  assert.equal(lack(wide), 'fits')
  const heavy = { ...chunk, cores: 16, memory_mib: 2_048 }
  assert.equal(lack({ cores: 32, memory_mib: 4_096, chunks: [heavy] }), 'memory')
  assert.equal(lack({ cores: 80, memory_mib: 80, chunks: [{ ...chunk, nodes: 10 }] }), 'cores')
})

t('[NEED-3] what the scheduler cannot do is refused, whatever else it has', () => {
  const none = { ...site, abilities: [] }
  for (const more of [
    { gpus: 1 }, { licences: [{ name: 'matlab', count: 1 }] }, { seen_at: '/home/ada' },
    { chunks: [chunk], cores: 16, memory_mib: 1_024 },
  ]) assert.equal(lack({ ...small, ...more }, none), 'ability')
  const two = { cores: 17, memory_mib: 1_088, chunks: [chunk, { ...chunk, nodes: 1, cores: 1 }] }
  assert.equal(lack(two), 'fits')
  assert.equal(lack(two, { ...site, abilities: ['nodes'] }), 'ability')
})

t('[NEED-4] [NEED-5] [NEED-6] no more nodes, gpus or licences than there are', () => {
  const spread = { ...chunk, nodes: 5, cores: 1 }
  assert.equal(lack({ cores: 5, memory_mib: 5, chunks: [spread] }), 'nodes')
  assert.equal(lack({ ...small, gpus: 2 }), 'fits')
  assert.equal(lack({ ...small, gpus: 3 }), 'gpus')
  assert.equal(lack({ ...small, licences: [{ name: 'matlab', count: 2 }] }), 'fits')
  assert.equal(lack({ ...small, licences: [{ name: 'matlab', count: 3 }] }), 'licences')
  assert.equal(lack({ ...small, licences: [{ name: 'idl', count: 1 }] }), 'licences')
})

t('[NEED-7] the job is the sum of its chunks', () => {
  assert.equal(chunkFault(small), undefined)
  assert.equal(chunkFault(wide), undefined)
  assert.match(chunkFault({ ...wide, cores: 15 }) ?? '', 'the chunks are 16 cores')
  assert.match(chunkFault({ ...wide, gpus: 1 }) ?? '', 'the job says')
})
