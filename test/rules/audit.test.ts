// The audit of logs in memory: what a liar or an accident can do to a log, each named with its
// entry and its invariant; one fault does not hide or multiply the next.

import { assert, suite } from '../harness.ts'
import { sameBytes } from '../../protocol/base/crypto.ts'
import { append, emptyFrontier, root } from '../../protocol/base/merkle.ts'
import type { Finding, LogSummary } from '../../protocol/rules/audit.ts'
import { openReplay } from '../../protocol/rules/audit.ts'
import { crossCheck, reportPairs } from '../../protocol/rules/audit-pairs.ts'
import { checkNow } from '../../protocol/rules/ledger-entry.ts'
import type { Statement } from '../../protocol/rules/statement.ts'
import { parseStatement, sealStatement } from '../../protocol/rules/statement.ts'
import type { Deal, TestSite } from './ledger-sites.ts'
import {
  acceptInput, agreedDeal, credits, federation, hashOf, heldInput, holdInput, must, offerInput, say,
  start, tariffInput, tell, usageInput, view,
} from './ledger-sites.ts'

const t = suite('audit')

function pair(): { home: TestSite, host: TestSite, deal: Deal } {
  const [home, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  return { home, host, deal: agreedDeal(home, host) }
}

function leaves(at: TestSite): string[] {
  return [...view(at).entries('ledgerEntries')].map(([, note]) => note)
}

function replayed(
  at: TestSite, notes: readonly string[],
): { readonly findings: Finding[], readonly summary: LogSummary | undefined } {
  const replay = openReplay(at.name, checkNow)
  const findings = notes.flatMap((note) => replay.leaf(Buffer.from(note)))
  let frontier = emptyFrontier
  for (const note of notes) frontier = append(frontier, Buffer.from(note)).frontier
  assert.ok(sameBytes(replay.head().root, root(frontier)), 'the tree has every leaf')
  assert.equal(replay.head().size, notes.length)
  return { findings, summary: replay.summary() }
}

function brief(findings: readonly Finding[]): (readonly [number | undefined, string])[] {
  return findings.map(({ index, rule }) => [index, rule] as const)
}

/** The note with some fields changed, signed by its author's own key. */
function resigned(by: TestSite, note: string, change: object): string {
  const { statement } = must(parseStatement(note))
  const changed = { ...statement, ...change } as Statement
  return must(sealStatement(changed, by.signer.statement)).note
}

t('an honest log has no findings, and its summary is its state', () => {
  const { home, host, deal } = pair()
  const hold = tell(home, host, holdInput(deal, 1_000)).sid
  tell(host, home, heldInput(deal, hold))
  const { findings, summary } = replayed(host, leaves(host))
  assert.equal(findings, [])
  assert.equal(summary?.openHolds.map(({ sid, state }) => [sid, state]), [[hold, 'held']])
  assert.equal([...summary?.members.keys() ?? []], [host.name, home.name])
  assert.equal(summary?.logKey, host.keys.log)
  assert.equal(summary?.directions.get('home.example>host.example')?.n, 2)
  assert.equal(reportPairs([summary as LogSummary]), [{
    creditor: host.name, debtor: home.name, agreed: 0n, claimed: 0n, disputed: 0n, byClause: 0n,
    settled: 0n, held: 1_000n, asked: 0n, limit: 10_000_000n, seen: 'creditor', underWay: 0,
    completeUntilEpochMs: 0,
  }])
})

t('a log that opens with anything else has no summary', () => {
  const { home, host } = pair()
  const notes = leaves(home)
  const own = notes[1] as string
  assert.equal(brief(replayed(home, ['junk', own]).findings)[0], [0, 'I11'])
  assert.equal(brief(replayed(home, [own, own]).findings)[0], [0, 'I1'])
  assert.equal(replayed(home, [own]).summary, undefined)
  const [first = '', , ...rest] = notes
  assert.equal(brief(replayed(home, [first, ...rest]).findings)[0], [1, 'I1'])
  assert.equal(brief(replayed(host, notes).findings)[0], [1, 'I1'])
  assert.equal(replayed(home, []).summary, undefined)
})

t('a missing entry is one gap, and what follows is replayed', () => {
  const { home, host } = pair()
  for (const limit of [1, 2, 3]) {
    say(home, { kind: 'credit', to: host.name, at: start + limit, limit: credits(limit) })
  }
  const notes = leaves(home)
  const { findings, summary } = replayed(home, notes.toSpliced(-2, 1))
  assert.equal(brief(findings), [[notes.length - 2, 'I2']])
  assert.equal(summary?.limits.get('home.example>host.example'), 3n)
})

t('a repeated or replaced entry is found', () => {
  const { home, host } = pair()
  const credit = { kind: 'credit', to: host.name, at: start } as const
  say(home, { ...credit, limit: credits(1) })
  say(home, { ...credit, limit: credits(2) })
  const notes = leaves(home)
  const last = notes.at(-1) as string
  assert.equal(brief(replayed(home, [...notes, last]).findings), [[notes.length, 'I5']])
  const other = resigned(home, last, { limit: credits(9) })
  assert.equal(brief(replayed(home, [...notes, other]).findings), [[notes.length, 'I2']])
  const replaced = resigned(home, notes.at(-2) as string, { limit: credits(7) })
  const swapped = [...notes.slice(0, -2), replaced, last]
  assert.equal(brief(replayed(home, swapped).findings), [[notes.length - 1, 'I2']])
})

t('bytes that are not the one encoding, and strangers\' statements, are found', () => {
  const { home } = pair()
  const [other] = federation('other.example') as [TestSite]
  const notes = leaves(home)
  const end = notes.length
  const last = notes.at(-1) as string
  const cases: readonly (readonly [string, string])[] = [
    ['I11', `${last}\n`],
    ['I11', last.replace('"n":', '"n": ')],
    ['I11', '\ufffd'],
    ['I1', leaves(other)[0] as string],
    ['I1', leaves(other)[1] as string],
    ['I1', last.replace(/"at":[0-9]+/, '"at":1750000000001')],
  ]
  for (const [rule, note] of cases) {
    assert.equal(brief(replayed(home, [...notes, note]).findings), [[end, rule]])
  }
  const replay = openReplay(home.name, checkNow)
  for (const note of notes) replay.leaf(Buffer.from(note))
  assert.equal(brief(replay.leaf(Uint8Array.of(0xff, 0xfe))), [[end, 'I11']])
})

t('a fault in what is said is found once, and its sequence goes on', () => {
  const { home, host, deal } = pair()
  const hold = tell(home, host, holdInput(deal, 1_000)).sid
  tell(host, home, heldInput(deal, hold))
  tell(host, home, usageInput(deal, hold, { amount: 277, core_s: 1 }))
  tell(host, home, { kind: 'credit', to: home.name, at: start, limit: credits(5) })
  const notes = leaves(host)
  const lie = resigned(host, notes.at(-2) as string, { amount: credits(278) })
  const next = resigned(host, notes.at(-1) as string, { prev: must(parseStatement(lie)).sid })
  const { findings, summary } = replayed(host, [...notes.slice(0, -2), lie, next])
  assert.equal(brief(findings), [[notes.length - 2, 'I12']])
  assert.equal(summary?.limits.get('host.example>home.example'), 5n)
})

t('a creditor that went beyond its own limit is found in its own log', () => {
  const [home, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  const deal = agreedDeal(home, host, 1_000)
  const hold = tell(home, host, holdInput(deal, 900)).sid
  say(host, heldInput(deal, hold))
  const notes = leaves(host)
  const credit = notes.findIndex((note) => note.startsWith('gridnode/v1/credit'))
  const rewritten = rewriteFrom(host, notes, credit, { limit: credits(800) })
  assert.equal(brief(replayed(host, rewritten).findings), [[notes.length - 1, 'I6']])
})

t('time that falls within a sequence is found', () => {
  const { home, host } = pair()
  const credit = { kind: 'credit', to: host.name, limit: credits(1) } as const
  say(home, { ...credit, at: start + 10 })
  say(home, { ...credit, at: start + 20 })
  const notes = leaves(home)
  const early = resigned(home, notes.at(-1) as string, { at: start + 5 })
  const { findings } = replayed(home, [...notes.slice(0, -1), early])
  assert.equal(brief(findings), [[notes.length - 1, 'I8']])
})

t('logs of two federations, and public statements that differ, do not agree', () => {
  const [home, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  const tariff = tell(host, home, tariffInput({ task: 1, core: 1, gib: 1 }))
  const summaryOf = (at: TestSite, notes = leaves(at)) => replayed(at, notes).summary as LogSummary
  assert.equal(crossCheck([summaryOf(home), summaryOf(host)], () => undefined), [])
  const other = resigned(host, tariff.note, { speed_permille: 7 })
  const forked = [...leaves(host).slice(0, -1), other]
  const found = crossCheck([summaryOf(home), summaryOf(host, forked)], () => undefined)
  assert.equal(found.map(({ site, rule }) => [site, rule]), [[host.name, 'I2']])
  const short = summaryOf(host, leaves(host).slice(0, -1))
  const hidden = crossCheck([summaryOf(home), short], () => undefined)
  assert.equal(hidden.map(({ site, rule }) => [site, rule]), [[host.name, 'I3']])
  const [alone] = federation('alone.example') as [TestSite]
  const strangers = crossCheck([summaryOf(home), summaryOf(alone)], () => undefined)
  assert.equal(strangers.map(({ site, rule }) => [site, rule]), [[alone.name, 'I9']])
})

t('an accepted claim and what it set off are reported net', () => {
  const [a, b] = federation('a.example', 'b.example') as [TestSite, TestSite]
  for (const [home, host, amount] of [[a, b, 900], [b, a, 400]] as const) {
    const deal = agreedDeal(home, host)
    const hold = tell(home, host, holdInput(deal, amount)).sid
    tell(host, home, heldInput(deal, hold))
    const usage = tell(host, home, usageInput(deal, hold, { amount, core_s: 3_600, final: 1 })).sid
    tell(home, host, acceptInput(deal, hold, { usage, amount, final: 1 }))
  }
  const summaries = [a, b].map((at) => replayed(at, leaves(at)).summary as LogSummary)
  assert.equal(reportPairs(summaries).map(({ creditor, debtor, agreed }) =>
    [creditor, debtor, agreed]), [[a.name, b.name, 0n], [b.name, a.name, 500n]])
})

t('a reference to nothing is found', () => {
  const { home, host, deal } = pair()
  say(home, offerInput(host, deal.tariff))
  const notes = leaves(home)
  const empty = resigned(home, notes.at(-1) as string, { tariff: hashOf('nothing') })
  const { findings } = replayed(home, [...notes.slice(0, -1), empty])
  assert.equal(brief(findings), [[notes.length - 1, 'I5']])
})

/** A whole history re-signed by a liar from entry `from` on: its own statements chain up again. */
function rewriteFrom(
  by: TestSite, notes: readonly string[], from: number, change: object,
): string[] {
  const renamed = new Map<string, string>()
  return notes.map((note, index) => {
    const { statement, sid } = must(parseStatement(note))
    if (index < from || statement.kind === 'federation' || statement.from !== by.name) return note
    const prev = renamed.get(statement.prev) ?? statement.prev
    const fresh = resigned(by, note, { prev, ...(index === from ? change : {}) })
    renamed.set(sid, must(parseStatement(fresh)).sid)
    return fresh
  })
}
