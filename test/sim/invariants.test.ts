// The invariants are worth what they notice: each is broken on purpose, in the leaves of a log that
// kept it.

import { append, emptyFrontier } from '../../protocol/base/merkle.ts'
import { pack, unpack } from '../../protocol/base/record.ts'
import { assert, suite } from '../harness.ts'
import { leavesOf } from './books.ts'
import { checkBytes, checkInvariants, checkMoney } from './invariants.ts'
import { checkDocuments } from './invariants-documents.ts'
import { checkGrants } from './invariants-grants.ts'
import { checkSnapshots } from './invariants-snapshots.ts'
import { logOf } from './log-bytes.ts'
import type { Machine } from './machine.ts'
import { profileOf } from './profile.ts'
import { run } from './run.ts'

const t = suite('the invariants of the ledger')

/** The logs of a run in which money moved. */
function logs(): readonly Machine[] {
  return run(profileOf(4, { kind: 'calm', sites: 3, jobs: 6 })).world.machines
}

function inOrder(entries: ReadonlyMap<string, string>): [string, string][] {
  return [...entries].toSorted(([a], [b]) => a < b ? -1 : 1)
}

/** Changes the first leaf of any site that `by` finds something to change in. */
function change(machines: readonly Machine[], by: (note: string) => string | undefined): void {
  for (const machine of machines) {
    const entries = machine.disk.records('ledgerEntries') as Map<string, string>
    for (const [key, text] of inOrder(entries)) {
      const changed = by(unpack(text) as string)
      if (changed === undefined) continue
      entries.set(key, pack(changed))
      headAsItIs(machine)
      return
    }
  }
  throw new Error('nothing to change')
}

/** The head of the leaves as they are now, so that the leaves alone can give the change away. */
function headAsItIs(machine: Machine): void {
  const head = machine.disk.get('ledgerHead', 'head') as { readonly frontier: object }
  const frontier = leavesOf(machine).reduce(
    (grown, note) => append(grown, Buffer.from(note)).frontier, emptyFrontier)
  const records = machine.disk.records('ledgerHead') as Map<string, string>
  records.set('head', pack({ ...head, frontier }))
}

function replaced(kind: string, find: RegExp, by: string): (note: string) => string | undefined {
  return (note) => note.startsWith(`gridnode/v1/${kind}\n`) && find.test(note)
    ? note.replace(find, by) : undefined
}

t('hold over a run that kept them', () => checkInvariants(logs()))

t('I1: a leaf that is another one', () => {
  const machines = logs()
  const entries = machines[1]!.disk.records('ledgerEntries') as Map<string, string>
  const [first] = inOrder(entries)
  entries.set(first![0], pack(`${unpack(first![1]) as string} `))
  assert.throws(() => checkInvariants(machines), /I1: .* do not make the root/)
})

