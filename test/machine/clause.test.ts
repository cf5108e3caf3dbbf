// A home that stays silent about a final claim: the witnesses' times make the clause due, and no
// clock of the two sites.

import { cosign } from '../../protocol/base/cosignature.ts'
import { toHex } from '../../protocol/base/crypto.ts'
import type { Hash } from '../../protocol/base/ids.ts'
import { parseCheckpoint } from '../../protocol/base/checkpoint.ts'
import { checkpointText } from '../../protocol/rules/ledger.ts'
import type { Self } from '../../protocol/machine/state.ts'
import { jobWith } from '../sim/users.ts'
import { assert, suite } from '../harness.ts'
import type { Site, World } from './pair.ts'
import {
  carry, federation, happen, hostTranches, runAll, selfOf, submitJob, tell, view,
} from './pair.ts'

const t = suite('the clause')
const accept_s = 3_600

/** The first is the home, the second the host; all four are witnesses. */
function four(change: Partial<Self['market']>): [World, Site[]] {
  const { market } = selfOf({} as never, '' as never)
  const terms = { market: { ...market, acceptSeconds: accept_s, ...change } }
  const [world, ...sites] = federation(4, [terms, terms, terms, terms])
  return [world, sites]
}

function setPolicy(world: World, sites: readonly Site[]): void {
  happen(world, sites[0]!, {
    kind: 'policyRequested',
    request: 'r',
    policy: { witnesses: sites.map(({ name }) => name), quorum: 3, authorities: [] },
  })
  carry(world)
}

/** The host claims, and the home never fetches the results, so it has no word for the claim. */
function claimed(world: World, [home, host]: readonly Site[]): void {
  submitJob(world, home!, jobWith({
    place: 'remote', inputs: '', inputs_bytes: 0, sites: [host!.name],
  }))
  runAll(world, host!, 60_000)
  assert.equal(hostTranches(host!)[0]?.phase, 'claimed')
}

function cosigns(world: World, witness: Site, host: Site, seconds: number): void {
  const text = checkpointText(view(host))
  const head = parseCheckpoint(text)
  if (!head.ok) throw new Error('no head')
  tell(world, witness, host, {
    kind: 'cosigned',
    size: head.value.size,
    root: toHex(head.value.rootHash) as Hash,
    line: cosign(text, witness.self.witness, seconds),
  })
  carry(world)
}

const clauseOf = (host: Site) => [...view(host).entries('ledgerHolds')][0]?.[1].clause

t('[CLAUSE-4] is due when a quorum has seen the claim for the agreed time, liars left out', () => {
  const [world, sites] = four({ autoPermille: 500 })
  const [, host, third, fourth] = sites
  setPolicy(world, sites)
  claimed(world, sites)
  const at = Math.floor(world.nowMs / 1_000)
  // One witness lies about both ends: it counts for neither.
  cosigns(world, third!, host!, at - 10 * accept_s)
  cosigns(world, third!, host!, at + 10 * accept_s)
  assert.equal(clauseOf(host!), 0n)
  cosigns(world, sites[0]!, host!, at)
  cosigns(world, fourth!, host!, at + 1)
  cosigns(world, fourth!, host!, at + accept_s - 1)
  assert.equal(clauseOf(host!), 0n)
  cosigns(world, fourth!, host!, at + accept_s)
  const hold = [...view(host!).entries('ledgerHolds')][0]![1]
  assert.equal(hold.clause, hold.claimed < hold.amount / 2n ? hold.claimed : hold.amount / 2n)
  assert.equal(view(sites[0]!).get('ledgerHolds', hold.sid)?.clause, hold.clause)
  assert.equal([...view(host!).entries('clauseWatch')].length, 0)
})

t('without a clause, or without a policy, times make nothing due', () => {
  for (const [change, policy] of [[{}, true], [{ autoPermille: 500 }, false]] as const) {
    const [world, sites] = four(change)
    if (policy) setPolicy(world, sites)
    claimed(world, sites)
    const at = Math.floor(world.nowMs / 1_000)
    for (const witness of [sites[0]!, ...sites.slice(2)]) {
      cosigns(world, witness, sites[1]!, at)
      cosigns(world, witness, sites[1]!, at + 2 * accept_s)
    }
    assert.equal(clauseOf(sites[1]!), 0n)
  }
})
