// The keys of a site, one for each use, as files that only their owner can read: 64 hexadecimal
// digits of an Ed25519 seed and a newline. The names under which they sign are in
// protocol/rules/statement.ts.
//
// Invariants: a key is made once and never overwritten; a key that others could have read is not
// used; no message carries any part of a seed.

import { randomBytes } from 'node:crypto'
import { closeSync, constants, fstatSync, mkdirSync, openSync, readSync } from 'node:fs'
import type { Stats } from 'node:fs'
import { join } from 'node:path'
import type { KeyPair } from '../protocol/base/crypto.ts'
import { fromHex, keyPairFromSeed, toHex } from '../protocol/base/crypto.ts'
import type { SiteKeys } from '../protocol/rules/statement.ts'
import { createFile } from './files.ts'
import { messageOf, Problem, systemCode } from './problem.ts'

/**
 * root: rotates the others, offline after set-up. statement: signs statements. log: signs
 * checkpoints. witness: cosigns other logs. network: the libp2p identity, signs nothing of the
 * ledger.
 */
export const keyUses = ['root', 'statement', 'log', 'witness', 'network'] as const
export type KeyUse = (typeof keyUses)[number]
export type Keys<Use extends KeyUse = KeyUse> = Readonly<Record<Use, KeyPair>>

/** What a running node needs: all but the root. */
export const runningKeyUses = ['statement', 'log', 'witness', 'network'] as const

const keysFolder = 'keys'
/** 32 bytes in hexadecimal and a newline. */
const keyFileBytes = 65

export function keyPath(directory: string, use: KeyUse): string {
  return join(directory, keysFolder, `${use}.key`)
}

/** Makes all keys of a new site. @throws Problem `exists` when one is there already */
export function makeKeys(directory: string): Keys {
  mkdirSync(join(directory, keysFolder), { mode: 0o700, recursive: true })
  return eachKey(keyUses, (use) => makeKey(keyPath(directory, use)))
}

/** Reads the keys named by `uses`. @throws Problem `key` */
export function readKeys<Use extends KeyUse>(directory: string, uses: readonly Use[]): Keys<Use> {
  return eachKey(uses, (use) => readKey(keyPath(directory, use)))
}

function eachKey<Use extends KeyUse>(uses: readonly Use[], get: (use: Use) => KeyPair): Keys<Use> {
  return Object.fromEntries(uses.map((use) => [use, get(use)])) as Keys<Use>
}

/** The public halves that a genesis names, in hexadecimal. */
export function siteKeysOf(keys: Keys<'statement' | 'log' | 'witness' | 'network'>): SiteKeys {
  return {
    log: toHex(keys.log.publicKey),
    statement: toHex(keys.statement.publicKey),
    witness: toHex(keys.witness.publicKey),
    network: toHex(keys.network.publicKey),
  }
}

/** A new key in a new file of mode 0600. @throws Problem `exists`, `system` */
export function makeKey(path: string): KeyPair {
  const seed = new Uint8Array(randomBytes(32))
  try {
    createFile(path, `${toHex(seed)}\n`, 0o600)
  } catch (cause) {
    if (systemCode(cause) === 'EEXIST') {
      const what = `there is a key at ${path} already; a key is never overwritten`
      throw new Problem('exists', what, cause)
    }
    throw new Problem('system', `cannot make the key ${path}: ${messageOf(cause)}`, cause)
  }
  return keyPairFromSeed(seed)
}

/** @throws Problem `key` when the file is missing, not ours alone, or not a key */
export function readKey(path: string): KeyPair {
  const seed = fromHex(readKeyText(path))
  if (seed?.length === 32) return keyPairFromSeed(seed)
  throw bad(path, 'expected 64 lower-case hexadecimal digits and a newline, got something else',
    'restore the file from its backup')
}

function readKeyText(path: string): string {
  let handle: number
  try {
    handle = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') {
      throw bad(path, 'there is no such file', 'restore it from its backup', cause)
    }
    if (systemCode(cause) === 'ELOOP') {
      throw bad(path, 'expected a file, got a symbolic link', 'put the key itself there', cause)
    }
    throw bad(path, messageOf(cause), 'give it to the user that runs the node', cause)
  }
  try {
    // Judged by the open file, so that it cannot be exchanged in between.
    demandPrivate(path, fstatSync(handle))
    const bytes = Buffer.alloc(keyFileBytes + 1)
    const count = readSync(handle, bytes, 0, bytes.length, 0)
    const text = bytes.toString('latin1', 0, count)
    bytes.fill(0)
    return count === keyFileBytes && text.endsWith('\n') ? text.slice(0, -1) : 'not a key'
  } finally {
    closeSync(handle)
  }
}

function demandPrivate(path: string, stats: Stats): void {
  if (!stats.isFile()) throw bad(path, 'expected a file, got something else', 'put the key there')
  const uid = process.getuid?.()
  if (uid !== undefined && stats.uid !== uid) {
    throw bad(path, `expected it to belong to user ${uid}, it belongs to ${stats.uid}`,
      `chown ${uid} ${path}`)
  }
  const others = stats.mode & 0o077
  if (others !== 0) {
    const mode = (stats.mode & 0o777).toString(8).padStart(4, '0')
    throw bad(path, `expected mode 0600, got ${mode}: others may have read it`,
      `chmod 600 ${path} if nobody else had access to it, else replace the key`)
  }
}

function bad(path: string, what: string, next: string, cause?: unknown): Problem {
  return new Problem('key', `the key ${path} cannot be used: ${what}; ${next}`, cause)
}
