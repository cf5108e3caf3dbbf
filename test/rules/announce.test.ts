// Whom a home asks: each reason that rules a site out, in order, the order of the shortlist, who a
// call is heard from, and the call by gossip between sites in memory.

import { assert, suite } from '../harness.ts'
import { applyWrites } from '../../protocol/base/tables.ts'
import { seal } from '../../protocol/base/envelope.ts'
import { signNote } from '../../protocol/base/note.ts'
import { ok, refuse } from '../../protocol/base/outcome.ts'
import type { Microcredits } from '../../protocol/base/units.ts'
import { microcredits } from '../../protocol/base/units.ts'
import type { Message } from '../../protocol/machine/messages.ts'
import { coldTables } from '../../protocol/machine/state.ts'
import type { Candidate } from '../../protocol/rules/announce.ts'
import {
  compareCandidates, readAnnouncement, sealAnnouncement, unfit,
} from '../../protocol/rules/announce.ts'
import type { JobDocument, SignedJob } from '../../protocol/rules/job.ts'
import { offerAttributes } from '../../protocol/rules/offer.ts'
import type { Requirement } from '../../protocol/rules/requirements.ts'
import { compileRequirement } from '../../protocol/rules/requirements.ts'
import type { Site, World } from '../machine/pair.ts'
import {
  carry, federation, happen, hostTranches, pass, selfOf, submitJob, view,
} from '../machine/pair.ts'
import { must } from '../sim/identity.ts'
import { random } from '../sim/random.ts'
import { jobWith } from '../sim/users.ts'
import {
  everySubset, fed, goodCall, goodOffer, home, host, members, otherFed, shuffled, siteNamed,
  stranger, verifierFor,
} from './market-notes.ts'

const t = suite('announce')
const { document: goodJob } = jobWith({})

interface Case {
  job: JobDocument
  requirement: Requirement | undefined
  budgetLeft: Microcredits
  candidate: Candidate
}

function candidate(change: Partial<Candidate> = {}): Candidate {
  const taskCap = microcredits(100n)
  const creditLeft = microcredits(100n)
  const offer = change.offer ?? goodOffer()
  return {
    offer, attributes: offerAttributes(offer), own: false, up: true, mayGo: true, rank: 0n, taskCap,
    creditLeft, ...change,
  }
}

function goodCase(change: Partial<Case> = {}): Case {
  return {
    job: goodJob, requirement: undefined, budgetLeft: microcredits(100n), candidate: candidate(),
    ...change,
  }
}

function why(of: Case): string | undefined {
  return unfit(of.job, of.requirement, of.budgetLeft, of.candidate)?.reason
}

const faults: readonly (readonly [string, (of: Case) => void])[] = [
  ['placement', (of) => { of.job = { ...of.job, place: 'home' } }],
  ['account', (of) => { of.candidate = { ...of.candidate, mayGo: false } }],
  ['unreachable', (of) => { of.candidate = { ...of.candidate, up: false } }],
  ['cores', (of) => { of.job = { ...of.job, cores: 9 } }],
  ['memory', (of) => { of.job = { ...of.job, memory_mib: 8_193 } }],
  ['walltime', (of) => { of.job = { ...of.job, walltime_seconds: 3_601 } }],
  ['requirements', (of) => { of.requirement = () => ok(false) }],
  ['credit', (of) => { of.candidate = { ...of.candidate, creditLeft: microcredits(99n) } }],
  ['budget', (of) => { of.budgetLeft = microcredits(99n) }],
]

t('of several reasons the earliest is shown, in every combination', () => {
  assert.equal(why(goodCase()), undefined)
  for (const subset of everySubset(faults)) {
    const of = goodCase()
    for (const [, spoil] of subset) spoil(of)
    assert.equal(why(of), subset[0]?.[0], subset.map(([reason]) => reason).join(' and '))
  }
})

