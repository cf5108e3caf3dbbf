// Proofs that a site lied, as documents: what convinces, and what must convince nobody. Each is
// signed with the real keys of the site that is accused.

import { sha256Hex, toHex } from '../../protocol/base/crypto.ts'
import { signNote } from '../../protocol/base/note.ts'
import type { Evidence, EvidenceContext, EvidenceRefusal } from '../../protocol/rules/evidence.ts'
import {
  checkEvidence, encodeEvidence, evidenceBytesMax, evidenceContext,
} from '../../protocol/rules/evidence.ts'
import {
  changeKeys, logPublic, openEpoch, sealGenesis, sealKeys,
} from '../../protocol/rules/ledger.ts'
import { openHead } from '../../protocol/rules/ledger-book.ts'
import { parseStatement, rootSigner, statementSigner } from '../../protocol/rules/statement.ts'
import { assert, suite } from '../harness.ts'
import type { Deal, TestSite } from '../rules/ledger-sites.ts'
import {
  agreedDeal, credits, federation, hear, heldInput, holdInput, keyFor, must, say, start, step, tell,
  usageInput, view,
} from '../rules/ledger-sites.ts'
import type { LogOf } from './liar.ts'
import { another, shownLog, signedText } from './liar.ts'

const t = suite('proofs of lies')

interface Three {
  readonly home: TestSite
  readonly host: TestSite
  readonly third: TestSite
}

function three(): Three {
  const [home, host, third] = federation('home.example', 'host.example', 'third.example')
  return { home: home!, host: host!, third: third! }
}

function logOf(at: TestSite): LogOf {
  return { name: at.name, federation: openHead(view(at)).federation, log: at.log }
}

function contextOf(at: TestSite): EvidenceContext {
  return evidenceContext(view(at))
}

/** It convinces a third site, which has nothing but the keys. */
function proves(at: TestSite, evidence: Evidence, accused: TestSite, epoch = 1): string {
  const lie = assert.accepted(checkEvidence(encodeEvidence(evidence), contextOf(at)))
  assert.equal([lie.accused, lie.epoch, lie.kind], [accused.name, epoch, evidence.kind])
  assert.equal(lie.doc, sha256Hex(encodeEvidence(evidence)))
  return lie.what
}

function provesNothing(
  at: TestSite, evidence: Evidence, reason: EvidenceRefusal['reason'], detail: RegExp,
): void {
  const checked = checkEvidence(encodeEvidence(evidence), contextOf(at))
  assert.refused(checked, reason)
  if (!checked.ok) assert.match(checked.refusal.detail, detail)
}

function credit(from: TestSite, to: TestSite, limit: number): string {
  return say(from, { kind: 'credit', to: to.name, at: start, limit: credits(limit) }).note
}

t('E1: two heads of one size with two roots', () => {
  const { home, third } = three()
  const [one, two] = [shownLog(logOf(home), ['a', 'b']), shownLog(logOf(home), ['a', 'c'])]
  const what = proves(third, { kind: 'fork_head', first: one.head, second: two.head }, home)
  assert.match(what, /two heads of its log with 2 entries/)
})

t('E1: heads of two sizes, one head twice, heads of two logs prove nothing', () => {
  const { home, host, third } = three()
  const one = shownLog(logOf(home), ['a', 'b'])
  const fork = (second: string): Evidence => ({ kind: 'fork_head', first: one.head, second })
  const longer = shownLog(logOf(home), ['x', 'y', 'z'])
  provesNothing(third, fork(longer.head), 'proves_nothing', /two sizes/)
  provesNothing(third, fork(one.head), 'proves_nothing', /same head/)
  const cosigned = `${one.head}— third.example/gridnode/w1 AAAAAAAA\n`
  provesNothing(third, fork(cosigned), 'proves_nothing', /same head/)
  const other = shownLog(logOf(host), ['a', 'c'])
  provesNothing(third, fork(other.head), 'proves_nothing', /two logs/)
})

