// Writes exported logs of any size for the audit's benches: two sites, contract after contract,
// each hold asked, held, claimed and accepted, as the ledger's own rules let them in. Entries go
// straight to tiles, so that memory does not grow with the log.

import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { formatCheckpoint } from '../../protocol/base/checkpoint.ts'
import type { Sid } from '../../protocol/base/ids.ts'
import { root } from '../../protocol/base/merkle.ts'
import { signNote } from '../../protocol/base/note.ts'
import type { View } from '../../protocol/base/tables.ts'
import { encodeBundle, tilePath, tileWidth } from '../../protocol/base/tiles.ts'
import type { LedgerTables } from '../../protocol/rules/ledger-book.ts'
import { openHead } from '../../protocol/rules/ledger-book.ts'
import { logPlaced } from '../../protocol/rules/ledger-entry.ts'
import { directionOf } from '../../protocol/rules/ledger-pairs.ts'
import type { StatementInput } from '../../protocol/rules/statement.ts'
import { logOrigin, sealStatement } from '../../protocol/rules/statement.ts'
import type { Deal, TestSite } from '../rules/ledger-sites.ts'
import {
  acceptInput, agreedDeal, federation, heldInput, holdInput, must, offerInput, usageInput,
} from '../rules/ledger-sites.ts'

export interface WrittenLogs {
  /** In each of the two. */
  readonly entries: number
  /** Directories: the log of the site that claims, and of the one that pays. */
  readonly host: string
  readonly home: string
}

const holdsPerContract = 2
const statementsPerContract = 2 + 4 * holdsPerContract

/** Two logs with the same statements, of at most `entries` each, under `directory`. */
export function writeLogs(directory: string, entries: number): WrittenLogs {
  const [home, host] = federation('home.example', 'host.example') as [TestSite, TestSite]
  const deal = agreedDeal(home, host, 1_000_000_000)
  const logs = [host, home].map((site) => openWriter(join(directory, site.name), site)) as
    [Writer, Writer]
  const [{ view }] = logs
  const say = (from: TestSite, to: TestSite, input: StatementInput): Sid => {
    const last = directionOf(view, from.name, to.name)
    const { federation: fed } = openHead(view)
    const place = { e: 1, fed, from: from.name, n: last.n + 1, prev: last.sid }
    const said = { ...input, ...place } as unknown as Parameters<typeof sealStatement>[0]
    const parsed = must(sealStatement(said, from.signer.statement))
    for (const log of logs) must(logPlaced(log.view, parsed, () => true))
    return parsed.sid
  }
  let size = openHead(view).frontier.size
  for (; size + statementsPerContract <= entries; size += statementsPerContract) {
    for (const log of logs) log.forgetEnded()
    const contract = say(home, host, offerInput(host, deal.tariff))
    const { at } = offerInput(host, deal.tariff)
    say(host, home, { kind: 'contract', to: home.name, at, side: 'agree', contract })
    for (let done = 0; done < holdsPerContract; done++) pay(say, { ...deal, contract })
  }
  for (const log of logs) log.end()
  return { entries: size, host: join(directory, host.name), home: join(directory, home.name) }
}

/** One hold's life. */
function pay(
  say: (from: TestSite, to: TestSite, input: StatementInput) => Sid, deal: Deal,
): void {
  const { home, host } = deal
  const hold = say(home, host, holdInput(deal, 1_000))
  say(host, home, heldInput(deal, hold))
  const usage = say(host, home, usageInput(deal, hold, { amount: 277, core_s: 1, final: 1 }))
  say(home, host, acceptInput(deal, hold, { usage, amount: 277, final: 1 }))
}

interface Writer {
  readonly view: View<LedgerTables>
  forgetEnded(): void
  end(): void
}

/** A book whose entries and tree nodes leave for the disk as soon as a tile is full. */
function openWriter(directory: string, site: TestSite): Writer {
  const { tables } = site
  const recordsOf = (table: string): Map<string, unknown> => {
    let records = tables.get(table)
    if (!records) tables.set(table, records = new Map<string, unknown>())
    return records
  }
  const tiles = openTiles(directory)
  const write = (table: string, value: unknown, key: string): void => {
    if (table === 'ledgerEntries') tiles.add('entries', Buffer.from(value as string))
    if (table === 'ledgerNodes') tiles.add(Number(key.split('/')[0]), value as Uint8Array)
  }
  const cold = new Set(['ledgerEntries', 'ledgerNodes', 'ledgerNumbers'])
  for (const table of cold) {
    const sorted = [...recordsOf(table)].toSorted(([a], [b]) => (a < b ? -1 : 1))
    for (const [key, value] of sorted) write(table, value, key)
    recordsOf(table).clear()
  }
  return {
    view: {
      get: (table, key) => recordsOf(table).get(key) as never,
      put(table, key, value) {
        if (cold.has(table)) write(table, value, key)
        else recordsOf(table).set(key, value)
      },
      remove: (table, key) => void recordsOf(table).delete(key),
      entries: (table) => recordsOf(table).entries() as never,
    },
    forgetEnded() {
      for (const table of ['ledgerContracts', 'ledgerHolds']) recordsOf(table).clear()
    },
    end() {
      tiles.end()
      const head = recordsOf('ledgerHead').get('head') as LedgerTables['ledgerHead']
      const origin = logOrigin(site.name, head.federation, head.epoch)
      const { frontier } = head
      const text = formatCheckpoint({ origin, size: frontier.size, rootHash: root(frontier) })
      const note = signNote(text, { name: origin, key: site.log })
      writeFileSync(join(directory, 'checkpoint'), note)
    },
  }
}

type Level = number | 'entries'

function openTiles(directory: string): {
  add(level: Level, item: Uint8Array): void
  end(): void
} {
  const open = new Map<Level, { index: number, items: Uint8Array[] }>()
  const flush = (level: Level, index: number, items: readonly Uint8Array[]): void => {
    const path = join(directory, tilePath({ level, index, width: items.length }))
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, level === 'entries' ? encodeBundle(items) : Buffer.concat(items))
  }
  return {
    add(at, item) {
      if (at !== 'entries' && at % 8 !== 0) return
      const level = at === 'entries' ? at : at / 8
      const tile = open.get(level) ?? { index: 0, items: [] }
      open.set(level, tile)
      tile.items.push(item)
      if (tile.items.length < tileWidth) return
      flush(level, tile.index, tile.items)
      open.set(level, { index: tile.index + 1, items: [] })
    },
    end() {
      for (const [level, { index, items }] of open) {
        if (items.length > 0) flush(level, index, items)
      }
    },
  }
}
