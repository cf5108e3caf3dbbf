// A forgery: one byte of one entry in a copy of an exported ledger, so that a debt looks smaller.

import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeBundle, parseTilePath, tileWidth } from '../../protocol/base/tiles.ts'

export interface Forgery {
  /** The entry's index in the log. */
  readonly entry: number
  /** The amount that the entry states, in microcredits, before and after. */
  readonly before: string
  readonly after: string
}

/** Changes a digit of the newest amount of this kind of entry in the ledger at `directory`. */
export function forge(directory: string, kind: string): Forgery {
  const folder = join(directory, 'tile', 'entries')
  const bundles = readdirSync(folder, { recursive: true, encoding: 'utf8' }).toSorted()
  for (const name of bundles.reverse()) {
    const tile = parseTilePath(`tile/entries/${name}`)
    if (!tile) continue
    const path = join(folder, name)
    const bytes = readFileSync(path)
    const entries = decodeBundle(bytes, tile.width)
    if (!entries.ok) throw new Error(`${path} is no bundle of entries`)
    const found = newestAmount(entries.value, kind)
    if (!found) continue
    const { place, amount } = found
    const at = bytes.indexOf(entries.value[place]!) + amount.index
    const first = String.fromCharCode(bytes[at]!)
    bytes[at] = (first === '1' ? '2' : '1').charCodeAt(0)
    writeFileSync(path, bytes)
    const { text } = amount
    const after = (first === '1' ? '2' : '1') + text.slice(1)
    return { entry: tile.index * tileWidth + place, before: text, after }
  }
  throw new Error(`the ledger in ${directory} has no ${kind} with an amount`)
}

function newestAmount(entries: readonly Uint8Array[], kind: string): {
  readonly place: number
  readonly amount: { readonly index: number; readonly text: string }
} | undefined {
  for (const [place, entry] of [...entries.entries()].reverse()) {
    const text = Buffer.from(entry).toString('latin1')
    if (!text.startsWith(`gridnode/v1/${kind}\n`)) continue
    const amount = /"amount":"?([1-9][0-9]*)/.exec(text)
    if (!amount) continue
    const index = amount.index + amount[0].length - amount[1]!.length
    return { place, amount: { index, text: amount[1]! } }
  }
  return undefined
}

export function copyLedgers(from: string, to: string): void {
  cpSync(from, to, { recursive: true })
}
