// The bytes of statements: golden texts, names of signers, and what is refused as no statement.

import { assert, suite } from '../harness.ts'
import { seal } from '../../protocol/base/envelope.ts'
import { unshape } from '../../protocol/base/shape.ts'
import type { FederationId } from '../../protocol/base/ids.ts'
import type { Statement, StatementKind } from '../../protocol/rules/statement.ts'
import {
  logOrigin, parseStatement, rootSigner, sealStatement, signerNameOf, statementSigner,
} from '../../protocol/rules/statement.ts'
import { credits, hashOf, keyFor, must, site, start } from './ledger-sites.ts'

const t = suite('statement')

const from = site('a.example')
const place = { e: 1, fed: hashOf('fed'), from, n: 2, prev: hashOf('one'), at: start } as const
const toAll = { ...place, to: '*' } as const
const toOne = { ...place, to: site('b.example') } as const
const key = 'ab'.repeat(32)
const sid = hashOf('sid')

/** One of each kind; a contract of each side. */
const examples: readonly Statement[] = [
  { kind: 'federation', at: start, name: 'test', founder: from, root: key, nonce: '0f'.repeat(16) },
  {
    kind: 'genesis', ...toAll, n: 1, prev: '', root: key, previous: '',
    keys: { log: key, statement: key, witness: key, network: key },
    closes: [{ site: from, issued: 1, received: 2 }],
  },
  { kind: 'policy', about: 'admit', ...toAll, admit: site('b.example'), root: key, genesis: sid },
  {
    kind: 'tariff', ...toAll, task: credits(1), core_hour: credits(2), gib_hour: credits(3),
    speed_permille: 1_000, factor_permille_max: 4_000, rounding: 'down',
  },
  { kind: 'credit', ...toOne, limit: credits((1n << 63n) - 1n) },
  {
    kind: 'contract', ...toOne, side: 'offer', job: sid, auction: 'a-1', bid: sid, tariff: sid,
    factor_permille: 1_500, cores: 2, memory_mib: 512, walltime_s: 60, lease_s: 600,
    accept_s: 3_600, tasks_max: 5,
    interim_s: 900, exposure_permille: 500, auto_permille: 0, arbiter: '',
  },
  { kind: 'contract', ...toOne, side: 'agree', contract: sid },
  {
    kind: 'hold', ...toOne, contract: sid, amount: credits(0), tasks: 1, valid_until: start,
    grant: '',
    doc: sid,
  },
  { kind: 'held', ...toOne, hold: sid },
  { kind: 'declined', ...toOne, hold: sid, reason: 'voll „besetzt“' },
  {
    kind: 'usage', ...toOne, hold: sid, amount: credits(1_250), final: 1, tasks: 1, core_s: 5,
    gib_s: 0, meter: sid,
  },
  { kind: 'accept', ...toOne, hold: sid, usage: sid, amount: credits(1_250), final: 1 },
  { kind: 'void', ...toOne, hold: sid, reason: '' },
]

function signerOf(kind: StatementKind) {
  return kind === 'federation' || kind === 'genesis'
    ? rootSigner(from, keyFor(from, 'root'))
    : statementSigner(from, 1, keyFor(from, 'statement'))
}

t('every kind reads back as it was said', () => {
  for (const said of examples) {
    const parsed = must(sealStatement(said, signerOf(said.kind)))
    assert.equal(parsed.statement, said)
    assert.equal(must(parseStatement(parsed.note)).sid, parsed.sid)
    assert.equal(parsed.sealed.signerName, signerNameOf(said))
  }
})

t('the bytes of a usage are these', () => {
  const usage = examples.find(({ kind }) => kind === 'usage') as Statement
  const { note, sid: own } = must(sealStatement(usage, signerOf('usage')))
  const lines = note.split('\n')
  assert.equal(lines.slice(0, 3), [
    'gridnode/v1/usage',
    `{"amount":"1250","at":1750000000000,"core_s":5,"e":1,"fed":"${hashOf('fed')}","final":1,`
      + `"from":"a.example","gib_s":0,"hold":"${sid}","meter":"${sid}","n":2,"prev":"`
      + `${hashOf('one')}","tasks":1,"to":"b.example"}`,
    '',
  ])
  assert.match(lines[3] ?? '', /^— a\.example\/gridnode\/s1 [A-Za-z0-9+/]{91}=?$/)
  assert.equal(own, hashOf(note.slice(0, note.indexOf('\n\n') + 1)))
})

t('names of keys and logs', () => {
  assert.equal(examples.map(signerNameOf).slice(0, 3), [
    'a.example/gridnode/root', 'a.example/gridnode/root', 'a.example/gridnode/s1',
  ])
  const federation = hashOf('fed') as FederationId
  const short = hashOf('fed').slice(0, 16)
  assert.equal(logOrigin(from, federation, 3), `a.example/gridnode/${short}/e3`)
})

t('each field is needed, no other is taken, and each has its type', () => {
  for (const said of examples) {
    const { kind, ...body } = said
    const signer = signerOf(kind)
    const read = (changed: object) => parseStatement(seal(kind, unshape(changed), signer).note)
    assert.ok(read(body).ok)
    assert.refused(read({ ...body, extra: 1 }), 'malformed')
    for (const field of Object.keys(body)) {
      assert.refused(read({ ...body, [field]: undefined }), 'malformed')
      if (field !== 'closes') assert.refused(read({ ...body, [field]: [] }), 'malformed')
      assert.refused(read({ ...body, [field]: -1 }), 'malformed')
    }
  }
})

t('other versions, kinds and sizes are refused', () => {
  const { note } = must(sealStatement(examples[4] as Statement, signerOf('credit')))
  assert.refused(parseStatement(note.replace('v1/', 'v2/')), 'malformed')
  assert.refused(parseStatement(note.replace('/credit', '/constructor')), 'unknown_kind')
  assert.refused(parseStatement(note.replace('a.example', 'A.example')), 'malformed')
  assert.refused(parseStatement(note + ' '.repeat(20_000)), 'malformed')
  assert.refused(parseStatement(''), 'malformed')
})
