// Where records lie in the database: each table is a numbered namespace, a key is `<number>:<key>`.
// Invariant: a number is never given to another table, also after its table is gone; number 0 is
// the store's own.

import { assert } from '../../protocol/base/assert.ts'
import type { CoreTables } from '../../protocol/machine/state.ts'
import { coldTables, volatileTables } from '../../protocol/machine/state.ts'

type Volatile =
  'links' | 'offers' | 'capacity' | 'offerState' | 'addresses' | 'counters' | 'ownHeads'
  | 'evidenceSent'
  | 'heardPeers' | 'histories' | 'receiptsOwed' | 'queueUse'
type StoredTable = Exclude<keyof CoreTables, Volatile>

/** The store's own records: the version of the layout and the marks of commits. */
export const ownNamespace = 0

const numbers: Readonly<Record<StoredTable, number>> = {
  ledgerHead: 1,
  ledgerDirections: 2,
  ledgerPublics: 3,
  ledgerMembers: 4,
  ledgerAdmissions: 5,
  ledgerTariffs: 6,
  ledgerCredits: 7,
  ledgerAccounts: 8,
  ledgerContracts: 9,
  ledgerHolds: 10,
  ledgerEntries: 11,
  ledgerNodes: 12,
  ledgerNumbers: 14,
  ledgerProposals: 15,
  ledgerGrants: 16,
  ledgerPolicy: 17,
  ledgerReconciled: 18,
  ledgerFrozen: 19,
  federationNote: 32,
  charter: 60,
  heads: 61,
  cosigned: 62,
  challenges: 63,
  quarantine: 64,
  proofsOwed: 65,
  holdChecks: 66,
  evidence: 67,
  receiptsWanted: 68,
  receiptsMissing: 69,
  receipts: 70,
  receiptPlaces: 77,
  digestDay: 71,
  digests: 72,
  digestRecords: 73,
  snapshots: 74,
  pruned: 75,
  daysSaid: 76,
  documentsKept: 78,
  documentsCount: 79,
  documentLines: 80,
  clauseWatch: 81,
  jobOrders: 82,
  trancheOrders: 83,
  hostOrders: 84,
  children: 85,
  used: 86,
  drained: 87,
  members: 33,
  invites: 34,
  delivery: 35,
  outbox: 36,
  troubles: 37,
  offerSequence: 38,
  tariffNotes: 39,
  ownTariff: 40,
  jobs: 41,
  jobNotes: 42,
  auctions: 43,
  auctionKeys: 44,
  homeContracts: 45,
  homeTranches: 46,
  homeTasks: 47,
  openBids: 48,
  hostContracts: 49,
  hostJobs: 50,
  hostTranches: 51,
  hostTasks: 52,
  timers: 53,
  exposed: 54,
  reconciles: 55,
  payments: 56,
  rulings: 57,
}

/** Tables that survive a restart, in order of their numbers. */
export const storedTables: readonly string[] = Object.keys(numbers)

/** Volatile tables are what was last seen of the world; they are not stored. */
export function isStored(table: string): boolean {
  return !volatileTables.has(table)
}

/** Tables that are kept in memory while the node runs. */
export const hotStoredTables: readonly string[] =
  storedTables.filter((table) => !coldTables.has(table))

export function isHot(table: string): boolean {
  return !coldTables.has(table)
}

export function namespaceOf(table: string): number {
  assert(Object.hasOwn(numbers, table), `the table ${table} has a number in the keyspace`)
  return numbers[table as StoredTable]
}

export function storedKey(namespace: number, key: string): string {
  return `${prefixOf(namespace)}:${key}`
}

/** All keys of a namespace: from `first` on and before `end`. */
export function boundsOf(namespace: number): { readonly first: string, readonly end: string } {
  const prefix = prefixOf(namespace)
  return { first: `${prefix}:`, end: `${prefix};` }
}

/** The key within its namespace. */
export function innerKey(stored: string): string {
  return stored.slice(prefixDigits + 1)
}

const prefixDigits = 3

function prefixOf(namespace: number): string {
  return String(namespace).padStart(prefixDigits, '0')
}
