// Disks that are put back to an earlier state, and what an operator does then: the same functions
// as `gridnode ledger recover`, on the disk of a machine that does not run. The mark and the keys
// lie outside the database.

import { toHex } from '../../protocol/base/crypto.ts'
import { append, emptyFrontier, root as rootOf } from '../../protocol/base/merkle.ts'
import { unpack } from '../../protocol/base/record.ts'
import { draft } from '../../protocol/base/tables.ts'
import { endWork, sealEpoch, takeRenewal } from '../../protocol/machine/restore.ts'
import type { CoreTables } from '../../protocol/machine/state.ts'
import type { Direction } from '../../protocol/rules/ledger-book.ts'
import { entryKey, openHead } from '../../protocol/rules/ledger-book.ts'
import { rootSigner, statementSigner } from '../../protocol/rules/statement.ts'
import type { DiskCopy } from './disk.ts'
import { keyFor, must } from './identity.ts'
import type { Machine } from './machine.ts'
import { crash } from './machine.ts'
import type { Profile } from './profile.ts'
import { random } from './random.ts'
import type { Random } from './random.ts'
import type { VirtualTime } from './virtual-time.ts'

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
  machine.mark = { epoch, size: frontier.size, root: toHex(rootOf(frontier)) }
}

/** Why a start is refused: what lies on the disk is not what was shown. */
export function behindMark({ mark, disk, renewals }: Machine): string | undefined {
  const head = disk.get('ledgerHead', 'head') as CoreTables['ledgerHead'] | undefined
  if (head && head.epoch <= renewals.length) return 'its keys are of a later epoch'
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
  return toHex(rootOf(frontier)) === mark.root ? undefined : 'it has other entries than were shown'
}

