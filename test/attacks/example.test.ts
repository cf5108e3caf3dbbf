// The example of a proof in docs/LEDGER.md, byte for byte: whoever writes another implementation
// can check with it that both come to the same answer.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { sha256Hex } from '../../protocol/base/crypto.ts'
import {
  checkEvidence, encodeEvidence, evidenceBytesMax, evidenceContext,
} from '../../protocol/rules/evidence.ts'
import { assert, suite } from '../harness.ts'
import { agreedDeal, credits, federation, view } from '../rules/ledger-sites.ts'
import { another } from './liar.ts'

const t = suite('the example of a proof')

t('the page shows the document that the code makes, and its hash', () => {
  const [home, host, third] = federation('home.example', 'host.example', 'third.example')
  agreedDeal(home!, host!, 100_000_000)
  const notes = [...host!.tables.get('ledgerEntries')!.values()] as string[]
  const first = notes.find((note) => note.startsWith('gridnode/v1/credit\n'))!
  const second = another(host!.signer.statement, first, { limit: credits(1) })
  const document = encodeEvidence({ kind: 'double_number', first, second })
  const lie = assert.accepted(checkEvidence(document, evidenceContext(view(third!))))
  assert.equal(lie, {
    accused: host!.name, epoch: 1, kind: 'double_number', doc: sha256Hex(document),
    what: 'signed two statements number 1 to home.example',
  })
  const page = readFileSync(join(import.meta.dirname, '../../docs/LEDGER.md'), 'utf8')
  assert.ok(page.includes(`\`\`\`\n${document}\n\`\`\`\n`), `the page has ${document}`)
  assert.ok(page.includes(`\`${lie.doc}\``), `the page has its hash, ${lie.doc}`)
  assert.equal(evidenceBytesMax, 144 * 1024, 'as the page says')
})
