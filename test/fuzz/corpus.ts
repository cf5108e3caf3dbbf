// Valid inputs, recorded from walks of three sites: what they said to one another, what of it was
// signed, what happened at each, and how their records stood at some moments.

import type { Value } from '../../protocol/base/encoding.ts'
import type { Signer, Verifier } from '../../protocol/base/note.ts'
import type { Tables } from '../../protocol/base/tables.ts'
import type { Event } from '../../protocol/machine/events.ts'
import type { Message } from '../../protocol/machine/messages.ts'
import { encodeMessage } from '../../protocol/machine/messages.ts'
import type { Self } from '../../protocol/machine/state.ts'
import { bookText } from '../../protocol/rules/ledger-state.ts'
import type { ParsedStatement } from '../../protocol/rules/statement.ts'
import { logOrigin, parseStatement } from '../../protocol/rules/statement.ts'
import type { Evidence } from '../../protocol/rules/evidence.ts'
import { encodeEvidence } from '../../protocol/rules/evidence.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import { another, shownLog, signedText } from '../attacks/liar.ts'
import type { Site } from '../machine/pair.ts'
import { view } from '../machine/pair.ts'
import { identityOf } from '../sim/identity.ts'
import type { Random } from '../sim/random.ts'
import { random } from '../sim/random.ts'
import { mutateText } from './mutate.ts'
import { mutateDocument } from './mutate-value.ts'
import type { Pool } from './pool.ts'
import { walk } from './traffic.ts'
import type { Happening } from './traffic.ts'

/** The records of a site at a moment. */
export interface Moment {
  readonly site: SiteName
  readonly self: Self
  readonly tables: Tables
  readonly nowMs: number
}

/** A message, and how its addressee stood when it came. */
export interface Occasion {
  readonly moment: Moment
  readonly from: SiteName
  readonly encoded: string
}

export interface Corpus {
  /** Encoded, each kind several times. */
  readonly messages: readonly string[]
  /** Who said each. */
  readonly authors: ReadonlyMap<string, SiteName>
  readonly events: readonly Event[]
  /** Signed notes of every kind, jobs of less than 16 KiB among them. */
  readonly notes: readonly string[]
  readonly heads: readonly string[]
  readonly cosigned: readonly string[]
  readonly proofs: readonly string[]
  readonly evidence: readonly string[]
  readonly books: readonly string[]
  /** The first ones are those of the occasions, in their order. */
  readonly moments: readonly Moment[]
  readonly occasions: readonly Occasion[]
  readonly verifier: Verifier
  readonly logVerifier: Verifier
  readonly witnesses: readonly Verifier[]
  /** The first entries of the first site's log. */
  readonly leaves: readonly string[]
  readonly statements: readonly ParsedStatement[]
  /** What a host has said of tasks, as it travels. */
  readonly reports: Value
  verifierOf(site: SiteName): Verifier | undefined
  mutated(text: string, chance: Random, pool: Pool): string
  /** Whose names stand on the notes in it. */
  signers(text: string): Set<string>
}

/** A changed text, whatever it is. */
export function mutated(text: string, chance: Random, pool: Pool): string {
  if (chance.chance(600)) return mutateDocument(text, chance, pool)
  return mutateText(text, chance, [pool.text(chance)])
}

const perKindMax = 40
const momentsMax = 36
const perKindOccasionsMax = 8

let recorded: Corpus | undefined

/** Recorded once; the same in every process. */
export function corpus(): Corpus {
  recorded ??= record()
  return recorded
}

