// The process of a simulated site: the production loop, with ports of the simulated world.

import type { SiteName } from '../../protocol/base/ids.ts'
import { parseCheckpoint } from '../../protocol/base/checkpoint.ts'
import { parseNote } from '../../protocol/base/note.ts'
import { draft } from '../../protocol/base/tables.ts'
import type { Effect } from '../../protocol/machine/effects.ts'
import type { Message } from '../../protocol/machine/messages.ts'
import { encodeMessage } from '../../protocol/machine/messages.ts'
import { historyFor, readNow } from '../../protocol/machine/history.ts'
import { judgeGossip } from '../../protocol/machine/gossip.ts'
import type { CoreTables, Self } from '../../protocol/machine/state.ts'
import { createLoop } from '../../node/loop.ts'
import type { Happening } from '../../node/loop.ts'
import { performKept } from './archive.ts'
import { performWork } from './effects.ts'
import {
  deniedIn,
  entriesRead, headShown, placesTaken, proofShown, receiptsShown, replayed,
} from './show-head.ts'
import { checkWrites } from './lives.ts'
import type { Machine, Process } from './machine.ts'
import { crash, pass, selfOf } from './machine.ts'
import type { Endpoint } from './network.ts'
import { raiseMark, repairIfNeeded } from './restoring.ts'
import { summaryOf } from './transcript.ts'
import { startWatch } from './watch.ts'

/** Its operator may have put a backup in place of a damaged disk. */
const startAgainMs = 5_000

export function startMachine(machine: Machine): void {
  const { world, identity, disk, federation } = machine
  if (machine.process || !federation || machine.isGone) return
  const damage = disk.damage()
  if (damage !== undefined) {
    world.log(machine, `does not start: ${damage}`)
    return void world.time.after(startAgainMs, () => startMachine(machine))
  }
  repairIfNeeded(machine)
  const { time, network } = world
  const self = selfOf(machine, federation)
  let bug: Error | undefined
  const process: Process = {
    alive: true,
    busy: new Set(),
    startedMs: time.now(),
    look: () => undefined,
    loop: createLoop(self, disk.load(), {
      now: () => time.now() + machine.skewMs,
      after: (milliseconds, fn) => time.after(milliseconds, () => {
        if (process.alive) fn()
      }),
      commit(writes, done) {
        if (!process.alive || pass(machine, process, 'commit')) return
        checkWrites(machine, writes)
        disk.commit(writes, (failure) => {
          if (!process.alive) return
          world.committed(machine)
          if (pass(machine, process, 'committed')) return
          done(failure)
        })
      },
      perform(effect) {
        const named = nameOf(effect)
        if (!process.alive || pass(machine, process, `before ${named}`)) return
        for (const done of machine.lie?.(effect) ?? [effect]) perform(machine, process, done)
        pass(machine, process, `after ${named}`)
      },
      failed: (failure) => {
        // A step that broke is a bug of ours, and no crash to recover from.
        if (bug) throw bug
        crash(machine, failure.message)
      },
      broken: (_, failure) => {
        bug = failure
        throw failure
      },
    }),
    endpoint: endpointOf(machine, self, () => process),
  }
  machine.process = process
  world.log(machine, 'starts')
  process.look = startWatch(machine, process)
  process.loop.push({ kind: 'started', addresses: identity.addresses })
  if (process.alive) network.attach(process.endpoint)
}

function nameOf(effect: Effect): string {
  return effect.kind === 'send' ? `send ${effect.message.kind}` : effect.kind
}

function endpointOf(machine: Machine, self: Self, process: () => Process): Endpoint {
  const push = (happening: Happening): void => {
    if (process().alive) process().loop.push(happening)
  }
  return {
    name: machine.identity.site,
    knows: (name) => process().loop.tables.get('members')?.has(name) === true,
    cameUp(peer) {
      machine.world.log(machine, `sees ${peer} come up`)
      push({ kind: 'peerCameUp', site: peer as SiteName })
    },
    wentDown(peer) {
      machine.world.log(machine, `sees ${peer} go down`)
      push({ kind: 'peerWentDown', site: peer as SiteName })
    },
    received(from, encoded) {
      machine.world.received(encoded)
      push({ kind: 'messageReceived', from: from as SiteName, encoded })
    },
    heard(from, { topic, note }) {
      const nowEpochMs = machine.world.time.now() + machine.skewMs
      const view = draft<CoreTables>(process().loop.tables)
      const heard = { topic, from: from as SiteName, note, nowEpochMs }
      const judged = judgeGossip(view, self, heard)
      if (judged.verdict === 'accept') push(judged.event)
    },
  }
}