t('[ANNOUNCE-1] a job stays home, leaves home or names its sites', () => {
  const allowed: Record<string, boolean> = {
    'anywhere own': true, 'anywhere other': true, 'home own': true, 'home other': false,
    'remote own': false, 'remote other': true,
  }
  for (const place of ['anywhere', 'home', 'remote'] as const) {
    for (const own of [true, false]) {
      for (const sites of [[], [host.site], [stranger.site, host.site], [stranger.site]]) {
        const of = goodCase({ job: { ...goodJob, place, sites }, candidate: candidate({ own }) })
        const listed = sites.length === 0 || sites.includes(host.site)
        const fits = listed && allowed[`${place} ${own ? 'own' : 'other'}`]
        const named = `${place} ${String(own)} ${sites.join()}`
        assert.equal(why(of), fits ? undefined : 'placement', named)
      }
    }
  }
})

t('[ANNOUNCE-2] a site without a connection is not asked', () => {
  assert.equal(why(goodCase({ candidate: candidate({ up: false }) })), 'unreachable')
})

t('[ANNOUNCE-3] [ANNOUNCE-4] [ANNOUNCE-5] what one task can have there is enough, no less', () => {
  const cases = [
    ['cores', { cores: 8 }, { cores: 9 }, /9 cores.*at most 8/],
    ['memory', { memory_mib: 8_192 }, { memory_mib: 12_288 }, /12 GiB.*at most 8 GiB/],
    ['walltime', { walltime_seconds: 3_600 }, { walltime_seconds: 7_200 }, /2h.*at most 1h/],
  ] as const
  for (const [reason, fits, breaks, said] of cases) {
    assert.equal(why(goodCase({ job: { ...goodJob, ...fits } })), undefined)
    const found = unfit({ ...goodJob, ...breaks }, undefined, microcredits(100n), candidate())
    assert.equal(found?.reason, reason)
    assert.match(found?.detail ?? '', said)
  }
})

t('[ANNOUNCE-6] the expression is held against the offer; what cannot be known is not met', () => {
  const requires = (requirements: string): string | undefined => why(goodCase({
    job: { ...goodJob, requirements }, requirement: must(compileRequirement(requirements)),
  }))
  assert.equal(requires('cores_free >= 4'), undefined)
  assert.equal(requires('cores_free > 4'), 'requirements')
  assert.equal(requires('os == "linux"'), 'requirements')
  const unknown: Requirement = () => refuse({ reason: 'unknown', detail: 'it says no os' } as never)
  const found = unfit(goodJob, unknown, microcredits(100n), candidate())
  assert.equal(found, { reason: 'requirements', detail: 'it says no os' })
})

t('[ANNOUNCE-7] [ANNOUNCE-8] credit and budget cover one task to the last microcredit', () => {
  for (let cap = 0n; cap < 4n; cap++) {
    for (let credit = -1n; credit < 4n; credit++) {
      for (let budget = -1n; budget < 4n; budget++) {
        const taskCap = cap as Microcredits
        const of = (creditLeft: Microcredits | undefined): string | undefined => why(goodCase({
          budgetLeft: budget as Microcredits, candidate: candidate({ taskCap, creditLeft }),
        }))
        const byBudget = cap > budget ? 'budget' : undefined
        assert.equal(of(credit as Microcredits), credit < cap ? 'credit' : byBudget)
        assert.equal(of(undefined), byBudget, 'nothing is owed at home')
      }
    }
  }
})

