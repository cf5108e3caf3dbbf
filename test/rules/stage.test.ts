// Manifests: one text a tree, and every hostile text refused with its reason.

import { sha256Hex } from '../../protocol/base/crypto.ts'
import { encode } from '../../protocol/base/encoding.ts'
import type { Value } from '../../protocol/base/encoding.ts'
import type { Hash } from '../../protocol/base/ids.ts'
import { limits } from '../../protocol/base/limits.ts'
import type { Outcome } from '../../protocol/base/outcome.ts'
import type { Manifest, ManifestFile, StageRefusal } from '../../protocol/rules/stage.ts'
import { chunksOf, comparePaths, describeStageRefusal } from '../../protocol/rules/stage.ts'
import { manifestOf, packTree, pathFault, sizeOf } from '../../protocol/rules/stage.ts'
import { unpackManifest, unpackRoot } from '../../protocol/rules/stage.ts'
import { assert, suite } from '../harness.ts'

const t = suite('rules/stage')

const hashA = sha256Hex('a')
const hashB = sha256Hex('b')

function file(path: string, sizeBytes = 0, chunks: readonly Hash[] = []): ManifestFile {
  return { path, executable: 0, sizeBytes, chunks }
}

/** The manifest's document, for bending. */
function unpackDocument(document: Value): Outcome<Manifest, StageRefusal> {
  const bytes = new TextEncoder().encode(encode(document))
  return unpackManifest({ chunks: [sha256Hex(bytes)], sizeBytes: bytes.length }, bytes)
}

function documentOf(files: readonly ManifestFile[], directories: readonly string[] = []): Value {
  return {
    directories,
    files: files.map(({ path, executable, sizeBytes, chunks }) => ({
      chunks, executable, path, size_bytes: sizeBytes,
    })),
    kind: 'gridnode/v1/manifest',
  }
}

function unpackWhole(manifest: Manifest): Manifest {
  const packed = assert.accepted(packTree(manifest))
  const byHash = new Map(packed.chunks.map((chunk) => [chunk.hash, chunk.bytes]))
  const root = assert.accepted(unpackRoot(byHash.get(packed.treeHash) ?? new Uint8Array(0)))
  const pieces = root.chunks.map((hash) => byHash.get(hash) ?? new Uint8Array(0))
  return assert.accepted(unpackManifest(root, Buffer.concat(pieces)))
}

t('a tree round-trips through its chunks and has one hash [STAGE-1]', () => {
  const found = {
    files: [
      file('b/c', 5, [hashB]), file('b-c'), { ...file('a', 5, [hashB]), executable: 1 as const },
      file('ü ü/ 名 😀', limits.chunkBytes + 1, [hashA, sha256Hex('rest')]),
    ],
    directories: ['z', 'b/d'],
  }
  const manifest = assert.accepted(manifestOf(found))
  assert.equal(manifest.files.map((one) => one.path), ['a', 'b/c', 'b-c', 'ü ü/ 名 😀'])
  assert.equal(unpackWhole(manifest), manifest)
  const reversed = assert.accepted(manifestOf({
    files: found.files.toReversed(), directories: found.directories.toReversed(),
  }))
  assert.equal(
    assert.accepted(packTree(reversed)).treeHash, assert.accepted(packTree(manifest)).treeHash)
  assert.equal(chunksOf(manifest), new Map([
    [hashB, 5], [hashA, limits.chunkBytes], [sha256Hex('rest'), 1],
  ]))
  assert.equal(sizeOf(manifest), 10 + limits.chunkBytes + 1)
  const empty = assert.accepted(manifestOf({ files: [], directories: [] }))
  assert.equal(unpackWhole(empty), empty)
})