t('I2: a number that is left out, and one that follows another', () => {
  const machines = logs()
  change(machines, replaced('hold', /"n":[0-9]+/, '"n":77'))
  assert.throws(() => checkInvariants(machines), /I2: .*77 leaves a gap/)
  const others = logs()
  change(others, replaced('held', /"prev":"[0-9a-f]{4}/, '"prev":"0000'))
  assert.throws(() => checkInvariants(others), /I2: .* follows another/)
})

t('I3: a statement that only one of the two has', () => {
  const machines = logs()
  const [longest] = machines.toSorted((a, b) => leavesOf(b).length - leavesOf(a).length)
  const entries = longest!.disk.records('ledgerEntries') as Map<string, string>
  const accepts = inOrder(entries).filter(([, text]) =>
    (unpack(text) as string).includes(`"to":"${longest!.identity.site}"`))
  entries.delete(accepts.at(-1)![0])
  headAsItIs(longest!)
  assert.throws(() => checkInvariants(machines), /I3: .* statements of the pair/)
})

t('I5: more accepted than was claimed', () => {
  const machines = logs()
  change(machines, replaced('accept', /"amount":"/, '"amount":"9'))
  assert.throws(() => machines.map(logOf).forEach(checkMoney), /I5: .* accepts 9/)
})

t('I6: more held than the limit allows', () => {
  const machines = logs()
  for (const { disk } of machines) {
    const entries = disk.records('ledgerEntries') as Map<string, string>
    for (const [key, text] of entries) {
      const poor = replaced('credit', /"limit":"[0-9]+"/, '"limit":"0"')(unpack(text) as string)
      if (poor !== undefined) entries.set(key, pack(poor))
    }
  }
  assert.throws(() => machines.map(logOf).forEach(checkMoney), /I6: .* may owe 0/)
})

t('I8: a time that falls', () => {
  const machines = logs()
  change(machines, replaced('held', /"at":1[0-9]/, '"at":10'))
  assert.throws(() => checkInvariants(machines), /I8: .* is of 10/)
})

t('I11: another encoding of the same', () => {
  const machines = logs()
  change(machines, replaced('usage', /"n":/, '"n": '))
  assert.throws(() => machines.map(logOf).forEach(checkBytes), /I11: .* not canonical/)
})

t('I12: another amount than the tariff makes', () => {
  const machines = logs()
  change(machines, replaced('usage', /"core_s":([0-9]+)/, '"core_s":1$1'))
  assert.throws(() => machines.map(logOf).forEach(checkMoney), /I12: .* the tariff/)
})

/** The logs of runs in which allocations were spent, and snapshots made. */
function laterLogs(wanted: 'grantEveryMs' | 'snapshotEveryMs', kind: string): readonly Machine[] {
  for (let seed = 1; seed < 100; seed++) {
    const profile = profileOf(seed, { kind: 'calm', sites: 3, jobs: 6 })
    if (profile.faults[wanted] === 0) continue
    const { machines } = run(profile).world
    const isThere = machines.some((machine) => leavesOf(machine).some((note) =>
      note.startsWith(`gridnode/v1/${kind}\n`)
      && (kind === 'snapshot' || /"grant":"[0-9a-f]/.test(note))))
    if (isThere) return machines
  }
  throw new Error(`no run with a ${kind}`)
}

t('I7: more spent of an allocation than was granted, and more asked for', () => {
  const machines = laterLogs('grantEveryMs', 'hold')
  checkGrants(machines.map(logOf))
  for (const machine of machines) {
    const entries = machine.disk.records('ledgerEntries') as Map<string, string>
    for (const [key, text] of entries) {
      const poor = replaced('grant', /"amount":"[0-9]+"/, '"amount":"0"')(unpack(text) as string)
      if (poor !== undefined) entries.set(key, pack(poor))
    }
  }
  assert.throws(() => checkGrants(machines.map(logOf)), /I7: /)
}, { timeoutSeconds: 120 })

t('I10: a snapshot with another sum, and one of other entries', () => {
  const machines = laterLogs('snapshotEveryMs', 'snapshot')
  const machine = machines.find(({ snapshots }) => snapshots.size > 0)!
  const [[size, text]] = [...machine.snapshots] as [[number, string]]
  checkSnapshots(logOf(machine))
  machine.snapshots.set(size, text.replace(/"limit":"/, '"limit":"1'))
  assert.throws(() => checkSnapshots(logOf(machine)), /I10: .* its text makes/)
  machine.snapshots.set(size, text)
  const log = logOf(machine)
  const leaves = log.leaves.with(3, { ...log.leaves[3]!, note: `${log.leaves[3]!.note} ` })
  assert.throws(() => checkSnapshots({ ...log, leaves }), /I10: .* its head is another/)
}, { timeoutSeconds: 120 })

t('I9: a head that is no prefix of its log', () => {
  const machines = logs()
  const keeper = machines.find(({ process }) => process!.loop.tables.get('heads')?.size)!
  const heads = keeper.process!.loop.tables.get('heads') as Map<string, object>
  const [origin, head] = [...heads][0]!
  heads.set(origin, { ...head, root: '00'.repeat(32) })
  assert.throws(() => checkInvariants(machines), /I9: .* keeps another head/)
})

t('I13: a record of what ran that is another than the claim commits to', () => {
  const machines = logs()
  for (const machine of machines) checkDocuments(logOf(machine))
  const host = machines.find(({ disk }) => disk.records('documentLines').size > 0)!
  const lines = host.disk.records('documentLines') as Map<string, string>
  const [[key, packed]] = [...lines] as [[string, string]]
  const [tranche = '', meter = ''] = unpack(packed) as string[]
  lines.set(key, pack([tranche, meter.replace(/"core_s":(\d+)/, '"core_s":1$1')]))
  assert.throws(() => checkDocuments(logOf(host)), /I13: .* opens no claim/)
  lines.set(key, pack([tranche.replace('"tasks":"', '"tasks":"9,'), meter]))
  assert.throws(() => checkDocuments(logOf(host)), /I13: .* opens no hold/)
})
