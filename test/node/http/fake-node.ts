// A LocalNode in memory: it records what it was asked and answers the least that a route needs.

import { sha256Hex } from '../../../protocol/base/crypto.ts'
import type { Hash } from '../../../protocol/base/ids.ts'
import { ok, refuse } from '../../../protocol/base/outcome.ts'
import type {
  JobDetail, JobEvent, JobSummary, LedgerNote,
} from '../../../node/http/api.ts'
import type { LocalNode } from '../../../node/http/local-node.ts'

export interface FakeNode extends LocalNode {
  readonly asked: string[]
  readonly chunks: Map<string, Uint8Array>
  /** Streams that were begun, and how each ended. */
  readonly streams: { readonly what: string; ended: string }[]
}

const summary: JobSummary = {
  job: 'abcdef012345', name: 'x', user: 'u', state: 'active', note: 'it runs', submittedEpochMs: 1,
  tasks: { total: 1, waiting: 0, queued: 0, running: 1, done: 0, failed: 0, cancelled: 0 },
  spent: '0', held: '5', sites: ['site-b'],
}
const detail: JobDetail = {
  ...summary, script: '', cores: 1, memoryMib: 1, walltimeSeconds: 1, policy: 'cheapest',
  budget: '0', inputsBytes: 0, outputs: [], requirements: '', taskRows: [], contracts: [],
}