t('E1: a head that another key signed, of an epoch or federation that is not known', () => {
  const { home, host, third } = three()
  const one = shownLog(logOf(home), ['a'])
  const fork = (second: string): Evidence => ({ kind: 'fork_head', first: one.head, second })
  const forged = shownLog({ ...logOf(home), log: host.log }, ['b'])
  provesNothing(third, fork(forged.head), 'bad_signature', /home.example/)
  const later = shownLog({ ...logOf(home), epoch: 2 }, ['b'])
  provesNothing(third, fork(later.head), 'unknown_site', /epoch 2/)
  const elsewhere = shownLog({ ...logOf(home), federation: sha256Hex('other') }, ['b'])
  provesNothing(third, fork(elsewhere.head), 'other_federation', /federation/)
})

t('E2: two entries at one place, under heads of two sizes', () => {
  const { home, third } = three()
  const one = shownLog(logOf(home), ['a', 'b', 'c'])
  const two = shownLog(logOf(home), ['a', 'x', 'c', 'd', 'e'])
  const what = proves(third, {
    kind: 'fork_leaf',
    first: { leaf: 'b', proof: one.receipt(1) },
    second: { leaf: 'x', proof: two.receipt(1) },
  }, home)
  assert.match(what, /two different entries number 1/)
})

t('E2: the same leaf twice is a false accusation, so are two places and a wrong receipt', () => {
  const { home, third } = three()
  const one = shownLog(logOf(home), ['a', 'b', 'c'])
  const longer = shownLog(logOf(home), ['a', 'b', 'c', 'd'])
  const first = { leaf: 'b', proof: one.receipt(1) }
  const fork = (leaf: string, proof: string): Evidence =>
    ({ kind: 'fork_leaf', first, second: { leaf, proof } })
  provesNothing(third, fork('b', longer.receipt(1)), 'proves_nothing', /same entry/)
  provesNothing(third, fork('c', longer.receipt(2)), 'proves_nothing', /two places/)
  provesNothing(third, fork('x', longer.receipt(1)), 'proves_nothing', /not number 1/)
})

t('E3: two statements with one number', () => {
  const { home, host, third } = three()
  const first = credit(host, home, 1_000)
  const second = another(host.signer.statement, first, { limit: credits(1) })
  const what = proves(third, { kind: 'double_number', first, second }, host)
  assert.match(what, /two statements number 1 to home\.example/)
})

t('E3: the same statement with another signature proves nothing', () => {
  const { home, host, third } = three()
  const first = credit(host, home, 1_000)
  const double = (second: string): Evidence => ({ kind: 'double_number', first, second })
  provesNothing(third, double(first), 'proves_nothing', /same statement/)
  // The note is cut open and put together again: nothing but the encoding could differ.
  const { sealed } = must(parseStatement(first))
  const again = signNote(sealed.open.text, host.signer.statement)
  provesNothing(third, double(again), 'proves_nothing', /same statement/)
  const padded = first.replace(/\n$/, '=\n')
  provesNothing(third, double(padded), 'malformed', /base64/)
})

t('replay across directions: numbers of two sequences prove nothing', () => {
  const { home, host, third } = three()
  const first = credit(host, home, 1_000)
  const elsewhere = credit(host, third, 500)
  provesNothing(third, { kind: 'double_number', first, second: elsewhere }, 'proves_nothing',
    /two sequences/)
  const back = credit(home, host, 500)
  provesNothing(third, { kind: 'double_number', first, second: back }, 'proves_nothing',
    /two sites/)
  const turned = another(host.signer.statement, first, { from: home.name, to: host.name })
  provesNothing(third, { kind: 'double_number', first: back, second: turned }, 'bad_signature',
    /home.example/)
})

t('replay across federations: a statement of another federation proves nothing', () => {
  const { home, host, third } = three()
  const first = credit(host, home, 1_000)
  // The site uses the very same keys in two federations.
  const second = another(host.signer.statement, first, { fed: sha256Hex('another federation') })
  provesNothing(third, { kind: 'double_number', first, second }, 'other_federation', /federation/)
})

