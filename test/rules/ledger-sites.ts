// Sites with ledgers for tests: deterministic keys, a federation founded by the first, members
// admitted by it, and short ways to say things.

import { keyPairFromSeed, sha256, sha256Hex, toHex } from '../../protocol/base/crypto.ts'
import type { KeyPair } from '../../protocol/base/crypto.ts'
import type { Hash, Sid, SiteName } from '../../protocol/base/ids.ts'
import { parseSiteName } from '../../protocol/base/ids.ts'
import type { Outcome } from '../../protocol/base/outcome.ts'
import type { Draft, Tables, View, Write } from '../../protocol/base/tables.ts'
import { applyWrites, draft } from '../../protocol/base/tables.ts'
import type { Microcredits } from '../../protocol/base/units.ts'
import type { LedgerSigner, LedgerTables, Logged } from '../../protocol/rules/ledger.ts'
import {
  admitMember, issueStatement, logPublic, openLedger, receiveStatement, sealFederation, sealGenesis,
} from '../../protocol/rules/ledger.ts'
import type {
  ContractOffer, PairStatement, PublicStatement, SiteKeys, StatementInput,
} from '../../protocol/rules/statement.ts'
import { rootSigner, statementSigner } from '../../protocol/rules/statement.ts'

export interface TestSite {
  readonly name: SiteName
  readonly tables: Tables
  readonly signer: LedgerSigner
  readonly root: KeyPair
  readonly log: KeyPair
  readonly keys: SiteKeys
  genesis: string
  policy: string | undefined
}

export type Said = Logged<PublicStatement | PairStatement>

export const start = 1_750_000_000_000
const nothing: ReadonlySet<string> = new Set()

export function site(text: string): SiteName {
  const name = parseSiteName(text)
  if (!name) throw new Error(`not a site name: ${text}`)
  return name
}

export function credits(value: bigint | number): Microcredits {
  return BigInt(value) as Microcredits
}

export function hashOf(text: string): Hash {
  return sha256Hex(text)
}

export function keyFor(name: string, use: string): KeyPair {
  return keyPairFromSeed(sha256(`${name} ${use}`))
}

export function must<T, R>(outcome: Outcome<T, R>): T {
  if (outcome.ok) return outcome.value
  throw new Error(`refused: ${JSON.stringify(outcome.refusal, (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value)}`)
}

/** Runs `work` on a draft and keeps its writes, cold ones included, if it was not refused. */
export function step<T, R>(
  at: TestSite, work: (view: View<LedgerTables>) => Outcome<T, R>,
): Outcome<T, R> {
  const { outcome, writes } = tried(at, work)
  if (!outcome.ok && writes.length > 0) {
    throw new Error(`refused, and yet it wrote ${writes.map(({ table }) => table).join(', ')}`)
  }
  applyWrites(at.tables, writes, nothing)
  return outcome
}

export function tried<T, R>(
  at: TestSite, work: (view: View<LedgerTables>) => Outcome<T, R>,
): { readonly outcome: Outcome<T, R>, readonly writes: Write[] } {
  const trial: Draft<LedgerTables> = draft(at.tables)
  return { outcome: work(trial), writes: trial.writes() }
}

export function view(at: TestSite): View<LedgerTables> {
  return draft(at.tables)
}

function newSite(text: string): TestSite {
  const name = site(text)
  const keys = { log: '', statement: '', witness: '', network: '' }
  for (const use of ['log', 'statement', 'witness', 'network'] as const) {
    keys[use] = toHex(keyFor(name, use).publicKey)
  }
  return {
    name,
    tables: new Map(),
    signer: {
      site: name, epoch: 1, statement: statementSigner(name, 1, keyFor(name, 'statement')),
    },
    root: keyFor(name, 'root'),
    log: keyFor(name, 'log'),
    keys,
    genesis: '',
    policy: undefined,
  }
}

/** The first name founds; the others are admitted, and everybody logs everybody. */
export function federation(...names: readonly string[]): TestSite[] {
  const sites = names.map(newSite)
  const founder = sites[0] as TestSite
  const named = must(sealFederation(rootSigner(founder.name, founder.root), {
    name: 'test', founder: founder.name, nonce: '00'.repeat(16), at: start,
  }))
  for (const each of sites) {
    each.genesis = must(sealGenesis(rootSigner(each.name, each.root), {
      fed: named.sid, site: each.name, keys: each.keys, at: start,
    })).note
    const notes = { federation: named.note, genesis: each.genesis }
    must(step(each, (v) => openLedger(v, each.name, notes)))
  }
  for (const each of sites.slice(1)) {
    each.policy = say(founder, {
      kind: 'policy',
      to: '*', about: 'admit',
      at: start,
      admit: each.name,
      root: toHex(each.root.publicKey),
      genesis: sidOf(each.genesis),
    }).note
  }
  for (const each of sites) {
    for (const other of sites) {
      const policy = other.policy === undefined ? {} : { policy: other.policy }
      must(step(each, (v) => admitMember(v, each.name, { ...policy, genesis: other.genesis })))
    }
  }
  return sites
}

