// What running sites keep about their logs: receipts that a third party checks, private documents
// that open what the ledgers say, snapshots, a light audit, and entries that were dropped.

import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LightReport } from '../../cli/verify/light-audit.ts'
import type { DocumentsAnswer, ReceiptAnswer, SnapshotAnswer } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { assert, eventually, suite } from '../harness.ts'
import type { Ran } from './command.ts'
import { gridnode } from './command.ts'
import { ended, entriesOf, openFederation, settled } from './federation.ts'
import { submit } from './jobs.ts'
import type { Site } from './site.ts'

const t = suite('what running sites keep')

/** The receipt of this site's newest statement of a kind, once it has come. */
async function receiptFor(site: Site, kind: string): Promise<ReceiptAnswer> {
  let found: ReceiptAnswer | undefined
  await eventually(async () => {
    const entry = (await entriesOf(site)).findLast((one) =>
      one.kind === kind && one.from === site.name)
    found = entry && await site.client.get<ReceiptAnswer>(
      apiPaths.ledgerReceipt, { entry: entry.index }).catch(() => undefined)
    return found !== undefined
  }, { timeoutSeconds: 60 })
  return found!
}

t('receipts, documents, a light audit and a snapshot of a job that was paid', async (ctx) => {
  const federation = await openFederation(ctx, {
    sites: [{ name: 'a.example', cores: 1 }, { name: 'b.example', cores: 2 }],
  })
  const [a, b] = federation.sites as [Site, Site]
  const job = await submit(a, {
    script: '#!/bin/sh\nsleep 2\necho done\n', options: { place: 'remote' },
  })
  assert.equal((await ended(a, job)).state, 'done')
  await settled(federation)

  const hold = await receiptFor(a, 'hold')
  assert.equal(hold.site, b.name)
  await receiptFor(a, 'accept')
  await receiptFor(b, 'held')
  await receiptFor(b, 'usage')

  const file = (name: string): string => join(federation.directory, name)
  const shown = await gridnode('ledger', '--dir', a.directory, 'receipt', String(hold.index),
    '--out', file('hold.proof'))
  assert.equal([shown.code, shown.err], [0, ''])
  assert.ok(existsSync(file('hold.proof')) && existsSync(file('hold.proof.entry')))
  for (const site of [a, b]) {
    const target = file(`log-${site.name}`)
    const ran = await gridnode('ledger', '--dir', site.directory, 'export', target)
    assert.equal([ran.code, ran.err], [0, ''])
  }
  const check = (...more: readonly string[]): Promise<Ran> =>
    gridnode('ledger', 'receipt', 'check', file('hold.proof'), ...more)
  const own = await check('--ledger', file('log-a.example'))
  assert.equal([own.code, own.err], [0, ''])
  assert.match(own.out, new RegExp(`entry ${hold.siteIndex} of b\\.example`))
  const both = await check('--ledger', file('log-a.example'), '--ledger', file('log-b.example'))
  assert.match(both.out, /that head is one of its ledger/)
  writeFileSync(file('hold.proof.entry'), hold.note.replace('"tasks":1', '"tasks":2'))
  const changed = await check('--ledger', file('log-a.example'))
  assert.equal(changed.code, 1)
  assert.match(changed.out, /no receipt/)

  const answers: DocumentsAnswer[] = []
  for (const site of [a, b]) {
    const target = file(`documents-${site.name}`)
    const ran = await gridnode('ledger', '--dir', site.directory, 'documents', job, '--out', target)
    assert.equal(ran.code, 0, ran.err)
    answers.push(await site.client.get<DocumentsAnswer>(apiPaths.ledgerDocuments, { job }))
  }
  assert.ok(answers.every(({ lines }) => lines.length > 0))
  const verified = await gridnode('verify', '--documents', file('documents-a.example'),
    '--documents', file('documents-b.example'), file('log-a.example'), file('log-b.example'))
  assert.equal([verified.code, verified.err], [0, ''], verified.out)
  assert.match(verified.out, /5 documents given, 4 commitments opened/)

  const light = await gridnode('audit', '--light', '--json', '--dir', a.directory, b.name)
  const report = JSON.parse(light.out) as LightReport
  assert.equal([light.code, report.verdict, report.findings], [0, 'holds', []], light.err)
  assert.ok(report.receipts >= 2 && report.compared >= 6)
  await gridnode('audit', '--light', '--dir', a.directory, b.name)

  const snapshot = await gridnode('ledger', '--dir', a.directory, 'snapshot', '--json')
  const { size } = JSON.parse(snapshot.out) as SnapshotAnswer
  await eventually(() => existsSync(join(a.directory, 'snapshots', String(size))),
    { timeoutSeconds: 30 })
  const again = await gridnode('ledger', '--dir', a.directory, 'export', file('log-a.example'))
  assert.equal(again.code, 0)
  assert.ok(existsSync(file(`log-a.example/snapshot/${size}`)))
  assert.equal((await gridnode('verify', file('log-a.example'))).code, 0)
  const early = await gridnode('ledger', '--dir', a.directory, 'prune', '--below', '256',
    '--mirror', file('log-a.example'), '--mirror', file('log-b.example'))
  assert.equal(early.code, 1)
  assert.match(early.err, /bundles of 256/)
}, { timeoutSeconds: 180 })

