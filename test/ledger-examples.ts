// One statement of each kind and side, byte for byte as docs/LEDGER.md shows them: three sites,
// fixed keys, holds and how they end. Run by itself it prints the section of the page, for whoever
// changes the format on purpose. test/vectors/ledger/generate.ts makes its cases of them.

import type { KeyPair } from '../protocol/base/crypto.ts'
import { toHex } from '../protocol/base/crypto.ts'
import type { Sid, SiteName } from '../protocol/base/ids.ts'
import { root } from '../protocol/base/merkle.ts'
import type { Signer } from '../protocol/base/note.ts'
import { signNote } from '../protocol/base/note.ts'
import { encode } from '../protocol/base/encoding.ts'
import { trancheCommitment } from '../protocol/rules/contract.ts'
import {
  changeKeys, checkpointText, directionOf, lastIssued, logPublic, openEpoch, sealGenesis, sealKeys,
} from '../protocol/rules/ledger.ts'
import { directionKey, entryKey, openHead } from '../protocol/rules/ledger-book.ts'
import { pairState } from '../protocol/rules/ledger-pairs.ts'
import { bookState } from '../protocol/rules/ledger-state.ts'
import { sealRuling } from '../protocol/rules/ruling.ts'
import { logOrigin, rootSigner, statementSigner } from '../protocol/rules/statement.ts'
import type { StatementInput } from '../protocol/rules/statement.ts'
import { capFor, price } from '../protocol/rules/tariff.ts'
import type { TestSite } from './rules/ledger-sites.ts'
import {
  credits, federation, hashOf, hear, keyFor, must, offerInput, say, sidOf, start, step, tariffInput,
  view,
} from './rules/ledger-sites.ts'

export interface Example {
  /** The heading under which docs/LEDGER.md shows it. */
  readonly kind: string
  readonly note: string
  /** Whose signature it has. */
  readonly signer: Signer
}

export interface Story {
  readonly examples: readonly Example[]
  /** Home, host and a third: their logs hold all that the examples say. */
  readonly sites: readonly TestSite[]
  /** The checkpoint of the home's log, the last example, commits to this many entries. */
  readonly homeSize: number
}

interface Cast {
  home: TestSite
  host: TestSite
  readonly third: TestSite
  readonly examples: Example[]
}

const rates = { task: 0, core: 1_000_000, gib: 0 }
const tariff = { task: credits(0), core_hour: credits(rates.core), gib_hour: credits(0) }
const trancheDocument = { salt: '00112233445566778899aabbccddeeff', tasks: '1-2' }
const used = { tasks: 2, core_s: 90, gib_s: 90 }
const charge = price(tariff, 1_000, used)
const meter = hashOf('gridnode/v1/meter\n' + encode([trancheDocument.salt, []]))

export function ledgerExamples(): readonly Example[] {
  return ledgerStory().examples
}

export function ledgerStory(): Story {
  const [home, host, third] =
    federation('home.example', 'host.example', 'third.example') as [TestSite, TestSite, TestSite]
  const cast: Cast = { home, host, third, examples: [] }
  show(cast, 'federation', entryOf(home, 0), rootSigner(home.name, home.root))
  show(cast, 'genesis', entryOf(home, 1), rootSigner(home.name, home.root))
  show(cast, 'policy, admitting a site', host.policy ?? '', home.signer.statement)
  const contract = agree(cast)
  holdsThatEnd(cast, contract)
  publicWords(cast)
  disputes(cast)
  settlements(cast)
  newKeys(cast)
  const { head, size } = checkpointOf(cast.home)
  show(cast, 'checkpoint', head, {
    name: head.slice(0, head.indexOf('\n')), key: keyFor(home.name, 'log'),
  })
  return { examples: cast.examples, sites: [cast.home, cast.host, third], homeSize: size }
}

function show({ examples }: Cast, kind: string, note: string, signer: Signer): void {
  examples.push({ kind, note, signer })
}

type Input = Record<string, unknown>

/** From one site to another, and an example if it has a heading. */
function tell(cast: Cast, [from, to]: readonly TestSite[], input: Input, heading?: string): Sid {
  const author = from as TestSite
  const whole: unknown = { at: start, to: to?.name ?? '*', ...input }
  const said = say(author, whole as StatementInput)
  const listeners = to ? [to] : [cast.home, cast.host, cast.third].filter((each) => each !== author)
  for (const each of listeners) {
    if (to) must(hear(each, author, said.note))
    else must(step(each, (v) => logPublic(v, each.name, said.note)))
  }
  if (heading !== undefined) show(cast, heading, said.note, author.signer.statement)
  return said.sid
}

