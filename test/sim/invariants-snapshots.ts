// I10, from the bytes alone: what a snapshot commits to is what the entries before it add up to.
// The text is taken as an operator finds it beside the database: its root is the state that the log
// names, its head that of the entries, and what it says of sequences, credit, accounts and
// allocations is read off the entries once more.

import { createHash } from 'node:crypto'
import type { Leaf, Log } from './log-bytes.ts'
import { treeHash } from './log-bytes.ts'
import { demand } from './oracle.ts'
import { holdSums } from './sums.ts'

type Row = { readonly [field: string]: unknown }

export function checkSnapshots(log: Log): void {
  const { leaves, machine, site } = log
  // What a restored site reads back of its earlier epochs stands in its log in another order.
  if (machine.restores > 0) return
  for (const [index, { kind, body }] of leaves.entries()) {
    if (kind !== 'snapshot' || body['from'] !== site) continue
    const text = machine.snapshots.get(body['size'] as number)
    demand(body['size'] === index, 'I10', () =>
      `${site}: snapshot ${index} is of ${String(body['size'])} entries`)
    // A crash may have come before it was written beside the database.
    if (text !== undefined) checkSnapshot(site, text, { state: body['state'], leaves, index })
  }
}

function checkSnapshot(
  site: string, text: string,
  { state, leaves, index }: {
    readonly state: unknown; readonly leaves: readonly Leaf[]; readonly index: number
  },
): void {
  const lines = text.slice(0, -1).split('\n')
  const told = (what: string) => () => `${site}: snapshot ${index}: ${what}`
  const found = treeHash(lines).toString('hex')
  demand(found === state, 'I10', told(`its text makes ${found}, the log names ${String(state)}`))
  const tables = tablesOf(lines)
  const before = leaves.slice(0, index)
  const head = tables.get('head')?.get('head')?.['frontier'] as
    { readonly size: number; readonly peaks: readonly string[] }
  const root = treeHash(before.map(({ note }) => note)).toString('hex')
  demand(head.size === index && rootOf(head.peaks) === root, 'I10', told('its head is another'))
  for (const [name, expected] of [
    ['directions', directionsOf(site, before)], ['credits', creditsOf(before)],
    ['accounts', postedOf(before)], ['grants', spentOf(before)],
  ] as const) {
    for (const [key, fields] of expected) {
      const row = tables.get(name)?.get(key)
      for (const [field, value] of Object.entries(fields)) {
        demand(row?.[field] === value, 'I10', told(`${name} ${key}: ${field} is ` +
          `${String(row?.[field])}, the entries make ${String(value)}`))
      }
    }
  }
}

function tablesOf(lines: readonly string[]): Map<string, Map<string, Row>> {
  const tables = new Map<string, Map<string, Row>>()
  for (const line of lines.slice(1)) {
    const [table, key, row] = JSON.parse(line) as [string, string, Row]
    const rows = tables.get(table) ?? new Map<string, Row>()
    tables.set(table, rows.set(key, row))
  }
  return tables
}

/** RFC 6962: the root of complete subtrees, widest first. */
function rootOf(peaks: readonly string[]): string {
  const bytes = peaks.map((peak) => Buffer.from(peak, 'hex'))
  const joined = bytes.reduceRight((right, left) =>
    createHash('sha256').update(Uint8Array.of(1)).update(left).update(right).digest())
  return joined.toString('hex')
}

/** Where a site begins anew, a close of the other side ends its sequence: that is left out here. */
function directionsOf(site: string, leaves: readonly Leaf[]): Map<string, Row> {
  const directions = new Map<string, Row>()
  if (leaves.some(({ kind, body }) => kind === 'genesis' && body['e'] !== 1)) return directions
  for (const { kind, sid, body } of leaves) {
    const { from, to, e, n } = body as { from: string; to: string; e: number; n: number }
    if (kind === 'federation' || (to === '*' && from !== site)) continue
    directions.set(`${from}>${to}`, { e, n, sid })
  }
  return directions
}

function creditsOf(leaves: readonly Leaf[]): Map<string, Row> {
  const credits = new Map<string, Row>()
  for (const { kind, body } of leaves) {
    if (kind !== 'credit') continue
    credits.set(`${String(body['from'])}>${String(body['to'])}`, { limit: body['limit'] })
  }
  return credits
}

/** Of each pair, without what allocations pay. */
function postedOf(leaves: readonly Leaf[]): Map<string, Row> {
  return summed(leaves, (body) => body['grant'] === ''
    ? [`${String(body['to'])}>${String(body['from'])}`, 'posted'] : undefined)
}

function spentOf(leaves: readonly Leaf[]): Map<string, Row> {
  const known = new Set(leaves.filter(({ kind }) => kind === 'grant').map(({ sid }) => sid))
  return summed(leaves, (body) => known.has(body['grant'] as string)
    ? [body['grant'] as string, 'spent'] : undefined)
}

function summed(
  leaves: readonly Leaf[], of: (hold: Row) => readonly [string, string] | undefined,
): Map<string, Row> {
  const bodies = new Map(leaves.map(({ sid, body }) => [sid, body]))
  const sums = new Map<string, { field: string; sum: bigint }>()
  for (const [sid, { accepted }] of holdSums(leaves.map(({ note }) => note))) {
    const place = of(bodies.get(sid) ?? {})
    if (!place || accepted === 0n) continue
    const known = sums.get(place[0])?.sum ?? 0n
    sums.set(place[0], { field: place[1], sum: known + accepted })
  }
  return new Map([...sums].map(([key, { field, sum }]) => [key, { [field]: String(sum) }]))
}