function record(): Corpus {
  const messages = new Map<string, Set<string>>()
  const authors = new Map<string, SiteName>()
  const events = new Map<string, Event[]>()
  const moments: Moment[] = []
  const chance = random(1, 'corpus')
  const keep = (kind: string, encoded: string, from: SiteName): void => {
    const known = messages.get(kind) ?? new Set()
    messages.set(kind, known)
    if (known.size >= perKindMax) return
    known.add(encoded)
    authors.set(encoded, from)
  }
  const occasions: (Occasion & { kind: string })[] = []
  const heard = new Map<string, number>()
  let last: readonly Site[] = []
  for (const seed of [1, 2, 3]) {
    let steps = 0
    const { world, sites } = walk(seed === 1 ? 3 : 4, 30, random(seed, 'corpus walk'), {
      said(from, to, encoded, nowMs) {
        const kind = encoded.startsWith('{') ? (JSON.parse(encoded) as Message).kind : 'gossip'
        if (kind !== 'gossip') keep(kind, encoded, from.name)
        const rare = kind === 'gossip' ? 0 : Math.max(5, 400 / (1 + (heard.get(kind) ?? 0)))
        heard.set(kind, (heard.get(kind) ?? 0) + 1)
        const known = occasions.filter(({ kind: other }) => other === kind).length
        if (known < perKindOccasionsMax * (seed / 3) && chance.chance(rare)) {
          occasions.push({ kind, moment: momentOf(to, nowMs), from: from.name, encoded })
        }
        return [encoded]
      },
      happens(_site, happening) {
        const known = events.get(happening.kind) ?? []
        events.set(happening.kind, known)
        if (known.length < perKindMax || chance.chance(20)) {
          known[known.length < perKindMax ? known.length : chance.int(perKindMax)] =
            { ...happening, at: 0 } as Event
        }
        return [happening]
      },
      after(site, nowMs) {
        if (++steps % 60 !== 0 || moments.length >= momentsMax * (seed / 3)) return
        moments.push(momentOf(site, nowMs))
      },
    })
    last = sites
    for (const site of sites) moments.push(momentOf(site, world.nowMs))
  }
  for (const message of rareMessages(last)) {
    keep(message.kind, encodeMessage(message), last[0]!.name)
  }
  return sorted([...messages.values()].flatMap((set) => [...set]), {
    authors, events: [...events.values()].flat(), occasions, sites: last,
    moments: [...occasions.map(({ moment }) => moment), ...moments],
  })
}

export function momentOf(site: Site, nowMs: number): Moment {
  const tables = new Map([...site.tables].map(([name, all]) => [name, new Map(all)]))
  return { site: site.name, self: site.self, tables, nowMs }
}

/** What a walk without lies and without lost disks does not say. */
function rareMessages(sites: readonly Site[]): Message[] {
  const [one, two] = sites as [Site, Site]
  const notes = entriesOf(one).slice(-8)
  const [tranche = 'ab'.repeat(8)] = [...view(one).entries('homeTranches')].map(([id]) => id)
  return [
    { kind: 'history_wanted', issued_e: 1, issued: 0, received_e: 1, received: 2, cursor: '' },
    {
      kind: 'history', issued: notes.slice(0, 2), issued_end: 0, received: notes.slice(2, 5),
      received_end: 1, publics: notes.slice(5), publics_end: 1, pruned: 0, cursor: '',
    },
    {
      kind: 'close_wanted', epoch: 2, ends: 1, issued: 3, last: 'ab'.repeat(32), have: 2, have_e: 1,
    },
    { kind: 'documents_wanted', tranche: tranche as never },
    { kind: 'receipts_wanted', numbers: [{ e: 1, n: 1 }, { e: 1, n: 2 }] },
    { kind: 'auction_closed', auction: 'ab'.repeat(8) },
    { kind: 'evidence_known', known: [{ accused: two.name, epoch: 1 }] },
    ...evidenceOf(sites).map((document): Message => ({ kind: 'evidence', document })),
  ]
}

/** One proof of each kind that the last site could leave. */
function evidenceOf(sites: readonly Site[]): string[] {
  const liar = sites.at(-1)!
  const signer = liar.self.signer.statement
  const log = { name: liar.name, federation: liar.self.federation, log: liar.identity.log }
  const [left, right] = [shownLog(log, ['a', 'b', 'c']), shownLog(log, ['a', 'x', 'c'])]
  const said = entriesOf(liar).find((note) =>
    note.includes(`"from":"${liar.name}"`) && note.startsWith('gridnode/v1/credit'))!
  const documents: Evidence[] = [
    { kind: 'fork_head', first: left.head, second: right.head },
    {
      kind: 'fork_leaf', first: { leaf: 'b', proof: left.receipt(1) },
      second: { leaf: 'x', proof: right.receipt(1) },
    },
    { kind: 'double_number', first: said, second: another(signer, said, { limit: 1n }) },
    { kind: 'malformed', note: signedText(signer, 'credit', '{"a": 1}') },
    { kind: 'fell', first: said, second: said },
    { kind: 'overcharge', usage: said, hold: said, contract: said, tariff: said },
  ]
  return documents.map(encodeEvidence)
}