t('[ANNOUNCE-11] free cores, then price, then name: a total order', () => {
  const all = [0, 1, 9].flatMap((free) => [0n, 1n, 2n ** 62n].flatMap((cap) =>
    ['a.example', 'b.example', 'b-2.example'].map((name) => candidate({
      offer: goodOffer({ site: siteNamed(name), cores_free: free }), taskCap: microcredits(cap),
    }))))
  const keyOf = ({ offer, taskCap }: Candidate): string =>
    `${offer.cores_free > 0 ? 0 : 1} ${String(taskCap).padStart(20, '0')} ${offer.site}`
  for (const left of all) {
    for (const right of all) {
      const [mine, theirs] = [keyOf(left), keyOf(right)]
      const expected = mine < theirs ? -1 : mine > theirs ? 1 : 0
      assert.equal(Math.sign(compareCandidates(left, right)), expected, `${mine} and ${theirs}`)
    }
  }
  // One or nine free cores are the same, so one of them is left out: no two are equal.
  const offered = all.filter(({ offer }) => offer.cores_free !== 9)
  const sorted = offered.map(keyOf).sort((left, right) => left < right ? -1 : 1)
  const draw = random(1, 'candidates')
  for (let round = 0; round < 50; round++) {
    assert.equal(shuffled(offered, draw.int).sort(compareCandidates).map(keyOf), sorted)
  }
})

t('[ANNOUNCE-10] a call is heard only from the member that signed it', () => {
  const expected = { federation: fed, from: home.site, verifier: verifierFor(home) }
  const { statement: signer } = home.signer
  const good = sealAnnouncement(goodCall(), signer)
  assert.equal(assert.accepted(readAnnouncement(good, expected)), goodCall())
  const body = members(goodCall())
  const json = good.split('\n')[1] as string
  const lies = [
    '', `${good}\n`, sealAnnouncement(goodCall({ fed: otherFed }), signer),
    sealAnnouncement(goodCall({ home: host.site }), signer),
    sealAnnouncement(goodCall(), host.signer.statement),
    sealAnnouncement(goodCall(), { name: signer.name, key: host.signer.statement.key }),
    sealAnnouncement(goodCall({ home: host.site }), host.signer.statement),
    good.replace('"tasks":3', '"tasks":4'), seal('bid', body, signer).note,
    seal('announce', { ...body, more: 1 }, signer).note,
    signNote(`gridnode/v1/announce\n${json.replace(':', ': ')}\n`, signer),
  ]
  for (const note of lies) assert.refused(readAnnouncement(note, expected), 'malformed')
  for (const name of Object.keys(body)) {
    const { [name]: _, ...rest } = body
    const { note } = seal('announce', rest, signer)
    assert.refused(readAnnouncement(note, expected), 'malformed')
  }
  for (const [name, most] of [
    ['tasks', 100_000], ['cores', 65_536], ['memory_mib', 2 ** 32],
    ['walltime_seconds', 366 * 86_400], ['window_ms', 600_000],
  ] as const) {
    const read = (value: number) =>
      readAnnouncement(sealAnnouncement(goodCall({ [name]: value }), signer), expected)
    for (const value of [1, most]) assert.accepted(read(value))
    for (const value of [0, most + 1]) {
      assert.match(assert.refused(read(value), 'malformed').detail, name)
    }
  }
})

const remote = (change: Partial<JobDocument> = {}): SignedJob =>
  jobWith({ place: 'remote', inputs: '', inputs_bytes: 0, ...change })

function calledBy(site: Site): string[] {
  return site.effects.flatMap((effect) => effect.kind === 'publishCall' ? [effect.note] : [])
}

function standings(site: Site): Record<string, string> {
  const [, auction] = [...view(site).entries('auctions')][0]!
  return Object.fromEntries(Object.entries(auction.entries).map(([name, entry]) =>
    [name, 'reason' in entry ? entry.reason : entry.kind]))
}

function forget(site: Site, others: readonly Site[]): void {
  const trial = view(site)
  for (const { name } of others) trial.remove('offers', name)
  applyWrites(site.tables, trial.writes(), coldTables)
}

function submitKeeping(
  world: World, at: Site, job: SignedJob, keep: (message: Message, from: Site) => boolean,
): void {
  happen(world, at, { kind: 'jobSubmitted', request: 'r', job })
  carry(world, keep)
}

const unheard = (message: Message): boolean => message.kind === 'announce'

