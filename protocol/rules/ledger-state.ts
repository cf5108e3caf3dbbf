// The book of a log as one text: what a snapshot commits to, and from which a log can be replayed
// when its first entries are gone. Normative, see docs/LEDGER.md.
//
//     gridnode/v1/book
//     ["accounts","a.example>b.example",{"asked":"0",…}]      one line a record, canonical JSON
//
// Lines are sorted by table and key, bytewise. The state is the RFC 6962 root over the lines,
// without their newlines, the first included: it needs no more memory than a line.
// Invariants: two books with the same records give the same text; `loadBook` takes that text alone,
// and what it gives has the same text again.

import { assert } from '../base/assert.ts'
import { fromHex, toHex } from '../base/crypto.ts'
import type { Malformed, Value } from '../base/encoding.ts'
import { decode, encode, malformed } from '../base/encoding.ts'
import type { FederationId, Hash, Sid, SiteName } from '../base/ids.ts'
import { compareBytes } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import { append, emptyFrontier, root } from '../base/merkle.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok } from '../base/outcome.ts'
import type { Shape } from '../base/shape.ts'
import {
  amount, hash, hex, integer, list, literal, oneOf, record, shaped, siteName, text, union, unshape,
} from '../base/shape.ts'
import type { View } from '../base/tables.ts'
import type { LedgerTables } from './ledger-book.ts'

type Cold = 'ledgerEntries' | 'ledgerNodes' | 'ledgerNumbers'
export type BookTable = Exclude<keyof LedgerTables, Cold>

interface Codec<T> {
  /** Of the value on the line. */
  readonly shape: Shape<T>
  readonly write: (value: T) => Value
}

const header = 'gridnode/v1/book'
const lineBytesMax = 1024 * 1024
const claimsMax = 1_024
const retiredMax = 4_096

function plain<T>(shape: Shape<T>): Codec<T> {
  return { shape, write: unshape }
}

function listOf<T>(codec: Codec<T>, max: number): Codec<readonly T[]> {
  return { shape: list(codec.shape, { max }), write: (values) => values.map(codec.write) }
}

const bytes32: Codec<Uint8Array> = {
  shape: {
    decode: (value, path) => fromHex(hex({ bytes: 32 }).decode(value, path)) ?? new Uint8Array(),
  },
  write: toHex,
}

type Fields<T> = { readonly [K in keyof T]: Codec<T[K]> }

/** `askedEpochMs` is written as `asked_epoch_ms`. */
function wireName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

function recordOf<T>(fields: Fields<T>): Codec<T> {
  const all = Object.entries(fields) as [keyof T & string, Codec<unknown>][]
  const wire = record(Object.fromEntries(all.map(([name, { shape }]) => [wireName(name), shape])))
  return {
    shape: {
      decode(value, path) {
        const read = wire.decode(value, path) as { readonly [name: string]: unknown }
        return Object.fromEntries(all.map(([name]) => [name, read[wireName(name)]])) as T
      },
    },
    write: (value) =>
      Object.fromEntries(all.map(([name, { write }]) => [wireName(name), write(value[name])])),
  }
}

type Kinds<T extends { readonly kind: string }> =
  { readonly [K in T['kind']]: Codec<Extract<T, { readonly kind: K }>> }

function kindsOf<T extends { readonly kind: string }>(kinds: Kinds<T>): Codec<T> {
  const codecOf = (kind: unknown): Codec<T> | undefined =>
    Object.hasOwn(kinds, String(kind)) ? kinds[kind as T['kind']] as unknown as Codec<T> : undefined
  const nothing = record({})
  const any = union('kind',
    Object.fromEntries(Object.keys(kinds).map((kind) => [kind, nothing])))
  return {
    shape: {
      decode(value, path) {
        const kind = typeof value === 'object' && value !== null && 'kind' in value
          ? value.kind : undefined
        const codec = codecOf(kind)
        return codec ? codec.shape.decode(value, path) : any.decode(value, path) as never
      },
    },
    write(value) {
      const codec = codecOf(value.kind)
      assert(codec, `a kind of record that the book has: ${value.kind}`)
      return codec.write(value)
    },
  }
}

const number = plain(integer({ min: 0, max: Number.MAX_SAFE_INTEGER }))
const flag = plain(integer({ min: 0, max: 1 }) as Shape<0 | 1>)
const money = plain(amount())
const site = plain(siteName())
const siteOrNobody = plain(text({ bytesMax: 63 }) as Shape<SiteName | ''>)
const sid = plain(hash() as Shape<Sid>)
const sidOrNothing = plain(text({ bytesMax: 64, pattern: /^([0-9a-f]{64})?$/ }) as Shape<Sid | ''>)
const hashed = plain(hash() as Shape<Hash>)
const key = plain(hex({ bytes: 32 }))
const words = plain(text({ bytesMax: 4_096 }))