function perform(machine: Machine, process: Process, effect: Effect): void {
  const { world, identity } = machine
  switch (effect.kind) {
    case 'send': {
      const encoded = encodeMessage(effect.message)
      world.sent(machine, effect.to, effect.message)
      world.log(machine, `tells ${effect.to} ${summaryOf(effect.message)}`)
      return world.network.send(identity.site, effect.to, encoded)
    }
    case 'publishOffer':
      return world.network.publish(identity.site, { topic: 'offers', note: effect.note })
    case 'publishCall':
      world.log(machine, 'calls everybody')
      return world.network.publish(identity.site, { topic: 'announcements', note: effect.note })
    case 'answer': return world.answered(effect.request, effect.answer)
    case 'showHead':
    case 'showHeads':
    case 'proveHold':
    case 'giveReceipts':
    case 'readEntries':
    case 'readPlaces':
    case 'tellHistory':
    case 'replayPayer': return performLog(machine, process, effect)
    case 'raiseMark': return raiseMark(machine)
    case 'alarm': return world.log(machine, effect.detail)
    case 'storeSnapshot':
    case 'dropEntries': return performKept(machine, process, effect)
    case 'connectMembers':
    case 'jobChanged': return undefined
    default: return performWork(machine, process, effect)
  }
}

type LogWork = Extract<Effect, {
  kind: 'showHead' | 'showHeads' | 'proveHold' | 'replayPayer' | 'readEntries' | 'readPlaces'
    | 'tellHistory' | 'giveReceipts'
}>

/** What shows the log to others, at once: the disk of a simulated site is quick to read. */
function performLog(machine: Machine, process: Process, effect: LogWork): void {
  const { world, identity } = machine
  const reader = (of: Machine) => (table: string, key: string): unknown => of.disk.get(table, key)
  const tell = (to: SiteName, message: Message | undefined): void => {
    if (message) world.network.send(identity.site, to, encodeMessage(message))
  }
  switch (effect.kind) {
    case 'showHead': {
      const denied = deniedIn(reader(machine), effect)
      return denied === undefined
        ? tell(effect.to, headShown(reader(machine), identity.log, effect))
        : process.loop.push({ kind: 'headDenied', from: effect.to, size: denied })
    }
    case 'showHeads': {
      for (const { site, known } of effect.to) {
        const shown = headShown(reader(machine), identity.log, { known, also: 0 })
        tell(site, shown)
        const note = shown && parseNote(shown.note, { bytesMax: 16_384 })
        const head = note?.ok ? parseCheckpoint(note.value.text) : undefined
        if (!shown || !head?.ok) continue
        process.loop.push({ kind: 'headShown', size: head.value.size, note: shown.note })
      }
      return undefined
    }
    case 'readEntries': {
      const read = entriesRead(reader(machine), effect)
      if (read) process.loop.push(read)
      return undefined
    }
    case 'readPlaces': {
      const keys = machine.disk.records('receiptPlaces').keys()
      const taken = placesTaken(reader(machine), keys, identity.site, effect.places)
      for (const one of taken) process.loop.push(one)
      return undefined
    }
    case 'tellHistory': {
      const reading = historyFor(draft(process.loop.tables), effect)
      return tell(effect.to, readNow(reading, ({ table, key }) => machine.disk.get(table, key)))
    }
    case 'proveHold': return tell(effect.to, proofShown(reader(machine), effect))
    case 'giveReceipts':
      return tell(effect.to, receiptsShown(reader(machine), identity.log, effect))
    case 'replayPayer': {
      const payer = world.machine(effect.home)
      if (!payer) return undefined
      const result = replayed(reader(payer), effect)
      return process.loop.push({ kind: 'payerReplayed', hold: effect.hold, ...result })
    }
  }
}
