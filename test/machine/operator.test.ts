// What two operators do by hand about claims that do not settle by themselves, and about each
// other.

import { jobWith } from '../sim/users.ts'
import { assert, suite } from '../harness.ts'
import { sha256Hex } from '../../protocol/base/crypto.ts'
import type { Sid } from '../../protocol/base/ids.ts'
import { microcredits } from '../../protocol/base/units.ts'
import type { Answer } from '../../protocol/machine/effects.ts'
import type { Message } from '../../protocol/machine/messages.ts'
import type { OperatorWord } from '../../protocol/machine/operator-word.ts'
import type { Self } from '../../protocol/machine/state.ts'
import { account } from '../../protocol/rules/ledger-book.ts'
import type { HoldRecord } from '../../protocol/rules/ledger-book.ts'
import { chargeFor } from '../../protocol/rules/ledger-holds.ts'
import { balanceOf } from '../../protocol/rules/ledger.ts'
import { openRows } from '../../node/local/open-view.ts'
import type { Site, World } from './pair.ts'
import {
  carry, federation, happen, homeTranches, hostTranches, pass, runAll, selfOf, state, submitJob,
  takeAll, view,
} from './pair.ts'

const t = suite('operators')

type Terms = Partial<Self['market']>

/** Of three sites the third is the arbiter. */
function three(change: Terms = {}): [World, Site, Site, Site] {
  const { market } = selfOf({} as never, '' as never)
  const terms = { market: { ...market, ...change } }
  const [world, home, host, third] = federation(3, [terms, terms, terms])
  return [world, home!, host!, third!]
}

function word(world: World, site: Site, said: OperatorWord): Answer {
  const effects = happen(world, site, { kind: 'wordRequested', request: 'r', word: said })
  carry(world)
  const answer = effects.find((effect) => effect.kind === 'answer')
  assert.ok(answer, 'it is answered')
  return answer!.answer
}

/** Said now: the number of statements, and the sentence. */
function does(world: World, site: Site, said: OperatorWord, statements: number): string {
  const answer = word(world, site, said)
  assert.equal(answer.kind, 'spoken', JSON.stringify(answer))
  if (answer.kind !== 'spoken') throw new Error('refused')
  assert.equal(answer.sids.length, statements, answer.detail)
  return answer.detail
}

function refuses(world: World, site: Site, said: OperatorWord, why: RegExp): void {
  const before = view(site).get('ledgerHead', 'head')!.frontier.size
  const answer = word(world, site, said)
  assert.equal(answer.kind, 'refused')
  assert.match(answer.kind === 'refused' ? answer.detail : '', why)
  assert.equal(view(site).get('ledgerHead', 'head')!.frontier.size, before, 'nothing was said')
}

const credits = (amount: number) => microcredits(BigInt(amount))

/** A claim for 60 s of which only 1 s was reported: 61,000 and 2,000 microcredits. */
function overclaimed(change: Terms = {}): [World, Site, Site, Site, Sid] {
  const [world, home, host, third] = three(change)
  submitJob(world, home, jobWith({
    place: 'remote', inputs: '', inputs_bytes: 0, sites: [host.name],
  }))
  const statements = (message: Message, from: Site): boolean =>
    message.kind === 'statements' && from === host
  const tables = new Map([...host.tables].map(([name, all]) => [name, new Map(all)]))
  const liar: Site = { ...host, tables, out: [], effects: [] }
  runAll(world, host, 1_000, statements)
  const sid = homeTranches(home)[0]!.hold as Sid
  const hold = view(liar).get('ledgerHolds', sid)!
  const usage = { tasks: 1, core_s: 60, gib_s: 0 }
  const amount = chargeFor(view(liar), hold, usage)
  state(world, liar, home, {
    kind: 'usage', to: home.name, hold: sid, amount, final: 1, ...usage, meter: sha256Hex('-'),
  })
  // From here on the host's books are those in which it lied.
  const { id } = hostTranches(host)[0]!
  const tranche = host.tables.get('hostTranches')!.get(id)
  for (const [name, all] of liar.tables) if (name.startsWith('ledger') || name === 'outbox') {
    host.tables.set(name, all)
  }
  host.tables.get('hostTranches')!.set(id, tranche)
  takeAll(world, home, statements)
  host.out.length = 0
  pass(world, 5_000)
  assert.equal(hold.amount, credits(61_000))
  return [world, home, host, third, sid]
}

