// What the directory takes in: each reason to refuse an offer, in order, and what is kept of one.

import { assert, suite } from '../harness.ts'
import { seal } from '../../protocol/base/envelope.ts'
import { limits } from '../../protocol/base/limits.ts'
import { signNote } from '../../protocol/base/note.ts'
import type { Signer } from '../../protocol/base/note.ts'
import { microcredits } from '../../protocol/base/units.ts'
import type { ClusterOffer, KeptOffer, OfferContext } from '../../protocol/rules/offer.ts'
import {
  considerOffer, offerAttributes, offerClockSkewMsMax, sealOffer,
} from '../../protocol/rules/offer.ts'
import {
  detailOf, everySubset, fed, goodOffer, home, host, members, nowMs, otherFed, stranger,
  verifierFor,
} from './market-notes.ts'

const t = suite('offers')
const signer = host.signer.statement

function kept(offer: ClusterOffer): KeptOffer {
  return { offer, note: '', receivedEpochMs: nowMs, expiresEpochMs: nowMs + 1 }
}

function context(change: Partial<OfferContext> = {}): OfferContext {
  return {
    federation: fed,
    verifierOf: (site) => site === host.site ? verifierFor(host) : undefined,
    known: () => undefined,
    nowEpochMs: nowMs,
    ...change,
  }
}

t('a good offer is kept as it is, for its validity from when it was received', () => {
  const attributes = [
    { kind: 'text', name: 'os', value: 'linux' }, { kind: 'number', name: 'gpus', value: 2 },
  ] as const
  const offer = goodOffer({ at: nowMs - 5_000, valid_seconds: 60, attributes })
  const note = sealOffer(offer, signer)
  assert.equal(assert.accepted(considerOffer(note, context())), {
    offer, note, receivedEpochMs: nowMs, expiresEpochMs: nowMs + 60_000,
  })
})

t('[OFFER-1] only the one encoding of an offer is one', () => {
  const good = members(goodOffer())
  const json = sealOffer(goodOffer(), signer).split('\n')[1] as string
  const noteOf = (body: string, kind = 'offer') =>
    signNote(`gridnode/v1/${kind}\n${body}\n`, signer)
  assert.accepted(considerOffer(noteOf(json), context()))
  const one = sealOffer(goodOffer(), signer)
  const twice = `${one}${one.slice(one.lastIndexOf('—'))}`
  const long = 'x'.repeat(limits.offerBytes)
  const broken = [
    '', 'junk', `${one}\n`, one.slice(0, -1), twice, noteOf(json, 'announce'),
    noteOf(json.replace(':', ': ')), noteOf(json.replace('{', '{"site":"a.example",')),
    noteOf(`${json}\n${json}`), seal('offer', { ...good, scheduler: long }, signer).note,
    seal('offer', [good], signer).note, seal('offer', { ...good, more: 1 }, signer).note,
  ]
  for (const note of broken) assert.refused(considerOffer(note, context()), 'malformed')
  for (const name of Object.keys(good)) {
    const { [name]: _, ...rest } = good
    assert.refused(considerOffer(seal('offer', rest, signer).note, context()), 'malformed')
  }
})

t('[OFFER-1] each field has its bounds', () => {
  const good = members(goodOffer())
  const attribute = { kind: 'number', name: 'gpus', value: 1 }
  const cases: readonly (readonly [string, readonly unknown[], readonly unknown[]])[] = [
    ['fed', [], ['', 'FE'.repeat(32), 'fe'.repeat(31)]],
    ['site', [], ['', 'Site.example', 'a b', 7]],
    ['sequence', [1, Number.MAX_SAFE_INTEGER], [0, -1, '1']],
    ['valid_seconds', [1, 86_400], [0, 86_401]],
    ['addresses', [[], Array(16).fill('x')], [Array(17).fill('x'), ['x'.repeat(257)], 'x']],
    ['scheduler', ['', 'x'.repeat(32)], ['x'.repeat(33), 1]],
    ['cores_free', [0, Number.MAX_SAFE_INTEGER], [-1, 'many']],
    ['speed_permille', [1, 1_000_000], [0, 1_000_001]],
    ['factor_permille', [1, 1_000_000], [0, 1_000_001]],
    ['rate_task', ['0', String((1n << 63n) - 1n)], ['-1', '01', 1, String(1n << 63n)]],
    ['attributes', [Array(64).fill(attribute)], [
      Array(65).fill(attribute), [{ ...attribute, name: 'GPUs' }], [{ ...attribute, value: 'x' }],
      [{ ...attribute, kind: 'flag' }], [{ ...attribute, kind: 'text', value: 'x'.repeat(257) }],
      [{ ...attribute, name: '__proto__' }],
    ]],
  ]
  for (const [name, fits, breaks] of cases) {
    const consider = (value: unknown) => considerOffer(
      seal('offer', { ...good, [name]: value } as typeof good, signer).note, context())
    for (const value of fits) assert.ok(consider(value).ok, `${name} ${String(value)}`)
    for (const value of breaks) {
      assert.match(detailOf(consider(value), 'malformed'), name)
    }
  }
})

