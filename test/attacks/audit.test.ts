// Attacks that only an auditor sees: logs that were cut, rewritten or forked and signed again with
// the site's real keys, exported and verified without a node.

import { sha256Hex, toHex } from '../../protocol/base/crypto.ts'
import { emptyFrontier } from '../../protocol/base/merkle.ts'
import { ok } from '../../protocol/base/outcome.ts'
import { checkEvidence, encodeEvidence, evidenceContext } from '../../protocol/rules/evidence.ts'
import { appendEntry, openHead, putHead } from '../../protocol/rules/ledger-book.ts'
import { changeKeys, logPublic, sealKeys } from '../../protocol/rules/ledger.ts'
import { parseStatement, rootSigner } from '../../protocol/rules/statement.ts'
import type { VerifyReport } from '../../cli/verify/verify.ts'
import { verifyLogs } from '../../cli/verify/verify.ts'
import type { Context } from '../harness.ts'
import { assert, suite } from '../harness.ts'
import { exportOf, memoryFiles } from '../rules/ledger-exports.ts'
import type { TestSite } from '../rules/ledger-sites.ts'
import {
  acceptInput, agreedDeal, credits, federation, heldInput, holdInput, keyFor, must, start, step,
  tell, usageInput, view,
} from '../rules/ledger-sites.ts'
import { another } from './liar.ts'

const t = suite('attacks seen by an auditor')

interface Two {
  readonly home: TestSite
  readonly host: TestSite
  /** What the host claimed, what the home accepted: one credit. */
  readonly usage: string
  readonly accept: string
}

