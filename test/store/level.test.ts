// The store on a real directory: what was committed is there, as a whole, after a restart; damage
// is found and never becomes other data.

import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { spawnSync } from 'node:child_process'
import { assert, suite } from '../harness.ts'
import { applyWrites } from '../../protocol/base/tables.ts'
import type { Tables, Write } from '../../protocol/base/tables.ts'
import { isStored, namespaceOf, storedTables } from '../../node/store/keyspace.ts'
import { openStore } from '../../node/store/level.ts'
import { StoreError, storeError } from '../../node/store/store-error.ts'
import { volatileTables } from '../../protocol/machine/state.ts'

const t = suite('store')
const cold = new Set(['ledgerEntries', 'ledgerNodes', 'ledgerSids'])

function put(table: string, key: string, value: unknown): Write {
  return { table, key, value }
}

t('commits are there after a restart; cold tables stay on the disk', async (ctx) => {
  const directory = join(ctx.tmp(), 'store')
  const first = await openStore(directory)
  await first.commit([
    put('jobs', 'a', { spent: 12n, peaks: [Uint8Array.of(1, 2)], name: 'straße' }),
    put('jobs', 'b', 'gone soon'),
    put('timers', 'x/é', 5),
    put('ledgerEntries', '000000000000', 'leaf 0'),
  ])
  await first.commit([put('jobs', 'b', undefined), put('counters', 'volatile', 1)])
  await first.close()
  const second = await openStore(directory)
  ctx.after(() => second.close())
  const tables = await second.loadAll()
  assert.equal(tables, new Map<string, Map<string, unknown>>([
    ['jobs', new Map([['a', { spent: 12n, peaks: [Uint8Array.of(1, 2)], name: 'straße' }]])],
    ['timers', new Map([['x/é', 5]])],
  ]))
  assert.equal(await second.get('ledgerEntries', '000000000000'), 'leaf 0')
  assert.equal(await second.get('ledgerEntries', '000000000001'), undefined)
})

t('a range gives the keys from one up to another, in byte order', async (ctx) => {
  const store = await openStore(join(ctx.tmp(), 'store'))
  ctx.after(() => store.close())
  await store.commit(['c', 'a', 'b', 'd'].map((key) => put('ledgerEntries', key, `leaf ${key}`)))
  await store.commit([put('ledgerNodes', 'b', 'other table')])
  const found: unknown[] = []
  for await (const record of store.range('ledgerEntries', 'b', 'd')) found.push(record)
  assert.equal(found, [['b', 'leaf b'], ['c', 'leaf c']])
})

t('commits called together happen in order', async (ctx) => {
  const store = await openStore(join(ctx.tmp(), 'store'))
  ctx.after(() => store.close())
  const all = Array.from({ length: 50 }, (_, at) => store.commit([put('timers', 'k', at)]))
  await Promise.all(all)
  assert.equal(await store.get('timers', 'k'), 49)
})

t('a second opener is told that the directory is in use', async (ctx) => {
  const directory = join(ctx.tmp(), 'store')
  const store = await openStore(directory)
  ctx.after(() => store.close())
  const error = await failureOf(openStore(directory))
  assert.equal(error.code, 'LOCKED')
  assert.match(error.message, /another gridnode has it open/)
})

t('a directory that cannot be made is reported with its path', async (ctx) => {
  const file = join(ctx.tmp(), 'file')
  writeFileSync(file, '')
  const error = await failureOf(openStore(join(file, 'store')))
  assert.equal(error.code, 'STORE_FAILED')
  assert.match(error.message, /opening the database .*file\/store: ENOTDIR/)
})

t('the messages of a full disk and of damage get their codes', () => {
  const full = new Error('IO error: /d/000005.log: No space left on device')
  assert.equal(storeError(full, 'writing').code, 'DISK_FULL')
  const quota = Object.assign(new Error('x'), { code: 'EDQUOT' })
  assert.equal(storeError(new Error('outer', { cause: quota }), 'writing').code, 'DISK_FULL')
  assert.equal(storeError(new Error('Corruption: bad block'), 'reading').code, 'CORRUPT')
})

t('a full disk fails the commit, and what was there before is still there', async (ctx) => {
  const mount = join(ctx.tmp(), 'small')
  mkdirSync(mount)
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', mount])
  if (mounted.status !== 0) ctx.skip('no right to mount a small file system')
  ctx.after(() => spawnSync('umount', [mount]))
  const directory = join(mount, 'store')
  const store = await openStore(directory)
  await store.commit([put('timers', 'kept', 1)])
  const block = 'x'.repeat(1_000_000)
  const filling = async () => {
    for (let at = 0; at < 10; at++) {
      await store.commit([put('ledgerEntries', `k${at}`, randomised(block, at))])
    }
  }
  const error = await failureOf(filling())
  assert.equal(error.code, 'DISK_FULL')
  assert.equal((await failureOf(store.commit([put('timers', 'after', 1)]))).code, 'DISK_FULL')
  await store.close()
})