/** The site opens its second epoch; everybody hears of it. */
function secondEpoch(at: TestSite, ...others: readonly TestSite[]): TestSite {
  const head = openHead(view(at))
  const genesis = view(at).get('ledgerMembers', at.name)!.genesis
  const keys = { ...at.keys }
  for (const use of ['log', 'statement', 'witness'] as const) {
    keys[use] = toHex(keyFor(at.name, `${use} 2`).publicKey)
  }
  const note = must(sealGenesis(rootSigner(at.name, at.root), {
    fed: head.federation, site: at.name, keys, at: start,
    after: { epoch: 1, genesis, closes: [] },
  })).note
  must(step(at, (v) => openEpoch(v, at.name, note)))
  for (const other of others) must(step(other, (v) => logPublic(v, other.name, note)))
  const key = keyFor(at.name, 'statement 2')
  const signer = { site: at.name, epoch: 2, statement: statementSigner(at.name, 2, key) }
  return { ...at, keys, signer, log: keyFor(at.name, 'log 2') }
}

t('replay across epochs: one number in two epochs proves nothing, two in one do', () => {
  const { home, host, third } = three()
  const first = credit(host, home, 1_000)
  const later = secondEpoch(host, home, third)
  const second = another(later.signer.statement, first, { e: 2, limit: credits(1) })
  provesNothing(third, { kind: 'double_number', first, second }, 'proves_nothing', /two epochs/)
  // Its old number cannot be used again under the new key, nor the new one's under the old.
  const mixed = another(later.signer.statement, first, { limit: credits(1) })
  provesNothing(third, { kind: 'double_number', first, second: mixed }, 'bad_signature', /s1/)
  const both = another(later.signer.statement, second, { limit: credits(2) })
  proves(third, { kind: 'double_number', first: second, second: both }, later, 2)
  // Who has not heard of the new epoch blames nobody.
  const [, , stranger] = federation('home.example', 'host.example', 'third.example')
  provesNothing(stranger!, { kind: 'double_number', first: second, second: both },
    'unknown_site', /epoch 2/)
})

t('two geneses: of a later epoch they prove a lie, of the first nobody was admitted with', () => {
  const { home, host, third } = three()
  const genesis = (after?: { epoch: number, genesis: string }, at = start): string =>
    must(sealGenesis(rootSigner(host.name, host.root), {
      fed: openHead(view(home)).federation, site: host.name, keys: host.keys, at,
      ...(after && { after: { ...after, closes: [] } } as object),
    })).note
  provesNothing(third, {
    kind: 'double_number', first: host.genesis, second: genesis(undefined, start + 1),
  }, 'proves_nothing', /admitted/)
  secondEpoch(host, third)
  const previous = must(parseStatement(host.genesis)).sid
  proves(third, {
    kind: 'double_number',
    first: genesis({ epoch: 1, genesis: previous }),
    second: genesis({ epoch: 1, genesis: previous }, start + 1),
  }, host, 2)
})

t('malformed: a text that breaks rule 1, signed by the valid key', () => {
  const { home, host, third } = three()
  const { signer } = host
  const fed = openHead(view(home)).federation
  for (const body of ['{"b":1,"a":2}', '{ "a":1}', '{"a":1}', '[]', '"x"', 'nonsense', 'null']) {
    proves(third, { kind: 'malformed', note: signedText(signer.statement, 'credit', body) }, host)
  }
  const place = { e: 1, fed, from: host.name, to: home.name, n: 1, prev: '', at: start }
  const beyond = { ...place, limit: String(2n ** 63n) }
  const what = proves(third, {
    kind: 'malformed', note: signedText(signer.statement, 'credit', beyond),
  }, host)
  assert.match(what, /signed a credit that is none: limit/)
})

t('malformed: other texts, other keys and what others put around a text prove nothing', () => {
  const { home, host, third } = three()
  const { statement } = host.signer
  const bad = (note: string): Evidence => ({ kind: 'malformed', note })
  const credited = credit(host, home, 1_000)
  provesNothing(third, bad(credited), 'proves_nothing', /well formed/)
  const another = credited.replace(/\n(— .*)\n$/, '\n$1\n$1\n')
  provesNothing(third, bad(another), 'proves_nothing', /well formed/)
  provesNothing(third, bad(signedText(statement, 'offer', '{}')), 'proves_nothing', /anything/)
  provesNothing(third, bad(signedText(statement, 'future', '{}')), 'proves_nothing', /anything/)
  provesNothing(third, bad(signedText(statement, 'genesis', '{}')), 'proves_nothing', /anything/)
  provesNothing(third, bad(signNote('credit\n{}\n', statement)), 'proves_nothing', /anything/)
  const thief = { ...statement, key: home.signer.statement.key }
  provesNothing(third, bad(signedText(thief, 'credit', '{}')), 'bad_signature', /accused/)
  const later = { ...statement, name: `${host.name}/gridnode/s2` }
  provesNothing(third, bad(signedText(later, 'credit', '{}')), 'unknown_site', /epoch 2/)
})