/** One hold was claimed for and accepted. */
function two(): Two {
  const [home, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  const deal = agreedDeal(home, host, 2_000_000)
  const hold = tell(home, host, holdInput(deal, 1_000_000)).sid
  tell(host, home, heldInput(deal, hold))
  const claim = { amount: 500_000, core_s: 1_800, final: 1 } as const
  const usage = tell(host, home, usageInput(deal, hold, claim))
  const said = { usage: usage.sid, amount: 500_000, final: 1 } as const
  const accept = tell(home, host, acceptInput(deal, hold, said))
  return { home, host, usage: usage.note, accept: accept.note }
}

function leavesOf(at: TestSite): string[] {
  return [...view(at).entries('ledgerEntries')].map(([, note]) => note)
}

/** The site's log with these leaves in their place, as its own real log key signs it. */
function relogged(at: TestSite, leaves: readonly string[]): TestSite {
  const liar: TestSite = { ...at, tables: new Map() }
  const head = openHead(view(at))
  must(step(liar, (v) => {
    putHead(v, { ...head, frontier: emptyFrontier })
    for (const [index, note] of leaves.entries()) {
      appendEntry(v, { note, number: `entry ${index}` })
    }
    return ok(undefined)
  }))
  return liar
}

async function verified(ctx: Context, ...logs: readonly TestSite[]): Promise<VerifyReport> {
  const files = []
  for (const [at, log] of logs.entries()) {
    files.push(memoryFiles(`log-${at}`, await exportOf(log, ctx.tmp())))
  }
  return verifyLogs(files)
}

/** Each finding as `site rule`. */
function rules({ findings }: VerifyReport): string[] {
  return [...new Set(findings.map(({ site, rule }) => `${site} ${rule}`))]
}

function broken(report: VerifyReport, ...expected: readonly string[]): void {
  assert.equal(report.verdict, 'broken')
  assert.equal(rules(report).toSorted(), expected.toSorted())
}

t('two honest logs hold', async (ctx) => {
  const { home, host } = two()
  const report = await verified(ctx, home, host)
  assert.equal([report.verdict, rules(report)], ['holds', []])
})

t('a truncated tail: the other log has what is missing', async (ctx) => {
  const { home, host, accept } = two()
  const cut = relogged(home, leavesOf(home).filter((leaf) => leaf !== accept))
  broken(await verified(ctx, cut, host), 'home.example I3')
})

t('withheld entries: a gap in what was received', async (ctx) => {
  const { home, host } = two()
  const held = leavesOf(home).find((leaf) => leaf.startsWith('gridnode/v1/held\n'))
  const report = await verified(ctx, relogged(home, leavesOf(home).filter((leaf) =>
    leaf !== held)), host)
  assert.equal(report.verdict, 'broken')
  assert.ok(rules(report).includes('home.example I2'), rules(report).join())
})

t('a rewritten entry: both logs together are the proof', async (ctx) => {
  const { home, host, accept } = two()
  const denied = another(home.signer.statement, accept, { amount: credits(1), final: 0 })
  const liar = relogged(home, leavesOf(home).map((leaf) => leaf === accept ? denied : leaf))
  const report = await verified(ctx, liar, host)
  assert.equal(report.verdict, 'broken')
  assert.ok(rules(report).some((rule) => rule === 'home.example I2' || rule === 'home.example I3'),
    rules(report).join())
  const document = encodeEvidence({ kind: 'double_number', first: denied, second: accept })
  const lie = assert.accepted(checkEvidence(document, evidenceContext(view(host))))
  assert.equal([lie.accused, lie.epoch], [home.name, 1])
})

t('two stories of one log: its two exports contradict each other', async (ctx) => {
  const { home, usage } = two()
  const forged = relogged(home, leavesOf(home).filter((leaf) => leaf !== usage))
  const longer = relogged(home, [...leavesOf(forged), leavesOf(forged)[0]!])
  const report = await verified(ctx, home, longer)
  assert.equal(report.verdict, 'broken')
  assert.ok(report.findings.some(({ rule }) => rule === 'I9'), rules(report).join())
})

t('a stale head: an older export of the same log is no lie', async (ctx) => {
  const { home, host } = two()
  const older = relogged(host, leavesOf(host).slice(0, -3))
  const report = await verified(ctx, home, host, older)
  assert.equal([report.verdict, rules(report)], ['holds', []])
})

t('an overdraft: the creditor itself said held beyond its limit', async (ctx) => {
  const { host } = two()
  const limit = leavesOf(host).find((leaf) => leaf.startsWith('gridnode/v1/credit\n'))!
  const low = another(host.signer.statement, limit, { limit: credits(999_999) })
  const sid = (note: string): string => must(parseStatement(note)).sid
  let prev = sid(low)
  const leaves = leavesOf(host).map((leaf) => {
    if (leaf === limit) return low
    const { statement } = must(parseStatement(leaf))
    if (statement.kind === 'federation' || statement.from !== host.name || statement.to === '*') {
      return leaf
    }
    const again = another(host.signer.statement, leaf, { prev })
    prev = sid(again)
    return again
  })
  const report = await verified(ctx, relogged(host, leaves))
  assert.equal(report.verdict, 'broken')
  assert.ok(rules(report).includes('host.example I6'), rules(report).join())
})

t('a lied usage in a log: its amount, its tasks, a claim that falls', async (ctx) => {
  const { host, usage, accept } = two()
  const { statement, sid } = must(parseStatement(usage))
  assert.ok(statement.kind === 'usage')
  const without = leavesOf(host).filter((leaf) => leaf !== accept && leaf !== usage)
  const lied = (said: Record<string, unknown>): string =>
    another(host.signer.statement, usage, said)
  const of = async (...claims: readonly string[]): Promise<string[]> =>
    rules(await verified(ctx, relogged(host, [...without, ...claims])))
  assert.equal(await of(lied({ amount: credits(500_001) })), ['host.example I12'])
  assert.equal(await of(lied({ tasks: 11 })), ['host.example I5'])
  const first = lied({ final: 0 })
  const less = { n: statement.n + 1, prev: must(parseStatement(first)).sid, core_s: 900 }
  assert.equal(await of(first, lied({ ...less, amount: credits(250_000) })), ['host.example I5'])
  assert.ok(sid !== must(parseStatement(first)).sid)
})

t('replay into a log: another federation, direction, epoch; the same leaf twice', async (ctx) => {
  const { home, host, accept } = two()
  const leaves = leavesOf(host)
  const { statement } = home.signer
  const of = async (leaf: string): Promise<string[]> =>
    rules(await verified(ctx, relogged(host, [...leaves, leaf])))
  assert.equal(await of(another(statement, accept, { fed: sha256Hex('other') })),
    ['host.example I1'])
  assert.equal(await of(another(statement, accept, { from: host.name, to: home.name })),
    ['host.example I1'])
  assert.equal(await of(another(statement, accept, { e: 2 })), ['host.example I1'])
  assert.equal(await of(accept), ['host.example I5'])
})

t('a stolen key: what its thief said after it was taken back is not in order', async (ctx) => {
  const { home, host, accept } = two()
  const [statement, witness] = ['statement 2', 'witness 2'].map((use) => keyFor(home.name, use))
  const last = [{ site: host.name, n: 3 }]
  const key = must(sealKeys(view(home), rootSigner(home.name, home.root), {
    statement: toHex(statement!.publicKey), witness: toHex(witness!.publicKey), last, at: start,
  })).note
  must(step(home, (v) => changeKeys(v, home.name, key)))
  must(step(host, (v) => logPublic(v, host.name, key)))
  // Everything it had said before stays in order.
  assert.equal((await verified(ctx, home, host)).verdict, 'holds')
  const { statement: said, sid } = must(parseStatement(accept))
  assert.ok(said.kind === 'accept')
  const stolen = another(home.signer.statement, accept, { n: said.n + 1, prev: sid })
  const report = await verified(ctx, relogged(host, [...leavesOf(host), stolen]))
  broken(report, 'host.example I1')
})