function holdAt(site: Site, sid: Sid): HoldRecord {
  return view(site).get('ledgerHolds', sid)!
}

function agreeOn(sites: readonly Site[], sid: Sid, wanted: { state: string; accepted: number }) {
  for (const site of sites) {
    const { state: is, accepted } = holdAt(site, sid)
    assert.equal([is, accepted], [wanted.state, credits(wanted.accepted)], site.name)
  }
}

t('a claim beyond the reports is listed with what to do, and disputed: the rest is paid', () => {
  const [world, home, host, , sid] = overclaimed()
  const [row] = openRows(home.tables, home.name, world.nowMs)
  const told = [row!.kind, row!.role, row!.claimed, row!.pastDue]
  assert.equal(told, ['claim', 'home', '61000', false])
  assert.match(row!.detail, /claims 1 tasks, 60 core-seconds.*has reported 1 tasks, 1 core-seconds/)
  assert.equal(row!.todo[0], `accept ${sid.slice(0, 16)}`)
  const said: OperatorWord = {
    verb: 'dispute', hold: sid.slice(0, 8), contested: credits(59_000), reason: '59 s too many',
    doc: '',
  }
  refuses(world, host, said, /for site-a.example to speak about/)
  refuses(world, home, { ...said, contested: credits(61_001) }, /at most 0.061 cr/)
  assert.match(does(world, home, said, 1), /contested 0.059 cr, accepted 0.002 cr/)
  assert.equal(does(world, home, said, 0), 'contested 0.059 cr, accepted 0.002 cr already')
  agreeOn([home, host], sid, { state: 'held', accepted: 2_000 })
  const [there] = openRows(host.tables, host.name, world.nowMs + 2 * 86_400_000)
  assert.equal([there!.kind, there!.detail], ['dispute', 'disputed: 59 s too many'])
  assert.equal(there!.pastDue, true)

  does(world, host, { verb: 'offer', hold: sid, amount: credits(10_000) }, 1)
  refuses(world, host, { verb: 'agree', hold: sid }, /site-a.example has proposed nothing/)
  refuses(world, home, { verb: 'agree', hold: sid, amount: credits(9_000) }, /has proposed 0.01 cr/)
  does(world, home, { verb: 'agree', hold: sid }, 1)
  does(world, home, { verb: 'agree', hold: sid }, 0)
  agreeOn([home, host], sid, { state: 'done', accepted: 10_000 })
  assert.equal(homeTranches(home)[0]!.state, { kind: 'settled', how: 'accepted' })
  assert.equal([...view(home).entries('jobs')][0]![1].spent, 10_000n)
  assert.equal(openRows(home.tables, home.name, world.nowMs), [])
})

t('a claim beyond the reports is accepted by hand, in part or whole', () => {
  const [world, home, host, , sid] = overclaimed()
  refuses(world, host, { verb: 'accept', hold: sid }, /site-a.example accepts/)
  refuses(world, home, { verb: 'accept', hold: 'ffffffff' }, /no hold ffffffff/)
  const accept = (amount: number): OperatorWord =>
    ({ verb: 'accept', hold: sid, amount: credits(amount) })
  refuses(world, home, accept(70_000), /0.061 cr are claimed/)
  does(world, home, accept(5_000), 1)
  agreeOn([home, host], sid, { state: 'held', accepted: 5_000 })
  refuses(world, home, accept(4_000), /0.005 cr are accepted/)
  does(world, home, { verb: 'accept', hold: sid }, 1)
  does(world, home, { verb: 'accept', hold: sid }, 0)
  agreeOn([home, host], sid, { state: 'done', accepted: 61_000 })
})

