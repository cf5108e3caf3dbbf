// The input files of a job: found, hashed chunk by chunk in bounded memory, and handed to the node
// as far as it lacks them. A file that changes on the way is an error, never a mixture.
//
// Symbolic links named on the command line are followed; inside a directory only those to files of
// that same directory are, so that nothing is taken along unseen.

import type { Stats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { open, readdir, realpath, stat } from 'node:fs/promises'
import { basename, isAbsolute, join, normalize, resolve, sep } from 'node:path'
import { apiPaths } from '../node/http/api.ts'
import { sha256Hex } from '../protocol/base/crypto.ts'
import type { Hash } from '../protocol/base/ids.ts'
import { limits } from '../protocol/base/limits.ts'
import type { InputOption } from '../protocol/rules/job-options.ts'
import type { Manifest, ManifestFile } from '../protocol/rules/stage.ts'
import {
  describeStageRefusal, manifestOf, packTree, pathFault, sizeOf,
} from '../protocol/rules/stage.ts'
import type { Client } from './client.ts'
import { failure, usageFailure } from './failure.ts'
import type { LiveLine } from './progress.ts'
import { transferText } from './progress.ts'

/** An input with the directory that its relative path is meant from. */
export interface PlacedInput extends InputOption {
  readonly from: string
}

export interface Snapshot {
  /** Empty when there are no inputs. */
  readonly treeHash: Hash | ''
  readonly sizeBytes: number
  readonly files: number
  /** Where each distinct chunk can be read again. */
  readonly chunks: ReadonlyMap<Hash, ChunkPlace>
}

export type ChunkPlace =
  | { readonly kind: 'file'; readonly path: string; readonly start: number; readonly bytes: number }
  | { readonly kind: 'memory'; readonly content: Uint8Array }

interface FoundFile {
  readonly source: string
  readonly path: string
  readonly executable: 0 | 1
  readonly sizeBytes: number
}

interface Found {
  readonly files: FoundFile[]
  readonly directories: string[]
}

const parallelUploads = 8
const hashesPerQuestion = 4_096

/** Reads all inputs once; nothing is sent yet. */
export async function takeSnapshot(
  inputs: readonly PlacedInput[],
  line: LiveLine,
): Promise<Snapshot> {
  if (inputs.length === 0) return { treeHash: '', sizeBytes: 0, files: 0, chunks: new Map() }
  const found: Found = { files: [], directories: [] }
  for (const input of inputs) await findInput(input, found)
  checkUnique(found)
  const chunks = new Map<Hash, ChunkPlace>()
  const total = found.files.reduce((sum, file) => sum + file.sizeBytes, 0)
  const files: ManifestFile[] = []
  let done = 0
  for (const file of found.files) {
    files.push(await hashFile(file, chunks, (bytes) => {
      done += bytes
      line.show(transferText('reading', Math.min(done, total), total))
    }))
  }
  line.clear()
  return packSnapshot({ files, directories: found.directories }, chunks)
}

/** What the node needs of files whose chunks were found; adds the manifest's own to `chunks`. */
export function packSnapshot(manifest: Manifest, chunks: Map<Hash, ChunkPlace>): Snapshot {
  const checked = manifestOf(manifest)
  if (!checked.ok) throw failure('bad_inputs', `inputs: ${describeStageRefusal(checked.refusal)}`)
  const packed = packTree(checked.value)
  if (!packed.ok) throw failure('bad_inputs', `inputs: ${describeStageRefusal(packed.refusal)}`)
  for (const { hash, bytes } of packed.value.chunks) {
    chunks.set(hash, { kind: 'memory', content: bytes })
  }
  return {
    treeHash: packed.value.treeHash,
    sizeBytes: sizeOf(checked.value),
    files: checked.value.files.length,
    chunks,
  }
}

/** Where an input lies in the job's directory; '' for the directory itself. */
function nameOf(input: PlacedInput): string {
  if (input.name !== undefined) {
    const name = normalize(input.name).replace(/\/+$/, '')
    return name === '.' ? '' : name
  }
  const plain = normalize(input.path).replace(/\/+$/, '')
  if (plain === '.') return ''
  return isAbsolute(plain) || plain.startsWith('..') ? basename(plain) : plain
}

async function findInput(input: PlacedInput, found: Found): Promise<void> {
  const source = resolve(input.from, input.path)
  const status = await statusOf(source, input.path)
  const name = nameOf(input)
  const fault = name === '' ? undefined : pathFault(name)
  if (fault || (name === '' && !status.isDirectory())) {
    throw usageFailure(
      `input ${input.path} cannot be called '${input.name ?? input.path}' in the job's directory ` +
        `(${fault ?? 'it is a file'}); give it another name with --in ${input.path}=NAME`,
    )
  }
  if (status.isDirectory()) return findInDirectory(source, name, await realpath(source), found)
  addFile(source, name, status, found)
}

async function statusOf(source: string, shown: string): Promise<Stats> {
  try {
    return await stat(source)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT') throw failure('no_input', `there is no input ${shown} (${source})`)
    if (code === 'ELOOP') throw failure('no_input', `input ${source} is a loop of symbolic links`)
    throw failure('no_input', `input ${shown} cannot be read: ${(cause as Error).message}`)
  }
}

async function findInDirectory(
  directory: string,
  name: string,
  root: string,
  found: Found,
): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true })
  if (entries.length === 0 && name !== '') found.directories.push(name)
  for (const entry of entries) {
    const source = join(directory, entry.name)
    const path = name === '' ? entry.name : `${name}/${entry.name}`
    if (entry.isDirectory()) {
      await findInDirectory(source, path, root, found)
    } else {
      const status = await statusOf(source, source)
      if (entry.isSymbolicLink()) await checkLink(source, root, status)
      addFile(source, path, status, found)
    }
  }
}

