// Offline verification of exported ledgers: what is right verifies, every changed byte is found,
// and what two ledgers contradict each other in is named.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { assert, suite } from '../harness.ts'
import { readDocumentFiles } from '../../cli/verify/document-files.ts'
import { directoryFiles, findLogs } from '../../cli/verify/log-files.ts'
import { verifyExitCode, verifyLogs } from '../../cli/verify/verify.ts'
import type { VerifyReport } from '../../cli/verify/verify.ts'
import { parseCheckpoint } from '../../protocol/base/checkpoint.ts'
import { toHex } from '../../protocol/base/crypto.ts'
import type { Hash } from '../../protocol/base/ids.ts'
import { encodeBundle } from '../../protocol/base/tiles.ts'
import { formatDocument } from '../../protocol/rules/audit-documents.ts'
import { trancheCommitment } from '../../protocol/rules/contract.ts'
import { parseStatement, sealStatement } from '../../protocol/rules/statement.ts'
import { frontierAt } from '../../protocol/base/merkle.ts'
import { appendEntry, nodeKey } from '../../protocol/rules/ledger-book.ts'
import { exportLedger } from '../../node/store/ledger-export.ts'
import { exportOf, memoryFiles, readingStore } from '../rules/ledger-exports.ts'
import type { Files } from '../rules/ledger-exports.ts'
import type { Deal, TestSite } from '../rules/ledger-sites.ts'
import {
  acceptInput, agreedDeal, credits, federation, hashOf, hear, heldInput, holdInput, must,
  say, step, start,
  tariffInput, tell, usageInput, view,
} from '../rules/ledger-sites.ts'

const t = suite('verify')

interface World {
  readonly home: TestSite
  readonly host: TestSite
  readonly deal: Deal
}