t('a host gives up what it claimed too much; the home then pays by itself', () => {
  const [world, home, host, , sid] = overclaimed()
  const gift: OperatorWord = { verb: 'forgive_claim', hold: sid, amount: credits(1) }
  refuses(world, home, gift, /for site-b.example/)
  refuses(world, host, { verb: 'forgive_claim', hold: sid, amount: credits(61_001) }, /at most/)
  does(world, host, { verb: 'forgive_claim', hold: sid, amount: credits(59_000) }, 1)
  agreeOn([home, host], sid, { state: 'done', accepted: 2_000 })
  does(world, host, { verb: 'forgive_claim', hold: sid, amount: credits(59_000) }, 0)
})

t('an arbiter rules once; either side brings its word', () => {
  const [world, home, host, third, sid] = overclaimed({ arbiter: 'site-c.example' as never })
  const ruled = word(world, third, { verb: 'rule', hold: sid, amount: credits(7_000) })
  assert.equal(ruled.kind, 'spoken')
  const note = ruled.kind === 'spoken' ? ruled.note : ''
  assert.equal(word(world, third, { verb: 'rule', hold: sid, amount: credits(7_000) }), ruled)
  refuses(world, third, { verb: 'rule', hold: sid, amount: credits(8_000) }, /has ruled 0.007 cr/)
  refuses(world, host, { verb: 'ruling', hold: sid, note: 'x' }, /not a ruling/)
  const wrong = word(world, home, { verb: 'rule', hold: sid, amount: credits(0) })
  const forged = wrong.kind === 'spoken' ? wrong.note : ''
  refuses(world, host, { verb: 'ruling', hold: sid, note: forged }, /signature/)
  does(world, host, { verb: 'ruling', hold: sid, note }, 1)
  does(world, home, { verb: 'ruling', hold: sid, note }, 0)
  agreeOn([home, host], sid, { state: 'done', accepted: 7_000 })
})

t('[CLAUSE-2] [CLAUSE-3] a silent home pays what it signed for in advance, when it is due', () => {
  const [world, home, host, , sid] = overclaimed({ autoPermille: 500, acceptSeconds: 3_600 })
  refuses(world, home, { verb: 'clause', hold: sid }, /for site-b.example to speak about/)
  refuses(world, host, { verb: 'clause', hold: sid }, /has 35\d\d s more to answer/)
  pass(world, 3_600_000)
  const [row] = openRows(host.tables, host.name, world.nowMs)
  assert.equal([row!.pastDue, row!.todo[0]], [true, `resolve ${sid.slice(0, 16)} --clause`])
  does(world, host, { verb: 'clause', hold: sid }, 1)
  agreeOn([home, host], sid, { state: 'held', accepted: 30_500 })
  refuses(world, host, { verb: 'clause', hold: sid }, /0.0305 cr are accepted/)
})

t('[CLAUSE-2] a clause that is early here waits; a disputed claim is not paid by it', () => {
  for (const disputed of [false, true]) {
    const [world, home, host, , sid] = overclaimed({ autoPermille: 500, acceptSeconds: 3_600 })
    if (disputed) {
      does(world, home, {
        verb: 'dispute', hold: sid, contested: credits(61_000), reason: 'nothing ran', doc: '',
      }, 1)
    }
    // The host's own machine would not say it yet.
    const claim = holdAt(host, sid).claims[0]!.sid
    state(world, host, home, {
      kind: 'resolve', side: 'clause', to: home.name, hold: sid, usage: claim,
      amount: credits(30_500), proof: '',
    })
    pass(world, 1_800_000)
    assert.equal(holdAt(home, sid).accepted, 0n)
    pass(world, 1_900_000)
    assert.equal(holdAt(home, sid).accepted, credits(disputed ? 0 : 30_500))
  }
})

