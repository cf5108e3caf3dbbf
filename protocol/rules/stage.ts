// Staging: what a tree of files is, how one hash names it, and which outputs a job's patterns take.
//
// A tree is a manifest: each file with its size and the hashes of its chunks. The manifest's text
// is cut into chunks too, a small root lists them, and SHA-256 of the root's text is the tree hash,
// from which everything can be reached and checked.
//
// [STAGE-1] Root and manifest are canonical JSON of the shapes below, at most manifestBytesMax.
// [STAGE-2] Files and empty directories together are at most limits.filesPerManifest.
// [STAGE-3] A path is relative, '/'-separated, at most limits.pathBytes of UTF-8 and 255 bytes a
//           name; no empty, '.' or '..' name, no backslash or control character; the first name is
//           not '.gridnode'.
// [STAGE-4] Files, and directories, are in strictly ascending `comparePaths` order: no duplicates.
// [STAGE-5] Nothing lies below a file or below a listed directory (it is listed for being empty).
// [STAGE-6] A file's chunks are limits.chunkBytes long, but the last, which has the rest (never 0).
// [STAGE-7] One chunk hash has one length throughout a manifest.

import { sha256Hex } from '../base/crypto.ts'
import { decode, encode, exceedsBytes } from '../base/encoding.ts'
import type { Hash } from '../base/ids.ts'
import { limits } from '../base/limits.ts'
import type { Outcome } from '../base/outcome.ts'
import { ok, refuse } from '../base/outcome.ts'
import { hash, integer, list, literal, record, shaped, text } from '../base/shape.ts'
import { divUp } from '../base/units.ts'

export interface ManifestFile {
  readonly path: string
  readonly executable: 0 | 1
  readonly sizeBytes: number
  readonly chunks: readonly Hash[]
}

export interface Manifest {
  readonly files: readonly ManifestFile[]
  /** Only the empty ones; the others follow from the files. */
  readonly directories: readonly string[]
}

/** Lists the chunks that hold a manifest's canonical text. */
export interface TreeRoot {
  readonly chunks: readonly Hash[]
  readonly sizeBytes: number
}

export type PathFault =
  | 'empty' | 'too_long' | 'absolute' | 'empty_name' | 'dot' | 'dot_dot' | 'name_too_long'
  | 'backslash' | 'control' | 'ill_formed' | 'reserved'

/** In order of precedence. */
export type StageRefusal =
  | { readonly reason: 'malformed'; readonly detail: string }
  | {
    readonly reason: 'too_many'
    readonly what: string
    readonly count: number
    readonly countMax: number
  }
  | { readonly reason: 'bad_path'; readonly path: string; readonly fault: PathFault }
  | { readonly reason: 'unsorted'; readonly path: string; readonly before: string }
  | { readonly reason: 'path_conflict'; readonly path: string; readonly above: string }
  | {
    readonly reason: 'size_mismatch'
    readonly path: string
    readonly sizeBytes: number
    readonly chunks: number
  }
  | { readonly reason: 'chunk_conflict'; readonly path: string; readonly hash: Hash }

/** Of a manifest's text. */
export const manifestBytesMax = 32 * 1024 * 1024
/** What that text has room for (67 bytes a hash): 2 TB in files. */
export const chunksPerTreeMax = 500_000
/** Our own directory inside a job's directory; no manifest may speak of it. */
export const reservedName = '.gridnode'

const nameBytesMax = 255
const rootKind = 'gridnode/v1/tree'
const manifestKind = 'gridnode/v1/manifest'

const rootShape = record({
  chunks: list(hash(), { max: divUp(manifestBytesMax, limits.chunkBytes) }),
  kind: literal(rootKind),
  size_bytes: integer({ min: 1, max: manifestBytesMax }),
})

const fileShape = record({
  chunks: list(hash(), { max: manifestBytesMax }),
  executable: integer({ min: 0, max: 1 }),
  path: text(),
  size_bytes: integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
})

const manifestShape = record({
  directories: list(text(), { max: manifestBytesMax }),
  files: list(fileShape, { max: manifestBytesMax }),
  kind: literal(manifestKind),
})

/** Order of paths: '/' before every other character, so that a directory's content is together. */
export function comparePaths(left: string, right: string): number {
  const length = left.length < right.length ? left.length : right.length
  for (let i = 0; i < length; i++) {
    const a = left.charCodeAt(i)
    const b = right.charCodeAt(i)
    if (a !== b) return a === slash ? -1 : b === slash ? 1 : a - b
  }
  return left.length - right.length
}

