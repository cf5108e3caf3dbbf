// Records of local work: one text each, a salt that nobody chooses, and documents that open a day's
// digest and nothing else.

import { toHex } from '../../protocol/base/crypto.ts'
import type { JobId, Hash } from '../../protocol/base/ids.ts'
import { append, emptyFrontier, inclusionProof, root } from '../../protocol/base/merkle.ts'
import {
  formatDocument, openDocuments, readDocument,
} from '../../protocol/rules/audit-documents.ts'
import type { PrivateDocument } from '../../protocol/rules/audit-documents.ts'
import { openReplay } from '../../protocol/rules/audit.ts'
import type { DigestRecord } from '../../protocol/rules/digest.ts'
import {
  dayOf, digestSalt, formatDigestRecord, readDigestRecord,
} from '../../protocol/rules/digest.ts'
import { entryKey, openHead } from '../../protocol/rules/ledger-book.ts'
import { checkNow } from '../../protocol/rules/ledger-entry.ts'
import { assert, suite } from '../harness.ts'
import type { TestSite } from './ledger-sites.ts'
import { federation, say, start, view } from './ledger-sites.ts'

const t = suite('digests')

function recordOf(task: number): DigestRecord {
  return {
    job: '0123456789ab' as JobId, user: 'ada', task, cores: 2, core_s: 60, gib_s: 30,
    started_ms: start, ended_ms: start + 30_000, how: 'exited', exit_code: 0,
    salt: digestSalt('00'.repeat(16), task),
  }
}

type DigestDocument = Extract<PrivateDocument, { kind: 'digest' }>

function dayOfRecords(count: number, day: number): { documents: DigestDocument[], root: Hash } {
  const nodes = new Map<string, Uint8Array>()
  let frontier = emptyFrontier
  for (let task = 0; task < count; task++) {
    const grown = append(frontier, Buffer.from(formatDigestRecord(recordOf(task))))
    for (const { level, index, hash } of grown.nodes) nodes.set(`${level}/${index}`, hash)
    frontier = grown.frontier
  }
  const said = toHex(root(frontier)) as Hash
  const documents = Array.from({ length: count }, (_, index): DigestDocument => ({
    kind: 'digest', day, count, index, record: recordOf(index), root: said,
    proof: inclusionProof(index, count, (level, at) => nodes.get(`${level}/${at}`)!).map(toHex),
  }))
  return { documents, root: said }
}

function audit(at: TestSite, documents: readonly DigestDocument[]): [number, string[]] {
  const read = documents.map((one) => assert.accepted(readDocument(formatDocument(one))))
  const replay = openReplay(at.name, checkNow, { documents: openDocuments(read) })
  const findings: string[] = []
  for (let index = 0; index < openHead(view(at)).frontier.size; index++) {
    const note = at.tables.get('ledgerEntries')!.get(entryKey(index)) as string
    findings.push(...replay.leaf(Buffer.from(note)).map(({ rule, detail }) => `${rule} ${detail}`))
  }
  return [replay.summary()!.opened.size, findings]
}

t('a record has one text', () => {
  const line = formatDigestRecord(recordOf(3))
  assert.equal(readDigestRecord(line), { ok: true, value: recordOf(3) })
  assert.refused(readDigestRecord(line.replace(',', ', ')), 'malformed')
  assert.refused(readDigestRecord(line.replace('"task":3', '"task":3,"x":1')), 'malformed')
})

t('the salt follows from the tranche and the task alone', () => {
  const salts = [['00', 1], ['00', 2], ['01', 1]] as const
  const all = salts.map(([byte, task]) => digestSalt(byte.repeat(16), task))
  assert.equal(new Set(all).size, 3)
  assert.ok(all.every((salt) => /^[0-9a-f]{32}$/.test(salt)))
  assert.equal(digestSalt('00'.repeat(16), 1), all[0])
})

t('any record of a day opens its digest', () => {
  const [at] = federation('home.example') as [TestSite]
  const day = dayOf(start)
  const { documents, root: said } = dayOfRecords(5, day)
  say(at, { kind: 'digest', to: '*', at: start, day, count: 5, root: said })
  assert.equal(audit(at, documents), [1, []])
  assert.equal(audit(at, [documents[4]!]), [1, []])
  assert.equal(audit(at, []), [0, []])
})

t('a record of another day, count, place or content opens nothing', () => {
  const [at] = federation('home.example') as [TestSite]
  const day = dayOf(start)
  const { documents, root: said } = dayOfRecords(5, day)
  say(at, { kind: 'digest', to: '*', at: start, day: day + 1, count: 5, root: said })
  const [opened, findings] = audit(at, documents)
  assert.equal([opened, findings.length], [1, 5])
  assert.match(findings[0]!, /^I13 .*it is of day/)
  const [first] = documents
  const changes: Partial<DigestDocument>[] = [
    { index: 1 }, { count: 4 }, { record: recordOf(9) }, { proof: first!.proof.slice(1) },
    { root: '00'.repeat(32) as Hash }, { record: { ...first!.record, user: 'eve' } },
  ]
  for (const change of changes) {
    assert.refused(readDocument(formatDocument({ ...first!, ...change })), 'malformed')
  }
})
