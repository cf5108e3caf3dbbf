// The keys of later epochs, and those that replaced others within an epoch: each set in a directory
// of its own below keys/, `e2`, `e3`, or `e2.1` for the first change within epoch 2, with the note
// by which the root key made them count.
//
// Invariants: a key is never overwritten or removed; a ring whose note is there may have been used,
// and no other note is ever signed for its place; one without a note never was.

import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { KeyPair } from '../protocol/base/crypto.ts'
import { toHex } from '../protocol/base/crypto.ts'
import type { MemberKeys } from '../protocol/rules/ledger-book.ts'
import { erasOf } from '../protocol/rules/ledger-keys.ts'
import type { SiteKeys } from '../protocol/rules/statement.ts'
import { parseStatement } from '../protocol/rules/statement.ts'
import { createFile, syncDirectory } from './files.ts'
import type { Keys, runningKeyUses } from './identity.ts'
import { keyPath, makeKey, readKey } from './identity.ts'
import { Problem } from './problem.ts'
import { StoreError } from './store/store-error.ts'

const noteName = 'renewal'
const folderName = 'keys'
const ringPattern = /^e([1-9][0-9]{0,8})(?:\.([1-9][0-9]{0,8}))?$/

export interface Ring {
  readonly epoch: number
  /** 0: made with the epoch; else its so-many-th change of keys. */
  readonly turn: number
  readonly directory: string
  /** What the root key signed; undefined as long as nothing was. */
  readonly note: string | undefined
}

export type RingUse = 'statement' | 'log' | 'witness'

/** All rings, in order; not the keys of the first epoch, which lie in keys/ itself. */
export function readRings(directory: string): Ring[] {
  const folder = join(directory, folderName)
  const names = existsSync(folder) ? readdirSync(folder) : []
  return names.flatMap((name): Ring[] => {
    const match = ringPattern.exec(name)
    if (!match) return []
    const own = join(folder, name)
    const note = join(own, noteName)
    return [{
      epoch: Number(match[1]),
      turn: Number(match[2] ?? 0),
      directory: own,
      note: existsSync(note) ? readFileSync(note, 'utf8') : undefined,
    }]
  }).toSorted((a, b) => a.epoch - b.epoch || a.turn - b.turn)
}

/** The keys of a ring that has no note yet: made now, or those that an interrupted run has made. */
export function openRing<Use extends RingUse>(
  directory: string, name: string, uses: readonly Use[],
): { readonly directory: string; readonly keys: Keys<Use> } {
  const own = join(directory, folderName, name)
  if (existsSync(join(own, noteName))) {
    throw new Problem('exists', `the keys in ${own} are in use already; nothing was changed`)
  }
  mkdirSync(own, { mode: 0o700, recursive: true })
  syncDirectory(join(directory, folderName))
  const keys = Object.fromEntries(uses.map((use) => {
    const path = join(own, `${use}.key`)
    return [use, existsSync(path) ? readKey(path) : makeKey(path)]
  })) as Keys<Use>
  return { directory: own, keys }
}

/** From here on the ring counts as used. */
export function keepNote(ring: string, note: string): void {
  createFile(join(ring, noteName), note, 0o600)
}

/**
 * A ledger that does not know the newest keys is older than they are. @throws StoreError QUARANTINE
 */
export function demandNewestKeys(directory: string, member: MemberKeys | undefined): void {
  const ring = readRings(directory).findLast(({ note }) => note !== undefined)
  const parsed = ring?.note === undefined ? undefined : parseStatement(ring.note)
  const said = parsed?.ok ? parsed.value.statement : undefined
  if (!ring || !member || !said || said.kind === 'federation') return
  const isKnown = said.kind === 'key'
    ? erasOf(member).some(({ keys }) => keys.statement === said.statement)
    : said.e <= member.epoch
  if (isKnown) return
  throw new StoreError('QUARANTINE', `the root key has signed ${ring.directory}/${noteName}, and `
    + 'the database does not know it: it was restored from a backup, or gridnode ledger recover '
    + 'was interrupted. Run gridnode ledger recover')
}

/**
 * The keys that the ledger names at present, wherever they lie. @throws Problem `key` when one is
 * missing
 */
export function readNamedKeys(
  directory: string, named: SiteKeys,
): Keys<(typeof runningKeyUses)[number]> {
  const rings = readRings(directory).toReversed()
  const find = (use: RingUse): KeyPair => {
    const paths = rings.map((ring) => join(ring.directory, `${use}.key`)).filter(existsSync)
    const own = keyPath(directory, use)
    if (existsSync(own) || paths.length === 0) paths.push(own)
    for (const path of paths) {
      const key = readKey(path)
      if (toHex(key.publicKey) === named[use]) return key
    }
    throw new Problem('key', `the ledger names the ${use} key ${named[use].slice(0, 16)}…, and `
      + `${paths.join(', ')} ${paths.length === 1 ? 'is another one' : 'are others'}; restore `
      + 'keys/ from its newest backup, or begin a new epoch: gridnode ledger recover')
  }
  return {
    statement: find('statement'),
    log: find('log'),
    witness: find('witness'),
    network: readKey(keyPath(directory, 'network')),
  }
}