t('payments outside count when both say so, each reference once; a gift needs nobody', () => {
  const [world, home, host] = three()
  submitJob(world, home, jobWith({
    place: 'remote', inputs: '', inputs_bytes: 0, sites: [host.name],
  }))
  runAll(world, host, 5_000)
  takeAll(world, home)
  const owed = (): bigint => balanceOf(view(host), host.name, home.name)
  assert.equal(owed(), 6_000n)
  const pay: OperatorWord = {
    verb: 'settle', site: host.name, amount: credits(4_000), payer: 'us', reference: 'bank 17',
  }
  does(world, home, pay, 1)
  does(world, home, pay, 0)
  refuses(world, home, { ...pay, amount: credits(5_000) }, /'bank 17' stands for 0.004 cr/)
  assert.equal(owed(), 6_000n)
  const [row] = openRows(host.tables, host.name, world.nowMs)
  assert.equal([row!.kind, row!.detail], ['payment', 'site-a.example paid: bank 17'])
  const said = { verb: 'settle_agree', settle: row!.sid.slice(0, 8) } as const
  refuses(world, home, said, /no payment .* waits/)
  does(world, host, said, 1)
  does(world, host, said, 0)
  assert.equal([owed(), balanceOf(view(home), home.name, host.name)], [2_000n, -2_000n])
  const gift: OperatorWord = {
    verb: 'forgive_balance', site: home.name, amount: credits(2_000), reference: 'a gift',
  }
  refuses(world, home, { ...gift, site: host.name }, /site-b.example owes 0.00 cr/)
  refuses(world, host, { ...gift, amount: credits(2_001) }, /owes 0.002 cr/)
  does(world, host, gift, 1)
  does(world, host, gift, 0)
  assert.equal([owed(), balanceOf(view(home), home.name, host.name)], [0n, 0n])
})

t('[CLOSE-1] with a site that is gone both sides of it come to a defined end', () => {
  for (const forgive of [false, true]) {
    const [world, home, host, , sid] = overclaimed()
    refuses(world, host, { verb: 'close', site: home.name, forgive }, /is connected; close is for/)
    refuses(world, host, { verb: 'close', site: host.name, forgive }, /not another member/)
    happen(world, host, { kind: 'peerWentDown', site: home.name })
    happen(world, home, { kind: 'peerWentDown', site: host.name })
    const answer = word(world, host, { verb: 'close', site: home.name, forgive })
    if (answer.kind !== 'spoken') throw new Error(JSON.stringify(answer))
    assert.equal(view(host).get('ledgerCredits', `${host.name}>${home.name}`)!.limit, 0n)
    assert.equal(holdAt(host, sid).state, forgive ? 'done' : 'held')
    assert.equal(answer.left.length, forgive ? 0 : 1)
    if (!forgive) assert.match(answer.left[0]!, /0.061 cr claimed and not accepted: --forgive/)
    const again = word(world, host, { verb: 'close', site: home.name, forgive })
    assert.equal(again.kind === 'spoken' && again.sids.length, 0, 'the same again says nothing')

    const mine = word(world, home, { verb: 'close', site: host.name, forgive })
    if (mine.kind !== 'spoken') throw new Error(JSON.stringify(mine))
    assert.match(mine.left[0]!, /only site-b.example can give it up/)
    const job = [...view(home).entries('jobs')][0]![1]
    assert.equal([job.reserved, job.spent], [0n, 0n])
    assert.equal(homeTranches(home)[0]!.state, { kind: 'settled', how: 'closed' })
  }
})

t('[CLOSE-1] work for a site that is gone ends, and what was not claimed is given up', () => {
  const [world, home, host] = three()
  submitJob(world, home, jobWith({
    place: 'remote', inputs: '', inputs_bytes: 0, sites: [host.name],
  }))
  assert.equal(account(view(host), host.name, home.name).held, 61_000n)
  happen(world, host, { kind: 'peerWentDown', site: home.name })
  const answer = word(world, host, { verb: 'close', site: home.name, forgive: false })
  assert.equal(answer.kind === 'spoken' && answer.left, [])
  assert.equal(account(view(host), host.name, home.name).held, 0n)
  assert.equal(hostTranches(host).map(({ phase }) => phase), ['settled'])
})
