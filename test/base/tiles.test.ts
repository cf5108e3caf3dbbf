// Tiles: the paths and figures of the specification, growth compared with writing everything anew,
// and a tree rebuilt from nothing but its files.

import fc from 'fast-check'
import { sha256 } from '../../protocol/base/crypto.ts'
import {
  append, appendHash, emptyFrontier, leafHash, nodeHash, root,
} from '../../protocol/base/merkle.ts'
import type { Frontier } from '../../protocol/base/merkle.ts'
import {
  decodeBundle, decodeTile, encodeBundle, encodeTile, parseTilePath, tilePath, tilesFor, tileWidth,
} from '../../protocol/base/tiles.ts'
import type { Tile } from '../../protocol/base/tiles.ts'
import { assert, suite } from '../harness.ts'

const t = suite('tiles')

t('paths are those of the specification', () => {
  const known: readonly (readonly [Tile, string])[] = [
    [{ level: 0, index: 0, width: 256 }, 'tile/0/000'],
    [{ level: 0, index: 1_234_067, width: 256 }, 'tile/0/x001/x234/067'],
    [{ level: 2, index: 1_000, width: 1 }, 'tile/2/x001/000.p/1'],
    [{ level: 1, index: 999, width: 255 }, 'tile/1/999.p/255'],
    [{ level: 'entries', index: 273, width: 112 }, 'tile/entries/273.p/112'],
    [{ level: 'entries', index: 1_234_067, width: 256 }, 'tile/entries/x001/x234/067'],
  ]
  for (const [tile, path] of known) {
    assert.equal(tilePath(tile), path)
    assert.equal(parseTilePath(path), tile)
  }
})

t('a path has one spelling', () => {
  const wrong = [
    '', 'tile', 'tile/0', 'tile/0/', 'tile/0/1', 'tile/0/0001', 'tile/0/x001', 'tile/0/001/002',
    'tile/0/x000/001', 'tile/0/X001/002', 'tile/00/001', 'tile/7/001', 'tile/10/001', 'tile/-1/001',
    'tile/data/001', 'tile/0/001.p', 'tile/0/001.p/', 'tile/0/001.p/0', 'tile/0/001.p/256',
    'tile/0/001.p/01', 'tile/0/001.p/1/2', '/tile/0/001', 'tile/0/001/', 'tile/0/001\n',
    'tile/0/../001', 'tile/0/x999/x999/x999/x999/x999/999',
  ]
  for (const path of wrong) assert.equal(parseTilePath(path), undefined, path)
  const tiles = fc.record({
    level: fc.constantFrom<Tile['level']>(0, 1, 2, 6, 'entries'),
    index: fc.oneof(fc.nat(2_000), fc.integer({ min: 0, max: 2 ** 45 })),
    width: fc.integer({ min: 1, max: 256 }),
  }, { noNullPrototype: true })
  fc.assert(fc.property(tiles, (tile) => {
    assert.equal(parseTilePath(tilePath(tile)), tile)
  }), { seed: 1, numRuns: 500 })
})

t('a tree of 70,000 has the tiles that the specification counts', () => {
  const tiles = tilesFor({ from: 0, size: 70_000 })
  const widths = (level: Tile['level']): number[] =>
    tiles.filter((tile) => tile.level === level).map(({ width }) => width)
  const full = (count: number): number[] => Array<number>(count).fill(256)
  assert.equal(widths('entries'), [...full(273), 112])
  assert.equal(widths(0), [...full(273), 112])
  assert.equal(widths(1), [256, 17])
  assert.equal(widths(2), [1])
  assert.equal(tiles.length, 274 + 274 + 2 + 1)
  assert.equal(tilesFor({ from: 0, size: 256 }).map(tilePath), [
    'tile/entries/000', 'tile/0/000', 'tile/1/000.p/1',
  ])
  assert.equal(tilesFor({ from: 0, size: 0 }), [])
})