interface Claimed {
  readonly deal: Deal
  readonly notes: Omit<Extract<Evidence, { kind: 'overcharge' }>, 'kind' | 'usage'>
  readonly hold: ReturnType<typeof say>
  /** An honest claim for 3,600 core seconds: one credit. */
  readonly usage: string
}

function claimed({ home, host }: Three): Claimed {
  const deal = agreedDeal(home, host)
  const entry = (at: TestSite, sid: string): string => {
    const notes = [...at.tables.get('ledgerEntries')!.values()] as string[]
    return notes.find((note) => must(parseStatement(note)).sid === sid)!
  }
  const hold = tell(home, host, holdInput(deal, 2_000_000))
  tell(host, home, heldInput(deal, hold.sid))
  const usage = say(host, usageInput(deal, hold.sid, { amount: 1_000_000, core_s: 3_600 })).note
  const notes = {
    hold: hold.note, contract: entry(home, deal.contract), tariff: entry(home, deal.tariff),
  }
  return { deal, notes, hold, usage }
}

t('a lied usage: an amount that is not the price by its own tariff', () => {
  const sites = three()
  const { notes, usage } = claimed(sites)
  const { host, third } = sites
  const over = (said: Record<string, unknown>): Evidence =>
    ({ kind: 'overcharge', ...notes, usage: another(host.signer.statement, usage, said) })
  assert.match(proves(third, over({ amount: credits(1_000_001) }), host),
    /claimed 1000001 microcredits for what costs 1000000/)
  proves(third, over({ amount: credits(999_999) }), host)
  // Beyond the hold only the hold is due.
  proves(third, over({ core_s: 36_000, amount: credits(10_000_000) }), host)
  provesNothing(third, over({ core_s: 36_000, amount: credits(2_000_000) }), 'proves_nothing',
    /the price/)
})

t('a lied usage: more tasks than the hold is for', () => {
  const sites = three()
  const { notes, usage } = claimed(sites)
  const { host, third } = sites
  const many = another(host.signer.statement, usage, { tasks: 11 })
  assert.match(proves(third, { kind: 'overcharge', ...notes, usage: many }, host),
    /claimed for 11 tasks on a hold for 10/)
})

t('an honest claim proves nothing, whatever is put beside it', () => {
  const sites = three()
  const { deal, notes, usage } = claimed(sites)
  const { home, host, third } = sites
  const over = (change: object): Evidence => ({ kind: 'overcharge', ...notes, usage, ...change })
  provesNothing(third, over({}), 'proves_nothing', /the price/)
  const smaller = say(home, holdInput(deal, 500_000)).note
  provesNothing(third, over({ hold: smaller }), 'proves_nothing', /belong together/)
  const cheap = another(home.signer.statement, notes.contract, { factor_permille: 1 })
  provesNothing(third, over({ contract: cheap }), 'proves_nothing', /belong together/)
  const tariff = another(host.signer.statement, notes.tariff, { core_hour: credits(1) })
  provesNothing(third, over({ tariff }), 'proves_nothing', /belong together/)
  provesNothing(third, over({ tariff: notes.hold }), 'proves_nothing', /expected a tariff/)
  const byThief = another({ ...host.signer.statement, key: home.signer.statement.key }, usage,
    { amount: credits(5) })
  provesNothing(third, over({ usage: byThief }), 'bad_signature', /host/)
})