t('a foreign or a newer database is not touched', async (ctx) => {
  const { Level } = await import('level')
  const directory = join(ctx.tmp(), 'store')
  const foreign = new Level(directory)
  await foreign.put('000:zzz', 'something')
  await foreign.close()
  assert.equal((await failureOf(openStore(directory))).code, 'CORRUPT')
})

for (const where of ['write-ahead log', 'sorted tables']) {
  t(`a flipped byte in the ${where} is found, or only the newest are missing`, async (ctx) => {
    const folder = ctx.tmp()
    const source = join(folder, 'source')
    const states = await writeHistory(source)
    // The next opening turns the write-ahead log into sorted tables.
    if (where === 'sorted tables') await (await openStore(source)).close()
    await flipAll(folder, source, states)
  }, { timeoutSeconds: 120 })
}

async function flipAll(folder: string, source: string, states: readonly Tables[]): Promise<void> {
  let found = 0
  for (const name of readdirSync(source)) {
    if (name === 'LOCK' || name === 'LOG') continue
    const bytes = readFileSync(join(source, name))
    const stride = Math.max(1, Math.ceil(bytes.length / 60))
    for (let at = 0; at < bytes.length; at += stride) {
      const copy = join(folder, `${name}-${at}`)
      cpSync(source, copy, { recursive: true })
      const damaged = Buffer.from(bytes)
      damaged[at] = (damaged[at] as number) ^ 0x40
      writeFileSync(join(copy, name), damaged)
      const loaded = await load(copy)
      if (loaded instanceof StoreError) found += 1
      else if (!states.some((state) => same(state, loaded))) {
        assert.ok(false, `byte ${at} of ${name} turned into other data`)
      }
    }
  }
  assert.ok(found > 20, `flips were found as damage (${found})`)
}

t('every stored table has one number of its own', () => {
  const numbers = storedTables.map(namespaceOf)
  assert.equal(new Set(numbers).size, numbers.length)
  for (const table of volatileTables) assert.ok(!isStored(table))
  assert.ok(!storedTables.some((table) => volatileTables.has(table)))
  assert.throws(() => namespaceOf('unheard'), /has a number in the keyspace/)
})

/** Ten commits of some size; the state after each. */
async function writeHistory(directory: string): Promise<Tables[]> {
  const store = await openStore(directory)
  const tables: Tables = new Map()
  const states = [copyOf(tables)]
  for (let at = 0; at < 10; at++) {
    const writes = [
      put('jobs', `job-${at % 3}`, { at, text: randomised('y'.repeat(3_000), at) }),
      put('timers', `timer-${at}`, at),
      put('timers', `timer-${at - 2}`, undefined),
    ]
    await store.commit(writes)
    applyWrites(tables, writes, cold)
    states.push(copyOf(tables))
  }
  await store.close()
  assert.ok(existsSync(join(directory, 'CURRENT')))
  return states
}

async function load(directory: string): Promise<Tables | StoreError> {
  try {
    const store = await openStore(directory)
    try {
      return await store.loadAll()
    } finally {
      await store.close()
    }
  } catch (error) {
    if (error instanceof StoreError) return error
    throw error
  }
}

async function failureOf(work: Promise<unknown>): Promise<StoreError> {
  try {
    await work
  } catch (error) {
    if (error instanceof StoreError) return error
    throw error
  }
  throw new Error('expected a failure')
}

function copyOf(tables: Tables): Tables {
  return new Map([...tables].map(([table, records]) => [table, new Map(records)]))
}

function byFirst(left: readonly [string, unknown], right: readonly [string, unknown]): number {
  return left[0] < right[0] ? -1 : left[0] > right[0] ? 1 : 0
}

function same(left: Tables, right: Tables): boolean {
  const flat = (tables: Tables) => JSON.stringify([...tables]
    .map(([table, records]) => [table, [...records].toSorted(byFirst)] as const)
    .filter(([, records]) => records.length > 0)
    .toSorted(byFirst))
  return flat(left) === flat(right)
}

/** Text of the same length that does not compress away. */
function randomised(text: string, seed: number): string {
  let state = seed + 1
  return text.replace(/./g, () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return String.fromCharCode(33 + (state >> 16) % 90)
  })
}