interface Case {
  body: Record<string, unknown>
  signer: Signer
  context: OfferContext
}

const faults: readonly (readonly [string, (of: Case) => void])[] = [
  ['malformed', (of) => { of.body.more = 1 }],
  ['wrong_federation', (of) => { of.body.fed = otherFed }],
  ['not_newer', (of) => { of.context = { ...of.context, known: () => kept(goodOffer()) } }],
  ['wrong_author', (of) => { of.context = { ...of.context, verifierOf: () => undefined } }],
  ['bad_signature', (of) => { of.signer = stranger.signer.statement }],
  ['expired', (of) => { of.body.at = 0 }],
]

t('of several faults the earliest is the reason, in every combination', () => {
  for (const subset of everySubset(faults)) {
    const of: Case = { body: members(goodOffer()), signer, context: context() }
    for (const [, spoil] of subset) spoil(of)
    const note = seal('offer', of.body as Record<string, string>, of.signer).note
    const considered = considerOffer(note, of.context)
    const got = considered.ok ? 'accepted' : considered.refusal.reason
    assert.equal(got, subset[0]?.[0], subset.map(([reason]) => reason).join(' and '))
  }
})

t('[OFFER-2] an offer of another federation says whose it is', () => {
  const note = sealOffer(goodOffer({ fed: otherFed }), signer)
  assert.match(detailOf(considerOffer(note, context()), 'wrong_federation'), otherFed)
})

t('[OFFER-3] only a higher sequence replaces what is known', () => {
  const known = () => kept(goodOffer({ sequence: 7 }))
  for (const [sequence, taken] of [[1, false], [6, false], [7, false], [8, true]] as const) {
    const considered = considerOffer(sealOffer(goodOffer({ sequence }), signer), context({ known }))
    if (taken) assert.accepted(considered)
    else assert.refused(considered, 'not_newer')
  }
})

t('[OFFER-3] what is known of one site does not stand in for another', () => {
  const known: OfferContext['known'] = (site) => site === home.site ? kept(goodOffer()) : undefined
  assert.accepted(considerOffer(sealOffer(goodOffer(), signer), context({ known })))
})

t('[OFFER-4] who is no member has no say', () => {
  const note = sealOffer(goodOffer({ site: stranger.site }), stranger.signer.statement)
  assert.match(detailOf(considerOffer(note, context()), 'wrong_author'), stranger.site)
})

t('[OFFER-5] another key, another name and other words are no signature', () => {
  const good = sealOffer(goodOffer(), signer)
  const notes = [
    sealOffer(goodOffer(), home.signer.statement),
    sealOffer(goodOffer(), { name: signer.name, key: home.signer.statement.key }),
    sealOffer(goodOffer(), { name: home.signer.statement.name, key: signer.key }),
    good.replace('"cores_free":4', '"cores_free":5'),
    good.replace('"sequence":7', '"sequence":8'),
  ]
  for (const note of notes) assert.refused(considerOffer(note, context()), 'bad_signature')
})

t('[OFFER-6] ten minutes are left for clocks that differ', () => {
  assert.equal(offerClockSkewMsMax, 600_000)
  const lastMs = nowMs + 600_000 + 600_000
  const note = sealOffer(goodOffer({ at: nowMs, valid_seconds: 600 }), signer)
  const last = assert.accepted(considerOffer(note, context({ nowEpochMs: lastMs })))
  assert.equal(last.expiresEpochMs, lastMs + 600_000)
  assert.refused(considerOffer(note, context({ nowEpochMs: lastMs + 1 })), 'expired')
  // An author that is ahead is believed for its validity, and no longer.
  const ahead = sealOffer(goodOffer({ at: nowMs + 10 ** 9, valid_seconds: 1 }), signer)
  assert.equal(assert.accepted(considerOffer(ahead, context())).expiresEpochMs, nowMs + 1_000)
})

t('requirements see the numbers and the attributes; an attribute replaces no number', () => {
  const attributes = offerAttributes(goodOffer({
    rate_task: microcredits(9n),
    attributes: [
      { kind: 'text', name: 'os', value: 'linux' },
      { kind: 'number', name: 'cores_free', value: 999 },
      { kind: 'text', name: 'site', value: 'elsewhere.example' },
    ],
  }))
  assert.equal(attributes.os, 'linux')
  assert.equal(attributes.cores_free, 4)
  assert.equal(attributes.site, host.site)
  assert.equal(attributes.rate_task, 9)
})
