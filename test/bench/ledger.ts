// What the ledger costs: saying things durably, against the database's own synced batches of the
// same bytes. (The audit has a bench of its own.)

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Level } from 'level'
import { keyPairFromSeed, sha256 } from '../../protocol/base/crypto.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import type { Tables } from '../../protocol/base/tables.ts'
import { applyWrites, draft } from '../../protocol/base/tables.ts'
import type { CoreTables } from '../../protocol/machine/state.ts'
import { coldTables } from '../../protocol/machine/state.ts'
import type { LedgerSigner } from '../../protocol/rules/ledger.ts'
import {
  admitMember, issueStatement, openLedger, sealFederation, sealGenesis,
} from '../../protocol/rules/ledger.ts'
import { rootSigner, statementSigner } from '../../protocol/rules/statement.ts'
import type { Store } from '../../node/store/level.ts'
import { openStore } from '../../node/store/level.ts'
import type { Figure } from './figures.ts'
import { paired, rateFigure, seconds } from './figures.ts'

const groupSize = 256
const statements = 4_096
const rounds = 3

interface Site {
  readonly tables: Tables
  readonly signer: LedgerSigner
  readonly peer: SiteName
}

function keyOf(name: string): ReturnType<typeof keyPairFromSeed> {
  return keyPairFromSeed(sha256(`bench ${name}`))
}

function must<T>(outcome: { ok: true; value: T } | { ok: false; refusal: unknown }): T {
  if (!outcome.ok) throw new Error(`refused: ${JSON.stringify(outcome.refusal)}`)
  return outcome.value
}

/** A log with its own genesis and one peer, in memory and in the store. */
async function openSite(store: Store): Promise<Site> {
  const [site, peer] = ['bench-a', 'bench-b'] as [SiteName, SiteName]
  const view = draft<CoreTables>(new Map())
  const genesisOf = (name: SiteName, fed: never): string => must(sealGenesis(
    rootSigner(name, keyOf(`${name} root`)),
    {
      fed, site: name, at: 1,
      keys: {
        log: hexOf(`${name} log`), statement: hexOf(`${name} statement`),
        witness: hexOf(`${name} witness`), network: hexOf(`${name} network`),
      },
    })).note
  const root = rootSigner(site, keyOf(`${site} root`))
  const nonce = '00'.repeat(16)
  const federation = must(sealFederation(root, { name: 'bench', founder: site, nonce, at: 1 }))
  const fed = federation.sid as never
  must(openLedger(view, site, { federation: federation.note, genesis: genesisOf(site, fed) }))
  const key = keyOf(`${site} statement`)
  const signer = { site, epoch: 1, statement: statementSigner(site, 1, key) }
  const genesis = genesisOf(peer, fed)
  const sid = must(sealGenesis(rootSigner(peer, keyOf(`${peer} root`)), {
    fed, site: peer, at: 1,
    keys: {
      log: hexOf(`${peer} log`), statement: hexOf(`${peer} statement`),
      witness: hexOf(`${peer} witness`), network: hexOf(`${peer} network`),
    },
  })).sid
  const rootHex = Buffer.from(keyOf(`${peer} root`).publicKey).toString('hex')
  const policy = must(issueStatement(view, signer, {
    kind: 'policy', to: '*', about: 'admit', at: 1, admit: peer, root: rootHex, genesis: sid,
  }))
  must(admitMember(view, site, { policy: policy.note, genesis }))
  const tables: Tables = new Map()
  applyWrites(tables, view.writes(), coldTables)
  await store.commit(view.writes())
  return { tables, signer, peer }
}

function hexOf(name: string): string {
  return Buffer.from(keyOf(name).publicKey).toString('hex')
}

/** Says `count` statements, grouped; every group is on the disk before the next is signed. */
async function sayDurably(store: Store, site: Site, count: number): Promise<void> {
  for (let done = 0; done < count; done += groupSize) {
    const view = draft<CoreTables>(site.tables)
    for (let at = 0; at < groupSize; at++) {
      must(issueStatement(view, site.signer, {
        kind: 'credit', to: site.peer, at: done + at, limit: BigInt(done + at) as never,
      }))
    }
    const writes = view.writes()
    applyWrites(site.tables, writes, coldTables)
    await store.commit(writes)
  }
}

/** The database's own rate for as many entries of this size, synced in the same groups. */
async function rawBatches(directory: string, count: number): Promise<number> {
  const database = new Level(directory, { keyEncoding: 'utf8', valueEncoding: 'utf8' })
  await database.open()
  const entry = 'x'.repeat(500)
  const spent = await seconds(async () => {
    for (let done = 0; done < count; done += groupSize) {
      const batch = []
      for (let at = 0; at < groupSize; at++) {
        const key = String(done + at).padStart(12, '0')
        batch.push({ type: 'put' as const, key: `e${key}`, value: entry })
        batch.push({ type: 'put' as const, key: `n${key}`, value: entry.slice(0, 64) })
        batch.push({ type: 'put' as const, key: `s${key}`, value: '1' })
      }
      await database.batch(batch, { sync: true })
    }
  })
  await database.close()
  return count / spent
}

export async function ledgerFigures(): Promise<Figure[]> {
  const directory = mkdtempSync(join(tmpdir(), 'gridnode-bench-'))
  try {
    const store = await openStore(join(directory, 'db'))
    const site = await openSite(store)
    let round = 0
    const said = await paired(rounds,
      async () => statements / (await seconds(() => sayDurably(store, site, statements))),
      () => rawBatches(join(directory, `raw${round++}`), statements))
    await store.close()
    return [
      rateFigure('statements said durably', 'the same bytes, LevelDB, synced alike', '/s', said),
    ]
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
