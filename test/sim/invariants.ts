// The ledger's invariants, said a second time from the bytes of the logs alone: JSON, SHA-256 and
// sums, without the rules that the logs were written by. I7, I10 and I13 have files of their own.

import { toHex } from '../../protocol/base/crypto.ts'
import { root } from '../../protocol/base/merkle.ts'
import type { CoreTables } from '../../protocol/machine/state.ts'
import { canonical } from './canonical.ts'
import { checkDocuments } from './invariants-documents.ts'
import { checkGrants } from './invariants-grants.ts'
import { checkSnapshots } from './invariants-snapshots.ts'
import type { Json, Log } from './log-bytes.ts'
import { logOf, treeHash } from './log-bytes.ts'
import type { Machine } from './machine.ts'
import { demand } from './oracle.ts'

export function checkInvariants(machines: readonly Machine[]): void {
  const logs = machines.map(logOf)
  for (const log of logs) {
    checkRoot(log)
    checkSequences(log)
    checkBytes(log)
    checkMoney(log)
    checkSnapshots(log)
    checkDocuments(log)
  }
  checkGrants(logs)
  for (const [at, left] of logs.entries()) {
    for (const right of logs.slice(at + 1)) checkMirror(left, right)
    for (const other of logs) checkHeads(left, other)
  }
}

/** I1: the head is that of the leaves. */
function checkRoot({ machine, site, leaves }: Log): void {
  const head = machine.disk.get('ledgerHead', 'head') as CoreTables['ledgerHead']
  const found = treeHash(leaves.map(({ note }) => note)).toString('hex')
  demand(found === toHex(root(head.frontier)), 'I1', () =>
    `${site}: its ${leaves.length} leaves do not make the root of its head`)
}

/** I2 and I8: no gaps, each names the one before, times do not fall. Publics come in any order. */
function checkSequences({ site, leaves }: Log): void {
  const last = new Map<string, { n: number, sid: string, at: number, e: number }>()
  const numbers = new Map<string, string>()
  for (const { kind, body, sid } of leaves) {
    if (kind === 'federation') continue
    const { from, to, e, n, prev, at } = body as
      { from: string, to: string, e: number, n: number, prev: string, at: number }
    const place = `${from}>${to}#${e}/${n}`
    demand((numbers.get(place) ?? sid) === sid, 'I2', () => `${site}: two statements at ${place}`)
    numbers.set(place, sid)
    if (to === '*' && from !== site) continue
    const key = `${from}>${to}`
    const before = last.get(key)
    // What a restored site gets back of an earlier epoch comes late.
    if (before && e < before.e) continue
    const opens = !before || e > before.e
    demand(n === (opens ? 1 : before.n + 1), 'I2', () => `${site}: ${place} leaves a gap`)
    demand(prev === (opens ? '' : before.sid), 'I2', () => `${site}: ${place} follows another`)
    demand(!before || at >= before.at, 'I8', () =>
      `${site}: ${place} is of ${at}, the one before of ${before?.at}`)
    last.set(key, { n, sid, at, e })
  }
}

/** I11: one encoding. */
export function checkBytes({ site, leaves }: Log): void {
  for (const { kind, body, note } of leaves) {
    demand(note.startsWith(`gridnode/v1/${kind}\n${canonical(body)}\n\n— `), 'I11', () =>
      `${site} has a leaf that is not canonical:\n${note}`)
  }
}

interface Hold {
  readonly home: string
  readonly host: string
  readonly amount: bigint
  readonly contract: string
  /** What pays: an allocation, or '' for credit. */
  readonly grant: string
  claimed: bigint
  accepted: bigint
  held: boolean
}

