// A database that was put back from a backup, with real processes: refused at the start, recovered
// by the command, brought together with the peer, and paid for new work. Then the same with the
// database lost altogether, from the peer's export. Every ledger verifies.
// time limit: 240 s

import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { ExportAnswer, LedgerEntryRow, PeerRow } from '../../node/http/api.ts'
import { apiPaths } from '../../node/http/api.ts'
import { assert, eventually, suite } from '../harness.ts'
import { gridnode } from './command.ts'
import type { Federation } from './federation.ts'
import {
  booksHold, ended, entriesOf, everybodyMeets, ledgerOf, openFederation, settled,
} from './federation.ts'
import { submit } from './jobs.ts'
import type { Site } from './site.ts'

const t = suite('restored from a backup')

let federation: Federation
let folder = ''
t.before(async (ctx) => {
  folder = ctx.tmp()
  federation = await openFederation(ctx, {
    sites: [{ name: 'a.example', cores: 1 }, { name: 'b.example', cores: 2 }],
  })
}, { timeoutSeconds: 90 })

const home = () => federation.site('a.example')
const host = () => federation.site('b.example')

/** A job that leaves home, done and paid. */
async function paidWork(): Promise<void> {
  const before = await balance(host())
  const job = await submit(home(), {
    tasks: '1-2', script: '#!/bin/sh\nsleep 1\n', options: { place: 'remote' },
  })
  const detail = await ended(home(), job)
  assert.equal([detail.state, detail.tasks.done], ['done', 2], detail.note)
  await settled(federation)
  await eventually(async () => await balance(host()) > before, { what: 'the host is paid' })
}

async function balance(site: Site): Promise<bigint> {
  const [pair] = (await ledgerOf(site)).pairs
  return BigInt(pair?.balance ?? 0)
}

/** Both logs hold the same of the pair, and both may speak. */
async function together(): Promise<void> {
  await everybodyMeets(federation)
  await eventually(async () => {
    const [ours, theirs] = [await balance(home()), await balance(host())]
    const peers = await home().client.get<PeerRow[]>(apiPaths.peers)
    const rows = await host().client.get<PeerRow[]>(apiPaths.peers)
    return ours === -theirs && [...peers, ...rows].every((row) => row.trouble === undefined)
      && (await closes(home())).length + (await closes(host())).length > 0
  }, { timeoutSeconds: 40, what: 'the ledgers are brought together' })
}

async function closes(site: Site): Promise<LedgerEntryRow[]> {
  return (await entriesOf(site)).filter(({ kind, body }) =>
    kind === 'reconcile' && body['side'] === 'close')
}

t('an older database is refused, recovered, and its site is paid again', async () => {
  await paidWork()
  await host().stop()
  const backup = join(folder, 'backup')
  cpSync(join(host().directory, 'db'), backup, { recursive: true })
  await host().start()
  await everybodyMeets(federation)
  await paidWork()
  const owed = await balance(host())
  await host().kill()
  rmSync(join(host().directory, 'db'), { recursive: true })
  cpSync(backup, join(host().directory, 'db'), { recursive: true })
  const refused = host().launch()
  assert.ok(await refused.ended !== 0, 'it does not start')
  assert.match(refused.output(), /restored from a backup[^]*gridnode ledger recover/)
  const recovered = await gridnode('ledger', 'recover', '--dir', host().directory)
  assert.equal(recovered.code, 0, recovered.err)
  assert.match(recovered.out, /b\.example is in epoch 2 now/)
  await host().start()
  await together()
  assert.equal(await balance(host()), owed, 'nothing that both agreed on is lost')
  await paidWork()
  await booksHold(federation)
}, { timeoutSeconds: 180 })

t('a lost database is built again from the export of the peer', async () => {
  const owed = await balance(host())
  const directory = join(folder, 'export-of-a')
  await home().client.post<ExportAnswer>(apiPaths.ledgerExport, { directory })
  await host().kill()
  for (const name of ['db', 'db.commits', 'ledger.mark']) {
    rmSync(join(host().directory, name), { recursive: true, force: true })
  }
  const recovered = await gridnode(
    'ledger', 'recover', '--from', directory, '--dir', host().directory)
  assert.equal(recovered.code, 0, recovered.err)
  assert.match(recovered.out, /in epoch 3 now/)
  await host().start()
  await together()
  await eventually(async () => await balance(host()) === owed, { what: 'the balance is back' })
  await paidWork()
  await booksHold(federation)
}, { timeoutSeconds: 180 })

t('new keys after a theft: what was said stays true, new work is paid', async () => {
  await host().stop()
  const rotated = await gridnode('ledger', 'rotate', '--dir', host().directory)
  assert.equal(rotated.code, 0, rotated.err)
  assert.match(rotated.out, /keys\/e3\.1/)
  await host().start()
  await everybodyMeets(federation)
  await paidWork()
  await booksHold(federation)
}, { timeoutSeconds: 120 })