t('growing writes exactly the files that were not there', () => {
  const sizes = [
    0, 1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 65_792, 131_071, 131_072, 140_000,
  ]
  const pathsOf = (size: number): Set<string> =>
    new Set(tilesFor({ from: 0, size }).map(tilePath))
  const all = new Map(sizes.map((size) => [size, pathsOf(size)]))
  for (const size of sizes) {
    for (const from of sizes.filter((other) => other <= size)) {
      const before = all.get(from) ?? new Set()
      const expected = [...(all.get(size) ?? [])].filter((path) => !before.has(path))
      assert.equal(tilesFor({ from, size }).map(tilePath), expected, `${from} to ${size}`)
    }
  }
})

t('a tree can be rebuilt from its files', () => {
  const size = 66_000
  const entries = Array.from({ length: size }, (_, at) => Buffer.from(`entry ${at}`))
  const nodes = new Map<string, Uint8Array>()
  let frontier: Frontier = emptyFrontier
  for (const entry of entries) {
    const grown = append(frontier, entry)
    for (const { level, index, hash } of grown.nodes) nodes.set(`${level}/${index}`, hash)
    frontier = grown.frontier
  }
  const nodeAt = (level: number, index: number): Uint8Array => {
    const hash = nodes.get(`${level}/${index}`)
    assert.ok(hash, `${level}/${index}`)
    return hash
  }
  const files = new Map<string, Uint8Array>()
  for (const tile of tilesFor({ from: 0, size })) {
    const first = tile.index * tileWidth
    files.set(tilePath(tile), tile.level === 'entries'
      ? encodeBundle(entries.slice(first, first + tile.width))
      : encodeTile(tile, nodeAt))
  }

  let rebuilt: Frontier = emptyFrontier
  const levels: Uint8Array[][] = [[], [], []]
  for (const [path, bytes] of files) {
    const { level, width } = parseTilePath(path) as Tile
    if (level === 'entries') {
      for (const entry of assert.accepted(decodeBundle(bytes, width))) {
        const hash = leafHash(entry)
        rebuilt = appendHash(rebuilt, hash).frontier
        levels[0]?.push(hash)
      }
      continue
    }
    const hashes = assert.accepted(decodeTile(bytes, width))
    const at = levels[level] as Uint8Array[]
    assert.equal(hashes, at.splice(0, width), path)
    if (width === tileWidth) levels[level + 1]?.push(topOf(hashes))
  }
  assert.equal(root(rebuilt), root(frontier))
  assert.equal(levels, [[], [], []])
})

t('bundles give back their entries, and nothing else is a bundle', () => {
  const entry = fc.uint8Array({ maxLength: 40 }).map((bytes) => new Uint8Array(bytes))
  fc.assert(fc.property(fc.array(entry, { minLength: 1, maxLength: 8 }), (entries) => {
    const bytes = encodeBundle(entries)
    assert.equal(assert.accepted(decodeBundle(bytes, entries.length)), entries)
    assert.refused(decodeBundle(bytes, entries.length + 1), 'malformed')
    assert.refused(decodeBundle(bytes, entries.length - 1), 'malformed')
    assert.refused(decodeBundle(bytes.subarray(0, -1), entries.length), 'malformed')
    const longer = Buffer.concat([bytes, Buffer.alloc(1)])
    assert.refused(decodeBundle(longer, entries.length), 'malformed')
  }), { seed: 2, numRuns: 200 })
  const two = [Buffer.from('ab'), Buffer.from('')]
  assert.equal(encodeBundle(two), Uint8Array.of(0, 2, 97, 98, 0, 0))
  const longest = new Uint8Array(65_535)
  assert.equal(assert.accepted(decodeBundle(encodeBundle([longest]), 1)), [longest])
  assert.throws(() => encodeBundle([new Uint8Array(65_536)]), /at most 65535 bytes/)
  assert.throws(() => encodeBundle([]), /1-256 entries/)
})

t('a tile of the wrong length is refused', () => {
  assert.equal(assert.accepted(decodeTile(sha256('x'), 1)), [sha256('x')])
  for (const length of [0, 31, 33, 64]) {
    assert.refused(decodeTile(new Uint8Array(length), 1), 'malformed')
  }
})

function topOf(hashes: readonly Uint8Array[]): Uint8Array {
  let row = hashes
  while (row.length > 1) {
    row = Array.from({ length: row.length / 2 }, (_, at) =>
      nodeHash(row[2 * at] as Uint8Array, row[2 * at + 1] as Uint8Array))
  }
  return row[0] as Uint8Array
}
