// A ledger built again from an exported log: all of our own, or what a peer's holds that concerns
// everybody (the federation, its members, our geneses, tariffs), when the database is lost.
//
// Invariants: every entry goes through the rules of the live ledger; the root of what was read is
// that of the signed checkpoint beside it, so no file of the export was cut, exchanged or changed.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseCheckpoint } from '../../protocol/base/checkpoint.ts'
import { sameBytes } from '../../protocol/base/crypto.ts'
import type { SiteName } from '../../protocol/base/ids.ts'
import type { Frontier } from '../../protocol/base/merkle.ts'
import { append, emptyFrontier, root } from '../../protocol/base/merkle.ts'
import { parseNote, verifyNote } from '../../protocol/base/note.ts'
import type { View } from '../../protocol/base/tables.ts'
import { decodeBundle, tilePath, tileWidth } from '../../protocol/base/tiles.ts'
import type { CoreTables } from '../../protocol/machine/state.ts'
import { openHead } from '../../protocol/rules/ledger-book.ts'
import { checkNow, logFederation, logPlaced } from '../../protocol/rules/ledger-entry.ts'
import { logVerifier } from '../../protocol/rules/ledger-keys.ts'
import { describeLedgerRefusal } from '../../protocol/rules/ledger-refusal.ts'
import type { ParsedStatement } from '../../protocol/rules/statement.ts'
import { everybody, parseStatement } from '../../protocol/rules/statement.ts'
import { messageOf, Problem } from '../problem.ts'

export interface ReadExport {
  /** Whose log it is. */
  readonly site: SiteName
  readonly entries: number
  /** Of them, those that are in the new ledger. */
  readonly taken: number
}

const checkpointBytesMax = 16 * 1024

/** Fills the empty `view` with the ledger of `self`. @throws Problem `untrue`, `system` */
export function readExport(
  view: View<CoreTables>, self: SiteName, directory: string,
): ReadExport {
  const untrue = (what: string): Problem => new Problem('untrue', `${directory}: ${what}`)
  const note = parseNote(readText(join(directory, 'checkpoint')), { bytesMax: checkpointBytesMax })
  const checkpoint = note.ok ? parseCheckpoint(note.value.text) : note
  if (!note.ok || !checkpoint.ok) throw untrue('its checkpoint cannot be read')
  const { origin, size, rootHash } = checkpoint.value
  const site = origin.split('/')[0] as SiteName
  const entries = readEntries(directory, size, untrue)
  if (!sameBytes(root(entries.frontier), rootHash)) {
    throw untrue('its entries are not those of its checkpoint; run gridnode verify on it')
  }
  const taken = site === self
    ? takeOwn(view, self, entries.parsed, untrue)
    : takePublic(view, self, entries.parsed, untrue)
  const member = view.get('ledgerMembers', site)
  const epoch = Number(/\/e([0-9]+)$/.exec(origin)?.[1])
  const verifier = member && logVerifier(member, site, { fed: openHead(view).federation, epoch })
  if (verifier?.name !== origin || !verifyNote(note.value, verifier)) {
    throw untrue(`its checkpoint is not signed by the key of ${origin}`)
  }
  keepMembers(view, entries.parsed)
  view.put('federationNote', 'own', entries.parsed[0]?.note ?? '')
  return { site, entries: size, taken }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new Problem('system', `cannot read ${path}: ${messageOf(cause)}; expected the directory `
      + 'of an export, as gridnode ledger export writes it', cause)
  }
}

function readEntries(
  directory: string, size: number, untrue: (what: string) => Problem,
): { readonly frontier: Frontier; readonly parsed: readonly ParsedStatement[] } {
  let frontier = emptyFrontier
  const parsed: ParsedStatement[] = []
  for (let index = 0; index < size; index += tileWidth) {
    const width = Math.min(tileWidth, size - index)
    const path = join(directory, tilePath({ level: 'entries', index: index / tileWidth, width }))
    let bytes: Uint8Array
    try {
      bytes = readFileSync(path)
    } catch (cause) {
      throw new Problem('system', `cannot read ${path}: ${messageOf(cause)}`, cause)
    }
    const bundle = decodeBundle(bytes, width)
    if (!bundle.ok) throw untrue(`${path}: ${bundle.refusal.detail}`)
    for (const entry of bundle.value) {
      frontier = append(frontier, entry).frontier
      const one = parseStatement(Buffer.from(entry).toString('utf8'))
      if (!one.ok) throw untrue(`entry ${parsed.length} is no statement`)
      parsed.push(one.value)
    }
  }
  return { frontier, parsed }
}

/** Every entry, in its order: the very log that was exported. */
function takeOwn(
  view: View<CoreTables>, self: SiteName, entries: readonly ParsedStatement[],
  untrue: (what: string) => Problem,
): number {
  for (const [index, parsed] of entries.entries()) {
    const logged = index === 0
      ? logFederation(view, self, parsed, checkNow) : logPlaced(view, parsed, checkNow)
    if (!logged.ok) throw untrue(`entry ${index}: ${describeLedgerRefusal(logged.refusal)}`)
  }
  return entries.length
}

/** The federation, our own first genesis as entry 1, and then what concerns everybody. */
function takePublic(
  view: View<CoreTables>, self: SiteName, entries: readonly ParsedStatement[],
  untrue: (what: string) => Problem,
): number {
  const isOwnGenesis = ({ statement }: ParsedStatement): boolean =>
    statement.kind === 'genesis' && statement.from === self && statement.e === 1
  const own = entries.find(isOwnGenesis)
  const [first] = entries
  if (!first || !own) throw untrue(`it holds no genesis of ${self}`)
  const opened = logFederation(view, self, first, checkNow)
  if (!opened.ok) throw untrue(`entry 0: ${describeLedgerRefusal(opened.refusal)}`)
  let taken = 1
  for (const parsed of [own, ...entries.slice(1).filter((one) => !isOwnGenesis(one))]) {
    const { statement } = parsed
    if (statement.kind === 'federation' || statement.to !== everybody) continue
    const logged = logPlaced(view, parsed, checkNow)
    // Of our own sequence a peer may lack some; they come back once a later epoch is open.
    if (!logged.ok && statement.from !== self) {
      throw untrue(`${statement.kind} ${statement.n} of ${statement.from}: `
        + describeLedgerRefusal(logged.refusal))
    }
    if (logged.ok) taken++
  }
  return taken
}

/** The members' records, without addresses: those come with the first connection. */
function keepMembers(view: View<CoreTables>, entries: readonly ParsedStatement[]): void {
  const policies = new Map<string, string>()
  for (const { statement, note } of entries) {
    const isAdmission = statement.kind === 'policy' && statement.about === 'admit'
    if (isAdmission && !policies.has(statement.admit)) {
      policies.set(statement.admit, note)
    }
  }
  for (const { statement, note } of entries) {
    if (statement.kind !== 'genesis' && statement.kind !== 'key') continue
    const site = statement.from
    const known = view.get('members', site)
    if (statement.kind === 'genesis' && statement.e === 1) {
      const policy = policies.get(site) ?? ''
      view.put('members', site, { site, genesis: note, policy, addresses: [], renewals: [] })
    } else if (known) {
      view.put('members', site, { ...known, renewals: [...known.renewals, note] })
    }
  }
}