/** What is wrong with a relative path [STAGE-3]; undefined when nothing is. */
export function pathFault(path: string): PathFault | undefined {
  if (path === '') return 'empty'
  if (exceedsBytes(path, limits.pathBytes)) return 'too_long'
  if (path.startsWith('/')) return 'absolute'
  if (!path.isWellFormed()) return 'ill_formed'
  if (path.includes('\\')) return 'backslash'
  if (controlCharacter.test(path)) return 'control'
  const names = path.split('/')
  for (const name of names) {
    if (name === '') return 'empty_name'
    if (name === '.') return 'dot'
    if (name === '..') return 'dot_dot'
    if (exceedsBytes(name, nameBytesMax)) return 'name_too_long'
  }
  return names[0] === reservedName ? 'reserved' : undefined
}

/** A manifest of what was found, in any order; each path must occur once. */
export function manifestOf(found: {
  readonly files: readonly ManifestFile[]
  readonly directories: readonly string[]
}): Outcome<Manifest, StageRefusal> {
  const files = found.files.toSorted((a, b) => comparePaths(a.path, b.path))
  return checkManifest({ files, directories: found.directories.toSorted(comparePaths) })
}

/** Each distinct chunk of the files with its length in bytes. */
export function chunksOf(manifest: Manifest): Map<Hash, number> {
  const chunks = new Map<Hash, number>()
  for (const file of manifest.files) {
    file.chunks.forEach((hash, index) => chunks.set(hash, chunkLength(file.sizeBytes, index)))
  }
  return chunks
}

/** The length of chunk `index` of something `sizeBytes` long. */
export function chunkLength(sizeBytes: number, index: number): number {
  const rest = sizeBytes - index * limits.chunkBytes
  return rest < limits.chunkBytes ? rest : limits.chunkBytes
}

/** Bytes of all files as they will lie on a disk (repeated chunks count each time). */
export function sizeOf(manifest: Manifest): number {
  return manifest.files.reduce((sum, file) => sum + file.sizeBytes, 0)
}

export interface PackedTree {
  readonly treeHash: Hash
  /** What has to be stored beside the files' own chunks: the manifest's pieces, then the root. */
  readonly chunks: readonly { readonly hash: Hash; readonly bytes: Uint8Array }[]
}

/** The bytes by which a manifest travels, and the one hash that names the tree. */
export function packTree(manifest: Manifest): Outcome<PackedTree, StageRefusal> {
  const bytes = new TextEncoder().encode(encode({
    directories: manifest.directories,
    files: manifest.files.map((file) => ({
      chunks: file.chunks,
      executable: file.executable,
      path: file.path,
      size_bytes: file.sizeBytes,
    })),
    kind: manifestKind,
  }))
  if (bytes.length > manifestBytesMax) {
    return tooMany('bytes of manifest', bytes.length, manifestBytesMax)
  }
  const pieces: { hash: Hash; bytes: Uint8Array }[] = []
  for (let at = 0; at < bytes.length; at += limits.chunkBytes) {
    const piece = bytes.subarray(at, at + limits.chunkBytes)
    pieces.push({ hash: sha256Hex(piece), bytes: piece })
  }
  const root = new TextEncoder().encode(encode({
    chunks: pieces.map((piece) => piece.hash),
    kind: rootKind,
    size_bytes: bytes.length,
  }))
  const treeHash = sha256Hex(root)
  return ok({ treeHash, chunks: [...pieces, { hash: treeHash, bytes: root }] })
}

/** Reads a root whose hash the caller has checked. */
export function unpackRoot(bytes: Uint8Array): Outcome<TreeRoot, StageRefusal> {
  const decoded = decodeBytes(bytes, limits.chunkBytes)
  if (!decoded.ok) return decoded
  const root = shaped(rootShape, decoded.value)
  if (!root.ok) return root
  const { chunks, size_bytes: sizeBytes } = root.value
  if (chunks.length !== divUp(sizeBytes, limits.chunkBytes)) {
    return refuse({ reason: 'size_mismatch', path: '(root)', sizeBytes, chunks: chunks.length })
  }
  return ok({ chunks, sizeBytes })
}

/** Reads a manifest from its pieces joined in the root's order, each checked against its hash. */
export function unpackManifest(root: TreeRoot, bytes: Uint8Array): Outcome<Manifest, StageRefusal> {
  if (bytes.length !== root.sizeBytes) {
    const detail = `the manifest has ${bytes.length} bytes, its root says ${root.sizeBytes}`
    return refuse({ reason: 'malformed', detail })
  }
  const decoded = decodeBytes(bytes, manifestBytesMax)
  if (!decoded.ok) return decoded
  const manifest = shaped(manifestShape, decoded.value)
  if (!manifest.ok) return manifest
  return checkManifest({
    directories: manifest.value.directories,
    files: manifest.value.files.map((file) => ({
      path: file.path,
      executable: file.executable === 1 ? 1 : 0,
      sizeBytes: file.size_bytes,
      chunks: file.chunks,
    })),
  })
}