t('a lied usage: a later claim that says less', () => {
  const sites = three()
  const { usage } = claimed(sites)
  const { host, third } = sites
  const { statement, sid } = must(parseStatement(usage))
  assert.ok(statement.kind === 'usage')
  const later = { n: statement.n + 1, prev: sid }
  const fell = (said: Record<string, unknown>): Evidence => ({
    kind: 'fell',
    first: usage,
    second: another(host.signer.statement, usage, { ...later, ...said }),
  })
  assert.match(proves(third, fell({ core_s: 3_599 }), host), /core_s 3600 and later only 3599/)
  proves(third, fell({ tasks: 0 }), host)
  proves(third, fell({ amount: credits(0) }), host)
  provesNothing(third, fell({}), 'proves_nothing', /nothing fell/)
  provesNothing(third, fell({ core_s: 1, hold: sha256Hex('x') }), 'proves_nothing', /two holds/)
  provesNothing(third, fell({ core_s: 1, n: statement.n }), 'proves_nothing', /later one/)
  const earlier = another(host.signer.statement, usage, { ...later, core_s: 1 })
  provesNothing(third, { kind: 'fell', first: earlier, second: usage }, 'proves_nothing',
    /later one/)
})

/** New statement and witness keys, known to all who are named. */
function rekey(
  at: TestSite, last: readonly { site: TestSite['name'], n: number }[],
  ...others: readonly TestSite[]
): { readonly note: string, readonly at: TestSite } {
  const [statement, witness] = ['statement 2', 'witness 2'].map((use) => keyFor(at.name, use))
  const note = must(sealKeys(view(at), rootSigner(at.name, at.root), {
    statement: toHex(statement!.publicKey), witness: toHex(witness!.publicKey), last, at: start,
  })).note
  must(step(at, (v) => changeKeys(v, at.name, note)))
  for (const other of others) must(step(other, (v) => logPublic(v, other.name, note)))
  const signer = { ...at.signer, statement: statementSigner(at.name, 1, statement!) }
  return { note, at: { ...at, signer } }
}

t('a stolen key: what it signs after it was taken back proves nothing', () => {
  const { home, host, third } = three()
  const thief = host.signer.statement
  const first = credit(host, home, 1_000)
  must(hear(home, host, first))
  const { at: owner, note } = rekey(host, [{ site: home.name, n: 1 }], third)
  const honest = say(owner, { kind: 'credit', to: home.name, at: start, limit: credits(7) }).note
  const stolen = another(thief, honest, { limit: credits(2 ** 40) })
  provesNothing(third, { kind: 'double_number', first: honest, second: stolen },
    'bad_signature', /host/)
  provesNothing(third, { kind: 'malformed', note: signedText(thief, 'credit', '{}') },
    'bad_signature', /accused/)
  must(step(home, (v) => logPublic(v, home.name, note)))
  assert.refused(hear(home, host, stolen), 'bad_signature')
  must(hear(home, host, honest))
  // Before, it was the site's own word, and stays so.
  const before = another(thief, first, { limit: credits(9) })
  proves(third, { kind: 'double_number', first, second: before }, host)
})

t('a stolen key: the number by which it was taken back proves nothing, heard of or not', () => {
  const { home, host, third } = three()
  const thief = host.signer.statement
  const { note } = rekey(host, [])
  const { statement } = must(parseStatement(note))
  assert.ok(statement.kind === 'key')
  const tariff = say(home, {
    kind: 'tariff', to: '*', at: start, task: credits(0), core_hour: credits(0),
    gib_hour: credits(0), speed_permille: 1_000, factor_permille_max: 1_000, rounding: 'down',
  }).note
  const { n, prev } = statement
  const stolen = another(thief, tariff, { from: host.name, n, prev })
  for (const [first, second] of [[note, stolen], [stolen, note]] as const) {
    provesNothing(third, { kind: 'double_number', first, second }, 'bad_signature', /host/)
  }
  must(step(third, (v) => logPublic(v, third.name, note)))
  provesNothing(third, { kind: 'double_number', first: note, second: stolen }, 'bad_signature',
    /host/)
})

t('every document is bounded and canonical', () => {
  const { home, third } = three()
  const one = shownLog(logOf(home), ['a', 'b'])
  const two = shownLog(logOf(home), ['a', 'c'])
  const document = encodeEvidence({ kind: 'fork_head', first: one.head, second: two.head })
  const check = (text: string): unknown => checkEvidence(text, contextOf(third))
  assert.refused(check(` ${document}`) as never, 'malformed')
  assert.refused(check(document.replace('fork_head', 'fork_bed')) as never, 'malformed')
  assert.refused(check(document.replace('{', '{"a":1,')) as never, 'malformed')
  assert.refused(check('x'.repeat(evidenceBytesMax + 1)) as never, 'malformed')
})
