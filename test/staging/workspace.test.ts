// Job directories: placing, collecting, peeking and removing, with hostile jobs in between.

import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, linkSync, lstatSync, mkdirSync, readdirSync } from 'node:fs'
import { readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Collected } from '../../node/staging/collect.ts'
import { snapshot } from '../../node/staging/snapshot.ts'
import { systemCode } from '../../node/staging/staging-error.ts'
import { openWorkspace } from '../../node/staging/workspace.ts'
import { chunksOf } from '../../protocol/rules/stage.ts'
import type { Manifest } from '../../protocol/rules/stage.ts'
import { parseOutputPatterns } from '../../protocol/rules/stage-outputs.ts'
import { assert, suite } from '../harness.ts'
import type { Context } from '../harness.ts'
import type { Site } from './sites.ts'
import { MiB, openSite, plant, randomBytes, tranche } from './sites.ts'

const t = suite('staging/workspace')

async function manifestOf(
  ctx: Context, site: Site, files: Readonly<Record<string, string | Uint8Array | null>>,
): Promise<Manifest> {
  const base = ctx.tmp()
  plant(base, files)
  const scripts = Object.keys(files).filter((path) => path.endsWith('.sh'))
  for (const path of scripts) chmodSync(join(base, path), 0o755)
  const inputs = [{ from: '.' }]
  const options = { store: site.store, owner: 'job', base, inputs, bytesMax: 1024 * MiB }
  return (await snapshot(options)).manifest
}

function collect(site: Site, directory: string, ...patterns: string[]): Promise<Collected> {
  const parsed = assert.accepted(parseOutputPatterns(patterns))
  return site.workspace.collect(directory, parsed, { owner: 'out', bytesMax: 64 * MiB })
}

function filesOf(collected: Collected): string[] {
  return collected.manifest.files.map((file) => file.path)
}

t('places a tree and collects it again as the same manifest', async (ctx) => {
  const site = await openSite(ctx)
  const big = randomBytes(13 * MiB + 7)
  const manifest = await manifestOf(ctx, site, {
    'a b/ü 名 😀': 'text', 'run.sh': '#!/bin/sh', empty: '', 'none/at/all': null, 'big/file': big,
  })
  const directory = site.workspace.directory(tranche, 7)
  assert.equal(directory, join(site.directory, 'jobs', tranche, '7'))
  await site.workspace.place(manifest, directory)
  assert.ok(statSync(join(directory, '.gridnode')).isDirectory())
  assert.equal(statSync(join(directory, 'run.sh')).mode & 0o100, 0o100)
  assert.equal(statSync(join(directory, 'empty')).mode & 0o111, 0)
  assert.ok(readFileSync(join(directory, 'big/file')).equals(big))
  const collected = await collect(site, directory, '**')
  assert.equal(collected.manifest, manifest)
  assert.equal([collected.missing, collected.problems], [[], []])
  await site.workspace.place(manifest, directory)
  assert.equal((await collect(site, directory, '**')).treeHash, collected.treeHash)
})

t('a second placing goes through nothing that a job has planted', async (ctx) => {
  const site = await openSite(ctx)
  const outside = ctx.tmp()
  plant(outside, { victim: 'untouched', 'dir/file': 'untouched', linked: 'untouched' })
  const manifest = await manifestOf(ctx, site, { 'in/f': 'new', top: 'new', hard: 'new' })
  const directory = site.workspace.directory(tranche, 0)
  await site.workspace.place(manifest, directory)
  rmSync(join(directory, 'top'))
  symlinkSync(join(outside, 'victim'), join(directory, 'top'))
  rmSync(join(directory, 'hard'))
  linkSync(join(outside, 'linked'), join(directory, 'hard'))
  await site.workspace.place(manifest, directory)
  assert.ok(lstatSync(join(directory, 'top')).isFile())
  assert.equal(readFileSync(join(directory, 'hard'), 'utf8'), 'new')
  rmSync(join(directory, 'in'), { recursive: true })
  renameSync(join(outside, 'dir/file'), join(outside, 'dir/f'))
  symlinkSync(join(outside, 'dir'), join(directory, 'in'))
  const refused = async (pattern: RegExp): Promise<void> => {
    const error = await assert.rejects(site.workspace.place(manifest, directory), pattern)
    assert.equal(systemCode(error), 'PLACE_REFUSED')
  }
  await refused(/cannot place "in" in .*: a link or a file stands where a directory goes/)
  rmSync(join(directory, 'in'))
  mkdirSync(join(directory, 'in/f'), { recursive: true })
  await refused(/"in\/f" .*: a directory stands where a file goes/)
  rmSync(join(directory, '.gridnode'), { recursive: true })
  symlinkSync(outside, join(directory, '.gridnode'))
  await refused(/cannot place "\.gridnode"/)
  for (const path of ['victim', 'dir/f', 'linked']) {
    assert.equal(readFileSync(join(outside, path), 'utf8'), 'untouched')
  }
  assert.equal(readdirSync(outside).toSorted(), ['dir', 'linked', 'victim'])
})

