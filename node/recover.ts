// What an operator does to a site that does not run: begins a new epoch after its database was put
// back or lost (`recover`), or replaces its statement and witness keys (`rotate`). Both need the
// root key. The peers' copies of the ledger come back by themselves at the next start.
//
// Invariants: new keys and the root key's note are on the disk before the ledger names them, the
// ledger is committed before the mark is raised to it; wherever it is interrupted it can be run
// again, and no place of a genesis or a key is ever signed twice.

import { existsSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { toHex } from '../protocol/base/crypto.ts'
import type { SiteName } from '../protocol/base/ids.ts'
import type { Signer } from '../protocol/base/note.ts'
import type { Draft } from '../protocol/base/tables.ts'
import { draft } from '../protocol/base/tables.ts'
import { endWork, sealEpoch, sealRotation, takeRenewal } from '../protocol/machine/restore.ts'
import type { CoreTables } from '../protocol/machine/state.ts'
import { ledgerHead, openHead } from '../protocol/rules/ledger-book.ts'
import { describeLedgerRefusal } from '../protocol/rules/ledger-refusal.ts'
import type { LedgerRefusal } from '../protocol/rules/ledger-refusal.ts'
import { rootSigner } from '../protocol/rules/statement.ts'
import { clock } from './clock.ts'
import type { Config } from './config.ts'
import { configFileName, readConfig } from './config.ts'
import { databaseName } from './enrol.ts'
import { keyPath, readKey } from './identity.ts'
import { keepNote, openRing, readRings } from './key-rings.ts'
import type { ReadExport } from './ledger/read-export.ts'
import { readExport } from './ledger/read-export.ts'
import { acquireLock } from './lock.ts'
import { Problem } from './problem.ts'
import { openStore } from './store/level.ts'
import type { Store } from './store/level.ts'
import { checkMark, markName, markOf, raiseMark, raiseMarkTo } from './store/mark.ts'

export interface RecoverOptions {
  readonly directory: string
  /** An exported ledger, our own or a peer's: there is no database any more. */
  readonly from?: string
}

export interface Recovered {
  readonly site: SiteName
  readonly epoch: number
  readonly entries: number
  readonly keys: string
  readonly from?: ReadExport
  /** Jobs that were open and are ended; hosted tranches that were given up. */
  readonly jobsEnded: number
  readonly tranchesEnded: number
  readonly peers: readonly SiteName[]
}

/** @throws Problem, StoreError: what keeps it from being done, and what to do about it */
export async function recover(options: RecoverOptions): Promise<Recovered> {
  return stopped(options.directory, async ({ directory, config, root }) => {
    const database = join(directory, databaseName)
    const isThere = existsSync(database) && readdirSync(database).length > 0
    if (options.from !== undefined && isThere) {
      throw new Problem('exists', `there is a database in ${database}; if it cannot be used any `
        + 'more, move it away first. Nothing was changed')
    }
    if (options.from === undefined && !isThere) {
      throw new Problem('config', `there is no database in ${database}; put the newest backup of `
        + 'it there, or begin from an exported ledger, of this site or of a peer: '
        + 'gridnode ledger recover --from DIR')
    }
    // What cannot be read leaves no database behind.
    const read = options.from === undefined ? undefined : exported(config, options.from)
    const store = await openStore(database, { acceptLostCommits: true })
    try {
      const view = read?.view ?? draft<CoreTables>(await store.loadAll())
      const found = read?.read
      return await beginEpoch({ directory, config, root, store, view }, found)
    } finally {
      await store.close()
    }
  })
}

interface Stopped {
  readonly directory: string
  readonly config: Config
  readonly root: Signer
}

interface Opened extends Stopped {
  readonly store: Store
  readonly view: Draft<CoreTables>
}

/** Does something to a site whose node does not run. */
async function stopped<T>(given: string, act: (site: Stopped) => Promise<T>): Promise<T> {
  const directory = resolve(given)
  const config = readConfig(join(directory, configFileName))
  const lock = acquireLock(directory)
  try {
    const root = rootSigner(config.site.name, readKey(keyPath(directory, 'root')))
    return await act({ directory, config, root })
  } finally {
    lock.release()
  }
}

function exported(
  config: Config, from: string,
): { readonly view: Draft<CoreTables>; readonly read: ReadExport } {
  const view = draft<CoreTables>(new Map())
  return { view, read: readExport(view, config.site.name, resolve(from)) }
}

async function beginEpoch(opened: Opened, from: ReadExport | undefined): Promise<Recovered> {
  const { directory, config, root, store, view } = opened
  demandMember(opened)
  const before = openHead(view)
  const now = clock.now()
  const late = takeRings(opened)
  const { site, epoch } = openHead(view)
  const ring = openRing(directory, `e${epoch + 1}`, ['statement', 'log', 'witness'])
  const own = view.get('ledgerMembers', site)
  const keys = {
    statement: toHex(ring.keys.statement.publicKey),
    log: toHex(ring.keys.log.publicKey),
    witness: toHex(ring.keys.witness.publicKey),
    network: own?.keys.network ?? '',
  }
  const genesis = granted(sealEpoch(view, root, { keys, at: now }))
  granted(takeRenewal(view, genesis.note))
  for (const note of late) granted(takeRenewal(view, note))
  const ended = endWork(view, { now, keepResultsMs: config.staging.keepResultsSeconds * 1_000 })
  keepNote(ring.directory, genesis.note)
  await store.commit(view.writes())
  const head = openHead(view)
  raiseMark(join(directory, markName), markOf(head))
  return {
    site,
    epoch: head.epoch,
    entries: before.frontier.size,
    keys: ring.directory,
    ...(from && { from }),
    jobsEnded: ended.jobs,
    tranchesEnded: ended.tranches,
    peers: [...view.entries('members')].map(([name]) => name as SiteName)
      .filter((name) => name !== site).toSorted(),
  }
}

function demandMember({ directory, config, view }: Opened): void {
  const head = ledgerHead(view)
  if (!head) {
    throw new Problem('config', `the database of ${directory} has no ledger; this site belongs to `
      + 'no federation yet: gridnode join TOKEN')
  }
  if (head.site !== config.site.name) {
    throw new Problem('config', `the config says site.name = "${config.site.name}", but this `
      + `database is ${head.site}'s`)
  }
}

/**
 * What the root key has signed already, also where this database has lost it. Gives changes of keys
 * that stand behind public statements that were lost, too: they count once their epoch is over.
 */
function takeRings({ directory, view }: Opened): string[] {
  const late: string[] = []
  for (const { note, epoch, directory: ring } of readRings(directory)) {
    if (note === undefined) continue
    const taken = takeRenewal(view, note)
    if (taken.ok) continue
    const { epoch: current } = openHead(view)
    if (epoch === current && taken.refusal.reason === 'gap') late.push(note)
    else throw unusable(ring, taken.refusal)
  }
  return late
}

function unusable(what: string, refusal: LedgerRefusal): Problem {
  return new Problem('key', `${what} does not belong to this ledger: `
    + `${describeLedgerRefusal(refusal)}; restore keys/ and the database of one site`)
}

export interface Rotated {
  readonly site: SiteName
  readonly epoch: number
  readonly keys: string
}

/** New statement and witness keys; the old ones count for what was said. @throws as `recover` */
export async function rotate(options: { readonly directory: string }): Promise<Rotated> {
  return stopped(options.directory, async (site) => {
    const store = await openStore(join(site.directory, databaseName))
    try {
      const view = draft<CoreTables>(await store.loadAll())
      return await changeKeys({ ...site, store, view })
    } finally {
      await store.close()
    }
  })
}

async function changeKeys(opened: Opened): Promise<Rotated> {
  const { directory, root, store, view } = opened
  demandMember(opened)
  const markPath = join(directory, markName)
  await checkMark(markPath, store, ledgerHead(view))
  const held = view.get('quarantine', 'own')
  if (held) {
    throw new Problem('config', `this site is in quarantine: ${held.detail}; a new epoch brings `
      + 'new keys, too: gridnode ledger recover')
  }
  const { site, epoch } = openHead(view)
  // An interrupted run has signed its note: that one counts, and no other has its number.
  for (const { note, directory: ring } of readRings(directory)) {
    if (note === undefined) continue
    const taken = takeRenewal(view, note)
    if (!taken.ok) throw unusable(ring, taken.refusal)
  }
  const isResumed = view.writes().length > 0
  const turns = readRings(directory)
    .filter((ring) => ring.epoch === epoch && ring.note !== undefined)
  const turn = Math.max(0, ...turns.map((ring) => ring.turn)) + (isResumed ? 0 : 1)
  const name = `e${epoch}.${turn}`
  if (!isResumed) {
    const ring = openRing(directory, name, ['statement', 'witness'])
    const statement = toHex(ring.keys.statement.publicKey)
    const witness = toHex(ring.keys.witness.publicKey)
    const { note } = granted(sealRotation(view, root, { statement, witness, at: clock.now() }))
    granted(takeRenewal(view, note))
    keepNote(ring.directory, note)
  }
  await store.commit(view.writes())
  raiseMarkTo(markPath, markOf(openHead(view)))
  return { site, epoch, keys: join(directory, 'keys', name) }
}

/** A refusal of our own word: the database is not what it should be. */
function granted<T>(
  outcome: { ok: true; value: T } | { ok: false; refusal: LedgerRefusal },
): T {
  if (outcome.ok) return outcome.value
  const { refusal } = outcome
  throw new Problem('config', `the ledger refuses it: ${describeLedgerRefusal(refusal)}`)
}
