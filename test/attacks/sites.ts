// Honest nodes and one that signs what it likes with its own real keys.

import { sha256Hex } from '../../protocol/base/crypto.ts'
import type { Sid } from '../../protocol/base/ids.ts'
import { microcredits } from '../../protocol/base/units.ts'
import type { KeptEvidence } from '../../protocol/machine/trust-records.ts'
import { sealAnnouncement } from '../../protocol/rules/announce.ts'
import type { Evidence } from '../../protocol/rules/evidence.ts'
import { openHead } from '../../protocol/rules/ledger-book.ts'
import { directionOf, issueStatement } from '../../protocol/rules/ledger.ts'
import type { Statement } from '../../protocol/rules/statement.ts'
import { sealStatement } from '../../protocol/rules/statement.ts'
import { assert } from '../harness.ts'
import type { Site, World } from '../machine/pair.ts'
import {
  carry, commit, federation, homeTranches, pass, submitJob, tell, view,
} from '../machine/pair.ts'
import { must } from '../sim/identity.ts'
import { jobWith } from '../sim/users.ts'
import { shownLog, signedText } from './liar.ts'

export interface Four {
  readonly world: World
  readonly home: Site
  /** The one that lies. */
  readonly liar: Site
  readonly third: Site
}

export function sites(): Four {
  const [world, home, liar, third] = federation(3)
  return { world, home: home!, liar: liar!, third: third! }
}

/** Notes of `from` to `to`, as a message of statements. */
export function show(world: World, from: Site, to: Site, ...notes: readonly string[]): void {
  tell(world, from, to, { kind: 'statements', notes, have: 0, have_e: 1, heard: 1 })
}

/** Logged at the liar, told to nobody yet. */
export function credit(world: World, from: Site, to: Site, limit: bigint): string {
  const trial = view(from)
  const said = must(issueStatement(trial, from.identity.signer, {
    kind: 'credit', to: to.name, at: world.nowMs, limit: microcredits(limit),
  }))
  commit(from, trial.writes())
  return said.note
}

/** The next statement to `to`, whatever the author's own rules would say of it. */
export function crafted(world: World, from: Site, to: Site, said: object): string {
  const last = directionOf(view(from), from.name, to.name)
  const place = {
    e: 1, fed: from.self.federation, from: from.name, to: to.name, n: last.n + 1, prev: last.sid,
    at: Math.max(world.nowMs, last.at),
  }
  return must(sealStatement({ ...place, ...said } as Statement, from.self.signer.statement)).note
}

export function evidenceOf(at: Site): KeptEvidence[] {
  return [...view(at).entries('evidence')].map(([, kept]) => kept)
}

export function entriesOf(at: Site): number {
  return openHead(view(at)).frontier.size
}

/** The own log's statements about others. */
export function accusations(at: Site): string[] {
  return [...at.cold].filter(([key]) => key.startsWith('ledgerEntries/'))
    .map(([, note]) => note as string)
    .filter((note) => note.startsWith('gridnode/v1/evidence\n'))
}

/** Everybody but the liar keeps one proof, says it once, and gives the liar nothing new. */
export function allKnow(
  { world, home, liar, third }: Four, kind: KeptEvidence['proof'], finder: Site = home,
): void {
  carry(world)
  pass(world, 61_000)
  for (const at of [home, third]) {
    const kept = evidenceOf(at)
    assert.equal(kept.map(({ accused, epoch, proof }) => [accused, epoch, proof]),
      [[liar.name, 1, kind]], `the proof at ${at.name}`)
    assert.equal(kept.map(({ from }) => from === ''), [at === finder])
    assert.equal(accusations(at).length, 1, `the statement of ${at.name}`)
    assert.ok(view(at).get('ledgerFrozen', liar.name), `${at.name} has frozen its credit`)
    assert.ok(accusations(at)[0]!.includes(kept[0]!.doc), 'it names the document')
  }
  // Whoever is shown proof against itself keeps it for its operator and says nothing.
  assert.equal(evidenceOf(liar).length, 1)
  assert.equal(accusations(liar), [])
}

/** Nothing was learnt, said or frozen. */
export function nobodyKnows(...all: readonly Site[]): void {
  for (const at of all) {
    assert.equal(evidenceOf(at), [])
    assert.equal(accusations(at), [])
    assert.equal([...view(at).entries('ledgerFrozen')], [])
  }
}

export function textOf(note: string): string {
  return note.slice(0, note.lastIndexOf('\n\n') + 1)
}

export const remote = jobWith({ place: 'remote', inputs: '', inputs_bytes: 0 })

export function announce(world: World, from: Site, to: Site): void {
  const note = sealAnnouncement({
    fed: from.self.federation, auction: 'ab'.repeat(8), home: from.name, tasks: 1, cores: 1,
    memory_mib: 256, walltime_seconds: 60, inputs_bytes: 0, window_ms: 1_000,
  }, from.identity.signer.statement)
  tell(world, from, to, { kind: 'announce', note })
}

export function prove(all: Four): void {
  const { world, home, liar } = all
  show(world, liar, home, signedText(liar.self.signer.statement, 'credit', '{"a": 1}'))
}

/** Two receipts of the liar's log for one place. */
export function twoLeaves({ liar }: Four): Evidence {
  const log = { name: liar.name, federation: liar.self.federation, log: liar.identity.log }
  const [one, two] = [shownLog(log, ['a', 'b', 'c']), shownLog(log, ['a', 'x'])]
  return {
    kind: 'fork_leaf',
    first: { leaf: 'b', proof: one.receipt(1) },
    second: { leaf: 'x', proof: two.receipt(1) },
  }
}

/** A job of the home runs at the liar; what the liar's own machine says of it is kept back. */
export function running(all: Four): { readonly hold: Sid, readonly usage: object } {
  const { world, home, liar } = all
  submitJob(world, home, jobWith({ ...remote.document, sites: [liar.name] }))
  const [tranche] = homeTranches(home)
  assert.equal([tranche?.host, tranche?.state.kind], [liar.name, 'live'])
  const hold = tranche!.hold as Sid
  const usage = {
    kind: 'usage', hold, final: 0, tasks: 1, core_s: 10, gib_s: 0,
    amount: microcredits(1_000n + 10_000n), meter: sha256Hex('meter'),
  }
  return { hold, usage }
}