export function sidOf(note: string): Sid {
  return sha256Hex(note.slice(0, note.lastIndexOf('\n\n') + 1))
}

export function trySay(from: TestSite, input: StatementInput): ReturnType<typeof issueStatement> {
  return step(from, (v) => issueStatement(v, from.signer, input))
}

export function say(from: TestSite, input: StatementInput): Said {
  return must(trySay(from, input))
}

export function hear(
  at: TestSite, from: TestSite, note: string,
): ReturnType<typeof receiveStatement> {
  return step(at, (v) => receiveStatement(v, at.name, from.name, note))
}

/** Says it and has the addressee (or everybody named) hear it. */
export function tell(from: TestSite, to: TestSite, input: StatementInput): Said {
  const said = say(from, input)
  if (input.to === '*') must(step(to, (v) => logPublic(v, to.name, said.note)))
  else if (from !== to) must(hear(to, from, said.note))
  return said
}

export function tariffInput(rates: { task: number, core: number, gib: number }): StatementInput {
  return {
    kind: 'tariff',
    to: '*',
    at: start,
    task: credits(rates.task),
    core_hour: credits(rates.core),
    gib_hour: credits(rates.gib),
    speed_permille: 1_000,
    factor_permille_max: 4_000,
    rounding: 'down',
  }
}

export function offerInput(
  to: TestSite, tariff: Sid, change: Partial<ContractOffer> = {},
): StatementInput {
  return {
    kind: 'contract',
    to: to.name,
    at: start,
    side: 'offer',
    job: hashOf('job'),
    auction: 'auction-1',
    bid: hashOf('bid'),
    tariff,
    factor_permille: 1_000,
    cores: 1,
    memory_mib: 1_024,
    walltime_s: 3_600,
    lease_s: 7_200,
    accept_s: 86_400,
    tasks_max: 100,
    interim_s: 900,
    exposure_permille: 500,
    auto_permille: 0,
    arbiter: '',
    ...change,
  }
}

export interface Deal {
  readonly home: TestSite
  readonly host: TestSite
  readonly tariff: Sid
  readonly contract: Sid
}

/** A tariff of 1 credit a core hour, a limit, and an agreed contract between the two. */
export function agreedDeal(home: TestSite, host: TestSite, limit = 10_000_000): Deal {
  const tariff = tell(host, home, tariffInput({ task: 0, core: 1_000_000, gib: 0 })).sid
  tell(host, home, { kind: 'credit', to: home.name, at: start, limit: credits(limit) })
  const contract = tell(home, host, offerInput(host, tariff)).sid
  tell(host, home, { kind: 'contract', to: home.name, at: start, side: 'agree', contract })
  return { home, host, tariff, contract }
}

export function holdInput(deal: Deal, amount: number, change: object = {}): StatementInput {
  return {
    kind: 'hold',
    to: deal.host.name,
    at: start,
    contract: deal.contract,
    amount: credits(amount),
    tasks: 10,
    valid_until: start + 60_000,
    grant: '',
    doc: hashOf('tranche'),
    ...change,
  }
}

export function heldInput(deal: Deal, hold: Sid): StatementInput {
  return { kind: 'held', to: deal.home.name, at: start, hold }
}

/** A usage of the deal's tariff: one microcredit is 3.6 core milliseconds. */
export function usageInput(
  deal: Deal, hold: Sid, said: { amount: number, core_s: number, final?: 0 | 1, tasks?: number },
): StatementInput {
  return {
    kind: 'usage',
    to: deal.home.name,
    at: start,
    hold,
    amount: credits(said.amount),
    final: said.final ?? 0,
    tasks: said.tasks ?? 1,
    core_s: said.core_s,
    gib_s: 0,
    meter: hashOf('meter'),
  }
}

export function acceptInput(
  deal: Deal, hold: Sid, said: { usage: Sid, amount: number, final?: 0 | 1 },
): StatementInput {
  return {
    kind: 'accept',
    to: deal.host.name,
    at: start,
    hold,
    usage: said.usage,
    amount: credits(said.amount),
    final: said.final ?? 0,
  }
}