async function checkLink(source: string, root: string, status: Stats): Promise<void> {
  const target = await realpath(source)
  const inside = target.startsWith(root + sep)
  if (inside && status.isFile()) return
  throw failure(
    'bad_inputs',
    `${source} is a symbolic link to ${inside ? 'a directory' : 'something outside the input'}: ` +
      `${target}. Remove it, put the thing itself there, or name it with --in PATH=NAME.`,
  )
}

function addFile(source: string, path: string, status: Stats, found: Found): void {
  if (!status.isFile()) {
    throw failure('bad_inputs', `input ${source} is neither a file nor a directory`)
  }
  if (found.files.length + found.directories.length >= limits.filesPerManifest) {
    throw failure('bad_inputs', `more than ${limits.filesPerManifest} input files; pack them first`)
  }
  const executable = (status.mode & 0o100) === 0 ? 0 : 1
  found.files.push({ source, path, executable, sizeBytes: status.size })
}

function checkUnique(found: Found): void {
  const sources = new Map<string, string>()
  for (const { path, source } of found.files) {
    const other = sources.get(path)
    if (other !== undefined) {
      throw usageFailure(
        `two inputs are called '${path}' in the job's directory: ${other} and ${source}; ` +
          'rename one with --in PATH=NAME',
      )
    }
    sources.set(path, source)
  }
}

async function hashFile(
  file: FoundFile,
  places: Map<Hash, ChunkPlace>,
  onBytes: (bytes: number) => void,
): Promise<ManifestFile> {
  const handle = await open(file.source, 'r')
  try {
    const chunks: Hash[] = []
    const buffer = Buffer.allocUnsafe(Math.min(limits.chunkBytes, Math.max(1, file.sizeBytes)))
    let start = 0
    while (start < file.sizeBytes) {
      const bytes = Math.min(limits.chunkBytes, file.sizeBytes - start)
      const content = buffer.subarray(0, bytes)
      await readFully(handle, content, start, file.source)
      const hash = sha256Hex(content)
      if (!places.has(hash)) places.set(hash, { kind: 'file', path: file.source, start, bytes })
      chunks.push(hash)
      start += bytes
      onBytes(bytes)
    }
    return { path: file.path, executable: file.executable, sizeBytes: file.sizeBytes, chunks }
  } finally {
    await handle.close()
  }
}

async function readFully(
  handle: FileHandle,
  into: Buffer,
  start: number,
  shown: string,
): Promise<void> {
  let done = 0
  while (done < into.length) {
    const { bytesRead } = await handle.read(into, done, into.length - done, start + done)
    if (bytesRead === 0) throw changed(shown)
    done += bytesRead
  }
}

function changed(path: string): Error {
  return failure('inputs_changed', `${path} changed while it was read; submit again`)
}

/** Sends what the node lacks; gives the number of bytes sent. */
export async function uploadSnapshot(
  snapshot: Snapshot,
  client: Client,
  line: LiveLine,
): Promise<number> {
  const missing = await missingChunks([...snapshot.chunks.keys()], client)
  const lengthOf = (hash: Hash): number => {
    const place = snapshot.chunks.get(hash)!
    return place.kind === 'file' ? place.bytes : place.content.length
  }
  const total = missing.reduce((sum, hash) => sum + lengthOf(hash), 0)
  let sent = 0
  let next = 0
  const worker = async (): Promise<void> => {
    for (let hash = missing[next++]; hash !== undefined; hash = missing[next++]) {
      await client.put(apiPaths.chunk(hash), await readAgain(hash, snapshot))
      sent += lengthOf(hash)
      line.show(transferText('sending', sent, total))
    }
  }
  await Promise.all(Array.from({ length: parallelUploads }, worker))
  line.clear()
  return sent
}

async function missingChunks(hashes: readonly Hash[], client: Client): Promise<Hash[]> {
  const missing: Hash[] = []
  for (let at = 0; at < hashes.length; at += hashesPerQuestion) {
    const asked = hashes.slice(at, at + hashesPerQuestion)
    const answer = await client.post<{ missing: Hash[] }>(apiPaths.chunksMissing, { hashes: asked })
    const known = new Set(asked)
    missing.push(...answer.missing.filter((hash) => known.has(hash)))
  }
  return missing
}

async function readAgain(hash: Hash, snapshot: Snapshot): Promise<Uint8Array> {
  const place = snapshot.chunks.get(hash)!
  if (place.kind === 'memory') return place.content
  const handle = await open(place.path, 'r')
  try {
    const content = Buffer.allocUnsafe(place.bytes)
    await readFully(handle, content, place.start, place.path)
    if (sha256Hex(content) !== hash) throw changed(place.path)
    return content
  } finally {
    await handle.close()
  }
}
