// Logs of one federation held against one another: what is owed, claimed, disputed and settled, how
// far two logs cover each other, and allocations that nobody spends twice.

import { assert, suite } from '../harness.ts'
import type { Sid } from '../../protocol/base/ids.ts'
import type { Finding, LogSummary } from '../../protocol/rules/audit.ts'
import { openReplay } from '../../protocol/rules/audit.ts'
import { crossCheck, reportPairs } from '../../protocol/rules/audit-pairs.ts'
import { logPublic } from '../../protocol/rules/ledger.ts'
import { checkNow } from '../../protocol/rules/ledger-entry.ts'
import { directionOf, pairState } from '../../protocol/rules/ledger-pairs.ts'
import type { Statement, StatementInput } from '../../protocol/rules/statement.ts'
import { parseStatement, sealStatement } from '../../protocol/rules/statement.ts'
import type { Deal, TestSite } from './ledger-sites.ts'
import {
  acceptInput, agreedDeal, credits, federation, hashOf, heldInput, holdInput, must, say, start,
  step, tell, usageInput, view,
} from './ledger-sites.ts'

const t = suite('audit of pairs')

function leaves(at: TestSite): string[] {
  return [...view(at).entries('ledgerEntries')].map(([, note]) => note)
}

function replayed(
  at: TestSite, notes = leaves(at),
): { readonly findings: Finding[], readonly summary: LogSummary } {
  const replay = openReplay(at.name, checkNow)
  const findings = notes.flatMap((note) => replay.leaf(Buffer.from(note)))
  return { findings, summary: replay.summary() as LogSummary }
}

function summaries(...sites: readonly TestSite[]): LogSummary[] {
  return sites.map((each) => replayed(each).summary)
}

/** A hold that is held; the sid of its final usage where one is claimed. */
function claimed(deal: Deal, amount: number): { readonly hold: Sid, readonly usage: Sid } {
  const { home, host } = deal
  const hold = tell(home, host, holdInput(deal, amount)).sid
  tell(host, home, heldInput(deal, hold))
  const usage = tell(host, home, usageInput(deal, hold, { amount, core_s: 3_600, final: 1 })).sid
  return { hold, usage }
}