export function fakeNode(): FakeNode {
  const asked: string[] = []
  const chunks = new Map<string, Uint8Array>()
  const streams: FakeNode['streams'] = []
  const ask = (what: string, ...args: unknown[]): void => {
    const shown = (_: string, value: unknown): unknown =>
      typeof value === 'bigint' ? `${value}n` : value
    asked.push([what, ...args.map((arg) => JSON.stringify(arg, shown))].join(' '))
  }

  /** Gives `count` items, one each time the reader is ready, then ends or waits for the signal. */
  async function* stream<T>(
    what: string, item: (index: number) => T, count: number, signal: AbortSignal, follow: boolean,
  ): AsyncIterable<T> {
    const entry = { what, ended: '' }
    streams.push(entry)
    try {
      for (let index = 0; index < count; index++) {
        if (signal.aborted) break
        yield item(index)
      }
      if (follow && !signal.aborted) {
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      }
      entry.ended = signal.aborted ? 'aborted' : 'whole'
    } finally {
      entry.ended ||= 'returned'
    }
  }

  return {
    asked,
    chunks,
    streams,
    async info() {
      return ok({
        site: 'site-a', version: '0', federation: 'f', federationName: 'fed', pid: 1,
        startedEpochMs: 1, scheduler: 'fake', peersUp: 0, peersKnown: 0, counters: {},
      })
    },
    async chunksMissing(hashes) {
      return ok(hashes.filter((hash) => !chunks.has(hash)))
    },
    async putChunk(hash, bytes) {
      if (sha256Hex(bytes) !== hash) {
        return refuse({ reason: 'malformed', detail: 'the bytes have another hash' })
      }
      chunks.set(hash, bytes)
      return ok(undefined)
    },
    async submit(note) {
      ask('submit', note.length)
      if (note === 'slow') await new Promise(() => {})
      if (note === 'broken') throw new Error('secret details of a bug')
      return ok({ job: 'abcdef012345', already: false })
    },
    async jobs(query) {
      ask('jobs', query)
      return ok([summary])
    },
    async job(id) {
      if (id === '0000') return refuse({ reason: 'ambiguous', detail: '0000 begins 2 jobs' })
      if (id === detail.job) return ok(detail)
      return refuse({ reason: 'not_found', detail: `no job ${id}` })
    },
    async why(id) {
      return ok({ job: id, note: 'because', rounds: [] })
    },
    async ask(body, isOperator) {
      ask('ask', body, isOperator)
      return ok({ kind: 'value', value: detail })
    },
    async cancel(id, note) {
      ask('cancel', id, note)
      return note === 'mine' ? ok(detail) : refuse({ reason: 'not_owner', detail: 'not your job' })
    },
    async events(id, signal) {
      const event = (index: number): JobEvent => index < 3
        ? { kind: 'transfer', direction: 'in', site: 'site-b', bytesDone: index, bytesTotal: 3 }
        : { kind: 'end', summary }
      return ok(stream('events', event, 4, signal, id === 'ffff'))
    },
    async log(id, query, signal) {
      ask('log', id, query)
      if (id === 'dead') return ok(failing())
      const big = new Uint8Array(64 * 1024).fill(0x61)
      const endless = id === 'beef'
      const count = endless ? 1_000_000 : 2
      const bytes = endless ? big : Buffer.from('line\n')
      return ok(stream('log', () => bytes, count, signal, query.follow))
    },
    async results() {
      return ok([{ path: 'out/a', sizeBytes: 5, executable: false }])
    },
    async batch(query) {
      ask('batch', query)
      return ok([])
    },
    async tree(id, task) {
      ask('tree', id, task)
      return ok({ files: [], directories: [] })
    },
    async treeFile(id, file) {
      ask('treeFile', id, file)
      return refuse({ reason: 'not_found', detail: 'no such file' })
    },
    async resultFile(id, path, signal) {
      ask('resultFile', id, path)
      const sizeBytes = path === 'short' ? 11 : path === 'long' ? 9 : 10
      return ok({ sizeBytes, bytes: stream('file', () => Buffer.from('12345'), 2, signal, false) })
    },
    async offers(where) {
      return where === '1 +' ? refuse({ reason: 'bad_expression', detail: 'at 3: more' }) : ok([])
    },
    async peers() {
      return ok([])
    },
    async ledger() {
      return ok({ site: 'site-a', federation: 'f', entries: 0, rootHash: '', pairs: [] })
    },
    async ledgerEntries(query) {
      ask('entries', query)
      return ok([])
    },
    async ledgerNotes(from, signal) {
      ask('notes', from)
      const note = (at: number): LedgerNote => ({ index: from + at, note: `note ${from + at}` })
      return ok(stream('notes', note, 2, signal, false))
    },
    async ledgerReceipt(entry) {
      ask('ledgerReceipt', entry)
      const said = { index: 3, kind: 'hold', site: 'b.example', siteIndex: 4 }
      return ok({ sid: entry, ...said, note: 'note', proof: 'proof' })
    },
    async ledgerDigest(day) {
      ask('ledgerDigest', day)
      return ok({ day, sid: 'ab', count: 0, root: 'cd', records: [] })
    },
    async ledgerDocuments(job) {
      ask('ledgerDocuments', job)
      return ok({ lines: [], missing: [] })
    },
    async ledgerSnapshot() {
      ask('ledgerSnapshot')
      return ok({ sid: 'ab', size: 7, state: 'cd' })
    },
    async ledgerPrune(wish) {
      ask('ledgerPrune', wish.below, wish.mirrors.join(), wish.retentionSeconds)
      return ok({ below: 256 })
    },
    async ledgerPair(site) {
      ask('ledgerPair', site)
      return ok({ site, origin: 'o', logKey: 'ab', entries: 9 })
    },
    async ledgerExport(directory) {
      return directory === '/there'
        ? refuse({ reason: 'conflict', detail: '/there is there already; choose another name' })
        : ok({ directory, entries: 1, rootHash: 'ab' })
    },
    async siteLogFile(site, path, signal) {
      ask('siteLogFile', site, path)
      if (path !== 'checkpoint') return refuse({ reason: 'not_found', detail: `no ${path}` })
      const bytes = stream('log file', () => Buffer.from('12345'), 2, signal, false)
      return ok({ sizeBytes: 10, bytes })
    },
    async evidence() {
      ask('evidence')
      return ok([])
    },
    async evidenceDocument(id) {
      ask('evidenceDocument', id)
      return ok({ id, document: '{}' })
    },
    async ledgerOpen() {
      ask('ledgerOpen')
      return ok([])
    },
    async ledgerWord(word) {
      ask('ledgerWord', word.verb)
      return ok({ sids: [], detail: 'said', note: '', left: [] })
    },
    async reload() {
      return ok({ live: ['market.window'], restart: [] })
    },
    async drain(drain, reason) {
      return ok({ detail: `${drain} ${reason}` })
    },
    async setCredit(site, limit) {
      ask('credit', site, limit)
      return ok({ sid: 'ab'.repeat(32) as Hash })
    },
    async federation() {
      ask('federation')
      return ok({
        federation: 'ab'.repeat(32), name: 'fake', founder: 'a.example', entries: 2, grants: [],
        cosigned: [], held: [],
      })
    },
    async setPolicy(policy) {
      ask('policy', policy)
      return ok({ sid: 'ab'.repeat(32) as Hash })
    },
    async grantAllocation(grant) {
      ask('grant', grant)
      return ok({ sid: 'ab'.repeat(32) as Hash })
    },
    async invite(validSeconds) {
      ask('invite', validSeconds)
      return ok({ token: 'gridnode-join-v1.x', expiresEpochMs: validSeconds })
    },
  }

  async function* failing(): AsyncIterable<Uint8Array> {
    yield Buffer.from('half')
    throw new Error('the disk is gone')
  }
}
