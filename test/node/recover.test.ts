// `ledger recover` and `ledger rotate` on data directories: keys and notes before the ledger, the
// ledger before the mark, nothing signed twice wherever it was interrupted.

import {
  cpSync, existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { draft } from '../../protocol/base/tables.ts'
import { toHex } from '../../protocol/base/crypto.ts'
import type { CoreTables } from '../../protocol/machine/state.ts'
import { openHead } from '../../protocol/rules/ledger-book.ts'
import { parseStatement } from '../../protocol/rules/statement.ts'
import { init } from '../../node/enrol.ts'
import { keyPath, readKey } from '../../node/identity.ts'
import { demandNewestKeys, readNamedKeys, readRings } from '../../node/key-rings.ts'
import { recover, rotate } from '../../node/recover.ts'
import { acquireLock } from '../../node/lock.ts'
import { exportLedger } from '../../node/store/ledger-export.ts'
import { openStore } from '../../node/store/level.ts'
import { checkMark, markName, markOf, raiseMark, readMark } from '../../node/store/mark.ts'
import { assert, suite } from '../harness.ts'
import type { Context } from '../harness.ts'
import { listen } from './sponsor.ts'

const t = suite('recover')
const site = 'site-a.example'

async function founded(ctx: Context): Promise<string> {
  const directory = join(ctx.tmp(), 'data')
  await init({ directory, site, listen, found: 'testers' })
  return directory
}

async function read<T>(
  directory: string, ask: (view: ReturnType<typeof draft<CoreTables>>) => T,
): Promise<T> {
  const store = await openStore(join(directory, 'db'))
  try {
    const view = draft<CoreTables>(await store.loadAll())
    await checkMark(join(directory, markName), store, view.get('ledgerHead', 'head'))
    return ask(view)
  } finally {
    await store.close()
  }
}

async function mark(directory: string): Promise<void> {
  await read(directory, (view) => raiseMark(join(directory, markName), markOf(openHead(view))))
}

t('begins a new epoch with new keys, the mark on it, and can be run again', async (ctx) => {
  const directory = await founded(ctx)
  await mark(directory)
  const before = await read(directory, (view) => view.get('ledgerMembers', site)!.keys)
  const done = await recover({ directory })
  assert.equal([done.epoch, done.entries, done.jobsEnded], [2, 2, 0])
  const ring = join(directory, 'keys', 'e2')
  assert.equal(done.keys, ring)
  for (const name of ['statement.key', 'log.key', 'witness.key', 'renewal']) {
    assert.equal(statSync(join(ring, name)).mode & 0o777, 0o600, name)
  }
  const named = await read(directory, (view) => view.get('ledgerMembers', site)!)
  assert.equal(named.epoch, 2)
  assert.equal(named.keys.network, before.network)
  for (const use of ['statement', 'log', 'witness'] as const) {
    assert.ok(named.keys[use] !== before[use], use)
    assert.equal(toHex(readNamedKeys(directory, named.keys)[use].publicKey), named.keys[use])
  }
  assert.match(readMark(join(directory, markName))?.origin ?? '', /\/e2$/)
  assert.equal((await recover({ directory })).epoch, 3)
  const renewals = await read(directory, (view) => view.get('members', site)!.renewals)
  assert.equal(renewals, readRings(directory).map(({ note }) => note))
})

t('an older database takes in the epochs opened since, and signs none twice', async (ctx) => {
  const directory = await founded(ctx)
  const db = join(directory, 'db')
  cpSync(db, `${db}.old`, { recursive: true })
  await recover({ directory })
  const second = readFileSync(join(directory, 'keys', 'e2', 'renewal'), 'utf8')
  rmSync(db, { recursive: true })
  renameSync(`${db}.old`, db)
  await assert.rejects(
    read(directory, () => 0), /was restored from a backup[^]*gridnode ledger recover/)
  assert.equal((await recover({ directory })).epoch, 3)
  assert.equal(readFileSync(join(directory, 'keys', 'e2', 'renewal'), 'utf8'), second)
  const third = parseStatement(readFileSync(join(directory, 'keys', 'e3', 'renewal'), 'utf8'))
  const said = assert.accepted(third).statement
  assert.ok(said.kind === 'genesis')
  assert.equal(said.previous, assert.accepted(parseStatement(second)).sid)
})

t('keys that an interrupted run has made are used, a note it has signed is kept', async (ctx) => {
  const directory = await founded(ctx)
  await recover({ directory })
  const ring = join(directory, 'keys', 'e3')
  const copy = `${directory}.copy`
  cpSync(directory, copy, { recursive: true })
  await recover({ directory })
  // Interrupted before the note: the keys are there.
  cpSync(ring, join(copy, 'keys', 'e3'), { recursive: true })
  rmSync(join(copy, 'keys', 'e3', 'renewal'))
  assert.equal((await recover({ directory: copy })).epoch, 3)
  const of = (at: string) => toHex(readKey(join(at, 'keys', 'e3', 'log.key')).publicKey)
  assert.equal(of(copy), of(directory))
})

t('interrupted behind the note, the next run goes on behind it', async (ctx) => {
  const directory = await founded(ctx)
  const copy = `${directory}.copy`
  cpSync(directory, copy, { recursive: true })
  await recover({ directory })
  cpSync(join(directory, 'keys', 'e2'), join(copy, 'keys', 'e2'), { recursive: true })
  assert.equal((await recover({ directory: copy })).epoch, 3)
})

t('a ledger that does not know the newest keys is older than they are', async (ctx) => {
  const directory = await founded(ctx)
  const first = await read(directory, (view) => view.get('ledgerMembers', site)!)
  demandNewestKeys(directory, first)
  await rotate({ directory })
  const second = await read(directory, (view) => view.get('ledgerMembers', site)!)
  demandNewestKeys(directory, second)
  assert.throws(() => demandNewestKeys(directory, first), /gridnode ledger recover/)
  await recover({ directory })
  assert.throws(() => demandNewestKeys(directory, second), /the database does not know it/)
})

t('needs the root key, a stopped node and a database', async (ctx) => {
  const directory = await founded(ctx)
  const lock = acquireLock(directory)
  await assert.rejects(recover({ directory }), /a node runs on/)
  lock.release()
  const root = keyPath(directory, 'root')
  renameSync(root, `${root}.away`)
  await assert.rejects(recover({ directory }), /root\.key cannot be used: there is no such file/)
  renameSync(`${root}.away`, root)
  await assert.rejects(recover({ directory, from: directory }), /move it away first/)
  renameSync(join(directory, 'db'), join(directory, 'db.away'))
  await assert.rejects(recover({ directory }), /recover --from DIR/)
  await assert.rejects(recover({ directory, from: directory }), /cannot read .*checkpoint/)
  assert.ok(!existsSync(join(directory, 'db')), 'nothing was begun')
})

t('a lost database is built again from an export', async (ctx) => {
  const directory = await founded(ctx)
  await recover({ directory })
  const exported = join(directory, 'exported')
  const store = await openStore(join(directory, 'db'))
  const log = await (async () => {
    const view = draft<CoreTables>(await store.loadAll())
    return readNamedKeys(directory, view.get('ledgerMembers', site)!.keys).log
  })()
  await exportLedger(store, log, exported)
  await store.close()
  rmSync(join(directory, 'db'), { recursive: true })
  const entries = join(exported, 'tile', 'entries')
  const damaged = `${exported}.damaged`
  cpSync(exported, damaged, { recursive: true })
  const bundle = join(damaged, 'tile', 'entries', '000.p', '3')
  const bytes = readFileSync(bundle)
  bytes[bytes.length - 20]! ^= 1
  writeFileSync(bundle, bytes)
  await assert.rejects(recover({ directory, from: damaged }), /not those of its checkpoint/)
  assert.ok(existsSync(entries))
  const done = await recover({ directory, from: exported })
  assert.equal([done.epoch, done.from?.taken, done.from?.site], [3, 3, site])
  const head = await read(directory, (view) => openHead(view))
  assert.equal([head.epoch, head.frontier.size], [3, 4])
})

t('rotate replaces two keys within the epoch, once for each run', async (ctx) => {
  const directory = await founded(ctx)
  const first = await read(directory, (view) => view.get('ledgerMembers', site)!.keys)
  assert.equal((await rotate({ directory })).keys, join(directory, 'keys', 'e1.1'))
  const second = await read(directory, (view) => view.get('ledgerMembers', site)!)
  assert.equal([second.epoch, second.keys.log], [1, first.log])
  assert.ok(second.keys.statement !== first.statement && second.keys.witness !== first.witness)
  assert.equal(toHex(readNamedKeys(directory, second.keys).statement.publicKey),
    second.keys.statement)
  // The stolen keys may be removed.
  rmSync(keyPath(directory, 'statement'))
  rmSync(keyPath(directory, 'witness'))
  assert.ok(readNamedKeys(directory, second.keys))
  assert.equal((await rotate({ directory })).keys, join(directory, 'keys', 'e1.2'))
  assert.equal((await recover({ directory })).epoch, 2)
  assert.equal((await rotate({ directory })).keys, join(directory, 'keys', 'e2.1'))
})

t('a rotation that was interrupted behind its note is finished by the next', async (ctx) => {
  const directory = await founded(ctx)
  const copy = `${directory}.copy`
  cpSync(directory, copy, { recursive: true })
  await rotate({ directory })
  cpSync(join(directory, 'keys', 'e1.1'), join(copy, 'keys', 'e1.1'), { recursive: true })
  assert.equal((await rotate({ directory: copy })).keys, join(copy, 'keys', 'e1.1'))
  const of = (at: string) => read(at, (view) => view.get('ledgerMembers', site)!.keys)
  assert.equal(await of(copy), await of(directory))
})

t('a change of keys that the database has lost counts again in the epoch after', async (ctx) => {
  const directory = await founded(ctx)
  const db = join(directory, 'db')
  cpSync(db, `${db}.old`, { recursive: true })
  await rotate({ directory })
  await rotate({ directory })
  rmSync(db, { recursive: true })
  renameSync(`${db}.old`, db)
  // The first change, too, is lost with its note: the second stands behind a gap.
  rmSync(join(directory, 'keys', 'e1.1', 'renewal'))
  await recover({ directory })
  const member = await read(directory, (view) => view.get('ledgerMembers', site)!)
  assert.equal(member.epoch, 2)
  assert.equal(member.retired.map(({ epoch, endedBy }) => [epoch, endedBy]), [[1, 3], [1, 0]])
})