t('a missing or corrupt chunk fails the placing and leaves no fresh directory', async (ctx) => {
  const site = await openSite(ctx)
  const manifest = await manifestOf(ctx, site, { a: 'first', b: randomBytes(5 * MiB) })
  const hash = manifest.files[1]?.chunks[1]
  assert.ok(hash)
  const path = join(site.directory, 'chunks', hash.slice(0, 2), hash)
  writeFileSync(path, readFileSync(path).fill(7, 0, 1))
  const directory = site.workspace.directory(tranche, 0)
  const error = await assert.rejects(site.workspace.place(manifest, directory),
    /fetch the tree again/)
  assert.equal(systemCode(error), 'CHUNK_MISSING')
  assert.equal(existsSync(join(site.directory, 'jobs', tranche)), false)
  assert.equal([...(await site.store.missing(chunksOf(manifest))).keys()], [hash])
})

t('no room on the disk is told before anything is written', async (ctx) => {
  const site = await openSite(ctx)
  const spool = ctx.tmp()
  const manifest = await manifestOf(ctx, site, { a: 'a' })
  const full = await openWorkspace({ spool, store: site.store,
    freeBytesMin: Number.MAX_SAFE_INTEGER })
  ctx.after(() => full.close())
  const error = await assert.rejects(full.place(manifest, full.directory(tranche, 0)),
    /is full: 1 B more/)
  assert.equal(systemCode(error), 'SPOOL_FULL')
  assert.equal(readdirSync(spool), [])
})

t('collects what the patterns take and names what took nothing', async (ctx) => {
  const site = await openSite(ctx)
  const directory = site.workspace.directory(tranche, 0)
  await site.workspace.place(await manifestOf(ctx, site, {}), directory)
  plant(directory, {
    'out/a.txt': 'a', 'out/b.png': 'b', 'out/deep/c.txt': 'c', 'logs/x': null, '.hidden': 'h',
    '.gridnode/stdout': 'out',
  })
  const some = await collect(site, directory, 'out/**/*.txt', 'logs/', 'absent', 'out/a.txt',
    '*.none')
  assert.equal(filesOf(some), ['out/a.txt', 'out/deep/c.txt'])
  assert.equal(some.manifest.directories, ['logs/x'])
  assert.equal(some.missing, ['absent', '*.none'])
  assert.equal(filesOf(await collect(site, directory, '**')),
    ['.hidden', 'out/a.txt', 'out/b.png', 'out/deep/c.txt'])
  assert.equal(await collect(site, directory).then(filesOf), [])
})

t('a hostile job gets nothing from outside collected', async (ctx) => {
  const site = await openSite(ctx)
  const outside = ctx.tmp()
  plant(outside, { secret: 'secret' })
  const directory = site.workspace.directory(tranche, 0)
  await site.workspace.place(await manifestOf(ctx, site, { 'real/f': 'fine' }), directory)
  const link = (to: string, name: string): void => symlinkSync(to, join(directory, name))
  link('real/f', 'inside')
  link('real', 'inside-dir')
  link(join(outside, 'secret'), 'absolute')
  link('../../../../../../../../etc/passwd', 'relative')
  link(outside, 'dir')
  link('/proc/self/environ', 'environ')
  link('/proc/self/fd/0', 'fd')
  link('/dev/zero', 'zero')
  link('dangling', 'dangling')
  link('.', 'loop')
  link(`../../${tranche}x`, 'sibling')
  plant(join(site.directory, 'jobs'), { [`${tranche}x`]: 'other job' })
  execFileSync('mkfifo', [join(directory, 'fifo')])
  writeFileSync(join(directory, 'new\nline'), '')
  const collected = await collect(site, directory, '**')
  assert.equal(filesOf(collected), ['inside', 'inside-dir/f', 'real/f'])
  const problems = new Map(collected.problems.map(({ path, problem }) => [path, problem]))
  for (const name of ['absolute', 'relative', 'dir', 'environ', 'fd', 'zero', 'sibling']) {
    assert.match(problems.get(name) ?? '', /symbolic link that leaves|leads nowhere/, name)
  }
  assert.match(problems.get('fifo') ?? '', 'is a fifo')
  assert.match(problems.get('dangling') ?? '', 'leads nowhere')
  assert.match(problems.get('loop') ?? '', 'a loop')
  assert.match(problems.get('new\nline') ?? '', 'control character')
  const one = await collect(site, directory, 'absolute')
  assert.equal([filesOf(one), one.missing], [[], ['absolute']])
})

t('outputs are bounded in bytes, also when they only pretend', async (ctx) => {
  const site = await openSite(ctx)
  const directory = site.workspace.directory(tranche, 0)
  await site.workspace.place(await manifestOf(ctx, site, {}), directory)
  execFileSync('truncate', ['-s', '1T', join(directory, 'sparse')])
  const error = await assert.rejects(collect(site, directory, '**'), /more than 64 MiB/)
  assert.equal(systemCode(error), 'TREE_TOO_LARGE')
})

