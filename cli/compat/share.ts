// The directory that a batch job works in: found, listed and hashed as it is at this moment, so
// that a task anywhere sees it under the same path. The programs that submit change it all the
// time: what vanishes while it is read was never there, what grows is taken as far as it had grown.
//
// Invariants: what `.gridnodeignore` names is neither taken nor brought back; links are followed to
// files inside, others are left out; a file's hash is remembered only when it had been left alone
// for a while, so that a later change of it cannot be missed.

import type { BigIntStats } from 'node:fs'
import { existsSync, readFileSync, statSync } from 'node:fs'
import {
  mkdir, open, readdir, readFile, realpath, rename, rm, stat, writeFile,
} from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join, resolve, sep } from 'node:path'
import { sha256Hex } from '../../protocol/base/crypto.ts'
import type { Hash } from '../../protocol/base/ids.ts'
import { limits } from '../../protocol/base/limits.ts'
import { formatBytes, parseBytes } from '../../protocol/base/units.ts'
import type { Manifest, ManifestFile } from '../../protocol/rules/stage.ts'
import { pathFault } from '../../protocol/rules/stage.ts'
import type { OutputPattern } from '../../protocol/rules/stage-outputs.ts'
import { matchOutputs, parseOutputPatterns } from '../../protocol/rules/stage-outputs.ts'
import { failure, usageFailure } from '../failure.ts'
import type { ChunkPlace } from '../inputs.ts'
import type { Terminal } from '../terminal.ts'

export const ignoreName = '.gridnodeignore'

export interface Share {
  /** Absolute, without links. */
  readonly root: string
  readonly bytesMax: number
  ignores(path: string): boolean
}

export interface Listing {
  readonly manifest: Manifest
  readonly chunks: Map<Hash, ChunkPlace>
}

/** Files that are being brought back, and have no name yet. */
export const partPrefix = '.gridnode-part-'

const bytesMaxDefault = 4 * 2 ** 30
/** A file that changed later than that could change again within the same tick of its clock. */
const quietMs = 2_000
const filesAtOnce = 8
/** What takes less is read again as fast. */
const cacheBytesMin = 16 * 2 ** 20
const cacheFilesMin = 200
const cachedRootsMax = 256
const systemDirectories = /^\/(bin|boot|dev|etc|lib|lib32|lib64|libx32|proc|run|sbin|sys|usr)(\/|$)/

/**
 * The nearest directory at or above `cwd` that has a `.gridnodeignore`, else `cwd` itself;
 * $GRIDNODE_SHARE names another one above.
 */
export async function openShare(cwd: string, terminal: Terminal): Promise<Share> {
  const here = await realpath(cwd)
  const named = terminal.env['GRIDNODE_SHARE']
  const root = named ? await realpath(resolve(cwd, named)) : marked(here) ?? here
  if (root !== here && !here.startsWith(root + sep)) {
    throw usageFailure(`GRIDNODE_SHARE is ${root}, and the job's directory ${here} is not in it`)
  }
  const home = resolve(terminal.env['HOME'] || homedir())
  const isHome = root === home && !existsSync(join(root, ignoreName))
  if (root === '/' || root === '/tmp' || isHome || systemDirectories.test(root)) {
    throw usageFailure(
      `a job's directory travels with it, and ${root} is too much: work in a directory of the ` +
        `project's own, or put a ${ignoreName} there that names what stays`,
    )
  }
  const bound = terminal.env['GRIDNODE_SHARE_BYTES']
  const bytesMax = bound ? parseBytes(bound) : bytesMaxDefault
  if (bytesMax === undefined) {
    throw usageFailure(`GRIDNODE_SHARE_BYTES: expected a size such as 20GiB, got '${bound}'`)
  }
  return { root, bytesMax, ignores: readIgnored(root) }
}

/** The share of a job that was submitted: only what it leaves out is wanted of it. */
export function shareAt(root: string): Share {
  return { root, bytesMax: bytesMaxDefault, ignores: readIgnored(root) }
}

function marked(from: string): string | undefined {
  for (let at = from; at !== '/'; at = dirname(at)) {
    const status = statSync(join(at, ignoreName), { throwIfNoEntry: false })
    // Nobody else decides what of ours travels.
    if (status?.isFile() && (status.uid === process.getuid?.() || status.uid === 0)) return at
  }
  return undefined
}