t('a running site drops its first entries; what is left verifies, and goes on', async (ctx) => {
  const federation = await openFederation(ctx, {
    sites: [
      { name: 'a.example', cores: 1, set: { 'ledger.retention': '"0s"' } }, { name: 'b.example' },
    ],
  })
  const [a, b] = federation.sites as [Site, Site]
  const file = (name: string): string => join(federation.directory, name)
  const atA = (...words: readonly string[]): Promise<Ran> =>
    gridnode('ledger', '--dir', a.directory, ...words)
  const prune = (): Promise<Ran> =>
    atA('prune', '--below', '300', '--mirror', file('one'), '--mirror', file('two'))
  for (let limit = 1; limit <= 300; limit++) {
    await a.client.post(apiPaths.credit, { site: b.name, limit: String(limit) })
  }
  assert.match((await prune()).err, /there is no snapshot at or above entry 256/)
  assert.equal((await atA('snapshot')).code, 0)
  for (const name of ['one', 'two']) assert.equal((await atA('export', file(name))).code, 0)
  // The two reconcile by themselves once they have been quiet.
  await eventually(async () => (await prune()).code === 0, { timeoutSeconds: 90 })
  const first = (): Promise<unknown[]> =>
    a.client.get<unknown[]>(apiPaths.ledgerEntries, { from: 0, limit: 256 })
  await eventually(async () => (await first()).length === 0, { timeoutSeconds: 30 })

  await a.client.post(apiPaths.credit, { site: b.name, limit: '77' })
  assert.equal((await atA('export', file('left'))).code, 0)
  assert.ok(!existsSync(file('left/tile/entries/000')))
  const left = await gridnode('verify', file('left'))
  assert.equal([left.code, left.err], [0, ''])
  assert.match(left.out, /verifies from entry \d+ on/)
  assert.equal((await atA('export', file('one'))).code, 0)
  const whole = await gridnode('verify', file('one'), file('left'))
  assert.equal(whole.code, 0, whole.out)

  const live = await gridnode('audit', '--dir', b.directory, '--alone', a.name)
  assert.equal([live.code, live.err], [0, ''], live.out)
  const light = await gridnode('audit', '--light', '--dir', b.directory, a.name)
  assert.equal(light.code, 0, light.out + light.err)
  assert.match(light.out, /holds, since the reconciliation/)

  await a.stop()
  await a.start()
  assert.equal((await atA('export', file('left'))).code, 0)
  assert.equal((await gridnode('verify', file('left'))).code, 0)
}, { timeoutSeconds: 240 })