t('peeks at the output as it grows, and at nothing else', async (ctx) => {
  const site = await openSite(ctx)
  const directory = site.workspace.directory(tranche, 0)
  await site.workspace.place(await manifestOf(ctx, site, {}), directory)
  const peek = (offset: number, bytesMax = 100): ReturnType<typeof site.workspace.peek> =>
    site.workspace.peek(directory, 'stdout', { offset, bytesMax })
  assert.equal((await peek(0)).sizeBytes, 0)
  plant(directory, { '.gridnode/stdout': 'hello world' })
  const first = await peek(0, 5)
  assert.equal([Buffer.from(first.bytes).toString(), first.offset, first.sizeBytes],
    ['hello', 5, 11])
  assert.equal(Buffer.from((await peek(5)).bytes).toString(), ' world')
  assert.equal((await peek(11)).bytes.length, 0)
  assert.equal((await peek(500)).bytes.length, 0)
  rmSync(join(directory, '.gridnode/stdout'))
  symlinkSync('/etc/passwd', join(directory, '.gridnode/stdout'))
  await assert.rejects(peek(0), /no longer the file/)
  rmSync(join(directory, '.gridnode/stdout'))
  execFileSync('mkfifo', [join(directory, '.gridnode/stdout')])
  await assert.rejects(peek(0), /no longer the file/)
  rmSync(join(directory, '.gridnode'), { recursive: true })
  symlinkSync('/etc', join(directory, '.gridnode'))
  await assert.rejects(peek(0), /no longer the file/)
})

t('removes whatever a job has built, and only that', async (ctx) => {
  const site = await openSite(ctx)
  const outside = ctx.tmp()
  plant(outside, { 'keep/me': 'kept' })
  const directory = site.workspace.directory(tranche, 0)
  const other = site.workspace.directory(tranche, 1)
  await site.workspace.place(await manifestOf(ctx, site, { 'a/b': 'x' }), directory)
  await site.workspace.place(await manifestOf(ctx, site, { 'a/b': 'x' }), other)
  symlinkSync(outside, join(directory, 'link'))
  plant(directory, { 'ro/deep/file': '', 'locked/file': '' })
  writeFileSync(Buffer.concat([Buffer.from(`${directory}/`), Buffer.from([0xff, 0xfe, 10])]), '')
  execFileSync('mkfifo', [join(directory, 'fifo')])
  chmodSync(join(directory, 'ro/deep'), 0o555)
  chmodSync(join(directory, 'ro'), 0o500)
  chmodSync(join(directory, 'locked'), 0)
  // Deeper than any path can say: the shell goes down a name at a time.
  const name = 'n'.repeat(100)
  const down = `mkdir ${name}; cd -P ${name}; i=$((i+1))`
  execFileSync('sh', ['-c', `i=0; while [ $i -lt 120 ]; do ${down}; done`], { cwd: directory })
  await site.workspace.remove(directory)
  assert.equal(existsSync(directory), false)
  assert.ok(existsSync(other))
  await site.workspace.remove(directory)
  await site.workspace.remove(other)
  assert.equal(readdirSync(join(site.directory, 'jobs')), [])
  assert.equal(readFileSync(join(outside, 'keep/me'), 'utf8'), 'kept')
})

t('never removes, places or reads outside the spool', async (ctx) => {
  const site = await openSite(ctx)
  const spool = join(site.directory, 'jobs')
  const outside = ctx.tmp()
  plant(outside, { '0/keep': 'kept' })
  const paths = [
    outside, spool, join(spool, tranche), join(spool, tranche, '0', 'x'), '/', 'a/b',
    `${spool}/../chunks/ab`,
  ]
  for (const path of paths) {
    await assert.rejects(async () => site.workspace.remove(path), /is a job's directory in/)
  }
  symlinkSync(outside, join(spool, tranche))
  const planted = site.workspace.directory(tranche, 0)
  await assert.rejects(site.workspace.remove(planted), /ENOTDIR/)
  await assert.rejects(site.workspace.place({ files: [], directories: [] }, planted), /ENOTDIR/)
  await assert.rejects(collect(site, planted, '**'), /ENOTDIR/)
  assert.equal(readFileSync(join(outside, '0/keep'), 'utf8'), 'kept')
})

t('places 300 MiB in bounded memory', async (ctx) => {
  const site = await openSite(ctx)
  const base = ctx.tmp()
  plant(base, { big: randomBytes(MiB) })
  execFileSync('truncate', ['-s', '300M', join(base, 'big')])
  const inputs = [{ from: 'big' }]
  const options = { store: site.store, owner: 'job', base, inputs, bytesMax: 1024 * MiB }
  const { manifest } = await snapshot(options)
  const before = process.memoryUsage().rss
  let peak = before
  const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 5)
  ctx.after(() => clearInterval(watch))
  const directory = site.workspace.directory(tranche, 0)
  await site.workspace.place(manifest, directory)
  assert.equal(statSync(join(directory, 'big')).size, 300 * MiB)
  assert.ok(peak - before < 64 * MiB, `grew by ${Math.round((peak - before) / MiB)} MiB`)
})