function readIgnored(root: string): (path: string) => boolean {
  const file = join(root, ignoreName)
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []
  const texts = lines.map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      if (line.startsWith('/')) return line.slice(1)
      return line.slice(0, -1).includes('/') ? line : `**/${line}`
    })
  const read = parseOutputPatterns(texts)
  if (!read.ok) {
    throw usageFailure(`${file} has a line that is no pattern: ${JSON.stringify(read.refusal)}`)
  }
  const patterns: readonly OutputPattern[] = read.value
  if (patterns.length === 0) return () => false
  return (path) => matchOutputs(patterns, { files: [path], directories: [path] }).files.length > 0
}

/** The directory as it is now. */
export async function listShare(share: Share, terminal: Terminal): Promise<Listing> {
  const found: Found = { files: [], directories: [], bytes: 0 }
  await walk(share, '', found)
  const cache = await openHashes(share.root, terminal)
  const chunks = new Map<Hash, ChunkPlace>()
  const files: ManifestFile[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    for (let file = found.files[next++]; file; file = found.files[next++]) {
      const hashed = await hashOf(join(share.root, file.path), file.stats, cache)
      if (!hashed) continue
      const sizeBytes = Number(file.stats.size)
      hashed.forEach((hash, index) => {
        const start = index * limits.chunkBytes
        const bytes = Math.min(limits.chunkBytes, sizeBytes - start)
        const path = join(share.root, file.path)
        if (!chunks.has(hash)) chunks.set(hash, { kind: 'file', path, start, bytes })
      })
      const executable = (file.stats.mode & 0o100n) === 0n ? 0 : 1
      files.push({ path: file.path, executable, sizeBytes, chunks: hashed })
    }
  }
  await Promise.all(Array.from({ length: filesAtOnce }, worker))
  await cache.save()
  return { manifest: { files, directories: found.directories }, chunks }
}

/** Names a file's content, as the node names that of a result. */
export function digestOf(chunks: readonly Hash[]): string {
  return sha256Hex(chunks.join(','))
}