const usage = { tasks: number, core_s: number, gib_s: number }
const siteKeys = recordOf<LedgerTables['ledgerMembers']['keys']>({
  log: key, statement: key, witness: key, network: key,
})
const tariff = {
  task: money, core_hour: money, gib_hour: money, speed_permille: number,
  factor_permille_max: number, rounding: plain(literal('down')),
}
const sums = { posted: money, asked: money, held: money, claimed: money, settled: money }

type ProposalOf<K> = Extract<LedgerTables['ledgerProposals'], { readonly kind: K }>

const codecs: { readonly [T in BookTable]: Codec<LedgerTables[T]> } = {
  ledgerHead: recordOf<LedgerTables['ledgerHead']>({
    site,
    epoch: number,
    federation: plain(hash() as Shape<FederationId>),
    federationName: words,
    founder: site,
    founderRoot: key,
    frontier: recordOf({ size: number, peaks: listOf(bytes32, 53) }),
  }),
  ledgerDirections: recordOf<LedgerTables['ledgerDirections']>({
    e: number, n: number, sid: sidOrNothing, at: number,
  }),
  ledgerPublics: recordOf<LedgerTables['ledgerPublics']>({ sid, prev: sidOrNothing }),
  ledgerMembers: recordOf<LedgerTables['ledgerMembers']>({
    genesis: sid,
    epoch: number,
    root: key,
    keys: siteKeys,
    retired: listOf(recordOf({
      epoch: number,
      keys: siteKeys,
      endedBy: number,
      last: listOf(recordOf({ site, n: number }), limits.sitesMax),
    }), retiredMax),
  }),
  ledgerAdmissions: recordOf<LedgerTables['ledgerAdmissions']>({
    site, root: key, genesis: sidOrNothing, sponsor: site, policy: sidOrNothing,
  }),
  ledgerTariffs: recordOf<LedgerTables['ledgerTariffs']>({ site, sid, index: number, ...tariff }),
  ledgerCredits: recordOf<LedgerTables['ledgerCredits']>({ limit: money }),
  ledgerAccounts: recordOf<LedgerTables['ledgerAccounts']>({
    creditor: site, debtor: site, ...sums,
  }),
  ledgerContracts: recordOf<LedgerTables['ledgerContracts']>({
    sid,
    home: site,
    host: site,
    terms: recordOf({
      side: plain(literal('offer')),
      job: hashed,
      auction: words,
      bid: hashed,
      tariff: sid,
      factor_permille: number,
      cores: number,
      memory_mib: number,
      walltime_s: number,
      lease_s: number,
      accept_s: number,
      tasks_max: number,
      interim_s: number,
      exposure_permille: number,
      auto_permille: number,
      arbiter: siteOrNobody,
    }),
    agreed: sidOrNothing,
    offeredEpochMs: number,
    index: number,
  }),
  ledgerHolds: recordOf<LedgerTables['ledgerHolds']>({
    sid,
    contract: sid,
    home: site,
    host: site,
    amount: money,
    tasks: number,
    askedEpochMs: number,
    validUntilEpochMs: number,
    state: plain(oneOf('asked', 'held', 'done', 'declined', 'void')),
    index: number,
    endedIndex: number,
    used: recordOf(usage),
    claimed: money,
    claimedFinal: flag,
    claimedEpochMs: number,
    accepted: money,
    claims: listOf(recordOf({ sid, n: number, amount: money, final: flag }), claimsMax),
    grant: sidOrNothing,
    asks: money,
    disputed: words,
    clause: money,
  }),
  ledgerProposals: kindsOf<LedgerTables['ledgerProposals']>({
    resolve: recordOf<ProposalOf<'resolve'>>({
      kind: plain(literal('resolve')), n: number, from: site, to: site, hold: sid, amount: money,
      atEpochMs: number,
    }),
    settle: recordOf<ProposalOf<'settle'>>({
      kind: plain(literal('settle')), n: number, from: site, to: site, creditor: site, debtor: site,
      amount: money, reference: words, atEpochMs: number,
    }),
    reconcile: recordOf<ProposalOf<'reconcile'>>({
      kind: plain(literal('reconcile')), n: number, from: site, to: site, e: number,
      prev: sidOrNothing, state: hashed, index: number, atEpochMs: number,
    }),
  }),
  ledgerGrants: recordOf<LedgerTables['ledgerGrants']>({
    sid, authority: site, grantee: site, name: words, amount: money, startsEpochMs: number,
    untilEpochMs: number, held: money, spent: money,
  }),
  ledgerPolicy: recordOf<LedgerTables['ledgerPolicy']>({
    sid,
    version: number,
    witnesses: listOf(site, 64),
    quorum: number,
    authorities: listOf(site, 64),
  }),
  ledgerReconciled: recordOf<LedgerTables['ledgerReconciled']>({
    sid, index: number, state: hashed, atEpochMs: number,
  }),
  ledgerFrozen: recordOf<LedgerTables['ledgerFrozen']>({ epoch: number, sid }),
}

