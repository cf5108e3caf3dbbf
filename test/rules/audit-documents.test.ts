// Private documents against commitments: each kind opens what its hash is in, and what it says must
// be what the statement says.

import { assert, suite } from '../harness.ts'
import { sha256Hex } from '../../protocol/base/crypto.ts'
import type { PrivateDocument } from '../../protocol/rules/audit-documents.ts'
import { meterCommitment } from '../../protocol/rules/run.ts'
import {
  formatDocument, openDocuments, readDocument,
} from '../../protocol/rules/audit-documents.ts'
import { openReplay } from '../../protocol/rules/audit.ts'
import { trancheCommitment } from '../../protocol/rules/contract.ts'
import { checkNow } from '../../protocol/rules/ledger-entry.ts'
import { unstartedTask } from '../../protocol/rules/run.ts'
import {
  agreedDeal, federation, heldInput, holdInput, must, offerInput, say, tell, usageInput, view,
} from './ledger-sites.ts'
import type { TestSite } from './ledger-sites.ts'

const t = suite('private documents')

const salt = '11'.repeat(16)
const report = (task: number, core_s: number) =>
  ({ ...unstartedTask, task, state: 'ended', how: 'exited', started_ms: 1, core_s } as const)

function audited(at: TestSite, documents: readonly PrivateDocument[]) {
  const read = documents.map((one) => must(readDocument(formatDocument(one))))
  const replay = openReplay(at.name, checkNow, { documents: openDocuments(read) })
  const findings = [...view(at).entries('ledgerEntries')]
    .flatMap(([, note]) => replay.leaf(Buffer.from(note)))
  return {
    findings: findings.map(({ index, rule, detail }) => `${index} ${rule} ${detail}`),
    opened: read.map(({ hash }) => replay.summary()?.opened.has(hash)),
  }
}

function world(tasks: string, meterCoreSeconds: number) {
  const [home, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  const deal = agreedDeal(home, host)
  const tranche = { kind: 'tranche', salt, tasks } as const
  const doc = trancheCommitment({ salt, tasks })
  const hold = tell(home, host, holdInput(deal, 1_000, { tasks: 2, doc })).sid
  tell(host, home, heldInput(deal, hold))
  const meter = { kind: 'meter', salt, reports: [report(1, meterCoreSeconds)] } as const
  say(host, {
    ...usageInput(deal, hold, { amount: 277, core_s: 1, final: 1 }),
    meter: meterCommitment(salt, meter.reports),
  } as Parameters<typeof say>[1])
  return { home, host, deal, tranche, meter }
}

t('each kind opens what commits to it', () => {
  const { host, home, deal, tranche, meter } = world('1-2', 1)
  const bid = { kind: 'bid', note: 'a bid\n' } as const
  tell(home, host, offerInput(host, deal.tariff, { bid: sha256Hex(bid.note) }))
  assert.equal(audited(host, [tranche, meter, bid]), { findings: [], opened: [true, true, true] })
})

t('what nothing commits to opens nothing', () => {
  const { host, tranche, meter } = world('1-2', 1)
  const others = [{ ...tranche, salt: '22'.repeat(16) }, { ...tranche, tasks: '1-3' },
    { ...meter, salt: '22'.repeat(16) }]
  assert.equal(audited(host, others), { findings: [], opened: [false, false, false] })
})

t('a document that says something else than its statement is found', () => {
  const { host, tranche, meter } = world('1-3', 0)
  const entries = [...view(host).entries('ledgerEntries')].map(([, note]) => note)
  const at = (kind: string): number =>
    entries.findIndex((note) => note.startsWith(`gridnode/v1/${kind}\n`))
  assert.equal(audited(host, [tranche, meter]).findings, [
    `${at('hold')} I13 its tranche document does not fit: the hold is for 2 tasks, the document `
      + 'lists 1-3',
    `${at('usage')} I13 its meter document does not fit: core_s claimed is 1, the reports make 0`,
  ])
})

t('a line that is no document is refused', () => {
  for (const [line, said] of [
    ['', /not JSON/],
    ['{"kind":"other"}', /expected one of job, bid, tranche, meter/],
    [`{"kind":"tranche","salt":"${salt}","tasks":"1", "x":1}`, /not canonical/],
    ['{"kind":"job","note":"x"}', /the job: no empty line/],
    [`{"kind":"tranche","salt":"11","tasks":"1"}`, /16 bytes in hexadecimal/],
  ] as const) {
    const read = readDocument(line)
    assert.ok(!read.ok)
    assert.match(read.refusal.detail, said)
  }
})