/** A tariff, a limit, and an agreed contract. */
function agree(cast: Cast): Sid {
  const { home, host } = cast
  const posted = tell(cast, [host], { ...tariffInput(rates), to: '*' } as Input, 'tariff')
  tell(cast, [host, home], { kind: 'credit', limit: credits(100_000_000) }, 'credit')
  const contract = tell(cast, [home, host], offerInput(host, posted, {
    auction: '7b81f5607a7a3446', walltime_s: 600, lease_s: 600, tasks_max: 100_000, interim_s: 900,
    exposure_permille: 500, auto_permille: 800, arbiter: cast.third.name,
  }) as unknown as Input, 'contract, the offer')
  tell(cast, [host, home], { kind: 'contract', side: 'agree', contract }, 'contract, the agreement')
  return contract
}

function holdInput(contract: Sid, tasks: number, grant: Sid | '' = ''): Input {
  const task = { tasks: 1, cores: 1, memoryMib: 1_024, walltimeSeconds: 600 }
  return {
    kind: 'hold',
    contract,
    amount: credits(capFor(tariff, 1_000, task) * BigInt(tasks)),
    tasks,
    valid_until: start + 3_600_000,
    doc: trancheCommitment(trancheDocument),
    grant,
  }
}

const usageInput = (hold: Sid): Input =>
  ({ kind: 'usage', hold, amount: charge, final: 1, ...used, meter })

/** A hold that is paid, one that is declined, one that is given up. */
function holdsThatEnd(cast: Cast, contract: Sid): void {
  const { home, host } = cast
  const first = tell(cast, [home, host], holdInput(contract, 2), 'hold')
  tell(cast, [host, home], { kind: 'held', hold: first }, 'held')
  const usage = tell(cast, [host, home], usageInput(first), 'usage')
  const accept = { kind: 'accept', hold: first, usage, amount: charge, final: 1 }
  tell(cast, [home, host], accept, 'accept')
  const second = tell(cast, [home, host], holdInput(contract, 1))
  tell(cast, [host, home], { kind: 'declined', hold: second, reason: 'no_room' }, 'declined')
  const third = tell(cast, [home, host], holdInput(contract, 1))
  tell(cast, [host, home], { kind: 'held', hold: third })
  tell(cast, [host, home], { kind: 'void', hold: third, reason: 'nothing was run' }, 'void')
}

/** What concerns everybody. */
function publicWords(cast: Cast): void {
  const { home, host, third } = cast
  tell(cast, [home], {
    kind: 'policy',
    about: 'federation',
    version: 1,
    witnesses: [home.name, host.name, third.name],
    quorum: 3,
    authorities: [third.name],
  }, 'policy, of the federation')
  tell(cast, [third], {
    kind: 'grant', grantee: home.name, name: 'climate-2025', amount: credits(5_000_000),
    starts: start, until: start + 31_536_000_000,
  }, 'grant')
  const { site, epoch, federation: fed, frontier } = openHead(view(home))
  const seen = {
    origin: logOrigin(site, fed, epoch), size: frontier.size, root: toHex(root(frontier)),
  }
  tell(cast, [host], { kind: 'heads', heads: [seen] }, 'heads')
  const day = Math.floor(start / 86_400_000)
  tell(cast, [host], { kind: 'digest', day, count: 2, root: hashOf('digest') }, 'digest')
  const { size } = openHead(view(host)).frontier
  tell(cast, [host], { kind: 'snapshot', size, state: bookState(view(host)) }, 'snapshot')
  tell(cast, [third], {
    kind: 'evidence', accused: host.name, epoch: 1, proof: 'double_number', doc: hashOf('evidence'),
  }, 'evidence')
}

/** Two final usages that the home contests: one ends by agreement, one by the arbiter. */
function disputes(cast: Cast): void {
  const { home, host, third, examples } = cast
  const contract = sidOf(examples.find(({ kind }) => kind === 'contract, the offer')?.note ?? '')
  const grant = sidOf(examples.find(({ kind }) => kind === 'grant')?.note ?? '')
  const claimed = (paid: Sid | ''): { readonly hold: Sid, readonly usage: Sid } => {
    const hold = tell(cast, [home, host], holdInput(contract, 2, paid))
    tell(cast, [host, home], { kind: 'held', hold })
    return { hold, usage: tell(cast, [host, home], usageInput(hold)) }
  }
  const contest = { kind: 'dispute', contested: credits(10_000), reason: 'a task ran twice' }
  const one = claimed('')
  tell(cast, [home, host], { ...contest, ...one, doc: hashOf('dispute') }, 'dispute')
  const resolve = (side: string, more: object): Input => ({ kind: 'resolve', side, ...more })
  tell(cast, [host, home], resolve('clause', { ...one, amount: credits(20_000), proof: '' }),
    'resolve, the clause')
  const offer = tell(cast, [home, host], resolve('offer', {
    hold: one.hold, amount: credits(20_000),
  }), 'resolve, the offer')
  tell(cast, [host, home], resolve('forgive', { hold: one.hold, amount: credits(23_000) }),
    'resolve, forgiving')
  tell(cast, [host, home], resolve('agree', { resolve: offer }), 'resolve, the agreement')
  const two = claimed(grant)
  tell(cast, [home, host], { ...contest, ...two, doc: '' })
  const amount = credits(18_000)
  const { federation: fed } = openHead(view(third))
  const note = sealRuling({ fed, hold: two.hold, amount, at: start }, third.signer.statement)
  show(cast, 'ruling, not a statement', note, third.signer.statement)
  const ruling = resolve('ruling', { hold: two.hold, amount, note })
  tell(cast, [home, host], ruling, 'resolve, the ruling')
}