/** A start that is refused, or an operator who knows: the site is recovered before it runs. */
export function repairIfNeeded(machine: Machine): void {
  if (machine.restored === 'no') return
  const why = machine.restored === 'known' ? 'its disk was put back' : behindMark(machine)
  if (why === undefined) return
  machine.world.log(machine, `does not start: ${why}`)
  recoverMachine(machine)
  machine.restored = 'no'
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
  const root = rootSigner(identity.site, identity.root)
  const { note } = must(sealEpoch(view, root, { keys, at: now }))
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

interface Backup {
  readonly takenMs: number
  readonly copy: DiskCopy
}

export interface RestoreWorld {
  readonly time: VirtualTime
  readonly profile: Profile
  readonly machines: readonly Machine[]
  readonly log: (text: string) => void
}

const backupEveryMs = 12_000
const backupsKept = 5
const noticeMs = 5_000

export interface RestorePlan {
  /** Puts the disks of one or two sites back to what they were. */
  restore(chance: Random): void
  /** A record rots, so nothing starts; after a while the operator puts a backup in its place. */
  rot(chance: Random): void
}

/** Backups of all sites, taken all the time; operators who look after theirs. */
export function planRestores(world: RestoreWorld): RestorePlan {
  const { time, machines } = world
  const backups = new Map<Machine, Backup[]>()
  const chance = random(world.profile.seed, 'backups')
  const backUp = (): void => {
    const machine = chance.pick(machines)
    if (machine.federation && machine.disk.damage() === undefined) {
      const kept = backups.get(machine) ?? []
      kept.push({ takenMs: time.now(), copy: machine.disk.copy() })
      backups.set(machine, kept.slice(-backupsKept))
    }
    time.after(chance.between(1_000, Math.ceil((2 * backupEveryMs) / machines.length)), backUp)
  }
  const notice = (): void => {
    for (const machine of machines) {
      if (!machine.process?.loop.tables.get('quarantine')?.has('own')) continue
      machine.restored = 'known'
      crash(machine, 'stopped by its operator, who recovers it')
    }
    time.after(noticeMs, notice)
  }
  const { restoreEveryMs, rotEveryMs } = world.profile.faults
  if (restoreEveryMs > 0 || rotEveryMs > 0) {
    backUp()
    notice()
  }
  const putBack = (machine: Machine, how: 'known' | 'unnoticed', keepsMark: boolean): boolean => {
    const backup = backups.get(machine)?.at(how === 'known' ? chance.int(backupsKept) : -1)
      ?? backups.get(machine)?.[0]
    if (!backup) return false
    if (how === 'unnoticed' && isBusy(backup.copy)) return false
    if (machine.disk.damage() === undefined && isForgetful(machine, backup.copy)) return false
    if (machine.process) crash(machine, 'its disk is put back')
    machine.disk.putBack(backup.copy)
    if (machine.restored !== 'known') machine.restored = how
    machine.restores++
    if (!keepsMark) machine.mark = undefined
    backups.set(machine, backups.get(machine)!.filter(({ takenMs }) => takenMs <= backup.takenMs))
    world.log(`the disk of ${machine.identity.site} is put back by `
      + `${time.now() - backup.takenMs} ms (${how}${keepsMark ? ', mark kept' : ''})`)
    return true
  }
  return {
    rot(by) {
      const machine = by.pick(machines)
      const kept = backups.get(machine) ?? []
      const isLost = kept.length === 0 || kept.some(({ copy }) => isForgetful(machine, copy))
      if (isLost || machine.restored !== 'no' || isUnsafe()) return
      if (machine.process) crash(machine, 'its disk is damaged')
      machine.disk.rot()
      time.after(by.between(2_000, 40_000), () => putBack(machine, 'known', by.chance(500)))
    },
    restore(by) {
      if (isUnsafe()) return
      const [first, second] = [by.pick(machines), by.pick(machines)]
      if (by.chance(250)) {
        putBack(first, 'known', by.chance(500))
        if (second !== first) putBack(second, 'known', by.chance(500))
      } else if (!by.chance(400) || !areWhole(first) || !putBack(first, 'unnoticed', false)) {
        putBack(first, 'known', by.chance(500))
      }
    },
  }

  /** Who does not follow the guide is caught by its peers, if they have not lost anything. */
  function isUnsafe(): boolean {
    return machines.some((machine) => machine.restored === 'unnoticed' && !isHeard(machine))
  }

  /** Somebody whose admission only this disk holds would have to be invited anew. */
  function isForgetful(machine: Machine, copy: DiskCopy): boolean {
    return machines.some(({ identity, federation }) => {
      const { site } = identity
      const isOther = federation && site !== machine.identity.site
      if (!isOther || copy.get('members')?.has(site)) return false
      return !machines.some((other) => other !== machine && other.identity.site !== site &&
        other.disk.damage() === undefined && other.disk.has('members', site))
    })
  }

  /** All others hold what they ever held: what only `one` forgets somebody knows. */
  function areWhole(one: Machine): boolean {
    return machines.every((other) => {
      const tables = other.process?.loop.tables
      if (other === one || !other.federation) return true
      if (!tables || other.restored !== 'no') return false
      const head = tables.get('ledgerHead')?.get('head') as CoreTables['ledgerHead'] | undefined
      const directions = (tables.get('ledgerDirections') ?? new Map()) as Map<string, Direction>
      return other.restores === 0 || machines.every(({ identity, federation }) =>
        identity.site === other.identity.site || !federation
        || directions.get(`${other.identity.site}>${identity.site}`)?.e === head?.epoch)
    })
  }

  /** Every peer has said since how much it holds. */
  function isHeard({ process }: Machine): boolean {
    const heard = process?.loop.tables.get('heardPeers')?.size ?? 0
    return heard === machines.filter(({ federation }) => federation).length - 1
  }
}

/** Work under way would be done again before a peer has said a word. */
function isBusy(copy: DiskCopy): boolean {
  const size = (table: string): number => copy.get(table)?.size ?? 0
  return size('hostTranches') + size('homeTranches') + size('openBids') > 0
    || [...copy.get('jobs')?.values() ?? []].some((text) => {
      const job = unpack(text) as CoreTables['jobs']
      return job.state.kind !== 'ended'
    })
}