t('[ANNOUNCE-9] no more than the shortlist are asked, the others are told apart', () => {
  const { market } = selfOf(home, fed)
  const [world, first, ...others] = federation(4, [{ market: { ...market, shortlistSites: 2 } }])
  submitJob(world, first!, remote())
  const [b = '', c = '', d = ''] = others.map(({ name }) => name)
  assert.equal(standings(first!), {
    [first!.name]: 'placement', [b]: 'bid', [c]: 'bid', [d]: 'not_shortlisted',
  })
})

t('[ANNOUNCE-12] a call by gossip may be answered by whom the job does not rule out', () => {
  const [world, first, second, third] = federation(3)
  forget(first!, [second!, third!])
  submitKeeping(world, first!, remote({ sites: [third!.name] }), unheard)
  const [note] = calledBy(first!) as [string]
  for (const hearer of [second!, third!]) {
    happen(world, hearer, { kind: 'callHeard', from: first!.name, note })
  }
  carry(world)
  assert.equal(standings(first!), { [first!.name]: 'placement', [third!.name]: 'bid' })
  assert.equal(view(first!).get('counters', 'answer_unasked'), 1)
  pass(world, 2_000)
  assert.equal([hostTranches(second!).length, hostTranches(third!).length], [0, 1])
})

t('[ANNOUNCE-12] whom the job\'s expression rules out is not asked by gossip either', () => {
  const [world, first, second, third] = federation(3)
  const job = remote({ requirements: `site == "${second!.name}"` })
  submitKeeping(world, first!, job, unheard)
  pass(world, 1_000, unheard)
  const [note] = calledBy(first!) as [string]
  happen(world, third!, { kind: 'callHeard', from: first!.name, note })
  carry(world, unheard)
  assert.equal(standings(first!)[third!.name], 'requirements')
  assert.equal(view(first!).get('counters', 'answer_unasked'), 1)
})

t('[ANNOUNCE-12] who was not on the shortlist may answer, and win', () => {
  const market = { ...selfOf(home, fed).market, shortlistSites: 1 }
  const [world, first, second, third] = federation(3, [{ market }])
  submitKeeping(world, first!, remote(), unheard)
  const asked = standings(first!)[second!.name] === 'asked' ? second! : third!
  const other = asked === second ? third! : second!
  assert.equal(standings(first!)[other.name], 'not_shortlisted')
  pass(world, 1_000, unheard)
  const [note] = calledBy(first!) as [string]
  happen(world, other, { kind: 'callHeard', from: first!.name, note })
  carry(world)
  assert.equal(standings(first!)[other.name], 'bid')
  pass(world, 2_000)
  assert.equal(hostTranches(other).length, 1)
})

t('[ANNOUNCE-13] a call that nobody answers goes out once by gossip, for one more window', () => {
  const [world, first, second] = federation(2)
  submitKeeping(world, first!, remote(), unheard)
  assert.equal(calledBy(first!), [])
  pass(world, 1_000, unheard)
  assert.equal(calledBy(first!).length, 1)
  assert.equal(standings(first!)[second!.name], 'asked')
  pass(world, 1_000, unheard)
  assert.equal(calledBy(first!).length, 1)
  assert.equal(standings(first!)[second!.name], 'silent')
})

t('[ANNOUNCE-13] without the offer of another site the call goes out at once', () => {
  const [world, first, second] = federation(2)
  forget(first!, [second!])
  submitKeeping(world, first!, remote(), unheard)
  assert.equal(calledBy(first!).length, 1)
})

t('[ANNOUNCE-13] one answer is an answer, and a job that stays home asks nobody', () => {
  const [world, first, second, third] = federation(3)
  const deaf = (message: Message, from: Site): boolean =>
    message.kind === 'answer' && from === third
  submitKeeping(world, first!, remote(), deaf)
  pass(world, 3_000, deaf)
  assert.equal(calledBy(first!), [])
  assert.equal([hostTranches(second!).length, hostTranches(third!).length], [1, 0])
  const [alone, only] = federation(1)
  submitJob(alone, only!, jobWith({ place: 'home', cores: 99, inputs: '', inputs_bytes: 0 }))
  assert.equal(calledBy(only!), [])
})