/** What was owed is paid outside, or given up; then both say that their books agree. */
function settlements(cast: Cast): void {
  const { home, host } = cast
  const settle = tell(cast, [home, host], {
    kind: 'settle',
    side: 'offer',
    amount: credits(40_000),
    payer: 'author',
    reference: 'INV-2025-7',
  }, 'settle, the offer')
  tell(cast, [host, home], { kind: 'settle', side: 'agree', settle }, 'settle, the agreement')
  tell(cast, [host, home], {
    kind: 'settle', side: 'forgive', amount: credits(5_000), reference: 'goodwill',
  }, 'settle, forgiving')
  const book = view(home)
  const last = directionOf(book, home.name, host.name)
  const reconcile = tell(cast, [home, host], {
    kind: 'reconcile',
    side: 'offer',
    issued: last.n,
    received: directionOf(book, host.name, home.name).n,
    state: pairState(book, home.name, host.name, {
      direction: directionKey(home.name, host.name), counted: last,
    }),
  }, 'reconcile, the offer')
  tell(cast, [host, home], { kind: 'reconcile', side: 'agree', reconcile },
    'reconcile, the agreement')
}

/** The home changes keys; the host begins a new epoch, and the home closes the old one. */
function newKeys(cast: Cast): void {
  const { host, third } = cast
  const everyone = (note: string, author: SiteName): void => {
    for (const each of [cast.home, cast.host, third].filter(({ name }) => name !== author)) {
      must(step(each, (v) => logPublic(v, each.name, note)))
    }
  }
  const before = cast.home
  const [statement, witness] = ['statement 2', 'witness 2'].map((use) =>
    keyFor(before.name, use)) as [KeyPair, KeyPair]
  const homeRoot = rootSigner(before.name, before.root)
  const { note: keys } = must(sealKeys(view(before), homeRoot, {
    statement: toHex(statement.publicKey),
    witness: toHex(witness.publicKey),
    last: [{ site: host.name, n: lastIssued(view(before), before.name, host.name) }],
    at: start,
  }))
  must(step(before, (v) => changeKeys(v, before.name, keys)))
  everyone(keys, before.name)
  show(cast, 'key', keys, homeRoot)
  const home: TestSite = { ...before, signer: {
    ...before.signer, statement: statementSigner(before.name, 1, statement),
  } }
  cast.home = home
  const hostRoot = rootSigner(host.name, host.root)
  const fresh = (use: string): string => toHex(keyFor(host.name, `${use} of epoch 2`).publicKey)
  const ends = directionOf(view(home), host.name, home.name)
  const { note: genesis } = must(sealGenesis(hostRoot, {
    fed: openHead(view(host)).federation,
    site: host.name,
    keys: { ...host.keys, log: fresh('log'), statement: fresh('statement') },
    at: start,
    after: {
      epoch: 1,
      genesis: sidOf(host.genesis),
      closes: [{
        site: home.name, issued: ends.n, received: lastIssued(view(home), home.name, host.name),
      }],
    },
  }))
  must(step(host, (v) => openEpoch(v, host.name, genesis)))
  everyone(genesis, host.name)
  show(cast, 'genesis, of a later epoch', genesis, hostRoot)
  cast.host = {
    ...host,
    log: keyFor(host.name, 'log of epoch 2'),
    signer: {
      site: host.name,
      epoch: 2,
      statement: statementSigner(host.name, 2, keyFor(host.name, 'statement of epoch 2')),
    },
  }
  const own = directionOf(view(home), home.name, host.name)
  tell(cast, [home, cast.host], {
    kind: 'reconcile', side: 'close', epoch: 2, ends: 1, received: ends.n, last: ends.sid,
    issued: own.n, own: own.sid,
  }, 'reconcile, the close')
  tell(cast, [cast.host, home], { kind: 'credit', limit: credits(100_000_000) })
}

function entryOf({ tables }: TestSite, index: number): string {
  const note = tables.get('ledgerEntries')?.get(entryKey(index))
  return typeof note === 'string' ? note : ''
}

function checkpointOf(at: TestSite): { readonly head: string, readonly size: number } {
  const text = checkpointText(view(at))
  const name = text.slice(0, text.indexOf('\n'))
  return {
    head: signNote(text, { name, key: at.log }), size: openHead(view(at)).frontier.size,
  }
}

if (import.meta.main) {
  for (const { kind, note } of ledgerExamples()) {
    console.log(`### ${kind}\n\n\`\`\`\n${note}\`\`\`\n`)
  }
}
