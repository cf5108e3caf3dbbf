// Key files: made once, private, and read only when nobody else can have read them.

import {
  chmodSync, chownSync, linkSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { assert, suite } from '../harness.ts'
import { keyPairFromSeed, toHex } from '../../protocol/base/crypto.ts'
import {
  keyPath, keyUses, makeKey, makeKeys, readKey, readKeys, runningKeyUses, siteKeysOf,
} from '../../node/identity.ts'

const t = suite('identity')

t('makes one key a use, each private, and reads the same back', (ctx) => {
  const directory = ctx.tmp()
  const umask = process.umask(0)
  ctx.after(() => process.umask(umask))
  const keys = makeKeys(directory)
  assert.equal(new Set(keyUses.map((use) => toHex(keys[use].publicKey))).size, 5)
  for (const use of keyUses) {
    const path = keyPath(directory, use)
    assert.equal(statSync(path).mode & 0o777, 0o600)
    assert.match(readFileSync(path, 'utf8'), /^[0-9a-f]{64}\n$/)
  }
  assert.equal(statSync(join(directory, 'keys')).mode & 0o777, 0o700)
  assert.equal(readdirSync(join(directory, 'keys')).length, 5, 'no drafts are left')
  assert.equal(readKeys(directory, keyUses), keys)
  const running = readKeys(directory, runningKeyUses)
  assert.equal(siteKeysOf(running).network, toHex(keys.network.publicKey))
})

t('has mode 0600 under any umask', (ctx) => {
  const umask = process.umask(0o777)
  ctx.after(() => process.umask(umask))
  const path = join(ctx.tmp(), 'a.key')
  makeKey(path)
  assert.equal(statSync(path).mode & 0o777, 0o600)
})

t('never overwrites', (ctx) => {
  const path = join(ctx.tmp(), 'a.key')
  const made = makeKey(path)
  assert.throws(() => makeKey(path), /already; a key is never overwritten/)
  assert.equal(readKey(path), made)
  writeFileSync(path, '')
  assert.throws(() => makeKey(path), /already/)
})

t('refuses a key that others can read or write', (ctx) => {
  const path = join(ctx.tmp(), 'a.key')
  makeKey(path)
  for (const mode of [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o777]) {
    chmodSync(path, mode)
    const error = assert.throws(() => readKey(path), /expected mode 0600, got 0\d+: others may/)
    assert.match(error.message, mode.toString(8))
  }
  chmodSync(path, 0o400)
  assert.ok(readKey(path))
})

t('refuses a key of another owner', (ctx) => {
  if (process.getuid?.() !== 0) ctx.skip('only root can give a file away')
  const path = join(ctx.tmp(), 'a.key')
  makeKey(path)
  chownSync(path, 12_345, 12_345)
  assert.throws(() => readKey(path), /expected it to belong to user 0, .* to 12345; chown 0/)
})

t('refuses what is not a key, and shows nothing of it', (ctx) => {
  const directory = ctx.tmp()
  const seed = '9f'.repeat(32)
  const bad = ['', '\n', seed, `${seed}\r\n`, `${seed.toUpperCase()}\n`, `${seed}\n\n`,
    `${seed}0\n`, `${seed.slice(2)}\n`, ` ${seed.slice(1)}\n`, 'é'.repeat(33)]
  for (const [index, text] of bad.entries()) {
    const path = join(directory, `${index}.key`)
    writeFileSync(path, text, { mode: 0o600 })
    const error = assert.throws(() => readKey(path), /expected 64 lower-case hexadecimal digits/)
    assert.notMatch(error.message, '9f9f')
  }
  const good = join(directory, 'good.key')
  writeFileSync(good, `${seed}\n`, { mode: 0o600 })
  assert.equal(readKey(good), keyPairFromSeed(new Uint8Array(32).fill(0x9f)))
  symlinkSync(good, join(directory, 'link.key'))
  assert.throws(() => readKey(join(directory, 'link.key')), /got a symbolic link/)
  linkSync(good, join(directory, 'hard.key'))
  assert.ok(readKey(join(directory, 'hard.key')))
  mkdirSync(join(directory, 'folder.key'), { mode: 0o700 })
  assert.throws(() => readKey(join(directory, 'folder.key')), /expected a file, got something else/)
  assert.throws(() => readKey(join(directory, 'none.key')), /there is no such file; restore it/)
})
