// Disks that are put back to an earlier state, and what an operator does then: the same functions as
// `gridnode ledger recover`, on the disk of a machine that does not run. The mark and the keys lie
// outside the database.

import { toHex } from '../../protocol/base/crypto.ts'
import { append, emptyFrontier, root } from '../../protocol/base/merkle.ts'
import { draft } from '../../protocol/base/tables.ts'
import { endWork, sealEpoch, takeRenewal } from '../../protocol/machine/restore.ts'
import type { CoreTables } from '../../protocol/machine/state.ts'
import { entryKey, openHead } from '../../protocol/rules/ledger-book.ts'
import { rootSigner, statementSigner } from '../../protocol/rules/statement.ts'
import { keyFor, must } from './identity.ts'
import type { Machine } from './machine.ts'

/** A head that was shown to somebody. */
export interface Mark {
  readonly epoch: number
  readonly size: number
  readonly root: string
}

/** What was shown is remembered outside the database, before it leaves. */
export function raiseMark(machine: Machine): void {
  const head = machine.disk.get('ledgerHead', 'head') as CoreTables['ledgerHead'] | undefined
  if (!head) return
  const { epoch, frontier } = head
  const { mark } = machine
  if (mark && mark.epoch === epoch && mark.size >= frontier.size) return
  machine.mark = { epoch, size: frontier.size, root: toHex(root(frontier)) }
}

/** Why a start is refused: what lies on the disk is not what was shown. */
export function behindMark({ mark, disk }: Machine): string | undefined {
  const head = disk.get('ledgerHead', 'head') as CoreTables['ledgerHead'] | undefined
  if (!mark || !head) return undefined
  if (head.epoch !== mark.epoch) return `it is of epoch ${head.epoch}, the mark of ${mark.epoch}`
  if (head.frontier.size < mark.size) {
    return `it has ${head.frontier.size} entries, ${mark.size} were shown`
  }
  let frontier = emptyFrontier
  for (let index = 0; index < mark.size; index++) {
    const note = disk.get('ledgerEntries', entryKey(index)) as string
    frontier = append(frontier, Buffer.from(note)).frontier
  }
  return toHex(root(frontier)) === mark.root ? undefined : 'it has other entries than were shown'
}

/** `gridnode ledger recover`, on a machine that does not run. */
export function recoverMachine(machine: Machine): void {
  const { disk, world } = machine
  const now = world.time.now() + machine.skewMs
  const view = draft<CoreTables>(disk.load())
  const { identity } = machine
  for (const note of machine.renewals) must(takeRenewal(view, note))
  const epoch = openHead(view).epoch + 1
  const made = (use: string) => keyFor(`${identity.site} e${epoch}`, use)
  const keys = {
    log: toHex(made('log').publicKey),
    statement: toHex(made('statement').publicKey),
    witness: toHex(made('witness').publicKey),
    network: identity.keys.network,
  }
  const { note } = must(sealEpoch(view, rootSigner(identity.site, identity.root), { keys, at: now }))
  machine.renewals.push(note)
  must(takeRenewal(view, note))
  const keepResultsMs = world.profile.keepResultsSeconds * 1_000
  const ended = endWork(view, { now, keepResultsMs })
  disk.install(view.writes())
  const statement = statementSigner(identity.site, epoch, made('statement'))
  machine.identity = {
    ...identity, keys, log: made('log'), signer: { site: identity.site, epoch, statement },
  }
  raiseMark(machine)
  world.log(machine, `is recovered: epoch ${epoch}, ${ended.jobs} jobs ended`)
}
