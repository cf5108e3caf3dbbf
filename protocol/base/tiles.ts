// A log as static files, as C2SP tlog-tiles lays it out: hash tiles of 256 nodes each and bundles
// of entries.
//
//     tile/<level>/<index>[.p/<width>]   the nodes (8·level, 256·index …), 32 bytes each
//     tile/entries/<index>[.p/<width>]   the entries 256·index …, each after its two-byte length
//
// Invariants: an index is written in groups of three digits, all but the last behind an x
// (x001/x234/067); a path has one spelling, and only that one is parsed; a full tile never changes.

import { assert } from './assert.ts'
import { malformed } from './encoding.ts'
import type { Malformed } from './encoding.ts'
import { ok } from './outcome.ts'
import type { Outcome } from './outcome.ts'
import type { NodeAt } from './merkle.ts'

export const tileWidth = 256
const hashBytes = 32
const entryBytesMax = 0xffff
/** 256^6 leaves are 2^48: what safe integers can count needs no level above this. */
const levelMax = 6

export interface Tile {
  /** A level of hash tiles, counted from 0; or the entries themselves. */
  readonly level: number | 'entries'
  readonly index: number
  /** 1-256; below 256 the tile is partial. */
  readonly width: number
}

export function tilePath(tile: Tile): string {
  assert(isTile(tile), `a tile that can be: ${tile.level} ${tile.index} ${tile.width}`)
  let path = String(tile.index % 1_000).padStart(3, '0')
  for (let rest = thousands(tile.index); rest > 0; rest = thousands(rest)) {
    path = `x${String(rest % 1_000).padStart(3, '0')}/${path}`
  }
  const partial = tile.width === tileWidth ? '' : `.p/${tile.width}`
  return `tile/${tile.level}/${path}${partial}`
}

/** Undefined for anything but the one spelling of a tile. */
export function parseTilePath(path: string): Tile | undefined {
  const match = pathPattern.exec(path)
  if (!match) return undefined
  const [, levelText = '', indexText = '', widthText] = match
  const level = levelText === 'entries' ? 'entries' : Number(levelText)
  const index = Number(indexText.replaceAll(/[x/]/g, ''))
  const width = widthText === undefined ? tileWidth : Number(widthText)
  const tile: Tile = { level, index, width }
  return isTile(tile) && tilePath(tile) === path ? tile : undefined
}

const pathPattern = /^tile\/([0-9]|entries)\/((?:x[0-9]{3}\/){0,5}[0-9]{3})(?:\.p\/([0-9]{1,3}))?$/

/**
 * The hash tiles and entry bundles that a tree of `size` has and the tree of `from` entries had
 * not: what a log writes when it has grown. `from` 0 gives all of them.
 */
export function tilesFor(growth: { readonly from: number; readonly size: number }): Tile[] {
  const { from, size } = growth
  assert(Number.isSafeInteger(size) && from >= 0 && from <= size, 'a log only grows')
  const tiles: Tile[] = []
  const addLevel = (level: number | 'entries', before: number, now: number) => {
    if (before === now) return
    const first = (before - (before % tileWidth)) / tileWidth
    for (let index = first; index * tileWidth < now; index++) {
      tiles.push({ level, index, width: Math.min(tileWidth, now - index * tileWidth) })
    }
  }
  addLevel('entries', from, size)
  let [before, now] = [from, size]
  for (let level = 0; now > 0; level++) {
    addLevel(level, before, now)
    before = (before - (before % tileWidth)) / tileWidth
    now = (now - (now % tileWidth)) / tileWidth
  }
  return tiles
}

/** The bytes of a hash tile, from a stored tree. */
export function encodeTile(tile: Tile, nodeAt: NodeAt): Uint8Array {
  assert(isTile(tile) && tile.level !== 'entries', 'a hash tile')
  const bytes = new Uint8Array(tile.width * hashBytes)
  for (let at = 0; at < tile.width; at++) {
    bytes.set(nodeAt(tile.level * 8, tile.index * tileWidth + at), at * hashBytes)
  }
  return bytes
}

/** The hashes in a tile of `width`; anything but width × 32 bytes is refused. */
export function decodeTile(bytes: Uint8Array, width: number): Outcome<Uint8Array[], Malformed> {
  if (bytes.length !== width * hashBytes) {
    return malformed(`expected ${width * hashBytes} bytes in the tile, got ${bytes.length}`)
  }
  const hashes: Uint8Array[] = []
  for (let at = 0; at < width; at++) {
    hashes.push(bytes.subarray(at * hashBytes, (at + 1) * hashBytes))
  }
  return ok(hashes)
}

/** A bundle of 1-256 entries of at most 65,535 bytes each. */
export function encodeBundle(entries: readonly Uint8Array[]): Uint8Array {
  assert(entries.length >= 1 && entries.length <= tileWidth, 'a bundle has 1-256 entries')
  let size = 0
  for (const entry of entries) {
    assert(entry.length <= entryBytesMax, `an entry has at most ${entryBytesMax} bytes`)
    size += 2 + entry.length
  }
  const bytes = new Uint8Array(size)
  const lengths = new DataView(bytes.buffer)
  let at = 0
  for (const entry of entries) {
    lengths.setUint16(at, entry.length)
    bytes.set(entry, at + 2)
    at += 2 + entry.length
  }
  return bytes
}

/** The entries of a bundle of `width`; more or fewer than that, or a rest, is refused. */
export function decodeBundle(bytes: Uint8Array, width: number): Outcome<Uint8Array[], Malformed> {
  const lengths = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const entries: Uint8Array[] = []
  let at = 0
  while (at < bytes.length) {
    if (entries.length === width) return malformed(`more than ${width} entries in the bundle`)
    if (at + 2 > bytes.length) return malformed('the bundle ends inside a length')
    const end = at + 2 + lengths.getUint16(at)
    if (end > bytes.length) return malformed('the bundle ends inside an entry')
    entries.push(bytes.subarray(at + 2, end))
    at = end
  }
  if (entries.length < width) {
    return malformed(`expected ${width} entries in the bundle, got ${entries.length}`)
  }
  return ok(entries)
}

function isTile({ level, index, width }: Tile): boolean {
  if (level !== 'entries' && !isBetween(level, 0, levelMax)) return false
  return isBetween(index, 0, Number.MAX_SAFE_INTEGER) && isBetween(width, 1, tileWidth)
}

function isBetween(value: number, min: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= min && value <= max
}

function thousands(value: number): number {
  return (value - (value % 1_000)) / 1_000
}