/** I5, I6 and I12: what each hold came to, at every prefix of the log. */
export function checkMoney({ site, leaves, machine }: Log): void {
  const bodies = new Map<string, Json>()
  const holds = new Map<string, Hold>()
  const limits = new Map<string, bigint>()
  const paid = new Map<string, bigint>()
  const worth = (hold: Hold, usage: Json): bigint => {
    const contract = bodies.get(hold.contract)!
    const tariff = bodies.get(contract['tariff'] as string)!
    const rate = (name: string): bigint => BigInt(tariff[name] as string)
    const used = (name: string): bigint => BigInt(usage[name] as number)
    const hourly = rate('task') * 3_600n * used('tasks') + rate('core_hour') * used('core_s')
      + rate('gib_hour') * used('gib_s')
    const amount = hourly * BigInt(contract['factor_permille'] as number) / 3_600_000n
    return amount < hold.amount ? amount : hold.amount
  }
  for (const { kind, body, sid } of leaves) {
    bodies.set(sid, body)
    const of = holds.get(body['hold'] as string)
    const amount = BigInt((body['amount'] ?? body['limit'] ?? '0') as string)
    if (kind === 'credit') limits.set(`${String(body['from'])}>${String(body['to'])}`, amount)
    if (kind === 'hold') {
      holds.set(sid, {
        home: String(body['from']), host: String(body['to']), amount,
        contract: body['contract'] as string, grant: String(body['grant']),
        claimed: 0n, accepted: 0n, held: false,
      })
    }
    if (kind === 'settle' && body['side'] === 'offer') {
      const pair = pairOf(String(body['from']), String(body['to']))
      paid.set(pair, (paid.get(pair) ?? 0n) + amount)
    }
    if (!of) continue
    if (kind === 'held') {
      of.held = true
      // A site that was put back has lost which of these had ended.
      const isOurs = of.host === site && of.grant === '' && machine.restores === 0
      if (isOurs) checkExposure(site, of, { holds, limits, paid })
    }
    if (kind === 'declined' || kind === 'void') of.held = false
    if (kind === 'usage') {
      demand(amount === worth(of, body), 'I12', () =>
        `${site}: usage ${sid} says ${amount}, the tariff ${worth(of, body)}`)
      demand(amount >= of.claimed && amount <= of.amount, 'I5', () =>
        `${site}: usage ${sid} claims ${amount} after ${of.claimed} of ${of.amount}`)
      of.claimed = amount
      // Nothing is left to accept of it.
      if (body['final'] === 1 && of.accepted >= amount) of.held = false
    }
    if (kind === 'accept') {
      demand(amount <= of.claimed, 'I5', () =>
        `${site}: ${sid} accepts ${amount} of ${of.claimed} claimed`)
      if (amount > of.accepted) of.accepted = amount
      if (body['final'] === 1) of.held = false
    }
  }
}

function pairOf(left: string, right: string): string {
  return [left, right].toSorted().join(' ')
}

/** I6, from what was granted, accepted and is certainly held; what was resolved counts for less. */
function checkExposure(
  site: string, { home }: Hold,
  { holds, limits, paid }: {
    readonly holds: ReadonlyMap<string, Hold>
    readonly limits: ReadonlyMap<string, bigint>
    readonly paid: ReadonlyMap<string, bigint>
  },
): void {
  // Whoever has paid it, and whether the other has agreed: at most so much is owed less.
  let [held, left] = [0n, paid.get(pairOf(site, home)) ?? 0n]
  for (const one of holds.values()) {
    if (one.home === home && one.host === site && one.grant === '') {
      // A hold whose final claim is not accepted may have been resolved by other words.
      if (one.held && one.claimed === 0n) held += one.amount
    }
    const isBack = one.home === site && one.host === home && one.grant === ''
    if (isBack) left += one.accepted
  }
  const limit = limits.get(`${site}>${home}`) ?? 0n
  demand(held - left <= limit, 'I6', () =>
    `${site} holds ${held} for ${home}, which may owe ${limit} and is owed ${left}`)
}

/** I3 and I4: what one has of the pair the other has, so their sums are the same. */
function checkMirror(left: Log, right: Log): void {
  if (left.machine.restores > 0 || right.machine.restores > 0) return
  const between = ({ leaves }: Log): string[] => leaves
    .filter(({ body: { from, to } }) => (from === left.site && to === right.site)
      || (from === right.site && to === left.site))
    .map(({ sid }) => sid).toSorted()
  const [one, two] = [between(left), between(right)]
  demand(one.join(' ') === two.join(' '), 'I3', () =>
    `${left.site} has ${one.length} statements of the pair, ${right.site} has ${two.length}`)
}

/** I9: every head of a log that another site keeps is one of its prefixes. */
function checkHeads({ machine, site, leaves }: Log, other: Log): void {
  if (machine.restores > 0 || other.site === site) return
  const heads = other.machine.process?.loop.tables.get('heads') as
    Map<string, CoreTables['heads']> | undefined
  for (const { site: of, size, root: kept } of heads?.values() ?? []) {
    if (of !== site) continue
    const found = treeHash(leaves.slice(0, size).map(({ note }) => note)).toString('hex')
    demand(found === kept, 'I9', () => `${other.site} keeps another head ${size} of ${site}`)
  }
}