/** Two sites with one hold paid and one open. */
function world(): World {
  const [home, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  const deal = agreedDeal(home, host)
  const hold = tell(home, host, holdInput(deal, 1_000_000)).sid
  tell(host, home, heldInput(deal, hold))
  const claim = { amount: 500_000, core_s: 1_800, final: 1 } as const
  const last = tell(host, home, usageInput(deal, hold, claim))
  tell(home, host, acceptInput(deal, hold, { usage: last.sid, amount: 500_000, final: 1 }))
  tell(home, host, holdInput(deal, 7_000, { valid_until: start - 1 }))
  return { home, host, deal }
}

/** Findings as lines, in the order of the report. */
function text({ findings, unusable }: VerifyReport): string {
  return [
    ...findings.map(({ site, index, rule, detail }) =>
      `${site} ${index ?? 'log'} ${rule}: ${detail}`),
    ...unusable.map(({ path, detail }) => `${path}: ${detail}`),
  ].join('\n')
}

async function verifyFiles(...all: readonly Files[]): Promise<VerifyReport> {
  return verifyLogs(all.map((files, at) => memoryFiles(`log-${at}`, files)))
}

t('two honest ledgers verify, and the report says who owes what', async (ctx) => {
  const { home, host } = world()
  const folder = ctx.tmp()
  const logs = []
  for (const each of [home, host]) {
    const directory = join(folder, each.name)
    await exportLedger(readingStore(each), each.log, directory)
    logs.push(directoryFiles(directory))
  }
  const report = await verifyLogs(logs)
  assert.equal(report.findings, [])
  assert.equal(report.verdict, 'holds')
  assert.equal(verifyExitCode(report), 0)
  assert.equal(report.notes, [])
  assert.equal(report.pairs, [{
    creditor: host.name, debtor: home.name, agreed: 500_000n, claimed: 0n, disputed: 0n,
    byClause: 0n, settled: 0n, held: 0n, asked: 7_000n, limit: 10_000_000n, seen: 'both',
    underWay: 0, completeUntilEpochMs: start,
  }])
  assert.equal(report.openHolds.map(({ state, amount, seenBy }) => [state, amount, seenBy]), [
    ['asked', 7_000n, host.name],
  ])
  assert.equal(report.logs.map(({ site, findings }) => [site, findings]), [
    [home.name, 0], [host.name, 0],
  ])
  assert.equal((await findLogs([folder])).map(({ name }) => name), logs.map(({ name }) => name))
})

t('one ledger alone verifies, and what could not be compared is noted', async (ctx) => {
  const { home } = world()
  const report = await verifyFiles(await exportOf(home, ctx.tmp()))
  assert.equal(report.verdict, 'holds')
  assert.match(report.notes.join(), /the ledger of host\.example was not given/)
})

t('every byte of a small export matters', async (ctx) => {
  const [home] = federation('home.example') as [TestSite]
  say(home, tariffInput({ task: 1, core: 2, gib: 3 }))
  say(home, { kind: 'credit', to: home.name, at: start, limit: credits(5) })
  const files = await exportOf(home, ctx.tmp())
  assert.equal((await verifyFiles(files)).verdict, 'holds')
  for (const [path, bytes] of files) {
    for (let at = 0; at < bytes.length; at++) {
      const damaged = Uint8Array.from(bytes)
      damaged[at] = (damaged[at] as number) ^ (1 << (at % 8))
      const report = await verifyFiles(new Map(files).set(path, damaged))
      if (report.verdict === 'broken') continue
      assert.ok(false, `byte ${at} of ${path} was changed unnoticed`)
    }
  }
}, { timeoutSeconds: 240 })

t('a changed entry is named by site and number', async (ctx) => {
  const { home, host } = world()
  const files = await exportOf(home, ctx.tmp())
  const path = [...files.keys()].find((name) => name.startsWith('tile/entries/')) as string
  const content = Buffer.from(files.get(path) as Uint8Array)
  const at = content.indexOf('"amount":"1000000"') + 10
  content[at] = '2'.charCodeAt(0)
  const damaged = new Map(files).set(path, content)
  const report = await verifyFiles(damaged, await exportOf(host, ctx.tmp()))
  const hold = [...view(home).entries('ledgerEntries')]
    .findIndex(([, note]) => note.includes('"amount":"1000000"'))
  assert.equal(verifyExitCode(report), 1)
  assert.ok(report.findings.some(({ site, index, rule }) =>
    site === home.name && index === hold && rule === 'I1'))
  assert.match(text(report), new RegExp(`home\\.example ${hold} I1: the signature of`))
})

t('missing and cut files are named', async (ctx) => {
  const { home } = world()
  const files = await exportOf(home, ctx.tmp())
  for (const path of files.keys()) {
    const without = new Map(files)
    without.delete(path)
    const report = await verifyFiles(without)
    assert.equal(report.verdict, path === 'checkpoint' ? 'unusable' : 'broken')
    const cut = new Map(files).set(path, (files.get(path) as Uint8Array).subarray(0, -1))
    assert.equal((await verifyFiles(cut)).verdict, 'broken')
  }
  const tile = [...files.keys()].find((name) => name.startsWith('tile/0/')) as string
  const without = new Map(files)
  without.delete(tile)
  assert.match(text(await verifyFiles(without)), new RegExp(`the file ${tile} is missing`))
})

t('what is no ledger is unusable, not broken', async (ctx) => {
  const folder = ctx.tmp()
  mkdirSync(join(folder, 'empty'))
  writeFileSync(join(folder, 'file'), 'x')
  for (const name of ['empty', 'file', 'absent']) {
    const report = await verifyLogs(await findLogs([join(folder, name)]))
    assert.equal(verifyExitCode(report), 2)
    assert.match(text(report), /gridnode ledger export DIR/)
  }
  assert.equal(verifyExitCode(await verifyLogs([])), 2)
})

t('statements under way are noted; statements that their author hides are found', async (ctx) => {
  const { home, host } = world()
  const older = await exportOf(home, ctx.tmp())
  const said = say(home, { kind: 'credit', to: host.name, at: start, limit: credits(1) })
  const newer = await exportOf(home, ctx.tmp())
  const hostBefore = await exportOf(host, ctx.tmp())
  const underWay = await verifyFiles(newer, hostBefore)
  assert.equal(underWay.verdict, 'holds')
  assert.match(underWay.notes.join(), /^1 statement between home\.example and host\.example/)
  must(hear(host, home, said.note))
  const hidden = await verifyFiles(older, await exportOf(host, ctx.tmp()))
  assert.equal(hidden.findings.map(({ site, rule }) => [site, rule]), [['home.example', 'I3']])
  assert.match(text(hidden), /host\.example holds 5 statements of it, its own log has only 4/)
})

t('two exports of one ledger agree, or prove a fork', async (ctx) => {
  const { home, host } = world()
  const older = await exportOf(home, ctx.tmp())
  const branch: TestSite = { ...home, tables: copyOf(home) }
  say(home, { kind: 'credit', to: host.name, at: start, limit: credits(1) })
  say(home, tariffInput({ task: 1, core: 1, gib: 1 }))
  const newer = await exportOf(home, ctx.tmp())
  assert.equal((await verifyFiles(older, newer)).verdict, 'holds')
  say(branch, { kind: 'credit', to: host.name, at: start, limit: credits(2) })
  const forked = await verifyFiles(newer, await exportOf(branch, ctx.tmp()))
  assert.equal(forked.findings.map(({ rule }) => rule), ['I9'])
})

t('a head that another site has noted must be one that the log has had', async (ctx) => {
  const { home, host } = world()
  const seen = must(parseCheckpointOf(await exportOf(host, ctx.tmp())))
  const { origin, size } = seen
  const noted = { origin, size, root: toHex(seen.rootHash) as Hash }
  say(home, { kind: 'heads', to: '*', at: start, heads: [noted] })
  const files = async () =>
    [await exportOf(home, ctx.tmp()), await exportOf(host, ctx.tmp())] as const
  say(host, { kind: 'credit', to: home.name, at: start, limit: credits(1) })
  const sound = await verifyFiles(...await files())
  assert.equal([sound.verdict, sound.headsCompared], ['holds', 3])
  const newer = { origin, size: size + 100, root: hashOf('another') }
  say(home, { kind: 'heads', to: '*', at: start, heads: [newer] })
  const behind = await verifyFiles(...await files())
  assert.equal(behind.verdict, 'holds')
  assert.match(behind.notes.join('\n'), /home\.example has seen a newer head of host\.example/)
  const lie = say(home, { kind: 'heads', to: '*', at: start, heads: [{ ...noted,
    root: hashOf('another') }] })
  const found = await verifyFiles(...await files())
  assert.equal(found.findings.map(({ site, index, rule }) => [site, index, rule]),
    [[home.name, lie.index, 'I9']])
})

t('documents open what the ledgers commit to, and a file names its bad lines', async (ctx) => {
  const { home, host, deal } = world()
  const document = { salt: '11'.repeat(16), tasks: '1-10' }
  tell(home, host, holdInput(deal, 100, { doc: trancheCommitment(document) }))
  const path = join(ctx.tmp(), 'documents')
  const line = formatDocument({ kind: 'tranche', ...document })
  writeFileSync(path, `${line}\n`)
  const logs = [memoryFiles('home', await exportOf(home, ctx.tmp()))]
  const report = async () => verifyLogs(logs, { documents: await readDocumentFiles([path]) })
  const good = await report()
  assert.equal([good.verdict, good.documents], ['holds', { given: 1, opened: 1 }])
  writeFileSync(path, `${line}\nno document\n${line.replace('1-10', '1-11')}`)
  const bad = await report()
  assert.equal([bad.verdict, bad.documents], ['broken', { given: 2, opened: 1 }])
  assert.match(text(bad), /log I13: line 2: is no document: not JSON/)
  assert.match(text(bad), /log I13: line 3: a tranche document that no entry of these/)
})

t('two statements with one number are found between the ledgers', async (ctx) => {
  const { home, host } = world()
  const branch: TestSite = { ...home, tables: copyOf(home) }
  const told = say(branch, { kind: 'credit', to: host.name, at: start, limit: credits(2) })
  say(home, { kind: 'credit', to: host.name, at: start, limit: credits(1) })
  must(hear(host, home, told.note))
  say(home, { kind: 'credit', to: host.name, at: start, limit: credits(3) })
  const report = await verifyFiles(await exportOf(home, ctx.tmp()), await exportOf(host, ctx.tmp()))
  assert.equal(report.findings.map(({ site, rule }) => [site, rule]), [['home.example', 'I2']])
})

t('an entry that breaks a rule is found although tree and signatures hold', async (ctx) => {
  const { home, host, deal } = world()
  const hold = tell(home, host, holdInput(deal, 2_000_000)).sid
  tell(host, home, heldInput(deal, hold))
  const genuine = say(host, usageInput(deal, hold, { amount: 277, core_s: 1 }))
  const lie = must(sealStatement(
    { ...genuine.statement, amount: credits(278) } as typeof genuine.statement,
    host.signer.statement))
  const liar: TestSite = { ...host, tables: copyOf(host) }
  forgetLast(liar)
  const entry = { note: lie.note, number: 'lie' }
  const index = must(step(liar, (v) => ({ ok: true, value: appendEntry(v, entry) })))
  const report = await verifyFiles(await exportOf(liar, ctx.tmp()))
  assert.equal(report.findings.map((one) => [one.site, one.index, one.rule, one.detail]), [
    ['host.example', index, 'I12', 'claims 0.000278 cr, the tariff gives 0.000277 cr'],
  ])
})

t('a log of several tiles verifies tile by tile', async (ctx) => {
  const [home, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  for (let limit = 0; limit < 600; limit++) {
    tell(host, home, { kind: 'credit', to: home.name, at: start + limit, limit: credits(limit) })
  }
  const [homeFiles, hostFiles] = [await exportOf(home, ctx.tmp()), await exportOf(host, ctx.tmp())]
  assert.equal((await verifyFiles(homeFiles, hostFiles)).verdict, 'holds')
  const upper = [...homeFiles.keys()].find((name) => name.startsWith('tile/1/')) as string
  const damaged = Uint8Array.from(homeFiles.get(upper) as Uint8Array)
  damaged[40] = (damaged[40] as number) ^ 1
  const broken = await verifyFiles(new Map(homeFiles).set(upper, damaged))
  assert.match(text(broken), /hash 1 of tile\/1\/000\.p\/2 is not that of the entries below it/)
})

t('a bundle of strangers in place of the entries is told from damage', async (ctx) => {
  const { home, host } = world()
  const files = await exportOf(home, ctx.tmp())
  const others = await exportOf(host, ctx.tmp())
  const mixed = new Map(others)
  mixed.set('checkpoint', files.get('checkpoint') as Uint8Array)
  assert.equal((await verifyFiles(mixed)).verdict, 'broken')
  const path = [...files.keys()].find((name) => name.startsWith('tile/entries/')) as string
  const junk = encodeBundle([...view(home).entries('ledgerEntries')].map(() => Buffer.from('junk')))
  const report = await verifyFiles(new Map(files).set(path, junk))
  assert.ok(report.findings.some(({ index, rule }) => index === 0 && rule === 'I11'))
})

function parseCheckpointOf(files: Files): ReturnType<typeof parseCheckpoint> {
  const note = Buffer.from(files.get('checkpoint') as Uint8Array).toString('utf8')
  return parseCheckpoint(note.slice(0, note.indexOf('\n\n') + 1))
}

function copyOf(at: TestSite): TestSite['tables'] {
  return new Map([...at.tables].map(([table, records]) => [table, new Map(records)]))
}

/** Takes the last entry back, as a liar would with its own database. */
function forgetLast(at: TestSite): void {
  const entries = [...view(at).entries('ledgerEntries')].map(([, note]) => note)
  const last = must(parseStatement(entries.pop() as string))
  const head = view(at).get('ledgerHead', 'head')
  assert.equal(head?.frontier.size, entries.length + 1)
  assert.ok(last.statement.kind !== 'federation')
  const size = entries.length
  at.tables.get('ledgerHead')?.set('head', { ...head, frontier: frontierAt(size, (level, index) =>
    at.tables.get('ledgerNodes')?.get(nodeKey(level, index)) as Uint8Array) })
}
