// From a user's files to a tree: what is taken, under which path, and what is refused by name.

import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SnapshotInput } from '../../node/staging/snapshot.ts'
import { snapshot } from '../../node/staging/snapshot.ts'
import { systemCode } from '../../node/staging/staging-error.ts'
import { loadTree } from '../../node/staging/stored-tree.ts'
import type { Manifest } from '../../protocol/rules/stage.ts'
import { sha256Hex } from '../../protocol/base/crypto.ts'
import { assert, suite } from '../harness.ts'
import type { Site } from './sites.ts'
import { MiB, openSite, plant, randomBytes } from './sites.ts'

const t = suite('staging/snapshot')

async function take(site: Site, base: string, inputs: readonly SnapshotInput[]): Promise<Manifest> {
  const options = { store: site.store, owner: 'job', base, inputs, bytesMax: 64 * MiB }
  const { manifest, treeHash } = await snapshot(options)
  assert.equal((await loadTree(site.store, treeHash)).manifest, manifest)
  return manifest
}

function paths(manifest: Manifest): string[] {
  return manifest.files.map((file) => file.path)
}

t('files and directories keep their place below the base', async (ctx) => {
  const [site, base, elsewhere] = [await openSite(ctx), ctx.tmp(), ctx.tmp()]
  plant(base,
    { 'data/a b': '1', 'data/ü 名': '2', 'data/deep/none': null, 'run.sh': '#!', other: '' })
  plant(elsewhere, { 'lib/x': 'x' })
  chmodSync(join(base, 'run.sh'), 0o755)
  const manifest = await take(site, base, [
    { from: 'data' }, { from: './run.sh' }, { from: join(elsewhere, 'lib') },
    { from: 'other', to: 'put/here' }, { from: 'data/a b' },
  ])
  assert.equal(paths(manifest), ['data/a b', 'data/ü 名', 'lib/x', 'put/here', 'run.sh'])
  assert.equal(manifest.directories, ['data/deep/none'])
  assert.equal(manifest.files.filter((file) => file.executable === 1).map((file) => file.path),
    ['run.sh'])
  assert.equal((await take(site, base, [])).files, [])
  assert.equal(paths(await take(site, base, [{ from: 'data', to: '' }])), ['a b', 'ü 名'])
})

t('links inside are taken as their content', async (ctx) => {
  const [site, base] = [await openSite(ctx), ctx.tmp()]
  plant(base, { 'd/real/f': 'content', 'd/sub/x': 'x' })
  symlinkSync('../real/f', join(base, 'd/sub/relative'))
  symlinkSync(join(base, 'd/real'), join(base, 'd/absolute'))
  symlinkSync('d', join(base, 'named'))
  const manifest = await take(site, base, [{ from: 'named' }])
  const names = ['absolute/f', 'real/f', 'sub/relative', 'sub/x']
  assert.equal(paths(manifest), names.map((name) => `named/${name}`))
  assert.equal(manifest.files.filter((file) => file.chunks[0] === sha256Hex('content')).length, 3)
})

t('everything that cannot go along is named at once', async (ctx) => {
  const [site, base] = [await openSite(ctx), ctx.tmp()]
  plant(base, { 'd/good': '', 'out/secret': 'secret', 'd/new\nline': '', 'd/sub/x': '' })
  symlinkSync('../out/secret', join(base, 'd/leaves'))
  symlinkSync('/etc', join(base, 'd/etc'))
  symlinkSync('nowhere', join(base, 'd/dangling'))
  symlinkSync('..', join(base, 'd/sub/loop'))
  execFileSync('mkfifo', [join(base, 'd/fifo')])
  mkdirSync(join(base, 'd/odd'))
  writeFileSync(Buffer.concat([Buffer.from(`${base}/d/odd/`), Buffer.from([0x66, 0xff])]), '')
  const error = await assert.rejects(
    take(site, base, [{ from: 'd' }, { from: 'absent' }, { from: 'd/good', to: '../x' }]),
    /cannot stage in/)
  assert.equal(systemCode(error), 'PATH_REFUSED')
  for (const text of [
    '"d/leaves" is a symbolic link that leaves', `(to "${base}/out/secret")`,
    '"d/etc" is a symbolic link', '"d/dangling" leads nowhere',
    '"d/sub/loop" is a link to a directory above it', '"d/fifo" is a fifo',
    '"d/new\\nline" has a control character', '"d/odd/f\ufffd" has a name that is not UTF-8',
    '"absent" does not exist', '"../x" has a \'..\' component',
  ]) assert.match(error.message, text)
  assert.equal(await site.store.owners(), [])
})

t('one path with two contents, a file below a file, a reserved name: refused', async (ctx) => {
  const [site, base] = [await openSite(ctx), ctx.tmp()]
  plant(base, { a: '1', b: '2', '.gridnode/x': '' })
  const refused = (inputs: SnapshotInput[], pattern: RegExp): Promise<Error> =>
    assert.rejects(take(site, base, inputs), pattern)
  await refused([{ from: 'a', to: 'f' }, { from: 'b', to: 'f' }], /"f" is given twice/)
  await refused([{ from: 'a', to: 'f' }, { from: 'b', to: 'f/g' }], /"f\/g" meets "f"/)
  await refused([{ from: '.' }], /"\.gridnode" starts with '\.gridnode'/)
  await refused([{ from: '.gridnode/x' }], /belongs to gridnode/)
  await refused([{ from: '/dev/null' }], /is neither a file nor a directory/)
})

t('more bytes than allowed are refused before they are stored', async (ctx) => {
  const [site, base] = [await openSite(ctx), ctx.tmp()]
  plant(base, { a: randomBytes(2 * MiB), b: randomBytes(2 * MiB) })
  const inputs = [{ from: '.' }]
  const options = { store: site.store, owner: 'job', base, inputs, bytesMax: 3 * MiB }
  const error = await assert.rejects(snapshot(options), /more than 3 MiB/)
  assert.equal(systemCode(error), 'TREE_TOO_LARGE')
  assert.ok(site.store.usage().bytes <= 2 * MiB)
})

t('progress counts files and bytes', async (ctx) => {
  const [site, base] = [await openSite(ctx), ctx.tmp()]
  plant(base, { a: '12345', b: '123' })
  const seen: unknown[] = []
  await snapshot({
    store: site.store, owner: 'job', base, inputs: [{ from: 'a' }, { from: 'b' }], bytesMax: MiB,
    onProgress: (progress) => seen.push(progress),
  })
  assert.equal(seen, [{ files: 1, bytesDone: 5 }, { files: 2, bytesDone: 8 }])
})
