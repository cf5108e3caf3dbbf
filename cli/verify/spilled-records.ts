// Records of a table that may grow with the log: what is alive, and what was used last, is in
// memory; the rest waits in a temporary file until an entry names it again.
// Invariants: memory is that of the live records, of at most `recordsMax` others and of one table
// of offsets of a fixed size; what was set last is what is read, wherever it lies. The file has no
// name once it is open, so nothing is left behind however the program ends.

import { closeSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assert } from '../../protocol/base/assert.ts'
import { pack, unpack } from '../../protocol/base/record.ts'
import type { Records } from '../../protocol/rules/audit.ts'

export interface Spill {
  /** Shaped for `ReplayOptions`: tables without dead records are plain maps. */
  recordsOf(table: string, isDead: ((value: unknown) => boolean) | undefined): Records
  /** Bytes that went to the disk. */
  spilledBytes(): number
  close(): void
}

export interface SpillOptions {
  /** Dead records of one table that stay in memory. */
  readonly recordsMax?: number
  readonly directory?: string
}

export function openSpill(options: SpillOptions = {}): Spill {
  const { recordsMax = 8_192, directory = tmpdir() } = options
  const files: SpillFile[] = []
  return {
    recordsOf(_, isDead) {
      if (!isDead) return new Map<string, unknown>()
      const file = openSpillFile(directory)
      files.push(file)
      return spilledRecords(file, isDead, recordsMax)
    },
    spilledBytes: () => files.reduce((sum, file) => sum + file.size(), 0),
    close() {
      for (const file of files.splice(0)) file.close()
    },
  }
}

function spilledRecords(
  file: SpillFile, isDead: (value: unknown) => boolean, recordsMax: number,
): Records {
  const live = new Map<string, unknown>()
  // Two generations: what is used moves to the young one, and the old one leaves as a whole.
  let young = new Map<string, unknown>()
  let old = new Map<string, unknown>()
  /** Those in either generation that the file has, and has as they are. */
  const clean = new Set<string>()
  const keep = (key: string, value: unknown): void => {
    young.set(key, value)
    if (young.size * 2 < recordsMax) return
    const leaving: (readonly [string, unknown])[] = []
    for (const record of old) {
      if (young.has(record[0])) continue
      if (!clean.delete(record[0])) leaving.push(record)
    }
    file.write(leaving)
    old = young
    young = new Map()
  }
  return {
    get(key) {
      const found = live.get(key) ?? young.get(key)
      if (found !== undefined) return found
      const older = old.get(key)
      if (older !== undefined) {
        keep(key, older)
        return older
      }
      const text = file.read(key)
      if (text === undefined) return undefined
      const value = unpack(text)
      clean.add(key)
      keep(key, value)
      return value
    },
    set(key, value) {
      if (!isDead(value)) return live.set(key, value)
      live.delete(key)
      clean.delete(key)
      keep(key, value)
      return value
    },
    delete(key) {
      assert(live.delete(key), 'a record that has ended is not removed')
    },
    entries: () => live.entries(),
    *all() {
      yield* live
      yield* young
      for (const record of old) if (!young.has(record[0])) yield record
      for (const [key, text] of file.newest()) {
        if (!live.has(key) && !young.has(key) && !old.has(key)) yield [key, unpack(text)]
      }
    },
  }
}

interface SpillFile {
  write(records: readonly (readonly [string, unknown])[]): void
  /** What was written last under `key`. */
  read(key: string): string | undefined
  /** Each key once, with what was written last under it. Takes memory for the keys. */
  newest(): Iterable<readonly [string, string]>
  size(): number
  close(): void
}

interface SpilledRecord {
  readonly key: string
  readonly text: string
  /** Where the record before it in its bucket lies. */
  readonly before: number
  readonly bytes: number
}

const bucketsMax = 1 << 17
const headerBytes = 16
const firstReadBytes = 2_048

/**
 * Records one after another, each with the offset of the one before it in its bucket; the offset
 * of each bucket's newest is in memory.
 */
function openSpillFile(directory: string): SpillFile {
  let descriptor = -1
  let size = 0
  let newest = new Float64Array()
  const open = (): void => {
    const path = join(directory, `gridnode-audit-${process.pid}-${spillFiles++}`)
    descriptor = openSync(path, 'wx+', 0o600)
    unlinkSync(path)
    newest = new Float64Array(bucketsMax).fill(-1)
  }
  const recordAt = (offset: number): SpilledRecord => {
    const first = Buffer.allocUnsafe(Math.min(firstReadBytes, size - offset))
    readFully(descriptor, first, offset)
    const [keyEnd, end] = [headerBytes + first.readUInt32LE(0), headerBytes + first.readUInt32LE(4)]
    const bytes = end <= first.length ? first : Buffer.allocUnsafe(end)
    if (bytes !== first) readFully(descriptor, bytes, offset)
    return {
      key: bytes.toString('utf8', headerBytes, keyEnd),
      text: bytes.toString('utf8', keyEnd, end),
      before: bytes.readDoubleLE(8),
      bytes: end,
    }
  }
  return {
    write(records) {
      if (records.length === 0) return
      if (descriptor < 0) open()
      const parts: Buffer[] = []
      for (const [key, value] of records) {
        const [name, text] = [Buffer.from(key), Buffer.from(pack(value))]
        const header = Buffer.allocUnsafe(headerBytes)
        header.writeUInt32LE(name.length, 0)
        header.writeUInt32LE(name.length + text.length, 4)
        const bucket = bucketOf(key)
        header.writeDoubleLE(newest[bucket] as number, 8)
        newest[bucket] = size
        size += headerBytes + name.length + text.length
        parts.push(header, name, text)
      }
      const bytes = Buffer.concat(parts)
      const from = size - bytes.length
      for (let at = 0; at < bytes.length;) {
        at += writeSync(descriptor, bytes, at, bytes.length - at, from + at)
      }
    },
    read(key) {
      if (descriptor < 0) return undefined
      let offset = newest[bucketOf(key)] as number
      while (offset >= 0) {
        const record = recordAt(offset)
        if (record.key === key) return record.text
        offset = record.before
      }
      return undefined
    },
    *newest() {
      const offsets = new Map<string, number>()
      for (let offset = 0; offset < size;) {
        const { key, bytes } = recordAt(offset)
        offsets.set(key, offset)
        offset += bytes
      }
      for (const [key, offset] of offsets) yield [key, recordAt(offset).text]
    },
    size: () => size,
    close() {
      if (descriptor >= 0) closeSync(descriptor)
      descriptor = -1
    },
  }
}

/** Tells the files of one process apart. */
let spillFiles = 0

function readFully(descriptor: number, bytes: Buffer, position: number): void {
  for (let at = 0; at < bytes.length;) {
    const read = readSync(descriptor, bytes, at, bytes.length - at, position + at)
    assert(read > 0, 'the temporary file holds what was written to it')
    at += read
  }
}

/** FNV-1a. */
function bucketOf(key: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193)
  return (hash >>> 0) % bucketsMax
}