/** One line for a person or a log. */
export function describeStageRefusal(refusal: StageRefusal): string {
  switch (refusal.reason) {
    case 'malformed':
      return `not a manifest: ${refusal.detail}`
    case 'too_many':
      return `${refusal.count} ${refusal.what}, at most ${refusal.countMax} are taken`
    case 'bad_path':
      return `path ${quote(refusal.path)} ${faultTexts[refusal.fault]}`
    case 'unsorted':
      return `${quote(refusal.path)} after ${quote(refusal.before)}: repeated or out of order`
    case 'path_conflict':
      return `${quote(refusal.path)} meets ${quote(refusal.above)}, a file or an empty directory`
    case 'size_mismatch':
      return `${quote(refusal.path)}: ${refusal.sizeBytes} bytes in ${refusal.chunks} chunks`
    case 'chunk_conflict':
      return `${quote(refusal.path)}: chunk ${refusal.hash} had another length in a file before`
  }
}

const slash = 0x2f
const controlCharacter = /[\u0000-\u001f\u007f-\u009f]/

export const faultTexts: Readonly<Record<PathFault, string>> = {
  empty: 'is empty',
  too_long: `is longer than ${limits.pathBytes} bytes`,
  absolute: 'is absolute; give it relative to the job\'s directory',
  empty_name: 'has an empty component (\'//\' or a trailing \'/\')',
  dot: 'has a \'.\' component; leave it out',
  dot_dot: 'has a \'..\' component and could leave the job\'s directory',
  name_too_long: `has a name longer than ${nameBytesMax} bytes`,
  backslash: 'has a backslash',
  control: 'has a control character (such as a newline or a tab)',
  ill_formed: 'is not well-formed Unicode',
  reserved: `starts with '${reservedName}', which belongs to gridnode`,
}

function checkManifest(manifest: Manifest): Outcome<Manifest, StageRefusal> {
  const { files, directories } = manifest
  const count = files.length + directories.length
  if (count > limits.filesPerManifest) {
    return tooMany('files and directories', count, limits.filesPerManifest)
  }
  const refusal = checkPaths(files.map((file) => file.path), directories) ?? checkChunks(files)
  return refusal ? refuse(refusal) : ok(manifest)
}

function checkPaths(
  files: readonly string[], directories: readonly string[],
): StageRefusal | undefined {
  for (const paths of [files, directories]) {
    for (const path of paths) {
      const fault = pathFault(path)
      if (fault) return { reason: 'bad_path', path, fault }
    }
    for (let i = 1; i < paths.length; i++) {
      const before = paths[i - 1] ?? ''
      const path = paths[i] ?? ''
      if (comparePaths(before, path) >= 0) return { reason: 'unsorted', path, before }
    }
  }
  // In this order all that lies below a path follows it at once: looking at neighbours is enough.
  const all = directories.length === 0 ? files : [...files, ...directories].toSorted(comparePaths)
  for (let i = 1; i < all.length; i++) {
    const above = all[i - 1] ?? ''
    const path = all[i] ?? ''
    if (path === above || path.startsWith(`${above}/`)) {
      return { reason: 'path_conflict', path, above }
    }
  }
  return undefined
}

function checkChunks(files: readonly ManifestFile[]): StageRefusal | undefined {
  const lengths = new Map<Hash, number>()
  for (const { path, sizeBytes, chunks } of files) {
    if (chunks.length !== divUp(sizeBytes, limits.chunkBytes)) {
      return { reason: 'size_mismatch', path, sizeBytes, chunks: chunks.length }
    }
    for (const [index, hash] of chunks.entries()) {
      const length = chunkLength(sizeBytes, index)
      const known = lengths.get(hash)
      if (known === undefined) lengths.set(hash, length)
      else if (known !== length) return { reason: 'chunk_conflict', path, hash }
    }
  }
  return undefined
}

function decodeBytes(bytes: Uint8Array, bytesMax: number): Outcome<unknown, StageRefusal> {
  if (bytes.length > bytesMax) return tooMany('bytes', bytes.length, bytesMax)
  let content: string
  try {
    content = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return refuse({ reason: 'malformed', detail: 'not UTF-8' })
  }
  return decode(content, { bytesMax })
}

function tooMany(what: string, count: number, countMax: number): Outcome<never, StageRefusal> {
  return refuse({ reason: 'too_many', what, count, countMax })
}

function quote(path: string): string {
  return JSON.stringify(path.length > 200 ? `${path.slice(0, 200)}…` : path)
}