function pair(): Deal {
  const [home, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  return agreedDeal(home, host)
}

t('what is disputed is told from what is only claimed, and what is settled is owed no more', () => {
  const deal = pair()
  const { home, host } = deal
  const paid = claimed(deal, 1_000)
  tell(home, host, acceptInput(deal, paid.hold, { usage: paid.usage, amount: 1_000, final: 1 }))
  const contested = claimed(deal, 500)
  tell(home, host, {
    kind: 'dispute', to: host.name, at: start, ...contested, contested: credits(200),
    reason: 'the tasks never ran', doc: '',
  })
  claimed(deal, 70)
  tell(host, home, {
    kind: 'settle', side: 'forgive', to: home.name, at: start, amount: credits(900), reference: 'r',
  })
  const [report, ...more] = reportPairs(summaries(home, host))
  assert.equal(more, [])
  assert.equal([report?.agreed, report?.claimed, report?.disputed, report?.settled],
    [1_300n - 900n, 270n, 200n, 900n])
})

t('two logs are complete up to the earlier of what each has of the other', () => {
  const deal = pair()
  const { home, host } = deal
  const credit = { kind: 'credit', limit: credits(1) } as const
  tell(home, host, { ...credit, to: host.name, at: start + 10 })
  tell(host, home, { ...credit, to: home.name, at: start + 30 })
  const until = () => reportPairs(summaries(home, host))[0]?.completeUntilEpochMs
  assert.equal(until(), start + 10)
  const root = hashOf('nothing')
  say(home, { kind: 'digest', to: '*', at: start + 20, day: 1, count: 0, root })
  assert.equal(until(), start + 20)
  // On its way: what the host has of the home ends at the last one it received.
  say(home, { ...credit, to: host.name, at: start + 40 })
  assert.equal(until(), start + 10)
})

t('an allocation that several hosts hold more of than there is names its grantee', () => {
  const sites = federation('home.example', 'host-a.example', 'host-b.example') as
    [TestSite, TestSite, TestSite]
  const [home, a, b] = sites
  const policy: StatementInput = {
    kind: 'policy', to: '*', at: start, about: 'federation', version: 1, witnesses: [], quorum: 0,
    authorities: [home.name],
  }
  const deals = [agreedDeal(home, a), agreedDeal(home, b)]
  const grantInput: StatementInput = {
    kind: 'grant', to: '*', at: start, grantee: home.name, name: 'project', amount: credits(1_000),
    starts: start, until: start + 1,
  }
  const [said, grant] = [say(home, policy), say(home, grantInput)]
  const branches = deals.map((deal) => {
    // A liar's own log, once for each host: neither host sees what the other holds.
    const branch: TestSite = { ...home, tables: copyOf(home) }
    for (const { note } of [said, grant]) hearPublic(deal.host, note)
    const hold = tell(branch, deal.host, holdInput({ ...deal, home: branch }, 700,
      { grant: grant.sid })).sid
    tell(deal.host, branch, heldInput(deal, hold))
    return branch
  })
  assert.equal(branches.length, 2)
  const found = crossCheck(summaries(a, b), () => undefined)
  assert.equal(found.map(({ site, rule }) => [site, rule]), [[home.name, 'I7']])
  assert.match(found[0]?.detail ?? '', /allocation project is of 0\.001 cr.*0\.0014 cr/)
  assert.equal(crossCheck(summaries(a), () => undefined), [])
})

t('what follows from a fault names its first cause', () => {
  const deal = pair()
  const { home, host } = deal
  const { hold, usage } = claimed(deal, 1_000)
  tell(home, host, acceptInput(deal, hold, { usage, amount: 1_000, final: 1 }))
  const notes = leaves(host)
  const at = notes.findIndex((note) => note.startsWith('gridnode/v1/hold\n'))
  const causes = (all: readonly string[]) =>
    replayed(host, [...all]).findings.map(({ index, cause }) => [index, cause])
  const changed = notes.with(at, (notes[at] as string).replace('"amount":"1000"', '"amount":"999"'))
  assert.equal(causes(changed)[0], [at, undefined])
  assert.ok(causes(changed).length >= 4)
  assert.ok(causes(changed).slice(1).every(([, cause]) => cause === at))
  const missing = notes.toSpliced(at, 1)
  assert.equal(causes(notes.with(at, 'junk')).slice(1).every(([, cause]) => cause === at), true)
  // What is not there at all has no entry to name: the first that misses it is the cause.
  assert.equal(causes(missing)[0]?.[1], undefined)
})

t('a hold that a reconciliation made both forget takes no further word', () => {
  const deal = pair()
  const { home, host } = deal
  const { hold, usage } = claimed(deal, 1_000)
  const accept = tell(home, host,
    acceptInput(deal, hold, { usage, amount: 1_000, final: 1 }))
  reconcile(home, host)
  tell(home, host, { kind: 'credit', to: host.name, at: start, limit: credits(5) })
  const notes = leaves(host)
  assert.equal(replayed(host).findings, [])
  // The same acceptance again, in its place behind the others.
  const { statement } = must(parseStatement(accept.note))
  const last = directionOf(view(host), home.name, host.name)
  const again = must(sealStatement(
    { ...statement, n: last.n + 1, prev: last.sid } as Statement, home.signer.statement)).note
  for (const dead of [undefined, 'kept'] as const) {
    const replay = openReplay(host.name, checkNow, dead ? { recordsOf: keepingDead } : {})
    const findings = [...notes, again].flatMap((note) => replay.leaf(Buffer.from(note)))
    assert.equal(findings.map(({ index, rule }) => [index, rule]), [[notes.length, 'I5']])
    assert.match(findings[0]?.detail ?? '', /unknown hold/)
  }
})

/** Records as the command keeps them: what has ended is not among the entries, and not removed. */
function keepingDead(_: string, isDead: ((value: unknown) => boolean) | undefined) {
  const all = new Map<string, unknown>()
  return {
    get: (key: string) => all.get(key),
    set: (key: string, value: unknown) => all.set(key, value),
    delete: (key: string) => all.delete(key),
    entries: () => [...all].filter(([, value]) => !isDead?.(value)),
  }
}

function reconcile(one: TestSite, other: TestSite): void {
  const last = directionOf(view(one), one.name, other.name)
  const direction = `${one.name}>${other.name}`
  const offered = tell(one, other, {
    kind: 'reconcile', side: 'offer', to: other.name, at: start, issued: last.n,
    received: directionOf(view(one), other.name, one.name).n,
    state: pairState(view(one), one.name, other.name, { direction, counted: last }),
  })
  tell(other, one, {
    kind: 'reconcile', side: 'agree', to: one.name, at: start, reconcile: offered.sid,
  })
}

function copyOf(at: TestSite): TestSite['tables'] {
  return new Map([...at.tables].map(([table, records]) => [table, new Map(records)]))
}

function hearPublic(at: TestSite, note: string): void {
  must(step(at, (v) => logPublic(v, at.name, note)))
}