function entriesOf(site: Site): string[] {
  return [...site.cold].filter(([key]) => key.startsWith('ledgerEntries/'))
    .map(([, note]) => note as string)
}

interface Raw {
  readonly authors: ReadonlyMap<string, SiteName>
  readonly events: readonly Event[]
  readonly moments: readonly Moment[]
  readonly occasions: readonly Occasion[]
  readonly sites: readonly Site[]
}

function sorted(
  messages: readonly string[], { authors, events, moments, occasions, sites }: Raw,
): Corpus {
  const notes = new Set<string>()
  const [heads, proofs] = [new Set<string>(), new Set<string>()]
  const visit = (value: unknown): void => {
    if (typeof value === 'object' && value !== null) Object.values(value).forEach(visit)
    if (typeof value !== 'string') return
    if (value.startsWith('{')) visit(JSON.parse(value))
    if (!value.includes('\n\n— ')) return
    if (value.startsWith('gridnode/v1/')) notes.add(value)
    else if (value.startsWith('c2sp.org/')) proofs.add(value)
    else heads.add(value)
  }
  for (const message of messages) visit(JSON.parse(message))
  for (const site of sites) for (const note of entriesOf(site)) notes.add(note)
  const cosigned = sites.flatMap((site) =>
    [...view(site).entries('ownHeads')].map(([, own]) => own.note))
  const withLines = [...proofs].map((proof) => proof.slice(proof.indexOf('\n\n') + 2))
  const [first, second] = [identityOf(0), identityOf(1)]
  const federation = sites[0]!.self.federation
  const few = fewOfEach([...notes])
  const reports = messages.map((message) => JSON.parse(message) as Message)
    .flatMap((message) => message.kind === 'reports' ? message.reports : [])
    .flatMap(({ tasks }) => tasks).slice(0, 3)
  return {
    messages, authors, events, moments, occasions,
    notes: few,
    heads: [...heads].slice(0, 60),
    cosigned: [...cosigned, ...withLines, ...heads].slice(0, 60),
    proofs: [...proofs].slice(0, 60),
    evidence: evidenceOf(sites),
    books: sites.map((site) => bookText(view(site))),
    verifier: verifierOf(first.signer.statement),
    logVerifier: { name: logOrigin(first.site, federation, 1), publicKey: first.log.publicKey },
    witnesses: [first, second].map(({ witness }) => verifierOf(witness)),
    leaves: entriesOf(sites[0]!).slice(0, 60),
    statements: few.map(parseStatement).flatMap((one) => one.ok ? [one.value] : []),
    reports: reports as unknown as Value,
    mutated,
    verifierOf(site) {
      const signer = sites.find(({ name }) => name === site)?.self.signer.statement
      return signer && verifierOf(signer)
    },
    signers: (text) =>
      new Set([...text.matchAll(/— ([a-z0-9.-]+)\/gridnode/g)].map(([, name]) => name!)),
  }
}

function verifierOf({ name, key }: Signer): Verifier {
  return { name, publicKey: key.publicKey }
}

function fewOfEach(notes: readonly string[]): string[] {
  const counts = new Map<string, number>()
  return notes.filter((note) => {
    const kind = note.slice(0, note.indexOf('\n'))
    const count = (counts.get(kind) ?? 0) + 1
    counts.set(kind, count)
    return count <= 15
  })
}

/** A happening with the time of the moment that it meets. */
export function at(event: Event | Happening, nowMs: number): Event {
  return { ...event, at: nowMs } as Event
}