t('the tree hash of a known tree stays what it is', () => {
  const files = [file('a', 1, [hashA])]
  const manifest = assert.accepted(manifestOf({ files, directories: ['d'] }))
  const packed = assert.accepted(packTree(manifest))
  const [piece, root] = packed.chunks.map((chunk) => Buffer.from(chunk.bytes).toString())
  assert.equal(piece, `{"directories":["d"],"files":[{"chunks":["${hashA}"],"executable":0,` +
    '"path":"a","size_bytes":1}],"kind":"gridnode/v1/manifest"}')
  assert.equal(root, `{"chunks":["${sha256Hex(piece ?? '')}"],"kind":"gridnode/v1/tree",` +
    `"size_bytes":${piece?.length}}`)
  assert.equal(packed.treeHash, sha256Hex(root ?? ''))
})

t('a manifest longer than a chunk travels in several pieces', () => {
  const files = Array.from({ length: 40_000 },
    (_, i) => file(`dir/${i}-${'x'.repeat(60)}`, 1, [hashA]))
  const manifest = assert.accepted(manifestOf({ files, directories: [] }))
  assert.ok(assert.accepted(packTree(manifest)).chunks.length > 2)
  assert.equal(unpackWhole(manifest).files.length, files.length)
})

t('paths that could do harm are refused, each with its fault [STAGE-3]', () => {
  const faults: [string, ReturnType<typeof pathFault>][] = [
    ['', 'empty'], ['x'.repeat(1025), 'too_long'], ['é'.repeat(600), 'too_long'],
    ['/etc/passwd', 'absolute'], ['a//b', 'empty_name'], ['a/', 'empty_name'],
    ['.', 'dot'], ['./a', 'dot'], ['a/./b', 'dot'], ['..', 'dot_dot'], ['a/../../b', 'dot_dot'],
    ['a\\b', 'backslash'], ['a\0b', 'control'], ['a\nb', 'control'], ['a\u007f', 'control'],
    ['a\u009bb', 'control'], ['x'.repeat(256), 'name_too_long'], ['é'.repeat(128), 'name_too_long'],
    ['\ud800', 'ill_formed'], ['.gridnode', 'reserved'], ['.gridnode/x', 'reserved'],
  ]
  for (const [path, fault] of faults) {
    assert.equal(pathFault(path), fault, JSON.stringify(path))
    if (fault === 'ill_formed') continue
    const refusal = assert.refused(unpackDocument(documentOf([file(path)])), 'bad_path')
    assert.equal(refusal.fault, fault)
    assert.refused(unpackDocument(documentOf([], [path])), 'bad_path')
    assert.match(describeStageRefusal(refusal), /^path "/)
  }
  for (const path of ['a', '...', '..a', 'a/.gridnode', ' ', 'a b', '-rf', '~', '*',
    'é'.repeat(127)]) {
    assert.equal(pathFault(path), undefined, path)
  }
})

t('order and repetition are refused [STAGE-4]', () => {
  assert.refused(unpackDocument(documentOf([file('b'), file('a')])), 'unsorted')
  assert.refused(unpackDocument(documentOf([file('a'), file('a')])), 'unsorted')
  assert.refused(unpackDocument(documentOf([], ['b', 'a'])), 'unsorted')
  assert.refused(unpackDocument(documentOf([file('a-b'), file('a/b')])), 'unsorted')
  assert.refused(manifestOf({ files: [file('a'), file('a')], directories: [] }), 'unsorted')
})

t('nothing lies below a file or an empty directory [STAGE-5]', () => {
  const conflicts: [string[], string[]][] = [
    [['a', 'a/b'], []], [['a', 'a/b/c'], []], [['a/b'], ['a']], [['a'], ['a/b']],
    [['a'], ['a']], [[], ['a', 'a/b']], [['a', 'a/b', 'a-'], []],
  ]
  for (const [paths, directories] of conflicts) {
    const files = paths.toSorted(comparePaths).map((path) => file(path))
    assert.refused(unpackDocument(documentOf(files, directories)), 'path_conflict')
  }
  assert.accepted(unpackDocument(documentOf([file('a'), file('a-/b'), file('a.b')], ['a ', 'b'])))
})

t('sizes and chunks agree [STAGE-6] [STAGE-7]', () => {
  const bad: ManifestFile[] = [
    file('f', 0, [hashA]), file('f', 1), file('f', limits.chunkBytes, [hashA, hashB]),
    file('f', limits.chunkBytes + 1, [hashA]), file('f', Number.MAX_SAFE_INTEGER, [hashA]),
  ]
  for (const one of bad) assert.refused(unpackDocument(documentOf([one])), 'size_mismatch')
  const twice = [file('f', 1, [hashA]), file('g', 2, [hashA])]
  assert.refused(unpackDocument(documentOf(twice)), 'chunk_conflict')
  assert.refused(
    unpackDocument(documentOf([file('f', limits.chunkBytes + 1, [hashA, hashA])])),
    'chunk_conflict')
})

t('too many entries are refused [STAGE-2]', () => {
  const files = Array.from({ length: limits.filesPerManifest }, (_, i) => file(`${i}`))
  assert.accepted(manifestOf({ files, directories: [] }))
  assert.refused(manifestOf({ files, directories: ['d'] }), 'too_many')
})

t('texts that are not exactly a manifest are refused [STAGE-1]', () => {
  const good = documentOf([file('a', 1, [hashA])]) as { [key: string]: Value }
  const bent: Value[] = [
    [], 'manifest', { ...good, extra: 1 }, { ...good, kind: 'gridnode/v2/manifest' },
    { ...good, files: {} }, { ...good, directories: [1] },
    { ...good, files: [{ chunks: [], executable: 2, path: 'a', size_bytes: 0 }] },
    { ...good, files: [{ chunks: [], executable: 0, path: 'a', size_bytes: -1 }] },
    { ...good, files: [{ chunks: ['A'.repeat(64)], executable: 0, path: 'a', size_bytes: 1 }] },
    { ...good, files: [{ chunks: [], executable: 0, path: 'a', size_bytes: 0, mode: 4095 }] },
  ]
  for (const document of bent) assert.refused(unpackDocument(document), 'malformed')
  const bytes = new TextEncoder().encode(encode(good))
  const root = { chunks: [hashA], sizeBytes: bytes.length }
  assert.refused(unpackManifest({ ...root, sizeBytes: bytes.length + 1 }, bytes), 'malformed')
  const spaced = new TextEncoder().encode(` ${encode(good).slice(0, -1)}`)
  assert.refused(unpackManifest(root, spaced), 'malformed')
  const notText = Uint8Array.from(bytes, (byte, i) => (i === 30 ? 0xff : byte))
  assert.refused(unpackManifest(root, notText), 'malformed')
})

t('a root that does not add up is refused', () => {
  const root = (value: Value): Outcome<unknown, StageRefusal> =>
    unpackRoot(new TextEncoder().encode(encode(value)))
  const kind = 'gridnode/v1/tree'
  assert.accepted(root({ chunks: [hashA], kind, size_bytes: 1 }))
  assert.refused(root({ chunks: [hashA, hashB], kind, size_bytes: 1 }), 'size_mismatch')
  assert.refused(root({ chunks: [], kind, size_bytes: 1 }), 'size_mismatch')
  assert.refused(root({ chunks: [], kind, size_bytes: 0 }), 'malformed')
  assert.refused(root({ chunks: [hashA], kind, size_bytes: 33 * 1024 * 1024 }), 'malformed')
  assert.refused(root({ chunks: [hashA], kind: 'x', size_bytes: 1 }), 'malformed')
  assert.refused(unpackRoot(new Uint8Array(limits.chunkBytes + 1)), 'too_many')
})

t('comparePaths is a total order in which what lies below a path follows it', () => {
  const names = ['a', 'a/a', 'a/b', 'a/b/c', 'a-b', 'a b', 'aa', 'b', '!', 'ä', '😀']
  for (const left of names) {
    for (const right of names) {
      assert.equal(Math.sign(comparePaths(left, right)), -Math.sign(comparePaths(right, left)) + 0)
      assert.equal(comparePaths(left, right) === 0, left === right)
    }
  }
  assert.equal(
    names.toSorted(comparePaths),
    ['!', 'a', 'a/a', 'a/b', 'a/b/c', 'a b', 'a-b', 'aa', 'b', 'ä', '😀'])
})
