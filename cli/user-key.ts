// The key by which a user owns jobs: made on first use, kept in a file that only its owner may
// read (mode 0600, 64 hexadecimal digits of the Ed25519 seed). Whoever has it can cancel the
// user's jobs.

import { randomBytes } from 'node:crypto'
import {
  chmodSync, linkSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync,
} from 'node:fs'
import { homedir, userInfo } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fromHex, keyPairFromSeed, toHex } from '../protocol/base/crypto.ts'
import type { Signer } from '../protocol/base/note.ts'
import { userSignerName } from '../protocol/rules/job.ts'
import { failure, usageFailure } from './failure.ts'
import type { Terminal } from './terminal.ts'

export interface User {
  readonly name: string
  readonly signer: Signer
}

/** The user of this process, with the key; makes the key when there is none. */
export function openUser(terminal: Terminal): User {
  const name = userName(terminal)
  const path = userKeyPath(terminal)
  const key = keyPairFromSeed(readSeed(path) ?? makeSeed(path))
  return { name, signer: { name: userSignerName(name), key } }
}

/** Unpredictable bytes in hexadecimal: what makes two equal jobs two jobs. */
export function freshNonce(): string {
  return toHex(randomBytes(16))
}

function userKeyPath(terminal: Terminal): string {
  const named = terminal.env['GRIDNODE_USER_KEY']
  if (named) return resolve(terminal.cwd, named)
  const { XDG_CONFIG_HOME: config, HOME: home } = terminal.env
  return join(config || join(home || homedir(), '.config'), 'gridnode', 'user.key')
}

/** The name by which the site knows the user: the login name, or $GRIDNODE_USER. */
export function userName(terminal: Terminal): string {
  let name = terminal.env['GRIDNODE_USER']
  try {
    name ||= userInfo().username
  } catch {
    // A user id without an account, as containers have them.
    name ||= `uid-${process.getuid?.() ?? 0}`
  }
  if (/^[A-Za-z0-9._-]{1,64}$/.test(name)) return name
  throw usageFailure(
    `the user name '${name}' has characters other than letters, digits, '.', '_' and '-'; ` +
      'set GRIDNODE_USER to a name without them',
  )
}

function readSeed(path: string): Uint8Array | undefined {
  let text: string
  try {
    const { mode } = statSync(path)
    if ((mode & 0o077) !== 0) {
      throw failure(
        'key_open',
        `the user key ${path} is open to other users (mode ${(mode & 0o777).toString(8)}, ` +
          `expected 600). If nobody took it, run 'chmod 600 ${path}'. If you are not sure, ` +
          'remove it: a new one is made, and jobs of the old one can no longer be cancelled.',
      )
    }
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const seed = fromHex(text.trim())
  if (seed?.length === 32) return seed
  throw failure(
    'key_malformed',
    `the user key ${path} is damaged: expected 64 hexadecimal digits. Put back a copy, or ` +
      'remove it to have a new one made.',
  )
}

/** Two commands at once make one key: the first link wins, the other reads it. */
function makeSeed(path: string): Uint8Array {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const fresh = `${path}.${toHex(randomBytes(6))}`
  try {
    writeFileSync(fresh, `${toHex(randomBytes(32))}\n`, { mode: 0o600, flag: 'wx', flush: true })
    chmodSync(fresh, 0o600)
    try {
      linkSync(fresh, path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  } finally {
    rmSync(fresh, { force: true })
  }
  return readSeed(path)!
}