/** The name of a table on its lines, such as `accounts`. */
function nameOf(table: BookTable): string {
  return table.slice('ledger'.length).toLowerCase()
}

const tables = (Object.keys(codecs) as BookTable[])
  .toSorted((a, b) => compareBytes(nameOf(a), nameOf(b)))
const byName = new Map(tables.map((table) => [nameOf(table), table]))

/** The lines of the book, each without its newline. */
export function* bookLines(
  view: Pick<View<LedgerTables>, 'entries'>,
): Generator<string, undefined> {
  yield header
  for (const table of tables) yield* linesOf(view, table)
}

function* linesOf<T extends BookTable>(
  view: Pick<View<LedgerTables>, 'entries'>, table: T,
): Generator<string, undefined> {
  const { write } = codecs[table]
  const records = Array.from(view.entries(table)).sort(([a], [b]) => compareBytes(a, b))
  for (const [name, value] of records) {
    yield encode([nameOf(table), name, write(value)])
  }
}

export function bookText(view: Pick<View<LedgerTables>, 'entries'>): string {
  let whole = ''
  for (const line of bookLines(view)) whole += `${line}\n`
  return whole
}

/** What a snapshot of this book says as its state. */
export function bookState(view: Pick<View<LedgerTables>, 'entries'>): Hash {
  return stateOf(bookLines(view))
}

/** The state of a text's lines. */
export function stateOf(lines: Iterable<string>): Hash {
  let frontier = emptyFrontier
  for (const line of lines) frontier = append(frontier, Buffer.from(line)).frontier
  return toHex(root(frontier)) as Hash
}

export interface LoadedRecord {
  readonly table: BookTable
  readonly key: string
  readonly value: LedgerTables[BookTable]
}

export interface LoadedBook {
  readonly state: Hash
  readonly records: readonly LoadedRecord[]
}

/** The records of a text that `bookText` gives; anything else is refused with its line. */
export function loadBook(whole: string): Outcome<LoadedBook, Malformed> {
  if (!whole.endsWith('\n')) return malformed('the text does not end in a newline')
  const lines = whole.slice(0, -1).split('\n')
  if (lines[0] !== header) return malformed(`the first line is not ${header}`)
  const records: LoadedRecord[] = []
  let before: LoadedRecord | undefined
  for (const [at, line] of lines.entries()) {
    if (at === 0) continue
    const read = readLine(line)
    if (!read.ok) return malformed(`line ${at + 1}: ${read.refusal.detail}`)
    if (before && !isBefore(before, read.value)) {
      return malformed(`line ${at + 1} does not follow the one before it`)
    }
    records.push(read.value)
    before = read.value
  }
  const heads = records.filter(({ table }) => table === 'ledgerHead')
  if (heads.length !== 1) return malformed(`expected one head, got ${heads.length}`)
  return ok({ state: stateOf(lines), records })
}

const lineShape: Shape<readonly unknown[]> = list({ decode: (value: unknown) => value }, {
  min: 3, max: 3,
})

function readLine(line: string): Outcome<LoadedRecord, Malformed> {
  const value = decode(line, { bytesMax: lineBytesMax })
  if (!value.ok) return value
  const parts = shaped(lineShape, value.value)
  if (!parts.ok) return parts
  const [name, key, written] = parts.value
  const table = byName.get(String(name))
  if (!table || typeof key !== 'string') return malformed('expected a table, a key and a record')
  const read = shaped<LedgerTables[BookTable]>(codecs[table].shape, written)
  return read.ok ? ok({ table, key, value: read.value }) : read
}

function isBefore(one: LoadedRecord, other: LoadedRecord): boolean {
  const order = compareBytes(nameOf(one.table), nameOf(other.table))
  return order < 0 || (order === 0 && compareBytes(one.key, other.key) < 0)
}