/** What a file holds now; undefined when there is no file of that name. */
export async function digestNow(path: string): Promise<string | undefined> {
  try {
    const stats = await stat(path, { bigint: true })
    if (!stats.isFile()) return undefined
    const chunks = await readHashes(path, Number(stats.size))
    return chunks && digestOf(chunks)
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

interface Found {
  readonly files: { readonly path: string; readonly stats: BigIntStats }[]
  readonly directories: string[]
  bytes: number
}

async function walk(share: Share, path: string, found: Found): Promise<void> {
  const directory = join(share.root, path)
  let entries
  try {
    entries = await readdir(directory, { withFileTypes: true })
  } catch (error) {
    if (isGone(error)) return
    throw failure('no_input', `${directory} cannot be listed: ${(error as Error).message}`)
  }
  if (entries.length === 0 && path !== '') found.directories.push(path)
  for (const entry of entries) {
    const below = path === '' ? entry.name : `${path}/${entry.name}`
    const isOurs = entry.name.startsWith(partPrefix)
    if (isOurs || pathFault(below) || share.ignores(below)) continue
    if (entry.isDirectory()) await walk(share, below, found)
    else if (entry.isFile() || await leadsInside(share, join(directory, entry.name))) {
      await take(share, below, found)
    }
  }
}

async function leadsInside(share: Share, link: string): Promise<boolean> {
  try {
    return (await realpath(link)).startsWith(share.root + sep)
  } catch {
    return false
  }
}

async function take(share: Share, path: string, found: Found): Promise<void> {
  let stats: BigIntStats
  try {
    stats = await stat(join(share.root, path), { bigint: true })
  } catch (error) {
    if (isGone(error)) return
    throw error
  }
  if (!stats.isFile()) return
  found.bytes += Number(stats.size)
  if (found.bytes > share.bytesMax || found.files.length >= limits.filesPerManifest) {
    throw failure(
      'share_too_large',
      `${share.root} holds more than ${formatBytes(share.bytesMax)} or ` +
        `${limits.filesPerManifest} files; name what stays in ${ignoreName}, or raise ` +
        'GRIDNODE_SHARE_BYTES',
    )
  }
  found.files.push({ path, stats })
}

function isGone(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code === 'ENOENT' || code === 'ENOTDIR' || code === 'ESTALE'
}

async function hashOf(
  path: string, stats: BigIntStats, cache: Hashes,
): Promise<readonly Hash[] | undefined> {
  const known = cache.get(path, stats)
  if (known) return known
  try {
    const hashes = await readHashes(path, Number(stats.size))
    if (hashes) cache.set(path, stats, hashes)
    return hashes
  } catch (error) {
    if (isGone(error)) return undefined
    throw failure('no_input', `${path} cannot be read: ${(error as Error).message}`)
  }
}

/** Undefined when the file has become shorter meanwhile: its writer begins it anew. */
async function readHashes(path: string, sizeBytes: number): Promise<Hash[] | undefined> {
  const handle = await open(path, 'r')
  try {
    const hashes: Hash[] = []
    const buffer = Buffer.allocUnsafe(Math.min(limits.chunkBytes, Math.max(1, sizeBytes)))
    for (let start = 0; start < sizeBytes; start += limits.chunkBytes) {
      const length = Math.min(limits.chunkBytes, sizeBytes - start)
      for (let done = 0; done < length;) {
        const { bytesRead } = await handle.read(buffer, done, length - done, start + done)
        if (bytesRead === 0) return undefined
        done += bytesRead
      }
      hashes.push(sha256Hex(buffer.subarray(0, length)))
    }
    return hashes
  } finally {
    await handle.close()
  }
}

interface Hashes {
  get(path: string, stats: BigIntStats): readonly Hash[] | undefined
  set(path: string, stats: BigIntStats, hashes: readonly Hash[]): void
  save(): Promise<void>
}

/** Hashes of files that have not changed since, by inode, size and both times. */
async function openHashes(root: string, terminal: Terminal): Promise<Hashes> {
  const { XDG_CACHE_HOME: caches, HOME: home } = terminal.env
  const folder = join(caches || join(home || homedir(), '.cache'), 'gridnode', 'hashes')
  const file = join(folder, `${sha256Hex(root).slice(0, 16)}.json`)
  const nowNs = BigInt(terminal.nowEpochMs()) * 1_000_000n
  const keyOf = (path: string, { ino, size, mtimeNs, ctimeNs }: BigIntStats): string =>
    `${path}|${ino}|${size}|${mtimeNs}|${ctimeNs}`
  let kept = new Map<string, readonly Hash[]>()
  try {
    kept = new Map(Object.entries(JSON.parse(await readFile(file, 'utf8')) as
      Record<string, readonly Hash[]>))
  } catch {
    // None yet, or damaged: all is read anew.
  }
  const fresh = new Map<string, readonly Hash[]>()
  let changed = false
  let bytes = 0
  return {
    get(path, stats) {
      const key = keyOf(path, stats)
      const hashes = kept.get(key)
      if (hashes) fresh.set(key, hashes)
      return hashes
    },
    set(path, stats, hashes) {
      const latest = stats.mtimeNs > stats.ctimeNs ? stats.mtimeNs : stats.ctimeNs
      if (latest + BigInt(quietMs) * 1_000_000n > nowNs) return
      fresh.set(keyOf(path, stats), hashes)
      bytes += Number(stats.size)
      changed = true
    },
    async save() {
      if (!changed || (bytes < cacheBytesMin && fresh.size < cacheFilesMin)) return
      try {
        await mkdir(folder, { recursive: true, mode: 0o700 })
        await pruneCache(folder)
        const part = `${file}.${process.pid}`
        await writeFile(part, JSON.stringify(Object.fromEntries(fresh)), { mode: 0o600 })
        await rename(part, file)
      } catch {
        // A cache that cannot be written only costs time.
      }
    },
  }
}

/** The oldest half goes when there are too many. */
async function pruneCache(folder: string): Promise<void> {
  const names = await readdir(folder)
  if (names.length < cachedRootsMax) return
  const aged = await Promise.all(names.map(async (name) =>
    ({ name, at: (await stat(join(folder, name))).mtimeMs })))
  aged.sort((a, b) => a.at - b.at)
  for (const { name } of aged.slice(0, names.length / 2)) {
    await rm(join(folder, name), { force: true })
  }
}
